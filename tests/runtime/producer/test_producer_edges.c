/* Arguments and moments at the edge: what nobody means to pass, and what happens between two looks.
 */
#include "runtime/producer/producer_inside.h"
#include "tests/runtime/producer/help_producer.h"

#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static kf_broker *broker;
static kf_error error;
static kf_producer *producer;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 1, .no_auto_create = true}, 2);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_edges, .init = start_broker, .fini = stop_broker, .timeout = 60);

static void open_with(const char *const *settings)
{
    producer = help_open_producer(help_configure(broker, NULL, &error), settings, &error);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
}

static kf_record record_to(int32_t partition)
{
    static const uint8_t value[100] = "v";
    return (kf_record){.topic = "orders", .partition = partition, .value = {value, sizeof value}};
}

static struct {
    atomic_int told;
    pthread_t thread;
    _Atomic kf_err err;
} seen;

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    seen.thread = pthread_self();
    atomic_store(&seen.err, delivery->err);
    atomic_fetch_add(&seen.told, 1);
}

static void produce(int32_t partition)
{
    kf_record record = record_to(partition);
    kf_err err = kf_produce(producer, &record, take_verdict, NULL, in(10 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
}

static kf_err produce_wait(kf_time deadline)
{
    kf_record record = record_to(0);
    return kf_produce_wait(producer, &record, deadline, NULL, &error);
}

static void wait_until_told(int count)
{
    for (int tries = 0; tries < 20000 && atomic_load(&seen.told) < count; tries++)
        kf_sleep(KF_MILLISECOND);
    cr_assert(eq(int, atomic_load(&seen.told), count));
}

/* ---- arguments ---- */

Test(producer_edges, refuses_headers_that_are_not_there)
{
    open_with(NULL);
    kf_record record = record_to(0);
    record.header_count = 2;
    kf_err err = kf_produce(producer, &record, NULL, NULL, in(KF_SECOND), &error);
    cr_assert(eq(int, err, KF_ERR_INVALID_ARGUMENT));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_edges, waits_for_no_record_where_none_is_given)
{
    open_with(NULL);
    kf_err err = kf_produce_wait(producer, NULL, in(KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_ERR_INVALID_ARGUMENT));
    err = kf_produce_batch(producer, NULL, 3, in(KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(int, kf_produce_batch(producer, NULL, 0, in(KF_SECOND), NULL, &error), KF_OK));
    kf_producer_close(producer, in(KF_SECOND));
}

/* A name that no request can carry would keep those of all other topics from the broker, too. */
Test(producer_edges, refuses_a_topic_whose_name_is_too_long_for_kafka_and_goes_on_with_others)
{
    static char name[40001];
    memset(name, 'x', sizeof name - 1);
    open_with(NULL);
    kf_record record = record_to(0);
    record.topic = name;
    kf_err err = kf_produce(producer, &record, NULL, NULL, in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_ERR_INVALID_TOPIC_EXCEPTION), "%s", error.text);
    cr_assert(eq(ptr, (void *)kf_producer_topic(producer, name), NULL));
    cr_assert(eq(int, produce_wait(in(10 * KF_SECOND)), KF_OK), "%s", error.text);
    kf_producer_close(producer, in(KF_SECOND));
}

/* No answer makes so much room: to wait for it would only hide that. */
Test(producer_edges, refuses_at_once_a_record_that_the_whole_buffer_cannot_take)
{
    open_with((const char *[]){"buffer.memory", "1200", NULL});
    kf_record record = record_to(0);
    kf_err err = kf_produce(producer, &record, take_verdict, NULL, KF_FOREVER, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    kf_producer_close(producer, in(10 * KF_SECOND));

    open_with((const char *[]){"buffer.memory", "1000", NULL});
    err = kf_produce(producer, &record, take_verdict, NULL, in(20 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_ERR_MESSAGE_TOO_LARGE));
    kf_producer_close(producer, in(10 * KF_SECOND));
}

/* Java refuses it, too. */
Test(producer_edges, refuses_to_linger_until_a_records_time_is_up)
{
    static const char *const settings[] = {"linger.ms", "2000", "delivery.timeout.ms", "1000",
                                           NULL};
    producer = help_open_producer(help_configure(broker, NULL, &error), settings, &error);
    cr_assert(eq(ptr, (void *)producer, NULL));
    cr_assert(eq(int, error.code, KF_ERR_CONFIG));
    cr_assert(eq(str, error.text, "delivery.timeout.ms=1000 leaves no time behind linger.ms=2000"));
}

/* ---- whose thread callbacks run on ---- */

/* The open batch was begun for one that waits, which needs no thread for callbacks. */
Test(producer_edges, starts_the_callbacks_thread_for_a_record_that_joins_those_that_are_waited_for)
{
    open_with(NULL);
    cr_assert(eq(int, produce_wait(in(10 * KF_SECOND)), KF_OK), "%s", error.text);
    kf_broker_pause(broker);
    for (int i = 0; i < 8; i++) /* beyond those under way and the one behind them */
        cr_assert(eq(int, produce_wait(in(20 * KF_MILLISECOND)), KF_ERR_TIMED_OUT));
    cr_assert(not(atomic_load(&producer->teller_runs)));
    for (int i = 0; i < 3; i++)
        produce(0);
    kf_broker_resume(broker);
    wait_until_told(3);
    cr_assert(not(pthread_equal(seen.thread, producer->io.thread)));
    cr_assert(pthread_equal(seen.thread, producer->teller));
    kf_producer_close(producer, in(KF_SECOND));
}

static atomic_bool entered, held;
static _Atomic kf_err refused;

static void hold_io_thread(struct kf__task *task)
{
    (void)task;
    atomic_store(&held, true);
    while (!atomic_load(&refused))
        kf_sleep(KF_MILLISECOND);
}

static void produce_elsewhere(void *context, const kf_delivery *delivery)
{
    (void)context;
    (void)delivery;
    kf_record record = record_to(0);
    record.topic = "nowhere";
    atomic_store(&entered, true);
    while (!atomic_load(&held))
        kf_sleep(KF_MILLISECOND);
    atomic_store(&refused, kf_produce(producer, &record, NULL, NULL, KF_FOREVER, NULL));
}

/* A close has ended that thread when it waits for callbacks. */
Test(producer_edges, lets_a_callback_produce_without_the_io_thread)
{
    struct kf__task task = {.run = hold_io_thread};
    open_with(NULL);
    kf_record record = record_to(0);
    kf_err err = kf_produce(producer, &record, produce_elsewhere, NULL, in(10 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    while (!atomic_load(&entered))
        kf_sleep(KF_MILLISECOND);
    kf__loop_post(producer->io.loop, &task);
    cr_assert(eq(int, kf_producer_close(producer, in(20 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, atomic_load(&refused), KF_ERR_NO_BROKER));
}

/* ---- interceptors and a thread that turns the loop ---- */

static atomic_int acknowledged;

static void count_acknowledged(void *context, const kf_acknowledged *news)
{
    (void)context;
    (void)news;
    atomic_fetch_add(&acknowledged, 1);
}

/* Their verdicts come from the callbacks' thread, which wakes nobody who turns the loop. */
Test(producer_edges, waits_for_intercepted_records_without_the_loop)
{
    kf_interceptor interceptor = {sizeof interceptor, NULL, NULL, count_acknowledged};
    open_with((const char *[]){"linger.ms", "0", NULL});
    cr_assert(eq(int, kf_producer_intercept(producer, &interceptor), KF_OK));
    for (int i = 0; i < 300; i++)
        cr_assert(eq(int, produce_wait(KF_FOREVER), KF_OK), "%s", error.text);
    cr_assert(eq(int, atomic_load(&acknowledged), 300));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- news that come too late for a look ---- */

static const char *const patient[] = {"linger.ms", "40000", NULL};

static struct kf__out_partition *partition_at(int32_t index)
{
    return atomic_load(&kf__producer_topic(producer, "orders")->partitions)->items[index];
}

/* The I/O thread has looked, and means to look again when this one has lingered. */
static void let_one_linger(void)
{
    produce(1);
    while (!partition_at(1)->lingers || atomic_load(&producer->looks_at) == KF_FOREVER)
        kf_sleep(KF_MILLISECOND);
}

/* A flush counts a batch from its first record on, though its news may come only behind the look
 * that the flush wanted. */
Test(producer_edges, lets_nothing_linger_that_a_flush_waits_for)
{
    open_with(patient);
    let_one_linger();
    atomic_store(&producer->flush_to, 2);
    produce(0);
    wait_until_told(2);
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_edges, lets_nothing_linger_while_somebody_waits_for_memory)
{
    open_with(patient);
    let_one_linger();
    atomic_fetch_add(&producer->memory.waiting, 1);
    kf__producer_news(producer, partition_at(1), 0, in(60 * KF_SECOND));
    wait_until_told(1);
    atomic_fetch_sub(&producer->memory.waiting, 1);
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- a producer that fails meanwhile ---- */

static atomic_bool chosen, go_on;

static int32_t choose_slowly(void *context, const kf_record *record, int32_t partitions)
{
    (void)context;
    (void)record;
    (void)partitions;
    atomic_store(&chosen, true);
    while (!atomic_load(&go_on))
        kf_sleep(KF_MILLISECOND);
    return 0;
}

static void *produce_anywhere(void *argument)
{
    (void)argument;
    produce(-1);
    return NULL;
}

struct failing {
    struct kf__task task;
    atomic_bool over;
};

static void fail_for_good(struct kf__task *task)
{
    struct failing *failing = KF__OWNER(task, struct failing, task);
    kf_error_set(&producer->io.fatal_error, KF_ERR_SASL_AUTHENTICATION_FAILED, "as if refused");
    kf__producer_take_fatal(producer);
    atomic_store(&failing->over, true);
}

/* It was let in before, and comes behind what the failure ended. */
Test(producer_edges, ends_at_once_what_is_taken_while_it_fails)
{
    pthread_t thread;
    struct failing failing = {.task.run = fail_for_good};
    open_with(NULL);
    cr_assert(eq(int, kf_producer_partitioner(producer, choose_slowly, NULL), KF_OK));
    pthread_create(&thread, NULL, produce_anywhere, NULL);
    while (!atomic_load(&chosen))
        kf_sleep(KF_MILLISECOND);
    kf__loop_post(producer->io.loop, &failing.task);
    while (!atomic_load(&failing.over))
        kf_sleep(KF_MILLISECOND);
    atomic_store(&go_on, true);
    pthread_join(thread, NULL);
    wait_until_told(1);
    cr_assert(eq(int, atomic_load(&seen.err), KF_ERR_SASL_AUTHENTICATION_FAILED));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- a topic that is created anew ---- */

/* By the old number, keys would name partitions that are gone. */
Test(producer_edges, counts_the_partitions_anew_of_a_topic_that_was_created_anew_with_fewer)
{
    kf_record record = {.topic = "again", .partition = 0, .value = {(const uint8_t *)"v", 1}};
    cr_assert(eq(int, kf_broker_create_topic(broker, "again", 4, 1), KF_OK));
    open_with(NULL);
    kf_err err = kf_produce_wait(producer, &record, in(10 * KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    cr_assert(eq(int, kf_broker_delete_topic(broker, "again"), KF_OK));
    cr_assert(eq(int, kf_broker_create_topic(broker, "again", 1, 1), KF_OK));
    err = kf_produce_wait(producer, &record, in(10 * KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    record.partition = -1;
    for (uint8_t key = 0; key < 20; key++) {
        record.key = (kf_bytes){&key, 1};
        err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, &error);
        cr_assert(eq(int, err, KF_OK), "%s", error.text);
    }
    record.partition = 1;
    err = kf_produce(producer, &record, NULL, NULL, 0, &error);
    cr_assert(eq(int, err, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    kf_producer_close(producer, in(KF_SECOND));
}
