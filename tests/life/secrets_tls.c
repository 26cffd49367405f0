/*
 * secrets_tls: after a client is closed, its password, its private key and the
 * key's passphrase are nowhere in the process's memory. The broker, and
 * whoever knows them in the clear, is another process; here they are only
 * known with their bits turned.
 */
#include "tests/check.h"

#include <kafiber/broker.h>
#include <kafiber/client.h>
#include <kafiber/fiber.h>
#include <kafiber/messages.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SECRETS = 3,
    SECRET_BYTES = 24,
    TURNED = 0x5a,
    WINDOW = 1 << 20,
    PATIENCE_S = 20,
};

static const char *const names[SECRETS] = {"the password", "the private key", "the passphrase"};

struct told {
    char folder[64];
    unsigned char turned[SECRETS][SECRET_BYTES];
};

/* Their allocators keep what is freed, in mappings of terabytes. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- the other process: it knows ---- */

static void make_secret(char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    FILE *random = fopen("/dev/urandom", "r");
    CHECK(random);
    for (int i = 0; i < SECRET_BYTES; i++)
        text[i] = letters[fgetc(random) % 26];
    text[SECRET_BYTES] = 0;
    fclose(random);
}

static void turn(const char *secret, unsigned char *turned)
{
    for (int i = 0; i < SECRET_BYTES; i++)
        turned[i] = (unsigned char)(secret[i] ^ TURNED);
}

/* The PEM file as the values of two keys; a piece of the private key becomes the secret. */
static void write_identity(FILE *properties, const char *folder, char *piece)
{
    char path[128], line[200];
    snprintf(path, sizeof path, "%s/client.pem", folder);
    FILE *pem = fopen(path, "r");
    CHECK(pem);
    fputs("ssl.keystore.key=", properties);
    for (int number = 0; fgets(line, sizeof line, pem); number++) {
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, "-----BEGIN CERTIFICATE-----") == 0)
            fputs("\nssl.keystore.certificate.chain=", properties);
        if (number == 2) /* the middle: the first line is the same for all keys of this kind */
            snprintf(piece, SECRET_BYTES + 1, "%.*s", SECRET_BYTES, line + 8);
        fprintf(properties, "%s\\n", line);
    }
    fputs("\n", properties);
    fclose(pem);
}

static void write_properties(const struct told *told, const char *bootstrap, char secrets[][32])
{
    char path[128];
    snprintf(path, sizeof path, "%s/secret.properties", told->folder);
    FILE *file = fopen(path, "w");
    CHECK(file);
    fprintf(file,
            "bootstrap.servers=%s\nsecurity.protocol=SASL_SSL\nssl.truststore.location=%s/ca.pem\n"
            "sasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config="
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" "
            "password=\"%s\";\nssl.key.password=%s\n",
            bootstrap, told->folder, secrets[0], secrets[2]);
    write_identity(file, told->folder, secrets[1]);
    CHECK(fclose(file) == 0);
}

static void serve(int to, int until)
{
    static const char *const listener[] = {"SASL_SSL://127.0.0.1:0"};
    struct told told;
    char secrets[SECRETS][32], user[64], keystore[128], truststore[128];
    const char *const users[] = {user};
    memset(&told, 0, sizeof told);
    snprintf(told.folder, sizeof told.folder, "/tmp/kafiber-secrets-%d", (int)getpid());
    CHECK(kf_broker_make_certificates(told.folder, NULL) == KF_OK);
    make_secret(secrets[0]);
    make_secret(secrets[2]);
    snprintf(user, sizeof user, "alice:%s", secrets[0]);
    snprintf(keystore, sizeof keystore, "%s/broker.pem", told.folder);
    snprintf(truststore, sizeof truststore, "%s/ca.pem", told.folder);
    kf_broker_options options = {.size = sizeof options,
                                 .listeners = listener,
                                 .listener_count = 1,
                                 .thread = true,
                                 .tls_keystore = keystore,
                                 .tls_truststore = truststore,
                                 .tls_client_auth = "required",
                                 .sasl = {.users = users, .user_count = 1}};
    kf_error error = KF_ERROR_INIT;
    kf_broker *broker = kf_broker_start(&options, &error);
    kf_error_print(&error, stderr);
    CHECK(broker);
    write_properties(&told, kf_broker_bootstrap(broker), secrets);
    for (int i = 0; i < SECRETS; i++)
        turn(secrets[i], told.turned[i]);
    CHECK(write(to, &told, sizeof told) == sizeof told);
    char byte;
    while (read(until, &byte, 1) < 0 && errno == EINTR)
        ;
    kf_broker_stop(broker);
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", told.folder);
    exit(system(line));
}

