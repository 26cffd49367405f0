/*
 * producer_request: batches of many partitions in one Produce request (API 0,
 * version 3 and later: what carries batches of magic 2), and what the broker
 * says of each. The batches' bytes are spliced in, never copied.
 */
#include "runtime/producer/producer_inside.h"

#include "net/calls.h"
#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_VERSION = 3,      /* batches of magic 2 */
    FIRST_ZSTD_VERSION = 7, /* KIP-110 */
    FIRST_ID_VERSION = 13,  /* topics by id */
    FIRST_BATCHES = 8,
};

/* ---- the cluster's view ---- */

static const struct kf__topic_info *info_of(const struct kf_producer *producer,
                                            const struct kf__out_topic *topic)
{
    return topic->cluster_index < 0 ? NULL
                                    : kf__cluster_topic(producer->io.cluster, topic->cluster_index);
}

int32_t kf__out_leader(const struct kf_producer *producer,
                       const struct kf__out_partition *partition, kf_err *error)
{
    const struct kf__topic_info *info = info_of(producer, partition->topic);
    *error = KF_ERR_LEADER_NOT_AVAILABLE;
    if (!info || partition->index >= info->partition_count) {
        *error = info && info->error ? info->error : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
        return -1;
    }
    const struct kf__partition_info *at = &info->partitions[partition->index];
    if (info->error || at->error)
        *error = info->error ? info->error : at->error;
    return at->leader;
}

/* ---- building ---- */

static int by_topic_and_partition(const void *a, const void *b)
{
    const struct kf__out_partition *left = (*(struct kf__out_batch *const *)a)->partition;
    const struct kf__out_partition *right = (*(struct kf__out_batch *const *)b)->partition;
    if (left->topic != right->topic)
        return left->topic->cluster_index < right->topic->cluster_index ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

static void fill_topic(const struct kf_producer *producer, const struct kf__out_topic *topic,
                       int16_t version, struct kf_produce_request_topic_produce_data *row)
{
    if (version < FIRST_ID_VERSION)
        row->name = (kf_string){topic->name, strlen(topic->name)};
    else
        row->topic_id = info_of(producer, topic)->id;
}

static kf_err fill(struct kf__out_request *request, int16_t version, kf_arena *arena,
                   struct kf_produce_request *message)
{
    size_t count = (size_t)request->count;
    struct kf_produce_request_topic_produce_data *topics =
        kf_arena_alloc(arena, count * sizeof *topics);
    struct kf_produce_request_partition_produce_data *rows =
        kf_arena_alloc(arena, count * sizeof *rows);
    if (!topics || !rows)
        return KF_ERR_NO_MEMORY;
    int32_t topic_count = 0;
    struct kf__out_topic *topic = NULL;
    for (size_t i = 0; i < count; i++) {
        struct kf__out_batch *batch = request->batches[i];
        if (batch->partition->topic != topic) {
            topic = batch->partition->topic;
            fill_topic(request->producer, topic, version, &topics[topic_count]);
            topics[topic_count++].partition_data.items = &rows[i];
        }
        rows[i].index = batch->partition->index;
        rows[i].records = (kf_bytes){batch->wire.bytes, batch->wire.used};
        topics[topic_count - 1].partition_data.count++;
    }
    message->topic_data.items = topics;
    message->topic_data.count = topic_count;
    return KF_OK;
}

static int16_t acks_of(const struct kf__settings *settings)
{
    return settings->acks == KF__ACKS_NONE ? 0 : settings->acks == KF__ACKS_LEADER ? 1 : -1;
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    struct kf__out_request *request = call->owner;
    struct kf_produce_request *produce = kf_arena_alloc(arena, sizeof *produce);
    if (!produce)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_produce_request, produce);
    produce->acks = acks_of(&request->producer->io.settings);
    produce->timeout_ms = request->producer->io.settings.request_timeout_ms;
    *message = produce;
    /*
     * From here on only the connection ends the call: a call that ended alone
     * would leave bytes half written, and let its retry overtake it.
     */
    call->deadline = KF_FOREVER;
    return fill(request, version, arena, produce);
}

/* ---- the answer ---- */

static bool same_topic(const struct kf_produce_response_topic_produce_response *row,
                       const struct kf__topic_info *info, const char *name, int16_t version)
{
    if (version >= FIRST_ID_VERSION)
        return info && memcmp(row->topic_id.bytes, info->id.bytes, sizeof info->id.bytes) == 0;
    return row->name.size == strlen(name) && memcmp(row->name.data, name, row->name.size) == 0;
}

static const struct kf_produce_response_partition_produce_response *
find_answer(const struct kf_produce_response *response, const struct kf_producer *producer,
            const struct kf__out_partition *partition, int16_t version)
{
    const struct kf__topic_info *info = info_of(producer, partition->topic);
    for (int32_t i = 0; i < response->responses.count; i++) {
        const struct kf_produce_response_topic_produce_response *topic =
            &response->responses.items[i];
        if (!same_topic(topic, info, partition->topic->name, version))
            continue;
        for (int32_t j = 0; j < topic->partition_responses.count; j++)
            if (topic->partition_responses.items[j].index == partition->index)
                return &topic->partition_responses.items[j];
    }
    return NULL;
}

