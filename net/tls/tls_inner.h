/*
 * tls_inner: what the files of tls*.c know of each other. The only header
 * that includes OpenSSL's.
 *
 *   tls_files.c   key and trust stores out of files and texts
 *   tls_context.c what connections share: the SSL_CTX of the present files, sessions
 *   tls.c         one connection
 *   tls_errors.c  what went wrong, in sentences
 */
#ifndef KF_NET_TLS_INNER_H
#define KF_NET_TLS_INNER_H

#include "net/tls/tls.h"
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/stat.h>

enum {
    KF__TLS_SESSIONS = 64,   /* brokers whose last session is kept for resumption */
    KF__TLS_FILES = 2,       /* key store and trust store */
    KF__TLS_NAME_BYTES = 300 /* of host:port, and of a host */
};

/* ---- tls_files.c ---- */

struct kf__tls_identity {
    X509 *certificate; /* NULL: none is configured */
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* without the certificate itself; may be NULL */
};

/* KF_ERR_CONFIG with a sentence. An identity that is not configured is empty. */
kf_err kf__tls_read_identity(const kf_allocator *alloc, const struct kf__tls_settings *settings,
                             struct kf__tls_identity *identity, kf_error *error);
void kf__tls_identity_free(struct kf__tls_identity *identity);
/* Puts what is trusted into the store; the system's where nothing is configured. */
kf_err kf__tls_read_trust(const kf_allocator *alloc, const struct kf__tls_settings *settings,
                          SSL_CTX *ctx, kf_error *error);

/* ---- tls_context.c ---- */

struct kf__tls_session {
    char *key;            /* tls->session_key; owned */
    SSL_SESSION *session; /* NULL: the place is free */
    time_t until;         /* the chain that it was begun with holds no longer */
};

/* What was made of the files at one time; connections keep theirs when the files change. */
struct kf__tls_made {
    size_t references; /* guarded by the context's lock, as the sessions are */
    SSL_CTX *ctx;
    bool has_identity;
    struct kf__tls_session sessions[KF__TLS_SESSIONS];
    size_t next_session;
};

struct kf__tls_context {
    kf_allocator alloc;
    struct kf__tls_settings settings;
    BIO_METHOD *bytes; /* of connections */
    /* Held by the helper thread that reads files, which may take its time; never by the loop's. */
    pthread_mutex_t reading;
    struct stat stamps[KF__TLS_FILES]; /* of the files as last read, well or not */
    pthread_mutex_t lock;              /* guards all below; nobody blocks while holding it */
    size_t references;
    struct kf__tls_made *made;
    struct kf__tls_news news;
    bool has_news;
};

/* Any thread. Reads the files again where they changed. */
struct kf__tls_made *kf__tls_made_take(struct kf__tls_context *context);
void kf__tls_made_drop(struct kf__tls_context *context, struct kf__tls_made *made);
void kf__tls_context_retain(struct kf__tls_context *context);

/*
 * A reference of the last session under this key, or NULL; any thread. A
 * resumed session verifies no certificate: it is forgotten once one of the
 * chain that was verified has ended, at *until.
 */
SSL_SESSION *kf__tls_session_find(struct kf__tls_context *context, struct kf__tls_made *made,
                                  const char *key, time_t *until);
/* Takes the session over. */
void kf__tls_session_keep(struct kf__tls_context *context, struct kf__tls_made *made,
                          const char *key, SSL_SESSION *session, time_t until);

/* ---- tls.c ---- */

/* How OpenSSL reads and writes a connection's buffers; NULL: no memory. */
BIO_METHOD *kf__tls_bytes_method(void);

struct kf__tls {
    struct kf__work work; /* first: the helper's */
    kf_allocator alloc;
    struct kf__tls_context *context;
    struct kf__tls_made *made; /* NULL before the first step */
    struct kf__slab_pool *slabs;
    char peer[KF__TLS_NAME_BYTES];
    char host[KF__TLS_NAME_BYTES]; /* without a trailing dot */
    /* Whom a session was made with, and under which name that was verified. */
    char session_key[2 * KF__TLS_NAME_BYTES];
    SSL *ssl;
    enum kf__tls_state state;
    kf_err err;
    char text[KF_ERROR_TEXT_BYTES];

    struct kf__slab *in; /* NULL: nothing waits to be opened */
    size_t in_start, in_end;
    uint8_t *out;
    size_t out_start, out_end, out_capacity;
    bool no_memory;    /* a byte of the output found no room */
    bool heard;        /* something has come from the peer */
    uint8_t first[12]; /* the first bytes that came */
    size_t first_size;
    bool asked;               /* the broker asked for a certificate, and there is none */
    SSL_SESSION *new_session; /* to be kept, once back on the loop's thread */
    time_t resumed_until;     /* of the session that was offered */

    int verify_error; /* the first one of the chain, X509_V_OK: none */
    char verify_text[200];
};

/* ---- tls_errors.c ---- */

/* Remembers the first problem of the peer's chain, with names and dates. */
int kf__tls_verify(int ok, X509_STORE_CTX *store);
/* Fills in err and text from OpenSSL's error queue of this thread. */
void kf__tls_explain(struct kf__tls *tls, int ssl_error);
/* The peer closed, or the socket broke (cause NULL: end of stream), before the handshake's end. */
void kf__tls_explain_end(struct kf__tls *tls, const char *cause);
/* "DNS:a, IP:127.0.0.1" of a certificate, or its common name. */
void kf__tls_names_of(X509 *certificate, char *text, size_t size);
/* The last reason in OpenSSL's error queue of this thread, in its words; clears the queue. */
const char *kf__tls_reason(char *text, size_t size);

#endif
