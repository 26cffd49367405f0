/*
 * produce: writes records by kafiber's public API, in turn to all partitions,
 * and counts what is acknowledged.
 *
 *     bench_produce --bootstrap 127.0.0.1:24100 --topic events --partitions 1000
 *                   --records 5000000 --size 100 -X batch.size=1000000
 *
 * With `--memory 1` it says, too, what the producer had allocated at most: that
 * is to stay within buffer.memory and a tenth more, also where brokers are slow.
 */
#include "tools/bench/common/measure.h"
#include "tools/bench/common/values.h"

#include <kafiber/kafiber.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LOOK_EVERY = 1024
};

static _Atomic int64_t acknowledged;

/* ---- what it allocates ---- */

static struct {
    _Atomic int64_t now;
    _Atomic int64_t peak;
} memory; /* bytes */

enum {
    SIZE_ROOM = 16 /* before each block: its size, and the alignment kept */
};

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    char *block = pointer ? (char *)pointer - SIZE_ROOM : NULL;
    int64_t had = block ? *(int64_t *)(void *)block : 0;
    if (!size) {
        free(block);
        atomic_fetch_sub(&memory.now, had);
        return NULL;
    }
    block = realloc(block, size + SIZE_ROOM);
    if (!block)
        return NULL;
    *(int64_t *)(void *)block = (int64_t)size;
    int64_t now = atomic_fetch_add(&memory.now, (int64_t)size - had) + (int64_t)size - had;
    if (now > atomic_load_explicit(&memory.peak, memory_order_relaxed))
        atomic_store(&memory.peak, now);
    return block + SIZE_ROOM;
}

/* ---- producing ---- */

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_produce: %s\n", what);
    exit(1);
}

static void count(void *context, const kf_delivery *delivery)
{
    (void)context;
    if (delivery->err)
        die(kf_err_text(delivery->err));
    int64_t now = atomic_load_explicit(&acknowledged, memory_order_relaxed);
    atomic_store_explicit(&acknowledged, now + 1, memory_order_relaxed);
}

static kf_producer *open_producer(int argc, char **argv)
{
    kf_error error = KF_ERROR_INIT;
    static const kf_allocator counting = {resize, NULL};
    bool counts = option_number(argc, argv, "--memory", 0) != 0;
    kf_config *config = kf_config_new(counts ? &counting : NULL);
    kf_config_set(config, "bootstrap.servers",
                  option_text(argc, argv, "--bootstrap", "127.0.0.1:24100"), &error);
    for (int i = 1; i + 1 < argc; i++) { /* -X name=value, as often as wanted */
        char *equals = strcmp(argv[i], "-X") == 0 ? strchr(argv[i + 1], '=') : NULL;
        if (!equals)
            continue;
        *equals = 0;
        kf_config_set(config, argv[i + 1], equals + 1, &error);
    }
    kf_producer *producer = error.code ? NULL : kf_producer_new(config, &error);
    if (!producer)
        die(error.text);
    kf_config_free(config);
    return producer;
}

int main(int argc, char **argv)
{
    int64_t records = option_number(argc, argv, "--records", 5000000);
    int32_t partitions = (int32_t)option_number(argc, argv, "--partitions", 1);
    size_t size = (size_t)option_number(argc, argv, "--size", 100);
    uint8_t *values = values_new(size);
    kf_producer *producer = open_producer(argc, argv);
    const char *topic = kf_producer_topic(producer, option_text(argc, argv, "--topic", "events"));
    kf_error error = KF_ERROR_INIT;
    struct measure measure;
    struct tally tally = {0};
    kf_time deadline = 0;
    int32_t partition = 0;
    measure_begin(&measure, records);
    for (int64_t i = 0; i < records; i++) {
        if (i % LOOK_EVERY == 0)
            deadline = kf_now() + 30 * KF_SECOND;
        const uint8_t *value = values + (size_t)(i % VALUES) * size;
        kf_record record = {.topic = topic, .partition = partition, .value = {value, size}};
        partition = partition + 1 == partitions ? 0 : partition + 1;
        if (kf_produce(producer, &record, count, NULL, deadline, &error))
            die(error.text);
        tally_add(&tally, value, size);
        if (i % LOOK_EVERY == 0)
            measure_at(&measure, atomic_load(&acknowledged));
    }
    if (kf_flush(producer, kf_now() + 60 * KF_SECOND) || atomic_load(&acknowledged) != records)
        die("not all was acknowledged");
    measure_at(&measure, records);
    measure_print(&measure, "kafiber", &tally);
    if (option_number(argc, argv, "--memory", 0))
        printf("allocated at most: %lld KiB\n", (long long)atomic_load(&memory.peak) / 1024);
    kf_producer_close(producer, 0);
    free(values);
    return 0;
}
