/* partition: the loop's side of an assigned partition; handle.c has the fiber's side. */
#include "runtime/member/partition.h"

#include "runtime/member/consumer.h"

enum {
    KEEP_WHILE_RETRYING = 1000, /* milliseconds; a longer wait gives the batches back */
};

static void settle(struct kf__partition *partition);

static bool is_at_most_once(const struct kf__partition *partition)
{
    return partition->route->semantics == KF_AT_MOST_ONCE;
}

static kf_time now_of(const struct kf__partition *partition)
{
    return kf__loop_now(partition->consumer->loop);
}

/* ---- the queue ---- */

static bool has_batches(struct kf__partition *partition)
{
    pthread_mutex_lock(&partition->lock);
    bool any = partition->first != NULL;
    pthread_mutex_unlock(&partition->lock);
    return any;
}

/*
 * Cuts the queue off behind its first batch, where a worker may hold that,
 * and behind what begins below `below`. *end: where what is left of it ends,
 * -1 where nothing is; a worker may free it as soon as the lock is released.
 */
static struct kf_batch *cut_queue(struct kf__partition *partition, bool keep_first, int64_t below,
                                  int64_t *end)
{
    *end = -1;
    pthread_mutex_lock(&partition->lock);
    struct kf_batch *last = NULL;
    struct kf_batch *cut = partition->first;
    while (cut && ((keep_first && !last) || cut->header.base_offset < below)) {
        last = cut;
        cut = cut->next;
    }
    if (last) {
        last->next = NULL;
        *end = last->header.last_offset + 1;
    } else {
        partition->first = NULL;
    }
    partition->last = last;
    pthread_mutex_unlock(&partition->lock);
    return cut;
}

static void release_all(struct kf__partition *partition, struct kf_batch *batch)
{
    while (batch) {
        struct kf_batch *next = batch->next;
        atomic_fetch_sub(&partition->buffered, (long long)kf__held_size(batch));
        kf__held_release(batch);
        batch = next;
    }
}

/*
 * Drops what is queued, but for what begins below `below`; what is dropped is
 * fetched again later, whatever the fetcher was about: an offset that it waits
 * with or that was out of range lies behind what was dropped.
 */
static void give_back(struct kf__partition *partition, int64_t below)
{
    int64_t from;
    struct kf_batch *cut = cut_queue(partition, partition->scheduled, below, &from);
    if (!cut)
        return;
    if (from < 0)
        from = kf__partition_position(partition);
    release_all(partition, cut);
    if (partition->reset_why && partition->reset_why != KF_ERR_OFFSET_OUT_OF_RANGE)
        return; /* reset_position knows better */
    partition->reset_why = KF_OK;
    kf__fetching_seek(&partition->fetching, KF__START_AT, from, -1);
}

/* ---- what it wants ---- */

static void update_want(struct kf__partition *partition)
{
    bool hungry = atomic_load(&partition->buffered) < kf__consumer_low_water(partition->consumer);
    kf__fetching_want(&partition->fetching, partition->state == KF__PARTITION_RUNNING &&
                                                !partition->paused && !partition->given_back &&
                                                !partition->reset_why && hungry);
}

static void go(struct kf__partition *partition)
{
    bool may = partition->state == KF__PARTITION_RUNNING ||
               (partition->state == KF__PARTITION_DRAINING && is_at_most_once(partition));
    if (!may || partition->scheduled || atomic_load(&partition->stop) ||
        kf__timer_is_set(&partition->retry) || !has_batches(partition))
        return;
    if (is_at_most_once(partition) &&
        kf__partition_position(partition) >= atomic_load(&partition->limit))
        return;
    partition->scheduled = true;
    kf__sched_ready(partition->consumer->sched, &partition->activation);
}

/* ---- at most once: chunks ---- */

