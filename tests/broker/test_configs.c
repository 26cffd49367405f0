#include "broker/help_client.h"
#include "proto/batch/batch.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

static kf_broker *broker;
static struct client client;

static void open_broker(void)
{
    kf_broker_options options = {
        .size = sizeof options, .nodes = 3, .thread = true, .default_partitions = 4};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 2, 0), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(configs, .init = open_broker, .fini = close_broker, .timeout = 60);

static kf_string text(const char *of) { return (kf_string){of, of ? strlen(of) : 0}; }

static bool same(kf_string got, const char *wanted)
{
    return got.data && got.size == strlen(wanted) && memcmp(got.data, wanted, got.size) == 0;
}

#define SAME(got, wanted)                                                                          \
    cr_assert(same((got), (wanted)), "got '%.*s', wanted '%s'", (int)(got).size, (got).data, wanted)

/* ---- asking ---- */

struct told {
    char value[64];
    int8_t source;
    int8_t type;
    bool read_only;
    int32_t synonyms;
    char first[64], second[64]; /* synonyms' names */
    int16_t error;
    int32_t count;
    bool documented;
};

static void copy(char into[64], kf_string from)
{
    snprintf(into, 64, "%.*s", (int)from.size, from.data);
}

/* The one config, or the first; `key` NULL: all. */
static struct told describe(int8_t type, const char *name, const char *key)
{
    struct kf_describe_configs_request request;
    struct kf_describe_configs_response response;
    kf_string keys[1] = {text(key)};
    struct kf_describe_configs_request_describe_configs_resource resource = {
        .resource_type = type, .resource_name = text(name)};
    struct told told = {0};
    resource.configuration_keys.items = keys;
    resource.configuration_keys.count = key ? 1 : -1;
    kf_reset(&kf_schema_of_describe_configs_request, &request);
    request.resources.items = &resource;
    request.resources.count = 1;
    request.include_synonyms = true;
    request.include_documentation = true;
    client_call(&client, KF_API_DESCRIBE_CONFIGS, 4, &request, &response);
    told.error = response.results.items[0].error_code;
    told.count = response.results.items[0].configs.count;
    if (told.count == 0)
        return told;
    struct kf_describe_configs_response_describe_configs_resource_result *config =
        response.results.items[0].configs.items;
    copy(told.value, config->value);
    told.source = config->config_source;
    told.type = config->config_type;
    told.read_only = config->read_only;
    told.documented = config->documentation.size > 0;
    told.synonyms = config->synonyms.count;
    if (told.synonyms > 0)
        copy(told.first, config->synonyms.items[0].name);
    if (told.synonyms > 1)
        copy(told.second, config->synonyms.items[1].name);
    return told;
}

struct altered {
    int16_t error;
    char message[160];
};

static struct altered alter(int8_t type, const char *name, const char *key, int8_t operation,
                            const char *value)
{
    struct kf_incremental_alter_configs_request request;
    struct kf_incremental_alter_configs_response response;
    struct kf_incremental_alter_configs_request_alterable_config config = {
        .name = text(key), .config_operation = operation, .value = text(value)};
    struct kf_incremental_alter_configs_request_alter_configs_resource resource = {
        .resource_type = type, .resource_name = text(name)};
    resource.configs.items = &config;
    resource.configs.count = 1;
    kf_reset(&kf_schema_of_incremental_alter_configs_request, &request);
    request.resources.items = &resource;
    request.resources.count = 1;
    client_call(&client, KF_API_INCREMENTAL_ALTER_CONFIGS, 1, &request, &response);
    struct altered altered = {.error = response.responses.items[0].error_code};
    kf_string message = response.responses.items[0].error_message;
    snprintf(altered.message, sizeof altered.message, "%.*s", (int)message.size,
             message.data ? message.data : "");
    return altered;
}

enum {
    TOPIC = 2,
    BROKER = 4,
    METRICS = 16,
    GROUP = 32,
};

/* ---- layers ---- */

Test(configs, tells_a_topics_default_and_whose_it_is)
{
    struct told told = describe(TOPIC, "orders", "cleanup.policy");
    cr_assert(eq(str, told.value, (char *)"delete"));
    cr_assert(eq(i8, told.source, 5));
    cr_assert(eq(i8, told.type, 7));
    cr_assert(eq(i32, told.synonyms, 1));
    cr_assert(eq(str, told.first, (char *)"log.cleanup.policy"));
    cr_assert(told.documented);
    cr_assert(eq(i32, describe(TOPIC, "orders", NULL).count, 37));
    cr_assert(eq(i32, describe(TOPIC, "orders", "nosuch").count, 0));
    cr_assert(eq(i16, describe(TOPIC, "nope", NULL).error, 3));
    cr_assert(eq(i16, describe(TOPIC, "a b", NULL).error, 17));
    cr_assert(eq(i16, describe(7, "1", NULL).error, 42));
}

