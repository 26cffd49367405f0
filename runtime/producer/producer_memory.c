/* producer_memory: see producer_memory.h. */
#include "runtime/producer/producer_memory.h"

#include "runtime/producer/producer_wait.h"

void kf__out_memory_init(struct kf__out_memory *memory, const kf_allocator *alloc,
                         pthread_mutex_t *lock, size_t cap, size_t largest)
{
    *memory = (struct kf__out_memory){.alloc = alloc, .lock = lock, .cap = cap};
    memory->largest = largest < KF__BLOCK_LEAST ? KF__BLOCK_LEAST : largest;
    kf__link_init(&memory->waiters);
}

/* ---- classes: powers of two, and `largest` itself ---- */

size_t kf__out_memory_block(const struct kf__out_memory *memory, size_t size)
{
    if (size > memory->largest)
        return size;
    size_t block = KF__BLOCK_LEAST;
    while (block < size)
        block *= 2;
    return block < memory->largest ? block : memory->largest;
}

static size_t class_of(const struct kf__out_memory *memory, size_t size)
{
    size_t index = 0;
    for (size_t block = KF__BLOCK_LEAST; block < size && index < KF__BLOCK_CLASSES - 2; block *= 2)
        index++;
    return size == memory->largest ? KF__BLOCK_CLASSES - 1 : index;
}

static size_t size_of(const struct kf__out_memory *memory, size_t index)
{
    return index == KF__BLOCK_CLASSES - 1 ? memory->largest : (size_t)KF__BLOCK_LEAST << index;
}

static void *pop(struct kf__out_memory *memory, size_t index)
{
    void *block = memory->free[index];
    if (block)
        memory->free[index] = *(void **)block;
    return block;
}

/* Frees blocks at rest, large ones first, until `size` more would fit. */
static bool trim(struct kf__out_memory *memory, size_t size)
{
    for (size_t i = KF__BLOCK_CLASSES; i > 0 && memory->used + size > memory->cap;)
        if (memory->free[i - 1]) {
            kf_free(memory->alloc, pop(memory, i - 1));
            memory->used -= size_of(memory, i - 1);
        } else {
            i--;
        }
    return memory->used + size <= memory->cap;
}

void kf__out_memory_free(struct kf__out_memory *memory)
{
    for (size_t i = 0; i < KF__BLOCK_CLASSES; i++)
        while (memory->free[i])
            kf_free(memory->alloc, pop(memory, i));
}

/* ---- taking ---- */

/* Under the lock: *block stays NULL where new memory may be had. */
static kf_err reserve(struct kf__out_memory *memory, size_t size, size_t *credit, void **block)
{
    bool promised = *credit >= size;
    if (!promised && atomic_load_explicit(&memory->waiting, memory_order_relaxed) > 0)
        return KF_ERR_BUFFER_FULL;
    *block = size <= memory->largest ? pop(memory, class_of(memory, size)) : NULL;
    if (promised) {
        *credit -= size;
        if (*block)
            memory->used -= size; /* it counted, and so did the promise */
        return KF_OK;
    }
    if (*block)
        return KF_OK;
    if (!trim(memory, size))
        return KF_ERR_BUFFER_FULL;
    memory->used += size;
    return KF_OK;
}

kf_err kf__out_memory_take(struct kf__out_memory *memory, size_t size, size_t *credit, void **block)
{
    pthread_mutex_lock(memory->lock);
    kf_err err = reserve(memory, size, credit, block);
    pthread_mutex_unlock(memory->lock);
    if (err || *block)
        return err;
    *block = kf_alloc(memory->alloc, size);
    if (*block)
        return KF_OK;
    kf__out_memory_return(memory, size);
    return KF_ERR_NO_MEMORY;
}

kf_err kf__out_memory_count(struct kf__out_memory *memory, size_t size, size_t *credit)
{
    kf_err err = KF_OK;
    pthread_mutex_lock(memory->lock);
    if (*credit >= size)
        *credit -= size;
    else if (atomic_load_explicit(&memory->waiting, memory_order_relaxed) > 0 ||
             !trim(memory, size))
        err = KF_ERR_BUFFER_FULL;
    else
        memory->used += size;
    pthread_mutex_unlock(memory->lock);
    return err;
}

/* ---- giving ---- */

void kf__out_memory_give(struct kf__out_memory *memory, void *block, size_t size)
{
    if (!block)
        return;
    pthread_mutex_lock(memory->lock);
    bool kept = size <= memory->largest && kf__link_is_alone(&memory->waiters);
    if (kept) {
        void **free_list = &memory->free[class_of(memory, size)];
        *(void **)block = *free_list;
        *free_list = block;
    } else {
        memory->used -= size;
        kf__out_memory_serve(memory);
    }
    pthread_mutex_unlock(memory->lock);
    if (!kept)
        kf_free(memory->alloc, block);
}

void kf__out_memory_return(struct kf__out_memory *memory, size_t credit)
{
    if (!credit)
        return;
    pthread_mutex_lock(memory->lock);
    memory->used -= credit;
    kf__out_memory_serve(memory);
    pthread_mutex_unlock(memory->lock);
}

void kf__out_memory_serve(struct kf__out_memory *memory)
{
    while (!kf__link_is_alone(&memory->waiters)) {
        struct kf__waiter *first = KF__OWNER(memory->waiters.next, struct kf__waiter, link);
        if (!trim(memory, first->need))
            return;
        memory->used += first->need;
        kf__link_remove(&first->link);
        atomic_fetch_sub(&memory->waiting, 1);
        kf__waiter_wake(first);
    }
}
