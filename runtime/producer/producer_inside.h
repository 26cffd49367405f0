/*
 * producer_inside: what the producer's files share, and nobody else.
 *
 *   any thread:  kf_produce ──▶ the partition's open batch        producer_queue.c
 *                                   │ closed (compressed here), news
 *   I/O thread:  look: whose batches may leave?                   producer_send.c
 *                  ├─▶ id, epoch, sequence: its place in order    producer_id.c
 *                  ├─▶ one request per broker, many partitions    producer_request.c
 *                  └─▶ answer: verdict, split, or again later     producer_settle.c
 *   callbacks' thread: the caller's functions                     producer_tell.c
 *
 * Locks, in this order: a partition's (its open and closed batches; held for
 * one record), then the producer's (memory, unfinished batches, who waits;
 * taken once a batch). Neither is held while bytes are compressed or sent, or
 * while a callback runs. What is "the I/O thread's" needs none.
 */
#ifndef KF_RUNTIME_PRODUCER_INSIDE_H
#define KF_RUNTIME_PRODUCER_INSIDE_H

#include "runtime/client/io.h"
#include "runtime/producer/interceptors.h"
#include "runtime/producer/partitioner.h"
#include "runtime/producer/producer_batch.h"
#include "runtime/producer/producer_lock.h"
#include "runtime/producer/producer_memory.h"
#include "runtime/producer/producer_wait.h"
#include "runtime/producer/sticky.h"

enum {
    KF__OUT_TOPIC_CHAINS = 64, /* of the table of topics */
    KF__OUT_TOPIC_MAX = 249,   /* letters of a name: org.apache.kafka.common.internals.Topic */
    KF__OUT_IDEMPOTENT_MAX = 5 /* batches of a partition that a broker can tell from repeats */
};

struct kf__out_topic;
struct kf__out_node;

struct kf__out_partition {
    struct kf__brief lock;
    struct kf__out_topic *topic;
    int32_t index;
    uint32_t block_hint;         /* under the lock: bytes of the last full batch's block */
    uint32_t receipt_hint;       /* the same of its receipts */
    struct kf__out_batch *open;  /* under the lock: takes records */
    struct kf__link closed;      /* under the lock: full ones, in order */
    _Atomic int32_t batches;     /* not told yet */
    _Atomic kf_time first_since; /* when the oldest of them became that */
    atomic_bool in_news;
    struct kf__out_partition *next_news;

    /* ---- the I/O thread's ---- */
    struct kf__link place;     /* ready at its node, lingering, or backing off */
    struct kf__out_node *node; /* whose list it stands in, or whose it was last */
    bool lingers;              /* place is in the list of those that linger */
    bool backs_off;            /* place is in the list of those that back off */
    bool wants_sealer;     /* place is in the list of those whose first batch is to be compressed */
    kf_time due;           /* when it has lingered, or backed off */
    struct kf__link queue; /* closed batches not in flight; those sent before come first */
    struct kf__link flying; /* in requests, in their order */
    int32_t flying_count;
    int32_t told_early;         /* in the queue, told while somebody compressed them */
    struct kf__out_identity id; /* of the batches in flight; what new ones get */
    int32_t next_sequence;
    int32_t last_acked; /* sequence; -1: none since the identity began */
    int32_t unresolved; /* last sequence whose fate is unknown; -1: none */
    bool renew;         /* begins anew under a fresh identity once nothing flies */
};

/* What a topic's partitions are now; never changes, another one takes its place. */
struct kf__out_partitions {
    struct kf__out_partitions *older; /* kept until the end: somebody may read it */
    int32_t count;                    /* that the topic has */
    int32_t held;                     /* more than that where it was created anew with fewer */
    struct kf__out_partition *items[];
};

/* What a topic takes at most, as far as anybody had to know: see producer_limits.c. */
struct kf__out_limit {
    struct kf_producer *producer;
    struct kf__call call;
    struct kf__link waiting; /* kf__out_batch.link: refused, and not told yet */
    kf_time asked_at;        /* 0: never */
    int64_t bytes;           /* -1: not known */
    kf_err err;              /* why not */
};

