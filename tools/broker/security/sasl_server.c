/* sasl_server: sessions, and PLAIN. See sasl_server.h. */
#include "tools/broker/security/sasl_server.h"

#include <kafiber/messages.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    RENEW_APART_MS = 1000, /* a client that re-authenticates sooner is told that it may not */
};

static const char *const names[KF__SASL_KINDS] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512",
                                                  "OAUTHBEARER"};

const char *kf__sasl_kind_name(enum kf__sasl_kind kind) { return names[kind]; }

kf_err kf__sasl_refuse(struct kf__sasl_answer *answer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(answer->reason, sizeof answer->reason, format, args);
    va_end(args);
    return answer->err = KF_ERR_SASL_AUTHENTICATION_FAILED;
}

bool kf__session_claim(struct kf__session *session, kf_string name)
{
    int size = snprintf(session->candidate, sizeof session->candidate, "User:%.*s",
                        name.size < KF__PRINCIPAL_BYTES ? (int)name.size : KF__PRINCIPAL_BYTES,
                        name.data ? name.data : "");
    return name.size > 0 && !memchr(name.data, '\0', name.size) &&
           size < (int)sizeof session->candidate;
}

/* ---- opening ---- */

static kf_err offer(struct kf__sasl_server *server, const char *list, kf_error *error)
{
    while (*list) {
        size_t size = strcspn(list, ",");
        int kind = 0;
        while (kind < KF__SASL_KINDS &&
               (strlen(names[kind]) != size || memcmp(names[kind], list, size) != 0))
            kind++;
        if (kind == KF__SASL_KINDS)
            return kf_error_set(error, KF_ERR_CONFIG,
                                "SASL mechanism %.*s: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or "
                                "OAUTHBEARER is expected",
                                size < 40 ? (int)size : 40, list);
        server->offered[kind] = true;
        list += size + (list[size] == ',');
    }
    return KF_OK;
}

/* "NAME:PASSWORD"; the password may hold colons. */
static kf_err add_user(struct kf__sasl_server *server, const char *text, kf_error *error)
{
    const char *colon = strchr(text, ':');
    if (!colon || colon == text || !colon[1])
        return kf_error_set(error, KF_ERR_CONFIG, "a SASL user is NAME:PASSWORD");
    kf_err err = kf__users_set_password(&server->users, (kf_string){text, (size_t)(colon - text)},
                                        kf__text(colon + 1));
    return err ? kf_error_set(error, err, "a SASL user could not be added: %s", kf_err_text(err))
               : KF_OK;
}

static void offer_what_works(struct kf__sasl_server *server)
{
    server->offered[KF__SASL_PLAIN] = true;
    server->offered[KF__SASL_SCRAM_256] = server->offered[KF__SASL_SCRAM_512] = kf__has_crypto();
    server->offered[KF__SASL_OAUTHBEARER] = server->tokens.unsecured || server->tokens.key;
}

kf_err kf__sasl_server_open(struct kf__sasl_server *server, const kf_allocator *alloc,
                            const kf_broker_sasl *options, kf_error *error)
{
    *server = (struct kf__sasl_server){.alloc = alloc, .max_reauth_ms = options->max_reauth_ms};
    kf__users_init(&server->users, alloc);
    kf_err err =
        kf__token_rules_open(&server->tokens, options->token_key, options->unsecured_tokens, error);
    for (size_t i = 0; !err && i < options->user_count; i++)
        err = add_user(server, options->users[i], error);
    if (!err && options->mechanisms)
        err = offer(server, options->mechanisms, error);
    else if (!err)
        offer_what_works(server);
    return err;
}

void kf__sasl_server_close(struct kf__sasl_server *server)
{
    kf__users_free(&server->users);
    kf__token_rules_close(&server->tokens);
}

/* ---- the session ---- */

static void end_exchange(struct kf__session *session)
{
    kf__scram_server_free(session->scram);
    session->scram = NULL;
    session->token_refused = false;
}

void kf__session_free(struct kf__session *session, const struct kf__sasl_server *server)
{
    (void)server;
    end_exchange(session);
    *session = (struct kf__session){0};
}

bool kf__session_allows(const struct kf__session *session, bool required, int16_t api_key,
                        kf_time now)
{
    switch (session->state) {
    case KF__SESSION_FRESH:
        return !required || api_key == KF_API_API_VERSIONS || api_key == KF_API_SASL_HANDSHAKE;
    case KF__SESSION_CHOSEN:
        return !session->raw && api_key == KF_API_SASL_AUTHENTICATE;
    case KF__SESSION_KNOWN:
        return !session->expires_at || now < session->expires_at ||
               api_key == KF_API_SASL_HANDSHAKE;
    default:
        return false;
    }
}

/* The first re-authentication may come at any time, the next ones a second apart. */
static bool may_renew(const struct kf__session *session, kf_time now)
{
    return !session->renewed_at || now - session->renewed_at >= RENEW_APART_MS * KF_MILLISECOND;
}

