#include "group/offsets.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__offsets offsets;
static struct kf__offset one, two, three;

static void open_all(void)
{
    kf__offsets_init(&offsets);
    kf__offset_open(&one, 10, NULL);
    kf__offset_open(&two, 20, NULL);
    kf__offset_open(&three, -1, NULL);
}

TestSuite(offsets, .init = open_all);

Test(offsets, opens_at_the_groups_position_with_nothing_to_commit)
{
    cr_assert(eq(i64, one.done, 10));
    cr_assert(eq(i64, one.committed, 10));
    cr_assert(eq(i64, one.in_flight, -1));
    cr_assert(zero(ptr, kf__offsets_take(&offsets)));
    cr_assert(eq(i64, offsets.first_change, KF_FOREVER));
}

Test(offsets, takes_all_that_changed_once_in_order_of_change)
{
    kf__offset_done(&offsets, &two, 21, 3, 100);
    kf__offset_done(&offsets, &one, 11, 3, 200);
    kf__offset_done(&offsets, &two, 25, 4, 300);
    cr_assert(eq(sz, offsets.dirty_count, 2));
    cr_assert(eq(i64, offsets.first_change, 100));

    cr_assert(eq(ptr, kf__offsets_take(&offsets), &two));
    cr_assert(eq(i64, two.in_flight, 25));
    cr_assert(eq(i32, two.done_epoch, 4));
    cr_assert(eq(i64, offsets.first_change, 100));
    cr_assert(eq(ptr, kf__offsets_take(&offsets), &one));
    cr_assert(zero(ptr, kf__offsets_take(&offsets)));
    cr_assert(eq(sz, offsets.in_flight_count, 2));
    cr_assert(eq(i64, offsets.first_change, KF_FOREVER));
}

Test(offsets, ignores_a_bound_that_is_not_greater)
{
    kf__offset_done(&offsets, &one, 10, 1, 100);
    kf__offset_done(&offsets, &one, 9, 1, 100);
    cr_assert(eq(sz, offsets.dirty_count, 0));
    cr_assert(eq(i64, one.done, 10));
}

Test(offsets, counts_from_zero_where_nothing_was_committed)
{
    kf__offset_done(&offsets, &three, 0, 0, 5);
    cr_assert(eq(ptr, kf__offsets_take(&offsets), &three));
    cr_assert(eq(i64, three.in_flight, 0));
}

Test(offsets, is_clean_after_the_commit_succeeded)
{
    kf__offset_done(&offsets, &one, 15, 1, 100);
    kf__offsets_take(&offsets);
    kf__offset_settled(&offsets, &one, KF_OK, 150);
    cr_assert(eq(i64, one.committed, 15));
    cr_assert(eq(i64, one.in_flight, -1));
    cr_assert(eq(int, one.last_error, KF_OK));
    cr_assert(eq(sz, offsets.dirty_count, 0));
    cr_assert(eq(sz, offsets.in_flight_count, 0));
}

/* LR #2791: an error of one partition in an OffsetCommit answer was ignored. */
Test(offsets, becomes_dirty_again_when_the_commit_failed)
{
    kf__offset_done(&offsets, &one, 15, 1, 100);
    kf__offsets_take(&offsets);
    kf__offset_settled(&offsets, &one, KF_ERR_NOT_COORDINATOR, 150);
    cr_assert(eq(i64, one.committed, 10));
    cr_assert(eq(int, one.last_error, KF_ERR_NOT_COORDINATOR));
    cr_assert(eq(i64, offsets.first_change, 150));
    cr_assert(eq(ptr, kf__offsets_take(&offsets), &one));
    cr_assert(eq(i64, one.in_flight, 15));
    kf__offset_settled(&offsets, &one, KF_OK, 160);
    cr_assert(eq(int, one.last_error, KF_OK));
}

Test(offsets, commits_what_was_done_during_a_commit_with_the_next_one)
{
    kf__offset_done(&offsets, &one, 15, 1, 100);
    kf__offsets_take(&offsets);
    kf__offset_done(&offsets, &one, 18, 1, 120);
    cr_assert(eq(i64, one.in_flight, 15));
    cr_assert(eq(i64, offsets.first_change, 120));

    kf__offset_settled(&offsets, &one, KF_OK, 150);
    cr_assert(eq(i64, one.committed, 15));
    cr_assert(eq(ptr, kf__offsets_take(&offsets), &one));
    cr_assert(eq(i64, one.in_flight, 18));
}

Test(offsets, keeps_the_older_change_when_a_failed_one_was_dirty_already)
{
    kf__offset_done(&offsets, &one, 15, 1, 100);
    kf__offsets_take(&offsets);
    kf__offset_done(&offsets, &one, 18, 1, 120);
    kf__offset_settled(&offsets, &one, KF_ERR_TIMED_OUT, 150);
    cr_assert(eq(sz, offsets.dirty_count, 1));
    cr_assert(eq(i64, offsets.first_change, 120));
}

Test(offsets, forgets_what_is_not_committed_when_closed)
{
    kf__offset_done(&offsets, &one, 15, 1, 100);
    kf__offset_done(&offsets, &two, 25, 1, 110);
    kf__offset_done(&offsets, &three, 5, 1, 120);
    kf__offset_close(&offsets, &two);
    cr_assert(eq(sz, offsets.dirty_count, 2));
    kf__offset_done(&offsets, &two, 30, 1, 130);
    cr_assert(eq(sz, offsets.dirty_count, 2));
    cr_assert(eq(ptr, kf__offsets_take(&offsets), &one));
    cr_assert(eq(ptr, kf__offsets_take(&offsets), &three));
    cr_assert(zero(ptr, kf__offsets_take(&offsets)));
}

Test(offsets, closed_in_flight_settles_and_is_never_dirty_again)
{
    kf__offset_done(&offsets, &one, 15, 1, 100);
    kf__offset_done(&offsets, &two, 25, 1, 100);
    kf__offsets_take(&offsets);
    kf__offsets_take(&offsets);
    kf__offset_close(&offsets, &one);
    kf__offset_close(&offsets, &two);

    kf__offset_settled(&offsets, &one, KF_ERR_TIMED_OUT, 150);
    kf__offset_settled(&offsets, &two, KF_OK, 150);
    cr_assert(eq(i64, one.committed, 10));
    cr_assert(eq(i64, two.committed, 25));
    cr_assert(eq(sz, offsets.in_flight_count, 0));
    cr_assert(eq(sz, offsets.dirty_count, 0));
    cr_assert(eq(i64, offsets.first_change, KF_FOREVER));
}

Test(offsets, closing_the_last_dirty_one_leaves_no_change_to_wait_for)
{
    kf__offset_done(&offsets, &one, 15, 1, 100);
    kf__offset_close(&offsets, &one);
    cr_assert(eq(i64, offsets.first_change, KF_FOREVER));
    kf__offset_done(&offsets, &two, 25, 1, 400);
    cr_assert(eq(i64, offsets.first_change, 400));
}
