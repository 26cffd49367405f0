/*
 * Produce (0), versions 3–13; advertised from 0, as Kafka does (KAFKA-18659:
 * older librdkafka compresses only then).
 *
 * 3   record batches (magic 2) and transactional ids; exactly one batch per
 *     partition. 5 log start offset. 7 zstd. 8 errors of single records.
 * 9   flexible. 10 the current leader in tagged fields (KIP-951).
 * 11  TRANSACTION_ABORTABLE. 12 writing makes a partition part of the
 *     producer's transaction (KIP-890); before, it has to be part already.
 * 13  topic ids.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/log/rebatch.h"
#include "tools/broker/log/validate.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

enum {
    FIRST_VERSION_WITH_ABORTABLE = 11,
    FIRST_VERSION_THAT_ADDS = 12,
};

typedef struct kf_produce_response_partition_produce_response partition_answer;

/* Asked only of partitions that there are, and after what their records look like. */
static kf_err check_acks(const struct kf__exchange *exchange)
{
    const struct kf_produce_request *request = exchange->request;
    return request->acks < -1 || request->acks > 1 ? KF_ERR_INVALID_REQUIRED_ACKS : KF_OK;
}

/* Only Kafka's own admin client writes where coordinators do. */
static kf_err check_internal(const struct kf__exchange *exchange, const struct kf__topic *topic)
{
    bool may = kf__text_equal(exchange->client_id, kf__text("__admin_client"));
    return !may && kf__topic_is_internal(topic->name) ? KF_ERR_INVALID_TOPIC_EXCEPTION : KF_OK;
}

/* acks=all needs min.insync.replicas of them. */
static kf_err check_insync(const struct kf__exchange *exchange, const struct kf__topic *topic,
                           const struct kf__partition *partition)
{
    const struct kf_produce_request *request = exchange->request;
    int32_t wanted = topic->settings.min_insync_replicas;
    if (wanted > partition->replica_count) /* it can't be asked for more than there are */
        wanted = partition->replica_count;
    if (request->acks != -1 || kf__in_sync_count(partition) >= wanted)
        return KF_OK;
    return KF_ERR_NOT_ENOUGH_REPLICAS;
}

/*
 * Timestamp type and compression as the topic wants them, and the largest
 * timestamp that there is: *batch may move to broker->rebatched.
 */
static kf_err convert(struct kf_broker *broker, const struct kf__topic_settings *settings,
                      int64_t max_timestamp, struct kf__batch *batch)
{
    struct kf__rebatch how = {
        .codec = settings->codec >= 0 ? (enum kf_codec)settings->codec : batch->codec,
        .level = settings->level,
        .append_time = settings->append_time ? kf__broker_wall_ms(broker) : -1,
    };
    broker->rebatched.used = 0;
    if (how.codec == batch->codec && how.append_time < 0) {
        if (batch->max_timestamp == max_timestamp && batch->timestamp_type == KF_TIMESTAMP_CREATE)
            return KF_OK;
        kf_err err = kf__retime(batch, max_timestamp, &broker->rebatched);
        return err ? err : kf__batch_peek(broker->rebatched.bytes, broker->rebatched.used, batch);
    }
    kf_err err = kf__rebatch(batch, &how, &broker->codecs, &broker->scratch, &broker->rebatched);
    if (err)
        return err == KF_ERR_NO_MEMORY ? err : KF_ERR_CORRUPT_MESSAGE;
    return kf__batch_peek(broker->rebatched.bytes, broker->rebatched.used, batch);
}

/*
 * Is the batch part of a transaction that is open? Who has an open one in the
 * partition is not asked again. INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE,
 * TRANSACTION_ABORTABLE, CONCURRENT_TRANSACTIONS, INVALID_PRODUCER_ID_MAPPING.
 */
static kf_err admit(struct kf__exchange *exchange, const struct kf__topic *topic, int32_t index,
                    const struct kf__producers *producers, const struct kf__batch *batch)
{
    const struct kf_produce_request *request = exchange->request;
    bool adds = exchange->version >= FIRST_VERSION_THAT_ADDS;
    const struct kf__producer *known = kf__producers_find(producers, batch->producer_id);
    if (known && known->txn_first_offset >= 0 && known->epoch == batch->producer_epoch)
        return KF_OK;
    if (!adds && !kf__broker_config(exchange->broker, "transaction.partition.verification.enable"))
        return KF_OK;
    struct kf__txn_claim claim = {.id = request->transactional_id,
                                  .producer_id = batch->producer_id,
                                  .epoch = batch->producer_epoch};
    kf_err err = kf__txn_admit(exchange, &claim, topic->name, index, adds,
                               exchange->version >= FIRST_VERSION_WITH_ABORTABLE);
    if (err == KF_ERR_CONCURRENT_TRANSACTIONS && !adds)
        return KF_ERR_NOT_ENOUGH_REPLICAS; /* older clients send again after this one */
    if (!err && adds && !known && batch->base_sequence != 0)
        return KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    return err;
}

