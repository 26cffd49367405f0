/*
 * spawn: child fibers, see kafiber/fiber.h.
 *
 * A child is an activation of its own with its parent's cancel word. The
 * family lock of the sched guards all lists of children; it is never held
 * across a suspension. On a plain thread a child is a thread.
 */
#include "runtime/fiber/sched_run.h"

#include "net/loop/thread.h"
#include <kafiber/fiber.h>

#include <assert.h>

struct kf_fiber {
    struct kf__activation activation;
    kf_fiber_fn run;
    void *context;
    kf_err result;
    pthread_t thread; /* of a plain thread's child */

    /* Guarded by the family lock. */
    struct kf__run *parent; /* NULL: a plain thread's child */
    struct kf_fiber *previous, *next;
    struct kf__activation *joiner;
    bool done;
};

static void link_child(struct kf__run *parent, struct kf_fiber *child)
{
    child->next = parent->children;
    if (child->next)
        child->next->previous = child;
    parent->children = child;
}

static void unlink_child(struct kf_fiber *child)
{
    if (child->previous)
        child->previous->next = child->next;
    else
        child->parent->children = child->next;
    if (child->next)
        child->next->previous = child->previous;
}

static bool all_done(const struct kf__run *parent)
{
    for (const struct kf_fiber *child = parent->children; child; child = child->next)
        if (!child->done)
            return false;
    return true;
}

static void run_child(struct kf__activation *activation)
{
    struct kf_fiber *child = (struct kf_fiber *)(void *)activation;
    child->result = child->run(child->context);
}

/* Once the lock is released, the child may be freed by who joins it. */
static void child_ended(struct kf__activation *activation)
{
    struct kf_fiber *child = (struct kf_fiber *)(void *)activation;
    struct kf__sched *sched = activation->sched;
    struct kf__activation *waiter = NULL;
    pthread_mutex_lock(&sched->family);
    child->done = true;
    if (child->joiner) {
        waiter = child->joiner;
    } else if (child->parent->waits_for_children && all_done(child->parent)) {
        child->parent->waits_for_children = false;
        waiter = child->parent->activation;
    }
    pthread_mutex_unlock(&sched->family);
    if (waiter)
        kf__sched_resume(waiter, KF_OK);
}

static const char *describe_child(struct kf__activation *activation, char *text, size_t size)
{
    struct kf_fiber *child = (struct kf_fiber *)(void *)activation;
    struct kf__activation *parent = child->parent->activation;
    return parent->describe ? parent->describe(parent, text, size) : NULL;
}

static void spawn_in_fiber(struct kf__run *parent, struct kf_fiber *child)
{
    kf__activation_init(&child->activation, parent->sched, run_child, child_ended);
    child->activation.stack_bytes = parent->activation->stack_bytes;
    child->activation.cancel = parent->activation->cancel;
    child->activation.describe = describe_child;
    child->parent = parent;
    pthread_mutex_lock(&parent->sched->family);
    link_child(parent, child);
    pthread_mutex_unlock(&parent->sched->family);
    kf__sched_ready(parent->sched, &child->activation);
}

static void *run_thread(void *argument)
{
    struct kf_fiber *child = argument;
    child->result = child->run(child->context);
    return NULL;
}

static const kf_allocator *allocator(const struct kf__run *parent)
{
    return parent ? parent->sched->alloc : &kf_default_allocator;
}

kf_err kf_spawn(kf_fiber_fn run, void *context, kf_fiber **result)
{
    *result = NULL;
    struct kf__run *parent = kf__run_current();
    struct kf_fiber *child = kf_alloc_zero(allocator(parent), sizeof *child);
    if (!child)
        return KF_ERR_NO_MEMORY;
    child->run = run;
    child->context = context;
    if (parent) {
        spawn_in_fiber(parent, child);
    } else {
        kf_err err = kf__thread_start(&child->thread, run_thread, child);
        if (err) {
            kf_free(allocator(NULL), child);
            return err;
        }
    }
    *result = child;
    return KF_OK;
}

static void wait_for_child(struct kf__sched *sched, struct kf_fiber *child)
{
    struct kf__activation *self = kf__activation_current();
    assert(self); /* a fiber's child is joined in a fiber */
    pthread_mutex_lock(&sched->family);
    bool done = child->done;
    if (!done)
        child->joiner = self;
    pthread_mutex_unlock(&sched->family);
    if (!done)
        kf__sched_suspend(self);
}

kf_err kf_join(kf_fiber *child)
{
    if (!child)
        return KF_ERR_INVALID_ARGUMENT;
    const kf_allocator *alloc = allocator(child->parent);
    if (!child->parent) {
        pthread_join(child->thread, NULL);
    } else {
        struct kf__sched *sched = child->parent->sched;
        wait_for_child(sched, child);
        pthread_mutex_lock(&sched->family);
        unlink_child(child);
        pthread_mutex_unlock(&sched->family);
    }
    kf_err result = child->result;
    kf_free(alloc, child);
    return result;
}

void kf__children_end(struct kf__run *run)
{
    struct kf__sched *sched = run->sched;
    pthread_mutex_lock(&sched->family);
    bool wait = !all_done(run);
    run->waits_for_children = wait;
    pthread_mutex_unlock(&sched->family);
    if (wait)
        kf__sched_suspend(run->activation);

    pthread_mutex_lock(&sched->family);
    struct kf_fiber *child = run->children;
    run->children = NULL;
    pthread_mutex_unlock(&sched->family);
    while (child) {
        struct kf_fiber *next = child->next;
        kf_free(sched->alloc, child);
        child = next;
    }
}

void kf__children_cancel(struct kf__run *run)
{
    pthread_mutex_lock(&run->sched->family);
    for (struct kf_fiber *child = run->children; child; child = child->next)
        kf__sched_cancel(run->sched, &child->activation);
    pthread_mutex_unlock(&run->sched->family);
}

void **kf_fiber_local(void)
{
    static _Thread_local void *of_thread;
    struct kf__run *run = kf__run_current();
    return run ? &run->fiber.local : &of_thread;
}
