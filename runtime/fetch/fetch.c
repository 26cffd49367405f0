/* fetch: partitions and where they belong; see fetch_inside.h for the room's other files. */
#include "runtime/fetch/fetch_inside.h"

#include <assert.h>
#include <string.h>

static void fire_retry(struct kf__timer *timer, void *owner)
{
    (void)timer;
    kf__fetching_place(owner);
}

static void run_pump(struct kf__task *task)
{
    struct kf__fetcher *fetcher = KF__OWNER(task, struct kf__fetcher, pump);
    kf__seeks_send(fetcher);
    /* Who sent goes to the end: where credit or max_concurrent lets few send, all take turns. */
    struct kf__fetch_node *waiting = fetcher->nodes;
    struct kf__fetch_node **last_waiting = &fetcher->nodes;
    struct kf__fetch_node *sent = NULL;
    struct kf__fetch_node **last_sent = &sent;
    for (struct kf__fetch_node *node = waiting, *next; node; node = next) {
        next = node->next;
        struct kf__fetch_node ***end = kf__node_pump(node) ? &last_sent : &last_waiting;
        **end = node;
        *end = &node->next;
    }
    *last_sent = NULL;
    *last_waiting = sent;
}

kf_err kf__fetcher_open(struct kf__cluster *cluster, struct kf__loop *loop,
                        struct kf__credit *credit, const struct kf__fetch_settings *settings,
                        struct kf__fetcher **out)
{
    const kf_allocator *alloc = kf__loop_alloc(loop);
    struct kf__fetcher *fetcher = kf_alloc_zero(alloc, sizeof *fetcher);
    if (!fetcher)
        return KF_ERR_NO_MEMORY;
    fetcher->alloc = alloc;
    fetcher->loop = loop;
    fetcher->cluster = cluster;
    fetcher->credit = credit;
    fetcher->settings = *settings;
    fetcher->pump.run = run_pump;
    kf__link_init(&fetcher->unplaced);
    kf__link_init(&fetcher->seeking);
    *out = fetcher;
    return KF_OK;
}

void kf__fetcher_close(struct kf__fetcher *fetcher)
{
    if (!fetcher)
        return;
    kf__loop_undefer(fetcher->loop, &fetcher->pump);
    kf__seeks_close(fetcher);
    for (struct kf__fetch_node *node = fetcher->nodes, *next; node; node = next) {
        next = node->next;
        kf__lane_close(&node->backlog);
        kf__lane_close(&node->long_poll);
        kf_free(fetcher->alloc, node);
    }
    for (int32_t topic = 0; topic < fetcher->topic_count; topic++)
        kf_free(fetcher->alloc, fetcher->topics[topic].partitions);
    kf_free(fetcher->alloc, fetcher->topics);
    kf_free(fetcher->alloc, fetcher);
}

void kf__fetcher_pump(struct kf__fetcher *fetcher)
{
    /* At the end of this turn, so that one request carries all that changed in it. */
    kf__loop_defer(fetcher->loop, &fetcher->pump);
}

kf_time kf__fetcher_backoff(struct kf__fetcher *fetcher, int attempts)
{
    kf_time wait = fetcher->settings.retry_backoff;
    for (int i = 0; i < attempts && wait < fetcher->settings.retry_backoff_max; i++)
        wait *= 2;
    if (wait > fetcher->settings.retry_backoff_max)
        wait = fetcher->settings.retry_backoff_max;
    const struct kf__world *world = kf__loop_world(fetcher->loop);
    uint64_t fifth = (uint64_t)wait / 5 + 1;
    return wait - (kf_time)fifth + (kf_time)(world->random(world->context) % (2 * fifth));
}

/* ---- the table ---- */

static kf_err widen(struct kf__fetcher *fetcher, int32_t topic, int32_t partition)
{
    if (topic >= fetcher->topic_count) {
        int32_t count = topic + 8;
        struct kf__fetch_topic *topics =
            kf_realloc(fetcher->alloc, fetcher->topics, (size_t)count * sizeof *topics);
        if (!topics)
            return KF_ERR_NO_MEMORY;
        for (int32_t i = fetcher->topic_count; i < count; i++)
            topics[i] = (struct kf__fetch_topic){NULL, 0};
        fetcher->topics = topics;
        fetcher->topic_count = count;
    }
    struct kf__fetch_topic *of = &fetcher->topics[topic];
    if (partition >= of->count) {
        int32_t count = of->count * 2 > partition + 8 ? of->count * 2 : partition + 8;
        struct kf__fetching **partitions =
            kf_realloc(fetcher->alloc, of->partitions, (size_t)count * sizeof *partitions);
        if (!partitions)
            return KF_ERR_NO_MEMORY;
        for (int32_t i = of->count; i < count; i++)
            partitions[i] = NULL;
        of->partitions = partitions;
        of->count = count;
    }
    return KF_OK;
}

