/* runtime: the public face; see kafiber/runtime.h. */
#include "runtime/runtime_inside.h"

#include <kafiber/fiber.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- opening ---- */

kf_runtime *kf_runtime_new(const kf_config *config, kf_error *error)
{
    if (!config) {
        kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "kf_runtime_new was given no configuration");
        return NULL;
    }
    const kf_allocator *alloc = &kf_default_allocator;
    kf_runtime *runtime = kf_alloc_zero(alloc, sizeof *runtime);
    kf_config *copy = runtime ? kf_config_copy(config) : NULL;
    if (!copy) {
        kf_free(alloc, runtime);
        kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for a runtime");
        return NULL;
    }
    runtime->alloc = alloc;
    runtime->config = copy;
    runtime->pid = getpid();
    runtime->joined = true;
    runtime->answer.run = kf__runtime_run_questions;
    pthread_mutex_init(&runtime->lock, NULL);
    pthread_cond_init(&runtime->changed, NULL);
    if (kf__config_settings(copy, &runtime->settings, error)) {
        kf_runtime_close(runtime);
        return NULL;
    }
    return runtime;
}

kf_runtime *kf_runtime_open(const char *path, kf_error *error)
{
    kf_config *config = kf_config_new(NULL);
    if (!config) {
        kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for a configuration");
        return NULL;
    }
    kf_runtime *runtime = NULL;
    if ((!path || kf_config_load(config, path, error) == KF_OK) &&
        kf_config_load_environment(config, error) == KF_OK)
        runtime = kf_runtime_new(config, error);
    kf_config_free(config);
    return runtime;
}

/* ---- handlers ---- */

static kf_err refuse(kf_runtime *runtime, const char *topic, const char *why)
{
    return kf_error_set(&runtime->error, KF_ERR_INVALID_ARGUMENT, "topic \"%s\": %s", topic, why);
}

static kf_err check_route(kf_runtime *runtime, const char *topic, kf_semantics semantics,
                          kf_handler handler)
{
    if (!topic || !*topic)
        return refuse(runtime, "", "a handler needs the name of its topic");
    if (!handler)
        return refuse(runtime, topic, "no handler was given");
    if (semantics != KF_AT_LEAST_ONCE && semantics != KF_AT_MOST_ONCE)
        return refuse(runtime, topic, "unknown delivery semantics");
    for (const struct kf__route *route = runtime->routes; route; route = route->next)
        if (strcmp(route->topic, topic) == 0)
            return refuse(runtime, topic, "was given a handler twice");
    return KF_OK;
}

static int64_t or_else(int64_t value, int64_t otherwise) { return value > 0 ? value : otherwise; }

static void fill_route(const kf_runtime *runtime, struct kf__route *route,
                       const kf_topic_options *options)
{
    const struct kf__settings *settings = &runtime->settings;
    route->stack_bytes = options->stack_bytes;
    route->retry_backoff =
        or_else(options->retry_backoff_ms, settings->handler_retry_backoff_ms) * KF_MILLISECOND;
    route->retry_backoff_max =
        or_else(options->retry_backoff_max_ms, settings->handler_retry_backoff_max_ms) *
        KF_MILLISECOND;
    route->chunk_records = (int32_t)or_else(options->chunk_max_records, 500);
    route->chunk_bytes = or_else(options->chunk_max_bytes, 1024 * 1024);
    route->is_pattern = options->pattern;
}

static kf_err add_route(kf_runtime *runtime, struct kf__route *route, const char *topic)
{
    if (route->is_pattern && regcomp(&route->regex, topic, REG_EXTENDED | REG_NOSUB)) {
        kf_free(runtime->alloc, route);
        return refuse(runtime, topic, "is not a POSIX extended regular expression");
    }
    size_t size = strlen(topic) + 1;
    route->topic = kf_alloc(runtime->alloc, size);
    if (!route->topic) {
        if (route->is_pattern)
            regfree(&route->regex);
        kf_free(runtime->alloc, route);
        return kf_error_set(&runtime->error, KF_ERR_NO_MEMORY, "no memory for a handler");
    }
    memcpy(route->topic, topic, size);
    struct kf__route **last = &runtime->routes;
    while (*last)
        last = &(*last)->next;
    *last = route;
    return KF_OK;
}

