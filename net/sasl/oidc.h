/*
 * oidc: a token from an OpenID Connect token endpoint by the client
 * credentials grant (RFC 6749, section 4.4), over our own TLS.
 *
 *   resolve ─▶ connect ─▶ TLS ─▶ POST ─▶ answer (http.c) ─▶ access_token, expires_in
 *
 * Blocks within its time-outs, so it belongs on a helper thread. https only,
 * no redirects, at most 64 KiB. Called by token.c.
 */
#ifndef KF_NET_OIDC_H
#define KF_NET_OIDC_H

#include "net/sasl/http.h"
#include "net/sasl/token.h"

/* The request, whole, in memory of its own (wiped by the caller); NULL: no memory. */
char *kf__oidc_request(const kf_allocator *alloc, const struct kf__oidc_settings *settings,
                       const struct kf__https_url *url, size_t *size);
/* What the answer says. KF_ERR_TOKEN_UNAVAILABLE with a sentence. */
kf_err kf__oidc_answer(const kf_allocator *alloc, const struct kf__http_answer *answer,
                       int64_t wall_ms, kf_sasl_token *token, kf_error *error);

/*
 * Asks the endpoint, again after retry_ms (doubled up to retry_max_ms) where
 * it could not be reached, at most three times in all.
 */
kf_err kf__oidc_token(const kf_allocator *alloc, const struct kf__world *world,
                      const struct kf__oidc_settings *settings, struct kf__tls_context *tls,
                      kf_sasl_token *token, kf_error *error);

#endif
