/*
 * batch_write: from records to a batch of magic 2. The builder holds the
 * records as they stand on the wire, with room for the header in front, so
 * that an uncompressed batch is finished in place. Layout: see batch_read.c.
 * Called by the producer, the embedded broker, tools and tests.
 */
#include "proto/batch/batch.h"
#include "proto/bytes/crc32c.h"

#include <assert.h>

enum {
    MAX_BATCH_BYTES = INT32_MAX,
    FIRST_CAPACITY = 1024,
    /* length, attributes, timestamp, offset, three lengths: more than they can take */
    MAX_RECORD_OVERHEAD = 40,
    MAX_HEADER_OVERHEAD = 2 * KF__VARINT_MAX_BYTES,
};

void kf__batch_builder_init(struct kf__batch_builder *builder, const kf_allocator *alloc,
                            int64_t base_offset)
{
    *builder = (struct kf__batch_builder){
        .alloc = alloc,
        .base_offset = base_offset,
        .last_offset_delta = -1,
    };
}

void kf__batch_builder_free(struct kf__batch_builder *builder)
{
    kf_free(builder->alloc, builder->bytes);
    kf__batch_builder_init(builder, builder->alloc, builder->base_offset);
}

static void reset(struct kf__batch_builder *builder)
{
    builder->used = 0;
    builder->record_count = 0;
    builder->last_offset_delta = -1;
}

static kf_err reserve(struct kf__batch_builder *builder, size_t more)
{
    size_t used = builder->used ? builder->used : KF__BATCH_HEADER_BYTES;
    if (more > MAX_BATCH_BYTES - used)
        return KF_ERR_MESSAGE_TOO_LARGE;
    size_t wanted = used + more;
    if (wanted > builder->capacity) {
        size_t capacity = builder->capacity ? builder->capacity * 2 : FIRST_CAPACITY;
        if (capacity < wanted)
            capacity = wanted;
        uint8_t *bytes = kf_realloc(builder->alloc, builder->bytes, capacity);
        if (!bytes)
            return KF_ERR_NO_MEMORY;
        builder->bytes = bytes;
        builder->capacity = capacity;
    }
    builder->used = used;
    return KF_OK;
}

/* More than the record can take, or SIZE_MAX where it can't be written. */
static size_t upper_bound(kf_bytes key, kf_bytes value, const kf_header *headers, size_t count)
{
    if (key.size > MAX_BATCH_BYTES || value.size > MAX_BATCH_BYTES || count > MAX_BATCH_BYTES)
        return SIZE_MAX;
    size_t bound = MAX_RECORD_OVERHEAD + key.size + value.size;
    for (size_t i = 0; i < count; i++) {
        if (headers[i].name.size > MAX_BATCH_BYTES || headers[i].value.size > MAX_BATCH_BYTES ||
            bound > MAX_BATCH_BYTES)
            return SIZE_MAX;
        bound += MAX_HEADER_OVERHEAD + headers[i].name.size + headers[i].value.size;
    }
    return bound;
}

/* What a length and its bytes take; null is the length -1. */
static size_t bytes_size(kf_bytes bytes)
{
    return bytes.data ? kf__varint_size((int64_t)bytes.size) + bytes.size : 1;
}

