/*
 * producer_wait: see producer_wait.h; and the public calls that wait: for one
 * record, for many, for all.
 */
#include "runtime/producer/producer_inside.h"

#include "net/loop/thread.h"
#include "runtime/fiber/sched.h"
#include <string.h>

/* ---- waiters ---- */

/* The I/O thread's, under the lock. The timer, once set, holds the waiter. */
static void on_time(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__waiter *waiter = owner;
    pthread_mutex_lock(&waiter->producer->lock);
    bool resume = !waiter->resumed;
    waiter->resumed = true;
    pthread_mutex_unlock(&waiter->producer->lock);
    if (resume)
        kf__sched_resume(waiter->fiber, KF_ERR_TIMED_OUT);
    kf__waiter_release(waiter);
}

static void arm(struct kf__task *task)
{
    struct kf__waiter *waiter = KF__OWNER(task, struct kf__waiter, arm);
    pthread_mutex_lock(&waiter->producer->lock);
    bool over = waiter->resumed;
    if (!over)
        kf__timer_set(waiter->producer->io.loop, &waiter->timer, waiter->deadline);
    pthread_mutex_unlock(&waiter->producer->lock);
    if (over)
        kf__waiter_release(waiter);
}

static struct kf__waiter *create(struct kf_producer *producer)
{
    struct kf__waiter *waiter = kf_alloc_zero(producer->alloc, sizeof *waiter);
    if (!waiter)
        return NULL;
    kf__condition_init(&waiter->changed);
    waiter->producer = producer;
    pthread_mutex_lock(&producer->lock);
    waiter->next_made = producer->waiters;
    producer->waiters = waiter;
    pthread_mutex_unlock(&producer->lock);
    return waiter;
}

struct kf__waiter *kf__waiter_new(struct kf_producer *producer)
{
    pthread_mutex_lock(&producer->lock);
    struct kf__waiter *waiter = producer->free_waiters;
    if (waiter)
        producer->free_waiters = waiter->next_free;
    pthread_mutex_unlock(&producer->lock);
    if (!waiter)
        waiter = create(producer);
    if (!waiter)
        return NULL;
    kf__link_init(&waiter->link);
    waiter->fiber = kf__activation_current();
    waiter->arm.run = arm;
    kf__timer_init(&waiter->timer, on_time, waiter);
    atomic_init(&waiter->holders, 1);
    waiter->woken = waiter->waits = waiter->resumed = waiter->cancelled = false;
    waiter->words = NULL;
    return waiter;
}

void kf__waiter_hold(struct kf__waiter *waiter) { atomic_fetch_add(&waiter->holders, 1); }

void kf__waiter_release(struct kf__waiter *waiter)
{
    if (atomic_fetch_sub(&waiter->holders, 1) > 1)
        return;
    struct kf_producer *producer = waiter->producer;
    kf_free(producer->alloc, waiter->words);
    pthread_mutex_lock(&producer->lock);
    waiter->next_free = producer->free_waiters;
    producer->free_waiters = waiter;
    pthread_mutex_unlock(&producer->lock);
}

void kf__waiters_free(struct kf_producer *producer)
{
    while (producer->waiters) {
        struct kf__waiter *waiter = producer->waiters;
        producer->waiters = waiter->next_made;
        pthread_cond_destroy(&waiter->changed);
        kf_free(producer->alloc, waiter);
    }
}

/* The handler was asked to stop: nobody needs what it waits for. */
static void cancel(void *owner)
{
    struct kf__waiter *waiter = owner;
    pthread_mutex_lock(&waiter->producer->lock);
    bool resume = !waiter->resumed;
    waiter->cancelled |= resume;
    waiter->resumed = true;
    pthread_mutex_unlock(&waiter->producer->lock);
    if (resume)
        kf__sched_resume(waiter->fiber, KF_ERR_CANCELLED);
}

