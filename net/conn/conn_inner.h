/*
 * conn_inner: what conn.c (the states), conn_calls.c (requests and answers),
 * conn_tls.c and conn_sasl.c know of each other.
 */
#ifndef KF_NET_CONN_INNER_H
#define KF_NET_CONN_INNER_H

#include "net/conn/conn.h"

void kf__conn_fail(struct kf__conn *conn, kf_time now, kf_err err, const char *format, ...)
    KF_PRINTF(4, 5);

/* Appends a request to the output and an entry to the flight; `call` NULL: the connection's own. */
kf_err kf__conn_encode(struct kf__conn *conn, struct kf__call *call, int16_t api_key,
                       int16_t version, const void *message, kf_time expires);
void kf__conn_encode_waiting(struct kf__conn *conn, kf_time now);
bool kf__conn_awaits_fetch(const struct kf__conn *conn);
/* Takes the entry that the frame answers off the flight; an error where there is none. */
kf_err kf__conn_match(struct kf__conn *conn, const struct kf__frame *frame,
                      struct kf__flight_entry *entry, size_t *header);
/* Decodes an answer and ends its call. */
void kf__conn_complete(struct kf__conn *conn, kf_time now, const struct kf__flight_entry *entry,
                       const struct kf__frame *frame, size_t header);
void kf__conn_end_flight(struct kf__conn *conn, kf_err err);
/* Ends calls whose time has come, and the connection where the broker kept silent. */
void kf__conn_expire(struct kf__conn *conn, kf_time now);
/* So many bytes of the output have left, or are in TLS's hands. */
void kf__conn_taken(struct kf__conn *conn, size_t size);

/* ---- conn.c: a step of the set-up is done ---- */
void kf__conn_secured(struct kf__conn *conn, kf_time now);
void kf__conn_authenticated(struct kf__conn *conn, kf_time now);
/* Plaintext bytes of the inbox become frames. */
void kf__conn_take_frames(struct kf__conn *conn, kf_time now);

/* ---- conn_tls.c ---- */
void kf__conn_begin_tls(struct kf__conn *conn, kf_time now);
void kf__conn_tls_worked(struct kf__conn *conn, kf_time now);
/* Records have come; they are opened as far as they go. */
void kf__conn_tls_received(struct kf__conn *conn, kf_time now, size_t size);
/* Output goes through TLS as far as it takes it. */
void kf__conn_tls_seal(struct kf__conn *conn, kf_time now);

/* ---- conn_sasl.c ---- */
void kf__conn_begin_sasl(struct kf__conn *conn, kf_time now);
/* An answer to one of its own requests; the bytes are valid during the call. */
void kf__conn_take_sasl(struct kf__conn *conn, kf_time now, const struct kf__flight_entry *asked,
                        const void *body, size_t size);
void kf__conn_sasl_worked(struct kf__conn *conn, kf_time now);
void kf__conn_drop_sasl(struct kf__conn *conn);
/* A broker with SaslHandshake 0 only: bare tokens after it. */
bool kf__conn_expects_raw(const struct kf__conn *conn);
void kf__conn_take_raw(struct kf__conn *conn, kf_time now, const void *bytes, size_t size);
void kf__conn_lost_in_sasl(struct kf__conn *conn, kf_time now, const char *cause);
/* The session nears its end: no call is written any more; and nothing is under way either. */
bool kf__conn_must_renew(const struct kf__conn *conn, kf_time now);
bool kf__conn_may_renew(const struct kf__conn *conn, kf_time now);

#endif
