#include "broker/help_client.h"
#include "proto/batch/batch.h"
#include "proto/bytes/crc32c.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static kf_broker *broker;
static struct client client;

static void open_nodes(int32_t nodes)
{
    kf_broker_options options = {.size = sizeof options, .nodes = nodes, .thread = true};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 2, 0), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void open_broker(void) { open_nodes(1); }

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(broker, .init = open_broker, .fini = close_broker, .timeout = 60);

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

static kf_bytes bytes(const char *of) { return (kf_bytes){(const uint8_t *)of, strlen(of)}; }

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what can be asked ---- */

/* A default request of every API in every version that is advertised gets an answer that decodes.
 */
Test(broker, answers_every_version_that_it_advertises)
{
    struct kf_api_versions_request asked;
    struct kf_api_versions_response versions;
    kf_reset(&kf_schema_of_api_versions_request, &asked);
    client_call(&client, KF_API_API_VERSIONS, 0, &asked, &versions);
    struct kf_api_versions_response_api_version rows[128];
    int32_t count = versions.api_keys.count;
    cr_assert(ge(i32, count, 23));
    cr_assert(le(i32, count, 128));
    memcpy(rows, versions.api_keys.items, (size_t)count * sizeof *rows);

    uint64_t request[64], response[64];
    for (int32_t i = 0; i < count; i++)
        for (int16_t v = rows[i].min_version; v <= rows[i].max_version; v++) {
            if (rows[i].api_key == KF_API_PRODUCE && v < 3)
                continue; /* advertised as Kafka does, refused as Kafka does */
            kf_reset(kf_schema_request(rows[i].api_key), request);
            if (rows[i].api_key == KF_API_PRODUCE)
                ((struct kf_produce_request *)(void *)request)->acks = 1;
            if (rows[i].api_key == KF_API_DESCRIBE_ACLS) { /* UNKNOWN would be refused */
                struct kf_describe_acls_request *acls = (void *)request;
                acls->resource_type_filter = acls->operation = acls->permission_type = 1;
            }
            client_call(&client, rows[i].api_key, v, request, response);
        }
}

/* KIP-511: a newer client learns which version to try next. */
Test(broker, answers_an_unknown_api_versions_with_error_35_in_version_0)
{
    static const uint8_t v99[] = {0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 18, 103, 0xFF, 0xFF, 0};
    struct kf_api_versions_response response;
    client_send_bytes(&client, v99, sizeof v99);
    cr_assert(client_receive(&client));
    cr_assert(eq(int, client_decode(&client, KF_API_API_VERSIONS, 0, &response), KF_OK));
    cr_assert(eq(i16, response.error_code, 35));
    cr_assert(eq(i32, response.api_keys.count, 1));
    cr_assert(eq(i16, response.api_keys.items[0].max_version, 5));
}

Test(broker, hangs_up_on_garbage_and_goes_on_serving_others)
{
    static const char garbage[][16] = {"GET / HTTP/1.1\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01",
                                       "\xff\xff\xff\xff", "\0\0\0\4\0\1\0\2",
                                       "\0\0\0\x0a\x7f\x7f\0\0\0\0\0\0\xff\xff"};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct client other;
        client_open(&other, kf_broker_bootstrap(broker), 1);
        client_send_bytes(&other, garbage[i], sizeof garbage[i]);
        shutdown(other.fd, 1);
        cr_assert(not(client_receive(&other)));
        client_close(&other);
    }
    struct kf_api_versions_request asked;
    struct kf_api_versions_response answer;
    kf_reset(&kf_schema_of_api_versions_request, &asked);
    client_call(&client, KF_API_API_VERSIONS, 2, &asked, &answer);
}

/* ---- metadata ---- */

