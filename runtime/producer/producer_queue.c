/*
 * producer_queue: records into batches, on the producing thread: topic,
 * partition, room, open batch. In the steady state a record takes its
 * partition's lock and nothing else; what a batch needs (memory, a number, a
 * word to the I/O thread) is paid once a batch. What has to wait here (for
 * metadata, for memory) waits and then looks at everything anew.
 */
#include "runtime/producer/producer_inside.h"

#include <string.h>

/* One record on its way in. */
struct taking {
    struct kf_producer *producer;
    const kf_record *record;
    struct kf__receipt receipt;
    size_t bound;
    size_t credit; /* bytes of memory promised to it */
    size_t need;   /* bytes that it waits for */
    kf_time deadline;
    bool urgent;
    struct kf__out_batch *full; /* closed by it: to be sealed */
    bool news;
    kf_time news_by; /* -1: nothing said yet */
    kf_error *error;
};

/* ---- checks ---- */

static kf_err check_shape(const kf_record *record, kf_error *error)
{
    if (!record->topic || !*record->topic || record->partition < -1 ||
        (record->timestamp < -1 && record->timestamp != KF_TIMESTAMP_EPOCH) ||
        (record->header_count && !record->headers))
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "a record needs a topic, a partition from -1 and a timestamp from -1");
    for (size_t i = 0; i < record->header_count; i++)
        if (!record->headers[i].name.data)
            return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "a header has no name");
    return KF_OK;
}

/* The least that a batch with this record alone takes. */
static size_t alone(const struct kf__out_memory *memory, size_t bound)
{
    return kf__out_memory_block(memory, sizeof(struct kf__out_batch)) +
           kf__out_memory_block(memory, KF__BATCH_HEADER_BYTES + bound) +
           kf__out_memory_block(memory, sizeof(struct kf__receipt));
}

static kf_err check_size(const struct kf_producer *producer, size_t bound, kf_error *error)
{
    const struct kf__settings *settings = &producer->io.settings;
    if (bound <= producer->largest_record)
        return KF_OK;
    if (bound > (size_t)settings->max_request_size - KF__BATCH_HEADER_BYTES ||
        settings->max_request_size < KF__BATCH_HEADER_BYTES)
        return kf_error_set(error, KF_ERR_MESSAGE_TOO_LARGE,
                            "a record of %zu bytes is larger than max.request.size=%d", bound,
                            settings->max_request_size);
    if (alone(&producer->memory, bound) > producer->memory.cap)
        return kf_error_set(error, KF_ERR_MESSAGE_TOO_LARGE,
                            "a record of %zu bytes is larger than buffer.memory=%lld", bound,
                            (long long)settings->buffer_memory);
    return KF_OK;
}

static kf_err unusable(struct kf_producer *producer, kf_error *error)
{
    if (atomic_load_explicit(&producer->closing, memory_order_relaxed))
        return kf_error_set(error, KF_ERR_CLOSED, "the producer is closed");
    if (!atomic_load_explicit(&producer->failed, memory_order_relaxed))
        return KF_OK;
    pthread_mutex_lock(&producer->lock);
    kf_err err = kf_error_set(error, producer->fatal.code, "%s", producer->fatal.text);
    pthread_mutex_unlock(&producer->lock);
    return err;
}

/* ---- metadata ---- */

struct trouble {
    struct kf__ask ask;
    kf_error error;
};

static void copy_trouble(struct kf__ask *ask)
{
    struct trouble *trouble = KF__OWNER(ask, struct trouble, ask);
    trouble->error = ask->io->trouble;
    kf__ask_over(ask, KF_OK);
}

static kf_err tell_no_metadata(struct kf_producer *producer, const char *topic, kf_error *error)
{
    struct trouble trouble = {.ask = {.begin = copy_trouble}, .error = KF_ERROR_INIT};
    if (!pthread_equal(pthread_self(), producer->io.thread))
        kf__io_ask(&producer->io, &trouble.ask);
    if (trouble.error.code)
        return kf_error_set(error, KF_ERR_NO_BROKER, "no metadata of topic %s: %s", topic,
                            trouble.error.text);
    return kf_error_set(error, KF_ERR_NO_BROKER, "no metadata of topic %s came in time", topic);
}

/* Until the next metadata; false when the deadline has passed. */
static bool wait_for_metadata(struct kf_producer *producer, struct kf__out_topic *topic,
                              kf_time deadline)
{
    struct kf__waiter *waiter = kf__waiter_new(producer);
    if (!waiter)
        return false;
    pthread_mutex_lock(&producer->lock);
    bool woken = atomic_load(&topic->partitions) != NULL;
    if (!woken) {
        kf__link_append(&producer->for_topics, &waiter->link);
        topic->waiting++;
        kf__loop_post(producer->io.loop, &producer->task);
        woken = kf__waiter_wait(waiter, deadline);
        topic->waiting--;
        kf__link_remove(&waiter->link);
    }
    pthread_mutex_unlock(&producer->lock);
    kf__waiter_release(waiter);
    return woken;
}

