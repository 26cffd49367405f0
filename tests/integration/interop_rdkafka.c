/*
 * interop_rdkafka: as interop.c, by librdkafka. Built where that is.
 *
 *     integration_interop_rdkafka write BOOTSTRAP CODEC=TOPIC... < lines
 *     integration_interop_rdkafka read BOOTSTRAP TOPIC...
 */
#include "integration/interop_lines.h"

#include <librdkafka/rdkafka.h>

enum {
    WAIT_MS = 20000
};

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        line_die(error);
}

static rd_kafka_t *open_client(rd_kafka_type_t type, const char *bootstrap, const char *codec)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "allow.auto.create.topics", "false");
    if (codec)
        set(conf, "compression.codec", codec);
    else
        set(conf, "group.id", "unused");
    rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof error);
    if (!client)
        line_die(error);
    return client;
}

static rd_kafka_headers_t *headers_of(const struct line *line)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(line->header_count);
    for (size_t i = 0; i < line->header_count; i++) {
        const struct line_header *from = &line->headers[i];
        rd_kafka_header_add(headers, (const char *)from->name.data, (ssize_t)from->name.size,
                            from->value.data, (ssize_t)from->value.size);
    }
    return headers;
}

static void produce(rd_kafka_t *producer, const char *topic, const struct line *line)
{
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = 0},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)line->key.data, line->key.size}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)line->value.data, line->value.size}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = line->timestamp},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers_of(line)},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(producer, parts, sizeof parts / sizeof *parts);
    if (error)
        line_die(rd_kafka_error_string(error));
}

static void write_lines(const char *bootstrap, char *target)
{
    char *topic = strchr(target, '=');
    if (!topic)
        line_die("write wants CODEC=TOPIC");
    *topic++ = 0;
    rd_kafka_t *producer = open_client(RD_KAFKA_PRODUCER, bootstrap, target);
    rewind(stdin);
    struct line line;
    while (line_read(stdin, &line))
        produce(producer, topic, &line);
    if (rd_kafka_flush(producer, WAIT_MS))
        line_die("not all was acknowledged");
    rd_kafka_destroy(producer);
}

static void print(const char *topic, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;
    printf("%s %lld ", topic, (long long)rd_kafka_message_timestamp(message, NULL));
    line_put(message->key, message->key_len);
    putchar(' ');
    line_put(message->payload, message->len);
    putchar(' ');
    const char *name;
    const void *value;
    size_t size;
    size_t count = 0;
    rd_kafka_message_headers(message, &headers);
    while (headers && !rd_kafka_header_get_all(headers, count, &name, &value, &size))
        line_put_header(count++, name, strlen(name), value, size);
    puts(count ? "" : "none");
}

static void read_lines(const char *bootstrap, const char *name)
{
    rd_kafka_t *consumer = open_client(RD_KAFKA_CONSUMER, bootstrap, NULL);
    int64_t begin;
    int64_t end;
    if (rd_kafka_query_watermark_offsets(consumer, name, 0, &begin, &end, WAIT_MS))
        line_die("no offsets");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, name, NULL);
    rd_kafka_consume_start(topic, 0, begin);
    while (begin < end) {
        rd_kafka_message_t *message = rd_kafka_consume(topic, 0, WAIT_MS);
        if (!message || message->err)
            line_die("no record came");
        print(name, message);
        begin = message->offset + 1;
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consume_stop(topic, 0);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(consumer);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        line_die("usage: interop_rdkafka write|read BOOTSTRAP TOPIC...");
    for (int i = 3; i < argc; i++)
        if (strcmp(argv[1], "write") == 0)
            write_lines(argv[2], argv[i]);
        else
            read_lines(argv[2], argv[i]);
    return 0;
}
