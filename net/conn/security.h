/*
 * security: how connections are protected, shared by all of a cluster.
 *
 *   settings ──open: files read, everything checked──▶ kf__security ─▶ conn (TLS, SASL)
 *
 * Opened before the cluster, so that what is wrong with a file or a
 * combination is told in a sentence before anything connects. Reference
 * counted: work on a helper thread may outlive the cluster.
 */
#ifndef KF_NET_SECURITY_H
#define KF_NET_SECURITY_H

#include "net/sasl/sasl.h"
#include "net/tls/tls.h"

/* In the order of security.protocol's words. */
enum kf__protocol {
    KF__PLAINTEXT,
    KF__SSL,
    KF__SASL_PLAINTEXT,
    KF__SASL_SSL,
};

static inline bool kf__protocol_has_tls(enum kf__protocol protocol)
{
    return protocol == KF__SSL || protocol == KF__SASL_SSL;
}

static inline bool kf__protocol_has_sasl(enum kf__protocol protocol)
{
    return protocol == KF__SASL_PLAINTEXT || protocol == KF__SASL_SSL;
}

/* All texts are borrowed, and must outlive the loop. */
struct kf__security_settings {
    enum kf__protocol protocol;
    struct kf__tls_settings tls;
    struct kf__sasl_settings sasl;
};

struct kf__security {
    kf_allocator alloc;
    size_t references;
    struct kf__tls_context *tls; /* NULL: connections are in plaintext */
    struct kf__sasl *sasl;       /* NULL: nobody authenticates by SASL */
    bool any_name;               /* TLS without a look at the host's name: to be warned of */
};

/*
 * PLAINTEXT makes NULL. KF_ERR_CONFIG with a sentence that names the key and
 * the file; KF_ERR_NOT_BUILT where this build lacks what is asked for.
 */
kf_err kf__security_open(const kf_allocator *alloc, const struct kf__security_settings *settings,
                         struct kf__security **security, kf_error *error);
/* The loop's thread, or before and after it. NULL is allowed. */
struct kf__security *kf__security_retain(struct kf__security *security);
void kf__security_release(struct kf__security *security);

#endif
