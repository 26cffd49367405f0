#include "net/loop/loop.h"
#include "runtime/fiber/sched.h"
#include <criterion/criterion.h>
#include <kafiber/fiber.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A loop turned by a thread of its own, and a sched on it. */
static struct kf__loop *loop;
static struct kf__sched *sched;
static pthread_t loop_thread;
static atomic_bool loop_stops;
static atomic_int exhausted_at;
static atomic_bool out_of_memory;

/* An activation that calls a function of the test. */
struct job {
    struct kf__activation activation; /* first */
    void (*work)(struct job *job);
    atomic_uint cancel;
    atomic_int ended;
    kf_err err;
    kf_time took;
    int number;
};

static void *resize_unless_told(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size && atomic_load(&out_of_memory))
        return NULL;
    return kf_default_allocator.resize(kf_default_allocator.context, pointer, size);
}

static const kf_allocator allocator = {resize_unless_told, NULL};

static void note_exhausted(void *owner, int32_t workers)
{
    (void)owner;
    atomic_store(&exhausted_at, workers);
}

static void *turn_loop(void *argument)
{
    (void)argument;
    while (!atomic_load(&loop_stops))
        kf__loop_turn(loop, KF_FOREVER);
    return NULL;
}

static void open_sched(int32_t workers, int32_t most)
{
    atomic_store(&loop_stops, false);
    atomic_store(&exhausted_at, 0);
    atomic_store(&out_of_memory, false);
    cr_assert_eq(kf__loop_open(&allocator, &kf__real_world, KF__BACKEND_AUTO, &loop), KF_OK);
    struct kf__sched_settings settings = {.workers = workers,
                                          .workers_max = most,
                                          .surplus_ends = 300 * KF_MILLISECOND,
                                          .exhausted = note_exhausted};
    cr_assert_eq(kf__sched_open(loop, &settings, &sched), KF_OK);
    if (workers > 0)
        cr_assert_eq(pthread_create(&loop_thread, NULL, turn_loop, NULL), 0);
}

static kf_err close_sched_within(kf_time patience)
{
    if (!pthread_equal(loop_thread, (pthread_t){0})) {
        atomic_store(&loop_stops, true);
        kf__loop_wake(loop);
        pthread_join(loop_thread, NULL);
    }
    kf_err err = kf__sched_close(sched, kf_now() + patience);
    kf__loop_close(loop);
    return err;
}

static void close_sched(void) { cr_assert_eq(close_sched_within(20 * KF_SECOND), KF_OK); }

static void run_job(struct kf__activation *activation)
{
    struct job *job = (struct job *)(void *)activation;
    kf_time begin = kf_now();
    job->work(job);
    job->took = kf_now() - begin;
}

static void job_ended(struct kf__activation *activation)
{
    struct job *job = (struct job *)(void *)activation;
    atomic_fetch_add(&job->ended, 1);
}

static void job_init(struct job *job, void (*work)(struct job *job))
{
    memset(job, 0, sizeof *job);
    kf__activation_init(&job->activation, sched, run_job, job_ended);
    job->activation.cancel = &job->cancel;
    job->work = work;
}

static void job_start(struct job *job, void (*work)(struct job *job))
{
    job_init(job, work);
    kf__sched_ready(sched, &job->activation);
}

static bool all_ended(struct job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (atomic_load(&jobs[i].ended) == 0)
            return false;
    return true;
}

static bool ended_within(struct job *jobs, size_t count, kf_time patience)
{
    kf_time deadline = kf_now() + patience;
    while (!all_ended(jobs, count)) {
        if (kf_now() > deadline)
            return false;
        usleep(500);
    }
    return true;
}

/* ---- waits ---- */

static void sleep_50_ms(struct job *job) { job->err = kf_sleep(50 * KF_MILLISECOND); }

Test(sched, sleeping_fibers_hold_no_worker)
{
    enum {
        COUNT = 200
    };
    static struct job jobs[COUNT];
    open_sched(1, 1);
    for (size_t i = 0; i < COUNT; i++)
        job_start(&jobs[i], sleep_50_ms);
    cr_assert(ended_within(jobs, COUNT, 5 * KF_SECOND));
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(jobs[i].err, KF_OK);
        cr_assert_geq(jobs[i].took, 50 * KF_MILLISECOND);
    }
    close_sched();
}

