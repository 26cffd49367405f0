/*
 * txn_topic: what the transaction coordinator writes into __transaction_state:
 * a record of the whole state for each change of it, by transactional id, and
 * a tombstone when the id is forgotten. Called through the coordinator's sink;
 * `context` is the broker.
 */
#ifndef KF_BROKER_TXN_TOPIC_H
#define KF_BROKER_TXN_TOPIC_H

#include "tools/broker/txn/txn_coordinator.h"

kf_err kf__txn_topic_write(void *context, const struct kf__txn *next, int64_t before, bool must);
kf_err kf__txn_topic_forget(void *context, kf_string id);

#endif