kf_err kf__session_handshake(struct kf__session *session, const struct kf__sasl_server *server,
                             bool required, int16_t version, kf_string mechanism, kf_time now)
{
    bool again = session->state == KF__SESSION_KNOWN;
    if (!required || session->state == KF__SESSION_CHOSEN || (again && !may_renew(session, now)))
        return KF_ERR_ILLEGAL_SASL_STATE;
    for (int kind = 0; kind < KF__SASL_KINDS; kind++) {
        if (!server->offered[kind] || !kf__text_equal(mechanism, kf__text(names[kind])))
            continue;
        end_exchange(session);
        session->again = again;
        session->kind_before = session->kind;
        session->renewed_at = again ? now : session->renewed_at;
        session->kind = (enum kf__sasl_kind)kind;
        session->raw = version == 0;
        session->state = KF__SESSION_CHOSEN;
        session->token_ends_ms = 0;
        return KF_OK;
    }
    session->state = KF__SESSION_OUT;
    return KF_ERR_UNSUPPORTED_SASL_MECHANISM;
}

/* ---- PLAIN: [authzid] NUL user NUL password ---- */

static kf_string take_part(kf_string *text)
{
    const char *nul = text->data ? memchr(text->data, '\0', text->size) : NULL;
    if (!nul)
        return (kf_string){0};
    kf_string part = {text->data, (size_t)(nul - text->data)};
    *text = (kf_string){nul + 1, text->size - part.size - 1};
    return part;
}

static bool is_password(const struct kf__user *user, kf_string password)
{
    return user && user->password.data && user->password.size == password.size &&
           kf__secret_equal(user->password.data, password.data, password.size);
}

static kf_err step_plain(struct kf__session *session, const struct kf__sasl_server *server,
                         kf_bytes in, struct kf__sasl_answer *answer, bool *done)
{
    kf_string rest = {(const char *)in.data, in.size};
    kf_string other = take_part(&rest);
    kf_string user = take_part(&rest);
    if (!other.data || !user.data || rest.size == 0 || memchr(rest.data, '\0', rest.size))
        return kf__sasl_refuse(answer, "Authentication failed: Invalid SASL/PLAIN response: "
                                       "expected 3 tokens");
    if (other.size && !kf__text_equal(other, user))
        return kf__sasl_refuse(answer, "Authentication failed: Client requested an authorization "
                                       "id that is different from username");
    if (!is_password(kf__users_find(&server->users, user), rest) ||
        !kf__session_claim(session, user))
        return kf__sasl_refuse(answer, "Authentication failed: Invalid username or password");
    *done = true;
    return KF_OK;
}

/* ---- steps ---- */

static int64_t shorter(int64_t a, int64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

static kf_err admit(struct kf__session *session, const struct kf__sasl_server *server, kf_time now,
                    int64_t wall_ms, struct kf__sasl_answer *answer)
{
    if (session->again && session->kind != session->kind_before)
        return kf__sasl_refuse(
            answer, "Cannot change SASL mechanism from %s to %s during re-authentication",
            names[session->kind_before], names[session->kind]);
    if (session->again && strcmp(session->principal, session->candidate) != 0)
        return kf__sasl_refuse(answer, "Cannot change principals during re-authentication");
    int64_t token = session->token_ends_ms ? session->token_ends_ms - wall_ms : 0;
    if (session->token_ends_ms && token < 1)
        token = 1; /* within the clocks' skew */
    snprintf(session->principal, sizeof session->principal, "%s", session->candidate);
    session->lifetime_ms = shorter(server->max_reauth_ms, token);
    session->expires_at = session->lifetime_ms ? now + session->lifetime_ms * KF_MILLISECOND : 0;
    session->state = KF__SESSION_KNOWN;
    return KF_OK;
}

void kf__session_step(struct kf__session *session, struct kf__sasl_server *server, kf_bytes in,
                      kf_time now, int64_t wall_ms, struct kf__sasl_answer *answer)
{
    *answer = (struct kf__sasl_answer){.bytes = {(const uint8_t *)"", 0}};
    bool done = false;
    kf_err err = KF_OK;
    if (session->state != KF__SESSION_CHOSEN) {
        answer->err = KF_ERR_ILLEGAL_SASL_STATE;
        snprintf(answer->reason, sizeof answer->reason,
                 "SaslAuthenticate request received after successful authentication");
        return;
    }
    switch (session->kind) {
    case KF__SASL_PLAIN:
        err = step_plain(session, server, in, answer, &done);
        break;
    case KF__SASL_OAUTHBEARER:
        err = kf__token_server_step(session, server, in, wall_ms, answer, &done);
        break;
    default:
        err = kf__scram_server_step(session, server, in, answer, &done);
        break;
    }
    if (!err && done)
        err = admit(session, server, now, wall_ms, answer);
    answer->err = err;
    if (err)
        session->state = KF__SESSION_OUT;
}
