/*
 * interop_lines: records as lines, the same for every client that tests/integration/test_interop.sh
 * compares:
 *
 *     TIMESTAMP KEY VALUE HEADERS
 *
 * Bytes are base64, "-" is null and "=" is empty; headers are NAME:VALUE,NAME:VALUE, or "none".
 * For programs with a main of their own: what can't be read ends the program.
 */
#ifndef KF_TESTS_INTEROP_LINES_H
#define KF_TESTS_INTEROP_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_BYTES = 1 << 17,
    LINE_HEADERS = 16,
};

struct line_bytes {
    uint8_t *data; /* NULL: null */
    size_t size;
};

struct line_header {
    struct line_bytes name;
    struct line_bytes value;
};

struct line {
    int64_t timestamp;
    struct line_bytes key;
    struct line_bytes value;
    struct line_header headers[LINE_HEADERS];
    size_t header_count;
};

static const char line_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static _Noreturn void line_die(const char *what)
{
    fprintf(stderr, "interop: %s\n", what);
    exit(1);
}

static uint32_t line_digit(char digit)
{
    const char *at = digit ? strchr(line_digits, digit) : NULL;
    if (!at)
        line_die("no base64");
    return (uint32_t)(at - line_digits);
}

/* In place: the bytes never need more room than their text. */
static struct line_bytes line_decode(char *text)
{
    if (strcmp(text, "-") == 0)
        return (struct line_bytes){NULL, 0};
    uint8_t *out = (uint8_t *)text;
    size_t size = 0;
    for (size_t length = strcmp(text, "=") == 0 ? 0 : strlen(text), i = 0; i + 3 < length; i += 4) {
        int padding = (text[i + 2] == '=') + (text[i + 3] == '=');
        uint32_t word = line_digit(text[i]) << 18 | line_digit(text[i + 1]) << 12 |
                        (padding > 1 ? 0 : line_digit(text[i + 2])) << 6 |
                        (padding > 0 ? 0 : line_digit(text[i + 3]));
        for (int k = 0; k < 3 - padding; k++)
            out[size++] = (uint8_t)(word >> (16 - 8 * k));
    }
    return (struct line_bytes){out, size};
}

static void line_read_headers(struct line *line, char *text)
{
    line->header_count = 0;
    char *rest = NULL;
    for (char *one = strcmp(text, "none") == 0 ? NULL : strtok_r(text, ",", &rest); one;
         one = strtok_r(NULL, ",", &rest)) {
        char *colon = strchr(one, ':');
        if (!colon || line->header_count == LINE_HEADERS)
            line_die("no headers");
        *colon = 0;
        line->headers[line->header_count].name = line_decode(one);
        line->headers[line->header_count++].value = line_decode(colon + 1);
    }
}

/* False at the end. The line's bytes lie in a buffer that the next call overwrites. */
static bool line_read(FILE *file, struct line *line)
{
    static char text[LINE_BYTES];
    char *rest = NULL;
    if (!fgets(text, sizeof text, file))
        return false;
    char *timestamp = strtok_r(text, " \n", &rest);
    char *key = strtok_r(NULL, " \n", &rest);
    char *value = strtok_r(NULL, " \n", &rest);
    char *headers = strtok_r(NULL, " \n", &rest);
    if (!headers)
        line_die("a line needs four words");
    line->timestamp = strtoll(timestamp, NULL, 10);
    line->key = line_decode(key);
    line->value = line_decode(value);
    line_read_headers(line, headers);
    return true;
}

static void line_put(const void *bytes, size_t size)
{
    const uint8_t *in = bytes;
    if (!in || !size)
        putchar(in ? '=' : '-');
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t word = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                        (left > 2 ? in[i + 2] : 0);
        putchar(line_digits[word >> 18]);
        putchar(line_digits[word >> 12 & 63]);
        putchar(left > 1 ? line_digits[word >> 6 & 63] : '=');
        putchar(left > 2 ? line_digits[word & 63] : '=');
    }
}

static void line_put_header(size_t index, const void *name, size_t name_size, const void *value,
                            size_t value_size)
{
    if (index)
        putchar(',');
    line_put(name, name_size);
    putchar(':');
    line_put(value, value_size);
}

#endif
