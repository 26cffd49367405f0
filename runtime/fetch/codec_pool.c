/* codec_pool: see codec_pool.h. A stack under a mutex, taken once a compressed batch. */
#include "runtime/fetch/codec_pool.h"

#include <pthread.h>

struct entry {
    struct kf__codecs codecs; /* first: an entry is found by its codecs */
    struct entry *next;
};

struct kf__codec_pool {
    const kf_allocator *alloc;
    pthread_mutex_t lock;
    struct entry *free;
};

struct kf__codec_pool *kf__codec_pool_new(const kf_allocator *alloc)
{
    struct kf__codec_pool *pool = kf_alloc_zero(alloc, sizeof *pool);
    if (!pool)
        return NULL;
    pool->alloc = alloc;
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

void kf__codec_pool_free(struct kf__codec_pool *pool)
{
    if (!pool)
        return;
    while (pool->free) {
        struct entry *entry = pool->free;
        pool->free = entry->next;
        kf__codecs_free(&entry->codecs);
        kf_free(pool->alloc, entry);
    }
    pthread_mutex_destroy(&pool->lock);
    kf_free(pool->alloc, pool);
}

struct kf__codecs *kf__codec_pool_take(struct kf__codec_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct entry *entry = pool->free;
    if (entry)
        pool->free = entry->next;
    pthread_mutex_unlock(&pool->lock);
    if (entry)
        return &entry->codecs;
    entry = kf_alloc_zero(pool->alloc, sizeof *entry);
    if (!entry)
        return NULL;
    kf__codecs_init(&entry->codecs, pool->alloc);
    return &entry->codecs;
}

void kf__codec_pool_give(struct kf__codec_pool *pool, struct kf__codecs *codecs)
{
    struct entry *entry = (struct entry *)(void *)codecs;
    pthread_mutex_lock(&pool->lock);
    entry->next = pool->free;
    pool->free = entry;
    pthread_mutex_unlock(&pool->lock);
}
