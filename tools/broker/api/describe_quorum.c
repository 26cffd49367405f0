/*
 * DescribeQuorum (55), versions 0–2: who votes on the metadata (KIP-595).
 *
 * 1  fetch times. 2 directories, and where the voters listen (KIP-853).
 *
 * Every node votes, all are caught up, and the controller leads. A voter's
 * endpoint is the broker's own.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

enum {
    FIRST_VERSION_WITH_NODES = 2
};

typedef struct kf_describe_quorum_response_partition_data partition_answer;

static bool tell_voters(struct kf__exchange *exchange, partition_answer *answer)
{
    const struct kf_broker *broker = exchange->broker;
    int64_t end = (int64_t)broker->changes + 1;
    if (!KF__FILL(exchange, "topics/partitions/current_voters", answer->current_voters,
                  broker->topics.node_count))
        return false;
    answer->leader_id = kf__topics_controller(&broker->topics);
    answer->leader_epoch = 1;
    answer->high_watermark = end;
    for (int32_t i = 0; i < broker->topics.node_count; i++) {
        struct kf_describe_quorum_response_replica_state *voter = &answer->current_voters.items[i];
        bool runs = broker->topics.runs[i + 1];
        voter->replica_id = i + 1;
        voter->log_end_offset = runs ? end : 0;
        voter->last_fetch_timestamp = runs ? kf__broker_wall_ms(broker) : -1;
        voter->last_caught_up_timestamp = voter->last_fetch_timestamp;
    }
    return true;
}

static bool tell_nodes(struct kf__exchange *exchange)
{
    struct kf_describe_quorum_response *response = exchange->response;
    int32_t count = exchange->broker->topics.node_count;
    if (!KF__FILL(exchange, "nodes", response->nodes, count))
        return false;
    for (int32_t i = 0; i < count; i++) {
        response->nodes.items[i].node_id = i + 1;
        if (!KF__FILL(exchange, "nodes/listeners", response->nodes.items[i].listeners, 1))
            return false;
        response->nodes.items[i].listeners.items[0].name = kf__text("CONTROLLER");
        response->nodes.items[i].listeners.items[0].host = kf__node_host(exchange);
        response->nodes.items[i].listeners.items[0].port = (uint16_t)kf__node_port(exchange, i + 1);
    }
    return true;
}

/* Nobody else is asked about. */
static bool is_metadata_alone(const struct kf_describe_quorum_request *request)
{
    return request->topics.count == 1 && request->topics.items[0].partitions.count == 1 &&
           request->topics.items[0].partitions.items[0].partition_index == 0 &&
           kf__text_equal(request->topics.items[0].topic_name, kf__text("__cluster_metadata"));
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_quorum_request *request = exchange->request;
    struct kf_describe_quorum_response *response = exchange->response;
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    response->error_code = kf__wire_error(err);
    response->error_message = kf__text(err ? kf__kafka_words(err) : "");
    if (err)
        return KF__ANSWERED;
    bool told = false;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count; t++) {
        kf_string name = request->topics.items[t].topic_name;
        int32_t count = request->topics.items[t].partitions.count;
        response->topics.items[t].topic_name = name;
        if (!KF__FILL(exchange, "topics/partitions", response->topics.items[t].partitions, count))
            return KF__REFUSED;
        for (int32_t p = 0; p < count; p++) {
            partition_answer *answer = &response->topics.items[t].partitions.items[p];
            int32_t index = request->topics.items[t].partitions.items[p].partition_index;
            answer->partition_index = index;
            answer->error_message = kf__text("");
            if (is_metadata_alone(request)) {
                told = true;
                if (!tell_voters(exchange, answer))
                    return KF__REFUSED;
                continue;
            }
            answer->error_code = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
            answer->error_message = kf__text(kf__kafka_words(KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
        }
    }
    bool nodes = told && exchange->version >= FIRST_VERSION_WITH_NODES;
    return !nodes || tell_nodes(exchange) ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_describe_quorum = {
    .key = KF_API_DESCRIBE_QUORUM, .max_version = 2, .handle = handle};
