#include "proto/codec/json_scan.h"

#include "proto/bytes/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    DEEPEST_SKIPPED = 64
}; /* levels of a value that nobody asked for */

void kf__scan_fail(struct kf__scan *scan, const char *format, ...)
{
    if (scan->err)
        return;
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    scan->err = KF_ERR_BAD_JSON;
    kf_error_set(scan->error, KF_ERR_BAD_JSON, "byte %zu of the JSON: %s",
                 (size_t)(scan->at - scan->start), what);
    scan->at = scan->end;
}

void kf__scan_no_memory(struct kf__scan *scan)
{
    if (scan->err)
        return;
    scan->err = KF_ERR_NO_MEMORY;
    kf_error_set(scan->error, KF_ERR_NO_MEMORY, "no memory for the message");
    scan->at = scan->end;
}

char kf__scan_peek(struct kf__scan *scan)
{
    while (scan->at < scan->end && strchr(" \t\r\n", *scan->at) && *scan->at)
        scan->at++;
    return scan->at < scan->end && !scan->err ? *scan->at : '\0';
}

bool kf__scan_accept(struct kf__scan *scan, char c)
{
    if (kf__scan_peek(scan) != c)
        return false;
    scan->at++;
    return true;
}

void kf__scan_expect(struct kf__scan *scan, char c)
{
    if (!kf__scan_accept(scan, c))
        kf__scan_fail(scan, "expected '%c'", c);
}

bool kf__scan_word(struct kf__scan *scan, const char *word)
{
    size_t length = strlen(word);
    kf__scan_peek(scan);
    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
        return false;
    scan->at += length;
    return true;
}

/* Four hex digits; -1 where they aren't. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static size_t put_utf8(char *to, int32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3F));
        to[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3F));
    to[2] = (char)(0x80 | (c >> 6 & 0x3F));
    to[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* \uXXXX, or two of them for one character beyond U+FFFF; `at` is behind the u. */
static size_t unescape_unicode(struct kf__scan *scan, char *to)
{
    int32_t c = hex4(scan->at, scan->end);
    if (c < 0) {
        kf__scan_fail(scan, "\\u needs four hexadecimal digits");
        return 0;
    }
    scan->at += 4;
    if (c < 0xD800 || c > 0xDFFF)
        return put_utf8(to, c);

    int32_t low = -1;
    if (c < 0xDC00 && scan->end - scan->at >= 6 && scan->at[0] == '\\' && scan->at[1] == 'u')
        low = hex4(scan->at + 2, scan->end);
    if (low < 0xDC00 || low > 0xDFFF)
        return put_utf8(to, '?');
    scan->at += 6;
    return put_utf8(to, 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00));
}

static size_t unescape(struct kf__scan *scan, char *to)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    scan->at++; /* the backslash */
    char c = scan->at < scan->end ? *scan->at : '\0';
    const char *known = c ? strchr(escapes, c) : NULL;
    if (c != 'u' && !known) {
        kf__scan_fail(scan, "unknown escape in a string");
        return 0;
    }
    scan->at++;
    if (c == 'u')
        return unescape_unicode(scan, to);
    *to = meanings[known - escapes];
    return 1;
}

/* Where the closing quote is, or NULL. */
static const char *find_quote(const struct kf__scan *scan)
{
    for (const char *at = scan->at; at < scan->end; at++) {
        if (*at == '"')
            return at;
        if (*at == '\\')
            at++;
    }
    return NULL;
}

kf_string kf__scan_string(struct kf__scan *scan)
{
    kf__scan_expect(scan, '"');
    const char *quote = scan->err ? NULL : find_quote(scan);
    if (!quote) {
        kf__scan_fail(scan, "a string does not end");
        return (kf_string){NULL, 0};
    }
    /* No escape is shorter than what it stands for. */
    char *text = kf_arena_alloc(scan->arena, (size_t)(quote - scan->at) + 1);
    if (!text)
        kf__scan_no_memory(scan);
    size_t size = 0;
    while (!scan->err && scan->at < quote) {
        if (*scan->at == '\\') {
            size += unescape(scan, text + size);
            continue;
        }
        bool valid;
        size_t step = kf__utf8_step((const uint8_t *)scan->at, (size_t)(quote - scan->at), &valid);
        if (!valid || (unsigned char)*scan->at < 0x20) {
            kf__scan_fail(scan, "a string holds %s",
                          valid ? "a control character" : "bytes that are no UTF-8");
            break;
        }
        memcpy(text + size, scan->at, step);
        size += step;
        scan->at += step;
    }
    if (scan->err)
        return (kf_string){NULL, 0};
    scan->at = quote + 1;
    return (kf_string){text, size};
}

static size_t digits(struct kf__scan *scan)
{
    const char *start = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return (size_t)(scan->at - start);
}

static bool take(struct kf__scan *scan, const char *any_of)
{
    if (scan->at == scan->end || !*scan->at || !strchr(any_of, *scan->at))
        return false;
    scan->at++;
    return true;
}

kf_string kf__scan_number(struct kf__scan *scan, bool *integer)
{
    kf__scan_peek(scan);
    const char *start = scan->at;
    *integer = true;
    take(scan, "-");
    bool zero = scan->at < scan->end && *scan->at == '0';
    size_t whole = digits(scan);
    bool good = whole == 1 || (whole > 1 && !zero);
    if (good && take(scan, ".")) {
        *integer = false;
        good = digits(scan) > 0;
    }
    if (good && take(scan, "eE")) {
        *integer = false;
        take(scan, "+-");
        good = digits(scan) > 0;
    }
    if (!good) {
        scan->at = scan->err ? scan->at : start;
        kf__scan_fail(scan, "expected a number");
        return (kf_string){NULL, 0};
    }
    return (kf_string){start, (size_t)(scan->at - start)};
}

static void skip_string(struct kf__scan *scan)
{
    kf__scan_expect(scan, '"');
    const char *quote = scan->err ? NULL : find_quote(scan);
    if (quote)
        scan->at = quote + 1;
    else
        kf__scan_fail(scan, "a string does not end");
}

static void skip_value(struct kf__scan *scan, int depth)
{
    bool integer;
    char c = kf__scan_peek(scan);
    if (depth == DEEPEST_SKIPPED) {
        kf__scan_fail(scan, "more than %d levels", DEEPEST_SKIPPED);
    } else if (c == '"') {
        skip_string(scan);
    } else if (c == '{' || c == '[') {
        char close = c == '{' ? '}' : ']';
        scan->at++;
        if (kf__scan_accept(scan, close))
            return;
        do {
            if (c == '{') {
                skip_string(scan);
                kf__scan_expect(scan, ':');
            }
            skip_value(scan, depth + 1);
        } while (kf__scan_accept(scan, ','));
        kf__scan_expect(scan, close);
    } else if (!kf__scan_word(scan, "true") && !kf__scan_word(scan, "false") &&
               !kf__scan_word(scan, "null")) {
        kf__scan_number(scan, &integer);
    }
}

void kf__scan_skip(struct kf__scan *scan) { skip_value(scan, 0); }

size_t kf__scan_count(const struct kf__scan *scan)
{
    struct kf__scan ahead = *scan;
    ahead.error = NULL; /* the reader comes to the same place and tells */
    if (kf__scan_peek(&ahead) == ']')
        return 0;
    size_t count = 0;
    do {
        skip_value(&ahead, 0);
        count++;
    } while (kf__scan_accept(&ahead, ','));
    return count;
}
