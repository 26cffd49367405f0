#include "net/sasl/sasl_scram.h"

#include "net/failing_alloc.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#ifdef KAFIBER_WITH_OPENSSL

static struct kf__scram *scram;
static kf_error error;
static kf_bytes out;
static bool done;

static void end(void) { kf__scram_free(scram); }

TestSuite(sasl_scram, .fini = end);

/* RFC 7677, section 3; the nonce of RFC 5802's shape in place of one that is made up. */
static void begin(enum kf__digest digest, const char *user, const char *password, const char *nonce)
{
    struct kf__scram_login login = {
        .digest = digest, .user = user, .password = password, .nonce = nonce};
    cr_assert(eq(int, kf__scram_new(&kf_default_allocator, &login, &scram), KF_OK));
}

static kf_err step(const char *in)
{
    error = (kf_error)KF_ERROR_INIT;
    kf_bytes bytes = {(const uint8_t *)in, in ? strlen(in) : 0};
    return kf__scram_step(scram, bytes, &out, &done, &error);
}

static void says(const char *expected)
{
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)out.size, (const char *)out.data);
    cr_assert(eq(str, text, (char *)expected));
}

static void begin_rfc(void)
{
    begin(KF__SHA256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
    cr_assert(eq(int, step(NULL), KF_OK));
    says("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
}

#define RFC_NONCE "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

static void answer_rfc(void)
{
    cr_assert(eq(int, step("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), KF_OK));
}

Test(sasl_scram, speaks_as_rfc_7677_has_it)
{
    begin_rfc();
    answer_rfc();
    says("c=biws,r=" RFC_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    cr_assert(not(done));
    cr_assert(eq(int, step("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), KF_OK));
    cr_assert(done);
    cr_assert(zero(ptr, (void *)out.data));
}

/* No RFC has one; made with another implementation (Python's hashlib). */
Test(sasl_scram, speaks_sha_512)
{
    begin(KF__SHA512, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
    step(NULL);
    answer_rfc();
    says("c=biws,r=" RFC_NONCE ",p=gMGXRcevScNtxZ6/"
         "8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==");
    cr_assert(eq(int,
                 step("v=ZQnYEgWQMFmmsM8aQMF0nDDCy/"
                      "AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="),
                 KF_OK));
}

Test(sasl_scram, escapes_commas_and_equals_signs_of_a_name)
{
    begin(KF__SHA256, "a=b,c", "x", "nonce");
    step(NULL);
    says("n,,n=a=3Db=2Cc,r=nonce");
}

Test(sasl_scram, says_that_it_has_a_delegation_token)
{
    struct kf__scram_login login = {
        .digest = KF__SHA256, .user = "id", .password = "hmac", .token = true, .nonce = "n"};
    cr_assert(eq(int, kf__scram_new(&kf_default_allocator, &login, &scram), KF_OK));
    step(NULL);
    says("n,,n=id,r=n,tokenauth=true");
}

Test(sasl_scram, makes_up_a_nonce_of_24_bytes_each_time)
{
    char first[64];
    begin(KF__SHA256, "u", "p", NULL);
    step(NULL);
    cr_assert(eq(sz, out.size, strlen("n,,n=u,r=") + 32));
    memcpy(first, out.data, out.size);
    kf__scram_free(scram);
    begin(KF__SHA256, "u", "p", NULL);
    step(NULL);
    cr_assert(ne(int, memcmp(first, out.data, out.size), 0));
}

/* ---- rogue servers ---- */

static void refuses(const char *in, kf_err err, const char *text)
{
    begin_rfc();
    cr_assert(eq(int, step(in), err));
    cr_assert(strstr(error.text, text) != NULL, "got: %s", error.text);
    kf__scram_free(scram);
    scram = NULL;
}

Test(sasl_scram, refuses_challenges_that_break_the_rules)
{
    const kf_err bad = KF_ERR_SASL_MALFORMED;
    refuses("", bad, "has no nonce");
    refuses("r=foreign,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", bad, "does not begin with the client's");
    refuses("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", bad, "adds nothing");
    refuses("m=x,r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", bad, "extension (m=)");
    refuses("r=" RFC_NONCE ",s=,i=4096", bad, "no salt");
    refuses("r=" RFC_NONCE ",s=!!!!,i=4096", bad, "not base64");
    refuses("r=" RFC_NONCE ",i=4096", bad, "no salt");
    refuses("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", bad, "outside 4096 to 100000");
    refuses("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095", bad, "outside");
    refuses("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=100001", bad, "outside");
    refuses("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000000000", bad, "outside");
    refuses("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-4096", bad, "outside");
    refuses("r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==", bad, "outside");
}

Test(sasl_scram, refuses_a_message_longer_than_4096_bytes_or_with_a_nul)
{
    char large[5000];
    memset(large, 'a', sizeof large);
    begin_rfc();
    cr_assert(eq(int,
                 kf__scram_step(scram, (kf_bytes){(uint8_t *)large, 4097}, &out, &done, &error),
                 KF_ERR_SASL_MALFORMED));
    large[3] = '\0';
    cr_assert(eq(int, kf__scram_step(scram, (kf_bytes){(uint8_t *)large, 10}, &out, &done, &error),
                 KF_ERR_SASL_MALFORMED));
}

static void refuses_last(const char *in, kf_err err, const char *text)
{
    begin_rfc();
    answer_rfc();
    cr_assert(eq(int, step(in), err));
    cr_assert(not(done));
    cr_assert(strstr(error.text, text) != NULL, "got: %s", error.text);
    kf__scram_free(scram);
    scram = NULL;
}

Test(sasl_scram, insists_on_the_servers_signature)
{
    refuses_last("", KF_ERR_SASL_SERVER_UNPROVEN, "no signature");
    refuses_last("x=1", KF_ERR_SASL_SERVER_UNPROVEN, "no signature");
    refuses_last("v=", KF_ERR_SASL_SERVER_UNPROVEN, "wrong signature");
    refuses_last("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8=", KF_ERR_SASL_SERVER_UNPROVEN,
                 "wrong signature");
    refuses_last("e=invalid-proof", KF_ERR_SASL_AUTHENTICATION_FAILED, "refuses");
}

Test(sasl_scram, never_repeats_a_password_in_an_error)
{
    refuses_last("v=pencil", KF_ERR_SASL_SERVER_UNPROVEN, "wrong signature");
    cr_assert(strstr(error.text, "pencil") == NULL);
}

Test(sasl_scram, tells_when_memory_ends_at_any_point)
{
    for (int allowed = 0;; allowed++) {
        struct failing_alloc memory;
        kf_allocator alloc = failing_alloc(&memory, allowed);
        struct kf__scram_login login = {
            .digest = KF__SHA256, .user = "user", .password = "pencil", .nonce = "n"};
        struct kf__scram *one = NULL;
        kf_err err = kf__scram_new(&alloc, &login, &one);
        if (!err)
            err = kf__scram_step(one, (kf_bytes){0}, &out, &done, NULL);
        static const char challenge[] = "r=nX,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        if (!err)
            err = kf__scram_step(one, (kf_bytes){(const uint8_t *)challenge, sizeof challenge - 1},
                                 &out, &done, NULL);
        kf__scram_free(err && !one ? NULL : one);
        cr_assert(eq(int, memory.live, 0));
        if (!err)
            break;
        cr_assert(eq(int, err, KF_ERR_NO_MEMORY));
        cr_assert(lt(int, allowed, 20));
    }
}

#endif
