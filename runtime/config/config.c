/*
 * config: a kf_config, texts by key. Who may replace whose value is decided
 * here; what a value may be in config_values.c, how a file reads in
 * config_properties.c, what the runtime makes of it in config_settings.c.
 */
#include "runtime/config/config_rows.h"

#include "proto/bytes/wipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char BOOTSTRAP_VARIABLE[] = "KAFIBER_BOOTSTRAP_SERVERS";

struct entry {
    char *text; /* NULL: not set */
    enum kf__source source;
};

struct kf_config {
    kf_allocator alloc;
    struct kf__host *servers; /* of the present bootstrap.servers */
    size_t server_count;
    kf_log_level log_level;
    kf_log_fn log;
    void *log_context;
    kf_sasl_mechanism mechanism; /* no name: none */
    struct kf__sasl_hooks hooks;
    const struct kf__world *world; /* NULL: the real one */
    struct entry entries[];        /* one a row */
};

/* A key seen through its alias. */
static size_t resolve(size_t row)
{
    if (kf__config_rows[row].kind != KF__ROW_ALIAS)
        return row;
    return (size_t)kf__config_find(kf__config_rows[row].value);
}

static char *copy_text(const kf_allocator *alloc, const char *text, size_t size)
{
    char *copy = kf_alloc(alloc, size + 1);
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

/* The value with surrounding white space cut off, as Kafka does it. */
static char *copy_trimmed(const kf_allocator *alloc, const char *text)
{
    static const char blanks[] = " \t\r\n\f\v";
    text += strspn(text, blanks);
    size_t size = strlen(text);
    while (size && strchr(blanks, text[size - 1]))
        size--;
    return copy_text(alloc, text, size);
}

static void free_text(const kf_allocator *alloc, char *text)
{
    if (text)
        kf__wipe(text, strlen(text));
    kf_free(alloc, text);
}

static bool take_servers(kf_config *config, const char *list)
{
    size_t count;
    struct kf__host *servers = kf__parse_servers(&config->alloc, list, &count);
    if (!servers)
        return false;
    kf_free(&config->alloc, config->servers);
    config->servers = servers;
    config->server_count = count;
    return true;
}

kf_config *kf_config_new(const kf_allocator *alloc)
{
    if (!alloc)
        alloc = &kf_default_allocator;
    size_t row = (size_t)kf__config_find("bootstrap.servers");
    kf_config *config =
        kf_alloc_zero(alloc, sizeof *config + kf__config_row_count * sizeof(struct entry));
    if (!config)
        return NULL;
    config->alloc = *alloc;
    config->log_level = KF_LOG_WARNING;
    if (take_servers(config, kf__config_rows[row].value))
        return config;
    kf_config_free(config);
    return NULL;
}

kf_allocator kf__config_alloc(const kf_config *config) { return config->alloc; }

kf_config *kf_config_copy(const kf_config *config)
{
    kf_config *copy = config ? kf_config_new(&config->alloc) : NULL;
    if (!copy)
        return NULL;
    copy->log_level = config->log_level;
    copy->log = config->log;
    copy->log_context = config->log_context;
    copy->mechanism = config->mechanism;
    copy->hooks = config->hooks;
    copy->world = config->world;
    for (size_t i = 0; i < kf__config_row_count; i++) {
        const struct entry *from = &config->entries[i];
        if (!from->text)
            continue;
        struct entry *to = &copy->entries[i];
        to->source = from->source;
        to->text = copy_text(&copy->alloc, from->text, strlen(from->text));
        bool servers = kf__config_rows[i].form == KF__FORM_SERVERS;
        if (!to->text || (servers && !take_servers(copy, to->text))) {
            kf_config_free(copy);
            return NULL;
        }
    }
    return copy;
}

void kf_config_free(kf_config *config)
{
    if (!config)
        return;
    kf_allocator alloc = config->alloc;
    for (size_t i = 0; i < kf__config_row_count; i++)
        free_text(&alloc, config->entries[i].text);
    kf_free(&alloc, config->servers);
    kf_free(&alloc, config);
}

/* The value is checked even where a stronger source has set the key already. */
static kf_err take_value(kf_config *config, const struct kf__config_row *row, char *text,
                         const struct kf__origin *origin, kf_error *error)
{
    const struct kf__config_row *target =
        &kf__config_rows[resolve((size_t)(row - kf__config_rows))];
    struct kf__config_row judged = *target;
    judged.key = row->key; /* errors name the key as the user wrote it */
    kf_err err = kf__config_check(&judged, text, origin, error);
    struct entry *entry = &config->entries[target - kf__config_rows];
    if (err || (entry->text && entry->source > origin->source)) {
        free_text(&config->alloc, text);
        return err;
    }
    if (target->form == KF__FORM_SERVERS && !take_servers(config, text)) {
        free_text(&config->alloc, text);
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for %s", row->key);
    }
    free_text(&config->alloc, entry->text);
    *entry = (struct entry){text, origin->source};
    return KF_OK;
}

static kf_err complain_unknown(const char *key, const struct kf__origin *origin, kf_error *error)
{
    const char *nearest = kf__config_nearest(key);
    if (nearest)
        return kf__config_complain(origin, error, "unknown key \"%.100s\": did you mean \"%s\"?",
                                   key, nearest);
    return kf__config_complain(origin, error,
                               "unknown key \"%.100s\": docs/configuration.md lists all keys", key);
}

static kf_err set_from(kf_config *config, const char *key, const char *value,
                       const struct kf__origin *origin, kf_error *error)
{
    /* Free labels for Java's metrics: any name may follow. */
    static const char labels[] = "metrics.context.";
    if (strncmp(key, labels, sizeof labels - 1) == 0)
        return KF_OK;
    ptrdiff_t row = kf__config_find(key);
    if (row < 0)
        return complain_unknown(key, origin, error);
    char *text = copy_trimmed(&config->alloc, value);
    if (!text)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for %s", key);
    return take_value(config, &kf__config_rows[row], text, origin, error);
}

static kf_err check_arguments(const kf_config *config, const void *first, const void *second,
                              kf_error *error)
{
    if (!config)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "there was no memory for the configuration");
    if (!first || !second)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "a key, value or name is NULL");
    return KF_OK;
}

