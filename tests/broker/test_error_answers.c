#include "tools/broker/faults/error_answers.h"

#include "proto/codec/frame.h"
#include "proto/codec/schema.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__exchange exchange;
static struct kf__api api;

static void open_exchange(int16_t key, int16_t version)
{
    api = (struct kf__api){.key = key};
    exchange = (struct kf__exchange){.api = &api, .version = version};
    kf_arena_init(&exchange.arena, &kf_default_allocator, 0);
    void *request = kf_arena_alloc(&exchange.arena, kf_schema_struct_size(kf_schema_request(key)));
    exchange.response =
        kf_arena_alloc(&exchange.arena, kf_schema_struct_size(kf_schema_response(key)));
    kf_reset(kf_schema_request(key), request);
    exchange.request = request;
}

static void close_exchange(void) { kf_arena_free(&exchange.arena); }

TestSuite(broker_error_answers, .fini = close_exchange);

/* One element in each array, all the way down. */
static void fill(kf_fields fields, uint8_t *base)
{
    kf_field field;
    while (kf_fields_next(&fields, &field)) {
        if (!field.array || exchange.version < field.since || exchange.version > field.until)
            continue;
        uint8_t *item = kf_arena_alloc(&exchange.arena, field.element_size);
        if (field.type == KF_FIELD_STRUCT) {
            kf__reset_struct(field.inside, item);
            fill(kf_fields_inside(&field), item);
        }
        kf__array_set(base + field.offset, item, 1);
    }
}

static int count_errors(kf_fields fields, const uint8_t *base, int16_t wanted)
{
    kf_field field;
    int count = 0;
    while (kf_fields_next(&fields, &field)) {
        int16_t code;
        memcpy(&code, base + field.offset, sizeof code);
        if (field.array && field.type == KF_FIELD_STRUCT) {
            struct kf__array array = kf__array_get(base + field.offset);
            for (int32_t i = 0; i < array.count; i++)
                count +=
                    count_errors(kf_fields_inside(&field),
                                 (uint8_t *)array.items + (size_t)i * field.element_size, wanted);
        } else if (!field.array && field.type == KF_FIELD_INT16 &&
                   strstr(field.name, "error_code")) {
            count += code == wanted;
        }
    }
    return count;
}

/* Every API that a client may ask: its answer holds the error somewhere and can be encoded. */
Test(broker_error_answers, every_api_has_a_place_for_it)
{
    for (int16_t key = 0; key < 96; key++) {
        const kf_schema *request = kf_schema_request(key), *response = kf_schema_response(key);
        if (!request || !response)
            continue;
        for (int16_t v = kf_schema_min_version(request); v <= kf_schema_max_version(request); v++) {
            kf_writer out;
            open_exchange(key, v);
            fill(kf_fields_of(request), (uint8_t *)(uintptr_t)exchange.request);
            cr_assert(kf__error_answer(&exchange, KF_ERR_CLUSTER_AUTHORIZATION_FAILED));
            int errors = count_errors(kf_fields_of(response), exchange.response,
                                      KF_ERR_CLUSTER_AUTHORIZATION_FAILED);
            cr_assert(ge(int, errors, 1), "%s v%d", kf_schema_name(response), v);
            kf_writer_init(&out, &kf_default_allocator);
            kf_err err = kf__encode_response(&out, response, v, 1, exchange.response);
            cr_assert(eq(int, err, KF_OK), "%s v%d: %s", kf_schema_name(response), v,
                      kf_err_name(err));
            kf_writer_free(&out);
            kf_arena_free(&exchange.arena);
        }
    }
}

Test(broker_error_answers, each_partition_that_was_asked_for_comes_back)
{
    struct kf_add_partitions_to_txn_request_add_partitions_to_txn_topic topic = {
        .name = kf__text("orders")};
    int32_t partitions[] = {3, 5};
    open_exchange(KF_API_ADD_PARTITIONS_TO_TXN, 3);
    struct kf_add_partitions_to_txn_request *request = (void *)(uintptr_t)exchange.request;
    topic.partitions.items = partitions;
    topic.partitions.count = 2;
    request->v3_and_below_topics.items = &topic;
    request->v3_and_below_topics.count = 1;
    cr_assert(kf__error_answer(&exchange, KF_ERR_INVALID_TXN_STATE));
    struct kf_add_partitions_to_txn_response *response = exchange.response;
    cr_assert(eq(i32, response->results_by_topic_v3_and_below.count, 1));
    cr_assert(kf__text_equal(response->results_by_topic_v3_and_below.items[0].name, topic.name));
    cr_assert(
        eq(i32, response->results_by_topic_v3_and_below.items[0].results_by_partition.count, 2));
    for (int i = 0; i < 2; i++) {
        cr_assert(eq(i32,
                     response->results_by_topic_v3_and_below.items[0]
                         .results_by_partition.items[i]
                         .partition_index,
                     partitions[i]));
        cr_assert(eq(i16,
                     response->results_by_topic_v3_and_below.items[0]
                         .results_by_partition.items[i]
                         .partition_error_code,
                     KF_ERR_INVALID_TXN_STATE));
    }
}
