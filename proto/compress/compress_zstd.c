/*
 * compress_zstd: zstd with contexts that are reused. Output goes straight to
 * its place where its size is known or well guessed, and is streamed through
 * the context's window otherwise.
 */
#include "proto/compress/compress_codecs.h"

#ifdef KAFIBER_WITH_ZSTD

#include <zstd.h>
#include <zstd_errors.h>

enum {
    DEFAULT_LEVEL = 3,
    MAX_WINDOW_LOG = 27,     /* 128 MiB, what zstd's own tool accepts */
    TRUSTED_EXPANSION = 256, /* a header that claims more is not believed before it is seen */
    MIN_ROOM = 4096,
};

void kf__zstd_free(struct kf__codecs *codecs)
{
    ZSTD_freeDCtx(codecs->zstd_decode);
    ZSTD_freeCCtx(codecs->zstd_encode);
    codecs->zstd_decode = NULL;
    codecs->zstd_encode = NULL;
}

kf_err kf__zstd_compress(struct kf__codecs *codecs, int level, kf_bytes in, struct kf__buffer *out)
{
    if (!codecs->zstd_encode)
        codecs->zstd_encode = ZSTD_createCCtx();
    if (!codecs->zstd_encode)
        return KF_ERR_NO_MEMORY;
    size_t bound = ZSTD_compressBound(in.size);
    kf_err err = kf__buffer_reserve(out, bound);
    if (err)
        return err;
    size_t size = ZSTD_compressCCtx(codecs->zstd_encode, out->bytes + out->used, bound, in.data,
                                    in.size, level ? level : DEFAULT_LEVEL);
    if (ZSTD_isError(size))
        return ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation ? KF_ERR_NO_MEMORY
                                                                       : KF_ERR_INVALID_ARGUMENT;
    out->used += size;
    return KF_OK;
}

static kf_err error_of(size_t result)
{
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? KF_ERR_NO_MEMORY
                                                                     : KF_ERR_BAD_COMPRESSION;
}

/* What to make room for: what the header says, if plausible, or as last time. */
static size_t expected_size(const struct kf__codecs *codecs, kf_bytes in)
{
    unsigned long long claimed = ZSTD_getFrameContentSize(in.data, in.size);
    if (claimed <= (unsigned long long)in.size * TRUSTED_EXPANSION)
        return claimed ? (size_t)claimed : 1;
    return in.size * (codecs->zstd_expansion + 1) + MIN_ROOM;
}

/* In pieces, for output whose size was not foreseen. */
static kf_err stream_out(struct kf__codecs *codecs, kf_bytes in, size_t limit,
                         struct kf__buffer *out)
{
    size_t start = out->used;
    ZSTD_DCtx *context = codecs->zstd_decode;
    ZSTD_inBuffer source = {in.data, in.size, 0};
    size_t hint = 1; /* 0: a frame is complete, nothing is held back */
    while (source.pos < source.size || hint != 0) {
        uint8_t beyond;
        size_t room;
        kf_err err = kf__buffer_grow_within(out, start, MIN_ROOM, limit, &room);
        bool probing = err == KF_ERR_BATCH_TOO_LARGE; /* full: only the frame's end may follow */
        if (err && !probing)
            return err;
        ZSTD_outBuffer target = {probing ? &beyond : out->bytes + out->used, probing ? 1 : room, 0};
        size_t consumed = source.pos;
        hint = ZSTD_decompressStream(context, &target, &source);
        if (ZSTD_isError(hint))
            return error_of(hint);
        if (probing && target.pos)
            return KF_ERR_BATCH_TOO_LARGE;
        if (!probing)
            out->used += target.pos;
        if (source.pos == consumed && target.pos == 0)
            return KF_ERR_BAD_COMPRESSION; /* it wants more than there is */
    }
    return KF_OK;
}

kf_err kf__zstd_decompress(struct kf__codecs *codecs, kf_bytes in, size_t limit,
                           struct kf__buffer *out)
{
    if (in.size == 0)
        return KF_ERR_BAD_COMPRESSION;
    if (!codecs->zstd_decode) {
        codecs->zstd_decode = ZSTD_createDCtx();
        if (!codecs->zstd_decode)
            return KF_ERR_NO_MEMORY;
        ZSTD_DCtx_setParameter(codecs->zstd_decode, ZSTD_d_windowLogMax, MAX_WINDOW_LOG);
    }

    size_t start = out->used;
    size_t room;
    kf_err err = kf__buffer_grow_within(out, start, expected_size(codecs, in), limit, &room);
    if (err)
        return err;
    size_t size =
        ZSTD_decompressDCtx(codecs->zstd_decode, out->bytes + start, room, in.data, in.size);
    if (!ZSTD_isError(size)) {
        out->used += size;
    } else if (ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall) {
        ZSTD_DCtx_reset(codecs->zstd_decode, ZSTD_reset_session_only);
        err = stream_out(codecs, in, limit, out);
    } else {
        return error_of(size);
    }
    if (!err)
        codecs->zstd_expansion = (out->used - start) / in.size;
    return err;
}

#else
typedef int kf__zstd_is_not_built; /* a translation unit may not be empty */
#endif
