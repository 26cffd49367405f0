/*
 * Compaction in two passes, as Kafka's cleaner does it:
 *
 *   1. which offset is the last one of each key (keys by two hashes, as Kafka
 *      knows them by their MD5: no key is kept)
 *   2. each batch again: as it was, with fewer records, or not at all
 *
 * A tombstone stays for delete.retention.ms after the first compaction that
 * saw it. Kafka notes that time in the batch (KIP-534), we in the index.
 */
#include "tools/broker/log/cleaner.h"

#include "tools/broker/log/rebatch.h"
#include "tools/broker/txn/txn_log.h"

/* ---- the last offset of each key ---- */

struct seen {
    uint64_t hash[2]; /* both 0: a free place */
    int64_t offset;
};

struct seen_keys {
    const kf_allocator *alloc;
    struct seen *places;
    size_t capacity; /* a power of two */
    size_t count;
};

static void hash_key(kf_bytes key, uint64_t hash[2])
{
    uint64_t a = UINT64_C(14695981039346656037), b = UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < key.size; i++) {
        a = (a ^ key.data[i]) * UINT64_C(1099511628211);
        b = (b + key.data[i]) * UINT64_C(0xBF58476D1CE4E5B9);
        b ^= b >> 29;
    }
    hash[0] = a | 1;
    hash[1] = b ^ key.size;
}

static struct seen *place_of(const struct seen_keys *keys, const uint64_t hash[2])
{
    size_t at = (size_t)(hash[0] ^ hash[1]) & (keys->capacity - 1);
    while (keys->places[at].hash[0] != 0 &&
           (keys->places[at].hash[0] != hash[0] || keys->places[at].hash[1] != hash[1]))
        at = (at + 1) & (keys->capacity - 1);
    return &keys->places[at];
}

static kf_err grow(struct seen_keys *keys)
{
    struct seen_keys larger = {.alloc = keys->alloc,
                               .capacity = keys->capacity ? keys->capacity * 2 : 256,
                               .count = keys->count};
    larger.places = kf_alloc_zero(keys->alloc, larger.capacity * sizeof *larger.places);
    if (!larger.places)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < keys->capacity; i++)
        if (keys->places[i].hash[0] != 0)
            *place_of(&larger, keys->places[i].hash) = keys->places[i];
    kf_free(keys->alloc, keys->places);
    *keys = larger;
    return KF_OK;
}

static kf_err note_key(struct seen_keys *keys, kf_bytes key, int64_t offset)
{
    uint64_t hash[2];
    if (keys->count * 2 >= keys->capacity) {
        kf_err err = grow(keys);
        if (err)
            return err;
    }
    hash_key(key, hash);
    struct seen *place = place_of(keys, hash);
    keys->count += place->hash[0] == 0;
    *place = (struct seen){.hash = {hash[0], hash[1]}, .offset = offset};
    return KF_OK;
}

/* ---- compaction ---- */

struct compaction {
    struct kf_broker *broker;
    struct seen_keys keys;
    const struct kf__aborted *aborted;
    bool is_aborted; /* the batch under way */
    int64_t now;
    int64_t delete_horizon; /* of the batch under way */
    int32_t dropped;        /* records of it */
    bool has_tombstones;
};

static bool keeps(void *context, const struct kf__record *record)
{
    struct compaction *c = context;
    uint64_t hash[2];
    if (record->key.data && !c->is_aborted) {
        hash_key(record->key, hash);
        bool last = place_of(&c->keys, hash)->offset == record->offset;
        bool expired = !record->value.data && c->delete_horizon > 0 && c->delete_horizon <= c->now;
        if (last && !expired) {
            c->has_tombstones |= !record->value.data;
            return true;
        }
    }
    c->dropped++;
    return false;
}

/* How many batches from the first on are compacted. */
static size_t count_cleanable(const struct kf__partition_log *log,
                              const struct kf__topic_settings *settings, int64_t end, int64_t now)
{
    size_t count = 0;
    while (count < log->batch_count && log->batches[count].last_offset < end &&
           (settings->min_compaction_lag_ms <= 0 ||
            log->batches[count].max_timestamp <= now - settings->min_compaction_lag_ms))
        count++;
    return count;
}

static bool is_aborted(const struct kf__aborted *aborted, const struct kf__batch *batch)
{
    for (size_t i = 0; batch->transactional && i < aborted->count; i++)
        if (aborted->items[i].producer_id == batch->producer_id &&
            aborted->items[i].first_offset <= batch->base_offset &&
            aborted->items[i].last_offset > batch->base_offset)
            return true;
    return false;
}

