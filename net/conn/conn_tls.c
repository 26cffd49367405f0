/*
 * conn_tls: TLS on a connection: records in, plaintext to the inbox, and back.
 *
 *   CONNECTING ─▶ TLS: steps on a helper thread, bytes between them ─▶ VERSIONS
 *
 * After the handshake, records are opened and sealed on the loop's thread.
 * conn.c says when; tls.h is the step function itself.
 */
#include "net/conn/conn_inner.h"

#include "proto/codec/frame.h"

enum {
    PARTS = 16
};

/* TLS's goodbye is an end of the stream like any other: what it means, the state says. */
static void fail(struct kf__conn *conn, kf_time now)
{
    const char *text;
    kf_err err = kf__tls_error(conn->tls, &text);
    if (err == KF_ERR_DISCONNECTED && conn->state > KF__CONN_VERSIONS)
        kf__conn_lost(conn, now, "close_notify");
    else
        kf__conn_fail(conn, now, err, "%s", text);
}

void kf__conn_begin_tls(struct kf__conn *conn, kf_time now)
{
    conn->tls =
        kf__tls_new(conn->settings->security->tls, conn->settings->slabs, conn->peer, conn->host);
    if (conn->tls)
        conn->work = kf__tls_work(conn->tls);
    else
        kf__conn_fail(conn, now, KF_ERR_NO_MEMORY, "%s: no memory for a TLS handshake", conn->peer);
}

/* Plaintext that has come goes to the inbox, until no whole record is left. */
static void open_records(struct kf__conn *conn, kf_time now)
{
    while (conn->tls && conn->state != KF__CONN_TLS) {
        uint8_t *bytes;
        size_t size, got = 0;
        if (kf__inbox_space(&conn->inbox, &bytes, &size)) {
            kf__conn_fail(conn, now, KF_ERR_NO_MEMORY, "%s: no memory for an answer", conn->peer);
            return;
        }
        if (kf__tls_read(conn->tls, bytes, size, &got)) {
            fail(conn, now);
            return;
        }
        if (got == 0)
            return;
        kf__inbox_received(&conn->inbox, got);
        kf__conn_take_frames(conn, now);
    }
}

void kf__conn_tls_worked(struct kf__conn *conn, kf_time now)
{
    kf__tls_stepped(conn->tls);
    switch (kf__tls_state(conn->tls)) {
    case KF__TLS_HANDSHAKE:
        break;
    case KF__TLS_FAILED:
        fail(conn, now);
        break;
    case KF__TLS_OPEN:
        kf__conn_secured(conn, now);
        open_records(conn, now);
        break;
    }
}

void kf__conn_tls_received(struct kf__conn *conn, kf_time now, size_t size)
{
    kf__tls_received(conn->tls, size);
    if (conn->state == KF__CONN_TLS)
        conn->work = kf__tls_work(conn->tls);
    else
        open_records(conn, now);
}

void kf__conn_tls_seal(struct kf__conn *conn, kf_time now)
{
    while (conn->state != KF__CONN_TLS && conn->output.total > conn->output_sent) {
        struct iovec parts[PARTS];
        size_t taken = 0;
        size_t count = kf__writer_iovec_from(&conn->output, conn->output_sent, parts, PARTS);
        if (kf__tls_write(conn->tls, parts, count < PARTS ? count : PARTS, &taken)) {
            fail(conn, now);
            return;
        }
        if (taken == 0)
            return;
        kf__conn_taken(conn, taken);
    }
}
