/* topics: interning and merging; see topics.h. */
#include "net/cluster/topics.h"

#include <string.h>

enum {
    /* Leader epochs of older Metadata versions may be stale (KAFKA-7738): they count as unknown. */
    FIRST_VERSION_WITH_EPOCHS = 9,
    /*
     * Without topic ids a re-created topic looks like a broker that is behind.
     * One that is behind catches up; a topic that stays so is a new one.
     */
    STALE_ANSWERS_BELIEVED = 2,
    FIRST_SLOTS = 64,
};

bool kf__uuid_is_zero(const kf_uuid *id)
{
    static const kf_uuid zero;
    return memcmp(id, &zero, sizeof zero) == 0;
}

static bool same_id(const kf_uuid *a, const kf_uuid *b) { return memcmp(a, b, sizeof *a) == 0; }

void kf__topics_init(struct kf__topics *topics, const kf_allocator *alloc)
{
    *topics = (struct kf__topics){.alloc = alloc};
}

void kf__topics_free(struct kf__topics *topics)
{
    for (int32_t i = 0; i < topics->count; i++) {
        kf_free(topics->alloc, topics->items[i]->partitions);
        kf_free(topics->alloc, topics->items[i]);
    }
    kf_free(topics->alloc, topics->items);
    kf_free(topics->alloc, topics->by_name);
    kf_free(topics->alloc, topics->by_id);
    kf__topics_init(topics, topics->alloc);
}

/* ---- finding ---- */

/* FNV-1a: names are chosen by people who may create topics anyway. */
static size_t hash(const void *bytes, size_t size)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        value = (value ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
    return (size_t)(value ^ (value >> 32));
}

static void put(int32_t *table, size_t slots, size_t hashed, int32_t index)
{
    size_t at = hashed & (slots - 1);
    while (table[at] >= 0)
        at = (at + 1) & (slots - 1);
    table[at] = index;
}

int32_t kf__topics_find(const struct kf__topics *topics, const char *name, size_t size)
{
    if (!topics->slots)
        return -1;
    size_t mask = topics->slots - 1;
    for (size_t at = hash(name, size) & mask; topics->by_name[at] >= 0; at = (at + 1) & mask) {
        const struct kf__topic *topic = topics->items[topics->by_name[at]];
        if (topic->name_size == size && memcmp(topic->info.name, name, size) == 0)
            return topics->by_name[at];
    }
    return -1;
}

int32_t kf__topics_find_id(const struct kf__topics *topics, const kf_uuid *id)
{
    if (!topics->slots || kf__uuid_is_zero(id))
        return -1;
    size_t mask = topics->slots - 1;
    for (size_t at = hash(id, sizeof *id) & mask; topics->by_id[at] >= 0; at = (at + 1) & mask)
        if (same_id(&topics->items[topics->by_id[at]]->info.id, id))
            return topics->by_id[at];
    return -1;
}

static void refill(struct kf__topics *topics)
{
    topics->ids_used = 0;
    for (size_t i = 0; i < topics->slots; i++)
        topics->by_name[i] = topics->by_id[i] = -1;
    for (int32_t i = 0; i < topics->count; i++) {
        const struct kf__topic *topic = topics->items[i];
        put(topics->by_name, topics->slots, hash(topic->info.name, topic->name_size), i);
        if (kf__uuid_is_zero(&topic->info.id))
            continue;
        put(topics->by_id, topics->slots, hash(&topic->info.id, sizeof topic->info.id), i);
        topics->ids_used++;
    }
}

/* Both tables stay at most half full of what is living. */
static kf_err reserve_slots(struct kf__topics *topics)
{
    if ((size_t)topics->count * 2 + 2 <= topics->slots)
        return KF_OK;
    size_t slots = topics->slots ? topics->slots * 2 : FIRST_SLOTS;
    int32_t *by_name = kf_alloc(topics->alloc, slots * sizeof *by_name);
    int32_t *by_id = kf_alloc(topics->alloc, slots * sizeof *by_id);
    if (!by_name || !by_id) {
        kf_free(topics->alloc, by_name);
        kf_free(topics->alloc, by_id);
        return KF_ERR_NO_MEMORY;
    }
    kf_free(topics->alloc, topics->by_name);
    kf_free(topics->alloc, topics->by_id);
    topics->by_name = by_name;
    topics->by_id = by_id;
    topics->slots = slots;
    refill(topics);
    return KF_OK;
}

