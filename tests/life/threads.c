/*
 * threads: a whole member and the embedded broker with many threads at
 * work at once, for the thread sanitizer and Valgrind. Some records fail,
 * other threads pause, resume and take snapshots, connections break, and the
 * stop comes in the middle of it. Says what it counted; ends with 1 where a
 * record was lost or handled twice.
 *
 *     life_threads [RECORDS-A-PARTITION]
 */
#include <kafiber/broker.h>
#include <kafiber/kafiber.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTITIONS = 4,
    MOST_RECORDS = 10000,
    KEPT = 16,
};

static struct {
    kf_broker *broker;
    kf_runtime *runtime;
    int records; /* of each partition */
    atomic_int times[2][PARTITIONS][MOST_RECORDS];
    atomic_int handled;
    atomic_bool over;
    pthread_mutex_t lock; /* guards the kept messages */
    kf_message kept[KEPT];
    int kept_count;
} run = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void keep(const kf_message *message)
{
    pthread_mutex_lock(&run.lock);
    if (run.kept_count < KEPT)
        kf_message_retain(message, &run.kept[run.kept_count++]);
    pthread_mutex_unlock(&run.lock);
}

static kf_verdict handle(const kf_message *message, void *context)
{
    int topic = *(const int *)context;
    if (topic == 0 && message->offset % 97 == 13 && message->attempt == 0)
        return kf_fail(message, "offset %lld fails", (long long)message->offset);
    if (message->offset % 50 == 0)
        kf_sleep(KF_MILLISECOND);
    if (message->offset % 101 == 0)
        keep(message);
    atomic_fetch_add(&run.times[topic][message->partition][message->offset], 1);
    atomic_fetch_add(&run.handled, 1);
    return KF_HANDLED;
}

static void on_rebalance(void *context, kf_rebalance_event event,
                         const kf_topic_partition *partitions, size_t count)
{
    (void)event;
    (void)partitions;
    *(size_t *)context += count;
}

static void on_log(void *context, const kf_log_event *event)
{
    *(size_t *)context += strlen(event->text) > 0;
}

/* ---- those who interfere ---- */

static void *look(void *argument)
{
    (void)argument;
    while (!atomic_load(&run.over)) {
        kf_snapshot *snapshot = kf_runtime_snapshot(run.runtime);
        kf_snapshot_free(snapshot);
        kf_sleep(2 * KF_MILLISECOND);
    }
    return NULL;
}

static void *pause_and_resume(void *argument)
{
    (void)argument;
    for (int32_t i = 0; !atomic_load(&run.over); i++) {
        kf_pause(run.runtime, i % 2 ? "a" : "b", i % PARTITIONS);
        kf_sleep(3 * KF_MILLISECOND);
        kf_resume(run.runtime, i % 2 ? "a" : "b", i % PARTITIONS);
    }
    return NULL;
}

static void *produce(void *argument)
{
    (void)argument;
    kf_bytes value = {(const uint8_t *)"value", 5};
    for (int i = 0; i < run.records; i++) {
        for (int32_t p = 0; p < PARTITIONS; p++) {
            kf_broker_produce(run.broker, "a", p, (kf_bytes){NULL, 0}, value, -1, NULL);
            kf_broker_produce(run.broker, "b", p, (kf_bytes){NULL, 0}, value, -1, NULL);
        }
        if (i % 100 == 99) {
            kf_broker_close_connections(run.broker);
            kf_sleep(10 * KF_MILLISECOND);
        }
    }
    return NULL;
}

/* ---- one run ---- */

static kf_config *settings(size_t *logged)
{
    static const char *const pairs[][2] = {
        {"group.id", "g"},
        {"worker.threads", "3"},
        {"heartbeat.interval.ms", "50"},
        {"fetch.max.wait.ms", "20"},
        {"retry.backoff.ms", "5"},
        {"reconnect.backoff.ms", "5"},
        {"handler.retry.backoff.ms", "2"},
        {"commit.interval.ms", "20"},
        {"fetch.max.bytes", "100000"},
    };
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(run.broker), NULL);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        kf_config_set(config, pairs[i][0], pairs[i][1], NULL);
    kf_config_log(config, KF_LOG_INFO, on_log, logged);
    return config;
}

static int count_wrong(void)
{
    int wrong = 0;
    for (int topic = 0; topic < 2; topic++)
        for (int p = 0; p < PARTITIONS; p++)
            for (int i = 0; i < run.records; i++)
                wrong += atomic_load(&run.times[topic][p][i]) != 1;
    return wrong;
}

static void release_kept(void)
{
    for (int i = 0; i < run.kept_count; i++) {
        if (strlen(run.kept[i].topic) != 1 || run.kept[i].value.size != 5)
            abort();
        kf_message_release(&run.kept[i]);
    }
}

int main(int argc, char **argv)
{
    static int a = 0;
    static int b = 1;
    size_t logged = 0;
    size_t told = 0;
    run.records = argc > 1 ? atoi(argv[1]) : 500;
    if (run.records > MOST_RECORDS)
        return 64;
    kf_broker_options options = {.size = sizeof options, .thread = true};
    run.broker = kf_broker_start(&options, NULL);
    kf_broker_create_topic(run.broker, "a", PARTITIONS, 1);
    kf_broker_create_topic(run.broker, "b", PARTITIONS, 1);

    kf_error error = KF_ERROR_INIT;
    kf_config *config = settings(&logged);
    run.runtime = kf_runtime_new(config, &error);
    kf_runtime_handle(run.runtime, "a", KF_AT_LEAST_ONCE, handle, &a);
    kf_runtime_handle(run.runtime, "b", KF_AT_MOST_ONCE, handle, &b);
    kf_runtime_on_rebalance(run.runtime, on_rebalance, &told);
    kf_runtime_start(run.runtime, &error);

    static void *(*const work[])(void *) = {look, look, pause_and_resume, produce};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work[i], NULL);
    kf_time end = kf_now() + 120 * KF_SECOND;
    while (atomic_load(&run.handled) < 2 * PARTITIONS * run.records && kf_now() < end)
        kf_sleep(5 * KF_MILLISECOND);
    kf_runtime_stop(run.runtime);
    kf_runtime_wait(run.runtime, &error);
    atomic_store(&run.over, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    kf_err closed = kf_runtime_close(run.runtime);
    kf_config_free(config);
    release_kept();
    kf_broker_stop(run.broker);
    int wrong = count_wrong();
    printf("%d records handled, %d not exactly once, %zu partitions told, %zu events, %s\n",
           atomic_load(&run.handled), wrong, told, logged, kf_err_name(error.code));
    return wrong || closed || error.code;
}