Test(configs, the_nearest_layer_counts)
{
    cr_assert(eq(i16, alter(BROKER, "", "log.retention.ms", 0, "777").error, 0));
    struct told told = describe(TOPIC, "orders", "retention.ms");
    cr_assert(eq(str, told.value, (char *)"777"));
    cr_assert(eq(i8, told.source, 3));
    cr_assert(eq(i32, told.synonyms, 2));
    cr_assert(eq(str, told.first, (char *)"log.retention.ms"));
    cr_assert(eq(str, told.second, (char *)"log.retention.hours"));

    cr_assert(eq(i16, alter(BROKER, "1", "log.retention.ms", 0, "888").error, 0));
    cr_assert(eq(i8, describe(TOPIC, "orders", "retention.ms").source, 2));
    cr_assert(eq(i16, alter(TOPIC, "orders", "retention.ms", 0, "5000").error, 0));
    told = describe(TOPIC, "orders", "retention.ms");
    cr_assert(eq(str, told.value, (char *)"5000"));
    cr_assert(eq(i8, told.source, 1));
    cr_assert(eq(i32, told.synonyms, 4));
    cr_assert(eq(i16, alter(TOPIC, "orders", "retention.ms", 1, NULL).error, 0));
    cr_assert(eq(i8, describe(TOPIC, "orders", "retention.ms").source, 2));
}

Test(configs, tells_the_brokers_options_as_static)
{
    struct told told = describe(BROKER, "1", "num.partitions");
    cr_assert(eq(str, told.value, (char *)"4"));
    cr_assert(eq(i8, told.source, 4));
    cr_assert(told.read_only);
    cr_assert(eq(i32, told.synonyms, 2));
    cr_assert(eq(i32, describe(BROKER, "1", NULL).count, 350));
    cr_assert(eq(i32, describe(BROKER, "", NULL).count, 1));
    cr_assert(eq(i16, describe(BROKER, "2", NULL).error, 42));
}

/* As a broker with a server.properties of its own would. */
Test(configs, tells_what_a_node_is)
{
    static const char *const rows[][2] = {
        {"broker.id", "1"}, {"node.id", "1"}, {"log.dirs", "/kafiber/memory"}};
    char listeners[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct told told = describe(BROKER, "1", rows[i][0]);
        cr_assert(eq(str, told.value, (char *)(uintptr_t)rows[i][1]), "%s", rows[i][0]);
        cr_assert(eq(i8, told.source, 4));
    }
    cr_assert(eq(i32, describe(BROKER, "1", "broker.id").synonyms, 2));
    cr_assert(eq(i32, describe(BROKER, "1", "node.id").synonyms, 1));
    snprintf(listeners, sizeof listeners, "PLAINTEXT://%.*s",
             (int)strcspn(kf_broker_bootstrap(broker), ","), kf_broker_bootstrap(broker));
    cr_assert(eq(str, describe(BROKER, "1", "listeners").value, listeners));
    cr_assert(eq(str, describe(BROKER, "1", "broker.rack").value, (char *)""));
    cr_assert(eq(i8, describe(BROKER, "1", "broker.rack").source, 5));
}

/* ---- altering ---- */

