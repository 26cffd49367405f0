/* The embedded broker's end of SASL: sessions on their own, and clients of ours against it. */
#include "tools/broker/security/sasl_server.h"

#include "net/sasl/base64.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <inttypes.h>
#include <kafiber/client.h>
#include <kafiber/messages.h>
#include <kafiber/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct kf__sasl_server server;
static struct kf__session session;
static struct kf__sasl_answer answer;
static kf_time now = 1000 * KF_SECOND;
static const int64_t wall = 1700000000000;

static void open_server(const kf_broker_sasl *options)
{
    static const char *const users[] = {"alice:secret", "bob:pa:ss"};
    kf_broker_sasl all = *options;
    all.users = users;
    all.user_count = 2;
    cr_assert(eq(int, kf__sasl_server_open(&server, &kf_default_allocator, &all, NULL), KF_OK));
}

static void end(void)
{
    kf__session_free(&session, &server);
    kf__sasl_server_close(&server);
}

TestSuite(sasl_session, .fini = end);

static kf_err shake(const char *mechanism)
{
    return kf__session_handshake(&session, &server, true, 1, kf__text(mechanism), now);
}

static kf_err say(const char *bytes, size_t size)
{
    kf__session_step(&session, &server, (kf_bytes){(const uint8_t *)bytes, size}, now, wall,
                     &answer);
    return answer.err;
}

static bool allows(int16_t api) { return kf__session_allows(&session, true, api, now); }

Test(sasl_session, lets_nobody_in_before_he_has_said_who_he_is)
{
    open_server(&(kf_broker_sasl){0});
    cr_assert(allows(KF_API_API_VERSIONS));
    cr_assert(allows(KF_API_SASL_HANDSHAKE));
    cr_assert(not(allows(KF_API_SASL_AUTHENTICATE)));
    cr_assert(not(allows(KF_API_METADATA)));
    cr_assert(eq(int, shake("PLAIN"), KF_OK));
    cr_assert(not(allows(KF_API_METADATA)));
    cr_assert(allows(KF_API_SASL_AUTHENTICATE));
    cr_assert(eq(int, say("\0bob\0pa:ss", 10), KF_OK));
    cr_assert(eq(str, session.principal, "User:bob"));
    cr_assert(allows(KF_API_METADATA));
    cr_assert(eq(i64, session.lifetime_ms, 0));
}

static void plain_fails(const char *bytes, size_t size, const char *reason)
{
    kf__session_free(&session, &server);
    cr_assert(eq(int, shake("PLAIN"), KF_OK));
    cr_assert(eq(int, say(bytes, size), KF_ERR_SASL_AUTHENTICATION_FAILED));
    cr_assert(eq(str, answer.reason, (char *)reason));
    cr_assert(eq(int, session.state, KF__SESSION_OUT));
    cr_assert(not(allows(KF_API_API_VERSIONS)));
    cr_assert(eq(str, session.principal, ""));
}

Test(sasl_session, refuses_in_kafkas_words)
{
    static const char tokens[] = "Authentication failed: Invalid SASL/PLAIN response: expected 3 "
                                 "tokens";
    static const char wrong[] = "Authentication failed: Invalid username or password";
    open_server(&(kf_broker_sasl){0});
    plain_fails("\0bob\0wrong", 10, wrong);
    plain_fails("\0nobody\0x", 9, wrong);
    plain_fails("\0bob\0pa:s", 9, wrong);
    plain_fails(
        "eve\0bob\0pa:ss", 13,
        "Authentication failed: Client requested an authorization id that is different from "
        "username");
    plain_fails("", 0, tokens);
    plain_fails("\0bob\0", 5, tokens);
    plain_fails("bob", 3, tokens);
    plain_fails("\0bob\0pa:ss\0", 11, tokens);
}

