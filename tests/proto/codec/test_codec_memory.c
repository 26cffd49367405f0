/* Every allocation fails once: an error each time, nothing leaks, nothing aborts. */
#include "tests/proto/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

static int until_failure; /* allocations that still succeed; below 0: all do */

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size && until_failure == 0)
        return NULL;
    if (size && until_failure > 0)
        until_failure--;
    return kf_default_allocator.resize(NULL, pointer, size);
}

static const kf_allocator failing = {resize, NULL};

static const char subscription[] =
    "{\"topics\":[\"a\",\"b\"],\"userData\":\"AQID\",\"ownedPartitions\":[{\"topic\":\"a\","
    "\"partitions\":[1,2,3]}],\"generationId\":4,\"rackId\":\"r\"}";

/* JSON to struct to bytes to struct to JSON; the first error. */
static kf_err around(kf_writer *bytes, kf_writer *json, kf_arena *arena)
{
    struct kf_consumer_protocol_subscription m;
    const kf_schema *schema = &kf_schema_of_consumer_protocol_subscription;
    kf_err err = kf_from_json(schema, 3, subscription, sizeof subscription - 1, arena, &m, NULL);
    if (!err)
        err = kf_encode(schema, 3, &m, bytes);
    if (!err)
        err = kf_decode(schema, 3, bytes->bytes, bytes->used, arena, &m);
    if (!err)
        err = kf_to_json(schema, 3, &m, json);
    return err;
}

Test(codec_memory, every_failed_allocation_is_an_error_code)
{
    int failures = 0;
    for (int n = 0;; n++) {
        kf_writer bytes, json;
        kf_arena arena;
        until_failure = n;
        kf_writer_init(&bytes, &failing);
        kf_writer_init(&json, &failing);
        kf_arena_init(&arena, &failing, 0);
        kf_err err = around(&bytes, &json, &arena);
        if (!err)
            cr_assert(eq(int, memcmp(json.bytes, subscription, sizeof subscription - 1), 0));
        kf_arena_free(&arena);
        kf_writer_free(&json);
        kf_writer_free(&bytes);
        if (!err)
            break;
        cr_assert(eq(int, err, KF_ERR_NO_MEMORY));
        failures++;
    }
    cr_assert(ge(int, failures, 3));
}

Test(codec_memory, a_writer_keeps_its_memory_over_a_reset)
{
    kf_writer bytes;
    until_failure = -1;
    kf_writer_init(&bytes, &failing);
    kf_writer_put(&bytes, "0123456789", 10);
    kf_writer_reset(&bytes);
    until_failure = 0;
    kf_writer_put(&bytes, "abc", 3);
    cr_assert(eq(int, bytes.err, KF_OK));
    cr_assert(eq(sz, bytes.used, 3));
    kf_writer_free(&bytes);
}
