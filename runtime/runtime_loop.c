/* runtime_loop: who turns the loop: the I/O thread, or the caller. Never runs user code itself
 * but in kf_loop_step, where the caller's thread is also the worker. */
#include "runtime/runtime_inside.h"

#include "net/loop/thread.h"
#include <kafiber/fiber.h>
#include <string.h>
#include <unistd.h>

enum {
    /* With worker.threads=0, then sockets and timers get a look: */
    ACTIVATIONS_A_TURN = 64,
    TURN_MS = 10,
};

static void consumer_ended(void *owner)
{
    struct kf_runtime *runtime = owner;
    atomic_store(&runtime->consumer_ended, true);
}

static void set_state(struct kf_runtime *runtime, enum kf__runtime_state state)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->state = state;
    kf__runtime_answer_all(runtime);
    pthread_mutex_unlock(&runtime->lock);
}

bool kf__runtime_has_ended(struct kf_runtime *runtime)
{
    return atomic_load(&runtime->consumer_ended);
}

/* What is ready on the caller's thread, for a moment; true when there is more. */
static bool run_activations(struct kf_runtime *runtime)
{
    if (runtime->own_thread)
        return false;
    kf_time end = kf__runtime_now(runtime) + TURN_MS * KF_MILLISECOND;
    bool more = true;
    for (int i = 0; more && i < ACTIVATIONS_A_TURN && (i == 0 || kf__runtime_now(runtime) < end);
         i++)
        more = kf__sched_run_ready(runtime->sched, 1);
    return more;
}

static void heed_stop(struct kf_runtime *runtime)
{
    if (atomic_load(&runtime->stop_asked) && !runtime->consumer.stopping)
        kf__consumer_stop(&runtime->consumer,
                          kf__runtime_now(runtime) +
                              runtime->settings.shutdown_timeout_ms * KF_MILLISECOND);
}

void kf__runtime_turn(struct kf_runtime *runtime, kf_time until)
{
    /* Before it waits: the stop may have been asked for before there was a loop to wake. */
    heed_stop(runtime);
    bool more = run_activations(runtime);
    kf__loop_turn(runtime->loop, more ? 0 : until);
    run_activations(runtime);
    heed_stop(runtime);
}

static void *io_thread(void *argument)
{
    struct kf_runtime *runtime = argument;
    /* Whoever starts it says that it runs, before it can say that it has ended. */
    pthread_mutex_lock(&runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
    while (!kf__runtime_has_ended(runtime))
        kf__runtime_turn(runtime, KF_FOREVER);
    set_state(runtime, KF__RUNTIME_ENDED);
    return NULL;
}

static kf_err start_thread(struct kf_runtime *runtime)
{
    kf_err err = kf__thread_start(&runtime->thread, io_thread, runtime);
    runtime->joined = err != KF_OK;
    return err;
}

static void exhausted(void *owner, int32_t workers)
{
    struct kf_runtime *runtime = owner;
    kf__consumer_log(&runtime->consumer, KF_LOG_WARNING, "workers.exhausted", NULL, -1, KF_OK,
                     "all %d worker threads are blocked in handlers: raise worker.threads.max, or "
                     "use the waits of kafiber/fiber.h",
                     (int)workers);
}

static enum kf__backend backend_of(enum kf__loop_choice choice)
{
    return choice == KF__LOOP_EPOLL  ? KF__BACKEND_EPOLL
           : choice == KF__LOOP_POLL ? KF__BACKEND_POLL
                                     : KF__BACKEND_AUTO;
}

static int32_t count_workers(const struct kf__settings *settings)
{
    if (settings->worker_threads >= 0)
        return settings->worker_threads;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 1)
        return 1;
    return cores < settings->worker_threads_max ? (int32_t)cores : settings->worker_threads_max;
}

static kf_err open_parts(struct kf_runtime *runtime)
{
    const struct kf__settings *settings = &runtime->settings;
    int32_t workers = count_workers(settings);
    if (workers > 0 && settings->world != &kf__real_world)
        return KF_ERR_STATE; /* another thread would run in real time */
    runtime->own_thread = workers > 0;
    struct kf__loop *loop;
    kf_err err =
        kf__loop_open(runtime->alloc, settings->world, backend_of(settings->loop_backend), &loop);
    if (err)
        return err;
    runtime->loop = loop;
    struct kf__sched_settings sched = {
        .workers = workers,
        .workers_max = settings->worker_threads_max,
        .stack_bytes = (size_t)settings->fiber_stack_bytes,
        .exhausted = exhausted,
        .owner = runtime,
    };
    err = kf__sched_open(runtime->loop, &sched, &runtime->sched);
    if (err)
        return err;
    return kf__events_open(runtime->alloc, runtime->loop, runtime->sched, settings->log_level,
                           settings->log, settings->log_context, &runtime->events);
}

static void log_notes(struct kf_runtime *runtime)
{
    struct kf__config_note note;
    for (size_t i = 0; kf__config_note(runtime->config, i, &note); i++)
        kf__consumer_log(&runtime->consumer, KF_LOG_WARNING, "config.ignored", NULL, -1, KF_OK,
                         "%s is ignored: %s", note.key, note.reason);
}

kf_err kf__runtime_start_loop(struct kf_runtime *runtime, kf_error *error)
{
    kf_err err = open_parts(runtime);
    if (err)
        return kf_error_set(error, err, "the runtime could not be started: %s", kf_err_text(err));
    struct kf__consumer_parts parts = {
        .alloc = runtime->alloc,
        .settings = &runtime->settings,
        .routes = runtime->routes,
        .loop = runtime->loop,
        .sched = runtime->sched,
        .events = runtime->events,
        .on_rebalance = runtime->on_rebalance,
        .rebalance_context = runtime->rebalance_context,
        .on_end = consumer_ended,
        .owner = runtime,
    };
    err = kf__consumer_open(&runtime->consumer, &parts, error);
    if (err)
        return err;
    log_notes(runtime);
    if (runtime->own_thread)
        err = start_thread(runtime);
    else
        runtime->thread = pthread_self();
    if (err)
        return kf_error_set(error, err, "the I/O thread could not be started");
    return KF_OK;
}

/* ---- the caller's own loop ---- */

int kf_loop_fd(kf_runtime *runtime)
{
    return runtime && runtime->loop && !runtime->own_thread ? kf__loop_fd(runtime->loop) : -1;
}

kf_time kf_loop_deadline(kf_runtime *runtime)
{
    if (!runtime || !runtime->loop || runtime->own_thread)
        return KF_FOREVER;
    return kf__sched_has_ready(runtime->sched) ? 0 : kf__loop_deadline(runtime->loop);
}

/* Questions of this thread are answered at once, those of others in the loop's turn. */
static void note_thread(kf_runtime *runtime)
{
    if (pthread_equal(runtime->thread, pthread_self()))
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->thread = pthread_self();
    pthread_mutex_unlock(&runtime->lock);
}

kf_err kf_loop_step(kf_runtime *runtime, kf_time wait_until)
{
    if (!runtime || runtime->state == KF__RUNTIME_NEW || runtime->own_thread ||
        kf__activation_current())
        return KF_ERR_STATE;
    if (kf__runtime_is_foreign(runtime, getpid()))
        return KF_ERR_FORKED;
    if (kf__runtime_has_ended(runtime))
        return KF_ERR_CLOSED;
    note_thread(runtime);
    kf__runtime_turn(runtime, wait_until);
    if (!kf__runtime_has_ended(runtime))
        return KF_OK;
    set_state(runtime, KF__RUNTIME_ENDED);
    return KF_ERR_CLOSED;
}
