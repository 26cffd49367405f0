/*
 * Fetch (1), versions 4–18.
 *
 * 4   isolation level: who reads committed gets nothing above the last stable
 *     offset, and is told which transactions were aborted.
 * 5   log start offset. 7 sessions (KIP-227).
 * 9   the leader epoch that the client knows (KIP-320).
 * 11  from a follower too, and the client's rack: the leader names a replica
 *     in it, and brings nothing itself (KIP-392).
 * 12  flexible; diverging epochs (KIP-595) and current leader in tags.
 * 13  topic ids. 15 replica state in tags. 16 endpoints of new leaders
 *     (KIP-951). 17, 18 for replicas only.
 *
 * A request is parked until min_bytes can be told, something is wrong, or
 * max_wait_ms is over. The session is updated when the request comes; the
 * answer is made when it leaves.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/nearest_replica.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_log.h"

typedef struct kf_fetch_response_partition_data partition_answer;

/* The partitions of one request, sessionless or of a session, in the order they are served. */
struct fetch {
    struct kf__fetch_session *session; /* NULL: none */
    int32_t session_id;
    bool incremental;
    bool by_id;
    struct kf__fetched *own; /* the request's list; in a session only until it is made */
    size_t own_count;
    struct kf__fetched *items; /* what is served: the session's list or its own */
    size_t count;
    size_t bytes; /* told in all */
};

/* What became of one partition, before the answer is shaped. */
struct served {
    partition_answer answer;
    bool told; /* goes into the answer */
};

static struct kf__topic *topic_of(const struct kf__exchange *exchange,
                                  const struct kf__fetched *item, bool by_id)
{
    const struct kf__topics *topics = &exchange->broker->topics;
    return by_id ? kf__broker_topics_find_id(topics, item->topic_id)
                 : kf__broker_topics_find(topics, item->topic);
}

static void tell_error(const struct kf__exchange *exchange, partition_answer *answer,
                       const struct kf__partition *partition, kf_err err)
{
    answer->error_code = kf__wire_error(err);
    answer->high_watermark = -1;
    answer->last_stable_offset = -1;
    answer->log_start_offset = -1;
    bool unseen = err == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION || err == KF_ERR_UNKNOWN_TOPIC_ID ||
                  err == KF_ERR_TOPIC_AUTHORIZATION_FAILED;
    if (unseen) /* refused before anything was read */
        answer->aborted_transactions.count = 0;
    bool moved = err == KF_ERR_NOT_LEADER_OR_FOLLOWER || err == KF_ERR_FENCED_LEADER_EPOCH;
    if (moved && partition && exchange->version >= 12) {
        answer->current_leader.leader_id = partition->leader;
        answer->current_leader.leader_epoch = partition->leader_epoch;
    }
}

/* KIP-320: has the log been truncated since the client read it? Or can't that be told? */
static bool diverges(const struct kf__partition *partition, const struct kf__fetched *item,
                     partition_answer *answer)
{
    if (item->last_fetched_epoch < 0)
        return false;
    int32_t epoch;
    int64_t end;
    kf__plog_epoch_end(&partition->log, item->last_fetched_epoch, partition->leader_epoch, &epoch,
                       &end);
    if (epoch == item->last_fetched_epoch && end >= item->fetch_offset)
        return false;
    answer->diverging_epoch.epoch = epoch;
    answer->diverging_epoch.end_offset = end; /* -1: an epoch that the log doesn't know */
    return true;
}

static bool reads_committed(const struct kf__exchange *exchange)
{
    const struct kf_fetch_request *request = exchange->request;
    return request->isolation_level == 1;
}

/* Past the last offset that the client may see. */
static int64_t visible_end(const struct kf__exchange *exchange,
                           const struct kf__partition *partition)
{
    int64_t end = kf__replica_end(exchange, partition);
    int64_t stable = reads_committed(exchange) ? kf__stable_offset(partition) : end;
    return stable < end ? stable : end;
}

/* The replica that the client should ask instead; -1: none. */
static int32_t nearest(const struct kf__exchange *exchange, const struct kf__partition *partition)
{
    const struct kf_fetch_request *request = exchange->request;
    return kf__nearest_replica(exchange, partition, request->rack_id);
}

