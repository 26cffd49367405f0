/*
 * producer_settle: on the I/O thread: what becomes of a batch whose request
 * has ended, or whose time is up.
 *
 *   stored ─────────────────────────────────▶ told
 *   too large ──▶ split, or, of one record ─▶ told
 *   some records refused ──▶ those told, the others a new batch
 *   passes, or an order that can be cured ──▶ back into the queue
 *   else, or no time left ──────────────────▶ told: not stored, or unknown
 *
 * A batch whose time is up while a request with it is under way is told at
 * once, as unknown; its bytes stay its own until the request ends.
 */
#include "runtime/producer/producer_inside.h"

#include "net/conn/calls.h"
#include "net/loop/times.h"
#include <kafiber/messages.h>

/* ---- verdicts ---- */

/* Answers that say: nothing of this was written. After any other error it may have been, as where
 * a leader appended it and then lost its office. */
static bool is_definite(kf_err err)
{
    switch (err) {
    case KF_ERR_CORRUPT_MESSAGE:
    case KF_ERR_MESSAGE_TOO_LARGE:
    case KF_ERR_RECORD_LIST_TOO_LARGE:
    case KF_ERR_NOT_ENOUGH_REPLICAS:
    case KF_ERR_INVALID_REQUIRED_ACKS:
    case KF_ERR_TOPIC_AUTHORIZATION_FAILED:
    case KF_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case KF_ERR_INVALID_TIMESTAMP:
    case KF_ERR_UNSUPPORTED_VERSION:
    case KF_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case KF_ERR_POLICY_VIOLATION:
    case KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case KF_ERR_INVALID_PRODUCER_EPOCH:
    case KF_ERR_UNKNOWN_PRODUCER_ID:
    case KF_ERR_UNSUPPORTED_COMPRESSION_TYPE:
    case KF_ERR_INVALID_TOPIC_EXCEPTION:
    case KF_ERR_INVALID_RECORD:
        return true;
    default:
        return false;
    }
}

static kf_delivery delivery_of(const struct kf__out_batch *batch, kf_err err,
                               const struct kf__out_answer *answer)
{
    bool is_out = batch->flying && batch->request->written;
    kf_fate failed = batch->doubt || is_out ? KF_FATE_UNKNOWN : KF_NOT_STORED;
    return (kf_delivery){
        .err = err,
        .fate = err ? failed : KF_STORED,
        .partition = batch->partition->index,
        .count = batch->count,
        .offset = err || !answer ? -1 : answer->base_offset,
        .timestamp = answer ? answer->append_time : -1,
        .topic = batch->partition->topic->name,
        .reason = answer ? answer->reason : NULL,
    };
}

void kf__out_batch_judge(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err,
                         const struct kf__out_answer *answer)
{
    kf_delivery delivery = delivery_of(batch, err, answer);
    kf__out_batch_verdict(producer, batch, &delivery);
}

void kf__out_batch_end(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err,
                       const struct kf__out_answer *answer)
{
    kf__link_remove(&batch->link);
    struct kf__out_partition *partition = batch->partition;
    if (!batch->told)
        kf__out_batch_judge(producer, batch, err, answer);
    atomic_store_explicit(&partition->first_since, kf__loop_now(producer->io.loop),
                          memory_order_relaxed);
    atomic_fetch_sub_explicit(&partition->batches, 1, memory_order_relaxed);
    kf__out_batch_over(producer, batch);
}

/* Its end is told now, but somebody still holds its bytes. */
static void tell_early(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err)
{
    batch->told = true;
    kf__out_batch_judge(producer, batch, err, NULL);
}

/* ---- again ---- */

static void retry(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err, bool moved)
{
    const struct kf__settings *settings = &producer->io.settings;
    const struct kf__world *world = kf__loop_world(producer->io.loop);
    kf_time now = kf__loop_now(producer->io.loop);
    batch->cause = err;
    kf__link_append(kf__out_place_in_order(batch), &batch->link);
    producer->wants_metadata = true;
    int attempts = batch->attempts++;
    if (moved)
        return;
    kf_time wait = kf__back_off(settings->retry_backoff_ms * KF_MILLISECOND,
                                settings->retry_backoff_max_ms * KF_MILLISECOND, attempts,
                                world->random(world->context));
    kf__out_partition_back_off(producer, batch->partition, now + wait);
}

/* ---- the end of a request ---- */

static bool is_sequence_error(kf_err err)
{
    return err == KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER || err == KF_ERR_UNKNOWN_PRODUCER_ID ||
           err == KF_ERR_INVALID_PRODUCER_EPOCH;
}

/* Whether it may be sent again. */
static bool passes(struct kf_producer *producer, struct kf__out_batch *batch,
                   const struct kf__out_answer *answer)
{
    if (batch->told || atomic_load(&producer->failed) ||
        batch->deadline <= kf__loop_now(producer->io.loop) || answer->err == KF_ERR_CLOSED)
        return false;
    if (is_sequence_error(answer->err))
        return kf__out_sequence_cured(batch, answer->err, answer->log_start);
    return kf_err_retriable(answer->err) || answer->err == KF_ERR_NO_MEMORY;
}

