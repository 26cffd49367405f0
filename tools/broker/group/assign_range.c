/* The range assignor; and what all assignors ask of a plan. */
#include "tools/broker/group/assignors.h"
#include "tools/broker/group/java_order.h"
#include "tools/broker/text.h"

#include <stdlib.h>

int32_t kf__plan_topic(const struct kf__plan *plan, kf_uuid id)
{
    int32_t low = 0, high = plan->topic_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = memcmp(plan->topics[middle].id.bytes, id.bytes, sizeof id.bytes);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static int compare_ints(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

bool kf__plan_wants(const struct kf__plan_member *member, int32_t topic)
{
    return member->topic_count > 0 && bsearch(&topic, member->topics, (size_t)member->topic_count,
                                              sizeof topic, compare_ints) != NULL;
}

kf_err kf__plan_walk(const struct kf__plan *plan, int32_t *order)
{
    size_t count = (size_t)plan->member_count;
    uint32_t *hashes = kf_alloc(plan->alloc, (count + 1) * sizeof *hashes);
    if (!hashes)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        hashes[i] = kf__java_hash_text(plan->members[i].id);
    kf_err err = kf__java_order(plan->alloc, hashes, count, kf__java_grown(count), order);
    kf_free(plan->alloc, hashes);
    return err;
}

/* ---- range ---- */

struct cut {
    int32_t subscribers;
    int32_t extra; /* ranges that are longer by one, still to be given */
    int32_t next;
};

/* Static members first, by instance id; then the others by id. */
static int compare_members(const void *a, const void *b)
{
    const struct kf__plan_member *x = *(struct kf__plan_member *const *)a;
    const struct kf__plan_member *y = *(struct kf__plan_member *const *)b;
    if (x->instance_id.data && y->instance_id.data)
        return kf__text_compare(x->instance_id, y->instance_id);
    if (x->instance_id.data || y->instance_id.data)
        return x->instance_id.data ? -1 : 1;
    return kf__text_compare(x->id, y->id);
}

static void count_subscribers(const struct kf__plan *plan, struct cut *cuts)
{
    for (int32_t m = 0; m < plan->member_count; m++)
        for (int32_t t = 0; t < plan->members[m].topic_count; t++)
            cuts[plan->members[m].topics[t]].subscribers++;
    for (int32_t t = 0; t < plan->topic_count; t++)
        if (cuts[t].subscribers > 0)
            cuts[t].extra = plan->topics[t].partitions % cuts[t].subscribers;
}

static kf_err take_range(const struct kf__plan *plan, int32_t topic, struct cut *cut,
                         struct kf__plan_member *member)
{
    const struct kf__plan_topic *of = &plan->topics[topic];
    int32_t quota = of->partitions / cut->subscribers + (cut->extra > 0);
    cut->extra -= cut->extra > 0;
    kf_err err = KF_OK;
    for (int32_t i = 0; i < quota && cut->next < of->partitions && !err; i++)
        err = kf__holding_add(plan->alloc, &member->after, of->id, cut->next++, 0);
    return err;
}

kf_err kf__target_range(struct kf__plan *plan)
{
    size_t count = (size_t)plan->member_count;
    struct kf__plan_member **sorted = kf_alloc(plan->alloc, (count + 1) * sizeof(*sorted));
    struct cut *cuts = kf_alloc_zero(plan->alloc, ((size_t)plan->topic_count + 1) * sizeof *cuts);
    kf_err err = sorted && cuts ? KF_OK : KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < count && !err; i++)
        sorted[i] = &plan->members[i];
    if (!err) {
        qsort(sorted, count, sizeof(*sorted), compare_members);
        count_subscribers(plan, cuts);
    }
    for (size_t m = 0; m < count && !err; m++)
        for (int32_t t = 0; t < sorted[m]->topic_count && !err; t++)
            err = take_range(plan, sorted[m]->topics[t], &cuts[sorted[m]->topics[t]], sorted[m]);
    kf_free(plan->alloc, sorted);
    kf_free(plan->alloc, cuts);
    return err;
}
