/*
 * group_rebalance: the part of the coordinator that moves a group through a
 * rebalance and lets time pass. Used by group_coordinator.c alone; the
 * diagram is in group_coordinator.h.
 */
#ifndef KF_BROKER_GROUP_REBALANCE_H
#define KF_BROKER_GROUP_REBALANCE_H

#include "tools/broker/group/group_coordinator.h"

#define KF__NEW_MEMBER_TIMEOUT (300 * KF_SECOND) /* a new member may wait this long in a join */

enum {
    KF__MEMBER_ID_BYTES = 33000 /* the longest client id and a uuid */
};

/* Starts a rebalance where none is on, and completes it if nobody is missing. */
void kf__rebalance(struct kf__coordinator *coordinator, kf_time now,
                   struct kf__classic_group *group);
void kf__maybe_complete_join(struct kf__coordinator *coordinator, kf_time now,
                             struct kf__classic_group *group);
/* `error` goes to whoever waits in the member's name. */
void kf__remove_and_rebalance(struct kf__coordinator *coordinator, kf_time now,
                              struct kf__classic_group *group, struct kf__group_member *member,
                              kf_err error);
/* What cannot be stored is not to be told either. */
kf_err kf__store_group(const struct kf__coordinator *coordinator,
                       const struct kf__classic_group *group);
void kf__forget_group(const struct kf__coordinator *coordinator,
                      const struct kf__classic_group *group);
/* Answers the member's waiting SyncGroup, if any. */
void kf__answer_sync(const struct kf__coordinator *coordinator,
                     const struct kf__classic_group *group, struct kf__group_member *member,
                     kf_err error);

#endif