Test(broker, makes_a_topic_only_where_the_client_allows_it)
{
    cr_assert(eq(i16, client_ask_topic(&client, "fresh", false).error_code, 3));
    struct kf_metadata_response_topic made = client_ask_topic(&client, "fresh", true);
    cr_assert(eq(i16, made.error_code, 3)); /* not yet, as Kafka says */
    cr_assert(eq(i32, made.partitions.count, 0));
    made = client_ask_topic(&client, "fresh", false);
    cr_assert(eq(i16, made.error_code, 0));
    cr_assert(eq(i32, made.partitions.count, 1));
    cr_assert(eq(i16, client_ask_topic(&client, "no way", true).error_code, 17));
}

Test(broker, tells_an_unknown_topic_id)
{
    struct kf_metadata_request request;
    struct kf_metadata_response response;
    struct kf_metadata_request_topic asked = {.topic_id = {{1, 2, 3}}};
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.items = &asked;
    request.topics.count = 1;
    client_call(&client, KF_API_METADATA, 13, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].error_code, KF_ERR_UNKNOWN_TOPIC_ID));
    cr_assert(eq(u8, response.topics.items[0].topic_id.bytes[1], 2));
}

/* ---- produce and fetch ---- */

static struct kf__buffer wire;

/* One batch of one record with the options of an idempotent producer, or -1. */
static kf_bytes batch_of(const char *value, int64_t producer, int32_t sequence)
{
    struct kf__codecs codecs;
    struct kf__batch_builder builder;
    struct kf__batch_options options = {.producer_id = producer,
                                        .producer_epoch = (int16_t)(producer < 0 ? -1 : 0),
                                        .base_sequence = sequence,
                                        .leader_epoch = -1};
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_free(&wire);
    kf__buffer_init(&wire, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf__batch_builder_add(&builder, 1700000000000, (kf_bytes){0}, bytes(value), NULL, 0);
    kf__batch_builder_finish(&builder, &options, &codecs, &wire);
    kf__batch_builder_free(&builder);
    kf__codecs_free(&codecs);
    return (kf_bytes){wire.bytes, wire.used};
}

static struct kf_produce_response_partition_produce_response produce(int16_t version, int16_t acks,
                                                                     kf_bytes records)
{
    struct kf_produce_request request;
    struct kf_produce_response response;
    struct kf_produce_request_partition_produce_data partition = {.index = 0, .records = records};
    struct kf_produce_request_topic_produce_data topic = {.name = text("orders")};
    topic.partition_data.items = &partition;
    topic.partition_data.count = 1;
    kf_reset(&kf_schema_of_produce_request, &request);
    request.acks = acks;
    request.timeout_ms = 1000;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    client_call(&client, KF_API_PRODUCE, version, &request, &response);
    struct kf_produce_response_partition_produce_response answer =
        response.responses.items[0].partition_responses.items[0];
    kf__buffer_free(&wire);
    return answer;
}

Test(broker, stores_a_batch_and_tells_its_offset)
{
    cr_assert(eq(i64, produce(9, -1, batch_of("a", -1, -1)).base_offset, 0));
    cr_assert(eq(i64, produce(3, 1, batch_of("b", -1, -1)).base_offset, 1));
    kf_message message;
    cr_assert(eq(int, kf_broker_read(broker, "orders", 0, 1, &message), KF_OK));
    cr_assert(eq(i64, message.offset, 1));
    cr_assert(eq(sz, message.value.size, 1));
    cr_assert(eq(u8, message.value.data[0], 'b'));
    cr_assert(
        eq(int, kf_broker_read(broker, "orders", 0, 2, &message), KF_ERR_OFFSET_OUT_OF_RANGE));
}

Test(broker, what_was_read_stays_whatever_happens_to_the_log)
{
    kf_message message, missing;
    produce(9, -1, batch_of("kept", -1, -1));
    cr_assert(eq(int, kf_broker_read(broker, "orders", 0, 0, &message), KF_OK));
    kf_broker_produce(broker, "orders", 0, (kf_bytes){0}, bytes("something else"), 1, NULL);
    cr_assert(eq(int, kf_broker_delete_topic(broker, "orders"), KF_OK));
    cr_assert(eq(str, (char *)(uintptr_t)message.topic, (char *)"orders"));
    cr_assert(eq(ptr, (void *)(uintptr_t)message.key.data, NULL));
    cr_assert(eq(sz, message.value.size, 4));
    cr_assert(eq(int, memcmp(message.value.data, "kept", 4), 0));
    cr_assert(ne(int, kf_broker_read(broker, "orders", 0, 0, &missing), KF_OK));
}

Test(broker, refuses_what_is_no_good_batch)
{
    kf_bytes broken = batch_of("a", -1, -1);
    wire.bytes[broken.size - 2] ^= 1;
    cr_assert(eq(i16, produce(9, 1, broken).error_code, KF_ERR_CORRUPT_MESSAGE));
    cr_assert(eq(i16, produce(9, 1, (kf_bytes){0}).error_code, KF_ERR_INVALID_RECORD));
    cr_assert(
        eq(i16, produce(9, 2, batch_of("a", -1, -1)).error_code, KF_ERR_INVALID_REQUIRED_ACKS));
    int64_t start, end;
    kf_broker_offsets(broker, "orders", 0, &start, &end);
    cr_assert(eq(i64, end, 0));
}

/* Not to be reckoned with, but to be refused or taken in peace. */
Test(broker, takes_the_earliest_time_that_a_batch_can_say)
{
    enum {
        CRC = 17,
        ATTRIBUTES = 21,
        MAX_TIMESTAMP = 35
    };
    kf_bytes records = batch_of("a", -1, -1);
    memset(wire.bytes + MAX_TIMESTAMP, 0, 8);
    wire.bytes[MAX_TIMESTAMP] = 0x80;
    uint32_t crc = kf__crc32c(0, wire.bytes + ATTRIBUTES, wire.used - ATTRIBUTES);
    for (int i = 0; i < 4; i++)
        wire.bytes[CRC + i] = (uint8_t)(crc >> (24 - 8 * i));
    cr_assert(eq(i16, produce(9, 1, records).error_code, 0));
}

Test(broker, stores_a_repeated_sequence_once_and_tells_the_same_offset)
{
    cr_assert(eq(i64, produce(9, -1, batch_of("a", 5, 0)).base_offset, 0));
    cr_assert(eq(i64, produce(9, -1, batch_of("b", 5, 1)).base_offset, 1));
    struct kf_produce_response_partition_produce_response again =
        produce(9, -1, batch_of("a", 5, 0));
    cr_assert(eq(i16, again.error_code, 0));
    cr_assert(eq(i64, again.base_offset, 0));
    cr_assert(eq(i16, produce(9, -1, batch_of("d", 5, 3)).error_code,
                 KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
}

Test(broker, refuses_an_idempotent_batch_without_a_sequence)
{
    cr_assert(eq(i16, produce(9, -1, batch_of("a", 5, -1)).error_code, KF_ERR_INVALID_RECORD));
}

/* Kafka keeps what it knows of producers where records are deleted, and where the leader moves. */
Test(broker, knows_a_repeated_batch_that_has_been_deleted)
{
    cr_assert(eq(i64, produce(9, -1, batch_of("a", 5, 0)).base_offset, 0));
    cr_assert(eq(int, kf_broker_delete_records(broker, "orders", 0, 1), KF_OK));
    struct kf_produce_response_partition_produce_response again =
        produce(9, -1, batch_of("a", 5, 0));
    cr_assert(eq(i16, again.error_code, 0));
    cr_assert(eq(i64, again.base_offset, 0));
    cr_assert(eq(i64, again.log_start_offset, 1));
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 0, 1), KF_OK));
    cr_assert(eq(i64, produce(9, -1, batch_of("b", 5, 1)).base_offset, 1));
}

