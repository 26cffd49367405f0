#include "net/conn/conn.h"
#include "net/conn/security.h"

#include "proto/codec/frame.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <string.h>

/* A connection that authenticates, without a socket: the test is the broker and the clock. */
static struct kf__conn conn;
static struct kf__conn_settings settings;
static struct kf__world world;
static struct kf__security security;
static kf_time now;
static int opened, failed;

static uint64_t no_random(void *context)
{
    (void)context;
    return 0;
}

static int64_t some_time(void *context)
{
    (void)context;
    return 1700000000000;
}

static void on_opened(void *owner)
{
    (void)owner;
    opened++;
}

static void on_failed(void *owner, bool was_ready)
{
    (void)owner;
    (void)was_ready;
    failed++;
}

static void make_with(const struct kf__sasl_settings *sasl)
{
    security.references = 1;
    security.alloc = kf_default_allocator;
    cr_assert(eq(int, kf__sasl_open(&kf_default_allocator, sasl, &security.sasl, NULL), KF_OK));
    struct kf__conn_events events = {.opened = on_opened, .failed = on_failed};
    kf__conn_init(&conn, &settings, &events, "broker:9092", "broker", 7);
}

static void begin(void)
{
    world.random = no_random;
    world.wall_ms = some_time;
    settings =
        (struct kf__conn_settings){.alloc = &kf_default_allocator,
                                   .world = &world,
                                   .slabs = kf__slab_pool_new(&kf_default_allocator, 1 << 20),
                                   .security = &security,
                                   .client_id = "me",
                                   .request_timeout = 30 * KF_SECOND,
                                   .setup_timeout = 10 * KF_SECOND,
                                   .setup_timeout_max = 30 * KF_SECOND,
                                   .reconnect_backoff = 50 * KF_MILLISECOND,
                                   .reconnect_backoff_max = KF_SECOND,
                                   .max_idle = 540 * KF_SECOND,
                                   .receive_max = 8 << 20};
    now = 1000 * KF_SECOND;
}

static void end(void)
{
    kf__conn_free(&conn, KF_ERR_CLOSED);
    kf__sasl_close(security.sasl);
    kf__slab_pool_drop(settings.slabs);
}

TestSuite(conn_sasl, .init = begin, .fini = end, .timeout = 60);

static void make_plain(void)
{
    struct kf__sasl_settings plain = {
        .mechanism = "PLAIN", .user = "alice", .password = "hunter2", .world = &world};
    make_with(&plain);
}

/* ---- the network ---- */

static uint8_t wire[1 << 16];
static size_t wire_size;

static void take_output(void)
{
    wire_size = 0;
    while (kf__conn_has_output(&conn)) {
        struct iovec parts[4];
        size_t count = kf__conn_output(&conn, parts, 4), size = 0;
        for (size_t i = 0; i < count; i++) {
            memcpy(wire + wire_size + size, parts[i].iov_base, parts[i].iov_len);
            size += parts[i].iov_len;
        }
        kf__conn_sent(&conn, now, size);
        kf__conn_pump(&conn, now);
        wire_size += size;
    }
}

static int16_t asked_key(void) { return (int16_t)(wire[4] << 8 | wire[5]); }
static int16_t asked_version(void) { return (int16_t)(wire[6] << 8 | wire[7]); }
static int32_t asked_id(void) { return wire[8] << 24 | wire[9] << 16 | wire[10] << 8 | wire[11]; }
static bool sent(const char *text) { return memmem(wire, wire_size, text, strlen(text)) != NULL; }

static void feed(const void *bytes, size_t size)
{
    uint8_t *room;
    size_t space;
    cr_assert(eq(int, kf__conn_space(&conn, &room, &space), KF_OK));
    cr_assert(ge(sz, space, size));
    memcpy(room, bytes, size);
    kf__conn_received(&conn, now, size);
    kf__conn_pump(&conn, now);
}

static void answer(const kf_schema *schema, const void *message)
{
    kf_writer writer;
    kf_writer_init(&writer, &kf_default_allocator);
    cr_assert(
        eq(int, kf__encode_response(&writer, schema, asked_version(), asked_id(), message), KF_OK));
    feed(writer.bytes, writer.used);
    kf_writer_free(&writer);
}

