/*
 * committer: OffsetCommit. One is under way at a time for the whole group;
 * the next one takes all that changed meanwhile.
 *
 *   note ──▶ due ──▶ sent ──▶ settled: committed, or dirty again
 *             ▲ a partition falls idle: ≥ 50 ms after the last one
 *             ▲ busy: once every commit.interval.ms
 *             ▲ at most once, drained: at once
 */
#include "runtime/member/consumer.h"

#include <kafiber/messages.h>
#include <string.h>

enum {
    APART_MS = 50,
    LAST_VERSION_WITH_NAMES = 9
};

static struct kf__consumer *consumer_of(struct kf__committer *committer)
{
    return committer->consumer;
}

static kf_time now_of(const struct kf__consumer *consumer) { return kf__loop_now(consumer->loop); }

static struct kf__partition *partition_of(const struct kf__offset *offset) { return offset->owner; }

kf_time kf__committer_idle_due(const struct kf__consumer *consumer)
{
    kf_time apart = consumer->committer.last_sent + APART_MS * KF_MILLISECOND;
    kf_time now = now_of(consumer);
    return apart > now ? apart : now;
}

kf_time kf__committer_busy_due(const struct kf__consumer *consumer)
{
    return now_of(consumer) + consumer->settings->commit_interval_ms * KF_MILLISECOND;
}

bool kf__committer_is_settled(const struct kf__partition *partition)
{
    const struct kf__offset *account = &partition->account;
    return !account->dirty && account->in_flight < 0;
}

/* ---- building ---- */

static kf_err reserve_taken(struct kf__committer *committer)
{
    size_t needed = committer->offsets.dirty_count;
    if (needed <= committer->taken_capacity)
        return KF_OK;
    struct kf__offset **wider =
        kf_realloc(consumer_of(committer)->alloc, committer->taken, needed * sizeof *wider);
    if (!wider)
        return KF_ERR_NO_MEMORY;
    committer->taken = wider;
    committer->taken_capacity = needed;
    return KF_OK;
}

static void take_all(struct kf__committer *committer)
{
    committer->taken_count = 0;
    struct kf__offset *offset;
    while (committer->taken_count < committer->taken_capacity &&
           (offset = kf__offsets_take(&committer->offsets)))
        committer->taken[committer->taken_count++] = offset;
}

static kf_err fill_topics(struct kf__committer *committer, kf_arena *arena,
                          struct kf_offset_commit_request *request)
{
    size_t count = committer->taken_count;
    struct kf_offset_commit_request_topic *topics = kf_arena_alloc(arena, count * sizeof *topics);
    struct kf_offset_commit_request_partition *rows = kf_arena_alloc(arena, count * sizeof *rows);
    if (count && (!topics || !rows))
        return KF_ERR_NO_MEMORY;
    int32_t used = 0;
    int32_t topic_count = 0;
    int32_t last_topic = -1;
    for (size_t i = 0; i < count; i++) {
        struct kf__offset *offset = committer->taken[i];
        if (!offset)
            continue;
        const struct kf__partition *partition = partition_of(offset);
        if (partition->topic != last_topic) {
            last_topic = partition->topic;
            topics[topic_count].name =
                (kf_string){partition->topic_name, strlen(partition->topic_name)};
            topics[topic_count++].partitions.items = &rows[used];
        }
        rows[used++] = (struct kf_offset_commit_request_partition){
            .partition_index = partition->number,
            .committed_offset = offset->in_flight,
            .committed_leader_epoch = -1,
            .commit_timestamp = -1,
            .committed_metadata = {"", 0},
        };
        topics[topic_count - 1].partitions.count++;
    }
    request->topics.items = topics;
    request->topics.count = topic_count;
    return KF_OK;
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)version;
    struct kf__committer *committer = call->owner;
    struct kf__consumer *consumer = consumer_of(committer);
    struct kf_offset_commit_request *request = kf_arena_alloc(arena, sizeof *request);
    if (!request)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_offset_commit_request, request);
    const char *id = kf__member_id(consumer->member);
    request->group_id =
        (kf_string){consumer->settings->group_id, strlen(consumer->settings->group_id)};
    request->member_id = (kf_string){id, strlen(id)};
    request->generation_id_or_member_epoch = committer->generation;
    const char *instance = consumer->settings->group_instance_id;
    if (instance && version >= 7)
        request->group_instance_id = (kf_string){instance, strlen(instance)};
    *message = request;
    return fill_topics(committer, arena, request);
}

