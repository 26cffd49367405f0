/*
 * DeleteTopics (20), versions 1–6: 4 flexible, 5 an error message, 6 by id.
 */
#include "tools/broker/apis.h"
#include "tools/broker/state.h"

typedef struct kf_delete_topics_response_deletable_topic_result topic_answer;

static void delete_one(struct kf__exchange *exchange, kf_string name, kf_uuid id,
                       topic_answer *answer)
{
    struct kf_broker *broker = exchange->broker;
    struct kf__topic *topic = name.data ? kf__broker_topics_find(&broker->topics, name)
                                        : kf__broker_topics_find_id(&broker->topics, id);
    kf_err err = kf__forced(exchange, name, -1);
    if (!err && !topic)
        err = name.data ? KF_ERR_UNKNOWN_TOPIC_OR_PARTITION : KF_ERR_UNKNOWN_TOPIC_ID;
    answer->name = topic ? kf__answer_text(exchange, topic->name) : name;
    if (!answer->name.data && exchange->version < 6)
        answer->name = kf__text("");
    answer->topic_id = topic ? topic->id : id;
    answer->error_code = kf__wire_error(err);
    answer->error_message = kf__text(err ? kf_err_text(err) : NULL);
    if (!err)
        kf__broker_delete(broker, topic);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_delete_topics_request *request = exchange->request;
    struct kf_delete_topics_response *response = exchange->response;
    static const kf_uuid none;
    bool states = exchange->version >= 6;
    int32_t count = states ? request->topics.count : request->topic_names.count;
    if (!KF__FILL(exchange, "responses", response->responses, count))
        return KF__REFUSED;
    for (int32_t i = 0; i < count; i++) {
        kf_string name = states ? request->topics.items[i].name : request->topic_names.items[i];
        kf_uuid id = states ? request->topics.items[i].topic_id : none;
        delete_one(exchange, name, id, &response->responses.items[i]);
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_delete_topics = {.key = KF_API_DELETE_TOPICS,
                                              .min_version = 1,
                                              .max_version = 6,
                                              .advertised_min = 1,
                                              .handle = handle};
