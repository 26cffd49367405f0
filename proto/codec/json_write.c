/*
 * json_write: a message as JSON, in the form of Kafka's own converters, by
 * the message's rows. The reader is json_read.c.
 */
#include "proto/bytes/utf8.h"
#include "proto/bytes/writer.h"
#include "proto/codec/schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct printer {
    kf_writer *out;
    int16_t version;
};

static void print_struct(struct printer *p, const struct kf__struct *type, const void *message);

static void put(struct printer *p, const char *text) { kf_writer_put(p->out, text, strlen(text)); }

static void print_integer(struct printer *p, int64_t value)
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)value);
    kf_writer_put(p->out, digits, (size_t)size);
}

/* "topic_id" as "topicId". */
static void print_name(struct printer *p, const char *name)
{
    char camel[128];
    kf_field_json_name(name, camel, sizeof camel);
    put(p, "\"");
    put(p, camel);
    put(p, "\":");
}

static void print_escaped(struct printer *p, uint8_t c)
{
    static const char shorts[] = "btnfr";
    static const char shorts_of[] = "\b\t\n\f\r";
    char text[8];
    const char *known = c ? strchr(shorts_of, c) : NULL;
    if (c == '"' || c == '\\')
        snprintf(text, sizeof text, "\\%c", c);
    else if (known)
        snprintf(text, sizeof text, "\\%c", shorts[known - shorts_of]);
    else
        snprintf(text, sizeof text, "\\u%04X", c);
    put(p, text);
}

/* What is no UTF-8 becomes U+FFFD, as in Java's strings. */
static void print_string(struct printer *p, kf_string text)
{
    const uint8_t *at = (const uint8_t *)text.data;
    put(p, "\"");
    for (size_t left = text.size; left;) {
        bool valid;
        size_t step = kf__utf8_step(at, left, &valid);
        if (!valid)
            put(p, "\xEF\xBF\xBD");
        else if (*at < 0x20 || *at == '"' || *at == '\\')
            print_escaped(p, *at);
        else
            kf_writer_put(p->out, at, step);
        at += step;
        left -= step;
    }
    put(p, "\"");
}

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void print_base64(struct printer *p, const char *alphabet, kf_bytes bytes, bool pad)
{
    put(p, "\"");
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t here = bytes.size - i < 3 ? bytes.size - i : 3;
        uint32_t bits = (uint32_t)bytes.data[i] << 16;
        if (here > 1)
            bits |= (uint32_t)bytes.data[i + 1] << 8;
        if (here > 2)
            bits |= bytes.data[i + 2];
        char four[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                        here > 1 ? alphabet[bits >> 6 & 63] : '=',
                        here > 2 ? alphabet[bits & 63] : '='};
        kf_writer_put(p->out, four, pad ? 4 : here + 1);
    }
    put(p, "\"");
}

