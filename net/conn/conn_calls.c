/*
 * conn_calls: the requests and answers of one connection.
 *
 *   waiting ──encode──▶ output + flight ──sent──▶ ──frame──▶ match ──decode──▶ done()
 *
 * Each call's done() may send and cancel others, so every loop here takes one
 * entry at a time off its list and looks again.
 */
#include "net/conn/conn_inner.h"
#include "net/conn/throttle.h"

#include "net/loop/times.h"
#include "proto/codec/frame.h"
#include <assert.h>
#include <kafiber/messages.h>
#include <string.h>

static kf_time earlier(kf_time a, kf_time b) { return a < b ? a : b; }

/* ---- out ---- */

void kf__conn_send(struct kf__conn *conn, struct kf__call *call)
{
    kf__calls_append(&conn->waiting, call);
    conn->next_check = earlier(conn->next_check, call->deadline);
}

/* The writer's contents are undefined after an error: back to where it stood. */
static kf_err encode_frame(kf_writer *output, struct kf__call *call, const kf_schema *schema,
                           int16_t version, int32_t correlation_id, kf_string client_id,
                           const void *message)
{
    size_t used = output->used, total = output->total, segments = output->segment_count;
    kf_err err = kf__encode_request(output, schema, version, correlation_id, client_id, message);
    if (!err && call && call->spliced)
        err = call->spliced(call, output, segments);
    if (err) {
        output->used = used;
        output->total = total;
        output->segment_count = segments;
        output->err = KF_OK;
    }
    return err;
}

kf_err kf__conn_encode(struct kf__conn *conn, struct kf__call *call, int16_t api_key,
                       int16_t version, const void *message, kf_time expires)
{
    struct kf__flight_entry *entry = kf__flight_prepare(&conn->flight);
    if (!entry)
        return KF_ERR_NO_MEMORY;
    const char *id = conn->settings->client_id;
    kf_string client_id = {id, id ? strlen(id) : 0};
    size_t before = conn->output.total;
    kf_err err = encode_frame(&conn->output, call, kf_schema_request(api_key), version,
                              entry->correlation_id, client_id, message);
    if (err)
        return err;

    conn->encoded += (int64_t)(conn->output.total - before);
    entry->call = call;
    entry->expires = expires;
    entry->ends_at = conn->encoded;
    entry->api_key = api_key;
    entry->version = version;
    entry->no_answer = call && call->no_answer;
    conn->silent += entry->no_answer;
    conn->next_check = earlier(conn->next_check, expires);
    kf__flight_commit(&conn->flight);
    return KF_OK;
}

static kf_err encode_call(struct kf__conn *conn, struct kf__call *call, kf_time now)
{
    int16_t version =
        kf__versions_choose(&conn->versions, call->api_key, call->min_version, call->max_version);
    if (version < 0)
        return KF_ERR_API_NOT_SUPPORTED;
    const void *message = NULL;
    kf_err err = call->build(call, version, &conn->arena, &message);
    if (err)
        return err;

    int32_t id = conn->flight.next_id;
    kf_time expires = kf__call_patience(call, now, conn->settings->request_timeout);
    err = kf__conn_encode(conn, call, call->api_key, version, message, expires);
    if (err)
        return err;
    call->state = KF__CALL_IN_FLIGHT;
    call->conn = conn;
    call->correlation_id = id;
    conn->next_check = earlier(conn->next_check, call->deadline);
    return KF_OK;
}

static size_t unsent(const struct kf__conn *conn) { return conn->output.total - conn->output_sent; }

void kf__conn_encode_waiting(struct kf__conn *conn, kf_time now)
{
    if (now < conn->throttled_until)
        return;
    conn->throttled_until = 0;
    while (!kf__calls_empty(&conn->waiting) && conn->output.total < KF__OUTPUT_BYTES) {
        struct kf__call *call = kf__calls_take(&conn->waiting);
        kf_err err = encode_call(conn, call, now);
        kf_arena_reset(&conn->arena);
        if (err)
            kf__call_end(call, err, NULL);
        else
            conn->last_used = now;
    }
}

bool kf__conn_has_output(const struct kf__conn *conn)
{
    if (conn->tls)
        return !(conn->state == KF__CONN_TLS && conn->work) &&
               kf__tls_output(conn->tls).iov_len > 0;
    return unsent(conn) > 0;
}