static void sleep_an_hour(struct job *job) { job->err = kf_sleep(3600 * KF_SECOND); }

Test(sched, cancel_ends_a_sleep)
{
    static struct job job;
    open_sched(2, 2);
    job_start(&job, sleep_an_hour);
    cr_assert_not(ended_within(&job, 1, 20 * KF_MILLISECOND));
    atomic_store(&job.cancel, 1);
    kf__sched_cancel(sched, &job.activation);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    cr_assert_eq(job.err, KF_ERR_CANCELLED);
    close_sched();
}

static void sleep_when_cancelled(struct job *job)
{
    cr_assert(kf_cancelled());
    job->err = kf_sleep(3600 * KF_SECOND);
}

Test(sched, a_cancelled_fiber_does_not_even_begin_to_sleep)
{
    static struct job job;
    open_sched(1, 1);
    job_init(&job, sleep_when_cancelled);
    atomic_store(&job.cancel, 1);
    kf__sched_ready(sched, &job.activation);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    cr_assert_eq(job.err, KF_ERR_CANCELLED);
    close_sched();
}

static int pipe_ends[2];

static void wait_for_pipe(struct job *job)
{
    kf_time deadline = job->number ? kf_now() + job->number * KF_MILLISECOND : KF_FOREVER;
    job->err = kf_wait_fd(pipe_ends[0], KF_WAIT_READ, deadline);
}

Test(sched, wait_fd_ends_when_data_comes)
{
    static struct job job;
    open_sched(1, 1);
    cr_assert_eq(pipe(pipe_ends), 0);
    job_start(&job, wait_for_pipe);
    cr_assert_not(ended_within(&job, 1, 20 * KF_MILLISECOND));
    cr_assert_eq(write(pipe_ends[1], "x", 1), 1);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    cr_assert_eq(job.err, KF_OK);
    close_sched();
}

Test(sched, wait_fd_ends_at_its_deadline_or_by_cancel)
{
    static struct job job;
    open_sched(1, 1);
    cr_assert_eq(pipe(pipe_ends), 0);
    job_init(&job, wait_for_pipe);
    job.number = 30;
    kf__sched_ready(sched, &job.activation);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    cr_assert_eq(job.err, KF_ERR_TIMED_OUT);
    cr_assert_geq(job.took, 30 * KF_MILLISECOND);

    job_start(&job, wait_for_pipe);
    cr_assert_not(ended_within(&job, 1, 20 * KF_MILLISECOND));
    atomic_store(&job.cancel, 1);
    kf__sched_cancel(sched, &job.activation);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    cr_assert_eq(job.err, KF_ERR_CANCELLED);
    close_sched();
}

static void wait_for_nonsense(struct job *job)
{
    (void)job;
    cr_assert_eq(kf_wait_fd(-1, KF_WAIT_READ, KF_FOREVER), KF_ERR_INVALID_ARGUMENT);
    cr_assert_eq(kf_wait_fd(0, 0, KF_FOREVER), KF_ERR_INVALID_ARGUMENT);
    cr_assert_eq(kf_wait_fd(999, KF_WAIT_READ, KF_FOREVER), KF_ERR_INVALID_ARGUMENT);
}

Test(sched, wait_fd_refuses_what_is_no_descriptor)
{
    static struct job job;
    open_sched(1, 1);
    job_start(&job, wait_for_nonsense);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    close_sched();
}