struct kf__out_topic {
    struct kf__out_topic *_Atomic next; /* in its chain */
    struct kf__out_topic *next_added;
    char *name;
    struct kf__out_partitions *_Atomic partitions; /* NULL: not known yet */
    pthread_mutex_t lock; /* of the next five; a partition's may be taken under it */
    struct kf__sticky sticky;
    bool *available; /* whether each partition has a leader */
    bool *near;      /* whether that stands in client.rack */
    int32_t *queues; /* room for struct kf__sticky_view */
    int32_t available_count;
    int32_t waiting;            /* under the producer's lock: who waits for its partitions */
    int32_t waiting_for;        /* and the last index of those */
    kf_err error;               /* under the producer's lock: as metadata says */
    int32_t cluster_index;      /* the I/O thread's; -1: not yet */
    struct kf__out_limit limit; /* the I/O thread's */
};

/* A broker as the producer sees it. */
struct kf__out_node {
    struct kf__out_node *next;
    int32_t id; /* -1: partitions without a leader */
    int32_t in_flight;
    struct kf__link ready; /* partitions that have something to send */
};

/* Of the idempotent producer: see producer_id.c. */
enum kf__id_state {
    KF__ID_NONE, /* not asked for */
    KF__ID_ASKED,
    KF__ID_READY,
    KF__ID_NEVER,  /* not idempotent */
    KF__ID_FAILED, /* no retry cures it */
};

struct kf_producer {
    /* ---- each record's way reads it and hardly anybody writes it: what threads write is kept
            away, a cache line or more, since every write would take it from the others ---- */
    kf_allocator allocator; /* the configuration's */
    const kf_allocator *alloc;
    struct kf__interceptors interceptors; /* don't change after the first record */
    kf_partitioner partitioner;           /* of the caller; NULL: none */
    void *partitioner_context;
    kf_delivered on_batch; /* may be NULL */
    void *on_batch_context;
    size_t largest_record; /* bound of one that surely may be taken */
    int32_t in_flight_max; /* requests a broker has at once */
    unsigned forks;        /* seen by the process when it was opened */
    bool idempotent;
    bool real_clock;      /* and no test's */
    bool keys_by_murmur2; /* and nothing else decides where a key goes */
    atomic_bool closing;
    atomic_bool failed;                       /* fatal is set */
    atomic_bool not_plain;                    /* closing, failed, or intercepted */
    struct kf__out_topic *_Atomic last_topic; /* written to last */
    struct kf__out_topic *_Atomic topics[KF__OUT_TOPIC_CHAINS]; /* grow only */

    struct kf__io io;
    struct kf__task task;                   /* looks at the news */
    struct kf__out_partition *_Atomic news; /* partitions that have some */
    _Atomic kf_time looks_at;               /* at the latest, and by itself */
    _Atomic uint64_t flush_to;              /* batches up to this number don't linger */

    pthread_mutex_t lock;
    /* ---- under the lock ---- */
    struct kf__out_memory memory;
    struct kf__out_topic *added; /* the cluster doesn't know them yet */
    struct kf__link unfinished;  /* batches with records not yet told, in the order of opening */
    uint64_t last_number;        /* of a batch */
    struct kf__link for_topics;  /* who waits for metadata */
    bool partitions_wanted;      /* one of them for more partitions than a topic has */
    struct kf__link for_flush;   /* who waits for batches to be told */
    struct kf__waiter *waiters;  /* all, those under way too */
    struct kf__waiter *free_waiters; /* at rest */
    struct kf__sealer *sealers;      /* at rest */
    kf_error fatal;
    struct kf__link to_tell; /* kf__out_batch.unfinished: batches for the callbacks' thread */
    uint64_t handed_over;    /* how many ever came into that list */
    uint64_t told;           /* and have left it, told */
    bool tells;              /* callbacks run right now */
    bool teller_rests;       /* and has to be woken */
    bool teller_holds;       /* begins no other batch */
    bool teller_ends;        /* once all is told */
    pthread_t teller_thread; /* to be joined */