size_t kf__conn_output(const struct kf__conn *conn, struct iovec *parts, size_t max)
{
    if (conn->tls && max > 0) {
        *parts = kf__tls_output(conn->tls);
        return 1;
    }
    return kf__writer_iovec_from(&conn->output, conn->output_sent, parts, max);
}

/* A request without answer is done once its last byte is written. */
static void end_silent_calls(struct kf__conn *conn)
{
    for (uint32_t i = 0; i < conn->flight.count && conn->silent; i++) {
        struct kf__flight_entry *entry = kf__flight_at(&conn->flight, i);
        if (!entry->no_answer || entry->ends_at > conn->sent || entry->expires == KF_FOREVER)
            continue;
        struct kf__call *call = entry->call;
        entry->call = NULL;
        entry->expires = KF_FOREVER;
        conn->silent--;
        if (call)
            kf__call_end(call, KF_OK, NULL);
    }
    while (conn->flight.count) {
        struct kf__flight_entry *first = kf__flight_at(&conn->flight, 0);
        if (!first->no_answer || first->ends_at > conn->sent)
            break;
        kf__flight_drop_first(&conn->flight);
    }
}

void kf__conn_sent(struct kf__conn *conn, kf_time now, size_t size)
{
    conn->last_used = now;
    if (conn->tls)
        kf__tls_sent(conn->tls, size);
    else
        kf__conn_taken(conn, size);
}

void kf__conn_taken(struct kf__conn *conn, size_t size)
{
    conn->output_sent += size;
    conn->sent += (int64_t)size;
    assert(conn->output_sent <= conn->output.total);
    if (conn->output_sent == conn->output.total) {
        kf_writer_reset(&conn->output);
        conn->output_sent = 0;
    }
    end_silent_calls(conn);
}

/* ---- in ---- */

/* Requests without answer that stand before the oldest one with. */
static void skip_silent(struct kf__conn *conn)
{
    while (conn->flight.count && kf__flight_at(&conn->flight, 0)->no_answer &&
           !kf__flight_at(&conn->flight, 0)->call)
        kf__flight_drop_first(&conn->flight);
}

bool kf__conn_awaits_fetch(const struct kf__conn *conn)
{
    for (uint32_t i = 0; i < conn->flight.count; i++) {
        const struct kf__flight_entry *entry = kf__flight_at(&conn->flight, i);
        if (!entry->no_answer)
            return entry->api_key == KF_API_FETCH || entry->api_key == KF_API_SHARE_FETCH;
    }
    return false;
}

kf_err kf__conn_match(struct kf__conn *conn, const struct kf__frame *frame,
                      struct kf__flight_entry *entry, size_t *header)
{
    skip_silent(conn);
    if (!conn->flight.count)
        return KF_ERR_NOT_KAFKA;
    *entry = *kf__flight_at(&conn->flight, 0);
    int32_t id = 0;
    kf_err err = kf__decode_response_header(kf_schema_response(entry->api_key), entry->version,
                                            frame->bytes, frame->size, &id, header);
    if (err)
        return err;
    if (id != entry->correlation_id)
        return KF_ERR_NOT_KAFKA;
    kf__flight_drop_first(&conn->flight);
    return KF_OK;
}

static kf_err decode(struct kf__conn *conn, const struct kf__flight_entry *entry,
                     const struct kf__frame *frame, size_t header, void **message)
{
    const kf_schema *schema = kf_schema_response(entry->api_key);
    *message = kf_arena_alloc(&conn->arena, kf_schema_struct_size(schema));
    if (!*message)
        return KF_ERR_NO_MEMORY;
    return kf_decode(schema, entry->version, frame->bytes + header, frame->size - header,
                     &conn->arena, *message);
}

void kf__conn_complete(struct kf__conn *conn, kf_time now, const struct kf__flight_entry *entry,
                       const struct kf__frame *frame, size_t header)
{
    if (!entry->call)
        return;
    void *message = NULL;
    kf_err err = decode(conn, entry, frame, header, &message);
    if (err) {
        kf__call_end(entry->call, err, NULL);
        kf__conn_fail(conn, now, err, "%s: the answer to %s version %d is malformed: %s",
                      conn->peer, kf_schema_name(kf_schema_request(entry->api_key)), entry->version,
                      kf_err_text(err));
    } else {
        kf_time throttle = kf__throttle_of(entry->api_key, entry->version, message);
        if (throttle)
            conn->throttled_until = kf__after(now, throttle);
        struct kf__answer answer = {message, entry->version, conn->node, frame->slab, frame->size};
        kf__call_end(entry->call, KF_OK, &answer);
    }
    kf_arena_reset(&conn->arena);
}

