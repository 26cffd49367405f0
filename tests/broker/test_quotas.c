#include "broker/help_client.h"
#include "proto/batch/batch.h"
#include "tools/broker/admin/quotas.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <poll.h>

static struct kf__quotas quotas;

static void open_quotas(void) { kf__quotas_init(&quotas, &kf_default_allocator); }

static void close_quotas(void) { kf__quotas_free(&quotas); }

TestSuite(quotas, .init = open_quotas, .fini = close_quotas);

/* A part NULL: not named; "": the default. */
static void set(const char *user, const char *client, double value)
{
    struct kf__quota_entity entity = {.has = {user != NULL, client != NULL}};
    if (user && *user)
        entity.names[KF__QUOTA_USER] = kf__text(user);
    if (client && *client)
        entity.names[KF__QUOTA_CLIENT] = kf__text(client);
    cr_assert(eq(int, kf__quotas_set(&quotas, &entity, KF__QUOTA_PRODUCER_RATE, &value), KF_OK));
}

static int64_t charge(const char *user, const char *client, size_t bytes, int64_t now_ms)
{
    struct kf__quota_charge what = {.key = KF__QUOTA_PRODUCER_RATE,
                                    .user = kf__text(user),
                                    .client = kf__text(client),
                                    .bytes = bytes};
    return kf__quotas_charge(&quotas, &what, now_ms);
}

Test(quotas, nobody_is_throttled_without_one)
{
    cr_assert(eq(i64, charge("al", "c", 1 << 30, 1000), 0));
    set("bob", NULL, 10);
    cr_assert(eq(i64, charge("al", "c", 1 << 30, 1000), 0));
}

Test(quotas, throttles_by_what_is_beyond_the_window)
{
    set("bob", NULL, 1000);
    cr_assert(eq(i64, charge("bob", "c", 10000, 20000), 0)); /* ten seconds' worth */
    cr_assert(eq(i64, charge("bob", "c", 500, 20000), 500));
    cr_assert(eq(i64, charge("bob", "other", 500, 20000), 1000)); /* one meter for the user */
    cr_assert(eq(i64, charge("bob", "c", 0, 32000), 0));          /* the window has passed */
}

Test(quotas, the_most_particular_one_counts)
{
    set("", "", 1);
    set("bob", NULL, 1000000);
    set("bob", "c1", 1);
    cr_assert(eq(i64, charge("bob", "c2", 1000, 1000), 0));
    cr_assert(eq(i64, charge("bob", "c1", 1000, 1000), 11000));
    cr_assert(eq(i64, charge("al", "c1", 12, 1000), 2000));
    cr_assert(eq(i64, charge("al", "c2", 10, 1000), 0)); /* each pair has a meter of its own */
}

Test(quotas, one_that_is_taken_out_is_gone)
{
    struct kf__quota_entity entity = {.has = {true}, .names = {kf__text("bob")}};
    set("bob", NULL, 1);
    cr_assert(eq(int, kf__quotas_set(&quotas, &entity, KF__QUOTA_PRODUCER_RATE, NULL), KF_OK));
    cr_assert(eq(sz, quotas.count, 0));
    cr_assert(eq(int, kf__quotas_set(&quotas, &entity, KF__QUOTA_PRODUCER_RATE, NULL), KF_OK));
}

/* ---- by request ---- */

static kf_broker *broker;
static struct client client;

static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options, .thread = true};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(quota_apis, .init = open_broker, .fini = close_broker, .timeout = 60);

static int16_t alter(const char *type, const char *name, const char *key, double value, bool remove)
{
    struct kf_alter_client_quotas_request request = {0};
    struct kf_alter_client_quotas_response response;
    struct kf_alter_client_quotas_request_entity_data entity = {.entity_type = kf__text(type),
                                                                .entity_name = kf__text(name)};
    struct kf_alter_client_quotas_request_op_data op = {
        .key = kf__text(key), .value = value, .remove = remove};
    struct kf_alter_client_quotas_request_entry_data entry = {0};
    entry.entity.items = &entity;
    entry.entity.count = 1;
    entry.ops.items = &op;
    entry.ops.count = 1;
    request.entries.items = &entry;
    request.entries.count = 1;
    client_call(&client, KF_API_ALTER_CLIENT_QUOTAS, 1, &request, &response);
    cr_assert(eq(i32, response.entries.items[0].entity.count, 1));
    return response.entries.items[0].error_code;
}

