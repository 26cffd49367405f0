/*
 * conn_sasl: authentication on a connection (KIP-43, KIP-152, KIP-368).
 *
 *   VERSIONS, or READY with the session near its end
 *      │
 *      ▼ SaslHandshake ─▶ SaslAuthenticate ⇄ the mechanism's steps ─▶ READY
 *                      └▶ raw tokens, where the broker has handshake version 0 only
 *
 * A mechanism that blocks makes its steps as work for a helper thread, and
 * goes on in kf__conn_sasl_worked. From 85 % of a session's life on, calls
 * wait until what is in flight is answered and the client has said again who
 * it is (conn.c asks kf__conn_must_renew). Credentials are wiped from the
 * output as soon as they have left.
 */
#include "net/conn/conn_inner.h"

#include "net/loop/times.h"
#include "net/sasl/secret.h"
#include "proto/bytes/writer.h"
#include <kafiber/messages.h>
#include <string.h>

enum {
    /* A broker takes a re-authentication for an ordinary request within 1 s of the last. */
    RENEW_AFTER_MS = 1100,
    RENEW_PERCENT = 85,
    CHALLENGE_BYTES = 64 * 1024, /* of one message of the broker */
    NAMES_BYTES = 128,
    WORDS_BYTES = 160,
    HEADER_BYTES = 256, /* more than the encoder wants around a token, but for the client's id */
};

/* One exchange. Belongs to the helper thread while its work is out. */
struct kf__sasl_run {
    struct kf__work work; /* first: it is found by that */
    kf_allocator alloc;
    struct kf__sasl *sasl;
    void *exchange;
    char *host; /* owned */
    kf_sasl_peer peer;
    uint8_t *in;
    size_t in_size;
    bool begun;
    kf_sasl_step step;
    kf_err err;
    kf_error error; /* with err KF_OK: why the broker will refuse what is sent next */
};

static const char *mechanism_of(const struct kf__conn *conn)
{
    return kf__sasl_mechanism(conn->settings->security->sasl)->name;
}

static void fail(struct kf__conn *conn, kf_time now, kf_err err, const char *what)
{
    kf__conn_fail(conn, now, err, "%s: %s: %s", conn->peer, mechanism_of(conn), what);
}

/* What a broker says, fit for a sentence. */
static void clean(kf_string text, char *out, size_t room)
{
    size_t size = text.size < room - 1 ? text.size : room - 1;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        out[i] = (char)(c < ' ' || c == 0x7f ? ' ' : c);
    }
    out[size] = '\0';
}

/* ---- the mechanism's steps ---- */

static void drop_challenge(struct kf__sasl_run *run)
{
    kf__free_secret(&run->alloc, run->in, run->in_size);
    run->in = NULL;
    run->in_size = 0;
}

static void run_step(struct kf__work *work)
{
    struct kf__sasl_run *run = (struct kf__sasl_run *)(void *)work;
    const kf_sasl_mechanism *mechanism = kf__sasl_mechanism(run->sasl);
    run->step = (kf_sasl_step){0};
    run->err = KF_OK;
    if (!run->begun) {
        run->err = mechanism->start(mechanism->context, &run->peer, &run->exchange, &run->error);
        run->begun = !run->err;
    }
    if (!run->err)
        run->err = mechanism->step(run->exchange, (kf_bytes){run->in, run->in_size}, &run->step,
                                   &run->error);
    drop_challenge(run);
}

static void free_run(struct kf__work *work)
{
    struct kf__sasl_run *run = (struct kf__sasl_run *)(void *)work;
    kf_allocator alloc = run->alloc;
    if (run->begun)
        kf__sasl_mechanism(run->sasl)->end(run->exchange);
    drop_challenge(run);
    kf_free(&alloc, run->host);
    kf__sasl_close(run->sasl);
    kf_free(&alloc, run);
}

/* "host:port" says the port; an IPv6 address has colons before it. */
static uint16_t port_of(const char *peer)
{
    const char *colon = strrchr(peer, ':');
    unsigned port = 0;
    for (const char *c = colon ? colon + 1 : ""; *c >= '0' && *c <= '9' && port < 65536; c++)
        port = port * 10 + (unsigned)(*c - '0');
    return (uint16_t)port;
}

