/* Decoding and encoding against bytes of Kafka's own classes. */
#include "tests/proto/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

enum {
    ROOM = 4096
};

static kf_arena arena;
static kf_writer writer;
static uint8_t bytes[ROOM];
static char hex[2 * ROOM + 1];

static void setup(void)
{
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_writer_init(&writer, &kf_default_allocator);
}

static void teardown(void)
{
    kf_arena_free(&arena);
    kf_writer_free(&writer);
}

TestSuite(codec_golden, .init = setup, .fini = teardown);

static kf_err decode(const kf_schema *schema, int16_t version, const char *golden, void *message)
{
    size_t size = from_hex(golden, bytes, ROOM);
    return kf_decode(schema, version, bytes, size, &arena, message);
}

static const char *encode(const kf_schema *schema, int16_t version, const void *message)
{
    kf_err err = kf_encode(schema, version, message, &writer);
    return err ? kf_err_name(err) : to_hex(&writer, hex);
}

#define METADATA_RESPONSE_12                                                                       \
    "00000007020000000102680000238400000263000000010200000274000102030405060708090a0b0c0d0e0f0002" \
    "000000000003000000010000000503000000010000000202000000010100800000000000"

Test(codec_golden, decodes_a_metadata_response)
{
    struct kf_metadata_response m;
    cr_assert(eq(int, decode(&kf_schema_of_metadata_response, 12, METADATA_RESPONSE_12, &m), 0));
    cr_assert(eq(int, m.throttle_time_ms, 7));
    cr_assert(eq(int, m.brokers.count, 1));
    cr_assert(eq(int, m.brokers.items[0].port, 9092));
    cr_assert(eq(int, m.brokers.items[0].host.data[0], 'h'));
    cr_assert(zero(ptr, (void *)m.brokers.items[0].rack.data));
    cr_assert(eq(int, m.topics.count, 1));
    cr_assert(eq(int, m.topics.items[0].topic_id.bytes[15], 15));
    cr_assert(eq(int, m.topics.items[0].topic_authorized_operations, INT32_MIN));
    cr_assert(eq(int, m.topics.items[0].partitions.items[0].partition_index, 3));
    cr_assert(eq(int, m.topics.items[0].partitions.items[0].leader_epoch, 5));
    cr_assert(eq(int, m.topics.items[0].partitions.items[0].replica_nodes.items[1], 2));
    cr_assert(eq(int, m.topics.items[0].partitions.items[0].offline_replicas.count, 0));
    /* A field of a later version has its default. */
    cr_assert(eq(int, m.error_code, 0));
    cr_assert(eq(int, m.cluster_authorized_operations, INT32_MIN));
}

Test(codec_golden, encodes_what_it_decoded_to_the_same_bytes)
{
    struct kf_metadata_response m;
    decode(&kf_schema_of_metadata_response, 12, METADATA_RESPONSE_12, &m);
    cr_assert(
        eq(str, (char *)encode(&kf_schema_of_metadata_response, 12, &m), METADATA_RESPONSE_12));
}

Test(codec_golden, encodes_null_array_of_a_classic_version)
{
    struct kf_metadata_request m;
    kf_reset(&kf_schema_of_metadata_request, &m);
    m.topics.count = -1;
    cr_assert(eq(str, (char *)encode(&kf_schema_of_metadata_request, 1, &m), "ffffffff"));
}

Test(codec_golden, encodes_tagged_fields_in_order_and_only_where_not_default)
{
    struct kf_fetch_request_fetch_partition partition;
    struct kf_fetch_request_fetch_topic topic = {
        .topic_id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
        .topic = text(""),
        .partitions = {&partition, 1},
    };
    struct kf_fetch_request m;
    kf_reset(&kf_schema_of_fetch_request, &m);
    m.cluster_id = text("c");
    m.replica_state.replica_id = 4;
    m.replica_state.replica_epoch = 9;
    m.max_wait_ms = 500;
    m.min_bytes = 1;
    m.max_bytes = 1048576;
    m.isolation_level = 1;
    m.topics.items = &topic;
    m.topics.count = 1;
    m.rack_id = text("r");
    partition = (struct kf_fetch_request_fetch_partition){
        .current_leader_epoch = 2,
        .fetch_offset = 42,
        .last_fetched_epoch = -1,
        .log_start_offset = -1,
        .partition_max_bytes = 1024,
        .high_watermark = 77,
    };
    cr_assert(eq(str, (char *)encode(&kf_schema_of_fetch_request, 18, &m),
                 "000001f400000001001000000100000000ffffffff02000102030405060708090a0b0c0d0e0f0200"
                 "00000000000002000000000000002affffffffffffffffffffffff00000400010108000000000000"
                 "004d000102720200020263010d00000004000000000000000900"));
}

#define HEARTBEAT "00000000000000026d0000000100001388"

