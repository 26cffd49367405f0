/*
 * bench: `kf bench produce`: how many records a second a cluster takes, how
 * long each takes, and what that costs here.
 *
 *   values ──kf_produce──▶ … ──callback──▶ count, histogram ──at the end──▶ stdout
 *
 * The producer's thread counts and fills the histogram; this one reads them
 * when all records have been told.
 */
#include "tools/kf/options.h"
#include "tools/kf/verbs.h"

#include <kafiber/producer.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    SAMPLE_EVERY = 16, /* records, for the latency: reading the clock costs as much as a record */
    SAMPLES = 1 << 16, /* under way at once */
    STEPS = 32,        /* of the histogram within a power of two: 3 % */
    OCTAVES = 40,      /* from 1 µs on */
    LOOK_EVERY = 1024, /* records, at the clock, at signals and at the rate */
    FINISH_SECONDS = 180, /* more than delivery.timeout.ms */
    VALUES = 256,
};

static const char usage[] =
    "usage: kf bench produce TOPIC [OPTION]...   how fast a cluster takes records\n"
    "\n"
    "  -n, --count N        records (1000000)\n"
    "  -s, --size BYTES     of a value (100)\n"
    "  -p, --partition N    all into this one; default: evenly, without a key\n"
    "      --keys N         with N different keys, by which they find their partitions\n"
    "  -r, --rate N         records a second at most\n"
    "  -z, --compression CODEC  gzip, snappy, lz4 or zstd\n"
    "      --acks all|1|0   which replicas must have a record (all)\n"
    "      --json           one JSON object\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --timeout MS  --verbose\n"
    "\n"
    "Latency is from kf_produce to the acknowledgement; CPU is this process's, all threads.\n"
    "\n"
    "  kf bench produce load -n 5000000 -X batch.size=1000000 -z lz4\n"
    "  kf bench produce load -r 10000 -n 100000 --json\n"
    "\n"
    "Exit: 1 where a record was not stored; 3 without a broker.\n";

struct bench {
    struct kf__command command;
    int64_t count;
    int64_t size;
    int64_t partition; /* -1: not given */
    int64_t keys;      /* 0: none */
    int64_t rate;      /* 0: without end */
    const char *codec;
    const char *acks;

    kf_producer *producer;
    uint8_t *values;
    int64_t produced;
    kf_error refused; /* by kf_produce: ends the run */
    kf_time began;
    kf_time took;
    double cpu_ns; /* of all */

    kf_time sent[SAMPLES];
    /* ---- the producer's thread's ---- */
    atomic_llong told;
    int64_t failed;
    kf_err failure; /* the first one */
    int64_t samples;
    kf_time slowest;
    int64_t histogram[OCTAVES * STEPS];
};

static volatile sig_atomic_t stop_signal;
static struct bench *running; /* the callback's context is the sample's place */

#define AT(member) offsetof(struct bench, member)
static const struct kf__option options[] = {
    {'n', "count", KF__OPTION_NUMBER, AT(count)},
    {'s', "size", KF__OPTION_NUMBER, AT(size)},
    {'p', "partition", KF__OPTION_NUMBER, AT(partition)},
    {0, "keys", KF__OPTION_NUMBER, AT(keys)},
    {'r', "rate", KF__OPTION_NUMBER, AT(rate)},
    {'z', "compression", KF__OPTION_TEXT, AT(codec)},
    {0, "acks", KF__OPTION_TEXT, AT(acks)},
};
#undef AT

/* ---- latency ---- */

/* A value's place: its power of two, and where it stands within it. */
static int place_of(kf_time latency)
{
    uint64_t micros = latency > 0 ? (uint64_t)latency / 1000 : 0;
    int octave = 0;
    while (octave < OCTAVES - 1 && micros >> (octave + 1))
        octave++;
    uint64_t within = micros ? ((micros * STEPS) >> octave) % STEPS : 0;
    return octave * STEPS + (int)within;
}

static double micros_at(int place)
{
    double low = (double)((uint64_t)1 << (place / STEPS));
    return low * (1 + (place % STEPS + 0.5) / (double)STEPS);
}

static void note_latency(struct bench *bench, kf_time latency)
{
    bench->samples++;
    bench->histogram[place_of(latency)]++;
    if (latency > bench->slowest)
        bench->slowest = latency;
}

