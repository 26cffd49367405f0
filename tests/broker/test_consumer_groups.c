#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

/* Groups of the new protocol through the front door: permissions, faults, releases, snapshots. */

static kf_broker *broker;
static struct client client;
static struct kf_consumer_group_heartbeat_response told;

static void open_with(kf_broker_options options)
{
    kf_error error = KF_ERROR_INIT;
    options.size = sizeof options;
    options.thread = true;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 2, 1), KF_OK));
    cr_assert(eq(int, kf_broker_create_topic(broker, "others", 1, 1), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

static void open_plain(void) { open_with((kf_broker_options){0}); }

static void open_strict(void) { open_with((kf_broker_options){.acls = true}); }

TestSuite(consumer_groups, .init = open_plain, .fini = close_broker, .timeout = 60);
TestSuite(consumer_group_acls, .init = open_strict, .fini = close_broker, .timeout = 60);
TestSuite(consumer_group_releases, .timeout = 60);

static kf_string text(const char *of) { return (kf_string){of, of ? strlen(of) : 0}; }

/* Epoch 0 joins, for `topic` or, where it is NULL, for what matches "o.*". */
static int16_t beat_by(const char *assignor, const char *member, int32_t epoch, const char *topic)
{
    struct kf_consumer_group_heartbeat_request request;
    kf_string name = text(topic);
    kf_reset(&kf_schema_of_consumer_group_heartbeat_request, &request);
    request.group_id = text("g");
    request.member_id = text(member);
    request.member_epoch = epoch;
    request.server_assignor = text(assignor);
    if (epoch == 0) {
        request.rebalance_timeout_ms = 60000;
        request.topic_partitions.count = 0;
        if (topic)
            request.subscribed_topic_names.items = &name;
        request.subscribed_topic_names.count = topic ? 1 : -1;
        if (!topic)
            request.subscribed_topic_regex = text("o.*");
    }
    client_call(&client, KF_API_CONSUMER_GROUP_HEARTBEAT, 1, &request, &told);
    return told.error_code;
}

static int16_t beat(const char *member, int32_t epoch, const char *topic)
{
    return beat_by(NULL, member, epoch, topic);
}

static int16_t beat_with(const char *member, const char *assignor)
{
    return beat_by(assignor, member, 0, "orders");
}

static struct kf_consumer_group_describe_response_described_group describe(void)
{
    static struct kf_consumer_group_describe_response response;
    struct kf_consumer_group_describe_request request;
    kf_string group = text("g");
    kf_reset(&kf_schema_of_consumer_group_describe_request, &request);
    request.group_ids.items = &group;
    request.group_ids.count = 1;
    client_call(&client, KF_API_CONSUMER_GROUP_DESCRIBE, 1, &request, &response);
    return response.groups.items[0];
}

enum {
    TOPIC = 2,
    READ = 3,
    DESCRIBE = 8,
    DENY = 2,
    ALLOW = 3,
};

static void put_acl(const char *topic, int8_t operation, int8_t permission)
{
    struct kf_create_acls_request request;
    struct kf_create_acls_response response;
    struct kf_create_acls_request_acl_creation one = {.resource_type = TOPIC,
                                                      .resource_name = text(topic),
                                                      .resource_pattern_type = 3,
                                                      .principal = text("User:ANONYMOUS"),
                                                      .host = text("*"),
                                                      .operation = operation,
                                                      .permission_type = permission};
    kf_reset(&kf_schema_of_create_acls_request, &request);
    request.creations.items = &one;
    request.creations.count = 1;
    client_call(&client, KF_API_CREATE_ACLS, 3, &request, &response);
    cr_assert(eq(i16, response.results.items[0].error_code, 0));
}

Test(consumer_groups, have_the_assignors_that_the_broker_is_configured_for)
{
    struct kf_consumer_group_describe_request request;
    struct kf_consumer_group_describe_response response;
    kf_string group = text("g");
    cr_assert(
        eq(int,
           kf_broker_set_config(broker, KF_BROKER_BROKER, "", "group.consumer.assignors", "range"),
           KF_OK));
    cr_assert(eq(i16, beat_with("m", "uniform"), KF_ERR_UNSUPPORTED_ASSIGNOR));
    cr_assert(eq(sz, told.error_message.size,
                 strlen("ServerAssignor uniform is not supported. Supported assignors: range.")));
    cr_assert(eq(i16, beat_with("m", NULL), 0));
    kf_reset(&kf_schema_of_consumer_group_describe_request, &request);
    request.group_ids.items = &group;
    request.group_ids.count = 1;
    client_call(&client, KF_API_CONSUMER_GROUP_DESCRIBE, 1, &request, &response);
    kf_string assignor = response.groups.items[0].assignor_name;
    cr_assert(eq(sz, assignor.size, strlen("range")));
    cr_assert(eq(int,
                 kf_broker_set_config(broker, KF_BROKER_BROKER, "", "group.consumer.assignors",
                                      "com.example.Own"),
                 KF_OK));
    cr_assert(eq(i16, beat_with("m", "range"), KF_ERR_UNSUPPORTED_ASSIGNOR));
}

/* What the broker is not configured for, it doesn't speak. */
Test(consumer_groups, speak_their_protocol_only_where_the_broker_is_configured_for_it)
{
    static const char key[] = "group.coordinator.rebalance.protocols";
    cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", key, "classic,share"), 0));
    cr_assert(eq(i16, beat("m", 0, "orders"), KF_ERR_UNSUPPORTED_VERSION));
    cr_assert(
        eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", key, "classic,consumer"), 0));
    cr_assert(eq(i16, beat("m", 0, "orders"), 0));
}

Test(consumer_groups, tests_may_ask_who_is_in_one)
{
    const char *state = NULL;
    kf_broker_member member;
    kf_error miss = KF_ERROR_INIT;
    cr_assert(eq(i16, beat("m1", 0, "orders"), 0));
    cr_assert(eq(i32, told.assignment->topic_partitions.count, 1));
    cr_assert(eq(i32, told.assignment->topic_partitions.items[0].partitions.count, 2));
    cr_assert(eq(i32, kf_broker_group_members(broker, "g", &state), 1));
    cr_assert(eq(str, (char *)(uintptr_t)state, "Stable"));
    cr_assert(kf_broker_group_member_at(broker, "g", 0, &member));
    cr_assert(eq(str, member.id, "m1"));
    cr_assert(not(member.leads));
    cr_assert(not(kf_broker_check_member(broker, "g", "nobody", &miss)));
    cr_assert(
        eq(int, strncmp(miss.text, "group g has no member with client id nobody: it is Stable", 57),
           0),
        "%s", miss.text);
}

Test(consumer_groups, faults_are_answered_in_its_name)
{
    kf_error error = KF_ERROR_INIT;
    cr_assert(
        eq(int,
           kf_broker_script(broker, "on ConsumerGroupHeartbeat #2 answer NOT_COORDINATOR", &error),
           KF_OK));
    cr_assert(eq(i16, beat("m1", 0, "orders"), 0));
    cr_assert(eq(i16, beat("m1", 2, NULL), KF_ERR_NOT_COORDINATOR));
    cr_assert(eq(i16, beat("m1", 2, NULL), 0), "the group has not noticed");
}

Test(consumer_groups, comes_back_from_a_snapshot_empty_in_its_epoch)
{
    size_t size = 0;
    kf_error error = KF_ERROR_INIT;
    beat("m1", 0, "orders");
    void *bytes = kf_broker_snapshot(broker, &size);
    cr_assert(eq(int, kf_broker_restore(broker, bytes, size, &error), KF_OK), "%s", error.text);
    kf_broker_snapshot_free(broker, bytes);
    client_close(&client);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    cr_assert(eq(i32, describe().group_epoch, 2));
    cr_assert(eq(i32, describe().members.count, 0));
    cr_assert(eq(i16, beat("m1", 2, NULL), KF_ERR_UNKNOWN_MEMBER_ID));
    cr_assert(eq(i16, beat("m1", 0, "orders"), 0));
    cr_assert(eq(i32, told.member_epoch, 3));
}

Test(consumer_group_acls, wants_read_on_the_group_and_describe_on_topics)
{
    cr_assert(eq(i16, beat("m1", 0, "orders"), KF_ERR_GROUP_AUTHORIZATION_FAILED));
    cr_assert(eq(i16, describe().error_code, KF_ERR_GROUP_AUTHORIZATION_FAILED));
    client_close(&client);
    kf_broker_stop(broker);
    open_with((kf_broker_options){.acls = true, .super_users = "User:ANONYMOUS"});
    cr_assert(eq(i16, beat("m1", 0, "orders"), 0), "a super user may");
}

Test(consumer_group_acls, hides_topics_that_one_may_not_describe)
{
    client_close(&client);
    kf_broker_stop(broker);
    open_with((kf_broker_options){.acls = true, .allow_if_no_acl = true});
    put_acl("orders", READ, ALLOW);
    put_acl("others", DESCRIBE, DENY);
    cr_assert(eq(i16, beat("m1", 0, "others"), KF_ERR_TOPIC_AUTHORIZATION_FAILED));
    cr_assert(eq(i16, beat("m1", 0, NULL), 0));
    cr_assert(eq(i16, beat("m1", 1, NULL), 0));
    cr_assert(eq(i32, told.assignment->topic_partitions.count, 1), "orders alone");
    cr_assert(eq(i32, told.assignment->topic_partitions.items[0].partitions.count, 2));
}

Test(consumer_group_releases, kafka_3_9_has_it_switched_off)
{
    open_with((kf_broker_options){.kafka_version = "3.9"});
    struct kf_consumer_group_heartbeat_request request;
    kf_reset(&kf_schema_of_consumer_group_heartbeat_request, &request);
    request.group_id = text("g");
    client_call(&client, KF_API_CONSUMER_GROUP_HEARTBEAT, 0, &request, &told);
    cr_assert(eq(i16, told.error_code, KF_ERR_UNSUPPORTED_VERSION));
    close_broker();
}

Test(consumer_group_releases, moves_with_its_coordinator)
{
    open_with((kf_broker_options){.nodes = 2});
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", 2), KF_OK));
    cr_assert(eq(i16, beat("m1", 0, "orders"), KF_ERR_NOT_COORDINATOR));
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", 1), KF_OK));
    cr_assert(eq(i16, beat("m1", 0, "orders"), 0));
    close_broker();
}