/* What is in the log already keeps the time that it has there. */
static kf_err append(struct kf_broker *broker, const struct kf__topic *topic,
                     struct kf__partition *partition, const struct kf__batch *batch,
                     int64_t *base_offset, int64_t *append_time)
{
    bool idempotent = batch->producer_id >= 0;
    if (idempotent) {
        kf_err err = kf__producers_check(&partition->producers, batch, base_offset);
        if (err == KF_ERR_DUPLICATE_SEQUENCE_NUMBER) { /* tell where it is */
            size_t at = kf__plog_find(&partition->log, *base_offset);
            if (at < partition->log.batch_count)
                *append_time = partition->log.batches[at].max_timestamp;
            return KF_OK;
        }
        if (!err)
            err = kf__producers_reserve(&partition->producers, &broker->budget.state);
        if (err)
            return err;
    }
    size_t cap = broker->options.max_bytes;
    kf_err err = kf__topics_append(&broker->topics, partition, batch, cap, base_offset);
    if (err)
        return err;
    if (idempotent)
        kf__producers_note(&partition->producers, batch, *base_offset);
    broker->changes++;
    broker->appends++;
    broker->new_marks |= kf__partition_mark(topic, (int32_t)(partition - topic->partitions));
    return KF_OK;
}

/* A batch of the request goes into the log; *base_offset says where. */
static kf_err take(struct kf__exchange *exchange, struct kf__topic *topic,
                   struct kf__partition *partition,
                   const struct kf_produce_request_partition_produce_data *data,
                   struct kf__complaint *complaint, int64_t *base_offset, int64_t *append_time)
{
    struct kf_broker *broker = exchange->broker;
    struct kf__expected expected = {.topic = topic->name,
                                    .partition = data->index,
                                    .settings = &topic->settings,
                                    .wall_ms = kf__broker_wall_ms(broker),
                                    .version = exchange->version,
                                    .codecs = &broker->codecs,
                                    .scratch = &broker->scratch,
                                    .arena = &exchange->arena};
    int64_t max_timestamp = -1;
    struct kf__batch view, *batch = &view;
    kf_err err = kf__validate_request(data->records, &expected, batch, complaint);
    if (!err)
        err = check_acks(exchange);
    if (!err && batch->transactional)
        err = admit(exchange, topic, data->index, &partition->producers, batch);
    if (!err)
        err = check_internal(exchange, topic);
    if (!err)
        err = check_insync(exchange, topic, partition);
    if (!err)
        err = kf__validate_batch(batch, &expected, &max_timestamp, complaint);
    if (err)
        return err;
    complaint->of_log = true;
    err = convert(broker, &topic->settings, max_timestamp, batch);
    if (!err && topic->settings.append_time)
        *append_time = batch->max_timestamp;
    if (!err)
        err = append(broker, topic, partition, batch, base_offset, append_time);
    if (err == KF_ERR_POLICY_VIOLATION)
        snprintf(complaint->why, sizeof complaint->why,
                 "The broker's memory cap for all logs is reached.");
    else if (err == KF_ERR_NO_MEMORY)
        snprintf(complaint->why, sizeof complaint->why, "The broker's memory cap is reached.");
    return err;
}

static void tell_complaint(struct kf__exchange *exchange, const struct kf__complaint *complaint,
                           partition_answer *answer)
{
    answer->error_message = (kf_string){0};
    if (complaint->why[0])
        answer->error_message = kf__answer_text(exchange, kf__text(complaint->why));
    answer->record_errors.items = complaint->records;
    answer->record_errors.count = complaint->record_count;
}

static void store(struct kf__exchange *exchange, struct kf__topic *topic, bool by_id,
                  kf_err refused, const struct kf_produce_request_partition_produce_data *data,
                  partition_answer *answer)
{
    struct kf__partition *partition = NULL;
    struct kf__complaint complaint = {0};
    int64_t append_time = -1;
    kf_err err = kf__led_partition(exchange, topic, data->index, -1, &partition);
    if (!topic && by_id)
        err = KF_ERR_UNKNOWN_TOPIC_ID;
    if (err == KF_ERR_NOT_LEADER_OR_FOLLOWER && check_acks(exchange))
        err = KF_ERR_INVALID_REQUIRED_ACKS;
    if (refused)
        err = refused;
    int64_t base_offset = -1;
    if (!err)
        err = take(exchange, topic, partition, data, &complaint, &base_offset, &append_time);

    bool tells_start = partition && (!err || complaint.of_log);
    answer->index = data->index;
    answer->error_code = kf__wire_error(err);
    answer->base_offset = err ? -1 : base_offset;
    answer->log_start_offset = tells_start ? partition->log.start_offset : -1;
    tell_complaint(exchange, &complaint, answer);
    if (!err)
        answer->log_append_time_ms = append_time;
    if (err == KF_ERR_NOT_LEADER_OR_FOLLOWER && partition && exchange->version >= 10) {
        answer->current_leader.leader_id = partition->leader;
        answer->current_leader.leader_epoch = partition->leader_epoch;
    }
}