static kf_err reserve_item(struct kf__topics *topics)
{
    if (topics->count < topics->capacity)
        return KF_OK;
    int32_t capacity = topics->capacity ? topics->capacity * 2 : 16;
    struct kf__topic **items =
        kf_realloc(topics->alloc, topics->items, (size_t)capacity * sizeof(void *));
    if (!items)
        return KF_ERR_NO_MEMORY;
    topics->items = items;
    topics->capacity = capacity;
    return KF_OK;
}

kf_err kf__topics_intern(struct kf__topics *topics, const char *name, size_t size, int32_t *index)
{
    *index = kf__topics_find(topics, name, size);
    if (*index >= 0)
        return KF_OK;
    kf_err err = reserve_item(topics);
    if (!err)
        err = reserve_slots(topics);
    if (err)
        return err;
    struct kf__topic *topic = kf_alloc_zero(topics->alloc, sizeof *topic + size + 1);
    if (!topic)
        return KF_ERR_NO_MEMORY;
    char *copy = (char *)(topic + 1);
    memcpy(copy, name, size);
    topic->info.name = copy;
    topic->name_size = size;
    *index = topics->count++;
    topics->items[*index] = topic;
    put(topics->by_name, topics->slots, hash(copy, size), *index);
    return KF_OK;
}

static void index_id(struct kf__topics *topics, struct kf__topic *topic, const kf_uuid *id)
{
    topic->info.id = *id;
    int32_t index = kf__topics_find(topics, topic->info.name, topic->name_size);
    if (topics->ids_used * 4 >= topics->slots * 3) {
        refill(topics); /* entries of former ids go; this one comes in */
        return;
    }
    put(topics->by_id, topics->slots, hash(id, sizeof *id), index);
    topics->ids_used++;
}

/* ---- merging ---- */

/* Partitions are numbered without gaps; an answer that leaves one out has nothing to say of it. */
static int32_t count_of(const struct kf_metadata_response_topic *news)
{
    return news->partitions.count < 0 ? 0 : news->partitions.count;
}

static size_t replicas_of(const struct kf_metadata_response_topic *news)
{
    size_t total = 0;
    for (int32_t i = 0; i < count_of(news); i++)
        if (news->partitions.items[i].replica_nodes.count > 0)
            total += (size_t)news->partitions.items[i].replica_nodes.count;
    return total;
}

static size_t replicas_held(const struct kf__topic_info *info)
{
    size_t total = 0;
    for (int32_t i = 0; i < info->partition_count; i++)
        total += (size_t)info->partitions[i].replica_count;
    return total;
}

/* Copies a partition's replicas to the end of the block. */
static void keep_replicas(struct kf__partition_info *partition, const int32_t *replicas,
                          int32_t count, int32_t **room)
{
    partition->replicas = *room;
    partition->replica_count = count > 0 ? count : 0;
    if (count <= 0)
        return;
    memcpy(*room, replicas, (size_t)count * sizeof *replicas);
    *room += count;
}

static bool same_partition(const struct kf__partition_info *a, const struct kf__partition_info *b)
{
    return a->leader == b->leader && a->leader_epoch == b->leader_epoch && a->error == b->error &&
           a->replica_count == b->replica_count &&
           (a->replica_count == 0 ||
            memcmp(a->replicas, b->replicas, (size_t)a->replica_count * sizeof(int32_t)) == 0);
}

