/*
 * producer_batch: records on their way to one partition, from the first one
 * added to the last one told.
 *
 *   OPEN ──add──▶ OPEN ──seal──▶ SEALED (bytes never change) ──tell──▶ gone
 *
 * Knows no lock, cluster or request: producer_queue.c adds, producer_send.c
 * seals and tells.
 */
#ifndef KF_RUNTIME_PRODUCER_BATCH_H
#define KF_RUNTIME_PRODUCER_BATCH_H

#include "proto/batch.h"
#include "runtime/list.h"
#include <kafiber/producer.h>

/* Who is to be told of one record. */
struct kf__receipt {
    kf_delivered delivered; /* NULL: nobody */
    void *context;
};

struct kf__out_partition;

struct kf__out_batch {
    const kf_allocator *alloc;
    struct kf__link unfinished; /* in the producer's list, in the order of opening */
    struct kf__out_batch *next; /* in its partition's queue, or in a chain of those to be told */
    struct kf__out_partition *partition;
    struct kf__batch_builder builder; /* until sealed */
    struct kf__buffer wire;           /* since then */
    struct kf__receipt *receipts;
    int32_t count; /* of records */
    int32_t capacity;
    size_t charged; /* bytes of buffer.memory */
    uint64_t number;
    kf_time opened;
    kf_time deadline; /* of the first record, and so of all */
    kf_time retry_at; /* not before; 0: now */
    int32_t attempts;
    kf_err cause; /* of the last attempt that failed */
    bool closed;  /* takes no more records */
    bool urgent;  /* somebody waits: no lingering */
    bool sealed;
    bool told;     /* too late, while a request with it was under way */
    kf_err result; /* told with it */
    int64_t base_offset;
};

struct kf__out_batch *kf__out_batch_new(const kf_allocator *alloc);
void kf__out_batch_free(struct kf__out_batch *batch);

/* More than the record can take in a batch, bytes; SIZE_MAX where it fits into none. */
size_t kf__record_bound(const kf_record *record);
/* What the batch holds: its size on the wire, before compression. */
size_t kf__out_batch_size(const struct kf__out_batch *batch);
/* By how much the memory that it holds may grow when a record of that bound is added. */
size_t kf__out_batch_growth(const struct kf__out_batch *batch, size_t bound);
/* The memory that it holds. */
size_t kf__out_batch_memory(const struct kf__out_batch *batch);
/* The memory that a new batch with one such record takes. */
size_t kf__out_batch_memory_for(size_t bound);

/* The batch stays as it was after an error. */
kf_err kf__out_batch_add(struct kf__out_batch *batch, const kf_record *record, int64_t timestamp,
                         struct kf__receipt receipt);
/* Compresses and checksums: once. */
kf_err kf__out_batch_seal(struct kf__out_batch *batch, enum kf_codec codec,
                          struct kf__codecs *codecs);
/* Calls each record's `delivered`, once. */
void kf__out_batch_tell(struct kf__out_batch *batch, int32_t partition, kf_err err,
                        int64_t base_offset);

#endif