static kf_err error_of(struct kf_producer *producer, const struct kf__out_topic *topic)
{
    pthread_mutex_lock(&producer->lock);
    kf_err err = topic->error;
    pthread_mutex_unlock(&producer->lock);
    return err;
}

static kf_err wait_for_partitions(struct taking *taking, struct kf__out_topic *topic)
{
    struct kf_producer *producer = taking->producer;
    for (;;) {
        bool woken = wait_for_metadata(producer, topic, taking->deadline);
        kf_err err = unusable(producer, taking->error);
        if (err || atomic_load(&topic->partitions))
            return err;
        err = error_of(producer, topic);
        if (err && (!woken || !kf_err_retriable(err)))
            return kf_error_set(taking->error, err, "nothing can be written to topic %s: %s",
                                topic->name, kf_err_text(err));
        if (!woken)
            return tell_no_metadata(producer, topic->name, taking->error);
    }
}

static kf_err find_topic(struct taking *taking, struct kf__out_topic **topic)
{
    const char *name = taking->record->topic;
    *topic = kf__producer_topic(taking->producer, name);
    if (!*topic)
        return kf_error_set(taking->error, KF_ERR_NO_MEMORY, "no memory for topic %s", name);
    if (atomic_load_explicit(&(*topic)->partitions, memory_order_acquire))
        return KF_OK;
    return wait_for_partitions(taking, *topic);
}

/* ---- the batch: under the partition's lock ---- */

static void close_open(struct taking *taking, struct kf__out_partition *partition)
{
    struct kf__out_batch *batch = partition->open;
    partition->block_hint = (uint32_t)batch->block;
    partition->receipt_hint = (uint32_t)batch->receipts_block;
    partition->open = NULL;
    /* Compressed by this thread, once the lock is left. */
    batch->sealing = taking->producer->io.settings.compression_type != KF__COMPRESSION_NONE;
    kf__link_append(&partition->closed, &batch->link);
    taking->full = batch->sealing ? batch : NULL;
    taking->news = true;
    taking->news_by = 0;
}

static kf_err begin_batch(struct taking *taking, struct kf__out_partition *partition)
{
    struct kf_producer *producer = taking->producer;
    size_t least = KF__BATCH_HEADER_BYTES + taking->bound;
    size_t bytes = partition->block_hint;
    if (taking->credit || bytes < least) /* who was promised memory was promised the least */
        bytes = least;
    struct kf__out_batch *batch;
    kf_err err = kf__out_batch_new(&producer->memory, bytes, &taking->credit, &batch);
    if (err == KF_ERR_BUFFER_FULL && bytes > least) /* where memory is short, small batches too */
        err = kf__out_batch_new(&producer->memory, least, &taking->credit, &batch);
    taking->need = alone(&producer->memory, taking->bound);
    if (err)
        return err;
    batch->partition = partition;
    batch->opened = kf_now();
    batch->deadline = batch->opened + producer->io.settings.delivery_timeout_ms * KF_MILLISECOND;
    partition->open = batch;
    if (atomic_fetch_add_explicit(&partition->batches, 1, memory_order_relaxed) == 0)
        atomic_store_explicit(&partition->first_since, batch->opened, memory_order_relaxed);
    return KF_OK;
}

/* It has its first record: only now may others know of it, who could not see it go again. */
static void announce(struct taking *taking, struct kf__out_batch *batch)
{
    struct kf_producer *producer = taking->producer;
    pthread_mutex_lock(&producer->lock);
    batch->number = ++producer->last_number;
    kf__link_append(&producer->unfinished, &batch->unfinished);
    pthread_mutex_unlock(&producer->lock);
    taking->news = true;
    if (taking->news_by < 0)
        taking->news_by = batch->opened + producer->io.settings.linger_ms * KF_MILLISECOND;
}

/* An open batch that could not take its first record is no batch. */
static void drop_empty(struct kf__out_partition *partition)
{
    struct kf__out_batch *batch = partition->open;
    partition->open = NULL;
    atomic_fetch_sub_explicit(&partition->batches, 1, memory_order_relaxed);
    kf__out_batch_free(batch);
}

static bool fits(const struct taking *taking, const struct kf__out_batch *batch)
{
    return kf__out_batch_size(batch) + taking->bound <=
           (size_t)taking->producer->io.settings.batch_size;
}

static kf_err put(struct taking *taking, struct kf__out_partition *partition)
{
    struct kf__out_batch *batch = partition->open;
    if (batch && !fits(taking, batch))
        close_open(taking, partition);
    kf_err err = partition->open ? KF_OK : begin_batch(taking, partition);
    if (err)
        return err;
    batch = partition->open;
    err = kf__out_batch_reserve(batch, taking->bound, taking->receipt.delivered != NULL,
                                taking->credit ? 0 : partition->receipt_hint,
                                (size_t)taking->producer->io.settings.batch_size, &taking->credit,
                                &taking->need);
    if (!err)
        err = kf__out_batch_add(batch, taking->record,
                                kf__out_timestamp(taking->producer, taking->record, batch),
                                taking->receipt);
    if (err && !batch->count)
        drop_empty(partition);
    if (err == KF_ERR_BUFFER_FULL) { /* a new batch needs the least */
        if (partition->open)
            close_open(taking, partition);
        taking->need = alone(&taking->producer->memory, taking->bound);
    }
    if (!err && batch->count == 1)
        announce(taking, batch);
    if (!err && taking->urgent && !batch->urgent) {
        batch->urgent = true;
        taking->news = true;
        taking->news_by = 0;
    }
    return err;
}

