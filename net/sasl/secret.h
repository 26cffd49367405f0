/*
 * secret: what authentication needs of cryptography, and care with secrets.
 *
 * Pure functions over bytes. Digests, PBKDF2 and random bytes are OpenSSL's;
 * a build without it answers KF_ERR_NOT_BUILT. Called by the SASL mechanisms
 * and by the embedded broker's end of them.
 */
#ifndef KF_NET_SECRET_H
#define KF_NET_SECRET_H

#include "proto/bytes/wipe.h"
#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <stdbool.h>

enum kf__digest {
    KF__SHA256,
    KF__SHA512,
};

enum {
    KF__DIGEST_MAX = 64, /* bytes of the largest */
};

static inline size_t kf__digest_size(enum kf__digest digest)
{
    return digest == KF__SHA256 ? 32 : 64;
}

/* Whether this build has them at all; here, so that what needs them falls away where not. */
static inline bool kf__has_crypto(void)
{
#ifdef KAFIBER_WITH_OPENSSL
    return true;
#else
    return false;
#endif
}

/* `out` holds kf__digest_size bytes. KF_ERR_NOT_BUILT, KF_ERR_NO_MEMORY. */
kf_err kf__digest(enum kf__digest digest, kf_bytes data, uint8_t *out);
kf_err kf__hmac(enum kf__digest digest, kf_bytes key, kf_bytes data, uint8_t *out);
kf_err kf__pbkdf2(enum kf__digest digest, kf_bytes password, kf_bytes salt, int iterations,
                  uint8_t *out);
/* From the system's generator for secrets. */
kf_err kf__random_secret(uint8_t *out, size_t size);

/* In a time that depends on `size` alone. */
bool kf__secret_equal(const void *a, const void *b, size_t size);
/* Wipes, then frees. NULL is allowed. */
void kf__free_secret(const kf_allocator *alloc, void *bytes, size_t size);
/* A copy with a NUL behind it; NULL: no memory, or `text` is NULL. */
char *kf__copy_secret(const kf_allocator *alloc, const char *text);
void kf__free_secret_text(const kf_allocator *alloc, char *text);

#endif
