/*
 * fetch_request: a Fetch request from what changed since the last one.
 *
 * With a session (KIP-227, Fetch v7 and later) only changes travel; without
 * one every wanted partition does. The lane keeps what the session has
 * (in_session, sent_offset, …); this file is the only one that writes it on
 * the way out.
 */
#include "runtime/fetch/fetch_inside.h"

#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_VERSION_WITH_SESSIONS = 7,
    FIRST_VERSION_WITH_LAST_EPOCHS = 12
};

static int by_topic_and_partition(const void *a, const void *b)
{
    const struct kf__fetching *left = *(struct kf__fetching *const *)a;
    const struct kf__fetching *right = *(struct kf__fetching *const *)b;
    if (left->topic != right->topic)
        return left->topic < right->topic ? -1 : 1;
    return (left->partition > right->partition) - (left->partition < right->partition);
}

static int by_forgotten_topic(const void *a, const void *b)
{
    const struct kf__forgotten *left = a;
    const struct kf__forgotten *right = b;
    return (left->topic > right->topic) - (left->topic < right->topic);
}

static bool session_knows(const struct kf__fetching *fetching)
{
    return fetching->in_session && fetching->sent_offset == fetching->offset &&
           fetching->sent_epoch == fetching->leader_epoch &&
           fetching->sent_max_bytes == fetching->max_bytes;
}

static size_t length(const struct kf__link *list)
{
    size_t count = 0;
    for (const struct kf__link *at = list->next; at != list; at = at->next)
        count++;
    return count;
}

/* All wanted members: the beginning of a session, or no session. */
static size_t choose_all(struct kf__fetch_lane *lane, struct kf__fetching **chosen)
{
    size_t count = 0;
    for (struct kf__link *at = lane->members.next; at != &lane->members; at = at->next) {
        struct kf__fetching *fetching = KF__OWNER(at, struct kf__fetching, in_lane);
        kf__link_remove(&fetching->in_changed);
        fetching->in_session = false;
        if (kf__fetching_is_eligible(fetching))
            chosen[count++] = fetching;
    }
    lane->forgotten_count = 0;
    return count;
}

/* Those whose place in the session differs; the ones no longer wanted go to the forgotten. */
static size_t choose_changed(struct kf__fetch_lane *lane, struct kf__fetching **chosen,
                             struct kf__forgotten *forgotten, size_t *forgotten_count)
{
    size_t count = 0;
    while (!kf__link_is_alone(&lane->changed)) {
        struct kf__fetching *fetching =
            KF__OWNER(lane->changed.next, struct kf__fetching, in_changed);
        kf__link_remove(&fetching->in_changed);
        if (kf__fetching_is_eligible(fetching)) {
            if (!session_knows(fetching))
                chosen[count++] = fetching;
        } else if (fetching->in_session) {
            fetching->in_session = false;
            forgotten[(*forgotten_count)++] =
                (struct kf__forgotten){fetching->topic, fetching->partition};
        }
    }
    for (size_t i = 0; i < lane->forgotten_count; i++)
        forgotten[(*forgotten_count)++] = lane->forgotten[i];
    lane->forgotten_count = 0;
    return count;
}

static void fill_partition(struct kf__fetching *fetching, int16_t version,
                           struct kf_fetch_request_fetch_partition *row)
{
    *row = (struct kf_fetch_request_fetch_partition){
        .partition = fetching->partition,
        .current_leader_epoch = fetching->leader_epoch,
        .fetch_offset = fetching->offset,
        .last_fetched_epoch = version >= FIRST_VERSION_WITH_LAST_EPOCHS ? fetching->last_epoch : -1,
        .log_start_offset = -1, /* a follower's */
        .partition_max_bytes = fetching->max_bytes,
        .high_watermark = INT64_MAX, /* a follower's (KIP-1166) */
    };
    fetching->in_session = true;
    fetching->sent_offset = fetching->offset;
    fetching->sent_epoch = fetching->leader_epoch;
    fetching->sent_max_bytes = fetching->max_bytes;
}

static void reverse(struct kf__fetching **chosen, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct kf__fetching *left = chosen[i];
        chosen[i] = chosen[count - 1 - i];
        chosen[count - 1 - i] = left;
    }
}

/*
 * A broker fills its answer in the order of the request. A session turns that
 * order by itself; without one the first would always be served before the
 * last.
 */
static void rotate(struct kf__fetching **chosen, size_t count, size_t by)
{
    if (count == 0)
        return;
    by %= count;
    reverse(chosen, by);
    reverse(chosen + by, count - by);
    reverse(chosen, count);
}

