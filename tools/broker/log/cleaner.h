/*
 * cleaner: retention and log compaction of one partition, on demand. What a
 * topic wants is in its settings. Called by events.c; nobody may borrow from
 * the log meanwhile.
 */
#ifndef KF_BROKER_CLEANER_H
#define KF_BROKER_CLEANER_H

#include "tools/broker/state.h"

/* `now` in ms since 1970. On failure the log is as it was before one of the two steps. */
kf_err kf__clean(struct kf_broker *broker, const struct kf__topic_settings *settings,
                 struct kf__partition *partition, int64_t now);

/* Where the log would begin after retention. */
int64_t kf__retained_from(const struct kf__partition_log *log,
                          const struct kf__topic_settings *settings, int64_t now);
/* Compaction of all batches before `end`, below which every transaction has ended: aborted
   records go, and don't count as their keys' last ones. */
kf_err kf__compact(struct kf_broker *broker, const struct kf__topic_settings *settings,
                   struct kf__partition *partition, int64_t end, int64_t now);

#endif
