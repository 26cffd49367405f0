/*
 * interop: records as lines into a topic and out of it, by kafiber.
 *
 *     integration_interop write BOOTSTRAP CODEC=TOPIC... < lines
 *     integration_interop read BOOTSTRAP TOPIC...              "TOPIC LINE" each
 *
 * Topics have one partition.
 */
#include "integration/interop_lines.h"

#include <kafiber/kafiber.h>

static kf_error error;

static void check(kf_err err)
{
    if (err)
        line_die(error.text);
}

static kf_config *open_config(const char *bootstrap)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", bootstrap, &error);
    return config;
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    if (delivery->err)
        line_die(kf_err_text(delivery->err));
}

static void produce(kf_producer *producer, const char *topic, const struct line *line)
{
    kf_header headers[LINE_HEADERS];
    for (size_t i = 0; i < line->header_count; i++) {
        const struct line_header *from = &line->headers[i];
        headers[i].name = (kf_string){(const char *)from->name.data, from->name.size};
        headers[i].value = (kf_bytes){from->value.data, from->value.size};
    }
    kf_record record = {
        .topic = topic,
        .key = {line->key.data, line->key.size},
        .value = {line->value.data, line->value.size},
        .headers = headers,
        .header_count = line->header_count,
        .timestamp = line->timestamp,
    };
    check(kf_produce(producer, &record, take_verdict, NULL, kf_now() + 20 * KF_SECOND, &error));
}

static void write_lines(const char *bootstrap, char *target)
{
    char *topic = strchr(target, '=');
    if (!topic)
        line_die("write wants CODEC=TOPIC");
    *topic++ = 0;
    kf_config *config = open_config(bootstrap);
    kf_config_set(config, "compression.type", target, &error);
    kf_producer *producer = kf_producer_new(config, &error);
    check(error.code);
    rewind(stdin);
    struct line line;
    while (line_read(stdin, &line))
        produce(producer, topic, &line);
    kf_producer_close(producer, kf_now() + 20 * KF_SECOND);
    kf_config_free(config);
}

static void print(const kf_message *message)
{
    printf("%s %lld ", message->topic, (long long)message->timestamp);
    line_put(message->key.data, message->key.size);
    putchar(' ');
    line_put(message->value.data, message->value.size);
    putchar(' ');
    kf_header header;
    size_t at = 0;
    size_t count = 0;
    while (kf_message_headers_next(message, &at, &header))
        line_put_header(count++, header.name.data, header.name.size, header.value.data,
                        header.value.size);
    puts(count ? "" : "none");
}

static void read_lines(const char *bootstrap, const char *topic)
{
    kf_config *config = open_config(bootstrap);
    kf_reader *reader = kf_reader_new(config, &error);
    check(error.code);
    kf_time deadline = kf_now() + 20 * KF_SECOND;
    int64_t begin;
    int64_t end;
    check(kf_reader_bounds(reader, topic, 0, deadline, &begin, &end, &error));
    check(kf_reader_assign(reader, topic, 0, KF_SEEK_EARLIEST, 0, &error));
    while (begin < end) {
        kf_message message;
        check(kf_reader_read(reader, deadline, &message, &error));
        print(&message);
        begin = message.offset + 1;
    }
    kf_reader_close(reader);
    kf_config_free(config);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        line_die("usage: interop write|read BOOTSTRAP TOPIC...");
    for (int i = 3; i < argc; i++)
        if (strcmp(argv[1], "write") == 0)
            write_lines(argv[2], argv[i]);
        else
            read_lines(argv[2], argv[i]);
    return 0;
}
