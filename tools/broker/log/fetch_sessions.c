#include "tools/broker/log/fetch_sessions.h"

#include "tools/broker/text.h"

void kf__fetch_sessions_init(struct kf__fetch_sessions *sessions, const kf_allocator *alloc,
                             uint64_t seed)
{
    *sessions = (struct kf__fetch_sessions){.alloc = alloc, .seed = seed};
}

static void free_session(const kf_allocator *alloc, struct kf__fetch_session *session)
{
    for (size_t i = 0; i < session->count; i++)
        kf__text_free(alloc, &session->items[i].topic);
    kf_free(alloc, session->items);
    kf_free(alloc, session);
}

void kf__fetch_sessions_free(struct kf__fetch_sessions *sessions)
{
    for (size_t i = 0; i < sessions->count; i++)
        free_session(sessions->alloc, sessions->items[i]);
    kf_free(sessions->alloc, sessions->items);
    sessions->items = NULL;
    sessions->count = 0;
}

struct kf__fetch_session *kf__fetch_session_find(struct kf__fetch_sessions *sessions, int32_t id)
{
    for (size_t i = 0; i < sessions->count; i++)
        if (sessions->items[i]->id == id)
            return sessions->items[i];
    return NULL;
}

void kf__fetch_session_drop(struct kf__fetch_sessions *sessions, struct kf__fetch_session *session)
{
    size_t kept = 0;
    for (size_t i = 0; i < sessions->count; i++)
        if (sessions->items[i] != session)
            sessions->items[kept++] = sessions->items[i];
    sessions->count = kept;
    free_session(sessions->alloc, session);
}

static void drop_oldest(struct kf__fetch_sessions *sessions)
{
    struct kf__fetch_session *oldest = sessions->items[0];
    for (size_t i = 1; i < sessions->count; i++)
        if (sessions->items[i]->used < oldest->used)
            oldest = sessions->items[i];
    kf__fetch_session_drop(sessions, oldest);
}

static int32_t new_id(struct kf__fetch_sessions *sessions)
{
    for (;;) {
        uint64_t x = (sessions->seed += UINT64_C(0x9E3779B97F4A7C15));
        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        int32_t id = (int32_t)((x >> 33) & INT32_MAX);
        if (id > 0 && !kf__fetch_session_find(sessions, id))
            return id;
    }
}

struct kf__fetch_session *kf__fetch_session_new(struct kf__fetch_sessions *sessions, bool by_id)
{
    if (sessions->count >= KF__MAX_FETCH_SESSIONS)
        drop_oldest(sessions);
    struct kf__fetch_session **items =
        kf_realloc(sessions->alloc, sessions->items, (sessions->count + 1) * sizeof(*items));
    if (!items)
        return NULL;
    sessions->items = items;
    struct kf__fetch_session *session = kf_alloc_zero(sessions->alloc, sizeof *session);
    if (!session)
        return NULL;
    session->id = new_id(sessions);
    session->epoch = 1;
    session->by_id = by_id;
    session->used = ++sessions->uses;
    items[sessions->count++] = session;
    return session;
}

void kf__fetch_session_advance(struct kf__fetch_sessions *sessions,
                               struct kf__fetch_session *session)
{
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    session->used = ++sessions->uses;
}

static bool is_partition(const struct kf__fetch_session *session, const struct kf__fetched *item,
                         kf_string topic, kf_uuid id, int32_t partition)
{
    if (item->partition != partition)
        return false;
    if (session->by_id)
        return memcmp(item->topic_id.bytes, id.bytes, sizeof id.bytes) == 0;
    return kf__text_equal(item->topic, topic);
}

static struct kf__fetched *find(const struct kf__fetch_session *session, kf_string topic,
                                kf_uuid id, int32_t partition)
{
    for (size_t i = 0; i < session->count; i++)
        if (is_partition(session, &session->items[i], topic, id, partition))
            return &session->items[i];
    return NULL;
}

static struct kf__fetched *add(const kf_allocator *alloc, struct kf__fetch_session *session,
                               kf_string topic, kf_uuid id, int32_t partition)
{
    if (session->count == session->capacity) {
        size_t capacity = session->capacity ? session->capacity * 2 : 8;
        struct kf__fetched *items = kf_realloc(alloc, session->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        session->items = items;
        session->capacity = capacity;
    }
    struct kf__fetched *item = &session->items[session->count];
    *item = (struct kf__fetched){
        .topic_id = id, .partition = partition, .high_watermark = -1, .log_start = -1};
    if (!session->by_id && kf__text_copy(alloc, topic, &item->topic))
        return NULL;
    session->count++;
    return item;
}

static void forget(const kf_allocator *alloc, struct kf__fetch_session *session,
                   const struct kf_fetch_request_forgotten_topic *topic)
{
    size_t kept = 0;
    for (size_t i = 0; i < session->count; i++) {
        struct kf__fetched *item = &session->items[i];
        bool forgotten = false;
        for (int32_t p = 0; p < topic->partitions.count && !forgotten; p++)
            forgotten = is_partition(session, item, topic->topic, topic->topic_id,
                                     topic->partitions.items[p]);
        if (forgotten)
            kf__text_free(alloc, &item->topic);
        else
            session->items[kept++] = *item;
    }
    session->count = kept;
}

kf_err kf__fetch_session_update(struct kf__fetch_sessions *sessions,
                                struct kf__fetch_session *session,
                                const struct kf_fetch_request *request)
{
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_fetch_request_fetch_topic *topic = &request->topics.items[t];
        for (int32_t p = 0; p < topic->partitions.count; p++) {
            const struct kf_fetch_request_fetch_partition *asked = &topic->partitions.items[p];
            struct kf__fetched *item =
                find(session, topic->topic, topic->topic_id, asked->partition);
            if (!item)
                item =
                    add(sessions->alloc, session, topic->topic, topic->topic_id, asked->partition);
            if (!item)
                return KF_ERR_NO_MEMORY;
            item->current_leader_epoch = asked->current_leader_epoch;
            item->last_fetched_epoch = asked->last_fetched_epoch;
            item->fetch_offset = asked->fetch_offset;
            item->max_bytes = asked->partition_max_bytes;
        }
    }
    for (int32_t t = 0; t < request->forgotten_topics_data.count; t++)
        forget(sessions->alloc, session, &request->forgotten_topics_data.items[t]);
    return KF_OK;
}

void kf__fetch_session_rotate(struct kf__fetch_session *session, size_t index)
{
    struct kf__fetched item = session->items[index];
    memmove(session->items + index, session->items + index + 1,
            (session->count - index - 1) * sizeof item);
    session->items[session->count - 1] = item;
}
