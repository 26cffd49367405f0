#include "runtime/fiber/sanitizer.h"
#include "runtime/fiber/stack.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kf__stack_pool *new_pool(void)
{
    struct kf__stack_pool *pool;
    cr_assert_eq(kf__stack_pool_new(&kf_default_allocator, &pool), KF_OK);
    return pool;
}

Test(stack, is_writable_to_its_last_byte)
{
    struct kf__stack_pool *pool = new_pool();
    size_t sizes[] = {1, 16384, 16385, 65536, 1000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct kf__stack *stack;
        cr_assert_eq(kf__stack_take(pool, sizes[i], &stack), KF_OK);
        cr_assert_geq(stack->size, sizes[i]);
        memset(stack->low, 0x55, stack->size);
        kf__stack_give(pool, stack);
    }
    kf__stack_pool_free(pool);
}

Test(stack, next_in_use_is_the_one_that_is_warm)
{
    struct kf__stack_pool *pool = new_pool();
    struct kf__stack *first, *second;
    cr_assert_eq(kf__stack_take(pool, 65536, &first), KF_OK);
    kf__stack_give(pool, first);
    cr_assert_eq(kf__stack_take(pool, 65536, &second), KF_OK);
    cr_assert_eq(first, second);
    kf__stack_give(pool, second);
    kf__stack_pool_free(pool);
}

Test(stack, sizes_beyond_reason_are_refused)
{
    struct kf__stack_pool *pool = new_pool();
    struct kf__stack *stack;
    cr_assert_eq(kf__stack_take(pool, (size_t)1 << 40, &stack), KF_ERR_NO_STACK);
    kf__stack_pool_free(pool);
}

static size_t count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    cr_assert_not_null(maps);
    size_t lines = 0;
    for (int c; (c = fgetc(maps)) != EOF;)
        lines += c == '\n';
    fclose(maps);
    return lines;
}

static size_t resident_pages(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    cr_assert_not_null(statm);
    unsigned long size, resident;
    cr_assert_eq(fscanf(statm, "%lu %lu", &size, &resident), 2);
    fclose(statm);
    return resident;
}

Test(stack, ten_thousand_are_few_mappings_and_cost_nothing_when_free)
{
    enum {
        COUNT = 10000
    };
    struct kf__stack_pool *pool = new_pool();
    static struct kf__stack *stacks[COUNT];
    size_t before = resident_pages();
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(kf__stack_take(pool, 16384, &stacks[i]), KF_OK);
        stacks[i]->low[stacks[i]->size - 1] = 1;
    }
    size_t mappings = count_mappings();
    size_t used = resident_pages() - before;
    cr_assert_geq(used, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        kf__stack_give(pool, stacks[i]);
    size_t left = resident_pages() - before;
#ifndef KF__ASAN
    cr_assert_lt(left, used / 4, "%zu of %zu pages left", left, used);
#else
    (void)left;
#endif
    if (mappings > 3000)
        cr_log_warn("no guard marks here: %zu mappings", mappings);
    kf__stack_pool_free(pool);
}
