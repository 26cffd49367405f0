/* Sessions of a second and a half under load: nothing is lost, nothing comes twice (KIP-368). */
#include "help_member.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef KAFIBER_WITH_OPENSSL
#define MECHANISM "SCRAM-SHA-256"
#else
#define MECHANISM "PLAIN"
#endif

TestSuite(member_reauth, .timeout = 120);

static struct member member;

enum {
    PARTITIONS = 6,
    LIFE_MS = 1300, /* the shortest that a broker lets be renewed in time */
};

static void start_broker(void)
{
    static const char *const users[] = {"alice:secret"};
    kf_broker_options options = {.size = sizeof options, .thread = true};
    options.sasl = (kf_broker_sasl){
        .required = true, .users = users, .user_count = 1, .max_reauth_ms = LIFE_MS};
    member_broker(&member, &options);
    kf_broker_create_topic(member.broker, "t", PARTITIONS, 1);
}

static kf_config *settings(const char *mechanism)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(member.broker), NULL);
    kf_config_set(config, "security.protocol", "SASL_PLAINTEXT", NULL);
    kf_config_set(config, "sasl.mechanism", mechanism, NULL);
    kf_config_set(config, "sasl.username", "alice", NULL);
    kf_config_set(config, "sasl.password", "secret", NULL);
    return config;
}

struct reports {
    atomic_int stored, failed;
};

static void delivered(void *context, const kf_delivery *delivery)
{
    struct reports *reports = context;
    atomic_fetch_add(delivery->fate == KF_STORED ? &reports->stored : &reports->failed, 1);
}

static kf_producer *open_producer(const char *mechanism)
{
    kf_error error = KF_ERROR_INIT;
    kf_config *config = settings(mechanism);
    kf_producer *producer = kf_producer_new(config, &error);
    kf_config_free(config);
    cr_assert(ne(ptr, producer, NULL), "%s", error.text);
    return producer;
}

/* A record a millisecond and more, so that requests are under way at any moment. */
static int produce_for(kf_time span, struct reports *reports)
{
    kf_error error = KF_ERROR_INIT;
    kf_producer *producer = open_producer("PLAIN");
    int sent = 0;
    for (kf_time end = kf_now() + span; kf_now() < end; sent++) {
        char text[16];
        int size = snprintf(text, sizeof text, "%d", sent);
        kf_record record = {.topic = "t",
                            .partition = sent % PARTITIONS,
                            .value = {(const uint8_t *)text, (size_t)size}};
        cr_assert(
            eq(int,
               kf_produce(producer, &record, delivered, reports, kf_now() + 10 * KF_SECOND, &error),
               KF_OK),
            "%s", error.text);
        kf_sleep(KF_MILLISECOND);
    }
    cr_assert(eq(int, kf_producer_close(producer, kf_now() + 20 * KF_SECOND), KF_OK));
    return sent;
}

static void handled_once(void)
{
    for (int32_t p = 0; p < PARTITIONS; p++) {
        int64_t start = 0, end = 0;
        kf_broker_offsets(member.broker, "t", p, &start, &end);
        struct span span = span_of(&member, "t", p, end);
        cr_assert(eq(i64, span.missing, 0));
        cr_assert(eq(i64, span.repeated, 0));
    }
}

/* KAFIBER_REAUTH_SECONDS: the long form. */
static kf_time load_span(void)
{
    const char *seconds = getenv("KAFIBER_REAUTH_SECONDS");
    return (seconds ? atoi(seconds) : 4) * KF_SECOND;
}

Test(member_reauth, loses_nothing_and_repeats_nothing)
{
    struct reports reports = {0};
    start_broker();
    member_open(&member, "group.id=g", "security.protocol=SASL_PLAINTEXT",
                "sasl.mechanism=" MECHANISM, "sasl.username=alice", "sasl.password=secret", NULL);
    member_handle(&member, "t", KF_AT_LEAST_ONCE);
    member_start(&member);
    WAIT_FOR(member_assigned(&member) == PARTITIONS);

    int sent = produce_for(load_span(), &reports);
    cr_assert(eq(int, atomic_load(&reports.stored), sent));
    cr_assert(eq(int, atomic_load(&reports.failed), 0));
    WAIT_FOR(member_handled(&member) == (size_t)sent);
    handled_once();

    /* Who stands still beyond a session's end loses its connection: seen by a clock of our own. */
    int64_t handshakes = kf_broker_requests(member.broker, KF_API_SASL_HANDSHAKE);
    int64_t connections = kf_broker_connections(member.broker);
    cr_expect(lt(i64, connections, handshakes));
    fprintf(stderr, "re-authentication: %d records, %lld handshakes, %lld connections at the end\n",
            sent, (long long)handshakes, (long long)connections);
    member_close(&member);
}

