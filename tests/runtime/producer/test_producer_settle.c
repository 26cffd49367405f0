/* Verdicts while another thread holds a batch: compresses it, or has only just opened it. */
#include "runtime/producer/producer_inside.h"
#include "tests/runtime/producer/help_producer.h"

#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <string.h>

static kf_broker *broker;
static kf_error error;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 1}, 2);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_settle, .init = start_broker, .fini = stop_broker, .timeout = 30);

/* Memory that lets a thread wait for it until something is so, and then may not be had. */
static struct {
    pthread_t thread; /* that waits; or, `others`, any but this one and the I/O thread */
    pthread_t io;
    bool others;
    atomic_int countdown; /* allocations until then; 0: never */
    void (*wait)(void);
    bool fails;
} slow;

static bool is_meant(void)
{
    bool same = pthread_equal(pthread_self(), slow.thread);
    return slow.others ? !same && !pthread_equal(pthread_self(), slow.io) : same;
}

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size && atomic_load(&slow.countdown) > 0 && is_meant() &&
        atomic_fetch_sub(&slow.countdown, 1) == 1) {
        slow.wait();
        if (slow.fails)
            return NULL;
    }
    return kf_default_allocator.resize(NULL, pointer, size);
}

static kf_producer *open_with(const char *const *settings)
{
    static const kf_allocator alloc = {resize, NULL};
    kf_producer *producer =
        help_open_producer(help_configure(broker, &alloc, &error), settings, &error);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    return producer;
}

static atomic_int told, told_batches;
static kf_fate fate;
static int32_t passing; /* a fault */

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    fate = delivery->fate;
    atomic_fetch_add(&told, 1);
}

static void take_batch(void *context, const kf_delivery *delivery)
{
    (void)context;
    (void)delivery;
    atomic_fetch_add(&told_batches, 1);
}

static void wait_until_told(void)
{
    for (int i = 0; i < 20000 && !atomic_load(&told); i++)
        kf_sleep(KF_MILLISECOND);
}

/* Otherwise its partition would be taken for a slow one for ever. */
Test(producer_settle, counts_a_batch_no_more_whose_time_ran_out_while_it_was_compressed)
{
    const char *settings[] = {"compression.type",
                              "snappy",
                              "batch.size",
                              "100000",
                              "delivery.timeout.ms",
                              "300",
                              "request.timeout.ms",
                              "200",
                              "fetch.max.wait.ms",
                              "1",
                              NULL};
    static uint8_t value[8000];
    kf_producer *producer = open_with(settings);
    kf_record record = {.topic = "orders", .partition = 0, .value = {value, 10}};
    kf_err err;
    do { /* the first ones' time may be up before all is set up */
        err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error);
    } while (err == KF_ERR_TIMED_OUT);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    slow.thread = pthread_self();
    slow.io = producer->io.thread;
    slow.others = true;
    slow.wait = wait_until_told;
    atomic_store(&slow.countdown, 1);
    record.value.size = sizeof value;
    cr_assert(eq(int, kf_produce(producer, &record, take_verdict, NULL, in(KF_SECOND), &error), 0));
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, atomic_load(&slow.countdown), 0), "a helper compresses");
    cr_assert(eq(int, atomic_load(&told), 1));
    cr_assert(eq(int, (int)fate, KF_NOT_STORED));
    const struct kf__out_topic *topic = kf__producer_topic(producer, "orders");
    _Atomic int32_t *batches = &atomic_load(&topic->partitions)->items[0]->batches;
    for (int i = 0; i < 20000 && atomic_load(batches); i++)
        kf_sleep(KF_MILLISECOND);
    cr_assert(eq(i32, atomic_load(batches), 0));
    kf_producer_close(producer, in(KF_SECOND));
}

static int32_t refuse_id(kf_err err)
{
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_ANSWER_ERROR,
                             .api_key = KF_API_INIT_PRODUCER_ID,
                             .error = err};
    return kf_broker_fault_add(broker, &fault);
}

static kf_producer *refused;

/* When the id is asked for again; the thread that holds a lock here may hold up the I/O thread. */
static void refuse_ids_from_now_on(void)
{
    refuse_id(KF_ERR_CLUSTER_AUTHORIZATION_FAILED);
    kf_broker_fault_clear(broker, passing);
    for (int i = 0; i < 1500 && !atomic_load(&refused->failed); i++)
        kf_sleep(KF_MILLISECOND);
}

/* The I/O thread must not see a batch before it has a record: it might be gone again. */
Test(producer_settle, does_not_end_a_batch_that_could_not_take_its_first_record)
{
    const char *settings[] = {"retry.backoff.ms", "300", NULL};
    passing = refuse_id(KF_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    kf_producer *producer = refused = open_with(settings);
    kf_producer_on_batch(producer, take_batch, NULL);
    kf_record record = {.topic = "orders", .partition = 1};
    kf_err err = kf_produce(producer, &record, take_verdict, NULL, in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    slow.thread = pthread_self();
    slow.wait = refuse_ids_from_now_on;
    slow.fails = true;
    atomic_store(&slow.countdown, 3); /* the batch, its bytes, its receipts */
    record.partition = 0;
    err = kf_produce(producer, &record, take_verdict, NULL, in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_ERR_NO_MEMORY), "%s", error.text);
    for (int i = 0; i < 2000 && !atomic_load(&producer->failed); i++)
        kf_sleep(10 * KF_MILLISECOND);
    cr_assert(atomic_load(&producer->failed));
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, atomic_load(&told), 1));
    cr_assert(eq(int, atomic_load(&told_batches), 1));
    kf_producer_close(producer, in(KF_SECOND));
}
