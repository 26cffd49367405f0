/*
 * sticky: where records go whose key decides nothing (KIP-794).
 *
 *   stays on a partition until it has its share of bytes ──moves──▶ another, at random,
 *   and its batch is full                                          the less waits there the
 * likelier
 *
 * So batches fill and all partitions get the same number of bytes, unless a
 * broker is slow: what waits for it makes its partitions less likely. One
 * partition may be drawn twice in a row, as in Java.
 *
 * Pure: no clock, no lock, no cluster. Called by producer_partition.c.
 */
#ifndef KF_RUNTIME_STICKY_H
#define KF_RUNTIME_STICKY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kf__sticky {
    int32_t partition; /* -1: none yet */
    size_t bytes;      /* given to it since it was chosen */
};

/*
 * Whether the next record goes where the last one went. `has_room`: it still
 * fits into the partition's open batch; then the share may be passed, at
 * most once more, so that no half-filled batch is left behind.
 */
bool kf__sticky_stays(const struct kf__sticky *sticky, size_t share, bool has_room);

/* A topic as it is when a move is due. Arrays by partition. */
struct kf__sticky_view {
    const int32_t *waiting; /* batches that wait to be sent; -1: not to be chosen */
    const bool *near;       /* the leader stands in the client's rack (KIP-1123); NULL: no matter */
    int32_t partitions;     /* > 0 */
};

/*
 * Moves to a partition drawn by `random`; of those near, where one of them
 * may be chosen. Where none may be chosen, any.
 */
void kf__sticky_move(struct kf__sticky *sticky, const struct kf__sticky_view *view,
                     uint64_t random);

#endif
