/*
 * outbox: the publisher's loop, see kafiber/outbox.h.
 *
 *   claim ──▶ rows by aggregate ──the first of each──▶ kf_produce ──told──▶ the next of it
 *                                                                    └──▶ stored ──mark──▶ released
 *
 * Everything runs on the thread of kf_outbox_run; only the verdict of a
 * record comes from the producer's, which puts the row on a list under the
 * lock. Uses the public producer alone.
 */
#include "runtime/outbox/outbox_rows.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define TAKE_WAIT   KF_SECOND /* for metadata or room: other aggregates wait meanwhile */
#define LOOK_EVERY  (100 * KF_MILLISECOND) /* for a stop that came by a signal */
#define MARK_WITHIN (20 * KF_MILLISECOND)  /* of the acknowledgement, where marks are quick */
#define MARK_SHARE  4                      /* time between two marks, by that of the last */
#define REMEMBER    (60 * KF_SECOND)       /* an aggregate's failures, past its next turn */

struct kf_outbox {
    const kf_allocator *alloc;
    kf_producer *producer;
    kf_outbox_source source;
    kf_outbox_options options;
    char *topic;
    struct kf__outbox_rows rows;
    struct kf__outbox_row *stored; /* acknowledged, not marked */
    struct kf__outbox_row **stored_end;
    size_t stored_count;
    kf_time stored_since;
    bool has_unsent; /* aggregates whose first row has not left */
    bool is_hurried; /* since the last one left */
    uint64_t claims;
    kf_time claim_at;  /* not before */
    kf_time mark_at;   /* not before: after a failure */
    kf_time mark_rest; /* not before, but for many rows: so that rows leave meanwhile */
    int32_t claim_failures;
    int32_t mark_failures;
    kf_error final; /* what no retry cures */
    atomic_bool stopping;
    _Atomic int64_t published;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* on the monotonic clock */
    /* ---- under the lock ---- */
    struct kf__outbox_row *told;
    size_t in_flight;
};

struct kf_outbox_claim {
    struct kf_outbox *outbox;
    size_t room;
    size_t added;
    kf_time now;
    kf_outbox_aggregate *without;
    size_t without_count;
};

static kf_time back_off(const struct kf_outbox *outbox, int32_t failures)
{
    int64_t wait = outbox->options.backoff_ms;
    while (--failures > 0 && wait < outbox->options.backoff_max_ms)
        wait *= 2;
    if (wait > outbox->options.backoff_max_ms)
        wait = outbox->options.backoff_max_ms;
    return kf_now() + wait * KF_MILLISECOND;
}

static void tell_trouble(const struct kf_outbox *outbox, const kf_outbox_row *row,
                         const kf_error *error)
{
    if (outbox->source.trouble)
        outbox->source.trouble(outbox->source.context, row, error);
}

/* ---- claiming ---- */

/* A source may bring more than was asked for: all of an aggregate that it has locked, say. */
size_t kf_outbox_claim_rows(const kf_outbox_claim *claim)
{
    return claim->added < claim->room ? claim->room - claim->added : 0;
}

const kf_outbox_aggregate *kf_outbox_claim_without(const kf_outbox_claim *claim, size_t *count)
{
    *count = claim->without_count;
    return claim->without;
}

kf_err kf_outbox_claim_add(kf_outbox_claim *claim, const kf_outbox_row *row)
{
    struct kf_outbox *outbox = claim->outbox;
    const char *topic = row->topic ? row->topic : outbox->topic;
    if (!topic || !row->aggregate.id.data || (row->header_count && !row->headers))
        return KF_ERR_INVALID_ARGUMENT;
    size_t before = outbox->rows.in_hand;
    kf_err err = kf__outbox_rows_add(&outbox->rows, row, topic, outbox->claims, claim->now);
    claim->added += outbox->rows.in_hand - before; /* none where it was passed over */
    return err;
}

