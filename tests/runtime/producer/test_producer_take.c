/* kf_produce_take: values that are not copied, and when they are given back. */
#include "tests/runtime/producer/help_producer.h"
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    LARGE = 300000,
    MANY = 24
};

static kf_broker *broker;
static kf_error error;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 1}, 3);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_take, .init = start_broker, .fini = stop_broker, .timeout = 30);

static kf_producer *open_from(const kf_allocator *alloc, const char *const *settings)
{
    kf_config *config = help_configure(broker, alloc, &error);
    kf_config_set(config, "retry.backoff.ms", "5", &error);
    kf_config_set(config, "reconnect.backoff.ms", "5", &error);
    kf_producer *producer = help_open_producer(config, settings, &error);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    return producer;
}

/* ---- values ---- */

struct value {
    uint8_t *bytes;
    size_t size;
    uint8_t seed;
    atomic_int told;
    atomic_int released;
    int told_before; /* the release */
    kf_fate fate;
    int64_t offset;
    int32_t partition;
};

static void fill(struct value *value, size_t size, uint8_t seed)
{
    *value = (struct value){.bytes = malloc(size), .size = size, .seed = seed};
    for (size_t i = 0; i < size; i++)
        value->bytes[i] = (uint8_t)(seed + i * 7);
}

static void release(void *context, kf_bytes bytes)
{
    struct value *value = context;
    cr_assert(eq(ptr, (void *)bytes.data, value->bytes));
    cr_assert(eq(sz, bytes.size, value->size));
    value->told_before = atomic_load(&value->told);
    free(value->bytes);
    value->bytes = NULL;
    atomic_fetch_add(&value->released, 1);
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct value *value = context;
    value->fate = delivery->fate;
    value->offset = delivery->offset;
    value->partition = delivery->partition;
    atomic_fetch_add(&value->told, 1);
}

static kf_err take_to(kf_producer *producer, int32_t partition, struct value *value)
{
    kf_header header = {{"h", 1}, {(const uint8_t *)"v", 1}};
    kf_record record = {.topic = "orders",
                        .partition = partition,
                        .key = {(const uint8_t *)"key", 3},
                        .value = {value->bytes, value->size},
                        .headers = &header,
                        .header_count = 1};
    return kf_produce_take(producer, &record, release, take_verdict, value, in(5 * KF_SECOND),
                           &error);
}

static void is_stored(const struct value *value)
{
    kf_message message;
    cr_assert(eq(int, (int)value->fate, KF_STORED));
    cr_assert(eq(int, kf_broker_read(broker, "orders", value->partition, value->offset, &message),
                 KF_OK));
    cr_assert(eq(sz, message.value.size, value->size));
    cr_assert(eq(sz, message.key.size, 3));
    kf_header header;
    size_t at = 0;
    cr_assert(kf_message_headers_next(&message, &at, &header));
    cr_assert(eq(chr, header.name.data[0], 'h'));
    for (size_t i = 0; i < value->size; i++)
        if (message.value.data[i] != (uint8_t)(value->seed + i * 7))
            cr_fatal("byte %zu differs", i);
}

static void done_once(const struct value *value)
{
    cr_assert(eq(int, atomic_load(&value->told), 1));
    cr_assert(eq(int, atomic_load(&value->released), 1));
}

/* ---- memory ---- */

static _Atomic size_t largest;

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size > atomic_load(&largest))
        atomic_store(&largest, size);
    return kf_default_allocator.resize(NULL, pointer, size);
}

Test(producer_take, stores_a_value_that_it_never_copies)
{
    static const kf_allocator alloc = {resize, NULL};
    kf_producer *producer = open_from(&alloc, NULL);
    struct value value;
    fill(&value, LARGE, 1);
    cr_assert(eq(int, take_to(producer, 1, &value), KF_OK), "%s", error.text);
    cr_assert(eq(int, kf_producer_close(producer, in(10 * KF_SECOND)), KF_OK));
    done_once(&value);
    cr_assert(eq(int, value.told_before, 1), "told before it is given back");
    is_stored(&value);
    cr_assert(lt(sz, atomic_load(&largest), LARGE));
}

Test(producer_take, copies_what_is_small_compressed_or_intercepted_and_gives_it_back_at_once)
{
    kf_producer *plain = open_from(NULL, NULL);
    kf_producer *packed = open_from(NULL, (const char *[]){"compression.type", "snappy", NULL});
    kf_producer *watched = open_from(NULL, NULL);
    kf_interceptor interceptor = {.size = sizeof interceptor};
    cr_assert(eq(int, kf_producer_intercept(watched, &interceptor), KF_OK));
    struct value values[3];
    fill(&values[0], 1000, 2);
    fill(&values[1], LARGE, 3);
    fill(&values[2], LARGE, 4);
    cr_assert(eq(int, take_to(plain, 0, &values[0]), KF_OK));
    cr_assert(eq(int, take_to(packed, 1, &values[1]), KF_OK), "%s", error.text);
    cr_assert(eq(int, take_to(watched, 2, &values[2]), KF_OK));
    for (int i = 0; i < 3; i++)
        cr_assert(eq(int, atomic_load(&values[i].released), 1));
    kf_producer_close(plain, in(10 * KF_SECOND));
    kf_producer_close(packed, in(10 * KF_SECOND));
    kf_producer_close(watched, in(10 * KF_SECOND));
    for (int i = 0; i < 3; i++) {
        done_once(&values[i]);
        is_stored(&values[i]);
    }
}

