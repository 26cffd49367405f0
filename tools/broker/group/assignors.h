/*
 * assignors: who gets which partitions in a consumer group (KIP-848): Kafka's
 * server-side assignors.
 *
 *     range      members by instance id, then id; each topic is cut into ranges   assign_range.c
 *     uniform    as even as can be, and as much as possible stays where it is:
 *                  all members want the same topics                               assign_uniform.c
 *                  they want different ones                                       assign_mixed.c
 *
 * Pure: the same plan gives the same answer as Kafka 4.4, whose order of hash
 * tables is played where it counts (java_order.h). Called by consumer_target.c.
 */
#ifndef KF_BROKER_ASSIGNORS_H
#define KF_BROKER_ASSIGNORS_H

#include "tools/broker/group/holding.h"

struct kf__plan_topic {
    kf_uuid id;
    int32_t partitions;
};

struct kf__plan_member {
    kf_string id;
    kf_string instance_id; /* null: a dynamic member */
    int32_t *topics;       /* that it wants: ascending indexes into the plan's */
    int32_t topic_count;
    const struct kf__holding *before; /* its last target */
    struct kf__holding after;         /* the answer */
};

struct kf__plan {
    const kf_allocator *alloc;
    const struct kf__plan_topic *topics; /* by id; those that exist */
    int32_t topic_count;
    struct kf__plan_member *members;
    int32_t member_count;
    bool numbered; /* the answers' epochs say in which order partitions came */
};

/* Each fills in every member's `after`, in any order. KF_ERR_NO_MEMORY leaves them to be freed all
 * the same. */
kf_err kf__target_range(struct kf__plan *plan);
kf_err kf__target_uniform(struct kf__plan *plan);
kf_err kf__target_mixed(struct kf__plan *plan);

/* Where the topic stands in the plan; -1: nowhere. */
int32_t kf__plan_topic(const struct kf__plan *plan, kf_uuid id);
bool kf__plan_wants(const struct kf__plan_member *member, int32_t topic);
/* order[]: the members as Java's map of them shows them. */
kf_err kf__plan_walk(const struct kf__plan *plan, int32_t *order);

#endif
