/*
 * replay: a broker that has one topic, forgets what it is told and repeats
 * what it was made with, at next to no cost of its own. It serves to measure
 * clients: kafiber's, librdkafka, kcat. Single-threaded; not for anything
 * else.
 *
 *     bench_replay --listen 127.0.0.1:24100 --topic events:12 --record-size 100
 */
#include "tools/bench/replay/api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CONNECTIONS = 256,
    MAX_REQUEST_BYTES = 64 << 20,
    FIRST_INPUT_BYTES = 64 << 10,
    VECTORS_AT_ONCE = 1024,
    SMALLEST_BATCH = 512, /* below, the writer copies records instead of leaving a gap */
    BASE_OFFSET_BYTES = 8,
};

struct connection {
    int fd;
    uint8_t *input;
    size_t used;
    size_t capacity;
    struct answer answer;
    struct iovec *vectors; /* what is still to be sent */
    size_t vector_capacity;
    size_t vector_count;
    size_t vector_at;
    uint8_t *base_offsets; /* of the batches that are being sent */
    size_t base_offset_capacity;
    int64_t held_until; /* ms; 0: not held back */
};

static struct connection connections[MAX_CONNECTIONS];
static struct pollfd polled[MAX_CONNECTIONS + 1];
static int connection_count;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_replay: %s\n", what);
    exit(1);
}

/* Grows to hold `count` items; a broker without memory has nothing more to say. */
static void *grow(void *items, size_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity)
        return items;
    *capacity = count * 2;
    items = realloc(items, *capacity * size);
    if (!items)
        die("no memory");
    return items;
}

/* ---- sending ---- */

static void add_vector(struct connection *c, const void *bytes, size_t size)
{
    c->vectors = grow(c->vectors, &c->vector_capacity, c->vector_count + 1, sizeof *c->vectors);
    c->vectors[c->vector_count++] = (struct iovec){(void *)(uintptr_t)bytes, size};
}

/* Each batch is two vectors: its own base offset, and what all its likes share. */
static void add_run(struct connection *c, const struct log *log, const struct run *run,
                    uint8_t **offsets)
{
    for (int64_t i = 0; i < run->count; i++) {
        const struct kf__buffer *batch = log_batch(log, run->first + i);
        kf__batch_set_base_offset(*offsets, (run->first + i) * log->batch_records);
        add_vector(c, *offsets, BASE_OFFSET_BYTES);
        add_vector(c, batch->bytes + BASE_OFFSET_BYTES, batch->used - BASE_OFFSET_BYTES);
        *offsets += BASE_OFFSET_BYTES;
    }
}

static void lay_out(struct connection *c, const struct log *log)
{
    const kf_writer *writer = &c->answer.bytes;
    size_t batches = 0;
    for (int64_t i = 0; i < c->answer.run_count; i++)
        batches += (size_t)c->answer.runs[i].count;
    c->base_offsets =
        grow(c->base_offsets, &c->base_offset_capacity, batches + 1, BASE_OFFSET_BYTES);

    uint8_t *offsets = c->base_offsets;
    size_t sent = 0;
    c->vector_count = c->vector_at = 0;
    for (size_t i = 0; i < writer->segment_count; i++) {
        add_vector(c, writer->bytes + sent, writer->segments[i].at - sent);
        sent = writer->segments[i].at;
        add_run(c, log, &c->answer.runs[i], &offsets);
    }
    add_vector(c, writer->bytes + sent, writer->used - sent);
}

/* False where the peer is gone. */
static bool send_some(struct connection *c)
{
    while (c->vector_at < c->vector_count) {
        size_t count = c->vector_count - c->vector_at;
        ssize_t sent = writev(c->fd, c->vectors + c->vector_at,
                              (int)(count > VECTORS_AT_ONCE ? VECTORS_AT_ONCE : count));
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        size_t rest = (size_t)sent;
        while (c->vector_at < c->vector_count && rest >= c->vectors[c->vector_at].iov_len)
            rest -= c->vectors[c->vector_at++].iov_len;
        if (rest) {
            struct iovec *part = &c->vectors[c->vector_at];
            part->iov_base = (uint8_t *)part->iov_base + rest;
            part->iov_len -= rest;
        }
    }
    return true;
}

