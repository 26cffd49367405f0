/* Transactions as requests over a socket; the coordinator's own rules: test_txn_coordinator.c. */
#include "broker/help_client.h"
#include "proto/batch/batch.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static kf_broker *broker;
static struct client client;
static struct kf__buffer wire;
static int64_t producer;
static const char *to; /* the topic that is written to */

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

/* InitProducerId for "tx"; the epoch, or minus the error. */
static int init(int32_t timeout_ms)
{
    struct kf_init_producer_id_request request;
    struct kf_init_producer_id_response response;
    kf_reset(&kf_schema_of_init_producer_id_request, &request);
    request.transactional_id = text("tx");
    request.transaction_timeout_ms = timeout_ms;
    client_call(&client, KF_API_INIT_PRODUCER_ID, 5, &request, &response);
    if (response.error_code)
        return -response.error_code;
    producer = response.producer_id;
    return response.producer_epoch;
}

static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options, .nodes = 2, .thread = true};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 1, 2), KF_OK));
    to = "t";
    int32_t node = kf_broker_coordinator(broker, "tx");
    cr_assert(eq(int, kf_broker_move_leader(broker, "t", 0, node), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), node);
    cr_assert(eq(int, init(60000), 0));
}

static void close_broker(void)
{
    kf__buffer_free(&wire);
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(transactions, .init = open_broker, .fini = close_broker, .timeout = 60);

static kf_bytes batch_of(int64_t id, int16_t epoch, int32_t sequence, bool transactional)
{
    struct kf__codecs codecs;
    struct kf__batch_builder builder;
    struct kf__batch_options options = {.producer_id = id,
                                        .producer_epoch = epoch,
                                        .base_sequence = sequence,
                                        .leader_epoch = -1,
                                        .transactional = transactional};
    kf_bytes value = {(const uint8_t *)"value", 5};
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_free(&wire);
    kf__buffer_init(&wire, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf__batch_builder_add(&builder, 1700000000000, (kf_bytes){0}, value, NULL, 0);
    kf__batch_builder_finish(&builder, &options, &codecs, &wire);
    kf__batch_builder_free(&builder);
    kf__codecs_free(&codecs);
    return (kf_bytes){wire.bytes, wire.used};
}

static kf_err produce_as(const char *id, int16_t version, kf_bytes records)
{
    struct kf_produce_request request;
    struct kf_produce_response response;
    struct kf_produce_request_partition_produce_data partition = {.records = records};
    struct kf_produce_request_topic_produce_data topic = {.name = text(to)};
    topic.partition_data.items = &partition;
    topic.partition_data.count = 1;
    kf_reset(&kf_schema_of_produce_request, &request);
    request.transactional_id = id ? text(id) : (kf_string){0};
    request.acks = -1;
    request.timeout_ms = 1000;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    client_call(&client, KF_API_PRODUCE, version, &request, &response);
    return response.responses.items[0].partition_responses.items[0].error_code;
}

static kf_err produce(int16_t version, int16_t epoch, int32_t sequence)
{
    return produce_as("tx", version, batch_of(producer, epoch, sequence, true));
}

static kf_err add_partition(int16_t epoch)
{
    struct kf_add_partitions_to_txn_request request;
    struct kf_add_partitions_to_txn_response response;
    int32_t partition = 0;
    struct kf_add_partitions_to_txn_request_add_partitions_to_txn_topic topic = {.name = text("t")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_add_partitions_to_txn_request, &request);
    request.v3_and_below_transactional_id = text("tx");
    request.v3_and_below_producer_id = producer;
    request.v3_and_below_producer_epoch = epoch;
    request.v3_and_below_topics.items = &topic;
    request.v3_and_below_topics.count = 1;
    client_call(&client, KF_API_ADD_PARTITIONS_TO_TXN, 3, &request, &response);
    return response.results_by_topic_v3_and_below.items[0]
        .results_by_partition.items[0]
        .partition_error_code;
}

/* Clients from before KIP-890's second part; those after it add their partitions by writing. */
Test(transactions, are_not_asked_for_where_the_broker_is_configured_not_to)
{
    static const char key[] = "transaction.partition.verification.enable";
    cr_assert(eq(int, produce(11, 0, 0), KF_ERR_TRANSACTION_ABORTABLE));
    cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", key, "false"), KF_OK));
    cr_assert(eq(int, produce(11, 0, 0), KF_OK));
    cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_BROKER, "", key, NULL), KF_OK));
    cr_assert(eq(int, produce(11, 0, 1), KF_OK)); /* its transaction is open here */
}