static struct kf_init_producer_id_response init_producer(int64_t id, int16_t epoch)
{
    struct kf_init_producer_id_request request;
    struct kf_init_producer_id_response response;
    kf_reset(&kf_schema_of_init_producer_id_request, &request);
    request.transactional_id = (kf_string){0};
    request.producer_id = id;
    request.producer_epoch = epoch;
    client_call(&client, KF_API_INIT_PRODUCER_ID, 4, &request, &response);
    return response;
}

/* KIP-360: without a transactional id nobody can be fenced, so the old id is simply left. */
Test(broker, gives_every_idempotent_producer_a_new_id)
{
    struct kf_init_producer_id_response first = init_producer(-1, -1);
    cr_assert(eq(i16, first.error_code, 0));
    cr_assert(eq(i16, first.producer_epoch, 0));
    struct kf_init_producer_id_response next = init_producer(first.producer_id, 0);
    cr_assert(eq(i16, next.error_code, 0));
    cr_assert(eq(i64, next.producer_id, first.producer_id + 1));
    cr_assert(eq(i16, next.producer_epoch, 0));
    cr_assert(eq(i16, init_producer(5, -1).error_code, KF_ERR_INVALID_REQUEST));
    cr_assert(eq(i16, init_producer(-1, 5).error_code, KF_ERR_INVALID_REQUEST));
    cr_assert(eq(i64, init_producer(-1, 5).producer_id, -1));
}

