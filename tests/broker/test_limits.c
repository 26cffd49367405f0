#include "broker/help_client.h"

#include "net/loop/world.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static kf_broker *broker;
static struct client client;

static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options, .thread = true};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 3, 0), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(limits, .init = open_broker, .fini = close_broker, .timeout = 60);

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

static void configure(const char *key, const char *value)
{
    cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", key, value), KF_OK));
}

/* ---- fetch.max.bytes ---- */

static void put(int count, size_t size)
{
    static const uint8_t filler[1000];
    for (int i = 0; i < count; i++)
        cr_assert(eq(int,
                     kf_broker_produce(broker, "orders", 0, (kf_bytes){0}, (kf_bytes){filler, size},
                                       1, NULL),
                     KF_OK));
}

/* How many bytes of orders/0 come. */
static size_t fetch(int32_t min_bytes, int32_t max_bytes, int32_t wait_ms)
{
    struct kf_fetch_request request;
    struct kf_fetch_response response;
    struct kf_fetch_request_fetch_partition partition = {.current_leader_epoch = -1,
                                                         .last_fetched_epoch = -1,
                                                         .log_start_offset = -1,
                                                         .partition_max_bytes = 1 << 20};
    struct kf_fetch_request_fetch_topic topic = {.topic = text("orders")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_fetch_request, &request);
    request.max_wait_ms = wait_ms;
    request.min_bytes = min_bytes;
    request.max_bytes = max_bytes;
    request.session_epoch = -1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_FETCH, 12, &request, &response);
    return response.responses.items[0].partitions.items[0].records.size;
}

Test(limits, a_fetch_brings_no_more_than_the_broker_is_configured_for)
{
    put(8, 400);
    cr_assert(lt(sz, 8 * 400, fetch(1, 1 << 20, 0)));
    configure("fetch.max.bytes", "1024");
    cr_assert(eq(sz, fetch(1, 1 << 20, 0), 1024));
    cr_assert(eq(sz, fetch(1, 1000, 0), 1000)); /* the client's own, where that is less */
    configure("fetch.max.bytes", NULL);
    cr_assert(lt(sz, 8 * 400, fetch(1, 1 << 20, 0)));
}

Test(limits, a_fetch_does_not_wait_for_more_than_it_may_bring)
{
    configure("fetch.max.bytes", "1024");
    put(4, 400);
    cr_assert(eq(sz, fetch(1 << 20, 1 << 20, 300000), 1024));
}

Test(limits, a_first_batch_comes_whole_whatever_the_broker_is_configured_for)
{
    configure("fetch.max.bytes", "1024");
    put(1, 1000);
    put(1, 1000);
    cr_assert(lt(sz, 1000, fetch(1, 1 << 20, 0)));
    cr_assert(lt(sz, fetch(1, 1 << 20, 0), 2000));
}

Test(limits, no_less_than_kafkas_least_is_taken)
{
    cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", "fetch.max.bytes", "1023"),
                 KF_ERR_INVALID_REQUEST));
}

/* ---- socket.request.max.bytes ---- */

static bool is_answered(size_t size)
{
    char name[4000] = "";
    struct kf_metadata_request request;
    struct kf_metadata_request_topic topic = {.name = {name, size}};
    memset(name, 'x', size);
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    client_send(&client, KF_API_METADATA, 12, &request);
    return client_receive(&client);
}

Test(limits, a_request_larger_than_the_broker_is_configured_for_ends_the_connection)
{
    configure("socket.request.max.bytes", "2000");
    cr_assert(is_answered(1000));
    cr_assert(not(is_answered(2000)));
}

/* ---- sasl.server.max.receive.size ---- */

