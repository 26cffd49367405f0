/*
 * sched: activations, from ready to ended; see sched.h.
 *
 *            ready            entered             returns
 *   RESTING ──────▶ READY ──────────────▶ RUNNING ───────▶ RESTING, ended()
 *                    ▲ ▲                   │    │
 *                    │ └──off its stack── YIELDING
 *             resume │                          ▼ suspend
 *                SUSPENDED ◀──off its stack── PARKING
 *
 * A resume leaves a token with its reason in the state word. It may come at
 * any time: a suspend that finds the token returns at once, a worker that
 * finds it on a parking fiber queues it again instead of letting it rest. So
 * no wake-up is lost, and nobody enters a fiber whose stack is still in use.
 *
 * Threads and their number are in sched_workers.c, waits in wait.c.
 */
#include "runtime/fiber/sched_run.h"

#include <assert.h>
#include <sched.h>
#include <unistd.h>

enum {
    RESTING,
    READY,
    RUNNING,
    PARKING,
    YIELDING,
    SUSPENDED,
    PLACE_MASK = 7,
    TOKEN = 8,
    REASON_SHIFT = 16,
};

enum {
    DEFAULT_STACK_BYTES = 64 * 1024
};

/* ---- the state word ---- */

static uint32_t place_of(uint32_t state) { return state & PLACE_MASK; }

static uint32_t token_for(kf_err reason)
{
    return TOKEN | (uint32_t)(uint16_t)(int16_t)reason << REASON_SHIFT;
}

static kf_err reason_of(uint32_t state)
{
    assert(state & TOKEN);
    return (kf_err)(int16_t)(uint16_t)(state >> REASON_SHIFT);
}

/* To another place, with the token where there is one. Returns the new state. */
static uint32_t move(struct kf__activation *activation, uint32_t place)
{
    uint32_t old = atomic_load(&activation->state);
    uint32_t new_state;
    do
        new_state = (old & ~(uint32_t)PLACE_MASK) | place;
    while (!atomic_compare_exchange_weak(&activation->state, &old, new_state));
    return new_state;
}

/* Off its stack: it rests unless the token is there already. True: queue it. */
static bool park(struct kf__activation *activation)
{
    uint32_t old = atomic_load(&activation->state);
    uint32_t new_state;
    bool again;
    do {
        again = place_of(old) == YIELDING || (old & TOKEN);
        new_state = (old & ~(uint32_t)PLACE_MASK) | (again ? READY : SUSPENDED);
    } while (!atomic_compare_exchange_weak(&activation->state, &old, new_state));
    return again;
}

/* ---- the ready queue ---- */

static void append(struct kf__sched *sched, struct kf__activation *activation)
{
    activation->next = NULL;
    if (sched->last)
        sched->last->next = activation;
    else
        sched->first = activation;
    sched->last = activation;
    sched->ready++;
    atomic_store_explicit(&sched->ready_hint, sched->ready, memory_order_relaxed);
}

static void enqueue(struct kf__sched *sched, struct kf__activation *activation)
{
    activation->ready_at = kf__sched_now(sched);
    pthread_mutex_lock(&sched->lock);
    append(sched, activation);
    struct kf__worker *worker = kf__workers_needed(sched);
    pthread_mutex_unlock(&sched->lock);
    if (worker)
        pthread_cond_signal(&worker->wake);
}

void kf__sched_retry_starved(struct kf__sched *sched)
{
    while (sched->starved) {
        struct kf__activation *activation = sched->starved;
        sched->starved = activation->next;
        append(sched, activation);
    }
}

void kf__sched_settle(struct kf__sched *sched, struct kf__worker *worker)
{
    if (!worker->ended)
        return;
    worker->ended = false;
    sched->live--;
    kf__sched_retry_starved(sched);
    if (sched->closing && sched->live == 0 && !sched->abandoned)
        kf__loop_wake(sched->loop);
}

