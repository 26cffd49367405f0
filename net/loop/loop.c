/*
 * loop: one turn at a time; see loop.h.
 *
 *   wait ──▶ clock ──▶ descriptors ──▶ tasks ──▶ timers ──▶ deferred ──▶ back to the caller
 *
 * The only place of the library that reads the clock for net and group. Other
 * threads reach it through a lock-free stack of tasks and one word that says
 * whether it sleeps, so that a post costs a system call only when it does.
 */
#include "net/loop/backend.h"
#include "net/loop/jobs.h"
#include "net/loop/timers.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

/* AWAKE ──turn ends or waits──▶ ASLEEP ──wake──▶ WOKEN ──next turn──▶ AWAKE */
enum rest {
    AWAKE,
    ASLEEP,
    WOKEN
};

struct slot {
    struct kf__watch *watch; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct kf__loop {
    const kf_allocator *alloc;
    const struct kf__world *world;
    const struct kf__backend_table *backend;
    void *backend_state;
    kf_time now;
    pid_t process; /* that opened it */

    struct kf__timers timers;
    struct kf__jobs jobs;

    struct slot *slots;
    uint32_t slot_count;
    uint32_t slot_capacity;
    uint32_t first_free; /* slot_count: none */

    struct kf__task *deferred, **deferred_end; /* in order */
    _Atomic(struct kf__task *) posted;         /* latest first */
    atomic_int rest;
    int wake_read, wake_write;
    struct kf__watch wake_watch;
};

const struct kf__world *kf__loop_world(const struct kf__loop *loop) { return loop->world; }
const kf_allocator *kf__loop_alloc(const struct kf__loop *loop) { return loop->alloc; }
/* A child shares its parent's epoll set and has none of its threads: it may only free. */
static bool has_forked(const struct kf__loop *loop) { return getpid() != loop->process; }

kf_time kf__loop_now(const struct kf__loop *loop) { return loop->now; }

/* ---- waking ---- */

static void drain_wake_pipe(struct kf__watch *watch, int events, void *owner)
{
    (void)events;
    (void)owner;
    char bytes[64];
    while (read(watch->fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        continue;
}

void kf__loop_wake(struct kf__loop *loop)
{
    if (atomic_exchange(&loop->rest, WOKEN) != ASLEEP)
        return;
    int saved = errno; /* a signal handler may stand here */
    ssize_t ignored = write(loop->wake_write, "", 1);
    (void)ignored; /* full: it is awake anyhow */
    errno = saved;
}

static kf_err open_wake_pipe(struct kf__loop *loop)
{
    int ends[2];
    if (pipe(ends))
        return KF_ERR_SYSTEM;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    loop->wake_read = ends[0];
    loop->wake_write = ends[1];
    loop->wake_watch =
        (struct kf__watch){.fd = ends[0], .events = KF__READABLE, .ready = drain_wake_pipe};
    return kf__watch_add(loop, &loop->wake_watch);
}

/* ---- open and close ---- */

const struct kf__backend_table *kf__backend_of(enum kf__backend backend)
{
#if defined(__linux__)
    if (backend != KF__BACKEND_POLL)
        return &kf__epoll_backend;
#endif
    return backend == KF__BACKEND_EPOLL ? NULL : &kf__poll_backend;
}

static void free_loop(struct kf__loop *loop)
{
    if (loop->wake_read >= 0)
        close(loop->wake_read);
    if (loop->wake_write >= 0)
        close(loop->wake_write);
    if (loop->backend_state)
        loop->backend->close(loop->backend_state);
    kf_free(loop->alloc, loop->slots);
    kf_free(loop->alloc, loop);
}

kf_err kf__loop_open(const kf_allocator *alloc, const struct kf__world *world,
                     enum kf__backend backend, struct kf__loop **result)
{
    *result = NULL;
    const struct kf__backend_table *table =
        world->ready ? &kf__world_backend : kf__backend_of(backend);
    if (!table)
        return KF_ERR_NOT_BUILT;
    struct kf__loop *loop = kf_alloc_zero(alloc, sizeof *loop);
    if (!loop)
        return KF_ERR_NO_MEMORY;
    loop->alloc = alloc;
    loop->world = world;
    loop->backend = table;
    loop->wake_read = loop->wake_write = -1;
    loop->now = world->now(world->context);
    loop->process = getpid();
    atomic_init(&loop->rest, ASLEEP);
    loop->deferred_end = &loop->deferred;
    kf_err err = table->open(alloc, world, &loop->backend_state);
    if (!err)
        err = open_wake_pipe(loop);
    if (!err)
        err = kf__jobs_init(&loop->jobs, loop, world);
    if (err)
        free_loop(loop);
    else
        *result = loop;
    return err;
}

void kf__loop_close(struct kf__loop *loop)
{
    if (!loop)
        return;
    kf__jobs_close(&loop->jobs, has_forked(loop));
    free_loop(loop);
}

/* ---- timers ---- */

void kf__timer_init(struct kf__timer *timer, void (*fire)(struct kf__timer *, void *), void *owner)
{
    *timer = (struct kf__timer){.fire = fire, .owner = owner};
}

void kf__timer_set(struct kf__loop *loop, struct kf__timer *timer, kf_time at)
{
    kf__timers_set(&loop->timers, timer, at);
}

void kf__timer_cancel(struct kf__loop *loop, struct kf__timer *timer)
{
    kf__timers_cancel(&loop->timers, timer);
}

/* ---- descriptors ---- */

static kf_err take_slot(struct kf__loop *loop, uint32_t *slot)
{
    if (loop->first_free < loop->slot_count) {
        *slot = loop->first_free;
        loop->first_free = loop->slots[*slot].next_free;
        return KF_OK;
    }
    if (loop->slot_count == loop->slot_capacity) {
        uint32_t capacity = loop->slot_capacity ? loop->slot_capacity * 2 : 32;
        struct slot *slots = kf_realloc(loop->alloc, loop->slots, capacity * sizeof *slots);
        if (!slots)
            return KF_ERR_NO_MEMORY;
        loop->slots = slots;
        loop->slot_capacity = capacity;
    }
    *slot = loop->slot_count++;
    loop->first_free = loop->slot_count;
    loop->slots[*slot] = (struct slot){0};
    return KF_OK;
}

static void return_slot(struct kf__loop *loop, uint32_t at)
{
    loop->slots[at].watch = NULL;
    loop->slots[at].generation++;
    loop->slots[at].next_free = loop->first_free < loop->slot_count ? loop->first_free : UINT32_MAX;
    loop->first_free = at;
}

kf_err kf__watch_add(struct kf__loop *loop, struct kf__watch *watch)
{
    uint32_t at;
    kf_err err = take_slot(loop, &at);
    if (err)
        return err;
    err = loop->backend->want(loop->backend_state, at, loop->slots[at].generation, watch->fd, 0,
                              watch->events);
    if (err) {
        return_slot(loop, at);
        return err;
    }
    loop->slots[at].watch = watch;
    watch->place = at;
    return KF_OK;
}

kf_err kf__watch_change(struct kf__loop *loop, struct kf__watch *watch, int events)
{
    struct slot *slot = &loop->slots[watch->place];
    assert(slot->watch == watch);
    if (events == watch->events)
        return KF_OK;
    kf_err err = loop->backend->want(loop->backend_state, (uint32_t)watch->place, slot->generation,
                                     watch->fd, watch->events, events);
    if (!err)
        watch->events = events;
    return err;
}

void kf__watch_remove(struct kf__loop *loop, struct kf__watch *watch)
{
    struct slot *slot = &loop->slots[watch->place];
    assert(slot->watch == watch);
    if (!has_forked(loop))
        loop->backend->want(loop->backend_state, (uint32_t)watch->place, slot->generation,
                            watch->fd, watch->events, 0);
    return_slot(loop, (uint32_t)watch->place);
}

/* What was reported before the watch changed its mind or went is dropped here. */
static void tell_watch(void *context, uint32_t at, uint32_t generation, int events)
{
    const struct kf__loop *loop = context;
    struct slot *slot = &loop->slots[at];
    if (!slot->watch || slot->generation != generation)
        return;
    events &= slot->watch->events;
    if (events)
        slot->watch->ready(slot->watch, events, slot->watch->owner);
}

/* ---- tasks and jobs ---- */

void kf__loop_post(struct kf__loop *loop, struct kf__task *task)
{
    if (atomic_exchange(&task->queued, true))
        return;
    struct kf__task *first = atomic_load(&loop->posted);
    do
        task->next = first;
    while (!atomic_compare_exchange_weak(&loop->posted, &first, task));
    kf__loop_wake(loop);
}

static void run_tasks(struct kf__loop *loop)
{
    struct kf__task *latest = atomic_exchange(&loop->posted, NULL);
    struct kf__task *first = NULL;
    while (latest) {
        struct kf__task *task = latest;
        latest = task->next;
        task->next = first;
        first = task;
    }
    while (first) {
        struct kf__task *task = first;
        first = task->next;
        atomic_store(&task->queued, false);
        task->run(task);
    }
}

void kf__loop_defer(struct kf__loop *loop, struct kf__task *task)
{
    if (atomic_exchange_explicit(&task->queued, true, memory_order_relaxed))
        return;
    task->next = NULL;
    *loop->deferred_end = task;
    loop->deferred_end = &task->next;
}

void kf__loop_undefer(struct kf__loop *loop, struct kf__task *task)
{
    for (struct kf__task **at = &loop->deferred; *at; at = &(*at)->next) {
        if (*at != task)
            continue;
        *at = task->next;
        if (loop->deferred_end == &task->next)
            loop->deferred_end = at;
        atomic_store_explicit(&task->queued, false, memory_order_relaxed);
        return;
    }
}

/* One by one off the list, so that each may take others back; what they defer waits a turn. */
static void run_deferred(struct kf__loop *loop)
{
    struct kf__task mark = {0};
    *loop->deferred_end = &mark;
    loop->deferred_end = &mark.next;
    while (loop->deferred != &mark) {
        struct kf__task *task = loop->deferred;
        loop->deferred = task->next;
        atomic_store_explicit(&task->queued, false, memory_order_relaxed);
        task->run(task);
    }
    loop->deferred = mark.next;
    if (!loop->deferred)
        loop->deferred_end = &loop->deferred;
}

kf_err kf__loop_offload(struct kf__loop *loop, struct kf__job *job)
{
    return kf__jobs_offload(&loop->jobs, job);
}

/* ---- the turn ---- */

/* Rounded up, so that a timer is due when the wait ends; never negative but for "for ever". */
static int milliseconds_until(const struct kf__loop *loop, kf_time until)
{
    if (until == KF_FOREVER)
        return -1;
    kf_time now = loop->world->now(loop->world->context);
    if (until <= now)
        return 0;
    kf_time left = (until - now - 1) / KF_MILLISECOND + 1;
    return left > 60000 ? 60000 : (int)left;
}

static kf_err wait_for_work(struct kf__loop *loop, kf_time until)
{
    kf_time next = kf__timers_next(&loop->timers);
    int timeout = milliseconds_until(loop, next < until ? next : until);
    int awake = AWAKE;
    if (!atomic_compare_exchange_strong(&loop->rest, &awake, ASLEEP))
        timeout = 0;
    return loop->backend->wait(loop->backend_state, timeout);
}

/* The second half of a turn: all that is due. */
static void work_off(struct kf__loop *loop)
{
    run_tasks(loop);
    kf__timers_fire(&loop->timers, loop->now);
    run_deferred(loop);
    int awake = AWAKE;
    atomic_compare_exchange_strong(&loop->rest, &awake, ASLEEP);
}

kf_err kf__loop_turn(struct kf__loop *loop, kf_time until)
{
    if (atomic_exchange(&loop->rest, AWAKE) == WOKEN || loop->deferred)
        until = INT64_MIN;
    kf_err err = wait_for_work(loop, until);
    atomic_store(&loop->rest, AWAKE);
    loop->now = loop->world->now(loop->world->context);

    loop->backend->dispatch(loop->backend_state, tell_watch, loop);
    work_off(loop);
    return err;
}

/* ---- in several hands ---- */

void kf__loop_take(struct kf__loop *loop) { atomic_store(&loop->rest, AWAKE); }

void kf__loop_work(struct kf__loop *loop)
{
    atomic_store(&loop->rest, AWAKE);
    loop->now = loop->world->now(loop->world->context);
    work_off(loop);
}

bool kf__loop_let_go(struct kf__loop *loop)
{
    return atomic_exchange(&loop->rest, ASLEEP) != ASLEEP || loop->deferred;
}

/* The byte stays in the pipe for who turns the loop next. */
void kf__loop_nap(const struct kf__loop *loop, kf_time until)
{
    struct pollfd woken = {.fd = loop->wake_read, .events = POLLIN};
    (void)poll(&woken, 1, milliseconds_until(loop, until)); /* too early is early only */
}

int kf__loop_fd(const struct kf__loop *loop) { return loop->backend->fd(loop->backend_state); }

kf_time kf__loop_deadline(const struct kf__loop *loop)
{
    bool busy = atomic_load(&loop->rest) == WOKEN || loop->deferred;
    return busy ? 0 : kf__timers_next(&loop->timers);
}

size_t kf__loop_pollfds(const struct kf__loop *loop, struct pollfd *fds, size_t max)
{
    return loop->backend->pollfds(loop->backend_state, fds, max);
}
