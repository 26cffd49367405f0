/*
 * whole: a member's whole life against the embedded broker, for Valgrind and
 * the sanitizers: joins, is joined by a second member that leaves again, has
 * handlers that fail and that wait, topics of both semantics, a stop by
 * SIGTERM; then once more on the caller's own loop. Ends with everything
 * handled, committed and freed.
 *
 *     life_whole [RECORDS]
 */
#include <kafiber/broker.h>
#include <kafiber/kafiber.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PARTITIONS = 4,
    RECORDS = 2000, /* of each topic */
    PATIENCE_S = 120,
    FAILS_EVERY = 50,
    WAITS_EVERY = 40
};

static kf_broker *broker;
static long records = RECORDS; /* of each topic */
static _Atomic long handled;
static _Atomic long wanted; /* then SIGTERM */
static _Atomic bool by_signal;

static void check(bool fine, const char *what)
{
    if (fine)
        return;
    printf("FAILED: %s\n", what);
    exit(1);
}

static kf_verdict handle(const kf_message *message, void *context)
{
    const bool *may_fail = context;
    if (*may_fail && message->offset % FAILS_EVERY == 7 && message->attempt == 0)
        return kf_fail(message, "offset %lld fails once", (long long)message->offset);
    if (message->offset % WAITS_EVERY == 3)
        kf_sleep(KF_MILLISECOND);
    if (atomic_fetch_add(&handled, 1) + 1 == atomic_load(&wanted) && atomic_load(&by_signal))
        kill(getpid(), SIGTERM);
    return KF_HANDLED;
}

static void on_rebalance(void *context, kf_rebalance_event event,
                         const kf_topic_partition *partitions, size_t count)
{
    _Atomic long *owned = context;
    (void)partitions;
    atomic_fetch_add(owned, event == KF_ASSIGNED ? (long)count : -(long)count);
}

static void hush(void *context, const kf_log_event *event)
{
    (void)context;
    if (event->level == KF_LOG_ERROR)
        printf("%s: %s\n", event->name, event->text);
}

static kf_runtime *open_member(const char *workers, _Atomic long *owned, kf_error *error)
{
    static bool yes = true, no = false;
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), error);
    kf_config_set(config, "group.id", "life", error);
    kf_config_set(config, "handle.signals", "true", error);
    kf_config_set(config, "worker.threads", workers, error);
    kf_config_set(config, "handler.retry.backoff.ms", "10", error);
    kf_config_set(config, "heartbeat.interval.ms", "100", error);
    kf_config_log(config, KF_LOG_INFO, hush, NULL);
    kf_runtime *runtime = kf_runtime_new(config, error);
    kf_config_free(config);
    kf_runtime_handle(runtime, "orders", KF_AT_LEAST_ONCE, handle, &yes);
    kf_runtime_handle(runtime, "metrics", KF_AT_MOST_ONCE, handle, &no);
    kf_runtime_on_rebalance(runtime, on_rebalance, owned);
    return runtime;
}

static void produce(const char *topic)
{
    char value[32];
    for (long i = 0; i < records; i++) {
        int size = snprintf(value, sizeof value, "record %ld", i);
        kf_bytes bytes = {(const uint8_t *)value, (size_t)size};
        check(kf_broker_produce(broker, topic, (int32_t)(i % PARTITIONS), bytes, bytes, -1, NULL) ==
                  KF_OK,
              "produce");
    }
}

static void produce_all(void)
{
    produce("orders");
    produce("metrics");
}

static bool all_is_committed(void)
{
    static const char *const topics[] = {"orders", "metrics"};
    for (size_t t = 0; t < 2; t++)
        for (int32_t p = 0; p < PARTITIONS; p++) {
            int64_t start, end;
            kf_broker_offsets(broker, topics[t], p, &start, &end);
            if (kf_broker_committed(broker, "life", topics[t], p) != end)
                return false;
        }
    return true;
}

static void wait_until(_Atomic long *number, long target, const char *what)
{
    const struct timespec step = {.tv_nsec = 5 * 1000 * 1000};
    for (kf_time end = kf_now() + PATIENCE_S * KF_SECOND; atomic_load(number) != target;) {
        check(kf_now() < end, what);
        nanosleep(&step, NULL);
    }
}

/* ---- on threads of its own, ended by SIGTERM ---- */

static void *produce_beside(void *unused)
{
    (void)unused;
    _Atomic long owned = 0;
    kf_error error = KF_ERROR_INIT;
    produce_all();
    kf_runtime *second = open_member("1", &owned, &error);
    check(kf_runtime_start(second, &error) == KF_OK, "the second member starts");
    wait_until(&owned, PARTITIONS, "the second member owns its half");
    produce_all();
    wait_until(&handled, 4 * records, "both handle all");
    kf_runtime_stop(second);
    check(kf_runtime_wait(second, &error) == KF_OK, "the second member leaves");
    kf_snapshot *snapshot = kf_runtime_snapshot(second);
    kf_snapshot_free(snapshot);
    check(kf_runtime_close(second) == KF_OK, "the second member is closed");
    check(atomic_load(&owned) == 0, "the second member gave up what it owned");
    atomic_store(&by_signal, true);
    atomic_store(&wanted, 6 * records);
    produce_all();
    return NULL;
}

static void run_on_threads(void)
{
    pthread_t thread;
    _Atomic long owned = 0;
    kf_error error = KF_ERROR_INIT;
    kf_runtime *runtime = open_member("2", &owned, &error);
    check(pthread_create(&thread, NULL, produce_beside, NULL) == 0, "a thread");
    check(kf_runtime_run(runtime, &error) == KF_OK, "the run ends well");
    check(kf_runtime_close(runtime) == KF_OK, "it is closed");
    pthread_join(thread, NULL);
    check(atomic_load(&owned) == 0, "it gave up what it owned");
    check(atomic_load(&handled) == 6 * records, "everything is handled once");
    check(all_is_committed(), "everything is committed");
}

/* ---- on the caller's loop ---- */

static void run_on_our_loop(void)
{
    _Atomic long owned = 0;
    kf_error error = KF_ERROR_INIT;
    atomic_store(&handled, 0);
    atomic_store(&by_signal, false);
    produce_all();
    kf_runtime *runtime = open_member("0", &owned, &error);
    check(kf_runtime_start(runtime, &error) == KF_OK, "the loop starts");
    kf_time end = kf_now() + PATIENCE_S * KF_SECOND;
    bool stopped = false;
    while (kf_loop_step(runtime, kf_now() + 10 * KF_MILLISECOND) != KF_ERR_CLOSED) {
        check(kf_now() < end, "the loop ends in time");
        if (!stopped && atomic_load(&handled) == 2 * records) {
            stopped = true;
            kf_runtime_stop(runtime);
        }
    }
    check(kf_runtime_wait(runtime, &error) == KF_OK, "the loop ends well");
    check(kf_runtime_close(runtime) == KF_OK, "the loop is closed");
    check(atomic_load(&handled) == 2 * records, "the loop handled everything once");
    check(all_is_committed(), "the loop committed everything");
}

int main(int argc, char **argv)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .thread = true};
    if (argc > 1)
        records = atol(argv[1]);
    broker = kf_broker_start(&options, &error);
    check(broker != NULL, "the broker starts");
    check(kf_broker_create_topic(broker, "orders", PARTITIONS, 1) == KF_OK, "a topic");
    check(kf_broker_create_topic(broker, "metrics", PARTITIONS, 1) == KF_OK, "another topic");
    run_on_threads();
    run_on_our_loop();
    kf_broker_stop(broker);
    puts("ok");
    return 0;
}
