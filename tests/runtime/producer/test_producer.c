/* The producer against the embedded broker: what it promises to who produces. */
#include "tests/runtime/producer/help_producer.h"
#include <kafiber/messages.h>
#include <kafiber/runtime.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static kf_broker *broker;
static kf_error error;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 2, .no_auto_create = true}, 3);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer, .init = start_broker, .fini = stop_broker, .timeout = 30);

/* `settings`: key, value, key, value, …, NULL. */
static kf_producer *open_with(const char *const *settings)
{
    kf_producer *producer =
        help_open_producer(help_configure(broker, NULL, &error), settings, &error);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    return producer;
}

static kf_bytes bytes_of(const char *text)
{
    return (kf_bytes){(const uint8_t *)text, text ? strlen(text) : 0};
}

static kf_record record_to(int32_t partition, const char *value)
{
    return (kf_record){.topic = "orders", .partition = partition, .value = bytes_of(value)};
}

/* ---- what came of the records ---- */

static struct {
    atomic_int told;
    atomic_int failed;
    _Atomic kf_err err;
    _Atomic kf_fate fate; /* of the last that failed */
    int64_t offsets[4096];
} verdicts;

static void take_verdict(void *context, const kf_delivery *delivery)
{
    verdicts.offsets[(size_t)(uintptr_t)context] = delivery->offset;
    if (delivery->err) {
        atomic_fetch_add(&verdicts.failed, 1);
        atomic_store(&verdicts.err, delivery->err);
        atomic_store(&verdicts.fate, delivery->fate);
    }
    atomic_fetch_add(&verdicts.told, 1);
}

