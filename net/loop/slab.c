/*
 * slab: the pool behind slab.h.
 *
 *   take ──▶ in use, references > 0 ──last release, any thread──▶ free list of its class
 *                                                   │ too large, or enough kept
 *                                                   └──▶ the allocator
 *
 * One mutex guards the free lists; it is taken once per frame, never per
 * record. The pool counts its living slabs, so that a message which somebody
 * retained stays valid after its connection, cluster and runtime are gone.
 */
#include "net/loop/slab.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum {
    SMALLEST_SHIFT = 12, /* 4 KiB */
    LARGEST_SHIFT = 22,  /* 4 MiB; beyond it, exact sizes straight from the allocator */
    CLASSES = LARGEST_SHIFT - SMALLEST_SHIFT + 1
};

struct kf__slab_pool {
    const kf_allocator *alloc;
    pthread_mutex_t lock; /* guards all that follows */
    struct kf__slab *free[CLASSES];
    size_t kept; /* bytes in the free lists */
    size_t keep; /* at most so many */
    size_t living;
    bool dropped;
};

/* CLASSES where the size is beyond the largest class. */
static size_t class_of(size_t size)
{
    size_t class = 0;
    while (class < CLASSES && ((size_t)1 << (SMALLEST_SHIFT + class)) < size)
        class ++;
    return class;
}

static size_t capacity_of(size_t class, size_t size)
{
    return class < CLASSES ? (size_t)1 << (SMALLEST_SHIFT + class) : size;
}

struct kf__slab_pool *kf__slab_pool_new(const kf_allocator *alloc, size_t keep)
{
    struct kf__slab_pool *pool = kf_alloc_zero(alloc, sizeof *pool);
    if (!pool)
        return NULL;
    pool->alloc = alloc;
    pool->keep = keep;
    if (pthread_mutex_init(&pool->lock, NULL)) {
        kf_free(alloc, pool);
        return NULL;
    }
    return pool;
}

static void free_pool(struct kf__slab_pool *pool)
{
    pthread_mutex_destroy(&pool->lock);
    kf_free(pool->alloc, pool);
}

static void free_slab(const kf_allocator *alloc, struct kf__slab *slab)
{
    kf_free(alloc, slab->bytes);
    kf_free(alloc, slab);
}

void kf__slab_pool_drop(struct kf__slab_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->dropped = true;
    pool->keep = 0;
    pool->kept = 0;
    for (size_t class = 0; class < CLASSES; class ++)
        while (pool->free[class]) {
            struct kf__slab *slab = pool->free[class];
            pool->free[class] = slab->next;
            free_slab(pool->alloc, slab);
        }
    bool last = pool->living == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last)
        free_pool(pool);
}

static struct kf__slab *take_free(struct kf__slab_pool *pool, size_t class)
{
    pthread_mutex_lock(&pool->lock);
    struct kf__slab *slab = class < CLASSES ? pool->free[class] : NULL;
    if (slab) {
        pool->free[class] = slab->next;
        pool->kept -= slab->capacity;
        pool->living++;
    }
    pthread_mutex_unlock(&pool->lock);
    return slab;
}

static struct kf__slab *make_slab(struct kf__slab_pool *pool, size_t capacity)
{
    struct kf__slab *slab = kf_alloc_zero(pool->alloc, sizeof *slab);
    if (!slab)
        return NULL;
    slab->bytes = kf_alloc(pool->alloc, capacity);
    if (!slab->bytes) {
        kf_free(pool->alloc, slab);
        return NULL;
    }
    slab->pool = pool;
    slab->capacity = capacity;
    pthread_mutex_lock(&pool->lock);
    pool->living++;
    pthread_mutex_unlock(&pool->lock);
    return slab;
}

struct kf__slab *kf__slab_take(struct kf__slab_pool *pool, size_t size)
{
    size_t class = class_of(size);
    struct kf__slab *slab = take_free(pool, class);
    if (!slab)
        slab = make_slab(pool, capacity_of(class, size));
    if (!slab)
        return NULL;
    atomic_store_explicit(&slab->references, 1, memory_order_relaxed);
    slab->released = NULL;
    slab->owner = NULL;
    slab->credit = 0;
    slab->next = NULL;
    return slab;
}

/* Two large ones: the allocator may move pages instead of bytes. */
static kf_err grow_in_place(struct kf__slab *slab, size_t size)
{
    uint8_t *bytes = kf_realloc(slab->pool->alloc, slab->bytes, size);
    if (!bytes)
        return KF_ERR_NO_MEMORY;
    slab->bytes = bytes;
    slab->capacity = size;
    return KF_OK;
}

kf_err kf__slab_grow(struct kf__slab *slab, size_t size, size_t used)
{
    assert(atomic_load(&slab->references) == 1 && used <= slab->capacity);
    if (size <= slab->capacity)
        return KF_OK;
    if (class_of(slab->capacity) == CLASSES)
        return grow_in_place(slab, size);

    struct kf__slab *larger = kf__slab_take(slab->pool, size);
    if (!larger)
        return KF_ERR_NO_MEMORY;
    memcpy(larger->bytes, slab->bytes, used);

    uint8_t *bytes = slab->bytes;
    size_t capacity = slab->capacity;
    slab->bytes = larger->bytes;
    slab->capacity = larger->capacity;
    larger->bytes = bytes;
    larger->capacity = capacity;
    kf__slab_release(larger);
    return KF_OK;
}

void kf__slab_retain(struct kf__slab *slab)
{
    unsigned before = atomic_fetch_add_explicit(&slab->references, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

static void recycle(struct kf__slab *slab)
{
    struct kf__slab_pool *pool = slab->pool;
    const kf_allocator *alloc = pool->alloc;
    size_t class = class_of(slab->capacity);

    pthread_mutex_lock(&pool->lock);
    bool keep = class < CLASSES && pool->kept + slab->capacity <= pool->keep;
    if (keep) {
        slab->next = pool->free[class];
        pool->free[class] = slab;
        pool->kept += slab->capacity;
    }
    pool->living--;
    bool last = pool->dropped && pool->living == 0;
    pthread_mutex_unlock(&pool->lock);

    /* From here on the pool may be gone, unless this was its last slab. */
    if (!keep)
        free_slab(alloc, slab);
    if (last)
        free_pool(pool);
}

void kf__slab_release(struct kf__slab *slab)
{
    /* Not a release and a fence for the last one: the thread sanitizer does not know fences. */
    if (atomic_fetch_sub_explicit(&slab->references, 1, memory_order_acq_rel) != 1)
        return;
    if (slab->released)
        slab->released(slab, slab->owner);
    recycle(slab);
}
