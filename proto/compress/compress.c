/*
 * compress: the growing buffer, the codecs' names, and the choice among them.
 * What each does stands in compress_*.c and snappy.c.
 */
#include "proto/compress/compress.h"

#include "proto/compress/compress_codecs.h"
#include "proto/compress/snappy.h"
#include <string.h>

void kf__buffer_init(struct kf__buffer *buffer, const kf_allocator *alloc)
{
    *buffer = (struct kf__buffer){.alloc = alloc};
}

void kf__buffer_free(struct kf__buffer *buffer)
{
    kf_free(buffer->alloc, buffer->bytes);
    kf__buffer_init(buffer, buffer->alloc);
}

kf_err kf__buffer_reserve(struct kf__buffer *buffer, size_t more)
{
    if (more <= buffer->capacity - buffer->used)
        return KF_OK;
    if (more > SIZE_MAX / 2 - buffer->used)
        return KF_ERR_NO_MEMORY;

    size_t wanted = buffer->used + more;
    size_t capacity = buffer->capacity > wanted / 2 ? buffer->capacity * 2 : wanted;
    uint8_t *bytes = kf_realloc(buffer->alloc, buffer->bytes, capacity);
    if (!bytes)
        return KF_ERR_NO_MEMORY;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return KF_OK;
}

kf_err kf__buffer_put(struct kf__buffer *buffer, const void *bytes, size_t size)
{
    kf_err err = kf__buffer_reserve(buffer, size);
    if (err || size == 0)
        return err;
    memcpy(buffer->bytes + buffer->used, bytes, size);
    buffer->used += size;
    return KF_OK;
}

kf_err kf__buffer_grow_within(struct kf__buffer *out, size_t start, size_t wanted, size_t limit,
                              size_t *room)
{
    size_t left = limit - (out->used - start);
    if (left == 0)
        return KF_ERR_BATCH_TOO_LARGE;
    if (wanted > left)
        wanted = left;
    kf_err err = kf__buffer_reserve(out, wanted);
    if (err)
        return err;
    *room = out->capacity - out->used;
    if (*room > left)
        *room = left;
    return KF_OK;
}

void kf__codecs_init(struct kf__codecs *codecs, const kf_allocator *alloc)
{
    *codecs = (struct kf__codecs){.alloc = alloc};
}

void kf__codecs_free(struct kf__codecs *codecs)
{
#ifdef KAFIBER_WITH_ZLIB
    kf__gzip_free(codecs);
#endif
#ifdef KAFIBER_WITH_ZSTD
    kf__zstd_free(codecs);
#endif
    kf_free(codecs->alloc, codecs->lz4_encode);
    kf_free(codecs->alloc, codecs->lz4_encode_high);
    kf_free(codecs->alloc, codecs->snappy_encode);
    kf__codecs_init(codecs, codecs->alloc);
}

static const struct {
    const char *name;
    bool built;
} table[] = {
    [KF_CODEC_NONE] = {"none", true},
#ifdef KAFIBER_WITH_ZLIB
    [KF_CODEC_GZIP] = {"gzip", true},
#else
    [KF_CODEC_GZIP] = {"gzip", false},
#endif
    [KF_CODEC_SNAPPY] = {"snappy", true},
#ifdef KAFIBER_WITH_LZ4
    [KF_CODEC_LZ4] = {"lz4", true},
#else
    [KF_CODEC_LZ4] = {"lz4", false},
#endif
#ifdef KAFIBER_WITH_ZSTD
    [KF_CODEC_ZSTD] = {"zstd", true},
#else
    [KF_CODEC_ZSTD] = {"zstd", false},
#endif
};
enum {
    CODEC_COUNT = sizeof table / sizeof *table
};

const char *kf__codec_name(enum kf_codec codec)
{
    return (unsigned)codec < CODEC_COUNT ? table[codec].name : NULL;
}

bool kf__codec_by_name(const char *name, enum kf_codec *codec)
{
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        *codec = (enum kf_codec)i;
        return true;
    }
    return false;
}

bool kf__codec_is_built(enum kf_codec codec)
{
    return (unsigned)codec < CODEC_COUNT && table[codec].built;
}

static kf_err compress(struct kf__codecs *codecs, enum kf_codec codec, int level, kf_bytes in,
                       struct kf__buffer *out)
{
    (void)level;
    switch (codec) {
    case KF_CODEC_NONE:
        return kf__buffer_put(out, in.data, in.size);
    case KF_CODEC_SNAPPY:
        return kf__snappy_compress_xerial(&codecs->snappy_encode, codecs->alloc, in, out);
#ifdef KAFIBER_WITH_ZLIB
    case KF_CODEC_GZIP:
        return kf__gzip_compress(codecs, level, in, out);
#endif
#ifdef KAFIBER_WITH_LZ4
    case KF_CODEC_LZ4:
        return kf__lz4_compress(codecs, level, in, out);
#endif
#ifdef KAFIBER_WITH_ZSTD
    case KF_CODEC_ZSTD:
        return kf__zstd_compress(codecs, level, in, out);
#endif
    default:
        return kf__codec_name(codec) ? KF_ERR_CODEC_NOT_BUILT : KF_ERR_UNSUPPORTED_COMPRESSION_TYPE;
    }
}

static kf_err decompress(struct kf__codecs *codecs, enum kf_codec codec, kf_bytes in, size_t limit,
                         struct kf__buffer *out)
{
    (void)codecs;
    switch (codec) {
    case KF_CODEC_NONE:
        return in.size > limit ? KF_ERR_BATCH_TOO_LARGE : kf__buffer_put(out, in.data, in.size);
    case KF_CODEC_SNAPPY:
        return kf__snappy_decompress(in, limit, out);
#ifdef KAFIBER_WITH_ZLIB
    case KF_CODEC_GZIP:
        return kf__gzip_decompress(codecs, in, limit, out);
#endif
#ifdef KAFIBER_WITH_LZ4
    case KF_CODEC_LZ4:
        return kf__lz4_decompress(in, limit, true, out);
#endif
#ifdef KAFIBER_WITH_ZSTD
    case KF_CODEC_ZSTD:
        return kf__zstd_decompress(codecs, in, limit, out);
#endif
    default:
        return kf__codec_name(codec) ? KF_ERR_CODEC_NOT_BUILT : KF_ERR_UNSUPPORTED_COMPRESSION_TYPE;
    }
}

kf_err kf__compress(struct kf__codecs *codecs, enum kf_codec codec, int level, kf_bytes in,
                    struct kf__buffer *out)
{
    size_t start = out->used;
    kf_err err = compress(codecs, codec, level, in, out);
    if (err)
        out->used = start;
    return err;
}

kf_err kf__decompress(struct kf__codecs *codecs, enum kf_codec codec, kf_bytes in, size_t limit,
                      struct kf__buffer *out)
{
    size_t start = out->used;
    kf_err err = decompress(codecs, codec, in, limit, out);
    if (err)
        out->used = start;
    return err;
}

kf_err kf__decompress_lz4_magic_0(kf_bytes in, size_t limit, struct kf__buffer *out)
{
#ifdef KAFIBER_WITH_LZ4
    size_t start = out->used;
    kf_err err = kf__lz4_decompress(in, limit, false, out);
    if (err)
        out->used = start;
    return err;
#else
    (void)in, (void)limit, (void)out;
    return KF_ERR_CODEC_NOT_BUILT;
#endif
}
