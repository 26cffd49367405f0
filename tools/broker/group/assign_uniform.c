/*
 * The uniform assignor where all members want the same topics. Each may have
 * `quota` partitions, some of them one more; what is beyond goes back, and
 * what nobody has goes to those with room, in the order of Java's tables.
 */
#include "tools/broker/group/assignors.h"
#include "tools/broker/group/java_order.h"

#include <stdlib.h>
#include <string.h>

/* A member with room. */
struct unfilled {
    int32_t member;
    int32_t room;
};

struct work {
    struct kf__plan *plan;
    int32_t quota;
    int32_t extras;            /* members that may have one more, still to be found */
    struct kf__holding free;   /* to be given, in this order */
    struct unfilled *unfilled; /* in this order */
    int32_t unfilled_count;
};

static kf_err add_free(struct work *work, kf_uuid topic, int32_t partition)
{
    return kf__holding_add(work->plan->alloc, &work->free, topic, partition, 0);
}

/* order[]: the topics of all members as a set copied from a list of them shows them. */
static kf_err walk_topics(const struct kf__plan *plan, const struct kf__plan_member *member,
                          int32_t *order)
{
    size_t count = (size_t)member->topic_count;
    uint32_t *hashes = kf_alloc(plan->alloc, (count + 1) * sizeof *hashes);
    if (!hashes)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        hashes[i] = kf__java_hash_uuid(plan->topics[member->topics[i]].id);
    kf_err err = kf__java_order(plan->alloc, hashes, count, kf__java_copied(count), order);
    kf_free(plan->alloc, hashes);
    return err;
}

/* All that was assigned to somebody before, sorted. */
static kf_err gather_before(const struct kf__plan *plan, struct kf__holding *all)
{
    kf_err err = KF_OK;
    for (int32_t m = 0; m < plan->member_count; m++)
        for (size_t i = 0; i < plan->members[m].before->count && !err; i++)
            err = kf__holding_add(plan->alloc, all, plan->members[m].before->items[i].topic,
                                  plan->members[m].before->items[i].partition, 0);
    kf__holding_sort(all);
    return err;
}

static kf_err find_free(struct work *work, const struct kf__plan_member *first,
                        const int32_t *order, int64_t *total)
{
    const struct kf__plan *plan = work->plan;
    struct kf__holding before = {0};
    kf_err err = gather_before(plan, &before);
    for (int32_t t = 0; t < first->topic_count && !err; t++) {
        const struct kf__plan_topic *topic = &plan->topics[first->topics[order[t]]];
        for (int32_t p = 0; p < topic->partitions && !err; p++)
            if (!kf__holding_find(&before, topic->id, p))
                err = add_free(work, topic->id, p);
        *total += topic->partitions;
    }
    kf__holding_free(plan->alloc, &before);
    return err;
}

static int compare_places(const void *a, const void *b)
{
    const struct kf__held *x = a, *y = b;
    return (x->epoch > y->epoch) - (x->epoch < y->epoch);
}

/* The next one of the member's partitions, in the order in which they come into its sets. */
static kf_err add_after(struct work *work, struct kf__plan_member *member,
                        const struct kf__held *one)
{
    return kf__holding_add(work->plan->alloc, &member->after, one->topic, one->partition,
                           (int32_t)member->after.count);
}

/* What a member keeps of one topic: the first `quota`, as Java's set of them shows them. */
static kf_err keep_topic(struct work *work, struct kf__plan_member *member, size_t first,
                         int32_t *quota)
{
    const kf_allocator *alloc = work->plan->alloc;
    const struct kf__held *items = &member->before->items[first];
    size_t count = kf__holding_run(member->before, first);
    int32_t topic = kf__plan_topic(work->plan, items->topic);
    if (topic < 0 || !kf__plan_wants(member, topic))
        return KF_OK;
    struct kf__held *sorted = kf_alloc(alloc, count * sizeof *sorted);
    if (!sorted)
        return KF_ERR_NO_MEMORY;
    memcpy(sorted, items, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_places);
    kf_err err = KF_OK;
    for (size_t i = 0; i < count && !err; i++) {
        bool keeps = *quota > 0;
        *quota -= keeps;
        err = keeps ? add_after(work, member, &sorted[i])
                    : add_free(work, sorted[i].topic, sorted[i].partition);
    }
    kf_free(alloc, sorted);
    return err;
}

