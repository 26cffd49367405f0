/* Tokens from a token endpoint: over real TLS, from a server of a few lines inside the test. */
#ifdef KAFIBER_WITH_OPENSSL
#include "net/failing_alloc.h"
#include "net/sasl/oidc.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/broker.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[64], keystore[96], trust[96];
static int listener;
static uint16_t port;
static pthread_t thread;
static const char *answers[4]; /* one a connection; NULL: it is closed at once */
static const char *always;     /* the answer to each of them, where it is set */
static char request[8192];
static int served;
static bool cuts; /* the connection ends without TLS's goodbye */

static void answer_one(SSL_CTX *context, int fd, const char *answer)
{
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        size_t used = 0;
        int got;
        while (!strstr(request, "\r\n\r\ngrant_type=") &&
               (got = SSL_read(ssl, request + used, (int)(sizeof request - 1 - used))) > 0) {
            used += (size_t)got;
            request[used] = '\0';
        }
        SSL_write(ssl, answer, (int)strlen(answer));
        if (!cuts)
            SSL_shutdown(ssl);
    }
    SSL_free(ssl);
}

static void *serve(void *argument)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    (void)argument;
    SSL_CTX_use_certificate_chain_file(context, keystore);
    SSL_CTX_use_PrivateKey_file(context, keystore, SSL_FILETYPE_PEM);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        const char *answer = always ? always : served < 4 ? answers[served] : NULL;
        served++;
        memset(request, 0, sizeof request);
        if (answer)
            answer_one(context, fd, answer);
    }
    SSL_CTX_free(context);
    return NULL;
}

static void begin(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    kf_error error = KF_ERROR_INIT;
    signal(SIGPIPE, SIG_IGN);
    snprintf(folder, sizeof folder, "/tmp/kafiber-oidc-%d", (int)getpid());
    snprintf(keystore, sizeof keystore, "%s/broker.pem", folder);
    snprintf(trust, sizeof trust, "%s/ca.pem", folder);
    cr_assert(eq(int, kf_broker_make_certificates(folder, &error), KF_OK), "%s", error.text);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(eq(int, bind(listener, (struct sockaddr *)&address, sizeof address), 0));
    cr_assert(eq(int, listen(listener, 8), 0));
    getsockname(listener, (struct sockaddr *)&address, &size);
    port = ntohs(address.sin_port);
    pthread_create(&thread, NULL, serve, NULL);
}

static void end(void)
{
    char line[96];
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    snprintf(line, sizeof line, "rm -rf %s", folder);
    cr_expect(eq(int, system(line), 0));
}

TestSuite(oidc, .init = begin, .fini = end, .timeout = 60);

static kf_error why;
static kf_sasl_token token;

static const struct kf__world *ask_in = &kf__real_world;
static int32_t patience_ms = 2000; /* for each of three tries */

static kf_err ask(const char *host, const char *trusted)
{
    char url[128];
    snprintf(url, sizeof url, "https://%s:%u/oauth2/token?a=b", host, (unsigned)port);
    struct kf__token_settings settings = {.provider = KF__TOKEN_OIDC,
                                          .refresh_factor = 0.8,
                                          .oidc = {.url = url,
                                                   .client_id = "id",
                                                   .client_secret = "s3cret",
                                                   .scope = "kafka read",
                                                   .trust = trusted,
                                                   .timeout_ms = patience_ms,
                                                   .read_timeout_ms = patience_ms,
                                                   .retry_ms = 10,
                                                   .retry_max_ms = 20}};
    struct kf__tokens *tokens = NULL;
    why = (kf_error)KF_ERROR_INIT;
    kf_err err = kf__tokens_new(&kf_default_allocator, ask_in, &settings, &tokens, &why);
    if (!err)
        err = kf__tokens_get(tokens, &token, &why);
    if (!err) /* from the cache */
        err = kf__tokens_get(tokens, &token, &why);
    kf__tokens_free(tokens);
    cr_expect(eq(ptr, strstr(why.text, "s3cret"), NULL));
    return err;
}

