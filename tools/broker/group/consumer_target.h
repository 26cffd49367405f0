/*
 * consumer_target: what a consumer group's topics come to: whether they have
 * changed, and who is to have which of their partitions. Pure. Called by
 * consumer_coordinator.c and consumer_classic.c.
 */
#ifndef KF_BROKER_CONSUMER_TARGET_H
#define KF_BROKER_CONSUMER_TARGET_H

#include "tools/broker/group/consumer_group.h"
#include "tools/broker/log/topics.h"

/* A number that differs where topics subscribed to came, went, or grew; 0: there are none. */
kf_err kf__consumer_topics_hash(const kf_allocator *alloc, const struct kf__topics *topics,
                                const struct kf__consumer_group *group, uint64_t *hash);

/* New targets for all members, by the assignor that most prefer. */
kf_err kf__consumer_retarget(const kf_allocator *alloc, const struct kf__topics *topics,
                             struct kf__consumer_group *group);

#endif
