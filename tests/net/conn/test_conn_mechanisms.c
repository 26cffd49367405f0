/*
 * Each mechanism through a whole authentication against a few lines of broker:
 * with no memory at every allocation in turn, with an eye on each block that is
 * freed or left behind, so that a secret of any length is gone, and with brokers
 * that break the rules again and again and must not get any memory for it.
 */
#include "net/conn/conn.h"
#include "net/conn/security.h"
#include "net/failing_alloc.h"
#include "net/sasl/base64.h"
#include "net/sasl/sasl_scram.h"
#include "net/watching_alloc.h"

#include "proto/codec/frame.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <stdio.h>
#include <string.h>

TestSuite(conn_mechanisms, .timeout = 120);

enum {
    LONG_SECRET = 16000, /* a token's limit is 16,383 */
    MOST_ALLOCATIONS = 200,
    ROUNDS = 50,
};

/* What a broker of SCRAM says first and last; %s in the first is the client's nonce. */
struct script {
    const char *first, *last;
    kf_err err;
    const char *words;
};
static const struct script ignorant = {
    /* it follows the rules, but does not know the password */
    "r=%sX,s=c2FsdHNhbHQ=,i=4096", "v=bm8=", KF_ERR_SASL_SERVER_UNPROVEN, "wrong signature"};
static const struct script *script = &ignorant;

static char secret[LONG_SECRET + 1];
static struct kf__conn conn;
static struct kf__world world;
static char said[KF__CONN_TEXT_BYTES]; /* why it failed */
static uint8_t wire[64 * 1024];
static size_t wire_size;

/* No piece of it is like another. */
static void make_secret(size_t size)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        secret[i] = (char)('a' + (state >> 24) % 26);
    }
    secret[size] = '\0';
}

static uint64_t no_random(void *context)
{
    (void)context;
    return 0;
}

static int64_t some_time(void *context)
{
    (void)context;
    return 1700000000000;
}

static kf_err give_token(void *context, kf_sasl_token *token, kf_error *error)
{
    (void)context;
    (void)error;
    memcpy(token->text, secret, strlen(secret) + 1);
    token->expires_at_ms = 1700000600000;
    return KF_OK;
}

/* ---- the broker ---- */

static int16_t asked_key(void) { return (int16_t)(wire[4] << 8 | wire[5]); }
static int16_t asked_version(void) { return (int16_t)(wire[6] << 8 | wire[7]); }
static int32_t asked_id(void) { return wire[8] << 24 | wire[9] << 16 | wire[10] << 8 | wire[11]; }

static void feed(const uint8_t *bytes, size_t size)
{
    uint8_t *room;
    size_t space;
    while (size && kf__conn_is_open(&conn)) {
        if (kf__conn_space(&conn, &room, &space)) {
            kf__conn_lost(&conn, 0, "no memory");
            return;
        }
        size_t part = size < space ? size : space;
        memcpy(room, bytes, part);
        kf__conn_received(&conn, 0, part);
        bytes += part;
        size -= part;
    }
}

static void answer(const kf_schema *schema, const void *message)
{
    kf_writer writer;
    kf_writer_init(&writer, &kf_default_allocator);
    cr_assert(
        eq(int, kf__encode_response(&writer, schema, asked_version(), asked_id(), message), KF_OK));
    feed(writer.bytes, writer.used);
    kf_writer_free(&writer);
}

static void answer_versions(void)
{
    struct kf_api_versions_response_api_version apis[] = {
        {.api_key = KF_API_API_VERSIONS, .min_version = 0, .max_version = 2},
        {.api_key = KF_API_HEARTBEAT, .min_version = 0, .max_version = 4},
        {.api_key = KF_API_SASL_HANDSHAKE, .min_version = 0, .max_version = 1},
        {.api_key = KF_API_SASL_AUTHENTICATE, .min_version = 0, .max_version = 2},
    };
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_response, &response);
    response.api_keys.items = apis;
    response.api_keys.count = sizeof apis / sizeof *apis;
    answer(&kf_schema_of_api_versions_response, &response);
}

static void answer_handshake(const char *mechanism)
{
    kf_string name = {mechanism, strlen(mechanism)};
    struct kf_sasl_handshake_response response;
    kf_reset(&kf_schema_of_sasl_handshake_response, &response);
    response.mechanisms.items = &name;
    response.mechanisms.count = 1;
    answer(&kf_schema_of_sasl_handshake_response, &response);
}

