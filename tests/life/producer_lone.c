/*
 * producer_lone: threads that each wait for one record after the other, now
 * alone, now at once, beside one that produces and flushes; a plain main, for
 * the thread sanitizer. The loop goes from hand to hand (runtime/client/io.h),
 * and nobody may be forgotten: each record stands once.
 *
 *     life_producer_lone [SENDS]
 */
#include "tests/check.h"

#include <kafiber/broker.h>
#include <kafiber/fiber.h>
#include <kafiber/producer.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    THREADS = 3,
    PARTITIONS = 2,
    ALONE = 16, /* sends of one thread before the others come back */
};

static kf_producer *producer;
static int sends = 400;
static atomic_int told, running;

static kf_record record_of(int number)
{
    static const uint8_t value[100] = "a value";
    return (kf_record){
        .topic = "t", .partition = number % PARTITIONS, .value = {value, sizeof value}};
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    CHECK(delivery->fate == KF_STORED);
    atomic_fetch_add(&told, 1);
}

/* Each pauses at times of its own, beyond the time for which the I/O thread stays aside, too. */
static void *send_and_wait(void *context)
{
    int thread = (int)(intptr_t)context;
    for (int i = 0; i < sends; i++) {
        kf_record record = record_of(i);
        CHECK(kf_produce_wait(producer, &record, kf_now() + 60 * KF_SECOND, NULL, NULL) == KF_OK);
        atomic_fetch_add(&told, 1);
        if (i % (ALONE * THREADS) == ALONE * thread)
            kf_sleep((i % 5 ? 2 : 120) * KF_MILLISECOND);
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* What lingers when a guest leaves is the I/O thread's again. */
static int produce_meanwhile(void)
{
    int count = 0;
    while (atomic_load(&running)) {
        kf_record record = record_of(count++);
        CHECK(kf_produce(producer, &record, take_verdict, NULL, kf_now() + 60 * KF_SECOND, NULL) ==
              KF_OK);
        if (count % 8 == 0)
            CHECK(kf_flush(producer, kf_now() + 60 * KF_SECOND) == KF_OK);
        kf_sleep((count % 4 ? 1 : 20) * KF_MILLISECOND);
    }
    return count;
}

static void open_producer(kf_broker *broker)
{
    kf_error error = KF_ERROR_INIT;
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    producer = kf_producer_new(config, &error);
    CHECK(producer);
    kf_config_free(config);
}

static int64_t stored(kf_broker *broker)
{
    int64_t all = 0;
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        int64_t start, end;
        CHECK(kf_broker_offsets(broker, "t", partition, &start, &end) == KF_OK);
        all += end - start;
    }
    return all;
}

int main(int count, char **arguments)
{
    kf_error error = KF_ERROR_INIT;
    if (count > 1)
        sends = atoi(arguments[1]);
    kf_broker_options options = {.size = sizeof options, .thread = true};
    kf_broker *broker = kf_broker_start(&options, &error);
    CHECK(broker && kf_broker_create_topic(broker, "t", PARTITIONS, 1) == KF_OK);
    open_producer(broker);
    pthread_t threads[THREADS];
    atomic_store(&running, THREADS);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, send_and_wait, (void *)(intptr_t)i) == 0);
    int produced = produce_meanwhile();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(kf_producer_close(producer, kf_now() + 60 * KF_SECOND) == KF_OK);
    CHECK(atomic_load(&told) == produced + THREADS * sends);
    CHECK(stored(broker) == atomic_load(&told));
    printf("%d records, %d of them waited for\n", atomic_load(&told), THREADS * sends);
    kf_broker_stop(broker);
    return 0;
}
