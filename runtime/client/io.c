/*
 * io: see io.h. While the thread runs, the loop is turned by who holds
 * `turning`: the I/O thread, which lets go of it only to nap, or a guest.
 *
 *                 a guest came lately, nothing goes on
 *     I/O thread turns ───────────────────────────▶ naps, woken by posts alone ──┐
 *            ▲                                         guests come and go        │
 *            └──────── a post, a guest that leaves work behind, or ASIDE ────────┘
 *
 * What comes on a socket while nobody turns the loop waits for a guest or the
 * end of the nap: `rests` said that nobody waits for it.
 */
#include "runtime/client/io.h"

#include "net/loop/thread.h"
#include "runtime/fiber/sched.h"
#include <kafiber/fiber.h>
#include <unistd.h>

enum {
    SLAB_KEEP = 8 * 1024 * 1024, /* bytes of free slabs kept for the next answers */
    LINE_BYTES = 2 * KF_ERROR_TEXT_BYTES,
};

/* So long the I/O thread stays aside after the last guest; and lets none in after two at once. */
#define ASIDE (100 * KF_MILLISECOND)

/* ---- asking ---- */

static void begin(struct kf__task *task)
{
    struct kf__ask *ask = KF__OWNER(task, struct kf__ask, task);
    ask->io->asks++;
    if (ask->io->fatal_error.code)
        kf__ask_over(ask, ask->io->fatal_error.code);
    else
        ask->begin(ask);
}

kf_err kf__io_ask(struct kf__io *io, struct kf__ask *ask)
{
    if (io->pid != getpid())
        return KF_ERR_FORKED;
    ask->task = (struct kf__task){.run = begin};
    ask->io = io;
    ask->over = false;
    ask->err = KF_OK;
    bool entered = !kf__activation_current() && kf__io_enter(io); /* a fiber's stack is too small */
    kf__loop_post(io->loop, &ask->task);
    if (entered) {
        kf__io_turn(io, &ask->over, KF_FOREVER);
        kf__io_leave(io);
    }
    pthread_mutex_lock(&io->lock);
    while (!ask->over)
        pthread_cond_wait(&io->changed, &io->lock);
    pthread_mutex_unlock(&io->lock);
    return ask->err;
}

void kf__ask_over(struct kf__ask *ask, kf_err err)
{
    struct kf__io *io = ask->io;
    io->asks--;
    pthread_mutex_lock(&io->lock);
    ask->err = err;
    ask->over = true;
    pthread_cond_broadcast(&io->changed);
    pthread_mutex_unlock(&io->lock);
}

/* ---- waiting for a node ---- */

static bool is_known(const struct kf__io *io, int32_t node)
{
    if (node == KF__NODE_CONTROLLER)
        return io->has_metadata;
    return node < 0 || kf__cluster_has_node(io->cluster, node);
}

static void stop_waiting(struct kf__io_wait *wait)
{
    kf__timer_cancel(wait->io->loop, &wait->timer);
    kf__link_remove(&wait->link);
    wait->go_on(wait);
}

static void fire_wait(struct kf__timer *timer, void *owner)
{
    (void)timer;
    stop_waiting(owner);
}

void kf__io_wait_for_node(struct kf__io *io, struct kf__io_wait *wait, int32_t node,
                          kf_time deadline, void (*go_on)(struct kf__io_wait *wait))
{
    wait->io = io;
    wait->node = node;
    wait->go_on = go_on;
    kf__link_init(&wait->link);
    kf__timer_init(&wait->timer, fire_wait, wait);
    if (is_known(io, node)) {
        go_on(wait);
        return;
    }
    kf__timer_set(io->loop, &wait->timer, deadline);
    kf__link_append(&io->asks_for_node, &wait->link);
    kf__cluster_refresh(io->cluster);
}

/* Metadata is fresh: who waits for a node that isn't in it now waits for nothing. */
static void release_waits(struct kf__io *io)
{
    while (!kf__link_is_alone(&io->asks_for_node))
        stop_waiting(KF__OWNER(io->asks_for_node.next, struct kf__io_wait, link));
}

/* ---- what the cluster tells ---- */

static void take_metadata(void *owner, bool changed)
{
    struct kf__io *io = owner;
    io->has_metadata = true;
    if (io->metadata)
        io->metadata(io->owner, changed);
    release_waits(io);
}

static void take_fatal(void *owner, kf_err err, const char *text)
{
    struct kf__io *io = owner;
    kf_error_set(&io->fatal_error, err, "%s", text);
    if (io->fatal)
        io->fatal(io->owner);
    release_waits(io);
}

static void take_log(void *owner, const kf_log_event *event)
{
    struct kf__io *io = owner;
    if (event->error && event->text) {
        io->trouble = (kf_error)KF_ERROR_INIT;
        kf_error_set(&io->trouble, event->error, "%s", event->text);
    }
    if (event->level > io->settings.log_level)
        return;
    if (io->settings.log) {
        io->settings.log(io->settings.log_context, event);
        return;
    }
    char line[LINE_BYTES];
    kf_log_format(event, line, sizeof line);
    fprintf(stderr, "%s\n", line);
}

/* ---- opening ---- */

static enum kf__backend backend_of(enum kf__loop_choice choice)
{
    return choice == KF__LOOP_EPOLL  ? KF__BACKEND_EPOLL
           : choice == KF__LOOP_POLL ? KF__BACKEND_POLL
                                     : KF__BACKEND_AUTO;
}

