#include "tools/broker/log/log.h"

#include <assert.h>
#include <string.h>

enum {
    FIRST_CHUNK_BYTES = 4 << 10, /* 10,000 idle topics should stay cheap */
    LARGEST_CHUNK_BYTES = 1 << 20,
    FIRST_BATCHES = 16,
};

static void check_invariants(const struct kf__partition_log *log)
{
    (void)log; /* where assert is left out */
    assert(log->start_offset <= log->end_offset);
    assert(log->batch_count <= log->batch_capacity);
    assert(log->batch_count == 0 ||
           log->batches[log->batch_count - 1].last_offset < log->end_offset);
}

void kf__plog_init(struct kf__partition_log *log, const kf_allocator *alloc)
{
    *log = (struct kf__partition_log){.alloc = alloc};
}

void kf__plog_free(struct kf__partition_log *log)
{
    for (size_t i = 0; i < log->chunk_count; i++)
        kf_free(log->alloc, log->chunks[i].bytes);
    kf_free(log->alloc, log->chunks);
    kf_free(log->alloc, log->batches);
    kf_free(log->alloc, log->epochs);
    kf__plog_init(log, log->alloc);
}

/* Room for one more item of `size` bytes in a growing array. */
static kf_err grow(const kf_allocator *alloc, void **items, size_t count, size_t *capacity,
                   size_t size)
{
    if (count < *capacity)
        return KF_OK;
    size_t wanted = *capacity ? *capacity * 2 : FIRST_BATCHES;
    void *grown = kf_realloc(alloc, *items, wanted * size);
    if (!grown)
        return KF_ERR_NO_MEMORY;
    *items = grown;
    *capacity = wanted;
    return KF_OK;
}

static kf_err add_chunk(struct kf__partition_log *log, size_t size)
{
    void *chunks = log->chunks;
    kf_err err =
        grow(log->alloc, &chunks, log->chunk_count, &log->chunk_capacity, sizeof *log->chunks);
    log->chunks = chunks;
    if (err)
        return err;

    size_t capacity = FIRST_CHUNK_BYTES;
    if (log->chunk_count > 0)
        capacity = log->chunks[log->chunk_count - 1].capacity * 4;
    if (capacity > LARGEST_CHUNK_BYTES)
        capacity = LARGEST_CHUNK_BYTES;
    if (capacity < size)
        capacity = size;
    uint8_t *bytes = kf_alloc(log->alloc, capacity);
    if (!bytes)
        return KF_ERR_NO_MEMORY;
    log->chunks[log->chunk_count++] = (struct kf__plog_chunk){.bytes = bytes, .capacity = capacity};
    return KF_OK;
}

static kf_err reserve(struct kf__partition_log *log, size_t size)
{
    void *batches = log->batches;
    kf_err err =
        grow(log->alloc, &batches, log->batch_count, &log->batch_capacity, sizeof *log->batches);
    log->batches = batches;
    if (err)
        return err;
    if (log->chunk_count > 0) {
        const struct kf__plog_chunk *last = &log->chunks[log->chunk_count - 1];
        if (last->capacity - last->used >= size)
            return KF_OK;
    }
    return add_chunk(log, size);
}

static kf_err note_epoch(struct kf__partition_log *log, int32_t epoch)
{
    if (log->epoch_count > 0 && log->epochs[log->epoch_count - 1].epoch >= epoch)
        return KF_OK;
    struct kf__plog_epoch *epochs =
        kf_realloc(log->alloc, log->epochs, (log->epoch_count + 1) * sizeof *epochs);
    if (!epochs)
        return KF_ERR_NO_MEMORY;
    log->epochs = epochs;
    epochs[log->epoch_count++] =
        (struct kf__plog_epoch){.epoch = epoch, .start_offset = log->end_offset};
    return KF_OK;
}