/* Where the next chunk ends: so many records, so many bytes, no further than what is queued. */
static int64_t chunk_end(struct kf__partition *partition, int64_t begin)
{
    int64_t end = begin;
    int64_t records = partition->route->chunk_records;
    int64_t bytes = partition->route->chunk_bytes;
    pthread_mutex_lock(&partition->lock);
    for (struct kf_batch *batch = partition->first; batch && records > 0 && bytes > 0;
         batch = batch->next) {
        int64_t next = batch->header.last_offset + 1;
        if (next <= end)
            continue;
        /* What compaction took costs nobody a handler. (The old formats don't say where they
         * begin.) */
        if (batch->header.magic == 2 && batch->header.base_offset > end)
            end = batch->header.base_offset;
        int64_t count = next - end;
        int64_t whole = next - batch->header.base_offset;
        int64_t size = (int64_t)kf__held_size(batch);
        int64_t fit = bytes >= size || whole <= 1 ? count : bytes * whole / size;
        int64_t take = count < records ? count : records;
        if (take > fit)
            take = fit > 0 ? fit : 1;
        end += take;
        records -= take;
        bytes -= whole > 0 ? size * take / whole : size;
        if (take < count)
            break;
    }
    pthread_mutex_unlock(&partition->lock);
    return end;
}

/* Commits the next chunk ahead of its handlers, once the one before the running one is done. */
static void ask_chunk(struct kf__partition *partition)
{
    if (!is_at_most_once(partition) || partition->state != KF__PARTITION_RUNNING ||
        partition->chunk_asked >= 0 || kf__partition_position(partition) < partition->chunk_begin)
        return;
    int64_t limit = atomic_load(&partition->limit);
    int64_t end = chunk_end(partition, limit);
    if (end <= limit)
        return;
    partition->chunk_asked = end;
    kf__committer_note(partition->consumer, partition, end, now_of(partition));
}

void kf__partition_committed(struct kf__partition *partition, kf_err err)
{
    if (is_at_most_once(partition) && !err && partition->chunk_asked >= 0 &&
        partition->account.committed >= partition->chunk_asked) {
        partition->chunk_begin = atomic_load(&partition->limit);
        atomic_store_explicit(&partition->limit, partition->chunk_asked, memory_order_release);
        partition->chunk_asked = -1;
    }
    if (partition->account.closed)
        partition->chunk_asked = -1; /* nobody will ever handle it */
    settle(partition);
}

bool kf__partition_needs_no_more(const struct kf__partition *partition)
{
    return partition->state == KF__PARTITION_DRAINED ||
           (partition->state == KF__PARTITION_DRAINING && is_at_most_once(partition));
}

/* ---- after an activation, a commit, a batch ---- */

/* The record that failed has been handled: the next failure is another record's first. */
static void forget_failure(struct kf__partition *partition, int64_t position)
{
    if (partition->failed_at < 0 || position <= partition->failed_at)
        return;
    partition->failed_at = -1;
    partition->failures = 0;
    partition->stuck_since_ms = -1;
}

static void note_progress(struct kf__partition *partition)
{
    int64_t position = kf__partition_position(partition);
    forget_failure(partition, position);
    if (is_at_most_once(partition)) {
        ask_chunk(partition);
        return;
    }
    struct kf__consumer *consumer = partition->consumer;
    bool idle = !partition->scheduled && !has_batches(partition);
    kf__committer_note(consumer, partition, position,
                       idle ? kf__committer_idle_due(consumer) : kf__committer_busy_due(consumer));
}

static bool is_drained(struct kf__partition *partition)
{
    if (partition->scheduled)
        return false;
    if (!is_at_most_once(partition) || atomic_load(&partition->stop))
        return true;
    return partition->chunk_asked < 0 &&
           (kf__partition_position(partition) >= atomic_load(&partition->limit) ||
            !has_batches(partition));
}

static void reset_position(struct kf__partition *partition)
{
    kf_err why = partition->reset_why;
    partition->reset_why = KF_OK;
    int64_t position = kf__partition_position(partition);
    if (why != KF_ERR_TRUNCATION_DETECTED) {
        kf__positions_reset(partition, why);
        return;
    }
    int64_t from = position < partition->reset_offset ? position : partition->reset_offset;
    kf__partition_start_at(partition, from, -1);
    /* What was committed beyond it is no offset of this log any more. */
    kf__committer_note(partition->consumer, partition, from,
                       kf__committer_busy_due(partition->consumer));
}

