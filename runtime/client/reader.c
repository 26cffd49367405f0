/*
 * reader: partitions without a group; see kafiber/reader.h.
 *
 *      I/O thread                           │      the reader's thread
 *   ────────────────────────────────────────┼────────────────────────────────────────
 *   fetching ──arrived──▶ queue ────────────┼──▶ open, walk, one record a call
 *   want ◀── buffered ◀── task ─────────────┼─── a batch is read to its end
 *   out of range, no retry cures ──failure──┼──▶ told again and again until assigned anew
 *
 * A reader is a client with partitions: where something is asked for by name
 * (bounds, partitions) it calls itself. Partitions take turns, a batch each.
 */
#include "net/loop/thread.h"
#include "proto/compress/compress.h"
#include "runtime/client/client.h"
#include "runtime/fetch/credit.h"
#include "runtime/fetch/fetch.h"
#include "runtime/fetch/held.h"

#include <kafiber/messages.h>
#include <kafiber/reader.h>
#include <string.h>

enum {
    BOUNDS_SECONDS = 2 /* to find out the range for a sentence about an offset outside it */
};

/* One partition being read. */
struct reading {
    kf_reader *reader;
    struct reading *next; /* changes while the reader's thread waits in kf__io_ask only */
    const char *topic;    /* the cluster's; NUL-terminated */
    int32_t number;

    /* ---- the I/O thread's ---- */
    struct kf__fetching fetching;
    struct kf__task hungry; /* there is room again */
    int64_t tail;           /* how many records before the end; 0: from an offset or a time */
    bool tail_asked;        /* the end was asked for to count back from it */

    /* ---- guarded by the reader's lock ---- */
    struct kf_batch *first;
    struct kf_batch *last;
    int64_t buffered; /* bytes queued */
    kf_err failure;
    int64_t failure_offset;
    kf_err trouble; /* being retried */
    int64_t position;
};

struct kf_reader {
    kf_client client; /* first: a reader is one */
    struct kf__credit *credit;
    struct kf__fetcher *fetcher;
    struct kf__task credit_returned;
    struct kf__codecs codecs; /* the reader's thread's */
    struct reading *readings;

    pthread_mutex_t lock;
    pthread_cond_t arrived; /* a batch, or a failure */

    /* ---- the reader's thread's ---- */
    struct reading *turn;       /* who is looked at first */
    struct reading *reading;    /* whose batch is being read */
    struct kf_batch *batch;     /* read now; the last message lies in it */
    struct kf__records records; /* where the walk stands */
};

static struct kf__io *io_of(kf_reader *reader) { return &reader->client.io; }

/* ---- what the fetcher tells, on the I/O thread ---- */

static void update_want(struct reading *reading)
{
    kf_reader *reader = reading->reader;
    pthread_mutex_lock(&reader->lock);
    bool hungry =
        !reading->failure && reading->buffered < io_of(reader)->settings.max_partition_fetch_bytes;
    pthread_mutex_unlock(&reader->lock);
    kf__fetching_want(&reading->fetching, hungry);
}

static void run_hungry(struct kf__task *task)
{
    update_want(KF__OWNER(task, struct reading, hungry));
}

static void positioned(struct kf__fetching *fetching, int64_t offset)
{
    struct reading *reading = fetching->context;
    kf_reader *reader = reading->reader;
    if (reading->tail_asked) {
        reading->tail_asked = false;
        offset = offset > reading->tail ? offset - reading->tail : 0;
        kf__fetching_seek(fetching, KF__START_AT, offset, -1);
    }
    pthread_mutex_lock(&reader->lock);
    reading->position = offset;
    pthread_mutex_unlock(&reader->lock);
}

