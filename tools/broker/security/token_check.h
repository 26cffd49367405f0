/*
 * token_check: whether a JSON web token is to be believed: signed by the
 * broker's key (RS256, ES256), or unsecured where the options allow that; not
 * expired; somebody's. Reads the key's file once.
 */
#ifndef KF_BROKER_TOKEN_CHECK_H
#define KF_BROKER_TOKEN_CHECK_H

#include "net/sasl/jwt.h"

struct kf__token_rules {
    bool unsecured; /* tokens without a signature are believed */
    void *key;      /* OpenSSL's; NULL: none, no signed token is believed */
};

/* KF_ERR_CONFIG, KF_ERR_NOT_BUILT with a sentence. `path` NULL: no key. */
kf_err kf__token_rules_open(struct kf__token_rules *rules, const char *path, bool unsecured,
                            kf_error *error);
void kf__token_rules_close(struct kf__token_rules *rules);

/* KF_OK, or KF_ERR_SASL_AUTHENTICATION_FAILED. The claims lie in the arena. */
kf_err kf__token_check(const struct kf__token_rules *rules, kf_arena *arena, kf_string token,
                       int64_t wall_ms, struct kf__jwt *jwt);

#endif
