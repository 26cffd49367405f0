/*
 * floor: the least that consuming can cost. One thread, one connection, no
 * group, no error handling, no metadata after the first: a real Fetch, recv,
 * the checksum, decoding without a copy, one indirect call for each record.
 * The next Fetch is sent before the records are handled.
 *
 *     bench_floor --bootstrap 127.0.0.1:24100 --topic events --records 10000000
 */
#include "proto/batch/batch.h"
#include "proto/codec/frame.h"
#include "tools/bench/common/measure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    METADATA_VERSION = 4,
    FETCH_VERSION = 11, /* the last one with topic names and plain lengths */
    MAX_WAIT_MS = 100,
    DECOMPRESSED_LIMIT = 64 << 20,
    ASKED_AT_ONCE = 64, /* partitions in a request; the next request asks for the next ones */
};

static const kf_string client_id = {"floor", 5};
static int fd;
static kf_writer writer;
static kf_arena arena;
static struct tally tally;

/* What a handler is: something the compiler can't see through. */
static void count(const struct kf__record *record, struct tally *into)
{
    tally_add(into, record->value.data, record->value.size);
}
static void (*volatile handler)(const struct kf__record *, struct tally *) = count;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_floor: %s\n", what);
    exit(1);
}

static void check(kf_err err, const char *what)
{
    if (err) {
        fprintf(stderr, "bench_floor: %s: %s\n", what, kf_err_text(err));
        exit(1);
    }
}

static void connect_to(const char *bootstrap)
{
    char host[64];
    int port;
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (sscanf(bootstrap, "%63[^:]:%d", host, &port) != 2)
        die("--bootstrap HOST:PORT");
    address.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, host, &address.sin_addr);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        die("no connection");
}

static void send_request(const kf_schema *schema, int16_t version, const void *message)
{
    kf_writer_reset(&writer);
    check(kf__encode_request(&writer, schema, version, 1, client_id, message), "encoding");
    for (size_t sent = 0; sent < writer.used;) {
        ssize_t some = send(fd, writer.bytes + sent, writer.used - sent, 0);
        if (some <= 0)
            die("the broker is gone");
        sent += (size_t)some;
    }
}

static void receive_exactly(uint8_t *at, size_t size)
{
    while (size) {
        ssize_t some = recv(fd, at, size, MSG_WAITALL);
        if (some <= 0)
            die("the broker is gone");
        at += some;
        size -= (size_t)some;
    }
}

static void receive(struct kf__buffer *frame, const kf_schema *schema, int16_t version,
                    void *message)
{
    uint8_t size[4];
    int32_t correlation;
    size_t used;
    receive_exactly(size, sizeof size);
    frame->used = 0;
    check(kf__buffer_reserve(frame, kf__get_u32(size)), "memory");
    frame->used = kf__get_u32(size);
    receive_exactly(frame->bytes, frame->used);
    check(
        kf__decode_response_header(schema, version, frame->bytes, frame->used, &correlation, &used),
        "response header");
    kf_arena_reset(&arena);
    check(kf_decode(schema, version, frame->bytes + used, frame->used - used, &arena, message),
          "response");
}

static int32_t ask_partitions(const char *topic)
{
    struct kf_metadata_request request;
    struct kf_metadata_response response;
    struct kf_metadata_request_topic asked;
    struct kf__buffer frame;
    kf_reset(&kf_schema_of_metadata_request, &request);
    memset(&asked, 0, sizeof asked);
    asked.name = (kf_string){topic, strlen(topic)};
    request.topics.items = &asked;
    request.topics.count = 1;
    kf__buffer_init(&frame, &kf_default_allocator);
    send_request(&kf_schema_of_metadata_request, METADATA_VERSION, &request);
    receive(&frame, &kf_schema_of_metadata_response, METADATA_VERSION, &response);
    if (response.topics.count != 1 || response.topics.items[0].error_code)
        die("no such topic");
    int32_t partitions = response.topics.items[0].partitions.count;
    kf__buffer_free(&frame);
    return partitions;
}

struct log_end {
    const char *topic;
    int32_t partitions;
    int32_t first; /* which partition the next request begins with */
    int32_t max_bytes;
    int64_t *offsets;
    struct kf_fetch_request_fetch_partition *asked;
};

