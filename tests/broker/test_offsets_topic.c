/* What group coordinators write into __consumer_offsets: exactly what Kafka's do. */
#include "broker/help_client.h"
#include "broker/help_internal.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_BYTES = 64 << 10,
    PLACE_OF_G = 3,
};

static kf_broker *broker;
static struct client client;
static int64_t seen;
static kf_string said; /* as metadata of an offset */

static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options, .thread = true, .max_bytes = MAX_BYTES};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 3, 1), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
    seen = 0;
    said = kf__text("m");
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(offsets_topic, .init = open_broker, .fini = close_broker, .timeout = 60);

/* What has been written for group "g" since the last time. */
static void expect(const char *records)
{
    cr_assert(eq(str,
                 (char *)(uintptr_t)internal_records(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &seen),
                 (char *)(uintptr_t)records));
}

/* From outside the group, partitions 0 and 1 of "t"; the error of partition 0. */
static int16_t commit(int16_t version, int64_t offset, int64_t retention_ms)
{
    struct kf_offset_commit_request request;
    struct kf_offset_commit_response response;
    struct kf_offset_commit_request_topic topic = {.name = kf__text("t")};
    struct kf_offset_commit_request_partition partitions[] = {
        {.committed_offset = offset,
         .committed_leader_epoch = version < 6 ? -1 : 0,
         .commit_timestamp = -1,
         .committed_metadata = said},
        {.partition_index = 1,
         .committed_offset = offset + 1,
         .committed_leader_epoch = -1,
         .commit_timestamp = -1},
    };
    kf_reset(&kf_schema_of_offset_commit_request, &request);
    request.group_id = kf__text("g");
    request.generation_id_or_member_epoch = -1;
    request.retention_time_ms = retention_ms;
    topic.partitions.items = partitions;
    topic.partitions.count = 2;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_OFFSET_COMMIT, version, &request, &response);
    return response.topics.items[0].partitions.items[0].error_code;
}

#define OFFSET(partition)                                                                          \
    "OffsetCommit {\"group\":\"g\",\"topic\":\"t\",\"partition\":" #partition "}"

Test(offsets_topic, holds_each_commit)
{
    cr_assert(eq(int, commit(8, 5, -1), 0));
    expect(OFFSET(0) " v4 {\"offset\":5,\"leaderEpoch\":0,\"metadata\":\"m\",\"commitTimestamp\":T,"
                     "\"topicId\":\"ID\"}\n" OFFSET(
                         1) " v4 {\"offset\":6,\"leaderEpoch\":-1,"
                            "\"metadata\":\"\",\"commitTimestamp\":T,\"topicId\":\"ID\"}\n");
}

Test(offsets_topic, holds_a_retention_of_its_own_in_an_older_value)
{
    cr_assert(eq(int, commit(3, 5, 60000), 0));
    expect(OFFSET(0) " v1 {\"offset\":5,\"metadata\":\"m\",\"commitTimestamp\":T,"
                     "\"expireTimestamp\":T}\n" OFFSET(
                         1) " v1 {\"offset\":6,\"metadata\":\"\","
                            "\"commitTimestamp\":T,\"expireTimestamp\":T}\n");
}

static int16_t delete_offset(int32_t index)
{
    struct kf_offset_delete_request request;
    struct kf_offset_delete_response response;
    struct kf_offset_delete_request_topic topic = {.name = kf__text("t")};
    struct kf_offset_delete_request_partition partition = {.partition_index = index};
    kf_reset(&kf_schema_of_offset_delete_request, &request);
    request.group_id = kf__text("g");
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_OFFSET_DELETE, 0, &request, &response);
    return response.topics.items[0].partitions.items[0].error_code;
}

static int16_t delete_group(void)
{
    struct kf_delete_groups_request request;
    struct kf_delete_groups_response response;
    kf_string name = kf__text("g");
    kf_reset(&kf_schema_of_delete_groups_request, &request);
    request.groups_names.items = &name;
    request.groups_names.count = 1;
    client_call(&client, KF_API_DELETE_GROUPS, 2, &request, &response);
    return response.results.items[0].error_code;
}

Test(offsets_topic, holds_a_tombstone_for_what_is_deleted)
{
    commit(8, 5, -1);
    internal_records(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &seen);
    cr_assert(eq(int, delete_offset(1), 0));
    expect(OFFSET(1) " -\n");
    cr_assert(eq(int, delete_offset(1), 0)); /* it is gone already */
    expect("");
    cr_assert(eq(int, delete_group(), 0));
    expect(OFFSET(0) " -\nGroupMetadata {\"group\":\"g\"} -\n");
}

Test(offsets_topic, holds_tombstones_where_a_topic_goes)
{
    commit(8, 5, -1);
    internal_records(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &seen);
    cr_assert(eq(int, kf_broker_delete_topic(broker, "t"), KF_OK));
    expect(OFFSET(0) " -\n" OFFSET(1) " -\n");
}

