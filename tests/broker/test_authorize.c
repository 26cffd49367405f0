#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static kf_broker *broker;
static struct client client;

static void open_with(const kf_broker_options *options)
{
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 2, 0), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

/* Everybody is User:ANONYMOUS here. */
static void open_strict(void)
{
    open_with(
        &(kf_broker_options){.size = sizeof(kf_broker_options), .thread = true, .acls = true});
}

static void open_as_super(void)
{
    open_with(&(kf_broker_options){.size = sizeof(kf_broker_options),
                                   .thread = true,
                                   .acls = true,
                                   .super_users = "User:admin;User:ANONYMOUS"});
}

TestSuite(authorize, .init = open_strict, .fini = close_broker, .timeout = 60);
TestSuite(acl_apis, .init = open_as_super, .fini = close_broker, .timeout = 60);

static kf_string text(const char *of) { return (kf_string){of, of ? strlen(of) : 0}; }

/* ---- who may do nothing ---- */

Test(authorize, metadata_hides_what_may_not_be_described)
{
    struct kf_metadata_request request;
    struct kf_metadata_response response;
    struct kf_metadata_request_topic asked[2] = {{.name = text("orders")},
                                                 {.name = text("unknown")}};
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.items = asked;
    request.topics.count = 2;
    request.allow_auto_topic_creation = true;
    client_call(&client, KF_API_METADATA, 12, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].error_code, 29));
    cr_assert(eq(i16, response.topics.items[1].error_code, 29));
    request.topics.count = -1;
    request.include_cluster_authorized_operations = true;
    client_call(&client, KF_API_METADATA, 8, &request, &response);
    cr_assert(eq(i32, response.topics.count, 0));
    cr_assert(eq(i32, response.cluster_authorized_operations, 0));
}

Test(authorize, groups_topics_and_the_cluster_are_refused_with_their_errors)
{
    struct kf_heartbeat_request beat;
    struct kf_heartbeat_response beaten;
    kf_reset(&kf_schema_of_heartbeat_request, &beat);
    beat.group_id = text("g");
    client_call(&client, KF_API_HEARTBEAT, 4, &beat, &beaten);
    cr_assert(eq(i16, beaten.error_code, 30));

    struct kf_find_coordinator_request find;
    struct kf_find_coordinator_response found;
    kf_reset(&kf_schema_of_find_coordinator_request, &find);
    find.key = text("g");
    client_call(&client, KF_API_FIND_COORDINATOR, 2, &find, &found);
    cr_assert(eq(i16, found.error_code, 30));
    find.key_type = 1;
    client_call(&client, KF_API_FIND_COORDINATOR, 2, &find, &found);
    cr_assert(eq(i16, found.error_code, 53));

    struct kf_init_producer_id_request begin;
    struct kf_init_producer_id_response begun;
    kf_reset(&kf_schema_of_init_producer_id_request, &begin);
    begin.transactional_id = text(NULL);
    client_call(&client, KF_API_INIT_PRODUCER_ID, 3, &begin, &begun);
    cr_assert(eq(i16, begun.error_code, 31));

    struct kf_describe_client_quotas_request quotas;
    struct kf_describe_client_quotas_response told;
    kf_reset(&kf_schema_of_describe_client_quotas_request, &quotas);
    client_call(&client, KF_API_DESCRIBE_CLIENT_QUOTAS, 1, &quotas, &told);
    cr_assert(eq(i16, told.error_code, 31));

    struct kf_delete_topics_request delete;
    struct kf_delete_topics_response deleted;
    kf_string names[] = {text("orders"), text("unknown")};
    kf_reset(&kf_schema_of_delete_topics_request, &delete);
    delete.timeout_ms = 1000;
    delete.topic_names.items = names;
    delete.topic_names.count = 2;
    client_call(&client, KF_API_DELETE_TOPICS, 5, &delete, &deleted);
    cr_assert(eq(i16, deleted.responses.items[0].error_code, 29));
    cr_assert(eq(i16, deleted.responses.items[1].error_code, 29));
}

