/*
 * producer_memory: buffer.memory, a hard cap: whatever holds records comes
 * from here in blocks, and goes back.
 *
 *   take ──▶ free block of its class │ new, where the cap allows │ KF_ERR_BUFFER_FULL
 *   give ──▶ who waits longest gets the bytes, else the block is kept for the next
 *
 * Blocks at rest count too; they are freed where another size is wanted. Who
 * waits is served in turn, and nobody overtakes. Everything happens under the
 * producer's lock, but for the allocator.
 */
#ifndef KF_RUNTIME_PRODUCER_MEMORY_H
#define KF_RUNTIME_PRODUCER_MEMORY_H

#include "net/loop/list.h"
#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    KF__BLOCK_CLASSES = 32,
    KF__BLOCK_LEAST = 256, /* bytes */
};

struct kf__out_memory {
    const kf_allocator *alloc;
    pthread_mutex_t *lock; /* the producer's */
    size_t cap;            /* buffer.memory */
    size_t largest;        /* of the blocks that are kept */
    size_t used;           /* given out, promised, or at rest */
    void *free[KF__BLOCK_CLASSES];
    struct kf__link waiters; /* kf__waiter.link, who came first first */
    atomic_int waiting;      /* how many; readable by anybody */
};

void kf__out_memory_init(struct kf__out_memory *memory, const kf_allocator *alloc,
                         pthread_mutex_t *lock, size_t cap, size_t largest);
void kf__out_memory_free(
    struct kf__out_memory *memory); /* what is at rest; the rest was given back */

/* What a block for so many bytes really has. */
size_t kf__out_memory_block(const struct kf__out_memory *memory, size_t size);

/*
 * A block; `size` as kf__out_memory_block said. *credit: bytes promised to the
 * caller before, which it uses first. KF_ERR_BUFFER_FULL, KF_ERR_NO_MEMORY.
 * Without the lock.
 */
kf_err kf__out_memory_take(struct kf__out_memory *memory, size_t size, size_t *credit,
                           void **block);
void kf__out_memory_give(struct kf__out_memory *memory, void *block,
                         size_t size); /* without the lock */
/* Bytes that somebody else allocated: they count until kf__out_memory_return. As take. */
kf_err kf__out_memory_count(struct kf__out_memory *memory, size_t size, size_t *credit);
/* Bytes promised and not used, or counted. Without the lock. */
void kf__out_memory_return(struct kf__out_memory *memory, size_t credit);
/* Under the lock: promises bytes to those who wait, as far as they reach. */
void kf__out_memory_serve(struct kf__out_memory *memory);

#endif