/* Whatever happened: does what the state now asks for. */
static void settle(struct kf__partition *partition)
{
    note_progress(partition);
    switch (partition->state) {
    case KF__PARTITION_RUNNING:
        if (partition->reset_why && !partition->scheduled && !has_batches(partition))
            reset_position(partition);
        update_want(partition);
        go(partition);
        break;
    case KF__PARTITION_DRAINING:
        go(partition);
        if (!is_drained(partition))
            break;
        partition->state = KF__PARTITION_DRAINED;
        if (!is_at_most_once(partition))
            kf__committer_note(partition->consumer, partition, kf__partition_position(partition),
                               now_of(partition));
        kf__consumer_check_drained(partition->consumer);
        break;
    case KF__PARTITION_DRAINED:
        kf__consumer_check_drained(partition->consumer);
        break;
    default:
        break;
    }
}

/* ---- failures ---- */

static kf_time backoff(const struct kf__partition *partition)
{
    kf_time wait = partition->route->retry_backoff;
    for (int32_t i = 1; i < partition->failures && wait < partition->route->retry_backoff_max; i++)
        wait *= 2;
    if (wait > partition->route->retry_backoff_max)
        wait = partition->route->retry_backoff_max;
    const struct kf__world *world = kf__loop_world(partition->consumer->loop);
    uint64_t fifth = (uint64_t)wait / 5 + 1;
    return wait - (kf_time)fifth + (kf_time)(world->random(world->context) % (2 * fifth));
}

static void log_failure(struct kf__partition *partition, int64_t offset, kf_time wait)
{
    const char *reason = partition->reason[0] ? partition->reason : "no reason given";
    kf__consumer_log(partition->consumer, KF_LOG_WARNING, "handler.failed", partition, offset,
                     KF_ERR_HANDLER_FAILED,
                     "the handler failed (%s), %d in a row; the record is tried again in "
                     "%lld ms",
                     reason, (int)partition->failures, (long long)(wait / KF_MILLISECOND));
}

void kf__partition_note_failure(struct kf__partition *partition, int64_t offset)
{
    long long failed = atomic_load_explicit(&partition->failed, memory_order_relaxed);
    atomic_store_explicit(&partition->failed, failed + 1, memory_order_relaxed);
    const char *reason = partition->reason[0] ? partition->reason : "no reason given";
    kf__consumer_log(partition->consumer, KF_LOG_WARNING, "handler.failed", partition, offset,
                     KF_ERR_HANDLER_FAILED,
                     "the handler failed (%s); the record is committed and not tried again",
                     reason);
    partition->reason[0] = '\0';
}

static void fire_retry(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__partition *partition = owner;
    partition->given_back = false;
    settle(partition);
}

/* Waits, then runs again from its position; a long wait gives the batches back. */
static void wait_and_retry(struct kf__partition *partition, bool drop)
{
    forget_failure(partition, kf__partition_position(partition));
    partition->failures++;
    partition->failed_at = kf__partition_position(partition);
    if (partition->stuck_since_ms < 0) {
        const struct kf__world *world = kf__loop_world(partition->consumer->loop);
        partition->stuck_since_ms = world->wall_ms(world->context);
    }
    kf_time wait = backoff(partition);
    if (drop || wait >= KEEP_WHILE_RETRYING * KF_MILLISECOND) {
        partition->given_back = true;
        give_back(partition, 0);
    }
    kf__timer_set(partition->consumer->loop, &partition->retry, now_of(partition) + wait);
    if (drop)
        kf__consumer_log(partition->consumer, KF_LOG_ERROR, "batch.broken", partition,
                         partition->failed_at, partition->end_error,
                         "a record batch can't be read: %s; it is fetched again in %lld ms",
                         kf_err_text(partition->end_error), (long long)(wait / KF_MILLISECOND));
    else
        log_failure(partition, partition->failed_at, wait);
}

static void run_ended(struct kf__task *task)
{
    struct kf__partition *partition = KF__OWNER(task, struct kf__partition, ended);
    partition->scheduled = false;
    if (partition->state == KF__PARTITION_CONDEMNED) {
        kf__consumer_bury(partition->consumer, partition);
        return;
    }
    if (partition->end == KF__END_FAILED)
        wait_and_retry(partition, false);
    else if (partition->end == KF__END_BROKEN)
        wait_and_retry(partition, true);
    settle(partition);
}