static bool fill_aborted(struct kf__exchange *exchange, const struct kf__partition *partition,
                         int64_t offset, partition_answer *answer)
{
    const struct kf__aborted *aborted = &partition->aborted;
    int64_t end = kf__plog_read_end(&partition->log, offset, answer->records);
    int32_t count = 0, at = 0;
    for (size_t i = 0; i < aborted->count; i++)
        count += kf__aborted_touches(&aborted->items[i], offset, end);
    if (!KF__FILL(exchange, "responses/partitions/aborted_transactions",
                  answer->aborted_transactions, count))
        return false;
    for (size_t i = 0; i < aborted->count; i++) {
        if (!kf__aborted_touches(&aborted->items[i], offset, end))
            continue;
        answer->aborted_transactions.items[at].producer_id = aborted->items[i].producer_id;
        answer->aborted_transactions.items[at++].first_offset = aborted->items[i].first_offset;
    }
    return true;
}

/* Fills the partition's answer; at most `room` bytes, the first batch whole where `whole_first`. */
static void read_partition(struct kf__exchange *exchange, struct fetch *fetch,
                           const struct kf__fetched *item, size_t room, bool whole_first,
                           partition_answer *answer)
{
    struct kf__topic *topic = topic_of(exchange, item, fetch->by_id);
    struct kf__partition *partition = NULL;
    kf_err err = kf__fetched_partition(exchange, topic, item->partition, item->current_leader_epoch,
                                       &partition);
    if (!topic && fetch->by_id)
        err = KF_ERR_UNKNOWN_TOPIC_ID;
    else if (kf__may_unknown(exchange, topic, item->topic))
        err = KF_ERR_TOPIC_AUTHORIZATION_FAILED;
    answer->partition_index = item->partition;
    answer->aborted_transactions.count = -1;
    if (!err && item->fetch_offset < partition->log.start_offset)
        err = KF_ERR_OFFSET_OUT_OF_RANGE; /* whether its epoch diverges or not */
    bool diverged = !err && diverges(partition, item, answer);
    if (diverged && answer->diverging_epoch.end_offset < 0)
        err = KF_ERR_OFFSET_OUT_OF_RANGE;
    if (!err && !diverged && item->fetch_offset > kf__replica_end(exchange, partition))
        err = KF_ERR_OFFSET_OUT_OF_RANGE;
    if (err) {
        tell_error(exchange, answer, partition, err);
        return;
    }
    int64_t end = kf__replica_end(exchange, partition), stable = kf__stable_offset(partition);
    answer->high_watermark = end;
    answer->last_stable_offset = stable < end ? stable : end;
    answer->log_start_offset = partition->log.start_offset;
    answer->preferred_read_replica = nearest(exchange, partition);
    if (answer->diverging_epoch.end_offset >= 0 || answer->preferred_read_replica >= 0)
        return;
    size_t limit = item->max_bytes > 0 ? (size_t)item->max_bytes : 0;
    limit = limit < room ? limit : room;
    answer->records = kf__plog_read(&partition->log, item->fetch_offset,
                                    visible_end(exchange, partition), limit, whole_first);
    if (reads_committed(exchange) && !fill_aborted(exchange, partition, item->fetch_offset, answer))
        answer->records.size = 0; /* out of memory: rather nothing than what was aborted */
    fetch->bytes += answer->records.size;
}

static size_t request_limit(const struct kf__exchange *exchange)
{
    const struct kf_fetch_request *request = exchange->request;
    if (request->max_bytes < 0)
        return 0;
    size_t most = (size_t)kf__broker_limits(exchange->broker)->fetch_bytes;
    size_t limit = (size_t)request->max_bytes < most ? (size_t)request->max_bytes : most;
    size_t room = kf__quota_room(exchange, KF__QUOTA_CONSUMER_RATE);
    return limit < room ? limit : room;
}

/* An incremental answer leaves out what has nothing new to say. */
static bool is_news(const struct fetch *fetch, const struct kf__fetched *item,
                    const partition_answer *answer)
{
    return !fetch->incremental || answer->records.size > 0 || answer->error_code != 0 ||
           answer->diverging_epoch.end_offset >= 0 || answer->preferred_read_replica >= 0 ||
           answer->high_watermark != item->high_watermark ||
           answer->log_start_offset != item->log_start;
}

