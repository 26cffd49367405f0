/* wire: frames over a blocking socket; /proc of the broker's process. */
#include "tools/bench/broker/wire.h"

#include "proto/batch/batch.h"
#include "proto/codec/frame.h"
#include "tools/bench/common/values.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    RECORD_BYTES = 1024,
    CORRELATION = 1,
};

_Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_broker: %s\n", what);
    exit(1);
}

void must_be_good(int16_t error_code, const char *what)
{
    if (!error_code)
        return;
    fprintf(stderr, "bench_broker: %s: error %d\n", what, error_code);
    exit(1);
}

/* ---- frames ---- */

void wire_open(struct wire *wire, const struct target *target)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(target->port)};
    int on = 1;
    *wire = (struct wire){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (inet_pton(AF_INET, target->host, &address.sin_addr) != 1)
        die("the broker's address is none");
    if (connect(wire->fd, (struct sockaddr *)&address, sizeof address))
        die("no connection to the broker");
    setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    kf_writer_init(&wire->output, &kf_default_allocator);
    wire->output.splice = true;
    kf_arena_init(&wire->arena, &kf_default_allocator, 0);
}

void wire_close(struct wire *wire)
{
    close(wire->fd);
    free(wire->input);
    kf_writer_free(&wire->output);
    kf_arena_free(&wire->arena);
}

void wire_send(struct wire *wire, int16_t api, int16_t version, const void *request)
{
    enum {
        VECTORS = 64
    };
    struct iovec vectors[VECTORS];
    kf_string name = string_of("bench");
    kf_writer_reset(&wire->output);
    if (kf__encode_request(&wire->output, kf_schema_request(api), version, CORRELATION, name,
                           request))
        die("a request cannot be encoded");
    for (size_t sent = 0; sent < wire->output.total;) {
        struct msghdr message = {.msg_iov = vectors};
        message.msg_iovlen = kf__writer_iovec_from(&wire->output, sent, vectors, VECTORS);
        ssize_t more = sendmsg(wire->fd, &message, MSG_NOSIGNAL);
        if (more <= 0)
            die("the broker closed the connection");
        sent += (size_t)more;
    }
}

static void receive_all(int fd, uint8_t *into, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t more = recv(fd, into + got, size - got, MSG_WAITALL);
        if (more <= 0)
            die("the broker closed the connection");
        got += (size_t)more;
    }
}

void wire_receive(struct wire *wire, int16_t api, int16_t version, void *response)
{
    uint8_t head[KF__FRAME_SIZE_BYTES];
    const kf_schema *schema = kf_schema_response(api);
    int32_t correlation = 0;
    size_t used = 0;
    receive_all(wire->fd, head, sizeof head);
    wire->used = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (wire->used > wire->capacity) {
        free(wire->input);
        wire->capacity = wire->used;
        wire->input = malloc(wire->capacity);
        if (!wire->input)
            die("no memory");
    }
    receive_all(wire->fd, wire->input, wire->used);
    kf_arena_reset(&wire->arena);
    if (kf__decode_response_header(schema, version, wire->input, wire->used, &correlation, &used) ||
        correlation != CORRELATION ||
        kf_decode(schema, version, wire->input + used, wire->used - used, &wire->arena, response))
        die("an answer cannot be decoded");
}

void wire_call(struct wire *wire, int16_t api, int16_t version, const void *request, void *response)
{
    wire_send(wire, api, version, request);
    wire_receive(wire, api, version, response);
}

/* ---- what the broker has used ---- */

double target_cpu_s(const struct target *target)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)target->pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file))
        die("the broker's process is not there");
    fclose(file);
    /* The second field, in parentheses, may hold blanks. */
    const char *at = strrchr(line, ')');
    if (!at ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        die("/proc is not as expected");
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

double target_memory_mb(const struct target *target)
{
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)target->pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%*u %lu", &pages) != 1)
        die("the broker's process is not there");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- topics and batches ---- */

kf_string string_of(const char *text) { return (kf_string){text, strlen(text)}; }

struct kf_fetch_request_fetch_partition fetch_from(int32_t partition, int64_t offset)
{
    return (struct kf_fetch_request_fetch_partition){.partition = partition,
                                                     .current_leader_epoch = -1,
                                                     .fetch_offset = offset,
                                                     .last_fetched_epoch = -1,
                                                     .log_start_offset = -1,
                                                     .partition_max_bytes = 1 << 20,
                                                     .high_watermark = INT64_MAX};
}

void create_topic(struct wire *wire, const char *name, int32_t partitions)
{
    struct kf_create_topics_request_creatable_topic topic = {
        .name = string_of(name), .num_partitions = partitions, .replication_factor = 1};
    struct kf_create_topics_request request;
    struct kf_create_topics_response response;
    kf_reset(&kf_schema_of_create_topics_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    wire_call(wire, KF_API_CREATE_TOPICS, 7, &request, &response);
    must_be_good(response.topics.items[0].error_code, "CreateTopics");
}

void delete_topic(struct wire *wire, const char *name)
{
    struct kf_delete_topics_request_delete_topic_state topic = {.name = string_of(name)};
    struct kf_delete_topics_request request;
    struct kf_delete_topics_response response;
    kf_reset(&kf_schema_of_delete_topics_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    request.timeout_ms = 60000;
    wire_call(wire, KF_API_DELETE_TOPICS, 6, &request, &response);
    must_be_good(response.responses.items[0].error_code, "DeleteTopics");
}

kf_bytes make_batch(int32_t count)
{
    struct kf__batch_builder builder;
    struct kf__batch_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    struct kf__buffer batch;
    struct kf__codecs codecs;
    uint8_t *values = values_new(RECORD_BYTES);
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&batch, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf_err err = values ? KF_OK : KF_ERR_NO_MEMORY;
    for (int32_t i = 0; !err && i < count; i++) {
        kf_bytes value = {values + (size_t)(i % VALUES) * RECORD_BYTES, RECORD_BYTES};
        err = kf__batch_builder_add(&builder, 1700000000000, (kf_bytes){NULL, 0}, value, NULL, 0);
    }
    if (err || kf__batch_builder_finish(&builder, &options, &codecs, &batch))
        die("no batch");
    kf__batch_builder_free(&builder);
    kf__codecs_free(&codecs);
    free(values);
    return (kf_bytes){batch.bytes, batch.used};
}
