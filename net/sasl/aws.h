/*
 * aws: credentials where AWS's own tools look for them, and the token for
 * MSK's IAM authentication that is made of them.
 *
 * The environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
 * AWS_SESSION_TOKEN), then a profile of the shared file
 * (AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials). Never the metadata
 * service: a client does not ask the network who it is. Reads a file, so it
 * belongs on a helper thread. Called by token.c.
 */
#ifndef KF_NET_AWS_H
#define KF_NET_AWS_H

#include <kafiber/sasl.h>

struct kf__aws_settings {
    kf_aws_credentials_fn get; /* instead of environment and file; may be NULL */
    void *context;
    const char *region;  /* NULL: AWS_REGION, AWS_DEFAULT_REGION */
    const char *profile; /* NULL: AWS_PROFILE, "default" */
    const char *file;    /* NULL: as above */
};

/* One profile out of a shared credentials file's text. False: it is not there, or incomplete. */
bool kf__aws_read_profile(const char *text, size_t size, const char *profile,
                          kf_aws_credentials *credentials);

/* The token of that moment, good for 15 minutes. KF_ERR_TOKEN_UNAVAILABLE with a sentence. */
kf_err kf__aws_token(const kf_allocator *alloc, const struct kf__aws_settings *settings,
                     int64_t wall_ms, kf_sasl_token *token, kf_error *error);

#endif
