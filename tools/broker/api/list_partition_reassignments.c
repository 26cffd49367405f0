/*
 * ListPartitionReassignments (46), version 0: those that wait for a replica
 * (KIP-455). Topics null: all.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/faults/error_answers.h"
#include "tools/broker/state.h"

typedef struct kf_list_partition_reassignments_response_ongoing_topic_reassignment topic_answer;
typedef struct kf_list_partition_reassignments_response_ongoing_partition_reassignment ongoing;

static int32_t *copy(struct kf__exchange *exchange, const int32_t *from, int32_t count)
{
    int32_t *ids = kf__answer_ints(exchange, count);
    if (ids && count > 0)
        memcpy(ids, from, (size_t)count * sizeof *ids);
    return ids;
}

static bool is_target(const struct kf__replicas *sync, int32_t node)
{
    for (int32_t i = 0; i < sync->target_count; i++)
        if (sync->target[i] == node)
            return true;
    return false;
}

static bool describe(struct kf__exchange *exchange, const struct kf__partition *partition,
                     int32_t index, ongoing *answer)
{
    const struct kf__replicas *sync = &partition->sync;
    answer->partition_index = index;
    answer->replicas.items = copy(exchange, partition->replicas, partition->replica_count);
    answer->replicas.count = partition->replica_count;
    answer->adding_replicas.items = copy(exchange, sync->adding, sync->adding_count);
    answer->adding_replicas.count = sync->adding_count;
    answer->removing_replicas.items = kf__answer_ints(exchange, partition->replica_count);
    if (!answer->replicas.items || !answer->adding_replicas.items ||
        !answer->removing_replicas.items)
        return false;
    for (int32_t i = 0; i < partition->replica_count; i++)
        if (!is_target(sync, partition->replicas[i]))
            answer->removing_replicas.items[answer->removing_replicas.count++] =
                partition->replicas[i];
    return true;
}

/* Is the partition among those asked for? `asked` NULL: all are. */
static bool is_asked(
    const struct kf_list_partition_reassignments_request_list_partition_reassignments_topics *asked,
    int32_t index)
{
    for (int32_t i = 0; asked && i < asked->partition_indexes.count; i++)
        if (asked->partition_indexes.items[i] == index)
            return true;
    return !asked;
}

/* Adds the topic where one of its partitions is being reassigned. */
static bool add_topic(
    struct kf__exchange *exchange, const struct kf__topic *topic,
    const struct kf_list_partition_reassignments_request_list_partition_reassignments_topics *asked)
{
    struct kf_list_partition_reassignments_response *response = exchange->response;
    topic_answer *answer = &response->topics.items[response->topics.count];
    int32_t told = 0;
    if (!KF__FILL(exchange, "topics/partitions", answer->partitions, topic->partition_count))
        return false;
    for (int32_t p = 0; p < topic->partition_count; p++)
        if (topic->partitions[p].sync.target && is_asked(asked, p) &&
            !describe(exchange, &topic->partitions[p], p, &answer->partitions.items[told++]))
            return false;
    answer->partitions.count = told;
    answer->name = kf__answer_text(exchange, topic->name);
    response->topics.count += told > 0;
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_list_partition_reassignments_request *request = exchange->request;
    struct kf_list_partition_reassignments_response *response = exchange->response;
    const struct kf__topics *topics = &exchange->broker->topics;
    kf_err refused = kf__may_all(exchange);
    if (refused)
        return kf__error_answer(exchange, refused) ? KF__ANSWERED : KF__REFUSED;
    bool all = request->topics.count < 0;
    kf_err err = kf__forced_all(exchange);
    response->error_code = kf__wire_error(err);
    response->error_message = err ? kf__text(kf__kafka_words(err)) : (kf_string){0};
    int32_t count = err ? 0 : all ? (int32_t)topics->count : request->topics.count;
    if (!KF__FILL(exchange, "topics", response->topics, count))
        return KF__REFUSED;
    response->topics.count = 0;
    for (int32_t t = 0; t < count; t++) {
        const struct kf__topic *topic =
            all ? topics->items[t] : kf__broker_topics_find(topics, request->topics.items[t].name);
        if (topic && !add_topic(exchange, topic, all ? NULL : &request->topics.items[t]))
            return KF__REFUSED;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_list_partition_reassignments = {
    .key = KF_API_LIST_PARTITION_REASSIGNMENTS, .handle = handle};
