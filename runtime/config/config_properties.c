/*
 * config_properties: a .properties text into pairs, as java.util.Properties
 * reads it. Knows no keys: kf_config takes each pair with its line.
 *
 *     # comment            ! comment
 *     key=value    key:value    key value    key = first \
 *                                                  second
 *
 * One departure: Java takes the bytes as ISO 8859-1. Here a text that is
 * valid UTF-8 is UTF-8, as people write it, and any other ISO 8859-1.
 */
#include "runtime/config/config_rows.h"

#include "proto/bytes/wipe.h"

#include <string.h>

struct reader {
    const char *at;
    const char *end;
    const char *name;
    size_t line;  /* of `at` */
    size_t start; /* where the logical line began */
    char *text;   /* the logical line, then key and value in it */
    size_t size;
    bool latin1;
};

static kf_err complain(const struct reader *reader, kf_error *error, const char *what)
{
    struct kf__origin origin = {KF__FROM_FILE, reader->name, reader->start};
    return kf__config_complain(&origin, error, "%s", what);
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\f'; }
static bool is_line_end(char c) { return c == '\n' || c == '\r'; }

/* How many bytes follow a first byte of UTF-8; -1: it can't be one. */
static int tail_bytes(unsigned char first)
{
    if (first < 0x80)
        return 0;
    if (first >= 0xc2 && first <= 0xdf)
        return 1;
    if ((first & 0xf0) == 0xe0)
        return 2;
    return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

static bool is_utf8(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int tail = tail_bytes((unsigned char)text[i]);
        if (tail < 0 || (size_t)tail >= size - i)
            return false;
        for (; tail; tail--)
            if (((unsigned char)text[++i] & 0xc0) != 0x80)
                return false;
    }
    return true;
}

static void put(struct reader *reader, char c)
{
    unsigned char byte = (unsigned char)c;
    if (reader->latin1 && byte >= 0x80) {
        reader->text[reader->size++] = (char)(0xc0 | byte >> 6);
        c = (char)(0x80 | (byte & 0x3f));
    }
    reader->text[reader->size++] = c;
}

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && is_blank(*reader->at))
        reader->at++;
}

/* "\r\n" is one end. */
static void skip_line_end(struct reader *reader)
{
    if (reader->at == reader->end)
        return;
    char first = *reader->at++;
    if (first == '\r' && reader->at < reader->end && *reader->at == '\n')
        reader->at++;
    reader->line++;
}

static void skip_line(struct reader *reader)
{
    while (reader->at < reader->end && !is_line_end(*reader->at))
        reader->at++;
    skip_line_end(reader);
}

/* Moves on to the first line that holds something. False: there is none. */
static bool skip_comments(struct reader *reader)
{
    for (;;) {
        skip_blanks(reader);
        if (reader->at == reader->end)
            return false;
        if (!is_line_end(*reader->at) && *reader->at != '#' && *reader->at != '!')
            return true;
        skip_line(reader);
    }
}

/*
 * Copies what is left of one logical line, continuations joined, escapes
 * kept. Where nothing stood before a continuation, what follows it is a line
 * of its own.
 */
static void copy_line(struct reader *reader)
{
    while (reader->at < reader->end && !is_line_end(*reader->at)) {
        char c = *reader->at++;
        if (c != '\\') {
            put(reader, c);
        } else if (reader->at < reader->end && !is_line_end(*reader->at)) {
            put(reader, c);
            put(reader, *reader->at++);
        } else {
            skip_line_end(reader);
            if (reader->size == 0)
                return;
            skip_blanks(reader);
        }
    }
    skip_line_end(reader);
}

/* The next logical line into `text`. False: nothing is left. */
static bool next_line(struct reader *reader)
{
    reader->size = 0;
    while (reader->size == 0) {
        if (!skip_comments(reader))
            return false;
        reader->start = reader->line;
        copy_line(reader);
    }
    reader->text[reader->size] = '\0';
    return true;
}

