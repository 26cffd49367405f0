/*
 * compress: the four codecs of record batches behind one face.
 *
 * A codec that the build leaves out answers KF_ERR_CODEC_NOT_BUILT. Output is
 * streamed into a growing buffer under a cap, so that a small bomb can't
 * claim memory. Contexts are kept in kf__codecs and reused: one per worker.
 */
#ifndef KF_PROTO_COMPRESS_H
#define KF_PROTO_COMPRESS_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>
#include <stdbool.h>

enum kf_codec {
    KF_CODEC_NONE = 0,
    KF_CODEC_GZIP = 1,
    KF_CODEC_SNAPPY = 2, /* built in: raw, and with xerial framing */
    KF_CODEC_LZ4 = 3,    /* frame format */
    KF_CODEC_ZSTD = 4,
};

/* Bytes that grow; owned. */
struct kf__buffer {
    const kf_allocator *alloc;
    uint8_t *bytes;
    size_t used;
    size_t capacity;
};

void kf__buffer_init(struct kf__buffer *buffer, const kf_allocator *alloc);
void kf__buffer_free(struct kf__buffer *buffer);
kf_err kf__buffer_reserve(struct kf__buffer *buffer, size_t more);
kf_err kf__buffer_put(struct kf__buffer *buffer, const void *bytes, size_t size);

/* Contexts of the libraries, made on first use. One thread at a time. */
struct kf__codecs {
    const kf_allocator *alloc;
    void *zlib_inflate;
    void *zlib_deflate;
    int zlib_level; /* of the deflate context */
    void *lz4_encode;
    void *lz4_encode_high; /* for levels other than the default */
    void *snappy_encode;
    void *zstd_decode; /* zstd's own contexts come from malloc */
    void *zstd_encode;
    size_t zstd_expansion; /* how many times its input the last output was: a guess at the next */
};

void kf__codecs_init(struct kf__codecs *codecs, const kf_allocator *alloc);
void kf__codecs_free(struct kf__codecs *codecs);

/* "none", "gzip", "snappy", "lz4", "zstd"; NULL for an unknown number. */
const char *kf__codec_name(enum kf_codec codec);
bool kf__codec_by_name(const char *name, enum kf_codec *codec);
bool kf__codec_is_built(enum kf_codec codec);

/*
 * Appends to `out`, which after an error holds what it held before. level 0
 * is the codec's default. decompress: KF_ERR_BAD_COMPRESSION, or
 * KF_ERR_BATCH_TOO_LARGE where more than `limit` bytes would come out;
 * KF_ERR_UNSUPPORTED_COMPRESSION_TYPE for a number that is no codec.
 */
kf_err kf__compress(struct kf__codecs *codecs, enum kf_codec codec, int level, kf_bytes in,
                    struct kf__buffer *out);
kf_err kf__decompress(struct kf__codecs *codecs, enum kf_codec codec, kf_bytes in, size_t limit,
                      struct kf__buffer *out);

/* LZ4 as batches of magic 0 hold it: with a wrong header checksum, which nobody looks at. */
kf_err kf__decompress_lz4_magic_0(kf_bytes in, size_t limit, struct kf__buffer *out);

#endif
