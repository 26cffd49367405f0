/* A refused batch taken apart, without a broker: what is left keeps its place. */
#include "runtime/producer/producer_inside.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <string.h>

static struct kf_producer producer;
static struct kf__out_topic topic = {.name = (char *)"t", .cluster_index = -1};
static struct kf__out_partition partition = {.topic = &topic};

static void open_producer(void)
{
    producer.allocator = kf_default_allocator;
    producer.alloc = &producer.allocator;
    producer.id_state = KF__ID_READY;
    producer.id = partition.id = (struct kf__out_identity){7, 0};
    pthread_mutex_init(&producer.lock, NULL);
    kf__link_init(&producer.unfinished);
    kf__link_init(&producer.for_flush);
    kf__link_init(&producer.to_tell);
    kf__out_memory_init(&producer.memory, producer.alloc, &producer.lock, 1 << 20, 16384);
    kf__link_init(&partition.queue);
    kf__link_init(&partition.flying);
    partition.last_acked = partition.unresolved = -1;
}

static void free_queue(void)
{
    while (!kf__link_is_alone(&partition.queue)) {
        struct kf__link *link = partition.queue.next;
        kf__link_remove(link);
        kf__out_batch_free(KF__OWNER(link, struct kf__out_batch, link));
    }
}

static void close_producer(void)
{
    free_queue();
    kf__out_memory_free(&producer.memory);
    pthread_mutex_destroy(&producer.lock);
}

TestSuite(producer_split, .init = open_producer, .fini = close_producer);

static struct told {
    int times;
    kf_err err;
    char reason[KF_ERROR_TEXT_BYTES];
} told;

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    told.times++;
    told.err = delivery->err;
    snprintf(told.reason, sizeof told.reason, "%s", delivery->reason ? delivery->reason : "-");
}

static void add(struct kf__out_batch *batch, kf_record record)
{
    size_t need, credit = 0;
    struct kf__receipt receipt = {.delivered = take_verdict};
    cr_assert(
        eq(int,
           kf__out_batch_reserve(batch, kf__record_bound(&record), true, 0, 16384, &credit, &need),
           KF_OK));
    cr_assert(eq(int, kf__out_batch_add(batch, &record, 1, receipt), KF_OK));
}

static struct kf__out_batch *open_batch(int32_t count)
{
    struct kf__out_batch *batch;
    size_t credit = 0;
    cr_assert(eq(int, kf__out_batch_new(&producer.memory, 1000, &credit, &batch), KF_OK));
    batch->partition = &partition;
    kf__link_append(&producer.unfinished, &batch->unfinished);
    for (int32_t i = 0; i < count; i++)
        add(batch, (kf_record){.value = {(const uint8_t *)"v", 1}});
    return batch;
}

static void seal(struct kf__out_batch *batch)
{
    kf__producer_seal(&producer, batch);
    kf__out_batch_stamp(&producer, batch);
}

/* Sent once, and answered: in no list of its partition. */
static struct kf__out_batch *sent_batch(int32_t count)
{
    struct kf__out_batch *batch = open_batch(count);
    seal(batch);
    return batch;
}

static struct kf__out_batch *queued(int index)
{
    struct kf__link *at = partition.queue.next;
    while (index-- > 0)
        at = at->next;
    return at == &partition.queue ? NULL : KF__OWNER(at, struct kf__out_batch, link);
}

static kf_err drop_one(struct kf__out_batch *batch, int32_t index, kf_string words)
{
    struct kf_produce_response_batch_index_and_error_message named = {
        .batch_index = index, .batch_index_error_message = words};
    struct kf_produce_response_partition_produce_response row = {
        .error_code = KF_ERR_INVALID_RECORD, .record_errors = {.items = &named, .count = 1}};
    struct kf__out_answer answer = {.err = KF_ERR_INVALID_RECORD, .row = &row, .written = true};
    return kf__out_batch_drop(&producer, batch, &answer);
}

static void come_back(struct kf__out_batch *batch)
{
    kf__link_append(kf__out_place_in_order(batch), &batch->link);
}