#define GOOD                                                                                       \
    "HTTP/1.1 200 OK\r\nContent-Length: 63\r\n\r\n"                                                \
    "{\"access_token\":\"abc.def.ghi\",\"expires_in\":300,\"x\":[1,2,3,4,5]}"

Test(oidc, brings_a_token_once_for_as_long_as_it_lives)
{
    answers[0] = GOOD;
    cr_assert(eq(int, ask("127.0.0.1", trust), KF_OK), "%s", why.text);
    cr_assert(eq(str, token.text, "abc.def.ghi"));
    cr_assert(lt(i64, 0, token.expires_at_ms));
    cr_assert(eq(int, served, 1));
    char expected[512];
    snprintf(expected, sizeof expected,
             "POST /oauth2/token?a=b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: application/json\r\n"
             "Connection: close\r\nUser-Agent: kafiber\r\n"
             "Content-Type: application/x-www-form-urlencoded\r\n"
             "Authorization: Basic aWQ6czNjcmV0\r\nContent-Length: 46\r\n\r\n"
             "grant_type=client_credentials&scope=kafka+read",
             (unsigned)port);
    cr_assert(eq(str, request, expected));
}

Test(oidc, takes_tlss_goodbye_for_the_end_of_a_body_without_length)
{
    answers[0] = "HTTP/1.0 200 OK\r\n\r\n{\"access_token\":\"abc\"}";
    answers[1] = answers[0]; /* nobody knows how long this one lives: it is asked for again */
    cr_assert(eq(int, ask("127.0.0.1", trust), KF_OK), "%s", why.text);
    cr_assert(eq(i64, token.expires_at_ms, 0));
    cr_assert(eq(int, served, 2));
}

/* Anybody on the wire may end a connection; only the endpoint can say goodbye. */
Test(oidc, refuses_a_body_without_length_that_ends_without_tlss_goodbye)
{
    cuts = true;
    answers[0] = answers[1] = answers[2] = "HTTP/1.0 200 OK\r\n\r\n{\"access_token\":\"abc\"}";
    cr_assert(eq(int, ask("127.0.0.1", trust), KF_ERR_TOKEN_UNAVAILABLE));
    cr_expect(ne(ptr, strstr(why.text, "before its answer was whole"), NULL), "%s", why.text);
    served = 0;
    answers[0] = GOOD; /* this one says how long it is, and is all there */
    cr_assert(eq(int, ask("127.0.0.1", trust), KF_OK), "%s", why.text);
}

Test(oidc, asks_again_where_the_endpoint_is_out_of_order)
{
    answers[0] = NULL;
    answers[1] = "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n";
    answers[2] = GOOD;
    cr_assert(eq(int, ask("127.0.0.1", trust), KF_OK), "%s", why.text);
    cr_assert(eq(int, served, 3));
}

static void fails_with(const char *answer, const char *words)
{
    served = 0;
    answers[0] = answers[1] = answers[2] = answer;
    cr_expect(eq(int, ask("127.0.0.1", trust), KF_ERR_TOKEN_UNAVAILABLE));
    cr_expect(ne(ptr, strstr(why.text, words), NULL), "\"%s\" is not in \"%s\"", words, why.text);
}

Test(oidc, says_why_there_is_no_token)
{
    fails_with("HTTP/1.1 401 No\r\nContent-Length: 26\r\n\r\n{\"error\":\"invalid_client\"}",
               "refuses (status 401, invalid_client)");
    fails_with("HTTP/1.1 302 There\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
               "a redirect (status 302), which is not followed");
    fails_with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "no usable access_token");
    fails_with("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "is not JSON");
    fails_with("HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"access_token\":\"a\\u0001\"}",
               "not of the form of a bearer token");
}

