/* api: the answers, one function per request. One member per group, one broker, one topic. */
#include "tools/bench/replay/api.h"

#include "proto/codec/frame.h"
#include "tools/bench/replay/fetch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const kf_uuid topic_id = {{'r', 'e', 'p', 'l', 'a', 'y', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

static kf_string text(const char *string) { return (kf_string){string, strlen(string)}; }

static bool is_topic(const struct replay *replay, kf_string name)
{
    return name.data && name.size == strlen(replay->topic) &&
           memcmp(name.data, replay->topic, name.size) == 0;
}

static bool is_topic_id(const kf_uuid *id) { return memcmp(id, &topic_id, sizeof *id) == 0; }

/* Zeroed; reset by its schema, so that what is not set has its default. */
static void *blank(struct answer *answer, const kf_schema *schema, size_t size)
{
    void *message = kf_arena_alloc(&answer->arena, size);
    if (message)
        kf_reset(schema, message);
    return message;
}

static void *array(struct answer *answer, int32_t count, size_t size)
{
    return kf_arena_alloc(&answer->arena, (size_t)(count > 0 ? count : 1) * size);
}

static const struct kf_api_versions_response_api_version offered[] = {
    {.api_key = KF_API_PRODUCE, .min_version = 3, .max_version = 11},
    {.api_key = KF_API_FETCH, .min_version = 4, .max_version = 16},
    {.api_key = KF_API_LIST_OFFSETS, .min_version = 1, .max_version = 8},
    {.api_key = KF_API_METADATA, .min_version = 0, .max_version = 12},
    {.api_key = KF_API_OFFSET_COMMIT, .min_version = 2, .max_version = 9},
    {.api_key = KF_API_OFFSET_FETCH, .min_version = 1, .max_version = 9},
    {.api_key = KF_API_FIND_COORDINATOR, .min_version = 0, .max_version = 4},
    {.api_key = KF_API_JOIN_GROUP, .min_version = 0, .max_version = 9},
    {.api_key = KF_API_HEARTBEAT, .min_version = 0, .max_version = 4},
    {.api_key = KF_API_LEAVE_GROUP, .min_version = 0, .max_version = 5},
    {.api_key = KF_API_SYNC_GROUP, .min_version = 0, .max_version = 5},
    {.api_key = KF_API_API_VERSIONS, .min_version = 0, .max_version = 4},
    {.api_key = KF_API_INIT_PRODUCER_ID, .min_version = 0, .max_version = 4},
};
enum {
    OFFERED = sizeof offered / sizeof *offered
};

static bool is_offered(int16_t key, int16_t version)
{
    for (size_t i = 0; i < OFFERED; i++)
        if (offered[i].api_key == key)
            return version >= offered[i].min_version && version <= offered[i].max_version;
    return false;
}

static void *api_versions(struct replay *replay, const void *request, struct answer *answer)
{
    struct kf_api_versions_response *response =
        blank(answer, &kf_schema_of_api_versions_response, sizeof *response);
    (void)replay, (void)request;
    response->api_keys.items = (struct kf_api_versions_response_api_version *)(uintptr_t)offered;
    response->api_keys.count = OFFERED;
    return response;
}

static void describe_topic(struct replay *replay, struct answer *answer,
                           struct kf_metadata_response_topic *topic)
{
    int32_t *replica = array(answer, 1, sizeof *replica);
    *replica = 1;
    topic->name = text(replay->topic);
    topic->topic_id = topic_id;
    topic->topic_authorized_operations = INT32_MIN;
    topic->partitions.count = replay->partitions;
    topic->partitions.items = array(answer, replay->partitions, sizeof *topic->partitions.items);
    for (int32_t i = 0; i < replay->partitions; i++) {
        struct kf_metadata_response_partition *partition = &topic->partitions.items[i];
        partition->partition_index = i;
        partition->leader_id = 1;
        partition->leader_epoch = 0;
        partition->replica_nodes.items = partition->isr_nodes.items = replica;
        partition->replica_nodes.count = partition->isr_nodes.count = 1;
    }
}

