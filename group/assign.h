/*
 * assign: the inside of the assignors: one assignment being made, with topics,
 * partitions and members as numbers. Only assignor*.c include it.
 *
 * Partitions have dense numbers: topic t's are first[t] … first[t + 1] - 1.
 */
#ifndef KF_GROUP_ASSIGN_H
#define KF_GROUP_ASSIGN_H

#include "group/assignor.h"

enum {
    KF__NOBODY = -1
};

struct kf__wants {
    size_t *topics; /* numbers, sorted */
    size_t count;
};

struct kf__assign {
    kf_arena *arena;
    const struct kf__assignor_member *members;
    size_t member_count;
    const struct kf__topic_shape **topics; /* wanted by somebody, with partitions; by name */
    size_t topic_count;
    size_t *first;    /* topic_count + 1 */
    size_t *topic_of; /* a partition's topic */
    size_t partition_count;
    size_t *by_name;         /* members by instance id, then by id */
    struct kf__wants *wants; /* of each member */
    int32_t *owner;          /* of each partition; KF__NOBODY */
    size_t *held;            /* how many each member has */
};

bool kf__assign_wants(const struct kf__assign *assign, size_t member, size_t topic);
void kf__assign_give(struct kf__assign *assign, size_t partition, size_t member);
/* The partition's number; false where there is no such partition or nobody wants it. */
bool kf__assign_find(const struct kf__assign *assign, const struct kf__topic_partition *name,
                     size_t *partition);

/* Whether one of the partition's replicas stands in the member's rack. */
bool kf__assign_same_rack(const struct kf__assign *assign, size_t member, size_t partition);
/* A member that does not say where it stands matches every rack. */
static inline bool kf__assign_has_rack(const struct kf__assign *assign, size_t member)
{
    return assign->members[member].rack.size > 0;
}
/*
 * Whether racks can make a difference among these members and the partitions
 * [begin, end): somebody stands in a rack with a replica, and not every
 * partition has replicas in the same racks.
 */
bool kf__assign_racks_matter(const struct kf__assign *assign, const size_t *members, size_t count,
                             size_t begin, size_t end);

kf_err kf__assign_range(struct kf__assign *assign);
kf_err kf__assign_round_robin(struct kf__assign *assign);
/* Withholds what another member must give up first, where `cooperative`. */
kf_err kf__assign_sticky(struct kf__assign *assign, bool cooperative);
/* Unequal subscriptions: keeps the owners there are, then balances with few moves. */
kf_err kf__assign_balance(struct kf__assign *assign);

#endif
