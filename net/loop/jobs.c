/* jobs: the helper threads behind kf__loop_offload. See jobs.h. */
#include "net/loop/jobs.h"

enum {
    MAX_THREADS = 2
};

static void append(struct kf__job **first, struct kf__job **last, struct kf__job *job)
{
    job->next = NULL;
    if (*first)
        (*last)->next = job;
    else
        *first = job;
    *last = job;
}

static struct kf__job *take_first(struct kf__job **first)
{
    struct kf__job *job = *first;
    if (job)
        *first = job->next;
    return job;
}

static void call_done(struct kf__job *list)
{
    while (list) {
        struct kf__job *job = take_first(&list);
        job->done(job);
    }
}

static struct kf__jobs *owner_of(struct kf__task *task)
{
    return (struct kf__jobs *)(void *)((char *)task - offsetof(struct kf__jobs, report));
}

/* Without threads the queue itself is worked off here. */
static void report(struct kf__task *task)
{
    struct kf__jobs *jobs = owner_of(task);
    pthread_mutex_lock(&jobs->lock);
    struct kf__job *list = jobs->finished;
    jobs->finished = NULL;
    struct kf__job *inline_work = jobs->world->start_thread ? NULL : jobs->queue;
    if (inline_work)
        jobs->queue = NULL;
    pthread_mutex_unlock(&jobs->lock);

    for (struct kf__job *job = inline_work; job; job = job->next)
        job->work(job);
    call_done(list);
    call_done(inline_work);
}

static void helper(void *argument)
{
    struct kf__jobs *jobs = argument;
    pthread_mutex_lock(&jobs->lock);
    while (!jobs->closing) {
        struct kf__job *job = take_first(&jobs->queue);
        if (!job) {
            jobs->idle++;
            pthread_cond_wait(&jobs->changed, &jobs->lock);
            jobs->idle--;
            continue;
        }
        pthread_mutex_unlock(&jobs->lock);
        job->work(job);
        pthread_mutex_lock(&jobs->lock);
        append(&jobs->finished, &jobs->finished_end, job);
        kf__loop_post(jobs->loop, &jobs->report);
    }
    jobs->threads--;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
}

kf_err kf__jobs_init(struct kf__jobs *jobs, struct kf__loop *loop, const struct kf__world *world)
{
    *jobs = (struct kf__jobs){.loop = loop, .world = world, .report.run = report};
    if (pthread_mutex_init(&jobs->lock, NULL))
        return KF_ERR_SYSTEM;
    if (pthread_cond_init(&jobs->changed, NULL)) {
        pthread_mutex_destroy(&jobs->lock);
        return KF_ERR_SYSTEM;
    }
    return KF_OK;
}

/* Takes back the job that was just queued, when no thread will ever come for it. */
static void unqueue_all(struct kf__jobs *jobs) { jobs->queue = jobs->queue_end = NULL; }

kf_err kf__jobs_offload(struct kf__jobs *jobs, struct kf__job *job)
{
    kf_err err = KF_OK;
    pthread_mutex_lock(&jobs->lock);
    append(&jobs->queue, &jobs->queue_end, job);
    if (!jobs->world->start_thread) {
        kf__loop_post(jobs->loop, &jobs->report);
    } else if (jobs->idle == 0 && jobs->threads < MAX_THREADS) {
        err = jobs->world->start_thread(jobs->world->context, helper, jobs);
        if (!err)
            jobs->threads++;
        else if (jobs->threads > 0)
            err = KF_OK; /* those that run will come to it */
        else
            unqueue_all(jobs); /* no thread has ever run: the queue held this job alone */
    } else {
        pthread_cond_signal(&jobs->changed);
    }
    pthread_mutex_unlock(&jobs->lock);
    return err;
}

void kf__jobs_close(struct kf__jobs *jobs, bool forked)
{
    if (forked)
        return;
    pthread_mutex_lock(&jobs->lock);
    jobs->closing = true;
    pthread_cond_broadcast(&jobs->changed);
    while (jobs->threads > 0)
        pthread_cond_wait(&jobs->changed, &jobs->lock);
    struct kf__job *finished = jobs->finished;
    struct kf__job *unbegun = jobs->queue;
    jobs->finished = jobs->queue = NULL;
    pthread_mutex_unlock(&jobs->lock);

    call_done(finished);
    call_done(unbegun);
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
}
