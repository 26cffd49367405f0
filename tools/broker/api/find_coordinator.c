/*
 * FindCoordinator (10), versions 0–6.
 *
 * 1  key types: 0 groups, 1 transactions. 3 flexible.
 * 4  many keys at once (KIP-699). 6 share groups (not here yet).
 *
 * The topic that the key belongs to is made with the first question; Kafka says
 * COORDINATOR_NOT_AVAILABLE until it has made it.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"

enum {
    KEY_GROUP = 0,
    KEY_TRANSACTION = 1,
};

struct found {
    kf_err error;
    int32_t node;
    kf_string host;
    int32_t port;
};

static struct found find(const struct kf__exchange *exchange, int8_t key_type, kf_string key)
{
    struct kf_broker *broker = exchange->broker;
    struct found found = {.node = -1, .host = kf__text(""), .port = -1};
    found.error = kf__forced_all(exchange);
    if (!found.error && key_type != KEY_GROUP && key_type != KEY_TRANSACTION)
        found.error = KF_ERR_INVALID_REQUEST;
    if (!found.error)
        found.error =
            kf__may(exchange, KF__ACL_DESCRIBE,
                    key_type == KEY_GROUP ? KF__ACL_GROUP : KF__ACL_TRANSACTIONAL_ID, key);
    if (found.error)
        return found;
    int32_t node =
        kf__coordinator_of(broker, key_type == KEY_GROUP ? KF__OFFSETS : KF__TRANSACTIONS, key);
    if (node < 0) {
        found.error = KF_ERR_COORDINATOR_NOT_AVAILABLE;
        return found;
    }
    found.node = node;
    found.host = kf__node_host(exchange);
    found.port = kf__node_port(exchange, node);
    return found;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_find_coordinator_request *request = exchange->request;
    struct kf_find_coordinator_response *response = exchange->response;
    if (exchange->version < 4) {
        struct found found = find(exchange, request->key_type, request->key);
        response->error_code = kf__wire_error(found.error);
        response->error_message = kf__text(kf__kafka_words(found.error));
        response->node_id = found.node;
        response->host = found.host;
        response->port = found.port;
        return KF__ANSWERED;
    }
    if (!KF__FILL(exchange, "coordinators", response->coordinators,
                  request->coordinator_keys.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->coordinator_keys.count; i++) {
        struct kf_find_coordinator_response_coordinator *answer = &response->coordinators.items[i];
        kf_string key = request->coordinator_keys.items[i];
        struct found found = find(exchange, request->key_type, key);
        answer->key = key;
        answer->error_code = kf__wire_error(found.error);
        if (found.error == KF_ERR_INVALID_REQUEST)
            answer->error_message = kf__text(kf__kafka_words(found.error));
        answer->node_id = found.node;
        answer->host = found.host;
        answer->port = found.port;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_find_coordinator = {
    .key = KF_API_FIND_COORDINATOR, .max_version = 6, .handle = handle};
