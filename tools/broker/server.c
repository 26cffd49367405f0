#include "tools/broker/server.h"

#include "proto/frame.h"
#include "tools/broker/events.h"
#include "tools/broker/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FIRST_READ_BYTES = 4 << 10,
    MAX_VECTORS = 64,
    MAX_READS_PER_TURN = 16, /* so that one busy client doesn't keep the others waiting */
    BACKLOG = 128,
};

/* ---- ports ---- */

static bool make_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static int bind_to(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
    int on = 1;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (make_nonblocking(fd) && bind(fd, at->ai_addr, at->ai_addrlen) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* A node has its port from here on; what connects to it is refused until it listens. */
static kf_err take_port(struct kf__server *server, int32_t node, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(server->host, service, &hints, &found) != 0)
        return KF_ERR_NAME_NOT_RESOLVED;
    int fd = bind_to(found);
    freeaddrinfo(found);
    if (fd < 0)
        return KF_ERR_SYSTEM;
    server->nodes[node].fd = fd;
    server->nodes[node].port = bound_port(fd);
    return KF_OK;
}

kf_err kf__server_start_node(struct kf_broker *broker, int32_t node)
{
    struct kf__server *server = &broker->server;
    struct kf__node *starting = &server->nodes[node];
    kf_err err = starting->fd < 0 ? take_port(server, node, starting->port) : KF_OK;
    if (!err && listen(starting->fd, BACKLOG) != 0)
        err = KF_ERR_SYSTEM;
    starting->listens = !err;
    return err;
}

/* "HOST:PORT", "[::1]:PORT". */
static kf_err split_listen(struct kf__server *server, const char *listen, uint16_t *port)
{
    const char *colon = strrchr(listen, ':');
    if (!colon || colon == listen)
        return KF_ERR_INVALID_ARGUMENT;
    size_t size = (size_t)(colon - listen);
    const char *host = listen;
    if (host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    }
    char *end = NULL;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (size >= sizeof server->host || colon[1] == 0 || *end != 0 || number > UINT16_MAX)
        return KF_ERR_INVALID_ARGUMENT;
    memcpy(server->host, host, size);
    server->host[size] = 0;
    *port = (uint16_t)number;
    return KF_OK;
}

kf_err kf__server_open(struct kf_broker *broker, const char *listen, int32_t nodes, kf_error *error)
{
    struct kf__server *server = &broker->server;
    uint16_t port = 0;
    *server = (struct kf__server){.alloc = broker->alloc, .wake = {-1, -1}};
    for (int32_t node = 0; node <= KF__MAX_NODES; node++)
        server->nodes[node].fd = -1;
    if (split_listen(server, listen, &port))
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "cannot listen on \"%s\": HOST:PORT is expected", listen);
    if (pipe(server->wake) != 0 || !make_nonblocking(server->wake[0]) ||
        !make_nonblocking(server->wake[1]))
        return kf_error_set(error, KF_ERR_SYSTEM, "pipe: %s", strerror(errno));
    for (int32_t node = 1; node <= nodes; node++) {
        uint16_t wanted = (uint16_t)(port == 0 ? 0 : port + node - 1);
        server->nodes[node].port = wanted;
        kf_err err = kf__server_start_node(broker, node);
        if (err)
            return kf_error_set(error, err, "cannot listen on %s port %u: %s", server->host, wanted,
                                err == KF_ERR_SYSTEM ? strerror(errno) : kf_err_text(err));
    }
    return KF_OK;
}

/* ---- connections ---- */

static void close_connection(struct kf_broker *broker, size_t slot)
{
    struct kf__server *server = &broker->server;
    struct kf__connection *connection = server->connections[slot];
    kf__dispatch_abandon(broker, connection);
    kf__session_free(&connection->session, &broker->sasl);
    close(connection->fd);
    kf_writer_free(&connection->out);
    kf_free(server->alloc, connection->in);
    kf_free(server->alloc, connection);
    server->connections[slot] = NULL;
    server->connection_count--;
}

static void sweep(struct kf_broker *broker)
{
    for (size_t i = 0; i < broker->server.slot_count; i++)
        if (broker->server.connections[i] && broker->server.connections[i]->closing)
            close_connection(broker, i);
}

void kf__server_close_all(struct kf_broker *broker)
{
    for (size_t i = 0; i < broker->server.slot_count; i++)
        if (broker->server.connections[i])
            close_connection(broker, i);
}

void kf__server_end_poll(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    server->guests++;
    while (server->polls) {
        kf__server_wake(server);
        pthread_cond_wait(&broker->poll_ends, &broker->lock);
    }
    server->guests--;
    pthread_cond_broadcast(&broker->poll_ends);
}

void kf__server_stop_node(struct kf_broker *broker, int32_t node)
{
    struct kf__server *server = &broker->server;
    struct kf__node *stopping = &server->nodes[node];
    close(stopping->fd);
    *stopping = (struct kf__node){.fd = -1, .port = stopping->port};
    /* Somebody else's connection may be given a free port: it is ours until the node starts again.
       If it goes lost in between, starting says so. */
    (void)take_port(server, node, stopping->port);
    for (size_t i = 0; i < server->slot_count; i++)
        if (server->connections[i] && server->connections[i]->node == node)
            close_connection(broker, i);
}

