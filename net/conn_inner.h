/* conn_inner: what conn.c (the states) and conn_calls.c (requests and answers) know of each other.
 */
#ifndef KF_NET_CONN_INNER_H
#define KF_NET_CONN_INNER_H

#include "net/conn.h"

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

#endif
