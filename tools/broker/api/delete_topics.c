/*
 * DeleteTopics (20), versions 1–6: 4 flexible, 5 an error message, 6 by id.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/faults/error_answers.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"

typedef struct kf_delete_topics_response_deletable_topic_result topic_answer;

static bool is_zero(kf_uuid id)
{
    static const kf_uuid zero;
    return memcmp(id.bytes, zero.bytes, sizeof zero.bytes) == 0;
}

/* TOPIC_AUTHORIZATION_FAILED comes before what else is wrong. */
static kf_err refuse(const struct kf__exchange *exchange, kf_string name, kf_err err)
{
    kf_err refused = kf__may_topic(exchange, name);
    return refused ? refused : err;
}

static void delete_one(struct kf__exchange *exchange, kf_string name, kf_uuid id,
                       topic_answer *answer)
{
    struct kf_broker *broker = exchange->broker;
    struct kf__topic *topic = name.data ? kf__broker_topics_find(&broker->topics, name)
                                        : kf__broker_topics_find_id(&broker->topics, id);
    bool by_id = !is_zero(id);
    const char *why = NULL;
    kf_err err = kf__forced(exchange, topic ? topic->name : name, -1);
    if (!err && (name.data != NULL) == by_id) {
        err = KF_ERR_INVALID_REQUEST;
        why = by_id ? "You may not specify both topic name and topic id."
                    : "Neither topic name nor id were specified.";
    }
    if (!err && !topic)
        err = name.data ? KF_ERR_UNKNOWN_TOPIC_OR_PARTITION : KF_ERR_UNKNOWN_TOPIC_ID;
    if (!err || (name.data && err == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION))
        err = refuse(exchange, topic ? topic->name : name, err);
    bool hidden = !name.data && err == KF_ERR_TOPIC_AUTHORIZATION_FAILED &&
                  kf__may(exchange, KF__ACL_DESCRIBE, KF__ACL_TOPIC, topic->name);
    answer->name =
        topic && by_id == !name.data && !hidden ? kf__answer_text(exchange, topic->name) : name;
    if (!answer->name.data && exchange->version < 6)
        answer->name = kf__text("");
    answer->topic_id = topic && err != KF_ERR_INVALID_REQUEST ? topic->id : id;
    answer->error_code = kf__wire_error(err);
    answer->error_message = kf__text(err && !why ? kf__kafka_words(err) : why);
    if (!err)
        kf__broker_delete(broker, topic);
}

/* Names among names, ids among ids; who gives both, or neither, has no twin. */
static const char *mark_twins(struct kf__exchange *exchange, int32_t count)
{
    enum {
        BY_NAME,
        BY_ID,
        WRONG
    };
    const struct kf_delete_topics_request *request = exchange->request;
    struct kf__named *names = kf_arena_alloc(&exchange->arena, ((size_t)count + 1) * sizeof *names);
    for (int32_t i = 0; names && i < count; i++) {
        if (exchange->version < 6) {
            names[i] = (struct kf__named){.text = request->topic_names.items[i]};
            continue;
        }
        const struct kf_delete_topics_request_delete_topic_state *asked = &request->topics.items[i];
        kf_string id = {(const char *)asked->topic_id.bytes, sizeof asked->topic_id.bytes};
        bool by_id = !is_zero(asked->topic_id);
        names[i] =
            (struct kf__named){.kind = by_id ? BY_ID : BY_NAME, .text = by_id ? id : asked->name};
        if (by_id == (asked->name.data != NULL))
            names[i].kind = WRONG + i;
    }
    return names ? kf__mark_twins(&exchange->arena, names, count) : NULL;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_delete_topics_request *request = exchange->request;
    struct kf_delete_topics_response *response = exchange->response;
    static const kf_uuid none;
    bool states = exchange->version >= 6;
    int32_t count = states ? request->topics.count : request->topic_names.count;
    if (!kf__broker_config(exchange->broker, "delete.topic.enable"))
        return kf__error_answer(exchange, exchange->version < 3 ? KF_ERR_INVALID_REQUEST
                                                                : KF_ERR_TOPIC_DELETION_DISABLED)
                   ? KF__ANSWERED
                   : KF__REFUSED;
    if (request->timeout_ms <= 0 && !exchange->verdict.error) /* over before a controller looks */
        return kf__error_answer(exchange, KF_ERR_REQUEST_TIMED_OUT) ? KF__ANSWERED : KF__REFUSED;
    const char *marks = mark_twins(exchange, count);
    if (!marks || !KF__FILL(exchange, "responses", response->responses, count))
        return KF__REFUSED;
    response->responses.count = 0;
    for (int32_t i = 0; i < count; i++) {
        kf_string name = states ? request->topics.items[i].name : request->topic_names.items[i];
        kf_uuid id = states ? request->topics.items[i].topic_id : none;
        if (marks[i] == KF__TWIN_AGAIN)
            continue;
        topic_answer *answer = &response->responses.items[response->responses.count++];
        if (marks[i] == KF__FIRST_OF_TWINS)
            *answer = (topic_answer){.name = name,
                                     .topic_id = id,
                                     .error_code = KF_ERR_INVALID_REQUEST,
                                     .error_message = kf__text(name.data ? "Duplicate topic name."
                                                                         : "Duplicate topic id.")};
        else
            delete_one(exchange, name, id, answer);
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_delete_topics = {.key = KF_API_DELETE_TOPICS,
                                              .min_version = 1,
                                              .max_version = 6,
                                              .advertised_min = 1,
                                              .handle = handle};
