/*
 * ListOffsets (2), versions 1–11.
 *
 * 2  isolation level: the end of what is committed is the last stable offset. 4 the leader epoch
 * that the client knows. 6 flexible. 7  -3: the record with the largest timestamp (KIP-734). 8  -4:
 * the earliest local offset (KIP-405). 9 -5: the last tiered one. 10 a timeout. 11 -6: the earliest
 * pending upload. Nothing is tiered here.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_log.h"

enum {
    LATEST = -1,
    EARLIEST = -2,
    MAX_TIMESTAMP = -3,
    EARLIEST_LOCAL = -4,
    LATEST_TIERED = -5,
    EARLIEST_PENDING_UPLOAD = -6,
};

typedef struct kf_list_offsets_response_list_offsets_partition_response partition_answer;

/* The first record of the batch from offset `from` on, at or after `timestamp`. */
static kf_err find_in_batch(struct kf_broker *broker, const struct kf__plog_batch *in, int64_t from,
                            int64_t timestamp, struct kf__record *record, bool *found)
{
    struct kf__batch batch;
    struct kf__records records;
    broker->scratch.used = 0;
    kf_err err = kf__batch_peek(in->bytes, in->size, &batch);
    if (!err)
        err = kf__batch_open(&batch, &broker->codecs, &broker->scratch, KF__MAX_UNPACKED_BYTES,
                             &records);
    bool more = true;
    while (!err) {
        err = kf__records_next(&records, record, &more);
        *found = !err && more && record->timestamp >= timestamp && record->offset >= from;
        if (err || !more || *found)
            break;
    }
    return err;
}

static void tell_record(const struct kf__partition *partition, const struct kf__record *record,
                        partition_answer *answer)
{
    const struct kf__partition_log *log = &partition->log;
    answer->timestamp = record->timestamp;
    answer->offset = record->offset;
    answer->leader_epoch = partition->leader_epoch;
    for (size_t i = 0; i < log->epoch_count; i++)
        if (log->epochs[i].start_offset <= record->offset)
            answer->leader_epoch = log->epochs[i].epoch;
}

/* -1, -1 where there is none before `end`. A batch may be left with deleted records, or none. */
static kf_err by_timestamp(struct kf_broker *broker, const struct kf__partition *partition,
                           int64_t timestamp, int64_t end, partition_answer *answer)
{
    const struct kf__partition_log *log = &partition->log;
    struct kf__record record;
    bool found = false;
    kf_err err = KF_OK;
    for (size_t at = kf__plog_find_timestamp(log, timestamp);
         at < log->batch_count && !found && !err; at++)
        if (log->batches[at].max_timestamp >= timestamp)
            err = find_in_batch(broker, &log->batches[at], log->start_offset, timestamp, &record,
                                &found);
    if (found && record.offset < end)
        tell_record(partition, &record, answer);
    return err;
}

static kf_err by_max_timestamp(struct kf_broker *broker, const struct kf__partition *partition,
                               int64_t end, partition_answer *answer)
{
    const struct kf__partition_log *log = &partition->log;
    size_t at = kf__plog_find_max_timestamp(log);
    struct kf__record record;
    bool found = false;
    if (at == log->batch_count)
        return KF_OK;
    kf_err err = find_in_batch(broker, &log->batches[at], 0, log->batches[at].max_timestamp,
                               &record, &found);
    if (found && record.offset < end)
        tell_record(partition, &record, answer);
    return err;
}

static kf_err find(const struct kf__exchange *exchange, const struct kf__partition *partition,
                   int64_t timestamp, partition_answer *answer)
{
    const struct kf__partition_log *log = &partition->log;
    const struct kf_list_offsets_request *request = exchange->request;
    int64_t end = request->isolation_level == 1 ? kf__stable_offset(partition) : log->end_offset;
    bool special = timestamp < 0;
    if (timestamp == LATEST || timestamp == EARLIEST ||
        (timestamp == EARLIEST_LOCAL && exchange->version >= 8)) {
        answer->offset = timestamp == LATEST ? end : log->start_offset;
        answer->leader_epoch = partition->leader_epoch;
        return KF_OK;
    }
    if (timestamp == MAX_TIMESTAMP && exchange->version >= 7)
        return by_max_timestamp(exchange->broker, partition, end, answer);
    if ((timestamp == LATEST_TIERED && exchange->version >= 9) ||
        (timestamp == EARLIEST_PENDING_UPLOAD && exchange->version >= 11))
        return KF_OK;
    if (special)
        return KF_ERR_UNSUPPORTED_VERSION;
    return by_timestamp(exchange->broker, partition, timestamp, end, answer);
}

/* Of all partitions in their order. A partition named twice is told once, with an error. */
static const char *mark_twins(struct kf__exchange *exchange)
{
    const struct kf_list_offsets_request *request = exchange->request;
    size_t count = 0;
    for (int32_t t = 0; t < request->topics.count; t++)
        count += (size_t)request->topics.items[t].partitions.count;
    struct kf__named *names = kf_arena_alloc(&exchange->arena, (count + 1) * sizeof *names);
    int32_t at = 0;
    for (int32_t t = 0; t < request->topics.count && names; t++)
        for (int32_t p = 0; p < request->topics.items[t].partitions.count; p++)
            names[at++] = (struct kf__named){
                .kind = request->topics.items[t].partitions.items[p].partition_index,
                .text = request->topics.items[t].name};
    return names ? kf__mark_twins(&exchange->arena, names, at) : NULL;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_list_offsets_request *request = exchange->request;
    struct kf_list_offsets_response *response = exchange->response;
    const char *marks = mark_twins(exchange);
    if (!marks || !KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_list_offsets_request_list_offsets_topic *asked = &request->topics.items[t];
        struct kf_list_offsets_response_list_offsets_topic_response *topic =
            &response->topics.items[t];
        topic->name = asked->name;
        struct kf__topic *known = kf__broker_topics_find(&exchange->broker->topics, asked->name);
        kf_err denied = kf__may_unknown(exchange, known, asked->name);
        if (!KF__FILL(exchange, "topics/partitions", topic->partitions, asked->partitions.count))
            return KF__REFUSED;
        topic->partitions.count = 0;
        for (int32_t p = 0; p < asked->partitions.count; p++, marks++) {
            struct kf__partition *partition = NULL;
            if (*marks == KF__TWIN_AGAIN)
                continue;
            partition_answer *answer = &topic->partitions.items[topic->partitions.count++];
            answer->partition_index = asked->partitions.items[p].partition_index;
            kf_err err =
                kf__led_partition(exchange, known, answer->partition_index,
                                  asked->partitions.items[p].current_leader_epoch, &partition);
            if (denied)
                err = denied;
            if (*marks == KF__FIRST_OF_TWINS)
                err = KF_ERR_INVALID_REQUEST;
            if (!err && request->isolation_level != 0 && request->isolation_level != 1)
                err = KF_ERR_UNKNOWN_SERVER_ERROR;
            if (!err)
                err = find(exchange, partition, asked->partitions.items[p].timestamp, answer);
            answer->error_code = kf__wire_error(err);
            if (exchange->version < 4)
                answer->leader_epoch = -1;
        }
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_list_offsets = {.key = KF_API_LIST_OFFSETS,
                                             .min_version = 1,
                                             .max_version = 11,
                                             .advertised_min = 1,
                                             .handle = handle};