struct kf__activation *kf__sched_pop(struct kf__sched *sched, struct kf__worker *worker)
{
    kf__sched_settle(sched, worker);
    struct kf__activation *activation = sched->first;
    if (!activation)
        return NULL;
    sched->first = activation->next;
    sched->ready--;
    atomic_store_explicit(&sched->ready_hint, sched->ready, memory_order_relaxed);
    if (!sched->first)
        sched->last = NULL;
    /* Whoever is taken now has its share before it; the next look sets the word again. */
    atomic_store_explicit(&sched->yield, false, memory_order_relaxed);
    if (!atomic_load_explicit(&activation->running, memory_order_relaxed))
        sched->live++;
    return activation;
}

/* No stack or no memory: it waits until something ends, or for the next look. */
static void starve(struct kf__sched *sched, struct kf__activation *activation)
{
    pthread_mutex_lock(&sched->lock);
    sched->live--;
    activation->next = sched->starved;
    sched->starved = activation;
    kf__workers_look_soon(sched);
    pthread_mutex_unlock(&sched->lock);
}

/* ---- from first entry to end ---- */

static void run_activation(struct kf__fiber *fiber)
{
    struct kf__run *run = fiber->owner;
    run->activation->run(run->activation);
    kf__children_end(run);
}

static struct kf__run *take_run(struct kf__sched *sched, struct kf__worker *worker)
{
    struct kf__run *run = worker->spare;
    worker->spare = NULL;
    if (run)
        return run;

    pthread_mutex_lock(&sched->lock);
    run = sched->free_runs;
    if (run)
        sched->free_runs = run->next_free;
    pthread_mutex_unlock(&sched->lock);
    if (run)
        return run;

    run = kf_alloc_zero(sched->alloc, sizeof *run);
    if (!run)
        return NULL;
    run->sched = sched;
    kf__wait_init(run);
    pthread_mutex_lock(&sched->lock);
    run->next_all = sched->runs;
    sched->runs = run;
    pthread_mutex_unlock(&sched->lock);
    return run;
}

static void give_run(struct kf__sched *sched, struct kf__worker *worker, struct kf__run *run)
{
    if (!worker->spare) {
        worker->spare = run;
        return;
    }
    pthread_mutex_lock(&sched->lock);
    run->next_free = sched->free_runs;
    sched->free_runs = run;
    pthread_mutex_unlock(&sched->lock);
}

static kf_err begin(struct kf__worker *worker, struct kf__activation *activation)
{
    struct kf__sched *sched = worker->sched;
    struct kf__run *run = take_run(sched, worker);
    if (!run)
        return KF_ERR_NO_MEMORY;
    size_t bytes = activation->stack_bytes ? activation->stack_bytes : sched->settings.stack_bytes;
    kf_err err = kf__fiber_start(&run->fiber, sched->pool, bytes, run_activation, run);
    if (err) {
        give_run(sched, worker, run);
        return err;
    }
    run->activation = activation;
    /* Sequentially consistent, against a cancel that sets its word and then looks here. */
    atomic_store(&activation->running, run);
    return KF_OK;
}

static void end(struct kf__worker *worker, struct kf__activation *activation, struct kf__run *run)
{
    run->activation = NULL;
    give_run(worker->sched, worker, run);
    worker->ended = true;
    atomic_store(&activation->running, NULL);
    atomic_store(&activation->state, RESTING);
    if (activation->ended)
        activation->ended(activation);
}

void kf__sched_enter(struct kf__worker *worker, struct kf__activation *activation)
{
    struct kf__sched *sched = worker->sched;
    struct kf__run *run = atomic_load_explicit(&activation->running, memory_order_relaxed);
    if (!run) {
        if (begin(worker, activation)) {
            starve(sched, activation);
            return;
        }
        run = atomic_load_explicit(&activation->running, memory_order_relaxed);
    }
    move(activation, RUNNING);
    if (kf__fiber_enter(&run->fiber, sched->pool))
        end(worker, activation, run);
    else if (park(activation))
        enqueue(sched, activation);
}

