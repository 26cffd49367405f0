#include "runtime/producer/producer_batch.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static pthread_mutex_t lock;
static struct kf__out_memory memory;
static struct kf__out_batch *batch;
static struct kf__codecs codecs;
static struct kf__buffer scratch;

static void open_batch(void)
{
    pthread_mutex_init(&lock, NULL);
    kf__out_memory_init(&memory, &kf_default_allocator, &lock, 1 << 20, 16384);
    size_t credit = 0;
    cr_assert(eq(int, kf__out_batch_new(&memory, 500, &credit, &batch), KF_OK));
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&scratch, &kf_default_allocator);
}
static void close_batch(void)
{
    kf__out_batch_free(batch);
    kf__codecs_free(&codecs);
    kf__buffer_free(&scratch);
    kf__out_memory_free(&memory);
    pthread_mutex_destroy(&lock);
}

TestSuite(producer_batch, .init = open_batch, .fini = close_batch);

static kf_record record_of(const char *value)
{
    return (kf_record){
        .topic = "t", .partition = -1, .value = {(const uint8_t *)value, strlen(value)}};
}

static void add(const char *value, struct kf__receipt receipt)
{
    kf_record record = record_of(value);
    size_t credit = 0;
    size_t need;
    cr_assert(eq(int,
                 kf__out_batch_reserve(batch, kf__record_bound(&record), receipt.delivered != NULL,
                                       0, 16384, &credit, &need),
                 KF_OK));
    cr_assert(eq(int, kf__out_batch_add(batch, &record, 1700000000000, receipt), KF_OK));
}

static void seal(enum kf_codec codec)
{
    cr_assert(eq(int, kf__out_batch_seal(batch, codec, 0, &codecs, &scratch), KF_OK));
    kf__batch_stamp(batch->bytes, batch->size, -1, -1, -1);
}

struct verdict {
    int times;
    kf_err err;
    int64_t offset;
    int64_t timestamp;
};

static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct verdict *verdict = context;
    verdict->times++;
    verdict->err = delivery->err;
    verdict->offset = delivery->offset;
    verdict->timestamp = delivery->timestamp;
    cr_assert(eq(i32, delivery->partition, 3));
    cr_assert(eq(i32, delivery->count, 1));
}

Test(producer_batch, tells_each_record_its_own_offset_and_only_once)
{
    struct verdict verdicts[3] = {0};
    for (int i = 0; i < 3; i++)
        add("x", (struct kf__receipt){.delivered = take_verdict, .context = &verdicts[i]});
    kf_delivery stored = {.partition = 3, .offset = 40, .timestamp = -1};
    kf_delivery late = {.err = KF_ERR_TIMED_OUT, .partition = 3, .offset = -1};
    kf__out_batch_tell(batch, &stored, NULL);
    kf__out_batch_tell(batch, &late, NULL);
    for (int i = 0; i < 3; i++) {
        cr_assert(eq(int, verdicts[i].times, 1));
        cr_assert(eq(int, verdicts[i].err, KF_OK));
        cr_assert(eq(i64, verdicts[i].offset, 40 + i));
        cr_assert(eq(i64, verdicts[i].timestamp, 1700000000000));
    }
}

Test(producer_batch, tells_no_offset_where_there_is_none)
{
    struct verdict verdict = {0};
    add("x", (struct kf__receipt){.delivered = take_verdict, .context = &verdict});
    kf__out_batch_tell(batch, &(kf_delivery){.partition = 3, .offset = -1}, NULL); /* acks=0 */
    cr_assert(eq(i64, verdict.offset, -1));
}

Test(producer_batch, tells_only_those_who_asked)
{
    struct verdict verdict = {0};
    add("x", (struct kf__receipt){0});
    add("x", (struct kf__receipt){0});
    add("x", (struct kf__receipt){.delivered = take_verdict, .context = &verdict});
    kf__out_batch_tell(batch, &(kf_delivery){.partition = 3, .offset = 7}, NULL);
    cr_assert(eq(int, verdict.times, 1));
    cr_assert(eq(i64, verdict.offset, 9));
}

static void take_inside(void *context, const kf_delivery *delivery)
{
    take_verdict(context, delivery);
}

static bool is_inside(const struct kf__receipt *receipt)
{
    return receipt->delivered == take_inside;
}

Test(producer_batch, tells_the_chosen_first_and_says_whether_others_are_left)
{
    struct verdict chosen = {0}, other = {0};
    add("x", (struct kf__receipt){.delivered = take_verdict, .context = &other});
    add("x", (struct kf__receipt){.delivered = take_inside, .context = &chosen});
    kf_delivery stored = {.partition = 3, .offset = 7};
    cr_assert(kf__out_batch_tell(batch, &stored, is_inside));
    cr_assert(eq(i64, chosen.offset, 8));
    cr_assert(eq(int, other.times, 0));
    cr_assert(not(kf__out_batch_tell(batch, &stored, NULL)));
    cr_assert(eq(int, chosen.times, 1));
    cr_assert(eq(i64, other.offset, 7));
}

