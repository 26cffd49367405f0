#include "tools/broker/admin/settings.h"

#include "tools/broker/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- the rows ---- */

#define ANY                         .rule = KF__ANY_VALUE
#define FROM(least)                 .rule = KF__AT_LEAST, .low = (least)
#define WITHIN(least, most)         .rule = KF__BETWEEN, .low = (least), .high = (most)
#define WITHIN_OR_NONE(least, most) .rule = KF__BETWEEN_OR_NONE, .low = (least), .high = (most)
#define AMONG(names)                .rule = KF__ONE_OF, .among = (names)
#define REPLICAS                    .rule = KF__REPLICA_LIST
#define OFFSET_RESET                .rule = KF__OFFSET_RESET

#define KF_SETTING(key, kind, standard, values, broker, said)                                      \
    {.name = (key),                                                                                \
     .type = KF__SETTING_##kind,                                                                   \
     .value = (standard),                                                                          \
     .above = (broker),                                                                            \
     .text = (said),                                                                               \
     values},

static const struct kf__setting of_topics[] = {
#include "tools/broker/admin/settings_topic.def"
};

static const struct kf__setting of_groups[] = {
#include "tools/broker/admin/settings_group.def"
};

static const struct kf__setting of_metrics[] = {
#include "tools/broker/admin/settings_metrics.def"
};

#undef KF_SETTING
#define READ_ONLY 1
#define SECRET    2
#define KF_SETTING(key, kind, standard, values, flags)                                             \
    {.name = (key),                                                                                \
     .type = KF__SETTING_##kind,                                                                   \
     .value = (standard),                                                                          \
     .read_only = ((flags) & READ_ONLY) != 0,                                                      \
     .secret = ((flags) & SECRET) != 0,                                                            \
     values},

static const struct kf__setting of_brokers[] = {
#include "tools/broker/admin/settings_broker.def"
};

const struct kf__setting *kf__settings_of(int8_t resource, size_t *count)
{
    switch (resource) {
    case KF__RESOURCE_TOPIC:
        *count = sizeof of_topics / sizeof *of_topics;
        return of_topics;
    case KF__RESOURCE_BROKER:
        *count = sizeof of_brokers / sizeof *of_brokers;
        return of_brokers;
    case KF__RESOURCE_GROUP:
        *count = sizeof of_groups / sizeof *of_groups;
        return of_groups;
    case KF__RESOURCE_METRICS:
        *count = sizeof of_metrics / sizeof *of_metrics;
        return of_metrics;
    default:
        *count = 0;
        return NULL;
    }
}