static void arrived(struct kf__fetching *fetching, struct kf_batch *batch)
{
    struct reading *reading = fetching->context;
    kf_reader *reader = reading->reader;
    pthread_mutex_lock(&reader->lock);
    bool wanted = !reading->failure; /* nothing is read behind what can't be read */
    if (wanted) {
        if (reading->last)
            reading->last->next = batch;
        else
            reading->first = batch;
        reading->last = batch;
        reading->buffered += (int64_t)kf__held_size(batch);
        reading->trouble = KF_OK;
    }
    pthread_mutex_unlock(&reader->lock);
    if (!wanted)
        kf__held_release(batch);
}

static void settled(struct kf__fetching *fetching)
{
    struct reading *reading = fetching->context;
    kf_reader *reader = reading->reader;
    reading->tail = 0; /* from here on an offset that is gone is told */
    update_want(reading);
    pthread_mutex_lock(&reader->lock);
    reading->trouble = KF_OK;
    if (reading->first)
        pthread_cond_signal(&reader->arrived);
    pthread_mutex_unlock(&reader->lock);
}

static void fail(struct reading *reading, kf_err err, int64_t offset)
{
    kf_reader *reader = reading->reader;
    pthread_mutex_lock(&reader->lock);
    reading->failure = err;
    reading->failure_offset = offset;
    pthread_cond_signal(&reader->arrived);
    pthread_mutex_unlock(&reader->lock);
    kf__fetching_want(&reading->fetching, false);
}

static void out_of_range(struct kf__fetching *fetching, kf_err err, int64_t offset)
{
    struct reading *reading = fetching->context;
    /* Fewer records than asked for are left: then from the first. */
    if (reading->tail > 0 && err == KF_ERR_OFFSET_OUT_OF_RANGE) {
        reading->tail = 0;
        kf__fetching_seek(fetching, KF__START_EARLIEST, 0, -1);
        return;
    }
    fail(reading, err, offset);
}

static void troubled(struct kf__fetching *fetching, kf_err err)
{
    struct reading *reading = fetching->context;
    kf_reader *reader = reading->reader;
    if (!kf_err_retriable(err) && err) {
        fail(reading, err, fetching->offset);
        return;
    }
    pthread_mutex_lock(&reader->lock);
    reading->trouble = err;
    pthread_mutex_unlock(&reader->lock);
}

static const struct kf__fetching_owner owner = {
    .positioned = positioned,
    .arrived = arrived,
    .settled = settled,
    .out_of_range = out_of_range,
    .troubled = troubled,
};

static void metadata(void *context, bool changed)
{
    kf_reader *reader = context;
    if (changed)
        kf__fetcher_metadata(reader->fetcher);
}

static void fatal(void *context)
{
    kf_reader *reader = context;
    kf_err err = io_of(reader)->fatal_error.code;
    for (struct reading *reading = reader->readings; reading; reading = reading->next)
        fail(reading, err, -1);
}

static void run_credit_returned(struct kf__task *task)
{
    kf_reader *reader = KF__OWNER(task, kf_reader, credit_returned);
    kf__fetcher_pump(reader->fetcher);
}

/* ---- assigning: a question to the I/O thread ---- */

struct assignment {
    struct kf__ask ask;
    kf_reader *reader;
    const char *topic;
    int32_t partition;
    kf_seek seek;
    int64_t value;
};

static struct reading *find(kf_reader *reader, const char *topic, int32_t partition)
{
    for (struct reading *reading = reader->readings; reading; reading = reading->next)
        if (reading->number == partition && strcmp(reading->topic, topic) == 0)
            return reading;
    return NULL;
}

/* Under the lock; what it returns is for release_all, outside of it. */
static struct kf_batch *cut_queue(struct reading *reading)
{
    struct kf_batch *batch = reading->first;
    reading->first = reading->last = NULL;
    reading->buffered = 0;
    return batch;
}

static void release_all(struct kf_batch *batch)
{
    while (batch) {
        struct kf_batch *next = batch->next;
        kf__held_release(batch);
        batch = next;
    }
}

static void drop_queue(struct reading *reading)
{
    pthread_mutex_lock(&reading->reader->lock);
    struct kf_batch *batch = cut_queue(reading);
    reading->failure = KF_OK;
    reading->trouble = KF_OK;
    reading->position = -1;
    pthread_mutex_unlock(&reading->reader->lock);
    release_all(batch);
}

