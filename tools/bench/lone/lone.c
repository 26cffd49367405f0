/*
 * lone: how long one record takes that somebody waits for, beside the round
 * trip of the same Produce request on a blocking socket, all in one process.
 *
 *     bench_lone --bootstrap 127.0.0.1:24490 [--sends 4000] [--rounds 5] [--replicas 1]
 *
 *     bare          a socket of one's own, the request encoded once and for all
 *     call          the same request by kf_call
 *     wait          kf_produce_wait on a plain thread
 *     fiber         kf_produce_wait in a handler of a runtime, beside a bare of its own
 *
 * One after the other, send by send; the batch has 100 bytes in one record,
 * acks=all. A line for each round, and one with the medians of the rounds.
 */
#include "proto/batch/batch.h"
#include "proto/codec/frame.h"
#include "tools/bench/common/measure.h"

#include <kafiber/client.h>
#include <kafiber/kafiber.h>
#include <kafiber/messages.h>
#include <kafiber/producer.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    VALUE_BYTES = 100,
    VERSION = 9,   /* of Produce: the first flexible one; names, not ids */
    WARM_UP = 200, /* sends of each kind in a round that don't count */
    MOST_ROUNDS = 100,
};

static const char *const out = "lone";
static char trigger[64]; /* the topic that begins rounds in the fiber; of this run alone */

enum kind {
    BARE,
    CALL,
    WAIT,
    BARE_IN_FIBER, /* the same as BARE, in the fiber's turns */
    FIBER,
    KINDS,
};
static const char *const names[KINDS] = {"bare", "call", "wait", "bare beside fiber", "fiber"};

static struct {
    kf_client *client;
    kf_producer *producer;
    int32_t leader;
    int socket;
    kf_writer frame; /* the bare request */
    struct kf_produce_request request;
    struct kf_produce_request_topic_produce_data topic;
    struct kf_produce_request_partition_produce_data partition;
    uint8_t answer[4096];
    size_t answer_size;
    kf_arena arena;
    int sends;
    kf_time *times[KINDS];
    double medians[KINDS][MOST_ROUNDS]; /* microseconds */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fiber_rounds; /* done, under the lock */
} bench;

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_lone: %s%s%s\n", what, why && *why ? ": " : "", why ? why : "");
    exit(1);
}

static kf_time soon(void) { return kf_now() + 30 * KF_SECOND; }

static kf_bytes value(void)
{
    static const uint8_t bytes[VALUE_BYTES] = "a value";
    return (kf_bytes){bytes, sizeof bytes};
}

/* ---- the cluster ---- */

static kf_config *configure(const char *bootstrap)
{
    kf_error error = KF_ERROR_INIT;
    kf_config *config = kf_config_new(NULL);
    if (kf_config_set(config, "bootstrap.servers", bootstrap, &error))
        die("--bootstrap", error.text);
    return config;
}

