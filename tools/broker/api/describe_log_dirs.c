/*
 * DescribeLogDirs (35), versions 1–5: 2 flexible, 3 an error of its own, 4 the
 * volume's size (KIP-827), 5 cordoned directories (KIP-1066).
 *
 * There is one directory, which isn't one: the memory that the logs share. Its
 * size is the cap of all logs.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_describe_log_dirs_response_describe_log_dirs_result dir_answer;
typedef struct kf_describe_log_dirs_response_describe_log_dirs_topic topic_answer;

static bool is_here(const struct kf__exchange *exchange, const struct kf__partition *partition)
{
    for (int32_t i = 0; i < partition->replica_count; i++)
        if (partition->replicas[i] == exchange->node)
            return true;
    return false;
}

/* The asked partitions of the topic, or all (`asked` NULL). */
static bool tell_topic(struct kf__exchange *exchange, struct kf__topic *topic,
                       const struct kf_describe_log_dirs_request_describable_log_dir_topic *asked,
                       dir_answer *dir)
{
    int32_t count = asked ? asked->partitions.count : topic->partition_count;
    topic_answer *answer = &dir->topics.items[dir->topics.count];
    if (!KF__FILL(exchange, "results/topics/partitions", answer->partitions, count))
        return false;
    answer->name = kf__answer_text(exchange, topic->name);
    answer->partitions.count = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t index = asked ? asked->partitions.items[i] : i;
        const struct kf__partition *partition = kf__topic_partition(topic, index);
        if (!partition || !is_here(exchange, partition))
            continue;
        int32_t at = answer->partitions.count++;
        answer->partitions.items[at].partition_index = index;
        answer->partitions.items[at].partition_size = (int64_t)partition->log.bytes;
    }
    dir->topics.count += answer->partitions.count > 0;
    return true;
}

static bool tell(struct kf__exchange *exchange, dir_answer *dir)
{
    const struct kf_describe_log_dirs_request *request = exchange->request;
    const struct kf__topics *topics = &exchange->broker->topics;
    bool all = request->topics.count < 0;
    int32_t count = all ? (int32_t)topics->count : request->topics.count;
    if (!KF__FILL(exchange, "results/topics", dir->topics, count))
        return false;
    dir->topics.count = 0;
    for (int32_t i = 0; i < count; i++) {
        struct kf__topic *topic =
            all ? topics->items[i] : kf__broker_topics_find(topics, request->topics.items[i].topic);
        if (topic && !tell_topic(exchange, topic, all ? NULL : &request->topics.items[i], dir))
            return false;
    }
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    struct kf_describe_log_dirs_response *response = exchange->response;
    const struct kf_broker *broker = exchange->broker;
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    response->error_code = kf__wire_error(err);
    if (err)
        return KF__ANSWERED;
    if (!KF__FILL(exchange, "results", response->results, 1))
        return KF__REFUSED;
    dir_answer *dir = &response->results.items[0];
    dir->log_dir = kf__text(KF__LOG_DIR);
    dir->total_bytes = (int64_t)broker->options.max_bytes;
    size_t cap = broker->options.max_bytes, held = broker->topics.bytes;
    dir->usable_bytes = held < cap ? (int64_t)(cap - held) : 0; /* markers are never refused */
    return tell(exchange, dir) ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_describe_log_dirs = {.key = KF_API_DESCRIBE_LOG_DIRS,
                                                  .min_version = 1,
                                                  .max_version = 5,
                                                  .advertised_min = 1,
                                                  .handle = handle};
