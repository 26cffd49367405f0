/* The idempotent producer against the embedded broker: order, verdicts, and what is cured. */
#include "tests/runtime/producer/help_producer.h"
#include <kafiber/codec.h>
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST = 4096, /* records */
};

static kf_broker *broker;
static kf_error error;

static struct {
    int told;
    kf_err err;
    kf_fate fate;
    int64_t offset;
} verdicts[MOST];
static atomic_int told, stored;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 2}, 3);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_order, .init = start_broker, .fini = stop_broker, .timeout = 60);

static kf_producer *open_from(const kf_allocator *alloc, const char *const *settings)
{
    kf_config *config = help_configure(broker, alloc, &error);
    kf_config_set(config, "retry.backoff.ms", "5", &error);
    kf_config_set(config, "reconnect.backoff.ms", "5", &error);
    kf_producer *producer = help_open_producer(config, settings, &error);
    return producer;
}

static kf_producer *open_with(const char *const *settings)
{
    kf_producer *producer = open_from(NULL, settings);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    return producer;
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    size_t number = (size_t)(uintptr_t)context;
    verdicts[number].told++;
    verdicts[number].err = delivery->err;
    verdicts[number].fate = delivery->fate;
    verdicts[number].offset = delivery->offset;
    atomic_fetch_add(&stored, delivery->fate == KF_STORED);
    atomic_fetch_add(&told, 1);
}

static kf_record record_of(int32_t partition, const char *value)
{
    return (kf_record){.topic = "orders",
                       .partition = partition,
                       .value = {(const uint8_t *)value, strlen(value)}};
}

static kf_err produce(kf_producer *producer, int32_t partition, int number)
{
    char value[16];
    snprintf(value, sizeof value, "%d", number);
    kf_record record = record_of(partition, value);
    return kf_produce(producer, &record, take_verdict, (void *)(uintptr_t)number,
                      in(10 * KF_SECOND), &error);
}

static void produce_some(kf_producer *producer, int32_t partition, int from, int to)
{
    for (int i = from; i < to; i++)
        cr_assert(eq(int, produce(producer, partition, i), KF_OK), "%s", error.text);
}

static void flush(kf_producer *producer)
{
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
}

static int number_at(int32_t partition, int64_t offset)
{
    kf_message message;
    char text[16] = {0};
    cr_assert(eq(int, kf_broker_read(broker, "orders", partition, offset, &message), KF_OK));
    cr_assert(lt(sz, message.value.size, sizeof text));
    memcpy(text, message.value.data, message.value.size);
    return atoi(text);
}

/* Every record that was told stored stands at its offset, once; no other stands; all in order. */
static int64_t check_log(int32_t partition)
{
    int64_t start, end;
    int last = -1;
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", partition, &start, &end), KF_OK));
    for (int64_t offset = start; offset < end; offset++) {
        int number = number_at(partition, offset);
        cr_assert(lt(int, last, number), "offset %lld", (long long)offset);
        cr_assert(ne(int, (int)verdicts[number].fate, KF_NOT_STORED), "record %d", number);
        if (verdicts[number].fate == KF_STORED)
            cr_assert(eq(i64, verdicts[number].offset, offset), "record %d", number);
        last = number;
    }
    return end - start;
}

static void told_once(int count)
{
    cr_assert(eq(int, atomic_load(&told), count));
    for (int i = 0; i < count; i++)
        cr_assert(eq(int, verdicts[i].told, 1), "record %d", i);
}

static int32_t add_fault(kf_broker_fault fault)
{
    fault.size = sizeof fault;
    int32_t id = kf_broker_fault_add(broker, &fault);
    cr_assert(lt(i32, 0, id));
    return id;
}

static int32_t fail_produce(int64_t first, int64_t every, int64_t times, kf_err err)
{
    return add_fault((kf_broker_fault){.kind = KF_BROKER_ANSWER_ERROR,
                                       .api_key = KF_API_PRODUCE,
                                       .first = first,
                                       .every = every,
                                       .times = times,
                                       .error = err});
}

static const char *const small_batches[] = {"batch.size", "200", NULL};

/* ---- order ---- */

