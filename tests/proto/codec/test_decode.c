/* Bytes that lie: what a hostile or broken peer may send. */
#include "tests/proto/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_arena arena;
static uint8_t bytes[4096];

static void setup(void) { kf_arena_init(&arena, &kf_default_allocator, 0); }
static void teardown(void) { kf_arena_free(&arena); }

TestSuite(decode, .init = setup, .fini = teardown);

static kf_err metadata_request(int16_t version, const char *hex)
{
    struct kf_metadata_request m;
    size_t size = from_hex(hex, bytes, sizeof bytes);
    return kf_decode(&kf_schema_of_metadata_request, version, bytes, size, &arena, &m);
}

static kf_err api_versions_request(const char *hex)
{
    struct kf_api_versions_request m;
    size_t size = from_hex(hex, bytes, sizeof bytes);
    return kf_decode(&kf_schema_of_api_versions_request, 4, bytes, size, &arena, &m);
}

static kf_err fetch_request(const char *hex)
{
    struct kf_fetch_request m;
    size_t size = from_hex(hex, bytes, sizeof bytes);
    return kf_decode(&kf_schema_of_fetch_request, 18, bytes, size, &arena, &m);
}

#define FETCH "000001f400000001001000000100000000ffffffff010101" /* up to the tags */

Test(decode, refuses_every_truncation)
{
    const char *golden = "03000102030405060708090a0b0c0d0e0f00000000000000000000000000000000000007"
                         "6f726465727300000100";
    struct kf_metadata_request m;
    size_t size = from_hex(golden, bytes, sizeof bytes);
    for (size_t cut = 0; cut < size; cut++)
        cr_assert(
            lt(int, kf_decode(&kf_schema_of_metadata_request, 13, bytes, cut, &arena, &m), 0));
    cr_assert(
        eq(int, kf_decode(&kf_schema_of_metadata_request, 13, bytes, size, &arena, &m), KF_OK));
}

Test(decode, refuses_bytes_left_over)
{
    cr_assert(eq(int, metadata_request(1, "ffffffff00"), KF_ERR_TRAILING_BYTES));
}

Test(decode, prefix_says_how_much_it_took)
{
    struct kf_metadata_request m;
    size_t used = 0;
    cr_assert(eq(int,
                 kf_decode_prefix(&kf_schema_of_metadata_request, 1, "\xff\xff\xff\xff\1", 5,
                                  &arena, &m, &used),
                 KF_OK));
    cr_assert(eq(sz, used, 4));
}

Test(decode, refuses_null_before_the_version_that_allows_it)
{
    cr_assert(eq(int, metadata_request(0, "ffffffff"), KF_ERR_NULL_FIELD));
}

Test(decode, refuses_a_count_below_minus_one)
{
    cr_assert(eq(int, metadata_request(1, "fffffffe"), KF_ERR_BAD_COUNT));
}

/* A topic of v1 takes at least 2 bytes: 4 of them can't be 3 topics. */
Test(decode, refuses_a_count_that_the_bytes_left_cannot_hold)
{
    cr_assert(eq(int, metadata_request(1, "0000000300000000"), KF_ERR_BAD_COUNT));
    cr_assert(eq(int, metadata_request(1, "0000000200000000"), KF_OK));
    cr_assert(eq(int, metadata_request(1, "7fffffff00000000"), KF_ERR_BAD_COUNT));
    cr_assert(eq(sz, arena.chunks ? 1 : 0, 1));
    cr_assert(lt(sz, arena.held, 10000));
}

Test(decode, reads_a_padded_varint)
{
    cr_assert(eq(int,
                 api_versions_request("826100"
                                      "0131" /* one char each */
                                      "00"),
                 KF_ERR_TRUNCATED)); /* 0x82 0x61 is 12418 */
    cr_assert(eq(int,
                 api_versions_request("828080800061"
                                      "0231"
                                      "00"),
                 KF_OK));
}

Test(decode, refuses_a_varint_beyond_five_bytes_or_32_bits)
{
    cr_assert(eq(int, api_versions_request("82808080800061023100"), KF_ERR_VARINT));
    cr_assert(eq(int, api_versions_request("828080801061023100"), KF_ERR_VARINT));
}

Test(decode, refuses_tags_twice_or_out_of_order)
{
    cr_assert(eq(int,
                 api_versions_request("02610231020100"
                                      "0200"),
                 KF_OK));
    cr_assert(eq(int,
                 api_versions_request("02610231020200"
                                      "0100"),
                 KF_ERR_BAD_TAG));
    cr_assert(eq(int,
                 api_versions_request("02610231020200"
                                      "0200"),
                 KF_ERR_BAD_TAG));
}

Test(decode, refuses_a_known_tag_that_does_not_fill_its_size)
{
    cr_assert(eq(int, fetch_request(FETCH "0100020263"), KF_OK));
    cr_assert(eq(int, fetch_request(FETCH "010003026300"), KF_ERR_BAD_TAG));
    cr_assert(eq(int, fetch_request(FETCH "0100010263"), KF_ERR_BAD_TAG));
}

Test(decode, stops_at_the_memory_limit)
{
    kf_arena_free(&arena);
    kf_arena_init(&arena, &kf_default_allocator, 1000);
    memset(bytes, 0, sizeof bytes);
    bytes[2] = 4; /* 1024 topics of 2 bytes each, all empty names */
    struct kf_metadata_request m;
    cr_assert(eq(int, kf_decode(&kf_schema_of_metadata_request, 1, bytes, 4 + 2048, &arena, &m),
                 KF_ERR_MESSAGE_TOO_COMPLEX));
    cr_assert(le(sz, arena.held, 1000));
}

