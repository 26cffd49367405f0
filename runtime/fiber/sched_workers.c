/*
 * sched_workers: the threads that run activations, and how many of them.
 *
 * An idle worker sleeps on its own condition, in a stack of the idle: the
 * latest is woken first, so that surplus ones stay idle long enough to end.
 *
 * While anything is ready, the loop looks every 5 ms. Where the oldest ready
 * activation has waited longer than that although processor time is to be
 * had, handlers block: workers whose CPU clocks stand still are made up for,
 * doubling when that is all of them. Never enters a fiber itself
 * (sched.c does) and never grows without having seen two looks.
 */
#include "runtime/fiber/sched_run.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

static const kf_time look_every = 5 * KF_MILLISECOND;
static const kf_time surplus_ends_after = 10 * KF_SECOND;

enum {
    SPINS = 200,        /* a few microseconds, less than sleep and wake-up cost */
    LATE_LOOKS_MOST = 3 /* in a row: then even a busy machine gets workers */
};

/* ---- the idle ---- */

static void push_idle(struct kf__sched *sched, struct kf__worker *worker)
{
    worker->idle = true;
    worker->woken = false;
    worker->idle_up = NULL;
    worker->idle_down = sched->idle;
    if (sched->idle)
        sched->idle->idle_up = worker;
    sched->idle = worker;
}

static void remove_idle(struct kf__sched *sched, struct kf__worker *worker)
{
    worker->idle = false;
    if (worker->idle_up)
        worker->idle_up->idle_down = worker->idle_down;
    else
        sched->idle = worker->idle_down;
    if (worker->idle_down)
        worker->idle_down->idle_up = worker->idle_up;
}

static struct kf__worker *wake_one(struct kf__sched *sched)
{
    struct kf__worker *worker = sched->idle;
    if (worker) {
        remove_idle(sched, worker);
        worker->woken = true;
        sched->coming++;
    }
    return worker;
}

struct kf__worker *kf__workers_needed(struct kf__sched *sched)
{
    if (sched->ready <= sched->coming)
        return NULL;
    struct kf__worker *worker = wake_one(sched);
    if (!worker)
        kf__workers_look_soon(sched);
    return worker;
}

void kf__workers_stop(struct kf__sched *sched)
{
    sched->stopping = true;
    for (struct kf__worker *worker; (worker = wake_one(sched)) != NULL;)
        pthread_cond_signal(&worker->wake);
}

static bool is_surplus(const struct kf__sched *sched)
{
    return sched->staying > sched->settings.workers;
}

/* Sleeps until woken. False: it was surplus for long enough, no longer counts among those who stay,
   and should end. */
static bool sleep_idle(struct kf__sched *sched, struct kf__worker *worker)
{
    push_idle(sched, worker);
    kf_time until = kf__sched_now(sched) + sched->settings.surplus_ends;
    struct timespec end = {.tv_sec = (time_t)(until / KF_SECOND), .tv_nsec = until % KF_SECOND};
    int waited = 0;
    while (!worker->woken && waited != ETIMEDOUT) {
        if (is_surplus(sched))
            waited = pthread_cond_timedwait(&worker->wake, &sched->lock, &end);
        else
            waited = pthread_cond_wait(&worker->wake, &sched->lock);
    }
    if (worker->woken) {
        sched->coming--;
        return true;
    }
    remove_idle(sched, worker);
    if (!is_surplus(sched))
        return true;
    sched->staying--;
    return false;
}

/* Before it sleeps: the next activation is often only a moment away. */
static void spin(struct kf__sched *sched)
{
    for (int i = 0; i < SPINS && !kf__sched_has_ready(sched); i++) {
#if defined(__x86_64__) && defined(__GNUC__)
        __asm__ volatile("pause");
#elif defined(__aarch64__) && defined(__GNUC__)
        __asm__ volatile("yield");
#endif
    }
}

/* ---- kin: each is guaranteed one worker ---- */

/* Puts the first ready one of that kin in front of all; false where there is none. */
static bool bring_to_front(struct kf__sched *sched, const void *kin)
{
    struct kf__activation *before = NULL;
    struct kf__activation *activation = sched->first;
    while (activation && activation->kin != kin) {
        before = activation;
        activation = activation->next;
    }
    if (!activation)
        return false;
    if (before) {
        before->next = activation->next;
        if (sched->last == activation)
            sched->last = before;
        activation->next = sched->first;
        sched->first = activation;
    }
    return true;
}

static bool is_served(const struct kf__sched *sched, const void *kin)
{
    for (const struct kf__worker *worker = sched->workers; worker; worker = worker->next_all)
        if (worker->alive && (worker->only == kin || (worker->busy && worker->kin == kin)))
            return true;
    return false;
}

