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
    size_t credit;   /* bytes of memory promised to it, that it has not used */
    size_t promised; /* all of them */
    size_t need;     /* bytes that it waits for: */
    size_t bytes;    /* for a batch of so many, */
    size_t receipts; /* and so many of receipts */
    kf_time deadline;
    enum kf__haste haste;
    bool inside;                /* its receipt is one of ours */
    kf_release release;         /* its value stands apart; NULL: it is copied */
    struct kf__out_batch *full; /* closed by it: to be sealed */
    bool news;
    kf_time news_by; /* -1: nothing said yet */
    uint64_t number; /* of the batch that it opened; 0: none */
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

/* The least that a batch with this record alone takes; `apart` bytes of it are not copied. */
static size_t alone(const struct kf__out_memory *memory, size_t bound, size_t apart)
{
    return kf__out_memory_block(memory, sizeof(struct kf__out_batch)) +
           kf__out_memory_block(memory, KF__BATCH_HEADER_BYTES + bound - apart) + apart +
           kf__out_memory_block(memory, sizeof(struct kf__receipt));
}

static size_t bytes_apart(const struct taking *taking)
{
    return taking->release ? taking->record->value.size : 0;
}

static kf_err check_size(const struct kf_producer *producer, size_t bound, size_t apart,
                         kf_error *error)
{
    const struct kf__settings *settings = &producer->io.settings;
    if (bound <= producer->largest_record)
        return KF_OK;
    if (bound > (size_t)settings->max_request_size - KF__BATCH_HEADER_BYTES ||
        settings->max_request_size < KF__BATCH_HEADER_BYTES)
        return kf_error_set(error, KF_ERR_MESSAGE_TOO_LARGE,
                            "a record of %zu bytes is larger than max.request.size=%d", bound,
                            settings->max_request_size);
    if (alone(&producer->memory, bound, apart) > producer->memory.cap)
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
    if (!kf__producer_must_not_wait(producer)) /* a close may wait for the callback that asks */
        kf__io_ask(&producer->io, &trouble.ask);
    if (trouble.error.code)
        return kf_error_set(error, KF_ERR_NO_BROKER, "no metadata of topic %s: %s", topic,
                            trouble.error.text);
    return kf_error_set(error, KF_ERR_NO_BROKER, "no metadata of topic %s came in time", topic);
}

/* Whether the topic has more than `index` partitions. */
static bool has_partition(const struct kf__out_topic *topic, int32_t index)
{
    const struct kf__out_partitions *partitions =
        atomic_load_explicit(&topic->partitions, memory_order_acquire);
    return partitions && partitions->count > index;
}

/* Until the next metadata; KF_ERR_TIMED_OUT when the deadline has passed, KF_ERR_CANCELLED. */
static kf_err wait_for_metadata(struct taking *taking, struct kf__out_topic *topic, int32_t index)
{
    struct kf_producer *producer = taking->producer;
    struct kf__waiter *waiter = kf__waiter_new(producer);
    if (!waiter)
        return KF_ERR_NO_MEMORY;
    kf_err err = KF_OK;
    pthread_mutex_lock(&producer->lock);
    if (!has_partition(topic, index)) {
        kf__link_append(&producer->for_topics, &waiter->link);
        if (topic->waiting++ == 0 || topic->waiting_for < index)
            topic->waiting_for = index;
        producer->partitions_wanted |= has_partition(topic, 0);
        kf__loop_post(producer->io.loop, &producer->task);
        if (!kf__waiter_wait(waiter, taking->deadline))
            err = kf__waiter_error(waiter, KF_ERR_TIMED_OUT);
        topic->waiting--;
        kf__link_remove(&waiter->link);
    }
    pthread_mutex_unlock(&producer->lock);
    kf__waiter_release(waiter);
    return err;
}

static kf_err error_of(struct kf_producer *producer, const struct kf__out_topic *topic)
{
    pthread_mutex_lock(&producer->lock);
    kf_err err = topic->error;
    pthread_mutex_unlock(&producer->lock);
    return err;
}

static kf_err tell_no_partition(const struct taking *taking, const struct kf__out_topic *topic)
{
    return kf_error_set(taking->error, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                        "topic %s has no partition %d: it has %d", topic->name,
                        taking->record->partition, atomic_load(&topic->partitions)->count);
}

