/* Requests of administration that have no file of their own. */
#include "broker/help_client.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_broker *broker;
static struct client client;

static void open_with(const char *version, bool telemetry)
{
    kf_broker_options options = {.size = sizeof options,
                                 .nodes = 2,
                                 .thread = true,
                                 .max_bytes = 1000000,
                                 .kafka_version = version,
                                 .client_telemetry = telemetry};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "a", 1, 1), KF_OK));
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 3, 2), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void open_broker(void) { open_with(NULL, true); }

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(admin, .init = open_broker, .fini = close_broker, .timeout = 60);
TestSuite(releases, .timeout = 60);

static kf_bytes bytes(const char *of) { return (kf_bytes){(const uint8_t *)of, strlen(of)}; }

/* ---- log directories ---- */

Test(admin, tells_the_one_log_directory_and_its_room)
{
    struct kf_describe_log_dirs_request request = {0};
    struct kf_describe_log_dirs_response response;
    cr_assert(
        eq(int, kf_broker_produce(broker, "orders", 1, bytes("k"), bytes("v"), 1, NULL), KF_OK));
    request.topics.count = -1;
    client_call(&client, KF_API_DESCRIBE_LOG_DIRS, 5, &request, &response);
    cr_assert(eq(i32, response.results.count, 1));
    cr_assert(eq(i64, response.results.items[0].total_bytes, 1000000));
    cr_assert(eq(i64, response.results.items[0].usable_bytes, 1000000 - 70));
    cr_assert(eq(i32, response.results.items[0].topics.count, 2));
    cr_assert(
        eq(i64, response.results.items[0].topics.items[1].partitions.items[1].partition_size, 70));

    int32_t some[] = {0, 9};
    struct kf_describe_log_dirs_request_describable_log_dir_topic asked[2] = {
        {.topic = kf__text("orders")}, {.topic = kf__text("nope")}};
    asked[0].partitions.items = some;
    asked[0].partitions.count = 2;
    request.topics.items = asked;
    request.topics.count = 2;
    client_call(&client, KF_API_DESCRIBE_LOG_DIRS, 4, &request, &response);
    cr_assert(eq(i32, response.results.items[0].topics.count, 1));
    cr_assert(eq(i32, response.results.items[0].topics.items[0].partitions.count, 1));
}

Test(admin, moves_replicas_to_the_directory_where_they_are)
{
    struct kf_alter_replica_log_dirs_request request = {0};
    struct kf_alter_replica_log_dirs_response response;
    int32_t zero[] = {0};
    struct kf_alter_replica_log_dirs_request_alter_replica_log_dir_topic topics[2] = {
        {.name = kf__text("orders")}, {.name = kf__text("nope")}};
    struct kf_alter_replica_log_dirs_request_alter_replica_log_dir dir = {
        .path = kf__text("/kafiber/memory")};
    topics[0].partitions.items = topics[1].partitions.items = zero;
    topics[0].partitions.count = topics[1].partitions.count = 1;
    dir.topics.items = topics;
    dir.topics.count = 2;
    request.dirs.items = &dir;
    request.dirs.count = 1;
    client_call(&client, KF_API_ALTER_REPLICA_LOG_DIRS, 2, &request, &response);
    cr_assert(eq(i16, response.results.items[0].partitions.items[0].error_code, 0));
    cr_assert(eq(i16, response.results.items[1].partitions.items[0].error_code, 3));
    dir.path = kf__text("/nope");
    client_call(&client, KF_API_ALTER_REPLICA_LOG_DIRS, 1, &request, &response);
    cr_assert(eq(i16, response.results.items[0].partitions.items[0].error_code, 57));
}

/* ---- partitions by pages ---- */

static struct kf_describe_topic_partitions_response page(const char *topic, int32_t limit,
                                                         const char *at, int32_t partition)
{
    struct kf_describe_topic_partitions_request request = {.response_partition_limit = limit};
    struct kf_describe_topic_partitions_response response;
    struct kf_describe_topic_partitions_request_topic_request asked = {.name = kf__text(topic)};
    struct kf_describe_topic_partitions_request_cursor cursor = {.topic_name = kf__text(at),
                                                                 .partition_index = partition};
    request.topics.items = &asked;
    request.topics.count = topic != NULL;
    request.cursor = at ? &cursor : NULL;
    client_call(&client, KF_API_DESCRIBE_TOPIC_PARTITIONS, 0, &request, &response);
    return response;
}

