/*
 * DescribeTopicPartitions (75), version 0: partitions page by page, in order of
 * topics' names, with eligible leader replicas (KIP-966; there are none here).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/log/replicas.h"
#include "tools/broker/state.h"

#include <stdlib.h>

typedef struct kf_describe_topic_partitions_response_topic topic_answer;
typedef struct kf_describe_topic_partitions_response_partition partition_answer;

static int by_name(const void *a, const void *b)
{
    return kf__text_compare(*(const kf_string *)a, *(const kf_string *)b);
}

/* The names to tell of, sorted, each once, from the cursor's on. *count -1: no memory. */
static kf_string *list_names(struct kf__exchange *exchange, int32_t *count)
{
    const struct kf_describe_topic_partitions_request *request = exchange->request;
    const struct kf__topics *topics = &exchange->broker->topics;
    bool all = request->topics.count <= 0;
    size_t total = all ? topics->count : (size_t)request->topics.count;
    kf_string *names = kf_arena_alloc(&exchange->arena, (total + 1) * sizeof *names);
    *count = -1;
    if (!names)
        return NULL;
    for (size_t i = 0; i < total; i++)
        names[i] = all ? topics->items[i]->name : request->topics.items[i].name;
    if (!all)
        qsort(names, total, sizeof *names, by_name);
    *count = 0;
    for (size_t i = 0; i < total; i++) {
        bool before =
            request->cursor && kf__text_compare(names[i], request->cursor->topic_name) < 0;
        bool twin = *count > 0 && kf__text_equal(names[*count - 1], names[i]);
        bool hidden = all && kf__may_topic(exchange, names[i]);
        if (!before && !twin && !hidden)
            names[(*count)++] = names[i];
    }
    return names;
}

static bool tell_partition(struct kf__exchange *exchange, const struct kf__topic *topic,
                           int32_t index, partition_answer *answer)
{
    const struct kf__partition *partition = &topic->partitions[index];
    const struct kf__topics *topics = &exchange->broker->topics;
    int32_t count = partition->replica_count;
    int32_t *ids = kf__answer_ints(exchange, count * 4 + 1);
    if (!ids)
        return false;
    kf_err err = kf__forced(exchange, topic->name, index);
    if (!err && partition->leader < 0)
        err = KF_ERR_LEADER_NOT_AVAILABLE;
    answer->error_code = kf__wire_error(err);
    answer->partition_index = index;
    answer->leader_id = partition->leader;
    answer->leader_epoch = partition->leader_epoch;
    answer->replica_nodes.items = ids;
    answer->isr_nodes.items = ids + count;
    answer->offline_replicas.items = ids + 2 * (size_t)count;
    answer->eligible_leader_replicas.items = ids + 3 * (size_t)count;
    answer->last_known_elr.items = ids;
    answer->eligible_leader_replicas.count = answer->last_known_elr.count = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t node = partition->replicas[i];
        answer->replica_nodes.items[answer->replica_nodes.count++] = node;
        if (kf__is_in_sync(partition, node) && partition->leader >= 0)
            answer->isr_nodes.items[answer->isr_nodes.count++] = node;
        else if (kf__is_in_sync(partition, node)) /* KIP-966: as in Metadata */
            answer->eligible_leader_replicas.items[answer->eligible_leader_replicas.count++] = node;
        if (!topics->runs[node])
            answer->offline_replicas.items[answer->offline_replicas.count++] = node;
    }
    return true;
}

static kf_err check_topic(const struct kf__exchange *exchange, kf_string name,
                          const struct kf__topic *topic)
{
    kf_err err = kf__forced(exchange, name, -1);
    if (!err)
        err = kf__may_topic(exchange, name);
    if (!err && !kf__topic_name_is_valid(name))
        err = KF_ERR_INVALID_TOPIC_EXCEPTION;
    return !err && !topic ? KF_ERR_UNKNOWN_TOPIC_OR_PARTITION : err;
}