Test(oidc, believes_nobody_whose_certificate_does_not_fit)
{
    answers[0] = answers[1] = answers[2] = GOOD;
    cr_assert(eq(int, ask("127.0.0.1", NULL), KF_ERR_TOKEN_UNAVAILABLE));
    cr_expect(ne(ptr, strstr(why.text, "trusts"), NULL), "%s", why.text);
    served = 0;
    cr_assert(eq(int, ask("127.1", trust), KF_ERR_TOKEN_UNAVAILABLE));
    cr_expect(ne(ptr, strstr(why.text, "does not name"), NULL), "%s", why.text);
    cr_expect(eq(str, request, "")); /* nobody got the secret */
}

Test(oidc, gives_up_a_silent_endpoint_in_time)
{
    int silent = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(silent, (struct sockaddr *)&address, sizeof address);
    listen(silent, 8);
    getsockname(silent, (struct sockaddr *)&address, &size);
    port = ntohs(address.sin_port);
    patience_ms = 300; /* where it were unlimited, the test's own time would end it */
    cr_assert(eq(int, ask("127.0.0.1", trust), KF_ERR_TOKEN_UNAVAILABLE));
    close(silent);
}

/* A name with two addresses, the first of which swallows packets. */
static int dialled;

static kf_err resolve_twice(void *context, const char *host, uint16_t to,
                            struct kf__address *addresses, size_t *count)
{
    kf_err err = kf__real_world.resolve(context, host, to, addresses, count);
    addresses[1] = addresses[0];
    *count = 2;
    return err;
}

static int connect_slowly(void *context, const struct kf__address *address, int *error)
{
    static const char filling[4096];
    int ends[2];
    if (dialled++ > 0)
        return kf__real_world.connect(context, address, error);
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0));
    while (write(ends[0], filling, sizeof filling) > 0)
        continue;
    return ends[0]; /* which can never be written to */
}

Test(oidc, leaves_time_for_the_next_address)
{
    struct kf__world world = kf__real_world;
    world.resolve = resolve_twice;
    world.connect = connect_slowly;
    ask_in = &world;
    patience_ms = 4000;
    answers[0] = GOOD;
    cr_assert(eq(int, ask("127.0.0.1", trust), KF_OK), "%s", why.text);
    cr_expect(eq(int, dialled, 2));
    cr_expect(eq(int, served, 1));
}

Test(oidc, tells_when_memory_ends_at_any_point)
{
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%u/t", (unsigned)port);
    struct kf__oidc_settings settings = {.url = url,
                                         .client_id = "id",
                                         .client_secret = "s3cret",
                                         .scope = "a b",
                                         .timeout_ms = 5000,
                                         .read_timeout_ms = 5000,
                                         .retry_ms = 0,
                                         .retry_max_ms = 0};
    struct kf__tls_settings tls = {.truststore_location = trust};
    struct kf__tls_context *context = NULL;
    kf_err err = KF_ERR_NO_MEMORY;
    int allowed = 0;
    always = GOOD;
    cr_assert(eq(int, kf__tls_context_open(&kf_default_allocator, &tls, &context, NULL), KF_OK));
    for (; err && allowed < 60; allowed++) {
        struct failing_alloc memory;
        kf_allocator alloc = failing_alloc(&memory, allowed);
        why = (kf_error)KF_ERROR_INIT;
        err = kf__oidc_token(&alloc, &kf__real_world, &settings, context, &token, &why);
        if (err)
            cr_expect(eq(int, err, KF_ERR_NO_MEMORY), "%d allocations: %s", allowed, why.text);
        cr_assert(eq(int, memory.live, 0), "%d allocations", allowed);
    }
    cr_expect(eq(int, err, KF_OK));
    cr_expect(eq(str, token.text, "abc.def.ghi"));
    cr_expect(lt(int, 8, allowed));
    kf__tls_context_close(context);
}

#endif