/* As Kafka does: told without synonyms in DescribeConfigs. */
Test(configs, ages_of_logs_may_be_told_to_brokers_in_hours_and_minutes)
{
    static const struct {
        const char *key, *value, *topics_key, *ms;
    } rows[] = {{"log.retention.hours", "2", "retention.ms", "7200000"},
                {"log.retention.minutes", "3", "retention.ms", "180000"},
                {"log.retention.hours", "1", "retention.ms", "180000"}, /* minutes win */
                {"log.retention.minutes", "-5", "retention.ms", "-1"},
                {"log.retention.minutes", NULL, "retention.ms", "3600000"},
                {"log.retention.ms", "77", "retention.ms", "77"},
                {"log.retention.ms", NULL, "retention.ms", "3600000"},
                {"log.retention.hours", NULL, "retention.ms", "604800000"},
                {"log.roll.hours", "5", "segment.ms", "18000000"},
                {"log.roll.jitter.hours", "1", "segment.jitter.ms", "3600000"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert(eq(int,
                     kf_broker_set_config(broker, KF_BROKER_BROKER, "", rows[i].key, rows[i].value),
                     KF_OK));
        struct told told = describe(TOPIC, "orders", rows[i].topics_key);
        cr_assert(eq(str, told.value, (char *)(uintptr_t)rows[i].ms), "%s", rows[i].key);
    }
    struct told told = describe(TOPIC, "orders", "segment.ms");
    cr_assert(eq(int, told.source, 5));
    cr_assert(eq(i32, told.synonyms, 0));
}

/* A record of 1970 is older than that. */
Test(configs, retention_follows_what_brokers_are_told_in_hours)
{
    int64_t start, end;
    cr_assert(eq(
        int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", "log.retention.hours", "-1"), 0));
    cr_assert(
        eq(int, kf_broker_produce(broker, "orders", 0, (kf_bytes){0}, (kf_bytes){0}, 1, NULL), 0));
    cr_assert(eq(int, kf_broker_clean(broker, "orders"), KF_OK));
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", 0, &start, &end), KF_OK));
    cr_assert(eq(i64, start, 0));
    cr_assert(
        eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", "log.retention.hours", "1"), 0));
    cr_assert(eq(int, kf_broker_clean(broker, "orders"), KF_OK));
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", 0, &start, &end), KF_OK));
    cr_assert(eq(i64, start, 1));
}

Test(configs, refuses_with_kafkas_errors)
{
    static const struct {
        int8_t type;
        const char *name, *key;
        int8_t operation;
        const char *value;
        int16_t error;
        const char *message;
    } cases[] = {
        {TOPIC, "orders", "retention.ms", 2, "1", 40,
         "Can't APPEND to key retention.ms because its type is not LIST."},
        {TOPIC, "orders", "retention.ms", 0, NULL, 42,
         "Null value not supported for : retention.ms"},
        {TOPIC, "orders", "nosuch", 0, "1", 40, "Unknown topic config name: nosuch"},
        {TOPIC, "orders", "nosuch", 1, NULL, 0, ""},
        {TOPIC, "nope", "retention.ms", 0, "1", 3, "The topic 'nope' does not exist."},
        {TOPIC, "", "retention.ms", 0, "1", 42, "Default topic resources are not allowed."},
        {TOPIC, "orders", "retention.ms", 9, "1", -1, ""},
        {TOPIC, "orders", "remote.storage.enable", 0, "true", 40,
         "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with "
         "remote log storage."},
        {BROKER, "1", "num.partitions", 0, "2", 42,
         "Cannot update these configs dynamically: [num.partitions]"},
        {BROKER, "9", "log.cleaner.threads", 0, "2", 42,
         "Unexpected broker id, expected 1, but received 9"},
        {BROKER, "x", "log.cleaner.threads", 0, "2", 42,
         "Node id must be an integer, but it is: x"},
        {BROKER, "", "message.max.bytes", 0, "x", 42,
         "Invalid value x for configuration message.max.bytes: Not a number of type INT"},
        {BROKER, "1", "nosuch", 0, "2", 0, ""},
        {GROUP, "g", "consumer.session.timeout.ms", 0, "5", 40,
         "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive."},
        {GROUP, "g", "nosuch", 0, "5", 40, "Unknown group config name: nosuch"},
        {GROUP, "", "consumer.session.timeout.ms", 0, "50000", 42,
         "Default group resources are not allowed."},
        {METRICS, "m", "interval.ms", 0, "50", 42,
         "Invalid value 50 for interval.ms, interval must be between 100 and 3600000 (1 hour)"},
        {METRICS, "m", "match", 0, "x", 40, "Illegal client matching pattern: x"},
        {METRICS, "m", "match", 0, "client_id=(a", 40,
         "Illegal client matching pattern: client_id=(a"},
        {METRICS, "m", "match", 0, "client_id=((a{255}){255}){255}", 40,
         "Illegal client matching pattern: client_id=((a{255}){255}){255}"},
        {METRICS, "m", "nosuch", 0, "x", 42, "Unknown client metrics configuration: nosuch"},
        {7, "1", "root", 0, "x", 42, "Unknown resource type 7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct altered got =
            alter(cases[i].type, cases[i].name, cases[i].key, cases[i].operation, cases[i].value);
        cr_assert(eq(i16, got.error, cases[i].error), "case %zu: %s", i, got.message);
        cr_assert(eq(str, got.message, (char *)(uintptr_t)cases[i].message));
    }
}

/* There is one, and nothing is logged by it: its level is kept and told. */
Test(configs, the_loggers_level_is_altered_as_kafka_allows_it)
{
    enum {
        LOGGER = 8
    };
    cr_assert(eq(i16, alter(LOGGER, "1", "root", 0, "BOGUS").error, KF_ERR_INVALID_CONFIG));
    cr_assert(eq(i16, alter(LOGGER, "1", "other", 0, "DEBUG").error, KF_ERR_INVALID_CONFIG));
    cr_assert(eq(i16, alter(LOGGER, "1", "root", 1, NULL).error, KF_ERR_INVALID_REQUEST));
    cr_assert(eq(i16, alter(LOGGER, "1", "root", 2, "DEBUG").error, KF_ERR_INVALID_REQUEST));
    cr_assert(eq(i16, alter(LOGGER, "2", "root", 0, "DEBUG").error, KF_ERR_INVALID_REQUEST));
    cr_assert(eq(str, describe(LOGGER, "1", NULL).value, (char *)"INFO"));
    cr_assert(eq(i16, alter(LOGGER, "1", "root", 0, "DEBUG").error, 0));
    cr_assert(eq(str, describe(LOGGER, "1", NULL).value, (char *)"DEBUG"));
}

Test(configs, edits_lists)
{
    cr_assert(eq(i16, alter(TOPIC, "orders", "cleanup.policy", 0, "compact").error, 0));
    cr_assert(eq(i16, alter(TOPIC, "orders", "cleanup.policy", 2, "delete").error, 0));
    cr_assert(eq(i16, alter(TOPIC, "orders", "cleanup.policy", 2, "delete").error, 0));
    cr_assert(eq(str, describe(TOPIC, "orders", "cleanup.policy").value, (char *)"compact,delete"));
    cr_assert(eq(i16, alter(TOPIC, "orders", "cleanup.policy", 3, "compact").error, 0));
    cr_assert(eq(str, describe(TOPIC, "orders", "cleanup.policy").value, (char *)"delete"));
}

Test(configs, keeps_configs_of_groups_and_subscriptions)
{
    cr_assert(eq(i16, alter(GROUP, "g", "consumer.session.timeout.ms", 0, "50000").error, 0));
    struct told told = describe(GROUP, "g", "consumer.session.timeout.ms");
    cr_assert(eq(str, told.value, (char *)"50000"));
    cr_assert(eq(i8, told.source, 8));
    cr_assert(eq(str, told.second, (char *)"group.consumer.session.timeout.ms"));
    cr_assert(eq(i16, alter(METRICS, "m", "match", 0, "client_id=a.*").error, 0));
    cr_assert(eq(i8, describe(METRICS, "m", "match").source, 7));
    cr_assert(eq(i8, describe(METRICS, "m", "interval.ms").source, 5));

    struct kf_list_config_resources_request request;
    struct kf_list_config_resources_response response;
    kf_reset(&kf_schema_of_list_config_resources_request, &request);
    client_call(&client, KF_API_LIST_CONFIG_RESOURCES, 0, &request, &response);
    cr_assert(eq(i32, response.config_resources.count, 1));
    SAME(response.config_resources.items[0].resource_name, "m");
    client_call(&client, KF_API_LIST_CONFIG_RESOURCES, 1, &request, &response);
    cr_assert(eq(i32, response.config_resources.count, 9)); /* g, m, 3 + 3 of nodes, orders */
}

Test(configs, alter_configs_puts_back_what_it_does_not_name)
{
    cr_assert(eq(i16, alter(TOPIC, "orders", "retention.ms", 0, "5000").error, 0));
    struct kf_alter_configs_request request;
    struct kf_alter_configs_response response;
    struct kf_alter_configs_request_alterable_config config = {.name = text("retention.bytes"),
                                                               .value = text("5")};
    struct kf_alter_configs_request_alter_configs_resource resource = {
        .resource_type = TOPIC, .resource_name = text("orders")};
    resource.configs.items = &config;
    resource.configs.count = 1;
    kf_reset(&kf_schema_of_alter_configs_request, &request);
    request.resources.items = &resource;
    request.resources.count = 1;
    request.validate_only = true;
    client_call(&client, KF_API_ALTER_CONFIGS, 2, &request, &response);
    cr_assert(eq(str, describe(TOPIC, "orders", "retention.ms").value, (char *)"5000"));
    request.validate_only = false;
    client_call(&client, KF_API_ALTER_CONFIGS, 2, &request, &response);
    cr_assert(eq(i16, response.responses.items[0].error_code, 0));
    cr_assert(eq(str, describe(TOPIC, "orders", "retention.ms").value, (char *)"604800000"));
    cr_assert(eq(str, describe(TOPIC, "orders", "retention.bytes").value, (char *)"5"));
}

Test(configs, a_resource_named_twice_is_refused_in_both_places_and_the_others_are_altered)
{
    struct kf_alter_configs_request request;
    struct kf_alter_configs_response response;
    struct kf_alter_configs_request_alterable_config config = {.name = text("retention.bytes"),
                                                               .value = text("5")};
    struct kf_alter_configs_request_alter_configs_resource resources[3] = {
        {.resource_type = TOPIC, .resource_name = text("orders")},
        {.resource_type = GROUP, .resource_name = text("orders")},
        {.resource_type = TOPIC, .resource_name = text("orders")}};
    resources[0].configs.items = resources[2].configs.items = &config;
    resources[0].configs.count = resources[2].configs.count = 1;
    kf_reset(&kf_schema_of_alter_configs_request, &request);
    request.resources.items = resources;
    request.resources.count = 3;
    client_call(&client, KF_API_ALTER_CONFIGS, 2, &request, &response);
    cr_assert(eq(i32, response.responses.count, 3));
    for (int i = 0; i < 3; i += 2) {
        cr_assert(eq(i16, response.responses.items[i].error_code, KF_ERR_INVALID_REQUEST));
        SAME(response.responses.items[i].error_message, "Each resource must appear at most once.");
    }
    cr_assert(eq(i16, response.responses.items[1].error_code, 0));
    cr_assert(eq(str, describe(TOPIC, "orders", "retention.bytes").value, (char *)"-1"));
}

/* ---- creating ---- */

static struct kf_create_topics_response
create(const struct kf_create_topics_request_creatable_topic *topics, int32_t count, bool validate)
{
    struct kf_create_topics_request request;
    struct kf_create_topics_response response;
    kf_reset(&kf_schema_of_create_topics_request, &request);
    request.topics.items = (void *)(uintptr_t)topics;
    request.topics.count = count;
    request.validate_only = validate;
    client_call(&client, KF_API_CREATE_TOPICS, 7, &request, &response);
    return response;
}

Test(configs, makes_a_topic_with_its_configs_and_tells_them)
{
    struct kf_create_topics_request_creatable_topic_config config = {.name = text("retention.ms"),
                                                                     .value = text("60000")};
    struct kf_create_topics_request_creatable_topic topic = {
        .name = text("fresh"), .num_partitions = -1, .replication_factor = -1};
    topic.configs.items = &config;
    topic.configs.count = 1;
    struct kf_create_topics_response answer = create(&topic, 1, true);
    cr_assert(eq(i16, answer.topics.items[0].error_code, 0));
    cr_assert(eq(i16, describe(TOPIC, "fresh", NULL).error, 3));

    answer = create(&topic, 1, false);
    cr_assert(eq(i32, answer.topics.items[0].num_partitions, 4));
    cr_assert(eq(i16, answer.topics.items[0].replication_factor, 1));
    cr_assert(eq(i32, answer.topics.items[0].configs.count, 37));
    SAME(answer.topics.items[0].configs.items[31].name, "retention.ms");
    SAME(answer.topics.items[0].configs.items[31].value, "60000");
    cr_assert(eq(i8, answer.topics.items[0].configs.items[31].config_source, 1));
    cr_assert(eq(i8, describe(TOPIC, "fresh", "retention.ms").source, 1));

    cr_assert(eq(int, kf_broker_delete_topic(broker, "fresh"), KF_OK));
    cr_assert(eq(int, kf_broker_create_topic(broker, "fresh", 1, 1), KF_OK));
    cr_assert(eq(i8, describe(TOPIC, "fresh", "retention.ms").source, 5));
}

static void set_of_all(const char *key, const char *value)
{
    cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", key, value), KF_OK), "%s",
              key);
}

static struct kf_metadata_response_topic ask_for(const char *name)
{
    return client_ask_topic(&client, name, true);
}

Test(configs, new_topics_follow_what_the_brokers_are_configured_for)
{
    set_of_all("num.partitions", "7");
    set_of_all("default.replication.factor", "3");
    ask_for("made"); /* the answer comes before the topic */
    struct kf_metadata_response_topic made = ask_for("made");
    cr_assert(eq(i16, made.error_code, 0));
    cr_assert(eq(i32, made.partitions.count, 7));
    cr_assert(eq(i32, made.partitions.items[6].replica_nodes.count, 3));
    struct kf_create_topics_request_creatable_topic topic = {
        .name = text("asked"), .num_partitions = -1, .replication_factor = -1};
    struct kf_create_topics_response answer = create(&topic, 1, false);
    cr_assert(eq(i32, answer.topics.items[0].num_partitions, 7));
    cr_assert(eq(i16, answer.topics.items[0].replication_factor, 3));
    set_of_all("auto.create.topics.enable", "false");
    ask_for("never");
    cr_assert(eq(i16, ask_for("never").error_code, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
}

Test(configs, topics_are_not_deleted_where_that_is_forbidden)
{
    struct kf_delete_topics_request request;
    struct kf_delete_topics_response response;
    struct kf_delete_topics_request_delete_topic_state topic = {.name = text("orders")};
    set_of_all("delete.topic.enable", "false");
    kf_reset(&kf_schema_of_delete_topics_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_DELETE_TOPICS, 6, &request, &response);
    cr_assert(eq(i16, response.responses.items[0].error_code, KF_ERR_TOPIC_DELETION_DISABLED));
    SAME(response.responses.items[0].name, "orders");
    cr_assert(eq(i16, describe(TOPIC, "orders", "retention.ms").error, 0));
}

static int16_t join(const char *group, int32_t session_timeout_ms)
{
    struct kf_join_group_request request;
    struct kf_join_group_response response;
    struct kf_join_group_request_protocol protocol = {.name = text("range"),
                                                      .metadata = {(const uint8_t *)"", 0}};
    kf_reset(&kf_schema_of_join_group_request, &request);
    request.group_id = text(group);
    request.session_timeout_ms = session_timeout_ms;
    request.rebalance_timeout_ms = 60000;
    request.protocol_type = text("consumer");
    request.member_id = text("");
    request.protocols.items = &protocol;
    request.protocols.count = 1;
    client_call(&client, KF_API_JOIN_GROUP, 3, &request, &response);
    return response.error_code;
}

Test(configs, classic_groups_follow_what_the_brokers_are_configured_for)
{
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", 1), KF_OK));
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "h", 1), KF_OK));
    cr_assert(eq(i16, join("g", 500), KF_ERR_INVALID_SESSION_TIMEOUT));
    set_of_all("group.min.session.timeout.ms", "100");
    cr_assert(eq(i16, join("g", 500), 0));
    set_of_all("group.max.session.timeout.ms", "20000");
    cr_assert(eq(i16, join("h", 20001), KF_ERR_INVALID_SESSION_TIMEOUT));
    set_of_all("group.max.size", "1");
    cr_assert(eq(i16, join("g", 20000), KF_ERR_GROUP_MAX_SIZE_REACHED));
}

static int16_t commit(const char *metadata)
{
    struct kf_offset_commit_request request;
    struct kf_offset_commit_response response;
    struct kf_offset_commit_request_partition partition = {.committed_offset = 1,
                                                           .committed_leader_epoch = -1,
                                                           .commit_timestamp = -1,
                                                           .committed_metadata = text(metadata)};
    struct kf_offset_commit_request_topic topic = {.name = text("orders")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_offset_commit_request, &request);
    request.group_id = text("g");
    request.generation_id_or_member_epoch = -1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_OFFSET_COMMIT, 8, &request, &response);
    return response.topics.items[0].partitions.items[0].error_code;
}

Test(configs, commits_say_as_much_as_the_brokers_are_configured_for)
{
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "g", 1), KF_OK));
    cr_assert(eq(i16, commit("four"), 0));
    set_of_all("offset.metadata.max.bytes", "3");
    cr_assert(eq(i16, commit("four"), KF_ERR_OFFSET_METADATA_TOO_LARGE));
    cr_assert(eq(i16, commit("red"), 0));
}

