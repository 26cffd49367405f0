#include "tools/broker/log/topics.h"

#include "tools/broker/text.h"

#include <stdio.h>

void kf__broker_topics_init(struct kf__topics *topics, const kf_allocator *alloc, int32_t nodes,
                            uint64_t seed)
{
    *topics = (struct kf__topics){.alloc = alloc, .node_count = nodes, .seed = seed};
    for (int32_t node = 1; node <= nodes; node++)
        topics->runs[node] = true;
}

static void partition_free(const struct kf__topics *topics, struct kf__partition *partition)
{
    kf__plog_free(&partition->log);
    kf__producers_free(&partition->producers, topics->alloc);
    kf__aborted_free(&partition->aborted, topics->alloc);
    kf__replicas_free(&partition->sync, topics->alloc);
    kf_free(topics->alloc, partition->replicas);
}

static void topic_free(const struct kf__topics *topics, struct kf__topic *topic)
{
    for (int32_t i = 0; i < topic->partition_count; i++)
        partition_free(topics, &topic->partitions[i]);
    kf_free(topics->alloc, topic->partitions);
    kf__text_free(topics->alloc, &topic->name);
    kf_free(topics->alloc, topic);
}

void kf__broker_topics_free(struct kf__topics *topics)
{
    for (size_t i = 0; i < topics->count; i++)
        topic_free(topics, topics->items[i]);
    kf_free(topics->alloc, topics->items);
    kf_free(topics->alloc, topics->by_id);
    topics->items = topics->by_id = NULL;
    topics->count = topics->capacity = 0;
}

