/*
 * ConsumerGroupHeartbeat (68), versions 0–1: all of the new group protocol
 * (KIP-848).
 *
 * 1  subscribed_topic_regex; the member makes its id itself (KIP-1082).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_consumer_group_heartbeat_request beat_request;

static bool may_describe(const void *context, kf_string topic)
{
    return kf__may_topic(context, topic) == KF_OK;
}

/* Who names a topic must be allowed to know of it. */
static kf_err check_topics(const struct kf__exchange *exchange)
{
    const beat_request *request = exchange->request;
    for (int32_t i = 0; i < request->subscribed_topic_names.count; i++)
        if (kf__may_topic(exchange, request->subscribed_topic_names.items[i]))
            return KF_ERR_TOPIC_AUTHORIZATION_FAILED;
    return KF_OK;
}

/* What the member says it has, one partition after the other. */
static kf_err flatten_owned(struct kf__exchange *exchange, struct kf__beat *beat)
{
    const beat_request *request = exchange->request;
    size_t count = 0;
    for (int32_t t = 0; t < request->topic_partitions.count; t++)
        if (request->topic_partitions.items[t].partitions.count > 0)
            count += (size_t)request->topic_partitions.items[t].partitions.count;
    struct kf__held *owned = kf_arena_alloc(&exchange->arena, (count + 1) * sizeof *owned);
    if (!owned)
        return KF_ERR_NO_MEMORY;
    for (int32_t t = 0; t < request->topic_partitions.count; t++)
        for (int32_t p = 0; p < request->topic_partitions.items[t].partitions.count; p++)
            owned[beat->owned_count++] = (struct kf__held){
                .topic = request->topic_partitions.items[t].topic_id,
                .partition = request->topic_partitions.items[t].partitions.items[p],
            };
    beat->owned = owned;
    beat->owned_topics = request->topic_partitions.count;
    return KF_OK;
}

static bool tell_assignment(struct kf__exchange *exchange, const struct kf__holding *holding)
{
    struct kf_consumer_group_heartbeat_response *response = exchange->response;
    response->assignment = kf_arena_alloc(&exchange->arena, sizeof *response->assignment);
    if (!response->assignment)
        return false;
    *response->assignment = (struct kf_consumer_group_heartbeat_response_assignment){0};
    if (!KF__FILL(exchange, "assignment/topic_partitions", response->assignment->topic_partitions,
                  kf__holding_topics(holding)))
        return false;
    size_t at = 0;
    for (int32_t t = 0; t < response->assignment->topic_partitions.count; t++) {
        struct kf_consumer_group_heartbeat_response_topic_partitions *topic =
            &response->assignment->topic_partitions.items[t];
        int32_t run = (int32_t)kf__holding_run(holding, at);
        topic->topic_id = holding->items[at].topic;
        topic->partitions.items = kf__answer_ints(exchange, run);
        if (!topic->partitions.items)
            return false;
        topic->partitions.count = run;
        for (int32_t p = 0; p < run; p++)
            topic->partitions.items[p] = holding->items[at++].partition;
    }
    return true;
}

static enum kf__outcome beat(struct kf__exchange *exchange)
{
    const beat_request *request = exchange->request;
    struct kf_consumer_group_heartbeat_response *response = exchange->response;
    struct kf__beat_answer answer;
    struct kf__beat beat = {
        .version = exchange->version,
        .group = request->group_id,
        .member_id = request->member_id,
        .member_epoch = request->member_epoch,
        .instance_id = request->instance_id,
        .rack_id = request->rack_id,
        .client_id = exchange->client_id.data ? exchange->client_id : kf__text(""),
        .client_host = exchange->client_host,
        .rebalance_timeout_ms = request->rebalance_timeout_ms,
        .topics = request->subscribed_topic_names.items,
        .topic_count = request->subscribed_topic_names.count,
        .regex = request->subscribed_topic_regex,
        .assignor = request->server_assignor,
        .context = exchange,
        .may_describe = may_describe,
    };
    if (flatten_owned(exchange, &beat))
        return KF__REFUSED;
    kf__consumers_beat(&exchange->broker->consumers, exchange->now, &beat, &answer);
    response->error_code = kf__wire_error(answer.error);
    if (answer.error) {
        if (answer.why[0])
            response->error_message = kf__answer_text(exchange, kf__text(answer.why));
        return KF__ANSWERED;
    }
    response->member_id = kf__answer_text(exchange, answer.member_id);
    response->member_epoch = answer.member_epoch;
    response->heartbeat_interval_ms = answer.heartbeat_ms;
    if (answer.assignment && !tell_assignment(exchange, answer.assignment))
        return KF__REFUSED;
    return KF__ANSWERED;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const beat_request *request = exchange->request;
    struct kf_consumer_group_heartbeat_response *response = exchange->response;
    kf_err err = KF_OK;
    if (!kf__consumer_groups_are_on(exchange->broker))
        err = KF_ERR_UNSUPPORTED_VERSION;
    if (!err)
        err = kf__check_coordinator(exchange, request->group_id);
    if (!err)
        err = check_topics(exchange);
    response->error_code = kf__wire_error(err);
    return err ? KF__ANSWERED : beat(exchange);
}

const struct kf__api kf__api_consumer_group_heartbeat = {
    .key = KF_API_CONSUMER_GROUP_HEARTBEAT, .max_version = 1, .handle = handle};
