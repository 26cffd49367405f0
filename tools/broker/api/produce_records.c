/* produce_records: see produce_records.h. */
#include "tools/broker/api/produce_records.h"

#include "tools/broker/state.h"
#include "tools/broker/text.h"

enum {
    TEXT_BYTES = 256,
    NO_TIMESTAMP = -1,
};

typedef struct kf_produce_response_batch_index_and_error_message record_error;

struct check {
    struct kf__exchange *exchange;
    const struct kf__topic *topic;
    int32_t partition;
    int64_t earliest; /* milliseconds */
    int64_t latest;
    int32_t refused;
    bool untimely;       /* at least one of them */
    record_error *items; /* NULL: they are only counted */
};

static int64_t sum(int64_t a, int64_t b)
{
    if (b > 0)
        return a > INT64_MAX - b ? INT64_MAX : a + b;
    return a < INT64_MIN - b ? INT64_MIN : a + b;
}

static bool is_untimely(const struct check *check, int64_t timestamp)
{
    return !check->topic->settings.append_time && timestamp != NO_TIMESTAMP &&
           (timestamp < check->earliest || timestamp > check->latest);
}

static bool lacks_key(const struct check *check, const struct kf__record *record)
{
    return check->topic->settings.compacts && !record->key.data;
}

static void name(struct check *check, int32_t index, const struct kf__record *record, bool no_key)
{
    char text[TEXT_BYTES];
    if (no_key)
        snprintf(text, sizeof text, "A compacted topic takes no record without a key: %.*s-%d",
                 (int)check->topic->name.size, check->topic->name.data, check->partition);
    else
        snprintf(text, sizeof text,
                 "The timestamp %lld of the record at %lld is out of range: it should be within "
                 "[%lld, %lld]",
                 (long long)record->timestamp, (long long)record->offset,
                 (long long)check->earliest, (long long)check->latest);
    record_error *item = &check->items[check->refused];
    item->batch_index = index;
    item->batch_index_error_message = kf__answer_text(check->exchange, kf__text(text));
}

static void look_at(struct check *check, int32_t index, const struct kf__record *record)
{
    bool no_key = lacks_key(check, record);
    bool untimely = !no_key && is_untimely(check, record->timestamp);
    if (!no_key && !untimely)
        return;
    if (check->items)
        name(check, index, record, no_key);
    check->untimely |= untimely;
    check->refused++;
}

static kf_err walk(struct check *check, const struct kf__batch *batch)
{
    struct kf_broker *broker = check->exchange->broker;
    struct kf__records records;
    struct kf__record record;
    bool more = true;
    check->refused = 0;
    broker->scratch.used = 0;
    kf_err err =
        kf__batch_open(batch, &broker->codecs, &broker->scratch, KF__MAX_REQUEST_BYTES, &records);
    for (int32_t index = 0; !err && more; index++) {
        err = kf__records_next(&records, &record, &more);
        if (!err && more)
            look_at(check, index, &record);
    }
    return err ? KF_ERR_CORRUPT_MESSAGE : KF_OK;
}

static bool may_refuse(const struct check *check, const struct kf__batch *batch)
{
    const struct kf__topic_settings *settings = &check->topic->settings;
    return settings->compacts || (!settings->append_time && (batch->max_timestamp > check->latest ||
                                                             check->earliest > NO_TIMESTAMP));
}

kf_err kf__check_each_record(struct kf__exchange *exchange, const struct kf__topic *topic,
                             const struct kf__batch *batch,
                             struct kf_produce_response_partition_produce_response *answer)
{
    int64_t now = kf__broker_wall_ms(exchange->broker);
    struct check check = {
        .exchange = exchange,
        .topic = topic,
        .partition = answer->index,
        .earliest = sum(now, -topic->settings.before_max_ms),
        .latest = sum(now, topic->settings.after_max_ms),
    };
    if (!may_refuse(&check, batch))
        return KF_OK;
    kf_err err = walk(&check, batch);
    if (err || !check.refused)
        return err;
    int32_t refused = check.refused;
    check.items = kf_arena_alloc(&exchange->arena, (size_t)refused * sizeof *check.items);
    if (!check.items)
        return KF_ERR_NO_MEMORY;
    memset(check.items, 0, (size_t)refused * sizeof *check.items);
    (void)walk(&check, batch);
    answer->record_errors.items = check.items;
    answer->record_errors.count = refused;
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%d of %d records of the batch were refused; each says why",
             refused, batch->record_count);
    answer->error_message = kf__answer_text(exchange, kf__text(text));
    return check.untimely ? KF_ERR_INVALID_TIMESTAMP : KF_ERR_INVALID_RECORD;
}