static kf_err end(int16_t version, int16_t epoch, bool commit)
{
    struct kf_end_txn_request request;
    struct kf_end_txn_response response;
    kf_reset(&kf_schema_of_end_txn_request, &request);
    request.transactional_id = text("tx");
    request.producer_id = producer;
    request.producer_epoch = epoch;
    request.committed = commit;
    client_call(&client, KF_API_END_TXN, version, &request, &response);
    return response.error_code;
}

static struct kf_fetch_response_partition_data fetch_waiting(int8_t isolation, int64_t offset,
                                                             int32_t wait_ms)
{
    struct kf_fetch_request request;
    struct kf_fetch_response response;
    struct kf_fetch_request_fetch_partition partition = {.current_leader_epoch = -1,
                                                         .fetch_offset = offset,
                                                         .last_fetched_epoch = -1,
                                                         .log_start_offset = -1,
                                                         .partition_max_bytes = 1 << 20,
                                                         .high_watermark = INT64_MAX};
    struct kf_fetch_request_fetch_topic topic = {.topic = text("t")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_fetch_request, &request);
    request.min_bytes = 1;
    request.max_wait_ms = wait_ms;
    request.max_bytes = 1 << 20;
    request.isolation_level = isolation;
    request.session_epoch = -1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_FETCH, 12, &request, &response);
    return response.responses.items[0].partitions.items[0];
}

static struct kf_fetch_response_partition_data fetch(int8_t isolation, int64_t offset)
{
    return fetch_waiting(isolation, offset, 0);
}

static int batches(kf_bytes records)
{
    struct kf__batch batch;
    int count = 0;
    for (size_t at = 0; !kf__batch_peek(records.data + at, records.size - at, &batch);
         at += batch.size)
        count++;
    return count;
}

/* KIP-890: Produce v12 needs no AddPartitionsToTxn. */
Test(transactions, hold_back_what_is_not_committed)
{
    cr_assert(eq(int, produce(12, 0, 0), KF_OK));
    cr_assert(eq(int, produce(12, 0, 1), KF_OK));
    struct kf_fetch_response_partition_data all = fetch(0, 0);
    cr_assert(eq(i64, all.high_watermark, 2));
    cr_assert(eq(i64, all.last_stable_offset, 0));
    cr_assert(eq(int, batches(all.records), 2));
    cr_assert(eq(i32, all.aborted_transactions.count, -1));
    cr_assert(eq(sz, fetch(1, 0).records.size, 0));
    cr_assert(eq(int, end(5, 0, true), KF_OK));
    struct kf_fetch_response_partition_data committed = fetch(1, 0);
    cr_assert(eq(int, batches(committed.records), 3));
    cr_assert(eq(i64, committed.last_stable_offset, 3));
    cr_assert(eq(i32, committed.aborted_transactions.count, 0));
}

Test(transactions, tell_which_were_aborted)
{
    for (int16_t epoch = 0; epoch < 4; epoch++) {
        cr_assert(eq(int, produce(12, epoch, 0), KF_OK));
        cr_assert(eq(int, end(5, epoch, epoch % 2 == 0), KF_OK));
    }
    struct kf_fetch_response_partition_data all = fetch(1, 0);
    cr_assert(eq(int, batches(all.records), 8));
    cr_assert(eq(i32, all.aborted_transactions.count, 2));
    cr_assert(eq(i64, all.aborted_transactions.items[0].producer_id, producer));
    cr_assert(eq(i64, all.aborted_transactions.items[0].first_offset, 2));
    cr_assert(eq(i64, all.aborted_transactions.items[1].first_offset, 6));
    cr_assert(eq(i32, fetch(1, 3).aborted_transactions.count, 2));
    cr_assert(eq(i32, fetch(1, 4).aborted_transactions.count, 1));
    cr_assert(eq(int, kf_broker_delete_records(broker, "t", 0, 4), KF_OK));
    cr_assert(eq(i32, fetch(1, 4).aborted_transactions.count, 1));
}

