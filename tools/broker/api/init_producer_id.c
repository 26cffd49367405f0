/*
 * InitProducerId (22), versions 0–5: an id and an epoch for a producer.
 *
 * 2  flexible. 3 the id and epoch that a producer goes on from (KIP-360);
 *    without a transactional id it gets a new id at epoch 0 all the same.
 * 4  PRODUCER_FENCED in place of INVALID_PRODUCER_EPOCH. 5 KIP-890.
 * 6  two-phase commit (KIP-939): 4.4 answers it only with unstable versions on.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

static kf_err begin(struct kf__exchange *exchange, struct kf__txn_claim *claim)
{
    const struct kf_init_producer_id_request *request = exchange->request;
    struct kf_broker *broker = exchange->broker;
    kf_err err = kf__forced_all(exchange);
    if (err)
        return err;
    if ((request->producer_id == -1) != (request->producer_epoch == -1))
        return KF_ERR_INVALID_REQUEST;
    if (!request->transactional_id.data) { /* nobody can be fenced: the old id is simply left */
        err = kf__may(exchange, KF__ACL_IDEMPOTENT_WRITE, KF__ACL_CLUSTER, kf__cluster_name());
        if (err && !kf__may_some(exchange, KF__ACL_WRITE, KF__ACL_TOPIC))
            return err;
        claim->producer_id = broker->next_producer_id++;
        claim->epoch = 0;
        return KF_OK;
    }
    err = kf__check_txn_coordinator(exchange, request->transactional_id);
    broker->txns.max_timeout_ms = (int32_t)kf__broker_config(broker, "transaction.max.timeout.ms");
    if (!err)
        err = kf__txns_begin(&broker->txns, kf__txn_now(exchange->broker, exchange->now), claim,
                             request->transaction_timeout_ms);
    if (err == KF_ERR_PRODUCER_FENCED && exchange->version < 4)
        return KF_ERR_INVALID_PRODUCER_EPOCH;
    return err;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_init_producer_id_request *request = exchange->request;
    struct kf_init_producer_id_response *response = exchange->response;
    struct kf__txn_claim claim = {.id = request->transactional_id,
                                  .producer_id = request->producer_id,
                                  .epoch = request->producer_epoch};
    kf_err err = begin(exchange, &claim);
    response->error_code = kf__wire_error(err);
    response->producer_id = err ? -1 : claim.producer_id;
    response->producer_epoch = err ? -1 : claim.epoch;
    return KF__ANSWERED;
}

const struct kf__api kf__api_init_producer_id = {
    .key = KF_API_INIT_PRODUCER_ID, .max_version = 5, .handle = handle};
