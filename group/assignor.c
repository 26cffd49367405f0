/*
 * assignor: the names of the assignors, and what all of them share: topics
 * and members by number instead of by name, and the way back.
 */
#include "group/assign.h"

#include "group/java_order.h"
#include "group/partitions.h"
#include <stdlib.h>
#include <string.h>

static const char *const names[KF__ASSIGNORS] = {
    [KF__ASSIGNOR_RANGE] = "range",
    [KF__ASSIGNOR_ROUND_ROBIN] = "roundrobin",
    [KF__ASSIGNOR_STICKY] = "sticky",
    [KF__ASSIGNOR_COOPERATIVE_STICKY] = "cooperative-sticky",
};

const char *kf__assignor_name(enum kf__assignor assignor) { return names[assignor]; }

bool kf__assignor_by_name(kf_string name, enum kf__assignor *assignor)
{
    for (int i = 0; i < KF__ASSIGNORS; i++) {
        if (kf__string_compare(name, (kf_string){names[i], strlen(names[i])}))
            continue;
        *assignor = (enum kf__assignor)i;
        return true;
    }
    return false;
}

bool kf__assignor_is_cooperative(enum kf__assignor assignor)
{
    return assignor == KF__ASSIGNOR_COOPERATIVE_STICKY;
}

/* Topics: those that somebody wants and that have partitions, sorted, each once. */

static int compare_shapes(const void *a, const void *b)
{
    const struct kf__topic_shape *const *x = a;
    const struct kf__topic_shape *const *y = b;
    return kf__string_compare((*x)->name, (*y)->name);
}

static int compare_name_with_shape(const void *name, const void *shape)
{
    const struct kf__topic_shape *const *topic = shape;
    return kf__string_compare(*(const kf_string *)name, (*topic)->name);
}

static bool find_topic(const struct kf__assign *assign, kf_string name, size_t *topic)
{
    const struct kf__topic_shape **found =
        assign->topic_count ? bsearch(&name, assign->topics, assign->topic_count,
                                      sizeof *assign->topics, compare_name_with_shape)
                            : NULL;
    if (found)
        *topic = (size_t)(found - assign->topics);
    return found != NULL;
}