/* A broker that doesn't know a producer takes any sequence: the second batch must wait. */
Test(producer_order, keeps_the_order_when_the_very_first_batch_is_refused)
{
    fail_produce(1, 0, 1, KF_ERR_NOT_ENOUGH_REPLICAS);
    kf_producer *producer = open_with(small_batches);
    produce_some(producer, 0, 0, 200);
    flush(producer);
    told_once(200);
    cr_assert(eq(int, atomic_load(&stored), 200));
    cr_assert(eq(i64, check_log(0), 200));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_order, stores_each_record_once_and_in_order_through_random_trouble)
{
    static const kf_err passing[] = {KF_ERR_NOT_ENOUGH_REPLICAS, KF_ERR_REQUEST_TIMED_OUT,
                                     KF_ERR_NOT_LEADER_OR_FOLLOWER, KF_ERR_KAFKA_STORAGE_ERROR};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        fail_produce(3 + (int64_t)i, 11, 20, passing[i]);
    add_fault((kf_broker_fault){.kind = KF_BROKER_CLOSE_ANSWER, .first = 5, .every = 13});
    add_fault((kf_broker_fault){.kind = KF_BROKER_CLOSE, .first = 6, .every = 17});
    add_fault((kf_broker_fault){.kind = KF_BROKER_CUT, .bytes = 10, .first = 7, .every = 20});
    kf_producer *producer = open_with(small_batches);
    for (int i = 0; i < 3000; i++)
        produce_some(producer, i % 3, i, i + 1);
    flush(producer);
    told_once(3000);
    cr_assert(eq(int, atomic_load(&stored), 3000));
    for (int32_t i = 0; i < 3; i++)
        cr_assert(eq(i64, check_log(i), 1000));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_order, begins_a_new_epoch_where_the_broker_has_forgotten_it)
{
    static const kf_err forgotten[] = {KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                                       KF_ERR_UNKNOWN_PRODUCER_ID, KF_ERR_INVALID_PRODUCER_EPOCH};
    kf_producer *producer = open_with(small_batches);
    for (int i = 0; i < 3; i++) {
        int32_t fault = fail_produce(3, 0, 1, forgotten[i]);
        produce_some(producer, 1, i * 100, i * 100 + 100);
        flush(producer);
        cr_assert(eq(i64, kf_broker_fault_hits(broker, fault), 1));
    }
    told_once(300);
    cr_assert(eq(int, atomic_load(&stored), 300));
    cr_assert(eq(i64, check_log(1), 300));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_order, goes_on_behind_a_batch_that_no_retry_cures)
{
    kf_producer *producer = open_with(small_batches);
    produce_some(producer, 2, 0, 10);
    flush(producer);
    int32_t fault = fail_produce(2, 0, 1, KF_ERR_TOPIC_AUTHORIZATION_FAILED);
    produce_some(producer, 2, 10, 300);
    flush(producer);
    cr_assert(eq(i64, kf_broker_fault_hits(broker, fault), 1));
    told_once(300);
    cr_assert(lt(int, atomic_load(&stored), 300));
    cr_assert(lt(int, 270, atomic_load(&stored)));
    cr_assert(eq(i64, check_log(2), atomic_load(&stored)));
    kf_producer_close(producer, in(KF_SECOND));
}

/* The second batch was stored under the old sequence, or never: a fresh epoch must not repeat it.
 */
Test(producer_order, repeats_nothing_behind_a_batch_whose_time_ran_out)
{
    const char *settings[] = {"batch.size",
                              "200",
                              "delivery.timeout.ms",
                              "600",
                              "request.timeout.ms",
                              "400",
                              "fetch.max.wait.ms",
                              "1",
                              NULL};
    kf_producer *producer = open_with(settings);
    produce_some(producer, 0, 0, 10);
    flush(producer);
    int32_t fault = add_fault((kf_broker_fault){.kind = KF_BROKER_DROP_ANSWER, .times = 3});
    produce_some(producer, 0, 10, 100);
    (void)kf_flush(producer, in(5 * KF_SECOND));
    kf_broker_fault_clear(broker, fault);
    for (int i = 100; i < 400; i++) {
        produce_some(producer, 0, i, i + 1);
        kf_sleep(2 * KF_MILLISECOND);
    }
    flush(producer);
    /* A machine at a standstill lets one more record's time run out; the next one gets through. */
    int count = 400;
    for (; count < 450 && verdicts[count - 1].fate != KF_STORED; count++) {
        produce_some(producer, 0, count, count + 1);
        flush(producer);
    }
    told_once(count);
    cr_assert(eq(int, (int)verdicts[count - 1].fate, KF_STORED));
    cr_assert(ge(i64, check_log(0), atomic_load(&stored)));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_order, is_not_idempotent_where_acks_do_not_allow_it)
{
    const char *settings[] = {"acks", "1", "batch.size", "200", NULL};
    fail_produce(2, 3, 5, KF_ERR_NOT_ENOUGH_REPLICAS);
    kf_producer *producer = open_with(settings);
    produce_some(producer, 0, 0, 200);
    flush(producer);
    cr_assert(eq(i64, kf_broker_requests(broker, KF_API_INIT_PRODUCER_ID), 0));
    cr_assert(eq(i64, check_log(0), 200));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_order, refuses_idempotence_that_contradicts_acks)
{
    const char *settings[] = {"acks", "1", "enable.idempotence", "true", NULL};
    cr_assert(zero(ptr, (void *)open_from(NULL, settings)));
    cr_assert(eq(int, error.code, KF_ERR_CONFIG));
    cr_assert(ne(ptr, strstr(error.text, "acks"), NULL), "%s", error.text);
}

