/*
 * replicas: which replicas of a partition keep up with its leader, who may
 * lead it, and how its replicas are exchanged (KIP-455, KIP-460).
 *
 * A partition has one log here, its leader's. A replica that runs and is not
 * held back has all of it, at once. One that stopped, or is held, has the log
 * up to where it stood: it is out of sync, and electing it all the same
 * (unclean) truncates the log there. What a replica had beyond that point is
 * gone at once, where Kafka's would truncate when it came back.
 *
 * Pure. Called by topics.c, events.c and the API files.
 */
#ifndef KF_BROKER_REPLICAS_H
#define KF_BROKER_REPLICAS_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kf__topics;
struct kf__partition;

/* A replica that is not in sync. */
struct kf__lagging {
    int32_t node;
    bool held; /* it stays behind though it runs */
    int64_t end_offset;
};

/* What is not as it is by default: all in sync, nothing being exchanged. */
struct kf__replicas {
    struct kf__lagging *lagging;
    size_t lagging_count;
    int32_t *target; /* the replicas that a reassignment under way will end with; NULL: none is */
    int32_t target_count;
    int32_t *adding; /* those of them that were none before */
    int32_t adding_count;
};

void kf__replicas_free(struct kf__replicas *replicas, const kf_allocator *alloc);

bool kf__is_replica(const struct kf__partition *partition, int32_t node);
bool kf__is_in_sync(const struct kf__partition *partition, int32_t node);
/* Past the last offset that the replica has. */
int64_t kf__end_of_replica(const struct kf__partition *partition, int32_t node);
int32_t kf__in_sync_count(const struct kf__partition *partition);

/* Of a new partition: replicas that don't run are not in sync. */
void kf__replicas_settle(const struct kf__topics *topics, struct kf__partition *partition);
/* The node has all that the leader has. */
void kf__bring_in_sync(struct kf__partition *partition, int32_t node);

/*
 * After the node stopped or started. The last one in sync stays in sync while
 * it is down, and alone may lead again; `unclean`: another one may, rather
 * than none. True where the log was truncated.
 */
bool kf__replicas_stopped(struct kf__topics *topics, struct kf__partition *partition, int32_t node,
                          bool unclean);
bool kf__replicas_started(struct kf__topics *topics, struct kf__partition *partition, int32_t node,
                          bool unclean);
/* The follower stops copying and falls out of sync; let go, it catches up. INVALID_ARGUMENT: it
   leads the partition, or is none of its replicas. */
kf_err kf__replicas_hold(struct kf__topics *topics, struct kf__partition *partition, int32_t node,
                         bool held);

/* The first replica leads again. ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE. */
kf_err kf__elect_preferred(struct kf__topics *topics, struct kf__partition *partition);
/*
 * Where nobody leads: one in sync, else whoever runs; then the log is
 * truncated, and nobody may borrow from it. ELECTION_NOT_NEEDED,
 * ELIGIBLE_LEADERS_NOT_AVAILABLE.
 */
kf_err kf__elect_unclean(struct kf__topics *topics, struct kf__partition *partition);

/*
 * These replicas in place of those, as soon as the new ones are in sync: at
 * once where they run. The node ids have been checked.
 */
kf_err kf__reassign(struct kf__topics *topics, struct kf__partition *partition,
                    const int32_t *nodes, int32_t count);
/* NO_REASSIGNMENT_IN_PROGRESS. */
kf_err kf__cancel_reassignment(struct kf__topics *topics, struct kf__partition *partition);

#endif
