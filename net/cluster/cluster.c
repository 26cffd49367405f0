/*
 * cluster: brokers, lanes and calls; see cluster.h.
 *
 *   kf__cluster_send ──▶ which node? ──▶ its lane's link ──▶ conn
 *                           │ any: a ready one, else one to try
 *                           └ unknown: NO_BROKER, at the end of the turn
 *
 * metadata.c keeps nodes and topics fresh, coordinator.c finds coordinators.
 */
#include "net/cluster/cluster_inner.h"
#include "net/loop/times.h"

#include <stdarg.h>
#include <string.h>

enum {
    LOG_AGAIN_SECONDS = 30 /* the same failure of the same broker, in the log */
};

static kf_time now_of(const struct kf__cluster *cluster) { return kf__loop_now(cluster->loop); }

static uint64_t random_of(const struct kf__cluster *cluster)
{
    const struct kf__world *world = kf__loop_world(cluster->loop);
    return world->random(world->context);
}

/* ---- telling ---- */

static void log_text(struct kf__cluster *cluster, kf_log_level level, const char *name,
                     int32_t node, kf_err err, const char *text)
{
    if (!cluster->events.log)
        return;
    kf_log_event event = {.level = level,
                          .name = name,
                          .text = text,
                          .partition = -1,
                          .offset = -1,
                          .node = node,
                          .error = err};
    cluster->events.log(cluster->events.owner, &event);
}