/* ---- receiving ---- */

static bool is_busy(const struct connection *c)
{
    return c->held_until || c->vector_at < c->vector_count;
}

/* Answers whole requests, one after the other, until one has to wait. */
static bool answer_some(struct connection *c, struct replay *replay)
{
    size_t at = 0;
    while (!is_busy(c) && c->used - at >= 4) {
        uint32_t size = kf__get_u32(c->input + at);
        if (size > MAX_REQUEST_BYTES)
            return false;
        if (c->used - at - 4 < size) {
            c->input = grow(c->input, &c->capacity, (size_t)size + 4, 1);
            break;
        }
        kf_err err = replay_answer(replay, (kf_bytes){c->input + at + 4, size}, &c->answer);
        if (err) {
            fprintf(stderr, "bench_replay: request of api %d version %d: %s\n",
                    kf__get_i16(c->input + at + 4), kf__get_i16(c->input + at + 6),
                    kf_err_text(err));
            return false;
        }
        at += 4 + size;
        if (c->answer.none)
            continue;
        lay_out(c, &replay->log);
        if (c->answer.wait_ms > 0)
            c->held_until = now_ms() + c->answer.wait_ms;
        else if (!send_some(c))
            return false;
    }
    memmove(c->input, c->input + at, c->used - at);
    c->used -= at;
    return true;
}

static bool receive_some(struct connection *c, struct replay *replay)
{
    if (c->used == c->capacity)
        c->input = grow(c->input, &c->capacity, c->capacity + 1, 1);
    ssize_t got = recv(c->fd, c->input + c->used, c->capacity - c->used, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    c->used += got > 0 ? (size_t)got : 0;
    return answer_some(c, replay);
}

/* ---- connections ---- */

static void add_connection(int listener, const struct replay *replay)
{
    int fd = accept(listener, NULL, NULL);
    int one = 1;
    if (fd < 0)
        return;
    if (connection_count == MAX_CONNECTIONS) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = &connections[connection_count++];
    *c = (struct connection){.fd = fd};
    c->input = grow(NULL, &c->capacity, FIRST_INPUT_BYTES, 1);
    kf_writer_init(&c->answer.bytes, &kf_default_allocator);
    c->answer.bytes.splice = true;
    c->answer.runs = calloc((size_t)replay->partitions, sizeof *c->answer.runs);
    if (!c->answer.runs)
        die("no memory");
    kf_arena_init(&c->answer.arena, &kf_default_allocator, 0);
}

static void drop_connection(int index)
{
    struct connection *c = &connections[index];
    close(c->fd);
    free(c->input);
    free(c->vectors);
    free(c->base_offsets);
    free(c->answer.runs);
    kf_writer_free(&c->answer.bytes);
    kf_arena_free(&c->answer.arena);
    *c = connections[--connection_count];
}

/* True as long as the connection lives. */
static bool serve(struct connection *c, short events, int64_t now, struct replay *replay)
{
    if (c->held_until && now >= c->held_until) {
        c->held_until = 0;
        return send_some(c) && answer_some(c, replay);
    }
    if (events & POLLOUT)
        return send_some(c) && (is_busy(c) || answer_some(c, replay));
    if (events & (POLLIN | POLLHUP | POLLERR))
        return receive_some(c, replay);
    return true;
}

static short wanted_events(const struct connection *c)
{
    if (c->held_until)
        return 0;
    return c->vector_at < c->vector_count ? POLLOUT : POLLIN;
}

static void run(int listener, struct replay *replay)
{
    for (;;) {
        int64_t soonest = INT64_MAX;
        polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (int i = 0; i < connection_count; i++) {
            const struct connection *c = &connections[i];
            polled[i + 1] = (struct pollfd){.fd = c->fd, .events = wanted_events(c)};
            if (c->held_until && c->held_until < soonest)
                soonest = c->held_until;
        }
        int64_t now = now_ms();
        int timeout = soonest == INT64_MAX ? -1 : soonest > now ? (int)(soonest - now) : 0;
        if (poll(polled, (nfds_t)connection_count + 1, timeout) < 0 && errno != EINTR)
            die(strerror(errno));
        now = now_ms();
        for (int i = connection_count - 1; i >= 0; i--)
            if (!serve(&connections[i], polled[i + 1].revents, now, replay))
                drop_connection(i);
        if (polled[0].revents)
            add_connection(listener, replay);
    }
}

/* ---- beginning ---- */

static int listen_at(const char *host, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1)
        die("--listen wants an IPv4 address");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 64))
        die(strerror(errno));
    return fd;
}

