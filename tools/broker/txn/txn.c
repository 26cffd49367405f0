#include "tools/broker/txn/txn.h"

#include "tools/broker/text.h"

static const char *const names[] = {
    [KF__TXN_EMPTY] = "Empty",
    [KF__TXN_ONGOING] = "Ongoing",
    [KF__TXN_PREPARE_COMMIT] = "PrepareCommit",
    [KF__TXN_PREPARE_ABORT] = "PrepareAbort",
    [KF__TXN_COMPLETE_COMMIT] = "CompleteCommit",
    [KF__TXN_COMPLETE_ABORT] = "CompleteAbort",
};

const char *kf__txn_state_name(enum kf__txn_state state) { return names[state]; }

bool kf__txn_state_by_name(kf_string name, enum kf__txn_state *state)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (kf__text_equal(name, kf__text(names[i]))) {
            *state = (enum kf__txn_state)i;
            return true;
        }
    return false;
}

bool kf__txn_is_ending(const struct kf__txn *txn)
{
    return txn->state == KF__TXN_PREPARE_COMMIT || txn->state == KF__TXN_PREPARE_ABORT;
}

bool kf__epoch_is_exhausted(int16_t epoch) { return epoch >= INT16_MAX - 1; }

kf_err kf__txn_new(const kf_allocator *alloc, kf_string id, struct kf__txn **txn)
{
    struct kf__txn *created = kf_alloc_zero(alloc, sizeof *created);
    if (!created)
        return KF_ERR_NO_MEMORY;
    if (kf__text_copy(alloc, id, &created->id)) {
        kf_free(alloc, created);
        return KF_ERR_NO_MEMORY;
    }
    created->producer_id = created->previous_producer_id = created->next_producer_id = -1;
    created->epoch = created->last_epoch = -1;
    created->started_ms = created->changed_ms = -1;
    created->deadline = KF_FOREVER;
    *txn = created;
    return KF_OK;
}

void kf__txn_free(const kf_allocator *alloc, struct kf__txn *txn)
{
    kf__txn_clear(alloc, txn);
    kf__text_free(alloc, &txn->id);
    kf_free(alloc, txn);
}

static int compare(const struct kf__txn_partition *a, kf_string topic, int32_t partition)
{
    int order = kf__text_compare(a->topic, topic);
    return order != 0 ? order : (a->partition > partition) - (a->partition < partition);
}

/* Where the partition is, or would be. */
static size_t place_of(const struct kf__txn *txn, kf_string topic, int32_t partition)
{
    size_t low = 0, high = txn->partition_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&txn->partitions[middle], topic, partition) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool kf__txn_has(const struct kf__txn *txn, kf_string topic, int32_t partition)
{
    size_t at = place_of(txn, topic, partition);
    return at < txn->partition_count && compare(&txn->partitions[at], topic, partition) == 0;
}

kf_err kf__txn_add(const kf_allocator *alloc, struct kf__txn *txn, kf_string topic,
                   int32_t partition)
{
    if (kf__txn_has(txn, topic, partition))
        return KF_OK;
    struct kf__txn_partition *grown =
        kf_realloc(alloc, txn->partitions, (txn->partition_count + 1) * sizeof *grown);
    if (!grown)
        return KF_ERR_NO_MEMORY;
    txn->partitions = grown;
    struct kf__txn_partition added = {.partition = partition};
    kf_err err = kf__text_copy(alloc, topic, &added.topic);
    if (err)
        return err;
    size_t at = place_of(txn, topic, partition);
    memmove(grown + at + 1, grown + at, (txn->partition_count - at) * sizeof *grown);
    grown[at] = added;
    txn->partition_count++;
    return KF_OK;
}

void kf__txn_remove(const kf_allocator *alloc, struct kf__txn *txn, size_t index)
{
    struct kf__txn_partition *gone = &txn->partitions[index];
    kf__text_free(alloc, &gone->topic);
    txn->partition_count--;
    memmove(gone, gone + 1, (txn->partition_count - index) * sizeof *gone);
}

void kf__txn_clear(const kf_allocator *alloc, struct kf__txn *txn)
{
    for (size_t i = 0; i < txn->partition_count; i++)
        kf__text_free(alloc, &txn->partitions[i].topic);
    kf_free(alloc, txn->partitions);
    txn->partitions = NULL;
    txn->partition_count = 0;
}