void kf__cluster_log(struct kf__cluster *cluster, kf_log_level level, const char *name,
                     int32_t node, kf_err err, const char *format, ...)
{
    char text[KF_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_text(cluster, level, name, node, err, text);
}

void kf__cluster_fatal(struct kf__cluster *cluster, kf_err err, const char *format, ...)
{
    if (cluster->told_fatal)
        return;
    cluster->told_fatal = true;
    char text[KF_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_text(cluster, KF_LOG_ERROR, "cluster.fatal", -1, err, text);
    if (cluster->events.fatal)
        cluster->events.fatal(cluster->events.owner, err, text);
}

/* A broker that is down is told of at once, and then now and then. */
static void log_failure(struct kf__node *node, const struct kf__conn *conn, bool was_ready)
{
    kf_time now = now_of(node->cluster);
    bool again = node->logged_err == conn->err &&
                 now < kf__after(node->logged_at, LOG_AGAIN_SECONDS * KF_SECOND);
    if (again || node->cluster->closing)
        return;
    node->logged_at = now;
    node->logged_err = conn->err;
    log_text(node->cluster, KF_LOG_WARNING, was_ready ? "connection.closed" : "connection.failed",
             node->id <= KF__SEED_ID ? -1 : node->id, conn->err, conn->text);
}

/* ---- which broker ---- */

/* The lower the better: working, on its way, never tried, resting. */
static int rank(const struct kf__node *node)
{
    const struct kf__link *link = node->lanes[KF__LANE_CONTROL].link;
    if (!link || link->conn.state == KF__CONN_IDLE)
        return 2;
    if (link->conn.state == KF__CONN_READY)
        return 0;
    return link->conn.state == KF__CONN_BACKOFF ? 3 : 1;
}

static kf_time retry_of(const struct kf__node *node)
{
    const struct kf__link *link = node->lanes[KF__LANE_CONTROL].link;
    return link ? link->conn.retry_at : 0;
}

static bool is_better(const struct kf__node *node, const struct kf__node *best)
{
    if (!best || rank(node) != rank(best))
        return !best || rank(node) < rank(best);
    return rank(node) == 3 && retry_of(node) < retry_of(best);
}

/* From a random place on, so that clients spread over the brokers. */
static struct kf__node *best_of(const struct kf__cluster *cluster, const struct kf__nodes *nodes,
                                struct kf__node *best)
{
    if (!nodes->count)
        return best;
    int32_t start = (int32_t)(random_of(cluster) % (uint64_t)nodes->count);
    for (int32_t i = 0; i < nodes->count; i++) {
        struct kf__node *node = nodes->items[(start + i) % nodes->count];
        if (node->known && is_better(node, best))
            best = node;
    }
    return best;
}

static struct kf__node *any_node(const struct kf__cluster *cluster)
{
    struct kf__node *best = best_of(cluster, &cluster->nodes, NULL);
    if (!cluster->bootstrapped || !best)
        best = best_of(cluster, &cluster->seeds, best);
    return best;
}

static struct kf__node *known_node(const struct kf__cluster *cluster, int32_t id)
{
    struct kf__node *node = kf__nodes_find(&cluster->nodes, id);
    return node && node->known ? node : NULL;
}

static void send_to(struct kf__cluster *cluster, struct kf__node *node, struct kf__call *call)
{
    struct kf__link *link = node ? kf__node_link(node, call->lane) : NULL;
    if (link)
        kf__link_send(link, call);
    else
        kf__cluster_end_later(cluster, call, node ? KF_ERR_NO_MEMORY : KF_ERR_NO_BROKER);
}

void kf__cluster_send(struct kf__cluster *cluster, int32_t id, enum kf__lane lane,
                      struct kf__call *call)
{
    struct kf__node *node = NULL;
    if (id == KF__NODE_CONTROLLER)
        node = known_node(cluster, cluster->controller);
    else if (id != KF__NODE_ANY)
        node = known_node(cluster, id);
    /* Whoever is asked for the controller's work passes it on, where there is a KRaft quorum. */
    call->anywhere = id < 0;
    call->lane = call->anywhere ? KF__LANE_CONTROL : (uint8_t)lane;
    if (cluster->closing)
        kf__cluster_end_later(cluster, call, KF_ERR_CLOSED);
    else
        send_to(cluster, call->anywhere && !node ? any_node(cluster) : node, call);
}

void kf__cluster_end_later(struct kf__cluster *cluster, struct kf__call *call, kf_err err)
{
    call->err = err;
    kf__calls_append(&cluster->ended, call);
    kf__cluster_tidy_later(cluster);
}

/* ---- connections' news ---- */

/* Calls for any broker don't wait for one that failed. */
static void rehome_calls(struct kf__cluster *cluster, struct kf__link *link)
{
    struct kf__call_list moving = {0};
    for (struct kf__call *call = link->conn.waiting.first, *next; call; call = next) {
        next = call->next;
        if (!call->anywhere)
            continue;
        kf__calls_remove(call);
        kf__calls_append(&moving, call);
    }
    struct kf__call *call;
    while ((call = kf__calls_take(&moving)))
        send_to(cluster, any_node(cluster), call);
}

/* What a broker's restart or the network cannot cause. */
static bool is_wrong_kind(const struct kf__node *node)
{
    const struct kf__link *link = node->lanes[KF__LANE_CONTROL].link;
    switch (link ? link->conn.err : KF_OK) {
    case KF_ERR_TLS_EXPECTED:
    case KF_ERR_NOT_KAFKA:
    case KF_ERR_UNSUPPORTED_SASL_MECHANISM:
    case KF_ERR_ILLEGAL_SASL_STATE:
    case KF_ERR_SASL_AUTHENTICATION_FAILED:
    case KF_ERR_SASL_MALFORMED:
    case KF_ERR_SASL_SERVER_UNPROVEN:
    case KF_ERR_TLS_UNTRUSTED:
    case KF_ERR_TLS_EXPIRED:
    case KF_ERR_TLS_NOT_YET_VALID:
    case KF_ERR_TLS_WRONG_NAME:
    case KF_ERR_TLS_NOTHING_IN_COMMON:
    case KF_ERR_TLS_CERTIFICATE_REQUIRED:
    case KF_ERR_TLS_CERTIFICATE_REFUSED:
        return true;
    default:
        return false;
    }
}

/* Nobody waits for the end of his patience when he can be told now. */
static void end_waiting(struct kf__cluster *cluster, struct kf__node *seed, kf_err err)
{
    struct kf__call *call;
    for (int lane = 0; lane < KF__LANES; lane++)
        while (seed->lanes[lane].link &&
               (call = kf__calls_take(&seed->lanes[lane].link->conn.waiting)))
            kf__cluster_end_later(cluster, call, err);
}

/* No retry helps when every bootstrap host speaks something else. */
static void tell_when_all_are_wrong(struct kf__cluster *cluster, const struct kf__conn *conn)
{
    if (cluster->metadata.answered_at)
        return;
    for (int32_t i = 0; i < cluster->seeds.count; i++)
        if (!is_wrong_kind(cluster->seeds.items[i]))
            return;
    kf__cluster_fatal(cluster, conn->err, "%s", conn->text);
    for (int32_t i = 0; i < cluster->seeds.count; i++)
        end_waiting(cluster, cluster->seeds.items[i], conn->err);
}

/* Handshakes read changed files: both their ends come with what became of that. */
static void tell_of_certificates(struct kf__cluster *cluster)
{
    const struct kf__security *security = cluster->conns.security;
    struct kf__tls_news news;
    if (!security || !security->tls || !kf__tls_context_news(security->tls, &news))
        return;
    log_text(cluster, news.err ? KF_LOG_ERROR : KF_LOG_INFO,
             news.err ? "tls.reload.failed" : "tls.reloaded", -1, news.err, news.text);
}

static void link_failed(void *owner, bool was_ready)
{
    struct kf__lane_slot *slot = owner;
    struct kf__cluster *cluster = slot->node->cluster;
    if (cluster->closing)
        return;
    tell_of_certificates(cluster);
    log_failure(slot->node, &slot->link->conn, was_ready);
    tell_when_all_are_wrong(cluster, &slot->link->conn);
    kf__metadata_lost_broker(cluster);
    rehome_calls(cluster, slot->link);
    kf__link_stir(slot->link);
    if (cluster->metadata.answered_at)
        kf__cluster_refresh(cluster);
}

static void link_opened(void *owner)
{
    struct kf__lane_slot *slot = owner;
    slot->node->logged_err = KF_OK;
    tell_of_certificates(slot->node->cluster);
    kf__cluster_log(slot->node->cluster, KF_LOG_DEBUG, "connection.ready",
                    slot->node->id <= KF__SEED_ID ? -1 : slot->node->id, KF_OK, "%s is connected",
                    slot->node->name);
}

struct kf__link *kf__cluster_make_link(struct kf__cluster *cluster, struct kf__lane_slot *slot)
{
    const struct kf__node *node = slot->node;
    struct kf__conn_events events = {.owner = slot, .opened = link_opened, .failed = link_failed};
    return kf__link_new(cluster->loop, &cluster->conns, &events, node->name, node->host, node->port,
                        node->id);
}

/* ---- the end of the turn ---- */

void kf__cluster_tidy_later(struct kf__cluster *cluster)
{
    kf__loop_defer(cluster->loop, &cluster->tidy);
}

void kf__cluster_break_later(struct kf__cluster *cluster, struct kf__lane_slot *slot)
{
    slot->moved = true;
    kf__cluster_tidy_later(cluster);
}

static void break_if_moved(struct kf__cluster *cluster, struct kf__lane_slot *slot)
{
    if (!slot->moved)
        return;
    slot->moved = false;
    kf__conn_break(&slot->link->conn, now_of(cluster), KF_ERR_DISCONNECTED,
                   "the broker has another address now");
    kf__link_stir(slot->link);
}

/* Calls that wait for a broker which metadata no longer has. */
static void end_calls_of_the_gone(struct kf__cluster *cluster, struct kf__node *node)
{
    for (int lane = 0; lane < KF__LANES; lane++) {
        struct kf__link *link = node->lanes[lane].link;
        struct kf__call *call;
        while (link && link->conn.state != KF__CONN_READY &&
               (call = kf__calls_take(&link->conn.waiting)))
            if (call->anywhere)
                send_to(cluster, any_node(cluster), call);
            else
                kf__cluster_end_later(cluster, call, KF_ERR_NO_BROKER);
    }
}

static void tidy_nodes(struct kf__cluster *cluster)
{
    for (int32_t i = 0; i < cluster->nodes.count; i++) {
        struct kf__node *node = cluster->nodes.items[i];
        for (int lane = 0; lane < KF__LANES; lane++)
            break_if_moved(cluster, &node->lanes[lane]);
        if (!node->known)
            end_calls_of_the_gone(cluster, node);
    }
}

/* Once the brokers are known by their own names, the bootstrap connection is one too many. */
static void tidy_seeds(struct kf__cluster *cluster)
{
    for (int32_t i = 0; cluster->bootstrapped && i < cluster->seeds.count; i++) {
        struct kf__link *link = cluster->seeds.items[i]->lanes[KF__LANE_CONTROL].link;
        if (!link)
            continue;
        kf__conn_hang_up_when_unused(&link->conn, now_of(cluster));
        kf__link_stir(link);
    }
}

static void tidy(struct kf__task *task)
{
    struct kf__cluster *cluster =
        (struct kf__cluster *)(void *)((char *)task - offsetof(struct kf__cluster, tidy));
    tidy_nodes(cluster);
    tidy_seeds(cluster);
    struct kf__call_list list = {0};
    struct kf__call *call;
    while ((call = kf__calls_take(&cluster->ended)))
        kf__calls_append(&list, call);
    while ((call = kf__calls_take(&list)))
        kf__call_end(call, call->err, NULL);
}

/* ---- open and close ---- */

static char *copy_name(const kf_allocator *alloc, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = kf_alloc(alloc, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static void set_conn_settings(struct kf__cluster *cluster)
{
    const struct kf__cluster_settings *settings = &cluster->settings;
    cluster->conns = (struct kf__conn_settings){
        .alloc = cluster->alloc,
        .world = kf__loop_world(cluster->loop),
        .slabs = cluster->slabs,
        .security = settings->security,
        .client_id = settings->client_id,
        .request_timeout = settings->request_timeout,
        .setup_timeout = settings->setup_timeout,
        .setup_timeout_max = settings->setup_timeout_max,
        .reconnect_backoff = settings->reconnect_backoff,
        .reconnect_backoff_max = settings->reconnect_backoff_max,
        .max_idle = settings->max_idle,
        .receive_max = settings->receive_max,
    };
}

static kf_err add_seeds(struct kf__cluster *cluster, const struct kf__cluster_settings *settings)
{
    if (!settings->bootstrap_count)
        return KF_ERR_INVALID_ARGUMENT;
    for (size_t i = 0; i < settings->bootstrap_count; i++) {
        const struct kf__host *host = &settings->bootstrap[i];
        bool changed = false;
        kf_string name = {host->name, strlen(host->name)}, no_rack = {NULL, 0};
        kf_err err = kf__nodes_put(&cluster->seeds, cluster, KF__SEED_ID - (int32_t)i, name,
                                   host->port, no_rack, &changed);
        if (err)
            return err;
    }
    return KF_OK;
}

static kf_err fill(struct kf__cluster *cluster, const struct kf__cluster_settings *settings)
{
    cluster->settings = *settings;
    cluster->settings.bootstrap = NULL;
    cluster->settings.client_id = NULL;
    kf__security_retain(settings->security);
    if (settings->client_id) {
        cluster->settings.client_id = copy_name(cluster->alloc, settings->client_id);
        if (!cluster->settings.client_id)
            return KF_ERR_NO_MEMORY;
    }
    cluster->slabs = kf__slab_pool_new(cluster->alloc, settings->slab_keep);
    if (!cluster->slabs)
        return KF_ERR_NO_MEMORY;
    set_conn_settings(cluster);
    if (settings->security && settings->security->any_name)
        log_text(cluster, KF_LOG_WARNING, "tls.name.unverified", -1, KF_OK,
                 "ssl.endpoint.identification.algorithm is empty: whoever has a certificate of a "
                 "trusted authority can pretend to be a broker");
    return add_seeds(cluster, settings);
}

kf_err kf__cluster_open(struct kf__loop *loop, const struct kf__cluster_settings *settings,
                        const struct kf__cluster_events *events, struct kf__cluster **result)
{
    *result = NULL;
    const kf_allocator *alloc = kf__loop_alloc(loop);
    struct kf__cluster *cluster = kf_alloc_zero(alloc, sizeof *cluster);
    if (!cluster)
        return KF_ERR_NO_MEMORY;
    cluster->loop = loop;
    cluster->alloc = alloc;
    cluster->events = *events;
    cluster->controller = -1;
    cluster->tidy.run = tidy;
    kf__nodes_init(&cluster->seeds, alloc);
    kf__nodes_init(&cluster->nodes, alloc);
    kf__topics_init(&cluster->topics, alloc);
    kf__metadata_open(cluster);

    kf_err err = fill(cluster, settings);
    if (err)
        kf__cluster_close(cluster);
    else
        *result = cluster;
    return err;
}

void kf__cluster_close(struct kf__cluster *cluster)
{
    if (!cluster)
        return;
    cluster->closing = true;
    kf__metadata_close(cluster);
    kf__nodes_free(&cluster->nodes, KF_ERR_CLOSED);
    kf__nodes_free(&cluster->seeds, KF_ERR_CLOSED);
    struct kf__call *call;
    while ((call = kf__calls_take(&cluster->ended)))
        kf__call_end(call, call->err, NULL);
    kf__loop_undefer(cluster->loop, &cluster->tidy);
    kf__topics_free(&cluster->topics);
    kf__slab_pool_drop(cluster->slabs);
    kf_free(cluster->alloc, (char *)cluster->settings.client_id);
    kf__security_release(cluster->settings.security);
    kf_free(cluster->alloc, cluster->id);
    kf_free(cluster->alloc, cluster);
}

/* ---- questions ---- */

int32_t kf__cluster_topic_count(const struct kf__cluster *cluster) { return cluster->topics.count; }

const struct kf__topic_info *kf__cluster_topic(const struct kf__cluster *cluster, int32_t index)
{
    bool there = index >= 0 && index < cluster->topics.count;
    return there ? &cluster->topics.items[index]->info : NULL;
}

int32_t kf__cluster_find_topic(const struct kf__cluster *cluster, const char *name, size_t size)
{
    return kf__topics_find(&cluster->topics, name, size);
}

int32_t kf__cluster_find_topic_id(const struct kf__cluster *cluster, const kf_uuid *id)
{
    return kf__topics_find_id(&cluster->topics, id);
}

const char *kf__cluster_rack(const struct kf__cluster *cluster, int32_t id)
{
    const struct kf__node *node = known_node(cluster, id);
    return node ? node->rack : NULL;
}

bool kf__cluster_has_node(const struct kf__cluster *cluster, int32_t id)
{
    return known_node(cluster, id) != NULL;
}

const char *kf__cluster_node_name(struct kf__cluster *cluster, int32_t id)
{
    const struct kf__node *node =
        kf__nodes_find(id <= KF__SEED_ID ? &cluster->seeds : &cluster->nodes, id);
    if (node && node->name)
        return node->name;
    snprintf(cluster->text, sizeof cluster->text, "unknown broker %d", (int)id);
    return cluster->text;
}

const char *kf__cluster_id(const struct kf__cluster *cluster) { return cluster->id; }

int32_t kf__cluster_controller(const struct kf__cluster *cluster) { return cluster->controller; }

int32_t kf__cluster_node_count(const struct kf__cluster *cluster)
{
    int32_t count = 0;
    for (int32_t i = 0; i < cluster->nodes.count; i++)
        count += cluster->nodes.items[i]->known;
    return count;
}

int32_t kf__cluster_node_at(const struct kf__cluster *cluster, int32_t place)
{
    for (int32_t i = 0; i < cluster->nodes.count; i++)
        if (cluster->nodes.items[i]->known && place-- == 0)
            return cluster->nodes.items[i]->id;
    return -1;
}

bool kf__cluster_api_versions(const struct kf__cluster *cluster, int32_t id, int16_t api_key,
                              int16_t *min_version, int16_t *max_version)
{
    const struct kf__node *node = known_node(cluster, id);
    for (int lane = 0; node && lane < KF__LANES; lane++) {
        const struct kf__link *link = node->lanes[lane].link;
        if (link && kf__versions_range(&link->conn.versions, api_key, min_version, max_version))
            return true;
    }
    return false;
}
