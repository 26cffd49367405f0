#include "runtime/fetch/held.h"

#include "runtime/fetch/credit.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct kf__loop *loop;
static struct kf__slab_pool *pool;
static struct kf__credit *credit;
static void open_all(void)
{
    cr_assert(kf__loop_open(&kf_default_allocator, &kf__real_world, KF__BACKEND_AUTO, &loop) == 0);
    pool = kf__slab_pool_new(&kf_default_allocator, 0);
    credit = kf__credit_new(&kf_default_allocator, loop, 10000, 20000, NULL);
    cr_assert(credit != NULL);
}

static void close_all(void)
{
    kf__credit_drop(credit);
    kf__slab_pool_drop(pool);
    kf__loop_close(loop);
}

TestSuite(held, .init = open_all, .fini = close_all);

static long long reserved(void) { return atomic_load(&credit->reserved); }
static long long held(void) { return atomic_load(&credit->held); }

static struct kf_batch *new_batch(struct kf__slab *slab, int records)
{
    struct kf__batch_builder builder;
    struct kf__buffer bytes;
    kf__buffer_init(&bytes, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 10);
    for (int i = 0; i < records; i++)
        kf__batch_builder_add(&builder, 0, (kf_bytes){NULL, 0}, (kf_bytes){(const uint8_t *)"v", 1},
                              NULL, 0);
    struct kf__batch_options options = {.producer_id = -1, .base_sequence = -1};
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &options, NULL, &bytes), KF_OK));
    kf__batch_builder_free(&builder);
    memcpy(slab->bytes, bytes.bytes, bytes.used);
    struct kf__batch header;
    cr_assert(eq(int, kf__batch_peek(slab->bytes, bytes.used, &header), KF_OK));
    kf__buffer_free(&bytes);
    kf__credit_hold(credit, slab, 1);
    return kf__held_new(&kf_default_allocator, slab, &header, false, "topic");
}

static int64_t next_offset(struct kf_batch *batch)
{
    struct kf__record record;
    bool more = false;
    cr_assert(eq(int, kf__records_next(&batch->records, &record, &more), KF_OK));
    return more ? record.offset : -1;
}

Test(held, opens_once_and_starts_over_when_opened_again)
{
    struct kf__slab *slab = kf__slab_take(pool, 4096);
    struct kf_batch *batch = new_batch(slab, 2);
    kf__slab_release(slab);
    cr_assert(eq(int, kf__held_open(batch, NULL, true, 1000), KF_OK));
    cr_assert(eq(i64, next_offset(batch), 10));
    cr_assert(eq(i64, next_offset(batch), 11));
    cr_assert(eq(int, kf__held_open(batch, NULL, true, 1000), KF_OK));
    cr_assert(eq(i64, next_offset(batch), 10));
    kf__held_release(batch);
    cr_assert(eq(i64, reserved(), 0));
    cr_assert(eq(i64, held(), 0));
}

Test(held, refuses_a_wrong_checksum_where_asked)
{
    struct kf__slab *slab = kf__slab_take(pool, 4096);
    struct kf_batch *batch = new_batch(slab, 2);
    slab->bytes[batch->header.size - 1] ^= 1;
    cr_assert(ne(int, kf__held_open(batch, NULL, true, 1000), KF_OK));
    kf__held_release(batch);
    kf__slab_release(slab);
}

Test(held, moves_out_of_its_slab_and_leaves_it_free)
{
    struct kf__slab *slab = kf__slab_take(pool, 4096);
    struct kf_batch *batch = new_batch(slab, 3);
    kf__slab_release(slab);
    cr_assert(eq(i64, held(), 4096));
    cr_assert(eq(int, kf__held_unpin(batch), KF_OK));
    cr_assert(eq(i64, held(), 0));
    cr_assert(eq(i64, reserved(), 0));
    cr_assert(eq(int, kf__held_open(batch, NULL, true, 1000), KF_OK));
    cr_assert(eq(i64, next_offset(batch), 10));
    kf__held_release(batch);
}

Test(held, lives_until_its_last_reference)
{
    struct kf__slab *slab = kf__slab_take(pool, 4096);
    struct kf_batch *batch = new_batch(slab, 1);
    kf__slab_release(slab);
    kf_message message = {.topic = "topic", .batch = batch};
    kf_message kept;
    kf_message_retain(&message, &kept);
    kf__held_release(batch);
    cr_assert(eq(i64, held(), 4096));
    cr_assert(eq(str, (char *)kept.topic, "topic"));
    kf_message_release(&kept);
    cr_assert(eq(i64, held(), 0));
    cr_assert(eq(i64, reserved(), 0));
}

Test(held, dropped_unopened_it_owes_nothing)
{
    struct kf__slab *slab = kf__slab_take(pool, 4096);
    struct kf_batch *batch = new_batch(slab, 1);
    kf__slab_release(slab);
    kf__held_release(batch);
    cr_assert(eq(i64, reserved(), 0));
    cr_assert(eq(i64, held(), 0));
}
