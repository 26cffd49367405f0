/*
 * AlterPartitionReassignments (45), versions 0–1: other replicas for a
 * partition, or null: the reassignment under way is called off (KIP-455).
 *
 * 1  may forbid another number of replicas (KIP-860).
 */
#include "tools/broker/apis.h"
#include "tools/broker/state.h"

typedef struct kf_alter_partition_reassignments_request_reassignable_partition asked_partition;
typedef struct kf_alter_partition_reassignments_response_reassignable_partition_response result;

/* Each a node of the cluster, none twice. */
static bool are_nodes(const struct kf__topics *topics, const int32_t *ids, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        if (ids[i] < 1 || ids[i] > topics->node_count)
            return false;
        for (int32_t before = 0; before < i; before++)
            if (ids[before] == ids[i])
                return false;
    }
    return count > 0;
}

static kf_err alter(struct kf__exchange *exchange, kf_string name, const asked_partition *asked)
{
    const struct kf_alter_partition_reassignments_request *request = exchange->request;
    struct kf__topics *topics = &exchange->broker->topics;
    struct kf__partition *partition =
        kf__topic_partition(kf__broker_topics_find(topics, name), asked->partition_index);
    kf_err err = kf__forced(exchange, name, asked->partition_index);
    if (err)
        return err;
    if (!partition)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (asked->replicas.count < 0)
        return kf__cancel_reassignment(topics, partition);
    if (!are_nodes(topics, asked->replicas.items, asked->replicas.count))
        return KF_ERR_INVALID_REPLICA_ASSIGNMENT;
    int32_t now = partition->replica_count;
    if (partition->sync.target)
        now -= partition->sync.adding_count;
    if (!request->allow_replication_factor_change && asked->replicas.count != now)
        return KF_ERR_INVALID_REPLICATION_FACTOR;
    return kf__reassign(topics, partition, asked->replicas.items, asked->replicas.count);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_alter_partition_reassignments_request *request = exchange->request;
    struct kf_alter_partition_reassignments_response *response = exchange->response;
    response->error_code = kf__wire_error(kf__forced_all(exchange));
    response->error_message = (kf_string){0};
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
            kf_err err = alter(exchange, asked->name, &asked->partitions.items[p]);
            result *told = &answer->partitions.items[p];
            told->partition_index = asked->partitions.items[p].partition_index;
            told->error_code = kf__wire_error(err);
            told->error_message = err ? kf__text(kf_err_text(err)) : (kf_string){0};
        }
    }
    exchange->broker->changes++;
    return KF__ANSWERED;
}

const struct kf__api kf__api_alter_partition_reassignments = {
    .key = KF_API_ALTER_PARTITION_REASSIGNMENTS, .max_version = 1, .handle = handle};
