/* Several listeners, certificates, and who a client is. */
#include "tools/broker/security/principal.h"
#include "tools/broker/server/listeners.h"
#include <kafiber/broker.h>
#include <kafiber/client.h>
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], keystore[96], truststore[96], client_pem[96];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/kafiber-listeners-%d", (int)getpid());
    snprintf(keystore, sizeof keystore, "%s/broker.pem", folder);
    snprintf(truststore, sizeof truststore, "%s/ca.pem", folder);
    snprintf(client_pem, sizeof client_pem, "%s/client.pem", folder);
}

static void drop_folder(void)
{
    char line[96];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    cr_expect(eq(int, system(line), 0));
}

TestSuite(listeners, .init = make_folder, .fini = drop_folder, .timeout = 60);

/* ---- what a listener may be ---- */

static void is_refused(const char *listener, const char *part)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {
        .size = sizeof options, .listeners = &listener, .listener_count = 1};
    kf_broker *broker = kf_broker_start(&options, &error);
    cr_expect(eq(ptr, broker, NULL));
    cr_expect(ne(ptr, strstr(error.text, part), NULL), "\"%s\" is not in \"%s\"", part, error.text);
    kf_broker_stop(broker);
}

Test(listeners, what_is_none_is_refused_in_a_sentence)
{
    is_refused("127.0.0.1:0", "[NAME=]PROTOCOL://HOST:PORT is expected");
    is_refused("TLS://127.0.0.1:0", "the protocol one of PLAINTEXT, SSL");
    is_refused("SSL://127.0.0.1", "[NAME=]PROTOCOL://HOST:PORT is expected");
    is_refused("=SSL://127.0.0.1:0", "[NAME=]PROTOCOL://HOST:PORT is expected");
#ifdef KAFIBER_WITH_OPENSSL
    is_refused("SSL://127.0.0.1:0", "a TLS listener needs a certificate");
#else
    is_refused("SSL://127.0.0.1:0", "this build has no OpenSSL");
#endif
}

Test(listeners, each_client_hears_of_the_listener_that_it_came_by)
{
    const char *const both[] = {"IN=PLAINTEXT://127.0.0.1:0", "OUT=PLAINTEXT://localhost:0"};
    kf_broker_options options = {
        .size = sizeof options, .listeners = both, .listener_count = 2, .nodes = 2, .thread = true};
    kf_broker *broker = kf_broker_start(&options, NULL);
    cr_assert(ne(ptr, broker, NULL));
    cr_expect(
        eq(str, (char *)kf_broker_bootstrap(broker), (char *)kf_broker_listener(broker, "IN")));
    cr_expect(eq(ptr, (void *)kf_broker_listener(broker, "PLAINTEXT"), NULL));
    for (int i = 0; i < 2; i++) {
        const char *addresses = kf_broker_listener(broker, i ? "OUT" : "IN");
        kf_config *config = kf_config_new(NULL);
        kf_config_set(config, "bootstrap.servers", addresses, NULL);
        kf_client *client = kf_client_new(config, NULL);
        struct kf_metadata_request request;
        kf_response response = {0};
        char told[128] = "";
        kf_reset(&kf_schema_of_metadata_request, &request);
        cr_assert(eq(int,
                     kf_call(client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request,
                             kf_now() + 20 * KF_SECOND, &response, NULL),
                     KF_OK));
        const struct kf_metadata_response *message = response.message;
        for (int32_t node = 0; node < message->brokers.count; node++) {
            const struct kf_metadata_response_broker *one = &message->brokers.items[node];
            size_t used = strlen(told);
            snprintf(told + used, sizeof told - used, "%s%.*s:%d", node ? "," : "",
                     (int)one->host.size, one->host.data, (int)one->port);
        }
        cr_expect(eq(str, told, (char *)addresses));
        kf_response_free(&response);
        kf_client_close(client);
        kf_config_free(config);
    }
    kf_broker_stop(broker);
}

/* ---- principals ---- */

static void maps(const char *rules_text, const char *subject, const char *wanted)
{
    struct kf__principal_rules rules;
    char principal[KF__PRINCIPAL_BYTES] = "";
    cr_assert(eq(int, kf__principal_rules_read(&rules, rules_text, NULL), KF_OK), "%s", rules_text);
    bool found = kf__principal_of(&rules, subject, principal, sizeof principal);
    cr_expect(eq(int, found, wanted != NULL));
    if (wanted)
        cr_expect(eq(str, principal, (char *)wanted));
    kf__principal_rules_free(&rules);
}

/* The examples of KIP-371 and of Kafka's own documentation. */
Test(listeners, subjects_are_mapped_as_kafka_maps_them)
{
    static const char rules[] = "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/,"
                                "RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L,"
                                "RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L,DEFAULT";
    maps(rules, "CN=serviceuser,OU=ServiceUsers,O=Unknown,L=Unknown,ST=Unknown,C=Unknown",
         "User:serviceuser");
    maps(rules, "CN=adminUser,OU=Admin,O=Unknown,L=Unknown,ST=Unknown,C=Unknown",
         "User:adminuser@admin");
    maps(rules, "O=x,cn=Some.One,C=y", "User:some.one");
    maps(rules, "OU=nobody", "User:OU=nobody");
    maps(NULL, "CN=client", "User:CN=client");
    maps("RULE:^CN=([^,]*)$/$1/U", "CN=client", "User:CLIENT");
    maps("RULE:^CN=([^,]*)$/$1/", "CN=a,OU=b", NULL);
    maps("RULE:^CN=a\\/b$/x/", "CN=a/b", "User:x");
}

