/*
 * sasl: how a client proves to brokers who it is, beyond what settings say.
 *
 * PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER are built in and need
 * settings only (docs/security.md). This header is for those who have tokens
 * of their own, credentials of AWS from somewhere else, or another mechanism
 * altogether, such as GSSAPI (examples/sasl_gssapi.c).
 *
 * What is given here lives in the kf_config and its copies: a context must
 * outlive every runtime, producer and client made of them.
 */
#ifndef KAFIBER_SASL_H
#define KAFIBER_SASL_H

#include <kafiber/config.h>
#include <stdbool.h>

KF_BEGIN_DECLS

/* Whom a connection authenticates to; valid during the call. */
typedef struct kf_sasl_peer {
    const char *host; /* as configured or advertised */
    uint16_t port;
    bool encrypted; /* the connection is TLS */
} kf_sasl_peer;

/* What one step asks for. */
typedef struct kf_sasl_step {
    kf_bytes out; /* to be sent, maybe empty; data NULL: nothing. Borrowed until the next call */
    bool done;    /* as far as the client is concerned, the broker has proved all it has to */
} kf_sasl_step;

/*
 * A mechanism: one exchange for each authentication of each connection.
 *
 *   start ─▶ step(nothing) ─out─▶ broker ─in─▶ step(in) … ─done─▶ end
 *
 * Calls of one exchange come one after the other, those of different
 * exchanges from different threads at once. With `blocks` every call is made
 * on a helper thread, which name resolution shares: it may take some time but
 * has to end. Otherwise they are made on the I/O thread and must not block.
 * A kf_err other than KF_OK ends the attempt; the sentence in *error is told,
 * so it must not hold a secret.
 */
typedef struct kf_sasl_mechanism {
    size_t size;      /* sizeof(kf_sasl_mechanism) */
    const char *name; /* as in SaslHandshake: "GSSAPI"; must live as long as the context */
    void *context;
    bool blocks;
    kf_err (*start)(void *context, const kf_sasl_peer *peer, void **exchange, kf_error *error);
    /* `in` borrows; in the first step it is null. */
    kf_err (*step)(void *exchange, kf_bytes in, kf_sasl_step *step, kf_error *error);
    /* Once for each start that succeeded. Wipes what is secret. */
    void (*end)(void *exchange);
} kf_sasl_mechanism;

/* Used in place of the built-in ones; sasl.mechanism needs not be set. The struct is copied. */
KF_API kf_err kf_config_sasl_mechanism(kf_config *config, const kf_sasl_mechanism *mechanism);

/* ---- tokens for OAUTHBEARER ---- */

enum {
    KF_SASL_TOKEN_BYTES = 16384, /* the longest token, its NUL included */
    KF_SASL_EXTENSIONS_BYTES = 1024,
};

/* Filled in by a kf_sasl_token_fn; the library wipes it. */
typedef struct kf_sasl_token {
    char text[KF_SASL_TOKEN_BYTES]; /* NUL-terminated */
    int64_t expires_at_ms;          /* milliseconds since 1970 UTC; 0: not known, ask each time */
    /* SASL extensions (KIP-342) as NAME=VALUE, separated by commas; empty: those of the settings */
    char extensions[KF_SASL_EXTENSIONS_BYTES];
} kf_sasl_token;

/*
 * Gets a token. Called on a helper thread, one call at a time for each
 * client, when there is no token yet or the last one nears its end; may block
 * for some seconds. An error is told with its sentence and tried again later.
 */
typedef kf_err (*kf_sasl_token_fn)(void *context, kf_sasl_token *token, kf_error *error);
KF_API kf_err kf_config_sasl_token(kf_config *config, kf_sasl_token_fn get, void *context);

/* ---- credentials of AWS, for sasl.oauthbearer.token.provider=aws_msk_iam ---- */

enum {
    KF_AWS_TEXT_BYTES = 256,
    KF_AWS_SESSION_BYTES = 4096,
};

/* Filled in by a kf_aws_credentials_fn; the library wipes it. */
typedef struct kf_aws_credentials {
    char access_key_id[KF_AWS_TEXT_BYTES];
    char secret_access_key[KF_AWS_TEXT_BYTES];
    char session_token[KF_AWS_SESSION_BYTES]; /* empty: none */
} kf_aws_credentials;

/* As kf_sasl_token_fn: for those who assume roles. Without it: the environment, then the file. */
typedef kf_err (*kf_aws_credentials_fn)(void *context, kf_aws_credentials *credentials,
                                        kf_error *error);
KF_API kf_err kf_config_aws_credentials(kf_config *config, kf_aws_credentials_fn get,
                                        void *context);

KF_END_DECLS

#endif
