/*
 * AddOffsetsToTxn (25), versions 0–4: a group's offsets will be part of the
 * transaction. To the transaction they are one more partition, of the topic
 * in which Kafka keeps them.
 *
 * 2  PRODUCER_FENCED in place of INVALID_PRODUCER_EPOCH. 3 flexible.
 * 4  TRANSACTION_ABORTABLE.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_add_offsets_to_txn_request *request = exchange->request;
    struct kf_add_offsets_to_txn_response *response = exchange->response;
    struct kf__txn_claim claim = {.id = request->transactional_id,
                                  .producer_id = request->producer_id,
                                  .epoch = request->producer_epoch};
    kf_err err = kf__check_txn_coordinator(exchange, request->transactional_id);
    if (!err)
        err = kf__may(exchange, KF__ACL_READ, KF__ACL_GROUP, request->group_id);
    int32_t place = err ? -1 : kf__internal_place(exchange->broker, KF__OFFSETS, request->group_id);
    if (!err && place < 0)
        err = KF_ERR_COORDINATOR_NOT_AVAILABLE;
    struct kf__txn_partition one = {.topic = kf__text(KF__OFFSETS_TOPIC), .partition = place};
    struct kf__txn_addition what = {.partitions = &one, .count = 1};
    if (!err)
        err = kf__txns_add(&exchange->broker->txns, kf__txn_now(exchange->broker, exchange->now),
                           &claim, &what);
    if (err == KF_ERR_PRODUCER_FENCED && exchange->version < 2)
        err = KF_ERR_INVALID_PRODUCER_EPOCH;
    response->error_code = kf__wire_error(err);
    return KF__ANSWERED;
}

const struct kf__api kf__api_add_offsets_to_txn = {
    .key = KF_API_ADD_OFFSETS_TO_TXN, .max_version = 4, .handle = handle};
