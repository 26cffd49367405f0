/*
 * sasl_server_token: the server's side of OAUTHBEARER (RFC 7628). A token
 * that is refused is answered with a status in JSON; the client has to send
 * one byte then, and only that is answered with the error.
 */
#include "tools/broker/security/sasl_server.h"

#include <strings.h>

enum {
    ARENA_BYTES = 256 * 1024,
};

static const char refusal[] = "{\"status\":\"invalid_token\"}";

/* The value of "auth" among the pairs, each ended by ^A; null: not of this form. */
static kf_string find_auth(kf_string in)
{
    kf_string found = {0};
    while (in.size > 1) {
        const char *end = memchr(in.data, '\1', in.size);
        const char *equals = end ? memchr(in.data, '=', (size_t)(end - in.data)) : NULL;
        if (!equals)
            return (kf_string){0};
        if (equals - in.data == 4 && memcmp(in.data, "auth", 4) == 0)
            found = (kf_string){equals + 1, (size_t)(end - equals - 1)};
        size_t taken = (size_t)(end - in.data) + 1;
        in = (kf_string){end + 1, in.size - taken};
    }
    return in.size == 1 && in.data[0] == '\1' ? found : (kf_string){0};
}

/* "n,[a=name],^Aauth=Bearer TOKEN^A…^A" */
static kf_string find_token(kf_string in)
{
    static const char scheme[] = "Bearer ";
    const char *comma = in.size > 2 ? memchr(in.data + 2, ',', in.size - 2) : NULL;
    if (!comma || memcmp(in.data, "n,", 2) != 0 || comma + 1 == in.data + in.size ||
        comma[1] != '\1')
        return (kf_string){0};
    size_t taken = (size_t)(comma - in.data) + 2;
    kf_string auth = find_auth((kf_string){in.data + taken, in.size - taken});
    if (auth.size < sizeof scheme || strncasecmp(auth.data, scheme, sizeof scheme - 1) != 0)
        return (kf_string){0};
    return (kf_string){auth.data + sizeof scheme - 1, auth.size - (sizeof scheme - 1)};
}

kf_err kf__token_server_step(struct kf__session *session, const struct kf__sasl_server *server,
                             kf_bytes in, int64_t wall_ms, struct kf__sasl_answer *answer,
                             bool *done)
{
    if (session->token_refused)
        return kf__sasl_refuse(answer, "%s", refusal);
    kf_string token = find_token((kf_string){(const char *)in.data, in.size});
    if (!token.data)
        return kf__sasl_refuse(answer, "Authentication failed: Invalid OAUTHBEARER client first "
                                       "message");
    kf_arena arena;
    struct kf__jwt jwt;
    kf_arena_init(&arena, server->alloc, ARENA_BYTES);
    kf_err err = kf__token_check(&server->tokens, &arena, token, wall_ms, &jwt);
    if (!err && !kf__session_claim(session, jwt.subject))
        err = KF_ERR_SASL_AUTHENTICATION_FAILED;
    if (err == KF_ERR_SASL_AUTHENTICATION_FAILED) {
        session->token_refused = true;
        answer->bytes = (kf_bytes){(const uint8_t *)refusal, sizeof refusal - 1};
        err = KF_OK;
    } else if (!err) {
        session->token_ends_ms = jwt.expires_ms;
        *done = true;
    }
    kf_arena_free(&arena);
    return err;
}
