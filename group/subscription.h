/*
 * subscription: what members of a group tell each other through the
 * coordinator: the consumer protocol's subscription and assignment, and the
 * user data of the sticky assignors, byte-equal to Java's.
 *
 *   int16 version │ rows of consumer_protocol.def
 *
 * A version newer than ours is read as the newest we know; what follows is
 * ignored. Bytes come from strangers: everything malformed is
 * KF_ERR_BAD_ASSIGNMENT. Decoded names borrow from the bytes, lists live in
 * the arena and are sorted.
 */
#ifndef KF_GROUP_SUBSCRIPTION_H
#define KF_GROUP_SUBSCRIPTION_H

#include "group/assignor.h"

struct kf__subscription {
    const kf_string *topics;
    size_t topic_count;
    struct kf__partition_list owned; /* v1 */
    int32_t generation;              /* of what is owned, v2; -1: unknown */
    kf_string rack;                  /* v3; null: none */
    kf_bytes user_data;              /* null: none */
};

/* `version`: 0 to KF__SUBSCRIPTION_VERSION. `owned` is sorted. */
enum {
    KF__SUBSCRIPTION_VERSION = 3,
    KF__ASSIGNMENT_VERSION = 3
};
kf_err kf__subscription_encode(const struct kf__subscription *subscription, int16_t version,
                               kf_arena *arena, kf_bytes *bytes);
kf_err kf__subscription_decode(kf_bytes bytes, kf_arena *arena,
                               struct kf__subscription *subscription);

kf_err kf__assignment_encode(const struct kf__partition_list *partitions, int16_t version,
                             kf_arena *arena, kf_bytes *bytes);
/* No bytes at all: nothing assigned, as a broker says it. */
kf_err kf__assignment_decode(kf_bytes bytes, kf_arena *arena,
                             struct kf__partition_list *partitions);

/* StickyAssignor: what was assigned last, and in which generation (v1; v0: -1, unknown). */
kf_err kf__sticky_data_encode(const struct kf__partition_list *partitions, int32_t generation,
                              kf_arena *arena, kf_bytes *bytes);
kf_err kf__sticky_data_decode(kf_bytes bytes, kf_arena *arena,
                              struct kf__partition_list *partitions, int32_t *generation);

/* CooperativeStickyAssignor: the generation alone; -1 where it can't be read. */
kf_err kf__cooperative_data_encode(int32_t generation, kf_arena *arena, kf_bytes *bytes);
int32_t kf__cooperative_data_generation(kf_bytes bytes);

#endif
