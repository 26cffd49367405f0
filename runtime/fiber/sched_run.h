/*
 * sched_run: what sched.c, sched_workers.c, wait.c and spawn.c share. No
 * other file includes it.
 */
#ifndef KF_RUNTIME_SCHED_RUN_H
#define KF_RUNTIME_SCHED_RUN_H

#include "runtime/fiber/sched.h"
#include <pthread.h>
#include <time.h>

/*
 * What an activation needs from its first entry to its end. Pooled by the
 * sched and freed only with it, so that a late task or cancel finds a valid
 * one, maybe at work for another activation: each looks again.
 */
struct kf__run {
    struct kf__fiber fiber;
    struct kf__activation *activation;
    struct kf__sched *sched;
    struct kf__run *next_free;
    struct kf__run *next_all;

    /* The wait that the fiber asks for; then the loop's thread's alone until it resumes. */
    struct kf__task arm_task;
    struct kf__task cancel_task;
    struct kf__timer timer;
    struct kf__watch watch;
    kf_time wait_until;
    int wait_fd; /* -1: none */
    int wait_events;
    bool armed;

    /* Guarded by the sched's family lock. */
    struct kf_fiber *children;
    bool waits_for_children;
    void (*cancelled)(void *owner); /* of kf__sched_suspend_for; NULL: none, or called */
    void *cancelled_owner;
};

struct kf__worker {
    struct kf__sched *sched;
    struct kf__worker *next_all;
    struct kf__worker *idle_up, *idle_down; /* neighbours among the idle */
    pthread_cond_t wake;
    bool alive;
    bool idle;
    bool woken;
    bool busy;       /* inside an activation, or about to be */
    const void *kin; /* of that activation */
    const void
        *only;  /* beyond workers_max: it serves this kin and ends when that has nothing ready */
    bool ended; /* an activation has ended since the lock was last held */
    bool has_clock;
    clockid_t cpu_clock;
    kf_time cpu_seen; /* at the last look */
    struct kf__run *spare;
};

struct kf__sched {
    struct kf__loop *loop;
    const struct kf__world *world;
    const kf_allocator *alloc;
    struct kf__sched_settings settings;
    struct kf__stack_pool *pool;
    atomic_bool yield;     /* kf__sched_should_yield */
    atomic_int ready_hint; /* how many are ready, for who spins */

    pthread_mutex_t lock; /* guards the rest, unless said otherwise */
    struct kf__activation *first, *last;
    struct kf__activation *starved; /* no stack was to be had */
    int32_t ready;
    int32_t coming; /* workers on their way to the queue */
    int32_t live;   /* activations between first entry and end */
    struct kf__worker *workers;
    struct kf__worker *idle;      /* the latest on top */
    int32_t worker_count;         /* alive */
    int32_t staying;              /* those that serve all kin and have not decided to end */
    atomic_int worker_count_seen; /* the same, for who doesn't hold the lock */
    struct kf__run *runs;         /* all */
    struct kf__run *free_runs;
    bool closing;   /* kf__sched_close waits, and is woken for what it waits for */
    bool stopping;  /* workers end */
    bool abandoned; /* the loop may be gone */
    pid_t process;  /* that opened it */
    int32_t cores;

    struct kf__task look_task;
    bool looking;                /* look_task posted or timer set */
    struct kf__timer look_timer; /* the loop's thread's, as all below */
    kf_time looked_at;
    int late_looks;
    bool told_exhausted;

    struct kf__worker caller; /* stands for the caller's thread with 0 workers */
    pthread_mutex_t family;   /* children, joins */
};

static inline kf_time kf__sched_now(const struct kf__sched *sched)
{
    return sched->world->now(sched->world->context);
}

/* The run of the activation that calls; NULL on a plain thread. */
struct kf__run *kf__run_current(void);
/* Counts what the worker has ended. The sched's lock is held. */
void kf__sched_settle(struct kf__sched *sched, struct kf__worker *worker);
/* Settles, then hands out the next ready activation, NULL when there is none. The lock is held. */
struct kf__activation *kf__sched_pop(struct kf__sched *sched, struct kf__worker *worker);
/* Lets those that found no stack try again. The sched's lock is held. */
void kf__sched_retry_starved(struct kf__sched *sched);
/* Enters it until it ends or suspends, on this thread. */
void kf__sched_enter(struct kf__worker *worker, struct kf__activation *activation);
/* Posts to the loop; false when the sched has been abandoned. */
bool kf__sched_post(struct kf__sched *sched, struct kf__task *task);

/* ---- sched_workers.c ---- */
void kf__workers_init(struct kf__sched *sched);
kf_err kf__workers_start(struct kf__sched *sched, int32_t count);
/* Something was queued: returns an idle worker to signal once the lock is released, or NULL. The
 * sched's lock is held. */
struct kf__worker *kf__workers_needed(struct kf__sched *sched);
/* A look at the workers, now and for as long as anything is ready. The sched's lock is held. */
void kf__workers_look_soon(struct kf__sched *sched);
/* All workers end as soon as they are not inside an activation. The sched's lock is held. */
void kf__workers_stop(struct kf__sched *sched);
void kf__workers_destroy(struct kf__sched *sched); /* what must not be done in a forked child */
void kf__workers_free(struct kf__sched *sched);    /* their memory, in any process */

/* ---- wait.c ---- */
void kf__wait_init(struct kf__run *run);
/* Takes its timer and watch off a loop that goes away. */
void kf__wait_forget(struct kf__run *run);

/* ---- spawn.c ---- */
/* Returns when all children of the running activation have ended; frees what was not joined. */
void kf__children_end(struct kf__run *run);
void kf__children_cancel(struct kf__run *run);

#endif
