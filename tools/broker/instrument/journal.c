#include "tools/broker/instrument/journal.h"

#include "proto/bytes/utf8.h"
#include "tools/broker/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <kafiber/dissect.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ---- */

void kf__journal_init(struct kf__journal *journal) { *journal = (struct kf__journal){.fd = -1}; }

kf_err kf__journal_open(struct kf__journal *journal, const char *path, kf_error *error)
{
    struct stat status;
    journal->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (journal->fd < 0)
        return kf_error_set(error, KF_ERR_SYSTEM, "cannot open the journal %s: %s", path,
                            strerror(errno));
    journal->may_signal = fstat(journal->fd, &status) != 0 || !S_ISREG(status.st_mode);
    return KF_OK;
}

void kf__journal_close(struct kf__journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = -1;
}

/* 0 or an errno. */
static int write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, bytes, size);
        if (wrote < 0 && errno != EINTR)
            return errno;
        bytes += wrote > 0 ? wrote : 0;
        size -= wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

/* The thread may be the program's own, which a signal of ours must not end. */
static int write_unsignalled(int fd, const uint8_t *bytes, size_t size)
{
    sigset_t pipe, before, pending;
    int taken;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    int failed = write_all(fd, bytes, size);
    sigpending(&pending);
    if (failed == EPIPE && !was_pending && sigismember(&pending, SIGPIPE))
        sigwait(&pipe, &taken);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

static void lose(struct kf_broker *broker, kf_err err, const char *why)
{
    struct kf__journal *journal = &broker->journal;
    if (journal->lost++ > 0)
        return;
    kf_error_set(&journal->why, err, "the journal %s is incomplete: %s", broker->options.journal,
                 why);
    fprintf(stderr, "kafiber broker: %s\n", journal->why.text);
}

static void write_line(struct kf_broker *broker, const kf_writer *line)
{
    struct kf__journal *journal = &broker->journal;
    if (line->err) {
        lose(broker, KF_ERR_NO_MEMORY, kf_err_text(KF_ERR_NO_MEMORY));
        return;
    }
    int failed = journal->may_signal ? write_unsignalled(journal->fd, line->bytes, line->used)
                                     : write_all(journal->fd, line->bytes, line->used);
    if (!failed)
        return;
    kf__journal_close(journal); /* what follows half a line would be no JSON */
    lose(broker, KF_ERR_SYSTEM, strerror(failed));
}

int64_t kf_broker_journal_lost(kf_broker *broker, kf_error *why)
{
    pthread_mutex_lock(&broker->lock);
    int64_t lost = broker->journal.lost;
    if (lost > 0)
        kf_error_set(why, broker->journal.why.code, "%s", broker->journal.why.text);
    pthread_mutex_unlock(&broker->lock);
    return lost;
}

/* ---- lines ---- */

static void put(kf_writer *line, const char *text) { kf_writer_put(line, text, strlen(text)); }

/* A name may be any bytes: what is no UTF-8 is U+FFFD here, as in the messages. */
static void put_quoted(kf_writer *line, kf_string text)
{
    if (!text.data) {
        put(line, "null");
        return;
    }
    put(line, "\"");
    for (size_t i = 0, step = 0; i < text.size; i += step) {
        const uint8_t *at = (const uint8_t *)text.data + i;
        char escaped[8];
        bool valid;
        step = kf__utf8_step(at, text.size - i, &valid);
        bool plain = valid && *at >= 0x20 && *at != '"' && *at != '\\';
        if (plain)
            kf_writer_put(line, at, step);
        else
            snprintf(escaped, sizeof escaped, "\\u%04x", valid ? *at : 0xFFFDu);
        if (!plain)
            put(line, escaped);
    }
    put(line, "\"");
}

/* In virtual time equal runs write equal lines. */
static void begin(const struct kf_broker *broker, kf_writer *line, int64_t ago_ms)
{
    char text[48];
    kf_writer_init(line, broker->alloc);
    snprintf(text, sizeof text, "{\"time_ms\":%" PRId64, kf__broker_wall_ms(broker) - ago_ms);
    put(line, text);
}

static void end(struct kf_broker *broker, kf_writer *line)
{
    put(line, "}\n");
    write_line(broker, line);
    kf_writer_free(line);
}

/* One that is no longer written still counts what it lacks. */
static bool is_kept(struct kf_broker *broker)
{
    struct kf__journal *journal = &broker->journal;
    if (journal->fd < 0 && journal->lost > 0)
        journal->lost++;
    return journal->fd >= 0;
}

static void put_head(kf_writer *line, const struct kf__exchange *exchange, int64_t took_us)
{
    char text[256];
    size_t size = 0;
    const char *api = kf_api_name(exchange->api->key, &size);
    snprintf(text, sizeof text,
             ",\"took_us\":%" PRId64 ",\"node\":%" PRId32 ",\"connection\":%" PRIu64
             ",\"api\":\"%.*s\",\"version\":%d,\"correlation_id\":%" PRId32 ",\"client_id\":",
             took_us, exchange->node, exchange->connection_id, (int)size, api ? api : "",
             exchange->version, exchange->correlation_id);
    put(line, text);
    put_quoted(line, exchange->client_id);
}

/* Passwords, tokens and keys stay out of files. */
static bool is_secret(int16_t api_key)
{
    return api_key == KF_API_SASL_AUTHENTICATE || api_key == KF_API_ALTER_USER_SCRAM_CREDENTIALS ||
           api_key == KF_API_CREATE_DELEGATION_TOKEN || api_key == KF_API_DESCRIBE_DELEGATION_TOKEN;
}

static void put_body(kf_writer *line, const struct kf__exchange *exchange, const kf_schema *schema,
                     const void *message)
{
    if (is_secret(exchange->api->key))
        put(line, "\"[hidden]\"");
    else
        kf_to_json(schema, exchange->version, message, line);
}

void kf__journal_write(struct kf_broker *broker, const struct kf__exchange *exchange,
                       const char *outcome)
{
    if (!is_kept(broker))
        return;
    kf_time took = kf__broker_now(broker) - exchange->started;
    kf_writer line;
    begin(broker, &line, took / KF_MILLISECOND);
    put_head(&line, exchange, took / KF_MICROSECOND);
    if (exchange->version <= exchange->api->max_version) {
        put(&line, ",\"request\":");
        put_body(&line, exchange, kf_schema_request(exchange->api->key), exchange->request);
    }
    if (outcome) {
        put(&line, ",\"outcome\":");
        put_quoted(&line, kf__text(outcome));
    } else if (exchange->version <= exchange->api->max_version) {
        put(&line, ",\"response\":");
        put_body(&line, exchange, kf_schema_response(exchange->api->key), exchange->response);
    }
    end(broker, &line);
}

static const char *event_name(enum kf__event_kind kind)
{
    static const char *const names[] = {
        [KF__NO_EVENT] = "",
        [KF__STOP_NODE] = "stop node",
        [KF__START_NODE] = "start node",
        [KF__MOVE_LEADER] = "move leader",
        [KF__MOVE_COORDINATOR] = "move coordinator",
        [KF__CREATE_TOPIC] = "create topic",
        [KF__CREATE_PARTITIONS] = "create partitions",
        [KF__DELETE_TOPIC] = "delete topic",
        [KF__DELETE_RECORDS] = "delete records",
        [KF__CLOSE_CONNECTIONS] = "close connections",
        [KF__PAUSE] = "pause",
        [KF__RESUME] = "resume",
        [KF__ELECT_LEADER] = "elect leader",
        [KF__HOLD_REPLICA] = "hold replica",
        [KF__RELEASE_REPLICA] = "release replica",
        [KF__CLEAN] = "clean",
        [KF__EXPIRE_OFFSETS] = "expire offsets",
        [KF__EXPIRE_PRODUCERS] = "expire producers",
    };
    return names[kind];
}

void kf__journal_event(struct kf_broker *broker, const struct kf__event *event, kf_err result)
{
    if (!is_kept(broker))
        return;
    kf_writer line;
    char text[160];
    begin(broker, &line, 0);
    snprintf(text, sizeof text,
             ",\"event\":\"%s\",\"node\":%" PRId32 ",\"partition\":%" PRId32 ",\"number\":%" PRId64
             ",\"result\":\"%s\",\"name\":",
             event_name(event->kind), event->node, event->partition, event->number,
             result ? kf_err_name(result) : "OK");
    put(&line, text);
    put_quoted(&line, event->name);
    end(broker, &line);
}

void kf__journal_refusal(struct kf_broker *broker, int32_t node, uint64_t connection,
                         const char *why)
{
    if (!is_kept(broker))
        return;
    kf_writer line;
    char text[96];
    begin(broker, &line, 0);
    snprintf(text, sizeof text,
             ",\"node\":%" PRId32 ",\"connection\":%" PRIu64 ",\"refused\":", node, connection);
    put(&line, text);
    put_quoted(&line, kf__text(why));
    end(broker, &line);
}
