/*
 * secrets_sasl: after a client is closed, none of what it authenticated with is in
 * this process's memory any more, be it a password of some letters or one that
 * fills buffers until they grow. The broker and the token endpoint are another
 * process; the secrets stand here only mixed with a mask, also while memory is
 * searched for them.
 */
#include "runtime/fiber/sanitizer.h"

#include <arpa/inet.h>
#include <kafiber/broker.h>
#include <kafiber/kafiber.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SECRET_BYTES = 24,  /* looked for; a long one repeats itself after 26 */
    LONG_BYTES = 16000, /* a token may have 16,383 */
    MASK = 0x5a,
    ADDRESS_BYTES = 64,
    FOLDER_BYTES = 64,
};

/* Where the other process listens, and where its authority's certificate lies. */
struct told {
    char address[ADDRESS_BYTES];
    char folder[FOLDER_BYTES];
    unsigned token_port;
};

#if defined(KF__ASAN) || defined(KF__TSAN)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* Not in one piece anywhere: made byte by byte from a seed. */
static unsigned char masked_byte(int seed, int i)
{
    return (unsigned char)('A' + (seed * 7 + i * 11 + i * i) % 26) ^ MASK;
}

static void make_secret(int seed, int size, char *text)
{
    for (int i = 0; i < size; i++)
        text[i] = (char)(masked_byte(seed, i % 26) ^ MASK);
    text[size] = '\0';
}

static void wipe(volatile char *text, size_t size)
{
    while (size--)
        text[size] = 0;
}

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "secrets_sasl: %s\n", what);
    exit(1);
}

/* ---- the token endpoint, in the other process ---- */

#ifdef KAFIBER_WITH_OPENSSL
#include <openssl/ssl.h>

static int listener;

static void answer_one(SSL *ssl)
{
    static char request[64 * 1024], answer[LONG_BYTES + 200], token[LONG_BYTES + 1];
    size_t used = 0;
    for (int got; !strstr(request, "\r\n\r\ngrant_type=") &&
                  (got = SSL_read(ssl, request + used, (int)(sizeof request - 1 - used))) > 0;)
        used += (size_t)got;
    memset(request, 0, sizeof request);
    make_secret(3, LONG_BYTES, token);
    int size =
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n"
                 "{\"access_token\":\"%s\",\"expires_in\":300}",
                 strlen(token) + sizeof "{\"access_token\":\"\",\"expires_in\":300}" - 1, token);
    SSL_write(ssl, answer, size);
    SSL_shutdown(ssl);
}

static void *give_tokens(void *folder)
{
    char path[FOLDER_BYTES + 16];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    snprintf(path, sizeof path, "%s/broker.pem", (const char *)folder);
    must(SSL_CTX_use_certificate_chain_file(context, path) == 1, "no certificate");
    must(SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) == 1, "no key");
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        SSL *ssl = SSL_new(context);
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1)
            answer_one(ssl);
        SSL_free(ssl);
    }
    return NULL;
}

/* It ends with its process. */
static void begin_endpoint(struct told *told)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    pthread_t thread;
    snprintf(told->folder, sizeof told->folder, "/tmp/kafiber-secrets-sasl-%d", (int)getpid());
    must(kf_broker_make_certificates(told->folder, NULL) == KF_OK, "no certificates");
    listener = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(listener, (void *)&at, size) == 0 && listen(listener, 8) == 0 &&
             getsockname(listener, (void *)&at, &size) == 0,
         "no port");
    told->token_port = ntohs(at.sin_port);
    must(pthread_create(&thread, NULL, give_tokens, told->folder) == 0, "no thread");
}
#else
static void begin_endpoint(struct told *told) { told->token_port = 0; }
#endif

/* ---- the broker, a process of its own ---- */

static void run_broker(int out, int end)
{
    static struct told told;
    static char alice[SECRET_BYTES + 8] = "alice:", bob[LONG_BYTES + 8] = "bob:";
    char ignored, line[FOLDER_BYTES + 16];
    const char *const users[] = {alice, bob};
    make_secret(1, SECRET_BYTES, alice + strlen(alice));
    make_secret(1, LONG_BYTES, bob + strlen(bob));
    kf_broker_options options = {.size = sizeof options, .thread = true};
    options.sasl = (kf_broker_sasl){
        .required = true, .users = users, .user_count = 2, .unsecured_tokens = true};
    kf_broker *broker = kf_broker_start(&options, NULL);
    must(broker != NULL, "no broker");
    snprintf(told.address, sizeof told.address, "%s", kf_broker_bootstrap(broker));
    begin_endpoint(&told);
    must(write(out, &told, sizeof told) == (ssize_t)sizeof told, "pipe");
    while (read(end, &ignored, 1) > 0)
        continue;
    kf_broker_stop(broker);
    snprintf(line, sizeof line, "rm -rf %s", told.folder);
    _exit(told.folder[0] ? system(line) : 0);
}

/* ---- the search ---- */

static bool stands_at(const unsigned char *at, int seed)
{
    for (int i = 0; i < SECRET_BYTES; i++)
        if ((at[i] ^ MASK) != masked_byte(seed, i))
            return false;
    return true;
}

static int count_in(const unsigned char *from, const unsigned char *to, int seed)
{
    int found = 0;
    for (const unsigned char *at = from; at + SECRET_BYTES <= to; at++)
        found += stands_at(at, seed);
    return found;
}

/* All that is readable and writable; how often the secret stands there. */
static int count_everywhere(int seed)
{
    char line[512], access[8];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    must(maps != NULL, "/proc/self/maps");
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx %7s", &from, &to, access) == 3 && access[0] == 'r' &&
            access[1] == 'w' && !strstr(line, "[v"))
            found += count_in((const unsigned char *)from, (const unsigned char *)to, seed);
    }
    fclose(maps);
    return found;
}

