/*
 * consumer_migration: the way between the two kinds of groups while members are
 * in them (group.consumer.migration.policy).
 *
 *            a member of the new protocol comes
 *     classic ────────────────────────────────▶ new, with classic members in it
 *        ▲                                              │
 *        └───────────── the last such member goes ──────┘
 */
#ifndef KF_BROKER_CONSUMER_MIGRATION_H
#define KF_BROKER_CONSUMER_MIGRATION_H

#include "tools/broker/group/consumer_coordinator.h"

/* A classic group with members becomes a consumer group; GROUP_ID_NOT_FOUND where it can't. */
kf_err kf__consumers_upgrade(struct kf__consumers *consumers, kf_time now, kf_string id,
                             const struct kf__consumer_settings *settings,
                             struct kf__consumer_group **group, struct kf__beat_answer *answer);

/*
 * The members whose `leaves` is set go, in one epoch. Where only classic ones are left, the group
 * goes back to being classic.
 */
kf_err kf__consumers_fence(struct kf__consumers *consumers, kf_time now,
                           struct kf__consumer_group *group,
                           const struct kf__consumer_settings *settings);

/* Are all members classic now, and may the group be? */
bool kf__consumers_may_downgrade(const struct kf__consumer_group *group,
                                 const struct kf__consumer_settings *settings);
/* It becomes a classic one; with a rebalance where members do not have what they are to have. */
kf_err kf__consumers_downgrade(struct kf__consumers *consumers, kf_time now,
                               struct kf__consumer_group *group, bool rebalance);

#endif
