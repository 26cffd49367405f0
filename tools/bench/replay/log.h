/*
 * log: an endless log from a handful of prebuilt batches.
 *
 * Batch n of every partition is blueprint n modulo their number; what makes
 * it batch n is only its base offset, which the checksum does not cover and
 * which is sent from elsewhere. So the broker never copies a record.
 */
#ifndef BENCH_REPLAY_LOG_H
#define BENCH_REPLAY_LOG_H

#include "proto/batch/batch.h"

enum {
    BLUEPRINTS = 8
};

struct log {
    struct kf__buffer blueprint[BLUEPRINTS];
    int32_t batch_records;
    size_t batch_bytes;     /* of the largest blueprint */
    int64_t high_watermark; /* of each partition: where it ends */
};

struct log_shape {
    enum kf_codec codec;
    size_t batch_bytes; /* aimed at, before compression */
    size_t record_bytes;
    size_t key_bytes; /* 0: null */
    int64_t records;  /* of each partition, rounded up to whole batches; 0: without end */
};

kf_err log_build(struct log *log, const struct log_shape *shape);
void log_free(struct log *log);

static inline const struct kf__buffer *log_batch(const struct log *log, int64_t number)
{
    return &log->blueprint[number % BLUEPRINTS];
}

#endif
