/*
 * snappy: the codec by hand, in its raw form and in the framing of Java's
 * SnappyOutputStream ("xerial"), which Kafka's Java clients write. Both are
 * read; the framed one is written.
 */
#ifndef KF_PROTO_SNAPPY_H
#define KF_PROTO_SNAPPY_H

#include "proto/compress/compress.h"

/* Appends to `out`. `*table` is scratch memory, made on first use and freed by its owner. */
kf_err kf__snappy_compress_xerial(void **table, const kf_allocator *alloc, kf_bytes in,
                                  struct kf__buffer *out);
/* Either form; KF_ERR_BAD_COMPRESSION, KF_ERR_BATCH_TOO_LARGE beyond `limit` bytes. */
kf_err kf__snappy_decompress(kf_bytes in, size_t limit, struct kf__buffer *out);

#endif
