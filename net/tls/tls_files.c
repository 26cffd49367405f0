/*
 * tls_files: keys, certificates and trust out of files and inline texts.
 *
 *   location ─▶ bytes ─▶ PEM │ PKCS#12 │ JKS (an error that says how to convert it)
 *   inline PEM, also with its line breaks lost on the way through a properties file
 *
 * Every sentence names the key and the file, none a byte of what is secret.
 * Runs where it may block: before the loop turns, and on helper threads.
 */
#include "net/tls/tls_inner.h"

#include "proto/bytes/wipe.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum {
    FILE_MAX_BYTES = 4 << 20, /* no store of keys is larger: a mistaken path */
    PEM_LINE = 64,
};

/* Bytes of a file, or of an inline text; owned, wiped when freed. */
struct material {
    const kf_allocator *alloc;
    const char *key;  /* "ssl.keystore.location", for sentences */
    const char *path; /* NULL: inline */
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

static kf_err complain(const struct material *material, kf_error *error, const char *what)
{
    if (material->path)
        return kf_error_set(error, KF_ERR_CONFIG, "%s=%s: %s", material->key, material->path, what);
    return kf_error_set(error, KF_ERR_CONFIG, "%s: %s", material->key, what);
}

static void material_free(struct material *material)
{
    if (material->bytes)
        kf__wipe(material->bytes, material->capacity);
    kf_free(material->alloc, material->bytes);
    material->bytes = NULL;
}

static kf_err read_stream(struct material *material, FILE *stream, kf_error *error)
{
    struct stat stat;
    if (fstat(fileno(stream), &stat) || S_ISDIR(stat.st_mode))
        return complain(material, error, "it is no file");
    if (stat.st_size > FILE_MAX_BYTES)
        return complain(material, error, "it is larger than a store of keys can be");
    material->capacity = (size_t)stat.st_size + 1;
    material->bytes = kf_alloc(material->alloc, material->capacity);
    if (!material->bytes)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory to read %s", material->path);
    material->size = fread(material->bytes, 1, (size_t)stat.st_size, stream);
    return ferror(stream) ? complain(material, error, strerror(errno)) : KF_OK;
}

static kf_err read_file(struct material *material, kf_error *error)
{
    FILE *stream = fopen(material->path, "rbe");
    if (!stream) {
        char text[200];
        snprintf(text, sizeof text, "it can't be read: %s", strerror(errno));
        return complain(material, error, text);
    }
    setvbuf(stream, NULL, _IONBF, 0); /* no copy of a key in a buffer of the C library */
    kf_err err = read_stream(material, stream, error);
    fclose(stream);
    return err;
}

/* ---- PEM ---- */

/*
 * One block, from "-----BEGIN X-----" on, with its lines of 64 again; what
 * follows the block, or NULL. `to` has room for twice the text.
 */
static const char *copy_block(const char *at, char **to)
{
    static const char dashes[] = "-----";
    const char *head_end = strstr(at + sizeof dashes - 1, dashes);
    const char *tail = head_end ? strstr(head_end + sizeof dashes - 1, "-----END") : NULL;
    const char *tail_end = tail ? strstr(tail + sizeof dashes - 1, dashes) : NULL;
    if (!tail_end)
        return NULL;
    char *out = *to;
    const char *body = head_end + sizeof dashes - 1;
    memcpy(out, at, (size_t)(body - at));
    out += body - at;
    *out++ = '\n';
    int column = 0;
    for (; body < tail; body++) {
        if (*body == ' ' || *body == '\t' || *body == '\r')
            continue;
        *out++ = *body;
        if (++column % PEM_LINE == 0)
            *out++ = '\n';
    }
    if (column % PEM_LINE)
        *out++ = '\n';
    tail_end += sizeof dashes - 1;
    memcpy(out, tail, (size_t)(tail_end - tail));
    out += tail_end - tail;
    *out++ = '\n';
    *to = out;
    return tail_end;
}

/* A properties file may join the lines of a PEM text, with spaces or without. */
static kf_err take_inline(struct material *material, const char *text, kf_error *error)
{
    size_t size = strlen(text);
    material->capacity = 2 * size + 8;
    material->bytes = kf_alloc_zero(material->alloc, material->capacity);
    if (!material->bytes)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for %s", material->key);
    if (strchr(text, '\n')) {
        memcpy(material->bytes, text, size);
        material->size = size;
        return KF_OK;
    }
    char *out = (char *)material->bytes;
    for (const char *at = text; at && (at = strstr(at, "-----BEGIN"));)
        at = copy_block(at, &out);
    material->size = (size_t)(out - (char *)material->bytes);
    return KF_OK;
}

struct passphrase {
    const char *text; /* NULL: none is set */
    bool asked;
};

static int give_passphrase(char *room, int size, int writing, void *context)
{
    struct passphrase *passphrase = context;
    (void)writing;
    passphrase->asked = true;
    size_t length = passphrase->text ? strlen(passphrase->text) : 0;
    if (length == 0 || length > (size_t)size)
        return -1;
    memcpy(room, passphrase->text, length);
    return (int)length;
}

static const char *unless_empty(const char *text) { return text && *text ? text : NULL; }

static BIO *bio_of(const struct material *material)
{
    return BIO_new_mem_buf(material->bytes, (int)material->size);
}

static kf_err read_pem_key(const struct material *material, const char *password, EVP_PKEY **key,
                           kf_error *error)
{
    struct passphrase passphrase = {unless_empty(password), false};
    BIO *bio = bio_of(material);
    *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &passphrase) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (*key)
        return KF_OK;
    if (passphrase.asked && !passphrase.text)
        return complain(material, error, "the private key is encrypted: set ssl.key.password");
    if (passphrase.asked)
        return complain(material, error, "ssl.key.password does not open the private key");
    return complain(material, error,
                    "it holds no private key in PEM form (-----BEGIN PRIVATE KEY)");
}

