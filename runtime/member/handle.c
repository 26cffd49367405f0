/*
 * handle: the fiber's side of a partition: takes batches off its queue, walks
 * their records, calls the handler.
 *
 * The hot path. Per record: no lock, no allocation, no clock, no atomic
 * read-modify-write, no copy; two relaxed loads (stop, yield) and one release
 * store (position). Per batch nearly anything.
 */
#include "runtime/member/consumer.h"
#include "runtime/member/partition.h"

#include <kafiber/fiber.h>
#include <stdarg.h>

enum {
    /* milliseconds */
    SLOW_BATCH = 10, /* from here on a batch is copied out of its slab */
    SHARE = 5,       /* of the caller's thread, then the loop gets its turn */

    QUICK_RECORDS = 16,
};

static struct kf_batch *front(struct kf__partition *partition)
{
    pthread_mutex_lock(&partition->lock);
    struct kf_batch *batch = partition->first;
    pthread_mutex_unlock(&partition->lock);
    return batch;
}

/* The front batch is done with. Tells the loop where that makes room for more. */
static void finish_front(struct kf__partition *partition)
{
    pthread_mutex_lock(&partition->lock);
    struct kf_batch *batch = partition->first;
    partition->first = batch->next;
    if (!partition->first)
        partition->last = NULL;
    pthread_mutex_unlock(&partition->lock);

    long long size = (long long)kf__held_size(batch);
    long long before = atomic_fetch_sub_explicit(&partition->buffered, size, memory_order_relaxed);
    kf__held_release(batch);
    long long enough = kf__consumer_low_water(partition->consumer);
    if (before >= enough && before - size < enough)
        kf__loop_post(partition->consumer->loop, &partition->task);
}

static kf_err open_front(struct kf__partition *partition, struct kf_batch *batch)
{
    if (!batch->opened && partition->slow) {
        kf_err err = kf__held_unpin(batch);
        if (err)
            return err;
    }
    kf__held_started(batch);
    return kf__consumer_open_batch(partition->consumer, batch);
}

static inline void set_position(struct kf__partition *partition, int64_t offset)
{
    atomic_store_explicit(&partition->position, offset, memory_order_release);
}