/* ---- settling ---- */

/* The account that the commit under way covers, NULL where the partition has gone since. */
static struct kf__offset *find_taken(struct kf__committer *committer, kf_string topic,
                                     int32_t number)
{
    struct kf__partition *partition =
        kf__consumer_find(consumer_of(committer), topic.data, topic.size, number);
    return partition && partition->account.in_flight >= 0 ? &partition->account : NULL;
}

/* What an error of one partition means for all of them. */
static void react(struct kf__committer *committer, kf_err err)
{
    struct kf__consumer *consumer = consumer_of(committer);
    switch (err) {
    case KF_ERR_ILLEGAL_GENERATION:
    case KF_ERR_UNKNOWN_MEMBER_ID:
    case KF_ERR_FENCED_INSTANCE_ID:
    case KF_ERR_REBALANCE_IN_PROGRESS:
        kf__member_commit_error(consumer->member, err, committer->generation, now_of(consumer));
        break;
    default:
        if (kf__coordinator_is_lost_by(err))
            kf__coordinator_lost(consumer, err);
    }
}

/*
 * Trying again would only hold up the rebalance: the topic was deleted, or is
 * not ours to commit. (Errors of the membership end in a loss, see react.)
 */
static bool is_hopeless(kf_err err)
{
    switch (err) {
    case KF_ERR_UNKNOWN_TOPIC_OR_PARTITION:
    case KF_ERR_UNKNOWN_TOPIC_ID:
    case KF_ERR_TOPIC_AUTHORIZATION_FAILED:
    case KF_ERR_OFFSET_METADATA_TOO_LARGE:
    case KF_ERR_INVALID_COMMIT_OFFSET_SIZE:
        return true;
    default:
        return false;
    }
}

static void settle_one(struct kf__committer *committer, struct kf__offset *offset, kf_err err)
{
    struct kf__consumer *consumer = consumer_of(committer);
    struct kf__partition *partition = partition_of(offset);
    if (err && err != offset->last_error && !kf_err_retriable(err) &&
        err != KF_ERR_REBALANCE_IN_PROGRESS)
        kf__consumer_log(consumer, KF_LOG_WARNING, "commit.failed", partition, offset->in_flight,
                         err, "the offset was not committed: %s", kf_err_text(err));
    kf__offset_settled(&committer->offsets, offset, err, now_of(consumer));
    if (kf__partition_needs_no_more(partition) && is_hopeless(err))
        kf__committer_forget(consumer, partition);
    kf__partition_committed(partition, err);
}

static void schedule(struct kf__committer *committer, kf_time due)
{
    if (due >= committer->due)
        return;
    committer->due = due;
    kf__timer_set(consumer_of(committer)->loop, &committer->timer, due);
}

static void retry_later(struct kf__committer *committer)
{
    struct kf__consumer *consumer = consumer_of(committer);
    committer->due = KF_FOREVER;
    schedule(committer,
             now_of(consumer) + kf__fetcher_backoff(consumer->fetcher, committer->attempts++));
}

static void settle_answer(struct kf__committer *committer,
                          const struct kf_offset_commit_response *response, kf_err *first)
{
    for (int32_t i = 0; i < response->topics.count; i++) {
        const struct kf_offset_commit_response_topic *topic = &response->topics.items[i];
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const struct kf_offset_commit_response_partition *row = &topic->partitions.items[j];
            struct kf__offset *offset = find_taken(committer, topic->name, row->partition_index);
            if (!offset)
                continue;
            /* One partition's own trouble does not hide what holds for the whole group. */
            if (row->error_code && (!*first || is_hopeless(*first)))
                *first = row->error_code;
            settle_one(committer, offset, row->error_code);
        }
    }
}