/* A verdict comes by delivery.timeout.ms by itself; only an earlier deadline needs a timer. */
static void suspend(struct kf__waiter *waiter, kf_time deadline)
{
    struct kf_producer *producer = waiter->producer;
    waiter->waits = true;
    if (deadline != KF_FOREVER) {
        waiter->deadline = deadline;
        kf__waiter_hold(waiter);
        kf__loop_post(producer->io.loop, &waiter->arm);
    }
    pthread_mutex_unlock(&producer->lock);
    kf__sched_suspend_for(waiter->fiber, cancel, waiter);
    pthread_mutex_lock(&producer->lock);
}

bool kf__waiter_wait(struct kf__waiter *waiter, kf_time deadline)
{
    if (waiter->woken || deadline <= 0 || kf__producer_must_not_wait(waiter->producer))
        return waiter->woken;
    if (waiter->fiber)
        suspend(waiter, deadline);
    while (!waiter->fiber && !waiter->woken)
        if (!kf__condition_wait(&waiter->changed, &waiter->producer->lock, deadline))
            break;
    return waiter->woken;
}

/* Another thread leaves the timer: it finds the fiber resumed, and only lets go. */
static void disarm(struct kf__waiter *waiter)
{
    if (!kf__io_turns_here(&waiter->producer->io) || !kf__timer_is_set(&waiter->timer))
        return;
    kf__timer_cancel(waiter->producer->io.loop, &waiter->timer);
    atomic_fetch_sub(&waiter->holders, 1); /* who waits still holds it */
}

/* Under the lock. True: `rouse` has to follow. */
static bool mark_woken(struct kf__waiter *waiter)
{
    waiter->woken = true;
    if (!waiter->fiber)
        return true;
    if (!waiter->waits || waiter->resumed)
        return false;
    waiter->resumed = true;
    disarm(waiter);
    return true;
}

static void rouse(struct kf__waiter *waiter)
{
    if (waiter->fiber)
        kf__sched_resume(waiter->fiber, KF_OK);
    else
        pthread_cond_signal(&waiter->changed);
}

void kf__waiter_wake(struct kf__waiter *waiter)
{
    if (mark_woken(waiter))
        rouse(waiter);
}

void kf__waiter_wake_later(struct kf__waiter *waiter, struct kf__link *sleepers)
{
    if (!mark_woken(waiter))
        return;
    kf__waiter_hold(waiter);
    kf__link_append(sleepers, &waiter->link);
}

void kf__waiters_rouse(struct kf__link *sleepers)
{
    while (!kf__link_is_alone(sleepers)) {
        struct kf__waiter *waiter = KF__OWNER(sleepers->next, struct kf__waiter, link);
        kf__link_remove(&waiter->link);
        rouse(waiter);
        kf__waiter_release(waiter);
    }
}

/* The same, leaving the lock first: who wakes up would only wait for it. Held by the caller. */
static void wake_and_unlock(struct kf__waiter *waiter)
{
    bool sleeps = mark_woken(waiter);
    pthread_mutex_unlock(&waiter->producer->lock);
    if (sleeps)
        rouse(waiter);
}

/* ---- one record ---- */

static kf_err check_caller(kf_producer *producer, kf_error *error)
{
    if (!producer)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "no producer was given");
    if (producer->forks != kf__forks())
        return kf_error_set(error, KF_ERR_FORKED, "%s", kf_err_text(KF_ERR_FORKED));
    if (kf__producer_must_not_wait(producer))
        return kf_error_set(error, KF_ERR_STATE, "a delivery callback must not wait");
    return KF_OK;
}

kf_time kf__producer_deadline(const struct kf_producer *producer, kf_time deadline)
{
    if (deadline != KF_MAX_BLOCK)
        return deadline;
    return kf_now() + producer->io.settings.max_block_ms * KF_MILLISECOND;
}

