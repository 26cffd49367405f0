/*
 * assignor_sticky: balance first, then everybody keeps what they had.
 *
 *   claims ──▶ each keeps up to a fair share ──▶ the rest by rack ──▶ the rest in turn
 *
 * With equal subscriptions the result is the one of Java's classes, which
 * visit members in a HashMap's order; with unequal ones assignor_balance.c
 * takes over after the claims.
 *
 * A claim counts with its generation: of two members that claim one
 * partition the younger generation is right (KAFKA-7026, KAFKA-12984); equal
 * ones cancel each other out. The cooperative assignor then withholds what a
 * member has to give up first: it comes with the next generation.
 */
#include "group/assign.h"

#include "group/java_order.h"
#include <stdlib.h>

/* Members' numbers that still have room, in order; shrinks from anywhere. */
struct queue {
    size_t *members;
    size_t count;
};

struct sticky {
    struct kf__assign *assign;
    size_t *visit;     /* members as a HashMap visits them */
    int32_t *claimant; /* of each partition; KF__NOBODY */
    bool *contested;   /* two members claim it in the same generation */
    bool racks;        /* matter */
    size_t least;      /* a fair share, rounded down */
    size_t most;       /* rounded up */
    size_t may_have_most;
    size_t have_most;
    struct queue below; /* have less than the least */
    struct queue exact; /* have the least and may get one more */
};

static void queue_add(struct queue *queue, size_t member)
{
    queue->members[queue->count++] = member;
}

static void queue_remove(struct queue *queue, size_t index)
{
    queue->count--;
    for (size_t i = index; i < queue->count; i++)
        queue->members[i] = queue->members[i + 1];
}

/* Claims */

static void claim(struct sticky *sticky, size_t member, size_t partition)
{
    const struct kf__assignor_member *members = sticky->assign->members;
    int32_t other = sticky->claimant[partition];
    if (other == (int32_t)member)
        return;
    if (other != KF__NOBODY && members[other].generation > members[member].generation)
        return;
    /* It stays contested whoever else claims it: Java's classes see it so. */
    if (other != KF__NOBODY && members[other].generation == members[member].generation)
        sticky->contested[partition] = true;
    sticky->claimant[partition] = (int32_t)member;
}

static void read_claims(struct sticky *sticky)
{
    const struct kf__assign *assign = sticky->assign;
    for (size_t i = 0; i < assign->member_count; i++) {
        size_t member = sticky->visit[i];
        const struct kf__partition_list *owned = &assign->members[member].owned;
        for (size_t k = 0; k < owned->count; k++) {
            size_t partition;
            if (kf__assign_find(assign, &owned->items[k], &partition))
                claim(sticky, member, partition);
        }
    }
}

/* Equal subscriptions */

static bool subscriptions_are_equal(const struct kf__assign *assign)
{
    for (size_t m = 1; m < assign->member_count; m++) {
        if (assign->wants[m].count != assign->wants[0].count)
            return false;
        for (size_t i = 0; i < assign->wants[m].count; i++)
            if (assign->wants[m].topics[i] != assign->wants[0].topics[i])
                return false;
    }
    return true;
}

/* A partition's place among what its owner keeps: by number, then by topic. */
struct kept {
    size_t number;
    size_t topic;
    size_t partition;
};

static int compare_kept(const void *a, const void *b)
{
    const struct kept *x = a;
    const struct kept *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return (x->topic > y->topic) - (x->topic < y->topic);
}

/* Valid claims of a member, in the order in which it may keep them; a double claims once. */
static size_t list_claims(const struct sticky *sticky, size_t member, struct kept *kept)
{
    const struct kf__assign *assign = sticky->assign;
    const struct kf__partition_list *owned = &assign->members[member].owned;
    size_t count = 0;
    for (size_t i = 0; i < owned->count; i++) {
        size_t p;
        if (!kf__assign_find(assign, &owned->items[i], &p) ||
            sticky->claimant[p] != (int32_t)member || sticky->contested[p])
            continue;
        if (sticky->racks && kf__assign_has_rack(assign, member) &&
            !kf__assign_same_rack(assign, member, p))
            continue;
        size_t topic = assign->topic_of[p];
        kept[count++] = (struct kept){p - assign->first[topic], topic, p};
    }
    qsort(kept, count, sizeof *kept, compare_kept);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || kept[i].partition != kept[unique - 1].partition)
            kept[unique++] = kept[i];
    return unique;
}

