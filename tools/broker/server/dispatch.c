/*
 * dispatch: from bytes to an exchange, to its API's handler, and back to
 * bytes. It carries out what the faults say. No sockets.
 */
#include "proto/codec/frame.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/faults/error_answers.h"
#include "tools/broker/faults/mentions.h"
#include "tools/broker/instrument/journal.h"
#include "tools/broker/server/strict.h"
#include "tools/broker/state.h"

static void end_exchange(struct kf__connection *connection)
{
    kf_arena_free(&connection->exchange.arena);
    connection->exchange = (struct kf__exchange){0};
    connection->in_start += connection->frame_size;
    connection->frame_size = 0;
    connection->more_waits = false;
    if (connection->in_start == connection->in_used)
        connection->in_start = connection->in_used = 0;
}

void kf__dispatch_sent(struct kf__connection *connection)
{
    kf_writer_reset(&connection->out);
    connection->sent = 0;
    connection->writing = false;
    connection->answer_at = 0;
    if (connection->close_after)
        connection->closing = true;
    end_exchange(connection);
}

void kf__dispatch_abandon(struct kf_broker *broker, struct kf__connection *connection)
{
    if (connection->frame_size == 0)
        return;
    kf__server_stir_groups(broker);
    kf__coordinator_forget(&broker->coordinator, &connection->exchange);
    kf_arena_free(&connection->exchange.arena);
}

/* ---- answering ---- */

static void set_throttle(struct kf__exchange *exchange)
{
    kf_field field;
    kf_fields walk = kf_fields_of(kf_schema_response(exchange->api->key));
    while (kf_fields_next(&walk, &field)) {
        if (strcmp(field.name, "throttle_time_ms") != 0 || field.type != KF_FIELD_INT32)
            continue;
        int32_t ms = (int32_t)exchange->verdict.throttle_ms;
        memcpy((uint8_t *)exchange->response + field.offset, &ms, sizeof ms);
    }
}

static void make_noise(kf_writer *out, size_t size)
{
    kf_writer_reset(out);
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        uint8_t byte = (uint8_t)x;
        kf_writer_put(out, &byte, 1);
    }
}

/* What the faults do to an answer that is ready. */
static void spoil(struct kf__connection *connection, const struct kf__verdict *verdict)
{
    kf_writer *out = &connection->out;
    if (verdict->garbage)
        make_noise(out, verdict->bytes);
    if (verdict->cut && kf_writer_flatten(out) == KF_OK && verdict->bytes < out->used) {
        out->used = verdict->bytes;
        out->total = verdict->bytes;
    }
    connection->close_after |= verdict->garbage || verdict->cut;
}

static void send_answer(struct kf_broker *broker, struct kf__connection *connection)
{
    struct kf__exchange *exchange = &connection->exchange;
    struct kf__verdict verdict = exchange->verdict;
    int16_t version = exchange->version;
    if (exchange->api->key == KF_API_API_VERSIONS &&
        version > kf__api_versions(broker, exchange->api).max)
        version = 0; /* KIP-511 */
    if (verdict.throttle_ms > 0) {
        set_throttle(exchange);
        connection->muted_until = exchange->now + verdict.throttle_ms * KF_MILLISECOND;
    }
    if (verdict.corrupt && exchange->api->key == KF_API_FETCH)
        kf__fetch_corrupt(exchange);
    kf__journal_write(broker, exchange,
                      verdict.close_answer  ? "closed, answer lost"
                      : verdict.drop_answer ? "answer dropped"
                                            : NULL);
    connection->closing |= verdict.close_answer;
    connection->silent = verdict.drop_answer;
    if (verdict.close_answer || verdict.drop_answer)
        return;
    kf_writer *out = &connection->out;
    kf_writer_reset(out);
    out->splice = true;
    kf_err err = kf__encode_response(out, kf_schema_response(exchange->api->key), version,
                                     exchange->correlation_id, exchange->response);
    if (!err)
        err = out->err;
    if (err) { /* an answer that its own schema refuses: a fault of ours, or no memory */
        fprintf(stderr, "kafiber broker: cannot encode %s v%d: %s\n",
                kf_schema_name(kf_schema_response(exchange->api->key)), version, kf_err_text(err));
        broker->faults += err != KF_ERR_NO_MEMORY;
        connection->closing = true;
        return;
    }
    spoil(connection, &verdict);
    connection->writing = true;
    if (verdict.delay_ms > 0)
        connection->answer_at = exchange->now + verdict.delay_ms * KF_MILLISECOND;
    else
        kf__server_write(broker, connection);
}

