#include "tools/broker/server/twins.h"

#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_arena arena;

static void open_arena(void) { kf_arena_init(&arena, &kf_default_allocator, 0); }
static void close_arena(void) { kf_arena_free(&arena); }

TestSuite(twins, .init = open_arena, .fini = close_arena);

Test(twins, the_first_is_told_from_those_that_come_again)
{
    struct kf__named names[] = {
        {.text = kf__text("b")}, {.text = kf__text("a")}, {.text = kf__text("b")},
        {.text = kf__text("c")}, {.text = kf__text("b")},
    };
    const char *marks = kf__mark_twins(&arena, names, 5);
    cr_assert(eq(int, marks[0], KF__FIRST_OF_TWINS));
    cr_assert(eq(int, marks[1], KF__ONCE));
    cr_assert(eq(int, marks[2], KF__TWIN_AGAIN));
    cr_assert(eq(int, marks[3], KF__ONCE));
    cr_assert(eq(int, marks[4], KF__TWIN_AGAIN));
}

Test(twins, another_kind_is_another_name)
{
    struct kf__named names[] = {
        {.kind = 2, .text = kf__text("a")}, {.kind = 4, .text = kf__text("a")}, {.kind = 2}};
    const char *marks = kf__mark_twins(&arena, names, 3);
    for (int i = 0; i < 3; i++)
        cr_assert(eq(int, marks[i], KF__ONCE));
}

Test(twins, of_none_there_are_none) { cr_assert(ne(ptr, kf__mark_twins(&arena, NULL, 0), NULL)); }

/* By comparing each with each this would take minutes. */
Test(twins, are_found_among_a_million_names)
{
    enum {
        COUNT = 1000000
    };
    struct kf__named *names = kf_alloc_array(&kf_default_allocator, COUNT, sizeof *names);
    static char digits[COUNT][8];
    for (int i = 0; i < COUNT; i++) {
        snprintf(digits[i], sizeof digits[i], "%d", i == COUNT - 1 ? 0 : i);
        names[i].text = kf__text(digits[i]);
    }
    const char *marks = kf__mark_twins(&arena, names, COUNT);
    cr_assert(eq(int, marks[0], KF__FIRST_OF_TWINS));
    cr_assert(eq(int, marks[COUNT / 2], KF__ONCE));
    cr_assert(eq(int, marks[COUNT - 1], KF__TWIN_AGAIN));
    kf_free(&kf_default_allocator, names);
}