/* ---- the broker ---- */

static int16_t handshake_max = 1, authenticate_max = 2;

static void answer_versions(void)
{
    struct kf_api_versions_response_api_version apis[] = {
        {.api_key = KF_API_API_VERSIONS, .min_version = 0, .max_version = 2},
        {.api_key = KF_API_HEARTBEAT, .min_version = 0, .max_version = 4},
        {.api_key = KF_API_SASL_HANDSHAKE, .min_version = 0, .max_version = handshake_max},
        {.api_key = KF_API_SASL_AUTHENTICATE, .min_version = 0, .max_version = authenticate_max},
    };
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_response, &response);
    response.api_keys.items = apis;
    response.api_keys.count = 4;
    answer(&kf_schema_of_api_versions_response, &response);
}

static void answer_handshake(int16_t error_code, const char *first, const char *second)
{
    kf_string names[2] = {{first, first ? strlen(first) : 0},
                          {second, second ? strlen(second) : 0}};
    struct kf_sasl_handshake_response response;
    kf_reset(&kf_schema_of_sasl_handshake_response, &response);
    response.error_code = error_code;
    response.mechanisms.items = names;
    response.mechanisms.count = first ? second ? 2 : 1 : 0;
    cr_assert(eq(int, asked_key(), KF_API_SASL_HANDSHAKE));
    answer(&kf_schema_of_sasl_handshake_response, &response);
}

static void answer_authenticate(int16_t error_code, const char *words, int64_t life_ms)
{
    struct kf_sasl_authenticate_response response;
    kf_reset(&kf_schema_of_sasl_authenticate_response, &response);
    response.error_code = error_code;
    response.error_message = (kf_string){words, words ? strlen(words) : 0};
    response.auth_bytes = (kf_bytes){(const uint8_t *)"", 0};
    response.session_lifetime_ms = life_ms;
    cr_assert(eq(int, asked_key(), KF_API_SASL_AUTHENTICATE));
    answer(&kf_schema_of_sasl_authenticate_response, &response);
}

/* ---- calls ---- */

struct test_call {
    struct kf__call call;
    int ends;
    kf_err err;
};

static struct kf_heartbeat_request heartbeat;

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)call;
    (void)version;
    (void)arena;
    kf_reset(&kf_schema_of_heartbeat_request, &heartbeat);
    *message = &heartbeat;
    return KF_OK;
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *reply)
{
    (void)reply;
    struct test_call *it = call->owner;
    it->ends++;
    it->err = err;
}

static void send_call(struct test_call *it)
{
    *it = (struct test_call){.call = {.api_key = KF_API_HEARTBEAT,
                                      .deadline = now + 60 * KF_SECOND,
                                      .build = build,
                                      .done = done}};
    it->call.owner = it;
    kf__conn_send(&conn, &it->call);
    kf__conn_pump(&conn, now);
}

static void answer_heartbeat(void)
{
    struct kf_heartbeat_response response;
    kf_reset(&kf_schema_of_heartbeat_response, &response);
    answer(&kf_schema_of_heartbeat_response, &response);
}

/* Up to SaslHandshake, which stands on the wire. */
static void come_to_handshake(struct test_call *call)
{
    send_call(call);
    kf__conn_resolved(&conn, now, KF_OK, 1);
    kf__conn_connected(&conn, now);
    take_output();
    answer_versions();
    cr_assert(eq(int, conn.state, KF__CONN_SASL));
    take_output();
}

static void become_ready(struct test_call *call, int64_t life_ms)
{
    come_to_handshake(call);
    answer_handshake(0, "SCRAM-SHA-256", "PLAIN");
    take_output();
    answer_authenticate(0, NULL, life_ms);
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    take_output();
}

/* ---- PLAIN ---- */

