#include "net/loop/loop.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every test runs on both back-ends. */
static const enum kf__backend backends[] = {KF__BACKEND_AUTO, KF__BACKEND_POLL};
static struct kf__loop *loop;

TestSuite(loop, .timeout = 60);

static void open_loop(enum kf__backend backend, const struct kf__world *world)
{
    kf_err err = kf__loop_open(&kf_default_allocator, world, backend, &loop);
    cr_assert(eq(int, err, KF_OK));
}

#define ON_BOTH_BACKENDS                                                                           \
    for (int place = 0; place < 2 && (open_loop(backends[place], &kf__real_world), true);          \
         kf__loop_close(loop), place++)

static void turn(kf_time wait)
{
    kf_time now = kf__real_world.now(NULL);
    cr_assert(eq(int, kf__loop_turn(loop, now + wait), KF_OK));
}

static void turn_until(const atomic_int *value, int wanted)
{
    for (int i = 0; i < 200 && atomic_load(value) < wanted; i++)
        turn(50 * KF_MILLISECOND);
    cr_assert(eq(int, atomic_load(value), wanted));
}

/* ---- timers ---- */

static int order[64];
static int fired;

static void note(struct kf__timer *timer, void *owner)
{
    (void)timer;
    order[fired++] = (int)(intptr_t)owner;
}

Test(loop, fires_timers_in_the_order_of_their_times)
{
    ON_BOTH_BACKENDS
    {
        struct kf__timer timers[8];
        const int times[] = {5, 1, 7, 3, 6, 2, 8, 4};
        kf_time now = kf__loop_now(loop);
        fired = 0;
        for (int i = 0; i < 8; i++) {
            kf__timer_init(&timers[i], note, (void *)(intptr_t)times[i]);
            kf__timer_set(loop, &timers[i], now + times[i]);
        }
        kf__timer_cancel(loop, &timers[3]);
        kf__timer_set(loop, &timers[2], now);
        turn(KF_MILLISECOND);
        const int expected[] = {7, 1, 2, 4, 5, 6, 8};
        cr_assert(eq(int, fired, 7));
        for (int i = 0; i < 7; i++)
            cr_assert(eq(int, order[i], expected[i]));
        cr_assert(not(kf__timer_is_set(&timers[0])));
        cr_assert(eq(i64, kf__loop_deadline(loop), KF_FOREVER));
    }
}

static void set_again(struct kf__timer *timer, void *owner)
{
    (void)owner;
    fired++;
    kf__timer_set(loop, timer, 0);
}

Test(loop, a_timer_that_sets_itself_for_the_past_does_not_hold_the_turn)
{
    ON_BOTH_BACKENDS
    {
        struct kf__timer timer;
        kf__timer_init(&timer, set_again, NULL);
        kf__timer_set(loop, &timer, 0);
        fired = 0;
        turn(KF_SECOND);
        cr_assert(eq(int, fired, 1));
        turn(KF_SECOND);
        cr_assert(eq(int, fired, 2));
    }
}

Test(loop, waits_no_longer_than_until_the_next_timer)
{
    ON_BOTH_BACKENDS
    {
        struct kf__timer timer;
        kf__timer_init(&timer, note, NULL);
        kf_time start = kf__real_world.now(NULL);
        kf__timer_set(loop, &timer, start + 20 * KF_MILLISECOND);
        fired = 0;
        turn(10 * KF_SECOND);
        kf_time took = kf__real_world.now(NULL) - start;
        cr_assert(eq(int, fired, 1));
        cr_assert(ge(i64, took, 20 * KF_MILLISECOND));
        cr_assert(lt(i64, took, 5 * KF_SECOND));
    }
}

Test(loop, sorts_ten_thousand_timers_set_moved_and_cancelled_at_random)
{
    enum {
        COUNT = 10000
    };
    static struct kf__timer timers[COUNT];
    static int left;
    ON_BOTH_BACKENDS
    {
        unsigned seed = 7;
        left = 0;
        for (int i = 0; i < COUNT; i++) {
            kf__timer_init(&timers[i], note, NULL);
            seed = seed * 1103515245u + 12345u;
            kf__timer_set(loop, &timers[i], KF_SECOND * 1000000 + (seed >> 8) % 5000);
        }
        for (int i = 0; i < COUNT; i += 3)
            kf__timer_set(loop, &timers[i], KF_SECOND * 1000000 + (i * 7919) % 5000);
        for (int i = 0; i < COUNT; i += 5)
            kf__timer_cancel(loop, &timers[i]);
        kf_time last = 0;
        while (kf__loop_deadline(loop) != KF_FOREVER) {
            kf_time next = kf__loop_deadline(loop);
            cr_assert(ge(i64, next, last));
            last = next;
            for (int i = 0; i < COUNT; i++)
                if (kf__timer_is_set(&timers[i]) && timers[i].at == next) {
                    kf__timer_cancel(loop, &timers[i]);
                    left++;
                }
        }
        cr_assert(eq(int, left, COUNT - COUNT / 5));
    }
}

