/*
 * fetch_response: a Fetch response taken apart: what each partition's answer
 * means, and its batches one by one, by their headers only.
 */
#include "runtime/fetch/fetch_inside.h"

#include <kafiber/messages.h>
#include <stdlib.h>

typedef struct kf_fetch_response_partition_data partition_data;
typedef struct kf_fetch_response_aborted_transaction aborted_transaction;

/* ---- aborted transactions (read_committed) ---- */

/*
 * Which producers are inside an aborted transaction, as the walk over the
 * batches goes on. The broker's list need not be sorted.
 */
struct aborted {
    aborted_transaction *list; /* sorted by first offset */
    int32_t count;
    int32_t next; /* the first one not begun yet */
};

static int by_first_offset(const void *a, const void *b)
{
    const aborted_transaction *left = a;
    const aborted_transaction *right = b;
    return (left->first_offset > right->first_offset) - (left->first_offset < right->first_offset);
}

static void aborted_begin(struct aborted *aborted, const partition_data *data)
{
    int32_t count = data->aborted_transactions.count;
    *aborted = (struct aborted){data->aborted_transactions.items, count > 0 ? count : 0, 0};
    if (aborted->count > 1)
        qsort(aborted->list, (size_t)aborted->count, sizeof *aborted->list, by_first_offset);
}

/* An aborted transaction that ended, or was never there, has producer -1. */
static bool aborted_has(struct aborted *aborted, const struct kf__batch *batch)
{
    while (aborted->next < aborted->count &&
           aborted->list[aborted->next].first_offset <= batch->last_offset)
        aborted->next++;
    for (int32_t i = 0; i < aborted->next; i++)
        if (aborted->list[i].producer_id == batch->producer_id)
            return true;
    return false;
}

/* An abort marker ends the producer's transaction: what it writes later is another one's. */
static void aborted_end(struct aborted *aborted, int64_t producer_id)
{
    for (int32_t i = 0; i < aborted->next; i++)
        if (aborted->list[i].producer_id == producer_id) {
            aborted->list[i].producer_id = -1;
            return;
        }
}

static bool is_abort_marker(const struct kf__batch *batch)
{
    struct kf__records records;
    struct kf__record record;
    bool more = false;
    int16_t type = -1;
    if (kf__batch_open(batch, NULL, NULL, 0, &records) ||
        kf__records_next(&records, &record, &more) || !more || kf__control_type(&record, &type))
        return false;
    return type == 0;
}

static bool must_skip(const struct kf__fetcher *fetcher, struct aborted *aborted,
                      const struct kf__batch *batch)
{
    if (!fetcher->settings.read_committed)
        return batch->control;
    bool is_aborted = batch->transactional && aborted_has(aborted, batch);
    if (batch->control && is_aborted && is_abort_marker(batch))
        aborted_end(aborted, batch->producer_id);
    return batch->control || is_aborted;
}

/* ---- batches ---- */

static kf_err hand_out(struct kf__fetching *fetching, struct kf__slab *slab,
                       const struct kf__batch *header, bool skip)
{
    struct kf__fetcher *fetcher = fetching->fetcher;
    kf_err err = kf__credit_hold(fetcher->credit, slab, 1);
    if (err)
        return err;
    const char *topic = kf__cluster_topic(fetcher->cluster, fetching->topic)->name;
    struct kf_batch *batch = kf__held_new(fetcher->alloc, slab, header, skip, topic);
    if (!batch) {
        kf__credit_started(slab);
        return KF_ERR_NO_MEMORY;
    }
    fetching->offset = header->last_offset + 1;
    if (header->leader_epoch >= 0)
        fetching->last_epoch = header->leader_epoch;
    fetching->owner->arrived(fetching, batch);
    return KF_OK;
}

/* Walks the headers. The last batch may be cut off; the first one never is, however large. */
static kf_err take_batches(struct kf__fetching *fetching, struct kf__slab *slab,
                           const partition_data *data)
{
    struct aborted aborted;
    aborted_begin(&aborted, data);
    const uint8_t *at = data->records.data;
    size_t left = data->records.data ? data->records.size : 0;
    bool any = false;
    while (left > 0) {
        struct kf__batch batch;
        kf_err err = kf__batch_peek(at, left, &batch);
        if (err == KF_ERR_TRUNCATED)
            break;
        if (err)
            return err;
        at += batch.size;
        left -= batch.size;
        any = true;
        bool skip = must_skip(fetching->fetcher, &aborted, &batch);
        if (batch.last_offset < fetching->offset)
            continue; /* before the position: the broker sends whole batches */
        int64_t expected = batch.last_offset + 1;
        err = hand_out(fetching, slab, &batch, skip);
        if (err)
            return err;
        if (!fetching->lane || fetching->offset != expected)
            return KF_OK; /* the owner went elsewhere */
    }
    if (!any && left > 0 && fetching->max_bytes < INT32_MAX / 2)
        fetching->max_bytes *= 2;
    return KF_OK;
}

