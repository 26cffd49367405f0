/* Faults and events of a script against a broker that runs. */
#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static kf_broker *broker;
static struct client client;

static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options, .nodes = 3, .thread = true};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 2, 3), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(broker_faults, .init = open_broker, .fini = close_broker, .timeout = 60);

static void script(const char *text)
{
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_broker_script(broker, text, &error), KF_OK), "%s", error.text);
}

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

/* The first partition's error and the second's of orders. */
static void list_offsets(int16_t *first, int16_t *second)
{
    struct kf_list_offsets_request request;
    struct kf_list_offsets_response response;
    struct kf_list_offsets_request_list_offsets_topic topic = {.name = text("orders")};
    struct kf_list_offsets_request_list_offsets_partition partitions[2];
    kf_reset(&kf_schema_of_list_offsets_request, &request);
    for (int32_t i = 0; i < 2; i++)
        partitions[i] =
            (struct kf_list_offsets_request_list_offsets_partition){.partition_index = i,
                                                                    .current_leader_epoch = -1,
                                                                    .timestamp = -1,
                                                                    .max_num_offsets = 1};
    topic.partitions.items = partitions;
    topic.partitions.count = 2;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_LIST_OFFSETS, 7, &request, &response);
    *first = response.topics.items[0].partitions.items[0].error_code;
    *second = response.topics.items[0].partitions.items[1].error_code;
}

static void lead(int32_t partition, int32_t node)
{
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", partition, node), KF_OK));
}

Test(broker_faults, an_error_hits_one_partition_of_one_request)
{
    int16_t first, second;
    lead(0, 1);
    lead(1, 1);
    script("on ListOffsets #2 topic=orders partition=1 answer OFFSET_NOT_AVAILABLE\n"
           "on ListOffsets topic=others answer UNKNOWN_TOPIC_OR_PARTITION");
    list_offsets(&first, &second);
    cr_assert(eq(i16, second, 0));
    list_offsets(&first, &second);
    cr_assert(eq(i16, first, 0));
    cr_assert(eq(i16, second, KF_ERR_OFFSET_NOT_AVAILABLE));
    list_offsets(&first, &second);
    cr_assert(eq(i16, second, 0));
}

static struct kf_metadata_response_topic describe(void)
{
    return client_ask_topic(&client, "orders", false);
}

Test(broker_faults, metadata_can_lack_the_leader_of_one_partition)
{
    script("on Metadata 1 times topic=orders partition=1 answer LEADER_NOT_AVAILABLE");
    struct kf_metadata_response_topic told = describe();
    cr_assert(eq(i16, told.error_code, 0));
    cr_assert(eq(i16, told.partitions.items[0].error_code, 0));
    cr_assert(eq(i16, told.partitions.items[1].error_code, KF_ERR_LEADER_NOT_AVAILABLE));
    cr_assert(eq(i32, told.partitions.items[1].leader_id, -1));
    cr_assert(eq(i16, describe().partitions.items[1].error_code, 0));
}