static bool read_hex(const char *text, unsigned *unit)
{
    static const char digits[] = "0123456789abcdef";
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        char lower = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] + ('a' - 'A') : text[i]);
        const char *digit = lower ? strchr(digits, lower) : NULL;
        if (!digit)
            return false;
        *unit = *unit << 4 | (unsigned)(digit - digits);
    }
    return true;
}

static char *put_utf8(char *out, unsigned point)
{
    if (point < 0x80) {
        *out++ = (char)point;
        return out;
    }
    if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
    } else if (point < 0x10000) {
        *out++ = (char)(0xe0 | point >> 12);
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
    } else {
        *out++ = (char)(0xf0 | point >> 18);
        *out++ = (char)(0x80 | (point >> 12 & 0x3f));
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (point & 0x3f));
    return out;
}

/* What follows "\u": one UTF-16 unit, or two with "\u" between them. NULL: no such character. */
static const char *read_unicode(const char *in, char **out)
{
    unsigned point;
    unsigned low;
    if (!read_hex(in, &point) || point == 0 || (point >= 0xdc00 && point <= 0xdfff))
        return NULL;
    in += 4;
    if (point >= 0xd800 && point <= 0xdbff) {
        if (in[0] != '\\' || in[1] != 'u' || !read_hex(in + 2, &low) || low < 0xdc00 ||
            low > 0xdfff)
            return NULL;
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        in += 6;
    }
    *out = put_utf8(*out, point);
    return in;
}

/* In place: what an escape stands for is never longer than the escape. */
static bool unescape(char *text)
{
    const char *in = text;
    char *out = text;
    while (*in) {
        char c = *in++;
        if (c != '\\') {
            *out++ = c;
            continue;
        }
        c = *in++;
        if (c == 'u') {
            in = read_unicode(in, &out);
            if (!in)
                return false;
            continue;
        }
        static const char letters[] = "tnrf";
        const char *letter = strchr(letters, c);
        *out++ = letter ? "\t\n\r\f"[letter - letters] : c;
    }
    *out = '\0';
    return true;
}

/* Ends the key and returns the value behind it. */
static char *split(char *line)
{
    char *at = line;
    while (*at && *at != '=' && *at != ':' && !is_blank(*at))
        at += *at == '\\' ? 2 : 1;
    char *end = at;
    while (is_blank(*at))
        at++;
    if (*at == '=' || *at == ':')
        at++;
    while (is_blank(*at))
        at++;
    *end = '\0';
    return at;
}

static kf_err take_pair(struct reader *reader, kf__property_fn set, void *context, kf_error *error)
{
    if (memchr(reader->text, '\0', reader->size))
        return complain(reader, error, "a zero byte: this is not a .properties file");
    char *value = split(reader->text);
    if (!unescape(reader->text) || !unescape(value))
        return complain(reader, error,
                        "\\u stands before four hexadecimal digits that make a "
                        "character");
    return set(context, reader->text, value, reader->start, error);
}

kf_err kf__properties_read(const kf_allocator *alloc, const char *text, size_t size,
                           const char *name, kf__property_fn set, void *context, kf_error *error)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors begin a file with it */
    struct reader reader = {.at = text, .end = text + size, .name = name, .line = 1};
    if (size >= 3 && memcmp(text, mark, 3) == 0)
        reader.at += 3;
    reader.latin1 = !is_utf8(text, size);
    reader.text = kf_alloc(alloc, 2 * size + 1);
    if (!reader.text)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "%s: no memory to read it", name);

    kf_err err = KF_OK;
    while (!err && next_line(&reader))
        err = take_pair(&reader, set, context, error);
    memset(reader.text, 0, 2 * size + 1); /* it may have held a password */
    if (reader.text)
        kf__wipe(reader.text, 2 * size + 1);
    kf_free(alloc, reader.text);
    return err;
}
