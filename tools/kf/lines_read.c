/*
 * lines_read: a record from one line of JSON; the way back of lines.c. Reads
 * strictly (RFC 8259); members may come in any order, unknown ones are
 * skipped, a name given twice is an error. Everything lands in the arena.
 */
#include "tools/kf/lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_DEPTH = 32, /* of values that are skipped */
};

struct scan {
    const char *start;
    const char *at;
    const char *end;
    kf_arena *arena;
    kf_error *error;
    kf_err err; /* the first one sticks; what is read after it is empty */
};

static void fail(struct scan *scan, const char *text)
{
    if (scan->err)
        return;
    scan->err =
        kf_error_set(scan->error, KF_ERR_BAD_JSON, "byte %td: %s", scan->at - scan->start, text);
    scan->at = scan->end;
}

static void fail_memory(struct scan *scan)
{
    if (!scan->err)
        scan->err = kf_error_set(scan->error, KF_ERR_NO_MEMORY, "no memory for a line");
    scan->at = scan->end;
}

/* ---- tokens ---- */

static char peek(struct scan *scan)
{
    while (scan->at < scan->end && strchr(" \t\r\n", *scan->at) && *scan->at)
        scan->at++;
    return scan->at < scan->end ? *scan->at : 0;
}

static bool accept(struct scan *scan, char c)
{
    if (peek(scan) != c || scan->at == scan->end)
        return false;
    scan->at++;
    return true;
}

static void expect(struct scan *scan, char c)
{
    char text[] = "expected ' '";
    text[10] = c;
    if (!accept(scan, c))
        fail(scan, text);
}

static bool accept_word(struct scan *scan, const char *word)
{
    size_t size = strlen(word);
    peek(scan);
    if ((size_t)(scan->end - scan->at) < size || memcmp(scan->at, word, size) != 0)
        return false;
    scan->at += size;
    return true;
}

static int64_t read_integer(struct scan *scan)
{
    bool negative = accept(scan, '-');
    if (peek(scan) < '0' || *scan->at > '9') {
        fail(scan, "expected a whole number");
        return 0;
    }
    uint64_t number = 0;
    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++) {
        if (number > (uint64_t)INT64_MAX / 10) {
            fail(scan, "the number is too large");
            return 0;
        }
        number = number * 10 + (uint64_t)(*scan->at - '0');
    }
    if (number > INT64_MAX || (scan->at < scan->end && strchr(".eE", *scan->at) && *scan->at))
        fail(scan, "expected a whole number");
    return scan->err ? 0 : negative ? -(int64_t)number : (int64_t)number;
}

/* ---- strings ---- */

static uint32_t read_hex(struct scan *scan)
{
    uint32_t number = 0;
    for (int i = 0; i < 4; i++) {
        char c = scan->at < scan->end ? *scan->at : 0;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) {
            fail(scan, "expected four hexadecimal digits after \\u");
            return 0;
        }
        number = number << 4 | digit;
        scan->at++;
    }
    return number;
}

/* The code point of \uXXXX or of a pair of them; what comes after "\u". */
static uint32_t read_code_point(struct scan *scan)
{
    uint32_t high = read_hex(scan);
    if (high < 0xD800 || high > 0xDFFF)
        return high;
    if (high < 0xDC00 && scan->end - scan->at >= 2 && scan->at[0] == '\\' && scan->at[1] == 'u') {
        scan->at += 2;
        uint32_t low = read_hex(scan);
        if (low >= 0xDC00 && low <= 0xDFFF)
            return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }
    fail(scan, "half a surrogate pair is no character");
    return 0;
}

