#include "tools/broker/server/server.h"

#include "proto/codec/frame.h"
#include "tools/broker/faults/events.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FIRST_READ_BYTES = 4 << 10,
    KEPT_READ_BYTES = 1 << 20, /* of an idle connection */
    VIRTUAL_PORT = 9092,       /* of the first node, where there are no ports */
    MAX_VECTORS = 64,
    MAX_READS_PER_TURN = 16, /* so that one busy client doesn't keep the others waiting */
    BACKLOG = 128,
    SLAB_KEEP = 1 << 20, /* bytes of free slabs kept */
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
static kf_err take_port(const struct kf__listener *listener, struct kf__port *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port->number);
    if (getaddrinfo(listener->host, service, &hints, &found) != 0)
        return KF_ERR_NAME_NOT_RESOLVED;
    int fd = bind_to(found);
    freeaddrinfo(found);
    if (fd < 0)
        return KF_ERR_SYSTEM;
    port->fd = fd;
    port->number = bound_port(fd);
    return KF_OK;
}

static kf_err start_port(const struct kf__listener *listener, struct kf__port *port)
{
    kf_err err = port->fd < 0 ? take_port(listener, port) : KF_OK;
    if (!err && listen(port->fd, BACKLOG) != 0)
        err = KF_ERR_SYSTEM;
    return err;
}

kf_err kf__server_start_node(struct kf_broker *broker, int32_t node)
{
    const struct kf__listeners *listeners = &broker->server.listeners;
    struct kf__node *starting = &broker->server.nodes[node];
    kf_err err = KF_OK;
    for (int32_t i = 0; !err && i < listeners->count && !broker->options.virtual_time; i++)
        err = start_port(&listeners->items[i], &starting->ports[i]);
    starting->listens = !err;
    return err;
}

void kf__server_init(struct kf__server *server)
{
    server->wake[0] = server->wake[1] = -1;
    for (int32_t node = 0; node <= KF__MAX_NODES; node++)
        for (int32_t i = 0; i < KF__MAX_LISTENERS; i++)
            server->nodes[node].ports[i].fd = -1;
}

static kf_err start_first_time(struct kf_broker *broker, int32_t node, kf_error *error)
{
    struct kf__server *server = &broker->server;
    for (int32_t i = 0; i < server->listeners.count; i++) {
        const struct kf__listener *listener = &server->listeners.items[i];
        struct kf__port *port = &server->nodes[node].ports[i];
        bool virtual = broker->options.virtual_time;
        uint16_t first = virtual && listener->port == 0 ? VIRTUAL_PORT : listener->port;
        port->number = (uint16_t)(first == 0 ? 0 : first + node - 1);
        kf_err err = virtual ? KF_OK : take_port(listener, port);
        if (err)
            return kf_error_set(error, err, "cannot listen on %s port %u: %s", listener->host,
                                port->number,
                                err == KF_ERR_SYSTEM ? strerror(errno) : kf_err_text(err));
    }
    kf_err err = kf__server_start_node(broker, node);
    return err ? kf_error_set(error, err, "cannot listen: %s", strerror(errno)) : KF_OK;
}