Test(authorize, reading_and_writing_are_refused)
{
    struct kf_list_offsets_request list;
    struct kf_list_offsets_response listed;
    struct kf_list_offsets_request_list_offsets_partition partition = {
        .timestamp = -1, .max_num_offsets = 1, .current_leader_epoch = -1};
    struct kf_list_offsets_request_list_offsets_topic topic = {.name = text("orders")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_list_offsets_request, &list);
    list.topics.items = &topic;
    list.topics.count = 1;
    client_call(&client, KF_API_LIST_OFFSETS, 6, &list, &listed);
    cr_assert(eq(i16, listed.topics.items[0].partitions.items[0].error_code, 29));

    struct kf_produce_request produce;
    struct kf_produce_response produced;
    struct kf_produce_request_partition_produce_data data = {0};
    struct kf_produce_request_topic_produce_data to = {.name = text("orders")};
    to.partition_data.items = &data;
    to.partition_data.count = 1;
    kf_reset(&kf_schema_of_produce_request, &produce);
    produce.acks = 1;
    produce.topic_data.items = &to;
    produce.topic_data.count = 1;
    client_call(&client, KF_API_PRODUCE, 9, &produce, &produced);
    cr_assert(eq(i16, produced.responses.items[0].partition_responses.items[0].error_code, 29));
}

Test(authorize, what_is_about_the_whole_cluster_is_refused)
{
    kf_string orders = text("orders");
    int32_t zero = 0;
    struct kf_elect_leaders_request elect;
    struct kf_elect_leaders_response elected;
    struct kf_elect_leaders_request_topic_partitions led = {.topic = orders};
    led.partitions.items = &zero;
    led.partitions.count = 1;
    kf_reset(&kf_schema_of_elect_leaders_request, &elect);
    elect.topic_partitions.items = &led;
    elect.topic_partitions.count = 1;
    client_call(&client, KF_API_ELECT_LEADERS, 2, &elect, &elected);
    cr_assert(eq(i16, elected.error_code, 31));
    cr_assert(eq(
        i16, elected.replica_election_results.items[0].partition_result.items[0].error_code, 31));

    struct kf_alter_partition_reassignments_request alter;
    struct kf_alter_partition_reassignments_response altered;
    kf_reset(&kf_schema_of_alter_partition_reassignments_request, &alter);
    client_call(&client, KF_API_ALTER_PARTITION_REASSIGNMENTS, 0, &alter, &altered);
    cr_assert(eq(i16, altered.error_code, 31));

    struct kf_list_partition_reassignments_request list;
    struct kf_list_partition_reassignments_response listed;
    kf_reset(&kf_schema_of_list_partition_reassignments_request, &list);
    list.topics.count = -1;
    client_call(&client, KF_API_LIST_PARTITION_REASSIGNMENTS, 0, &list, &listed);
    cr_assert(eq(i16, listed.error_code, 31));

    struct kf_add_partitions_to_txn_request add;
    struct kf_add_partitions_to_txn_response added;
    kf_reset(&kf_schema_of_add_partitions_to_txn_request, &add);
    client_call(&client, KF_API_ADD_PARTITIONS_TO_TXN, 4, &add, &added);
    cr_assert(eq(i16, added.error_code, 31));
}

Test(authorize, markers_are_refused_and_not_written)
{
    int32_t zero = 0;
    struct kf_write_txn_markers_request write;
    struct kf_write_txn_markers_response written;
    struct kf_write_txn_markers_request_writable_txn_marker marker = {.producer_id = 7};
    struct kf_write_txn_markers_request_writable_txn_marker_topic topic = {.name = text("orders")};
    topic.partition_indexes.items = &zero;
    topic.partition_indexes.count = 1;
    marker.topics.items = &topic;
    marker.topics.count = 1;
    kf_reset(&kf_schema_of_write_txn_markers_request, &write);
    write.markers.items = &marker;
    write.markers.count = 1;
    client_call(&client, KF_API_WRITE_TXN_MARKERS, 1, &write, &written);
    cr_assert(eq(i16, written.markers.items[0].topics.items[0].partitions.items[0].error_code, 31));
    int64_t start, end;
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", 0, &start, &end), KF_OK));
    cr_assert(eq(i64, end, 0));
}

