/* Internal topics: when they are made, who coordinates what, and who may write there. */
#include "broker/help_client.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_broker *broker;
static struct client client;

static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options, .nodes = 3, .thread = true};
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

TestSuite(internal_topics, .init = open_broker, .fini = close_broker, .timeout = 60);

/* The last one's hash is the smallest int; beyond ASCII UTF-16 counts. */
Test(internal_topics, places_keys_as_java_does, .init = NULL, .fini = NULL)
{
    static const struct {
        const char *key;
        int32_t of_50;
        int32_t of_7;
    } keys[] = {
        {"g", 3, 5},
        {"g2", 43, 2},
        {"gr\xc3\xbc\xc3\x9f"
         "e",
         23, 4},
        {"\xe6\x97\xa5\xe6\x9c\xac", 47, 3},
        {"\xf0\x9f\x98\x80x", 39, 0},
        {"polygenelubricants", 0, 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        cr_assert(eq(i32, kf__place_of_key(kf__text(keys[i].key), 50), keys[i].of_50));
        cr_assert(eq(i32, kf__place_of_key(kf__text(keys[i].key), 7), keys[i].of_7));
    }
}

/* FindCoordinator; the node, or minus the error. */
static int32_t find(int8_t type, const char *name)
{
    struct kf_find_coordinator_request request;
    struct kf_find_coordinator_response response;
    kf_string key = kf__text(name);
    kf_reset(&kf_schema_of_find_coordinator_request, &request);
    request.key_type = type;
    request.coordinator_keys.items = &key;
    request.coordinator_keys.count = 1;
    client_call(&client, KF_API_FIND_COORDINATOR, 4, &request, &response);
    const struct kf_find_coordinator_response_coordinator *row = response.coordinators.items;
    return row->error_code ? -row->error_code : row->node_id;
}

static int32_t leader(const char *topic, int32_t partition)
{
    int32_t node = 0, epoch;
    kf_err err = kf_broker_leader(broker, topic, partition, &node, &epoch);
    return err ? -(int32_t)err : node;
}

Test(internal_topics, are_made_by_the_first_who_asks_for_a_coordinator)
{
    cr_assert(eq(i32, leader(KF__OFFSETS_TOPIC, 0), -KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(eq(i32, find(0, "g"), 1));
    cr_assert(eq(i32, leader(KF__OFFSETS_TOPIC, 3), 1));
    cr_assert(eq(i32, find(0, "g2"), 2));
    cr_assert(eq(i32, leader(KF__OFFSETS_TOPIC, 43), 2));
    cr_assert(eq(i32, leader(KF__TRANSACTIONS_TOPIC, 0), -KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(eq(i32, find(1, "g2"), 2));
    cr_assert(eq(i32, leader(KF__TRANSACTIONS_TOPIC, 43), 2));
}

Test(internal_topics, are_told_in_metadata_as_kafka_makes_them)
{
    find(0, "g");
    struct kf_metadata_response_topic topic = client_ask_topic(&client, KF__OFFSETS_TOPIC, false);
    cr_assert(eq(int, topic.error_code, 0));
    cr_assert(topic.is_internal);
    cr_assert(eq(i32, topic.partitions.count, 50));
    cr_assert(eq(i32, topic.partitions.items[7].replica_nodes.count, 3));
    cr_assert(eq(i32, topic.partitions.items[7].isr_nodes.count, 3));
    topic = client_ask_topic(&client, KF__TRANSACTIONS_TOPIC, false);
    cr_assert(eq(int, topic.error_code, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(topic.is_internal);
}

Test(internal_topics, are_as_many_partitions_and_replicas_as_configured)
{
    static const char *const configs[][2] = {{"offsets.topic.num.partitions", "7"},
                                             {"offsets.topic.replication.factor", "2"}};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        cr_assert(eq(
            int, kf_broker_set_config(broker, KF_BROKER_BROKER, NULL, configs[i][0], configs[i][1]),
            KF_OK));
    cr_assert(eq(i32, find(0, "g"), 3)); /* partition 5 of 7 */
    struct kf_metadata_response_topic topic = client_ask_topic(&client, KF__OFFSETS_TOPIC, false);
    cr_assert(eq(i32, topic.partitions.count, 7));
    cr_assert(eq(i32, topic.partitions.items[0].replica_nodes.count, 2));
}

Test(internal_topics, where_other_topics_go_is_as_without_them)
{
    cr_assert(eq(int, kf_broker_create_topic(broker, "a", 1, 1), KF_OK));
    find(0, "g");
    find(1, "g");
    cr_assert(eq(int, kf_broker_create_topic(broker, "b", 1, 1), KF_OK));
    cr_assert(eq(i32, leader("a", 0), 1));
    cr_assert(eq(i32, leader("b", 0), 2));
}

Test(internal_topics, a_coordinator_is_its_partitions_leader)
{
    cr_assert(eq(i32, find(0, "g"), 1));
    cr_assert(eq(int, kf_broker_move_leader(broker, KF__OFFSETS_TOPIC, 3, 3), KF_OK));
    cr_assert(eq(i32, find(0, "g"), 3));
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", 2), KF_OK));
    cr_assert(eq(i32, leader(KF__OFFSETS_TOPIC, 3), 2));
    cr_assert(eq(i32, kf_broker_coordinator(broker, "g"), 2));
    cr_assert(eq(int, kf_broker_stop_node(broker, 2), KF_OK));
    cr_assert(eq(i32, find(0, "g"), 1));
    cr_assert(eq(int, kf_broker_start_node(broker, 2), KF_OK));
    cr_assert(eq(i32, find(0, "g"), 1));
}

Test(internal_topics, a_name_that_is_nothing_yet_moves_as_both)
{
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "x", 3), KF_OK));
    cr_assert(eq(i32, find(0, "x"), 3));
    cr_assert(eq(i32, find(1, "x"), 3));
}

Test(internal_topics, have_no_coordinator_where_nobody_leads)
{
    find(0, "g");
    cr_assert(eq(int, kf_broker_stop_node(broker, 2), KF_OK));
    cr_assert(eq(int, kf_broker_stop_node(broker, 3), KF_OK));
    cr_assert(eq(i32, find(0, "g"), 1));
    cr_assert(eq(int, kf_broker_delete_topic(broker, KF__OFFSETS_TOPIC), KF_OK));
    cr_assert(eq(int, kf_broker_create_topic(broker, "__consumer.offsets", 1, 1), KF_OK));
    cr_assert(eq(i32, find(0, "g"), -KF_ERR_COORDINATOR_NOT_AVAILABLE));
}

static int16_t commit(const char *group, int64_t offset)
{
    struct kf_offset_commit_request request;
    struct kf_offset_commit_response response;
    struct kf_offset_commit_request_topic topic = {.name = kf__text("t")};
    struct kf_offset_commit_request_partition partition = {
        .committed_offset = offset, .committed_leader_epoch = -1, .commit_timestamp = -1};
    kf_reset(&kf_schema_of_offset_commit_request, &request);
    request.group_id = kf__text(group);
    request.generation_id_or_member_epoch = -1;
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_OFFSET_COMMIT, 8, &request, &response);
    return response.topics.items[0].partitions.items[0].error_code;
}

Test(internal_topics, whose_coordinator_is_elsewhere_is_told_so)
{
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 1, 1), KF_OK));
    cr_assert(eq(i32, commit("g2", 5), KF_ERR_NOT_COORDINATOR));
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g2", 1), KF_OK));
    cr_assert(eq(i32, commit("g2", 5), 0));
}

