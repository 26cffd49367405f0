/* held: see held.h. Nothing here knows partitions or threads beyond the reference count. */
#include "runtime/fetch/held.h"

#include "runtime/fetch/credit.h"

#include <string.h>

struct kf_batch *kf__held_new(const kf_allocator *alloc, struct kf__slab *slab,
                              const struct kf__batch *header, bool skip, const char *topic)
{
    size_t topic_size = strlen(topic) + 1;
    struct kf_batch *batch = kf_alloc(alloc, sizeof *batch + topic_size);
    if (!batch)
        return NULL;
    *batch = (struct kf_batch){.alloc = alloc, .slab = slab, .header = *header, .skip = skip};
    memcpy(batch->topic, topic, topic_size);
    atomic_init(&batch->references, 1);
    kf__buffer_init(&batch->expanded, alloc);
    kf__slab_retain(slab);
    return batch;
}

void kf__held_started(struct kf_batch *batch)
{
    if (batch->started)
        return;
    batch->started = true;
    if (batch->slab)
        kf__credit_started(batch->slab);
}

void kf__held_retain(struct kf_batch *batch)
{
    atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
}

void kf__held_release(struct kf_batch *batch)
{
    if (!batch)
        return;
    if (atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) != 1)
        return;
    kf__held_started(batch);
    if (batch->slab)
        kf__slab_release(batch->slab);
    kf_free(batch->alloc, batch->copy);
    kf__buffer_free(&batch->expanded);
    kf_free(batch->alloc, batch);
}

kf_err kf__held_open(struct kf_batch *batch, struct kf__codecs *codecs, bool check_crc,
                     size_t limit)
{
    if (batch->opened) {
        batch->records = batch->start;
        return KF_OK;
    }
    if (check_crc) {
        kf_err err = kf__batch_check(&batch->header);
        if (err)
            return err;
    }
    kf_err err = kf__batch_open(&batch->header, codecs, &batch->expanded, limit, &batch->start);
    if (err)
        return err;
    batch->records = batch->start;
    batch->opened = true;
    return KF_OK;
}

kf_err kf__held_unpin(struct kf_batch *batch)
{
    if (!batch->slab || batch->opened)
        return KF_OK;
    kf__held_started(batch);
    batch->copy = kf_alloc(batch->alloc, batch->header.size);
    if (!batch->copy)
        return KF_ERR_NO_MEMORY;
    memcpy(batch->copy, batch->header.bytes, batch->header.size);
    batch->header.bytes = batch->copy;
    kf__slab_release(batch->slab);
    batch->slab = NULL;
    return KF_OK;
}

size_t kf__held_size(const struct kf_batch *batch) { return batch->header.size; }
