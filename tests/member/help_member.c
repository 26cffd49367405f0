#include "help_member.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- what the member tells ---- */

static void log_event(void *context, const kf_log_event *event)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    if (member->event_count < EVENTS_MAX) {
        struct event *kept = &member->events[member->event_count++];
        snprintf(kept->name, sizeof kept->name, "%s", event->name);
        kept->partition = event->partition;
        kept->offset = event->offset;
        kept->error = event->error;
    }
    pthread_mutex_unlock(&member->lock);
    if (getenv("KAFIBER_TEST_LOG"))
        fprintf(stderr, "%s %s[%d]@%lld: %s\n", event->name, event->topic ? event->topic : "",
                (int)event->partition, (long long)event->offset, event->text ? event->text : "");
}

static void on_rebalance(void *context, kf_rebalance_event event,
                         const kf_topic_partition *partitions, size_t count)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    for (size_t i = 0; i < count; i++) {
        int32_t partition = partitions[i].partition;
        if (partition < PARTITIONS_MAX)
            member->given_up_at[partition] = event == KF_ASSIGNED ? SIZE_MAX : member->count;
    }
    *(event == KF_ASSIGNED  ? &member->assigned
      : event == KF_REVOKED ? &member->revoked
                            : &member->lost) += count;
    pthread_mutex_unlock(&member->lock);
}

static void sleep_thread(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&left, &left))
        continue;
}

static kf_verdict handle(const kf_message *message, void *context)
{
    struct member *member = context;
    struct entry entry = {.partition = message->partition,
                          .offset = message->offset,
                          .attempt = message->attempt,
                          .committed = -2};
    snprintf(entry.topic, sizeof entry.topic, "%s", message->topic);
    snprintf(entry.value, sizeof entry.value, "%.*s", (int)message->value.size,
             (const char *)message->value.data);
    if (atomic_load(&member->ask_committed))
        entry.committed = member_committed(member, message->topic, message->partition);
    int ms = atomic_load(&member->sleep_ms);
    if (ms > 0)
        sleep_thread(ms);
    while (atomic_load(&member->stuck_on_partition) == message->partition &&
           !atomic_load(&member->let_go)) {
        atomic_store(&member->is_stuck, true);
        sleep_thread(2);
    }
    kf_verdict (*decide)(struct member *, const kf_message *) = atomic_load(&member->decide);
    entry.verdict = decide ? decide(member, message) : KF_HANDLED;

    pthread_mutex_lock(&member->lock);
    if (entry.partition < PARTITIONS_MAX && member->given_up_at[entry.partition] != SIZE_MAX)
        member->handled_after++;
    if (member->count < ENTRIES_MAX)
        member->entries[member->count++] = entry;
    member->handled += entry.verdict == KF_HANDLED;
    pthread_mutex_unlock(&member->lock);
    return entry.verdict;
}

/* ---- its life ---- */

static void prepare(struct member *member)
{
    memset(member, 0, sizeof *member);
    atomic_init(&member->stuck_on_partition, -1);
    pthread_mutex_init(&member->lock, NULL);
    member->entries = calloc(ENTRIES_MAX, sizeof *member->entries);
    cr_assert(member->entries);
}

void member_broker(struct member *member, const kf_broker_options *options)
{
    prepare(member);
    kf_broker_options mine = {.size = sizeof mine};
    if (options)
        mine = *options;
    mine.size = sizeof mine;
    mine.thread = true;
    member->broker = kf_broker_start(&mine, &member->error);
    member->owns_broker = true;
    cr_assert(member->broker, "%s", member->error.text);
}

void member_join(struct member *member, const struct member *first)
{
    prepare(member);
    member->broker = first->broker;
}

static void set(struct member *member, const char *pair)
{
    char key[128];
    const char *equals = strchr(pair, '=');
    snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
    kf_config_set(member->config, key, equals + 1, &member->error);
    cr_assert(member->error.code == 0, "%s", member->error.text);
}

void member_open(struct member *member, ...)
{
    static const char *const quick[] = {
        "group.id=g",
        "heartbeat.interval.ms=50",
        "fetch.max.wait.ms=50",
        "retry.backoff.ms=10",
        "retry.backoff.max.ms=100",
        "reconnect.backoff.ms=10",
        "reconnect.backoff.max.ms=100",
        "handler.retry.backoff.ms=5",
        "handler.retry.backoff.max.ms=50",
        "commit.interval.ms=100",
        "shutdown.timeout.ms=5000",
        "worker.threads=2",
    };
    member->config = kf_config_new(NULL);
    kf_config_set(member->config, "bootstrap.servers", kf_broker_bootstrap(member->broker),
                  &member->error);
    for (size_t i = 0; i < sizeof quick / sizeof *quick; i++)
        set(member, quick[i]);
    va_list pairs;
    va_start(pairs, member);
    const char *pair;
    while ((pair = va_arg(pairs, const char *)))
        set(member, pair);
    va_end(pairs);
    kf_config_log(member->config, KF_LOG_DEBUG, log_event, member);
    member->runtime = kf_runtime_new(member->config, &member->error);
    cr_assert(member->runtime, "%s", member->error.text);
    kf_runtime_on_rebalance(member->runtime, on_rebalance, member);
    member->is_open = true;
}

