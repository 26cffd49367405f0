/*
 * conn: the state table and what each of its rows does. See conn.h for the
 * picture; conn_calls.c has the requests and answers of a ready connection.
 */
#include "net/conn/conn_inner.h"
#include "net/conn/hint.h"

#include "net/loop/times.h"
#include "proto/codec/frame.h"
#include <kafiber/messages.h>
#include <stdarg.h>
#include <string.h>

#define SOFTWARE_NAME    "kafiber"
#define SOFTWARE_VERSION "0.1.0"

enum event {
    WANTED,       /* calls wait */
    RESOLVED,     /* addresses are known */
    CONNECTED,    /* the socket is */
    TLS_WANTED,   /* the same, and a handshake comes first */
    SECURED,      /* the handshake is done */
    NEXT_ADDRESS, /* this one failed, there are more */
    REFUSED,      /* the broker knows only older ApiVersions */
    AGREED,       /* versions are known */
    SASL_WANTED,  /* the same, and the client has to say who it is */
    ADMITTED,     /* the broker believes it */
    EXPIRING,     /* it wants to be told again (KIP-368), and nothing is in flight */
    QUIET,        /* unused for max_idle */
    FAILED,
    RETRY, /* back-off is over */
};

static void begin_setup(struct kf__conn *conn, kf_time now);
static void begin_address(struct kf__conn *conn, kf_time now);
static void ask_versions(struct kf__conn *conn, kf_time now);
static void open_for_calls(struct kf__conn *conn, kf_time now);
static void renew_session(struct kf__conn *conn, kf_time now);
static void hang_up(struct kf__conn *conn, kf_time now);
static void back_off(struct kf__conn *conn, kf_time now);

static const struct transition {
    enum kf__conn_state in;
    enum event event;
    void (*act)(struct kf__conn *conn, kf_time now);
    enum kf__conn_state then;
} transitions[] = {
    {KF__CONN_IDLE, WANTED, begin_setup, KF__CONN_RESOLVING},
    {KF__CONN_RESOLVING, RESOLVED, begin_address, KF__CONN_CONNECTING},
    {KF__CONN_CONNECTING, NEXT_ADDRESS, begin_address, KF__CONN_CONNECTING},
    {KF__CONN_CONNECTING, CONNECTED, ask_versions, KF__CONN_VERSIONS},
    {KF__CONN_CONNECTING, TLS_WANTED, kf__conn_begin_tls, KF__CONN_TLS},
    {KF__CONN_TLS, SECURED, ask_versions, KF__CONN_VERSIONS},
    {KF__CONN_VERSIONS, REFUSED, ask_versions, KF__CONN_VERSIONS},
    {KF__CONN_VERSIONS, AGREED, open_for_calls, KF__CONN_READY},
    {KF__CONN_VERSIONS, SASL_WANTED, kf__conn_begin_sasl, KF__CONN_SASL},
    {KF__CONN_SASL, ADMITTED, open_for_calls, KF__CONN_READY},
    {KF__CONN_READY, EXPIRING, renew_session, KF__CONN_SASL},
    {KF__CONN_READY, QUIET, hang_up, KF__CONN_IDLE},
    {KF__CONN_BACKOFF, RETRY, NULL, KF__CONN_IDLE},
    {KF__CONN_ANY, FAILED, back_off, KF__CONN_BACKOFF},
};

/* The state changes first, so that an action sees, and may leave, the new one. */
static bool step(struct kf__conn *conn, enum event event, kf_time now)
{
    for (size_t i = 0; i < sizeof transitions / sizeof *transitions; i++) {
        const struct transition *row = &transitions[i];
        if (row->event != event || (row->in != conn->state && row->in != KF__CONN_ANY))
            continue;
        conn->state = row->then;
        if (row->act)
            row->act(conn, now);
        return true;
    }
    return false;
}

/* ---- failing ---- */

static bool in_setup(const struct kf__conn *conn)
{
    return conn->state >= KF__CONN_RESOLVING && conn->state < KF__CONN_READY;
}

bool kf__conn_is_open(const struct kf__conn *conn)
{
    return conn->state >= KF__CONN_CONNECTING && conn->state <= KF__CONN_READY;
}