/* A wait that the record's own end cuts short anyway needs no timer. */
static kf_time timer_for(const struct kf_producer *producer, kf_time deadline)
{
    kf_time longest = kf_now() + producer->io.settings.delivery_timeout_ms * KF_MILLISECOND;
    return deadline >= longest ? KF_FOREVER : deadline;
}

static char *copy_words(const kf_allocator *alloc, const char *words)
{
    size_t size = words ? strlen(words) + 1 : 0;
    char *copy = size ? kf_alloc(alloc, size) : NULL;
    return copy ? memcpy(copy, words, size) : NULL;
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct kf__waiter *waiter = context;
    char *words = copy_words(waiter->producer->alloc, delivery->reason);
    pthread_mutex_lock(&waiter->producer->lock);
    waiter->delivery = *delivery;
    waiter->delivery.reason = NULL;
    waiter->words = words;
    wake_and_unlock(waiter);
    kf__waiter_release(waiter);
}

static kf_delivery not_told(const kf_record *record)
{
    return (kf_delivery){
        .err = KF_ERR_TIMED_OUT,
        .fate = KF_FATE_UNKNOWN,
        .partition = record->partition,
        .count = 1,
        .offset = -1,
        .timestamp = -1,
        .topic = record->topic,
    };
}

static kf_err tell_caller(const kf_record *record, const kf_delivery *delivery, const char *words,
                          kf_error *error)
{
    if (delivery->err == KF_ERR_CANCELLED)
        return kf_error_set(error, KF_ERR_CANCELLED,
                            "a record for topic %s is no longer waited for; it may still be stored",
                            record->topic);
    if (delivery->err == KF_ERR_TIMED_OUT && delivery->fate == KF_FATE_UNKNOWN)
        return kf_error_set(error, KF_ERR_TIMED_OUT,
                            "a record for topic %s was not acknowledged in time; it may still be "
                            "stored",
                            record->topic);
    if (delivery->err)
        return kf_error_set(error, delivery->err, "a record was not %s in %s-%d: %s%s%s",
                            delivery->fate == KF_NOT_STORED ? "stored" : "acknowledged",
                            record->topic, delivery->partition, kf_err_text(delivery->err),
                            words ? ": " : "", words ? words : "");
    return KF_OK;
}

/* Taken with KF__BY_CALLER: looked at here, or by who turns the loop already. One that joined a
 * batch which is known to be urgent brought no news. */
static void see_off(struct kf__waiter *waiter, kf_time deadline)
{
    struct kf_producer *producer = waiter->producer;
    bool entered = kf__io_enter(&producer->io);
    if (entered || atomic_load(&producer->news))
        kf__loop_post(producer->io.loop, &producer->task);
    if (!entered)
        return;
    kf__io_turn(&producer->io, &waiter->woken, deadline);
    kf__io_leave(&producer->io);
}

/* Not where interceptors hear of it first, on the callbacks' thread: it wakes nobody in a turn. */
static bool is_told_here(const struct kf__waiter *waiter)
{
    return !waiter->fiber && waiter->producer->interceptors.count == 0;
}

kf_err kf_produce_wait(kf_producer *producer, const kf_record *record, kf_time deadline,
                       kf_delivery *delivery, kf_error *error)
{
    kf_err err = check_caller(producer, error);
    if (!err && !record)
        err = kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "no record was given");
    if (err)
        return err;
    deadline = kf__producer_deadline(producer, deadline);
    struct kf__waiter *waiter = kf__waiter_new(producer);
    if (!waiter)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory to wait for a record");
    kf_delivery told = not_told(record);
    struct kf__receipt receipt = {.delivered = take_verdict, .context = waiter};
    enum kf__haste haste = is_told_here(waiter) ? KF__BY_CALLER : KF__AT_ONCE;
    kf__waiter_hold(waiter);
    err = kf__producer_take(producer, record, receipt, haste, deadline, error);
    kf_time until = err ? 0 : timer_for(producer, deadline);
    if (haste == KF__BY_CALLER)
        see_off(waiter, until);
    if (err) {
        kf__waiter_release(waiter);
        told.err = err;
        told.fate = KF_NOT_STORED;
    } else {
        pthread_mutex_lock(&producer->lock);
        bool woken = kf__waiter_wait(waiter, until);
        if (woken)
            told = waiter->delivery;
        else
            told.err = kf__waiter_error(waiter, KF_ERR_TIMED_OUT);
        pthread_mutex_unlock(&producer->lock);
        err = tell_caller(record, &told, woken ? waiter->words : NULL, error);
    }
    kf__waiter_release(waiter);
    if (delivery)
        *delivery = told;
    return err;
}

