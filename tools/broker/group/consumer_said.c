#include "tools/broker/group/consumer_said.h"

#include "proto/codec/schema.h"
#include "tools/broker/text.h"

enum {
    MAX_SUBSCRIPTION_BYTES = 64 << 20, /* decoded */
    NEWEST_PROTOCOL = 3,               /* version of the consumer protocol's messages */
};

bool kf__said_version(kf_bytes bytes, int16_t *version)
{
    if (bytes.size < 2)
        return false;
    int16_t said = (int16_t)(bytes.data[0] << 8 | bytes.data[1]);
    *version = said > NEWEST_PROTOCOL ? NEWEST_PROTOCOL : said;
    return said >= 0;
}

void kf__said_close(const struct kf__consumers *consumers, struct kf__said *said)
{
    kf_arena_free(&said->arena);
    kf__holding_free(consumers->alloc, &said->owned);
}

static kf_err add_owned(const struct kf__consumers *consumers, struct kf__holding *owned,
                        kf_string name, const int32_t *partitions, int32_t count, int32_t epoch)
{
    const struct kf__topic *topic = kf__broker_topics_find(consumers->topics, name);
    kf_err err = KF_OK;
    for (int32_t p = 0; p < count && topic && !err; p++)
        err = kf__holding_add(consumers->alloc, owned, topic->id, partitions[p], epoch);
    return err;
}

kf_err kf__said_open(const struct kf__consumers *consumers, kf_bytes metadata,
                     struct kf__said *said)
{
    const kf_schema *schema = &kf_schema_of_consumer_protocol_subscription;
    size_t used = 0;
    *said = (struct kf__said){0};
    kf_arena_init(&said->arena, consumers->alloc, MAX_SUBSCRIPTION_BYTES);
    if (!kf__said_version(metadata, &said->version) ||
        kf_decode_prefix(schema, said->version, metadata.data + 2, metadata.size - 2, &said->arena,
                         &said->subscription, &used))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    kf_err err = KF_OK;
    for (int32_t i = 0; i < said->subscription.owned_partitions.count && !err; i++) {
        const struct kf_consumer_protocol_subscription_topic_partition *one =
            &said->subscription.owned_partitions.items[i];
        err = add_owned(consumers, &said->owned, one->topic, one->partitions.items,
                        one->partitions.count, 0);
    }
    return err;
}

/* ---- assignments ---- */

kf_err kf__said_assignment(const struct kf__consumers *consumers, kf_bytes bytes, int32_t epoch,
                           struct kf__holding *assigned)
{
    struct kf_consumer_protocol_assignment assignment;
    kf_arena arena;
    int16_t version;
    size_t used = 0;
    if (bytes.size == 0)
        return KF_OK;
    if (!kf__said_version(bytes, &version))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    kf_arena_init(&arena, consumers->alloc, MAX_SUBSCRIPTION_BYTES);
    kf_err err = KF_OK;
    if (kf_decode_prefix(&kf_schema_of_consumer_protocol_assignment, version, bytes.data + 2,
                         bytes.size - 2, &arena, &assignment, &used))
        err = KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    else if (assignment.user_data.size > 0)
        err = KF_ERR_UNSUPPORTED_VERSION;
    for (int32_t i = 0; !err && i < assignment.assigned_partitions.count; i++) {
        const struct kf_consumer_protocol_assignment_topic_partition *one =
            &assignment.assigned_partitions.items[i];
        err = add_owned(consumers, assigned, one->topic, one->partitions.items,
                        one->partitions.count, epoch);
    }
    kf__holding_sort(assigned);
    kf_arena_free(&arena);
    return err;
}

kf_err kf__write_assignment(const struct kf__consumers *consumers,
                            const struct kf__holding *holding, int16_t version, kf_writer *out)
{
    struct kf_consumer_protocol_assignment assignment = {0};
    size_t topics = (size_t)kf__holding_topics(holding);
    struct kf_consumer_protocol_assignment_topic_partition *items =
        kf_alloc_zero(consumers->alloc, (topics + 1) * sizeof *items);
    int32_t *partitions = kf_alloc(consumers->alloc, (holding->count + 1) * sizeof *partitions);
    kf_err err = items && partitions ? KF_OK : KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < holding->count && !err; i += kf__holding_run(holding, i)) {
        const struct kf__topic *topic =
            kf__broker_topics_find_id(consumers->topics, holding->items[i].topic);
        size_t run = kf__holding_run(holding, i);
        for (size_t p = i; p < i + run; p++)
            partitions[p] = holding->items[p].partition;
        if (!topic)
            continue;
        items[assignment.assigned_partitions.count].topic = topic->name;
        items[assignment.assigned_partitions.count].partitions.items = partitions + i;
        items[assignment.assigned_partitions.count++].partitions.count = (int32_t)run;
    }
    assignment.assigned_partitions.items = items;
    uint8_t head[2] = {(uint8_t)((uint16_t)version >> 8), (uint8_t)version};
    kf_writer_put(out, head, sizeof head);
    if (!err)
        err = kf_encode(&kf_schema_of_consumer_protocol_assignment, version, &assignment, out);
    if (!err)
        err = out->err;
    kf_free(consumers->alloc, items);
    kf_free(consumers->alloc, partitions);
    return err;
}
