/* Our own runtimes against the broker through memory, by a clock that the test moves. */
#include <kafiber/broker.h>
#include <kafiber/kafiber.h>
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HOUR_MS = 3600 * 1000,
    MEMBERS = 2,
    PARTITIONS = 4,
    MOST_MS = 30000, /* of processor time; 0.1 s without sanitizers on a machine at rest */
};

static kf_broker *broker;
static kf_runtime *members[MEMBERS];
static int64_t handled[MEMBERS];
static char journal[64];

static kf_verdict handle(const kf_message *message, void *context)
{
    (void)message;
    ++*(int64_t *)context;
    return KF_HANDLED;
}

static void open_broker(uint64_t seed, int32_t nodes)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {
        .size = sizeof options,
        .virtual_time = true,
        .seed = seed,
        .strict = true,
        .nodes = nodes,
        .journal = *journal ? journal : NULL,
    };
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", PARTITIONS, nodes), KF_OK));
}

static void start_member(int i)
{
    kf_error error = KF_ERROR_INIT;
    kf_config *config = kf_config_new(NULL);
    kf_config_world(config, kf_broker_world(broker));
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    kf_config_set(config, "group.id", "g", &error);
    kf_config_set(config, "client.id", i ? "second" : "first", &error);
    kf_config_set(config, "worker.threads", "0", &error);
    kf_config_log(config, KF_LOG_ERROR, NULL, NULL);
    members[i] = kf_runtime_new(config, &error);
    kf_config_free(config);
    handled[i] = 0;
    kf_runtime_handle(members[i], "orders", KF_AT_LEAST_ONCE, handle, &handled[i]);
    kf_runtime_start(members[i], &error);
    cr_assert(eq(int, error.code, 0), "%s", error.text);
}

static void play(int64_t ms)
{
    cr_assert(eq(int, kf_broker_play(broker, members, MEMBERS, ms), KF_OK));
}

static void produce(int count)
{
    for (int i = 0; i < count; i++)
        cr_assert(eq(int,
                     kf_broker_produce(broker, "orders", i % PARTITIONS, (kf_bytes){0},
                                       (kf_bytes){(const uint8_t *)"v", 1}, -1, NULL),
                     KF_OK));
}

static void stop_members(void)
{
    for (int i = 0; i < MEMBERS; i++)
        kf_runtime_stop(members[i]);
    play(5000);
    for (int i = 0; i < MEMBERS; i++)
        cr_assert(eq(int, kf_runtime_close(members[i]), KF_OK));
}

/* Of this process: how busy the machine is doesn't matter. */
static int64_t cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

TestSuite(broker_virtual_time, .timeout = 60);

/* 60 records a minute, and heartbeats, long polls and commits as in any other hour. */
Test(broker_virtual_time, a_group_of_two_lives_an_hour_in_seconds)
{
    int64_t before = cpu_ms();
    open_broker(7, 1);
    start_member(0);
    start_member(1);
    for (int minute = 0; minute < 60; minute++) {
        produce(60);
        play(HOUR_MS / 60);
    }
    int64_t took = cpu_ms() - before;
    cr_log_info("an hour took %lld ms\n", (long long)took);
    cr_assert(eq(i64, handled[0] + handled[1], 3600));
    cr_assert(lt(i64, 0, handled[0]));
    cr_assert(lt(i64, 0, handled[1]));
    cr_assert(eq(i32, kf_broker_group_members(broker, "g", NULL), 2));
    cr_assert(ge(i64, kf_broker_requests(broker, KF_API_HEARTBEAT), 2 * 1190));
    for (int32_t p = 0; p < PARTITIONS; p++)
        cr_assert(eq(i64, kf_broker_committed(broker, "g", "orders", p), 900));
    stop_members();
    cr_assert(eq(i32, kf_broker_group_members(broker, "g", NULL), 0));
    cr_assert(eq(i64, kf_broker_refusals(broker, NULL), 0));
    kf_broker_stop(broker);
    cr_assert(lt(i64, took, MOST_MS));
}