/* ---- descriptors ---- */

static int got_events;
static void take_events(struct kf__watch *watch, int events, void *owner)
{
    (void)watch;
    *(int *)owner |= events;
}

Test(loop, reports_what_a_watch_wants_and_nothing_else)
{
    ON_BOTH_BACKENDS
    {
        int ends[2];
        cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM, 0, ends)));
        struct kf__watch watch = {
            .fd = ends[0], .events = KF__READABLE, .ready = take_events, .owner = &got_events};
        got_events = 0;
        cr_assert(eq(int, kf__watch_add(loop, &watch), KF_OK));
        turn(0);
        cr_assert(eq(int, got_events, 0));
        cr_assert(eq(int, (int)write(ends[1], "x", 1), 1));
        turn(KF_SECOND);
        cr_assert(eq(int, got_events, KF__READABLE));

        got_events = 0;
        cr_assert(eq(int, kf__watch_change(loop, &watch, KF__WRITABLE), KF_OK));
        turn(KF_SECOND);
        cr_assert(eq(int, got_events, KF__WRITABLE));

        got_events = 0;
        cr_assert(eq(int, kf__watch_change(loop, &watch, 0), KF_OK));
        close(ends[1]);
        turn(0);
        cr_assert(eq(int, got_events, 0));

        cr_assert(eq(int, kf__watch_change(loop, &watch, KF__READABLE), KF_OK));
        turn(KF_SECOND);
        cr_assert(eq(int, got_events, KF__READABLE));
        kf__watch_remove(loop, &watch);
        close(ends[0]);
    }
}

static struct kf__watch pair[2];
static int ready_calls;
static void remove_both(struct kf__watch *watch, int events, void *owner)
{
    (void)events;
    (void)watch;
    (void)owner;
    ready_calls++;
    kf__watch_remove(loop, &pair[0]);
    kf__watch_remove(loop, &pair[1]);
}

/* Stale news of a closed descriptor must not reach the memory it belonged to. */
Test(loop, a_watch_removed_in_the_same_turn_hears_nothing_more)
{
    ON_BOTH_BACKENDS
    {
        int ends[2][2];
        ready_calls = 0;
        for (int i = 0; i < 2; i++) {
            cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i])));
            cr_assert(eq(int, (int)write(ends[i][1], "x", 1), 1));
            pair[i] =
                (struct kf__watch){.fd = ends[i][0], .events = KF__READABLE, .ready = remove_both};
            kf__watch_add(loop, &pair[i]);
        }
        turn(KF_SECOND);
        turn(0);
        cr_assert(eq(int, ready_calls, 1));
        for (int i = 0; i < 2; i++) {
            close(ends[i][0]);
            close(ends[i][1]);
        }
    }
}

/* ---- posts, wakes ---- */

static atomic_int ran;
static void count_run(struct kf__task *task)
{
    (void)task;
    atomic_fetch_add(&ran, 1);
}

static struct kf__task tasks[4][500];

static void *post_many(void *argument)
{
    struct kf__task *own = argument;
    for (int i = 0; i < 500; i++)
        kf__loop_post(loop, &own[i]);
    return NULL;
}

Test(loop, runs_every_task_posted_from_four_threads_once)
{
    ON_BOTH_BACKENDS
    {
        pthread_t threads[4];
        atomic_store(&ran, 0);
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 500; j++)
                tasks[i][j].run = count_run;
            pthread_create(&threads[i], NULL, post_many, tasks[i]);
        }
        turn_until(&ran, 2000);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        turn(0);
        cr_assert(eq(int, atomic_load(&ran), 2000));
    }
}