/* ---- this process: it forgets ---- */

static int scan(const struct told *told, bool says);

static void use_a_client(const struct told *told)
{
    char path[128];
    kf_error error = KF_ERROR_INIT;
    kf_response response = {0};
    struct kf_metadata_request request;
    snprintf(path, sizeof path, "%s/secret.properties", told->folder);
    kf_config *config = kf_config_new(NULL);
    CHECK(kf_config_load(config, path, &error) == KF_OK);
    kf_client *client = kf_client_new(config, &error);
    kf_reset(&kf_schema_of_metadata_request, &request);
    kf_call(client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request,
            kf_now() + PATIENCE_S * KF_SECOND, &response, &error);
    kf_error_print(&error, stderr);
    CHECK(error.code == KF_OK);
    kf_response_free(&response);
    CHECK(scan(told, false) > 0); /* it can find something */
    kf_client_close(client);
    kf_config_free(config);
}

static bool is_at(const unsigned char *bytes, const unsigned char *turned)
{
    for (int i = 0; i < SECRET_BYTES; i++)
        if ((bytes[i] ^ TURNED) != turned[i])
            return false;
    return true;
}

static int look(const struct told *told, const unsigned char *bytes, size_t size, const char *where)
{
    int found = 0;
    for (size_t at = 0; at + SECRET_BYTES <= size; at++)
        for (int i = 0; i < SECRETS; i++)
            if (is_at(bytes + at, told->turned[i])) {
                if (where)
                    fprintf(stderr, "%s is still there: %s\n", names[i], where);
                found++;
            }
    return found;
}

/* Every mapping that may be written to, but for the window that is looked through. */
static int scan(const struct told *told, bool says)
{
    static unsigned char window[WINDOW];
    char line[512];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r"), *memory = fopen("/proc/self/mem", "r");
    CHECK(maps && memory);
    setvbuf(memory, NULL, _IONBF, 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[8];
        CHECK(sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3);
        if (rights[0] != 'r' || rights[1] != 'w' || strstr(line, "[vvar"))
            continue;
        /* Pieces overlap, so that nothing hides between two. */
        for (unsigned long at = from; at < to; at += WINDOW - SECRET_BYTES) {
            size_t size = to - at < WINDOW ? to - at : WINDOW;
            if ((unsigned long)window < at + size && at < (unsigned long)window + WINDOW)
                continue;
            if (fseek(memory, (long)at, SEEK_SET) == 0)
                found += look(told, window, fread(window, 1, size, memory), says ? line : NULL);
        }
    }
    fclose(maps);
    fclose(memory);
    return found;
}

int main(void)
{
    int told_by[2], until[2];
    struct told told;
    kf_error error = KF_ERROR_INIT;
    char probe[64];
    snprintf(probe, sizeof probe, "/tmp/kafiber-secrets-%d", (int)getpid());
    kf_err built = kf_broker_make_certificates(probe, &error);
    snprintf(probe, sizeof probe, "rm -rf /tmp/kafiber-secrets-%d", (int)getpid());
    CHECK(system(probe) == 0);
    if (built == KF_ERR_NOT_BUILT || SANITIZED) {
        puts("skipped: no TLS in this build, or a sanitizer");
        return 0;
    }
    CHECK(pipe(told_by) == 0 && pipe(until) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(until[1]);
        serve(told_by[1], until[0]);
    }
    close(told_by[1]);
    CHECK(read(told_by[0], &told, sizeof told) == sizeof told);
    use_a_client(&told);
    int found = scan(&told, true);
    close(until[1]);
    int status = 0;
    waitpid(child, &status, 0);
    printf("%d secrets found in memory after close\n", found);
    return found || status ? 1 : 0;
}