static void create_topic(const char *name, int16_t replicas)
{
    struct kf_create_topics_request request;
    struct kf_create_topics_request_creatable_topic topic = {
        .name = {name, strlen(name)}, .num_partitions = 1, .replication_factor = replicas};
    kf_response response = {0};
    kf_error error = KF_ERROR_INIT;
    kf_reset(&kf_schema_of_create_topics_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    if (kf_call(bench.client, KF_NODE_CONTROLLER, &kf_schema_of_create_topics_request, -1, &request,
                soon(), &response, &error))
        die("CreateTopics", error.text);
    const struct kf_create_topics_response *answer = response.message;
    kf_err err = answer->topics.items[0].error_code;
    if (err && err != KF_ERR_TOPIC_ALREADY_EXISTS)
        die(name, kf_err_text(err));
    kf_response_free(&response);
}

static int connect_to(const char *host, int32_t port)
{
    char service[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int on = 1, fd = -1;
    snprintf(service, sizeof service, "%d", (int)port);
    if (getaddrinfo(host, service, &hints, &list))
        die("no address of the leader", host);
    for (struct addrinfo *one = list; one && fd < 0; one = one->ai_next) {
        fd = socket(one->ai_family, SOCK_STREAM, 0);
        if (connect(fd, one->ai_addr, one->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on))
        die("no connection to the leader", host);
    return fd;
}

static void connect_to_leader(void)
{
    struct kf_metadata_request request;
    kf_response response = {0};
    kf_error error = KF_ERROR_INIT;
    kf_reset(&kf_schema_of_metadata_request, &request);
    if (kf_client_leader(bench.client, out, 0, soon(), &bench.leader, &error) ||
        kf_call(bench.client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request, soon(),
                &response, &error))
        die("no leader", error.text);
    const struct kf_metadata_response *answer = response.message;
    bench.socket = -1;
    for (int32_t i = 0; i < answer->brokers.count; i++) {
        const struct kf_metadata_response_broker *broker = &answer->brokers.items[i];
        char host[256];
        snprintf(host, sizeof host, "%.*s", (int)broker->host.size, broker->host.data);
        if (broker->node_id == bench.leader)
            bench.socket = connect_to(host, broker->port);
    }
    if (bench.socket < 0)
        die("no leader", "metadata doesn't have it");
    kf_response_free(&response);
}

/* ---- the request ---- */

static void build_request(void)
{
    static struct kf__buffer batch;
    struct kf__batch_builder builder;
    struct kf__codecs codecs;
    struct kf__batch_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1};
    kf_bytes none = {NULL, 0};
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&batch, &kf_default_allocator);
    if (kf__batch_builder_add(&builder, 1700000000000, none, value(), NULL, 0) ||
        kf__batch_builder_finish(&builder, &options, &codecs, &batch))
        die("no batch", NULL);
    kf_reset(&kf_schema_of_produce_request, &bench.request);
    bench.partition.records = (kf_bytes){batch.bytes, batch.used};
    bench.topic.name = (kf_string){out, strlen(out)};
    bench.topic.partition_data.items = &bench.partition;
    bench.topic.partition_data.count = 1;
    bench.request.acks = -1;
    bench.request.timeout_ms = 30000;
    bench.request.topic_data.items = &bench.topic;
    bench.request.topic_data.count = 1;
    kf_writer_init(&bench.frame, &kf_default_allocator);
    if (kf__encode_request(&bench.frame, &kf_schema_of_produce_request, VERSION, 1,
                           (kf_string){"bare", 4}, &bench.request))
        die("no request", NULL);
}

static void check_answer(const struct kf_produce_response *answer)
{
    kf_err err = answer->responses.items[0].partition_responses.items[0].error_code;
    if (err)
        die("refused", kf_err_text(err));
}

/* ---- one send of each kind ---- */

/* What every client needs at least: one send, and as many reads as the answer comes in. */
static void round_trip(void)
{
    size_t sent = 0, got = 0, size = KF__FRAME_SIZE_BYTES;
    while (sent < bench.frame.used) {
        ssize_t some = send(bench.socket, bench.frame.bytes + sent, bench.frame.used - sent, 0);
        if (some <= 0)
            die("the broker is gone", NULL);
        sent += (size_t)some;
    }
    const uint8_t *head = bench.answer;
    while (got < size) {
        ssize_t some = recv(bench.socket, bench.answer + got, sizeof bench.answer - got, 0);
        if (some <= 0)
            die("the broker is gone", NULL);
        got += (size_t)some;
        if (got >= KF__FRAME_SIZE_BYTES)
            size = ((size_t)head[2] << 8 | head[3]) + KF__FRAME_SIZE_BYTES;
    }
    bench.answer_size = got - KF__FRAME_SIZE_BYTES;
}

static kf_time send_bare(void)
{
    const kf_schema *schema = &kf_schema_of_produce_response;
    const uint8_t *answer = bench.answer + KF__FRAME_SIZE_BYTES;
    struct kf_produce_response response;
    int32_t correlation;
    size_t used;
    kf_time began = kf_now();
    round_trip();
    kf_time took = kf_now() - began;
    kf_arena_reset(&bench.arena);
    if (kf__decode_response_header(schema, VERSION, answer, bench.answer_size, &correlation,
                                   &used) ||
        kf_decode(schema, VERSION, answer + used, bench.answer_size - used, &bench.arena,
                  &response))
        die("an answer cannot be decoded", NULL);
    check_answer(&response);
    return took;
}

static kf_time send_by_call(void)
{
    kf_response response = {0};
    kf_error error = KF_ERROR_INIT;
    kf_time began = kf_now();
    if (kf_call(bench.client, bench.leader, &kf_schema_of_produce_request, VERSION, &bench.request,
                soon(), &response, &error))
        die("kf_call", error.text);
    kf_time took = kf_now() - began;
    check_answer(response.message);
    kf_response_free(&response);
    return took;
}

static kf_time send_and_wait(void)
{
    kf_record record = {.topic = out, .partition = 0, .value = value()};
    kf_error error = KF_ERROR_INIT;
    kf_time began = kf_now();
    if (kf_produce_wait(bench.producer, &record, soon(), NULL, &error))
        die("kf_produce_wait", error.text);
    return kf_now() - began;
}

/* ---- rounds ---- */

static int by_time(const void *first, const void *second)
{
    kf_time a = *(const kf_time *)first, b = *(const kf_time *)second;
    return (a > b) - (a < b);
}

static double median_us(enum kind kind)
{
    qsort(bench.times[kind], (size_t)bench.sends, sizeof(kf_time), by_time);
    return (double)bench.times[kind][bench.sends / 2] / 1e3;
}

static void note(enum kind kind, int i, kf_time took)
{
    if (i >= 0)
        bench.times[kind][i] = took;
}

static void run_on_thread(void)
{
    for (int i = -WARM_UP; i < bench.sends; i++) {
        note(BARE, i, send_bare());
        note(WAIT, i, send_and_wait());
        note(CALL, i, send_by_call());
    }
}

/* A record of the other topic is a round. */
static kf_verdict run_in_fiber(const kf_message *message, void *context)
{
    (void)message;
    (void)context;
    for (int i = -WARM_UP; i < bench.sends; i++) {
        note(BARE_IN_FIBER, i, send_bare());
        note(FIBER, i, send_and_wait());
    }
    pthread_mutex_lock(&bench.lock);
    bench.fiber_rounds++;
    pthread_cond_signal(&bench.changed);
    pthread_mutex_unlock(&bench.lock);
    return KF_HANDLED;
}

static void await_fiber_round(int round)
{
    kf_record record = {.topic = trigger, .partition = 0, .value = value()};
    kf_error error = KF_ERROR_INIT;
    if (kf_produce_wait(bench.producer, &record, soon(), NULL, &error))
        die("kf_produce_wait", error.text);
    pthread_mutex_lock(&bench.lock);
    while (bench.fiber_rounds <= round)
        pthread_cond_wait(&bench.changed, &bench.lock);
    pthread_mutex_unlock(&bench.lock);
}

/* What `kind` is measured by. */
static enum kind beside(enum kind kind) { return kind < BARE_IN_FIBER ? BARE : BARE_IN_FIBER; }

static double ratio(enum kind kind, int round)
{
    return bench.medians[kind][round] / bench.medians[beside(kind)][round];
}

static void print_round(int round)
{
    printf("round %d:", round + 1);
    for (int kind = 0; kind < KINDS; kind++)
        printf("%s %s %.1f us (%.2f)", kind ? "," : "", names[kind], bench.medians[kind][round],
               ratio((enum kind)kind, round));
    printf("\n");
}

static int by_value(const void *first, const void *second)
{
    double a = *(const double *)first, b = *(const double *)second;
    return (a > b) - (a < b);
}

static void print_cell(const double *values, int rounds, int digits)
{
    double sorted[MOST_ROUNDS];
    memcpy(sorted, values, (size_t)rounds * sizeof *sorted);
    qsort(sorted, (size_t)rounds, sizeof *sorted, by_value);
    printf(" %.*f (%.*f–%.*f) |", digits, sorted[rounds / 2], digits, sorted[0], digits,
           sorted[rounds - 1]);
}

static void print_all(int rounds)
{
    printf("| | us | to bare |\n|---|---|---|\n");
    for (int kind = 0; kind < KINDS; kind++) {
        double ratios[MOST_ROUNDS];
        for (int i = 0; i < rounds; i++)
            ratios[i] = ratio((enum kind)kind, i);
        printf("| %s |", names[kind]);
        print_cell(bench.medians[kind], rounds, 1);
        print_cell(ratios, rounds, 2);
        printf("\n");
    }
}

static kf_runtime *start_runtime(kf_config *config)
{
    kf_error error = KF_ERROR_INIT;
    kf_config_set(config, "group.id", trigger, &error);
    kf_config_set(config, "auto.offset.reset", "earliest", &error);
    kf_runtime *runtime = kf_runtime_new(config, &error);
    if (!runtime || kf_runtime_handle(runtime, trigger, KF_AT_MOST_ONCE, run_in_fiber, NULL) ||
        kf_runtime_start(runtime, &error))
        die("no runtime", error.text);
    return runtime;
}

int main(int argc, char **argv)
{
    int rounds = (int)option_number(argc, argv, "--rounds", 5);
    int16_t replicas = (int16_t)option_number(argc, argv, "--replicas", 1);
    kf_config *config = configure(option_text(argc, argv, "--bootstrap", "127.0.0.1:24490"));
    kf_error error = KF_ERROR_INIT;
    bench.sends = (int)option_number(argc, argv, "--sends", 4000);
    if (rounds < 1 || rounds > MOST_ROUNDS || bench.sends < 1)
        die("--rounds from 1 to 100, --sends from 1", NULL);
    for (int kind = 0; kind < KINDS; kind++)
        if (!(bench.times[kind] = calloc((size_t)bench.sends, sizeof(kf_time))))
            die("no memory", NULL);
    snprintf(trigger, sizeof trigger, "lone-rounds-%lld", (long long)kf_now());
    pthread_mutex_init(&bench.lock, NULL);
    pthread_cond_init(&bench.changed, NULL);
    kf_arena_init(&bench.arena, &kf_default_allocator, 0);
    bench.client = kf_client_new(config, &error);
    bench.producer = kf_producer_new(config, &error);
    if (!bench.client || !bench.producer)
        die("no client", error.text);
    create_topic(out, replicas);
    create_topic(trigger, replicas);
    build_request();
    connect_to_leader();
    kf_runtime *runtime = start_runtime(config);
    for (int round = 0; round < rounds; round++) {
        run_on_thread();
        await_fiber_round(round);
        for (int kind = 0; kind < KINDS; kind++)
            bench.medians[kind][round] = median_us((enum kind)kind);
        print_round(round);
    }
    print_all(rounds);
    kf_runtime_stop(runtime);
    kf_runtime_wait(runtime, &error);
    kf_runtime_close(runtime);
    kf_producer_close(bench.producer, soon());
    kf_client_close(bench.client);
    kf_config_free(config);
    return 0;
}
