/*
 * jwt: what a JSON web token says (RFC 7519), for those who may look into
 * one: the embedded broker, which checks them, and the sentence about a token
 * that was refused. Nothing is verified here. Pure.
 */
#ifndef KF_NET_JWT_H
#define KF_NET_JWT_H

#include <kafiber/codec.h>
#include <stdbool.h>

enum {
    KF__JWT_BYTES = 16384, /* of a whole token */
};

struct kf__jwt {
    kf_string algorithm; /* of the header; this and the next lie in the arena */
    kf_string subject;   /* the claims; null: not there */
    kf_string issuer;
    kf_string scope;
    int64_t issued_ms; /* 0: not said */
    int64_t expires_ms;
    int64_t not_before_ms;
    kf_string signed_part; /* borrows: "header.claims" */
    kf_bytes signature;    /* in the arena; empty: unsecured */
};

/* KF_ERR_BAD_JSON where it is not of this form; `subject_claim` NULL: "sub". */
kf_err kf__jwt_read(kf_arena *arena, kf_string token, const char *subject_claim,
                    struct kf__jwt *jwt, kf_error *error);

/* When a token ends, if it happens to be a JWT that says so; else 0. */
int64_t kf__jwt_expiry_ms(const kf_allocator *alloc, kf_string token);
/* The "status" of OAUTHBEARER's refusal (RFC 7628, section 3.2.2), printable and NUL-terminated. */
bool kf__jwt_status(const kf_allocator *alloc, kf_string json, char *status, size_t size);

#endif
