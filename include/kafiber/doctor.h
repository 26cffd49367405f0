/*
 * doctor: why a client cannot reach its cluster, step by step.
 *
 *   DNS ─▶ TCP ─▶ TLS ─▶ ApiVersions ─▶ SASL ─▶ Metadata ─▶ each broker ─▶ a group's coordinator
 *
 * Each step is told with what was found and, where it went wrong, what to do.
 * It uses the same code as a client's connections: what passes here passes there.
 */
#ifndef KAFIBER_DOCTOR_H
#define KAFIBER_DOCTOR_H

#include <kafiber/config.h>

KF_BEGIN_DECLS

typedef enum kf_finding_kind {
    KF_FINDING_GOOD = 0,
    KF_FINDING_WARNING = 1, /* it works, but look at it */
    KF_FINDING_BAD = 2,     /* here it ends */
} kf_finding_kind;

/* Valid during the call. */
typedef struct kf_finding {
    kf_finding_kind kind;
    const char *step;   /* "config", "dns", "tcp", "tls", "api-versions", "sasl", "metadata", … */
    const char *target; /* "broker.example:9093"; "" where it concerns none */
    const char *found;  /* a sentence */
    const char *advice; /* what to do; NULL: nothing */
    kf_err err;         /* of a bad one */
} kf_finding;

typedef void (*kf_finding_fn)(void *context, const kf_finding *finding);

typedef struct kf_doctor_options {
    size_t size;        /* sizeof(kf_doctor_options) */
    const char *group;  /* whose coordinator is looked for; NULL: group.id, or one of no meaning */
    int64_t timeout_ms; /* of each connection and each answer; 0: 5000 */
} kf_doctor_options;

/*
 * Blocks; tells on the calling thread. KF_OK where nothing bad was found,
 * else the first bad finding's code. Options may be NULL.
 */
KF_API kf_err kf_doctor(const kf_config *config, const kf_doctor_options *options,
                        kf_finding_fn tell, void *context);

KF_END_DECLS

#endif
