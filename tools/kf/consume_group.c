/*
 * consume_group: `kf consume -g`: a member of a group whose handler prints a
 * record, or hands it to a program.
 *
 *   workers: handler ──▶ stdout, flushed; or the partition's program
 *   watcher: signal, count, end, a failed write ──▶ kf_runtime_stop
 *   main:    waits for the runtime's clean end
 */
#include "tools/kf/consume.h"
#include "tools/kf/exec.h"

#include <kafiber/reader.h>
#include <kafiber/runtime.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 50,
    ASK_MS = 250 /* how often the runtime is asked how far it is */
};

/* With -e: where a partition ended at the start. */
struct end {
    const char *topic;
    int32_t partition;
    int64_t offset;
};

struct member {
    struct kf__consume *consume;
    kf_semantics semantics;
    kf_runtime *runtime;
    struct kf__exec *exec; /* NULL: print */
    struct end *ends;
    size_t end_count;
    pthread_mutex_t lock; /* stdout, the line and what follows */
    int64_t handled;
    bool broken;    /* stdout could not be written */
    bool cut_short; /* a program had no time to finish its record */
    atomic_bool ending;
    atomic_bool over; /* the runtime has ended */
    pthread_t watcher;
};

/* ---- records ---- */

static const struct end *end_of(const struct member *member, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < member->end_count; i++)
        if (member->ends[i].partition == partition && strcmp(member->ends[i].topic, topic) == 0)
            return &member->ends[i];
    return NULL;
}

/* Past -n or -e. What is committed already has to be handled all the same: at most once. */
static bool is_unwanted(const struct member *member, const kf_message *message)
{
    if (member->semantics == KF_AT_MOST_ONCE)
        return false;
    if (member->consume->count >= 0 && member->handled >= member->consume->count)
        return true;
    const struct end *end = end_of(member, message->topic, message->partition);
    return end && message->offset >= end->offset;
}

static kf_verdict print(struct member *member, const kf_message *message)
{
    if (!kf__consume_print(member->consume, message) || fflush(stdout)) {
        member->broken = true;
        atomic_store(&member->ending, true);
        kf__finish(&member->consume->command, KF__EXIT_PARTLY);
        kf_runtime_stop(member->runtime);
        return KF_FAILED;
    }
    return KF_HANDLED;
}

static void count_handled(struct member *member)
{
    member->handled++;
    if (member->consume->count >= 0 && member->handled >= member->consume->count) {
        atomic_store(&member->ending, true);
        kf_runtime_stop(member->runtime);
    }
}

static kf_verdict handle_print(const kf_message *message, void *context)
{
    struct member *member = context;
    kf_verdict verdict = KF_FAILED;
    pthread_mutex_lock(&member->lock);
    if (!member->broken && !is_unwanted(member, message))
        verdict = print(member, message);
    if (verdict == KF_HANDLED)
        count_handled(member);
    pthread_mutex_unlock(&member->lock);
    return verdict;
}

/* The lock is not held while the fiber waits: the count may be passed by records under way. */
static kf_verdict handle_exec(const kf_message *message, void *context)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    bool unwanted = is_unwanted(member, message);
    pthread_mutex_unlock(&member->lock);
    if (unwanted)
        return KF_FAILED;
    kf_verdict verdict = kf__exec_handle(member->exec, message);
    pthread_mutex_lock(&member->lock);
    if (verdict == KF_HANDLED)
        count_handled(member);
    else if (kf_cancelled())
        member->cut_short = true;
    pthread_mutex_unlock(&member->lock);
    return verdict;
}

static void rebalanced(void *context, kf_rebalance_event event,
                       const kf_topic_partition *partitions, size_t count)
{
    struct member *member = context;
    if (event == KF_ASSIGNED || !member->exec)
        return;
    for (size_t i = 0; i < count; i++)
        kf__exec_let_go(member->exec, partitions[i].topic, partitions[i].partition);
}

/* ---- the end ---- */

