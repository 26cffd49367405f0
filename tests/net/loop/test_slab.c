#include "net/loop/slab.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <string.h>

static struct kf__slab_pool *pool;

static void open_pool(void) { pool = kf__slab_pool_new(&kf_default_allocator, 1 << 20); }
static void drop_pool(void) { kf__slab_pool_drop(pool); }

TestSuite(slab, .init = open_pool, .fini = drop_pool);

Test(slab, rounds_up_to_a_power_of_two_and_keeps_large_sizes_exact)
{
    struct kf__slab *small = kf__slab_take(pool, 1);
    struct kf__slab *middle = kf__slab_take(pool, 4097);
    struct kf__slab *large = kf__slab_take(pool, (4 << 20) + 5);
    cr_assert(eq(sz, small->capacity, 4096));
    cr_assert(eq(sz, middle->capacity, 8192));
    cr_assert(eq(sz, large->capacity, (4 << 20) + 5));
    kf__slab_release(small);
    kf__slab_release(middle);
    kf__slab_release(large);
}

Test(slab, comes_back_warm_once_its_last_reference_is_dropped)
{
    struct kf__slab *slab = kf__slab_take(pool, 5000);
    uint8_t *bytes = slab->bytes;
    kf__slab_retain(slab);
    kf__slab_release(slab);
    struct kf__slab *other = kf__slab_take(pool, 5000);
    cr_assert(ne(ptr, other->bytes, bytes));
    kf__slab_release(slab);
    struct kf__slab *again = kf__slab_take(pool, 8192);
    cr_assert(eq(ptr, again->bytes, bytes));
    kf__slab_release(other);
    kf__slab_release(again);
}

static int told;
static void tell(struct kf__slab *slab, void *owner)
{
    cr_assert(eq(ptr, owner, &told));
    cr_assert(eq(i64, slab->credit, 77));
    told++;
}

Test(slab, tells_its_owner_once_and_forgets_it_afterwards)
{
    struct kf__slab *slab = kf__slab_take(pool, 100);
    slab->released = tell;
    slab->owner = &told;
    slab->credit = 77;
    kf__slab_release(slab);
    cr_assert(eq(int, told, 1));
    slab = kf__slab_take(pool, 100);
    cr_assert(zero(i64, slab->credit));
    kf__slab_release(slab);
    cr_assert(eq(int, told, 1));
}

Test(slab, grows_with_its_contents_within_the_classes_and_beyond)
{
    struct kf__slab *slab = kf__slab_take(pool, 4096);
    memset(slab->bytes, 'x', 4096);
    cr_assert(eq(int, kf__slab_grow(slab, 1 << 20, 4096), KF_OK));
    cr_assert(eq(sz, slab->capacity, 1 << 20));
    cr_assert(eq(int, kf__slab_grow(slab, 9 << 20, 4096), KF_OK));
    cr_assert(eq(int, kf__slab_grow(slab, 10 << 20, 4096), KF_OK));
    cr_assert(eq(sz, slab->capacity, 10 << 20));
    for (int i = 0; i < 4096; i++)
        cr_assert(eq(int, slab->bytes[i], 'x'));
    kf__slab_release(slab);
}

static void *release_all(void *argument)
{
    struct kf__slab **slabs = argument;
    for (int i = 0; i < 100; i++)
        kf__slab_release(slabs[i]);
    return NULL;
}

/* A retained message is released long after the runtime that fetched it is gone. */
Test(slab, outlives_its_pool_and_may_be_released_on_any_thread)
{
    struct kf__slab *slabs[100];
    struct kf__slab_pool *own = kf__slab_pool_new(&kf_default_allocator, 100000);
    for (int i = 0; i < 100; i++) {
        slabs[i] = kf__slab_take(own, 4096);
        kf__slab_retain(slabs[i]);
    }
    pthread_t thread;
    pthread_create(&thread, NULL, release_all, slabs);
    kf__slab_pool_drop(own);
    memset(slabs[99]->bytes, 1, 4096);
    release_all(slabs);
    pthread_join(thread, NULL);
}
