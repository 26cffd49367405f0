/* What changes several things leaves none of them half done, whichever allocation fails. */
#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fails one allocation, counted from when it is armed. */
static struct {
    pthread_mutex_t lock;
    int left; /* until it fails; 0: not armed */
    bool failed;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    pthread_mutex_lock(&memory.lock);
    bool fails = memory.left > 0 && --memory.left == 0;
    memory.failed |= fails;
    pthread_mutex_unlock(&memory.lock);
    return fails ? NULL : realloc(pointer, size);
}

static void arm(int left)
{
    pthread_mutex_lock(&memory.lock);
    memory.left = left;
    memory.failed = false;
    pthread_mutex_unlock(&memory.lock);
}

/* Was the allocation that fails ever asked for? */
static bool disarm(void)
{
    pthread_mutex_lock(&memory.lock);
    memory.left = 0;
    bool failed = memory.failed;
    pthread_mutex_unlock(&memory.lock);
    return failed;
}

static kf_broker *broker;
static struct client client;
static const kf_allocator alloc = {.resize = resize};

enum {
    ACLS = 60
};

TestSuite(scarce, .timeout = 120);

static kf_string text(const char *of) { return (kf_string){of, of ? strlen(of) : 0}; }

static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options,
                                 .thread = true,
                                 .nodes = 2,
                                 .alloc = &alloc,
                                 .acls = true,
                                 .super_users = "User:ANONYMOUS"};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "a", 1, 1), KF_OK));
    cr_assert(eq(int, kf_broker_create_topic(broker, "b", 1, 1), KF_OK));
    cr_assert(eq(int, kf_broker_move_leader(broker, "a", 0, 1), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
    (void)client_ask_topic(&client, "a", false); /* so that it is let in before memory fails */
}

/* For who looks what has become of it. */
static void come_back(void)
{
    client_close(&client);
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

/* Asks; *answered: what it says can be read. False: nothing failed. */
static bool ask(int16_t api, int16_t version, const void *request, void *response, bool *answered)
{
    client_send(&client, api, version, request);
    *answered = client_receive(&client) && client_decode(&client, api, version, response) == KF_OK;
    return disarm();
}

/* ---- ACLs ---- */

static struct kf_create_acls_request_acl_creation an_acl(const char *topic, int8_t operation)
{
    return (struct kf_create_acls_request_acl_creation){.resource_type = 2,
                                                        .resource_name = text(topic),
                                                        .resource_pattern_type = 3,
                                                        .principal = text("User:u"),
                                                        .host = text("*"),
                                                        .operation = operation,
                                                        .permission_type = 3};
}

/* One of "a", the others of "b": more than fit into one piece of an arena. */
static void list_acls(struct kf_create_acls_request *request,
                      struct kf_create_acls_request_acl_creation acls[ACLS])
{
    static char principals[ACLS][16];
    for (int i = 0; i < ACLS; i++) {
        acls[i] = an_acl(i == 0 ? "a" : "b", 3);
        snprintf(principals[i], sizeof principals[i], "User:%d", i);
        acls[i].principal = text(principals[i]);
    }
    kf_reset(&kf_schema_of_create_acls_request, request);
    request->creations.items = acls;
    request->creations.count = ACLS;
}

/* How many of these there are. */
static int32_t count_acls(const char *topic)
{
    struct kf_describe_acls_request request;
    struct kf_describe_acls_response response;
    int32_t count = 0;
    kf_reset(&kf_schema_of_describe_acls_request, &request);
    request.resource_type_filter = 2;
    request.resource_name_filter = text(topic);
    request.pattern_type_filter = 3;
    request.principal_filter = request.host_filter = text(NULL);
    request.operation = 1;
    request.permission_type = 1;
    client_call(&client, KF_API_DESCRIBE_ACLS, 3, &request, &response);
    for (int32_t i = 0; i < response.resources.count; i++)
        count += response.resources.items[i].acls.count;
    return count;
}

Test(scarce, acls_are_deleted_all_or_none)
{
    bool failed = true;
    for (int away = 1; failed; away++) {
        struct kf_create_acls_request create;
        struct kf_create_acls_response created;
        struct kf_create_acls_request_acl_creation acls[ACLS];
        struct kf_delete_acls_request request;
        struct kf_delete_acls_response response;
        struct kf_delete_acls_request_delete_acls_filter filters[2];
        bool answered;
        open_broker();
        list_acls(&create, acls);
        client_call(&client, KF_API_CREATE_ACLS, 3, &create, &created);
        for (int i = 0; i < 2; i++)
            filters[i] = (struct kf_delete_acls_request_delete_acls_filter){
                .resource_type_filter = 2,
                .resource_name_filter = text(i == 0 ? "a" : "b"),
                .pattern_type_filter = 3,
                .operation = 1,
                .permission_type = 1};
        kf_reset(&kf_schema_of_delete_acls_request, &request);
        request.filters.items = filters;
        request.filters.count = 2;
        arm(away);
        failed = ask(KF_API_DELETE_ACLS, 3, &request, &response, &answered);
        if (answered) {
            cr_assert(eq(i32, response.filter_results.items[0].matching_acls.count, 1));
            cr_assert(eq(i32, response.filter_results.items[1].matching_acls.count, ACLS - 1));
        }
        come_back();
        int32_t left = count_acls("a") + count_acls("b");
        cr_assert(left == 0 || (left == ACLS && !answered), "%d away: %d left", away, (int)left);
        close_broker();
    }
}

Test(scarce, an_acl_is_created_where_the_answer_says_so)
{
    bool failed = true;
    for (int away = 1; failed; away++) {
        struct kf_create_acls_request create;
        struct kf_create_acls_response created;
        struct kf_create_acls_request_acl_creation acls[ACLS];
        bool answered;
        open_broker();
        list_acls(&create, acls);
        arm(away);
        failed = ask(KF_API_CREATE_ACLS, 3, &create, &created, &answered);
        int32_t said = 0;
        for (int32_t i = 0; answered && i < ACLS; i++)
            said += created.results.items[i].error_code == 0;
        come_back();
        int32_t made = count_acls("a") + count_acls("b");
        cr_assert(answered ? made == said : made == 0 || made == ACLS, "%d away: %d, not %d", away,
                  (int)made, (int)said);
        close_broker();
    }
}

/* ---- quotas ---- */

/* What user u may produce and consume; 0: nothing is said of it. */
static void read_quotas(double *producer, double *consumer)
{
    struct kf_describe_client_quotas_request request;
    struct kf_describe_client_quotas_response response;
    *producer = *consumer = 0;
    kf_reset(&kf_schema_of_describe_client_quotas_request, &request);
    client_call(&client, KF_API_DESCRIBE_CLIENT_QUOTAS, 1, &request, &response);
    for (int32_t i = 0; i < response.entries.count; i++)
        for (int32_t k = 0; k < response.entries.items[i].values.count; k++) {
            kf_string key = response.entries.items[i].values.items[k].key;
            *(key.data[0] == 'p' ? producer : consumer) =
                response.entries.items[i].values.items[k].value;
        }
}

static bool alter_quotas(int away, bool swap, bool *answered, int16_t *error)
{
    struct kf_alter_client_quotas_request request;
    struct kf_alter_client_quotas_response response;
    struct kf_alter_client_quotas_request_op_data ops[2] = {
        {.key = text("producer_byte_rate"), .value = 1000, .remove = swap},
        {.key = text("consumer_byte_rate"), .value = 2000}};
    struct kf_alter_client_quotas_request_entity_data part = {.entity_type = text("user"),
                                                              .entity_name = text("u")};
    struct kf_alter_client_quotas_request_entry_data entry = {0};
    entry.entity.items = &part;
    entry.entity.count = 1;
    entry.ops.items = ops;
    entry.ops.count = swap ? 2 : 1;
    kf_reset(&kf_schema_of_alter_client_quotas_request, &request);
    request.entries.items = &entry;
    request.entries.count = 1;
    arm(away);
    bool failed = ask(KF_API_ALTER_CLIENT_QUOTAS, 1, &request, &response, answered);
    *error = *answered ? response.entries.items[0].error_code : 0;
    return failed;
}

Test(scarce, quotas_of_an_entity_are_altered_all_or_none)
{
    bool failed = true;
    for (int away = 1; failed; away++) {
        bool answered;
        int16_t error;
        double producer, consumer;
        open_broker();
        alter_quotas(0, false, &answered, &error);
        failed = alter_quotas(away, true, &answered, &error);
        come_back();
        read_quotas(&producer, &consumer);
        bool before = producer == 1000 && consumer == 0, after = producer == 0 && consumer == 2000;
        cr_assert(answered && !error ? after
                  : answered         ? before
                                     : before || after,
                  "%d away: %f %f", away, producer, consumer);
        close_broker();
    }
}

/* ---- configs ---- */

static void read_configs(const char *keys[3], char told[3])
{
    struct kf_describe_configs_request request;
    struct kf_describe_configs_response response;
    struct kf_describe_configs_request_describe_configs_resource resource = {
        .resource_type = 2, .resource_name = text("a")};
    resource.configuration_keys.count = -1;
    kf_reset(&kf_schema_of_describe_configs_request, &request);
    request.resources.items = &resource;
    request.resources.count = 1;
    client_call(&client, KF_API_DESCRIBE_CONFIGS, 4, &request, &response);
    for (int k = 0; k < 3; k++)
        for (int32_t i = 0; i < response.results.items[0].configs.count; i++) {
            kf_string name = response.results.items[0].configs.items[i].name;
            if (name.size == strlen(keys[k]) && memcmp(name.data, keys[k], name.size) == 0)
                told[k] = response.results.items[0].configs.items[i].config_source == 1
                              ? response.results.items[0].configs.items[i].value.data[0]
                              : '-';
        }
}

static const char *keys[3] = {"retention.ms", "flush.ms", "segment.ms"};

static bool alter_incrementally(int away, bool *answered, int16_t *error)
{
    struct kf_incremental_alter_configs_request request;
    struct kf_incremental_alter_configs_response response;
    struct kf_incremental_alter_configs_request_alterable_config configs[3] = {
        {.name = text(keys[0]), .value = text("2")},
        {.name = text(keys[1]), .value = text("2")},
        {.name = text(keys[2]), .config_operation = 1}};
    struct kf_incremental_alter_configs_request_alter_configs_resource resource = {
        .resource_type = 2, .resource_name = text("a")};
    resource.configs.items = configs;
    resource.configs.count = 3;
    kf_reset(&kf_schema_of_incremental_alter_configs_request, &request);
    request.resources.items = &resource;
    request.resources.count = 1;
    arm(away);
    bool failed = ask(KF_API_INCREMENTAL_ALTER_CONFIGS, 1, &request, &response, answered);
    *error = *answered ? response.responses.items[0].error_code : 0;
    return failed;
}

static bool alter_by_replacing(int away, bool *answered, int16_t *error)
{
    struct kf_alter_configs_request request;
    struct kf_alter_configs_response response;
    struct kf_alter_configs_request_alterable_config configs[2] = {
        {.name = text(keys[0]), .value = text("2")}, {.name = text(keys[1]), .value = text("2")}};
    struct kf_alter_configs_request_alter_configs_resource resource = {.resource_type = 2,
                                                                       .resource_name = text("a")};
    resource.configs.items = configs;
    resource.configs.count = 2;
    kf_reset(&kf_schema_of_alter_configs_request, &request);
    request.resources.items = &resource;
    request.resources.count = 1;
    arm(away);
    bool failed = ask(KF_API_ALTER_CONFIGS, 2, &request, &response, answered);
    *error = *answered ? response.responses.items[0].error_code : 0;
    return failed;
}

static void alter_configs(bool (*alter)(int away, bool *answered, int16_t *error))
{
    bool failed = true;
    for (int away = 1; failed; away++) {
        bool answered;
        int16_t error;
        char told[4] = "???";
        open_broker();
        for (int k = 0; k < 3; k += 2)
            cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_TOPIC, "a", keys[k], "1"), 0));
        failed = alter(away, &answered, &error);
        come_back();
        read_configs(keys, told);
        bool before = strcmp(told, "1-1") == 0, after = strcmp(told, "22-") == 0;
        cr_assert(answered && !error ? after
                  : answered         ? before
                                     : before || after,
                  "%d away: %s, error %d", away, told, error);
        close_broker();
    }
}