struct kf__fetching *kf__fetcher_find(struct kf__fetcher *fetcher, int32_t topic, int32_t partition)
{
    if (topic < 0 || topic >= fetcher->topic_count || partition < 0 ||
        partition >= fetcher->topics[topic].count)
        return NULL;
    return fetcher->topics[topic].partitions[partition];
}

/* ---- one partition ---- */

/* Another topic of the same name: what its offset says belongs to the one before. */
static bool is_created_anew(struct kf__fetching *fetching)
{
    static const kf_uuid none;
    const struct kf__topic_info *info =
        kf__cluster_topic(fetching->fetcher->cluster, fetching->topic);
    if (!info || !info->known || info->error || memcmp(&info->id, &none, sizeof none) == 0 ||
        memcmp(&info->id, &fetching->topic_id, sizeof info->id) == 0)
        return false;
    bool was_known = memcmp(&fetching->topic_id, &none, sizeof none) != 0;
    fetching->topic_id = info->id;
    return was_known && fetching->offset >= 0;
}

kf_err kf__fetching_open(struct kf__fetching *fetching, struct kf__fetcher *fetcher, int32_t topic,
                         int32_t partition, const struct kf__fetching_owner *owner, void *context)
{
    assert(!kf__fetcher_find(fetcher, topic, partition));
    kf_err err = widen(fetcher, topic, partition);
    if (err)
        return err;
    *fetching = (struct kf__fetching){
        .fetcher = fetcher,
        .owner = owner,
        .context = context,
        .topic = topic,
        .partition = partition,
        .offset = -1,
        .last_epoch = -1,
        .node = -1,
        .leader_epoch = -1,
        .replica = -1,
        .max_bytes = fetcher->settings.max_partition_bytes,
        .high_watermark = -1,
        .last_stable = -1,
        .log_start = -1,
    };
    kf__link_init(&fetching->in_lane);
    kf__link_init(&fetching->in_changed);
    kf__timer_init(&fetching->retry, fire_retry, fetching);
    fetcher->topics[topic].partitions[partition] = fetching;
    is_created_anew(fetching);
    kf__fetching_place(fetching);
    return KF_OK;
}

/* Out of wherever it is: lane, seekers, unplaced. */
static void displace(struct kf__fetching *fetching)
{
    kf__timer_cancel(fetching->fetcher->loop, &fetching->retry);
    kf__seeks_forget(fetching);
    if (fetching->lane)
        kf__lane_remove(fetching);
    else
        kf__link_remove(&fetching->in_lane);
}

void kf__fetching_close(struct kf__fetching *fetching)
{
    struct kf__fetcher *fetcher = fetching->fetcher;
    if (!fetcher)
        return;
    displace(fetching);
    fetcher->topics[fetching->topic].partitions[fetching->partition] = NULL;
    fetching->fetcher = NULL;
    kf__fetcher_pump(fetcher);
}

void kf__fetching_seek(struct kf__fetching *fetching, enum kf__start start, int64_t value,
                       int32_t epoch)
{
    if (fetching->lane)
        kf__lane_uncount(fetching);
    fetching->start = start;
    fetching->start_value = value;
    fetching->caught_up = false;
    fetching->offset = start == KF__START_AT ? value : -1;
    fetching->last_epoch = epoch;
    fetching->state = start == KF__START_AT ? KF__FETCHING_READY : KF__FETCHING_SEEKING;
    if (fetching->lane)
        kf__lane_count(fetching);
    kf__fetching_place(fetching);
}

void kf__fetching_positioned(struct kf__fetching *fetching, int64_t offset, int32_t epoch)
{
    fetching->attempts = 0;
    fetching->failure = KF_OK;
    fetching->offset = offset;
    fetching->last_epoch = epoch;
    fetching->state = KF__FETCHING_READY;
    fetching->caught_up = false;
    kf__fetching_place(fetching);
    fetching->owner->positioned(fetching, offset);
}

void kf__fetching_want(struct kf__fetching *fetching, bool wanted)
{
    if (fetching->wanted == wanted || !fetching->fetcher)
        return;
    if (fetching->lane)
        kf__lane_uncount(fetching);
    fetching->wanted = wanted;
    if (fetching->lane) {
        kf__lane_count(fetching);
        kf__lane_note_change(fetching);
    }
    kf__fetcher_pump(fetching->fetcher);
}

/* ---- where it belongs ---- */

/* The node to fetch from, -1 where none is known. */
static int32_t choose_node(struct kf__fetching *fetching)
{
    struct kf__fetcher *fetcher = fetching->fetcher;
    const struct kf__topic_info *info = kf__cluster_topic(fetcher->cluster, fetching->topic);
    if (!info || !info->known || info->error || fetching->partition >= info->partition_count) {
        fetching->failure = info && info->error ? info->error : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
        return -1;
    }
    const struct kf__partition_info *partition = &info->partitions[fetching->partition];
    fetching->leader_epoch = partition->leader_epoch;
    if (fetching->replica >= 0) {
        bool believed = kf__loop_now(fetcher->loop) < fetching->replica_until &&
                        kf__cluster_has_node(fetcher->cluster, fetching->replica);
        if (believed && fetching->state == KF__FETCHING_READY)
            return fetching->replica;
        if (!believed)
            fetching->replica = -1;
    }
    if (partition->leader < 0)
        fetching->failure = KF_ERR_LEADER_NOT_AVAILABLE;
    return partition->leader;
}

