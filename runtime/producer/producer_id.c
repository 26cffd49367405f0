/*
 * producer_id: the idempotent producer (KIP-98, KIP-360): an id and an epoch
 * for the producer, a sequence for each record of a partition.
 *
 *   NONE ──first record──▶ ASKED ──InitProducerId──▶ READY ──bump──▶ READY, epoch + 1
 *                            ▲                         │
 *                            └──── epochs used up ─────┘
 *
 * A batch gets its sequence when it leaves for the first time, and keeps it
 * with every byte through all retries. Where the order is broken for good (a
 * batch was refused or given up, or the broker has forgotten us) the
 * partition waits until nothing of it flies, and begins again at sequence 0
 * under a fresh epoch. Others go on under theirs until they have nothing
 * under way. Transactions will ask here for an id of their own and bump it
 * with EndTxn.
 */
#include "runtime/producer/producer_inside.h"

#include "net/conn/calls.h"
#include "net/loop/times.h"
#include <kafiber/messages.h>

enum {
    NEWEST_VERSION = 5, /* v6 serves two-phase commit, and is advertised where it is unstable */
};

/* ---- asking for one ---- */

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)call;
    (void)version;
    struct kf_init_producer_id_request *request = kf_arena_alloc(arena, sizeof *request);
    if (!request)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_init_producer_id_request, request);
    request->transactional_id = (kf_string){NULL, 0};
    request->transaction_timeout_ms = INT32_MAX;
    *message = request;
    return KF_OK;
}

static void try_later(struct kf_producer *producer, kf_err err)
{
    const struct kf__settings *settings = &producer->io.settings;
    const struct kf__world *world = kf__loop_world(producer->io.loop);
    producer->id_state = KF__ID_NONE;
    producer->id_error = err;
    producer->id_at = kf__loop_now(producer->io.loop) +
                      kf__back_off(settings->retry_backoff_ms * KF_MILLISECOND,
                                   settings->retry_backoff_max_ms * KF_MILLISECOND,
                                   producer->id_attempts++, world->random(world->context));
}

static void give_up(struct kf_producer *producer, kf_err err)
{
    producer->id_state = KF__ID_FAILED;
    pthread_mutex_lock(&producer->lock);
    kf_error_set(&producer->fatal, err,
                 "no producer id: %s; enable.idempotence=false does without, and then a retry may "
                 "store a record twice",
                 kf_err_text(err));
    pthread_mutex_unlock(&producer->lock);
    atomic_store(&producer->failed, true);
    atomic_store(&producer->not_plain, true);
    kf__producer_fail_all(producer, err);
}

static void take_id(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf_producer *producer = call->owner;
    if (err == KF_ERR_CLOSED)
        return;
    const struct kf_init_producer_id_response *response = answer ? answer->message : NULL;
    if (response)
        err = response->error_code;
    if (!err && response->producer_id < 0)
        err = KF_ERR_UNKNOWN_SERVER_ERROR;
    if (!err) {
        producer->id_state = KF__ID_READY;
        producer->id = (struct kf__out_identity){response->producer_id, response->producer_epoch};
        producer->id_attempts = 0;
        kf__producer_place_all(producer);
    } else if (kf_err_retriable(err) || err == KF_ERR_NO_MEMORY) {
        try_later(producer, err);
    } else {
        give_up(producer, err);
    }
    kf__producer_look(producer);
}

static void ask(struct kf_producer *producer)
{
    producer->id_state = KF__ID_ASKED;
    producer->id_call = (struct kf__call){
        .api_key = KF_API_INIT_PRODUCER_ID,
        .max_version = NEWEST_VERSION,
        .min_version = -1,
        .deadline = KF_FOREVER,
        .build = build,
        .done = take_id,
        .owner = producer,
    };
    kf__cluster_send(producer->io.cluster, KF__NODE_ANY, KF__LANE_CONTROL, &producer->id_call);
}

