/*
 * batch_read: from bytes to records, magic 2.
 *
 *      0 base offset      i64  ┐ not counted by the length,
 *      8 length           i32  ┘ not covered by the checksum
 *     12 leader epoch     i32
 *     16 magic            i8
 *     17 CRC-32C          u32, of all that follows
 *     21 attributes       i16: codec 0–2, timestamp type 3, transactional 4,
 *                              control 5, delete horizon 6
 *     23 last offset delta i32
 *     27 base timestamp   i64
 *     35 max timestamp    i64
 *     43 producer id      i64
 *     51 producer epoch   i16
 *     53 base sequence    i32
 *     57 record count     i32
 *     61 records, compressed as one piece
 *
 * Batches of magic 0 and 1 are handed to legacy.c. Nothing here trusts a
 * length. Called by the Fetch path, by tools and tests.
 */
#include "proto/batch/batch.h"
#include "proto/batch/legacy.h"
#include "proto/bytes/crc32c.h"

enum {
    AT_LENGTH = 8,
    AT_LEADER_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_LAST_OFFSET_DELTA = 23,
    AT_BASE_TIMESTAMP = 27,
    AT_MAX_TIMESTAMP = 35,
    AT_PRODUCER_ID = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
    AT_RECORD_COUNT = 57,

    CODEC_BITS = 0x07,
    LOG_APPEND_BIT = 0x08,
    TRANSACTIONAL_BIT = 0x10,
    CONTROL_BIT = 0x20,
    DELETE_HORIZON_BIT = 0x40,

    MIN_RECORD_BYTES = 7, /* seven fields of at least one byte */
};

const uint8_t *kf__varint_read_slow(const uint8_t *at, const uint8_t *end, int32_t *value)
{
    uint32_t raw = 0;
    for (int shift = 0; shift < 35 && at < end; shift += 7) {
        uint8_t byte = *at++;
        if (shift == 28 && byte > 0x0f)
            return NULL; /* a 33rd bit, or no end */
        raw |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = kf__unzigzag32(raw);
            return at;
        }
    }
    return NULL;
}

const uint8_t *kf__varlong_read_slow(const uint8_t *at, const uint8_t *end, int64_t *value)
{
    uint64_t raw = 0;
    for (int shift = 0; shift < 70 && at < end; shift += 7) {
        uint8_t byte = *at++;
        if (shift == 63 && byte > 0x01)
            return NULL; /* a 65th bit, or no end */
        raw |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = kf__unzigzag(raw);
            return at;
        }
    }
    return NULL;
}

static kf_err read_header(struct kf__batch *batch)
{
    const uint8_t *bytes = batch->bytes;
    if (batch->size < KF__BATCH_HEADER_BYTES)
        return KF_ERR_BAD_BATCH;

    unsigned attributes = kf__get_u16(bytes + AT_ATTRIBUTES);
    int32_t last_offset_delta = kf__get_i32(bytes + AT_LAST_OFFSET_DELTA);
    batch->base_timestamp = kf__get_i64(bytes + AT_BASE_TIMESTAMP);
    batch->max_timestamp = kf__get_i64(bytes + AT_MAX_TIMESTAMP);
    batch->producer_id = kf__get_i64(bytes + AT_PRODUCER_ID);
    batch->producer_epoch = kf__get_i16(bytes + AT_PRODUCER_EPOCH);
    batch->base_sequence = kf__get_i32(bytes + AT_BASE_SEQUENCE);
    batch->leader_epoch = kf__get_i32(bytes + AT_LEADER_EPOCH);
    batch->record_count = kf__get_i32(bytes + AT_RECORD_COUNT);
    batch->codec = (enum kf_codec)(attributes & CODEC_BITS);
    batch->timestamp_type =
        attributes & LOG_APPEND_BIT ? KF_TIMESTAMP_LOG_APPEND : KF_TIMESTAMP_CREATE;
    batch->transactional = attributes & TRANSACTIONAL_BIT;
    batch->control = attributes & CONTROL_BIT;
    batch->delete_horizon = attributes & DELETE_HORIZON_BIT;

    if (batch->base_offset < 0 || last_offset_delta < 0 || batch->record_count < 0 ||
        batch->base_offset >= INT64_MAX - last_offset_delta) /* there is always a next offset */
        return KF_ERR_BAD_BATCH;
    batch->last_offset = batch->base_offset + last_offset_delta;
    return KF_OK;
}

kf_err kf__batch_peek(const uint8_t *bytes, size_t size, struct kf__batch *batch)
{
    if (size <= AT_MAGIC)
        return KF_ERR_TRUNCATED;

    int32_t length = kf__get_i32(bytes + AT_LENGTH);
    *batch = (struct kf__batch){
        .bytes = bytes,
        .base_offset = kf__get_i64(bytes),
        .magic = (int8_t)bytes[AT_MAGIC],
    };
    if (batch->magic < 0 || batch->magic > 2)
        return KF_ERR_BAD_MAGIC;
    if (length < 0)
        return KF_ERR_BAD_BATCH;
    if ((size_t)length > size - KF__BATCH_OVERHEAD)
        return KF_ERR_TRUNCATED;
    batch->size = KF__BATCH_OVERHEAD + (size_t)length;
    return batch->magic == 2 ? read_header(batch) : kf__legacy_peek(batch);
}

kf_err kf__batch_check(const struct kf__batch *batch)
{
    if (batch->magic != 2)
        return kf__legacy_check(batch);
    uint32_t crc = kf__crc32c(0, batch->bytes + AT_ATTRIBUTES, batch->size - AT_ATTRIBUTES);
    return crc == kf__get_u32(batch->bytes + AT_CRC) ? KF_OK : KF_ERR_BAD_CRC;
}

