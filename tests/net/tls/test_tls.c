/* One connection's TLS against OpenSSL's own server, in memory. */
#ifdef KAFIBER_WITH_OPENSSL

#include "net/tls/tls_inner.h"
#include "tests/net/help_tls.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <openssl/pkcs12.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct made_cert authority, leaf;
static struct kf__slab_pool *slabs;
static struct kf__tls_settings settings;
static struct kf__tls_context *context;
static struct kf__tls *tls;
static struct tls_server server;
static char folder[64], trust_path[96], key_path[96];
static char *authority_pem;

static void open_all(void)
{
    authority = make_cert("Test CA", NULL, NULL, -DAY, 10 * DAY);
    leaf = make_cert("broker", "DNS:broker.example,DNS:*.wild.example,IP:127.0.0.1", &authority,
                     -DAY, 10 * DAY);
    slabs = kf__slab_pool_new(&kf_default_allocator, 1 << 20);
    snprintf(folder, sizeof folder, "/tmp/kafiber-tls-%d", (int)getpid());
    mkdir(folder, 0700);
    snprintf(trust_path, sizeof trust_path, "%s/trust.pem", folder);
    snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    authority_pem = pem_of_cert(&authority);
    settings = (struct kf__tls_settings){.truststore_certificates = authority_pem};
}

static void close_all(void)
{
    char line[128];
    kf__tls_free(tls);
    kf__tls_context_close(context);
    tls_server_close(&server);
    free_cert(&leaf);
    free_cert(&authority);
    free(authority_pem);
    kf__slab_pool_drop(slabs);
    snprintf(line, sizeof line, "rm -rf %s", folder);
    cr_expect(eq(int, system(line), 0));
}

TestSuite(tls, .init = open_all, .fini = close_all, .timeout = 60);

/* ---- the wire between the two ends ---- */

static void give(const uint8_t *bytes, size_t size)
{
    while (size) {
        uint8_t *room;
        size_t space;
        cr_assert(eq(int, kf__tls_space(tls, &room, &space), KF_OK));
        size_t part = size < space ? size : space;
        memcpy(room, bytes, part);
        kf__tls_received(tls, part);
        bytes += part;
        size -= part;
    }
}

static bool to_server(void)
{
    struct iovec out = kf__tls_output(tls);
    if (!out.iov_len)
        return false;
    BIO_write(server.in, out.iov_base, (int)out.iov_len);
    kf__tls_sent(tls, out.iov_len);
    return true;
}

static bool to_client(void)
{
    uint8_t bytes[65536];
    int size = BIO_read(server.out, bytes, sizeof bytes);
    if (size <= 0)
        return false;
    give(bytes, (size_t)size);
    return true;
}

static void step(void)
{
    struct kf__work *work = kf__tls_work(tls);
    work->run(work);
    kf__tls_stepped(tls);
}

static void connect_to(const char *host)
{
    kf_error error = KF_ERROR_INIT;
    if (!context)
        cr_assert(eq(int, kf__tls_context_open(&kf_default_allocator, &settings, &context, &error),
                     KF_OK),
                  "%s", error.text);
    kf__tls_free(tls);
    tls = kf__tls_new(context, slabs, "broker:9093", host);
    tls_server_begin(&server);
    bool moved = true;
    for (int i = 0; i < 20 && moved && kf__tls_state(tls) == KF__TLS_HANDSHAKE; i++) {
        step();
        moved = to_server();
        tls_server_step(&server);
        moved |= to_client();
    }
    if (kf__tls_state(tls) == KF__TLS_HANDSHAKE)
        step();
    to_server();
    tls_server_step(&server);
    to_client();
}

static void serve_and_connect(const struct made_cert *cert, const char *host)
{
    tls_server_open(&server, cert);
    connect_to(host);
}

static void says(kf_err err, const char *part)
{
    const char *text;
    cr_expect(eq(int, kf__tls_error(tls, &text), err), "%s", text);
    cr_expect(ne(ptr, (void *)strstr(text, part), NULL), "\"%s\" is not in \"%s\"", part, text);
}

static void is_refused(kf_err err, const char *part)
{
    cr_expect(eq(int, (int)kf__tls_state(tls), KF__TLS_FAILED));
    says(err, part);
}