static int compare_numbers(const void *a, const void *b)
{
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static kf_err sort_topics(struct kf__assign *assign, const struct kf__topic_shape *topics,
                          size_t count)
{
    assign->topics = kf_arena_alloc(assign->arena, count * sizeof *assign->topics + 1);
    if (!assign->topics)
        return KF_ERR_NO_MEMORY;
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (topics[i].partition_count > 0)
            assign->topics[used++] = &topics[i];
    qsort(assign->topics, used, sizeof *assign->topics, compare_shapes);
    for (size_t i = 0; i < used; i++)
        if (i == 0 || compare_shapes(&assign->topics[i], &assign->topics[assign->topic_count - 1]))
            assign->topics[assign->topic_count++] = assign->topics[i];
    return KF_OK;
}

/* Fills `wants` with topic numbers; `wanted[t]` says that somebody wants t. */
static kf_err number_wants(struct kf__assign *assign, bool *wanted)
{
    for (size_t m = 0; m < assign->member_count; m++) {
        const struct kf__assignor_member *member = &assign->members[m];
        struct kf__wants *wants = &assign->wants[m];
        wants->topics = kf_arena_alloc(assign->arena, member->topic_count * sizeof(size_t) + 1);
        if (!wants->topics)
            return KF_ERR_NO_MEMORY;
        size_t count = 0;
        for (size_t i = 0; i < member->topic_count; i++)
            count += find_topic(assign, member->topics[i], &wants->topics[count]);
        qsort(wants->topics, count, sizeof *wants->topics, compare_numbers);
        for (size_t i = 0; i < count; i++) {
            wanted[wants->topics[i]] = true;
            if (i == 0 || wants->topics[i] != wants->topics[wants->count - 1])
                wants->topics[wants->count++] = wants->topics[i];
        }
    }
    return KF_OK;
}

/* Takes out the topics that nobody wants, and numbers what stays anew. */
static void drop_unwanted(struct kf__assign *assign, const bool *wanted, size_t *renumber)
{
    size_t kept = 0;
    for (size_t t = 0; t < assign->topic_count; t++) {
        renumber[t] = kept;
        if (wanted[t])
            assign->topics[kept++] = assign->topics[t];
    }
    assign->topic_count = kept;
    for (size_t m = 0; m < assign->member_count; m++)
        for (size_t i = 0; i < assign->wants[m].count; i++)
            assign->wants[m].topics[i] = renumber[assign->wants[m].topics[i]];
}

static kf_err number_topics(struct kf__assign *assign, const struct kf__topic_shape *topics,
                            size_t count)
{
    kf_err err = sort_topics(assign, topics, count);
    if (err)
        return err;
    bool *wanted = kf_arena_alloc(assign->arena, assign->topic_count + 1);
    size_t *renumber = kf_arena_alloc(assign->arena, (assign->topic_count + 1) * sizeof *renumber);
    assign->wants = kf_arena_alloc(assign->arena, assign->member_count * sizeof *assign->wants + 1);
    if (!wanted || !renumber || !assign->wants)
        return KF_ERR_NO_MEMORY;
    err = number_wants(assign, wanted);
    if (!err)
        drop_unwanted(assign, wanted, renumber);
    return err;
}

static kf_err number_partitions(struct kf__assign *assign)
{
    assign->first =
        kf_arena_alloc(assign->arena, (assign->topic_count + 1) * sizeof *assign->first);
    if (!assign->first)
        return KF_ERR_NO_MEMORY;
    size_t total = 0;
    for (size_t t = 0; t < assign->topic_count; t++) {
        assign->first[t] = total;
        total += (size_t)assign->topics[t]->partition_count;
    }
    assign->first[assign->topic_count] = assign->partition_count = total;
    assign->topic_of = kf_arena_alloc(assign->arena, total * sizeof *assign->topic_of + 1);
    assign->owner = kf_arena_alloc(assign->arena, total * sizeof *assign->owner + 1);
    assign->held = kf_arena_alloc(assign->arena, assign->member_count * sizeof *assign->held + 1);
    if (!assign->topic_of || !assign->owner || !assign->held)
        return KF_ERR_NO_MEMORY;
    for (size_t t = 0; t < assign->topic_count; t++)
        for (size_t p = assign->first[t]; p < assign->first[t + 1]; p++) {
            assign->topic_of[p] = t;
            assign->owner[p] = KF__NOBODY;
        }
    return KF_OK;
}

/* Members */

struct named {
    kf_string instance_id;
    kf_string id;
    size_t index;
};

/* Static members come first: their order outlives a restart (KIP-345). */
static int compare_named(const void *a, const void *b)
{
    const struct named *x = a;
    const struct named *y = b;
    if (x->instance_id.data && y->instance_id.data) {
        int order = kf__java_compare(x->instance_id, y->instance_id);
        if (order)
            return order;
    } else if (x->instance_id.data || y->instance_id.data) {
        return x->instance_id.data ? -1 : 1;
    }
    return kf__java_compare(x->id, y->id);
}

static kf_err order_members(struct kf__assign *assign)
{
    size_t count = assign->member_count;
    struct named *named = kf_arena_alloc(assign->arena, count * sizeof *named + 1);
    assign->by_name = kf_arena_alloc(assign->arena, count * sizeof *assign->by_name + 1);
    if (!named || !assign->by_name)
        return KF_ERR_NO_MEMORY;
    for (size_t m = 0; m < count; m++)
        named[m] = (struct named){assign->members[m].instance_id, assign->members[m].id, m};
    qsort(named, count, sizeof *named, compare_named);
    for (size_t m = 0; m < count; m++)
        assign->by_name[m] = named[m].index;
    return KF_OK;
}

/* What the assignors ask */

bool kf__assign_wants(const struct kf__assign *assign, size_t member, size_t topic)
{
    const struct kf__wants *wants = &assign->wants[member];
    return wants->count &&
           bsearch(&topic, wants->topics, wants->count, sizeof topic, compare_numbers) != NULL;
}

void kf__assign_give(struct kf__assign *assign, size_t partition, size_t member)
{
    assign->owner[partition] = (int32_t)member;
    assign->held[member]++;
}

bool kf__assign_find(const struct kf__assign *assign, const struct kf__topic_partition *name,
                     size_t *partition)
{
    size_t topic;
    if (name->partition < 0 || !find_topic(assign, name->topic, &topic) ||
        name->partition >= assign->topics[topic]->partition_count)
        return false;
    *partition = assign->first[topic] + (size_t)name->partition;
    return true;
}

static struct kf__rack_list racks_of(const struct kf__assign *assign, size_t partition)
{
    size_t topic = assign->topic_of[partition];
    const struct kf__rack_list *racks = assign->topics[topic]->racks;
    return racks ? racks[partition - assign->first[topic]] : (struct kf__rack_list){0};
}

static bool contains_rack(struct kf__rack_list racks, kf_string rack)
{
    for (size_t i = 0; i < racks.count; i++)
        if (racks.items[i].data && !kf__string_compare(racks.items[i], rack))
            return true;
    return false;
}

static bool contains_racks(struct kf__rack_list all, struct kf__rack_list some)
{
    for (size_t i = 0; i < some.count; i++)
        if (some.items[i].data && !contains_rack(all, some.items[i]))
            return false;
    return true;
}

bool kf__assign_same_rack(const struct kf__assign *assign, size_t member, size_t partition)
{
    return contains_rack(racks_of(assign, partition), assign->members[member].rack);
}

static bool all_in_same_racks(const struct kf__assign *assign, size_t begin, size_t end)
{
    struct kf__rack_list racks = racks_of(assign, begin);
    for (size_t p = begin + 1; p < end; p++) {
        struct kf__rack_list others = racks_of(assign, p);
        if (!contains_racks(racks, others) || !contains_racks(others, racks))
            return false;
    }
    return true;
}

bool kf__assign_racks_matter(const struct kf__assign *assign, const size_t *members, size_t count,
                             size_t begin, size_t end)
{
    if (begin == end || all_in_same_racks(assign, begin, end))
        return false;
    for (size_t i = 0; i < count; i++)
        for (size_t p = begin; kf__assign_has_rack(assign, members[i]) && p < end; p++)
            if (kf__assign_same_rack(assign, members[i], p))
                return true;
    return false;
}

/* The way back: one list for each member, sorted because topics and partitions are. */
static kf_err write_lists(const struct kf__assign *assign, struct kf__partition_list *lists)
{
    for (size_t m = 0; m < assign->member_count; m++)
        lists[m] = (struct kf__partition_list){0};
    for (size_t m = 0; m < assign->member_count; m++) {
        lists[m].items = kf_arena_alloc(assign->arena, assign->held[m] * sizeof *lists->items + 1);
        if (!lists[m].items)
            return KF_ERR_NO_MEMORY;
    }
    for (size_t t = 0; t < assign->topic_count; t++)
        for (size_t p = assign->first[t]; p < assign->first[t + 1]; p++) {
            if (assign->owner[p] == KF__NOBODY)
                continue;
            struct kf__partition_list *list = &lists[assign->owner[p]];
            list->items[list->count++] = (struct kf__topic_partition){
                assign->topics[t]->name, (int32_t)(p - assign->first[t])};
        }
    return KF_OK;
}

kf_err kf__assign(enum kf__assignor assignor, const struct kf__topic_shape *topics,
                  size_t topic_count, const struct kf__assignor_member *members,
                  size_t member_count, kf_arena *arena, struct kf__partition_list *assignments)
{
    struct kf__assign assign = {.arena = arena, .members = members, .member_count = member_count};
    kf_err err = number_topics(&assign, topics, topic_count);
    if (!err)
        err = number_partitions(&assign);
    if (!err)
        err = order_members(&assign);
    if (err)
        return err;
    switch (assignor) {
    case KF__ASSIGNOR_RANGE:
        err = kf__assign_range(&assign);
        break;
    case KF__ASSIGNOR_ROUND_ROBIN:
        err = kf__assign_round_robin(&assign);
        break;
    case KF__ASSIGNOR_STICKY:
    case KF__ASSIGNOR_COOPERATIVE_STICKY:
        err = kf__assign_sticky(&assign, kf__assignor_is_cooperative(assignor));
        break;
    case KF__ASSIGNORS:
        err = KF_ERR_INVALID_ARGUMENT;
        break;
    }
    return err ? err : write_lists(&assign, assignments);
}
