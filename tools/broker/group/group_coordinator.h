/*
 * group_coordinator: the classic group protocol, as Kafka's group coordinator
 * speaks it (KIP-62, KIP-345, KIP-394, KIP-559, KIP-814).
 *
 *              first join                all joined, or timeout
 *      EMPTY ─────────────▶ PREPARING ──────────────────────────▶ COMPLETING
 *        ▲                   ▲  ▲  │ nobody left                     │ leader's
 *        └───────────────────│──│──┘                                 │ SyncGroup
 *            join, leave,    │  └────── join, leave, expiry ─────────┤
 *            expiry          └──────────────────────────── STABLE ◀──┘
 *
 * Pure: requests and time go in; answers come out through the sink, at once
 * or from a later call. No sockets, no clock. Called by the API files and by
 * broker.c's ticks.
 */
#ifndef KF_BROKER_GROUP_COORDINATOR_H
#define KF_BROKER_GROUP_COORDINATOR_H

#include "tools/broker/group/group.h"

/* The answer to a JoinGroup. Views are valid during the call. */
struct kf__joined {
    kf_err error;
    int32_t generation;
    kf_string protocol_type;
    kf_string protocol_name;
    kf_string leader;
    kf_string member_id;
    const struct kf__classic_group *group; /* whose members are listed; NULL: none are */
    bool skip_assignment;                  /* KIP-814 */
};

struct kf__synced {
    kf_err error;
    kf_string protocol_type;
    kf_string protocol_name;
    kf_bytes assignment;
};

/* Who asked is a token; each is answered once, or forgotten. The sink must not call back. */
struct kf__group_sink {
    void *context;
    void (*joined)(void *context, void *token, const struct kf__joined *answer);
    void (*synced)(void *context, void *token, const struct kf__synced *answer);
    /* The group as it is from now on, for those who keep it; NULL: nobody does. */
    kf_err (*store)(void *context, const struct kf__classic_group *group);
    /* It goes without its offsets: it becomes a group of the new protocol. NULL as with `store`. */
    void (*forget)(void *context, const struct kf__classic_group *group);
};

struct kf__coordinator {
    const kf_allocator *alloc;
    struct kf__group_sink sink;
    kf_time initial_delay;       /* group.initial.rebalance.delay.ms */
    kf_time min_session_timeout; /* group.min.session.timeout.ms */
    kf_time max_session_timeout;
    int32_t max_size; /* group.max.size */
    int64_t zero_ms;  /* the wall clock at kf_time 0: groups note when they became empty */
    uint64_t seed;    /* of member ids */
    struct kf__classic_group **groups;
    size_t group_count;
};

void kf__coordinator_init(struct kf__coordinator *coordinator, const kf_allocator *alloc,
                          struct kf__group_sink sink);
void kf__coordinator_free(struct kf__coordinator *coordinator);

struct kf__classic_group *kf__coordinator_find(const struct kf__coordinator *coordinator,
                                               kf_string group);
/* The group, made where it is missing; NULL when out of memory. */
struct kf__classic_group *kf__coordinator_group(struct kf__coordinator *coordinator,
                                                kf_string group);

struct kf__join {
    kf_string group;
    kf_string member_id; /* empty: a new member */
    kf_string instance_id;
    kf_string client_id;
    kf_string client_host;
    kf_string protocol_type;
    const struct kf__group_protocol *protocols;
    int32_t protocol_count;
    kf_time session_timeout;
    kf_time rebalance_timeout;
    bool require_member_id;   /* KIP-394: version 4 and up */
    bool can_skip_assignment; /* KIP-814: version 9 and up */
};
void kf__coordinator_join(struct kf__coordinator *coordinator, kf_time now,
                          const struct kf__join *join, void *token);

/* Who a request says it is. */
struct kf__member_claim {
    kf_string group;
    kf_string member_id;
    kf_string instance_id;
    int32_t generation;
    bool transactional; /* a commit within a transaction: it may come from outside the group */
};

struct kf__member_assignment {
    kf_string member_id;
    kf_bytes assignment;
};
struct kf__sync {
    struct kf__member_claim who;
    kf_string protocol_type; /* null: not said */
    kf_string protocol_name;
    const struct kf__member_assignment *assignments; /* the leader's */
    int32_t assignment_count;
};
void kf__coordinator_sync(struct kf__coordinator *coordinator, kf_time now,
                          const struct kf__sync *sync, void *token);

kf_err kf__coordinator_heartbeat(struct kf__coordinator *coordinator, kf_time now,
                                 const struct kf__member_claim *who);
/* Generation is not looked at. */
kf_err kf__coordinator_leave(struct kf__coordinator *coordinator, kf_time now,
                             const struct kf__member_claim *who);
/* May this commit be written? Generation -1: from outside the group. Makes the group if so. */
kf_err kf__coordinator_check_commit(struct kf__coordinator *coordinator, kf_time now,
                                    const struct kf__member_claim *who);
/* GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP. */
kf_err kf__coordinator_delete(struct kf__coordinator *coordinator, kf_string group);

/* An empty one gives way to a group of the new protocol. */
void kf__coordinator_give_up(struct kf__coordinator *coordinator, kf_string group);

/* Whoever waits is answered with the error; the group goes, members and all. */
void kf__coordinator_dissolve(struct kf__coordinator *coordinator, struct kf__classic_group *group,
                              kf_err error);

/* The asker is gone: its token is not used any more. The member stays until its session ends. */
void kf__coordinator_forget(struct kf__coordinator *coordinator, void *token);
/* Another node looks after the group now: who waits here is told NOT_COORDINATOR, and asks there.
 */
void kf__coordinator_move(struct kf__coordinator *coordinator, kf_string group);
void kf__coordinator_tick(struct kf__coordinator *coordinator, kf_time now);
/* When the next tick is due; KF_FOREVER: nothing waits. */
kf_time kf__coordinator_deadline(const struct kf__coordinator *coordinator);

#endif