void kf__conn_fail(struct kf__conn *conn, kf_time now, kf_err err, const char *format, ...)
{
    if (conn->state == KF__CONN_IDLE || conn->state == KF__CONN_BACKOFF)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(conn->text, sizeof conn->text, format, args);
    va_end(args);
    conn->err = err;
    step(conn, FAILED, now);
}

/* What a helper thread works on is freed when that is back. */
void kf__conn_part(struct kf__conn *conn)
{
    conn->work = NULL;
    kf__conn_drop_sasl(conn);
    if (conn->tls)
        conn->farewell_size = kf__tls_farewell(conn->tls, conn->farewell, sizeof conn->farewell);
    kf__tls_free(conn->tls);
    conn->tls = NULL;
}

static void forget_bytes(struct kf__conn *conn)
{
    kf__conn_part(conn);
    kf__inbox_free(&conn->inbox);
    kf_writer_reset(&conn->output);
    conn->output_sent = 0;
    conn->encoded = conn->sent = 0;
    conn->spoilt = false;
    conn->throttled_until = 0;
    conn->renew_at = 0;
}

static void back_off(struct kf__conn *conn, kf_time now)
{
    const struct kf__conn_settings *settings = conn->settings;
    bool was_ready = conn->worked;
    conn->worked = conn->answered = false;
    conn->retry_at = kf__after(
        now, kf__back_off(settings->reconnect_backoff, settings->reconnect_backoff_max,
                          conn->failures, settings->world->random(settings->world->context)));
    conn->failures++;
    forget_bytes(conn);
    kf__conn_end_flight(conn, KF_ERR_DISCONNECTED);
    conn->events.failed(conn->events.owner, was_ready);
}

static void hang_up(struct kf__conn *conn, kf_time now)
{
    (void)now;
    conn->worked = conn->answered = false;
    forget_bytes(conn);
    kf__conn_end_flight(conn, KF_ERR_DISCONNECTED);
}

void kf__conn_break(struct kf__conn *conn, kf_time now, kf_err err, const char *text)
{
    kf__conn_fail(conn, now, err, "%s", text);
}

/* ---- setting up ---- */

/* Longer after each failure: the network may just be slow. */
static void begin_address(struct kf__conn *conn, kf_time now)
{
    kf_time max = conn->settings->setup_timeout_max;
    kf_time timeout = conn->settings->setup_timeout;
    for (int i = 0; i < conn->failures && timeout < max; i++)
        timeout = timeout > max / 2 ? max : timeout * 2;
    conn->deadline = kf__after(now, timeout);
}

static void begin_setup(struct kf__conn *conn, kf_time now)
{
    conn->address = conn->address_count = 0;
    conn->farewell_size = 0;
    conn->inbox.limit = KF__SETUP_FRAME_BYTES;
    begin_address(conn, now);
}

void kf__conn_resolved(struct kf__conn *conn, kf_time now, kf_err err, size_t addresses)
{
    if (conn->state != KF__CONN_RESOLVING)
        return;
    if (err) {
        kf__conn_fail(conn, now, err,
                      "%s: the host name could not be resolved; check bootstrap.servers and the "
                      "brokers' advertised.listeners",
                      conn->peer);
        return;
    }
    conn->address_count = addresses;
    step(conn, RESOLVED, now);
}

static bool has_tls(const struct kf__conn *conn)
{
    return conn->settings->security && conn->settings->security->tls;
}

static bool has_sasl(const struct kf__conn *conn)
{
    return conn->settings->security && conn->settings->security->sasl;
}

void kf__conn_connected(struct kf__conn *conn, kf_time now)
{
    step(conn, has_tls(conn) ? TLS_WANTED : CONNECTED, now);
}

void kf__conn_secured(struct kf__conn *conn, kf_time now) { step(conn, SECURED, now); }

void kf__conn_authenticated(struct kf__conn *conn, kf_time now) { step(conn, ADMITTED, now); }

void kf__conn_worked(struct kf__conn *conn, kf_time now)
{
    conn->work = NULL;
    if (conn->state == KF__CONN_TLS)
        kf__conn_tls_worked(conn, now);
    else if (conn->state == KF__CONN_SASL)
        kf__conn_sasl_worked(conn, now);
}

static void try_next_address(struct kf__conn *conn, kf_time now, kf_err err, const char *cause)
{
    conn->address++;
    if (conn->address < conn->address_count && step(conn, NEXT_ADDRESS, now))
        return;
    kf__conn_fail(conn, now, err, "%s: no connection could be made (%s)", conn->peer, cause);
}