static void run_task(struct kf__task *task)
{
    struct kf__partition *partition = KF__OWNER(task, struct kf__partition, task);
    if (partition->state != KF__PARTITION_CONDEMNED)
        settle(partition);
}

/* ---- what the fetcher tells ---- */

static void fetching_positioned(struct kf__fetching *fetching, int64_t offset)
{
    struct kf__partition *partition = fetching->context;
    kf__partition_start_at(partition, offset, -1);
    /* Pinned at once: a member that dies before its first commit must not move the start. */
    kf__committer_note(partition->consumer, partition, offset,
                       kf__committer_busy_due(partition->consumer));
}

static void fetching_arrived(struct kf__fetching *fetching, struct kf_batch *batch)
{
    struct kf__partition *partition = fetching->context;
    atomic_fetch_add(&partition->buffered, (long long)kf__held_size(batch));
    pthread_mutex_lock(&partition->lock);
    if (partition->last)
        partition->last->next = batch;
    else
        partition->first = batch;
    partition->last = batch;
    pthread_mutex_unlock(&partition->lock);
}

static void fetching_settled(struct kf__fetching *fetching)
{
    struct kf__partition *partition = fetching->context;
    if (partition->state == KF__PARTITION_RUNNING) {
        ask_chunk(partition);
        update_want(partition);
        go(partition);
    }
}

static void log_out_of_range(struct kf__partition *partition, kf_err err, int64_t offset)
{
    const char *name = "offset.out_of_range";
    const char *format = "the broker does not have offset %lld (any more); auto.offset.reset "
                         "decides where to go on";
    if (err == KF_ERR_TRUNCATION_DETECTED) {
        name = "log.truncated";
        format = "the log was cut off below the position (unclean leader election); going on at "
                 "offset %lld";
    } else if (err == KF_ERR_UNKNOWN_TOPIC_ID) {
        name = "topic.recreated";
        format = "the topic was deleted and created anew, offset %lld belongs to the one before; "
                 "auto.offset.reset decides where to go on";
    }
    kf__consumer_log(partition->consumer, KF_LOG_WARNING, name, partition,
                     partition->fetching.offset, err, format, (long long)offset);
}

static void fetching_out_of_range(struct kf__fetching *fetching, kf_err err, int64_t offset)
{
    struct kf__partition *partition = fetching->context;
    partition->reset_why = err;
    partition->reset_offset = offset;
    log_out_of_range(partition, err, offset);
    settle(partition);
}

static void fetching_troubled(struct kf__fetching *fetching, kf_err err)
{
    struct kf__partition *partition = fetching->context;
    kf__consumer_log(partition->consumer, KF_LOG_WARNING, "fetch.failed", partition,
                     fetching->offset, err, "fetching fails and is being retried: %s",
                     kf_err_text(err));
}

const struct kf__fetching_owner kf__partition_fetching = {
    .positioned = fetching_positioned,
    .arrived = fetching_arrived,
    .settled = fetching_settled,
    .out_of_range = fetching_out_of_range,
    .troubled = fetching_troubled,
};

/* ---- its life ---- */

static const char *describe(struct kf__activation *activation, char *text, size_t size)
{
    struct kf__partition *partition = KF__OWNER(activation, struct kf__partition, activation);
    snprintf(text, size, "topic %s partition %d offset %lld", partition->topic_name,
             (int)partition->number, (long long)kf__partition_position(partition));
    return text;
}

struct kf__partition *kf__partition_new(struct kf__consumer *consumer,
                                        const struct kf__route *route, const char *topic_name,
                                        int32_t topic, int32_t number)
{
    struct kf__partition *partition = kf_alloc_zero(consumer->alloc, sizeof *partition);
    if (!partition)
        return NULL;
    partition->consumer = consumer;
    partition->route = route;
    partition->topic_name = topic_name;
    partition->topic = topic;
    partition->number = number;
    partition->task.run = run_task;
    partition->ended.run = run_ended;
    partition->stuck_since_ms = -1;
    partition->chunk_asked = -1;
    partition->failed_at = -1;
    partition->attempt_offset = -1;
    atomic_init(&partition->position, -1);
    pthread_mutex_init(&partition->lock, NULL);
    kf__link_init(&partition->link);
    kf__timer_init(&partition->retry, fire_retry, partition);
    kf__activation_init(&partition->activation, consumer->sched, kf__handle_run, kf__handle_ended);
    partition->activation.stack_bytes = route->stack_bytes;
    partition->activation.cancel = &partition->cancel;
    partition->activation.kin = route;
    partition->activation.describe = describe;
    if (kf__fetching_open(&partition->fetching, consumer->fetcher, topic, number,
                          &kf__partition_fetching, partition)) {
        pthread_mutex_destroy(&partition->lock);
        kf_free(consumer->alloc, partition);
        return NULL;
    }
    kf__offset_open(&partition->account, -1, partition);
    return partition;
}