void kf__server_close(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    kf__server_close_all(broker);
    for (int32_t node = 0; node <= KF__MAX_NODES; node++)
        if (server->nodes[node].fd >= 0)
            close(server->nodes[node].fd);
    for (int i = 0; i < 2; i++)
        if (server->wake[i] >= 0)
            close(server->wake[i]);
    kf_free(server->alloc, server->connections);
    kf_free(server->alloc, server->fds);
    kf_free(server->alloc, server->fd_ids);
}

void kf__server_own_output(struct kf_broker *broker)
{
    for (size_t i = 0; i < broker->server.slot_count; i++) {
        struct kf__connection *connection = broker->server.connections[i];
        if (connection && connection->writing && kf_writer_flatten(&connection->out))
            connection->closing = true;
    }
    sweep(broker);
}

void kf__server_wake(const struct kf__server *server)
{
    ssize_t written = write(server->wake[1], "", 1);
    (void)written; /* a full pipe wakes as well */
}

/* A free slot; SIZE_MAX when out of memory. */
static size_t free_slot(struct kf__server *server)
{
    for (size_t i = 0; i < server->slot_count; i++)
        if (!server->connections[i])
            return i;
    size_t count = server->slot_count ? server->slot_count * 2 : 8;
    struct kf__connection **connections =
        kf_realloc(server->alloc, server->connections, count * sizeof(*connections));
    if (!connections)
        return SIZE_MAX;
    for (size_t i = server->slot_count; i < count; i++)
        connections[i] = NULL;
    server->connections = connections;
    size_t slot = server->slot_count;
    server->slot_count = count;
    return slot;
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

static void accept_one(struct kf_broker *broker, int32_t node)
{
    struct kf__server *server = &broker->server;
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    int fd = accept(server->nodes[node].fd, (struct sockaddr *)&address, &size);
    if (fd < 0)
        return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    size_t slot = free_slot(server);
    struct kf__connection *connection =
        slot == SIZE_MAX ? NULL : kf_alloc_zero(server->alloc, sizeof *connection);
    if (!connection || !make_nonblocking(fd)) {
        kf_free(server->alloc, connection);
        close(fd);
        return;
    }
    connection->fd = fd;
    connection->node = node;
    connection->id = ++server->last_id;
    name_peer(connection, &address);
    kf_writer_init(&connection->out, server->alloc);
    server->connections[slot] = connection;
    server->connection_count++;
}

/* ---- bytes ---- */

/* Room to read into: grows only as bytes come. False: no memory. */
static bool make_room(struct kf__server *server, struct kf__connection *connection)
{
    if (connection->in_start > 0) { /* no frame is under way: nothing borrows */
        connection->in_used -= connection->in_start;
        memmove(connection->in, connection->in + connection->in_start, connection->in_used);
        connection->in_start = 0;
    }
    if (connection->in_capacity - connection->in_used >= FIRST_READ_BYTES / 2)
        return true;
    size_t capacity = connection->in_capacity ? connection->in_capacity * 2 : FIRST_READ_BYTES;
    uint8_t *in = kf_realloc(server->alloc, connection->in, capacity);
    if (!in)
        return false;
    connection->in = in;
    connection->in_capacity = capacity;
    return true;
}

/* While a request is under way its bytes must stay where they are: only look. */
static void peek(struct kf__connection *connection)
{
    char byte;
    ssize_t got = recv(connection->fd, &byte, 1, MSG_PEEK);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        connection->closing = true;
    else if (got > 0)
        connection->more_waits = true;
}

static void receive(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    for (int i = 0; i < MAX_READS_PER_TURN && !connection->closing; i++) {
        if (connection->frame_size > 0 || broker->paused || connection->muted_until > now) {
            peek(connection);
            return;
        }
        if (!make_room(&broker->server, connection)) {
            connection->closing = true;
            return;
        }
        size_t room = connection->in_capacity - connection->in_used;
        ssize_t got = recv(connection->fd, connection->in + connection->in_used, room, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            connection->closing = true;
            return;
        }
        connection->in_used += (size_t)got;
        kf__dispatch(broker, connection, now);
    }
}

void kf__server_write(struct kf_broker *broker, struct kf__connection *connection)
{
    while (connection->writing && !connection->closing) {
        struct iovec vectors[MAX_VECTORS];
        size_t count =
            kf__writer_iovec_from(&connection->out, connection->sent, vectors, MAX_VECTORS);
        if (count > MAX_VECTORS)
            count = MAX_VECTORS;
        struct msghdr message = {.msg_iov = vectors};
        message.msg_iovlen = (unsigned short)count; /* size_t in glibc, int in POSIX and musl */
        ssize_t sent =
            count == 0 ? 0 : sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent < 0) {
            connection->closing = true;
            return;
        }
        connection->sent += (size_t)sent;
        if (connection->sent >= connection->out.total)
            kf__dispatch_sent(broker, connection);
    }
}

/* ---- a turn ---- */