void kf__conn_refused(struct kf__conn *conn, kf_time now, const char *cause)
{
    if (conn->state == KF__CONN_CONNECTING)
        try_next_address(conn, now, KF_ERR_CONNECT_FAILED, cause);
}

/* ---- versions ---- */

static void ask_versions(struct kf__conn *conn, kf_time now)
{
    const kf_schema *schema = &kf_schema_of_api_versions_request;
    struct kf_api_versions_request request;
    kf_reset(schema, &request);
    request.client_software_name = (kf_string){SOFTWARE_NAME, strlen(SOFTWARE_NAME)};
    request.client_software_version = (kf_string){SOFTWARE_VERSION, strlen(SOFTWARE_VERSION)};
    if (conn->ask_version < 0)
        conn->ask_version = kf_schema_max_version(schema);

    kf_err err =
        kf__conn_encode(conn, NULL, KF_API_API_VERSIONS, conn->ask_version, &request, KF_FOREVER);
    if (err)
        kf__conn_fail(conn, now, err, "%s: ApiVersions could not be asked: %s", conn->peer,
                      kf_err_text(err));
}

static void open_for_calls(struct kf__conn *conn, kf_time now)
{
    bool again = conn->worked;
    conn->worked = true;
    conn->failures = 0;
    conn->err = KF_OK;
    conn->last_used = now;
    conn->inbox.limit = conn->settings->receive_max;
    if (!again)
        conn->events.opened(conn->events.owner);
}

static void renew_session(struct kf__conn *conn, kf_time now)
{
    begin_address(conn, now);
    kf__conn_begin_sasl(conn, now);
}

static void take_versions(struct kf__conn *conn, kf_time now, const struct kf__flight_entry *asked,
                          const void *body, size_t size)
{
    int16_t retry = 0;
    kf_err err =
        kf__versions_take(&conn->versions, asked->version, body, size, &conn->arena, &retry);
    kf_arena_reset(&conn->arena);
    if (err == KF_ERR_UNSUPPORTED_VERSION && asked->version > 0) {
        /* Once as offered, then as low as can be: it ends. */
        bool first = asked->version == kf_schema_max_version(&kf_schema_of_api_versions_request);
        conn->ask_version = first ? retry : 0;
        step(conn, REFUSED, now);
    } else if (err) {
        kf__conn_fail(conn, now, err, "%s: the answer to ApiVersions can't be used: %s", conn->peer,
                      kf_err_text(err));
    } else {
        step(conn, has_sasl(conn) ? SASL_WANTED : AGREED, now);
    }
}

/*
 * Some brokers reset the connection instead of answering a version that they
 * don't know: the next attempt asks lower, and after the lowest from the top.
 */
static void ask_lower_next_time(struct kf__conn *conn)
{
    conn->ask_version = conn->ask_version > 3 ? 3 : conn->ask_version > 0 ? 0 : -1;
}

void kf__conn_lost(struct kf__conn *conn, kf_time now, const char *cause)
{
    const char *text;
    if (conn->tls && (conn->state == KF__CONN_TLS || conn->state == KF__CONN_VERSIONS)) {
        kf_err err = kf__tls_lost(conn->tls, cause, &text);
        kf__conn_fail(conn, now, err, "%s", text);
    } else if (conn->state == KF__CONN_VERSIONS) {
        ask_lower_next_time(conn);
        kf__conn_fail(conn, now, KF_ERR_DISCONNECTED,
                      "%s closed the connection while it was set up (%s): a port that expects TLS "
                      "or SASL does that; check security.protocol",
                      conn->peer, cause ? cause : "end of stream");
    } else if (conn->state == KF__CONN_CONNECTING) {
        kf__conn_refused(conn, now, cause ? cause : "end of stream");
    } else if (conn->state == KF__CONN_SASL) {
        kf__conn_lost_in_sasl(conn, now, cause);
    } else if (!conn->answered && !has_sasl(conn)) {
        kf__conn_fail(conn, now, KF_ERR_DISCONNECTED,
                      "%s closed the connection on its first request (%s): a listener that expects "
                      "SASL does that; check security.protocol",
                      conn->peer, cause ? cause : "end of stream");
    } else {
        kf__conn_fail(conn, now, KF_ERR_DISCONNECTED, "%s closed the connection (%s)", conn->peer,
                      cause ? cause : "end of stream");
    }
}

