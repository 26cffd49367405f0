/* Elections and reassignments as clients see them; the rules themselves: test_replicas.c. */
#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static kf_broker *broker;
static struct client client; /* of node 3, which never stops */

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

/* Five records, and two more that only node 1 has: 2 is the other replica. */
static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options, .nodes = 3, .thread = true};
    kf_error error = KF_ERROR_INIT;
    int32_t leader, epoch;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 1, 2), KF_OK));
    cr_assert(eq(int, kf_broker_leader(broker, "t", 0, &leader, &epoch), KF_OK));
    cr_assert(eq(i32, leader, 1));
    client_open(&client, kf_broker_bootstrap(broker), 3);
    for (int i = 0; i < 7; i++) {
        kf_bytes value = {(const uint8_t *)"v", 1};
        if (i == 5)
            cr_assert(eq(int, kf_broker_hold_replica(broker, "t", 0, 2, true), KF_OK));
        cr_assert(eq(int, kf_broker_produce(broker, "t", 0, (kf_bytes){0}, value, 1, NULL), KF_OK));
    }
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(elections, .init = open_broker, .fini = close_broker, .timeout = 60);

static struct kf_metadata_response_partition describe(void)
{
    return client_ask_topic(&client, "t", false).partitions.items[0];
}

static struct kf_describe_topic_partitions_response_partition describe_page(void)
{
    struct kf_describe_topic_partitions_request request;
    struct kf_describe_topic_partitions_response response;
    struct kf_describe_topic_partitions_request_topic_request asked = {.name = text("t")};
    kf_reset(&kf_schema_of_describe_topic_partitions_request, &request);
    request.topics.items = &asked;
    request.topics.count = 1;
    client_call(&client, KF_API_DESCRIBE_TOPIC_PARTITIONS, 0, &request, &response);
    return response.topics.items[0].partitions.items[0];
}

static kf_err elect(int8_t type)
{
    struct kf_elect_leaders_request request;
    struct kf_elect_leaders_response response;
    int32_t partition = 0;
    struct kf_elect_leaders_request_topic_partitions topic = {.topic = text("t")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_elect_leaders_request, &request);
    request.election_type = type;
    request.topic_partitions.items = &topic;
    request.topic_partitions.count = 1;
    client_call(&client, KF_API_ELECT_LEADERS, 2, &request, &response);
    return response.replica_election_results.items[0].partition_result.items[0].error_code;
}

/* Whose last record before `offset` was of this epoch; -1: he doesn't say. */
static struct kf_fetch_response_partition_data read_from(struct client *reader, const char *name,
                                                         int64_t offset, int32_t epoch)
{
    struct kf_fetch_request request;
    struct kf_fetch_response response;
    struct kf_fetch_request_fetch_partition partition = {.current_leader_epoch = -1,
                                                         .fetch_offset = offset,
                                                         .last_fetched_epoch = epoch,
                                                         .log_start_offset = -1,
                                                         .partition_max_bytes = 1 << 20,
                                                         .high_watermark = INT64_MAX};
    struct kf_fetch_request_fetch_topic topic = {.topic = text(name)};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_fetch_request, &request);
    request.max_bytes = 1 << 20;
    request.session_epoch = -1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(reader, KF_API_FETCH, 12, &request, &response);
    return response.responses.items[0].partitions.items[0];
}

