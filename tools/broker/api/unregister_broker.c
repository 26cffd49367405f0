/*
 * UnregisterBroker (64), version 0 (KIP-631). A known broker's registration
 * would go; here it has none, and nothing changes.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_unregister_broker_request *request = exchange->request;
    struct kf_unregister_broker_response *response = exchange->response;
    char why[80] = "";
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    bool known =
        request->broker_id >= 1 && request->broker_id <= exchange->broker->topics.node_count;
    if (!err && !known) {
        err = KF_ERR_BROKER_ID_NOT_REGISTERED;
        snprintf(why, sizeof why, "Broker ID %d is not currently registered",
                 (int)request->broker_id);
    }
    response->error_code = kf__wire_error(err);
    response->error_message = kf__answer_text(exchange, kf__text(why));
    return KF__ANSWERED;
}

const struct kf__api kf__api_unregister_broker = {
    .key = KF_API_UNREGISTER_BROKER, .max_version = 0, .handle = handle};
