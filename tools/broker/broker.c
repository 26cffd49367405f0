/*
 * broker: the C interface (broker.h): starts, turns and stops the broker, and
 * gives tests what they ask for without the network. Everything here takes
 * the broker's lock.
 */
#include <kafiber/broker.h>

#include "net/loop/thread.h"
#include "tools/broker/admin/alter_configs.h"
#include "tools/broker/faults/events.h"
#include "tools/broker/faults/script.h"
#include "tools/broker/group/any_group.h"
#include "tools/broker/group/group_answers.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    DEFAULT_MAX_BYTES = 1 << 30,
    BESIDE_LOGS = 1 << 30, /* of memory_max, where nothing else is said */
    DEFAULT_MAX_CONNECTIONS = 10000,
    MAX_SCRIPT_BYTES = 16 << 20,
};

enum {
    VIRTUAL_START_S = 1000,
};
#define VIRTUAL_START_WALL_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

int64_t kf__broker_config(const struct kf_broker *broker, const char *key)
{
    kf_string none = kf__text("");
    kf_string value = kf__configs_value(&broker->configs, KF__RESOURCE_BROKER, none, key);
    if (kf__text_equal(value, kf__text("true")))
        return 1;
    return kf__configs_number(&broker->configs, KF__RESOURCE_BROKER, none, key);
}

kf_time kf__broker_now(const struct kf_broker *broker)
{
    if (broker->options.virtual_time)
        return broker->virtual_now;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (kf_time)now.tv_sec * KF_SECOND + now.tv_nsec;
}

int64_t kf__broker_wall_ms(const struct kf_broker *broker)
{
    if (broker->options.virtual_time)
        return VIRTUAL_START_WALL_MS +
               (broker->virtual_now - VIRTUAL_START_S * KF_SECOND) / KF_MILLISECOND;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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

/* ---- start and stop ---- */

static void take_options(kf_broker *broker, const kf_broker_options *options)
{
    if (options) {
        size_t size =
            options->size < sizeof broker->options ? options->size : sizeof broker->options;
        memcpy(&broker->options, options, size);
    }
    kf_broker_options *o = &broker->options;
    if (!o->listen)
        o->listen = "127.0.0.1:0";
    if (o->nodes == 0)
        o->nodes = 1;
    if (o->default_partitions <= 0)
        o->default_partitions = 1;
    if (o->max_connections <= 0)
        o->max_connections = DEFAULT_MAX_CONNECTIONS;
    if (o->max_bytes == 0)
        o->max_bytes = DEFAULT_MAX_BYTES;
    if (o->memory_max == 0)
        o->memory_max =
            o->max_bytes > SIZE_MAX - BESIDE_LOGS ? SIZE_MAX : o->max_bytes + BESIDE_LOGS;
    if (o->group_min_session_timeout_ms <= 0)
        o->group_min_session_timeout_ms = 6000;
}

static uint64_t seed_of(const kf_broker *broker)
{
    if (broker->options.seed)
        return broker->options.seed;
    uint64_t seed = (uint64_t)kf__broker_wall_ms(broker) * 1000003 + (uint64_t)getpid();
    return seed ^ (uint64_t)kf__broker_now(broker) ^ (uint64_t)(uintptr_t)broker;
}

/* 22 letters of base64url, as Kafka's. */
static void make_cluster_id(kf_broker *broker, uint64_t seed)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int i = 0; i < KF__CLUSTER_ID_BYTES - 1; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        broker->cluster_id[i] = letters[seed >> 58];
    }
    broker->cluster_id[0] = 'k'; /* a leading '-' would confuse command lines */
    broker->cluster_id[KF__CLUSTER_ID_BYTES - 1] = 0;
}

