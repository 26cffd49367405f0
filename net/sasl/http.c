/* http: see http.h. */
#include "net/sasl/http.h"

#include "net/sasl/secret.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static kf_err bad(kf_error *error, const char *what)
{
    return kf_error_set(error, KF_ERR_BAD_HTTP, "the HTTP answer %s", what);
}

void kf__http_init(struct kf__http_answer *answer, const kf_allocator *alloc)
{
    *answer = (struct kf__http_answer){.alloc = alloc};
}

void kf__http_free(struct kf__http_answer *answer)
{
    kf__free_secret(answer->alloc, answer->bytes, answer->capacity);
    *answer = (struct kf__http_answer){.alloc = answer->alloc};
}

/* By hand: what realloc leaves behind is not wiped. */
static kf_err reserve(struct kf__http_answer *answer, size_t size)
{
    size_t wanted = answer->used + size + 1;
    if (wanted <= answer->capacity)
        return KF_OK;
    size_t capacity = answer->capacity * 2 > wanted ? answer->capacity * 2 : wanted;
    char *bytes = kf_alloc(answer->alloc, capacity);
    if (!bytes)
        return KF_ERR_NO_MEMORY;
    if (answer->used)
        memcpy(bytes, answer->bytes, answer->used);
    kf__free_secret(answer->alloc, answer->bytes, answer->capacity);
    answer->bytes = bytes;
    answer->capacity = capacity;
    return KF_OK;
}

/* ---- the head ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* "HTTP/1.1 200 OK" */
static bool read_status(const char *line, size_t size, int *status)
{
    if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
        line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
        (size > 12 && line[12] != ' '))
        return false;
    *status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    return *status >= 100;
}

static kf_string trim(kf_string text)
{
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = (kf_string){text.data + 1, text.size - 1};
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static bool is_word(kf_string text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.data, word, text.size) == 0;
}

static kf_err read_length(struct kf__http_answer *answer, kf_string value, kf_error *error)
{
    size_t length = 0;
    if (value.size == 0 || value.size > 9)
        return bad(error, "has no usable Content-Length");
    for (size_t i = 0; i < value.size; i++) {
        if (!is_digit(value.data[i]))
            return bad(error, "has no usable Content-Length");
        length = length * 10 + (size_t)(value.data[i] - '0');
    }
    if (answer->has_length && answer->length != length)
        return bad(error, "has two different lengths");
    if (length > KF__HTTP_BODY_BYTES)
        return bad(error, "is longer than 64 KiB");
    answer->length = length;
    answer->has_length = true;
    return KF_OK;
}

static kf_err take_header(struct kf__http_answer *answer, const char *line, size_t size,
                          kf_error *error)
{
    const char *colon = memchr(line, ':', size);
    if (!colon || colon == line || line[0] == ' ' || line[0] == '\t')
        return bad(error, "has a malformed header line");
    kf_string name = {line, (size_t)(colon - line)};
    kf_string value = trim((kf_string){colon + 1, size - name.size - 1});
    if (is_word(name, "content-length"))
        return read_length(answer, value, error);
    if (is_word(name, "content-encoding") && !is_word(value, "identity"))
        return bad(error, "is compressed, though nobody asked for that");
    if (!is_word(name, "transfer-encoding"))
        return KF_OK;
    if (answer->chunked || !is_word(value, "chunked"))
        return bad(error, "has a transfer encoding other than chunked");
    answer->chunked = true;
    return KF_OK;
}

/* The size of the head with its empty line; 0: not all there. */
static size_t find_head(const struct kf__http_answer *answer)
{
    for (size_t i = 3; i < answer->used; i++)
        if (memcmp(answer->bytes + i - 3, "\r\n\r\n", 4) == 0)
            return i + 1;
    return 0;
}

static kf_err read_head(struct kf__http_answer *answer, kf_error *error)
{
    answer->head_size = find_head(answer);
    if (!answer->head_size)
        return answer->used > KF__HTTP_HEAD_BYTES ? bad(error, "has a head longer than 16 KiB")
                                                  : KF_OK;
    bool first = true;
    for (size_t at = 0; at + 2 < answer->head_size;) {
        const char *line = answer->bytes + at;
        const char *end = memchr(line, '\r', answer->head_size - at);
        size_t size = (size_t)(end - line);
        if (end[1] != '\n' || memchr(line, '\0', size) || memchr(line, '\n', size))
            return bad(error, "has a malformed header line");
        if (first && !read_status(line, size, &answer->status))
            return bad(error, "does not begin as one: is it another protocol's port?");
        kf_err err = first ? KF_OK : take_header(answer, line, size, error);
        if (err)
            return err;
        first = false;
        at += size + 2;
    }
    if (answer->chunked && answer->has_length)
        return bad(error, "has both a length and chunks");
    return KF_OK;
}

/* ---- the body ---- */

