/*
 * aborted: where aborted transactions lie in a partition's log, so that who
 * reads committed can be told what to skip (KIP-98). Pure. Called by
 * txn_log.c and api/fetch.c.
 */
#ifndef KF_BROKER_ABORTED_H
#define KF_BROKER_ABORTED_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kf__aborted_txn {
    int64_t producer_id;
    int64_t first_offset;
    int64_t last_offset; /* of its marker */
};

/* In the order of their markers. */
struct kf__aborted {
    struct kf__aborted_txn *items;
    size_t count;
    size_t capacity;
};

void kf__aborted_free(struct kf__aborted *aborted, const kf_allocator *alloc);
/* Makes room, so that noting it afterwards cannot fail. */
kf_err kf__aborted_reserve(struct kf__aborted *aborted, const kf_allocator *alloc);
void kf__aborted_note(struct kf__aborted *aborted, const struct kf__aborted_txn *txn);

/* Does it touch the offsets from `from` on, below `below`? */
static inline bool kf__aborted_touches(const struct kf__aborted_txn *txn, int64_t from,
                                       int64_t below)
{
    return txn->last_offset >= from && txn->first_offset < below;
}

/* Forgets what ends at or after the log's new end: those transactions are open again. */
void kf__aborted_truncate(struct kf__aborted *aborted, int64_t end);
/* Forgets what ends before the log's start. */
void kf__aborted_delete_before(struct kf__aborted *aborted, int64_t offset);

#endif