static struct kf__sasl_run *make_run(const struct kf__conn *conn)
{
    const kf_allocator *alloc = conn->settings->alloc;
    struct kf__sasl_run *run = kf_alloc_zero(alloc, sizeof *run);
    if (!run)
        return NULL;
    run->alloc = *alloc;
    run->work.run = run_step;
    run->work.gone = free_run;
    run->sasl = kf__sasl_retain(conn->settings->security->sasl);
    run->host = kf__copy_secret(alloc, conn->host);
    run->peer = (kf_sasl_peer){run->host, port_of(conn->peer), conn->tls != NULL};
    if (run->host)
        return run;
    free_run(&run->work);
    return NULL;
}

/* On a helper thread where it may block, else here. */
static void make_step(struct kf__conn *conn, kf_time now)
{
    struct kf__sasl_run *run = conn->sasl;
    if (kf__sasl_mechanism(run->sasl)->blocks) {
        conn->work = &run->work;
        return;
    }
    run_step(&run->work);
    kf__conn_sasl_worked(conn, now);
}

/* ---- to the broker ---- */

static void send_raw(struct kf__conn *conn, kf_bytes token)
{
    size_t before = conn->output.total;
    kf__put_u32(&conn->output, (uint32_t)token.size);
    kf_writer_put(&conn->output, token.data, token.size);
    conn->encoded += (int64_t)(conn->output.total - before);
}

/* At once: an output that grows later leaves a copy of what it holds in freed memory. */
static kf_err make_room(struct kf__conn *conn, size_t size)
{
    const char *id = conn->settings->client_id;
    size += HEADER_BYTES + (id ? strlen(id) : 0);
    return kf__writer_reserve(&conn->output, size) ? KF_OK : conn->output.err;
}

static void send_token(struct kf__conn *conn, kf_time now, kf_bytes token)
{
    struct kf_sasl_authenticate_request request;
    kf_reset(&kf_schema_of_sasl_authenticate_request, &request);
    request.auth_bytes = token;
    kf_err err = make_room(conn, token.size);
    if (!err && conn->raw_sasl) {
        send_raw(conn, token);
        err = conn->output.err;
    } else if (!err) {
        int16_t version = kf__versions_choose(&conn->versions, KF_API_SASL_AUTHENTICATE, 0, 0);
        err = kf__conn_encode(conn, NULL, KF_API_SASL_AUTHENTICATE, version, &request, KF_FOREVER);
    }
    if (err)
        fail(conn, now, err, "the token could not be sent");
}

/* Credentials have left the output: none stay behind in its memory. */
static void wipe_output(struct kf__conn *conn)
{
    if (conn->output.bytes && conn->output.total == conn->output_sent)
        kf__wipe(conn->output.bytes, conn->output.capacity);
}

static void admit(struct kf__conn *conn, kf_time now)
{
    kf_time life = conn->session_life;
    wipe_output(conn);
    kf__conn_drop_sasl(conn);
    conn->raw_sasl = false;
    conn->renew_at = life ? kf__after(now, life / 100 * RENEW_PERCENT) : KF_FOREVER;
    conn->renew_from = kf__after(now, RENEW_AFTER_MS * KF_MILLISECOND);
    kf__conn_authenticated(conn, now);
}

void kf__conn_sasl_worked(struct kf__conn *conn, kf_time now)
{
    struct kf__sasl_run *run = conn->sasl;
    if (run->err)
        fail(conn, now, run->err, run->error.code ? run->error.text : kf_err_text(run->err));
    else if (run->step.out.data)
        send_token(conn, now, run->step.out);
    else if (run->step.done)
        admit(conn, now);
    else
        fail(conn, now, KF_ERR_SASL_MALFORMED, "the mechanism has nothing to say and is not done");
}