/* One partition of "orders", in whichever version: by name below 13. */
static struct kf_fetch_response fetch(int32_t session, int32_t epoch, int64_t offset,
                                      int32_t max_bytes, int32_t wait_ms)
{
    struct kf_fetch_request request;
    struct kf_fetch_response response;
    struct kf_fetch_request_fetch_partition partition = {.partition = 0,
                                                         .current_leader_epoch = -1,
                                                         .fetch_offset = offset,
                                                         .last_fetched_epoch = -1,
                                                         .log_start_offset = -1,
                                                         .partition_max_bytes = max_bytes,
                                                         .high_watermark = INT64_MAX};
    struct kf_fetch_request_fetch_topic topic = {.topic = text("orders")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_fetch_request, &request);
    request.max_wait_ms = wait_ms;
    request.min_bytes = 1;
    request.max_bytes = 1 << 20;
    request.session_id = session;
    request.session_epoch = epoch;
    request.topics.items = &topic;
    request.topics.count = offset >= 0 ? 1 : 0; /* -1: nothing new to say */
    client_call(&client, KF_API_FETCH, 12, &request, &response);
    return response;
}

static struct kf_fetch_response_partition_data only_partition(struct kf_fetch_response response)
{
    cr_assert(eq(i32, response.responses.count, 1));
    cr_assert(eq(i32, response.responses.items[0].partitions.count, 1));
    return response.responses.items[0].partitions.items[0];
}

static void put(const char *value)
{
    cr_assert(eq(int, kf_broker_produce(broker, "orders", 0, (kf_bytes){0}, bytes(value), -1, NULL),
                 KF_OK));
}

Test(broker, hands_out_what_was_produced)
{
    put("hello");
    struct kf_fetch_response_partition_data told = only_partition(fetch(0, -1, 0, 1 << 20, 0));
    cr_assert(eq(i64, told.high_watermark, 1));
    struct kf__batch batch;
    cr_assert(eq(int, kf__batch_peek(told.records.data, told.records.size, &batch), KF_OK));
    cr_assert(eq(int, kf__batch_check(&batch), KF_OK));
    cr_assert(eq(i32, batch.record_count, 1));
}

