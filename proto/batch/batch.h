/*
 * batch: record batches (magic 2; magic 0 and 1 read-only), by hand and
 * straight-line.
 *
 *     records field ──kf__batch_peek──▶ header ──kf__batch_open──▶ payload
 *                                             ──kf__records_next──▶ record
 *
 * A batch is looked at three times: its header when the Fetch response
 * arrives (I/O thread, no payload touched), its checksum and payload when a
 * fiber starts it, each record as it is handled. No function here allocates
 * but kf__batch_open where a batch is compressed.
 */
#ifndef KF_PROTO_BATCH_H
#define KF_PROTO_BATCH_H

#include "proto/bytes/prefetch.h"
#include "proto/bytes/varint.h"
#include "proto/compress/compress.h"
#include <kafiber/error.h>
#include <kafiber/message.h>
#include <kafiber/types.h>

enum {
    KF__BATCH_OVERHEAD = 12,     /* base offset and length: what precedes the counted bytes */
    KF__BATCH_HEADER_BYTES = 61, /* of a magic 2 batch, with the overhead */
};

/* A batch's header. Borrows the bytes. */
struct kf__batch {
    const uint8_t *bytes; /* the whole batch, from its base offset on */
    size_t size;          /* in bytes, overhead included */
    int64_t base_offset;  /* magic 0 and 1: the same as last_offset, until opened */
    int64_t last_offset;  /* magic 2: of the batch, even where compaction took the record */
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t producer_id;  /* -1: none */
    int32_t leader_epoch; /* -1: unknown */
    int32_t base_sequence;
    int32_t record_count; /* magic 0 and 1: -1, not known before opening */
    int16_t producer_epoch;
    int8_t magic;
    enum kf_codec codec;
    kf_timestamp_type timestamp_type;
    bool transactional;
    bool control;
    bool delete_horizon;
};

/*
 * Reads the header of the first batch. KF_ERR_TRUNCATED: the bytes end before
 * the batch does (a Fetch response's last batch may); KF_ERR_BAD_MAGIC,
 * KF_ERR_BAD_BATCH: it can't be trusted, nor can what follows.
 */
kf_err kf__batch_peek(const uint8_t *bytes, size_t size, struct kf__batch *batch);

/* KF_ERR_BAD_CRC where the checksum differs (magic 2: CRC-32C; 0 and 1: CRC-32). */
kf_err kf__batch_check(const struct kf__batch *batch);

/* One record; offset and timestamp absolute. Views borrow from the payload. */
struct kf__record {
    int64_t offset;
    int64_t timestamp;
    kf_bytes key;
    kf_bytes value;
    kf_bytes headers; /* the encoded headers, without their count */
    int32_t header_count;
};

/* Where a walk over a batch's records stands; plain data, may be kept and resumed. */
struct kf__records {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *fast_end; /* magic 2: below it there is room to read ahead; else NULL */
    int64_t base_offset;
    int64_t base_timestamp; /* LOG_APPEND: what all records have */
    int64_t timestamp_mask; /* 0 where the records' own timestamps don't count, else -1 */
    int32_t remaining;      /* records; magic 0 and 1: -1, until the bytes end */
    int8_t magic;
};

/*
 * Decompresses where needed and starts the walk. `into` receives the
 * decompressed bytes (kept by the caller as long as the records are used) and
 * is left alone where the batch is not compressed. `limit` caps the
 * decompressed size in bytes: KF_ERR_BATCH_TOO_LARGE.
 */
kf_err kf__batch_open(const struct kf__batch *batch, struct kf__codecs *codecs,
                      struct kf__buffer *into, size_t limit, struct kf__records *records);

/* What the fast path below doesn't take: long numbers, headers, old formats, the end, errors. */
kf_err kf__records_next_slow(struct kf__records *records, struct kf__record *record, bool *more);

/* A varint of one or two bytes as it stands, not yet unzigzagged; false where it is longer. */
static inline bool kf__short_varint(const uint8_t **at, uint32_t *raw)
{
    const uint8_t *p = *at;
    *raw = p[0];
    *at = p + 1;
    if (p[0] < 0x80)
        return true;
    *raw = p[0] + ((uint32_t)p[1] << 7) - 0x80;
    *at = p + 2;
    return p[1] < 0x80;
}

/* Most a length and the fields up to the key's may take when each is short. */
enum {
    KF__RECORD_READ_AHEAD = 9
};

