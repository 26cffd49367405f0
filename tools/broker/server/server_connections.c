/*
 * server_connections: who is connected. A connection stands in a slot, by
 * which the back-end names it; its id, which is never used again, tells it
 * from the one that had the slot before.
 */
#include "tools/broker/server/server.h"

#include "proto/codec/frame.h"
#include "tools/broker/state.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FIRST_SLOTS = 8
};

/* ---- slots ---- */

static kf_err reserve_slot(struct kf__server *server)
{
    if (server->first_free < server->slot_capacity)
        return KF_OK;
    uint32_t capacity = server->slot_capacity ? server->slot_capacity * 2 : FIRST_SLOTS;
    struct kf__slot *slots =
        kf_realloc(server->alloc, server->slots, capacity * sizeof(struct kf__slot));
    if (!slots)
        return KF_ERR_NO_MEMORY;
    server->slots = slots;
    server->slot_capacity = capacity;
    return KF_OK;
}

static void take_slot(struct kf__server *server, struct kf__connection *connection)
{
    uint32_t at = server->first_free;
    bool fresh = at == server->slot_count;
    server->first_free = fresh ? at + 1 : server->slots[at].next_free;
    server->slot_count += fresh;
    server->slots[at].connection = connection;
    connection->slot = at;
}

static void return_slot(struct kf__server *server, uint32_t at)
{
    server->slots[at] = (struct kf__slot){.next_free = server->first_free};
    server->first_free = at;
}

/* ---- coming ---- */

static void time_is_up(struct kf__timer *timer, void *server)
{
    kf__server_stir(server, KF__OWNER(timer, struct kf__connection, timer));
}

/* NULL: no memory, or too many. */
static struct kf__connection *add_connection(struct kf__server *server, int32_t node,
                                             int32_t listener)
{
    if (server->connection_count >= server->max_connections || reserve_slot(server))
        return NULL;
    struct kf__connection *connection = kf_alloc_zero(server->alloc, sizeof *connection);
    if (!connection)
        return NULL;
    connection->fd = -1;
    connection->node = node;
    connection->listener = listener;
    connection->id = ++server->last_id;
    snprintf(connection->principal, sizeof connection->principal, "%s", KF__ANONYMOUS);
    kf_writer_init(&connection->out, server->alloc);
    kf__link_init(&connection->stirred);
    kf__link_init(&connection->parked);
    kf__timer_init(&connection->timer, time_is_up, server);
    take_slot(server, connection);
    server->connection_count++;
    kf__server_stir(server, connection);
    return connection;
}

static kf_time idle_after(struct kf_broker *broker, kf_time since)
{
    int64_t ms = kf__broker_limits(broker)->idle_ms;
    return ms < 0 || ms > KF_FOREVER / KF_MILLISECOND / 2 ? KF_FOREVER
                                                          : since + ms * KF_MILLISECOND;
}

static void begin(struct kf_broker *broker, struct kf__connection *connection)
{
    connection->heard_at = kf__broker_now(broker);
    connection->idle_at = idle_after(broker, connection->heard_at);
    connection->closing |= !kf__server_begin_tls(&broker->server, connection);
}

/* "127.0.0.1:100,…": how many of this address; -1: nothing is said of it. */
static int64_t override_of(const struct kf_broker *broker, const char *host)
{
    size_t at = 0, size = strlen(host);
    kf_string item, list = kf__configs_value(&broker->configs, KF__RESOURCE_BROKER, kf__text(""),
                                             "max.connections.per.ip.overrides");
    while (kf__list_next(list, &at, &item))
        if (item.size > size + 1 && memcmp(item.data, host, size) == 0 && item.data[size] == ':')
            return strtoll(item.data + size + 1, NULL, 10);
    return -1;
}

static bool is_one_too_many(struct kf_broker *broker, const struct kf__connection *connection)
{
    const struct kf__server *server = &broker->server;
    int64_t most = kf__broker_limits(broker)->connections_of_ip, count = 0;
    int64_t own = override_of(broker, connection->peer + 1); /* behind the slash */
    most = own >= 0 ? own : most;
    if (most >= server->max_connections)
        return false;
    for (uint32_t i = 0; i < server->slot_count; i++) {
        const struct kf__connection *other = server->slots[i].connection;
        count +=
            other && other->node == connection->node && strcmp(other->peer, connection->peer) == 0;
    }
    return count > most;
}

