/*
 * producer_queue: records into batches, on the producing thread: topic,
 * partition, memory, open batch. What has to wait here (for metadata, for
 * memory) waits on one condition and then looks at everything anew.
 */
#include "runtime/producer/producer_inside.h"

#include <string.h>

/* ---- topics ---- */

static size_t chain_of(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash % KF__OUT_TOPIC_CHAINS;
}

static struct kf__out_topic *new_topic(const kf_allocator *alloc, const char *name)
{
    struct kf__out_topic *topic = kf_alloc_zero(alloc, sizeof *topic);
    size_t size = strlen(name) + 1;
    char *copy = topic ? kf_alloc(alloc, size) : NULL;
    if (!copy) {
        kf_free(alloc, topic);
        return NULL;
    }
    memcpy(copy, name, size);
    topic->name = copy;
    topic->cluster_index = -1;
    topic->sticky.partition = -1;
    return topic;
}

static struct kf__out_topic *find_topic(struct kf_producer *producer, const char *name)
{
    struct kf__out_topic **chain = &producer->topics[chain_of(name)];
    for (struct kf__out_topic *topic = *chain; topic; topic = topic->next)
        if (strcmp(topic->name, name) == 0)
            return topic;
    struct kf__out_topic *topic = new_topic(producer->alloc, name);
    if (!topic)
        return NULL;
    topic->next = *chain;
    *chain = topic;
    topic->next_added = producer->added;
    producer->added = topic;
    return topic;
}

static struct kf__out_partition *new_partition(const kf_allocator *alloc,
                                               struct kf__out_topic *topic, int32_t index)
{
    struct kf__out_partition *partition = kf_alloc_zero(alloc, sizeof *partition);
    if (!partition)
        return NULL;
    kf__link_init(&partition->active);
    partition->topic = topic;
    partition->index = index;
    return partition;
}

kf_err kf__out_topic_grow(const kf_allocator *alloc, struct kf__out_topic *topic, int32_t count)
{
    struct kf__out_partition **partitions =
        kf_realloc(alloc, topic->partitions, (size_t)count * sizeof(struct kf__out_partition *));
    if (!partitions)
        return KF_ERR_NO_MEMORY;
    topic->partitions = partitions;
    bool *available = kf_realloc(alloc, topic->available, (size_t)count * sizeof *available);
    if (!available)
        return KF_ERR_NO_MEMORY;
    topic->available = available;
    bool *near = kf_realloc(alloc, topic->near, (size_t)count * sizeof *near);
    if (!near)
        return KF_ERR_NO_MEMORY;
    topic->near = near;
    int32_t *queues = kf_realloc(alloc, topic->queues, (size_t)count * sizeof *queues);
    if (!queues)
        return KF_ERR_NO_MEMORY;
    topic->queues = queues;
    while (topic->partition_count < count) {
        int32_t index = topic->partition_count;
        partitions[index] = new_partition(alloc, topic, index);
        if (!partitions[index])
            return KF_ERR_NO_MEMORY;
        available[index] = near[index] = false;
        topic->partition_count++;
    }
    return KF_OK;
}

static void free_topic(const kf_allocator *alloc, struct kf__out_topic *topic)
{
    for (int32_t i = 0; i < topic->partition_count; i++)
        kf_free(alloc, topic->partitions[i]);
    kf_free(alloc, topic->partitions);
    kf_free(alloc, topic->available);
    kf_free(alloc, topic->near);
    kf_free(alloc, topic->queues);
    kf_free(alloc, topic->name);
    kf_free(alloc, topic);
}

void kf__producer_free_topics(struct kf_producer *producer)
{
    for (size_t i = 0; i < KF__OUT_TOPIC_CHAINS; i++) {
        struct kf__out_topic *topic = producer->topics[i];
        while (topic) {
            struct kf__out_topic *next = topic->next;
            free_topic(producer->alloc, topic);
            topic = next;
        }
        producer->topics[i] = NULL;
    }
}

/* ---- waiting ---- */

static kf_err unusable(const struct kf_producer *producer, kf_error *error)
{
    if (producer->closing)
        return kf_error_set(error, KF_ERR_CLOSED, "the producer is closed");
    if (producer->fatal.code)
        return kf_error_set(error, producer->fatal.code, "%s", producer->fatal.text);
    return KF_OK;
}

