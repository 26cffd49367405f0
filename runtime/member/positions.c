/*
 * positions: where newly assigned partitions begin: at the group's committed
 * offset (OffsetFetch), else where auto.offset.reset says.
 *
 * Never guesses: what the coordinator leaves out or calls unstable (KIP-447)
 * is asked for again.
 */
#include "runtime/member/consumer.h"

#include <kafiber/messages.h>
#include <string.h>

enum {
    LAST_VERSION_WITH_NAMES = 9,
    FIRST_VERSION_WITH_GROUPS = 8
};

static struct kf__partition *find_asked(struct kf__consumer *consumer, kf_string topic,
                                        int32_t number)
{
    struct kf__partition *partition = kf__consumer_find(consumer, topic.data, topic.size, number);
    return partition && partition->offset_asked ? partition : NULL;
}

/* ---- the request: one row of names and numbers, in either of the two shapes ---- */

static kf_err list_partitions(struct kf__consumer *consumer, kf_arena *arena,
                              struct kf_offset_fetch_request_topics **out, int32_t *out_count)
{
    size_t count = consumer->partition_count;
    struct kf_offset_fetch_request_topics *topics = kf_arena_alloc(arena, count * sizeof *topics);
    int32_t *numbers = kf_arena_alloc(arena, count * sizeof *numbers);
    if (count && (!topics || !numbers))
        return KF_ERR_NO_MEMORY;
    int32_t topic_count = 0;
    int32_t used = 0;
    int32_t last_topic = -1;
    for (struct kf__link *at = consumer->partitions.next; at != &consumer->partitions;
         at = at->next) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        if (!partition->needs_offset)
            continue;
        partition->offset_asked = true;
        if (partition->topic != last_topic) {
            last_topic = partition->topic;
            topics[topic_count].name =
                (kf_string){partition->topic_name, strlen(partition->topic_name)};
            topics[topic_count++].partition_indexes.items = &numbers[used];
        }
        numbers[used++] = partition->number;
        topics[topic_count - 1].partition_indexes.count++;
    }
    *out = topics;
    *out_count = topic_count;
    return KF_OK;
}

static kf_err fill_old_shape(struct kf_offset_fetch_request_topics *topics, int32_t count,
                             kf_arena *arena, struct kf_offset_fetch_request *request)
{
    struct kf_offset_fetch_request_topic *old = kf_arena_alloc(arena, (size_t)count * sizeof *old);
    if (count && !old)
        return KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < count; i++) {
        old[i].name = topics[i].name;
        old[i].partition_indexes.items = topics[i].partition_indexes.items;
        old[i].partition_indexes.count = topics[i].partition_indexes.count;
    }
    request->topics.items = old;
    request->topics.count = count;
    return KF_OK;
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    struct kf__positions *positions = call->owner;
    struct kf__consumer *consumer = positions->consumer;
    struct kf_offset_fetch_request *request = kf_arena_alloc(arena, sizeof *request);
    struct kf_offset_fetch_request_group *group = kf_arena_alloc(arena, sizeof *group);
    if (!request || !group)
        return KF_ERR_NO_MEMORY;
    struct kf_offset_fetch_request_topics *topics;
    int32_t count;
    kf_err err = list_partitions(consumer, arena, &topics, &count);
    if (err)
        return err;
    kf_reset(&kf_schema_of_offset_fetch_request, request);
    kf_string id = {consumer->settings->group_id, strlen(consumer->settings->group_id)};
    request->require_stable =
        version >= 7 && consumer->settings->isolation_level == KF__READ_COMMITTED;
    *message = request;
    if (version < FIRST_VERSION_WITH_GROUPS) {
        request->group_id = id;
        return fill_old_shape(topics, count, arena, request);
    }
    *group = (struct kf_offset_fetch_request_group){.group_id = id, .member_epoch = -1};
    group->topics.items = topics;
    group->topics.count = count;
    request->groups.items = group;
    request->groups.count = 1;
    return KF_OK;
}

/* ---- the answer ---- */

static void settle(struct kf__partition *partition, kf_err err, int64_t offset, int32_t epoch)
{
    struct kf__consumer *consumer = partition->consumer;
    if (err) {
        if (!kf_err_retriable(err))
            kf__consumer_log(consumer, KF_LOG_WARNING, "offset.unknown", partition, -1, err,
                             "the committed offset can't be had: %s", kf_err_text(err));
        return;
    }
    partition->needs_offset = false;
    partition->offset_asked = false;
    if (offset < 0) {
        kf__positions_reset(partition, KF_ERR_NO_OFFSET);
        return;
    }
    kf__offset_open(&partition->account, offset, partition);
    kf__partition_start_at(partition, offset, epoch);
    kf__partition_begin(partition);
}