/* Plaintext both ways. */
static void talks(void)
{
    uint8_t got[64];
    size_t taken = 0, size = 0;
    struct iovec parts[] = {{(void *)"he", 2}, {(void *)"llo", 3}};
    cr_assert(eq(int, (int)kf__tls_state(tls), KF__TLS_OPEN));
    cr_expect(eq(int, kf__tls_write(tls, parts, 2, &taken), KF_OK));
    cr_expect(eq(sz, taken, 5));
    to_server();
    cr_expect(eq(int, SSL_read(server.ssl, got, sizeof got), 5));
    SSL_write(server.ssl, "world", 5);
    to_client();
    cr_expect(eq(int, kf__tls_read(tls, got, sizeof got, &size), KF_OK));
    cr_expect(eq(sz, size, 5));
    cr_expect(eq(int, memcmp(got, "world", 5), 0));
}

/* ---- names ---- */

Test(tls, talks_to_a_broker_whose_certificate_names_it)
{
    serve_and_connect(&leaf, "broker.example");
    talks();
    struct kf__tls_seen seen;
    kf__tls_look(tls, &seen);
    cr_expect(eq(str, seen.protocol, "TLSv1.3"));
    cr_expect(eq(str, seen.names, "DNS:broker.example, DNS:*.wild.example, IP:127.0.0.1"));
    cr_expect(ge(i64, seen.days_left, 9));
    cr_expect(le(i64, seen.days_left, 10));
    cr_expect(eq(str, (char *)SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name),
                 "broker.example"));
}

Test(tls, a_trailing_dot_belongs_to_no_certificate)
{
    serve_and_connect(&leaf, "broker.example.");
    talks();
    cr_expect(eq(str, (char *)SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name),
                 "broker.example"));
}

Test(tls, an_address_is_looked_for_among_addresses_and_not_sent_as_a_name)
{
    serve_and_connect(&leaf, "127.0.0.1");
    talks();
    cr_expect(eq(ptr, (void *)SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), NULL));
}

Test(tls, a_wildcard_stands_for_one_label)
{
    serve_and_connect(&leaf, "b1.wild.example");
    talks();
    connect_to("a.b1.wild.example");
    is_refused(KF_ERR_TLS_WRONG_NAME, "does not name a.b1.wild.example");
}

/* To OpenSSL a dot in front stands for every name below it. */
Test(tls, a_host_that_begins_with_a_dot_is_no_name)
{
    serve_and_connect(&leaf, ".example");
    is_refused(KF_ERR_TLS_WRONG_NAME, "does not name .example");
}

/* Whoever sits on the wire writes them: they must not act on a terminal or forge a log's line. */
Test(tls, a_certificates_names_are_shown_without_control_characters)
{
    struct made_cert other =
        make_cert("broker", "DNS:up\033[2Jto\rno\177good", &authority, -DAY, 10 * DAY);
    serve_and_connect(&other, "broker.example");
    is_refused(KF_ERR_TLS_WRONG_NAME, "but DNS:up?[2Jto?no?good; use such a name");
    free_cert(&other);
}

Test(tls, a_wrong_name_is_refused_with_the_names_that_would_do)
{
    serve_and_connect(&leaf, "other.example");
    is_refused(KF_ERR_TLS_WRONG_NAME,
               "broker:9093: the certificate does not name other.example, but DNS:broker.example, "
               "DNS:*.wild.example, IP:127.0.0.1");
    connect_to("127.0.0.2");
    is_refused(KF_ERR_TLS_WRONG_NAME, "does not name 127.0.0.2");
}

Test(tls, any_name_will_do_where_that_was_written_out)
{
    settings.any_name = true;
    serve_and_connect(&leaf, "other.example");
    talks();
}

/* ---- chains ---- */

Test(tls, an_unknown_authority_is_refused)
{
    struct made_cert stranger = make_cert("Strange CA", NULL, NULL, -DAY, DAY);
    struct made_cert other = make_cert("x", "DNS:broker.example", &stranger, -DAY, DAY);
    serve_and_connect(&other, "broker.example");
    is_refused(KF_ERR_TLS_UNTRUSTED, "issued by /CN=Strange CA");
    free_cert(&other);
    free_cert(&stranger);
}

