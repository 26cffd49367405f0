#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static kf_broker *broker;

static kf_broker *open_broker(int32_t nodes)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .nodes = nodes, .thread = true};
    kf_broker *opened = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, opened, NULL), "%s", error.text);
    return opened;
}

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

static void produce(const char *topic, int32_t partition, const char *value)
{
    kf_bytes bytes = {(const uint8_t *)value, strlen(value)};
    cr_assert(
        eq(int, kf_broker_produce(broker, topic, partition, (kf_bytes){0}, bytes, 5, NULL), KF_OK));
}

static void commit(struct client *client, int64_t offset)
{
    struct kf_offset_commit_request request;
    struct kf_offset_commit_response response;
    struct kf_offset_commit_request_topic topic = {.name = text("orders")};
    struct kf_offset_commit_request_partition partition = {
        .committed_offset = offset, .committed_leader_epoch = -1, .commit_timestamp = -1};
    kf_reset(&kf_schema_of_offset_commit_request, &request);
    request.group_id = text("billing");
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(client, KF_API_OFFSET_COMMIT, 8, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code, 0));
}

static void begin_txn(struct client *client)
{
    struct kf_init_producer_id_request request;
    struct kf_init_producer_id_response response;
    kf_reset(&kf_schema_of_init_producer_id_request, &request);
    request.transactional_id = text("pay");
    request.transaction_timeout_ms = 60000;
    client_call(client, KF_API_INIT_PRODUCER_ID, 4, &request, &response);
    cr_assert(eq(i16, response.error_code, 0));
}