static kf_err take_old_shape(struct kf__consumer *consumer,
                             const struct kf_offset_fetch_response *response)
{
    for (int32_t i = 0; i < response->topics.count; i++) {
        const struct kf_offset_fetch_response_topic *topic = &response->topics.items[i];
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const struct kf_offset_fetch_response_partition *row = &topic->partitions.items[j];
            struct kf__partition *partition =
                find_asked(consumer, topic->name, row->partition_index);
            if (partition)
                settle(partition, row->error_code, row->committed_offset,
                       row->committed_leader_epoch);
        }
    }
    return response->error_code;
}

static kf_err take_groups(struct kf__consumer *consumer,
                          const struct kf_offset_fetch_response *response)
{
    if (response->groups.count < 1)
        return KF_ERR_UNKNOWN_SERVER_ERROR;
    const struct kf_offset_fetch_response_group *group = &response->groups.items[0];
    for (int32_t i = 0; i < group->topics.count; i++) {
        const struct kf_offset_fetch_response_topics *topic = &group->topics.items[i];
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const struct kf_offset_fetch_response_partitions *row = &topic->partitions.items[j];
            struct kf__partition *partition =
                find_asked(consumer, topic->name, row->partition_index);
            if (partition)
                settle(partition, row->error_code, row->committed_offset,
                       row->committed_leader_epoch);
        }
    }
    return group->error_code;
}

static bool any_left(struct kf__consumer *consumer)
{
    bool any = false;
    for (struct kf__link *at = consumer->partitions.next; at != &consumer->partitions;
         at = at->next) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        partition->offset_asked = false;
        any |= partition->needs_offset;
    }
    return any;
}

static void take_answer(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__positions *positions = call->owner;
    struct kf__consumer *consumer = positions->consumer;
    if (!err)
        err = answer->version < FIRST_VERSION_WITH_GROUPS
                  ? take_old_shape(consumer, answer->message)
                  : take_groups(consumer, answer->message);
    if (err && kf__coordinator_is_lost_by(err))
        kf__coordinator_lost(consumer, err);
    if (err == KF_ERR_GROUP_AUTHORIZATION_FAILED)
        kf__consumer_fail(consumer, err, "not allowed to read the group's offsets");
    if (!any_left(consumer)) {
        positions->attempts = 0;
        return;
    }
    kf_time wait = kf__fetcher_backoff(consumer->fetcher, positions->attempts++);
    kf__timer_set(consumer->loop, &positions->retry, kf__loop_now(consumer->loop) + wait);
}

/* ---- asking ---- */

void kf__positions_ask(struct kf__consumer *consumer)
{
    struct kf__positions *positions = &consumer->positions;
    if (kf__call_is_under_way(&positions->call) || consumer->coordinator < 0 || !any_left(consumer))
        return;
    kf__timer_cancel(consumer->loop, &positions->retry);
    positions->call.deadline =
        kf__loop_now(consumer->loop) + consumer->settings->request_timeout_ms * KF_MILLISECOND;
    kf__cluster_send(consumer->cluster, consumer->coordinator, KF__LANE_CONTROL, &positions->call);
}

static void fire(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__positions *positions = owner;
    kf__positions_ask(positions->consumer);
}

void kf__positions_reset(struct kf__partition *partition, kf_err why)
{
    struct kf__consumer *consumer = partition->consumer;
    const struct kf__world *world = kf__loop_world(consumer->loop);
    switch (consumer->settings->reset) {
    case KF__RESET_EARLIEST:
        kf__fetching_seek(&partition->fetching, KF__START_EARLIEST, 0, -1);
        break;
    case KF__RESET_LATEST:
        kf__fetching_seek(&partition->fetching, KF__START_LATEST, 0, -1);
        break;
    case KF__RESET_BY_DURATION:
        kf__fetching_seek(&partition->fetching, KF__START_TIME,
                          world->wall_ms(world->context) - consumer->settings->reset_back_ms, -1);
        break;
    case KF__RESET_NONE: {
        char text[KF_ERROR_TEXT_BYTES];
        snprintf(text, sizeof text,
                 "group %s has no usable offset for partition %d of %s (%s) and auto.offset.reset "
                 "is none: commit one, or choose earliest or latest",
                 consumer->settings->group_id, (int)partition->number, partition->topic_name,
                 kf_err_text(why));
        kf__consumer_fail(consumer, why, text);
        return;
    }
    }
    kf__partition_begin(partition);
}

void kf__positions_open(struct kf__consumer *consumer)
{
    struct kf__positions *positions = &consumer->positions;
    positions->consumer = consumer;
    kf__timer_init(&positions->retry, fire, positions);
    positions->call = (struct kf__call){
        .api_key = KF_API_OFFSET_FETCH,
        .min_version = 1,
        .max_version = LAST_VERSION_WITH_NAMES,
        .build = build,
        .done = take_answer,
        .owner = positions,
    };
}

void kf__positions_close(struct kf__consumer *consumer)
{
    if (!consumer->positions.consumer)
        return;
    kf__call_cancel(&consumer->positions.call);
    kf__timer_cancel(consumer->loop, &consumer->positions.retry);
}
