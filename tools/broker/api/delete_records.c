/*
 * DeleteRecords (21), versions 0–2: moves a log's start; 2 flexible.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"

#include <stdlib.h>

static kf_err delete_records(struct kf__exchange *exchange, struct kf__partition *partition,
                             int64_t before, int64_t *start)
{
    struct kf_broker *broker = exchange->broker;
    if (before == -1) /* all there is */
        before = partition->log.end_offset;
    if (before < 0 || before > partition->log.end_offset)
        return KF_ERR_OFFSET_OUT_OF_RANGE;
    kf__server_own_output(broker);
    kf__topics_delete_records(&broker->topics, partition, before);
    broker->changes++;
    *start = partition->log.start_offset;
    return KF_OK;
}

/* One partition of the request. */
struct cut {
    kf_string topic;
    int32_t partition;
    int32_t place; /* in the request: of a partition that is named twice the last one counts */
    int64_t before;
};

static int by_partition(const void *a, const void *b)
{
    const struct cut *one = a, *other = b;
    int order = kf__text_compare(one->topic, other->topic);
    if (order == 0)
        order = (one->partition > other->partition) - (one->partition < other->partition);
    return order != 0 ? order : one->place - other->place;
}

/* Sorted, each partition once. NULL: no memory. */
static struct cut *list_cuts(struct kf__exchange *exchange, int32_t *count)
{
    const struct kf_delete_records_request *request = exchange->request;
    size_t total = 0, used = 0;
    *count = 0;
    for (int32_t t = 0; t < request->topics.count; t++)
        total += (size_t)request->topics.items[t].partitions.count;
    struct cut *cuts = kf_arena_alloc(&exchange->arena, (total + 1) * sizeof *cuts);
    for (int32_t t = 0; cuts && t < request->topics.count; t++)
        for (int32_t p = 0; p < request->topics.items[t].partitions.count; p++, used++)
            cuts[used] =
                (struct cut){request->topics.items[t].name,
                             request->topics.items[t].partitions.items[p].partition_index,
                             (int32_t)used, request->topics.items[t].partitions.items[p].offset};
    if (cuts)
        qsort(cuts, total, sizeof *cuts, by_partition);
    for (size_t i = 0; cuts && i < total; i++) {
        const struct cut *next = i + 1 < total ? &cuts[i + 1] : NULL;
        if (!next || next->partition != cuts[i].partition ||
            !kf__text_equal(next->topic, cuts[i].topic))
            cuts[(*count)++] = cuts[i];
    }
    return cuts;
}

/* How many of them are of the first one's topic. */
static int32_t run_of(const struct cut *cuts, int32_t count)
{
    int32_t run = 0;
    while (run < count && kf__text_equal(cuts[run].topic, cuts[0].topic))
        run++;
    return run;
}

/* Topics of which no partition is named aren't told. */
static bool fill(struct kf__exchange *exchange, const struct cut *cuts, int32_t count)
{
    struct kf_delete_records_response *response = exchange->response;
    int32_t topics = 0;
    for (int32_t at = 0; at < count; at += run_of(cuts + at, count - at))
        topics++;
    if (!KF__FILL(exchange, "topics", response->topics, topics))
        return false;
    for (int32_t at = 0, t = 0; t < topics; t++) {
        int32_t run = run_of(cuts + at, count - at);
        response->topics.items[t].name = cuts[at].topic;
        if (!KF__FILL(exchange, "topics/partitions", response->topics.items[t].partitions, run))
            return false;
        at += run;
    }
    return true;
}

static void cut(struct kf__exchange *exchange, const struct cut *cut,
                struct kf_delete_records_response_delete_records_partition_result *answer)
{
    struct kf__topic *topic = kf__broker_topics_find(&exchange->broker->topics, cut->topic);
    kf_err denied = kf__may_unknown(exchange, topic, cut->topic);
    int64_t start = -1;
    struct kf__partition *partition = NULL;
    kf_err err = kf__led_partition(exchange, topic, cut->partition, -1, &partition);
    if (denied)
        err = denied;
    if (!err && kf__topic_is_internal(topic->name))
        err = KF_ERR_INVALID_TOPIC_EXCEPTION;
    if (!err && !topic->settings.deletes) /* a compacted log keeps what it has */
        err = KF_ERR_POLICY_VIOLATION;
    if (!err)
        err = delete_records(exchange, partition, cut->before, &start);
    answer->partition_index = cut->partition;
    answer->low_watermark = start;
    answer->error_code = kf__wire_error(err);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    struct kf_delete_records_response *response = exchange->response;
    int32_t count;
    const struct cut *cuts = list_cuts(exchange, &count);
    if (!cuts || !fill(exchange, cuts, count)) /* before anything is deleted */
        return KF__REFUSED;
    for (int32_t t = 0; t < response->topics.count; t++)
        for (int32_t p = 0; p < response->topics.items[t].partitions.count; p++)
            cut(exchange, cuts++, &response->topics.items[t].partitions.items[p]);
    return KF__ANSWERED;
}

const struct kf__api kf__api_delete_records = {
    .key = KF_API_DELETE_RECORDS, .max_version = 2, .handle = handle};
