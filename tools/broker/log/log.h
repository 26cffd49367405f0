/*
 * log: one partition's records, as the batches came over the wire.
 *
 *     chunk │batch│batch│batch…   chunk │batch│batch…      bytes, never moved
 *        ▲     ▲     ▲               ▲
 *        └──── index: base offset, last offset, timestamps ┘
 *
 * Appending copies a batch once and writes its base offset and leader epoch
 * in place, both outside the checksum; reading hands out a slice of a chunk
 * without copying. Pure: no sockets, clock or threads. Called by the API
 * files and calls.c.
 */
#ifndef KF_BROKER_LOG_H
#define KF_BROKER_LOG_H

#include "proto/batch/batch.h"
#include <kafiber/alloc.h>

struct kf__plog_chunk {
    uint8_t *bytes;
    size_t used;
    size_t capacity;
};

struct kf__plog_batch {
    int64_t base_offset;
    int64_t last_offset;
    int64_t max_timestamp;
    int64_t highest_timestamp; /* of this and all batches before it */
    uint8_t *bytes;
    uint32_t size; /* bytes */
    uint32_t chunk;
    int64_t delete_horizon; /* ms: when compaction may take its tombstones; 0: not decided */
};

struct kf__plog_epoch {
    int32_t epoch;
    int64_t start_offset;
};

struct kf__partition_log {
    const kf_allocator *alloc;
    int64_t start_offset;
    int64_t end_offset;
    size_t bytes; /* of all batches */
    struct kf__plog_chunk *chunks;
    size_t chunk_count;
    size_t chunk_capacity;
    struct kf__plog_batch *batches;
    size_t batch_count;
    size_t batch_capacity;
    struct kf__plog_epoch *epochs; /* rising in both */
    size_t epoch_count;
};

void kf__plog_init(struct kf__partition_log *log, const kf_allocator *alloc);
void kf__plog_free(struct kf__partition_log *log);

/* Copies one whole magic 2 batch; offsets count from *base_offset on. */
kf_err kf__plog_append(struct kf__partition_log *log, const struct kf__batch *batch,
                       int32_t leader_epoch, int64_t *base_offset);

/* The batch that holds `offset`, else the first one after it; batch_count where there is none. */
size_t kf__plog_find(const struct kf__partition_log *log, int64_t offset);

/*
 * Bytes from the batch of `offset` on to the one that holds `before`, at most
 * `max_bytes`: the last batch may be cut, as Kafka cuts it. A first batch larger than that comes
 * whole where `whole_first`, else nothing comes. Valid as long as the log.
 */
kf_bytes kf__plog_read(const struct kf__partition_log *log, int64_t offset, int64_t before,
                       size_t max_bytes, bool whole_first);
/* Bytes that reads from `offset` to `before` could bring in all. */
size_t kf__plog_readable(const struct kf__partition_log *log, int64_t offset, int64_t before);
/* Past the last offset of which `read`, from the batch of `offset` on, holds bytes. */
int64_t kf__plog_read_end(const struct kf__partition_log *log, int64_t offset, kf_bytes read);

/* The first batch with a record at or after `timestamp`; batch_count: none. */
size_t kf__plog_find_timestamp(const struct kf__partition_log *log, int64_t timestamp);
/* The first batch with the highest timestamp; batch_count: the log is empty. */
size_t kf__plog_find_max_timestamp(const struct kf__partition_log *log);

/*
 * KIP-320: the largest epoch not above the one asked, and where it ends;
 * -1 and -1 where the log knows no such epoch. `current` is the leader's.
 */
void kf__plog_epoch_end(const struct kf__partition_log *log, int32_t asked, int32_t current,
                        int32_t *epoch, int64_t *end_offset);

/* Moves the end back to `offset`, where a batch begins; epochs that began later never were. */
void kf__plog_truncate(struct kf__partition_log *log, int64_t offset);

/*
 * For compaction: kf__plog_keep copies a batch at its own offsets to the end
 * of a log in the making, which then takes the place of `log`'s batches. Log
 * start, end and epochs stay; between batches there may be holes.
 */
kf_err kf__plog_keep(struct kf__partition_log *made, const struct kf__batch *batch,
                     int64_t delete_horizon);
void kf__plog_replace(struct kf__partition_log *log, struct kf__partition_log *made);

/* Moves the start; whole chunks before it are given back. */
void kf__plog_delete_before(struct kf__partition_log *log, int64_t offset);

#endif