Test(tls, a_self_signed_certificate_is_refused_unless_it_is_trusted_itself)
{
    struct made_cert own = make_cert("self", "DNS:broker.example", NULL, -DAY, DAY);
    serve_and_connect(&own, "broker.example");
    is_refused(KF_ERR_TLS_UNTRUSTED, "does not lead to an authority");
    tls_server_close(&server);
    kf__tls_context_close(context);
    context = NULL;
    char *pem = pem_of_cert(&own);
    settings.truststore_certificates = pem;
    serve_and_connect(&own, "broker.example");
    talks();
    free(pem);
    free_cert(&own);
}

Test(tls, a_leaf_in_the_trust_store_is_trusted_as_in_java)
{
    char *pem = pem_of_cert(&leaf);
    settings.truststore_certificates = pem;
    serve_and_connect(&leaf, "broker.example");
    talks();
    free(pem);
}

Test(tls, expired_and_not_yet_valid_are_told_with_their_dates)
{
    struct made_cert old = make_cert("old", "DNS:broker.example", &authority, -9 * DAY, -DAY);
    serve_and_connect(&old, "broker.example");
    is_refused(KF_ERR_TLS_EXPIRED, "/CN=old ended on 20");
    tls_server_close(&server);
    struct made_cert early = make_cert("early", "DNS:broker.example", &authority, DAY, 9 * DAY);
    serve_and_connect(&early, "broker.example");
    is_refused(KF_ERR_TLS_NOT_YET_VALID, "/CN=early begins on 20");
    free_cert(&old);
    free_cert(&early);
}

/* ---- versions and ciphers ---- */

