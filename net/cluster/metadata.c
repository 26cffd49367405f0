/*
 * metadata: asks for it, takes it in, and asks again.
 *
 *   wanted, or too old ──▶ ask any broker ──▶ brokers, topics ──▶ tell
 *            ▲                  │ fails: back-off      │ not all there: back-off
 *            └──────────────────┴──────────────────────┘
 *
 * Where every known broker is gone, or one says so, the bootstrap hosts are
 * asked again (KIP-899, KIP-1102). An answer of another cluster is refused.
 */
#include "net/cluster/cluster_inner.h"
#include "net/loop/times.h"

#include <string.h>

static kf_time now_of(const struct kf__cluster *cluster) { return kf__loop_now(cluster->loop); }

/* ---- when ---- */

static kf_time due(const struct kf__cluster *cluster)
{
    const struct kf__metadata *it = &cluster->metadata;
    const struct kf__cluster_settings *settings = &cluster->settings;
    if (!it->wanted)
        return it->answered_at ? kf__after(it->answered_at, settings->metadata_max_age)
                               : KF_FOREVER;
    if (!it->asked_at)
        return now_of(cluster);
    const struct kf__world *world = kf__loop_world(cluster->loop);
    return kf__after(it->asked_at,
                     kf__back_off(settings->retry_backoff, settings->retry_backoff_max,
                                  it->attempts, world->random(world->context)));
}

static void schedule(struct kf__cluster *cluster)
{
    struct kf__metadata *it = &cluster->metadata;
    if (!kf__call_is_under_way(&it->call) && !cluster->closing)
        kf__timer_set(cluster->loop, &it->timer, due(cluster));
}

void kf__cluster_refresh(struct kf__cluster *cluster)
{
    if (cluster->metadata.wanted)
        return;
    cluster->metadata.wanted = true;
    schedule(cluster);
}

/* ---- asking ---- */

static bool asks_for(const struct kf__cluster *cluster, int32_t index)
{
    return cluster->topics.items[index]->wanted > 0;
}

static int32_t wanted_count(const struct kf__cluster *cluster)
{
    int32_t count = 0;
    for (int32_t i = 0; i < cluster->topics.count; i++)
        count += asks_for(cluster, i);
    return count;
}

static kf_err name_topics(const struct kf__cluster *cluster, kf_arena *arena,
                          struct kf_metadata_request *request)
{
    int32_t count = wanted_count(cluster);
    size_t size = sizeof *request->topics.items;
    request->topics.items = kf_arena_alloc(arena, (size_t)(count + 1) * size);
    if (!request->topics.items)
        return KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < cluster->topics.count; i++) {
        if (!asks_for(cluster, i))
            continue;
        const struct kf__topic *topic = cluster->topics.items[i];
        request->topics.items[request->topics.count++].name =
            (kf_string){topic->info.name, topic->name_size};
    }
    return KF_OK;
}

/* All topics are null from version 1 on, and an empty list in version 0, which can't ask for none.
 */
static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    const struct kf__cluster *cluster = call->owner;
    struct kf_metadata_request *request = kf_arena_alloc(arena, sizeof *request);
    if (!request)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_metadata_request, request);
    if (version >= 4)
        request->allow_auto_topic_creation = cluster->settings.allow_auto_create;
    request->topics.items = NULL;
    request->topics.count = cluster->want_all && version >= 1 ? -1 : 0;
    *message = request;
    return cluster->want_all ? KF_OK : name_topics(cluster, arena, request);
}

static void ask(struct kf__timer *timer, void *owner)
{
    struct kf__cluster *cluster = owner;
    struct kf__metadata *it = &cluster->metadata;
    kf_time now = now_of(cluster);
    (void)timer;
    it->wanted = false;
    it->asked_at = now;
    it->call.deadline = kf__after(now, cluster->settings.request_timeout);
    kf__cluster_send(cluster, KF__NODE_ANY, KF__LANE_CONTROL, &it->call);
}

/* ---- taking in ---- */

static kf_err put_broker(struct kf__cluster *cluster,
                         const struct kf_metadata_response_broker *broker, bool *changed)
{
    if (broker->node_id < 0)
        return KF_OK;
    kf_err err = kf__nodes_put(&cluster->nodes, cluster, broker->node_id, broker->host,
                               broker->port, broker->rack, changed);
    /* A broker without a usable address is no broker. */
    return err == KF_ERR_INVALID_ARGUMENT ? KF_OK : err;
}

static kf_err take_brokers(struct kf__cluster *cluster, const struct kf_metadata_response *answer,
                           bool *changed)
{
    struct kf__nodes *nodes = &cluster->nodes;
    for (int32_t i = 0; i < nodes->count; i++) {
        nodes->items[i]->known_before = nodes->items[i]->known;
        nodes->items[i]->known = false;
    }
    kf_err err = KF_OK;
    for (int32_t i = 0; i < answer->brokers.count && !err; i++)
        err = put_broker(cluster, &answer->brokers.items[i], changed);
    for (int32_t i = 0; i < nodes->count; i++)
        *changed |= nodes->items[i]->known_before != nodes->items[i]->known;
    return err;
}