Test(scarce, configs_of_a_resource_are_altered_all_or_none) { alter_configs(alter_incrementally); }

Test(scarce, configs_of_a_resource_are_replaced_all_or_none) { alter_configs(alter_by_replacing); }

/* What was refused leaves no resource without configs behind. */
Test(scarce, a_group_without_configs_is_not_told)
{
    bool failed = true;
    for (int away = 1; failed; away++) {
        struct kf_list_config_resources_request request;
        struct kf_list_config_resources_response response;
        open_broker();
        arm(away);
        kf_err err = kf_broker_set_config(broker, KF_BROKER_GROUP, "g",
                                          "consumer.session.timeout.ms", "50000");
        failed = disarm();
        int8_t type = 32;
        kf_reset(&kf_schema_of_list_config_resources_request, &request);
        request.resource_types.items = &type;
        request.resource_types.count = 1;
        client_call(&client, KF_API_LIST_CONFIG_RESOURCES, 1, &request, &response);
        cr_assert(eq(i32, response.config_resources.count, err ? 0 : 1));
        close_broker();
    }
}

/* ---- SCRAM users ---- */

Test(scarce, a_user_has_credentials_or_is_not_there)
{
    static const uint8_t salt[8] = "saltsalt", salted[32] = "0123456789abcdef0123456789abcde";
    bool failed = true;
    for (int away = 1; failed; away++) {
        struct kf_alter_user_scram_credentials_request request;
        struct kf_alter_user_scram_credentials_response response;
        struct kf_alter_user_scram_credentials_request_scram_credential_upsertion upsertion = {
            .name = text("alice"),
            .mechanism = 1,
            .iterations = 4096,
            .salt = {salt, sizeof salt},
            .salted_password = {salted, sizeof salted}};
        struct kf_describe_user_scram_credentials_request ask_all;
        struct kf_describe_user_scram_credentials_response all;
        bool answered;
        open_broker();
        kf_reset(&kf_schema_of_alter_user_scram_credentials_request, &request);
        request.upsertions.items = &upsertion;
        request.upsertions.count = 1;
        arm(away);
        failed = ask(KF_API_ALTER_USER_SCRAM_CREDENTIALS, 0, &request, &response, &answered);
        int16_t error = answered ? response.results.items[0].error_code : 0;
        come_back();
        kf_reset(&kf_schema_of_describe_user_scram_credentials_request, &ask_all);
        ask_all.users.count = -1;
        client_call(&client, KF_API_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, &ask_all, &all);
        if (answered)
            cr_assert(eq(i32, all.results.count, error ? 0 : 1), "%d away: %d", away, error);
        for (int32_t i = 0; i < all.results.count; i++)
            cr_assert(eq(i32, all.results.items[i].credential_infos.count, 1), "%d away", away);
        close_broker();
    }
}