Test(tls, older_than_1_2_is_not_spoken)
{
    tls_server_open(&server, &leaf);
    SSL_CTX_set_min_proto_version(server.ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(server.ctx, TLS1_1_VERSION);
    SSL_CTX_set_security_level(server.ctx, 0);
    connect_to("broker.example");
    is_refused(KF_ERR_TLS_NOTHING_IN_COMMON, "share no version of TLS");
}

Test(tls, versions_and_suites_are_those_of_the_settings)
{
    settings.protocols = "TLSv1.2";
    settings.ciphers = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ECDHE-ECDSA-AES128-GCM-SHA256";
    serve_and_connect(&leaf, "broker.example");
    talks();
    struct kf__tls_seen seen;
    kf__tls_look(tls, &seen);
    cr_expect(eq(str, seen.protocol, "TLSv1.2"));
    cr_expect(eq(str, seen.cipher, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"));
}

Test(tls, suites_of_1_3_alone_leave_1_2_out)
{
    settings.ciphers = "TLS_AES_128_GCM_SHA256";
    serve_and_connect(&leaf, "broker.example");
    struct kf__tls_seen seen;
    kf__tls_look(tls, &seen);
    cr_expect(eq(str, seen.cipher, "TLS_AES_128_GCM_SHA256"));
    SSL_CTX_set_max_proto_version(server.ctx, TLS1_2_VERSION);
    connect_to("broker.example");
    is_refused(KF_ERR_TLS_NOTHING_IN_COMMON, "share no version of TLS");
}

Test(tls, no_common_suite_is_told_apart)
{
    tls_server_open(&server, &leaf);
    SSL_CTX_set_max_proto_version(server.ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(server.ctx, "ECDHE-ECDSA-AES256-GCM-SHA384");
    settings.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
    connect_to("broker.example");
    is_refused(KF_ERR_TLS_NOTHING_IN_COMMON, "ssl.cipher.suites");
}

/* ---- client certificates ---- */

static void ask_for_certificates(int version)
{
    tls_server_open(&server, &leaf);
    SSL_CTX_set_max_proto_version(server.ctx, version);
    SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ctx), authority.certificate);
}

/* In TLS 1.3 the client is done before the server looks: the refusal comes with the first read. */
static void read_refusal(void)
{
    uint8_t got[16];
    size_t size = 0;
    if (kf__tls_state(tls) == KF__TLS_OPEN)
        kf__tls_read(tls, got, sizeof got, &size);
}

Test(tls, a_broker_that_wants_a_certificate_is_told_apart)
{
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        ask_for_certificates(versions[i]);
        connect_to("broker.example");
        read_refusal();
        is_refused(KF_ERR_TLS_CERTIFICATE_REQUIRED, "set ssl.keystore.location");
        tls_server_close(&server);
    }
}

Test(tls, a_client_certificate_is_shown_from_each_form_of_key_store)
{
    struct made_cert client = make_cert("client", NULL, &authority, -DAY, DAY);
    char *key = pem_of_key(&client, "secret"), *chain = pem_of_cert(&client);
    char store[96];
    snprintf(store, sizeof store, "%s/store.p12", folder);
    write_pem(key_path, &client, "secret", true);
    write_pkcs12(store, &client, &authority, "store-secret");
    for (int form = 0; form < 3; form++) {
        settings.key_password = "secret";
        settings.keystore_password = form == 1 ? "store-secret" : NULL;
        settings.keystore_location = form == 0 ? key_path : form == 1 ? store : NULL;
        settings.keystore_key = form == 2 ? key : NULL;
        settings.keystore_chain = form == 2 ? chain : NULL;
        ask_for_certificates(TLS1_3_VERSION);
        connect_to("broker.example");
        talks();
        X509 *shown = SSL_get0_peer_certificate(server.ssl);
        cr_expect(eq(int, X509_cmp(shown, client.certificate), 0));
        tls_server_close(&server);
        kf__tls_free(tls);
        tls = NULL;
        kf__tls_context_close(context);
        context = NULL;
    }
    free(key);
    free(chain);
    free_cert(&client);
}

Test(tls, a_refused_client_certificate_is_told_apart)
{
    struct made_cert own = make_cert("nobody", NULL, NULL, -DAY, DAY);
    write_pem(key_path, &own, NULL, true);
    settings.keystore_location = key_path;
    ask_for_certificates(TLS1_3_VERSION);
    connect_to("broker.example");
    read_refusal();
    is_refused(KF_ERR_TLS_CERTIFICATE_REFUSED, "refused this client's certificate");
    free_cert(&own);
}

/* ---- peers that are none ---- */

static void hears(const void *bytes, size_t size)
{
    kf_error error = KF_ERROR_INIT;
    kf__tls_context_open(&kf_default_allocator, &settings, &context, &error);
    tls = kf__tls_new(context, slabs, "broker:9093", "broker.example");
    step();
    cr_expect(lt(sz, 100, kf__tls_output(tls).iov_len));
    if (!size)
        return;
    give(bytes, size);
    step();
}

Test(tls, plaintext_answers_are_told_apart)
{
    hears("\0\0\0\x0a\0\0\0\1\0\x23\0\0\0\0", 14);
    is_refused(KF_ERR_TLS_NOT_SPOKEN, "it answered in plaintext");
}

Test(tls, an_http_server_is_named_as_such)
{
    hears("HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    is_refused(KF_ERR_TLS_NOT_SPOKEN, "it answered as an HTTP server");
}

Test(tls, a_plaintext_listener_that_just_closes_is_guessed)
{
    const char *text;
    hears(NULL, 0);
    cr_expect(eq(int, kf__tls_lost(tls, NULL, &text), KF_ERR_TLS_NOT_SPOKEN));
    cr_expect(ne(ptr, (void *)strstr(text, "a PLAINTEXT listener does that"), NULL));
}

Test(tls, a_half_record_waits_and_its_end_is_a_transport_error)
{
    const char *text;
    hears("\x16\x03\x03\x40\x00\x02", 6);
    cr_expect(eq(int, (int)kf__tls_state(tls), KF__TLS_HANDSHAKE));
    cr_expect(eq(int, kf__tls_lost(tls, "Connection reset by peer", &text), KF_ERR_DISCONNECTED));
    cr_expect(ne(ptr, (void *)strstr(text, "(Connection reset by peer)"), NULL));
}

Test(tls, an_oversized_record_is_refused)
{
    hears("\x16\x03\x03\xff\xff\x02\0\0\0", 9);
    is_refused(KF_ERR_TLS_FAILED, "TLS failed");
}

Test(tls, renegotiation_is_refused)
{
    uint8_t got[16];
    size_t size = 0;
    tls_server_open(&server, &leaf);
    SSL_CTX_set_max_proto_version(server.ctx, TLS1_2_VERSION);
    connect_to("broker.example");
    talks();
    SSL_renegotiate(server.ssl);
    SSL_do_handshake(server.ssl);
    to_client();
    cr_expect(eq(int, kf__tls_read(tls, got, sizeof got, &size), KF_OK));
    to_server();
    cr_expect(le(int, SSL_read(server.ssl, got, sizeof got), 0)); /* no_renegotiation */
    cr_expect(eq(int, (int)kf__tls_state(tls), KF__TLS_OPEN));
}

Test(tls, a_changed_byte_ends_the_connection)
{
    uint8_t got[64];
    size_t size = 0;
    serve_and_connect(&leaf, "broker.example");
    talks();
    SSL_write(server.ssl, "world", 5);
    int count = BIO_read(server.out, got, sizeof got);
    got[count - 1] ^= 1;
    give(got, (size_t)count);
    cr_expect(eq(int, kf__tls_read(tls, got, sizeof got, &size), KF_ERR_TLS_FAILED));
    is_refused(KF_ERR_TLS_FAILED, "bad record mac");
}

Test(tls, close_notify_is_an_end_like_any_other)
{
    uint8_t got[16];
    size_t size = 0;
    serve_and_connect(&leaf, "broker.example");
    talks();
    SSL_shutdown(server.ssl);
    to_client();
    cr_expect(eq(int, kf__tls_read(tls, got, sizeof got, &size), KF_ERR_DISCONNECTED));
}

/* ---- bytes ---- */

Test(tls, megabytes_pass_in_both_directions_and_leave_no_buffer)
{
    enum {
        SIZE = 3 << 20
    };
    uint8_t *sent = malloc(SIZE), *got = malloc(SIZE + 65536);
    size_t written = 0, read = 0;
    for (size_t i = 0; i < SIZE; i++)
        sent[i] = (uint8_t)(i * 7);
    serve_and_connect(&leaf, "broker.example");
    while (read < SIZE) {
        struct iovec part = {sent + written, SIZE - written};
        size_t taken = 0;
        cr_assert(eq(int, kf__tls_write(tls, &part, 1, &taken), KF_OK));
        written += taken;
        cr_assert(le(sz, kf__tls_output(tls).iov_len, 160 * 1024));
        to_server();
        for (int more; (more = SSL_read(server.ssl, got + read, 65536)) > 0;)
            read += (size_t)more;
    }
    cr_expect(eq(int, memcmp(sent, got, SIZE), 0));
    cr_expect(eq(sz, kf__tls_output(tls).iov_len, 0));
    for (written = read = 0; read < SIZE;) {
        if (written < SIZE) {
            int part = SSL_write(server.ssl, sent + written, 16384);
            written += part > 0 ? (size_t)part : 0;
        }
        to_client();
        size_t more = 0;
        do {
            cr_assert(eq(int, kf__tls_read(tls, got + read, 65536, &more), KF_OK));
            read += more;
        } while (more);
    }
    cr_expect(eq(int, memcmp(sent, got, SIZE), 0));
    free(sent);
    free(got);
}

static size_t largest;

static void *note_largest(void *context_, void *pointer, size_t size)
{
    (void)context_;
    largest = size > largest ? size : largest;
    return kf_default_allocator.resize(NULL, pointer, size);
}

Test(tls, output_that_is_never_quite_empty_stays_small)
{
    static const kf_allocator noting = {note_largest, NULL};
    static uint8_t request[20000];
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf__tls_context_open(&noting, &settings, &context, &error), KF_OK));
    serve_and_connect(&leaf, "broker.example");
    for (int i = 0; i < 500; i++) { /* 10 MB */
        struct iovec part = {request, sizeof request};
        size_t taken = 0;
        cr_assert(eq(int, kf__tls_write(tls, &part, 1, &taken), KF_OK));
        size_t waits = kf__tls_output(tls).iov_len;
        kf__tls_sent(tls, waits > 100 ? waits - 100 : 0);
    }
    cr_expect(le(sz, largest, 128 * 1024));
}

