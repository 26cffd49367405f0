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

/* Of a class: it may rest for the next who wants one. */
static bool is_kept(const struct kf__out_memory *memory, size_t size)
{
    return size <= memory->largest && kf__out_memory_block(memory, size) == size;
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
    if (!block)
        return NULL;
    memory->free[index] = *(void **)block;
    memory->resting -= size_of(memory, index);
    return block;
}

static void rest(struct kf__out_memory *memory, void *block, size_t size)
{
    void **free_list = &memory->free[class_of(memory, size)];
    *(void **)block = *free_list;
    *free_list = block;
    memory->resting += size;
}

/* Frees blocks at rest, large ones first, as far as the cap wants it. */
static void trim(struct kf__out_memory *memory)
{
    for (size_t i = KF__BLOCK_CLASSES; i > 0 && memory->given + memory->resting > memory->cap;)
        if (memory->free[i - 1])
            kf_free(memory->alloc, pop(memory, i - 1));
        else
            i--;
}

static bool fits(const struct kf__out_memory *memory, size_t size)
{
    return memory->given + memory->promised + size <= memory->cap;
}

void kf__out_memory_free(struct kf__out_memory *memory)
{
    for (size_t i = 0; i < KF__BLOCK_CLASSES; i++)
        while (memory->free[i])
            kf_free(memory->alloc, pop(memory, i));
}

/* ---- taking ---- */

/* Under the lock: counted as given. */
static kf_err reserve(struct kf__out_memory *memory, size_t size, size_t *credit)
{
    if (*credit >= size) {
        *credit -= size;
        memory->promised -= size;
    } else if (atomic_load_explicit(&memory->waiting, memory_order_relaxed) > 0 ||
               !fits(memory, size)) {
        return KF_ERR_BUFFER_FULL;
    }
    memory->given += size;
    return KF_OK;
}

kf_err kf__out_memory_take(struct kf__out_memory *memory, size_t size, size_t *credit, void **block)
{
    *block = NULL;
    bool kept = is_kept(memory, size);
    pthread_mutex_lock(memory->lock);
    kf_err err = reserve(memory, size, credit);
    if (!err && kept)
        *block = pop(memory, class_of(memory, size));
    if (!err)
        trim(memory);
    pthread_mutex_unlock(memory->lock);
    if (err || *block)
        return err;
    *block = kf_alloc(memory->alloc, size);
    if (*block)
        return KF_OK;
    kf__out_memory_discount(memory, size);
    return KF_ERR_NO_MEMORY;
}

kf_err kf__out_memory_count(struct kf__out_memory *memory, size_t size, size_t *credit)
{
    pthread_mutex_lock(memory->lock);
    kf_err err = reserve(memory, size, credit);
    if (!err)
        trim(memory);
    pthread_mutex_unlock(memory->lock);
    return err;
}

size_t kf__out_memory_promise(struct kf__out_memory *memory, size_t size)
{
    pthread_mutex_lock(memory->lock);
    memory->promised += size;
    pthread_mutex_unlock(memory->lock);
    return size;
}

/* ---- giving ---- */

/* Under the lock: those who are served and sleep, to be roused without it. */
static void serve(struct kf__out_memory *memory, struct kf__link *sleepers)
{
    while (!kf__link_is_alone(&memory->waiters)) {
        struct kf__waiter *first = KF__OWNER(memory->waiters.next, struct kf__waiter, link);
        if (!fits(memory, first->need))
            return;
        memory->promised += first->need;
        kf__link_remove(&first->link);
        atomic_fetch_sub(&memory->waiting, 1);
        kf__waiter_wake_later(first, sleepers);
    }
}

void kf__out_memory_serve(struct kf__out_memory *memory)
{
    struct kf__link sleepers;
    kf__link_init(&sleepers);
    serve(memory, &sleepers);
    if (kf__link_is_alone(&sleepers))
        return;
    pthread_mutex_unlock(memory->lock);
    kf__waiters_rouse(&sleepers);
    pthread_mutex_lock(memory->lock);
}

void kf__out_memory_give(struct kf__out_memory *memory, void *block, size_t size)
{
    if (!block)
        return;
    bool rests = is_kept(memory, size);
    if (!rests)
        kf_free(memory->alloc, block);
    pthread_mutex_lock(memory->lock);
    memory->given -= size;
    if (rests)
        rest(memory, block, size);
    kf__out_memory_serve(memory);
    pthread_mutex_unlock(memory->lock);
}

static void lower(struct kf__out_memory *memory, size_t *bytes, size_t by)
{
    if (!by)
        return;
    pthread_mutex_lock(memory->lock);
    *bytes -= by;
    kf__out_memory_serve(memory);
    pthread_mutex_unlock(memory->lock);
}

void kf__out_memory_discount(struct kf__out_memory *memory, size_t size)
{
    lower(memory, &memory->given, size);
}

void kf__out_memory_waive(struct kf__out_memory *memory, size_t credit)
{
    lower(memory, &memory->promised, credit);
}
