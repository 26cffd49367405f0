/*
 * DescribeConfigs (32), versions 1–4: 3 type and documentation, 4 flexible.
 *
 * Topics, brokers (this node, or "" for what is set for all), groups, client
 * metrics subscriptions, and a broker's one logger. A synonym is a layer that
 * the value could come from; the first one is where it comes from.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/nearest_replica.h"
#include "tools/broker/state.h"

enum {
    SOURCE_LOGGER = 6
};

typedef struct kf_describe_configs_request_describe_configs_resource asked_resource;
typedef struct kf_describe_configs_response_describe_configs_result resource_answer;
typedef struct kf_describe_configs_response_describe_configs_resource_result config_answer;

static bool is_asked(const asked_resource *asked, const char *name)
{
    if (asked->configuration_keys.count <= 0)
        return true;
    for (int32_t i = 0; i < asked->configuration_keys.count; i++)
        if (kf__text_equal(asked->configuration_keys.items[i], kf__text(name)))
            return true;
    return false;
}

/* What the setting does: a broker's is told by the topic's or group's that falls back to it. */
static const char *text_of(const struct kf__setting *setting)
{
    static const int8_t kinds[] = {KF__RESOURCE_TOPIC, KF__RESOURCE_GROUP};
    if (setting->text)
        return setting->text;
    for (size_t k = 0; k < sizeof kinds; k++) {
        size_t count;
        const struct kf__setting *rows = kf__settings_of(kinds[k], &count);
        for (size_t i = 0; i < count; i++)
            if (rows[i].above && strcmp(rows[i].above, setting->name) == 0)
                return rows[i].text;
    }
    return "";
}

static bool tell_synonyms(struct kf__exchange *exchange, const struct kf__config_layer *layers,
                          size_t count, config_answer *answer)
{
    if (!KF__FILL(exchange, "results/configs/synonyms", answer->synonyms, (int32_t)count))
        return false;
    for (size_t i = 0; i < count; i++) {
        answer->synonyms.items[i].name = kf__answer_text(exchange, layers[i].name);
        answer->synonyms.items[i].value = kf__answer_text(exchange, layers[i].value);
        answer->synonyms.items[i].source = (int8_t)layers[i].source;
    }
    return true;
}

/* "PLAINTEXT://127.0.0.1:9092,…" of this node. */
static kf_string listeners_of(struct kf__exchange *exchange)
{
    const struct kf__server *server = &exchange->broker->server;
    char text[KF__MAX_LISTENERS * 140] = "";
    size_t used = 0;
    for (int32_t i = 0; i < server->listeners.count; i++) {
        const struct kf__listener *one = &server->listeners.items[i];
        bool v6 = strchr(one->host, ':') != NULL;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s://%s%s%s:%u", i ? "," : "",
                                 one->name, v6 ? "[" : "", one->host, v6 ? "]" : "",
                                 (unsigned)server->nodes[exchange->node].ports[i].number);
    }
    return kf__answer_text(exchange, kf__text(text));
}

/* What every broker's server.properties would say of itself; null: it doesn't. */
static kf_string own_value(struct kf__exchange *exchange, const char *name)
{
    char id[12];
    snprintf(id, sizeof id, "%d", (int)exchange->node);
    if (strcmp(name, "broker.id") == 0 || strcmp(name, "node.id") == 0)
        return kf__answer_text(exchange, kf__text(id));
    if (strcmp(name, "broker.rack") == 0)
        return kf__rack_of(exchange->broker, exchange->node);
    if (strcmp(name, "listeners") == 0)
        return listeners_of(exchange);
    return kf__text(strcmp(name, "log.dirs") == 0 ? KF__LOG_DIR : NULL);
}