/* Counters have one writer: a plain load and store. */
static inline void count(atomic_llong *counter, int64_t more)
{
    long long value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

/* Nobody watches the caller's thread: an activation there looks at the clock itself, every
 * QUICK_RECORDS records while they are quick, after each one where they are not. */
static void begin_share(struct kf__partition *partition)
{
    bool alone = kf__sched_workers(partition->activation.sched) == 0;
    partition->share = (struct kf__share){.left = alone ? 1 : INT64_MAX, .step = 1};
    if (alone)
        partition->share.looked = kf_now();
    partition->share.end = partition->share.looked + SHARE * KF_MILLISECOND;
}

static bool share_is_over(struct kf__share *share)
{
    kf_time now = kf_now();
    bool quick = now - share->looked < KF_MILLISECOND;
    share->step = !quick ? 1 : share->step < QUICK_RECORDS ? share->step * 2 : QUICK_RECORDS;
    share->left = share->step;
    share->looked = now;
    return now >= share->end;
}

static inline bool must_pause(struct kf__partition *partition, const struct kf__sched *sched,
                              enum kf__end *end)
{
    if (atomic_load_explicit(&partition->stop, memory_order_relaxed))
        *end = KF__END_STOPPED;
    else if (kf__sched_should_yield(sched))
        *end = KF__END_YIELD;
    else if (--partition->share.left == 0 && share_is_over(&partition->share))
        *end = KF__END_YIELD;
    else
        return false;
    return true;
}

static void begin_message(const struct kf__partition *partition, struct kf_batch *batch,
                          kf_message *message)
{
    *message = (kf_message){
        .topic = partition->topic_name,
        .partition = partition->number,
        .leader_epoch = batch->header.leader_epoch,
        .timestamp_type = batch->header.timestamp_type,
        .batch = batch,
    };
}

static inline void set_record(kf_message *message, const struct kf__record *record)
{
    message->offset = record->offset;
    message->timestamp = record->timestamp;
    message->key = record->key;
    message->value = record->value;
    message->headers = record->headers;
    message->header_count = record->header_count;
}

/* A record that is tried again knows how often it was. */
static void set_attempt(struct kf__partition *partition, kf_message *message)
{
    message->attempt = partition->attempt;
    count(&partition->retried, 1);
}

static enum kf__end note_failure(struct kf__partition *partition, int64_t offset)
{
    count(&partition->failed, 1);
    partition->attempt = partition->attempt_offset == offset && partition->attempt < INT32_MAX
                             ? partition->attempt + 1
                             : 1;
    partition->attempt_offset = offset;
    return KF__END_FAILED;
}

static enum kf__end broken(struct kf__partition *partition, kf_err err)
{
    partition->end_error = err;
    return KF__END_BROKEN;
}

static enum kf__end at_least_once(struct kf__partition *partition, struct kf_batch *batch)
{
    const struct kf__route *route = partition->route;
    const struct kf__sched *sched = partition->activation.sched;
    struct kf__records records = batch->records;
    enum kf__end end = KF__END_NONE;
    int64_t position = atomic_load_explicit(&partition->position, memory_order_relaxed);
    const int64_t failed_before = partition->attempt_offset;
    int64_t handled = 0;
    kf_message message;
    begin_message(partition, batch, &message);

    do {
        struct kf__record record;
        bool more;
        kf_err err = kf__records_next(&records, &record, &more);
        if (err) {
            end = broken(partition, err);
            break;
        }
        if (!more) {
            set_position(partition, batch->header.last_offset + 1);
            break;
        }
        if (record.offset < position)
            continue;
        set_record(&message, &record);
        if (record.offset == failed_before)
            set_attempt(partition, &message);
        if (route->handler(&message, route->context) != KF_HANDLED) {
            end = note_failure(partition, record.offset);
            break;
        }
        message.attempt = 0;
        handled++;
        position = record.offset + 1;
        set_position(partition, position);
    } while (!must_pause(partition, sched, &end));
    /* After a failure the walk begins where it did before, and passes over what is handled: it is
     * the record, not its successor, that has to come again, whatever happens in between. */
    if (end != KF__END_FAILED)
        batch->records = records;
    count(&partition->processed, handled);
    return end;
}

/* The committed chunk is used up: the loop may commit the next but one. Returns the limit now. */
static int64_t pass_chunk(struct kf__partition *partition, int64_t position)
{
    set_position(partition, position);
    kf__loop_post(partition->consumer->loop, &partition->task);
    return atomic_load_explicit(&partition->limit, memory_order_acquire);
}

/* Handles up to the limit, which is where the acknowledged commit ends. */
static enum kf__end at_most_once(struct kf__partition *partition, struct kf_batch *batch)
{
    const struct kf__route *route = partition->route;
    const struct kf__sched *sched = partition->activation.sched;
    struct kf__records records = batch->records;
    enum kf__end end = KF__END_NONE;
    int64_t position = atomic_load_explicit(&partition->position, memory_order_relaxed);
    int64_t limit = atomic_load_explicit(&partition->limit, memory_order_acquire);
    kf_message message;
    begin_message(partition, batch, &message);

    do {
        struct kf__records before = records;
        struct kf__record record;
        bool more;
        kf_err err = kf__records_next(&records, &record, &more);
        if (err)
            return broken(partition, err);
        int64_t here = more ? record.offset : batch->header.last_offset + 1;
        if (here >= limit) {
            position = position < limit ? limit : position;
            limit = pass_chunk(partition, position);
            if (more ? here >= limit : here > limit) {
                batch->records = before;
                return KF__END_LIMIT;
            }
        }
        if (!more) {
            set_position(partition, here);
            return KF__END_NONE;
        }
        if (here < position)
            continue;
        set_record(&message, &record);
        message.attempt = 0;
        if (route->handler(&message, route->context) == KF_HANDLED)
            count(&partition->processed, 1);
        else
            kf__partition_note_failure(partition, record.offset);
        position = record.offset + 1;
        set_position(partition, position);
    } while (!must_pause(partition, sched, &end));
    batch->records = records;
    return end;
}

/* Control and aborted batches count as done; at most once they too wait for their commit. */
static enum kf__end pass_over(struct kf__partition *partition, const struct kf_batch *batch)
{
    int64_t next = batch->header.last_offset + 1;
    if (partition->route->semantics == KF_AT_MOST_ONCE) {
        int64_t limit = atomic_load_explicit(&partition->limit, memory_order_acquire);
        if (limit < next) {
            /* As far as it is committed it is done: else the next chunk would never be asked for,
             * and this partition be made ready without end. */
            if (limit > kf__partition_position(partition))
                set_position(partition, limit);
            return KF__END_LIMIT;
        }
    }
    set_position(partition, next);
    return KF__END_NONE;
}

static enum kf__end handle_front(struct kf__partition *partition, struct kf_batch *batch)
{
    if (batch->header.last_offset < kf__partition_position(partition))
        return KF__END_NONE;
    if (batch->skip)
        return pass_over(partition, batch);
    if (!batch->opened) {
        kf_err err = open_front(partition, batch);
        if (err)
            return broken(partition, err);
    }
    return partition->route->semantics == KF_AT_MOST_ONCE ? at_most_once(partition, batch)
                                                          : at_least_once(partition, batch);
}

static enum kf__end handle_queue(struct kf__partition *partition)
{
    struct kf_batch *batch;
    kf_time before = kf_now();
    while ((batch = front(partition))) {
        if (atomic_load_explicit(&partition->stop, memory_order_relaxed))
            return KF__END_STOPPED;
        enum kf__end end = handle_front(partition, batch);
        if (end)
            return end;
        finish_front(partition);
        kf_time now = kf_now();
        partition->slow = now - before > SLOW_BATCH * KF_MILLISECOND;
        before = now;
    }
    return KF__END_EMPTY;
}

void kf__handle_run(struct kf__activation *activation)
{
    struct kf__partition *partition = KF__OWNER(activation, struct kf__partition, activation);
    partition->reason[0] = '\0';
    begin_share(partition);
    partition->end = handle_queue(partition);
}

void kf__handle_ended(struct kf__activation *activation)
{
    struct kf__partition *partition = KF__OWNER(activation, struct kf__partition, activation);
    if (partition->end == KF__END_YIELD) {
        kf__sched_ready(activation->sched, activation);
        return;
    }
    kf__loop_post(partition->consumer->loop, &partition->ended);
}

kf_verdict kf_fail(const kf_message *message, const char *format, ...)
{
    (void)message;
    struct kf__activation *activation = kf__activation_current();
    if (!activation || activation->run != kf__handle_run)
        return KF_FAILED;
    struct kf__partition *partition = KF__OWNER(activation, struct kf__partition, activation);
    va_list args;
    va_start(args, format);
    vsnprintf(partition->reason, sizeof partition->reason, format, args);
    va_end(args);
    return KF_FAILED;
}
