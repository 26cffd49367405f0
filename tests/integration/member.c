/*
 * member: a group member of ours that keeps a journal, for the scenarios to
 * kill, stop, slow down and look at afterwards.
 *
 *     integration_member BOOTSTRAP GROUP TOPIC JOURNAL [KEY=VALUE]...
 *
 * The journal is appended to, one write for each line, so that it holds what
 * was done even when the process is killed with SIGKILL in the next moment:
 *
 *     MILLISECONDS begin TOPIC PARTITION OFFSET ATTEMPT
 *     MILLISECONDS done  TOPIC PARTITION OFFSET ATTEMPT     or "failed"
 *     MILLISECONDS assigned TOPIC PARTITION                 or "revoked", "lost"
 *     MILLISECONDS end 0                                    what kf_runtime_run returned
 *
 * Keys of its own; all others are settings of the runtime:
 *
 *     semantics=at-most-once   (default at-least-once)
 *     fail=PERCENT    of the offsets fail, at least once twice in a row
 *     sleep=MS        each handler blocks its thread; wait=MS: it suspends its fiber
 *     slow=P:MS       partition P's handler sleeps that long as well
 *     records=N       stops by itself after N records were handled
 */
#include <fcntl.h>
#include <kafiber/kafiber.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FAILURES_IN_A_ROW = 2
};

static struct {
    int journal;
    kf_semantics semantics;
    long fail_percent;
    long sleep_ms;
    long wait_ms;
    long slow_partition;
    long slow_ms;
    long records;
    _Atomic long handled;
    kf_runtime *runtime;
} member = {.semantics = KF_AT_LEAST_ONCE, .slow_partition = -1};

static void write_line(const char *text, int size)
{
    if (size < 0 || write(member.journal, text, (size_t)size) != size)
        _exit(70); /* a journal with holes would prove nothing */
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void note(const char *what, const kf_message *message)
{
    char line[256];
    write_line(line, snprintf(line, sizeof line, "%lld %s %s %d %lld %d\n", now_ms(), what,
                              message->topic, (int)message->partition, (long long)message->offset,
                              (int)message->attempt));
}

static void sleep_thread(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

/* Which offsets fail is the same in every member and every run. */
static bool shall_fail(const kf_message *message)
{
    uint64_t mixed = ((uint64_t)message->offset + 1) * 0x9e3779b97f4a7c15u;
    mixed ^= (uint64_t)message->partition * 0xff51afd7ed558ccdu;
    return (long)((mixed >> 33) % 100) < member.fail_percent &&
           message->attempt < FAILURES_IN_A_ROW;
}

static kf_verdict handle(const kf_message *message, void *context)
{
    (void)context;
    note("begin", message);
    if (member.sleep_ms > 0)
        sleep_thread(member.sleep_ms);
    if (member.wait_ms > 0)
        kf_sleep(member.wait_ms * KF_MILLISECOND);
    if (message->partition == member.slow_partition)
        sleep_thread(member.slow_ms);
    if (shall_fail(message)) {
        note("failed", message);
        return kf_fail(message, "offset %lld fails", (long long)message->offset);
    }
    note("done", message);
    if (member.records > 0 && atomic_fetch_add(&member.handled, 1) + 1 == member.records)
        kf_runtime_stop(member.runtime);
    return KF_HANDLED;
}

static void on_rebalance(void *context, kf_rebalance_event event,
                         const kf_topic_partition *partitions, size_t count)
{
    static const char *const names[] = {
        [KF_ASSIGNED] = "assigned", [KF_REVOKED] = "revoked", [KF_LOST] = "lost"};
    char line[256];
    (void)context;
    for (size_t i = 0; i < count; i++)
        write_line(line, snprintf(line, sizeof line, "%lld %s %s %d\n", now_ms(), names[event],
                                  partitions[i].topic, (int)partitions[i].partition));
}

/* True when the key is one of ours. */
static bool own_key(const char *key, const char *value)
{
    const struct {
        const char *key;
        long *number;
    } numbers[] = {
        {"fail", &member.fail_percent},
        {"sleep", &member.sleep_ms},
        {"wait", &member.wait_ms},
        {"records", &member.records},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(key, numbers[i].key) == 0) {
            *numbers[i].number = atol(value);
            return true;
        }
    }
    if (strcmp(key, "slow") == 0)
        return sscanf(value, "%ld:%ld", &member.slow_partition, &member.slow_ms) == 2;
    if (strcmp(key, "semantics") == 0) {
        bool most = strcmp(value, "at-most-once") == 0;
        member.semantics = most ? KF_AT_MOST_ONCE : KF_AT_LEAST_ONCE;
        return true;
    }
    return false;
}

static void set(kf_config *config, char *pair, kf_error *error)
{
    char *equals = strchr(pair, '=');
    if (!equals) {
        kf_error_set(error, KF_ERR_CONFIG, "%s: no KEY=VALUE", pair);
        return;
    }
    *equals = '\0';
    if (!own_key(pair, equals + 1))
        kf_config_set(config, pair, equals + 1, error);
}

int main(int argc, char **argv)
{
    kf_error error = KF_ERROR_INIT;
    if (argc < 5) {
        fputs("usage: integration_member BOOTSTRAP GROUP TOPIC JOURNAL [KEY=VALUE]...\n", stderr);
        return 2;
    }
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", argv[1], &error);
    kf_config_set(config, "group.id", argv[2], &error);
    kf_config_set(config, "handle.signals", "true", &error);
    for (int i = 5; i < argc; i++)
        set(config, argv[i], &error);
    kf_config_log(config, KF_LOG_INFO, NULL, NULL);
    member.journal = open(argv[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    kf_runtime *runtime = error.code ? NULL : kf_runtime_new(config, &error);
    kf_config_free(config);
    member.runtime = runtime;
    kf_runtime_handle(runtime, argv[3], member.semantics, handle, NULL);
    kf_runtime_on_rebalance(runtime, on_rebalance, NULL);

    kf_err end = kf_runtime_run(runtime, &error);
    char line[64];
    write_line(line, snprintf(line, sizeof line, "%lld end %d\n", now_ms(), (int)end));
    kf_runtime_close(runtime);
    return kf_error_print(&error, stderr);
}
