/*
 * held: one record batch in memory, from the Fetch response to the last
 * message that borrows from it.
 *
 *   response slab ◀── kf_batch ──▶ decompressed bytes
 *                        ▲
 *            queue, running handler, kf_message_retain
 *
 * The I/O thread makes it from a header; a worker opens it (checksum,
 * decompression); whoever drops the last reference frees it.
 */
#ifndef KF_RUNTIME_HELD_H
#define KF_RUNTIME_HELD_H

#include "net/loop/slab.h"
#include "proto/batch/batch.h"
#include <stdatomic.h>

struct kf_batch {
    atomic_uint references;
    const kf_allocator *alloc;
    struct kf__slab *slab; /* what `header` borrows from; NULL after kf__batch_unpin */
    uint8_t *copy;         /* own bytes, where it was unpinned from a large slab */
    struct kf__batch header;
    struct kf__buffer expanded; /* decompressed records */
    struct kf__records records; /* where the walk stands */
    struct kf__records start;   /* where it began */
    bool opened;
    bool started; /* no longer counted as waiting in its slab */
    bool skip;    /* control or aborted: only its offsets count */
    struct kf_batch *next;
    char topic[]; /* retained messages outlive the cluster that knows its name */
};

/* One reference; retains the slab. NULL when out of memory. */
struct kf_batch *kf__held_new(const kf_allocator *alloc, struct kf__slab *slab,
                              const struct kf__batch *header, bool skip, const char *topic);
/* A handler begins with it (or nobody ever will): its share of the fetch credit goes back. */
void kf__held_started(struct kf_batch *batch);
void kf__held_retain(struct kf_batch *batch);
void kf__held_release(struct kf_batch *batch); /* any thread; NULL is allowed */

/*
 * Verifies and opens it for reading, the first time; starts over from its
 * first record after that. `limit` caps the decompressed size.
 */
kf_err kf__held_open(struct kf_batch *batch, struct kf__codecs *codecs, bool check_crc,
                     size_t limit);

/*
 * Moves the batch's bytes out of a shared slab into its own memory, so that a
 * slow handler doesn't pin a whole response. Only before it was opened.
 */
kf_err kf__held_unpin(struct kf_batch *batch);

/* Bytes that it is counted with while it is queued. */
size_t kf__held_size(const struct kf_batch *batch);

#endif
