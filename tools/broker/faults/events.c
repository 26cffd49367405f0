#include "tools/broker/faults/events.h"

#include "tools/broker/group/expiry.h"
#include "tools/broker/group/offsets_topic.h"
#include "tools/broker/instrument/journal.h"
#include "tools/broker/log/cleaner.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"

static struct kf__partition *partition_of(const struct kf_broker *broker,
                                          const struct kf__event *event)
{
    return kf__topic_partition(kf__broker_topics_find(&broker->topics, event->name),
                               event->partition);
}

static kf_err set_running(struct kf_broker *broker, int32_t node, bool runs)
{
    kf_err err = KF_OK;
    if (node < 1 || node > broker->topics.node_count)
        return KF_ERR_INVALID_ARGUMENT;
    if (broker->topics.runs[node] == runs)
        return KF_ERR_STATE;
    if (runs)
        err = kf__server_start_node(broker, node);
    else
        kf__server_stop_node(broker, node);
    if (err)
        return err;
    kf__server_own_output(broker); /* an unclean election truncates */
    kf__topics_set_running(&broker->topics, node, runs);
    return KF_OK;
}

static void leader_moved(struct kf_broker *broker, const struct kf__event *event)
{
    kf__internal_leader_moved(broker, kf__broker_topics_find(&broker->topics, event->name),
                              event->partition);
}

static kf_err move_leader(struct kf_broker *broker, const struct kf__event *event)
{
    struct kf__partition *partition = partition_of(broker, event);
    if (!partition)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    kf_err err = kf__topics_move_leader(&broker->topics, partition, event->node);
    if (!err)
        leader_moved(broker, event);
    return err;
}

static kf_err elect(struct kf_broker *broker, const struct kf__event *event)
{
    struct kf__partition *partition = partition_of(broker, event);
    if (!partition)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    kf__server_own_output(broker); /* an unclean election truncates */
    kf_err err = event->number ? kf__elect_unclean(&broker->topics, partition)
                               : kf__elect_preferred(&broker->topics, partition);
    if (!err)
        leader_moved(broker, event);
    return err;
}

static kf_err hold_replica(struct kf_broker *broker, const struct kf__event *event)
{
    struct kf__partition *partition = partition_of(broker, event);
    return partition ? kf__replicas_hold(&broker->topics, partition, event->node,
                                         event->kind == KF__HOLD_REPLICA)
                     : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static kf_err move_coordinator(struct kf_broker *broker, const struct kf__event *event)
{
    return kf__move_coordinator(broker, event->name, event->node);
}

static kf_err create_partitions(struct kf_broker *broker, const struct kf__event *event)
{
    struct kf__topic *topic = kf__broker_topics_find(&broker->topics, event->name);
    return topic ? kf__topics_extend(&broker->topics, topic, (int32_t)event->number)
                 : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static kf_err delete_topic(struct kf_broker *broker, const struct kf__event *event)
{
    struct kf__topic *topic = kf__broker_topics_find(&broker->topics, event->name);
    if (!topic)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    kf__broker_delete(broker, topic);
    return KF_OK;
}

static kf_err delete_records(struct kf_broker *broker, const struct kf__event *event)
{
    struct kf__partition *partition = partition_of(broker, event);
    if (!partition)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    int64_t end = partition->log.end_offset, before = event->number == -1 ? end : event->number;
    if (before < 0 || before > end)
        return KF_ERR_OFFSET_OUT_OF_RANGE;
    kf__server_own_output(broker);
    kf__topics_delete_records(&broker->topics, partition, before);
    return KF_OK;
}

static kf_err clean_topic(struct kf_broker *broker, struct kf__topic *topic)
{
    int64_t now_ms = kf__broker_wall_ms(broker);
    kf_err err = KF_OK;
    for (int32_t p = 0; !err && p < topic->partition_count; p++)
        err = kf__clean(broker, &topic->settings, &topic->partitions[p], now_ms);
    return err;
}

static kf_err clean(struct kf_broker *broker, kf_string name)
{
    struct kf__topic *one = kf__broker_topics_find(&broker->topics, name);
    kf_err err = KF_OK;
    if (name.data && !one)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    kf__server_own_output(broker);
    for (size_t t = 0; !err && t < broker->topics.count; t++)
        if (!one || broker->topics.items[t] == one)
            err = clean_topic(broker, broker->topics.items[t]);
    return err;
}

static void expire_offsets(struct kf_broker *broker)
{
    int64_t minutes = kf__broker_config(broker, "offsets.retention.minutes");
    kf_arena arena;
    kf_arena_init(&arena, broker->alloc, KF__MAX_DECODED_BYTES);
    struct kf__expiry expiry = {.consumers = &broker->consumers,
                                .committed = &broker->committed,
                                .pending = &broker->pending,
                                .now_ms = kf__broker_wall_ms(broker),
                                .retention_ms = minutes * 60 * 1000,
                                .arena = &arena,
                                .context = broker,
                                .forget = kf__offsets_forget};
    kf__offsets_expire(&expiry);
    kf_arena_free(&arena);
}

static void expire_producers(struct kf_broker *broker)
{
    int64_t idle_ms = kf__broker_config(broker, "producer.id.expiration.ms");
    int64_t now_ms = kf__broker_wall_ms(broker);
    for (size_t t = 0; t < broker->topics.count; t++) {
        struct kf__topic *topic = broker->topics.items[t];
        for (int32_t p = 0; p < topic->partition_count; p++)
            kf__producers_expire(&topic->partitions[p].producers, now_ms, idle_ms);
    }
}

kf_err kf__event_do(struct kf_broker *broker, const struct kf__event *event)
{
    broker->changes++;
    kf__server_stir_groups(broker);
    switch (event->kind) {
    case KF__STOP_NODE:
    case KF__START_NODE:
        return set_running(broker, event->node, event->kind == KF__START_NODE);
    case KF__MOVE_LEADER:
        return move_leader(broker, event);
    case KF__ELECT_LEADER:
        return elect(broker, event);
    case KF__HOLD_REPLICA:
    case KF__RELEASE_REPLICA:
        return hold_replica(broker, event);
    case KF__MOVE_COORDINATOR:
        return move_coordinator(broker, event);
    case KF__CREATE_TOPIC:
        return kf__broker_create(broker, event->name, (int32_t)event->number, 0, NULL);
    case KF__CREATE_PARTITIONS:
        return create_partitions(broker, event);
    case KF__DELETE_TOPIC:
        return delete_topic(broker, event);
    case KF__DELETE_RECORDS:
        return delete_records(broker, event);
    case KF__CLOSE_CONNECTIONS:
        kf__server_close_all(broker);
        return KF_OK;
    case KF__PAUSE:
    case KF__RESUME:
        broker->paused = event->kind == KF__PAUSE;
        kf__server_stir_all(&broker->server); /* what came meanwhile */
        return KF_OK;
    case KF__CLEAN:
        return clean(broker, event->name);
    case KF__EXPIRE_OFFSETS:
        expire_offsets(broker);
        return KF_OK;
    case KF__EXPIRE_PRODUCERS:
        expire_producers(broker);
        return KF_OK;
    case KF__NO_EVENT:
        break;
    }
    return KF_OK;
}

void kf__events_run(struct kf_broker *broker, kf_time now)
{
    struct kf__event event;
    do
        while (kf__rules_take_event(&broker->rules, &event))
            kf__journal_event(broker, &event, kf__event_do(broker, &event));
    while (kf__rules_tick(&broker->rules, now));
}
