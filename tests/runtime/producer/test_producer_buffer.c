/* buffer.memory as an account: what is given, promised and at rest, block by block. */
#include "runtime/producer/producer_inside.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

enum {
    BLOCK = 1024,
    CAP = 4 * BLOCK,
};

static struct kf_producer producer;
static int allocations;
static size_t credit;

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    allocations += size != 0;
    return kf_default_allocator.resize(NULL, pointer, size);
}

static void open_memory(void)
{
    static const kf_allocator counting = {resize, NULL};
    producer.alloc = &counting;
    pthread_mutex_init(&producer.lock, NULL);
    kf__out_memory_init(&producer.memory, producer.alloc, &producer.lock, CAP, BLOCK);
    credit = 0;
}

static void close_memory(void)
{
    cr_assert(eq(sz, producer.memory.given, 0));
    cr_assert(eq(sz, producer.memory.promised, 0));
    kf__out_memory_free(&producer.memory);
    kf__waiters_free(&producer);
    pthread_mutex_destroy(&producer.lock);
}

TestSuite(producer_buffer, .init = open_memory, .fini = close_memory);

static void *take(size_t size)
{
    void *block;
    cr_assert(eq(int, kf__out_memory_take(&producer.memory, size, &credit, &block), KF_OK));
    memset(block, 'b', size);
    return block;
}

static void is_full_for(size_t size)
{
    void *block;
    cr_assert(
        eq(int, kf__out_memory_take(&producer.memory, size, &credit, &block), KF_ERR_BUFFER_FULL));
}

static void give(void *block, size_t size) { kf__out_memory_give(&producer.memory, block, size); }

static struct kf__waiter *wait_for(size_t size)
{
    struct kf__waiter *waiter = kf__waiter_new(&producer);
    waiter->need = size;
    kf__link_append(&producer.memory.waiters, &waiter->link);
    atomic_fetch_add(&producer.memory.waiting, 1);
    return waiter;
}

Test(producer_buffer, gives_a_block_at_rest_to_the_next_who_wants_its_class)
{
    void *block = take(BLOCK);
    give(block, BLOCK);
    cr_assert(eq(sz, producer.memory.resting, BLOCK));
    int before = allocations;
    cr_assert(eq(ptr, take(BLOCK), block));
    cr_assert(eq(int, allocations, before));
    cr_assert(eq(sz, producer.memory.resting, 0));
    give(block, BLOCK);
}

Test(producer_buffer, frees_blocks_at_rest_where_another_class_is_wanted)
{
    void *blocks[4];
    for (int i = 0; i < 4; i++)
        blocks[i] = take(BLOCK);
    is_full_for(256);
    for (int i = 0; i < 4; i++)
        give(blocks[i], BLOCK);
    cr_assert(eq(sz, producer.memory.resting, CAP));
    void *small = take(256);
    cr_assert(eq(sz, producer.memory.resting, CAP - BLOCK));
    cr_assert(eq(sz, producer.memory.given, 256));
    give(small, 256);
}

/* A full buffer goes round: to free and allocate each block again would touch fresh pages. */
Test(producer_buffer, who_waited_gets_the_block_that_came_back_without_an_allocation)
{
    void *blocks[4];
    for (int i = 0; i < 4; i++)
        blocks[i] = take(BLOCK);
    struct kf__waiter *waiter = wait_for(BLOCK);
    int before = allocations;
    give(blocks[2], BLOCK);
    cr_assert(waiter->woken);
    cr_assert(eq(sz, producer.memory.promised, BLOCK));
    is_full_for(BLOCK); /* nobody else gets what is promised */
    credit = BLOCK;
    cr_assert(eq(ptr, take(BLOCK), blocks[2]));
    cr_assert(eq(int, allocations, before));
    cr_assert(eq(sz, credit, 0));
    kf__waiter_release(waiter);
    for (int i = 0; i < 4; i++)
        give(blocks[i], BLOCK);
}

Test(producer_buffer, nobody_overtakes_who_waits_for_more)
{
    void *blocks[4];
    for (int i = 0; i < 4; i++)
        blocks[i] = take(BLOCK);
    struct kf__waiter *waiter = wait_for((size_t)2 * BLOCK);
    give(blocks[0], BLOCK);
    cr_assert(not(waiter->woken));
    is_full_for(256);
    give(blocks[1], BLOCK);
    cr_assert(waiter->woken);
    kf__out_memory_waive(&producer.memory, (size_t)2 * BLOCK);
    give(take(256), 256);
    kf__waiter_release(waiter);
    give(blocks[2], BLOCK);
    give(blocks[3], BLOCK);
}

Test(producer_buffer, a_promise_and_what_rests_never_exceed_the_cap_together)
{
    void *block = take(BLOCK);
    give(block, BLOCK);
    struct kf__waiter *waiter = wait_for(CAP);
    pthread_mutex_lock(&producer.lock);
    kf__out_memory_serve(&producer.memory);
    pthread_mutex_unlock(&producer.lock);
    cr_assert(waiter->woken);
    credit = CAP;
    void *all = take(CAP);
    cr_assert(eq(sz, producer.memory.given + producer.memory.resting, CAP));
    kf__waiter_release(waiter);
    give(all, CAP);
}

/* What is written anew takes the place of what is given back in a moment. */
Test(producer_buffer, a_promise_past_the_cap_is_kept)
{
    void *blocks[4];
    for (int i = 0; i < 4; i++)
        blocks[i] = take(BLOCK);
    credit = kf__out_memory_promise(&producer.memory, 512);
    void *more = take(512);
    cr_assert(eq(sz, producer.memory.given, CAP + 512));
    give(more, 512);
    for (int i = 0; i < 4; i++)
        give(blocks[i], BLOCK);
}