    /* ---- the callbacks' thread ---- */
    pthread_t teller; /* written by itself, before teller_known */
    atomic_bool teller_known;
    atomic_bool teller_runs;
    pthread_cond_t teller_wanted;
    pthread_cond_t teller_rested;

    /* ---- the I/O thread's ---- */
    struct kf__timer timer;
    struct kf__out_node *nodes;
    struct kf__link lingering;   /* partitions with an open batch that is not due; oldest first */
    struct kf__link backing_off; /* partitions that wait after an error */
    struct kf__link for_sealer;  /* partitions that wait until fewer batches are compressed */
    int32_t aside;               /* batches that helper threads compress, or are about to */
    struct kf__link requests;    /* under way */
    uint64_t flushed_to;         /* flush_to, as last looked at */
    enum kf__id_state id_state;
    struct kf__out_identity id;
    struct kf__call id_call;
    kf_time id_at; /* not before */
    int id_attempts;
    kf_err id_error; /* of the last attempt */
    kf_time now;     /* of this look */
    kf_time next;    /* when to look again */
    bool wants_metadata;
    bool teller_is_due; /* something was handed over since it was last woken */
};

/* ---- producer.c ---- */

/* How many forks this process is away from its first. On a cache line of its own: each record
 * asks, and what a program counts in its callbacks must not stand beside it. */
struct kf__forks {
    _Alignas(64) atomic_uint count;
};
extern struct kf__forks kf__forks_seen;
static inline unsigned kf__forks(void)
{
    return atomic_load_explicit(&kf__forks_seen.count, memory_order_relaxed);
}

/* ---- producer_put.c: on the producing thread ---- */

/* What the record gets in that batch, milliseconds. Under the partition's lock. */
int64_t kf__out_timestamp(const struct kf_producer *producer, const kf_record *record,
                          const struct kf__out_batch *batch);

/* ---- producer_wait.c ---- */

/* Whether it tells one who waits in a call of ours: that runs on the I/O thread. */
bool kf__receipt_is_inside(const struct kf__receipt *receipt);
/* What KF_MAX_BLOCK stands for now; any other deadline as it is. */
kf_time kf__producer_deadline(const struct kf_producer *producer, kf_time deadline);
/* Under the lock: flushes whose last batch has been told go on. */
void kf__producer_wake_flushes(struct kf_producer *producer);

/* ---- producer_queue.c: on the producing thread ---- */

enum kf__haste {
    KF__LINGERS,
    KF__AT_ONCE,   /* somebody waits for it */
    KF__BY_CALLER, /* the same, and the caller sees to it that the news are looked at */
    KF__OF_MANY,   /* lingers; that its partition is missing must not hold up the others */
};

/* Puts the record into its partition's open batch. KF_ERR_…, with a sentence. */
kf_err kf__producer_take(struct kf_producer *producer, const kf_record *record,
                         struct kf__receipt receipt, enum kf__haste haste, kf_time deadline,
                         kf_error *error);

/* ---- producer_topics.c ---- */

/* NULL: no memory for it, or its name is too long. */
struct kf__out_topic *kf__producer_topic(struct kf_producer *producer, const char *name);
bool kf__out_topic_is_too_long(const char *name);
/* So many partitions, from 1; those beyond are kept, their records too. The I/O thread's, or a
 * test's. KF_ERR_NO_MEMORY. */
kf_err kf__out_topic_resize(const kf_allocator *alloc, struct kf__out_topic *topic, int32_t count);
/* On the I/O thread: tells the cluster of new topics. */
void kf__producer_add_topics(struct kf_producer *producer);
void kf__producer_wake_topics(struct kf_producer *producer); /* who waits for metadata */
/* On the I/O thread: takes over what metadata says now. */
void kf__producer_take_metadata(void *owner, bool changed);
void kf__producer_free_topics(struct kf_producer *producer);
/* The leader of a partition as metadata has it; -1: none, and *error says why. */
int32_t kf__out_leader(const struct kf_producer *producer,
                       const struct kf__out_partition *partition, kf_err *error);
