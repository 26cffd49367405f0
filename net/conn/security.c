/* security: TLS and SASL of a cluster, opened and closed together. See security.h. */
#include "net/conn/security.h"

kf_err kf__security_open(const kf_allocator *alloc, const struct kf__security_settings *settings,
                         struct kf__security **result, kf_error *error)
{
    *result = NULL;
    if (settings->protocol == KF__PLAINTEXT)
        return KF_OK;
    struct kf__security *security = kf_alloc_zero(alloc, sizeof *security);
    if (!security)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory to set up security.protocol");
    security->alloc = *alloc;
    security->references = 1;
    kf_err err = KF_OK;
    security->any_name = kf__protocol_has_tls(settings->protocol) && settings->tls.any_name;
    if (kf__protocol_has_tls(settings->protocol))
        err = kf__tls_context_open(alloc, &settings->tls, &security->tls, error);
    if (!err && kf__protocol_has_sasl(settings->protocol))
        err = kf__sasl_open(alloc, &settings->sasl, &security->sasl, error);
    if (err)
        kf__security_release(security);
    else
        *result = security;
    return err;
}

struct kf__security *kf__security_retain(struct kf__security *security)
{
    if (security)
        security->references++;
    return security;
}

void kf__security_release(struct kf__security *security)
{
    if (!security || --security->references)
        return;
    kf__sasl_close(security->sasl);
    kf__tls_context_close(security->tls);
    kf_allocator alloc = security->alloc;
    kf_free(&alloc, security);
}
