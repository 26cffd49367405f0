/*
 * sasl_server: the broker's end of SASL: one session for each connection.
 *
 *   FRESH ─handshake─▶ CHOSEN ⇄ steps ─▶ KNOWN ─handshake (KIP-368)─▶ CHOSEN …
 *                         └─ refused ─▶ OUT: the answer, then the connection closes
 *
 * Pure: messages, users and time in, answers out. Mechanisms: PLAIN and the
 * exchange here, SCRAM in sasl_server_scram.c, OAUTHBEARER in
 * sasl_server_token.c. The API files and dispatch.c call it.
 */
#ifndef KF_BROKER_SASL_SERVER_H
#define KF_BROKER_SASL_SERVER_H

#include "tools/broker/admin/users.h"
#include "tools/broker/security/principal.h"
#include "tools/broker/security/token_check.h"
#include <kafiber/broker.h>

enum kf__sasl_kind {
    KF__SASL_PLAIN,
    KF__SASL_SCRAM_256,
    KF__SASL_SCRAM_512,
    KF__SASL_OAUTHBEARER,
    KF__SASL_KINDS,
};

enum kf__session_state {
    KF__SESSION_FRESH,
    KF__SESSION_CHOSEN, /* a mechanism was agreed on: its messages come */
    KF__SESSION_KNOWN,
    KF__SESSION_OUT,
};

enum {
    KF__REASON_BYTES = 160,
};

/* What all sessions share. */
struct kf__sasl_server {
    const kf_allocator *alloc;
    bool offered[KF__SASL_KINDS];
    int64_t max_reauth_ms; /* connections.max.reauth.ms; 0: sessions last */
    struct kf__users users;
    struct kf__token_rules tokens;
};

struct kf__scram_server;

struct kf__session {
    enum kf__session_state state;
    enum kf__sasl_kind kind;
    bool raw;   /* SaslHandshake version 0: the messages come bare */
    bool again; /* re-authenticating: principal and mechanism must stay */
    enum kf__sasl_kind kind_before;
    struct kf__scram_server *scram;      /* under way */
    bool token_refused;                  /* its dummy message comes next */
    char principal[KF__PRINCIPAL_BYTES]; /* "User:alice" once KNOWN */
    char candidate[KF__PRINCIPAL_BYTES]; /* who claims to be there now */
    int64_t token_ends_ms;               /* wall clock; 0: never */
    kf_time expires_at;                  /* 0: never */
    kf_time renewed_at;                  /* when it last began to re-authenticate; 0: not yet */
    int64_t lifetime_ms;                 /* of the session that has just begun; 0: no end */
};

/* What a step answers. */
struct kf__sasl_answer {
    kf_err err;                    /* KF_OK, or for SaslAuthenticate's error_code */
    char reason[KF__REASON_BYTES]; /* its error_message */
    kf_bytes bytes;                /* valid until the session's next step */
};

const char *kf__sasl_kind_name(enum kf__sasl_kind kind);

/* From the options; KF_ERR_CONFIG with a sentence. */
kf_err kf__sasl_server_open(struct kf__sasl_server *server, const kf_allocator *alloc,
                            const kf_broker_sasl *options, kf_error *error);
void kf__sasl_server_close(struct kf__sasl_server *server);

void kf__session_free(struct kf__session *session, const struct kf__sasl_server *server);

/* Whether a request may be handled now; `required`: this connection has to authenticate. */
bool kf__session_allows(const struct kf__session *session, bool required, int16_t api_key,
                        kf_time now);
/* SaslHandshake. KF_ERR_UNSUPPORTED_SASL_MECHANISM, KF_ERR_ILLEGAL_SASL_STATE. */
kf_err kf__session_handshake(struct kf__session *session, const struct kf__sasl_server *server,
                             bool required, int16_t version, kf_string mechanism, kf_time now);
/* One message of the client. */
void kf__session_step(struct kf__session *session, struct kf__sasl_server *server, kf_bytes in,
                      kf_time now, int64_t wall_ms, struct kf__sasl_answer *answer);

/* ---- sasl_server_scram.c ---- */
kf_err kf__scram_server_step(struct kf__session *session, const struct kf__sasl_server *server,
                             kf_bytes in, struct kf__sasl_answer *answer, bool *done);
void kf__scram_server_free(struct kf__scram_server *scram);

/* ---- sasl_server_token.c ---- */
kf_err kf__token_server_step(struct kf__session *session, const struct kf__sasl_server *server,
                             kf_bytes in, int64_t wall_ms, struct kf__sasl_answer *answer,
                             bool *done);

/* What a mechanism says where it refuses; returns SASL_AUTHENTICATION_FAILED. */
kf_err kf__sasl_refuse(struct kf__sasl_answer *answer, const char *format, ...) KF_PRINTF(2, 3);
/* The name that the client claims; false: too long or empty. */
bool kf__session_claim(struct kf__session *session, kf_string name);

#endif
