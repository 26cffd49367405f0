/*
 * snapshot: the broker's state as bytes, and back: topics with their logs and
 * producers, committed offsets, groups, transactions, configs (client metrics subscriptions among
 * them), ACLs, quotas, SCRAM users, feature levels. Not in it: passwords, connections, members (a
 * restored group is empty, in its generation), fetch sessions, faults, which nodes run.
 *
 *     "KFSNAP" version │ cluster │ topics… │ offsets… │ groups… │ transactions… │ settings…
 *
 * Called with the broker's lock by snapshot.c's own C interface.
 */
#ifndef KF_BROKER_SNAPSHOT_H
#define KF_BROKER_SNAPSHOT_H

#include "tools/broker/instrument/archive.h"
#include "tools/broker/state.h"

/* snapshot_settings.c. What the broker's own options say is no part of it. */
void kf__archive_configs(struct kf__archive *archive, struct kf__configs *configs);
void kf__archive_acls(struct kf__archive *archive, struct kf__acls *acls);
void kf__archive_quotas(struct kf__archive *archive, struct kf__quotas *quotas);
/* SCRAM's salts and keys; no password. */
void kf__archive_users(struct kf__archive *archive, struct kf__users *users);
void kf__archive_features(struct kf__archive *archive, struct kf__features *features);

/* snapshot_topics.c. Reading, the topics are new and empty. */
void kf__archive_topics(struct kf__archive *archive, struct kf__topics *topics);

#endif