/* A kin that is ready and that no worker is in; NULL: none. The sched's lock is held. */
static const void *find_unserved(const struct kf__sched *sched)
{
    const void *last = NULL; /* neighbours in the queue are often of one kin */
    for (const struct kf__activation *at = sched->first; at; at = at->next) {
        if (!at->kin || at->kin == last)
            continue;
        last = at->kin;
        if (!is_served(sched, last))
            return last;
    }
    return NULL;
}

/* ---- a worker's thread ---- */

/* The sched's lock is held, here and on return. */
static void work(struct kf__sched *sched, struct kf__worker *worker)
{
    while (!sched->stopping) {
        if (worker->only && !bring_to_front(sched, worker->only))
            break;
        struct kf__activation *activation = kf__sched_pop(sched, worker);
        if (activation) {
            worker->busy = true;
            worker->kin = activation->kin;
            pthread_mutex_unlock(&sched->lock);
            kf__sched_enter(worker, activation);
            pthread_mutex_lock(&sched->lock);
            worker->busy = false;
            continue;
        }
        sched->coming++;
        pthread_mutex_unlock(&sched->lock);
        spin(sched);
        pthread_mutex_lock(&sched->lock);
        sched->coming--;
        if (!sched->first && !sched->stopping && !sleep_idle(sched, worker))
            return;
    }
    kf__sched_settle(sched, worker);
}

static void worker_main(void *argument)
{
    struct kf__worker *worker = argument;
    struct kf__sched *sched = worker->sched;
    void *signal_stack = kf__overflow_thread_begin(sched->alloc);

    pthread_mutex_lock(&sched->lock);
    worker->has_clock = pthread_getcpuclockid(pthread_self(), &worker->cpu_clock) == 0;
    sched->coming--;
    work(sched, worker);
    worker->has_clock = false;
    pthread_mutex_unlock(&sched->lock);

    kf__overflow_thread_end(sched->alloc, signal_stack);

    pthread_mutex_lock(&sched->lock);
    worker->alive = false;
    sched->worker_count--;
    atomic_store(&sched->worker_count_seen, sched->worker_count);
    if (sched->closing && !sched->abandoned)
        kf__loop_wake(sched->loop);
    pthread_mutex_unlock(&sched->lock); /* the sched may be gone from here on */
}

static struct kf__worker *new_worker(struct kf__sched *sched)
{
    for (struct kf__worker *worker = sched->workers; worker; worker = worker->next_all)
        if (!worker->alive)
            return worker;
    struct kf__worker *worker = kf_alloc_zero(sched->alloc, sizeof *worker);
    if (!worker)
        return NULL;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&worker->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (failed) {
        kf_free(sched->alloc, worker);
        return NULL;
    }
    worker->sched = sched;
    worker->next_all = sched->workers;
    sched->workers = worker;
    return worker;
}

/* `only`: the kin that it serves, NULL: all. */
static kf_err start_one(struct kf__sched *sched, const void *only)
{
    pthread_mutex_lock(&sched->lock);
    struct kf__worker *worker = sched->stopping ? NULL : new_worker(sched);
    if (worker) {
        worker->alive = true;
        worker->idle = worker->woken = worker->busy = false;
        worker->cpu_seen = 0;
        worker->only = only;
        worker->kin = NULL;
        sched->coming++;
        sched->worker_count++;
        if (!only)
            sched->staying++;
        atomic_store(&sched->worker_count_seen, sched->worker_count);
    }
    pthread_mutex_unlock(&sched->lock);
    if (!worker)
        return KF_ERR_NO_MEMORY;

    kf_err err = sched->world->start_thread(sched->world->context, worker_main, worker);
    if (err) {
        pthread_mutex_lock(&sched->lock);
        worker->alive = false;
        sched->coming--;
        sched->worker_count--;
        if (!only)
            sched->staying--;
        atomic_store(&sched->worker_count_seen, sched->worker_count);
        pthread_mutex_unlock(&sched->lock);
    }
    return err;
}

kf_err kf__workers_start(struct kf__sched *sched, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        kf_err err = start_one(sched, NULL);
        if (err)
            return err;
    }
    return KF_OK;
}

/* ---- the look, on the loop's thread ---- */

static kf_time cpu_time(const struct kf__worker *worker)
{
    struct timespec used;
    if (!worker->has_clock || clock_gettime(worker->cpu_clock, &used) != 0)
        return worker->cpu_seen;
    return (kf_time)used.tv_sec * KF_SECOND + used.tv_nsec;
}

struct view {
    int32_t regular; /* workers that serve all kin */
    int32_t blocked; /* those of them that are busy, but whose CPU clocks stand still, nearly */
    kf_time used;    /* by all workers since the last look */
};

static struct view view_workers(struct kf__sched *sched, kf_time since_last)
{
    struct view view = {0};
    for (struct kf__worker *worker = sched->workers; worker; worker = worker->next_all) {
        if (!worker->alive)
            continue;
        kf_time now = cpu_time(worker);
        kf_time used = now - worker->cpu_seen;
        worker->cpu_seen = now;
        view.used += used;
        if (worker->only)
            continue;
        view.regular++;
        if (worker->busy && used * 10 < since_last)
            view.blocked++;
    }
    return view;
}

