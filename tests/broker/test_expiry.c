/* Which offsets go when (KIP-211); by a call, a script and after a restore: test_offset_expiry.c.
 */
#include "tools/broker/group/expiry.h"

#include "tools/broker/group/any_group.h"
#include "tools/broker/text.h"
#include "tools/broker/txn/txn_coordinator.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

enum {
    RETENTION_MS = 10000,
    NEVER = 1000000000, /* ms; later than all else */
};

/* "t" in version 0 of a subscription, and a word that is none. */
static const uint8_t to_t[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xFF, 0xFF, 0xFF, 0xFF};
static const uint8_t noise[] = {0, 0, 0, 0, 9, 9};

static struct kf__topics topics;
static struct kf__coordinator classic;
static struct kf__consumers consumers;
static struct kf__committed committed;
static struct kf__pending_offsets pending;
static kf_arena arena;
static char joined_as[80];

static void tell_settings(void *context, kf_string group, struct kf__consumer_settings *told)
{
    (void)context;
    (void)group;
    *told = (struct kf__consumer_settings){
        .session_timeout = NEVER * KF_MILLISECOND, .heartbeat_ms = 5000, .max_size = 9};
}

static void on_joined(void *context, void *token, const struct kf__joined *answer)
{
    (void)context;
    (void)token;
    snprintf(joined_as, sizeof joined_as, "%.*s", (int)answer->member_id.size,
             answer->member_id.data);
}

static void on_synced(void *context, void *token, const struct kf__synced *answer)
{
    (void)context;
    (void)token;
    (void)answer;
}

static void open_all(void)
{
    struct kf__group_sink sink = {.joined = on_joined, .synced = on_synced};
    kf__broker_topics_init(&topics, &kf_default_allocator, 1, 7);
    kf__coordinator_init(&classic, &kf_default_allocator, sink);
    kf__consumers_init(&consumers, &kf_default_allocator, &topics, &classic);
    consumers.settings = tell_settings;
    kf__committed_init(&committed, &kf_default_allocator);
    kf__pending_init(&pending, &kf_default_allocator);
    kf_arena_init(&arena, &kf_default_allocator, 0);
}

static void close_all(void)
{
    kf_arena_free(&arena);
    kf__pending_free(&pending);
    kf__committed_free(&committed);
    kf__consumers_free(&consumers);
    kf__coordinator_free(&classic);
    kf__broker_topics_free(&topics);
}

TestSuite(offset_expiry_rules, .init = open_all, .fini = close_all, .timeout = 60);

static void commit_until(const char *topic, int64_t at_ms, int64_t expire_ms)
{
    struct kf__committed_offset offset = {
        .topic = kf__text(topic), .offset = 5, .commit_ms = at_ms, .expire_ms = expire_ms};
    cr_assert(eq(int, kf__committed_put(&committed, kf__text("g"), &offset), KF_OK));
}

static void commit(const char *topic, int64_t at_ms) { commit_until(topic, at_ms, -1); }

static void hold(const char *topic)
{
    struct kf__pending_offset item = {
        .producer_id = 1, .group = kf__text("g"), .offset = {.topic = kf__text(topic)}};
    cr_assert(eq(int, kf__pending_put(&pending, &item, ++committed.writes), KF_OK));
}

/* The group's topics with an offset, a letter each, after expiry at that time; "-": no group. */
static const char *left_at(int64_t now_ms)
{
    static char text[16];
    struct kf__expiry expiry = {.consumers = &consumers,
                                .committed = &committed,
                                .pending = &pending,
                                .now_ms = now_ms,
                                .retention_ms = RETENTION_MS,
                                .arena = &arena};
    kf__offsets_expire(&expiry);
    const struct kf__committed_group *group = kf__committed_group(&committed, kf__text("g"));
    size_t count = 0;
    for (; group && count < group->count; count++)
        text[count] = *group->items[count].topic.data;
    text[count] = 0;
    bool known = kf__any_group_is(kf__any_group(&consumers, kf__text("g")));
    cr_assert(known || count == 0, "offsets without their group");
    return known ? text : "-";
}

static void expect_at(int64_t now_ms, const char *left)
{
    cr_assert(eq(str, (char *)(uintptr_t)left_at(now_ms), (char *)(uintptr_t)left), "at %lld ms",
              (long long)now_ms);
}

/* One member of the classic protocol; stable once it has synced, too. */
static void join(const char *type, kf_bytes subscription)
{
    struct kf__group_protocol range = {.name = kf__text("range"), .metadata = subscription};
    struct kf__join asked = {
        .group = kf__text("g"),
        .instance_id = {0},
        .client_id = kf__text("c"),
        .protocol_type = kf__text(type),
        .protocols = &range,
        .protocol_count = 1,
        .session_timeout = 1800 * KF_SECOND,
        .rebalance_timeout = 1800 * KF_SECOND,
    };
    kf__coordinator_join(&classic, 0, &asked, &arena);
}

static struct kf__member_claim member(void)
{
    return (struct kf__member_claim){
        .group = kf__text("g"), .member_id = kf__text(joined_as), .generation = 1};
}

static void join_and_sync(const char *type, kf_bytes subscription)
{
    join(type, subscription);
    struct kf__sync sync = {.who = member()};
    kf__coordinator_sync(&classic, 0, &sync, &arena);
    cr_assert(eq(int, (int)kf__coordinator_find(&classic, kf__text("g"))->state, KF__GROUP_STABLE));
}

static void leave_at(int64_t now_ms)
{
    struct kf__member_claim who = member();
    cr_assert(eq(int, kf__coordinator_leave(&classic, now_ms * KF_MILLISECOND, &who), KF_OK));
}

