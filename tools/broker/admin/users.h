/*
 * users: who may authenticate, and by what: a password for PLAIN, and for
 * each SCRAM digest what a server keeps (salt, iterations, keys; RFC 5802).
 * Filled from the broker's options and by AlterUserScramCredentials; read by
 * sasl_server.c. No I/O.
 */
#ifndef KF_BROKER_USERS_H
#define KF_BROKER_USERS_H

#include "net/sasl/sasl_scram.h"
#include "tools/broker/text.h"

enum {
    KF__USER_DIGESTS = 2, /* enum kf__digest: SHA-256, SHA-512 */
    KF__USER_ITERATIONS = 4096,
    KF__USER_MIN_ITERATIONS = 4096,
    KF__USER_MAX_ITERATIONS = 16384, /* Kafka's own bounds */
};

struct kf__credential {
    int32_t iterations; /* 0: the user has none of this digest */
    kf_bytes salt;      /* owned */
    uint8_t stored[KF__DIGEST_MAX];
    uint8_t server[KF__DIGEST_MAX];
};

struct kf__user {
    kf_string name;     /* owned */
    kf_string password; /* for PLAIN; null: none */
    struct kf__credential credentials[KF__USER_DIGESTS];
};

struct kf__users {
    const kf_allocator *alloc;
    struct kf__user **items; /* by name */
    int32_t count;
};

void kf__users_init(struct kf__users *users, const kf_allocator *alloc);
void kf__users_free(struct kf__users *users);
struct kf__user *kf__users_find(const struct kf__users *users, kf_string name);

/* All of it: PLAIN, and SCRAM with both digests where this build has them. */
kf_err kf__users_set_password(struct kf__users *users, kf_string name, kf_string password);
/* As AlterUserScramCredentials brings it. The user is made where there is none. */
kf_err kf__users_set_scram(struct kf__users *users, kf_string name, enum kf__digest digest,
                           int32_t iterations, kf_bytes salt, kf_bytes salted_password);
/* The user, made where there is none; NULL when out of memory. */
struct kf__user *kf__users_put(struct kf__users *users, kf_string name);
/* What a server keeps of a digest, in place of what the user has; all is copied. */
kf_err kf__user_keep(const struct kf__users *users, struct kf__user *user, enum kf__digest digest,
                     const struct kf__credential *credential);
/* Those with a password, who are the options' own: copied, but for digests that `users` has. */
kf_err kf__users_adopt(struct kf__users *users, const struct kf__users *from);
/* KF_ERR_RESOURCE_NOT_FOUND where there is none. */
kf_err kf__users_remove_scram(struct kf__users *users, kf_string name, enum kf__digest digest);

#endif