static void fill_broker(void)
{
    struct client client;
    broker = open_broker(2);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 3, 2), KF_OK));
    cr_assert(eq(int, kf_broker_create_topic(broker, "audit", 1, 1), KF_OK));
    for (int i = 0; i < 20; i++)
        produce("orders", i % 2, "value");
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 0, 2), KF_OK));
    produce("orders", 0, "in a later epoch");
    cr_assert(eq(int, kf_broker_delete_records(broker, "orders", 1, 4), KF_OK));
    cr_assert(eq(int, kf_broker_hold_replica(broker, "orders", 0, 1, true), KF_OK));
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "billing", 1), KF_OK));
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "pay", 1), KF_OK));
    cr_assert(eq(int,
                 kf_broker_set_config(broker, KF_BROKER_TOPIC, "audit", "retention.ms", "77777"),
                 KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
    commit(&client, 7);
    begin_txn(&client);
    client_close(&client);
}

static void close_broker(void) { kf_broker_stop(broker); }

TestSuite(broker_snapshot, .init = fill_broker, .fini = close_broker, .timeout = 60);

Test(broker_snapshot, comes_back_as_it_was)
{
    size_t size = 0, again_size = 0;
    kf_error error = KF_ERROR_INIT;
    void *bytes = kf_broker_snapshot(broker, &size);
    kf_broker *other = open_broker(2);
    cr_assert(eq(int, kf_broker_create_topic(other, "gone", 1, 1), KF_OK));
    cr_assert(eq(int, kf_broker_restore(other, bytes, size, &error), KF_OK), "%s", error.text);
    void *again = kf_broker_snapshot(other, &again_size);
    cr_assert(eq(sz, again_size, size));
    cr_assert(eq(int, memcmp(again, bytes, size), 0));

    int64_t start, end;
    int32_t leader, epoch;
    kf_message message;
    cr_assert(eq(int, kf_broker_offsets(other, "orders", 1, &start, &end), KF_OK));
    cr_assert(eq(i64, start, 4));
    cr_assert(eq(i64, end, 10));
    cr_assert(eq(int, kf_broker_leader(other, "orders", 0, &leader, &epoch), KF_OK));
    cr_assert(eq(i32, leader, 2));
    cr_assert(eq(int, kf_broker_read(other, "orders", 0, 10, &message), KF_OK));
    cr_assert(eq(int, memcmp(message.value.data, "in a later epoch", message.value.size), 0));
    cr_assert(eq(i32, message.leader_epoch, epoch));
    cr_assert(eq(i64, kf_broker_committed(other, "billing", "orders", 0), 7));
    cr_assert(eq(int, kf_broker_delete_topic(other, "gone"), KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(eq(str, (char *)(uintptr_t)kf_broker_cluster_id(other),
                 (char *)(uintptr_t)kf_broker_cluster_id(broker)));
    kf_broker_snapshot_free(broker, bytes);
    kf_broker_snapshot_free(other, again);
    kf_broker_stop(other);
}

static void alter_scram(struct client *client, const char *user)
{
    struct kf_alter_user_scram_credentials_request request;
    struct kf_alter_user_scram_credentials_response response;
    struct kf_alter_user_scram_credentials_request_scram_credential_upsertion change = {
        .name = text(user), .mechanism = 1, .iterations = 5000, .salt = {(const uint8_t *)"s", 1}};
    change.salted_password = (kf_bytes){(const uint8_t *)"0123456789abcdef0123456789abcdef", 32};
    kf_reset(&kf_schema_of_alter_user_scram_credentials_request, &request);
    request.upsertions.items = &change;
    request.upsertions.count = 1;
    client_call(client, KF_API_ALTER_USER_SCRAM_CREDENTIALS, 0, &request, &response);
    cr_assert(eq(i16, response.results.items[0].error_code, 0));
}

/* -1: there is no such user. */
static int32_t iterations_of(struct client *client, const char *user)
{
    struct kf_describe_user_scram_credentials_request request;
    struct kf_describe_user_scram_credentials_response response;
    struct kf_describe_user_scram_credentials_request_user_name name = {.name = text(user)};
    kf_reset(&kf_schema_of_describe_user_scram_credentials_request, &request);
    request.users.items = &name;
    request.users.count = 1;
    client_call(client, KF_API_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, &request, &response);
    if (response.results.items[0].error_code != 0)
        return -1;
    return response.results.items[0].credential_infos.items[0].iterations;
}

static void set_feature(struct client *client, const char *name, int16_t level)
{
    struct kf_update_features_request request;
    struct kf_update_features_response response;
    struct kf_update_features_request_feature_update_key update = {
        .feature = text(name), .max_version_level = level, .upgrade_type = 3};
    kf_reset(&kf_schema_of_update_features_request, &request);
    request.feature_updates.items = &update;
    request.feature_updates.count = 1;
    client_call(client, KF_API_UPDATE_FEATURES, 1, &request, &response);
    cr_assert(eq(i16, response.error_code, 0));
}

static int16_t level_of(struct client *client, const char *name)
{
    struct kf_api_versions_request request;
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    request.client_software_name = request.client_software_version = text("t");
    client_call(client, KF_API_API_VERSIONS, 3, &request, &response);
    for (int32_t i = 0; i < response.finalized_features.count; i++)
        if (response.finalized_features.items[i].name.size == strlen(name) &&
            memcmp(response.finalized_features.items[i].name.data, name, strlen(name)) == 0)
            return response.finalized_features.items[i].max_version_level;
    return 0;
}

Test(broker_snapshot, knows_scram_users_features_and_metrics_subscriptions)
{
    struct client client;
    size_t size = 0, again_size = 0;
    client_open(&client, kf_broker_bootstrap(broker), 1);
    alter_scram(&client, "ann");
    set_feature(&client, "transaction.version", 1);
    cr_assert(eq(int,
                 kf_broker_set_config(broker, KF_BROKER_CLIENT_METRICS, "m", "interval.ms", "5000"),
                 KF_OK));
    client_close(&client);
    void *bytes = kf_broker_snapshot(broker, &size);
    kf_broker *other = open_broker(2);
    client_open(&client, kf_broker_bootstrap(other), 1);
    alter_scram(&client, "bob");
    client_close(&client);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_broker_restore(other, bytes, size, &error), KF_OK), "%s", error.text);
    client_open(&client, kf_broker_bootstrap(other), 1);
    cr_assert(eq(i32, iterations_of(&client, "ann"), 5000));
    cr_assert(eq(i32, iterations_of(&client, "bob"), -1));
    cr_assert(eq(i16, level_of(&client, "transaction.version"), 1));
    void *again = kf_broker_snapshot(other, &again_size);
    cr_assert(eq(sz, again_size, size), "the subscription is there, too");
    cr_assert(eq(int, memcmp(again, bytes, size), 0));
    client_close(&client);
    kf_broker_snapshot_free(broker, bytes);
    kf_broker_snapshot_free(other, again);
    kf_broker_stop(other);
}

Test(broker_snapshot, part_of_one_changes_nothing)
{
    size_t size = 0;
    uint8_t *bytes = kf_broker_snapshot(broker, &size);
    kf_broker *other = open_broker(2);
    cr_assert(eq(int, kf_broker_create_topic(other, "stays", 1, 1), KF_OK));
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut + 1);
        memcpy(part, bytes, cut);
        cr_assert(eq(int, kf_broker_restore(other, part, cut, NULL), KF_ERR_INVALID_ARGUMENT));
        free(part);
    }
    int64_t start, end;
    cr_assert(eq(int, kf_broker_offsets(other, "stays", 0, &start, &end), KF_OK));
    kf_broker_snapshot_free(broker, bytes);
    kf_broker_stop(other);
}

