/*
 * offsets: the list of partitions with something to commit, and what the
 * commit under way covers. No request is built here and no clock is read: the
 * driver takes what is dirty, sends it, and says how it ended.
 *
 *   clean ──done──▶ dirty ──take──▶ in flight ──settled──▶ clean
 *                     ▲                 │
 *                     └──── error, or done went on meanwhile
 */
#include "group/offsets.h"

#include <assert.h>

static void check_invariants(const struct kf__offsets *offsets)
{
    assert((offsets->dirty_first == NULL) == (offsets->dirty_count == 0));
    assert((offsets->dirty_last == NULL) == (offsets->dirty_count == 0));
    assert((offsets->first_change == KF_FOREVER) == (offsets->dirty_count == 0));
    (void)offsets;
}

static void note_change(struct kf__offsets *offsets, struct kf__offset *offset, kf_time now)
{
    if (!offset->dirty) {
        offset->dirty = true;
        offset->next = NULL;
        offset->previous = offsets->dirty_last;
        if (offsets->dirty_last)
            offsets->dirty_last->next = offset;
        else
            offsets->dirty_first = offset;
        offsets->dirty_last = offset;
        offsets->dirty_count++;
    }
    if (now < offsets->first_change)
        offsets->first_change = now;
    check_invariants(offsets);
}

static void unlink_dirty(struct kf__offsets *offsets, struct kf__offset *offset)
{
    if (!offset->dirty)
        return;
    if (offset->previous)
        offset->previous->next = offset->next;
    else
        offsets->dirty_first = offset->next;
    if (offset->next)
        offset->next->previous = offset->previous;
    else
        offsets->dirty_last = offset->previous;
    offset->next = offset->previous = NULL;
    offset->dirty = false;
    offsets->dirty_count--;
    if (offsets->dirty_count == 0)
        offsets->first_change = KF_FOREVER;
    check_invariants(offsets);
}

void kf__offsets_init(struct kf__offsets *offsets)
{
    *offsets = (struct kf__offsets){.first_change = KF_FOREVER};
}

void kf__offset_open(struct kf__offset *offset, int64_t committed, void *owner)
{
    *offset = (struct kf__offset){
        .done = committed,
        .in_flight = -1,
        .committed = committed,
        .done_epoch = -1,
        .owner = owner,
    };
}

void kf__offset_done(struct kf__offsets *offsets, struct kf__offset *offset, int64_t done,
                     int32_t leader_epoch, kf_time now)
{
    if (offset->closed || done <= offset->done)
        return;
    offset->done = done;
    offset->done_epoch = leader_epoch;
    note_change(offsets, offset, now);
}

struct kf__offset *kf__offsets_take(struct kf__offsets *offsets)
{
    struct kf__offset *offset = offsets->dirty_first;
    if (!offset)
        return NULL;
    assert(offset->in_flight < 0); /* one commit at a time */
    unlink_dirty(offsets, offset);
    offset->in_flight = offset->done;
    offsets->in_flight_count++;
    return offset;
}

void kf__offset_settled(struct kf__offsets *offsets, struct kf__offset *offset, kf_err err,
                        kf_time now)
{
    assert(offset->in_flight >= 0 && offsets->in_flight_count > 0);
    if (err == KF_OK)
        offset->committed = offset->in_flight;
    offset->in_flight = -1;
    offset->last_error = err;
    offsets->in_flight_count--;
    if (err != KF_OK && !offset->closed)
        note_change(offsets, offset, now);
}

void kf__offset_close(struct kf__offsets *offsets, struct kf__offset *offset)
{
    unlink_dirty(offsets, offset);
    offset->closed = true;
}
