/*
 * fetch_lane: when a lane may send, and how the two lanes of a broker trade
 * partitions.
 *
 *            caught up, and no long poll under way
 *   backlog ─────────────────────────────────────▶ long poll
 *           ◀─────────────────────────────────────
 *                     lags behind again
 *
 * A partition joins the long poll only while neither lane has it in a request
 * under way. A long poll can't be called back, so a partition that catches up
 * while one is out stays in the backlog, which then asks with a short wait;
 * when the long poll returns it holds until the backlog's answer is there, and
 * takes the caught-up ones over. The way back is open at all times: what a
 * long poll brings for a partition that left is dropped.
 */
#include "runtime/fetch/fetch_inside.h"

#include <kafiber/messages.h>

enum {
    SHORT_WAIT_MS = 20,        /* of a backlog whose partitions wait for the long poll */
    LEAST_BYTES = 64 * 1024,   /* a Fetch that may bring less is not worth sending */
    BATCH_BYTES = 1024 * 1024, /* an answer that stays in the processor's cache */
    LANES_AT_ONCE = 4,         /* that one lane's answer must leave credit for */
    LONG_WAY_MS = 10,          /* an answer that took longer was worth asking more of */
    TOLD_AFTER = 5,            /* failures in a row; fewer are a leader that moved */
};

static struct kf__fetch_node *node_of_lane(struct kf__fetch_lane *lane)
{
    return lane->kind == KF__LANE_BACKLOG ? KF__OWNER(lane, struct kf__fetch_node, backlog)
                                          : KF__OWNER(lane, struct kf__fetch_node, long_poll);
}

static bool is_under_way(const struct kf__fetch_lane *lane)
{
    return kf__call_is_under_way(&lane->call);
}

void kf__lane_uncount(struct kf__fetching *fetching)
{
    if (!kf__fetching_is_eligible(fetching))
        return;
    fetching->lane->wanted--;
    fetching->lane->lagging -= !fetching->caught_up;
}

void kf__lane_count(struct kf__fetching *fetching)
{
    if (!kf__fetching_is_eligible(fetching))
        return;
    fetching->lane->wanted++;
    fetching->lane->lagging += !fetching->caught_up;
}

void kf__lane_note_change(struct kf__fetching *fetching)
{
    if (kf__link_is_alone(&fetching->in_changed))
        kf__link_append(&fetching->lane->changed, &fetching->in_changed);
}

void kf__lane_add(struct kf__fetch_lane *lane, struct kf__fetching *fetching)
{
    fetching->lane = lane;
    fetching->in_session = false;
    fetching->sent_offset = -1;
    for (size_t i = 0; i < lane->forgotten_count; i++)
        if (lane->forgotten[i].topic == fetching->topic &&
            lane->forgotten[i].partition == fetching->partition) {
            /* It left and comes back before the session heard of it. */
            lane->forgotten[i] = lane->forgotten[--lane->forgotten_count];
            fetching->in_session = true;
            break;
        }
    kf__link_append(&lane->members, &fetching->in_lane);
    kf__lane_count(fetching);
    kf__lane_note_change(fetching);
}

static void forget(struct kf__fetch_lane *lane, struct kf__fetching *fetching)
{
    if (lane->forgotten_count == lane->forgotten_capacity) {
        size_t capacity = lane->forgotten_capacity ? lane->forgotten_capacity * 2 : 16;
        struct kf__forgotten *wider =
            kf_realloc(lane->fetcher->alloc, lane->forgotten, capacity * sizeof *lane->forgotten);
        if (!wider) {
            /* A new session begins without it: as good as forgetting. */
            lane->session_epoch = 0;
            return;
        }
        lane->forgotten = wider;
        lane->forgotten_capacity = capacity;
    }
    lane->forgotten[lane->forgotten_count++] =
        (struct kf__forgotten){fetching->topic, fetching->partition};
}

void kf__lane_remove(struct kf__fetching *fetching)
{
    struct kf__fetch_lane *lane = fetching->lane;
    kf__lane_uncount(fetching);
    if (fetching->in_session)
        forget(lane, fetching);
    fetching->in_session = false;
    kf__link_remove(&fetching->in_changed);
    kf__link_remove(&fetching->in_lane);
    fetching->lane = NULL;
}

