/*
 * txn_markers: carries the transaction coordinator's markers to partitions
 * and groups. Called by the coordinator through its sink, and by
 * api/write_txn_markers.c.
 */
#ifndef KF_BROKER_TXN_MARKERS_H
#define KF_BROKER_TXN_MARKERS_H

#include "tools/broker/server/exchange.h"
#include "tools/broker/txn/txn_coordinator.h"

struct kf__txn_sink kf__txn_sink_of(struct kf_broker *broker);
struct kf__txn_now kf__txn_now(const struct kf_broker *broker, kf_time now);

/*
 * To a partition, or to the groups of a partition of the offsets topic.
 * UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, what kf__write_marker says.
 */
kf_err kf__txn_mark(struct kf_broker *broker, const struct kf__txn_mark *mark, kf_string topic,
                    int32_t partition);

/*
 * A write of a transaction to a partition: is it part of the transaction?
 * With `add` (KIP-890) it becomes part; else it must be. The errors are those
 * that Produce and TxnOffsetCommit answer; `generic` says that the client
 * knows TRANSACTION_ABORTABLE.
 */
kf_err kf__txn_admit(struct kf__exchange *exchange, const struct kf__txn_claim *claim,
                     kf_string topic, int32_t partition, bool add, bool generic);

#endif
