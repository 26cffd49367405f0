/*
 * runtime_inside: what the files behind kafiber/runtime.h share.
 *
 *   runtime.c        opening, handlers, run, stop, close
 *   runtime_loop.c   the I/O thread, or the caller's own loop
 *   snapshot.c       counters, pause and resume: questions put to the loop
 */
#ifndef KF_RUNTIME_RUNTIME_INSIDE_H
#define KF_RUNTIME_RUNTIME_INSIDE_H

#include "runtime/member/consumer.h"
#include <pthread.h>
#include <sys/types.h>

struct kf__question;

enum kf__runtime_state {
    KF__RUNTIME_NEW,
    KF__RUNTIME_RUNNING,
    KF__RUNTIME_ENDED,
};

struct kf_runtime {
    const kf_allocator *alloc;
    kf_config *config;
    struct kf__settings settings;
    kf_error error; /* the first one; what was wrong before run counts too */
    struct kf__route *routes;
    kf_rebalance_fn on_rebalance;
    void *rebalance_context;
    pid_t pid; /* of the process that opened it */

    struct kf__loop *_Atomic loop; /* a signal handler may look */
    struct kf__sched *sched;
    struct kf__events *events;
    struct kf__consumer consumer;
    bool own_thread;  /* false: the caller turns the loop */
    pthread_t thread; /* that turns the loop; the caller's own may change: guarded by lock */
    bool joined;      /* guarded by lock, too */
    atomic_bool stop_asked;
    atomic_bool consumer_ended; /* written by the loop's thread */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic(enum kf__runtime_state) state; /* written under lock */
    struct kf__question *questions;        /* guarded by lock */
    struct kf__task answer;
};

static inline bool kf__runtime_is_foreign(const struct kf_runtime *runtime, pid_t pid)
{
    return runtime->pid != pid;
}

/* ---- runtime_loop.c ---- */
kf_err kf__runtime_start_loop(struct kf_runtime *runtime, kf_error *error);
/* One turn: the loop, what is ready on this thread, a stop that was asked for. */
void kf__runtime_turn(struct kf_runtime *runtime, kf_time until);
/* By the world's clock, which a test may move. */
static inline kf_time kf__runtime_now(const struct kf_runtime *runtime)
{
    return runtime->settings.world->now(runtime->settings.world->context);
}
bool kf__runtime_has_ended(struct kf_runtime *runtime);

/* ---- snapshot.c ---- */
/* On the loop's thread, with the lock held. */
void kf__runtime_answer_all(struct kf_runtime *runtime);
void kf__runtime_run_questions(struct kf__task *task);

#endif