Test(loop, a_task_posted_twice_before_it_runs_runs_once)
{
    ON_BOTH_BACKENDS
    {
        struct kf__task task = {.run = count_run};
        atomic_store(&ran, 0);
        kf__loop_post(loop, &task);
        kf__loop_post(loop, &task);
        turn(0);
        turn(0);
        cr_assert(eq(int, atomic_load(&ran), 1));
        kf__loop_post(loop, &task);
        turn(0);
        cr_assert(eq(int, atomic_load(&ran), 2));
    }
}

static void *post_late(void *argument)
{
    usleep(30000);
    kf__loop_post(loop, argument);
    return NULL;
}

Test(loop, a_post_ends_a_wait_for_ever)
{
    ON_BOTH_BACKENDS
    {
        struct kf__task task = {.run = count_run};
        atomic_store(&ran, 0);
        pthread_t thread;
        pthread_create(&thread, NULL, post_late, &task);
        cr_assert(eq(int, kf__loop_turn(loop, KF_FOREVER), KF_OK));
        pthread_join(thread, NULL);
        turn_until(&ran, 1);
    }
}

static void wake_in_handler(int number)
{
    (void)number;
    kf__loop_wake(loop);
}

Test(loop, a_signal_handler_may_wake_it)
{
    signal(SIGALRM, wake_in_handler);
    ON_BOTH_BACKENDS
    {
        ualarm(20000, 0);
        kf_time start = kf__real_world.now(NULL);
        cr_assert(eq(int, kf__loop_turn(loop, start + 20 * KF_SECOND), KF_OK));
        cr_assert(lt(i64, kf__real_world.now(NULL) - start, 10 * KF_SECOND));
    }
}

/* The host of kf_loop_fd sleeps in a loop of its own and knows only descriptor and deadline. */
/* ---- in several hands ---- */

Test(loop, works_what_is_posted_without_looking_at_descriptors)
{
    ON_BOTH_BACKENDS
    {
        int ends[2];
        cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM, 0, ends)));
        struct kf__watch watch = {
            .fd = ends[0], .events = KF__READABLE, .ready = take_events, .owner = &got_events};
        kf__watch_add(loop, &watch);
        cr_assert(eq(int, (int)write(ends[1], "x", 1), 1));
        struct kf__task task = {.run = count_run};
        atomic_store(&ran, 0);
        got_events = 0;
        kf__loop_take(loop);
        kf__loop_post(loop, &task);
        kf__loop_work(loop);
        cr_assert(eq(int, atomic_load(&ran), 1));
        cr_assert(eq(int, got_events, 0));
        cr_assert(not(kf__loop_let_go(loop)));
        turn(KF_SECOND);
        cr_assert(eq(int, got_events, KF__READABLE));
        kf__watch_remove(loop, &watch);
        close(ends[0]);
        close(ends[1]);
    }
}

Test(loop, says_what_is_left_to_who_lets_it_go)
{
    ON_BOTH_BACKENDS
    {
        struct kf__task task = {.run = count_run};
        atomic_store(&ran, 0);
        kf__loop_take(loop);
        kf__loop_work(loop);
        cr_assert(not(kf__loop_let_go(loop)));
        kf__loop_take(loop);
        kf__loop_work(loop);
        kf__loop_defer(loop, &task);
        cr_assert(kf__loop_let_go(loop));
        turn(0);
        kf__loop_take(loop);
        kf__loop_post(loop, &task);
        cr_assert(kf__loop_let_go(loop));
        kf__loop_wake(loop);
        kf__loop_nap(loop, KF_FOREVER); /* somebody was woken */
        turn(0);
        cr_assert(eq(int, atomic_load(&ran), 2));
    }
}

Test(loop, a_post_ends_a_nap)
{
    ON_BOTH_BACKENDS
    {
        struct kf__task task = {.run = count_run};
        pthread_t thread;
        atomic_store(&ran, 0);
        cr_assert(not(kf__loop_let_go(loop)));
        pthread_create(&thread, NULL, post_late, &task);
        kf__loop_nap(loop, KF_FOREVER);
        pthread_join(thread, NULL);
        cr_assert(eq(int, atomic_load(&ran), 0));
        turn(0);
        cr_assert(eq(int, atomic_load(&ran), 1));
        kf__loop_nap(loop, kf__real_world.now(NULL) + 5 * KF_MILLISECOND);
    }
}

