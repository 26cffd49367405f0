#include "net/sasl/sigv4.h"

#include "net/failing_alloc.h"
#include "net/sasl/aws.h"
#include "net/sasl/base64.h"
#include "net/watching_alloc.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

TestSuite(sigv4);

Test(sigv4, writes_a_moment_as_a_stamp)
{
    char stamp[KF__SIGV4_STAMP_BYTES];
    kf__sigv4_stamp(1369353600, stamp);
    cr_assert(eq(str, stamp, "20130524T000000Z"));
    kf__sigv4_stamp(0, stamp);
    cr_assert(eq(str, stamp, "19700101T000000Z"));
    kf__sigv4_stamp(1709251199, stamp); /* a leap day's last second */
    cr_assert(eq(str, stamp, "20240229T235959Z"));
}

#ifdef KAFIBER_WITH_OPENSSL

static void to_hex(const uint8_t *bytes, size_t size, char *hex)
{
    for (size_t i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

/* AWS General Reference, "Examples of how to derive a signing key". */
Test(sigv4, derives_the_key_of_awss_example)
{
    uint8_t key[32];
    char hex[65];
    cr_assert(eq(int,
                 kf__sigv4_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1",
                               "iam", key),
                 KF_OK));
    to_hex(key, sizeof key, hex);
    cr_assert(eq(str, hex, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"));
}

/* Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters". */
Test(sigv4, signs_the_url_of_awss_example)
{
    kf_aws_credentials credentials = {
        .access_key_id = "AKIAIOSFODNN7EXAMPLE",
        .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    };
    struct kf__sigv4_request request = {
        .host = "examplebucket.s3.amazonaws.com",
        .path = "/test.txt",
        .service = "s3",
        .region = "us-east-1",
        .payload_digest = "UNSIGNED-PAYLOAD",
        .seconds = 1369353600,
        .expires = 86400,
        .credentials = &credentials,
    };
    kf_writer url;
    kf_writer_init(&url, &kf_default_allocator);
    cr_assert(eq(int, kf__sigv4_presign(&request, &url), KF_OK));
    cr_assert(eq(str, (char *)url.bytes,
                 "https://examplebucket.s3.amazonaws.com/test.txt"
                 "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F"
                 "20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
                 "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
                 "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"));
    kf_writer_free(&url);
}

/* ---- the token that is made of it ---- */

static kf_err give_credentials(void *context, kf_aws_credentials *credentials, kf_error *error)
{
    (void)error;
    snprintf(credentials->access_key_id, sizeof credentials->access_key_id, "AKID");
    snprintf(credentials->secret_access_key, sizeof credentials->secret_access_key, "SECRET");
    snprintf(credentials->session_token, sizeof credentials->session_token, "%s",
             (const char *)context);
    return KF_OK;
}

static void read_token(const kf_sasl_token *token, char *url)
{
    ssize_t size = kf__base64url_read(token->text, strlen(token->text), (uint8_t *)url);
    cr_assert(lt(int, 0, (int)size));
    url[size] = '\0';
}

Test(sigv4, makes_a_token_for_msk_that_ends_after_15_minutes)
{
    static kf_sasl_token token;
    static char url[KF_SASL_TOKEN_BYTES];
    struct kf__aws_settings settings = {
        .get = give_credentials, .context = "to/ken", .region = "eu-west-1"};
    cr_assert(eq(int, kf__aws_token(&kf_default_allocator, &settings, 1700000000000, &token, NULL),
                 KF_OK));
    cr_assert(eq(i64, token.expires_at_ms, 1700000900000));
    read_token(&token, url);
    static const char expected[] =
        "https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect"
        "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20231114"
        "%2Feu-west-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20231114T221320Z&X-Amz-Expires=900"
        "&X-Amz-Security-Token=to%2Fken&X-Amz-SignedHeaders=host&X-Amz-Signature=";
    cr_assert(eq(int, strncmp(url, expected, sizeof expected - 1), 0), "%s", url);
    cr_assert(strstr(url, "SECRET") == NULL);
    cr_assert(strstr(url, "&User-Agent=kafiber") != NULL);
}

Test(sigv4, leaves_no_credentials_in_freed_memory)
{
    static kf_sasl_token token;
    static char session[3000];
    struct watching_alloc watch;
    memset(session, 's', sizeof session - 1);
    memcpy(session, "beginning-of-it", 15);
    kf_allocator alloc = watching_alloc(&watch, session);
    struct kf__aws_settings settings = {
        .get = give_credentials, .context = session, .region = "eu-west-1"};
    cr_assert(eq(int, kf__aws_token(&alloc, &settings, 1700000000000, &token, NULL), KF_OK));
    cr_expect(eq(int, watch.seen, 0));
}

Test(sigv4, tells_when_memory_ends_at_any_point)
{
    static kf_sasl_token token;
    struct kf__aws_settings settings = {
        .get = give_credentials, .context = "to/ken", .region = "eu-west-1"};
    kf_err err = KF_ERR_NO_MEMORY;
    int allowed = 0;
    for (; err && allowed < 20; allowed++) {
        struct failing_alloc memory;
        kf_allocator alloc = failing_alloc(&memory, allowed);
        err = kf__aws_token(&alloc, &settings, 1700000000000, &token, NULL);
        cr_expect(err == KF_OK || err == KF_ERR_NO_MEMORY, "%d allocations: %d", allowed, (int)err);
        cr_assert(eq(int, memory.live, 0), "%d allocations", allowed);
    }
    cr_expect(eq(int, err, KF_OK));
    cr_expect(eq(int, allowed, 4)); /* the URL, its query, and what is signed */
}

#endif

Test(sigv4, reads_one_profile_of_the_shared_file)
{
    static const char text[] = "# mine\n[other]\naws_access_key_id=X\naws_secret_access_key=Y\n"
                               "[ team ]\r\naws_access_key_id = AK\r\n"
                               "aws_secret_access_key = a+b/c=\r\naws_session_token=t\r\n";
    kf_aws_credentials credentials;
    cr_assert(kf__aws_read_profile(text, sizeof text - 1, "team", &credentials));
    cr_assert(eq(str, credentials.access_key_id, "AK"));
    cr_assert(eq(str, credentials.secret_access_key, "a+b/c="));
    cr_assert(eq(str, credentials.session_token, "t"));
    cr_assert(not(kf__aws_read_profile(text, sizeof text - 1, "default", &credentials)));
    cr_assert(not(kf__aws_read_profile("[a]\naws_access_key_id=X", 24, "a", &credentials)));
}
