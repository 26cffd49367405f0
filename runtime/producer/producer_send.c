/*
 * producer_send: on the I/O thread: which batches leave now.
 *
 *   news ──▶ place: open ──lingers──▶ due ──▶ ready at its leader's node ──▶ a request
 *                     ▲                                                        │
 *                     └──────────── backs off ◀──── an error that passes ◀─────┘
 *
 * A partition stands in one list at most. One with nothing to send, or that
 * may not send now (its batches in flight must be answered first, its first
 * batch is being compressed), stands in none: what ends that places it again.
 */
#include "runtime/producer/producer_inside.h"

#include "net/conn/calls.h"

enum {
    SMALL_BATCH = 4096, /* bytes: compressed on the I/O thread, rather than handed to a helper */
    MOST_ASIDE = 4,     /* batches at helpers: of these two work, and each batch takes a codec */
};

/* Before memory for a request is asked for again. */
#define NO_MEMORY_WAIT (100 * KF_MILLISECOND)

/* ---- news ---- */

/* A flush, or one who waits for memory, had a look begun: it may have come too early for this. */
static bool is_hurried(struct kf_producer *producer, uint64_t number)
{
    return (number && number <= atomic_load(&producer->flush_to)) ||
           atomic_load(&producer->memory.waiting) > 0;
}

void kf__producer_news(struct kf_producer *producer, struct kf__out_partition *partition,
                       uint64_t number, kf_time by)
{
    if (!atomic_exchange(&partition->in_news, true)) {
        struct kf__out_partition *first = atomic_load(&producer->news);
        do
            partition->next_news = first;
        while (!atomic_compare_exchange_weak(&producer->news, &first, partition));
    }
    if (by < atomic_load(&producer->looks_at) || is_hurried(producer, number))
        kf__loop_post(producer->io.loop, &producer->task);
}

static void note_time(struct kf_producer *producer, kf_time at)
{
    if (at < producer->next)
        producer->next = at;
}

static bool take_news(struct kf_producer *producer)
{
    struct kf__out_partition *last_first = atomic_exchange(&producer->news, NULL);
    struct kf__out_partition *first = NULL;
    while (last_first) { /* the stack, turned round */
        struct kf__out_partition *next = last_first->next_news;
        last_first->next_news = first;
        first = last_first;
        last_first = next;
    }
    bool any = first != NULL;
    while (first) {
        struct kf__out_partition *next = first->next_news;
        (void)atomic_exchange(&first->in_news, false); /* and sees what was done before the news */
        kf__out_partition_place(producer, first);
        first = next;
    }
    return any;
}

/* ---- a partition's batches ---- */

static void take_closed(struct kf__out_partition *partition)
{
    while (!kf__link_is_alone(&partition->closed)) {
        struct kf__link *link = partition->closed.next;
        kf__link_remove(link);
        kf__link_append(&partition->queue, link);
    }
}

/* Under its lock: the open batch takes no more; the next one begins with as much memory, unless
 * this one had to go before its time. */
static void close_open(struct kf__out_partition *partition)
{
    struct kf__out_batch *open = partition->open;
    if (atomic_load_explicit(&open->memory->waiting, memory_order_relaxed) == 0) {
        partition->block_hint = (uint32_t)kf__out_batch_size(open);
        partition->receipt_hint =
            open->receipts ? (uint32_t)((size_t)open->count * sizeof *open->receipts) : 0;
    }
    partition->open = NULL;
    kf__link_append(&partition->queue, &open->link);
}

void kf__out_partition_gather(struct kf__out_partition *partition, bool all)
{
    kf__brief_lock(&partition->lock);
    take_closed(partition);
    if (partition->open && all)
        close_open(partition);
    kf__brief_unlock(&partition->lock);
}

static kf_time due_at(const struct kf_producer *producer, const struct kf__out_batch *open)
{
    if (open->urgent || open->number <= producer->flushed_to ||
        atomic_load(&producer->memory.waiting) > 0)
        return 0;
    return open->opened + producer->io.settings.linger_ms * KF_MILLISECOND;
}

/* Gathers what is closed, and the open batch where its time has come; else *due says when. */
static void gather_due(struct kf_producer *producer, struct kf__out_partition *partition,
                       bool close, kf_time *due)
{
    *due = KF_FOREVER;
    kf__brief_lock(&partition->lock);
    take_closed(partition);
    struct kf__out_batch *open = partition->open;
    if (open)
        *due = due_at(producer, open);
    if (open && close && *due <= producer->now)
        close_open(partition);
    kf__brief_unlock(&partition->lock);
}

/* Told while somebody compressed them: nobody needs them any more. */
static void drop_told(struct kf_producer *producer, struct kf__out_partition *partition)
{
    struct kf__link *at = partition->queue.next;
    while (partition->told_early > 0 && at != &partition->queue) {
        struct kf__out_batch *batch = KF__OWNER(at, struct kf__out_batch, link);
        at = at->next;
        if (batch->told && !kf__out_batch_is_held(batch)) {
            partition->told_early--;
            kf__link_remove(&batch->link);
            atomic_fetch_sub_explicit(&partition->batches, 1, memory_order_relaxed);
            kf__out_batch_over(producer, batch);
        }
    }
}