static bool has_come_to_the_end(const struct member *member, const kf_snapshot *snapshot)
{
    if (snapshot->rebalances == 0)
        return false;
    for (size_t i = 0; i < snapshot->partition_count; i++) {
        const kf_partition_snapshot *row = &snapshot->partitions[i];
        const struct end *end = end_of(member, row->topic, row->partition);
        if (end && end->offset > 0 && row->position < end->offset)
            return false;
    }
    return true;
}

static bool is_at_end(const struct member *member)
{
    kf_snapshot *snapshot = kf_runtime_snapshot(member->runtime);
    bool at_end = snapshot && has_come_to_the_end(member, snapshot);
    kf_snapshot_free(snapshot);
    return at_end;
}

static void *watch(void *context)
{
    struct member *member = context;
    for (int64_t ms = 0; !atomic_load(&member->over); ms += LOOK_MS) {
        bool until_end = member->consume->until_end && ms % ASK_MS == 0;
        if (!atomic_load(&member->ending) &&
            (atomic_load(&kf__consume_signal) || (until_end && is_at_end(member)))) {
            atomic_store(&member->ending, true);
            kf_runtime_stop(member->runtime);
        }
        if (member->exec)
            kf__exec_tick(member->exec);
        kf_sleep(LOOK_MS * KF_MILLISECOND);
    }
    return NULL;
}

/* What the end itself brings about is no news. */
static void say(void *context, const kf_log_event *event)
{
    const struct member *member = context;
    const struct kf__command *command = &member->consume->command;
    const struct end *end = event->topic ? end_of(member, event->topic, event->partition) : NULL;
    bool beyond = end && event->offset >= end->offset;
    if (event->error == KF_ERR_HANDLER_FAILED && (beyond || atomic_load(&member->ending)))
        return;
    fprintf(stderr, "kf %s: ", command->verb);
    if (event->topic && event->partition >= 0)
        fprintf(stderr, "topic %s partition %d: ", event->topic, (int)event->partition);
    fprintf(stderr, "%s\n", event->text ? event->text : event->name);
}

/* ---- setting up ---- */

static int add_ends(struct member *member, kf_reader *reader, const char *topic)
{
    const struct kf__command *command = &member->consume->command;
    kf_error error = KF_ERROR_INIT;
    int32_t count = 0;
    if (kf_reader_partitions(reader, topic, kf__command_deadline(command), &count, &error))
        return kf__report(command, &error);
    if (!member->consume->until_end)
        return KF__GO_ON;
    struct end *ends = realloc(member->ends, (member->end_count + (size_t)count) * sizeof *ends);
    if (!ends)
        return KF__EXIT_PARTLY;
    member->ends = ends;
    for (int32_t i = 0; i < count; i++) {
        struct end *end = &ends[member->end_count++];
        int64_t begin;
        *end = (struct end){.topic = topic, .partition = i};
        if (kf_reader_bounds(reader, topic, i, kf__command_deadline(command), &begin, &end->offset,
                             &error))
            return kf__report(command, &error);
        if (begin == end->offset)
            end->offset = 0; /* nothing to read: done before its position is known */
    }
    return KF__GO_ON;
}

/* A topic that isn't there is told at once, and so is a cluster that can't be reached. */
static int look_at_topics(struct member *member)
{
    const struct kf__command *command = &member->consume->command;
    kf_error error = KF_ERROR_INIT;
    kf_reader *reader = kf_reader_new(command->config, &error);
    if (!reader)
        return kf__report(command, &error);
    int code = KF__GO_ON;
    for (size_t i = 0; i < command->arguments.count && code == KF__GO_ON; i++)
        code = add_ends(member, reader, command->arguments.items[i]);
    kf_reader_close(reader);
    return code;
}

static int set(const struct kf__command *command, const char *key, const char *value)
{
    kf_error error = KF_ERROR_INIT;
    if (value && kf_config_set(command->config, key, value, &error))
        return kf__report(command, &error);
    return KF__GO_ON;
}

