/*
 * assignor: who gets which partition: range, round-robin, sticky,
 * cooperative-sticky. Pure functions over sorted arrays, wire-compatible with
 * Java members of the same group: for equal subscriptions the same result as
 * Kafka's own classes (racks included: KIP-881), user data byte-equal.
 */
#ifndef KF_GROUP_ASSIGNOR_H
#define KF_GROUP_ASSIGNOR_H

#include <kafiber/codec.h>
#include <kafiber/error.h>
#include <kafiber/types.h>

enum kf__assignor {
    KF__ASSIGNOR_RANGE,
    KF__ASSIGNOR_ROUND_ROBIN,
    KF__ASSIGNOR_STICKY,
    KF__ASSIGNOR_COOPERATIVE_STICKY,
    KF__ASSIGNORS,
};

/* "range", "roundrobin", "sticky", "cooperative-sticky". */
const char *kf__assignor_name(enum kf__assignor assignor);
bool kf__assignor_by_name(kf_string name, enum kf__assignor *assignor);
bool kf__assignor_is_cooperative(enum kf__assignor assignor);

/* A topic's name and a partition's number; the name borrows. */
struct kf__topic_partition {
    kf_string topic;
    int32_t partition;
};

/* Owned array of borrowed or owned names, as whoever fills it says; sorted by topic, partition. */
struct kf__partition_list {
    struct kf__topic_partition *items;
    size_t count;
};

/* A topic as the assignors see it. */
struct kf__topic_shape {
    kf_string name;
    int32_t partition_count;
    /* racks[p]: the racks of partition p's replicas; NULL where racks are not known */
    const struct kf__rack_list *racks;
};
struct kf__rack_list {
    const kf_string *items;
    size_t count;
};

struct kf__assignor_member {
    kf_string id;
    kf_string instance_id; /* null: dynamic */
    kf_string rack;        /* null: none */
    const kf_string *topics;
    size_t topic_count;
    struct kf__partition_list owned; /* from the subscription (v1+) or, sticky, its user data */
    int32_t generation;              /* of the owned partitions; -1: unknown */
    kf_bytes user_data;
};

/* One list for each member, in the order of `members`; names borrow from `topics`. */
kf_err kf__assign(enum kf__assignor assignor, const struct kf__topic_shape *topics,
                  size_t topic_count, const struct kf__assignor_member *members,
                  size_t member_count, kf_arena *arena, struct kf__partition_list *assignments);

#endif
