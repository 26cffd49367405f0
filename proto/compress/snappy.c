/*
 * snappy: LZ77 without entropy coding (google/snappy, format_description.txt).
 *
 *     raw:     │length varint│ element… │
 *     element: │tag│ literal: its length less one, then bytes
 *                  │ copy: how far back, how many
 *     xerial:  │\x82SNAPPY\0│version 1│compatible 1│ { size i32, raw }… │
 *
 * The compressor is the usual greedy one: a hash of four bytes says where
 * they stood last; the longer nothing is found, the larger its steps.
 */
#include "proto/compress/snappy.h"

#include "proto/bytes/varint.h"

enum {
    XERIAL_HEADER_BYTES = 16,
    XERIAL_BLOCK_BYTES = 32 * 1024, /* as Java writes; positions fit 16 bits */
    HASH_BITS = 13,
    MAX_EXPANSION = 22, /* a copy of 64 bytes takes three: more can't come out */
    LITERAL = 0,
    COPY_1 = 1,
    COPY_2 = 2,
    COPY_4 = 3,
    MAX_COPY = 64,
};

static const uint8_t xerial_header[XERIAL_HEADER_BYTES] = {
    0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
};

/* ---- reading ---- */

static uint32_t get_little_endian(const uint8_t *at, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)at[i] << 8 * i;
    return value;
}

/* The plain varint of the length that comes out. */
static const uint8_t *read_length(const uint8_t *at, const uint8_t *end, size_t *length)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35 && at < end; shift += 7) {
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *length = (size_t)value;
            return value <= UINT32_MAX ? at : NULL;
        }
    }
    return NULL;
}

/* Copies sixteen bytes at a time where both sides have the room. */
static void copy_literal(uint8_t *to, size_t room, const uint8_t *from, size_t left, size_t size)
{
    if (size > MAX_COPY || room < MAX_COPY || left < MAX_COPY) {
        memcpy(to, from, size);
        return;
    }
    for (size_t done = 0; done < size; done += 16)
        memcpy(to + done, from + done, 16);
}

/* From `back` bytes before `to`; source and target may overlap, which repeats a pattern. */
static void copy_back(uint8_t *to, size_t room, size_t back, size_t size)
{
    const uint8_t *from = to - back;
    if (back >= 16 && room >= MAX_COPY) { /* a copy is never longer than MAX_COPY */
        for (size_t done = 0; done < size; done += 16)
            memcpy(to + done, from + done, 16);
    } else if (back >= 8 && room >= MAX_COPY) {
        for (size_t done = 0; done < size; done += 8)
            memcpy(to + done, from + done, 8);
    } else {
        for (size_t i = 0; i < size; i++)
            to[i] = from[i];
    }
}

/* A literal, after its tag. Where the next element begins, or NULL. */
static const uint8_t *take_literal(uint8_t tag, const uint8_t *at, const uint8_t *end, uint8_t **to,
                                   const uint8_t *to_end)
{
    size_t size = (size_t)(tag >> 2) + 1;
    if (size > 60) {
        unsigned bytes = (unsigned)size - 60;
        if ((size_t)(end - at) < bytes)
            return NULL;
        size = (size_t)get_little_endian(at, bytes) + 1;
        at += bytes;
    }
    if (size > (size_t)(end - at) || size > (size_t)(to_end - *to))
        return NULL;
    copy_literal(*to, (size_t)(to_end - *to), at, (size_t)(end - at), size);
    *to += size;
    return at + size;
}

static const uint8_t *take_copy(uint8_t tag, const uint8_t *at, const uint8_t *end,
                                const uint8_t *begin, uint8_t **to, const uint8_t *to_end)
{
    unsigned bytes = (tag & 3) == COPY_4 ? 4 : (unsigned)(tag & 3);
    size_t size = (size_t)(tag >> 2) + 1;
    size_t back;
    if ((size_t)(end - at) < bytes)
        return NULL;
    if ((tag & 3) == COPY_1) {
        back = (size_t)(tag >> 5) << 8 | at[0];
        size = (size_t)(tag >> 2 & 7) + 4;
    } else {
        back = (size_t)at[0] | (size_t)at[1] << 8;
        if ((tag & 3) == COPY_4)
            back |= (size_t)at[2] << 16 | (size_t)at[3] << 24;
    }
    if (back == 0 || back > (size_t)(*to - begin) || size > (size_t)(to_end - *to))
        return NULL;
    copy_back(*to, (size_t)(to_end - *to), back, size);
    *to += size;
    return at + bytes;
}

static kf_err decompress_raw(kf_bytes in, size_t limit, struct kf__buffer *out)
{
    const uint8_t *end = in.data + in.size;
    size_t length;
    const uint8_t *at = read_length(in.data, end, &length);
    if (!at)
        return KF_ERR_BAD_COMPRESSION;
    if (length / MAX_EXPANSION > (size_t)(end - at))
        return KF_ERR_BAD_COMPRESSION; /* before memory is claimed */
    if (length > limit)
        return KF_ERR_BATCH_TOO_LARGE;
    kf_err err = kf__buffer_reserve(out, length);
    if (err)
        return err;
    if (length == 0)
        return at == end ? KF_OK : KF_ERR_BAD_COMPRESSION;

    const uint8_t *begin = out->bytes + out->used;
    const uint8_t *to_end = begin + length;
    uint8_t *to = out->bytes + out->used;
    while (at < end) {
        uint8_t tag = *at++;
        at = (tag & 3) == LITERAL ? take_literal(tag, at, end, &to, to_end)
                                  : take_copy(tag, at, end, begin, &to, to_end);
        if (!at)
            return KF_ERR_BAD_COMPRESSION;
    }
    if (to != to_end)
        return KF_ERR_BAD_COMPRESSION;
    out->used += length;
    return KF_OK;
}