static void *metadata(struct replay *replay, const void *bytes, struct answer *answer)
{
    const struct kf_metadata_request *request = bytes;
    struct kf_metadata_response *response =
        blank(answer, &kf_schema_of_metadata_response, sizeof *response);
    int32_t count = request->topics.count > 0 ? request->topics.count : 0;
    bool all = request->topics.count < 0;

    response->brokers.items = array(answer, 1, sizeof *response->brokers.items);
    response->brokers.count = 1;
    response->brokers.items[0].node_id = 1;
    response->brokers.items[0].host = text(replay->host);
    response->brokers.items[0].port = replay->port;
    response->cluster_id = text("replay");
    response->controller_id = 1;
    response->topics.count = all ? 1 : count;
    response->topics.items = array(answer, count + 1, sizeof *response->topics.items);
    if (all)
        describe_topic(replay, answer, &response->topics.items[0]);
    for (int32_t i = 0; i < count; i++) {
        const struct kf_metadata_request_topic *asked = &request->topics.items[i];
        struct kf_metadata_response_topic *topic = &response->topics.items[i];
        if (is_topic(replay, asked->name) || is_topic_id(&asked->topic_id)) {
            describe_topic(replay, answer, topic);
            continue;
        }
        topic->error_code = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
        topic->name = asked->name.data ? asked->name : text("");
        topic->topic_authorized_operations = INT32_MIN;
    }
    return response;
}

static void *find_coordinator(struct replay *replay, const void *bytes, struct answer *answer)
{
    const struct kf_find_coordinator_request *request = bytes;
    struct kf_find_coordinator_response *response =
        blank(answer, &kf_schema_of_find_coordinator_response, sizeof *response);
    int32_t count = request->coordinator_keys.count;
    if (count <= 0) {
        response->node_id = 1;
        response->host = text(replay->host);
        response->port = replay->port;
        return response;
    }
    response->coordinators.count = count;
    response->coordinators.items = array(answer, count, sizeof *response->coordinators.items);
    for (int32_t i = 0; i < count; i++) {
        response->coordinators.items[i].key = request->coordinator_keys.items[i];
        response->coordinators.items[i].node_id = 1;
        response->coordinators.items[i].host = text(replay->host);
        response->coordinators.items[i].port = replay->port;
    }
    return response;
}

/* Whoever joins is alone, leads, and has joined at once. */
static void *join_group(struct replay *replay, const void *bytes, struct answer *answer)
{
    const struct kf_join_group_request *request = bytes;
    struct kf_join_group_response *response =
        blank(answer, &kf_schema_of_join_group_response, sizeof *response);
    char *name = array(answer, 1, 32);
    snprintf(name, 32, "member-%d", replay->generation);
    kf_string member = request->member_id.size ? request->member_id : text(name);

    response->generation_id = ++replay->generation;
    response->protocol_type = request->protocol_type;
    response->protocol_name = text("");
    response->leader = member;
    response->member_id = member;
    if (request->protocols.count <= 0)
        return response;
    response->protocol_name = request->protocols.items[0].name;
    response->members.count = 1;
    response->members.items = array(answer, 1, sizeof *response->members.items);
    response->members.items[0].member_id = member;
    response->members.items[0].metadata = request->protocols.items[0].metadata;
    return response;
}

static void *sync_group(struct replay *replay, const void *bytes, struct answer *answer)
{
    const struct kf_sync_group_request *request = bytes;
    struct kf_sync_group_response *response =
        blank(answer, &kf_schema_of_sync_group_response, sizeof *response);
    (void)replay;
    response->protocol_type = request->protocol_type;
    response->protocol_name = request->protocol_name;
    response->assignment = (kf_bytes){(const uint8_t *)"", 0};
    if (request->assignments.count > 0)
        response->assignment = request->assignments.items[0].assignment;
    return response;
}

static void *heartbeat(struct replay *replay, const void *request, struct answer *answer)
{
    (void)replay, (void)request;
    return blank(answer, &kf_schema_of_heartbeat_response, sizeof(struct kf_heartbeat_response));
}

static void *leave_group(struct replay *replay, const void *bytes, struct answer *answer)
{
    const struct kf_leave_group_request *request = bytes;
    struct kf_leave_group_response *response =
        blank(answer, &kf_schema_of_leave_group_response, sizeof *response);
    (void)replay;
    int32_t count = request->members.count > 0 ? request->members.count : 0;
    response->members.count = count;
    response->members.items = array(answer, count, sizeof *response->members.items);
    for (int32_t i = 0; i < count; i++) {
        response->members.items[i].member_id = request->members.items[i].member_id;
        response->members.items[i].group_instance_id = request->members.items[i].group_instance_id;
    }
    return response;
}

