#include "tools/broker/group/pending_offsets.h"

#include "tools/broker/text.h"

void kf__pending_init(struct kf__pending_offsets *pending, const kf_allocator *alloc)
{
    *pending = (struct kf__pending_offsets){.alloc = alloc};
}

static void free_item(const kf_allocator *alloc, struct kf__pending_offset *item)
{
    kf__text_free(alloc, &item->group);
    kf__text_free(alloc, &item->offset.topic);
    kf__text_free(alloc, &item->offset.metadata);
}

void kf__pending_free(struct kf__pending_offsets *pending)
{
    for (size_t i = 0; i < pending->count; i++)
        free_item(pending->alloc, &pending->items[i]);
    kf_free(pending->alloc, pending->items);
    kf__pending_init(pending, pending->alloc);
}

static bool is_of(const struct kf__pending_offset *item, kf_string group, kf_string topic,
                  int32_t partition)
{
    return item->offset.partition == partition && kf__text_equal(item->group, group) &&
           kf__text_equal(item->offset.topic, topic);
}

static void remove_at(struct kf__pending_offsets *pending, size_t at)
{
    free_item(pending->alloc, &pending->items[at]);
    pending->count--;
    memmove(pending->items + at, pending->items + at + 1,
            (pending->count - at) * sizeof *pending->items);
}

static void remove_old(struct kf__pending_offsets *pending, const struct kf__pending_offset *offset)
{
    for (size_t i = 0; i < pending->count; i++)
        if (pending->items[i].producer_id == offset->producer_id &&
            is_of(&pending->items[i], offset->group, offset->offset.topic,
                  offset->offset.partition)) {
            remove_at(pending, i);
            return;
        }
}

kf_err kf__pending_copy(const struct kf__pending_offsets *pending,
                        const struct kf__pending_offset *offset, struct kf__pending_offset *copy)
{
    *copy = *offset;
    copy->group = copy->offset.topic = copy->offset.metadata = (kf_string){0};
    kf_err err = kf__text_copy(pending->alloc, offset->group, &copy->group);
    if (!err)
        err = kf__text_copy(pending->alloc, offset->offset.topic, &copy->offset.topic);
    if (!err)
        err = kf__text_copy(pending->alloc, offset->offset.metadata, &copy->offset.metadata);
    if (err)
        free_item(pending->alloc, copy);
    return err;
}

void kf__pending_copy_free(const struct kf__pending_offsets *pending,
                           struct kf__pending_offset *copy)
{
    free_item(pending->alloc, copy);
}

kf_err kf__pending_reserve(struct kf__pending_offsets *pending, size_t more)
{
    if (pending->capacity - pending->count >= more)
        return KF_OK;
    size_t capacity = pending->capacity ? pending->capacity * 2 : 8;
    if (capacity < pending->count + more)
        capacity = pending->count + more;
    struct kf__pending_offset *items =
        kf_realloc(pending->alloc, pending->items, capacity * sizeof *items);
    if (!items)
        return KF_ERR_NO_MEMORY;
    pending->items = items;
    pending->capacity = capacity;
    return KF_OK;
}

void kf__pending_take(struct kf__pending_offsets *pending, const struct kf__pending_offset *copy,
                      uint64_t order)
{
    remove_old(pending, copy);
    pending->items[pending->count] = *copy;
    pending->items[pending->count++].offset.order = order;
}

kf_err kf__pending_put(struct kf__pending_offsets *pending, const struct kf__pending_offset *offset,
                       uint64_t order)
{
    struct kf__pending_offset copy;
    kf_err err = kf__pending_reserve(pending, 1);
    if (!err)
        err = kf__pending_copy(pending, offset, &copy);
    if (!err)
        kf__pending_take(pending, &copy, order);
    return err;
}

bool kf__pending_holds(const struct kf__pending_offsets *pending, kf_string group, kf_string topic,
                       int32_t partition)
{
    for (size_t i = 0; i < pending->count; i++)
        if (is_of(&pending->items[i], group, topic, partition))
            return true;
    return false;
}

bool kf__pending_holds_group(const struct kf__pending_offsets *pending, kf_string group)
{
    for (size_t i = 0; i < pending->count; i++)
        if (kf__text_equal(pending->items[i].group, group))
            return true;
    return false;
}

static bool is_in(const struct kf__pending_offset *item, int32_t offsets_partition,
                  int64_t producer_id)
{
    return item->producer_id == producer_id && item->place == offsets_partition;
}

bool kf__pending_has_producer(const struct kf__pending_offsets *pending, int32_t offsets_partition,
                              int64_t producer_id, int16_t epoch)
{
    for (size_t i = 0; i < pending->count; i++)
        if (is_in(&pending->items[i], offsets_partition, producer_id) &&
            pending->items[i].epoch == epoch)
            return true;
    return false;
}

static kf_err commit_item(struct kf__committed *committed, const struct kf__pending_offset *item)
{
    const struct kf__committed_offset *now =
        kf__committed_find(committed, item->group, item->offset.topic, item->offset.partition);
    if (now && now->order > item->offset.order)
        return KF_OK;
    return kf__committed_put(committed, item->group, &item->offset);
}

kf_err kf__pending_end(struct kf__pending_offsets *pending, struct kf__committed *committed,
                       int32_t offsets_partition, int64_t producer_id, bool commit)
{
    for (size_t i = 0; i < pending->count;) {
        if (!is_in(&pending->items[i], offsets_partition, producer_id)) {
            i++;
            continue;
        }
        kf_err err = commit ? commit_item(committed, &pending->items[i]) : KF_OK;
        if (err)
            return err;
        remove_at(pending, i);
    }
    return KF_OK;
}

void kf__pending_drop_group(struct kf__pending_offsets *pending, kf_string group)
{
    for (size_t i = pending->count; i-- > 0;)
        if (kf__text_equal(pending->items[i].group, group))
            remove_at(pending, i);
}

void kf__pending_drop_topic(struct kf__pending_offsets *pending, kf_string topic)
{
    for (size_t i = pending->count; i-- > 0;)
        if (kf__text_equal(pending->items[i].offset.topic, topic))
            remove_at(pending, i);
}
