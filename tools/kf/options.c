/* options: see options.h. GNU's habits: options and arguments may mix, -- ends options, -n5 = -n 5.
 */
#include "tools/kf/options.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIMEOUT_MS = 15000,
    NAME_BYTES = 64,
    FAR = 3 /* edits from a name that is not meant */
};

/* ---- the common ones ---- */

struct common {
    struct kf__texts servers;
    const char *file;
    struct kf__texts settings;
    bool json;
    bool verbose;
    bool help;
    int64_t timeout_ms;
};

#define AT(member) offsetof(struct common, member)
static const struct kf__option common_options[] = {
    {'b', "bootstrap-servers", KF__OPTION_TEXTS, AT(servers)},
    {'F', "file", KF__OPTION_TEXT, AT(file)},
    {'X', "set", KF__OPTION_TEXTS, AT(settings)},
    {0, "json", KF__OPTION_FLAG, AT(json)},
    {0, "verbose", KF__OPTION_FLAG, AT(verbose)},
    {0, "timeout", KF__OPTION_NUMBER, AT(timeout_ms)},
    {'h', "help", KF__OPTION_FLAG, AT(help)},
};
#undef AT

enum {
    COMMON = sizeof common_options / sizeof *common_options
};

/* ---- saying ---- */

int kf__usage_error(const struct kf__command *command, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "kf %s: ", command->verb);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; kf %s --help says more\n", command->verb);
    return KF__EXIT_USAGE;
}

int kf__report(const struct kf__command *command, const kf_error *error)
{
    fprintf(stderr, "kf %s: %s (%s)\n", command->verb, error->text, kf_err_name(error->code));
    int code = kf_err_exit_code(error->code);
    return code ? code : KF__EXIT_PARTLY;
}

int kf__finish(const struct kf__command *command, int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "kf %s: stdout: %s\n", command->verb, strerror(errno));
    clearerr(stdout); /* told once */
    return code ? code : KF__EXIT_PARTLY;
}

kf_time kf__command_deadline(const struct kf__command *command)
{
    return kf_now() + command->timeout_ms * KF_MILLISECOND;
}

void kf__catch_signals(void (*note)(int number))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- names that were meant ---- */

/* Levenshtein's distance, case aside; long names are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_BYTES + 1];
    size_t width = strlen(b);
    if (width > NAME_BYTES)
        return NAME_BYTES;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j]);
            size_t best = diagonal + !same;
            diagonal = row[j + 1];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j + 1] = diagonal + 1 < best ? diagonal + 1 : best;
        }
    }
    return row[width];
}

const char *kf__nearest(const char *text, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t least = FAR;
    for (size_t i = 0; i < count; i++) {
        size_t away = distance(text, names[i]);
        if (away < least && away < strlen(names[i])) {
            least = away;
            nearest = names[i];
        }
    }
    return nearest;
}

static int unknown_option(const struct kf__command *command, const char *name)
{
    const char *names[64];
    size_t count = 0;
    for (size_t i = 0; i < command->option_count && count < 48; i++)
        if (command->options[i].name)
            names[count++] = command->options[i].name;
    for (size_t i = 0; i < COMMON; i++)
        names[count++] = common_options[i].name;
    const char *nearest = strlen(name) > 1 ? kf__nearest(name, names, count) : NULL;
    const char *dashes = strlen(name) > 1 ? "--" : "-";
    if (nearest)
        return kf__usage_error(command, "there is no option %s%s: did you mean --%s?", dashes, name,
                               nearest);
    return kf__usage_error(command, "there is no option %s%s", dashes, name);
}

/* ---- reading ---- */

struct reader {
    struct kf__command *command;
    int argc;
    char **argv;
    int at; /* the next argument */
    void *wishes;
    struct common *common;
};

static const struct kf__option *look_in(const struct kf__option *options, size_t count, char letter,
                                        const char *name, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (letter && options[i].letter == letter)
            return &options[i];
        if (!letter && options[i].name && strlen(options[i].name) == size &&
            memcmp(options[i].name, name, size) == 0)
            return &options[i];
    }
    return NULL;
}

/* The verb's own before the common ones; *target is the struct that it fills. */
static const struct kf__option *look_up(struct reader *reader, char letter, const char *name,
                                        size_t size, char **target)
{
    const struct kf__command *command = reader->command;
    const struct kf__option *option =
        look_in(command->options, command->option_count, letter, name, size);
    *target = option ? reader->wishes : (char *)reader->common;
    return option ? option : look_in(common_options, COMMON, letter, name, size);
}

static int add_text(struct kf__texts *texts, const char *text)
{
    const char **items = realloc(texts->items, (texts->count + 1) * sizeof *items);
    if (!items)
        return KF__EXIT_PARTLY;
    texts->items = items;
    items[texts->count++] = text;
    return KF__GO_ON;
}

bool kf__read_number(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool whole = *text && *end == '\0' && !isspace((unsigned char)*text) && errno == 0;
    if (whole)
        *number = value;
    return whole;
}

static int set(const struct reader *reader, const struct kf__option *option, char *target,
               const char *shown, const char *value)
{
    void *place = target + option->offset;
    switch (option->kind) {
    case KF__OPTION_FLAG:
        *(bool *)place = true;
        return KF__GO_ON;
    case KF__OPTION_TEXT:
        *(const char **)place = value;
        return KF__GO_ON;
    case KF__OPTION_TEXTS:
        return add_text(place, value);
    case KF__OPTION_NUMBER:
        if (kf__read_number(value, place) && *(int64_t *)place >= 0)
            return KF__GO_ON;
        return kf__usage_error(reader->command, "%s wants a number, not \"%s\"", shown, value);
    }
    return KF__GO_ON;
}

