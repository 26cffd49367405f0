/* producer_batch: see producer_batch.h. */
#include "runtime/producer/producer_batch.h"

#include <assert.h>

enum {
    MAX_PART_BYTES = INT32_MAX,
    FIRST_RECEIPTS = 16,
    FIRST_BYTES = 1024,   /* what a builder begins with */
    RECORD_OVERHEAD = 40, /* length, attributes, timestamp, offset, three lengths: at most */
    HEADER_OVERHEAD = 20, /* two lengths */
};

struct kf__out_batch *kf__out_batch_new(const kf_allocator *alloc)
{
    struct kf__out_batch *batch = kf_alloc_zero(alloc, sizeof *batch);
    if (!batch)
        return NULL;
    batch->alloc = alloc;
    kf__link_init(&batch->unfinished);
    kf__batch_builder_init(&batch->builder, alloc, 0);
    kf__buffer_init(&batch->wire, alloc);
    return batch;
}

void kf__out_batch_free(struct kf__out_batch *batch)
{
    if (!batch)
        return;
    kf__batch_builder_free(&batch->builder);
    kf__buffer_free(&batch->wire);
    kf_free(batch->alloc, batch->receipts);
    kf_free(batch->alloc, batch);
}

/* ---- sizes ---- */

size_t kf__record_bound(const kf_record *record)
{
    if (record->key.size > MAX_PART_BYTES || record->value.size > MAX_PART_BYTES)
        return SIZE_MAX;
    size_t bound = RECORD_OVERHEAD + record->key.size + record->value.size;
    for (size_t i = 0; i < record->header_count; i++) {
        const kf_header *header = &record->headers[i];
        if (bound > MAX_PART_BYTES || header->name.size > MAX_PART_BYTES ||
            header->value.size > MAX_PART_BYTES)
            return SIZE_MAX;
        bound += HEADER_OVERHEAD + header->name.size + header->value.size;
    }
    return bound > MAX_PART_BYTES ? SIZE_MAX : bound;
}

size_t kf__out_batch_size(const struct kf__out_batch *batch)
{
    if (batch->sealed)
        return batch->wire.used;
    return batch->count ? batch->builder.used : KF__BATCH_HEADER_BYTES;
}

/* As the builder grows: twice as much, or what is needed. */
static size_t grown(size_t capacity, size_t wanted)
{
    if (wanted <= capacity)
        return capacity;
    size_t more = capacity ? capacity * 2 : FIRST_BYTES;
    return more < wanted ? wanted : more;
}

static int32_t grown_receipts(int32_t capacity, int32_t count)
{
    if (count < capacity)
        return capacity;
    return capacity ? capacity * 2 : FIRST_RECEIPTS;
}

size_t kf__out_batch_growth(const struct kf__out_batch *batch, size_t bound)
{
    size_t bytes = grown(batch->builder.capacity, kf__out_batch_size(batch) + bound);
    int32_t receipts = grown_receipts(batch->capacity, batch->count);
    return bytes - batch->builder.capacity +
           (size_t)(receipts - batch->capacity) * sizeof(struct kf__receipt);
}

size_t kf__out_batch_memory(const struct kf__out_batch *batch)
{
    return sizeof *batch + batch->builder.capacity + batch->wire.capacity +
           (size_t)batch->capacity * sizeof *batch->receipts;
}

size_t kf__out_batch_memory_for(size_t bound)
{
    return sizeof(struct kf__out_batch) + grown(0, KF__BATCH_HEADER_BYTES + bound) +
           FIRST_RECEIPTS * sizeof(struct kf__receipt);
}

/* ---- the way of a batch ---- */

static kf_err make_room(struct kf__out_batch *batch)
{
    int32_t capacity = grown_receipts(batch->capacity, batch->count);
    if (capacity == batch->capacity)
        return KF_OK;
    struct kf__receipt *receipts =
        kf_realloc(batch->alloc, batch->receipts, (size_t)capacity * sizeof *receipts);
    if (!receipts)
        return KF_ERR_NO_MEMORY;
    batch->receipts = receipts;
    batch->capacity = capacity;
    return KF_OK;
}

kf_err kf__out_batch_add(struct kf__out_batch *batch, const kf_record *record, int64_t timestamp,
                         struct kf__receipt receipt)
{
    assert(!batch->closed);
    kf_err err = make_room(batch);
    if (!err)
        err = kf__batch_builder_add(&batch->builder, timestamp, record->key, record->value,
                                    record->headers, record->header_count);
    if (err)
        return err;
    batch->receipts[batch->count++] = receipt;
    return KF_OK;
}

kf_err kf__out_batch_seal(struct kf__out_batch *batch, enum kf_codec codec,
                          struct kf__codecs *codecs)
{
    assert(batch->closed && !batch->sealed && batch->count > 0);
    struct kf__batch_options options = {
        .codec = codec,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
        .leader_epoch = -1,
        .timestamp_type = KF_TIMESTAMP_CREATE,
    };
    kf_err err = kf__batch_builder_finish(&batch->builder, &options, codecs, &batch->wire);
    if (err)
        return err;
    batch->sealed = true;
    kf__batch_builder_free(&batch->builder);
    return KF_OK;
}

void kf__out_batch_tell(struct kf__out_batch *batch, int32_t partition, kf_err err,
                        int64_t base_offset)
{
    for (int32_t i = 0; i < batch->count; i++) {
        struct kf__receipt *receipt = &batch->receipts[i];
        if (receipt->delivered)
            receipt->delivered(receipt->context, err, partition,
                               err || base_offset < 0 ? -1 : base_offset + i);
        receipt->delivered = NULL;
    }
}
