/*
 * InitProducerId (22), versions 0–5: idempotent producers.
 *
 * 2  flexible. 3 the id and epoch that a producer goes on from (KIP-360);
 *    without a transactional id it gets a new id at epoch 0 all the same.
 * 6  two-phase commit (KIP-939): 4.4 answers it only with unstable versions on.
 * Transactional ids are refused: there is no transaction coordinator yet.
 */
#include "tools/broker/apis.h"
#include "tools/broker/state.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_init_producer_id_request *request = exchange->request;
    struct kf_init_producer_id_response *response = exchange->response;
    kf_err err = kf__forced_all(exchange);
    if (!err && (request->producer_id == -1) != (request->producer_epoch == -1))
        err = KF_ERR_INVALID_REQUEST;
    if (!err && request->transactional_id.data)
        err = KF_ERR_UNSUPPORTED_VERSION;
    response->error_code = kf__wire_error(err);
    response->producer_epoch = -1;
    if (err)
        return KF__ANSWERED;
    response->producer_id = exchange->broker->next_producer_id++;
    response->producer_epoch = 0;
    return KF__ANSWERED;
}

const struct kf__api kf__api_init_producer_id = {
    .key = KF_API_INIT_PRODUCER_ID, .max_version = 5, .handle = handle};
