#include "group/help_alloc.h"
#include "group/help_cases.h"
#include "group/java_order.h"
#include "group/partitions.h"
#include "group/subscription.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static kf_arena arena;

static void open_arena(void) { kf_arena_init(&arena, &kf_default_allocator, 0); }
static void close_arena(void) { kf_arena_free(&arena); }

TestSuite(subscription, .init = open_arena, .fini = close_arena);

static const kf_string topics[] = {{"orders", 6}, {"t", 1}};

static kf_bytes encode(int16_t version)
{
    struct kf__subscription subscription = {
        .topics = topics,
        .topic_count = 2,
        .owned = parse_partitions(&arena, "t:1,orders:3,orders:0"),
        .generation = 7,
        .rack = {"r1", 2},
        .user_data = {(const uint8_t *)"ud", 2},
    };
    kf_bytes bytes;
    cr_assert(eq(int, kf__subscription_encode(&subscription, version, &arena, &bytes), KF_OK));
    return bytes;
}

static struct kf__subscription decode(kf_bytes bytes)
{
    struct kf__subscription subscription;
    cr_assert(eq(int, kf__subscription_decode(bytes, &arena, &subscription), KF_OK));
    return subscription;
}

static const char *hex(kf_bytes bytes)
{
    static char text[1024];
    text[0] = '\0';
    for (size_t i = 0; i < bytes.size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes.data[i]);
    return text;
}

static kf_bytes from_hex(const char *text)
{
    size_t size = strlen(text) / 2;
    uint8_t *data = kf_arena_alloc(&arena, size + 1);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        sscanf(text + 2 * i, "%2x", &byte);
        data[i] = (uint8_t)byte;
    }
    return (kf_bytes){data, size};
}

Test(subscription, comes_back_as_far_as_its_version_carries_it)
{
    for (int16_t version = 0; version <= KF__SUBSCRIPTION_VERSION; version++) {
        struct kf__subscription read = decode(encode(version));
        cr_assert(eq(sz, read.topic_count, 2));
        cr_assert(eq(int, kf__string_compare(read.topics[0], topics[0]), 0));
        cr_assert(eq(int, kf__string_compare(read.topics[1], topics[1]), 0));
        cr_assert(eq(sz, read.user_data.size, 2));
        cr_assert(eq(sz, read.owned.count, version >= 1 ? 3 : 0));
        cr_assert(eq(i32, read.generation, version >= 2 ? 7 : -1));
        cr_assert(eq(sz, read.rack.size, version >= 3 ? 2 : 0));
    }
    struct kf__partition_list wanted = parse_partitions(&arena, "orders:0,orders:3,t:1");
    struct kf__subscription read = decode(encode(3));
    cr_assert(eq(sz, kf__partitions_missing(&read.owned, &wanted), 0));
}

Test(subscription, has_the_bytes_of_the_consumer_protocol)
{
    cr_assert(eq(str, (char *)hex(encode(3)),
                 "0003"
                 "00000002"
                 "00066f7264657273"
                 "000174"
                 "00000002"
                 "7564"
                 "00000002"
                 "00066f7264657273"
                 "00000002"
                 "00000000"
                 "00000003"
                 "000174"
                 "00000001"
                 "00000001"
                 "00000007"
                 "00027231"));
}

Test(subscription, reads_a_version_to_come_as_the_newest_it_knows)
{
    kf_bytes bytes = encode(3);
    uint8_t *longer = kf_arena_alloc(&arena, bytes.size + 5);
    memcpy(longer, bytes.data, bytes.size);
    memcpy(longer + bytes.size, "extra", 5);
    longer[1] = 9;
    struct kf__subscription read = decode((kf_bytes){longer, bytes.size + 5});
    cr_assert(eq(i32, read.generation, 7));
    cr_assert(eq(sz, read.rack.size, 2));
}

/* Some clients announce version 1 and end where version 0 does. */
Test(subscription, reads_a_version_1_that_lacks_the_owned_partitions)
{
    kf_bytes bytes = encode(0);
    ((uint8_t *)(uintptr_t)bytes.data)[1] = 1;
    struct kf__subscription read = decode(bytes);
    cr_assert(eq(sz, read.topic_count, 2));
    cr_assert(eq(sz, read.owned.count, 0));
}

