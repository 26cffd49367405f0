/*
 * consumer_group: one group of the new protocol (KIP-848) as data: its
 * members, what they subscribe to, what they have and are to have, its epochs
 * and regular expressions. Who may do what is consumer_coordinator.c's matter.
 *
 *     group epoch        rises when members, subscriptions or topics change
 *     assignment epoch   the group epoch that the members' targets were made for
 *     member epoch       the assignment epoch that the member has come to
 */
#ifndef KF_BROKER_CONSUMER_GROUP_H
#define KF_BROKER_CONSUMER_GROUP_H

#include "tools/broker/group/group.h"
#include "tools/broker/group/holding.h"

enum {
    KF__EPOCH_LEAVES = -1,
    KF__EPOCH_LEAVES_FOR_A_WHILE = -2, /* a static member: its place is kept */
};

enum kf__member_state {
    KF__MEMBER_STABLE,     /* has what it is to have, as far as it is free */
    KF__MEMBER_UNREVOKED,  /* has to give something back first */
    KF__MEMBER_UNRELEASED, /* waits for what others have not given back */
};

/* What a member that still speaks the classic protocol has said in JoinGroup. */
struct kf__classic_face {
    struct kf__group_protocol *protocols; /* in the order of preference */
    int32_t protocol_count;
    kf_time session_timeout;
    kf_time join_deadline; /* KF_FOREVER: it need not join again */
    kf_time sync_deadline; /* KF_FOREVER: it has synced */
};

struct kf__consumer_member {
    kf_string id;
    kf_string instance_id; /* null: a dynamic member */
    kf_string rack_id;     /* null: not said */
    kf_string client_id;
    kf_string client_host;
    kf_string *topics; /* subscribed by name: sorted, each once */
    int32_t topic_count;
    kf_string regex;    /* subscribed by expression; empty: none */
    kf_string assignor; /* that it prefers; null: none */
    int32_t rebalance_timeout_ms;
    int32_t epoch;
    int32_t previous_epoch;
    enum kf__member_state state;
    struct kf__holding assigned; /* what it has been told of */
    struct kf__holding revoking; /* what it has to give back */
    struct kf__holding target;
    kf_time session_deadline;
    kf_time revoke_deadline;          /* KF_FOREVER: nothing has to be given back */
    int32_t revoke_epoch;             /* that it was in when that began */
    struct kf__classic_face *classic; /* NULL: it speaks the new protocol */
    bool leaves;                      /* kf__consumers_fence takes it out */
};

/* A regular expression that members subscribe to, and the topics that it means. */
struct kf__group_regex {
    kf_string text;
    bool resolved;
    kf_string *topics; /* sorted */
    int32_t topic_count;
};

struct kf__consumer_group {
    kf_string id;
    int32_t epoch;
    int32_t assignment_epoch;
    kf_time assigned_at;                  /* KF_FOREVER: never since somebody came */
    uint64_t topics_hash;                 /* of the topics subscribed to, as they were then */
    struct kf__consumer_member **members; /* in the order they came */
    int32_t member_count;
    struct kf__group_regex *regexes;
    int32_t regex_count;
    kf_time resolved_at;   /* the expressions; KF_FOREVER: never */
    uint64_t resolved_ids; /* how many topics had been made by then */
    uint64_t seen_topics;  /* kf__topics.changes when topics_hash was made */
    bool resubscribed;     /* since then */
    bool range_first;      /* as settings had it with the last heartbeat */
    size_t bytes;          /* counted for it so far */
};

kf_err kf__consumer_group_new(const kf_allocator *alloc, kf_string id,
                              struct kf__consumer_group **group);
void kf__consumer_group_free(const kf_allocator *alloc, struct kf__consumer_group *group);
/* "Empty", "Assigning", "Reconciling", "Stable" */
const char *kf__consumer_group_state(const struct kf__consumer_group *group);
/* What they take of memory, about; in bytes. */
size_t kf__consumer_member_bytes(const struct kf__consumer_member *member);
size_t kf__group_regex_bytes(const struct kf__group_regex *regex);

struct kf__consumer_member *kf__consumer_member(const struct kf__consumer_group *group,
                                                kf_string id);
/* NULL for a null id. */
struct kf__consumer_member *kf__consumer_static_member(const struct kf__consumer_group *group,
                                                       kf_string instance_id);
/* An empty one, in the group. NULL: out of memory. */
struct kf__consumer_member *kf__consumer_group_add(const kf_allocator *alloc,
                                                   struct kf__consumer_group *group, kf_string id);
/* Frees it. */
void kf__consumer_group_remove(const kf_allocator *alloc, struct kf__consumer_group *group,
                               struct kf__consumer_member *member);
bool kf__member_is_reconciled(const struct kf__consumer_group *group,
                              const struct kf__consumer_member *member);

/* Takes a copy, where `to` differs; *changed is set then, and left alone else. */
kf_err kf__member_take_text(const kf_allocator *alloc, kf_string from, kf_string *to,
                            bool *changed);
/* Sorts and thins them out on the way. *changed: they are others than before. */
kf_err kf__member_take_topics(const kf_allocator *alloc, struct kf__consumer_member *member,
                              const kf_string *topics, int32_t count, bool *changed);
/* NULL: a member of the new protocol from now on. */
kf_err kf__member_take_face(const kf_allocator *alloc, struct kf__consumer_member *member,
                            const struct kf__classic_face *face);

/* How many members subscribe to the expression. */
int32_t kf__consumer_group_subscribers(const struct kf__consumer_group *group, kf_string regex);
struct kf__group_regex *kf__consumer_group_regex(const struct kf__consumer_group *group,
                                                 kf_string text);
/* Those without subscribers go. */
void kf__consumer_group_drop_regexes(const kf_allocator *alloc, struct kf__consumer_group *group);
kf_err kf__consumer_group_add_regex(const kf_allocator *alloc, struct kf__consumer_group *group,
                                    kf_string text, struct kf__group_regex **regex);
/* Takes the array over. */
void kf__group_regex_take(const kf_allocator *alloc, struct kf__group_regex *regex,
                          kf_string *topics, int32_t count);
/* Does some member subscribe to the topic, by name or by expression? */
bool kf__consumer_group_subscribes(const struct kf__consumer_group *group, kf_string topic);
/* The assignor that most members prefer, or the broker's first. */
kf_string kf__consumer_group_assignor(const struct kf__consumer_group *group);
/* Members that speak the classic protocol. */
int32_t kf__consumer_group_classic(const struct kf__consumer_group *group);

void kf__texts_free(const kf_allocator *alloc, kf_string *texts, int32_t count);
/* In sorted texts; -1: not there. */
int32_t kf__texts_find(const kf_string *texts, int32_t count, kf_string text);

#endif
