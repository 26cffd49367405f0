/*
 * hint: what a peer that doesn't answer as a Kafka broker probably is.
 *
 * Pure: looks at the first bytes it sent and says in one sentence what to do.
 */
#ifndef KF_NET_HINT_H
#define KF_NET_HINT_H

#include <kafiber/error.h>

/* KF_ERR_TLS_EXPECTED or KF_ERR_NOT_KAFKA. */
kf_err kf__hint_of_bytes(const char *peer, const uint8_t *bytes, size_t size, char *text,
                         size_t text_size);

#endif
