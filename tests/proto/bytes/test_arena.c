#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/codec.h>
#include <stdint.h>
#include <string.h>

static kf_arena arena;

static void teardown(void) { kf_arena_free(&arena); }

TestSuite(arena, .fini = teardown);

static void open_arena(size_t limit) { kf_arena_init(&arena, &kf_default_allocator, limit); }

Test(arena, hands_out_zeroed_aligned_memory)
{
    open_arena(0);
    char *first = kf_arena_alloc(&arena, 3);
    memset(first, 0xFF, 3);
    char *second = kf_arena_alloc(&arena, 100000);
    cr_assert(eq(sz, (size_t)((uintptr_t)second % _Alignof(max_align_t)), 0));
    cr_assert(eq(int, second[0] | second[99999], 0));
}

Test(arena, gives_zeroed_memory_again_after_a_reset)
{
    open_arena(0);
    memset(kf_arena_alloc(&arena, 64), 0xFF, 64);
    kf_arena_reset(&arena);
    const char *again = kf_arena_alloc(&arena, 64);
    cr_assert(eq(int, again[0] | again[63], 0));
}

Test(arena, stays_within_its_limit)
{
    open_arena(10000);
    size_t total = 0;
    while (kf_arena_alloc(&arena, 100))
        total += 100;
    cr_assert(lt(sz, 8000, total));
    cr_assert(le(sz, arena.held, 10000));
    cr_assert(zero(ptr, kf_arena_alloc(&arena, SIZE_MAX)));
}

Test(arena, holds_nothing_after_free)
{
    open_arena(0);
    for (int i = 0; i < 100; i++)
        kf_arena_alloc(&arena, 5000);
    kf_arena_free(&arena);
    cr_assert(eq(sz, arena.held, 0));
}