/* All certificates of the text, in order; how many. */
static int read_pem_certificates(const struct material *material, STACK_OF(X509) * all)
{
    BIO *bio = bio_of(material);
    X509 *one;
    while (bio && (one = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)))
        if (!sk_X509_push(all, one))
            X509_free(one);
    BIO_free(bio);
    ERR_clear_error();
    return sk_X509_num(all);
}

/* ---- what a file is ---- */

static enum kf__store form_of(const struct material *material)
{
    static const uint8_t jks[] = {0xfe, 0xed, 0xfe, 0xed}, jceks[] = {0xce, 0xce, 0xce, 0xce};
    if (material->size >= sizeof jks && (memcmp(material->bytes, jks, sizeof jks) == 0 ||
                                         memcmp(material->bytes, jceks, sizeof jceks) == 0))
        return KF__STORE_JKS;
    return material->size && material->bytes[0] == 0x30 ? KF__STORE_PKCS12 : KF__STORE_PEM;
}

static kf_err check_form(const struct material *material, enum kf__store wanted, kf_error *error)
{
    enum kf__store found = form_of(material);
    char text[500];
    if (found == KF__STORE_JKS) {
        snprintf(text, sizeof text,
                 "Java's own JKS form is not read; convert it: keytool -importkeystore "
                 "-srckeystore %.80s -destkeystore store.p12 -deststoretype PKCS12",
                 material->path);
        return complain(material, error, text);
    }
    /* Java reads PKCS#12 where JKS is named, which is its default. */
    if (wanted == KF__STORE_PEM && found != KF__STORE_PEM)
        return complain(material, error, "it is PKCS#12, but its ssl.*.type says PEM");
    if ((wanted == KF__STORE_PKCS12 || wanted == KF__STORE_JKS) && found != KF__STORE_PKCS12)
        return complain(material, error, "it is not PKCS#12, but its ssl.*.type says so");
    return KF_OK;
}