Test(sasl_session, ends_after_an_unknown_mechanism)
{
    open_server(&(kf_broker_sasl){.mechanisms = "PLAIN"});
    cr_assert(eq(int, shake("SCRAM-SHA-256"), KF_ERR_UNSUPPORTED_SASL_MECHANISM));
    cr_assert(eq(int, session.state, KF__SESSION_OUT));
}

Test(sasl_session, is_told_that_a_plaintext_listener_has_no_sasl)
{
    open_server(&(kf_broker_sasl){0});
    cr_assert(eq(int, kf__session_handshake(&session, &server, false, 1, kf__text("PLAIN"), now),
                 KF_ERR_ILLEGAL_SASL_STATE));
    cr_assert(kf__session_allows(&session, false, KF_API_METADATA, now));
}

static void become_bob(int64_t max_reauth_ms)
{
    open_server(&(kf_broker_sasl){.max_reauth_ms = max_reauth_ms});
    shake("PLAIN");
    cr_assert(eq(int, say("\0bob\0pa:ss", 10), KF_OK));
}

Test(sasl_session, ends_with_its_life_unless_renewed)
{
    become_bob(3000);
    cr_assert(eq(i64, session.lifetime_ms, 3000));
    now += 2999 * KF_MILLISECOND;
    cr_assert(allows(KF_API_METADATA));
    now += KF_MILLISECOND;
    cr_assert(not(allows(KF_API_METADATA)));
    cr_assert(allows(KF_API_SASL_HANDSHAKE));
    cr_assert(eq(int, shake("PLAIN"), KF_OK));
    cr_assert(eq(int, say("\0bob\0pa:ss", 10), KF_OK));
    cr_assert(allows(KF_API_METADATA));
}

Test(sasl_session, takes_a_second_renewal_within_a_second_for_an_ordinary_request)
{
    become_bob(3000);
    cr_assert(eq(int, shake("PLAIN"), KF_OK));
    cr_assert(eq(int, say("\0bob\0pa:ss", 10), KF_OK));
    now += 999 * KF_MILLISECOND;
    cr_assert(eq(int, shake("PLAIN"), KF_ERR_ILLEGAL_SASL_STATE));
    cr_assert(allows(KF_API_METADATA));
    now += KF_MILLISECOND;
    cr_assert(eq(int, shake("PLAIN"), KF_OK));
}

Test(sasl_session, must_stay_who_it_was)
{
    become_bob(3000);
    now += 2 * KF_SECOND;
    cr_assert(eq(int, shake("PLAIN"), KF_OK));
    cr_assert(eq(int, say("\0alice\0secret", 13), KF_ERR_SASL_AUTHENTICATION_FAILED));
    cr_assert(eq(str, answer.reason, "Cannot change principals during re-authentication"));
}

Test(sasl_session, is_told_when_it_authenticates_without_need)
{
    become_bob(0);
    cr_assert(eq(int, say("\0bob\0pa:ss", 10), KF_ERR_ILLEGAL_SASL_STATE));
    cr_assert(allows(KF_API_METADATA));
}

/* ---- SCRAM: the client's machine against the server's ---- */

#ifdef KAFIBER_WITH_OPENSSL

static kf_err converse(enum kf__digest digest, const char *user, const char *password)
{
    struct kf__scram_login login = {.digest = digest, .user = user, .password = password};
    struct kf__scram *client = NULL;
    kf_bytes in = {0}, out;
    bool done = false;
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf__scram_new(&kf_default_allocator, &login, &client), KF_OK));
    cr_assert(eq(int, shake(digest == KF__SHA256 ? "SCRAM-SHA-256" : "SCRAM-SHA-512"), KF_OK));
    kf_err err = KF_OK;
    while (!err && !done) {
        err = kf__scram_step(client, in, &out, &done, &error);
        if (!err && !done)
            err = say((const char *)out.data, out.size);
        in = answer.bytes;
    }
    kf__scram_free(client);
    return err;
}