static void produce(kf_producer *producer, int32_t partition, const char *value, size_t number)
{
    kf_record record = record_to(partition, value);
    kf_err err = kf_produce(producer, &record, take_verdict, (void *)(uintptr_t)number,
                            in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
}

static void produce_many(kf_producer *producer, int32_t partition, int count)
{
    for (int i = 0; i < count; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        produce(producer, partition, value, (size_t)i);
    }
}

/* All records of the partition are 0, 1, 2, … */
static int64_t count_in_order(int32_t partition)
{
    int64_t start, end, next = 0;
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", partition, &start, &end), KF_OK));
    for (int64_t offset = start; offset < end; offset++) {
        kf_message message;
        char text[16] = {0};
        cr_assert(eq(int, kf_broker_read(broker, "orders", partition, offset, &message), KF_OK));
        memcpy(text, message.value.data, message.value.size);
        cr_assert(eq(i64, atoi(text), next), "offset %lld", (long long)offset);
        next++;
    }
    return next;
}

static int32_t add_fault(kf_broker_fault fault)
{
    fault.size = sizeof fault;
    int32_t id = kf_broker_fault_add(broker, &fault);
    cr_assert(lt(i32, 0, id));
    return id;
}

/* ---- storing ---- */

Test(producer, stores_a_record_with_its_key_headers_and_timestamp)
{
    kf_producer *producer = open_with(NULL);
    kf_header headers[] = {{{"h", 1}, bytes_of("v")}, {{"h", 1}, {NULL, 0}}};
    kf_record record = record_to(1, "value");
    record.key = bytes_of("key");
    record.headers = headers;
    record.header_count = 2;
    record.timestamp = 1700000000123;
    kf_delivery delivery = {.partition = -1, .offset = -1};
    kf_err err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), &delivery, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    cr_assert(eq(int, (int)delivery.fate, KF_STORED));
    cr_assert(eq(i32, delivery.partition, 1));
    cr_assert(eq(i64, delivery.offset, 0));
    cr_assert(eq(i64, delivery.timestamp, 1700000000123));
    cr_assert(eq(str, (char *)delivery.topic, "orders"));

    kf_message message;
    cr_assert(eq(int, kf_broker_read(broker, "orders", 1, 0, &message), KF_OK));
    cr_assert(eq(sz, message.key.size, 3));
    cr_assert(eq(int, memcmp(message.value.data, "value", 5), 0));
    cr_assert(eq(i64, message.timestamp, 1700000000123));
    kf_header header;
    size_t at = 0;
    cr_assert(kf_message_headers_next(&message, &at, &header));
    cr_assert(eq(int, memcmp(header.value.data, "v", 1), 0));
    cr_assert(kf_message_headers_next(&message, &at, &header));
    cr_assert(zero(ptr, (void *)header.value.data));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, tells_null_and_empty_apart)
{
    kf_producer *producer = open_with(NULL);
    kf_record record = record_to(0, NULL);
    record.key = bytes_of("");
    cr_assert(eq(int, kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error), 0));
    kf_message message;
    cr_assert(eq(int, kf_broker_read(broker, "orders", 0, 0, &message), KF_OK));
    cr_assert(zero(ptr, (void *)message.value.data));
    cr_assert(ne(ptr, (void *)message.key.data, NULL));
    cr_assert(eq(sz, message.key.size, 0));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, keeps_the_order_of_a_partition_and_tells_each_record_its_offset)
{
    kf_producer *producer = open_with(NULL);
    produce_many(producer, 2, 2000);
    cr_assert(eq(int, kf_flush(producer, in(10 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.told, 2000));
    cr_assert(eq(int, verdicts.failed, 0));
    for (int i = 0; i < 2000; i++)
        cr_assert(eq(i64, verdicts.offsets[i], i));
    cr_assert(eq(i64, count_in_order(2), 2000));
    cr_assert(eq(int, kf_producer_close(producer, in(KF_SECOND)), KF_OK));
}

Test(producer, sends_a_key_where_java_sends_it)
{
    kf_producer *producer = open_with(NULL);
    kf_record record = record_to(-1, "v");
    record.key = bytes_of("customer-17"); /* murmur2 0x5e6a05f0: 1584006640 mod 3 */
    kf_delivery delivery = {.partition = -1};
    kf_produce_wait(producer, &record, in(5 * KF_SECOND), &delivery, &error);
    cr_assert(eq(i32, delivery.partition, 0x5e6a05f0 % 3), "%s", error.text);
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, gathers_records_of_many_partitions_in_one_request_while_it_lingers)
{
    const char *settings[] = {"linger.ms", "20000", NULL};
    kf_producer *producer = open_with(settings);
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 0, 1), KF_OK));
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 1, 1), KF_OK));
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 2, 1), KF_OK));
    for (int i = 0; i < 30; i++)
        produce(producer, i % 3, "v", (size_t)i);
    cr_assert(eq(int, atomic_load(&verdicts.told), 0));
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(i64, kf_broker_requests(broker, 0), 1));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, lingers_and_then_sends_by_itself)
{
    const char *settings[] = {"linger.ms", "100", NULL};
    kf_producer *producer = open_with(settings);
    kf_time began = kf_now();
    produce(producer, 0, "v", 0);
    while (!atomic_load(&verdicts.told))
        kf_sleep(KF_MILLISECOND);
    cr_assert(ge(i64, kf_now() - began, 80 * KF_MILLISECOND));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, does_not_linger_when_somebody_waits_for_the_record)
{
    const char *settings[] = {"linger.ms", "20000", NULL};
    kf_producer *producer = open_with(settings);
    kf_record record = record_to(0, "v");
    kf_err err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, stores_batches_of_every_codec)
{
    static const char *const codecs[] = {"gzip", "snappy", "lz4", "zstd"};
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        const char *settings[] = {"compression.type", codecs[i], NULL};
        kf_config *config = kf_config_new(NULL);
        kf_error ignored = KF_ERROR_INIT;
        kf_config_set(config, "compression.type", codecs[i], &error);
        kf_producer *probe = kf_producer_new(config, &ignored);
        kf_config_free(config);
        if (ignored.code == KF_ERR_CODEC_NOT_BUILT)
            continue;
        kf_producer_close(probe, 0);
        kf_producer *producer = open_with(settings);
        kf_delivery delivery = {.offset = -1};
        kf_record record = record_to(0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        kf_produce_wait(producer, &record, in(5 * KF_SECOND), &delivery, &error);
        cr_assert(eq(int, error.code, KF_OK), "%s", error.text);
        kf_message message;
        cr_assert(eq(int, kf_broker_read(broker, "orders", 0, delivery.offset, &message), KF_OK));
        cr_assert(eq(sz, message.value.size, record.value.size));
        kf_producer_close(producer, in(KF_SECOND));
    }
}

