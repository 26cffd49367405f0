/*
 * validate: may these bytes of a Produce request go into the log? What
 * Kafka's ProduceRequest and LogValidator look at, in their order, with their
 * errors and sentences. Every batch is opened, and every record looked at.
 * Pure. Called by api/produce.c.
 */
#ifndef KF_BROKER_VALIDATE_H
#define KF_BROKER_VALIDATE_H

#include "proto/batch/batch.h"
#include "tools/broker/log/topics.h"
#include <kafiber/messages.h>

enum {
    KF__MAX_COMPLAINT_BYTES = 1024
};

typedef struct kf_produce_response_batch_index_and_error_message kf__record_error;

/* What is wrong. */
struct kf__complaint {
    kf_err err;
    bool of_log;               /* the log itself has refused them: its start is told */
    kf__record_error *records; /* in the arena */
    int32_t record_count;
    char why[KF__MAX_COMPLAINT_BYTES]; /* empty: Kafka says nothing */
};

/* What records are held against. */
struct kf__expected {
    kf_string topic;
    int32_t partition;
    const struct kf__topic_settings *settings;
    int64_t wall_ms;
    int16_t version; /* of the request */
    struct kf__codecs *codecs;
    struct kf__buffer *scratch;
    kf_arena *arena; /* of what is complained about */
};

/* One batch, whole, in a version that the request may carry: the bytes alone, without the log. */
kf_err kf__validate_request(kf_bytes records, const struct kf__expected *expected,
                            struct kf__batch *batch, struct kf__complaint *complaint);
/* The batch and its records, on their way into the log; the largest timestamp of a record. */
kf_err kf__validate_batch(const struct kf__batch *batch, const struct kf__expected *expected,
                          int64_t *max_timestamp, struct kf__complaint *complaint);

#endif
