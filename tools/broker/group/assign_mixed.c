/*
 * The uniform assignor where members want different topics. First everybody
 * keeps what it had and still wants; then what is free goes, topic by topic, to
 * whoever has least; then topics are evened out again and again until nothing
 * moves any more, at most MAX_ROUNDS times.
 *
 * Members are known by their rank: their place in Java's map of them.
 */
#include "tools/broker/group/assignors.h"
#include "tools/broker/group/java_order.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_ROUNDS = 16, /* Kafka's */
};

struct topic_work {
    int32_t partitions;
    int32_t *owners; /* rank by partition; -1: nobody */
    int32_t *subscribers;
    int32_t subscriber_count;
    int32_t index; /* in the plan */
    kf_uuid id;
};

struct by_load {
    int32_t rank;
    int32_t size;
};

struct work {
    struct kf__plan *plan;
    int32_t *order; /* rank to index of the plan's member */
    int32_t *sizes; /* partitions of each rank */
    struct topic_work *topics;
    int32_t *sorted_topics; /* those with subscribers: fewest members per partition first */
    int32_t sorted_count;
    int32_t *partitions;  /* of the topic at hand, by owner */
    int32_t *start, *end; /* of each rank in it */
    int32_t *memory;      /* owners and subscribers of all topics */

    /* The subscribers of the topic at hand, and how far they were filled and emptied. */
    struct by_load *members;
    int32_t member_count;
    int32_t low_end, low_level, next_low;
    int32_t high_start, high_end, high_level, next_high;
};

/* ---- who has least, who has most ---- */