/* Or one could find out by the error which topics there are. */
Test(authorize, a_topic_that_is_not_there_is_refused_like_one_that_is)
{
    struct kf_list_offsets_request list;
    struct kf_list_offsets_response listed;
    struct kf_list_offsets_request_list_offsets_partition partition = {
        .timestamp = -1, .max_num_offsets = 1, .current_leader_epoch = -1};
    struct kf_list_offsets_request_list_offsets_topic topic = {.name = text("unknown")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_list_offsets_request, &list);
    list.topics.items = &topic;
    list.topics.count = 1;
    client_call(&client, KF_API_LIST_OFFSETS, 6, &list, &listed);
    cr_assert(eq(i16, listed.topics.items[0].partitions.items[0].error_code, 29));

    struct kf_fetch_request fetch;
    struct kf_fetch_response fetched;
    struct kf_fetch_request_fetch_partition read = {.current_leader_epoch = -1,
                                                    .last_fetched_epoch = -1};
    struct kf_fetch_request_fetch_topic from = {.topic = text("unknown")};
    from.partitions.items = &read;
    from.partitions.count = 1;
    kf_reset(&kf_schema_of_fetch_request, &fetch);
    fetch.session_epoch = -1;
    fetch.topics.items = &from;
    fetch.topics.count = 1;
    client_call(&client, KF_API_FETCH, 11, &fetch, &fetched);
    cr_assert(eq(i16, fetched.responses.items[0].partitions.items[0].error_code, 29));

    struct kf_delete_records_request delete;
    struct kf_delete_records_response deleted;
    struct kf_delete_records_request_delete_records_partition all = {.offset = -1};
    struct kf_delete_records_request_delete_records_topic of = {.name = text("unknown")};
    of.partitions.items = &all;
    of.partitions.count = 1;
    kf_reset(&kf_schema_of_delete_records_request, &delete);
    delete.topics.items = &of;
    delete.topics.count = 1;
    client_call(&client, KF_API_DELETE_RECORDS, 1, &delete, &deleted);
    cr_assert(eq(i16, deleted.topics.items[0].partitions.items[0].error_code, 29));

    struct kf_txn_offset_commit_request commit;
    struct kf_txn_offset_commit_response committed;
    struct kf_txn_offset_commit_request_partition offset = {.committed_offset = 1};
    struct kf_txn_offset_commit_request_topic where = {.name = text("unknown")};
    where.partitions.items = &offset;
    where.partitions.count = 1;
    kf_reset(&kf_schema_of_txn_offset_commit_request, &commit);
    commit.topics.items = &where;
    commit.topics.count = 1;
    client_call(&client, KF_API_TXN_OFFSET_COMMIT, 3, &commit, &committed);
    cr_assert(eq(i16, committed.topics.items[0].partitions.items[0].error_code, 29));

    int32_t zero = 0;
    struct kf_describe_producers_request describe;
    struct kf_describe_producers_response described;
    struct kf_describe_producers_request_topic_request who = {.name = text("unknown")};
    who.partition_indexes.items = &zero;
    who.partition_indexes.count = 1;
    kf_reset(&kf_schema_of_describe_producers_request, &describe);
    describe.topics.items = &who;
    describe.topics.count = 1;
    client_call(&client, KF_API_DESCRIBE_PRODUCERS, 0, &describe, &described);
    cr_assert(eq(i16, described.topics.items[0].partitions.items[0].error_code, 29));
}

/* ---- ACLs by request ---- */

static struct kf_create_acls_response create(const struct kf_create_acls_request_acl_creation *acl)
{
    struct kf_create_acls_request request;
    struct kf_create_acls_response response;
    kf_reset(&kf_schema_of_create_acls_request, &request);
    request.creations.items = (void *)(uintptr_t)acl;
    request.creations.count = 1;
    client_call(&client, KF_API_CREATE_ACLS, 3, &request, &response);
    return response;
}