Test(admin, tells_partitions_page_by_page)
{
    struct kf_describe_topic_partitions_response first = page(NULL, 2, NULL, 0);
    cr_assert(eq(i32, first.topics.count, 2));
    cr_assert(eq(i32, first.topics.items[1].partitions.count, 1));
    cr_assert(eq(i32, first.topics.items[1].partitions.items[0].replica_nodes.count, 2));
    cr_assert(eq(i32, first.topics.items[1].partitions.items[0].eligible_leader_replicas.count, 0));
    cr_assert(eq(i32, first.topics.items[1].topic_authorized_operations, 3576));
    cr_assert(kf__text_equal(first.next_cursor->topic_name, kf__text("orders")));
    cr_assert(eq(i32, first.next_cursor->partition_index, 1));

    struct kf_describe_topic_partitions_response second = page(NULL, 2, "orders", 1);
    cr_assert(eq(i32, second.topics.count, 1));
    cr_assert(eq(i32, second.topics.items[0].partitions.items[1].partition_index, 2));
    cr_assert(eq(ptr, second.next_cursor, NULL));

    struct kf_describe_topic_partitions_response edge = page(NULL, 1, NULL, 0);
    cr_assert(eq(i32, edge.topics.count, 1));
    cr_assert(eq(i32, edge.next_cursor->partition_index, 0));
    cr_assert(eq(i32, page("orders", 0, NULL, 0).topics.items[0].partitions.count, 1));
    cr_assert(eq(i32, page("orders", 5, "orders", 7).topics.items[0].partitions.count, 0));
}

Test(admin, refuses_pages_that_make_no_sense)
{
    cr_assert(eq(i16, page("orders", 1, "orders", -1).topics.items[0].error_code, 42));
    cr_assert(eq(i16, page("orders", 1, "u", 0).topics.items[0].error_code, 42));
    cr_assert(eq(i16, page("nope", 1, NULL, 0).topics.items[0].error_code, 3));
    cr_assert(eq(i16, page("a b", 1, NULL, 0).topics.items[0].error_code, 17));
}

/* ---- offsets ---- */

static int16_t delete_offset(const char *group, const char *topic, int32_t partition,
                             int16_t *partition_error)
{
    struct kf_offset_delete_request request = {.group_id = kf__text(group)};
    struct kf_offset_delete_response response;
    struct kf_offset_delete_request_partition asked = {.partition_index = partition};
    struct kf_offset_delete_request_topic of = {.name = kf__text(topic)};
    of.partitions.items = &asked;
    of.partitions.count = 1;
    request.topics.items = &of;
    request.topics.count = 1;
    client_call(&client, KF_API_OFFSET_DELETE, 0, &request, &response);
    if (response.topics.count > 0)
        *partition_error = response.topics.items[0].partitions.items[0].error_code;
    return response.error_code;
}

/* Whichever of the two nodes coordinates the group. */
static const char *group_of_node_1(void)
{
    static char name[16];
    for (int i = 0; i < 100; i++) {
        struct kf_find_coordinator_request request;
        struct kf_find_coordinator_response response;
        snprintf(name, sizeof name, "g%d", i);
        kf_reset(&kf_schema_of_find_coordinator_request, &request);
        request.key = kf__text(name);
        client_call(&client, KF_API_FIND_COORDINATOR, 2, &request, &response);
        if (response.node_id == 1)
            return name;
    }
    return NULL;
}

Test(admin, forgets_a_groups_offset)
{
    int16_t of_partition = -9;
    const char *group = group_of_node_1();
    struct kf_offset_commit_request request;
    struct kf_offset_commit_response response;
    struct kf_offset_commit_request_partition partition;
    struct kf_offset_commit_request_topic topic = {.name = kf__text("orders")};
    partition = (struct kf_offset_commit_request_partition){.committed_offset = 5,
                                                            .committed_leader_epoch = -1,
                                                            .commit_timestamp = -1,
                                                            .committed_metadata = kf__text("")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_offset_commit_request, &request);
    request.group_id = kf__text(group);
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_OFFSET_COMMIT, 8, &request, &response);
    cr_assert(eq(i64, kf_broker_committed(broker, group, "orders", 0), 5));

    cr_assert(eq(i16, delete_offset(group, "orders", 0, &of_partition), 0));
    cr_assert(eq(i16, of_partition, 0));
    cr_assert(eq(i64, kf_broker_committed(broker, group, "orders", 0), -1));
    cr_assert(eq(i16, delete_offset(group, "nope", 0, &of_partition), 0));
    cr_assert(eq(i16, of_partition, 3));
    cr_assert(eq(i16, delete_offset("", "orders", 0, &of_partition), 24));
}