/* ---- what others call ---- */

void kf__activation_init(struct kf__activation *activation, struct kf__sched *sched,
                         void (*run)(struct kf__activation *),
                         void (*ended)(struct kf__activation *))
{
    *activation = (struct kf__activation){.run = run, .ended = ended, .sched = sched};
    atomic_init(&activation->running, NULL);
    atomic_init(&activation->state, RESTING);
}

void kf__sched_ready(struct kf__sched *sched, struct kf__activation *activation)
{
    uint32_t old = atomic_exchange(&activation->state, READY);
    assert(old == RESTING);
    (void)old;
    enqueue(sched, activation);
}

struct kf__run *kf__run_current(void)
{
    struct kf__fiber *fiber = kf__fiber_current();
    return fiber && fiber->run == run_activation ? fiber->owner : NULL;
}

struct kf__activation *kf__activation_current(void)
{
    struct kf__run *run = kf__run_current();
    return run ? run->activation : NULL;
}

static void leave(struct kf__activation *activation, uint32_t place)
{
    struct kf__run *run = atomic_load_explicit(&activation->running, memory_order_relaxed);
    assert(run && run == kf__run_current());
    move(activation, place);
    kf__fiber_suspend(&run->fiber);
}

kf_err kf__sched_suspend(struct kf__activation *activation)
{
    if (!(atomic_load(&activation->state) & TOKEN))
        leave(activation, PARKING);
    return reason_of(atomic_exchange(&activation->state, RUNNING));
}

void kf__sched_resume(struct kf__activation *activation, kf_err reason)
{
    struct kf__sched *sched = activation->sched;
    uint32_t old = atomic_load(&activation->state);
    uint32_t new_state;
    bool rests;
    do {
        assert(place_of(old) != RESTING && !(old & TOKEN));
        rests = place_of(old) == SUSPENDED;
        new_state = (rests ? (uint32_t)READY : place_of(old)) | token_for(reason);
    } while (!atomic_compare_exchange_weak(&activation->state, &old, new_state));
    if (rests)
        enqueue(sched, activation);
}

void kf_yield(void)
{
    struct kf__run *run = kf__run_current();
    if (!run)
        sched_yield();
    else if (kf__sched_has_ready(run->sched))
        leave(run->activation, YIELDING);
}

void kf__sched_cancel(struct kf__sched *sched, struct kf__activation *activation)
{
    struct kf__run *run = atomic_load(&activation->running);
    if (run)
        kf__sched_post(sched, &run->cancel_task);
}

bool kf__sched_post(struct kf__sched *sched, struct kf__task *task)
{
    pthread_mutex_lock(&sched->lock);
    bool posted = !sched->abandoned;
    if (posted)
        kf__loop_post(sched->loop, task);
    pthread_mutex_unlock(&sched->lock);
    return posted;
}

bool kf__sched_should_yield(const struct kf__sched *sched)
{
    return atomic_load_explicit(&sched->yield, memory_order_relaxed);
}

bool kf__sched_has_ready(struct kf__sched *sched)
{
    return atomic_load_explicit(&sched->ready_hint, memory_order_relaxed) > 0;
}

bool kf__sched_run_ready(struct kf__sched *sched, int most)
{
    assert(sched->settings.workers == 0);
    pthread_mutex_lock(&sched->lock);
    kf__sched_retry_starved(sched);
    struct kf__activation *activation = NULL;
    for (int i = 0; i < most && (activation = kf__sched_pop(sched, &sched->caller)); i++) {
        pthread_mutex_unlock(&sched->lock);
        kf__sched_enter(&sched->caller, activation);
        pthread_mutex_lock(&sched->lock);
    }
    kf__sched_settle(sched, &sched->caller);
    bool more = sched->ready > 0;
    pthread_mutex_unlock(&sched->lock);
    return more;
}