Test(broker, hands_out_a_first_batch_larger_than_every_limit)
{
    char large[5000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    put(large);
    cr_assert(lt(sz, 5000, only_partition(fetch(0, -1, 0, 10, 0)).records.size));
}

Test(broker, holds_a_fetch_until_something_comes_or_its_time_is_over)
{
    int64_t before = now_ms();
    cr_assert(eq(sz, only_partition(fetch(0, -1, 0, 1 << 20, 150)).records.size, 0));
    cr_assert(ge(i64, now_ms() - before, 150));

    put("x");
    /* The client would not wait for a minute. */
    cr_assert(lt(sz, 0, only_partition(fetch(0, -1, 0, 1 << 20, 60000)).records.size));
}

Test(broker, tells_an_offset_out_of_range)
{
    cr_assert(eq(i16, only_partition(fetch(0, -1, 1, 1 << 20, 5000)).error_code, 1));
    for (int i = 0; i < 5; i++)
        put("x");
    kf_broker_delete_records(broker, "orders", 0, 3);
    cr_assert(eq(i16, only_partition(fetch(0, -1, 2, 1 << 20, 0)).error_code, 1));
    cr_assert(eq(i16, only_partition(fetch(0, -1, 3, 1 << 20, 0)).error_code, 0));
    cr_assert(eq(i64, only_partition(fetch(0, -1, 3, 1 << 20, 0)).log_start_offset, 3));
}

/* KIP-227 */
Test(broker, keeps_a_session_and_tells_only_news)
{
    struct kf_fetch_response opened = fetch(0, 0, 0, 1 << 20, 0);
    int32_t id = opened.session_id;
    cr_assert(lt(i32, 0, id));
    cr_assert(eq(i32, opened.responses.count, 1), "a full answer names every partition");

    struct kf_fetch_response nothing = fetch(id, 1, -1, 0, 0);
    cr_assert(eq(i32, nothing.session_id, id));
    cr_assert(eq(i32, nothing.responses.count, 0));
    put("x");
    cr_assert(lt(sz, 0, only_partition(fetch(id, 2, -1, 0, 0)).records.size));

    cr_assert(eq(i16, fetch(id, 2, -1, 0, 0).error_code, KF_ERR_INVALID_FETCH_SESSION_EPOCH));
    cr_assert(eq(i16, fetch(id + 1, 1, -1, 0, 0).error_code, KF_ERR_FETCH_SESSION_ID_NOT_FOUND));
    fetch(id, -1, -1, 0, 0); /* closes it */
    cr_assert(eq(i16, fetch(id, 3, -1, 0, 0).error_code, KF_ERR_FETCH_SESSION_ID_NOT_FOUND));
}

static struct kf_list_offsets_response_list_offsets_partition_response list(int64_t timestamp)
{
    struct kf_list_offsets_request request;
    struct kf_list_offsets_response response;
    struct kf_list_offsets_request_list_offsets_partition partition = {
        .current_leader_epoch = -1, .timestamp = timestamp, .max_num_offsets = 1};
    struct kf_list_offsets_request_list_offsets_topic topic = {.name = text("orders")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_list_offsets_request, &request);
    request.replica_id = -1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_LIST_OFFSETS, 7, &request, &response);
    return response.topics.items[0].partitions.items[0];
}

Test(broker, lists_offsets_by_every_measure)
{
    static const int64_t timestamps[] = {1000, 3000, 2000};
    for (int i = 0; i < 3; i++)
        kf_broker_produce(broker, "orders", 0, (kf_bytes){0}, bytes("x"), timestamps[i], NULL);
    cr_assert(eq(i64, list(-2).offset, 0));
    cr_assert(eq(i64, list(-1).offset, 3));
    cr_assert(eq(i64, list(1000).offset, 0));
    cr_assert(eq(i64, list(1001).offset, 1));
    cr_assert(eq(i64, list(1001).timestamp, 3000));
    cr_assert(eq(i64, list(3001).offset, -1));
    cr_assert(eq(i64, list(-3).offset, 1));
    cr_assert(eq(i64, list(-3).timestamp, 3000));
}

/* One batch with a record for each of the timestamps. */
static kf_bytes batch_at(const int64_t *timestamps, int count)
{
    struct kf__codecs codecs;
    struct kf__batch_builder builder;
    struct kf__batch_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1};
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_free(&wire);
    kf__buffer_init(&wire, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    for (int i = 0; i < count; i++)
        kf__batch_builder_add(&builder, timestamps[i], (kf_bytes){0}, bytes("x"), NULL, 0);
    kf__batch_builder_finish(&builder, &options, &codecs, &wire);
    kf__batch_builder_free(&builder);
    kf__codecs_free(&codecs);
    return (kf_bytes){wire.bytes, wire.used};
}

