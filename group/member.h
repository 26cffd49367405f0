/*
 * member: a member of a classic consumer group, as a pure state machine
 * (KIP-62, KIP-345, KIP-394, KIP-429, KIP-800, KIP-814).
 *
 * Events go in (answers, errors, time, wishes); requests, one timer and
 * callbacks come out through kf__member_effects. It has no socket, no clock,
 * no thread: whoever drives it (runtime/, or a test) calls in from one thread
 * and passes `now`.
 *
 *  UNJOINED ──subscribe──▶ JOINING ──▶ SYNCING ──▶ STABLE
 *     ▲                       ▲                       │ rebalance
 *     └── leave ── LEAVING    └───── DRAINING ◀───────┘
 *
 * DRAINING: partitions are being given up; heartbeats go on, the next
 * JoinGroup waits for kf__member_drained.
 */
#ifndef KF_GROUP_MEMBER_H
#define KF_GROUP_MEMBER_H

#include "group/assignor.h"
#include <kafiber/codec.h>
#include <kafiber/log.h>

struct kf__member;

enum kf__member_request {
    KF__MEMBER_JOIN,
    KF__MEMBER_SYNC,
    KF__MEMBER_HEARTBEAT,
    KF__MEMBER_LEAVE,
    KF__MEMBER_REQUESTS,
};

/* What the member asks of its driver. Called from within the functions below. */
struct kf__member_effects {
    void *owner;
    /*
     * Send this request to the coordinator now; the driver calls
     * kf__member_build when it knows the version and kf__member_answer when
     * it ended. At most one of a kind is under way.
     */
    void (*send)(void *owner, enum kf__member_request request);
    /* Forget the request of that kind: its answer is not wanted any more. */
    void (*cancel)(void *owner, enum kf__member_request request);
    /* Call kf__member_tick at this time; replaces an earlier wish. KF_FOREVER: no tick. */
    void (*tick_at)(void *owner, kf_time at);
    /*
     * There is no coordinator, or it is not (no longer) the right one: look it
     * up until it is found, then call kf__member_coordinator_found. Called
     * once for each loss, and by the first kf__member_subscribe.
     */
    void (*coordinator_lost)(void *owner, kf_err why);
    /*
     * This member leads the generation and must assign these topics (names
     * sorted, of all members' subscriptions): answer with kf__member_topics.
     */
    void (*describe_topics)(void *owner, const kf_string *topics, size_t count);
    /*
     * Newly owned; start them. `all`: everything owned now. Partitions kept
     * over a cooperative rebalance are in `all` only; comes with every new
     * assignment, also where nothing was added. Comes before the `revoked` of
     * the same assignment.
     */
    void (*assigned)(void *owner, const struct kf__partition_list *added,
                     const struct kf__partition_list *all);
    /*
     * Stop handling these, finish what runs, commit it, then call
     * kf__member_drained (from within is allowed). `deadline`: when the join
     * can wait no longer. One revoke is open at a time.
     */
    void (*revoked)(void *owner, const struct kf__partition_list *partitions, kf_time deadline);
    /*
     * These belong to somebody else already: stop, commit nothing. No answer
     * expected, also not to an open revoke, whose partitions are lost too.
     * May come twice in a row: for what was in use, and for what was draining.
     */
    void (*lost)(void *owner, const struct kf__partition_list *partitions, kf_err why);
    /* Left (or gave up leaving when the deadline passed). */
    void (*left)(void *owner, kf_err err);
    /* An error that no retry cures (fenced instance id, authorization, inconsistent protocol). */
    void (*fatal)(void *owner, kf_err err, const char *text);
    void (*log)(void *owner, const kf_log_event *event);
};

struct kf__member_settings {
    const char *group_id;
    const char *instance_id; /* NULL: dynamic member */
    const char *rack;        /* NULL: none */
    const char *client_id;
    kf_time session_timeout; /* nanoseconds */
    kf_time rebalance_timeout;
    kf_time heartbeat_interval;
    kf_time retry_backoff;
    kf_time retry_backoff_max;
    enum kf__assignor assignors[KF__ASSIGNORS]; /* in order of preference */
    size_t assignor_count;
    bool leave_on_close; /* static members too (KIP-1092) */
    uint64_t (*random)(void *context);
    void *random_context;
};

kf_err kf__member_new(const kf_allocator *alloc, const struct kf__member_settings *settings,
                      const struct kf__member_effects *effects, struct kf__member **member);
void kf__member_free(struct kf__member *member);

/*
 * The topics wanted now, sorted names. The first call starts joining; a later
 * one with other topics rejoins.
 */
kf_err kf__member_subscribe(struct kf__member *member, const kf_string *topics, size_t count,
                            kf_time now);
/* The coordinator is known (again). */
void kf__member_coordinator_found(struct kf__member *member, kf_time now);
/* Fills the request of that kind at `version`, in the arena. */
kf_err kf__member_build(struct kf__member *member, enum kf__member_request request, int16_t version,
                        kf_arena *arena, const void **message);
/* err: how the call ended; message: the decoded response where it is KF_OK. */
void kf__member_answer(struct kf__member *member, enum kf__member_request request, kf_err err,
                       int16_t version, const void *message, kf_time now);
void kf__member_tick(struct kf__member *member, kf_time now);
/* Metadata for describe_topics; topics that don't exist are left out. Also: called whenever the
 * leader's metadata changed; a change in partitions makes the leader rejoin. */
kf_err kf__member_topics(struct kf__member *member, const struct kf__topic_shape *topics,
                         size_t count, kf_time now);
/* The partitions of the last `revoked` are given up. */
void kf__member_drained(struct kf__member *member, kf_time now);
/*
 * When the partitions of the last `revoked` are waited for no longer: what the
 * callback was told, or earlier, where a leave came in between. KF_FOREVER:
 * nothing drains.
 */
kf_time kf__member_drain_deadline(const struct kf__member *member);
/* Leave the group: revokes everything first (callback), then LeaveGroup, then `left`. */
void kf__member_leave(struct kf__member *member, kf_time deadline, kf_time now);
/*
 * A commit met ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID or
 * REBALANCE_IN_PROGRESS sent under `generation`: react as to a heartbeat that
 * met it; ignored where the generation is not the present one.
 */
void kf__member_commit_error(struct kf__member *member, kf_err err, int32_t generation,
                             kf_time now);

int32_t kf__member_generation(const struct kf__member *member); /* -1: not a member now */
const char *kf__member_id(const struct kf__member *member);     /* "" before the first join */
bool kf__member_is_stable(const struct kf__member *member);
const struct kf__partition_list *kf__member_owned(const struct kf__member *member);
/* How long a JoinGroup may take: the rebalance timeout plus 5 s. SyncGroup the same. */
kf_time kf__member_patience(const struct kf__member *member, enum kf__member_request request);

#endif