void kf__conn_begin_sasl(struct kf__conn *conn, kf_time now)
{
    struct kf_sasl_handshake_request request;
    kf_reset(&kf_schema_of_sasl_handshake_request, &request);
    request.mechanism = (kf_string){mechanism_of(conn), strlen(mechanism_of(conn))};
    conn->session_life = 0;
    int16_t version = kf__versions_choose(&conn->versions, KF_API_SASL_HANDSHAKE, 0, 0);
    bool wraps = kf__versions_choose(&conn->versions, KF_API_SASL_AUTHENTICATE, 0, 0) >= 0;
    if (version < 0) {
        kf__conn_fail(conn, now, KF_ERR_ILLEGAL_SASL_STATE,
                      "%s does not speak SASL: is this a PLAINTEXT or SSL listener? Check "
                      "security.protocol and the port",
                      conn->peer);
        return;
    }
    conn->raw_sasl = version == 0 || !wraps;
    kf_err err = kf__conn_encode(conn, NULL, KF_API_SASL_HANDSHAKE, conn->raw_sasl ? 0 : version,
                                 &request, KF_FOREVER);
    if (err)
        fail(conn, now, err, "SaslHandshake could not be sent");
}

void kf__conn_drop_sasl(struct kf__conn *conn)
{
    if (!conn->sasl)
        return;
    conn->work = NULL;
    if (conn->output.bytes)
        kf__wipe(conn->output.bytes, conn->output.capacity);
    kf__work_drop(&conn->sasl->work);
    conn->sasl = NULL;
}

/* ---- from the broker ---- */

static bool lists(const struct kf_sasl_handshake_response *answer, const char *mechanism)
{
    for (int32_t i = 0; i < answer->mechanisms.count; i++)
        if (answer->mechanisms.items[i].size == strlen(mechanism) &&
            memcmp(answer->mechanisms.items[i].data, mechanism, strlen(mechanism)) == 0)
            return true;
    return false;
}

static void list_names(const struct kf_sasl_handshake_response *answer, char *names)
{
    size_t used = 0;
    for (int32_t i = 0; i < answer->mechanisms.count && used + 24 < NAMES_BYTES; i++) {
        char name[24];
        clean(answer->mechanisms.items[i], name, sizeof name);
        used += (size_t)snprintf(names + used, NAMES_BYTES - used, "%s%s", used ? ", " : "", name);
    }
    if (!used)
        snprintf(names, NAMES_BYTES, "none");
}

static void take_handshake(struct kf__conn *conn, kf_time now,
                           const struct kf_sasl_handshake_response *answer)
{
    char names[NAMES_BYTES];
    list_names(answer, names);
    if (answer->error_code == KF_ERR_UNSUPPORTED_SASL_MECHANISM ||
        (!answer->error_code && !lists(answer, mechanism_of(conn)))) {
        kf__conn_fail(conn, now, KF_ERR_UNSUPPORTED_SASL_MECHANISM,
                      "%s does not offer %s; it offers %s: compare sasl.mechanism with the "
                      "listener's sasl.enabled.mechanisms",
                      conn->peer, mechanism_of(conn), names);
    } else if (answer->error_code) {
        kf__conn_fail(conn, now, answer->error_code,
                      "%s refuses SaslHandshake (%s): is this a PLAINTEXT or SSL listener? Check "
                      "security.protocol and the port",
                      conn->peer, kf_err_name(answer->error_code));
    } else if (!(conn->sasl = make_run(conn))) {
        fail(conn, now, KF_ERR_NO_MEMORY, "no memory for the exchange");
    } else {
        make_step(conn, now);
    }
}

/* The broker's next message goes to the mechanism, as a copy: helpers outlive frames. */
static void pass_challenge(struct kf__conn *conn, kf_time now, kf_bytes in)
{
    struct kf__sasl_run *run = conn->sasl;
    if (!run || conn->work || conn->output.total != conn->output_sent) {
        fail(conn, now, KF_ERR_SASL_MALFORMED, "the broker speaks out of turn");
        return;
    }
    if (in.size > CHALLENGE_BYTES) {
        fail(conn, now, KF_ERR_SASL_MALFORMED, "the broker's message is longer than 64 KiB");
        return;
    }
    wipe_output(conn);
    run->in = kf_alloc(&run->alloc, in.size + 1); /* never NULL for what is merely empty */
    if (!run->in) {
        fail(conn, now, KF_ERR_NO_MEMORY, "no memory for the broker's message");
        return;
    }
    if (in.size)
        memcpy(run->in, in.data, in.size);
    run->in_size = in.size;
    make_step(conn, now);
}

