#include "tools/broker/instrument/snapshot.h"

#include "tools/broker/admin/alter_configs.h"

#include <errno.h>

enum {
    FORMAT_VERSION = 5, /* rises with every change of what is written, or its order */
    MAX_FILE_BYTES = 1 << 30,
};
#define MAGIC "KFSNAP"

/* What a snapshot replaces. */
struct parts {
    struct kf__topics topics;
    struct kf__committed committed;
    struct kf__coordinator coordinator;
    struct kf__consumers consumers;
    struct kf__txns txns;
    struct kf__pending_offsets pending;
    struct kf__configs configs;
    struct kf__acls acls;
    struct kf__quotas quotas;
    struct kf__users users;
    struct kf__features features;
    int64_t next_producer_id;
    char cluster_id[KF__CLUSTER_ID_BYTES];
};

/* ---- offsets and groups ---- */

static void archive_offset(struct kf__archive *archive, struct kf__committed_offset *one)
{
    kf__archive_text(archive, &one->topic);
    one->partition = (int32_t)kf__archive_number(archive, one->partition);
    one->leader_epoch = (int32_t)kf__archive_number(archive, one->leader_epoch);
    one->offset = kf__archive_number(archive, one->offset);
    kf__archive_text(archive, &one->metadata);
    one->commit_ms = kf__archive_number(archive, one->commit_ms);
    one->expire_ms = kf__archive_number(archive, one->expire_ms);
    one->order = (uint64_t)kf__archive_number(archive, (int64_t)one->order);
}

static void read_offset(struct kf__archive *archive, struct kf__committed *committed,
                        kf_string group)
{
    struct kf__committed_offset one = {0};
    archive_offset(archive, &one);
    if (!archive->err)
        kf__archive_fail(archive, kf__committed_put(committed, group, &one));
    kf__text_free(archive->alloc, &one.topic);
    kf__text_free(archive->alloc, &one.metadata);
}

static void archive_committed(struct kf__archive *archive, struct kf__committed *committed)
{
    size_t groups = kf__archive_count(archive, committed->group_count);
    for (size_t g = 0; g < groups && !archive->err; g++) {
        bool reads = kf__archive_reads(archive);
        kf_string name = reads ? (kf_string){0} : committed->groups[g].group;
        kf__archive_text(archive, &name);
        size_t count = kf__archive_count(archive, reads ? 0 : committed->groups[g].count);
        for (size_t i = 0; i < count && !archive->err; i++) {
            if (reads)
                read_offset(archive, committed, name);
            else
                archive_offset(archive, &committed->groups[g].items[i]);
        }
        if (reads)
            kf__text_free(archive->alloc, &name);
    }
    committed->writes = (uint64_t)kf__archive_number(archive, (int64_t)committed->writes);
}

/* Whoever was in it is gone once it is read. */
static void archive_emptiness(struct kf__archive *archive, struct kf__classic_group *group,
                              int64_t now_ms)
{
    bool empty = group->state == KF__GROUP_EMPTY;
    int64_t since = kf__archive_number(archive, empty ? group->empty_since_ms : -1);
    if (kf__archive_reads(archive))
        group->empty_since_ms = since == -1 && group->protocol_type.data ? now_ms : since;
}

/* Members are not kept: they would have to join again anyhow. */
static void archive_groups(struct kf__archive *archive, struct kf__coordinator *coordinator,
                           int64_t now_ms)
{
    size_t count = kf__archive_count(archive, coordinator->group_count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        bool reads = kf__archive_reads(archive);
        struct kf__classic_group *group = reads ? NULL : coordinator->groups[i];
        kf_string id = group ? group->id : (kf_string){0};
        kf__archive_text(archive, &id);
        if (reads) {
            group = archive->err ? NULL : kf__coordinator_group(coordinator, id);
            kf__text_free(archive->alloc, &id);
        }
        if (!group) {
            kf__archive_fail(archive, KF_ERR_NO_MEMORY);
            return;
        }
        if (reads)
            kf__text_free(archive->alloc, &group->protocol_type);
        kf__archive_text(archive, &group->protocol_type);
        group->generation = (int32_t)kf__archive_number(archive, group->generation);
        archive_emptiness(archive, group, now_ms);
    }
}

/* The same of those of the new protocol: empty, in the epoch that they had come to. */
static void archive_consumers(struct kf__archive *archive, struct kf__consumers *consumers)
{
    size_t count = kf__archive_count(archive, consumers->group_count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        bool reads = kf__archive_reads(archive);
        struct kf__consumer_group *group = reads ? NULL : consumers->groups[i];
        kf_string id = group ? group->id : (kf_string){0};
        kf__archive_text(archive, &id);
        if (reads) {
            group = archive->err ? NULL : kf__consumers_put(consumers, id);
            kf__text_free(archive->alloc, &id);
        }
        if (!group) {
            kf__archive_fail(archive, KF_ERR_NO_MEMORY);
            return;
        }
        int64_t epoch = kf__archive_number(archive, group->epoch);
        if (reads)
            group->epoch = group->assignment_epoch = (int32_t)epoch;
    }
}

