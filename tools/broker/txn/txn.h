/*
 * txn: one transactional id as data: who its producer is, in which epoch, and
 * what its transaction writes to (KIP-98, KIP-360, KIP-890).
 *
 *               add                 end                  all marked
 *     EMPTY ──────────▶ ONGOING ──────────▶ PREPARE_… ─────────────▶ COMPLETE_…
 *       ▲                 ▲  COMMIT | ABORT, timeout, fencing           │  │
 *       │                 └──────────────────── add ────────────────────┘  │
 *       └───────────────────── InitProducerId ─────────────────────────────┘
 *
 * It decides nothing: txn_coordinator.c does. Pure.
 */
#ifndef KF_BROKER_TXN_H
#define KF_BROKER_TXN_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>

enum kf__txn_state {
    KF__TXN_EMPTY,
    KF__TXN_ONGOING,
    KF__TXN_PREPARE_COMMIT, /* markers are being written; the outcome is settled */
    KF__TXN_PREPARE_ABORT,
    KF__TXN_COMPLETE_COMMIT,
    KF__TXN_COMPLETE_ABORT,
};

/* What a transaction writes to; a group's offsets are a partition of __consumer_offsets. */
struct kf__txn_partition {
    kf_string topic;
    int32_t partition;
};

struct kf__txn {
    kf_string id;
    enum kf__txn_state state;
    int64_t producer_id;
    int16_t epoch;      /* -1: not given out yet */
    int16_t last_epoch; /* before the last change by its own producer; -1: none */
    int64_t previous_producer_id;
    int64_t next_producer_id; /* PREPARE: what follows an exhausted epoch; -1: the same */
    int16_t client_version;   /* of transactions (KIP-890), of the last change: 0 or 2 */
    int32_t timeout_ms;
    int64_t started_ms;                   /* wall clock; -1: none */
    int64_t changed_ms;                   /* wall clock */
    kf_time deadline;                     /* ONGOING: when it is aborted; else KF_FOREVER */
    struct kf__txn_partition *partitions; /* in order; PREPARE: those not yet marked */
    size_t partition_count;
};

/* Kafka's names: "Empty", "Ongoing", … */
const char *kf__txn_state_name(enum kf__txn_state state);
bool kf__txn_state_by_name(kf_string name, enum kf__txn_state *state);
bool kf__txn_is_ending(const struct kf__txn *txn);

/* Epochs end two before the largest, so that a fenced producer still has one to be fenced with. */
bool kf__epoch_is_exhausted(int16_t epoch);

kf_err kf__txn_new(const kf_allocator *alloc, kf_string id, struct kf__txn **txn);
void kf__txn_free(const kf_allocator *alloc, struct kf__txn *txn);

bool kf__txn_has(const struct kf__txn *txn, kf_string topic, int32_t partition);
/* Adding what it has is KF_OK. */
kf_err kf__txn_add(const kf_allocator *alloc, struct kf__txn *txn, kf_string topic,
                   int32_t partition);
void kf__txn_remove(const kf_allocator *alloc, struct kf__txn *txn, size_t index);
void kf__txn_clear(const kf_allocator *alloc, struct kf__txn *txn);

#endif