/* The answer's partition over the one held; true where the answer is older and was ignored. */
static bool take_partition(struct kf__partition_info *slot, int32_t **room,
                           const struct kf_metadata_response_partition *news, int16_t version,
                           bool believe)
{
    int32_t epoch = version >= FIRST_VERSION_WITH_EPOCHS ? news->leader_epoch : -1;
    if (!believe && slot->leader_epoch >= 0 && epoch >= 0 && epoch < slot->leader_epoch)
        return true;
    slot->leader = news->leader_id;
    slot->leader_epoch = epoch;
    slot->error = news->error_code;
    keep_replicas(slot, news->replica_nodes.items, news->replica_nodes.count, room);
    return false;
}

/* The held partitions, then the answer's over them. */
static bool fill(struct kf__partition_info *block, int32_t count, const struct kf__topic_info *held,
                 const struct kf_metadata_response_topic *news, int16_t version, bool believe)
{
    int32_t *room = (int32_t *)(void *)(block + count);
    for (int32_t i = 0; i < count; i++) {
        block[i] = (struct kf__partition_info){
            .leader = -1, .leader_epoch = -1, .error = KF_ERR_LEADER_NOT_AVAILABLE};
        if (i >= held->partition_count)
            continue;
        block[i] = held->partitions[i];
        keep_replicas(&block[i], held->partitions[i].replicas, held->partitions[i].replica_count,
                      &room);
    }
    bool stale = false;
    for (int32_t i = 0; i < count_of(news); i++) {
        int32_t at = news->partitions.items[i].partition_index;
        if (at >= 0 && at < count)
            stale |=
                take_partition(&block[at], &room, &news->partitions.items[i], version, believe);
    }
    return stale;
}

static bool same_partitions(const struct kf__topic_info *held,
                            const struct kf__partition_info *block, int32_t count)
{
    if (held->partition_count != count)
        return false;
    for (int32_t i = 0; i < count; i++)
        if (!same_partition(&held->partitions[i], &block[i]))
            return false;
    return true;
}

static kf_err merge_partitions(struct kf__topics *topics, struct kf__topic *topic,
                               const struct kf_metadata_response_topic *news, int16_t version,
                               bool anew, bool *changed)
{
    static const struct kf__topic_info nothing;
    const struct kf__topic_info *held = anew ? &nothing : &topic->info;
    int32_t count = count_of(news);
    if (held->partition_count > count)
        count = held->partition_count; /* a broker that is behind: partitions never get fewer */
    size_t replicas = replicas_of(news) + replicas_held(held);
    struct kf__partition_info *block =
        kf_alloc(topics->alloc, (size_t)count * sizeof *block + (replicas + 1) * sizeof(int32_t));
    if (!block)
        return KF_ERR_NO_MEMORY;

    bool believe =
        kf__uuid_is_zero(&topic->info.id) && topic->stale_answers + 1 >= STALE_ANSWERS_BELIEVED;
    bool stale = fill(block, count, held, news, version, believe);
    topic->stale_answers = stale ? topic->stale_answers + 1 : 0;

    *changed |= !same_partitions(&topic->info, block, count);
    kf_free(topics->alloc, topic->partitions);
    topic->partitions = block;
    topic->info.partitions = block;
    topic->info.partition_count = count;
    return KF_OK;
}

kf_err kf__topics_merge(struct kf__topics *topics, struct kf__topic *topic,
                        const struct kf_metadata_response_topic *news, int16_t version,
                        bool *changed)
{
    struct kf__topic_info *info = &topic->info;
    bool has_id = !kf__uuid_is_zero(&news->topic_id);
    bool had_id = !kf__uuid_is_zero(&info->id);
    bool anew = has_id && had_id && !same_id(&info->id, &news->topic_id);

    *changed |= !info->known || info->error != news->error_code || anew;
    info->known = true;
    info->error = news->error_code;
    info->internal = news->is_internal;
    topic->seen = true;
    if (has_id && (anew || !had_id))
        index_id(topics, topic, &news->topic_id);
    if (news->error_code && count_of(news) == 0)
        return KF_OK; /* what was known stays, with the error beside it */
    return merge_partitions(topics, topic, news, version, anew, changed);
}
