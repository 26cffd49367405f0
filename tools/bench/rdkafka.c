/*
 * rdkafka: the same work by librdkafka, as a member of a group, in its
 * fastest API (batches from the consumer's queue) or by polling.
 *
 *     bench_rdkafka --bootstrap 127.0.0.1:24100 --topic events --records 10000000 --api batch
 */
#include "tools/bench/common/measure.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BATCH = 1000,
    WAIT_MS = 1000,
};

static struct tally tally;

/* As everywhere: something the compiler can't see through. */
static void count(const rd_kafka_message_t *message, struct tally *into)
{
    if (!message->err)
        tally_add(into, message->payload, message->len);
}
static void (*volatile handler)(const rd_kafka_message_t *, struct tally *) = count;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_rdkafka: %s\n", what);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        die(error);
}

static rd_kafka_t *open_consumer(int argc, char **argv)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", option_text(argc, argv, "--bootstrap", "127.0.0.1:24100"));
    set(conf, "group.id", option_text(argc, argv, "--group", "bench"));
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "check.crcs", "true");
    for (int i = 1; i + 1 < argc; i++) { /* -X name=value, as often as wanted */
        char *equals = strcmp(argv[i], "-X") == 0 ? strchr(argv[i + 1], '=') : NULL;
        if (!equals)
            continue;
        *equals = 0;
        set(conf, argv[i + 1], equals + 1);
    }
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!consumer)
        die(error);
    rd_kafka_poll_set_consumer(consumer);

    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, option_text(argc, argv, "--topic", "events"),
                                      RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(consumer, topics))
        die("subscribe failed");
    rd_kafka_topic_partition_list_destroy(topics);
    return consumer;
}

static void consume_batches(rd_kafka_t *consumer, struct measure *measure)
{
    static rd_kafka_message_t *messages[BATCH];
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    while (!measure_at(measure, tally.records)) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, WAIT_MS, messages, BATCH);
        for (ssize_t i = 0; i < got; i++) {
            handler(messages[i], &tally);
            rd_kafka_message_destroy(messages[i]);
        }
    }
    rd_kafka_queue_destroy(queue);
}

static void consume_by_poll(rd_kafka_t *consumer, struct measure *measure)
{
    bool done = measure_at(measure, 0);
    while (!done) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, WAIT_MS);
        if (message) {
            handler(message, &tally);
            rd_kafka_message_destroy(message);
        }
        if (tally.records % BATCH == 0 || tally.records >= measure->wanted)
            done = measure_at(measure, tally.records);
    }
}

int main(int argc, char **argv)
{
    struct measure measure;
    bool poll = strcmp(option_text(argc, argv, "--api", "batch"), "poll") == 0;
    rd_kafka_t *consumer = open_consumer(argc, argv);
    measure_begin(&measure, option_number(argc, argv, "--records", 10000000));
    if (poll)
        consume_by_poll(consumer, &measure);
    else
        consume_batches(consumer, &measure);
    measure_print(&measure, poll ? "rdkafka-poll" : "rdkafka", &tally);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return 0;
}