Test(broker_faults, a_topic_named_by_its_id_is_the_topic_all_the_same)
{
    struct kf_delete_topics_request request;
    struct kf_delete_topics_response response;
    struct kf_delete_topics_request_delete_topic_state topic = {.topic_id = describe().topic_id};
    kf_reset(&kf_schema_of_delete_topics_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    script("on DeleteTopics topic=orders answer NOT_CONTROLLER");
    client_call(&client, KF_API_DELETE_TOPICS, 6, &request, &response);
    cr_assert(eq(i16, response.responses.items[0].error_code, KF_ERR_NOT_CONTROLLER));
    cr_assert(eq(i16, describe().error_code, 0));
}

Test(broker_faults, an_event_comes_right_after_the_request_that_is_counted)
{
    int16_t first, second;
    lead(0, 1);
    lead(1, 1);
    script("at ListOffsets #2 move leader orders/0 to 3");
    list_offsets(&first, &second);
    list_offsets(&first, &second);
    cr_assert(eq(i16, first, 0));
    list_offsets(&first, &second);
    cr_assert(eq(i16, first, KF_ERR_NOT_LEADER_OR_FOLLOWER));
    cr_assert(eq(i16, second, 0));
}

Test(broker_faults, a_timed_event_stops_a_node_and_its_connections)
{
    struct client other;
    client_open(&other, kf_broker_bootstrap(broker), 2);
    script("after 20ms stop node 2");
    cr_assert(not(client_receive(&other)));
    client_close(&other);
    int32_t leader, epoch;
    for (int32_t p = 0; p < 2; p++) {
        cr_assert(eq(int, kf_broker_leader(broker, "orders", p, &leader, &epoch), KF_OK));
        cr_assert(ne(i32, leader, 2));
    }
}

Test(broker_faults, a_dropped_request_is_not_handled_and_a_dropped_answer_is)
{
    static const struct {
        const char *line;
        int64_t topics;
    } faults[] = {{"on CreateTopics drop", 0}, {"on CreateTopics drop answer", 1}};
    for (size_t i = 0; i < 2; i++) {
        struct kf_create_topics_request request;
        struct kf_create_topics_request_creatable_topic topic;
        memset(&topic, 0, sizeof topic);
        topic.name = text("made");
        topic.num_partitions = 1;
        topic.replication_factor = 1;
        kf_reset(&kf_schema_of_create_topics_request, &request);
        request.topics.items = &topic;
        request.topics.count = 1;
        struct client other;
        client_open(&other, kf_broker_bootstrap(broker), 1);
        kf_broker_fault_clear(broker, 0);
        script(faults[i].line);
        client_send(&other, KF_API_CREATE_TOPICS, 5, &request);
        while (kf_broker_requests(broker, KF_API_CREATE_TOPICS) <= (int64_t)i)
            ;
        int32_t leader, epoch;
        kf_err found = kf_broker_leader(broker, "made", 0, &leader, &epoch);
        cr_assert(eq(int, found == KF_OK, faults[i].topics == 1), "%s", faults[i].line);
        client_close(&other);
    }
}

Test(broker_faults, a_coordinator_moves_where_it_is_told)
{
    struct kf_find_coordinator_request request;
    struct kf_find_coordinator_response response;
    kf_string key = text("g");
    kf_reset(&kf_schema_of_find_coordinator_request, &request);
    request.coordinator_keys.items = &key;
    request.coordinator_keys.count = 1;
    for (int32_t node = 1; node <= 3; node++) {
        cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", node), KF_OK));
        client_call(&client, KF_API_FIND_COORDINATOR, 4, &request, &response);
        cr_assert(eq(i32, response.coordinators.items[0].node_id, node));
    }
    cr_assert(eq(int, kf_broker_stop_node(broker, 3), KF_OK));
    client_call(&client, KF_API_FIND_COORDINATOR, 4, &request, &response);
    cr_assert(ne(i32, response.coordinators.items[0].node_id, 3));
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", 3), KF_ERR_BROKER_NOT_AVAILABLE));
}

Test(broker_faults, a_script_file_is_named_in_its_errors)
{
    kf_error error = KF_ERROR_INIT;
    char path[] = "/tmp/kafiber-script-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(eq(i64, write(fd, "on Fetch clsoe\n", 15), 15));
    close(fd);
    cr_assert(eq(int, kf_broker_script_file(broker, path, &error), KF_ERR_INVALID_ARGUMENT));
    cr_assert(ne(ptr, strstr(error.text, path), NULL));
    cr_assert(ne(ptr, strstr(error.text, "did you mean close?"), NULL), "%s", error.text);
    unlink(path);
    kf_error missing = KF_ERROR_INIT;
    cr_assert(eq(int, kf_broker_script_file(broker, path, &missing), KF_ERR_SYSTEM));
}

/* ApiVersions of a client whose id is no UTF-8, nor without marks of its own. */
Test(broker_journal, is_json_whatever_a_client_calls_itself, .timeout = 60)
{
    static const uint8_t request[] = "\0\0\0\x0f\0\x12\0\0\0\0\0\x01\0\x05"
                                     "a\xff\"\xc3\xbc";
    char path[] = "/tmp/kafiber-journal-XXXXXX", line[4096] = "";
    close(mkstemp(path));
    kf_broker_options options = {.size = sizeof options, .thread = true, .journal = path};
    struct client caller;
    kf_broker *own = kf_broker_start(&options, NULL);
    client_open(&caller, kf_broker_bootstrap(own), 1);
    client_send_bytes(&caller, request, sizeof request - 1);
    cr_assert(client_receive(&caller));
    client_close(&caller);
    kf_broker_stop(own);

    FILE *file = fopen(path, "r");
    cr_assert(ne(ptr, fgets(line, sizeof line, file), NULL));
    fclose(file);
    unlink(path);
    cr_assert(ne(ptr, strstr(line, "\"client_id\":\"a\\ufffd\\u0022\xc3\xbc\","), NULL), "%s",
              line);
}

/* acks=0 has no other way to tell of a failure than to hang up: the journal says who did. */
Test(broker_journal, tells_of_a_request_that_is_answered_by_hanging_up, .timeout = 60)
{
    char path[] = "/tmp/kafiber-journal-XXXXXX", line[4096] = "";
    close(mkstemp(path));
    kf_broker_options options = {.size = sizeof options, .thread = true, .journal = path};
    kf_error error = KF_ERROR_INIT;
    struct client producer;
    struct kf_produce_request request;
    struct kf_produce_request_partition_produce_data partition = {
        .records = {(const uint8_t *)"", 0}};
    struct kf_produce_request_topic_produce_data topic = {.name = text("not-there")};
    kf_broker *own = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, own, NULL), "%s", error.text);
    topic.partition_data.items = &partition;
    topic.partition_data.count = 1;
    kf_reset(&kf_schema_of_produce_request, &request);
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    client_open(&producer, kf_broker_bootstrap(own), 1);
    client_send(&producer, KF_API_PRODUCE, 9, &request);
    cr_assert(not(client_receive(&producer)));
    client_close(&producer);
    kf_broker_stop(own);

    FILE *file = fopen(path, "r");
    cr_assert(ne(ptr, fgets(line, sizeof line, file), NULL));
    fclose(file);
    unlink(path);
    cr_assert(ne(ptr, strstr(line, "\"api\":\"Produce\""), NULL), "%s", line);
    cr_assert(ne(ptr, strstr(line, "\"outcome\":\"closed\"}"), NULL), "%s", line);
}