/* ---- one partition's answer ---- */

static void take_error(struct kf__fetching *fetching, const partition_data *data)
{
    struct kf__fetcher *fetcher = fetching->fetcher;
    kf_err err = data->error_code;
    switch (err) {
    case KF_ERR_OFFSET_OUT_OF_RANGE:
        if (fetching->replica >= 0) {
            /* A follower may lag behind: only the leader's word counts (KIP-392). */
            fetching->replica = -1;
            kf__fetching_place(fetching);
            return;
        }
        kf__lane_uncount(fetching);
        fetching->state = KF__FETCHING_IDLE;
        kf__lane_note_change(fetching);
        fetching->owner->out_of_range(fetching, err, fetching->offset);
        return;
    case KF_ERR_NOT_LEADER_OR_FOLLOWER:
    case KF_ERR_FENCED_LEADER_EPOCH:
        if (data->current_leader.leader_id >= 0)
            kf__cluster_learn_leader(fetcher->cluster, fetching->topic, fetching->partition,
                                     data->current_leader.leader_id,
                                     data->current_leader.leader_epoch);
        kf__fetching_trouble(fetching, err, true);
        return;
    case KF_ERR_UNKNOWN_TOPIC_ID:
    case KF_ERR_INCONSISTENT_TOPIC_ID:
        kf__lane_reset_session(fetching->lane);
        kf__fetching_trouble(fetching, err, true);
        return;
    default:
        kf__fetching_trouble(fetching, err, kf_err_retriable(err));
    }
}

static void note_watermarks(struct kf__fetching *fetching, const partition_data *data)
{
    if (data->high_watermark >= 0)
        fetching->high_watermark = data->high_watermark;
    if (data->last_stable_offset >= 0)
        fetching->last_stable = data->last_stable_offset;
    if (data->log_start_offset >= 0)
        fetching->log_start = data->log_start_offset;
}

/*
 * Whether there was nothing more. An answer with nothing at all settles it: a
 * broker may name an end that it doesn't serve yet. A partition that came out
 * empty while others filled the answer only found no room in it.
 */
static bool has_caught_up(const struct kf__fetching *fetching, bool answer_is_empty)
{
    if (answer_is_empty)
        return true;
    bool committed = fetching->fetcher->settings.read_committed && fetching->last_stable >= 0;
    return fetching->offset >= (committed ? fetching->last_stable : fetching->high_watermark);
}

/* KIP-392: the broker names the replica to read from. True where it did. */
static bool follow_replica(struct kf__fetching *fetching, int32_t replica)
{
    struct kf__fetcher *fetcher = fetching->fetcher;
    if (replica < 0 || replica == fetching->node)
        return false;
    if (!kf__cluster_has_node(fetcher->cluster, replica)) {
        /* It is younger than our metadata; the leader would name it again at once. */
        kf__fetching_trouble(fetching, KF_ERR_REPLICA_NOT_AVAILABLE, true);
        return true;
    }
    fetching->replica = replica;
    fetching->replica_until = kf__loop_now(fetcher->loop) + fetcher->settings.replica_lease;
    kf__fetching_place(fetching);
    return true;
}

static void take_partition(struct kf__fetch_lane *lane, struct kf__fetching *fetching,
                           const partition_data *data, struct kf__slab *slab, bool answer_is_empty)
{
    bool stale = fetching->lane != lane || !fetching->in_session ||
                 fetching->state != KF__FETCHING_READY || fetching->sent_offset != fetching->offset;
    if (stale)
        return;
    if (data->error_code) {
        take_error(fetching, data);
        return;
    }
    note_watermarks(fetching, data);
    if (data->diverging_epoch.end_offset >= 0) {
        kf__lane_uncount(fetching);
        fetching->state = KF__FETCHING_IDLE;
        kf__lane_note_change(fetching);
        fetching->owner->out_of_range(fetching, KF_ERR_TRUNCATION_DETECTED,
                                      data->diverging_epoch.end_offset);
        return;
    }
    if (follow_replica(fetching, data->preferred_read_replica))
        return;

    kf_err err = take_batches(fetching, slab, data);
    if (fetching->lane != lane)
        return;
    if (err) {
        fetching->owner->settled(fetching); /* what came before it is sound */
        kf__fetching_trouble(fetching, err, false);
        return;
    }
    fetching->attempts = 0;
    fetching->failure = KF_OK;
    kf__lane_uncount(fetching);
    fetching->caught_up = has_caught_up(fetching, answer_is_empty);
    kf__lane_count(fetching);
    kf__lane_note_change(fetching);
    if (lane->kind == KF__LANE_LONG_POLL && !fetching->caught_up)
        kf__lane_fell_behind(fetching);
    fetching->owner->settled(fetching);
}