/* Until the topic has more than `index`; partitions may just have been added, as Java's has it. */
static kf_err wait_for_partitions(struct taking *taking, struct kf__out_topic *topic, int32_t index)
{
    struct kf_producer *producer = taking->producer;
    for (;;) {
        kf_err waited = wait_for_metadata(taking, topic, index);
        kf_err err = unusable(producer, taking->error);
        if (err || has_partition(topic, index))
            return err;
        err = error_of(producer, topic);
        if (err && (waited || !kf_err_retriable(err)))
            return kf_error_set(taking->error, err, "nothing can be written to topic %s: %s",
                                topic->name, kf_err_text(err));
        if (waited && waited != KF_ERR_TIMED_OUT)
            return kf_error_set(taking->error, waited, "waiting for metadata of topic %s: %s",
                                topic->name, kf_err_text(waited));
        if (waited && has_partition(topic, 0))
            return tell_no_partition(taking, topic);
        if (waited)
            return tell_no_metadata(producer, topic->name, taking->error);
    }
}

static kf_err find_topic(struct taking *taking, struct kf__out_topic **topic)
{
    const char *name = taking->record->topic;
    *topic = kf__producer_topic(taking->producer, name);
    if (!*topic && kf__out_topic_is_too_long(name))
        return kf_error_set(taking->error, KF_ERR_INVALID_TOPIC_EXCEPTION,
                            "a topic's name has at most %d letters", KF__OUT_TOPIC_MAX);
    if (!*topic)
        return kf_error_set(taking->error, KF_ERR_NO_MEMORY, "no memory for topic %s", name);
    int32_t index = taking->record->partition < 0 ? 0 : taking->record->partition;
    if (has_partition(*topic, index))
        return KF_OK;
    if (taking->haste == KF__OF_MANY && has_partition(*topic, 0))
        return tell_no_partition(taking, *topic);
    return wait_for_partitions(taking, *topic, index);
}

/* ---- the batch: under the partition's lock ---- */

/* Where it was closed because it is full, the next one begins with as much memory. */
static void note_full(struct kf__out_partition *partition)
{
    partition->block_hint = (uint32_t)partition->open->block;
    partition->receipt_hint = (uint32_t)partition->open->receipts_block;
}

static void close_open(struct taking *taking, struct kf__out_partition *partition)
{
    struct kf__out_batch *batch = partition->open;
    partition->open = NULL;
    /* Compressed or summed by this thread, once the lock is left. */
    batch->sealing = taking->producer->io.settings.compression_type != KF__COMPRESSION_NONE ||
                     kf__out_batch_size(batch) >= KF__SUMMED_LEAST;
    kf__link_append(&partition->closed, &batch->link);
    taking->full = batch->sealing ? batch : NULL;
    taking->news = true;
    taking->news_by = 0;
}

/* From its first record on it counts. */
static void begin(struct taking *taking, struct kf__out_partition *partition,
                  struct kf__out_batch *batch)
{
    batch->partition = partition;
    batch->opened = kf_now();
    batch->deadline =
        batch->opened + taking->producer->io.settings.delivery_timeout_ms * KF_MILLISECOND;
    if (atomic_fetch_add_explicit(&partition->batches, 1, memory_order_relaxed) == 0)
        atomic_store_explicit(&partition->first_since, batch->opened, memory_order_relaxed);
}

/*
 * What a new batch is to have, and so what is waited for: as much as the last
 * full one. Were it the least, batches would shrink in a full buffer until
 * each carries one record, and no answer makes room for more.
 */
static void want_batch(struct taking *taking, const struct kf__out_partition *partition)
{
    enum {
        SHARE = 8, /* of the cap: a batch waits for no more */
    };
    const struct kf__out_memory *memory = &taking->producer->memory;
    size_t least = KF__BATCH_HEADER_BYTES + taking->bound;
    size_t most = memory->cap / SHARE;
    taking->bytes = partition->block_hint < most ? partition->block_hint : most;
    taking->receipts = partition->receipt_hint < most ? partition->receipt_hint : most;
    if (taking->bytes < least)
        taking->bytes = least;
    if (taking->receipts < sizeof(struct kf__receipt))
        taking->receipts = sizeof(struct kf__receipt);
    taking->need = kf__out_memory_block(memory, sizeof(struct kf__out_batch)) +
                   kf__out_memory_block(memory, taking->bytes) +
                   kf__out_memory_block(memory, taking->receipts);
    bool may_wait = taking->deadline > 0 && !kf__producer_must_not_wait(taking->producer);
    if (taking->need <= memory->cap && may_wait)
        return;
    taking->bytes = least;
    taking->receipts = 0;
    taking->need = alone(memory, taking->bound, 0);
}

/* Memory for a batch of its own is at hand: waiting again, behind all others, it might starve. */
static bool has_promise(const struct taking *taking)
{
    return taking->credit && taking->credit == taking->promised;
}

