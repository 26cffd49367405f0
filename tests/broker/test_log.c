#include "tools/broker/log/log.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct kf__partition_log log_;
static struct kf__codecs codecs;
static struct kf__buffer wire;

static void open_log(void)
{
    kf__plog_init(&log_, &kf_default_allocator);
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&wire, &kf_default_allocator);
}

static void close_log(void)
{
    kf__plog_free(&log_);
    kf__codecs_free(&codecs);
    kf__buffer_free(&wire);
}

TestSuite(broker_log, .init = open_log, .fini = close_log);

/* A batch of `count` records of `size` bytes each, timestamps rising by one from `timestamp`. */
static struct kf__batch make_batch(int count, size_t size, int64_t timestamp)
{
    static uint8_t value[70000];
    struct kf__batch_builder builder;
    struct kf__batch_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1};
    struct kf__batch batch;
    memset(value, 'x', sizeof value);
    wire.used = 0;
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    for (int i = 0; i < count; i++)
        kf__batch_builder_add(&builder, timestamp + i, (kf_bytes){0},
                              (kf_bytes){.data = value, .size = size}, NULL, 0);
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &options, &codecs, &wire), KF_OK));
    kf__batch_builder_free(&builder);
    cr_assert(eq(int, kf__batch_peek(wire.bytes, wire.used, &batch), KF_OK));
    return batch;
}

static int64_t append(int count, size_t size, int64_t timestamp, int32_t epoch)
{
    struct kf__batch batch = make_batch(count, size, timestamp);
    int64_t base = -1;
    cr_assert(eq(int, kf__plog_append(&log_, &batch, epoch, &base), KF_OK));
    return base;
}

Test(broker_log, gives_each_batch_the_offset_after_the_last)
{
    cr_assert(eq(i64, append(3, 10, 100, 0), 0));
    cr_assert(eq(i64, append(2, 10, 100, 0), 3));
    cr_assert(eq(i64, log_.end_offset, 5));

    struct kf__batch second;
    kf_bytes bytes = kf__plog_read(&log_, 3, INT64_MAX, 1000, false);
    cr_assert(eq(int, kf__batch_peek(bytes.data, bytes.size, &second), KF_OK));
    cr_assert(eq(i64, second.base_offset, 3));
    cr_assert(eq(i64, second.last_offset, 4));
    cr_assert(eq(int, kf__batch_check(&second), KF_OK), "offset and epoch lie outside the CRC");
}

Test(broker_log, reads_from_the_batch_that_holds_the_offset)
{
    append(3, 10, 100, 0);
    append(3, 10, 100, 0);
    cr_assert(eq(sz, kf__plog_find(&log_, 0), 0));
    cr_assert(eq(sz, kf__plog_find(&log_, 2), 0));
    cr_assert(eq(sz, kf__plog_find(&log_, 3), 1));
    cr_assert(eq(sz, kf__plog_find(&log_, 6), 2), "the end: nothing is there");
    cr_assert(eq(sz, kf__plog_read(&log_, 6, INT64_MAX, 1000, true).size, 0));
}

/* KIP-74: else a consumer would never get past a batch above its limit. */
Test(broker_log, hands_out_a_first_batch_whole_only_where_asked)
{
    append(1, 500, 100, 0);
    size_t size = log_.batches[0].size;
    cr_assert(eq(sz, kf__plog_read(&log_, 0, INT64_MAX, 10, true).size, size));
    cr_assert(eq(sz, kf__plog_read(&log_, 0, INT64_MAX, 10, false).size, 0));
}

Test(broker_log, cuts_the_last_batch_at_the_limit)
{
    append(1, 100, 100, 0);
    append(1, 100, 100, 0);
    size_t first = log_.batches[0].size;
    cr_assert(eq(sz, kf__plog_read(&log_, 0, INT64_MAX, first + 20, true).size, first + 20));
}

