/* dissect_text: values as one line of text. Called by the dissector alone. */
#include "proto/bytes/utf8.h"
#include "proto/dissect/dissect_walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void kf__text_add(struct kf__text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = sizeof text->bytes - text->used;
    int length = vsnprintf(text->bytes + text->used, room, format, args);
    va_end(args);
    if (length > 0)
        text->used += (size_t)length < room ? (size_t)length : room - 1;
}

static void put_quoted(struct kf__text *text, const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    kf__text_add(text, "\"");
    while (at < end) {
        bool valid;
        size_t length = kf__utf8_step(at, (size_t)(end - at), &valid);
        if (!valid || at[0] < 0x20 || at[0] == 0x7F)
            for (size_t i = 0; i < length; i++)
                kf__text_add(text, "\\x%02x", at[i]);
        else if (at[0] == '"' || at[0] == '\\')
            kf__text_add(text, "\\%c", at[0]);
        else
            kf__text_add(text, "%.*s", (int)length, (const char *)at);
        at += length;
    }
    kf__text_add(text, "\"");
}

/* So that no character is cut in two. */
static size_t cut_at_character(const uint8_t *at, size_t size, size_t most)
{
    size_t shown = 0;
    bool valid;
    while (shown < size) {
        size_t length = kf__utf8_step(at + shown, size - shown, &valid);
        if (shown + length > most)
            break;
        shown += length;
    }
    return shown;
}

void kf__text_string(struct kf__text *text, const void *data, size_t size)
{
    if (!data) {
        kf__text_add(text, "null");
        return;
    }
    /* An escaped byte takes four characters. */
    size_t most = KF__VALUE_STRING;
    for (size_t i = 0; i < size && i < most; i++)
        if (((const uint8_t *)data)[i] < 0x20 || ((const uint8_t *)data)[i] >= 0x7F)
            most = KF__VALUE_STRING / 2;
    size_t shown = cut_at_character(data, size, most);
    put_quoted(text, data, shown);
    if (shown < size)
        kf__text_add(text, "… (%zu bytes)", size);
}

static bool is_text(const uint8_t *data, size_t size)
{
    bool valid = true;
    for (size_t at = 0; at < size && valid;) {
        if (data[at] < 0x20 && data[at] != '\n' && data[at] != '\t' && data[at] != '\r')
            return false;
        at += kf__utf8_step(data + at, size - at, &valid);
    }
    return valid;
}

void kf__text_bytes(struct kf__text *text, const uint8_t *data, size_t size)
{
    if (!data || is_text(data, size)) {
        kf__text_string(text, data, size);
        return;
    }
    size_t shown = size < KF__VALUE_BINARY ? size : KF__VALUE_BINARY;
    kf__text_add(text, "0x");
    for (size_t i = 0; i < shown; i++)
        kf__text_add(text, "%02x", data[i]);
    if (shown < size)
        kf__text_add(text, "… (%zu bytes)", size);
}

void kf__text_time(struct kf__text *text, int64_t ms)
{
    static const int64_t year_3000 = 32503680000;
    struct tm tm;
    time_t seconds = (time_t)(ms / 1000);
    if (ms <= 0 || ms / 1000 > year_3000 || !gmtime_r(&seconds, &tm))
        return;
    char date[32];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    kf__text_add(text, " %s.%03dZ", date, (int)(ms % 1000));
}

void kf__text_uuid(struct kf__text *text, const uint8_t *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char out[23];
    size_t n = 0;
    for (size_t i = 0; i < 16; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16;
        if (i + 1 < 16)
            three |= (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (unsigned shift = 18; n < 22 && shift + 6 > 0; shift -= 6) {
            out[n++] = digits[three >> shift & 63];
            if (shift == 0)
                break;
        }
    }
    out[n] = '\0';
    kf__text_add(text, "%s", out);
}