/* ---- transactions ---- */

/* Deadlines are written as what is left of them. */
static kf_time archive_deadline(struct kf__archive *archive, kf_time deadline, kf_time now)
{
    bool none = deadline == KF_FOREVER;
    int64_t left = kf__archive_number(archive, none ? -1 : deadline > now ? deadline - now : 0);
    return left < 0 || left > KF_FOREVER - now ? KF_FOREVER : now + left;
}

static void archive_txn(struct kf__archive *archive, struct kf__txn *txn, kf_time now)
{
    int64_t state = kf__archive_number(archive, txn->state);
    if (state < KF__TXN_EMPTY || state > KF__TXN_COMPLETE_ABORT) {
        kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
        return;
    }
    txn->state = (enum kf__txn_state)state;
    txn->producer_id = kf__archive_number(archive, txn->producer_id);
    txn->epoch = (int16_t)kf__archive_number(archive, txn->epoch);
    txn->last_epoch = (int16_t)kf__archive_number(archive, txn->last_epoch);
    txn->previous_producer_id = kf__archive_number(archive, txn->previous_producer_id);
    txn->next_producer_id = kf__archive_number(archive, txn->next_producer_id);
    txn->client_version = (int16_t)kf__archive_number(archive, txn->client_version);
    txn->timeout_ms = (int32_t)kf__archive_number(archive, txn->timeout_ms);
    txn->started_ms = kf__archive_number(archive, txn->started_ms);
    txn->changed_ms = kf__archive_number(archive, txn->changed_ms);
    txn->deadline = archive_deadline(archive, txn->deadline, now);
    size_t count = kf__archive_count(archive, txn->partition_count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        bool reads = kf__archive_reads(archive);
        struct kf__txn_partition one = {0};
        if (!reads)
            one = txn->partitions[i];
        kf__archive_text(archive, &one.topic);
        one.partition = (int32_t)kf__archive_number(archive, one.partition);
        if (!reads)
            continue;
        if (!archive->err)
            kf__archive_fail(archive, kf__txn_add(archive->alloc, txn, one.topic, one.partition));
        kf__text_free(archive->alloc, &one.topic);
    }
}

static struct kf__txn *read_txn(struct kf__archive *archive)
{
    kf_string id = {0};
    struct kf__txn *txn = NULL;
    kf__archive_text(archive, &id);
    if (!archive->err)
        kf__archive_fail(archive, kf__txn_new(archive->alloc, id, &txn));
    kf__text_free(archive->alloc, &id);
    return txn;
}

static void archive_txns(struct kf__archive *archive, struct kf__txns *txns, kf_time now)
{
    bool reads = kf__archive_reads(archive);
    size_t count = kf__archive_count(archive, txns->count);
    txns->items = kf__archive_array(archive, txns->items, count, sizeof(struct kf__txn *));
    if (reads && txns->items)
        txns->capacity = count + 1;
    for (size_t i = 0; i < count && !archive->err; i++) {
        if (reads)
            txns->items[i] = read_txn(archive);
        else
            kf__archive_text(archive, &txns->items[i]->id);
        if (!txns->items[i])
            return;
        txns->count = i + 1;
        if (i > 0 && kf__text_compare(txns->items[i - 1]->id, txns->items[i]->id) >= 0)
            kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
        archive_txn(archive, txns->items[i], now);
    }
}

static void archive_pending(struct kf__archive *archive, struct kf__pending_offsets *pending)
{
    bool reads = kf__archive_reads(archive);
    size_t count = kf__archive_count(archive, pending->count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        struct kf__pending_offset one = {0};
        if (!reads)
            one = pending->items[i];
        one.producer_id = kf__archive_number(archive, one.producer_id);
        one.epoch = (int16_t)kf__archive_number(archive, one.epoch);
        kf__archive_text(archive, &one.group);
        one.place = (int32_t)kf__archive_number(archive, one.place);
        archive_offset(archive, &one.offset);
        if (!reads)
            continue;
        if (!archive->err)
            kf__archive_fail(archive, kf__pending_put(pending, &one, one.offset.order));
        kf__text_free(archive->alloc, &one.group);
        kf__text_free(archive->alloc, &one.offset.topic);
        kf__text_free(archive->alloc, &one.offset.metadata);
    }
}

/* ---- the whole ---- */

