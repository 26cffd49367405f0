/*
 * cursor: reads big-endian values from borrowed bytes, never past their end.
 *
 * The first error sticks: later reads return zeros and change nothing, so a
 * caller reads straight through and looks at `err` once. Every byte that
 * comes from a peer passes here.
 */
#ifndef KF_PROTO_CURSOR_H
#define KF_PROTO_CURSOR_H

#include <kafiber/error.h>
#include <stdint.h>
#include <string.h>

struct kf__cursor {
    const uint8_t *at;
    const uint8_t *end;
    kf_err err;
};

static inline struct kf__cursor kf__cursor_over(const void *bytes, size_t size)
{
    /* Never NULL: a value of no bytes must not look like null. */
    const uint8_t *at = bytes ? bytes : (const uint8_t *)"";
    return (struct kf__cursor){at, at + (bytes ? size : 0), KF_OK};
}

static inline size_t kf__left(const struct kf__cursor *in) { return (size_t)(in->end - in->at); }

static inline void kf__fail(struct kf__cursor *in, kf_err err)
{
    if (!in->err)
        in->err = err;
    in->at = in->end;
}

/* Takes `size` bytes; NULL and KF_ERR_TRUNCATED when fewer are left. */
static inline const uint8_t *kf__take(struct kf__cursor *in, size_t size)
{
    if (size > kf__left(in) || in->err) {
        kf__fail(in, KF_ERR_TRUNCATED);
        return NULL;
    }
    const uint8_t *at = in->at;
    in->at += size;
    return at;
}

static inline uint8_t kf__take_u8(struct kf__cursor *in)
{
    const uint8_t *b = kf__take(in, 1);
    return b ? b[0] : 0;
}

static inline uint16_t kf__take_u16(struct kf__cursor *in)
{
    const uint8_t *b = kf__take(in, 2);
    unsigned value = b ? (unsigned)b[0] << 8 | b[1] : 0;
    return (uint16_t)value;
}

static inline uint32_t kf__be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint32_t kf__take_u32(struct kf__cursor *in)
{
    const uint8_t *b = kf__take(in, 4);
    return b ? kf__be32(b) : 0;
}

static inline uint64_t kf__take_u64(struct kf__cursor *in)
{
    uint64_t high = kf__take_u32(in);
    return high << 32 | kf__take_u32(in);
}

static inline int8_t kf__take_i8(struct kf__cursor *in) { return (int8_t)kf__take_u8(in); }
static inline int16_t kf__take_i16(struct kf__cursor *in) { return (int16_t)kf__take_u16(in); }
static inline int32_t kf__take_i32(struct kf__cursor *in) { return (int32_t)kf__take_u32(in); }
static inline int64_t kf__take_i64(struct kf__cursor *in) { return (int64_t)kf__take_u64(in); }

static inline double kf__take_f64(struct kf__cursor *in)
{
    uint64_t bits = kf__take_u64(in);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Ends at `bits` bits: a longer varint, or one with bits beyond them, is KF_ERR_VARINT. */
static inline uint64_t kf__take_varuint(struct kf__cursor *in, unsigned bits)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        uint8_t byte = kf__take_u8(in);
        uint64_t part = byte & 0x7F;
        if (bits - shift < 7 && part >> (bits - shift))
            break;
        value |= part << shift;
        if (!(byte & 0x80))
            return in->err ? 0 : value;
    }
    kf__fail(in, KF_ERR_VARINT);
    return 0;
}

static inline uint32_t kf__take_varuint32(struct kf__cursor *in)
{
    const uint8_t *b = in->at;
    if (b < in->end && b[0] < 0x80) {
        in->at = b + 1;
        return b[0];
    }
    if (in->end - b >= 3 && b[1] < 0x80) {
        in->at = b + 2;
        return (b[0] & 0x7Fu) | (uint32_t)b[1] << 7;
    }
    if (in->end - b >= 3 && b[2] < 0x80) {
        in->at = b + 3;
        return (b[0] & 0x7Fu) | (b[1] & 0x7Fu) << 7 | (uint32_t)b[2] << 14;
    }
    return (uint32_t)kf__take_varuint(in, 32);
}

/* Zigzag, as record batches have it. */
static inline int32_t kf__take_varint32(struct kf__cursor *in)
{
    uint32_t value = kf__take_varuint32(in);
    return (int32_t)(value >> 1 ^ (0 - (value & 1)));
}

static inline int64_t kf__take_varint64(struct kf__cursor *in)
{
    uint64_t value = kf__take_varuint(in, 64);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

#endif