/* ---- where a partition stands ---- */

struct kf__out_node *kf__producer_node(struct kf_producer *producer, int32_t id)
{
    struct kf__out_node *node = producer->nodes;
    while (node && node->id != id)
        node = node->next;
    if (node)
        return node;
    node = kf_alloc_zero(producer->alloc, sizeof *node);
    if (!node)
        return NULL;
    node->id = id;
    kf__link_init(&node->ready);
    node->next = producer->nodes;
    producer->nodes = node;
    return node;
}

static void leave_place(struct kf__out_partition *partition)
{
    kf__link_remove(&partition->place);
    partition->lingers = partition->backs_off = partition->wants_sealer = false;
}

static void make_ready(struct kf_producer *producer, struct kf__out_partition *partition)
{
    kf_err error;
    int32_t leader = kf__out_leader(producer, partition, &error);
    producer->wants_metadata |= leader < 0;
    struct kf__out_node *node = partition->node && partition->node->id == leader
                                    ? partition->node
                                    : kf__producer_node(producer, leader);
    if (!node) {
        kf__out_partition_back_off(producer, partition, producer->now + NO_MEMORY_WAIT);
        return;
    }
    partition->node = node;
    kf__link_append(&node->ready, &partition->place);
}

/* Mostly the last to be due; not where metadata had all of them placed anew. */
static void linger(struct kf_producer *producer, struct kf__out_partition *partition, kf_time due)
{
    struct kf__link *behind = producer->lingering.previous;
    while (behind != &producer->lingering &&
           KF__OWNER(behind, struct kf__out_partition, place)->due > due)
        behind = behind->previous;
    partition->lingers = true;
    partition->due = due;
    kf__link_append(behind->next, &partition->place);
    note_time(producer, due);
}

void kf__out_partition_place(struct kf_producer *producer, struct kf__out_partition *partition)
{
    kf_time due;
    gather_due(producer, partition, false, &due);
    if (partition->backs_off && partition->due > producer->now)
        return;
    bool ready = !kf__link_is_alone(&partition->queue) || due <= producer->now;
    bool placed = !kf__link_is_alone(&partition->place);
    if (placed && ready && !partition->lingers && !partition->backs_off)
        return;
    if (partition->lingers && !ready && due == partition->due)
        return;
    leave_place(partition);
    if (ready) {
        make_ready(producer, partition);
    } else if (due != KF_FOREVER) {
        linger(producer, partition, due);
    }
}

void kf__out_partition_back_off(struct kf_producer *producer, struct kf__out_partition *partition,
                                kf_time at)
{
    leave_place(partition);
    partition->backs_off = true;
    partition->due = at;
    kf__link_append(&producer->backing_off, &partition->place);
    note_time(producer, at);
}

void kf__producer_place_all(struct kf_producer *producer)
{
    for (size_t i = 0; i < KF__OUT_TOPIC_CHAINS; i++)
        for (struct kf__out_topic *topic = atomic_load(&producer->topics[i]); topic;
             topic = atomic_load(&topic->next)) {
            struct kf__out_partitions *partitions = atomic_load(&topic->partitions);
            for (int32_t j = 0; partitions && j < partitions->held; j++) {
                struct kf__out_partition *partition = partitions->items[j];
                if (!partition->backs_off && !partition->lingers)
                    leave_place(partition);
                kf__out_partition_place(producer, partition);
            }
        }
}

/* Those that have lingered long enough; all, where a flush or a full buffer hurries them. */
static void end_lingering(struct kf_producer *producer)
{
    uint64_t flush_to = atomic_load(&producer->flush_to);
    bool hurry = flush_to != producer->flushed_to || atomic_load(&producer->memory.waiting) > 0;
    producer->flushed_to = flush_to;
    struct kf__link *at = producer->lingering.next;
    struct kf__link *last =
        producer->lingering.previous; /* what goes on lingering comes behind it */
    while (last != &producer->lingering) {
        struct kf__out_partition *partition = KF__OWNER(at, struct kf__out_partition, place);
        bool is_last = at == last;
        if (!hurry && partition->due > producer->now) {
            note_time(producer, partition->due);
            return;
        }
        at = at->next;
        leave_place(partition);
        kf__out_partition_place(producer, partition);
        if (is_last)
            return;
    }
}

static void end_back_offs(struct kf_producer *producer)
{
    struct kf__link *at = producer->backing_off.next;
    while (at != &producer->backing_off) {
        struct kf__out_partition *partition = KF__OWNER(at, struct kf__out_partition, place);
        at = at->next;
        if (partition->due > producer->now)
            note_time(producer, partition->due);
        else
            kf__out_partition_place(producer, partition);
    }
}

/* ---- sending ---- */

