/*
 * sched: activations (units of work that run on a fiber) and the elastic
 * workers that run them.
 *
 *   ready ──▶ queue ──▶ worker enters the fiber ──▶ ends, or suspends
 *                                                     │ timer, descriptor
 *              ▲──────────── kf__sched_ready ◀────────┘
 *
 * Knows no Kafka. With 0 workers, kf__sched_run_ready runs them on the
 * caller's thread. The loop is used for timers and descriptors of suspended
 * fibers and for the 5 ms look at the workers.
 */
#ifndef KF_RUNTIME_SCHED_H
#define KF_RUNTIME_SCHED_H

#include "net/loop/loop.h"
#include "runtime/fiber/fiber.h"
#include <stdatomic.h>

struct kf__sched;

struct kf__sched_settings {
    int32_t workers;     /* to begin with; 0: the caller's thread */
    int32_t workers_max; /* elastic growth ends here, but for the one that each kin is guaranteed */
    kf_time surplus_ends; /* idle for so long, those beyond `workers` end; 0: 10 s */
    size_t stack_bytes;
    /* Out of workers: told once per episode, on the loop's thread. */
    void (*exhausted)(void *owner, int32_t workers);
    void *owner;
};

kf_err kf__sched_open(struct kf__loop *loop, const struct kf__sched_settings *settings,
                      struct kf__sched **sched);
/*
 * Ends the workers once they are idle. The caller is the loop's thread,
 * outside of a turn: the loop is turned meanwhile, so that fibers that wait
 * can end. KF_ERR_HANDLER_STUCK where an activation has not ended at
 * `deadline`: then it and what it can reach stay alive (the sched is leaked
 * on purpose); the sched doesn't touch the loop any more, and fibers that
 * still call kf_sleep or kf_wait_fd get KF_ERR_CANCELLED at once.
 */
kf_err kf__sched_close(struct kf__sched *sched, kf_time deadline);

/*
 * A unit of work. Embedded in its owner. `run` executes on a fiber; when it
 * returns, `ended` is called on the same thread, off the fiber's stack (the
 * stack is back in the pool): from there the activation may be made ready
 * again, by any thread.
 */
struct kf__activation {
    void (*run)(struct kf__activation *activation);
    void (*ended)(struct kf__activation *activation);
    struct kf__sched *sched;
    size_t stack_bytes;  /* 0: the sched's */
    atomic_uint *cancel; /* non-zero word: kf_cancelled() is true, waits end; may be NULL */
    /*
     * What it belongs to (a topic); NULL: nothing. Each kin is guaranteed one
     * worker: where all workers_max of them are blocked in others, it gets
     * one more.
     */
    const void *kin;
    const char *(*describe)(struct kf__activation *activation, char *text,
                            size_t size); /* for the overflow line; signal-safe */
    /* ---- the sched's; what it needs only while it runs is pooled ---- */
    struct kf__run *_Atomic running; /* from its first entry to its end */
    struct kf__activation *next;
    kf_time ready_at;
    _Atomic uint32_t state;
};

void kf__activation_init(struct kf__activation *activation, struct kf__sched *sched,
                         void (*run)(struct kf__activation *),
                         void (*ended)(struct kf__activation *));
/* Queues it. Any thread. It must be at rest (never run, or ended). */
void kf__sched_ready(struct kf__sched *sched, struct kf__activation *activation);
/*
 * Wakes what waits inside kf_sleep or kf_wait_fd, in its children too, after
 * its cancel word was set, by a sequentially consistent store. (kf_join goes on waiting: its child
 * is asked to stop as well.) The activation must stay alive during the call; it may be at rest. Any
 * thread.
 */
void kf__sched_cancel(struct kf__sched *sched, struct kf__activation *activation);
/* Workers 0: runs what is ready, at most `most` activations; true when more is ready. */
bool kf__sched_run_ready(struct kf__sched *sched, int most);
bool kf__sched_has_ready(struct kf__sched *sched);
/* The running activation, NULL outside of fibers. */
struct kf__activation *kf__activation_current(void);
/* Others are ready and this one has run for longer than its share: a good moment to end. One
 * relaxed load. */
bool kf__sched_should_yield(const struct kf__sched *sched);
int32_t kf__sched_workers(const struct kf__sched *sched); /* threads now */
/*
 * Suspends the running fiber until kf__sched_resume, and returns its reason;
 * for waits other than those of kafiber/fiber.h. Each suspend takes exactly
 * one resume, which may come from any thread, and before the suspend: then it
 * returns at once. Not woken by cancel.
 */
kf_err kf__sched_suspend(struct kf__activation *activation);
/*
 * The same where a cancel is to end the wait: `cancelled` is called, at most
 * once, when the activation is asked to stop, by another thread (under a lock
 * of the sched's own) or, if it was asked before, by this one; it has to see
 * to it that a resume follows.
 */
kf_err kf__sched_suspend_for(struct kf__activation *activation, void (*cancelled)(void *owner),
                             void *owner);
void kf__sched_resume(struct kf__activation *activation, kf_err reason);

/* ---- overflow.c ---- */
/* Reports a stack overflow in a fiber with one line on stderr, then lets the old action run. */
kf_err kf__overflow_reporter_install(void);
/* Gives this thread a stack for signals and unblocks those of faults; returns what to free later,
 * NULL if it had one. A thread that runs fibers needs it for the reporter. */
void *kf__overflow_thread_begin(const kf_allocator *alloc);
void kf__overflow_thread_end(const kf_allocator *alloc, void *signal_stack);

#endif
