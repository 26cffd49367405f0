#include "tools/broker/group/pending_offsets.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__pending_offsets pending;
static struct kf__committed committed;

static void open_offsets(void)
{
    kf__pending_init(&pending, &kf_default_allocator);
    kf__committed_init(&committed, &kf_default_allocator);
}

static void close_offsets(void)
{
    kf__pending_free(&pending);
    kf__committed_free(&committed);
}

TestSuite(pending_offsets, .init = open_offsets, .fini = close_offsets);

static void hold(int64_t producer, const char *group, int32_t partition, int64_t offset)
{
    struct kf__pending_offset item = {
        .producer_id = producer,
        .group = kf__text(group),
        .place = kf__place_of_key(kf__text(group), 50),
        .offset = {.topic = kf__text("t"), .partition = partition, .offset = offset}};
    cr_assert(eq(int, kf__pending_put(&pending, &item, ++committed.writes), KF_OK));
}

static int64_t committed_at(const char *group, int32_t partition)
{
    const struct kf__committed_offset *found =
        kf__committed_find(&committed, kf__text(group), kf__text("t"), partition);
    return found ? found->offset : -1;
}

static void end(int64_t producer, const char *group, bool commit)
{
    int32_t of = kf__place_of_key(kf__text(group), 50);
    cr_assert(eq(int, kf__pending_end(&pending, &committed, of, producer, commit), KF_OK));
}

Test(pending_offsets, shows_nothing_before_the_marker)
{
    hold(1, "g", 0, 5);
    hold(1, "g", 0, 6);
    cr_assert(eq(i64, committed_at("g", 0), -1));
    cr_assert(kf__pending_holds(&pending, kf__text("g"), kf__text("t"), 0));
    cr_assert(not(kf__pending_holds(&pending, kf__text("g"), kf__text("t"), 1)));
    end(1, "g", true);
    cr_assert(eq(i64, committed_at("g", 0), 6));
    cr_assert(not(kf__pending_holds(&pending, kf__text("g"), kf__text("t"), 0)));
}

Test(pending_offsets, forgets_what_is_aborted)
{
    hold(1, "g", 0, 5);
    end(1, "g", false);
    cr_assert(eq(i64, committed_at("g", 0), -1));
    cr_assert(eq(sz, pending.count, 0));
}

Test(pending_offsets, ends_only_the_producers_own_in_that_partition_of_the_offsets_topic)
{
    hold(1, "g", 0, 5);
    hold(2, "g", 1, 7);
    hold(1, "other", 0, 9);
    end(1, "g", true);
    cr_assert(eq(i64, committed_at("g", 0), 5));
    cr_assert(eq(i64, committed_at("g", 1), -1));
    cr_assert(eq(i64, committed_at("other", 0), -1));
    cr_assert(eq(sz, pending.count, 2));
}

Test(pending_offsets, lets_a_later_commit_stand)
{
    struct kf__committed_offset direct = {.topic = kf__text("t"), .offset = 9};
    hold(1, "g", 0, 5);
    cr_assert(eq(int, kf__committed_put(&committed, kf__text("g"), &direct), KF_OK));
    hold(2, "g", 0, 7);
    end(1, "g", true);
    cr_assert(eq(i64, committed_at("g", 0), 9));
    end(2, "g", true);
    cr_assert(eq(i64, committed_at("g", 0), 7));
}

Test(pending_offsets, goes_with_its_group_and_its_topic)
{
    hold(1, "g", 0, 5);
    hold(1, "h", 0, 5);
    kf__pending_drop_group(&pending, kf__text("g"));
    cr_assert(eq(sz, pending.count, 1));
    kf__pending_drop_topic(&pending, kf__text("t"));
    cr_assert(eq(sz, pending.count, 0));
}