/* RFC 8446, 4.6.3: each asks for an answer. */
Test(tls, a_peer_that_asks_for_keys_and_never_reads_is_given_up)
{
    uint8_t got[16];
    size_t size = 0;
    kf_err err = KF_OK;
    serve_and_connect(&leaf, "broker.example");
    for (int i = 0; i < 100000 && !err; i++) {
        SSL_key_update(server.ssl, SSL_KEY_UPDATE_REQUESTED);
        cr_assert(eq(int, SSL_write(server.ssl, "x", 1), 1));
        to_client();
        err = kf__tls_read(tls, got, sizeof got, &size);
        cr_assert(le(sz, kf__tls_output(tls).iov_len, 1 << 20));
    }
    cr_expect(ne(int, err, KF_OK));
}

/* ---- sessions ---- */

Test(tls, the_next_connection_resumes_and_verifies_nothing_less)
{
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        struct kf__tls_seen seen;
        tls_server_open(&server, &leaf);
        SSL_CTX_set_max_proto_version(server.ctx, versions[i]);
        connect_to("broker.example");
        talks();
        connect_to("broker.example");
        talks();
        kf__tls_look(tls, &seen);
        cr_expect(seen.resumed, "TLS 1.%d", i + 2);
        tls_server_close(&server);
        kf__tls_free(tls);
        tls = NULL;
        kf__tls_context_close(context);
        context = NULL;
    }
}