static void open_anew(const kf_broker_options *options)
{
    client_close(&client);
    kf_broker_stop(broker);
    broker = kf_broker_start(options, NULL);
    cr_assert(ne(ptr, broker, NULL));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

/* A mechanism with a name of so many bytes. */
static bool shakes(size_t size)
{
    char name[4000] = "";
    struct kf_sasl_handshake_request request;
    kf_reset(&kf_schema_of_sasl_handshake_request, &request);
    memset(name, 'x', size);
    request.mechanism = (kf_string){name, size};
    client_send(&client, KF_API_SASL_HANDSHAKE, 1, &request);
    return client_receive(&client);
}

Test(limits, a_stranger_sends_no_more_than_the_broker_is_configured_for)
{
    static const char *const users[] = {"alice:secret"};
    open_anew(&(kf_broker_options){.size = sizeof(kf_broker_options),
                                   .thread = true,
                                   .sasl = {.required = true, .users = users, .user_count = 1}});
    configure("sasl.server.max.receive.size", "2000");
    cr_assert(shakes(1000)); /* refused, but heard */
    client_close(&client);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    cr_assert(not(shakes(2000)));
}

/* ---- connections.max.reauth.ms ---- */

static int64_t authenticate(void)
{
    static const char token[] = "\0alice\0secret";
    struct kf_sasl_handshake_request shake;
    struct kf_sasl_handshake_response shaken;
    struct kf_sasl_authenticate_request say;
    struct kf_sasl_authenticate_response said;
    kf_reset(&kf_schema_of_sasl_handshake_request, &shake);
    shake.mechanism = text("PLAIN");
    client_call(&client, KF_API_SASL_HANDSHAKE, 1, &shake, &shaken);
    kf_reset(&kf_schema_of_sasl_authenticate_request, &say);
    say.auth_bytes = (kf_bytes){(const uint8_t *)token, sizeof token - 1};
    client_call(&client, KF_API_SASL_AUTHENTICATE, 1, &say, &said);
    cr_assert(eq(i16, said.error_code, 0));
    return said.session_lifetime_ms;
}

Test(limits, sessions_last_as_long_as_the_broker_is_configured_for)
{
    static const char *const users[] = {"alice:secret"};
    open_anew(&(kf_broker_options){
        .size = sizeof(kf_broker_options),
        .thread = true,
        .sasl = {.required = true, .users = users, .user_count = 1, .max_reauth_ms = 7000}});
    cr_assert(eq(i64, authenticate(), 7000));
    configure("connections.max.reauth.ms", "5000");
    client_close(&client);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    cr_assert(eq(i64, authenticate(), 5000));
    configure("connections.max.reauth.ms", NULL);
    client_close(&client);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    cr_assert(eq(i64, authenticate(), 0));
}

/* ---- max.request.partition.size.limit ---- */

Test(limits, a_page_of_partitions_is_no_longer_than_the_broker_is_configured_for)
{
    struct kf_describe_topic_partitions_request request;
    struct kf_describe_topic_partitions_response response;
    configure("max.request.partition.size.limit", "2");
    kf_reset(&kf_schema_of_describe_topic_partitions_request, &request);
    client_call(&client, KF_API_DESCRIBE_TOPIC_PARTITIONS, 0, &request, &response);
    cr_assert(eq(i32, response.topics.items[0].partitions.count, 2));
    cr_assert(eq(i32, response.next_cursor->partition_index, 2));
}

/* ---- telemetry.max.bytes ---- */

Test(limits, metrics_are_no_longer_than_the_broker_is_configured_for)
{
    static const uint8_t filler[65];
    struct kf_get_telemetry_subscriptions_request ask;
    struct kf_get_telemetry_subscriptions_response told;
    struct kf_push_telemetry_request push;
    struct kf_push_telemetry_response pushed;
    open_anew(&(kf_broker_options){
        .size = sizeof(kf_broker_options), .thread = true, .client_telemetry = true});
    configure("telemetry.max.bytes", "64");
    kf_reset(&kf_schema_of_get_telemetry_subscriptions_request, &ask);
    ask.client_instance_id.bytes[0] = 1;
    client_call(&client, KF_API_GET_TELEMETRY_SUBSCRIPTIONS, 0, &ask, &told);
    cr_assert(eq(i32, told.telemetry_max_bytes, 64));
    kf_reset(&kf_schema_of_push_telemetry_request, &push);
    push.client_instance_id.bytes[0] = 1;
    push.subscription_id = told.subscription_id;
    push.metrics = (kf_bytes){filler, 64};
    client_call(&client, KF_API_PUSH_TELEMETRY, 0, &push, &pushed);
    cr_assert(eq(i16, pushed.error_code, 0));
    push.metrics.size = 65;
    client_call(&client, KF_API_PUSH_TELEMETRY, 0, &push, &pushed);
    cr_assert(eq(i16, pushed.error_code, KF_ERR_TELEMETRY_TOO_LARGE));
}

/* ---- max.connections.per.ip ---- */

/* Does it get an answer? */
static bool is_let_in(struct client *who)
{
    struct kf_api_versions_request request;
    client_open(who, kf_broker_bootstrap(broker), 1);
    kf_reset(&kf_schema_of_api_versions_request, &request);
    client_send(who, KF_API_API_VERSIONS, 0, &request);
    return client_receive(who);
}

Test(limits, no_more_connections_come_from_one_address_than_the_broker_is_configured_for)
{
    struct client others[4];
    configure("max.connections.per.ip", "2"); /* `client` is the first */
    cr_assert(is_let_in(&others[0]));
    cr_assert(not(is_let_in(&others[1])));
    configure("max.connections.per.ip.overrides", "10.0.0.1:1,127.0.0.1:3");
    cr_assert(is_let_in(&others[2]));
    cr_assert(not(is_let_in(&others[3])));
    for (int i = 0; i < 4; i++)
        client_close(&others[i]);
}

/* ---- connections.max.idle.ms ---- */

static int dial(const struct kf__world *world)
{
    int error = 0;
    struct kf__address address = {.size = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (void *)&address.storage;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons((uint16_t)strtoul(strchr(kf_broker_bootstrap(broker), ':') + 1, NULL, 10));
    int fd = world->connect(world->context, &address, &error);
    cr_assert(le(int, 0, fd));
    return fd;
}

static void ask(const struct kf__world *world, int fd)
{
    static uint8_t versions[] = {0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xFF, 0xFF};
    struct iovec part = {versions, sizeof versions};
    int error = 0;
    cr_assert(eq(i64, world->send(world->context, fd, &part, 1, &error), sizeof versions));
}

/* Reads all that there is. */
static bool is_closed(const struct kf__world *world, int fd)
{
    char bytes[4096];
    int error = 0;
    ssize_t got;
    while ((got = world->receive(world->context, fd, bytes, sizeof bytes, &error)) > 0)
        continue;
    return got == 0;
}

Test(limits, a_connection_is_idle_no_longer_than_the_broker_is_configured_for)
{
    close_broker();
    broker = kf_broker_start(
        &(kf_broker_options){.size = sizeof(kf_broker_options), .virtual_time = true}, NULL);
    configure("connections.max.idle.ms", "1000");
    const struct kf__world *world = kf_broker_world(broker);
    int idle = dial(world), busy = dial(world);
    kf_broker_advance(broker, 900);
    cr_assert(not(is_closed(world, idle)));
    ask(world, busy);
    kf_broker_advance(broker, 150);
    cr_assert(is_closed(world, idle));
    cr_assert(not(is_closed(world, busy)));
    kf_broker_advance(broker, 700);
    cr_assert(not(is_closed(world, busy)));
    kf_broker_advance(broker, 200);
    cr_assert(is_closed(world, busy));

    configure("connections.max.idle.ms", "-1");
    idle = dial(world);
    kf_broker_advance(broker, 3600 * 1000);
    cr_assert(not(is_closed(world, idle)));
    kf_broker_stop(broker);
    open_broker(); /* for the end of the test */
}

/* ---- timeouts ---- */

static int16_t make_topic(int32_t timeout_ms)
{
    struct kf_create_topics_request request;
    struct kf_create_topics_response response;
    struct kf_create_topics_request_creatable_topic topic = {
        .name = text("fresh"), .num_partitions = 1, .replication_factor = 1};
    kf_reset(&kf_schema_of_create_topics_request, &request);
    request.timeout_ms = timeout_ms;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_CREATE_TOPICS, 7, &request, &response);
    return response.topics.items[0].error_code;
}

/* Kafka's controller has no time at all for it: nothing is made. */
Test(limits, who_gives_no_time_gets_a_timeout)
{
    cr_assert(eq(i16, make_topic(0), KF_ERR_REQUEST_TIMED_OUT));
    cr_assert(eq(i16, make_topic(-1), KF_ERR_REQUEST_TIMED_OUT));
    cr_assert(eq(i16, make_topic(1), 0));
}

/* ---- numbers that nobody uses ---- */

Test(limits, epochs_below_none_are_old_ones)
{
    struct kf_list_offsets_request request;
    struct kf_list_offsets_response response;
    struct kf_list_offsets_request_list_offsets_partition partition = {
        .max_num_offsets = 1, .current_leader_epoch = -7, .timestamp = -1};
    struct kf_list_offsets_request_list_offsets_topic topic = {.name = text("orders")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_list_offsets_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_LIST_OFFSETS, 4, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code,
                 KF_ERR_FENCED_LEADER_EPOCH));
    partition.current_leader_epoch = -1;
    request.isolation_level = 2;
    client_call(&client, KF_API_LIST_OFFSETS, 4, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code,
                 KF_ERR_UNKNOWN_SERVER_ERROR));
}