static bool is_usable(const struct kf_metadata_response *answer)
{
    return answer->brokers.count > 0;
}

/* KF_ERR_CLUSTER_CHANGED where the answer is of another cluster than before. */
static kf_err pin_cluster(struct kf__cluster *cluster, kf_string id)
{
    if (!id.data)
        return KF_OK;
    if (cluster->id) {
        bool same = strlen(cluster->id) == id.size && memcmp(cluster->id, id.data, id.size) == 0;
        return same ? KF_OK : KF_ERR_CLUSTER_CHANGED;
    }
    char *copy = kf_alloc(cluster->alloc, id.size + 1);
    if (!copy)
        return KF_ERR_NO_MEMORY;
    memcpy(copy, id.data, id.size);
    copy[id.size] = 0;
    cluster->id = copy;
    return KF_OK;
}

static kf_err take_topic(struct kf__cluster *cluster, const struct kf_metadata_response_topic *news,
                         int16_t version, bool *changed)
{
    if (!news->name.data)
        return KF_OK;
    int32_t index = kf__topics_find(&cluster->topics, news->name.data, news->name.size);
    if (index < 0 && cluster->want_all) {
        kf_err err = kf__topics_intern(&cluster->topics, news->name.data, news->name.size, &index);
        if (err)
            return err;
    }
    if (index < 0)
        return KF_OK;
    return kf__topics_merge(&cluster->topics, cluster->topics.items[index], news, version, changed);
}

/* A listing of all topics also says which are gone. */
static void forget_missing(struct kf__cluster *cluster, bool *changed)
{
    for (int32_t i = 0; i < cluster->topics.count; i++) {
        struct kf__topic *topic = cluster->topics.items[i];
        if (topic->seen ||
            (topic->info.known && topic->info.error == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION))
            continue;
        topic->info.known = true;
        topic->info.error = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
        *changed = true;
    }
}

static kf_err take_topics(struct kf__cluster *cluster, const struct kf_metadata_response *answer,
                          int16_t version, bool *changed)
{
    for (int32_t i = 0; i < cluster->topics.count; i++)
        cluster->topics.items[i]->seen = false;
    for (int32_t i = 0; i < answer->topics.count; i++) {
        kf_err err = take_topic(cluster, &answer->topics.items[i], version, changed);
        if (err)
            return err;
    }
    if (cluster->want_all)
        forget_missing(cluster, changed);
    return KF_OK;
}

/* A wanted topic without leader, or that is not there yet, is asked for again soon. */
static bool lacks_something(const struct kf__cluster *cluster, const struct kf__topic *topic)
{
    if (topic->wanted <= 0)
        return false;
    if (!topic->info.known || topic->info.error)
        return !topic->info.known || kf_err_retriable(topic->info.error);
    for (int32_t i = 0; i < topic->info.partition_count; i++) {
        int32_t leader = topic->info.partitions[i].leader;
        if (leader < 0 || !kf__cluster_has_node(cluster, leader))
            return true;
    }
    return false;
}

static bool is_complete(const struct kf__cluster *cluster)
{
    for (int32_t i = 0; i < cluster->topics.count; i++)
        if (lacks_something(cluster, cluster->topics.items[i]))
            return false;
    return true;
}

static kf_err take_in(struct kf__cluster *cluster, const struct kf_metadata_response *answer,
                      int16_t version, bool *changed)
{
    kf_err err = take_brokers(cluster, answer, changed);
    if (!err)
        err = take_topics(cluster, answer, version, changed);
    cluster->controller = version >= 1 ? answer->controller_id : -1;
    cluster->bootstrapped = true;
    kf__cluster_tidy_later(cluster);
    return err;
}

/* ---- again from the bootstrap hosts ---- */

void kf__metadata_rebootstrap(struct kf__cluster *cluster, const char *why)
{
    if (!cluster->bootstrapped)
        return;
    cluster->bootstrapped = false;
    cluster->metadata.failing_since = 0;
    kf__cluster_log(cluster, KF_LOG_WARNING, "cluster.rebootstrap", -1, KF_OK,
                    "%s: the bootstrap servers are asked again", why);
    kf__cluster_refresh(cluster);
}

static bool may_rebootstrap(const struct kf__cluster *cluster)
{
    return cluster->bootstrapped && cluster->settings.rebootstrap_after != KF_FOREVER;
}

/* Whether each known broker was tried and rests after a failure. */
static bool all_are_down(const struct kf__cluster *cluster)
{
    for (int32_t i = 0; i < cluster->nodes.count; i++) {
        const struct kf__node *node = cluster->nodes.items[i];
        const struct kf__link *link = node->lanes[KF__LANE_CONTROL].link;
        if (node->known && (!link || link->conn.state != KF__CONN_BACKOFF))
            return false;
    }
    return true;
}

