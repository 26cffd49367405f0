/*
 * producer_partition: which partition a record goes to: the one it names, the
 * caller's own partitioner's, its key's, or the topic's sticky one.
 *
 *   record.partition ──▶ custom ──▶ key (partitioner.h) ──▶ sticky (sticky.h)
 *
 * On the producing thread, under the producer's lock. What it needs to know
 * of a topic is looked up only when the sticky partition moves, which is once
 * a batch.
 */
#include "runtime/producer/producer_inside.h"

/* Its first batch has waited for partitioner.availability.timeout.ms: its broker takes nothing. */
static bool is_stuck(const struct kf_producer *producer, const struct kf__out_partition *partition,
                     kf_time now)
{
    const struct kf__settings *settings = &producer->io.settings;
    int64_t wait = settings->partitioner_availability_timeout_ms;
    return wait > 0 && partition->first &&
           now - partition->first_since > (wait + settings->linger_ms) * KF_MILLISECOND;
}

static void move(struct kf_producer *producer, struct kf__out_topic *topic, uint64_t random)
{
    const struct kf__settings *settings = &producer->io.settings;
    kf_time now = settings->partitioner_availability_timeout_ms > 0 ? kf_now() : 0;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct kf__out_partition *partition = topic->partitions[i];
        topic->queues[i] = !topic->available[i] || is_stuck(producer, partition, now) ? -1
                           : settings->partitioner_adaptive ? partition->batches
                                                            : 0;
    }
    struct kf__sticky_view view = {
        .waiting = topic->queues,
        .near = settings->partitioner_rack_aware ? topic->near : NULL,
        .partitions = topic->partition_count,
    };
    kf__sticky_move(&topic->sticky, &view, random);
}

static bool has_room(const struct kf_producer *producer, const struct kf__out_topic *topic,
                     size_t bound)
{
    const struct kf__out_batch *batch = topic->partitions[topic->sticky.partition]->last;
    return batch && !batch->closed &&
           kf__out_batch_size(batch) + bound <= (size_t)producer->io.settings.batch_size;
}

static int32_t anywhere(struct kf_producer *producer, struct kf__out_topic *topic, size_t bound,
                        uint64_t random)
{
    struct kf__sticky *sticky = &topic->sticky;
    bool usable = sticky->partition >= 0 && topic->available[sticky->partition];
    if (!usable || !kf__sticky_stays(sticky, (size_t)producer->io.settings.batch_size,
                                     has_room(producer, topic, bound)))
        move(producer, topic, random);
    sticky->bytes += bound;
    return sticky->partition;
}

static int32_t by_rule(struct kf_producer *producer, struct kf__out_topic *topic,
                       const kf_record *record, size_t bound)
{
    const struct kf__settings *settings = &producer->io.settings;
    const struct kf__world *world = kf__loop_world(producer->io.loop);
    uint64_t random = world->random(world->context);
    int32_t index =
        settings->partitioner_ignore_keys
            ? -1
            : kf__partition_by(settings->partitioner, record->key, topic->partition_count, random);
    return index >= 0 ? index : anywhere(producer, topic, bound, random);
}

kf_err kf__producer_choose(struct kf_producer *producer, struct kf__out_topic *topic,
                           const kf_record *record, size_t bound, int32_t *index, kf_error *error)
{
    *index = record->partition;
    if (*index < 0 && producer->partitioner)
        *index =
            producer->partitioner(producer->partitioner_context, record, topic->partition_count);
    if (*index < 0)
        *index = by_rule(producer, topic, record, bound);
    if (*index < topic->partition_count)
        return KF_OK;
    return kf_error_set(error, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                        "topic %s has no partition %d: it has %d", topic->name, *index,
                        topic->partition_count);
}
