/*
 * producer_send: on the I/O thread: which batches leave now, and what becomes
 * of them.
 *
 *   queued ──ready, leader known──▶ in a request ──stored, or final──▶ told
 *     ▲                                   │
 *     └───── back-off ◀── retriable ──────┘        delivery.timeout.ms: told with the last cause
 *
 * A batch stays first in its partition's queue until it is told, and nothing
 * behind it leaves before: so order is kept through every retry. A batch
 * whose time is up while a request with it is under way is told at once; the
 * request still holds its bytes, and the partition waits for its end.
 */
#include "runtime/producer/producer_inside.h"

#include "net/calls.h"
#include <string.h>

/* Before memory for a request is asked for again. */
#define NO_MEMORY_WAIT (100 * KF_MILLISECOND)

/* ---- telling ---- */

/* A chain of batches that are out of their queues. Callbacks run without the lock. */
static void tell_chain(struct kf_producer *producer, struct kf__out_batch *chain)
{
    while (chain) {
        struct kf__out_batch *batch = chain;
        chain = batch->next;
        if (!batch->told)
            kf__out_batch_tell(batch, batch->partition->index, batch->result, batch->base_offset);
        pthread_mutex_lock(&producer->lock);
        producer->memory -= batch->charged;
        kf__link_remove(&batch->unfinished);
        pthread_cond_broadcast(&producer->changed);
        pthread_mutex_unlock(&producer->lock);
        kf__out_batch_free(batch);
    }
}

/* Told, but its request goes on: it stays in its queue, and in memory. */
static void tell_early(struct kf_producer *producer, struct kf__out_batch *batch)
{
    kf__out_batch_tell(batch, batch->partition->index, batch->result, -1);
    pthread_mutex_lock(&producer->lock);
    kf__link_remove(&batch->unfinished);
    pthread_cond_broadcast(&producer->changed);
    pthread_mutex_unlock(&producer->lock);
}

static kf_err last_cause(const struct kf__out_batch *batch)
{
    return batch->cause ? batch->cause : KF_ERR_TIMED_OUT;
}

/* Under the lock: out of the queue, to the front of a chain. */
static void move_to(struct kf__out_batch **chain, struct kf__out_batch *batch, kf_err result,
                    int64_t base_offset)
{
    kf__out_partition_pop(batch->partition);
    batch->result = result;
    batch->base_offset = base_offset;
    batch->next = *chain;
    *chain = batch;
}

static void finish(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err,
                   int64_t base_offset)
{
    struct kf__out_batch *chain = NULL;
    pthread_mutex_lock(&producer->lock);
    batch->partition->in_flight = false;
    move_to(&chain, batch, err, base_offset);
    pthread_mutex_unlock(&producer->lock);
    tell_chain(producer, chain);
}

static void retry(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err, bool moved)
{
    const struct kf__settings *settings = &producer->io.settings;
    const struct kf__world *world = kf__loop_world(producer->io.loop);
    kf_time wait = moved ? 0
                         : kf__back_off(settings->retry_backoff_ms * KF_MILLISECOND,
                                        settings->retry_backoff_max_ms * KF_MILLISECOND,
                                        batch->attempts, world->random(world->context));
    batch->attempts++;
    batch->cause = err;
    batch->retry_at = kf__loop_now(producer->io.loop) + wait;
    pthread_mutex_lock(&producer->lock);
    batch->partition->in_flight = false;
    pthread_mutex_unlock(&producer->lock);
    kf__cluster_refresh(producer->io.cluster);
}

void kf__producer_settle(struct kf_producer *producer, struct kf__out_batch *batch, kf_err err,
                         int64_t base_offset, bool moved)
{
    bool again = err && kf_err_retriable(err) && !batch->told && !producer->fatal.code &&
                 batch->deadline > kf__loop_now(producer->io.loop);
    if (again)
        retry(producer, batch, err, moved);
    else
        finish(producer, batch, err, base_offset);
}

/* ---- which batches leave ---- */

/* What one look at the queues found. */
struct round {
    struct kf_producer *producer;
    kf_time now;
    kf_time next; /* when to look again */
    struct kf__out_batch *late;
    struct kf__link requests; /* to be sent */
    bool refresh;
};

static void note_time(struct round *round, kf_time at)
{
    if (at < round->next)
        round->next = at;
}