/*
 * The next record; KF_OK and *more false after the last. KF_ERR_BAD_BATCH: a
 * length points beyond the batch, or bytes or records are missing. After an
 * error the walk does not move. Inlined fast path for magic 2, numbers of one
 * or two bytes, a value and no headers.
 */
static inline kf_err kf__records_next(struct kf__records *records, struct kf__record *record,
                                      bool *more)
{
    const uint8_t *at = records->at;
    uint32_t length, timestamp, offset, key, value;

    if (KF__UNLIKELY(at >= records->fast_end || records->remaining <= 0 ||
                     !kf__short_varint(&at, &length)))
        return kf__records_next_slow(records, record, more);
    const uint8_t *body = at++; /* attributes: none is defined */
    if (KF__UNLIKELY(records->end - body < (ptrdiff_t)(length >> 1) ||
                     !kf__short_varint(&at, &timestamp) || !kf__short_varint(&at, &offset) ||
                     ((length | offset) & 1)))
        return kf__records_next_slow(records, record, more);

    /* An odd length is negative; 1 is -1, null. */
    const uint8_t *stop = body + (length >> 1);
    if (*at == 1) {
        at++;
        record->key = (kf_bytes){NULL, 0};
    } else {
        if (KF__UNLIKELY(!kf__short_varint(&at, &key) || (key & 1)))
            return kf__records_next_slow(records, record, more);
        record->key = (kf_bytes){at, key >> 1};
        at += key >> 1;
    }
    if (KF__UNLIKELY(stop - at < 2 || !kf__short_varint(&at, &value) || (value & 1)))
        return kf__records_next_slow(records, record, more);
    record->value = (kf_bytes){at, value >> 1};
    at += value >> 1;
    if (KF__UNLIKELY(stop - at != 1 || *at != 0)) /* headers, or an error */
        return kf__records_next_slow(records, record, more);

    record->headers = (kf_bytes){NULL, 0};
    record->header_count = 0;
    record->offset = (int64_t)((uint64_t)records->base_offset + (offset >> 1));
    record->timestamp = (int64_t)((uint64_t)records->base_timestamp +
                                  (uint64_t)(kf__unzigzag(timestamp) & records->timestamp_mask));
    records->at = stop;
    records->remaining--;
    *more = true;
    return KF_OK;
}

/* A control batch's one record: its type (0 abort, 1 commit, …). */
kf_err kf__control_type(const struct kf__record *record, int16_t *type);

/*
 * Walks encoded headers: *at is 0 at first. KF_OK and *more false after the
 * last. A record's headers were checked when the record was read.
 */
kf_err kf__headers_next(kf_bytes headers, int32_t count, size_t *at, kf_header *header, bool *more);

/* ---- writing (magic 2) ---- */

/* What a batch under construction needs to know beyond its records. */
struct kf__batch_options {
    enum kf_codec codec;
    int level; /* compression level; 0: the codec's default */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t leader_epoch;
    bool transactional;
    bool control;
    kf_timestamp_type timestamp_type;
    bool unstamped; /* kf__batch_stamp follows: no checksum yet */
    size_t apart;   /* bytes of a value that stands apart; uncompressed and unstamped only */
};

/* Collects records in wire form; offsets count from base_offset. */
struct kf__batch_builder {
    const kf_allocator *alloc;
    uint8_t *bytes; /* room for the header, then records */
    size_t used;
    size_t capacity;
    int64_t base_offset;
    int64_t base_timestamp; /* of the first record */
    int64_t max_timestamp;
    int64_t last_offset_delta;
    int32_t record_count;
};

void kf__batch_builder_init(struct kf__batch_builder *builder, const kf_allocator *alloc,
                            int64_t base_offset);
void kf__batch_builder_free(struct kf__batch_builder *builder);
/*
 * `headers` in order; the next offset is the last one's plus one.
 * KF_ERR_MESSAGE_TOO_LARGE: the batch would pass 2 GiB; it stays as it was.
 */
kf_err kf__batch_builder_add(struct kf__batch_builder *builder, int64_t timestamp, kf_bytes key,
                             kf_bytes value, const kf_header *headers, size_t header_count);
/* The same at a given offset, greater than the last (compacted logs, tests). */
kf_err kf__batch_builder_add_at(struct kf__batch_builder *builder, int64_t offset,
                                int64_t timestamp, kf_bytes key, kf_bytes value,
                                const kf_header *headers, size_t header_count);