/* Copies the bytes and notes them in the index, from log->end_offset on; room has been made. */
static uint8_t *put(struct kf__partition_log *log, const struct kf__batch *batch,
                    int64_t delete_horizon)
{
    struct kf__plog_chunk *chunk = &log->chunks[log->chunk_count - 1];
    uint8_t *bytes = chunk->bytes + chunk->used;
    memcpy(bytes, batch->bytes, batch->size);
    chunk->used += batch->size;

    int64_t highest = batch->max_timestamp;
    if (log->batch_count > 0 && log->batches[log->batch_count - 1].highest_timestamp > highest)
        highest = log->batches[log->batch_count - 1].highest_timestamp;
    int64_t last_offset = log->end_offset + (batch->last_offset - batch->base_offset);
    log->batches[log->batch_count++] = (struct kf__plog_batch){
        .base_offset = log->end_offset,
        .last_offset = last_offset,
        .max_timestamp = batch->max_timestamp,
        .highest_timestamp = highest,
        .bytes = bytes,
        .size = (uint32_t)batch->size,
        .chunk = (uint32_t)(log->chunk_count - 1),
        .delete_horizon = delete_horizon,
    };
    log->end_offset = last_offset + 1;
    log->bytes += batch->size;
    return bytes;
}

kf_err kf__plog_append(struct kf__partition_log *log, const struct kf__batch *batch,
                       int32_t leader_epoch, int64_t *base_offset)
{
    kf_err err = reserve(log, batch->size);
    if (!err)
        err = note_epoch(log, leader_epoch);
    if (err)
        return err;
    *base_offset = log->end_offset;
    uint8_t *bytes = put(log, batch, 0);
    kf__batch_set_base_offset(bytes, *base_offset);
    kf__batch_set_leader_epoch(bytes, leader_epoch);
    check_invariants(log);
    return KF_OK;
}

kf_err kf__plog_keep(struct kf__partition_log *made, const struct kf__batch *batch,
                     int64_t delete_horizon)
{
    kf_err err = reserve(made, batch->size);
    if (err)
        return err;
    assert(batch->base_offset >= made->end_offset);
    made->end_offset = batch->base_offset;
    put(made, batch, delete_horizon);
    return KF_OK;
}

void kf__plog_replace(struct kf__partition_log *log, struct kf__partition_log *made)
{
    made->alloc = log->alloc;
    made->start_offset = log->start_offset;
    made->end_offset = log->end_offset;
    made->epochs = log->epochs;
    made->epoch_count = log->epoch_count;
    log->epochs = NULL;
    log->epoch_count = 0;
    kf__plog_free(log);
    *log = *made;
    check_invariants(log);
}

