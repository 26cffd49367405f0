/*
 * consumer_coordinator: the new group protocol (KIP-848): members say by
 * heartbeats what they want and have; the coordinator says what they get.
 *
 *     heartbeat ─▶ member found, made or replaced ─▶ subscription taken ─▶ group epoch rises
 *                                                                              │
 *     answer ◀── reconcile.c: one step towards it ◀── consumer_target.c: new targets,
 *                                                     at most one a second
 *
 * Pure: requests and time go in, answers come out at once; nobody waits here.
 * An id is a group of one kind: of this one or classic. An empty group of one
 * kind gives way to the other; a classic one with members is converted, and
 * back (consumer_classic.c). Called by the API files and broker.c's ticks.
 */
#ifndef KF_BROKER_CONSUMER_COORDINATOR_H
#define KF_BROKER_CONSUMER_COORDINATOR_H

#include "tools/broker/group/consumer_group.h"
#include "tools/broker/group/group_coordinator.h"
#include "tools/broker/log/topics.h"

enum {
    KF__WHY_BYTES = 1024,
    KF__MAX_GROUP_BYTES = 64 << 20, /* of all consumer groups: beyond it nobody new gets in */
};

enum kf__migration {
    KF__MIGRATE_NEVER = 0,
    KF__MIGRATE_UP = 1,   /* classic groups become consumer groups */
    KF__MIGRATE_DOWN = 2, /* and back */
};

/* What is configured for a group. */
struct kf__consumer_settings {
    kf_time session_timeout;
    kf_time assignment_interval;
    int32_t heartbeat_ms;
    int32_t max_size;
    int32_t classic_max_size;
    int migration;   /* enum kf__migration, added up */
    bool no_uniform; /* group.consumer.assignors has it not */
    bool no_range;
    bool range_first; /* what a group has whose members prefer none */
};

struct kf__consumers {
    const kf_allocator *alloc;
    const struct kf__topics *topics;
    struct kf__coordinator *classic; /* the groups of the other kind */
    void *context;
    void (*settings)(void *context, kf_string group, struct kf__consumer_settings *settings);
    uint64_t seed; /* of member ids */
    struct kf__consumer_group **groups;
    size_t group_count;
    size_t bytes; /* of all groups, about */
};

void kf__consumers_init(struct kf__consumers *consumers, const kf_allocator *alloc,
                        const struct kf__topics *topics, struct kf__coordinator *classic);
void kf__consumers_free(struct kf__consumers *consumers);

struct kf__consumer_group *kf__consumers_find(const struct kf__consumers *consumers,
                                              kf_string group);
/* One that comes back from a snapshot, or NULL. */
struct kf__consumer_group *kf__consumers_put(struct kf__consumers *consumers, kf_string group);
/* False: it has members; nothing is done. */
bool kf__consumers_drop_empty(struct kf__consumers *consumers, kf_string group);

/* A ConsumerGroupHeartbeat. */
struct kf__beat {
    int16_t version;
    kf_string group;
    kf_string member_id;
    int32_t member_epoch;
    kf_string instance_id;
    kf_string rack_id;
    kf_string client_id;
    kf_string client_host;
    int32_t rebalance_timeout_ms; /* -1: as before */
    const kf_string *topics;
    int32_t topic_count; /* -1: as before */
    kf_string regex;     /* null: as before */
    kf_string assignor;  /* null: as before */
    const struct kf__held *owned;
    size_t owned_count;
    int32_t owned_topics; /* -1: not said */
    const void *context;
    bool (*may_describe)(const void *context, kf_string topic); /* NULL: everything */
};

struct kf__beat_answer {
    kf_err error;
    char why[KF__WHY_BYTES]; /* Kafka's sentence; empty: none */
    kf_string member_id;     /* of this and what follows: valid until the next call */
    int32_t member_epoch;
    int32_t heartbeat_ms;
    const struct kf__holding *assignment; /* NULL: as before */
    char made_id[24];
};
void kf__consumers_beat(struct kf__consumers *consumers, kf_time now, const struct kf__beat *beat,
                        struct kf__beat_answer *answer);

/* Members whose time is over go. */
void kf__consumers_tick(struct kf__consumers *consumers, kf_time now);
/* When the next tick is due; KF_FOREVER: nothing waits. */
kf_time kf__consumers_deadline(const struct kf__consumers *consumers);

/* ---- what others ask of a consumer group ---- */

/*
 * May this commit be written? *member is set where the epoch is an old one: then each partition
 * has to be asked for. UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION (of a classic
 * member), UNSUPPORTED_VERSION. `version` is OffsetCommit's.
 */
kf_err kf__consumer_check_commit(const struct kf__consumer_group *group,
                                 const struct kf__member_claim *who, int16_t version,
                                 const struct kf__consumer_member **member);
kf_err kf__consumer_check_partition(const struct kf__consumer_member *member, int32_t epoch,
                                    kf_uuid topic, int32_t partition);
/* OffsetFetch: a null id: from outside. UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, … */
kf_err kf__consumer_check_fetch(const struct kf__consumer_group *group, kf_string member_id,
                                int32_t epoch);

/* ---- used by consumer_classic.c and consumer_regexes.c ---- */

/* Members whose `leaves` is set go, the group's epoch rises by one; the group stays. */
kf_err kf__consumers_remove(struct kf__consumers *consumers, struct kf__consumer_group *group);
/* Counts what the group takes of memory anew. */
void kf__consumers_count(struct kf__consumers *consumers, struct kf__consumer_group *group);
/* Raises the epoch if `must`, or if the topics subscribed to have changed. */
kf_err kf__consumers_look_at_topics(struct kf__consumers *consumers,
                                    struct kf__consumer_group *group, bool must);
/* New targets, where the epoch has risen and the last ones are old enough. */
kf_err kf__consumers_retarget(struct kf__consumers *consumers, kf_time now,
                              struct kf__consumer_group *group, kf_time interval);
/* 22 letters of base64url. */
void kf__consumers_make_id(struct kf__consumers *consumers, char id[24]);
/* Takes the group's place, and its members with it. */
void kf__consumers_take_out(struct kf__consumers *consumers, struct kf__consumer_group *group);

#endif
