/*
 * server_tls: a connection of a TLS listener: records to plaintext and back.
 *
 *   recv ─▶ kf__tls ─▶ in ─▶ dispatch        out ─▶ kf__tls ─▶ send
 *
 * Handshakes run on the broker's own thread: it is a broker for tests.
 */
#include "tools/broker/server/server.h"

#include "proto/codec/frame.h"
#include "tools/broker/state.h"

#include <sys/socket.h>

enum {
    PARTS = 16,
};

bool kf__server_begin_tls(struct kf__server *server, struct kf__connection *connection)
{
    struct kf__tls_context *context = server->listeners.items[connection->listener].tls;
    if (!context)
        return true;
    connection->tls = kf__tls_new(context, server->slabs, connection->peer, NULL);
    return connection->tls != NULL;
}

/* Who the client is says its certificate; false where no rule maps it. */
static bool name_principal(struct kf_broker *broker, struct kf__connection *connection)
{
    char subject[KF__PRINCIPAL_BYTES];
    if (!kf__tls_subject(connection->tls, subject, sizeof subject))
        return true;
    return kf__principal_of(&broker->server.listeners.rules, subject, connection->principal,
                            sizeof connection->principal);
}

/* One step; an alert is sent even where that ends it. */
static void shake_hands(struct kf_broker *broker, struct kf__connection *connection)
{
    struct kf__work *work = kf__tls_work(connection->tls);
    work->run(work);
    kf__tls_stepped(connection->tls);
    enum kf__tls_state state = kf__tls_state(connection->tls);
    kf__server_write(broker, connection);
    if (state == KF__TLS_FAILED || (state == KF__TLS_OPEN && !name_principal(broker, connection)))
        connection->closing = true;
}

void kf__server_open_records(struct kf_broker *broker, struct kf__connection *connection,
                             kf_time now)
{
    size_t got = 1;
    while (got && !connection->closing && connection->frame_size == 0 && !broker->paused &&
           connection->muted_until <= now && kf__tls_state(connection->tls) == KF__TLS_OPEN) {
        if (!kf__server_make_room(&broker->server, connection)) {
            connection->closing = true;
            return;
        }
        kf_err err = kf__tls_read(connection->tls, connection->in + connection->in_used,
                                  connection->in_capacity - connection->in_used, &got);
        connection->closing |= err != KF_OK;
        connection->in_used += got;
        if (got)
            kf__dispatch(broker, connection, now);
    }
}

void kf__server_opened(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    if (kf__tls_state(connection->tls) == KF__TLS_HANDSHAKE)
        shake_hands(broker, connection);
    kf__server_open_records(broker, connection, now);
}

bool kf__server_seal(struct kf__connection *connection)
{
    while (connection->sent < connection->out.total) {
        struct iovec parts[PARTS];
        size_t taken = 0;
        size_t count = kf__writer_iovec_from(&connection->out, connection->sent, parts, PARTS);
        if (kf__tls_write(connection->tls, parts, count < PARTS ? count : PARTS, &taken)) {
            connection->closing = true;
            return false;
        }
        if (taken == 0)
            return true;
        connection->sent += taken;
    }
    return true;
}

void kf__server_say_farewell(struct kf__connection *connection)
{
    uint8_t words[64];
    if (!connection->tls || connection->fd < 0)
        return;
    size_t size = kf__tls_farewell(connection->tls, words, sizeof words);
    ssize_t sent = size ? send(connection->fd, words, size, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    (void)sent; /* whatever becomes of it */
}
