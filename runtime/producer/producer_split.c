/*
 * producer_split: a refused batch taken apart, record by record, on the I/O
 * thread: in two halves where it was too large, as Java does (the halves
 * keep the sequences of their records); without the records that the broker
 * names, where it refused some (KIP-467).
 */
#include "runtime/producer/producer_inside.h"

#include <kafiber/messages.h>
#include <string.h>

enum {
    FEW_HEADERS = 64,
};

/* ---- reading what was sealed ---- */

struct reading {
    struct kf_producer *producer;
    struct kf__codecs codecs;
    struct kf__buffer plain;
    struct kf__records records;
    kf_header *headers; /* of the present record */
    size_t header_capacity;
};

static kf_err begin_reading(struct reading *reading, struct kf_producer *producer,
                            const struct kf__out_batch *batch)
{
    *reading = (struct reading){.producer = producer};
    kf__codecs_init(&reading->codecs, producer->alloc);
    kf__buffer_init(&reading->plain, producer->alloc);
    struct kf__batch header;
    kf_err err = kf__batch_peek(batch->bytes, batch->size, &header);
    if (!err)
        err =
            kf__batch_open(&header, &reading->codecs, &reading->plain, SIZE_MAX, &reading->records);
    return err;
}

static void end_reading(struct reading *reading)
{
    kf__codecs_free(&reading->codecs);
    kf__buffer_free(&reading->plain);
    kf_free(reading->producer->alloc, reading->headers);
}

static kf_err read_headers(struct reading *reading, const struct kf__record *from, kf_record *into)
{
    size_t count = (size_t)from->header_count;
    if (count > reading->header_capacity) {
        size_t capacity = count < FEW_HEADERS ? FEW_HEADERS : count;
        kf_header *headers =
            kf_realloc(reading->producer->alloc, reading->headers, capacity * sizeof *headers);
        if (!headers)
            return KF_ERR_NO_MEMORY;
        reading->headers = headers;
        reading->header_capacity = capacity;
    }
    size_t at = 0;
    bool more = true;
    for (size_t i = 0; i < count; i++) {
        kf_err err =
            kf__headers_next(from->headers, from->header_count, &at, &reading->headers[i], &more);
        if (err)
            return err;
    }
    into->headers = reading->headers;
    into->header_count = count;
    return KF_OK;
}

/* The next record; its views borrow from the reading. */
static kf_err read_record(struct reading *reading, kf_record *record, int64_t *timestamp)
{
    struct kf__record from;
    bool more = true;
    kf_err err = kf__records_next(&reading->records, &from, &more);
    if (err || !more)
        return err ? err : KF_ERR_BAD_BATCH;
    *record = (kf_record){.key = from.key, .value = from.value};
    *timestamp = from.timestamp;
    return read_headers(reading, &from, record);
}

/* ---- writing it anew ---- */

/*
 * Memory for what is rewritten is taken past the cap: it replaces what is
 * given back in a moment, and waiting for it here could last for ever. So it
 * is no more than is needed for `count` records of `bytes` in all.
 */
static kf_err new_batch(struct kf_producer *producer, const struct kf__out_batch *old, size_t bytes,
                        int32_t count, struct kf__out_batch **batch)
{
    struct kf__out_memory *memory = &producer->memory;
    size_t size = old->receipts ? (size_t)count * sizeof *old->receipts : 0;
    size_t credit =
        kf__out_memory_promise(memory, kf__out_memory_block(memory, sizeof **batch) + bytes + size);
    kf_err err = kf__out_batch_new_exact(memory, bytes, &credit, batch);
    void *receipts = NULL;
    if (!err && size)
        err = kf__out_memory_take(memory, size, &credit, &receipts);
    kf__out_memory_waive(memory, credit);
    if (err)
        return err;
    if (receipts) {
        (*batch)->receipts = receipts;
        (*batch)->receipts_block = size;
        (*batch)->capacity = count;
    }
    (*batch)->partition = old->partition;
    (*batch)->number = old->number;
    (*batch)->opened = old->opened;
    (*batch)->deadline = old->deadline;
    (*batch)->urgent = true;
    (*batch)->attempts = old->attempts;
    (*batch)->doubt = old->doubt;
    return KF_OK;
}