static kf_err open_parts(struct kf__io *io, kf_error *error)
{
    if (io->settings.world != &kf__real_world)
        return KF_ERR_STATE; /* its thread would run in real time */
    kf_err err =
        kf__loop_open(io->alloc, &kf__real_world, backend_of(io->settings.loop_backend), &io->loop);
    if (err)
        return err;
    struct kf__cluster_settings settings = {.slab_keep = SLAB_KEEP};
    kf__settings_for_cluster(&io->settings, &settings);
    err = kf__settings_security(&io->settings, io->alloc, &settings.security, error);
    if (err)
        return err;
    struct kf__cluster_events events = {
        .owner = io,
        .metadata = take_metadata,
        .fatal = take_fatal,
        .log = take_log,
    };
    err = kf__cluster_open(io->loop, &settings, &events, &io->cluster);
    kf__security_release(settings.security);
    return err;
}

kf_err kf__io_open(struct kf__io *io, const kf_config *config, kf_error *error)
{
    if (!config)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "no configuration was given");
    io->alloc = io->alloc ? io->alloc : &kf_default_allocator;
    io->pid = getpid();
    pthread_mutex_init(&io->lock, NULL);
    pthread_mutex_init(&io->turning, NULL);
    kf__condition_init(&io->changed);
    kf__link_init(&io->asks_for_node);
    io->config = kf_config_copy(config);
    kf_err err = io->config ? kf__config_settings(io->config, &io->settings, error)
                            : kf_error_set(error, KF_ERR_NO_MEMORY, "no memory");
    if (!err) {
        err = open_parts(io, error);
        kf_error_set(err ? error : NULL, err, "the I/O could not be set up: %s", kf_err_text(err));
    }
    if (err)
        kf__io_close(io);
    return err;
}

/* ---- whose turn it is ---- */

static kf_time load(const _Atomic kf_time *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

bool kf__io_enter(struct kf__io *io)
{
    if (!io->rests)
        return false;
    if (pthread_mutex_trylock(&io->turning) == 0) {
        atomic_store_explicit(&io->turner, pthread_self(), memory_order_relaxed);
        kf__loop_take(io->loop);
        return true;
    }
    kf_time now = kf_now();
    pthread_t turner = atomic_load_explicit(&io->turner, memory_order_relaxed);
    if (!pthread_equal(turner, io->thread))
        atomic_store_explicit(&io->crowded_at, now, memory_order_relaxed);
    atomic_store_explicit(&io->wanted_at, now, memory_order_relaxed);
    return false;
}

void kf__io_leave(struct kf__io *io)
{
    kf_time now = kf__loop_now(io->loop);
    bool sooner = kf__loop_deadline(io->loop) < io->naps_until;
    bool left = kf__loop_let_go(io->loop);
    bool wake = left || sooner || !io->rests(io->owner);
    atomic_store_explicit(&io->wanted_at, now, memory_order_relaxed);
    atomic_store_explicit(&io->turner, io->thread, memory_order_relaxed);
    pthread_mutex_unlock(&io->turning);
    if (wake)
        kf__loop_wake(io->loop);
}

void kf__io_turn(struct kf__io *io, const bool *over, kf_time deadline)
{
    kf__loop_work(io->loop);
    while (!*over && kf__loop_now(io->loop) < deadline)
        kf__loop_turn(io->loop, deadline);
}

bool kf__io_turns_here(const struct kf__io *io)
{
    return pthread_equal(pthread_self(), atomic_load_explicit(&io->turner, memory_order_relaxed));
}

static bool steps_aside(const struct kf__io *io)
{
    kf_time wanted_at = load(&io->wanted_at);
    if (!wanted_at)
        return false;
    kf_time since = kf__loop_now(io->loop) - ASIDE;
    return wanted_at > since && load(&io->crowded_at) <= since && io->rests(io->owner);
}

static void step_aside(struct kf__io *io)
{
    kf_time until = load(&io->wanted_at) + ASIDE;
    kf_time next = kf__loop_deadline(io->loop);
    io->naps_until = until = next < until ? next : until;
    if (!kf__loop_let_go(io->loop)) {
        pthread_mutex_unlock(&io->turning);
        kf__loop_nap(io->loop, until);
        pthread_mutex_lock(&io->turning);
    }
    io->naps_until = 0;
    kf__loop_turn(io->loop, 0);
}

static void *turn(void *argument)
{
    struct kf__io *io = argument;
    pthread_mutex_lock(&io->turning);
    atomic_store_explicit(&io->turner, pthread_self(), memory_order_relaxed);
    while (!atomic_load(&io->stopping))
        if (steps_aside(io))
            step_aside(io);
        else
            kf__loop_turn(io->loop, KF_FOREVER);
    pthread_mutex_unlock(&io->turning);
    return NULL;
}

/* ---- starting and stopping ---- */

kf_err kf__io_start(struct kf__io *io, kf_error *error)
{
    io->running = kf__thread_start(&io->thread, turn, io) == KF_OK;
    if (io->running)
        return KF_OK;
    return kf_error_set(error, KF_ERR_SYSTEM, "the I/O thread could not be started");
}

void kf__io_stop(struct kf__io *io)
{
    if (!io->running || io->pid != getpid())
        return;
    atomic_store(&io->stopping, true);
    kf__loop_wake(io->loop);
    pthread_join(io->thread, NULL);
    io->running = false;
}

void kf__io_close(struct kf__io *io)
{
    if (!io->alloc)
        return;
    kf__io_stop(io);
    /* In a child process sockets and epoll are the parent's: only memory that is ours goes. */
    if (io->pid == getpid()) {
        kf__cluster_close(io->cluster);
        if (io->loop)
            kf__loop_close(io->loop);
    }
    kf_config_free(io->config);
    pthread_mutex_destroy(&io->lock);
    pthread_mutex_destroy(&io->turning);
    pthread_cond_destroy(&io->changed);
    io->alloc = NULL;
}