Test(broker_log, keeps_batches_where_they_are_while_it_grows)
{
    append(1, 1000, 100, 0);
    const uint8_t *before = kf__plog_read(&log_, 0, INT64_MAX, 10000, true).data;
    for (int i = 0; i < 200; i++)
        append(1, 60000, 100, 0);
    cr_assert(eq(ptr, (void *)(uintptr_t)kf__plog_read(&log_, 0, INT64_MAX, 10000, true).data,
                 (void *)(uintptr_t)before));
    cr_assert(eq(i64, log_.end_offset, 201));
    cr_assert(lt(sz, 5, log_.chunk_count));
    cr_assert(eq(sz, kf__plog_readable(&log_, 0, INT64_MAX), log_.bytes));
    cr_assert(eq(sz, kf__plog_readable(&log_, 200, INT64_MAX), log_.batches[200].size));
}

Test(broker_log, finds_the_first_batch_that_reaches_a_timestamp)
{
    append(1, 10, 100, 0);
    append(1, 10, 300, 0);
    append(1, 10, 200, 0); /* late records come after newer ones */
    append(1, 10, 400, 0);
    cr_assert(eq(sz, kf__plog_find_timestamp(&log_, 50), 0));
    cr_assert(eq(sz, kf__plog_find_timestamp(&log_, 101), 1));
    cr_assert(eq(sz, kf__plog_find_timestamp(&log_, 301), 3));
    cr_assert(eq(sz, kf__plog_find_timestamp(&log_, 401), 4));
    cr_assert(eq(sz, kf__plog_find_max_timestamp(&log_), 3));
}

Test(broker_log, tells_where_an_epoch_ended)
{
    int32_t epoch;
    int64_t end;
    append(2, 10, 100, 0);
    append(3, 10, 100, 2);

    kf__plog_epoch_end(&log_, 0, 2, &epoch, &end);
    cr_assert(eq(i32, epoch, 0));
    cr_assert(eq(i64, end, 2));
    kf__plog_epoch_end(&log_, 1, 2, &epoch, &end); /* never led: the one before it */
    cr_assert(eq(i32, epoch, 0));
    cr_assert(eq(i64, end, 2));
    kf__plog_epoch_end(&log_, 2, 2, &epoch, &end);
    cr_assert(eq(i32, epoch, 2));
    cr_assert(eq(i64, end, 5));
    kf__plog_epoch_end(&log_, 3, 2, &epoch, &end);
    cr_assert(eq(i32, epoch, -1));
    cr_assert(eq(i64, end, -1));
}

/* Kafka notes an epoch when its leader is elected, not when that writes first. */
Test(broker_log, knows_where_epochs_ended_of_which_no_record_is_left)
{
    int32_t epoch;
    int64_t end;
    kf__plog_epoch_end(&log_, 0, 1, &epoch, &end);
    cr_assert(eq(i32, epoch, 0));
    cr_assert(eq(i64, end, 0));
    append(2, 10, 100, 0);
    kf__plog_truncate(&log_, 0);
    kf__plog_epoch_end(&log_, 0, 1, &epoch, &end);
    cr_assert(eq(i32, epoch, 0));
    cr_assert(eq(i64, end, 0));

    append(2, 10, 100, 1);
    append(6, 10, 100, 2);
    kf__plog_delete_before(&log_, 5);
    kf__plog_epoch_end(&log_, 1, 2, &epoch, &end);
    cr_assert(eq(i32, epoch, 1));
    cr_assert(eq(i64, end, 5));
}

Test(broker_log, gives_memory_back_when_records_are_deleted)
{
    for (int i = 0; i < 100; i++)
        append(1, 60000, 1000 - i, 0);
    size_t chunks = log_.chunk_count;
    kf__plog_delete_before(&log_, 99);
    cr_assert(eq(i64, log_.start_offset, 99));
    cr_assert(eq(sz, log_.batch_count, 1));
    cr_assert(eq(sz, log_.bytes, log_.batches[0].size));
    cr_assert(lt(sz, log_.chunk_count, chunks));
    cr_assert(eq(sz, kf__plog_find_timestamp(&log_, 902), 1), "what is gone has no timestamps");
    cr_assert(eq(i64, append(1, 10, 1, 0), 100));
}

Test(broker_log, is_empty_after_all_is_deleted_and_goes_on_counting)
{
    append(4, 10, 1, 0);
    kf__plog_delete_before(&log_, 4);
    cr_assert(eq(i64, log_.start_offset, 4));
    cr_assert(eq(sz, kf__plog_readable(&log_, 4, INT64_MAX), 0));
    cr_assert(eq(i64, append(1, 10, 1, 0), 4));
}
