/*
 * DescribeConfigs (32), versions 1–4: 3 type and documentation, 4 flexible.
 *
 * The few topic configurations that tools look at, at Kafka's defaults. A
 * broker has none to tell yet.
 */
#include "tools/broker/apis.h"
#include "tools/broker/state.h"

enum {
    RESOURCE_TOPIC = 2,
    RESOURCE_BROKER = 4,
    SOURCE_DEFAULT = 5,
};

struct setting {
    const char *name;
    const char *value;
    int8_t type; /* 1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list */
};

static const struct setting topic_settings[] = {
    {"cleanup.policy", "delete", 7},
    {"compression.type", "producer", 2},
    {"delete.retention.ms", "86400000", 5},
    {"max.message.bytes", "1048588", 3},
    {"message.timestamp.type", "CreateTime", 2},
    {"min.insync.replicas", "1", 3},
    {"retention.bytes", "-1", 5},
    {"retention.ms", "604800000", 5},
    {"segment.bytes", "1073741824", 3},
};

enum {
    TOPIC_SETTINGS = sizeof topic_settings / sizeof *topic_settings
};

typedef struct kf_describe_configs_request_describe_configs_resource asked_resource;
typedef struct kf_describe_configs_response_describe_configs_result resource_answer;

static bool is_asked(const asked_resource *asked, const char *name)
{
    if (asked->configuration_keys.count < 0)
        return true;
    for (int32_t i = 0; i < asked->configuration_keys.count; i++)
        if (kf__text_equal(asked->configuration_keys.items[i], kf__text(name)))
            return true;
    return false;
}

static bool tell_topic(struct kf__exchange *exchange, const asked_resource *asked,
                       resource_answer *answer)
{
    int32_t told = 0;
    if (!KF__FILL(exchange, "results/configs", answer->configs, TOPIC_SETTINGS))
        return false;
    for (int32_t i = 0; i < TOPIC_SETTINGS; i++) {
        if (!is_asked(asked, topic_settings[i].name))
            continue;
        struct kf_describe_configs_response_describe_configs_resource_result *config =
            &answer->configs.items[told++];
        config->name = kf__text(topic_settings[i].name);
        config->value = kf__text(topic_settings[i].value);
        config->config_source = SOURCE_DEFAULT;
        config->config_type = topic_settings[i].type;
    }
    answer->configs.count = told;
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_configs_request *request = exchange->request;
    struct kf_describe_configs_response *response = exchange->response;
    if (!KF__FILL(exchange, "results", response->results, request->resources.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->resources.count; i++) {
        const asked_resource *asked = &request->resources.items[i];
        resource_answer *answer = &response->results.items[i];
        kf_err err = kf__forced_all(exchange);
        bool topic = asked->resource_type == RESOURCE_TOPIC;
        answer->resource_type = asked->resource_type;
        answer->resource_name = asked->resource_name;
        if (!err && topic &&
            !kf__broker_topics_find(&exchange->broker->topics, asked->resource_name))
            err = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
        if (!err && !topic && asked->resource_type != RESOURCE_BROKER)
            err = KF_ERR_INVALID_REQUEST;
        answer->error_code = kf__wire_error(err);
        if (err)
            answer->error_message = kf__text(kf_err_text(err));
        else if (topic && !tell_topic(exchange, asked, answer))
            return KF__REFUSED;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_describe_configs = {.key = KF_API_DESCRIBE_CONFIGS,
                                                 .min_version = 1,
                                                 .max_version = 4,
                                                 .advertised_min = 1,
                                                 .handle = handle};