Test(sched, calls_outside_of_fibers_block_the_thread)
{
    kf_time begin = kf_now();
    cr_assert_eq(kf_sleep(20 * KF_MILLISECOND), KF_OK);
    cr_assert_geq(kf_now() - begin, 20 * KF_MILLISECOND);
    cr_assert_eq(pipe(pipe_ends), 0);
    begin = kf_now();
    cr_assert_eq(kf_wait_fd(pipe_ends[0], KF_WAIT_READ, begin + 20 * KF_MILLISECOND),
                 KF_ERR_TIMED_OUT);
    cr_assert_geq(kf_now() - begin, 20 * KF_MILLISECOND);
    cr_assert_eq(kf_wait_fd(pipe_ends[1], KF_WAIT_WRITE, KF_FOREVER), KF_OK);
    cr_assert_not(kf_cancelled());
    kf_yield();
    *kf_fiber_local() = &begin;
    cr_assert_eq(*kf_fiber_local(), &begin);
    cr_assert_null(kf__activation_current());
}

/* ---- resume ---- */

static void suspend_twice(struct job *job)
{
    job->err = kf__sched_suspend(&job->activation);
    kf__sched_resume(&job->activation, KF_ERR_TIMED_OUT);
    kf_yield(); /* keeps what came early */
    cr_assert_eq(kf__sched_suspend(&job->activation), KF_ERR_TIMED_OUT);
}

Test(sched, resume_hands_over_its_reason_and_may_come_first)
{
    static struct job jobs[2];
    open_sched(1, 1);
    job_start(&jobs[0], suspend_twice);
    job_start(&jobs[1], sleep_50_ms);
    cr_assert_not(ended_within(jobs, 1, 20 * KF_MILLISECOND));
    kf__sched_resume(&jobs[0].activation, KF_ERR_LOST);
    cr_assert(ended_within(jobs, 2, 5 * KF_SECOND));
    cr_assert_eq(jobs[0].err, KF_ERR_LOST);
    close_sched();
}

static void note_thread(struct job *job)
{
    *kf_fiber_local() = job;
    for (int i = 0; i < 50; i++) {
        kf_sleep(KF_MILLISECOND);
        cr_assert_eq(*kf_fiber_local(), job);
        cr_assert_eq(kf__activation_current(), &job->activation);
    }
}

Test(sched, a_fiber_keeps_its_local_wherever_it_resumes)
{
    enum {
        COUNT = 20
    };
    static struct job jobs[COUNT];
    open_sched(4, 4);
    for (size_t i = 0; i < COUNT; i++)
        job_start(&jobs[i], note_thread);
    cr_assert(ended_within(jobs, COUNT, 20 * KF_SECOND));
    close_sched();
}

/* ---- children ---- */

static kf_err add_one(void *context)
{
    atomic_int *sum = context;
    kf_err err = kf_sleep(10 * KF_MILLISECOND);
    atomic_fetch_add(sum, 1);
    return err;
}

static void spawn_three(struct job *job)
{
    static atomic_int sum;
    kf_fiber *children[3];
    for (int i = 0; i < 3; i++)
        cr_assert_eq(kf_spawn(add_one, &sum, &children[i]), KF_OK);
    job->err = kf_join(children[1]);
    cr_assert_eq(kf_join(children[2]), job->err);
    cr_assert_geq(atomic_load(&sum), 2);
    job->number = 1;
    /* children[0] is left to the end of this fiber */
}

Test(sched, a_parent_ends_after_its_children)
{
    static struct job job;
    open_sched(2, 2);
    job_start(&job, spawn_three);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    cr_assert_eq(job.err, KF_OK);
    cr_assert_eq(job.number, 1);
    close_sched();
}

static kf_err sleep_long(void *context)
{
    (void)context;
    return kf_sleep(3600 * KF_SECOND);
}

static void join_a_sleeper(struct job *job)
{
    kf_fiber *child;
    cr_assert_eq(kf_spawn(sleep_long, NULL, &child), KF_OK);
    job->err = kf_join(child);
}

Test(sched, cancel_reaches_children)
{
    static struct job job;
    open_sched(2, 2);
    job_start(&job, join_a_sleeper);
    cr_assert_not(ended_within(&job, 1, 20 * KF_MILLISECOND));
    atomic_store(&job.cancel, 1);
    kf__sched_cancel(sched, &job.activation);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    cr_assert_eq(job.err, KF_ERR_CANCELLED);
    close_sched();
}