static void *offset_commit(struct replay *replay, const void *bytes, struct answer *answer)
{
    const struct kf_offset_commit_request *request = bytes;
    struct kf_offset_commit_response *response =
        blank(answer, &kf_schema_of_offset_commit_response, sizeof *response);
    (void)replay;
    response->topics.count = request->topics.count;
    response->topics.items = array(answer, request->topics.count, sizeof *response->topics.items);
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_offset_commit_request_topic *from = &request->topics.items[t];
        struct kf_offset_commit_response_topic *to = &response->topics.items[t];
        to->name = from->name;
        to->topic_id = from->topic_id;
        to->partitions.count = from->partitions.count;
        to->partitions.items = array(answer, from->partitions.count, sizeof *to->partitions.items);
        for (int32_t p = 0; p < from->partitions.count; p++)
            to->partitions.items[p].partition_index = from->partitions.items[p].partition_index;
    }
    return response;
}

/* No group has committed anything, ever: each run begins at the beginning. */
static void *offset_fetch(struct replay *replay, const void *bytes, struct answer *answer)
{
    const struct kf_offset_fetch_request *request = bytes;
    struct kf_offset_fetch_response *response =
        blank(answer, &kf_schema_of_offset_fetch_response, sizeof *response);
    (void)replay;
    int32_t count = request->topics.count > 0 ? request->topics.count : 0;
    response->topics.count = count;
    response->topics.items = array(answer, count, sizeof *response->topics.items);
    for (int32_t t = 0; t < count; t++) {
        const struct kf_offset_fetch_request_topic *from = &request->topics.items[t];
        struct kf_offset_fetch_response_topic *to = &response->topics.items[t];
        to->name = from->name;
        to->partitions.count = from->partition_indexes.count;
        to->partitions.items =
            array(answer, from->partition_indexes.count, sizeof *to->partitions.items);
        for (int32_t p = 0; p < from->partition_indexes.count; p++)
            to->partitions.items[p] = (struct kf_offset_fetch_response_partition){
                .partition_index = from->partition_indexes.items[p],
                .committed_offset = -1,
                .committed_leader_epoch = -1,
                .metadata = text("")};
    }

    count = request->groups.count > 0 ? request->groups.count : 0;
    response->groups.count = count;
    response->groups.items = array(answer, count, sizeof *response->groups.items);
    for (int32_t g = 0; g < count; g++) {
        const struct kf_offset_fetch_request_group *from = &request->groups.items[g];
        struct kf_offset_fetch_response_group *to = &response->groups.items[g];
        int32_t topics = from->topics.count > 0 ? from->topics.count : 0;
        to->group_id = from->group_id;
        to->topics.count = topics;
        to->topics.items = array(answer, topics, sizeof *to->topics.items);
        for (int32_t t = 0; t < topics; t++) {
            int32_t partitions = from->topics.items[t].partition_indexes.count;
            to->topics.items[t].name = from->topics.items[t].name;
            to->topics.items[t].partitions.count = partitions;
            to->topics.items[t].partitions.items =
                array(answer, partitions, sizeof(struct kf_offset_fetch_response_partitions));
            for (int32_t p = 0; p < partitions; p++)
                to->topics.items[t].partitions.items[p] =
                    (struct kf_offset_fetch_response_partitions){
                        .partition_index = from->topics.items[t].partition_indexes.items[p],
                        .committed_offset = -1,
                        .committed_leader_epoch = -1,
                        .metadata = text("")};
        }
    }
    return response;
}

static void *list_offsets(struct replay *replay, const void *bytes, struct answer *answer)
{
    enum {
        EARLIEST = -2,
        EARLIEST_LOCAL = -4
    };
    const struct kf_list_offsets_request *request = bytes;
    struct kf_list_offsets_response *response =
        blank(answer, &kf_schema_of_list_offsets_response, sizeof *response);
    response->topics.count = request->topics.count;
    response->topics.items = array(answer, request->topics.count, sizeof *response->topics.items);
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_list_offsets_request_list_offsets_topic *from = &request->topics.items[t];
        int32_t count = from->partitions.count;
        response->topics.items[t].name = from->name;
        response->topics.items[t].partitions.count = count;
        response->topics.items[t].partitions.items =
            array(answer, count, sizeof *response->topics.items[t].partitions.items);
        for (int32_t p = 0; p < count; p++) {
            int64_t when = from->partitions.items[p].timestamp;
            bool first = when == EARLIEST || when == EARLIEST_LOCAL || when >= 0;
            response->topics.items[t].partitions.items[p] =
                (struct kf_list_offsets_response_list_offsets_partition_response){
                    .partition_index = from->partitions.items[p].partition_index,
                    .timestamp = -1,
                    .offset = first ? 0 : replay->log.high_watermark,
                    .leader_epoch = -1};
        }
    }
    return response;
}