static void answer_authenticate(bool scram)
{
    static char text[80 * 1024];
    char nonce[33] = "";
    struct kf_sasl_authenticate_response response;
    const char *first = memmem(wire, wire_size, "n,,n=alice,r=", 13);
    text[0] = '\0';
    if (scram && first) {
        memcpy(nonce, first + 13, 32);
        char *place = strstr(strcpy(text, script->first), "%s");
        if (place)
            snprintf(place, 200, "%s%s", nonce, strstr(script->first, "%s") + 2);
    } else if (scram) {
        strcpy(text, script->last);
    }
    kf_reset(&kf_schema_of_sasl_authenticate_response, &response);
    response.auth_bytes = (kf_bytes){(const uint8_t *)text, strlen(text)};
    answer(&kf_schema_of_sasl_authenticate_response, &response);
}

static void answer_asked(const char *mechanism)
{
    if (asked_key() == KF_API_API_VERSIONS)
        answer_versions();
    else if (asked_key() == KF_API_SASL_HANDSHAKE)
        answer_handshake(mechanism);
    else if (asked_key() == KF_API_SASL_AUTHENTICATE)
        answer_authenticate(strncmp(mechanism, "SCRAM", 5) == 0);
}

/* ---- the client ---- */

static void take_output(void)
{
    wire_size = 0;
    while (kf__conn_has_output(&conn)) {
        struct iovec parts[4];
        size_t count = kf__conn_output(&conn, parts, 4), size = 0;
        for (size_t i = 0; i < count; i++) {
            cr_assert(le(sz, wire_size + size + parts[i].iov_len, sizeof wire));
            memcpy(wire + wire_size + size, parts[i].iov_base, parts[i].iov_len);
            size += parts[i].iov_len;
        }
        kf__conn_sent(&conn, 0, size);
        wire_size += size;
    }
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    static struct kf_heartbeat_request heartbeat;
    (void)call;
    (void)version;
    (void)arena;
    kf_reset(&kf_schema_of_heartbeat_request, &heartbeat);
    *message = &heartbeat;
    return KF_OK;
}

static void ignore_end(struct kf__call *call, kf_err err, const struct kf__answer *reply)
{
    (void)call;
    (void)err;
    (void)reply;
}

static void ignore_opened(void *owner) { (void)owner; }

static void ignore_failed(void *owner, bool was_ready)
{
    (void)owner;
    (void)was_ready;
}

static void go_on(const char *mechanism)
{
    if (conn.state == KF__CONN_RESOLVING) {
        kf__conn_resolved(&conn, 0, KF_OK, 1);
    } else if (conn.state == KF__CONN_CONNECTING) {
        kf__conn_connected(&conn, 0);
    } else if (conn.work) {
        struct kf__work *work = conn.work;
        work->run(work);
        kf__conn_worked(&conn, 0);
    } else {
        take_output();
        answer_asked(mechanism);
    }
    kf__conn_pump(&conn, 0);
}

/* Until the connection is ready or has failed: why. */
static kf_err run(const char *mechanism)
{
    struct kf__call call = {
        .api_key = KF_API_HEARTBEAT, .deadline = KF_FOREVER, .build = build, .done = ignore_end};
    kf__conn_send(&conn, &call);
    kf__conn_pump(&conn, 0);
    for (int i = 0; i < 20 && conn.state != KF__CONN_READY && conn.state != KF__CONN_BACKOFF; i++)
        go_on(mechanism);
    kf_err err = conn.state == KF__CONN_READY ? KF_OK : conn.err;
    cr_assert(conn.state == KF__CONN_READY || conn.state == KF__CONN_BACKOFF);
    snprintf(said, sizeof said, "%s", conn.text);
    kf__conn_free(&conn, KF_ERR_CLOSED);
    return err;
}

static kf_err authenticate(const kf_allocator *alloc, const char *mechanism)
{
    world = (struct kf__world){.random = no_random, .wall_ms = some_time};
    struct kf__security security = {.references = 1, .alloc = *alloc};
    struct kf__conn_settings settings = {.alloc = alloc,
                                         .world = &world,
                                         .slabs = kf__slab_pool_new(&kf_default_allocator, 1 << 20),
                                         .security = &security,
                                         .client_id = "me",
                                         .request_timeout = 30 * KF_SECOND,
                                         .setup_timeout = 10 * KF_SECOND,
                                         .setup_timeout_max = 30 * KF_SECOND,
                                         .max_idle = 540 * KF_SECOND,
                                         .receive_max = 8 << 20};
    struct kf__sasl_settings sasl = {
        .mechanism = mechanism,
        .user = "alice",
        .password = secret,
        .world = &world,
        .tokens = {.provider = KF__TOKEN_CALLBACK, .get = give_token, .refresh_factor = 0.8}};
    struct kf__conn_events events = {.opened = ignore_opened, .failed = ignore_failed};
    kf_err err = kf__sasl_open(alloc, &sasl, &security.sasl, NULL);
    if (!err) {
        kf__conn_init(&conn, &settings, &events, "broker:9092", "broker", 7);
        err = run(mechanism);
    }
    kf__sasl_close(security.sasl);
    kf__slab_pool_drop(settings.slabs);
    return err;
}

