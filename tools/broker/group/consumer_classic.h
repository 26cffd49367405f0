/*
 * consumer_classic: members of the classic protocol within a consumer group
 * (KIP-848, online migration): their JoinGroup and SyncGroup are answered at
 * once, their generation is the member epoch. Called by the API files.
 */
#ifndef KF_BROKER_CONSUMER_CLASSIC_H
#define KF_BROKER_CONSUMER_CLASSIC_H

#include "tools/broker/group/consumer_coordinator.h"

/*
 * The four below: is the group one of the new protocol, with members? Then they
 * answer, and say true; else the classic coordinator has to. An empty one gives
 * way to a classic member that joins.
 */
bool kf__consumers_join(struct kf__consumers *consumers, kf_time now, const struct kf__join *join,
                        void *token);
bool kf__consumers_sync(struct kf__consumers *consumers, kf_time now, const struct kf__sync *sync,
                        void *token);
bool kf__consumers_heartbeat(struct kf__consumers *consumers, kf_time now,
                             const struct kf__member_claim *who, kf_err *err);
/* Of one group, all at once; errors[] are theirs. */
bool kf__consumers_leave(struct kf__consumers *consumers, kf_time now,
                         const struct kf__member_claim *who, int32_t count, kf_err *errors);

#endif