static int16_t begin_transactions(int32_t timeout_ms)
{
    struct kf_init_producer_id_request request;
    struct kf_init_producer_id_response response;
    kf_reset(&kf_schema_of_init_producer_id_request, &request);
    request.transactional_id = text("t");
    request.transaction_timeout_ms = timeout_ms;
    client_call(&client, KF_API_INIT_PRODUCER_ID, 4, &request, &response);
    return response.error_code;
}

Test(configs, transactions_may_be_as_long_as_the_brokers_are_configured_for)
{
    cr_assert(eq(int, kf_broker_move_coordinator(broker, "t", 1), KF_OK));
    cr_assert(eq(i16, begin_transactions(900001), KF_ERR_INVALID_TRANSACTION_TIMEOUT));
    set_of_all("transaction.max.timeout.ms", "1000000");
    cr_assert(eq(i16, begin_transactions(900001), 0));
}

Test(configs, tells_each_topic_of_a_request_what_it_has)
{
    struct kf_create_topics_request_creatable_topic_config config = {.name = text("retention.ms"),
                                                                     .value = text("60000")};
    struct kf_create_topics_request_creatable_topic topics[] = {
        {.name = text("before"), .num_partitions = 1, .replication_factor = 1},
        {.name = text("own"), .num_partitions = 1, .replication_factor = 1},
        {.name = text("behind"), .num_partitions = 1, .replication_factor = 1},
    };
    topics[1].configs.items = &config;
    topics[1].configs.count = 1;
    static const char *const values[] = {"604800000", "60000", "604800000"};
    static const int8_t sources[] = {5, 1, 5};
    struct kf_create_topics_response answer = create(topics, 3, false);
    for (int i = 0; i < 3; i++) {
        cr_assert(eq(i32, answer.topics.items[i].configs.count, 37));
        SAME(answer.topics.items[i].configs.items[31].value, values[i]);
        cr_assert(eq(i8, answer.topics.items[i].configs.items[31].config_source, sources[i]));
    }
}

