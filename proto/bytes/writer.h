/*
 * writer: big-endian values into a kf_writer, with its sticky error. The
 * public half is in codec.h.
 */
#ifndef KF_PROTO_WRITER_H
#define KF_PROTO_WRITER_H

#include "proto/bytes/varint.h"

#include <kafiber/codec.h>
#include <string.h>

/* Room for `size` more owned bytes, which count as written; NULL when that fails. */
uint8_t *kf__writer_extend(kf_writer *writer, size_t size);
/* Where the next owned byte goes, with room for `size`; NULL when that fails. kf__commit follows.
 */
uint8_t *kf__writer_reserve(kf_writer *writer, size_t size);
/* Borrowed bytes: kept as a segment where `splice` is set and they are many, else copied. */
void kf__writer_splice(kf_writer *writer, kf_bytes bytes);
/*
 * Bytes of another owner into the middle of a segment: they stand behind its
 * first `at` bytes, and it counts them already. KF_ERR_NO_MEMORY: it is as it
 * was.
 */
kf_err kf__writer_part(kf_writer *writer, size_t segment, size_t at, kf_bytes middle);
void kf__writer_fail(kf_writer *writer, kf_err err);

static inline uint8_t *kf__room(kf_writer *writer, size_t size)
{
    if (writer->err || writer->capacity - writer->used < size)
        return kf__writer_extend(writer, size);
    uint8_t *room = writer->bytes + writer->used;
    writer->used += size;
    writer->total += size;
    return room;
}

static inline uint8_t *kf__reserve(kf_writer *writer, size_t size)
{
    if (writer->err || writer->capacity - writer->used < size)
        return kf__writer_reserve(writer, size);
    return writer->bytes + writer->used;
}

/* What was written into the reserved room, up to `end`, counts. */
static inline void kf__commit(kf_writer *writer, const uint8_t *end)
{
    size_t used = (size_t)(end - writer->bytes);
    writer->total += used - writer->used;
    writer->used = used;
}

static inline void kf__put_u8(kf_writer *writer, uint8_t value)
{
    uint8_t *b = kf__room(writer, 1);
    if (b)
        b[0] = value;
}

static inline void kf__put_u16(kf_writer *writer, uint16_t value)
{
    uint8_t *b = kf__room(writer, sizeof value);
    if (b)
        kf__set_u16(b, value);
}

static inline void kf__put_u32(kf_writer *writer, uint32_t value)
{
    uint8_t *b = kf__room(writer, sizeof value);
    if (b)
        kf__set_u32(b, value);
}

static inline void kf__put_u64(kf_writer *writer, uint64_t value)
{
    uint8_t *b = kf__room(writer, sizeof value);
    if (b)
        kf__set_u64(b, value);
}

static inline void kf__put_varuint32(kf_writer *writer, uint32_t value)
{
    for (; value >= 0x80; value >>= 7)
        kf__put_u8(writer, (uint8_t)(value | 0x80));
    kf__put_u8(writer, (uint8_t)value);
}

#endif
