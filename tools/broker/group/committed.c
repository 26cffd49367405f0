#include "tools/broker/group/committed.h"

#include "tools/broker/text.h"

void kf__committed_init(struct kf__committed *committed, const kf_allocator *alloc)
{
    *committed = (struct kf__committed){.alloc = alloc};
}

static void free_offset(const kf_allocator *alloc, struct kf__committed_offset *offset)
{
    kf__text_free(alloc, &offset->topic);
    kf__text_free(alloc, &offset->metadata);
}

static void free_group(const kf_allocator *alloc, struct kf__committed_group *group)
{
    for (size_t i = 0; i < group->count; i++)
        free_offset(alloc, &group->items[i]);
    kf_free(alloc, group->items);
    kf__text_free(alloc, &group->group);
}

void kf__committed_free(struct kf__committed *committed)
{
    for (size_t i = 0; i < committed->group_count; i++)
        free_group(committed->alloc, &committed->groups[i]);
    kf_free(committed->alloc, committed->groups);
    kf__committed_init(committed, committed->alloc);
}

const struct kf__committed_group *kf__committed_group(const struct kf__committed *committed,
                                                      kf_string group)
{
    for (size_t i = 0; i < committed->group_count; i++)
        if (kf__text_equal(committed->groups[i].group, group))
            return &committed->groups[i];
    return NULL;
}

static int compare(const struct kf__committed_offset *offset, kf_string topic, int32_t partition)
{
    int order = kf__text_compare(offset->topic, topic);
    return order != 0 ? order : (offset->partition > partition) - (offset->partition < partition);
}

static size_t place_of(const struct kf__committed_group *group, kf_string topic, int32_t partition)
{
    size_t low = 0, high = group->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&group->items[middle], topic, partition) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct kf__committed_offset *kf__committed_find(const struct kf__committed *committed,
                                                      kf_string group, kf_string topic,
                                                      int32_t partition)
{
    const struct kf__committed_group *found = kf__committed_group(committed, group);
    if (!found)
        return NULL;
    size_t at = place_of(found, topic, partition);
    bool here = at < found->count && compare(&found->items[at], topic, partition) == 0;
    return here ? &found->items[at] : NULL;
}

static struct kf__committed_group *group_to_write(struct kf__committed *committed, kf_string group)
{
    for (size_t i = 0; i < committed->group_count; i++)
        if (kf__text_equal(committed->groups[i].group, group))
            return &committed->groups[i];
    struct kf__committed_group *groups = kf_realloc(committed->alloc, committed->groups,
                                                    (committed->group_count + 1) * sizeof *groups);
    if (!groups)
        return NULL;
    committed->groups = groups;
    struct kf__committed_group *created = &groups[committed->group_count];
    *created = (struct kf__committed_group){0};
    if (kf__text_copy(committed->alloc, group, &created->group))
        return NULL;
    committed->group_count++;
    return created;
}

kf_err kf__committed_copy(const struct kf__committed *committed,
                          const struct kf__committed_offset *offset,
                          struct kf__committed_offset *copy)
{
    kf_string metadata = offset->metadata.data ? offset->metadata : kf__text("");
    *copy = *offset;
    copy->topic = copy->metadata = (kf_string){0};
    kf_err err = kf__text_copy(committed->alloc, offset->topic, &copy->topic);
    if (!err)
        err = kf__text_copy(committed->alloc, metadata, &copy->metadata);
    if (err)
        free_offset(committed->alloc, copy);
    return err;
}

void kf__committed_copy_free(const struct kf__committed *committed,
                             struct kf__committed_offset *copy)
{
    free_offset(committed->alloc, copy);
}

kf_err kf__committed_reserve(struct kf__committed *committed, kf_string group, size_t more)
{
    struct kf__committed_group *to = group_to_write(committed, group);
    if (!to)
        return KF_ERR_NO_MEMORY;
    if (to->capacity - to->count >= more)
        return KF_OK;
    size_t capacity = to->capacity ? to->capacity * 2 : 8;
    if (capacity < to->count + more)
        capacity = to->count + more;
    struct kf__committed_offset *items =
        kf_realloc(committed->alloc, to->items, capacity * sizeof *items);
    if (!items)
        return KF_ERR_NO_MEMORY;
    to->items = items;
    to->capacity = capacity;
    return KF_OK;
}

void kf__committed_take(struct kf__committed *committed, kf_string group,
                        const struct kf__committed_offset *copy)
{
    struct kf__committed_group *to = group_to_write(committed, group); /* it is there */
    size_t at = place_of(to, copy->topic, copy->partition);
    if (at < to->count && compare(&to->items[at], copy->topic, copy->partition) == 0) {
        free_offset(committed->alloc, &to->items[at]);
    } else {
        memmove(to->items + at + 1, to->items + at, (to->count - at) * sizeof *to->items);
        to->count++;
    }
    to->items[at] = *copy;
    if (copy->order == 0)
        to->items[at].order = ++committed->writes;
}

kf_err kf__committed_put(struct kf__committed *committed, kf_string group,
                         const struct kf__committed_offset *offset)
{
    struct kf__committed_offset copy;
    kf_err err = kf__committed_reserve(committed, group, 1);
    if (!err)
        err = kf__committed_copy(committed, offset, &copy);
    if (!err)
        kf__committed_take(committed, group, &copy);
    return err;
}

void kf__committed_remove(struct kf__committed *committed, kf_string group, kf_string topic,
                          int32_t partition)
{
    for (size_t g = 0; g < committed->group_count; g++) {
        struct kf__committed_group *of = &committed->groups[g];
        if (!kf__text_equal(of->group, group))
            continue;
        size_t at = place_of(of, topic, partition);
        if (at == of->count || compare(&of->items[at], topic, partition) != 0)
            return;
        free_offset(committed->alloc, &of->items[at]);
        of->count--;
        memmove(of->items + at, of->items + at + 1, (of->count - at) * sizeof *of->items);
        return;
    }
}

void kf__committed_drop_group(struct kf__committed *committed, kf_string group)
{
    for (size_t i = 0; i < committed->group_count; i++) {
        if (!kf__text_equal(committed->groups[i].group, group))
            continue;
        free_group(committed->alloc, &committed->groups[i]);
        committed->groups[i] = committed->groups[--committed->group_count];
        return;
    }
}

static void drop_those(const kf_allocator *alloc, struct kf__committed_group *group,
                       bool (*goes)(void *context, const struct kf__committed_offset *offset),
                       void *context)
{
    size_t kept = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (goes(context, &group->items[i]))
            free_offset(alloc, &group->items[i]);
        else
            group->items[kept++] = group->items[i];
    }
    group->count = kept;
}

size_t kf__committed_drop_those(struct kf__committed *committed, kf_string group,
                                bool (*goes)(void *context,
                                             const struct kf__committed_offset *offset),
                                void *context)
{
    for (size_t i = 0; i < committed->group_count; i++)
        if (kf__text_equal(committed->groups[i].group, group)) {
            drop_those(committed->alloc, &committed->groups[i], goes, context);
            return committed->groups[i].count;
        }
    return 0;
}

static bool is_of_topic(void *topic, const struct kf__committed_offset *offset)
{
    return kf__text_equal(offset->topic, *(const kf_string *)topic);
}

void kf__committed_drop_topic(struct kf__committed *committed, kf_string topic)
{
    for (size_t g = 0; g < committed->group_count; g++)
        drop_those(committed->alloc, &committed->groups[g], is_of_topic, &topic);
}