/* When the first batch of a partition may leave. */
static kf_time ready_at(const struct kf_producer *producer, const struct kf__out_batch *batch)
{
    if (batch->closed || batch->urgent || batch->number <= producer->flush_to ||
        producer->memory_waiters > 0 ||
        kf__out_batch_size(batch) >= (size_t)producer->io.settings.batch_size)
        return batch->retry_at;
    return batch->opened + producer->io.settings.linger_ms * KF_MILLISECOND;
}

static int32_t in_flight_at(const struct kf_producer *producer, int32_t node)
{
    int32_t count = 0;
    for (const struct kf__link *at = producer->requests.next; at != &producer->requests;
         at = at->next)
        count += KF__OWNER(at, const struct kf__out_request, link)->node == node;
    return count;
}

/* The request to a node that this round fills; NULL: the node has enough, or no memory. */
static struct kf__out_request *request_for(struct round *round, int32_t node, size_t bytes)
{
    int32_t drafts = 0;
    size_t most = (size_t)round->producer->io.settings.max_request_size;
    for (struct kf__link *at = round->requests.next; at != &round->requests; at = at->next) {
        struct kf__out_request *request = KF__OWNER(at, struct kf__out_request, link);
        if (request->node != node)
            continue;
        if (request->bytes + bytes <= most)
            return request;
        drafts++;
    }
    if (in_flight_at(round->producer, node) + drafts >= KF__OUT_IN_FLIGHT)
        return NULL;
    struct kf__out_request *request = kf__out_request_new(round->producer, node);
    if (request)
        kf__link_append(&round->requests, &request->link);
    else
        note_time(round, round->now + NO_MEMORY_WAIT);
    return request;
}

static void send_first(struct round *round, struct kf__out_partition *partition)
{
    struct kf__out_batch *batch = partition->first;
    kf_err cause = KF_OK;
    int32_t node = kf__out_leader(round->producer, partition, &cause);
    if (node < 0) {
        batch->cause = cause;
        round->refresh = true;
        return;
    }
    struct kf__out_request *request = request_for(round, node, kf__out_batch_size(batch));
    if (!request)
        return; /* an answer will make room */
    if (kf__out_request_add(request, batch)) {
        note_time(round, round->now + NO_MEMORY_WAIT);
        return;
    }
    batch->closed = true;
    partition->in_flight = true;
}

/* Under the lock. */
static void drop_late(struct round *round, struct kf__out_partition *partition)
{
    while (partition->first && !partition->in_flight && partition->first->deadline <= round->now)
        move_to(&round->late, partition->first, last_cause(partition->first), -1);
}

static void look_at(struct round *round, struct kf__out_partition *partition)
{
    drop_late(round, partition);
    struct kf__out_batch *batch = partition->first;
    if (!batch)
        return;
    if (!batch->told)
        note_time(round, batch->deadline);
    if (partition->in_flight)
        return;
    kf_time at = ready_at(round->producer, batch);
    if (at > round->now)
        note_time(round, at);
    else
        send_first(round, partition);
}

static void look_at_queues(struct round *round)
{
    struct kf_producer *producer = round->producer;
    struct kf__link *at = producer->active.next;
    while (at != &producer->active) {
        struct kf__link *next = at->next;
        look_at(round, KF__OWNER(at, struct kf__out_partition, active));
        at = next;
    }
}

/* ---- one look ---- */

static void add_topics(struct kf_producer *producer)
{
    while (producer->added) {
        struct kf__out_topic *topic = producer->added;
        if (kf__cluster_add_topic(producer->io.cluster, topic->name, &topic->cluster_index))
            return; /* out of memory: at the next look */
        producer->added = topic->next_added;
    }
}

/* Sealing an error leaves the batch out: a request that became empty is dropped. */
static void seal_all(struct kf_producer *producer, struct kf__out_request *request)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < request->count; i++) {
        struct kf__out_batch *batch = request->batches[i];
        kf_err err = KF_OK;
        if (!batch->sealed) {
            err = kf__out_batch_seal(batch, (enum kf_codec)producer->io.settings.compression_type,
                                     &producer->codecs);
            size_t held = kf__out_batch_memory(batch);
            pthread_mutex_lock(&producer->lock);
            producer->memory += held - batch->charged;
            batch->charged = held;
            pthread_mutex_unlock(&producer->lock);
        }
        if (err)
            finish(producer, batch, err, -1);
        else
            request->batches[kept++] = batch;
    }
    request->count = kept;
}

