#include "tools/broker/group/consumer_target.h"

#include "tools/broker/group/assignors.h"
#include "tools/broker/group/java_order.h"
#include "tools/broker/text.h"

#include <stdlib.h>

/* Topics that exist. */
struct wanted {
    const struct kf__topic **items;
    size_t count;
    size_t capacity;
};

static kf_err want(const kf_allocator *alloc, const struct kf__topics *topics,
                   struct wanted *wanted, const kf_string *names, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const struct kf__topic *topic = kf__broker_topics_find(topics, names[i]);
        if (!topic)
            continue;
        if (wanted->count == wanted->capacity) {
            size_t capacity = wanted->capacity ? wanted->capacity * 2 : 16;
            const struct kf__topic **items =
                kf_realloc(alloc, wanted->items, capacity * sizeof(*items));
            if (!items)
                return KF_ERR_NO_MEMORY;
            wanted->items = items;
            wanted->capacity = capacity;
        }
        wanted->items[wanted->count++] = topic;
    }
    return KF_OK;
}

static int compare_topics(const void *a, const void *b)
{
    const struct kf__topic *x = *(const struct kf__topic *const *)a;
    const struct kf__topic *y = *(const struct kf__topic *const *)b;
    return memcmp(x->id.bytes, y->id.bytes, sizeof x->id.bytes);
}

/* By id, each once. */
static void sort_wanted(struct wanted *wanted)
{
    if (wanted->count < 2)
        return;
    qsort(wanted->items, wanted->count, sizeof(*wanted->items), compare_topics);
    size_t kept = 1;
    for (size_t i = 1; i < wanted->count; i++)
        if (wanted->items[i] != wanted->items[kept - 1])
            wanted->items[kept++] = wanted->items[i];
    wanted->count = kept;
}

static kf_err want_member(const kf_allocator *alloc, const struct kf__topics *topics,
                          const struct kf__consumer_group *group,
                          const struct kf__consumer_member *member, struct wanted *wanted)
{
    const struct kf__group_regex *regex = kf__consumer_group_regex(group, member->regex);
    kf_err err = want(alloc, topics, wanted, member->topics, member->topic_count);
    if (!err && regex)
        err = want(alloc, topics, wanted, regex->topics, regex->topic_count);
    return err;
}

static kf_err want_all(const kf_allocator *alloc, const struct kf__topics *topics,
                       const struct kf__consumer_group *group, struct wanted *wanted)
{
    kf_err err = KF_OK;
    for (int32_t i = 0; i < group->member_count && !err; i++)
        err =
            want(alloc, topics, wanted, group->members[i]->topics, group->members[i]->topic_count);
    for (int32_t i = 0; i < group->regex_count && !err; i++)
        err = want(alloc, topics, wanted, group->regexes[i].topics, group->regexes[i].topic_count);
    sort_wanted(wanted);
    return err;
}

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211); /* FNV-1a */
    return hash;
}

kf_err kf__consumer_topics_hash(const kf_allocator *alloc, const struct kf__topics *topics,
                                const struct kf__consumer_group *group, uint64_t *hash)
{
    struct wanted wanted = {0};
    kf_err err = want_all(alloc, topics, group, &wanted);
    *hash = wanted.count > 0 ? UINT64_C(14695981039346656037) : 0;
    for (size_t i = 0; i < wanted.count && !err; i++) {
        *hash = mix(*hash, wanted.items[i]->id.bytes, sizeof wanted.items[i]->id.bytes);
        *hash =
            mix(*hash, &wanted.items[i]->partition_count, sizeof wanted.items[i]->partition_count);
    }
    kf_free(alloc, wanted.items);
    return err;
}

/* ---- the plan ---- */

static void free_plan(struct kf__plan *plan)
{
    for (int32_t i = 0; i < plan->member_count; i++) {
        kf_free(plan->alloc, plan->members[i].topics);
        kf__holding_free(plan->alloc, &plan->members[i].after);
    }
    kf_free(plan->alloc, plan->members);
    kf_free(plan->alloc, (void *)(uintptr_t)plan->topics);
}

