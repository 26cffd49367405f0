#include "net/sasl/http.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct kf__http_answer answer;
static kf_error error;

static void begin(void) { kf__http_init(&answer, &kf_default_allocator); }
static void end(void) { kf__http_free(&answer); }

TestSuite(http, .init = begin, .fini = end);

static kf_err feed(const char *text) { return kf__http_feed(&answer, text, strlen(text), &error); }

/* Byte by byte: every border is crossed. */
static kf_err trickle(const char *text)
{
    kf_err err = KF_OK;
    for (; *text && !err; text++)
        err = kf__http_feed(&answer, text, 1, &error);
    return err;
}

static void has_body(const char *text)
{
    cr_assert(answer.done);
    cr_assert(eq(sz, answer.body_size, strlen(text)));
    cr_assert(eq(int, memcmp(answer.body, text, answer.body_size), 0));
}

Test(http, reads_a_body_of_known_length)
{
    cr_assert(eq(int,
                 trickle("HTTP/1.1 200 OK\r\nContent-Type: x\r\nCONTENT-LENGTH: 5\r\n\r\nhello"),
                 KF_OK));
    cr_assert(eq(int, answer.status, 200));
    has_body("hello");
}

Test(http, joins_chunks)
{
    cr_assert(eq(int,
                 trickle("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n"),
                 KF_OK));
    has_body("abc0123456789");
}

Test(http, reads_to_the_end_where_nothing_else_is_said)
{
    cr_assert(eq(int, feed("HTTP/1.0 400 Bad\r\n\r\nsorry"), KF_OK));
    cr_assert(not(answer.done));
    cr_assert(eq(int, kf__http_end(&answer, &error), KF_OK));
    has_body("sorry");
}

Test(http, refuses_a_body_that_ends_too_early)
{
    feed("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello");
    cr_assert(eq(int, kf__http_end(&answer, &error), KF_ERR_BAD_HTTP));
}

static void refuses(const char *text, const char *why)
{
    error = (kf_error)KF_ERROR_INIT;
    kf__http_free(&answer);
    begin();
    cr_assert(eq(int, trickle(text), KF_ERR_BAD_HTTP), "%s", text);
    cr_assert(strstr(error.text, why) != NULL, "got: %s", error.text);
}

Test(http, refuses_what_could_be_read_in_two_ways)
{
    refuses("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different");
    refuses("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both");
    refuses("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", "Content-Length");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer encoding");
    refuses("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "compressed");
    refuses("HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n\r\n", "header line");
    refuses("HTTP/1.1 200 OK\r\nA: 1\nB: 2\r\n\r\n", "header line");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "chunk");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "chunk");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", "trailers");
    refuses("SSH-2.0-OpenSSH_9.2\r\n\r\n", "another protocol");
    refuses("HTTP/2 200\r\n\r\n", "another protocol");
}

Test(http, refuses_more_than_64_KiB)
{
    refuses("HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n", "64 KiB");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n", "64 KiB");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", "chunk");
    kf__http_free(&answer);
    begin();
    kf_err err = feed("HTTP/1.1 200 OK\r\n\r\n");
    static char block[1024];
    for (int i = 0; i < 65 && !err; i++)
        err = kf__http_feed(&answer, block, sizeof block, &error);
    cr_assert(eq(int, err, KF_ERR_BAD_HTTP));
    cr_assert(le(sz, answer.capacity, 4 * 65536));
}

Test(http, refuses_a_head_without_end)
{
    kf_err err = feed("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 3000 && !err; i++)
        err = feed("X: yyyy\r\n");
    cr_assert(eq(int, err, KF_ERR_BAD_HTTP));
}

/* ---- addresses ---- */

static void reads_url(const char *url, const char *host, int port, const char *path)
{
    struct kf__https_url parts;
    cr_assert(eq(int, kf__https_url_read(url, &parts, &error), KF_OK), "%s", url);
    cr_assert(eq(str, parts.host, (char *)host));
    cr_assert(eq(int, parts.port, port));
    cr_assert(eq(str, (char *)parts.path, (char *)path));
}

Test(http, cuts_an_address)
{
    reads_url("https://idp.example", "idp.example", 443, "");
    reads_url("HTTPS://idp.example:8443/t?x=1", "idp.example", 8443, "/t?x=1");
    reads_url("https://[::1]:1/t", "::1", 1, "/t");
    reads_url("https://[::1]/t", "::1", 443, "/t");
}

Test(http, writes_an_ipv6_address_in_brackets)
{
    static const char *const cases[][3] = {
        {"https://idp.example/t", "idp.example", "idp.example:443"},
        {"https://[::1]:8443/t", "[::1]", "[::1]:8443"},
    };
    for (int i = 0; i < 2; i++) {
        struct kf__https_url parts;
        char text[KF__HTTP_AUTHORITY_BYTES];
        kf__https_url_read(cases[i][0], &parts, &error);
        kf__https_url_authority(&parts, false, text, sizeof text);
        cr_expect(eq(str, text, (char *)cases[i][1]));
        kf__https_url_authority(&parts, true, text, sizeof text);
        cr_expect(eq(str, text, (char *)cases[i][2]));
    }
}

Test(http, refuses_addresses_that_are_not_https)
{
    static const char *const bad[] = {
        "http://a/t",
        "file:///etc/token",
        "https://",
        "https:///t",
        "https://a:0/t",
        "https://a:65536/t",
        "https://u@a/t",
        "https://a b/t",
        "https://a/t\r\n",
        "https://a/t#fragment",
        "https://[::1/t",
        "https://[::1]x/t",
        "a/t",
        "https://a?x=1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct kf__https_url parts;
        cr_assert(eq(int, kf__https_url_read(bad[i], &parts, NULL), KF_ERR_CONFIG), "%s", bad[i]);
    }
}