static kf_err make_bootstrap(kf_broker *broker, struct kf__listener *listener)
{
    size_t size = 80 * (size_t)broker->options.nodes, used = 0;
    const struct kf__server *server = &broker->server;
    ptrdiff_t place = listener - server->listeners.items;
    bool v6 = strchr(listener->host, ':') != NULL;
    listener->bootstrap = kf_alloc(broker->alloc, size);
    if (!listener->bootstrap)
        return KF_ERR_NO_MEMORY;
    for (int32_t node = 1; node <= broker->options.nodes; node++) {
        int length = snprintf(listener->bootstrap + used, size - used, "%s%s%s%s:%u",
                              node > 1 ? "," : "", v6 ? "[" : "", listener->host, v6 ? "]" : "",
                              server->nodes[node].ports[place].number);
        used += (size_t)length;
    }
    return KF_OK;
}

static kf_err make_bootstraps(kf_broker *broker)
{
    kf_err err = KF_OK;
    for (int32_t i = 0; !err && i < broker->server.listeners.count; i++)
        err = make_bootstrap(broker, &broker->server.listeners.items[i]);
    return err;
}

static void open_parts(kf_broker *broker)
{
    const kf_allocator *alloc = &broker->budget.state;
    broker->virtual_now = VIRTUAL_START_S * KF_SECOND;
    uint64_t seed = seed_of(broker);
    struct kf__group_sink sink = {
        .context = broker, .joined = kf__answer_joined, .synced = kf__answer_synced};
    kf__broker_topics_init(&broker->topics, alloc, broker->options.nodes, seed);
    kf__coordinator_init(&broker->coordinator, alloc, sink);
    broker->coordinator.zero_ms =
        kf__broker_wall_ms(broker) - kf__broker_now(broker) / KF_MILLISECOND;
    broker->coordinator.seed = seed ^ UINT64_C(0x517CC1B727220A95);
    broker->coordinator.initial_delay =
        broker->options.group_initial_rebalance_delay_ms * KF_MILLISECOND;
    broker->coordinator.min_session_timeout =
        broker->options.group_min_session_timeout_ms * KF_MILLISECOND;
    kf__consumers_init(&broker->consumers, alloc, &broker->topics, &broker->coordinator);
    broker->consumers.context = broker;
    broker->consumers.settings = kf__consumer_settings_of;
    broker->consumers.seed = seed ^ UINT64_C(0x6A09E667F3BCC909);
    kf__census_init(&broker->census, alloc);
    kf__committed_init(&broker->committed, alloc);
    kf__txns_init(&broker->txns, alloc, kf__txn_sink_of(broker));
    kf__pending_init(&broker->pending, alloc);
    kf__fetch_sessions_init(&broker->sessions, alloc, seed * 31);
    kf__rules_init(&broker->rules, alloc, seed);
    kf__configs_init(&broker->configs, alloc);
    kf__acls_init(&broker->acls, alloc);
    broker->acls.enforced = broker->options.acls;
    broker->acls.allow_if_none = broker->options.allow_if_no_acl;
    broker->acls.super_users = broker->options.super_users;
    kf__quotas_init(&broker->quotas, alloc);
    kf__memory_init(&broker->memory, broker, broker->alloc, seed * 17);
    kf__codecs_init(&broker->codecs, broker->alloc);
    kf__buffer_init(&broker->scratch, broker->alloc);
    kf__buffer_init(&broker->rebatched, broker->alloc);
    kf__buffer_init(&broker->handed_out, broker->alloc);
    broker->next_producer_id = 1000;
    make_cluster_id(broker, seed);
}

static void close_parts(kf_broker *broker)
{
    kf__server_close(broker);
    kf__sasl_server_close(&broker->sasl);
    kf__broker_topics_free(&broker->topics);
    kf__consumers_free(&broker->consumers);
    kf__coordinator_free(&broker->coordinator);
    kf__census_free(&broker->census);
    kf__committed_free(&broker->committed);
    kf__txns_free(&broker->txns);
    kf__pending_free(&broker->pending);
    kf__fetch_sessions_free(&broker->sessions);
    kf__rules_free(&broker->rules);
    kf__configs_free(&broker->configs);
    kf__acls_free(&broker->acls);
    kf__quotas_free(&broker->quotas);
    kf__memory_free(&broker->memory);
    kf__codecs_free(&broker->codecs);
    kf__buffer_free(&broker->scratch);
    kf__buffer_free(&broker->rebatched);
    kf__buffer_free(&broker->handed_out);
    if (broker->journal)
        fclose(broker->journal);
    kf_free(broker->alloc, broker->racks);
    pthread_cond_destroy(&broker->poll_ends);
    pthread_mutex_destroy(&broker->lock);
    kf_free(broker->budget.below, broker);
}

