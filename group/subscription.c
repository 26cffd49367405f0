/*
 * subscription: the consumer protocol's bytes ⇄ sorted lists. The rows do the
 * reading; here is the version in front, the grouping by topic, and the sticky
 * assignors' user data, which is not in Kafka's message specification.
 */
#include "group/subscription.h"

#include "group/java_order.h"
#include "group/partitions.h"
#include "proto/bytes/cursor.h"
#include <kafiber/messages.h>
#include <string.h>

/* A topic's partitions, as a run in a sorted list. */
struct run {
    size_t first;
    size_t count;
};

static size_t count_topics(const struct kf__partition_list *list)
{
    size_t topics = 0;
    for (size_t i = 0; i < list->count; i++)
        topics += i == 0 || kf__string_compare(list->items[i].topic, list->items[i - 1].topic);
    return topics;
}

/* Where the next topic's run, which begins at `first`, ends. */
static struct run run_from(const struct kf__partition_list *list, size_t first)
{
    size_t end = first + 1;
    while (end < list->count &&
           !kf__string_compare(list->items[end].topic, list->items[first].topic))
        end++;
    return (struct run){first, end - first};
}

static int32_t *numbers_of(const struct kf__partition_list *list, struct run run, kf_arena *arena)
{
    int32_t *numbers = kf_arena_alloc(arena, run.count * sizeof *numbers);
    for (size_t i = 0; numbers && i < run.count; i++)
        numbers[i] = list->items[run.first + i].partition;
    return numbers;
}

/* Out of memory stays what it is; everything else is the sender's fault. */
static kf_err blame_sender(kf_err err)
{
    return err == KF_OK || err == KF_ERR_NO_MEMORY ? err : KF_ERR_BAD_ASSIGNMENT;
}

static kf_err encode(const kf_schema *schema, int16_t version, const void *message, kf_arena *arena,
                     kf_bytes *bytes)
{
    kf_writer writer;
    kf_writer_init(&writer, arena->alloc);
    const uint8_t head[2] = {(uint8_t)(version >> 8), (uint8_t)version};
    kf_writer_put(&writer, head, sizeof head);
    kf_err err = kf_encode(schema, version, message, &writer);
    uint8_t *copy = err ? NULL : kf_arena_alloc(arena, writer.used);
    if (copy)
        *bytes = (kf_bytes){memcpy(copy, writer.bytes, writer.used), writer.used};
    else if (!err)
        err = KF_ERR_NO_MEMORY;
    kf_writer_free(&writer);
    return err;
}

/* Reads the version in front; one that is newer than `known` becomes `known`. */
static kf_err take_version(struct kf__cursor *in, int16_t known, int16_t *version)
{
    *version = kf__take_i16(in);
    if (in->err || *version < 0)
        return KF_ERR_BAD_ASSIGNMENT;
    if (*version > known)
        *version = known;
    return KF_OK;
}

kf_err kf__subscription_encode(const struct kf__subscription *subscription, int16_t version,
                               kf_arena *arena, kf_bytes *bytes)
{
    const struct kf__partition_list *owned = &subscription->owned;
    struct kf_consumer_protocol_subscription message;
    kf_reset(&kf_schema_of_consumer_protocol_subscription, &message);

    kf_string *topics = kf_arena_alloc(arena, subscription->topic_count * sizeof *topics + 1);
    size_t groups = count_topics(owned);
    message.owned_partitions.items =
        kf_arena_alloc(arena, groups * sizeof *message.owned_partitions.items + 1);
    if (!topics || !message.owned_partitions.items)
        return KF_ERR_NO_MEMORY;
    if (subscription->topic_count)
        memcpy(topics, subscription->topics, subscription->topic_count * sizeof *topics);
    message.topics.items = topics;
    message.topics.count = (int32_t)subscription->topic_count;
    message.user_data = subscription->user_data;
    message.generation_id = subscription->generation;
    message.rack_id = subscription->rack;

    message.owned_partitions.count = version >= 1 ? (int32_t)groups : 0;
    for (size_t i = 0, first = 0; i < groups; i++) {
        struct run run = run_from(owned, first);
        struct kf_consumer_protocol_subscription_topic_partition *group =
            &message.owned_partitions.items[i];
        group->topic = owned->items[first].topic;
        group->partitions.items = numbers_of(owned, run, arena);
        group->partitions.count = (int32_t)run.count;
        if (!group->partitions.items)
            return KF_ERR_NO_MEMORY;
        first += run.count;
    }
    return encode(&kf_schema_of_consumer_protocol_subscription, version, &message, arena, bytes);
}

static kf_err decode_rows(const struct kf__cursor *in, int16_t version, kf_arena *arena,
                          struct kf_consumer_protocol_subscription *message, size_t *used)
{
    return kf_decode_prefix(&kf_schema_of_consumer_protocol_subscription, version, in->at,
                            kf__left(in), arena, message, used);
}

