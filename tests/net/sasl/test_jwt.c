#include "net/sasl/jwt.h"

#include "net/sasl/base64.h"
#include "net/sasl/json_fields.h"
#include "net/watching_alloc.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

static kf_arena arena;
static char token[4096];

static void begin(void) { kf_arena_init(&arena, &kf_default_allocator, 1 << 20); }
static void end(void) { kf_arena_free(&arena); }

TestSuite(jwt, .init = begin, .fini = end);

static kf_string make(const char *header, const char *claims, const char *signature)
{
    size_t size = kf__base64url_write(header, strlen(header), token);
    token[size++] = '.';
    size += kf__base64url_write(claims, strlen(claims), token + size);
    size += (size_t)snprintf(token + size, sizeof token - size, ".%s", signature);
    return (kf_string){token, size};
}

Test(jwt, reads_what_a_token_claims)
{
    struct kf__jwt jwt;
    kf_string text = make("{\"alg\":\"RS256\",\"kid\":\"1\"}",
                          "{\"sub\":\"alice\",\"iss\":\"me\",\"exp\":1700000000.5,\"iat\":1,"
                          "\"aud\":[\"x\",{}]}",
                          "AAEC");
    cr_assert(eq(int, kf__jwt_read(&arena, text, NULL, &jwt, NULL), KF_OK));
    cr_assert(eq(int, memcmp(jwt.algorithm.data, "RS256", 5), 0));
    cr_assert(eq(sz, jwt.subject.size, 5));
    cr_assert(eq(int, memcmp(jwt.subject.data, "alice", 5), 0));
    cr_assert(eq(i64, jwt.expires_ms, 1700000000500));
    cr_assert(eq(i64, jwt.issued_ms, 1000));
    cr_assert(eq(i64, jwt.not_before_ms, 0));
    cr_assert(eq(sz, jwt.signature.size, 3));
    cr_assert(eq(sz, jwt.signed_part.size, text.size - 5));
}

Test(jwt, refuses_other_forms)
{
    struct kf__jwt jwt;
    static const char *const bad[] = {"",          "a",  "a.b",      "a.b.c.d", "e30.e30.!",
                                      "e30.e.e30", "..", "W10.e30.", "e30.W10."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(eq(int,
                     kf__jwt_read(&arena, (kf_string){bad[i], strlen(bad[i])}, NULL, &jwt, NULL),
                     KF_ERR_BAD_JSON),
                  "%s", bad[i]);
    cr_assert(
        eq(int,
           kf__jwt_read(&arena, make("{}", "{\"sub\":\"a\",\"sub\":\"b\"}", ""), NULL, &jwt, NULL),
           KF_ERR_BAD_JSON));
}

Test(jwt, knows_when_a_token_ends_and_leaves_opaque_ones_alone)
{
    cr_assert(
        eq(i64, kf__jwt_expiry_ms(&kf_default_allocator, make("{}", "{\"exp\":5}", "")), 5000));
    cr_assert(eq(i64, kf__jwt_expiry_ms(&kf_default_allocator, (kf_string){"opaque", 6}), 0));
    cr_assert(
        eq(i64, kf__jwt_expiry_ms(&kf_default_allocator, make("{}", "{\"exp\":1e300}", "")), 0));
}

/* The parts in the clear are the token in another spelling. */
Test(jwt, leaves_nothing_of_a_token_that_was_looked_into)
{
    struct watching_alloc watch;
    static const char claims[] = "{\"exp\":5,\"sub\":\"somebody-who-is-known-by-nobody\"}";
    kf_allocator alloc = watching_alloc(&watch, claims);
    cr_expect(eq(i64, kf__jwt_expiry_ms(&alloc, make("{}", claims, "")), 5000));
    cr_expect(eq(int, watch.seen, 0));
    static const char clear[] = "the signature as it is without base64";
    char signature[64];
    signature[kf__base64url_write(clear, sizeof clear - 1, signature)] = '\0';
    alloc = watching_alloc(&watch, clear);
    cr_expect(eq(i64, kf__jwt_expiry_ms(&alloc, make("{}", claims, signature)), 5000));
    cr_expect(eq(int, watch.seen, 0));
}

Test(jwt, reads_the_status_of_a_refusal)
{
    char status[16];
    static const char text[] = "{\"status\":\"invalid_token\",\"scope\":\"x\"}";
    cr_assert(kf__jwt_status(&kf_default_allocator, (kf_string){text, sizeof text - 1}, status,
                             sizeof status));
    cr_assert(eq(str, status, "invalid_token"));
    cr_assert(
        not(kf__jwt_status(&kf_default_allocator, (kf_string){"{}x", 3}, status, sizeof status)));
}

Test(jwt, shows_nothing_unprintable_of_a_status)
{
    char status[16];
    static const char text[] = "{\"status\":\"a\\u001b[2J b\"}";
    cr_assert(kf__jwt_status(&kf_default_allocator, (kf_string){text, sizeof text - 1}, status,
                             sizeof status));
    cr_assert(eq(str, status, "a?[2J?b"));
}