/* ---- taking requests ---- */

static bool must_authenticate(const struct kf_broker *broker,
                              const struct kf__connection *connection)
{
    return kf__protocol_has_sasl(broker->server.listeners.items[connection->listener].protocol);
}

/* Prepares the exchange; false: this peer doesn't get an answer. */
static bool open_exchange(struct kf_broker *broker, struct kf__connection *connection,
                          const uint8_t *frame, size_t size, kf_time now)
{
    struct kf__exchange *exchange = &connection->exchange;
    struct kf_request_header header;
    size_t used = 0;
    if (kf__decode_request_header(frame, size, &header, &used))
        return false;
    const struct kf__api *api = kf__api_find(header.request_api_key);
    if (!api)
        return false;
    struct kf__api_range range = kf__api_versions(broker, api);
    int16_t version = header.request_api_version;
    bool too_new = api->key == KF_API_API_VERSIONS && version > range.max;
    if (version < range.min || (version > range.max && !too_new))
        return false;
    if (!kf__session_allows(&connection->session, must_authenticate(broker, connection), api->key,
                            now))
        return false;

    *exchange = (struct kf__exchange){
        .broker = broker,
        .api = api,
        .node = connection->node,
        .listener = connection->listener,
        .version = version,
        .correlation_id = header.correlation_id,
        .connection_id = connection->id,
        .session = &connection->session,
        .must_authenticate = must_authenticate(broker, connection),
        .client_id = header.client_id,
        .client_host = kf__text(connection->peer),
        .principal = kf__text(connection->principal),
        .started = now,
        .now = now,
    };
    kf_arena_init(&exchange->arena, broker->alloc, KF__MAX_DECODED_BYTES);
    const kf_schema *schema = kf_schema_request(api->key);
    const kf_schema *answer = kf_schema_response(api->key);
    void *request = kf_arena_alloc(&exchange->arena, kf_schema_struct_size(schema));
    exchange->request = request;
    exchange->response = kf_arena_alloc(&exchange->arena, kf_schema_struct_size(answer));
    if (!request || !exchange->response)
        return false;
    kf_reset(answer, exchange->response);
    if (too_new) {
        kf_reset(schema, request);
        return true;
    }
    size_t body = 0; /* Kafka doesn't mind bytes after the message */
    return kf_decode_prefix(schema, exchange->version, frame + used, size - used, &exchange->arena,
                            request, &body) == KF_OK;
}

static void count(struct kf_broker *broker, const struct kf__exchange *exchange)
{
    broker->requests[exchange->api->key]++;
    broker->request_count++;
    kf__census_note(&broker->census, exchange->client_id, exchange->api->key);
}

static bool mentions(const void *context, kf_string topic, int32_t partition)
{
    return kf__mentions(context, topic, partition);
}

static struct kf__verdict judge(struct kf__exchange *exchange)
{
    struct kf__sight sight = {
        .api_key = exchange->api->key,
        .version = exchange->version,
        .node = exchange->node,
        .connection = exchange->connection_id,
        .client_id = exchange->client_id,
        .context = exchange,
        .mentions = mentions,
    };
    return kf__rules_judge(&exchange->broker->rules, &sight);
}

/* A request that fails as a whole isn't handled at all. */
static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf__rule *rule = exchange->verdict.error;
    if (!rule || rule->topic.data || kf__places_errors(exchange->api->key))
        return exchange->api->handle(exchange);
    return kf__error_answer(exchange, rule->what.error) ? KF__ANSWERED : KF__REFUSED;
}

