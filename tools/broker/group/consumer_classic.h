/*
 * consumer_classic: members of the classic protocol within a consumer group
 * (KIP-848, online migration), and the way between the two kinds of groups.
 */
#ifndef KF_BROKER_CONSUMER_CLASSIC_H
#define KF_BROKER_CONSUMER_CLASSIC_H

#include "tools/broker/group/consumer_coordinator.h"

/* A classic group with members becomes a consumer group; GROUP_ID_NOT_FOUND where it can't. */
kf_err kf__consumers_upgrade(struct kf__consumers *consumers, kf_time now, kf_string id,
                             const struct kf__consumer_settings *settings,
                             struct kf__consumer_group **group, struct kf__beat_answer *answer);

/* The member goes. Where only classic ones are left, the group goes back to being classic. */
kf_err kf__consumers_fence(struct kf__consumers *consumers, kf_time now,
                           struct kf__consumer_group *group, struct kf__consumer_member *member,
                           const struct kf__consumer_settings *settings);

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
bool kf__consumers_leave(struct kf__consumers *consumers, kf_time now,
                         const struct kf__member_claim *who, kf_err *err);

#endif