bool kf__producer_has_id(struct kf_producer *producer)
{
    if (producer->id_state == KF__ID_READY || producer->id_state == KF__ID_NEVER)
        return true;
    if (producer->id_state != KF__ID_NONE)
        return false;
    pthread_mutex_lock(&producer->lock);
    bool wanted =
        !kf__link_is_alone(&producer->unfinished) || !kf__link_is_alone(&producer->for_topics);
    pthread_mutex_unlock(&producer->lock);
    if (!wanted)
        return false;
    if (producer->id_at <= producer->now)
        ask(producer);
    else if (producer->id_at < producer->next)
        producer->next = producer->id_at;
    return false;
}

void kf__producer_stop_id(struct kf_producer *producer)
{
    if (kf__call_is_under_way(&producer->id_call))
        kf__call_cancel(&producer->id_call);
}

/* ---- sequences ---- */

static struct kf__out_batch *first_of(const struct kf__link *list)
{
    return kf__link_is_alone(list) ? NULL : KF__OWNER(list->next, struct kf__out_batch, link);
}

/* Whether `a` stands before `b`, counting round INT32_MAX. */
static bool precedes(int32_t a, int32_t b)
{
    return (((uint32_t)b - (uint32_t)a) & INT32_MAX) < INT32_MAX / 2 && a != b;
}

static bool is_next(const struct kf__out_partition *partition, int32_t sequence)
{
    return sequence ==
           (partition->last_acked < 0 ? 0 : kf__sequence_after(partition->last_acked, 1));
}

static int32_t last_of(const struct kf__out_batch *batch)
{
    return kf__sequence_after(batch->sequence, batch->count - 1);
}

/* A bump is the producer's own affair (as in Java); the broker learns of it by the next batch. */
static bool bump(struct kf_producer *producer)
{
    if (producer->id.epoch == INT16_MAX) {
        producer->id_state = KF__ID_NONE;
        producer->id_at = 0;
        ask(producer);
        return false;
    }
    producer->id.epoch++;
    return true;
}

/* Nothing flies: all that waits gets new places. False: the new identity is not here yet. */
static bool begin_anew(struct kf_producer *producer, struct kf__out_partition *partition)
{
    if (kf__same_identity(partition->id, producer->id) && partition->id.producer_id >= 0 &&
        !bump(producer))
        return false;
    partition->renew = false;
    partition->id = producer->id;
    partition->next_sequence = 0;
    partition->last_acked = partition->unresolved = -1;
    for (struct kf__link *at = partition->queue.next; at != &partition->queue; at = at->next)
        KF__OWNER(at, struct kf__out_batch, link)->sequence = -1;
    return true;
}

/* Nothing flies and nothing was sent before: is the order whole? */
static void resolve(struct kf__out_partition *partition)
{
    if (partition->unresolved >= 0 && !is_next(partition, partition->next_sequence))
        partition->renew = true;
    partition->unresolved = -1;
}

/*
 * A broker that has never heard of a producer takes any sequence for its
 * first: were the very first batch refused while others follow it, one of
 * those would be stored before it. So it goes alone.
 */
static int32_t most_flying(const struct kf__out_partition *partition)
{
    return partition->last_acked < 0 ? 1 : KF__OUT_IDEMPOTENT_MAX;
}

static bool may_send_idempotent(struct kf_producer *producer, struct kf__out_partition *partition)
{
    const struct kf__out_batch *first = first_of(&partition->queue);
    const struct kf__out_batch *ahead = first_of(&partition->flying);
    bool sent_before = first->sequence >= 0;
    if (partition->renew && ahead)
        return false;
    if (!ahead && !sent_before && !partition->renew)
        resolve(partition);
    bool stale = !sent_before && !ahead && !kf__same_identity(partition->id, producer->id);
    if ((partition->renew || stale) && !begin_anew(producer, partition))
        return false;
    if (first->sequence >= 0) /* again, and only once all before it are settled */
        return !ahead || precedes(first->sequence, ahead->sequence);
    return partition->unresolved < 0 && partition->flying_count < most_flying(partition);
}