Test(producer_split, leaves_the_rest_of_a_batch_before_those_that_were_sent_behind_it)
{
    struct kf__out_batch *first = sent_batch(3);
    struct kf__out_batch *second = sent_batch(2);
    struct kf__out_batch *third = sent_batch(1);
    cr_assert(eq(int, drop_one(first, 1, (kf_string){NULL, 0}), KF_OK));
    cr_assert(eq(int, told.times, 1));
    cr_assert(eq(int, told.err, KF_ERR_INVALID_RECORD));
    come_back(second); /* refused: out of order */
    come_back(third);
    cr_assert(eq(i32, queued(0)->count, 2), "the rest of the first");
    cr_assert(eq(ptr, queued(1), second));
    cr_assert(eq(ptr, queued(2), third));
    cr_assert(kf__out_partition_may_send(&producer, &partition));
    for (int i = 0; i < 3; i++)
        kf__out_batch_stamp(&producer, queued(i));
    cr_assert(eq(i32, queued(0)->sequence, 0));
    cr_assert(eq(i32, queued(1)->sequence, 2));
    cr_assert(eq(i32, queued(2)->sequence, 4));
    cr_assert(eq(int, queued(2)->id.epoch, 1));
}

static kf_delivery told_batch;

static void take_batch(void *context, const kf_delivery *delivery)
{
    (void)context;
    cr_assert(zero(int, told.times), "before the records' own callbacks");
    told_batch = *delivery;
}

Test(producer_split, counts_what_was_refused_of_a_batch)
{
    producer.on_batch = take_batch;
    cr_assert(eq(int, drop_one(sent_batch(3), 1, (kf_string){NULL, 0}), KF_OK));
    cr_assert(eq(i32, told_batch.count, 1));
    cr_assert(eq(int, told_batch.err, KF_ERR_INVALID_RECORD));
    cr_assert(eq(int, (int)told_batch.fate, KF_NOT_STORED));
    cr_assert(eq(i64, told_batch.offset, -1));
}

/* Sent again as it is, it would be refused again, as fast as answers come. */
Test(producer_split, does_not_send_a_batch_again_of_which_no_record_was_named)
{
    struct kf__out_batch *batch = sent_batch(2);
    cr_assert(eq(int, drop_one(batch, 2, (kf_string){NULL, 0}), KF_ERR_STATE));
    cr_assert(kf__link_is_alone(&partition.queue));
    kf__out_batch_free(batch);
}

Test(producer_split, cuts_long_words_of_the_broker_short)
{
    char words[KF_ERROR_TEXT_BYTES + 100];
    memset(words, 'w', sizeof words);
    struct kf__out_batch *batch = sent_batch(2);
    cr_assert(eq(int, drop_one(batch, 0, (kf_string){words, sizeof words}), KF_OK));
    cr_assert(eq(sz, strlen(told.reason), KF_ERROR_TEXT_BYTES - 1));
}

/* The bound of a record with headers is far above what it takes. */
Test(producer_split, needs_no_memory_that_others_have)
{
    enum {
        HEADERS = 60
    };
    kf_header headers[HEADERS];
    for (int i = 0; i < HEADERS; i++)
        headers[i] = (kf_header){.name = {"n", 1}};
    struct kf__out_batch *batch = open_batch(1);
    add(batch, (kf_record){.headers = headers, .header_count = HEADERS});
    seal(batch);
    producer.memory.cap = producer.memory.given; /* nothing is left */
    cr_assert(eq(int, drop_one(batch, 0, (kf_string){NULL, 0}), KF_OK));
    cr_assert(eq(i32, queued(0)->count, 1));
    free_queue();
    kf__out_memory_free(&producer.memory);
}

/* buffer.memory is a cap: all batches of a topic with a low max.message.bytes are split at once. */
Test(producer_split, takes_hardly_more_memory_for_two_halves_than_for_the_whole)
{
    static const uint8_t value[100];
    struct kf__out_batch *batch = open_batch(0);
    while (kf__out_batch_size(batch) < 16000)
        add(batch, (kf_record){.value = {value, sizeof value}});
    int32_t count = batch->count;
    seal(batch);
    size_t before = producer.memory.given;
    cr_assert(eq(int, kf__out_batch_split(&producer, batch), KF_OK));
    cr_assert(eq(i32, queued(0)->count + queued(1)->count, count));
    cr_assert(lt(sz, producer.memory.given, before + before / 16));
    free_queue();
    cr_assert(zero(sz, producer.memory.given));
}