Test(conn_sasl, authenticates_before_the_first_call)
{
    static struct test_call call;
    make_plain();
    come_to_handshake(&call);
    cr_assert(eq(int, asked_version(), 1));
    cr_assert(sent("PLAIN"));
    answer_handshake(0, "PLAIN", NULL);
    take_output();
    cr_assert(eq(int, asked_key(), KF_API_SASL_AUTHENTICATE));
    cr_assert(eq(int, asked_version(), 2));
    cr_assert(ne(ptr, memmem(wire, wire_size, "\0alice\0hunter2", 14), NULL));
    cr_assert(eq(int, opened, 0));
    answer_authenticate(0, NULL, 0);
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    cr_assert(eq(int, opened, 1));
    take_output();
    cr_assert(eq(int, asked_key(), KF_API_HEARTBEAT));
    answer_heartbeat();
    cr_assert(eq(int, call.ends, 1));
    cr_assert(eq(int, call.err, KF_OK));
}

Test(conn_sasl, leaves_no_password_in_the_output)
{
    static struct test_call call;
    make_plain();
    become_ready(&call, 0);
    cr_assert(eq(ptr, memmem(conn.output.bytes, conn.output.capacity, "hunter2", 7), NULL));
}

Test(conn_sasl, leaves_no_password_in_the_output_of_a_connection_that_failed)
{
    static struct test_call call;
    make_plain();
    come_to_handshake(&call);
    answer_handshake(0, "PLAIN", NULL);
    kf__conn_lost(&conn, now, NULL);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(ptr, memmem(conn.output.bytes, conn.output.capacity, "hunter2", 7), NULL));
}

static void failed_with(kf_err err, const char *text)
{
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, conn.err, err));
    cr_assert(eq(str, conn.text, (char *)text));
    cr_assert(eq(int, failed, 1));
}

Test(conn_sasl, says_which_mechanisms_the_broker_offers_instead)
{
    static struct test_call call;
    make_plain();
    come_to_handshake(&call);
    answer_handshake(33, "SCRAM-SHA-256", "OAUTH\nBEARER");
    failed_with(KF_ERR_UNSUPPORTED_SASL_MECHANISM,
                "broker:9092 does not offer PLAIN; it offers SCRAM-SHA-256, OAUTH BEARER: compare "
                "sasl.mechanism with the listener's sasl.enabled.mechanisms");
}

Test(conn_sasl, refuses_a_broker_that_agrees_and_does_not_list_the_mechanism)
{
    static struct test_call call;
    make_plain();
    come_to_handshake(&call);
    answer_handshake(0, NULL, NULL);
    failed_with(KF_ERR_UNSUPPORTED_SASL_MECHANISM,
                "broker:9092 does not offer PLAIN; it offers none: compare sasl.mechanism with the "
                "listener's sasl.enabled.mechanisms");
}

/* SaslHandshake v1 with a null array: other clients crashed on it, before any authentication. */
Test(conn_sasl, refuses_a_null_array_of_mechanisms)
{
    static struct test_call call;
    make_plain();
    come_to_handshake(&call);
    uint8_t frame[] = {0, 0, 0, 10, 0, 0, 0, (uint8_t)asked_id(), 0, 0, 0xff, 0xff, 0xff, 0xff};
    feed(frame, sizeof frame);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(strstr(conn.text, "SaslHandshakeRequest is malformed") != NULL, "%s", conn.text);
}

Test(conn_sasl, tells_a_plaintext_listener)
{
    static struct test_call call;
    make_plain();
    come_to_handshake(&call);
    answer_handshake(34, NULL, NULL);
    failed_with(
        KF_ERR_ILLEGAL_SASL_STATE,
        "broker:9092 refuses SaslHandshake (ILLEGAL_SASL_STATE): is this a PLAINTEXT or SSL "
        "listener? Check security.protocol and the port");
}

Test(conn_sasl, tells_a_wrong_password_without_it)
{
    static struct test_call call;
    make_plain();
    come_to_handshake(&call);
    answer_handshake(0, "PLAIN", NULL);
    take_output();
    answer_authenticate(58, "Authentication failed\nreally", 0);
    failed_with(
        KF_ERR_SASL_AUTHENTICATION_FAILED,
        "broker:9092 does not accept the credentials, saying: Authentication failed really: "
        "compare user, password and mechanism (PLAIN)");
}

/* ---- old brokers: bare tokens ---- */

