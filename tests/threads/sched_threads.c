/*
 * sched_threads: the scheduler under as many races as fit, without test
 * framework, for the thread sanitizer, Valgrind and musl. Handlers sleep,
 * wait for pipes, spawn, yield and are cancelled while other threads make
 * activations ready. Prints the cost of a hand-off; exit code 0 is success.
 */
#include "tests/check.h"

#include "net/loop/loop.h"
#include "runtime/fiber/sched.h"
#include <kafiber/fiber.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    UNITS = 64
};

struct unit {
    struct kf__activation activation; /* first */
    atomic_uint cancel;
    int rounds; /* left; only who holds the activation touches it */
    int plain;  /* written without atomics by each run: the sched must order runs */
    int number;
    int unjoined; /* written by a child */
};

static struct kf__loop *loop;
static struct kf__sched *sched;
static struct unit units[UNITS];
static atomic_int units_left;
static atomic_int cancelled_waits;
static atomic_bool loop_stops;

static kf_err child(void *context)
{
    int *value = context;
    if (*value % 3 == 0)
        kf_sleep(100 * KF_MICROSECOND);
    *value += 1;
    return (kf_err)*value;
}

static void with_children(struct unit *unit)
{
    int values[2] = {unit->number, unit->number + 1};
    kf_fiber *children[3];
    for (int i = 0; i < 2; i++)
        CHECK(kf_spawn(child, &values[i], &children[i]) == KF_OK);
    /* Not joined: it ends before its parent all the same, but after this function. */
    CHECK(kf_spawn(child, &unit->unjoined, &children[2]) == KF_OK);
    CHECK(kf_join(children[1]) == (kf_err)(unit->number + 2));
    CHECK(kf_join(children[0]) == (kf_err)(unit->number + 1));
}

static void over_a_pipe(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    kf_err err = kf_wait_fd(ends[1], KF_WAIT_WRITE, KF_FOREVER);
    CHECK(err == KF_OK || err == KF_ERR_CANCELLED);
    err = kf_wait_fd(ends[0], KF_WAIT_READ, kf_now() + 500 * KF_MICROSECOND);
    CHECK(err == KF_ERR_TIMED_OUT || err == KF_ERR_CANCELLED);
    CHECK(write(ends[1], "x", 1) == 1);
    err = kf_wait_fd(ends[0], KF_WAIT_READ, KF_FOREVER);
    CHECK(err == KF_OK || err == KF_ERR_CANCELLED);
    close(ends[0]);
    close(ends[1]);
}

static void run_unit(struct kf__activation *activation)
{
    struct unit *unit = (struct unit *)(void *)activation;
    unit->plain++;
    switch ((unit->number + unit->rounds) % 5) {
    case 0:
        if (kf_sleep(200 * KF_MICROSECOND) == KF_ERR_CANCELLED)
            atomic_fetch_add(&cancelled_waits, 1);
        break;
    case 1:
        with_children(unit);
        break;
    case 2:
        over_a_pipe();
        break;
    case 3:
        kf_yield();
        break;
    default:
        if (kf_sleep(20 * KF_MILLISECOND) == KF_ERR_CANCELLED)
            atomic_fetch_add(&cancelled_waits, 1);
    }
    unit->plain++;
}

static void unit_ended(struct kf__activation *activation)
{
    struct unit *unit = (struct unit *)(void *)activation;
    atomic_store(&unit->cancel, 0);
    if (--unit->rounds > 0)
        kf__sched_ready(sched, activation);
    else
        atomic_fetch_sub(&units_left, 1);
}

static void *turn_loop(void *argument)
{
    (void)argument;
    while (!atomic_load(&loop_stops))
        kf__loop_turn(loop, KF_FOREVER);
    return NULL;
}

static void *cancel_some(void *argument)
{
    unsigned at = (unsigned)(size_t)argument;
    while (atomic_load(&units_left) > 0) {
        struct unit *unit = &units[at++ % UNITS];
        atomic_store(&unit->cancel, 1);
        kf__sched_cancel(sched, &unit->activation);
        usleep(300);
    }
    return NULL;
}

static void open_all(int workers, int most)
{
    CHECK(kf__loop_open(&kf_default_allocator, &kf__real_world, KF__BACKEND_AUTO, &loop) == KF_OK);
    struct kf__sched_settings settings = {.workers = workers, .workers_max = most};
    CHECK(kf__sched_open(loop, &settings, &sched) == KF_OK);
    atomic_store(&loop_stops, false);
}