/* Mostly there is. */
static kf_err make_room(struct kf__out_batch *into, size_t bound, bool tells)
{
    size_t need, credit = 0;
    kf_err err = kf__out_batch_reserve(into, bound, tells, 0, SIZE_MAX, &credit, &need);
    if (err != KF_ERR_BUFFER_FULL)
        return err;
    credit = kf__out_memory_promise(into->memory, need);
    err = kf__out_batch_reserve(into, bound, tells, 0, SIZE_MAX, &credit, &need);
    kf__out_memory_waive(into->memory, credit);
    return err;
}

static kf_err copy_record(struct reading *reading, struct kf__out_batch *into,
                          struct kf__receipt receipt)
{
    kf_record record;
    int64_t timestamp;
    kf_err err = read_record(reading, &record, &timestamp);
    if (!err)
        err = make_room(into, kf__record_bound(&record), receipt.delivered != NULL);
    if (!err)
        err = kf__out_batch_add(into, &record, timestamp, receipt);
    into->inside += !err && kf__receipt_is_inside(&receipt);
    return err;
}

static struct kf__receipt receipt_of(const struct kf__out_batch *batch, int32_t index)
{
    return batch->receipts ? batch->receipts[index] : (struct kf__receipt){0};
}

/* Into its place in the queue and among the unfinished. */
static void put_behind(struct kf_producer *producer, struct kf__link *place,
                       struct kf__out_batch *old, struct kf__out_batch *batch)
{
    kf__link_append(place, &batch->link);
    pthread_mutex_lock(&producer->lock);
    kf__link_append(&old->unfinished, &batch->unfinished); /* just before the old one */
    pthread_mutex_unlock(&producer->lock);
    atomic_fetch_add_explicit(&batch->partition->batches, 1, memory_order_relaxed);
    kf__producer_seal(producer, batch);
}

static void drop_old(struct kf_producer *producer, struct kf__out_batch *batch)
{
    pthread_mutex_lock(&producer->lock);
    kf__link_remove(&batch->unfinished);
    pthread_mutex_unlock(&producer->lock);
    atomic_fetch_sub_explicit(&batch->partition->batches, 1, memory_order_relaxed);
    kf__out_batch_free(batch);
}

/* What any record of it can take at most, all of them together. */
static size_t bytes_of(const struct reading *reading, const struct kf__out_batch *batch)
{
    size_t plain = reading->plain.used ? reading->plain.used : batch->size;
    return KF__BATCH_HEADER_BYTES + plain + (size_t)batch->count * 2 + 64;
}

/* ---- in two ---- */

/* Into which of them the record goes. */
static int half_of(const struct kf__out_batch *batch, int32_t index)
{
    return index >= batch->count / 2;
}

/* What each takes; a record's bound has to fit before it is put. The reading begins again. */
static kf_err measure_halves(struct reading *reading, const struct kf__out_batch *batch,
                             size_t bytes[2])
{
    enum {
        LONGER = 2, /* a time is counted from another record's */
    };
    struct kf__records start = reading->records;
    size_t used[2] = {KF__BATCH_HEADER_BYTES, KF__BATCH_HEADER_BYTES};
    kf_err err = KF_OK;
    for (int32_t i = 0; i < batch->count && !err; i++) {
        const uint8_t *at = reading->records.at;
        kf_record record;
        int64_t timestamp;
        err = read_record(reading, &record, &timestamp);
        if (err)
            break;
        int half = half_of(batch, i);
        size_t need = used[half] + kf__record_bound(&record);
        bytes[half] = need > bytes[half] ? need : bytes[half];
        used[half] += (size_t)(reading->records.at - at) + LONGER;
    }
    reading->records = start;
    return err;
}

static kf_err fill_halves(struct reading *reading, struct kf__out_batch *batch,
                          struct kf__out_batch *halves[2])
{
    for (int32_t i = 0; i < batch->count; i++) {
        struct kf__out_batch *half = halves[half_of(batch, i)];
        kf_err err = copy_record(reading, half, receipt_of(batch, i));
        if (err)
            return err;
    }
    return KF_OK;
}

kf_err kf__out_batch_split(struct kf_producer *producer, struct kf__out_batch *batch)
{
    struct kf__out_batch *halves[2] = {NULL, NULL};
    int32_t first = batch->count / 2;
    size_t bytes[2] = {0, 0};
    struct reading reading;
    kf_err err = begin_reading(&reading, producer, batch);
    if (!err)
        err = measure_halves(&reading, batch, bytes);
    for (int i = 0; i < 2 && !err; i++)
        err = new_batch(producer, batch, bytes[i], i ? batch->count - first : first, &halves[i]);
    if (!err)
        err = fill_halves(&reading, batch, halves);
    end_reading(&reading);
    if (err) {
        kf__out_batch_free(halves[0]);
        kf__out_batch_free(halves[1]);
        return KF_ERR_NO_MEMORY;
    }
    struct kf__link *place = kf__out_place_in_order(batch);
    int32_t sequence = batch->sequence;
    for (int i = 0; i < 2; i++) {
        put_behind(producer, place, batch, halves[i]);
        kf__out_batch_restamp(halves[i], batch->id, sequence);
        sequence = kf__sequence_after(sequence, halves[i]->count);
    }
    drop_old(producer, batch);
    return KF_OK;
}