static void refuse(struct kf__conn *conn, kf_time now,
                   const struct kf_sasl_authenticate_response *answer)
{
    const struct kf__sasl_run *run = conn->sasl;
    char words[WORDS_BYTES] = "";
    clean(answer->error_message, words, sizeof words);
    if (run && run->error.code)
        fail(conn, now, run->error.code, run->error.text);
    else if (answer->error_code == KF_ERR_SASL_AUTHENTICATION_FAILED)
        kf__conn_fail(conn, now, answer->error_code,
                      "%s does not accept the credentials%s%s: compare user, password and "
                      "mechanism (%s)",
                      conn->peer, *words ? ", saying: " : "", words, mechanism_of(conn));
    else
        kf__conn_fail(conn, now, answer->error_code, "%s refuses authentication (%s)%s%s",
                      conn->peer, kf_err_name(answer->error_code), *words ? ", saying: " : "",
                      words);
}

static void take_authenticate(struct kf__conn *conn, kf_time now,
                              const struct kf_sasl_authenticate_response *answer)
{
    const int64_t longest = KF_FOREVER / KF_MILLISECOND / 2;
    int64_t life = answer->session_lifetime_ms;
    if (answer->error_code) {
        refuse(conn, now, answer);
        return;
    }
    conn->session_life = life > 0 ? (life < longest ? life : longest) * KF_MILLISECOND : 0;
    pass_challenge(conn, now, answer->auth_bytes);
}

void kf__conn_take_sasl(struct kf__conn *conn, kf_time now, const struct kf__flight_entry *asked,
                        const void *body, size_t size)
{
    union {
        struct kf_sasl_handshake_response handshake;
        struct kf_sasl_authenticate_response authenticate;
    } answer;
    const kf_schema *schema = kf_schema_response(asked->api_key);
    kf_err err = kf_decode(schema, asked->version, body, size, &conn->arena, &answer);
    if (err)
        kf__conn_fail(conn, now, err, "%s: the answer to %s is malformed: %s", conn->peer,
                      kf_schema_name(kf_schema_request(asked->api_key)), kf_err_text(err));
    else if (asked->api_key == KF_API_SASL_HANDSHAKE)
        take_handshake(conn, now, &answer.handshake);
    else
        take_authenticate(conn, now, &answer.authenticate);
    kf_arena_reset(&conn->arena);
}

void kf__conn_take_raw(struct kf__conn *conn, kf_time now, const void *bytes, size_t size)
{
    pass_challenge(conn, now, (kf_bytes){bytes, size});
}

bool kf__conn_expects_raw(const struct kf__conn *conn)
{
    return conn->state == KF__CONN_SASL && conn->raw_sasl && conn->sasl;
}

void kf__conn_lost_in_sasl(struct kf__conn *conn, kf_time now, const char *cause)
{
    bool begun = conn->raw_sasl && conn->sasl && !conn->work && conn->sasl->begun;
    if (begun && conn->sasl->error.code)
        fail(conn, now, conn->sasl->error.code, conn->sasl->error.text);
    else if (begun)
        kf__conn_fail(conn, now, KF_ERR_SASL_AUTHENTICATION_FAILED,
                      "%s closed the connection on the credentials (%s): brokers of this age say "
                      "no more; compare user, password and mechanism",
                      conn->peer, cause ? cause : "end of stream");
    else
        kf__conn_fail(conn, now, KF_ERR_DISCONNECTED,
                      "%s closed the connection during authentication (%s)", conn->peer,
                      cause ? cause : "end of stream");
}

/* ---- the session's end ---- */

bool kf__conn_must_renew(const struct kf__conn *conn, kf_time now)
{
    return conn->renew_at != 0 && now >= conn->renew_at;
}

bool kf__conn_may_renew(const struct kf__conn *conn, kf_time now)
{
    return kf__conn_must_renew(conn, now) && now >= conn->renew_from && conn->flight.count == 0 &&
           conn->output.total == conn->output_sent;
}
