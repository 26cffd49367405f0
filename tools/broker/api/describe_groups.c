/*
 * DescribeGroups (15), versions 0–6.
 *
 * 3  authorized operations. 4 static members. 5 flexible.
 * 6  an unknown group is GROUP_ID_NOT_FOUND; before it was "Dead" without an
 *    error (KIP-1043).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_describe_groups_response_described_group group_answer;

/* Of groups of the new protocol ConsumerGroupDescribe tells. */
static void tell_unknown(struct kf__exchange *exchange, group_answer *answer)
{
    char message[300];
    bool consumers = kf__consumers_find(&exchange->broker->consumers, answer->group_id);
    int length =
        snprintf(message, sizeof message, "Group %.*s %s",
                 (int)(answer->group_id.size < 256 ? answer->group_id.size : 256),
                 answer->group_id.data, consumers ? "is not a classic group." : "not found.");
    answer->group_state = kf__text("Dead");
    if (exchange->version < 6)
        return;
    answer->error_code = KF_ERR_GROUP_ID_NOT_FOUND;
    answer->error_message =
        kf__answer_text(exchange, (kf_string){.data = message, .size = (size_t)length});
}

static bool tell_group(struct kf__exchange *exchange, const struct kf__classic_group *group,
                       group_answer *answer)
{
    static const uint8_t nothing[1];
    bool chosen = group->state == KF__GROUP_STABLE;
    answer->group_state = kf__text(kf__group_state_name(group->state));
    if (group->protocol_type.data)
        answer->protocol_type = kf__answer_text(exchange, group->protocol_type);
    if (chosen && group->protocol_name.data)
        answer->protocol_data = kf__answer_text(exchange, group->protocol_name);
    const struct kf_describe_groups_request *request = exchange->request;
    if (request->include_authorized_operations)
        answer->authorized_operations =
            kf__allowed_operations(exchange, KF__ACL_GROUP, answer->group_id);
    if (!KF__FILL(exchange, "groups/members", answer->members, group->member_count))
        return false;
    for (int32_t i = 0; i < group->member_count; i++) {
        const struct kf__group_member *member = group->members[i];
        struct kf_describe_groups_response_described_group_member *told = &answer->members.items[i];
        kf_bytes empty = {.data = nothing, .size = 0};
        told->member_id = kf__answer_text(exchange, member->id);
        told->group_instance_id = kf__answer_text(exchange, member->instance_id);
        told->client_id = kf__answer_text(exchange, member->client_id);
        told->client_host = kf__answer_text(exchange, member->client_host);
        told->member_metadata =
            chosen ? kf__answer_bytes(exchange, kf__group_metadata(member, group->protocol_name))
                   : empty;
        told->member_assignment =
            member->assignment.data ? kf__answer_bytes(exchange, member->assignment) : empty;
    }
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_groups_request *request = exchange->request;
    struct kf_describe_groups_response *response = exchange->response;
    if (!KF__FILL(exchange, "groups", response->groups, request->groups.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->groups.count; i++) {
        group_answer *answer = &response->groups.items[i];
        answer->group_id = request->groups.items[i];
        kf_err err = kf__check_coordinator(exchange, answer->group_id);
        const struct kf__classic_group *group =
            kf__coordinator_find(&exchange->broker->coordinator, answer->group_id);
        answer->error_code = kf__wire_error(err);
        if (err)
            continue;
        if (!group)
            tell_unknown(exchange, answer);
        else if (!tell_group(exchange, group, answer))
            return KF__REFUSED;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_describe_groups = {
    .key = KF_API_DESCRIBE_GROUPS, .max_version = 6, .handle = handle};
