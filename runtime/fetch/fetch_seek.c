/*
 * fetch_seek: asks leaders for offsets (ListOffsets) on behalf of partitions
 * that are to begin at the earliest or latest offset or at a time. One
 * request a broker carries all that wait.
 */
#include "runtime/fetch/fetch_inside.h"

#include <kafiber/messages.h>
#include <string.h>

enum {
    EARLIEST = -2,
    LATEST = -1
};

/* One ListOffsets under way. An entry is NULL once its partition went elsewhere. */
struct kf__seek {
    struct kf__call call;
    struct kf__fetcher *fetcher;
    struct kf__seek *next;
    size_t count;
    struct kf__fetching *waiting[];
};

static int64_t timestamp_of(const struct kf__fetching *fetching)
{
    switch (fetching->start) {
    case KF__START_EARLIEST:
        return EARLIEST;
    case KF__START_TIME:
        return fetching->start_value;
    default:
        return LATEST;
    }
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)version;
    struct kf__seek *seek = call->owner;
    size_t count = seek->count;
    struct kf_list_offsets_request *request = kf_arena_alloc(arena, sizeof *request);
    struct kf_list_offsets_request_list_offsets_topic *topics =
        kf_arena_alloc(arena, count * sizeof *topics);
    struct kf_list_offsets_request_list_offsets_partition *rows =
        kf_arena_alloc(arena, count * sizeof *rows);
    if (!request || !topics || !rows)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_list_offsets_request, request);
    request->replica_id = -1;
    request->isolation_level = seek->fetcher->settings.read_committed;
    int32_t used = 0;
    for (size_t i = 0; i < count; i++) {
        struct kf__fetching *fetching = seek->waiting[i];
        if (!fetching)
            continue;
        const struct kf__topic_info *info =
            kf__cluster_topic(seek->fetcher->cluster, fetching->topic);
        rows[used] = (struct kf_list_offsets_request_list_offsets_partition){
            .partition_index = fetching->partition,
            .current_leader_epoch = fetching->leader_epoch,
            .timestamp = timestamp_of(fetching),
            .max_num_offsets = 1,
        };
        topics[used].name = (kf_string){info->name, strlen(info->name)};
        topics[used].partitions.items = &rows[used];
        topics[used].partitions.count = 1;
        used++;
    }
    request->topics.items = topics;
    request->topics.count = used;
    *message = request;
    return KF_OK;
}

static void settle(struct kf__fetching *fetching, kf_err err, int64_t offset)
{
    if (err) {
        kf__fetching_trouble(fetching, err, kf_err_retriable(err));
        return;
    }
    if (offset < 0 && fetching->start == KF__START_TIME) {
        /* No record that late yet: the end is where the next one will be. */
        kf__fetching_seek(fetching, KF__START_LATEST, 0, -1);
        return;
    }
    if (offset < 0) {
        kf__fetching_trouble(fetching, KF_ERR_OFFSET_RESET_FAILED, true);
        return;
    }
    kf__fetching_positioned(fetching, offset, -1);
}

static struct kf__fetching *take_waiting(struct kf__seek *seek, kf_string topic, int32_t partition)
{
    for (size_t i = 0; i < seek->count; i++) {
        struct kf__fetching *fetching = seek->waiting[i];
        if (!fetching || fetching->partition != partition)
            continue;
        const struct kf__topic_info *info =
            kf__cluster_topic(seek->fetcher->cluster, fetching->topic);
        if (strlen(info->name) != topic.size || memcmp(info->name, topic.data, topic.size) != 0)
            continue;
        seek->waiting[i] = NULL;
        return fetching;
    }
    return NULL;
}

static void unlink_seek(struct kf__seek *seek)
{
    struct kf__seek **at = &seek->fetcher->seeks;
    while (*at != seek)
        at = &(*at)->next;
    *at = seek->next;
}

static void take_answer(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__seek *seek = call->owner;
    const struct kf_list_offsets_response *response = answer ? answer->message : NULL;
    for (int32_t i = 0; response && i < response->topics.count; i++) {
        const struct kf_list_offsets_response_list_offsets_topic_response *topic =
            &response->topics.items[i];
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const struct kf_list_offsets_response_list_offsets_partition_response *row =
                &topic->partitions.items[j];
            struct kf__fetching *fetching = take_waiting(seek, topic->name, row->partition_index);
            if (fetching)
                settle(fetching, row->error_code, row->offset);
        }
    }
    /* What the broker left out, or all where the call failed, is asked for again. */
    for (size_t i = 0; i < seek->count; i++)
        if (seek->waiting[i])
            kf__fetching_trouble(seek->waiting[i], err ? err : KF_ERR_OFFSET_RESET_FAILED, true);
    unlink_seek(seek);
    kf_free(seek->fetcher->alloc, seek);
}

/* All seekers of the first one's node, in one request. */
static void send_first(struct kf__fetcher *fetcher)
{
    struct kf__fetching *first = KF__OWNER(fetcher->seeking.next, struct kf__fetching, in_lane);
    int32_t node = first->node;
    size_t count = 0;
    for (struct kf__link *at = fetcher->seeking.next; at != &fetcher->seeking; at = at->next)
        count += KF__OWNER(at, struct kf__fetching, in_lane)->node == node;

    struct kf__seek *seek =
        kf_alloc_zero(fetcher->alloc, sizeof *seek + count * sizeof *seek->waiting);
    struct kf__link *at = fetcher->seeking.next;
    while (at != &fetcher->seeking) {
        struct kf__fetching *fetching = KF__OWNER(at, struct kf__fetching, in_lane);
        at = at->next;
        if (fetching->node != node)
            continue;
        if (!seek) {
            kf__fetching_trouble(fetching, KF_ERR_NO_MEMORY, false);
            continue;
        }
        kf__link_remove(&fetching->in_lane);
        seek->waiting[seek->count++] = fetching;
    }
    if (!seek)
        return;
    seek->fetcher = fetcher;
    seek->next = fetcher->seeks;
    fetcher->seeks = seek;
    seek->call = (struct kf__call){
        .api_key = KF_API_LIST_OFFSETS,
        .min_version = 1,
        .max_version = kf_schema_max_version(&kf_schema_of_list_offsets_request),
        .deadline = kf__loop_now(fetcher->loop) + fetcher->settings.request_timeout,
        .build = build,
        .done = take_answer,
        .owner = seek,
    };
    kf__cluster_send(fetcher->cluster, node, KF__LANE_CONTROL, &seek->call);
}

void kf__seeks_send(struct kf__fetcher *fetcher)
{
    while (!kf__link_is_alone(&fetcher->seeking))
        send_first(fetcher);
}

void kf__seeks_forget(struct kf__fetching *fetching)
{
    for (struct kf__seek *seek = fetching->fetcher->seeks; seek; seek = seek->next)
        for (size_t i = 0; i < seek->count; i++)
            if (seek->waiting[i] == fetching)
                seek->waiting[i] = NULL;
}

void kf__seeks_close(struct kf__fetcher *fetcher)
{
    while (fetcher->seeks) {
        struct kf__seek *seek = fetcher->seeks;
        fetcher->seeks = seek->next;
        kf__call_cancel(&seek->call);
        kf_free(fetcher->alloc, seek);
    }
}
