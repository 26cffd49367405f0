/*
 * AddPartitionsToTxn (24), versions 0–5: what a transaction writes to.
 *
 * 2  PRODUCER_FENCED in place of INVALID_PRODUCER_EPOCH. 3 flexible.
 * 4  for brokers: many transactions at once, or only to verify (KIP-890).
 * 5  TRANSACTION_ABORTABLE.
 *
 * Where one topic or partition is unknown, none is added.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/faults/error_answers.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

typedef struct kf_add_partitions_to_txn_request_add_partitions_to_txn_topic asked_topic;
typedef struct kf_add_partitions_to_txn_response_add_partitions_to_txn_topic_result topic_result;

struct topics {
    const asked_topic *items;
    int32_t count;
};

static bool is_known(const struct kf__exchange *exchange, kf_string topic, int32_t partition)
{
    const struct kf_broker *broker = exchange->broker;
    return kf__topic_partition(kf__broker_topics_find(&broker->topics, topic), partition) != NULL;
}

/* Why the partition can't be written to. */
static kf_err refusal(const struct kf__exchange *exchange, kf_string topic, int32_t partition)
{
    kf_err err = kf__may_topic(exchange, topic);
    if (err || kf__topic_is_internal(topic)) /* only coordinators write there */
        return err ? err : KF_ERR_TOPIC_AUTHORIZATION_FAILED;
    return is_known(exchange, topic, partition) ? KF_OK : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool all_known(const struct kf__exchange *exchange, const struct topics *topics)
{
    for (int32_t t = 0; t < topics->count; t++)
        for (int32_t p = 0; p < topics->items[t].partitions.count; p++)
            if (refusal(exchange, topics->items[t].name, topics->items[t].partitions.items[p]))
                return false;
    return true;
}

static kf_err check(struct kf__exchange *exchange, const struct kf__txn_claim *claim,
                    kf_string topic, int32_t partition, bool verify_only)
{
    kf_err err = kf__forced(exchange, topic, partition);
    if (!err)
        err = kf__check_txn_coordinator(exchange, claim->id);
    if (!err && verify_only)
        err = kf__txns_verify(&exchange->broker->txns, claim, topic, partition);
    return err;
}

static bool open_additions(struct kf__exchange *exchange, const struct topics *topics,
                           struct kf__all_or_none *additions)
{
    size_t most = 0;
    for (int32_t t = 0; t < topics->count; t++)
        most += (size_t)topics->items[t].partitions.count;
    return kf__all_or_none_open(exchange, additions, most, sizeof(struct kf__txn_partition));
}

static int16_t told(const struct kf__exchange *exchange, kf_err err)
{
    bool old = err == KF_ERR_PRODUCER_FENCED && exchange->version < 2;
    return kf__wire_error(old ? KF_ERR_INVALID_PRODUCER_EPOCH : err);
}

static void add(struct kf__exchange *exchange, const struct kf__txn_claim *claim,
                const struct kf__all_or_none *additions)
{
    struct kf__txn_now now = kf__txn_now(exchange->broker, exchange->now);
    struct kf__txn_addition what = {
        .partitions = additions->items, .count = additions->count, .v2 = exchange->version >= 4};
    if (what.count == 0)
        return;
    kf_err err = kf__txns_add(&exchange->broker->txns, now, claim, &what);
    kf__all_or_none_tell(additions, told(exchange, err));
}

/* Fills `results`, whose array has been made, with one transaction's. */
static bool add_all(struct kf__exchange *exchange, const struct kf__txn_claim *claim,
                    const struct topics *topics, bool verify_only, const char *path,
                    topic_result *results)
{
    bool known = all_known(exchange, topics);
    struct kf__all_or_none additions;
    if (!open_additions(exchange, topics, &additions))
        return false;
    for (int32_t t = 0; t < topics->count; t++) {
        const asked_topic *asked = &topics->items[t];
        results[t].name = asked->name;
        if (!KF__FILL(exchange, path, results[t].results_by_partition, asked->partitions.count))
            return false;
        for (int32_t p = 0; p < asked->partitions.count; p++) {
            int32_t partition = asked->partitions.items[p];
            kf_err err = known ? check(exchange, claim, asked->name, partition, verify_only)
                               : refusal(exchange, asked->name, partition);
            int16_t *code = &results[t].results_by_partition.items[p].partition_error_code;
            if (!known && !err)
                err = KF_ERR_OPERATION_NOT_ATTEMPTED;
            results[t].results_by_partition.items[p].partition_index = partition;
            *code = told(exchange, err);
            if (err || verify_only)
                continue;
            struct kf__txn_partition *partitions = additions.items;
            partitions[additions.count] =
                (struct kf__txn_partition){.topic = asked->name, .partition = partition};
            additions.answers[additions.count++] = code;
        }
    }
    add(exchange, claim, &additions);
    return true;
}

static bool handle_one(struct kf__exchange *exchange)
{
    const struct kf_add_partitions_to_txn_request *request = exchange->request;
    struct kf_add_partitions_to_txn_response *response = exchange->response;
    struct topics topics = {.items = request->v3_and_below_topics.items,
                            .count = request->v3_and_below_topics.count};
    struct kf__txn_claim claim = {.id = request->v3_and_below_transactional_id,
                                  .producer_id = request->v3_and_below_producer_id,
                                  .epoch = request->v3_and_below_producer_epoch};
    return KF__FILL(exchange, "results_by_topic_v3_and_below",
                    response->results_by_topic_v3_and_below, topics.count) &&
           add_all(exchange, &claim, &topics, false,
                   "results_by_topic_v3_and_below/results_by_partition",
                   response->results_by_topic_v3_and_below.items);
}

static bool handle_many(struct kf__exchange *exchange)
{
    const struct kf_add_partitions_to_txn_request *request = exchange->request;
    struct kf_add_partitions_to_txn_response *response = exchange->response;
    if (!KF__FILL(exchange, "results_by_transaction", response->results_by_transaction,
                  request->transactions.count))
        return false;
    for (int32_t i = 0; i < request->transactions.count; i++) {
        const struct kf_add_partitions_to_txn_request_add_partitions_to_txn_transaction *asked =
            &request->transactions.items[i];
        struct kf_add_partitions_to_txn_response_add_partitions_to_txn_result *result =
            &response->results_by_transaction.items[i];
        struct topics topics = {.items = asked->topics.items, .count = asked->topics.count};
        struct kf__txn_claim claim = {.id = asked->transactional_id,
                                      .producer_id = asked->producer_id,
                                      .epoch = asked->producer_epoch};
        result->transactional_id = asked->transactional_id;
        if (!KF__FILL(exchange, "results_by_transaction/topic_results", result->topic_results,
                      topics.count) ||
            !add_all(exchange, &claim, &topics, asked->verify_only,
                     "results_by_transaction/topic_results/results_by_partition",
                     result->topic_results.items))
            return false;
    }
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    kf_err refused = exchange->version < 4 ? KF_OK : kf__may_all(exchange);
    if (refused)
        return kf__error_answer(exchange, refused) ? KF__ANSWERED : KF__REFUSED;
    bool done = exchange->version < 4 ? handle_one(exchange) : handle_many(exchange);
    return done ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_add_partitions_to_txn = {
    .key = KF_API_ADD_PARTITIONS_TO_TXN, .max_version = 5, .handle = handle};
