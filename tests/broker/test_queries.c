#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/broker_assert.h>
#include <setjmp.h>
#include <string.h>

static kf_broker *broker;

static void produce(const char *topic, int32_t partition, const char *key, const char *value)
{
    kf_bytes k = {(const uint8_t *)key, key ? strlen(key) : 0};
    kf_bytes v = {(const uint8_t *)value, value ? strlen(value) : 0};
    cr_assert(eq(int, kf_broker_produce(broker, topic, partition, k, v, 1, NULL), KF_OK));
}

static void open_broker(void)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .thread = true};
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    kf_broker_create_topic(broker, "orders", 2, 0);
    kf_broker_create_topic(broker, "empty", 1, 0);
    kf_broker_create_topic(broker, "aaaaaaaa", 40, 0);
    produce("orders", 0, "k1", "created");
    produce("orders", 1, "k2", "paid");
    produce("orders", 1, NULL, "a \"null\" key\n");
}

static void close_broker(void) { kf_broker_stop(broker); }

TestSuite(broker_queries, .init = open_broker, .fini = close_broker, .timeout = 60);

static void expect_miss(bool found, const kf_error *miss, const char *told)
{
    cr_assert(not(found));
    cr_assert(eq(str, (char *)(uintptr_t)miss->text, (char *)(uintptr_t)told));
}

Test(broker_queries, finds_what_was_produced)
{
    kf_broker_assert_produced(broker, "orders", "k1", "created");
    kf_broker_assert_produced(broker, "orders", NULL, "paid");
    kf_broker_assert_produced(broker, "orders", "k2", NULL);
    kf_broker_assert_records(broker, "orders", 3);
    cr_assert(eq(i64, kf_broker_count_produced(broker, "orders", NULL, NULL), 3));
    cr_assert(eq(i64, kf_broker_count_produced(broker, "orders", "k1", "paid"), 0));
}

Test(broker_queries, shows_the_nearest_record)
{
    kf_error miss = KF_ERROR_INIT;
    expect_miss(kf_broker_check_produced(broker, "orders", "k1", "paid", &miss), &miss,
                "orders has no record with key \"k1\" and value \"paid\": of 3 the nearest is "
                "orders/0@0 with key \"k1\" and value \"created\"");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_produced(broker, "orders", "k9", "paid", &miss), &miss,
                "orders has no record with key \"k9\" and value \"paid\": of 3 the nearest is "
                "orders/1@0 with key \"k2\" and value \"paid\"");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_produced(broker, "orders", NULL, "a 'null' key", &miss), &miss,
                "orders has no record with key (any) and value \"a 'null' key\": of 3 the nearest "
                "is orders/1@1 with key null and value \"a \\x22null\\x22 key\\x0a\"");
}

/* By what is asked for: the key alone, or both. */
Test(broker_queries, shows_the_nearest_key_where_no_value_is_asked_for)
{
    kf_error miss = KF_ERROR_INIT;
    produce("orders", 0, "order-2", "paid");
    produce("orders", 0, "order-17", "sent");
    expect_miss(kf_broker_check_produced(broker, "orders", "order-1", NULL, &miss), &miss,
                "orders has no record with key \"order-1\" and value (any): of 5 the nearest is "
                "orders/0@1 with key \"order-2\" and value \"paid\"");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_produced(broker, "orders", "order-18", "send", &miss), &miss,
                "orders has no record with key \"order-18\" and value \"send\": of 5 the nearest "
                "is orders/0@2 with key \"order-17\" and value \"sent\"");
}

Test(broker_queries, says_where_the_record_is_instead)
{
    kf_error miss = KF_ERROR_INIT;
    expect_miss(kf_broker_check_produced(broker, "empty", "k2", "paid", &miss), &miss,
                "empty has no record with key \"k2\" and value \"paid\": it is in orders");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_produced(broker, "empty", "k", "v", &miss), &miss,
                "empty has no record with key \"k\" and value \"v\": it is empty");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_produced(broker, "order", "k", "v", &miss), &miss,
                "there is no topic order (did you mean orders?)");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_records(broker, "orders", 4, &miss), &miss,
                "orders holds 3 records, not 4");
}

static void commit(struct client *client, const char *group, const char *name, int32_t partition,
                   int64_t offset)
{
    struct kf_offset_commit_request request;
    struct kf_offset_commit_response response;
    struct kf_offset_commit_request_topic topic;
    struct kf_offset_commit_request_partition part;
    memset(&topic, 0, sizeof topic);
    memset(&part, 0, sizeof part);
    kf_reset(&kf_schema_of_offset_commit_request, &request);
    request.group_id = (kf_string){group, strlen(group)};
    request.generation_id_or_member_epoch = -1;
    topic.name = (kf_string){name, strlen(name)};
    part.partition_index = partition;
    part.committed_offset = offset;
    part.committed_leader_epoch = -1;
    part.commit_timestamp = -1;
    topic.partitions.items = &part;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(client, KF_API_OFFSET_COMMIT, 8, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code, 0));
}

Test(broker_queries, knows_commits_and_shows_the_others)
{
    struct client client;
    kf_error miss = KF_ERROR_INIT;
    client_open(&client, kf_broker_bootstrap(broker), 1);
    commit(&client, "billing", "orders", 0, 1);
    kf_broker_assert_committed(broker, "billing", "orders", 0, 1);
    expect_miss(kf_broker_check_committed(broker, "billing", "orders", 0, 2, &miss), &miss,
                "group billing has committed orders/0@1, not @2");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_committed(broker, "billing", "orders", 1, 2, &miss), &miss,
                "group billing has committed nothing for orders/1, only orders/0@1");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_committed(broker, "biling", "orders", 1, 2, &miss), &miss,
                "there is no group biling (did you mean billing?)");
    kf_broker_assert_members(broker, "billing", 0);
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_members(broker, "biling", 1, &miss), &miss,
                "there is no group biling (did you mean billing?)");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_members(broker, "billing", 1, &miss), &miss,
                "group billing has 0 members, not 1: it is Empty");
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_member(broker, "billing", "app", &miss), &miss,
                "group billing has no member with client id app: it is Empty and empty");

    kf_broker_assert_requests(broker, KF_API_OFFSET_COMMIT, "test", 1, 1);
    kf_broker_assert_requests(broker, KF_BROKER_ANY_API, NULL, 1, 1);
    miss = (kf_error)KF_ERROR_INIT;
    expect_miss(kf_broker_check_requests(broker, KF_API_OFFSET_COMMIT, "tset", 1, 9, &miss), &miss,
                "0 requests OffsetCommit came from tset, not 1 to 9; test 1");

    for (int32_t p = 0; p < 40; p++)
        commit(&client, "many", "aaaaaaaa", p, 1000);
    commit(&client, "many", "orders", 0, 7);
    miss = (kf_error)KF_ERROR_INIT;
    cr_assert(not(kf_broker_check_committed(broker, "many", "orders", 1, 2, &miss)));
    cr_assert(eq(int,
                 strncmp(miss.text,
                         "group many has committed nothing for orders/1, only orders/0@7, "
                         "aaaaaaaa/0@1000, ",
                         81),
                 0),
              "%s", miss.text);
    cr_assert(eq(str, miss.text + strlen(miss.text) - 10, (char *)"@1000, …"), "%s", miss.text);
    client_close(&client);
}