static kf_err reserve_fds(struct kf__server *server, size_t count)
{
    if (count <= server->fd_capacity)
        return KF_OK;
    struct pollfd *fds = kf_realloc(server->alloc, server->fds, count * 2 * sizeof *fds);
    if (!fds)
        return KF_ERR_NO_MEMORY;
    server->fds = fds;
    uint64_t *ids = kf_realloc(server->alloc, server->fd_ids, count * 2 * sizeof *ids);
    if (!ids)
        return KF_ERR_NO_MEMORY;
    server->fd_ids = ids;
    server->fd_capacity = count * 2;
    return KF_OK;
}

static short wanted_events(const struct kf__connection *connection)
{
    if (connection->writing && connection->answer_at == 0)
        return POLLOUT;
    return connection->more_waits ? 0 : POLLIN;
}

/* The wake pipe first, then a place for each node, then one for each slot. */
static size_t fill_fds(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    size_t nodes = (size_t)broker->topics.node_count;
    server->fds[0] = (struct pollfd){.fd = server->wake[0], .events = POLLIN};
    for (size_t i = 1; i <= nodes; i++)
        server->fds[i] = (struct pollfd){.fd = server->nodes[i].listens ? server->nodes[i].fd : -1,
                                         .events = POLLIN};
    for (size_t i = 0; i < server->slot_count; i++) {
        const struct kf__connection *connection = server->connections[i];
        server->fd_ids[1 + nodes + i] = connection ? connection->id : 0;
        server->fds[1 + nodes + i] = (struct pollfd){
            .fd = connection ? connection->fd : -1,
            .events = connection ? wanted_events(connection) : (short)0,
        };
    }
    return 1 + nodes + server->slot_count;
}

static int wait_ms(const struct kf_broker *broker, int timeout_ms, kf_time now)
{
    kf_time deadline = kf__coordinator_deadline(&broker->coordinator);
    kf_time parked = kf__dispatch_deadline(broker);
    kf_time event = kf__rules_deadline(&broker->rules);
    if (parked < deadline)
        deadline = parked;
    if (event < deadline)
        deadline = event;
    if (deadline == KF_FOREVER)
        return timeout_ms;
    kf_time left = deadline > now ? (deadline - now + KF_MILLISECOND - 1) / KF_MILLISECOND : 0;
    if (timeout_ms >= 0 && left > timeout_ms)
        return timeout_ms;
    return left > 1000 ? 1000 : (int)left;
}

/* Delays and mutes that are over. */
static void let_time_pass(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    if (connection->answer_at > 0 && connection->answer_at <= now) {
        connection->answer_at = 0;
        kf__server_write(broker, connection);
    }
    if (connection->muted_until > 0 && connection->muted_until <= now)
        connection->muted_until = 0;
    bool idle = connection->frame_size == 0 && connection->muted_until == 0 && !broker->paused;
    if (idle && !connection->closing) {
        connection->more_waits = false;
        kf__dispatch(broker, connection, now);
    }
}

static void serve(struct kf_broker *broker, size_t count, kf_time now)
{
    struct kf__server *server = &broker->server;
    size_t nodes = (size_t)broker->topics.node_count;
    for (size_t i = 1 + nodes; i < count; i++) {
        struct kf__connection *connection = server->connections[i - 1 - nodes];
        short events = server->fds[i].revents;
        if (!events || !connection || connection->id != server->fd_ids[i])
            continue;
        if (events & (POLLHUP | POLLERR) && connection->frame_size > 0)
            connection->closing = true; /* nobody is left to read the answer */
        if (events & POLLOUT)
            kf__server_write(broker, connection);
        if (events & (POLLIN | POLLHUP | POLLERR))
            receive(broker, connection, now);
    }
    for (size_t i = 1; i <= nodes; i++)
        if (server->fds[i].revents && server->nodes[i].listens)
            accept_one(broker, (int32_t)i);
}

kf_err kf__server_turn(struct kf_broker *broker, int timeout_ms)
{
    struct kf__server *server = &broker->server;
    kf_err err = reserve_fds(server, 1 + (size_t)broker->topics.node_count + server->slot_count);
    if (err)
        return err;
    while (server->guests > 0)
        pthread_cond_wait(&broker->poll_ends, &broker->lock);
    size_t count = fill_fds(broker);
    int wait = wait_ms(broker, timeout_ms, kf__broker_now(broker));
    server->polls = true;
    pthread_mutex_unlock(&broker->lock);
    int ready = poll(server->fds, (nfds_t)count, wait);
    pthread_mutex_lock(&broker->lock);
    server->polls = false;
    pthread_cond_broadcast(&broker->poll_ends);

    kf_time now = kf__broker_now(broker);
    if (ready > 0) {
        char drain[64];
        while (read(server->wake[0], drain, sizeof drain) > 0)
            ;
        serve(broker, count, now);
    }
    kf__events_run(broker, now);
    kf__coordinator_tick(&broker->coordinator, now);
    for (size_t i = 0; i < server->slot_count; i++)
        if (server->connections[i])
            let_time_pass(broker, server->connections[i], now);
    kf__dispatch_parked(broker, now);
    sweep(broker);
    return KF_OK;
}