static int hex_value(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "1f;name=value\r\n": *next is behind it, or 0 where it is not whole. False: no such line. */
static bool read_chunk_size(const struct kf__http_answer *answer, size_t at, size_t *size,
                            size_t *next)
{
    *size = *next = 0;
    size_t digits = 0;
    for (; at + digits < answer->used && hex_value(answer->bytes[at + digits]) >= 0; digits++) {
        if (digits == 6)
            return false;
        *size = *size * 16 + (size_t)hex_value(answer->bytes[at + digits]);
    }
    if (at + digits == answer->used)
        return true;
    char after = answer->bytes[at + digits];
    if (digits == 0 || (after != '\r' && after != ';' && after != ' '))
        return false;
    for (size_t i = at + digits; i + 1 < answer->used; i++) {
        if (answer->bytes[i] == '\r' && answer->bytes[i + 1] == '\n') {
            *next = i + 2;
            return true;
        }
    }
    return answer->used - at < 256;
}

/* Walks all chunks each time: there are few bytes. The second walk, once whole, joins them. */
static kf_err walk_chunks(struct kf__http_answer *answer, bool join, bool *whole, kf_error *error)
{
    size_t at = answer->head_size, total = 0, size, next;
    *whole = false;
    for (;;) {
        if (!read_chunk_size(answer, at, &size, &next))
            return bad(error, "has a malformed chunk");
        if (!next)
            return KF_OK;
        if (total + size > KF__HTTP_BODY_BYTES)
            return bad(error, "is longer than 64 KiB");
        if (answer->used < next + size + 2)
            return KF_OK;
        if (memcmp(answer->bytes + next + size, "\r\n", 2) != 0)
            return bad(error, size ? "has a malformed chunk" : "has trailers");
        if (size == 0)
            break;
        if (join)
            memmove(answer->body + total, answer->bytes + next, size);
        total += size;
        at = next + size + 2;
    }
    answer->body_size = total;
    *whole = true;
    return KF_OK;
}

static kf_err read_body(struct kf__http_answer *answer, kf_error *error)
{
    size_t held = answer->used - answer->head_size;
    answer->body = answer->bytes + answer->head_size;
    if (answer->chunked) {
        bool whole;
        kf_err err = walk_chunks(answer, false, &whole, error);
        if (!err && whole)
            err = walk_chunks(answer, true, &answer->done, error);
        return err;
    }
    if (held > KF__HTTP_BODY_BYTES)
        return bad(error, "is longer than 64 KiB");
    if (answer->has_length && held >= answer->length) {
        answer->body_size = answer->length;
        answer->done = true;
    }
    return KF_OK;
}

kf_err kf__http_feed(struct kf__http_answer *answer, const void *bytes, size_t size,
                     kf_error *error)
{
    /* Chunks have their own overhead: twice the limits is more than any honest answer takes. */
    if (answer->used + size > 2 * (KF__HTTP_HEAD_BYTES + KF__HTTP_BODY_BYTES))
        return bad(error, "is longer than 64 KiB");
    kf_err err = reserve(answer, size);
    if (err)
        return err;
    if (size)
        memcpy(answer->bytes + answer->used, bytes, size);
    answer->used += size;
    if (!answer->head_size)
        err = read_head(answer, error);
    if (!err && answer->head_size)
        err = read_body(answer, error);
    return err;
}

kf_err kf__http_end(struct kf__http_answer *answer, kf_error *error)
{
    if (answer->done)
        return KF_OK;
    if (!answer->head_size || answer->chunked || answer->has_length)
        return bad(error, "ends before it is whole");
    answer->body_size = answer->used - answer->head_size;
    answer->done = true;
    return KF_OK;
}

/* ---- addresses ---- */

static bool read_port(const char *text, size_t size, uint16_t *port)
{
    unsigned value = 0;
    if (size == 0 || size > 5)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text[i]))
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value > 0 && value <= UINT16_MAX;
}

static bool is_visible(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || *text == '#')
            return false;
    return true;
}

kf_err kf__https_url_read(const char *url, struct kf__https_url *parts, kf_error *error)
{
    static const char scheme[] = "https://";
    size_t length = sizeof scheme - 1;
    if (strncasecmp(url, scheme, length) != 0)
        return kf_error_set(error, KF_ERR_CONFIG,
                            "the token endpoint must begin with https://: a secret and a token "
                            "go over it");
    const char *host = url + length;
    size_t size = strcspn(host, "/?");
    const char *end = host + size;
    bool bracket = host[0] == '[';
    const char *stop = bracket ? memchr(host, ']', size) : memchr(host, ':', size);
    size_t name_size = stop ? (size_t)(stop - host) : size;
    const char *after = stop ? stop + bracket : end;
    parts->port = 443;
    parts->path = end;
    bool good = is_visible(url) && !memchr(host, '@', size) && (!bracket || stop) &&
                name_size > bracket && name_size - bracket < sizeof parts->host &&
                (*end == '/' || *end == '\0') &&
                (after == end ||
                 (*after == ':' && read_port(after + 1, (size_t)(end - after) - 1, &parts->port)));
    if (!good)
        return kf_error_set(error, KF_ERR_CONFIG,
                            "the token endpoint must look like https://host:port/path");
    memcpy(parts->host, host + bracket, name_size - bracket);
    parts->host[name_size - bracket] = '\0';
    return KF_OK;
}

void kf__https_url_authority(const struct kf__https_url *parts, bool with_port, char *text,
                             size_t size)
{
    bool v6 = strchr(parts->host, ':') != NULL;
    int used = snprintf(text, size, v6 ? "[%s]" : "%s", parts->host);
    if (with_port)
        snprintf(text + used, size - (size_t)used, ":%u", (unsigned)parts->port);
}
