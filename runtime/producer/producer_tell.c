/*
 * producer_tell: verdicts on their way to who asked for them.
 *
 *   verdict ──ours (kf_produce_wait, kf_produce_batch)──▶ woken on the I/O thread
 *      └──────the caller's functions──▶ queue ──▶ the callbacks' thread, batch by batch
 *
 * The caller's functions run on a thread of their own, which is started with
 * the first record that needs it: they may take their time, and brokers are
 * served meanwhile. What crosses is a whole batch, with its receipts; its
 * bytes are given back before. A batch has two sides that may end in any
 * order (one may be told while a broker still has its bytes): whoever is last
 * frees it.
 */
#include "runtime/producer/producer_inside.h"

#include "net/loop/thread.h"
#include <string.h>

/* ---- the thread ---- */

static bool is_callback_thread(const struct kf_producer *producer)
{
    return atomic_load_explicit(&producer->teller_known, memory_order_acquire) &&
           pthread_equal(pthread_self(), producer->teller);
}

bool kf__producer_must_not_wait(const struct kf_producer *producer)
{
    return kf__io_turns_here(&producer->io) || is_callback_thread(producer);
}

/* Without locks. The bytes that were taken over are given back last. */
static void run_callbacks(struct kf_producer *producer, struct kf__out_batch *batch)
{
    if (batch->is_told)
        return;
    batch->is_told = true;
    if (producer->on_batch)
        producer->on_batch(producer->on_batch_context, &batch->verdict);
    kf__out_batch_tell(batch, &batch->verdict, NULL);
}

static void give_back(struct kf__out_batch *batch)
{
    if (batch->release)
        batch->release(batch->release_context, batch->apart);
    kf__out_batch_free(batch);
}

/* Under the lock, which is left meanwhile. */
static void tell_first(struct kf_producer *producer)
{
    struct kf__link *link = producer->to_tell.next;
    struct kf__out_batch *batch = KF__OWNER(link, struct kf__out_batch, unfinished);
    kf__link_remove(link);
    producer->tells = true;
    pthread_mutex_unlock(&producer->lock);
    run_callbacks(producer, batch);
    pthread_mutex_lock(&producer->lock);
    bool over = batch->is_over;
    batch->is_handed_over = over;
    if (over) {
        pthread_mutex_unlock(&producer->lock);
        give_back(batch);
        pthread_mutex_lock(&producer->lock);
    }
    producer->tells = false;
    producer->told++;
    kf__producer_wake_flushes(producer);
}

static void *work(void *argument)
{
    struct kf_producer *producer = argument;
    producer->teller = pthread_self();
    atomic_store_explicit(&producer->teller_known, true, memory_order_release);
    pthread_mutex_lock(&producer->lock);
    for (;;) {
        if (!kf__link_is_alone(&producer->to_tell) && !producer->teller_holds) {
            tell_first(producer);
        } else if (producer->teller_ends && !producer->teller_holds) {
            break;
        } else {
            producer->teller_rests = true;
            pthread_cond_broadcast(&producer->teller_rested);
            pthread_cond_wait(&producer->teller_wanted, &producer->lock);
            producer->teller_rests = false;
        }
    }
    pthread_mutex_unlock(&producer->lock);
    return NULL;
}

static kf_err start(struct kf_producer *producer)
{
    pthread_t thread;
    kf_err err = kf__thread_start(&thread, work, producer);
    if (err)
        return err;
    producer->teller_thread = thread;
    atomic_store(&producer->teller_runs, true);
    return KF_OK;
}

kf_err kf__producer_want_teller(struct kf_producer *producer, kf_error *error)
{
    if (atomic_load_explicit(&producer->teller_runs, memory_order_relaxed))
        return KF_OK;
    pthread_mutex_lock(&producer->lock);
    kf_err err = atomic_load(&producer->teller_runs) ? KF_OK : start(producer);
    pthread_mutex_unlock(&producer->lock);
    return err ? kf_error_set(error, err, "the thread for callbacks could not be started") : KF_OK;
}

void kf__producer_wake_teller(struct kf_producer *producer)
{
    if (!producer->teller_is_due)
        return;
    producer->teller_is_due = false;
    pthread_mutex_lock(&producer->lock);
    bool rests = producer->teller_rests;
    pthread_mutex_unlock(&producer->lock);
    if (rests)
        pthread_cond_signal(&producer->teller_wanted);
}

/* ---- closing ---- */

void kf__producer_hold_teller(struct kf_producer *producer)
{
    if (!atomic_load(&producer->teller_runs))
        return;
    pthread_mutex_lock(&producer->lock);
    producer->teller_holds = true;
    while (producer->tells)
        pthread_cond_wait(&producer->teller_rested, &producer->lock);
    pthread_mutex_unlock(&producer->lock);
}

void kf__producer_end_teller(struct kf_producer *producer)
{
    if (!atomic_load(&producer->teller_runs))
        return;
    pthread_mutex_lock(&producer->lock);
    producer->teller_holds = false;
    producer->teller_ends = true;
    pthread_cond_signal(&producer->teller_wanted);
    pthread_mutex_unlock(&producer->lock);
    pthread_join(producer->teller_thread, NULL);
    atomic_store(&producer->teller_runs, false);
}

/* ---- verdicts: on the I/O thread ---- */

/* Under the lock. */
static void hand_over(struct kf_producer *producer, struct kf__out_batch *batch)
{
    kf__link_append(&producer->to_tell, &batch->unfinished);
    batch->is_handed_over = true;
    producer->handed_over++;
    producer->teller_is_due = true;
}

/* What the broker said, to be kept until the callbacks have run; without memory, not at all. */
static void keep_words(struct kf__out_batch *batch, const char *reason)
{
    if (!reason || batch->verdict.reason)
        return;
    size_t size = strlen(reason) + 1;
    batch->words = kf_alloc(batch->memory->alloc, size);
    if (batch->words)
        memcpy(batch->words, reason, size);
    batch->verdict.reason = batch->words;
}

void kf__out_batch_verdict(struct kf_producer *producer, struct kf__out_batch *batch,
                           const kf_delivery *delivery)
{
    bool others = batch->receipts != NULL;
    if (others && batch->inside)
        others = kf__out_batch_tell(batch, delivery, kf__receipt_is_inside);
    bool wanted = others || producer->on_batch;
    batch->verdict = *delivery;
    batch->verdict.reason = NULL;
    if (wanted)
        keep_words(batch, delivery->reason);
    bool runs = atomic_load(&producer->teller_runs);
    if (wanted && !runs) /* only where on_batch was set behind the first record */
        run_callbacks(producer, batch);
    batch->is_told = !wanted || !runs;
    pthread_mutex_lock(&producer->lock);
    kf__link_remove(&batch->unfinished);
    if (wanted && runs)
        hand_over(producer, batch);
    kf__producer_wake_flushes(producer);
    pthread_mutex_unlock(&producer->lock);
}

void kf__out_batch_over(struct kf_producer *producer, struct kf__out_batch *batch)
{
    kf__out_batch_drop_bytes(batch);
    pthread_mutex_lock(&producer->lock);
    batch->is_over = true;
    bool last = !batch->is_handed_over;
    if (last && batch->release && atomic_load(&producer->teller_runs)) {
        hand_over(producer, batch);
        last = false;
    }
    pthread_mutex_unlock(&producer->lock);
    if (last)
        give_back(batch);
}
