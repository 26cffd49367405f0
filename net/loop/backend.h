/*
 * backend: what a loop needs of the operating system to wait for descriptors.
 *
 * One table for each way to wait (loop_epoll.c, loop_poll.c, loop_world.c). loop.c numbers
 * its watches by slots; a back-end knows only slot, descriptor and wanted
 * events, and tells the loop which slots are ready. A slot's generation
 * changes when it is reused, so that news of a descriptor that was removed in
 * the same turn reaches nobody.
 */
#ifndef KF_NET_BACKEND_H
#define KF_NET_BACKEND_H

#include "net/loop/loop.h"

struct kf__backend_table {
    /* An own state, handed to all others. */
    kf_err (*open)(const kf_allocator *alloc, const struct kf__world *world, void **state);
    void (*close)(void *state);
    /* From the events wanted so far to those wanted now; 0: not interested, and told nothing. */
    kf_err (*want)(void *state, uint32_t slot, uint32_t generation, int fd, int before, int now);
    /* Waits at most so many milliseconds (-1: for ever) and remembers what is ready. */
    kf_err (*wait)(void *state, int timeout_ms);
    /* Calls kf__loop_ready for each of them. */
    void (*dispatch)(void *state, struct kf__loop *loop);
    int (*fd)(const void *state);
    size_t (*pollfds)(const void *state, struct pollfd *fds, size_t max);
};

#if defined(__linux__)
extern const struct kf__backend_table kf__epoll_backend;
#endif
extern const struct kf__backend_table kf__poll_backend;
extern const struct kf__backend_table kf__world_backend; /* where the world has `ready` */

void kf__loop_ready(struct kf__loop *loop, uint32_t slot, uint32_t generation, int events);

#endif