Test(broker, deletes_all_records_and_none_that_there_are_not)
{
    int64_t start, end;
    for (int i = 0; i < 3; i++)
        kf_broker_produce(broker, "orders", 0, (kf_bytes){0}, bytes("x"), 1, NULL);
    cr_assert(
        eq(int, kf_broker_delete_records(broker, "orders", 0, 4), KF_ERR_OFFSET_OUT_OF_RANGE));
    cr_assert(
        eq(int, kf_broker_delete_records(broker, "orders", 0, -2), KF_ERR_OFFSET_OUT_OF_RANGE));
    kf_broker_offsets(broker, "orders", 0, &start, &end);
    cr_assert(eq(i64, start, 0));
    cr_assert(eq(int, kf_broker_delete_records(broker, "orders", 0, -1), KF_OK));
    kf_broker_offsets(broker, "orders", 0, &start, &end);
    cr_assert(eq(i64, start, 3));
}

Test(broker, lists_no_offset_of_a_record_that_is_deleted)
{
    static const int64_t first[] = {5000, 1000}, second[] = {4000, 4500};
    cr_assert(eq(i16, produce(9, -1, batch_at(first, 2)).error_code, 0));
    cr_assert(eq(i16, produce(9, -1, batch_at(second, 2)).error_code, 0));
    cr_assert(eq(i64, list(1000).offset, 0));
    cr_assert(eq(int, kf_broker_delete_records(broker, "orders", 0, 1), KF_OK));
    cr_assert(eq(i64, list(1000).offset, 1), "the batch still holds the record before it");
    cr_assert(eq(i64, list(2000).offset, 2), "only the next batch has one");
    cr_assert(eq(i64, list(4600).offset, -1));
    cr_assert(eq(i16, list(4600).error_code, 0));
}

/* ---- nodes ---- */

Test(broker_nodes, moves_leaders_when_a_node_stops, .timeout = 60)
{
    int32_t leader, epoch;
    open_nodes(3);
    kf_broker_create_topic(broker, "spread", 3, 2);
    kf_broker_leader(broker, "spread", 0, &leader, &epoch);
    cr_assert(eq(i32, epoch, 0));
    cr_assert(eq(int, kf_broker_stop_node(broker, leader), KF_OK));
    cr_assert(eq(int, kf_broker_stop_node(broker, leader), KF_ERR_STATE));
    int32_t next;
    kf_broker_leader(broker, "spread", 0, &next, &epoch);
    cr_assert(ne(i32, next, leader));
    cr_assert(eq(i32, epoch, 1));
    cr_assert(eq(int, kf_broker_start_node(broker, leader), KF_OK));
    kf_broker_leader(broker, "spread", 0, &next, &epoch);
    cr_assert(ne(i32, next, leader), "who comes back follows");
    cr_assert(eq(int, kf_broker_move_leader(broker, "spread", 0, leader), KF_OK));
    kf_broker_leader(broker, "spread", 0, &next, &epoch);
    cr_assert(eq(i32, next, leader));
    cr_assert(eq(i32, epoch, 2));
    close_broker();
}

