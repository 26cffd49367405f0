/*
 * producer_partition: which partition a record goes to: the one it names, the
 * caller's own partitioner's, its key's, or the topic's sticky one.
 *
 *   record.partition ──▶ custom ──▶ key (partitioner.h) ──▶ sticky (sticky.h)
 *
 * On the producing thread. What it needs to know of a topic is looked up only
 * when the sticky partition moves, which is once a batch.
 */
#include "runtime/producer/producer_inside.h"

/* Its first batch has waited for partitioner.availability.timeout.ms: its broker takes nothing. */
static bool is_stuck(const struct kf_producer *producer, const struct kf__out_partition *partition,
                     kf_time now)
{
    const struct kf__settings *settings = &producer->io.settings;
    int64_t wait = settings->partitioner_availability_timeout_ms;
    return wait > 0 && atomic_load_explicit(&partition->batches, memory_order_relaxed) > 0 &&
           now - atomic_load_explicit(&partition->first_since, memory_order_relaxed) >
               (wait + settings->linger_ms) * KF_MILLISECOND;
}

/* Under the topic's lock, as all that follows down to `anywhere`. */
static void move(struct kf_producer *producer, struct kf__out_topic *topic,
                 const struct kf__out_partitions *partitions, int32_t count)
{
    const struct kf__settings *settings = &producer->io.settings;
    const struct kf__world *world = kf__loop_world(producer->io.loop);
    kf_time now = settings->partitioner_availability_timeout_ms > 0 ? kf_now() : 0;
    for (int32_t i = 0; i < count; i++) {
        const struct kf__out_partition *partition = partitions->items[i];
        int32_t waiting = settings->partitioner_adaptive
                              ? atomic_load_explicit(&partition->batches, memory_order_relaxed)
                              : 0;
        topic->queues[i] =
            !topic->available[i] || is_stuck(producer, partition, now) ? -1 : waiting;
    }
    struct kf__sticky_view view = {
        .waiting = topic->queues,
        .near = settings->partitioner_rack_aware ? topic->near : NULL,
        .partitions = count,
    };
    kf__sticky_move(&topic->sticky, &view, world->random(world->context));
}

static bool has_room(const struct kf_producer *producer, struct kf__out_partition *partition,
                     size_t bound)
{
    kf__brief_lock(&partition->lock);
    const struct kf__out_batch *batch = partition->open;
    bool has =
        batch && kf__out_batch_size(batch) + bound <= (size_t)producer->io.settings.batch_size;
    kf__brief_unlock(&partition->lock);
    return has;
}

static int32_t stay_or_move(struct kf_producer *producer, struct kf__out_topic *topic,
                            const struct kf__out_partitions *partitions, size_t bound)
{
    struct kf__sticky *sticky = &topic->sticky;
    size_t share = (size_t)producer->io.settings.batch_size;
    int32_t count =
        partitions->count < topic->available_count ? partitions->count : topic->available_count;
    bool usable =
        sticky->partition >= 0 && sticky->partition < count && topic->available[sticky->partition];
    bool room = usable && sticky->bytes >= share &&
                has_room(producer, partitions->items[sticky->partition], bound);
    if (!usable || !kf__sticky_stays(sticky, share, room))
        move(producer, topic, partitions, count);
    sticky->bytes += bound;
    return sticky->partition;
}

static int32_t anywhere(struct kf_producer *producer, struct kf__out_topic *topic,
                        const struct kf__out_partitions *partitions, size_t bound)
{
    pthread_mutex_lock(&topic->lock);
    int32_t index = stay_or_move(producer, topic, partitions, bound);
    pthread_mutex_unlock(&topic->lock);
    return index;
}

static int32_t by_key(const struct kf_producer *producer, kf_bytes key, int32_t count)
{
    enum kf__partitioner partitioner = producer->io.settings.partitioner;
    const struct kf__world *world = kf__loop_world(producer->io.loop);
    uint64_t random = partitioner == KF__PARTITIONER_RANDOM ? world->random(world->context) : 0;
    return kf__partition_by(partitioner, key, count, random);
}

kf_err kf__producer_choose(struct kf_producer *producer, struct kf__out_topic *topic,
                           const kf_record *record, size_t bound,
                           struct kf__out_partition **partition, kf_error *error)
{
    const struct kf__out_partitions *partitions =
        atomic_load_explicit(&topic->partitions, memory_order_acquire);
    int32_t index = record->partition;
    if (index < 0 && producer->partitioner)
        index = producer->partitioner(producer->partitioner_context, record, partitions->count);
    if (index < 0 && !producer->io.settings.partitioner_ignore_keys)
        index = by_key(producer, record->key, partitions->count);
    if (index < 0)
        index = anywhere(producer, topic, partitions, bound);
    if (index >= partitions->count)
        return kf_error_set(error, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                            "topic %s has no partition %d: it has %d", topic->name, index,
                            partitions->count);
    *partition = partitions->items[index];
    return KF_OK;
}
