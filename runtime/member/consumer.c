/* consumer: opens and closes the parts of a group member, and takes it to its end. */
#include "runtime/member/consumer.h"

#include "runtime/fetch/codec_pool.h"
#include <stdarg.h>
#include <string.h>

enum {
    LEAVE_RESERVE = 10, /* a tenth of the time to stop is kept for LeaveGroup */
    /* For handlers to return after kf_cancelled() became true. They are counted: none of them
     * passes while everything stands still. */
    LAST_MOMENTS = 4,
    MOMENT_MS = 50,
    SLAB_KEEP = 32 * 1024 * 1024, /* bytes of free slabs kept for the next responses */
};

static kf_time ms(int64_t milliseconds) { return milliseconds * KF_MILLISECOND; }

void kf__consumer_log(struct kf__consumer *consumer, kf_log_level level, const char *name,
                      const struct kf__partition *partition, int64_t offset, kf_err err,
                      const char *format, ...)
{
    char text[KF_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    kf_log_event event = {
        .level = level,
        .name = name,
        .text = text,
        .group = consumer->settings->group_id,
        .topic = partition ? partition->topic_name : NULL,
        .partition = partition ? partition->number : -1,
        .offset = offset,
        .node = -1,
        .error = err,
    };
    kf__events_log(consumer->events, &event);
}

static void pass_on(void *owner, const kf_log_event *event)
{
    struct kf__consumer *consumer = owner;
    kf_log_event mine = *event;
    mine.group = consumer->settings->group_id;
    kf__events_log(consumer->events, &mine);
}

/* ---- the end ---- */

static void end(struct kf__consumer *consumer)
{
    if (consumer->ended)
        return;
    consumer->ended = true;
    consumer->on_end(consumer->owner);
}

void kf__consumer_check_end(struct kf__consumer *consumer)
{
    if (consumer->stopping && consumer->left && consumer->tellings == 0 &&
        kf__link_is_alone(&consumer->partitions) && kf__link_is_alone(&consumer->old))
        end(consumer);
}

static void left(void *owner, kf_err err)
{
    struct kf__consumer *consumer = owner;
    if (err)
        kf__consumer_log(consumer, KF_LOG_WARNING, "leave.failed", NULL, -1, err,
                         "the group was not left in time: the coordinator notices when the "
                         "session times out");
    consumer->left = true;
    kf__consumer_check_end(consumer);
}

/*
 * The time to stop is over: handlers are asked to end, and get some last moments to do so. Where
 * the loop could not run for a while, the bound of the drain has asked them only just now.
 */
static void fire_stop(struct kf__timer *timer, void *owner)
{
    struct kf__consumer *consumer = owner;
    consumer->left = true;
    bool waits = !kf__link_is_alone(&consumer->partitions) || !kf__link_is_alone(&consumer->old);
    kf__consumer_condemn_all(consumer);
    if (waits && consumer->last_moments++ < LAST_MOMENTS) {
        kf__timer_set(consumer->loop, timer, kf__loop_now(consumer->loop) + ms(MOMENT_MS));
        return;
    }
    if (!kf__link_is_alone(&consumer->old)) {
        const struct kf__partition *stuck =
            KF__OWNER(consumer->old.next, struct kf__partition, link);
        kf_error_set(&consumer->error, KF_ERR_HANDLER_STUCK,
                     "the handler of topic %s partition %d has not returned from the record at "
                     "offset %lld within shutdown.timeout.ms",
                     stuck->topic_name, (int)stuck->number,
                     (long long)kf__partition_position(stuck));
    } else if (consumer->tellings > 0)
        kf_error_set(&consumer->error, KF_ERR_HANDLER_STUCK,
                     "the rebalance callback has not returned within shutdown.timeout.ms");
    end(consumer);
}

void kf__consumer_stop(struct kf__consumer *consumer, kf_time until)
{
    if (consumer->stopping || consumer->ended)
        return;
    kf_time now = kf__loop_now(consumer->loop);
    consumer->stopping = true;
    kf__timer_set(consumer->loop, &consumer->stop, until);
    kf__member_leave(consumer->member, until - (until - now) / LEAVE_RESERVE, now);
    /* A revoke that was under way ends no later than the member waits for it now. */
    if (consumer->draining)
        kf__timer_set(consumer->loop, &consumer->drain,
                      kf__member_drain_deadline(consumer->member));
}

void kf__consumer_fail(struct kf__consumer *consumer, kf_err err, const char *text)
{
    if (consumer->ended || consumer->error.code)
        return;
    kf_error_set(&consumer->error, err, "%s", text);
    kf__consumer_log(consumer, KF_LOG_ERROR, "failed", NULL, -1, err, "%s", text);
    /* In a turn of its own: whoever failed is in the middle of something. */
    kf__loop_post(consumer->loop, &consumer->give_up);
}

static void run_give_up(struct kf__task *task)
{
    struct kf__consumer *consumer = KF__OWNER(task, struct kf__consumer, give_up);
    kf__consumer_stop(consumer,
                      kf__loop_now(consumer->loop) + ms(consumer->settings->shutdown_timeout_ms));
}

static void member_failed(void *owner, kf_err err, const char *text)
{
    kf__consumer_fail(owner, err, text);
}

/* ---- metadata ---- */

static void metadata(void *owner, bool changed)
{
    struct kf__consumer *consumer = owner;
    if (consumer->ended)
        return;
    kf__topics_metadata(consumer, changed);
    if (changed)
        kf__fetcher_metadata(consumer->fetcher);
}

/* ---- timers and tasks ---- */

static void fire_tick(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__consumer *consumer = owner;
    kf__member_tick(consumer->member, kf__loop_now(consumer->loop));
}

static void tick_at(void *owner, kf_time at)
{
    struct kf__consumer *consumer = owner;
    if (at == KF_FOREVER)
        kf__timer_cancel(consumer->loop, &consumer->tick);
    else
        kf__timer_set(consumer->loop, &consumer->tick, at);
}

static void run_credit_returned(struct kf__task *task)
{
    struct kf__consumer *consumer = KF__OWNER(task, struct kf__consumer, credit_returned);
    if (consumer->fetcher)
        kf__fetcher_pump(consumer->fetcher);
}

/* Once per commit interval: what long handlers have done, and memory that stands still. */
static void fire_look(struct kf__timer *timer, void *owner)
{
    struct kf__consumer *consumer = owner;
    kf__committer_look(consumer);
    if (atomic_load(&consumer->credit->wanted))
        for (struct kf__link *at = consumer->partitions.next; at != &consumer->partitions;
             at = at->next)
            kf__partition_give_back(KF__OWNER(at, struct kf__partition, link));
    kf__timer_set(consumer->loop, timer,
                  kf__loop_now(consumer->loop) + ms(consumer->settings->commit_interval_ms));
}

/* ---- for partitions ---- */

long long kf__consumer_low_water(const struct kf__consumer *consumer)
{
    return consumer->settings->max_partition_fetch_bytes;
}

kf_err kf__consumer_open_batch(struct kf__consumer *consumer, struct kf_batch *batch)
{
    const struct kf__settings *settings = consumer->settings;
    size_t limit = (size_t)settings->decompressed_batch_max_bytes;
    if (batch->header.codec == KF_CODEC_NONE || batch->opened)
        return kf__held_open(batch, NULL, settings->check_crcs, limit);
    struct kf__codecs *codecs = kf__codec_pool_take(consumer->codecs);
    if (!codecs)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf__held_open(batch, codecs, settings->check_crcs, limit);
    kf__codec_pool_give(consumer->codecs, codecs);
    return err;
}

struct kf__partition *kf__consumer_find(struct kf__consumer *consumer, const char *topic,
                                        size_t topic_size, int32_t number)
{
    int32_t index = kf__cluster_find_topic(consumer->cluster, topic, topic_size);
    struct kf__fetching *fetching = kf__fetcher_find(consumer->fetcher, index, number);
    return fetching ? fetching->context : NULL;
}

void kf__consumer_pause(struct kf__consumer *consumer, const char *topic, int32_t number,
                        bool paused)
{
    for (struct kf__link *at = consumer->partitions.next; at != &consumer->partitions;
         at = at->next) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        if (strcmp(partition->topic_name, topic) == 0 &&
            (number < 0 || partition->number == number))
            kf__partition_pause(partition, paused);
    }
}