const struct kf__setting *kf__setting_find(int8_t resource, kf_string name)
{
    size_t low = 0, high;
    const struct kf__setting *rows = kf__settings_of(resource, &high);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = kf__text_compare(kf__text(rows[middle].name), name);
        if (order == 0)
            return &rows[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- values ---- */

bool kf__list_next(kf_string list, size_t *at, kf_string *item)
{
    if (!list.data || *at > list.size || list.size == 0)
        return false;
    size_t start = *at, end = start;
    while (end < list.size && list.data[end] != ',')
        end++;
    *at = end + 1;
    while (start < end && list.data[start] == ' ')
        start++;
    while (end > start && list.data[end - 1] == ' ')
        end--;
    *item = (kf_string){.data = list.data + start, .size = end - start};
    return true;
}

bool kf__list_has(kf_string list, kf_string item)
{
    size_t at = 0;
    kf_string one;
    while (kf__list_next(list, &at, &one))
        if (kf__text_equal(one, item))
            return true;
    return false;
}

static bool refuse(const struct kf__setting *setting, kf_string value, const char *reason,
                   char *why)
{
    int shown = (int)(value.size < 100 ? value.size : 100);
    snprintf(why, KF__MAX_WHY_BYTES, "Invalid value %.*s for configuration %s: %s", shown,
             value.data, setting->name, reason);
    return false;
}

/* The whole of `value` as a number; false where it isn't one of the type. */
static bool read_whole(const struct kf__setting *setting, kf_string value, int64_t *number)
{
    char digits[24], *end;
    if (value.size == 0 || value.size >= sizeof digits)
        return false;
    memcpy(digits, value.data, value.size);
    digits[value.size] = 0;
    if (digits[0] == ' ')
        return false;
    errno = 0;
    *number = strtoll(digits, &end, 10);
    if (errno || *end)
        return false;
    if (setting->type == KF__SETTING_INT)
        return *number >= INT32_MIN && *number <= INT32_MAX;
    return setting->type != KF__SETTING_SHORT || (*number >= INT16_MIN && *number <= INT16_MAX);
}

static const char *type_name(enum kf__setting_type type)
{
    switch (type) {
    case KF__SETTING_INT:
        return "INT";
    case KF__SETTING_SHORT:
        return "SHORT";
    case KF__SETTING_LONG:
        return "LONG";
    default:
        return "DOUBLE";
    }
}

static bool takes_whole(const struct kf__setting *setting, kf_string value, kf_string told,
                        char *why)
{
    int64_t number;
    char reason[100];
    if (!read_whole(setting, value, &number)) {
        snprintf(reason, sizeof reason, "Not a number of type %s", type_name(setting->type));
        return refuse(setting, told, reason, why);
    }
    bool low = setting->rule != KF__ANY_VALUE && number < setting->low;
    bool high =
        setting->rule != KF__ANY_VALUE && setting->rule != KF__AT_LEAST && number > setting->high;
    if (setting->rule == KF__BETWEEN_OR_NONE && (low || high)) {
        if (number == -1)
            return true;
        snprintf(reason, sizeof reason, "Value must be between %lld and %lld or equal to -1",
                 (long long)setting->low, (long long)setting->high);
        return refuse(setting, value, reason, why);
    }
    if (!low && !high)
        return true;
    snprintf(reason, sizeof reason,
             low ? "Value must be at least %lld" : "Value must be no more than %lld",
             (long long)(low ? setting->low : setting->high));
    return refuse(setting, value, reason, why);
}

/* The doubles that can be altered are ratios. */
static bool takes_double(const struct kf__setting *setting, kf_string value, char *why)
{
    char digits[40], *end, shown[40];
    if (value.size == 0 || value.size >= sizeof digits)
        return refuse(setting, value, "Not a number of type DOUBLE", why);
    memcpy(digits, value.data, value.size);
    digits[value.size] = 0;
    double number = strtod(digits, &end);
    if (*end)
        return refuse(setting, value, "Not a number of type DOUBLE", why);
    if (setting->rule != KF__BETWEEN ||
        (number >= (double)setting->low && number <= (double)setting->high))
        return true;
    bool low = number < (double)setting->low;
    int length = snprintf(shown, sizeof shown, "%.15g", number);
    if (!strpbrk(shown, ".en"))
        snprintf(shown + length, sizeof shown - (size_t)length, ".0");
    char reason[100];
    snprintf(reason, sizeof reason,
             low ? "Value must be at least %lld" : "Value must be no more than %lld",
             (long long)(low ? setting->low : setting->high));
    return refuse(setting, kf__text(shown), reason, why);
}

static bool takes_one_of(const struct kf__setting *setting, kf_string value, char *why)
{
    char reason[200];
    if (kf__list_has(kf__text(setting->among), value))
        return true;
    snprintf(reason, sizeof reason, "String must be one of: %s", setting->among);
    return refuse(setting, value, reason, why);
}

static bool is_number(kf_string text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.size > 0;
}

static bool is_replica(kf_string text)
{
    const char *colon = text.size > 0 ? memchr(text.data, ':', text.size) : NULL;
    if (!colon)
        return false;
    size_t before = (size_t)(colon - text.data);
    return is_number((kf_string){.data = text.data, .size = before}) &&
           is_number((kf_string){.data = colon + 1, .size = text.size - before - 1});
}

static bool takes_list(const struct kf__setting *setting, kf_string value, char *why)
{
    size_t at = 0;
    kf_string item;
    while (setting->rule == KF__ONE_OF && kf__list_next(value, &at, &item))
        if (item.size == 0) {
            snprintf(why, KF__MAX_WHY_BYTES, "Configuration '%s' values must not be empty.",
                     setting->name);
            return false;
        }
    at = 0;
    if (setting->rule == KF__REPLICA_LIST && kf__text_equal(value, kf__text("*")))
        return true;
    while (kf__list_next(value, &at, &item)) {
        if (setting->rule == KF__ONE_OF && !takes_one_of(setting, item, why))
            return false;
        if (setting->rule == KF__REPLICA_LIST && !is_replica(item))
            return refuse(setting, value,
                          "Must be the literal '*' or a list of replicas in the following format: "
                          "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                          why);
    }
    return true;
}

static bool takes_text(const struct kf__setting *setting, kf_string value, char *why)
{
    static const char by_duration[] = "by_duration:PT";
    if (setting->rule == KF__ONE_OF)
        return takes_one_of(setting, value, why);
    if (setting->rule != KF__OFFSET_RESET || kf__list_has(kf__text("latest,earliest"), value))
        return true;
    size_t prefix = sizeof by_duration - 2; /* days come before the T */
    if (value.size > prefix && memcmp(value.data, by_duration, prefix) == 0)
        return true;
    return refuse(setting, value, "must be one of: latest, earliest, by_duration:PnDTnHnMn.nS",
                  why);
}

/* Java's idea of it: all that isn't above a space. */
static kf_string trim(kf_string value)
{
    while (value.size > 0 && (unsigned char)value.data[0] <= ' ') {
        value.data++;
        value.size--;
    }
    while (value.size > 0 && (unsigned char)value.data[value.size - 1] <= ' ')
        value.size--;
    return value;
}

static bool is_word(kf_string value, const char *word)
{
    return value.size == strlen(word) && strncasecmp(value.data, word, value.size) == 0;
}

bool kf__setting_takes(const struct kf__setting *setting, kf_string value, char *why)
{
    kf_string told = value;
    value = trim(value);
    switch (setting->type) {
    case KF__SETTING_BOOLEAN:
        return is_word(value, "true") || is_word(value, "false") ||
               refuse(setting, value, "Expected value to be either true or false", why);
    case KF__SETTING_INT:
    case KF__SETTING_SHORT:
    case KF__SETTING_LONG:
        return takes_whole(setting, value, told, why);
    case KF__SETTING_DOUBLE:
        return takes_double(setting, value, why);
    case KF__SETTING_LIST:
        return takes_list(setting, value, why);
    default:
        return takes_text(setting, value, why);
    }
}

static kf_string join(kf_string list, char *room, size_t size)
{
    size_t used = 0, at = 0;
    kf_string item;
    if (list.size >= size)
        return list;
    while (kf__list_next(list, &at, &item)) {
        if (used > 0)
            room[used++] = ',';
        memcpy(room + used, item.data, item.size);
        used += item.size;
    }
    room[used] = 0;
    return (kf_string){room, used};
}

kf_string kf__setting_canon(const struct kf__setting *setting, kf_string value, char *room,
                            size_t size)
{
    int64_t number;
    kf_string bare = trim(value);
    if (!value.data)
        return value;
    switch (setting->type) {
    case KF__SETTING_BOOLEAN:
        return kf__text(is_word(bare, "true") ? "true" : "false");
    case KF__SETTING_INT:
    case KF__SETTING_SHORT:
    case KF__SETTING_LONG:
        if (!read_whole(setting, bare, &number))
            return value;
        snprintf(room, size, "%lld", (long long)number);
        return kf__text(room);
    case KF__SETTING_LIST:
        return join(bare, room, size);
    default:
        return bare;
    }
}

bool kf__java_int(kf_string text, int32_t *number)
{
    static const struct kf__setting an_int = {.type = KF__SETTING_INT};
    int64_t read = 0;
    bool whole =
        text.size > 0 && (unsigned char)text.data[0] > ' ' && read_whole(&an_int, text, &read);
    *number = (int32_t)read;
    return whole;
}