/* Resuming verifies no certificate, so a session must not outlive what was verified. */
Test(tls, a_session_is_forgotten_when_the_first_certificate_of_its_chain_ends)
{
    struct kf__tls_seen seen;
    struct made_cert brief = make_cert("brief", "DNS:broker.example", &authority, -DAY, 3600);
    struct tm end = {0};
    char date[40], expected[40];
    serve_and_connect(&brief, "broker.example");
    talks();
    struct kf__tls_session *session = &context->made->sessions[0];
    ASN1_TIME_to_tm(X509_get0_notAfter(brief.certificate), &end);
    strftime(expected, sizeof expected, "%Y-%m-%d %H:%M:%S", &end);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", gmtime(&session->until));
    cr_expect(eq(str, date, expected));

    connect_to("broker.example");
    talks();
    kf__tls_look(tls, &seen);
    cr_expect(seen.resumed);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", gmtime(&session->until));
    cr_expect(eq(str, date, expected)); /* the ticket of a resumed one lives no longer */

    session->until = time(NULL);
    connect_to("broker.example");
    talks();
    kf__tls_look(tls, &seen);
    cr_expect(not(seen.resumed));
    free_cert(&brief);
}

/* ---- files that change ---- */

static void expect_news(kf_err err, const char *part)
{
    struct kf__tls_news news;
    cr_assert(kf__tls_context_news(context, &news));
    cr_expect(eq(int, news.err, err));
    cr_expect(ne(ptr, (void *)strstr(news.text, part), NULL), "%s", news.text);
    cr_expect(not(kf__tls_context_news(context, &news)));
}

Test(tls, new_trust_is_read_without_a_restart)
{
    struct made_cert newer = make_cert("Newer CA", NULL, NULL, -DAY, DAY);
    struct made_cert other = make_cert("x", "DNS:broker.example", &newer, -DAY, DAY);
    struct kf__tls_news news;
    settings = (struct kf__tls_settings){.truststore_location = trust_path};
    write_pem(trust_path, &authority, NULL, false);
    serve_and_connect(&leaf, "broker.example");
    talks();
    cr_expect(not(kf__tls_context_news(context, &news)));
    write_pem(trust_path, &newer, NULL, false);
    connect_to("broker.example");
    is_refused(KF_ERR_TLS_UNTRUSTED, "does not lead to an authority");
    expect_news(KF_OK, "new connections use the new ones");
    tls_server_close(&server);
    serve_and_connect(&other, "broker.example");
    talks();
    free_cert(&other);
    free_cert(&newer);
}

Test(tls, bad_new_files_leave_the_old_ones_in_use_and_say_so_once)
{
    struct kf__tls_news news;
    settings = (struct kf__tls_settings){.truststore_location = trust_path};
    write_pem(trust_path, &authority, NULL, false);
    serve_and_connect(&leaf, "broker.example");
    write_text(trust_path, "half a file");
    connect_to("broker.example");
    talks();
    expect_news(KF_ERR_CONFIG, "the old ones stay: ssl.truststore.location=");
    connect_to("broker.example");
    talks();
    cr_expect(not(kf__tls_context_news(context, &news)));
    unlink(trust_path);
    connect_to("broker.example");
    talks();
    expect_news(KF_ERR_CONFIG, "No such file");
    write_pem(trust_path, &authority, NULL, false);
    connect_to("broker.example");
    talks();
    expect_news(KF_OK, "new ones");
}

