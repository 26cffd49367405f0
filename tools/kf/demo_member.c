/*
 * demo_member: one member of the group, in a process of its own. Its handler
 * is what a user would write, but for the journal and the failures: some 1 %
 * of the orders fail once or twice, by their offset, and are tried again.
 */
#include "tools/kf/demo.h"

#include <errno.h>
#include <fcntl.h>
#include <kafiber/runtime.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BREATH_ORDERS = 25, /* after so many orders of a partition … */
    BREATH_MS = 10,     /* … its fiber waits, as for a database */
    RETRY_MS = 10,
    RETRY_MAX_MS = 50,
    PATIENCE_SECONDS = 10, /* for a clean end when the demo itself is gone */
};

struct member {
    const struct kf__demo *demo;
    kf_runtime *runtime;
    int journal;
};

/* ---- the handler ---- */

/* The number behind {"order": of the value. */
static int64_t order_of(const kf_message *message)
{
    static const char begin[] = "{\"order\":";
    const char *text = (const char *)message->value.data;
    size_t at = sizeof begin - 1;
    if (message->value.size < at || memcmp(text, begin, at) != 0)
        return -1;
    int64_t order = 0;
    for (; at < message->value.size && text[at] >= '0' && text[at] <= '9'; at++)
        order = order * 10 + (text[at] - '0');
    return order;
}

/* How often the order at this place fails before it succeeds: one in 200 once, one in 200 twice. */
static int32_t failures_at(const kf_message *message)
{
    uint64_t mixed =
        ((uint64_t)message->offset * 31 + (uint64_t)message->partition + 1) * 0x9E3779B97F4A7C15u;
    uint64_t lot = (mixed >> 32) % 200;
    return lot == 0 ? 1 : lot == 1 ? 2 : 0;
}

static bool has_time(const struct kf__demo *demo)
{
    return kf_now() / KF_MILLISECOND - demo->started_ms < KF__DEMO_EASE_SECONDS * 1000;
}

static kf_verdict handle_order(const kf_message *message, void *context)
{
    const struct member *member = context;
    struct kf__demo_entry entry = {KF__DEMO_FAILED, message->partition, message->offset, 0};
    if (message->attempt < failures_at(message)) {
        kf__demo_note(member->journal, &entry);
        return kf_fail(message, "the bank does not answer");
    }
    if (message->offset % BREATH_ORDERS == 0 && has_time(member->demo))
        kf_sleep(BREATH_MS * KF_MILLISECOND);
    entry.event = KF__DEMO_HANDLED;
    entry.order = order_of(message);
    return kf__demo_note(member->journal, &entry) ? KF_HANDLED : KF_FAILED;
}

static void note_rebalance(void *context, kf_rebalance_event event,
                           const kf_topic_partition *partitions, size_t count)
{
    const struct member *member = context;
    struct kf__demo_entry entry = {.event = event == KF_ASSIGNED  ? KF__DEMO_ASSIGNED
                                            : event == KF_REVOKED ? KF__DEMO_REVOKED
                                                                  : KF__DEMO_LOST};
    for (size_t i = 0; i < count; i++) {
        entry.partition = partitions[i].partition;
        kf__demo_note(member->journal, &entry);
    }
}

/* ---- its life ---- */

/* stdin is a pipe that the demo holds: when the demo is gone, so are its members. */
static void *watch_demo(void *context)
{
    const struct member *member = context;
    char byte;
    ssize_t got;
    do
        got = read(STDIN_FILENO, &byte, 1);
    while (got > 0 || (got < 0 && errno == EINTR));
    kf_runtime_stop(member->runtime);
    kf_sleep(PATIENCE_SECONDS * KF_SECOND);
    _exit(KF__EXIT_PARTLY);
}

static kf_err configure(const struct kf__demo *demo, kf_error *error)
{
    const struct {
        const char *key;
        const char *value;
    } settings[] = {
        {"group.id", demo->member_group},  {"session.timeout.ms", "6000"}, /* KF__DEMO_SESSION_MS */
        {"heartbeat.interval.ms", "500"},  {"commit.interval.ms", "200"},
        {"auto.offset.reset", "earliest"}, {"shutdown.timeout.ms", "4000"},
    };
    kf_err err = KF_OK;
    for (size_t i = 0; i < sizeof settings / sizeof *settings && !err; i++)
        err = kf_config_set(demo->command.config, settings[i].key, settings[i].value, error);
    return err;
}

int kf__demo_run_member(struct kf__demo *demo)
{
    kf_error error = KF_ERROR_INIT;
    struct member member = {.demo = demo};
    member.journal = open(demo->journal, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (member.journal < 0) {
        fprintf(stderr, "kf demo: %s: %s\n", demo->journal, strerror(errno));
        return KF__EXIT_PARTLY;
    }
    if (configure(demo, &error))
        return kf__report(&demo->command, &error);
    member.runtime = kf_runtime_new(demo->command.config, &error);
    kf_topic_options options = {
        .size = sizeof options,
        .retry_backoff_ms = RETRY_MS,
        .retry_backoff_max_ms = RETRY_MAX_MS,
    };
    kf_runtime_handle_with(member.runtime, demo->member_topic, KF_AT_LEAST_ONCE, handle_order,
                           &member, &options);
    kf_runtime_on_rebalance(member.runtime, note_rebalance, &member);
    pthread_t watcher;
    if (pthread_create(&watcher, NULL, watch_demo, &member) == 0)
        pthread_detach(watcher);
    kf_runtime_run(member.runtime, &error);
    return error.code ? kf__report(&demo->command, &error) : KF__EXIT_DONE;
}
