#include "tools/broker/producers.h"

#include <string.h>

static struct kf__producer *find(const struct kf__producers *producers, int64_t id)
{
    for (size_t i = 0; i < producers->count; i++)
        if (producers->items[i].id == id)
            return &producers->items[i];
    return NULL;
}

/* Sequences count from 0 to the largest int32 and begin again. */
static int32_t sequence_after(int32_t sequence, int32_t steps)
{
    return (int32_t)(((int64_t)sequence + steps) & INT32_MAX);
}

static int32_t last_sequence(const struct kf__batch *batch)
{
    return sequence_after(batch->base_sequence, batch->record_count - 1);
}

kf_err kf__producers_check(const struct kf__producers *producers, const struct kf__batch *batch,
                           int64_t *duplicate_offset)
{
    const struct kf__producer *known = find(producers, batch->producer_id);
    if (!known)
        return KF_OK;
    if (batch->producer_epoch < known->epoch)
        return KF_ERR_INVALID_PRODUCER_EPOCH;
    if (batch->producer_epoch > known->epoch)
        return batch->base_sequence == 0 ? KF_OK : KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;

    for (int i = 0; i < known->batch_count; i++) {
        const struct kf__producer_batch *old = &known->batches[i];
        if (old->first_sequence == batch->base_sequence &&
            old->last_sequence == last_sequence(batch)) {
            *duplicate_offset = old->base_offset;
            return KF_ERR_DUPLICATE_SEQUENCE_NUMBER;
        }
    }
    if (known->batch_count == 0)
        return KF_OK;
    int32_t expected = sequence_after(known->batches[known->batch_count - 1].last_sequence, 1);
    return batch->base_sequence == expected ? KF_OK : KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

kf_err kf__producers_reserve(struct kf__producers *producers, const kf_allocator *alloc)
{
    if (producers->count < producers->capacity)
        return KF_OK;
    size_t capacity = producers->capacity ? producers->capacity * 2 : 4;
    struct kf__producer *items = kf_realloc(alloc, producers->items, capacity * sizeof *items);
    if (!items)
        return KF_ERR_NO_MEMORY;
    producers->items = items;
    producers->capacity = capacity;
    return KF_OK;
}

void kf__producers_note(struct kf__producers *producers, const struct kf__batch *batch,
                        int64_t base_offset)
{
    struct kf__producer *producer = find(producers, batch->producer_id);
    if (!producer) {
        producer = &producers->items[producers->count++];
        *producer = (struct kf__producer){.id = batch->producer_id};
    }
    if (producer->epoch != batch->producer_epoch) {
        producer->epoch = batch->producer_epoch;
        producer->batch_count = 0;
    }
    if (producer->batch_count == KF__PRODUCER_WINDOW) {
        producer->batch_count--;
        memmove(producer->batches, producer->batches + 1,
                (size_t)producer->batch_count * sizeof *producer->batches);
    }
    producer->batches[producer->batch_count++] = (struct kf__producer_batch){
        .first_sequence = batch->base_sequence,
        .last_sequence = last_sequence(batch),
        .base_offset = base_offset,
    };
}

void kf__producers_free(struct kf__producers *producers, const kf_allocator *alloc)
{
    kf_free(alloc, producers->items);
    *producers = (struct kf__producers){0};
}
