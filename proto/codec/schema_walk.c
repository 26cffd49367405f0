/*
 * schema_walk: a message's fields for those who don't know its type, and the
 * choice of a version. The public face of the rows.
 */
#include "proto/codec/schema.h"

_Static_assert((int)KF_FIELD_STRUCT_POINTER == (int)KF__struct_pointer,
               "the public types stand in the order of the rows' types");

kf_fields kf_fields_of(const kf_schema *schema)
{
    const struct kf__struct *type = kf__struct_at(schema->root);
    return (kf_fields){type, kf__names_of(type), 0, 0};
}

kf_fields kf_fields_inside(const kf_field *field)
{
    const struct kf__struct *type = field->inside;
    return (kf_fields){type, type ? kf__names_of(type) : NULL, 0, 0};
}

static int64_t number_by_default(const struct kf__row *row)
{
    return row->largest ? INT64_MAX : row->fallback;
}

bool kf_fields_next(kf_fields *walk, kf_field *field)
{
    const struct kf__struct *type = walk->type;
    if (!type || walk->index >= type->count)
        return false;
    const struct kf__row *row = kf__rows_of(type) + walk->index;
    if (row->type == KF__none)
        return false;

    bool is_struct = row->type == KF__struct || row->type == KF__struct_pointer;
    int16_t until = row->ends ? (int16_t)(row->ends - 1) : INT16_MAX;
    *field = (kf_field){
        .name = walk->name ? walk->name : "",
        .type = (kf_field_type)row->type,
        .array = row->array,
        .since = row->since,
        .until = until,
        .nullable_since = (int16_t)(row->nullable - 1),
        .nullable_until = row->nullable_ends ? (int16_t)(row->nullable_ends - 1) : until,
        .tag = row->tag - 1,
        .ignorable = row->ignorable,
        .never_compact = row->never_compact,
        .null_by_default = row->null || (row->type == KF__struct_pointer && !row->empty),
        .number_by_default = number_by_default(row),
        .offset = kf__place(row, &walk->at),
        .element_size = kf__element_size(row),
        .inside = is_struct ? kf__struct_at(row->of) : NULL,
    };
    if (walk->name)
        walk->name += strlen(walk->name) + 1;
    walk->index++;
    return true;
}

static void visit_struct(kf_fields walk, char *message, kf_visit *visit, void *context)
{
    kf_field field;
    while (kf_fields_next(&walk, &field)) {
        struct kf__array values = {message + field.offset, 1};
        if (field.array)
            values = kf__array_get(message + field.offset);
        else if (field.type == KF_FIELD_STRUCT_POINTER)
            values.items = kf__pointer_get(message + field.offset);
        char *value = values.items;
        for (int32_t i = 0; value && i < values.count; i++, value += field.element_size)
            if (field.inside)
                visit_struct(kf_fields_inside(&field), value, visit, context);
            else
                visit(&field, value, context);
    }
}

void kf_visit_values(const kf_schema *schema, void *message, kf_visit *visit, void *context)
{
    visit_struct(kf_fields_of(schema), message, visit, context);
}

size_t kf_field_json_name(const char *name, char *text, size_t size)
{
    size_t length = 0;
    bool upper = false;
    for (; *name; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        if (length + 1 < size)
            text[length] =
                upper && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        length++;
        upper = false;
    }
    if (size)
        text[length < size ? length : size - 1] = '\0';
    return length;
}

kf_err kf_version_choose(const kf_schema *request, const struct kf_api_versions_response *broker,
                         int16_t *version)
{
    for (int32_t i = 0; i < broker->api_keys.count; i++) {
        const struct kf_api_versions_response_api_version *api = &broker->api_keys.items[i];
        if (api->api_key != request->api_key)
            continue;
        int16_t newest =
            api->max_version < request->max_version ? api->max_version : request->max_version;
        if (newest < api->min_version || newest < request->min_version)
            return KF_ERR_API_NOT_SUPPORTED;
        *version = newest;
        return KF_OK;
    }
    return KF_ERR_API_NOT_SUPPORTED;
}
