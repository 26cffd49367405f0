/*
 * config_values: parses and judges one value of one key. Knows nothing of
 * files, of kf_config, or of other keys' values.
 */
#include "runtime/config/config_rows.h"

#include "runtime/config/config_jaas.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    TEXT_MAX_BYTES = 32767,                /* a string on the wire has an int16 length */
    SECRET_MAX_BYTES = KF__PROPERTIES_MAX, /* a system's trust store, inline */
    INSTANCE_ID_MAX_BYTES = 249,           /* as a topic's name */
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_instance_id_letter(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-';
}

bool kf__parse_bool(const char *text, bool *value)
{
    *value = strcasecmp(text, "true") == 0;
    return *value || strcasecmp(text, "false") == 0;
}

bool kf__parse_long(const char *text, int64_t *value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!*digits || digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    *value = strtoll(text, NULL, 10);
    return errno == 0;
}

int kf__parse_word(const char *text, const char *words)
{
    size_t size = strlen(text);
    for (int place = 0; *words; place++) {
        size_t length = strcspn(words, "|");
        if (length == size && strncasecmp(words, text, size) == 0)
            return place;
        words += length + (words[length] == '|');
    }
    return -1;
}

const char *kf__next_entry(const char **list, size_t *size)
{
    const char *entry = *list + strspn(*list, ", \t");
    *size = strcspn(entry, ",");
    *list = entry + *size;
    while (*size && isspace((unsigned char)entry[*size - 1]))
        --*size;
    return *size ? entry : NULL;
}

/* One signed number of a duration: "-12", at most 18 digits so that nothing overflows here. */
static bool take_number(const char **text, int64_t *number)
{
    bool minus = **text == '-';
    *text += **text == '-' || **text == '+';
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 18)
        return false;
    *number = 0;
    for (; digits; digits--)
        *number = *number * 10 + (*(*text)++ - '0');
    if (minus)
        *number = -*number;
    return true;
}

/* Up to nine digits after the point; what is finer than a millisecond is dropped. */
static bool take_fraction(const char **text, int64_t *ms)
{
    *ms = 0;
    if (**text != '.' && **text != ',')
        return true;
    ++*text;
    int digits = 0;
    for (; is_digit(**text); ++*text, digits++)
        if (digits < 3)
            *ms = *ms * 10 + (**text - '0');
    for (int i = digits; i < 3; i++)
        *ms *= 10;
    return digits <= 9;
}

static bool add_scaled(int64_t *total, int64_t number, int64_t scale)
{
    if (number > INT64_MAX / 4 / scale || number < -(INT64_MAX / 4 / scale))
        return false;
    *total += number * scale;
    return true;
}

/* ISO 8601 as java.time.Duration reads it: PnDTnHnMn.nS, each part once and in this order. */
static bool parse_duration(const char *text, int64_t *total)
{
    static const struct {
        char letter;
        int64_t ms;
    } parts[] = {{'D', 86400000}, {'H', 3600000}, {'M', 60000}, {'S', 1000}};
    bool minus = *text == '-';
    text += *text == '-' || *text == '+';
    if (toupper((unsigned char)*text++) != 'P' || !*text)
        return false;
    *total = 0;
    bool time = false;
    for (size_t next = 0; *text;) {
        if (!time && toupper((unsigned char)*text) == 'T') {
            time = true;
            next = next ? next : 1;
            text++;
        }
        int64_t number = 0;
        int64_t fraction = 0;
        bool below_zero = *text == '-';
        if (!take_number(&text, &number))
            return false;
        bool whole = *text != '.' && *text != ',';
        if (!take_fraction(&text, &fraction))
            return false;
        while (next < 4 && parts[next].letter != toupper((unsigned char)*text))
            next++;
        if (next == 4 || (next > 0) != time || (!whole && next != 3))
            return false;
        if (!add_scaled(total, number, parts[next++].ms))
            return false;
        *total += below_zero ? -fraction : fraction;
        text++;
    }
    if (minus)
        *total = -*total;
    return true;
}