Test(internal_topics, take_with_them_what_their_coordinators_know)
{
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 1, 1), KF_OK));
    cr_assert(eq(i32, commit("g", 5), 0));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 5));
    cr_assert(eq(int, kf_broker_delete_topic(broker, KF__OFFSETS_TOPIC), KF_OK));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), -1));
    cr_assert(eq(i32, find(0, "g"), 1));
}

Test(internal_topics, take_no_records_from_clients_and_lose_none)
{
    static const kf_bytes value = {(const uint8_t *)"x", 1};
    struct kf_delete_records_request request;
    struct kf_delete_records_response response;
    struct kf_delete_records_request_delete_records_topic topic = {.name =
                                                                       kf__text(KF__OFFSETS_TOPIC)};
    struct kf_delete_records_request_delete_records_partition partition = {.partition_index = 0};
    find(0, "g");
    cr_assert(eq(int, client_produce(&client, KF__OFFSETS_TOPIC, 0, value),
                 KF_ERR_INVALID_TOPIC_EXCEPTION));
    kf_reset(&kf_schema_of_delete_records_request, &request);
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_DELETE_RECORDS, 2, &request, &response);
    cr_assert(eq(int, response.topics.items[0].partitions.items[0].error_code,
                 KF_ERR_INVALID_TOPIC_EXCEPTION));
}

Test(internal_topics, are_small_while_nothing_is_in_them)
{
    find(0, "g"); /* what the connection takes */
    cr_assert(eq(int, kf_broker_delete_topic(broker, KF__OFFSETS_TOPIC), KF_OK));
    size_t before = kf_broker_memory(broker);
    find(0, "g");
    cr_assert(lt(sz, kf_broker_memory(broker) - before, 24 << 10));
}

Test(internal_topics, snapshots_keep_where_coordinators_were_moved)
{
    size_t size = 0;
    find(0, "g");
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", 3), KF_OK));
    void *bytes = kf_broker_snapshot(broker, &size);
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", 2), KF_OK));
    cr_assert(eq(int, kf_broker_restore(broker, bytes, size, NULL), KF_OK));
    kf_broker_snapshot_free(broker, bytes);
    cr_assert(eq(i32, kf_broker_coordinator(broker, "g"), 3));
    cr_assert(eq(i32, leader(KF__OFFSETS_TOPIC, 3), 3));
}