static void close_all(pthread_t loop_thread)
{
    atomic_store(&loop_stops, true);
    kf__loop_wake(loop);
    pthread_join(loop_thread, NULL);
    CHECK(kf__sched_close(sched, kf_now() + 20 * KF_SECOND) == KF_OK);
    kf__loop_close(loop);
}

static void everything_at_once(int rounds)
{
    open_all(3, 16);
    pthread_t loop_thread, cancellers[2];
    pthread_create(&loop_thread, NULL, turn_loop, NULL);
    atomic_store(&units_left, UNITS);
    for (int i = 0; i < UNITS; i++) {
        kf__activation_init(&units[i].activation, sched, run_unit, unit_ended);
        units[i].activation.cancel = &units[i].cancel;
        units[i].activation.stack_bytes = 32768;
        units[i].rounds = rounds;
        units[i].number = i;
        units[i].plain = 0;
        kf__sched_ready(sched, &units[i].activation);
    }
    for (size_t i = 0; i < 2; i++)
        pthread_create(&cancellers[i], NULL, cancel_some, (void *)(i * 17));
    for (int i = 0; i < 2; i++)
        pthread_join(cancellers[i], NULL);
    close_all(loop_thread);
    for (int i = 0; i < UNITS; i++)
        CHECK(units[i].plain == 2 * rounds);
    printf("%d waits were cancelled\n", atomic_load(&cancelled_waits));
}

/* ---- resumes that come before the suspend, or with it ---- */

static struct kf__activation waiter;
static atomic_int asked, answered;
static int exchange_rounds;

static void ask(struct kf__activation *activation)
{
    for (int i = 0; i < exchange_rounds; i++) {
        atomic_fetch_add(&asked, 1);
        CHECK(kf__sched_suspend(activation) == KF_ERR_BUFFER_FULL);
    }
}

static void *answer(void *argument)
{
    (void)argument;
    while (atomic_load(&answered) < exchange_rounds) {
        if (atomic_load(&asked) > atomic_load(&answered)) {
            atomic_fetch_add(&answered, 1);
            kf__sched_resume(&waiter, KF_ERR_BUFFER_FULL);
        } else {
            sched_yield(); /* Valgrind runs one thread at a time, and who spins keeps its turn */
        }
    }
    return NULL;
}

static void resumes_race_suspends(int rounds)
{
    open_all(1, 1);
    pthread_t loop_thread, thread;
    pthread_create(&loop_thread, NULL, turn_loop, NULL);
    exchange_rounds = rounds;
    kf__activation_init(&waiter, sched, ask, NULL);
    kf__sched_ready(sched, &waiter);
    pthread_create(&thread, NULL, answer, NULL);
    pthread_join(thread, NULL);
    close_all(loop_thread);
}

/* ---- the cost of a hand-off ---- */

static atomic_int relays_left, runners_left;

static void run_nothing(struct kf__activation *activation) { (void)activation; }

static void relay(struct kf__activation *activation)
{
    if (atomic_fetch_sub(&relays_left, 1) > 0)
        kf__sched_ready(sched, activation);
    else
        atomic_fetch_sub(&runners_left, 1);
}

static double relay_once(int count)
{
    static struct kf__activation runners[4];
    atomic_store(&relays_left, count);
    atomic_store(&runners_left, 4);
    kf_time begin = kf_now();
    for (int i = 0; i < 4; i++) {
        kf__activation_init(&runners[i], sched, run_nothing, relay);
        kf__sched_ready(sched, &runners[i]);
    }
    while (atomic_load(&runners_left) > 0)
        usleep(100);
    return (double)(kf_now() - begin) / count;
}

/* One worker, four activations that make themselves ready again; the best of some rounds. */
static void measure(int rounds)
{
    open_all(1, 1);
    pthread_t loop_thread;
    pthread_create(&loop_thread, NULL, turn_loop, NULL);
    double best = 1e9;
    for (int i = 0; i < rounds; i++) {
        double each = relay_once(5000);
        best = each < best ? each : best;
    }
    printf("%.0f ns for each activation\n", best);
    close_all(loop_thread);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 20;
    everything_at_once(rounds);
    resumes_race_suspends(rounds * 500);
    measure(rounds);
    return 0;
}