static void keep_share(struct sticky *sticky, size_t member, struct kept *kept)
{
    size_t count = list_claims(sticky, member, kept);
    size_t keeps = count;
    if (count < sticky->least) {
        queue_add(&sticky->below, member);
    } else if (count >= sticky->most && sticky->have_most < sticky->may_have_most) {
        keeps = sticky->most;
        if (++sticky->have_most == sticky->may_have_most)
            sticky->exact.count = 0;
    } else {
        keeps = sticky->least;
        if (sticky->have_most < sticky->may_have_most)
            queue_add(&sticky->exact, member);
    }
    for (size_t i = 0; i < keeps; i++)
        kf__assign_give(sticky->assign, kept[i].partition, member);
}

static kf_err keep_shares(struct sticky *sticky)
{
    const struct kf__assign *assign = sticky->assign;
    size_t longest = 0;
    for (size_t m = 0; m < assign->member_count; m++)
        if (assign->members[m].owned.count > longest)
            longest = assign->members[m].owned.count;
    struct kept *kept = kf_arena_alloc(assign->arena, longest * sizeof *kept + 1);
    if (!kept)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < assign->member_count; i++)
        keep_share(sticky, sticky->visit[i], kept);
    return KF_OK;
}

struct member_name {
    kf_string id;
    size_t member;
};

static int compare_member_names(const void *a, const void *b)
{
    const struct member_name *x = a;
    const struct member_name *y = b;
    return kf__java_compare(x->id, y->id);
}

static kf_err sort_queue(const struct sticky *sticky, struct queue *queue)
{
    struct member_name *names =
        kf_arena_alloc(sticky->assign->arena, queue->count * sizeof *names + 1);
    if (!names)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < queue->count; i++)
        names[i] =
            (struct member_name){sticky->assign->members[queue->members[i]].id, queue->members[i]};
    qsort(names, queue->count, sizeof *names, compare_member_names);
    for (size_t i = 0; i < queue->count; i++)
        queue->members[i] = names[i].member;
    return KF_OK;
}

/* Partitions that nobody kept; where racks matter, those with the fewest members near first. */
struct orphan {
    size_t near;
    size_t partition;
};

static int compare_orphans(const void *a, const void *b)
{
    const struct orphan *x = a;
    const struct orphan *y = b;
    if (x->near != y->near)
        return x->near < y->near ? -1 : 1;
    return (x->partition > y->partition) - (x->partition < y->partition);
}

static size_t list_orphans(const struct sticky *sticky, struct orphan *orphans)
{
    const struct kf__assign *assign = sticky->assign;
    size_t count = 0;
    for (size_t p = 0; p < assign->partition_count; p++) {
        if (assign->owner[p] != KF__NOBODY)
            continue;
        size_t near = 0;
        for (size_t m = 0; sticky->racks && m < assign->member_count; m++)
            near += kf__assign_has_rack(assign, m) && kf__assign_same_rack(assign, m, p);
        orphans[count++] = (struct orphan){near, p};
    }
    qsort(orphans, count, sizeof *orphans, compare_orphans);
    return count;
}

/* The next one from `start` on, round the queue, with a rack of the partition's. */
static bool next_near(const struct sticky *sticky, const struct queue *queue, size_t start,
                      size_t partition, size_t *index)
{
    for (size_t i = 0; i < queue->count; i++) {
        *index = (start + i) % queue->count;
        size_t member = queue->members[*index];
        if (kf__assign_has_rack(sticky->assign, member) &&
            kf__assign_same_rack(sticky->assign, member, partition))
            return true;
    }
    return false;
}

/* One more member has the most; when enough of them have, nobody else may. */
static void note_most(struct sticky *sticky)
{
    if (++sticky->have_most == sticky->may_have_most)
        sticky->exact.count = 0;
}

/* Gives one partition to a member near it, if there is one with room. */
static void give_near(struct sticky *sticky, size_t partition, size_t *turn)
{
    struct kf__assign *assign = sticky->assign;
    struct queue *below = &sticky->below;
    struct queue *exact = &sticky->exact;
    size_t index;
    if (next_near(sticky, below, *turn, partition, &index)) {
        size_t member = below->members[index];
        kf__assign_give(assign, partition, member);
        if (assign->held[member] >= sticky->least) {
            queue_remove(below, index);
            if (assign->held[member] < sticky->most && sticky->have_most < sticky->may_have_most)
                queue_add(exact, member);
        } else {
            index++;
        }
        *turn = below->count ? index % below->count : 0;
    } else if (next_near(sticky, exact, 0, partition, &index)) {
        size_t member = exact->members[index];
        kf__assign_give(assign, partition, member);
        queue_remove(exact, index);
        note_most(sticky);
    }
}