static char *read_journal(size_t *size)
{
    FILE *file = fopen(journal, "r");
    cr_assert(ne(ptr, file, NULL));
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*size + 1);
    cr_assert(eq(sz, fread(text, 1, *size, file), *size));
    text[*size] = 0;
    fclose(file);
    return text;
}

/* A minute with faults, chances and a node that goes: everything that could be random. */
static char *eventful_minute(uint64_t seed, size_t *size)
{
    kf_error error = KF_ERROR_INIT;
    snprintf(journal, sizeof journal, "/tmp/kafiber-journal-XXXXXX");
    close(mkstemp(journal));
    open_broker(seed, 3);
    kf_err err = kf_broker_script(broker,
                                  "on any 10% close\n"
                                  "on Fetch 20% delay 70ms\n"
                                  "on Heartbeat every 5th answer REBALANCE_IN_PROGRESS\n"
                                  "after 20s stop node 2\n"
                                  "after 40s start node 2\n",
                                  &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    start_member(0);
    start_member(1);
    for (int second = 0; second < 60; second++) {
        produce(8);
        play(1000);
    }
    kf_broker_fault_clear(broker, 0);
    play(30000);
    cr_assert(ge(i64, handled[0] + handled[1], 480));
    for (int32_t p = 0; p < PARTITIONS; p++)
        cr_assert(eq(i64, kf_broker_committed(broker, "g", "orders", p), 120));
    stop_members();
    kf_broker_stop(broker);
    char *text = read_journal(size);
    unlink(journal);
    *journal = 0;
    return text;
}

Test(broker_virtual_time, equal_seeds_give_equal_journals)
{
    size_t first_size, second_size, other_size;
    char *first = eventful_minute(11, &first_size);
    char *second = eventful_minute(11, &second_size);
    char *other = eventful_minute(12, &other_size);
    cr_assert(lt(sz, 100000, first_size));
    cr_assert(eq(sz, first_size, second_size));
    cr_assert(eq(int, memcmp(first, second, first_size), 0));
    cr_assert(first_size != other_size || memcmp(first, other, first_size) != 0);
    free(first);
    free(second);
    free(other);
}

/* Nobody plays: the runtime's own waits let time pass. */
Test(broker_virtual_time, a_runtime_alone_runs_by_its_own_waits)
{
    kf_error error = KF_ERROR_INIT;
    open_broker(3, 1);
    start_member(0);
    produce(40);
    int64_t before = kf_broker_time_ms(broker);
    for (int i = 0; i < 100000 && handled[0] < 40; i++)
        cr_assert(eq(int, kf_loop_step(members[0], KF_FOREVER), KF_OK));
    cr_assert(eq(i64, handled[0], 40));
    cr_assert(lt(i64, kf_broker_time_ms(broker) - before, 10000));
    kf_runtime_stop(members[0]);
    cr_assert(eq(int, kf_runtime_wait(members[0], &error), KF_OK), "%s", error.text);
    cr_assert(eq(int, kf_runtime_close(members[0]), KF_OK));
    for (int32_t p = 0; p < PARTITIONS; p++)
        cr_assert(eq(i64, kf_broker_committed(broker, "g", "orders", p), 10));
    kf_broker_stop(broker);
}

Test(broker_virtual_time, the_clock_moves_only_when_told)
{
    open_broker(1, 1);
    int64_t start = kf_broker_time_ms(broker);
    cr_assert(eq(i64, start, INT64_C(1767225600000)));
    cr_assert(eq(int, kf_broker_step(broker, -1), KF_OK));
    cr_assert(eq(i64, kf_broker_time_ms(broker), start));
    cr_assert(eq(int, kf_broker_advance(broker, 1500), KF_OK));
    cr_assert(eq(i64, kf_broker_time_ms(broker), start + 1500));
    kf_broker_stop(broker);
}

Test(broker_virtual_time, a_thread_and_virtual_time_exclude_each_other)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .virtual_time = true, .thread = true};
    cr_assert(eq(ptr, kf_broker_start(&options, &error), NULL));
    cr_assert(eq(int, error.code, KF_ERR_INVALID_ARGUMENT));
}