kf_err kf_runtime_handle_with(kf_runtime *runtime, const char *topic, kf_semantics semantics,
                              kf_handler handler, void *context, const kf_topic_options *options)
{
    if (!runtime)
        return KF_ERR_STATE;
    if (kf__runtime_is_foreign(runtime, getpid()))
        return KF_ERR_FORKED;
    if (runtime->error.code)
        return runtime->error.code;
    if (runtime->state != KF__RUNTIME_NEW)
        return KF_ERR_STATE; /* too late to matter, and no reason for the run to fail */
    kf_err err = check_route(runtime, topic, semantics, handler);
    if (err)
        return err;
    kf_topic_options mine = {.size = sizeof mine};
    if (options)
        memcpy(&mine, options, options->size < sizeof mine ? options->size : sizeof mine);
    if (mine.stack_bytes > KF__STACK_MOST)
        return refuse(runtime, topic, "its stacks are too large: stack_bytes is at most 64 MiB");
    struct kf__route *route = kf_alloc_zero(runtime->alloc, sizeof *route);
    if (!route)
        return kf_error_set(&runtime->error, KF_ERR_NO_MEMORY, "no memory for a handler");
    route->semantics = semantics;
    route->handler = handler;
    route->context = context;
    fill_route(runtime, route, &mine);
    return add_route(runtime, route, topic);
}

kf_err kf_runtime_handle(kf_runtime *runtime, const char *topic, kf_semantics semantics,
                         kf_handler handler, void *context)
{
    return kf_runtime_handle_with(runtime, topic, semantics, handler, context, NULL);
}

kf_err kf_runtime_on_rebalance(kf_runtime *runtime, kf_rebalance_fn fn, void *context)
{
    if (!runtime)
        return KF_ERR_STATE;
    if (runtime->error.code)
        return runtime->error.code;
    if (runtime->state != KF__RUNTIME_NEW)
        return KF_ERR_STATE;
    runtime->on_rebalance = fn;
    runtime->rebalance_context = context;
    return KF_OK;
}

/* ---- running ---- */

static kf_err check_ready(kf_runtime *runtime)
{
    if (runtime->error.code)
        return runtime->error.code;
    if (kf__runtime_is_foreign(runtime, getpid()))
        return kf_error_set(&runtime->error, KF_ERR_FORKED,
                            "the runtime was opened before fork: open one in the child");
    if (!runtime->routes)
        return kf_error_set(&runtime->error, KF_ERR_CONFIG,
                            "no topic has a handler: call kf_runtime_handle before run");
    if (!runtime->settings.group_id)
        return kf_error_set(&runtime->error, KF_ERR_CONFIG,
                            "group.id is not set: a group member needs the name of its group");
    return KF_OK;
}

static kf_err report(kf_runtime *runtime, kf_error *error)
{
    if (runtime->error.code)
        kf_error_set(error, runtime->error.code, "%s", runtime->error.text);
    return runtime->error.code;
}

kf_err kf_runtime_start(kf_runtime *runtime, kf_error *error)
{
    if (!runtime)
        return error && error->code ? error->code : KF_ERR_STATE;
    /* Held until it runs: a second start, a question or the I/O thread's end come after it. */
    pthread_mutex_lock(&runtime->lock);
    kf_err err = KF_OK;
    if (runtime->state != KF__RUNTIME_NEW) {
        err = kf_error_set(error, KF_ERR_STATE, "the runtime was started before");
    } else {
        if (check_ready(runtime) == KF_OK && !kf__runtime_start_loop(runtime, &runtime->error))
            runtime->state = KF__RUNTIME_RUNNING;
        err = report(runtime, error);
    }
    pthread_mutex_unlock(&runtime->lock);
    return err;
}

static void turn_until_end(kf_runtime *runtime)
{
    while (kf_loop_step(runtime, KF_FOREVER) == KF_OK)
        ;
}

static void wait_for_thread(kf_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    while (runtime->state == KF__RUNTIME_RUNNING)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    bool join = !runtime->joined;
    runtime->joined = true;
    pthread_mutex_unlock(&runtime->lock);
    if (join)
        pthread_join(runtime->thread, NULL);
}

/* In one of its own handlers or callbacks, which would wait for itself. */
static bool is_inside(const kf_runtime *runtime)
{
    const struct kf__activation *activation = kf__activation_current();
    return activation && activation->sched == runtime->sched;
}

kf_err kf_runtime_wait(kf_runtime *runtime, kf_error *error)
{
    if (!runtime)
        return error && error->code ? error->code : KF_ERR_STATE;
    if (is_inside(runtime))
        return kf_error_set(error, KF_ERR_STATE, "a handler can't wait for its own runtime's end");
    if (kf__runtime_is_foreign(runtime, getpid()))
        return kf_error_set(error, KF_ERR_FORKED, "the runtime belongs to the parent process");
    if (runtime->state == KF__RUNTIME_RUNNING) {
        if (runtime->own_thread)
            wait_for_thread(runtime);
        else
            turn_until_end(runtime);
    }
    pthread_mutex_lock(&runtime->lock);
    if (runtime->consumer.error.code && !runtime->error.code)
        runtime->error = runtime->consumer.error;
    kf_err err = report(runtime, error);
    pthread_mutex_unlock(&runtime->lock);
    return err;
}