/* KIP-951: where the leaders live that `current_leader` names. */
static bool fill_endpoints(struct kf__exchange *exchange, struct kf_produce_response *response)
{
    const struct kf__topics *topics = &exchange->broker->topics;
    bool named[KF__MAX_NODES + 1] = {false};
    int32_t count = 0;
    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t p = 0; p < response->responses.items[t].partition_responses.count; p++) {
            int32_t leader =
                response->responses.items[t].partition_responses.items[p].current_leader.leader_id;
            if (leader > 0 && !named[leader]) {
                named[leader] = true;
                count++;
            }
        }
    if (count == 0)
        return true;
    if (!KF__FILL(exchange, "node_endpoints", response->node_endpoints, count))
        return false;
    int32_t at = 0;
    for (int32_t node = 1; node <= topics->node_count; node++) {
        if (!named[node])
            continue;
        struct kf_produce_response_node_endpoint *endpoint = &response->node_endpoints.items[at++];
        endpoint->node_id = node;
        endpoint->host = kf__node_host(exchange);
        endpoint->port = kf__node_port(exchange, node);
    }
    return true;
}

static bool any_failed(const struct kf_produce_response *response)
{
    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t p = 0; p < response->responses.items[t].partition_responses.count; p++)
            if (response->responses.items[t].partition_responses.items[p].error_code != 0)
                return true;
    return false;
}

/* One request may carry batches of one transactional producer only, who says its id. */
static kf_err check_transaction(const struct kf_produce_request *request)
{
    int64_t producer = -1;
    for (int32_t t = 0; t < request->topic_data.count; t++)
        for (int32_t p = 0; p < request->topic_data.items[t].partition_data.count; p++) {
            kf_bytes records = request->topic_data.items[t].partition_data.items[p].records;
            struct kf__batch batch;
            if (!records.data || kf__batch_peek(records.data, records.size, &batch) ||
                !batch.transactional)
                continue;
            if (!request->transactional_id.data)
                return KF_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
            if (producer >= 0 && batch.producer_id != producer)
                return KF_ERR_INVALID_PRODUCER_ID_MAPPING;
            producer = batch.producer_id;
        }
    return KF_OK;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_produce_request *request = exchange->request;
    struct kf_produce_response *response = exchange->response;
    bool by_id = exchange->version >= 13;
    kf_err refused = check_transaction(request);
    size_t bytes = 0;
    if (!refused && request->transactional_id.data)
        refused =
            kf__may(exchange, KF__ACL_WRITE, KF__ACL_TRANSACTIONAL_ID, request->transactional_id);
    if (!KF__FILL(exchange, "responses", response->responses, request->topic_data.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topic_data.count; t++) {
        const struct kf_produce_request_topic_produce_data *data = &request->topic_data.items[t];
        struct kf_produce_response_topic_produce_response *answer = &response->responses.items[t];
        struct kf__topic *topic =
            by_id ? kf__broker_topics_find_id(&exchange->broker->topics, data->topic_id)
                  : kf__broker_topics_find(&exchange->broker->topics, data->name);
        kf_err denied = by_id ? KF_OK : kf__may_unknown(exchange, topic, data->name);
        answer->name = data->name;
        answer->topic_id = data->topic_id;
        if (!KF__FILL(exchange, "responses/partition_responses", answer->partition_responses,
                      data->partition_data.count))
            return KF__REFUSED;
        for (int32_t p = 0; p < data->partition_data.count; p++) {
            bytes += data->partition_data.items[p].records.size;
            store(exchange, topic, by_id, refused ? refused : denied,
                  &data->partition_data.items[p], &answer->partition_responses.items[p]);
        }
    }
    kf__charge(exchange, KF__QUOTA_PRODUCER_RATE, bytes);
    if (request->acks == 0) /* the only way to tell of a failure is to hang up, as Kafka does */
        return any_failed(response) ? KF__REFUSED : KF__UNANSWERED;
    return fill_endpoints(exchange, response) ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_produce = {
    .key = KF_API_PRODUCE, .min_version = 3, .max_version = 13, .handle = handle};
