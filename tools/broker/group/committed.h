/*
 * committed: the offsets that groups have committed, by group, topic and
 * partition. Pure storage: who may commit is the group coordinator's matter.
 * Called by api/offset_commit.c, api/offset_fetch.c, api/delete_groups.c, expiry.c.
 */
#ifndef KF_BROKER_COMMITTED_H
#define KF_BROKER_COMMITTED_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>
#include <stdbool.h>

struct kf__committed_offset {
    kf_string topic;
    int32_t partition;
    int32_t leader_epoch; /* -1: not said */
    int64_t offset;
    kf_string metadata;
    int64_t commit_ms; /* wall clock: when it was committed */
    int64_t expire_ms; /* when it goes, by its own retention time; -1: not said */
    uint64_t order;    /* counts writes: the later one wins; 0 when putting: the next */
};

/* One group's, in order of topic and partition. */
struct kf__committed_group {
    kf_string group;
    struct kf__committed_offset *items;
    size_t count;
    size_t capacity;
};

struct kf__committed {
    const kf_allocator *alloc;
    struct kf__committed_group *groups;
    size_t group_count;
    uint64_t writes;
};

void kf__committed_init(struct kf__committed *committed, const kf_allocator *alloc);
void kf__committed_free(struct kf__committed *committed);

/* NULL where nothing is committed. */
const struct kf__committed_group *kf__committed_group(const struct kf__committed *committed,
                                                      kf_string group);
const struct kf__committed_offset *kf__committed_find(const struct kf__committed *committed,
                                                      kf_string group, kf_string topic,
                                                      int32_t partition);
/*
 * A put in steps, the last of which can't fail: a copy that owns its texts, room for so many more
 * of the group, and the copy's way in.
 */
kf_err kf__committed_copy(const struct kf__committed *committed,
                          const struct kf__committed_offset *offset,
                          struct kf__committed_offset *copy);
void kf__committed_copy_free(const struct kf__committed *committed,
                             struct kf__committed_offset *copy);
kf_err kf__committed_reserve(struct kf__committed *committed, kf_string group, size_t more);
void kf__committed_take(struct kf__committed *committed, kf_string group,
                        const struct kf__committed_offset *copy);
/* All three. */
kf_err kf__committed_put(struct kf__committed *committed, kf_string group,
                         const struct kf__committed_offset *offset);
/* Nothing, where nothing is committed. */
void kf__committed_remove(struct kf__committed *committed, kf_string group, kf_string topic,
                          int32_t partition);
void kf__committed_drop_group(struct kf__committed *committed, kf_string group);
/* Those that `goes` says go; how many are left. */
size_t kf__committed_drop_those(struct kf__committed *committed, kf_string group,
                                bool (*goes)(void *context,
                                             const struct kf__committed_offset *offset),
                                void *context);
void kf__committed_drop_topic(struct kf__committed *committed, kf_string topic);

#endif
