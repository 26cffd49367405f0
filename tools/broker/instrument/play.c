/*
 * play: virtual time: who has a turn when, and when the clock moves. It moves
 * only while everybody is at rest, and then to whatever is due next: so an
 * idle hour costs what happens in it. Called by tests through broker.h, and by
 * the in-memory world of a client that would wait.
 */
#include "tools/broker/state.h"

enum {
    MOST_TURNS = 1000000 /* without a step of the clock: somebody spins */
};

void kf__broker_pass(struct kf_broker *broker, kf_time until)
{
    pthread_mutex_lock(&broker->lock);
    uint64_t moves = broker->memory.moves;
    kf__server_turn(broker, 0);
    kf_time next = kf__server_deadline(broker);
    if (next > until)
        next = until;
    if (moves == broker->memory.moves && next != KF_FOREVER && next > broker->virtual_now) {
        broker->virtual_now = next;
        kf__server_turn(broker, 0);
    }
    pthread_mutex_unlock(&broker->lock);
}

static kf_time earlier(kf_time a, kf_time b) { return a < b ? a : b; }

/* Everybody has a turn; when the first of them wants the next one. */
static kf_time turn_all(kf_broker *broker, kf_runtime *const *clients, size_t count)
{
    kf_time next = KF_FOREVER;
    pthread_mutex_lock(&broker->lock);
    kf__server_turn(broker, 0);
    pthread_mutex_unlock(&broker->lock);
    for (size_t i = 0; i < count; i++)
        if (kf_loop_step(clients[i], 0) == KF_OK)
            next = earlier(next, kf_loop_deadline(clients[i]));
    pthread_mutex_lock(&broker->lock);
    next = earlier(next, kf__server_deadline(broker));
    pthread_mutex_unlock(&broker->lock);
    return next;
}

kf_err kf_broker_play(kf_broker *broker, kf_runtime *const *clients, size_t count, int64_t ms)
{
    if (!broker->options.virtual_time || ms < 0)
        return KF_ERR_STATE;
    kf_time end = broker->virtual_now + ms * KF_MILLISECOND;
    for (int turns = 0; turns < MOST_TURNS; turns++) {
        uint64_t moves = broker->memory.moves;
        kf_time next = turn_all(broker, clients, count);
        if (moves != broker->memory.moves || next <= broker->virtual_now)
            continue;
        if (broker->virtual_now >= end)
            return KF_OK;
        broker->virtual_now = earlier(next, end);
        turns = 0;
    }
    return KF_ERR_TIMED_OUT;
}

kf_err kf_broker_advance(kf_broker *broker, int64_t ms)
{
    return kf_broker_play(broker, NULL, 0, ms);
}

const struct kf__world *kf_broker_world(kf_broker *broker)
{
    return broker->options.virtual_time ? &broker->memory.world : NULL;
}

int64_t kf_broker_time_ms(kf_broker *broker)
{
    pthread_mutex_lock(&broker->lock);
    int64_t now = kf__broker_wall_ms(broker);
    pthread_mutex_unlock(&broker->lock);
    return now;
}