Test(loop, a_post_between_turns_makes_the_descriptor_readable)
{
    ON_BOTH_BACKENDS
    {
        struct kf__task task = {.run = count_run};
        struct pollfd fds[8];
        atomic_store(&ran, 0);
        turn(0);
        size_t count = kf__loop_pollfds(loop, fds, 8);
        cr_assert(eq(sz, count, 1));
        cr_assert(eq(int, kf__loop_fd(loop), place == 0 ? fds[0].fd : -1));
        cr_assert(eq(int, poll(fds, (nfds_t)count, 0), 0));
        kf__loop_post(loop, &task);
        cr_assert(eq(int, poll(fds, (nfds_t)count, 0), 1));
        turn(0);
        cr_assert(eq(int, atomic_load(&ran), 1));
        cr_assert(eq(int, poll(fds, (nfds_t)count, 0), 0));
    }
}

/* ---- blocking work ---- */

static atomic_int working, most_working, done_jobs;

static void begin_work(void)
{
    int now = atomic_fetch_add(&working, 1) + 1;
    if (now > atomic_load(&most_working))
        atomic_store(&most_working, now);
}

static void work_slowly(struct kf__job *job)
{
    (void)job;
    begin_work();
    usleep(5000);
    atomic_fetch_sub(&working, 1);
}

/* The first waits for a second one beside it, whose thread the machine may be slow to begin. */
static void work_beside_another(struct kf__job *job)
{
    (void)job;
    begin_work();
    for (int i = 0; i < 4000 && atomic_load(&most_working) < 2; i++)
        usleep(5000);
    usleep(5000);
    atomic_fetch_sub(&working, 1);
}

static void count_done(struct kf__job *job)
{
    (void)job;
    atomic_fetch_add(&done_jobs, 1);
}

Test(loop, works_jobs_off_on_two_threads_and_reports_on_its_own)
{
    ON_BOTH_BACKENDS
    {
        struct kf__job jobs[10];
        atomic_store(&done_jobs, 0);
        atomic_store(&most_working, 0);
        for (int i = 0; i < 10; i++) {
            jobs[i] = (struct kf__job){.work = work_beside_another, .done = count_done};
            cr_assert(eq(int, kf__loop_offload(loop, &jobs[i]), KF_OK));
        }
        turn_until(&done_jobs, 10);
        cr_assert(eq(int, atomic_load(&most_working), 2));
    }
}

Test(loop, closing_tells_the_owner_of_every_job_left)
{
    struct kf__job jobs[10];
    atomic_store(&done_jobs, 0);
    open_loop(KF__BACKEND_AUTO, &kf__real_world);
    for (int i = 0; i < 10; i++) {
        jobs[i] = (struct kf__job){.work = work_slowly, .done = count_done};
        kf__loop_offload(loop, &jobs[i]);
    }
    kf__loop_close(loop);
    cr_assert(eq(int, atomic_load(&done_jobs), 10));
}

Test(loop, without_threads_jobs_run_within_the_turn)
{
    struct kf__world world = kf__real_world;
    world.start_thread = NULL;
    open_loop(KF__BACKEND_POLL, &world);
    struct kf__job job = {.work = work_slowly, .done = count_done};
    atomic_store(&done_jobs, 0);
    kf__loop_offload(loop, &job);
    cr_assert(eq(int, atomic_load(&done_jobs), 0));
    turn(0);
    cr_assert(eq(int, atomic_load(&done_jobs), 1));
    kf__loop_close(loop);
}

static bool descriptor_is_watched(int fd)
{
    got_events = 0;
    cr_assert(eq(int, (int)write(fd, "x", 1), 1));
    turn(KF_SECOND);
    return got_events == KF__READABLE;
}

Test(loop, a_child_that_closes_it_leaves_the_parents_alone)
{
    open_loop(KF__BACKEND_AUTO, &kf__real_world);
    int ends[2];
    cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM, 0, ends)));
    struct kf__watch watch = {
        .fd = ends[0], .events = KF__READABLE, .ready = take_events, .owner = &got_events};
    kf__watch_add(loop, &watch);
    struct kf__job job = {.work = work_slowly, .done = count_done};
    kf__loop_offload(loop, &job);

    pid_t child = fork();
    if (child == 0) {
        kf__watch_remove(loop, &watch);
        kf__loop_close(loop);
        _exit(7);
    }
    int status = 0;
    cr_assert(eq(int, waitpid(child, &status, 0), child));
    cr_assert(eq(int, WEXITSTATUS(status), 7));
    cr_assert(descriptor_is_watched(ends[1]));
    kf__watch_remove(loop, &watch);
    kf__loop_close(loop);
    close(ends[0]);
    close(ends[1]);
}