/* ---- many records ---- */

/* Lives until the last record is told, though the caller may have gone. */
struct collection {
    struct kf__waiter *waiter;
    const kf_allocator *alloc;
    atomic_size_t missing; /* records not told, and one while they are being taken */
    atomic_size_t holders; /* records not told, and the caller */
    struct slot {
        struct collection *collection;
        kf_delivery delivery;
    } slots[];
};

static void drop(struct collection *collection)
{
    if (atomic_fetch_sub(&collection->holders, 1) > 1)
        return;
    kf__waiter_release(collection->waiter);
    kf_free(collection->alloc, collection);
}

static void count_down(struct collection *collection)
{
    struct kf__waiter *waiter = collection->waiter;
    if (atomic_fetch_sub(&collection->missing, 1) > 1)
        return;
    pthread_mutex_lock(&waiter->producer->lock);
    wake_and_unlock(waiter);
}

static void collect(void *context, const kf_delivery *delivery)
{
    struct slot *slot = context;
    struct collection *collection = slot->collection;
    struct kf__waiter *waiter = collection->waiter;
    pthread_mutex_lock(&waiter->producer->lock);
    slot->delivery = *delivery;
    slot->delivery.reason = NULL;
    pthread_mutex_unlock(&waiter->producer->lock);
    count_down(collection);
    drop(collection);
}

static struct collection *new_collection(struct kf_producer *producer, size_t count)
{
    if (count > (SIZE_MAX - sizeof(struct collection)) / sizeof(struct slot))
        return NULL;
    struct collection *collection =
        kf_alloc(producer->alloc, sizeof *collection + count * sizeof(struct slot));
    if (!collection)
        return NULL;
    collection->waiter = kf__waiter_new(producer);
    if (!collection->waiter) {
        kf_free(producer->alloc, collection);
        return NULL;
    }
    collection->alloc = producer->alloc;
    atomic_init(&collection->missing, count + 1);
    atomic_init(&collection->holders, count + 1);
    return collection;
}

static void take_all(struct kf_producer *producer, struct collection *collection,
                     const kf_record *records, size_t count, kf_time deadline, kf_error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &collection->slots[i];
        slot->collection = collection;
        slot->delivery = not_told(&records[i]);
        kf_error why = KF_ERROR_INIT;
        struct kf__receipt receipt = {.delivered = collect, .context = slot};
        kf_err err = kf__producer_take(producer, &records[i], receipt, KF__OF_MANY, deadline, &why);
        if (!err)
            continue;
        slot->delivery.err = err;
        slot->delivery.fate = KF_NOT_STORED;
        if (error && !error->code)
            *error = why;
        atomic_fetch_sub(&collection->missing, 1);
        atomic_fetch_sub(&collection->holders, 1);
    }
}

/* `late`: what became of those that nobody has told of yet. */
static kf_err hand_out(const struct collection *collection, const kf_record *records, size_t count,
                       kf_err late, kf_delivery *results, kf_error *error)
{
    kf_err first = KF_OK;
    for (size_t i = 0; i < count; i++) {
        const kf_delivery *delivery = &results[i];
        results[i] = collection->slots[i].delivery;
        if (delivery->err == KF_ERR_TIMED_OUT && delivery->fate == KF_FATE_UNKNOWN)
            results[i].err = late;
        if (!delivery->err || first)
            continue;
        first = delivery->err;
        if (!error || !error->code)
            tell_caller(&records[i], delivery, NULL, error);
    }
    return first;
}

