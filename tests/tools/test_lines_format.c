/* -f FORMAT: exact bytes. kf is no library, so its file is included. */
#include "tools/kf/lines_format.c"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_writer out;
static kf_error error;

static void set_up(void)
{
    kf_writer_init(&out, &kf_default_allocator);
    error = (kf_error)KF_ERROR_INIT;
}

static void tear_down(void) { kf_writer_free(&out); }

TestSuite(lines_format, .init = set_up, .fini = tear_down);

static const uint8_t headers[] = {2, 'a', 2, '1', 2, 'b', 1};

static void prints(const char *format, const char *wanted, size_t size)
{
    kf_message message = {.topic = "orders",
                          .partition = 3,
                          .offset = 12,
                          .timestamp = -1,
                          .key = {(const uint8_t *)"k\xff", 2},
                          .headers = {headers, sizeof headers},
                          .header_count = 2};
    struct kf__format compiled;
    cr_assert(eq(int, kf__format_parse(format, &compiled, &error), KF_OK), "%s", error.text);
    kf_writer_reset(&out);
    kf__line_format(&out, &compiled, &message);
    kf__format_free(&compiled);
    cr_assert(eq(sz, out.used, size), "%s: %.*s", format, (int)out.used, (char *)out.bytes);
    cr_assert(eq(int, memcmp(out.bytes, wanted, size), 0), "%s: %.*s", format, (int)out.used,
              (char *)out.bytes);
}

Test(lines_format, prints_each_part) { prints("%t %p %o %d %k %v.", "orders 3 12 -1 k\xff .", 19); }

Test(lines_format, prints_bytes_as_hex_base64_and_length)
{
    prints("%k{hex} %k{base64} %k{len} %v{len} %t{len}", "6bff a/8= 2 0 6", 15);
}

Test(lines_format, prints_each_header)
{
    prints("%h{%k=%v{hex};}|%o", "a=31;b=;|12", 11);
    prints("[%h{}]", "[]", 2);
}

Test(lines_format, knows_escapes_and_percents)
{
    prints("%%%o\\t\\n\\0\\x41\\\\", "%12\t\n\0A\\", 8);
    prints("", "", 0);
}

Test(lines_format, refuses_what_it_does_not_know)
{
    const char *const bad[] = {"%",        "%q",  "%k{HEX}", "%h", "%h{%k",
                               "%h{%h{}}", "\\q", "\\x4",    "\\"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct kf__format compiled;
        error = (kf_error)KF_ERROR_INIT;
        cr_assert(eq(int, kf__format_parse(bad[i], &compiled, &error), KF_ERR_INVALID_ARGUMENT),
                  "%s", bad[i]);
        cr_assert(ne(str, error.text, ""));
        cr_assert(zero(ptr, (void *)compiled.steps));
    }
}