/* ---- bytes ---- */

kf_err kf__conn_space(struct kf__conn *conn, uint8_t **bytes, size_t *size)
{
    if (conn->tls)
        return kf__tls_space(conn->tls, bytes, size);
    return kf__inbox_space(&conn->inbox, bytes, size);
}

static void fail_by_bytes(struct kf__conn *conn, kf_time now, const uint8_t *bytes, size_t size)
{
    char text[KF__CONN_TEXT_BYTES];
    kf_err err = kf__hint_of_bytes(conn->peer, bytes, size, text, sizeof text);
    kf__conn_fail(conn, now, err, "%s", text);
}

static void fail_by_frame(struct kf__conn *conn, kf_time now, kf_err err)
{
    const uint8_t *bytes;
    size_t size = kf__inbox_peek(&conn->inbox, &bytes);
    if (err == KF_ERR_NO_MEMORY)
        kf__conn_fail(conn, now, err, "%s: no memory for an answer", conn->peer);
    else if (conn->state == KF__CONN_VERSIONS)
        fail_by_bytes(conn, now, bytes, size);
    else if (err == KF_ERR_FRAME_TOO_LARGE)
        kf__conn_fail(conn, now, err,
                      "%s: an answer is larger than receive.message.max.bytes (%zu); raise it, or "
                      "lower fetch.max.bytes and max.partition.fetch.bytes",
                      conn->peer, conn->settings->receive_max);
    else
        kf__conn_fail(conn, now, err, "%s: an answer announces a negative size", conn->peer);
}

static void take_frame(struct kf__conn *conn, kf_time now, const struct kf__frame *frame)
{
    struct kf__flight_entry entry;
    size_t header = 0;
    if (kf__conn_expects_raw(conn)) {
        kf__conn_take_raw(conn, now, frame->bytes, frame->size);
        kf__slab_release(frame->slab);
        return;
    }
    kf_err err = kf__conn_match(conn, frame, &entry, &header);
    if (err && conn->state == KF__CONN_VERSIONS) {
        fail_by_bytes(conn, now, frame->bytes, frame->size);
    } else if (err) {
        kf__conn_fail(conn, now, err,
                      "%s: an answer belongs to no request: the connection is out of step",
                      conn->peer);
    } else if (conn->state == KF__CONN_VERSIONS) {
        take_versions(conn, now, &entry, frame->bytes + header, frame->size - header);
    } else if (conn->state == KF__CONN_SASL) {
        kf__conn_take_sasl(conn, now, &entry, frame->bytes + header, frame->size - header);
    } else {
        conn->last_used = now;
        conn->answered = true;
        kf__conn_complete(conn, now, &entry, frame, header);
    }
    kf__slab_release(frame->slab);
}

static bool takes_frames(const struct kf__conn *conn)
{
    return conn->state == KF__CONN_VERSIONS || conn->state == KF__CONN_SASL ||
           conn->state == KF__CONN_READY;
}

void kf__conn_received(struct kf__conn *conn, kf_time now, size_t size)
{
    if (conn->tls) {
        kf__conn_tls_received(conn, now, size);
        return;
    }
    kf__inbox_received(&conn->inbox, size);
    kf__conn_take_frames(conn, now);
}

void kf__conn_take_frames(struct kf__conn *conn, kf_time now)
{
    while (takes_frames(conn)) {
        struct kf__frame frame;
        kf_err err = kf__inbox_next(&conn->inbox, kf__conn_awaits_fetch(conn), &frame);
        if (err)
            fail_by_frame(conn, now, err);
        if (err || !frame.slab)
            return;
        take_frame(conn, now, &frame);
    }
}

/* ---- time ---- */

static kf_time earlier(kf_time a, kf_time b) { return a < b ? a : b; }

static bool is_unused(const struct kf__conn *conn)
{
    return conn->flight.count == 0 && kf__calls_empty(&conn->waiting);
}