/* Whatever a byte becomes: it is refused or taken, and what was taken can be used. */
Test(broker_snapshot, a_wrong_byte_does_no_harm)
{
    size_t size = 0;
    uint8_t *bytes = kf_broker_snapshot(broker, &size);
    kf_broker *other = open_broker(2);
    for (size_t at = 0; at < size; at++) {
        uint8_t was = bytes[at];
        bytes[at] = (uint8_t)(was ^ (1 << at % 8));
        if (kf_broker_restore(other, bytes, size, NULL) == KF_OK) {
            size_t again_size = 0;
            kf_broker_snapshot_free(other, kf_broker_snapshot(other, &again_size));
            kf_broker_produce(other, "orders", 0, (kf_bytes){0}, (kf_bytes){0}, 1, NULL);
        }
        bytes[at] = was;
    }
    kf_broker_snapshot_free(broker, bytes);
    kf_broker_stop(other);
}

Test(broker_snapshot, says_why_it_is_refused)
{
    size_t size = 0;
    kf_error error = KF_ERROR_INIT;
    uint8_t *bytes = kf_broker_snapshot(broker, &size);
    kf_broker *small = open_broker(1);
    cr_assert(eq(int, kf_broker_restore(small, bytes, size, &error), KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(str, error.text, "the snapshot is of a cluster with more nodes"));
    kf_broker_stop(small);
    bytes[22] = 9; /* the version's last byte: behind the magic and its size */
    error = (kf_error)KF_ERROR_INIT;
    cr_assert(eq(int, kf_broker_restore(broker, bytes, size, &error), KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(str, error.text, "the snapshot is of format 9, this broker reads 5"));
    error = (kf_error)KF_ERROR_INIT;
    cr_assert(eq(int, kf_broker_restore(broker, "hello", 5, &error), KF_ERR_INVALID_ARGUMENT));
    kf_broker_snapshot_free(broker, bytes);
}

Test(broker_snapshot, goes_through_a_file)
{
    kf_error error = KF_ERROR_INIT;
    char path[] = "/tmp/kafiber-snapshot-XXXXXX";
    close(mkstemp(path));
    cr_assert(eq(int, kf_broker_snapshot_file(broker, path, &error), KF_OK), "%s", error.text);
    cr_assert(eq(int, kf_broker_delete_topic(broker, "orders"), KF_OK));
    cr_assert(eq(int, kf_broker_restore_file(broker, path, &error), KF_OK), "%s", error.text);
    cr_assert(eq(i64, kf_broker_committed(broker, "billing", "orders", 0), 7));
    unlink(path);
    cr_assert(eq(int, kf_broker_restore_file(broker, path, &error), KF_ERR_SYSTEM));
    error = (kf_error)KF_ERROR_INIT;
    cr_assert(eq(int, kf_broker_snapshot_file(broker, "/no/such/place", &error), KF_ERR_SYSTEM));
}
