/*
 * producer: writes keyed records, keeps every verdict, and afterwards reads
 * the topic and holds the two against each other:
 *
 *     integration_producer BOOTSTRAP TOPIC RECORDS [KEY=VALUE]...
 *
 *     stored       stands at its offset, and nowhere else
 *     not stored   stands nowhere
 *     unknown      stands once, or nowhere
 *     each partition's records stand in the order in which they were produced
 *
 * Prints one line of figures, and what is wrong; exits 1 where anything is.
 * Keys of its own; all others are settings of the producer:
 *
 *     rate=N       records a second; 0: as fast as they are taken
 *     keys=N       different keys
 *     value=BYTES  of a value
 *     bootstrap=…  where to read (not through a proxy, for instance)
 *     sequence=N   partitions begin there, not at 0, but for that of the first record
 */
#include "runtime/producer/producer_inside.h"

#include <kafiber/kafiber.h>
#include <kafiber/producer.h>
#include <kafiber/reader.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_VALUE = 65536,
    SHOWN = 10, /* complaints */
    UNTOLD = 9,
};

static struct {
    const char *bootstrap;
    const char *read_from;
    const char *topic;
    long count, rate, keys, value, sequence;
    kf_config *config;
    struct verdict {
        int64_t offset;
        int32_t partition;
        unsigned char fate;
        unsigned char seen;
    } *verdicts;
    _Atomic long told[3];
    atomic_int last_err;
    long wrong;
} run = {.keys = 5000, .value = 100};

static void complain(const char *what, long number, int32_t partition, int64_t offset)
{
    if (run.wrong++ < SHOWN)
        printf("record %ld in %d at %lld: %s\n", number, (int)partition, (long long)offset, what);
}

static void check(kf_err err, const kf_error *error)
{
    if (!err)
        return;
    fprintf(stderr, "%s\n", error->text);
    exit(2);
}

/* ---- producing ---- */

static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct verdict *verdict = context;
    if (verdict->fate != UNTOLD)
        complain("told twice", verdict - run.verdicts, delivery->partition, delivery->offset);
    verdict->fate = (unsigned char)delivery->fate;
    verdict->partition = delivery->partition;
    verdict->offset = delivery->offset;
    atomic_fetch_add(&run.told[delivery->fate], 1);
    if (delivery->err)
        atomic_store(&run.last_err, delivery->err);
}

static void keep_rate(kf_time began, long number)
{
    if (!run.rate)
        return;
    kf_time due = began + number * (KF_SECOND / run.rate);
    kf_time now = kf_now();
    if (due > now + 5 * KF_MILLISECOND)
        kf_sleep(due - now);
}

/* A broker that has never heard of a producer takes any sequence for its first. */
struct shift {
    struct kf__ask ask;
    kf_producer *producer;
};

static void shift_sequences(struct kf__ask *ask)
{
    kf_producer *producer = KF__OWNER(ask, struct shift, ask)->producer;
    struct kf__out_topic *topic = kf__producer_topic(producer, run.topic);
    struct kf__out_partitions *partitions = atomic_load(&topic->partitions);
    for (int32_t i = 0; i < partitions->count; i++) {
        struct kf__out_partition *partition = partitions->items[i];
        if (partition->id.producer_id >= 0)
            continue;
        partition->id = producer->id;
        partition->next_sequence = (int32_t)run.sequence;
        partition->last_acked = (int32_t)run.sequence - 1;
    }
    kf__ask_over(ask, KF_OK);
}

/* Once the producer has its id, and nothing is under way. */
static void begin_at_sequence(kf_producer *producer)
{
    kf_error error = KF_ERROR_INIT;
    struct shift shift = {.ask = {.begin = shift_sequences}, .producer = producer};
    if (kf_flush(producer, kf_now() + 60 * KF_SECOND))
        kf_error_set(&error, KF_ERR_TIMED_OUT, "the first record was not acknowledged");
    check(error.code, &error);
    check(kf__io_ask(&producer->io, &shift.ask), &error);
}

static void produce_all(kf_producer *producer)
{
    static char value[MAX_VALUE];
    memset(value, '.', sizeof value);
    kf_error error = KF_ERROR_INIT;
    kf_time began = kf_now();
    for (long i = 0; i < run.count; i++) {
        char key[32];
        int key_size = snprintf(key, sizeof key, "key-%ld", i * 7919 % run.keys);
        int size = snprintf(value, sizeof value, "%ld", i);
        value[size] = ' ';
        run.verdicts[i].fate = UNTOLD;
        kf_record record = {
            .topic = run.topic,
            .partition = -1,
            .key = {(const uint8_t *)key, (size_t)key_size},
            .value = {(const uint8_t *)value,
                      (size_t)(size + 1 > run.value ? size + 1 : (int)run.value)},
        };
        kf_time until = kf_now() + 300 * KF_SECOND;
        check(kf_produce(producer, &record, take_verdict, &run.verdicts[i], until, &error), &error);
        value[size] = '.';
        if (i == 0 && run.sequence)
            begin_at_sequence(producer);
        keep_rate(began, i);
    }
}

/* ---- reading ---- */