/* Reads every partition; KIP-74: the first that has something gets its first batch whole. */
static struct served *serve_all(struct kf__exchange *exchange, struct fetch *fetch)
{
    size_t room = request_limit(exchange);
    struct served *served =
        kf_arena_alloc(&exchange->arena, sizeof *served * (fetch->count > 0 ? fetch->count : 1));
    const partition_answer *blank = kf__answer_items(exchange, "responses/partitions", 1);
    fetch->bytes = 0;
    for (size_t i = 0; served && blank && i < fetch->count; i++) {
        served[i].answer = *blank;
        size_t left = room > fetch->bytes ? room - fetch->bytes : 0;
        read_partition(exchange, fetch, &fetch->items[i], left, fetch->bytes == 0,
                       &served[i].answer);
        served[i].told = is_news(fetch, &fetch->items[i], &served[i].answer);
    }
    return blank ? served : NULL;
}

static bool same_topic(const struct fetch *fetch, const struct kf__fetched *a,
                       const struct kf__fetched *b)
{
    if (fetch->by_id)
        return memcmp(a->topic_id.bytes, b->topic_id.bytes, sizeof a->topic_id.bytes) == 0;
    return kf__text_equal(a->topic, b->topic);
}

/* Neighbours of one topic share an entry, as in Kafka's answers. */
static bool shape_answer(struct kf__exchange *exchange, const struct fetch *fetch,
                         const struct served *served)
{
    struct kf_fetch_response *response = exchange->response;
    size_t told = 0;
    for (size_t i = 0; i < fetch->count; i++)
        told += served[i].told;
    if (!KF__FILL(exchange, "responses", response->responses, (int32_t)told))
        return false;
    partition_answer *answers = kf__answer_items(exchange, "responses/partitions", (int32_t)told);
    if (!answers)
        return false;
    int32_t topics = 0, at = 0;
    const struct kf__fetched *last = NULL;
    for (size_t i = 0; i < fetch->count; i++) {
        if (!served[i].told)
            continue;
        const struct kf__fetched *item = &fetch->items[i];
        if (!last || !same_topic(fetch, last, item)) {
            struct kf_fetch_response_fetchable_topic_response *topic =
                &response->responses.items[topics++];
            topic->topic = kf__answer_text(exchange, item->topic);
            if (!topic->topic.data)
                topic->topic = kf__text("");
            topic->topic_id = item->topic_id;
            topic->partitions.items = &answers[at];
            topic->partitions.count = 0;
        }
        last = item;
        answers[at++] = served[i].answer;
        response->responses.items[topics - 1].partitions.count++;
    }
    response->responses.count = topics;
    response->session_id = fetch->session_id;
    return true;
}

/* What the client knows now; partitions that brought records move behind the others. */
static void remember(const struct kf__fetch_sessions *sessions, const struct fetch *fetch,
                     const struct served *served)
{
    bool moves = false;
    for (size_t i = 0; i < fetch->count; i++) {
        if (!served[i].told)
            continue;
        fetch->items[i].high_watermark = served[i].answer.high_watermark;
        fetch->items[i].log_start = served[i].answer.log_start_offset;
        fetch->items[i].marked = fetch->incremental && served[i].answer.records.size > 0;
        moves |= fetch->items[i].marked;
    }
    if (moves)
        kf__fetch_session_rotate(sessions, fetch->session);
}

static bool fill_endpoints(struct kf__exchange *exchange)
{
    struct kf_fetch_response *response = exchange->response;
    const struct kf__topics *topics = &exchange->broker->topics;
    bool named[KF__MAX_NODES + 1] = {false};
    int32_t count = 0;
    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t p = 0; p < response->responses.items[t].partitions.count; p++) {
            int32_t leader =
                response->responses.items[t].partitions.items[p].current_leader.leader_id;
            count += leader > 0 && !named[leader];
            if (leader > 0)
                named[leader] = true;
        }
    if (count == 0 || exchange->version < 16)
        return true;
    if (!KF__FILL(exchange, "node_endpoints", response->node_endpoints, count))
        return false;
    int32_t at = 0;
    for (int32_t node = 1; node <= topics->node_count; node++) {
        if (!named[node])
            continue;
        struct kf_fetch_response_node_endpoint *endpoint = &response->node_endpoints.items[at++];
        endpoint->node_id = node;
        endpoint->host = kf__node_host(exchange);
        endpoint->port = kf__node_port(exchange, node);
    }
    return true;
}

/* ---- which partitions ---- */

static kf_err refuse_session(struct kf__exchange *exchange, kf_err err)
{
    struct kf_fetch_response *response = exchange->response;
    response->error_code = kf__wire_error(err);
    return err;
}