Test(sasl_session, proves_to_a_scram_client_that_it_knows_the_password)
{
    open_server(&(kf_broker_sasl){0});
    cr_assert(eq(int, converse(KF__SHA256, "alice", "secret"), KF_OK));
    cr_assert(eq(str, session.principal, "User:alice"));
    kf__session_free(&session, &server);
    cr_assert(eq(int, converse(KF__SHA512, "alice", "secret"), KF_OK));
    kf__session_free(&session, &server);
    cr_assert(eq(int, converse(KF__SHA512, "alice", "Secret"), KF_ERR_SASL_AUTHENTICATION_FAILED));
    cr_assert(eq(str, answer.reason,
                 "Authentication failed during authentication due to invalid credentials with SASL "
                 "mechanism SCRAM-SHA-512"));
}

Test(sasl_session, may_renew_itself_by_scram)
{
    open_server(&(kf_broker_sasl){.max_reauth_ms = 3000});
    for (int i = 0; i < 3; i++, now += 2 * KF_SECOND) {
        cr_assert(eq(int, converse(KF__SHA256, "alice", "secret"), KF_OK));
        cr_assert(eq(i64, session.lifetime_ms, 3000));
    }
    cr_assert(eq(int, converse(KF__SHA512, "alice", "secret"), KF_ERR_SASL_AUTHENTICATION_FAILED));
    cr_assert(eq(str, answer.reason,
                 "Cannot change SASL mechanism from SCRAM-SHA-256 to SCRAM-SHA-512 during "
                 "re-authentication"));
}

/* As AlterUserScramCredentials brings it: no password, and only one digest. */
Test(sasl_session, believes_a_user_of_whom_it_only_keeps_scrams_keys)
{
    uint8_t salted[64];
    kf_bytes salt = {(const uint8_t *)"saltsalt", 8};
    open_server(&(kf_broker_sasl){0});
    kf__pbkdf2(KF__SHA256, (kf_bytes){(const uint8_t *)"pw", 2}, salt, 8192, salted);
    cr_assert(eq(int,
                 kf__users_set_scram(&server.users, kf__text("carol"), KF__SHA256, 8192, salt,
                                     (kf_bytes){salted, 32}),
                 KF_OK));
    cr_assert(eq(int, converse(KF__SHA256, "carol", "pw"), KF_OK));
    kf__session_free(&session, &server);
    cr_assert(eq(int, converse(KF__SHA512, "carol", "pw"), KF_ERR_SASL_AUTHENTICATION_FAILED));
    kf__session_free(&session, &server);
    plain_fails("\0carol\0pw", 9, "Authentication failed: Invalid username or password");
    cr_assert(eq(int, kf__users_remove_scram(&server.users, kf__text("carol"), KF__SHA256), KF_OK));
    kf__session_free(&session, &server);
    cr_assert(eq(int, converse(KF__SHA256, "carol", "pw"), KF_ERR_SASL_AUTHENTICATION_FAILED));
    cr_assert(eq(int, kf__users_remove_scram(&server.users, kf__text("carol"), KF__SHA256),
                 KF_ERR_RESOURCE_NOT_FOUND));
}

static void scram_fails(const char *first, const char *reason)
{
    kf__session_free(&session, &server);
    shake("SCRAM-SHA-256");
    cr_assert(eq(int, say(first, strlen(first)), KF_ERR_SASL_AUTHENTICATION_FAILED));
    cr_assert(strstr(answer.reason, reason) != NULL, "got: %s", answer.reason);
}

Test(sasl_session, refuses_first_messages_that_break_scrams_rules)
{
    open_server(&(kf_broker_sasl){0});
    scram_fails("", "Invalid SCRAM message");
    scram_fails("n", "first message");
    scram_fails("y,,n=alice,r=abcdefgh", "first message");
    scram_fails("p=tls-unique,,n=alice,r=abcdefgh", "first message");
    scram_fails("n,,n=,r=abcdefgh", "first message");
    scram_fails("n,,n=al=ice,r=abcdefgh", "first message");
    scram_fails("n,,n=alice", "first message");
    scram_fails("n,,n=alice,r=short", "first message");
    scram_fails("n,a=bob,n=alice,r=abcdefgh", "authorization id");
    scram_fails("n,,n=nobody,r=abcdefgh", "invalid credentials");
}

