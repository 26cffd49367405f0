/*
 * AlterReplicaLogDirs (34), versions 1–2: 2 flexible. There is one directory,
 * where everything is already.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_alter_replica_log_dirs_request_alter_replica_log_dir asked_dir;

static int32_t count_topics(const struct kf_alter_replica_log_dirs_request *request)
{
    int32_t count = 0;
    for (int32_t d = 0; d < request->dirs.count; d++)
        count += request->dirs.items[d].topics.count;
    return count;
}

static kf_err move(const struct kf__exchange *exchange, const asked_dir *dir, kf_string name,
                   int32_t index)
{
    struct kf__topic *topic = kf__broker_topics_find(&exchange->broker->topics, name);
    kf_err err = kf__forced(exchange, name, index);
    if (!err)
        err = kf__may_all(exchange);
    if (!err && !kf__text_equal(dir->path, kf__text(KF__LOG_DIR)))
        err = KF_ERR_LOG_DIR_NOT_FOUND;
    if (!err && !kf__topic_partition(topic, index))
        err = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    return err;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_alter_replica_log_dirs_request *request = exchange->request;
    struct kf_alter_replica_log_dirs_response *response = exchange->response;
    if (!KF__FILL(exchange, "results", response->results, count_topics(request)))
        return KF__REFUSED;
    int32_t told = 0;
    for (int32_t d = 0; d < request->dirs.count; d++) {
        const asked_dir *dir = &request->dirs.items[d];
        for (int32_t t = 0; t < dir->topics.count; t++) {
            struct kf_alter_replica_log_dirs_response_alter_replica_log_dir_topic_result *answer =
                &response->results.items[told++];
            kf_string name = dir->topics.items[t].name;
            int32_t count = dir->topics.items[t].partitions.count;
            answer->topic_name = name;
            if (!KF__FILL(exchange, "results/partitions", answer->partitions, count))
                return KF__REFUSED;
            for (int32_t p = 0; p < count; p++) {
                int32_t index = dir->topics.items[t].partitions.items[p];
                answer->partitions.items[p].partition_index = index;
                answer->partitions.items[p].error_code =
                    kf__wire_error(move(exchange, dir, name, index));
            }
        }
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_alter_replica_log_dirs = {.key = KF_API_ALTER_REPLICA_LOG_DIRS,
                                                       .min_version = 1,
                                                       .max_version = 2,
                                                       .advertised_min = 1,
                                                       .handle = handle};
