/*
 * wait: what a handler may wait for, see kafiber/fiber.h.
 *
 *   fiber: wait ──post arm──▶ loop: timer, watch ──first of them──▶ resume
 *
 * Timers and watches belong to the loop's thread: it sets both, takes both
 * away when one fires or the fiber is cancelled, and then resumes. So each
 * wait ends once, by one thread. On a plain thread the same calls block.
 */
#include "runtime/fiber/sched_run.h"
#include <kafiber/fiber.h>

#include <errno.h>
#include <poll.h>
#include <stddef.h>

/* ---- the loop's side ---- */

static bool is_cancelled(const struct kf__run *run)
{
    atomic_uint *cancel = run->activation->cancel;
    return cancel && atomic_load(cancel) != 0;
}

static void disarm(struct kf__run *run)
{
    struct kf__loop *loop = run->sched->loop;
    run->armed = false;
    kf__timer_cancel(loop, &run->timer);
    if (run->wait_fd >= 0)
        kf__watch_remove(loop, &run->watch);
}

static void finish(struct kf__run *run, kf_err reason)
{
    disarm(run);
    kf__sched_resume(run->activation, reason);
}

static void on_timer(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__run *run = owner;
    finish(run, run->wait_fd >= 0 ? KF_ERR_TIMED_OUT : KF_OK);
}

static void on_ready(struct kf__watch *watch, int events, void *owner)
{
    (void)watch;
    (void)events;
    finish(owner, KF_OK);
}

static kf_err arm(struct kf__run *run)
{
    struct kf__loop *loop = run->sched->loop;
    if (run->wait_fd >= 0) {
        run->watch = (struct kf__watch){
            .fd = run->wait_fd, .events = run->wait_events, .ready = on_ready, .owner = run};
        kf_err err = kf__watch_add(loop, &run->watch);
        if (err)
            return err;
    }
    kf__timer_set(loop, &run->timer, run->wait_until);
    run->armed = true;
    return KF_OK;
}

static void on_arm(struct kf__task *task)
{
    struct kf__run *run =
        (struct kf__run *)(void *)((char *)task - offsetof(struct kf__run, arm_task));
    kf_err err = is_cancelled(run) ? KF_ERR_CANCELLED : arm(run);
    if (err)
        kf__sched_resume(run->activation, err);
}

/* A wait of somebody else's (kf__sched_suspend_for) hears of it once. */
static void tell_cancelled(struct kf__run *run)
{
    pthread_mutex_lock(&run->sched->family);
    if (run->cancelled && is_cancelled(run)) {
        run->cancelled(run->cancelled_owner);
        run->cancelled = NULL;
    }
    pthread_mutex_unlock(&run->sched->family);
}

/* Late or early: a run that waits for nothing, or works for somebody else by now, is left alone. */
static void on_cancel(struct kf__task *task)
{
    struct kf__run *run =
        (struct kf__run *)(void *)((char *)task - offsetof(struct kf__run, cancel_task));
    if (run->armed && is_cancelled(run))
        finish(run, KF_ERR_CANCELLED);
    tell_cancelled(run);
    kf__children_cancel(run);
}

void kf__wait_init(struct kf__run *run)
{
    run->wait_fd = -1;
    run->arm_task.run = on_arm;
    run->cancel_task.run = on_cancel;
    kf__timer_init(&run->timer, on_timer, run);
}

void kf__wait_forget(struct kf__run *run)
{
    if (run->armed)
        disarm(run);
}

/* ---- the fiber's side ---- */

static void watch_cancel(struct kf__run *run, void (*cancelled)(void *owner), void *owner)
{
    pthread_mutex_lock(&run->sched->family);
    run->cancelled = cancelled;
    run->cancelled_owner = owner;
    pthread_mutex_unlock(&run->sched->family);
}