kf_time kf__conn_deadline(const struct kf__conn *conn)
{
    kf_time next = is_unused(conn) ? KF_FOREVER : conn->next_check;
    if (in_setup(conn))
        next = earlier(next, conn->deadline);
    if (conn->state == KF__CONN_BACKOFF)
        next = earlier(next, conn->retry_at);
    if (conn->state == KF__CONN_READY && !kf__calls_empty(&conn->waiting))
        next = earlier(next, conn->throttled_until ? conn->throttled_until : KF_FOREVER);
    if (conn->state == KF__CONN_READY && conn->renew_at && !kf__calls_empty(&conn->waiting) &&
        conn->flight.count == 0 && conn->output.total == conn->output_sent)
        next = earlier(next, conn->renew_at > conn->renew_from ? conn->renew_at : conn->renew_from);
    if (conn->state == KF__CONN_READY && is_unused(conn))
        next = earlier(next, kf__after(conn->last_used, conn->settings->max_idle));
    return next;
}

static void time_out_setup(struct kf__conn *conn, kf_time now)
{
    if (conn->state == KF__CONN_CONNECTING)
        try_next_address(conn, now, KF_ERR_TIMED_OUT, "no answer in time");
    else
        kf__conn_fail(conn, now, KF_ERR_TIMED_OUT,
                      "%s: the connection was not ready within "
                      "socket.connection.setup.timeout.ms; is it a Kafka broker's port?",
                      conn->peer);
}

void kf__conn_tick(struct kf__conn *conn, kf_time now)
{
    if (now >= conn->next_check)
        kf__conn_expire(conn, now);
    if (in_setup(conn) && now >= conn->deadline)
        time_out_setup(conn, now);
    if (conn->state == KF__CONN_BACKOFF && now >= conn->retry_at)
        step(conn, RETRY, now);
    if (conn->state == KF__CONN_READY && is_unused(conn) &&
        now >= kf__after(conn->last_used, conn->settings->max_idle))
        step(conn, QUIET, now);
}

void kf__conn_hang_up_when_unused(struct kf__conn *conn, kf_time now)
{
    if (is_unused(conn))
        step(conn, QUIET, now);
}

/* ---- the whole ---- */

void kf__conn_init(struct kf__conn *conn, const struct kf__conn_settings *settings,
                   const struct kf__conn_events *events, const char *peer, const char *host,
                   int32_t node)
{
    memset(conn, 0, sizeof *conn);
    conn->settings = settings;
    conn->events = *events;
    conn->peer = peer;
    conn->host = host;
    conn->node = node;
    conn->next_check = KF_FOREVER;
    conn->ask_version = -1;
    kf__versions_clear(&conn->versions);
    kf__flight_init(&conn->flight, settings->alloc);
    kf__inbox_init(&conn->inbox, settings->slabs, KF__SETUP_FRAME_BYTES);
    kf_writer_init(&conn->output, settings->alloc);
    conn->output.splice = true;
    kf_arena_init(&conn->arena, settings->alloc, KF__ANSWER_BYTES);
}

void kf__conn_free(struct kf__conn *conn, kf_err err)
{
    conn->state = KF__CONN_IDLE;
    conn->closing = true;
    kf__conn_end_flight(conn, err);
    kf__conn_end_waiting(conn, err);
    kf__conn_part(conn);
    kf__inbox_free(&conn->inbox);
    kf__flight_free(&conn->flight);
    kf_writer_free(&conn->output);
    kf_arena_free(&conn->arena);
}

/* Nobody waits: a session that ends unused does no harm, and the next call renews it. */
static void renew_where_wanted(struct kf__conn *conn, kf_time now)
{
    if (!kf__calls_empty(&conn->waiting) && kf__conn_may_renew(conn, now))
        step(conn, EXPIRING, now);
}

void kf__conn_pump(struct kf__conn *conn, kf_time now)
{
    if (conn->spoilt)
        kf__conn_fail(conn, now, KF_ERR_NO_MEMORY, "%s: no memory for a request under way",
                      conn->peer);
    if (conn->state == KF__CONN_IDLE && !kf__calls_empty(&conn->waiting) && !conn->closing)
        step(conn, WANTED, now);
    if (conn->state == KF__CONN_READY && kf__conn_must_renew(conn, now))
        renew_where_wanted(conn, now);
    else if (conn->state == KF__CONN_READY)
        kf__conn_encode_waiting(conn, now);
    if (conn->tls)
        kf__conn_tls_seal(conn, now);
}