/* ---- partitions ---- */

Test(scarce, partitions_are_added_all_or_none)
{
    bool failed = true;
    for (int away = 1; failed; away++) {
        struct kf_create_partitions_request request;
        struct kf_create_partitions_response response;
        struct kf_create_partitions_request_create_partitions_assignment assignments[3];
        struct kf_create_partitions_request_create_partitions_topic topic = {.name = text("a"),
                                                                             .count = 4};
        int32_t node = 2;
        bool answered;
        open_broker();
        memset(assignments, 0, sizeof assignments);
        for (int i = 0; i < 3; i++) {
            assignments[i].broker_ids.items = &node;
            assignments[i].broker_ids.count = 1;
        }
        topic.assignments.items = assignments;
        topic.assignments.count = 3;
        kf_reset(&kf_schema_of_create_partitions_request, &request);
        request.topics.items = &topic;
        request.topics.count = 1;
        arm(away);
        failed = ask(KF_API_CREATE_PARTITIONS, 3, &request, &response, &answered);
        int16_t error = answered ? response.results.items[0].error_code : 0;
        come_back();
        struct kf_metadata_response_topic told = client_ask_topic(&client, "a", false);
        int32_t count = told.partitions.count;
        cr_assert(answered ? count == (error ? 1 : 4) : count == 1 || count == 4,
                  "%d away: %d partitions, error %d", away, (int)count, error);
        for (int32_t i = 1; i < count; i++)
            cr_assert(eq(i32, told.partitions.items[i].replica_nodes.items[0], 2), "%d away", away);
        close_broker();
    }
}