static int configure(struct member *member)
{
    const struct kf__consume *consume = member->consume;
    const struct kf__command *command = &consume->command;
    const char *semantics = consume->semantics ? consume->semantics : "at-least-once";
    const char *from = consume->from ? consume->from : "start";
    if (strcmp(semantics, "at-least-once") == 0)
        member->semantics = KF_AT_LEAST_ONCE;
    else if (strcmp(semantics, "at-most-once") == 0)
        member->semantics = KF_AT_MOST_ONCE;
    else
        return kf__usage_error(command, "--semantics is at-least-once or at-most-once, not \"%s\"",
                               semantics);
    if (strcmp(from, "start") != 0 && strcmp(from, "end") != 0)
        return kf__usage_error(command, "with -g, -o is start or end, not \"%s\"", from);
    if (consume->exec_window != 1)
        return kf__usage_error(command, "--exec-window: only 1 for now");
    int code = set(command, "group.id", consume->group);
    if (code == KF__GO_ON)
        code = set(command, "group.instance.id", consume->instance_id);
    if (code == KF__GO_ON && consume->from)
        code = set(command, "auto.offset.reset", strcmp(from, "end") == 0 ? "latest" : "earliest");
    kf_config_log(command->config, command->verbose ? KF_LOG_INFO : KF_LOG_WARNING, say, member);
    return code;
}

static int open_runtime(struct member *member)
{
    const struct kf__command *command = &member->consume->command;
    kf_error error = KF_ERROR_INIT;
    member->runtime = kf_runtime_new(command->config, &error);
    if (!member->runtime)
        return kf__report(command, &error);
    /* At most once: what is committed is handled even past -n, so commit no more than need be. */
    kf_topic_options options = {.size = sizeof options,
                                .chunk_max_records = member->consume->count >= 0 ? 1 : 0};
    for (size_t i = 0; i < command->arguments.count; i++)
        kf_runtime_handle_with(member->runtime, command->arguments.items[i], member->semantics,
                               member->exec ? handle_exec : handle_print, member, &options);
    kf_runtime_on_rebalance(member->runtime, rebalanced, member);
    if (kf_runtime_start(member->runtime, &error))
        return kf__report(command, &error);
    return KF__GO_ON;
}

static int run(struct member *member)
{
    const struct kf__command *command = &member->consume->command;
    kf_error error = KF_ERROR_INIT;
    int code = open_runtime(member);
    if (code != KF__GO_ON)
        return code;
    bool watched = pthread_create(&member->watcher, NULL, watch, member) == 0;
    if (!watched)
        kf_runtime_stop(member->runtime);
    code = kf_runtime_wait(member->runtime, &error) ? kf__report(command, &error) : KF__EXIT_DONE;
    atomic_store(&member->over, true);
    if (watched)
        pthread_join(member->watcher, NULL);
    if (kf_runtime_close(member->runtime) == KF_ERR_HANDLER_STUCK) {
        /* Its threads may still use what is here: leave everything as it is. */
        fprintf(stderr, "kf %s: a handler has not returned\n", command->verb);
        _Exit(KF__EXIT_NO_BROKER);
    }
    member->runtime = NULL;
    int number = atomic_load(&kf__consume_signal);
    if (code == KF__EXIT_DONE && member->cut_short && number)
        return KF__EXIT_SIGNAL + number;
    return member->broken || !watched ? KF__EXIT_PARTLY : code;
}

int kf__consume_group(struct kf__consume *consume)
{
    struct member member = {.consume = consume};
    pthread_mutex_init(&member.lock, NULL);
    int code = configure(&member);
    if (code == KF__GO_ON)
        code = look_at_topics(&member);
    if (code == KF__GO_ON && consume->exec) {
        int64_t patience = 0;
        kf__read_number(kf_config_get(consume->command.config, "shutdown.timeout.ms"), &patience);
        member.exec = kf__exec_new(consume->exec, consume->group, patience * KF_MILLISECOND);
        if (!member.exec)
            code = KF__EXIT_PARTLY;
    }
    if (code == KF__GO_ON)
        code = run(&member);
    kf_runtime_close(member.runtime);
    kf__exec_free(member.exec);
    free(member.ends);
    pthread_mutex_destroy(&member.lock);
    return code;
}
