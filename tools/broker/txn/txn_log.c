#include "tools/broker/txn/txn_log.h"

enum {
    ABORT = 0, /* types of control records */
    COMMIT = 1,
};

int64_t kf__stable_offset(const struct kf__partition *partition)
{
    int64_t first = kf__producers_first_open(&partition->producers);
    if (first < 0)
        return partition->log.end_offset;
    return first > partition->log.start_offset ? first : partition->log.start_offset;
}

kf_err kf__check_marker(const struct kf__partition *partition, const struct kf__txn_mark *mark)
{
    const struct kf__producer *producer =
        kf__producers_find(&partition->producers, mark->producer_id);
    if (!producer)
        return KF_OK;
    if (mark->epoch < producer->epoch)
        return KF_ERR_INVALID_PRODUCER_EPOCH;
    return mark->coordinator_epoch < producer->coordinator_epoch
               ? KF_ERR_TRANSACTION_COORDINATOR_FENCED
               : KF_OK;
}

/* A control record: version and type are its key, version and the coordinator's epoch its value. */
static kf_err build(struct kf__codecs *codecs, const struct kf__txn_mark *mark, int64_t wall_ms,
                    struct kf__buffer *out)
{
    uint32_t coordinator = (uint32_t)mark->coordinator_epoch;
    uint8_t key[4] = {0, 0, 0, mark->commit ? COMMIT : ABORT};
    uint8_t value[6] = {0,
                        0,
                        (uint8_t)(coordinator >> 24),
                        (uint8_t)(coordinator >> 16),
                        (uint8_t)(coordinator >> 8),
                        (uint8_t)coordinator};
    struct kf__batch_options options = {.producer_id = mark->producer_id,
                                        .producer_epoch = mark->epoch,
                                        .base_sequence = -1,
                                        .leader_epoch = -1,
                                        .transactional = true,
                                        .control = true};
    struct kf__batch_builder builder;
    kf__batch_builder_init(&builder, out->alloc, 0);
    kf_err err =
        kf__batch_builder_add(&builder, wall_ms, (kf_bytes){.data = key, .size = sizeof key},
                              (kf_bytes){.data = value, .size = sizeof value}, NULL, 0);
    if (!err)
        err = kf__batch_builder_finish(&builder, &options, codecs, out);
    kf__batch_builder_free(&builder);
    return err;
}

static kf_err append(struct kf__topics *topics, struct kf__partition *partition,
                     const struct kf__txn_mark *mark, const struct kf__buffer *bytes,
                     int64_t wall_ms)
{
    struct kf__batch batch;
    int64_t offset;
    kf_err err = kf__batch_peek(bytes->bytes, bytes->used, &batch);
    if (!err) /* never refused for lack of room: a transaction could not end */
        err = kf__topics_append(topics, partition, &batch, SIZE_MAX, &offset);
    if (err)
        return err;
    int64_t first = kf__producers_end_txn(&partition->producers, mark->producer_id, mark->epoch,
                                          mark->coordinator_epoch, wall_ms);
    if (first >= 0 && !mark->commit)
        kf__aborted_note(&partition->aborted,
                         &(struct kf__aborted_txn){.producer_id = mark->producer_id,
                                                   .first_offset = first,
                                                   .last_offset = offset});
    return KF_OK;
}

kf_err kf__write_marker(struct kf__topics *topics, struct kf__codecs *codecs,
                        struct kf__partition *partition, const struct kf__txn_mark *mark,
                        int64_t wall_ms)
{
    struct kf__buffer bytes;
    kf_err err = kf__check_marker(partition, mark);
    if (!err)
        err = kf__producers_reserve(&partition->producers, topics->alloc);
    if (!err)
        err = kf__aborted_reserve(&partition->aborted, topics->alloc);
    if (err)
        return err;
    kf__buffer_init(&bytes, topics->alloc);
    err = build(codecs, mark, wall_ms, &bytes);
    if (!err)
        err = append(topics, partition, mark, &bytes, wall_ms);
    kf__buffer_free(&bytes);
    return err;
}
