/*
 * producer_lock: a lock for the few nanoseconds that a record is copied in:
 * one atomic exchange to take it, one store to give it back. Who finds it
 * taken spins for a moment and then sleeps in short steps, so that a holder
 * of lower priority gets its turn.
 */
#ifndef KF_RUNTIME_PRODUCER_LOCK_H
#define KF_RUNTIME_PRODUCER_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>

struct kf__brief {
    atomic_bool taken;
};

void kf__brief_wait(struct kf__brief *lock); /* until it has it */

static inline void kf__brief_lock(struct kf__brief *lock)
{
    if (atomic_exchange_explicit(&lock->taken, true, memory_order_acquire))
        kf__brief_wait(lock);
}

static inline void kf__brief_unlock(struct kf__brief *lock)
{
    atomic_store_explicit(&lock->taken, false, memory_order_release);
}

#endif