kf_err kf__sched_suspend_for(struct kf__activation *activation, void (*cancelled)(void *owner),
                             void *owner)
{
    struct kf__run *run = kf__run_current();
    watch_cancel(run, cancelled, owner);
    if (is_cancelled(run)) /* whoever asked found nobody to tell */
        tell_cancelled(run);
    kf_err reason = kf__sched_suspend(activation);
    watch_cancel(run, NULL, NULL);
    return reason;
}

static kf_err wait_in_fiber(struct kf__run *run, kf_time until, int fd, int events)
{
    if (is_cancelled(run))
        return KF_ERR_CANCELLED;
    run->wait_until = until;
    run->wait_fd = fd;
    run->wait_events = events;
    if (!kf__sched_post(run->sched, &run->arm_task))
        return KF_ERR_CANCELLED;
    return kf__sched_suspend(run->activation);
}

static kf_time deadline_after(kf_time now, kf_time duration)
{
    return duration > KF_FOREVER - now ? KF_FOREVER : now + duration;
}

static kf_time thread_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (kf_time)now.tv_sec * KF_SECOND + now.tv_nsec;
}

kf_time kf_now(void)
{
    struct kf__run *run = kf__run_current();
    return run ? kf__sched_now(run->sched) : thread_now();
}

bool kf_cancelled(void)
{
    struct kf__run *run = kf__run_current();
    return run && is_cancelled(run);
}

kf_err kf_sleep(kf_time duration)
{
    struct kf__run *run = kf__run_current();
    if (run && duration > 0)
        return wait_in_fiber(run, deadline_after(kf__sched_now(run->sched), duration), -1, 0);
    if (run)
        return is_cancelled(run) ? KF_ERR_CANCELLED : KF_OK;
    if (duration <= 0)
        return KF_OK;

    struct timespec left = {.tv_sec = (time_t)(duration / KF_SECOND),
                            .tv_nsec = (long)(duration % KF_SECOND)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    return KF_OK;
}

/* Waits at most a minute: the caller looks at its deadline and comes back. */
static kf_err poll_once(int fd, int events, kf_time wait)
{
    struct pollfd poll_fd = {.fd = fd};
    if (events & KF_WAIT_READ)
        poll_fd.events |= POLLIN;
    if (events & KF_WAIT_WRITE)
        poll_fd.events |= POLLOUT;
    kf_time wait_ms = wait <= 0 ? 0 : (wait - 1) / KF_MILLISECOND + 1;
    int ready = poll(&poll_fd, 1, wait_ms > 60000 ? 60000 : (int)wait_ms);
    if (ready < 0)
        return errno == EINTR ? KF_ERR_TIMED_OUT : KF_ERR_SYSTEM;
    if (poll_fd.revents & POLLNVAL)
        return KF_ERR_INVALID_ARGUMENT;
    return ready > 0 ? KF_OK : KF_ERR_TIMED_OUT;
}

static kf_err wait_fd_in_thread(int fd, int events, kf_time deadline)
{
    for (;;) {
        kf_time left = deadline == KF_FOREVER ? KF_FOREVER : deadline - thread_now();
        kf_err err = poll_once(fd, events, left);
        if (err != KF_ERR_TIMED_OUT || left <= 0)
            return err;
    }
}

kf_err kf_wait_fd(int fd, int events, kf_time deadline)
{
    if (fd < 0 || (events & ~(KF_WAIT_READ | KF_WAIT_WRITE)) != 0 || events == 0)
        return KF_ERR_INVALID_ARGUMENT;
    struct kf__run *run = kf__run_current();
    if (!run)
        return wait_fd_in_thread(fd, events, deadline);
    if (is_cancelled(run))
        return KF_ERR_CANCELLED;
    kf_err err = poll_once(fd, events, 0);
    if (err != KF_ERR_TIMED_OUT || deadline <= kf__sched_now(run->sched))
        return err;
    int wanted =
        (events & KF_WAIT_READ ? KF__READABLE : 0) | (events & KF_WAIT_WRITE ? KF__WRITABLE : 0);
    return wait_in_fiber(run, deadline, fd, wanted);
}
