/*
 * group: one classic consumer group as data: its members, their protocols,
 * who leads, which protocol all have in common. It decides nothing about
 * rebalances: group_coordinator.c does.
 */
#ifndef KF_BROKER_GROUP_H
#define KF_BROKER_GROUP_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>
#include <stdbool.h>

/* A protocol (an assignor) that a member offers, and what it says with it. */
struct kf__group_protocol {
    kf_string name;
    kf_bytes metadata;
    int32_t votes; /* for a moment: see kf__group_vote */
};

struct kf__group_member {
    kf_string id;
    kf_string instance_id; /* null: a dynamic member */
    kf_string client_id;
    kf_string client_host;
    kf_time session_timeout;
    kf_time rebalance_timeout;
    struct kf__group_protocol *protocols; /* in the order of preference */
    struct kf__group_protocol **by_name;
    int32_t protocol_count;
    kf_bytes assignment;
    kf_time session_deadline;
    bool is_new;      /* has not lived through a completed join yet */
    bool joining;     /* its JoinGroup waits; the asker may be gone */
    bool syncing;     /* its SyncGroup waits */
    bool owes_sync;   /* has joined this generation, not yet synced */
    void *join_token; /* who waits; NULL: nobody any more */
    void *sync_token;
};

enum kf__group_state {
    KF__GROUP_EMPTY,
    KF__GROUP_PREPARING,  /* waits for JoinGroup from everybody */
    KF__GROUP_COMPLETING, /* waits for the leader's assignment */
    KF__GROUP_STABLE,
};

/* A member id given out with MEMBER_ID_REQUIRED, whose owner hasn't come back yet. */
struct kf__pending_member {
    kf_string id;
    kf_time deadline;
};

struct kf__classic_group {
    kf_string id;
    enum kf__group_state state;
    int64_t empty_since_ms; /* EMPTY: when its last member went, wall clock; -1: never had any */
    int32_t generation;
    kf_string protocol_type;           /* null: none yet */
    kf_string protocol_name;           /* null: none chosen */
    struct kf__group_member **members; /* in the order they came */
    int32_t member_count;
    struct kf__group_member *leader;
    struct kf__pending_member *pending;
    int32_t pending_count;
    kf_time rebalance_deadline; /* PREPARING: when the join ends without the missing */
    kf_time initial_limit;      /* PREPARING: how long an initial delay may be prolonged; 0: none */
    bool grew;                  /* a member came during the initial delay */
    kf_time sync_deadline;      /* who owes a SyncGroup then is removed */
};

const char *kf__group_state_name(enum kf__group_state state);

kf_err kf__group_new(const kf_allocator *alloc, kf_string id, struct kf__classic_group **group);
void kf__group_free(const kf_allocator *alloc, struct kf__classic_group *group);

struct kf__group_member *kf__group_member(const struct kf__classic_group *group, kf_string id);
struct kf__group_member *kf__group_static_member(const struct kf__classic_group *group,
                                                 kf_string instance_id);

/* A member with nothing but its names; not in the group yet. */
kf_err kf__group_member_new(const kf_allocator *alloc, kf_string id, kf_string instance_id,
                            kf_string client_id, kf_string client_host,
                            struct kf__group_member **member);
void kf__group_member_free(const kf_allocator *alloc, struct kf__group_member *member);
/* The first one becomes the leader. */
kf_err kf__group_add(const kf_allocator *alloc, struct kf__classic_group *group,
                     struct kf__group_member *member);
/* Frees it; the next in line leads where it led. */
void kf__group_remove(const kf_allocator *alloc, struct kf__classic_group *group,
                      struct kf__group_member *member);

kf_err kf__group_set_protocols(const kf_allocator *alloc, struct kf__group_member *member,
                               const struct kf__group_protocol *protocols, int32_t count);
bool kf__group_same_protocols(const struct kf__group_member *member,
                              const struct kf__group_protocol *protocols, int32_t count);
/* What the member says with the group's chosen protocol; empty where there is none. */
kf_bytes kf__group_metadata(const struct kf__group_member *member, kf_string protocol);
/* Would a member with these fit in? */
bool kf__group_accepts(const struct kf__classic_group *group, kf_string type,
                       const struct kf__group_protocol *protocols, int32_t count);
/* The protocol that all offer and most prefer; null where there is none. Borrowed from a member. */
kf_string kf__group_vote(const struct kf__classic_group *group);

bool kf__group_is_pending(const struct kf__classic_group *group, kf_string id);
kf_err kf__group_add_pending(const kf_allocator *alloc, struct kf__classic_group *group,
                             kf_string id, kf_time deadline);
void kf__group_remove_pending(const kf_allocator *alloc, struct kf__classic_group *group,
                              kf_string id);

#endif
