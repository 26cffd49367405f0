/*
 * ElectLeaders (43), versions 0–2: elections on an administrator's word.
 *
 * 0  the preferred replica. 1 unclean ones too (KIP-460). 2 flexible.
 * Topics null: every partition, of which those are told that needed one.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/faults/error_answers.h"
#include "tools/broker/state.h"

enum {
    PREFERRED = 0,
    UNCLEAN = 1,
    MAX_WHY_BYTES = 320, /* a sentence with a topic's name in it */
};

typedef struct kf_elect_leaders_response_partition_result result;

static bool is_election_type(int8_t type) { return type == PREFERRED || type == UNCLEAN; }

static kf_err elect(struct kf__exchange *exchange, struct kf__topic *topic, int32_t index)
{
    const struct kf_elect_leaders_request *request = exchange->request;
    struct kf__topics *topics = &exchange->broker->topics;
    struct kf__partition *partition = kf__topic_partition(topic, index);
    kf_err err = topic ? kf__forced(exchange, topic->name, index) : KF_OK;
    if (err)
        return err;
    if (!is_election_type(request->election_type))
        return KF_ERR_INVALID_REQUEST;
    if (!partition)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    err = request->election_type == UNCLEAN ? kf__elect_unclean(topics, partition)
                                            : kf__elect_preferred(topics, partition);
    exchange->broker->changes++;
    return err;
}

/* Kafka's sentences, as far as they say more than the code. */
static kf_string explain(struct kf__exchange *exchange, kf_string topic, int32_t index, kf_err err)
{
    char why[MAX_WHY_BYTES];
    bool known = kf__broker_topics_find(&exchange->broker->topics, topic) != NULL;
    const struct kf_elect_leaders_request *request = exchange->request;
    if (err == KF_ERR_INVALID_REQUEST) {
        snprintf(why, sizeof why, "Unknown election type %d", request->election_type);
        return kf__answer_text(exchange, kf__text(why));
    }
    if (err != KF_ERR_UNKNOWN_TOPIC_OR_PARTITION)
        return err ? kf__text(kf__kafka_words(err)) : (kf_string){0};
    if (known)
        snprintf(why, sizeof why, "No such partition as %.*s-%d", (int)topic.size, topic.data,
                 (int)index);
    else
        snprintf(why, sizeof why, "No such topic as %.*s", (int)topic.size, topic.data);
    return kf__answer_text(exchange, kf__text(why));
}

static void tell(struct kf__exchange *exchange, kf_string topic, result *answer, int32_t index,
                 kf_err err)
{
    answer->partition_id = index;
    answer->error_code = kf__wire_error(err);
    answer->error_message = explain(exchange, topic, index, err);
}

static bool elect_asked(struct kf__exchange *exchange)
{
    const struct kf_elect_leaders_request *request = exchange->request;
    struct kf_elect_leaders_response *response = exchange->response;
    if (!KF__FILL(exchange, "replica_election_results", response->replica_election_results,
                  request->topic_partitions.count))
        return false;
    for (int32_t t = 0; t < request->topic_partitions.count; t++) {
        const struct kf_elect_leaders_request_topic_partitions *asked =
            &request->topic_partitions.items[t];
        struct kf_elect_leaders_response_replica_election_result *answer =
            &response->replica_election_results.items[t];
        struct kf__topic *topic = kf__broker_topics_find(&exchange->broker->topics, asked->topic);
        answer->topic = asked->topic;
        if (!KF__FILL(exchange, "replica_election_results/partition_result",
                      answer->partition_result, asked->partitions.count))
            return false;
        for (int32_t p = 0; p < asked->partitions.count; p++)
            tell(exchange, asked->topic, &answer->partition_result.items[p],
                 asked->partitions.items[p], elect(exchange, topic, asked->partitions.items[p]));
    }
    return true;
}

static bool elect_all(struct kf__exchange *exchange)
{
    struct kf_elect_leaders_response *response = exchange->response;
    const struct kf__topics *topics = &exchange->broker->topics;
    if (!KF__FILL(exchange, "replica_election_results", response->replica_election_results,
                  (int32_t)topics->count))
        return false;
    for (size_t t = 0; t < topics->count; t++) {
        struct kf__topic *topic = topics->items[t];
        struct kf_elect_leaders_response_replica_election_result *answer =
            &response->replica_election_results.items[t];
        answer->topic = kf__answer_text(exchange, topic->name);
        if (!KF__FILL(exchange, "replica_election_results/partition_result",
                      answer->partition_result, topic->partition_count))
            return false;
        int32_t told = 0;
        for (int32_t p = 0; p < topic->partition_count; p++) {
            kf_err err = elect(exchange, topic, p);
            if (err != KF_ERR_ELECTION_NOT_NEEDED)
                tell(exchange, topic->name, &answer->partition_result.items[told++], p, err);
        }
        answer->partition_result.count = told;
    }
    return true;
}

/* Over before a controller looks at it. */
static bool be_late(struct kf__exchange *exchange)
{
    struct kf_elect_leaders_response *response = exchange->response;
    if (!kf__error_answer(exchange, KF_ERR_REQUEST_TIMED_OUT))
        return false;
    for (int32_t t = 0; t < response->replica_election_results.count; t++)
        for (int32_t p = 0; p < response->replica_election_results.items[t].partition_result.count;
             p++)
            response->replica_election_results.items[t].partition_result.items[p].error_message =
                (kf_string){0};
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_elect_leaders_request *request = exchange->request;
    struct kf_elect_leaders_response *response = exchange->response;
    kf_err refused = kf__may_all(exchange);
    if (refused)
        return kf__error_answer(exchange, refused) ? KF__ANSWERED : KF__REFUSED;
    if (request->timeout_ms <= 0 && !exchange->verdict.error)
        return be_late(exchange) ? KF__ANSWERED : KF__REFUSED;
    kf_err err = kf__forced_all(exchange);
    if (!err && !is_election_type(request->election_type))
        err = KF_ERR_INVALID_REQUEST;
    response->error_code = kf__wire_error(err);
    kf__server_own_output(exchange->broker); /* an unclean election truncates */
    bool filled = request->topic_partitions.count < 0 ? elect_all(exchange) : elect_asked(exchange);
    return filled ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_elect_leaders = {
    .key = KF_API_ELECT_LEADERS, .max_version = 2, .handle = handle};