static bool takes_message_of(const char *topic, size_t size)
{
    static const uint8_t letters[2000];
    return client_produce(&client, topic, 0, (kf_bytes){letters, size}) == 0;
}

/* Led by the node that the client is connected to. */
static void create_here(const char *topic)
{
    cr_assert(eq(int, kf_broker_create_topic(broker, topic, 1, 3), KF_OK));
    cr_assert(eq(int, kf_broker_move_leader(broker, topic, 0, 1), KF_OK));
}

Test(configs, topics_obey_what_brokers_are_told_before_and_after_they_are_made)
{
    create_here("early");
    cr_assert(takes_message_of("early", 2000));
    cr_assert(eq(int,
                 kf_broker_set_config(broker, KF_BROKER_BROKER, "", "message.max.bytes", "1000"),
                 KF_OK));
    create_here("late");
    cr_assert(not(takes_message_of("early", 2000)));
    cr_assert(not(takes_message_of("late", 2000)));
    cr_assert(takes_message_of("late", 500));
    cr_assert(eq(int,
                 kf_broker_set_config(broker, KF_BROKER_TOPIC, "late", "max.message.bytes", "3000"),
                 KF_OK));
    cr_assert(takes_message_of("late", 2000));
    cr_assert(not(takes_message_of("early", 2000)));
}

