/*
 * producer_batch: records on their way to one partition, from the first one
 * added to the last one told.
 *
 *   OPEN ──close──▶ CLOSED ──seal──▶ SEALED ──stamp──▶ bytes never change ──tell──▶ gone
 *
 * Knows no lock, cluster or request: producer_queue.c adds, producer_seal.c
 * compresses, producer_id.c stamps, producer_settle.c judges, producer_tell.c
 * tells.
 */
#ifndef KF_RUNTIME_PRODUCER_BATCH_H
#define KF_RUNTIME_PRODUCER_BATCH_H

#include "net/loop/list.h"
#include "net/loop/loop.h"
#include "proto/batch/batch.h"
#include "proto/bytes/prefetch.h"
#include "runtime/producer/producer_memory.h"
#include <kafiber/producer.h>

enum {
    KF__SUMMED_LEAST =
        64 * 1024, /* bytes; to join two sums takes as long as to sum some thousand */
};

/* Who is to be told of one record. */
struct kf__receipt {
    kf_delivered delivered; /* NULL: nobody */
    void *context;
    int64_t timestamp;
};

/* Whose records they are (KIP-98). */
struct kf__out_identity {
    int64_t producer_id; /* -1: none */
    int16_t epoch;
};

static inline bool kf__same_identity(struct kf__out_identity a, struct kf__out_identity b)
{
    return a.producer_id == b.producer_id && a.epoch == b.epoch;
}

struct kf__out_partition;
struct kf__out_node;
struct kf__out_request;

struct kf__out_batch {
    struct kf__link link;       /* in its partition: closed, queue, or flying */
    struct kf__link unfinished; /* in the producer's list, in the order of opening */
    struct kf__out_memory *memory;
    struct kf__out_partition *partition;
    struct kf__batch_builder builder; /* until sealed; its bytes are a block */
    uint8_t *bytes;                   /* since then: the wire's, in the same block */
    size_t size;
    size_t block;                 /* bytes of the block */
    size_t limit;                 /* bytes up to which it takes records without more ado */
    struct kf__receipt *receipts; /* NULL while nobody is to be told */
    size_t receipts_block;
    int32_t count;    /* of records */
    int32_t capacity; /* of receipts */
    uint64_t number;
    kf_time opened;
    kf_time deadline; /* of the first record, and so of all */
    int32_t attempts;
    kf_err cause;        /* of the last attempt that failed */
    enum kf_codec codec; /* of the sealed bytes */
    struct kf__out_identity id;
    int32_t sequence;                /* of the first record; -1: none yet */
    struct kf__out_node *node;       /* where it was last sent */
    struct kf__out_request *request; /* while flying */
    bool urgent;                     /* somebody waits: no lingering */
    bool sealing;                    /* somebody else compresses it, until `sealed` */
    bool aside;                      /* a helper does, and has not reported yet */
    bool flying;                     /* in a request */
    bool doubt;                      /* an attempt ended without telling whether it was stored */
    bool told;                       /* too late, while a request with it was under way */
    atomic_bool sealed;
    bool is_summed;
    uint32_t sum;   /* of the sealed records */
    bool all_told;  /* each receipt, whoever it is for */
    int32_t inside; /* of its receipts: who waits in a call of ours */

    /* ---- the value that was taken over (kf_produce_take): a batch of one record ---- */
    kf_bytes apart;     /* stands behind the first `apart_at` bytes; NULL: none */
    size_t apart_at;    /* `size` counts it too */
    kf_release release; /* NULL: none is to be given back */
    void *release_context;

    /* ---- its verdict: see producer_tell.c ---- */
    kf_delivery verdict;
    char *words;         /* verdict.reason */
    char **each_words;   /* of each record, where they differ; one block */
    bool is_told;        /* its callbacks have run; the callbacks' thread's */
    bool is_handed_over; /* under the producer's lock, as is_over */
    bool is_over;        /* the I/O thread has done with it */
};

