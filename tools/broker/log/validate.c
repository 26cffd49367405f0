#include "tools/broker/log/validate.h"

#include "tools/broker/text.h"

#include <stdio.h>

enum {
    FIRST_VERSION_WITH_ZSTD = 7,
    LEAST_RECORD_BYTES = 14,  /* Kafka's minimum record overhead */
    MAGIC_AT = 16,            /* in a batch of any version */
    MAX_UNPACKED = 100 << 20, /* bytes that one batch may become */
    SHOWN_ERRORS = 3,
    WHY_BYTES = 400, /* of one record */
};

/* ---- the bytes alone ---- */

static kf_err say(struct kf__complaint *complaint, kf_err err, const char *format, int number)
{
    snprintf(complaint->why, sizeof complaint->why, format, number);
    return err;
}

/* The batch that the bytes begin with; size 0: they hold no whole one. */
static kf_err measure(kf_bytes bytes, size_t *size, struct kf__complaint *complaint)
{
    *size = 0;
    if (bytes.size < KF__BATCH_OVERHEAD)
        return KF_OK;
    const uint8_t *at = bytes.data + 8;
    int32_t length =
        (int32_t)((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
    if (length < LEAST_RECORD_BYTES)
        return say(complaint, KF_ERR_CORRUPT_MESSAGE,
                   "Record size %d is less than the minimum record overhead (14)", length);
    if (bytes.size <= MAGIC_AT)
        return KF_OK;
    int8_t magic = (int8_t)bytes.data[MAGIC_AT];
    if (magic < 0 || magic > 2)
        return say(complaint, KF_ERR_CORRUPT_MESSAGE, "Invalid magic found in record: %d", magic);
    if ((size_t)length <= bytes.size - KF__BATCH_OVERHEAD)
        *size = (size_t)length + KF__BATCH_OVERHEAD;
    return KF_OK;
}

kf_err kf__validate_request(kf_bytes records, const struct kf__expected *expected,
                            struct kf__batch *batch, struct kf__complaint *complaint)
{
    size_t size, next = 0;
    *complaint = (struct kf__complaint){0};
    kf_err err = measure(records, &size, complaint);
    if (err)
        return err;
    if (size == 0 || records.data[MAGIC_AT] != 2)
        return KF_ERR_INVALID_RECORD;
    kf_bytes rest = {records.data + size, records.size - size};
    err = measure(rest, &next, complaint); /* what is less than a batch is not looked at */
    if (err)
        return err;
    if (next > 0)
        return KF_ERR_INVALID_RECORD;
    if (kf__batch_peek(records.data, size, batch)) { /* its counts contradict each other */
        complaint->of_log = true;
        return KF_ERR_INVALID_RECORD;
    }
    if (batch->codec == KF_CODEC_ZSTD && expected->version < FIRST_VERSION_WITH_ZSTD)
        return KF_ERR_UNSUPPORTED_COMPRESSION_TYPE;
    return KF_OK;
}

/* ---- records ---- */

static kf_err complain(const struct kf__expected *expected, const struct kf__batch *batch,
                       struct kf__complaint *complaint, int32_t index, const char *why)
{
    kf_arena *arena = expected->arena;
    if (!complaint->records)
        complaint->records =
            kf_arena_alloc(arena, (size_t)batch->record_count * sizeof *complaint->records);
    size_t size = strlen(why);
    char *copy = kf_arena_alloc(arena, size + 1);
    if (!complaint->records || !copy)
        return KF_ERR_NO_MEMORY;
    memcpy(copy, why, size + 1);
    complaint->records[complaint->record_count++] =
        (kf__record_error){.batch_index = index, .batch_index_error_message = {copy, size}};
    return KF_OK;
}

/* A compacted log can't do with a record that has no key. */
static kf_err check_key(const struct kf__expected *expected, const struct kf__batch *batch,
                        const struct kf__record *record, int32_t index,
                        struct kf__complaint *complaint)
{
    char why[WHY_BYTES];
    if (!expected->settings->compacts || record->key.data)
        return KF_OK;
    snprintf(why, sizeof why,
             "Compacted topic cannot accept message without key in topic partition %.*s-%d",
             (int)expected->topic.size, expected->topic.data, (int)expected->partition);
    return complain(expected, batch, complaint, index, why);
}

static kf_err check_time(const struct kf__expected *expected, const struct kf__batch *batch,
                         const struct kf__record *record, int32_t index,
                         struct kf__complaint *complaint)
{
    char why[WHY_BYTES];
    const struct kf__topic_settings *settings = expected->settings;
    int64_t now = expected->wall_ms;
    int64_t earliest = (int64_t)((uint64_t)now - (uint64_t)settings->before_max_ms);
    int64_t latest =
        settings->after_max_ms < INT64_MAX - now ? now + settings->after_max_ms : INT64_MAX;
    if (settings->append_time || record->timestamp == -1 ||
        (record->timestamp >= earliest && record->timestamp <= latest))
        return KF_OK;
    complaint->err = KF_ERR_INVALID_TIMESTAMP;
    snprintf(why, sizeof why,
             "Timestamp %lld of message with offset %d is out of range. The timestamp should be "
             "within [%lld, %lld]",
             (long long)record->timestamp, (int)index, (long long)earliest, (long long)latest);
    return complain(expected, batch, complaint, index, why);
}

/* What a broken batch is, Kafka's validator tells by the exceptions that it meets. */
static kf_err broken(const struct kf__batch *batch, kf_err err)
{
    if (err == KF_ERR_NO_MEMORY)
        return err;
    if (err == KF_ERR_CODEC_NOT_BUILT)
        return KF_OK; /* whoever reads it may have it */
    if (err == KF_ERR_BATCH_TOO_LARGE)
        return KF_ERR_MESSAGE_TOO_LARGE;
    bool unpacked = err == KF_ERR_BAD_BATCH || batch->codec == KF_CODEC_NONE;
    return unpacked ? KF_ERR_INVALID_RECORD : KF_ERR_UNKNOWN_SERVER_ERROR;
}

/* Of a record whose length stands at `from`, that length left out. */
static int64_t body_size(const uint8_t *from, const uint8_t *end)
{
    while (from < end && *from & 0x80)
        from++;
    return end - from - 1;
}

static kf_err check_records(const struct kf__batch *batch, const struct kf__expected *expected,
                            int64_t *max_timestamp, struct kf__complaint *complaint)
{
    struct kf__records records;
    struct kf__record record;
    bool more = true;
    expected->scratch->used = 0;
    kf_err err = kf__batch_open(batch, expected->codecs, expected->scratch, MAX_UNPACKED, &records);
    for (int32_t i = 0; !err; i++) {
        const uint8_t *at = records.at;
        err = kf__records_next(&records, &record, &more);
        if (err || !more)
            break;
        if (batch->codec != KF_CODEC_NONE &&
            body_size(at, records.at) > expected->settings->max_unpacked_record_bytes)
            return KF_ERR_INVALID_RECORD;
        if (batch->codec != KF_CODEC_NONE && record.offset != batch->base_offset + i)
            return KF_ERR_UNKNOWN_SERVER_ERROR;
        if (record.timestamp > *max_timestamp)
            *max_timestamp = record.timestamp;
        int32_t before = complaint->record_count;
        err = check_key(expected, batch, &record, i, complaint);
        if (!err && complaint->record_count == before) /* one complaint a record */
            err = check_time(expected, batch, &record, i, complaint);
        if (err)
            return KF_ERR_NO_MEMORY;
    }
    return err ? broken(batch, err) : KF_OK;
}

/* The first of the complaints, in one sentence. */
static kf_err sum_up(struct kf__complaint *complaint)
{
    size_t size = sizeof complaint->why;
    if (complaint->err) {
        snprintf(complaint->why, size,
                 "One or more records have been rejected due to invalid "
                 "timestamp");
        return complaint->err;
    }
    int used = snprintf(complaint->why, size,
                        "One or more records have been rejected due to %d record errors in total, "
                        "and only showing the first three errors at most: [",
                        (int)complaint->record_count);
    for (int32_t i = 0; i < complaint->record_count && i < SHOWN_ERRORS; i++)
        used += snprintf(complaint->why + used, size - (size_t)used,
                         "%sRecordError(batchIndex=%d, message='%.200s')", i > 0 ? ", " : "",
                         (int)complaint->records[i].batch_index,
                         complaint->records[i].batch_index_error_message.data);
    snprintf(complaint->why + used, size - (size_t)used, "]");
    return KF_ERR_INVALID_RECORD;
}

/* ---- the batch ---- */

static kf_err check_head(const struct kf__batch *batch)
{
    int64_t offsets = batch->last_offset - batch->base_offset + 1;
    if (batch->control || batch->record_count <= 0 || offsets != batch->record_count)
        return KF_ERR_INVALID_RECORD;
    if (batch->producer_id >= 0 && batch->base_sequence < 0)
        return KF_ERR_INVALID_RECORD;
    return KF_OK;
}

kf_err kf__validate_batch(const struct kf__batch *batch, const struct kf__expected *expected,
                          int64_t *max_timestamp, struct kf__complaint *complaint)
{
    const struct kf__topic_settings *settings = expected->settings;
    *complaint = (struct kf__complaint){.of_log = true};
    *max_timestamp = -1;
    if (batch->base_offset != 0)
        return KF_ERR_INVALID_RECORD;
    complaint->of_log = false;
    if (batch->size > (uint64_t)settings->max_message_bytes)
        return KF_ERR_MESSAGE_TOO_LARGE;
    if (kf__batch_check(batch))
        return KF_ERR_CORRUPT_MESSAGE;
    complaint->of_log = true;
    kf_err err = check_head(batch);
    if (!err)
        err = check_records(batch, expected, max_timestamp, complaint);
    if (!err && complaint->record_count > 0)
        err = sum_up(complaint);
    if (err)
        return err;
    complaint->of_log = false;
    return batch->size > (uint64_t)settings->segment_bytes ? KF_ERR_RECORD_LIST_TOO_LARGE : KF_OK;
}
