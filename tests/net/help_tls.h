/*
 * help_tls: certificates made on the spot, good and bad, and a TLS server
 * without a socket, straight on OpenSSL: none of our code is on that end.
 */
#ifndef KF_TESTS_NET_HELP_TLS_H
#define KF_TESTS_NET_HELP_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct made_cert {
    X509 *certificate;
    EVP_PKEY *key;
};

enum {
    DAY = 86400
};

/* names: "DNS:a,IP:127.0.0.1" or NULL. issuer NULL: self-signed, an authority. Seconds from now. */
struct made_cert make_cert(const char *common_name, const char *names,
                           const struct made_cert *issuer, long from, long until);
void free_cert(struct made_cert *cert);

/* PEM texts, owned by the caller; passphrase NULL: in the clear. */
char *pem_of_key(const struct made_cert *cert, const char *passphrase);
char *pem_of_cert(const struct made_cert *cert);
/* Files in a directory of the test's own. */
void write_text(const char *path, const char *text);
void write_pem(const char *path, const struct made_cert *cert, const char *passphrase,
               bool with_key);
void write_pkcs12(const char *path, const struct made_cert *cert, const struct made_cert *issuer,
                  const char *password);

/* The accepting end. Changes to its context come before tls_server_begin. */
struct tls_server {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in;  /* from the client */
    BIO *out; /* to the client */
    bool open;
    bool failed;
};
void tls_server_open(struct tls_server *server, const struct made_cert *cert);
void tls_server_begin(struct tls_server *server);
void tls_server_step(struct tls_server *server);
void tls_server_close(struct tls_server *server);

#endif
