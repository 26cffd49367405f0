#include "tools/broker/txn/txn_coordinator.h"

#include "tools/broker/text.h"

static const kf_time sweep_every = 60 * KF_SECOND;
static const kf_time try_again_after = KF_SECOND; /* what could not be written */

void kf__txns_init(struct kf__txns *txns, const kf_allocator *alloc, struct kf__txn_sink sink)
{
    *txns = (struct kf__txns){.alloc = alloc,
                              .sink = sink,
                              .max_timeout_ms = KF__TXN_MAX_TIMEOUT_MS,
                              .expiration_ms = KF__TXN_EXPIRATION_MS};
}

void kf__txns_free(struct kf__txns *txns)
{
    kf__txns_forget_all(txns);
    kf_free(txns->alloc, txns->items);
    kf__txns_init(txns, txns->alloc, txns->sink);
}

void kf__txns_forget_all(struct kf__txns *txns)
{
    for (size_t i = 0; i < txns->count; i++)
        kf__txn_free(txns->alloc, txns->items[i]);
    txns->count = 0;
}

/* ---- by name ---- */

static size_t place_of(const struct kf__txns *txns, kf_string id)
{
    size_t low = 0, high = txns->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kf__text_compare(txns->items[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kf__txn *kf__txns_find(const struct kf__txns *txns, kf_string id)
{
    size_t at = place_of(txns, id);
    bool here = at < txns->count && kf__text_compare(txns->items[at]->id, id) == 0;
    return here ? txns->items[at] : NULL;
}

/* A new one with a producer id and no epoch yet; NULL when out of memory. */
static struct kf__txn *add_txn(struct kf__txns *txns, kf_string id)
{
    if (txns->count == txns->capacity) {
        size_t capacity = txns->capacity ? txns->capacity * 2 : 8;
        struct kf__txn **items =
            kf_realloc(txns->alloc, txns->items, capacity * sizeof(struct kf__txn *));
        if (!items)
            return NULL;
        txns->items = items;
        txns->capacity = capacity;
    }
    struct kf__txn *txn;
    if (kf__txn_new(txns->alloc, id, &txn))
        return NULL;
    txn->producer_id = txns->sink.new_producer_id(txns->sink.context);
    size_t at = place_of(txns, id);
    memmove(txns->items + at + 1, txns->items + at, (txns->count - at) * sizeof(struct kf__txn *));
    txns->items[at] = txn;
    txns->count++;
    return txn;
}

/* ---- the end of a transaction ---- */

enum {
    CLIENT_V1 = 0, /* as the log tells the versions */
    CLIENT_V2 = 2,
};

/* Written first, and made then. */
static kf_err change(struct kf__txns *txns, struct kf__txn *txn, const struct kf__txn *next,
                     bool must)
{
    kf_err err = txns->sink.write(txns->sink.context, next, txn->producer_id, must);
    if (!err)
        *txn = *next;
    return err;
}

static void complete(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn)
{
    struct kf__txn next = *txn;
    bool committed = txn->state == KF__TXN_PREPARE_COMMIT;
    next.state = committed ? KF__TXN_COMPLETE_COMMIT : KF__TXN_COMPLETE_ABORT;
    next.changed_ms = now.wall_ms;
    if (next.next_producer_id >= 0) {
        next.previous_producer_id = next.producer_id;
        next.producer_id = next.next_producer_id;
        next.next_producer_id = -1;
        next.epoch = 0;
    }
    if (change(txns, txn, &next, true))
        txns->some_end = true;
    else
        kf__txn_clear(txns->alloc, txn);
}

/* Writes what markers it can; the last one completes the transaction. */
static void write_markers(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn)
{
    struct kf__txn_mark mark = {.producer_id = txn->producer_id,
                                .epoch = txn->epoch,
                                .coordinator_epoch = txns->sink.epoch(txns->sink.context, txn->id),
                                .commit = txn->state == KF__TXN_PREPARE_COMMIT};
    for (size_t i = txn->partition_count; i-- > 0;)
        if (txns->sink.mark(txns->sink.context, &mark, &txn->partitions[i]))
            kf__txn_remove(txns->alloc, txn, i);
    if (txn->partition_count == 0)
        complete(txns, now, txn);
    else
        txns->some_end = true;
}

/* `next` is the transaction with what else changes with its end. */
static kf_err settle(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn,
                     struct kf__txn *next, bool commit)
{
    if (next->state != KF__TXN_ONGOING) /* v2 aborts what has not begun */
        next->started_ms = now.wall_ms;
    next->state = commit ? KF__TXN_PREPARE_COMMIT : KF__TXN_PREPARE_ABORT;
    next->changed_ms = now.wall_ms;
    next->deadline = KF_FOREVER;
    kf_err err = change(txns, txn, next, true);
    if (!err)
        write_markers(txns, now, txn);
    return err;
}

/* KIP-890: what the producer writes next has another epoch, and at the end of epochs another id. */
static void bump(struct kf__txns *txns, struct kf__txn *next)
{
    if (kf__epoch_is_exhausted(next->epoch))
        next->next_producer_id = txns->sink.new_producer_id(txns->sink.context);
    next->last_epoch = next->epoch;
    next->epoch = (int16_t)(next->epoch + 1);
}

/* The producer is fenced by an epoch that nobody is given. */
static kf_err fence(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn)
{
    struct kf__txn next = *txn;
    next.last_epoch = next.epoch;
    next.epoch = (int16_t)(next.epoch + 1);
    next.client_version = CLIENT_V2;
    return settle(txns, now, txn, &next, false);
}

/* ---- InitProducerId ---- */

static bool may_go_on(const struct kf__txn *txn, const struct kf__txn_claim *claim)
{
    return claim->producer_id < 0 || txn->epoch < 0 || claim->producer_id == txn->producer_id ||
           (claim->producer_id == txn->previous_producer_id &&
            kf__epoch_is_exhausted(claim->epoch));
}

/* The next epoch: with a claim it goes on from the one claimed, or repeats its last answer. */
static kf_err next_epoch(struct kf__txns *txns, struct kf__txn *txn,
                         const struct kf__txn_claim *claim)
{
    bool claimed = claim->producer_id >= 0;
    if (kf__epoch_is_exhausted(txn->epoch) && (!claimed || claim->epoch == txn->epoch)) {
        txn->previous_producer_id = txn->producer_id;
        txn->producer_id = txns->sink.new_producer_id(txns->sink.context);
        txn->last_epoch = claimed ? txn->epoch : -1;
        txn->epoch = 0;
        return KF_OK;
    }
    if (claimed && txn->epoch >= 0 && claim->epoch != txn->epoch)
        return claim->epoch == txn->last_epoch ? KF_OK : KF_ERR_PRODUCER_FENCED;
    txn->last_epoch = claimed ? txn->epoch : -1;
    txn->epoch = (int16_t)(txn->epoch + 1);
    return KF_OK;
}

static void forget(struct kf__txns *txns, size_t at)
{
    kf__txn_free(txns->alloc, txns->items[at]);
    txns->count--;
    memmove(txns->items + at, txns->items + at + 1, (txns->count - at) * sizeof(struct kf__txn *));
}

static kf_err begin(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn,
                    struct kf__txn_claim *claim, int32_t timeout_ms)
{
    if (kf__txn_is_ending(txn))
        return KF_ERR_CONCURRENT_TRANSACTIONS;
    if (!may_go_on(txn, claim))
        return KF_ERR_PRODUCER_FENCED;
    if (txn->state == KF__TXN_ONGOING) {
        kf_err err = fence(txns, now, txn);
        return err ? err : KF_ERR_CONCURRENT_TRANSACTIONS;
    }
    struct kf__txn next = *txn;
    kf_err err = next_epoch(txns, &next, claim);
    if (err)
        return err;
    next.state = KF__TXN_EMPTY;
    next.timeout_ms = timeout_ms;
    next.started_ms = -1;
    next.changed_ms = now.wall_ms;
    err = change(txns, txn, &next, false);
    claim->producer_id = txn->producer_id;
    claim->epoch = txn->epoch;
    return err;
}

kf_err kf__txns_begin(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn_claim *claim,
                      int32_t timeout_ms)
{
    if (claim->id.size == 0)
        return KF_ERR_INVALID_REQUEST;
    if (timeout_ms <= 0 || timeout_ms > txns->max_timeout_ms)
        return KF_ERR_INVALID_TRANSACTION_TIMEOUT;
    struct kf__txn *txn = kf__txns_find(txns, claim->id);
    if (!txn)
        txn = add_txn(txns, claim->id);
    if (!txn)
        return KF_ERR_NO_MEMORY;
    kf_err err = begin(txns, now, txn, claim, timeout_ms);
    if (err && txn->epoch < 0) /* it has never been anything */
        forget(txns, place_of(txns, claim->id));
    return err;
}

/* ---- partitions ---- */

/* Is it the producer that the id belongs to, and can its transaction grow? */
static kf_err check_claim(const struct kf__txns *txns, const struct kf__txn_claim *claim,
                          struct kf__txn **txn)
{
    if (claim->id.size == 0)
        return KF_ERR_INVALID_REQUEST;
    *txn = kf__txns_find(txns, claim->id);
    if (!*txn)
        return KF_ERR_INVALID_PRODUCER_ID_MAPPING;
    if (kf__txn_is_ending(*txn))
        return KF_ERR_CONCURRENT_TRANSACTIONS;
    if ((*txn)->producer_id != claim->producer_id)
        return KF_ERR_INVALID_PRODUCER_ID_MAPPING;
    if (claim->epoch == INT16_MAX) /* it fences the last producer of the id, and nobody has it */
        return KF_ERR_PRODUCER_FENCED;
    return (*txn)->epoch == claim->epoch ? KF_OK : KF_ERR_PRODUCER_FENCED;
}

/* The copy's list of partitions is another one: this goes with it, whatever `kept` has not. */
static void drop_list(const kf_allocator *alloc, struct kf__txn *copy, const struct kf__txn *kept)
{
    for (size_t i = copy->partition_count; i-- > 0;)
        if (!kf__txn_has(kept, copy->partitions[i].topic, copy->partitions[i].partition))
            kf__txn_remove(alloc, copy, i);
    kf_free(alloc, copy->partitions);
}

/* A copy with a list of its own, whose texts are shared but for those of what comes new. */
static kf_err grow(const kf_allocator *alloc, const struct kf__txn *txn,
                   const struct kf__txn_addition *what, struct kf__txn *next)
{
    *next = *txn;
    next->partitions = kf_alloc_array(alloc, txn->partition_count + 1, sizeof *next->partitions);
    if (!next->partitions)
        return KF_ERR_NO_MEMORY;
    if (txn->partition_count > 0)
        memcpy(next->partitions, txn->partitions, txn->partition_count * sizeof *next->partitions);
    kf_err err = KF_OK;
    for (size_t i = 0; !err && i < what->count; i++)
        err = kf__txn_add(alloc, next, what->partitions[i].topic, what->partitions[i].partition);
    if (err)
        drop_list(alloc, next, txn);
    return err;
}

static bool has_all(const struct kf__txn *txn, const struct kf__txn_addition *what)
{
    for (size_t i = 0; i < what->count; i++)
        if (!kf__txn_has(txn, what->partitions[i].topic, what->partitions[i].partition))
            return false;
    return true;
}

static kf_err add(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn,
                  const struct kf__txn_addition *what)
{
    struct kf__txn next;
    struct kf__txn_partition *old = txn->partitions;
    kf_err err = grow(txns->alloc, txn, what, &next);
    if (err)
        return err;
    next.changed_ms = now.wall_ms;
    next.client_version = what->v2 ? CLIENT_V2 : CLIENT_V1;
    if (txn->state != KF__TXN_ONGOING) {
        next.state = KF__TXN_ONGOING;
        next.started_ms = now.wall_ms;
        next.deadline = now.time + txn->timeout_ms * KF_MILLISECOND;
    }
    err = change(txns, txn, &next, false);
    if (err)
        drop_list(txns->alloc, &next, txn);
    else
        kf_free(txns->alloc, old);
    return err;
}

kf_err kf__txns_add(struct kf__txns *txns, struct kf__txn_now now,
                    const struct kf__txn_claim *claim, const struct kf__txn_addition *what)
{
    struct kf__txn *txn = NULL;
    kf_err err = check_claim(txns, claim, &txn);
    if (err || (txn->state == KF__TXN_ONGOING && has_all(txn, what)))
        return err;
    err = add(txns, now, txn, what);
    if (!err && txn->deadline < txns->due)
        txns->due = txn->deadline;
    return err;
}

kf_err kf__txns_verify(const struct kf__txns *txns, const struct kf__txn_claim *claim,
                       kf_string topic, int32_t partition)
{
    struct kf__txn *txn = NULL;
    kf_err err = check_claim(txns, claim, &txn);
    if (err)
        return err;
    return kf__txn_has(txn, topic, partition) ? KF_OK : KF_ERR_TRANSACTION_ABORTABLE;
}

/* ---- EndTxn ---- */

static bool is_completed(const struct kf__txn *txn, bool commit)
{
    return txn->state == (commit ? KF__TXN_COMPLETE_COMMIT : KF__TXN_COMPLETE_ABORT);
}

static kf_err end_v1(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn,
                     const struct kf__txn_claim *claim, bool commit)
{
    if (txn->producer_id != claim->producer_id)
        return KF_ERR_INVALID_PRODUCER_ID_MAPPING;
    if (txn->epoch != claim->epoch)
        return KF_ERR_PRODUCER_FENCED;
    if (kf__txn_is_ending(txn))
        return KF_ERR_CONCURRENT_TRANSACTIONS;
    if (txn->state != KF__TXN_ONGOING)
        return is_completed(txn, commit) ? KF_OK : KF_ERR_INVALID_TXN_STATE;
    struct kf__txn next = *txn;
    next.client_version = CLIENT_V1;
    return settle(txns, now, txn, &next, commit);
}

/* The answer to the same request was lost: the epoch has gone on since. */
static bool is_retry(const struct kf__txn *txn, const struct kf__txn_claim *claim)
{
    if (txn->state != KF__TXN_COMPLETE_COMMIT && txn->state != KF__TXN_COMPLETE_ABORT)
        return false;
    if (claim->producer_id == txn->producer_id)
        return txn->epoch == claim->epoch + 1;
    return claim->producer_id == txn->previous_producer_id && claim->epoch == INT16_MAX - 1 &&
           txn->epoch == 0;
}

static kf_err end_v2(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn,
                     struct kf__txn_claim *claim, bool commit)
{
    bool retry = is_retry(txn, claim);
    if (kf__txn_is_ending(txn))
        return KF_ERR_CONCURRENT_TRANSACTIONS;
    if (!retry && txn->producer_id != claim->producer_id)
        return KF_ERR_INVALID_PRODUCER_ID_MAPPING;
    if (!retry && (txn->epoch != claim->epoch || claim->epoch == INT16_MAX))
        return KF_ERR_PRODUCER_FENCED;
    if (retry && !is_completed(txn, commit))
        return KF_ERR_INVALID_TXN_STATE;
    if (!retry) {
        if (txn->state != KF__TXN_ONGOING && commit)
            return KF_ERR_INVALID_TXN_STATE;
        struct kf__txn next = *txn;
        bump(txns, &next);
        next.client_version = CLIENT_V2;
        kf_err err = settle(txns, now, txn, &next, commit);
        if (err)
            return err;
    }
    bool rotates = txn->next_producer_id >= 0; /* markers are still being written */
    claim->producer_id = rotates ? txn->next_producer_id : txn->producer_id;
    claim->epoch = rotates ? 0 : txn->epoch;
    return KF_OK;
}

kf_err kf__txns_end(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn_claim *claim,
                    bool commit, bool v2)
{
    if (claim->id.size == 0)
        return KF_ERR_INVALID_REQUEST;
    struct kf__txn *txn = kf__txns_find(txns, claim->id);
    if (!txn)
        return KF_ERR_INVALID_PRODUCER_ID_MAPPING;
    return v2 ? end_v2(txns, now, txn, claim, commit) : end_v1(txns, now, txn, claim, commit);
}

/* ---- time ---- */

static bool is_expired(const struct kf__txns *txns, const struct kf__txn *txn,
                       struct kf__txn_now now)
{
    return txn->state != KF__TXN_ONGOING && !kf__txn_is_ending(txn) &&
           txn->changed_ms <= now.wall_ms - txns->expiration_ms;
}

static void visit(struct kf__txns *txns, struct kf__txn_now now, size_t at)
{
    struct kf__txn *txn = txns->items[at];
    if (kf__txn_is_ending(txn))
        write_markers(txns, now, txn);
    else if (txn->deadline <= now.time && fence(txns, now, txn))
        txn->deadline = now.time + try_again_after;
    if (txn->deadline < txns->due)
        txns->due = txn->deadline;
    if (is_expired(txns, txn, now) && !txns->sink.forget(txns->sink.context, txn->id))
        forget(txns, at);
}

/* Cheap while there is nothing to do: it is called at every turn of the broker. */
void kf__txns_tick(struct kf__txns *txns, struct kf__txn_now now)
{
    if (now.time < txns->due && now.time < txns->sweep && !txns->some_end)
        return;
    txns->due = KF_FOREVER;
    txns->sweep = now.time + sweep_every;
    txns->some_end = false;
    for (size_t i = txns->count; i-- > 0;)
        visit(txns, now, i);
}

kf_time kf__txns_deadline(const struct kf__txns *txns) { return txns->due; }