/*
 * Some clients write version 1 without the owned partitions that belong to
 * it; their bytes are a whole version 0.
 */
static kf_err decode_subscription_rows(const struct kf__cursor *in, int16_t version,
                                       kf_arena *arena,
                                       struct kf_consumer_protocol_subscription *message)
{
    size_t used = 0;
    kf_err err = decode_rows(in, version, arena, message, &used);
    if (err == KF_ERR_TRUNCATED && version == 1) {
        err = decode_rows(in, 0, arena, message, &used);
        if (!err && used != kf__left(in))
            err = KF_ERR_BAD_ASSIGNMENT;
    }
    return err;
}

kf_err kf__subscription_decode(kf_bytes bytes, kf_arena *arena,
                               struct kf__subscription *subscription)
{
    *subscription = (struct kf__subscription){.generation = -1};
    struct kf__cursor in = kf__cursor_over(bytes.data, bytes.size);
    struct kf_consumer_protocol_subscription message;
    int16_t version;
    kf_err err = take_version(&in, KF__SUBSCRIPTION_VERSION, &version);
    if (!err)
        err = decode_subscription_rows(&in, version, arena, &message);
    if (err)
        return blame_sender(err);

    subscription->topics = message.topics.items;
    subscription->topic_count = (size_t)message.topics.count;
    subscription->generation = message.generation_id;
    subscription->rack = message.rack_id;
    subscription->user_data = message.user_data;

    struct kf__partition_list *owned = &subscription->owned;
    size_t count = 0;
    for (int32_t i = 0; i < message.owned_partitions.count; i++)
        count += (size_t)message.owned_partitions.items[i].partitions.count;
    owned->items = kf_arena_alloc(arena, count * sizeof *owned->items + 1);
    if (!owned->items)
        return KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < message.owned_partitions.count; i++) {
        const struct kf_consumer_protocol_subscription_topic_partition *group =
            &message.owned_partitions.items[i];
        for (int32_t k = 0; k < group->partitions.count; k++)
            owned->items[owned->count++] =
                (struct kf__topic_partition){group->topic, group->partitions.items[k]};
    }
    kf__partitions_sort(owned);
    return KF_OK;
}

kf_err kf__assignment_encode(const struct kf__partition_list *partitions, int16_t version,
                             kf_arena *arena, kf_bytes *bytes)
{
    struct kf_consumer_protocol_assignment message;
    kf_reset(&kf_schema_of_consumer_protocol_assignment, &message);
    size_t groups = count_topics(partitions);
    message.assigned_partitions.items =
        kf_arena_alloc(arena, groups * sizeof *message.assigned_partitions.items + 1);
    if (!message.assigned_partitions.items)
        return KF_ERR_NO_MEMORY;
    message.assigned_partitions.count = (int32_t)groups;

    for (size_t i = 0, first = 0; i < groups; i++) {
        struct run run = run_from(partitions, first);
        struct kf_consumer_protocol_assignment_topic_partition *group =
            &message.assigned_partitions.items[i];
        group->topic = partitions->items[first].topic;
        group->partitions.items = numbers_of(partitions, run, arena);
        group->partitions.count = (int32_t)run.count;
        if (!group->partitions.items)
            return KF_ERR_NO_MEMORY;
        first += run.count;
    }
    return encode(&kf_schema_of_consumer_protocol_assignment, version, &message, arena, bytes);
}

kf_err kf__assignment_decode(kf_bytes bytes, kf_arena *arena, struct kf__partition_list *partitions)
{
    *partitions = (struct kf__partition_list){0};
    if (bytes.size == 0)
        return KF_OK;
    struct kf__cursor in = kf__cursor_over(bytes.data, bytes.size);
    struct kf_consumer_protocol_assignment message;
    int16_t version;
    size_t used;
    kf_err err = take_version(&in, KF__ASSIGNMENT_VERSION, &version);
    if (!err)
        err = kf_decode_prefix(&kf_schema_of_consumer_protocol_assignment, version, in.at,
                               kf__left(&in), arena, &message, &used);
    if (err)
        return blame_sender(err);

    size_t count = 0;
    for (int32_t i = 0; i < message.assigned_partitions.count; i++)
        count += (size_t)message.assigned_partitions.items[i].partitions.count;
    partitions->items = kf_arena_alloc(arena, count * sizeof *partitions->items + 1);
    if (!partitions->items)
        return KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < message.assigned_partitions.count; i++) {
        const struct kf_consumer_protocol_assignment_topic_partition *group =
            &message.assigned_partitions.items[i];
        for (int32_t k = 0; k < group->partitions.count; k++) {
            if (group->partitions.items[k] < 0)
                return KF_ERR_BAD_ASSIGNMENT;
            partitions->items[partitions->count++] =
                (struct kf__topic_partition){group->topic, group->partitions.items[k]};
        }
    }
    kf__partitions_sort(partitions);
    return KF_OK;
}
