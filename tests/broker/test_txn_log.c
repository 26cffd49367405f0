#include "tools/broker/text.h"
#include "tools/broker/txn/txn_log.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__topics topics;
static struct kf__codecs codecs;
static struct kf__partition *partition;

static void open_topics(void)
{
    struct kf__topic *topic = NULL;
    kf__broker_topics_init(&topics, &kf_default_allocator, 1, 1);
    kf__codecs_init(&codecs, &kf_default_allocator);
    cr_assert(eq(int, kf__topics_create(&topics, kf__text("t"), 1, 1, &topic), KF_OK));
    partition = &topic->partitions[0];
}

static void close_topics(void)
{
    kf__broker_topics_free(&topics);
    kf__codecs_free(&codecs);
}

TestSuite(txn_log, .init = open_topics, .fini = close_topics);

static kf_err mark_at(int64_t producer, int16_t epoch, int32_t coordinator, bool commit, int64_t ms)
{
    struct kf__txn_mark mark = {.producer_id = producer,
                                .epoch = epoch,
                                .coordinator_epoch = coordinator,
                                .commit = commit};
    return kf__write_marker(&topics, &codecs, partition, &mark, ms);
}

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static bool is_hex(const struct kf__plog_batch *batch, const char *hex)
{
    for (size_t i = 0; i < batch->size; i++)
        if (batch->bytes[i] != (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1])))
            return false;
    return strlen(hex) == (size_t)batch->size * 2;
}

/* The batches that a 4.4 broker wrote when WriteTxnMarkers told it the same. */
Test(txn_log, writes_the_markers_that_kafka_writes)
{
    cr_assert(eq(int, mark_at(5577, 3, 9, true, 1795278307275), KF_OK));
    cr_assert(eq(int, mark_at(5577, 3, 9, false, 1795278307326), KF_OK));
    cr_assert(is_hex(&partition->log.batches[0],
                     "0000000000000000000000420000000002f8ca35d40030000000"
                     "00000001a1feecffcb000001a1feecffcb00000000000015c900"
                     "03ffffffff000000012000000008000000010c00000000000900"));
    cr_assert(is_hex(&partition->log.batches[1],
                     "0000000000000001000000420000000002687f8bed0030000000"
                     "00000001a1feecfffe000001a1feecfffe00000000000015c900"
                     "03ffffffff000000012000000008000000000c00000000000900"));
}

/* The log still tells of producers that were forgotten, and there are more of them than was room.
 */
Test(txn_log, knows_producers_again_that_expired_before_the_log_was_cut)
{
    for (int64_t producer = 1; producer <= 10; producer++) {
        if (producer % 4 == 1)
            kf__producers_expire(&partition->producers, 1000, 10);
        cr_assert(eq(int, mark_at(producer, 0, 0, true, producer), KF_OK));
    }
    cr_assert(eq(int, mark_at(10, 0, 0, true, 11), KF_OK));
    cr_assert(eq(sz, partition->producers.count, 2));
    kf__topics_truncate(&topics, partition, 10);
    cr_assert(eq(sz, partition->producers.count, 10));
    cr_assert(le(sz, partition->producers.count, partition->producers.capacity));
    cr_assert(ne(ptr, (void *)(uintptr_t)kf__producers_find(&partition->producers, 1), NULL));
}

Test(txn_log, refuses_the_markers_of_the_past)
{
    cr_assert(eq(int, mark_at(7, 3, 5, true, 1), KF_OK));
    cr_assert(eq(int, mark_at(7, 2, 5, true, 1), KF_ERR_INVALID_PRODUCER_EPOCH));
    cr_assert(eq(int, mark_at(7, 3, 4, true, 1), KF_ERR_TRANSACTION_COORDINATOR_FENCED));
    cr_assert(eq(i64, partition->log.end_offset, 1));
    cr_assert(eq(sz, partition->aborted.count, 0));
}

/* As if batches of these producers lay there; what they hold does not matter here. */
static void open_txn(int64_t producer, int64_t at)
{
    struct kf__batch batch = {.producer_id = producer, .record_count = 1, .transactional = true};
    cr_assert(eq(int, kf__producers_reserve(&partition->producers, &kf_default_allocator), KF_OK));
    kf__producers_note(&partition->producers, &batch, at);
}

Test(txn_log, is_stable_up_to_the_oldest_open_transaction)
{
    for (int i = 0; i < 6; i++)
        mark_at(100, 0, 0, true, 1);
    cr_assert(eq(i64, kf__stable_offset(partition), 6));
    open_txn(7, 2);
    open_txn(8, 4);
    open_txn(7, 5);
    cr_assert(eq(i64, kf__stable_offset(partition), 2));
    cr_assert(eq(int, mark_at(7, 0, 0, false, 1), KF_OK));
    cr_assert(eq(i64, kf__stable_offset(partition), 4));
    cr_assert(eq(sz, partition->aborted.count, 1));
    cr_assert(eq(i64, partition->aborted.items[0].first_offset, 2));
    cr_assert(eq(i64, partition->aborted.items[0].last_offset, 6));
    kf__topics_delete_records(&topics, partition, 5);
    cr_assert(eq(i64, kf__stable_offset(partition), 5), "never below the log's start");
    cr_assert(eq(int, mark_at(8, 0, 0, true, 1), KF_OK));
    cr_assert(eq(i64, kf__stable_offset(partition), 8));
    kf__topics_delete_records(&topics, partition, 7);
    cr_assert(eq(sz, partition->aborted.count, 0));
}