/* ---- opening ---- */

static kf_err open_cluster(struct kf__consumer *consumer, kf_error *error)
{
    struct kf__cluster_settings settings = {.slab_keep = SLAB_KEEP};
    kf__settings_for_cluster(consumer->settings, &settings);
    kf_err err =
        kf__settings_security(consumer->settings, consumer->alloc, &settings.security, error);
    if (err)
        return err;
    struct kf__cluster_events events = {
        .owner = consumer,
        .metadata = metadata,
        .fatal = member_failed,
        .log = pass_on,
    };
    err = kf__cluster_open(consumer->loop, &settings, &events, &consumer->cluster);
    kf__security_release(settings.security);
    return err;
}

static kf_err open_fetcher(struct kf__consumer *consumer)
{
    const struct kf__settings *from = consumer->settings;
    struct kf__fetch_settings settings = {
        .max_partition_bytes = from->max_partition_fetch_bytes,
        .max_bytes = from->fetch_max_bytes,
        .min_bytes = from->fetch_min_bytes,
        .max_wait_ms = from->fetch_max_wait_ms,
        .max_concurrent = from->max_concurrent_fetches,
        .read_committed = from->isolation_level == KF__READ_COMMITTED,
        .rack = from->client_rack,
        .retry_backoff = ms(from->retry_backoff_ms),
        .retry_backoff_max = ms(from->retry_backoff_max_ms),
        .request_timeout = ms(from->request_timeout_ms),
        .replica_lease = ms(from->metadata_max_age_ms),
    };
    consumer->credit_returned.run = run_credit_returned;
    consumer->credit = kf__credit_new(consumer->alloc, consumer->loop, from->fetch_max_bytes,
                                      from->memory_budget_bytes, &consumer->credit_returned);
    if (!consumer->credit)
        return KF_ERR_NO_MEMORY;
    return kf__fetcher_open(consumer->cluster, consumer->loop, consumer->credit, &settings,
                            &consumer->fetcher);
}

