/*
 * producer: writes records. acks=all, batched per partition, retried until
 * delivery.timeout.ms; keys choose the partition by murmur2, as in Java.
 *
 * This version is simple: it is not idempotent, so a retry after a lost
 * answer may store a record twice; one request a partition is under way at a
 * time, so that order is kept.
 *
 * Any thread may produce. Callbacks run one after the other on the
 * producer's I/O thread and must not block.
 */
#ifndef KAFIBER_PRODUCER_H
#define KAFIBER_PRODUCER_H

#include <kafiber/config.h>
#include <kafiber/fiber.h>
#include <kafiber/message.h>

KF_BEGIN_DECLS

typedef struct kf_producer kf_producer;

KF_API kf_producer *kf_producer_new(const kf_config *config, kf_error *error);
/* Flushes until the deadline; what is left then fails with KF_ERR_CLOSED. */
KF_API kf_err kf_producer_close(kf_producer *producer, kf_time deadline);

/* What is to be written. Bytes are copied before kf_produce returns. */
typedef struct kf_record {
    const char *topic;
    int32_t partition; /* -1: by key, or, for a null key, sticky */
    kf_bytes key;
    kf_bytes value;
    const kf_header *headers;
    size_t header_count;
    int64_t timestamp; /* milliseconds since 1970 UTC; 0: now */
} kf_record;

/* Exactly one a record. err KF_OK: stored at partition and offset. */
typedef void (*kf_delivered)(void *context, kf_err err, int32_t partition, int64_t offset);

/*
 * Takes a record; `delivered` (may be NULL) is called once it is stored or
 * has failed. A full buffer blocks up to `deadline`: KF_ERR_BUFFER_FULL. A
 * record that can't be taken is reported by the return value only.
 */
KF_API kf_err kf_produce(kf_producer *producer, const kf_record *record, kf_delivered delivered,
                         void *context, kf_time deadline, kf_error *error);
/* The same, waiting until it is stored. */
KF_API kf_err kf_produce_wait(kf_producer *producer, const kf_record *record, kf_time deadline,
                              int32_t *partition, int64_t *offset, kf_error *error);
/* Sends at once and waits until all records taken so far have been told; KF_ERR_TIMED_OUT. */
KF_API kf_err kf_flush(kf_producer *producer, kf_time deadline);

KF_END_DECLS

#endif