/* Those below the least in turn, then one more for as many as the rest allows. */
static void give_in_turn(struct sticky *sticky, const struct orphan *orphans, size_t count)
{
    struct kf__assign *assign = sticky->assign;
    struct queue *below = &sticky->below;
    struct queue *exact = &sticky->exact;
    size_t turn = 0;
    for (size_t i = 0; i < count; i++) {
        size_t partition = orphans[i].partition;
        if (assign->owner[partition] != KF__NOBODY)
            continue;
        if (below->count) {
            turn = turn < below->count ? turn : 0;
            size_t member = below->members[turn];
            kf__assign_give(assign, partition, member);
            if (assign->held[member] < sticky->least) {
                turn++;
                continue;
            }
            queue_remove(below, turn);
            queue_add(exact, member);
        } else if (exact->count) {
            size_t member = exact->members[0];
            queue_remove(exact, 0);
            kf__assign_give(assign, partition, member);
        }
    }
}

static kf_err assign_equal(struct sticky *sticky)
{
    struct kf__assign *assign = sticky->assign;
    size_t members = assign->member_count;
    sticky->least = assign->partition_count / members;
    sticky->may_have_most = assign->partition_count % members;
    sticky->most = sticky->least + (sticky->may_have_most > 0);
    sticky->below.members = kf_arena_alloc(assign->arena, members * sizeof(size_t));
    sticky->exact.members = kf_arena_alloc(assign->arena, members * sizeof(size_t));
    struct orphan *orphans =
        kf_arena_alloc(assign->arena, assign->partition_count * sizeof *orphans + 1);
    if (!sticky->below.members || !sticky->exact.members || !orphans)
        return KF_ERR_NO_MEMORY;

    kf_err err = keep_shares(sticky);
    if (!err)
        err = sort_queue(sticky, &sticky->below);
    if (!err)
        err = sort_queue(sticky, &sticky->exact);
    if (err)
        return err;
    size_t count = list_orphans(sticky, orphans);
    size_t turn = 0;
    for (size_t i = 0; sticky->racks && i < count; i++)
        give_near(sticky, orphans[i].partition, &turn);
    give_in_turn(sticky, orphans, count);
    return KF_OK;
}

/* Unequal subscriptions: who claims it and still wants it begins with it. */
static void keep_all(struct sticky *sticky)
{
    struct kf__assign *assign = sticky->assign;
    for (size_t p = 0; p < assign->partition_count; p++) {
        int32_t claimant = sticky->claimant[p];
        if (claimant != KF__NOBODY && !sticky->contested[p] &&
            kf__assign_wants(assign, (size_t)claimant, assign->topic_of[p]))
            kf__assign_give(assign, p, (size_t)claimant);
    }
}

/* What another member may still be handling waits for the next generation. */
static void withhold(struct sticky *sticky)
{
    struct kf__assign *assign = sticky->assign;
    for (size_t p = 0; p < assign->partition_count; p++) {
        int32_t owner = assign->owner[p];
        bool moves = sticky->claimant[p] != KF__NOBODY && sticky->claimant[p] != owner;
        if (owner == KF__NOBODY || !(moves || sticky->contested[p]))
            continue;
        assign->owner[p] = KF__NOBODY;
        assign->held[owner]--;
    }
}

static kf_err open_sticky(struct sticky *sticky)
{
    struct kf__assign *assign = sticky->assign;
    size_t members = assign->member_count;
    kf_string *ids = kf_arena_alloc(assign->arena, members * sizeof *ids);
    sticky->visit = kf_arena_alloc(assign->arena, members * sizeof *sticky->visit);
    sticky->claimant =
        kf_arena_alloc(assign->arena, assign->partition_count * sizeof *sticky->claimant + 1);
    sticky->contested = kf_arena_alloc(assign->arena, assign->partition_count + 1);
    if (!ids || !sticky->visit || !sticky->claimant || !sticky->contested)
        return KF_ERR_NO_MEMORY;
    for (size_t p = 0; p < assign->partition_count; p++)
        sticky->claimant[p] = KF__NOBODY;
    for (size_t m = 0; m < members; m++)
        ids[m] = assign->members[m].id;
    sticky->racks =
        kf__assign_racks_matter(assign, assign->by_name, members, 0, assign->partition_count);
    return kf__java_map_order(ids, members, assign->arena, sticky->visit);
}

kf_err kf__assign_sticky(struct kf__assign *assign, bool cooperative)
{
    if (assign->member_count == 0)
        return KF_OK;
    struct sticky sticky = {.assign = assign};
    kf_err err = open_sticky(&sticky);
    if (err)
        return err;
    read_claims(&sticky);
    if (subscriptions_are_equal(assign)) {
        err = assign_equal(&sticky);
    } else {
        keep_all(&sticky);
        err = kf__assign_balance(assign);
    }
    if (!err && cooperative)
        withhold(&sticky);
    return err;
}