static void leave_the_loop(struct kf__partition *partition)
{
    kf__timer_cancel(partition->consumer->loop, &partition->retry);
    kf__fetching_close(&partition->fetching);
    kf__committer_forget(partition->consumer, partition);
}

void kf__partition_free(struct kf__partition *partition)
{
    struct kf__consumer *consumer = partition->consumer;
    leave_the_loop(partition);
    int64_t end;
    release_all(partition, cut_queue(partition, false, 0, &end));
    pthread_mutex_destroy(&partition->lock);
    kf_free(consumer->alloc, partition);
}

void kf__partition_start_at(struct kf__partition *partition, int64_t offset, int32_t epoch)
{
    if (offset < partition->account.done) {
        /* Backwards: what was done beyond it is to be done again. */
        kf__committer_forget(partition->consumer, partition);
        kf__offset_open(&partition->account, -1, partition);
    }
    atomic_store(&partition->position, offset);
    atomic_store(&partition->limit, offset);
    partition->chunk_begin = offset;
    partition->chunk_asked = -1;
    partition->end = KF__END_NONE;
    if (partition->fetching.state != KF__FETCHING_READY || partition->fetching.offset != offset)
        kf__fetching_seek(&partition->fetching, KF__START_AT, offset, epoch);
    update_want(partition);
}

void kf__partition_begin(struct kf__partition *partition)
{
    if (partition->state != KF__PARTITION_STARTING || partition->needs_offset ||
        !partition->user_told || partition->waits_for)
        return;
    partition->state = KF__PARTITION_RUNNING;
    settle(partition);
}

void kf__partition_drain(struct kf__partition *partition)
{
    if (partition->state != KF__PARTITION_RUNNING && partition->state != KF__PARTITION_STARTING)
        return;
    bool at_rest = partition->state == KF__PARTITION_STARTING;
    partition->state = KF__PARTITION_DRAINING;
    kf__timer_cancel(partition->consumer->loop, &partition->retry);
    kf__fetching_want(&partition->fetching, false);
    /* At most once: what is committed is handled, paused or not; nobody else ever will. */
    atomic_store(&partition->stop, !is_at_most_once(partition) || at_rest);
    if (at_rest)
        partition->state = KF__PARTITION_DRAINED;
    settle(partition);
}

void kf__partition_condemn(struct kf__partition *partition)
{
    partition->state = KF__PARTITION_CONDEMNED;
    atomic_store(&partition->stop, 1);
    atomic_store(&partition->cancel, 1);
    leave_the_loop(partition);
    if (partition->scheduled)
        kf__sched_cancel(partition->consumer->sched, &partition->activation);
    else
        kf__consumer_bury(partition->consumer, partition);
}

void kf__partition_pause(struct kf__partition *partition, bool paused)
{
    if (partition->paused == paused || partition->state > KF__PARTITION_RUNNING)
        return;
    partition->paused = paused;
    atomic_store(&partition->stop, paused);
    settle(partition);
}

void kf__partition_give_back(struct kf__partition *partition)
{
    int64_t position = kf__partition_position(partition);
    bool stands = partition->seen_position == position && has_batches(partition);
    partition->seen_position = position;
    if (!stands || partition->state != KF__PARTITION_RUNNING)
        return;
    /* At most once: what is committed, or about to be, has to be here when its turn comes. */
    int64_t limit = atomic_load(&partition->limit);
    int64_t bound = partition->chunk_asked > limit ? partition->chunk_asked : limit;
    give_back(partition, is_at_most_once(partition) ? bound : 0);
}
