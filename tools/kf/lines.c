/* lines: a record as one line of JSON; see lines.h. */
#include "tools/kf/lines.h"

#include <stdio.h>
#include <string.h>

static void put(kf_writer *out, const char *text) { kf_writer_put(out, text, strlen(text)); }

static void put_number(kf_writer *out, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    put(out, text);
}

/* ---- UTF-8 ---- */

/* How many bytes the sequence takes that begins here; 0: it is none. RFC 3629, section 4. */
static size_t sequence(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || left < size)
        return 0;
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if (at[i] < 0x80 || at[i] > 0xBF)
            return 0;
    return size;
}

bool kf__is_utf8(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (size_t step; size > 0; at += step, size -= step) {
        step = sequence(at, size);
        if (step == 0)
            return false;
    }
    return true;
}

/* ---- strings ---- */

static void put_escape(kf_writer *out, unsigned char c)
{
    static const char from[] = "\"\\\n\r\t\b\f";
    static const char to[] = "\"\\nrtbf";
    const char *known = memchr(from, c, sizeof from - 1);
    char text[8];
    if (known)
        snprintf(text, sizeof text, "\\%c", to[known - from]);
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    put(out, text);
}

void kf__json_string(kf_writer *out, const char *text, size_t size)
{
    put(out, "\"");
    size_t plain = 0; /* what can be copied as it is */
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        kf_writer_put(out, text + plain, i - plain);
        put_escape(out, c);
        plain = i + 1;
    }
    kf_writer_put(out, text + plain, size - plain);
    put(out, "\"");
}

void kf__put_base64(kf_writer *out, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                        left > 1 ? digits[three >> 6 & 63] : '=',
                        left > 2 ? digits[three & 63] : '='};
        kf_writer_put(out, four, sizeof four);
    }
}

/* ,"key":"k" or ,"key":null or ,"key_b64":"…" */
static void put_value(kf_writer *out, const char *name, kf_bytes bytes)
{
    bool text = bytes.data && kf__is_utf8(bytes.data, bytes.size);
    put(out, ",\"");
    put(out, name);
    put(out, bytes.data && !text ? "_b64\":" : "\":");
    if (!bytes.data) {
        put(out, "null");
    } else if (text) {
        kf__json_string(out, (const char *)bytes.data, bytes.size);
    } else {
        put(out, "\"");
        kf__put_base64(out, bytes.data, bytes.size);
        put(out, "\"");
    }
}

/* "h", null or {"b64":"…"} */
static void put_part(kf_writer *out, const void *bytes, size_t size)
{
    if (!bytes) {
        put(out, "null");
    } else if (kf__is_utf8(bytes, size)) {
        kf__json_string(out, bytes, size);
    } else {
        put(out, "{\"b64\":\"");
        kf__put_base64(out, bytes, size);
        put(out, "\"}");
    }
}

static void put_headers(kf_writer *out, const kf_message *message)
{
    kf_header header;
    const char *comma = "";
    put(out, ",\"headers\":[");
    for (size_t at = 0; kf_message_headers_next(message, &at, &header); comma = ",") {
        put(out, comma);
        put(out, "[");
        put_part(out, header.name.data, header.name.size);
        put(out, ",");
        put_part(out, header.value.data, header.value.size);
        put(out, "]");
    }
    put(out, "]");
}

void kf__line_json(kf_writer *out, const kf_message *message)
{
    put(out, "{\"topic\":");
    kf__json_string(out, message->topic, strlen(message->topic));
    put(out, ",\"partition\":");
    put_number(out, message->partition);
    put(out, ",\"offset\":");
    put_number(out, message->offset);
    put(out, ",\"timestamp\":");
    put_number(out, message->timestamp);
    put_value(out, "key", message->key);
    put_value(out, "value", message->value);
    put_headers(out, message);
    put(out, "}");
}
