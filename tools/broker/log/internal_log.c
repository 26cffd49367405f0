#include "tools/broker/log/internal_log.h"

#include "tools/broker/log/cleaner.h"
#include "tools/broker/state.h"

void kf__internal_begin(struct kf__internal_batch *batch, struct kf_broker *broker)
{
    *batch = (struct kf__internal_batch){.broker = broker, .wall_ms = kf__broker_wall_ms(broker)};
    kf__batch_builder_init(&batch->builder, broker->alloc, 0);
    kf_writer_init(&batch->key, broker->alloc);
    kf_writer_init(&batch->value, broker->alloc);
}

/* The number in front, and the struct. */
static kf_err encode(kf_writer *writer, int16_t number, int16_t version, const kf_schema *schema,
                     const void *message)
{
    uint8_t head[2] = {(uint8_t)((uint16_t)number >> 8), (uint8_t)number};
    kf_writer_reset(writer);
    kf_writer_put(writer, head, sizeof head);
    kf_err err = kf_encode(schema, version, message, writer);
    return err ? err : writer->err;
}

void kf__internal_put(struct kf__internal_batch *batch, const struct kf__internal_record *record,
                      const void *key, int16_t version, const void *value)
{
    kf_bytes bytes = {0};
    if (!batch->err)
        batch->err = encode(&batch->key, record->type, 0, record->key, key);
    if (!batch->err && value) {
        batch->err = encode(&batch->value, version, version, record->value, value);
        bytes = (kf_bytes){.data = batch->value.bytes, .size = batch->value.used};
    }
    if (!batch->err)
        batch->err = kf__batch_builder_add(
            &batch->builder, batch->wall_ms,
            (kf_bytes){.data = batch->key.bytes, .size = batch->key.used}, bytes, NULL, 0);
    batch->count++;
}

enum {
    TIDY_AT = 1 << 20, /* bytes, and twice of what compaction left */
};

static void tidy(struct kf_broker *broker, const struct kf__topic *topic,
                 struct kf__partition *partition)
{
    if (partition->log.bytes < TIDY_AT || partition->log.bytes < partition->tidy_at)
        return;
    kf__server_own_output(broker);
    (void)kf__clean(broker, &topic->settings, partition, kf__broker_wall_ms(broker));
    partition->tidy_at = partition->log.bytes * 2;
}

static kf_err append(struct kf_broker *broker, struct kf__topic *topic,
                     struct kf__partition *partition, const struct kf__buffer *bytes, bool must)
{
    struct kf__batch batch;
    int64_t offset;
    kf_err err = kf__batch_peek(bytes->bytes, bytes->used, &batch);
    if (!err && batch.transactional)
        err = kf__producers_reserve(&partition->producers, broker->topics.alloc);
    if (!err)
        err = kf__topics_append(&broker->topics, partition, &batch,
                                must ? SIZE_MAX : broker->options.max_bytes, &offset);
    if (err)
        return err;
    if (batch.transactional)
        kf__producers_note(&partition->producers, &batch, offset);
    broker->changes++;
    broker->appends++;
    broker->new_marks |= kf__partition_mark(topic, (int32_t)(partition - topic->partitions));
    tidy(broker, topic, partition);
    return KF_OK;
}

static kf_err write(struct kf__internal_batch *batch, enum kf__internal which, kf_string key,
                    const struct kf__internal_way *way)
{
    struct kf_broker *broker = batch->broker;
    struct kf__topic *topic = kf__internal_topic_of(broker, which);
    struct kf__partition *partition = kf__internal_partition(broker, which, key);
    struct kf__batch_options options = {.producer_id = way->transactional ? way->producer_id : -1,
                                        .producer_epoch =
                                            (int16_t)(way->transactional ? way->epoch : -1),
                                        .base_sequence = way->base_sequence,
                                        .leader_epoch = -1,
                                        .transactional = way->transactional};
    struct kf__buffer bytes;
    if (!partition || partition->leader < 0)
        return KF_ERR_COORDINATOR_NOT_AVAILABLE;
    kf__buffer_init(&bytes, broker->alloc);
    kf_err err = kf__batch_builder_finish(&batch->builder, &options, &broker->codecs, &bytes);
    if (!err)
        err = append(broker, topic, partition, &bytes, way->must);
    kf__buffer_free(&bytes);
    return err;
}

kf_err kf__internal_write(struct kf__internal_batch *batch, enum kf__internal which, kf_string key,
                          const struct kf__internal_way *way)
{
    kf_err err = batch->err;
    if (!err && batch->count > 0)
        err = write(batch, which, key, way);
    kf__batch_builder_free(&batch->builder);
    kf_writer_free(&batch->key);
    kf_writer_free(&batch->value);
    return err;
}
