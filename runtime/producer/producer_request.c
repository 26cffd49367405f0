/*
 * producer_request: batches of many partitions in one Produce request (API 0,
 * version 3 and later: what carries batches of magic 2), and what the broker
 * says of each. The batches' bytes are spliced in, never copied.
 */
#include "runtime/producer/producer_inside.h"

#include "net/conn/calls.h"
#include "proto/bytes/writer.h"
#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_VERSION = 3,      /* batches of magic 2 */
    FIRST_ZSTD_VERSION = 7, /* KIP-110 */
    FIRST_ID_VERSION = 13,  /* topics by id */
    FIRST_BATCHES = 8,
};

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
        row->topic_id = kf__out_topic_info(producer, topic)->id;
}

/* Those that were told in the meantime stay out. */
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
        if (batch->told)
            continue;
        if (batch->partition->topic != topic) {
            topic = batch->partition->topic;
            topics[topic_count] = (struct kf_produce_request_topic_produce_data){0};
            fill_topic(request->producer, topic, version, &topics[topic_count]);
            topics[topic_count++].partition_data.items = &rows[i];
        }
        struct kf_produce_request_partition_produce_data *row =
            &topics[topic_count - 1]
                 .partition_data.items[topics[topic_count - 1].partition_data.count++];
        *row = (struct kf_produce_request_partition_produce_data){
            .index = batch->partition->index,
            .records = {batch->bytes, batch->size},
        };
    }
    message->topic_data.items = topics;
    message->topic_data.count = topic_count;
    return topic_count ? KF_OK : KF_ERR_TIMED_OUT;
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
    kf_err err = fill(request, version, arena, produce);
    request->written = !err;
    return err;
}

/* Values that stand apart go between what precedes and what follows them; segments and batches
 * stand in the same order, but for batches that were too small for a segment. */
static kf_err spliced(struct kf__call *call, kf_writer *output, size_t first)
{
    const struct kf__out_request *request = call->owner;
    size_t at = first;
    for (int32_t i = 0; i < request->count; i++) {
        const struct kf__out_batch *batch = request->batches[i];
        if (!batch->apart.data || batch->told)
            continue;
        while (at < output->segment_count && output->segments[at].bytes.data != batch->bytes)
            at++;
        if (at == output->segment_count)
            return KF_ERR_STATE;
        kf_err err = kf__writer_part(output, at, batch->apart_at, batch->apart);
        if (err)
            return err;
    }
    return KF_OK;
}

/* ---- the answer ---- */

static bool same_topic(const struct kf_produce_response_topic_produce_response *row,
                       const struct kf__topic_info *info, const char *name, int16_t version)
{
    if (version >= FIRST_ID_VERSION)
        return info && memcmp(row->topic_id.bytes, info->id.bytes, sizeof info->id.bytes) == 0;
    return row->name.size == strlen(name) && memcmp(row->name.data, name, row->name.size) == 0;
}

/* Where in an answer the row stands that is looked for next: brokers answer in the request's order.
 */
struct place {
    int32_t topic;
    int32_t row;
};

typedef struct kf_produce_response_partition_produce_response answer_row;

/* From the first of that topic at or behind `place`, round to it. */
static const answer_row *find_in_topic(const struct kf_produce_response *response,
                                       struct place *place, int32_t index)
{
    const answer_row *rows = response->responses.items[place->topic].partition_responses.items;
    int32_t count = response->responses.items[place->topic].partition_responses.count;
    for (int32_t i = 0; i < count; i++) {
        if (place->row >= count)
            place->row = 0;
        if (rows[place->row++].index == index)
            return &rows[place->row - 1];
    }
    return NULL;
}

static const answer_row *find_answer(const struct kf_produce_response *response,
                                     const struct kf_producer *producer,
                                     const struct kf__out_partition *partition, int16_t version,
                                     struct place *place)
{
    const struct kf__topic_info *info = kf__out_topic_info(producer, partition->topic);
    for (int32_t i = 0; i < response->responses.count;
         i++, *place = (struct place){place->topic + 1, 0}) {
        if (place->topic >= response->responses.count)
            *place = (struct place){0, 0};
        if (!same_topic(&response->responses.items[place->topic], info, partition->topic->name,
                        version))
            continue;
        const answer_row *row = find_in_topic(response, place, partition->index);
        if (row)
            return row;
    }
    return NULL;
}

static kf_time append_time(const answer_row *row)
{
    return row->log_append_time_ms >= 0 ? row->log_append_time_ms : -1;
}

/*
 * Where the leader is now, if the answer says so (KIP-951). False where we know better: an answer
 * of yesterday would have the batch sent again and again without back-off.
 */