static void produce_small(kf_producer *producer, int32_t partition)
{
    kf_record record = {.topic = "orders", .partition = partition, .value = {(uint8_t *)"s", 1}};
    cr_assert(eq(int, kf_produce(producer, &record, NULL, NULL, in(5 * KF_SECOND), &error), KF_OK));
}

/* Both kinds in one request, in every place, and sent again when connections break. */
Test(producer_take, keeps_the_order_among_others_and_the_bytes_through_retries)
{
    kf_producer *producer = open_from(NULL, NULL);
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_CLOSE_ANSWER,
                             .api_key = KF_API_PRODUCE,
                             .first = 2,
                             .every = 3,
                             .times = 6};
    cr_assert(lt(i32, 0, kf_broker_fault_add(broker, &fault)));
    struct value values[MANY];
    for (int i = 0; i < MANY; i++) {
        fill(&values[i], i % 4 == 3 ? 5000 : 20000 + (size_t)i * 1000, (uint8_t)i);
        cr_assert(eq(int, take_to(producer, i % 3, &values[i]), KF_OK), "%s", error.text);
        produce_small(producer, i % 3);
    }
    cr_assert(eq(int, kf_producer_close(producer, in(20 * KF_SECOND)), KF_OK));
    for (int i = 0; i < MANY; i++) {
        done_once(&values[i]);
        is_stored(&values[i]);
        cr_assert(eq(i64, values[i].offset, i / 3 * 2));
    }
}

Test(producer_take, leaves_the_value_to_the_caller_where_the_record_is_not_taken)
{
    kf_producer *producer = open_from(NULL, (const char *[]){"max.request.size", "100000", NULL});
    struct value value;
    fill(&value, LARGE, 5);
    cr_assert(eq(int, take_to(producer, 0, &value), KF_ERR_MESSAGE_TOO_LARGE));
    kf_record record = {.topic = "nowhere", .partition = 0, .value = {value.bytes, 90000}};
    cr_assert(ne(int, kf_produce_take(producer, &record, release, NULL, &value, 0, NULL), KF_OK));
    cr_assert(eq(int, kf_produce_take(producer, &record, NULL, NULL, &value, 0, NULL),
                 KF_ERR_INVALID_ARGUMENT));
    kf_producer_close(producer, in(KF_SECOND));
    cr_assert(eq(int, atomic_load(&value.released), 0));
    free(value.bytes);
}

Test(producer_take, counts_the_value_against_the_buffer)
{
    kf_producer *producer = open_from(
        NULL, (const char *[]){"buffer.memory", "700000", "delivery.timeout.ms", "60000", NULL});
    produce_small(producer, 0);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_broker_pause(broker);
    struct value values[4];
    for (int i = 0; i < 4; i++)
        fill(&values[i], LARGE, (uint8_t)i);
    cr_assert(eq(int, take_to(producer, 0, &values[0]), KF_OK));
    cr_assert(eq(int, take_to(producer, 1, &values[1]), KF_OK));
    kf_record record = {.topic = "orders", .value = {values[2].bytes, LARGE}};
    cr_assert(eq(int, kf_produce_take(producer, &record, release, NULL, &values[2], 0, &error),
                 KF_ERR_BUFFER_FULL));
    kf_broker_resume(broker);
    cr_assert(eq(int, take_to(producer, 0, &values[2]), KF_OK), "%s", error.text);
    cr_assert(eq(int, take_to(producer, 0, &values[3]), KF_OK), "%s", error.text);
    cr_assert(eq(int, kf_producer_close(producer, in(20 * KF_SECOND)), KF_OK));
    for (int i = 0; i < 4; i++) {
        done_once(&values[i]);
        is_stored(&values[i]);
    }
}

/* A broker may still read them from our socket's queue; and they are no other record's. */
Test(producer_take, gives_back_only_once_the_request_has_ended_what_ran_out_of_time)
{
    kf_producer *producer =
        open_from(NULL, (const char *[]){"delivery.timeout.ms", "400", "request.timeout.ms", "300",
                                         "fetch.max.wait.ms", "1", "linger.ms", "0", NULL});
    produce_small(producer, 0);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_broker_pause(broker);
    struct value values[5];
    int tries = 0;
    do { /* the time of one may be over before the machine lets it leave */
        fill(&values[tries], LARGE, 9);
        cr_assert(eq(int, take_to(producer, 0, &values[tries]), KF_OK));
        while (!atomic_load(&values[tries].told))
            kf_sleep(KF_MILLISECOND);
    } while (values[tries++].fate == KF_NOT_STORED && tries < 5);
    cr_assert(eq(int, (int)values[tries - 1].fate, KF_FATE_UNKNOWN));
    kf_broker_resume(broker);
    kf_producer_close(producer, in(20 * KF_SECOND));
    while (tries > 0)
        done_once(&values[--tries]);
}

Test(producer_take, gives_back_without_acks_once_the_bytes_have_left)
{
    kf_producer *producer = open_from(NULL, (const char *[]){"acks", "0", NULL});
    struct value value;
    fill(&value, LARGE, 6);
    cr_assert(eq(int, take_to(producer, 0, &value), KF_OK));
    kf_producer_close(producer, in(5 * KF_SECOND));
    done_once(&value);
    int64_t start, end = 0;
    for (int tries = 0; tries < 5000 && end == 0; tries++) {
        kf_sleep(KF_MILLISECOND);
        kf_broker_offsets(broker, "orders", 0, &start, &end);
    }
    cr_assert(eq(i64, end, 1));
}
