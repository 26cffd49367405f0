/*
 * sasl: which mechanism the connections of a cluster authenticate with, and
 * the built-in ones as kf_sasl_mechanism: PLAIN (RFC 4616), SCRAM
 * (sasl_scram.h), OAUTHBEARER (RFC 7628, tokens from token.h).
 *
 *   settings ──open: everything checked──▶ kf__sasl ──▶ one exchange a connection (conn_sasl.c)
 *
 * Only the one that is configured is ever used: what a broker lists changes
 * nothing.
 */
#ifndef KF_NET_SASL_H
#define KF_NET_SASL_H

#include "net/sasl/token.h"
#include <kafiber/sasl.h>

struct kf__sasl;

/* Texts are borrowed and must outlive the loop. */
struct kf__sasl_settings {
    const char *mechanism;        /* sasl.mechanism */
    const kf_sasl_mechanism *own; /* the user's, instead; NULL: none */
    const char *user;
    const char *password;
    bool delegation_token; /* user and password are one's (KIP-48): SCRAM only */
    struct kf__token_settings tokens;
    const struct kf__world *world;
};

/* KF_ERR_CONFIG, KF_ERR_NOT_BUILT with a sentence that names the keys. */
kf_err kf__sasl_open(const kf_allocator *alloc, const struct kf__sasl_settings *settings,
                     struct kf__sasl **sasl, kf_error *error);
/* The loop's thread, or before and after it. NULL is allowed. */
struct kf__sasl *kf__sasl_retain(struct kf__sasl *sasl);
void kf__sasl_close(struct kf__sasl *sasl);

/* Lives as long as `sasl`. */
const kf_sasl_mechanism *kf__sasl_mechanism(const struct kf__sasl *sasl);

#endif
