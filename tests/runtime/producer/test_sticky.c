#include "runtime/producer/sticky.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

TestSuite(sticky);

static int32_t moved(const int32_t *waiting, const bool *near, int32_t partitions, uint64_t random)
{
    struct kf__sticky sticky = {.partition = -1, .bytes = 77};
    struct kf__sticky_view view = {waiting, near, partitions};
    kf__sticky_move(&sticky, &view, random);
    cr_assert(eq(sz, sticky.bytes, 0));
    return sticky.partition;
}

Test(sticky, stays_until_the_partition_has_its_share)
{
    struct kf__sticky sticky = {.partition = 2, .bytes = 99};
    cr_assert(kf__sticky_stays(&sticky, 100, false));
    sticky.bytes = 100;
    cr_assert(not(kf__sticky_stays(&sticky, 100, false)));
}

Test(sticky, has_no_partition_at_first)
{
    struct kf__sticky sticky = {.partition = -1};
    cr_assert(not(kf__sticky_stays(&sticky, 100, true)));
}

/* Else each move would leave a batch half filled behind (KIP-794, "enableSwitch"). */
Test(sticky, fills_the_open_batch_before_it_moves_but_takes_at_most_two_shares)
{
    struct kf__sticky sticky = {.partition = 0, .bytes = 199};
    cr_assert(kf__sticky_stays(&sticky, 100, true));
    sticky.bytes = 200;
    cr_assert(not(kf__sticky_stays(&sticky, 100, true)));
}

Test(sticky, gives_all_partitions_the_same_chance_where_the_same_waits)
{
    static const int32_t waiting[] = {3, 3, 3, 3};
    int drawn[4] = {0};
    for (uint64_t random = 0; random < 400; random++)
        drawn[moved(waiting, NULL, 4, random)]++;
    for (int i = 0; i < 4; i++)
        cr_assert(eq(int, drawn[i], 100));
}

/* Queues of 0, 3, 1 weigh 4, 1, 3, as in Java's BuiltInPartitioner.updatePartitionLoadStats. */
Test(sticky, prefers_partitions_where_less_waits)
{
    static const int32_t waiting[] = {0, 3, 1};
    int drawn[3] = {0};
    for (uint64_t random = 0; random < 800; random++)
        drawn[moved(waiting, NULL, 3, random)]++;
    cr_assert(eq(int, drawn[0], 400));
    cr_assert(eq(int, drawn[1], 100));
    cr_assert(eq(int, drawn[2], 300));
}

Test(sticky, passes_over_what_must_not_be_chosen)
{
    static const int32_t waiting[] = {-1, 5, -1, 5};
    for (uint64_t random = 0; random < 20; random++)
        cr_assert(eq(i32, moved(waiting, NULL, 4, random) % 2, 1));
}

Test(sticky, takes_any_where_none_may_be_chosen)
{
    static const int32_t waiting[] = {-1, -1, -1};
    cr_assert(eq(i32, moved(waiting, NULL, 3, 7), 1));
}

Test(sticky, stays_in_the_rack_while_a_leader_stands_there)
{
    static const int32_t waiting[] = {0, 9, 0, -1};
    static const bool near[] = {false, true, false, true};
    for (uint64_t random = 0; random < 20; random++)
        cr_assert(eq(i32, moved(waiting, near, 4, random), 1));
}

Test(sticky, leaves_the_rack_where_no_leader_stands_there)
{
    static const int32_t waiting[] = {0, 0, -1};
    static const bool near[] = {false, false, true};
    cr_assert(eq(i32, moved(waiting, near, 3, 4), 0));
    cr_assert(eq(i32, moved(waiting, near, 3, 5), 1));
}