static char *put_utf8(char *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (char)point;
        return to;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char first[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (char)(first[more] | point >> (6 * more));
    while (more-- > 0)
        *to++ = (char)(0x80 | (point >> (6 * more) & 0x3F));
    return to;
}

static char *read_escape(struct scan *scan, char *to)
{
    static const char from[] = "\"\\/bfnrt";
    static const char into[] = "\"\\/\b\f\n\r\t";
    char c = scan->at < scan->end ? *scan->at++ : 0;
    if (c == 'u')
        return put_utf8(to, read_code_point(scan));
    const char *known = c ? strchr(from, c) : NULL;
    if (known)
        *to++ = into[known - from];
    else
        fail(scan, "there is no such escape");
    return to;
}

/* An escape never gets longer by being read: the rest of the line is room enough. */
static kf_string read_string(struct scan *scan)
{
    expect(scan, '"');
    const char *close = scan->at;
    while (close < scan->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    if (scan->err || close >= scan->end) {
        fail(scan, "a string has no end");
        return (kf_string){"", 0};
    }
    char *text = kf_arena_alloc(scan->arena, (size_t)(close - scan->at) + 1);
    if (!text) {
        fail_memory(scan);
        return (kf_string){"", 0};
    }
    char *to = text;
    while (!scan->err && scan->at < close) {
        if ((unsigned char)*scan->at < 0x20)
            fail(scan, "a control character stands in a string");
        else if (*scan->at != '\\')
            *to++ = *scan->at++;
        else if (scan->at++)
            to = read_escape(scan, to);
    }
    if (!scan->err)
        scan->at = close + 1;
    *to = 0;
    return (kf_string){text, (size_t)(to - text)};
}

/* ---- values ---- */

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Standard base64 with padding, in place. */
static kf_bytes read_base64(struct scan *scan)
{
    kf_string text = read_string(scan);
    uint8_t *bytes = (uint8_t *)(uintptr_t)text.data;
    size_t size = 0;
    size_t digits = text.size;
    while (digits > 0 && text.size - digits < 2 && text.data[digits - 1] == '=')
        digits--;
    uint32_t bits = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0)
            break;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0)
            bytes[size++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    bool whole = text.size % 4 == 0 && size == digits - (digits + 3) / 4;
    if (!scan->err && !whole)
        fail(scan, "that is not base64 with padding");
    return (kf_bytes){bytes, size};
}

static kf_bytes read_text(struct scan *scan)
{
    if (accept_word(scan, "null"))
        return (kf_bytes){NULL, 0};
    kf_string text = read_string(scan);
    return (kf_bytes){(const uint8_t *)text.data, text.size};
}

/* "h", null or {"b64":"…"} */
static kf_bytes read_part(struct scan *scan)
{
    if (!accept(scan, '{'))
        return read_text(scan);
    kf_string name = read_string(scan);
    if (!scan->err && (name.size != 3 || memcmp(name.data, "b64", 3) != 0))
        fail(scan, "expected \"b64\"");
    expect(scan, ':');
    kf_bytes bytes = read_base64(scan);
    expect(scan, '}');
    return bytes;
}

static void skip_value(struct scan *scan, int depth)
{
    char first = peek(scan);
    char close = first == '{' ? '}' : ']';
    if (depth > MAX_DEPTH) {
        fail(scan, "values are nested too deeply");
    } else if (first == '"') {
        read_string(scan);
    } else if (first != '{' && first != '[') {
        if (!accept_word(scan, "null") && !accept_word(scan, "true") &&
            !accept_word(scan, "false")) {
            const char *before = scan->at;
            while (scan->at < scan->end && *scan->at && strchr("+-.eE0123456789", *scan->at))
                scan->at++;
            if (scan->at == before)
                fail(scan, "expected a value");
        }
    } else {
        scan->at++;
        bool more = !accept(scan, close);
        while (more && !scan->err) {
            if (first == '{') {
                read_string(scan);
                expect(scan, ':');
            }
            skip_value(scan, depth + 1);
            more = accept(scan, ',');
            if (!more)
                expect(scan, close);
        }
    }
}

/* ---- headers ---- */

static size_t count_headers(const struct scan *scan)
{
    size_t count = 0;
    for (const char *at = scan->at; at < scan->end; at++)
        count += *at == '[';
    return count;
}

static void read_header(struct scan *scan, kf_header *header)
{
    expect(scan, '[');
    kf_bytes name = read_part(scan);
    if (!scan->err && !name.data)
        fail(scan, "a header needs a name");
    header->name = (kf_string){(const char *)name.data, name.size};
    expect(scan, ',');
    header->value = read_part(scan);
    expect(scan, ']');
}

static void read_headers(struct scan *scan, kf_record *record)
{
    expect(scan, '[');
    if (accept(scan, ']'))
        return;
    kf_header *headers = kf_arena_alloc(scan->arena, (count_headers(scan) + 1) * sizeof *headers);
    if (!headers) {
        fail_memory(scan);
        return;
    }
    size_t count = 0;
    do
        read_header(scan, &headers[count++]);
    while (!scan->err && accept(scan, ','));
    expect(scan, ']');
    record->headers = headers;
    record->header_count = count;
}

/* ---- members ---- */

enum member {
    TOPIC = 1,
    PARTITION = 2,
    TIMESTAMP = 4,
    KEY = 8,
    VALUE = 16,
    HEADERS = 32,
};

static const struct {
    const char *name;
    enum member member;
    bool base64;
} members[] = {
    {"topic", TOPIC, false},    {"partition", PARTITION, false}, {"timestamp", TIMESTAMP, false},
    {"key", KEY, false},        {"key_b64", KEY, true},          {"value", VALUE, false},
    {"value_b64", VALUE, true}, {"headers", HEADERS, false},
};

static void read_partition(struct scan *scan, kf_record *record)
{
    int64_t number = read_integer(scan);
    if (number < -1 || number > INT32_MAX)
        fail(scan, "there is no such partition");
    else
        record->partition = (int32_t)number;
}

static void read_timestamp(struct scan *scan, kf_record *record)
{
    int64_t number = read_integer(scan);
    if (number < -1)
        fail(scan, "a timestamp is not negative");
    record->timestamp = number == 0 ? KF_TIMESTAMP_EPOCH : number;
}

static void read_value(struct scan *scan, enum member member, bool base64, kf_record *record)
{
    switch (member) {
    case TOPIC:
        record->topic = read_string(scan).data;
        break;
    case PARTITION:
        read_partition(scan, record);
        break;
    case TIMESTAMP:
        read_timestamp(scan, record);
        break;
    case KEY:
        record->key = base64 ? read_base64(scan) : read_text(scan);
        break;
    case VALUE:
        record->value = base64 ? read_base64(scan) : read_text(scan);
        break;
    case HEADERS:
        read_headers(scan, record);
        break;
    }
}

static void read_member(struct scan *scan, unsigned *seen, kf_record *record)
{
    kf_string name = read_string(scan);
    expect(scan, ':');
    for (size_t i = 0; !scan->err && i < sizeof members / sizeof *members; i++) {
        if (strlen(members[i].name) != name.size ||
            memcmp(members[i].name, name.data, name.size) != 0)
            continue;
        if (*seen & members[i].member)
            fail(scan, "a member is given twice");
        *seen |= members[i].member;
        if (!scan->err)
            read_value(scan, members[i].member, members[i].base64, record);
        return;
    }
    skip_value(scan, 0);
}

kf_err kf__line_read(const char *text, size_t size, kf_arena *arena, kf_record *record,
                     kf_error *error)
{
    struct scan scan = {
        .start = text, .at = text, .end = text + size, .arena = arena, .error = error};
    *record = (kf_record){.partition = -1};
    unsigned seen = 0;
    expect(&scan, '{');
    if (!accept(&scan, '}')) {
        do
            read_member(&scan, &seen, record);
        while (!scan.err && accept(&scan, ','));
        expect(&scan, '}');
    }
    if (!scan.err && peek(&scan))
        fail(&scan, "something follows the object");
    if (!scan.err && scan.at != scan.end)
        fail(&scan, "a NUL follows the object");
    if (!scan.err && !(seen & VALUE))
        fail(&scan, "the record has no value: null must be written out");
    return scan.err;
}