/* False when the deadline has passed; the I/O thread itself must never wait. */
static bool wait_for_change(struct kf_producer *producer, kf_time deadline)
{
    if (pthread_equal(pthread_self(), producer->io.thread))
        return false;
    return kf__condition_wait(&producer->changed, &producer->lock, deadline);
}

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

/* Without the lock: why no metadata has come. */
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

/* Under the lock, which is left for a moment where nothing is known. */
static kf_err tell_unknown(struct kf_producer *producer, const struct kf__out_topic *topic,
                           kf_error *error)
{
    if (topic->error)
        return kf_error_set(error, topic->error, "nothing can be written to topic %s: %s",
                            topic->name, kf_err_text(topic->error));
    pthread_mutex_unlock(&producer->lock);
    kf_err err = tell_no_metadata(producer, topic->name, error);
    pthread_mutex_lock(&producer->lock);
    return err;
}

static kf_err wait_for_partitions(struct kf_producer *producer, struct kf__out_topic *topic,
                                  kf_time deadline, kf_error *error)
{
    kf_err err = KF_OK;
    topic->waiting++;
    while (!err && topic->partition_count == 0) {
        kf__loop_post(producer->io.loop, &producer->task);
        bool final = topic->error && !kf_err_retriable(topic->error);
        if (final || !wait_for_change(producer, deadline))
            err = topic->partition_count ? KF_OK : tell_unknown(producer, topic, error);
        else
            err = unusable(producer, error);
    }
    topic->waiting--;
    return err;
}

/* ---- partition and batch ---- */

/* The open batch, where the record still fits into it. */
static struct kf__out_batch *open_batch(struct kf_producer *producer,
                                        struct kf__out_partition *partition, size_t bound)
{
    struct kf__out_batch *batch = partition->last;
    if (!batch || batch->closed)
        return NULL;
    if (kf__out_batch_size(batch) + bound <= (size_t)producer->io.settings.batch_size)
        return batch;
    batch->closed = true;
    kf__loop_post(producer->io.loop, &producer->task);
    return NULL;
}

static void append(struct kf_producer *producer, struct kf__out_partition *partition,
                   struct kf__out_batch *batch)
{
    kf_time now = kf_now();
    batch->partition = partition;
    batch->number = ++producer->last_number;
    batch->opened = now;
    batch->deadline = now + producer->io.settings.delivery_timeout_ms * KF_MILLISECOND;
    if (partition->last) {
        partition->last->next = batch;
    } else {
        partition->first = batch;
        partition->first_since = now;
    }
    partition->last = batch;
    partition->batches++;
    kf__link_append(&producer->unfinished, &batch->unfinished);
    if (kf__link_is_alone(&partition->active))
        kf__link_append(&producer->active, &partition->active);
}

void kf__out_partition_pop(struct kf__out_partition *partition)
{
    struct kf__out_batch *batch = partition->first;
    partition->first = batch->next;
    partition->first_since = kf_now();
    partition->batches--;
    batch->next = NULL;
    if (!partition->first) {
        partition->last = NULL;
        kf__link_remove(&partition->active);
    }
}

static kf_err begin_batch(struct kf_producer *producer, struct kf__out_partition *partition,
                          const kf_record *record, int64_t timestamp, struct kf__receipt receipt,
                          struct kf__out_batch **begun)
{
    struct kf__out_batch *batch = kf__out_batch_new(producer->alloc);
    if (!batch)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf__out_batch_add(batch, record, timestamp, receipt);
    if (err) {
        kf__out_batch_free(batch);
        return err;
    }
    append(producer, partition, batch);
    *begun = batch;
    return KF_OK;
}

static kf_err put(struct kf_producer *producer, struct kf__out_partition *partition,
                  struct kf__out_batch *batch, const kf_record *record, struct kf__receipt receipt,
                  bool urgent)
{
    const struct kf__world *world = kf__loop_world(producer->io.loop);
    int64_t timestamp = record->timestamp == 0                    ? world->wall_ms(world->context)
                        : record->timestamp == KF_TIMESTAMP_EPOCH ? 0
                                                                  : record->timestamp;
    bool is_new = !batch;
    kf_err err = is_new ? begin_batch(producer, partition, record, timestamp, receipt, &batch)
                        : kf__out_batch_add(batch, record, timestamp, receipt);
    if (err)
        return err;
    size_t held = kf__out_batch_memory(batch);
    producer->memory += held - batch->charged;
    batch->charged = held;
    bool hurry = urgent && !batch->urgent;
    batch->urgent |= urgent;
    if ((is_new || hurry) && !partition->in_flight)
        kf__loop_post(producer->io.loop, &producer->task);
    return KF_OK;
}

