/*
 * loop_threads: what other threads may do to a loop and its slabs, for the
 * thread sanitizer: posts, wakes, blocking jobs, references dropped late.
 */
#include "net/loop/loop.h"
#include "net/loop/slab.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    THREADS = 4,
    ROUNDS = 5000,
    JOBS = 200
};

struct sender {
    struct kf__task task; /* first: cast back */
    struct kf__slab *slab;
    atomic_int posted;
    int seen;
};

static struct kf__loop *loop;
static struct kf__slab_pool *slabs;
static struct sender senders[THREADS];
static atomic_int finished;
static int jobs_done;

static void check(bool fact, const char *what)
{
    if (fact)
        return;
    fprintf(stderr, "loop_threads: %s\n", what);
    exit(1);
}

static void take_post(struct kf__task *task)
{
    struct sender *sender = (struct sender *)(void *)task;
    sender->seen = atomic_load(&sender->posted);
}

static void *send_many(void *argument)
{
    struct sender *sender = argument;
    for (int i = 1; i <= ROUNDS; i++) {
        kf__slab_retain(sender->slab);
        atomic_store(&sender->posted, i);
        kf__loop_post(loop, &sender->task);
        if (i % 64 == 0)
            kf__loop_wake(loop);
        kf__slab_release(sender->slab);
    }
    kf__slab_release(sender->slab);
    atomic_fetch_add(&finished, 1);
    kf__loop_wake(loop);
    return NULL;
}

struct job {
    struct kf__job job; /* first */
    int result;
};

static void work(struct kf__job *job) { ((struct job *)(void *)job)->result++; }

static void job_done(struct kf__job *job)
{
    check(((struct job *)(void *)job)->result == 1, "a job ran other than once");
    jobs_done++;
}

static void run(enum kf__backend backend)
{
    static struct job jobs[JOBS];
    pthread_t threads[THREADS];
    check(!kf__loop_open(&kf_default_allocator, &kf__real_world, backend, &loop), "no loop");
    slabs = kf__slab_pool_new(&kf_default_allocator, 1 << 16);
    atomic_store(&finished, 0);
    jobs_done = 0;
    for (int i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){.task.run = take_post};
        senders[i].slab = kf__slab_take(slabs, 4096);
        pthread_create(&threads[i], NULL, send_many, &senders[i]);
    }
    kf__slab_pool_drop(slabs);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.job = {.work = work, .done = job_done}};
        check(!kf__loop_offload(loop, &jobs[i].job), "a job was refused");
    }
    while (atomic_load(&finished) < THREADS || jobs_done < JOBS)
        check(!kf__loop_turn(loop, kf__real_world.now(NULL) + 10 * KF_SECOND), "a turn failed");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    kf__loop_turn(loop, 0);
    for (int i = 0; i < THREADS; i++)
        check(senders[i].seen == ROUNDS, "the last post was lost");
    kf__loop_close(loop);
}

int main(void)
{
    run(KF__BACKEND_AUTO);
    run(KF__BACKEND_POLL);
    return 0;
}
