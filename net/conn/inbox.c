/* inbox: frames out of bytes; see inbox.h. */
#include "net/conn/inbox.h"

#include <assert.h>
#include <string.h>

enum {
    SIZE_FIELD = 4
};

static int32_t read_size(const uint8_t *at)
{
    return (int32_t)((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

void kf__inbox_init(struct kf__inbox *inbox, struct kf__slab_pool *slabs, size_t limit)
{
    *inbox = (struct kf__inbox){.slabs = slabs, .limit = limit};
}

void kf__inbox_free(struct kf__inbox *inbox)
{
    if (inbox->shared)
        kf__slab_release(inbox->shared);
    if (inbox->large)
        kf__slab_release(inbox->large);
    kf__inbox_init(inbox, inbox->slabs, inbox->limit);
}

/* ---- room ---- */

/* Only as far as bytes have come: the announced size is not believed at once. */
static kf_err room_in_large(struct kf__inbox *inbox, uint8_t **bytes, size_t *size)
{
    struct kf__slab *slab = inbox->large;
    if (inbox->large_used == slab->capacity) {
        size_t wanted = smaller(inbox->large_size, slab->capacity * 2);
        kf_err err = kf__slab_grow(slab, wanted, inbox->large_used);
        if (err)
            return err;
    }
    *bytes = slab->bytes + inbox->large_used;
    *size = smaller(slab->capacity, inbox->large_size) - inbox->large_used;
    return KF_OK;
}

static bool nobody_else_reads(const struct kf__slab *slab)
{
    return atomic_load_explicit(&slab->references, memory_order_acquire) == 1;
}

/* Room for the whole of the small frame that has begun, and for a window besides. */
static bool has_room(const struct kf__inbox *inbox)
{
    return inbox->shared->capacity - inbox->start >= KF__INBOX_SMALL_BYTES + SIZE_FIELD &&
           inbox->shared->capacity - inbox->end >= KF__INBOX_WINDOW_BYTES / 4;
}

static kf_err move_to_fresh(struct kf__inbox *inbox)
{
    struct kf__slab *fresh = kf__slab_take(inbox->slabs, KF__INBOX_SHARED_BYTES);
    if (!fresh)
        return KF_ERR_NO_MEMORY;
    if (inbox->shared) {
        memcpy(fresh->bytes, inbox->shared->bytes + inbox->start, inbox->end - inbox->start);
        kf__slab_release(inbox->shared);
    }
    inbox->shared = fresh;
    inbox->end -= inbox->start;
    inbox->start = 0;
    return KF_OK;
}

static kf_err room_in_shared(struct kf__inbox *inbox, uint8_t **bytes, size_t *size)
{
    if (!inbox->shared) {
        kf_err err = move_to_fresh(inbox);
        if (err)
            return err;
    } else if (!has_room(inbox)) {
        if (nobody_else_reads(inbox->shared)) {
            memmove(inbox->shared->bytes, inbox->shared->bytes + inbox->start,
                    inbox->end - inbox->start);
            inbox->end -= inbox->start;
            inbox->start = 0;
        } else {
            kf_err err = move_to_fresh(inbox);
            if (err)
                return err;
        }
    }
    *bytes = inbox->shared->bytes + inbox->end;
    *size = smaller(inbox->shared->capacity - inbox->end, KF__INBOX_WINDOW_BYTES);
    return KF_OK;
}

kf_err kf__inbox_space(struct kf__inbox *inbox, uint8_t **bytes, size_t *size)
{
    return inbox->large ? room_in_large(inbox, bytes, size) : room_in_shared(inbox, bytes, size);
}

void kf__inbox_received(struct kf__inbox *inbox, size_t size)
{
    if (inbox->large)
        inbox->large_used += size;
    else
        inbox->end += size;
    assert(!inbox->large || inbox->large_used <= inbox->large_size);
    assert(!inbox->shared || inbox->end <= inbox->shared->capacity);
}

/* ---- frames ---- */

/* A quiet connection holds no slab. */
static void drop_shared_when_read(struct kf__inbox *inbox)
{
    if (!inbox->shared || inbox->start < inbox->end)
        return;
    kf__slab_release(inbox->shared);
    inbox->shared = NULL;
    inbox->start = inbox->end = 0;
}

static kf_err begin_large(struct kf__inbox *inbox, size_t size)
{
    size_t here = smaller(inbox->end - inbox->start - SIZE_FIELD, size);
    struct kf__slab *slab = kf__slab_take(inbox->slabs, smaller(size, KF__INBOX_FIRST_BYTES));
    if (!slab)
        return KF_ERR_NO_MEMORY;
    memcpy(slab->bytes, inbox->shared->bytes + inbox->start + SIZE_FIELD, here);
    inbox->start += SIZE_FIELD + here;
    inbox->large = slab;
    inbox->large_used = here;
    inbox->large_size = size;
    drop_shared_when_read(inbox);
    return KF_OK;
}

static void take_large(struct kf__inbox *inbox, struct kf__frame *frame)
{
    if (inbox->large_used < inbox->large_size)
        return;
    *frame = (struct kf__frame){inbox->large, inbox->large->bytes, inbox->large_size};
    inbox->large = NULL;
}

static void take_shared(struct kf__inbox *inbox, size_t size, struct kf__frame *frame)
{
    kf__slab_retain(inbox->shared);
    *frame =
        (struct kf__frame){inbox->shared, inbox->shared->bytes + inbox->start + SIZE_FIELD, size};
    inbox->start += SIZE_FIELD + size;
    drop_shared_when_read(inbox);
}

kf_err kf__inbox_next(struct kf__inbox *inbox, bool alone, struct kf__frame *frame)
{
    *frame = (struct kf__frame){0};
    if (!inbox->large) {
        size_t here = inbox->end - inbox->start;
        if (here < SIZE_FIELD)
            return KF_OK;
        int32_t announced = read_size(inbox->shared->bytes + inbox->start);
        if (announced < 0)
            return KF_ERR_FRAME_NEGATIVE;
        size_t size = (size_t)announced;
        if (size > inbox->limit)
            return KF_ERR_FRAME_TOO_LARGE;
        bool whole = here - SIZE_FIELD >= size;
        if (size <= KF__INBOX_SMALL_BYTES && !(alone && whole)) {
            if (whole)
                take_shared(inbox, size, frame);
            return KF_OK;
        }
        kf_err err = begin_large(inbox, size);
        if (err)
            return err;
    }
    take_large(inbox, frame);
    return KF_OK;
}

size_t kf__inbox_peek(const struct kf__inbox *inbox, const uint8_t **bytes)
{
    *bytes = inbox->shared ? inbox->shared->bytes + inbox->start : NULL;
    return inbox->end - inbox->start;
}
