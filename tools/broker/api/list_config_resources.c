/*
 * ListConfigResources (74), versions 0–1: the resources that have configs of
 * their own, or could (topics, brokers). 0 client metrics subscriptions only
 * (KIP-714), 1 by types (KIP-1142).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

static const int8_t kinds[] = {KF__RESOURCE_GROUP, KF__RESOURCE_METRICS, KF__RESOURCE_LOGGER,
                               KF__RESOURCE_BROKER, KF__RESOURCE_TOPIC};

static bool is_kind(int8_t type)
{
    for (size_t i = 0; i < sizeof kinds; i++)
        if (kinds[i] == type)
            return true;
    return false;
}

static bool is_wanted(const struct kf__exchange *exchange, int8_t type)
{
    const struct kf_list_config_resources_request *request = exchange->request;
    if (exchange->version == 0)
        return type == KF__RESOURCE_METRICS;
    for (int32_t i = 0; i < request->resource_types.count; i++)
        if (request->resource_types.items[i] == type)
            return true;
    return request->resource_types.count <= 0;
}

static void add(struct kf__exchange *exchange, int8_t type, kf_string name)
{
    struct kf_list_config_resources_response *response = exchange->response;
    int32_t at = response->config_resources.count++;
    response->config_resources.items[at].resource_name = kf__answer_text(exchange, name);
    response->config_resources.items[at].resource_type = type;
}

static void list(struct kf__exchange *exchange, int8_t type)
{
    const struct kf_broker *broker = exchange->broker;
    char id[12];
    for (size_t i = 0; type == KF__RESOURCE_TOPIC && i < broker->topics.count; i++)
        add(exchange, type, broker->topics.items[i]->name);
    bool of_node = type == KF__RESOURCE_BROKER || type == KF__RESOURCE_LOGGER;
    for (int32_t node = 1; of_node && node <= broker->topics.node_count; node++) {
        snprintf(id, sizeof id, "%d", (int)node);
        add(exchange, type, kf__text(id));
    }
    for (size_t i = 0; i < broker->configs.count; i++) {
        bool other = type == KF__RESOURCE_GROUP || type == KF__RESOURCE_METRICS;
        if (other && broker->configs.items[i].type == type)
            add(exchange, type, broker->configs.items[i].name);
    }
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_list_config_resources_request *request = exchange->request;
    struct kf_list_config_resources_response *response = exchange->response;
    const struct kf_broker *broker = exchange->broker;
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    for (int32_t i = 0; !err && i < request->resource_types.count; i++)
        if (!is_kind(request->resource_types.items[i]))
            err = KF_ERR_UNSUPPORTED_VERSION;
    response->error_code = kf__wire_error(err);
    size_t most =
        broker->topics.count + broker->configs.count + 2 * (size_t)broker->topics.node_count;
    if (!KF__FILL(exchange, "config_resources", response->config_resources, (int32_t)most))
        return KF__REFUSED;
    response->config_resources.count = 0;
    for (size_t i = 0; !err && i < sizeof kinds; i++)
        if (is_wanted(exchange, kinds[i]))
            list(exchange, kinds[i]);
    return KF__ANSWERED;
}

const struct kf__api kf__api_list_config_resources = {
    .key = KF_API_LIST_CONFIG_RESOURCES, .max_version = 1, .handle = handle};