/* Who had read to the end finds out that two of its records never were (KIP-320, KIP-595). */
Test(elections, tell_a_reader_where_an_unclean_one_cut_the_log)
{
    cr_assert(eq(int, kf_broker_stop_node(broker, 1), KF_OK));
    struct kf_metadata_response_partition down = describe();
    cr_assert(eq(i32, down.leader_id, -1));
    cr_assert(eq(i16, down.error_code, KF_ERR_LEADER_NOT_AVAILABLE));
    cr_assert(eq(i32, down.isr_nodes.count, 0));
    struct kf_describe_topic_partitions_response_partition page = describe_page();
    cr_assert(eq(i32, page.isr_nodes.count, 0));
    cr_assert(eq(i32, page.eligible_leader_replicas.count, 1));
    cr_assert(eq(i32, page.eligible_leader_replicas.items[0], 1));
    cr_assert(eq(int, elect(0), KF_ERR_PREFERRED_LEADER_NOT_AVAILABLE));
    cr_assert(eq(int, elect(1), KF_OK));
    cr_assert(eq(i32, describe().leader_id, 2));

    struct client reader;
    client_open(&reader, kf_broker_bootstrap(broker), 2);
    struct kf_fetch_response_partition_data told = read_from(&reader, "t", 7, 0);
    cr_assert(eq(i16, told.error_code, 0));
    cr_assert(eq(i32, told.diverging_epoch.epoch, 0));
    cr_assert(eq(i64, told.diverging_epoch.end_offset, 5));
    cr_assert(eq(i16, read_from(&reader, "t", 7, -1).error_code, KF_ERR_OFFSET_OUT_OF_RANGE));

    /* What lies before the log is out of range, even with an epoch that nobody led in. */
    cr_assert(eq(int, kf_broker_move_leader(broker, "t", 0, 2), KF_OK));
    cr_assert(eq(int, kf_broker_produce(broker, "t", 0, (kf_bytes){0}, (kf_bytes){0}, 1, NULL), 0));
    cr_assert(eq(int, kf_broker_delete_records(broker, "t", 0, 1), KF_OK));
    told = read_from(&reader, "t", 0, 1);
    cr_assert(eq(i16, told.error_code, KF_ERR_OFFSET_OUT_OF_RANGE));
    cr_assert(eq(i64, told.diverging_epoch.end_offset, -1));
    client_close(&reader);
}

/* The new leader has nothing at all: the readers' epoch ended where the log begins. */
Test(elections, tell_a_reader_that_all_is_lost)
{
    struct client reader;
    struct kf_offset_for_leader_epoch_request request;
    struct kf_offset_for_leader_epoch_response response;
    struct kf_offset_for_leader_epoch_request_offset_for_leader_topic topic = {.topic = text("u")};
    struct kf_offset_for_leader_epoch_request_offset_for_leader_partition asked = {
        .current_leader_epoch = -1};
    int32_t leader, epoch;
    cr_assert(eq(int, kf_broker_create_topic(broker, "u", 1, 2), KF_OK));
    cr_assert(eq(int, kf_broker_leader(broker, "u", 0, &leader, &epoch), KF_OK));
    cr_assert(eq(i32, leader, 2));
    cr_assert(eq(int, kf_broker_hold_replica(broker, "u", 0, 3, true), KF_OK));
    for (int i = 0; i < 2; i++)
        cr_assert(
            eq(int, kf_broker_produce(broker, "u", 0, (kf_bytes){0}, (kf_bytes){0}, 1, NULL), 0));
    cr_assert(eq(int, kf_broker_stop_node(broker, 2), KF_OK));
    cr_assert(eq(int, kf_broker_elect_leader(broker, "u", 0, true), KF_OK));

    topic.partitions.items = &asked;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_offset_for_leader_epoch_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    client_open(&reader, kf_broker_bootstrap(broker), 3);
    client_call(&reader, KF_API_OFFSET_FOR_LEADER_EPOCH, 4, &request, &response);
    cr_assert(eq(i32, response.topics.items[0].partitions.items[0].leader_epoch, 0));
    cr_assert(eq(i64, response.topics.items[0].partitions.items[0].end_offset, 0));
    struct kf_fetch_response_partition_data told = read_from(&reader, "u", 2, 0);
    cr_assert(eq(i16, told.error_code, 0));
    cr_assert(eq(i32, told.diverging_epoch.epoch, 0));
    cr_assert(eq(i64, told.diverging_epoch.end_offset, 0));
    client_close(&reader);
}

