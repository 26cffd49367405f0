/* What the transaction coordinator writes into __transaction_state: exactly what Kafka's does. */
#include "broker/help_client.h"
#include "broker/help_internal.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_broker *broker;
static struct client client;
static int64_t seen;
static int32_t place;
static int64_t producer;

static void open_broker(void)
{
    kf_broker_options options = {.size = sizeof options, .thread = true};
    kf_error error = KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 3, 1), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
    seen = 0;
    place = kf__place_of_key(kf__text("tx"), 50);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(txn_topic, .init = open_broker, .fini = close_broker, .timeout = 60);

/* What has been written since the last time. */
static void expect(const char *records)
{
    cr_assert(eq(str,
                 (char *)(uintptr_t)internal_records(broker, KF__TRANSACTIONS_TOPIC, place, &seen),
                 (char *)(uintptr_t)records));
}

static void begin(void)
{
    struct kf_init_producer_id_request request;
    struct kf_init_producer_id_response response;
    kf_reset(&kf_schema_of_init_producer_id_request, &request);
    request.transactional_id = kf__text("tx");
    request.transaction_timeout_ms = 60000;
    client_call(&client, KF_API_INIT_PRODUCER_ID, 5, &request, &response);
    producer = response.producer_id;
}

/* Partitions 0 and 2 of "t", as a client before KIP-890 asks. */
static int16_t add(int16_t epoch)
{
    struct kf_add_partitions_to_txn_request request;
    struct kf_add_partitions_to_txn_response response;
    struct kf_add_partitions_to_txn_request_add_partitions_to_txn_topic topic = {.name =
                                                                                     kf__text("t")};
    int32_t partitions[] = {2, 0};
    kf_reset(&kf_schema_of_add_partitions_to_txn_request, &request);
    request.v3_and_below_transactional_id = kf__text("tx");
    request.v3_and_below_producer_id = producer;
    request.v3_and_below_producer_epoch = epoch;
    topic.partitions.items = partitions;
    topic.partitions.count = 2;
    request.v3_and_below_topics.items = &topic;
    request.v3_and_below_topics.count = 1;
    client_call(&client, KF_API_ADD_PARTITIONS_TO_TXN, 3, &request, &response);
    return response.results_by_topic_v3_and_below.items[0]
        .results_by_partition.items[0]
        .partition_error_code;
}

static int16_t end(int16_t version, int16_t epoch, bool commits)
{
    struct kf_end_txn_request request;
    struct kf_end_txn_response response;
    kf_reset(&kf_schema_of_end_txn_request, &request);
    request.transactional_id = kf__text("tx");
    request.producer_id = producer;
    request.producer_epoch = epoch;
    request.committed = commits;
    client_call(&client, KF_API_END_TXN, version, &request, &response);
    return response.error_code;
}

#define KEY "TransactionLog {\"transactionalId\":\"tx\"}"
#define RECORD(epoch, status, partitions, start, version)                                          \
    KEY " v1 {\"producerId\":P,\"previousProducerId\":P,\"producerEpoch\":" #epoch                 \
        ",\"transactionTimeoutMs\":60000,\"transactionStatus\":" #status                           \
        ",\"transactionPartitions\":" partitions                                                   \
        ",\"transactionLastUpdateTimestampMs\":T,\"transactionStartTimestampMs\":" start version   \
        "}\n"
#define BOTH  "[{\"topic\":\"t\",\"partitionIds\":[0,2]}]"
#define OF_V2 ",\"clientTransactionVersion\":2"

Test(txn_topic, holds_each_change_of_a_transaction)
{
    begin();
    expect(RECORD(0, 0, "null", "-1", ""));
    cr_assert(eq(int, add(0), 0));
    expect(RECORD(0, 1, BOTH, "T", ""));
    cr_assert(eq(int, add(0), 0));
    expect(""); /* it has them already */
    cr_assert(eq(int, end(5, 0, true), 0));
    expect(RECORD(1, 2, BOTH, "T", OF_V2) RECORD(1, 4, "[]", "T", OF_V2));
    cr_assert(eq(int, add(1), 0));
    cr_assert(eq(int, end(4, 1, false), 0));
    expect(RECORD(1, 1, BOTH, "T", "") RECORD(1, 3, BOTH, "T", "") RECORD(1, 5, "[]", "T", ""));
}

Test(txn_topic, holds_the_abort_by_which_a_newcomer_fences)
{
    begin();
    cr_assert(eq(int, add(0), 0));
    internal_records(broker, KF__TRANSACTIONS_TOPIC, place, &seen);
    begin();
    expect(RECORD(1, 3, BOTH, "T", OF_V2) RECORD(1, 5, "[]", "T", OF_V2));
}

Test(txn_topic, holds_only_what_older_brokers_know_where_the_feature_is_off)
{
    kf_broker_options options = {.size = sizeof options, .thread = true, .kafka_version = "3.9"};
    close_broker();
    broker = kf_broker_start(&options, NULL);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    begin();
    expect(KEY " v0 {\"producerId\":P,\"producerEpoch\":0,\"transactionTimeoutMs\":60000,"
               "\"transactionStatus\":0,\"transactionPartitions\":null,"
               "\"transactionLastUpdateTimestampMs\":T,\"transactionStartTimestampMs\":-1}\n");
}
