/* compress_gzip: gzip by zlib, with contexts that are reset rather than made anew. */
#include "proto/compress/compress_codecs.h"

#ifdef KAFIBER_WITH_ZLIB

#include <zlib.h>

enum {
    GZIP_WINDOW = 15 + 16, /* the largest window, with gzip's header */
    MEMORY_LEVEL = 8,
    MIN_ROOM = 4096,
    USUAL_EXPANSION = 4,
};

static void *zlib_alloc(void *alloc, unsigned items, unsigned size)
{
    return kf_alloc_array(alloc, items, size);
}

static void zlib_free(void *alloc, void *pointer) { kf_free(alloc, pointer); }

static z_stream *new_stream(struct kf__codecs *codecs)
{
    z_stream *stream = kf_alloc_zero(codecs->alloc, sizeof *stream);
    if (stream) {
        stream->zalloc = zlib_alloc;
        stream->zfree = zlib_free;
        stream->opaque = (void *)(uintptr_t)codecs->alloc;
    }
    return stream;
}

static void free_deflate(struct kf__codecs *codecs)
{
    if (codecs->zlib_deflate)
        deflateEnd(codecs->zlib_deflate);
    kf_free(codecs->alloc, codecs->zlib_deflate);
    codecs->zlib_deflate = NULL;
}

void kf__gzip_free(struct kf__codecs *codecs)
{
    free_deflate(codecs);
    if (codecs->zlib_inflate)
        inflateEnd(codecs->zlib_inflate);
    kf_free(codecs->alloc, codecs->zlib_inflate);
    codecs->zlib_inflate = NULL;
}

static kf_err prepare_deflate(struct kf__codecs *codecs, int level)
{
    if (codecs->zlib_deflate && codecs->zlib_level == level)
        return deflateReset(codecs->zlib_deflate) == Z_OK ? KF_OK : KF_ERR_STATE;
    free_deflate(codecs);
    z_stream *stream = new_stream(codecs);
    if (!stream)
        return KF_ERR_NO_MEMORY;
    int result =
        deflateInit2(stream, level, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY);
    if (result != Z_OK) {
        kf_free(codecs->alloc, stream);
        return result == Z_MEM_ERROR ? KF_ERR_NO_MEMORY : KF_ERR_INVALID_ARGUMENT;
    }
    codecs->zlib_deflate = stream;
    codecs->zlib_level = level;
    return KF_OK;
}

kf_err kf__gzip_compress(struct kf__codecs *codecs, int level, kf_bytes in, struct kf__buffer *out)
{
    kf_err err = prepare_deflate(codecs, level ? level : Z_DEFAULT_COMPRESSION);
    if (err)
        return err;
    z_stream *stream = codecs->zlib_deflate;
    if (in.size > INT32_MAX)
        return KF_ERR_MESSAGE_TOO_LARGE;
    uLong bound = deflateBound(stream, (uLong)in.size);
    err = kf__buffer_reserve(out, bound);
    if (err)
        return err;

    stream->next_in = (z_const Bytef *)(uintptr_t)in.data;
    stream->avail_in = (uInt)in.size;
    stream->next_out = out->bytes + out->used;
    stream->avail_out = (uInt)bound;
    if (deflate(stream, Z_FINISH) != Z_STREAM_END)
        return KF_ERR_STATE;
    out->used += bound - stream->avail_out;
    return KF_OK;
}

static kf_err prepare_inflate(struct kf__codecs *codecs)
{
    if (codecs->zlib_inflate)
        return inflateReset(codecs->zlib_inflate) == Z_OK ? KF_OK : KF_ERR_STATE;
    z_stream *stream = new_stream(codecs);
    if (!stream)
        return KF_ERR_NO_MEMORY;
    if (inflateInit2(stream, GZIP_WINDOW) != Z_OK) {
        kf_free(codecs->alloc, stream);
        return KF_ERR_NO_MEMORY;
    }
    codecs->zlib_inflate = stream;
    return KF_OK;
}

/* One step; *ended where a member is complete. */
static kf_err inflate_some(z_stream *stream, size_t room, struct kf__buffer *out, bool *ended)
{
    stream->next_out = out->bytes + out->used;
    stream->avail_out = room > UINT32_MAX ? UINT32_MAX : (uInt)room;
    uInt before = stream->avail_out;
    int result = inflate(stream, Z_NO_FLUSH);
    out->used += before - stream->avail_out;
    *ended = result == Z_STREAM_END;
    if (result == Z_MEM_ERROR)
        return KF_ERR_NO_MEMORY;
    if (result != Z_OK && result != Z_STREAM_END)
        return KF_ERR_BAD_COMPRESSION;
    /* Room left over and no end: the input is cut short. */
    return !*ended && stream->avail_out ? KF_ERR_BAD_COMPRESSION : KF_OK;
}

kf_err kf__gzip_decompress(struct kf__codecs *codecs, kf_bytes in, size_t limit,
                           struct kf__buffer *out)
{
    if (in.size > UINT32_MAX || in.size == 0)
        return KF_ERR_BAD_COMPRESSION;
    kf_err err = prepare_inflate(codecs);
    if (err)
        return err;

    size_t start = out->used;
    z_stream *stream = codecs->zlib_inflate;
    stream->next_in = (z_const Bytef *)(uintptr_t)in.data;
    stream->avail_in = (uInt)in.size;
    bool ended = false;
    uint8_t beyond; /* where an output of exactly `limit` bytes is asked for its end */
    while (!err && !(ended && stream->avail_in == 0)) {
        if (ended && inflateReset(stream) != Z_OK) /* members may be concatenated */
            return KF_ERR_STATE;
        size_t room;
        size_t wanted = out->used == start ? in.size * USUAL_EXPANSION + MIN_ROOM : MIN_ROOM;
        err = kf__buffer_grow_within(out, start, wanted, limit, &room);
        if (err == KF_ERR_BATCH_TOO_LARGE) {
            struct kf__buffer probe = {.bytes = &beyond, .capacity = 1};
            err = inflate_some(stream, 1, &probe, &ended);
            if (probe.used)
                return KF_ERR_BATCH_TOO_LARGE;
            continue;
        }
        if (!err)
            err = inflate_some(stream, room, out, &ended);
    }
    return err;
}

#else
typedef int kf__gzip_is_not_built; /* a translation unit may not be empty */
#endif
