/*
 * outbox: three publishers on three threads share one table, one producer
 * and one broker; for the thread sanitizer. What is promised stands in
 * tests/runtime/outbox/test_outbox.c.
 */
#include <kafiber/broker.h>
#include <kafiber/kafiber.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PUBLISHERS = 3,
    AGGREGATES = 20,
    EACH = 50,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* ---- under the lock: the rows of an aggregate go from next[] to EACH ---- */
static int next[AGGREGATES];
static const void *owner[AGGREGATES];
static int disorder;

static kf_outbox *outboxes[PUBLISHERS];

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "outbox: %s\n", what);
    exit(1);
}

static int number_of(kf_string id) { return (id.data[0] - 'a') % AGGREGATES; }

static bool is_left_out(const kf_outbox_claim *claim, int aggregate)
{
    size_t count;
    const kf_outbox_aggregate *without = kf_outbox_claim_without(claim, &count);
    while (count)
        if (number_of(without[--count].id) == aggregate)
            return true;
    return false;
}

static kf_err add_rows(kf_outbox_claim *claim, int aggregate)
{
    char id = (char)('a' + aggregate);
    kf_err err = KF_OK;
    for (int i = next[aggregate]; i < EACH && kf_outbox_claim_rows(claim) && !err; i++) {
        kf_outbox_row row = {.position = i, .aggregate = {{"t", 1}, {&id, 1}}};
        row.payload = (kf_bytes){(const uint8_t *)&id, 1};
        err = kf_outbox_claim_add(claim, &row);
    }
    return err;
}

static kf_err claim_rows(void *context, kf_outbox_claim *claim, kf_error *error)
{
    (void)error;
    kf_err err = KF_OK;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < AGGREGATES && !err && kf_outbox_claim_rows(claim); i++) {
        if (owner[i] || next[i] == EACH || is_left_out(claim, i))
            continue;
        owner[i] = context;
        err = add_rows(claim, i);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

static kf_err mark_rows(void *context, const kf_outbox_row *const *rows, size_t count,
                        kf_error *error)
{
    (void)error;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++) {
        int aggregate = number_of(rows[i]->aggregate.id);
        disorder += owner[aggregate] != context;
        next[aggregate]++;
    }
    pthread_mutex_unlock(&lock);
    return KF_OK;
}

static void release_rows(void *context, const kf_outbox_aggregate *aggregates, size_t count)
{
    (void)context;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++)
        owner[number_of(aggregates[i].id)] = NULL;
    pthread_mutex_unlock(&lock);
}

static void *run(void *outbox)
{
    kf_error error = KF_ERROR_INIT;
    if (kf_outbox_run(outbox, &error))
        die(error.text);
    return NULL;
}

static int64_t count_published(void)
{
    int64_t sum = 0;
    for (int i = 0; i < PUBLISHERS; i++)
        sum += kf_outbox_published(outboxes[i]);
    return sum;
}

static void publish(kf_producer *producer)
{
    pthread_t threads[PUBLISHERS];
    kf_error error = KF_ERROR_INIT;
    for (int i = 0; i < PUBLISHERS; i++) {
        kf_outbox_source source = {sizeof source, &threads[i],  claim_rows,
                                   mark_rows,     release_rows, NULL};
        kf_outbox_options options = {.size = sizeof options, .topic = "events", .max_rows = 60};
        outboxes[i] = kf_outbox_new(producer, &source, &options, &error);
        if (!outboxes[i] || pthread_create(&threads[i], NULL, run, outboxes[i]))
            die("a publisher did not start");
    }
    kf_time deadline = kf_now() + 60 * KF_SECOND;
    while (count_published() < AGGREGATES * EACH && kf_now() < deadline)
        kf_sleep(5 * KF_MILLISECOND);
    for (int i = 0; i < PUBLISHERS; i++) {
        kf_outbox_stop(outboxes[i]);
        pthread_join(threads[i], NULL);
    }
    if (count_published() != AGGREGATES * EACH || disorder)
        die("not every row was published by its owner");
    for (int i = 0; i < PUBLISHERS; i++)
        kf_outbox_free(outboxes[i]);
}

int main(void)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .nodes = 1, .thread = true};
    kf_broker *broker = kf_broker_start(&options, &error);
    if (!broker || kf_broker_create_topic(broker, "events", 3, 1))
        die(error.text);
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    kf_producer *producer = kf_producer_new(config, &error);
    kf_config_free(config);
    if (!producer)
        die(error.text);
    publish(producer);
    kf_producer_close(producer, kf_now() + KF_SECOND);
    kf_broker_stop(broker);
    return 0;
}