void kf__lane_fell_behind(struct kf__fetching *fetching)
{
    struct kf__fetch_node *node = node_of_lane(fetching->lane);
    kf__lane_remove(fetching);
    kf__lane_add(&node->backlog, fetching);
}

void kf__lane_reset_session(struct kf__fetch_lane *lane)
{
    lane->session_id = 0;
    lane->session_epoch = 0;
    lane->forgotten_count = 0;
    for (struct kf__link *at = lane->members.next; at != &lane->members; at = at->next) {
        struct kf__fetching *fetching = KF__OWNER(at, struct kf__fetching, in_lane);
        fetching->in_session = false;
        fetching->sent_offset = -1;
        kf__lane_note_change(fetching);
    }
}

/* ---- answers ---- */

static void fire_retry(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__fetch_lane *lane = owner;
    kf__node_pump(node_of_lane(lane));
}

void kf__lane_back_off(struct kf__fetch_lane *lane)
{
    struct kf__fetcher *fetcher = lane->fetcher;
    kf_time wait = kf__fetcher_backoff(fetcher, lane->attempts++);
    kf__timer_set(fetcher->loop, &lane->retry, kf__loop_now(fetcher->loop) + wait);
    kf__cluster_refresh(fetcher->cluster);
}

/* A whole lane that goes on failing is told once, by one of its partitions. */
static void tell_trouble(struct kf__fetch_lane *lane, kf_err err)
{
    for (struct kf__link *at = lane->members.next; at != &lane->members; at = at->next) {
        struct kf__fetching *fetching = KF__OWNER(at, struct kf__fetching, in_lane);
        if (kf__fetching_is_eligible(fetching)) {
            fetching->owner->troubled(fetching, err);
            return;
        }
    }
}

/* A nearest replica that can't be reached: the leader says anew from where to read (KIP-392). */
static void leave_replica(struct kf__fetch_lane *lane)
{
    struct kf__link *at = lane->members.next;
    while (at != &lane->members) {
        struct kf__fetching *fetching = KF__OWNER(at, struct kf__fetching, in_lane);
        at = at->next;
        if (fetching->replica < 0)
            continue;
        fetching->replica = -1;
        kf__fetching_place(fetching);
    }
}

static void take_answer(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__fetch_lane *lane = call->owner;
    lane->fetcher->under_way--;
    if (err) {
        kf__lane_reset_session(lane);
        leave_replica(lane);
        kf__lane_back_off(lane);
        if (lane->attempts == TOLD_AFTER)
            tell_trouble(lane, err);
    } else {
        kf__fetch_take(lane, answer);
    }
    kf__credit_unreserve(lane->fetcher->credit, lane->reserved);
    lane->reserved = 0;
    kf__fetcher_pump(lane->fetcher);
}

/* ---- sending ---- */

/*
 * Small answers are handled while they are in the cache; over a long way they
 * would leave the line idle. So an answer that was filled and took long
 * doubles the next one, a quick one halves it.
 */
void kf__lane_adapt(struct kf__fetch_lane *lane, size_t brought)
{
    const struct kf__fetch_settings *settings = &lane->fetcher->settings;
    int64_t most = settings->max_bytes / LANES_AT_ONCE;
    int64_t least = most < BATCH_BYTES ? most : BATCH_BYTES;
    kf_time took = kf__loop_now(lane->fetcher->loop) - lane->sent_at;
    bool filled = brought >= (size_t)lane->requested_bytes / 2;
    if (filled && took > LONG_WAY_MS * KF_MILLISECOND)
        lane->target_bytes *= 2;
    else if (took < LONG_WAY_MS * KF_MILLISECOND / 2)
        lane->target_bytes /= 2;
    if (lane->target_bytes > most)
        lane->target_bytes = most;
    if (lane->target_bytes < least)
        lane->target_bytes = least;
}

