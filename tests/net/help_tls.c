#ifdef KAFIBER_WITH_OPENSSL

#include "tests/net/help_tls.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    cr_assert(ne(ptr, extension, NULL));
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

struct made_cert make_cert(const char *common_name, const char *names,
                           const struct made_cert *issuer, long from, long until)
{
    static long serial = 1;
    struct made_cert made = {X509_new(), EVP_EC_gen("P-256")};
    X509 *parent = issuer ? issuer->certificate : made.certificate;
    X509_set_version(made.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(made.certificate), until);
    X509_set_pubkey(made.certificate, made.key);
    X509_NAME *name = X509_get_subject_name(made.certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1,
                               -1, 0);
    X509_set_issuer_name(made.certificate, X509_get_subject_name(parent));
    add_extension(made.certificate, parent, NID_basic_constraints,
                  issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (names)
        add_extension(made.certificate, parent, NID_subject_alt_name, names);
    cr_assert(
        lt(int, 0, X509_sign(made.certificate, issuer ? issuer->key : made.key, EVP_sha256())));
    return made;
}

void free_cert(struct made_cert *cert)
{
    X509_free(cert->certificate);
    EVP_PKEY_free(cert->key);
    *cert = (struct made_cert){0};
}

static char *text_of(BIO *bio)
{
    char *bytes;
    long size = BIO_get_mem_data(bio, &bytes);
    char *text = malloc((size_t)size + 1);
    memcpy(text, bytes, (size_t)size);
    text[size] = 0;
    BIO_free(bio);
    return text;
}

char *pem_of_key(const struct made_cert *cert, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, cert->key, passphrase ? EVP_aes_128_cbc() : NULL, passphrase,
                                  passphrase ? (int)strlen(passphrase) : 0, NULL, NULL);
    return text_of(bio);
}

char *pem_of_cert(const struct made_cert *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert->certificate);
    return text_of(bio);
}

void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert(ne(ptr, file, NULL), "%s", path);
    fputs(text, file);
    fclose(file);
}

void write_pem(const char *path, const struct made_cert *cert, const char *passphrase,
               bool with_key)
{
    char *key = with_key ? pem_of_key(cert, passphrase) : NULL;
    char *certificate = pem_of_cert(cert);
    FILE *file = fopen(path, "w");
    cr_assert(ne(ptr, file, NULL), "%s", path);
    if (key)
        fputs(key, file);
    fputs(certificate, file);
    fclose(file);
    free(key);
    free(certificate);
}

void write_pkcs12(const char *path, const struct made_cert *cert, const struct made_cert *issuer,
                  const char *password)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    sk_X509_push(chain, issuer->certificate);
    PKCS12 *store =
        PKCS12_create(password, "client", cert->key, cert->certificate, chain, 0, 0, 1000, 1000, 0);
    cr_assert(ne(ptr, store, NULL));
    FILE *file = fopen(path, "w");
    i2d_PKCS12_fp(file, store);
    fclose(file);
    PKCS12_free(store);
    sk_X509_free(chain);
}

void tls_server_open(struct tls_server *server, const struct made_cert *cert)
{
    *server = (struct tls_server){.ctx = SSL_CTX_new(TLS_server_method())};
    if (!cert)
        return;
    SSL_CTX_use_certificate(server->ctx, cert->certificate);
    SSL_CTX_use_PrivateKey(server->ctx, cert->key);
}

void tls_server_begin(struct tls_server *server)
{
    SSL_free(server->ssl);
    server->open = server->failed = false;
    server->ssl = SSL_new(server->ctx);
    server->in = BIO_new(BIO_s_mem());
    server->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(server->in, -1);
    BIO_set_mem_eof_return(server->out, -1);
    SSL_set_bio(server->ssl, server->in, server->out);
    SSL_set_accept_state(server->ssl);
}

void tls_server_step(struct tls_server *server)
{
    if (server->open || server->failed)
        return;
    int done = SSL_do_handshake(server->ssl);
    if (done == 1)
        server->open = true;
    else if (SSL_get_error(server->ssl, done) != SSL_ERROR_WANT_READ)
        server->failed = true;
    ERR_clear_error();
}

void tls_server_close(struct tls_server *server)
{
    SSL_free(server->ssl);
    SSL_CTX_free(server->ctx);
    *server = (struct tls_server){0};
}

#endif
