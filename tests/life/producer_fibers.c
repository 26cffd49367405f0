/*
 * producer_fibers: ten thousand fibers that each wait for their own records; a
 * plain main, for the thread sanitizer. Each record stands once, and:
 *
 *     batches fill     while the broker is slow, and all have sent one record
 *     none starves     in ten sends of each, on a compressing producer with
 *                      little memory, beside threads that flush and write in bulk
 *
 *     life_producer_fibers [FIBERS]
 */
#include "tests/check.h"

#include "runtime/fiber/sanitizer.h"

#include <kafiber/broker.h>
#include <kafiber/kafiber.h>
#include <kafiber/producer.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SENDS = 10, /* of each fiber */
    IN_BULK = 200,
    PARTITIONS = 4,
    IN_FLIGHT = 5,
    FULL = 60,   /* records, at least: 8,000 bytes of at most 130 each */
    LATE = 16,   /* fibers that had not sent when the broker went on */
    MANY = 5000, /* fibers: they take so long that a worker's pause is not half of it */
};

#ifdef KF__TSAN /* it knows some thousand fibers at most */
static int fibers = 200;
#else
static int fibers = 10000;
#endif
static kf_broker *broker;
static kf_producer *producer;
static int sends;        /* of each fiber in this part */
static atomic_int begun; /* fibers of this part */
static bool pauses;      /* the broker, until all have begun */
static atomic_int sent, batches, finished;
static atomic_int of_fibers; /* sent by them */
static atomic_int longest;   /* so many of theirs were sent while one waited */
static atomic_int held_up;   /* sends that more than half of all overtook */

static void count_batch(void *context, const kf_delivery *delivery)
{
    (void)context;
    CHECK(delivery->fate == KF_STORED);
    atomic_fetch_add(&batches, 1);
}

static kf_record record_of(int32_t partition)
{
    static const uint8_t value[100] = "a value that is written again and again";
    return (kf_record){.topic = "out", .partition = partition, .value = {value, sizeof value}};
}

/* ---- fibers: children of one handler ---- */

static void note_overtakes(int count)
{
    int most = atomic_load(&longest);
    while (count > most && !atomic_compare_exchange_weak(&longest, &most, count))
        continue;
    if (count > fibers * SENDS / 2)
        atomic_fetch_add(&held_up, 1);
}

static kf_err send_some(void *context)
{
    int32_t partition = (int32_t)(intptr_t)context % PARTITIONS;
    atomic_fetch_add(&begun, 1);
    for (int i = 0; i < sends; i++) {
        kf_record record = record_of(partition);
        kf_delivery delivery;
        int before = atomic_load(&of_fibers);
        CHECK(kf_produce_wait(producer, &record, kf_now() + 60 * KF_SECOND, &delivery, NULL) ==
              KF_OK);
        CHECK(delivery.fate == KF_STORED && delivery.partition == partition);
        note_overtakes(atomic_fetch_add(&of_fibers, 1) - before);
        atomic_fetch_add(&sent, 1);
    }
    return KF_OK;
}

static kf_verdict spawn_all(const kf_message *message, void *context)
{
    (void)message;
    (void)context;
    if (pauses)
        kf_broker_pause(broker);
    kf_fiber **children = calloc((size_t)fibers, sizeof *children);
    for (int i = 0; i < fibers; i++)
        CHECK(kf_spawn(send_some, (void *)(intptr_t)i, &children[i]) == KF_OK);
    while (atomic_load(&begun) < fibers)
        kf_sleep(KF_MILLISECOND);
    if (pauses)
        kf_broker_resume(broker);
    for (int i = 0; i < fibers; i++)
        CHECK(kf_join(children[i]) == KF_OK);
    free(children);
    atomic_store(&finished, 1);
    return KF_HANDLED;
}

static kf_runtime *start_runtime(void)
{
    kf_error error = KF_ERROR_INIT;
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    kf_config_set(config, "group.id", "g", &error);
    kf_config_set(config, "worker.threads", "2", &error);
    kf_config_set(config, "fiber.stack.bytes", "32768", &error);
    kf_runtime *runtime = kf_runtime_new(config, &error);
    kf_config_free(config);
    kf_runtime_handle(runtime, "in", KF_AT_LEAST_ONCE, spawn_all, NULL);
    CHECK(kf_runtime_start(runtime, &error) == KF_OK);
    return runtime;
}

/* ---- threads ---- */