/* The request's own list, in the arena. */
static kf_err list_request(struct kf__exchange *exchange, struct fetch *fetch)
{
    const struct kf_fetch_request *request = exchange->request;
    size_t count = 0;
    for (int32_t t = 0; t < request->topics.count; t++)
        count += (size_t)request->topics.items[t].partitions.count;
    fetch->own = kf_arena_alloc(&exchange->arena, sizeof *fetch->own * (count ? count : 1));
    if (!fetch->own)
        return KF_ERR_NO_MEMORY;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_fetch_request_fetch_topic *topic = &request->topics.items[t];
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            const struct kf_fetch_request_fetch_partition *asked = &topic->partitions.items[p];
            fetch->own[fetch->own_count++] = (struct kf__fetched){
                .topic = topic->topic,
                .topic_id = topic->topic_id,
                .partition = asked->partition,
                .current_leader_epoch = asked->current_leader_epoch,
                .last_fetched_epoch = asked->last_fetched_epoch,
                .fetch_offset = asked->fetch_offset,
                .max_bytes = asked->partition_max_bytes,
            };
        }
    }
    return KF_OK;
}

/* A full fetch: with epoch 0 it opens a session, with -1 it wants none. */
static kf_err begin_full(struct kf__exchange *exchange, struct fetch *fetch)
{
    const struct kf_fetch_request *request = exchange->request;
    struct kf__fetch_sessions *sessions = &exchange->broker->sessions;
    struct kf__fetch_session *old = kf__fetch_session_find(sessions, request->session_id);
    if (old && request->session_id != 0)
        kf__fetch_session_drop(sessions, old);
    kf_err err = list_request(exchange, fetch);
    if (err || request->session_epoch == -1)
        return err;
    sessions->most =
        (size_t)kf__broker_config(exchange->broker, "max.incremental.fetch.session.cache.slots");
    struct kf__fetch_session *session =
        kf__fetch_session_new(sessions, fetch->by_id, fetch->own_count, exchange->now);
    if (!session)
        return KF_OK; /* without a session it works as well */
    if (kf__fetch_session_update(sessions, session, request)) {
        kf__fetch_session_drop(sessions, session);
        return KF_OK;
    }
    fetch->session_id = session->id;
    return KF_OK;
}

static kf_err begin_incremental(struct kf__exchange *exchange, struct fetch *fetch)
{
    const struct kf_fetch_request *request = exchange->request;
    struct kf__fetch_sessions *sessions = &exchange->broker->sessions;
    struct kf__fetch_session *session = kf__fetch_session_find(sessions, request->session_id);
    if (!session)
        return refuse_session(exchange, KF_ERR_FETCH_SESSION_ID_NOT_FOUND);
    if (session->epoch != request->session_epoch)
        return refuse_session(exchange, KF_ERR_INVALID_FETCH_SESSION_EPOCH);
    if (session->by_id != fetch->by_id)
        return refuse_session(exchange, KF_ERR_FETCH_SESSION_TOPIC_ID_ERROR);
    kf_err err = kf__fetch_session_update(sessions, session, request);
    if (err)
        return err;
    if (session->count == 0) { /* nothing left to remember */
        kf__fetch_session_drop(sessions, session);
        return KF_OK;
    }
    kf__fetch_session_advance(session, exchange->now);
    fetch->incremental = true;
    fetch->session_id = session->id;
    return KF_OK;
}

/* The session may have gone, or grown, while the request waited. */
static void look_up_session(struct kf__exchange *exchange, struct fetch *fetch)
{
    fetch->session = fetch->session_id
                         ? kf__fetch_session_find(&exchange->broker->sessions, fetch->session_id)
                         : NULL;
    fetch->items = fetch->session ? fetch->session->items : fetch->own;
    fetch->count = fetch->session ? fetch->session->count : fetch->own_count;
}

/* Whether an answer can leave before its time: cheap, for it is asked at every append to one of
   the partitions whose marks it leaves. */
