#include "tools/broker/txn/txn_coordinator.h"

#include "tools/broker/text.h"

static const kf_time sweep_every = 60 * KF_SECOND;

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

static void complete(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn)
{
    bool committed = txn->state == KF__TXN_PREPARE_COMMIT;
    txn->state = committed ? KF__TXN_COMPLETE_COMMIT : KF__TXN_COMPLETE_ABORT;
    txn->changed_ms = now.wall_ms;
    kf__txn_clear(txns->alloc, txn);
    if (txn->next_producer_id < 0)
        return;
    txn->previous_producer_id = txn->producer_id;
    txn->producer_id = txn->next_producer_id;
    txn->next_producer_id = -1;
    txn->epoch = 0;
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

static void settle(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn, bool commit)
{
    if (txn->state != KF__TXN_ONGOING) /* v2 aborts what has not begun */
        txn->started_ms = now.wall_ms;
    txn->state = commit ? KF__TXN_PREPARE_COMMIT : KF__TXN_PREPARE_ABORT;
    txn->deadline = KF_FOREVER;
    write_markers(txns, now, txn);
}

/* KIP-890: what the producer writes next has another epoch, and at the end of epochs another id. */
static void bump(struct kf__txns *txns, struct kf__txn *txn)
{
    if (kf__epoch_is_exhausted(txn->epoch))
        txn->next_producer_id = txns->sink.new_producer_id(txns->sink.context);
    txn->last_epoch = txn->epoch;
    txn->epoch = (int16_t)(txn->epoch + 1);
}

/* The producer is fenced by an epoch that nobody is given. */
static void fence(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn *txn)
{
    txn->last_epoch = txn->epoch;
    txn->epoch = (int16_t)(txn->epoch + 1);
    settle(txns, now, txn, false);
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
    if (kf__txn_is_ending(txn))
        return KF_ERR_CONCURRENT_TRANSACTIONS;
    if (!may_go_on(txn, claim))
        return KF_ERR_PRODUCER_FENCED;
    if (txn->state == KF__TXN_ONGOING) {
        fence(txns, now, txn);
        return KF_ERR_CONCURRENT_TRANSACTIONS;
    }
    kf_err err = next_epoch(txns, txn, claim);
    if (err)
        return err;
    txn->state = KF__TXN_EMPTY;
    txn->timeout_ms = timeout_ms;
    txn->started_ms = -1;
    txn->changed_ms = now.wall_ms;
    claim->producer_id = txn->producer_id;
    claim->epoch = txn->epoch;
    return KF_OK;
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

kf_err kf__txns_add(struct kf__txns *txns, struct kf__txn_now now,
                    const struct kf__txn_claim *claim, kf_string topic, int32_t partition)
{
    struct kf__txn *txn = NULL;
    kf_err err = check_claim(txns, claim, &txn);
    if (!err)
        err = kf__txn_add(txns->alloc, txn, topic, partition);
    if (err)
        return err;
    txn->changed_ms = now.wall_ms;
    if (txn->state == KF__TXN_ONGOING)
        return KF_OK;
    txn->state = KF__TXN_ONGOING;
    txn->started_ms = now.wall_ms;
    txn->deadline = now.time + txn->timeout_ms * KF_MILLISECOND;
    if (txn->deadline < txns->due)
        txns->due = txn->deadline;
    return KF_OK;
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
    settle(txns, now, txn, commit);
    return KF_OK;
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
        bump(txns, txn);
        settle(txns, now, txn, commit);
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
           now.wall_ms - txn->changed_ms >= txns->expiration_ms;
}

static void forget(struct kf__txns *txns, size_t at)
{
    kf__txn_free(txns->alloc, txns->items[at]);
    txns->count--;
    memmove(txns->items + at, txns->items + at + 1, (txns->count - at) * sizeof(struct kf__txn *));
}

static void visit(struct kf__txns *txns, struct kf__txn_now now, size_t at)
{
    struct kf__txn *txn = txns->items[at];
    if (kf__txn_is_ending(txn))
        write_markers(txns, now, txn);
    else if (txn->deadline <= now.time)
        fence(txns, now, txn);
    if (txn->deadline < txns->due)
        txns->due = txn->deadline;
    if (is_expired(txns, txn, now))
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