/* Milliseconds that the given part of the samples stayed below. */
static double percentile(const struct bench *bench, double part)
{
    double slowest = (double)bench->slowest / 1e6;
    int64_t wanted = (int64_t)(part * (double)bench->samples);
    for (int place = 0; place < OCTAVES * STEPS; place++) {
        wanted -= bench->histogram[place];
        if (wanted < 0)
            return micros_at(place) / 1000 < slowest ? micros_at(place) / 1000 : slowest;
    }
    return slowest;
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct bench *bench = running;
    if (delivery->err && bench->failed++ == 0)
        bench->failure = delivery->err;
    if (!delivery->err && context)
        note_latency(bench, kf_now() - *(const kf_time *)context);
    atomic_store_explicit(&bench->told,
                          atomic_load_explicit(&bench->told, memory_order_relaxed) + 1,
                          memory_order_release);
}

/* ---- producing ---- */

static bool make_values(struct bench *bench)
{
    bench->values = malloc(VALUES * (size_t)bench->size + 1);
    for (int i = 0; bench->values && i < VALUES; i++)
        for (int64_t at = 0; at < bench->size; at++)
            bench->values[i * bench->size + at] =
                (uint8_t)((i * 31 + at * 7 + i * at % 11) % 26 + 'a');
    return bench->values != NULL;
}

/* `until` is looked at anew every LOOK_EVERY records: the clock would cost as much as the rest. */
static kf_err produce_one(struct bench *bench, const char *topic, kf_time until, kf_error *error)
{
    int64_t number = bench->produced;
    char key[24];
    kf_record record = {
        .topic = topic,
        .partition = (int32_t)bench->partition,
        .value = {bench->values + number % VALUES * bench->size, (size_t)bench->size},
    };
    if (bench->keys > 0) {
        int size = snprintf(key, sizeof key, "%lld", (long long)(number * 7919 % bench->keys));
        record.key = (kf_bytes){(const uint8_t *)key, (size_t)size};
    }
    kf_time *sent = NULL;
    if (number % SAMPLE_EVERY == 0) {
        sent = &bench->sent[number / SAMPLE_EVERY % SAMPLES];
        *sent = kf_now();
    }
    return kf_produce(bench->producer, &record, take_verdict, sent, until, error);
}

/* In steps of a millisecond, so that a rate is kept evenly. */
static void keep_rate(const struct bench *bench)
{
    if (bench->rate == 0)
        return;
    kf_time due =
        bench->began + (kf_time)((double)bench->produced / (double)bench->rate * (double)KF_SECOND);
    if (due > kf_now() + KF_MILLISECOND)
        kf_sleep(due - kf_now());
}

static void show_progress(const struct bench *bench, kf_time *shown)
{
    kf_time now = kf_now();
    if (now - *shown < KF_SECOND)
        return;
    *shown = now;
    fprintf(stderr, "\r%lld of %lld records", (long long)atomic_load(&bench->told),
            (long long)bench->count);
}

static void produce_all(struct bench *bench)
{
    const char *name = bench->command.arguments.items[0];
    const char *own = kf_producer_topic(bench->producer, name);
    const char *topic = own ? own : name; /* kf_produce says why */
    kf_time until = 0;
    bool talk = isatty(STDERR_FILENO);
    kf_time shown = bench->began;
    while (bench->produced < bench->count && !stop_signal && !bench->refused.code) {
        kf_error error = KF_ERROR_INIT;
        if (bench->produced % LOOK_EVERY == 0)
            until = kf__command_deadline(&bench->command);
        kf_err err = produce_one(bench, topic, until, &error);
        if (err == KF_ERR_BUFFER_FULL) {
            until = kf__command_deadline(&bench->command);
            continue; /* records end after delivery.timeout.ms at the latest */
        }
        if (err)
            bench->refused = error;
        else
            bench->produced++;
        if (talk && bench->produced % LOOK_EVERY == 0)
            show_progress(bench, &shown);
        keep_rate(bench);
    }
    kf_flush(bench->producer, kf_now() + FINISH_SECONDS * KF_SECOND);
    if (talk)
        fputs("\r\033[K", stderr);
}