/* Memory that is long in coming, for the thread that reads: as good as a file that is. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool began, ends;
} reading = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static _Thread_local bool reads_slowly;

static void *give_slowly(void *context_, void *pointer, size_t size)
{
    (void)context_;
    pthread_mutex_lock(&reading.lock);
    reading.began |= reads_slowly;
    pthread_cond_broadcast(&reading.changed);
    while (reads_slowly && !reading.ends)
        pthread_cond_wait(&reading.changed, &reading.lock);
    pthread_mutex_unlock(&reading.lock);
    return kf_default_allocator.resize(NULL, pointer, size);
}

static void *step_slowly(void *slow)
{
    struct kf__work *work = kf__tls_work(slow);
    reads_slowly = true;
    work->run(work);
    return NULL;
}

Test(tls, files_that_take_their_time_hold_up_neither_the_loop_nor_other_connections)
{
    const kf_allocator alloc = {give_slowly, NULL};
    struct kf__tls_news news;
    pthread_t reader;
    settings = (struct kf__tls_settings){.truststore_location = trust_path};
    write_pem(trust_path, &authority, NULL, false);
    cr_assert(eq(int, kf__tls_context_open(&alloc, &settings, &context, NULL), KF_OK));
    serve_and_connect(&leaf, "broker.example");
    write_text(trust_path, "half a file");
    struct kf__tls *slow = kf__tls_new(context, slabs, "slow:9093", "broker.example");
    cr_assert(eq(int, pthread_create(&reader, NULL, step_slowly, slow), 0));
    pthread_mutex_lock(&reading.lock);
    while (!reading.began)
        pthread_cond_wait(&reading.changed, &reading.lock);
    pthread_mutex_unlock(&reading.lock);

    cr_expect(not(kf__tls_context_news(context, &news)));
    connect_to("broker.example");
    talks();

    pthread_mutex_lock(&reading.lock);
    reading.ends = true;
    pthread_cond_broadcast(&reading.changed);
    pthread_mutex_unlock(&reading.lock);
    pthread_join(reader, NULL);
    expect_news(KF_ERR_CONFIG, "the old ones stay");
    kf__tls_free(slow);
}

/* ---- configuration errors ---- */

static void opens_not(const char *part)
{
    kf_error error = KF_ERROR_INIT;
    cr_expect(eq(int, kf__tls_context_open(&kf_default_allocator, &settings, &context, &error),
                 KF_ERR_CONFIG));
    cr_expect(ne(ptr, (void *)strstr(error.text, part), NULL), "\"%s\" is not in \"%s\"", part,
              error.text);
    cr_expect(eq(ptr, (void *)strstr(error.text, "hunter2"), NULL));
}

Test(tls, each_bad_key_store_has_its_own_sentence)
{
    struct made_cert client = make_cert("client", NULL, &authority, -DAY, DAY);
    char *key = pem_of_key(&client, NULL), *other = pem_of_cert(&leaf);
    settings.keystore_location = key_path;
    opens_not("it can't be read: No such file or directory");
    settings.keystore_location = folder;
    opens_not("it is no file");
    settings.keystore_location = key_path;
    write_text(key_path, "nothing\n");
    opens_not("it holds no private key in PEM form");
    write_text(key_path, key);
    opens_not("it holds no certificate");
    write_pem(key_path, &client, "right", true);
    opens_not("the private key is encrypted: set ssl.key.password");
    settings.key_password = "hunter2";
    opens_not("ssl.key.password does not open the private key");
    settings.keystore_location = NULL;
    settings.keystore_key = key;
    opens_not("ssl.keystore.certificate.chain is missing");
    settings.keystore_chain = other;
    opens_not("the private key does not belong to the first certificate");
    settings.keystore_key = NULL;
    opens_not("ssl.keystore.key is missing");
    free(key);
    free(other);
    free_cert(&client);
}

Test(tls, pkcs12_and_jks_have_theirs)
{
    char store[96];
    snprintf(store, sizeof store, "%s/store.p12", folder);
    settings.keystore_location = store;
    write_pkcs12(store, &leaf, &authority, "right");
    opens_not("it has a password: set ssl.keystore.password");
    settings.keystore_password = "hunter2";
    opens_not("ssl.keystore.password does not open it");
    settings.keystore_type = KF__STORE_PEM;
    opens_not("it is PKCS#12, but");
    write_text(store, "0 is how it begins");
    settings.keystore_type = KF__STORE_AUTO;
    opens_not("it is neither PEM nor PKCS#12");
    write_text(store, "\xfe\xed\xfe\xed");
    opens_not("keytool -importkeystore -srckeystore");
    settings.keystore_location = NULL;
    settings.truststore_certificates = NULL;
    settings.truststore_location = store;
    opens_not("-deststoretype PKCS12");
    write_text(store, "");
    opens_not("it holds no certificate to trust");
}

