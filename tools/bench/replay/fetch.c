/*
 * fetch: which partitions get how many batches. Session 0 is the memory of
 * the one request at hand; the others stay until they are closed, or until
 * their place is needed.
 */
#include "tools/bench/replay/fetch.h"

#include <stdlib.h>
#include <string.h>

enum {
    FINAL_EPOCH = -1,
    INITIAL_EPOCH = 0,
};

static void forget(struct replay *replay, struct session *session)
{
    for (int32_t i = 0; i < replay->partitions; i++)
        session->places[i].wanted = false;
    session->next = 0;
}

static struct session *find(struct replay *replay, int32_t id)
{
    for (int32_t i = 1; i < MAX_SESSIONS; i++)
        if (replay->sessions[i].id == id)
            return &replay->sessions[i];
    return NULL;
}

/* The session that this request is about; NULL where it is not known any more. */
static struct session *enter(struct replay *replay, const struct kf_fetch_request *request)
{
    struct session *session = request->session_id ? find(replay, request->session_id) : NULL;
    if (request->session_epoch != INITIAL_EPOCH && request->session_epoch != FINAL_EPOCH)
        return session;

    if (session)
        session->id = 0; /* closed, or begun anew */
    int32_t id = 0;
    if (request->session_epoch == INITIAL_EPOCH)
        id = ++replay->last_session;
    session = &replay->sessions[id ? 1 + id % (MAX_SESSIONS - 1) : 0];
    session->id = id;
    forget(replay, session);
    return session;
}

static void update(struct replay *replay, struct session *session,
                   const struct kf_fetch_request *request)
{
    for (int32_t t = 0; t < request->forgotten_topics_data.count; t++)
        for (int32_t p = 0; p < request->forgotten_topics_data.items[t].partitions.count; p++) {
            int32_t index = request->forgotten_topics_data.items[t].partitions.items[p];
            if (index >= 0 && index < replay->partitions)
                session->places[index].wanted = false;
        }
    for (int32_t t = 0; t < request->topics.count; t++)
        for (int32_t p = 0; p < request->topics.items[t].partitions.count; p++) {
            const struct kf_fetch_request_fetch_partition *asked =
                &request->topics.items[t].partitions.items[p];
            if (asked->partition >= 0 && asked->partition < replay->partitions)
                session->places[asked->partition] =
                    (struct place){asked->fetch_offset, asked->partition_max_bytes, true};
        }
}

static int32_t first_asked(const struct replay *replay, const struct kf_fetch_request *request)
{
    if (request->topics.count < 1 || request->topics.items[0].partitions.count < 1)
        return 0;
    int32_t index = request->topics.items[0].partitions.items[0].partition;
    return index >= 0 && index < replay->partitions ? index : 0;
}

/* How many batches, from `first` on, fit both the partition and what is left of the response. */
static int64_t count_batches(const struct replay *replay, const struct place *place, int64_t first,
                             int64_t *left, bool must_have_one, size_t *bytes)
{
    const struct log *log = &replay->log;
    int64_t end = log->high_watermark / log->batch_records;
    int64_t room = place->max_bytes < *left ? place->max_bytes : *left;
    int64_t count = 0;
    *bytes = 0;
    while (first + count < end) {
        int64_t size = (int64_t)log_batch(log, first + count)->used;
        if ((int64_t)*bytes + size > room && !(count == 0 && must_have_one))
            break;
        *bytes += (size_t)size;
        count++;
    }
    *left -= (int64_t)*bytes;
    return count;
}

static void fill_partition(const struct replay *replay, const struct place *place, int32_t index,
                           int64_t *left, struct kf_fetch_response_partition_data *data,
                           struct answer *answer)
{
    data->partition_index = index;
    data->high_watermark = replay->log.high_watermark;
    data->last_stable_offset = replay->log.high_watermark;
    data->log_start_offset = 0;
    data->preferred_read_replica = -1;
    data->diverging_epoch =
        (struct kf_fetch_response_epoch_end_offset){.epoch = -1, .end_offset = -1};
    data->current_leader =
        (struct kf_fetch_response_leader_id_and_epoch){.leader_id = -1, .leader_epoch = -1};
    data->snapshot_id = (struct kf_fetch_response_snapshot_id){.end_offset = -1, .epoch = -1};
    data->aborted_transactions.count = -1;
    data->records = (kf_bytes){(const uint8_t *)"", 0};
    if (place->offset < 0 || place->offset > replay->log.high_watermark) {
        data->error_code = KF_ERR_OFFSET_OUT_OF_RANGE;
        return;
    }
    int64_t first = place->offset / replay->log.batch_records;
    size_t bytes;
    int64_t count = count_batches(replay, place, first, left, answer->run_count == 0, &bytes);
    if (count == 0)
        return;
    /* Never read: the run's batches are sent in its place. */
    data->records = (kf_bytes){log_batch(&replay->log, first)->bytes, bytes};
    answer->runs[answer->run_count++] = (struct run){first, count};
}

void replay_fetch(struct replay *replay, const struct kf_fetch_request *request,
                  const kf_uuid *topic_id, struct kf_fetch_response *response,
                  struct answer *answer)
{
    struct session *session = enter(replay, request);
    if (!session) {
        response->error_code = KF_ERR_FETCH_SESSION_ID_NOT_FOUND;
        return;
    }
    update(replay, session, request);
    if (request->session_epoch <= INITIAL_EPOCH)
        session->next = first_asked(replay, request); /* whoever keeps no session turns the list */
    bool incremental = request->session_epoch > INITIAL_EPOCH;
    response->session_id = session->id;
    response->responses.items = kf_arena_alloc(&answer->arena, sizeof *response->responses.items);
    struct kf_fetch_response_fetchable_topic_response *topic = response->responses.items;
    topic->topic = (kf_string){replay->topic, strlen(replay->topic)};
    topic->topic_id = *topic_id;
    topic->partitions.items = kf_arena_alloc(&answer->arena, (size_t)replay->partitions *
                                                                 sizeof *topic->partitions.items);

    int64_t left = request->max_bytes;
    if (replay->fetch_bytes && replay->fetch_bytes < left)
        left = replay->fetch_bytes;
    int32_t begin = session->next;
    for (int32_t i = 0; i < replay->partitions; i++) {
        int32_t index = (begin + i) % replay->partitions;
        const struct place *place = &session->places[index];
        if (!place->wanted)
            continue;
        struct kf_fetch_response_partition_data *data =
            &topic->partitions.items[topic->partitions.count];
        fill_partition(replay, place, index, &left, data, answer);
        if (data->records.size)
            session->next = (index + 1) % replay->partitions;
        if (!incremental || data->records.size || data->error_code)
            topic->partitions.count++;
        else
            *data = (struct kf_fetch_response_partition_data){0};
        if (incremental && left <= 0)
            break;
    }
    response->responses.count = topic->partitions.count ? 1 : 0;
    if (answer->run_count == 0)
        answer->wait_ms = request->max_wait_ms;
}
