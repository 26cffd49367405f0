#include "tools/broker/faults/error_answers.h"

#include "proto/codec/schema.h"

bool kf__places_errors(int16_t api_key)
{
    switch (api_key) {
    case KF_API_PRODUCE:
    case KF_API_FETCH:
    case KF_API_LIST_OFFSETS:
    case KF_API_METADATA:
    case KF_API_OFFSET_COMMIT:
    case KF_API_OFFSET_FETCH:
    case KF_API_FIND_COORDINATOR:
    case KF_API_JOIN_GROUP:
    case KF_API_HEARTBEAT:
    case KF_API_LEAVE_GROUP:
    case KF_API_SYNC_GROUP:
    case KF_API_DESCRIBE_GROUPS:
    case KF_API_LIST_GROUPS:
    case KF_API_API_VERSIONS:
    case KF_API_CREATE_TOPICS:
    case KF_API_DELETE_TOPICS:
    case KF_API_DELETE_RECORDS:
    case KF_API_INIT_PRODUCER_ID:
    case KF_API_OFFSET_FOR_LEADER_EPOCH:
    case KF_API_CREATE_PARTITIONS:
    case KF_API_DELETE_GROUPS:
    case KF_API_DESCRIBE_CLUSTER:
    case KF_API_DESCRIBE_CONFIGS:
        return true;
    default:
        return false;
    }
}

/* Names that requests and answers use for the same thing. */
static int meaning(const char *name)
{
    static const char *const same[][6] = {
        {"partition", "partition_index", "partition_id", "index", "partition_indexes", NULL},
        {"name", "topic", "topic_name", "topic_names", NULL},
        {"group_id", "group", "groups_names", "group_ids", NULL},
        {"topics", "responses", "results", "topic_results", "results_by_topic", NULL},
        {"partitions", "partition_responses", "partition_results", "results_by_partition", NULL},
        {"resources", "responses", "results", NULL},
    };
    for (int row = 0; row < (int)(sizeof same / sizeof *same); row++)
        for (int i = 0; same[row][i]; i++)
            if (strcmp(same[row][i], name) == 0)
                return row + 1;
    return 0;
}

static bool is_same_name(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || (meaning(a) != 0 && meaning(a) == meaning(b));
}

struct place {
    kf_fields fields;
    const uint8_t *base; /* NULL: the request has no such struct */
};

/* "error_code", "partition_error_code" */
static bool is_error(const char *name)
{
    size_t size = strlen(name), tail = sizeof "error_code" - 1;
    return size >= tail && strcmp(name + size - tail, "error_code") == 0;
}

/* Has the struct, or one inside it, a place for an error? */
static bool holds_error(kf_fields fields, int16_t version)
{
    kf_field field;
    while (kf_fields_next(&fields, &field)) {
        if (version < field.since || version > field.until)
            continue;
        if (field.type == KF_FIELD_INT16 && is_error(field.name))
            return true;
        if (field.type == KF_FIELD_STRUCT && holds_error(kf_fields_inside(&field), version))
            return true;
    }
    return false;
}

/* The request's plain field that an answer's field repeats. */
static bool find_plain(const struct place *asked, const kf_field *like, kf_field *found)
{
    if (!asked->base)
        return false;
    for (kf_fields walk = asked->fields; kf_fields_next(&walk, found);)
        if (!found->array && found->type == like->type && is_same_name(found->name, like->name))
            return true;
    return false;
}

/* The request's array that an answer's array has an element for each of: of its name, else the last
 * that isn't empty. */
static bool find_array(const struct place *asked, const kf_field *like, kf_field *found)
{
    kf_field field;
    bool any = false;
    if (!asked->base)
        return false;
    for (kf_fields walk = asked->fields; kf_fields_next(&walk, &field);) {
        if (!field.array || kf__array_get(asked->base + field.offset).count <= 0)
            continue;
        any = true;
        *found = field;
        if (is_same_name(field.name, like->name))
            break;
    }
    return any;
}

static bool fill(struct kf__exchange *exchange, kf_fields fields, uint8_t *base,
                 const struct place *asked, kf_err error);

