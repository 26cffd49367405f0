/* A connection's states with TLS: the test is the network, the clock, and OpenSSL's server. */
#ifdef KAFIBER_WITH_OPENSSL

#include "net/conn/conn.h"
#include "tests/net/help_tls.h"

#include "proto/codec/frame.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

static struct kf__conn conn;
static struct kf__conn_settings settings;
static struct kf__world world;
static struct made_cert authority, leaf;
static struct tls_server server;
static char *trust;
static kf_time now;
static int opened, failed, ended;
static kf_err end;

static uint64_t no_random(void *context)
{
    (void)context;
    return 0;
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

static void open_all(void)
{
    struct kf__security_settings security = {.protocol = KF__SSL};
    struct kf__conn_events events = {.opened = on_opened, .failed = on_failed};
    authority = make_cert("Test CA", NULL, NULL, -DAY, 10 * DAY);
    leaf = make_cert("broker", "DNS:broker.example", &authority, -DAY, 10 * DAY);
    trust = pem_of_cert(&authority);
    security.tls.truststore_certificates = trust;
    world.random = no_random;
    settings =
        (struct kf__conn_settings){.alloc = &kf_default_allocator,
                                   .world = &world,
                                   .slabs = kf__slab_pool_new(&kf_default_allocator, 1 << 20),
                                   .client_id = "me",
                                   .request_timeout = 30 * KF_SECOND,
                                   .setup_timeout = 10 * KF_SECOND,
                                   .setup_timeout_max = 30 * KF_SECOND,
                                   .reconnect_backoff = 50 * KF_MILLISECOND,
                                   .reconnect_backoff_max = KF_SECOND,
                                   .max_idle = 540 * KF_SECOND,
                                   .receive_max = 8 << 20};
    cr_assert(eq(int, kf__security_open(&kf_default_allocator, &security, &settings.security, NULL),
                 KF_OK));
    now = 1000 * KF_SECOND;
    kf__conn_init(&conn, &settings, &events, "broker.example:9093", "broker.example", 7);
    tls_server_open(&server, &leaf);
    tls_server_begin(&server);
}

static void close_all(void)
{
    kf__conn_free(&conn, KF_ERR_CLOSED);
    kf__security_release(settings.security);
    kf__slab_pool_drop(settings.slabs);
    tls_server_close(&server);
    free_cert(&leaf);
    free_cert(&authority);
    free(trust);
}

TestSuite(conn_tls, .init = open_all, .fini = close_all, .timeout = 60);

/* ---- a call, and the wire ---- */

static struct kf_heartbeat_request heartbeat;

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)call, (void)version, (void)arena;
    kf_reset(&kf_schema_of_heartbeat_request, &heartbeat);
    *message = &heartbeat;
    return KF_OK;
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    (void)call, (void)answer;
    ended++;
    end = err;
}

static struct kf__call call = {.api_key = KF_API_HEARTBEAT, .build = build, .done = done};

static void begin(void)
{
    call.deadline = now + 60 * KF_SECOND;
    kf__conn_send(&conn, &call);
    kf__conn_pump(&conn, now);
    kf__conn_resolved(&conn, now, KF_OK, 1);
    kf__conn_connected(&conn, now);
    cr_assert(eq(int, (int)conn.state, (int)KF__CONN_TLS));
    cr_assert(ne(ptr, conn.work, NULL));
}

static void do_work(void)
{
    struct kf__work *work = conn.work;
    if (!work)
        return;
    work->run(work);
    kf__conn_worked(&conn, now);
}

static void to_server(void)
{
    struct iovec parts[4];
    kf__conn_pump(&conn, now);
    while (kf__conn_has_output(&conn)) {
        cr_assert(eq(sz, kf__conn_output(&conn, parts, 4), 1));
        BIO_write(server.in, parts[0].iov_base, (int)parts[0].iov_len);
        kf__conn_sent(&conn, now, parts[0].iov_len);
        kf__conn_pump(&conn, now);
    }
}