static void note_session(struct kf__connection *connection)
{
    const struct kf__session *session = &connection->session;
    if (session->principal[0])
        snprintf(connection->principal, sizeof connection->principal, "%s", session->principal);
    connection->close_after |= session->state == KF__SESSION_OUT;
}

/* After SaslHandshake version 0: messages without Kafka's headers, both ways. */
static void take_bare(struct kf_broker *broker, struct kf__connection *connection,
                      const uint8_t *frame, size_t size, kf_time now)
{
    struct kf__sasl_answer answer;
    kf_writer *out = &connection->out;
    kf__session_step(&connection->session, &broker->sasl, (kf_bytes){frame, size}, now,
                     kf__broker_wall_ms(broker), &answer);
    note_session(connection);
    kf_arena_init(&connection->exchange.arena, broker->alloc, KF__MAX_DECODED_BYTES);
    kf_writer_reset(out);
    const size_t length = answer.bytes.size;
    const uint8_t head[] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16),
                            (uint8_t)(length >> 8), (uint8_t)length};
    kf_writer_put(out, head, sizeof head);
    kf_writer_put(out, answer.bytes.data, answer.bytes.size);
    if (answer.err || out->err) { /* it has no place in a bare message */
        connection->closing = true;
        return;
    }
    connection->writing = true;
    kf__server_write(broker, connection);
}

/* A request that isn't is told to whoever reads stderr or the journal: the client sees it hang up.
 */
static bool is_canonical(struct kf_broker *broker, struct kf__connection *connection,
                         const uint8_t *frame, size_t size)
{
    const struct kf__exchange *exchange = &connection->exchange;
    kf_error why = KF_ERROR_INIT;
    if (exchange->version > exchange->api->max_version ||
        kf__strict_check(exchange, frame - KF__FRAME_SIZE_BYTES, size + KF__FRAME_SIZE_BYTES, &why))
        return true;
    broker->refusals++;
    snprintf(broker->refusal, sizeof broker->refusal, "%s", why.text);
    fprintf(stderr, "kafiber broker: refused: %s\n", why.text);
    kf__journal_refusal(broker, connection->node, connection->id, why.text);
    return false;
}

static void take_frame(struct kf_broker *broker, struct kf__connection *connection,
                       const uint8_t *frame, size_t size, kf_time now)
{
    struct kf__exchange *exchange = &connection->exchange;
    connection->frame_size = size + KF__FRAME_SIZE_BYTES;
    if (connection->session.raw && connection->session.state == KF__SESSION_CHOSEN) {
        take_bare(broker, connection, frame, size, now);
        return;
    }
    if (!open_exchange(broker, connection, frame, size, now)) {
        connection->closing = true;
        return;
    }
    count(broker, exchange);
    if (broker->options.strict && !is_canonical(broker, connection, frame, size)) {
        connection->closing = true;
        return;
    }
    exchange->verdict = judge(exchange);
    if (exchange->verdict.close || exchange->verdict.drop_request) {
        kf__journal_write(broker, exchange, exchange->verdict.close ? "closed" : "dropped");
        connection->closing |= exchange->verdict.close;
        connection->silent = exchange->verdict.drop_request;
        return;
    }
    if (exchange->api->key != KF_API_PRODUCE && exchange->api->key != KF_API_FETCH)
        kf__server_stir_groups(broker);
    enum kf__outcome outcome = handle(exchange);
    note_session(connection);
    switch (outcome) {
    case KF__ANSWERED:
        send_answer(broker, connection);
        break;
    case KF__PARKED:
        exchange->parked = true;
        kf__link_append(&broker->server.parked, &connection->parked);
        exchange->verdict.error = NULL; /* it may be cleared meanwhile */
        exchange->seen_changes = broker->changes;
        break;
    case KF__UNANSWERED:
        if (exchange->verdict.throttle_ms > 0)
            connection->muted_until = now + exchange->verdict.throttle_ms * KF_MILLISECOND;
        kf__journal_write(broker, exchange, "unanswered");
        end_exchange(connection);
        break;
    case KF__REFUSED:
        kf__journal_write(broker, exchange, "closed");
        connection->closing = true;
        break;
    }
}

