/*
 * holding: partitions that a member of a consumer group (KIP-848) has, or is
 * to have, in order of topic id and partition, each with the epoch in which it
 * was given. Pure storage. Used by consumer_group.c, reconcile.c and the
 * assignors.
 */
#ifndef KF_BROKER_HOLDING_H
#define KF_BROKER_HOLDING_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>
#include <stdbool.h>

struct kf__held {
    kf_uuid topic;
    int32_t partition;
    int32_t epoch; /* of the assignment that gave it; in a target: its place in Java's set of the
                      topic's partitions (java_order.h) */
};

struct kf__holding {
    struct kf__held *items;
    size_t count;
    size_t capacity;
};

int kf__held_compare(const struct kf__held *a, const struct kf__held *b);

void kf__holding_free(const kf_allocator *alloc, struct kf__holding *holding);
/* At the end, in whatever order: kf__holding_sort comes before anybody looks. */
kf_err kf__holding_add(const kf_allocator *alloc, struct kf__holding *holding, kf_uuid topic,
                       int32_t partition, int32_t epoch);
void kf__holding_sort(struct kf__holding *holding);
kf_err kf__holding_copy(const kf_allocator *alloc, const struct kf__holding *from,
                        struct kf__holding *copy);

/* NULL where it isn't in it. */
const struct kf__held *kf__holding_find(const struct kf__holding *holding, kf_uuid topic,
                                        int32_t partition);
/* Of the same partitions, given in the same epochs? */
bool kf__holding_equal(const struct kf__holding *a, const struct kf__holding *b);
/* How many of one topic stand from `first` on. */
size_t kf__holding_run(const struct kf__holding *holding, size_t first);
int32_t kf__holding_topics(const struct kf__holding *holding);

#endif