Test(offsets_topic, holds_tombstones_for_what_expires)
{
    commit(3, 5, 1);
    internal_records(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &seen);
    for (int64_t until = kf_broker_time_ms(broker) + 2; kf_broker_time_ms(broker) < until;)
        ;
    kf_broker_expire_offsets(broker);
    expect(OFFSET(0) " -\n" OFFSET(1) " -\nGroupMetadata {\"group\":\"g\"} -\n");
}

/* Until the cap on all logs is reached, with one byte to spare at most for the smallest commit. */
static void fill_logs(void)
{
    static uint8_t junk[MAX_BYTES];
    kf_bytes value = {junk, sizeof junk};
    for (; value.size > 0; value.size /= 2)
        while (kf_broker_produce(broker, "t", 0, (kf_bytes){0}, value, -1, NULL) == KF_OK)
            ;
}

Test(offsets_topic, a_commit_that_cannot_be_written_is_not_made)
{
    cr_assert(eq(int, commit(8, 5, -1), 0));
    fill_logs();
    int64_t start, end, after;
    kf_broker_offsets(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &start, &end);
    cr_assert(eq(int, commit(8, 7, -1), KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 5));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 1), 6));
    kf_broker_offsets(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &start, &after);
    cr_assert(eq(i64, after, end));
    cr_assert(eq(int, delete_group(), 0)); /* what goes has room */
}

Test(offsets_topic, is_compacted_when_it_has_grown)
{
    enum {
        METADATA = 4096 /* offset.metadata.max.bytes */
    };
    static char metadata[METADATA];
    int64_t start, end_offset;
    kf_broker_options options = {.size = sizeof options, .thread = true};
    close_broker();
    broker = kf_broker_start(&options, NULL);
    kf_broker_create_topic(broker, "t", 2, 1);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    memset(metadata, 'm', sizeof metadata);
    said = (kf_string){metadata, sizeof metadata};
    size_t before = kf_broker_memory(broker);
    for (int64_t i = 0; i < 1000; i++)
        cr_assert(eq(int, commit(8, i, -1), 0));
    kf_broker_offsets(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &start, &end_offset);
    cr_assert(eq(i64, end_offset, 2000));
    cr_assert(lt(sz, kf_broker_memory(broker) - before, 3 << 20));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 999));
}

/* ---- transactions ---- */

static int64_t begin(void)
{
    struct kf_init_producer_id_request request;
    struct kf_init_producer_id_response response;
    kf_reset(&kf_schema_of_init_producer_id_request, &request);
    request.transactional_id = kf__text("tx");
    request.transaction_timeout_ms = 60000;
    client_call(&client, KF_API_INIT_PRODUCER_ID, 5, &request, &response);
    return response.producer_id;
}

static int16_t commit_within(int64_t producer, int64_t offset)
{
    struct kf_txn_offset_commit_request request;
    struct kf_txn_offset_commit_response response;
    struct kf_txn_offset_commit_request_topic topic = {.name = kf__text("t")};
    struct kf_txn_offset_commit_request_partition partition = {.committed_offset = offset,
                                                               .committed_leader_epoch = -1};
    kf_reset(&kf_schema_of_txn_offset_commit_request, &request);
    request.transactional_id = kf__text("tx");
    request.group_id = kf__text("g");
    request.producer_id = producer;
    request.generation_id_or_member_epoch = -1;
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_TXN_OFFSET_COMMIT, 5, &request, &response);
    return response.topics.items[0].partitions.items[0].error_code;
}

static int16_t end(int64_t producer, bool commits)
{
    struct kf_end_txn_request request;
    struct kf_end_txn_response response;
    kf_reset(&kf_schema_of_end_txn_request, &request);
    request.transactional_id = kf__text("tx");
    request.producer_id = producer;
    request.committed = commits;
    client_call(&client, KF_API_END_TXN, 5, &request, &response);
    return response.error_code;
}

/* Of the latest: committed transactions only. */
static int64_t stable_offset(void)
{
    struct kf_list_offsets_request request;
    struct kf_list_offsets_response response;
    struct kf_list_offsets_request_list_offsets_topic topic = {.name = kf__text(KF__OFFSETS_TOPIC)};
    struct kf_list_offsets_request_list_offsets_partition partition = {.partition_index =
                                                                           PLACE_OF_G,
                                                                       .current_leader_epoch = -1,
                                                                       .timestamp = -1,
                                                                       .max_num_offsets = 1};
    kf_reset(&kf_schema_of_list_offsets_request, &request);
    request.isolation_level = 1;
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_LIST_OFFSETS, 7, &request, &response);
    return response.topics.items[0].partitions.items[0].offset;
}

Test(offsets_topic, holds_what_a_transaction_commits_and_its_marker)
{
    int64_t producer = begin(), start, end_offset;
    cr_assert(eq(int, commit_within(producer, 9), 0));
    expect(OFFSET(0) " v4 {\"offset\":9,\"leaderEpoch\":-1,\"metadata\":\"\",\"commitTimestamp\":T,"
                     "\"topicId\":\"ID\"}\n");
    cr_assert(eq(i64, stable_offset(), 0));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), -1));
    cr_assert(eq(int, end(producer, true), 0));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 9));
    kf_broker_offsets(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &start, &end_offset);
    cr_assert(eq(i64, end_offset, 2)); /* the marker is an offset too */
    cr_assert(eq(i64, stable_offset(), 2));
}

