/*
 * relay: what a program needs that stands between Kafka's clients and a
 * broker: bytes in, bytes out, and each message opened on its way.
 *
 *     client ──bytes──▶ kf_relay_feed ──message──▶ your function
 *                            │                          │ may change it
 *     broker ◀────bytes──────┴──────────────◀───────────┘
 *
 * One relay is one client's connection, both ways: answers are recognised by
 * the requests that passed before. It does no I/O: examples/rename_proxy.c
 * has the sockets. What can't be read as its message passes as it came: an API
 * or version that this build doesn't know, an answer to a request that it has
 * not seen. Not for connections that authenticate by SaslHandshake v0, whose
 * tokens are no messages.
 *
 * Threads: one at a time for each relay.
 */
#ifndef KAFIBER_RELAY_H
#define KAFIBER_RELAY_H

#include <kafiber/alloc.h>
#include <kafiber/codec.h>
#include <kafiber/error.h>
#include <kafiber/types.h>

KF_BEGIN_DECLS

typedef struct kf_relay kf_relay;

/* A message on its way; all of it is valid during the call only. */
struct kf_passing {
    bool request; /* or the answer to one */
    const kf_schema *schema;
    int16_t version;
    int32_t correlation_id;
    void *message; /* of the schema's struct; what it is afterwards goes on */
};

typedef void kf_relay_visit(struct kf_passing *passing, void *context);

/* NULL: out of memory. The allocator must outlive the relay. */
KF_API kf_relay *kf_relay_open(const kf_allocator *alloc, kf_relay_visit *visit, void *context);
KF_API void kf_relay_close(kf_relay *relay); /* NULL: nothing */

typedef enum kf_relay_side {
    KF_FROM_CLIENT,
    KF_FROM_BROKER,
} kf_relay_side;

/*
 * Takes `size` bytes as they were read from one side, and appends to `out`
 * what the other side is to get: nothing while a frame is incomplete. Every
 * error is final, close both connections: KF_ERR_FRAME_NEGATIVE and
 * KF_ERR_FRAME_TOO_LARGE (1 GiB) where the bytes can't be Kafka's, what
 * kf_encode refused of a changed message, KF_ERR_NO_MEMORY.
 */
KF_API kf_err kf_relay_feed(kf_relay *relay, kf_relay_side from, const void *bytes, size_t size,
                            kf_writer *out);

KF_END_DECLS

#endif
