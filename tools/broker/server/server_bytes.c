/*
 * server_bytes: from the socket to frames and from answers to the socket, as
 * much as there is and fits. While a request is under way nothing is read.
 */
#include "tools/broker/server/server.h"

#include "proto/codec/frame.h"
#include "tools/broker/state.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    FIRST_READ_BYTES = 4 << 10,
    KEPT_READ_BYTES = 1 << 20, /* of an idle connection */
    MAX_VECTORS = 64,
    MAX_READS_PER_TURN = 16, /* so that one busy client doesn't keep the others waiting */
};

void kf__server_drop_room(struct kf__server *server, struct kf__connection *connection)
{
    kf_free(server->alloc, connection->in);
    server->in_bytes -= connection->in_capacity;
    connection->in = NULL;
    connection->in_capacity = 0;
}

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
        kf__server_drop_room(server,
                             connection); /* one large request is no reason to hold it for ever */
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

void kf__server_receive(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
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
        if ((size_t)got < room) /* that was all */
            return;
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
            kf__dispatch_sent(connection);
    }
}

void kf__server_go_on(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    kf__dispatch(broker, connection, now);
    if (connection->tls)
        kf__server_open_records(broker, connection, now);
}

int kf__server_wanted(const struct kf__connection *connection)
{
    if (answers(connection))
        return KF__WRITABLE | KF__HANGUP;
    int records = has_records(connection) ? KF__WRITABLE : 0;
    return records | (connection->more_waits ? 0 : KF__READABLE) | KF__HANGUP;
}