/* More than the record can take in a batch, bytes; SIZE_MAX where it fits into none. */
size_t kf__record_bound(const kf_record *record);
/* What an open batch holds: its size on the wire, before compression. */
size_t kf__out_batch_size(const struct kf__out_batch *batch);

/* An empty one with room for `bytes`. `credit`: see kf__out_memory_take. */
kf_err kf__out_batch_new(struct kf__out_memory *memory, size_t bytes, size_t *credit,
                         struct kf__out_batch **batch);
/* The same in a block of just that size. */
kf_err kf__out_batch_new_exact(struct kf__out_memory *memory, size_t size, size_t *credit,
                               struct kf__out_batch **batch);
void kf__out_batch_free(struct kf__out_batch *batch);
/*
 * Room for `bound` more bytes and, where one is to be told, a receipt more.
 * *need: what memory could not give. The batch stays as it was after an error.
 */
kf_err kf__out_batch_reserve(struct kf__out_batch *batch, size_t bound, bool tells, size_t hint,
                             size_t largest, size_t *credit, size_t *need);
/*
 * The way of most records, which have no headers: whether the batch, which
 * holds one already, has room for one more as it is; and then puts it there.
 */
static inline bool kf__out_batch_has_room(const struct kf__out_batch *batch,
                                          const kf_record *record, bool tells)
{
    enum {
        OVERHEAD = 40, /* as kf__record_bound has it */
    };
    size_t size = record->key.size + record->value.size;
    return size - KF__PUT_LEAST <= KF__PUT_MOST - KF__PUT_LEAST && record->key.size <= size &&
           batch->builder.used + OVERHEAD + size <= batch->limit && batch->count > 0 &&
           (batch->count < batch->capacity || (!tells && !batch->receipts));
}

static inline void kf__out_batch_put(struct kf__out_batch *batch, const kf_record *record,
                                     int64_t timestamp, kf_delivered delivered, void *context)
{
    enum {
        AHEAD = 256, /* bytes: ten receipts */
    };
    if (batch->receipts) {
        struct kf__receipt *receipt = &batch->receipts[batch->count];
        kf__prefetch_for_write(receipt, AHEAD);
        *receipt = (struct kf__receipt){delivered, context, timestamp};
    }
    batch->count++;
    kf__batch_builder_put(&batch->builder, timestamp, &record->key, &record->value);
}

/* There is room. */
kf_err kf__out_batch_add(struct kf__out_batch *batch, const kf_record *record, int64_t timestamp,
                         struct kf__receipt receipt);
/* The first and only one; its value stays apart: batch->apart, which counts in memory already. */
kf_err kf__out_batch_add_apart(struct kf__out_batch *batch, const kf_record *record,
                               int64_t timestamp, struct kf__receipt receipt);
/* Compresses into `scratch` where `codec` says so; the result lies in the batch's own block. From
   KF__SUMMED_LEAST on it is summed, too, while it stands in this thread's cache. */
kf_err kf__out_batch_seal(struct kf__out_batch *batch, enum kf_codec codec, int level,
                          struct kf__codecs *codecs, struct kf__buffer *scratch);
/* Writes `id` and `sequence` into a sealed one, and its checksum. */
void kf__out_batch_restamp(struct kf__out_batch *batch, struct kf__out_identity id,
                           int32_t sequence);
/* The sequence after `count` more; wraps behind INT32_MAX to 0, as the brokers count. */
int32_t kf__sequence_after(int32_t sequence, int32_t count);
/*
 * Calls each record's `delivered`, once; only of those receipts that `chosen`
 * says, where it is not NULL: true then where others are left. `delivery` is
 * that of the first record; a timestamp of -1 stands for each record's own.
 */
bool kf__out_batch_tell(struct kf__out_batch *batch, const kf_delivery *delivery,
                        bool (*chosen)(const struct kf__receipt *receipt));
/* Its wire bytes; the receipts stay. */
void kf__out_batch_drop_bytes(struct kf__out_batch *batch);

#endif
