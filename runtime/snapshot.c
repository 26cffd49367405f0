/*
 * snapshot: questions that other threads put to the loop: counters, pause,
 * resume. Each is a task; the asker waits for its turn.
 */
#include "runtime/runtime_inside.h"

#include <string.h>
#include <unistd.h>

/* ---- a question and its answer ---- */

struct kf__question {
    struct kf__question *next;
    kf_runtime *runtime;
    void (*answer)(struct kf__question *question);
    bool is_answered;
    const char *topic;
    int32_t partition;
    bool paused;
    kf_snapshot *snapshot;
};

void kf__runtime_answer_all(kf_runtime *runtime)
{
    struct kf__question *question;
    while ((question = runtime->questions)) {
        runtime->questions = question->next;
        question->answer(question);
        question->is_answered = true;
    }
    pthread_cond_broadcast(&runtime->changed);
}

void kf__runtime_run_questions(struct kf__task *task)
{
    kf_runtime *runtime = KF__OWNER(task, kf_runtime, answer);
    pthread_mutex_lock(&runtime->lock);
    kf__runtime_answer_all(runtime);
    pthread_mutex_unlock(&runtime->lock);
}

/* Whether the loop belongs to another thread now. The lock is held. */
static bool must_wait(const kf_runtime *runtime)
{
    return runtime->state == KF__RUNTIME_RUNNING &&
           (runtime->own_thread || !pthread_equal(runtime->thread, pthread_self()));
}

/* The loop's end answers too what nobody turns it for any more. */
static void ask(struct kf__question *question)
{
    kf_runtime *runtime = question->runtime;
    pthread_mutex_lock(&runtime->lock);
    if (must_wait(runtime)) {
        question->next = runtime->questions;
        runtime->questions = question;
        kf__loop_post(runtime->loop, &runtime->answer);
        while (!question->is_answered)
            pthread_cond_wait(&runtime->changed, &runtime->lock);
    } else {
        question->answer(question);
    }
    pthread_mutex_unlock(&runtime->lock);
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
static void take_snapshot(struct kf__question *question)
{
    kf_runtime *runtime = question->runtime;
    static struct kf__consumer nobody;
    bool is_new = runtime->state == KF__RUNTIME_NEW; /* another thread may be starting it */
    struct kf__consumer *consumer = is_new ? &nobody : &runtime->consumer;
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
    snapshot->workers = is_new ? 0 : kf__sched_workers(runtime->sched);
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
    struct kf__question question = {.runtime = runtime, .answer = take_snapshot};
    ask(&question);
    return question.snapshot;
}

void kf_snapshot_free(kf_snapshot *snapshot) { kf_free(&kf_default_allocator, snapshot); }

/* ---- pause and resume ---- */

static void pause_or_resume(struct kf__question *question)
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
    struct kf__question question = {.runtime = runtime,
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
