/*
 * Heartbeat (12), versions 0–4: 3 static members, 4 flexible.
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/group/consumer_classic.h"
#include "tools/broker/state.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_heartbeat_request *request = exchange->request;
    struct kf_heartbeat_response *response = exchange->response;
    kf_err err = kf__check_coordinator(exchange, request->group_id);
    struct kf__member_claim who = {.group = request->group_id,
                                   .member_id = request->member_id,
                                   .instance_id = request->group_instance_id,
                                   .generation = request->generation_id};
    struct kf_broker *broker = exchange->broker;
    if (!err && !kf__consumers_heartbeat(&broker->consumers, exchange->now, &who, &err))
        err = kf__coordinator_heartbeat(&broker->coordinator, exchange->now, &who);
    response->error_code = kf__wire_error(err);
    return KF__ANSWERED;
}

const struct kf__api kf__api_heartbeat = {
    .key = KF_API_HEARTBEAT, .max_version = 4, .handle = handle};
