/*
 * CreateTopics (19), versions 2–7.
 *
 * 4  -1 partitions or replicas: the broker's default (KIP-464). 5 flexible;
 *    what was made is told back (KIP-525). 7 topic ids.
 *
 * Configurations are accepted and not kept: there is nothing yet that they
 * would change.
 */
#include "tools/broker/apis.h"
#include "tools/broker/state.h"

typedef struct kf_create_topics_request_creatable_topic asked_topic;
typedef struct kf_create_topics_response_creatable_topic_result topic_answer;

static bool is_named_twice(const struct kf_create_topics_request *request, int32_t index)
{
    for (int32_t i = 0; i < request->topics.count; i++)
        if (i != index &&
            kf__text_equal(request->topics.items[i].name, request->topics.items[index].name))
            return true;
    return false;
}

static kf_err create(struct kf__exchange *exchange, const asked_topic *asked, int32_t *partitions,
                     int32_t *replicas)
{
    const struct kf_create_topics_request *request = exchange->request;
    struct kf_broker *broker = exchange->broker;
    *partitions = asked->num_partitions;
    *replicas = asked->replication_factor;
    if (asked->assignments.count > 0) { /* who is assigned is read as how many */
        if (*partitions != -1 || *replicas != -1)
            return KF_ERR_INVALID_REQUEST;
        *partitions = asked->assignments.count;
        *replicas = asked->assignments.items[0].broker_ids.count;
    }
    if (*partitions == -1)
        *partitions = broker->options.default_partitions;
    if (*replicas == -1)
        *replicas = 1;
    kf_err err = kf__forced(exchange, asked->name, -1);
    if (!err)
        err = kf__topics_check(&broker->topics, asked->name, *partitions, *replicas);
    if (!err && !request->validate_only)
        err = kf__broker_create(broker, asked->name, *partitions, *replicas);
    return err;
}

static kf_string explain(struct kf__exchange *exchange, kf_err err, kf_string name)
{
    char text[400];
    int length = 0;
    switch (err) {
    case KF_OK:
        return (kf_string){0};
    case KF_ERR_TOPIC_ALREADY_EXISTS:
        length =
            snprintf(text, sizeof text, "Topic '%.*s' already exists.", (int)name.size, name.data);
        break;
    case KF_ERR_INVALID_PARTITIONS:
        length = snprintf(text, sizeof text, "Number of partitions was set to an invalid value.");
        break;
    case KF_ERR_INVALID_REPLICATION_FACTOR:
        length = snprintf(text, sizeof text,
                          "Replication factor must be between 1 and the number of brokers, %d.",
                          (int)exchange->broker->topics.node_count);
        break;
    default:
        return kf__text(kf_err_text(err));
    }
    return kf__answer_text(exchange, (kf_string){.data = text, .size = (size_t)length});
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_create_topics_request *request = exchange->request;
    struct kf_create_topics_response *response = exchange->response;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->topics.count; i++) {
        const asked_topic *asked = &request->topics.items[i];
        topic_answer *answer = &response->topics.items[i];
        int32_t partitions = -1, replicas = -1;
        kf_err err = is_named_twice(request, i) ? KF_ERR_INVALID_REQUEST
                                                : create(exchange, asked, &partitions, &replicas);
        answer->name = asked->name;
        answer->error_code = kf__wire_error(err);
        answer->error_message = explain(exchange, err, asked->name);
        if (err)
            continue;
        answer->num_partitions = partitions;
        answer->replication_factor = (int16_t)replicas;
        const struct kf__topic *topic =
            kf__broker_topics_find(&exchange->broker->topics, asked->name);
        if (topic)
            answer->topic_id = topic->id;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_create_topics = {.key = KF_API_CREATE_TOPICS,
                                              .min_version = 2,
                                              .max_version = 7,
                                              .advertised_min = 2,
                                              .handle = handle};
