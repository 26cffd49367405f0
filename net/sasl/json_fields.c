/* json_fields: see json_fields.h. */
#include "net/sasl/json_fields.h"

#include "proto/codec/json_scan.h"
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_BYTES = 32, /* no date or lifetime has more digits */
    MAX_FIELDS = 16,
};

static void take_number(struct kf__scan *scan, struct kf__json_field *field)
{
    char digits[NUMBER_BYTES];
    bool integer;
    kf_string text = kf__scan_number(scan, &integer);
    if (!text.data || text.size >= sizeof digits) {
        kf__scan_fail(scan, "a number is too long");
        return;
    }
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    field->number = strtod(digits, NULL);
    field->is_number = true;
}

static void take_value(struct kf__scan *scan, struct kf__json_field *field)
{
    char c = kf__scan_peek(scan);
    if (c == '"')
        field->text = kf__scan_string(scan);
    else if (c == '-' || (c >= '0' && c <= '9'))
        take_number(scan, field);
    else
        kf__scan_skip(scan);
}

static size_t find(const struct kf__json_field *fields, size_t count, kf_string name)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(fields[i].name) == name.size &&
            memcmp(fields[i].name, name.data, name.size) == 0)
            return i;
    return count;
}

static void take_member(struct kf__scan *scan, struct kf__json_field *fields, size_t count,
                        uint32_t *seen)
{
    kf_string name = kf__scan_string(scan);
    kf__scan_expect(scan, ':');
    if (scan->err)
        return;
    size_t at = find(fields, count, name);
    if (at == count)
        kf__scan_skip(scan);
    else if (*seen & 1u << at)
        kf__scan_fail(scan, "\"%s\" stands there twice", fields[at].name);
    else
        take_value(scan, &fields[at]);
    *seen |= 1u << at;
}

kf_err kf__json_fields(kf_arena *arena, kf_string json, struct kf__json_field *fields, size_t count,
                       kf_error *error)
{
    struct kf__scan scan = {.start = json.data,
                            .at = json.data,
                            .end = json.data + json.size,
                            .arena = arena,
                            .error = error};
    uint32_t seen = 0;
    if (count > MAX_FIELDS || !json.data)
        return KF_ERR_INVALID_ARGUMENT;
    kf__scan_expect(&scan, '{');
    if (!kf__scan_accept(&scan, '}')) {
        do
            take_member(&scan, fields, count, &seen);
        while (kf__scan_accept(&scan, ','));
        kf__scan_expect(&scan, '}');
    }
    kf__scan_peek(&scan);
    if (!scan.err && scan.at != scan.end)
        kf__scan_fail(&scan, "something follows the object");
    return scan.err;
}