void member_handle(struct member *member, const char *topic, kf_semantics semantics)
{
    kf_runtime_handle(member->runtime, topic, semantics, handle, member);
}

void member_handle_with(struct member *member, const char *topic, kf_semantics semantics,
                        const kf_topic_options *options)
{
    kf_runtime_handle_with(member->runtime, topic, semantics, handle, member, options);
}

void member_start(struct member *member)
{
    kf_runtime_start(member->runtime, &member->error);
    cr_assert(member->error.code == 0, "%s", member->error.text);
}

kf_err member_stop(struct member *member)
{
    if (!member->is_open)
        return KF_OK;
    kf_runtime_stop(member->runtime);
    kf_err err = kf_runtime_wait(member->runtime, &member->error);
    kf_err closed = kf_runtime_close(member->runtime);
    kf_config_free(member->config);
    member->is_open = false;
    return err ? err : closed;
}

void member_close(struct member *member)
{
    member_stop(member);
    if (member->owns_broker)
        kf_broker_stop(member->broker);
    pthread_mutex_destroy(&member->lock);
    free(member->entries);
}

/* ---- scenery ---- */

void produce(struct member *member, const char *topic, int32_t partition, int count)
{
    char value[16];
    int64_t start = 0;
    int64_t end = 0;
    kf_broker_offsets(member->broker, topic, partition, &start, &end);
    for (int i = 0; i < count; i++) {
        int size = snprintf(value, sizeof value, "%lld", (long long)end + i);
        kf_err err = kf_broker_produce(member->broker, topic, partition, (kf_bytes){NULL, 0},
                                       (kf_bytes){(uint8_t *)value, (size_t)size}, -1, NULL);
        cr_assert(err == 0, "produce: %s", kf_err_name(err));
    }
}

int32_t add_fault(struct member *member, kf_broker_fault fault)
{
    fault.size = sizeof fault;
    int32_t id = kf_broker_fault_add(member->broker, &fault);
    cr_assert(id > 0);
    return id;
}

/* ---- looking ---- */

size_t member_count(struct member *member)
{
    pthread_mutex_lock(&member->lock);
    size_t count = member->count;
    pthread_mutex_unlock(&member->lock);
    return count;
}

size_t member_handled(struct member *member)
{
    pthread_mutex_lock(&member->lock);
    size_t handled = member->handled;
    pthread_mutex_unlock(&member->lock);
    return handled;
}

size_t member_events(struct member *member, const char *name)
{
    size_t count = 0;
    pthread_mutex_lock(&member->lock);
    for (size_t i = 0; i < member->event_count; i++)
        count += strcmp(member->events[i].name, name) == 0;
    pthread_mutex_unlock(&member->lock);
    return count;
}

bool member_has_event(struct member *member, const char *name)
{
    return member_events(member, name) > 0;
}

size_t member_assigned(struct member *member)
{
    pthread_mutex_lock(&member->lock);
    size_t count = member->assigned;
    pthread_mutex_unlock(&member->lock);
    return count;
}

int64_t member_committed(struct member *member, const char *topic, int32_t partition)
{
    return kf_broker_committed(member->broker, "g", topic, partition);
}

int member_times(struct member *member, const char *topic, int32_t partition, int64_t offset)
{
    int times = 0;
    pthread_mutex_lock(&member->lock);
    for (size_t i = 0; i < member->count; i++) {
        const struct entry *entry = &member->entries[i];
        times += entry->verdict == KF_HANDLED && entry->partition == partition &&
                 entry->offset == offset && strcmp(entry->topic, topic) == 0;
    }
    pthread_mutex_unlock(&member->lock);
    return times;
}

struct span span_of(struct member *member, const char *topic, int32_t partition, int64_t end)
{
    struct span span = {0};
    for (int64_t offset = 0; offset < end; offset++) {
        int times = member_times(member, topic, partition, offset);
        span.missing += times == 0;
        span.repeated += times > 1;
    }
    return span;
}