/* Above the default, below what was set. */
static size_t add_own(struct kf__exchange *exchange, const struct kf__setting *setting,
                      struct kf__config_layer *layers, size_t count)
{
    bool is_set = count > 0 && layers[0].source != KF__SOURCE_DEFAULT;
    kf_string value = is_set ? (kf_string){0} : own_value(exchange, setting->name);
    if (!value.data)
        return count;
    layers[1] = layers[0];
    layers[0] = (struct kf__config_layer){kf__text(setting->name), value, KF__SOURCE_STATIC};
    return count + 1;
}

static bool tell(struct kf__exchange *exchange, const asked_resource *asked,
                 const struct kf__setting *setting, int32_t node, config_answer *answer)
{
    const struct kf_describe_configs_request *request = exchange->request;
    struct kf__config_layer layers[KF__MAX_CONFIG_LAYERS];
    size_t count = kf__configs_layers(&exchange->broker->configs, asked->resource_type,
                                      asked->resource_name, node, setting, layers);
    if (asked->resource_type == KF__RESOURCE_BROKER && node > 0)
        count = add_own(exchange, setting, layers, count);
    bool topics = asked->resource_type == KF__RESOURCE_TOPIC;
    kf_string value = count > 0 ? layers[0].value
                      : topics  ? kf__configs_fallback(&exchange->broker->configs, setting)
                                : kf__text(setting->value);
    answer->name = kf__text(setting->name);
    answer->value = setting->secret ? (kf_string){0} : kf__answer_text(exchange, value);
    answer->read_only = setting->read_only;
    answer->is_sensitive = setting->secret;
    answer->config_source = count > 0 ? (int8_t)layers[0].source : KF__SOURCE_DEFAULT;
    answer->config_type = (int8_t)setting->type;
    answer->documentation = kf__text(request->include_documentation ? text_of(setting) : NULL);
    /* A secret's former values are nobody's business; a subscription has no broker above it. */
    return !request->include_synonyms || setting->secret ||
           tell_synonyms(exchange, layers, count, answer);
}

static bool tell_all(struct kf__exchange *exchange, const asked_resource *asked,
                     resource_answer *answer)
{
    size_t count;
    int32_t told = 0;
    const struct kf__setting *rows = kf__settings_of(asked->resource_type, &count);
    bool common = asked->resource_type == KF__RESOURCE_BROKER && asked->resource_name.size == 0;
    if (!KF__FILL(exchange, "results/configs", answer->configs, (int32_t)count))
        return false;
    for (size_t i = 0; i < count; i++) {
        bool set = !common || kf__configs_own(&exchange->broker->configs, KF__RESOURCE_BROKER,
                                              asked->resource_name, kf__text(rows[i].name))
                                  .data;
        if (!set || !is_asked(asked, rows[i].name))
            continue;
        config_answer *config = &answer->configs.items[told++];
        if (!tell(exchange, asked, &rows[i], common ? 0 : exchange->node, config))
            return false;
        if (common && config->synonyms.count > 1) /* only what is set for all */
            config->synonyms.count = 1;
    }
    answer->configs.count = told;
    return true;
}

static bool tell_logger(struct kf__exchange *exchange, const asked_resource *asked,
                        resource_answer *answer)
{
    char id[12];
    snprintf(id, sizeof id, "%d", (int)exchange->node);
    kf_string level = kf__configs_own(&exchange->broker->configs, KF__RESOURCE_LOGGER, kf__text(id),
                                      kf__text("root"));
    if (!KF__FILL(exchange, "results/configs", answer->configs, 1))
        return false;
    config_answer *config = &answer->configs.items[0];
    config->name = kf__text("root");
    config->value = level.data ? kf__answer_text(exchange, level) : kf__text("INFO");
    config->config_source = SOURCE_LOGGER;
    config->documentation = kf__text("");
    answer->configs.count = is_asked(asked, "root") ? 1 : 0;
    return true;
}

/* ---- which resource ---- */

