/*
 * producer: many threads on one producer, against the embedded
 * broker; a plain main, for the thread sanitizer. Each thread's records of a
 * partition stand in its order, each verdict comes once, memory comes back.
 */
#include "tests/check.h"

#include <kafiber/broker.h>
#include <kafiber/producer.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    THREADS = 4,
    RECORDS = 5000, /* of each thread */
    WAITED = 50,    /* of them with kf_produce_wait */
    TAKEN = 25,     /* with kf_produce_take, of values too large to be copied: */
    LARGE = 3000,
    PARTITIONS = 3,
};

static kf_producer *producer;
static atomic_int told, failed, released;

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    atomic_fetch_add(&failed, delivery->fate != KF_STORED);
    atomic_fetch_add(&told, 1);
}

static void release(void *context, kf_bytes value)
{
    (void)context;
    free((void *)(uintptr_t)value.data);
    atomic_fetch_add(&released, 1);
}

static void take(kf_record record, int64_t deadline)
{
    uint8_t *value = calloc(1, LARGE);
    CHECK(value);
    memcpy(value, record.value.data, record.value.size);
    record.value = (kf_bytes){value, LARGE};
    CHECK(kf_produce_take(producer, &record, release, take_verdict, NULL, deadline, NULL) == KF_OK);
}

static void *produce(void *context)
{
    int thread = (int)(intptr_t)context;
    for (int i = 0; i < RECORDS; i++) {
        int64_t deadline = kf_now() + 20 * KF_SECOND;
        int numbers[2] = {thread, i};
        kf_record record = {
            .topic = "t",
            .partition = i % PARTITIONS,
            .value = {(const uint8_t *)numbers, sizeof numbers},
        };
        if (i % (RECORDS / WAITED) == 0) {
            CHECK(kf_produce_wait(producer, &record, deadline, NULL, NULL) == KF_OK);
            atomic_fetch_add(&told, 1);
        } else if (i % (RECORDS / TAKEN) == 7) {
            take(record, deadline);
        } else {
            CHECK(kf_produce(producer, &record, take_verdict, NULL, deadline, NULL) == KF_OK);
        }
    }
    return NULL;
}

static void check_order(kf_broker *broker)
{
    int64_t all = 0;
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        int last[THREADS] = {-1, -1, -1, -1};
        int64_t start, end;
        CHECK(kf_broker_offsets(broker, "t", partition, &start, &end) == KF_OK);
        for (int64_t offset = start; offset < end; offset++, all++) {
            kf_message message;
            int numbers[2];
            CHECK(kf_broker_read(broker, "t", partition, offset, &message) == KF_OK);
            memcpy(numbers, message.value.data, sizeof numbers);
            CHECK(numbers[1] > last[numbers[0]]);
            last[numbers[0]] = numbers[1];
        }
    }
    CHECK(all == THREADS * RECORDS);
}

int main(void)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .thread = true};
    kf_broker *broker = kf_broker_start(&options, &error);
    CHECK(broker && kf_broker_create_topic(broker, "t", PARTITIONS, 1) == KF_OK);
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    kf_config_set(config, "buffer.memory", "65536", &error); /* so that threads wait for it */
    kf_config_set(config, "batch.size", "2000", &error);
    producer = kf_producer_new(config, &error);
    CHECK(producer);

    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, produce, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(kf_flush(producer, kf_now() + 20 * KF_SECOND) == KF_OK);
    CHECK(atomic_load(&told) == THREADS * RECORDS && atomic_load(&failed) == 0);
    CHECK(kf_producer_close(producer, kf_now() + KF_SECOND) == KF_OK);
    CHECK(atomic_load(&released) == THREADS * TAKEN);
    check_order(broker);
    kf_config_free(config);
    kf_broker_stop(broker);
    return 0;
}
