/*
 * server_ports: the listening sockets of each node, one for each listener. A
 * node has its ports from the start, also while it is stopped: whoever
 * connects meanwhile is refused, and nobody else can take them.
 */
#include "tools/broker/server/server.h"

#include "tools/broker/state.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
    VIRTUAL_PORT = 9092, /* of the first node, where there are no ports */
    BACKLOG = 128,
};

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
    if (kf__server_unblock(fd) && bind(fd, at->ai_addr, at->ai_addrlen) == 0)
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
    broker->server.ports_changed = true;
    return err;
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

kf_err kf__server_take_ports(struct kf_broker *broker, kf_error *error)
{
    kf_err err = KF_OK;
    for (int32_t node = 1; !err && node <= broker->options.nodes; node++)
        err = start_first_time(broker, node, error);
    return err;
}

/* ---- which of them are listened to ---- */

uint32_t kf__server_port_count(const struct kf_broker *broker)
{
    return (uint32_t)(broker->topics.node_count * broker->server.listeners.count);
}

static uint32_t place_of(const struct kf__server *server, int32_t node, int32_t listener)
{
    return 1 + (uint32_t)((node - 1) * server->listeners.count + listener);
}

static kf_err want(struct kf__server *server, int32_t node, int32_t listener, int events)
{
    struct kf__port *port = &server->nodes[node].ports[listener];
    if (port->fd < 0)
        return KF_OK;
    return kf__server_want(server, place_of(server, node, listener), 0, port->fd, &port->wanted,
                           events);
}

void kf__server_listen_anew(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    kf_err err = KF_OK;
    if (!server->ports_changed)
        return;
    for (int32_t node = 1; !err && node <= broker->topics.node_count; node++) {
        bool takes_more = server->nodes[node].listens && !server->is_full;
        for (int32_t i = 0; !err && i < server->listeners.count; i++)
            err = want(server, node, i, takes_more ? KF__READABLE : 0);
    }
    server->ports_changed = err != KF_OK; /* the next turn tries again */
}

static void close_port(struct kf__server *server, int32_t node, int32_t listener)
{
    struct kf__port *port = &server->nodes[node].ports[listener];
    want(server, node, listener, 0);
    if (port->fd >= 0)
        close(port->fd);
    port->fd = -1;
}

void kf__server_stop_node(struct kf_broker *broker, int32_t node)
{
    struct kf__server *server = &broker->server;
    struct kf__node *stopping = &server->nodes[node];
    stopping->listens = false;
    for (int32_t i = 0; i < server->listeners.count && !broker->options.virtual_time; i++) {
        close_port(server, node, i);
        /* Somebody else's connection may be given a free port: it is ours until the node starts
           again. If it goes lost in between, starting says so. */
        (void)take_port(&server->listeners.items[i], &stopping->ports[i]);
    }
    for (uint32_t i = 0; i < server->slot_count; i++) {
        struct kf__connection *connection = server->slots[i].connection;
        if (connection && connection->node == node)
            kf__server_close_connection(broker, connection);
    }
}

void kf__server_drop_ports(struct kf_broker *broker)
{
    for (int32_t node = 1; node <= KF__MAX_NODES; node++)
        for (int32_t i = 0; i < KF__MAX_LISTENERS; i++)
            close_port(&broker->server, node, i);
}

/* ---- who comes ---- */

static void accept_one(struct kf_broker *broker, int32_t node, int32_t listener)
{
    struct kf__server *server = &broker->server;
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    int on = 1;
    int fd = accept(server->nodes[node].ports[listener].fd, (struct sockaddr *)&address, &size);
    if (fd < 0) {
        /* It would be ready again at once: who waits comes in when somebody goes. */
        server->is_full = (errno == EMFILE || errno == ENFILE) && server->connection_count > 0;
        server->ports_changed |= server->is_full;
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (kf__server_unblock(fd))
        kf__server_accept_socket(broker, node, listener, fd, &address);
    else
        close(fd);
}

void kf__server_answer_port(struct kf_broker *broker, uint32_t port)
{
    uint32_t listeners = (uint32_t)broker->server.listeners.count;
    int32_t node = (int32_t)(port / listeners) + 1;
    if (broker->server.nodes[node].listens)
        accept_one(broker, node, (int32_t)(port % listeners));
}