static kf_err read_store(struct material *material, enum kf__store wanted, kf_error *error)
{
    kf_err err = read_file(material, error);
    return err ? err : check_form(material, wanted, error);
}

/* ---- PKCS#12 ---- */

static kf_err parse_pkcs12(const struct material *material, const char *password,
                           const char *password_key, struct kf__tls_identity *identity,
                           kf_error *error)
{
    const unsigned char *at = material->bytes;
    PKCS12 *store = d2i_PKCS12(NULL, &at, (long)material->size);
    char text[300], reason[160];
    kf_err err = KF_OK;
    password = unless_empty(password);
    if (!store) {
        err = complain(material, error, "it is neither PEM nor PKCS#12");
    } else if (!PKCS12_verify_mac(store, password ? password : "", -1) &&
               !(!password && PKCS12_verify_mac(store, NULL, 0))) {
        snprintf(text, sizeof text, password ? "%s does not open it" : "it has a password: set %s",
                 password_key);
        err = complain(material, error, text);
    } else if (!PKCS12_parse(store, password, &identity->key, &identity->certificate,
                             &identity->chain)) {
        snprintf(text, sizeof text,
                 "it can't be opened (%s); files of old programs need: openssl pkcs12 -legacy -in "
                 "OLD -nodes | openssl pkcs12 -export -out NEW",
                 kf__tls_reason(reason, sizeof reason));
        err = complain(material, error, text);
    }
    PKCS12_free(store);
    ERR_clear_error();
    return err;
}

/* ---- identity ---- */

void kf__tls_identity_free(struct kf__tls_identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
    sk_X509_pop_free(identity->chain, X509_free);
    *identity = (struct kf__tls_identity){0};
}

static kf_err take_pem_chain(const struct material *material, struct kf__tls_identity *identity,
                             kf_error *error)
{
    identity->chain = sk_X509_new_null();
    if (!identity->chain)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for a certificate chain");
    if (read_pem_certificates(material, identity->chain) == 0)
        return complain(material, error, "it holds no certificate (-----BEGIN CERTIFICATE)");
    identity->certificate = sk_X509_shift(identity->chain);
    return KF_OK;
}

static kf_err read_inline_identity(const kf_allocator *alloc,
                                   const struct kf__tls_settings *settings,
                                   struct kf__tls_identity *identity, kf_error *error)
{
    if (!unless_empty(settings->keystore_key) || !unless_empty(settings->keystore_chain))
        return kf_error_set(error, KF_ERR_CONFIG,
                            "ssl.keystore.key and ssl.keystore.certificate.chain belong together: "
                            "%s is missing",
                            unless_empty(settings->keystore_key) ? "ssl.keystore.certificate.chain"
                                                                 : "ssl.keystore.key");
    struct material key = {.alloc = alloc, .key = "ssl.keystore.key"};
    struct material chain = {.alloc = alloc, .key = "ssl.keystore.certificate.chain"};
    kf_err err = take_inline(&key, settings->keystore_key, error);
    if (!err)
        err = read_pem_key(&key, settings->key_password, &identity->key, error);
    if (!err)
        err = take_inline(&chain, settings->keystore_chain, error);
    if (!err)
        err = take_pem_chain(&chain, identity, error);
    material_free(&key);
    material_free(&chain);
    return err;
}

static kf_err read_identity_file(const kf_allocator *alloc, const struct kf__tls_settings *settings,
                                 struct kf__tls_identity *identity, kf_error *error)
{
    struct material file = {
        .alloc = alloc, .key = "ssl.keystore.location", .path = settings->keystore_location};
    kf_err err = read_store(&file, settings->keystore_type, error);
    if (!err && form_of(&file) == KF__STORE_PKCS12) {
        err = parse_pkcs12(&file, settings->keystore_password, "ssl.keystore.password", identity,
                           error);
        if (!err && (!identity->key || !identity->certificate))
            err = complain(&file, error, "it holds no private key with its certificate");
    } else if (!err) {
        err = read_pem_key(&file, settings->key_password, &identity->key, error);
        if (!err)
            err = take_pem_chain(&file, identity, error);
    }
    material_free(&file);
    return err;
}

