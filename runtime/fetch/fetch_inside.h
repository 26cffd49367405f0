/*
 * fetch_inside: what the files of the fetch room share: nodes, lanes, and
 * the steps between them.
 *
 *   fetch.c           partitions: where they belong, what the owner wishes
 *   fetch_lane.c      when a lane may send; lanes trading partitions
 *   fetch_request.c   a Fetch request from what changed (sessions)
 *   fetch_response.c  a Fetch response taken apart
 *   fetch_seek.c      ListOffsets for partitions that need an offset
 */
#ifndef KF_RUNTIME_FETCH_INSIDE_H
#define KF_RUNTIME_FETCH_INSIDE_H

#include "runtime/fetch/fetch.h"

/* A partition that left a lane while its session still has it. */
struct kf__forgotten {
    int32_t topic;
    int32_t partition;
};

struct kf__fetch_lane {
    struct kf__fetcher *fetcher;
    int32_t node;
    enum kf__lane kind;
    struct kf__call call;
    struct kf__link members; /* kf__fetching.in_lane */
    struct kf__link changed; /* kf__fetching.in_changed */
    struct kf__forgotten *forgotten;
    size_t forgotten_count;
    size_t forgotten_capacity;
    int32_t wanted;  /* members that may be fetched now */
    int32_t lagging; /* of these, those that are not caught up */
    int32_t session_id;
    int32_t session_epoch;   /* of the next request; 0: begin a session */
    bool incremental;        /* the request under way continues a session */
    size_t beginnings;       /* requests that did not */
    int64_t reserved;        /* credit of the request under way, bytes */
    int32_t requested_bytes; /* its max_bytes */
    int64_t target_bytes;    /* how much the next answer should bring at most */
    kf_time sent_at;

    int attempts;
    struct kf__timer retry;
};

struct kf__fetch_node {
    int32_t id;
    bool long_poll_last; /* it sent last: where not all may, the backlog's turn is next */
    struct kf__fetch_lane backlog;
    struct kf__fetch_lane long_poll;
    struct kf__fetch_node *next;
};

struct kf__fetch_topic {
    struct kf__fetching **partitions; /* by number; NULL where not registered */
    int32_t count;
};

struct kf__fetcher {
    const kf_allocator *alloc;
    struct kf__loop *loop;
    struct kf__cluster *cluster;
    struct kf__credit *credit;
    struct kf__fetch_settings settings;
    struct kf__fetch_topic *topics; /* by the cluster's topic index */
    int32_t topic_count;
    struct kf__fetch_node *nodes;
    struct kf__link unplaced; /* kf__fetching.in_lane: no leader known, or idle */
    struct kf__link seeking;  /* kf__fetching.in_lane: wait for a ListOffsets to leave */
    struct kf__seek *seeks;   /* under way */
    struct kf__task pump;
    int32_t under_way; /* fetches */
};

/* ---- fetch.c ---- */
/* Whether the session should hold it: it has an offset and its owner wants more. */
static inline bool kf__fetching_is_eligible(const struct kf__fetching *fetching)
{
    return fetching->state == KF__FETCHING_READY && fetching->wanted;
}
/* Puts it where it belongs: its leader's lane, the seekers, or aside until metadata says more. */
void kf__fetching_place(struct kf__fetching *fetching);
/* Backs off after an error; refreshes metadata where that may help. */
void kf__fetching_trouble(struct kf__fetching *fetching, kf_err err, bool refresh);
void kf__fetching_positioned(struct kf__fetching *fetching, int64_t offset, int32_t epoch);

/* ---- fetch_lane.c ---- */
void kf__lane_init(struct kf__fetch_lane *lane, struct kf__fetcher *fetcher, int32_t node,
                   enum kf__lane kind);
void kf__lane_close(struct kf__fetch_lane *lane);
void kf__lane_add(struct kf__fetch_lane *lane, struct kf__fetching *fetching);
void kf__lane_remove(struct kf__fetching *fetching);
/* Before and after anything that changes eligibility or caught_up, so that the counts stay right.
 */
void kf__lane_uncount(struct kf__fetching *fetching);
void kf__lane_count(struct kf__fetching *fetching);
/* Out of the long poll, whose answer has just come, into the backlog. */
void kf__lane_fell_behind(struct kf__fetching *fetching);
/* Its offset, epoch or eligibility differs from what the session has. */
void kf__lane_note_change(struct kf__fetching *fetching);
void kf__lane_reset_session(struct kf__fetch_lane *lane);
/* An answer brought so many bytes: how much to ask for next. */
void kf__lane_adapt(struct kf__fetch_lane *lane, size_t brought);
/* Sends nothing for a while, and asks for fresh metadata. */
void kf__lane_back_off(struct kf__fetch_lane *lane);
/* Sends what may be sent from this node's lanes; true where anything was. */
bool kf__node_pump(struct kf__fetch_node *node);

/* How long the broker may hold the answer back, in milliseconds. */
int32_t kf__lane_wait_ms(const struct kf__fetch_lane *lane);

/* ---- fetch_request.c, fetch_response.c ---- */
kf_err kf__fetch_build(struct kf__call *call, int16_t version, kf_arena *arena,
                       const void **message);
void kf__fetch_take(struct kf__fetch_lane *lane, const struct kf__answer *answer);

/* ---- fetch_seek.c ---- */
void kf__seeks_send(struct kf__fetcher *fetcher);
/* It no longer waits for the answer of a ListOffsets under way. */
void kf__seeks_forget(struct kf__fetching *fetching);
void kf__seeks_close(struct kf__fetcher *fetcher);

#endif