static kf_err open_reading(struct assignment *wish, struct reading **opened)
{
    kf_reader *reader = wish->reader;
    struct kf__io *io = io_of(reader);
    struct reading *reading = kf_alloc_zero(io->alloc, sizeof *reading);
    if (!reading)
        return KF_ERR_NO_MEMORY;
    int32_t index = -1;
    kf_err err = kf__cluster_add_topic(io->cluster, wish->topic, &index);
    if (!err) {
        reading->reader = reader;
        reading->topic = kf__cluster_topic(io->cluster, index)->name;
        reading->number = wish->partition;
        reading->position = -1;
        reading->hungry.run = run_hungry;
        err = kf__fetching_open(&reading->fetching, reader->fetcher, index, wish->partition, &owner,
                                reading);
    }
    if (err) {
        if (index >= 0)
            kf__cluster_remove_topic(io->cluster, index);
        kf_free(io->alloc, reading);
        return err;
    }
    reading->next = reader->readings;
    reader->readings = reading;
    *opened = reading;
    return KF_OK;
}

static void seek(struct reading *reading, kf_seek how, int64_t value)
{
    struct kf__fetching *fetching = &reading->fetching;
    reading->tail = how == KF_SEEK_LATEST ? value : 0;
    reading->tail_asked = reading->tail > 0;
    switch (how) {
    case KF_SEEK_OFFSET:
        kf__fetching_seek(fetching, KF__START_AT, value, -1);
        pthread_mutex_lock(&reading->reader->lock);
        reading->position = value;
        pthread_mutex_unlock(&reading->reader->lock);
        break;
    case KF_SEEK_EARLIEST:
        kf__fetching_seek(fetching, KF__START_EARLIEST, 0, -1);
        break;
    case KF_SEEK_LATEST:
        kf__fetching_seek(fetching, KF__START_LATEST, 0, -1);
        break;
    case KF_SEEK_TIME:
        kf__fetching_seek(fetching, KF__START_TIME, value, -1);
        break;
    }
}

static void assign(struct kf__ask *ask)
{
    struct assignment *wish = KF__OWNER(ask, struct assignment, ask);
    struct reading *reading = find(wish->reader, wish->topic, wish->partition);
    kf_err err = reading ? KF_OK : open_reading(wish, &reading);
    if (!err) {
        drop_queue(reading);
        kf__fetching_want(&reading->fetching, true);
        seek(reading, wish->seek, wish->value);
    }
    kf__ask_over(ask, err);
}

static void close_reading(kf_reader *reader, struct reading *reading)
{
    struct reading **at = &reader->readings;
    while (*at != reading)
        at = &(*at)->next;
    *at = reading->next;
    kf__cluster_remove_topic(io_of(reader)->cluster, reading->fetching.topic);
    kf__fetching_close(&reading->fetching);
    drop_queue(reading);
    kf_free(io_of(reader)->alloc, reading);
}

static void unassign(struct kf__ask *ask)
{
    struct assignment *wish = KF__OWNER(ask, struct assignment, ask);
    struct reading *reading = find(wish->reader, wish->topic, wish->partition);
    if (!reading) {
        kf__ask_over(ask, KF_ERR_STATE);
        return;
    }
    /* Tasks run in the order in which one thread posts them: `hungry` has had its run. */
    close_reading(wish->reader, reading);
    kf__ask_over(ask, KF_OK);
}

/* The batch at hand is done with, or no longer wanted. */
static void let_go(kf_reader *reader)
{
    kf__held_release(reader->batch);
    reader->batch = NULL;
    reader->reading = NULL;
}

