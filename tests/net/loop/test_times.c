/* times: deadlines that do not wrap, and waits that grow. */
#include "net/loop/times.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdint.h>
#include <time.h>

TestSuite(times, .timeout = 60);

Test(times, doubles_a_wait_with_each_failure_up_to_the_longest)
{
    /* The middle of the random part is the wait itself. */
    cr_assert(eq(i64, kf__back_off(1000, 8000, 0, 200), 1000));
    cr_assert(eq(i64, kf__back_off(1000, 8000, 1, 400), 2000));
    cr_assert(eq(i64, kf__back_off(1000, 8000, 3, 1600), 8000));
    cr_assert(eq(i64, kf__back_off(1000, 8000, INT32_MAX, 1600), 8000));
    cr_assert(eq(i64, kf__back_off(9000, 8000, 0, 1600), 8000));
}

/* retry.backoff.ms=0: each try once cost as many steps as had failed before it. */
Test(times, finds_at_once_that_nothing_doubled_is_nothing)
{
    clock_t began = clock();
    cr_assert(eq(i64, kf__back_off(0, 8000, INT32_MAX, 7), 0));
    cr_assert(lt(i64, (int64_t)(clock() - began), (int64_t)CLOCKS_PER_SEC / 4));
}

Test(times, ends_at_for_ever)
{
    cr_assert(eq(i64, kf__after(10, 5), 15));
    cr_assert(eq(i64, kf__after(10, KF_FOREVER), KF_FOREVER));
    cr_assert(eq(i64, kf__after(10, KF_FOREVER - 10), KF_FOREVER));
}
