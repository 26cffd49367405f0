/*
 * producer_inside: what the producer's files share, and nobody else.
 *
 *   any thread:  kf_produce ──▶ partition's open batch          producer_queue.c
 *                                      │ task
 *   I/O thread:  look: whose first batch may leave?             producer_send.c
 *                  └─▶ one request per broker, many partitions  producer_request.c
 *                        └─▶ answer: told, or again later
 *
 * One lock guards the queues; it is never held while bytes are compressed or
 * sent, or while a callback runs. What stands under "the I/O thread's" needs
 * no lock.
 */
#ifndef KF_RUNTIME_PRODUCER_INSIDE_H
#define KF_RUNTIME_PRODUCER_INSIDE_H

#include "runtime/client/io.h"
#include "runtime/producer/interceptors.h"
#include "runtime/producer/partitioner.h"
#include "runtime/producer/producer_batch.h"
#include "runtime/producer/sticky.h"

enum {
    KF__OUT_TOPIC_CHAINS = 64, /* of the table of topics */
    KF__OUT_IN_FLIGHT = 5,     /* requests a broker has at once, as Java's default */
};

struct kf__out_topic;

struct kf__out_partition {
    struct kf__link active; /* has batches: in the producer's list */
    struct kf__out_topic *topic;
    int32_t index;
    struct kf__out_batch *first; /* in order; only the last may be open */
    struct kf__out_batch *last;
    int32_t batches;     /* in the queue */
    kf_time first_since; /* when the first one became that */
    bool in_flight;      /* the first one is in a request: the others wait, so that order is kept */
};

struct kf__out_topic {
    struct kf__out_topic *next; /* in its chain */
    struct kf__out_topic *next_added;
    char *name;
    int32_t cluster_index; /* the I/O thread's; -1: not yet */
    kf_err error;          /* of the topic, as metadata says */
    int32_t waiting;       /* threads that wait for its partitions */
    int32_t partition_count;
    struct kf__out_partition **partitions; /* one allocation each: batches point to them */
    bool *available;                       /* whether each has a leader */
    bool *near;                            /* whether it stands in client.rack */
    int32_t *queues;                       /* room for struct kf__sticky_view */
    struct kf__sticky sticky;
};

struct kf_producer {
    struct kf__io io;
    const kf_allocator *alloc;
    struct kf__interceptors interceptors; /* don't change after the first record */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* memory, metadata or the unfinished list; on the monotonic clock */
    struct kf__task task;   /* looks at the queues */

    /* ---- under the lock ---- */
    struct kf__out_topic *topics[KF__OUT_TOPIC_CHAINS];
    struct kf__out_topic *added; /* the cluster doesn't know them yet */
    struct kf__link active;      /* partitions with batches */
    struct kf__link unfinished;  /* batches with records not yet told, oldest first */
    uint64_t last_number;        /* of a batch */
    uint64_t flush_to;           /* batches up to this number don't linger */
    size_t memory;               /* held by all batches */
    int32_t memory_waiters;      /* nothing lingers while somebody waits for memory */
    bool closing;
    kf_error fatal;
    kf_partitioner partitioner; /* of the caller; NULL: none */
    void *partitioner_context;

    /* ---- the I/O thread's ---- */
    struct kf__timer timer;
    struct kf__link requests; /* under way */
    struct kf__codecs codecs;
};

/* ---- producer_queue.c ---- */

/* Puts the record into its partition's open batch. KF_ERR_…, with a sentence. */
kf_err kf__producer_take(struct kf_producer *producer, const kf_record *record,
                         struct kf__receipt receipt, bool urgent, kf_time deadline,
                         kf_error *error);
/* Under the lock: the first batch leaves its partition's queue. */
void kf__out_partition_pop(struct kf__out_partition *partition);
/* Under the lock: as many partitions as metadata says. KF_ERR_NO_MEMORY. */
kf_err kf__out_topic_grow(const kf_allocator *alloc, struct kf__out_topic *topic, int32_t count);
void kf__producer_free_topics(struct kf_producer *producer);

/* ---- producer_partition.c: under the lock ---- */

/* The partition that a record of at most `bound` bytes goes to. KF_ERR_UNKNOWN_TOPIC_OR_PARTITION.
 */
kf_err kf__producer_choose(struct kf_producer *producer, struct kf__out_topic *topic,
                           const kf_record *record, size_t bound, int32_t *index, kf_error *error);

/* ---- producer_send.c: on the I/O thread ---- */

void kf__producer_look(struct kf_producer *producer);
void kf__producer_take_metadata(void *owner, bool changed);
void kf__producer_take_fatal(void *owner);
/* All that is left ends with `err`; after the I/O has stopped too. */
void kf__producer_fail_all(struct kf_producer *producer, kf_err err);
/*
 * A request has ended: a batch was stored, or failed with `err`. Tells it, or
 * keeps it for another try; `moved`: a new leader is known, no back-off.
 */
void kf__producer_settle(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err,
                         int64_t base_offset, bool moved);

/* ---- producer_request.c: on the I/O thread ---- */

struct kf__out_request {
    struct kf__link link; /* in producer->requests */
    struct kf__call call;
    struct kf_producer *producer;
    int32_t node;
    size_t bytes; /* of its batches, at most */
    int32_t count;
    int32_t capacity;
    struct kf__out_batch **batches; /* after sorting: by topic and partition */
};

struct kf__out_request *kf__out_request_new(struct kf_producer *producer, int32_t node);
void kf__out_request_free(struct kf__out_request *request);
kf_err kf__out_request_add(struct kf__out_request *request, struct kf__out_batch *batch);
/* The batches are sealed. Ends with kf__producer_settle for each, and a look. */
void kf__out_request_send(struct kf__out_request *request);
/* Takes back requests that still wait for a broker that no longer leads all of their partitions. */
void kf__out_requests_reroute(struct kf_producer *producer);
/* The leader of a partition as metadata has it; -1: none, and *error says why. */
int32_t kf__out_leader(const struct kf_producer *producer,
                       const struct kf__out_partition *partition, kf_err *error);

#endif