Test(conn_sasl, speaks_bare_tokens_with_a_broker_of_handshake_version_0)
{
    static struct test_call call;
    handshake_max = 0;
    make_plain();
    come_to_handshake(&call);
    cr_assert(eq(int, asked_version(), 0));
    answer_handshake(0, "PLAIN", NULL);
    take_output();
    cr_assert(eq(sz, wire_size, 4 + 14));
    cr_assert(eq(int, memcmp(wire, "\0\0\0\16\0alice\0hunter2", 18), 0));
    feed("\0\0\0\0", 4);
    cr_assert(eq(int, conn.state, KF__CONN_READY));
}

Test(conn_sasl, takes_a_closed_connection_after_a_bare_token_for_a_refusal)
{
    static struct test_call call;
    handshake_max = 0;
    make_plain();
    come_to_handshake(&call);
    answer_handshake(0, "PLAIN", NULL);
    take_output();
    kf__conn_lost(&conn, now, NULL);
    cr_assert(eq(int, conn.err, KF_ERR_SASL_AUTHENTICATION_FAILED));
}

/* ---- re-authentication ---- */

Test(conn_sasl, stops_writing_at_85_percent_of_the_life_drains_and_authenticates_again)
{
    static struct test_call first, second, third;
    make_plain();
    become_ready(&first, 10000);
    now += 8499 * KF_MILLISECOND;
    send_call(&second); /* still goes out */
    answer_heartbeat();
    take_output();
    cr_assert(eq(int, asked_key(), KF_API_HEARTBEAT));
    now += KF_MILLISECOND;
    send_call(&third);
    cr_assert(not(kf__conn_has_output(&conn)));
    cr_assert(eq(int, conn.state, KF__CONN_READY));

    answer_heartbeat(); /* the second's: nothing is in flight any more */
    cr_assert(eq(int, second.ends, 1));
    cr_assert(eq(int, conn.state, KF__CONN_SASL));
    take_output();
    answer_handshake(0, "PLAIN", NULL);
    take_output();
    answer_authenticate(0, NULL, 10000);
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    cr_assert(eq(int, opened, 1)); /* nobody is told: it was open all the time */
    take_output();
    answer_heartbeat();
    cr_assert(eq(int, third.ends, 1));
    cr_assert(eq(int, third.err, KF_OK));
}

Test(conn_sasl, lets_an_unused_session_end_and_renews_it_with_the_next_call)
{
    static struct test_call first, second;
    make_plain();
    become_ready(&first, 10000);
    answer_heartbeat();
    now += 60 * KF_SECOND;
    kf__conn_tick(&conn, now);
    kf__conn_pump(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    send_call(&second);
    cr_assert(eq(int, conn.state, KF__CONN_SASL));
}

/* A broker ignores a re-authentication within 1 s of the last. */
Test(conn_sasl, waits_a_second_even_where_the_life_is_shorter)
{
    static struct test_call first, second;
    make_plain();
    become_ready(&first, 1000);
    answer_heartbeat();
    now += 900 * KF_MILLISECOND;
    send_call(&second);
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    cr_assert(eq(i64, kf__conn_deadline(&conn) - now, 200 * KF_MILLISECOND));
    now += 200 * KF_MILLISECOND;
    kf__conn_tick(&conn, now);
    kf__conn_pump(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_SASL));
}

Test(conn_sasl, closes_the_connection_whose_re_authentication_fails_and_keeps_the_waiting_call)
{
    static struct test_call first, second;
    make_plain();
    become_ready(&first, 10000);
    answer_heartbeat();
    now += 9 * KF_SECOND;
    send_call(&second);
    take_output();
    answer_handshake(0, "PLAIN", NULL);
    take_output();
    answer_authenticate(58, NULL, 0);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, second.ends, 0));
}

Test(conn_sasl, gives_up_a_re_authentication_that_is_not_answered)
{
    static struct test_call first, second;
    make_plain();
    become_ready(&first, 10000);
    answer_heartbeat();
    now += 9 * KF_SECOND;
    send_call(&second);
    take_output();
    now += 10 * KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, conn.err, KF_ERR_TIMED_OUT));
}

/* ---- what blocks ---- */