kf_err kf__tls_read_identity(const kf_allocator *alloc, const struct kf__tls_settings *settings,
                             struct kf__tls_identity *identity, kf_error *error)
{
    *identity = (struct kf__tls_identity){0};
    kf_err err = KF_OK;
    bool texts = unless_empty(settings->keystore_key) || unless_empty(settings->keystore_chain);
    if (texts)
        err = read_inline_identity(alloc, settings, identity, error);
    else if (unless_empty(settings->keystore_location))
        err = read_identity_file(alloc, settings, identity, error);
    if (!err && identity->certificate &&
        !X509_check_private_key(identity->certificate, identity->key))
        err = kf_error_set(error, KF_ERR_CONFIG,
                           "%s%s: the private key does not belong to the first certificate of the "
                           "chain",
                           texts ? "ssl.keystore.key" : "ssl.keystore.location=",
                           texts ? "" : settings->keystore_location);
    ERR_clear_error();
    if (err)
        kf__tls_identity_free(identity);
    return err;
}

/* ---- trust ---- */

static kf_err add_all(const struct material *material, STACK_OF(X509) * all, SSL_CTX *ctx,
                      kf_error *error)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    for (int i = 0; i < sk_X509_num(all); i++) {
        X509 *certificate = sk_X509_value(all, i);
        if (!X509_STORE_add_cert(store, certificate))
            return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for trusted certificates");
        /* OpenSSL keeps what the extensions say, from the first look at them on: that is here, and
         * not in several handshakes at once. */
        (void)X509_check_purpose(certificate, -1, 0);
    }
    if (sk_X509_num(all) <= 0) /* PKCS#12 without any leaves no list, which counts as -1 */
        return complain(material, error, "it holds no certificate to trust");
    return KF_OK;
}

static kf_err trust_pem(const struct material *material, SSL_CTX *ctx, kf_error *error)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    if (!all)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for trusted certificates");
    read_pem_certificates(material, all);
    kf_err err = add_all(material, all, ctx, error);
    sk_X509_pop_free(all, X509_free);
    return err;
}

static kf_err trust_pkcs12(const struct material *material, const char *password, SSL_CTX *ctx,
                           kf_error *error)
{
    struct kf__tls_identity all = {0};
    kf_err err = parse_pkcs12(material, password, "ssl.truststore.password", &all, error);
    if (!err && all.certificate && !all.chain)
        all.chain = sk_X509_new_null();
    if (!err && all.certificate && all.chain && sk_X509_push(all.chain, all.certificate))
        all.certificate = NULL;
    if (!err)
        err = add_all(material, all.chain, ctx, error);
    kf__tls_identity_free(&all);
    return err;
}

kf_err kf__tls_read_trust(const kf_allocator *alloc, const struct kf__tls_settings *settings,
                          SSL_CTX *ctx, kf_error *error)
{
    struct material trust = {.alloc = alloc, .key = "ssl.truststore.certificates"};
    kf_err err = KF_OK;
    if (unless_empty(settings->truststore_certificates)) {
        err = take_inline(&trust, settings->truststore_certificates, error);
        if (!err)
            err = trust_pem(&trust, ctx, error);
    } else if (unless_empty(settings->truststore_location)) {
        trust.key = "ssl.truststore.location";
        trust.path = settings->truststore_location;
        err = read_store(&trust, settings->truststore_type, error);
        if (!err && form_of(&trust) == KF__STORE_PKCS12)
            err = trust_pkcs12(&trust, settings->truststore_password, ctx, error);
        else if (!err)
            err = trust_pem(&trust, ctx, error);
    } else if (!SSL_CTX_set_default_verify_paths(ctx)) {
        err = kf_error_set(error, KF_ERR_CONFIG,
                           "the system's trust store can't be read: set ssl.truststore.location");
    }
    ERR_clear_error();
    material_free(&trust);
    return err;
}
