/*
 * AlterPartitionReassignments (45), versions 0–1: other replicas for a
 * partition, or null: the reassignment under way is called off (KIP-455).
 *
 * 1  may forbid another number of replicas (KIP-860).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/faults/error_answers.h"
#include "tools/broker/state.h"

enum {
    MAX_WHY_BYTES = 320 /* a sentence with a topic's name in it */
};

typedef struct kf_alter_partition_reassignments_request_reassignable_partition asked_partition;
typedef struct kf_alter_partition_reassignments_response_reassignable_partition_response result;

/* Kafka's sentences go into `why`, which is empty before. */
static kf_err change(struct kf__exchange *exchange, struct kf__partition *partition,
                     const asked_partition *asked, char *why)
{
    const struct kf_alter_partition_reassignments_request *request = exchange->request;
    struct kf__topics *topics = &exchange->broker->topics;
    kf_err err = kf__topics_check_replicas(topics, asked->replicas.items, asked->replicas.count,
                                           why, MAX_WHY_BYTES);
    if (err)
        return err;
    int32_t now = partition->replica_count;
    if (partition->sync.target)
        now -= partition->sync.adding_count;
    if (!request->allow_replication_factor_change && asked->replicas.count != now) {
        snprintf(why, MAX_WHY_BYTES, "The replication factor is changed from %d to %d", (int)now,
                 (int)asked->replicas.count);
        return KF_ERR_INVALID_REPLICATION_FACTOR;
    }
    return kf__reassign(topics, partition, asked->replicas.items, asked->replicas.count);
}

static kf_err alter(struct kf__exchange *exchange, kf_string name, const asked_partition *asked,
                    char *why)
{
    struct kf__topics *topics = &exchange->broker->topics;
    struct kf__topic *topic = kf__broker_topics_find(topics, name);
    struct kf__partition *partition = kf__topic_partition(topic, asked->partition_index);
    kf_err err = kf__forced(exchange, name, asked->partition_index);
    if (err)
        return err;
    if (!topic)
        snprintf(why, MAX_WHY_BYTES, "Unable to find a topic named %.*s.", (int)name.size,
                 name.data);
    else if (!partition)
        snprintf(why, MAX_WHY_BYTES, "Unable to find partition %.*s:%d.", (int)name.size, name.data,
                 (int)asked->partition_index);
    if (!partition)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    return asked->replicas.count < 0 ? kf__cancel_reassignment(topics, partition)
                                     : change(exchange, partition, asked, why);
}

/* Over before a controller looks at it. */
static bool be_late(struct kf__exchange *exchange)
{
    struct kf_alter_partition_reassignments_response *response = exchange->response;
    if (!kf__error_answer(exchange, KF_ERR_REQUEST_TIMED_OUT))
        return false;
    response->error_message = (kf_string){0};
    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t p = 0; p < response->responses.items[t].partitions.count; p++)
            response->responses.items[t].partitions.items[p].error_message = (kf_string){0};
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_alter_partition_reassignments_request *request = exchange->request;
    struct kf_alter_partition_reassignments_response *response = exchange->response;
    kf_err refused = kf__may_all(exchange);
    if (refused)
        return kf__error_answer(exchange, refused) ? KF__ANSWERED : KF__REFUSED;
    if (request->timeout_ms <= 0 && !exchange->verdict.error)
        return be_late(exchange) ? KF__ANSWERED : KF__REFUSED;
    response->error_code = kf__wire_error(kf__forced_all(exchange));
    response->error_message = kf__text(request->topics.count > 0 ? NULL : "");
    response->allow_replication_factor_change = request->allow_replication_factor_change;
    if (!KF__FILL(exchange, "responses", response->responses, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count && response->error_code == 0; t++) {
        const struct kf_alter_partition_reassignments_request_reassignable_topic *asked =
            &request->topics.items[t];
        struct kf_alter_partition_reassignments_response_reassignable_topic_response *answer =
            &response->responses.items[t];
        answer->name = asked->name;
        if (!KF__FILL(exchange, "responses/partitions", answer->partitions,
                      asked->partitions.count))
            return KF__REFUSED;
        for (int32_t p = 0; p < asked->partitions.count; p++) {
            char why[MAX_WHY_BYTES] = "";
            kf_err err = alter(exchange, asked->name, &asked->partitions.items[p], why);
            result *told = &answer->partitions.items[p];
            told->partition_index = asked->partitions.items[p].partition_index;
            told->error_code = kf__wire_error(err);
            told->error_message =
                why[0] ? kf__answer_text(exchange, kf__text(why)) : (kf_string){0};
        }
    }
    exchange->broker->changes++;
    return KF__ANSWERED;
}

const struct kf__api kf__api_alter_partition_reassignments = {
    .key = KF_API_ALTER_PARTITION_REASSIGNMENTS, .max_version = 1, .handle = handle};