/* ---- taking a record ---- */

static kf_err wait_for_memory(struct kf_producer *producer, kf_time deadline, kf_error *error)
{
    producer->memory_waiters++;
    kf__loop_post(producer->io.loop, &producer->task); /* nothing lingers now */
    bool woken = wait_for_change(producer, deadline);
    producer->memory_waiters--;
    if (woken)
        return unusable(producer, error);
    return kf_error_set(error, KF_ERR_BUFFER_FULL,
                        "the producer's buffer is full (buffer.memory=%lld): the brokers don't "
                        "take records as fast as they are produced",
                        (long long)producer->io.settings.buffer_memory);
}

static kf_err take(struct kf_producer *producer, const kf_record *record, size_t bound,
                   struct kf__receipt receipt, bool urgent, kf_time deadline, kf_error *error)
{
    kf_err err = unusable(producer, error);
    if (err)
        return err;
    struct kf__out_topic *topic = find_topic(producer, record->topic);
    if (!topic)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for topic %s", record->topic);
    err = wait_for_partitions(producer, topic, deadline, error);
    int32_t index = -1;
    if (!err)
        err = kf__producer_choose(producer, topic, record, bound, &index, error);
    struct kf__out_partition *partition = err ? NULL : topic->partitions[index];
    while (!err) {
        struct kf__out_batch *batch = open_batch(producer, partition, bound);
        size_t more = batch ? kf__out_batch_growth(batch, bound) : kf__out_batch_memory_for(bound);
        if (producer->memory + more <= (size_t)producer->io.settings.buffer_memory) {
            err = put(producer, partition, batch, record, receipt, urgent);
            return err ? kf_error_set(error, err, "%s", kf_err_text(err)) : KF_OK;
        }
        err = wait_for_memory(producer, deadline, error);
    }
    return err;
}

static kf_err check(const struct kf_producer *producer, const kf_record *record, size_t bound,
                    kf_error *error)
{
    const struct kf__settings *settings = &producer->io.settings;
    if (!record->topic || !*record->topic || record->partition < -1 ||
        (record->timestamp < -1 && record->timestamp != KF_TIMESTAMP_EPOCH) ||
        (record->header_count && !record->headers))
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "a record needs a topic, a partition from -1 and a timestamp from -1");
    for (size_t i = 0; i < record->header_count; i++)
        if (!record->headers[i].name.data)
            return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "a header has no name");
    if (bound > (size_t)settings->max_request_size - KF__BATCH_HEADER_BYTES ||
        settings->max_request_size < KF__BATCH_HEADER_BYTES)
        return kf_error_set(error, KF_ERR_MESSAGE_TOO_LARGE,
                            "a record of %zu bytes is larger than max.request.size=%d", bound,
                            settings->max_request_size);
    if (kf__out_batch_memory_for(bound) > (uint64_t)settings->buffer_memory)
        return kf_error_set(error, KF_ERR_MESSAGE_TOO_LARGE,
                            "a record of %zu bytes is larger than buffer.memory=%lld", bound,
                            (long long)settings->buffer_memory);
    return KF_OK;
}

static kf_err take_checked(struct kf_producer *producer, const kf_record *record,
                           struct kf__receipt receipt, bool urgent, kf_time deadline,
                           kf_error *error)
{
    size_t bound = kf__record_bound(record);
    kf_err err = check(producer, record, bound, error);
    if (err)
        return err;
    pthread_mutex_lock(&producer->lock);
    err = take(producer, record, bound, receipt, urgent, deadline, error);
    pthread_mutex_unlock(&producer->lock);
    return err;
}

kf_err kf__producer_take(struct kf_producer *producer, const kf_record *record,
                         struct kf__receipt receipt, bool urgent, kf_time deadline, kf_error *error)
{
    if (producer->interceptors.count == 0)
        return take_checked(producer, record, receipt, urgent, deadline, error);
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
