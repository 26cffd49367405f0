/*
 * server: the whole of ports and connections: opened and closed, and how a
 * thread that waits for them is woken, or got out. See server.h.
 */
#include "tools/broker/server/server.h"

#include "tools/broker/state.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    SLAB_KEEP = 1 << 20, /* bytes of free slabs kept */
    WAKE_PLACE = 0,      /* in the back-end */
};

void kf__server_init(struct kf__server *server)
{
    server->wake[0] = server->wake[1] = -1;
    server->process = getpid();
    kf__link_init(&server->stirred);
    kf__link_init(&server->parked);
    for (int32_t node = 0; node <= KF__MAX_NODES; node++)
        for (int32_t i = 0; i < KF__MAX_LISTENERS; i++)
            server->nodes[node].ports[i].fd = -1;
}

bool kf__server_unblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static kf_err open_wake_pipe(struct kf__server *server)
{
    int wanted = 0;
    if (pipe(server->wake) != 0 || !kf__server_unblock(server->wake[0]) ||
        !kf__server_unblock(server->wake[1]))
        return KF_ERR_SYSTEM;
    return kf__server_want(server, WAKE_PLACE, 0, server->wake[0], &wanted, KF__READABLE);
}

static kf_err open_waiting(struct kf__server *server, enum kf__backend backend, kf_error *error)
{
    server->backend = kf__backend_of(backend);
    if (!server->backend)
        return kf_error_set(error, KF_ERR_NOT_BUILT, "this system has no epoll");
    kf_err err = server->backend->open(server->alloc, NULL, &server->waits);
    if (!err)
        err = open_wake_pipe(server);
    if (err == KF_ERR_SYSTEM)
        return kf_error_set(error, err, "cannot wait for sockets: %s", strerror(errno));
    return err ? kf_error_set(error, err, "out of memory") : KF_OK;
}

kf_err kf__server_open(struct kf_broker *broker, const kf_broker_options *options,
                       enum kf__backend backend, kf_error *error)
{
    struct kf__server *server = &broker->server;
    server->max_connections = options->max_connections;
    kf_err err = kf__listeners_open(&server->listeners, broker->alloc, options, error);
    if (err)
        return err;
    server->slabs = kf__slab_pool_new(broker->alloc, SLAB_KEEP);
    if (!server->slabs)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "out of memory");
    if (!options->virtual_time)
        err = open_waiting(server, backend, error);
    return err ? err : kf__server_take_ports(broker, error);
}

void kf__server_close(struct kf_broker *broker)
{
    struct kf__server *server = &broker->server;
    kf__server_close_all(broker);
    kf__server_drop_ports(broker);
    kf__listeners_close(&server->listeners, server->alloc);
    if (server->slabs)
        kf__slab_pool_drop(server->slabs);
    if (server->waits)
        server->backend->close(server->waits);
    for (int i = 0; i < 2; i++)
        if (server->wake[i] >= 0)
            close(server->wake[i]);
    kf_free(server->alloc, server->slots);
}

kf_err kf__server_want(struct kf__server *server, uint32_t place, uint64_t id, int fd, int *wanted,
                       int now)
{
    int before = *wanted;
    if (before == now || !server->waits)
        return KF_OK;
    bool is_child = !now && server->process != getpid(); /* it would take it from its parent */
    kf_err err = is_child
                     ? KF_OK
                     : server->backend->want(server->waits, place, (uint32_t)id, fd, before, now);
    if (!err)
        *wanted = now;
    return err;
}

void kf__server_wake(const struct kf__server *server)
{
    ssize_t written = server->wake[1] >= 0 ? write(server->wake[1], "", 1) : 0;
    (void)written; /* a full pipe wakes as well */
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