/* ---- by a clock that the test moves ---- */

static kf_verdict count(const kf_message *message, void *context)
{
    (void)message;
    ++*(int *)context;
    return KF_HANDLED;
}

static void count_lost(void *context, const kf_log_event *event)
{
    *(int *)context += strcmp(event->name, "connection.closed") == 0 ||
                       strcmp(event->name, "connection.failed") == 0;
}

static kf_runtime *start_in(kf_broker *broker, int *handled, int *lost)
{
    kf_error error = KF_ERROR_INIT;
    member.broker = broker;
    kf_config *config = settings(MECHANISM);
    kf_config_world(config, kf_broker_world(broker));
    kf_config_set(config, "group.id", "g", NULL);
    kf_config_set(config, "worker.threads", "0", NULL);
    kf_config_log(config, KF_LOG_DEBUG, count_lost, lost);
    kf_runtime *runtime = kf_runtime_new(config, &error);
    kf_config_free(config);
    kf_runtime_handle(runtime, "t", KF_AT_LEAST_ONCE, count, handled);
    cr_assert(eq(int, kf_runtime_start(runtime, &error), KF_OK), "%s", error.text);
    return runtime;
}

/* Each made its first handshake and then one for each life; a record comes every 100 ms. */
Test(member_reauth, keeps_its_connections_from_one_session_to_the_next)
{
    enum {
        SECONDS = 20
    };
    static const char *const users[] = {"alice:secret"};
    kf_broker_options options = {.size = sizeof options, .virtual_time = true, .strict = true};
    options.sasl = (kf_broker_sasl){
        .required = true, .users = users, .user_count = 1, .max_reauth_ms = LIFE_MS};
    kf_broker *broker = kf_broker_start(&options, NULL);
    cr_assert(ne(ptr, broker, NULL));
    kf_broker_create_topic(broker, "t", PARTITIONS, 1);
    int handled = 0, lost = 0;
    kf_runtime *runtime = start_in(broker, &handled, &lost);
    for (int i = 0; i < SECONDS * 10; i++) {
        produce(&member, "t", i % PARTITIONS, 1);
        cr_assert(eq(int, kf_broker_play(broker, &runtime, 1, 100), KF_OK));
    }
    cr_assert(eq(int, lost, 0));
    cr_assert(lt(int, SECONDS * 10 - 10, handled));
    cr_assert(
        le(i64, 2 * (SECONDS * 1000 / LIFE_MS), kf_broker_requests(broker, KF_API_SASL_HANDSHAKE)));
    kf_runtime_stop(runtime);
    cr_assert(eq(int, kf_broker_play(broker, &runtime, 1, 5000), KF_OK));
    cr_assert(eq(int, kf_runtime_close(runtime), KF_OK));
    cr_assert(eq(int, handled, SECONDS * 10));
    cr_assert(eq(i64, kf_broker_refusals(broker, NULL), 0));
    kf_broker_stop(broker);
}

/* ---- refused ---- */

/* It is told, and comes back when the password fits again. */
Test(member_reauth, outlives_a_refusal)
{
    start_broker();
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_ANSWER_ERROR,
                             .api_key = KF_API_SASL_AUTHENTICATE,
                             .first = 1,
                             .times = 1,
                             .error = KF_ERR_SASL_AUTHENTICATION_FAILED};
    member_open(&member, "group.id=g", "security.protocol=SASL_PLAINTEXT",
                "sasl.mechanism=" MECHANISM, "sasl.username=alice", "sasl.password=secret", NULL);
    member_handle(&member, "t", KF_AT_LEAST_ONCE);
    member_start(&member);
    WAIT_FOR(member_assigned(&member) == PARTITIONS);
    add_fault(&member, fault);
    WAIT_FOR(member_has_event(&member, "connection.closed") ||
             member_has_event(&member, "connection.failed"));
    produce(&member, "t", 0, 10);
    WAIT_FOR(member_handled(&member) == 10);
    member_close(&member);
}