/* ---- taking a record ---- */

static void tell_io(struct taking *taking, struct kf__out_partition *partition)
{
    struct kf_producer *producer = taking->producer;
    if (taking->full)
        kf__producer_seal(producer, taking->full);
    if (taking->news)
        kf__producer_news(producer, partition, taking->news_by);
    taking->full = NULL;
    taking->news = false;
    taking->news_by = -1;
}

static kf_err tell_full(const struct taking *taking)
{
    return kf_error_set(taking->error, KF_ERR_BUFFER_FULL,
                        "the producer's buffer is full (buffer.memory=%lld): the brokers don't "
                        "take records as fast as they are produced",
                        (long long)taking->producer->io.settings.buffer_memory);
}

/* Until so many bytes are promised to it. */
static kf_err wait_for_memory(struct taking *taking)
{
    struct kf_producer *producer = taking->producer;
    struct kf__out_memory *memory = &producer->memory;
    kf__out_memory_return(memory, taking->credit);
    taking->credit = 0;
    struct kf__waiter *waiter = kf__waiter_new(producer);
    if (!waiter)
        return kf_error_set(taking->error, KF_ERR_NO_MEMORY, "no memory to wait for memory");
    waiter->need = taking->need;
    pthread_mutex_lock(&producer->lock);
    kf__link_append(&memory->waiters, &waiter->link);
    atomic_fetch_add(&memory->waiting, 1);
    kf__out_memory_serve(memory);
    kf__loop_post(producer->io.loop, &producer->task); /* nothing lingers now */
    bool served = kf__waiter_wait(waiter, taking->deadline);
    if (served) {
        taking->credit = taking->need;
    } else {
        kf__link_remove(&waiter->link);
        atomic_fetch_sub(&memory->waiting, 1);
        kf__out_memory_serve(memory);
    }
    pthread_mutex_unlock(&producer->lock);
    kf__waiter_release(waiter);
    return served ? unusable(producer, taking->error) : tell_full(taking);
}

static kf_err take(struct taking *taking)
{
    struct kf__out_topic *topic = NULL;
    struct kf__out_partition *partition = NULL;
    kf_err err = unusable(taking->producer, taking->error);
    if (!err)
        err = find_topic(taking, &topic);
    if (!err)
        err = kf__producer_choose(taking->producer, topic, taking->record, taking->bound,
                                  &partition, taking->error);
    while (!err) {
        kf__brief_lock(&partition->lock);
        kf_err full = put(taking, partition);
        kf__brief_unlock(&partition->lock);
        if (taking->news)
            tell_io(taking, partition);
        if (!full)
            return KF_OK;
        err = full == KF_ERR_BUFFER_FULL
                  ? wait_for_memory(taking)
                  : kf_error_set(taking->error, full, "%s", kf_err_text(full));
    }
    return err;
}

static kf_err take_checked(struct kf_producer *producer, const kf_record *record,
                           struct kf__receipt receipt, bool urgent, kf_time deadline,
                           kf_error *error)
{
    struct taking taking = {
        .producer = producer,
        .record = record,
        .receipt = receipt,
        .bound = kf__record_bound(record),
        .deadline = deadline,
        .urgent = urgent,
        .news_by = -1,
        .error = error,
    };
    kf_err err = check_shape(record, error);
    if (!err)
        err = check_size(producer, taking.bound, error);
    if (!err)
        err = take(&taking);
    if (taking.credit)
        kf__out_memory_return(&producer->memory, taking.credit);
    return err;
}

static kf_err take_intercepted(struct kf_producer *producer, const kf_record *record,
                               struct kf__receipt receipt, bool urgent, kf_time deadline,
                               kf_error *error)
{
    struct kf_sending sending;
    kf_err err =
        kf__sending_begin(&sending, &producer->interceptors, producer->alloc, record, &receipt);
    if (err) {
        kf_error_set(error, err, "no memory for the interceptors of a record");
    } else {
        err = take_checked(producer, &sending.record, receipt, urgent, deadline, error);
        if (err)
            kf__sending_refused(receipt, err);
    }
    kf__sending_end(&sending);
    return err;
}

kf_err kf__producer_take(struct kf_producer *producer, const kf_record *record,
                         struct kf__receipt receipt, bool urgent, kf_time deadline, kf_error *error)
{
    if (producer->interceptors.count == 0)
        return take_checked(producer, record, receipt, urgent, deadline, error);
    return take_intercepted(producer, record, receipt, urgent, deadline, error);
}
