/*
 * expiry: committed offsets that have been of no use for long go (KIP-211), as
 * Kafka's coordinator has it:
 *
 *     group                                  its offsets go
 *     classic, empty                         the retention after its last member went
 *     classic of consumers, stable           … after they were committed
 *     classic in a rebalance, or of others   not at all
 *     never had a member                     … after they were committed
 *     of the new protocol                    … after they were committed
 *
 * An offset with a retention time of its own (OffsetCommit before version 5)
 * goes by that. What some member subscribes to stays, and what an open
 * transaction is about to replace. A group without members goes with its last
 * offset. Pure. Called by events.c.
 */
#ifndef KF_BROKER_EXPIRY_H
#define KF_BROKER_EXPIRY_H

#include "tools/broker/group/consumer_coordinator.h"
#include "tools/broker/group/pending_offsets.h"
#include <kafiber/codec.h>

struct kf__expiry {
    struct kf__consumers *consumers; /* and the classic groups beside them */
    struct kf__committed *committed;
    const struct kf__pending_offsets *pending;
    int64_t now_ms; /* wall clock */
    int64_t retention_ms;
    kf_arena *arena; /* to read subscriptions in */
    void *context;
    /*
     * Before they go: goes[i] is of offsets->items[i]; `last`: the group goes as well. On an error
     * everything stays. NULL: nobody wants to know; offsets NULL: there are none.
     */
    kf_err (*forget)(void *context, kf_string group, const struct kf__committed_group *offsets,
                     const bool *goes, bool last);
};

void kf__offsets_expire(const struct kf__expiry *expiry);

#endif
