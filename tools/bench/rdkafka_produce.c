/*
 * rdkafka_produce: the same work by librdkafka: copies each record in, counts
 * delivery reports on the same thread.
 *
 *     bench_rdkafka_produce --bootstrap 127.0.0.1:24100 --topic events --partitions 1000
 *                           --records 5000000 --size 100 -X batch.size=1000000
 */
#include "tools/bench/common/measure.h"
#include "tools/bench/common/values.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LOOK_EVERY = 1024
};

static int64_t acknowledged;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_rdkafka_produce: %s\n", what);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        die(error);
}

static void count(rd_kafka_t *producer, const rd_kafka_message_t *message, void *context)
{
    (void)producer;
    (void)context;
    if (message->err)
        die(rd_kafka_err2str(message->err));
    acknowledged++;
}

static rd_kafka_t *open_producer(int argc, char **argv)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", option_text(argc, argv, "--bootstrap", "127.0.0.1:24100"));
    set(conf, "enable.idempotence", "true");
    set(conf, "queue.buffering.max.messages", "1000000");
    set(conf, "batch.num.messages", "1000000");
    for (int i = 1; i + 1 < argc; i++) { /* -X name=value, as often as wanted */
        char *equals = strcmp(argv[i], "-X") == 0 ? strchr(argv[i + 1], '=') : NULL;
        if (!equals)
            continue;
        *equals = 0;
        set(conf, argv[i + 1], equals + 1);
    }
    rd_kafka_conf_set_dr_msg_cb(conf, count);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!producer)
        die(error);
    return producer;
}

/* A full queue is waited for, as the others do inside. */
static void produce(rd_kafka_t *producer, rd_kafka_topic_t *topic, int32_t partition,
                    const uint8_t *value, size_t size)
{
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value, size,
                            NULL, 0, NULL)) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die(rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(producer, 10);
    }
}

int main(int argc, char **argv)
{
    int64_t records = option_number(argc, argv, "--records", 5000000);
    int32_t partitions = (int32_t)option_number(argc, argv, "--partitions", 1);
    size_t size = (size_t)option_number(argc, argv, "--size", 100);
    uint8_t *values = values_new(size);
    rd_kafka_t *producer = open_producer(argc, argv);
    rd_kafka_topic_t *topic =
        rd_kafka_topic_new(producer, option_text(argc, argv, "--topic", "events"), NULL);
    struct measure measure;
    struct tally tally = {0};
    int32_t partition = 0;
    measure_begin(&measure, records);
    for (int64_t i = 0; i < records; i++) {
        const uint8_t *value = values + (size_t)(i % VALUES) * size;
        produce(producer, topic, partition, value, size);
        partition = partition + 1 == partitions ? 0 : partition + 1;
        tally_add(&tally, value, size);
        if (i % LOOK_EVERY == 0) {
            rd_kafka_poll(producer, 0);
            measure_at(&measure, acknowledged);
        }
    }
    if (rd_kafka_flush(producer, 60000) || acknowledged != records)
        die("not all was acknowledged");
    measure_at(&measure, records);
    measure_print(&measure, "librdkafka", &tally);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    free(values);
    return 0;
}
