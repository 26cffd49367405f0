/*
 * sasl: authentication by a mechanism, shared by the connections of a cluster.
 */
#ifndef KF_NET_SASL_H
#define KF_NET_SASL_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>

struct kf__sasl;

/* Texts are borrowed. */
struct kf__sasl_settings {
    const char *mechanism; /* sasl.mechanism */
};

kf_err kf__sasl_open(const kf_allocator *alloc, const struct kf__sasl_settings *settings,
                     struct kf__sasl **sasl, kf_error *error);
void kf__sasl_close(struct kf__sasl *sasl);

#endif