/* The message ends where the memory does: reading on is a crash. */
Test(sasl_session, does_not_read_beyond_an_authorization_id_of_one_byte)
{
    static const char first[] = "n,a,x";
    size_t size = sizeof first - 1, page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    cr_assert(ne(ptr, pages, MAP_FAILED));
    cr_assert(eq(int, mprotect(pages + page, page, PROT_NONE), 0));
    memcpy(pages + page - size, first, size);
    open_server(&(kf_broker_sasl){0});
    shake("SCRAM-SHA-256");
    cr_assert(eq(int, say(pages + page - size, size), KF_ERR_SASL_AUTHENTICATION_FAILED));
    munmap(pages, 2 * page);
}

/* librdkafka before 2.13 sent its own nonce twice; Kafka refuses that too. */
Test(sasl_session, refuses_another_nonce_in_the_last_message)
{
    open_server(&(kf_broker_sasl){0});
    shake("SCRAM-SHA-256");
    cr_assert(eq(int, say("n,,n=alice,r=abcdefgh", 21), KF_OK));
    static const char last[] = "c=biws,r=abcdefghabcdefgh,p=AAAA";
    cr_assert(eq(int, say(last, sizeof last - 1), KF_ERR_SASL_AUTHENTICATION_FAILED));
}

#endif

/* ---- OAUTHBEARER ---- */

static char message[4096];

static size_t present(const char *header, const char *claims, const char *signature)
{
    char *at = message + sprintf(message, "n,,%cauth=Bearer ", 1);
    at += kf__base64url_write(header, strlen(header), at);
    *at++ = '.';
    at += kf__base64url_write(claims, strlen(claims), at);
    at += sprintf(at, ".%s%c%c", signature, 1, 1);
    return (size_t)(at - message);
}

static void token_fails(size_t size)
{
    kf__session_free(&session, &server);
    shake("OAUTHBEARER");
    cr_assert(eq(int, say(message, size), KF_OK));
    cr_assert(eq(int, memcmp(answer.bytes.data, "{\"status\":\"invalid_token\"}", 26), 0));
    cr_assert(eq(int, session.state, KF__SESSION_CHOSEN));
    cr_assert(eq(int, say("\1", 1), KF_ERR_SASL_AUTHENTICATION_FAILED));
}

Test(sasl_session, believes_unsecured_tokens_only_where_told)
{
    const char *claims = "{\"sub\":\"alice\",\"exp\":1700000600}";
    open_server(&(kf_broker_sasl){.mechanisms = "OAUTHBEARER"});
    token_fails(present("{\"alg\":\"none\"}", claims, ""));
    end();
    open_server(&(kf_broker_sasl){.unsecured_tokens = true});
    shake("OAUTHBEARER");
    cr_assert(eq(int, say(message, present("{\"alg\":\"none\"}", claims, "")), KF_OK));
    cr_assert(eq(str, session.principal, "User:alice"));
    cr_assert(eq(i64, session.lifetime_ms, 600000)); /* the token's */
}

Test(sasl_session, refuses_tokens_that_have_ended_or_name_nobody)
{
    open_server(&(kf_broker_sasl){.unsecured_tokens = true});
    token_fails(present("{\"alg\":\"none\"}", "{\"sub\":\"alice\",\"exp\":1699999900}", ""));
    token_fails(present("{\"alg\":\"none\"}", "{\"sub\":\"alice\"}", ""));
    token_fails(present("{\"alg\":\"none\"}", "{\"exp\":1700000600}", ""));
    token_fails(
        present("{\"alg\":\"none\"}", "{\"sub\":\"a\",\"exp\":1700000600,\"nbf\":1700000300}", ""));
    token_fails(present("{\"alg\":\"none\"}", "{\"sub\":\"a\",\"exp\":1700000600}", "AAAA"));
    token_fails(present("{\"alg\":\"HS256\"}", "{\"sub\":\"a\",\"exp\":1700000600}", "AAAA"));
}