const struct kf__topic_info *kf__out_topic_info(const struct kf_producer *producer,
                                                const struct kf__out_topic *topic);

/* ---- producer_partition.c: on the producing thread, without locks ---- */

/* The partition that a record of at most `bound` bytes goes to. KF_ERR_UNKNOWN_TOPIC_OR_PARTITION.
 */
kf_err kf__producer_choose(struct kf_producer *producer, struct kf__out_topic *topic,
                           const kf_record *record, size_t bound,
                           struct kf__out_partition **partition, kf_error *error);

/* ---- producer_seal.c ---- */

/* Closed, but not yet compressed: on any thread, without locks. Never fails: at worst the records
 * stay uncompressed. */
void kf__producer_seal(struct kf_producer *producer, struct kf__out_batch *batch);
/* On a helper thread; false where that can't be had. The partition is looked at again when done. */
bool kf__producer_seal_aside(struct kf_producer *producer, struct kf__out_batch *batch);
/* I/O thread: somebody else has it in hand. A helper has so beyond `sealed`, until it reports. */
static inline bool kf__out_batch_is_held(const struct kf__out_batch *batch)
{
    return batch->aside ||
           (batch->sealing && !atomic_load_explicit(&batch->sealed, memory_order_acquire));
}
void kf__producer_free_sealers(struct kf_producer *producer);

/* ---- producer_send.c ---- */

/* Any thread: the I/O thread should look at the partition; at once, or by `by`. `number`: of a
 * batch that was opened there; 0: none. */
void kf__producer_news(struct kf_producer *producer, struct kf__out_partition *partition,
                       uint64_t number, kf_time by);
/* The rest on the I/O thread. */
void kf__producer_look(struct kf_producer *producer);
/* Where the partition belongs now that something about it changed. */
void kf__out_partition_place(struct kf_producer *producer, struct kf__out_partition *partition);
/* Not before `at`. */
void kf__out_partition_back_off(struct kf_producer *producer, struct kf__out_partition *partition,
                                kf_time at);
/* All closed batches, and the open one too where `all`, into its queue. */
void kf__out_partition_gather(struct kf__out_partition *partition, bool all);
struct kf__out_node *kf__producer_node(struct kf_producer *producer, int32_t id);
/* Every partition anew, as after metadata. */
void kf__producer_place_all(struct kf_producer *producer);

/* ---- producer_settle.c: on the I/O thread ---- */

/* What a broker said of a batch. */
struct kf__out_answer {
    kf_err err;
    int64_t base_offset;
    int64_t append_time; /* -1: the records' own timestamps stand */
    int64_t log_start;
    const char *reason;                                               /* NULL: none */
    const struct kf_produce_response_partition_produce_response *row; /* NULL: no answer came */
    bool written; /* its bytes may have reached the broker */
    bool moved;   /* a new leader is known: no back-off */
};
/* A request has ended: its batch is told, or goes back into its partition's queue. */
void kf__producer_settle(struct kf_producer *producer, struct kf__out_batch *batch,
                         const struct kf__out_answer *answer);
/* Batches whose delivery time is over; notes when the next one's will be. */
void kf__producer_expire(struct kf_producer *producer);
/* All that is left ends with `err`. */
void kf__producer_fail_all(struct kf_producer *producer, kf_err err);
void kf__producer_take_fatal(void *owner);
/* Its verdict, by what the broker said; `answer` NULL: nothing. */
void kf__out_batch_judge(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err,
                         const struct kf__out_answer *answer);
/* Out of its list, its verdict on its way, and gone after that. */
void kf__out_batch_end(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err,
                       const struct kf__out_answer *answer);

/* ---- producer_tell.c ---- */

/* On a producing thread: starts the callbacks' thread where there is none yet. KF_ERR_SYSTEM. */
kf_err kf__producer_want_teller(struct kf_producer *producer, kf_error *error);
/* Whether the calling thread turns the loop, or is the callbacks' one. */
bool kf__producer_must_not_wait(const struct kf_producer *producer);
/*
 * On the I/O thread: each record's verdict is on its way; the batch leaves
 * the unfinished. `delivery` is borrowed.
 */
