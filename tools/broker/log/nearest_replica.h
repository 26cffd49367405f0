/*
 * nearest_replica: which replica a consumer reads from (KIP-392): the leader,
 * or where nodes have racks, from version 11 of Fetch on, any that is asked;
 * and which one the leader sends a consumer to whose rack it is in. Kafka's
 * followers answer without racks too; here who asks the wrong node is told,
 * for that is what tests of clients want to see. Called by api/fetch.c.
 */
#ifndef KF_BROKER_NEAREST_REPLICA_H
#define KF_BROKER_NEAREST_REPLICA_H

#include "tools/broker/server/exchange.h"

/* As kf__led_partition, but a follower may do. */
kf_err kf__fetched_partition(const struct kf__exchange *exchange, struct kf__topic *topic,
                             int32_t index, int32_t epoch, struct kf__partition **partition);
/* Past the last offset that the asked node has. */
int64_t kf__replica_end(const struct kf__exchange *exchange, const struct kf__partition *partition);
/* A follower in sync in the consumer's rack, where the leader isn't; -1: stay here. */
int32_t kf__nearest_replica(const struct kf__exchange *exchange,
                            const struct kf__partition *partition, kf_string rack);

/* Null where the node has none. */
kf_string kf__rack_of(const struct kf_broker *broker, int32_t node);

#endif
