/*
 * producer_topics: the topics written to, and what metadata says of them.
 * Producing threads read the table and a topic's partitions without a lock:
 * the table only grows, and what is replaced is kept until the end. A topic that was created anew
 * may have fewer partitions than before: those that are gone keep what waits in them until its
 * time is up.
 */
#include "runtime/producer/producer_inside.h"

#include <string.h>

/* ---- the table ---- */

static size_t chain_of(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash % KF__OUT_TOPIC_CHAINS;
}

static struct kf__out_topic *find(struct kf_producer *producer, size_t chain, const char *name)
{
    struct kf__out_topic *topic =
        atomic_load_explicit(&producer->topics[chain], memory_order_acquire);
    while (topic && strcmp(topic->name, name) != 0)
        topic = atomic_load_explicit(&topic->next, memory_order_acquire);
    return topic;
}

static struct kf__out_topic *new_topic(const kf_allocator *alloc, const char *name)
{
    struct kf__out_topic *topic = kf_alloc_zero(alloc, sizeof *topic);
    size_t size = strlen(name) + 1;
    char *copy = topic ? kf_alloc(alloc, size) : NULL;
    if (!copy) {
        kf_free(alloc, topic);
        return NULL;
    }
    memcpy(copy, name, size);
    pthread_mutex_init(&topic->lock, NULL);
    topic->name = copy;
    topic->cluster_index = -1;
    topic->sticky.partition = -1;
    kf__out_limit_init(&topic->limit);
    return topic;
}

static struct kf__out_topic *add(struct kf_producer *producer, size_t chain, const char *name)
{
    struct kf__out_topic *topic = new_topic(producer->alloc, name);
    if (!topic)
        return NULL;
    atomic_store_explicit(&topic->next, atomic_load(&producer->topics[chain]),
                          memory_order_relaxed);
    atomic_store_explicit(&producer->topics[chain], topic, memory_order_release);
    topic->next_added = producer->added;
    producer->added = topic;
    return topic;
}

/* From some length on no request carries it: all other topics would wait for metadata with it. */
bool kf__out_topic_is_too_long(const char *name)
{
    return strnlen(name, KF__OUT_TOPIC_MAX + 1) > KF__OUT_TOPIC_MAX;
}

struct kf__out_topic *kf__producer_topic(struct kf_producer *producer, const char *name)
{
    size_t chain = chain_of(name);
    struct kf__out_topic *topic = find(producer, chain, name);
    if (topic || kf__out_topic_is_too_long(name))
        return topic;
    pthread_mutex_lock(&producer->lock);
    topic = find(producer, chain, name);
    if (!topic)
        topic = add(producer, chain, name);
    pthread_mutex_unlock(&producer->lock);
    return topic;
}

/* ---- partitions ---- */

static struct kf__out_partition *new_partition(const kf_allocator *alloc,
                                               struct kf__out_topic *topic, int32_t index)
{
    struct kf__out_partition *partition = kf_alloc_zero(alloc, sizeof *partition);
    if (!partition)
        return NULL;
    partition->topic = topic;
    partition->index = index;
    partition->id = (struct kf__out_identity){-1, -1};
    partition->last_acked = partition->unresolved = -1;
    kf__link_init(&partition->place);
    kf__link_init(&partition->closed);
    kf__link_init(&partition->queue);
    kf__link_init(&partition->flying);
    return partition;
}

/* What was told while somebody compressed it may still stand in the queue. */
static void free_partition(const kf_allocator *alloc, struct kf__out_partition *partition)
{
    while (!kf__link_is_alone(&partition->queue)) {
        struct kf__link *link = partition->queue.next;
        kf__link_remove(link);
        kf__out_batch_free(KF__OWNER(link, struct kf__out_batch, link));
    }
    kf_free(alloc, partition);
}

static void *grown(const kf_allocator *alloc, void *array, int32_t count, size_t size)
{
    return kf_realloc(alloc, array, (size_t)count * size);
}