static void archive_head(struct kf__archive *archive, struct parts *parts)
{
    kf_bytes magic = kf__archive_view(archive, (kf_bytes){(const uint8_t *)MAGIC, sizeof MAGIC});
    if (archive->err || magic.size != sizeof MAGIC ||
        memcmp(magic.data, MAGIC, sizeof MAGIC) != 0) {
        kf__archive_fail(archive, KF_ERR_BAD_MAGIC);
        return;
    }
    archive->version = kf__archive_number(archive, FORMAT_VERSION);
    if (archive->version != FORMAT_VERSION)
        kf__archive_fail(archive, KF_ERR_UNSUPPORTED_VERSION);
    kf_bytes id = kf__archive_view(
        archive, (kf_bytes){(const uint8_t *)parts->cluster_id, sizeof parts->cluster_id});
    if (!archive->err && id.size != sizeof parts->cluster_id)
        kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
    if (!archive->err) {
        memmove(parts->cluster_id, id.data, sizeof parts->cluster_id - 1);
        parts->cluster_id[sizeof parts->cluster_id - 1] = 0;
    }
    parts->next_producer_id = kf__archive_number(archive, parts->next_producer_id);
}

static void archive_parts(struct kf__archive *archive, struct parts *parts, kf_time now,
                          int64_t now_ms)
{
    archive_head(archive, parts);
    if (archive->err)
        return;
    kf__archive_topics(archive, &parts->topics);
    archive_committed(archive, &parts->committed);
    archive_groups(archive, &parts->coordinator, now_ms);
    archive_consumers(archive, &parts->consumers);
    archive_txns(archive, &parts->txns, now);
    archive_pending(archive, &parts->pending);
    kf__archive_configs(archive, &parts->configs);
    kf__archive_acls(archive, &parts->acls);
    kf__archive_quotas(archive, &parts->quotas);
    kf__archive_users(archive, &parts->users);
    kf__archive_features(archive, &parts->features);
    if (kf__archive_reads(archive) && !archive->err && kf__left(&archive->in) > 0)
        kf__archive_fail(archive, KF_ERR_TRAILING_BYTES);
}

/* Moves the broker's parts out, or in. */
static void take_parts(const kf_broker *broker, struct parts *parts)
{
    *parts = (struct parts){
        .topics = broker->topics,
        .committed = broker->committed,
        .coordinator = broker->coordinator,
        .consumers = broker->consumers,
        .txns = broker->txns,
        .pending = broker->pending,
        .configs = broker->configs,
        .acls = broker->acls,
        .quotas = broker->quotas,
        .users = broker->sasl.users,
        .features = broker->features,
        .next_producer_id = broker->next_producer_id,
    };
    memcpy(parts->cluster_id, broker->cluster_id, sizeof parts->cluster_id);
}

static void free_parts(struct parts *parts)
{
    kf__broker_topics_free(&parts->topics);
    kf__committed_free(&parts->committed);
    kf__coordinator_free(&parts->coordinator);
    kf__consumers_free(&parts->consumers);
    kf__txns_free(&parts->txns);
    kf__pending_free(&parts->pending);
    kf__configs_free(&parts->configs);
    kf__acls_free(&parts->acls);
    kf__quotas_free(&parts->quotas);
    kf__users_free(&parts->users);
}

static kf_err copy_static(const struct kf__configs *from, struct kf__configs *to)
{
    kf_err err = KF_OK;
    for (size_t i = 0; i < from->count; i++) {
        const struct kf__config_resource *resource = &from->items[i];
        for (size_t k = 0; k < resource->count && !err && resource->type == KF__RESOURCE_STATIC;
             k++)
            err = kf__configs_set(to, resource->type, resource->name, resource->items[k].name,
                                  resource->items[k].value);
    }
    return err;
}

/* Empty ones with the broker's own options. */
static kf_err open_parts(const kf_broker *broker, struct parts *parts)
{
    const kf_allocator *alloc = &broker->budget.state;
    take_parts(broker, parts);
    kf__configs_init(&parts->configs, alloc);
    parts->acls.items = NULL;
    parts->acls.count = parts->acls.capacity = 0;
    kf__users_init(&parts->users, alloc);
    kf__quotas_init(&parts->quotas, alloc);
    kf__broker_topics_init(&parts->topics, alloc, broker->topics.node_count, 0);
    memcpy(parts->topics.runs, broker->topics.runs, sizeof parts->topics.runs);
    kf__committed_init(&parts->committed, alloc);
    parts->coordinator.groups = NULL;
    parts->coordinator.group_count = 0;
    parts->consumers.groups = NULL;
    parts->consumers.group_count = 0;
    parts->consumers.bytes = 0;
    kf__txns_init(&parts->txns, alloc, broker->txns.sink);
    parts->txns.expiration_ms = broker->txns.expiration_ms;
    kf__pending_init(&parts->pending, alloc);
    return copy_static(&broker->configs, &parts->configs);
}

