/*
 * consume: the same work by kafiber's public API, as a member of a group,
 * with a handler that counts.
 *
 *     bench_consume --bootstrap 127.0.0.1:24100 --topic events --records 10000000
 *
 * Counts are kept per partition, because a partition's records are handled
 * one after the other while partitions run side by side. The main thread
 * adds them up now and then; relaxed loads and stores keep that honest at no
 * cost.
 */
#include "tools/bench/common/measure.h"

#include <kafiber/kafiber.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    MAX_PARTITIONS = 100000,
    LOOK_EVERY_MS = 1,
};

struct partition {
    struct tally tally;
    _Atomic int64_t published; /* the tally's records, for the main thread */
    char padding[56];
};

static struct partition *partitions;
static int64_t partition_count;

static kf_verdict count(const kf_message *message, void *context)
{
    (void)context;
    struct partition *partition = &partitions[message->partition];
    tally_add(&partition->tally, message->value.data, message->value.size);
    atomic_store_explicit(&partition->published, partition->tally.records, memory_order_relaxed);
    return KF_HANDLED;
}

static void set(kf_config *config, const char *key, const char *value)
{
    kf_error error = KF_ERROR_INIT;
    if (kf_config_set(config, key, value, &error))
        exit(kf_error_print(&error, stderr));
}

static kf_config *make_config(int argc, char **argv)
{
    kf_config *config = kf_config_new(NULL);
    if (!config)
        exit(1);
    set(config, "bootstrap.servers", option_text(argc, argv, "--bootstrap", "127.0.0.1:24100"));
    set(config, "group.id", option_text(argc, argv, "--group", "bench"));
    set(config, "auto.offset.reset", "earliest");
    for (int i = 1; i + 1 < argc; i++) { /* -X name=value, as often as wanted */
        char *equals = strcmp(argv[i], "-X") == 0 ? strchr(argv[i + 1], '=') : NULL;
        if (!equals)
            continue;
        *equals = 0;
        set(config, argv[i + 1], equals + 1);
    }
    return config;
}

static int64_t records_so_far(void)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < partition_count; i++)
        sum += atomic_load_explicit(&partitions[i].published, memory_order_relaxed);
    return sum;
}

static void add_up(struct tally *all)
{
    memset(all, 0, sizeof *all);
    for (int64_t i = 0; i < partition_count; i++) {
        all->records += partitions[i].tally.records;
        all->bytes += partitions[i].tally.bytes;
        all->hash += partitions[i].tally.hash;
    }
}

/* Until all records are there, the runtime ends by itself, or the time is up. */
static void wait_for_all(kf_runtime *runtime, struct measure *measure, bool steps,
                         int64_t limit_seconds)
{
    time_t end = time(NULL) + limit_seconds;
    while (!measure_at(measure, records_so_far()) && time(NULL) < end) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        kf_time until =
            (kf_time)now.tv_sec * KF_SECOND + now.tv_nsec + LOOK_EVERY_MS * KF_MILLISECOND;
        if (!steps)
            nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_MS * KF_MILLISECOND}, NULL);
        else if (kf_loop_step(runtime, until))
            break;
    }
}

int main(int argc, char **argv)
{
    kf_error error = KF_ERROR_INIT;
    struct measure measure;
    struct tally all;
    bool most =
        strcmp(option_text(argc, argv, "--semantics", "at-least-once"), "at-most-once") == 0;
    partition_count = option_number(argc, argv, "--max-partitions", 4096);
    if (partition_count < 1 || partition_count > MAX_PARTITIONS)
        return 2;
    partitions = aligned_alloc(64, (size_t)partition_count * sizeof *partitions);
    if (!partitions)
        return 1;
    memset(partitions, 0, (size_t)partition_count * sizeof *partitions);

    kf_config *config = make_config(argc, argv);
    bool steps = strcmp(kf_config_get(config, "worker.threads"), "0") == 0;
    kf_runtime *runtime = kf_runtime_new(config, &error);
    kf_runtime_handle(runtime, option_text(argc, argv, "--topic", "events"),
                      most ? KF_AT_MOST_ONCE : KF_AT_LEAST_ONCE, count, NULL);
    measure_begin(&measure, option_number(argc, argv, "--records", 10000000));
    if (!kf_runtime_start(runtime, &error)) {
        wait_for_all(runtime, &measure, steps, option_number(argc, argv, "--seconds", 120));
        add_up(&all);
        measure_print(&measure, steps ? "kafiber-loop" : "kafiber", &all);
        kf_runtime_stop(runtime);
        kf_runtime_wait(runtime, &error);
    }
    kf_runtime_close(runtime);
    kf_config_free(config);
    free(partitions);
    return kf_error_print(&error, stderr);
}