static const struct kf_create_acls_request_acl_creation fine = {.resource_type = 2,
                                                                .resource_name = {"orders", 6},
                                                                .resource_pattern_type = 3,
                                                                .principal = {"User:bob", 8},
                                                                .host = {"*", 1},
                                                                .operation = 3,
                                                                .permission_type = 3};

Test(acl_apis, makes_tells_and_deletes_entries)
{
    struct kf_create_acls_request_acl_creation acl = fine;
    cr_assert(eq(i16, create(&acl).results.items[0].error_code, 0));
    acl.operation = 4;
    cr_assert(eq(i16, create(&acl).results.items[0].error_code, 0));
    acl.resource_name = text("or");
    acl.resource_pattern_type = 4;
    cr_assert(eq(i16, create(&acl).results.items[0].error_code, 0));

    struct kf_describe_acls_request describe = {.resource_type_filter = 2,
                                                .resource_name_filter = text("orders"),
                                                .pattern_type_filter = 2,
                                                .operation = 1,
                                                .permission_type = 1};
    struct kf_describe_acls_response told;
    client_call(&client, KF_API_DESCRIBE_ACLS, 3, &describe, &told);
    cr_assert(eq(i32, told.resources.count, 2));
    cr_assert(eq(i32, told.resources.items[0].acls.count, 1)); /* "or" */
    cr_assert(eq(i8, told.resources.items[0].pattern_type, 4));
    cr_assert(eq(i32, told.resources.items[1].acls.count, 2));
    cr_assert(eq(i8, told.resources.items[1].acls.items[0].operation, 3));

    struct kf_delete_acls_request_delete_acls_filter filters[2] = {
        {.resource_type_filter = 2,
         .resource_name_filter = text("orders"),
         .pattern_type_filter = 3,
         .operation = 1,
         .permission_type = 1},
        {.resource_type_filter = 3,
         .pattern_type_filter = 1,
         .operation = 1,
         .permission_type = 1}};
    struct kf_delete_acls_request delete = {0};
    struct kf_delete_acls_response deleted;
    delete.filters.items = filters;
    delete.filters.count = 2;
    client_call(&client, KF_API_DELETE_ACLS, 3, &delete, &deleted);
    cr_assert(eq(i32, deleted.filter_results.items[0].matching_acls.count, 2));
    cr_assert(eq(i32, deleted.filter_results.items[1].matching_acls.count, 0));
    client_call(&client, KF_API_DESCRIBE_ACLS, 3, &describe, &told);
    cr_assert(eq(i32, told.resources.count, 1));
}

/* As Kafka does: what fits two filters is told twice, and one that makes no sense spoils no other.
 */
Test(acl_apis, each_filter_tells_what_it_fits)
{
    static const struct kf_delete_acls_request_delete_acls_filter all = {
        .resource_type_filter = 2, .pattern_type_filter = 1, .operation = 1, .permission_type = 1};
    struct kf_delete_acls_request_delete_acls_filter filters[5] = {all, all, all, all, all};
    struct kf_delete_acls_request delete = {0};
    struct kf_delete_acls_response deleted;
    create(&fine);
    filters[1].resource_type_filter = 99;
    filters[2].pattern_type_filter = 5;
    filters[3].permission_type = -1;
    delete.filters.items = filters;
    delete.filters.count = 5;
    client_call(&client, KF_API_DELETE_ACLS, 3, &delete, &deleted);
    for (int i = 0; i < 5; i++) {
        bool fits = i == 0 || i == 4;
        cr_assert(eq(i16, deleted.filter_results.items[i].error_code, fits ? 0 : 42));
        cr_assert(eq(i32, deleted.filter_results.items[i].matching_acls.count, fits ? 1 : 0));
    }
    cr_assert(zero(ptr, (void *)(uintptr_t)deleted.filter_results.items[4]
                            .matching_acls.items[0]
                            .error_message.data));
    cr_assert(eq(sz, deleted.filter_results.items[2].error_message.size,
                 strlen("Unknown patternFilter.")));
    cr_assert(
        eq(sz, deleted.filter_results.items[3].error_message.size, strlen("Unknown entryFilter.")));
}

