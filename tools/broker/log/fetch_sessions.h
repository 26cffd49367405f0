/*
 * fetch_sessions: what a client's incremental fetches leave unsaid (KIP-227):
 * the partitions of a session, in the order in which they are served. Pure.
 * Called by api/fetch.c.
 */
#ifndef KF_BROKER_FETCH_SESSIONS_H
#define KF_BROKER_FETCH_SESSIONS_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/messages.h>
#include <stdbool.h>

enum {
    KF__MAX_FETCH_SESSIONS = 1000 /* Kafka's max.incremental.fetch.session.cache.slots */
};

struct kf__fetched {
    kf_string topic; /* owned; null where the request gave an id */
    kf_uuid topic_id;
    int32_t partition;
    int32_t current_leader_epoch;
    int32_t last_fetched_epoch;
    int64_t fetch_offset;
    int32_t max_bytes;
    int64_t high_watermark; /* as last told; -1: never */
    int64_t log_start;
    bool marked; /* for a moment: forgotten, or served */
};

struct kf__fetch_session {
    int32_t id;
    int32_t epoch;
    bool by_id; /* version 13 and up */
    kf_time made;
    kf_time used;
    size_t partitions; /* as it was opened */
    struct kf__fetched *items;
    size_t count;
    size_t capacity;
};

struct kf__fetch_sessions {
    const kf_allocator *alloc;
    struct kf__fetch_session **items;
    size_t count;
    size_t most;
    uint64_t seed;
};

void kf__fetch_sessions_init(struct kf__fetch_sessions *sessions, const kf_allocator *alloc,
                             uint64_t seed);
void kf__fetch_sessions_free(struct kf__fetch_sessions *sessions);
struct kf__fetch_session *kf__fetch_session_find(struct kf__fetch_sessions *sessions, int32_t id);
/*
 * A new one of so many partitions, with a random id above 0 and epoch 1. Where
 * there are too many it takes the place of one that nobody has used for two
 * minutes, or that is older than that and not larger, as in Kafka; else, and
 * when out of memory, NULL: those who are at work keep theirs.
 */
struct kf__fetch_session *kf__fetch_session_new(struct kf__fetch_sessions *sessions, bool by_id,
                                                size_t partitions, kf_time now);
void kf__fetch_session_drop(struct kf__fetch_sessions *sessions, struct kf__fetch_session *session);
/* One more use of the session in the next epoch: 1 follows the largest. */
void kf__fetch_session_advance(struct kf__fetch_session *session, kf_time now);
/* Adds or changes the partitions that the request names, removes those it forgets. */
kf_err kf__fetch_session_update(struct kf__fetch_sessions *sessions,
                                struct kf__fetch_session *session,
                                const struct kf_fetch_request *request);
/* The marked ones, which were served, go to the end, so that the first don't starve the others. */
void kf__fetch_session_rotate(const struct kf__fetch_sessions *sessions,
                              struct kf__fetch_session *session);

#endif