static void *run(void *argument)
{
    kf_broker *broker = argument;
    lock(broker);
    while (!broker->stopping && kf__server_turn(broker, -1) == KF_OK)
        ;
    unlock(broker);
    return NULL;
}

static kf_err start_thread(kf_broker *broker)
{
    kf_err err = kf__thread_start(&broker->thread, run, broker);
    broker->has_thread = err == KF_OK;
    return err;
}

static kf_err put_static(kf_broker *broker, const char *key, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    return kf__configs_set(&broker->configs, KF__RESOURCE_STATIC, kf__text(""), kf__text(key),
                           kf__text(digits));
}

/* What the options say, under Kafka's names: the layer of a server.properties. */
static kf_err put_configs(kf_broker *broker)
{
    const kf_broker_options *o = &broker->options;
    kf_err err = put_static(broker, "num.partitions", o->default_partitions);
    if (!err)
        err = put_static(broker, "group.initial.rebalance.delay.ms",
                         o->group_initial_rebalance_delay_ms);
    if (!err)
        err = put_static(broker, "group.min.session.timeout.ms", o->group_min_session_timeout_ms);
    if (!err && o->no_auto_create)
        err = kf__configs_set(&broker->configs, KF__RESOURCE_STATIC, kf__text(""),
                              kf__text("auto.create.topics.enable"), kf__text("false"));
    if (!err) /* a fresh cluster of 4.1 or later has eligible leader replicas, and says this */
        err = kf__configs_set(&broker->configs, KF__RESOURCE_BROKER, kf__text(""),
                              kf__text("min.insync.replicas"), kf__text("1"));
    return err;
}

static kf_err copy_racks(kf_broker *broker)
{
    kf_string copy;
    kf_err err = kf__text_copy(broker->alloc, kf__text(broker->options.racks), &copy);
    broker->racks = (char *)(uintptr_t)copy.data;
    return err;
}

static kf_err open_broker(kf_broker *broker, enum kf__backend backend, kf_error *error)
{
    const kf_broker_options *options = &broker->options;
    if (options->nodes < 1 || options->nodes > KF__MAX_NODES)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "a broker has 1 to %d nodes, not %d",
                            KF__MAX_NODES, (int)options->nodes);
    broker->release = KF__KAFKA_4_4;
    if (options->kafka_version && !kf__release_by_name(options->kafka_version, &broker->release))
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "kafka_version is 2.1, 2.8, 3.9, 4.0, 4.1, 4.2, 4.3 or 4.4, not %s",
                            options->kafka_version);
    kf__features_init(&broker->features, broker->release);
    if (options->virtual_time && options->thread)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "virtual time is the caller's: a thread would not know when to run");
    kf_err err = kf__sasl_server_open(&broker->sasl, broker->alloc, &options->sasl, error);
    if (!err)
        err = kf__server_open(broker, options, backend, error);
    if (!err && (make_bootstraps(broker) || put_configs(broker) || copy_racks(broker)))
        err = kf_error_set(error, KF_ERR_NO_MEMORY, "out of memory");
    if (!err && options->journal && !(broker->journal = fopen(options->journal, "a")))
        err = kf_error_set(error, KF_ERR_SYSTEM, "cannot open the journal %s: %s", options->journal,
                           strerror(errno));
    if (!err && options->thread && start_thread(broker))
        err = kf_error_set(error, KF_ERR_SYSTEM, "cannot start a thread");
    return err;
}

