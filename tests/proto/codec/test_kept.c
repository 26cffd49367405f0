/* What is kept of plans and moves: found by all that it depends on, up to the last place, no
 * further. */
#include "proto/codec/kept.h"
#include "proto/codec/moves.h"
#include "proto/codec/plan.h"
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

TestSuite(kept, .timeout = 30);

static struct kf__kept kept;

static const struct kf__struct *root_of(const kf_schema *schema)
{
    return kf__struct_at(schema->root);
}

static int keep(const struct kf__struct *type, int16_t version, bool flexible)
{
    const struct kf__kept_key key = {type, version, flexible, false};
    int number = kf__kept_add(&kept, &key);
    if (number >= 0)
        kf__kept_show(&kept, number);
    return number;
}

static int find(const struct kf__struct *type, int16_t version, bool flexible)
{
    const struct kf__kept_key key = {type, version, flexible, false};
    return kf__kept_find(&kept, &key);
}

Test(kept, finds_what_was_shown_and_nothing_else)
{
    const struct kf__struct *type = root_of(&kf_schema_of_fetch_request);
    const struct kf__kept_key key = {type, 12, true, false};
    cr_assert(eq(int, kf__kept_add(&kept, &key), 0));
    cr_assert(eq(int, find(type, 12, true), KF__NOT_KEPT));
    kf__kept_show(&kept, 0);
    cr_assert(eq(int, find(type, 12, true), 0));
    cr_assert(eq(int, find(type, 11, true), KF__NOT_KEPT));
    cr_assert(eq(int, find(type, 12, false), KF__NOT_KEPT));
    cr_assert(eq(int, find(root_of(&kf_schema_of_produce_request), 12, true), KF__NOT_KEPT));
}

Test(kept, gives_out_no_more_numbers_than_there_are)
{
    const kf_schema *schema;
    int taken = 0;
    for (size_t i = 0; (schema = kf_schema_at(i)); i++)
        for (int16_t version = schema->min_version; version <= schema->max_version; version++) {
            bool flexible = kf_schema_is_flexible(schema, version);
            int number = keep(root_of(schema), version, flexible);
            cr_assert(eq(int, number, find(root_of(schema), version, flexible)));
            if (number == KF__NOT_KEPT)
                continue;
            cr_assert(eq(int, number, taken));
            taken++;
        }
    cr_assert(eq(int, taken, KF__KEPT));
}

/* Both places that one may have are taken: the third makes its plan itself. */
Test(kept, refuses_what_has_no_place_left)
{
    struct kf__struct types[] = {{.first = 10}, {.first = 10}, {.first = 10}};
    cr_assert(eq(int, keep(&types[0], 1, true), 0));
    cr_assert(eq(int, keep(&types[1], 1, true), 1));
    cr_assert(eq(int, keep(&types[2], 1, true), KF__NOT_KEPT));
    cr_assert(eq(int, find(&types[0], 1, true), 0));
    cr_assert(eq(int, find(&types[1], 1, true), 1));
    cr_assert(eq(int, find(&types[2], 1, true), KF__NOT_KEPT));
}

/* As where two threads made one at once. */
Test(kept, shows_one_of_two_that_are_the_same)
{
    const struct kf__kept_key key = {root_of(&kf_schema_of_fetch_request), 12, true, false};
    cr_assert(eq(int, kf__kept_add(&kept, &key), 0));
    cr_assert(eq(int, kf__kept_add(&kept, &key), 1));
    kf__kept_show(&kept, 1);
    kf__kept_show(&kept, 0);
    cr_assert(eq(int, kf__kept_find(&kept, &key), 1));
}

Test(kept, has_plans_that_are_made_once)
{
    struct kf__plan own;
    const struct kf__struct *type = root_of(&kf_schema_of_fetch_request);
    const struct kf__plan *plan = kf__plan_of(type, 12, true, &own);
    cr_assert(ne(ptr, (void *)(uintptr_t)plan, &own));
    cr_assert(
        eq(ptr, (void *)(uintptr_t)kf__plan_of(type, 12, true, &own), (void *)(uintptr_t)plan));
    cr_assert(eq(sz, plan->least, kf__min_wire_size(type, 12, true)));
    cr_assert(
        ne(ptr, (void *)(uintptr_t)kf__plan_of(type, 11, false, &own), (void *)(uintptr_t)plan));
}

/* For many structs the machine's shuffles are taken; both kinds stay. */
Test(kept, has_moves_for_few_structs_and_for_many)
{
    struct kf__moves own;
    const struct kf__struct *type = root_of(&kf_schema_of_fetch_request);
    const struct kf__moves *few = kf__moves_of(type, 12, true, false, &own);
    const struct kf__moves *many = kf__moves_of(type, 12, true, true, &own);
    cr_assert(ne(ptr, (void *)(uintptr_t)few, &own));
    cr_assert(ne(ptr, (void *)(uintptr_t)many, &own));
    cr_assert(ne(ptr, (void *)(uintptr_t)many, (void *)(uintptr_t)few));
    cr_assert(not(few->many));
    cr_assert(many->many);
    cr_assert(eq(ptr, (void *)(uintptr_t)kf__moves_of(type, 12, true, false, &own),
                 (void *)(uintptr_t)few));
    cr_assert(eq(ptr, (void *)(uintptr_t)kf__moves_of(type, 12, true, true, &own),
                 (void *)(uintptr_t)many));
}