static bool starts_with_header(const uint8_t *at, const uint8_t *end)
{
    return end - at >= XERIAL_HEADER_BYTES && memcmp(at, xerial_header, 8) == 0;
}

static kf_err decompress_xerial(kf_bytes in, size_t limit, struct kf__buffer *out)
{
    size_t start = out->used;
    const uint8_t *at = in.data;
    const uint8_t *end = in.data + in.size;
    while (at < end) {
        if (starts_with_header(at, end)) { /* again where streams were concatenated */
            at += XERIAL_HEADER_BYTES;
            continue;
        }
        if (end - at < 4)
            return KF_ERR_BAD_COMPRESSION;
        uint32_t size = kf__get_u32(at);
        at += 4;
        if (size > (size_t)(end - at))
            return KF_ERR_BAD_COMPRESSION;
        kf_err err = decompress_raw((kf_bytes){at, size}, limit - (out->used - start), out);
        if (err)
            return err;
        at += size;
    }
    return KF_OK;
}

kf_err kf__snappy_decompress(kf_bytes in, size_t limit, struct kf__buffer *out)
{
    if (in.size && starts_with_header(in.data, in.data + in.size))
        return decompress_xerial(in, limit, out);
    return decompress_raw(in, limit, out);
}

/* ---- writing ---- */

static uint32_t load_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static unsigned hash(uint32_t four_bytes) { return (four_bytes * 0x1e35a7bdu) >> (32 - HASH_BITS); }

static uint8_t *put_literal(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size == 0)
        return to;
    size_t coded = size - 1;
    if (coded < 60) {
        *to++ = (uint8_t)(coded << 2);
    } else if (coded < 256) {
        *to++ = 60 << 2;
        *to++ = (uint8_t)coded;
    } else {
        *to++ = 61 << 2;
        *to++ = (uint8_t)coded;
        *to++ = (uint8_t)(coded >> 8);
    }
    memcpy(to, from, size);
    return to + size;
}

static uint8_t *put_copy_2(uint8_t *to, size_t back, size_t size)
{
    *to++ = (uint8_t)((size - 1) << 2 | COPY_2);
    *to++ = (uint8_t)back;
    *to++ = (uint8_t)(back >> 8);
    return to;
}

static uint8_t *put_copy(uint8_t *to, size_t back, size_t size)
{
    for (; size >= MAX_COPY + 4; size -= MAX_COPY)
        to = put_copy_2(to, back, MAX_COPY);
    if (size > MAX_COPY) { /* so that at least four remain */
        to = put_copy_2(to, back, MAX_COPY - 4);
        size -= MAX_COPY - 4;
    }
    if (size >= 12 || back >= 2048)
        return put_copy_2(to, back, size);
    *to++ = (uint8_t)((back >> 8) << 5 | (size - 4) << 2 | COPY_1);
    *to++ = (uint8_t)back;
    return to;
}

static size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
    const uint8_t *start = b;
    while (end - b >= 4 && load_u32(a) == load_u32(b)) {
        a += 4;
        b += 4;
    }
    while (b < end && *a == *b) {
        a++;
        b++;
    }
    return (size_t)(b - start);
}

/* One block's elements. `table` holds positions in it. */
static uint8_t *compress_block(uint16_t *table, const uint8_t *in, size_t size, uint8_t *to)
{
    memset(table, 0, sizeof *table << HASH_BITS);
    const uint8_t *end = in + size;
    const uint8_t *literal = in;
    const uint8_t *at = in + 1;
    size_t misses = 32; /* a step grows by one byte every 32 misses */
    while (size >= 4 && at <= end - 4) {
        uint16_t *slot = &table[hash(load_u32(at))];
        const uint8_t *candidate = in + *slot;
        *slot = (uint16_t)(at - in);
        if (load_u32(candidate) != load_u32(at)) {
            size_t step = misses++ >> 5;
            if (step > (size_t)(end - at))
                break;
            at += step;
            continue;
        }
        size_t length = 4 + match_length(candidate + 4, at + 4, end);
        to = put_literal(to, literal, (size_t)(at - literal));
        to = put_copy(to, (size_t)(at - candidate), length);
        at += length;
        literal = at;
        misses = 32;
    }
    return put_literal(to, literal, (size_t)(end - literal));
}

/* A block's size field and raw form; `out` has room for the worst case. */
static void put_block(uint16_t *table, const uint8_t *in, size_t size, struct kf__buffer *out)
{
    uint8_t *start = out->bytes + out->used + 4;
    uint8_t *at = start;
    size_t rest = size;
    for (; rest >= 0x80; rest >>= 7)
        *at++ = (uint8_t)(rest | 0x80);
    *at++ = (uint8_t)rest;
    at = compress_block(table, in, size, at);
    kf__set_u32(start - 4, (uint32_t)(at - start));
    out->used += 4 + (size_t)(at - start);
}

kf_err kf__snappy_compress_xerial(void **table, const kf_allocator *alloc, kf_bytes in,
                                  struct kf__buffer *out)
{
    if (!*table)
        *table = kf_alloc(alloc, sizeof(uint16_t) << HASH_BITS);
    if (!*table)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf__buffer_put(out, xerial_header, sizeof xerial_header);
    for (size_t done = 0; !err && done < in.size; done += XERIAL_BLOCK_BYTES) {
        size_t size = in.size - done < XERIAL_BLOCK_BYTES ? in.size - done : XERIAL_BLOCK_BYTES;
        err = kf__buffer_reserve(out, 4 + 32 + size + size / 6);
        if (!err)
            put_block(*table, in.data + done, size, out);
    }
    return err;
}
