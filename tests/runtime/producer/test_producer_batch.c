#include "runtime/producer/producer_batch.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct kf__out_batch *batch;
static struct kf__codecs codecs;

static void open_batch(void)
{
    batch = kf__out_batch_new(&kf_default_allocator);
    kf__codecs_init(&codecs, &kf_default_allocator);
}
static void close_batch(void)
{
    kf__out_batch_free(batch);
    kf__codecs_free(&codecs);
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
    cr_assert(eq(int, kf__out_batch_add(batch, &record, 1700000000000, receipt), KF_OK));
}

struct verdict {
    int times;
    kf_err err;
    int64_t offset;
};

static void take_verdict(void *context, kf_err err, int32_t partition, int64_t offset)
{
    struct verdict *verdict = context;
    verdict->times++;
    verdict->err = err;
    verdict->offset = offset;
    cr_assert(eq(i32, partition, 3));
}

Test(producer_batch, tells_each_record_its_own_offset_and_only_once)
{
    struct verdict verdicts[3] = {0};
    for (int i = 0; i < 3; i++)
        add("x", (struct kf__receipt){take_verdict, &verdicts[i]});
    kf__out_batch_tell(batch, 3, KF_OK, 40);
    kf__out_batch_tell(batch, 3, KF_ERR_TIMED_OUT, -1);
    for (int i = 0; i < 3; i++) {
        cr_assert(eq(int, verdicts[i].times, 1));
        cr_assert(eq(int, verdicts[i].err, KF_OK));
        cr_assert(eq(i64, verdicts[i].offset, 40 + i));
    }
}

Test(producer_batch, tells_no_offset_where_there_is_none)
{
    struct verdict verdict = {0};
    add("x", (struct kf__receipt){take_verdict, &verdict});
    kf__out_batch_tell(batch, 3, KF_OK, -1); /* acks=0 */
    cr_assert(eq(i64, verdict.offset, -1));
}

Test(producer_batch, never_holds_more_than_it_said_before)
{
    char value[700];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    kf_record record = record_of(value);
    size_t bound = kf__record_bound(&record);
    add(value, (struct kf__receipt){0});
    cr_assert(le(sz, kf__out_batch_memory(batch), kf__out_batch_memory_for(bound)));
    for (int i = 0; i < 200; i++) {
        size_t said = kf__out_batch_memory(batch) + kf__out_batch_growth(batch, bound);
        add(value, (struct kf__receipt){0});
        cr_assert(le(sz, kf__out_batch_memory(batch), said));
    }
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

Test(producer_batch, seals_into_a_batch_that_reads_back)
{
    add("one", (struct kf__receipt){0});
    add("two", (struct kf__receipt){0});
    batch->closed = true;
    cr_assert(eq(int, kf__out_batch_seal(batch, KF_CODEC_SNAPPY, &codecs), KF_OK));

    struct kf__batch header;
    cr_assert(eq(int, kf__batch_peek(batch->wire.bytes, batch->wire.used, &header), KF_OK));
    cr_assert(eq(int, kf__batch_check(&header), KF_OK));
    cr_assert(eq(i32, header.record_count, 2));
    cr_assert(eq(int, (int)header.codec, KF_CODEC_SNAPPY));
    cr_assert(eq(i64, header.producer_id, -1));
    cr_assert(eq(i64, header.base_timestamp, 1700000000000));
}
