/*
 * consumer: where net and group meet: one group member, its partitions, its
 * commits. Everything here belongs to the loop's thread, but for the few
 * functions that say otherwise.
 *
 *        cluster ──metadata──▶ subscription ──▶ member ──assigned──▶ partitions
 *           ▲                                     ▲  ▲                  │ done
 *           └── coordinator, member's requests ───┘  └── drained ── committer
 *
 *   consumer.c      opening, closing, metadata, the way to the end
 *   coordinator.c   the member's requests on the wire
 *   ownership.c     assigned, revoked, lost
 *   positions.c     committed offsets (OffsetFetch), resets
 *   committer.c     OffsetCommit
 */
#ifndef KF_RUNTIME_CONSUMER_H
#define KF_RUNTIME_CONSUMER_H

#include "group/member.h"
#include "group/offsets.h"
#include "runtime/config/config.h"
#include "runtime/events.h"
#include "runtime/member/partition.h"
#include "runtime/member/topics.h"

struct kf__codec_pool;

/* One of the member's requests on its way. */
struct kf__member_call {
    struct kf__call call;
    struct kf__consumer *consumer;
    enum kf__member_request kind;
    bool wanted; /* waits for the coordinator */
};

struct kf__committer {
    struct kf__consumer *consumer;
    struct kf__offsets offsets;
    struct kf__call call;
    struct kf__offset **taken; /* in the commit under way; NULL where the partition went */
    size_t taken_count;
    size_t taken_capacity;
    int32_t generation; /* under which it was sent */
    struct kf__timer timer;
    kf_time due; /* when the next commit should leave; KF_FOREVER */
    kf_time last_sent;
    int attempts;
};

struct kf__positions {
    struct kf__consumer *consumer;
    struct kf__call call;
    struct kf__timer retry;
    int attempts;
};

struct kf__consumer {
    const kf_allocator *alloc;
    const struct kf__settings *settings;
    struct kf__route *routes;
    struct kf__loop *loop;
    struct kf__sched *sched;
    struct kf__events *events;
    struct kf__cluster *cluster;
    struct kf__credit *credit;
    struct kf__fetcher *fetcher;
    struct kf__member *member;
    struct kf__codec_pool *codecs;
    struct kf__task credit_returned;
    struct kf__timer look; /* every so often: what long handlers did, what memory is short of */

    /* the coordinator */
    int32_t coordinator; /* node; -1: unknown */
    struct kf__coordinator_search search;
    bool searching;
    struct kf__timer search_again;
    struct kf__member_call calls[KF__MEMBER_REQUESTS];
    struct kf__timer tick;
    struct kf__topics topics;
    struct kf__task answer_leader;

    struct kf__link partitions; /* kf__partition.link: owned ones */
    struct kf__link old;        /* condemned, their handlers still running */
    size_t partition_count;
    struct kf__committer committer;
    struct kf__positions positions;
    struct kf__timer drain; /* the bound of a revoke or of the stop */
    bool draining;          /* the member waits for kf__member_drained */
    bool telling;           /* the user is being told of revoked ones; then the member goes on */
    uint64_t revoke;        /* counts them: what comes back from an earlier one is void */
    int tellings;           /* callbacks queued for the user */

    bool stopping;
    struct kf__timer stop;   /* the time to stop is over */
    int last_moments;        /* that have passed since then */
    struct kf__task give_up; /* after an error that no retry cures */
    bool left;               /* the group */
    bool ended;
    kf_error error; /* why it ended */
    void (*on_end)(void *owner);
    void *owner;

    kf_rebalance_fn on_rebalance;
    void *rebalance_context;
    int64_t rebalances;
    int64_t records_before; /* handled by partitions that are gone */
};

struct kf__consumer_parts {
    const kf_allocator *alloc;
    const struct kf__settings *settings;
    struct kf__route *routes;
    struct kf__loop *loop;
    struct kf__sched *sched;
    struct kf__events *events;
    kf_rebalance_fn on_rebalance;
    void *rebalance_context;
    void (*on_end)(void *owner); /* told once: left the group, or failed for good */
    void *owner;
};