static kf_err collect_keys(struct compaction *c, const struct kf__partition_log *log, size_t count)
{
    struct kf_broker *broker = c->broker;
    kf_err err = grow(&c->keys);
    for (size_t i = 0; !err && i < count; i++) {
        struct kf__batch batch;
        struct kf__records records;
        struct kf__record record;
        bool more = true;
        err = kf__batch_peek(log->batches[i].bytes, log->batches[i].size, &batch);
        if (err || batch.control || is_aborted(c->aborted, &batch))
            continue;
        broker->scratch.used = 0;
        err = kf__batch_open(&batch, &broker->codecs, &broker->scratch, KF__MAX_UNPACKED_BYTES,
                             &records);
        while (!err && more) {
            err = kf__records_next(&records, &record, &more);
            if (!err && more && record.key.data)
                err = note_key(&c->keys, record.key, record.offset);
        }
    }
    return err;
}

/* The batch as it is now, into the log in the making. */
static kf_err write_again(struct compaction *c, const struct kf__topic_settings *settings,
                          const struct kf__plog_batch *from, bool last,
                          struct kf__partition_log *made)
{
    struct kf_broker *broker = c->broker;
    struct kf__batch batch;
    kf_err err = kf__batch_peek(from->bytes, from->size, &batch);
    if (err || batch.control)
        return err ? err : kf__plog_keep(made, &batch, 0);
    struct kf__rebatch how = {
        .codec = batch.codec, .append_time = -1, .keeps = keeps, .context = c};
    c->is_aborted = is_aborted(c->aborted, &batch);
    c->delete_horizon = from->delete_horizon;
    c->dropped = 0;
    c->has_tombstones = false;
    broker->rebatched.used = 0;
    err = kf__rebatch(&batch, &how, &broker->codecs, &broker->scratch, &broker->rebatched);
    if (err)
        return err;
    if (c->dropped == batch.record_count && !last)
        return KF_OK;
    int64_t horizon = from->delete_horizon;
    if (horizon == 0 && c->has_tombstones)
        horizon = settings->delete_retention_ms < INT64_MAX - c->now
                      ? c->now + settings->delete_retention_ms
                      : INT64_MAX;
    if (c->dropped > 0)
        err = kf__batch_peek(broker->rebatched.bytes, broker->rebatched.used, &batch);
    return err ? err : kf__plog_keep(made, &batch, horizon);
}

kf_err kf__compact(struct kf_broker *broker, const struct kf__topic_settings *settings,
                   struct kf__partition *partition, int64_t end, int64_t now)
{
    struct kf__partition_log *log = &partition->log;
    struct compaction c = {.broker = broker,
                           .keys = {.alloc = broker->alloc},
                           .aborted = &partition->aborted,
                           .now = now};
    struct kf__partition_log made;
    size_t count = count_cleanable(log, settings, end, now);
    kf__plog_init(&made, log->alloc);
    kf_err err = count > 0 ? collect_keys(&c, log, count) : KF_OK;
    for (size_t i = 0; !err && count > 0 && i < log->batch_count; i++) {
        const struct kf__plog_batch *from = &log->batches[i];
        struct kf__batch batch;
        if (i < count)
            err = write_again(&c, settings, from, i + 1 == log->batch_count, &made);
        else if (!(err = kf__batch_peek(from->bytes, from->size, &batch)))
            err = kf__plog_keep(&made, &batch, from->delete_horizon);
    }
    kf_free(broker->alloc, c.keys.places);
    if (err || count == 0)
        kf__plog_free(&made);
    else
        kf__plog_replace(log, &made);
    return err;
}

/* ---- retention ---- */

int64_t kf__retained_from(const struct kf__partition_log *log,
                          const struct kf__topic_settings *settings, int64_t now)
{
    size_t first = 0;
    size_t bytes = log->bytes;
    bool by_time = settings->retention_ms >= 0, by_size = settings->retention_bytes >= 0;
    while (first < log->batch_count) {
        const struct kf__plog_batch *batch = &log->batches[first];
        bool old = by_time && batch->max_timestamp < now - settings->retention_ms;
        bool large = by_size && bytes >= (size_t)settings->retention_bytes + batch->size;
        if (!old && !large)
            return batch->base_offset > log->start_offset ? batch->base_offset : log->start_offset;
        bytes -= batch->size;
        first++;
    }
    return log->batch_count > 0 ? log->end_offset : log->start_offset;
}

kf_err kf__clean(struct kf_broker *broker, const struct kf__topic_settings *settings,
                 struct kf__partition *partition, int64_t now)
{
    struct kf__partition_log *log = &partition->log;
    if (settings->deletes)
        kf__topics_delete_records(&broker->topics, partition,
                                  kf__retained_from(log, settings, now));
    if (!settings->compacts)
        return KF_OK;
    broker->topics.bytes -= log->bytes;
    kf_err err = kf__compact(broker, settings, partition, kf__stable_offset(partition), now);
    broker->topics.bytes += log->bytes;
    return err;
}
