/*
 * assignor_balance: unequal subscriptions. Partitions without an owner go to
 * the member with the fewest that wants them; then partitions move along the
 * shortest chain from a member with many to one with at least two fewer,
 * until there is no such chain: no assignment is more even, and nobody gives
 * up what needs not move.
 *
 *   m1 (5) ──orders 3──▶ m2 (4) ──payments 1──▶ m3 (3)
 */
#include "group/assign.h"

#include <string.h>

struct search {
    struct kf__assign *assign;
    size_t *came_by; /* to each member: the partition that would move to it */
    bool *reached;   /* members */
    bool *expanded;  /* topics */
    bool *is_new;    /* partitions that had no owner: moving them costs nobody anything */
    size_t *level;   /* members of this level */
    size_t *next;    /* and of the next */
    size_t next_count;
};

static bool prefers(const struct kf__assign *assign, size_t member, size_t best, size_t partition)
{
    if (assign->held[member] != assign->held[best])
        return assign->held[member] < assign->held[best];
    bool near =
        kf__assign_has_rack(assign, member) && kf__assign_same_rack(assign, member, partition);
    return near && !kf__assign_same_rack(assign, best, partition);
}

static void give_to_fewest(struct kf__assign *assign, size_t partition)
{
    size_t topic = assign->topic_of[partition];
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < assign->member_count; i++) {
        size_t member = assign->by_name[i];
        if (kf__assign_wants(assign, member, topic) &&
            (best == SIZE_MAX || prefers(assign, member, best, partition)))
            best = member;
    }
    if (best != SIZE_MAX)
        kf__assign_give(assign, partition, best);
}

static bool in_level(const struct search *search, size_t count, size_t member)
{
    for (size_t i = 0; i < count; i++)
        if (search->level[i] == member)
            return true;
    return false;
}

/* All members that want the partition's topic are reached from its owner. */
static void expand(struct search *search, size_t partition)
{
    const struct kf__assign *assign = search->assign;
    size_t topic = assign->topic_of[partition];
    search->expanded[topic] = true;
    for (size_t i = 0; i < assign->member_count; i++) {
        size_t member = assign->by_name[i];
        if (search->reached[member] || !kf__assign_wants(assign, member, topic))
            continue;
        search->reached[member] = true;
        search->came_by[member] = partition;
        search->next[search->next_count++] = member;
    }
}

/* One step further from the members of this level; new partitions are preferred as means. */
static void expand_level(struct search *search, size_t count)
{
    const struct kf__assign *assign = search->assign;
    search->next_count = 0;
    for (int round = 0; round < 2; round++)
        for (size_t p = 0; p < assign->partition_count; p++)
            if (!search->expanded[assign->topic_of[p]] && search->is_new[p] == (round == 0) &&
                assign->owner[p] != KF__NOBODY && in_level(search, count, (size_t)assign->owner[p]))
                expand(search, p);
}

static bool fewest_of_next(const struct search *search, size_t from, size_t *target)
{
    const struct kf__assign *assign = search->assign;
    bool found = false;
    for (size_t i = 0; i < search->next_count; i++) {
        size_t member = search->next[i];
        if (assign->held[member] + 2 > assign->held[from] ||
            (found && assign->held[member] >= assign->held[*target]))
            continue;
        *target = member;
        found = true;
    }
    return found;
}

/* Moves one partition along each step of the chain that ends at `target`. */
static void move_along(struct search *search, size_t from, size_t target)
{
    struct kf__assign *assign = search->assign;
    assign->held[from]--;
    assign->held[target]++;
    for (size_t member = target; member != from;) {
        size_t partition = search->came_by[member];
        size_t before = (size_t)assign->owner[partition];
        assign->owner[partition] = (int32_t)member;
        member = before;
    }
}

/* Takes one partition's weight off the member, if anybody can have it. */
static bool relieve(struct search *search, size_t from)
{
    const struct kf__assign *assign = search->assign;
    memset(search->reached, 0, assign->member_count);
    memset(search->expanded, 0, assign->topic_count);
    search->reached[from] = true;
    search->level[0] = from;
    for (size_t count = 1; count; count = search->next_count) {
        expand_level(search, count);
        size_t target;
        if (fewest_of_next(search, from, &target)) {
            move_along(search, from, target);
            return true;
        }
        memcpy(search->level, search->next, search->next_count * sizeof *search->level);
    }
    return false;
}

kf_err kf__assign_balance(struct kf__assign *assign)
{
    kf_arena *arena = assign->arena;
    size_t members = assign->member_count * sizeof(size_t) + 1;
    struct search search = {
        .assign = assign,
        .came_by = kf_arena_alloc(arena, members),
        .reached = kf_arena_alloc(arena, assign->member_count + 1),
        .expanded = kf_arena_alloc(arena, assign->topic_count + 1),
        .is_new = kf_arena_alloc(arena, assign->partition_count + 1),
        .level = kf_arena_alloc(arena, members),
        .next = kf_arena_alloc(arena, members),
    };
    if (!search.came_by || !search.reached || !search.expanded || !search.is_new || !search.level ||
        !search.next)
        return KF_ERR_NO_MEMORY;

    for (size_t p = 0; p < assign->partition_count; p++) {
        search.is_new[p] = assign->owner[p] == KF__NOBODY;
        if (search.is_new[p])
            give_to_fewest(assign, p);
    }
    /* Every move makes the sum of squares smaller, so this ends. */
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < assign->member_count; i++)
            while (relieve(&search, assign->by_name[i]))
                moved = true;
    }
    return KF_OK;
}
