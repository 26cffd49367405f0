/*
 * server_turn: who has a turn when. Nothing here walks all connections, but
 * in virtual time, where asking each of them costs nothing.
 *
 *   settle ─▶ wait ─▶ serve what is ready ─▶ events, coordinators ─▶ timers
 *     ▲                                                                 │
 *     └────────────────── parked requests ◀── the next requests ◀───────┘
 */
#include "tools/broker/server/server.h"

#include "net/loop/thread.h"
#include "net/loop/world.h"
#include "tools/broker/faults/events.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

#include <unistd.h>

enum {
    MOST_WAIT_MS = 1000
};

/* ---- when ---- */

static kf_time earlier(kf_time a, kf_time b) { return a < b ? a : b; }

/* Who waits for news has some. */
static bool has_news(const struct kf_broker *broker)
{
    const struct kf__server *server = &broker->server;
    return !kf__link_is_alone(&server->parked) && server->seen_changes != broker->changes;
}

/* All members of all groups are asked only when they may say something else. */
static kf_time groups_deadline(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    if (!server->groups_rest)
        server->groups_due = earlier(kf__coordinator_deadline(&broker->coordinator),
                                     kf__consumers_deadline(&broker->consumers));
    server->groups_rest = true;
    return server->groups_due;
}

void kf__server_stir_groups(struct kf_broker *broker) { broker->server.groups_rest = false; }

kf_time kf__server_deadline(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    if (!kf__link_is_alone(&server->stirred) || has_news(broker))
        return 0;
    kf_time deadline = earlier(kf__timers_next(&server->timers), groups_deadline(broker));
    deadline = earlier(deadline, kf__rules_deadline(&broker->rules));
    return earlier(deadline, kf__txns_deadline(&broker->txns));
}

static int wait_ms(struct kf_broker *broker, int timeout_ms, kf_time now)
{
    kf_time deadline = kf__server_deadline(broker);
    if (deadline == KF_FOREVER)
        return timeout_ms;
    kf_time left = deadline > now ? (deadline - now + KF_MILLISECOND - 1) / KF_MILLISECOND : 0;
    if (timeout_ms >= 0 && left > timeout_ms)
        return timeout_ms;
    return left > MOST_WAIT_MS ? MOST_WAIT_MS : (int)left;
}

/* ---- settling ---- */

/* Something is left to do for it that no socket and no timer tells of. */
static bool has_more_to_do(const struct kf_broker *broker, const struct kf__connection *connection)
{
    bool is_answered = connection->exchange.parked && connection->exchange.ready;
    return is_answered || broker->rules.due; /* an event comes before the next request */
}

static kf_time deadline_of(const struct kf__connection *connection)
{
    kf_time deadline = kf__dispatch_deadline(connection);
    if (connection->answer_at > 0)
        deadline = earlier(deadline, connection->answer_at);
    if (connection->muted_until > 0)
        deadline = earlier(deadline, connection->muted_until);
    return earlier(deadline, connection->idle_at);
}

/* Closed, or waiting for what it needs now. */
static void settle_one(struct kf_broker *broker, struct kf__connection *connection)
{
    struct kf__server *server = &broker->server;
    uint32_t place = 1 + kf__server_port_count(broker) + connection->slot;
    if (!connection->closing && kf__server_want(server, place, connection->id, connection->fd,
                                                &connection->wanted, kf__server_wanted(connection)))
        connection->closing = true;
    if (connection->closing) {
        kf__server_close_connection(broker, connection);
        return;
    }
    struct kf__timer *timer = &connection->timer;
    kf_time deadline = deadline_of(connection);
    if (!timer->set || timer->at != deadline)
        kf__timers_set(&server->timers, timer, deadline);
}

static void settle(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    struct kf__link left;
    kf__link_init(&left);
    while (!kf__link_is_alone(&server->stirred)) {
        struct kf__connection *connection =
            KF__OWNER(server->stirred.next, struct kf__connection, stirred);
        kf__link_remove(&connection->stirred);
        if (!connection->closing && has_more_to_do(broker, connection))
            kf__link_append(&left, &connection->stirred);
        settle_one(broker, connection);
    }
    while (!kf__link_is_alone(&left)) {
        struct kf__link *link = left.next;
        kf__link_remove(link);
        kf__link_append(&server->stirred, link);
    }
    kf__server_listen_anew(broker);
}

/* ---- serving ---- */

static void serve(struct kf_broker *broker, struct kf__connection *connection, int events,
                  kf_time now)
{
    kf__server_stir(&broker->server, connection);
    connection->heard_at = now;
    if (events & KF__HANGUP && connection->frame_size > 0)
        connection->closing = true; /* nobody is left to read the answer */
    if (events & KF__WRITABLE)
        kf__server_write(broker, connection);
    if (events & (KF__READABLE | KF__HANGUP))
        kf__server_receive(broker, connection, now);
}

