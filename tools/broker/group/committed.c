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

/* Room for one more at `at`, zeroed. */
static kf_err open_place(const kf_allocator *alloc, struct kf__committed_group *group, size_t at)
{
    if (group->count == group->capacity) {
        size_t capacity = group->capacity ? group->capacity * 2 : 8;
        struct kf__committed_offset *items =
            kf_realloc(alloc, group->items, capacity * sizeof *items);
        if (!items)
            return KF_ERR_NO_MEMORY;
        group->items = items;
        group->capacity = capacity;
    }
    memmove(group->items + at + 1, group->items + at, (group->count - at) * sizeof *group->items);
    group->items[at] = (struct kf__committed_offset){0};
    group->count++;
    return KF_OK;
}

kf_err kf__committed_put(struct kf__committed *committed, kf_string group,
                         const struct kf__committed_offset *offset)
{
    const kf_allocator *alloc = committed->alloc;
    struct kf__committed_group *to = group_to_write(committed, group);
    if (!to)
        return KF_ERR_NO_MEMORY;
    struct kf__committed_offset copy = *offset;
    if (copy.order == 0)
        copy.order = ++committed->writes;
    kf_err err = kf__text_copy(alloc, offset->topic, &copy.topic);
    if (err)
        return err;
    kf_string metadata = offset->metadata.data ? offset->metadata : kf__text("");
    err = kf__text_copy(alloc, metadata, &copy.metadata);
    size_t at = place_of(to, offset->topic, offset->partition);
    bool here = at < to->count && compare(&to->items[at], offset->topic, offset->partition) == 0;
    if (!err && !here)
        err = open_place(alloc, to, at);
    if (err) {
        free_offset(alloc, &copy);
        return err;
    }
    free_offset(alloc, &to->items[at]);
    to->items[at] = copy;
    return KF_OK;
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
