/* base64: see base64.h. */
#include "net/sasl/base64.h"

#include <string.h>

static const char STANDARD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char FOR_URLS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t write_groups(const uint8_t *bytes, size_t size, char *text, const char *alphabet,
                           bool pads)
{
    char *out = text;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (left > 1)
            group |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2)
            group |= bytes[i + 2];
        for (size_t c = 0; c <= left; c++)
            *out++ = alphabet[group >> (18 - 6 * c) & 63];
        for (size_t c = left; pads && c < 3; c++)
            *out++ = '=';
    }
    return (size_t)(out - text);
}

size_t kf__base64_write(const void *bytes, size_t size, char *text)
{
    return write_groups(bytes, size, text, STANDARD, true);
}

size_t kf__base64url_write(const void *bytes, size_t size, char *text)
{
    return write_groups(bytes, size, text, FOR_URLS, false);
}

static int value_of(char c, const char *alphabet)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* `size` without padding: a rest of one character can't be, and unused bits must be zero. */
static ssize_t read_groups(const char *text, size_t size, uint8_t *bytes, const char *alphabet)
{
    if (size % 4 == 1)
        return -1;
    uint32_t bits = 0;
    int held = 0;
    ssize_t count = 0;
    for (size_t i = 0; i < size; i++) {
        int value = value_of(text[i], alphabet);
        if (value < 0)
            return -1;
        bits = (bits << 6 | (uint32_t)value) & 0xffff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[count++] = (uint8_t)(bits >> held);
        }
    }
    return bits & ((1u << held) - 1) ? -1 : count;
}

ssize_t kf__base64_read(const char *text, size_t size, uint8_t *bytes)
{
    if (size % 4 != 0)
        return -1;
    for (int pads = 0; size > 0 && text[size - 1] == '=' && pads < 2; pads++)
        size--;
    return read_groups(text, size, bytes, STANDARD);
}

ssize_t kf__base64url_read(const char *text, size_t size, uint8_t *bytes)
{
    return read_groups(text, size, bytes, FOR_URLS);
}
