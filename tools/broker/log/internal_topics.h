/*
 * internal_topics: the topics in which coordinators keep what they know, and
 * thereby who coordinates what:
 *
 *     key ─▶ Java's hash ─▶ partition of the topic ─▶ its leader is the coordinator
 *
 * A topic is made when somebody first needs it, with what Kafka configures for it; so there is
 * always an answer at once. What is written into them: group/offsets_topic.h, txn/txn_topic.h.
 * Called by the API files, events.c, calls.c.
 */
#ifndef KF_BROKER_INTERNAL_TOPICS_H
#define KF_BROKER_INTERNAL_TOPICS_H

#include "tools/broker/log/topics.h"

struct kf_broker;

#define KF__OFFSETS_TOPIC      "__consumer_offsets"
#define KF__TRANSACTIONS_TOPIC "__transaction_state"

enum kf__internal {
    KF__OFFSETS,      /* by group */
    KF__TRANSACTIONS, /* by transactional id */
};

/* One of Kafka's own, __share_group_state too, whether it is there or not. */
bool kf__topic_is_internal(kf_string name);
/* Which of those that are made here. */
bool kf__internal_by_name(kf_string name, enum kf__internal *which);

/* The topic, made where it is missing; NULL: there is no memory, or a name alike is taken. */
struct kf__topic *kf__internal_topic_of(struct kf_broker *broker, enum kf__internal which);
/* Kafka's choice among so many partitions: Utils.abs(key.hashCode()) % partitions. */
int32_t kf__place_of_key(kf_string key, int32_t partitions);
/* The partition that the key belongs to; -1: there is no such topic, and none can be made. */
int32_t kf__internal_place(struct kf_broker *broker, enum kf__internal which, kf_string key);
struct kf__partition *kf__internal_partition(struct kf_broker *broker, enum kf__internal which,
                                             kf_string key);

/* Which node coordinates the key; -1: none. */
int32_t kf__coordinator_of(struct kf_broker *broker, enum kf__internal which, kf_string key);
/* The same of a name that may be of a group or of a transactional id: what is known by it. */
int32_t kf__coordinator_of_name(struct kf_broker *broker, kf_string name);
/*
 * The partitions of a group, a transactional id or, where the name is neither yet, of both are
 * led by the node. BROKER_NOT_AVAILABLE, COORDINATOR_NOT_AVAILABLE.
 */
kf_err kf__move_coordinator(struct kf_broker *broker, kf_string name, int32_t node);
/* After a leader of the topic's partition changed: who waits there is told so. */
void kf__internal_leader_moved(struct kf_broker *broker, const struct kf__topic *topic,
                               int32_t index);
/* Before the topic goes: what its coordinators know goes with it. */
void kf__internal_topic_goes(struct kf_broker *broker, const struct kf__topic *topic);

#endif
