/*
 * EndTxn (26), versions 0–5: commit or abort.
 *
 * 2  PRODUCER_FENCED in place of INVALID_PRODUCER_EPOCH. 3 flexible.
 * 4  TRANSACTION_ABORTABLE. 5 every end hands out the next epoch (KIP-890);
 *    a transaction that has written nothing may be aborted.
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_end_txn_request *request = exchange->request;
    struct kf_end_txn_response *response = exchange->response;
    struct kf__txn_claim claim = {.id = request->transactional_id,
                                  .producer_id = request->producer_id,
                                  .epoch = request->producer_epoch};
    kf_err err = kf__check_txn_coordinator(exchange, request->transactional_id);
    if (!err)
        err = kf__txns_end(&exchange->broker->txns, kf__txn_now(exchange->broker, exchange->now),
                           &claim, request->committed, exchange->version >= 5);
    if (err == KF_ERR_PRODUCER_FENCED && exchange->version < 2)
        err = KF_ERR_INVALID_PRODUCER_EPOCH;
    response->error_code = kf__wire_error(err);
    response->producer_id = err ? -1 : claim.producer_id;
    response->producer_epoch = err ? -1 : claim.epoch;
    return KF__ANSWERED;
}

const struct kf__api kf__api_end_txn = {.key = KF_API_END_TXN, .max_version = 5, .handle = handle};