static int take_long(struct reader *reader, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t size = equals ? (size_t)(equals - text) : strlen(text);
    char *target;
    const struct kf__option *option = look_up(reader, 0, text, size, &target);
    char shown[NAME_BYTES];
    snprintf(shown, sizeof shown, "--%.*s", (int)size, text);
    if (!option)
        return unknown_option(reader->command, shown + 2);
    if (option->kind == KF__OPTION_FLAG)
        return equals ? kf__usage_error(reader->command, "%s takes no value", shown)
                      : set(reader, option, target, shown, NULL);
    if (!equals && reader->at >= reader->argc)
        return kf__usage_error(reader->command, "%s wants a value", shown);
    return set(reader, option, target, shown, equals ? equals + 1 : reader->argv[reader->at++]);
}

/* "-e", "-en5", "-n 5". */
static int take_short(struct reader *reader, const char *text)
{
    for (; *text; text++) {
        char *target;
        const struct kf__option *option = look_up(reader, *text, NULL, 0, &target);
        char shown[] = {'-', *text, '\0'};
        if (!option)
            return unknown_option(reader->command, shown + 1);
        if (option->kind != KF__OPTION_FLAG) {
            const char *value = text[1] ? text + 1 : NULL;
            if (!value && reader->at >= reader->argc)
                return kf__usage_error(reader->command, "%s wants a value", shown);
            return set(reader, option, target, shown, value ? value : reader->argv[reader->at++]);
        }
        int code = set(reader, option, target, shown, NULL);
        if (code != KF__GO_ON)
            return code;
    }
    return KF__GO_ON;
}

static int read_all(struct reader *reader)
{
    bool options = true;
    while (reader->at < reader->argc) {
        const char *text = reader->argv[reader->at++];
        int code = KF__GO_ON;
        if (options && strcmp(text, "--") == 0)
            options = false;
        else if (options && strncmp(text, "--", 2) == 0)
            code = take_long(reader, text + 2);
        else if (options && text[0] == '-' && text[1])
            code = take_short(reader, text + 1);
        else
            code = add_text(&reader->command->arguments, text);
        if (code != KF__GO_ON)
            return code;
    }
    return KF__GO_ON;
}

/* ---- the configuration ---- */

static void say(void *context, const kf_log_event *event)
{
    const struct kf__command *command = context;
    fprintf(stderr, "kf %s: %s\n", command->verb, event->text ? event->text : event->name);
}

static int set_text(const struct kf__command *command, const char *text, kf_error *error)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return kf__usage_error(command, "-X wants key=value, not \"%s\"", text);
    char *key = strdup(text);
    if (!key)
        return KF__EXIT_PARTLY;
    key[equals - text] = '\0';
    kf_err err = kf_config_set(command->config, key, equals + 1, error);
    free(key);
    return err ? kf__report(command, error) : KF__GO_ON;
}

static int set_servers(const struct kf__command *command, const struct kf__texts *servers,
                       kf_error *error)
{
    size_t size = 1;
    for (size_t i = 0; i < servers->count; i++)
        size += strlen(servers->items[i]) + 1;
    char *all = calloc(size, 1);
    if (!all)
        return KF__EXIT_PARTLY;
    for (size_t i = 0; i < servers->count; i++) {
        strcat(all, i ? "," : "");
        strcat(all, servers->items[i]);
    }
    kf_err err =
        servers->count ? kf_config_set(command->config, "bootstrap.servers", all, error) : KF_OK;
    free(all);
    return err ? kf__report(command, error) : KF__GO_ON;
}

static int configure(struct kf__command *command, const struct common *common)
{
    kf_error error = KF_ERROR_INIT;
    command->config = kf_config_new(NULL);
    if (!command->config)
        return KF__EXIT_PARTLY;
    if ((common->file && kf_config_load(command->config, common->file, &error)) ||
        kf_config_load_environment(command->config, &error))
        return kf__report(command, &error);
    int code = set_servers(command, &common->servers, &error);
    for (size_t i = 0; i < common->settings.count && code == KF__GO_ON; i++)
        code = set_text(command, common->settings.items[i], &error);
    kf_config_log(command->config, command->verbose ? KF_LOG_INFO : KF_LOG_WARNING, say, command);
    return code;
}

int kf__command_read(struct kf__command *command, int argc, char **argv, void *wishes)
{
    struct common common = {.timeout_ms = TIMEOUT_MS};
    struct reader reader = {command, argc, argv, 1, wishes, &common};
    int code = read_all(&reader);
    if (common.help && code == KF__GO_ON) {
        fputs(command->usage, stdout);
        code = kf__finish(command, KF__EXIT_DONE);
    }
    command->json = common.json;
    command->verbose = common.verbose;
    command->timeout_ms = common.timeout_ms;
    if (code == KF__GO_ON)
        code = configure(command, &common);
    free(common.servers.items);
    free(common.settings.items);
    return code;
}

void kf__command_free(struct kf__command *command)
{
    free(command->arguments.items);
    kf_config_free(command->config);
}