/* A late look means that the machine is busy or our process was held back: clocks stood still for
 * that reason. */
static bool look_is_late(struct kf__sched *sched, kf_time since_last)
{
    if (since_last <= 2 * look_every) {
        sched->late_looks = 0;
        return false;
    }
    return ++sched->late_looks <= LATE_LOOKS_MOST;
}

/* How many workers should be added, before any limit. The sched's lock is held. */
static int32_t missing_workers(struct kf__sched *sched, kf_time now)
{
    kf_time since_last = now - sched->looked_at;
    bool first_look = sched->looked_at == 0;
    sched->looked_at = now;
    struct view view = view_workers(sched, since_last);
    if (first_look || !sched->first || now - sched->first->ready_at <= look_every)
        return 0;
    atomic_store_explicit(&sched->yield, true, memory_order_relaxed);
    if (sched->coming > 0 || look_is_late(sched, since_last))
        return 0;
    int32_t working = view.regular - view.blocked;
    if (working == 0 && view.regular >= sched->settings.workers_max)
        return 1; /* no room: for a kin that none serves, perhaps */
    if (view.used * 4 > since_last * sched->cores * 3)
        return 0; /* the processors are busy with handlers: more threads would not help */

    if (view.blocked == 0 || working >= sched->settings.workers)
        return 0;
    return working == 0 ? view.regular : sched->settings.workers - working;
}

static void grow(struct kf__sched *sched, int32_t wanted, int32_t count)
{
    int32_t room = sched->settings.workers_max - count;
    kf_err err = kf__workers_start(sched, wanted < room ? wanted : room);
    if (room > 0 && !err)
        return;
    pthread_mutex_lock(&sched->lock);
    const void *unserved = find_unserved(sched);
    pthread_mutex_unlock(&sched->lock);
    if (unserved)
        start_one(sched, unserved);
    if (!sched->told_exhausted && sched->settings.exhausted)
        sched->settings.exhausted(sched->settings.owner, kf__sched_workers(sched));
    sched->told_exhausted = true;
}

static void look(struct kf__sched *sched)
{
    kf_time now = kf__sched_now(sched);
    pthread_mutex_lock(&sched->lock);
    /* The first look only notes the clocks; what made it necessary may be over by the second. */
    bool go_on = (sched->looked_at == 0 || sched->first || sched->starved) && !sched->stopping;
    int32_t wanted = go_on ? missing_workers(sched, now) : 0;
    int32_t count = sched->worker_count;
    if (sched->starved && go_on) {
        kf__sched_retry_starved(sched);
        struct kf__worker *worker = wake_one(sched);
        if (worker)
            pthread_cond_signal(&worker->wake);
    }
    if (!go_on) {
        sched->looking = false;
        sched->looked_at = 0;
        sched->told_exhausted = false;
    }
    pthread_mutex_unlock(&sched->lock);

    if (wanted > 0)
        grow(sched, wanted, count);
    kf__timer_set(sched->loop, &sched->look_timer, go_on ? now + look_every : KF_FOREVER);
}

static void look_by_task(struct kf__task *task)
{
    struct kf__sched *sched =
        (struct kf__sched *)(void *)((char *)task - offsetof(struct kf__sched, look_task));
    look(sched);
}

static void look_by_timer(struct kf__timer *timer, void *owner)
{
    (void)timer;
    look(owner);
}

void kf__workers_look_soon(struct kf__sched *sched)
{
    if (sched->abandoned)
        return;
    if (sched->settings.workers == 0) {
        /* Nobody to look at, but the caller's loop may sleep. */
        kf__loop_wake(sched->loop);
        return;
    }
    if (sched->looking)
        return;
    sched->looking = true;
    kf__loop_post(sched->loop, &sched->look_task);
}

/* ---- open and close ---- */

void kf__workers_init(struct kf__sched *sched)
{
    sched->caller = (struct kf__worker){.sched = sched};
    sched->look_task.run = look_by_task;
    kf__timer_init(&sched->look_timer, look_by_timer, sched);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    sched->cores = cores > 0 ? (int32_t)cores : 1;
    if (sched->settings.surplus_ends == 0)
        sched->settings.surplus_ends = surplus_ends_after;
}

void kf__workers_destroy(struct kf__sched *sched)
{
    for (struct kf__worker *worker = sched->workers; worker; worker = worker->next_all)
        pthread_cond_destroy(&worker->wake);
}

void kf__workers_free(struct kf__sched *sched)
{
    for (struct kf__worker *worker = sched->workers, *next; worker; worker = next) {
        next = worker->next_all;
        kf_free(sched->alloc, worker);
    }
}

int32_t kf__sched_workers(const struct kf__sched *sched)
{
    return atomic_load(&sched->worker_count_seen);
}