struct options {
    char host[64];
    char topic[256];
    int port;
    int advertised_port; /* what clients are told; 0: the same */
    int partitions;
    int fetch_bytes;
    struct log_shape shape;
};

static void take_option(struct options *o, const char *name, const char *value)
{
    if (strcmp(name, "--listen") == 0) {
        if (sscanf(value, "%63[^:]:%d", o->host, &o->port) != 2)
            die("--listen HOST:PORT");
    } else if (strcmp(name, "--advertised-port") == 0) {
        o->advertised_port = atoi(value);
    } else if (strcmp(name, "--topic") == 0) {
        if (sscanf(value, "%255[^:]:%d", o->topic, &o->partitions) != 2 || o->partitions < 1)
            die("--topic NAME:PARTITIONS");
    } else if (strcmp(name, "--record-size") == 0) {
        o->shape.record_bytes = (size_t)atol(value);
    } else if (strcmp(name, "--key-size") == 0) {
        o->shape.key_bytes = (size_t)atol(value);
    } else if (strcmp(name, "--batch-bytes") == 0) {
        o->shape.batch_bytes = (size_t)atol(value);
    } else if (strcmp(name, "--codec") == 0) {
        if (!kf__codec_by_name(value, &o->shape.codec))
            die("--codec none, gzip, snappy, lz4 or zstd");
    } else if (strcmp(name, "--records") == 0) {
        o->shape.records = atoll(value);
    } else if (strcmp(name, "--fetch-bytes") == 0) {
        o->fetch_bytes = atoi(value);
    } else {
        die("unknown option");
    }
}

static void make_sessions(struct replay *replay)
{
    for (int i = 0; i < MAX_SESSIONS; i++) {
        replay->sessions[i].places =
            calloc((size_t)replay->partitions, sizeof *replay->sessions[i].places);
        if (!replay->sessions[i].places)
            die("no memory");
    }
}

int main(int argc, char **argv)
{
    struct options o = {
        .host = "127.0.0.1",
        .port = 24100,
        .topic = "events",
        .partitions = 12,
        .shape = {.batch_bytes = 16384, .record_bytes = 100},
    };
    if (argc % 2 == 0)
        die("--listen HOST:PORT --topic NAME:PARTITIONS --record-size BYTES --key-size BYTES "
            "--batch-bytes BYTES --codec NAME --records COUNT (in all; 0: without end) "
            "--fetch-bytes BYTES (of a response; 0: as asked) --advertised-port PORT");
    for (int i = 1; i + 1 < argc; i += 2)
        take_option(&o, argv[i], argv[i + 1]);
    o.shape.records = (o.shape.records + o.partitions - 1) / o.partitions;

    static struct replay replay;
    replay.topic = o.topic;
    replay.partitions = o.partitions;
    replay.fetch_bytes = o.fetch_bytes;
    replay.host = o.host;
    replay.port = o.advertised_port ? o.advertised_port : o.port;
    kf_err err = log_build(&replay.log, &o.shape);
    if (err)
        die(kf_err_text(err));
    for (int i = 0; i < BLUEPRINTS; i++)
        if (log_batch(&replay.log, i)->used < SMALLEST_BATCH)
            die("batches of less than 512 bytes are not supported");
    make_sessions(&replay);
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_at(o.host, o.port);
    int64_t total = o.shape.records ? replay.log.high_watermark * o.partitions : -1;
    printf("ready: %d records a batch, %zu bytes, %lld records in all\n", replay.log.batch_records,
           replay.log.batch_bytes, (long long)total);
    fflush(stdout);
    run(listener, &replay);
}
