/* events: see events.h. The queue is short and guarded by a mutex: events are rare. */
#include "runtime/events.h"

#include "net/loop/list.h"
#include <pthread.h>
#include <string.h>

enum {
    QUEUE_MAX = 1024, /* log events that wait; more are counted and dropped */
    BATCH = 64,       /* events told in one activation */
};

enum kind {
    LOG,
    REBALANCE,
};

struct event {
    struct event *next;
    enum kind kind;
    kf_log_event log; /* strings lie behind the struct */
    kf_rebalance_fn fn;
    void *context;
    kf_rebalance_event what;
    size_t count;
    struct kf__task *done;
    kf_topic_partition *partitions;
    char strings[];
};

struct kf__events {
    const kf_allocator *alloc;
    struct kf__loop *loop;
    struct kf__sched *sched;
    kf_log_level level;
    kf_log_fn log;
    void *context;
    struct kf__activation activation;
    pthread_mutex_t lock;
    struct event *first;
    struct event *last;
    size_t waiting;
    size_t dropped;
    bool running; /* the activation is ready or runs */
    bool closed;  /* tell on the caller's thread */
};

/* ---- telling ---- */

static void print(const kf_log_event *event)
{
    char line[1024];
    size_t size = kf_log_format(event, line, sizeof line);
    if (size >= sizeof line)
        size = sizeof line - 1;
    line[size] = '\0';
    fprintf(stderr, "%s\n", line);
}

static void tell(struct kf__events *events, struct event *event)
{
    if (event->kind == LOG && events->log)
        events->log(events->context, &event->log);
    else if (event->kind == LOG)
        print(&event->log);
    else
        event->fn(event->context, event->what, event->partitions, event->count);
    struct kf__task *done = event->done;
    kf_free(events->alloc, event->partitions);
    kf_free(events->alloc, event);
    if (done)
        kf__loop_post(events->loop, done);
}

static struct event *take(struct kf__events *events)
{
    pthread_mutex_lock(&events->lock);
    struct event *event = events->first;
    if (event) {
        events->first = event->next;
        events->waiting--;
        if (!events->first)
            events->last = NULL;
    }
    pthread_mutex_unlock(&events->lock);
    return event;
}

static void run(struct kf__activation *activation)
{
    struct kf__events *events = KF__OWNER(activation, struct kf__events, activation);
    struct event *event;
    for (int i = 0; i < BATCH && (event = take(events)); i++)
        tell(events, event);
}

static void ended(struct kf__activation *activation)
{
    struct kf__events *events = KF__OWNER(activation, struct kf__events, activation);
    pthread_mutex_lock(&events->lock);
    bool more = events->first != NULL;
    events->running = more;
    pthread_mutex_unlock(&events->lock);
    if (more)
        kf__sched_ready(events->sched, activation);
}

/* ---- queueing ---- */

static void append(struct kf__events *events, struct event *event)
{
    pthread_mutex_lock(&events->lock);
    if (events->closed) {
        pthread_mutex_unlock(&events->lock);
        tell(events, event);
        return;
    }
    if (events->last)
        events->last->next = event;
    else
        events->first = event;
    events->last = event;
    events->waiting++;
    bool start = !events->running;
    events->running = true;
    pthread_mutex_unlock(&events->lock);
    if (start)
        kf__sched_ready(events->sched, &events->activation);
}

static bool is_full(struct kf__events *events)
{
    pthread_mutex_lock(&events->lock);
    bool full = events->waiting >= QUEUE_MAX;
    events->dropped += full;
    pthread_mutex_unlock(&events->lock);
    return full;
}

static size_t room(const char *text) { return text ? strlen(text) + 1 : 0; }

static const char *keep(char **at, const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *kept = memcpy(*at, text, size);
    *at += size;
    return kept;
}

void kf__events_log(struct kf__events *events, const kf_log_event *log)
{
    if (!events || log->level > events->level || is_full(events))
        return;
    size_t size = room(log->name) + room(log->text) + room(log->group) + room(log->topic);
    struct event *event = kf_alloc_zero(events->alloc, sizeof *event + size);
    if (!event)
        return;
    char *at = event->strings;
    event->kind = LOG;
    event->log = *log;
    event->log.name = keep(&at, log->name);
    event->log.text = keep(&at, log->text);
    event->log.group = keep(&at, log->group);
    event->log.topic = keep(&at, log->topic);
    append(events, event);
}

kf_err kf__events_rebalance(struct kf__events *events, kf_rebalance_fn fn, void *context,
                            kf_rebalance_event what, const kf_topic_partition *partitions,
                            size_t count, struct kf__task *done)
{
    struct event *event = kf_alloc_zero(events->alloc, sizeof *event);
    kf_topic_partition *copy = kf_alloc_array(events->alloc, count, sizeof *copy);
    if (!event || !copy) {
        kf_free(events->alloc, event);
        kf_free(events->alloc, copy);
        return KF_ERR_NO_MEMORY;
    }
    memcpy(copy, partitions, count * sizeof *copy);
    *event = (struct event){.kind = REBALANCE,
                            .fn = fn,
                            .context = context,
                            .what = what,
                            .partitions = copy,
                            .count = count,
                            .done = done};
    append(events, event);
    return KF_OK;
}

/* ---- its life ---- */

kf_err kf__events_open(const kf_allocator *alloc, struct kf__loop *loop, struct kf__sched *sched,
                       kf_log_level level, kf_log_fn log, void *context, struct kf__events **out)
{
    struct kf__events *events = kf_alloc_zero(alloc, sizeof *events);
    if (!events)
        return KF_ERR_NO_MEMORY;
    events->alloc = alloc;
    events->loop = loop;
    events->sched = sched;
    events->level = level ? level : KF_LOG_WARNING;
    events->log = log;
    events->context = context;
    pthread_mutex_init(&events->lock, NULL);
    kf__activation_init(&events->activation, sched, run, ended);
    events->activation.kin = events;
    *out = events;
    return KF_OK;
}

void kf__events_finish(struct kf__events *events)
{
    if (!events)
        return;
    pthread_mutex_lock(&events->lock);
    events->closed = true;
    pthread_mutex_unlock(&events->lock);
    struct event *event;
    while ((event = take(events))) {
        event->done = NULL;
        tell(events, event);
    }
}

void kf__events_close(struct kf__events *events)
{
    if (!events)
        return;
    kf__events_finish(events);
    pthread_mutex_destroy(&events->lock);
    kf_free(events->alloc, events);
}
