/*
 * broker: puts the broker together from its parts, starts, turns and stops it,
 * and keeps its clock. What a test does to one that runs is in calls.c, what it
 * asks in instrument/queries.c.
 */
#include <kafiber/broker.h>

#include "net/loop/thread.h"
#include "tools/broker/admin/alter_configs.h"
#include "tools/broker/group/group_answers.h"
#include "tools/broker/group/offsets_topic.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

#include <time.h>
#include <unistd.h>

enum {
    DEFAULT_MAX_BYTES = 1 << 30,
    BESIDE_LOGS = 1 << 30, /* of memory_max, where nothing else is said */
    DEFAULT_MAX_CONNECTIONS = 10000,
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

const struct kf__limits *kf__broker_limits(struct kf_broker *broker)
{
    kf__limits_follow(&broker->limits, &broker->configs);
    return &broker->limits;
}

bool kf__is_too_much_metadata(const struct kf_broker *broker, kf_string metadata)
{
    return metadata.size > 0 &&
           (int64_t)metadata.size > kf__broker_config(broker, "offset.metadata.max.bytes");
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
    struct kf__group_sink sink = {.context = broker,
                                  .joined = kf__answer_joined,
                                  .synced = kf__answer_synced,
                                  .store = kf__offsets_store_group,
                                  .forget = kf__offsets_forget_group};
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
    kf__journal_init(&broker->journal);
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
    kf__journal_close(&broker->journal);
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
    if (!err && o->sasl.max_reauth_ms > 0)
        err = put_static(broker, "connections.max.reauth.ms", o->sasl.max_reauth_ms);
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
    if (!err && options->journal)
        err = kf__journal_open(&broker->journal, options->journal, error);
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
    kf__condition_init(&broker->poll_ends);
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
    kf__server_wake(&broker->server);
    unlock(broker);
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

/* ---- what calls and requests share ---- */

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
    kf__internal_topic_goes(broker, topic);
    kf__offsets_drop_topic(broker, topic->name);
    kf__configs_drop(&broker->configs, KF__RESOURCE_TOPIC, topic->name);
    kf__topics_delete(&broker->topics, topic);
    broker->changes++;
}