static kf_err open_member(struct kf__consumer *consumer)
{
    const struct kf__settings *from = consumer->settings;
    const struct kf__world *world = kf__loop_world(consumer->loop);
    struct kf__member_settings settings = {
        .group_id = from->group_id,
        .instance_id = from->group_instance_id,
        .rack = from->client_rack,
        .client_id = from->client_id,
        .session_timeout = ms(from->session_timeout_ms),
        .rebalance_timeout = ms(from->rebalance_timeout_ms),
        .heartbeat_interval = ms(from->heartbeat_interval_ms),
        .retry_backoff = ms(from->retry_backoff_ms),
        .retry_backoff_max = ms(from->retry_backoff_max_ms),
        .assignor_count = from->assignor_count,
        .random = world->random,
        .random_context = world->context,
    };
    memcpy(settings.assignors, from->assignors, sizeof settings.assignors);
    struct kf__member_effects effects = {
        .owner = consumer,
        .send = kf__coordinator_send,
        .cancel = kf__coordinator_cancel,
        .tick_at = tick_at,
        .coordinator_lost = kf__coordinator_lost,
        .describe_topics = kf__topics_describe,
        .assigned = kf__consumer_assigned,
        .revoked = kf__consumer_revoked,
        .lost = kf__consumer_lost,
        .left = left,
        .fatal = member_failed,
        .log = pass_on,
    };
    return kf__member_new(consumer->alloc, &settings, &effects, &consumer->member);
}

static void open_small_parts(struct kf__consumer *consumer, const struct kf__consumer_parts *parts)
{
    consumer->alloc = parts->alloc;
    consumer->settings = parts->settings;
    consumer->routes = parts->routes;
    consumer->loop = parts->loop;
    consumer->sched = parts->sched;
    consumer->events = parts->events;
    consumer->on_rebalance = parts->on_rebalance;
    consumer->rebalance_context = parts->rebalance_context;
    consumer->on_end = parts->on_end;
    consumer->owner = parts->owner;
    consumer->give_up.run = run_give_up;
    kf__ownership_open(consumer);
    kf__coordinator_open(consumer);
    kf__positions_open(consumer);
    kf__committer_open(consumer);
    kf__timer_init(&consumer->tick, fire_tick, consumer);
    kf__timer_init(&consumer->look, fire_look, consumer);
    kf__timer_init(&consumer->stop, fire_stop, consumer);
}

kf_err kf__consumer_open(struct kf__consumer *consumer, const struct kf__consumer_parts *parts,
                         kf_error *error)
{
    open_small_parts(consumer, parts);
    consumer->codecs = kf__codec_pool_new(consumer->alloc);
    kf_err err = consumer->codecs ? KF_OK : KF_ERR_NO_MEMORY;
    if (!err)
        err = open_cluster(consumer, error);
    if (!err)
        err = open_fetcher(consumer);
    if (!err)
        err = open_member(consumer);
    if (!err)
        err = kf__topics_open(consumer);
    if (!err)
        kf__timer_set(consumer->loop, &consumer->look,
                      kf__loop_now(consumer->loop) + ms(consumer->settings->commit_interval_ms));
    else
        kf_error_set(error, err, "the group member could not be started: %s", kf_err_text(err));
    return err;
}

bool kf__consumer_close(struct kf__consumer *consumer)
{
    if (!consumer->alloc)
        return false;
    if (consumer->fetcher)
        kf__consumer_condemn_all(consumer);
    kf__coordinator_close(consumer);
    kf__positions_close(consumer);
    kf__committer_close(consumer);
    kf__timer_cancel(consumer->loop, &consumer->tick);
    kf__timer_cancel(consumer->loop, &consumer->look);
    kf__timer_cancel(consumer->loop, &consumer->stop);
    kf__timer_cancel(consumer->loop, &consumer->drain);
    kf__topics_close(consumer);
    /* The loop is still turned while workers end: what they post finds nothing to do. */
    consumer->ended = true;
    consumer->draining = false;
    if (consumer->member)
        kf__member_free(consumer->member);
    consumer->member = NULL;
    kf__fetcher_close(consumer->fetcher);
    consumer->fetcher = NULL;
    if (consumer->cluster)
        kf__cluster_close(consumer->cluster);
    consumer->cluster = NULL;
    bool stuck = !kf__link_is_alone(&consumer->old);
    if (stuck)
        return true;
    kf__credit_drop(consumer->credit);
    kf__codec_pool_free(consumer->codecs);
    return false;
}
