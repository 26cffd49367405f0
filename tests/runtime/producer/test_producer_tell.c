/* Callbacks: on a thread of their own, in order, each once, whatever they do. */
#include "runtime/producer/producer_inside.h"
#include "tests/runtime/producer/help_producer.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    MAX_RECORDS = 4096
};

static kf_broker *broker;
static kf_error error;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 1}, 3);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_tell, .init = start_broker, .fini = stop_broker, .timeout = 30);

static kf_producer *open_with(const char *const *settings)
{
    kf_producer *producer =
        help_open_producer(help_configure(broker, NULL, &error), settings, &error);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    return producer;
}

static kf_record record_to(int32_t partition, const char *value)
{
    return (kf_record){.topic = "orders",
                       .partition = partition,
                       .value = {(const uint8_t *)value, strlen(value)}};
}

/* ---- callbacks ---- */

static struct {
    atomic_bool entered, leave;
    atomic_int told;
    int32_t last[3]; /* number told last of each partition */
    int wrong;
    pthread_t thread;
    kf_producer *producer;
    _Atomic kf_err again;
} seen;

static void block(void *context, const kf_delivery *delivery)
{
    (void)context;
    (void)delivery;
    seen.thread = pthread_self();
    atomic_store(&seen.entered, true);
    while (!atomic_load(&seen.leave))
        kf_sleep(KF_MILLISECOND);
    atomic_fetch_add(&seen.told, 1);
}

static void count_in_order(void *context, const kf_delivery *delivery)
{
    int32_t number = (int32_t)(intptr_t)context;
    seen.wrong += number <= seen.last[delivery->partition];
    seen.wrong += !pthread_equal(seen.thread, pthread_self());
    seen.last[delivery->partition] = number;
    atomic_fetch_add(&seen.told, 1);
}

/* One that stays in its function; returns once it is there. */
static void block_callbacks(kf_producer *producer)
{
    kf_record record = record_to(0, "blocks");
    cr_assert(eq(int, kf_produce(producer, &record, block, NULL, in(5 * KF_SECOND), &error), 0));
    cr_assert(eq(int, kf_flush(producer, 0), KF_ERR_TIMED_OUT));
    while (!atomic_load(&seen.entered))
        kf_sleep(KF_MILLISECOND);
}

Test(producer_tell, serves_brokers_while_a_callback_blocks)
{
    kf_producer *producer = open_with(NULL);
    block_callbacks(producer);
    kf_record record = record_to(0, "other");
    kf_delivery delivery = {.offset = -1};
    kf_err err = kf_produce_wait(producer, &record, in(10 * KF_SECOND), &delivery, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    cr_assert(eq(i64, delivery.offset, 1));
    cr_assert(eq(int, atomic_load(&seen.told), 0));
    atomic_store(&seen.leave, true);
    cr_assert(eq(int, kf_producer_close(producer, in(10 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, atomic_load(&seen.told), 1));
}

Test(producer_tell, flushes_only_once_the_callbacks_have_run)
{
    kf_producer *producer = open_with(NULL);
    block_callbacks(producer);
    cr_assert(eq(int, kf_flush(producer, in(300 * KF_MILLISECOND)), KF_ERR_TIMED_OUT));
    atomic_store(&seen.leave, true);
    cr_assert(eq(int, kf_flush(producer, in(10 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, atomic_load(&seen.told), 1));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_tell, tells_a_partitions_records_in_order_on_one_thread)
{
    kf_producer *producer = open_with((const char *[]){"batch.size", "300", NULL});
    memset(seen.last, -1, sizeof seen.last);
    block_callbacks(producer);
    for (int i = 0; i < MAX_RECORDS; i++) {
        kf_record record = record_to(i % 3, "0123456789");
        kf_err err = kf_produce(producer, &record, count_in_order, (void *)(intptr_t)i,
                                in(10 * KF_SECOND), &error);
        cr_assert(eq(int, err, KF_OK), "%s", error.text);
    }
    atomic_store(&seen.leave, true);
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, atomic_load(&seen.told), MAX_RECORDS + 1));
    cr_assert(eq(int, seen.wrong, 0));
    cr_assert(not(pthread_equal(seen.thread, producer->io.thread)));
    kf_producer_close(producer, in(KF_SECOND));
}

/* What a callback holds up are receipts; the records' bytes make room for others. */
Test(producer_tell, gives_a_records_bytes_back_before_its_callback)
{
    static char value[16001];
    memset(value, 'v', sizeof value - 1);
    kf_producer *producer = open_with((const char *[]){"buffer.memory", "100000", NULL});
    block_callbacks(producer);
    for (int i = 0; i < 50; i++) {
        kf_record record = record_to(1, value);
        kf_err err =
            kf_produce(producer, &record, count_in_order, NULL, in(10 * KF_SECOND), &error);
        cr_assert(eq(int, err, KF_OK), "record %d: %s", i, error.text);
    }
    atomic_store(&seen.leave, true);
    kf_producer_close(producer, in(10 * KF_SECOND));
    cr_assert(eq(int, atomic_load(&seen.told), 51));
}

Test(producer_tell, starts_no_thread_where_nobody_asks_to_be_called)
{
    kf_producer *producer = open_with(NULL);
    kf_record record = record_to(0, "v");
    cr_assert(eq(int, kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error), KF_OK));
    cr_assert(not(atomic_load(&producer->teller_runs)));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- closing ---- */

static void produce_again(void *context, const kf_delivery *delivery)
{
    (void)context;
    (void)delivery;
    kf_record record = record_to(1, "again");
    atomic_fetch_add(&seen.told, 1);
    atomic_store(&seen.again, kf_produce(seen.producer, &record, produce_again, NULL, 0, NULL));
    cr_assert(eq(int, kf_producer_close(seen.producer, 0), KF_ERR_STATE));
    cr_assert(eq(int, kf_flush(seen.producer, KF_FOREVER), KF_ERR_STATE));
}

/* Each callback produces the next record: the close ends that, and the last one is told, too. */
Test(producer_tell, ends_with_callbacks_that_produce)
{
    seen.producer = open_with((const char *[]){"linger.ms", "0", NULL});
    kf_record record = record_to(0, "first");
    kf_err err = kf_produce(seen.producer, &record, produce_again, NULL, in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK));
    while (atomic_load(&seen.told) < 20)
        kf_sleep(KF_MILLISECOND);
    kf_producer_close(seen.producer, in(KF_SECOND));
    cr_assert(eq(int, atomic_load(&seen.again), KF_ERR_CLOSED));
}
