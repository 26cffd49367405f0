#include "tools/broker/group/assignors.h"

#include "tools/broker/group/java_order.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

enum {
    MOST = 8,
};

static struct kf__plan plan;
static struct kf__plan_topic topics[MOST];
static struct kf__plan_member members[MOST];
static struct kf__holding before[MOST];
static int32_t wanted[MOST][MOST];

static void open_plan(void)
{
    plan = (struct kf__plan){.alloc = &kf_default_allocator, .topics = topics, .members = members};
}

static void close_plan(void)
{
    for (int32_t i = 0; i < plan.member_count; i++) {
        kf__holding_free(plan.alloc, &members[i].after);
        kf__holding_free(plan.alloc, &before[i]);
    }
}

TestSuite(assignors, .init = open_plan, .fini = close_plan);

/* Ids ascend with the topics. */
static void add_topic(int32_t partitions)
{
    topics[plan.topic_count] = (struct kf__plan_topic){.partitions = partitions};
    topics[plan.topic_count].id.bytes[15] = (uint8_t)(plan.topic_count + 1);
    plan.topic_count++;
}

/* "01": wants the first two topics. */
static void add_member(const char *id, const char *instance, const char *wants)
{
    int32_t at = plan.member_count++;
    members[at] = (struct kf__plan_member){.id = kf__text(id),
                                           .instance_id = kf__text(instance),
                                           .topics = wanted[at],
                                           .before = &before[at]};
    for (; *wants; wants++)
        wanted[at][members[at].topic_count++] = *wants - '0';
}

/* "0/1 1/0": topic and partition, sorted. */
static char *told(int32_t member)
{
    static char text[MOST][400];
    char *at = text[member];
    *at = 0;
    kf__holding_sort(&members[member].after);
    for (size_t i = 0; i < members[member].after.count; i++) {
        const struct kf__held *one = &members[member].after.items[i];
        at += sprintf(at, "%s%d/%d", i ? " " : "", one->topic.bytes[15] - 1, (int)one->partition);
    }
    return text[member];
}

/* The answers become what members had before, as the group does it. */
static void go_on(void)
{
    for (int32_t m = 0; m < plan.member_count; m++) {
        struct kf__holding *after = &members[m].after;
        kf__holding_sort(after);
        for (size_t i = 0; i < after->count; i += kf__holding_run(after, i))
            cr_assert(eq(int,
                         kf__java_rank(plan.alloc, &after->items[i], kf__holding_run(after, i),
                                       plan.numbered ? (int64_t)before[m].count : -1),
                         KF_OK));
        kf__holding_free(plan.alloc, &before[m]);
        before[m] = *after;
        *after = (struct kf__holding){0};
    }
    plan.numbered = false;
}

Test(assignors, range_cuts_each_topic_into_ranges_longer_ones_first)
{
    add_topic(7);
    add_topic(2);
    add_member("b", NULL, "01");
    add_member("a", NULL, "01");
    add_member("c", NULL, "0");
    cr_assert(eq(int, kf__target_range(&plan), KF_OK));
    cr_assert(eq(str, told(1), "0/0 0/1 0/2 1/0"));
    cr_assert(eq(str, told(0), "0/3 0/4 1/1"));
    cr_assert(eq(str, told(2), "0/5 0/6"));
}

Test(assignors, range_puts_static_members_first_by_instance)
{
    add_topic(3);
    add_member("a", NULL, "0");
    add_member("b", "z", "0");
    add_member("c", "y", "0");
    cr_assert(eq(int, kf__target_range(&plan), KF_OK));
    cr_assert(eq(str, told(2), "0/0"));
    cr_assert(eq(str, told(1), "0/1"));
    cr_assert(eq(str, told(0), "0/2"));
}

Test(assignors, uniform_goes_by_the_order_of_javas_map_and_gives_one_more_to_the_last)
{
    add_topic(5);
    add_member("m2", NULL, "0");
    add_member("m1", NULL, "0");
    cr_assert(eq(int, kf__target_uniform(&plan), KF_OK));
    cr_assert(eq(str, told(1), "0/0 0/1"), "m1 comes first in the table");
    cr_assert(eq(str, told(0), "0/2 0/3 0/4"));
}