/* Under the topic's lock. */
static kf_err grow_arrays(const kf_allocator *alloc, struct kf__out_topic *topic, int32_t count)
{
    bool *available = grown(alloc, topic->available, count, sizeof *available);
    topic->available = available ? available : topic->available;
    bool *near = grown(alloc, topic->near, count, sizeof *near);
    topic->near = near ? near : topic->near;
    int32_t *queues = grown(alloc, topic->queues, count, sizeof *queues);
    topic->queues = queues ? queues : topic->queues;
    if (!available || !near || !queues)
        return KF_ERR_NO_MEMORY;
    for (; topic->available_count < count; topic->available_count++)
        available[topic->available_count] = near[topic->available_count] = false;
    return KF_OK;
}

static kf_err grow_available(const kf_allocator *alloc, struct kf__out_topic *topic, int32_t count)
{
    pthread_mutex_lock(&topic->lock);
    kf_err err = grow_arrays(alloc, topic, count);
    pthread_mutex_unlock(&topic->lock);
    return err;
}

/* The array that takes the place of `older`, with partitions up to `held`; NULL without memory. */
static struct kf__out_partitions *longer(const kf_allocator *alloc, struct kf__out_topic *topic,
                                         struct kf__out_partitions *older, int32_t held)
{
    int32_t had = older ? older->held : 0;
    struct kf__out_partitions *partitions =
        kf_alloc(alloc, sizeof *partitions + (size_t)held * sizeof(struct kf__out_partition *));
    for (int32_t i = 0; partitions && i < held; i++) {
        partitions->items[i] = i < had ? older->items[i] : new_partition(alloc, topic, i);
        if (partitions->items[i])
            continue;
        while (i > had)
            free_partition(alloc, partitions->items[--i]);
        kf_free(alloc, partitions);
        return NULL;
    }
    return partitions;
}

kf_err kf__out_topic_resize(const kf_allocator *alloc, struct kf__out_topic *topic, int32_t count)
{
    struct kf__out_partitions *older = atomic_load(&topic->partitions);
    int32_t held = older && older->held > count ? older->held : count;
    if (grow_available(alloc, topic, held))
        return KF_ERR_NO_MEMORY;
    struct kf__out_partitions *partitions = longer(alloc, topic, older, held);
    if (!partitions)
        return KF_ERR_NO_MEMORY;
    partitions->older = older;
    partitions->count = count;
    partitions->held = held;
    atomic_store_explicit(&topic->partitions, partitions, memory_order_release);
    return KF_OK;
}

static void free_topic(const kf_allocator *alloc, struct kf__out_topic *topic)
{
    struct kf__out_partitions *partitions = atomic_load(&topic->partitions);
    for (int32_t i = 0; partitions && i < partitions->held; i++)
        free_partition(alloc, partitions->items[i]);
    while (partitions) {
        struct kf__out_partitions *older = partitions->older;
        kf_free(alloc, partitions);
        partitions = older;
    }
    pthread_mutex_destroy(&topic->lock);
    kf_free(alloc, topic->available);
    kf_free(alloc, topic->near);
    kf_free(alloc, topic->queues);
    kf_free(alloc, topic->name);
    kf_free(alloc, topic);
}

void kf__producer_free_topics(struct kf_producer *producer)
{
    for (size_t i = 0; i < KF__OUT_TOPIC_CHAINS; i++) {
        struct kf__out_topic *topic = atomic_load(&producer->topics[i]);
        while (topic) {
            struct kf__out_topic *next = atomic_load(&topic->next);
            free_topic(producer->alloc, topic);
            topic = next;
        }
        atomic_store(&producer->topics[i], NULL);
    }
}

/* ---- what the cluster says, on the I/O thread ---- */