struct blocking {
    int starts, steps, ends;
};

static kf_err start_blocking(void *context, const kf_sasl_peer *peer, void **exchange,
                             kf_error *error)
{
    (void)error;
    cr_assert(eq(str, (char *)peer->host, "broker"));
    cr_assert(eq(int, peer->port, 9092));
    cr_assert(not(peer->encrypted));
    ((struct blocking *)context)->starts++;
    *exchange = context;
    return KF_OK;
}

static kf_err step_blocking(void *exchange, kf_bytes in, kf_sasl_step *step, kf_error *error)
{
    struct blocking *it = exchange;
    (void)in;
    (void)error;
    if (it->steps++ == 0)
        step->out = (kf_bytes){(const uint8_t *)"token", 5};
    else
        step->done = true;
    return KF_OK;
}

static void end_blocking(void *exchange) { ((struct blocking *)exchange)->ends++; }

static struct blocking counts;
static const kf_sasl_mechanism blocking = {.size = sizeof blocking,
                                           .name = "OWN",
                                           .context = &counts,
                                           .blocks = true,
                                           .start = start_blocking,
                                           .step = step_blocking,
                                           .end = end_blocking};

static void run_work(void)
{
    struct kf__work *work = conn.work;
    cr_assert(ne(ptr, work, NULL));
    work->out = true;
    work->run(work);
    work->out = false;
    kf__conn_worked(&conn, now);
}

Test(conn_sasl, hands_a_mechanism_that_blocks_to_a_helper)
{
    static struct test_call call;
    struct kf__sasl_settings own = {.own = &blocking, .world = &world};
    make_with(&own);
    come_to_handshake(&call);
    cr_assert(sent("OWN"));
    answer_handshake(0, "OWN", NULL);
    cr_assert(eq(int, counts.starts, 0)); /* not here */
    run_work();
    take_output();
    cr_assert(sent("token"));
    answer_authenticate(0, NULL, 0);
    run_work();
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    cr_assert(eq(int, counts.starts, 1));
    cr_assert(eq(int, counts.ends, 1));
}

Test(conn_sasl, leaves_an_exchange_to_the_helper_when_the_connection_goes)
{
    static struct test_call call;
    struct kf__sasl_settings own = {.own = &blocking, .world = &world};
    make_with(&own);
    come_to_handshake(&call);
    answer_handshake(0, "OWN", NULL);
    struct kf__work *work = conn.work;
    work->out = true;
    kf__conn_lost(&conn, now, "reset");
    cr_assert(eq(ptr, work->owner, NULL));
    work->run(work);
    work->out = false;
    cr_assert(eq(int, counts.ends, 0));
    work->gone(work);
    cr_assert(eq(int, counts.ends, 1));
}

Test(conn_sasl, refuses_an_answer_while_a_step_is_out)
{
    static struct test_call call;
    struct kf__sasl_settings own = {.own = &blocking, .world = &world};
    make_with(&own);
    come_to_handshake(&call);
    answer_handshake(0, "OWN", NULL);
    uint8_t frame[] = {0, 0, 0, 4, 0, 0, 0, 9};
    feed(frame, sizeof frame);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
}

/* ---- OAUTHBEARER ---- */

static kf_err give_token(void *context, kf_sasl_token *token, kf_error *error)
{
    (void)error;
    snprintf(token->text, sizeof token->text, "%s", (const char *)context);
    token->expires_at_ms = 1700000600000;
    snprintf(token->extensions, sizeof token->extensions, "pool=p1,cluster=c");
    return KF_OK;
}

Test(conn_sasl, presents_a_token_and_its_extensions)
{
    static struct test_call call;
    struct kf__sasl_settings bearer = {
        .mechanism = "OAUTHBEARER",
        .world = &world,
        .tokens = {.provider = KF__TOKEN_CALLBACK, .get = give_token, .context = "abc.def"}};
    make_with(&bearer);
    come_to_handshake(&call);
    answer_handshake(0, "OAUTHBEARER", NULL);
    run_work();
    take_output();
    cr_assert(sent("n,,\1auth=Bearer abc.def\1pool=p1\1cluster=c\1\1"));
    answer_authenticate(0, NULL, 0);
    run_work();
    cr_assert(eq(int, conn.state, KF__CONN_READY));
}

