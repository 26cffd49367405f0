#include "runtime/producer/partitioner.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

TestSuite(partitioner);

/* What org.apache.kafka 4.4's Utils.murmur2 and BuiltInPartitioner.partitionForKey(…, 7) say. */
static const struct {
    const char *key;
    uint32_t hash;
    int32_t of_seven;
} golden[] = {
    {"", 0x106e08d9u, 2},
    {"a", 0xa2d0b27cu, 5},
    {"ab", 0x12d8262au, 0},
    {"abc", 0x1c94221bu, 4},
    {"abcd", 0xb11ab5f4u, 5},
    {"21", 0xc5f2f8ecu, 3},
    {"foobar", 0xd0e47bbeu, 0},
    {"a-little-bit-long-string", 0xc53b1da0u, 1},
    {"a-little-bit-longer-string", 0xa768c9c3u, 0},
    {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 0xfc7d49cdu, 3},
    {"customer-17", 0x5e6a05f0u, 6},
    {"\xc3\xbcmlaut", 0xf9c8882bu, 2},
};

Test(partitioner, hashes_text_as_java_does)
{
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        kf_bytes key = {(const uint8_t *)golden[i].key, strlen(golden[i].key)};
        cr_assert(eq(u32, kf__murmur2(key.data, key.size), golden[i].hash), "%s", golden[i].key);
        cr_assert(eq(i32, kf__partition_of_key(key, 7), golden[i].of_seven), "%s", golden[i].key);
    }
}

/* Bytes above 127 are negative in Java: every place where a sign could slip in. */
Test(partitioner, hashes_high_bytes_of_every_tail_length_as_java_does)
{
    static const uint8_t bytes[] = {0xff, 0x80, 0xfe, 0, 1, 0x9c, 0xaa};
    static const uint32_t hashes[] = {0x106e08d9u, 0xed6f615bu, 0xe59b9490u, 0x390b8dddu,
                                      0x2004f2a9u, 0xdc09593au, 0x30346b45u, 0xb8079f2du};
    static const int32_t of_twelve[] = {9, 3, 8, 1, 9, 2, 9, 9};
    for (size_t size = 0; size <= sizeof bytes; size++) {
        cr_assert(eq(u32, kf__murmur2(bytes, size), hashes[size]));
        cr_assert(eq(i32, kf__partition_of_key((kf_bytes){bytes, size}, 12), of_twelve[size]));
    }
}

Test(partitioner, hashes_keys_of_all_lengths_up_to_a_thousand_as_java_does)
{
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31);
    uint32_t all = 0;
    for (size_t size = 0; size <= sizeof bytes; size++)
        all = all * 31 + kf__murmur2(bytes, size);
    cr_assert(eq(u32, all, 0x4736a661u));
}

Test(partitioner, stays_on_a_partition_until_it_has_its_share_of_bytes)
{
    static const bool available[] = {true, true, true};
    struct kf__sticky sticky = {.partition = -1};
    int32_t first = kf__sticky_next(&sticky, 60, 100, available, 3, 1);
    cr_assert(eq(i32, first, 1));
    cr_assert(eq(i32, kf__sticky_next(&sticky, 60, 100, available, 3, 2), first));
    int32_t second = kf__sticky_next(&sticky, 60, 100, available, 3, 2);
    cr_assert(eq(i32, second, 2));
}

Test(partitioner, never_moves_to_the_partition_it_leaves)
{
    static const bool available[] = {true, false, true};
    struct kf__sticky sticky = {.partition = 0, .bytes = 100};
    cr_assert(eq(i32, kf__sticky_next(&sticky, 1, 100, available, 3, 0), 2));
}

Test(partitioner, leaves_a_partition_that_lost_its_leader_at_once)
{
    static const bool available[] = {false, true};
    struct kf__sticky sticky = {.partition = 0, .bytes = 1};
    cr_assert(eq(i32, kf__sticky_next(&sticky, 1, 100, available, 2, 0), 1));
}

Test(partitioner, takes_any_partition_where_none_has_a_leader)
{
    static const bool available[] = {false, false};
    struct kf__sticky sticky = {.partition = -1};
    cr_assert(eq(i32, kf__sticky_next(&sticky, 1, 100, available, 2, 5), 1));
}
