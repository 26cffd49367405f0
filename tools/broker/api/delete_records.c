/*
 * DeleteRecords (21), versions 0–2: moves a log's start; 2 flexible.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"

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

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_delete_records_request *request = exchange->request;
    struct kf_delete_records_response *response = exchange->response;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count; t++)
        if (!KF__FILL(exchange, "topics/partitions", response->topics.items[t].partitions,
                      request->topics.items[t].partitions.count))
            return KF__REFUSED; /* before anything is deleted */
    for (int32_t t = 0; t < request->topics.count; t++) {
        response->topics.items[t].name = request->topics.items[t].name;
        struct kf__topic *topic =
            kf__broker_topics_find(&exchange->broker->topics, request->topics.items[t].name);
        kf_err denied = kf__may_unknown(exchange, topic, request->topics.items[t].name);
        int32_t count = request->topics.items[t].partitions.count;
        for (int32_t p = 0; p < count; p++) {
            int32_t index = request->topics.items[t].partitions.items[p].partition_index;
            int64_t before = request->topics.items[t].partitions.items[p].offset;
            int64_t start = -1;
            struct kf__partition *partition = NULL;
            kf_err err = kf__led_partition(exchange, topic, index, -1, &partition);
            if (denied)
                err = denied;
            if (!err && kf__topic_is_internal(topic->name))
                err = KF_ERR_INVALID_TOPIC_EXCEPTION;
            if (!err && !topic->settings.deletes) /* a compacted log keeps what it has */
                err = KF_ERR_POLICY_VIOLATION;
            if (!err)
                err = delete_records(exchange, partition, before, &start);
            response->topics.items[t].partitions.items[p].partition_index = index;
            response->topics.items[t].partitions.items[p].low_watermark = start;
            response->topics.items[t].partitions.items[p].error_code = kf__wire_error(err);
        }
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_delete_records = {
    .key = KF_API_DELETE_RECORDS, .max_version = 2, .handle = handle};