Test(quota_apis, keeps_what_is_right_and_refuses_the_rest)
{
    cr_assert(eq(i16, alter("user", "bob", "producer_byte_rate", 1000, false), 0));
    cr_assert(eq(i16, alter("client-id", NULL, "consumer_byte_rate", 7, false), 0));
    cr_assert(eq(i16, alter("ip", "127.0.0.1", "connection_creation_rate", 10, false), 0));
    cr_assert(eq(i16, alter("user", "bob", "request_percentage", 50.5, false), 0));
    cr_assert(eq(i16, alter("user", "zed", "producer_byte_rate", 0, true), 0));
    cr_assert(eq(i16, alter("user", "bob", "nosuch", 1, false), 42));
    cr_assert(eq(i16, alter("user", "bob", "connection_creation_rate", 1, false), 42));
    cr_assert(eq(i16, alter("ip", "127.0.0.1", "producer_byte_rate", 1, false), 42));
    cr_assert(eq(i16, alter("ip", "no..host", "connection_creation_rate", 1, false), 42));
    cr_assert(eq(i16, alter("foo", "bob", "producer_byte_rate", 1, false), 42));
    cr_assert(eq(i16, alter("user", "", "producer_byte_rate", 1, false), 42));
    cr_assert(eq(i16, alter("user", "bob", "producer_byte_rate", 1.5, false), 42));
    cr_assert(eq(i16, alter("user", "bob", "producer_byte_rate", 0, false), 42));
    cr_assert(eq(i16, alter("user", "bob", "producer_byte_rate", 1e20, false), 42));
    cr_assert(eq(i16, alter("ip", "127.0.0.1", "connection_creation_rate", 3e9, false), 42));

    struct kf_describe_client_quotas_request request = {0};
    struct kf_describe_client_quotas_response response;
    client_call(&client, KF_API_DESCRIBE_CLIENT_QUOTAS, 1, &request, &response);
    cr_assert(eq(i32, response.entries.count, 3));
    struct kf_describe_client_quotas_request_component_data part = {
        .entity_type = kf__text("user"), .match_type = 0, .match = kf__text("bob")};
    request.components.items = &part;
    request.components.count = 1;
    request.strict = true;
    client_call(&client, KF_API_DESCRIBE_CLIENT_QUOTAS, 1, &request, &response);
    cr_assert(eq(i32, response.entries.count, 1));
    cr_assert(eq(i32, response.entries.items[0].values.count, 2));
    cr_assert(eq(dbl, response.entries.items[0].values.items[0].value, 1000));
    cr_assert(eq(dbl, response.entries.items[0].values.items[1].value, 50.5));
    part.entity_type = kf__text("foo");
    client_call(&client, KF_API_DESCRIBE_CLIENT_QUOTAS, 1, &request, &response);
    cr_assert(eq(i16, response.error_code, 35));
    cr_assert(eq(i32, response.entries.count, -1));
}

Test(quota_apis, a_producer_over_its_rate_is_told_to_wait)
{
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 1, 1), KF_OK));
    cr_assert(eq(i16, alter("user", "ANONYMOUS", "producer_byte_rate", 1, false), 0));
    struct kf_produce_request request;
    struct kf_produce_response response;
    static uint8_t records[512]; /* not even a batch: the bytes came all the same */
    struct kf_produce_request_partition_produce_data data = {.records = {records, sizeof records}};
    struct kf_produce_request_topic_produce_data topic = {.name = kf__text("orders")};
    topic.partition_data.items = &data;
    topic.partition_data.count = 1;
    kf_reset(&kf_schema_of_produce_request, &request);
    request.acks = 1;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    client_call(&client, KF_API_PRODUCE, 9, &request, &response);
    cr_assert(eq(i32, response.throttle_time_ms, 11000));
}