/* What is produced is looked at just enough to say which offsets it got. */
static void *produce(struct replay *replay, const void *bytes, struct answer *answer)
{
    const struct kf_produce_request *request = bytes;
    struct kf_produce_response *response =
        blank(answer, &kf_schema_of_produce_response, sizeof *response);
    answer->none = request->acks == 0;
    response->responses.count = request->topic_data.count;
    response->responses.items =
        array(answer, request->topic_data.count, sizeof *response->responses.items);
    for (int32_t t = 0; t < request->topic_data.count; t++) {
        const struct kf_produce_request_topic_produce_data *from = &request->topic_data.items[t];
        struct kf_produce_response_topic_produce_response *to = &response->responses.items[t];
        int32_t count = from->partition_data.count;
        to->name = from->name;
        to->partition_responses.count = count;
        to->partition_responses.items = array(answer, count, sizeof *to->partition_responses.items);
        for (int32_t p = 0; p < count; p++) {
            kf_bytes records = from->partition_data.items[p].records;
            struct kf__batch batch;
            bool known = records.data && !kf__batch_peek(records.data, records.size, &batch);
            to->partition_responses.items[p] =
                (struct kf_produce_response_partition_produce_response){
                    .index = from->partition_data.items[p].index,
                    .base_offset = replay->produced,
                    .log_append_time_ms = -1,
                    .current_leader = {.leader_id = -1, .leader_epoch = -1}};
            replay->produced += known ? batch.last_offset - batch.base_offset + 1 : 0;
        }
    }
    return response;
}

static void *init_producer_id(struct replay *replay, const void *request, struct answer *answer)
{
    struct kf_init_producer_id_response *response =
        blank(answer, &kf_schema_of_init_producer_id_response, sizeof *response);
    (void)replay, (void)request;
    response->producer_id = 1;
    return response;
}

static void *fetch(struct replay *replay, const void *request, struct answer *answer)
{
    struct kf_fetch_response *response =
        blank(answer, &kf_schema_of_fetch_response, sizeof *response);
    replay_fetch(replay, request, &topic_id, response, answer);
    return response;
}

static const struct {
    int16_t key;
    void *(*answer)(struct replay *replay, const void *request, struct answer *answer);
} table[] = {
    {KF_API_FETCH, fetch},
    {KF_API_OFFSET_COMMIT, offset_commit},
    {KF_API_HEARTBEAT, heartbeat},
    {KF_API_PRODUCE, produce},
    {KF_API_METADATA, metadata},
    {KF_API_API_VERSIONS, api_versions},
    {KF_API_FIND_COORDINATOR, find_coordinator},
    {KF_API_JOIN_GROUP, join_group},
    {KF_API_SYNC_GROUP, sync_group},
    {KF_API_LEAVE_GROUP, leave_group},
    {KF_API_OFFSET_FETCH, offset_fetch},
    {KF_API_LIST_OFFSETS, list_offsets},
    {KF_API_INIT_PRODUCER_ID, init_producer_id},
};

static kf_err answer_known(struct replay *replay, const struct kf_request_header *header,
                           kf_bytes body, struct answer *answer)
{
    const kf_schema *asks = kf_schema_request(header->request_api_key);
    const kf_schema *says = kf_schema_response(header->request_api_key);
    int16_t version = header->request_api_version;
    void *request = kf_arena_alloc(&answer->arena, kf_schema_struct_size(asks));
    if (!request)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf_decode(asks, version, body.data, body.size, &answer->arena, request);
    if (err)
        return err;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].key != header->request_api_key)
            continue;
        void *response = table[i].answer(replay, request, answer);
        if (answer->none)
            return KF_OK;
        return kf__encode_response(&answer->bytes, says, version, header->correlation_id, response);
    }
    return KF_ERR_API_NOT_SUPPORTED;
}

kf_err replay_answer(struct replay *replay, kf_bytes frame, struct answer *answer)
{
    struct kf_request_header header;
    size_t used;
    kf_arena_reset(&answer->arena);
    kf_writer_reset(&answer->bytes);
    answer->run_count = 0;
    answer->wait_ms = 0;
    answer->none = false;

    kf_err err = kf__decode_request_header(frame.data, frame.size, &header, &used);
    if (err)
        return err;
    if (is_offered(header.request_api_key, header.request_api_version))
        return answer_known(replay, &header, (kf_bytes){frame.data + used, frame.size - used},
                            answer);
    if (header.request_api_key != KF_API_API_VERSIONS)
        return KF_ERR_API_NOT_SUPPORTED;
    struct kf_api_versions_response *response = api_versions(replay, NULL, answer);
    response->error_code = KF_ERR_UNSUPPORTED_VERSION;
    return kf__encode_response(&answer->bytes, &kf_schema_of_api_versions_response, 0,
                               header.correlation_id, response);
}
