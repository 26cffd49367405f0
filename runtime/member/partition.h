/*
 * partition: one assigned partition: the batches that wait for its handler,
 * the fiber that runs it, and what is done.
 *
 *      I/O thread                          │      a worker, on the partition's fiber
 *   ───────────────────────────────────────┼──────────────────────────────────────────
 *   fetching ──arrived──▶ queue ───────────┼──▶ open, walk, handler(message)
 *   offset account ◀── position ◀──────────┼─── one release store a record
 *   stop, limit, cancel ───────────────────┼──▶ looked at between records
 *   what next? ◀── how it ended ◀──────────┼─── activation over: task to the loop
 *
 * Everything above the line "shared" below belongs to the loop's thread,
 * everything under "the worker's" to whoever runs the activation.
 *
 *   STARTING ──position known──▶ RUNNING ──revoke, stop──▶ DRAINING ──▶ DRAINED
 *                                   └────lost, deadline────▶ CONDEMNED (freed when at rest)
 */
#ifndef KF_RUNTIME_PARTITION_H
#define KF_RUNTIME_PARTITION_H

#include "group/offsets.h"
#include "runtime/fetch/fetch.h"
#include "runtime/fiber/sched.h"
#include "runtime/member/route.h"
#include <pthread.h>

struct kf__consumer;

enum kf__partition_state {
    KF__PARTITION_STARTING,
    KF__PARTITION_RUNNING,
    KF__PARTITION_DRAINING,
    KF__PARTITION_DRAINED,
    KF__PARTITION_CONDEMNED,
};

/* How an activation ended. */
enum kf__end {
    KF__END_NONE,    /* not yet */
    KF__END_EMPTY,   /* no more batches */
    KF__END_LIMIT,   /* at most once: what follows is not committed yet */
    KF__END_YIELD,   /* others' turn; there is more */
    KF__END_STOPPED, /* the stop word was set */
    KF__END_FAILED,  /* at least once: the handler failed; the position is the record's */
    KF__END_BROKEN,  /* the batch can't be read */
};

enum {
    KF__REASON_BYTES = 160
}; /* of kf_fail's text that is kept */

/* How long an activation may go on where the caller's thread is the only one. */
struct kf__share {
    int64_t left; /* records until the next look at the clock */
    int64_t step; /* how many that were the last time */
    kf_time looked;
    kf_time end;
};

struct kf__partition {
    struct kf__activation activation;
    struct kf__task task;  /* to the loop: passed a chunk's end, or has room */
    struct kf__task ended; /* to the loop: the activation is at rest; the last one it posts */
    struct kf__consumer *consumer;
    const struct kf__route *route;
    const char *topic_name;
    int32_t topic;
    int32_t number;

    /* ---- the loop's ---- */
    enum kf__partition_state state;
    struct kf__fetching fetching;
    struct kf__offset account;
    struct kf__link link;   /* among the consumer's partitions */
    struct kf__timer retry; /* until the failed record is tried again */

    struct kf__partition *waits_for; /* the same partition's old handler, still running */
    bool needs_offset;               /* its committed offset is not known yet */
    bool offset_asked;               /* an OffsetFetch under way covers it */
    bool user_told;                  /* kf_runtime_on_rebalance's callback has returned */
    int64_t assigned_in;             /* the consumer's count of rebalances then */
    bool scheduled;                  /* its activation is ready or runs */
    bool paused;
    int32_t failures;       /* of the present record, in a row */
    int64_t stuck_since_ms; /* wall clock of its first failure; -1 */
    int64_t chunk_begin;    /* at most once: where the running chunk begins */
    int64_t chunk_asked;    /* … and where the one being committed ends; -1: none */
    bool given_back;        /* its batches were dropped and have to be fetched again */
    kf_err reset_why;       /* the position is to be reset once the queue is empty; KF_OK: no */
    int64_t reset_offset;   /* where the log diverges */
    int64_t failed_at;      /* the record whose handler failed last; -1 */
    int64_t seen_position;  /* when memory was last short */

    /* ---- shared ---- */
    pthread_mutex_t lock; /* the queue; taken once a batch */
    struct kf_batch *first;
    struct kf_batch *last;
    atomic_llong buffered;  /* bytes in the queue */
    atomic_llong position;  /* next record to handle; written by the worker only */
    atomic_llong limit;     /* at most once: handle only below */
    atomic_uint stop;       /* end between records */
    atomic_uint cancel;     /* kf_cancelled() */
    atomic_llong processed; /* counters: one writer, the worker */
    atomic_llong failed;
    atomic_llong retried;

    /* ---- the worker's ---- */
    enum kf__end end;
    kf_err end_error;
    struct kf__share share;
    int64_t attempt_offset;        /* the record that failed last; -1 */
    int32_t attempt;               /* how often it did */
    bool slow;                     /* a batch takes longer than a moment: move it out of its slab */
    char reason[KF__REASON_BYTES]; /* kf_fail's */
};

/* STARTING: not fetched, not handled. NULL when out of memory. */
struct kf__partition *kf__partition_new(struct kf__consumer *consumer,
                                        const struct kf__route *route, const char *topic_name,
                                        int32_t topic, int32_t number);
/* At rest only. */
void kf__partition_free(struct kf__partition *partition);

/* The position is known and the user was told: fetch and handle. */
void kf__partition_begin(struct kf__partition *partition);
/* Finish what runs (at most once: the committed chunk too), then DRAINED. */
void kf__partition_drain(struct kf__partition *partition);
/* Somebody else's now: stop at once, ask the handler to end, count nothing any more. */
void kf__partition_condemn(struct kf__partition *partition);
void kf__partition_pause(struct kf__partition *partition, bool paused);
/* Where its first record is; at rest only, with an empty queue. */
void kf__partition_start_at(struct kf__partition *partition, int64_t offset, int32_t epoch);
/* Its commit came back. */
void kf__partition_committed(struct kf__partition *partition, kf_err err);
/* It is being given up, and nothing it may still handle asks for another commit. */
bool kf__partition_needs_no_more(const struct kf__partition *partition);
/* Memory is short: drops the batches of a partition that hasn't moved since the last call. */
void kf__partition_give_back(struct kf__partition *partition);

extern const struct kf__fetching_owner kf__partition_fetching;

/* At most once: the handler failed; counted and logged, on the worker. */
void kf__partition_note_failure(struct kf__partition *partition, int64_t offset);

/* handle.c: the fiber's side. */
void kf__handle_run(struct kf__activation *activation);
void kf__handle_ended(struct kf__activation *activation);

static inline int64_t kf__partition_position(const struct kf__partition *partition)
{
    return atomic_load_explicit(&partition->position, memory_order_acquire);
}

#endif