/* The node's address, as the first in the broker's list. */
static struct sockaddr_in address_of_first(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_port =
        htons((uint16_t)strtoul(strchr(kf_broker_bootstrap(broker), ':') + 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int errno_of(int (*call)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_in address = address_of_first();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    errno = 0;
    int failed = call(fd, (struct sockaddr *)&address, sizeof address);
    int error = failed ? errno : 0;
    close(fd);
    return error;
}

Test(broker_nodes, keeps_the_port_of_a_stopped_node_and_refuses_who_connects, .timeout = 60)
{
    open_nodes(2);
    cr_assert(eq(int, kf_broker_stop_node(broker, 1), KF_OK));
    cr_assert(eq(int, errno_of(connect), ECONNREFUSED));
    cr_assert(eq(int, errno_of(bind), EADDRINUSE), "somebody else may have the port");
    cr_assert(eq(int, kf_broker_start_node(broker, 1), KF_OK));
    cr_assert(eq(int, errno_of(connect), 0));
    close_broker();
}

Test(broker_nodes, sends_a_client_of_the_wrong_node_to_the_leader, .timeout = 60)
{
    int32_t leader, epoch;
    open_nodes(2);
    kf_broker_move_leader(broker, "orders", 0, 2);
    kf_broker_leader(broker, "orders", 0, &leader, &epoch);
    struct kf_fetch_response_partition_data told = only_partition(fetch(0, -1, 0, 1000, 5000));
    cr_assert(eq(i16, told.error_code, KF_ERR_NOT_LEADER_OR_FOLLOWER));
    cr_assert(eq(i32, told.current_leader.leader_id, 2));
    cr_assert(eq(i32, told.current_leader.leader_epoch, epoch));
    close_broker();
}

/* ---- faults ---- */

static int32_t add_fault(kf_broker_fault_kind kind, int16_t api, int64_t ms, size_t size)
{
    kf_broker_fault fault = {
        .size = sizeof fault, .kind = kind, .api_key = api, .times = 1, .ms = ms, .bytes = size};
    return kf_broker_fault_add(broker, &fault);
}

Test(broker_faults_live, happen_as_told, .init = open_broker, .fini = close_broker, .timeout = 60)
{
    put("hello");
    kf_broker_fault wrong = {.size = sizeof wrong,
                             .kind = KF_BROKER_ANSWER_ERROR,
                             .api_key = KF_API_FETCH,
                             .topic = "orders",
                             .times = 1,
                             .error = KF_ERR_KAFKA_STORAGE_ERROR};
    int32_t id = kf_broker_fault_add(broker, &wrong);
    cr_assert(
        eq(i16, only_partition(fetch(0, -1, 0, 1000, 0)).error_code, KF_ERR_KAFKA_STORAGE_ERROR));
    cr_assert(eq(i16, only_partition(fetch(0, -1, 0, 1000, 0)).error_code, 0));
    cr_assert(eq(i64, kf_broker_fault_hits(broker, id), 1));

    add_fault(KF_BROKER_CORRUPT_CRC, KF_API_FETCH, 0, 0);
    struct kf__batch batch;
    kf_bytes bad = only_partition(fetch(0, -1, 0, 1000, 0)).records;
    cr_assert(eq(int, kf__batch_peek(bad.data, bad.size, &batch), KF_OK));
    cr_assert(eq(int, kf__batch_check(&batch), KF_ERR_BAD_CRC));
    kf_bytes good = only_partition(fetch(0, -1, 0, 1000, 0)).records;
    kf__batch_peek(good.data, good.size, &batch);
    cr_assert(eq(int, kf__batch_check(&batch), KF_OK), "the log itself is whole");

    add_fault(KF_BROKER_DELAY, KF_API_FETCH, 200, 0);
    int64_t before = now_ms();
    fetch(0, -1, 0, 1000, 0);
    cr_assert(ge(i64, now_ms() - before, 200));

    add_fault(KF_BROKER_THROTTLE, KF_API_FETCH, 150, 0);
    before = now_ms();
    cr_assert(eq(i32, fetch(0, -1, 0, 1000, 0).throttle_time_ms, 150));
    fetch(0, -1, 0, 1000, 0);
    cr_assert(ge(i64, now_ms() - before, 150), "the connection is muted (KIP-219)");
    add_fault(KF_BROKER_THROTTLE, KF_API_FETCH, 60000, 0);
    /* The answer comes at once: the client would not wait for a minute. */
    cr_assert(eq(i32, fetch(0, -1, 0, 1000, 0).throttle_time_ms, 60000));
}

static void expect_hang_up(kf_broker_fault_kind kind, size_t size)
{
    struct kf_api_versions_request asked;
    struct client other;
    kf_reset(&kf_schema_of_api_versions_request, &asked);
    cr_assert(lt(i32, 0, add_fault(kind, KF_API_API_VERSIONS, 0, size)));
    client_open(&other, kf_broker_bootstrap(broker), 1);
    client_send(&other, KF_API_API_VERSIONS, 0, &asked);
    cr_assert(not(client_receive(&other)), "fault %d", kind);
    client_close(&other);
}

Test(broker_faults_live, cut_connections, .init = open_broker, .fini = close_broker, .timeout = 60)
{
    expect_hang_up(KF_BROKER_CLOSE, 0);
    expect_hang_up(KF_BROKER_CLOSE_ANSWER, 0);
    expect_hang_up(KF_BROKER_CUT, 10);
    expect_hang_up(KF_BROKER_GARBAGE, 100);
    cr_assert(eq(i64, kf_broker_requests(broker, KF_API_API_VERSIONS), 4));
}

Test(broker_faults_live, pause_and_close_all, .init = open_broker, .fini = close_broker,
     .timeout = 60)
{
    struct kf_api_versions_request asked;
    struct kf_api_versions_response answer;
    kf_reset(&kf_schema_of_api_versions_request, &asked);
    client_call(&client, KF_API_API_VERSIONS, 0, &asked, &answer);
    cr_assert(eq(i32, kf_broker_connections(broker), 1));

    kf_broker_pause(broker);
    client_send(&client, KF_API_API_VERSIONS, 0, &asked);
    usleep(100000);
    cr_assert(eq(i64, kf_broker_requests(broker, KF_BROKER_ANY_API), 1));
    kf_broker_resume(broker);
    cr_assert(client_receive(&client));

    kf_broker_close_connections(broker);
    cr_assert(not(client_receive(&client)));
    cr_assert(eq(i32, kf_broker_connections(broker), 0));
}

/* ---- limits ---- */

Test(broker_limits, refuse_records_beyond_the_memory_cap, .timeout = 60)
{
    kf_broker_options options = {.size = sizeof options, .max_bytes = 300};
    kf_broker *small = kf_broker_start(&options, NULL);
    kf_broker_create_topic(small, "t", 1, 1);
    kf_err err = KF_OK;
    int stored = 0;
    while (!err && stored < 100) {
        err = kf_broker_produce(small, "t", 0, (kf_bytes){0}, bytes("0123456789"), -1, NULL);
        stored += !err;
    }
    cr_assert(eq(int, err, KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(int, stored, 3));
    kf_broker_stop(small);
}

Test(broker_limits, say_why_a_broker_cannot_start)
{
    kf_broker_options options = {.size = sizeof options, .listen = "nonsense"};
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(ptr, kf_broker_start(&options, &error), NULL));
    cr_assert(eq(int, error.code, KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(str, error.text, "cannot listen on \"nonsense\": HOST:PORT is expected"));
}

/* Steps without a thread: nothing happens behind the test's back. */
Test(broker_limits, turn_without_a_thread)
{
    kf_broker *still = kf_broker_start(NULL, NULL);
    struct kf_api_versions_request asked;
    struct client other;
    kf_reset(&kf_schema_of_api_versions_request, &asked);
    client_open(&other, kf_broker_bootstrap(still), 1);
    client_send(&other, KF_API_API_VERSIONS, 0, &asked);
    cr_assert(eq(i64, kf_broker_requests(still, KF_BROKER_ANY_API), 0));
    for (int i = 0; i < 10 && kf_broker_requests(still, KF_BROKER_ANY_API) == 0; i++)
        kf_broker_step(still, 100);
    cr_assert(client_receive(&other));
    client_close(&other);
    kf_broker_stop(still);
}
