/*
 * member_state: the inside of a group member, shared by the member's files
 * and by nobody else.
 *
 *   member.c           the states, the moves between them, wishes and time
 *   member_answers.c   what the coordinator's answers mean
 *   member_life.c      new and free
 *   member_messages.c  the requests it sends
 *   member_lead.c      what it does when it leads: subscriptions, assignor, watch
 *   member_report.c    the words it says: log events, errors
 */
#ifndef KF_GROUP_MEMBER_STATE_H
#define KF_GROUP_MEMBER_STATE_H

#include "group/member.h"
#include "group/partitions.h"
#include <kafiber/messages.h>

enum kf__member_state {
    KF__MEMBER_UNJOINED,
    KF__MEMBER_JOINING,
    KF__MEMBER_SYNCING,
    KF__MEMBER_STABLE,
    KF__MEMBER_DRAINING,
    KF__MEMBER_LEAVE_DRAINING, /* as DRAINING, but LeaveGroup follows */
    KF__MEMBER_LEAVING,
    KF__MEMBER_GONE, /* left, or an error that no retry cures */
    KF__MEMBER_STATES,
};

/* What a leader keeps from its JoinGroup answer until the next. */
struct kf__member_lead {
    kf_arena arena; /* of everything below */
    struct kf__assignor_member *members;
    size_t member_count;
    enum kf__assignor assignor;
    struct kf__names topics; /* of all subscriptions, in the arena */
    bool leads;
    bool awaits_topics;         /* describe_topics was asked, the assignment is not made */
    bool rack_aware;            /* somebody says where it stands: racks are watched too */
    bool watching;              /* `shapes` is what the assignment was made from */
    struct kf__watched *shapes; /* one for each of `topics` */
    struct kf_sync_group_request_assignment *assignments;
    size_t assignment_count;
};

/* A topic as it was when the assignment was made. */
struct kf__watched {
    int32_t partition_count; /* 0: not there */
    uint64_t racks;          /* digest of every partition's racks */
};

struct kf__member {
    const kf_allocator *alloc;
    struct kf__member_settings settings; /* its strings are copies, in `text` */
    char *text;
    struct kf__member_effects effects;
    bool cooperative;

    enum kf__member_state state;
    char *id; /* "" before the first join */
    int32_t generation;
    enum kf__assignor assignor; /* of the present generation */
    struct kf__names topics;    /* wanted */
    struct kf__member_lead lead;

    struct kf__partition_list owned;    /* ours, without what is draining */
    int32_t owned_generation;           /* in which `owned` was assigned */
    struct kf__partition_list draining; /* being given up */
    struct kf__partition_list last;     /* the last assignment, also when given up or lost */
    int32_t last_generation;

    bool pending[KF__MEMBER_REQUESTS]; /* under way */
    bool coordinator_known;
    bool coordinator_asked; /* coordinator_lost was called and not yet answered */
    bool leaving;           /* kf__member_leave was called */
    bool rejoin;            /* a new join is wanted as soon as the state allows */
    bool in_revoked;        /* inside the revoked callback */
    bool drained_inside;    /* kf__member_drained was called in there */
    char reason[160];       /* why the next join happens */
    unsigned attempts;      /* failures in a row, for the back-off */

    kf_time retry_at;     /* join, sync, leave: not before */
    kf_time heartbeat_at; /* the next one */
    kf_time heartbeat_sent_at;
    kf_time session_deadline; /* from then on the coordinator may have given us up */
    kf_time drain_deadline;
    kf_time leave_deadline;
    kf_time told_tick; /* the last word to tick_at */
};

/* member.c: the moves. Whoever makes one calls kf__member_proceed at the end. */
/* Does what is due in the present state, and says when the next thing will be. */
void kf__member_proceed(struct kf__member *member, kf_time now);
void kf__member_join(struct kf__member *member);
void kf__member_join_later(struct kf__member *member, kf_time now);
/* Hands `draining` to the driver; the join waits. */
void kf__member_give_up(struct kf__member *member, kf_time now);
/* Everything is somebody else's; `with_id`: the member id counts no more either. */
void kf__member_lose(struct kf__member *member, kf_err why, bool with_id, kf_time now);
void kf__member_fail(struct kf__member *member, kf_err err);
void kf__member_gone(struct kf__member *member, kf_err err);
void kf__member_lose_coordinator(struct kf__member *member, kf_err why);
/* The time to wait before the next try; longer each time. */
kf_time kf__member_back_off(struct kf__member *member);
/* Whether it is in a state in which the coordinator may give it up. */
bool kf__member_is_watched(const struct kf__member *member);

static inline kf_time kf__member_after(kf_time now, kf_time delay)
{
    return delay > KF_FOREVER - now ? KF_FOREVER : now + delay;
}

/* member_answers.c */
void kf__member_request_failed(struct kf__member *member, enum kf__member_request request,
                               kf_err err, kf_time now);

/* member_life.c */
kf_err kf__member_set_id(struct kf__member *member, kf_string id);

/* member_report.c */
/* Keeps why the next join happens: the first reason stands until it is told. */
void kf__member_because(struct kf__member *member, const char *format, ...) KF_PRINTF(2, 3);
/* The one "rebalance" event of a generation; `before` and `now` are sorted. */
void kf__member_report_rebalance(struct kf__member *member, const struct kf__partition_list *before,
                                 const struct kf__partition_list *now);
void kf__member_report(struct kf__member *member, kf_log_level level, const char *name, kf_err err,
                       const char *format, ...) KF_PRINTF(5, 6);

/* member_lead.c */
void kf__member_lead_init(struct kf__member *member);
void kf__member_lead_free(struct kf__member *member);
/* Takes the members' subscriptions out of the answer; asks for their topics. */
kf_err kf__member_lead_begin(struct kf__member *member,
                             const struct kf_join_group_response *response);
void kf__member_lead_end(struct kf__member *member);
/* Makes the assignment from these topics and remembers them. */
kf_err kf__member_lead_assign(struct kf__member *member, const struct kf__topic_shape *topics,
                              size_t count);
/* Remembers them without an assignment (KIP-814). */
kf_err kf__member_lead_watch(struct kf__member *member, const struct kf__topic_shape *topics,
                             size_t count);
/* Whether they differ from those remembered; says how in the member's reason. */
bool kf__member_lead_changed(struct kf__member *member, const struct kf__topic_shape *topics,
                             size_t count);

#endif