Test(codec_golden, decodes_a_nullable_struct_as_pointer)
{
    struct kf_consumer_group_heartbeat_response m;
    const kf_schema *schema = &kf_schema_of_consumer_group_heartbeat_response;
    const char *golden = HEARTBEAT "0102000102030405060708090a0b0c0d0e0f030000000000000001000000";
    cr_assert(eq(int, decode(schema, 1, golden, &m), KF_OK));
    cr_assert(eq(int, m.assignment->topic_partitions.items[0].partitions.items[1], 1));
    cr_assert(eq(str, (char *)encode(schema, 1, &m), (char *)golden));
}

Test(codec_golden, decodes_a_null_struct_as_null_pointer)
{
    struct kf_consumer_group_heartbeat_response m;
    const kf_schema *schema = &kf_schema_of_consumer_group_heartbeat_response;
    cr_assert(eq(int, decode(schema, 1, HEARTBEAT "ff00", &m), KF_OK));
    cr_assert(zero(ptr, m.assignment));
    cr_assert(eq(str, (char *)encode(schema, 1, &m), HEARTBEAT "ff00"));
}

Test(codec_golden, decodes_consumer_protocol_data)
{
    struct kf_consumer_protocol_subscription m;
    const kf_schema *schema = &kf_schema_of_consumer_protocol_subscription;
    const char *golden = "00000001000161ffffffff00000001000161000000010000000100000004ffff";
    cr_assert(eq(int, decode(schema, 3, golden, &m), KF_OK));
    cr_assert(zero(ptr, (void *)m.user_data.data));
    cr_assert(eq(int, m.generation_id, 4));
    cr_assert(eq(str, (char *)encode(schema, 3, &m), (char *)golden));
}

Test(codec_golden, keeps_the_client_id_of_a_flexible_header_classic)
{
    struct kf_request_header m;
    kf_reset(&kf_schema_of_request_header, &m);
    m.request_api_key = KF_API_METADATA;
    m.request_api_version = 12;
    m.correlation_id = 5;
    m.client_id = text("me");
    cr_assert(
        eq(str, (char *)encode(&kf_schema_of_request_header, 2, &m), "0003000c0000000500026d6500"));
}

Test(codec_golden, keeps_unknown_tags)
{
    /* ApiVersionsRequest v4 with tags 1 (two bytes) and 7 (none). */
    const char *golden = "086b61666962657204302e31020102abcd0700";
    struct kf_api_versions_request m;
    cr_assert(eq(int, decode(&kf_schema_of_api_versions_request, 4, golden, &m), KF_OK));
    cr_assert(eq(int, m.unknown_tags.count, 2));
    cr_assert(eq(int, (int)m.unknown_tags.items[0].tag, 1));
    cr_assert(eq(sz, m.unknown_tags.items[0].bytes.size, 2));
    cr_assert(eq(str, (char *)encode(&kf_schema_of_api_versions_request, 4, &m), (char *)golden));
}

Test(codec_golden, refuses_a_value_in_a_version_without_its_field)
{
    struct kf_metadata_request m;
    kf_reset(&kf_schema_of_metadata_request, &m);
    m.allow_auto_topic_creation = false; /* since v4, default true */
    cr_assert(
        eq(str, (char *)encode(&kf_schema_of_metadata_request, 3, &m), "FIELD_NOT_IN_VERSION"));
}

Test(codec_golden, drops_an_ignorable_value_in_a_version_without_its_field)
{
    struct kf_metadata_response m;
    kf_reset(&kf_schema_of_metadata_response, &m);
    m.throttle_time_ms = 9; /* since v3 */
    cr_assert(eq(str, (char *)encode(&kf_schema_of_metadata_response, 0, &m), "0000000000000000"));
}

Test(codec_golden, refuses_null_where_the_version_has_none)
{
    struct kf_metadata_request m;
    kf_reset(&kf_schema_of_metadata_request, &m);
    m.topics.count = -1;
    cr_assert(eq(str, (char *)encode(&kf_schema_of_metadata_request, 0, &m), "NULL_FIELD"));
}

Test(codec_golden, refuses_an_unknown_version)
{
    struct kf_metadata_request m;
    kf_reset(&kf_schema_of_metadata_request, &m);
    cr_assert(eq(str, (char *)encode(&kf_schema_of_metadata_request, 14, &m), "BAD_VERSION"));
    cr_assert(eq(int, decode(&kf_schema_of_metadata_request, -1, "", &m), KF_ERR_BAD_VERSION));
}

/* Its only row stands for no field at all. */
Test(codec_golden, encodes_a_message_without_fields)
{
    struct kf_no_op_record m;
    cr_assert(eq(int, decode(&kf_schema_of_no_op_record, 0, "01070100", &m), KF_OK));
    cr_assert(eq(str, (char *)(uintptr_t)encode(&kf_schema_of_no_op_record, 0, &m), "01070100"));
}
