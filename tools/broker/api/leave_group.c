/*
 * LeaveGroup (13), versions 0–5.
 *
 * 0–2 one member, its error for the answer as a whole. 3 many members, static
 * ones by instance id (KIP-345). 4 flexible. 5 a reason (KIP-800).
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/group/consumer_classic.h"
#include "tools/broker/state.h"

/* One that leaves, whichever version says so. */
static struct kf__member_claim claim_of(const struct kf_leave_group_request *request, int32_t index,
                                        bool many)
{
    struct kf__member_claim who = {.group = request->group_id, .member_id = request->member_id};
    if (many) {
        who.member_id = request->members.items[index].member_id;
        who.instance_id = request->members.items[index].group_instance_id;
    }
    return who;
}

/* errors[] of all that leave; NULL: out of memory. */
static kf_err *leave(struct kf__exchange *exchange, int32_t count, bool many)
{
    struct kf_broker *broker = exchange->broker;
    size_t size = (size_t)(count > 0 ? count : 0) + 1;
    struct kf__member_claim *who = kf_arena_alloc(&exchange->arena, size * sizeof *who);
    kf_err *errors = kf_arena_alloc(&exchange->arena, size * sizeof *errors);
    if (!who || !errors)
        return NULL;
    for (int32_t i = 0; i < count; i++)
        who[i] = claim_of(exchange->request, i, many);
    if (kf__consumers_leave(&broker->consumers, exchange->now, who, count, errors))
        return errors;
    for (int32_t i = 0; i < count; i++)
        errors[i] = kf__coordinator_leave(&broker->coordinator, exchange->now, &who[i]);
    return errors;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_leave_group_request *request = exchange->request;
    struct kf_leave_group_response *response = exchange->response;
    kf_err err = kf__check_coordinator(exchange, request->group_id);
    if (!err && request->group_id.size == 0)
        err = KF_ERR_INVALID_GROUP_ID;
    bool many = exchange->version >= 3;
    const kf_err *errors = err ? NULL : leave(exchange, many ? request->members.count : 1, many);
    if (!err && !errors)
        err = KF_ERR_NO_MEMORY;
    if (!err && !many)
        err = errors[0];
    response->error_code = kf__wire_error(err);
    if (err || !many)
        return KF__ANSWERED;
    if (!KF__FILL(exchange, "members", response->members, request->members.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->members.count; i++) {
        const struct kf_leave_group_request_member_identity *member = &request->members.items[i];
        struct kf_leave_group_response_member_response *answer = &response->members.items[i];
        answer->member_id = member->member_id;
        answer->group_instance_id = member->group_instance_id;
        answer->error_code = kf__wire_error(errors[i]);
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_leave_group = {
    .key = KF_API_LEAVE_GROUP, .max_version = 5, .handle = handle};
