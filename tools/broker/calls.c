/*
 * calls: what a test does to a broker that runs, without the network
 * (broker.h): topics and records, configs, nodes, faults. Each takes the
 * broker's lock, and whoever waits looks again.
 */
#include <kafiber/broker.h>

#include "tools/broker/admin/alter_configs.h"
#include "tools/broker/faults/events.h"
#include "tools/broker/faults/script.h"
#include "tools/broker/group/any_group.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"

#include <errno.h>
#include <stdlib.h>

enum {
    MAX_SCRIPT_BYTES = 16 << 20,
};

static void lock(kf_broker *broker) { pthread_mutex_lock(&broker->lock); }

static void unlock(kf_broker *broker) { pthread_mutex_unlock(&broker->lock); }

/* After a change from outside: whoever waits looks again. */
static void unlock_and_wake(kf_broker *broker)
{
    broker->changes++;
    kf__server_stir_groups(broker);
    kf__server_wake(&broker->server);
    unlock(broker);
}

static kf_err do_event(kf_broker *broker, const struct kf__event *event)
{
    lock(broker);
    if (event->kind == KF__STOP_NODE)
        kf__server_end_poll(broker);
    kf_err err = kf__event_do(broker, event);
    unlock_and_wake(broker);
    return err;
}

/* ---- topics and records ---- */

kf_err kf_broker_create_topic(kf_broker *broker, const char *topic, int32_t partitions,
                              int32_t replicas)
{
    lock(broker);
    kf_err err = kf__broker_create(broker, kf__text(topic), partitions, replicas, NULL);
    unlock_and_wake(broker);
    return err;
}

kf_err kf_broker_delete_topic(kf_broker *broker, const char *topic)
{
    struct kf__event event = {.kind = KF__DELETE_TOPIC, .name = kf__text(topic)};
    return do_event(broker, &event);
}

kf_err kf_broker_create_partitions(kf_broker *broker, const char *topic, int32_t partitions)
{
    struct kf__event event = {
        .kind = KF__CREATE_PARTITIONS, .name = kf__text(topic), .number = partitions};
    return do_event(broker, &event);
}

static struct kf__partition *find_partition(const kf_broker *broker, const char *topic,
                                            int32_t partition)
{
    return kf__topic_partition(kf__broker_topics_find(&broker->topics, kf__text(topic)), partition);
}

static kf_err append_record(kf_broker *broker, struct kf__partition *partition, kf_bytes key,
                            kf_bytes value, int64_t timestamp, int64_t *offset)
{
    struct kf__batch_builder builder;
    struct kf__buffer *out = &broker->scratch;
    struct kf__batch_options options = {.producer_id = -1,
                                        .producer_epoch = -1,
                                        .base_sequence = -1,
                                        .leader_epoch = partition->leader_epoch};
    struct kf__batch batch;
    out->used = 0;
    kf__batch_builder_init(&builder, broker->alloc, 0);
    kf_err err = kf__batch_builder_add(&builder, timestamp, key, value, NULL, 0);
    if (!err)
        err = kf__batch_builder_finish(&builder, &options, &broker->codecs, out);
    kf__batch_builder_free(&builder);
    if (!err)
        err = kf__batch_peek(out->bytes, out->used, &batch);
    if (!err)
        err = kf__topics_append(&broker->topics, partition, &batch, broker->options.max_bytes,
                                offset);
    return err;
}

kf_err kf_broker_produce(kf_broker *broker, const char *topic, int32_t partition, kf_bytes key,
                         kf_bytes value, int64_t timestamp, int64_t *offset)
{
    int64_t where = -1;
    lock(broker);
    struct kf__partition *found = find_partition(broker, topic, partition);
    if (timestamp == -1)
        timestamp = kf__broker_wall_ms(broker);
    kf_err err = found ? append_record(broker, found, key, value, timestamp, &where)
                       : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    unlock_and_wake(broker);
    if (offset)
        *offset = where;
    return err;
}

