/* producer_batch: see producer_batch.h. */
#include "runtime/producer/producer_batch.h"

#include "proto/bytes/crc32c.h"
#include <assert.h>
#include <string.h>

enum {
    MAX_PART_BYTES = INT32_MAX,
    RECORD_OVERHEAD = 40, /* length, attributes, timestamp, offset, three lengths: at most */
    HEADER_OVERHEAD = 20, /* two lengths */
};

kf_err kf__out_batch_new(struct kf__out_memory *memory, size_t bytes, size_t *credit,
                         struct kf__out_batch **batch)
{
    return kf__out_batch_new_exact(memory, kf__out_memory_block(memory, bytes), credit, batch);
}

kf_err kf__out_batch_new_exact(struct kf__out_memory *memory, size_t size, size_t *credit,
                               struct kf__out_batch **batch)
{
    void *self;
    void *block;
    kf_err err =
        kf__out_memory_take(memory, kf__out_memory_block(memory, sizeof **batch), credit, &self);
    if (err)
        return err;
    err = kf__out_memory_take(memory, size, credit, &block);
    if (err) {
        kf__out_memory_give(memory, self, kf__out_memory_block(memory, sizeof **batch));
        return err;
    }
    memset(self, 0, sizeof **batch);
    *batch = self;
    (*batch)->memory = memory;
    kf__link_init(&(*batch)->link);
    kf__link_init(&(*batch)->unfinished);
    kf__batch_builder_init(&(*batch)->builder, memory->alloc, 0);
    (*batch)->builder.bytes = block;
    (*batch)->builder.capacity = (*batch)->block = size;
    (*batch)->id = (struct kf__out_identity){-1, -1};
    (*batch)->sequence = -1;
    return KF_OK;
}

void kf__out_batch_drop_bytes(struct kf__out_batch *batch)
{
    kf__out_memory_give(batch->memory, batch->bytes ? batch->bytes : batch->builder.bytes,
                        batch->block);
    batch->bytes = batch->builder.bytes = NULL;
    batch->block = 0;
}

void kf__out_batch_free(struct kf__out_batch *batch)
{
    if (!batch)
        return;
    struct kf__out_memory *memory = batch->memory;
    kf__out_batch_drop_bytes(batch);
    kf__out_memory_discount(memory, batch->apart.size);
    kf__out_memory_give(memory, batch->receipts, batch->receipts_block);
    kf_free(memory->alloc, batch->words);
    kf_free(memory->alloc, batch->each_words);
    kf__out_memory_give(memory, batch, kf__out_memory_block(memory, sizeof *batch));
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
    return batch->builder.used ? batch->builder.used : KF__BATCH_HEADER_BYTES;
}

/* ---- room ---- */

/* Twice as much, or as the partition's last batch had, or what is needed. */
static size_t grown(size_t now, size_t wanted, size_t hint, size_t largest)
{
    size_t more = now * 2 < hint ? hint : now * 2;
    if (more > largest)
        more = largest;
    return more < wanted ? wanted : more;
}

static kf_err move(struct kf__out_memory *memory, void **block, size_t *size, size_t used,
                   size_t wanted, size_t *credit)
{
    void *larger;
    kf_err err = kf__out_memory_take(memory, wanted, credit, &larger);
    if (err)
        return err;
    if (used)
        memcpy(larger, *block, used);
    kf__out_memory_give(memory, *block, *size);
    *block = larger;
    *size = wanted;
    return KF_OK;
}

static kf_err grow_bytes(struct kf__out_batch *batch, size_t wanted, size_t largest, size_t *credit,
                         size_t *need)
{
    size_t size = kf__out_memory_block(batch->memory, grown(batch->block, wanted, 0, largest));
    void *block = batch->builder.bytes;
    kf_err err = move(batch->memory, &block, &batch->block, batch->builder.used, size, credit);
    batch->builder.bytes = block;
    batch->builder.capacity = batch->block;
    *need = size;
    return err;
}

static kf_err grow_receipts(struct kf__out_batch *batch, size_t hint, size_t *credit, size_t *need)
{
    size_t used = (size_t)batch->count * sizeof(struct kf__receipt);
    size_t wanted = used + sizeof(struct kf__receipt);
    size_t size =
        kf__out_memory_block(batch->memory, grown(batch->receipts_block, wanted, hint, SIZE_MAX));
    void *block = batch->receipts;
    bool first = !block;
    kf_err err =
        move(batch->memory, &block, &batch->receipts_block, first ? 0 : used, size, credit);
    *need = size;
    if (err)
        return err;
    batch->receipts = block;
    if (first) /* nobody was to be told of those before */
        memset(batch->receipts, 0, used);
    batch->capacity = (int32_t)(batch->receipts_block / sizeof(struct kf__receipt));
    return KF_OK;
}

kf_err kf__out_batch_reserve(struct kf__out_batch *batch, size_t bound, bool tells, size_t hint,
                             size_t largest, size_t *credit, size_t *need)
{
    kf_err err = KF_OK;
    size_t wanted = kf__out_batch_size(batch) + bound;
    if (wanted > batch->block)
        err = grow_bytes(batch, wanted, largest, credit, need);
    batch->limit = batch->block < largest ? batch->block : largest;
    if (!err && (tells || batch->receipts) && batch->count >= batch->capacity)
        err = grow_receipts(batch, hint, credit, need);
    return err;
}

/* ---- the way of a batch ---- */

