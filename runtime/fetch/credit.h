/*
 * credit: how many bytes may be on their way or wait in memory.
 *
 *   reserve ──▶ Fetch under way ──▶ slab received ──▶ all its batches started
 *      └───────── fetch.max.bytes ────────────────┘
 *                                     └──── memory.budget.bytes until freed ───┘
 *
 * Taken on the loop's thread; given back on any. Knows nothing of requests.
 */
#ifndef KF_RUNTIME_CREDIT_H
#define KF_RUNTIME_CREDIT_H

#include "net/loop/loop.h"
#include "net/loop/slab.h"
#include <pthread.h>

struct kf__credit {
    int64_t fetch_max;      /* bytes */
    int64_t budget_max;     /* bytes */
    atomic_llong reserved;  /* fetches under way, and slabs with batches not yet started */
    atomic_llong held;      /* slabs alive */
    atomic_bool wanted;     /* somebody waits for credit */
    atomic_uint references; /* slabs outlive the runtime where messages are retained */
    const kf_allocator *alloc;
    pthread_mutex_t lock; /* guards the two below: the loop may go while messages are retained */
    struct kf__task *returned; /* posted when credit comes back and somebody waits; NULL: dropped */
    struct kf__loop *loop;
};

/* `returned` is posted to the loop each time that credit comes back after a refusal. */
struct kf__credit *kf__credit_new(const kf_allocator *alloc, struct kf__loop *loop,
                                  int64_t fetch_max, int64_t budget_max, struct kf__task *returned);
/* Nobody is told any more, and the loop may go; freed with the last slab. */
void kf__credit_drop(struct kf__credit *credit);

/* Up to `most` bytes, at least `least`; 0 where there isn't that much now. */
int64_t kf__credit_reserve(struct kf__credit *credit, int64_t least, int64_t most);
void kf__credit_unreserve(struct kf__credit *credit, int64_t bytes);

/*
 * Accounts for a slab of which `batches` more batches wait to be started (a
 * small slab may carry several responses). KF_ERR_NO_MEMORY: nothing was
 * changed.
 */
kf_err kf__credit_hold(struct kf__credit *credit, struct kf__slab *slab, unsigned batches);
/* One of them was started or dropped. Any thread. */
void kf__credit_started(struct kf__slab *slab);

#endif
