/*
 * tls: one connection's TLS (a step function over bytes), and what all
 * connections of a cluster share: certificates, keys, trust, sessions.
 *
 *      bytes from the peer ──▶ space/received ─┐          ┌─▶ read ──▶ plaintext
 *                                              ├─ OpenSSL ┤
 *      bytes for the peer  ◀── output/sent  ◀──┘          └◀─ write ◀─ plaintext
 *
 * No socket, no clock but the certificates' own, and no other file of the
 * library knows OpenSSL. The handshake's steps read files, verify chains and
 * use private keys: they are work for a helper thread (work.h). Everything
 * else belongs to the loop's thread. Verified are the chain, its dates, and
 * the host's name (RFC 6125, RFC 9525); TLS 1.2 and 1.3 only, without
 * renegotiation and compression.
 *
 * A build without OpenSSL has tls_none.c in its place, which refuses to open.
 */
#ifndef KF_NET_TLS_H
#define KF_NET_TLS_H

#include "net/loop/slab.h"
#include "net/loop/work.h"
#include <kafiber/log.h>

struct kf__tls_context;
struct kf__tls;

/* In the order of ssl.keystore.type's words. */
enum kf__store {
    KF__STORE_AUTO, /* the file says itself what it is */
    KF__STORE_PEM,
    KF__STORE_PKCS12,
    KF__STORE_JKS,
};

/* In the order of ssl.client.auth's words. */
enum kf__client_auth {
    KF__CLIENT_AUTH_NONE,
    KF__CLIENT_AUTH_REQUESTED,
    KF__CLIENT_AUTH_REQUIRED,
};

/* By Kafka's names; texts are borrowed, NULL or empty where not set. */
struct kf__tls_settings {
    enum kf__store keystore_type;
    const char *keystore_location;
    const char *keystore_key;   /* PEM, inline */
    const char *keystore_chain; /* PEM, inline */
    const char *keystore_password;
    const char *key_password;
    enum kf__store truststore_type;
    const char *truststore_location;
    const char *truststore_certificates; /* PEM, inline */
    const char *truststore_password;
    const char *protocols; /* ssl.enabled.protocols */
    const char *ciphers;   /* ssl.cipher.suites: OpenSSL's or Java's names */
    bool any_name;         /* ssl.endpoint.identification.algorithm is empty */
    bool wipes;            /* what comes is a secret: none stays in the record layer's buffers */

    bool server; /* the accepting end: the embedded broker's */
    enum kf__client_auth client_auth;
};

/* KF_ERR_NOT_BUILT with a sentence, where this build has no TLS. */
kf_err kf__tls_check_built(kf_error *error);

/* Reads and checks everything once. KF_ERR_CONFIG, KF_ERR_NOT_BUILT with a sentence. */
kf_err kf__tls_context_open(const kf_allocator *alloc, const struct kf__tls_settings *settings,
                            struct kf__tls_context **context, kf_error *error);
/* Lives on until its last connection is freed. NULL is allowed. */
void kf__tls_context_close(struct kf__tls_context *context);

/* Files that changed are read again before the next handshake; what became of it is told here,
 * once. */
struct kf__tls_news {
    kf_err err; /* KF_OK: the new files are used from now on; else the old ones still are */
    char text[KF_ERROR_TEXT_BYTES];
};
bool kf__tls_context_news(struct kf__tls_context *context, struct kf__tls_news *news);

enum kf__tls_state {
    KF__TLS_HANDSHAKE,
    KF__TLS_OPEN,
    KF__TLS_FAILED,
};

/* NULL: no memory. `peer` is host:port for sentences, `host` the name to verify; both copied. A
   server's host is empty. */
struct kf__tls *kf__tls_new(struct kf__tls_context *context, struct kf__slab_pool *slabs,
                            const char *peer, const char *host);
/* Also while its work is out. NULL is allowed. */
void kf__tls_free(struct kf__tls *tls);

/* One step of the handshake, with all bytes that have come. */
struct kf__work *kf__tls_work(struct kf__tls *tls);
enum kf__tls_state kf__tls_state(const struct kf__tls *tls);
/* After a step, on the loop's thread. */
void kf__tls_stepped(struct kf__tls *tls);
/*
 * The verified certificate's subject as Java writes it (RFC 2253: "CN=a,O=b");
 * false where the peer gave none.
 */
bool kf__tls_subject(const struct kf__tls *tls, char *text, size_t size);
/* What was agreed on, and the peer's chain, certificate by certificate: for people. */
struct kf__tls_seen {
    char protocol[16]; /* "TLSv1.3" */
    char cipher[64];   /* by its standard name */
    char subject[200];
    char issuer[200];
    char names[300];   /* "DNS:a, IP:b" */
    char until[32];    /* "2027-01-31 12:00:00Z" */
    int64_t days_left; /* of the shortest-lived of the chain */
    int chain;         /* certificates that the peer sent */
    bool resumed;
};
void kf__tls_look(const struct kf__tls *tls, struct kf__tls_seen *seen);
/* Why it failed. */
kf_err kf__tls_error(const struct kf__tls *tls, const char **text);
/* The peer's end of stream or a broken socket: what that means at this point. */
kf_err kf__tls_lost(struct kf__tls *tls, const char *cause, const char **text);

kf_err kf__tls_space(struct kf__tls *tls, uint8_t **bytes, size_t *size);
void kf__tls_received(struct kf__tls *tls, size_t size);
/* Plaintext: *got 0 where more bytes must come first. An error is final. */
kf_err kf__tls_read(struct kf__tls *tls, void *bytes, size_t size, size_t *got);
/* Takes in what may go out now: *taken 0 where the output is full. An error is final. */
kf_err kf__tls_write(struct kf__tls *tls, const struct iovec *parts, size_t count, size_t *taken);
/*
 * The last words: the alert of a failed handshake, or TLS's goodbye; how many
 * bytes, at most `room`. Nothing may be read or written afterwards.
 */
size_t kf__tls_farewell(struct kf__tls *tls, uint8_t *bytes, size_t room);
/* What is to be sent; empty: NULL and 0. */
struct iovec kf__tls_output(const struct kf__tls *tls);
void kf__tls_sent(struct kf__tls *tls, size_t size);

#endif
