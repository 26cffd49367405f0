/*
 * compress_lz4: the LZ4 frame format over liblz4's blocks. The frame is ours,
 * so that blocks are decoded straight into their place, no context is needed,
 * and the wrong header checksum of Kafka's oldest format can be passed over.
 *
 *     │magic│FLG│BD│[content size]│HC│ { size, bytes, [checksum] }… │0│[checksum]│
 *
 * The checksums of blocks and content are not looked at: a batch has its own.
 */
#include "proto/compress/compress_codecs.h"

#ifdef KAFIBER_WITH_LZ4

#include <lz4.h>
#include <lz4hc.h>
#include <string.h>

enum {
    FLG_VERSION_MASK = 0xc0,
    FLG_VERSION = 0x40,
    FLG_INDEPENDENT = 0x20,
    FLG_BLOCK_CHECKSUM = 0x10,
    FLG_CONTENT_SIZE = 0x08,
    FLG_CONTENT_CHECKSUM = 0x04,
    FLG_DICTIONARY = 0x01,
    BD_64_KIB = 0x40,
    BLOCK_BYTES = 64 * 1024, /* as Java writes */
    DICTIONARY_BYTES = 64 * 1024,
    FIRST_FIELDS = 7, /* magic, FLG, BD, HC */
    CONTENT_SIZE_BYTES = 8,
};

#define FRAME_MAGIC  0x184d2204u
#define UNCOMPRESSED 0x80000000u

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t rotate(uint32_t value, int by) { return value << by | value >> (32 - by); }

/* XXH32 with seed 0 of less than 16 bytes, its second byte: the header's checksum. */
static uint8_t header_checksum(const uint8_t *at, size_t size)
{
    uint32_t hash = 374761393u + (uint32_t)size;
    for (; size >= 4; at += 4, size -= 4)
        hash = rotate(hash + get_u32(at) * 3266489917u, 17) * 668265263u;
    for (; size; at++, size--)
        hash = rotate(hash + *at * 374761393u, 11) * 2654435761u;
    hash = (hash ^ hash >> 15) * 2246822519u;
    hash = (hash ^ hash >> 13) * 3266489917u;
    hash ^= hash >> 16;
    return (uint8_t)(hash >> 8);
}

struct frame {
    size_t block_bytes; /* the largest a block may become */
    bool independent;
    bool block_checksum;
    bool content_checksum;
};

/* Where the blocks begin; NULL where this is no frame we read. */
static const uint8_t *read_frame(const uint8_t *at, const uint8_t *end, bool check_header,
                                 struct frame *frame)
{
    if (end - at < FIRST_FIELDS || get_u32(at) != FRAME_MAGIC)
        return NULL;
    const uint8_t *descriptor = at + 4;
    uint8_t flags = descriptor[0];
    unsigned block_code = descriptor[1] >> 4 & 7;
    size_t size = flags & FLG_CONTENT_SIZE ? 2 + CONTENT_SIZE_BYTES : 2;
    if ((flags & FLG_VERSION_MASK) != FLG_VERSION || flags & FLG_DICTIONARY || block_code < 4 ||
        (size_t)(end - descriptor) <= size)
        return NULL;
    if (check_header && header_checksum(descriptor, size) != descriptor[size])
        return NULL;
    *frame = (struct frame){
        .block_bytes = (size_t)1 << (2 * block_code + 8),
        .independent = flags & FLG_INDEPENDENT,
        .block_checksum = flags & FLG_BLOCK_CHECKSUM,
        .content_checksum = flags & FLG_CONTENT_CHECKSUM,
    };
    return descriptor + size + 1;
}

/* One block; `history` bytes before the output may be referred to. */
static kf_err decode_block(const struct frame *frame, const uint8_t *at, size_t size,
                           size_t history, struct kf__buffer *out)
{
    kf_err err = kf__buffer_reserve(out, frame->block_bytes);
    if (err)
        return err;
    char *to = (char *)out->bytes + out->used;
    if (history > DICTIONARY_BYTES)
        history = DICTIONARY_BYTES;
    int made =
        history ? LZ4_decompress_safe_usingDict((const char *)at, to, (int)size,
                                                (int)frame->block_bytes, to - history, (int)history)
                : LZ4_decompress_safe((const char *)at, to, (int)size, (int)frame->block_bytes);
    if (made < 0)
        return KF_ERR_BAD_COMPRESSION;
    out->used += (size_t)made;
    return KF_OK;
}