static void take_record(const kf_message *message, long *last)
{
    char digits[24] = {0};
    size_t size = message->value.size < sizeof digits - 1 ? message->value.size : sizeof digits - 1;
    memcpy(digits, message->value.data, size);
    long number = strtol(digits, NULL, 10);
    struct verdict *verdict = &run.verdicts[number];
    if (verdict->seen++)
        complain("stands more than once", number, message->partition, message->offset);
    if (verdict->fate == KF_NOT_STORED)
        complain("was told not stored", number, message->partition, message->offset);
    if (verdict->fate == KF_STORED && verdict->offset >= 0 &&
        (verdict->offset != message->offset || verdict->partition != message->partition))
        complain("was told another place", number, message->partition, message->offset);
    if (number <= last[message->partition])
        complain("is out of order", number, message->partition, message->offset);
    last[message->partition] = number;
}

/* The last broker to be killed may not be back yet. */
static void find_bounds(kf_reader *reader, int32_t partition, kf_time deadline, int64_t *begin,
                        int64_t *end)
{
    kf_error error = KF_ERROR_INIT;
    while (kf_reader_bounds(reader, run.topic, partition, kf_now() + 5 * KF_SECOND, begin, end,
                            &error)) {
        if (kf_now() > deadline)
            check(error.code, &error);
        error = (kf_error)KF_ERROR_INIT;
        kf_sleep(200 * KF_MILLISECOND);
    }
}

static void read_all(kf_reader *reader)
{
    kf_error error = KF_ERROR_INIT;
    int32_t count;
    kf_time deadline = kf_now() + 120 * KF_SECOND;
    check(kf_reader_partitions(reader, run.topic, deadline, &count, &error), &error);
    long *last = calloc((size_t)count, sizeof *last);
    long long left = 0;
    for (int32_t i = 0; i < count; i++) {
        int64_t begin, end;
        last[i] = -1;
        find_bounds(reader, i, deadline, &begin, &end);
        check(kf_reader_assign(reader, run.topic, i, KF_SEEK_EARLIEST, 0, &error), &error);
        left += end - begin;
    }
    for (; left > 0; left--) {
        kf_message message;
        check(kf_reader_read(reader, deadline, &message, &error), &error);
        take_record(&message, last);
    }
    free(last);
}

static void look_for_missing(void)
{
    for (long i = 0; i < run.count; i++) {
        const struct verdict *verdict = &run.verdicts[i];
        if (verdict->fate == UNTOLD)
            complain("was never told", i, -1, -1);
        if (verdict->fate == KF_STORED && !verdict->seen)
            complain("was told stored and is not there", i, verdict->partition, verdict->offset);
    }
}

/* ---- main ---- */

static bool take_own(const char *key, const char *value)
{
    if (strcmp(key, "rate") == 0)
        run.rate = atol(value);
    else if (strcmp(key, "keys") == 0)
        run.keys = atol(value);
    else if (strcmp(key, "value") == 0)
        run.value = atol(value) < MAX_VALUE ? atol(value) : MAX_VALUE;
    else if (strcmp(key, "sequence") == 0)
        run.sequence = atol(value);
    else if (strcmp(key, "bootstrap") == 0)
        run.read_from = value;
    else
        return false;
    return true;
}

static void take_arguments(int count, char **arguments)
{
    kf_error error = KF_ERROR_INIT;
    if (count < 4) {
        fprintf(stderr, "integration_producer BOOTSTRAP TOPIC RECORDS [KEY=VALUE]...\n");
        exit(2);
    }
    run.bootstrap = run.read_from = arguments[1];
    run.topic = arguments[2];
    run.count = atol(arguments[3]);
    run.config = kf_config_new(NULL);
    kf_config_set(run.config, "bootstrap.servers", run.bootstrap, &error);
    for (int i = 4; i < count; i++) {
        char *equals = strchr(arguments[i], '=');
        if (!equals)
            exit(2);
        *equals = 0;
        if (!take_own(arguments[i], equals + 1))
            kf_config_set(run.config, arguments[i], equals + 1, &error);
    }
    check(error.code, &error);
}

int main(int count, char **arguments)
{
    kf_error error = KF_ERROR_INIT;
    take_arguments(count, arguments);
    run.verdicts = calloc((size_t)run.count, sizeof *run.verdicts);
    kf_producer *producer = kf_producer_new(run.config, &error);
    check(producer ? KF_OK : error.code, &error);
    kf_time began = kf_now();
    produce_all(producer);
    kf_err closed = kf_producer_close(producer, kf_now() + 300 * KF_SECOND);
    kf_time took = kf_now() - began;

    kf_config_set(run.config, "bootstrap.servers", run.read_from, &error);
    kf_reader *reader = kf_reader_new(run.config, &error);
    check(reader ? KF_OK : error.code, &error);
    read_all(reader);
    look_for_missing();
    kf_reader_close(reader);
    printf("%ld stored, %ld not stored, %ld unknown in %lld ms; close: %d; last error: %d; wrong: "
           "%ld\n",
           atomic_load(&run.told[KF_STORED]), atomic_load(&run.told[KF_NOT_STORED]),
           atomic_load(&run.told[KF_FATE_UNKNOWN]), (long long)(took / KF_MILLISECOND), (int)closed,
           atomic_load(&run.last_err), run.wrong);
    kf_config_free(run.config);
    free(run.verdicts);
    return run.wrong || closed ? 1 : 0;
}