static bool learn_leader(struct kf_producer *producer, const struct kf__out_partition *partition,
                         const struct kf__answer *answer,
                         const struct kf_produce_response_partition_produce_response *row)
{
    int32_t leader = row->current_leader.leader_id;
    if (leader < 0 || leader == answer->node)
        return false;
    const struct kf_produce_response *response = answer->message;
    for (int32_t i = 0; i < response->node_endpoints.count; i++) {
        const struct kf_produce_response_node_endpoint *at = &response->node_endpoints.items[i];
        if (at->node_id == leader && !kf__cluster_has_node(producer->io.cluster, leader))
            kf__cluster_learn_node(producer->io.cluster, leader, at->host, at->port, at->rack);
    }
    kf__cluster_learn_leader(producer->io.cluster, partition->topic->cluster_index,
                             partition->index, leader, row->current_leader.leader_epoch);
    kf_err why;
    return kf__out_leader(producer, partition, &why) == leader;
}

static void take_answer(struct kf__out_request *request, struct kf__out_batch *batch,
                        const struct kf__answer *answer, struct place *place)
{
    struct kf_producer *producer = request->producer;
    const answer_row *row =
        find_answer(answer->message, producer, batch->partition, answer->version, place);
    struct kf__out_answer told = {
        /* As where a topic was created anew meanwhile: its old id is known no more. */
        .err = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION,
        .base_offset = -1,
        .append_time = -1,
        .log_start = -1,
        .written = true,
        .row = row,
    };
    char words[KF_ERROR_TEXT_BYTES];
    if (row) {
        told.err = row->error_code;
        told.base_offset = row->base_offset;
        told.append_time = append_time(row);
        told.log_start = row->log_start_offset;
        told.moved = learn_leader(producer, batch->partition, answer, row);
    }
    if (row && row->error_message.data) {
        snprintf(words, sizeof words, "%.*s",
                 (int)(row->error_message.size < sizeof words ? row->error_message.size
                                                              : sizeof words - 1),
                 row->error_message.data);
        told.reason = words;
    }
    kf__producer_settle(producer, batch, &told);
}

static kf_err cause_of(kf_err err, const struct kf_producer *producer)
{
    bool too_old = err == KF_ERR_API_NOT_SUPPORTED &&
                   producer->io.settings.compression_type == KF__COMPRESSION_ZSTD;
    return too_old ? KF_ERR_UNSUPPORTED_COMPRESSION_TYPE : err;
}

/* No answer: with acks=0 all is well; else the bytes may have arrived. */
static void take_end(struct kf__out_request *request, struct kf__out_batch *batch, kf_err err)
{
    struct kf__out_answer told = {
        .err = cause_of(err, request->producer),
        .base_offset = -1,
        .append_time = -1,
        .log_start = -1,
        .written = request->written,
    };
    kf__producer_settle(request->producer, batch, &told);
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__out_request *request = call->owner;
    struct kf_producer *producer = request->producer;
    kf__link_remove(&request->link);
    request->node->in_flight--;
    struct place place = {0, 0};
    for (int32_t i = 0; i < request->count; i++) {
        if (answer)
            take_answer(request, request->batches[i], answer, &place);
        else
            take_end(request, request->batches[i], err);
    }
    kf__out_request_free(request);
    if (err != KF_ERR_CLOSED)
        kf__producer_look(producer);
}

/* ---- its life ---- */

struct kf__out_request *kf__out_request_new(struct kf_producer *producer, struct kf__out_node *node)
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
    batch->request = request;
    request->batches[request->count++] = batch;
    request->bytes += batch->size;
    return KF_OK;
}

/* Where the brokers have no topic ids, the newest version without. */
static int16_t newest_version(const struct kf__out_request *request)
{
    static const kf_uuid none;
    for (int32_t i = 0; i < request->count; i++) {
        const struct kf__topic_info *info =
            kf__out_topic_info(request->producer, request->batches[i]->partition->topic);
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
        .spliced = spliced,
        .done = done,
        .owner = request,
    };
    kf__link_append(&producer->requests, &request->link);
    request->node->in_flight++;
    kf__cluster_send(producer->io.cluster, request->node->id, KF__LANE_CONTROL, &request->call);
}

/* ---- a leader that can't be reached ---- */

static bool leads_all(const struct kf__out_request *request)
{
    kf_err error;
    for (int32_t i = 0; i < request->count; i++)
        if (kf__out_leader(request->producer, request->batches[i]->partition, &error) !=
            request->node->id)
            return false;
    return true;
}

/* Nothing of it was written: its batches go back to where they were. */
static void take_back(struct kf__out_request *request)
{
    struct kf_producer *producer = request->producer;
    kf__call_cancel(&request->call);
    kf__link_remove(&request->link);
    request->node->in_flight--;
    struct kf__out_answer told = {
        .err = KF_ERR_NOT_LEADER_OR_FOLLOWER,
        .base_offset = -1,
        .append_time = -1,
        .log_start = -1,
        .moved = true,
    };
    for (int32_t i = 0; i < request->count; i++)
        kf__producer_settle(producer, request->batches[i], &told);
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