Test(listeners, rules_that_make_no_sense_are_refused)
{
    static const char *const bad[] = {"RULE:^CN=(.*$/$1/", "RULE:^a$", "RULE:^a$/b/X", "DEFAULTS",
                                      "x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct kf__principal_rules rules;
        kf_error error = KF_ERROR_INIT;
        cr_expect(
            eq(int, kf__principal_rules_read(&rules, bad[i], &error), KF_ERR_INVALID_ARGUMENT),
            "%s", bad[i]);
    }
}

/* The list ends where the memory does: one rule too many is a crash. */
Test(listeners, nonsense_in_the_last_rule_that_has_room_is_refused)
{
    char text[KF__MAX_PRINCIPAL_RULES * 16] = "";
    struct kf__principal_rules *rules;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (sizeof *rules / page + 1) * page;
    char *pages = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    cr_assert(ne(ptr, pages, MAP_FAILED));
    cr_assert(eq(int, mprotect(pages + size, page, PROT_NONE), 0));
    rules = (void *)(pages + size - sizeof *rules);
    for (int i = 0; i < KF__MAX_PRINCIPAL_RULES; i++)
        strcat(text, i + 1 < KF__MAX_PRINCIPAL_RULES ? "RULE:^a$/b/," : "RULE:^a$/b/X");
    cr_assert(eq(int, kf__principal_rules_read(rules, text, NULL), KF_ERR_INVALID_ARGUMENT));
    munmap(pages, size + page);
}

/* ---- TLS ---- */

#ifdef KAFIBER_WITH_OPENSSL

static kf_broker *start_tls(const char *client_auth, const char *rules)
{
    static const char *const listener[] = {"SSL://127.0.0.1:0"};
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options,
                                 .listeners = listener,
                                 .listener_count = 1,
                                 .thread = true,
                                 .tls_keystore = keystore,
                                 .tls_truststore = truststore,
                                 .tls_client_auth = client_auth,
                                 .principal_mapping_rules = rules};
    cr_assert(eq(int, kf_broker_make_certificates(folder, &error), KF_OK), "%s", error.text);
    kf_broker *broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    return broker;
}

static void ignore_log(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

static kf_err reach_within(kf_broker *broker, kf_time patience, bool with_certificate,
                           kf_error *error)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), NULL);
    kf_config_set(config, "ssl.truststore.location", truststore, NULL);
    if (with_certificate)
        kf_config_set(config, "ssl.keystore.location", client_pem, NULL);
    kf_config_log(config, KF_LOG_ERROR, ignore_log, NULL);
    kf_client *client = kf_client_new(config, error);
    struct kf_metadata_request request;
    kf_response response = {0};
    kf_reset(&kf_schema_of_metadata_request, &request);
    kf_err err = kf_call(client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request,
                         kf_now() + patience, &response, error);
    kf_response_free(&response);
    kf_client_close(client);
    kf_config_free(config);
    return err;
}

static kf_err reach(kf_broker *broker, bool with_certificate, kf_error *error)
{
    return reach_within(broker, 20 * KF_SECOND, with_certificate, error);
}

Test(listeners, a_test_authority_is_one_call_and_stays)
{
    struct stat before, after;
    kf_broker *broker = start_tls(NULL, NULL);
    cr_expect(eq(int, reach(broker, false, NULL), KF_OK));
    stat(truststore, &before);
    cr_expect(eq(int, (int)(before.st_mode & 0777), 0600));
    cr_expect(eq(int, kf_broker_make_certificates(folder, NULL), KF_OK));
    stat(truststore, &after);
    cr_expect(eq(i64, (int64_t)before.st_ino, (int64_t)after.st_ino));
    kf_broker_stop(broker);
}

Test(listeners, a_certificate_is_required_where_that_is_asked)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker *broker = start_tls("required", NULL);
    cr_expect(eq(int, reach(broker, false, &error), KF_ERR_TLS_CERTIFICATE_REQUIRED), "%s",
              error.text);
    cr_expect(eq(int, reach(broker, true, NULL), KF_OK));
    kf_broker_stop(broker);
    broker = start_tls("requested", NULL);
    cr_expect(eq(int, reach(broker, false, NULL), KF_OK));
    kf_broker_stop(broker);
}

Test(listeners, a_subject_that_no_rule_maps_is_turned_away)
{
    kf_broker *broker = start_tls("required", "RULE:^CN=boss$/$0/");
    cr_expect(ne(int, reach_within(broker, 2 * KF_SECOND, true, NULL), KF_OK));
    kf_broker_stop(broker);
    broker = start_tls("required", "RULE:^CN=(.*)$/$1/");
    cr_expect(eq(int, reach(broker, true, NULL), KF_OK));
    kf_broker_stop(broker);
}

#endif
