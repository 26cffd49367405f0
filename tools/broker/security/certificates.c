/*
 * certificates: a certificate authority for tests, and what it signs.
 *
 *   DIR/ca.pem              the authority's certificate: what clients trust
 *   DIR/broker.pem          key and certificate for localhost and this host
 *   DIR/client.pem          key and certificate of CN=client
 *   DIR/client.properties   a client's settings that use them
 *
 * The authority's own key is thrown away: nobody can sign more with it.
 */
#include <kafiber/broker.h>

#ifdef KAFIBER_WITH_OPENSSL

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DAYS = 825, /* the most that some clients take from any authority */
    DAY_SECONDS = 86400,
    PATH_BYTES = 512,
};

struct pair {
    X509 *certificate;
    EVP_PKEY *key;
};

static bool extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool done = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return done;
}

static bool set_names(X509 *certificate, X509 *issuer, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                      -1, -1, 0) &&
           X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
}

static bool set_serial(X509 *certificate)
{
    uint64_t number = 0;
    return RAND_bytes((unsigned char *)&number, (int)sizeof number) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), number >> 1);
}

/* issuer NULL: the authority itself. names: its subjectAltName, or NULL. */
static bool make(struct pair *made, const char *common_name, const char *names,
                 const struct pair *issuer)
{
    made->certificate = X509_new();
    made->key = EVP_EC_gen("P-256");
    if (!made->certificate || !made->key)
        return false;
    X509 *parent = issuer ? issuer->certificate : made->certificate;
    return X509_set_version(made->certificate, 2) && set_serial(made->certificate) &&
           X509_gmtime_adj(X509_getm_notBefore(made->certificate), -DAY_SECONDS) &&
           X509_gmtime_adj(X509_getm_notAfter(made->certificate), (long)DAYS * DAY_SECONDS) &&
           X509_set_pubkey(made->certificate, made->key) &&
           set_names(made->certificate, parent, common_name) &&
           extend(made->certificate, parent, NID_basic_constraints,
                  issuer ? "critical,CA:FALSE" : "critical,CA:TRUE") &&
           extend(made->certificate, parent, NID_subject_key_identifier, "hash") &&
           (issuer ||
            extend(made->certificate, parent, NID_key_usage, "critical,keyCertSign,cRLSign")) &&
           (!issuer ||
            extend(made->certificate, parent, NID_authority_key_identifier, "keyid:always")) &&
           (!issuer ||
            extend(made->certificate, parent, NID_ext_key_usage, "serverAuth,clientAuth")) &&
           (!names || extend(made->certificate, parent, NID_subject_alt_name, names)) &&
           X509_sign(made->certificate, issuer ? issuer->key : made->key, EVP_sha256()) > 0;
}

static void release(struct pair *pair)
{
    X509_free(pair->certificate);
    EVP_PKEY_free(pair->key);
}

static kf_err complain(const char *path, kf_error *error)
{
    return kf_error_set(error, KF_ERR_SYSTEM, "cannot write %s: %s", path, strerror(errno));
}

/* Readable by nobody else: a key is in it, or names of files that hold one. */
static FILE *create(const char *directory, const char *name, char *path)
{
    snprintf(path, PATH_BYTES, "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 ? NULL : fdopen(fd, "w");
}

static kf_err save(const char *directory, const char *name, const struct pair *pair, bool with_key,
                   kf_error *error)
{
    char path[PATH_BYTES];
    FILE *file = create(directory, name, path);
    if (!file)
        return complain(path, error);
    bool good =
        !with_key || PEM_write_PKCS8PrivateKey(file, pair->key, NULL, NULL, 0, NULL, NULL) == 1;
    good &= PEM_write_X509(file, pair->certificate) == 1;
    good &= fclose(file) == 0;
    return good ? KF_OK : complain(path, error);
}

static kf_err save_properties(const char *directory, kf_error *error)
{
    char path[PATH_BYTES], *whole = realpath(directory, NULL);
    FILE *file = create(directory, "client.properties", path);
    if (file)
        fprintf(file,
                "security.protocol=SSL\n"
                "ssl.truststore.type=PEM\n"
                "ssl.truststore.location=%s/ca.pem\n"
                "ssl.keystore.type=PEM\n"
                "ssl.keystore.location=%s/client.pem\n",
                whole ? whole : directory, whole ? whole : directory);
    free(whole);
    return file && fclose(file) == 0 ? KF_OK : complain(path, error);
}

static kf_err save_all(const char *directory, const struct pair *authority,
                       const struct pair *broker, const struct pair *client, kf_error *error)
{
    kf_err err = save(directory, "broker.pem", broker, true, error);
    if (!err)
        err = save(directory, "client.pem", client, true, error);
    if (!err)
        err = save_properties(directory, error);
    /* The last one: where it stands, all do. */
    return err ? err : save(directory, "ca.pem", authority, false, error);
}

static bool stands(const char *directory)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/ca.pem", directory);
    return access(path, R_OK) == 0;
}

kf_err kf_broker_make_certificates(const char *directory, kf_error *error)
{
    struct pair authority = {0}, broker = {0}, client = {0};
    char host[256] = "localhost", names[400];
    if (mkdir(directory, 0700) && errno != EEXIST)
        return complain(directory, error);
    if (stands(directory))
        return KF_OK;
    gethostname(host, sizeof host - 1);
    snprintf(names, sizeof names, "DNS:localhost,DNS:%s,IP:127.0.0.1,IP:::1", host);
    bool made = make(&authority, "kafiber test authority", NULL, NULL) &&
                make(&broker, "broker", names, &authority) &&
                make(&client, "client", NULL, &authority);
    kf_err err = made ? save_all(directory, &authority, &broker, &client, error)
                      : kf_error_set(error, KF_ERR_SYSTEM, "OpenSSL could make no certificates");
    release(&authority);
    release(&broker);
    release(&client);
    return err;
}

#else

kf_err kf_broker_make_certificates(const char *directory, kf_error *error)
{
    return kf_error_set(error, KF_ERR_NOT_BUILT,
                        "no certificates can be made in %s: this build has no OpenSSL", directory);
}

#endif
