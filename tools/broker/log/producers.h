/*
 * producers: what a partition remembers of idempotent and transactional
 * producers: epoch, the last five batches, where an open transaction began
 * (KIP-98, KIP-360). Pure. Called by api/produce.c and txn_log.c.
 *
 * A producer that the partition doesn't know may begin at any sequence: its
 * state may have expired here (KIP-360 has done away with
 * UNKNOWN_PRODUCER_ID). Deleted records leave this memory alone, as in Kafka.
 */
#ifndef KF_BROKER_PRODUCERS_H
#define KF_BROKER_PRODUCERS_H

#include "tools/broker/log/log.h"

enum {
    KF__PRODUCER_WINDOW = 5 /* batches remembered for duplicates; Kafka's number */
};

struct kf__producer_batch {
    int32_t first_sequence;
    int32_t last_sequence;
    int64_t base_offset;
};

struct kf__producer {
    int64_t id;
    int16_t epoch;
    int32_t coordinator_epoch; /* of the last marker; -1: none yet */
    int64_t txn_first_offset;  /* of the open transaction; -1: none is */
    int64_t last_timestamp;    /* ms; of the last batch or marker */
    int batch_count;
    struct kf__producer_batch batches[KF__PRODUCER_WINDOW]; /* oldest first; of this epoch */
};

struct kf__producers {
    struct kf__producer *items; /* by id */
    size_t count;
    size_t capacity;
    size_t open; /* transactions */
};

/*
 * May this batch be appended? KF_OK; OUT_OF_ORDER_SEQUENCE_NUMBER;
 * INVALID_PRODUCER_EPOCH; INVALID_TXN_STATE (not transactional within an open
 * transaction); or DUPLICATE_SEQUENCE_NUMBER with the offset it had the first
 * time: answer that offset and success.
 */
kf_err kf__producers_check(const struct kf__producers *producers, const struct kf__batch *batch,
                           int64_t *duplicate_offset);
/* Makes room before the append, so that noting it afterwards cannot fail. */
kf_err kf__producers_reserve(struct kf__producers *producers, const kf_allocator *alloc);
void kf__producers_note(struct kf__producers *producers, const struct kf__batch *batch,
                        int64_t base_offset);
/* NULL where the partition doesn't know it. */
const struct kf__producer *kf__producers_find(const struct kf__producers *producers, int64_t id);
/* Where the oldest open transaction began; -1: none is open. */
int64_t kf__producers_first_open(const struct kf__producers *producers);
/*
 * A marker was appended; room has been made. Where the producer's open
 * transaction began, -1: none was open.
 */
int64_t kf__producers_end_txn(struct kf__producers *producers, int64_t id, int16_t epoch,
                              int32_t coordinator_epoch, int64_t timestamp);
/* After the log was truncated: what the batches that are left tell. Whom there is no memory for is
 * forgotten. */
void kf__producers_replay(struct kf__producers *producers, const kf_allocator *alloc,
                          const struct kf__partition_log *log);
/*
 * Those whose last batch or marker, by its own timestamp, is `idle_ms` old are forgotten; who has a
 * transaction open is not.
 */
void kf__producers_expire(struct kf__producers *producers, int64_t now_ms, int64_t idle_ms);
/* -1: nothing yet, or nothing in this epoch. */
int32_t kf__producer_last_sequence(const struct kf__producer *producer);
void kf__producers_free(struct kf__producers *producers, const kf_allocator *alloc);

#endif