/* The record at `offset` or the first after it, decompressed into broker->scratch. */
static kf_err find_record(struct kf_broker *broker, const struct kf__partition_log *log,
                          int64_t offset, struct kf__record *record, struct kf__batch *batch)
{
    if (offset < log->start_offset || offset >= log->end_offset)
        return KF_ERR_OFFSET_OUT_OF_RANGE;
    for (size_t at = kf__plog_find(log, offset); at < log->batch_count; at++) {
        struct kf__records records;
        bool more = true;
        broker->scratch.used = 0;
        kf_err err = kf__batch_peek(log->batches[at].bytes, log->batches[at].size, batch);
        if (!err)
            err = kf__batch_open(batch, &broker->codecs, &broker->scratch, KF__MAX_UNPACKED_BYTES,
                                 &records);
        while (!err && more) {
            err = kf__records_next(&records, record, &more);
            if (!err && more && record->offset >= offset)
                return KF_OK;
        }
        if (err)
            return err;
    }
    return KF_ERR_OFFSET_OUT_OF_RANGE;
}

static kf_bytes copied(const uint8_t **at, kf_bytes from)
{
    kf_bytes copy = {.data = from.data ? *at : NULL, .size = from.size};
    *at += from.size;
    return copy;
}

/* Copies: the log may lose what it has, and the next batch is decompressed to the same place. */
static kf_err hand_out(kf_broker *broker, kf_string topic, const struct kf__record *record,
                       kf_message *message)
{
    struct kf__buffer *out = &broker->handed_out;
    const kf_bytes parts[] = {
        {(const uint8_t *)topic.data, topic.size + 1}, record->key, record->value, record->headers};
    kf_err err = KF_OK;
    out->used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !err; i++)
        if (parts[i].size > 0)
            err = kf__buffer_put(out, parts[i].data, parts[i].size);
    const uint8_t *at = out->bytes;
    message->topic = (const char *)copied(&at, parts[0]).data;
    message->key = copied(&at, parts[1]);
    message->value = copied(&at, parts[2]);
    message->headers = copied(&at, parts[3]);
    return err;
}

kf_err kf_broker_read(kf_broker *broker, const char *topic, int32_t partition, int64_t offset,
                      kf_message *message)
{
    struct kf__record record;
    struct kf__batch batch;
    lock(broker);
    struct kf__topic *found = kf__broker_topics_find(&broker->topics, kf__text(topic));
    struct kf__partition *from = kf__topic_partition(found, partition);
    kf_err err = from ? find_record(broker, &from->log, offset, &record, &batch)
                      : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (!err)
        *message = (kf_message){
            .partition = partition,
            .leader_epoch = batch.leader_epoch,
            .offset = record.offset,
            .timestamp = record.timestamp,
            .timestamp_type = batch.timestamp_type,
            .header_count = record.header_count,
        };
    if (!err)
        err = hand_out(broker, found->name, &record, message);
    unlock(broker);
    return err;
}

