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

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 40);
}

/* Java's BuiltInPartitioner.partitionForKey on the same million keys, of 0 to 64 bytes. */
Test(partitioner, puts_a_million_random_keys_where_java_does)
{
    static const struct {
        int32_t partitions;
        uint32_t all;
    } java[] = {
        {1, 0x00000000u},    {7, 0x33edd86du},          {12, 0x052da7ffu},
        {1000, 0xd2f3c983u}, {2147483647, 0xdcdf2d33u},
    };
    enum {
        COUNTS = sizeof java / sizeof *java
    };
    uint32_t all[COUNTS] = {0};
    uint64_t state = 1;
    for (int i = 0; i < 1000000; i++) {
        uint8_t bytes[64];
        kf_bytes key = {bytes, next_random(&state) % 65};
        for (size_t k = 0; k < key.size; k++)
            bytes[k] = (uint8_t)(next_random(&state) >> 8);
        for (size_t c = 0; c < COUNTS; c++)
            all[c] = all[c] * 31 + (uint32_t)kf__partition_of_key(key, java[c].partitions);
    }
    for (size_t c = 0; c < COUNTS; c++)
        cr_assert(eq(u32, all[c], java[c].all), "of %d partitions", java[c].partitions);
}

/* ---- librdkafka's families: what its 2.15.1 says of 1009 partitions ---- */

static const char *const some_keys[] = {
    "",
    "a",
    "ab",
    "customer-17",
    "\xff\x80\xfe",
    "foobar",
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
};
enum {
    SOME = sizeof some_keys / sizeof *some_keys,
    MANY = 1009
};

static const struct {
    enum kf__partitioner plain;
    enum kf__partitioner with_random;
    uint32_t all; /* of 400 keys, rolled into one */
    int32_t some[SOME];
} librdkafka[] = {
    {KF__PARTITIONER_MURMUR2,
     KF__PARTITIONER_MURMUR2_RANDOM,
     0x8da4c49cu,
     {998, 496, 419, 747, 836, 761, 73}},
    {KF__PARTITIONER_CONSISTENT,
     KF__PARTITIONER_CONSISTENT_RANDOM,
     0x3b7846dfu,
     {0, 137, 747, 589, 872, 800, 881}},
    {KF__PARTITIONER_FNV1A,
     KF__PARTITIONER_FNV1A_RANDOM,
     0xb765cee4u,
     {457, 38, 403, 588, 255, 212, 864}},
};
enum {
    FAMILIES = sizeof librdkafka / sizeof *librdkafka
};

Test(partitioner, puts_a_key_where_librdkafka_does)
{
    for (size_t f = 0; f < FAMILIES; f++)
        for (size_t i = 0; i < SOME; i++) {
            kf_bytes key = {(const uint8_t *)some_keys[i], strlen(some_keys[i])};
            int32_t wanted = librdkafka[f].some[i];
            cr_assert(eq(i32, kf__partition_by(librdkafka[f].plain, key, MANY, 0), wanted));
            if (key.size)
                cr_assert(
                    eq(i32, kf__partition_by(librdkafka[f].with_random, key, MANY, 0), wanted));
        }
}

Test(partitioner, puts_keys_of_all_lengths_up_to_400_where_librdkafka_does)
{
    for (size_t f = 0; f < FAMILIES; f++) {
        uint32_t all = 0;
        for (size_t size = 0; size < 400; size++) {
            uint8_t bytes[400];
            for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)(i * 31 + size * 7);
            kf_bytes key = {bytes, size};
            all = all * 31 + (uint32_t)kf__partition_by(librdkafka[f].plain, key, MANY, 0);
        }
        cr_assert(eq(u32, all, librdkafka[f].all), "family %zu", f);
    }
}

Test(partitioner, puts_null_keys_where_empty_ones_go_unless_the_name_ends_in_random)
{
    for (size_t f = 0; f < FAMILIES; f++) {
        kf_bytes null = {NULL, 0};
        int32_t wanted = librdkafka[f].some[0];
        cr_assert(eq(i32, kf__partition_by(librdkafka[f].plain, null, MANY, 0), wanted));
        cr_assert(eq(i32, kf__partition_by(librdkafka[f].with_random, null, MANY, 0), -1));
    }
}

/* librdkafka's consistent_random is the one that spreads empty keys too. */
Test(partitioner, spreads_empty_keys_with_consistent_random_only)
{
    kf_bytes empty = {(const uint8_t *)"", 0};
    cr_assert(eq(i32, kf__partition_by(KF__PARTITIONER_CONSISTENT_RANDOM, empty, MANY, 0), -1));
    cr_assert(eq(i32, kf__partition_by(KF__PARTITIONER_MURMUR2_RANDOM, empty, MANY, 0), 998));
    cr_assert(eq(i32, kf__partition_by(KF__PARTITIONER_FNV1A_RANDOM, empty, MANY, 0), 457));
}

Test(partitioner, ignores_the_key_with_random)
{
    kf_bytes key = {(const uint8_t *)"a", 1};
    cr_assert(eq(i32, kf__partition_by(KF__PARTITIONER_RANDOM, key, 7, 12), 5));
    cr_assert(eq(i32, kf__partition_by(KF__PARTITIONER_RANDOM, (kf_bytes){NULL, 0}, 7, 12), -1));
}