kf_err kf_config_set(kf_config *config, const char *key, const char *value, kf_error *error)
{
    struct kf__origin origin = {KF__FROM_CALL, NULL, 0};
    kf_err err = check_arguments(config, key, value, error);
    return err ? err : set_from(config, key, value, &origin, error);
}

kf_err kf_config_load_environment(kf_config *config, kf_error *error)
{
    struct kf__origin origin = {KF__FROM_ENVIRONMENT, BOOTSTRAP_VARIABLE, 0};
    kf_err err = check_arguments(config, "", "", error);
    const char *servers = getenv(BOOTSTRAP_VARIABLE);
    if (err || !servers || !*servers)
        return err;
    return set_from(config, "bootstrap.servers", servers, &origin, error);
}

struct file {
    kf_config *config;
    const char *name;
};

static kf_err set_from_file(void *context, const char *key, const char *value, size_t line,
                            kf_error *error)
{
    struct file *file = context;
    struct kf__origin origin = {KF__FROM_FILE, file->name, line};
    return set_from(file->config, key, value, &origin, error);
}

kf_err kf_config_parse(kf_config *config, const char *text, size_t size, const char *name,
                       kf_error *error)
{
    struct file file = {config, name};
    kf_err err = check_arguments(config, text, name, error);
    if (err)
        return err;
    if (size > KF__PROPERTIES_MAX)
        return kf_error_set(error, KF_ERR_CONFIG, "%s: it is larger than a configuration can be",
                            name);
    return kf__properties_read(&config->alloc, text, size, name, set_from_file, &file, error);
}

static kf_err load_stream(kf_config *config, FILE *stream, const char *path, kf_error *error)
{
    size_t room = KF__PROPERTIES_MAX + 1;
    char *text = kf_alloc(&config->alloc, room);
    if (!text)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "%s: no memory to read it", path);
    errno = 0;
    size_t size = fread(text, 1, room, stream);
    kf_err err = ferror(stream) ? kf_error_set(error, KF_ERR_CONFIG, "%s: it can't be read: %s",
                                               path, strerror(errno))
                                : kf_config_parse(config, text, size, path, error);
    kf__wipe(text, size);
    kf_free(&config->alloc, text);
    return err;
}