static kf_bytes subscribing_to_t(void) { return (kf_bytes){to_t, sizeof to_t}; }

static void beat_at(int64_t now_ms, int32_t epoch)
{
    struct kf__beat_answer answer;
    kf_string topic = kf__text("t");
    struct kf__beat beat = {.version = 1,
                            .group = kf__text("g"),
                            .member_id = kf__text("m"),
                            .member_epoch = epoch,
                            .client_id = kf__text("c"),
                            .rebalance_timeout_ms = 60000,
                            .topics = &topic,
                            .topic_count = 1};
    kf__consumers_beat(&consumers, now_ms * KF_MILLISECOND, &beat, &answer);
    cr_assert(eq(int, answer.error, KF_OK), "%s", answer.why);
}

Test(offset_expiry_rules, who_is_no_group_by_the_time_of_each_commit)
{
    kf__coordinator_group(&classic, kf__text("g"));
    commit("t", 1000);
    commit("u", 5000);
    expect_at(10999, "tu");
    expect_at(11000, "u");
    expect_at(14999, "u");
    expect_at(15000, "-");
}

Test(offset_expiry_rules, an_empty_classic_group_all_at_once_by_the_time_its_last_member_went)
{
    join_and_sync("consumer", subscribing_to_t());
    commit("t", 1000);
    commit("u", 20000);
    leave_at(20500);
    expect_at(30499, "tu");
    expect_at(30500, "-");
}

Test(offset_expiry_rules, a_stable_classic_group_keeps_what_it_subscribes_to)
{
    join_and_sync("consumer", subscribing_to_t());
    commit("t", 1000);
    commit("u", 1000);
    commit("v", 2000);
    expect_at(10999, "tuv");
    expect_at(11000, "tv");
    expect_at(12000, "t");
    expect_at(NEVER, "t");
}

Test(offset_expiry_rules, a_stable_group_that_lost_all_offsets_stays)
{
    join_and_sync("consumer", subscribing_to_t());
    commit("u", 1000);
    expect_at(11000, "");
    cr_assert(eq(i32, kf__any_group_members(kf__any_group(&consumers, kf__text("g"))), 1));
}

Test(offset_expiry_rules, nothing_in_a_rebalance)
{
    join("consumer", subscribing_to_t());
    commit("u", 1000);
    expect_at(NEVER, "u");
}

Test(offset_expiry_rules, nothing_where_a_subscription_can_not_be_read)
{
    join_and_sync("consumer", (kf_bytes){noise, sizeof noise});
    commit("u", 1000);
    expect_at(NEVER, "u");
}

/* Kafka Connect's, for one. */
Test(offset_expiry_rules, a_group_of_others_than_consumers_only_when_it_is_empty)
{
    join_and_sync("connect", subscribing_to_t());
    commit("t", 1000);
    expect_at(NEVER, "t");
    leave_at(NEVER);
    expect_at(NEVER + RETENTION_MS - 1, "t");
    expect_at(NEVER + RETENTION_MS, "-");
}

Test(offset_expiry_rules, a_commit_with_a_retention_time_of_its_own_by_that_alone)
{
    join_and_sync("consumer", subscribing_to_t());
    commit_until("s", 1000, 3000);
    commit_until("t", 1000, 3000);
    commit_until("u", 1000, 50000);
    expect_at(2999, "stu");
    expect_at(3000, "tu");
    leave_at(4000);
    expect_at(4000, "u");
    expect_at(49999, "u");
    expect_at(50000, "-");
}

Test(offset_expiry_rules, a_group_of_the_new_protocol_by_the_time_of_the_commit_even_when_empty)
{
    struct kf__topic *topic;
    cr_assert(eq(int, kf__topics_create(&topics, kf__text("t"), 1, 1, &topic), KF_OK));
    beat_at(0, 0);
    commit("t", 1000);
    commit("u", 1000);
    expect_at(10999, "tu");
    expect_at(11000, "t");
    expect_at(500000, "t");
    beat_at(500000, -1);
    expect_at(500000, "-");
}

Test(offset_expiry_rules, an_offset_that_a_transaction_is_about_to_replace_stays)
{
    kf__coordinator_group(&classic, kf__text("g"));
    commit("t", 1000);
    commit("u", 1000);
    hold("t");
    expect_at(NEVER, "t");
    kf__pending_end(&pending, &committed, 0, 1, false);
    expect_at(NEVER, "-");
}

Test(offset_expiry_rules, a_group_with_nothing_but_an_open_transaction_stays)
{
    kf__coordinator_group(&classic, kf__text("g"));
    hold("t");
    expect_at(NEVER, "");
    kf__pending_drop_group(&pending, kf__text("g"));
    expect_at(NEVER, "-");
}

Test(offset_expiry_rules, an_empty_group_without_offsets_goes_whatever_its_age)
{
    join_and_sync("consumer", subscribing_to_t());
    expect_at(1000, "");
    leave_at(2000);
    expect_at(2000, "-");
}

Test(offset_expiry_rules, groups_of_both_kinds_side_by_side)
{
    const char *const names[] = {"a", "b", "g"};
    for (int i = 0; i < 3; i++)
        kf__coordinator_group(&classic, kf__text(names[i]));
    kf__consumers_put(&consumers, kf__text("c"));
    kf__consumers_put(&consumers, kf__text("d"));
    commit("t", 1000);
    expect_at(2000, "t");
    cr_assert(eq(sz, classic.group_count, 1));
    cr_assert(eq(sz, consumers.group_count, 0));
}
