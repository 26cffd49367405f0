/*
 * schema_defaults: a message at its defaults, and whether it is.
 *
 * A field that a version lacks, and a tagged field that isn't there, has the
 * default of its row: 0, "", empty, or what the row says.
 */
#include "proto/codec/schema.h"

#include <assert.h>

static void set_number(const struct kf__row *row, void *field)
{
    int64_t wide = row->largest ? INT64_MAX : row->fallback;
    int32_t number = row->fallback;
    int16_t narrow = (int16_t)number;
    int8_t byte = (int8_t)number;
    bool truth = number != 0;
    double real = number;
    switch (row->type) {
    case KF__boolean:
        memcpy(field, &truth, sizeof truth);
        break;
    case KF__int8:
        memcpy(field, &byte, sizeof byte);
        break;
    case KF__int16:
    case KF__uint16:
        memcpy(field, &narrow, sizeof narrow);
        break;
    case KF__int32:
    case KF__uint32:
        memcpy(field, &number, sizeof number);
        break;
    case KF__int64:
        memcpy(field, &wide, sizeof wide);
        break;
    case KF__float64:
        memcpy(field, &real, sizeof real);
        break;
    }
}

enum {
    EMPTY_STRUCT_UNITS = 8
};
const max_align_t kf__empty_struct[EMPTY_STRUCT_UNITS];

static void set_pointer(const struct kf__row *row, void *field)
{
    const void *message = row->empty ? kf__empty_struct : NULL;
    assert(!row->empty || kf__struct_at(row->of)->size <= sizeof kf__empty_struct);
    memcpy(field, &message, sizeof message);
}

void kf__reset_field(const struct kf__row *row, void *field)
{
    if (row->array) {
        kf__array_set(field, NULL, row->null ? -1 : 0);
        return;
    }
    switch (row->type) {
    case KF__uuid:
        memset(field, 0, sizeof(kf_uuid));
        break;
    case KF__str:
        *(kf_string *)field = (kf_string){row->null ? NULL : "", 0};
        break;
    case KF__bytes:
    case KF__records:
        *(kf_bytes *)field = (kf_bytes){row->null ? NULL : (const uint8_t *)"", 0};
        break;
    case KF__struct:
        kf__reset_struct(kf__struct_at(row->of), field);
        break;
    case KF__struct_pointer:
        set_pointer(row, field);
        break;
    default:
        set_number(row, field);
    }
}

void kf__reset_struct(const struct kf__struct *type, void *message)
{
    const struct kf__row *row = kf__rows_of(type);
    size_t at = 0;
    for (const struct kf__row *end = row + type->count; row < end; row++)
        kf__reset_field(row, (char *)message + kf__place(row, &at));
    *kf__unknown_tags(type, message) = (struct kf_tags){NULL, 0};
}

void kf_reset(const kf_schema *schema, void *message)
{
    kf__reset_struct(kf__struct_at(schema->root), message);
}

bool kf__is_default(const struct kf__row *row, const void *field)
{
    if (row->array)
        return kf__array_get(field).count == (row->null ? -1 : 0);

    switch (row->type) {
    case KF__str: {
        const kf_string *text = field;
        return text->size == 0 && (text->data == NULL) == row->null;
    }
    case KF__bytes:
    case KF__records: {
        const kf_bytes *bytes = field;
        return bytes->size == 0 && (bytes->data == NULL) == row->null;
    }
    case KF__struct:
        return kf__struct_is_default(kf__struct_at(row->of), field);
    case KF__struct_pointer: {
        const void *message = kf__pointer_get(field);
        return row->empty ? message && kf__struct_is_default(kf__struct_at(row->of), message)
                          : message == NULL;
    }
    case KF__none:
        return true;
    case KF__uuid: {
        static const kf_uuid zero;
        return memcmp(field, &zero, sizeof zero) == 0;
    }
    default: {
        uint64_t number = 0; /* aligned room for any of them */
        uint64_t value = 0;
        set_number(row, &number);
        switch (kf__shapes[row->type].size) { /* sizes that the compiler knows */
        case 1:
            memcpy(&value, field, 1);
            break;
        case 2:
            memcpy(&value, field, 2);
            break;
        case 4:
            memcpy(&value, field, 4);
            break;
        default:
            memcpy(&value, field, 8);
        }
        return value == number;
    }
    }
}

bool kf__struct_is_default(const struct kf__struct *type, const void *message)
{
    const struct kf__row *row = kf__rows_of(type);
    size_t at = 0;
    for (const struct kf__row *end = row + type->count; row < end; row++)
        if (!kf__is_default(row, (const char *)message + kf__place(row, &at)))
            return false;
    return kf__unknown_tags(type, message)->count == 0;
}