/* At most `most` bytes of what the server has to say. */
static size_t to_client(size_t most)
{
    uint8_t *bytes;
    size_t size = 0;
    if (!BIO_pending(server.out) || kf__conn_space(&conn, &bytes, &size))
        return 0;
    int got = BIO_read(server.out, bytes, (int)(size < most ? size : most));
    if (got > 0)
        kf__conn_received(&conn, now, (size_t)got);
    return got > 0 ? (size_t)got : 0;
}

static void shake_hands(void)
{
    begin();
    for (int i = 0; i < 20 && conn.state == KF__CONN_TLS; i++) {
        do_work();
        to_server();
        tls_server_step(&server);
        while (conn.state == KF__CONN_TLS && !conn.work && to_client(65536))
            ;
    }
    to_server();
    tls_server_step(&server);
    cr_assert(eq(int, (int)conn.state, (int)KF__CONN_VERSIONS), "%s", conn.text);
}

/* The server's answer to ApiVersions: Heartbeat 0 to 4. */
static void answer_versions(void)
{
    struct kf_api_versions_response response;
    struct kf_api_versions_response_api_version range = {.api_key = KF_API_HEARTBEAT,
                                                         .max_version = 4};
    kf_writer writer;
    uint8_t request[1024];
    cr_assert(lt(int, 0, SSL_read(server.ssl, request, sizeof request)));
    kf_reset(&kf_schema_of_api_versions_response, &response);
    response.api_keys.items = &range;
    response.api_keys.count = 1;
    kf_writer_init(&writer, &kf_default_allocator);
    int16_t version = kf_schema_max_version(&kf_schema_of_api_versions_request);
    kf_err err =
        kf__encode_response(&writer, &kf_schema_of_api_versions_response, version, 0, &response);
    cr_assert(eq(int, err, KF_OK));
    cr_assert(eq(int, kf_writer_flatten(&writer), KF_OK));
    struct iovec part;
    kf__writer_iovec_from(&writer, 0, &part, 1);
    SSL_write(server.ssl, part.iov_base, (int)part.iov_len);
    kf_writer_free(&writer);
}

static void become_ready(void)
{
    shake_hands();
    answer_versions();
    while (to_client(65536))
        ;
    to_server();
    cr_assert(eq(int, (int)conn.state, (int)KF__CONN_READY), "%s", conn.text);
}

/* ---- */

Test(conn_tls, handshake_then_versions_then_ready)
{
    uint8_t request[256];
    become_ready();
    cr_expect(eq(int, opened, 1));
    cr_expect(lt(int, 0, SSL_read(server.ssl, request, sizeof request))); /* the call */
}

Test(conn_tls, records_may_come_byte_by_byte)
{
    shake_hands();
    answer_versions();
    while (to_client(1))
        ;
    cr_expect(eq(int, (int)conn.state, (int)KF__CONN_READY));
}

Test(conn_tls, a_slow_handshake_ends_with_the_set_up_time)
{
    begin();
    do_work();
    to_server();
    tls_server_step(&server);
    for (int i = 0; i < 9; i++, now += KF_SECOND) {
        cr_assert(eq(sz, to_client(1), 1));
        do_work();
        kf__conn_tick(&conn, now);
        cr_assert(eq(int, (int)conn.state, (int)KF__CONN_TLS));
    }
    now += 2 * KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_expect(eq(int, (int)conn.state, (int)KF__CONN_BACKOFF));
    cr_expect(eq(int, conn.err, KF_ERR_TIMED_OUT));
    cr_expect(eq(int, ended, 0)); /* the call waits for the next attempt */
}

Test(conn_tls, a_refused_certificate_fails_the_attempt_with_its_sentence)
{
    conn.host = "other.example";
    begin();
    for (int i = 0; i < 5 && conn.state == KF__CONN_TLS; i++) {
        do_work();
        to_server();
        tls_server_step(&server);
        to_client(65536);
    }
    cr_expect(eq(int, conn.err, KF_ERR_TLS_WRONG_NAME));
    cr_expect(ne(ptr, strstr(conn.text, "does not name other.example"), NULL));
    cr_expect(eq(int, failed, 1));
}

