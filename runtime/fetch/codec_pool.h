/*
 * codec_pool: decompression contexts, lent to whoever opens a compressed
 * batch. Workers come and go; contexts are kept. Thread-safe.
 */
#ifndef KF_RUNTIME_CODEC_POOL_H
#define KF_RUNTIME_CODEC_POOL_H

#include "proto/compress/compress.h"

struct kf__codec_pool;

struct kf__codec_pool *kf__codec_pool_new(const kf_allocator *alloc);
void kf__codec_pool_free(struct kf__codec_pool *pool);

struct kf__codecs *kf__codec_pool_take(struct kf__codec_pool *pool); /* NULL: out of memory */
void kf__codec_pool_give(struct kf__codec_pool *pool, struct kf__codecs *codecs);

#endif
