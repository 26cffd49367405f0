/* Records as lines: exact bytes, both ways. kf is no library, so its files are included. */
#include "tools/kf/lines.c"
#include "tools/kf/lines_read.c"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_writer out;
static kf_arena arena;
static kf_error error;

static void set_up(void)
{
    kf_writer_init(&out, &kf_default_allocator);
    kf_arena_init(&arena, &kf_default_allocator, 0);
    error = (kf_error)KF_ERROR_INIT;
}

static void tear_down(void)
{
    kf_writer_free(&out);
    kf_arena_free(&arena);
}

TestSuite(lines, .init = set_up, .fini = tear_down);

static kf_bytes bytes(const char *text) { return (kf_bytes){(const uint8_t *)text, strlen(text)}; }

static const char *json(const kf_message *message)
{
    kf_writer_reset(&out);
    kf__line_json(&out, message);
    kf_writer_put(&out, "", 1);
    return (const char *)out.bytes;
}

static kf_message message_of(kf_bytes key, kf_bytes value)
{
    return (kf_message){.topic = "orders",
                        .partition = 3,
                        .offset = 12,
                        .timestamp = 1700000000000,
                        .key = key,
                        .value = value};
}

#define FRONT "{\"topic\":\"orders\",\"partition\":3,\"offset\":12,\"timestamp\":1700000000000,"

Test(lines, tell_null_from_empty)
{
    kf_message message = message_of((kf_bytes){NULL, 0}, bytes(""));
    cr_assert(eq(str, (char *)json(&message), FRONT "\"key\":null,\"value\":\"\",\"headers\":[]}"));
}

Test(lines, escape_what_json_must_and_no_more)
{
    kf_message message =
        message_of(bytes("a\"\\\n\t\x01/\x7f"), bytes("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    cr_assert(eq(str, (char *)json(&message),
                 FRONT "\"key\":\"a\\\"\\\\\\n\\t\\u0001/\x7f\",\"value\":"
                       "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"headers\":[]}"));
}

/* Not UTF-8: a lone byte, an overlong slash, a surrogate, beyond U+10FFFF, cut short. */
Test(lines, put_bytes_that_are_no_text_as_base64)
{
    const char *const broken[] = {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                  "\xe2\x82"};
    const char *const base64[] = {"/w==", "wK8=", "7aCA", "9JCAgA==", "4oI="};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char expected[200];
        kf_message message = message_of(bytes(broken[i]), bytes(broken[i]));
        snprintf(expected, sizeof expected,
                 FRONT "\"key_b64\":\"%s\",\"value_b64\":\"%s\",\"headers\":[]}", base64[i],
                 base64[i]);
        cr_assert(eq(str, (char *)json(&message), expected));
    }
}

/* Encoded headers: count, then name and value by their lengths, zigzag. */
Test(lines, keep_order_and_repeats_of_headers)
{
    static const uint8_t headers[] = {2, 'h', 2, 'v', 2, 'h', 1, 2, 'b', 4, 0xff, 0x00, 2, 'e', 0};
    kf_message message = message_of(bytes("k"), bytes("v"));
    message.headers = (kf_bytes){headers, sizeof headers};
    message.header_count = 4;
    cr_assert(eq(str, (char *)json(&message),
                 FRONT "\"key\":\"k\",\"value\":\"v\",\"headers\":[[\"h\",\"v\"],[\"h\",null],"
                       "[\"b\",{\"b64\":\"/wA=\"}],[\"e\",\"\"]]}"));
}

static kf_record read_line(const char *text)
{
    kf_record record;
    cr_assert(eq(int, kf__line_read(text, strlen(text), &arena, &record, &error), KF_OK), "%s: %s",
              text, error.text);
    return record;
}

static void is_bytes(kf_bytes got, const char *wanted, size_t size)
{
    cr_assert(ne(ptr, (void *)got.data, NULL));
    cr_assert(eq(sz, got.size, size));
    cr_assert(eq(int, memcmp(got.data, wanted, size), 0));
}

Test(lines, come_back_as_they_went)
{
    static const uint8_t headers[] = {2, 'h', 2, 'v', 2, 'h', 1, 2, 'b', 4, 0xff, 0x00, 2, 'e', 0};
    kf_message message =
        message_of(bytes("k\n\"\xf0\x9f\x98\x80"), (kf_bytes){(const uint8_t *)"\0\xff", 2});
    message.headers = (kf_bytes){headers, sizeof headers};
    message.header_count = 4;
    kf_record record = read_line(json(&message));
    cr_assert(eq(str, (char *)record.topic, "orders"));
    cr_assert(eq(int, record.partition, 3));
    cr_assert(eq(i64, record.timestamp, 1700000000000));
    is_bytes(record.key, "k\n\"\xf0\x9f\x98\x80", 7);
    is_bytes(record.value, "\0\xff", 2);
    cr_assert(eq(sz, record.header_count, 4));
    is_bytes(record.headers[0].value, "v", 1);
    cr_assert(zero(ptr, (void *)record.headers[1].value.data));
    is_bytes(record.headers[2].value, "\xff\0", 2);
    is_bytes(record.headers[3].value, "", 0);
}

Test(lines, read_null_and_empty_as_two_things)
{
    kf_record record = read_line("{\"key\":null,\"value\":\"\"}");
    cr_assert(zero(ptr, (void *)record.key.data));
    is_bytes(record.value, "", 0);
    cr_assert(zero(ptr, (void *)record.topic));
    cr_assert(eq(int, record.partition, -1));
}

Test(lines, read_escapes_and_skip_what_they_do_not_know)
{
    kf_record record = read_line(" { \"x\" : [1, {\"y\": [true, null, -1.5e3]}], \"value\" : "
                                 "\"\\u20ac\\ud83d\\ude00\\/\" } ");
    is_bytes(record.value, "\xe2\x82\xac\xf0\x9f\x98\x80/", 8);
}

Test(lines, refuse_what_is_no_record)
{
    const char *const bad[] = {
        "",
        "[]",
        "{",
        "{\"value\":}",
        "{\"value\":\"a}",
        "{\"value\":3}",
        "{\"value\":\"\\x\"}",
        "{\"value\":\"\\ud800\"}",
        "{\"value_b64\":\"a\"}",
        "{\"value_b64\":\"####\"}",
        "{\"partition\":1.5}",
        "{\"partition\":99999999999}",
        "{\"headers\":[[null,\"v\"]]}",
        "{\"headers\":[[\"h\"]]}",
        "{\"value\":\"a\"} x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kf_record record;
        error = (kf_error)KF_ERROR_INIT;
        cr_assert(eq(int, kf__line_read(bad[i], strlen(bad[i]), &arena, &record, &error),
                     KF_ERR_BAD_JSON),
                  "%s", bad[i]);
        cr_assert(ne(str, error.text, ""));
    }
}