static kf_err check_broker(const struct kf__exchange *exchange, const asked_resource *asked,
                           char *why)
{
    kf_string name = asked->resource_name;
    bool logger = asked->resource_type == KF__RESOURCE_LOGGER;
    int shown = (int)(name.size < 100 ? name.size : 100);
    int32_t id;
    if (name.size == 0) {
        if (logger)
            snprintf(why, KF__MAX_WHY_BYTES, "Broker id must not be empty");
        return logger ? KF_ERR_INVALID_REQUEST : KF_OK;
    }
    if (!kf__java_int(name, &id))
        snprintf(why, KF__MAX_WHY_BYTES, "Broker id must be an integer, but it is: %.*s", shown,
                 name.data);
    else if (id != exchange->node)
        snprintf(why, KF__MAX_WHY_BYTES, "Unexpected broker id, expected %d%s, but received %.*s",
                 (int)exchange->node, logger ? "" : " or empty string", shown, name.data);
    else
        return KF_OK;
    return KF_ERR_INVALID_REQUEST;
}

static kf_err check(struct kf__exchange *exchange, const asked_resource *asked, char *why)
{
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_configure(exchange, KF__ACL_DESCRIBE_CONFIGS, asked->resource_type,
                                asked->resource_name);
    if (err)
        return err;
    switch (asked->resource_type) {
    case KF__RESOURCE_TOPIC:
        if (!kf__topic_name_is_valid(asked->resource_name)) {
            kf__explain_topic_name(asked->resource_name, why, KF__MAX_WHY_BYTES);
            return KF_ERR_INVALID_TOPIC_EXCEPTION;
        }
        return kf__broker_topics_find(&exchange->broker->topics, asked->resource_name)
                   ? KF_OK
                   : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    case KF__RESOURCE_BROKER:
    case KF__RESOURCE_LOGGER:
        return check_broker(exchange, asked, why);
    case KF__RESOURCE_GROUP:
    case KF__RESOURCE_METRICS:
        if (asked->resource_name.size > 0)
            return KF_OK;
        snprintf(why, KF__MAX_WHY_BYTES, "%s name must not be empty",
                 asked->resource_type == KF__RESOURCE_GROUP ? "Group"
                                                            : "Client metrics subscription");
        return KF_ERR_INVALID_REQUEST;
    default:
        return KF_ERR_INVALID_REQUEST;
    }
}

/* One resource of a kind that nobody knows spoils the whole request. */
static kf_err check_kinds(const struct kf_describe_configs_request *request)
{
    for (int32_t i = 0; i < request->resources.count; i++)
        switch (request->resources.items[i].resource_type) {
        case KF__RESOURCE_TOPIC:
        case KF__RESOURCE_BROKER:
        case KF__RESOURCE_LOGGER:
        case KF__RESOURCE_GROUP:
        case KF__RESOURCE_METRICS:
            break;
        default:
            return KF_ERR_INVALID_REQUEST;
        }
    return KF_OK;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_configs_request *request = exchange->request;
    struct kf_describe_configs_response *response = exchange->response;
    kf_err refused = check_kinds(request);
    if (!KF__FILL(exchange, "results", response->results, request->resources.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->resources.count; i++) {
        const asked_resource *asked = &request->resources.items[i];
        resource_answer *answer = &response->results.items[i];
        char why[KF__MAX_WHY_BYTES] = "";
        kf_err err = refused ? refused : check(exchange, asked, why);
        if (refused)
            snprintf(why, sizeof why, "%s", kf__kafka_words(refused));
        answer->resource_type = asked->resource_type;
        answer->resource_name = asked->resource_name;
        answer->error_code = kf__wire_error(err);
        answer->error_message = kf__answer_text(exchange, kf__text(why));
        bool told = err || (asked->resource_type == KF__RESOURCE_LOGGER
                                ? tell_logger(exchange, asked, answer)
                                : tell_all(exchange, asked, answer));
        if (!told)
            return KF__REFUSED;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_describe_configs = {.key = KF_API_DESCRIBE_CONFIGS,
                                                 .min_version = 1,
                                                 .max_version = 4,
                                                 .advertised_min = 1,
                                                 .handle = handle};