kf_err kf__batch_open(const struct kf__batch *batch, struct kf__codecs *codecs,
                      struct kf__buffer *into, size_t limit, struct kf__records *records)
{
    if (batch->magic != 2)
        return kf__legacy_open(batch, codecs, into, limit, records);

    kf_bytes payload = {batch->bytes + KF__BATCH_HEADER_BYTES,
                        batch->size - KF__BATCH_HEADER_BYTES};
    if (batch->codec != KF_CODEC_NONE && batch->record_count > 0) {
        size_t start = into->used;
        kf_err err = kf__decompress(codecs, batch->codec, payload, limit, into);
        if (err)
            return err;
        payload = (kf_bytes){into->bytes + start, into->used - start};
    }
    if ((size_t)batch->record_count > payload.size / MIN_RECORD_BYTES)
        return KF_ERR_BAD_BATCH;
    bool log_append = batch->timestamp_type == KF_TIMESTAMP_LOG_APPEND;
    *records = (struct kf__records){
        .at = payload.data,
        .end = payload.data + payload.size,
        .base_offset = batch->base_offset,
        .base_timestamp = log_append ? batch->max_timestamp : batch->base_timestamp,
        .timestamp_mask = log_append ? 0 : -1,
        .remaining = batch->record_count,
        .magic = 2,
    };
    if (payload.size >= KF__RECORD_READ_AHEAD)
        records->fast_end = records->end - (KF__RECORD_READ_AHEAD - 1);
    return KF_OK;
}

/* A length and that many bytes; -1 is null. NULL where it doesn't fit. */
static const uint8_t *read_bytes(const uint8_t *at, const uint8_t *stop, kf_bytes *bytes)
{
    int32_t size;
    at = kf__varint_read(at, stop, &size);
    if (!at || size < -1 || size > stop - at)
        return NULL;
    if (size == -1) {
        *bytes = (kf_bytes){NULL, 0};
        return at;
    }
    *bytes = (kf_bytes){at, (size_t)size};
    return at + size;
}

static const uint8_t *read_one_header(const uint8_t *at, const uint8_t *stop, kf_header *header)
{
    kf_bytes name;
    at = read_bytes(at, stop, &name);
    if (!at || !name.data)
        return NULL;
    header->name = (kf_string){(const char *)name.data, name.size};
    return read_bytes(at, stop, &header->value);
}

/* The count and the headers themselves, which must fill the record's rest exactly. */
static kf_err read_headers(const uint8_t *at, const uint8_t *stop, struct kf__record *record)
{
    int32_t count;
    at = kf__varint_read(at, stop, &count);
    if (!at || count < 0)
        return KF_ERR_BAD_BATCH;
    record->headers = (kf_bytes){at, (size_t)(stop - at)};
    record->header_count = count;

    kf_header header;
    for (; count > 0; count--) {
        at = read_one_header(at, stop, &header);
        if (!at)
            return KF_ERR_BAD_BATCH;
    }
    return at == stop ? KF_OK : KF_ERR_BAD_BATCH;
}

/* The record's fields between its length and its end. */
static kf_err read_record(const struct kf__records *records, const uint8_t *at, const uint8_t *stop,
                          struct kf__record *record)
{
    int64_t timestamp_delta;
    int32_t offset_delta;
    at++; /* attributes: none is defined */
    at = kf__varlong_read(at, stop, &timestamp_delta);
    if (at)
        at = kf__varint_read(at, stop, &offset_delta);
    if (at)
        at = read_bytes(at, stop, &record->key);
    if (at)
        at = read_bytes(at, stop, &record->value);
    if (!at)
        return KF_ERR_BAD_BATCH;

    /* What a batch claims may be absurd; it wraps instead of being undefined. */
    record->offset = (int64_t)((uint64_t)records->base_offset + (uint64_t)(int64_t)offset_delta);
    record->timestamp = (int64_t)((uint64_t)records->base_timestamp +
                                  (uint64_t)(timestamp_delta & records->timestamp_mask));
    return read_headers(at, stop, record);
}

kf_err kf__records_next_slow(struct kf__records *records, struct kf__record *record, bool *more)
{
    if (records->magic != 2)
        return kf__legacy_next(records, record, more);

    *more = false;
    if (records->remaining <= 0)
        return records->at == records->end ? KF_OK : KF_ERR_BAD_BATCH;

    int32_t length;
    const uint8_t *at = kf__varint_read(records->at, records->end, &length);
    if (!at || length < MIN_RECORD_BYTES - 1 || length > records->end - at)
        return KF_ERR_BAD_BATCH;
    kf_err err = read_record(records, at, at + length, record);
    if (err)
        return err;
    records->at = at + length;
    records->remaining--;
    *more = true;
    return KF_OK;
}

kf_err kf__control_type(const struct kf__record *record, int16_t *type)
{
    enum {
        VERSION_AND_TYPE = 4
    };
    if (record->key.size < VERSION_AND_TYPE || kf__get_i16(record->key.data) < 0)
        return KF_ERR_BAD_BATCH;
    *type = kf__get_i16(record->key.data + 2);
    return KF_OK;
}

kf_err kf__headers_next(kf_bytes headers, int32_t count, size_t *at, kf_header *header, bool *more)
{
    *more = false;
    if (count <= 0 || *at >= headers.size)
        return KF_OK;

    const uint8_t *end = headers.data + headers.size;
    const uint8_t *next = read_one_header(headers.data + *at, end, header);
    if (!next)
        return KF_ERR_BAD_BATCH;
    *at = (size_t)(next - headers.data);
    *more = true;
    return KF_OK;
}
