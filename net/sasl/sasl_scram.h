/*
 * sasl_scram: RFC 5802 and RFC 7677 as Kafka speaks them: the client's exchange,
 * and the sums that both ends do.
 *
 *   client ── n,,n=user,r=C ───────────────▶ server
 *          ◀── r=CS,s=salt,i=iterations ────
 *          ── c=biws,r=CS,p=proof ─────────▶
 *          ◀── v=signature ─────────────────
 *
 * No channel binding (n,,), passwords as UTF-8 and unnormalised, as Java's
 * clients send them. Pure: bytes in, bytes out; PBKDF2 takes milliseconds, so
 * the steps belong on a helper thread. Used by sasl.c, and by the embedded
 * broker for its side.
 */
#ifndef KF_NET_SASL_SCRAM_H
#define KF_NET_SASL_SCRAM_H

#include "net/sasl/secret.h"

enum {
    KF__SCRAM_NONCE_BYTES = 24,
    KF__SCRAM_MIN_ITERATIONS = 4096,   /* RFC 7677, and Kafka's own least */
    KF__SCRAM_MAX_ITERATIONS = 100000, /* more is a way to keep a client busy */
    KF__SCRAM_MESSAGE_BYTES = 4096,    /* of one message of the server */
    KF__SCRAM_SALT_BYTES = 256,
};

/* What a server keeps of a password, and what a client makes of it. */
struct kf__scram_keys {
    uint8_t client[KF__DIGEST_MAX];
    uint8_t stored[KF__DIGEST_MAX];
    uint8_t server[KF__DIGEST_MAX];
};

/* From PBKDF2's result (SaltedPassword); KF_ERR_NOT_BUILT. */
kf_err kf__scram_derive(enum kf__digest digest, const uint8_t *salted, struct kf__scram_keys *keys);
/* From the password itself. */
kf_err kf__scram_keys(enum kf__digest digest, kf_bytes password, kf_bytes salt, int iterations,
                      struct kf__scram_keys *keys);

/*
 * The value of attribute `name` where it stands at *at, up to the next comma;
 * *at moves past it. Null: another one stands there.
 */
kf_string kf__scram_attribute(kf_string *at, char name);
/* "=2C" and "=3D" for comma and equals sign. `out` holds 3 × size bytes. */
size_t kf__scram_escape(kf_string name, char *out);

struct kf__scram;

struct kf__scram_login {
    enum kf__digest digest;
    const char *user;
    const char *password;
    bool token;        /* user and password are a delegation token's (KIP-48) */
    const char *nonce; /* for tests with known vectors; NULL: made up */
};

/* The login is copied. KF_ERR_NOT_BUILT, KF_ERR_NO_MEMORY. */
kf_err kf__scram_new(const kf_allocator *alloc, const struct kf__scram_login *login,
                     struct kf__scram **scram);
void kf__scram_free(struct kf__scram *scram);

/*
 * The next message, valid until the next call; null and *done once the
 * server has proved that it knows the password too.
 * KF_ERR_SASL_MALFORMED: its message breaks the rules or the limits above;
 * KF_ERR_SASL_SERVER_UNPROVEN: its signature is wrong or missing;
 * KF_ERR_SASL_AUTHENTICATION_FAILED: it says e=…
 */
kf_err kf__scram_step(struct kf__scram *scram, kf_bytes in, kf_bytes *out, bool *done,
                      kf_error *error);

#endif