Test(subscription, refuses_whatever_is_cut_short)
{
    for (int16_t version = 0; version <= 3; version++) {
        kf_bytes bytes = encode(version);
        kf_bytes whole_v0 = encode(0);
        for (size_t size = 0; size < bytes.size; size++) {
            struct kf__subscription read;
            kf_err err = kf__subscription_decode((kf_bytes){bytes.data, size}, &arena, &read);
            bool is_v0 = version == 1 && size == whole_v0.size;
            cr_assert(eq(int, err, is_v0 ? KF_OK : KF_ERR_BAD_ASSIGNMENT), "v%d, %zu bytes",
                      version, size);
        }
    }
}

Test(subscription, refuses_sizes_that_its_bytes_cannot_hold)
{
    static const char *const bad[] = {
        "0003ffffffff",                 /* topics: null */
        "00037fffffff",                 /* topics: two thousand million */
        "000300000001fff1",             /* a name of negative length */
        "000300000000fffffffe",         /* user data of negative length */
        "000100000000ffffffff7fffffff", /* owned */
        "ffff00000000ffffffff",         /* version -1 */
        "00",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct kf__subscription read;
        cr_assert(eq(int, kf__subscription_decode(from_hex(bad[i]), &arena, &read),
                     KF_ERR_BAD_ASSIGNMENT),
                  "%s", bad[i]);
    }
}

Test(subscription, carries_an_assignment_and_reads_none_as_none)
{
    struct kf__partition_list list = parse_partitions(&arena, "orders:0,orders:1,t:5");
    struct kf__partition_list read;
    for (int16_t version = 0; version <= KF__ASSIGNMENT_VERSION; version++) {
        kf_bytes bytes;
        cr_assert(eq(int, kf__assignment_encode(&list, version, &arena, &bytes), KF_OK));
        cr_assert(eq(int, kf__assignment_decode(bytes, &arena, &read), KF_OK));
        cr_assert(eq(sz, read.count, 3));
        cr_assert(eq(sz, kf__partitions_missing(&read, &list), 0));
        for (size_t size = 1; size < bytes.size; size++)
            cr_assert(eq(int, kf__assignment_decode((kf_bytes){bytes.data, size}, &arena, &read),
                         KF_ERR_BAD_ASSIGNMENT));
    }
    cr_assert(eq(int, kf__assignment_decode((kf_bytes){0}, &arena, &read), KF_OK));
    cr_assert(eq(sz, read.count, 0));
}

Test(subscription, refuses_an_assignment_of_a_negative_partition)
{
    struct kf__partition_list read;
    cr_assert(eq(int,
                 kf__assignment_decode(from_hex("000000000001000174"
                                                "00000001ffffffff"
                                                "ffffffff"),
                                       &arena, &read),
                 KF_ERR_BAD_ASSIGNMENT));
}

