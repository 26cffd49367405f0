/*
 * CreatePartitions (37), versions 0–3: 2 flexible.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/faults/error_answers.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"

enum {
    MOST_AT_ONCE = 10000, /* Kafka's bound, across the request */
    WHY_BYTES = 300,
};

typedef struct kf_create_partitions_request_create_partitions_topic asked_topic;

static kf_err check_assignments(const struct kf_broker *broker, const asked_topic *asked,
                                int32_t added, char *why)
{
    if (asked->assignments.count < 0)
        return KF_OK;
    if (asked->assignments.count != added) {
        snprintf(why, WHY_BYTES,
                 "Attempted to add %d additional partition(s), but only %d assignment(s) were "
                 "specified.",
                 (int)added, (int)asked->assignments.count);
        return KF_ERR_INVALID_REPLICA_ASSIGNMENT;
    }
    kf_err err = KF_OK;
    for (int32_t i = 0; !err && i < added; i++)
        err =
            kf__topics_check_replicas(&broker->topics, asked->assignments.items[i].broker_ids.items,
                                      asked->assignments.items[i].broker_ids.count, why, WHY_BYTES);
    return err;
}

static kf_err check_count(const struct kf__topic *topic, int32_t count, char *why)
{
    int32_t now = topic->partition_count;
    if (count == now)
        snprintf(why, WHY_BYTES, "Topic already has %d partition(s).", (int)now);
    else if (count < now)
        snprintf(why, WHY_BYTES,
                 "The topic %.*s currently has %d partition(s); %d would not be an increase.",
                 (int)topic->name.size, topic->name.data, (int)now, (int)count);
    else if (count - now > MOST_AT_ONCE)
        snprintf(why, WHY_BYTES, "Excessively large number of additional partitions per request.");
    else
        return KF_OK;
    return count > now ? KF_ERR_POLICY_VIOLATION : KF_ERR_INVALID_PARTITIONS;
}

static kf_err extend(struct kf__exchange *exchange, const asked_topic *asked, char *why)
{
    const struct kf_create_partitions_request *request = exchange->request;
    struct kf__topics *topics = &exchange->broker->topics;
    struct kf__topic *topic = kf__broker_topics_find(topics, asked->name);
    kf_err err = kf__forced(exchange, asked->name, -1);
    if (!err)
        err = kf__may_topic(exchange, asked->name);
    if (!err && !topic)
        err = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (!err)
        err = check_count(topic, asked->count, why);
    int32_t before = err ? 0 : topic->partition_count;
    if (!err)
        err = check_assignments(exchange->broker, asked, asked->count - before, why);
    if (err || request->validate_only)
        return err;
    err = kf__topics_extend(topics, topic, asked->count);
    for (int32_t i = 0; !err && i < asked->assignments.count; i++)
        err = kf__topics_assign(topics, &topic->partitions[before + i],
                                asked->assignments.items[i].broker_ids.items,
                                asked->assignments.items[i].broker_ids.count);
    if (err && before > 0)
        kf__topics_shrink(topics, topic, before);
    exchange->broker->changes++;
    return err;
}

static const char *mark_twins(struct kf__exchange *exchange)
{
    const struct kf_create_partitions_request *request = exchange->request;
    int32_t count = request->topics.count;
    struct kf__named *names = kf_arena_alloc(&exchange->arena, ((size_t)count + 1) * sizeof *names);
    for (int32_t i = 0; names && i < count; i++)
        names[i] = (struct kf__named){.text = request->topics.items[i].name};
    return names ? kf__mark_twins(&exchange->arena, names, count) : NULL;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_create_partitions_request *request = exchange->request;
    struct kf_create_partitions_response *response = exchange->response;
    if (request->timeout_ms <= 0 && !exchange->verdict.error) /* over before a controller looks */
        return kf__error_answer(exchange, KF_ERR_REQUEST_TIMED_OUT) ? KF__ANSWERED : KF__REFUSED;
    const char *marks = mark_twins(exchange);
    if (!marks || !KF__FILL(exchange, "results", response->results, request->topics.count))
        return KF__REFUSED;
    response->results.count = 0;
    for (int32_t i = 0; i < request->topics.count; i++) {
        char why[WHY_BYTES] = "";
        kf_err err = KF_ERR_INVALID_REQUEST;
        if (marks[i] == KF__TWIN_AGAIN)
            continue;
        struct kf_create_partitions_response_create_partitions_topic_result *answer =
            &response->results.items[response->results.count++];
        if (marks[i] != KF__ONCE)
            snprintf(why, sizeof why, "Duplicate topic name.");
        else
            err = extend(exchange, &request->topics.items[i], why);
        answer->name = request->topics.items[i].name;
        answer->error_code = kf__wire_error(err);
        if (why[0])
            answer->error_message = kf__answer_text(exchange, kf__text(why));
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_create_partitions = {
    .key = KF_API_CREATE_PARTITIONS, .max_version = 3, .handle = handle};