/* The fewest digits that read back as the same value, laid out as Java does. */
static void print_double(struct printer *p, double value)
{
    if (isnan(value) || isinf(value)) {
        put(p, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    char text[40];
    for (int digits = 0; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    /* -d.ddde±xx */
    char *mark = strchr(text, 'e');
    int exponent = atoi(mark + 1);
    *mark = '\0';
    if (value == 0 || (exponent >= -3 && exponent < 7)) {
        size_t significant = strlen(text) - (size_t)(text[0] == '-') - (strchr(text, '.') ? 1 : 0);
        int decimals = (int)significant - 1 - exponent;
        snprintf(text, sizeof text, "%.*f", decimals > 1 ? decimals : 1, value);
        put(p, text);
        return;
    }
    put(p, text);
    if (!strchr(text, '.'))
        put(p, ".0");
    put(p, "E");
    print_integer(p, exponent);
}

static void print_bytes(struct printer *p, kf_bytes bytes)
{
    if (bytes.data)
        print_base64(p, standard, bytes, true);
    else
        put(p, "null");
}

static void print_value(struct printer *p, const struct kf__row *row, const void *value)
{
    switch (row->type) {
    case KF__boolean:
        put(p, *(const bool *)value ? "true" : "false");
        break;
    case KF__int8:
        print_integer(p, *(const int8_t *)value);
        break;
    case KF__int16:
        print_integer(p, *(const int16_t *)value);
        break;
    case KF__uint16:
        print_integer(p, *(const uint16_t *)value);
        break;
    case KF__int32:
        print_integer(p, *(const int32_t *)value);
        break;
    case KF__uint32:
        print_integer(p, *(const uint32_t *)value);
        break;
    case KF__int64:
        print_integer(p, *(const int64_t *)value);
        break;
    case KF__float64:
        print_double(p, *(const double *)value);
        break;
    case KF__uuid:
        print_base64(p, url_safe, (kf_bytes){value, sizeof(kf_uuid)}, false);
        break;
    case KF__str:
        if (((const kf_string *)value)->data)
            print_string(p, *(const kf_string *)value);
        else
            put(p, "null");
        break;
    case KF__bytes:
    case KF__records:
        print_bytes(p, *(const kf_bytes *)value);
        break;
    case KF__struct:
        print_struct(p, kf__struct_at(row->of), value);
        break;
    case KF__struct_pointer:
        if (kf__pointer_get(value))
            print_struct(p, kf__struct_at(row->of), kf__pointer_get(value));
        else
            put(p, "null");
        break;
    }
}

static void print_field(struct printer *p, const struct kf__row *row, const void *field)
{
    if (!row->array) {
        print_value(p, row, field);
        return;
    }
    struct kf__array array = kf__array_get(field);
    if (array.count < 0) {
        put(p, "null");
        return;
    }
    size_t step = kf__element_size(row);
    put(p, "[");
    for (int32_t i = 0; i < array.count && !p->out->err; i++) {
        if (i)
            put(p, ",");
        print_value(p, row, (const char *)array.items + (size_t)i * step);
    }
    put(p, "]");
}

static void print_unknown_tags(struct printer *p, const struct kf_tags *tags, bool first)
{
    if (!tags->count)
        return;
    put(p, first ? "" : ",");
    if (tags->count == 1 && tags->items->tag == KF_TAIL) {
        put(p, "\"_tail\":");
        print_base64(p, standard, tags->items->bytes, true);
        return;
    }
    put(p, "\"_unknownTaggedFields\":[");
    for (int32_t i = 0; i < tags->count; i++) {
        put(p, i ? ",{\"tag\":" : "{\"tag\":");
        print_integer(p, tags->items[i].tag);
        put(p, ",\"data\":");
        print_base64(p, standard, tags->items[i].bytes, true);
        put(p, "}");
    }
    put(p, "]");
}

static void print_struct(struct printer *p, const struct kf__struct *type, const void *message)
{
    const struct kf__row *row = kf__rows_of(type);
    const char *name = kf__names_of(type);
    size_t at = 0;
    bool first = true;
    put(p, "{");
    for (const struct kf__row *end = row + type->count; row < end;
         name += strlen(name) + 1, row++) {
        const void *field = (const char *)message + kf__place(row, &at);
        bool present = kf__in_version(row, p->version);
        if (!present && !row->ignorable && !kf__is_default(row, field))
            kf__writer_fail(p->out, KF_ERR_FIELD_NOT_IN_VERSION);
        if (!present || (row->tag && kf__is_default(row, field)))
            continue;
        put(p, first ? "" : ",");
        first = false;
        print_name(p, name);
        print_field(p, row, field);
    }
    print_unknown_tags(p, kf__unknown_tags(type, message), first);
    put(p, "}");
}

kf_err kf_to_json(const kf_schema *schema, int16_t version, const void *message, kf_writer *text)
{
    if (!kf__has_version(schema, &version)) {
        kf__writer_fail(text, KF_ERR_BAD_VERSION);
        return text->err;
    }
    struct printer p = {text, version};
    print_struct(&p, kf__struct_at(schema->root), message);
    return text->err;
}
