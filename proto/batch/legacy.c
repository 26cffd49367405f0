/*
 * legacy: messages of Kafka before 0.11, read-only.
 *
 *      0 offset      i64
 *      8 size        i32
 *     12 CRC-32      u32, of all that follows
 *     16 magic       i8
 *     17 attributes  i8: codec 0–2, timestamp type 3 (magic 1)
 *     18 timestamp   i64 (magic 1)
 *        key, value  i32 size (-1: null) and bytes
 *
 * A message is a batch of one, unless it is compressed: then its value holds
 * messages of the same magic, and its own offset is that of the last of them.
 * Their offsets are absolute in magic 0 and relative in magic 1 (KIP-31).
 */
#include "proto/batch/legacy.h"

#include "proto/bytes/crc32c.h"

enum {
    AT_SIZE = 8,
    AT_CRC = 12,
    AT_MAGIC = 16,
    AT_ATTRIBUTES = 17,
    AT_TIMESTAMP = 18,

    CODEC_BITS = 0x07,
    LOG_APPEND_BIT = 0x08,
    SIZE_FIELD = 4,
};

/* The key's place. */
static size_t fixed_bytes(int8_t magic) { return magic == 0 ? 18 : 26; }

kf_err kf__legacy_peek(struct kf__batch *batch)
{
    if (batch->size < fixed_bytes(batch->magic) + 2 * SIZE_FIELD || batch->base_offset < 0)
        return KF_ERR_BAD_BATCH;
    if (batch->base_offset == INT64_MAX) /* there is always a next offset */
        return KF_ERR_BAD_BATCH;

    uint8_t attributes = batch->bytes[AT_ATTRIBUTES];
    batch->last_offset = batch->base_offset;
    batch->producer_id = -1;
    batch->producer_epoch = -1;
    batch->base_sequence = -1;
    batch->leader_epoch = -1;
    batch->record_count = -1;
    batch->codec = (enum kf_codec)(attributes & CODEC_BITS);
    batch->timestamp_type = KF_TIMESTAMP_NONE;
    batch->base_timestamp = -1;
    if (batch->magic == 1) {
        batch->timestamp_type =
            attributes & LOG_APPEND_BIT ? KF_TIMESTAMP_LOG_APPEND : KF_TIMESTAMP_CREATE;
        batch->base_timestamp = kf__get_i64(batch->bytes + AT_TIMESTAMP);
    }
    batch->max_timestamp = batch->base_timestamp;
    return KF_OK;
}

kf_err kf__legacy_check(const struct kf__batch *batch)
{
    uint32_t crc = kf__crc32(0, batch->bytes + AT_MAGIC, batch->size - AT_MAGIC);
    return crc == kf__get_u32(batch->bytes + AT_CRC) ? KF_OK : KF_ERR_BAD_CRC;
}

static const uint8_t *read_bytes(const uint8_t *at, const uint8_t *stop, kf_bytes *bytes)
{
    if (stop - at < SIZE_FIELD)
        return NULL;
    int32_t size = kf__get_i32(at);
    at += SIZE_FIELD;
    if (size < -1 || size > stop - at)
        return NULL;
    if (size == -1) {
        *bytes = (kf_bytes){NULL, 0};
        return at;
    }
    *bytes = (kf_bytes){at, (size_t)size};
    return at + size;
}

/* The message at `at`; its end, or NULL where it isn't one of that magic, whole. */
static const uint8_t *read_message(const uint8_t *at, const uint8_t *end, int8_t magic,
                                   struct kf__record *record, uint8_t *attributes)
{
    if ((size_t)(end - at) < fixed_bytes(magic) + 2 * SIZE_FIELD || (int8_t)at[AT_MAGIC] != magic)
        return NULL;
    int32_t size = kf__get_i32(at + AT_SIZE);
    if (size < 0 || size > end - at - KF__BATCH_OVERHEAD)
        return NULL;

    const uint8_t *stop = at + KF__BATCH_OVERHEAD + size;
    const uint8_t *key = at + fixed_bytes(magic);
    if (key > stop)
        return NULL;
    *record = (struct kf__record){
        .offset = kf__get_i64(at),
        .timestamp = magic == 0 ? -1 : kf__get_i64(at + AT_TIMESTAMP),
    };
    *attributes = at[AT_ATTRIBUTES];
    const uint8_t *value = read_bytes(key, stop, &record->key);
    const uint8_t *after = value ? read_bytes(value, stop, &record->value) : NULL;
    return after == stop ? stop : NULL;
}

/* What to add to the inner offsets of a magic 1 wrapper, so that the last is the wrapper's. */
static kf_err find_base(const struct kf__batch *batch, struct kf__records *records)
{
    struct kf__record last = {.offset = 0};
    uint8_t attributes;
    for (const uint8_t *at = records->at; at != records->end;) {
        at = read_message(at, records->end, batch->magic, &last, &attributes);
        if (!at)
            return KF_ERR_BAD_BATCH;
    }
    if (last.offset < 0 || last.offset > batch->last_offset)
        return KF_ERR_BAD_BATCH;
    records->base_offset = batch->last_offset - last.offset;
    return KF_OK;
}

static kf_err open_wrapper(const struct kf__batch *batch, struct kf__codecs *codecs,
                           struct kf__buffer *into, size_t limit, struct kf__records *records)
{
    struct kf__record wrapper;
    uint8_t attributes;
    if (!read_message(batch->bytes, batch->bytes + batch->size, batch->magic, &wrapper,
                      &attributes) ||
        !wrapper.value.data)
        return KF_ERR_BAD_BATCH;

    size_t start = into->used;
    kf_err err = batch->codec == KF_CODEC_LZ4 && batch->magic == 0
                     ? kf__decompress_lz4_magic_0(wrapper.value, limit, into)
                     : kf__decompress(codecs, batch->codec, wrapper.value, limit, into);
    if (err)
        return err;
    if (into->used == start)
        return KF_ERR_BAD_BATCH;
    records->at = into->bytes + start;
    records->end = into->bytes + into->used;
    return batch->magic == 1 ? find_base(batch, records) : KF_OK;
}

kf_err kf__legacy_open(const struct kf__batch *batch, struct kf__codecs *codecs,
                       struct kf__buffer *into, size_t limit, struct kf__records *records)
{
    *records = (struct kf__records){
        .at = batch->bytes,
        .end = batch->bytes + batch->size,
        .base_timestamp = batch->max_timestamp,
        .timestamp_mask = batch->timestamp_type == KF_TIMESTAMP_LOG_APPEND ? 0 : -1,
        .remaining = -1,
        .magic = batch->magic,
    };
    if (batch->codec == KF_CODEC_NONE)
        return KF_OK;
    return open_wrapper(batch, codecs, into, limit, records);
}

kf_err kf__legacy_next(struct kf__records *records, struct kf__record *record, bool *more)
{
    *more = false;
    if (records->at == records->end)
        return KF_OK;

    uint8_t attributes;
    const uint8_t *next =
        read_message(records->at, records->end, records->magic, record, &attributes);
    if (!next || attributes & CODEC_BITS) /* a wrapper within a wrapper is not allowed */
        return KF_ERR_BAD_BATCH;
    record->offset = (int64_t)((uint64_t)record->offset + (uint64_t)records->base_offset);
    if (records->timestamp_mask == 0)
        record->timestamp = records->base_timestamp;
    records->at = next;
    *more = true;
    return KF_OK;
}