void kf__producer_add_topics(struct kf_producer *producer)
{
    pthread_mutex_lock(&producer->lock);
    producer->wants_metadata |= producer->partitions_wanted;
    producer->partitions_wanted = false;
    while (producer->added) {
        struct kf__out_topic *topic = producer->added;
        if (kf__cluster_add_topic(producer->io.cluster, topic->name, &topic->cluster_index))
            break; /* out of memory: at the next look */
        producer->added = topic->next_added;
        producer->wants_metadata = true;
    }
    pthread_mutex_unlock(&producer->lock);
}

const struct kf__topic_info *kf__out_topic_info(const struct kf_producer *producer,
                                                const struct kf__out_topic *topic)
{
    return topic->cluster_index < 0 ? NULL
                                    : kf__cluster_topic(producer->io.cluster, topic->cluster_index);
}

int32_t kf__out_leader(const struct kf_producer *producer,
                       const struct kf__out_partition *partition, kf_err *error)
{
    const struct kf__topic_info *info = kf__out_topic_info(producer, partition->topic);
    *error = KF_ERR_LEADER_NOT_AVAILABLE;
    if (!info || partition->index >= info->partition_count) {
        *error = info && info->error ? info->error : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
        return -1;
    }
    const struct kf__partition_info *at = &info->partitions[partition->index];
    if (info->error || at->error)
        *error = info->error ? info->error : at->error;
    return at->leader;
}

static bool is_near(const struct kf_producer *producer, int32_t leader)
{
    const char *rack = kf__cluster_rack(producer->io.cluster, leader);
    const char *own = producer->io.settings.client_rack;
    return rack && own && strcmp(rack, own) == 0;
}

static void note_available(const struct kf_producer *producer, struct kf__out_topic *topic,
                           const struct kf__topic_info *info)
{
    pthread_mutex_lock(&topic->lock);
    for (int32_t i = 0; i < topic->available_count; i++) {
        int32_t leader = i < info->partition_count ? info->partitions[i].leader : -1;
        topic->available[i] = leader >= 0;
        topic->near[i] = leader >= 0 && is_near(producer, leader);
    }
    pthread_mutex_unlock(&topic->lock);
}

/* True where somebody still waits for the topic. */
static bool take_topic(struct kf_producer *producer, struct kf__out_topic *topic)
{
    const struct kf__topic_info *info = kf__out_topic_info(producer, topic);
    struct kf__out_partitions *partitions = atomic_load(&topic->partitions);
    int32_t count = partitions ? partitions->count : 0;
    if (info && info->known && info->partition_count > 0 && info->partition_count != count)
        (void)kf__out_topic_resize(producer->alloc, topic, info->partition_count);
    if (info && info->known)
        note_available(producer, topic, info);
    pthread_mutex_lock(&producer->lock);
    if (info && info->known)
        topic->error = info->error;
    partitions = atomic_load(&topic->partitions);
    bool waits = topic->waiting > 0 && !(partitions && partitions->count > topic->waiting_for);
    pthread_mutex_unlock(&producer->lock);
    return waits;
}

void kf__producer_wake_topics(struct kf_producer *producer)
{
    pthread_mutex_lock(&producer->lock);
    while (!kf__link_is_alone(&producer->for_topics)) {
        struct kf__waiter *waiter = KF__OWNER(producer->for_topics.next, struct kf__waiter, link);
        kf__link_remove(&waiter->link);
        kf__waiter_wake(waiter);
    }
    pthread_mutex_unlock(&producer->lock);
}

void kf__producer_take_metadata(void *owner, bool changed)
{
    (void)changed;
    struct kf_producer *producer = owner;
    for (size_t i = 0; i < KF__OUT_TOPIC_CHAINS; i++)
        for (struct kf__out_topic *topic = atomic_load(&producer->topics[i]); topic;
             topic = atomic_load(&topic->next))
            producer->wants_metadata |= take_topic(producer, topic);
    kf__producer_wake_topics(producer);
    kf__out_requests_reroute(producer);
    kf__producer_place_all(producer);
    kf__producer_look(producer);
}