struct serving {
    struct kf_broker *broker;
    kf_time now;
};

static void serve_place(void *context, uint32_t place, uint32_t generation, int events)
{
    const struct serving *serving = context;
    struct kf__server *server = &serving->broker->server;
    uint32_t ports = kf__server_port_count(serving->broker);
    char drain[64];
    if (place == 0) {
        while (read(server->wake[0], drain, sizeof drain) == (ssize_t)sizeof drain)
            continue;
        return;
    }
    if (place <= ports) {
        kf__server_answer_port(serving->broker, place - 1);
        return;
    }
    struct kf__connection *connection = server->slots[place - 1 - ports].connection;
    if (connection && (uint32_t)connection->id == generation && events & connection->wanted)
        serve(serving->broker, connection, events & connection->wanted, serving->now);
}

static void serve_pipes(struct kf_broker *broker, kf_time now)
{
    for (uint32_t i = 0; i < broker->server.slot_count; i++) {
        struct kf__connection *connection = broker->server.slots[i].connection;
        int events = connection ? kf__pipe_ready(connection->pipe) : 0;
        events &= connection ? kf__server_wanted(connection) : 0;
        if (events)
            serve(broker, connection, events, now);
    }
}

static kf_err wait_for_sockets(struct kf_broker *broker, int wait)
{
    struct kf__server *server = &broker->server;
    server->polls = true;
    pthread_mutex_unlock(&broker->lock);
    kf_err err = server->backend->wait(server->waits, wait);
    pthread_mutex_lock(&broker->lock);
    server->polls = false;
    pthread_cond_broadcast(&broker->poll_ends);
    return err;
}

/* Until nobody else waits for the sockets, and nobody wants to close some. False: not in time. */
static bool await_turn(struct kf_broker *broker, int timeout_ms)
{
    const struct kf__server *server = &broker->server;
    kf_time deadline =
        timeout_ms < 0 ? KF_FOREVER : kf__real_world.now(NULL) + timeout_ms * KF_MILLISECOND;
    bool in_time = true;
    while (in_time && (server->guests > 0 || server->polls))
        in_time = kf__condition_wait(&broker->poll_ends, &broker->lock, deadline);
    return in_time;
}

/* ---- a turn ---- */

/* Delays and mutes that are over; what has come behind the last request. */
static void let_time_pass(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    if (connection->answer_at > 0 && connection->answer_at <= now) {
        connection->answer_at = 0;
        kf__server_write(broker, connection);
    }
    if (connection->muted_until > 0 && connection->muted_until <= now)
        connection->muted_until = 0;
    kf__server_drop_idle(broker, connection, now);
    bool idle = connection->frame_size == 0 && connection->muted_until == 0 && !broker->paused;
    if (idle && !connection->closing) {
        connection->more_waits = false;
        kf__server_go_on(broker, connection, now);
    }
}

static void tick_groups(struct kf_broker *broker, kf_time now)
{
    if (groups_deadline(broker) > now)
        return;
    broker->server.groups_rest = false;
    kf__coordinator_tick(&broker->coordinator, now);
    kf__consumers_tick(&broker->consumers, now);
}

static void tick(struct kf_broker *broker, kf_time now)
{
    struct kf__server *server = &broker->server;
    kf__events_run(broker, now);
    tick_groups(broker, now);
    kf__txns_tick(&broker->txns, kf__txn_now(broker, now));
    kf__timers_fire(&server->timers, now);
    for (struct kf__link *at = server->stirred.next; at != &server->stirred; at = at->next)
        let_time_pass(broker, KF__OWNER(at, struct kf__connection, stirred), now);
    kf__dispatch_parked(broker, now);
}

kf_err kf__server_turn(struct kf_broker *broker, int timeout_ms)
{
    struct kf__server *server = &broker->server;
    kf_err err = KF_OK;
    if ((server->guests > 0 || server->polls) && !await_turn(broker, timeout_ms))
        return KF_OK;
    settle(broker);
    if (!broker->options.virtual_time)
        err = wait_for_sockets(broker, wait_ms(broker, timeout_ms, kf__broker_now(broker)));
    struct serving serving = {.broker = broker, .now = kf__broker_now(broker)};
    if (broker->options.virtual_time)
        serve_pipes(broker, serving.now);
    else if (!err)
        server->backend->dispatch(server->waits, serve_place, &serving);
    tick(broker, serving.now);
    settle(broker);
    return err;
}
