/*
 * reconcile: one member's way from what it has to what it is to have (KIP-848):
 * it gives back first, moves to the new epoch then, and gets what is free.
 *
 *               to give back, and it still has it
 *        STABLE ───────────────────────────────▶ UNREVOKED
 *          ▲  ▲                                       │ given back
 *          │  └──────────── nothing is missing ───────┤
 *          │ all is free                              │ others have some of it
 *          └────────────── UNRELEASED ◀───────────────┘
 *
 * Pure. Called by consumer_coordinator.c and consumer_classic.c.
 */
#ifndef KF_BROKER_RECONCILE_H
#define KF_BROKER_RECONCILE_H

#include "tools/broker/group/consumer_group.h"
#include "tools/broker/log/topics.h"

struct kf__reconcile {
    const kf_allocator *alloc;
    const struct kf__topics *topics;
    const struct kf__consumer_group *group;
    struct kf__consumer_member *member;
    bool resubscribed;            /* its subscription has just changed */
    bool says_owned;              /* it has said what it has */
    const struct kf__held *owned; /* that, in any order */
    size_t owned_count;
    kf_time now;
};

/* May change the member's epoch, state, what it has and what it has to give back. */
kf_err kf__reconcile(const struct kf__reconcile *turn);

/* Does the member subscribe to the topic of this id, by name or expression? */
bool kf__member_subscribes(const struct kf__topics *topics, const struct kf__consumer_group *group,
                           const struct kf__consumer_member *member, kf_uuid topic);
/* Waits an UNRELEASED member for something that somebody else still has? *waits tells. */
kf_err kf__member_waits(const kf_allocator *alloc, const struct kf__consumer_group *group,
                        const struct kf__consumer_member *member, bool *waits);

#endif