/* ---- verdicts ---- */

/* Within its short time where the machine lets it: then the next one is, for all is set up. */
static void store_one(kf_producer *producer, const kf_record *record)
{
    kf_err err = KF_ERR_TIMED_OUT;
    for (int tries = 0; tries < 20 && err; tries++)
        err = kf_produce_wait(producer, record, in(5 * KF_SECOND), NULL, &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
}

Test(producer_order, says_unknown_of_a_record_that_a_broker_had_when_time_ran_out)
{
    const char *settings[] = {"delivery.timeout.ms", "300", NULL};
    kf_producer *producer = open_with(settings);
    kf_record record = record_of(0, "0");
    kf_delivery delivery;
    store_one(producer, &record);
    int32_t fault = add_fault((kf_broker_fault){.kind = KF_BROKER_DROP_ANSWER});
    do { /* the time of one may be over before the machine lets it leave */
        kf_err err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), &delivery, &error);
        cr_assert(eq(int, err, KF_ERR_TIMED_OUT));
    } while (delivery.fate == KF_NOT_STORED && kf_broker_fault_hits(broker, fault) == 0);
    cr_assert(eq(int, (int)delivery.fate, KF_FATE_UNKNOWN));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_order, says_not_stored_of_a_record_that_never_left)
{
    const char *settings[] = {"delivery.timeout.ms", "300", NULL};
    kf_producer *producer = open_with(settings);
    kf_record record = record_of(0, "0");
    kf_delivery delivery;
    int32_t fault = add_fault((kf_broker_fault){.kind = KF_BROKER_ANSWER_ERROR,
                                                .api_key = KF_API_INIT_PRODUCER_ID,
                                                .error = KF_ERR_COORDINATOR_LOAD_IN_PROGRESS});
    /* Until the second question it may be that the first answer has not been heard. */
    kf_err err;
    bool heard;
    do {
        heard = kf_broker_fault_hits(broker, fault) > 1;
        err = kf_produce_wait(producer, &record, in(5 * KF_SECOND), &delivery, &error);
    } while (err == KF_ERR_TIMED_OUT && !heard);
    cr_assert(eq(int, err, KF_ERR_COORDINATOR_LOAD_IN_PROGRESS));
    cr_assert(eq(int, (int)delivery.fate, KF_NOT_STORED));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_order, says_not_stored_of_a_record_whose_broker_could_not_be_reached)
{
    const char *settings[] = {"delivery.timeout.ms", "300", NULL};
    kf_producer *producer = open_with(settings);
    kf_record record = record_of(0, "0");
    kf_delivery delivery;
    store_one(producer, &record);
    kf_broker_stop_node(broker, 1);
    kf_broker_stop_node(broker, 2);
    /* The first may still leave on the connection whose end nobody has noticed yet. */
    for (int i = 0; i < 2; i++)
        cr_assert(ne(int, kf_produce_wait(producer, &record, in(5 * KF_SECOND), &delivery, &error),
                     KF_OK));
    cr_assert(eq(int, (int)delivery.fate, KF_NOT_STORED));
    kf_producer_close(producer, in(100 * KF_MILLISECOND));
}