Test(tls, a_pkcs12_trust_store_is_trusted)
{
    char store[96];
    snprintf(store, sizeof store, "%s/trust.p12", folder);
    write_pkcs12(store, &leaf, &authority, "changeit");
    settings =
        (struct kf__tls_settings){.truststore_location = store, .truststore_password = "changeit"};
    serve_and_connect(&leaf, "broker.example");
    talks();
}

Test(tls, a_pkcs12_trust_store_without_certificates_is_refused)
{
    char store[96];
    snprintf(store, sizeof store, "%s/trust.p12", folder);
    PKCS12 *made = PKCS12_create("changeit", NULL, leaf.key, NULL, NULL, 0, 0, 1000, 1000, 0);
    FILE *file = fopen(store, "w");
    cr_assert(eq(int, i2d_PKCS12_fp(file, made), 1));
    fclose(file);
    PKCS12_free(made);
    settings =
        (struct kf__tls_settings){.truststore_location = store, .truststore_password = "changeit"};
    opens_not("it holds no certificate to trust");
}

/* As a properties file joins them with backslashes: no line breaks, blanks instead. */
Test(tls, an_inline_text_may_have_lost_its_line_breaks)
{
    for (char *at = authority_pem; *at; at++)
        *at = *at == '\n' ? ' ' : *at;
    serve_and_connect(&leaf, "broker.example");
    talks();
}

Test(tls, unknown_versions_and_suites_are_refused)
{
    settings.protocols = "TLSv1.3,TLSv1.1";
    opens_not("ssl.enabled.protocols=TLSv1.1: only TLSv1.2 and TLSv1.3 are spoken");
    settings.protocols = "";
    settings.ciphers = "TLS_RSA_WITH_ROT13";
    opens_not("does not know TLS_RSA_WITH_ROT13");
}

/* ---- memory ---- */

static long countdown;

static void *fail_one(void *context_, void *pointer, size_t size)
{
    (void)context_;
    if (size && --countdown == 0)
        return NULL;
    return kf_default_allocator.resize(NULL, pointer, size);
}

static const kf_allocator failing = {fail_one, NULL};

/* A connection to a server that is there, as far as memory goes. */
static kf_err try_once(void)
{
    struct kf__slab_pool *pool = kf__slab_pool_new(&failing, 0);
    struct kf__slab_pool *kept = slabs;
    uint8_t got[16];
    size_t size = 0, taken = 0;
    struct iovec part = {(void *)"hello", 5};
    const char *text;
    kf_err err =
        pool ? kf__tls_context_open(&failing, &settings, &context, NULL) : KF_ERR_NO_MEMORY;
    tls = err ? NULL : kf__tls_new(context, pool, "broker:9093", "broker.example");
    tls_server_begin(&server);
    for (int i = 0; tls && i < 5 && kf__tls_state(tls) == KF__TLS_HANDSHAKE; i++) {
        uint8_t *room;
        step();
        to_server();
        tls_server_step(&server);
        err = BIO_pending(server.out) ? kf__tls_space(tls, &room, &size) : KF_OK;
        if (err)
            break;
        to_client();
    }
    if (tls && !err && kf__tls_state(tls) == KF__TLS_FAILED)
        err = kf__tls_error(tls, &text);
    if (tls && !err)
        err = kf__tls_write(tls, &part, 1, &taken);
    if (tls && !err)
        err = kf__tls_read(tls, got, sizeof got, &size);
    if (!tls)
        err = KF_ERR_NO_MEMORY;
    kf__tls_free(tls);
    kf__tls_context_close(context);
    tls = NULL;
    context = NULL;
    slabs = kept;
    if (pool)
        kf__slab_pool_drop(pool);
    return err;
}

Test(tls, no_memory_is_an_error_at_every_allocation)
{
    tls_server_open(&server, &leaf);
    long at = 1;
    for (kf_err err = KF_ERR_NO_MEMORY; err; at++) {
        countdown = at;
        err = try_once();
        if (err)
            cr_expect(eq(int, err, KF_ERR_NO_MEMORY), "allocation %ld", at);
        cr_assert(lt(i64, at, 100));
    }
    cr_expect(lt(i64, 8, at));
}

#endif