static uint32_t read_size(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Whoever must say who he is may not send much before. */
static int64_t largest_request(struct kf_broker *broker, const struct kf__connection *connection)
{
    const struct kf__limits *limits = kf__broker_limits(broker);
    bool stranger = must_authenticate(broker, connection) && !connection->session.principal[0];
    return stranger ? limits->stranger_bytes : limits->request_bytes;
}

void kf__dispatch(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    /* An event that this request set off comes before the next one. */
    while (!connection->closing && connection->frame_size == 0 && !broker->paused &&
           connection->muted_until <= now && !broker->rules.due) {
        size_t held = connection->in_used - connection->in_start;
        if (held < KF__FRAME_SIZE_BYTES)
            return;
        const uint8_t *at = connection->in + connection->in_start;
        uint32_t size = read_size(at);
        if (size > largest_request(broker, connection)) { /* negative ones included */
            connection->closing = true;
            return;
        }
        if (held - KF__FRAME_SIZE_BYTES < size)
            return;
        take_frame(broker, connection, at + KF__FRAME_SIZE_BYTES, size, now);
    }
}

/* ---- parked ones ---- */

static bool is_due(const struct kf_broker *broker, struct kf__exchange *exchange)
{
    if (exchange->ready)
        return true;
    if (!exchange->retry)
        return false;
    bool last = exchange->deadline <= exchange->now;
    if (!last && exchange->seen_changes == broker->changes)
        return false;
    exchange->seen_changes = broker->changes;
    return exchange->retry(exchange, last);
}

void kf__dispatch_ready(struct kf__exchange *exchange)
{
    exchange->ready = true;
    kf__server_stir(&exchange->broker->server,
                    KF__OWNER(exchange, struct kf__connection, exchange));
}

static void look_at(struct kf_broker *broker, struct kf__connection *connection, kf_time now)
{
    struct kf__exchange *exchange = &connection->exchange;
    if (connection->closing || !exchange->parked)
        return;
    exchange->now = now;
    if (!is_due(broker, exchange))
        return;
    exchange->parked = false;
    kf__link_remove(&connection->parked);
    kf__server_stir(&broker->server, connection);
    send_answer(broker, connection);
    kf__server_go_on(broker, connection, now);
}

/* All of those that were parked before, and wait for one of these partitions. */
static void look_at_those(struct kf_broker *broker, uint64_t marks, kf_time now)
{
    struct kf__link mark; /* who parks again meanwhile stands behind it */
    kf__link_init(&mark);
    kf__link_append(&broker->server.parked, &mark);
    for (struct kf__link *at = broker->server.parked.next, *next; at != &mark; at = next) {
        struct kf__connection *connection = KF__OWNER(at, struct kf__connection, parked);
        next = at->next;
        if (connection->exchange.waits_for & marks)
            look_at(broker, connection, now);
    }
    kf__link_remove(&mark);
}

void kf__dispatch_parked(struct kf_broker *broker, kf_time now)
{
    struct kf__server *server = &broker->server;
    uint64_t changes = broker->changes - server->seen_changes;
    if (changes > 0) {
        bool only_appends = changes == broker->appends - server->seen_appends;
        uint64_t marks = only_appends ? broker->new_marks : UINT64_MAX;
        server->seen_changes = broker->changes;
        server->seen_appends = broker->appends;
        broker->new_marks = 0;
        look_at_those(broker, marks, now);
    }
    for (struct kf__link *at = server->stirred.next; at != &server->stirred; at = at->next)
        look_at(broker, KF__OWNER(at, struct kf__connection, stirred), now);
}

kf_time kf__dispatch_deadline(const struct kf__connection *connection)
{
    const struct kf__exchange *exchange = &connection->exchange;
    return exchange->parked && exchange->retry ? exchange->deadline : KF_FOREVER;
}