Test(sasl_session, refuses_messages_that_are_none_of_oauthbearers)
{
    static const char *const bad[] = {"",
                                      "n,,",
                                      "n,,\1\1",
                                      "n,,\1auth=Basic x\1\1",
                                      "n,,\1auth=Bearer x\1",
                                      "auth=Bearer x\1\1",
                                      "n,,\1x\1\1"};
    open_server(&(kf_broker_sasl){.unsecured_tokens = true});
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kf__session_free(&session, &server);
        shake("OAUTHBEARER");
        cr_assert(eq(int, say(bad[i], strlen(bad[i])), KF_ERR_SASL_AUTHENTICATION_FAILED), "%zu",
                  i);
    }
}

#ifdef KAFIBER_WITH_OPENSSL

/* Keys and tokens made with another implementation (Python's cryptography), not secrets. */
#include "tests/broker/tokens.h"

static void believes(const char *key, const char *token)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/kafiber-token-key-%d.pem", (int)getpid());
    FILE *file = fopen(path, "w");
    fputs(key, file);
    fclose(file);
    kf_error error = KF_ERROR_INIT;
    struct kf__token_rules rules;
    cr_assert(eq(int, kf__token_rules_open(&rules, path, false, &error), KF_OK), "%s", error.text);
    unlink(path);
    struct kf__jwt jwt;
    kf_arena arena;
    kf_arena_init(&arena, &kf_default_allocator, 1 << 20);
    cr_assert(eq(int, kf__token_check(&rules, &arena, kf__text(token), wall, &jwt), KF_OK));

    /* One letter of the claims, or of the signature, and it is not. */
    char forged[2048];
    snprintf(forged, sizeof forged, "%s", token);
    char *claims = strchr(forged, '.') + 5;
    *claims = *claims == 'A' ? 'B' : 'A';
    cr_assert(ne(int, kf__token_check(&rules, &arena, kf__text(forged), wall, &jwt), KF_OK));
    snprintf(forged, sizeof forged, "%s", token);
    char *signature = strrchr(forged, '.') + 7;
    *signature = *signature == 'A' ? 'B' : 'A';
    cr_assert(ne(int, kf__token_check(&rules, &arena, kf__text(forged), wall, &jwt), KF_OK));
    kf_arena_free(&arena);
    kf__token_rules_close(&rules);
}

TestSuite(token_check);

Test(token_check, believes_what_the_key_has_signed)
{
    believes(rsa_key, rs256_token);
    believes(ec_key, es256_token);
}

Test(token_check, tells_a_file_that_is_no_key)
{
    kf_error error = KF_ERROR_INIT;
    struct kf__token_rules rules;
    cr_assert(eq(int, kf__token_rules_open(&rules, "/dev/null", false, &error), KF_ERR_CONFIG));
    cr_assert(eq(str, error.text,
                 "/dev/null holds no public key of RSA or EC in PEM (BEGIN PUBLIC KEY)"));
}

#endif

/* ---- clients of ours ---- */

static kf_err ask(kf_broker *broker, kf_error *error, const char *const pairs[][2], size_t count)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), NULL);
    kf_config_set(config, "security.protocol", "SASL_PLAINTEXT", NULL);
    kf_config_log(config, KF_LOG_ERROR, NULL, NULL);
    for (size_t i = 0; i < count; i++)
        cr_assert(eq(int, kf_config_set(config, pairs[i][0], pairs[i][1], error), KF_OK));
    kf_client *client = kf_client_new(config, error);
    kf_config_free(config);
    int32_t partitions = 0;
    kf_err err =
        client ? kf_client_partitions(client, "t", kf_now() + 20 * KF_SECOND, &partitions, error)
               : error->code;
    cr_assert(eq(i32, partitions, err ? 0 : 3));
    kf_client_close(client);
    return err;
}