/* Its first batch, ready for the wire; NULL: not now. */
static struct kf__out_batch *sendable(struct kf_producer *producer,
                                      struct kf__out_partition *partition)
{
    kf_time due;
    gather_due(producer, partition, kf__link_is_alone(&partition->queue), &due);
    drop_told(producer, partition);
    if (kf__link_is_alone(&partition->queue) || !kf__out_partition_may_send(producer, partition))
        return NULL;
    struct kf__out_batch *batch = KF__OWNER(partition->queue.next, struct kf__out_batch, link);
    if (kf__out_batch_is_held(batch))
        return NULL;
    if (atomic_load_explicit(&batch->sealed, memory_order_acquire))
        return batch;
    bool large = producer->io.settings.compression_type != KF__COMPRESSION_NONE &&
                 kf__out_batch_size(batch) > SMALL_BATCH;
    partition->wants_sealer = large && producer->aside >= MOST_ASIDE;
    if (partition->wants_sealer || (large && kf__producer_seal_aside(producer, batch)))
        return NULL;
    kf__producer_seal(producer, batch);
    return batch;
}

static void fly(struct kf_producer *producer, struct kf__out_batch *batch)
{
    struct kf__out_partition *partition = batch->partition;
    kf__out_batch_stamp(producer, batch);
    kf__link_remove(&batch->link);
    kf__link_append(&partition->flying, &batch->link);
    partition->flying_count++;
    batch->flying = true;
}

/* It may not send now: what ends that places it again. */
static void put_aside(struct kf_producer *producer, struct kf__out_partition *partition)
{
    bool wants_sealer = partition->wants_sealer;
    leave_place(partition);
    if (!wants_sealer)
        return;
    partition->wants_sealer = true;
    kf__link_append(&producer->for_sealer, &partition->place);
}

/* True where one that waited to be compressed is ready again. */
static bool end_wait_for_sealer(struct kf_producer *producer)
{
    if (producer->aside >= MOST_ASIDE || kf__link_is_alone(&producer->for_sealer))
        return false;
    struct kf__out_partition *next =
        KF__OWNER(producer->for_sealer.next, struct kf__out_partition, place);
    leave_place(next);
    kf__out_partition_place(producer, next);
    return true;
}

/* False where the request takes no more. */
static bool add_first(struct kf__out_request *request, struct kf__out_partition *partition)
{
    struct kf_producer *producer = request->producer;
    struct kf__out_batch *batch = sendable(producer, partition);
    if (!batch) {
        put_aside(producer, partition);
        return true;
    }
    size_t most = (size_t)producer->io.settings.max_request_size;
    if (request->count && request->bytes + batch->size > most)
        return false;
    if (kf__out_request_add(request, batch)) {
        note_time(producer, producer->now + NO_MEMORY_WAIT);
        return false;
    }
    leave_place(partition);
    fly(producer, batch);
    return true;
}

static void fill(struct kf__out_request *request, struct kf__out_node *node)
{
    struct kf_producer *producer = request->producer;
    kf_err error;
    while (!kf__link_is_alone(&node->ready)) {
        struct kf__out_partition *partition =
            KF__OWNER(node->ready.next, struct kf__out_partition, place);
        if (kf__out_leader(producer, partition, &error) != node->id) {
            leave_place(partition);
            make_ready(producer, partition);
        } else if (!add_first(request, partition)) {
            return;
        }
    }
}

/* What has more to send goes to the end of the list. */
static void place_again(struct kf__out_request *request)
{
    for (int32_t i = 0; i < request->count; i++)
        kf__out_partition_place(request->producer, request->batches[i]->partition);
}

static void send_to(struct kf_producer *producer, struct kf__out_node *node)
{
    while (node->in_flight < producer->in_flight_max && !kf__link_is_alone(&node->ready)) {
        struct kf__out_request *request = kf__out_request_new(producer, node);
        if (!request) {
            note_time(producer, producer->now + NO_MEMORY_WAIT);
            return;
        }
        fill(request, node);
        if (!request->count) {
            kf__out_request_free(request);
            return;
        }
        place_again(request);
        kf__out_request_send(request);
    }
}

static void send_all(struct kf_producer *producer)
{
    for (struct kf__out_node *node = producer->nodes; node; node = node->next)
        if (node->id >= 0)
            send_to(producer, node);
}

/* ---- one look ---- */

void kf__producer_look(struct kf_producer *producer)
{
    if (atomic_load(&producer->closing))
        return;
    atomic_store(&producer->looks_at, KF_FOREVER);
    producer->now = kf__loop_now(producer->io.loop);
    producer->next = KF_FOREVER;
    kf__producer_add_topics(producer);
    if (take_news(producer)) /* while records come, batches that are opened needn't wake us */
        note_time(producer, producer->now + producer->io.settings.linger_ms * KF_MILLISECOND);
    end_lingering(producer);
    end_back_offs(producer);
    if (atomic_load(&producer->failed)) /* what was let in just before comes behind the others */
        kf__producer_fail_all(producer, producer->fatal.code);
    kf__producer_expire(producer);
    if (kf__producer_has_id(producer))
        do
            send_all(producer);
        while (end_wait_for_sealer(producer));
    if (producer->wants_metadata)
        kf__cluster_refresh(producer->io.cluster);
    producer->wants_metadata = false;
    kf__timer_set(producer->io.loop, &producer->timer, producer->next);
    atomic_store(&producer->looks_at, producer->next);
    kf__producer_wake_teller(producer);
}
