/*
 * compress_codecs: what compress.c chooses from, one pair of functions per
 * codec. Each appends to `out` and may leave part of its output there when it
 * fails; compress.c takes that back.
 */
#ifndef KF_PROTO_COMPRESS_CODECS_H
#define KF_PROTO_COMPRESS_CODECS_H

#include "proto/compress/compress.h"

/*
 * Room for more output: at least `wanted` bytes, more where doubling asks for
 * it, never beyond `limit` bytes after `start`. KF_ERR_BATCH_TOO_LARGE where
 * the limit leaves no room at all.
 */
kf_err kf__buffer_grow_within(struct kf__buffer *out, size_t start, size_t wanted, size_t limit,
                              size_t *room);

#ifdef KAFIBER_WITH_ZLIB
kf_err kf__gzip_compress(struct kf__codecs *codecs, int level, kf_bytes in, struct kf__buffer *out);
kf_err kf__gzip_decompress(struct kf__codecs *codecs, kf_bytes in, size_t limit,
                           struct kf__buffer *out);
void kf__gzip_free(struct kf__codecs *codecs);
#endif

#ifdef KAFIBER_WITH_LZ4
kf_err kf__lz4_compress(struct kf__codecs *codecs, int level, kf_bytes in, struct kf__buffer *out);
kf_err kf__lz4_decompress(kf_bytes in, size_t limit, bool check_header, struct kf__buffer *out);
#endif

#ifdef KAFIBER_WITH_ZSTD
kf_err kf__zstd_compress(struct kf__codecs *codecs, int level, kf_bytes in, struct kf__buffer *out);
kf_err kf__zstd_decompress(struct kf__codecs *codecs, kf_bytes in, size_t limit,
                           struct kf__buffer *out);
void kf__zstd_free(struct kf__codecs *codecs);
#endif

#endif
