/*
 * jobs: blocking work off the loop's thread.
 *
 *   offload ──▶ queue ──▶ at most two helper threads ──▶ finished ──▶ done(), on the loop
 *
 * Threads start on demand and live until the loop closes. In a world without
 * threads (start_thread NULL: simulations, tests) the work runs within the
 * loop's turn. Every job that was taken gets its done().
 */
#ifndef KF_NET_JOBS_H
#define KF_NET_JOBS_H

#include "net/loop/loop.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct kf__jobs {
    struct kf__loop *loop;
    const struct kf__world *world;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct kf__job *queue, *queue_end;
    struct kf__job *finished, *finished_end;
    int threads;
    int idle;
    bool closing;
    struct kf__task report; /* runs the finished jobs' done() */
};

kf_err kf__jobs_init(struct kf__jobs *jobs, struct kf__loop *loop, const struct kf__world *world);
/*
 * Waits for work under way, then calls done() for every job left, begun or
 * not. After a fork there is nobody to wait for, and the lock may be held by
 * a thread that does not exist here: `forked` leaves both alone.
 */
void kf__jobs_close(struct kf__jobs *jobs, bool forked);
kf_err kf__jobs_offload(struct kf__jobs *jobs, struct kf__job *job);

#endif
