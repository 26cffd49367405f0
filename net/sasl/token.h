/*
 * token: where OAUTHBEARER's tokens come from, one source for each client.
 *
 *   get ──▶ still good? ── yes ──▶ a copy
 *              │ no, or past its refresh point
 *              └▶ callback │ file │ token endpoint (oidc.c) │ AWS (aws.c) │ made here, unsigned
 *
 * A token is opaque here: what counts is when its source says it ends. It is
 * replaced once sasl.login.refresh.window.factor of its life has passed; where
 * that fails while the old one is good, the old one is used on. Getting one
 * may block, so callers are on helper threads. One of them asks the source at
 * a time; others take the old one meanwhile or, where there is none that is
 * good, wait and share what became of it.
 */
#ifndef KF_NET_TOKEN_H
#define KF_NET_TOKEN_H

#include "net/loop/world.h"
#include "net/sasl/aws.h"
#include "net/tls/tls.h"

enum kf__token_provider {
    KF__TOKEN_NONE,
    KF__TOKEN_CALLBACK,
    KF__TOKEN_FILE,
    KF__TOKEN_OIDC,
    KF__TOKEN_AWS_MSK_IAM,
    KF__TOKEN_UNSECURED, /* as Java makes them from unsecuredLoginStringClaim_sub: for tests */
};

struct kf__oidc_settings {
    const char *url;
    const char *client_id;
    const char *client_secret;
    const char *scope;  /* NULL: none */
    const char *trust;  /* file of PEM certificates; NULL: the system's */
    bool urlencode;     /* id and secret in the header, as RFC 6749 has it */
    int64_t timeout_ms; /* of the connection's set-up */
    int64_t read_timeout_ms;
    int64_t retry_ms; /* the first wait after a failure; doubled up to the next */
    int64_t retry_max_ms;
};

/* Texts are borrowed and must outlive the loop. */
struct kf__token_settings {
    enum kf__token_provider provider;
    kf_sasl_token_fn get;
    void *context;
    const char *file;
    struct kf__oidc_settings oidc;
    struct kf__aws_settings aws;
    const char *subject;    /* of unsecured ones */
    const char *extensions; /* NAME=VALUE,…; NULL: none */
    double refresh_factor;  /* of a token's life */
    double refresh_jitter;
    int64_t refresh_buffer_ms; /* the new one should be there so long before the end */
};

struct kf__tokens;

/* KF_ERR_CONFIG, KF_ERR_NOT_BUILT with a sentence. */
kf_err kf__tokens_new(const kf_allocator *alloc, const struct kf__world *world,
                      const struct kf__token_settings *settings, struct kf__tokens **tokens,
                      kf_error *error);
void kf__tokens_free(struct kf__tokens *tokens);

/* A helper thread. KF_ERR_TOKEN_UNAVAILABLE, KF_ERR_TOKEN_EXPIRED with a sentence. */
kf_err kf__tokens_get(struct kf__tokens *tokens, kf_sasl_token *token, kf_error *error);

#endif