static kf_err check_assignment(const char *topic, int32_t partition, kf_seek how, int64_t value,
                               kf_error *error)
{
    if (!topic || !*topic)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "a topic needs a name");
    if (partition < 0 || partition > KF__FETCH_MOST_PARTITIONS)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "there is no partition %d",
                            (int)partition);
    if ((unsigned)how > KF_SEEK_TIME)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "%d is no kf_seek", (int)how);
    bool counts = how == KF_SEEK_OFFSET || how == KF_SEEK_LATEST || how == KF_SEEK_TIME;
    if (counts && value < 0)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "%lld is no place to read topic %s partition %d from", (long long)value,
                            topic, (int)partition);
    return KF_OK;
}

static kf_err explain(kf_reader *reader, kf_err err, kf_error *error)
{
    const kf_error *why = &io_of(reader)->fatal_error;
    return kf_error_set(err ? error : NULL, err, "%s",
                        err == why->code ? why->text : kf_err_text(err));
}

kf_err kf_reader_assign(kf_reader *reader, const char *topic, int32_t partition, kf_seek how,
                        int64_t value, kf_error *error)
{
    if (!reader)
        return error && error->code ? error->code : KF_ERR_STATE;
    kf_err err = check_assignment(topic, partition, how, value, error);
    if (err)
        return err;
    if (reader->reading && reader->reading == find(reader, topic, partition))
        let_go(reader);
    struct assignment wish = {.ask.begin = assign,
                              .reader = reader,
                              .topic = topic,
                              .partition = partition,
                              .seek = how,
                              .value = value};
    return explain(reader, kf__io_ask(io_of(reader), &wish.ask), error);
}

kf_err kf_reader_unassign(kf_reader *reader, const char *topic, int32_t partition)
{
    if (!reader || !topic)
        return KF_ERR_STATE;
    struct reading *reading = find(reader, topic, partition);
    if (reader->reading == reading)
        let_go(reader);
    if (reader->turn == reading)
        reader->turn = NULL;
    struct assignment wish = {
        .ask.begin = unassign, .reader = reader, .topic = topic, .partition = partition};
    return kf__io_ask(io_of(reader), &wish.ask);
}

/* ---- reading ---- */

static void set_position(struct reading *reading, int64_t offset)
{
    pthread_mutex_lock(&reading->reader->lock);
    reading->position = offset;
    pthread_mutex_unlock(&reading->reader->lock);
}

/* The next after whoever had its turn, with something to tell; under the lock. */
static struct reading *whose_turn(kf_reader *reader)
{
    struct reading *start = reader->turn ? reader->turn->next : NULL;
    for (struct reading *reading = start; reading; reading = reading->next)
        if (reading->first || reading->failure)
            return reading;
    for (struct reading *reading = reader->readings; reading; reading = reading->next)
        if (reading->first || reading->failure)
            return reading;
    return NULL;
}

/* A partition that can't be read on. */
struct failure {
    struct reading *reading; /* NULL: none */
    kf_err err;
    int64_t offset;
};

/* Takes the next batch off a queue; KF_ERR_TIMED_OUT; or a partition's failure. */
static kf_err take_batch(kf_reader *reader, kf_time deadline, struct failure *failure)
{
    *failure = (struct failure){NULL, KF_OK, -1};
    kf_err err = KF_OK;
    struct reading *reading;
    pthread_mutex_lock(&reader->lock);
    while (!(reading = whose_turn(reader)) && !err)
        if (!kf__condition_wait(&reader->arrived, &reader->lock, deadline))
            err = kf_now() >= deadline && !whose_turn(reader) ? KF_ERR_TIMED_OUT : KF_OK;
    if (reading && reading->first) {
        struct kf_batch *batch = reading->first;
        reading->first = batch->next;
        if (!reading->first)
            reading->last = NULL;
        reading->buffered -= (int64_t)kf__held_size(batch);
        reader->batch = batch;
        reader->reading = reader->turn = reading;
        err = KF_OK;
    } else if (reading) {
        *failure = (struct failure){reading, reading->failure, reading->failure_offset};
        err = reading->failure;
    }
    pthread_mutex_unlock(&reader->lock);
    if (!err)
        kf__loop_post(io_of(reader)->loop, &reading->hungry);
    return err;
}

