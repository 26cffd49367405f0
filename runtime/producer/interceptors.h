/*
 * interceptors: what stands between the caller and the producer's queues
 * (kf_producer_intercept in kafiber/producer.h).
 *
 *   record ──sending, sending, …──▶ queues … verdict ──acknowledged, …──▶ delivered
 *
 * A record costs one allocation for it, and nothing where there are no
 * interceptors: its receipt is replaced by one that tells them first. Knows
 * no lock and no queue; producer_queue.c calls it on the producing thread.
 */
#ifndef KF_RUNTIME_INTERCEPTORS_H
#define KF_RUNTIME_INTERCEPTORS_H

#include "runtime/producer/producer_batch.h"
#include <kafiber/codec.h>

enum {
    KF__INTERCEPTORS_MAX = 8 /* of a producer; more is a mistake in a loop */
};

struct kf__interceptors {
    kf_interceptor of[KF__INTERCEPTORS_MAX];
    size_t count;
};

/* A record on its way through them. */
struct kf_sending {
    kf_record record; /* the copy that they may change */
    kf_arena arena;   /* added headers */
    kf_err err;       /* sticky */
};

/* KF_ERR_INVALID_ARGUMENT: not our size, or too many. */
kf_err kf__interceptors_add(struct kf__interceptors *interceptors,
                            const kf_interceptor *interceptor);

/*
 * Calls `sending` of each and replaces the receipt. kf__sending_end follows
 * either way. After an error the receipt is gone: the interceptors have been
 * told, and the caller is by the return value.
 */
kf_err kf__sending_begin(struct kf_sending *sending, const struct kf__interceptors *interceptors,
                         const kf_allocator *alloc, const kf_record *record,
                         struct kf__receipt *receipt);
/* The record was not taken: the interceptors are told, the caller by the return value. */
void kf__sending_refused(struct kf__receipt receipt, kf_err err);
void kf__sending_end(struct kf_sending *sending);

#endif