/* What the member keeps of what it had: topic by topic, as Java's map of them shows them. */
static kf_err keep(struct work *work, struct kf__plan_member *member, int32_t *quota)
{
    const kf_allocator *alloc = work->plan->alloc;
    size_t count = (size_t)kf__holding_topics(member->before);
    uint32_t *hashes = kf_alloc(alloc, (count + 1) * sizeof *hashes);
    int32_t *order = kf_alloc(alloc, (count + 1) * sizeof *order);
    size_t *starts = kf_alloc(alloc, (count + 1) * sizeof *starts);
    kf_err err = hashes && order && starts ? KF_OK : KF_ERR_NO_MEMORY;
    for (size_t i = 0, at = 0; i < count && !err; i++) {
        starts[i] = at;
        hashes[i] = kf__java_hash_uuid(member->before->items[at].topic);
        at += kf__holding_run(member->before, at);
    }
    if (!err)
        err = kf__java_order(alloc, hashes, count, kf__java_grown(count), order);
    for (size_t i = 0; i < count && !err; i++)
        err = keep_topic(work, member, starts[order[i]], quota);
    kf_free(alloc, hashes);
    kf_free(alloc, order);
    kf_free(alloc, starts);
    return err;
}

/* `left`: how many members come from this one on. */
static kf_err revoke(struct work *work, int32_t index, int32_t left)
{
    bool extra = work->extras > 0;
    int32_t quota = work->quota + extra;
    kf_err err = keep(work, &work->plan->members[index], &quota);
    if (quota > 0 && extra && left > work->extras) { /* another one may have it */
        quota--;
        extra = false;
    }
    if (quota > 0)
        work->unfilled[work->unfilled_count++] = (struct unfilled){.member = index, .room = quota};
    work->extras -= extra;
    return err;
}

static kf_err give(struct work *work)
{
    size_t next = 0;
    kf_err err = KF_OK;
    for (int32_t u = 0; u < work->unfilled_count; u++) {
        struct kf__plan_member *member = &work->plan->members[work->unfilled[u].member];
        for (int32_t i = 0; i < work->unfilled[u].room && next < work->free.count && !err; i++) {
            err = add_after(work, member, &work->free.items[next++]);
        }
    }
    return err;
}

kf_err kf__target_uniform(struct kf__plan *plan)
{
    if (plan->member_count == 0 || plan->members[0].topic_count == 0)
        return KF_OK;
    const struct kf__plan_member *first = &plan->members[0];
    struct work work = {.plan = plan};
    size_t most =
        (size_t)(plan->member_count > first->topic_count ? plan->member_count : first->topic_count);
    int32_t *order = kf_alloc(plan->alloc, most * sizeof *order);
    work.unfilled = kf_alloc(plan->alloc, (size_t)plan->member_count * sizeof *work.unfilled);
    int64_t total = 0;
    kf_err err = order && work.unfilled ? walk_topics(plan, first, order) : KF_ERR_NO_MEMORY;
    if (!err)
        err = find_free(&work, first, order, &total);
    if (!err)
        err = kf__plan_walk(plan, order);
    work.quota = (int32_t)(total / plan->member_count);
    work.extras = (int32_t)(total % plan->member_count);
    for (int32_t i = 0; i < plan->member_count && !err; i++)
        err = revoke(&work, order[i], plan->member_count - i);
    if (!err)
        err = give(&work);
    plan->numbered = true;
    kf__holding_free(plan->alloc, &work.free);
    kf_free(plan->alloc, work.unfilled);
    kf_free(plan->alloc, order);
    return err;
}
