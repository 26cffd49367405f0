/*
 * SyncGroup (14), versions 0–5: parked until the leader has spoken.
 *
 * 3  static members. 4 flexible. 5 protocol type and name, checked (KIP-559).
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/group/consumer_classic.h"
#include "tools/broker/group/group_answers.h"
#include "tools/broker/state.h"

void kf__answer_synced(void *context, void *token, const struct kf__synced *synced)
{
    (void)context;
    struct kf__exchange *exchange = token;
    struct kf_sync_group_response *response = exchange->response;
    response->error_code = kf__wire_error(synced->error);
    response->protocol_type = kf__answer_text(exchange, synced->protocol_type);
    response->protocol_name = kf__answer_text(exchange, synced->protocol_name);
    if (synced->assignment.data)
        response->assignment = kf__answer_bytes(exchange, synced->assignment);
    kf__dispatch_ready(exchange);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_sync_group_request *request = exchange->request;
    struct kf_sync_group_response *response = exchange->response;
    kf_err err = kf__check_coordinator(exchange, request->group_id);
    int32_t count = request->assignments.count > 0 ? request->assignments.count : 0;
    struct kf__member_assignment *assignments =
        kf_arena_alloc(&exchange->arena, sizeof *assignments * ((size_t)count + 1));
    if (!err && !assignments)
        err = KF_ERR_NO_MEMORY;
    if (!err && exchange->version >= 5 &&
        (!request->protocol_type.data || !request->protocol_name.data))
        err = KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (err) {
        response->error_code = kf__wire_error(err);
        return KF__ANSWERED;
    }
    for (int32_t i = 0; i < count; i++)
        assignments[i] = (struct kf__member_assignment){
            .member_id = request->assignments.items[i].member_id,
            .assignment = request->assignments.items[i].assignment,
        };
    struct kf__sync sync = {
        .who = {.group = request->group_id,
                .member_id = request->member_id,
                .instance_id = request->group_instance_id,
                .generation = request->generation_id},
        .protocol_type = request->protocol_type,
        .protocol_name = request->protocol_name,
        .assignments = assignments,
        .assignment_count = count,
    };
    struct kf_broker *broker = exchange->broker;
    if (!kf__consumers_sync(&broker->consumers, exchange->now, &sync, exchange))
        kf__coordinator_sync(&broker->coordinator, exchange->now, &sync, exchange);
    return exchange->ready ? KF__ANSWERED : KF__PARKED;
}

const struct kf__api kf__api_sync_group = {
    .key = KF_API_SYNC_GROUP, .max_version = 5, .handle = handle};