/* What is long past its turn is forgotten on the way. */
static kf_err list_without(struct kf_outbox *outbox, struct kf_outbox_claim *claim)
{
    size_t size = outbox->rows.aggregates * sizeof *claim->without;
    claim->without = kf_alloc(outbox->alloc, size ? size : 1);
    if (!claim->without)
        return KF_ERR_NO_MEMORY;
    struct kf__outbox_aggregate *at = outbox->rows.all;
    while (at) {
        struct kf__outbox_aggregate *next = at->next;
        if (kf__outbox_leaves_out(at, outbox->claims, claim->now))
            claim->without[claim->without_count++] = at->name;
        else if (at->retry_at + REMEMBER < claim->now)
            kf__outbox_rows_forget(&outbox->rows, at);
        at = next;
    }
    return KF_OK;
}

static kf_err claim_rows(struct kf_outbox *outbox, size_t *added, kf_error *error)
{
    outbox->claims++;
    struct kf_outbox_claim claim = {
        .outbox = outbox,
        .room = (size_t)outbox->options.max_rows - outbox->rows.in_hand - outbox->stored_count,
        .now = kf_now(),
    };
    kf_err err = list_without(outbox, &claim);
    if (err)
        kf_error_set(error, err, "no memory to claim rows");
    else
        err = outbox->source.claim(outbox->source.context, &claim, error);
    kf_free(outbox->alloc, claim.without);
    *added = claim.added;
    return err;
}

/* Those whose time has come are the oldest: a claim brings them, or has them forgotten. */
static bool has_room_for_aggregates(const struct kf_outbox *outbox, kf_time now)
{
    size_t most = 2 * (size_t)outbox->options.max_rows;
    size_t left_out = 0;
    if (outbox->rows.aggregates < most)
        return true;
    for (const struct kf__outbox_aggregate *at = outbox->rows.all; at; at = at->next)
        left_out += kf__outbox_leaves_out(at, outbox->claims + 1, now);
    return left_out < most;
}

static bool claim_is_due(const struct kf_outbox *outbox)
{
    size_t held = outbox->rows.in_hand + outbox->stored_count;
    size_t most = (size_t)outbox->options.max_rows;
    kf_time now = kf_now();
    return !atomic_load(&outbox->stopping) && held <= most / 2 && outbox->claim_at <= now &&
           has_room_for_aggregates(outbox, now);
}

static void claim(struct kf_outbox *outbox)
{
    kf_error error = KF_ERROR_INIT;
    size_t added = 0;
    if (claim_rows(outbox, &added, &error)) {
        outbox->claim_at = back_off(outbox, ++outbox->claim_failures);
        tell_trouble(outbox, NULL, &error);
    } else {
        outbox->claim_failures = 0;
        outbox->claim_at = added ? 0 : kf_now() + outbox->options.idle_ms * KF_MILLISECOND;
    }
    outbox->has_unsent |= added > 0;
}

/* ---- sending ---- */

/* On the producer's thread, or inside kf_produce. */
static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct kf__outbox_row *row = context;
    struct kf_outbox *outbox = row->owner;
    pthread_mutex_lock(&outbox->lock);
    row->verdict = delivery->err;
    row->next_told = outbox->told;
    outbox->told = row;
    outbox->in_flight--;
    pthread_cond_signal(&outbox->changed);
    pthread_mutex_unlock(&outbox->lock);
}

static bool is_final(kf_err err)
{
    if (err == KF_ERR_CLOSED || err == KF_ERR_FORKED || err == KF_ERR_STATE)
        return true;
    return kf_err_exit_code(err) == 4 && err != KF_ERR_TOPIC_AUTHORIZATION_FAILED;
}

/* The aggregate waits; its rows are claimed again when its time has come. */
static void fail(struct kf_outbox *outbox, struct kf__outbox_aggregate *aggregate,
                 const kf_error *error)
{
    tell_trouble(outbox, &aggregate->first->row, error);
    if (is_final(error->code) && !outbox->final.code)
        outbox->final = *error;
    kf__outbox_rows_drop(&outbox->rows, aggregate);
    aggregate->retry_at = back_off(outbox, ++aggregate->failures);
    aggregate->state = KF__OUTBOX_OVER;
}