Test(producer, counts_a_record_as_sent_without_acks)
{
    const char *settings[] = {"acks", "0", NULL};
    kf_producer *producer = open_with(settings);
    produce_many(producer, 0, 100);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.told, 100));
    cr_assert(eq(int, verdicts.failed, 0));
    cr_assert(eq(i64, verdicts.offsets[7], -1));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- trouble ---- */

Test(producer, keeps_the_order_through_errors_that_pass)
{
    add_fault((kf_broker_fault){.kind = KF_BROKER_ANSWER_ERROR,
                                .every = 2,
                                .times = 10,
                                .error = KF_ERR_NOT_ENOUGH_REPLICAS});
    const char *settings[] = {"batch.size", "200", "retry.backoff.ms", "5", NULL};
    kf_producer *producer = open_with(settings);
    produce_many(producer, 1, 500);
    cr_assert(eq(int, kf_flush(producer, in(15 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.failed, 0));
    cr_assert(eq(int, verdicts.told, 500));
    cr_assert(eq(i64, count_in_order(1), 500));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, loses_and_repeats_nothing_when_connections_break_before_the_answer)
{
    add_fault(
        (kf_broker_fault){.kind = KF_BROKER_CLOSE_ANSWER, .first = 2, .every = 3, .times = 5});
    const char *settings[] = {"batch.size", "300", "retry.backoff.ms", "5", "reconnect.backoff.ms",
                              "5",          NULL};
    kf_producer *producer = open_with(settings);
    produce_many(producer, 1, 300);
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.failed, 0));
    cr_assert(eq(int, verdicts.told, 300));
    cr_assert(eq(i64, count_in_order(1), 300));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, follows_a_leader_that_moves)
{
    kf_producer *producer = open_with(NULL);
    produce_many(producer, 0, 10);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    int32_t leader, epoch;
    kf_broker_leader(broker, "orders", 0, &leader, &epoch);
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 0, 3 - leader), KF_OK));
    produce(producer, 0, "10", 10);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.failed, 0));
    cr_assert(eq(i64, verdicts.offsets[10], 10));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, goes_to_the_new_leader_of_a_broker_that_died)
{
    const char *settings[] = {"retry.backoff.ms", "10", "reconnect.backoff.ms", "10", NULL};
    kf_producer *producer = open_with(settings);
    produce_many(producer, 0, 10);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    int32_t leader, epoch;
    kf_broker_leader(broker, "orders", 0, &leader, &epoch);
    cr_assert(eq(int, kf_broker_stop_node(broker, leader), KF_OK));
    produce(producer, 0, "10", 10);
    cr_assert(eq(int, kf_flush(producer, in(10 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.failed, 0));
    cr_assert(eq(i64, count_in_order(0), 11));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, ends_a_record_after_its_delivery_time_with_the_last_cause)
{
    add_fault(
        (kf_broker_fault){.kind = KF_BROKER_ANSWER_ERROR, .error = KF_ERR_NOT_ENOUGH_REPLICAS});
    const char *settings[] = {"delivery.timeout.ms", "2000", "retry.backoff.ms", "20", NULL};
    kf_producer *producer = open_with(settings);
    kf_time began = kf_now();
    produce_many(producer, 0, 5);
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.told, 5));
    cr_assert(eq(int, verdicts.failed, 5));
    cr_assert(eq(int, atomic_load(&verdicts.err), KF_ERR_NOT_ENOUGH_REPLICAS));
    cr_assert(ge(i64, kf_now() - began, 1980 * KF_MILLISECOND));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, ends_a_record_in_time_while_its_broker_is_silent)
{
    kf_producer *first = open_with(NULL);
    produce_many(first, 0, 1);
    kf_producer_close(first, in(KF_SECOND));
    add_fault((kf_broker_fault){.kind = KF_BROKER_DROP_ANSWER});
    const char *settings[] = {"delivery.timeout.ms", "300", NULL};
    kf_producer *producer = open_with(settings);
    kf_record record = record_to(0, "v");
    kf_err err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_ERR_TIMED_OUT));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, ends_a_record_at_once_with_an_error_that_no_retry_cures)
{
    add_fault((kf_broker_fault){
        .kind = KF_BROKER_ANSWER_ERROR, .times = 1, .error = KF_ERR_INVALID_RECORD});
    kf_producer *producer = open_with(NULL);
    kf_record record = record_to(0, "v");
    kf_err err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_ERR_INVALID_RECORD));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, names_a_topic_that_does_not_exist)
{
    kf_producer *producer = open_with(NULL);
    kf_record record = {.topic = "nowhere", .partition = -1, .value = bytes_of("v")};
    kf_err err = kf_produce(producer, &record, NULL, NULL, in(2 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(ne(ptr, strstr(error.text, "nowhere"), NULL), "%s", error.text);
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, writes_to_a_topic_that_appears_while_it_waits)
{
    kf_producer *producer = open_with(NULL);
    kf_record record = {.topic = "later", .partition = -1, .value = bytes_of("v")};
    kf_produce(producer, &record, NULL, NULL, in(100 * KF_MILLISECOND), NULL);
    cr_assert(eq(int, kf_broker_create_topic(broker, "later", 1, 1), KF_OK));
    kf_err err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, refuses_a_partition_that_does_not_come_in_time)
{
    kf_producer *producer = open_with(NULL);
    produce(producer, 0, "v", 0);
    kf_record record = record_to(3, "v");
    kf_err err = kf_produce(producer, &record, NULL, NULL, in(500 * KF_MILLISECOND), &error);
    cr_assert(eq(int, err, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(ne(ptr, strstr(error.text, "no partition 3"), NULL), "%s", error.text);
    kf_producer_close(producer, in(KF_SECOND));
}

static void *add_partition(void *context)
{
    kf_sleep(300 * KF_MILLISECOND);
    cr_assert(eq(int, kf_broker_create_partitions(broker, "orders", 4), KF_OK));
    return context;
}

/* Java's producer waits for max.block.ms, too: whoever produces to it may know of it first. */
Test(producer, waits_for_a_partition_that_is_being_added)
{
    kf_producer *producer = open_with(NULL);
    produce(producer, 0, "v", 0);
    pthread_t thread;
    pthread_create(&thread, NULL, add_partition, NULL);
    kf_record record = record_to(3, "v");
    kf_delivery delivery = {.partition = -1};
    kf_err err = kf_produce_wait(producer, &record, in(20 * KF_SECOND), &delivery, &error);
    pthread_join(thread, NULL);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    cr_assert(eq(i32, delivery.partition, 3));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, refuses_a_partition_out_of_range_at_once_where_it_must_not_wait)
{
    kf_producer *producer = open_with(NULL);
    produce(producer, 0, "v", 0);
    kf_record record = record_to(3, "v");
    cr_assert(eq(int, kf_produce(producer, &record, NULL, NULL, 0, &error),
                 KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, refuses_a_record_larger_than_a_request_at_once)
{
    const char *settings[] = {"max.request.size", "1000", NULL};
    kf_producer *producer = open_with(settings);
    char value[1001];
    memset(value, 'v', 1000);
    value[1000] = 0;
    kf_record record = record_to(0, value);
    kf_err err = kf_produce(producer, &record, NULL, NULL, KF_FOREVER, &error);
    cr_assert(eq(int, err, KF_ERR_MESSAGE_TOO_LARGE));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, waits_for_memory_only_until_the_deadline)
{
    const char *settings[] = {"buffer.memory", "20000", NULL};
    kf_producer *producer = open_with(settings);
    produce(producer, 0, "0", 0);
    kf_broker_pause(broker);
    kf_err err = KF_OK;
    int taken = 0;
    char value[1000] = {0};
    memset(value, 'v', sizeof value - 1);
    kf_record record = record_to(0, value);
    while (!err && taken < 1000) {
        err = kf_produce(producer, &record, take_verdict, NULL, in(50 * KF_MILLISECOND), &error);
        taken += !err;
    }
    cr_assert(eq(int, err, KF_ERR_BUFFER_FULL));
    cr_assert(ge(int, taken, 5));
    cr_assert(le(int, taken, 20));
    kf_broker_resume(broker);
    error = (kf_error)KF_ERROR_INIT;
    err = kf_produce(producer, &record, take_verdict, NULL, in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.failed, 0));
    kf_producer_close(producer, in(KF_SECOND));
}

/* A batch that doubles its block might wait for more than there is, and all others behind it. */
Test(producer, takes_more_records_than_there_is_memory_where_a_batch_would_be_larger_than_that)
{
    const char *settings[] = {"buffer.memory", "260000", "batch.size", "1000000",
                              "linger.ms",     "1000",   NULL};
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    kf_producer *producer = open_with(settings);
    kf_record record = record_to(0, value);
    for (int i = 0; i < 1000; i++) {
        kf_err err = kf_produce(producer, &record, take_verdict, NULL, in(20 * KF_SECOND), &error);
        cr_assert(eq(int, err, KF_OK), "record %d: %s", i, error.text);
    }
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.told, 1000));
    cr_assert(eq(int, verdicts.failed, 0));
    kf_producer_close(producer, in(KF_SECOND));
}

static void count_batch(void *context, const kf_delivery *delivery)
{
    (void)delivery;
    atomic_fetch_add((atomic_int *)context, 1);
}

/* Who waited for room was once promised room for one record, until all batches were of one. */
Test(producer, keeps_batches_large_where_the_buffer_is_always_full)
{
    enum {
        COUNT = 4000,
        IN_A_BATCH = 100, /* about */
    };
    atomic_int batches = 0;
    kf_producer *producer = open_with((const char *[]){"buffer.memory", "100000", "batch.size",
                                                       "12000", "retry.backoff.ms", "5", NULL});
    kf_producer_on_batch(producer, count_batch, &batches);
    add_fault((kf_broker_fault){.kind = KF_BROKER_DELAY, .api_key = KF_API_PRODUCE, .ms = 5});
    char value[101];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < COUNT; i++) {
        kf_record record = record_to(0, value);
        kf_err err = kf_produce(producer, &record, take_verdict, NULL, in(20 * KF_SECOND), &error);
        cr_assert(eq(int, err, KF_OK), "%s", error.text);
    }
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
    cr_assert(lt(int, atomic_load(&batches), 4 * COUNT / IN_A_BATCH));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, waits_for_max_block_where_that_is_the_deadline)
{
    kf_producer *producer = open_with(NULL);
    kf_record record = record_to(0, "v");
    kf_err err = kf_produce(producer, &record, take_verdict, NULL, KF_MAX_BLOCK, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, verdicts.told, 1));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, fails_what_is_left_when_it_is_closed)
{
    kf_producer *producer = open_with(NULL);
    produce(producer, 0, "0", 0);
    kf_flush(producer, in(5 * KF_SECOND));
    kf_broker_pause(broker);
    produce_many(producer, 0, 50);
    cr_assert(eq(int, kf_producer_close(producer, in(100 * KF_MILLISECOND)), KF_ERR_TIMED_OUT));
    cr_assert(eq(int, verdicts.told, 51));
    cr_assert(eq(int, verdicts.failed, 50));
    cr_assert(eq(int, atomic_load(&verdicts.err), KF_ERR_CLOSED));
}

Test(producer, says_why_no_broker_answers)
{
    const char *settings[] = {"bootstrap.servers", "127.0.0.1:1", NULL};
    kf_producer *producer = open_with(settings);
    kf_record record = record_to(0, "v");
    kf_err err = kf_produce(producer, &record, NULL, NULL, in(2 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_ERR_NO_BROKER));
    cr_assert(ne(ptr, strstr(error.text, "127.0.0.1:1"), NULL), "%s", error.text);
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- callbacks ---- */

static kf_producer *shared;
static _Atomic kf_err flush_result, produce_result;

static void produce_again(void *context, const kf_delivery *delivery)
{
    (void)context;
    (void)delivery;
    kf_record record = record_to(0, "again");
    atomic_store(&produce_result,
                 kf_produce(shared, &record, take_verdict, NULL, KF_FOREVER, NULL));
    atomic_store(&flush_result, kf_flush(shared, KF_FOREVER));
}

Test(producer, may_be_used_from_a_callback_but_not_waited_for)
{
    shared = open_with(NULL);
    kf_record record = record_to(0, "v");
    kf_produce(shared, &record, produce_again, NULL, in(5 * KF_SECOND), &error);
    while (!atomic_load(&verdicts.told))
        kf_sleep(KF_MILLISECOND);
    cr_assert(eq(int, atomic_load(&produce_result), KF_OK));
    cr_assert(eq(int, atomic_load(&flush_result), KF_ERR_STATE));
    kf_producer_close(shared, in(KF_SECOND));
}

/* ---- inside a handler ---- */

static _Atomic kf_err waited_result;
static atomic_int handled;
static atomic_bool handled_first;
static bool fills_the_buffer;
static kf_time wait_of_handler;

static kf_verdict forward(const kf_message *message, void *context)
{
    (void)context;
    kf_record record = record_to(2, "out");
    atomic_store(&handled_first, true);
    while (fills_the_buffer && !atomic_load(&waited_result))
        atomic_store(&waited_result, kf_produce(shared, &record, NULL, NULL, KF_FOREVER, NULL));
    if (message->partition == 0 && !fills_the_buffer)
        atomic_store(&waited_result,
                     kf_produce_wait(shared, &record, in(wait_of_handler), NULL, NULL));
    atomic_fetch_add(&handled, 1);
    return KF_HANDLED;
}

static kf_runtime *start_forwarding_with(const char *name, const char *value)
{
    const char *settings[][2] = {
        {name, value},
        {"group.id", "g"},
        {"worker.threads", "1"},
        {"worker.threads.max", "1"},
    };
    kf_config *config = help_configure(broker, NULL, &error);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        kf_config_set(config, settings[i][0], settings[i][1], &error);
    kf_runtime *runtime = kf_runtime_new(config, &error);
    kf_config_free(config);
    kf_runtime_handle(runtime, "orders", KF_AT_LEAST_ONCE, forward, NULL);
    cr_assert(eq(int, kf_runtime_start(runtime, &error), KF_OK), "%s", error.text);
    return runtime;
}

static kf_runtime *start_forwarding(void) { return start_forwarding_with("client.id", "forward"); }

static void stop_forwarding(kf_runtime *runtime)
{
    kf_runtime_stop(runtime);
    kf_runtime_wait(runtime, &error);
    cr_assert(eq(int, kf_runtime_close(runtime), KF_OK));
    kf_producer_close(shared, in(KF_SECOND));
}

static void store(int32_t partition)
{
    cr_assert(
        eq(int,
           kf_broker_produce(broker, "orders", partition, bytes_of(NULL), bytes_of("in"), -1, NULL),
           KF_OK));
}

Test(producer, stores_what_a_handler_produces_and_waits_for)
{
    shared = open_with(NULL);
    wait_of_handler = 10 * KF_SECOND;
    kf_runtime *runtime = start_forwarding();
    store(0);
    while (atomic_load(&handled) < 2) /* the order, and what came of it */
        kf_sleep(KF_MILLISECOND);
    cr_assert(eq(int, atomic_load(&waited_result), KF_OK));
    stop_forwarding(runtime);
}

/* One worker only: were it held, the other partition's record would not be handled meanwhile. */
Test(producer, suspends_the_fiber_that_waits_and_not_its_worker)
{
    shared = open_with(NULL);
    wait_of_handler = 4 * KF_SECOND;
    add_fault((kf_broker_fault){.kind = KF_BROKER_DROP_ANSWER});
    kf_runtime *runtime = start_forwarding();
    store(0);
    while (!atomic_load(&handled_first))
        kf_sleep(KF_MILLISECOND);
    store(1);
    while (!atomic_load(&handled))
        kf_sleep(KF_MILLISECOND);
    cr_assert(eq(int, atomic_load(&waited_result), 0), "the first one still waits");
    while (!atomic_load(&waited_result))
        kf_sleep(KF_MILLISECOND);
    cr_assert(eq(int, atomic_load(&waited_result), KF_ERR_TIMED_OUT));
    stop_forwarding(runtime);
}

/* Otherwise the runtime's close would find the handler stuck until its deadline. */
Test(producer, ends_the_wait_of_a_handler_that_is_asked_to_stop)
{
    shared = open_with(NULL);
    wait_of_handler = 3600 * KF_SECOND;
    add_fault((kf_broker_fault){.kind = KF_BROKER_DROP_ANSWER});
    kf_runtime *runtime = start_forwarding_with("shutdown.timeout.ms", "1000");
    store(0);
    while (!atomic_load(&handled_first))
        kf_sleep(KF_MILLISECOND);
    stop_forwarding(runtime);
    cr_assert(eq(int, atomic_load(&waited_result), KF_ERR_CANCELLED));
}

Test(producer, ends_the_wait_for_memory_of_a_handler_that_is_asked_to_stop)
{
    shared = open_with((const char *[]){"buffer.memory", "20000", NULL});
    fills_the_buffer = true;
    add_fault((kf_broker_fault){.kind = KF_BROKER_DROP_ANSWER});
    kf_runtime *runtime = start_forwarding_with("shutdown.timeout.ms", "1000");
    store(0);
    while (!atomic_load(&handled_first))
        kf_sleep(KF_MILLISECOND);
    stop_forwarding(runtime);
    cr_assert(eq(int, atomic_load(&waited_result), KF_ERR_CANCELLED));
}

/* ---- partitions ---- */

static int32_t partition_of(kf_producer *producer, const char *key)
{
    kf_record record = {.topic = "orders", .partition = -1, .key = bytes_of(key)};
    kf_delivery delivery = {.partition = -1};
    kf_err err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), &delivery, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    return delivery.partition;
}

Test(producer, partitions_by_the_rule_that_is_set)
{
    kf_producer *java = open_with(NULL);
    kf_producer *librdkafka = open_with((const char *[]){"partitioner", "consistent_random", NULL});
    cr_assert(eq(i32, partition_of(java, "foobar"), (int32_t)((0xd0e47bbeu & 0x7fffffffu) % 3)));
    cr_assert(eq(i32, partition_of(librdkafka, "foobar"), (int32_t)(0x9ef61f95u % 3)));
    kf_producer_close(java, in(KF_SECOND));
    kf_producer_close(librdkafka, in(KF_SECOND));
}

Test(producer, spreads_keys_where_they_are_to_be_ignored)
{
    kf_producer *producer =
        open_with((const char *[]){"partitioner.ignore.keys", "true", "batch.size", "0", NULL});
    bool seen[3] = {false};
    for (int i = 0; i < 200; i++)
        seen[partition_of(producer, "foobar")] = true;
    cr_assert(seen[0] && seen[1] && seen[2]);
    kf_producer_close(producer, in(KF_SECOND));
}

static int32_t by_last_byte(void *context, const kf_record *record, int32_t partitions)
{
    cr_assert(eq(i32, partitions, 3));
    if (!record->key.size)
        return *(const int32_t *)context;
    return record->key.data[record->key.size - 1] - '0';
}

Test(producer, asks_the_callers_own_partitioner_where_no_partition_is_named)
{
    int32_t otherwise = -1;
    kf_producer *producer = open_with((const char *[]){"partitioner", "murmur2", NULL});
    cr_assert(eq(int, kf_producer_partitioner(producer, by_last_byte, &otherwise), KF_OK));
    cr_assert(eq(i32, partition_of(producer, "key-2"), 2));
    cr_assert(eq(i32, partition_of(producer, "key-0"), 0));
    cr_assert(eq(i32, partition_of(producer, ""), (int32_t)(0x106e08d9u % 3)));

    kf_record record = {.topic = "orders", .partition = -1, .key = bytes_of("key-7")};
    kf_err err = kf_produce(producer, &record, NULL, NULL, in(KF_SECOND), &error);
    cr_assert(eq(int, err, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- interceptors ---- */

struct witness {
    const char *header; /* added to each record */
    atomic_int sent;
    atomic_int acknowledged;
    atomic_int refused;
    int64_t last_offset;
    void *last_tag;
    char last_topic[32];
};

static void witness_sending(void *context, kf_record *record, kf_sending *sending, void **tag)
{
    struct witness *witness = context;
    atomic_fetch_add(&witness->sent, 1);
    *tag = (void *)(uintptr_t)record->value.size;
    char value[16] = "of its own";
    kf_string name = {witness->header, strlen(witness->header)};
    cr_assert(eq(int, kf_sending_header(sending, name, bytes_of(value)), KF_OK));
    memset(value, 'x', sizeof value - 1);
}

static void witness_acknowledged(void *context, const kf_acknowledged *news)
{
    struct witness *witness = context;
    witness->last_offset = news->offset;
    witness->last_tag = news->tag;
    snprintf(witness->last_topic, sizeof witness->last_topic, "%s", news->topic);
    if (news->err && news->partition < 0)
        atomic_fetch_add(&witness->refused, 1);
    atomic_fetch_add(&witness->acknowledged, 1);
}

static kf_producer *open_with_witness(struct witness *witness, const char *header)
{
    kf_producer *producer = open_with(NULL);
    *witness = (struct witness){.header = header};
    kf_interceptor interceptor = {sizeof interceptor, witness, witness_sending,
                                  witness_acknowledged};
    cr_assert(eq(int, kf_producer_intercept(producer, &interceptor), KF_OK));
    return producer;
}

Test(producer, lets_interceptors_add_headers_behind_the_callers)
{
    struct witness first, second;
    kf_producer *producer = open_with_witness(&first, "first");
    second = (struct witness){.header = "second"};
    kf_interceptor other = {sizeof other, &second, witness_sending, NULL};
    cr_assert(eq(int, kf_producer_intercept(producer, &other), KF_OK));

    kf_header own = {{"own", 3}, bytes_of("1")};
    kf_record record = record_to(0, "value");
    record.headers = &own;
    record.header_count = 1;
    kf_err err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    cr_assert(eq(sz, record.header_count, 1));

    static const char *const names[] = {"own", "first", "second"};
    kf_message message;
    cr_assert(eq(int, kf_broker_read(broker, "orders", 0, 0, &message), KF_OK));
    cr_assert(eq(i32, message.header_count, 3));
    kf_header header;
    size_t at = 0;
    for (size_t i = 0; kf_message_headers_next(&message, &at, &header); i++)
        cr_assert(zero(int, strncmp(header.name.data, names[i], header.name.size)));
    cr_assert(kf_message_header(&message, "first", &header));
    cr_assert(zero(int, memcmp(header.value.data, "of its own", 10)));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, tells_interceptors_of_each_record_once_before_the_caller)
{
    struct witness witness;
    kf_producer *producer = open_with_witness(&witness, "h");
    produce_many(producer, 1, 1000);
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, atomic_load(&witness.sent), 1000));
    cr_assert(eq(int, atomic_load(&witness.acknowledged), 1000));
    cr_assert(eq(int, atomic_load(&verdicts.told), 1000));
    cr_assert(eq(i64, witness.last_offset, 999));
    cr_assert(eq(sz, (size_t)witness.last_tag, strlen("999")));
    cr_assert(eq(str, witness.last_topic, "orders"));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, tells_interceptors_of_a_record_that_was_not_taken)
{
    struct witness witness;
    kf_producer *producer = open_with_witness(&witness, "h");
    kf_record record = record_to(7, "value");
    kf_err err = kf_produce(producer, &record, take_verdict, NULL, in(KF_SECOND), &error);
    cr_assert(eq(int, err, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(eq(int, atomic_load(&witness.refused), 1));
    cr_assert(eq(int, atomic_load(&verdicts.told), 0));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer, takes_no_interceptor_after_the_first_record_and_no_foreign_one)
{
    struct witness witness;
    kf_producer *producer = open_with_witness(&witness, "h");
    kf_interceptor interceptor = {.size = 1};
    cr_assert(eq(int, kf_producer_intercept(producer, &interceptor), KF_ERR_INVALID_ARGUMENT));
    produce(producer, 0, "value", 0);
    interceptor.size = sizeof interceptor;
    cr_assert(eq(int, kf_producer_intercept(producer, &interceptor), KF_ERR_STATE));
    kf_producer_close(producer, in(5 * KF_SECOND));
}
