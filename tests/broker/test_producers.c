#include "tools/broker/log/producers.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__producers producers;

static void close_producers(void) { kf__producers_free(&producers, &kf_default_allocator); }

TestSuite(broker_producers, .fini = close_producers);

static kf_err send(int16_t epoch, int32_t sequence, int32_t count, int64_t offset)
{
    struct kf__batch batch = {.producer_id = 7,
                              .producer_epoch = epoch,
                              .base_sequence = sequence,
                              .record_count = count};
    int64_t duplicate = -1;
    kf_err err = kf__producers_check(&producers, &batch, &duplicate);
    if (err == KF_ERR_DUPLICATE_SEQUENCE_NUMBER)
        cr_assert(eq(i64, duplicate, offset));
    if (!err) {
        cr_assert(eq(int, kf__producers_reserve(&producers, &kf_default_allocator), KF_OK));
        kf__producers_note(&producers, &batch, offset);
    }
    return err;
}

Test(broker_producers, accepts_sequences_without_a_gap)
{
    cr_assert(eq(int, send(0, 0, 5, 100), KF_OK));
    cr_assert(eq(int, send(0, 5, 1, 105), KF_OK));
    cr_assert(eq(int, send(0, 7, 1, 106), KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
    cr_assert(eq(int, send(0, 6, 1, 106), KF_OK));
}

Test(broker_producers, knows_the_last_five_batches_again)
{
    for (int i = 0; i < 6; i++)
        cr_assert(eq(int, send(0, i, 1, 100 + i), KF_OK));
    for (int i = 1; i < 6; i++)
        cr_assert(eq(int, send(0, i, 1, 100 + i), KF_ERR_DUPLICATE_SEQUENCE_NUMBER));
    cr_assert(eq(int, send(0, 0, 1, 100), KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
}

Test(broker_producers, begins_a_new_epoch_at_sequence_0)
{
    cr_assert(eq(int, send(0, 0, 5, 100), KF_OK));
    cr_assert(eq(int, send(1, 5, 1, 105), KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
    cr_assert(eq(int, send(1, 0, 1, 105), KF_OK));
    cr_assert(eq(int, send(0, 5, 1, 106), KF_ERR_INVALID_PRODUCER_EPOCH));
}

Test(broker_producers, counts_from_0_again_after_the_largest_sequence)
{
    cr_assert(eq(int, send(0, INT32_MAX - 1, 2, 100), KF_OK));
    cr_assert(eq(int, send(0, 0, 1, 102), KF_OK));
}

/* KIP-360: the state may have expired, or the records been deleted. */
Test(broker_producers, takes_any_sequence_from_a_producer_it_does_not_know)
{
    cr_assert(eq(int, send(3, 17, 2, 100), KF_OK));
    cr_assert(eq(int, send(3, 18, 1, 102), KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
    cr_assert(eq(int, send(3, 19, 1, 102), KF_OK));
}

Test(broker_producers, knows_a_batch_again_only_whole_and_in_its_epoch)
{
    cr_assert(eq(int, send(1, 0, 5, 100), KF_OK));
    cr_assert(eq(int, send(1, 0, 4, 100), KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
    cr_assert(eq(int, send(0, 0, 5, 100), KF_ERR_INVALID_PRODUCER_EPOCH));
    cr_assert(eq(int, send(2, 0, 5, 105), KF_OK));
    cr_assert(eq(int, send(2, 0, 5, 105), KF_ERR_DUPLICATE_SEQUENCE_NUMBER));
}

Test(broker_producers, knows_a_batch_again_whose_sequences_wrap)
{
    cr_assert(eq(int, send(0, INT32_MAX, 3, 100), KF_OK));
    cr_assert(eq(int, send(0, INT32_MAX, 3, 100), KF_ERR_DUPLICATE_SEQUENCE_NUMBER));
    cr_assert(eq(int, send(0, 1, 1, 103), KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER));
    cr_assert(eq(int, send(0, 2, 1, 103), KF_OK));
}

Test(broker_producers, finds_each_of_many)
{
    static const int64_t ids[] = {9, 2, 7, 1, 8, 3};
    for (int i = 0; i < 6; i++) {
        struct kf__batch batch = {.producer_id = ids[i], .record_count = 1};
        cr_assert(eq(int, kf__producers_reserve(&producers, &kf_default_allocator), KF_OK));
        kf__producers_note(&producers, &batch, i);
    }
    for (int i = 0; i < 6; i++) {
        const struct kf__producer *found = kf__producers_find(&producers, ids[i]);
        cr_assert(ne(ptr, (void *)found, NULL));
        cr_assert(eq(i64, found->batches[0].base_offset, i));
    }
    cr_assert(eq(ptr, (void *)kf__producers_find(&producers, 5), NULL));
}

static void write_at(int64_t producer, int64_t timestamp, bool transactional, int64_t offset)
{
    struct kf__batch batch = {.producer_id = producer,
                              .record_count = 1,
                              .max_timestamp = timestamp,
                              .transactional = transactional};
    cr_assert(eq(int, kf__producers_reserve(&producers, &kf_default_allocator), KF_OK));
    kf__producers_note(&producers, &batch, offset);
}

Test(broker_producers, forgets_who_has_been_idle_for_long_but_nobody_in_a_transaction)
{
    write_at(1, 1000, false, 0);
    write_at(2, 1001, false, 1);
    write_at(3, 1000, true, 2);
    kf__producers_expire(&producers, 5999, 5000);
    cr_assert(eq(sz, producers.count, 3));
    kf__producers_expire(&producers, 6000, 5000);
    cr_assert(eq(sz, producers.count, 2));
    cr_assert(eq(ptr, (void *)(uintptr_t)kf__producers_find(&producers, 1), NULL));
    cr_assert(eq(i64, kf__producers_first_open(&producers), 2));
    kf__producers_end_txn(&producers, 3, 0, 0, 7000);
    kf__producers_expire(&producers, 11999, 5000);
    cr_assert(eq(sz, producers.count, 1));
    kf__producers_expire(&producers, 12000, 5000);
    cr_assert(eq(sz, producers.count, 0));
}