Test(sched, a_plain_thread_may_spawn_and_join)
{
    atomic_int sum = 0;
    kf_fiber *child;
    cr_assert_eq(kf_spawn(add_one, &sum, &child), KF_OK);
    cr_assert_eq(kf_join(child), KF_OK);
    cr_assert_eq(atomic_load(&sum), 1);
    cr_assert_eq(kf_join(NULL), KF_ERR_INVALID_ARGUMENT);
}

/* ---- workers ---- */

static sem_t gate;
static atomic_int blocked_threads; /* ever */

static void block_thread(struct job *job)
{
    (void)job;
    atomic_fetch_add(&blocked_threads, 1);
    while (sem_wait(&gate) != 0)
        continue;
}

static void work_a_little(struct job *job)
{
    volatile int spin = 0;
    while (spin < 1000)
        spin++;
    job->number = spin;
}

static void count_workers(struct job *job) { job->number = kf__sched_workers(sched); }

/* Seen in comparable systems: one blocked handler, and the other partitions stand still. */
Test(sched, blocked_handlers_delay_nobody)
{
    enum {
        BLOCKED = 4,
        OTHERS = 100
    };
    static struct job blocked[BLOCKED], others[OTHERS];
    cr_assert_eq(sem_init(&gate, 0, 0), 0);
    open_sched(4, 64);
    for (size_t i = 0; i < BLOCKED; i++)
        job_start(&blocked[i], block_thread);
    while (atomic_load(&blocked_threads) < BLOCKED)
        usleep(500);
    for (size_t i = 0; i < OTHERS; i++)
        job_start(&others[i], count_workers);
    cr_assert(ended_within(others, OTHERS, 20 * KF_SECOND));
    for (size_t i = 0; i < OTHERS; i++)
        cr_assert_gt(others[i].number, 4); /* by now some of them may be gone */
    cr_assert_not(all_ended(blocked, BLOCKED));
    cr_assert_eq(atomic_load(&exhausted_at), 0);

    for (int i = 0; i < BLOCKED; i++)
        sem_post(&gate);
    cr_assert(ended_within(blocked, BLOCKED, 5 * KF_SECOND));
    kf_time deadline = kf_now() + 10 * KF_SECOND;
    while (kf__sched_workers(sched) > 4 && kf_now() < deadline)
        usleep(10000);
    cr_assert_eq(kf__sched_workers(sched), 4); /* the surplus went */
    close_sched();
}

Test(sched, running_out_of_workers_is_told)
{
    enum {
        COUNT = 20
    };
    static struct job jobs[COUNT];
    cr_assert_eq(sem_init(&gate, 0, 0), 0);
    open_sched(1, 8);
    for (size_t i = 0; i < COUNT; i++)
        job_start(&jobs[i], block_thread);
    kf_time deadline = kf_now() + 10 * KF_SECOND;
    while (atomic_load(&exhausted_at) == 0 && kf_now() < deadline)
        usleep(1000);
    cr_assert_eq(atomic_load(&exhausted_at), 8);
    cr_assert_eq(kf__sched_workers(sched), 8);
    for (int i = 0; i < COUNT; i++)
        sem_post(&gate);
    cr_assert(ended_within(jobs, COUNT, 5 * KF_SECOND));
    close_sched();
}

/* One kin that blocks all workers there may be must not starve another. */
Test(sched, each_kin_is_served_when_another_blocks_all_workers)
{
    enum {
        BLOCKED = 6,
        KIN = 3
    };
    static struct job blocked[BLOCKED];
    static struct job others[KIN];
    static const char kin[KIN + 1];
    cr_assert_eq(sem_init(&gate, 0, 0), 0);
    open_sched(1, 2);
    for (size_t i = 0; i < BLOCKED; i++) {
        job_init(&blocked[i], block_thread);
        blocked[i].activation.kin = &kin[KIN];
        kf__sched_ready(sched, &blocked[i].activation);
    }
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < KIN; i++) {
            job_init(&others[i], work_a_little);
            others[i].activation.kin = &kin[i];
            kf__sched_ready(sched, &others[i].activation);
        }
        cr_assert(ended_within(others, KIN, 5 * KF_SECOND));
    }
    for (size_t i = 0; i < BLOCKED; i++)
        cr_assert_eq(atomic_load(&blocked[i].ended), 0);
    kf_time deadline = kf_now() + 5 * KF_SECOND;
    while (kf__sched_workers(sched) > 2 && kf_now() < deadline)
        usleep(1000);
    cr_assert_eq(kf__sched_workers(sched), 2); /* those beyond the limit went */

    for (int i = 0; i < BLOCKED; i++)
        sem_post(&gate);
    cr_assert(ended_within(blocked, BLOCKED, 5 * KF_SECOND));
    close_sched();
}

