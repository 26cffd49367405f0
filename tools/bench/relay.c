/*
 * relay: TLS before a broker that speaks none, so that clients can be measured
 * with it: what it costs here is nobody's who is measured.
 *
 *     bench_relay --listen 24192 --to 24190 --pem FILE --cipher TLS_AES_256_GCM_SHA384
 *
 * A thread a connection, on the loopback; FILE has key and certificate.
 */
#include "tools/bench/common/measure.h"

#include <stdio.h>

#ifdef KAFIBER_WITH_OPENSSL

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 64 << 10,
};

static SSL_CTX *ctx;
static struct sockaddr_in behind;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_relay: %s\n", what);
    exit(1);
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t written = send(fd, bytes, size, MSG_NOSIGNAL);
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

/* One chunk from either end to the other; false: one of them is gone. */
static bool pass(SSL *ssl, int broker, char *chunk)
{
    struct pollfd fds[2] = {{.fd = SSL_get_fd(ssl), .events = POLLIN},
                            {.fd = broker, .events = POLLIN}};
    if (!SSL_pending(ssl) && poll(fds, 2, -1) < 0)
        return false;
    if (SSL_pending(ssl) || fds[0].revents) {
        int got = SSL_read(ssl, chunk, CHUNK_BYTES);
        if (got <= 0 || !write_all(broker, chunk, (size_t)got))
            return false;
    }
    if (fds[1].revents) {
        ssize_t got = recv(broker, chunk, CHUNK_BYTES, 0);
        if (got <= 0 || SSL_write(ssl, chunk, (int)got) != got)
            return false;
    }
    return true;
}

static void *serve(void *argument)
{
    int client = (int)(intptr_t)argument;
    int broker = socket(AF_INET, SOCK_STREAM, 0);
    char *chunk = malloc(CHUNK_BYTES);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, client);
    if (chunk && connect(broker, (struct sockaddr *)&behind, sizeof behind) == 0 &&
        SSL_accept(ssl) == 1) {
        fprintf(stderr, "%s %s\n", SSL_get_version(ssl), SSL_get_cipher(ssl));
        while (pass(ssl, broker, chunk))
            continue;
    }
    SSL_free(ssl);
    free(chunk);
    close(client);
    close(broker);
    return NULL;
}

static int listen_at(int64_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 64))
        die("it can't listen there");
    return fd;
}

int main(int argc, char **argv)
{
    const char *pem = option_text(argc, argv, "--pem", "");
    ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, pem) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, pem, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_ciphersuites(
            ctx, option_text(argc, argv, "--cipher", "TLS_AES_256_GCM_SHA384")) != 1)
        die("--pem or --cipher can't be used");
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    signal(SIGPIPE, SIG_IGN);
    behind =
        (struct sockaddr_in){.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)option_number(argc, argv, "--to", 24190))};
    behind.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = listen_at(option_number(argc, argv, "--listen", 24192));
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd))
            close(fd);
        else
            pthread_detach(thread);
    }
    return 1;
}

#else

int main(void)
{
    fprintf(stderr, "bench_relay: this build has no OpenSSL\n");
    return 1;
}

#endif
