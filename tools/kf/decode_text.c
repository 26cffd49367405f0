/* decode_text: hex as people have it to bytes, and a raw stream to frames. */
#include "tools/kf/decode.h"

#include <kafiber/codec.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIZE_FIELD = 4,
    OFFSET_DIGITS = 8, /* as xxd and hexdump -C write it */
    MOST_OUTSTANDING = 4096,
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == ':'; }

/* Where the hex of a line begins: behind the offset of a dump. */
static const uint8_t *line_begin(const uint8_t *at, const uint8_t *end, bool *xxd)
{
    const uint8_t *digit = at;
    while (digit < end && hex_value(*digit) >= 0)
        digit++;
    *xxd = digit - at >= 4 && digit < end && *digit == ':' && digit + 1 < end && digit[1] == ' ';
    bool hexdump = digit - at == OFFSET_DIGITS &&
                   (digit == end || (end - digit > 1 && digit[0] == ' ' && digit[1] == ' '));
    if (*xxd)
        return digit + 2;
    return hexdump && digit < end ? digit : at;
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
static bool read_line(const uint8_t *at, const uint8_t *end, uint8_t **out)
{
    bool xxd;
    at = line_begin(at, end, &xxd);
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
    for (*line = 1; at < end; ++*line) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        const uint8_t *stop = newline ? newline : end;
        if (!read_line(at, stop, out))
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

struct asked {
    int32_t correlation_id;
    int16_t api_key;
    int16_t api_version;
};

struct questions {
    struct asked items[MOST_OUTSTANDING];
    size_t count;
};

static uint32_t be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The oldest request with this id, which is then answered. */
static bool take_question(struct questions *questions, int32_t correlation_id,
                          struct kf__frame_seen *frame)
{
    for (size_t i = 0; i < questions->count; i++) {
        struct asked asked = questions->items[i];
        if (asked.correlation_id != correlation_id)
            continue;
        memmove(questions->items + i, questions->items + i + 1,
                (--questions->count - i) * sizeof asked);
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
           kf_dissect_request(frame->bytes, frame->size, printer->arena.alloc, NULL, NULL,
                              &facts) == KF_OK &&
           !facts.err;
}

/* A request, where it reads as one; else an answer, where one is waited for. */
static void classify(const struct kf__raw *raw, struct questions *questions,
                     struct kf__frame_seen *frame, const struct kf__printer *printer)
{
    if (raw->direction == KF__RESPONSES) {
        frame->paired = true;
        frame->api_key = raw->api_key;
        frame->api_version = raw->api_version;
        return;
    }
    frame->request = raw->direction == KF__REQUESTS || is_request(frame, printer);
    if (!frame->request && frame->size >= 2 * SIZE_FIELD &&
        take_question(questions, (int32_t)be32(frame->bytes + SIZE_FIELD), frame))
        return;
    frame->request = frame->request || kf__looks_like_request(frame->bytes, frame->size);
    if (frame->request && frame->size >= 12) {
        if (questions->count == MOST_OUTSTANDING)
            memmove(questions->items, questions->items + 1,
                    --questions->count * sizeof *questions->items);
        questions->items[questions->count++] = (struct asked){
            (int32_t)be32(frame->bytes + 8),
            (int16_t)(be32(frame->bytes + 4) >> 16),
            (int16_t)(be32(frame->bytes + 4) & 0xFFFF),
        };
    }
}

kf_err kf__decode_raw(const struct kf__raw *raw, const uint8_t *bytes, size_t size,
                      struct kf__printer *printer)
{
    struct questions *questions = calloc(1, sizeof *questions);
    if (!questions)
        return KF_ERR_NO_MEMORY;
    for (size_t at = 0; at < size && !printer->err;) {
        struct kf__frame_seen frame = {.bytes = bytes + at, .size = size - at};
        if (frame.size >= SIZE_FIELD) {
            uint32_t announced = be32(frame.bytes);
            if (announced < frame.size - SIZE_FIELD)
                frame.size = (size_t)announced + SIZE_FIELD;
            else if (announced <= INT32_MAX)
                frame.missing = announced - (frame.size - SIZE_FIELD);
        }
        classify(raw, questions, &frame, printer);
        kf__print_frame(&frame, printer);
        at += frame.size;
    }
    free(questions);
    return printer->err;
}
