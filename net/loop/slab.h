/*
 * slab: reference-counted memory that received frames lie in.
 *
 * A response is read straight into a slab of its own (large) or a share of
 * one (small), and everything decoded from it borrows. Slabs come from a pool
 * by power-of-two classes, so that a busy consumer's pages stay warm.
 * References may be dropped on any thread; everything else is the loop's.
 */
#ifndef KF_NET_SLAB_H
#define KF_NET_SLAB_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <stdatomic.h>

struct kf__slab_pool;

struct kf__slab {
    atomic_uint references;
    struct kf__slab_pool *pool;
    uint8_t *bytes;
    size_t capacity; /* bytes */
    /* Told once, on the thread that drops the last reference; may be NULL. */
    void (*released)(struct kf__slab *slab, void *owner);
    void *owner;
    int64_t credit; /* the owner's own account */
    struct kf__slab *next;
};

/* `keep` caps the bytes of free slabs held back for reuse. The pool lives until its last slab died.
 */
struct kf__slab_pool *kf__slab_pool_new(const kf_allocator *alloc, size_t keep);
void kf__slab_pool_drop(struct kf__slab_pool *pool);

/* One reference, owner unset; NULL when out of memory. */
struct kf__slab *kf__slab_take(struct kf__slab_pool *pool, size_t size);
/* Larger, contents kept; only while there is one reference. */
kf_err kf__slab_grow(struct kf__slab *slab, size_t size, size_t used);
void kf__slab_retain(struct kf__slab *slab);
void kf__slab_release(struct kf__slab *slab); /* any thread */

#endif
