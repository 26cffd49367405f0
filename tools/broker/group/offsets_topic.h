/*
 * offsets_topic: what the group coordinators write into __consumer_offsets, as
 * Kafka's do. What counts is in their memory; a change is written first and
 * made then, and where it can't be written it isn't made.
 *
 *     record            key              value
 *     OffsetCommit      1                4 with the topic's id; 1 with an expiry of its own
 *     a tombstone       1                null: deleted, expired, or its topic is gone
 *     GroupMetadata     2                3: a classic group with its members, when it is made,
 * stable or empty; a tombstone when it goes
 *
 * Called by the API files, events.c and broker.c.
 */
#ifndef KF_BROKER_OFFSETS_TOPIC_H
#define KF_BROKER_OFFSETS_TOPIC_H

#include "tools/broker/group/committed.h"
#include "tools/broker/group/expiry.h"
#include "tools/broker/group/pending_offsets.h"

struct kf_broker;

/* All of them or none. */
kf_err kf__offsets_commit(struct kf_broker *broker, kf_string group,
                          const struct kf__committed_offset *offsets, size_t count);
/* The same for those of one transaction to one group: nobody sees them before its marker. */
kf_err kf__offsets_commit_pending(struct kf_broker *broker,
                                  const struct kf__pending_offset *offsets, size_t count);

struct kf__offset_place {
    kf_string topic;
    int32_t partition;
};
/* What of them is committed is so no more: all of it or none. */
kf_err kf__offsets_delete(struct kf_broker *broker, kf_string group,
                          const struct kf__offset_place *places, size_t count);
/* The group goes, of either kind, and all its offsets. GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP. */
kf_err kf__group_delete(struct kf_broker *broker, kf_string group);
/* Of all groups: the topic goes. What can't be written goes without a word. */
void kf__offsets_drop_topic(struct kf_broker *broker, kf_string topic);
/* For the coordinator of classic groups; `context` is the broker. */
kf_err kf__offsets_store_group(void *context, const struct kf__classic_group *group);
void kf__offsets_forget_group(void *context, const struct kf__classic_group *group);
/* For expiry.h; `context` is the broker. */
kf_err kf__offsets_forget(void *context, kf_string group, const struct kf__committed_group *offsets,
                          const bool *goes, bool last);

#endif
