/*
 * call: one request and its answer, as net's users see it.
 *
 * The caller owns a struct kf__call (embedded in what it belongs to; no
 * allocation), says which API, how to build the request once the version is
 * known, and what to do with the answer. `done` is called exactly once for
 * each call that was sent, on the loop's thread, never from within
 * kf__cluster_send; kf__call_cancel instead ends it without calling `done`.
 */
#ifndef KF_NET_CALL_H
#define KF_NET_CALL_H

#include "net/loop/slab.h"
#include <kafiber/codec.h>

struct kf__call;
struct kf__conn;

/* The decoded answer. Valid during `done`; retain the slab to keep what borrows from it. */
struct kf__answer {
    const void *message; /* struct kf_…_response; arrays live in the connection's arena */
    int16_t version;
    int32_t node;          /* which broker answered */
    struct kf__slab *slab; /* a Fetch answer has one of its own, others may share it */
    size_t size;           /* of the frame, in bytes */
};

struct kf__call {
    /* ---- the caller's, set before sending ---- */
    int16_t api_key;
    int16_t min_version; /* what the caller can build: 0 and 0 mean all that the rows have */
    int16_t max_version;
    kf_time deadline; /* of the whole call, waiting for a connection included */
    /* How long the broker may take once the request is written, nanoseconds; 0: request.timeout.ms.
     */
    kf_time patience;
    bool no_answer; /* Produce with acks=0: `done` is called with answer NULL once written */
    /*
     * Called when the connection is ready and the version chosen: points
     * *message at the request, which must live until the call ends or until
     * the arena goes (it is encoded at once; only spliced bytes must live on).
     * An error ends the call with that error.
     */
    kf_err (*build)(struct kf__call *call, int16_t version, kf_arena *arena, const void **message);
    /*
     * May be NULL. Called once the request is encoded: what was spliced in stands in the writer's
     * segments from `first` on, and may be parted (kf__writer_part). An error ends the call.
     */
    kf_err (*spliced)(struct kf__call *call, kf_writer *output, size_t first);
    /* err != KF_OK: answer is NULL. Error codes inside the message are the caller's business. */
    void (*done)(struct kf__call *call, kf_err err, const struct kf__answer *answer);
    void *owner;
    /* ---- net's ---- */
    struct kf__conn *conn;      /* in flight on it */
    struct kf__call_list *list; /* or waiting in it */
    struct kf__call *next;
    struct kf__call *previous;
    int32_t correlation_id;
    kf_err err;    /* what it is about to end with */
    bool anywhere; /* any broker will do */
    uint8_t lane;
    uint8_t state; /* enum kf__call_state; 0: not under way */
};

static inline bool kf__call_is_under_way(const struct kf__call *call) { return call->state != 0; }

/* Ends it quietly: `done` will not be called. An answer that comes later is dropped. */
void kf__call_cancel(struct kf__call *call);

#endif
