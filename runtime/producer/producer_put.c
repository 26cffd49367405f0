/*
 * producer_put: the way of most records: a known topic, a partition that is
 * named or follows from the key, an open batch with room. One short lock, one
 * copy, no allocation. Whatever needs more is left to producer_queue.c, with
 * nothing done.
 */
#include "runtime/producer/producer_inside.h"

#include <sched.h>
#include <string.h>
#include <time.h>

enum {
    SPINS = 64,
    YIELDS = 64,
    NAP_NS = 20000,
};

/* ---- the lock, when it is taken ---- */

static void pause_for(int times)
{
    if (times < SPINS)
        return;
    if (times < SPINS + YIELDS) {
        sched_yield();
        return;
    }
    struct timespec nap = {.tv_nsec = NAP_NS};
    nanosleep(&nap, NULL);
}

void kf__brief_wait(struct kf__brief *lock)
{
    for (int times = 0;; times++) {
        pause_for(times);
        if (!atomic_load_explicit(&lock->taken, memory_order_relaxed) &&
            !atomic_exchange_explicit(&lock->taken, true, memory_order_acquire))
            return;
    }
}

/* ---- time ---- */

/* The clock as it is, milliseconds. */
static int64_t now_of(const struct kf_producer *producer)
{
    const struct kf__world *world = kf__loop_world(producer->io.loop);
    return world->wall_ms(world->context);
}

/*
 * The clock is asked exactly once a batch; records behind the first take the
 * cheap one, which may be some milliseconds behind, but never goes back.
 */
static inline int64_t timestamp_of(const struct kf_producer *producer, int64_t timestamp,
                                   const struct kf__out_batch *batch)
{
    if (timestamp != 0)
        return timestamp == KF_TIMESTAMP_EPOCH ? 0 : timestamp;
#ifdef CLOCK_REALTIME_COARSE
    struct timespec now;
    if (batch->count && producer->real_clock && !clock_gettime(CLOCK_REALTIME_COARSE, &now)) {
        int64_t coarse = (int64_t)now.tv_sec * 1000 + (int64_t)((uint32_t)now.tv_nsec / 1000000u);
        return coarse < batch->builder.max_timestamp ? batch->builder.max_timestamp : coarse;
    }
#endif
    return now_of(producer);
}

int64_t kf__out_timestamp(const struct kf_producer *producer, const kf_record *record,
                          const struct kf__out_batch *batch)
{
    return timestamp_of(producer, record->timestamp, batch);
}

/* ---- the record ---- */

static inline bool is_plain(const struct kf_producer *producer, const kf_record *record)
{
    return !atomic_load_explicit(&producer->not_plain, memory_order_relaxed) &&
           record->header_count == 0 && record->topic && record->partition >= -1 &&
           (record->timestamp >= -1 || record->timestamp == KF_TIMESTAMP_EPOCH);
}

static struct kf__out_topic *other_topic(struct kf_producer *producer, const char *name)
{
    struct kf__out_topic *topic = kf__producer_topic(producer, name);
    atomic_store_explicit(&producer->last_topic, topic, memory_order_release);
    return topic;
}

/* Mostly the topic written to last; by pointer alone where the name is our own. */
static inline struct kf__out_topic *topic_of(struct kf_producer *producer, const char *name)
{
    struct kf__out_topic *topic = atomic_load_explicit(&producer->last_topic, memory_order_acquire);
    if (topic && (topic->name == name || strcmp(topic->name, name) == 0))
        return topic;
    return other_topic(producer, name);
}

/* NULL: it takes more than a look to say which. */
static inline struct kf__out_partition *partition_of(struct kf_producer *producer,
                                                     const kf_record *record)
{
    struct kf__out_topic *topic = topic_of(producer, record->topic);
    const struct kf__out_partitions *partitions =
        topic ? atomic_load_explicit(&topic->partitions, memory_order_acquire) : NULL;
    if (!partitions || record->partition >= partitions->count)
        return NULL;
    if (record->partition >= 0)
        return partitions->items[record->partition];
    if (!record->key.data || !producer->keys_by_murmur2)
        return NULL;
    return partitions->items[kf__partition_of_key(record->key, partitions->count)];
}

static inline bool put(struct kf_producer *producer, struct kf__out_partition *partition,
                       const kf_record *record, kf_delivered delivered, void *context)
{
    kf__brief_lock(&partition->lock);
    struct kf__out_batch *batch = partition->open;
    bool has_room = batch && kf__out_batch_has_room(batch, record, delivered != NULL);
    if (has_room)
        kf__out_batch_put(batch, record, timestamp_of(producer, record->timestamp, batch),
                          delivered, context);
    kf__brief_unlock(&partition->lock);
    return has_room;
}

kf_err kf_produce(kf_producer *producer, const kf_record *record, kf_delivered delivered,
                  void *context, kf_time deadline, kf_error *error)
{
    if (!producer)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "no producer was given");
    if (producer->forks != kf__forks())
        return kf_error_set(error, KF_ERR_FORKED, "%s", kf_err_text(KF_ERR_FORKED));
    if (is_plain(producer, record)) {
        struct kf__out_partition *partition = partition_of(producer, record);
        if (partition && put(producer, partition, record, delivered, context))
            return KF_OK;
    }
    struct kf__receipt receipt = {.delivered = delivered, .context = context};
    deadline = kf__producer_deadline(producer, deadline);
    return kf__producer_take(producer, record, receipt, KF__LINGERS, deadline, error);
}
