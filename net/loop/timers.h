/*
 * timers: a binary heap of embedded timers, earliest first.
 *
 * Each timer knows its place, so moving or cancelling one costs a few swaps.
 * Knows no clock. Used by the loop only.
 */
#ifndef KF_NET_TIMERS_H
#define KF_NET_TIMERS_H

#include "net/loop/loop.h"

struct kf__timers {
    const kf_allocator *alloc;
    struct kf__timer **heap; /* from index 1 on */
    size_t count;
    size_t capacity;
};

/* With room for the first few, so that setting those can't fail. */
kf_err kf__timers_init(struct kf__timers *timers, const kf_allocator *alloc);
void kf__timers_free(struct kf__timers *timers); /* those still set are forgotten, not touched */

kf_err kf__timers_set(struct kf__timers *timers, struct kf__timer *timer, kf_time at);
void kf__timers_cancel(struct kf__timers *timers, struct kf__timer *timer);
kf_time kf__timers_next(const struct kf__timers *timers); /* KF_FOREVER: none is set */
/* Fires what is due at `now`; a timer set anew for the past by one that fires waits for next time.
 */
void kf__timers_fire(struct kf__timers *timers, kf_time now);

#endif