/* ---- ends ---- */

/*
 * A call that ends before its request is written takes away the records that
 * the output borrows: copy them first. Without memory for that the bytes are
 * lost, and with them the connection.
 */
static void keep_borrowed_bytes(struct kf__conn *conn, const struct kf__flight_entry *entry)
{
    if (entry->ends_at <= conn->sent || !conn->output.segment_count)
        return;
    if (kf_writer_flatten(&conn->output)) {
        kf_writer_reset(&conn->output);
        conn->output_sent = 0;
        conn->spoilt = true;
    }
}

void kf__call_cancel(struct kf__call *call)
{
    if (call->state == KF__CALL_WAITING) {
        kf__calls_remove(call);
    } else if (call->state == KF__CALL_IN_FLIGHT) {
        struct kf__flight_entry *entry = kf__flight_find(&call->conn->flight, call->correlation_id);
        assert(entry && entry->call == call);
        keep_borrowed_bytes(call->conn, entry);
        entry->call = NULL;
        call->state = KF__CALL_IDLE;
        call->conn = NULL;
    }
}

void kf__conn_end_flight(struct kf__conn *conn, kf_err err)
{
    while (conn->flight.count) {
        struct kf__call *call = kf__flight_at(&conn->flight, 0)->call;
        kf__flight_drop_first(&conn->flight);
        if (call)
            kf__call_end(call, err, NULL);
    }
    conn->silent = 0;
}

void kf__conn_end_waiting(struct kf__conn *conn, kf_err err)
{
    struct kf__call_list list = {0};
    struct kf__call *call;
    while ((call = kf__calls_take(&conn->waiting)))
        kf__calls_append(&list, call); /* those that done() sends anew are not of this list */
    while ((call = kf__calls_take(&list)))
        kf__call_end(call, err, NULL);
}

/* Why a call that waited too long was not sent. */
static kf_err cause_of_waiting(const struct kf__conn *conn)
{
    return conn->state != KF__CONN_READY && conn->err ? conn->err : KF_ERR_TIMED_OUT;
}

static void expire_waiting(struct kf__conn *conn, kf_time now)
{
    struct kf__call_list late = {0};
    for (struct kf__call *call = conn->waiting.first, *next; call; call = next) {
        next = call->next;
        if (call->deadline > now) {
            conn->next_check = earlier(conn->next_check, call->deadline);
            continue;
        }
        kf__calls_remove(call);
        kf__calls_append(&late, call);
    }
    struct kf__call *call;
    while ((call = kf__calls_take(&late)))
        kf__call_end(call, cause_of_waiting(conn), NULL);
}

/* The call's own deadline ends the call alone; the answer that may still come is dropped. */
static bool expire_flight(struct kf__conn *conn, kf_time now)
{
    bool silent = false;
    for (uint32_t i = 0; i < conn->flight.count; i++) {
        struct kf__flight_entry *entry = kf__flight_at(&conn->flight, i);
        struct kf__call *call = entry->call;
        silent |= entry->expires <= now;
        conn->next_check = earlier(conn->next_check, entry->expires);
        if (!call)
            continue;
        if (entry->expires > now && call->deadline > now) {
            conn->next_check = earlier(conn->next_check, call->deadline);
            continue;
        }
        keep_borrowed_bytes(conn, entry);
        entry->call = NULL;
        kf__call_end(call, KF_ERR_TIMED_OUT, NULL);
    }
    return silent;
}

void kf__conn_expire(struct kf__conn *conn, kf_time now)
{
    conn->next_check = KF_FOREVER;
    expire_waiting(conn, now);
    bool silent = expire_flight(conn, now);
    if (silent && conn->state == KF__CONN_READY)
        kf__conn_fail(conn, now, KF_ERR_TIMED_OUT,
                      "%s did not answer a request within its time: the connection is given up",
                      conn->peer);
}
