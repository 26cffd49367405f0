/*
 * txn_log: what transactions leave in a partition's log: markers that end
 * them, the last stable offset, the aborted ones (KIP-98). Called by the API
 * files and by the transaction coordinator's sink.
 */
#ifndef KF_BROKER_TXN_LOG_H
#define KF_BROKER_TXN_LOG_H

#include "tools/broker/log/topics.h"
#include "tools/broker/txn/txn_coordinator.h"

/* Below it every transaction has ended: what a reader of committed records may see. */
int64_t kf__stable_offset(const struct kf__partition *partition);

/* May the marker be written? INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED. */
kf_err kf__check_marker(const struct kf__partition *partition, const struct kf__txn_mark *mark);

/*
 * Appends the marker and ends the producer's transaction, if one is open.
 * INVALID_PRODUCER_EPOCH; TRANSACTION_COORDINATOR_FENCED: a marker of a later
 * coordinator is there already. `wall_ms` is the marker's timestamp.
 */
kf_err kf__write_marker(struct kf__topics *topics, struct kf__codecs *codecs,
                        struct kf__partition *partition, const struct kf__txn_mark *mark,
                        int64_t wall_ms);

#endif