/* ---- the cluster ---- */

Test(admin, tells_the_quorum)
{
    struct kf_describe_quorum_request request = {0};
    struct kf_describe_quorum_response response;
    struct kf_describe_quorum_request_partition_data partition = {0};
    struct kf_describe_quorum_request_topic_data topic = {.topic_name =
                                                              kf__text("__cluster_metadata")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_DESCRIBE_QUORUM, 2, &request, &response);
    cr_assert(eq(i32, response.topics.items[0].partitions.items[0].leader_id, 1));
    cr_assert(eq(i32, response.topics.items[0].partitions.items[0].current_voters.count, 2));
    cr_assert(eq(i32, response.nodes.count, 2));
    topic.topic_name = kf__text("x");
    client_call(&client, KF_API_DESCRIBE_QUORUM, 2, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code, 3));
}

static int16_t update(const char *feature, int16_t level, int8_t type, bool validate)
{
    struct kf_update_features_request request = {.timeout_ms = 1000, .validate_only = validate};
    struct kf_update_features_response response;
    struct kf_update_features_request_feature_update_key key = {
        .feature = kf__text(feature), .max_version_level = level, .upgrade_type = type};
    request.feature_updates.items = &key;
    request.feature_updates.count = 1;
    client_call(&client, KF_API_UPDATE_FEATURES, 2, &request, &response);
    return response.error_code;
}

static int16_t level_of(const char *feature)
{
    struct kf_api_versions_request request;
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    request.client_software_name = request.client_software_version = kf__text("test");
    client_call(&client, KF_API_API_VERSIONS, 4, &request, &response);
    for (int32_t i = 0; i < response.finalized_features.count; i++)
        if (kf__text_equal(response.finalized_features.items[i].name, kf__text(feature)))
            return response.finalized_features.items[i].max_version_level;
    return 0;
}

Test(admin, changes_feature_levels)
{
    cr_assert(eq(i16, level_of("transaction.version"), 2));
    cr_assert(eq(i16, update("transaction.version", 1, 1, false), 95));
    cr_assert(eq(i16, update("transaction.version", 1, 2, true), 0));
    cr_assert(eq(i16, level_of("transaction.version"), 2));
    cr_assert(eq(i16, update("transaction.version", 1, 2, false), 0));
    cr_assert(eq(i16, level_of("transaction.version"), 1));
    cr_assert(eq(i16, update("transaction.version", 3, 1, false), 95));
    cr_assert(eq(i16, update("transaction.version", -1, 2, false), 95));
    cr_assert(eq(i16, update("transaction.version", 2, 0, false), 95));
    cr_assert(eq(i16, update("nosuch", 1, 1, false), 95));
    cr_assert(eq(i16, update("group.version", 0, 3, false), 0));
    cr_assert(eq(i16, level_of("group.version"), 0));
}

/* Each is looked at once, however many there are, and who is named twice is told once. */
Test(admin, alters_the_credentials_of_thousands_of_users)
{
    enum {
        USERS = 20000
    };
    static char names[USERS][8];
    static struct kf_alter_user_scram_credentials_request_scram_credential_deletion gone[USERS];
    struct kf_alter_user_scram_credentials_request_scram_credential_upsertion made[2] = {
        {.name = kf__text("u7"), .mechanism = 2, .iterations = 4096},
        {.name = kf__text("new"), .mechanism = 1, .iterations = 4096}};
    struct kf_alter_user_scram_credentials_request request;
    struct kf_alter_user_scram_credentials_response response;
    for (int i = 0; i < 2; i++) {
        made[i].salt = bytes("salt");
        made[i].salted_password = bytes("0123456789abcdef0123456789abcdef");
    }
    for (int i = 0; i < USERS; i++) {
        snprintf(names[i], sizeof names[i], "u%d", i);
        gone[i].name = kf__text(names[i]);
        gone[i].mechanism = 1;
    }
    gone[7].mechanism = 3;
    gone[9].name = kf__text("u8");
    kf_reset(&kf_schema_of_alter_user_scram_credentials_request, &request);
    request.deletions.items = gone;
    request.deletions.count = USERS;
    request.upsertions.items = made;
    request.upsertions.count = 2;
    client_call(&client, KF_API_ALTER_USER_SCRAM_CREDENTIALS, 0, &request, &response);
    cr_assert(eq(i32, response.results.count, USERS));
    cr_assert(eq(i16, response.results.items[7].error_code, KF_ERR_UNSUPPORTED_SASL_MECHANISM));
    cr_assert(eq(i16, response.results.items[8].error_code, KF_ERR_RESOURCE_NOT_FOUND));
    cr_assert(kf__text_equal(response.results.items[9].user, kf__text("u10")));
    cr_assert(eq(i16, response.results.items[USERS - 1].error_code, 0));

    gone[0] = (struct kf_alter_user_scram_credentials_request_scram_credential_deletion){
        .name = kf__text("new"), .mechanism = 1};
    request.deletions.count = 1;
    client_call(&client, KF_API_ALTER_USER_SCRAM_CREDENTIALS, 0, &request, &response);
    cr_assert(eq(i32, response.results.count, 2));
    cr_assert(eq(i16, response.results.items[0].error_code, KF_ERR_DUPLICATE_RESOURCE));
    cr_assert(eq(i16, response.results.items[1].error_code, 0));
}