static uint8_t *write_bytes(uint8_t *at, kf_bytes bytes)
{
    if (!bytes.data)
        return kf__varint_write(at, -1);
    at = kf__varint_write(at, (int64_t)bytes.size);
    memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

static kf_bytes name_bytes(const kf_header *header)
{
    return (kf_bytes){(const uint8_t *)header->name.data, header->name.size};
}

static size_t body_size(int64_t timestamp_delta, int64_t offset_delta, kf_bytes key, kf_bytes value,
                        const kf_header *headers, size_t header_count)
{
    size_t size = 1 + kf__varint_size(timestamp_delta) + kf__varint_size(offset_delta) +
                  bytes_size(key) + bytes_size(value) + kf__varint_size((int64_t)header_count);
    for (size_t i = 0; i < header_count; i++)
        size += bytes_size(name_bytes(&headers[i])) + bytes_size(headers[i].value);
    return size;
}

/* Where `apart_at` is not NULL, the value's length alone is written. */
static kf_err add_record(struct kf__batch_builder *builder, int64_t offset, int64_t timestamp,
                         kf_bytes key, kf_bytes value, const kf_header *headers,
                         size_t header_count, size_t *apart_at)
{
    if (offset < builder->base_offset ||
        offset - builder->base_offset <= builder->last_offset_delta ||
        offset - builder->base_offset > INT32_MAX || builder->record_count == INT32_MAX)
        return KF_ERR_INVALID_ARGUMENT;
    for (size_t i = 0; i < header_count; i++)
        if (!headers[i].name.data)
            return KF_ERR_INVALID_ARGUMENT;
    kf_bytes inside = apart_at ? (kf_bytes){NULL, 0} : value;
    kf_err err = reserve(builder, upper_bound(key, inside, headers, header_count));
    if (err)
        return err;

    if (builder->record_count == 0)
        builder->base_timestamp = builder->max_timestamp = timestamp;
    int64_t offset_delta = offset - builder->base_offset;
    int64_t timestamp_delta = (int64_t)((uint64_t)timestamp - (uint64_t)builder->base_timestamp);
    size_t size = body_size(timestamp_delta, offset_delta, key, value, headers, header_count);

    uint8_t *at = kf__varint_write(builder->bytes + builder->used, (int64_t)size);
    uint8_t *body = at;
    *at++ = 0; /* attributes: none is defined */
    at = kf__varint_write(at, timestamp_delta);
    at = kf__varint_write(at, offset_delta);
    at = write_bytes(at, key);
    at = apart_at ? kf__varint_write(at, (int64_t)value.size) : write_bytes(at, value);
    if (apart_at)
        *apart_at = (size_t)(at - builder->bytes);
    at = kf__varint_write(at, (int64_t)header_count);
    for (size_t i = 0; i < header_count; i++) {
        at = write_bytes(at, name_bytes(&headers[i]));
        at = write_bytes(at, headers[i].value);
    }
    assert((size_t)(at - body) + (apart_at ? value.size : 0) == size);
    (void)body;

    builder->used = (size_t)(at - builder->bytes);
    builder->last_offset_delta = offset_delta;
    builder->record_count++;
    if (timestamp > builder->max_timestamp)
        builder->max_timestamp = timestamp;
    return KF_OK;
}

kf_err kf__batch_builder_add_at(struct kf__batch_builder *builder, int64_t offset,
                                int64_t timestamp, kf_bytes key, kf_bytes value,
                                const kf_header *headers, size_t header_count)
{
    return add_record(builder, offset, timestamp, key, value, headers, header_count, NULL);
}

kf_err kf__batch_builder_add_apart(struct kf__batch_builder *builder, int64_t timestamp,
                                   kf_bytes key, kf_bytes value, const kf_header *headers,
                                   size_t header_count, size_t *apart_at)
{
    assert(builder->record_count == 0 && value.data);
    return add_record(builder, builder->base_offset, timestamp, key, value, headers, header_count,
                      apart_at);
}

kf_err kf__batch_builder_add(struct kf__batch_builder *builder, int64_t timestamp, kf_bytes key,
                             kf_bytes value, const kf_header *headers, size_t header_count)
{
    return kf__batch_builder_add_at(builder, builder->base_offset + builder->last_offset_delta + 1,
                                    timestamp, key, value, headers, header_count);
}

/* Puts the header in front of `size` bytes of batch, whose records stand already. */
static void write_header(uint8_t *batch, size_t size, const struct kf__batch_builder *builder,
                         const struct kf__batch_options *options)
{
    unsigned attributes = (unsigned)options->codec |
                          (options->timestamp_type == KF_TIMESTAMP_LOG_APPEND ? 0x08u : 0) |
                          (options->transactional ? 0x10u : 0) | (options->control ? 0x20u : 0);
    kf__batch_set_base_offset(batch, builder->base_offset);
    kf__set_u32(batch + 8, (uint32_t)(size - KF__BATCH_OVERHEAD));
    kf__batch_set_leader_epoch(batch, options->leader_epoch);
    batch[16] = 2;
    kf__set_u16(batch + 21, (uint16_t)attributes);
    kf__set_u32(batch + 23, (uint32_t)builder->last_offset_delta);
    kf__set_u64(batch + 27, (uint64_t)builder->base_timestamp);
    kf__set_u64(batch + 35, (uint64_t)builder->max_timestamp);
    kf__set_u32(batch + 57, (uint32_t)builder->record_count);
    if (!options->unstamped)
        kf__batch_stamp(batch, size, options->producer_id, options->producer_epoch,
                        options->base_sequence);
}

static void exchange_memory(struct kf__batch_builder *builder, struct kf__buffer *out)
{
    uint8_t *bytes = out->bytes;
    size_t capacity = out->capacity;
    out->bytes = builder->bytes;
    out->capacity = builder->capacity;
    out->used = builder->used;
    builder->bytes = bytes;
    builder->capacity = capacity;
}

static kf_err finish_plain(struct kf__batch_builder *builder,
                           const struct kf__batch_options *options, struct kf__buffer *out)
{
    write_header(builder->bytes, builder->used + options->apart, builder, options);
    if (out->used || out->alloc != builder->alloc)
        return kf__buffer_put(out, builder->bytes, builder->used);
    exchange_memory(builder, out);
    return KF_OK;
}

static kf_err finish_compressed(struct kf__batch_builder *builder,
                                const struct kf__batch_options *options, struct kf__codecs *codecs,
                                struct kf__buffer *out)
{
    size_t start = out->used;
    kf_bytes records = {builder->bytes + KF__BATCH_HEADER_BYTES,
                        builder->used - KF__BATCH_HEADER_BYTES};
    kf_err err = kf__buffer_reserve(out, KF__BATCH_HEADER_BYTES);
    if (err)
        return err;
    out->used += KF__BATCH_HEADER_BYTES;
    err = kf__compress(codecs, options->codec, options->level, records, out);
    if (!err && out->used - start > MAX_BATCH_BYTES)
        err = KF_ERR_MESSAGE_TOO_LARGE;
    if (err) {
        out->used = start;
        return err;
    }
    write_header(out->bytes + start, out->used - start, builder, options);
    return KF_OK;
}

kf_err kf__batch_builder_finish(struct kf__batch_builder *builder,
                                const struct kf__batch_options *options, struct kf__codecs *codecs,
                                struct kf__buffer *out)
{
    if (builder->record_count == 0)
        return KF_ERR_STATE;
    kf_err err = options->codec == KF_CODEC_NONE ? finish_plain(builder, options, out)
                                                 : finish_compressed(builder, options, codecs, out);
    if (!err)
        reset(builder);
    return err;
}

static void write_identity(uint8_t *batch, int64_t producer_id, int16_t producer_epoch,
                           int32_t base_sequence)
{
    kf__set_u64(batch + 43, (uint64_t)producer_id);
    kf__set_u16(batch + 51, (uint16_t)producer_epoch);
    kf__set_u32(batch + 53, (uint32_t)base_sequence);
}

void kf__batch_stamp_summed(uint8_t *batch, size_t size, uint32_t records_sum, int64_t producer_id,
                            int16_t producer_epoch, int32_t base_sequence)
{
    write_identity(batch, producer_id, producer_epoch, base_sequence);
    uint32_t sum = kf__crc32c(0, batch + 21, KF__BATCH_HEADER_BYTES - 21);
    kf__set_u32(batch + 17, kf__crc32c_join(sum, records_sum, size - KF__BATCH_HEADER_BYTES));
}

void kf__batch_stamp_apart(uint8_t *batch, size_t size, kf_bytes apart, size_t at,
                           int64_t producer_id, int16_t producer_epoch, int32_t base_sequence)
{
    write_identity(batch, producer_id, producer_epoch, base_sequence);
    uint32_t checksum = kf__crc32c(0, batch + 21, at - 21);
    if (apart.data)
        checksum = kf__crc32c(checksum, apart.data, apart.size);
    kf__set_u32(batch + 17, kf__crc32c(checksum, batch + at, size - at));
}

void kf__batch_stamp(uint8_t *batch, size_t size, int64_t producer_id, int16_t producer_epoch,
                     int32_t base_sequence)
{
    kf__batch_stamp_apart(batch, size, (kf_bytes){NULL, 0}, size, producer_id, producer_epoch,
                          base_sequence);
}

void kf__batch_set_base_offset(uint8_t *batch, int64_t base_offset)
{
    kf__set_u64(batch, (uint64_t)base_offset);
}

void kf__batch_set_leader_epoch(uint8_t *batch, int32_t leader_epoch)
{
    kf__set_u32(batch + 12, (uint32_t)leader_epoch);
}