Test(elections, return_to_the_preferred_replica_when_it_is_in_sync)
{
    cr_assert(eq(int, kf_broker_hold_replica(broker, "t", 0, 2, false), KF_OK));
    cr_assert(eq(int, elect(0), KF_ERR_ELECTION_NOT_NEEDED));
    cr_assert(eq(int, elect(1), KF_ERR_ELECTION_NOT_NEEDED));
    cr_assert(eq(int, elect(7), KF_ERR_INVALID_REQUEST));
    cr_assert(eq(int, kf_broker_stop_node(broker, 1), KF_OK));
    cr_assert(eq(i32, describe().leader_id, 2));
    cr_assert(eq(int, kf_broker_start_node(broker, 1), KF_OK));
    cr_assert(eq(i32, describe().leader_id, 2));
    cr_assert(eq(int, kf_broker_elect_leader(broker, "t", 0, false), KF_OK));
    cr_assert(eq(i32, describe().leader_id, 1));
    cr_assert(eq(i32, describe().leader_epoch, 2));
    int64_t start, end;
    cr_assert(eq(int, kf_broker_offsets(broker, "t", 0, &start, &end), KF_OK));
    cr_assert(eq(i64, end, 7));
}

static kf_err reassign(const int32_t *nodes, int32_t count)
{
    struct kf_alter_partition_reassignments_request request;
    struct kf_alter_partition_reassignments_response response;
    struct kf_alter_partition_reassignments_request_reassignable_partition partition = {0};
    struct kf_alter_partition_reassignments_request_reassignable_topic topic = {.name = text("t")};
    int32_t copy[4];
    memcpy(copy, nodes, (size_t)(count > 0 ? count : 0) * sizeof *nodes);
    partition.replicas.items = copy;
    partition.replicas.count = count;
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_alter_partition_reassignments_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_ALTER_PARTITION_REASSIGNMENTS, 1, &request, &response);
    return response.responses.items[0].partitions.items[0].error_code;
}

static struct kf_list_partition_reassignments_response list(void)
{
    struct kf_list_partition_reassignments_request request;
    struct kf_list_partition_reassignments_response response;
    kf_reset(&kf_schema_of_list_partition_reassignments_request, &request);
    request.topics.count = -1;
    client_call(&client, KF_API_LIST_PARTITION_REASSIGNMENTS, 0, &request, &response);
    return response;
}

Test(elections, follow_a_reassignment)
{
    static const int32_t wanted[] = {3, 2}, strange[] = {3, 9}, twice[] = {3, 3};
    cr_assert(eq(int, reassign(strange, 2), KF_ERR_INVALID_REPLICA_ASSIGNMENT));
    cr_assert(eq(int, reassign(twice, 2), KF_ERR_INVALID_REPLICA_ASSIGNMENT));
    cr_assert(eq(int, reassign(wanted, 0), KF_ERR_INVALID_REPLICA_ASSIGNMENT));
    cr_assert(eq(int, reassign(wanted, -1), KF_ERR_NO_REASSIGNMENT_IN_PROGRESS));
    cr_assert(eq(int, reassign(wanted, 2), KF_OK));
    cr_assert(eq(i32, list().topics.count, 0));
    struct kf_metadata_response_partition done = describe();
    cr_assert(eq(i32, done.leader_id, 3));
    cr_assert(eq(i32, done.leader_epoch, 1));
    cr_assert(eq(i32, done.replica_nodes.count, 2));
    cr_assert(eq(i32, done.isr_nodes.count, 1), "2 is still held back");
}

