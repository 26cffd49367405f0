/*
 * LeaveGroup (13), versions 0–5.
 *
 * 0–2 one member, its error for the answer as a whole. 3 many members, static
 * ones by instance id (KIP-345). 4 flexible. 5 a reason (KIP-800).
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/group/consumer_classic.h"
#include "tools/broker/state.h"

static kf_err leave(struct kf__exchange *exchange, kf_string member_id, kf_string instance_id)
{
    const struct kf_leave_group_request *request = exchange->request;
    struct kf__member_claim who = {
        .group = request->group_id, .member_id = member_id, .instance_id = instance_id};
    struct kf_broker *broker = exchange->broker;
    kf_err err = KF_OK;
    if (kf__consumers_leave(&broker->consumers, exchange->now, &who, &err))
        return err;
    return kf__coordinator_leave(&broker->coordinator, exchange->now, &who);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_leave_group_request *request = exchange->request;
    struct kf_leave_group_response *response = exchange->response;
    kf_err err = kf__check_coordinator(exchange, request->group_id);
    if (!err && request->group_id.size == 0)
        err = KF_ERR_INVALID_GROUP_ID;
    if (!err && exchange->version < 3)
        err = leave(exchange, request->member_id, (kf_string){0});
    response->error_code = kf__wire_error(err);
    if (err || exchange->version < 3)
        return KF__ANSWERED;
    if (!KF__FILL(exchange, "members", response->members, request->members.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->members.count; i++) {
        const struct kf_leave_group_request_member_identity *member = &request->members.items[i];
        struct kf_leave_group_response_member_response *answer = &response->members.items[i];
        answer->member_id = member->member_id;
        answer->group_instance_id = member->group_instance_id;
        answer->error_code =
            kf__wire_error(leave(exchange, member->member_id, member->group_instance_id));
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_leave_group = {
    .key = KF_API_LEAVE_GROUP, .max_version = 5, .handle = handle};