static kf_err begin_batch(struct taking *taking, struct kf__out_partition *partition)
{
    if (!taking->credit) /* else it was promised what it had wanted */
        want_batch(taking, partition);
    struct kf__out_batch *batch;
    kf_err err =
        kf__out_batch_new(&taking->producer->memory, taking->bytes, &taking->credit, &batch);
    if (err)
        return err;
    begin(taking, partition, batch);
    partition->open = batch;
    return KF_OK;
}

/* It has its first record: only now may others know of it, who could not see it go again. */
static void announce(struct taking *taking, struct kf__out_batch *batch)
{
    struct kf_producer *producer = taking->producer;
    pthread_mutex_lock(&producer->lock);
    batch->number = taking->number = ++producer->last_number;
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

/* Where all receipts are ours there may be no thread for callbacks, and the quick way starts none:
 * until there is one, all that joins such a batch comes by here. */
static void count_inside(const struct taking *taking, struct kf__out_batch *batch)
{
    batch->inside += taking->inside;
    if (batch->inside &&
        !atomic_load_explicit(&taking->producer->teller_runs, memory_order_relaxed))
        batch->limit = 0;
}

static kf_err put(struct taking *taking, struct kf__out_partition *partition)
{
    struct kf__out_batch *batch = partition->open;
    if (batch && !fits(taking, batch)) {
        note_full(partition);
        close_open(taking, partition);
    }
    kf_err err = partition->open ? KF_OK : begin_batch(taking, partition);
    if (err)
        return err;
    batch = partition->open;
    err = kf__out_batch_reserve(batch, taking->bound, taking->receipt.delivered != NULL,
                                taking->credit ? taking->receipts : partition->receipt_hint,
                                (size_t)taking->producer->io.settings.batch_size, &taking->credit,
                                &taking->need);
    if (!err)
        err = kf__out_batch_add(batch, taking->record,
                                kf__out_timestamp(taking->producer, taking->record, batch),
                                taking->receipt);
    if (err && !batch->count)
        drop_empty(partition);
    if (err == KF_ERR_BUFFER_FULL) { /* a new one, then */
        if (partition->open)
            close_open(taking, partition);
        if (!has_promise(taking))
            want_batch(taking, partition);
    }
    if (!err)
        count_inside(taking, batch);
    if (!err && batch->count == 1)
        announce(taking, batch);
    if (!err && (taking->haste == KF__AT_ONCE || taking->haste == KF__BY_CALLER) &&
        !batch->urgent) {
        batch->urgent = true;
        taking->news = true;
        taking->news_by = 0;
    }
    return err;
}

/* ---- a value that stands apart: a batch of its own ---- */

static kf_err new_apart(struct taking *taking, struct kf__out_batch **batch)
{
    struct kf__out_memory *memory = &taking->producer->memory;
    size_t apart = bytes_apart(taking);
    size_t inside = taking->bound - apart;
    size_t need;
    taking->need = alone(memory, taking->bound, apart);
    kf_err err = kf__out_memory_count(memory, apart, &taking->credit);
    if (err)
        return err;
    err = kf__out_batch_new(memory, KF__BATCH_HEADER_BYTES + inside, &taking->credit, batch);
    if (err) {
        kf__out_memory_discount(memory, apart);
        return err;
    }
    (*batch)->apart = taking->record->value;
    err = kf__out_batch_reserve(*batch, inside, taking->receipt.delivered != NULL, 0, SIZE_MAX,
                                &taking->credit, &need);
    if (!err)
        err = kf__out_batch_add_apart(*batch, taking->record,
                                      kf__out_timestamp(taking->producer, taking->record, *batch),
                                      taking->receipt);
    if (err)
        kf__out_batch_free(*batch);
    return err;
}

static kf_err put_apart(struct taking *taking, struct kf__out_partition *partition)
{
    struct kf__out_batch *batch;
    if (partition->open)
        close_open(taking, partition);
    kf_err err = new_apart(taking, &batch);
    if (err)
        return err;
    batch->inside = taking->inside;
    batch->release = taking->release;
    batch->release_context = taking->receipt.context;
    begin(taking, partition, batch);
    kf__link_append(&partition->closed, &batch->link);
    announce(taking, batch);
    taking->news_by = 0;
    return KF_OK;
}

/* ---- taking a record ---- */

static void tell_io(struct taking *taking, struct kf__out_partition *partition)
{
    struct kf_producer *producer = taking->producer;
    if (taking->full)
        kf__producer_seal(producer, taking->full);
    if (taking->news)
        kf__producer_news(producer, partition, taking->number,
                          taking->haste == KF__BY_CALLER ? KF_FOREVER : taking->news_by);
    taking->full = NULL;
    taking->news = false;
    taking->news_by = -1;
    taking->number = 0;
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
    kf__out_memory_waive(memory, taking->credit);
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
    bool cancelled = waiter->cancelled;
    if (served) {
        taking->credit = taking->promised = taking->need;
    } else {
        kf__link_remove(&waiter->link);
        atomic_fetch_sub(&memory->waiting, 1);
        kf__out_memory_serve(memory);
    }
    pthread_mutex_unlock(&producer->lock);
    kf__waiter_release(waiter);
    if (cancelled && !served)
        return kf_error_set(taking->error, KF_ERR_CANCELLED, "waiting for room: %s",
                            kf_err_text(KF_ERR_CANCELLED));
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
        kf_err full = taking->release ? put_apart(taking, partition) : put(taking, partition);
        kf__brief_unlock(&partition->lock);
        if (taking->news)
            tell_io(taking, partition);
        if (!full)
            return KF_OK;
        if (full == KF_ERR_BUFFER_FULL)
            err = has_promise(taking) ? KF_OK : wait_for_memory(taking);
        else
            err = kf_error_set(taking->error, full, "%s", kf_err_text(full));
    }
    return err;
}