/* The broker's own log says why, then: not just that somebody went away. */
Test(conn_tls, the_peer_is_told_by_an_alert_and_by_a_goodbye)
{
    conn.host = "other.example";
    begin();
    for (int i = 0; i < 5 && conn.state == KF__CONN_TLS; i++) {
        do_work();
        to_server();
        tls_server_step(&server);
        to_client(65536);
    }
    cr_assert(lt(sz, 0, conn.farewell_size));
    BIO_write(server.in, conn.farewell, (int)conn.farewell_size);
    tls_server_step(&server);
    cr_expect(server.failed); /* bad certificate */
}

Test(conn_tls, a_quiet_connection_says_goodbye)
{
    uint8_t bytes[256];
    become_ready();
    while (SSL_read(server.ssl, bytes, sizeof bytes) > 0)
        ;
    kf__call_cancel(&call);
    kf__conn_part(&conn);
    cr_assert(lt(sz, 0, conn.farewell_size));
    BIO_write(server.in, conn.farewell, (int)conn.farewell_size);
    cr_expect(le(int, SSL_read(server.ssl, bytes, sizeof bytes), 0));
    cr_expect(eq(int, SSL_get_shutdown(server.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN));
}

/* A connection that fails while a helper has its handshake lets go of it. */
Test(conn_tls, work_that_is_out_outlives_its_connection)
{
    begin();
    struct kf__work *work = conn.work;
    work->out = true;
    kf__conn_break(&conn, now, KF_ERR_DISCONNECTED, "the broker has another address now");
    cr_expect(eq(ptr, conn.work, NULL));
    cr_expect(eq(ptr, conn.tls, NULL));
    work->run(work);
    work->out = false;
    cr_expect(eq(ptr, work->owner, NULL));
    work->gone(work);
}

/* librdkafka 2.2.0, #4294: such an end was taken for an answer, and offsets were reset. */
Test(conn_tls, an_end_in_the_middle_of_a_record_is_a_lost_connection)
{
    become_ready();
    cr_expect(eq(int, (int)call.state, 2)); /* in flight */
    SSL_write(server.ssl, "\0\0\1\0", 4);
    cr_assert(eq(sz, to_client(9), 9));
    kf__conn_lost(&conn, now, NULL);
    cr_expect(eq(int, conn.err, KF_ERR_DISCONNECTED));
    cr_expect(eq(int, ended, 1));
    cr_expect(eq(int, end, KF_ERR_DISCONNECTED));
}

/* A SASL_SSL listener that is taken for an SSL one. */
Test(conn_tls, a_goodbye_to_the_first_request_may_mean_that_sasl_is_expected)
{
    become_ready();
    SSL_shutdown(server.ssl);
    to_client(65536);
    cr_expect(eq(int, conn.err, KF_ERR_DISCONNECTED));
    cr_expect(eq(str, conn.text + strlen(conn.peer),
                 " closed the connection on its first request (close_notify): a listener that "
                 "expects SASL does that; check security.protocol"));
    cr_expect(eq(int, end, KF_ERR_DISCONNECTED));
}

Test(conn_tls, a_plaintext_listener_closes_and_that_is_guessed)
{
    begin();
    do_work();
    to_server();
    kf__conn_lost(&conn, now, NULL);
    cr_expect(eq(int, conn.err, KF_ERR_TLS_NOT_SPOKEN));
}

Test(conn_tls, a_broker_that_closes_after_the_handshake_may_want_sasl)
{
    shake_hands();
    kf__conn_lost(&conn, now, NULL);
    cr_expect(eq(int, conn.err, KF_ERR_DISCONNECTED));
    cr_expect(ne(ptr, strstr(conn.text, "security.protocol=SASL_SSL"), NULL));
}

#endif