Test(acl_apis, refuses_nonsense_as_kafka_does)
{
    struct kf_create_acls_request_acl_creation acl = fine;
    acl.operation = 1;
    cr_assert(eq(i16, create(&acl).results.items[0].error_code, -1));
    cr_assert(zero(ptr, (void *)(uintptr_t)create(&acl).results.items[0].error_message.data));
    acl = fine;
    acl.resource_type = 9;
    cr_assert(eq(i16, create(&acl).results.items[0].error_code, 42));
    acl = fine;
    acl.resource_type = 4;
    struct kf_create_acls_response answer = create(&acl);
    cr_assert(eq(i16, answer.results.items[0].error_code, 42));
    cr_assert(eq(sz, answer.results.items[0].error_message.size, 61));
    acl = fine;
    acl.principal = text("bob");
    cr_assert(eq(i16, create(&acl).results.items[0].error_code, 42));
    acl = fine;
    acl.operation = 0;
    struct kf_create_acls_request request = {0};
    request.creations.items = &acl;
    request.creations.count = 1;
    client_send(&client, KF_API_CREATE_ACLS, 3, &request);
    cr_assert(not(client_receive(&client)));
}

Test(acl_apis, tells_authorized_operations_as_bits)
{
    struct kf_metadata_request request;
    struct kf_metadata_response response;
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.count = -1;
    request.include_cluster_authorized_operations = true;
    request.include_topic_authorized_operations = true;
    client_call(&client, KF_API_METADATA, 10, &request, &response);
    cr_assert(eq(i32, response.cluster_authorized_operations, 8096));
    cr_assert(eq(i32, response.topics.items[0].topic_authorized_operations, 3576));
}

Test(transactions_listed, are_those_that_one_may_describe, .timeout = 60)
{
    open_with(&(kf_broker_options){
        .size = sizeof(kf_broker_options), .thread = true, .acls = true, .allow_if_no_acl = true});
    struct kf_init_producer_id_request begin;
    struct kf_init_producer_id_response begun;
    kf_reset(&kf_schema_of_init_producer_id_request, &begin);
    begin.transaction_timeout_ms = 1000;
    begin.transactional_id = text("t");
    client_call(&client, KF_API_INIT_PRODUCER_ID, 3, &begin, &begun);
    cr_assert(eq(i16, begun.error_code, 0));

    struct kf_list_transactions_request list;
    struct kf_list_transactions_response listed;
    kf_reset(&kf_schema_of_list_transactions_request, &list);
    client_call(&client, KF_API_LIST_TRANSACTIONS, 1, &list, &listed);
    cr_assert(eq(i32, listed.transaction_states.count, 1));
    struct kf_create_acls_request_acl_creation acl = fine;
    acl.resource_type = 5;
    acl.resource_name = text("t");
    cr_assert(eq(i16, create(&acl).results.items[0].error_code, 0)); /* now it is bob's alone */
    client_call(&client, KF_API_LIST_TRANSACTIONS, 1, &list, &listed);
    cr_assert(eq(i32, listed.transaction_states.count, 0));
    close_broker();
}

/* ---- without the authorizer ---- */

Test(no_acls, are_kept_without_the_authorizer, .timeout = 60)
{
    open_with(&(kf_broker_options){.size = sizeof(kf_broker_options), .thread = true});
    struct kf_create_acls_request_acl_creation acl = fine;
    cr_assert(eq(i16, create(&acl).results.items[0].error_code, 54));
    struct kf_describe_acls_request describe = {
        .resource_type_filter = 1, .pattern_type_filter = 1, .operation = 1, .permission_type = 1};
    struct kf_describe_acls_response told;
    client_call(&client, KF_API_DESCRIBE_ACLS, 3, &describe, &told);
    cr_assert(eq(i16, told.error_code, 54));
    close_broker();
}