static kf_err produce(struct kf_outbox *outbox, struct kf__outbox_row *row, kf_error *error)
{
    const kf_outbox_row *from = &row->row;
    kf_record record = {
        .topic = from->topic,
        .partition = -1,
        .key = {(const uint8_t *)from->aggregate.id.data, from->aggregate.id.size},
        .value = from->payload,
        .headers = row->headers,
        .header_count = KF__OUTBOX_HEADERS + from->header_count,
        .timestamp = from->timestamp,
    };
    row->owner = outbox;
    pthread_mutex_lock(&outbox->lock);
    outbox->in_flight++;
    pthread_mutex_unlock(&outbox->lock);
    kf_err err =
        kf_produce(outbox->producer, &record, take_verdict, row, kf_now() + TAKE_WAIT, error);
    if (err) {
        pthread_mutex_lock(&outbox->lock);
        outbox->in_flight--;
        pthread_mutex_unlock(&outbox->lock);
    }
    return err;
}

/* A full buffer is no failure: acknowledgements make room. */
static void send_first(struct kf_outbox *outbox, struct kf__outbox_aggregate *aggregate)
{
    kf_error error = KF_ERROR_INIT;
    kf_err err = produce(outbox, aggregate->first, &error);
    if (!err) {
        aggregate->is_sent = true;
        outbox->is_hurried = false;
    } else if (err == KF_ERR_BUFFER_FULL) {
        outbox->has_unsent = true;
    } else {
        fail(outbox, aggregate, &error);
    }
}

static void send_all(struct kf_outbox *outbox)
{
    outbox->has_unsent = false;
    for (struct kf__outbox_aggregate *at = outbox->rows.all; at && !outbox->has_unsent;
         at = at->next)
        if (at->first && !at->is_sent)
            send_first(outbox, at);
}

/* What has been taken leaves without lingering: its successors wait for it. */
static void hurry(struct kf_outbox *outbox)
{
    if (!outbox->is_hurried)
        (void)kf_flush(outbox->producer, 0);
    outbox->is_hurried = true;
}

/* ---- verdicts ---- */

static void store(struct kf_outbox *outbox, struct kf__outbox_row *row)
{
    if (!outbox->stored) {
        outbox->stored_end = &outbox->stored;
        outbox->stored_since = kf_now();
    }
    *outbox->stored_end = row;
    outbox->stored_end = &row->next;
    outbox->stored_count++;
}

static void take_one(struct kf_outbox *outbox, struct kf__outbox_row *row)
{
    struct kf__outbox_aggregate *aggregate = row->aggregate;
    if (row->verdict) {
        kf_error error = KF_ERROR_INIT;
        kf_error_set(&error, row->verdict, "%s", kf_err_text(row->verdict));
        fail(outbox, aggregate, &error);
        return;
    }
    aggregate->failures = 0;
    store(outbox, kf__outbox_rows_take(&outbox->rows, aggregate));
    if (atomic_load(&outbox->stopping))
        kf__outbox_rows_drop(&outbox->rows, aggregate);
    if (aggregate->first)
        send_first(outbox, aggregate);
    else
        aggregate->state = KF__OUTBOX_OVER;
}

static void take_told(struct kf_outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    struct kf__outbox_row *row = outbox->told;
    outbox->told = NULL;
    pthread_mutex_unlock(&outbox->lock);
    while (row) {
        struct kf__outbox_row *next = row->next_told;
        take_one(outbox, row);
        row = next;
    }
}

/* ---- marking and releasing ---- */

static size_t count_in_flight(struct kf_outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    size_t count = outbox->in_flight;
    pthread_mutex_unlock(&outbox->lock);
    return count;
}

static kf_time mark_time(const struct kf_outbox *outbox)
{
    kf_time within = outbox->stored_since + MARK_WITHIN;
    return within > outbox->mark_rest ? within : outbox->mark_rest;
}

static bool mark_is_due(struct kf_outbox *outbox)
{
    kf_time now = kf_now();
    if (!outbox->stored || outbox->mark_at > now)
        return false;
    return outbox->stored_count >= (size_t)outbox->options.max_rows / 2 ||
           mark_time(outbox) <= now || count_in_flight(outbox) == 0;
}