/* An element of the answer for a plain value of the request: a name, a number. */
static void name_element(const kf_field *array, uint8_t *element, const kf_field *value,
                         const void *from)
{
    kf_field field;
    for (kf_fields walk = kf_fields_inside(array); kf_fields_next(&walk, &field);)
        if (!field.array && field.type == value->type &&
            (field.type != KF_FIELD_STRING || strstr(field.name, "message") == NULL)) {
            memcpy(element + field.offset, from, value->element_size);
            return;
        }
}

static bool fill_array(struct kf__exchange *exchange, const kf_field *field, uint8_t *at,
                       const struct place *asked, kf_err error)
{
    kf_field from;
    if (field->type != KF_FIELD_STRUCT ||
        !holds_error(kf_fields_inside(field), exchange->version) ||
        !find_array(asked, field, &from))
        return true;
    struct kf__array source = kf__array_get(asked->base + from.offset);
    uint8_t *items =
        kf_arena_alloc(&exchange->arena, field->element_size * (size_t)source.count + 1);
    if (!items)
        return false;
    kf__array_set(at, items, source.count);
    for (int32_t i = 0; i < source.count; i++) {
        uint8_t *item = items + (size_t)i * field->element_size;
        const uint8_t *one = (uint8_t *)source.items + (size_t)i * from.element_size;
        struct place inside = {kf_fields_inside(&from), from.type == KF_FIELD_STRUCT ? one : NULL};
        kf__reset_struct(field->inside, item);
        if (!inside.base)
            name_element(field, item, &from, one);
        if (!fill(exchange, kf_fields_inside(field), item, &inside, error))
            return false;
    }
    return true;
}

static bool fill(struct kf__exchange *exchange, kf_fields fields, uint8_t *base,
                 const struct place *asked, kf_err error)
{
    kf_field field, from;
    int16_t code = kf__wire_error(error);
    for (kf_fields walk = fields; kf_fields_next(&walk, &field);) {
        uint8_t *at = base + field.offset;
        if (exchange->version < field.since || exchange->version > field.until)
            continue;
        if (field.array) {
            if (!fill_array(exchange, &field, at, asked, error))
                return false;
        } else if (field.type == KF_FIELD_INT16 && is_error(field.name)) {
            memcpy(at, &code, sizeof code);
        } else if (field.type < KF_FIELD_STRUCT && find_plain(asked, &field, &from)) {
            memcpy(at, asked->base + from.offset, from.element_size);
        }
    }
    return true;
}

/* A field that this version may not hold null in. */
static void mend_nulls(kf_fields fields, uint8_t *base, int16_t version)
{
    kf_field field;
    for (kf_fields walk = fields; kf_fields_next(&walk, &field);) {
        bool nullable = field.nullable_since >= 0 && version >= field.nullable_since &&
                        version <= field.nullable_until;
        uint8_t *at = base + field.offset;
        kf_string text;
        if (version < field.since || version > field.until)
            continue;
        if (field.array && field.type == KF_FIELD_STRUCT) {
            struct kf__array array = kf__array_get(at);
            for (int32_t i = 0; i < array.count; i++)
                mend_nulls(kf_fields_inside(&field),
                           (uint8_t *)array.items + (size_t)i * field.element_size, version);
        } else if (!field.array && field.type == KF_FIELD_STRING && !nullable) {
            memcpy(&text, at, sizeof text);
            text.data = text.data ? text.data : "";
            memcpy(at, &text, sizeof text);
        }
    }
}

bool kf__error_answer(struct kf__exchange *exchange, kf_err error)
{
    const kf_schema *answer = kf_schema_response(exchange->api->key);
    struct place asked = {kf_fields_of(kf_schema_request(exchange->api->key)), exchange->request};
    kf_reset(answer, exchange->response);
    if (!fill(exchange, kf_fields_of(answer), exchange->response, &asked, error))
        return false;
    mend_nulls(kf_fields_of(answer), exchange->response, exchange->version);
    return true;
}