static void build_batch(struct kf__buffer *out)
{
    struct kf__codecs codecs;
    struct kf__batch_builder builder;
    struct kf__batch_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1};
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(out, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf__batch_builder_add(&builder, 1700000000000, (kf_bytes){0}, (kf_bytes){0}, NULL, 0);
    kf__batch_builder_finish(&builder, &options, &codecs, out);
    kf__batch_builder_free(&builder);
    kf__codecs_free(&codecs);
}

/* It has no answer that could tell it to wait. */
Test(quota_apis, a_producer_without_acknowledgements_is_not_heard_for_as_long)
{
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 1, 1), KF_OK));
    cr_assert(eq(i16, alter("user", "ANONYMOUS", "producer_byte_rate", 1, false), 0));
    struct kf__buffer batch;
    struct kf_produce_request request;
    struct kf_api_versions_request next;
    build_batch(&batch);
    struct kf_produce_request_partition_produce_data data = {.records = {batch.bytes, batch.used}};
    struct kf_produce_request_topic_produce_data topic = {.name = kf__text("orders")};
    topic.partition_data.items = &data;
    topic.partition_data.count = 1;
    kf_reset(&kf_schema_of_produce_request, &request);
    request.acks = 0;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    client_send(&client, KF_API_PRODUCE, 9, &request);
    kf__buffer_free(&batch);
    kf_reset(&kf_schema_of_api_versions_request, &next);
    client_send(&client, KF_API_API_VERSIONS, 0, &next);
    struct pollfd answer = {.fd = client.fd, .events = POLLIN};
    int64_t start, end = 0;
    for (int tries = 0; tries < 20000 && end == 0; tries++) { /* it is taken all the same */
        cr_assert(eq(int, poll(&answer, 1, 1), 0));
        cr_assert(eq(int, kf_broker_offsets(broker, "orders", 0, &start, &end), KF_OK));
    }
    cr_assert(eq(i64, end, 1));
    cr_assert(eq(int, poll(&answer, 1, 300), 0));
}

static void fetch(int32_t max_bytes, struct kf_fetch_response *response)
{
    struct kf_fetch_request request;
    struct kf_fetch_request_fetch_partition partition = {.current_leader_epoch = -1,
                                                         .last_fetched_epoch = -1,
                                                         .log_start_offset = -1,
                                                         .partition_max_bytes = max_bytes,
                                                         .high_watermark = INT64_MAX};
    struct kf_fetch_request_fetch_topic topic = {.topic = kf__text("orders")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_fetch_request, &request);
    request.max_bytes = 1 << 20;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_FETCH, 11, &request, response);
}

static size_t bytes_of(const struct kf_fetch_response *response)
{
    return response->responses.items[0].partitions.items[0].records.size;
}

/* KIP-219: what is held back is fetched again, and counts only then. */
Test(quota_apis, a_consumer_over_its_rate_gets_nothing_and_is_told_to_wait)
{
    static uint8_t value[600];
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 1, 1), KF_OK));
    for (int i = 0; i < 4; i++)
        cr_assert(eq(int,
                     kf_broker_produce(broker, "orders", 0, (kf_bytes){0},
                                       (kf_bytes){value, sizeof value}, 1, NULL),
                     KF_OK));
    cr_assert(eq(i16, alter("user", "ANONYMOUS", "consumer_byte_rate", 100, false), 0));
    struct kf_fetch_response response;
    fetch(1 << 20, &response); /* never more at once than ten seconds of the rate */
    cr_assert(eq(i32, response.throttle_time_ms, 0));
    cr_assert(le(sz, bytes_of(&response), 1000));
    cr_assert(le(sz, 600, bytes_of(&response)));
    fetch(1 << 20, &response);
    cr_assert(lt(i32, 0, response.throttle_time_ms));
    cr_assert(lt(i32, response.throttle_time_ms, 11001));
    cr_assert(eq(i32, response.responses.count, 0));
}