Test(conn_sasl, refuses_to_send_a_token_that_would_break_out_of_its_message)
{
    static struct test_call call;
    struct kf__sasl_settings bearer = {
        .mechanism = "OAUTHBEARER",
        .world = &world,
        .tokens = {.provider = KF__TOKEN_CALLBACK, .get = give_token, .context = "a\1auth=x"}};
    make_with(&bearer);
    come_to_handshake(&call);
    answer_handshake(0, "OAUTHBEARER", NULL);
    run_work();
    cr_assert(eq(int, conn.err, KF_ERR_TOKEN_UNAVAILABLE));
}

static const char refusal[] = "{\"status\":\"insufficient_scope\"}";

static void present_an_opaque_token(struct test_call *call)
{
    struct kf__sasl_settings bearer = {
        .mechanism = "OAUTHBEARER",
        .world = &world,
        .tokens = {.provider = KF__TOKEN_CALLBACK, .get = give_token, .context = "opaque"}};
    make_with(&bearer);
    come_to_handshake(call);
    answer_handshake(0, "OAUTHBEARER", NULL);
    run_work();
    take_output();
}

/* RFC 7628: the refusal is answered by one byte. */
static void refuse_the_token(void)
{
    struct kf_sasl_authenticate_response response;
    kf_reset(&kf_schema_of_sasl_authenticate_response, &response);
    response.auth_bytes = (kf_bytes){(const uint8_t *)refusal, sizeof refusal - 1};
    answer(&kf_schema_of_sasl_authenticate_response, &response);
    run_work();
    take_output();
    cr_assert(eq(int, wire[wire_size - 2], 1)); /* before the empty tags */
}

/* Then the broker says no. */
Test(conn_sasl, answers_a_refused_token_with_the_dummy_and_tells_why)
{
    static struct test_call call;
    present_an_opaque_token(&call);
    refuse_the_token();
    answer_authenticate(58, "no", 0);
    failed_with(KF_ERR_SASL_AUTHENTICATION_FAILED,
                "broker:9092: OAUTHBEARER: the broker refuses the token (insufficient_scope): "
                "compare its issuer, audience, scope and signature with what the broker expects");
}

Test(conn_sasl, is_not_admitted_by_a_broker_that_has_refused_its_token)
{
    static struct test_call call;
    present_an_opaque_token(&call);
    refuse_the_token();
    answer_authenticate(0, NULL, 0);
    run_work();
    failed_with(KF_ERR_SASL_MALFORMED, "broker:9092: OAUTHBEARER: the broker goes on after it has "
                                       "refused the token");
}

Test(conn_sasl, tells_why_a_bare_token_was_refused_where_the_broker_only_closes)
{
    static struct test_call call;
    handshake_max = 0;
    authenticate_max = -1;
    present_an_opaque_token(&call);
    uint8_t frame[4 + sizeof refusal - 1] = {0, 0, 0, sizeof refusal - 1};
    memcpy(frame + 4, refusal, sizeof refusal - 1);
    feed(frame, sizeof frame);
    run_work();
    take_output();
    cr_assert(eq(int, wire[wire_size - 1], 1));
    kf__conn_lost(&conn, now, NULL);
    cr_assert(eq(int, conn.err, KF_ERR_SASL_AUTHENTICATION_FAILED));
    cr_assert(strstr(conn.text, "refuses the token (insufficient_scope)") != NULL, "%s", conn.text);
}

/* Before the token has left nobody can know what it says. */
Test(conn_sasl, refuses_an_answer_to_what_was_not_sent_yet)
{
    static struct test_call call;
    make_plain();
    come_to_handshake(&call);
    answer_handshake(0, "PLAIN", NULL);
    uint8_t frame[4 + 18] = {[3] = 18, [12] = 1}; /* version 2: no error, no words, no bytes */
    frame[7] = (uint8_t)(asked_id() + 1);
    feed(frame, sizeof frame);
    failed_with(KF_ERR_SASL_MALFORMED, "broker:9092: PLAIN: the broker speaks out of turn");
}
