#include "group/assignor.h"
#include "group/help_alloc.h"
#include "group/help_cases.h"
#include "group/partitions.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static kf_arena arena;
static struct assignment_case one;

static void open_arena(void) { kf_arena_init(&arena, &kf_default_allocator, 0); }
static void close_arena(void) { kf_arena_free(&arena); }

TestSuite(assignor, .init = open_arena, .fini = close_arena);

static void assign(struct kf__partition_list *lists)
{
    cr_assert(eq(int,
                 kf__assign(one.assignor, one.topics, one.topic_count, one.members,
                            one.member_count, &arena, lists),
                 KF_OK));
}

static void add_topic(const char *name, int32_t partitions)
{
    one.topics[one.topic_count++] =
        (struct kf__topic_shape){.name = parse_string(&arena, name), .partition_count = partitions};
}

static void add_member(const char *id, const kf_string *topics, size_t topic_count,
                       const char *owned, int32_t generation)
{
    one.members[one.member_count++] = (struct kf__assignor_member){
        .id = parse_string(&arena, id),
        .topics = topics,
        .topic_count = topic_count,
        .owned = parse_partitions(&arena, owned),
        .generation = generation,
    };
}

static bool list_is(const struct kf__partition_list *list, const char *expected)
{
    struct kf__partition_list wanted = parse_partitions(&arena, expected);
    return !kf__partitions_missing(list, &wanted) && !kf__partitions_missing(&wanted, list);
}

static FILE *open_fixture(void)
{
    FILE *file = fopen("tests/group/fixtures/assignments.txt", "r");
    cr_assert(ne(ptr, file, NULL), "run from the project's root");
    return file;
}

Test(assignor, knows_the_names_that_javas_classes_have)
{
    static const char *const names[] = {"range", "roundrobin", "sticky", "cooperative-sticky"};
    for (int i = 0; i < KF__ASSIGNORS; i++) {
        enum kf__assignor found;
        cr_assert(eq(str, (char *)kf__assignor_name((enum kf__assignor)i), (char *)names[i]));
        cr_assert(kf__assignor_by_name(parse_string(&arena, names[i]), &found));
        cr_assert(eq(int, (int)found, i));
    }
    enum kf__assignor none;
    cr_assert(not(kf__assignor_by_name((kf_string){"rang", 4}, &none)));
    cr_assert(not(kf__assignor_by_name((kf_string){0}, &none)));
    cr_assert(kf__assignor_is_cooperative(KF__ASSIGNOR_COOPERATIVE_STICKY));
    cr_assert(not(kf__assignor_is_cooperative(KF__ASSIGNOR_STICKY)));
}

/* Equal subscriptions (range and round-robin: any), racks, static members, stale and double claims.
 */
Test(assignor, decides_as_javas_classes_do)
{
    FILE *file = open_fixture();
    int number = 0;
    for (; next_case(file, &arena, &one); number++) {
        struct kf__partition_list lists[MAX_CASE_MEMBERS];
        assign(lists);
        for (size_t m = 0; m < one.member_count; m++) {
            bool same = !kf__partitions_missing(&lists[m], &one.answers[m]) &&
                        !kf__partitions_missing(&one.answers[m], &lists[m]);
            cr_assert(same, "case %d, %s, member %zu", number, kf__assignor_name(one.assignor), m);
        }
        kf_arena_reset(&arena);
    }
    fclose(file);
    cr_assert(lt(int, 200, number));
}

Test(assignor, ignores_the_order_in_which_topics_and_owned_partitions_come)
{
    kf_string topics[] = {{"b", 1}, {"a", 1}};
    one.assignor = KF__ASSIGNOR_RANGE;
    add_topic("b", 2);
    add_topic("a", 3);
    add_member("m2", topics, 2, "-", -1);
    add_member("m1", topics, 2, "-", -1);
    struct kf__partition_list lists[2];
    assign(lists);
    cr_assert(list_is(&lists[1], "a:0,a:1,b:0"));
    cr_assert(list_is(&lists[0], "a:2,b:1"));
}

