#include "tools/broker/faults/mentions.h"

#include "proto/codec/schema.h"
#include "tools/broker/state.h"

struct wanted {
    kf_string topic;
    kf_uuid id;
    bool has_id;
    int32_t partition; /* -1: any */
};

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static bool names_topic(const kf_field *field)
{
    static const char *const names[] = {"topic",  "name",        "topic_name", "resource_name",
                                        "topics", "topic_names", NULL};
    return field->type == KF_FIELD_STRING && is_one_of(field->name, names);
}

static bool names_partition(const kf_field *field)
{
    static const char *const names[] = {"partition", "partition_index", "partition_id",
                                        "index",     "partitions",      "partition_indexes",
                                        NULL};
    return field->type == KF_FIELD_INT32 && is_one_of(field->name, names);
}

static bool is_topic(const struct wanted *wanted, const kf_field *field, const void *value)
{
    if (field->type == KF_FIELD_UUID && wanted->has_id)
        return memcmp(value, &wanted->id, sizeof wanted->id) == 0;
    kf_string text;
    if (!names_topic(field))
        return false;
    memcpy(&text, value, sizeof text);
    return kf__text_equal(text, wanted->topic);
}

static bool is_partition(const struct wanted *wanted, const kf_field *field, const void *value)
{
    int32_t number;
    if (!names_partition(field))
        return false;
    memcpy(&number, value, sizeof number);
    return number == wanted->partition;
}

typedef bool (*test_fn)(const struct wanted *wanted, const kf_field *field, const void *value);

/* One of the field's values, whether it is an array or not. */
static bool any_value(const struct wanted *wanted, const kf_field *field, const uint8_t *at,
                      test_fn test)
{
    if (field->type >= KF_FIELD_STRUCT)
        return false;
    if (!field->array)
        return test(wanted, field, at);
    struct kf__array array = kf__array_get(at);
    for (int32_t i = 0; i < array.count; i++)
        if (test(wanted, field, (uint8_t *)array.items + (size_t)i * field->element_size))
            return true;
    return false;
}

/* Does it speak of partitions? Who names a topic and doesn't, means all of them. */
static bool tells_partitions(kf_fields fields)
{
    kf_field field;
    while (kf_fields_next(&fields, &field))
        if (names_partition(&field) ||
            (field.type == KF_FIELD_STRUCT && tells_partitions(kf_fields_inside(&field))))
            return true;
    return false;
}

static bool level(const struct wanted *wanted, kf_fields fields, const uint8_t *base, bool named,
                  int depth);

static bool below(const struct wanted *wanted, const kf_field *field, const uint8_t *at, bool named,
                  int depth)
{
    if (field->type != KF_FIELD_STRUCT)
        return false;
    if (!field->array)
        return level(wanted, kf_fields_inside(field), at, named, depth + 1);
    struct kf__array array = kf__array_get(at);
    if (array.count < 0 && strcmp(field->name, "topics") == 0)
        return true; /* null: all of them */
    for (int32_t i = 0; i < array.count; i++)
        if (level(wanted, kf_fields_inside(field),
                  (uint8_t *)array.items + (size_t)i * field->element_size, named, depth + 1))
            return true;
    return false;
}

/* One struct: `named`: one around it named the topic. */
static bool level(const struct wanted *wanted, kf_fields fields, const uint8_t *base, bool named,
                  int depth)
{
    kf_field field;
    bool around = named;
    for (kf_fields walk = fields; !named && kf_fields_next(&walk, &field);)
        named = any_value(wanted, &field, base + field.offset, is_topic);
    if (named && (wanted->partition < 0 || (!around && !tells_partitions(fields))))
        return true;
    for (kf_fields walk = fields; kf_fields_next(&walk, &field);) {
        const uint8_t *at = base + field.offset;
        if (named && depth > 0 && any_value(wanted, &field, at, is_partition))
            return true;
        if (below(wanted, &field, at, named, depth))
            return true;
    }
    return false;
}

static bool in_session(const struct kf__exchange *exchange, const struct wanted *wanted)
{
    const struct kf_fetch_request *request = exchange->request;
    if (request->session_epoch <= 0)
        return false;
    const struct kf__fetch_session *session =
        kf__fetch_session_find(&exchange->broker->sessions, request->session_id);
    for (size_t i = 0; session && i < session->count; i++) {
        const struct kf__fetched *item = &session->items[i];
        bool same = item->topic.data
                        ? kf__text_equal(item->topic, wanted->topic)
                        : wanted->has_id && memcmp(&item->topic_id, &wanted->id, 16) == 0;
        if (same && (wanted->partition < 0 || wanted->partition == item->partition))
            return true;
    }
    return false;
}

bool kf__mentions(const struct kf__exchange *exchange, kf_string topic, int32_t partition)
{
    const struct kf__topic *known = kf__broker_topics_find(&exchange->broker->topics, topic);
    struct wanted wanted = {.topic = topic, .partition = partition, .has_id = known != NULL};
    if (known)
        wanted.id = known->id;
    if (exchange->api->key == KF_API_FETCH && in_session(exchange, &wanted))
        return true;
    return level(&wanted, kf_fields_of(kf_schema_request(exchange->api->key)), exchange->request,
                 false, 0);
}
