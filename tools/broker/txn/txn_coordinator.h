/*
 * txn_coordinator: who may go on with which transactional id, and how its
 * transactions end, as Kafka's transaction coordinator decides it (KIP-98,
 * KIP-360, KIP-890).
 *
 * Two versions of the protocol live side by side. v1: the client adds
 * partitions and keeps its epoch over many transactions. v2 (KIP-890):
 * Produce and TxnOffsetCommit add them, and each end bumps the epoch, so that
 * what a late request carries is told from the next transaction.
 *
 * Pure: requests and time go in; each change goes to the sink's log before it
 * is made, and markers come out through the sink, at once or from a later tick. Called by the API
 * files and by the server's turns.
 */
#ifndef KF_BROKER_TXN_COORDINATOR_H
#define KF_BROKER_TXN_COORDINATOR_H

#include "tools/broker/txn/txn.h"

enum {
    KF__TXN_MAX_TIMEOUT_MS = 900000,   /* transaction.max.timeout.ms: Kafka's default */
    KF__TXN_EXPIRATION_MS = 604800000, /* transactional.id.expiration.ms: Kafka's default */
};

/* A marker for one partition. */
struct kf__txn_mark {
    int64_t producer_id;
    int16_t epoch;
    int32_t coordinator_epoch;
    bool commit;
};

struct kf__txn_sink {
    void *context;
    int64_t (*new_producer_id)(void *context);
    /* Of the id's coordinator: it rises when that moves. */
    int32_t (*epoch)(void *context, kf_string id);
    /*
     * What the id is going to be; on an error it stays what it is. `before` is its producer id so
     * far. `must`: what ends a transaction is not refused for lack of room.
     */
    kf_err (*write)(void *context, const struct kf__txn *next, int64_t before, bool must);
    /* The id is going to be forgotten; on an error it stays. */
    kf_err (*forget)(void *context, kf_string id);
    /* False: it cannot be written now (no leader); it is tried again at the next tick. */
    bool (*mark)(void *context, const struct kf__txn_mark *mark,
                 const struct kf__txn_partition *partition);
};

struct kf__txns {
    const kf_allocator *alloc;
    struct kf__txn_sink sink;
    int32_t max_timeout_ms; /* transaction.max.timeout.ms */
    int64_t expiration_ms;  /* transactional.id.expiration.ms */
    struct kf__txn **items; /* by id */
    size_t count;
    size_t capacity;
    bool some_end; /* markers may be missing: look at every tick */
    kf_time due;   /* no transaction times out earlier; 0 at first: look */
    kf_time sweep; /* when unused ids are looked for again */
};

/* Who a request says it is. */
struct kf__txn_claim {
    kf_string id;
    int64_t producer_id;
    int16_t epoch;
};

/* When a request is handled: by both clocks. */
struct kf__txn_now {
    kf_time time;
    int64_t wall_ms;
};

void kf__txns_init(struct kf__txns *txns, const kf_allocator *alloc, struct kf__txn_sink sink);
void kf__txns_free(struct kf__txns *txns);
/* As if no id had ever been asked for. */
void kf__txns_forget_all(struct kf__txns *txns);
struct kf__txn *kf__txns_find(const struct kf__txns *txns, kf_string id);

/*
 * InitProducerId: claim -1, -1 where the producer has no id yet; it receives
 * what the answer says. INVALID_REQUEST, INVALID_TRANSACTION_TIMEOUT,
 * PRODUCER_FENCED, CONCURRENT_TRANSACTIONS: also where an open transaction
 * was just aborted, so that the client comes again.
 */
kf_err kf__txns_begin(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn_claim *claim,
                      int32_t timeout_ms);
/* What a transaction is going to write to. */
struct kf__txn_addition {
    const struct kf__txn_partition *partitions;
    size_t count;
    bool v2; /* nobody asked for it: something was written there (KIP-890) */
};
/*
 * All of them or none. INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS,
 * INVALID_REQUEST.
 */
kf_err kf__txns_add(struct kf__txns *txns, struct kf__txn_now now,
                    const struct kf__txn_claim *claim, const struct kf__txn_addition *what);
/* The same without adding; TRANSACTION_ABORTABLE where it has not been added. */
kf_err kf__txns_verify(const struct kf__txns *txns, const struct kf__txn_claim *claim,
                       kf_string topic, int32_t partition);
/* EndTxn. v2: the claim receives the id and epoch to go on with. Also INVALID_TXN_STATE. */
kf_err kf__txns_end(struct kf__txns *txns, struct kf__txn_now now, struct kf__txn_claim *claim,
                    bool commit, bool v2);

/* Aborts what has timed out; writes markers that could not be written; forgets unused ids. */
void kf__txns_tick(struct kf__txns *txns, struct kf__txn_now now);
/* Not later than the next transaction times out. */
kf_time kf__txns_deadline(const struct kf__txns *txns);

#endif
