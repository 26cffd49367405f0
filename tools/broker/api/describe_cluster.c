/*
 * DescribeCluster (60), versions 0–2: 1 endpoint type (brokers only here),
 * 2 fenced brokers (there are none).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/nearest_replica.h"
#include "tools/broker/state.h"

enum {
    ENDPOINT_BROKERS = 1,
    ENDPOINT_CONTROLLERS = 2,
};

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_cluster_request *request = exchange->request;
    struct kf_describe_cluster_response *response = exchange->response;
    const struct kf__topics *topics = &exchange->broker->topics;
    kf_err err = kf__forced_all(exchange);
    response->cluster_id = kf__text(exchange->broker->cluster_id);
    response->controller_id = kf__topics_controller(topics);
    const char *why = err ? kf__kafka_words(err) : NULL;
    char text[60];
    if (!err && exchange->version >= 1 && request->endpoint_type == ENDPOINT_CONTROLLERS) {
        err = KF_ERR_MISMATCHED_ENDPOINT_TYPE;
        why = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of "
              "type CONTROLLER";
    } else if (!err && exchange->version >= 1 && request->endpoint_type != ENDPOINT_BROKERS) {
        err = KF_ERR_UNSUPPORTED_ENDPOINT_TYPE;
        snprintf(text, sizeof text, "Unsupported endpoint type %d", request->endpoint_type);
        why = text;
    }
    if (err) {
        response->error_code = kf__wire_error(err);
        response->error_message = kf__answer_text(exchange, kf__text(why));
        response->cluster_id = kf__text("");
        response->controller_id = -1;
        return KF__ANSWERED;
    }
    if (!KF__FILL(exchange, "brokers", response->brokers, topics->node_count))
        return KF__REFUSED;
    int32_t running = 0;
    for (int32_t node = 1; node <= topics->node_count; node++) {
        if (!topics->runs[node])
            continue;
        struct kf_describe_cluster_response_describe_cluster_broker *broker =
            &response->brokers.items[running++];
        broker->broker_id = node;
        broker->host = kf__node_host(exchange);
        broker->port = kf__node_port(exchange, node);
        broker->rack = kf__rack_of(exchange->broker, node);
    }
    response->brokers.count = running;
    if (request->include_cluster_authorized_operations)
        response->cluster_authorized_operations =
            kf__allowed_operations(exchange, KF__ACL_CLUSTER, kf__cluster_name());
    return KF__ANSWERED;
}

const struct kf__api kf__api_describe_cluster = {
    .key = KF_API_DESCRIBE_CLUSTER, .max_version = 2, .handle = handle};