static struct kf__fetch_node *node_of(struct kf__fetcher *fetcher, int32_t id)
{
    for (struct kf__fetch_node *node = fetcher->nodes; node; node = node->next)
        if (node->id == id)
            return node;
    struct kf__fetch_node *node = kf_alloc_zero(fetcher->alloc, sizeof *node);
    if (!node)
        return NULL;
    node->id = id;
    kf__lane_init(&node->backlog, fetcher, id, KF__LANE_BACKLOG);
    kf__lane_init(&node->long_poll, fetcher, id, KF__LANE_LONG_POLL);
    node->next = fetcher->nodes;
    fetcher->nodes = node;
    return node;
}

/* Waits aside; metadata or the retry timer brings it back. */
static void put_aside(struct kf__fetching *fetching)
{
    struct kf__fetcher *fetcher = fetching->fetcher;
    kf__link_append(&fetcher->unplaced, &fetching->in_lane);
    if (fetching->state == KF__FETCHING_IDLE)
        return;
    kf__cluster_refresh(fetcher->cluster);
    kf_time wait = kf__fetcher_backoff(fetcher, fetching->attempts);
    kf__timer_set(fetcher->loop, &fetching->retry, kf__loop_now(fetcher->loop) + wait);
    if (fetching->attempts++ == 3)
        fetching->owner->troubled(fetching, fetching->failure);
}

void kf__fetching_place(struct kf__fetching *fetching)
{
    struct kf__fetcher *fetcher = fetching->fetcher;
    if (fetching->state == KF__FETCHING_WAITING)
        fetching->state = fetching->offset >= 0 ? KF__FETCHING_READY : KF__FETCHING_SEEKING;
    int32_t node = fetching->state == KF__FETCHING_IDLE ? -1 : choose_node(fetching);

    /* What lags does not wait for a long poll's end: an answer that comes there is dropped. */
    bool stays = fetching->lane && fetching->state == KF__FETCHING_READY &&
                 fetching->lane->node == node &&
                 (fetching->lane->kind == KF__LANE_BACKLOG || fetching->caught_up);
    if (stays) {
        kf__lane_note_change(fetching);
        kf__fetcher_pump(fetcher);
        return;
    }
    displace(fetching);
    fetching->node = node;
    struct kf__fetch_node *home = node >= 0 ? node_of(fetcher, node) : NULL;
    if (!home) {
        put_aside(fetching);
        return;
    }
    if (fetching->state == KF__FETCHING_SEEKING)
        kf__link_append(&fetcher->seeking, &fetching->in_lane);
    else
        kf__lane_add(&home->backlog, fetching);
    kf__fetcher_pump(fetcher);
}

void kf__fetching_trouble(struct kf__fetching *fetching, kf_err err, bool refresh)
{
    struct kf__fetcher *fetcher = fetching->fetcher;
    displace(fetching);
    fetching->state = KF__FETCHING_WAITING;
    fetching->failure = err;
    fetching->replica = -1;
    kf__link_append(&fetcher->unplaced, &fetching->in_lane);
    if (refresh)
        kf__cluster_refresh(fetcher->cluster);
    kf_time wait = kf__fetcher_backoff(fetcher, fetching->attempts);
    kf__timer_set(fetcher->loop, &fetching->retry, kf__loop_now(fetcher->loop) + wait);
    bool tell = refresh ? fetching->attempts == 3 : fetching->attempts == 0;
    fetching->attempts++;
    if (tell)
        fetching->owner->troubled(fetching, err);
}

void kf__fetcher_metadata(struct kf__fetcher *fetcher)
{
    for (int32_t topic = 0; topic < fetcher->topic_count; topic++)
        for (int32_t i = 0; i < fetcher->topics[topic].count; i++) {
            struct kf__fetching *fetching = fetcher->topics[topic].partitions[i];
            if (!fetching || fetching->state == KF__FETCHING_IDLE)
                continue;
            if (is_created_anew(fetching)) {
                displace(fetching);
                kf__link_append(&fetcher->unplaced, &fetching->in_lane);
                fetching->state = KF__FETCHING_IDLE;
                fetching->owner->out_of_range(fetching, KF_ERR_UNKNOWN_TOPIC_ID, fetching->offset);
                continue;
            }
            int32_t epoch = fetching->leader_epoch;
            int32_t node = choose_node(fetching);
            if (node != fetching->node || epoch != fetching->leader_epoch)
                kf__fetching_place(fetching);
        }
}
