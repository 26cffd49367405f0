/*
 * loop_epoll: waiting on Linux. Level-triggered; the slot and its generation
 * travel in the event's data. A watch that wants nothing is taken out, because
 * epoll reports a hang-up even to those who did not ask.
 */
#include "net/loop/backend.h"

#if defined(__linux__)

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 128
}; /* the rest comes in the next turn */

struct state {
    const kf_allocator *alloc;
    int fd;
    int ready;
    struct epoll_event events[EVENTS_PER_TURN];
};

static kf_err open_epoll(const kf_allocator *alloc, const struct kf__world *world, void **result)
{
    (void)world;
    struct state *state = kf_alloc_zero(alloc, sizeof *state);
    if (!state)
        return KF_ERR_NO_MEMORY;
    state->alloc = alloc;
    state->fd = epoll_create1(EPOLL_CLOEXEC);
    if (state->fd < 0) {
        kf_free(alloc, state);
        return KF_ERR_SYSTEM;
    }
    *result = state;
    return KF_OK;
}

static void close_epoll(void *opaque)
{
    struct state *state = opaque;
    close(state->fd);
    kf_free(state->alloc, state);
}

static uint32_t mask_of(int events)
{
    return ((events & KF__READABLE) ? (uint32_t)EPOLLIN : 0) |
           ((events & KF__WRITABLE) ? (uint32_t)EPOLLOUT : 0);
}

static kf_err want(void *opaque, uint32_t slot, uint32_t generation, int fd, int before, int now)
{
    struct state *state = opaque;
    if (before == now)
        return KF_OK;
    int operation = !now ? EPOLL_CTL_DEL : before ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    struct epoll_event event = {.events = mask_of(now)};
    event.data.u64 = (uint64_t)generation << 32 | slot;
    return epoll_ctl(state->fd, operation, fd, &event) && now ? KF_ERR_SYSTEM : KF_OK;
}

static kf_err wait_for_events(void *opaque, int timeout_ms)
{
    struct state *state = opaque;
    state->ready = epoll_wait(state->fd, state->events, EVENTS_PER_TURN, timeout_ms);
    if (state->ready >= 0)
        return KF_OK;
    state->ready = 0;
    return errno == EINTR ? KF_OK : KF_ERR_SYSTEM;
}

static void dispatch(void *opaque, kf__backend_news *news, void *context)
{
    struct state *state = opaque;
    for (int i = 0; i < state->ready; i++) {
        uint64_t data = state->events[i].data.u64;
        uint32_t mask = state->events[i].events;
        int events = ((mask & (uint32_t)EPOLLIN) ? KF__READABLE : 0) |
                     ((mask & (uint32_t)EPOLLOUT) ? KF__WRITABLE : 0);
        if (mask & (uint32_t)(EPOLLERR | EPOLLHUP))
            events = KF__READABLE | KF__WRITABLE | KF__HANGUP;
        news(context, (uint32_t)data, (uint32_t)(data >> 32), events);
    }
    state->ready = 0;
}

static int epoll_fd(const void *opaque) { return ((const struct state *)opaque)->fd; }

static size_t no_pollfds(const void *opaque, struct pollfd *fds, size_t max)
{
    const struct state *state = opaque;
    if (max)
        fds[0] = (struct pollfd){.fd = state->fd, .events = POLLIN};
    return 1;
}

const struct kf__backend_table kf__epoll_backend = {
    open_epoll, close_epoll, want, wait_for_events, dispatch, epoll_fd, no_pollfds,
};

#endif
