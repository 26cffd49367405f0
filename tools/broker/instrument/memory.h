/*
 * memory: a network without sockets and a clock that a test moves: the world
 * (net/loop/world.h) of our own client, with this broker as its only peer.
 *
 *     client ──send──▶ to_broker ──▶ server_bytes.c reads
 *     client ◀─receive─ to_client ◀── server_bytes.c writes
 *
 * A pipe is two queues of bytes; each side may close. Everything runs on the
 * caller's thread, in an order that follows from the seed alone.
 */
#ifndef KF_BROKER_MEMORY_H
#define KF_BROKER_MEMORY_H

#include "net/loop/world.h"
#include <kafiber/alloc.h>
#include <stdbool.h>

struct kf_broker;

struct kf__queue {
    uint8_t *bytes;
    size_t start; /* of what is not read yet */
    size_t used;
    size_t capacity;
};

struct kf__pipe {
    struct kf__queue to_broker;
    struct kf__queue to_client;
    bool client_closed;
    bool broker_closed;
};

struct kf__memory {
    const kf_allocator *alloc;
    struct kf__pipe **pipes; /* by descriptor; NULL: free */
    size_t count;
    uint64_t random;
    uint64_t moves; /* rises with all that happens: unchanged means at rest */
    struct kf__world world;
};

void kf__memory_init(struct kf__memory *memory, struct kf_broker *broker, const kf_allocator *alloc,
                     uint64_t seed);
void kf__memory_free(struct kf__memory *memory);

/* ---- the broker's side: results as of recv and sendmsg, errno set ---- */
ssize_t kf__pipe_receive(struct kf__memory *memory, struct kf__pipe *pipe, void *bytes, size_t size,
                         bool peek);
ssize_t kf__pipe_send(struct kf__memory *memory, struct kf__pipe *pipe, const struct iovec *parts,
                      size_t count);
/* KF__READABLE and the like (backend.h), as the broker sees them. */
int kf__pipe_ready(const struct kf__pipe *pipe);
void kf__pipe_close(struct kf__memory *memory, struct kf__pipe *pipe);

#endif
