/*
 * conn_sasl: authentication on a connection.
 *
 *   VERSIONS ─▶ SASL: SaslHandshake, then SaslAuthenticate until the mechanism is done ─▶ READY
 *
 * Requests leave through kf__conn_encode with no call; answers come to
 * kf__conn_take_sasl. What computes or blocks is put into conn->work and goes
 * on in kf__conn_sasl_worked. conn.c says when.
 */
#include "net/conn_inner.h"

void kf__conn_begin_sasl(struct kf__conn *conn, kf_time now)
{
    kf__conn_fail(conn, now, KF_ERR_NOT_BUILT, "%s: this version does not have SASL yet",
                  conn->peer);
}

void kf__conn_take_sasl(struct kf__conn *conn, kf_time now, const struct kf__flight_entry *asked,
                        const void *body, size_t size)
{
    (void)asked;
    (void)body;
    (void)size;
    kf__conn_authenticated(conn, now);
}

void kf__conn_sasl_worked(struct kf__conn *conn, kf_time now)
{
    (void)conn;
    (void)now;
}

void kf__conn_drop_sasl(struct kf__conn *conn) { (void)conn; }
