/*
 * JoinGroup (11), versions 0–9: parked until the coordinator answers.
 *
 * 1  rebalance timeout. 4 MEMBER_ID_REQUIRED (KIP-394). 5 static members
 *    (KIP-345). 6 flexible. 7 protocol type in the answer (KIP-559).
 * 8  a reason (KIP-800). 9 skip_assignment (KIP-814).
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/group/consumer_classic.h"
#include "tools/broker/group/group_answers.h"
#include "tools/broker/state.h"

void kf__answer_joined(void *context, void *token, const struct kf__joined *joined)
{
    (void)context;
    struct kf__exchange *exchange = token;
    struct kf_join_group_response *response = exchange->response;
    bool nullable = exchange->version >= 7;
    response->error_code = kf__wire_error(joined->error);
    response->generation_id = joined->generation;
    response->protocol_type = kf__answer_text(exchange, joined->protocol_type);
    response->protocol_name = kf__answer_text(exchange, joined->protocol_name);
    if (!response->protocol_name.data && !nullable)
        response->protocol_name = kf__text("");
    response->leader = kf__answer_text(exchange, joined->leader);
    response->member_id = kf__answer_text(exchange, joined->member_id);
    response->skip_assignment = joined->skip_assignment;
    kf__dispatch_ready(exchange);
    if (!joined->group)
        return;
    if (!KF__FILL(exchange, "members", response->members, joined->group->member_count))
        return;
    for (int32_t i = 0; i < joined->group->member_count; i++) {
        const struct kf__group_member *member = joined->group->members[i];
        struct kf_join_group_response_member *answer = &response->members.items[i];
        answer->member_id = kf__answer_text(exchange, member->id);
        answer->group_instance_id = kf__answer_text(exchange, member->instance_id);
        answer->metadata =
            kf__answer_bytes(exchange, kf__group_metadata(member, joined->group->protocol_name));
    }
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_join_group_request *request = exchange->request;
    struct kf_join_group_response *response = exchange->response;
    kf_err err = kf__check_coordinator(exchange, request->group_id);
    int32_t count = request->protocols.count > 0 ? request->protocols.count : 0;
    struct kf__group_protocol *protocols =
        kf_arena_alloc(&exchange->arena, sizeof *protocols * ((size_t)count + 1));
    if (err || !protocols) {
        response->error_code = kf__wire_error(err ? err : KF_ERR_NO_MEMORY);
        response->protocol_name = kf__text("");
        response->member_id = request->member_id;
        return KF__ANSWERED;
    }
    for (int32_t i = 0; i < count; i++)
        protocols[i] =
            (struct kf__group_protocol){.name = request->protocols.items[i].name,
                                        .metadata = request->protocols.items[i].metadata};
    bool own_timeout = exchange->version >= 1;
    struct kf__join join = {
        .group = request->group_id,
        .member_id = request->member_id,
        .instance_id = request->group_instance_id,
        .client_id = exchange->client_id.data ? exchange->client_id : kf__text(""),
        .client_host = exchange->client_host,
        .protocol_type = request->protocol_type,
        .protocols = protocols,
        .protocol_count = count,
        .session_timeout = request->session_timeout_ms * KF_MILLISECOND,
        .rebalance_timeout = KF_MILLISECOND * (own_timeout ? request->rebalance_timeout_ms
                                                           : request->session_timeout_ms),
        .require_member_id = exchange->version >= 4,
        .can_skip_assignment = exchange->version >= 9,
    };
    struct kf_broker *broker = exchange->broker;
    kf__classic_settings_take(broker);
    if (!kf__consumers_join(&broker->consumers, exchange->now, &join, exchange))
        kf__coordinator_join(&broker->coordinator, exchange->now, &join, exchange);
    return exchange->ready ? KF__ANSWERED : KF__PARKED;
}

const struct kf__api kf__api_join_group = {
    .key = KF_API_JOIN_GROUP, .max_version = 9, .handle = handle};