kf_err kf_produce_batch(kf_producer *producer, const kf_record *records, size_t count,
                        kf_time deadline, kf_delivery *results, kf_error *error)
{
    kf_err err = check_caller(producer, error);
    if (!err && count && (!records || !results))
        err = kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "no records, or no room for results");
    if (err)
        return err;
    struct collection *collection = new_collection(producer, count);
    if (!collection)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for %zu results", count);
    deadline = kf__producer_deadline(producer, deadline);
    take_all(producer, collection, records, count, deadline, error);
    struct kf__waiter *waiter = collection->waiter;
    pthread_mutex_lock(&producer->lock);
    atomic_store(&producer->flush_to, producer->last_number);
    kf__loop_post(producer->io.loop, &producer->task);
    pthread_mutex_unlock(&producer->lock);
    count_down(collection);
    pthread_mutex_lock(&producer->lock);
    (void)kf__waiter_wait(waiter, timer_for(producer, deadline));
    kf_err late = kf__waiter_error(waiter, KF_ERR_TIMED_OUT);
    err = hand_out(collection, records, count, late, results, error);
    pthread_mutex_unlock(&producer->lock);
    drop(collection);
    return err;
}

bool kf__receipt_is_inside(const struct kf__receipt *receipt)
{
    return receipt->delivered == take_verdict || receipt->delivered == collect;
}

/* ---- all records ---- */

static bool has_verdicts(const struct kf_producer *producer, uint64_t number)
{
    if (kf__link_is_alone(&producer->unfinished))
        return true;
    return KF__OWNER(producer->unfinished.next, struct kf__out_batch, unfinished)->number > number;
}

/* Their verdicts first; then what stood before the callbacks' thread at that moment is awaited. */
static bool is_flushed(const struct kf_producer *producer, struct kf__waiter *waiter)
{
    if (!waiter->has_verdicts && has_verdicts(producer, waiter->number)) {
        waiter->has_verdicts = true;
        waiter->number = producer->handed_over;
    }
    return waiter->has_verdicts && producer->told >= waiter->number;
}

kf_err kf_flush(kf_producer *producer, kf_time deadline)
{
    kf_err err = check_caller(producer, NULL);
    if (err)
        return err;
    deadline = kf__producer_deadline(producer, deadline);
    struct kf__waiter *waiter = kf__waiter_new(producer);
    if (!waiter)
        return KF_ERR_NO_MEMORY;
    pthread_mutex_lock(&producer->lock);
    uint64_t last = waiter->number = producer->last_number;
    waiter->has_verdicts = false;
    if (!is_flushed(producer, waiter)) {
        atomic_store(&producer->flush_to, last);
        kf__link_append(&producer->for_flush, &waiter->link);
        kf__loop_post(producer->io.loop, &producer->task);
        (void)kf__waiter_wait(waiter, deadline);
        kf__link_remove(&waiter->link);
        err = is_flushed(producer, waiter) ? KF_OK : kf__waiter_error(waiter, KF_ERR_TIMED_OUT);
    }
    pthread_mutex_unlock(&producer->lock);
    kf__waiter_release(waiter);
    return err;
}

void kf__producer_wake_flushes(struct kf_producer *producer)
{
    struct kf__link *at = producer->for_flush.next;
    while (at != &producer->for_flush) {
        struct kf__link *next = at->next;
        struct kf__waiter *waiter = KF__OWNER(at, struct kf__waiter, link);
        if (is_flushed(producer, waiter)) {
            kf__link_remove(at);
            kf__waiter_wake(waiter);
        }
        at = next;
    }
}