/* ---- open and close ---- */

static void free_memory(struct kf__sched *sched)
{
    kf__workers_free(sched);
    for (struct kf__run *run = sched->runs, *next; run; run = next) {
        next = run->next_all;
        kf_free(sched->alloc, run);
    }
    kf__stack_pool_free(sched->pool);
    kf_free(sched->alloc, sched);
}

static void destroy(struct kf__sched *sched)
{
    kf__workers_destroy(sched);
    pthread_mutex_destroy(&sched->lock);
    pthread_mutex_destroy(&sched->family);
    free_memory(sched);
}

kf_err kf__sched_open(struct kf__loop *loop, const struct kf__sched_settings *settings,
                      struct kf__sched **result)
{
    *result = NULL;
    const kf_allocator *alloc = kf__loop_alloc(loop);
    struct kf__sched *sched = kf_alloc_zero(alloc, sizeof *sched);
    if (!sched)
        return KF_ERR_NO_MEMORY;
    sched->loop = loop;
    sched->world = kf__loop_world(loop);
    sched->alloc = alloc;
    sched->settings = *settings;
    if (sched->settings.stack_bytes == 0)
        sched->settings.stack_bytes = DEFAULT_STACK_BYTES;
    sched->process = getpid();
    kf_err err = kf__stack_pool_new(alloc, &sched->pool);
    if (err) {
        kf_free(alloc, sched);
        return err;
    }
    pthread_mutex_init(&sched->lock, NULL);
    pthread_mutex_init(&sched->family, NULL);
    kf__workers_init(sched);
    err = kf__workers_start(sched, settings->workers);
    if (err) {
        kf__sched_close(sched, kf__sched_now(sched) + KF_SECOND);
        return err;
    }
    *result = sched;
    return KF_OK;
}

/* Stops the workers once nothing is left for them. True when they are gone. */
static bool has_ended(struct kf__sched *sched)
{
    pthread_mutex_lock(&sched->lock);
    sched->closing = true;
    if (sched->live == 0 && sched->ready == 0 && !sched->starved)
        kf__workers_stop(sched);
    bool ended = sched->stopping && sched->worker_count == 0;
    pthread_mutex_unlock(&sched->lock);
    return ended;
}

/* Posted tasks point into the sched: they must have run before it goes. */
static void drain_loop(struct kf__sched *sched)
{
    kf__loop_turn(sched->loop, INT64_MIN);
    kf__timer_cancel(sched->loop, &sched->look_timer);
}

static void abandon(struct kf__sched *sched)
{
    drain_loop(sched);
    pthread_mutex_lock(&sched->lock);
    sched->abandoned = true;
    kf__workers_stop(sched);
    pthread_mutex_unlock(&sched->lock);
    drain_loop(sched);
    pthread_mutex_lock(&sched->lock);
    for (struct kf__run *run = sched->runs; run; run = run->next_all)
        kf__wait_forget(run);
    pthread_mutex_unlock(&sched->lock);
}

kf_err kf__sched_close(struct kf__sched *sched, kf_time deadline)
{
    if (!sched)
        return KF_OK;
    if (getpid() != sched->process) {
        /* A child has none of the threads, so that locks and conditions are as they were caught;
         * and it may stand on one of the stacks. */
        if (!kf__fiber_current())
            free_memory(sched);
        return KF_OK;
    }
    while (!has_ended(sched)) {
        kf_time now = kf__sched_now(sched);
        if (now >= deadline) {
            abandon(sched);
            return KF_ERR_HANDLER_STUCK;
        }
        kf_time until = now + 10 * KF_MILLISECOND;
        if (sched->settings.workers == 0 && kf__sched_run_ready(sched, 16))
            until = INT64_MIN;
        kf__loop_turn(sched->loop, until < deadline ? until : deadline);
    }
    drain_loop(sched);
    destroy(sched);
    return KF_OK;
}