/* True where it was sent. */
static bool send_fetch(struct kf__fetch_lane *lane)
{
    struct kf__fetcher *fetcher = lane->fetcher;
    const struct kf__fetch_settings *settings = &fetcher->settings;
    if (is_under_way(lane) || lane->wanted == 0 || kf__timer_is_set(&lane->retry))
        return false;
    if (settings->max_concurrent && fetcher->under_way >= settings->max_concurrent)
        return false;
    int64_t most = (int64_t)lane->wanted * settings->max_partition_bytes;
    if (most > lane->target_bytes)
        most = lane->target_bytes;
    int64_t least = most < LEAST_BYTES ? most : LEAST_BYTES;
    lane->reserved = kf__credit_reserve(fetcher->credit, least, most);
    if (lane->reserved == 0)
        return false;
    lane->requested_bytes = (int32_t)lane->reserved;
    lane->sent_at = kf__loop_now(fetcher->loop);
    fetcher->under_way++;
    lane->call.deadline = kf__loop_now(fetcher->loop) + settings->request_timeout +
                          settings->max_wait_ms * KF_MILLISECOND;
    kf__cluster_send(fetcher->cluster, lane->node, lane->kind, &lane->call);
    return true;
}

/* Moves what has caught up out of the backlog; neither lane has a request under way. */
static void hand_over(struct kf__fetch_node *node)
{
    struct kf__link *at = node->backlog.members.next;
    while (at != &node->backlog.members) {
        struct kf__fetching *fetching = KF__OWNER(at, struct kf__fetching, in_lane);
        at = at->next;
        if (!fetching->caught_up || !kf__fetching_is_eligible(fetching))
            continue;
        kf__lane_remove(fetching);
        kf__lane_add(&node->long_poll, fetching);
    }
}

/* Takes back what lags; the long poll has no request under way. */
static void take_back(struct kf__fetch_node *node)
{
    struct kf__link *at = node->long_poll.members.next;
    while (node->long_poll.lagging > 0 && at != &node->long_poll.members) {
        struct kf__fetching *fetching = KF__OWNER(at, struct kf__fetching, in_lane);
        at = at->next;
        if (fetching->caught_up || !kf__fetching_is_eligible(fetching))
            continue;
        kf__lane_remove(fetching);
        kf__lane_add(&node->backlog, fetching);
    }
}

bool kf__node_pump(struct kf__fetch_node *node)
{
    struct kf__fetch_lane *backlog = &node->backlog;
    struct kf__fetch_lane *long_poll = &node->long_poll;
    bool caught_up_waits = backlog->wanted > backlog->lagging;
    bool hold = false;

    if (!is_under_way(long_poll)) {
        if (long_poll->lagging > 0)
            take_back(node);
        if (caught_up_waits && !is_under_way(backlog))
            hand_over(node);
        /* Else hold: the backlog's short wait ends soon, and they come along. */
        hold = caught_up_waits && is_under_way(backlog);
    }
    bool backlog_sent = node->long_poll_last && send_fetch(backlog);
    bool long_poll_sent = !hold && send_fetch(long_poll);
    backlog_sent = send_fetch(backlog) || backlog_sent;
    if (backlog_sent || long_poll_sent)
        node->long_poll_last = long_poll_sent;
    return backlog_sent || long_poll_sent;
}

void kf__lane_init(struct kf__fetch_lane *lane, struct kf__fetcher *fetcher, int32_t node,
                   enum kf__lane kind)
{
    *lane = (struct kf__fetch_lane){
        .fetcher = fetcher, .node = node, .kind = kind, .target_bytes = BATCH_BYTES};
    kf__lane_adapt(lane, 0);
    kf__link_init(&lane->members);
    kf__link_init(&lane->changed);
    kf__timer_init(&lane->retry, fire_retry, lane);
    lane->call = (struct kf__call){
        .api_key = KF_API_FETCH,
        .min_version = 4,
        .build = kf__fetch_build,
        .done = take_answer,
        .owner = lane,
    };
    lane->call.max_version = kf_schema_max_version(&kf_schema_of_fetch_request);
}

void kf__lane_close(struct kf__fetch_lane *lane)
{
    kf__call_cancel(&lane->call);
    kf__timer_cancel(lane->fetcher->loop, &lane->retry);
    kf_free(lane->fetcher->alloc, lane->forgotten);
}

/* How long the broker may hold the answer back, in milliseconds. */
int32_t kf__lane_wait_ms(const struct kf__fetch_lane *lane)
{
    if (lane->kind == KF__LANE_LONG_POLL)
        return lane->fetcher->settings.max_wait_ms;
    return lane->lagging > 0 ? 0 : SHORT_WAIT_MS;
}