static void send_fetch(struct log_end *log)
{
    struct kf_fetch_request request;
    struct kf_fetch_request_fetch_topic topic;
    kf_reset(&kf_schema_of_fetch_request, &request);
    memset(&topic, 0, sizeof topic);
    int32_t count = log->partitions < ASKED_AT_ONCE ? log->partitions : ASKED_AT_ONCE;
    for (int32_t i = 0; i < count; i++) {
        int32_t partition = (log->first + i) % log->partitions;
        log->asked[i] =
            (struct kf_fetch_request_fetch_partition){.partition = partition,
                                                      .current_leader_epoch = -1,
                                                      .fetch_offset = log->offsets[partition],
                                                      .last_fetched_epoch = -1,
                                                      .log_start_offset = -1,
                                                      .partition_max_bytes = log->max_bytes / count,
                                                      .high_watermark = INT64_MAX};
    }
    log->first = (log->first + count) % log->partitions;
    topic.topic = (kf_string){log->topic, strlen(log->topic)};
    topic.partitions.items = log->asked;
    topic.partitions.count = count;
    request.max_wait_ms = MAX_WAIT_MS;
    request.min_bytes = 1;
    request.max_bytes = log->max_bytes;
    request.topics.items = &topic;
    request.topics.count = 1;
    send_request(&kf_schema_of_fetch_request, FETCH_VERSION, &request);
}

/* Headers only: where each partition goes on. */
static void advance(struct log_end *log, const struct kf_fetch_response *response)
{
    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t p = 0; p < response->responses.items[t].partitions.count; p++) {
            const struct kf_fetch_response_partition_data *data =
                &response->responses.items[t].partitions.items[p];
            struct kf__batch batch;
            for (size_t at = 0; at < data->records.size; at += batch.size) {
                if (kf__batch_peek(data->records.data + at, data->records.size - at, &batch))
                    break;
                log->offsets[data->partition_index] = batch.last_offset + 1;
            }
        }
}

static void handle_batch(const struct kf__batch *batch, struct kf__codecs *codecs,
                         struct kf__buffer *into)
{
    struct kf__records records;
    struct kf__record record;
    bool more;
    into->used = 0;
    check(kf__batch_check(batch), "checksum");
    check(kf__batch_open(batch, codecs, into, DECOMPRESSED_LIMIT, &records), "batch");
    while (!kf__records_next(&records, &record, &more) && more)
        handler(&record, &tally);
}

static void handle(const struct kf_fetch_response *response, struct kf__codecs *codecs,
                   struct kf__buffer *into)
{
    for (int32_t t = 0; t < response->responses.count; t++)
        for (int32_t p = 0; p < response->responses.items[t].partitions.count; p++) {
            kf_bytes bytes = response->responses.items[t].partitions.items[p].records;
            struct kf__batch batch;
            for (size_t at = 0; at < bytes.size; at += batch.size) {
                if (kf__batch_peek(bytes.data + at, bytes.size - at, &batch))
                    break;
                handle_batch(&batch, codecs, into);
            }
        }
}

int main(int argc, char **argv)
{
    struct measure measure;
    struct kf__codecs codecs;
    struct kf__buffer into, frames[2];
    kf_writer_init(&writer, &kf_default_allocator);
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&into, &kf_default_allocator);
    kf__buffer_init(&frames[0], &kf_default_allocator);
    kf__buffer_init(&frames[1], &kf_default_allocator);

    connect_to(option_text(argc, argv, "--bootstrap", "127.0.0.1:24100"));
    struct log_end log = {
        .topic = option_text(argc, argv, "--topic", "events"),
        .max_bytes = (int32_t)option_number(argc, argv, "--fetch-bytes", 512 << 10),
    };
    log.partitions = ask_partitions(log.topic);
    log.offsets = calloc((size_t)log.partitions, sizeof *log.offsets);
    log.asked = calloc((size_t)log.partitions, sizeof *log.asked);
    if (!log.offsets || !log.asked)
        die("no memory");

    measure_begin(&measure, option_number(argc, argv, "--records", 10000000));
    send_fetch(&log);
    for (int turn = 0; !measure_at(&measure, tally.records); turn ^= 1) {
        struct kf_fetch_response response;
        receive(&frames[turn], &kf_schema_of_fetch_response, FETCH_VERSION, &response);
        advance(&log, &response);
        send_fetch(&log);
        handle(&response, &codecs, &into);
    }
    measure_print(&measure, "floor", &tally);
    return 0;
}