/* Where the name is, or would be. */
static size_t place_of(const struct kf__topics *topics, kf_string name)
{
    size_t low = 0, high = topics->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kf__text_compare(topics->items[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kf__topic *kf__broker_topics_find(const struct kf__topics *topics, kf_string name)
{
    if (!name.data)
        return NULL;
    size_t at = place_of(topics, name);
    if (at == topics->count || kf__text_compare(topics->items[at]->name, name) != 0)
        return NULL;
    return topics->items[at];
}

static size_t place_of_id(const struct kf__topics *topics, kf_uuid id)
{
    size_t low = 0, high = topics->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(topics->by_id[middle]->id.bytes, id.bytes, sizeof id.bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kf__topic *kf__broker_topics_find_id(const struct kf__topics *topics, kf_uuid id)
{
    size_t at = place_of_id(topics, id);
    if (at == topics->count || memcmp(topics->by_id[at]->id.bytes, id.bytes, sizeof id.bytes) != 0)
        return NULL;
    return topics->by_id[at];
}

struct kf__partition *kf__topic_partition(struct kf__topic *topic, int32_t partition)
{
    if (!topic || partition < 0 || partition >= topic->partition_count)
        return NULL;
    return &topic->partitions[partition];
}

bool kf__topic_name_is_valid(kf_string name)
{
    if (!name.data || name.size == 0 || name.size > KF__MAX_TOPIC_NAME)
        return false;
    if ((name.size == 1 && name.data[0] == '.') ||
        (name.size == 2 && name.data[0] == '.' && name.data[1] == '.'))
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

enum {
    MAX_SHOWN_NAME = 300 /* Kafka shows all of it */
};

void kf__explain_topic_name(kf_string name, char *text, size_t size)
{
    int shown = (int)(name.size < MAX_SHOWN_NAME ? name.size : MAX_SHOWN_NAME);
    if (name.size == 0)
        snprintf(text, size, "Topic name is invalid: the empty string is not allowed");
    else if (name.size > KF__MAX_TOPIC_NAME)
        snprintf(text, size,
                 "Topic name is invalid: the length of '%.*s' is longer than the max allowed "
                 "length %d",
                 shown, name.data, KF__MAX_TOPIC_NAME);
    else if (name.data[0] == '.' && name.size <= 2 && name.data[name.size - 1] == '.')
        snprintf(text, size, "Topic name is invalid: '%.*s' is not allowed", shown, name.data);
    else
        snprintf(text, size,
                 "Topic name is invalid: '%.*s' contains one or more characters other than ASCII "
                 "alphanumerics, '.', '_' and '-'",
                 shown, name.data);
}

static char unify(char c) { return c == '.' ? '_' : c; }

/* From the end: names that are counted through differ there. */
static bool looks_alike(kf_string a, kf_string b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = a.size; i-- > 0;)
        if (unify(a.data[i]) != unify(b.data[i]))
            return false;
    return true;
}

const struct kf__topic *kf__topics_lookalike(const struct kf__topics *topics, kf_string name)
{
    if (!memchr(name.data, '.', name.size) && !memchr(name.data, '_', name.size))
        return NULL;
    for (size_t i = 0; i < topics->count; i++)
        if (looks_alike(topics->items[i]->name, name))
            return topics->items[i];
    return NULL;
}

kf_err kf__topics_check(const struct kf__topics *topics, kf_string name, int32_t partitions,
                        int32_t replicas)
{
    if (!kf__topic_name_is_valid(name))
        return KF_ERR_INVALID_TOPIC_EXCEPTION;
    if (kf__broker_topics_find(topics, name))
        return KF_ERR_TOPIC_ALREADY_EXISTS;
    if (kf__topics_lookalike(topics, name))
        return KF_ERR_INVALID_TOPIC_EXCEPTION;
    if (partitions <= 0 || partitions > KF__MAX_PARTITIONS)
        return KF_ERR_INVALID_PARTITIONS;
    if (replicas <= 0 || replicas > topics->node_count)
        return KF_ERR_INVALID_REPLICATION_FACTOR;
    return KF_OK;
}

static bool is_running(const struct kf__topics *topics, int32_t node)
{
    return node >= 1 && node <= topics->node_count && topics->runs[node];
}

/* The first of the replicas that runs. */
static int32_t first_running(const struct kf__topics *topics, const struct kf__partition *partition)
{
    for (int32_t i = 0; i < partition->replica_count; i++)
        if (is_running(topics, partition->replicas[i]))
            return partition->replicas[i];
    return -1;
}

static kf_err partition_init(const struct kf__topics *topics, struct kf__partition *partition,
                             int32_t first_node, int32_t replicas)
{
    *partition = (struct kf__partition){.replica_count = replicas};
    kf__plog_init(&partition->log, topics->alloc);
    partition->replicas = kf_alloc_array(topics->alloc, (size_t)replicas, sizeof(int32_t));
    if (!partition->replicas)
        return KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < replicas; i++)
        partition->replicas[i] = 1 + (first_node + i) % topics->node_count;
    partition->leader = first_running(topics, partition);
    kf__replicas_settle(topics, partition);
    return KF_OK;
}

kf_err kf__topics_extend(struct kf__topics *topics, struct kf__topic *topic, int32_t partitions)
{
    if (partitions <= topic->partition_count || partitions > KF__MAX_PARTITIONS)
        return KF_ERR_INVALID_PARTITIONS;
    int32_t replicas = topic->partition_count > 0 ? topic->partitions[0].replica_count : 1;
    struct kf__partition *grown = kf_realloc(topics->alloc, topic->partitions,
                                             (size_t)partitions * sizeof *topic->partitions);
    if (!grown)
        return KF_ERR_NO_MEMORY;
    topic->partitions = grown;
    int32_t first = topic->partition_count > 0 ? grown[0].replicas[0] - 1 : 0;
    int32_t before = topic->partition_count;
    for (int32_t i = before; i < partitions; i++) {
        kf_err err = partition_init(topics, &grown[i], first + i, replicas);
        if (err) {
            kf__topics_shrink(topics, topic, before);
            return err;
        }
        topic->partition_count = i + 1;
    }
    topics->changes++;
    return KF_OK;
}

void kf__topics_shrink(const struct kf__topics *topics, struct kf__topic *topic, int32_t partitions)
{
    while (topic->partition_count > partitions)
        partition_free(topics, &topic->partitions[--topic->partition_count]);
}

static bool is_repeated(const int32_t *ids, int32_t index)
{
    for (int32_t i = 0; i < index; i++)
        if (ids[i] == ids[index])
            return true;
    return false;
}

kf_err kf__topics_check_replicas(const struct kf__topics *topics, const int32_t *ids, int32_t count,
                                 char *why, size_t size)
{
    static const char begin[] = "The manual partition assignment includes";
    if (count <= 0) {
        snprintf(why, size, "%s an empty replica list.", begin);
        return KF_ERR_INVALID_REPLICA_ASSIGNMENT;
    }
    for (int32_t i = 0; i < count; i++) {
        bool known = ids[i] >= 1 && ids[i] <= topics->node_count;
        if (known && !is_repeated(ids, i))
            continue;
        snprintf(why, size,
                 known ? "%s the broker %d more than once."
                       : "%s broker %d, but no such broker is registered.",
                 begin, (int)ids[i]);
        return KF_ERR_INVALID_REPLICA_ASSIGNMENT;
    }
    return KF_OK;
}

kf_err kf__topics_assign(const struct kf__topics *topics, struct kf__partition *partition,
                         const int32_t *replicas, int32_t count)
{
    int32_t *copy = kf_alloc_array(topics->alloc, (size_t)count, sizeof *copy);
    if (!copy)
        return KF_ERR_NO_MEMORY;
    memcpy(copy, replicas, (size_t)count * sizeof *copy);
    kf_free(topics->alloc, partition->replicas);
    partition->replicas = copy;
    partition->replica_count = count;
    partition->leader = first_running(topics, partition);
    kf__replicas_settle(topics, partition);
    return KF_OK;
}

kf_uuid kf__topics_new_id(struct kf__topics *topics)
{
    kf_uuid id;
    uint64_t x = topics->seed + ++topics->ids * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        x ^= x >> 30;
        x *= UINT64_C(0xBF58476D1CE4E5B9);
        x ^= x >> 27;
        id.bytes[i] = (uint8_t)(x >> 40);
    }
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0F) | 0x40); /* RFC 4122: version 4, variant 1 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3F) | 0x80);
    return id;
}

static kf_err fill_topic(struct kf__topics *topics, struct kf__topic *topic, kf_string name,
                         int32_t partitions, int32_t replicas)
{
    kf_err err = kf__text_copy(topics->alloc, name, &topic->name);
    if (err)
        return err;
    topic->partitions =
        kf_alloc_array(topics->alloc, (size_t)partitions, sizeof(struct kf__partition));
    if (!topic->partitions)
        return KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < partitions; i++) {
        err = partition_init(topics, &topic->partitions[i], topics->next_leader + i, replicas);
        if (err)
            return err;
        topic->partition_count = i + 1;
    }
    topics->next_leader = (topics->next_leader + partitions) % topics->node_count;
    topic->id = kf__topics_new_id(topics);
    return KF_OK;
}

static kf_err reserve_list(const struct kf__topics *topics, struct kf__topic ***list,
                           size_t capacity)
{
    struct kf__topic **items = kf_realloc(topics->alloc, *list, capacity * sizeof *items);
    if (items)
        *list = items;
    return items ? KF_OK : KF_ERR_NO_MEMORY;
}

/* Room for one more in both lists. */
static kf_err reserve(struct kf__topics *topics)
{
    if (topics->count < topics->capacity)
        return KF_OK;
    size_t capacity = topics->capacity ? topics->capacity * 2 : 16;
    kf_err err = reserve_list(topics, &topics->items, capacity);
    if (!err)
        err = reserve_list(topics, &topics->by_id, capacity);
    if (!err)
        topics->capacity = capacity;
    return err;
}

static void insert(struct kf__topic **list, size_t count, size_t at, struct kf__topic *topic)
{
    memmove(list + at + 1, list + at, (count - at) * sizeof *list);
    list[at] = topic;
}

static void take_out(struct kf__topic **list, size_t count, size_t at)
{
    memmove(list + at, list + at + 1, (count - at - 1) * sizeof *list);
}

kf_err kf__topics_create(struct kf__topics *topics, kf_string name, int32_t partitions,
                         int32_t replicas, struct kf__topic **topic)
{
    kf_err err = kf__topics_check(topics, name, partitions, replicas);
    if (err)
        return err;
    err = reserve(topics);
    if (err)
        return err;
    struct kf__topic *created = kf_alloc_zero(topics->alloc, sizeof *created);
    if (!created)
        return KF_ERR_NO_MEMORY;
    err = fill_topic(topics, created, name, partitions, replicas);
    if (err) {
        topic_free(topics, created);
        return err;
    }
    insert(topics->items, topics->count, place_of(topics, name), created);
    insert(topics->by_id, topics->count, place_of_id(topics, created->id), created);
    topics->count++;
    topics->changes++;
    if (topic)
        *topic = created;
    return KF_OK;
}

void kf__topics_set_id(struct kf__topics *topics, struct kf__topic *topic, kf_uuid id)
{
    take_out(topics->by_id, topics->count, place_of_id(topics, topic->id));
    topics->count--;
    topic->id = id;
    insert(topics->by_id, topics->count, place_of_id(topics, id), topic);
    topics->count++;
    topics->changes++;
}

void kf__topics_delete(struct kf__topics *topics, struct kf__topic *topic)
{
    size_t at = place_of(topics, topic->name), at_id = place_of_id(topics, topic->id);
    for (int32_t i = 0; i < topic->partition_count; i++)
        topics->bytes -= topic->partitions[i].log.bytes;
    take_out(topics->items, topics->count, at);
    take_out(topics->by_id, topics->count, at_id);
    topics->count--;
    topics->changes++;
    topic_free(topics, topic);
}

kf_err kf__topics_append(struct kf__topics *topics, struct kf__partition *partition,
                         const struct kf__batch *batch, size_t max_bytes, int64_t *base_offset)
{
    if (batch->size > max_bytes || topics->bytes > max_bytes - batch->size)
        return KF_ERR_POLICY_VIOLATION;
    kf_err err = kf__plog_append(&partition->log, batch, partition->leader_epoch, base_offset);
    if (!err)
        topics->bytes += batch->size;
    return err;
}

void kf__topics_truncate(struct kf__topics *topics, struct kf__partition *partition, int64_t end)
{
    topics->bytes -= partition->log.bytes;
    kf__plog_truncate(&partition->log, end);
    topics->bytes += partition->log.bytes;
    kf__aborted_truncate(&partition->aborted, end);
    kf__producers_replay(&partition->producers, topics->alloc, &partition->log);
}

void kf__topics_delete_records(struct kf__topics *topics, struct kf__partition *partition,
                               int64_t before)
{
    topics->bytes -= partition->log.bytes;
    kf__plog_delete_before(&partition->log, before);
    kf__aborted_delete_before(&partition->aborted, partition->log.start_offset);
    topics->bytes += partition->log.bytes;
}

void kf__topics_set_running(struct kf__topics *topics, int32_t node, bool runs)
{
    topics->runs[node] = runs;
    for (size_t i = 0; i < topics->count; i++) {
        struct kf__topic *topic = topics->items[i];
        for (int32_t p = 0; p < topic->partition_count; p++) {
            struct kf__partition *partition = &topic->partitions[p];
            if (runs)
                kf__replicas_started(topics, partition, node, topic->settings.unclean_election);
            else
                kf__replicas_stopped(topics, partition, node, topic->settings.unclean_election);
        }
    }
}

kf_err kf__topics_move_leader(struct kf__topics *topics, struct kf__partition *partition,
                              int32_t node)
{
    if (!is_running(topics, node))
        return KF_ERR_BROKER_NOT_AVAILABLE;
    if (!kf__is_replica(partition, node)) {
        int32_t *replicas = kf_realloc(topics->alloc, partition->replicas,
                                       ((size_t)partition->replica_count + 1) * sizeof *replicas);
        if (!replicas)
            return KF_ERR_NO_MEMORY;
        partition->replicas = replicas;
        replicas[partition->replica_count++] = node;
    }
    kf__bring_in_sync(partition, node);
    partition->leader = node;
    partition->leader_epoch++;
    kf__replicas_started(topics, partition, node, false); /* the others follow it */
    return KF_OK;
}

int32_t kf__topics_controller(const struct kf__topics *topics)
{
    for (int32_t node = 1; node <= topics->node_count; node++)
        if (topics->runs[node])
            return node;
    return -1;
}