static kf_err open_batch(kf_reader *reader)
{
    const struct kf__settings *settings = &io_of(reader)->settings;
    kf__held_started(reader->batch);
    kf_err err = kf__held_open(reader->batch, &reader->codecs, settings->check_crcs,
                               (size_t)settings->decompressed_batch_max_bytes);
    if (!err)
        reader->records = reader->batch->records;
    return err;
}

/* *more false: the batch has no more records for us. */
static kf_err next_record(kf_reader *reader, struct kf__record *record, bool *more)
{
    for (;;) {
        kf_err err = kf__records_next(&reader->records, record, more);
        if (err || !*more || record->offset >= reader->reading->position)
            return err;
    }
}

static void fill(kf_reader *reader, const struct kf__record *record, kf_message *message)
{
    *message = (kf_message){
        .topic = reader->reading->topic,
        .partition = reader->reading->number,
        .leader_epoch = reader->batch->header.leader_epoch,
        .offset = record->offset,
        .timestamp = record->timestamp,
        .timestamp_type = reader->batch->header.timestamp_type,
        .key = record->key,
        .value = record->value,
        .header_count = record->header_count,
        .headers = record->headers,
        .batch = reader->batch,
    };
}

static kf_err broken(kf_reader *reader, kf_err err, kf_error *error)
{
    struct reading *reading = reader->reading;
    kf_error_set(error, err, "topic %s partition %d, the batch at offsets %lld to %lld: %s",
                 reading->topic, (int)reading->number, (long long)reader->batch->header.base_offset,
                 (long long)reader->batch->header.last_offset, kf_err_text(err));
    /* What follows is not handed out: it would be read as if nothing were missing. */
    pthread_mutex_lock(&reader->lock);
    struct kf_batch *rest = cut_queue(reading);
    reading->failure = err;
    reading->failure_offset = reading->position;
    pthread_mutex_unlock(&reader->lock);
    release_all(rest);
    kf__loop_post(io_of(reader)->loop, &reading->hungry);
    let_go(reader);
    return err;
}

static kf_err explain_range(kf_reader *reader, const struct failure *failure, kf_error *error)
{
    const struct reading *reading = failure->reading;
    int64_t begin = 0, end = 0;
    kf_err err = kf_reader_bounds(reader, reading->topic, reading->number,
                                  kf_now() + BOUNDS_SECONDS * KF_SECOND, &begin, &end, NULL);
    if (err)
        return kf_error_set(error, failure->err, "topic %s partition %d has no offset %lld",
                            reading->topic, (int)reading->number, (long long)failure->offset);
    return kf_error_set(error, failure->err,
                        "topic %s partition %d has no offset %lld: its first is %lld, its end %lld",
                        reading->topic, (int)reading->number, (long long)failure->offset,
                        (long long)begin, (long long)end);
}

static kf_err explain_failure(kf_reader *reader, const struct failure *failure, kf_error *error)
{
    if (failure->err == KF_ERR_OFFSET_OUT_OF_RANGE)
        return explain_range(reader, failure, error);
    if (failure->err == io_of(reader)->fatal_error.code)
        return explain(reader, failure->err, error);
    return kf_error_set(error, failure->err, "topic %s partition %d at offset %lld: %s",
                        failure->reading->topic, (int)failure->reading->number,
                        (long long)failure->offset, kf_err_text(failure->err));
}

static kf_err explain_timeout(kf_reader *reader, kf_error *error)
{
    kf_err err = KF_ERR_TIMED_OUT;
    pthread_mutex_lock(&reader->lock);
    const struct reading *reading = reader->readings;
    while (reading && !reading->trouble)
        reading = reading->next;
    if (reading)
        kf_error_set(error, err, "topic %s partition %d can't be read at the moment: %s",
                     reading->topic, (int)reading->number, kf_err_text(reading->trouble));
    else
        kf_error_set(error, err, "no record came in time");
    pthread_mutex_unlock(&reader->lock);
    return err;
}