static kf_err mark_rows(struct kf_outbox *outbox, kf_error *error)
{
    const kf_outbox_row **rows = kf_alloc(outbox->alloc, outbox->stored_count * sizeof(void *));
    if (!rows)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory to mark rows");
    size_t count = 0;
    for (struct kf__outbox_row *at = outbox->stored; at; at = at->next)
        rows[count++] = &at->row;
    kf_err err = outbox->source.mark(outbox->source.context, rows, count, error);
    kf_free(outbox->alloc, rows);
    return err;
}

static void mark(struct kf_outbox *outbox)
{
    kf_error error = KF_ERROR_INIT;
    kf_time began = kf_now();
    if (mark_rows(outbox, &error)) {
        outbox->mark_at = back_off(outbox, ++outbox->mark_failures);
        tell_trouble(outbox, NULL, &error);
        return;
    }
    kf_time ended = kf_now();
    outbox->mark_rest = ended + MARK_SHARE * (ended - began);
    outbox->mark_at = 0;
    outbox->mark_failures = 0;
    atomic_fetch_add(&outbox->published, (int64_t)outbox->stored_count);
    while (outbox->stored) {
        struct kf__outbox_row *row = outbox->stored;
        outbox->stored = row->next;
        kf__outbox_row_free(&outbox->rows, row);
    }
    outbox->stored_count = 0;
}

/* Once a look, all that are over: but not while rows of theirs may be unmarked. */
static void release(struct kf_outbox *outbox)
{
    enum {
        AT_ONCE = 64
    };
    kf_outbox_aggregate names[AT_ONCE];
    struct kf__outbox_aggregate *over[AT_ONCE];
    size_t count = 0;
    struct kf__outbox_aggregate *at = outbox->stored ? NULL : outbox->rows.all;
    while (at || count) {
        if (at && at->state == KF__OUTBOX_OVER) {
            names[count] = at->name;
            over[count++] = at;
        }
        at = at ? at->next : NULL;
        if (count == 0 || (at && count < AT_ONCE))
            continue;
        if (outbox->source.release)
            outbox->source.release(outbox->source.context, names, count);
        while (count) {
            struct kf__outbox_aggregate *done = over[--count];
            done->state = KF__OUTBOX_WAITING;
            if (!done->failures)
                kf__outbox_rows_forget(&outbox->rows, done);
        }
    }
}

/* ---- the loop ---- */

static bool wait_until(struct kf_outbox *outbox, kf_time deadline)
{
    struct timespec until = {
        .tv_sec = (time_t)(deadline / KF_SECOND),
        .tv_nsec = (long)(deadline % KF_SECOND),
    };
    return pthread_cond_timedwait(&outbox->changed, &outbox->lock, &until) == 0;
}

static kf_time sooner(kf_time a, kf_time b) { return a < b ? a : b; }

static void rest(struct kf_outbox *outbox)
{
    kf_time now = kf_now();
    kf_time until = now + LOOK_EVERY;
    if (outbox->stored)
        until = sooner(until, outbox->mark_at > now ? outbox->mark_at : mark_time(outbox));
    if (outbox->rows.in_hand == 0 && outbox->claim_at > now)
        until = sooner(until, outbox->claim_at);
    pthread_mutex_lock(&outbox->lock);
    if (!outbox->told)
        (void)wait_until(outbox, until);
    pthread_mutex_unlock(&outbox->lock);
}

static void turn(struct kf_outbox *outbox)
{
    take_told(outbox);
    if (mark_is_due(outbox))
        mark(outbox);
    release(outbox);
    if (claim_is_due(outbox))
        claim(outbox);
    if (outbox->has_unsent)
        send_all(outbox);
    hurry(outbox);
}

/* Rows that have not left are dropped, and those that have are waited for. */
static kf_err drain(struct kf_outbox *outbox)
{
    kf_time deadline = kf_now() + outbox->options.stop_timeout_ms * KF_MILLISECOND;
    for (struct kf__outbox_aggregate *at = outbox->rows.all; at; at = at->next)
        if (at->state == KF__OUTBOX_IN_HAND && !at->is_sent) {
            kf__outbox_rows_drop(&outbox->rows, at);
            at->state = KF__OUTBOX_OVER;
        }
    outbox->has_unsent = false;
    while (outbox->rows.in_hand || outbox->stored) {
        if (kf_now() >= deadline)
            return KF_ERR_TIMED_OUT;
        rest(outbox);
        turn(outbox);
    }
    release(outbox);
    return KF_OK;
}

