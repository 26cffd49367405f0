/*
 * WriteTxnMarkers (27), versions 1–2: between brokers, and for administrators
 * who end a hanging transaction (KIP-664). Our own coordinator writes its
 * markers without a request.
 *
 * 1  flexible. 2 the version of transactions (KIP-1228).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/faults/error_answers.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

typedef struct kf_write_txn_markers_request_writable_txn_marker asked_marker;

static kf_err mark(struct kf__exchange *exchange, const asked_marker *asked, kf_string topic,
                   int32_t index)
{
    struct kf_broker *broker = exchange->broker;
    struct kf__txn_mark mark = {.producer_id = asked->producer_id,
                                .epoch = asked->producer_epoch,
                                .coordinator_epoch = asked->coordinator_epoch,
                                .commit = asked->transaction_result};
    struct kf__partition *partition;
    if (asked->producer_id < 0 || asked->producer_epoch < 0)
        return KF_ERR_UNKNOWN_SERVER_ERROR; /* no batch can be of nobody */
    kf_err err = kf__led_partition(exchange, kf__broker_topics_find(&broker->topics, topic), index,
                                   -1, &partition);
    return err ? err : kf__txn_mark(broker, &mark, topic, index);
}

static bool mark_all(struct kf__exchange *exchange, const asked_marker *asked,
                     struct kf_write_txn_markers_response_writable_txn_marker_result *result)
{
    result->producer_id = asked->producer_id;
    if (!KF__FILL(exchange, "markers/topics", result->topics, asked->topics.count))
        return false;
    for (int32_t t = 0; t < asked->topics.count; t++) {
        const struct kf_write_txn_markers_request_writable_txn_marker_topic *topic =
            &asked->topics.items[t];
        struct kf_write_txn_markers_response_writable_txn_marker_topic_result *answer =
            &result->topics.items[t];
        answer->name = topic->name;
        if (!KF__FILL(exchange, "markers/topics/partitions", answer->partitions,
                      topic->partition_indexes.count))
            return false;
        for (int32_t p = 0; p < topic->partition_indexes.count; p++) {
            int32_t index = topic->partition_indexes.items[p];
            answer->partitions.items[p].partition_index = index;
            answer->partitions.items[p].error_code =
                kf__wire_error(mark(exchange, asked, topic->name, index));
        }
    }
    return true;
}

/* To alter the cluster, as administrators may, is as good as to be a broker. */
static kf_err may_write(const struct kf__exchange *exchange)
{
    kf_err err = kf__may(exchange, KF__ACL_ALTER, KF__ACL_CLUSTER, kf__cluster_name());
    return err ? kf__may_all(exchange) : KF_OK;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_write_txn_markers_request *request = exchange->request;
    struct kf_write_txn_markers_response *response = exchange->response;
    kf_err refused = may_write(exchange);
    if (refused)
        return kf__error_answer(exchange, refused) ? KF__ANSWERED : KF__REFUSED;
    if (!KF__FILL(exchange, "markers", response->markers, request->markers.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->markers.count; i++)
        if (!mark_all(exchange, &request->markers.items[i], &response->markers.items[i]))
            return KF__REFUSED;
    return KF__ANSWERED;
}

const struct kf__api kf__api_write_txn_markers = {.key = KF_API_WRITE_TXN_MARKERS,
                                                  .min_version = 1,
                                                  .max_version = 2,
                                                  .advertised_min = 1,
                                                  .handle = handle};