static void take_answer(struct kf__out_request *request, struct kf__out_batch *batch,
                        const struct kf__answer *answer)
{
    struct kf_producer *producer = request->producer;
    const struct kf_produce_response_partition_produce_response *row =
        find_answer(answer->message, producer, batch->partition, answer->version);
    if (!row) {
        /* As where a topic was created anew meanwhile: its old id is known no more. */
        kf__producer_settle(producer, batch, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION, -1, false);
        return;
    }
    bool moved = row->current_leader.leader_id >= 0 &&
                 row->current_leader.leader_id != answer->node; /* KIP-951 */
    if (moved)
        kf__cluster_learn_leader(producer->io.cluster, batch->partition->topic->cluster_index,
                                 batch->partition->index, row->current_leader.leader_id,
                                 row->current_leader.leader_epoch);
    kf__producer_settle(producer, batch, row->error_code, row->base_offset, moved);
}

static kf_err cause_of(kf_err err, const struct kf_producer *producer)
{
    bool too_old = err == KF_ERR_API_NOT_SUPPORTED &&
                   producer->io.settings.compression_type == KF__COMPRESSION_ZSTD;
    return too_old ? KF_ERR_UNSUPPORTED_COMPRESSION_TYPE : err;
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__out_request *request = call->owner;
    struct kf_producer *producer = request->producer;
    kf__link_remove(&request->link);
    for (int32_t i = 0; i < request->count; i++) {
        if (answer)
            take_answer(request, request->batches[i], answer);
        else
            kf__producer_settle(producer, request->batches[i], cause_of(err, producer), -1, false);
    }
    kf__out_request_free(request);
    if (err != KF_ERR_CLOSED)
        kf__producer_look(producer);
}

/* ---- its life ---- */

struct kf__out_request *kf__out_request_new(struct kf_producer *producer, int32_t node)
{
    struct kf__out_request *request = kf_alloc_zero(producer->alloc, sizeof *request);
    if (!request)
        return NULL;
    kf__link_init(&request->link);
    request->producer = producer;
    request->node = node;
    return request;
}

void kf__out_request_free(struct kf__out_request *request)
{
    kf_free(request->producer->alloc, request->batches);
    kf_free(request->producer->alloc, request);
}

kf_err kf__out_request_add(struct kf__out_request *request, struct kf__out_batch *batch)
{
    if (request->count == request->capacity) {
        int32_t capacity = request->capacity ? request->capacity * 2 : FIRST_BATCHES;
        struct kf__out_batch **batches = kf_realloc(request->producer->alloc, request->batches,
                                                    (size_t)capacity * sizeof(*batches));
        if (!batches)
            return KF_ERR_NO_MEMORY;
        request->batches = batches;
        request->capacity = capacity;
    }
    request->batches[request->count++] = batch;
    request->bytes += kf__out_batch_size(batch);
    return KF_OK;
}

/* Where the brokers have no topic ids, the newest version without. */
static int16_t newest_version(const struct kf__out_request *request)
{
    static const kf_uuid none;
    for (int32_t i = 0; i < request->count; i++) {
        const struct kf__topic_info *info =
            info_of(request->producer, request->batches[i]->partition->topic);
        if (!info || memcmp(&info->id, &none, sizeof none) == 0)
            return FIRST_ID_VERSION - 1;
    }
    return kf_schema_max_version(&kf_schema_of_produce_request);
}

static kf_time latest_deadline(const struct kf__out_request *request)
{
    kf_time latest = 0;
    for (int32_t i = 0; i < request->count; i++)
        if (request->batches[i]->deadline > latest)
            latest = request->batches[i]->deadline;
    return latest;
}

void kf__out_request_send(struct kf__out_request *request)
{
    struct kf_producer *producer = request->producer;
    const struct kf__settings *settings = &producer->io.settings;
    qsort(request->batches, (size_t)request->count, sizeof(*request->batches),
          by_topic_and_partition);
    request->call = (struct kf__call){
        .api_key = kf_schema_api_key(&kf_schema_of_produce_request),
        .min_version =
            settings->compression_type == KF__COMPRESSION_ZSTD ? FIRST_ZSTD_VERSION : FIRST_VERSION,
        .max_version = newest_version(request),
        .deadline = latest_deadline(request),
        .no_answer = settings->acks == KF__ACKS_NONE,
        .build = build,
        .done = done,
        .owner = request,
    };
    kf__link_append(&producer->requests, &request->link);
    kf__cluster_send(producer->io.cluster, request->node, KF__LANE_CONTROL, &request->call);
}

/* ---- a leader that can't be reached ---- */

static bool leads_all(const struct kf__out_request *request)
{
    kf_err error;
    for (int32_t i = 0; i < request->count; i++)
        if (kf__out_leader(request->producer, request->batches[i]->partition, &error) !=
            request->node)
            return false;
    return true;
}

/* Nothing of it was written: its batches go back to where they were. */
static void take_back(struct kf__out_request *request)
{
    struct kf_producer *producer = request->producer;
    kf__call_cancel(&request->call);
    kf__link_remove(&request->link);
    for (int32_t i = 0; i < request->count; i++)
        kf__producer_settle(producer, request->batches[i], KF_ERR_NOT_LEADER_OR_FOLLOWER, -1, true);
    kf__out_request_free(request);
}

void kf__out_requests_reroute(struct kf_producer *producer)
{
    struct kf__link *at = producer->requests.next;
    while (at != &producer->requests) {
        struct kf__link *next = at->next;
        struct kf__out_request *request = KF__OWNER(at, struct kf__out_request, link);
        if (request->call.state == KF__CALL_WAITING && !leads_all(request))
            take_back(request);
        at = next;
    }
}