Test(configs, refuses_bad_topics_with_kafkas_sentences)
{
    static struct kf_create_topics_request_creatable_topic_config bad = {
        .name = {"min.insync.replicas", 19}, .value = {"0", 1}};
    struct kf_create_topics_request_creatable_topic topics[] = {
        {.name = text("a"), .num_partitions = 0, .replication_factor = 1},
        {.name = text("b"), .num_partitions = 1, .replication_factor = 0},
        {.name = text("c"), .num_partitions = 1, .replication_factor = 4},
        {.name = text("d"), .num_partitions = 1, .replication_factor = 1},
        {.name = text("e e"), .num_partitions = 1, .replication_factor = 1},
        {.name = text("dup"), .num_partitions = 1, .replication_factor = 1},
        {.name = text("dup"), .num_partitions = 1, .replication_factor = 1},
        {.name = text("orders"), .num_partitions = 1, .replication_factor = 1},
    };
    topics[3].configs.items = &bad;
    topics[3].configs.count = 1;
    static const int16_t errors[] = {37, 38, 38, 40, 17, 42, 36};
    struct kf_create_topics_response answer = create(topics, 8, false);
    cr_assert(eq(i32, answer.topics.count, 7));
    for (int i = 0; i < 7; i++)
        cr_assert(eq(i16, answer.topics.items[i].error_code, errors[i]), "topic %d", i);
    SAME(answer.topics.items[3].error_message,
         "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1");
    SAME(answer.topics.items[5].error_message, "Duplicate topic name.");
    SAME(answer.topics.items[6].error_message, "Topic 'orders' already exists.");
}

