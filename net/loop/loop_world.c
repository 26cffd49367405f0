/*
 * loop_world: waiting in a world of its own (world->ready): nothing sleeps.
 * Readiness is asked for, slot by slot, so that equal runs see events in equal
 * order; where nothing is ready the world is told how long the loop would
 * wait, and may let time pass.
 */
#include "net/loop/backend.h"

struct slot {
    int fd;
    int wanted; /* 0: not watched */
    int ready;
    uint32_t generation;
};

struct state {
    const kf_allocator *alloc;
    const struct kf__world *world;
    struct slot *slots;
    size_t count;
};

static kf_err open_world(const kf_allocator *alloc, const struct kf__world *world, void **result)
{
    struct state *state = kf_alloc_zero(alloc, sizeof *state);
    if (!state)
        return KF_ERR_NO_MEMORY;
    state->alloc = alloc;
    state->world = world;
    *result = state;
    return KF_OK;
}

static void close_world(void *opaque)
{
    struct state *state = opaque;
    kf_free(state->alloc, state->slots);
    kf_free(state->alloc, state);
}

static kf_err want(void *opaque, uint32_t at, uint32_t generation, int fd, int before, int now)
{
    (void)before;
    struct state *state = opaque;
    if (at >= state->count) {
        size_t count = (size_t)at + 16;
        struct slot *slots = kf_realloc(state->alloc, state->slots, count * sizeof *slots);
        if (!slots)
            return KF_ERR_NO_MEMORY;
        for (size_t i = state->count; i < count; i++)
            slots[i] = (struct slot){.fd = -1};
        state->slots = slots;
        state->count = count;
    }
    struct slot *slot = &state->slots[at];
    int ready = slot->generation == generation ? slot->ready : 0;
    *slot = (struct slot){.fd = fd, .wanted = now, .ready = ready, .generation = generation};
    return KF_OK;
}

static bool look(struct state *state)
{
    bool any = false;
    for (size_t i = 0; i < state->count; i++) {
        struct slot *slot = &state->slots[i];
        slot->ready =
            slot->wanted ? state->world->ready(state->world->context, slot->fd, slot->wanted) : 0;
        any |= slot->ready != 0;
    }
    return any;
}

static kf_err wait_in_world(void *opaque, int timeout_ms)
{
    struct state *state = opaque;
    if (!look(state) && timeout_ms != 0 && state->world->pass) {
        state->world->pass(state->world->context, timeout_ms);
        look(state);
    }
    return KF_OK;
}

/* Watches may be added and removed on the way: each entry is taken once. */
static void dispatch(void *opaque, kf__backend_news *news, void *context)
{
    struct state *state = opaque;
    for (size_t i = 0; i < state->count; i++) {
        int ready = state->slots[i].ready;
        state->slots[i].ready = 0;
        if (ready)
            news(context, (uint32_t)i, state->slots[i].generation, ready);
    }
}

static int no_fd(const void *opaque)
{
    (void)opaque;
    return -1;
}

static size_t no_pollfds(const void *opaque, struct pollfd *fds, size_t max)
{
    (void)opaque;
    (void)fds;
    (void)max;
    return 0;
}

const struct kf__backend_table kf__world_backend = {
    open_world, close_world, want, wait_in_world, dispatch, no_fd, no_pollfds,
};