static sem_t second_gate;

static void block_at_second_gate(struct job *job)
{
    (void)job;
    while (sem_wait(&second_gate) != 0)
        continue;
}

/* The one that serves a single kin is not among those of whom some may go. */
Test(sched, the_last_worker_that_serves_all_stays)
{
    static struct job blocked, other, later;
    static const char kin[2];
    cr_assert_eq(sem_init(&gate, 0, 0), 0);
    cr_assert_eq(sem_init(&second_gate, 0, 0), 0);
    open_sched(1, 1);
    job_init(&blocked, block_thread);
    blocked.activation.kin = &kin[0];
    kf__sched_ready(sched, &blocked.activation);
    usleep(20000);
    job_init(&other, block_at_second_gate);
    other.activation.kin = &kin[1];
    kf__sched_ready(sched, &other.activation);
    kf_time deadline = kf_now() + 5 * KF_SECOND;
    while (kf__sched_workers(sched) < 2 && kf_now() < deadline)
        usleep(1000);
    cr_assert_eq(kf__sched_workers(sched), 2); /* one more, for the other kin */

    sem_post(&gate);
    cr_assert(ended_within(&blocked, 1, 5 * KF_SECOND));
    usleep(600000); /* twice as long as surplus stays */
    sem_post(&second_gate);
    cr_assert(ended_within(&other, 1, 5 * KF_SECOND));
    deadline = kf_now() + 5 * KF_SECOND;
    while (kf__sched_workers(sched) > 1 && kf_now() < deadline)
        usleep(1000);
    cr_assert_eq(kf__sched_workers(sched), 1);
    job_start(&later, work_a_little);
    cr_assert(ended_within(&later, 1, 5 * KF_SECOND));
    close_sched();
}

static struct job waiting; /* for the one that computes */
static atomic_bool computes;

/* On a machine so busy that the computing thread hardly runs, another worker takes who waits. */
static void compute_until_asked(struct job *job)
{
    kf_time deadline = kf_now() + 5 * KF_SECOND;
    atomic_store(&computes, true);
    while (!kf__sched_should_yield(sched) && !atomic_load(&waiting.ended) && kf_now() < deadline)
        job->number++;
}

Test(sched, a_long_activation_is_asked_to_yield_and_more_threads_do_not_help_it)
{
    static struct job computing;
    open_sched(1, 8);
    job_start(&computing, compute_until_asked);
    while (!atomic_load(&computes))
        usleep(100);
    job_start(&waiting, work_a_little);
    cr_assert(ended_within(&computing, 1, 10 * KF_SECOND));
    cr_assert(ended_within(&waiting, 1, 10 * KF_SECOND));
    cr_assert_geq(computing.took, 5 * KF_MILLISECOND);
    cr_assert_lt(computing.took, 5 * KF_SECOND);
    cr_assert_not(kf__sched_should_yield(sched));
    close_sched();
}

static void start_again(struct kf__activation *activation)
{
    struct job *job = (struct job *)(void *)activation;
    if (++job->number < 1000)
        kf__sched_ready(sched, activation);
    else
        atomic_store(&job->ended, 1);
}

static void do_nothing(struct job *job) { (void)job; }

