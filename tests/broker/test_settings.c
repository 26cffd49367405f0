#include "tools/broker/admin/settings.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static const char *why_not(int8_t resource, const char *name, const char *value)
{
    static char why[KF__MAX_WHY_BYTES];
    const struct kf__setting *setting = kf__setting_find(resource, kf__text(name));
    cr_assert(ne(ptr, (void *)(uintptr_t)setting, NULL), "%s", name);
    return kf__setting_takes(setting, kf__text(value), why) ? "" : why;
}

Test(settings, rows_are_in_order_of_their_names)
{
    static const struct {
        int8_t resource;
        size_t count;
    } kinds[] = {{KF__RESOURCE_TOPIC, 37},
                 {KF__RESOURCE_GROUP, 21},
                 {KF__RESOURCE_METRICS, 3},
                 {KF__RESOURCE_BROKER, 350}};
    for (size_t k = 0; k < 4; k++) {
        size_t count;
        const struct kf__setting *rows = kf__settings_of(kinds[k].resource, &count);
        cr_assert(eq(sz, count, kinds[k].count));
        for (size_t i = 1; i < count; i++)
            cr_assert(lt(int, strcmp(rows[i - 1].name, rows[i].name), 0), "%s", rows[i].name);
    }
}

Test(settings, every_default_is_a_value_that_its_setting_takes)
{
    static const int8_t kinds[] = {KF__RESOURCE_TOPIC, KF__RESOURCE_GROUP, KF__RESOURCE_BROKER};
    char why[KF__MAX_WHY_BYTES];
    for (size_t k = 0; k < sizeof kinds; k++) {
        size_t count;
        const struct kf__setting *rows = kf__settings_of(kinds[k], &count);
        for (size_t i = 0; i < count; i++)
            cr_assert(
                not(rows[i].value && !kf__setting_takes(&rows[i], kf__text(rows[i].value), why)),
                "%s: %s", rows[i].name, why);
    }
}

Test(settings, a_fallback_names_a_setting_that_the_broker_tells_of)
{
    static const int8_t kinds[] = {KF__RESOURCE_TOPIC, KF__RESOURCE_GROUP};
    for (size_t k = 0; k < sizeof kinds; k++) {
        size_t count;
        const struct kf__setting *rows = kf__settings_of(kinds[k], &count);
        for (size_t i = 0; i < count; i++)
            if (rows[i].above && (k == 0 || strncmp(rows[i].above, "group.", 6) == 0))
                cr_assert(ne(ptr,
                             (void *)(uintptr_t)kf__setting_find(KF__RESOURCE_BROKER,
                                                                 kf__text(rows[i].above)),
                             NULL),
                          "%s", rows[i].above);
    }
}

Test(settings, says_what_is_wrong_as_kafka_does)
{
    static const char *const cases[][3] = {
        {"retention.ms", "abc",
         "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
        {"retention.ms", "",
         "Invalid value  for configuration retention.ms: Not a number of type LONG"},
        {"retention.ms", "-2",
         "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
        {"max.message.bytes", "4294967296",
         "Invalid value 4294967296 for configuration max.message.bytes: Not a number of type INT"},
        {"min.insync.replicas", "0",
         "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"},
        {"compression.lz4.level", "18",
         "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"},
        {"cleanup.policy", "delete,foo",
         "Invalid value foo for configuration cleanup.policy: String must be one of: compact, "
         "delete"},
        {"min.cleanable.dirty.ratio", "2",
         "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more "
         "than 1"},
        {"preallocate", "maybe",
         "Invalid value maybe for configuration preallocate: Expected value to be either true or "
         "false"},
        {"message.timestamp.type", "x",
         "Invalid value x for configuration message.timestamp.type: String must be one of: "
         "CreateTime, LogAppendTime"},
        {"compression.gzip.level", "-1", ""},
        {"compression.gzip.level", "10",
         "Invalid value 10 for configuration compression.gzip.level: Value must be between 1 and 9 "
         "or "
         "equal to -1"},
        {"cleanup.policy", "compact, delete", ""},
        {"cleanup.policy", "", ""},
        {"leader.replication.throttled.replicas", "0:1,1:2", ""},
        {"leader.replication.throttled.replicas", "*", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert(eq(str, (char *)(uintptr_t)why_not(KF__RESOURCE_TOPIC, cases[i][0], cases[i][1]),
                     (char *)(uintptr_t)cases[i][2]));
    cr_assert(
        ne(chr, why_not(KF__RESOURCE_TOPIC, "leader.replication.throttled.replicas", "0:x")[0], 0));
    cr_assert(
        eq(chr, why_not(KF__RESOURCE_GROUP, "share.auto.offset.reset", "by_duration:PT1H")[0], 0));
}

Test(settings, walks_a_list_without_the_spaces)
{
    size_t at = 0;
    kf_string item;
    kf_string list = kf__text(" a ,b,, c");
    const char *const wanted[] = {"a", "b", "", "c"};
    for (size_t i = 0; i < 4; i++) {
        cr_assert(kf__list_next(list, &at, &item));
        cr_assert(kf__text_equal(item, (kf_string){wanted[i], strlen(wanted[i])}));
    }
    cr_assert(not(kf__list_next(list, &at, &item)));
    at = 0;
    cr_assert(not(kf__list_next(kf__text(""), &at, &item)));
}

/* DescribeConfigs tells them so, and what obeys them reads them so. */
Test(settings, reads_values_as_java_does)
{
    static const struct {
        const char *name, *value, *canon;
    } rows[] = {{"flush.ms", " +07\n", "7"},
                {"retention.ms", "-1", "-1"},
                {"preallocate", " TRUE", "true"},
                {"preallocate", "False ", "false"},
                {"cleanup.policy", " delete , compact ", "delete,compact"},
                {"cleanup.policy", "", ""},
                {"min.cleanable.dirty.ratio", "\t0.25 ", "0.25"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char room[KF__MAX_LIST_BYTES];
        const struct kf__setting *setting =
            kf__setting_find(KF__RESOURCE_TOPIC, kf__text(rows[i].name));
        cr_assert(eq(str,
                     (char *)(uintptr_t)why_not(KF__RESOURCE_TOPIC, rows[i].name, rows[i].value),
                     (char *)""));
        kf_string canon = kf__setting_canon(setting, kf__text(rows[i].value), room, sizeof room);
        cr_assert(kf__text_equal(canon, kf__text(rows[i].canon)), "%s: %.*s", rows[i].value,
                  (int)canon.size, canon.data);
    }
    cr_assert(eq(str, (char *)(uintptr_t)why_not(KF__RESOURCE_TOPIC, "cleanup.policy", "compact,"),
                 (char *)"Configuration 'cleanup.policy' values must not be empty."));
}

Test(settings, reads_ids_as_java_does)
{
    static const char *const none[] = {"", " 1", "1 ", "x", "99999999999", "-"};
    int32_t number;
    cr_assert(kf__java_int(kf__text("-01"), &number));
    cr_assert(eq(i32, number, -1));
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_assert(not(kf__java_int(kf__text(none[i]), &number)), "'%s'", none[i]);
}