static kf_err plan_member(struct kf__plan *plan, const struct kf__topics *topics,
                          const struct kf__consumer_group *group,
                          const struct kf__consumer_member *member)
{
    struct kf__plan_member *planned = &plan->members[plan->member_count++];
    struct wanted wanted = {0};
    *planned = (struct kf__plan_member){
        .id = member->id, .instance_id = member->instance_id, .before = &member->target};
    kf_err err = want_member(plan->alloc, topics, group, member, &wanted);
    if (!err)
        planned->topics = kf_alloc(plan->alloc, (wanted.count + 1) * sizeof *planned->topics);
    if (!err && !planned->topics)
        err = KF_ERR_NO_MEMORY;
    sort_wanted(&wanted);
    for (size_t i = 0; i < wanted.count && !err; i++)
        planned->topics[planned->topic_count++] = kf__plan_topic(plan, wanted.items[i]->id);
    kf_free(plan->alloc, wanted.items);
    return err;
}

static kf_err plan_topics(struct kf__plan *plan, const struct kf__topics *topics,
                          const struct kf__consumer_group *group)
{
    struct wanted wanted = {0};
    kf_err err = want_all(plan->alloc, topics, group, &wanted);
    struct kf__plan_topic *planned = NULL;
    if (!err)
        planned = kf_alloc(plan->alloc, (wanted.count + 1) * sizeof *planned);
    if (!err && !planned)
        err = KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < wanted.count && !err; i++)
        planned[i] = (struct kf__plan_topic){.id = wanted.items[i]->id,
                                             .partitions = wanted.items[i]->partition_count};
    plan->topics = planned;
    plan->topic_count = err ? 0 : (int32_t)wanted.count;
    kf_free(plan->alloc, wanted.items);
    return err;
}

/* All by the same names, or all by the same expression. */
static bool want_the_same(const struct kf__consumer_group *group)
{
    const struct kf__consumer_member *first = group->members[0];
    if (first->regex.size > 0 && first->topic_count > 0)
        return false;
    for (int32_t i = 1; i < group->member_count; i++) {
        const struct kf__consumer_member *member = group->members[i];
        if (!kf__text_equal(member->regex, first->regex) ||
            member->topic_count != first->topic_count)
            return false;
        for (int32_t t = 0; t < member->topic_count; t++)
            if (!kf__text_equal(member->topics[t], first->topics[t]))
                return false;
    }
    return true;
}

/* Of the topic of `one`, how many the member was to have before. */
static int64_t had_of(const struct kf__plan_member *member, const struct kf__held *one)
{
    size_t low = 0, high = member->before->count;
    struct kf__held first = {.topic = one->topic, .partition = -1};
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kf__held_compare(&member->before->items[middle], &first) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool here =
        low < member->before->count && memcmp(member->before->items[low].topic.bytes,
                                              one->topic.bytes, sizeof one->topic.bytes) == 0;
    return here ? (int64_t)kf__holding_run(member->before, low) : 0;
}

/* Sorts the answer and notes how Java's sets would show it. */
static kf_err rank(const struct kf__plan *plan, struct kf__plan_member *member)
{
    struct kf__holding *after = &member->after;
    kf_err err = KF_OK;
    kf__holding_sort(after);
    for (size_t i = 0; i < after->count && !err; i += kf__holding_run(after, i))
        err = kf__java_rank(plan->alloc, &after->items[i], kf__holding_run(after, i),
                            plan->numbered ? had_of(member, &after->items[i]) : -1);
    return err;
}

kf_err kf__consumer_retarget(const kf_allocator *alloc, const struct kf__topics *topics,
                             struct kf__consumer_group *group)
{
    struct kf__plan plan = {.alloc = alloc};
    if (group->member_count == 0)
        return KF_OK;
    kf_err err = plan_topics(&plan, topics, group);
    if (!err)
        plan.members = kf_alloc_zero(alloc, (size_t)group->member_count * sizeof *plan.members);
    if (!err && !plan.members)
        err = KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < group->member_count && !err; i++)
        err = plan_member(&plan, topics, group, group->members[i]);
    if (!err && kf__text_equal(kf__consumer_group_assignor(group), kf__text("range")))
        err = kf__target_range(&plan);
    else if (!err)
        err = want_the_same(group) ? kf__target_uniform(&plan) : kf__target_mixed(&plan);
    for (int32_t i = 0; i < group->member_count && !err; i++)
        err = rank(&plan, &plan.members[i]);
    for (int32_t i = 0; i < group->member_count && !err; i++) {
        struct kf__holding *after = &plan.members[i].after;
        kf__holding_free(alloc, &group->members[i]->target);
        group->members[i]->target = *after;
        *after = (struct kf__holding){0};
    }
    free_plan(&plan);
    return err;
}
