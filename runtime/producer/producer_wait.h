/*
 * producer_wait: one who waits: for a verdict, for memory, for metadata, for a
 * flush.
 *
 *   wait ──▶ plain thread: a condition │ fiber: suspended ──wake, or time──▶ goes on
 *
 * Who waits and who wakes each hold it, and a fiber's timer too: the last one
 * puts it back. They are kept for reuse, so that waiting allocates nothing.
 */
#ifndef KF_RUNTIME_PRODUCER_WAIT_H
#define KF_RUNTIME_PRODUCER_WAIT_H

#include "net/loop/list.h"
#include "net/loop/loop.h"
#include <kafiber/producer.h>
#include <pthread.h>
#include <stdatomic.h>

struct kf__activation;

struct kf__waiter {
    struct kf__link link; /* in a list under the producer's lock */
    struct kf_producer *producer;
    struct kf__waiter *next_made; /* of all */
    struct kf__waiter *next_free;
    struct kf__activation *fiber; /* NULL: a plain thread waits */
    pthread_cond_t changed;
    struct kf__task arm;
    struct kf__timer timer;
    kf_time deadline;
    atomic_int holders;
    bool woken;      /* this and the next three under the producer's lock */
    bool waits;      /* a fiber: it is suspended, or about to be */
    bool resumed;    /* a fiber: and has been woken from it */
    bool cancelled;  /* a fiber: by being asked to stop */
    size_t need;     /* bytes of memory */
    uint64_t number; /* of the last batch to have a verdict; then how many are to be told */
    bool has_verdicts;
    kf_delivery delivery;
    char *words; /* delivery.reason, its own copy; NULL: none, or no memory for it */
};

/* Held once. NULL: out of memory. Without the lock. */
struct kf__waiter *kf__waiter_new(struct kf_producer *producer);
void kf__waiter_hold(struct kf__waiter *waiter);
void kf__waiter_release(struct kf__waiter *waiter); /* without the lock */
/* Under the lock, which is left meanwhile. False: the deadline has passed, or it is cancelled. */
bool kf__waiter_wait(struct kf__waiter *waiter, kf_time deadline);
/* What a wait ended with that was not woken: `late`, or KF_ERR_CANCELLED. */
static inline kf_err kf__waiter_error(const struct kf__waiter *waiter, kf_err late)
{
    return waiter->cancelled ? KF_ERR_CANCELLED : late;
}
/* Under the lock; once. */
void kf__waiter_wake(struct kf__waiter *waiter);
/* The same for one that is in no list: where it sleeps, it stands among `sleepers` and is held
   until they are roused, without the lock, for which it would only wait otherwise. */
void kf__waiter_wake_later(struct kf__waiter *waiter, struct kf__link *sleepers);
void kf__waiters_rouse(struct kf__link *sleepers);
void kf__waiters_free(struct kf_producer *producer); /* nobody waits any more */

#endif
