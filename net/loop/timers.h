/*
 * timers: a pairing heap of embedded timers, earliest first.
 *
 *      root ─▶ child ─▶ next ─▶ next      no child is earlier than who is above it
 *                └─▶ child
 *
 * Its links lie in the timers, so setting one needs no memory and can't fail:
 * whoever is to be tried again when memory is back will be. Knows no clock.
 * Used by the loop only.
 */
#ifndef KF_NET_TIMERS_H
#define KF_NET_TIMERS_H

#include "net/loop/loop.h"

/* All zero: none is set. */
struct kf__timers {
    struct kf__timer *root;
    size_t count;
};

void kf__timers_set(struct kf__timers *timers, struct kf__timer *timer, kf_time at);
void kf__timers_cancel(struct kf__timers *timers, struct kf__timer *timer);
kf_time kf__timers_next(const struct kf__timers *timers); /* KF_FOREVER: none is set */
/* Fires what is due at `now`; a timer set anew for the past by one that fires waits for next time.
 */
void kf__timers_fire(struct kf__timers *timers, kf_time now);

#endif