/* The hard cap counts every byte that a batch holds. */
Test(producer_batch, takes_all_its_memory_from_the_account_and_gives_it_back)
{
    char value[700];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    struct verdict verdict = {0};
    for (int i = 0; i < 20; i++)
        add(value, (struct kf__receipt){.delivered = take_verdict, .context = &verdict});
    size_t holds =
        kf__out_memory_block(&memory, sizeof *batch) + batch->block + batch->receipts_block;
    cr_assert(eq(sz, memory.given, holds));
    cr_assert(eq(sz, batch->block, 16384));
}

Test(producer_batch, stays_as_it_was_where_memory_is_used_up)
{
    add("one", (struct kf__receipt){0});
    memory.cap = memory.given;
    char value[1000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    kf_record record = record_of(value);
    size_t credit = 0;
    size_t need = 0;
    kf_err err =
        kf__out_batch_reserve(batch, kf__record_bound(&record), false, 0, 16384, &credit, &need);
    cr_assert(eq(int, err, KF_ERR_BUFFER_FULL));
    cr_assert(eq(sz, need, 2048));
    cr_assert(eq(i32, batch->count, 1));
    seal(KF_CODEC_NONE);
}

Test(producer_batch, bounds_what_a_record_takes)
{
    kf_header header = {.name = {"h", 1}, .value = {(const uint8_t *)"v", 1}};
    kf_record record = record_of("value");
    record.headers = &header;
    record.header_count = 1;
    size_t before = kf__out_batch_size(batch);
    cr_assert(eq(int, kf__out_batch_add(batch, &record, 1, (struct kf__receipt){0}), KF_OK));
    cr_assert(le(sz, kf__out_batch_size(batch) - before, kf__record_bound(&record)));
}

static struct kf__batch read_back(void)
{
    struct kf__batch header;
    cr_assert(eq(int, kf__batch_peek(batch->bytes, batch->size, &header), KF_OK));
    cr_assert(eq(int, kf__batch_check(&header), KF_OK));
    return header;
}

Test(producer_batch, seals_into_a_batch_that_reads_back)
{
    for (int i = 0; i < 5; i++)
        add("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", (struct kf__receipt){0});
    seal(KF_CODEC_SNAPPY);
    struct kf__batch header = read_back();
    cr_assert(eq(i32, header.record_count, 5));
    cr_assert(eq(int, (int)header.codec, KF_CODEC_SNAPPY));
    cr_assert(eq(i64, header.producer_id, -1));
    cr_assert(eq(i64, header.base_timestamp, 1700000000000));
}

Test(producer_batch, stays_uncompressed_where_compression_gains_nothing)
{
    add("x", (struct kf__receipt){0});
    seal(KF_CODEC_SNAPPY);
    cr_assert(eq(int, (int)read_back().codec, KF_CODEC_NONE));
}

Test(producer_batch, carries_its_place_in_order_under_the_checksum)
{
    add("x", (struct kf__receipt){0});
    seal(KF_CODEC_NONE);
    kf__batch_stamp(batch->bytes, batch->size, 77, 3, 1234);
    struct kf__batch header = read_back();
    cr_assert(eq(i64, header.producer_id, 77));
    cr_assert(eq(int, header.producer_epoch, 3));
    cr_assert(eq(i32, header.base_sequence, 1234));
}

/* A large one is summed when it is sealed; its header, only when it gets its place. */
Test(producer_batch, is_stamped_again_under_a_sum_that_holds_however_large_it_is)
{
    enum {
        LARGE = 20000,
        ROOM = 1 << 18,
    };
    static char value[LARGE + 1];
    memset(value, 'v', LARGE);
    kf_record record = record_of(value);
    for (size_t records = 1; records <= 10; records += 3) {
        struct kf__out_batch *large;
        size_t credit = 0;
        cr_assert(eq(int, kf__out_batch_new(&memory, ROOM, &credit, &large), KF_OK));
        for (size_t i = 0; i < records; i++)
            cr_assert(
                eq(int, kf__out_batch_add(large, &record, 1, (struct kf__receipt){0}), KF_OK));
        cr_assert(eq(int, kf__out_batch_seal(large, KF_CODEC_NONE, 0, NULL, NULL), KF_OK));
        cr_assert(eq(int, large->is_summed, records *LARGE >= KF__SUMMED_LEAST));
        for (int32_t sequence = 7; sequence <= 9; sequence++) {
            kf__out_batch_restamp(large, (struct kf__out_identity){77, 3}, sequence);
            struct kf__batch header;
            cr_assert(eq(int, kf__batch_peek(large->bytes, large->size, &header), KF_OK));
            cr_assert(eq(int, kf__batch_check(&header), KF_OK), "%zu records", records);
            cr_assert(eq(i32, header.base_sequence, sequence));
            cr_assert(eq(i64, header.producer_id, 77));
        }
        kf__out_batch_free(large);
    }
}

/* As DefaultRecordBatch.incrementSequence. */
Test(producer_batch, counts_sequences_round_their_largest)
{
    cr_assert(eq(i32, kf__sequence_after(0, 1), 1));
    cr_assert(eq(i32, kf__sequence_after(INT32_MAX, 1), 0));
    cr_assert(eq(i32, kf__sequence_after(INT32_MAX - 2, 5), 2));
}
