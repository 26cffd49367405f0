/*
 * loop: timers, descriptors and messages from other threads, one turn at a
 * time. Back-ends: epoll and poll. It owns no thread: whoever calls
 * kf__loop_turn is the loop's thread for that turn (the runtime's I/O thread,
 * or the caller's own). All functions but kf__loop_post and kf__loop_wake
 * belong to that thread.
 */
#ifndef KF_NET_LOOP_H
#define KF_NET_LOOP_H

#include "net/loop/world.h"
#include <kafiber/alloc.h>
#include <poll.h>
#include <stdatomic.h>

struct kf__loop;

enum kf__backend {
    KF__BACKEND_AUTO,
    KF__BACKEND_EPOLL,
    KF__BACKEND_POLL,
};

kf_err kf__loop_open(const kf_allocator *alloc, const struct kf__world *world,
                     enum kf__backend backend, struct kf__loop **loop);
/* Waits for jobs under way on helper threads. Timers and watches left are forgotten. */
void kf__loop_close(struct kf__loop *loop);

const struct kf__world *kf__loop_world(const struct kf__loop *loop);
const kf_allocator *kf__loop_alloc(const struct kf__loop *loop);
/* The time at which this turn began or last came back from waiting. */
kf_time kf__loop_now(const struct kf__loop *loop);

/* ---- timers: embedded in what they belong to ---- */
struct kf__timer {
    kf_time at;
    void (*fire)(struct kf__timer *timer, void *owner);
    void *owner;
    bool set;
    struct kf__timer *child, *next; /* in the heap; `before` is the sibling before it, or above */
    struct kf__timer *before;
};
void kf__timer_init(struct kf__timer *timer, void (*fire)(struct kf__timer *, void *), void *owner);
/* Sets or moves it; KF_FOREVER cancels it. */
void kf__timer_set(struct kf__loop *loop, struct kf__timer *timer, kf_time at);
void kf__timer_cancel(struct kf__loop *loop, struct kf__timer *timer);
static inline bool kf__timer_is_set(const struct kf__timer *timer) { return timer->set; }

/* ---- descriptors ---- */
enum {
    KF__READABLE = 1,
    KF__WRITABLE = 2
};
struct kf__watch {
    int fd;
    int events; /* wanted now; 0: none, but stays registered */
    void (*ready)(struct kf__watch *watch, int events, void *owner); /* errors count as both */
    void *owner;
    size_t place; /* the back-end's */
};
kf_err kf__watch_add(struct kf__loop *loop, struct kf__watch *watch);
kf_err kf__watch_change(struct kf__loop *loop, struct kf__watch *watch, int events);
void kf__watch_remove(struct kf__loop *loop, struct kf__watch *watch);

/* ---- messages from other threads: intrusive, no allocation ---- */
struct kf__task {
    void (*run)(struct kf__task *task); /* on the loop's thread; may free or post the task again */
    struct kf__task *next;
    atomic_bool queued;
};
/* Any thread. A task already queued stays queued once. Wakes the loop only when it sleeps. */
void kf__loop_post(struct kf__loop *loop, struct kf__task *task);
/* The loop's thread: runs the task at the end of this turn (or in the next), after all that is due.
 */
void kf__loop_defer(struct kf__loop *loop, struct kf__task *task);
/* Takes a deferred task back before it runs. */
void kf__loop_undefer(struct kf__loop *loop, struct kf__task *task);
void kf__loop_wake(struct kf__loop *loop); /* any thread; async-signal-safe */

/* ---- blocking work: at most two helper threads, started on demand ---- */
struct kf__job {
    void (*work)(struct kf__job *job); /* on a helper thread: must not touch the loop */
    void (*done)(struct kf__job *job); /* on the loop's thread; exactly once for each job taken */
    struct kf__job *next;
};
/*
 * Closing the loop calls done() for all that is left, begun or not: work()
 * leaves a mark where it matters. In a world without start_thread the work
 * runs within the loop's turn.
 */
kf_err kf__loop_offload(struct kf__loop *loop, struct kf__job *job);

/* ---- turning it ---- */
/* Waits until something happens or `until` comes (past: only looks), then runs all that is due. */
kf_err kf__loop_turn(struct kf__loop *loop, kf_time until);
/*
 * Several threads may turn it, one at a time, where a lock of theirs is held
 * by the one that does. Who comes takes it, works what is posted, turns as
 * often as wanted, and lets go; another one may nap meanwhile.
 */
void kf__loop_take(struct kf__loop *loop); /* from now on posts need wake nobody */
/* A turn that neither waits nor looks at descriptors. */
void kf__loop_work(struct kf__loop *loop);
/* From now on posts wake who naps or waits. True: work is left, and who has let go wakes the next.
 */
bool kf__loop_let_go(struct kf__loop *loop);
/* Without the lock: until the loop is woken, or `until` has come; then it wants a turn. */
void kf__loop_nap(const struct kf__loop *loop, kf_time until);
/* For a host's own loop: readable when there is work; -1 with the poll back-end. */
int kf__loop_fd(const struct kf__loop *loop);
/* When the next timer is due; 0 when work is waiting already; KF_FOREVER when there is none. */
kf_time kf__loop_deadline(const struct kf__loop *loop);
/* Poll back-end: fills what to poll for; returns how many there are, maybe more than `max`. */
size_t kf__loop_pollfds(const struct kf__loop *loop, struct pollfd *fds, size_t max);

#endif