size_t kf__plog_find(const struct kf__partition_log *log, int64_t offset)
{
    size_t low = 0, high = log->batch_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->batches[middle].last_offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where the bytes of the chunk that `batch` lies in end, or those before `stop` if it is there. */
static const uint8_t *end_of_chunk(const struct kf__partition_log *log,
                                   const struct kf__plog_batch *batch, size_t stop)
{
    const struct kf__plog_chunk *chunk = &log->chunks[batch->chunk];
    if (stop < log->batch_count && log->batches[stop].chunk == batch->chunk)
        return log->batches[stop].bytes;
    return chunk->bytes + chunk->used;
}

kf_bytes kf__plog_read(const struct kf__partition_log *log, int64_t offset, int64_t before,
                       size_t max_bytes, bool whole_first)
{
    static const uint8_t nothing[1];
    kf_bytes empty = {.data = nothing, .size = 0};
    size_t at = kf__plog_find(log, offset);
    size_t stop = kf__plog_find(log, before);
    if (at >= stop)
        return empty;

    const struct kf__plog_batch *batch = &log->batches[at];
    size_t available = (size_t)(end_of_chunk(log, batch, stop) - batch->bytes);
    if (batch->size > max_bytes)
        return whole_first ? (kf_bytes){.data = batch->bytes, .size = batch->size} : empty;
    size_t size = available < max_bytes ? available : max_bytes;
    return (kf_bytes){.data = batch->bytes, .size = size};
}

size_t kf__plog_readable(const struct kf__partition_log *log, int64_t offset, int64_t before)
{
    size_t at = kf__plog_find(log, offset);
    size_t stop = kf__plog_find(log, before);
    if (at >= stop)
        return 0;
    const struct kf__plog_batch *batch = &log->batches[at];
    const struct kf__plog_batch *last = &log->batches[stop - 1];
    size_t size = (size_t)(end_of_chunk(log, batch, stop) - batch->bytes);
    for (size_t i = batch->chunk + 1; i < last->chunk; i++)
        size += log->chunks[i].used;
    if (last->chunk > batch->chunk)
        size += (size_t)(end_of_chunk(log, last, stop) - log->chunks[last->chunk].bytes);
    return size;
}

int64_t kf__plog_read_end(const struct kf__partition_log *log, int64_t offset, kf_bytes read)
{
    int64_t end = offset;
    for (size_t at = kf__plog_find(log, offset); at < log->batch_count; at++) {
        const uint8_t *bytes = log->batches[at].bytes;
        if (bytes < read.data || bytes >= read.data + read.size)
            break;
        end = log->batches[at].last_offset + 1;
    }
    return end;
}

/* highest_timestamp never falls, so the first batch that reaches it is found by halves. */
size_t kf__plog_find_timestamp(const struct kf__partition_log *log, int64_t timestamp)
{
    size_t low = 0, high = log->batch_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->batches[middle].highest_timestamp < timestamp)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t kf__plog_find_max_timestamp(const struct kf__partition_log *log)
{
    if (log->batch_count == 0)
        return 0;
    return kf__plog_find_timestamp(log, log->batches[log->batch_count - 1].highest_timestamp);
}

void kf__plog_epoch_end(const struct kf__partition_log *log, int32_t asked, int32_t current,
                        int32_t *epoch, int64_t *end_offset)
{
    *epoch = -1;
    *end_offset = -1;
    if (asked == current) {
        *epoch = asked;
        *end_offset = log->end_offset;
        return;
    }
    if (asked > current)
        return;
    size_t after = 0;
    while (after < log->epoch_count && log->epochs[after].epoch <= asked)
        after++;
    /* The current epoch began where the log ends if nothing has been written in it. */
    *epoch = after > 0 ? log->epochs[after - 1].epoch : asked;
    *end_offset = after < log->epoch_count ? log->epochs[after].start_offset : log->end_offset;
    if (*end_offset < log->start_offset) /* what is deleted takes its epochs along */
        *end_offset = log->start_offset;
}

/* Batches before `first` leave the index; chunks that only they lie in leave memory. */
static void forget_batches(struct kf__partition_log *log, size_t first)
{
    for (size_t i = 0; i < first; i++)
        log->bytes -= log->batches[i].size;
    uint32_t keep =
        first < log->batch_count ? log->batches[first].chunk : (uint32_t)log->chunk_count;
    memmove(log->batches, log->batches + first, (log->batch_count - first) * sizeof *log->batches);
    log->batch_count -= first;
    int64_t highest = INT64_MIN;
    for (size_t i = 0; i < log->batch_count; i++) {
        if (log->batches[i].max_timestamp > highest)
            highest = log->batches[i].max_timestamp;
        log->batches[i].highest_timestamp = highest;
    }
    if (keep == 0)
        return;
    for (uint32_t i = 0; i < keep; i++)
        kf_free(log->alloc, log->chunks[i].bytes);
    memmove(log->chunks, log->chunks + keep, (log->chunk_count - keep) * sizeof *log->chunks);
    log->chunk_count -= keep;
    for (size_t i = 0; i < log->batch_count; i++)
        log->batches[i].chunk -= keep;
}

void kf__plog_delete_before(struct kf__partition_log *log, int64_t offset)
{
    if (offset > log->end_offset)
        offset = log->end_offset;
    if (offset <= log->start_offset)
        return;
    log->start_offset = offset;
    size_t first = kf__plog_find(log, offset);
    if (first > 0)
        forget_batches(log, first);
    while (log->epoch_count > 1 && log->epochs[1].start_offset <= offset) {
        log->epoch_count--;
        memmove(log->epochs, log->epochs + 1, log->epoch_count * sizeof *log->epochs);
    }
    check_invariants(log);
}

void kf__plog_truncate(struct kf__partition_log *log, int64_t offset)
{
    if (offset >= log->end_offset)
        return;
    size_t kept = kf__plog_find(log, offset);
    for (size_t i = kept; i < log->batch_count; i++)
        log->bytes -= log->batches[i].size;
    if (kept < log->batch_count) {
        struct kf__plog_chunk *chunk = &log->chunks[log->batches[kept].chunk];
        chunk->used = (size_t)(log->batches[kept].bytes - chunk->bytes);
        while (log->chunk_count > (size_t)log->batches[kept].chunk + 1)
            kf_free(log->alloc, log->chunks[--log->chunk_count].bytes);
    }
    log->batch_count = kept;
    log->end_offset = offset;
    if (log->start_offset > offset)
        log->start_offset = offset;
    while (log->epoch_count > 0 && log->epochs[log->epoch_count - 1].start_offset >= offset)
        log->epoch_count--;
    check_invariants(log);
}
