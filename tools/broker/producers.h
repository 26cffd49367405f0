/*
 * producers: what a partition remembers of idempotent producers: the epoch
 * and the last five batches of each producer id (KIP-98, KIP-360). Pure.
 * Called by api_produce.c.
 */
#ifndef KF_BROKER_PRODUCERS_H
#define KF_BROKER_PRODUCERS_H

#include "proto/batch.h"

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
    int batch_count;
    struct kf__producer_batch batches[KF__PRODUCER_WINDOW]; /* oldest first */
};

struct kf__producers {
    struct kf__producer *items;
    size_t count;
    size_t capacity;
};

/*
 * May this batch be appended? KF_OK; OUT_OF_ORDER_SEQUENCE_NUMBER;
 * INVALID_PRODUCER_EPOCH; or DUPLICATE_SEQUENCE_NUMBER with the offset it
 * had the first time: answer that offset and success.
 */
kf_err kf__producers_check(const struct kf__producers *producers, const struct kf__batch *batch,
                           int64_t *duplicate_offset);
/* Makes room before the append, so that noting it afterwards cannot fail. */
kf_err kf__producers_reserve(struct kf__producers *producers, const kf_allocator *alloc);
void kf__producers_note(struct kf__producers *producers, const struct kf__batch *batch,
                        int64_t base_offset);
void kf__producers_free(struct kf__producers *producers, const kf_allocator *alloc);

#endif
