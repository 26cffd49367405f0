/*
 * fiber: a function with a stack of its own that can be left and entered
 * again, on any thread.
 *
 * A fiber has a stack only from its first run to its end; stacks are pooled,
 * guarded, and never touched while they rest. This file switches; it does
 * not schedule (sched.h) and does not know records.
 */
#ifndef KF_RUNTIME_FIBER_H
#define KF_RUNTIME_FIBER_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>

struct kf__stack_pool;

enum {
    KF__STACK_MOST = 64 << 20 /* bytes of a stack; more is a mistake */
};

/* `guards`: true where overflow must fault (default). Thread-safe. */
kf_err kf__stack_pool_new(const kf_allocator *alloc, struct kf__stack_pool **pool);
void kf__stack_pool_free(struct kf__stack_pool *pool); /* all stacks must have been returned */

struct kf__switch_frame; /* saved registers, architecture's own */

struct kf__fiber {
    void *stack; /* struct kf__stack *, NULL at rest */
    void *sp;    /* saved stack pointer while suspended */
    void *back;  /* saved stack pointer of the thread that runs it */
    void (*run)(struct kf__fiber *fiber);
    void *owner;
    void *local; /* kf_fiber_local */
    bool finished;
    bool entered;
    /* sanitizer bookkeeping */
    void *tsan_fiber;
    void *tsan_back;
    const void *asan_back_bottom;
    size_t asan_back_size;
    void *asan_fake;
};

/* Prepares it to run `run` on a stack of at least `stack_bytes`. KF_ERR_NO_STACK. */
kf_err kf__fiber_start(struct kf__fiber *fiber, struct kf__stack_pool *pool, size_t stack_bytes,
                       void (*run)(struct kf__fiber *fiber), void *owner);
/* Runs it on this thread until it suspends or ends; true when it ended (its stack went back). */
bool kf__fiber_enter(struct kf__fiber *fiber, struct kf__stack_pool *pool);
/* Leaves the running fiber; returns when somebody enters it again, maybe on another thread. */
void kf__fiber_suspend(struct kf__fiber *fiber);
/* The fiber that runs on this thread, NULL on a plain one. Never cached across a suspension. */
struct kf__fiber *kf__fiber_current(void);
/* Whether an address lies in the guard of a fiber's stack (for the overflow reporter). */
bool kf__fiber_guard_hit(const struct kf__fiber *fiber, const void *address);
/* Usable bytes of its stack, at least what was asked for; 0 at rest. */
size_t kf__fiber_stack_bytes(const struct kf__fiber *fiber);

#endif
