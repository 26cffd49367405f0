#include "tools/broker/log/aborted.h"

void kf__aborted_free(struct kf__aborted *aborted, const kf_allocator *alloc)
{
    kf_free(alloc, aborted->items);
    *aborted = (struct kf__aborted){0};
}

kf_err kf__aborted_reserve(struct kf__aborted *aborted, const kf_allocator *alloc)
{
    if (aborted->count < aborted->capacity)
        return KF_OK;
    size_t capacity = aborted->capacity ? aborted->capacity * 2 : 4;
    struct kf__aborted_txn *items = kf_realloc(alloc, aborted->items, capacity * sizeof *items);
    if (!items)
        return KF_ERR_NO_MEMORY;
    aborted->items = items;
    aborted->capacity = capacity;
    return KF_OK;
}

void kf__aborted_note(struct kf__aborted *aborted, const struct kf__aborted_txn *txn)
{
    aborted->items[aborted->count++] = *txn;
}

void kf__aborted_delete_before(struct kf__aborted *aborted, int64_t offset)
{
    size_t kept = 0;
    for (size_t i = 0; i < aborted->count; i++)
        if (aborted->items[i].last_offset >= offset)
            aborted->items[kept++] = aborted->items[i];
    aborted->count = kept;
}

void kf__aborted_truncate(struct kf__aborted *aborted, int64_t end)
{
    while (aborted->count > 0 && aborted->items[aborted->count - 1].last_offset >= end)
        aborted->count--;
}
