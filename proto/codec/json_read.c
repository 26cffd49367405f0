/*
 * json_read: a message from JSON, by the message's rows. Reads what
 * json_write.c prints and what Kafka's own converters print, and is as
 * strict as they are about types: an integer is no float, a missing
 * mandatory field is an error. The caller's text may go afterwards.
 */
#include "proto/codec/json_scan.h"
#include "proto/codec/schema.h"

#include <math.h>
#include <stdlib.h>

struct reader {
    struct kf__scan in;
    int16_t version;
    const char *field; /* whose value is being read, for messages */
};

static void read_struct(struct reader *r, const struct kf__struct *type, void *message);

static void *allocate(struct reader *r, size_t size)
{
    void *memory = kf_arena_alloc(r->in.arena, size);
    if (!memory)
        kf__scan_no_memory(&r->in);
    return memory;
}

/* False where it is too large for 64 bits. */
static bool parse_integer(kf_string digits, int64_t *value)
{
    bool negative = digits.data[0] == '-';
    uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    uint64_t number = 0;
    for (size_t i = negative; i < digits.size; i++) {
        unsigned digit = (unsigned)(digits.data[i] - '0');
        if (number > (most - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

static int64_t read_integer(struct reader *r, int64_t least, int64_t most)
{
    bool integer;
    int64_t value = 0;
    kf_string digits = kf__scan_number(&r->in, &integer);
    if (r->in.err)
        return 0;
    if (!integer)
        kf__scan_fail(&r->in, "%s needs an integer", r->field);
    else if (!parse_integer(digits, &value) || value < least || value > most)
        kf__scan_fail(&r->in, "%s is out of range", r->field);
    return r->in.err ? 0 : value;
}

static bool string_is(kf_string text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static double read_double(struct reader *r)
{
    if (kf__scan_peek(&r->in) == '"') {
        kf_string name = kf__scan_string(&r->in);
        if (!r->in.err && string_is(name, "NaN"))
            return NAN;
        if (!r->in.err && string_is(name, "Infinity"))
            return INFINITY;
        if (!r->in.err && string_is(name, "-Infinity"))
            return -INFINITY;
        kf__scan_fail(&r->in, "%s needs a number", r->field);
        return 0;
    }
    bool integer;
    kf_string text = kf__scan_number(&r->in, &integer);
    char digits[512];
    if (!r->in.err && integer)
        kf__scan_fail(&r->in, "%s needs a fraction or an exponent", r->field);
    if (!r->in.err && text.size >= sizeof digits)
        kf__scan_fail(&r->in, "%s has too many digits", r->field);
    if (r->in.err)
        return 0;
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    return strtod(digits, NULL);
}

static bool read_bool(struct reader *r)
{
    if (kf__scan_word(&r->in, "true"))
        return true;
    if (!kf__scan_word(&r->in, "false"))
        kf__scan_fail(&r->in, "%s needs true or false", r->field);
    return false;
}

static int base64_digit(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    return c == (url ? '_' : '/') ? 63 : -1;
}

/* `size` digits without padding; false where one is none or their number can't be. */
static bool decode_base64(const char *text, size_t size, bool url, uint8_t *bytes)
{
    uint32_t bits = 0;
    size_t at = 0;
    for (size_t i = 0; i < size; i++) {
        int digit = base64_digit(text[i], url);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4)
            bytes[at++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return size % 4 != 1;
}

static size_t padding(kf_string text)
{
    size_t pad = 0;
    while (pad < 2 && pad < text.size && text.data[text.size - 1 - pad] == '=')
        pad++;
    return pad;
}

static kf_bytes read_bytes(struct reader *r)
{
    kf_string text = kf__scan_string(&r->in);
    uint8_t *bytes = r->in.err ? NULL : allocate(r, text.size / 4 * 3 + 3);
    if (!bytes)
        return (kf_bytes){NULL, 0};
    size_t size = text.size - padding(text);
    if (text.size % 4 || !decode_base64(text.data, size, false, bytes))
        kf__scan_fail(&r->in, "%s needs bytes in base64", r->field);
    return (kf_bytes){bytes, size / 4 * 3 + (size % 4 ? size % 4 - 1 : 0)};
}

static void read_uuid(struct reader *r, kf_uuid *uuid)
{
    enum {
        DIGITS = 22,
        PADDED = 24
    };
    uint8_t bytes[18];
    kf_string text = kf__scan_string(&r->in);
    if (r->in.err)
        return;
    size_t size = text.size - (text.size == PADDED ? padding(text) : 0);
    if (size != DIGITS || !decode_base64(text.data, size, true, bytes))
        kf__scan_fail(&r->in, "%s needs a uuid in 22 characters of URL-safe base64", r->field);
    else
        memcpy(uuid, bytes, sizeof *uuid);
}

static void read_pointer(struct reader *r, const struct kf__row *row, void *value)
{
    const struct kf__struct *type = kf__struct_at(row->of);
    void *message = allocate(r, type->size);
    if (message)
        read_struct(r, type, message);
    memcpy(value, &message, sizeof message);
}

/* Kafka reads values of fields that a version lacks, but no structs of such fields. */
static void check_struct(struct reader *r, const struct kf__row *row)
{
    if (!kf__in_version(row, r->version))
        kf__scan_fail(&r->in, "%s holds a struct that version %d does not have", r->field,
                      r->version);
}

static void read_value(struct reader *r, const struct kf__row *row, void *value)
{
    switch (row->type) {
    case KF__boolean:
        *(bool *)value = read_bool(r);
        break;
    case KF__int8:
        *(int8_t *)value = (int8_t)read_integer(r, INT8_MIN, INT8_MAX);
        break;
    case KF__int16:
        *(int16_t *)value = (int16_t)read_integer(r, INT16_MIN, INT16_MAX);
        break;
    case KF__uint16:
        *(uint16_t *)value = (uint16_t)read_integer(r, 0, UINT16_MAX);
        break;
    case KF__int32:
        *(int32_t *)value = (int32_t)read_integer(r, INT32_MIN, INT32_MAX);
        break;
    case KF__uint32:
        *(uint32_t *)value = (uint32_t)read_integer(r, 0, UINT32_MAX);
        break;
    case KF__int64:
        *(int64_t *)value = read_integer(r, INT64_MIN, INT64_MAX);
        break;
    case KF__float64:
        *(double *)value = read_double(r);
        break;
    case KF__uuid:
        read_uuid(r, value);
        break;
    case KF__str:
        *(kf_string *)value = kf__scan_string(&r->in);
        break;
    case KF__bytes:
    case KF__records:
        *(kf_bytes *)value = read_bytes(r);
        break;
    case KF__struct:
        check_struct(r, row);
        read_struct(r, kf__struct_at(row->of), value);
        break;
    case KF__struct_pointer:
        check_struct(r, row);
        read_pointer(r, row, value);
        break;
    }
}

static void read_array(struct reader *r, const struct kf__row *row, void *field)
{
    kf__scan_expect(&r->in, '[');
    size_t count = kf__scan_count(&r->in);
    size_t step = kf__element_size(row);
    kf__array_set(field, NULL, 0);
    if (r->in.err || kf__scan_accept(&r->in, ']'))
        return;
    if (count > INT32_MAX || count > SIZE_MAX / step) {
        kf__scan_fail(&r->in, "%s has too many elements", r->field);
        return;
    }
    char *items = allocate(r, count * step);
    const char *name = r->field;
    for (size_t i = 0; items && i < count && !r->in.err; i++) {
        r->field = name;
        if (i)
            kf__scan_expect(&r->in, ',');
        read_value(r, row, items + i * step);
    }
    kf__scan_expect(&r->in, ']');
    if (!r->in.err)
        kf__array_set(field, items, (int32_t)count);
}

static void set_null(struct reader *r, const struct kf__row *row, void *field)
{
    if (!row->nullable)
        kf__scan_fail(&r->in, "%s must not be null", r->field);
    else if (row->array)
        kf__array_set(field, NULL, -1);
    else
        memset(field, 0, kf__shapes[row->type].size);
}

static void read_field(struct reader *r, const struct kf__row *row, void *field)
{
    if (kf__scan_word(&r->in, "null"))
        set_null(r, row, field);
    else if (row->array)
        read_array(r, row, field);
    else
        read_value(r, row, field);
}

/* {"tag": 7, "data": "base64"}, both mandatory. */
static void read_unknown_tag(struct reader *r, struct kf_tag *tag)
{
    bool has_tag = false, has_data = false;
    kf__scan_expect(&r->in, '{');
    do {
        kf_string key = kf__scan_string(&r->in);
        kf__scan_expect(&r->in, ':');
        if (r->in.err)
            return;
        if (string_is(key, "tag")) {
            tag->tag = (uint32_t)read_integer(r, 0, UINT32_MAX);
            has_tag = true;
        } else if (string_is(key, "data")) {
            tag->bytes = read_bytes(r);
            has_data = true;
        } else {
            kf__scan_skip(&r->in);
        }
    } while (kf__scan_accept(&r->in, ','));
    kf__scan_expect(&r->in, '}');
    if (!has_tag || !has_data)
        kf__scan_fail(&r->in, "an unknown tagged field needs \"tag\" and \"data\"");
}

static void read_unknown_tags(struct reader *r, struct kf_tags *tags)
{
    r->field = "_unknownTaggedFields";
    kf__scan_expect(&r->in, '[');
    size_t count = kf__scan_count(&r->in);
    if (r->in.err || kf__scan_accept(&r->in, ']'))
        return;
    tags->items = count <= INT32_MAX ? allocate(r, count * sizeof *tags->items) : NULL;
    for (size_t i = 0; tags->items && i < count && !r->in.err; i++) {
        if (i)
            kf__scan_expect(&r->in, ',');
        read_unknown_tag(r, &tags->items[i]);
    }
    kf__scan_expect(&r->in, ']');
    tags->count = r->in.err ? 0 : (int32_t)count;
}

/* What a newer version has behind the fields that are known, in base64. */
static void read_tail(struct reader *r, struct kf_tags *tags)
{
    r->field = "_tail";
    struct kf_tag *tail = allocate(r, sizeof *tail);
    if (!tail)
        return;
    *tail = (struct kf_tag){KF_TAIL, read_bytes(r)};
    *tags = (struct kf_tags){tail, r->in.err ? 0 : 1};
}

/* Whether "topicId" is the JSON name of "topic_id". */
static bool is_json_name(kf_string key, const char *name)
{
    char camel[128];
    return kf_field_json_name(name, camel, sizeof camel) == key.size && string_is(key, camel);
}

/* Which row the key names, where its field lies and how it is called; the row count: none. */
static unsigned find_row(const struct kf__struct *type, kf_string key, size_t *place,
                         const char **name)
{
    const struct kf__row *row = kf__rows_of(type);
    size_t at = 0;
    *name = kf__names_of(type);
    for (unsigned i = 0; i < type->count; i++, *name += strlen(*name) + 1) {
        *place = kf__place(&row[i], &at);
        if (is_json_name(key, *name))
            return i;
    }
    return type->count;
}

_Static_assert(KF__MOST_ROWS <= 64, "`seen` has a bit for each row of a struct");

static void check_mandatory(struct reader *r, const struct kf__struct *type, uint64_t seen)
{
    const struct kf__row *row = kf__rows_of(type);
    const char *name = kf__names_of(type);
    for (unsigned i = 0; i < type->count; i++, name += strlen(name) + 1) {
        if (seen >> i & 1 || row[i].tag || !kf__in_version(&row[i], r->version))
            continue;
        char camel[128];
        kf_field_json_name(name, camel, sizeof camel);
        kf__scan_fail(&r->in, "%s is missing, which version %d must have", camel, r->version);
    }
}

static void read_struct(struct reader *r, const struct kf__struct *type, void *message)
{
    uint64_t seen = 0;
    kf__reset_struct(type, message);
    kf__scan_expect(&r->in, '{');
    if (!kf__scan_accept(&r->in, '}')) {
        do {
            size_t place;
            const char *name;
            kf_string key = kf__scan_string(&r->in);
            kf__scan_expect(&r->in, ':');
            if (r->in.err)
                return;
            unsigned index = find_row(type, key, &place, &name);
            if (index < type->count) {
                seen |= (uint64_t)1 << index;
                r->field = name;
                read_field(r, kf__rows_of(type) + index, (char *)message + place);
            } else if (string_is(key, "_unknownTaggedFields")) {
                read_unknown_tags(r, kf__unknown_tags(type, message));
            } else if (string_is(key, "_tail")) {
                read_tail(r, kf__unknown_tags(type, message));
            } else {
                kf__scan_skip(&r->in);
            }
        } while (kf__scan_accept(&r->in, ','));
        kf__scan_expect(&r->in, '}');
    }
    if (!r->in.err)
        check_mandatory(r, type, seen);
}

kf_err kf_from_json(const kf_schema *schema, int16_t version, const char *text, size_t size,
                    kf_arena *arena, void *message, kf_error *error)
{
    if (!kf__has_version(schema, &version))
        return kf_error_set(error, KF_ERR_BAD_VERSION, "%s has versions %d to %d, not %d",
                            schema->name, schema->min_version, schema->max_version, version);
    struct reader r = {
        .in = {.start = text, .at = text, .end = text + size, .arena = arena, .error = error},
        .version = version,
        .field = schema->name,
    };
    read_struct(&r, kf__struct_at(schema->root), message);
    kf__scan_peek(&r.in);
    if (!r.in.err && r.in.at < r.in.end)
        kf__scan_fail(&r.in, "something follows the message");
    if (r.in.err)
        kf_reset(schema, message);
    return r.in.err;
}
