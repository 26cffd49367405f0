/*
 * DescribeTransactions (65), version 0: one transactional id's state (KIP-664).
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_describe_transactions_response_transaction_state described;

static bool is_another_topic(const struct kf__txn *txn, size_t i)
{
    return i == 0 || !kf__text_equal(txn->partitions[i - 1].topic, txn->partitions[i].topic);
}

/* The transaction may go on before the answer has left: names are copied. */
static bool fill_topics(struct kf__exchange *exchange, const struct kf__txn *txn, described *answer)
{
    int32_t count = 0, at = -1;
    for (size_t i = 0; i < txn->partition_count; i++)
        count += is_another_topic(txn, i);
    if (!KF__FILL(exchange, "transaction_states/topics", answer->topics, count))
        return false;
    for (size_t i = 0; i < txn->partition_count; i++) {
        if (is_another_topic(txn, i)) {
            struct kf_describe_transactions_response_topic_data *topic =
                &answer->topics.items[++at];
            topic->topic = kf__answer_text(exchange, txn->partitions[i].topic);
            topic->partitions.items = kf__answer_ints(exchange, (int32_t)txn->partition_count);
            if (!topic->partitions.items)
                return false;
        }
        struct kf_describe_transactions_response_topic_data *topic = &answer->topics.items[at];
        topic->partitions.items[topic->partitions.count++] = txn->partitions[i].partition;
    }
    return true;
}

static bool describe(struct kf__exchange *exchange, kf_string id, described *answer)
{
    const struct kf__txn *txn = kf__txns_find(&exchange->broker->txns, id);
    kf_err err = kf__check_txn_coordinator(exchange, id);
    if (!err && id.size == 0)
        err = KF_ERR_INVALID_REQUEST;
    if (!err && !txn)
        err = KF_ERR_TRANSACTIONAL_ID_NOT_FOUND;
    answer->transactional_id = id;
    answer->error_code = kf__wire_error(err);
    if (err)
        return true;
    answer->transaction_state = kf__text(kf__txn_state_name(txn->state));
    answer->transaction_timeout_ms = txn->timeout_ms;
    answer->transaction_start_time_ms = txn->started_ms;
    answer->producer_id = txn->producer_id;
    answer->producer_epoch = txn->epoch;
    return fill_topics(exchange, txn, answer);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_transactions_request *request = exchange->request;
    struct kf_describe_transactions_response *response = exchange->response;
    if (!KF__FILL(exchange, "transaction_states", response->transaction_states,
                  request->transactional_ids.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->transactional_ids.count; i++)
        if (!describe(exchange, request->transactional_ids.items[i],
                      &response->transaction_states.items[i]))
            return KF__REFUSED;
    return KF__ANSWERED;
}

const struct kf__api kf__api_describe_transactions = {.key = KF_API_DESCRIBE_TRANSACTIONS,
                                                      .handle = handle};