static void take_answer(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__committer *committer = call->owner;
    struct kf__consumer *consumer = consumer_of(committer);
    kf_err first = err;
    if (!err)
        settle_answer(committer, answer->message, &first);
    /* What the answer left out counts as not committed. */
    for (size_t i = 0; i < committer->taken_count; i++) {
        struct kf__offset *offset = committer->taken[i];
        committer->taken[i] = NULL;
        if (offset && offset->in_flight >= 0)
            settle_one(committer, offset, err ? err : KF_ERR_UNKNOWN_SERVER_ERROR);
    }
    committer->taken_count = 0;
    if (first) {
        react(committer, first);
        retry_later(committer);
    } else {
        committer->attempts = 0;
        kf__committer_pump(consumer);
    }
    kf__consumer_check_drained(consumer);
}

/* ---- sending ---- */

static void send_commit(struct kf__committer *committer)
{
    struct kf__consumer *consumer = consumer_of(committer);
    int32_t generation = kf__member_generation(consumer->member);
    if (kf__call_is_under_way(&committer->call) || committer->offsets.dirty_count == 0 ||
        consumer->coordinator < 0 || generation < 0)
        return;
    if (reserve_taken(committer)) {
        retry_later(committer);
        return;
    }
    committer->due = KF_FOREVER;
    kf__timer_cancel(consumer->loop, &committer->timer);
    take_all(committer);
    committer->generation = generation;
    committer->last_sent = now_of(consumer);
    committer->call.deadline =
        now_of(consumer) + consumer->settings->request_timeout_ms * KF_MILLISECOND;
    kf__cluster_send(consumer->cluster, consumer->coordinator, KF__LANE_CONTROL, &committer->call);
}

static void fire(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__committer *committer = owner;
    committer->due = KF_FOREVER;
    send_commit(committer);
}

void kf__committer_note(struct kf__consumer *consumer, struct kf__partition *partition,
                        int64_t done, kf_time due)
{
    struct kf__committer *committer = &consumer->committer;
    if (done < 0)
        return;
    kf__offset_done(&committer->offsets, &partition->account, done, -1, now_of(consumer));
    if (partition->account.dirty)
        schedule(committer, due);
}

void kf__committer_look(struct kf__consumer *consumer)
{
    for (struct kf__link *at = consumer->partitions.next; at != &consumer->partitions;
         at = at->next) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        if (partition->scheduled && partition->route->semantics == KF_AT_LEAST_ONCE)
            kf__committer_note(consumer, partition, kf__partition_position(partition),
                               kf__committer_idle_due(consumer));
    }
}

void kf__committer_pump(struct kf__consumer *consumer)
{
    struct kf__committer *committer = &consumer->committer;
    if (committer->offsets.dirty_count == 0 || kf__call_is_under_way(&committer->call))
        return;
    bool urgent = committer->due <= now_of(consumer) || consumer->draining || consumer->stopping;
    if (urgent)
        send_commit(committer);
    else if (committer->due == KF_FOREVER)
        schedule(committer, kf__committer_idle_due(consumer));
}

void kf__committer_forget(struct kf__consumer *consumer, struct kf__partition *partition)
{
    struct kf__committer *committer = &consumer->committer;
    for (size_t i = 0; i < committer->taken_count; i++)
        if (committer->taken[i] == &partition->account)
            committer->taken[i] = NULL;
    kf__offset_close(&committer->offsets, &partition->account);
}

void kf__committer_open(struct kf__consumer *consumer)
{
    struct kf__committer *committer = &consumer->committer;
    committer->consumer = consumer;
    committer->due = KF_FOREVER;
    kf__offsets_init(&committer->offsets);
    kf__timer_init(&committer->timer, fire, committer);
    committer->call = (struct kf__call){
        .api_key = KF_API_OFFSET_COMMIT,
        .min_version = 2,
        .max_version = LAST_VERSION_WITH_NAMES,
        .build = build,
        .done = take_answer,
        .owner = committer,
    };
}

void kf__committer_close(struct kf__consumer *consumer)
{
    struct kf__committer *committer = &consumer->committer;
    if (!committer->consumer)
        return;
    kf__call_cancel(&committer->call);
    kf__timer_cancel(consumer->loop, &committer->timer);
    kf_free(consumer->alloc, committer->taken);
    committer->taken = NULL;
}