Test(elections, wait_for_a_new_replica_that_is_down)
{
    static const int32_t wanted[] = {3, 1}, back[] = {1, 2};
    cr_assert(eq(int, reassign(wanted, 2), KF_OK));
    cr_assert(eq(int, kf_broker_stop_node(broker, 2), KF_OK));
    cr_assert(eq(int, reassign(back, 2), KF_OK));
    struct kf_list_partition_reassignments_response ongoing = list();
    cr_assert(eq(i32, ongoing.topics.count, 1));
    struct kf_list_partition_reassignments_response_ongoing_partition_reassignment one =
        ongoing.topics.items[0].partitions.items[0];
    cr_assert(eq(i32, one.replicas.count, 3));
    cr_assert(eq(i32, one.adding_replicas.count, 1));
    cr_assert(eq(i32, one.adding_replicas.items[0], 2));
    cr_assert(eq(i32, one.removing_replicas.count, 1));
    cr_assert(eq(i32, one.removing_replicas.items[0], 3));
    cr_assert(eq(int, kf_broker_start_node(broker, 2), KF_OK));
    cr_assert(eq(i32, list().topics.count, 0));
    cr_assert(eq(i32, describe().replica_nodes.count, 2));
}

static struct kf_fetch_response_partition_data fetch_from(int node, int16_t version,
                                                          const char *rack)
{
    struct client reader;
    struct kf_fetch_request request;
    struct kf_fetch_response response;
    struct kf_fetch_request_fetch_partition partition = {.current_leader_epoch = -1,
                                                         .last_fetched_epoch = -1,
                                                         .log_start_offset = -1,
                                                         .partition_max_bytes = 1 << 20,
                                                         .high_watermark = INT64_MAX};
    struct kf_fetch_request_fetch_topic topic = {.topic = text("t")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_fetch_request, &request);
    request.max_bytes = 1 << 20;
    request.session_epoch = -1;
    request.rack_id = text(rack);
    request.topics.items = &topic;
    request.topics.count = 1;
    client_open(&reader, kf_broker_bootstrap(broker), node);
    client_call(&reader, KF_API_FETCH, version, &request, &response);
    struct kf_fetch_response_partition_data told = response.responses.items[0].partitions.items[0];
    told.records.data = NULL; /* it goes with the reader */
    client_close(&reader);
    return told;
}

Test(elections, send_a_consumer_to_the_replica_in_its_rack)
{
    cr_assert(eq(i16, fetch_from(2, 11, "").error_code, KF_ERR_NOT_LEADER_OR_FOLLOWER), "no racks");
    kf_broker_stop(broker);
    kf_broker_options options = {
        .size = sizeof options, .nodes = 3, .thread = true, .racks = "a,b,c"};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 1, 2), KF_OK));
    kf_bytes value = {(const uint8_t *)"v", 1};
    cr_assert(eq(int, kf_broker_produce(broker, "t", 0, (kf_bytes){0}, value, 1, NULL), KF_OK));
    cr_assert(eq(i32, fetch_from(1, 11, "a").preferred_read_replica, -1));
    cr_assert(eq(i32, fetch_from(1, 11, "c").preferred_read_replica, -1), "no replica is there");
    struct kf_fetch_response_partition_data sent = fetch_from(1, 11, "b");
    cr_assert(eq(i32, sent.preferred_read_replica, 2));
    cr_assert(eq(sz, sent.records.size, 0));
    cr_assert(lt(sz, 0, fetch_from(2, 11, "b").records.size));
    cr_assert(eq(int, kf_broker_hold_replica(broker, "t", 0, 2, true), KF_OK));
    cr_assert(eq(i32, fetch_from(1, 11, "b").preferred_read_replica, -1), "it is not in sync");
    cr_assert(eq(int, kf_broker_produce(broker, "t", 0, (kf_bytes){0}, value, 1, NULL), KF_OK));
    cr_assert(eq(i64, fetch_from(2, 11, "b").high_watermark, 1), "a follower tells what it has");
    cr_assert(eq(i64, fetch_from(1, 11, "").high_watermark, 2));
    cr_assert(eq(i16, fetch_from(2, 10, "").error_code, KF_ERR_NOT_LEADER_OR_FOLLOWER));
}
