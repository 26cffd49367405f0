#include "tools/broker/group/holding.h"

#include <stdlib.h>
#include <string.h>

int kf__held_compare(const struct kf__held *a, const struct kf__held *b)
{
    int order = memcmp(a->topic.bytes, b->topic.bytes, sizeof a->topic.bytes);
    return order != 0 ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int compare(const void *a, const void *b) { return kf__held_compare(a, b); }

void kf__holding_free(const kf_allocator *alloc, struct kf__holding *holding)
{
    kf_free(alloc, holding->items);
    *holding = (struct kf__holding){0};
}

kf_err kf__holding_add(const kf_allocator *alloc, struct kf__holding *holding, kf_uuid topic,
                       int32_t partition, int32_t epoch)
{
    if (holding->count == holding->capacity) {
        size_t capacity = holding->capacity ? holding->capacity * 2 : 8;
        struct kf__held *items = kf_realloc(alloc, holding->items, capacity * sizeof *items);
        if (!items)
            return KF_ERR_NO_MEMORY;
        holding->items = items;
        holding->capacity = capacity;
    }
    holding->items[holding->count++] =
        (struct kf__held){.topic = topic, .partition = partition, .epoch = epoch};
    return KF_OK;
}

void kf__holding_sort(struct kf__holding *holding)
{
    if (holding->count > 1)
        qsort(holding->items, holding->count, sizeof *holding->items, compare);
}

kf_err kf__holding_copy(const kf_allocator *alloc, const struct kf__holding *from,
                        struct kf__holding *copy)
{
    *copy = (struct kf__holding){0};
    if (from->count == 0)
        return KF_OK;
    copy->items = kf_alloc(alloc, from->count * sizeof *copy->items);
    if (!copy->items)
        return KF_ERR_NO_MEMORY;
    memcpy(copy->items, from->items, from->count * sizeof *copy->items);
    copy->count = copy->capacity = from->count;
    return KF_OK;
}

const struct kf__held *kf__holding_find(const struct kf__holding *holding, kf_uuid topic,
                                        int32_t partition)
{
    struct kf__held wanted = {.topic = topic, .partition = partition};
    return holding->count == 0
               ? NULL
               : bsearch(&wanted, holding->items, holding->count, sizeof wanted, compare);
}

bool kf__holding_equal(const struct kf__holding *a, const struct kf__holding *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (kf__held_compare(&a->items[i], &b->items[i]) != 0 ||
            a->items[i].epoch != b->items[i].epoch)
            return false;
    return true;
}

size_t kf__holding_run(const struct kf__holding *holding, size_t first)
{
    size_t end = first;
    while (end < holding->count && memcmp(holding->items[end].topic.bytes,
                                          holding->items[first].topic.bytes, sizeof(kf_uuid)) == 0)
        end++;
    return end - first;
}

int32_t kf__holding_topics(const struct kf__holding *holding)
{
    int32_t topics = 0;
    for (size_t i = 0; i < holding->count; i += kf__holding_run(holding, i))
        topics++;
    return topics;
}