Test(assignor, assigns_nothing_without_members_topics_or_partitions)
{
    kf_string topics[] = {{"gone", 4}};
    for (int i = 0; i < KF__ASSIGNORS; i++) {
        struct kf__partition_list lists[2];
        memset(&one, 0, sizeof one);
        one.assignor = (enum kf__assignor)i;
        assign(lists);
        add_topic("t", 3);
        assign(lists);
        add_member("m1", topics, 1, "gone:0", 4);
        assign(lists);
        cr_assert(eq(sz, lists[0].count, 0));
    }
}

/* KAFKA-7026, KAFKA-12984; franz-go 1.21.4: two owners after a member slept. */
Test(assignor, believes_the_younger_of_two_claims_and_neither_of_equal_ones)
{
    kf_string topics[] = {{"t", 1}};
    one.assignor = KF__ASSIGNOR_STICKY;
    add_topic("t", 4);
    add_member("m1", topics, 1, "t:0,t:1", 4);
    add_member("m2", topics, 1, "t:0,t:2", 5);
    struct kf__partition_list lists[2];
    assign(lists);
    cr_assert(list_is(&lists[0], "t:1,t:3"));
    cr_assert(list_is(&lists[1], "t:0,t:2"));

    one.assignor = KF__ASSIGNOR_COOPERATIVE_STICKY;
    one.members[0].generation = 5;
    assign(lists);
    for (size_t m = 0; m < 2; m++)
        cr_assert(not(kf__partitions_contain(
            &lists[m], &(struct kf__topic_partition){.topic = {"t", 1}, .partition = 0})));
}

Test(assignor, cooperative_hands_over_only_what_was_given_up)
{
    kf_string topics[] = {{"t", 1}};
    one.assignor = KF__ASSIGNOR_COOPERATIVE_STICKY;
    add_topic("t", 4);
    add_member("m1", topics, 1, "t:0,t:1,t:2,t:3", 1);
    add_member("m2", topics, 1, "-", -1);
    struct kf__partition_list lists[2];
    assign(lists);
    cr_assert(list_is(&lists[0], "t:0,t:1"));
    cr_assert(list_is(&lists[1], "-"));
    one.members[0].owned = lists[0];
    one.members[0].generation = one.members[1].generation = 2;
    assign(lists);
    cr_assert(list_is(&lists[0], "t:0,t:1"));
    cr_assert(list_is(&lists[1], "t:2,t:3"));
}

/* Unequal subscriptions: drawn cases, and what must hold for each. */

static uint64_t seed;
static unsigned draw(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % below;
}

static void draw_case(bool cooperative)
{
    static kf_string wanted[MAX_CASE_MEMBERS][6];
    char name[16];
    memset(&one, 0, sizeof one);
    one.assignor = cooperative ? KF__ASSIGNOR_COOPERATIVE_STICKY : KF__ASSIGNOR_STICKY;
    unsigned topics = 1 + draw(6);
    for (unsigned t = 0; t < topics; t++) {
        snprintf(name, sizeof name, "t%u", t);
        add_topic(name, 1 + (int32_t)draw(12));
    }
    unsigned members = 1 + draw(8);
    for (unsigned m = 0; m < members; m++) {
        size_t count = 0;
        for (unsigned t = 0; t < topics; t++)
            if (draw(3))
                wanted[m][count++] = one.topics[t].name;
        snprintf(name, sizeof name, "m%u", m);
        add_member(name, wanted[m], count, "-", 3);
        one.members[m].owned.items =
            kf_arena_alloc(&arena, 6 * 12 * sizeof(struct kf__topic_partition));
    }
    for (unsigned t = 0; t < topics; t++)
        for (int32_t p = 0; p < one.topics[t].partition_count; p++) {
            struct kf__partition_list *owned = &one.members[draw(members)].owned;
            if (draw(4))
                owned->items[owned->count++] = (struct kf__topic_partition){one.topics[t].name, p};
        }
}

static bool wants(size_t member, kf_string topic)
{
    for (size_t i = 0; i < one.members[member].topic_count; i++)
        if (!kf__string_compare(one.members[member].topics[i], topic))
            return true;
    return false;
}

/* Who has it, or -1; more than one is a failure. */
static int owner_in(const struct kf__partition_list *lists, struct kf__topic_partition partition)
{
    int owner = -1;
    for (size_t m = 0; m < one.member_count; m++) {
        if (!kf__partitions_contain(&lists[m], &partition))
            continue;
        cr_assert(eq(int, owner, -1));
        cr_assert(wants(m, partition.topic));
        owner = (int)m;
    }
    return owner;
}