/* Room to poll so many beside the wake pipe and the ports; a turn must not run out of memory. */
static kf_err reserve_fds(struct kf__server *server, size_t slots)
{
    size_t count = server->fixed_fds + slots;
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

static size_t port_count(const struct kf_broker *broker)
{
    return (size_t)broker->topics.node_count * (size_t)broker->server.listeners.count;
}

kf_err kf__server_open(struct kf_broker *broker, const kf_broker_options *options, kf_error *error)
{
    struct kf__server *server = &broker->server;
    server->max_connections = options->max_connections;
    kf_err err = kf__listeners_open(&server->listeners, broker->alloc, options, error);
    if (err)
        return err;
    server->fixed_fds = 1 + port_count(broker);
    server->slabs = kf__slab_pool_new(broker->alloc, SLAB_KEEP);
    if (!server->slabs || reserve_fds(server, 0))
        return kf_error_set(error, KF_ERR_NO_MEMORY, "out of memory");
    if (!options->virtual_time && (pipe(server->wake) != 0 || !make_nonblocking(server->wake[0]) ||
                                   !make_nonblocking(server->wake[1])))
        return kf_error_set(error, KF_ERR_SYSTEM, "pipe: %s", strerror(errno));
    for (int32_t node = 1; !err && node <= options->nodes; node++)
        err = start_first_time(broker, node, error);
    return err;
}

/* ---- connections ---- */

static void drop_room(struct kf__server *server, struct kf__connection *connection)
{
    kf_free(server->alloc, connection->in);
    server->in_bytes -= connection->in_capacity;
    connection->in = NULL;
    connection->in_capacity = 0;
}

static void close_connection(struct kf_broker *broker, size_t slot)
{
    struct kf__server *server = &broker->server;
    struct kf__connection *connection = server->connections[slot];
    kf__dispatch_abandon(broker, connection);
    kf__session_free(&connection->session, &broker->sasl);
    kf__server_say_farewell(connection);
    if (connection->pipe)
        kf__pipe_close(&broker->memory, connection->pipe);
    else
        close(connection->fd);
    kf__tls_free(connection->tls);
    kf_writer_free(&connection->out);
    drop_room(server, connection);
    kf_free(server->alloc, connection);
    server->connections[slot] = NULL;
    server->connection_count--;
    server->is_full = false;
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
    stopping->listens = false;
    for (int32_t i = 0; i < server->listeners.count && !broker->options.virtual_time; i++) {
        struct kf__port *port = &stopping->ports[i];
        if (port->fd >= 0)
            close(port->fd);
        port->fd = -1;
        /* Somebody else's connection may be given a free port: it is ours until the node starts
           again. If it goes lost in between, starting says so. */
        (void)take_port(&server->listeners.items[i], port);
    }
    for (size_t i = 0; i < server->slot_count; i++)
        if (server->connections[i] && server->connections[i]->node == node)
            close_connection(broker, i);
}

void kf__server_close(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    kf__server_close_all(broker);
    for (int32_t node = 0; node <= KF__MAX_NODES; node++)
        for (int32_t i = 0; i < KF__MAX_LISTENERS; i++)
            if (server->nodes[node].ports[i].fd >= 0)
                close(server->nodes[node].ports[i].fd);
    kf__listeners_close(&server->listeners, server->alloc);
    if (server->slabs)
        kf__slab_pool_drop(server->slabs);
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
    ssize_t written = server->wake[1] >= 0 ? write(server->wake[1], "", 1) : 0;
    (void)written; /* a full pipe wakes as well */
}

/* A free slot; SIZE_MAX when out of memory. */
static size_t free_slot(struct kf__server *server)
{
    for (size_t i = 0; i < server->slot_count; i++)
        if (!server->connections[i])
            return i;
    size_t count = server->slot_count ? server->slot_count * 2 : 8;
    if (reserve_fds(server, count))
        return SIZE_MAX;
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

static bool begin_tls(struct kf__server *server, struct kf__connection *connection)
{
    struct kf__tls_context *context = server->listeners.items[connection->listener].tls;
    if (!context)
        return true;
    connection->tls = kf__tls_new(context, server->slabs, connection->peer, NULL);
    return connection->tls != NULL;
}

/* NULL: no memory. */
static struct kf__connection *add_connection(struct kf__server *server, int32_t node,
                                             int32_t listener)
{
    bool too_many = server->connection_count >= server->max_connections;
    size_t slot = too_many ? SIZE_MAX : free_slot(server);
    struct kf__connection *connection =
        slot == SIZE_MAX ? NULL : kf_alloc_zero(server->alloc, sizeof *connection);
    if (!connection)
        return NULL;
    connection->fd = -1;
    connection->node = node;
    connection->listener = listener;
    connection->id = ++server->last_id;
    snprintf(connection->principal, sizeof connection->principal, "%s", KF__ANONYMOUS);
    kf_writer_init(&connection->out, server->alloc);
    server->connections[slot] = connection;
    server->connection_count++;
    return connection;
}

bool kf__server_accept_pipe(struct kf_broker *broker, int32_t node, struct kf__pipe *pipe)
{
    struct kf__connection *connection = add_connection(&broker->server, node, 0);
    if (!connection)
        return false;
    connection->pipe = pipe;
    snprintf(connection->peer, sizeof connection->peer, "/127.0.0.1");
    connection->closing = !begin_tls(&broker->server, connection);
    return true;
}

static void accept_one(struct kf_broker *broker, int32_t node, int32_t listener)
{
    struct kf__server *server = &broker->server;
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    int fd = accept(server->nodes[node].ports[listener].fd, (struct sockaddr *)&address, &size);
    if (fd < 0) {
        /* It would be ready again at once: who waits comes in when somebody goes. */
        server->is_full = (errno == EMFILE || errno == ENFILE) && server->connection_count > 0;
        return;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct kf__connection *connection =
        make_nonblocking(fd) ? add_connection(server, node, listener) : NULL;
    if (!connection) {
        close(fd);
        return;
    }
    connection->fd = fd;
    name_peer(connection, &address);
    connection->closing = !begin_tls(server, connection);
}

/* ---- bytes ---- */

/* Room to read into: grows only as bytes come. False: no memory. */
bool kf__server_make_room(struct kf__server *server, struct kf__connection *connection)
{
    if (connection->in_start > 0) { /* no frame is under way: nothing borrows */
        connection->in_used -= connection->in_start;
        memmove(connection->in, connection->in + connection->in_start, connection->in_used);
        connection->in_start = 0;
    }
    if (connection->in_capacity - connection->in_used >= FIRST_READ_BYTES / 2 &&
        (connection->in_used > 0 || connection->in_capacity <= KEPT_READ_BYTES))
        return true;
    if (connection->in_used == 0 && connection->in_capacity > KEPT_READ_BYTES)
        drop_room(server, connection); /* one large request is no reason to hold it for ever */
    size_t capacity = connection->in_capacity ? connection->in_capacity * 2 : FIRST_READ_BYTES;
    size_t more = capacity - connection->in_capacity;
    if (more > KF__MAX_IN_BYTES - server->in_bytes)
        return false;
    uint8_t *in = kf_realloc(server->alloc, connection->in, capacity);
    if (!in)
        return false;
    server->in_bytes += more;
    connection->in = in;
    connection->in_capacity = capacity;
    return true;
}

static ssize_t take_bytes(struct kf_broker *broker, struct kf__connection *connection, void *bytes,
                          size_t size, bool peek)
{
    if (connection->pipe)
        return kf__pipe_receive(&broker->memory, connection->pipe, bytes, size, peek);
    return recv(connection->fd, bytes, size, peek ? MSG_PEEK : 0);
}

static ssize_t give_bytes(struct kf_broker *broker, struct kf__connection *connection,
                          struct iovec *vectors, size_t count)
{
    if (connection->pipe)
        return kf__pipe_send(&broker->memory, connection->pipe, vectors, count);
    struct msghdr message = {.msg_iov = vectors};
    message.msg_iovlen = (unsigned short)count; /* size_t in glibc, int in POSIX and musl */
    return sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* While a request is under way its bytes must stay where they are: only look. */
static void peek(struct kf_broker *broker, struct kf__connection *connection)
{
    char byte;
    ssize_t got = take_bytes(broker, connection, &byte, 1, true);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        connection->closing = true;
    else if (got > 0)
        connection->more_waits = true;
}

/* Where received bytes go: to the frames, or to TLS. */
static bool find_room(struct kf__server *server, struct kf__connection *connection, uint8_t **bytes,
                      size_t *size)
{
    if (connection->tls)
        return kf__tls_space(connection->tls, bytes, size) == KF_OK;
    if (!kf__server_make_room(server, connection))
        return false;
    *bytes = connection->in + connection->in_used;
    *size = connection->in_capacity - connection->in_used;
    return true;
}

static void receive(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    for (int i = 0; i < MAX_READS_PER_TURN && !connection->closing; i++) {
        uint8_t *bytes;
        size_t room;
        if (connection->frame_size > 0 || broker->paused || connection->muted_until > now) {
            peek(broker, connection);
            return;
        }
        if (!find_room(&broker->server, connection, &bytes, &room)) {
            connection->closing = true;
            return;
        }
        ssize_t got = take_bytes(broker, connection, bytes, room, false);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            connection->closing = true;
            return;
        }
        if (connection->tls) {
            kf__tls_received(connection->tls, (size_t)got);
            kf__server_opened(broker, connection, now);
        } else {
            connection->in_used += (size_t)got;
            kf__dispatch(broker, connection, now);
        }
    }
}

/* A delayed answer does not leave yet. */
static bool answers(const struct kf__connection *connection)
{
    return connection->writing && connection->answer_at == 0;
}

static bool has_records(const struct kf__connection *connection)
{
    return connection->tls && kf__tls_output(connection->tls).iov_len > 0;
}

/* What the socket would take next: the answer's bytes, or the records that hold them. */
static size_t next_bytes(const struct kf__connection *connection, struct iovec *vectors)
{
    if (connection->tls) {
        vectors[0] = kf__tls_output(connection->tls);
        return 1;
    }
    size_t count = kf__writer_iovec_from(&connection->out, connection->sent, vectors, MAX_VECTORS);
    return count > MAX_VECTORS ? MAX_VECTORS : count;
}

/* Once what is there: false where the socket is full or broken. */
static bool write_some(struct kf_broker *broker, struct kf__connection *connection)
{
    struct iovec vectors[MAX_VECTORS];
    size_t count = next_bytes(connection, vectors);
    ssize_t sent = count == 0 ? 0 : give_bytes(broker, connection, vectors, count);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    connection->closing |= sent < 0;
    if (sent >= 0 && connection->tls)
        kf__tls_sent(connection->tls, (size_t)sent);
    else if (sent >= 0)
        connection->sent += (size_t)sent;
    return sent >= 0;
}

void kf__server_write(struct kf_broker *broker, struct kf__connection *connection)
{
    while ((answers(connection) || has_records(connection)) && !connection->closing) {
        if (connection->tls && answers(connection) && !kf__server_seal(connection))
            return;
        if ((!connection->tls || has_records(connection)) && !write_some(broker, connection))
            return;
        bool all = connection->sent >= connection->out.total && !has_records(connection);
        if (answers(connection) && all)
            kf__dispatch_sent(broker, connection);
    }
}

void kf__server_go_on(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    kf__dispatch(broker, connection, now);
    if (connection->tls)
        kf__server_open_records(broker, connection, now);
}

/* ---- a turn ---- */

static short wanted_events(const struct kf__connection *connection)
{
    if (answers(connection))
        return POLLOUT;
    short records = has_records(connection) ? POLLOUT : 0;
    return connection->more_waits ? records : (short)(records | POLLIN);
}

static bool takes_more(const struct kf__server *server, int32_t node)
{
    return server->nodes[node].listens && !server->is_full;
}

/* The wake pipe first, then a place for each node's ports, then one for each slot. */
static size_t fill_fds(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    size_t at = 1;
    server->fds[0] = (struct pollfd){.fd = server->wake[0], .events = POLLIN};
    for (int32_t node = 1; node <= broker->topics.node_count; node++)
        for (int32_t i = 0; i < server->listeners.count; i++)
            server->fds[at++] = (struct pollfd){
                .fd = takes_more(server, node) ? server->nodes[node].ports[i].fd : -1,
                .events = POLLIN,
            };
    for (size_t i = 0; i < server->slot_count; i++, at++) {
        const struct kf__connection *connection = server->connections[i];
        server->fd_ids[at] = connection ? connection->id : 0;
        server->fds[at] = (struct pollfd){
            .fd = connection ? connection->fd : -1,
            .events = connection ? wanted_events(connection) : (short)0,
        };
    }
    return at;
}

kf_time kf__server_deadline(const struct kf_broker *broker)
{
    kf_time deadline = kf__coordinator_deadline(&broker->coordinator);
    kf_time parked = kf__dispatch_deadline(broker);
    kf_time event = kf__rules_deadline(&broker->rules);
    kf_time transactions = kf__txns_deadline(&broker->txns);
    kf_time consumers = kf__consumers_deadline(&broker->consumers);
    if (consumers < deadline)
        deadline = consumers;
    if (parked < deadline)
        deadline = parked;
    if (event < deadline)
        deadline = event;
    return transactions < deadline ? transactions : deadline;
}

static int wait_ms(const struct kf_broker *broker, int timeout_ms, kf_time now)
{
    kf_time deadline = kf__server_deadline(broker);
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
        kf__server_go_on(broker, connection, now);
    }
}

static void serve(struct kf_broker *broker, size_t count, kf_time now)
{
    struct kf__server *server = &broker->server;
    size_t ports = port_count(broker);
    for (size_t i = 1 + ports; i < count; i++) {
        struct kf__connection *connection = server->connections[i - 1 - ports];
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
    for (size_t i = 0; i < ports; i++) {
        int32_t node = (int32_t)(i / (size_t)server->listeners.count) + 1;
        int32_t listener = (int32_t)(i % (size_t)server->listeners.count);
        if (server->fds[1 + i].revents && server->nodes[node].listens)
            accept_one(broker, node, listener);
    }
}

static int poll_sockets(struct kf_broker *broker, size_t count, int wait)
{
    struct kf__server *server = &broker->server;
    server->polls = true;
    pthread_mutex_unlock(&broker->lock);
    int ready = poll(server->fds, (nfds_t)count, wait);
    pthread_mutex_lock(&broker->lock);
    server->polls = false;
    pthread_cond_broadcast(&broker->poll_ends);
    return ready;
}

static int poll_pipes(struct kf_broker *broker, size_t count)
{
    struct kf__server *server = &broker->server;
    size_t first = count - server->slot_count;
    int ready = 0;
    for (size_t i = 0; i < server->slot_count; i++) {
        const struct kf__connection *connection = server->connections[i];
        struct pollfd *fd = &server->fds[first + i];
        if (connection && connection->pipe)
            fd->revents = (short)(kf__pipe_events(connection->pipe) & (fd->events | POLLHUP));
        ready += fd->revents != 0;
    }
    return ready;
}

kf_err kf__server_turn(struct kf_broker *broker, int timeout_ms)
{
    struct kf__server *server = &broker->server;
    while (server->guests > 0)
        pthread_cond_wait(&broker->poll_ends, &broker->lock);
    size_t count = fill_fds(broker);
    int wait = wait_ms(broker, timeout_ms, kf__broker_now(broker));
    int ready = broker->options.virtual_time ? poll_pipes(broker, count)
                                             : poll_sockets(broker, count, wait);

    kf_time now = kf__broker_now(broker);
    if (ready > 0) {
        char drain[64];
        while (server->wake[0] >= 0 && read(server->wake[0], drain, sizeof drain) > 0)
            ;
        serve(broker, count, now);
    }
    kf__events_run(broker, now);
    kf__coordinator_tick(&broker->coordinator, now);
    kf__consumers_tick(&broker->consumers, now);
    kf__txns_tick(&broker->txns, kf__txn_now(broker, now));
    for (size_t i = 0; i < server->slot_count; i++)
        if (server->connections[i])
            let_time_pass(broker, server->connections[i], now);
    kf__dispatch_parked(broker, now);
    sweep(broker);
    return KF_OK;
}
