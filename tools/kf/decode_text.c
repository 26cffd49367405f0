/* decode_text: hex as people have it to bytes, and a raw stream to frames. */
#include "tools/kf/decode.h"

#include <kafiber/codec.h>
#include <stdlib.h>
#include <string.h>

enum {
    OFFSET_DIGITS = 8, /* as xxd and hexdump -C write it */
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool kf__may_be_hex(const uint8_t *bytes, size_t size)
{
    static const char others[] = " \t\r\n:xX|";
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '#')
            return true;
        if (hex_value(bytes[i]) < 0 && !memchr(others, bytes[i], sizeof others - 1))
            return false;
    }
    return size > 0;
}

static bool is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == ':'; }

/* Where the hex of a line begins: behind the offset of a dump. */
static const uint8_t *line_begin(const uint8_t *at, const uint8_t *end, bool hexdump, bool *xxd)
{
    const uint8_t *digit = at;
    while (digit < end && hex_value(*digit) >= 0)
        digit++;
    *xxd = digit - at >= 4 && end - digit > 1 && digit[0] == ':' && digit[1] == ' ';
    if (*xxd)
        return digit + 2;
    return hexdump && digit - at >= OFFSET_DIGITS ? digit : at;
}

/* Where it ends: before a comment, or the text column of a dump. */
static const uint8_t *line_end(const uint8_t *at, const uint8_t *end, bool xxd)
{
    for (const uint8_t *c = at; c < end; c++)
        if (*c == '#' || *c == '|' || (xxd && c + 1 < end && c[0] == ' ' && c[1] == ' '))
            return c;
    return end;
}

/* Appends a line's bytes at *out; false where it is no hex. */
static bool read_line(const uint8_t *at, const uint8_t *end, bool hexdump, uint8_t **out)
{
    bool xxd;
    at = line_begin(at, end, hexdump, &xxd);
    end = line_end(at, end, xxd);
    while (at < end) {
        if (is_space(*at)) {
            at++;
            continue;
        }
        if (end - at > 1 && at[0] == '0' && (at[1] | 0x20) == 'x') {
            at += 2;
            continue;
        }
        int high = hex_value(at[0]), low = end - at > 1 ? hex_value(at[1]) : -1;
        if (high < 0 || low < 0)
            return false;
        if (out)
            *(*out)++ = (uint8_t)(high << 4 | low);
        at += 2;
    }
    return true;
}

static bool read_lines(const uint8_t *bytes, size_t size, uint8_t **out, size_t *line)
{
    const uint8_t *at = bytes, *end = bytes + size;
    bool hexdump = size && memchr(bytes, '|', size); /* its text column */
    for (*line = 1; at < end; ++*line) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        const uint8_t *stop = newline ? newline : end;
        if (!read_line(at, stop, hexdump, out))
            return false;
        at = newline ? newline + 1 : end;
    }
    return true;
}

bool kf__is_hex_text(const uint8_t *bytes, size_t size)
{
    size_t line;
    return size && read_lines(bytes, size, NULL, &line);
}

bool kf__hex_to_bytes(uint8_t *bytes, size_t *size, size_t *line)
{
    uint8_t *out = bytes; /* two digits become one byte: it never passes what is read */
    if (!read_lines(bytes, *size, &out, line))
        return false;
    *size = (size_t)(out - bytes);
    return true;
}

/* ---- raw streams ---- */

static uint32_t be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The oldest request with this id, which is then answered. */
static bool take_question(struct kf__raw *raw, int32_t correlation_id, struct kf__frame_seen *frame)
{
    for (size_t i = 0; i < raw->asked_count; i++) {
        struct kf__asked asked = raw->asked[i];
        if (asked.correlation_id != correlation_id)
            continue;
        memmove(raw->asked + i, raw->asked + i + 1, (--raw->asked_count - i) * sizeof asked);
        frame->paired = true;
        frame->api_key = asked.api_key;
        frame->api_version = asked.api_version;
        return true;
    }
    return false;
}

static bool is_request(const struct kf__frame_seen *frame, const struct kf__printer *printer)
{
    kf_dissection facts;
    return kf__looks_like_request(frame->bytes, frame->size) &&
           kf_dissect_request(frame->bytes, frame->size, NULL, printer->arena.alloc, NULL, NULL,
                              &facts) == KF_OK &&
           !facts.err;
}

/* A request, where it reads as one; else an answer, where one is waited for. */
static void classify(struct kf__raw *raw, struct kf__frame_seen *frame,
                     const struct kf__printer *printer)
{
    if (raw->direction == KF__RESPONSES) {
        frame->paired = true;
        frame->api_key = raw->api_key;
        frame->api_version = raw->api_version;
        return;
    }
    frame->request = raw->direction == KF__REQUESTS || is_request(frame, printer);
    if (!frame->request && frame->size >= 2 * KF__SIZE_FIELD &&
        take_question(raw, (int32_t)be32(frame->bytes + KF__SIZE_FIELD), frame))
        return;
    frame->request = frame->request || kf__looks_like_request(frame->bytes, frame->size);
    if (frame->request && frame->size >= 12) {
        if (raw->asked_count == KF__MOST_ASKED)
            memmove(raw->asked, raw->asked + 1, --raw->asked_count * sizeof *raw->asked);
        raw->asked[raw->asked_count++] = (struct kf__asked){
            (int32_t)be32(frame->bytes + 8),
            (int16_t)(be32(frame->bytes + 4) >> 16),
            (int16_t)(be32(frame->bytes + 4) & 0xFFFF),
        };
    }
}

size_t kf__raw_frame_size(const uint8_t *bytes, size_t size, bool *sound)
{
    enum {
        SHOWN = 1 << 20
    };
    /* A larger one is no size, or of a stream whose frames one can't wait for. */
    static const uint32_t largest = 256u << 20;
    *sound = size >= KF__SIZE_FIELD && be32(bytes) <= largest;
    if (size < KF__SIZE_FIELD)
        return size;
    return *sound ? be32(bytes) + (size_t)KF__SIZE_FIELD : SHOWN;
}

void kf__decode_raw_frame(struct kf__raw *raw, const uint8_t *bytes, size_t size,
                          struct kf__printer *printer)
{
    bool sound;
    size_t whole = kf__raw_frame_size(bytes, size, &sound);
    struct kf__frame_seen frame = {
        .bytes = bytes,
        .size = size,
        .missing = sound ? whole - size : 0,
        .forwarded_key = -1,
    };
    classify(raw, &frame, printer);
    kf__print_frame(&frame, printer);
}