static double cpu_now(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return ((double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec) * 1e9 +
           ((double)used.ru_utime.tv_usec + (double)used.ru_stime.tv_usec) * 1e3;
}

/* ---- the result ---- */

static void print_result(const struct bench *bench)
{
    int64_t stored = atomic_load(&bench->told) - bench->failed;
    double seconds = (double)bench->took / (double)KF_SECOND;
    double rate = (double)stored / seconds;
    double mib = rate * (double)bench->size / (1 << 20);
    double cpu = stored ? bench->cpu_ns / (double)stored : 0;
    double p[] = {percentile(bench, 0.5), percentile(bench, 0.95), percentile(bench, 0.99),
                  percentile(bench, 0.999), (double)bench->slowest / 1e6};
    if (bench->command.json)
        printf(
            "{\"records\":%lld,\"failed\":%lld,\"size\":%lld,\"seconds\":%.3f,\"records_s\":%.0f,"
            "\"mib_s\":%.2f,\"cpu_ns\":%.1f,\"latency_ms\":{\"p50\":%.3f,\"p95\":%.3f,"
            "\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}}\n",
            (long long)stored, (long long)bench->failed, (long long)bench->size, seconds, rate, mib,
            cpu, p[0], p[1], p[2], p[3], p[4]);
    else
        printf("%lld records of %lld bytes in %.2f s: %.0f a second, %.1f MiB/s\n"
               "latency in ms: %.2f median, %.2f p95, %.2f p99, %.2f p99.9, %.2f at most\n"
               "CPU: %.0f ns a record\n",
               (long long)stored, (long long)bench->size, seconds, rate, mib, p[0], p[1], p[2],
               p[3], p[4], cpu);
}

/* ---- the verb ---- */

static void note_signal(int number) { stop_signal = number; }

static int check(const struct bench *bench)
{
    const struct kf__command *command = &bench->command;
    if (command->arguments.count != 1)
        return kf__usage_error(command, "name one topic");
    if (bench->partition > INT32_MAX)
        return kf__usage_error(command, "there is no partition %lld", (long long)bench->partition);
    if (bench->size > 1 << 30)
        return kf__usage_error(command, "-s is too large");
    if (bench->keys > 0 && bench->partition >= 0)
        return kf__usage_error(command, "a key or -p decides the partition, not both");
    return KF__GO_ON;
}

static int configure(struct bench *bench)
{
    kf_error error = KF_ERROR_INIT;
    if (bench->acks)
        kf_config_set(bench->command.config, "acks", bench->acks, &error);
    if (bench->codec && !error.code)
        kf_config_set(bench->command.config, "compression.type", bench->codec, &error);
    if (!error.code)
        bench->producer = kf_producer_new(bench->command.config, &error);
    return error.code ? kf__report(&bench->command, &error) : KF__GO_ON;
}

static int say_failures(const struct bench *bench)
{
    if (bench->refused.code)
        return kf__report(&bench->command, &bench->refused);
    if (stop_signal)
        return KF__EXIT_SIGNAL + stop_signal;
    if (bench->failed == 0 && atomic_load(&bench->told) == bench->produced)
        return KF__EXIT_DONE;
    fprintf(stderr, "kf bench produce: %lld of %lld records were not stored: %s (%s)\n",
            (long long)(bench->produced - atomic_load(&bench->told) + bench->failed),
            (long long)bench->produced, kf_err_text(bench->failure), kf_err_name(bench->failure));
    return KF__EXIT_PARTLY;
}

static int run(struct bench *bench)
{
    int code = check(bench);
    if (code == KF__GO_ON)
        code = configure(bench);
    if (code != KF__GO_ON)
        return code;
    if (!make_values(bench)) {
        fprintf(stderr, "kf bench produce: no memory for records of %lld bytes\n",
                (long long)bench->size);
        kf_producer_close(bench->producer, 0);
        return KF__EXIT_PARTLY;
    }
    kf__catch_signals(note_signal);
    running = bench;
    double cpu = cpu_now();
    bench->began = kf_now();
    produce_all(bench);
    bench->took = kf_now() - bench->began;
    bench->cpu_ns = cpu_now() - cpu;
    kf_producer_close(bench->producer, 0);
    if (atomic_load(&bench->told) > 0)
        print_result(bench);
    return kf__finish(&bench->command, say_failures(bench));
}

int kf__verb_bench(int argc, char **argv)
{
    static struct bench bench = {
        .command = {.verb = "bench",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
        .count = 1000000,
        .size = 100,
        .partition = -1,
    };
    bool is_produce = argc > 1 && strcmp(argv[1], "produce") == 0;
    if (is_produce)
        bench.command.verb = "bench produce";
    int code = kf__command_read(&bench.command, is_produce ? argc - 1 : argc,
                                is_produce ? argv + 1 : argv, &bench);
    if (code == KF__GO_ON)
        code = is_produce ? run(&bench) : kf__usage_error(&bench.command, "kf bench produce TOPIC");
    free(bench.values);
    kf__command_free(&bench.command);
    return code;
}