/* One step: a record (KF_OK, *found), or nothing to hand out yet. */
static kf_err step(kf_reader *reader, kf_time deadline, kf_message *message, bool *found,
                   kf_error *error)
{
    struct failure failure;
    *found = false;
    if (!reader->batch) {
        kf_err err = take_batch(reader, deadline, &failure);
        if (err)
            return failure.reading ? explain_failure(reader, &failure, error)
                                   : explain_timeout(reader, error);
        if (!reader->batch->skip)
            err = open_batch(reader);
        if (err)
            return broken(reader, err, error);
    }
    bool more = false;
    struct kf__record record;
    kf_err err = reader->batch->skip ? KF_OK : next_record(reader, &record, &more);
    if (err)
        return broken(reader, err, error);
    if (more) {
        fill(reader, &record, message);
        set_position(reader->reading, record.offset + 1);
        *found = true;
    } else {
        int64_t next = reader->batch->header.last_offset + 1;
        if (next > reader->reading->position)
            set_position(reader->reading, next);
        let_go(reader);
    }
    return KF_OK;
}

kf_err kf_reader_read(kf_reader *reader, kf_time deadline, kf_message *message, kf_error *error)
{
    if (!reader)
        return error && error->code ? error->code : KF_ERR_STATE;
    for (;;) {
        bool found;
        kf_err err = step(reader, deadline, message, &found, error);
        if (err || found)
            return err;
    }
}

int64_t kf_reader_position(kf_reader *reader, const char *topic, int32_t partition)
{
    struct reading *reading = reader && topic ? find(reader, topic, partition) : NULL;
    if (!reading)
        return -1;
    pthread_mutex_lock(&reader->lock);
    int64_t position = reading->position;
    pthread_mutex_unlock(&reader->lock);
    return position;
}

/* ---- questions about partitions ---- */

kf_err kf_reader_partitions(kf_reader *reader, const char *topic, kf_time deadline, int32_t *count,
                            kf_error *error)
{
    return kf_client_partitions(reader ? &reader->client : NULL, topic, deadline, count, error);
}

enum {
    EARLIEST = -2,
    LATEST = -1
};

static kf_err ask_offset(kf_reader *reader, const char *topic, int32_t partition, int64_t when,
                         kf_time deadline, int64_t *offset, kf_error *error)
{
    int32_t node;
    kf_err err = kf_client_leader(&reader->client, topic, partition, deadline, &node, error);
    if (err)
        return err;
    struct kf_list_offsets_request request;
    kf_reset(&kf_schema_of_list_offsets_request, &request);
    struct kf_list_offsets_request_list_offsets_partition row = {.partition_index = partition,
                                                                 .current_leader_epoch = -1,
                                                                 .timestamp = when,
                                                                 .max_num_offsets = 1};
    struct kf_list_offsets_request_list_offsets_topic of = {.name = {topic, strlen(topic)},
                                                            .partitions = {&row, 1}};
    request.replica_id = -1;
    request.isolation_level = io_of(reader)->settings.isolation_level == KF__READ_COMMITTED;
    request.topics.items = &of;
    request.topics.count = 1;
    kf_response response = {0};
    err = kf_call(&reader->client, node, &kf_schema_of_list_offsets_request, -1, &request, deadline,
                  &response, error);
    if (err)
        return err;
    const struct kf_list_offsets_response *answer = response.message;
    bool there = answer->topics.count == 1 && answer->topics.items[0].partitions.count == 1;
    err = there ? answer->topics.items[0].partitions.items[0].error_code : KF_ERR_NOT_KAFKA;
    if (!err)
        *offset = answer->topics.items[0].partitions.items[0].offset;
    kf_response_free(&response);
    return kf_error_set(err ? error : NULL, err, "the offsets of topic %s partition %d: %s", topic,
                        (int)partition, kf_err_text(err));
}