Test(admin, knows_its_brokers)
{
    struct kf_unregister_broker_request request = {.broker_id = 7};
    struct kf_unregister_broker_response response;
    client_call(&client, KF_API_UNREGISTER_BROKER, 0, &request, &response);
    cr_assert(eq(i16, response.error_code, 102));
    request.broker_id = 2;
    client_call(&client, KF_API_UNREGISTER_BROKER, 0, &request, &response);
    cr_assert(eq(i16, response.error_code, 0));
    struct kf_describe_cluster_request cluster = {.include_cluster_authorized_operations = true,
                                                  .endpoint_type = 1};
    struct kf_describe_cluster_response told;
    client_call(&client, KF_API_DESCRIBE_CLUSTER, 2, &cluster, &told);
    cr_assert(eq(i32, told.brokers.count, 2));
    cr_assert(eq(i32, told.cluster_authorized_operations, 8096));
    cluster.endpoint_type = 2;
    client_call(&client, KF_API_DESCRIBE_CLUSTER, 2, &cluster, &told);
    cr_assert(eq(i16, told.error_code, 114));
    cluster.endpoint_type = 7;
    client_call(&client, KF_API_DESCRIBE_CLUSTER, 2, &cluster, &told);
    cr_assert(eq(i16, told.error_code, 115));
}

Test(admin, gives_no_delegation_tokens_to_strangers)
{
    struct kf_create_delegation_token_request request = {.max_lifetime_ms = -1};
    struct kf_create_delegation_token_response response;
    client_call(&client, KF_API_CREATE_DELEGATION_TOKEN, 3, &request, &response);
    cr_assert(eq(i16, response.error_code, 64));
    cr_assert(kf__text_equal(response.principal_name, kf__text("ANONYMOUS")));
    cr_assert(eq(i64, response.expiry_timestamp_ms, -1));
}

/* Kafka stumbles over it, and says so. */
Test(admin, answers_who_names_an_owner_without_its_type)
{
    struct kf_create_delegation_token_request request = {.owner_principal_name = kf__text("b"),
                                                         .max_lifetime_ms = -1};
    struct kf_create_delegation_token_response response;
    client_call(&client, KF_API_CREATE_DELEGATION_TOKEN, 3, &request, &response);
    cr_assert(eq(i16, response.error_code, -1));
    cr_assert(kf__text_equal(response.principal_name, kf__text("ANONYMOUS")));
}

/* ---- telemetry ---- */

static struct kf_get_telemetry_subscriptions_response subscriptions(void)
{
    struct kf_get_telemetry_subscriptions_request request = {.client_instance_id = {{1}}};
    struct kf_get_telemetry_subscriptions_response response;
    client_call(&client, KF_API_GET_TELEMETRY_SUBSCRIPTIONS, 0, &request, &response);
    return response;
}

