/* What kf_broker_make_certificates writes, as strict clients look at it (RFC 5280). */
#ifdef KAFIBER_WITH_OPENSSL
#include <kafiber/broker.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void begin(void)
{
    kf_error error = KF_ERROR_INIT;
    snprintf(folder, sizeof folder, "/tmp/kafiber-certificates-%d", (int)getpid());
    cr_assert(eq(int, kf_broker_make_certificates(folder, &error), KF_OK), "%s", error.text);
}

static void end(void)
{
    char line[96];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    cr_expect(eq(int, system(line), 0));
}

TestSuite(certificates, .init = begin, .fini = end, .timeout = 60);

static X509 *read_certificate(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    cr_assert(ne(ptr, file, NULL), "%s", path);
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    return certificate;
}

static void holds(const char *name, const char *host)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509 *authority = read_certificate("ca.pem"), *certificate = read_certificate(name);
    X509_STORE_add_cert(store, authority);
    X509_STORE_CTX_init(context, store, certificate, NULL);
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
    if (host)
        X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(context), host, 0);
    cr_expect(eq(int, X509_verify_cert(context), 1), "%s: %s", name,
              X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    X509_free(authority);
    X509_free(certificate);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
}

Test(certificates, hold_for_those_who_look_strictly)
{
    holds("broker.pem", "localhost");
    holds("client.pem", NULL);
}

Test(certificates, have_keys_that_nobody_else_can_read)
{
    static const char *const names[] = {"broker.pem", "client.pem", "client.properties"};
    for (int i = 0; i < 3; i++) {
        char path[128];
        struct stat stat_;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        cr_assert(eq(int, stat(path, &stat_), 0));
        cr_expect(eq(int, (int)(stat_.st_mode & 0777), 0600), "%s", names[i]);
    }
}

#endif