static kf_err ask_by(kf_broker *broker, kf_error *error, const char *mechanism,
                     const char *password)
{
    const char *const pairs[][2] = {
        {"sasl.mechanism", mechanism}, {"sasl.username", "alice"}, {"sasl.password", password}};
    return ask(broker, error, pairs, 3);
}

static kf_broker *start(const char *mechanisms)
{
    static const char *const users[] = {"alice:secret"};
    kf_broker_options options = {.size = sizeof options, .thread = true};
    options.sasl = (kf_broker_sasl){.required = true,
                                    .mechanisms = mechanisms,
                                    .users = users,
                                    .user_count = 1,
                                    .unsecured_tokens = true};
    kf_error error = KF_ERROR_INIT;
    kf_broker *broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    kf_broker_create_topic(broker, "t", 3, 1);
    return broker;
}

TestSuite(sasl_clients, .timeout = 60);

Test(sasl_clients, come_in_by_each_mechanism)
{
    kf_broker *broker = start(NULL);
    kf_error error = KF_ERROR_INIT;
    cr_expect(eq(int, ask_by(broker, &error, "PLAIN", "secret"), KF_OK), "%s", error.text);
#ifdef KAFIBER_WITH_OPENSSL
    cr_expect(eq(int, ask_by(broker, &error, "SCRAM-SHA-256", "secret"), KF_OK), "%s", error.text);
    cr_expect(eq(int, ask_by(broker, &error, "SCRAM-SHA-512", "secret"), KF_OK), "%s", error.text);
#endif
    const char *const pairs[][2] = {
        {"sasl.mechanism", "OAUTHBEARER"},
        {"sasl.jaas.config", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule "
                             "required unsecuredLoginStringClaim_sub='alice';"}};
    cr_expect(eq(int, ask(broker, &error, pairs, 2), KF_OK), "%s", error.text);
    kf_broker_stop(broker);
}

Test(sasl_clients, are_told_at_once_what_is_wrong)
{
    kf_broker *broker = start("PLAIN,OAUTHBEARER");
    kf_error error = KF_ERROR_INIT;
    kf_time began = kf_now();
    cr_expect(eq(int, ask_by(broker, &error, "PLAIN", "wrong"), KF_ERR_SASL_AUTHENTICATION_FAILED));
    cr_expect(strstr(error.text, "secret") == NULL && strstr(error.text, "wrong") == NULL, "%s",
              error.text);
#ifdef KAFIBER_WITH_OPENSSL
    error = (kf_error)KF_ERROR_INIT;
    cr_expect(eq(int, ask_by(broker, &error, "SCRAM-SHA-512", "secret"),
                 KF_ERR_UNSUPPORTED_SASL_MECHANISM));
#endif
    cr_expect(lt(i64, kf_now() - began, 15 * KF_SECOND));
    kf_broker_stop(broker);
}

static kf_err give_expired(void *context, kf_sasl_token *token, kf_error *error)
{
    (void)context;
    (void)error;
    snprintf(token->text, sizeof token->text, "abc");
    token->expires_at_ms = 1;
    return KF_OK;
}

Test(sasl_clients, are_told_that_their_token_has_expired)
{
    kf_broker *broker = start(NULL);
    kf_error error = KF_ERROR_INIT;
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), NULL);
    kf_config_set(config, "security.protocol", "SASL_PLAINTEXT", NULL);
    kf_config_log(config, KF_LOG_ERROR, NULL, NULL);
    kf_config_sasl_token(config, give_expired, NULL);
    kf_client *client = kf_client_new(config, &error);
    int32_t partitions = 0;
    cr_expect(eq(int,
                 kf_client_partitions(client, "t", kf_now() + 3 * KF_SECOND, &partitions, &error),
                 KF_ERR_TOKEN_EXPIRED));
    kf_client_close(client);
    kf_config_free(config);
    kf_broker_stop(broker);
}