Test(assignors, uniform_takes_no_more_than_it_must)
{
    add_topic(6);
    add_member("m1", NULL, "0");
    cr_assert(eq(int, kf__target_uniform(&plan), KF_OK));
    go_on();
    add_member("m2", NULL, "0");
    cr_assert(eq(int, kf__target_uniform(&plan), KF_OK));
    cr_assert(eq(str, told(0), "0/0 0/1 0/2"));
    cr_assert(eq(str, told(1), "0/3 0/4 0/5"));
    go_on();
    add_member("m3", NULL, "0");
    cr_assert(eq(int, kf__target_uniform(&plan), KF_OK));
    cr_assert(eq(str, told(0), "0/0 0/1"));
    cr_assert(eq(str, told(1), "0/3 0/4"));
    cr_assert(eq(str, told(2), "0/2 0/5"));
}

/* With 20 of them Java's table has 32 buckets: 33 stands before 2. */
Test(assignors, uniform_keeps_what_javas_set_shows_first)
{
    add_topic(40);
    add_member("m1", NULL, "0");
    add_member("m2", NULL, "0");
    for (int p = 0; p < 19; p++)
        kf__holding_add(plan.alloc, &before[0], topics[0].id, p, p);
    kf__holding_add(plan.alloc, &before[0], topics[0].id, 33, 19);
    kf__java_rank(plan.alloc, before[0].items, before[0].count, -1);
    cr_assert(eq(i32, before[0].items[0].epoch, 0));
    cr_assert(eq(i32, before[0].items[1].epoch, 1));
    cr_assert(eq(i32, before[0].items[19].epoch, 2));
    cr_assert(eq(i32, before[0].items[2].epoch, 3));
}

Test(assignors, uniform_leaves_topics_that_nobody_wants_any_more)
{
    add_topic(2);
    add_topic(2);
    add_member("m1", NULL, "1");
    kf__holding_add(plan.alloc, &before[0], topics[0].id, 0, 0);
    cr_assert(eq(int, kf__target_uniform(&plan), KF_OK));
    cr_assert(eq(str, told(0), "1/0 1/1"));
}

Test(assignors, mixed_gives_to_whoever_has_least)
{
    add_topic(6);
    add_topic(4);
    add_member("m1", NULL, "0");
    add_member("m2", NULL, "01");
    cr_assert(eq(int, kf__target_mixed(&plan), KF_OK));
    cr_assert(eq(str, told(0), "0/0 0/1 0/2 0/3 0/4"), "the topic of one member goes first");
    cr_assert(eq(str, told(1), "0/5 1/0 1/1 1/2 1/3"));
}

Test(assignors, mixed_evens_out_what_was_there)
{
    add_topic(4);
    add_topic(2);
    add_member("m1", NULL, "01");
    add_member("m2", NULL, "0");
    for (int p = 0; p < 4; p++)
        kf__holding_add(plan.alloc, &before[0], topics[0].id, p, p);
    for (int p = 0; p < 2; p++)
        kf__holding_add(plan.alloc, &before[0], topics[1].id, p, p);
    cr_assert(eq(int, kf__target_mixed(&plan), KF_OK));
    cr_assert(eq(str, told(0), "0/0 1/0 1/1"));
    cr_assert(eq(str, told(1), "0/1 0/2 0/3"));
}

Test(assignors, nobody_wants_anything)
{
    add_member("m1", NULL, "");
    cr_assert(eq(int, kf__target_range(&plan), KF_OK));
    cr_assert(eq(int, kf__target_uniform(&plan), KF_OK));
    cr_assert(eq(int, kf__target_mixed(&plan), KF_OK));
    cr_assert(eq(sz, members[0].after.count, 0));
}

/* Known from java.lang.String and java.util.HashMap. */
Test(assignors, hashes_as_java_does)
{
    cr_assert(eq(u32, kf__java_hash_text(kf__text("uniform")), 4008040884u));
    cr_assert(eq(u32, kf__java_grown(12), 16));
    cr_assert(eq(u32, kf__java_grown(13), 32));
    cr_assert(eq(u32, kf__java_copied(12), 32));
    cr_assert(eq(u32, kf__java_copied(11), 16));
}
