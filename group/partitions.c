/* partitions: sorted lists of partitions and of names, and their copies in one block. */
#include "group/partitions.h"

#include <stdlib.h>
#include <string.h>

int kf__string_compare(kf_string a, kf_string b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

int kf__partition_compare(const struct kf__topic_partition *a, const struct kf__topic_partition *b)
{
    int order = kf__string_compare(a->topic, b->topic);
    return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int compare_partitions(const void *a, const void *b) { return kf__partition_compare(a, b); }

static int compare_names(const void *a, const void *b)
{
    return kf__string_compare(*(const kf_string *)a, *(const kf_string *)b);
}

void kf__partitions_sort(struct kf__partition_list *list)
{
    if (list->count < 2)
        return;
    qsort(list->items, list->count, sizeof *list->items, compare_partitions);
    size_t kept = 1;
    for (size_t i = 1; i < list->count; i++)
        if (kf__partition_compare(&list->items[i], &list->items[kept - 1]))
            list->items[kept++] = list->items[i];
    list->count = kept;
}

bool kf__partitions_contain(const struct kf__partition_list *list,
                            const struct kf__topic_partition *partition)
{
    return list->count && bsearch(partition, list->items, list->count, sizeof *list->items,
                                  compare_partitions) != NULL;
}

size_t kf__partitions_missing(const struct kf__partition_list *a,
                              const struct kf__partition_list *b)
{
    size_t missing = 0;
    for (size_t i = 0; i < a->count; i++)
        missing += !kf__partitions_contain(b, &a->items[i]);
    return missing;
}

/* Neighbours of the same topic share one copy of its name. */
static bool same_topic_as_last(const struct kf__partition_list *copy, kf_string topic)
{
    return copy->count && !kf__string_compare(copy->items[copy->count - 1].topic, topic);
}

kf_err kf__partitions_copy(const kf_allocator *alloc, const struct kf__partition_list *list,
                           const struct kf__partition_list *minus, struct kf__partition_list *copy)
{
    *copy = (struct kf__partition_list){0};
    if (list->count == 0)
        return KF_OK;

    size_t names = 0;
    for (size_t i = 0; i < list->count; i++)
        if (i == 0 || kf__string_compare(list->items[i].topic, list->items[i - 1].topic))
            names += list->items[i].topic.size;
    size_t items = list->count * sizeof *list->items;
    char *block = kf_alloc(alloc, items + names);
    if (!block)
        return KF_ERR_NO_MEMORY;

    copy->items = (void *)block;
    char *name = block + items;
    for (size_t i = 0; i < list->count; i++) {
        const struct kf__topic_partition *from = &list->items[i];
        if (minus && kf__partitions_contain(minus, from))
            continue;
        struct kf__topic_partition *to = &copy->items[copy->count];
        if (same_topic_as_last(copy, from->topic)) {
            *to = (struct kf__topic_partition){to[-1].topic, from->partition};
        } else {
            if (from->topic.size)
                memcpy(name, from->topic.data, from->topic.size);
            *to = (struct kf__topic_partition){{name, from->topic.size}, from->partition};
            name += from->topic.size;
        }
        copy->count++;
    }
    return KF_OK;
}

void kf__partitions_free(const kf_allocator *alloc, struct kf__partition_list *list)
{
    kf_free(alloc, list->items);
    *list = (struct kf__partition_list){0};
}

kf_err kf__names_copy(const kf_allocator *alloc, const kf_string *items, size_t count,
                      struct kf__names *copy)
{
    *copy = (struct kf__names){0};
    if (count == 0)
        return KF_OK;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += items[i].size;
    char *block = kf_alloc(alloc, count * sizeof *items + bytes);
    if (!block)
        return KF_ERR_NO_MEMORY;

    copy->items = (void *)block;
    char *name = block + count * sizeof *items;
    for (size_t i = 0; i < count; i++) {
        if (items[i].size)
            memcpy(name, items[i].data, items[i].size);
        copy->items[i] = (kf_string){name, items[i].size};
        name += items[i].size;
    }
    qsort(copy->items, count, sizeof *copy->items, compare_names);
    copy->count = 1;
    for (size_t i = 1; i < count; i++)
        if (kf__string_compare(copy->items[i], copy->items[copy->count - 1]))
            copy->items[copy->count++] = copy->items[i];
    return KF_OK;
}

void kf__names_free(const kf_allocator *alloc, struct kf__names *names)
{
    kf_free(alloc, names->items);
    *names = (struct kf__names){0};
}

bool kf__names_contain(const struct kf__names *names, kf_string name)
{
    return names->count &&
           bsearch(&name, names->items, names->count, sizeof *names->items, compare_names) != NULL;
}

bool kf__names_equal(const struct kf__names *a, const struct kf__names *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (kf__string_compare(a->items[i], b->items[i]))
            return false;
    return true;
}