/* A leader may have moved between the two questions, or be about to. */
static kf_err list_offset(kf_reader *reader, const char *topic, int32_t partition, int64_t when,
                          kf_time deadline, int64_t *offset, kf_error *error)
{
    struct kf__tries tries = {.deadline = deadline};
    kf_err err;
    do {
        err = ask_offset(reader, topic, partition, when, deadline, offset, &tries.why);
    } while (err && kf_err_retriable(err) && err != KF_ERR_TIMED_OUT &&
             err != KF_ERR_UNKNOWN_TOPIC_OR_PARTITION && kf__tries_again(&tries));
    return kf__tries_end(&tries, err, error);
}

kf_err kf_reader_bounds(kf_reader *reader, const char *topic, int32_t partition, kf_time deadline,
                        int64_t *begin, int64_t *end, kf_error *error)
{
    if (!reader)
        return error && error->code ? error->code : KF_ERR_STATE;
    kf_err err = list_offset(reader, topic, partition, EARLIEST, deadline, begin, error);
    return err ? err : list_offset(reader, topic, partition, LATEST, deadline, end, error);
}

/* ---- its life ---- */

static kf_err open_fetcher(kf_reader *reader)
{
    struct kf__io *io = io_of(reader);
    const struct kf__settings *from = &io->settings;
    struct kf__fetch_settings settings = {
        .max_partition_bytes = from->max_partition_fetch_bytes,
        .max_bytes = from->fetch_max_bytes,
        .min_bytes = from->fetch_min_bytes,
        .max_wait_ms = from->fetch_max_wait_ms,
        .max_concurrent = from->max_concurrent_fetches,
        .read_committed = from->isolation_level == KF__READ_COMMITTED,
        .rack = from->client_rack,
        .retry_backoff = from->retry_backoff_ms * KF_MILLISECOND,
        .retry_backoff_max = from->retry_backoff_max_ms * KF_MILLISECOND,
        .request_timeout = from->request_timeout_ms * KF_MILLISECOND,
        .replica_lease = from->metadata_max_age_ms * KF_MILLISECOND,
    };
    reader->credit_returned.run = run_credit_returned;
    reader->credit = kf__credit_new(io->alloc, io->loop, from->fetch_max_bytes,
                                    from->memory_budget_bytes, &reader->credit_returned);
    if (!reader->credit)
        return KF_ERR_NO_MEMORY;
    return kf__fetcher_open(io->cluster, io->loop, reader->credit, &settings, &reader->fetcher);
}

kf_reader *kf_reader_new(const kf_config *config, kf_error *error)
{
    kf_reader *reader = kf_alloc_zero(&kf_default_allocator, sizeof *reader);
    if (!reader) {
        kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for a reader");
        return NULL;
    }
    pthread_mutex_init(&reader->lock, NULL);
    kf__condition_init(&reader->arrived);
    kf__codecs_init(&reader->codecs, &kf_default_allocator);
    struct kf__io *io = io_of(reader);
    kf_err err = kf__io_open(io, config, error);
    if (!err) {
        io->owner = reader;
        io->metadata = metadata;
        io->fatal = fatal;
        err = open_fetcher(reader);
        kf_error_set(err ? error : NULL, err, "the reader could not be opened: %s",
                     kf_err_text(err));
    }
    if (!err)
        err = kf__io_start(io, error);
    if (err) {
        kf_reader_close(reader);
        return NULL;
    }
    return reader;
}

void kf_reader_close(kf_reader *reader)
{
    if (!reader)
        return;
    kf__io_stop(io_of(reader));
    let_go(reader);
    while (reader->readings)
        close_reading(reader, reader->readings);
    kf__fetcher_close(reader->fetcher);
    kf__credit_drop(reader->credit);
    kf__io_close(io_of(reader));
    kf__codecs_free(&reader->codecs);
    pthread_mutex_destroy(&reader->lock);
    pthread_cond_destroy(&reader->arrived);
    kf_free(&kf_default_allocator, reader);
}
