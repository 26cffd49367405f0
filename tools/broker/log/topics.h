/*
 * topics: the cluster's topics, their partitions, who leads them and in which
 * epoch; which nodes run. All nodes of the process share one log per
 * partition: who has how much of it is replicas.h's matter. Pure. Called by the API
 * files and calls.c.
 */
#ifndef KF_BROKER_TOPICS_H
#define KF_BROKER_TOPICS_H

#include "tools/broker/log/aborted.h"
#include "tools/broker/log/log.h"
#include "tools/broker/log/producers.h"
#include "tools/broker/log/replicas.h"
#include <kafiber/types.h>

enum {
    KF__MAX_NODES = 64,
    KF__MAX_PARTITIONS = 100000, /* of one topic: a typing error should not take all memory */
    KF__MAX_TOPIC_NAME = 249,    /* Kafka's */
};

struct kf__partition {
    struct kf__partition_log log;
    struct kf__producers producers;
    struct kf__aborted aborted;
    int32_t leader; /* -1: none of the replicas runs */
    int32_t leader_epoch;
    int32_t replica_count;
    int32_t *replicas; /* preferred leader first */
    size_t tidy_at;    /* of an internal topic: bytes at which it is compacted; 0: not decided */
    struct kf__replicas sync;
};

/* What a topic's configs say where the broker has to obey (configs.h holds the words). */
struct kf__topic_settings {
    int64_t max_message_bytes;
    int64_t max_unpacked_record_bytes; /* max.decompressed.message.bytes */
    int64_t segment_bytes;
    int64_t retention_ms;    /* -1: no limit */
    int64_t retention_bytes; /* -1: no limit */
    int64_t delete_retention_ms;
    int64_t min_compaction_lag_ms;
    int64_t before_max_ms; /* of a record's timestamp */
    int64_t after_max_ms;
    int32_t min_insync_replicas;
    int32_t level; /* of codec */
    int8_t codec;  /* enum kf_codec; -1: as the producer compressed */
    bool deletes;  /* cleanup.policy */
    bool compacts;
    bool append_time;      /* message.timestamp.type=LogAppendTime */
    bool unclean_election; /* unclean.leader.election.enable */
};

struct kf__topic {
    kf_string name;
    kf_uuid id;
    struct kf__topic_settings settings;
    int32_t partition_count;
    struct kf__partition *partitions;
};

/* One of 64: it tells most partitions from most others. */
static inline uint64_t kf__partition_mark(const struct kf__topic *topic, int32_t index)
{
    return UINT64_C(1) << (((uint32_t)topic->id.bytes[0] + (uint32_t)index) & 63);
}

struct kf__topics {
    const kf_allocator *alloc;
    struct kf__topic **items; /* by name */
    struct kf__topic **by_id;
    size_t count;
    size_t capacity;
    int32_t node_count; /* ids 1 … node_count */
    bool runs[KF__MAX_NODES + 1];
    size_t bytes;     /* of all logs */
    uint64_t ids;     /* how many topic ids were given out */
    uint64_t changes; /* counts topics and partitions that come and go */
    uint64_t seed;
    int32_t next_leader; /* where the next topic's first partition goes */
};

void kf__broker_topics_init(struct kf__topics *topics, const kf_allocator *alloc, int32_t nodes,
                            uint64_t seed);
void kf__broker_topics_free(struct kf__topics *topics);

struct kf__topic *kf__broker_topics_find(const struct kf__topics *topics, kf_string name);
struct kf__topic *kf__broker_topics_find_id(const struct kf__topics *topics, kf_uuid id);
/* Random enough to differ between topics and runs; never zero. */
kf_uuid kf__topics_new_id(struct kf__topics *topics);
struct kf__partition *kf__topic_partition(struct kf__topic *topic, int32_t partition);

/* Kafka's rules for names: 1–249 of [a-zA-Z0-9._-], not "." or "..". */
bool kf__topic_name_is_valid(kf_string name);
/* Kafka's sentence about a name that isn't. */
void kf__explain_topic_name(kf_string name, char *text, size_t size);

/* One that is named alike but for '.' and '_', which Kafka's metrics can't tell apart. */
const struct kf__topic *kf__topics_lookalike(const struct kf__topics *topics, kf_string name);
/* TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR.
 */
kf_err kf__topics_check(const struct kf__topics *topics, kf_string name, int32_t partitions,
                        int32_t replicas);
/* `topic` may be NULL. */
kf_err kf__topics_create(struct kf__topics *topics, kf_string name, int32_t partitions,
                         int32_t replicas, struct kf__topic **topic);
/* Of one that comes back from a snapshot; no other has it. */
void kf__topics_set_id(struct kf__topics *topics, struct kf__topic *topic, kf_uuid id);
/* All of the partitions, or none. */
kf_err kf__topics_extend(struct kf__topics *topics, struct kf__topic *topic, int32_t partitions);
/* Takes back what was added a moment ago, and nobody has seen. */
void kf__topics_shrink(const struct kf__topics *topics, struct kf__topic *topic,
                       int32_t partitions);
/* Replicas that somebody wants for a partition; else INVALID_REPLICA_ASSIGNMENT and Kafka's
 * sentence. */
kf_err kf__topics_check_replicas(const struct kf__topics *topics, const int32_t *ids, int32_t count,
                                 char *why, size_t size);
/* These replicas, preferred leader first, of a partition that has just been made. */
kf_err kf__topics_assign(const struct kf__topics *topics, struct kf__partition *partition,
                         const int32_t *replicas, int32_t count);
/* Its logs are gone afterwards: nobody may borrow from them. */
void kf__topics_delete(struct kf__topics *topics, struct kf__topic *topic);

/* Appends in the leader's epoch. POLICY_VIOLATION where all logs would pass `max_bytes`. */
kf_err kf__topics_append(struct kf__topics *topics, struct kf__partition *partition,
                         const struct kf__batch *batch, size_t max_bytes, int64_t *base_offset);
/* The records from `end` on were never written; nobody may borrow from them. */
void kf__topics_truncate(struct kf__topics *topics, struct kf__partition *partition, int64_t end);
/* Nobody may borrow from what is deleted. */
void kf__topics_delete_records(struct kf__topics *topics, struct kf__partition *partition,
                               int64_t before);

/* Moves leaders off (stopped) or onto (started, where there was none) the node. */
void kf__topics_set_running(struct kf__topics *topics, int32_t node, bool runs);
kf_err kf__topics_move_leader(struct kf__topics *topics, struct kf__partition *partition,
                              int32_t node);
/* The lowest node that runs; -1: none. */
int32_t kf__topics_controller(const struct kf__topics *topics);

#endif