/*
 * The same, but the value's bytes stay where they are: they belong behind the
 * first *apart_at bytes of the builder. Of a batch with this record alone.
 */
kf_err kf__batch_builder_add_apart(struct kf__batch_builder *builder, int64_t timestamp,
                                   kf_bytes key, kf_bytes value, const kf_header *headers,
                                   size_t header_count, size_t *apart_at);
/* A varint that is unzigzagged no more. */
static inline uint8_t *kf__put_raw_varint(uint8_t *at, uint64_t raw)
{
    at[0] = (uint8_t)raw;
    if (raw < 0x80)
        return at + 1;
    for (; raw >= 0x80; raw >>= 7)
        *at++ = (uint8_t)(raw | 0x80);
    *at = (uint8_t)raw;
    return at + 1;
}

/*
 * The way of most records, inlined: one without headers at the next offset,
 * into a builder that holds one already and has room for 40 bytes beside key
 * and value. A record's length stands before it, two bytes for bodies of 64
 * to 8191; `size`, of key and value together, lies so far inside these that
 * the body is written first and measured afterwards.
 */
enum {
    KF__PUT_LEAST = 64,
    KF__PUT_MOST = 8191 - 40,
};
static inline void kf__batch_builder_put(struct kf__batch_builder *builder, int64_t timestamp,
                                         const kf_bytes *key, const kf_bytes *value)
{
    enum {
        AHEAD = 1024, /* some ten small records: another core sent what the block held last */
        LINE = 64,
    };
    uint8_t *length = builder->bytes + builder->used;
    uint8_t *at = length + 2;
    kf__prefetch_for_write(length, AHEAD);
    kf__prefetch_for_write(length, AHEAD + LINE);
    *at++ = 0; /* attributes: none is defined */
    at = kf__put_raw_varint(
        at, kf__zigzag((int64_t)((uint64_t)timestamp - (uint64_t)builder->base_timestamp)));
    at = kf__put_raw_varint(at, (uint64_t)++builder->last_offset_delta * 2);
    at = kf__put_raw_varint(at, key->data ? (uint64_t)key->size * 2 : 1); /* 1: -1, null */
    if (key->data) {
        memcpy(at, key->data, key->size);
        at += key->size;
    }
    at = kf__put_raw_varint(at, value->data ? (uint64_t)value->size * 2 : 1);
    if (value->data) {
        memcpy(at, value->data, value->size);
        at += value->size;
    }
    *at++ = 0; /* no headers */
    size_t raw = (size_t)(at - length - 2) * 2;
    length[0] = (uint8_t)(raw | 0x80);
    length[1] = (uint8_t)(raw >> 7);
    builder->used = (size_t)(at - builder->bytes);
    builder->record_count++;
    if (timestamp > builder->max_timestamp)
        builder->max_timestamp = timestamp;
}

/*
 * The finished batch, checksum and all, appended to `out`; where `out` is
 * empty and nothing is compressed, the two exchange their memory instead.
 * The builder is reset for another one at the same base offset, and keeps its
 * records only where this fails. KF_ERR_STATE: it holds no record.
 */
kf_err kf__batch_builder_finish(struct kf__batch_builder *builder,
                                const struct kf__batch_options *options, struct kf__codecs *codecs,
                                struct kf__buffer *out);
/* Whose batch it is and where it stands in their order (KIP-98), into a finished one; and its
 * checksum. */
void kf__batch_stamp(uint8_t *batch, size_t size, int64_t producer_id, int16_t producer_epoch,
                     int32_t base_sequence);
/* The same where a value stands apart, behind the first `at` of the batch's other `size` bytes. */
void kf__batch_stamp_apart(uint8_t *batch, size_t size, kf_bytes apart, size_t at,
                           int64_t producer_id, int16_t producer_epoch, int32_t base_sequence);
/* The same where the sum of the records, all that stands behind the header, is known. */
void kf__batch_stamp_summed(uint8_t *batch, size_t size, uint32_t records_sum, int64_t producer_id,
                            int16_t producer_epoch, int32_t base_sequence);
/* Writes a new base offset or leader epoch into a finished batch: outside the checksum. */
void kf__batch_set_base_offset(uint8_t *batch, int64_t base_offset);
void kf__batch_set_leader_epoch(uint8_t *batch, int32_t leader_epoch);

#endif