static kf_err fill_topics(struct kf__fetch_lane *lane, struct kf__fetching **chosen, size_t count,
                          int16_t version, kf_arena *arena, struct kf_fetch_request *request)
{
    qsort(chosen, count, sizeof *chosen, by_topic_and_partition);
    if (!lane->incremental)
        rotate(chosen, count, lane->beginnings++);
    struct kf_fetch_request_fetch_topic *topics = kf_arena_alloc(arena, count * sizeof *topics);
    struct kf_fetch_request_fetch_partition *rows = kf_arena_alloc(arena, count * sizeof *rows);
    if (count && (!topics || !rows))
        return KF_ERR_NO_MEMORY;
    int32_t topic_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || chosen[i]->topic != chosen[i - 1]->topic) {
            const struct kf__topic_info *info =
                kf__cluster_topic(lane->fetcher->cluster, chosen[i]->topic);
            struct kf_fetch_request_fetch_topic *topic = &topics[topic_count++];
            topic->topic = (kf_string){info->name, strlen(info->name)};
            topic->topic_id = info->id;
            topic->partitions.items = &rows[i];
        }
        topics[topic_count - 1].partitions.count++;
        fill_partition(chosen[i], version, &rows[i]);
    }
    request->topics.items = topics;
    request->topics.count = topic_count;
    return KF_OK;
}

static kf_err fill_forgotten(struct kf__fetch_lane *lane, struct kf__forgotten *forgotten,
                             size_t count, kf_arena *arena, struct kf_fetch_request *request)
{
    if (count == 0)
        return KF_OK;
    qsort(forgotten, count, sizeof *forgotten, by_forgotten_topic);
    struct kf_fetch_request_forgotten_topic *topics = kf_arena_alloc(arena, count * sizeof *topics);
    int32_t *numbers = kf_arena_alloc(arena, count * sizeof *numbers);
    if (!topics || !numbers)
        return KF_ERR_NO_MEMORY;
    int32_t topic_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || forgotten[i].topic != forgotten[i - 1].topic) {
            const struct kf__topic_info *info =
                kf__cluster_topic(lane->fetcher->cluster, forgotten[i].topic);
            struct kf_fetch_request_forgotten_topic *topic = &topics[topic_count++];
            topic->topic = (kf_string){info->name, strlen(info->name)};
            topic->topic_id = info->id;
            topic->partitions.items = &numbers[i];
        }
        topics[topic_count - 1].partitions.count++;
        numbers[i] = forgotten[i].partition;
    }
    request->forgotten_topics_data.items = topics;
    request->forgotten_topics_data.count = topic_count;
    return KF_OK;
}

kf_err kf__fetch_build(struct kf__call *call, int16_t version, kf_arena *arena,
                       const void **message)
{
    struct kf__fetch_lane *lane = call->owner;
    const struct kf__fetch_settings *settings = &lane->fetcher->settings;
    struct kf_fetch_request *request = kf_arena_alloc(arena, sizeof *request);
    size_t most = length(&lane->members);
    struct kf__fetching **chosen = kf_arena_alloc(arena, most * sizeof(void *));
    struct kf__forgotten *forgotten =
        kf_arena_alloc(arena, (most + lane->forgotten_count) * sizeof *forgotten);
    if (!request || !chosen || !forgotten)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_fetch_request, request);
    request->max_wait_ms = kf__lane_wait_ms(lane);
    request->min_bytes = settings->min_bytes;
    request->max_bytes = lane->requested_bytes;
    request->isolation_level = settings->read_committed;
    if (settings->rack)
        request->rack_id = (kf_string){settings->rack, strlen(settings->rack)};

    lane->incremental = version >= FIRST_VERSION_WITH_SESSIONS && lane->session_epoch > 0;
    if (version >= FIRST_VERSION_WITH_SESSIONS) {
        request->session_id = lane->incremental ? lane->session_id : 0;
        request->session_epoch = lane->incremental ? lane->session_epoch : 0;
    }
    size_t forgotten_count = 0;
    size_t count = lane->incremental ? choose_changed(lane, chosen, forgotten, &forgotten_count)
                                     : choose_all(lane, chosen);
    kf_err err = fill_topics(lane, chosen, count, version, arena, request);
    if (!err)
        err = fill_forgotten(lane, forgotten, forgotten_count, arena, request);
    *message = request;
    return err;
}