void kf__metadata_lost_broker(struct kf__cluster *cluster)
{
    if (may_rebootstrap(cluster) && all_are_down(cluster))
        kf__metadata_rebootstrap(cluster, "no known broker can be reached");
}

static void note_failure(struct kf__cluster *cluster)
{
    struct kf__metadata *it = &cluster->metadata;
    kf_time now = now_of(cluster);
    it->attempts++;
    it->wanted = true;
    if (!it->failing_since)
        it->failing_since = it->asked_at;
    if (may_rebootstrap(cluster) &&
        now >= kf__after(it->failing_since, cluster->settings.rebootstrap_after))
        kf__metadata_rebootstrap(cluster, "no broker has answered for metadata for too long");
}

/* ---- the answer ---- */

static void take_answer(struct kf__cluster *cluster, const struct kf__answer *answer)
{
    const struct kf_metadata_response *message = answer->message;
    struct kf__metadata *it = &cluster->metadata;
    if (message->error_code == KF_ERR_REBOOTSTRAP_REQUIRED) {
        note_failure(cluster);
        kf__metadata_rebootstrap(cluster, "a broker says that it left the cluster");
        return;
    }
    kf_err err = pin_cluster(cluster, message->cluster_id);
    if (err == KF_ERR_CLUSTER_CHANGED) {
        kf__cluster_fatal(cluster, err,
                          "%s belongs to cluster %.*s, not to %s as before: check "
                          "bootstrap.servers",
                          kf__cluster_node_name(cluster, answer->node),
                          (int)message->cluster_id.size, message->cluster_id.data, cluster->id);
    }
    if (err || message->error_code || !is_usable(message)) {
        note_failure(cluster);
        return;
    }
    bool changed = false;
    err = take_in(cluster, message, answer->version, &changed);
    it->answered_at = now_of(cluster);
    it->failing_since = 0;
    bool complete = !err && is_complete(cluster);
    it->attempts = complete ? 0 : it->attempts + 1;
    it->wanted |= !complete;
    schedule(cluster);
    if (cluster->events.metadata)
        cluster->events.metadata(cluster->events.owner, changed);
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__cluster *cluster = call->owner;
    if (err && err != KF_ERR_CLOSED) {
        note_failure(cluster);
        kf__cluster_log(cluster, KF_LOG_DEBUG, "metadata.failed", -1, err,
                        "metadata could not be had: %s", kf_err_text(err));
    } else if (!err) {
        take_answer(cluster, answer);
    }
    schedule(cluster);
}

void kf__metadata_open(struct kf__cluster *cluster)
{
    struct kf__metadata *it = &cluster->metadata;
    it->call = (struct kf__call){
        .api_key = KF_API_METADATA, .build = build, .done = done, .owner = cluster};
    kf__timer_init(&it->timer, ask, cluster);
}

void kf__metadata_close(struct kf__cluster *cluster)
{
    kf__timer_cancel(cluster->loop, &cluster->metadata.timer);
    kf__call_cancel(&cluster->metadata.call);
}

/* ---- what is wanted ---- */

kf_err kf__cluster_add_topic(struct kf__cluster *cluster, const char *name, int32_t *index)
{
    kf_err err = kf__topics_intern(&cluster->topics, name, strlen(name), index);
    if (err)
        return err;
    struct kf__topic *topic = cluster->topics.items[*index];
    topic->wanted++;
    if (!topic->info.known || topic->wanted == 1)
        kf__cluster_refresh(cluster);
    return KF_OK;
}

void kf__cluster_remove_topic(struct kf__cluster *cluster, int32_t index)
{
    struct kf__topic *topic = cluster->topics.items[index];
    if (topic->wanted > 0)
        topic->wanted--;
}

void kf__cluster_want_all_topics(struct kf__cluster *cluster, bool all)
{
    if (all && !cluster->want_all)
        kf__cluster_refresh(cluster);
    cluster->want_all = all;
}

void kf__cluster_learn_leader(struct kf__cluster *cluster, int32_t index, int32_t partition,
                              int32_t leader, int32_t leader_epoch)
{
    if (index < 0 || index >= cluster->topics.count)
        return;
    struct kf__topic *topic = cluster->topics.items[index];
    if (partition < 0 || partition >= topic->info.partition_count)
        return;
    struct kf__partition_info *info = &topic->partitions[partition];
    if (leader_epoch <= info->leader_epoch)
        return;
    info->leader = leader;
    info->leader_epoch = leader_epoch;
    info->error = KF_OK;
    if (!kf__cluster_has_node(cluster, leader))
        kf__cluster_refresh(cluster);
}

void kf__cluster_learn_node(struct kf__cluster *cluster, int32_t node, kf_string host, int32_t port,
                            kf_string rack)
{
    bool changed = false;
    if (node >= 0 && !kf__cluster_has_node(cluster, node))
        kf__nodes_put(&cluster->nodes, cluster, node, host, port, rack, &changed);
}