Test(decode, leaves_no_half_message_behind)
{
    struct kf_metadata_request m;
    size_t size = from_hex("000000020001610003", bytes, sizeof bytes);
    cr_assert(eq(int, kf_decode(&kf_schema_of_metadata_request, 1, bytes, size, &arena, &m),
                 KF_ERR_TRUNCATED));
    cr_assert(eq(int, m.topics.count, 0));
    cr_assert(zero(ptr, m.topics.items));
}

/* ---- what a consumer of the future says ---- */

/* A subscription v4: topics ["a"], no user data, owned ["a": 1], generation 7, rack "r", news. */
#define SUBSCRIPTION                                                                               \
    "00000001000161ffffffff000000010001610000000100000001000000070001"                             \
    "72"
#define NEWS "00000005cafe"

static void read_as(int16_t version, const char *hex,
                    struct kf_consumer_protocol_subscription *subscription)
{
    size_t size = from_hex(hex, bytes, sizeof bytes);
    cr_assert(eq(int,
                 kf_decode(&kf_schema_of_consumer_protocol_subscription, version, bytes, size,
                           &arena, subscription),
                 KF_OK));
}

static void encodes_to(int16_t version,
                       const struct kf_consumer_protocol_subscription *subscription, size_t size)
{
    kf_writer out;
    kf_writer_init(&out, &kf_default_allocator);
    cr_assert(eq(
        int, kf_encode(&kf_schema_of_consumer_protocol_subscription, version, subscription, &out),
        KF_OK));
    cr_assert(eq(sz, out.used, size));
    cr_assert(eq(int, memcmp(out.bytes, bytes, size), 0));
    kf_writer_free(&out);
}

Test(decode, newer_consumer_data_is_read_as_the_newest_known_and_keeps_its_tail)
{
    struct kf_consumer_protocol_subscription subscription;
    read_as(4, SUBSCRIPTION NEWS, &subscription);
    cr_assert(eq(int, subscription.generation_id, 7));
    cr_assert(eq(sz, subscription.rack_id.size, 1));
    cr_assert(eq(int, subscription.unknown_tags.count, 1));
    cr_assert(eq(u32, subscription.unknown_tags.items->tag, KF_TAIL));
    cr_assert(eq(sz, subscription.unknown_tags.items->bytes.size, 6));
    encodes_to(4, &subscription, 33 + 6);
}

Test(decode, consumer_data_without_a_tail_has_none)
{
    struct kf_consumer_protocol_subscription subscription;
    read_as(4, SUBSCRIPTION, &subscription);
    cr_assert(eq(int, subscription.unknown_tags.count, 0));
    encodes_to(3, &subscription, 33);
}

/* Version 1 ends after the owned partitions: what Kafka would drop there stays. */
Test(decode, consumer_data_of_a_known_version_keeps_its_tail_too)
{
    struct kf_consumer_protocol_subscription subscription;
    read_as(1, SUBSCRIPTION, &subscription);
    cr_assert(eq(int, subscription.generation_id, -1));
    encodes_to(1, &subscription, 33);
}

Test(decode, a_tail_needs_room_in_the_arena)
{
    struct kf_consumer_protocol_assignment assignment;
    kf_arena small;
    kf_arena_init(&small, &kf_default_allocator, 8);
    size_t size = from_hex("00000000ffffffff" NEWS, bytes, sizeof bytes);
    cr_assert(eq(
        int,
        kf_decode(&kf_schema_of_consumer_protocol_assignment, 4, bytes, size, &small, &assignment),
        KF_ERR_MESSAGE_TOO_COMPLEX));
    cr_assert(eq(int, assignment.unknown_tags.count, 0));
    kf_arena_free(&small);
}

Test(decode, only_the_message_itself_may_have_a_tail)
{
    struct kf_consumer_protocol_subscription subscription;
    read_as(3, SUBSCRIPTION, &subscription);
    struct kf_tag tail = {KF_TAIL, {(const uint8_t *)"x", 1}};
    subscription.owned_partitions.items->unknown_tags = (struct kf_tags){&tail, 1};
    kf_writer out;
    kf_writer_init(&out, &kf_default_allocator);
    cr_assert(eq(int,
                 kf_encode(&kf_schema_of_consumer_protocol_subscription, 3, &subscription, &out),
                 KF_ERR_FIELD_NOT_IN_VERSION));
    kf_writer_free(&out);
}

/* Long values are read on a way of their own: lengths of two and three bytes, and around them. */
Test(decode, reads_bytes_of_every_length_of_length)
{
    static uint8_t frame[20000];
    static const size_t sizes[] = {0, 1, 126, 127, 128, 16382, 16383, 16384};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct kf_sasl_authenticate_request sent, got;
        kf_writer out;
        memset(frame, 7, sizeof frame);
        kf_writer_init(&out, &kf_default_allocator);
        kf_reset(&kf_schema_of_sasl_authenticate_request, &sent);
        sent.auth_bytes = (kf_bytes){frame, sizes[i]};
        cr_assert(eq(int, kf_encode(&kf_schema_of_sasl_authenticate_request, 2, &sent, &out), 0));
        cr_assert(eq(int,
                     kf_decode(&kf_schema_of_sasl_authenticate_request, 2, out.bytes, out.used,
                               &arena, &got),
                     KF_OK));
        cr_assert(eq(sz, got.auth_bytes.size, sizes[i]));
        for (size_t cut = 0; cut < out.used; cut += out.used / 50 + 1)
            cr_assert(eq(
                int,
                kf_decode(&kf_schema_of_sasl_authenticate_request, 2, out.bytes, cut, &arena, &got),
                KF_ERR_TRUNCATED));
        kf_writer_free(&out);
    }
}
