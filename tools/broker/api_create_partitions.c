/*
 * CreatePartitions (37), versions 0–3: 2 flexible.
 */
#include "tools/broker/apis.h"
#include "tools/broker/state.h"

static kf_err extend(struct kf__exchange *exchange, kf_string name, int32_t count)
{
    const struct kf_create_partitions_request *request = exchange->request;
    struct kf__topics *topics = &exchange->broker->topics;
    struct kf__topic *topic = kf__broker_topics_find(topics, name);
    kf_err forced = kf__forced(exchange, name, -1);
    if (forced)
        return forced;
    if (!topic)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (count <= topic->partition_count || count > KF__MAX_PARTITIONS)
        return KF_ERR_INVALID_PARTITIONS;
    return request->validate_only ? KF_OK : kf__topics_extend(topics, topic, count);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_create_partitions_request *request = exchange->request;
    struct kf_create_partitions_response *response = exchange->response;
    if (!KF__FILL(exchange, "results", response->results, request->topics.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->topics.count; i++) {
        kf_err err =
            extend(exchange, request->topics.items[i].name, request->topics.items[i].count);
        response->results.items[i].name = request->topics.items[i].name;
        response->results.items[i].error_code = kf__wire_error(err);
        if (err)
            response->results.items[i].error_message = kf__text(kf_err_text(err));
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_create_partitions = {
    .key = KF_API_CREATE_PARTITIONS, .max_version = 3, .handle = handle};