bool kf__parse_reset(const char *text, enum kf__reset *reset, int64_t *back_ms)
{
    static const char prefix[] = "by_duration:";
    *back_ms = 0;
    int word = kf__parse_word(text, "earliest|latest|none");
    if (word >= 0) {
        *reset = (enum kf__reset)word;
        return true;
    }
    *reset = KF__RESET_BY_DURATION;
    if (strncasecmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    return parse_duration(text + sizeof prefix - 1, back_ms) && *back_ms >= 0;
}

/* By hand: strtod follows the program's locale. */
bool kf__parse_fraction(const char *text, double *value)
{
    double scale = 1;
    bool digits = false, point = false;
    *value = 0;
    for (; *text; text++) {
        if (*text == '.' && !point) {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9')
            return false;
        digits = true;
        scale = point ? scale / 10 : scale;
        *value = point ? *value + scale * (*text - '0') : *value * 10 + (*text - '0');
    }
    return digits && *value <= 1;
}

bool kf__parse_assignor(const char *entry, size_t size, enum kf__assignor *assignor)
{
    static const char package[] = "org.apache.kafka.clients.consumer.";
    static const struct {
        const char *name;
        const char *class;
    } known[KF__ASSIGNORS] = {
        [KF__ASSIGNOR_RANGE] = {"range", "RangeAssignor"},
        [KF__ASSIGNOR_ROUND_ROBIN] = {"roundrobin", "RoundRobinAssignor"},
        [KF__ASSIGNOR_STICKY] = {"sticky", "StickyAssignor"},
        [KF__ASSIGNOR_COOPERATIVE_STICKY] = {"cooperative-sticky", "CooperativeStickyAssignor"},
    };
    const size_t skip = sizeof package - 1;
    for (int i = 0; i < KF__ASSIGNORS; i++) {
        const char *class = known[i].class;
        *assignor = (enum kf__assignor)i;
        if (size == strlen(known[i].name) && strncasecmp(entry, known[i].name, size) == 0)
            return true;
        if (size == skip + strlen(class) && strncmp(entry, package, skip) == 0 &&
            strncmp(entry + skip, class, size - skip) == 0)
            return true;
    }
    return false;
}

static kf_err check_assignors(const struct kf__config_row *row, const char *text,
                              const struct kf__origin *origin, kf_error *error)
{
    size_t size;
    enum kf__assignor assignor;
    const char *list = text;
    const char *entry = kf__next_entry(&list, &size);
    if (!entry)
        return kf__config_complain(origin, error, "%s is empty: name at least one assignor",
                                   row->key);
    for (; entry; entry = kf__next_entry(&list, &size))
        if (!kf__parse_assignor(entry, size, &assignor))
            return kf__config_complain(origin, error,
                                       "%s: there is no assignor \"%.*s\" here: use range, "
                                       "roundrobin, sticky or cooperative-sticky",
                                       row->key, (int)size, entry);
    return KF_OK;
}

static kf_err check_servers(const struct kf__config_row *row, const char *text,
                            const struct kf__origin *origin, kf_error *error)
{
    size_t size;
    const char *list = text;
    const char *entry = kf__next_entry(&list, &size);
    if (!entry)
        return kf__config_complain(origin, error, "%s is empty: name at least one host:port",
                                   row->key);
    for (; entry; entry = kf__next_entry(&list, &size)) {
        struct kf__server_view server = kf__parse_server(entry, size);
        if (server.problem)
            return kf__config_complain(origin, error, "%s: \"%.*s\" %s", row->key, (int)size, entry,
                                       server.problem);
    }
    return KF_OK;
}

static kf_err check_instance_id(const struct kf__config_row *row, const char *text,
                                const struct kf__origin *origin, kf_error *error)
{
    size_t size = strlen(text);
    size_t good = 0;
    while (is_instance_id_letter(text[good]))
        good++;
    if (size == 0 || size > INSTANCE_ID_MAX_BYTES || good < size)
        return kf__config_complain(origin, error,
                                   "%s=%s: 1 to %d letters, digits, dots, underscores and "
                                   "hyphens are allowed",
                                   row->key, text, INSTANCE_ID_MAX_BYTES);
    return KF_OK;
}

static kf_err check_text(const struct kf__config_row *row, const char *text,
                         const struct kf__origin *origin, kf_error *error)
{
    enum kf__reset reset;
    int64_t back_ms;
    double fraction;
    int limit = row->kind == KF__ROW_SECRET ? SECRET_MAX_BYTES : TEXT_MAX_BYTES;
    if (strlen(text) > (size_t)limit)
        return kf__config_complain(origin, error, "%s is longer than %d bytes", row->key, limit);
    switch (row->form) {
    case KF__FORM_SERVERS:
        return check_servers(row, text, origin, error);
    case KF__FORM_ASSIGNORS:
        return check_assignors(row, text, origin, error);
    case KF__FORM_INSTANCE_ID:
        return check_instance_id(row, text, origin, error);
    case KF__FORM_RESET:
        if (kf__parse_reset(text, &reset, &back_ms))
            return KF_OK;
        return kf__config_complain(origin, error,
                                   "%s=%s: one of earliest, latest, none, or by_duration: and an "
                                   "ISO 8601 duration such as PT1H is expected",
                                   row->key, text);
    case KF__FORM_FRACTION:
        if (kf__parse_fraction(text, &fraction))
            return KF_OK;
        return kf__config_complain(origin, error, "%s=%s: a number from 0 to 1 is expected",
                                   row->key, text);
    case KF__FORM_ENDPOINT:
        if (!*text || strcasecmp(text, "https") == 0)
            return KF_OK;
        return kf__config_complain(origin, error,
                                   "%s=%s: https or nothing is expected; nothing leaves the "
                                   "broker's name unverified",
                                   row->key, text);
    case KF__FORM_ANY:
        break;
    }
    return KF_OK;
}

static kf_err check_number(const struct kf__config_row *row, const char *text,
                           const struct kf__origin *origin, kf_error *error)
{
    int64_t number;
    if (!kf__parse_long(text, &number))
        return kf__config_complain(origin, error, "%s=%s: a whole number is expected", row->key,
                                   text);
    if (number < row->low || number > row->high)
        return kf__config_complain(origin, error,
                                   "%s=%s: it must lie between %" PRId64 " and %" PRId64, row->key,
                                   text, row->low, row->high);
    return KF_OK;
}

/* "a|b|c" as people write it: "a, b or c". */
static const char *spell_words(const char *words, char *text, size_t size)
{
    size_t at = 0;
    while (*words && at + 5 < size) {
        if (*words != '|') {
            text[at++] = *words++;
            continue;
        }
        const char *between = strchr(++words, '|') ? ", " : " or ";
        memcpy(text + at, between, strlen(between));
        at += strlen(between);
    }
    text[at] = '\0';
    return text;
}

/* What is wrong with credentials is told without them. */
static kf_err check_secret(const struct kf__config_row *row, const char *text,
                           const struct kf__origin *origin, kf_error *error)
{
    struct kf__jaas jaas;
    kf_error problem = KF_ERROR_INIT;
    kf_err err = check_text(row, text, origin, error);
    if (err || strcmp(row->key, "sasl.jaas.config") != 0)
        return err;
    err = kf__jaas_parse(text, &jaas, &problem);
    kf__jaas_wipe(&jaas);
    return err ? kf__config_complain(origin, error, "%s", problem.text) : KF_OK;
}

kf_err kf__config_check(const struct kf__config_row *row, const char *text,
                        const struct kf__origin *origin, kf_error *error)
{
    bool truth;
    char words[128];
    switch (row->kind) {
    case KF__ROW_BOOL:
        if (kf__parse_bool(text, &truth))
            return KF_OK;
        return kf__config_complain(origin, error, "%s=%s: true or false is expected", row->key,
                                   text);
    case KF__ROW_INT:
    case KF__ROW_LONG:
        return check_number(row, text, origin, error);
    case KF__ROW_WORD:
        if (kf__parse_word(text, row->words) >= 0)
            return KF_OK;
        return kf__config_complain(origin, error, "%s=%s: %s is expected", row->key, text,
                                   spell_words(row->words, words, sizeof words));
    case KF__ROW_SECRET:
        return check_secret(row, text, origin, error);
    case KF__ROW_TEXT:
        return check_text(row, text, origin, error);
    case KF__ROW_ONLY:
        if (strcasecmp(text, row->value) == 0)
            return KF_OK;
        return kf__config_complain(origin, error, "%s=%s is not supported, only %s is: %s",
                                   row->key, text, row->value, row->doc);
    case KF__ROW_REFUSED:
        return kf__config_complain(origin, error, "%s is not supported: %s", row->key, row->doc);
    case KF__ROW_LATER_SECRET:
    case KF__ROW_LATER:
        return kf__config_complain(origin, error,
                                   "%s is not supported: this version does not have %s yet",
                                   row->key, row->doc);
    case KF__ROW_SECTION:
    case KF__ROW_ALIAS:
    case KF__ROW_IGNORED:
        break;
    }
    return KF_OK;
}
