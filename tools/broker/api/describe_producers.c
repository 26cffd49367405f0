/*
 * DescribeProducers (61), version 0: who writes to a partition (KIP-664).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_describe_producers_response_partition_response described;

static bool fill(struct kf__exchange *exchange, const struct kf__producers *producers,
                 described *answer)
{
    if (!KF__FILL(exchange, "topics/partitions/active_producers", answer->active_producers,
                  (int32_t)producers->count))
        return false;
    for (size_t i = 0; i < producers->count; i++) {
        const struct kf__producer *producer = &producers->items[i];
        answer->active_producers.items[i] = (struct kf_describe_producers_response_producer_state){
            .producer_id = producer->id,
            .producer_epoch = producer->epoch,
            .last_sequence = kf__producer_last_sequence(producer),
            .last_timestamp = producer->last_timestamp,
            .coordinator_epoch = producer->coordinator_epoch,
            .current_txn_start_offset = producer->txn_first_offset,
        };
    }
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_producers_request *request = exchange->request;
    struct kf_describe_producers_response *response = exchange->response;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_describe_producers_request_topic_request *asked = &request->topics.items[t];
        struct kf_describe_producers_response_topic_response *topic = &response->topics.items[t];
        struct kf__topic *known = kf__broker_topics_find(&exchange->broker->topics, asked->name);
        kf_err denied = kf__may_unknown(exchange, known, asked->name);
        topic->name = asked->name;
        if (!KF__FILL(exchange, "topics/partitions", topic->partitions,
                      asked->partition_indexes.count))
            return KF__REFUSED;
        for (int32_t p = 0; p < asked->partition_indexes.count; p++) {
            described *answer = &topic->partitions.items[p];
            struct kf__partition *partition;
            answer->partition_index = asked->partition_indexes.items[p];
            kf_err err =
                kf__led_partition(exchange, known, answer->partition_index, -1, &partition);
            if (denied)
                err = denied;
            if (!kf__topic_name_is_valid(asked->name)) {
                char why[KF__MAX_WHY_BYTES];
                kf__explain_topic_name(asked->name, why, sizeof why);
                answer->error_code = KF_ERR_INVALID_TOPIC_EXCEPTION;
                answer->error_message = kf__answer_text(exchange, kf__text(why));
                continue;
            }
            answer->error_code = kf__wire_error(err);
            if (!known) /* Kafka says it in words only where the topic is unknown */
                answer->error_message = kf__text(kf__kafka_words(err));
            if (!err && !fill(exchange, &partition->producers, answer))
                return KF__REFUSED;
        }
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_describe_producers = {.key = KF_API_DESCRIBE_PRODUCERS,
                                                   .handle = handle};