Test(configs, refuses_a_topic_that_looks_like_another)
{
    struct kf_create_topics_request_creatable_topic topics[] = {
        {.name = text("a.b_c"), .num_partitions = 1, .replication_factor = 1},
        {.name = text("a_b.c"), .num_partitions = 1, .replication_factor = 1},
        {.name = text("a-b.c"), .num_partitions = 1, .replication_factor = 1},
    };
    cr_assert(eq(i16, create(topics, 1, false).topics.items[0].error_code, 0));
    struct kf_create_topics_response answer = create(topics + 1, 2, false);
    cr_assert(eq(i16, answer.topics.items[0].error_code, KF_ERR_INVALID_TOPIC_EXCEPTION));
    SAME(answer.topics.items[0].error_message, "Topic 'a_b.c' collides with existing topic: a.b_c");
    cr_assert(eq(i16, answer.topics.items[1].error_code, 0));
    cr_assert(
        eq(int, kf_broker_create_topic(broker, "a.b.c", 1, 1), KF_ERR_INVALID_TOPIC_EXCEPTION));
}

Test(configs, assigns_replicas_as_asked)
{
    static int32_t first[] = {3, 1}, second[] = {2, 3};
    struct kf_create_topics_request_creatable_replica_assignment parts[2] = {
        {.partition_index = 1}, {.partition_index = 0}};
    struct kf_create_topics_request_creatable_topic topic = {
        .name = text("placed"), .num_partitions = -1, .replication_factor = -1};
    parts[0].broker_ids.items = second;
    parts[1].broker_ids.items = first;
    parts[0].broker_ids.count = parts[1].broker_ids.count = 2;
    topic.assignments.items = parts;
    topic.assignments.count = 2;
    struct kf_create_topics_response answer = create(&topic, 1, false);
    cr_assert(eq(i16, answer.topics.items[0].error_code, 0));
    cr_assert(eq(i32, answer.topics.items[0].num_partitions, 2));
    int32_t leader, epoch;
    cr_assert(eq(int, kf_broker_leader(broker, "placed", 0, &leader, &epoch), KF_OK));
    cr_assert(eq(i32, leader, 3));
    cr_assert(eq(int, kf_broker_leader(broker, "placed", 1, &leader, &epoch), KF_OK));
    cr_assert(eq(i32, leader, 2));

    topic.name = text("other");
    parts[0].partition_index = 2;
    answer = create(&topic, 1, false);
    cr_assert(eq(i16, answer.topics.items[0].error_code, 39));
    SAME(answer.topics.items[0].error_message,
         "partitions should be a consecutive 0-based integer sequence");
    parts[0].partition_index = 0; /* twice now */
    answer = create(&topic, 1, false);
    cr_assert(eq(i16, answer.topics.items[0].error_code, 39));
    parts[0].partition_index = -1; /* -1 and 2: their sum would do */
    parts[1].partition_index = 2;
    answer = create(&topic, 1, false);
    cr_assert(eq(i16, answer.topics.items[0].error_code, 39));
    parts[1].partition_index = 0;
    parts[0].partition_index = 1;
    second[1] = 7;
    answer = create(&topic, 1, false);
    SAME(answer.topics.items[0].error_message,
         "The manual partition assignment includes broker 7, but no such broker is registered.");
}

/* ---- what obeys ---- */

static kf_err produce(const char *value, int16_t acks, const char *key)
{
    struct kf_produce_request request;
    struct kf_produce_response response;
    struct kf_produce_request_partition_produce_data data = {0};
    struct kf_produce_request_topic_produce_data topic = {.name = text("orders")};
    struct kf__batch_builder builder;
    struct kf__buffer out;
    struct kf__codecs codecs;
    struct kf__batch_options batch = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1};
    kf__buffer_init(&out, &kf_default_allocator);
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf_bytes bytes = {(const uint8_t *)value, strlen(value)};
    kf_bytes keyed = {(const uint8_t *)key, key ? strlen(key) : 0};
    cr_assert(eq(int, kf__batch_builder_add(&builder, 1000, keyed, bytes, NULL, 0), KF_OK));
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &batch, &codecs, &out), KF_OK));
    data.records = (kf_bytes){out.bytes, out.used};
    topic.partition_data.items = &data;
    topic.partition_data.count = 1;
    kf_reset(&kf_schema_of_produce_request, &request);
    request.acks = acks;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    client_call(&client, KF_API_PRODUCE, 9, &request, &response);
    kf__batch_builder_free(&builder);
    kf__buffer_free(&out);
    kf__codecs_free(&codecs);
    return (kf_err)response.responses.items[0].partition_responses.items[0].error_code;
}

static void set(const char *key, const char *value)
{
    cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_TOPIC, "orders", key, value), KF_OK));
}

Test(configs, produce_obeys_the_topics_limits)
{
    static const char large[] = "a value that is larger than the forty bytes";
    cr_assert(eq(int, produce(large, 1, NULL), KF_OK));
    set("max.message.bytes", "100");
    cr_assert(eq(int, produce(large, 1, NULL), KF_ERR_MESSAGE_TOO_LARGE));
    set("max.message.bytes", NULL);
    set("message.timestamp.before.max.ms", "60000");
    cr_assert(eq(int, produce("v", 1, NULL), KF_ERR_INVALID_TIMESTAMP));
    set("message.timestamp.before.max.ms", NULL);
    set("min.insync.replicas", "2"); /* of one replica no two can be asked for */
    cr_assert(eq(int, produce("v", -1, NULL), KF_OK));
    cr_assert(eq(int, produce("v", 1, NULL), KF_OK));
    set("cleanup.policy", "compact");
    cr_assert(eq(int, produce("v", 1, NULL), KF_ERR_INVALID_RECORD));
    cr_assert(eq(int, produce("v", 1, "k"), KF_OK));
}