/* Whether its batches in flight, if any, are at the node where the next one goes. */
static bool flies_elsewhere(const struct kf__out_partition *partition)
{
    const struct kf__out_batch *ahead = first_of(&partition->flying);
    return ahead && ahead->node != partition->node;
}

bool kf__out_partition_may_send(struct kf_producer *producer, struct kf__out_partition *partition)
{
    if (producer->id_state == KF__ID_NEVER) /* one at a time: so order survives retries */
        return partition->flying_count == 0;
    return producer->id_state == KF__ID_READY && !flies_elsewhere(partition) &&
           may_send_idempotent(producer, partition);
}

void kf__out_batch_stamp(struct kf_producer *producer, struct kf__out_batch *batch)
{
    struct kf__out_partition *partition = batch->partition;
    batch->node = partition->node;
    if (batch->sequence >= 0)
        return; /* not a byte changes */
    if (producer->id_state == KF__ID_NEVER) {
        kf__out_batch_restamp(batch, (struct kf__out_identity){-1, -1}, 0);
        return;
    }
    kf__out_batch_restamp(batch, partition->id, partition->next_sequence);
    partition->next_sequence = kf__sequence_after(batch->sequence, batch->count);
}

struct kf__link *kf__out_place_in_order(const struct kf__out_batch *batch)
{
    struct kf__link *at = batch->partition->queue.next;
    for (; at != &batch->partition->queue; at = at->next) {
        const struct kf__out_batch *other = KF__OWNER(at, struct kf__out_batch, link);
        if (other->sequence < 0 || !precedes(other->sequence, batch->sequence))
            break;
    }
    return at;
}

static bool counts(const struct kf__out_batch *batch)
{
    return batch->sequence >= 0 && batch->id.producer_id >= 0 &&
           kf__same_identity(batch->id, batch->partition->id);
}

/* One that is told late, after those behind it, doesn't turn the clock back. */
void kf__out_sequence_acked(struct kf__out_batch *batch)
{
    struct kf__out_partition *partition = batch->partition;
    if (counts(batch) &&
        (partition->last_acked < 0 || precedes(partition->last_acked, last_of(batch))))
        partition->last_acked = last_of(batch);
}

/*
 * The broker took what came behind it, under the same epoch, which it does
 * only behind this: so an attempt whose end nobody told us of has stored it.
 * A broker says "out of order" of it, rather than "duplicate", where it knows
 * the last batch alone, as after a restart.
 */
bool kf__out_sequence_passed(const struct kf__out_batch *batch, kf_err err)
{
    int32_t last_acked = batch->partition->last_acked;
    return err == KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER && batch->doubt && counts(batch) &&
           last_acked >= 0 && !precedes(last_acked, batch->sequence);
}

void kf__out_sequence_lost(struct kf__out_batch *batch)
{
    struct kf__out_partition *partition = batch->partition;
    if (counts(batch) &&
        (partition->unresolved < 0 || precedes(partition->unresolved, last_of(batch))))
        partition->unresolved = last_of(batch);
}

/*
 * As Java's TransactionManager.canRetry: a batch that is out of order because
 * one before it is on its way again just waits; one that is next in line, and
 * still refused, shows a gap that only a fresh epoch cures.
 */
bool kf__out_sequence_cured(struct kf__out_batch *batch, kf_err err, int64_t log_start)
{
    struct kf__out_partition *partition = batch->partition;
    if (!counts(batch))
        return batch->id.producer_id >= 0;
    if (err == KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER && partition->last_acked >= 0 &&
        !precedes(partition->last_acked, batch->sequence))
        return false; /* what came after it is stored: to store it now would break the order */
    bool unresolved = partition->unresolved >= 0;
    bool gap = unresolved ? batch->sequence == kf__sequence_after(partition->unresolved, 1)
                          : is_next(partition, batch->sequence);
    if (err == KF_ERR_UNKNOWN_PRODUCER_ID)
        gap = log_start != -1;
    partition->renew |= gap || err == KF_ERR_INVALID_PRODUCER_EPOCH;
    return true;
}