kf_err kf_config_load(kf_config *config, const char *path, kf_error *error)
{
    kf_err err = check_arguments(config, path, "", error);
    if (err)
        return err;
    FILE *stream = fopen(path, "rbe");
    if (!stream)
        return kf_error_set(error, KF_ERR_CONFIG, "%s: it can't be opened: %s", path,
                            strerror(errno));
    setvbuf(stream, NULL, _IONBF, 0); /* no password is left in a buffer of the C library */
    err = load_stream(config, stream, path, error);
    fclose(stream);
    return err;
}

const char *kf_config_get(const kf_config *config, const char *key)
{
    ptrdiff_t found = config && key ? kf__config_find(key) : -1;
    if (found < 0)
        return NULL;
    size_t row = resolve((size_t)found);
    const char *text = config->entries[row].text;
    enum kf__row_kind kind = kf__config_rows[row].kind;
    if (text && (kind == KF__ROW_SECRET || kind == KF__ROW_LATER_SECRET))
        return "[hidden]";
    text = text ? text : kf__config_rows[row].value;
    return text ? text : "";
}

void kf_config_log(kf_config *config, kf_log_level level, kf_log_fn log, void *context)
{
    if (!config)
        return;
    config->log_level = level;
    config->log = log;
    config->log_context = context;
}

kf_err kf_config_sasl_mechanism(kf_config *config, const kf_sasl_mechanism *mechanism)
{
    if (!config)
        return KF_ERR_NO_MEMORY;
    if (!mechanism || mechanism->size < sizeof *mechanism || !mechanism->name ||
        !mechanism->start || !mechanism->step || !mechanism->end)
        return KF_ERR_INVALID_ARGUMENT;
    config->mechanism = *mechanism;
    return KF_OK;
}

kf_err kf_config_sasl_token(kf_config *config, kf_sasl_token_fn get, void *context)
{
    if (!config)
        return KF_ERR_NO_MEMORY;
    config->hooks.token = get;
    config->hooks.token_context = context;
    return KF_OK;
}

kf_err kf_config_aws_credentials(kf_config *config, kf_aws_credentials_fn get, void *context)
{
    if (!config)
        return KF_ERR_NO_MEMORY;
    config->hooks.aws = get;
    config->hooks.aws_context = context;
    return KF_OK;
}

struct kf__sasl_hooks kf__config_hooks(const kf_config *config)
{
    struct kf__sasl_hooks hooks = config->hooks;
    hooks.mechanism = config->mechanism.name ? &config->mechanism : NULL;
    return hooks;
}

void kf_config_world(kf_config *config, const struct kf__world *world)
{
    if (config)
        config->world = world;
}

bool kf__config_note(const kf_config *config, size_t index, struct kf__config_note *note)
{
    for (size_t i = 0; i < kf__config_row_count; i++) {
        const struct kf__config_row *row = &kf__config_rows[i];
        if (row->kind != KF__ROW_IGNORED || !config->entries[i].text || index--)
            continue;
        *note = (struct kf__config_note){row->key, row->doc};
        return true;
    }
    return false;
}

enum kf__source kf__config_source(const kf_config *config, const char *key)
{
    ptrdiff_t found = kf__config_find(key);
    return found < 0 ? KF__FROM_DEFAULT : config->entries[resolve((size_t)found)].source;
}

const char *kf__config_value(const kf_config *config, size_t row)
{
    return config->entries[row].text;
}

const struct kf__host *kf__config_servers(const kf_config *config, size_t *count)
{
    *count = config->server_count;
    return config->servers;
}

void kf__config_log_target(const kf_config *config, struct kf__settings *settings)
{
    settings->log_level = config->log_level;
    settings->log = config->log;
    settings->log_context = config->log_context;
    settings->world = config->world ? config->world : &kf__real_world;
}
