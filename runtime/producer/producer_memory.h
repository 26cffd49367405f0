/*
 * producer_memory: buffer.memory, a hard cap: whatever holds records comes
 * from here in blocks, and goes back.
 *
 *   take ──▶ block at rest of its class │ new, where the cap allows │ KF_ERR_BUFFER_FULL
 *   give ──▶ the block rests for the next; who waits longest is promised its bytes
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
    size_t given;          /* that somebody has, or counted */
    size_t promised;       /* given + promised <= cap, but for what is written anew */
    size_t resting;        /* given + resting <= cap */
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
 * A block; `size` as kf__out_memory_block said, or any other, which is allocated for it and freed
 * behind it. *credit: bytes promised to the
 * caller before, which it uses first. KF_ERR_BUFFER_FULL, KF_ERR_NO_MEMORY.
 * Without the lock.
 */
kf_err kf__out_memory_take(struct kf__out_memory *memory, size_t size, size_t *credit,
                           void **block);
void kf__out_memory_give(struct kf__out_memory *memory, void *block,
                         size_t size); /* without the lock */
/* Bytes that somebody else allocated: they count until kf__out_memory_discount. As take. */
kf_err kf__out_memory_count(struct kf__out_memory *memory, size_t size, size_t *credit);
void kf__out_memory_discount(struct kf__out_memory *memory, size_t size); /* without the lock */
/* A promise past the cap; its credit. Without the lock. */
size_t kf__out_memory_promise(struct kf__out_memory *memory, size_t size);
void kf__out_memory_waive(struct kf__out_memory *memory,
                          size_t credit); /* not used; without the lock */
/* Under the lock, which is left where somebody is to be woken: promises bytes to those who wait,
   as far as they reach. */
void kf__out_memory_serve(struct kf__out_memory *memory);

#endif