static void send_requests(struct round *round)
{
    while (!kf__link_is_alone(&round->requests)) {
        struct kf__out_request *request =
            KF__OWNER(round->requests.next, struct kf__out_request, link);
        kf__link_remove(&request->link);
        seal_all(round->producer, request);
        if (request->count)
            kf__out_request_send(request);
        else
            kf__out_request_free(request);
    }
}

/* Batches in requests whose time is up: their records are told now. */
static void tell_late_in_flight(struct kf_producer *producer, kf_time now)
{
    for (struct kf__link *at = producer->requests.next; at != &producer->requests; at = at->next) {
        struct kf__out_request *request = KF__OWNER(at, struct kf__out_request, link);
        for (int32_t i = 0; i < request->count; i++) {
            struct kf__out_batch *batch = request->batches[i];
            if (batch->told || batch->deadline > now)
                continue;
            batch->told = true;
            batch->result = last_cause(batch);
            tell_early(producer, batch);
        }
    }
}

void kf__producer_look(struct kf_producer *producer)
{
    struct round round = {
        .producer = producer, .now = kf__loop_now(producer->io.loop), .next = KF_FOREVER};
    kf__link_init(&round.requests);
    tell_late_in_flight(producer, round.now);
    pthread_mutex_lock(&producer->lock);
    add_topics(producer);
    look_at_queues(&round);
    pthread_mutex_unlock(&producer->lock);
    send_requests(&round);
    tell_chain(producer, round.late);
    if (round.refresh)
        kf__cluster_refresh(producer->io.cluster);
    if (round.next == KF_FOREVER || kf__timer_set(producer->io.loop, &producer->timer, round.next))
        kf__timer_cancel(producer->io.loop, &producer->timer);
}

/* ---- what the cluster tells ---- */

static bool is_near(const struct kf_producer *producer, int32_t leader)
{
    const char *rack = kf__cluster_rack(producer->io.cluster, leader);
    const char *own = producer->io.settings.client_rack;
    return rack && own && strcmp(rack, own) == 0;
}

/* Under the lock; true where somebody still waits for the topic. */
static bool take_topic(struct kf_producer *producer, struct kf__out_topic *topic)
{
    if (topic->cluster_index < 0)
        return false;
    const struct kf__topic_info *info =
        kf__cluster_topic(producer->io.cluster, topic->cluster_index);
    if (!info->known)
        return topic->waiting > 0;
    topic->error = info->error;
    if (info->partition_count > topic->partition_count)
        (void)kf__out_topic_grow(producer->alloc, topic, info->partition_count);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        int32_t leader = i < info->partition_count ? info->partitions[i].leader : -1;
        topic->available[i] = leader >= 0;
        topic->near[i] = leader >= 0 && is_near(producer, leader);
    }
    return topic->waiting > 0 && topic->partition_count == 0;
}

void kf__producer_take_metadata(void *owner, bool changed)
{
    (void)changed;
    struct kf_producer *producer = owner;
    bool refresh = false;
    pthread_mutex_lock(&producer->lock);
    for (size_t i = 0; i < KF__OUT_TOPIC_CHAINS; i++)
        for (struct kf__out_topic *topic = producer->topics[i]; topic; topic = topic->next)
            refresh |= take_topic(producer, topic);
    pthread_cond_broadcast(&producer->changed);
    pthread_mutex_unlock(&producer->lock);
    if (refresh)
        kf__cluster_refresh(producer->io.cluster);
    kf__out_requests_reroute(producer);
    kf__producer_look(producer);
}

void kf__producer_fail_all(struct kf_producer *producer, kf_err err)
{
    struct kf__out_batch *chain = NULL;
    pthread_mutex_lock(&producer->lock);
    struct kf__link *at = producer->active.next;
    while (at != &producer->active) {
        struct kf__link *next = at->next;
        struct kf__out_partition *partition = KF__OWNER(at, struct kf__out_partition, active);
        while (partition->first && !partition->in_flight)
            move_to(&chain, partition->first, err, -1);
        at = next;
    }
    pthread_mutex_unlock(&producer->lock);
    tell_chain(producer, chain);
}

void kf__producer_take_fatal(void *owner)
{
    struct kf_producer *producer = owner;
    pthread_mutex_lock(&producer->lock);
    producer->fatal = producer->io.fatal_error;
    pthread_cond_broadcast(&producer->changed);
    pthread_mutex_unlock(&producer->lock);
    kf__producer_fail_all(producer, producer->fatal.code);
}
