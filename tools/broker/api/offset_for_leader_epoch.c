/*
 * OffsetForLeaderEpoch (23), versions 2–4: where an epoch ended (KIP-320).
 *
 * 2  the leader epoch that the client knows. 3 replica id. 4 flexible.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_offset_for_leader_epoch_request *request = exchange->request;
    struct kf_offset_for_leader_epoch_response *response = exchange->response;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_offset_for_leader_epoch_request_offset_for_leader_topic *asked =
            &request->topics.items[t];
        struct kf_offset_for_leader_epoch_response_offset_for_leader_topic_result *topic =
            &response->topics.items[t];
        topic->topic = asked->topic;
        struct kf__topic *known = kf__broker_topics_find(&exchange->broker->topics, asked->topic);
        kf_err denied = kf__may_unknown(exchange, known, asked->topic);
        if (!KF__FILL(exchange, "topics/partitions", topic->partitions, asked->partitions.count))
            return KF__REFUSED;
        for (int32_t p = 0; p < asked->partitions.count; p++) {
            const struct kf_offset_for_leader_epoch_request_offset_for_leader_partition *wanted =
                &asked->partitions.items[p];
            struct kf_offset_for_leader_epoch_response_epoch_end_offset *answer =
                &topic->partitions.items[p];
            struct kf__partition *partition = NULL;
            answer->partition = wanted->partition;
            kf_err err = kf__led_partition(exchange, known, wanted->partition,
                                           wanted->current_leader_epoch, &partition);
            if (denied)
                err = denied;
            answer->error_code = kf__wire_error(err);
            if (!err && wanted->leader_epoch >= 0)
                kf__plog_epoch_end(&partition->log, wanted->leader_epoch, partition->leader_epoch,
                                   &answer->leader_epoch, &answer->end_offset);
        }
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_offset_for_leader_epoch = {.key = KF_API_OFFSET_FOR_LEADER_EPOCH,
                                                        .min_version = 2,
                                                        .max_version = 4,
                                                        .advertised_min = 2,
                                                        .handle = handle};
