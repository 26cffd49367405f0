/*
 * loop_poll: waiting with poll(2), for every other system, and for hosts that
 * want the list of descriptors to put into a loop of their own. The array is
 * indexed by slot; an unwanted slot has descriptor -1, which poll skips.
 */
#include "net/loop/backend.h"

#include <errno.h>
#include <stdbool.h>

struct state {
    const kf_allocator *alloc;
    struct pollfd *fds;
    uint32_t *generations;
    size_t count;
    size_t capacity;
    bool waited; /* revents are of this turn */
};

static kf_err open_poll(const kf_allocator *alloc, const struct kf__world *world, void **result)
{
    (void)world;
    struct state *state = kf_alloc_zero(alloc, sizeof *state);
    if (!state)
        return KF_ERR_NO_MEMORY;
    state->alloc = alloc;
    *result = state;
    return KF_OK;
}

static void close_poll(void *opaque)
{
    struct state *state = opaque;
    kf_free(state->alloc, state->fds);
    kf_free(state->alloc, state->generations);
    kf_free(state->alloc, state);
}

static kf_err reserve(struct state *state, size_t count)
{
    if (count <= state->capacity)
        return KF_OK;
    size_t capacity = count < 16 ? 16 : count * 2;
    struct pollfd *fds = kf_realloc(state->alloc, state->fds, capacity * sizeof *fds);
    if (!fds)
        return KF_ERR_NO_MEMORY;
    state->fds = fds;
    uint32_t *generations =
        kf_realloc(state->alloc, state->generations, capacity * sizeof *generations);
    if (!generations)
        return KF_ERR_NO_MEMORY;
    state->generations = generations;
    state->capacity = capacity;
    return KF_OK;
}

static kf_err want(void *opaque, uint32_t slot, uint32_t generation, int fd, int before, int now)
{
    (void)before;
    struct state *state = opaque;
    kf_err err = reserve(state, (size_t)slot + 1);
    if (err)
        return err;
    while (state->count <= slot) {
        state->generations[state->count] = 0;
        state->fds[state->count++] = (struct pollfd){.fd = -1};
    }

    int events = ((now & KF__READABLE) ? POLLIN : 0) | ((now & KF__WRITABLE) ? POLLOUT : 0);
    struct pollfd *entry = &state->fds[slot];
    short revents = state->generations[slot] == generation ? entry->revents : 0;
    *entry = (struct pollfd){.fd = now ? fd : -1, .events = (short)events, .revents = revents};
    state->generations[slot] = generation;
    return KF_OK;
}

static kf_err wait_for_events(void *opaque, int timeout_ms)
{
    struct state *state = opaque;
    int ready = poll(state->fds, (nfds_t)state->count, timeout_ms);
    state->waited = ready > 0;
    return ready < 0 && errno != EINTR ? KF_ERR_SYSTEM : KF_OK;
}

static int events_of(short revents)
{
    if (revents & (POLLERR | POLLHUP | POLLNVAL))
        return KF__READABLE | KF__WRITABLE | KF__HANGUP;
    return ((revents & POLLIN) ? KF__READABLE : 0) | ((revents & POLLOUT) ? KF__WRITABLE : 0);
}

/* Watches may be added and removed on the way: indexes only, and each entry is taken once. */
static void dispatch(void *opaque, kf__backend_news *news, void *context)
{
    struct state *state = opaque;
    if (!state->waited)
        return;
    state->waited = false;
    for (size_t i = 0; i < state->count; i++) {
        short revents = state->fds[i].revents;
        state->fds[i].revents = 0;
        if (revents && state->fds[i].fd >= 0)
            news(context, (uint32_t)i, state->generations[i], events_of(revents));
    }
}

static int no_fd(const void *opaque)
{
    (void)opaque;
    return -1;
}

static size_t pollfds(const void *opaque, struct pollfd *fds, size_t max)
{
    const struct state *state = opaque;
    size_t count = 0;
    for (size_t i = 0; i < state->count; i++) {
        if (state->fds[i].fd < 0)
            continue;
        if (count < max)
            fds[count] = state->fds[i];
        count++;
    }
    return count;
}

const struct kf__backend_table kf__poll_backend = {
    open_poll, close_poll, want, wait_for_events, dispatch, no_fd, pollfds,
};