/* ---- without some ---- */

static const struct kf_produce_response_batch_index_and_error_message *
named(const struct kf__out_answer *answer, int32_t index)
{
    for (int32_t i = 0; i < answer->row->record_errors.count; i++)
        if (answer->row->record_errors.items[i].batch_index == index)
            return &answer->row->record_errors.items[i];
    return NULL;
}

/* With its end; 0: nothing was said. Long words are cut short. */
static size_t words_size(kf_string said)
{
    if (!said.data)
        return 0;
    return said.size < KF_ERROR_TEXT_BYTES ? said.size + 1 : KF_ERROR_TEXT_BYTES;
}

static kf_err copy_others(struct reading *reading, struct kf__out_batch *batch,
                          struct kf__out_batch *others, const struct kf__out_answer *answer)
{
    kf_err err = KF_OK;
    for (int32_t i = 0; i < batch->count && !err; i++) {
        kf_record passed_over;
        int64_t timestamp;
        err = named(answer, i) ? read_record(reading, &passed_over, &timestamp)
                               : copy_record(reading, others, receipt_of(batch, i));
    }
    return err;
}

/* The words for each record named, behind the pointers to them; without memory none. */
static char **words_of(const struct kf__out_batch *batch, const struct kf__out_answer *answer)
{
    size_t size = 0;
    for (int32_t i = 0; i < answer->row->record_errors.count; i++)
        size += words_size(answer->row->record_errors.items[i].batch_index_error_message);
    return kf_alloc_zero(batch->memory->alloc, (size_t)batch->count * sizeof(char *) + size);
}

static char *put_words(char **at, kf_string said)
{
    char *words = *at;
    size_t size = words_size(said);
    if (!size)
        return NULL;
    memcpy(words, said.data, size - 1);
    *at += size;
    return words;
}

/* What stays of the batch is who asked for the records named; they are told why each was. */
static void keep_named(struct kf__out_batch *batch, const struct kf__out_answer *answer)
{
    char **words = batch->receipts ? words_of(batch, answer) : NULL;
    char *at = words ? (char *)(words + batch->count) : NULL;
    int32_t kept = 0;
    batch->inside = 0;
    for (int32_t i = 0; i < batch->count; i++) {
        const struct kf_produce_response_batch_index_and_error_message *why = named(answer, i);
        if (!why)
            continue;
        if (words)
            words[kept] = put_words(&at, why->batch_index_error_message);
        if (batch->receipts) {
            batch->receipts[kept] = batch->receipts[i];
            batch->inside += kf__receipt_is_inside(&batch->receipts[i]);
        }
        kept++;
    }
    batch->count = kept;
    batch->each_words = words;
}

kf_err kf__out_batch_drop(struct kf_producer *producer, struct kf__out_batch *batch,
                          const struct kf__out_answer *answer)
{
    struct kf__out_batch *others = NULL;
    struct reading reading;
    kf_err err = begin_reading(&reading, producer, batch);
    if (!err)
        err = new_batch(producer, batch, bytes_of(&reading, batch), batch->count, &others);
    if (!err)
        err = copy_others(&reading, batch, others, answer);
    end_reading(&reading);
    bool all_or_none = !err && (others->count == 0 || others->count == batch->count);
    if (err || all_or_none) {
        kf__out_batch_free(others);
        return err ? KF_ERR_NO_MEMORY : KF_ERR_STATE;
    }
    put_behind(producer, kf__out_place_in_order(batch), batch, others);
    if (batch->id.producer_id >= 0) { /* what follows moves up, under a fresh epoch */
        batch->partition->renew = true;
        others->sequence = batch->sequence; /* until then, for its place among them */
    }
    keep_named(batch, answer);
    kf__out_batch_judge(producer, batch, answer->err, answer);
    atomic_fetch_sub_explicit(&batch->partition->batches, 1, memory_order_relaxed);
    kf__out_batch_over(producer, batch);
    return KF_OK;
}