/* ---- the whole ---- */

/* What an incremental answer leaves out had nothing new, as far as the answer had room. */
static void settle_the_silent(struct kf__fetch_lane *lane, size_t brought)
{
    if (brought > (size_t)lane->requested_bytes / 2)
        return;
    for (struct kf__link *at = lane->members.next; at != &lane->members; at = at->next) {
        struct kf__fetching *fetching = KF__OWNER(at, struct kf__fetching, in_lane);
        if (fetching->caught_up || !fetching->in_session || !kf__fetching_is_eligible(fetching) ||
            fetching->sent_offset != fetching->offset)
            continue;
        kf__lane_uncount(fetching);
        fetching->caught_up = true;
        kf__lane_count(fetching);
    }
}

/* Bytes of records in the whole answer. */
static size_t count_bytes(const struct kf_fetch_response *response)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < response->responses.count; i++)
        for (int32_t j = 0; j < response->responses.items[i].partitions.count; j++) {
            const partition_data *data = &response->responses.items[i].partitions.items[j];
            bytes += data->records.data ? data->records.size : 0;
        }
    return bytes;
}

static void take_topics(struct kf__fetch_lane *lane, const struct kf_fetch_response *response,
                        const struct kf__answer *answer, size_t brought, bool *strange)
{
    struct kf__fetcher *fetcher = lane->fetcher;
    for (int32_t i = 0; i < response->responses.count; i++) {
        const struct kf_fetch_response_fetchable_topic_response *topic =
            &response->responses.items[i];
        int32_t index =
            answer->version >= 13
                ? kf__cluster_find_topic_id(fetcher->cluster, &topic->topic_id)
                : kf__cluster_find_topic(fetcher->cluster, topic->topic.data, topic->topic.size);
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const partition_data *data = &topic->partitions.items[j];
            struct kf__fetching *fetching = kf__fetcher_find(fetcher, index, data->partition_index);
            /* A topic that was created anew: the session still asks for the old one. */
            if (index < 0 && data->error_code)
                *strange = true;
            if (fetching)
                take_partition(lane, fetching, data, answer->slab, brought == 0);
        }
    }
}

/* Brokers that lead partitions now and that metadata doesn't know yet (KIP-951). */
static void learn_nodes(struct kf__cluster *cluster, const struct kf_fetch_response *response)
{
    for (int32_t i = 0; i < response->node_endpoints.count; i++) {
        const struct kf_fetch_response_node_endpoint *node = &response->node_endpoints.items[i];
        kf__cluster_learn_node(cluster, node->node_id, node->host, node->port, node->rack);
    }
}

void kf__fetch_take(struct kf__fetch_lane *lane, const struct kf__answer *answer)
{
    const struct kf_fetch_response *response = answer->message;
    if (response->error_code) {
        kf__lane_reset_session(lane);
        bool once = response->error_code == KF_ERR_FETCH_SESSION_ID_NOT_FOUND ||
                    response->error_code == KF_ERR_INVALID_FETCH_SESSION_EPOCH;
        if (!once || lane->attempts > 0)
            kf__lane_back_off(lane);
        lane->attempts++;
        return;
    }
    lane->attempts = 0;
    if (!lane->incremental) {
        lane->session_id = response->session_id;
        lane->session_epoch = response->session_id ? 1 : 0;
    } else {
        lane->session_epoch = lane->session_epoch == INT32_MAX ? 1 : lane->session_epoch + 1;
    }
    learn_nodes(lane->fetcher->cluster, response);
    size_t brought = count_bytes(response);
    bool strange = false;
    take_topics(lane, response, answer, brought, &strange);
    settle_the_silent(lane, brought);
    if (strange) {
        kf__lane_reset_session(lane);
        kf__lane_back_off(lane);
    }
    kf__lane_adapt(lane, brought);
}