void kf__out_batch_verdict(struct kf_producer *producer, struct kf__out_batch *batch,
                           const kf_delivery *delivery);
/* On the I/O thread: nobody needs its bytes any more. It is gone once it has been told, too. */
void kf__out_batch_over(struct kf_producer *producer, struct kf__out_batch *batch);
/* On the I/O thread, once a look: what was handed over meanwhile is told. */
void kf__producer_wake_teller(struct kf_producer *producer);
/* Closing: no callback runs any more, until end_teller lets all run that are left, and joins. */
void kf__producer_hold_teller(struct kf_producer *producer);
void kf__producer_end_teller(struct kf_producer *producer);

/* ---- producer_split.c: on the I/O thread ---- */

/*
 * Two in place of one that is too large, at the front of the queue; the batch
 * is gone. KF_ERR_NO_MEMORY: it is as it was.
 */
kf_err kf__out_batch_split(struct kf_producer *producer, struct kf__out_batch *batch);
/*
 * Tells the records that the answer names, and takes them out; the others
 * stay, as a batch that was never sent. KF_ERR_NO_MEMORY: nothing was done;
 * KF_ERR_STATE: the same, for all are named, or none is.
 */
kf_err kf__out_batch_drop(struct kf_producer *producer, struct kf__out_batch *batch,
                          const struct kf__out_answer *answer);

/* ---- producer_limits.c: on the I/O thread ---- */

void kf__out_limit_init(struct kf__out_limit *limit);
/*
 * The topic refused it for its size, for good; it stands in no list. True:
 * it is told here, now or later. False: nothing more can be said of it.
 */
bool kf__out_batch_too_large(struct kf_producer *producer, struct kf__out_batch *batch);

/* ---- producer_id.c: on the I/O thread ---- */

/* Whether batches can be given a place in order; asks for an id where there is none. */
bool kf__producer_has_id(struct kf_producer *producer);
/* May the first batch of its queue leave for that node now? */
bool kf__out_partition_may_send(struct kf_producer *producer, struct kf__out_partition *partition);
/* Id, epoch, sequence and checksum, where it has none yet. */
void kf__out_batch_stamp(struct kf_producer *producer, struct kf__out_batch *batch);
/* Behind what was sent before it: the link of its queue that it goes before. */
struct kf__link *kf__out_place_in_order(const struct kf__out_batch *batch);
void kf__out_sequence_acked(struct kf__out_batch *batch);
/* Whether what was refused as out of order is stored, for what came behind it is. */
bool kf__out_sequence_passed(const struct kf__out_batch *batch, kf_err err);
/* A sequence was given to a batch whose end nobody knows. */
void kf__out_sequence_lost(struct kf__out_batch *batch);
/* Whether what the broker said of sequences is cured by sending again; asks for a fresh identity.
 */
bool kf__out_sequence_cured(struct kf__out_batch *batch, kf_err err, int64_t log_start);
void kf__producer_stop_id(struct kf_producer *producer);

/* ---- producer_request.c: on the I/O thread ---- */

struct kf__out_request {
    struct kf__link link; /* in producer->requests */
    struct kf__call call;
    struct kf_producer *producer;
    struct kf__out_node *node;
    size_t bytes; /* of its batches */
    int32_t count;
    int32_t capacity;
    bool written;                   /* encoded: from here on bytes of it may have left */
    struct kf__out_batch **batches; /* after sorting: by topic and partition */
};

struct kf__out_request *kf__out_request_new(struct kf_producer *producer,
                                            struct kf__out_node *node);
void kf__out_request_free(struct kf__out_request *request);
kf_err kf__out_request_add(struct kf__out_request *request, struct kf__out_batch *batch);
/* The batches are sealed and stamped. Ends with kf__producer_settle for each, and a look. */
void kf__out_request_send(struct kf__out_request *request);
/* Takes back requests that still wait for a broker that no longer leads all of their partitions. */
void kf__out_requests_reroute(struct kf_producer *producer);

#endif