/* ---- records ---- */

static int64_t begins_at(const char *topic)
{
    int64_t start, end;
    cr_assert(eq(int, kf_broker_offsets(broker, topic, 0, &start, &end), KF_OK));
    return start;
}

Test(scarce, records_are_deleted_of_all_topics_or_of_none)
{
    bool failed = true;
    for (int away = 1; failed; away++) {
        struct kf_delete_records_request request;
        struct kf_delete_records_response response;
        struct kf_delete_records_request_delete_records_partition partition = {.offset = -1};
        struct kf_delete_records_request_delete_records_topic topics[2] = {{.name = text("a")},
                                                                           {.name = text("b")}};
        bool answered;
        open_broker();
        cr_assert(eq(int, kf_broker_move_leader(broker, "b", 0, 1), KF_OK));
        for (int i = 0; i < 2; i++) {
            cr_assert(eq(int,
                         kf_broker_produce(broker, i == 0 ? "a" : "b", 0, (kf_bytes){0},
                                           (kf_bytes){0}, 1, NULL),
                         KF_OK));
            topics[i].partitions.items = &partition;
            topics[i].partitions.count = 1;
        }
        kf_reset(&kf_schema_of_delete_records_request, &request);
        request.topics.items = topics;
        request.topics.count = 2;
        arm(away);
        failed = ask(KF_API_DELETE_RECORDS, 2, &request, &response, &answered);
        int64_t a = begins_at("a"), b = begins_at("b");
        cr_assert(answered ? a == 1 && b == 1 : a == b, "%d away: %d and %d", away, (int)a, (int)b);
        close_broker();
    }
}