bool kf__server_accept_pipe(struct kf_broker *broker, int32_t node, struct kf__pipe *pipe)
{
    struct kf__connection *connection = add_connection(&broker->server, node, 0);
    if (!connection)
        return false;
    connection->pipe = pipe;
    snprintf(connection->peer, sizeof connection->peer, "/127.0.0.1");
    begin(broker, connection);
    return true;
}

static void name_peer(struct kf__connection *connection, const struct sockaddr_storage *address)
{
    char host[48] = "?";
    if (address->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, host, sizeof host);
    else
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, host, sizeof host);
    snprintf(connection->peer, sizeof connection->peer, "/%s", host); /* as Java prints it */
}

void kf__server_accept_socket(struct kf_broker *broker, int32_t node, int32_t listener, int fd,
                              const struct sockaddr_storage *peer)
{
    struct kf__connection *connection = add_connection(&broker->server, node, listener);
    if (!connection) {
        close(fd);
        return;
    }
    connection->fd = fd;
    name_peer(connection, peer);
    connection->closing = is_one_too_many(broker, connection);
    begin(broker, connection);
}

/* ---- going ---- */

/* Not while it waits for an answer of ours. */
void kf__server_drop_idle(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    if (connection->idle_at > now)
        return;
    kf_time since = connection->frame_size > 0 ? now : connection->heard_at;
    connection->idle_at = idle_after(broker, since);
    connection->closing |= connection->idle_at <= now;
}

static void close_socket(struct kf_broker *broker, struct kf__connection *connection)
{
    if (connection->pipe) {
        kf__pipe_close(&broker->memory, connection->pipe);
        return;
    }
    uint32_t place = 1 + kf__server_port_count(broker) + connection->slot;
    kf__server_want(&broker->server, place, connection->id, connection->fd, &connection->wanted, 0);
    close(connection->fd);
}

void kf__server_close_connection(struct kf_broker *broker, struct kf__connection *connection)
{
    struct kf__server *server = &broker->server;
    kf__dispatch_abandon(broker, connection);
    kf__link_remove(&connection->stirred);
    kf__link_remove(&connection->parked);
    kf__timers_cancel(&server->timers, &connection->timer);
    kf__session_free(&connection->session, &broker->sasl);
    kf__server_say_farewell(connection);
    close_socket(broker, connection);
    kf__tls_free(connection->tls);
    kf_writer_free(&connection->out);
    kf__server_drop_room(server, connection);
    return_slot(server, connection->slot);
    kf_free(server->alloc, connection);
    server->connection_count--;
    server->ports_changed |= server->is_full;
    server->is_full = false;
}

void kf__server_close_all(struct kf_broker *broker)
{
    for (uint32_t i = 0; i < broker->server.slot_count; i++)
        if (broker->server.slots[i].connection)
            kf__server_close_connection(broker, broker->server.slots[i].connection);
}

/* ---- news of them ---- */

void kf__server_stir(struct kf__server *server, struct kf__connection *connection)
{
    if (kf__link_is_alone(&connection->stirred))
        kf__link_append(&server->stirred, &connection->stirred);
}

void kf__server_stir_all(struct kf__server *server)
{
    for (uint32_t i = 0; i < server->slot_count; i++)
        if (server->slots[i].connection)
            kf__server_stir(server, server->slots[i].connection);
}

/* Its answer must not be looked at again: what it borrows goes. */
static void give_up(struct kf__server *server, struct kf__connection *connection)
{
    kf_writer_reset(&connection->out);
    connection->writing = false;
    connection->closing = true;
    kf__server_stir(server, connection);
}

void kf__server_own_output(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    for (uint32_t i = 0; i < server->slot_count; i++) {
        struct kf__connection *connection = server->slots[i].connection;
        if (connection && connection->writing && kf_writer_flatten(&connection->out))
            give_up(server, connection);
    }
}