/* ---- the client ---- */

static kf_err give_token(void *context, kf_sasl_token *token, kf_error *error)
{
    (void)error;
    make_secret(2, *(const int *)context,
                token->text); /* no JSON web token: the broker refuses it */
    return KF_OK;
}

static kf_err ask(kf_config *config)
{
    kf_client *client = kf_client_new(config, NULL);
    int32_t partitions = 0;
    kf_err err = kf_client_partitions(client, "t", kf_now() + 10 * KF_SECOND, &partitions, NULL);
    kf_client_close(client);
    return err;
}

static kf_config *settings(const char *address)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", address, NULL);
    kf_config_set(config, "security.protocol", "SASL_PLAINTEXT", NULL);
    kf_config_log(config, KF_LOG_ERROR, NULL, NULL);
    return config;
}

static void configure(kf_config *config, const char *mechanism, int size, bool by_jaas)
{
    static char text[LONG_BYTES + 200];
    const char *user = size == SECRET_BYTES ? "alice" : "bob";
    const char *module = strcmp(mechanism, "PLAIN") == 0 ? "plain.Plain" : "scram.Scram";
    int used = by_jaas ? snprintf(text, sizeof text,
                                  "org.apache.kafka.common.security.%sLoginModule required "
                                  "username=\"%s\" password=\"",
                                  module, user)
                       : 0;
    kf_config_set(config, "sasl.mechanism", mechanism, NULL);
    make_secret(1, size, text + used);
    if (by_jaas)
        memcpy(text + used + size, "\";", 3);
    else
        kf_config_set(config, "sasl.username", user, NULL);
    kf_err err = kf_config_set(config, by_jaas ? "sasl.jaas.config" : "sasl.password", text, NULL);
    must(err == KF_OK, "the password can't be set");
    wipe(text, sizeof text);
}

static void authenticate_with(const char *address, const char *mechanism, int size, bool by_jaas)
{
    kf_config *config = settings(address);
    configure(config, mechanism, size, by_jaas);
    must(count_everywhere(1) > 0, "the search finds nothing even while it is there");
    must(ask(config) == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION, "not authenticated");
    kf_config_free(config);
    if (count_everywhere(1) != 0)
        fprintf(stderr, "%s, %d bytes, %s: ", mechanism, size, by_jaas ? "JAAS" : "own keys");
    must(count_everywhere(1) == 0, "the password is still in memory");
}

static void authenticate(const char *address, const char *mechanism)
{
    authenticate_with(address, mechanism, SECRET_BYTES, false);
    authenticate_with(address, mechanism, SECRET_BYTES, true);
    authenticate_with(address, mechanism, LONG_BYTES, false);
}

static void present_token(const char *address, int size)
{
    kf_config *config = settings(address);
    kf_config_sasl_token(config, give_token, &size);
    must(ask(config) == KF_ERR_SASL_AUTHENTICATION_FAILED, "the token was not refused");
    kf_config_free(config);
    must(count_everywhere(2) == 0, "the token is still in memory");
}

#ifdef KAFIBER_WITH_OPENSSL
/* The endpoint gets the client's secret, the broker the token; both are long, and the token no JWT.
 */
static void fetch_token(const struct told *told)
{
    static char text[LONG_BYTES + 1];
    char url[ADDRESS_BYTES], trust[FOLDER_BYTES + 16];
    kf_config *config = settings(told->address);
    snprintf(url, sizeof url, "https://127.0.0.1:%u/token", told->token_port);
    snprintf(trust, sizeof trust, "%s/ca.pem", told->folder);
    make_secret(4, 2000, text);
    kf_config_set(config, "sasl.mechanism", "OAUTHBEARER", NULL);
    kf_config_set(config, "sasl.oauthbearer.token.endpoint.url", url, NULL);
    kf_config_set(config, "sasl.oauthbearer.token.endpoint.truststore.location", trust, NULL);
    kf_config_set(config, "sasl.oauthbearer.client.credentials.client.id", "id", NULL);
    kf_config_set(config, "sasl.oauthbearer.client.credentials.client.secret", text, NULL);
    wipe(text, sizeof text);
    must(ask(config) == KF_ERR_SASL_AUTHENTICATION_FAILED, "the token was not refused");
    kf_config_free(config);
    must(count_everywhere(3) == 0, "the fetched token is still in memory");
    must(count_everywhere(4) == 0, "the client's secret is still in memory");
}
#endif

int main(void)
{
    /* Sanitizers have memory of their own, and none of it may be looked at. */
    if (IS_SANITIZED || access("/proc/self/maps", R_OK)) {
        puts("secrets_sasl: memory can't be searched here");
        return 0;
    }
    int out[2], end[2];
    struct told told;
    must(pipe(out) == 0 && pipe(end) == 0, "pipe");
    pid_t broker = fork();
    if (broker == 0) {
        close(end[1]);
        run_broker(out[1], end[0]);
    }
    close(end[0]);
    must(read(out[0], &told, sizeof told) == (ssize_t)sizeof told, "no broker");

    authenticate(told.address, "PLAIN");
#ifdef KAFIBER_WITH_OPENSSL
    authenticate(told.address, "SCRAM-SHA-256");
    authenticate(told.address, "SCRAM-SHA-512");
    fetch_token(&told);
#endif
    present_token(told.address, SECRET_BYTES);
    present_token(told.address, LONG_BYTES);

    close(end[1]);
    waitpid(broker, NULL, 0);
    puts("secrets_sasl: none is left");
    return 0;
}