static kf_err expected(const char *mechanism)
{
    return strncmp(mechanism, "SCRAM", 5) == 0 ? KF_ERR_SASL_SERVER_UNPROVEN : KF_OK;
}

static const char *const mechanisms[] = {"PLAIN", "OAUTHBEARER",
#ifdef KAFIBER_WITH_OPENSSL
                                         "SCRAM-SHA-256", "SCRAM-SHA-512"
#endif
};
enum {
    MECHANISMS = sizeof mechanisms / sizeof *mechanisms
};

Test(conn_mechanisms, leave_no_secret_in_freed_memory_however_long_it_is)
{
    static const size_t sizes[] = {24, 500, LONG_SECRET};
    for (int i = 0; i < MECHANISMS; i++) {
        for (int s = 0; s < 3; s++) {
            struct watching_alloc watch;
            make_secret(sizes[s]);
            kf_allocator alloc = watching_alloc(&watch, secret);
            cr_expect(eq(int, authenticate(&alloc, mechanisms[i]), expected(mechanisms[i])));
            cr_expect(eq(int, watch.seen, 0), "%s, %zu bytes", mechanisms[i], sizes[s]);
        }
    }
}

Test(conn_mechanisms, tell_when_memory_ends_at_any_point_and_leak_none)
{
    make_secret(500);
    for (int i = 0; i < MECHANISMS; i++) {
        struct failing_alloc memory;
        kf_err err = KF_ERR_NO_MEMORY;
        int allowed = 0;
        for (; err == KF_ERR_NO_MEMORY && allowed < MOST_ALLOCATIONS; allowed++) {
            kf_allocator alloc = failing_alloc(&memory, allowed);
            err = authenticate(&alloc, mechanisms[i]);
            cr_assert(eq(int, memory.live, 0), "%s, %d allocations", mechanisms[i], allowed);
        }
        cr_expect(eq(int, err, expected(mechanisms[i])), "%s", mechanisms[i]);
        cr_expect(lt(int, 6, allowed));
    }
}

#ifdef KAFIBER_WITH_OPENSSL
Test(conn_mechanisms, brokers_that_break_the_rules_are_refused_and_get_no_memory_for_it)
{
    static char large[70 * 1024] = "r=";
    memset(large + 2, 'a', sizeof large - 3);
    const kf_err bad = KF_ERR_SASL_MALFORMED;
    const struct script scripts[] = {
        {"r=%sX,s=c2FsdHNhbHQ=,i=1", "", bad, "outside 4096 to 100000"},
        {"r=%sX,s=c2FsdHNhbHQ=,i=1000000000", "", bad, "outside 4096 to 100000"},
        {"r=foreign,s=c2FsdHNhbHQ=,i=4096", "", bad, "does not begin with the client's"},
        {"r=%s,s=c2FsdHNhbHQ=,i=4096", "", bad, "adds nothing"},
        {"m=x,r=%sX,s=c2FsdHNhbHQ=,i=4096", "", bad, "extension (m=)"},
        {"", "", bad, "has no nonce"},
        {large, "", bad, "longer than 64 KiB"},
        {ignorant.first, "", KF_ERR_SASL_SERVER_UNPROVEN, "no signature"},
        {ignorant.first, "v=bm8=", KF_ERR_SASL_SERVER_UNPROVEN, "wrong signature"},
        {ignorant.first, "e=other-error", KF_ERR_SASL_AUTHENTICATION_FAILED, "refuses"},
    };
    make_secret(24);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        script = &scripts[i];
        for (int round = 0; round < ROUNDS; round++) {
            struct failing_alloc memory;
            kf_allocator alloc = failing_alloc(&memory, MOST_ALLOCATIONS);
            cr_assert(eq(int, authenticate(&alloc, "SCRAM-SHA-256"), script->err), "%s", said);
            cr_assert(eq(int, memory.live, 0));
        }
        cr_expect(ne(ptr, strstr(said, script->words), NULL), "%s", said);
        cr_expect(eq(ptr, strstr(said, secret), NULL));
    }
}
#endif
