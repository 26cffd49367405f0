/*
 * offsets: per partition, what is done, what is committed, what a commit
 * under way covers. Pure bookkeeping for the driver that sends OffsetCommit.
 *
 *   done ≥ in flight ≥ committed        (offsets of the next record)
 *
 * A committed offset never passes the lowest unfinished record: `done` is the
 * caller's word for exactly that bound.
 */
#ifndef KF_GROUP_OFFSETS_H
#define KF_GROUP_OFFSETS_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>

/* One partition's account. Embedded; threaded into the tracker's list while dirty. */
struct kf__offset {
    int64_t done;       /* next offset that is not done; -1: nothing known */
    int64_t in_flight;  /* offset in the commit under way; -1: none */
    int64_t committed;  /* acknowledged; -1: none known */
    int32_t done_epoch; /* leader epoch of the last done record; -1 */
    kf_err last_error;  /* of the last commit of this partition */
    bool dirty;         /* in the tracker's list */
    bool closed;        /* removed: no more commits */
    struct kf__offset *next;
    struct kf__offset *previous;
    void *owner;
};

/* All partitions with something to commit; one commit is in flight at a time. */
struct kf__offsets {
    struct kf__offset *dirty_first;
    struct kf__offset *dirty_last;
    size_t dirty_count;
    size_t in_flight_count;
    kf_time first_change; /* when the oldest uncommitted change was noted; KF_FOREVER: none */
};

void kf__offsets_init(struct kf__offsets *offsets);
/* `committed`: the position to begin with, as the group has it (-1: none). */
void kf__offset_open(struct kf__offset *offset, int64_t committed, void *owner);
/* Everything below `done` is done. Ignored where it isn't greater than before. */
void kf__offset_done(struct kf__offsets *offsets, struct kf__offset *offset, int64_t done,
                     int32_t leader_epoch, kf_time now);
/* Takes the next dirty one into the commit that is being built; NULL when all are taken. */
struct kf__offset *kf__offsets_take(struct kf__offsets *offsets);
/* How the commit ended for one of the taken; an error makes it dirty again unless closed. */
void kf__offset_settled(struct kf__offsets *offsets, struct kf__offset *offset, kf_err err,
                        kf_time now);
/*
 * No more commits of this partition; forgets what is not committed. Where it
 * is in flight, the memory must stay until kf__offset_settled.
 */
void kf__offset_close(struct kf__offsets *offsets, struct kf__offset *offset);

#endif