/* What runs on the callbacks' thread: it is there before the first of it may be due. */
static kf_err prepare_callbacks(struct taking *taking)
{
    bool wanted = (taking->receipt.delivered && !taking->inside) || taking->release ||
                  taking->producer->on_batch;
    return wanted ? kf__producer_want_teller(taking->producer, taking->error) : KF_OK;
}

static kf_err take_checked(struct kf_producer *producer, const kf_record *record,
                           struct kf__receipt receipt, kf_release release, enum kf__haste haste,
                           kf_time deadline, kf_error *error)
{
    struct taking taking = {
        .producer = producer,
        .record = record,
        .receipt = receipt,
        .deadline = deadline,
        .haste = haste,
        .inside = kf__receipt_is_inside(&receipt),
        .release = release,
        .news_by = -1,
        .error = error,
    };
    kf_err err = check_shape(record, error);
    if (!err) {
        taking.bound = kf__record_bound(record);
        err = check_size(producer, taking.bound, bytes_apart(&taking), error);
    }
    if (!err)
        err = prepare_callbacks(&taking);
    if (!err)
        err = take(&taking);
    if (taking.credit)
        kf__out_memory_waive(&producer->memory, taking.credit);
    return err;
}

static kf_err take_intercepted(struct kf_producer *producer, const kf_record *record,
                               struct kf__receipt receipt, enum kf__haste haste, kf_time deadline,
                               kf_error *error)
{
    struct kf_sending sending;
    kf_err err =
        kf__sending_begin(&sending, &producer->interceptors, producer->alloc, record, &receipt);
    if (err) {
        kf_error_set(error, err, "no memory for the interceptors of a record");
    } else {
        err = take_checked(producer, &sending.record, receipt, NULL, haste, deadline, error);
        if (err)
            kf__sending_refused(receipt, err);
    }
    kf__sending_end(&sending);
    return err;
}

kf_err kf__producer_take(struct kf_producer *producer, const kf_record *record,
                         struct kf__receipt receipt, enum kf__haste haste, kf_time deadline,
                         kf_error *error)
{
    if (producer->interceptors.count == 0)
        return take_checked(producer, record, receipt, NULL, haste, deadline, error);
    return take_intercepted(producer, record, receipt, haste, deadline, error);
}

/* ---- kf_produce_take ---- */

/* A batch of its own costs more than to copy so many bytes. */
static bool stands_apart(const struct kf_producer *producer, kf_bytes value)
{
    enum {
        MOST = 64 * 1024,
        LEAST = 1024, /* the writer keeps what is much smaller as its own bytes */
    };
    const struct kf__settings *settings = &producer->io.settings;
    int64_t enough = settings->batch_size < MOST ? settings->batch_size : MOST;
    return value.data && settings->compression_type == KF__COMPRESSION_NONE &&
           producer->interceptors.count == 0 && value.size >= LEAST && value.size >= (size_t)enough;
}

kf_err kf_produce_take(kf_producer *producer, const kf_record *record, kf_release release,
                       kf_delivered delivered, void *context, kf_time deadline, kf_error *error)
{
    if (!producer || !record || !release)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "a value to be taken over needs a producer and a release");
    if (producer->forks != kf__forks())
        return kf_error_set(error, KF_ERR_FORKED, "%s", kf_err_text(KF_ERR_FORKED));
    struct kf__receipt receipt = {.delivered = delivered, .context = context};
    kf_bytes value = record->value;
    deadline = kf__producer_deadline(producer, deadline);
    if (stands_apart(producer, value))
        return take_checked(producer, record, receipt, release, KF__LINGERS, deadline, error);
    kf_err err = kf__producer_take(producer, record, receipt, KF__LINGERS, deadline, error);
    if (!err)
        release(context, value);
    return err;
}