static void *write_in_bulk(void *context)
{
    (void)context;
    kf_record records[IN_BULK];
    kf_delivery results[IN_BULK];
    for (int i = 0; i < IN_BULK; i++)
        records[i] = record_of(i % PARTITIONS);
    for (int round = 0; round < 10; round++) {
        CHECK(kf_produce_batch(producer, records, IN_BULK, kf_now() + 60 * KF_SECOND, results,
                               NULL) == KF_OK);
        for (int i = 0; i < IN_BULK; i++)
            CHECK(results[i].fate == KF_STORED && results[i].offset >= 0);
        atomic_fetch_add(&sent, IN_BULK);
    }
    return NULL;
}

static void *flush_often(void *context)
{
    (void)context;
    while (!atomic_load(&finished)) {
        CHECK(kf_flush(producer, kf_now() + 60 * KF_SECOND) == KF_OK);
        kf_sleep(5 * KF_MILLISECOND);
    }
    return NULL;
}

static void open_producer(const char *memory, const char *codec)
{
    kf_error error = KF_ERROR_INIT;
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    kf_config_set(config, "buffer.memory", memory, &error);
    kf_config_set(config, "batch.size", "8000", &error);
    kf_config_set(config, "compression.type", codec, &error);
    producer = kf_producer_new(config, &error);
    CHECK(producer);
    kf_producer_on_batch(producer, count_batch, NULL);
    kf_config_free(config);
    atomic_store(&batches, 0);
}

static void close_producer(void)
{
    CHECK(kf_producer_close(producer, kf_now() + 10 * KF_SECOND) == KF_OK);
}

static int64_t stored(void)
{
    int64_t all = 0;
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        int64_t start, end;
        CHECK(kf_broker_offsets(broker, "out", partition, &start, &end) == KF_OK);
        all += end - start;
    }
    return all;
}

/* ---- the two parts ---- */

/* A record of the other topic begins it. */
static void begin_fibers(int sends_of_each)
{
    kf_bytes none = {(const uint8_t *)"", 0};
    sends = sends_of_each;
    atomic_store(&begun, 0);
    atomic_store(&finished, 0);
    atomic_store(&of_fibers, 0);
    CHECK(kf_broker_produce(broker, "in", 0, none, none, -1, NULL) == KF_OK);
}

static void await_fibers(void)
{
    while (!atomic_load(&finished))
        kf_sleep(KF_MILLISECOND);
}

/* While nothing is answered, one small batch of each partition leaves in each of the requests. */
static void fill_batches(void)
{
    open_producer("33554432", "none");
    kf_record record = record_of(0);
    kf_time deadline = kf_now() + 60 * KF_SECOND;
    CHECK(kf_produce_wait(producer, &record, deadline, NULL, NULL) == KF_OK);
    atomic_fetch_add(&sent, 1);
    pauses = true;
    begin_fibers(1);
    await_fibers();
    pauses = false;
    close_producer();
    printf("%d fibers at once: %d batches\n", fibers, atomic_load(&batches));
    CHECK(atomic_load(&batches) <= fibers / FULL + PARTITIONS * (IN_FLIGHT + 1) + LATE);
}

static void starve_none(void)
{
    pthread_t bulk, flush;
    open_producer("200000", "snappy");
    atomic_store(&longest, 0);
    atomic_store(&held_up, 0);
    kf_time began = kf_now();
    begin_fibers(SENDS);
    CHECK(pthread_create(&bulk, NULL, write_in_bulk, NULL) == 0);
    CHECK(pthread_create(&flush, NULL, flush_often, NULL) == 0);
    await_fibers();
    kf_time took = kf_now() - began;
    pthread_join(bulk, NULL);
    pthread_join(flush, NULL);
    close_producer();
    printf("%d sends of each beside a thread: %d batches, %d overtook one at most, %lld ms\n",
           SENDS, atomic_load(&batches), atomic_load(&longest), (long long)(took / KF_MILLISECOND));
    CHECK(fibers < MANY || atomic_load(&held_up) == 0);
}

int main(int count, char **arguments)
{
    kf_error error = KF_ERROR_INIT;
    if (count > 1)
        fibers = atoi(arguments[1]);
    kf_broker_options options = {.size = sizeof options, .thread = true};
    broker = kf_broker_start(&options, &error);
    CHECK(broker && kf_broker_create_topic(broker, "out", PARTITIONS, 1) == KF_OK);
    CHECK(kf_broker_create_topic(broker, "in", 1, 1) == KF_OK);
    kf_runtime *runtime = start_runtime();
    fill_batches();
    starve_none();
    kf_runtime_stop(runtime);
    kf_runtime_wait(runtime, &error);
    CHECK(kf_runtime_close(runtime) == KF_OK);
    CHECK(stored() == atomic_load(&sent));
    kf_broker_stop(broker);
    return 0;
}
