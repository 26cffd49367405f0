#include "tools/broker/log/producers.h"

#include <string.h>

/* Where the producer is, or would be. */
static size_t place_of(const struct kf__producers *producers, int64_t id)
{
    size_t low = 0, high = producers->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (producers->items[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct kf__producer *kf__producers_find(const struct kf__producers *producers, int64_t id)
{
    size_t at = place_of(producers, id);
    return at < producers->count && producers->items[at].id == id ? &producers->items[at] : NULL;
}

int32_t kf__producer_last_sequence(const struct kf__producer *producer)
{
    return producer->batch_count > 0 ? producer->batches[producer->batch_count - 1].last_sequence
                                     : -1;
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

/* A duplicate is one of the last five batches of the same epoch. */
static const struct kf__producer_batch *find_batch(const struct kf__producer *producer,
                                                   const struct kf__batch *batch)
{
    for (int i = 0; i < producer->batch_count && producer->epoch == batch->producer_epoch; i++)
        if (producer->batches[i].first_sequence == batch->base_sequence &&
            producer->batches[i].last_sequence == last_sequence(batch))
            return &producer->batches[i];
    return NULL;
}

/* A new epoch begins at 0, and so does what follows a marker's epoch. */
static bool is_in_sequence(const struct kf__producer *producer, const struct kf__batch *batch)
{
    int32_t last = -1;
    if (producer->epoch == batch->producer_epoch)
        last = kf__producer_last_sequence(producer);
    return batch->base_sequence == sequence_after(last, 1);
}

kf_err kf__producers_check(const struct kf__producers *producers, const struct kf__batch *batch,
                           int64_t *duplicate_offset)
{
    const struct kf__producer *known = kf__producers_find(producers, batch->producer_id);
    if (!known)
        return KF_OK;
    const struct kf__producer_batch *old = find_batch(known, batch);
    if (old) {
        *duplicate_offset = old->base_offset;
        return KF_ERR_DUPLICATE_SEQUENCE_NUMBER;
    }
    if (batch->producer_epoch < known->epoch)
        return KF_ERR_INVALID_PRODUCER_EPOCH;
    if (!is_in_sequence(known, batch))
        return KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    if (known->txn_first_offset >= 0 && !batch->transactional)
        return KF_ERR_INVALID_TXN_STATE;
    return KF_OK;
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

/* The producer, new where it is unknown: room has been made. */
static struct kf__producer *find_or_add(struct kf__producers *producers, int64_t id, int16_t epoch)
{
    size_t at = place_of(producers, id);
    struct kf__producer *here = &producers->items[at];
    if (at < producers->count && here->id == id)
        return here;
    memmove(here + 1, here, (producers->count - at) * sizeof *here);
    producers->count++;
    *here = (struct kf__producer){.id = id,
                                  .epoch = epoch,
                                  .coordinator_epoch = -1,
                                  .txn_first_offset = -1,
                                  .last_timestamp = -1};
    return here;
}

static void set_epoch(struct kf__producer *producer, int16_t epoch)
{
    if (producer->epoch == epoch)
        return;
    producer->epoch = epoch;
    producer->batch_count = 0;
}

void kf__producers_note(struct kf__producers *producers, const struct kf__batch *batch,
                        int64_t base_offset)
{
    struct kf__producer *producer =
        find_or_add(producers, batch->producer_id, batch->producer_epoch);
    set_epoch(producer, batch->producer_epoch);
    producer->last_timestamp = batch->max_timestamp;
    if (batch->transactional && producer->txn_first_offset < 0) {
        producer->txn_first_offset = base_offset;
        producers->open++;
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

int64_t kf__producers_first_open(const struct kf__producers *producers)
{
    int64_t first = -1;
    for (size_t i = 0; i < producers->count && producers->open > 0; i++) {
        int64_t at = producers->items[i].txn_first_offset;
        if (at >= 0 && (first < 0 || at < first))
            first = at;
    }
    return first;
}

int64_t kf__producers_end_txn(struct kf__producers *producers, int64_t id, int16_t epoch,
                              int32_t coordinator_epoch, int64_t timestamp)
{
    struct kf__producer *producer = find_or_add(producers, id, epoch);
    set_epoch(producer, epoch);
    producer->coordinator_epoch = coordinator_epoch;
    producer->last_timestamp = timestamp;
    int64_t first = producer->txn_first_offset;
    producer->txn_first_offset = -1;
    producers->open -= first >= 0;
    return first;
}

void kf__producers_expire(struct kf__producers *producers, int64_t now_ms, int64_t idle_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < producers->count; i++) {
        const struct kf__producer *one = &producers->items[i];
        if (one->txn_first_offset >= 0 || one->last_timestamp > now_ms - idle_ms)
            producers->items[kept++] = *one;
    }
    producers->count = kept;
}

/* Our markers end with the coordinator's epoch and the count of no headers: see txn_log.c. */
static int32_t coordinator_epoch_of(const struct kf__batch *marker)
{
    const uint8_t *at = marker->bytes + marker->size - 5;
    return (int32_t)((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
}

/* One that is forgotten already may be in the log still: there may be more than there were. */
static bool has_room(struct kf__producers *producers, const kf_allocator *alloc, int64_t id)
{
    return kf__producers_find(producers, id) || kf__producers_reserve(producers, alloc) == KF_OK;
}

void kf__producers_replay(struct kf__producers *producers, const kf_allocator *alloc,
                          const struct kf__partition_log *log)
{
    struct kf__batch batch;
    producers->count = 0;
    producers->open = 0;
    for (size_t i = 0; i < log->batch_count; i++) {
        const struct kf__plog_batch *from = &log->batches[i];
        if (kf__batch_peek(from->bytes, from->size, &batch) || batch.producer_id < 0 ||
            !has_room(producers, alloc, batch.producer_id))
            continue;
        if (batch.control)
            kf__producers_end_txn(producers, batch.producer_id, batch.producer_epoch,
                                  coordinator_epoch_of(&batch), batch.max_timestamp);
        else
            kf__producers_note(producers, &batch, batch.base_offset);
    }
}

void kf__producers_free(struct kf__producers *producers, const kf_allocator *alloc)
{
    kf_free(alloc, producers->items);
    *producers = (struct kf__producers){0};
}