kf_broker *kf_broker_start(const kf_broker_options *options, kf_error *error)
{
    return kf__broker_start(options, KF__BACKEND_AUTO, error);
}

kf_broker *kf__broker_start(const kf_broker_options *options, enum kf__backend backend,
                            kf_error *error)
{
    const kf_allocator *alloc =
        options && options->size > 0 && options->alloc ? options->alloc : &kf_default_allocator;
    kf_broker *broker = kf_alloc_zero(alloc, sizeof *broker);
    if (!broker) {
        kf_error_set(error, KF_ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    take_options(broker, options);
    kf__budget_init(&broker->budget, alloc, broker->options.memory_max);
    broker->alloc = &broker->budget.work;
    broker->server.alloc = broker->alloc;
    kf__server_init(&broker->server);
    pthread_mutex_init(&broker->lock, NULL);
    pthread_cond_init(&broker->poll_ends, NULL);
    open_parts(broker);
    if (open_broker(broker, backend, error)) {
        close_parts(broker);
        return NULL;
    }
    return broker;
}

void kf_broker_stop(kf_broker *broker)
{
    if (!broker)
        return;
    lock(broker);
    broker->stopping = true;
    unlock_and_wake(broker);
    if (broker->has_thread)
        pthread_join(broker->thread, NULL);
    close_parts(broker);
}

kf_err kf_broker_step(kf_broker *broker, int timeout_ms)
{
    lock(broker);
    kf_err err = broker->has_thread ? KF_ERR_STATE : kf__server_turn(broker, timeout_ms);
    unlock(broker);
    return err;
}

void kf_broker_wake(kf_broker *broker) { kf__server_wake(&broker->server); }

const char *kf_broker_bootstrap(const kf_broker *broker)
{
    return broker->server.listeners.items[0].bootstrap;
}

const char *kf_broker_listener(const kf_broker *broker, const char *name)
{
    for (int32_t i = 0; i < broker->server.listeners.count; i++)
        if (strcmp(broker->server.listeners.items[i].name, name) == 0)
            return broker->server.listeners.items[i].bootstrap;
    return NULL;
}

const char *kf_broker_cluster_id(const kf_broker *broker) { return broker->cluster_id; }

size_t kf_broker_memory(const kf_broker *broker) { return atomic_load(&broker->budget.held); }

/* ---- topics and records ---- */

kf_err kf__broker_create(struct kf_broker *broker, kf_string name, int32_t partitions,
                         int32_t replicas, struct kf__topic **topic)
{
    struct kf__topic *created = NULL;
    if (partitions == -1)
        partitions = (int32_t)kf__broker_config(broker, "num.partitions");
    if (replicas == -1)
        replicas = (int32_t)kf__broker_config(broker, "default.replication.factor");
    kf_err err = kf__topics_create(&broker->topics, name, partitions, replicas == 0 ? 1 : replicas,
                                   &created);
    if (!err)
        kf__apply_configs(broker, created);
    if (topic)
        *topic = created;
    broker->changes++;
    return err;
}

void kf__broker_delete(struct kf_broker *broker, struct kf__topic *topic)
{
    kf__server_own_output(broker);
    kf__committed_drop_topic(&broker->committed, topic->name);
    kf__configs_drop(&broker->configs, KF__RESOURCE_TOPIC, topic->name);
    kf__pending_drop_topic(&broker->pending, topic->name);
    kf__topics_delete(&broker->topics, topic);
    broker->changes++;
}

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

kf_err kf__broker_record(struct kf_broker *broker, const struct kf__partition_log *log,
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
            err = kf__batch_open(batch, &broker->codecs, &broker->scratch, KF__MAX_REQUEST_BYTES,
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
    kf_err err = from ? kf__broker_record(broker, &from->log, offset, &record, &batch)
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
    int32_t node = kf__topics_coordinator(&broker->topics, kf__text(name));
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