Test(admin, wishes_for_the_metrics_of_matching_subscriptions)
{
    struct kf_get_telemetry_subscriptions_response got = subscriptions();
    cr_assert(eq(i32, got.push_interval_ms, 300000));
    cr_assert(eq(i32, got.requested_metrics.count, 0));
    int32_t none = got.subscription_id;
    static const char *const keys[][3] = {{"one", "match", "client_id=t.*t"},
                                          {"one", "metrics", "org.apache.,x"},
                                          {"one", "interval.ms", "5000"},
                                          {"two", "match", "client_id=other"},
                                          {"two", "metrics", "*"}};
    for (size_t i = 0; i < 5; i++)
        cr_assert(eq(int,
                     kf_broker_set_config(broker, KF_BROKER_CLIENT_METRICS, keys[i][0], keys[i][1],
                                          keys[i][2]),
                     KF_OK));
    got = subscriptions();
    cr_assert(eq(i32, got.push_interval_ms, 5000));
    cr_assert(eq(i32, got.requested_metrics.count, 2));
    cr_assert(ne(i32, got.subscription_id, none));
    cr_assert(eq(i32, got.telemetry_max_bytes, 1048576));

    struct kf_push_telemetry_request push = {.client_instance_id = {{1}},
                                             .subscription_id = got.subscription_id};
    struct kf_push_telemetry_response pushed;
    push.metrics = bytes("x");
    client_call(&client, KF_API_PUSH_TELEMETRY, 0, &push, &pushed);
    cr_assert(eq(i16, pushed.error_code, 0));
    push.subscription_id = none;
    client_call(&client, KF_API_PUSH_TELEMETRY, 0, &push, &pushed);
    cr_assert(eq(i16, pushed.error_code, 117));
}

/* ---- releases ---- */

/* Row of an API in the answer; max -1: not told. */
static struct kf_api_versions_response_api_version row_of(int16_t api, int16_t version)
{
    struct kf_api_versions_request request;
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    request.client_software_name = request.client_software_version = kf__text("test");
    client_call(&client, KF_API_API_VERSIONS, version, &request, &response);
    for (int32_t i = 0; i < response.api_keys.count; i++)
        if (response.api_keys.items[i].api_key == api)
            return response.api_keys.items[i];
    return (struct kf_api_versions_response_api_version){.max_version = -1};
}

Test(releases, a_release_advertises_what_it_speaks)
{
    static const struct {
        const char *version;
        int16_t produce, fetch, metadata, versions, dirs;
    } cases[] = {{"2.1.1", 7, 10, 7, 2, 1},
                 {"2.8", 9, 12, 11, 3, 2},
                 {"3.9", 11, 17, 12, 4, 4},
                 {"4.0", 12, 17, 13, 4, 4},
                 {"4.4.0", 13, 18, 13, 5, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_with(cases[i].version, false);
        cr_assert(eq(i16, row_of(KF_API_PRODUCE, 0).max_version, cases[i].produce));
        cr_assert(eq(i16, row_of(KF_API_PRODUCE, 0).min_version, 0));
        cr_assert(eq(i16, row_of(KF_API_FETCH, 0).max_version, cases[i].fetch));
        cr_assert(eq(i16, row_of(KF_API_FETCH, 0).min_version, 4)); /* below: conversion */
        cr_assert(eq(i16, row_of(KF_API_METADATA, 0).max_version, cases[i].metadata));
        cr_assert(eq(i16, row_of(KF_API_API_VERSIONS, 0).max_version, cases[i].versions));
        cr_assert(eq(i16, row_of(KF_API_DESCRIBE_LOG_DIRS, 0).max_version, cases[i].dirs));
        cr_assert(eq(i16, row_of(KF_API_GET_TELEMETRY_SUBSCRIPTIONS, 0).max_version, -1));
        close_broker();
    }
}

Test(releases, takes_no_version_that_it_does_not_advertise)
{
    open_with("2.1", false);
    struct kf_metadata_request request;
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.count = -1;
    client_send(&client, KF_API_METADATA, 8, &request);
    cr_assert(not(client_receive(&client)));
    client_close(&client);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    struct kf_metadata_response response;
    client_call(&client, KF_API_METADATA, 7, &request, &response);
    close_broker();
}

/* Before KIP-511 the answer to an unknown version had no rows. */
Test(releases, an_old_one_answers_an_unknown_api_versions_without_rows)
{
    open_with("2.1", false);
    struct kf_api_versions_request request;
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    request.client_software_name = request.client_software_version = kf__text("test");
    client_send(&client, KF_API_API_VERSIONS, 3, &request);
    cr_assert(client_receive(&client));
    cr_assert(eq(int, client_decode(&client, KF_API_API_VERSIONS, 0, &response), KF_OK));
    cr_assert(eq(i16, response.error_code, 35));
    cr_assert(eq(i32, response.api_keys.count, 0));
    close_broker();
}

Test(releases, an_unknown_one_is_refused_by_name)
{
    kf_broker_options options = {.size = sizeof options, .kafka_version = "2.7"};
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(ptr, kf_broker_start(&options, &error), NULL));
    cr_assert(eq(int, error.code, KF_ERR_INVALID_ARGUMENT));
    cr_assert(ne(ptr, strstr(error.text, "not 2.7"), NULL));
}