void kf_runtime_stop(kf_runtime *runtime)
{
    if (!runtime)
        return;
    atomic_store(&runtime->stop_asked, true);
    struct kf__loop *loop = atomic_load(&runtime->loop);
    if (loop)
        kf__loop_wake(loop);
}

/* ---- signals: only kf_runtime_run, only where handle.signals says so ---- */

static _Atomic(kf_runtime *) signalled;

static void on_signal(int number)
{
    (void)number;
    kf_runtime *runtime = atomic_load(&signalled);
    if (runtime)
        kf_runtime_stop(runtime);
}

struct signals {
    struct sigaction interrupt;
    struct sigaction terminate;
    bool installed;
};

static void install_signals(kf_runtime *runtime, struct signals *before)
{
    before->installed = false;
    if (!runtime->settings.handle_signals)
        return;
    kf_runtime *nobody = NULL;
    if (!atomic_compare_exchange_strong(&signalled, &nobody, runtime))
        return; /* another runtime of this process has them */
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    /* A second signal ends the process as it would without us. */
    action.sa_flags = SA_RESTART | (int)SA_RESETHAND;
    sigaction(SIGINT, &action, &before->interrupt);
    sigaction(SIGTERM, &action, &before->terminate);
    before->installed = true;
}

static void restore_signals(const struct signals *before)
{
    if (!before->installed)
        return;
    sigaction(SIGINT, &before->interrupt, NULL);
    sigaction(SIGTERM, &before->terminate, NULL);
    atomic_store(&signalled, NULL);
}

kf_err kf_runtime_run(kf_runtime *runtime, kf_error *error)
{
    if (!runtime)
        return error && error->code ? error->code : KF_ERR_STATE;
    struct signals before;
    void *signal_stack = NULL;
    install_signals(runtime, &before);
    if (runtime->settings.handle_signals) {
        kf__overflow_reporter_install();
        signal_stack =
            kf__overflow_thread_begin(runtime->alloc); /* without workers they run here */
    }
    kf_err err = kf_runtime_start(runtime, error);
    if (!err)
        err = kf_runtime_wait(runtime, error);
    restore_signals(&before);
    kf__overflow_thread_end(runtime->alloc, signal_stack);
    return err;
}

/* ---- closing ---- */

static void free_routes(kf_runtime *runtime)
{
    while (runtime->routes) {
        struct kf__route *route = runtime->routes;
        runtime->routes = route->next;
        if (route->is_pattern)
            regfree(&route->regex);
        kf_free(runtime->alloc, route->topic);
        kf_free(runtime->alloc, route);
    }
}

static void free_rest(kf_runtime *runtime)
{
    free_routes(runtime);
    kf_config_free(runtime->config);
    pthread_mutex_destroy(&runtime->lock);
    pthread_cond_destroy(&runtime->changed);
    kf_free(runtime->alloc, runtime);
}

/* True where a handler has not returned: then everything it can reach is left alive. */
static bool close_parts(kf_runtime *runtime)
{
    bool stuck = kf__consumer_close(&runtime->consumer);
    if (runtime->sched) {
        kf_time patience = stuck ? 0 : runtime->settings.shutdown_timeout_ms * KF_MILLISECOND;
        stuck |= kf__sched_close(runtime->sched, kf__runtime_now(runtime) + patience) != KF_OK;
    }
    if (stuck) {
        kf__events_finish(runtime->events);
        return true;
    }
    kf__events_close(runtime->events);
    if (runtime->loop)
        kf__loop_close(runtime->loop);
    return false;
}

kf_err kf_runtime_close(kf_runtime *runtime)
{
    if (!runtime)
        return KF_OK;
    if (is_inside(runtime))
        return KF_ERR_STATE;
    if (kf__runtime_is_foreign(runtime, getpid())) {
        /* The parent's threads, sockets and group membership are not ours to touch. */
        free_rest(runtime);
        return KF_OK;
    }
    if (runtime->state == KF__RUNTIME_RUNNING) {
        kf_runtime_stop(runtime);
        kf_runtime_wait(runtime, NULL);
    } else if (!runtime->joined) {
        wait_for_thread(runtime);
    }
    if (close_parts(runtime))
        return KF_ERR_HANDLER_STUCK;
    free_rest(runtime);
    return KF_OK;
}