Test(offsets_topic, an_offset_of_a_transaction_that_cannot_be_written_is_not_kept)
{
    int64_t producer = begin();
    cr_assert(eq(int, commit_within(producer, 9), 0));
    fill_logs();
    cr_assert(eq(int, commit_within(producer, 11), KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(int, end(producer, true), 0)); /* what ends has room */
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 9));
}

/* ---- classic groups ---- */

static char member[80];

/* JoinGroup until the group knows the member. */
static void join(int32_t session_ms, const char *instance)
{
    struct kf_join_group_request request;
    struct kf_join_group_response response;
    struct kf_join_group_request_protocol protocol = {.name = kf__text("range"),
                                                      .metadata = {(const uint8_t *)"\1\2", 2}};
    kf_reset(&kf_schema_of_join_group_request, &request);
    request.group_id = kf__text("g");
    request.session_timeout_ms = session_ms;
    request.rebalance_timeout_ms = 10000;
    request.protocol_type = kf__text("consumer");
    request.member_id = kf__text("");
    request.group_instance_id = kf__text(instance);
    request.protocols.items = &protocol;
    request.protocols.count = 1;
    client_call(&client, KF_API_JOIN_GROUP, 5, &request, &response);
    if (response.error_code == KF_ERR_MEMBER_ID_REQUIRED) {
        snprintf(member, sizeof member, "%.*s", (int)response.member_id.size,
                 response.member_id.data);
        request.member_id = kf__text(member);
        client_call(&client, KF_API_JOIN_GROUP, 5, &request, &response);
    }
    cr_assert(eq(int, response.error_code, 0));
    snprintf(member, sizeof member, "%.*s", (int)response.member_id.size, response.member_id.data);
}

static int16_t assign(int32_t generation)
{
    struct kf_sync_group_request request;
    struct kf_sync_group_response response;
    struct kf_sync_group_request_assignment assignment = {.member_id = kf__text(member),
                                                          .assignment = {(const uint8_t *)"\3", 1}};
    kf_reset(&kf_schema_of_sync_group_request, &request);
    request.group_id = kf__text("g");
    request.generation_id = generation;
    request.member_id = kf__text(member);
    request.assignments.items = &assignment;
    request.assignments.count = 1;
    client_call(&client, KF_API_SYNC_GROUP, 2, &request, &response);
    return response.error_code;
}

static int16_t leave(void)
{
    struct kf_leave_group_request request;
    struct kf_leave_group_response response;
    kf_reset(&kf_schema_of_leave_group_request, &request);
    request.group_id = kf__text("g");
    request.member_id = kf__text(member);
    client_call(&client, KF_API_LEAVE_GROUP, 2, &request, &response);
    return response.error_code;
}

#define GROUP "GroupMetadata {\"group\":\"g\"} v3 {\"protocolType\":"

static void expect_member(int32_t generation, const char *instance, int32_t session_ms)
{
    char text[1024];
    snprintf(text, sizeof text,
             GROUP "\"consumer\",\"generation\":%d,\"protocol\":\"range\",\"leader\":\"%s\","
                   "\"currentStateTimestamp\":T,\"members\":[{\"memberId\":\"%s\","
                   "\"groupInstanceId\":%s,\"clientId\":\"test\",\"clientHost\":\"/127.0.0.1\","
                   "\"rebalanceTimeout\":10000,\"sessionTimeout\":%d,\"subscription\":\"AQI=\","
                   "\"assignment\":\"Aw==\"}]}\n",
             (int)generation, member, member, instance, (int)session_ms);
    expect(text);
}

Test(offsets_topic, holds_a_classic_group_when_it_is_made_stable_and_empty)
{
    join(10000, NULL);
    expect(GROUP "\"\",\"generation\":0,\"protocol\":null,\"leader\":null,"
                 "\"currentStateTimestamp\":T,\"members\":[]}\n");
    cr_assert(eq(int, assign(1), 0));
    expect_member(1, "null", 10000);
    cr_assert(eq(int, leave(), 0));
    expect(GROUP "\"consumer\",\"generation\":2,\"protocol\":null,\"leader\":null,"
                 "\"currentStateTimestamp\":T,\"members\":[]}\n");
}

Test(offsets_topic, holds_a_static_members_new_id)
{
    join(10000, "i");
    cr_assert(eq(int, assign(1), 0));
    internal_records(broker, KF__OFFSETS_TOPIC, PLACE_OF_G, &seen);
    join(12000, "i");
    expect_member(1, "\"i\"", 12000);
}

Test(offsets_topic, an_assignment_that_cannot_be_written_is_not_given)
{
    join(10000, NULL);
    fill_logs();
    const char *state = NULL;
    cr_assert(eq(int, assign(1), KF_ERR_POLICY_VIOLATION));
    kf_broker_group_members(broker, "g", &state);
    cr_assert(eq(str, (char *)(uintptr_t)state, "PreparingRebalance"));
}