kf_err kf_outbox_run(kf_outbox *outbox, kf_error *error)
{
    if (!outbox)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "no outbox was given");
    while (!atomic_load(&outbox->stopping) && !outbox->final.code) {
        turn(outbox);
        rest(outbox);
    }
    atomic_store(&outbox->stopping, true);
    kf_err err = drain(outbox);
    if (outbox->final.code)
        return kf_error_set(error, outbox->final.code, "the outbox can't publish: %s",
                            outbox->final.text);
    if (err)
        kf_error_set(error, err, "%zu rows were still under way when the outbox had to stop",
                     outbox->rows.in_hand + outbox->stored_count);
    return err;
}

void kf_outbox_stop(kf_outbox *outbox) { atomic_store(&outbox->stopping, true); }

int64_t kf_outbox_published(const kf_outbox *outbox) { return atomic_load(&outbox->published); }

/* ---- opening and closing ---- */

static void set_default(int32_t *option, int32_t value)
{
    if (*option <= 0)
        *option = value;
}

static kf_err take_options(struct kf_outbox *outbox, const kf_outbox_options *options,
                           kf_error *error)
{
    if (options)
        outbox->options = *options;
    set_default(&outbox->options.max_rows, 1000);
    set_default(&outbox->options.idle_ms, 100);
    set_default(&outbox->options.backoff_ms, 100);
    set_default(&outbox->options.backoff_max_ms, 10000);
    set_default(&outbox->options.stop_timeout_ms, 30000);
    outbox->options.topic = NULL;
    if (!options || !options->topic)
        return KF_OK;
    size_t size = strlen(options->topic) + 1;
    outbox->topic = kf_alloc(outbox->alloc, size);
    if (!outbox->topic)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for an outbox");
    memcpy(outbox->topic, options->topic, size);
    return KF_OK;
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

kf_outbox *kf_outbox_new(kf_producer *producer, const kf_outbox_source *source,
                         const kf_outbox_options *options, kf_error *error)
{
    if (!producer || !source || source->size != sizeof *source || !source->claim || !source->mark) {
        kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                     "an outbox needs a producer, and a source that can claim and mark");
        return NULL;
    }
    if (options && options->size != sizeof *options) {
        kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "kf_outbox_options: size is %zu, not %zu",
                     options->size, sizeof *options);
        return NULL;
    }
    const kf_allocator *alloc =
        options && options->allocator ? options->allocator : &kf_default_allocator;
    struct kf_outbox *outbox = kf_alloc_zero(alloc, sizeof *outbox);
    if (!outbox) {
        kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for an outbox");
        return NULL;
    }
    outbox->alloc = outbox->rows.alloc = alloc;
    outbox->producer = producer;
    outbox->source = *source;
    outbox->is_hurried = true;
    pthread_mutex_init(&outbox->lock, NULL);
    init_condition(&outbox->changed);
    if (!take_options(outbox, options, error))
        return outbox;
    kf_outbox_free(outbox);
    return NULL;
}

void kf_outbox_free(kf_outbox *outbox)
{
    if (!outbox)
        return;
    pthread_mutex_lock(&outbox->lock);
    while (outbox->in_flight)
        pthread_cond_wait(&outbox->changed, &outbox->lock);
    pthread_mutex_unlock(&outbox->lock);
    while (outbox->stored) {
        struct kf__outbox_row *row = outbox->stored;
        outbox->stored = row->next;
        kf__outbox_row_free(&outbox->rows, row);
    }
    kf__outbox_rows_free(&outbox->rows);
    pthread_mutex_destroy(&outbox->lock);
    pthread_cond_destroy(&outbox->changed);
    kf_free(outbox->alloc, outbox->topic);
    kf_free(outbox->alloc, outbox);
}
