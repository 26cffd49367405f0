/*
 * lines_format: -f FORMAT: what stands between the percent signs, compiled to
 * steps once and run for each record.
 *
 *   %t topic  %p partition  %o offset  %d timestamp in ms  %k key  %v value  %h{…} each header
 *   %k{hex}  %k{base64}  %k{len}; the same for %v and %t; inside %h{…} %k and %v are the header's
 *   %% percent  \n \t \r \0 \\ \xHH
 */
#include "tools/kf/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum how {
    PLAIN,
    HEX,
    BASE64,
    LENGTH
};

struct kf__format_step {
    char what; /* the letter; 0: text; '}': the end of a header's part */
    enum how how;
    size_t behind; /* 'h': the step behind its end */
    char *text;    /* owned; one or more bytes, maybe NUL */
    size_t size;
};

struct parser {
    const char *at;
    struct kf__format *format;
    size_t capacity;
    kf_err err;
    kf_error *error;
};

static void fail(struct parser *parser, const char *what)
{
    if (!parser->err)
        parser->err = kf_error_set(parser->error, KF_ERR_INVALID_ARGUMENT,
                                   "the format can't be read from \"%s\" on: %s", parser->at, what);
}

static struct kf__format_step *add(struct parser *parser, char what)
{
    struct kf__format *format = parser->format;
    if (format->count == parser->capacity) {
        size_t capacity = parser->capacity * 2 + 8;
        struct kf__format_step *steps = realloc(format->steps, capacity * sizeof *steps);
        if (!steps) {
            parser->err = kf_error_set(parser->error, KF_ERR_NO_MEMORY, "no memory for the format");
            return NULL;
        }
        format->steps = steps;
        parser->capacity = capacity;
    }
    struct kf__format_step *step = &format->steps[format->count++];
    *step = (struct kf__format_step){.what = what};
    return step;
}

static void add_char(struct parser *parser, char c)
{
    struct kf__format *format = parser->format;
    struct kf__format_step *step = format->count && format->steps[format->count - 1].what == 0
                                       ? &format->steps[format->count - 1]
                                       : add(parser, 0);
    char *text = step ? realloc(step->text, step->size + 1) : NULL;
    if (!text) {
        fail(parser, "no memory");
        return;
    }
    step->text = text;
    text[step->size++] = c;
}

static int digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;
    return found ? (int)(found - digits) : -1;
}

static void parse_escape(struct parser *parser)
{
    static const char from[] = "ntr0\\";
    static const char to[] = "\n\t\r\0\\";
    char c = parser->at[1];
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        add_char(parser, to[known - from]);
        parser->at += 2;
    } else if (c == 'x' && digit(parser->at[2]) >= 0 && digit(parser->at[3]) >= 0) {
        add_char(parser, (char)(digit(parser->at[2]) << 4 | digit(parser->at[3])));
        parser->at += 4;
    } else {
        fail(parser, "escapes are \\n \\t \\r \\0 \\\\ \\xHH");
    }
}

static void parse_how(struct parser *parser, struct kf__format_step *step)
{
    static const struct {
        const char *text;
        enum how how;
    } hows[] = {{"{hex}", HEX}, {"{base64}", BASE64}, {"{len}", LENGTH}};
    if (*parser->at != '{')
        return;
    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++)
        if (strncmp(parser->at, hows[i].text, strlen(hows[i].text)) == 0) {
            step->how = hows[i].how;
            parser->at += strlen(hows[i].text);
            return;
        }
    fail(parser, "there are {hex}, {base64} and {len}");
}

static void parse_steps(struct parser *parser, bool inside);

static void parse_headers(struct parser *parser)
{
    if (*parser->at != '{') {
        fail(parser, "%h wants {…} with what to print for each header");
        return;
    }
    size_t place = parser->format->count;
    parser->at++;
    if (!add(parser, 'h'))
        return;
    parse_steps(parser, true);
    if (*parser->at != '}')
        fail(parser, "the } of %h{ is missing");
    else
        parser->at++;
    if (add(parser, '}'))
        parser->format->steps[place].behind = parser->format->count;
}