Test(configs, the_broker_puts_its_time_and_compression_where_the_topic_wants_it)
{
    kf_message message;
    set("message.timestamp.type", "LogAppendTime");
    set("compression.type", "gzip");
    set("message.timestamp.before.max.ms", "60000"); /* of no concern any more */
    cr_assert(eq(int, produce("value", 1, "key"), KF_OK));
    cr_assert(eq(int, kf_broker_read(broker, "orders", 0, 0, &message), KF_OK));
    cr_assert(eq(int, message.timestamp_type, KF_TIMESTAMP_LOG_APPEND));
    cr_assert(lt(i64, 1600000000000, message.timestamp));
    cr_assert(eq(sz, message.value.size, 5));
    cr_assert(eq(sz, message.key.size, 3));
}

Test(configs, records_of_a_compacted_topic_are_not_deleted_by_request)
{
    struct kf_delete_records_request request;
    struct kf_delete_records_response response;
    struct kf_delete_records_request_delete_records_partition partition = {.offset = 1};
    struct kf_delete_records_request_delete_records_topic topic = {.name = text("orders")};
    cr_assert(eq(int, produce("v", 1, "k"), KF_OK));
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_delete_records_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    set("cleanup.policy", "compact");
    client_call(&client, KF_API_DELETE_RECORDS, 2, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code, 44));
    set("cleanup.policy", "compact,delete");
    client_call(&client, KF_API_DELETE_RECORDS, 2, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code, 0));
    cr_assert(eq(i64, response.topics.items[0].partitions.items[0].low_watermark, 1));
    partition.offset = 9;
    client_call(&client, KF_API_DELETE_RECORDS, 2, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code, 1));
}

/* As Kafka tells it: each partition once, by what was said of it last; topics without any not at
 * all. */
Test(configs, records_of_a_partition_that_is_named_twice_are_deleted_once)
{
    struct kf_delete_records_request request;
    struct kf_delete_records_response response;
    struct kf_delete_records_request_delete_records_partition partitions[2] = {{.offset = 0},
                                                                               {.offset = 1}};
    struct kf_delete_records_request_delete_records_topic topics[3] = {
        {.name = text("orders")}, {.name = text("orders")}, {.name = text("other")}};
    cr_assert(eq(int, produce("v", 1, "k"), KF_OK));
    for (int i = 0; i < 2; i++) {
        topics[i].partitions.items = &partitions[i];
        topics[i].partitions.count = 1;
    }
    kf_reset(&kf_schema_of_delete_records_request, &request);
    request.topics.items = topics;
    request.topics.count = 3;
    client_call(&client, KF_API_DELETE_RECORDS, 2, &request, &response);
    cr_assert(eq(i32, response.topics.count, 1));
    cr_assert(eq(i32, response.topics.items[0].partitions.count, 1));
    cr_assert(eq(i64, response.topics.items[0].partitions.items[0].low_watermark, 1));
}

Test(configs, cleaning_follows_the_topics_policy)
{
    int64_t start, end;
    cr_assert(eq(int, produce("1", 1, "k"), KF_OK));
    cr_assert(eq(int, produce("2", 1, "k"), KF_OK));
    set("retention.ms", "-1");
    cr_assert(eq(int, kf_broker_clean(broker, "orders"), KF_OK));
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", 0, &start, &end), KF_OK));
    cr_assert(eq(i64, start, 0));
    set("retention.ms", "1000");
    cr_assert(eq(int, kf_broker_clean(broker, NULL), KF_OK));
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", 0, &start, &end), KF_OK));
    cr_assert(eq(i64, start, 2));
    cr_assert(eq(i64, end, 2));
    cr_assert(eq(int, kf_broker_clean(broker, "nope"), KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));

    cr_assert(eq(int, produce("3", 1, "k"), KF_OK));
    kf_broker_script(broker, "at Metadata #1 clean topic orders", NULL);
    (void)ask_for("orders");
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", 0, &start, &end), KF_OK));
    cr_assert(eq(i64, start, 3));
}

Test(configs, ten_thousand_topics_are_found_at_once)
{
    char name[32];
    struct kf_metadata_request request;
    struct kf_metadata_response response;
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        cr_assert(eq(int, kf_broker_create_topic(broker, name, 1, 1), KF_OK));
    }
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.count = -1;
    client_call(&client, KF_API_METADATA, 12, &request, &response);
    cr_assert(eq(i32, response.topics.count, 10001));
    struct kf_metadata_request_topic by_id = {.topic_id = response.topics.items[7777].topic_id};
    char wanted[64];
    copy(wanted, response.topics.items[7777].name);
    request.topics.items = &by_id;
    request.topics.count = 1;
    client_call(&client, KF_API_METADATA, 12, &request, &response);
    SAME(response.topics.items[0].name, wanted);
}