static bool set_cursor(struct kf__exchange *exchange, kf_string topic, int32_t partition)
{
    struct kf_describe_topic_partitions_response *response = exchange->response;
    response->next_cursor = kf_arena_alloc(&exchange->arena, sizeof *response->next_cursor);
    if (response->next_cursor) {
        *response->next_cursor = (struct kf_describe_topic_partitions_response_cursor){
            .topic_name = kf__answer_text(exchange, topic), .partition_index = partition};
    }
    return response->next_cursor != NULL;
}

/* Partitions from `first` on, at most `room`; false: no memory. */
static bool tell_topic(struct kf__exchange *exchange, kf_string name, int32_t first, int32_t room,
                       topic_answer *answer)
{
    const struct kf__topic *topic = kf__broker_topics_find(&exchange->broker->topics, name);
    kf_err err = check_topic(exchange, name, topic);
    answer->error_code = kf__wire_error(err);
    answer->name = kf__answer_text(exchange, name);
    answer->is_internal = kf__topic_is_internal(name);
    answer->topic_authorized_operations = kf__allowed_operations(exchange, KF__ACL_TOPIC, name);
    if (err)
        return true;
    answer->topic_id = topic->id;
    int32_t left = topic->partition_count > first ? topic->partition_count - first : 0;
    int32_t count = left < room ? left : room;
    if (!KF__FILL(exchange, "topics/partitions", answer->partitions, count))
        return false;
    for (int32_t i = 0; i < count; i++)
        if (!tell_partition(exchange, topic, first + i, &answer->partitions.items[i]))
            return false;
    return left <= room || set_cursor(exchange, name, first + room);
}

/* KIP-966: the cursor is at a partition, of a topic that is asked for. */
static bool is_cursor_fine(const struct kf_describe_topic_partitions_request *request)
{
    if (!request->cursor)
        return true;
    if (request->cursor->partition_index < 0)
        return false;
    for (int32_t i = 0; i < request->topics.count; i++)
        if (kf__text_equal(request->topics.items[i].name, request->cursor->topic_name))
            return true;
    return request->topics.count <= 0;
}

static bool refuse_all(struct kf__exchange *exchange)
{
    const struct kf_describe_topic_partitions_request *request = exchange->request;
    struct kf_describe_topic_partitions_response *response = exchange->response;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return request->topics.count < 0;
    for (int32_t i = 0; i < request->topics.count; i++) {
        response->topics.items[i].name = request->topics.items[i].name;
        response->topics.items[i].error_code = KF_ERR_INVALID_REQUEST;
    }
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_topic_partitions_request *request = exchange->request;
    struct kf_describe_topic_partitions_response *response = exchange->response;
    int32_t most = (int32_t)kf__broker_limits(exchange->broker)->partitions_of_answer;
    int32_t room = request->response_partition_limit;
    int32_t count;
    room = room < 1 ? 1 : room > most ? most : room;
    if (!is_cursor_fine(request))
        return refuse_all(exchange) ? KF__ANSWERED : KF__REFUSED;
    const kf_string *names = list_names(exchange, &count);
    if (!names || !KF__FILL(exchange, "topics", response->topics, count))
        return KF__REFUSED;
    response->topics.count = 0;
    for (int32_t i = 0; i < count && !response->next_cursor; i++) {
        bool at_cursor = request->cursor && kf__text_equal(names[i], request->cursor->topic_name);
        topic_answer *answer = &response->topics.items[response->topics.count];
        if (room == 0)
            return set_cursor(exchange, names[i], 0) ? KF__ANSWERED : KF__REFUSED;
        if (!tell_topic(exchange, names[i], at_cursor ? request->cursor->partition_index : 0, room,
                        answer))
            return KF__REFUSED;
        response->topics.count++;
        room -= answer->partitions.count;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_describe_topic_partitions = {
    .key = KF_API_DESCRIBE_TOPIC_PARTITIONS, .max_version = 0, .handle = handle};
