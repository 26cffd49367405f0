/*
 * snapshot: questions that other threads put to the loop: counters, pause,
 * resume. Each is a task; the asker waits for its turn.
 */
#include "runtime/runtime_inside.h"

#include <string.h>
#include <unistd.h>

/* ---- a question and its answer ---- */

struct question {
    struct kf__task task;
    kf_runtime *runtime;
    void (*answer)(struct question *question);
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool is_answered;
    const char *topic;
    int32_t partition;
    bool paused;
    kf_snapshot *snapshot;
};

static void run_question(struct kf__task *task)
{
    struct question *question = KF__OWNER(task, struct question, task);
    question->answer(question);
    pthread_mutex_lock(&question->lock);
    question->is_answered = true;
    pthread_cond_signal(&question->answered);
    pthread_mutex_unlock(&question->lock);
}

/* The loop's thread stops answering when the runtime ends: look at both. */
static bool wait_for_answer(struct question *question)
{
    kf_runtime *runtime = question->runtime;
    pthread_mutex_lock(&question->lock);
    while (!question->is_answered) {
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 20000000;
        if (soon.tv_nsec >= 1000000000) {
            soon.tv_sec++;
            soon.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&question->answered, &question->lock, &soon);
        if (question->is_answered || !kf__runtime_has_ended(runtime))
            continue;
        pthread_mutex_lock(&runtime->lock);
        bool ended = runtime->state == KF__RUNTIME_ENDED;
        pthread_mutex_unlock(&runtime->lock);
        if (ended)
            break;
    }
    bool answered = question->is_answered;
    pthread_mutex_unlock(&question->lock);
    return answered;
}

static void ask(struct question *question)
{
    kf_runtime *runtime = question->runtime;
    question->task.run = run_question;
    if (!runtime->own_thread || runtime->state != KF__RUNTIME_RUNNING) {
        question->answer(question);
        return;
    }
    pthread_mutex_init(&question->lock, NULL);
    pthread_cond_init(&question->answered, NULL);
    kf__loop_post(runtime->loop, &question->task);
    if (!wait_for_answer(question)) {
        /* Nobody turns the loop any more: take the task out by running it here. */
        kf__loop_turn(runtime->loop, 0);
    }
    pthread_cond_destroy(&question->answered);
    pthread_mutex_destroy(&question->lock);
}

/* ---- snapshot ---- */

static void fill_row(const struct kf__partition *partition, kf_partition_snapshot *row)
{
    int64_t position = kf__partition_position(partition);
    int64_t end = partition->fetching.high_watermark;
    *row = (kf_partition_snapshot){
        .topic = partition->topic_name,
        .partition = partition->number,
        .processed = atomic_load(&partition->processed),
        .failed = atomic_load(&partition->failed),
        .retried = atomic_load(&partition->retried),
        .position = position,
        .committed = partition->account.committed,
        .high_watermark = end,
        .lag = position >= 0 && end >= position ? end - position : -1,
        .stuck_since_ms = partition->stuck_since_ms,
        .buffered_bytes = atomic_load(&partition->buffered),
        .paused = partition->paused,
    };
}

/* Struct, rows and strings in one block. */
static void take_snapshot(struct question *question)
{
    kf_runtime *runtime = question->runtime;
    struct kf__consumer *consumer = &runtime->consumer;
    size_t count = consumer->partition_count;
    const char *group = runtime->settings.group_id ? runtime->settings.group_id : "";
    const char *id = consumer->member ? kf__member_id(consumer->member) : "";
    size_t strings = strlen(group) + strlen(id) + 2;
    for (struct kf__link *at = count ? consumer->partitions.next : NULL;
         at && at != &consumer->partitions; at = at->next)
        strings += strlen(KF__OWNER(at, struct kf__partition, link)->topic_name) + 1;
    size_t rows_size = count * sizeof(kf_partition_snapshot);
    kf_snapshot *snapshot =
        kf_alloc_zero(&kf_default_allocator, sizeof *snapshot + rows_size + strings);
    if (!snapshot)
        return;
    kf_partition_snapshot *rows = (kf_partition_snapshot *)(void *)(snapshot + 1);
    char *text = (char *)(rows + count);
    snapshot->group = strcpy(text, group);
    text += strlen(group) + 1;
    snapshot->member_id = strcpy(text, id);
    text += strlen(id) + 1;
    snapshot->partitions = rows;
    snapshot->generation = consumer->member ? kf__member_generation(consumer->member) : -1;
    snapshot->rebalances = consumer->rebalances;
    snapshot->records_processed = consumer->records_before;
    snapshot->workers = runtime->sched ? kf__sched_workers(runtime->sched) : 0;
    for (struct kf__link *at = count ? consumer->partitions.next : NULL;
         at && at != &consumer->partitions; at = at->next) {
        kf_partition_snapshot *row = &rows[snapshot->partition_count++];
        fill_row(KF__OWNER(at, struct kf__partition, link), row);
        row->topic = strcpy(text, row->topic);
        text += strlen(text) + 1;
        snapshot->records_processed += row->processed;
        snapshot->bytes_buffered += row->buffered_bytes;
    }
    question->snapshot = snapshot;
}

kf_snapshot *kf_runtime_snapshot(kf_runtime *runtime)
{
    if (!runtime || kf__runtime_is_foreign(runtime, getpid()))
        return NULL;
    struct question question = {.runtime = runtime, .answer = take_snapshot};
    ask(&question);
    return question.snapshot;
}

void kf_snapshot_free(kf_snapshot *snapshot) { kf_free(&kf_default_allocator, snapshot); }

/* ---- pause and resume ---- */

static void pause_or_resume(struct question *question)
{
    kf__consumer_pause(&question->runtime->consumer, question->topic, question->partition,
                       question->paused);
}

static kf_err set_paused(kf_runtime *runtime, const char *topic, int32_t partition, bool paused)
{
    if (!runtime || !topic || runtime->state != KF__RUNTIME_RUNNING)
        return KF_ERR_STATE;
    if (kf__runtime_is_foreign(runtime, getpid()))
        return KF_ERR_FORKED;
    struct question question = {.runtime = runtime,
                                .answer = pause_or_resume,
                                .topic = topic,
                                .partition = partition,
                                .paused = paused};
    ask(&question);
    return KF_OK;
}

kf_err kf_pause(kf_runtime *runtime, const char *topic, int32_t partition)
{
    return set_paused(runtime, topic, partition, true);
}

kf_err kf_resume(kf_runtime *runtime, const char *topic, int32_t partition)
{
    return set_paused(runtime, topic, partition, false);
}
