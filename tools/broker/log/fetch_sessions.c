#include "tools/broker/log/fetch_sessions.h"

#include "tools/broker/text.h"

/* Kafka's min.incremental.fetch.session.eviction.ms */
static const kf_time kept_for = 120 * KF_SECOND;

void kf__fetch_sessions_init(struct kf__fetch_sessions *sessions, const kf_allocator *alloc,
                             uint64_t seed)
{
    *sessions =
        (struct kf__fetch_sessions){.alloc = alloc, .seed = seed, .most = KF__MAX_FETCH_SESSIONS};
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

/* By what a new one may take its place: the one that is used least, else the one worth least. */
static bool is_worth_less(const struct kf__fetch_session *one,
                          const struct kf__fetch_session *other)
{
    if (one->partitions != other->partitions)
        return one->partitions < other->partitions;
    return one->made < other->made;
}

static bool make_room(struct kf__fetch_sessions *sessions, size_t partitions, kf_time now)
{
    struct kf__fetch_session *idlest = NULL, *least = NULL;
    for (size_t i = 0; i < sessions->count; i++) {
        struct kf__fetch_session *one = sessions->items[i];
        if (!idlest || one->used < idlest->used)
            idlest = one;
        if (now - one->made > kept_for && (!least || is_worth_less(one, least)))
            least = one;
    }
    if (sessions->count < sessions->most)
        return true;
    if (idlest && now - idlest->used > kept_for)
        kf__fetch_session_drop(sessions, idlest);
    else if (least && partitions >= least->partitions)
        kf__fetch_session_drop(sessions, least);
    return sessions->count < sessions->most;
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

struct kf__fetch_session *kf__fetch_session_new(struct kf__fetch_sessions *sessions, bool by_id,
                                                size_t partitions, kf_time now)
{
    if (!make_room(sessions, partitions, now))
        return NULL;
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
    session->made = session->used = now;
    session->partitions = partitions;
    items[sessions->count++] = session;
    return session;
}

void kf__fetch_session_advance(struct kf__fetch_session *session, kf_time now)
{
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    session->used = now;
}

/* ---- which partition is where ---- */

/* A session's items by hash, for one request: a list of any length costs its length. */
struct places {
    uint32_t *slots; /* an item's index + 1; 0: free */
    size_t mask;
};

static uint32_t hash_of(bool by_id, kf_string topic, kf_uuid id, int32_t partition)
{
    const uint8_t *at = by_id ? id.bytes : (const uint8_t *)topic.data;
    size_t size = by_id ? sizeof id.bytes : topic.size;
    uint32_t hash = 2166136261u ^ (uint32_t)partition * 2654435761u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 16777619u;
    return hash ^ hash >> 15;
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

/* The partition's slot, or the free one that would be its. */
static uint32_t *slot_of(const struct places *places, const struct kf__fetch_session *session,
                         kf_string topic, kf_uuid id, int32_t partition)
{
    size_t at = hash_of(session->by_id, topic, id, partition) & places->mask;
    while (places->slots[at] &&
           !is_partition(session, &session->items[places->slots[at] - 1], topic, id, partition))
        at = (at + 1) & places->mask;
    return &places->slots[at];
}

static kf_err find_places(const kf_allocator *alloc, const struct kf__fetch_session *session,
                          size_t more, struct places *places)
{
    size_t slots = 16;
    while (slots < 2 * (session->count + more))
        slots *= 2;
    places->slots = kf_alloc_array(alloc, slots, sizeof *places->slots);
    places->mask = slots - 1;
    for (size_t i = 0; places->slots && i < session->count; i++) {
        const struct kf__fetched *item = &session->items[i];
        *slot_of(places, session, item->topic, item->topic_id, item->partition) = (uint32_t)i + 1;
    }
    return places->slots ? KF_OK : KF_ERR_NO_MEMORY;
}

/* ---- what a request changes ---- */

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

static kf_err take_topic(const kf_allocator *alloc, struct kf__fetch_session *session,
                         const struct places *places,
                         const struct kf_fetch_request_fetch_topic *topic)
{
    for (int32_t p = 0; p < topic->partitions.count; p++) {
        const struct kf_fetch_request_fetch_partition *asked = &topic->partitions.items[p];
        uint32_t *slot = slot_of(places, session, topic->topic, topic->topic_id, asked->partition);
        struct kf__fetched *item =
            *slot ? &session->items[*slot - 1]
                  : add(alloc, session, topic->topic, topic->topic_id, asked->partition);
        if (!item)
            return KF_ERR_NO_MEMORY;
        *slot = (uint32_t)(item - session->items) + 1;
        item->current_leader_epoch = asked->current_leader_epoch;
        item->last_fetched_epoch = asked->last_fetched_epoch;
        item->fetch_offset = asked->fetch_offset;
        item->max_bytes = asked->partition_max_bytes;
    }
    return KF_OK;
}

static void mark_forgotten(const struct kf__fetch_session *session, const struct places *places,
                           const struct kf_fetch_request_forgotten_topic *topic)
{
    for (int32_t p = 0; p < topic->partitions.count; p++) {
        const uint32_t *slot =
            slot_of(places, session, topic->topic, topic->topic_id, topic->partitions.items[p]);
        if (*slot)
            session->items[*slot - 1].marked = true;
    }
}

static void drop_marked(const kf_allocator *alloc, struct kf__fetch_session *session)
{
    size_t kept = 0;
    for (size_t i = 0; i < session->count; i++) {
        if (session->items[i].marked)
            kf__text_free(alloc, &session->items[i].topic);
        else
            session->items[kept++] = session->items[i];
    }
    session->count = kept;
}

kf_err kf__fetch_session_update(struct kf__fetch_sessions *sessions,
                                struct kf__fetch_session *session,
                                const struct kf_fetch_request *request)
{
    struct places places;
    size_t named = 0;
    if (request->topics.count <= 0 && request->forgotten_topics_data.count <= 0)
        return KF_OK;
    for (int32_t t = 0; t < request->topics.count; t++)
        named += (size_t)request->topics.items[t].partitions.count;
    kf_err err = find_places(sessions->alloc, session, named, &places);
    for (int32_t t = 0; t < request->topics.count && !err; t++)
        err = take_topic(sessions->alloc, session, &places, &request->topics.items[t]);
    for (int32_t t = 0; t < request->forgotten_topics_data.count && !err; t++)
        mark_forgotten(session, &places, &request->forgotten_topics_data.items[t]);
    drop_marked(sessions->alloc, session);
    kf_free(sessions->alloc, places.slots);
    return err;
}

void kf__fetch_session_rotate(const struct kf__fetch_sessions *sessions,
                              struct kf__fetch_session *session)
{
    size_t kept = 0, moved = 0;
    struct kf__fetched *behind = kf_alloc_array(sessions->alloc, session->count, sizeof *behind);
    if (!behind)
        return; /* without memory the order stays, and is as good */
    for (size_t i = 0; i < session->count; i++) {
        struct kf__fetched item = session->items[i];
        if (item.marked)
            behind[moved++] = item;
        else
            session->items[kept++] = item;
    }
    for (size_t i = 0; i < moved; i++) {
        session->items[kept + i] = behind[i];
        session->items[kept + i].marked = false;
    }
    kf_free(sessions->alloc, behind);
}