/* `consumer` is zeroed memory; what is opened before an error is closed by kf__consumer_close. */
kf_err kf__consumer_open(struct kf__consumer *consumer, const struct kf__consumer_parts *parts,
                         kf_error *error);
/* Handlers end, offsets are committed, the group is left; then on_end. */
void kf__consumer_stop(struct kf__consumer *consumer, kf_time until);
/* Partitions whose handlers still run are left alone (and leaked): true where there are any. */
bool kf__consumer_close(struct kf__consumer *consumer);
void kf__consumer_fail(struct kf__consumer *consumer, kf_err err, const char *text);
/* Whether the way to the end is done: left, all at rest, the user told. */
void kf__consumer_check_end(struct kf__consumer *consumer);
void kf__consumer_pause(struct kf__consumer *consumer, const char *topic, int32_t partition,
                        bool paused);
void kf__consumer_log(struct kf__consumer *consumer, kf_log_level level, const char *name,
                      const struct kf__partition *partition, int64_t offset, kf_err err,
                      const char *format, ...) KF_PRINTF(7, 8);

/* An owned partition by name and number; NULL: not owned (any more). */
struct kf__partition *kf__consumer_find(struct kf__consumer *consumer, const char *topic,
                                        size_t topic_size, int32_t number);

/* ---- for partitions; any thread ---- */
/* Bytes in a partition's queue below which more is fetched. */
long long kf__consumer_low_water(const struct kf__consumer *consumer);
kf_err kf__consumer_open_batch(struct kf__consumer *consumer, struct kf_batch *batch);

/* ---- ownership.c ---- */
void kf__ownership_open(struct kf__consumer *consumer);
void kf__consumer_assigned(void *owner, const struct kf__partition_list *added,
                           const struct kf__partition_list *all);
void kf__consumer_revoked(void *owner, const struct kf__partition_list *partitions,
                          kf_time deadline);
void kf__consumer_lost(void *owner, const struct kf__partition_list *partitions, kf_err why);
/* A partition came to rest, or a commit came back: is what is being given up done? */
void kf__consumer_check_drained(struct kf__consumer *consumer);
/* A condemned partition's handler has returned. */
void kf__consumer_bury(struct kf__consumer *consumer, struct kf__partition *partition);
void kf__consumer_condemn_all(struct kf__consumer *consumer);

/* ---- coordinator.c ---- */
void kf__coordinator_open(struct kf__consumer *consumer);
void kf__coordinator_close(struct kf__consumer *consumer);
void kf__coordinator_lost(void *owner, kf_err why);
void kf__coordinator_send(void *owner, enum kf__member_request request);
void kf__coordinator_cancel(void *owner, enum kf__member_request request);
/* Whether an error says that the coordinator must be looked up again. */
bool kf__coordinator_is_lost_by(kf_err err);

/* ---- positions.c ---- */
void kf__positions_open(struct kf__consumer *consumer);
void kf__positions_close(struct kf__consumer *consumer);
/* Asks for the committed offsets of all partitions that need one. */
void kf__positions_ask(struct kf__consumer *consumer);
/* Begins where auto.offset.reset says. */
void kf__positions_reset(struct kf__partition *partition, kf_err why);

/* ---- committer.c ---- */
void kf__committer_open(struct kf__consumer *consumer);
void kf__committer_close(struct kf__consumer *consumer);
/* Something is done: a commit leaves at `due` at the latest. */
void kf__committer_note(struct kf__consumer *consumer, struct kf__partition *partition,
                        int64_t done, kf_time due);
/* A partition fell idle: soon, but commits stay apart. */
kf_time kf__committer_idle_due(const struct kf__consumer *consumer);
kf_time kf__committer_busy_due(const struct kf__consumer *consumer);
void kf__committer_forget(struct kf__consumer *consumer, struct kf__partition *partition);
/* Handlers that run for long: notes what they have done so far. */
void kf__committer_look(struct kf__consumer *consumer);
/* The coordinator is back. */
void kf__committer_pump(struct kf__consumer *consumer);
/* Nothing of this partition waits to be committed or is under way. */
bool kf__committer_is_settled(const struct kf__partition *partition);

#endif