Test(transactions, must_be_told_of_a_partition_before_produce_v12)
{
    cr_assert(eq(int, produce(10, 0, 0), KF_ERR_INVALID_TXN_STATE));
    cr_assert(eq(int, produce(11, 0, 0), KF_ERR_TRANSACTION_ABORTABLE));
    cr_assert(eq(int, add_partition(0), KF_OK));
    cr_assert(eq(int, produce(10, 0, 0), KF_OK));
    cr_assert(eq(int, end(4, 0, true), KF_OK));
    cr_assert(eq(int, produce(10, 0, 1), KF_ERR_INVALID_TXN_STATE));
    cr_assert(eq(int, add_partition(0), KF_OK));
    cr_assert(eq(int, produce(10, 0, 1), KF_OK), "v1 goes on in the same epoch and sequence");
}

Test(transactions, refuse_strangers_and_mixtures)
{
    cr_assert(eq(int, produce_as(NULL, 12, batch_of(producer, 0, 0, true)),
                 KF_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
    cr_assert(eq(int, produce_as("other", 12, batch_of(producer, 0, 0, true)),
                 KF_ERR_INVALID_PRODUCER_ID_MAPPING));
    cr_assert(eq(int, produce(12, 1, 0), KF_ERR_INVALID_PRODUCER_EPOCH));
    cr_assert(eq(int, produce(12, 0, 5), KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
    cr_assert(eq(int, produce(12, 0, 0), KF_OK));
    cr_assert(
        eq(int, produce_as("tx", 12, batch_of(producer, 0, 1, false)), KF_ERR_INVALID_TXN_STATE));
}

Test(transactions, are_aborted_for_a_newcomer_and_fence_the_old_producer)
{
    cr_assert(eq(int, produce(12, 0, 0), KF_OK));
    cr_assert(eq(int, init(60000), -KF_ERR_CONCURRENT_TRANSACTIONS));
    cr_assert(eq(i64, fetch(1, 0).last_stable_offset, 2));
    cr_assert(eq(int, init(60000), 2));
    cr_assert(eq(int, produce(12, 0, 1), KF_ERR_INVALID_PRODUCER_EPOCH));
    cr_assert(eq(int, end(5, 0, true), KF_ERR_PRODUCER_FENCED));
    cr_assert(eq(int, end(1, 0, true), KF_ERR_INVALID_PRODUCER_EPOCH));
    cr_assert(eq(int, produce(12, 2, 0), KF_OK));
}

/* A reader that waits is answered when the transaction has timed out. */
Test(transactions, end_by_themselves_after_their_timeout)
{
    int epoch = init(1500);
    cr_assert(eq(int, produce(12, (int16_t)epoch, 0), KF_OK));
    cr_assert(eq(i64, fetch_waiting(1, 0, 0).last_stable_offset, 0));
    struct kf_fetch_response_partition_data ended = fetch_waiting(1, 0, 8000);
    cr_assert(eq(i64, ended.last_stable_offset, 2));
    cr_assert(eq(int, batches(ended.records), 2));
    cr_assert(eq(int, end(4, (int16_t)epoch, true), KF_ERR_PRODUCER_FENCED));
    cr_assert(eq(int, end(5, (int16_t)epoch, true), KF_ERR_INVALID_TXN_STATE), "as 4.4 says it");
}

/* The marker is written when somebody leads the partition again; the outcome is settled before. */
Test(transactions, stay_prepared_while_a_partition_has_no_leader)
{
    struct client coordinator = client;
    int32_t leader = 0, epoch, other = 3 - kf_broker_coordinator(broker, "tx");
    static const char *const names[] = {"u", "v"};
    for (int i = 0; i < 2 && leader != other; i++) {
        to = names[i];
        cr_assert(eq(int, kf_broker_create_topic(broker, to, 1, 1), KF_OK));
        kf_broker_leader(broker, to, 0, &leader, &epoch);
    }
    cr_assert(eq(i32, leader, other));
    client_open(&client, kf_broker_bootstrap(broker), other);
    cr_assert(eq(int, produce(12, 0, 0), KF_OK));
    client_close(&client);
    client = coordinator;
    cr_assert(eq(int, kf_broker_stop_node(broker, other), KF_OK));
    cr_assert(eq(int, end(5, 0, true), KF_OK));
    cr_assert(eq(str, (char *)kf_broker_transaction(broker, "tx"), "PrepareCommit"));
    cr_assert(eq(int, init(60000), -KF_ERR_CONCURRENT_TRANSACTIONS));
    cr_assert(eq(int, kf_broker_start_node(broker, other), KF_OK));
    for (int again = 0; again < 1000 && init(60000) < 0; again++)
        ;
    cr_assert(eq(str, (char *)kf_broker_transaction(broker, "tx"), "Empty"));
    int64_t start, end_offset;
    cr_assert(eq(int, kf_broker_offsets(broker, to, 0, &start, &end_offset), KF_OK));
    cr_assert(eq(i64, end_offset, 2));
}

static kf_err commit_offset(int16_t version, int16_t epoch, int32_t generation)
{
    struct kf_txn_offset_commit_request request;
    struct kf_txn_offset_commit_response response;
    struct kf_txn_offset_commit_request_partition partition = {.committed_offset = 5,
                                                               .committed_metadata = text("m")};
    struct kf_txn_offset_commit_request_topic topic = {.name = text("t")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_txn_offset_commit_request, &request);
    request.transactional_id = text("tx");
    request.group_id = text("tx"); /* so that one node coordinates both */
    request.producer_id = producer;
    request.producer_epoch = epoch;
    request.generation_id_or_member_epoch = generation;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_TXN_OFFSET_COMMIT, version, &request, &response);
    return response.topics.items[0].partitions.items[0].error_code;
}

static struct kf_offset_fetch_response_partitions fetch_offset(bool stable)
{
    struct kf_offset_fetch_request request;
    struct kf_offset_fetch_response response;
    int32_t partition = 0;
    struct kf_offset_fetch_request_topics topic = {.name = text("t")};
    struct kf_offset_fetch_request_group group = {.group_id = text("tx"), .member_epoch = -1};
    topic.partition_indexes.items = &partition;
    topic.partition_indexes.count = 1;
    group.topics.items = &topic;
    group.topics.count = 1;
    kf_reset(&kf_schema_of_offset_fetch_request, &request);
    request.groups.items = &group;
    request.groups.count = 1;
    request.require_stable = stable;
    client_call(&client, KF_API_OFFSET_FETCH, 8, &request, &response);
    return response.groups.items[0].topics.items[0].partitions.items[0];
}

Test(transactions, commit_offsets_with_their_records)
{
    cr_assert(eq(int, commit_offset(3, 0, -1), KF_ERR_INVALID_TXN_STATE));
    cr_assert(eq(int, commit_offset(4, 0, -1), KF_ERR_TRANSACTION_ABORTABLE));
    cr_assert(eq(int, commit_offset(5, 1, -1), KF_ERR_INVALID_PRODUCER_EPOCH));
    cr_assert(eq(int, commit_offset(5, 0, 3), KF_ERR_ILLEGAL_GENERATION));
    cr_assert(eq(int, commit_offset(5, 0, -1), KF_OK));
    cr_assert(eq(i16, fetch_offset(true).error_code, KF_ERR_UNSTABLE_OFFSET_COMMIT));
    cr_assert(eq(i64, fetch_offset(false).committed_offset, -1));
    cr_assert(eq(i64, kf_broker_committed(broker, "tx", "t", 0), -1));
    cr_assert(eq(int, end(5, 0, true), KF_OK));
    cr_assert(eq(i64, fetch_offset(true).committed_offset, 5));
    cr_assert(eq(int, commit_offset(5, 1, -1), KF_OK));
    cr_assert(eq(int, end(5, 1, false), KF_OK));
    cr_assert(eq(i16, fetch_offset(true).error_code, 0));
}

static struct kf_list_offsets_response_list_offsets_partition_response ask_offset(int64_t timestamp)
{
    struct kf_list_offsets_request request;
    struct kf_list_offsets_response response;
    struct kf_list_offsets_request_list_offsets_partition partition = {
        .current_leader_epoch = -1, .timestamp = timestamp, .max_num_offsets = 1};
    struct kf_list_offsets_request_list_offsets_topic topic = {.name = text("t")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_list_offsets_request, &request);
    request.isolation_level = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    client_call(&client, KF_API_LIST_OFFSETS, 7, &request, &response);
    return response.topics.items[0].partitions.items[0];
}

Test(transactions, end_the_log_for_who_lists_committed_offsets)
{
    cr_assert(eq(int, produce_as(NULL, 12, batch_of(-1, -1, -1, false)), KF_OK));
    cr_assert(eq(int, produce(12, 0, 0), KF_OK));
    cr_assert(eq(i64, ask_offset(-1).offset, 1));
    cr_assert(eq(i64, ask_offset(1700000000000).offset, 0));
    cr_assert(eq(int, kf_broker_delete_records(broker, "t", 0, 1), KF_OK));
    cr_assert(eq(i64, ask_offset(1700000000000).offset, -1));
    cr_assert(eq(int, end(5, 0, true), KF_OK));
    cr_assert(eq(i64, ask_offset(-1).offset, 3));
    cr_assert(eq(i64, ask_offset(1700000000000).offset, 1));
}

Test(transactions, are_described)
{
    struct kf_describe_producers_request asked;
    struct kf_describe_producers_response told;
    int32_t index = 0;
    struct kf_describe_producers_request_topic_request topic = {.name = text("t")};
    topic.partition_indexes.items = &index;
    topic.partition_indexes.count = 1;
    kf_reset(&kf_schema_of_describe_producers_request, &asked);
    asked.topics.items = &topic;
    asked.topics.count = 1;
    cr_assert(eq(int, produce_as(NULL, 12, batch_of(-1, -1, -1, false)), KF_OK));
    cr_assert(eq(int, produce(12, 0, 0), KF_OK));
    client_call(&client, KF_API_DESCRIBE_PRODUCERS, 0, &asked, &told);
    struct kf_describe_producers_response_partition_response one =
        told.topics.items[0].partitions.items[0];
    cr_assert(eq(i32, one.active_producers.count, 1));
    cr_assert(eq(i64, one.active_producers.items[0].current_txn_start_offset, 1));
    cr_assert(eq(i32, one.active_producers.items[0].last_sequence, 0));

    struct kf_describe_transactions_request described;
    struct kf_describe_transactions_response answer;
    kf_string ids[2] = {text("tx"), text("nobody")};
    kf_reset(&kf_schema_of_describe_transactions_request, &described);
    described.transactional_ids.items = ids;
    described.transactional_ids.count = 1;
    client_call(&client, KF_API_DESCRIBE_TRANSACTIONS, 0, &described, &answer);
    cr_assert(eq(sz, answer.transaction_states.items[0].transaction_state.size, 7));
    cr_assert(eq(i32, answer.transaction_states.items[0].topics.count, 1));
    cr_assert(eq(i32, answer.transaction_states.items[0].transaction_timeout_ms, 60000));
}

/* The records are of 2023, and both producers idle for as long. */
Test(transactions, keep_their_producer_from_expiring)
{
    cr_assert(eq(int, produce_as(NULL, 12, batch_of(55, 0, 0, false)), KF_OK));
    cr_assert(eq(int, produce(12, 0, 0), KF_OK));
    kf_broker_expire_producers(broker);
    cr_assert(eq(int, produce_as(NULL, 12, batch_of(55, 0, 9, false)), KF_OK), "it is known yet");
    cr_assert(eq(int, produce_as(NULL, 12, batch_of(55, 0, 11, false)),
                 KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
    cr_assert(eq(int, produce(12, 0, 9), KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
}

static struct kf_list_transactions_response list(const char *state, const char *pattern)
{
    struct kf_list_transactions_request request;
    struct kf_list_transactions_response response;
    kf_string wanted = text(state);
    kf_reset(&kf_schema_of_list_transactions_request, &request);
    request.state_filters.items = &wanted;
    request.state_filters.count = *state ? 1 : 0;
    request.transactional_id_pattern = text(pattern);
    client_call(&client, KF_API_LIST_TRANSACTIONS, 2, &request, &response);
    return response;
}

Test(transactions, are_listed_by_state_and_name)
{
    cr_assert(eq(i32, list("", "").transaction_states.count, 1));
    cr_assert(eq(i32, list("Empty", "t.").transaction_states.count, 1));
    cr_assert(eq(i32, list("Ongoing", "t.").transaction_states.count, 0));
    cr_assert(eq(i32, list("", "t").transaction_states.count, 0), "the whole id");
    cr_assert(eq(i32, list("Dead", "").unknown_state_filters.count, 0));
    cr_assert(eq(i32, list("Nonsense", "").unknown_state_filters.count, 1));
    cr_assert(eq(i16, list("", "((").error_code, KF_ERR_INVALID_REGULAR_EXPRESSION));
    cr_assert(eq(i32, list("", "[a-z]{1,1000}").transaction_states.count, 1));
    cr_assert(eq(i16, list("", "((x{1,20}){1,20}){9}").error_code, 0));
    cr_assert(
        eq(i16, list("", "((x{100}){100}){100}").error_code, KF_ERR_INVALID_REGULAR_EXPRESSION));
    cr_assert(eq(i32, list("", "\\Qt\\E(?i:X)").transaction_states.count, 1), "RE2's syntax");
    cr_assert(eq(i16, list("", "a)|(b").error_code, KF_ERR_INVALID_REGULAR_EXPRESSION));
    cr_assert(eq(i16, list("", "(t)\\1").error_code, KF_ERR_INVALID_REGULAR_EXPRESSION));
}

/* What brokers ask of each other (KIP-890): to verify, or to add, for many at once. */
Test(transactions, are_verified_in_batches)
{
    struct kf_add_partitions_to_txn_request request;
    struct kf_add_partitions_to_txn_response response;
    int32_t partitions[2] = {0, 9};
    struct kf_add_partitions_to_txn_request_add_partitions_to_txn_topic topic = {.name = text("t")};
    struct kf_add_partitions_to_txn_request_add_partitions_to_txn_transaction both[2] = {
        {.transactional_id = text("tx"), .producer_id = producer, .verify_only = true},
        {.transactional_id = text("tx"), .producer_id = producer}};
    topic.partitions.items = partitions;
    topic.partitions.count = 1;
    both[0].topics.items = both[1].topics.items = &topic;
    both[0].topics.count = both[1].topics.count = 1;
    kf_reset(&kf_schema_of_add_partitions_to_txn_request, &request);
    request.transactions.items = both;
    request.transactions.count = 2;
    client_call(&client, KF_API_ADD_PARTITIONS_TO_TXN, 5, &request, &response);
    cr_assert(eq(i32, response.results_by_transaction.count, 2));
    cr_assert(eq(i16,
                 response.results_by_transaction.items[0]
                     .topic_results.items[0]
                     .results_by_partition.items[0]
                     .partition_error_code,
                 KF_ERR_TRANSACTION_ABORTABLE));
    cr_assert(eq(i16,
                 response.results_by_transaction.items[1]
                     .topic_results.items[0]
                     .results_by_partition.items[0]
                     .partition_error_code,
                 0));
    topic.partitions.count = 2; /* one of them is unknown: none is added */
    client_call(&client, KF_API_ADD_PARTITIONS_TO_TXN, 4, &request, &response);
    cr_assert(eq(i16,
                 response.results_by_transaction.items[1]
                     .topic_results.items[0]
                     .results_by_partition.items[0]
                     .partition_error_code,
                 KF_ERR_OPERATION_NOT_ATTEMPTED));
    cr_assert(eq(i16,
                 response.results_by_transaction.items[1]
                     .topic_results.items[0]
                     .results_by_partition.items[1]
                     .partition_error_code,
                 KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
}

/* KIP-664: an administrator ends a hanging transaction. */
Test(transactions, end_by_a_marker_from_outside)
{
    struct kf_write_txn_markers_request request;
    struct kf_write_txn_markers_response response;
    int32_t partitions[2] = {0, 9};
    struct kf_write_txn_markers_request_writable_txn_marker_topic topic = {.name = text("t")};
    struct kf_write_txn_markers_request_writable_txn_marker marker = {.producer_id = producer};
    topic.partition_indexes.items = partitions;
    topic.partition_indexes.count = 2;
    marker.topics.items = &topic;
    marker.topics.count = 1;
    kf_reset(&kf_schema_of_write_txn_markers_request, &request);
    request.markers.items = &marker;
    request.markers.count = 1;
    cr_assert(eq(int, produce(12, 0, 0), KF_OK));
    client_call(&client, KF_API_WRITE_TXN_MARKERS, 1, &request, &response);
    cr_assert(eq(i16, response.markers.items[0].topics.items[0].partitions.items[0].error_code, 0));
    cr_assert(eq(i16, response.markers.items[0].topics.items[0].partitions.items[1].error_code,
                 KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(eq(i64, fetch(1, 0).last_stable_offset, 2));
}
