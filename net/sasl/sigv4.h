/*
 * sigv4: a URL that carries AWS's Signature Version 4 in its query, as the
 * tokens of MSK's IAM authentication are made of.
 *
 *   request, time, credentials ──▶ canonical request ──▶ string to sign ──▶ …&X-Amz-Signature=…
 *
 * Pure: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
#ifndef KF_NET_SIGV4_H
#define KF_NET_SIGV4_H

#include <kafiber/codec.h>
#include <kafiber/sasl.h>

struct kf__sigv4_request {
    const char *host;
    const char *path;    /* begins with a slash; encoded already */
    const char *action;  /* "kafka-cluster:Connect"; NULL: no Action in the query */
    const char *service; /* "kafka-cluster" */
    const char *region;
    const char *payload_digest; /* in hex; NULL: that of nothing */
    int64_t seconds;            /* since 1970 UTC */
    int expires;                /* seconds from then on */
    const kf_aws_credentials *credentials;
};

enum {
    KF__SIGV4_STAMP_BYTES = 17, /* 20130524T000000Z and a NUL */
};

void kf__sigv4_stamp(int64_t seconds, char stamp[KF__SIGV4_STAMP_BYTES]);

/* The key for one day, region and service: 32 bytes. KF_ERR_NOT_BUILT. */
kf_err kf__sigv4_key(const char *secret, const char *day, const char *region, const char *service,
                     uint8_t *key);

/*
 * Appends "https://host/path?…&X-Amz-Signature=…" and a NUL. The writer holds
 * the session token then: whoever frees it wipes it first.
 */
kf_err kf__sigv4_presign(const struct kf__sigv4_request *request, kf_writer *url);

#endif
