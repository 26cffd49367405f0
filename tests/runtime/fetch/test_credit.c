#include "runtime/fetch/credit.h"

#include "runtime/fetch/held.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__loop *loop;
static struct kf__slab_pool *pool;
static struct kf__credit *credit;
static struct kf__task returned;
static int told;

static void count_told(struct kf__task *task)
{
    (void)task;
    told++;
}

static void open_all(void)
{
    cr_assert(kf__loop_open(&kf_default_allocator, &kf__real_world, KF__BACKEND_AUTO, &loop) == 0);
    pool = kf__slab_pool_new(&kf_default_allocator, 0);
    returned.run = count_told;
    credit = kf__credit_new(&kf_default_allocator, loop, 10000, 20000, &returned);
    cr_assert(credit != NULL);
}

static void close_all(void)
{
    kf__credit_drop(credit);
    kf__slab_pool_drop(pool);
    kf__loop_close(loop);
}

TestSuite(credit, .init = open_all, .fini = close_all);

static long long reserved(void) { return atomic_load(&credit->reserved); }
static long long held(void) { return atomic_load(&credit->held); }

Test(credit, gives_what_there_is_between_least_and_most)
{
    cr_assert(eq(i64, kf__credit_reserve(credit, 100, 6000), 6000));
    cr_assert(eq(i64, kf__credit_reserve(credit, 100, 6000), 4000));
    cr_assert(eq(i64, kf__credit_reserve(credit, 100, 6000), 0));
    kf__credit_unreserve(credit, 10000);
    cr_assert(eq(i64, reserved(), 0));
}

Test(credit, tells_once_when_something_comes_back_after_a_refusal)
{
    kf__credit_reserve(credit, 1, 10000);
    kf__credit_unreserve(credit, 1);
    kf__loop_turn(loop, 0);
    cr_assert(eq(int, told, 0), "nobody was refused");
    cr_assert(eq(i64, kf__credit_reserve(credit, 500, 500), 0));
    kf__credit_unreserve(credit, 1);
    kf__credit_unreserve(credit, 1);
    kf__loop_turn(loop, 0);
    cr_assert(eq(int, told, 1));
}

Test(credit, a_wish_outlives_anothers_success)
{
    kf__credit_reserve(credit, 1, 9000);
    cr_assert(eq(i64, kf__credit_reserve(credit, 5000, 5000), 0));
    cr_assert(eq(i64, kf__credit_reserve(credit, 500, 500), 500));
    kf__credit_unreserve(credit, 9000);
    kf__loop_turn(loop, 0);
    cr_assert(eq(int, told, 1));
}

Test(credit, a_slab_counts_until_its_last_batch_is_started)
{
    struct kf__slab *slab = kf__slab_take(pool, 4096);
    cr_assert(eq(int, kf__credit_hold(credit, slab, 2), KF_OK));
    cr_assert(eq(i64, reserved(), 4096));
    cr_assert(eq(i64, held(), 4096));
    kf__credit_started(slab);
    cr_assert(eq(i64, reserved(), 4096));
    kf__credit_started(slab);
    cr_assert(eq(i64, reserved(), 0));
    cr_assert(eq(i64, held(), 4096));
    /* A second response in the same slab. */
    kf__credit_hold(credit, slab, 1);
    cr_assert(eq(i64, reserved(), 4096));
    cr_assert(eq(i64, held(), 4096));
    kf__credit_started(slab);
    kf__slab_release(slab);
    cr_assert(eq(i64, reserved(), 0));
    cr_assert(eq(i64, held(), 0));
}

Test(credit, memory_in_use_leaves_less_to_fetch)
{
    struct kf__slab *slab = kf__slab_take(pool, 16384);
    kf__credit_hold(credit, slab, 1);
    kf__credit_started(slab);
    cr_assert(eq(i64, kf__credit_reserve(credit, 1, 10000), 20000 - 16384));
    kf__slab_release(slab);
}

Test(credit, a_slab_outlives_it)
{
    struct kf__slab *slab = kf__slab_take(pool, 4096);
    kf__credit_hold(credit, slab, 1);
    cr_assert(eq(i64, kf__credit_reserve(credit, 10000, 10000), 0));
    kf__credit_drop(credit);
    kf__loop_turn(loop, 0);
    kf__credit_started(slab);
    kf__slab_release(slab);
    kf__loop_turn(loop, 0);
    cr_assert(eq(int, told, 0), "whoever waited has gone");
    credit = NULL;
}
