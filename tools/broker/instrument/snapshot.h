/*
 * snapshot: the broker's state as bytes, and back: topics with their logs and
 * producers, committed offsets, groups, transactions, configs, ACLs, quotas. Not in it:
 * connections, members (a restored group is empty, in its generation), fetch sessions, faults,
 * which nodes run.
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

/* snapshot_topics.c. Reading, the topics are new and empty. */
void kf__archive_topics(struct kf__archive *archive, struct kf__topics *topics);

#endif
