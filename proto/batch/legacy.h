/*
 * legacy: record batches before Kafka 0.11 (magic 0 and 1), read-only. Called
 * by batch_read.c alone, which hides them behind the face of magic 2.
 */
#ifndef KF_PROTO_LEGACY_H
#define KF_PROTO_LEGACY_H

#include "proto/batch/batch.h"

/* `batch` has bytes, size (checked), base_offset and magic already. */
kf_err kf__legacy_peek(struct kf__batch *batch);
kf_err kf__legacy_check(const struct kf__batch *batch);
kf_err kf__legacy_open(const struct kf__batch *batch, struct kf__codecs *codecs,
                       struct kf__buffer *into, size_t limit, struct kf__records *records);
kf_err kf__legacy_next(struct kf__records *records, struct kf__record *record, bool *more);

#endif