static int claimant_of(struct kf__topic_partition partition)
{
    for (size_t m = 0; m < one.member_count; m++)
        if (kf__partitions_contain(&one.members[m].owned, &partition))
            return (int)m;
    return -1;
}

static void check_partition(const struct kf__partition_list *lists,
                            struct kf__topic_partition partition, bool cooperative)
{
    int owner = owner_in(lists, partition);
    int claimant = claimant_of(partition);
    bool wanted = false;
    for (size_t m = 0; m < one.member_count; m++)
        wanted = wanted || wants(m, partition.topic);
    if (!cooperative) {
        cr_assert(eq(int, owner >= 0, wanted));
        for (size_t m = 0; owner >= 0 && m < one.member_count; m++) {
            bool helps = wants(m, partition.topic) && lists[m].count + 2 <= lists[owner].count;
            cr_assert(not(helps), "a move would make it more even");
        }
    } else if (claimant >= 0) {
        bool waits = owner == -1 || owner == claimant;
        cr_assert(waits);
    }
}

Test(assignor, is_valid_even_and_careful_with_unequal_subscriptions)
{
    for (seed = 1; seed < 400; seed += 2) {
        uint64_t start = seed;
        for (int cooperative = 0; cooperative < 2; cooperative++) {
            struct kf__partition_list lists[MAX_CASE_MEMBERS];
            seed = start;
            draw_case(cooperative);
            assign(lists);
            for (size_t t = 0; t < one.topic_count; t++)
                for (int32_t p = 0; p < one.topics[t].partition_count; p++)
                    check_partition(lists, (struct kf__topic_partition){one.topics[t].name, p},
                                    cooperative);
            kf_arena_reset(&arena);
        }
        seed = start;
    }
}

Test(assignor, moves_nothing_where_unequal_subscriptions_are_even_already)
{
    kf_string both[] = {{"t", 1}, {"u", 1}};
    one.assignor = KF__ASSIGNOR_STICKY;
    add_topic("t", 3);
    add_topic("u", 2);
    add_member("m1", both, 1, "t:1,t:2", 3);
    add_member("m2", both, 2, "t:0,u:0,u:1", 3);
    struct kf__partition_list lists[2];
    assign(lists);
    cr_assert(list_is(&lists[0], "t:1,t:2"));
    cr_assert(list_is(&lists[1], "t:0,u:0,u:1"));
}

/* m1 wants only t, m3 only u: to relieve m1, m2 must pass one on. */
Test(assignor, moves_along_a_chain_where_no_single_move_helps)
{
    kf_string topics[] = {{"t", 1}, {"u", 1}};
    one.assignor = KF__ASSIGNOR_STICKY;
    add_topic("t", 3);
    add_topic("u", 2);
    add_member("m1", topics, 1, "t:0,t:1,t:2", 3);
    add_member("m2", topics, 2, "u:0,u:1", 3);
    add_member("m3", topics + 1, 1, "-", 3);
    struct kf__partition_list lists[3];
    assign(lists);
    cr_assert(eq(sz, lists[0].count, 2));
    cr_assert(eq(sz, lists[1].count, 2));
    cr_assert(eq(sz, lists[2].count, 1));
}

Test(assignor, reports_every_allocation_that_fails)
{
    FILE *file = open_fixture();
    for (int number = 0; number < 12; number++) {
        close_arena();
        open_arena();
        cr_assert(next_case(file, &arena, &one));
        struct failing_allocator failing = {.failed = true};
        for (long at = 0; failing.failed; at++) {
            struct kf__partition_list lists[MAX_CASE_MEMBERS];
            failing_allocator_init(&failing, at);
            kf_arena small;
            kf_arena_init(&small, &failing.alloc, 0);
            kf_err err = kf__assign(one.assignor, one.topics, one.topic_count, one.members,
                                    one.member_count, &small, lists);
            cr_assert(eq(int, err, failing.failed ? KF_ERR_NO_MEMORY : KF_OK));
            kf_arena_free(&small);
        }
    }
    fclose(file);
}
