#include "tools/broker/log/rebatch.h"

#include "proto/bytes/crc32c.h"

#include <string.h>

enum {
    MAX_PLAIN_BYTES = 100 << 20, /* as large as a request may be */
    /* Where the header's fields are (KIP-98). */
    AT_LENGTH = 8,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_MAX_TIMESTAMP = 35,
    AT_COUNT = 57,
    CODEC_BITS = 0x07,
    APPEND_TIME_BIT = 0x08,
};

static void write_int32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void write_int64(uint8_t *at, int64_t value)
{
    write_int32(at, (uint32_t)((uint64_t)value >> 32));
    write_int32(at + 4, (uint32_t)value);
}

struct kept {
    int32_t count;
    int64_t max_timestamp;
};

/* The records that stay move together at the front of `plain`. */
static kf_err sift(const struct kf__batch *batch, const struct kf__rebatch *how,
                   struct kf__codecs *codecs, struct kf__buffer *plain, struct kept *kept)
{
    struct kf__records records;
    struct kf__record record;
    bool more = true;
    size_t used = 0;
    plain->used = 0;
    *kept = (struct kept){.max_timestamp = -1};
    kf_err err = kf__batch_open(batch, codecs, plain, MAX_PLAIN_BYTES, &records);
    if (!err && plain->used == 0) { /* it lies in the batch itself */
        size_t size = batch->size - KF__BATCH_HEADER_BYTES;
        err = kf__buffer_put(plain, records.at, size);
        records.fast_end = NULL;
        records.at = plain->bytes;
        records.end = plain->bytes + size;
    }
    while (!err) {
        const uint8_t *start = records.at;
        err = kf__records_next(&records, &record, &more);
        if (err || !more)
            break;
        if (how->keeps && !how->keeps(how->context, &record))
            continue;
        size_t size = (size_t)(records.at - start);
        memmove(plain->bytes + used, start, size);
        used += size;
        kept->count++;
        if (record.timestamp > kept->max_timestamp)
            kept->max_timestamp = record.timestamp;
    }
    plain->used = used;
    return err;
}

kf_err kf__rebatch(const struct kf__batch *batch, const struct kf__rebatch *how,
                   struct kf__codecs *codecs, struct kf__buffer *plain, struct kf__buffer *out)
{
    struct kept kept;
    size_t start = out->used;
    kf_err err = sift(batch, how, codecs, plain, &kept);
    if (!err)
        err = kf__buffer_put(out, batch->bytes, KF__BATCH_HEADER_BYTES);
    if (!err)
        err = kf__compress(codecs, how->codec, how->level,
                           (kf_bytes){.data = plain->bytes, .size = plain->used}, out);
    if (err)
        return err;
    uint8_t *bytes = out->bytes + start;
    size_t size = out->used - start;
    write_int32(bytes + AT_LENGTH, (uint32_t)(size - KF__BATCH_OVERHEAD));
    bytes[AT_ATTRIBUTES + 1] =
        (uint8_t)((bytes[AT_ATTRIBUTES + 1] & ~CODEC_BITS) | (uint8_t)how->codec);
    if (how->append_time >= 0) {
        bytes[AT_ATTRIBUTES + 1] |= APPEND_TIME_BIT;
        write_int64(bytes + AT_MAX_TIMESTAMP, how->append_time);
    } else if (kept.count > 0) {
        bytes[AT_ATTRIBUTES + 1] &= (uint8_t)~APPEND_TIME_BIT;
        write_int64(bytes + AT_MAX_TIMESTAMP, kept.max_timestamp);
    }
    write_int32(bytes + AT_COUNT, (uint32_t)kept.count);
    write_int32(bytes + AT_CRC, kf__crc32c(0, bytes + AT_ATTRIBUTES, size - AT_ATTRIBUTES));
    return KF_OK;
}

kf_err kf__retime(const struct kf__batch *batch, int64_t max_timestamp, struct kf__buffer *out)
{
    size_t start = out->used;
    kf_err err = kf__buffer_put(out, batch->bytes, batch->size);
    if (err)
        return err;
    uint8_t *at = out->bytes + start;
    at[AT_ATTRIBUTES + 1] &= (uint8_t)~APPEND_TIME_BIT;
    write_int64(at + AT_MAX_TIMESTAMP, max_timestamp);
    write_int32(at + AT_CRC, kf__crc32c(0, at + AT_ATTRIBUTES, batch->size - AT_ATTRIBUTES));
    return KF_OK;
}