/* The blocks up to the frame's end; *at moves behind it. */
static kf_err decode_frame(const struct frame *frame, const uint8_t **at, const uint8_t *end,
                           size_t start, size_t limit, struct kf__buffer *out)
{
    size_t frame_start = out->used;
    for (;;) {
        if (end - *at < 4)
            return KF_ERR_BAD_COMPRESSION;
        uint32_t field = get_u32(*at);
        *at += 4;
        if (field == 0)
            break;
        size_t size = field & ~UNCOMPRESSED;
        if (size > (size_t)(end - *at) || size > frame->block_bytes)
            return KF_ERR_BAD_COMPRESSION;
        kf_err err = field & UNCOMPRESSED
                         ? kf__buffer_put(out, *at, size)
                         : decode_block(frame, *at, size,
                                        frame->independent ? 0 : out->used - frame_start, out);
        if (err)
            return err;
        if (out->used - start > limit)
            return KF_ERR_BATCH_TOO_LARGE; /* by one block at most */
        *at += size;
        if (frame->block_checksum) {
            if (end - *at < 4)
                return KF_ERR_BAD_COMPRESSION;
            *at += 4;
        }
    }
    if (frame->content_checksum) {
        if (end - *at < 4)
            return KF_ERR_BAD_COMPRESSION;
        *at += 4;
    }
    return KF_OK;
}

kf_err kf__lz4_decompress(kf_bytes in, size_t limit, bool check_header, struct kf__buffer *out)
{
    if (in.size == 0)
        return KF_ERR_BAD_COMPRESSION;
    size_t start = out->used;
    const uint8_t *at = in.data;
    const uint8_t *end = in.data + in.size;
    while (at < end) { /* frames may be concatenated */
        struct frame frame;
        at = read_frame(at, end, check_header, &frame);
        if (!at)
            return KF_ERR_BAD_COMPRESSION;
        kf_err err = decode_frame(&frame, &at, end, start, limit, out);
        if (err)
            return err;
    }
    return KF_OK;
}

/* A block and its size field; as it is where it doesn't shrink. */
static void put_block(struct kf__codecs *codecs, int level, const uint8_t *in, size_t size,
                      struct kf__buffer *out)
{
    uint8_t *field = out->bytes + out->used;
    char *to = (char *)field + 4;
    int room = (int)size - 1;
    int made = level == 0 ? LZ4_compress_fast_extState(codecs->lz4_encode, (const char *)in, to,
                                                       (int)size, room, 1)
                          : LZ4_compress_HC_extStateHC(codecs->lz4_encode_high, (const char *)in,
                                                       to, (int)size, room, level);
    if (made > 0) {
        put_u32(field, (uint32_t)made);
        out->used += 4 + (size_t)made;
    } else {
        put_u32(field, (uint32_t)size | UNCOMPRESSED);
        memcpy(to, in, size);
        out->used += 4 + size;
    }
}

static kf_err prepare_encoder(struct kf__codecs *codecs, int level)
{
    void **state = level == 0 ? &codecs->lz4_encode : &codecs->lz4_encode_high;
    int size = level == 0 ? LZ4_sizeofState() : LZ4_sizeofStateHC();
    if (!*state)
        *state = kf_alloc_zero(codecs->alloc, (size_t)size);
    return *state ? KF_OK : KF_ERR_NO_MEMORY;
}

kf_err kf__lz4_compress(struct kf__codecs *codecs, int level, kf_bytes in, struct kf__buffer *out)
{
    uint8_t header[FIRST_FIELDS];
    put_u32(header, FRAME_MAGIC);
    header[4] = FLG_VERSION | FLG_INDEPENDENT;
    header[5] = BD_64_KIB;
    header[6] = header_checksum(header + 4, 2);

    kf_err err = prepare_encoder(codecs, level);
    if (!err)
        err = kf__buffer_put(out, header, sizeof header);
    for (size_t done = 0; !err && done < in.size; done += BLOCK_BYTES) {
        size_t size = in.size - done < BLOCK_BYTES ? in.size - done : BLOCK_BYTES;
        err = kf__buffer_reserve(out, 4 + size);
        if (!err)
            put_block(codecs, level, in.data + done, size, out);
    }
    static const uint8_t end_mark[4] = {0};
    return err ? err : kf__buffer_put(out, end_mark, sizeof end_mark);
}

#else
typedef int kf__lz4_is_not_built; /* a translation unit may not be empty */
#endif
