/*
 * varint: the few inline readers and writers that record batches are made of:
 * big-endian numbers, and zigzag varints with a fast path for one and two
 * bytes. Messages have their own cursor (cursor.h); this is the hot path of
 * records, without sticky errors.
 *
 * A reader returns where it stopped, or NULL where the bytes end first or
 * the number is too long for its type.
 */
#ifndef KF_PROTO_VARINT_H
#define KF_PROTO_VARINT_H

#include <kafiber/types.h>
#include <stdbool.h>
#include <string.h>

#if defined(__GNUC__)
#define KF__LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define KF__UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#else
#define KF__LIKELY(condition)   (condition)
#define KF__UNLIKELY(condition) (condition)
#endif

enum {
    KF__VARINT_MAX_BYTES = 5,
    KF__VARLONG_MAX_BYTES = 10,
};

static inline bool kf__is_little_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first;
}

static inline uint16_t kf__get_u16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static inline uint32_t kf__get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

static inline uint64_t kf__get_u64(const uint8_t *at)
{
    return (uint64_t)kf__get_u32(at) << 32 | kf__get_u32(at + 4);
}

static inline int16_t kf__get_i16(const uint8_t *at) { return (int16_t)kf__get_u16(at); }
static inline int32_t kf__get_i32(const uint8_t *at) { return (int32_t)kf__get_u32(at); }
static inline int64_t kf__get_i64(const uint8_t *at) { return (int64_t)kf__get_u64(at); }

#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ /* shifts are not always seen   \
                                                                    */
static inline void kf__set_u16(uint8_t *at, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(at, &value, sizeof value);
}

static inline void kf__set_u32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof value);
}

static inline void kf__set_u64(uint8_t *at, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof value);
}
#else
static inline void kf__set_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void kf__set_u32(uint8_t *at, uint32_t value)
{
    kf__set_u16(at, (uint16_t)(value >> 16));
    kf__set_u16(at + 2, (uint16_t)value);
}

static inline void kf__set_u64(uint8_t *at, uint64_t value)
{
    kf__set_u32(at, (uint32_t)(value >> 32));
    kf__set_u32(at + 4, (uint32_t)value);
}

#endif

/* Numbers small in either direction become small unsigned ones. */
static inline uint64_t kf__zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t kf__unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

static inline int32_t kf__unzigzag32(uint32_t value)
{
    return (int32_t)(value >> 1 ^ (0 - (value & 1)));
}

/* Any length: out of line, because long numbers are rare. */
const uint8_t *kf__varint_read_slow(const uint8_t *at, const uint8_t *end, int32_t *value);
const uint8_t *kf__varlong_read_slow(const uint8_t *at, const uint8_t *end, int64_t *value);

static inline const uint8_t *kf__varint_read(const uint8_t *at, const uint8_t *end, int32_t *value)
{
    if (KF__LIKELY(end - at >= 2)) {
        if (KF__LIKELY(at[0] < 0x80)) {
            *value = kf__unzigzag32(at[0]);
            return at + 1;
        }
        if (KF__LIKELY(at[1] < 0x80)) {
            *value = kf__unzigzag32((uint32_t)at[1] << 7 | (at[0] & 0x7fu));
            return at + 2;
        }
    }
    return kf__varint_read_slow(at, end, value);
}

static inline const uint8_t *kf__varlong_read(const uint8_t *at, const uint8_t *end, int64_t *value)
{
    if (KF__LIKELY(end - at >= 2)) {
        if (KF__LIKELY(at[0] < 0x80)) {
            *value = kf__unzigzag32(at[0]);
            return at + 1;
        }
        if (KF__LIKELY(at[1] < 0x80)) {
            *value = kf__unzigzag32((uint32_t)at[1] << 7 | (at[0] & 0x7fu));
            return at + 2;
        }
    }
    return kf__varlong_read_slow(at, end, value);
}

/* Bytes that kf__varint_write of this number takes. */
static inline size_t kf__varint_size(int64_t value)
{
    size_t size = 1;
    for (uint64_t rest = kf__zigzag(value); rest >= 0x80; rest >>= 7)
        size++;
    return size;
}

/* Writes up to ten bytes; returns the byte after. */
static inline uint8_t *kf__varint_write(uint8_t *at, int64_t value)
{
    uint64_t rest = kf__zigzag(value);
    for (; rest >= 0x80; rest >>= 7)
        *at++ = (uint8_t)(rest | 0x80);
    *at++ = (uint8_t)rest;
    return at;
}

#endif