/* The bytes are those that Java's StickyAssignor (4.4.0) sends for the same. */
Test(subscription, has_the_sticky_assignors_user_data_byte_for_byte)
{
    static const struct {
        const char *owned;
        int32_t generation;
        const char *bytes;
    } cases[] = {
        {"orders:0,orders:7,payments:1", 5,
         "0000000200087061796d656e7473000000010000000100066f7264657273000000020000000000000007"
         "00000005"},
        {"Foo.bar:2,a:0,metrics-x:1,metrics-x:2,orders:0,t1:3,t10:1,t2:4,zz:0", 0,
         "0000000800027a7a0000000100000000000161000000010000000000037431300000000100000001"
         "00096d6574726963732d7800000002000000010000000200066f7264657273000000010000000000"
         "07466f6f2e6261720000000100000002000274310000000100000003000274320000000100000004"
         "00000000"},
        {"-", 3, "0000000000000003"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kf__partition_list owned = parse_partitions(&arena, cases[i].owned);
        struct kf__partition_list read;
        int32_t generation;
        kf_bytes bytes;
        cr_assert(
            eq(int, kf__sticky_data_encode(&owned, cases[i].generation, &arena, &bytes), KF_OK));
        cr_assert(eq(str, (char *)hex(bytes), (char *)cases[i].bytes));
        cr_assert(eq(int, kf__sticky_data_decode(bytes, &arena, &read, &generation), KF_OK));
        cr_assert(eq(i32, generation, cases[i].generation));
        cr_assert(eq(sz, read.count, owned.count));
        cr_assert(eq(sz, kf__partitions_missing(&read, &owned), 0));

        bytes.size -= 4; /* v0: before Kafka 2.3, without a generation */
        cr_assert(eq(int, kf__sticky_data_decode(bytes, &arena, &read, &generation), KF_OK));
        cr_assert(eq(i32, generation, -1));
        cr_assert(eq(sz, read.count, owned.count));
        for (size_t size = 1; size < bytes.size; size++)
            cr_assert(
                eq(int,
                   kf__sticky_data_decode((kf_bytes){bytes.data, size}, &arena, &read, &generation),
                   KF_ERR_BAD_ASSIGNMENT));
    }
}

Test(subscription, has_the_cooperative_assignors_user_data_byte_for_byte)
{
    kf_bytes bytes;
    cr_assert(eq(int, kf__cooperative_data_encode(5, &arena, &bytes), KF_OK));
    cr_assert(eq(str, (char *)hex(bytes), "00000005"));
    cr_assert(eq(i32, kf__cooperative_data_generation(bytes), 5));
    cr_assert(eq(int, kf__cooperative_data_encode(-1, &arena, &bytes), KF_OK));
    cr_assert(eq(str, (char *)hex(bytes), "ffffffff"));
    cr_assert(eq(i32, kf__cooperative_data_generation((kf_bytes){bytes.data, 3}), -1));
    cr_assert(eq(i32, kf__cooperative_data_generation((kf_bytes){0}), -1));
}

Test(subscription, hashes_and_compares_names_as_java_does)
{
    cr_assert(eq(i32, kf__java_hash((kf_string){"", 0}), 0));
    cr_assert(eq(i32, kf__java_hash((kf_string){"orders", 6}), -1008770331));
    cr_assert(eq(i32, kf__java_hash((kf_string){"\xc3\xa9", 2}), 0xE9));
    /* U+1F600 is the pair D83D DE00 */
    cr_assert(eq(i32, kf__java_hash((kf_string){"\xf0\x9f\x98\x80", 4}), 0xD83D * 31 + 0xDE00));
    cr_assert(lt(int, kf__java_compare((kf_string){"a", 1}, (kf_string){"ab", 2}), 0));
    cr_assert(lt(int, 0, kf__java_compare((kf_string){"b", 1}, (kf_string){"ab", 2})));
    /* U+FF5E comes after U+1F600 in UTF-16, before it in UTF-8. */
    cr_assert(
        lt(int, 0,
           kf__java_compare((kf_string){"\xef\xbd\x9e", 3}, (kf_string){"\xf0\x9f\x98\x80", 4})));
}

Test(subscription, reports_every_allocation_that_fails)
{
    struct failing_allocator failing = {.failed = true};
    kf_bytes bytes = encode(3);
    struct kf__partition_list list = parse_partitions(&arena, "orders:0,orders:1,t:5");
    for (long at = 0; failing.failed; at++) {
        failing_allocator_init(&failing, at);
        kf_arena small;
        kf_arena_init(&small, &failing.alloc, 0);
        struct kf__subscription read;
        kf_bytes written;
        int32_t generation;
        kf_err err = kf__subscription_decode(bytes, &small, &read);
        if (!err)
            err = kf__subscription_encode(&read, 3, &small, &written);
        if (!err)
            err = kf__assignment_encode(&list, 3, &small, &written);
        if (!err)
            err = kf__assignment_decode(written, &small, &list);
        if (!err)
            err = kf__sticky_data_encode(&list, 3, &small, &written);
        if (!err)
            err = kf__sticky_data_decode(written, &small, &list, &generation);
        cr_assert(eq(int, err, failing.failed ? KF_ERR_NO_MEMORY : KF_OK));
        list = parse_partitions(&arena, "orders:0,orders:1,t:5");
        kf_arena_free(&small);
    }
}