static bool has_enough(const struct kf__exchange *exchange, const struct fetch *fetch,
                       uint64_t *marks)
{
    const struct kf_fetch_request *request = exchange->request;
    size_t limit = request_limit(exchange), bytes = 0;
    size_t wanted = request->min_bytes > 0 ? (size_t)request->min_bytes : 0;
    wanted = wanted < limit ? wanted : limit;
    for (size_t i = 0; i < fetch->count && bytes < wanted; i++) {
        const struct kf__fetched *item = &fetch->items[i];
        struct kf__partition *partition = NULL;
        partition_answer unused = {0};
        struct kf__topic *topic = topic_of(exchange, item, fetch->by_id);
        if (kf__fetched_partition(exchange, topic, item->partition, item->current_leader_epoch,
                                  &partition) ||
            item->fetch_offset < partition->log.start_offset ||
            item->fetch_offset > kf__replica_end(exchange, partition) ||
            diverges(partition, item, &unused) || nearest(exchange, partition) >= 0)
            return true;
        size_t readable = kf__plog_readable(&partition->log, item->fetch_offset,
                                            visible_end(exchange, partition));
        size_t most = item->max_bytes > 0 ? (size_t)item->max_bytes : 0;
        bytes += readable < most ? readable : most;
        *marks |= kf__partition_mark(topic, item->partition);
    }
    return bytes >= wanted || fetch->count == 0;
}

static bool try_answer(struct kf__exchange *exchange, bool last)
{
    struct fetch *fetch = exchange->waiting;
    look_up_session(exchange, fetch);
    exchange->waits_for = 0;
    if (!last && !has_enough(exchange, fetch, &exchange->waits_for))
        return false;
    const struct served *served = serve_all(exchange, fetch);
    if (!kf__charge_or_keep(exchange, KF__QUOTA_CONSUMER_RATE, fetch->bytes)) {
        struct kf_fetch_response *response = exchange->response;
        response->session_id = fetch->session_id; /* KIP-219: nothing else is told */
        return true;
    }
    if (served && shape_answer(exchange, fetch, served) && fill_endpoints(exchange) &&
        fetch->session)
        remember(&exchange->broker->sessions, fetch, served);
    return true;
}

/* Errors that a client expects for the answer as a whole. */
static bool is_session_error(kf_err err)
{
    return err == KF_ERR_FETCH_SESSION_ID_NOT_FOUND || err == KF_ERR_INVALID_FETCH_SESSION_EPOCH ||
           err == KF_ERR_FETCH_SESSION_TOPIC_ID_ERROR || err == KF_ERR_UNKNOWN_SERVER_ERROR;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_fetch_request *request = exchange->request;
    struct fetch *fetch = kf_arena_alloc(&exchange->arena, sizeof *fetch);
    if (!fetch)
        return KF__REFUSED;
    exchange->waiting = fetch;
    fetch->by_id = exchange->version >= 13;
    kf_err forced = kf__forced_all(exchange);
    if (is_session_error(forced) && exchange->version >= 7) {
        refuse_session(exchange, forced);
        return KF__ANSWERED;
    }
    if (request->isolation_level != 0 && request->isolation_level != 1) {
        refuse_session(exchange, KF_ERR_UNKNOWN_SERVER_ERROR);
        return KF__ANSWERED;
    }
    bool full = request->session_epoch == 0 || request->session_epoch == -1;
    kf_err err = full ? begin_full(exchange, fetch) : begin_incremental(exchange, fetch);
    if (err == KF_ERR_NO_MEMORY)
        return KF__REFUSED;
    if (err)
        return KF__ANSWERED;
    if (try_answer(exchange, request->max_wait_ms <= 0))
        return KF__ANSWERED;
    exchange->retry = try_answer;
    exchange->deadline = exchange->now + request->max_wait_ms * KF_MILLISECOND;
    return KF__PARKED;
}

void kf__fetch_corrupt(struct kf__exchange *exchange)
{
    struct kf_fetch_response *response = exchange->response;
    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t p = 0; p < response->responses.items[t].partitions.count; p++) {
            kf_bytes *records = &response->responses.items[t].partitions.items[p].records;
            struct kf__batch batch;
            if (kf__batch_peek(records->data, records->size, &batch))
                continue;
            uint8_t *copy = kf_arena_alloc(&exchange->arena, records->size);
            if (!copy)
                return;
            memcpy(copy, records->data, records->size);
            copy[batch.size - 1] ^= 1;
            records->data = copy;
            return;
        }
}

const struct kf__api kf__api_fetch = {.key = KF_API_FETCH,
                                      .min_version = 4,
                                      .max_version = 18,
                                      .advertised_min = 4,
                                      .handle = handle};
