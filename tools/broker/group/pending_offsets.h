/*
 * pending_offsets: offsets that open transactions have committed for groups:
 * nobody sees them until the transaction's marker comes (KIP-98, KIP-447).
 * Pure. Called by the API files and by the transaction coordinator's sink.
 */
#ifndef KF_BROKER_PENDING_OFFSETS_H
#define KF_BROKER_PENDING_OFFSETS_H

#include "tools/broker/group/committed.h"
#include <stdbool.h>

struct kf__pending_offset {
    int64_t producer_id;
    int16_t epoch;
    kf_string group;
    int32_t place; /* the partition of __consumer_offsets that the group belongs to */
    struct kf__committed_offset offset;
};

/* In the order in which they came. */
struct kf__pending_offsets {
    const kf_allocator *alloc;
    struct kf__pending_offset *items;
    size_t count;
    size_t capacity;
};

void kf__pending_init(struct kf__pending_offsets *pending, const kf_allocator *alloc);
void kf__pending_free(struct kf__pending_offsets *pending);

/* A put in steps, the last of which can't fail: see committed.h. */
kf_err kf__pending_copy(const struct kf__pending_offsets *pending,
                        const struct kf__pending_offset *offset, struct kf__pending_offset *copy);
void kf__pending_copy_free(const struct kf__pending_offsets *pending,
                           struct kf__pending_offset *copy);
kf_err kf__pending_reserve(struct kf__pending_offsets *pending, size_t more);
void kf__pending_take(struct kf__pending_offsets *pending, const struct kf__pending_offset *copy,
                      uint64_t order);
/* Copies; replaces what the same producer said of the same partition before. */
kf_err kf__pending_put(struct kf__pending_offsets *pending, const struct kf__pending_offset *offset,
                       uint64_t order);
/* Does some open transaction hold an offset of it back? */
bool kf__pending_holds(const struct kf__pending_offsets *pending, kf_string group, kf_string topic,
                       int32_t partition);
/* Of any of the group's? */
bool kf__pending_holds_group(const struct kf__pending_offsets *pending, kf_string group);
/* Has the producer written to this partition of the offsets topic, in this epoch? */
bool kf__pending_has_producer(const struct kf__pending_offsets *pending, int32_t offsets_partition,
                              int64_t producer_id, int16_t epoch);

/*
 * The marker: what the producer holds in groups of that partition of the
 * offsets topic is committed, or forgotten. What a group has committed since
 * stays. KF_ERR_NO_MEMORY: call it again; nothing is lost.
 */
kf_err kf__pending_end(struct kf__pending_offsets *pending, struct kf__committed *committed,
                       int32_t offsets_partition, int64_t producer_id, bool commit);
void kf__pending_drop_group(struct kf__pending_offsets *pending, kf_string group);
void kf__pending_drop_topic(struct kf__pending_offsets *pending, kf_string topic);

#endif
