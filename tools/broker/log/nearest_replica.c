#include "tools/broker/log/nearest_replica.h"

#include "tools/broker/state.h"

enum {
    FIRST_FETCH_FROM_FOLLOWERS = 11
};

kf_string kf__rack_of(const struct kf_broker *broker, int32_t node)
{
    const char *at = broker->racks;
    for (int32_t i = 1; at && i < node; i++) {
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    size_t size = at ? strcspn(at, ",") : 0;
    return size > 0 ? (kf_string){.data = at, .size = size} : (kf_string){0};
}

kf_err kf__fetched_partition(const struct kf__exchange *exchange, struct kf__topic *topic,
                             int32_t index, int32_t epoch, struct kf__partition **partition)
{
    kf_err err = kf__led_partition(exchange, topic, index, epoch < 0 ? -1 : epoch, partition);
    if (err != KF_ERR_NOT_LEADER_OR_FOLLOWER || exchange->version < FIRST_FETCH_FROM_FOLLOWERS ||
        !exchange->broker->racks || !*partition || (*partition)->leader < 0)
        return err;
    kf_err forced = kf__forced(exchange, topic->name, index);
    return !forced && kf__is_replica(*partition, exchange->node) ? KF_OK : err;
}

int64_t kf__replica_end(const struct kf__exchange *exchange, const struct kf__partition *partition)
{
    return kf__end_of_replica(partition, exchange->node);
}

int32_t kf__nearest_replica(const struct kf__exchange *exchange,
                            const struct kf__partition *partition, kf_string rack)
{
    const struct kf_broker *broker = exchange->broker;
    if (rack.size == 0 || partition->leader != exchange->node ||
        kf__text_equal(kf__rack_of(broker, exchange->node), rack))
        return -1;
    for (int32_t i = 0; i < partition->replica_count; i++) {
        int32_t node = partition->replicas[i];
        if (kf__is_in_sync(partition, node) && kf__text_equal(kf__rack_of(broker, node), rack))
            return node;
    }
    return -1;
}