static void parse_percent(struct parser *parser, bool inside)
{
    char c = parser->at[1];
    if (c == '%' || c == '{' || c == '}') {
        add_char(parser, c);
        parser->at += 2;
        return;
    }
    if (!c || !strchr(inside ? "kvtpod" : "kvtpodh", c)) {
        fail(parser, inside ? "inside %h{…} there are %k %v %t %p %o %d"
                            : "there are %t %p %o %k %v %h{…} %d and %%");
        return;
    }
    parser->at += 2;
    if (c == 'h') {
        parse_headers(parser);
        return;
    }
    struct kf__format_step *step = add(parser, c);
    if (step && strchr("kvt", c))
        parse_how(parser, step);
}

static void parse_steps(struct parser *parser, bool inside)
{
    while (!parser->err && *parser->at && !(inside && *parser->at == '}')) {
        if (*parser->at == '\\')
            parse_escape(parser);
        else if (*parser->at == '%')
            parse_percent(parser, inside);
        else
            add_char(parser, *parser->at++);
    }
}

kf_err kf__format_parse(const char *text, struct kf__format *format, kf_error *error)
{
    *format = (struct kf__format){0};
    struct parser parser = {.at = text, .format = format, .error = error};
    parse_steps(&parser, false);
    if (parser.err)
        kf__format_free(format);
    return parser.err;
}

void kf__format_free(struct kf__format *format)
{
    for (size_t i = 0; i < format->count; i++)
        free(format->steps[i].text);
    free(format->steps);
    *format = (struct kf__format){0};
}

/* ---- running ---- */

static void put_number(kf_writer *out, int64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%lld", (long long)number);
    kf_writer_put(out, text, (size_t)size);
}

static void put_bytes(kf_writer *out, enum how how, const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    switch (how) {
    case PLAIN:
        kf_writer_put(out, bytes, size);
        break;
    case HEX:
        for (size_t i = 0; i < size; i++) {
            char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
            kf_writer_put(out, pair, sizeof pair);
        }
        break;
    case BASE64:
        kf__put_base64(out, bytes, size);
        break;
    case LENGTH:
        put_number(out, (int64_t)size);
        break;
    }
}

/* `header` is NULL outside of %h{…}. */
static void run_step(kf_writer *out, const struct kf__format_step *step, const kf_message *message,
                     const kf_header *header)
{
    kf_bytes key =
        header ? (kf_bytes){(const uint8_t *)header->name.data, header->name.size} : message->key;
    kf_bytes value = header ? header->value : message->value;
    switch (step->what) {
    case 0:
        kf_writer_put(out, step->text, step->size);
        break;
    case 't':
        put_bytes(out, step->how, message->topic, strlen(message->topic));
        break;
    case 'p':
        put_number(out, message->partition);
        break;
    case 'o':
        put_number(out, message->offset);
        break;
    case 'd':
        put_number(out, message->timestamp);
        break;
    case 'k':
        put_bytes(out, step->how, key.data, key.size);
        break;
    case 'v':
        put_bytes(out, step->how, value.data, value.size);
        break;
    default:
        break;
    }
}

void kf__line_format(kf_writer *out, const struct kf__format *format, const kf_message *message)
{
    for (size_t i = 0; i < format->count; i++) {
        const struct kf__format_step *step = &format->steps[i];
        if (step->what != 'h') {
            run_step(out, step, message, NULL);
            continue;
        }
        kf_header header;
        for (size_t at = 0; kf_message_headers_next(message, &at, &header);)
            for (size_t inside = i + 1; inside + 1 < step->behind; inside++)
                run_step(out, &format->steps[inside], message, &header);
        i = step->behind - 1;
    }
}
