/*
 * backend: what a loop needs of the operating system to wait for descriptors.
 *
 * One table for each way to wait (loop_epoll.c, loop_poll.c, loop_world.c). loop.c numbers
 * its watches by slots, and so does the embedded broker; a back-end knows only
 * slot, descriptor and wanted events, and tells which slots are ready. A
 * slot's generation changes when it is reused, so that news of a descriptor
 * that was removed in the same turn reaches nobody.
 */
#ifndef KF_NET_BACKEND_H
#define KF_NET_BACKEND_H

#include "net/loop/loop.h"

/* Wanted beside the others: told of a hang-up even while nothing else is wanted. A loop's watches
   don't use it: errors are readable and writable to them. */
enum {
    KF__HANGUP = 4
};

/* News of a slot, for whoever waited; `context` is theirs. */
typedef void kf__backend_news(void *context, uint32_t slot, uint32_t generation, int events);

/* Nobody may call anything else of a state while a thread waits with it. */
struct kf__backend_table {
    /* An own state, handed to all others. */
    kf_err (*open)(const kf_allocator *alloc, const struct kf__world *world, void **state);
    void (*close)(void *state);
    /* From the events wanted so far to those wanted now; 0: not interested, and told nothing. */
    kf_err (*want)(void *state, uint32_t slot, uint32_t generation, int fd, int before, int now);
    /* Waits at most so many milliseconds (-1: for ever) and remembers what is ready. */
    kf_err (*wait)(void *state, int timeout_ms);
    /* Calls `news` for each of them; it may want other things meanwhile. */
    void (*dispatch)(void *state, kf__backend_news *news, void *context);
    int (*fd)(const void *state);
    size_t (*pollfds)(const void *state, struct pollfd *fds, size_t max);
};

#if defined(__linux__)
extern const struct kf__backend_table kf__epoll_backend;
#endif
extern const struct kf__backend_table kf__poll_backend;
extern const struct kf__backend_table kf__world_backend; /* where the world has `ready` */

/* NULL: there is no such one on this system. */
const struct kf__backend_table *kf__backend_of(enum kf__backend backend);

#endif