kf_err kf__out_batch_add(struct kf__out_batch *batch, const kf_record *record, int64_t timestamp,
                         struct kf__receipt receipt)
{
    kf_err err = kf__batch_builder_add(&batch->builder, timestamp, record->key, record->value,
                                       record->headers, record->header_count);
    if (err)
        return err;
    assert(batch->builder.capacity == batch->block);
    if (batch->receipts) {
        receipt.timestamp = timestamp;
        batch->receipts[batch->count] = receipt;
    }
    batch->count++;
    return KF_OK;
}

kf_err kf__out_batch_add_apart(struct kf__out_batch *batch, const kf_record *record,
                               int64_t timestamp, struct kf__receipt receipt)
{
    assert(batch->count == 0);
    kf_err err =
        kf__batch_builder_add_apart(&batch->builder, timestamp, record->key, record->value,
                                    record->headers, record->header_count, &batch->apart_at);
    if (err)
        return err;
    if (batch->receipts) {
        receipt.timestamp = timestamp;
        batch->receipts[0] = receipt;
    }
    batch->count = 1;
    return KF_OK;
}

/* The sealed bytes lie in the batch's own block, compressed only where they fit into it. */
static kf_err compress(struct kf__out_batch *batch, const struct kf__batch_options *options,
                       struct kf__codecs *codecs, struct kf__buffer *scratch)
{
    struct kf__batch_builder before = batch->builder;
    scratch->used = 0;
    kf_err err = kf__batch_builder_finish(&batch->builder, options, codecs, scratch);
    if (!err && scratch->used >= before.used)
        err = KF_ERR_BATCH_TOO_LARGE;
    if (err) {
        batch->builder = before;
        return err;
    }
    memcpy(before.bytes, scratch->bytes, scratch->used);
    batch->bytes = before.bytes;
    batch->size = scratch->used;
    batch->codec = options->codec;
    return KF_OK;
}

static void sum(struct kf__out_batch *batch)
{
    batch->is_summed = batch->size >= KF__SUMMED_LEAST && !batch->apart.data;
    if (batch->is_summed)
        batch->sum = kf__crc32c(0, batch->bytes + KF__BATCH_HEADER_BYTES,
                                batch->size - KF__BATCH_HEADER_BYTES);
}

kf_err kf__out_batch_seal(struct kf__out_batch *batch, enum kf_codec codec, int level,
                          struct kf__codecs *codecs, struct kf__buffer *scratch)
{
    assert(batch->count > 0 && !batch->bytes);
    struct kf__batch_options options = {
        .codec = codec,
        .level = level,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
        .leader_epoch = -1,
        .timestamp_type = KF_TIMESTAMP_CREATE,
        .unstamped = true,
        .apart = batch->apart.size,
    };
    assert(codec == KF_CODEC_NONE || !batch->apart.size);
    if (codec == KF_CODEC_NONE || compress(batch, &options, codecs, scratch)) {
        options.codec = KF_CODEC_NONE;
        struct kf__buffer wire;
        kf__buffer_init(&wire, batch->builder.alloc);
        kf_err err = kf__batch_builder_finish(&batch->builder, &options, codecs, &wire);
        if (err)
            return err;
        batch->bytes = wire.bytes;
        batch->size = wire.used + batch->apart.size;
        batch->codec = KF_CODEC_NONE;
    }
    batch->builder.bytes = NULL;
    batch->builder.capacity = 0;
    sum(batch);
    atomic_store_explicit(&batch->sealed, true, memory_order_release);
    return KF_OK;
}

void kf__out_batch_restamp(struct kf__out_batch *batch, struct kf__out_identity id,
                           int32_t sequence)
{
    batch->id = id;
    batch->sequence = sequence;
    size_t size = batch->size - batch->apart.size;
    int32_t base = id.producer_id >= 0 ? sequence : -1;
    if (batch->is_summed)
        kf__batch_stamp_summed(batch->bytes, size, batch->sum, id.producer_id, id.epoch, base);
    else
        kf__batch_stamp_apart(batch->bytes, size, batch->apart,
                              batch->apart.data ? batch->apart_at : size, id.producer_id, id.epoch,
                              base);
}

int32_t kf__sequence_after(int32_t sequence, int32_t count)
{
    return (int32_t)(((uint32_t)sequence + (uint32_t)count) & INT32_MAX);
}

bool kf__out_batch_tell(struct kf__out_batch *batch, const kf_delivery *delivery,
                        bool (*chosen)(const struct kf__receipt *receipt))
{
    kf_delivery told = *delivery;
    bool others = false;
    told.count = 1;
    if (!batch->receipts || batch->all_told)
        return false;
    batch->all_told = !chosen;
    for (int32_t i = 0; i < batch->count; i++) {
        struct kf__receipt *receipt = &batch->receipts[i];
        if (!receipt->delivered)
            continue;
        if (chosen && !chosen(receipt)) {
            others = true;
            continue;
        }
        told.offset = delivery->offset < 0 ? -1 : delivery->offset + i;
        if (delivery->timestamp < 0)
            told.timestamp = receipt->timestamp;
        told.reason =
            batch->each_words && batch->each_words[i] ? batch->each_words[i] : delivery->reason;
        receipt->delivered(receipt->context, &told);
        if (chosen) /* else nobody looks again: the producing thread's cache may keep the line */
            receipt->delivered = NULL;
    }
    return others;
}