Test(sched, an_activation_may_be_made_ready_from_its_end)
{
    static struct job job;
    open_sched(3, 3);
    job_init(&job, do_nothing);
    job.activation.ended = start_again;
    kf__sched_ready(sched, &job.activation);
    cr_assert(ended_within(&job, 1, 10 * KF_SECOND));
    cr_assert_eq(job.number, 1000);
    close_sched();
}

Test(sched, without_memory_an_activation_waits)
{
    static struct job job;
    open_sched(1, 1);
    atomic_store(&out_of_memory, true);
    job_start(&job, do_nothing);
    cr_assert_not(ended_within(&job, 1, 50 * KF_MILLISECOND));
    atomic_store(&out_of_memory, false);
    cr_assert(ended_within(&job, 1, 5 * KF_SECOND));
    close_sched();
}

Test(sched, ten_thousand_fibers_sleep_at_a_time)
{
    enum {
        COUNT = 10000
    };
    static struct job jobs[COUNT];
    open_sched(2, 2);
    for (size_t i = 0; i < COUNT; i++)
        job_start(&jobs[i], sleep_50_ms);
    cr_assert(ended_within(jobs, COUNT, 60 * KF_SECOND));
    close_sched();
}

/* ---- the caller's thread ---- */

static void sleep_and_spawn(struct job *job)
{
    kf_fiber *child;
    job->err = kf_sleep(5 * KF_MILLISECOND);
    cr_assert_eq(kf_spawn(sleep_long, NULL, &child), KF_OK);
    cr_assert_eq(kf_sleep(5 * KF_MILLISECOND), KF_OK);
    atomic_store(&job->cancel, 1);
    kf__sched_cancel(sched, &job->activation);
    cr_assert_eq(kf_join(child), KF_ERR_CANCELLED);
}

Test(sched, without_workers_the_caller_runs_everything)
{
    static struct job jobs[3];
    open_sched(0, 0);
    for (size_t i = 0; i < 3; i++)
        job_start(&jobs[i], sleep_and_spawn);
    cr_assert(kf__sched_has_ready(sched));
    cr_assert(kf__sched_run_ready(sched, 1));
    cr_assert_not(kf__sched_run_ready(sched, 10));
    kf_time deadline = kf_now() + 10 * KF_SECOND;
    while (!all_ended(jobs, 3) && kf_now() < deadline) {
        kf__loop_turn(loop, deadline);
        while (kf__sched_run_ready(sched, 10))
            continue;
    }
    cr_assert(all_ended(jobs, 3));
    cr_assert_eq(kf__sched_workers(sched), 0);
    close_sched();
}

/* ---- close ---- */

Test(sched, close_waits_for_what_sleeps)
{
    static struct job job;
    open_sched(2, 2);
    job_start(&job, sleep_50_ms);
    close_sched();
    cr_assert_eq(atomic_load(&job.ended), 1);
    cr_assert_eq(job.err, KF_OK);
}

static void block_then_wait(struct job *job)
{
    block_thread(job);
    job->err = kf_sleep(KF_SECOND);
}

Test(sched, close_gives_up_on_a_stuck_handler_and_leaves_it_whole)
{
    static struct job jobs[2];
    cr_assert_eq(sem_init(&gate, 0, 0), 0);
    open_sched(2, 2);
    job_start(&jobs[0], block_then_wait);
    job_start(&jobs[1], sleep_an_hour);
    usleep(20000);
    kf_time begin = kf_now();
    cr_assert_eq(close_sched_within(50 * KF_MILLISECOND), KF_ERR_HANDLER_STUCK);
    cr_assert_lt(kf_now() - begin, 5 * KF_SECOND);
    cr_assert_eq(atomic_load(&jobs[0].ended), 0);
    sem_post(&gate);
    cr_assert(ended_within(jobs, 1, 5 * KF_SECOND));
    cr_assert_eq(jobs[0].err, KF_ERR_CANCELLED); /* the loop is gone */
}

Test(sched, a_forked_child_closes_without_its_threads)
{
    open_sched(2, 2);
    pid_t child = fork();
    if (child == 0)
        _exit(kf__sched_close(sched, kf_now() + KF_SECOND) == KF_OK ? 7 : 8);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 7);
    close_sched();
}
