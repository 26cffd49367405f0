/* The tables made from the rows, and what is asked of them. */
#include "proto/codec/schema.h"
#include "tests/proto/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

TestSuite(schema);

Test(schema, knows_every_message_and_version_of_kafka)
{
    int messages = 0, versions = 0;
    const kf_schema *schema;
    for (size_t i = 0; (schema = kf_schema_at(i)); i++) {
        if (kf_schema_record_type(schema) >= 0 ||
            strstr(kf_schema_name(schema), "Quorum"
                                           "State") ||
            strcmp(kf_schema_name(schema), "ProducerSnapshot") == 0)
            continue;
        messages++;
        versions += kf_schema_max_version(schema) - kf_schema_min_version(schema) + 1;
    }
    cr_assert(eq(int, messages, 205));
    cr_assert(eq(int, versions, 761));
}

Test(schema, finds_messages_by_name_and_by_key)
{
    cr_assert(eq(ptr, (void *)(uintptr_t)kf_schema_find("FetchRequest"),
                 (void *)(uintptr_t)&kf_schema_of_fetch_request));
    cr_assert(eq(ptr, (void *)(uintptr_t)kf_schema_response(KF_API_FETCH),
                 (void *)(uintptr_t)&kf_schema_of_fetch_response));
    cr_assert(zero(ptr, (void *)(uintptr_t)kf_schema_find("fetch")));
    cr_assert(zero(ptr, (void *)(uintptr_t)kf_schema_request(999)));
    cr_assert(zero(ptr, (void *)(uintptr_t)kf_schema_request(-1)));
}

/* Rows don't say where a field lies: the walk must come to the compiler's own answer. */
Test(schema, places_fields_where_the_compiler_does)
{
    static const size_t places[] = {
        offsetof(struct kf_metadata_response_topic, error_code),
        offsetof(struct kf_metadata_response_topic, name),
        offsetof(struct kf_metadata_response_topic, topic_id),
        offsetof(struct kf_metadata_response_topic, is_internal),
        offsetof(struct kf_metadata_response_topic, partitions),
        offsetof(struct kf_metadata_response_topic, topic_authorized_operations),
    };
    kf_field field, topics;
    kf_fields walk = kf_fields_of(&kf_schema_of_metadata_response);
    do
        cr_assert(kf_fields_next(&walk, &topics));
    while (strcmp(topics.name, "topics") != 0);
    cr_assert(eq(sz, topics.offset, offsetof(struct kf_metadata_response, topics)));
    cr_assert(eq(sz, topics.element_size, sizeof(struct kf_metadata_response_topic)));

    walk = kf_fields_inside(&topics);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        cr_assert(kf_fields_next(&walk, &field));
        cr_assert(eq(sz, field.offset, places[i]));
    }
    cr_assert(not(kf_fields_next(&walk, &field)));
}

/* All of them: a struct's fields and its unknown tags fill it to the last byte but padding. */
Test(schema, places_no_field_behind_its_struct)
{
    const kf_schema *schema;
    for (size_t i = 0; (schema = kf_schema_at(i)); i++) {
        size_t end = 0, align = _Alignof(struct kf_tags);
        const struct kf__struct *type = kf__struct_at(schema->root);
        const struct kf__row *row = kf__rows_of(type);
        for (unsigned n = 0; n < type->count; n++)
            kf__place(&row[n], &end);
        end = (end + align - 1) & ~(align - 1);
        cr_assert(eq(sz, end + sizeof(struct kf_tags), type->size), "%s", schema->name);
    }
}

Test(schema, computes_the_least_bytes_on_the_wire)
{
    const struct kf__struct *type = kf__struct_at(kf_schema_of_metadata_response.root);
    /* brokers and topics: two counts; at v13 also throttle, cluster id, controller, error, tags. */
    cr_assert(eq(sz, kf__min_wire_size(type, 0, false), 8));
    cr_assert(eq(sz, kf__min_wire_size(type, 13, true), 4 + 1 + 1 + 4 + 1 + 2 + 1));
}

Test(schema, resets_to_the_defaults_of_the_rows)
{
    struct kf_fetch_request m;
    kf_reset(&kf_schema_of_fetch_request, &m);
    cr_assert(eq(int, m.replica_id, -1));
    cr_assert(eq(i64, m.replica_state.replica_epoch, -1));
    cr_assert(eq(int, m.max_bytes, INT32_MAX));
    cr_assert(zero(ptr, (void *)(uintptr_t)m.cluster_id.data));
    cr_assert(not(zero(ptr, (void *)(uintptr_t)m.rack_id.data)));
    cr_assert(eq(int, m.topics.count, 0));
}

Test(schema, spells_fields_as_kafka_does)
{
    char name[32];
    cr_assert(eq(sz, kf_field_json_name("k_raft_version_feature", name, sizeof name), 19));
    cr_assert(eq(str, name, "kRaftVersionFeature"));
    cr_assert(eq(sz, kf_field_json_name("topic_id", name, 4), 7));
    cr_assert(eq(str, name, "top"));
}

Test(schema, chooses_the_newest_version_that_both_speak)
{
    struct kf_api_versions_response_api_version apis[] = {
        {.api_key = KF_API_FETCH, .min_version = 4, .max_version = 12},
        {.api_key = KF_API_METADATA, .min_version = 0, .max_version = 99},
        {.api_key = KF_API_PRODUCE, .min_version = 50, .max_version = 60},
    };
    struct kf_api_versions_response broker;
    kf_reset(&kf_schema_of_api_versions_response, &broker);
    broker.api_keys.items = apis;
    broker.api_keys.count = 3;

    int16_t version = -1;
    cr_assert(eq(int, kf_version_choose(&kf_schema_of_fetch_request, &broker, &version), KF_OK));
    cr_assert(eq(int, version, 12));
    cr_assert(eq(int, kf_version_choose(&kf_schema_of_metadata_request, &broker, &version), KF_OK));
    cr_assert(eq(int, version, kf_schema_max_version(&kf_schema_of_metadata_request)));
    cr_assert(eq(int, kf_version_choose(&kf_schema_of_produce_request, &broker, &version),
                 KF_ERR_API_NOT_SUPPORTED));
    cr_assert(eq(int, kf_version_choose(&kf_schema_of_heartbeat_request, &broker, &version),
                 KF_ERR_API_NOT_SUPPORTED));
}