kf_err kf_broker_offsets(kf_broker *broker, const char *topic, int32_t partition, int64_t *start,
                         int64_t *end)
{
    lock(broker);
    const struct kf__partition *found = find_partition(broker, topic, partition);
    *start = found ? found->log.start_offset : -1;
    *end = found ? found->log.end_offset : -1;
    unlock(broker);
    return found ? KF_OK : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

kf_err kf_broker_delete_records(kf_broker *broker, const char *topic, int32_t partition,
                                int64_t before)
{
    struct kf__event event = {.kind = KF__DELETE_RECORDS,
                              .name = kf__text(topic),
                              .partition = partition,
                              .number = before};
    return do_event(broker, &event);
}

/* ---- cleaning and configs ---- */

kf_err kf_broker_clean(kf_broker *broker, const char *topic)
{
    struct kf__event event = {.kind = KF__CLEAN, .name = kf__text(topic)};
    return do_event(broker, &event);
}

kf_err kf_broker_set_config(kf_broker *broker, kf_broker_resource resource, const char *name,
                            const char *key, const char *value)
{
    char why[KF__MAX_WHY_BYTES];
    struct kf__config_change change = {
        .name = kf__text(key),
        .value = kf__text(value),
        .operation = value ? KF__CONFIG_SET : KF__CONFIG_DELETE,
    };
    struct kf__config_changes changes = {.resource = (int8_t)resource,
                                         .name = kf__text(name ? name : ""),
                                         .items = &change,
                                         .count = 1,
                                         .node = name ? (int32_t)strtol(name, NULL, 10) : 0};
    bool of_all = resource == KF_BROKER_BROKER && changes.name.size == 0;
    lock(broker);
    kf_err err =
        of_all ? kf__set_read_only(broker, change.name, change.value) : KF_ERR_INVALID_REQUEST;
    if (err == KF_ERR_INVALID_REQUEST)
        err = kf__alter_configs(broker, &changes, why);
    unlock_and_wake(broker);
    return err;
}

/* ---- groups ---- */

int64_t kf_broker_committed(kf_broker *broker, const char *group, const char *topic,
                            int32_t partition)
{
    lock(broker);
    const struct kf__committed_offset *found =
        kf__committed_find(&broker->committed, kf__text(group), kf__text(topic), partition);
    int64_t offset = found ? found->offset : -1;
    unlock(broker);
    return offset;
}

int32_t kf_broker_group_members(kf_broker *broker, const char *group, const char **state)
{
    lock(broker);
    struct kf__any_group found = kf__any_group(&broker->consumers, kf__text(group));
    int32_t members = kf__any_group_members(found);
    if (state)
        *state = kf__any_group_state(found);
    unlock(broker);
    return members;
}

void kf_broker_expire_offsets(kf_broker *broker)
{
    struct kf__event event = {.kind = KF__EXPIRE_OFFSETS};
    do_event(broker, &event);
}

/* ---- transactions ---- */

void kf_broker_expire_producers(kf_broker *broker)
{
    struct kf__event event = {.kind = KF__EXPIRE_PRODUCERS};
    do_event(broker, &event);
}

const char *kf_broker_transaction(kf_broker *broker, const char *transactional_id)
{
    lock(broker);
    const struct kf__txn *found = kf__txns_find(&broker->txns, kf__text(transactional_id));
    const char *state = found ? kf__txn_state_name(found->state) : NULL;
    unlock(broker);
    return state;
}

int32_t kf_broker_coordinator(kf_broker *broker, const char *name)
{
    lock(broker);
    int32_t node = kf__coordinator_of_name(broker, kf__text(name));
    unlock(broker);
    return node;
}

/* ---- nodes and connections ---- */

int32_t kf_broker_connections(kf_broker *broker)
{
    lock(broker);
    int32_t count = broker->server.connection_count;
    unlock(broker);
    return count;
}

void kf_broker_close_connections(kf_broker *broker)
{
    lock(broker);
    kf__server_end_poll(broker);
    kf__server_close_all(broker);
    unlock_and_wake(broker);
}

void kf_broker_pause(kf_broker *broker)
{
    struct kf__event event = {.kind = KF__PAUSE};
    do_event(broker, &event);
}

void kf_broker_resume(kf_broker *broker)
{
    struct kf__event event = {.kind = KF__RESUME};
    do_event(broker, &event);
}

kf_err kf_broker_stop_node(kf_broker *broker, int32_t node)
{
    struct kf__event event = {.kind = KF__STOP_NODE, .node = node};
    return do_event(broker, &event);
}

kf_err kf_broker_start_node(kf_broker *broker, int32_t node)
{
    struct kf__event event = {.kind = KF__START_NODE, .node = node};
    return do_event(broker, &event);
}

kf_err kf_broker_leader(kf_broker *broker, const char *topic, int32_t partition, int32_t *leader,
                        int32_t *epoch)
{
    lock(broker);
    const struct kf__partition *found = find_partition(broker, topic, partition);
    *leader = found ? found->leader : -1;
    *epoch = found ? found->leader_epoch : -1;
    unlock(broker);
    return found ? KF_OK : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

kf_err kf_broker_move_leader(kf_broker *broker, const char *topic, int32_t partition, int32_t node)
{
    struct kf__event event = {
        .kind = KF__MOVE_LEADER, .name = kf__text(topic), .partition = partition, .node = node};
    return do_event(broker, &event);
}

kf_err kf_broker_move_coordinator(kf_broker *broker, const char *group, int32_t node)
{
    struct kf__event event = {.kind = KF__MOVE_COORDINATOR, .name = kf__text(group), .node = node};
    return do_event(broker, &event);
}

kf_err kf_broker_elect_leader(kf_broker *broker, const char *topic, int32_t partition, bool unclean)
{
    struct kf__event event = {.kind = KF__ELECT_LEADER,
                              .name = kf__text(topic),
                              .partition = partition,
                              .number = unclean};
    return do_event(broker, &event);
}

kf_err kf_broker_hold_replica(kf_broker *broker, const char *topic, int32_t partition, int32_t node,
                              bool held)
{
    struct kf__event event = {.kind = held ? KF__HOLD_REPLICA : KF__RELEASE_REPLICA,
                              .name = kf__text(topic),
                              .partition = partition,
                              .node = node};
    return do_event(broker, &event);
}

int64_t kf_broker_requests(kf_broker *broker, int16_t api_key)
{
    lock(broker);
    int64_t count = 0;
    if (api_key == KF_BROKER_ANY_API)
        count = broker->request_count;
    else if (api_key >= 0 && api_key <= KF__MAX_API_KEY)
        count = broker->requests[api_key];
    unlock(broker);
    return count;
}

/* ---- faults ---- */

int32_t kf_broker_fault_add(kf_broker *broker, const kf_broker_fault *fault)
{
    kf_broker_fault whole = {0};
    size_t size = fault->size < sizeof whole ? fault->size : sizeof whole;
    memcpy(&whole, fault, size);
    lock(broker);
    int32_t id = kf__rules_add(&broker->rules, &whole, NULL, KF_FOREVER, 0);
    unlock(broker);
    return id;
}

int64_t kf_broker_fault_hits(kf_broker *broker, int32_t id)
{
    lock(broker);
    int64_t hits = kf__rules_hits(&broker->rules, id);
    unlock(broker);
    return hits;
}

void kf_broker_fault_clear(kf_broker *broker, int32_t id)
{
    lock(broker);
    kf__rules_clear(&broker->rules, id);
    unlock(broker);
}

kf_err kf_broker_script(kf_broker *broker, const char *text, kf_error *error)
{
    lock(broker);
    kf_err err = kf__script_load(&broker->rules, text, kf__broker_now(broker), error);
    unlock_and_wake(broker);
    return err;
}

/* All of the file, NUL-terminated; NULL with errno where it can't be had. */
static char *read_text(const kf_allocator *alloc, const char *path)
{
    FILE *file = fopen(path, "r");
    size_t used = 0, capacity = 4096;
    char *text = file ? kf_alloc(alloc, capacity) : NULL;
    while (text) {
        size_t got = fread(text + used, 1, capacity - used - 1, file);
        used += got;
        text[used] = 0;
        if (got == 0 || used + 1 < capacity)
            break;
        char *grown = capacity < MAX_SCRIPT_BYTES ? kf_realloc(alloc, text, capacity * 2) : NULL;
        if (!grown) {
            kf_free(alloc, text);
            errno = ENOMEM;
        }
        text = grown;
        capacity *= 2;
    }
    if (file && text && ferror(file)) {
        kf_free(alloc, text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

kf_err kf_broker_script_file(kf_broker *broker, const char *path, kf_error *error)
{
    kf_error own = KF_ERROR_INIT;
    char *text = read_text(broker->alloc, path);
    if (!text)
        return kf_error_set(error, KF_ERR_SYSTEM, "cannot read the script %s: %s", path,
                            strerror(errno));
    kf_err err = kf_broker_script(broker, text, &own);
    kf_free(broker->alloc, text);
    return err ? kf_error_set(error, err, "%s: %s", path, own.text) : KF_OK;
}