static void put_parts(kf_broker *broker, const struct parts *parts)
{
    struct parts old;
    take_parts(broker, &old);
    kf__server_close_all(broker);
    kf__fetch_sessions_free(&broker->sessions);
    broker->topics = parts->topics;
    broker->committed = parts->committed;
    broker->coordinator = parts->coordinator;
    broker->consumers = parts->consumers;
    broker->txns = parts->txns;
    broker->pending = parts->pending;
    broker->configs = parts->configs;
    broker->acls = parts->acls;
    broker->quotas = parts->quotas;
    broker->sasl.users = parts->users;
    broker->features = parts->features;
    broker->next_producer_id = parts->next_producer_id;
    memcpy(broker->cluster_id, parts->cluster_id, sizeof broker->cluster_id);
    kf__server_stir_groups(broker);
    broker->changes++;
    free_parts(&old);
}

void *kf_broker_snapshot(kf_broker *broker, size_t *size)
{
    kf_writer out;
    struct parts parts;
    kf_writer_init(&out, broker->alloc);
    struct kf__archive archive = {.alloc = broker->alloc, .out = &out};
    pthread_mutex_lock(&broker->lock);
    take_parts(broker, &parts);
    archive_parts(&archive, &parts, kf__broker_now(broker), kf__broker_wall_ms(broker));
    pthread_mutex_unlock(&broker->lock);
    if (archive.err || out.err) {
        kf_writer_free(&out);
        return NULL;
    }
    *size = out.used;
    return out.bytes;
}

void kf_broker_snapshot_free(kf_broker *broker, void *bytes) { kf_free(broker->alloc, bytes); }

static kf_err explain(kf_err err, int64_t version, kf_error *error)
{
    if (err == KF_ERR_NO_MEMORY)
        return kf_error_set(error, err, "out of memory");
    if (err == KF_ERR_BAD_MAGIC)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "these bytes are no snapshot");
    if (err == KF_ERR_UNSUPPORTED_VERSION)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "the snapshot is of format %lld, this broker reads %d",
                            (long long)version, FORMAT_VERSION);
    if (err == KF_ERR_BROKER_NOT_AVAILABLE)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "the snapshot is of a cluster with more nodes");
    return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "the snapshot is damaged: %s",
                        kf_err_text(err));
}

kf_err kf_broker_restore(kf_broker *broker, const void *bytes, size_t size, kf_error *error)
{
    struct parts parts;
    struct kf__archive archive = {.alloc = broker->alloc, .in = kf__cursor_over(bytes, size)};
    pthread_mutex_lock(&broker->lock);
    kf__server_end_poll(broker); /* it closes all connections */
    archive.err = open_parts(broker, &parts);
    archive_parts(&archive, &parts, kf__broker_now(broker), kf__broker_wall_ms(broker));
    if (!archive.err)
        kf__archive_fail(&archive, kf__users_adopt(&parts.users, &broker->sasl.users));
    if (archive.err) {
        free_parts(&parts);
    } else {
        put_parts(broker, &parts);
        kf__apply_configs(broker, NULL);
        for (int32_t node = 1; node <= broker->topics.node_count; node++)
            if (!broker->topics.runs[node])
                kf__topics_set_running(&broker->topics, node, false);
    }
    kf__server_wake(&broker->server);
    pthread_mutex_unlock(&broker->lock);
    return archive.err ? explain(archive.err, archive.version, error) : KF_OK;
}

/* ---- files ---- */

kf_err kf_broker_snapshot_file(kf_broker *broker, const char *path, kf_error *error)
{
    size_t size = 0;
    void *bytes = kf_broker_snapshot(broker, &size);
    if (!bytes)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "out of memory");
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file) != 0)
        written = false;
    kf_broker_snapshot_free(broker, bytes);
    return written ? KF_OK
                   : kf_error_set(error, KF_ERR_SYSTEM, "cannot write the snapshot %s: %s", path,
                                  strerror(errno));
}

kf_err kf_broker_restore_file(kf_broker *broker, const char *path, kf_error *error)
{
    kf_error own = KF_ERROR_INIT;
    FILE *file = fopen(path, "rb");
    long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    uint8_t *bytes =
        size >= 0 && size <= MAX_FILE_BYTES ? kf_alloc(broker->alloc, (size_t)size + 1) : NULL;
    if (bytes)
        rewind(file);
    bool whole = bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size;
    kf_err err = KF_OK;
    if (!whole)
        err = kf_error_set(error, KF_ERR_SYSTEM, "cannot read the snapshot %s: %s", path,
                           strerror(errno));
    else if (kf_broker_restore(broker, bytes, (size_t)size, &own))
        err = kf_error_set(error, own.code, "%s: %s", path, own.text);
    kf_free(broker->alloc, bytes);
    if (file)
        fclose(file);
    return err;
}