Test(producer_order, says_what_became_of_each_record_of_many)
{
    kf_producer *producer = open_with(NULL);
    kf_record records[200];
    kf_delivery results[200];
    for (int i = 0; i < 200; i++)
        records[i] = record_of(i == 77 ? 9 : i % 3, "1");
    kf_err err = kf_produce_batch(producer, records, 200, in(5 * KF_SECOND), results, &error);
    cr_assert(eq(int, err, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(ne(ptr, strstr(error.text, "no partition 9"), NULL), "%s", error.text);
    for (int i = 0; i < 200; i++) {
        cr_assert(eq(int, (int)results[i].fate, i == 77 ? KF_NOT_STORED : KF_STORED));
        if (i < 77)
            cr_assert(eq(i64, results[i].offset, i / 3));
    }
    kf_producer_close(producer, in(KF_SECOND));
}

static atomic_int batches, in_batches;

static void take_batch(void *context, const kf_delivery *delivery)
{
    (void)context;
    atomic_fetch_add(&batches, 1);
    atomic_fetch_add(&in_batches, delivery->count);
}

Test(producer_order, tells_each_batch_once)
{
    const char *settings[] = {"linger.ms", "20000", NULL};
    kf_producer *producer = open_with(settings);
    kf_producer_on_batch(producer, take_batch, NULL);
    for (int i = 0; i < 30; i++) {
        kf_record record = record_of(i % 3, "1");
        kf_produce(producer, &record, NULL, NULL, in(5 * KF_SECOND), &error);
    }
    flush(producer);
    cr_assert(eq(int, atomic_load(&batches), 3));
    cr_assert(eq(int, atomic_load(&in_batches), 30));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- too large ---- */

static void split_with(const char *codec)
{
    const char *settings[] = {"linger.ms",        "20000", "batch.size", "100000",
                              "compression.type", codec,   NULL};
    kf_producer *producer = open_with(settings);
    int32_t fault = fail_produce(1, 1, 5, KF_ERR_MESSAGE_TOO_LARGE);
    produce_some(producer, 0, 0, 300);
    flush(producer);
    cr_assert(eq(i64, kf_broker_fault_hits(broker, fault), 5));
    told_once(300);
    cr_assert(eq(int, atomic_load(&stored), 300));
    cr_assert(eq(i64, check_log(0), 300));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_order, splits_a_batch_that_is_too_large) { split_with("none"); }
Test(producer_order, splits_a_compressed_batch_that_is_too_large) { split_with("snappy"); }

Test(producer_order, fails_a_record_that_is_too_large_by_itself)
{
    kf_producer *producer = open_with(NULL);
    fail_produce(1, 1, 1, KF_ERR_MESSAGE_TOO_LARGE);
    produce_some(producer, 0, 0, 1);
    flush(producer);
    cr_assert(eq(int, verdicts[0].err, KF_ERR_MESSAGE_TOO_LARGE));
    cr_assert(eq(int, (int)verdicts[0].fate, KF_NOT_STORED));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- memory ---- */

struct account {
    pthread_mutex_t lock;
    long left;  /* allocations until one fails; 0: none fails */
    long every; /* then each so many */
    long blocks;
};

/* The size stands before the block. */
static void *resize(void *context, void *pointer, size_t size)
{
    struct account *account = context;
    pthread_mutex_lock(&account->lock);
    bool fails = size && account->every && --account->left <= 0;
    if (fails)
        account->left = account->every;
    if (!fails)
        account->blocks += (size && !pointer) - (!size && pointer);
    pthread_mutex_unlock(&account->lock);
    return fails ? NULL : kf_default_allocator.resize(NULL, pointer, size);
}

static void produce_without_memory(long every, const char *codec)
{
    static struct account account;
    account = (struct account){.every = 0};
    pthread_mutex_init(&account.lock, NULL);
    kf_allocator alloc = {resize, &account};
    memset(verdicts, 0, sizeof verdicts);
    atomic_store(&told, 0);
    const char *settings[] = {"batch.size", "300", "compression.type", codec, NULL};
    kf_producer *producer = open_from(&alloc, settings);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    kf_record first = record_of(0, "first");
    cr_assert(eq(int, kf_produce_wait(producer, &first, in(5 * KF_SECOND), NULL, &error), KF_OK));
    pthread_mutex_lock(&account.lock);
    account.left = account.every = every;
    pthread_mutex_unlock(&account.lock);
    int taken = 0;
    for (int i = 0; i < 600; i++) {
        kf_error why = KF_ERROR_INIT;
        kf_record record = record_of(i % 3, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        kf_err err = kf_produce(producer, &record, take_verdict, (void *)(uintptr_t)i,
                                in(20 * KF_MILLISECOND), &why);
        cr_assert(err == KF_OK || err == KF_ERR_NO_MEMORY || err == KF_ERR_BUFFER_FULL, "%s",
                  why.text);
        verdicts[i].told -= err != KF_OK; /* not taken: never to be told */
        taken += !err;
    }
    pthread_mutex_lock(&account.lock);
    account.every = 0;
    pthread_mutex_unlock(&account.lock);
    flush(producer);
    cr_assert(eq(int, atomic_load(&told), taken), "every %ld", every);
    cr_assert(lt(int, 0, taken));
    for (int i = 0; i < 600; i++)
        cr_assert(verdicts[i].told == 1 || verdicts[i].told == -1);
    kf_producer_close(producer, in(KF_SECOND));
    cr_assert(eq(long, account.blocks, 0), "every %ld", every);
    pthread_mutex_destroy(&account.lock);
}

Test(producer_order, loses_nothing_silently_when_every_nth_allocation_fails)
{
    for (long every = 2; every < 40; every++)
        produce_without_memory(every, every % 2 ? "none" : "snappy");
}
