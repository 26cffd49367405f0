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
    size_t **fans;     /* of each topic: who wants it, by name */
    size_t *fan_count; /* and how many they are */
    size_t *came_by;   /* to each member: the partition that would move to it */
    bool *reached;     /* members */
    bool *expanded;    /* topics */
    bool *is_new;      /* partitions that had no owner: moving them costs nobody anything */
    size_t *step;      /* of the search in which a member was reached, from 1 */
    size_t *next;      /* members reached by the last step */
    size_t next_count;
};

static kf_err list_fans(struct search *search)
{
    const struct kf__assign *assign = search->assign;
    for (size_t m = 0; m < assign->member_count; m++)
        for (size_t i = 0; i < assign->wants[m].count; i++)
            search->fan_count[assign->wants[m].topics[i]]++;
    for (size_t t = 0; t < assign->topic_count; t++) {
        search->fans[t] = kf_arena_alloc(assign->arena, search->fan_count[t] * sizeof(size_t) + 1);
        if (!search->fans[t])
            return KF_ERR_NO_MEMORY;
        search->fan_count[t] = 0;
    }
    for (size_t i = 0; i < assign->member_count; i++) {
        size_t member = assign->by_name[i];
        for (size_t k = 0; k < assign->wants[member].count; k++) {
            size_t topic = assign->wants[member].topics[k];
            search->fans[topic][search->fan_count[topic]++] = member;
        }
    }
    return KF_OK;
}

static bool prefers(const struct kf__assign *assign, size_t member, size_t best, size_t partition)
{
    if (assign->held[member] != assign->held[best])
        return assign->held[member] < assign->held[best];
    bool near =
        kf__assign_has_rack(assign, member) && kf__assign_same_rack(assign, member, partition);
    return near && !kf__assign_same_rack(assign, best, partition);
}

static void give_to_fewest(const struct search *search, size_t partition)
{
    struct kf__assign *assign = search->assign;
    size_t topic = assign->topic_of[partition];
    size_t best = search->fans[topic][0]; /* somebody wants every topic that has a number */
    for (size_t i = 1; i < search->fan_count[topic]; i++)
        if (prefers(assign, search->fans[topic][i], best, partition))
            best = search->fans[topic][i];
    kf__assign_give(assign, partition, best);
}

/* All members that want the partition's topic are reached from its owner. */
static void expand(struct search *search, size_t partition, size_t step)
{
    size_t topic = search->assign->topic_of[partition];
    search->expanded[topic] = true;
    for (size_t i = 0; i < search->fan_count[topic]; i++) {
        size_t member = search->fans[topic][i];
        if (search->reached[member])
            continue;
        search->reached[member] = true;
        search->step[member] = step;
        search->came_by[member] = partition;
        search->next[search->next_count++] = member;
    }
}

/* From the members of the step before; new partitions are preferred as means. */
static void take_step(struct search *search, size_t step)
{
    const struct kf__assign *assign = search->assign;
    search->next_count = 0;
    for (int round = 0; round < 2; round++)
        for (size_t p = 0; p < assign->partition_count; p++) {
            size_t owner = (size_t)assign->owner[p];
            if (!search->expanded[assign->topic_of[p]] && search->is_new[p] == (round == 0) &&
                search->reached[owner] && search->step[owner] == step - 1)
                expand(search, p, step);
        }
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

static bool somebody_has_two_fewer(const struct kf__assign *assign, size_t member)
{
    for (size_t m = 0; m < assign->member_count; m++)
        if (assign->held[m] + 2 <= assign->held[member])
            return true;
    return false;
}

/* Takes one partition's weight off the member, if anybody can have it. */
static bool relieve(struct search *search, size_t from)
{
    const struct kf__assign *assign = search->assign;
    if (!somebody_has_two_fewer(assign, from))
        return false;
    memset(search->reached, 0, assign->member_count);
    memset(search->expanded, 0, assign->topic_count);
    search->reached[from] = true;
    search->step[from] = 0;
    for (size_t step = 1;; step++) {
        size_t target = from; /* -Os cannot see that it is always set */
        take_step(search, step);
        if (search->next_count == 0)
            return false;
        if (fewest_of_next(search, from, &target)) {
            move_along(search, from, target);
            return true;
        }
    }
}

static kf_err open_search(struct search *search)
{
    const struct kf__assign *assign = search->assign;
    kf_arena *arena = assign->arena;
    size_t members = assign->member_count * sizeof(size_t) + 1;
    search->fans = kf_arena_alloc(arena, assign->topic_count * sizeof *search->fans + 1);
    search->fan_count = kf_arena_alloc(arena, assign->topic_count * sizeof(size_t) + 1);
    search->came_by = kf_arena_alloc(arena, members);
    search->reached = kf_arena_alloc(arena, assign->member_count + 1);
    search->expanded = kf_arena_alloc(arena, assign->topic_count + 1);
    search->is_new = kf_arena_alloc(arena, assign->partition_count + 1);
    search->step = kf_arena_alloc(arena, members);
    search->next = kf_arena_alloc(arena, members);
    if (!search->fans || !search->fan_count || !search->came_by || !search->reached ||
        !search->expanded || !search->is_new || !search->step || !search->next)
        return KF_ERR_NO_MEMORY;
    return list_fans(search);
}

kf_err kf__assign_balance(struct kf__assign *assign)
{
    struct search search = {.assign = assign};
    kf_err err = open_search(&search);
    if (err)
        return err;
    for (size_t p = 0; p < assign->partition_count; p++) {
        search.is_new[p] = assign->owner[p] == KF__NOBODY;
        if (search.is_new[p])
            give_to_fewest(&search, p);
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
