#include "tools/broker/admin/telemetry.h"

#include "proto/bytes/crc32c.h"
#include "tools/broker/group/topic_regex.h"
#include "tools/broker/state.h"

enum {
    STANDARD_INTERVAL_MS = 300000, /* without a subscription */
    MAX_METRICS = 1000,            /* of all subscriptions together */
    MAX_STEPS = 1000000,           /* of one pattern */
};

bool kf__telemetry_is_nobody(kf_uuid client)
{
    static const kf_uuid zero;
    return memcmp(client.bytes, zero.bytes, sizeof zero.bytes) == 0;
}

/* 22 letters of base64url, as Kafka prints ids. */
static void print_id(kf_uuid id, char text[23])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    int held = 0, at = 0;
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        bits = bits << 8 | id.bytes[i];
        for (held += 8; held >= 6; held -= 6)
            text[at++] = letters[bits >> (held - 6) & 63];
    }
    text[at++] = letters[bits << (6 - held) & 63];
    text[at] = 0;
}

/* In RE2's syntax as far as group/topic_regex.h has it: a client's own can't hold the broker up. */
static bool matches_whole(const struct kf__exchange *exchange, kf_string pattern, kf_string value)
{
    struct kf__regex *regex;
    const char *why;
    int64_t steps = MAX_STEPS;
    if (kf__regex_compile(exchange->broker->alloc, pattern, &regex, &why))
        return false;
    bool matches = kf__regex_matches(regex, value, &steps);
    kf__regex_free(regex);
    return matches;
}

/* "client_id=a.*": all of a subscription's must hold. */
static bool holds(const struct kf__exchange *exchange, kf_string client, kf_string condition)
{
    const char *equals = condition.size > 0 ? memchr(condition.data, '=', condition.size) : NULL;
    if (!equals)
        return false;
    size_t size = (size_t)(equals - condition.data);
    kf_string key = {.data = condition.data, .size = size};
    kf_string pattern = {.data = equals + 1, .size = condition.size - size - 1};
    if (kf__text_equal(key, kf__text("client_id")))
        return matches_whole(exchange, pattern, exchange->client_id);
    if (kf__text_equal(key, kf__text("client_instance_id")))
        return matches_whole(exchange, pattern, client);
    if (kf__text_equal(key, kf__text("client_source_address")))
        return matches_whole(exchange, pattern, exchange->client_host);
    return false;
}

static bool is_meant(const struct kf__exchange *exchange, kf_string client, kf_string conditions)
{
    size_t at = 0;
    kf_string condition;
    while (kf__list_next(conditions, &at, &condition))
        if (!holds(exchange, client, condition))
            return false;
    return true;
}

static void add_metrics(struct kf__exchange *exchange, kf_string metrics,
                        struct kf__telemetry_wish *wish)
{
    size_t at = 0;
    kf_string metric;
    while (wish->metric_count < MAX_METRICS && kf__list_next(metrics, &at, &metric)) {
        if (kf__text_equal(metric, kf__text("*")))
            metric = kf__text("");
        wish->metrics[wish->metric_count++] = kf__answer_text(exchange, metric);
    }
}

/* Where all metrics are wished for, nothing else needs saying. */
static void shorten(struct kf__telemetry_wish *wish)
{
    for (int32_t i = 0; i < wish->metric_count; i++)
        if (wish->metrics[i].size == 0) {
            wish->metrics[0] = wish->metrics[i];
            wish->metric_count = 1;
        }
}

kf_err kf__telemetry_wish(struct kf__exchange *exchange, kf_uuid client,
                          struct kf__telemetry_wish *wish)
{
    const struct kf__configs *configs = &exchange->broker->configs;
    char id[23];
    print_id(client, id);
    *wish = (struct kf__telemetry_wish){.interval_ms = STANDARD_INTERVAL_MS};
    wish->metrics = kf_arena_alloc(&exchange->arena, MAX_METRICS * sizeof *wish->metrics);
    if (!wish->metrics)
        return KF_ERR_NO_MEMORY;
    int64_t shortest = INT64_MAX;
    for (size_t i = 0; i < configs->count; i++) {
        kf_string name = configs->items[i].name;
        if (configs->items[i].type != KF__RESOURCE_METRICS ||
            !is_meant(exchange, kf__text(id),
                      kf__configs_value(configs, KF__RESOURCE_METRICS, name, "match")))
            continue;
        int64_t interval = kf__configs_number(configs, KF__RESOURCE_METRICS, name, "interval.ms");
        shortest = interval < shortest ? interval : shortest;
        add_metrics(exchange, kf__configs_value(configs, KF__RESOURCE_METRICS, name, "metrics"),
                    wish);
    }
    if (shortest < INT64_MAX)
        wish->interval_ms = (int32_t)shortest;
    shorten(wish);
    uint32_t crc = kf__crc32c(0, &wish->interval_ms, sizeof wish->interval_ms);
    for (int32_t i = 0; i < wish->metric_count; i++)
        crc = kf__crc32c(crc ^ (uint32_t)i, wish->metrics[i].data, wish->metrics[i].size);
    wish->id = (int32_t)(crc ^ kf__crc32c(0, client.bytes, sizeof client.bytes));
    return KF_OK;
}