static int compare_load(const void *a, const void *b)
{
    const struct by_load *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static int32_t size_at(const struct work *work, int32_t place)
{
    return work->sizes[work->members[place].rank];
}

/* How far the fullest of the topic's subscribers is from the emptiest. */
static int32_t look_at(struct work *work, const struct topic_work *topic)
{
    int32_t count = topic->subscriber_count;
    for (int32_t i = 0; i < count; i++)
        work->members[i] = (struct by_load){.rank = topic->subscribers[i],
                                            .size = work->sizes[topic->subscribers[i]]};
    qsort(work->members, (size_t)count, sizeof *work->members, compare_load);
    work->member_count = count;
    work->low_end = 0;
    work->low_level = size_at(work, 0) - 1;
    work->next_low = 0;
    work->high_start = work->high_end = count;
    work->high_level = size_at(work, count - 1) + 1;
    work->next_high = count - 1;
    return size_at(work, count - 1) - size_at(work, 0);
}

/* Those with least take turns; when all of them had theirs, the next level joins. */
static int32_t next_least(struct work *work)
{
    if (work->next_low >= work->low_end) {
        work->low_level++;
        while (work->low_end < work->member_count &&
               size_at(work, work->low_end) == work->low_level)
            work->low_end++;
        work->next_low = 0;
    }
    return work->members[work->next_low++].rank;
}

/* -1: nobody is left. */
static int32_t next_most(struct work *work)
{
    if (work->next_high < work->high_start) {
        bool empty = work->high_end <= work->high_start && work->high_start > 0;
        work->high_level = empty ? size_at(work, work->high_start - 1) : work->high_level - 1;
        while (work->high_start > 0 && size_at(work, work->high_start - 1) == work->high_level)
            work->high_start--;
        work->next_high = work->high_end - 1;
    }
    return work->next_high < 0 ? -1 : work->members[work->next_high--].rank;
}

/* The one named last has nothing of this topic to give. */
static void exclude_most(struct work *work)
{
    int32_t last = --work->high_end;
    struct by_load one = work->members[work->next_high + 1];
    work->members[work->next_high + 1] = work->members[last];
    work->members[last] = one;
}

static bool is_balanced(const struct work *work) { return work->high_level - work->low_level <= 1; }

static void move(struct work *work, struct topic_work *topic, int32_t partition, int32_t rank)
{
    int32_t before = topic->owners[partition];
    if (before >= 0)
        work->sizes[before]--;
    topic->owners[partition] = rank;
    work->sizes[rank]++;
}

/* ---- topics ---- */

/* As Java compares two pairs of signed longs. */
static int compare_ids(const kf_uuid *a, const kf_uuid *b)
{
    for (int i = 0; i < 16; i++) {
        uint8_t sign = i % 8 == 0 ? 0x80 : 0;
        uint8_t x = a->bytes[i] ^ sign, y = b->bytes[i] ^ sign;
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

/* Most partitions for each subscriber first. */
static int compare_topics(const void *a, const void *b)
{
    const struct topic_work *x = a, *y = b;
    int64_t left = (int64_t)x->partitions * y->subscriber_count;
    int64_t right = (int64_t)y->partitions * x->subscriber_count;
    if (left != right)
        return left > right ? -1 : 1;
    if (x->subscriber_count != y->subscriber_count)
        return x->subscriber_count < y->subscriber_count ? -1 : 1;
    return compare_ids(&x->id, &y->id);
}

static void keep_before(struct work *work)
{
    struct kf__plan *plan = work->plan;
    for (int32_t rank = 0; rank < plan->member_count; rank++) {
        const struct kf__plan_member *member = &plan->members[work->order[rank]];
        for (size_t i = 0; i < member->before->count; i++) {
            const struct kf__held *one = &member->before->items[i];
            int32_t topic = kf__plan_topic(plan, one->topic);
            if (topic >= 0 && one->partition < work->topics[topic].partitions &&
                kf__plan_wants(member, topic))
                move(work, &work->topics[topic], one->partition, rank);
        }
    }
}

static void give_free(struct work *work, struct topic_work *topic)
{
    bool looked = false;
    for (int32_t p = 0; p < topic->partitions; p++) {
        if (topic->owners[p] >= 0)
            continue;
        if (!looked)
            look_at(work, topic);
        looked = true;
        move(work, topic, p, next_least(work));
    }
}

/* work->partitions by owner, then number; where each owner's begin and end. */
static void sort_by_owner(struct work *work, const struct topic_work *topic)
{
    size_t ranks = (size_t)work->plan->member_count;
    memset(work->end, 0, ranks * sizeof *work->end);
    for (int32_t p = 0; p < topic->partitions; p++)
        work->end[topic->owners[p]]++;
    int32_t at = 0;
    for (size_t rank = 0; rank < ranks; rank++) {
        work->start[rank] = at;
        at += work->end[rank];
        work->end[rank] = work->start[rank];
    }
    for (int32_t p = 0; p < topic->partitions; p++)
        work->partitions[work->end[topic->owners[p]]++] = p;
}

/* True: something moved. */
static bool even_out(struct work *work, struct topic_work *topic)
{
    bool moved = false;
    if (look_at(work, topic) <= 1)
        return false;
    sort_by_owner(work, topic);
    while (!is_balanced(work)) {
        int32_t most = next_most(work);
        while (most >= 0 && work->end[most] <= work->start[most]) {
            exclude_most(work);
            most = next_most(work);
        }
        if (most < 0)
            break;
        int32_t partition = work->partitions[--work->end[most]];
        int32_t least = next_least(work);
        if (is_balanced(work))
            break;
        move(work, topic, partition, least);
        moved = true;
    }
    return moved;
}

static void even_out_all(struct work *work)
{
    int32_t last = -1;
    for (int round = 0; round < MAX_ROUNDS; round++)
        for (int32_t i = 0; i < work->sorted_count; i++) {
            struct topic_work *topic = &work->topics[work->sorted_topics[i]];
            if (topic->subscriber_count < 2)
                continue;
            if (i == last)
                return;
            if (even_out(work, topic) || last < 0)
                last = i;
        }
}

/* ---- the whole ---- */

static void add_subscribers(struct work *work)
{
    struct kf__plan *plan = work->plan;
    for (int32_t rank = 0; rank < plan->member_count; rank++) {
        const struct kf__plan_member *member = &plan->members[work->order[rank]];
        for (int32_t t = 0; t < member->topic_count; t++) {
            struct topic_work *topic = &work->topics[member->topics[t]];
            topic->subscribers[topic->subscriber_count++] = rank;
        }
    }
}

/* Room for each topic's owners and subscribers, and for its partitions. */
static kf_err open_topics(struct work *work)
{
    const struct kf__plan *plan = work->plan;
    size_t count = (size_t)plan->topic_count, total = 1, largest = 1;
    for (size_t t = 0; t < count; t++) {
        size_t partitions = (size_t)plan->topics[t].partitions;
        total += partitions;
        largest = partitions > largest ? partitions : largest;
        work->topics[t].index = (int32_t)t;
        work->topics[t].id = plan->topics[t].id;
        work->topics[t].partitions = plan->topics[t].partitions;
    }
    for (int32_t m = 0; m < plan->member_count; m++)
        for (int32_t t = 0; t < plan->members[m].topic_count; t++) {
            work->topics[plan->members[m].topics[t]].subscriber_count++;
            total++;
        }
    work->memory = kf_alloc(plan->alloc, total * sizeof *work->memory);
    work->partitions = kf_alloc(plan->alloc, largest * sizeof *work->partitions);
    if (!work->memory || !work->partitions)
        return KF_ERR_NO_MEMORY;
    int32_t *at = work->memory;
    for (size_t t = 0; t < count; t++) {
        struct topic_work *topic = &work->topics[t];
        topic->owners = at;
        topic->subscribers = at + topic->partitions;
        at = topic->subscribers + topic->subscriber_count;
        topic->subscriber_count = 0;
        for (int32_t p = 0; p < topic->partitions; p++)
            topic->owners[p] = -1;
    }
    return KF_OK;
}

static kf_err open_work(struct work *work)
{
    struct kf__plan *plan = work->plan;
    size_t members = (size_t)plan->member_count + 1, topics = (size_t)plan->topic_count + 1;
    work->order = kf_alloc(plan->alloc, members * sizeof *work->order);
    work->sizes = kf_alloc_zero(plan->alloc, members * sizeof *work->sizes);
    work->start = kf_alloc_zero(plan->alloc, members * sizeof *work->start);
    work->end = kf_alloc_zero(plan->alloc, members * sizeof *work->end);
    work->members = kf_alloc(plan->alloc, members * sizeof *work->members);
    work->topics = kf_alloc_zero(plan->alloc, topics * sizeof *work->topics);
    work->sorted_topics = kf_alloc(plan->alloc, topics * sizeof *work->sorted_topics);
    if (!work->order || !work->sizes || !work->start || !work->end || !work->members ||
        !work->topics || !work->sorted_topics)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf__plan_walk(plan, work->order);
    return err ? err : open_topics(work);
}

static void close_work(struct work *work)
{
    const kf_allocator *alloc = work->plan->alloc;
    kf_free(alloc, work->order);
    kf_free(alloc, work->sizes);
    kf_free(alloc, work->start);
    kf_free(alloc, work->end);
    kf_free(alloc, work->members);
    kf_free(alloc, work->topics);
    kf_free(alloc, work->sorted_topics);
    kf_free(alloc, work->memory);
    kf_free(alloc, work->partitions);
}

static kf_err sort_topics(struct work *work)
{
    size_t count = (size_t)work->plan->topic_count;
    struct topic_work *sorted = kf_alloc(work->plan->alloc, (count + 1) * sizeof *sorted);
    if (!sorted)
        return KF_ERR_NO_MEMORY;
    size_t used = 0;
    for (size_t t = 0; t < count; t++)
        if (work->topics[t].subscriber_count > 0)
            sorted[used++] = work->topics[t];
    if (used > 1)
        qsort(sorted, used, sizeof *sorted, compare_topics);
    for (size_t t = 0; t < used; t++)
        work->sorted_topics[t] = sorted[t].index;
    work->sorted_count = (int32_t)used;
    kf_free(work->plan->alloc, sorted);
    return KF_OK;
}

static kf_err tell(struct work *work)
{
    struct kf__plan *plan = work->plan;
    kf_err err = KF_OK;
    for (int32_t t = 0; t < plan->topic_count && !err; t++)
        for (int32_t p = 0; p < work->topics[t].partitions && !err; p++) {
            int32_t owner = work->topics[t].owners[p];
            if (owner >= 0)
                err = kf__holding_add(plan->alloc, &plan->members[work->order[owner]].after,
                                      plan->topics[t].id, p, 0);
        }
    return err;
}

kf_err kf__target_mixed(struct kf__plan *plan)
{
    struct work work = {.plan = plan};
    kf_err err = open_work(&work);
    if (!err) {
        add_subscribers(&work);
        err = sort_topics(&work);
    }
    if (!err) {
        keep_before(&work);
        for (int32_t i = 0; i < work.sorted_count; i++)
            give_free(&work, &work.topics[work.sorted_topics[i]]);
        even_out_all(&work);
        err = tell(&work);
    }
    close_work(&work);
    return err;
}