/* Refused for its size, or for some of its records: true where the others live on. */
static bool comes_apart(struct kf_producer *producer, struct kf__out_batch *batch,
                        const struct kf__out_answer *answer)
{
    if (batch->told || batch->count < 2 || atomic_load(&producer->failed))
        return false;
    kf_err err = KF_ERR_STATE;
    if (answer->err == KF_ERR_MESSAGE_TOO_LARGE)
        err = kf__out_batch_split(producer, batch);
    else if (answer->row && answer->row->record_errors.count > 0 &&
             answer->row->record_errors.count < batch->count)
        err = kf__out_batch_drop(producer, batch, answer);
    if (err == KF_ERR_NO_MEMORY)
        retry(producer, batch, err, false);
    return err == KF_OK || err == KF_ERR_NO_MEMORY;
}

static void fail(struct kf_producer *producer, struct kf__out_batch *batch,
                 const struct kf__out_answer *answer)
{
    kf__out_sequence_lost(batch);
    bool too_large = answer->err == KF_ERR_MESSAGE_TOO_LARGE && !batch->told;
    if (!too_large || !kf__out_batch_too_large(producer, batch))
        kf__out_batch_end(producer, batch, answer->err, answer);
}

static void settle(struct kf_producer *producer, struct kf__out_batch *batch,
                   const struct kf__out_answer *answer)
{
    if (!answer->err) {
        kf__out_sequence_acked(batch);
        kf__out_batch_end(producer, batch, KF_OK, answer);
        return;
    }
    batch->doubt |= answer->written && !is_definite(answer->err);
    if (passes(producer, batch, answer))
        retry(producer, batch, answer->err, answer->moved);
    else if (!comes_apart(producer, batch, answer))
        fail(producer, batch, answer);
}

void kf__producer_settle(struct kf_producer *producer, struct kf__out_batch *batch,
                         const struct kf__out_answer *answer)
{
    struct kf__out_partition *partition = batch->partition;
    kf__link_remove(&batch->link);
    partition->flying_count--;
    batch->flying = false;
    struct kf__out_answer taken = *answer;
    /* The first answer was lost; where it stands, this one may not say. */
    if (taken.err == KF_ERR_DUPLICATE_SEQUENCE_NUMBER || kf__out_sequence_passed(batch, taken.err))
        taken.err = KF_OK;
    settle(producer, batch, &taken);
    if (!atomic_load(&producer->closing))
        kf__out_partition_place(producer, partition);
}

/* ---- time ---- */

static kf_err last_cause(const struct kf_producer *producer, const struct kf__out_batch *batch)
{
    kf_err why = KF_OK;
    if (batch->cause)
        return batch->cause;
    if (!batch->flying && kf__out_leader(producer, batch->partition, &why) < 0)
        return why;
    return producer->id_error && producer->id_state != KF__ID_READY ? producer->id_error
                                                                    : KF_ERR_TIMED_OUT;
}

static void give_up(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err)
{
    struct kf__out_partition *partition = batch->partition;
    kf__brief_lock(&partition->lock);
    bool open = partition->open == batch;
    kf__brief_unlock(&partition->lock);
    kf__out_partition_gather(partition, open);
    if (batch->flying) {
        tell_early(producer, batch, err);
    } else if (kf__out_batch_is_held(batch)) {
        partition->told_early++;
        tell_early(producer, batch, err);
    } else {
        kf__out_sequence_lost(batch);
        kf__out_batch_end(producer, batch, err, NULL);
    }
}

/* NULL: every record has been told. */
static struct kf__out_batch *oldest_unfinished(struct kf_producer *producer)
{
    pthread_mutex_lock(&producer->lock);
    struct kf__link *at = producer->unfinished.next;
    bool none = at == &producer->unfinished;
    pthread_mutex_unlock(&producer->lock);
    return none ? NULL : KF__OWNER(at, struct kf__out_batch, unfinished);
}

void kf__producer_expire(struct kf_producer *producer)
{
    for (;;) {
        struct kf__out_batch *batch = oldest_unfinished(producer);
        if (!batch)
            return;
        if (batch->deadline > producer->now) {
            if (batch->deadline < producer->next)
                producer->next = batch->deadline;
            return;
        }
        give_up(producer, batch, last_cause(producer, batch));
    }
}

void kf__producer_fail_all(struct kf_producer *producer, kf_err err)
{
    for (;;) {
        struct kf__out_batch *batch = oldest_unfinished(producer);
        if (!batch)
            break;
        give_up(producer, batch, err);
    }
    kf__producer_wake_teller(producer);
}

void kf__producer_take_fatal(void *owner)
{
    struct kf_producer *producer = owner;
    pthread_mutex_lock(&producer->lock);
    producer->fatal = producer->io.fatal_error;
    pthread_mutex_unlock(&producer->lock);
    atomic_store(&producer->failed, true);
    atomic_store(&producer->not_plain, true);
    kf__producer_fail_all(producer, producer->fatal.code);
    kf__producer_wake_topics(producer);
}
