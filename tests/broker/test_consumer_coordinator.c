#include "tools/broker/group/consumer_coordinator.h"

#include "tools/broker/group/any_group.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

static struct kf__topics topics;
static struct kf__coordinator classic;
static struct kf__consumers consumers;
static struct kf__consumer_settings settings;
static struct kf__beat_answer answer;
static const kf_time T0 = 1000 * KF_SECOND;

static void tell_settings(void *context, kf_string group, struct kf__consumer_settings *told)
{
    (void)context;
    (void)group;
    *told = settings;
}

static void open_all(void)
{
    struct kf__group_sink sink = {0};
    settings = (struct kf__consumer_settings){.session_timeout = 45 * KF_SECOND,
                                              .heartbeat_ms = 5000,
                                              .max_size = 100,
                                              .classic_max_size = 100,
                                              .migration = KF__MIGRATE_UP | KF__MIGRATE_DOWN};
    kf__broker_topics_init(&topics, &kf_default_allocator, 1, 7);
    kf__coordinator_init(&classic, &kf_default_allocator, sink);
    kf__consumers_init(&consumers, &kf_default_allocator, &topics, &classic);
    consumers.settings = tell_settings;
}

static void close_all(void)
{
    kf__consumers_free(&consumers);
    kf__coordinator_free(&classic);
    kf__broker_topics_free(&topics);
}

TestSuite(consumer_coordinator, .init = open_all, .fini = close_all, .timeout = 60);

static struct kf__topic *make_topic(const char *name, int32_t partitions)
{
    struct kf__topic *topic = NULL;
    cr_assert(eq(int, kf__topics_create(&topics, kf__text(name), partitions, 1, &topic), KF_OK));
    return topic;
}

static struct kf__beat a_beat(const char *member, int32_t epoch)
{
    return (struct kf__beat){.version = 1,
                             .group = kf__text("g"),
                             .member_id = kf__text(member),
                             .member_epoch = epoch,
                             .client_id = kf__text("c"),
                             .client_host = kf__text("/127.0.0.1"),
                             .rebalance_timeout_ms = -1,
                             .topic_count = -1,
                             .owned_topics = -1};
}

static kf_err send(kf_time now, const struct kf__beat *beat)
{
    kf__consumers_beat(&consumers, now, beat, &answer);
    return answer.error;
}

static kf_err join_at(kf_time now, const char *member, const char *instance, const char *topic)
{
    kf_string name = kf__text(topic);
    struct kf__beat beat = a_beat(member, 0);
    beat.instance_id = kf__text(instance);
    beat.rebalance_timeout_ms = 60000;
    beat.topics = &name;
    beat.topic_count = 1;
    beat.owned_topics = 0;
    return send(now, &beat);
}

static kf_err join(const char *member, const char *topic)
{
    return join_at(T0, member, NULL, topic);
}

static kf_err beat(const char *member, int32_t epoch)
{
    struct kf__beat it = a_beat(member, epoch);
    return send(T0, &it);
}

/* The member has only these of the topic now. */
static kf_err beat_owning(const char *member, int32_t epoch, const struct kf__topic *topic,
                          const char *partitions)
{
    struct kf__beat it = a_beat(member, epoch);
    struct kf__held owned[10];
    for (; *partitions; partitions++)
        owned[it.owned_count++] =
            (struct kf__held){.topic = topic->id, .partition = *partitions - '0'};
    it.owned = owned;
    it.owned_topics = it.owned_count > 0;
    return send(T0, &it);
}

/* Partitions of a single topic: "012"; "-" where the answer has none at all. */
static const char *given(void)
{
    static char text[16];
    size_t count = 0;
    if (!answer.assignment)
        return "-";
    for (; count < answer.assignment->count; count++)
        text[count] = (char)('0' + answer.assignment->items[count].partition);
    text[count] = 0;
    return text;
}

static struct kf__consumer_group *group(void)
{
    return kf__consumers_find(&consumers, kf__text("g"));
}

static const char *state(void)
{
    return kf__any_group_state(kf__any_group(&consumers, kf__text("g")));
}

static struct kf__consumer_member *member(const char *id)
{
    return kf__consumer_member(group(), kf__text(id));
}

Test(consumer_coordinator, gives_a_lone_member_everything_at_once)
{
    make_topic("t", 3);
    cr_assert(eq(int, join("a", "t"), KF_OK));
    cr_assert(eq(i32, answer.member_epoch, 2));
    cr_assert(eq(i32, answer.heartbeat_ms, 5000));
    cr_assert(eq(str, (char *)given(), "012"));
    cr_assert(eq(str, (char *)state(), "Stable"));
    cr_assert(eq(int, beat("a", 2), KF_OK));
    cr_assert(eq(str, (char *)given(), "-"), "nothing has changed");
}

Test(consumer_coordinator, takes_back_before_it_gives)
{
    const struct kf__topic *topic = make_topic("t", 4);
    join("a", "t");
    cr_assert(eq(int, join("b", "t"), KF_OK));
    cr_assert(eq(i32, answer.member_epoch, 3));
    cr_assert(eq(str, (char *)given(), ""), "a still has it all");
    cr_assert(eq(str, (char *)state(), "Reconciling"));
    cr_assert(eq(int, member("b")->state, KF__MEMBER_UNRELEASED));

    beat("a", 2);
    cr_assert(eq(i32, answer.member_epoch, 2), "it has not given back yet");
    cr_assert(eq(str, (char *)given(), "01"));
    cr_assert(eq(int, member("a")->state, KF__MEMBER_UNREVOKED));
    beat("b", 3);
    cr_assert(eq(str, (char *)given(), "-"));

    beat_owning("a", 2, topic, "0123");
    cr_assert(eq(i32, answer.member_epoch, 2), "it still has them");
    beat_owning("a", 2, topic, "01");
    cr_assert(eq(i32, answer.member_epoch, 3));
    beat("b", 3);
    cr_assert(eq(str, (char *)given(), "23"));
    cr_assert(eq(str, (char *)state(), "Stable"));
}

Test(consumer_coordinator, fences_epochs_that_are_not_its_own)
{
    const struct kf__topic *topic = make_topic("t", 2);
    join("a", "t");
    cr_assert(eq(int, beat("a", 3), KF_ERR_FENCED_MEMBER_EPOCH));
    cr_assert(eq(str, answer.why,
                 "The consumer group member has a greater member epoch (3) than the one known by "
                 "the group coordinator (2). The member must abandon all its partitions and "
                 "rejoin."));
    cr_assert(eq(int, beat("a", 1), KF_ERR_FENCED_MEMBER_EPOCH));
    cr_assert(eq(int, beat("b", 2), KF_ERR_UNKNOWN_MEMBER_ID));
    cr_assert(eq(str, answer.why, "Member b is not a member of group g."));

    join("b", "t");
    beat("a", 2);
    beat_owning("a", 2, topic, "0");
    cr_assert(eq(i32, answer.member_epoch, 3));
    cr_assert(eq(int, beat_owning("a", 2, topic, "0"), KF_OK), "its answer may have been lost");
    cr_assert(eq(int, beat_owning("a", 2, topic, "01"), KF_ERR_FENCED_MEMBER_EPOCH));
}

Test(consumer_coordinator, waits_between_two_assignments)
{
    make_topic("t", 2);
    settings.assignment_interval = KF_SECOND;
    join("a", "t");
    join_at(T0 + KF_SECOND - 1, "b", NULL, "t");
    cr_assert(eq(i32, answer.member_epoch, 2));
    cr_assert(eq(str, (char *)given(), ""));
    cr_assert(eq(str, (char *)state(), "Assigning"));
    struct kf__beat it = a_beat("b", 2);
    send(T0 + KF_SECOND, &it);
    cr_assert(eq(i32, answer.member_epoch, 3));
}

Test(consumer_coordinator, expels_who_is_silent_or_keeps_what_it_must_give_back)
{
    make_topic("t", 2);
    join("a", "t");
    cr_assert(eq(i64, kf__consumers_deadline(&consumers), T0 + 45 * KF_SECOND));
    join_at(T0 + 10 * KF_SECOND, "b", NULL, "t");
    struct kf__beat it = a_beat("a", 2);
    send(T0 + 20 * KF_SECOND, &it);
    cr_assert(eq(int, member("a")->state, KF__MEMBER_UNREVOKED));
    cr_assert(eq(i64, member("a")->revoke_deadline, T0 + 80 * KF_SECOND));
    kf__consumers_tick(&consumers, T0 + 55 * KF_SECOND);
    cr_assert(eq(i32, group()->member_count, 1), "b was silent");
    send(T0 + 60 * KF_SECOND, &it);
    kf__consumers_tick(&consumers, T0 + 80 * KF_SECOND);
    cr_assert(eq(i32, group()->member_count, 0), "a gave nothing back");
    cr_assert(eq(str, (char *)state(), "Empty"));
    cr_assert(eq(i64, kf__consumers_deadline(&consumers), KF_FOREVER));
}

Test(consumer_coordinator, sees_topics_come_grow_and_go)
{
    join("a", "t");
    cr_assert(eq(i32, answer.member_epoch, 2));
    cr_assert(eq(str, (char *)given(), ""));
    struct kf__topic *topic = make_topic("t", 1);
    beat("a", 2);
    cr_assert(eq(i32, answer.member_epoch, 3));
    cr_assert(eq(str, (char *)given(), "0"));
    kf__topics_extend(&topics, topic, 3);
    beat("a", 3);
    cr_assert(eq(i32, answer.member_epoch, 4));
    cr_assert(eq(str, (char *)given(), "012"));
    make_topic("other", 1);
    beat("a", 4);
    cr_assert(eq(i32, answer.member_epoch, 4), "that is none of its topics");
    kf__topics_delete(&topics, topic);
    beat("a", 4);
    cr_assert(eq(str, (char *)given(), ""));
}

static kf_err subscribe(kf_time now, const char *id, int32_t epoch, const char *regex)
{
    struct kf__beat it = a_beat(id, epoch);
    it.regex = kf__text(regex);
    if (epoch == 0) {
        it.rebalance_timeout_ms = 60000;
        it.owned_topics = 0;
    }
    return send(now, &it);
}

Test(consumer_coordinator, tells_what_an_expression_means_with_the_next_heartbeat)
{
    make_topic("ta", 1);
    make_topic("b", 1);
    cr_assert(eq(int, subscribe(T0, "a", 0, "t.*"), KF_OK));
    cr_assert(eq(i32, answer.member_epoch, 1));
    cr_assert(eq(str, (char *)given(), ""));
    beat("a", 1);
    cr_assert(eq(i32, answer.member_epoch, 2));
    cr_assert(eq(str, (char *)given(), "0"));
    make_topic("tb", 2);
    beat("a", 2);
    cr_assert(eq(i32, group()->epoch, 2), "not within ten seconds");
    struct kf__beat it = a_beat("a", 2);
    send(T0 + 11 * KF_SECOND, &it);
    cr_assert(eq(i32, group()->epoch, 3));
    send(T0 + 12 * KF_SECOND, &it);
    cr_assert(eq(i32, answer.member_epoch, 3));
    cr_assert(eq(sz, answer.assignment->count, 3));
    cr_assert(
        eq(int, subscribe(T0 + 13 * KF_SECOND, "a", 3, "["), KF_ERR_INVALID_REGULAR_EXPRESSION));
    cr_assert(eq(str, (char *)state(), "Stable"), "as it was");
}

static bool may_not(const void *context, kf_string topic)
{
    (void)context;
    return !kf__text_equal(topic, kf__text("secret"));
}

Test(consumer_coordinator, hides_topics_from_expressions_of_those_who_may_not_know)
{
    make_topic("secret", 1);
    make_topic("sea", 1);
    struct kf__beat it = a_beat("a", 0);
    it.regex = kf__text("se.*");
    it.rebalance_timeout_ms = 60000;
    it.owned_topics = 0;
    it.may_describe = may_not;
    send(T0, &it);
    cr_assert(eq(i32, group()->regexes[0].topic_count, 1));
    cr_assert(eq(str, (char *)group()->regexes[0].topics[0].data, "sea"));
}

Test(consumer_coordinator, keeps_a_static_members_place_while_it_is_away)
{
    make_topic("t", 4);
    join_at(T0, "a", "one", "t");
    join_at(T0, "b", "two", "t");
    cr_assert(eq(int, join_at(T0, "c", "one", "t"), KF_ERR_UNRELEASED_INSTANCE_ID));
    struct kf__beat away = a_beat("a", KF__EPOCH_LEAVES_FOR_A_WHILE);
    away.instance_id = kf__text("one");
    cr_assert(eq(int, send(T0, &away), KF_OK));
    cr_assert(eq(i32, answer.member_epoch, -2));
    cr_assert(eq(i32, group()->member_count, 2));

    cr_assert(eq(int, join_at(T0, "c", "one", "t"), KF_OK));
    cr_assert(eq(i32, group()->epoch, 3), "no rebalance for that");
    cr_assert(eq(i32, group()->member_count, 2));
    cr_assert(member("a") == NULL);
    away.member_id = kf__text("a");
    away.member_epoch = 3;
    cr_assert(eq(int, send(T0, &away), KF_ERR_FENCED_INSTANCE_ID));
    cr_assert(eq(str, answer.why, "Static member a with instance id one was fenced by member c."));
}

Test(consumer_coordinator, forgets_a_static_member_that_stays_away)
{
    make_topic("t", 1);
    join_at(T0, "a", "one", "t");
    struct kf__beat away = a_beat("a", KF__EPOCH_LEAVES_FOR_A_WHILE);
    away.instance_id = kf__text("one");
    send(T0 + KF_SECOND, &away);
    kf__consumers_tick(&consumers, T0 + 45 * KF_SECOND);
    cr_assert(eq(i32, group()->member_count, 0));
}

Test(consumer_coordinator, is_full_at_its_size)
{
    make_topic("t", 1);
    settings.max_size = 1;
    join("a", "t");
    cr_assert(eq(int, join("b", "t"), KF_ERR_GROUP_MAX_SIZE_REACHED));
    cr_assert(
        eq(str, answer.why, "The consumer group has reached its maximum capacity of 1 members."));
    cr_assert(eq(int, beat("a", 2), KF_OK));
}

/* A client that joins with ever more topics must not take all memory. */
Test(consumer_coordinator, lets_nobody_in_when_groups_are_too_large)
{
    enum {
        NAMES = 10000
    };
    static kf_string names[NAMES];
    static char texts[NAMES][200];
    char id[16];
    settings.max_size = INT32_MAX;
    settings.assignment_interval = 3600 * KF_SECOND;
    for (int i = 0; i < NAMES; i++)
        names[i] = (kf_string){texts[i], (size_t)sprintf(texts[i], "%0190d", i)};
    int joined = 0;
    kf_err err = KF_OK;
    for (; !err && joined < 1000; joined++) {
        sprintf(id, "m%d", joined);
        struct kf__beat it = a_beat(id, 0);
        it.rebalance_timeout_ms = 60000;
        it.owned_topics = 0;
        it.topics = names;
        it.topic_count = NAMES;
        err = send(T0, &it);
    }
    cr_assert(eq(int, err, KF_ERR_GROUP_MAX_SIZE_REACHED));
    cr_assert(lt(int, joined, 64));
    cr_assert(eq(int, beat("m0", 2), KF_OK), "who is in stays in");
    struct kf__beat it = a_beat("new", 0);
    it.group = kf__text("another group");
    it.rebalance_timeout_ms = 60000;
    it.owned_topics = it.topic_count = 0;
    cr_assert(eq(int, send(T0, &it), KF_ERR_GROUP_MAX_SIZE_REACHED));
    size_t full = consumers.bytes;
    struct kf__beat leaves = a_beat("m0", KF__EPOCH_LEAVES);
    cr_assert(eq(int, send(T0, &leaves), KF_OK));
    cr_assert(lt(sz, consumers.bytes, full));
}

Test(consumer_coordinator, takes_the_place_of_an_empty_classic_group_and_gives_way_to_one)
{
    make_topic("t", 1);
    cr_assert(kf__coordinator_group(&classic, kf__text("g")) != NULL);
    cr_assert(eq(int, beat("a", 1), KF_ERR_GROUP_ID_NOT_FOUND));
    cr_assert(eq(str, answer.why, "Group g is not a consumer group."));
    cr_assert(eq(int, subscribe(T0, "a", 0, "["), KF_ERR_INVALID_REGULAR_EXPRESSION));
    cr_assert(kf__coordinator_find(&classic, kf__text("g")) != NULL, "nothing has changed");
    cr_assert(eq(int, join("a", "t"), KF_OK));
    cr_assert(kf__coordinator_find(&classic, kf__text("g")) == NULL);
    cr_assert(eq(int, kf__consumers_drop_empty(&consumers, kf__text("g")), false));
    beat("a", KF__EPOCH_LEAVES);
    cr_assert(eq(int, kf__consumers_drop_empty(&consumers, kf__text("g")), true));
    cr_assert(group() == NULL);
    cr_assert(eq(sz, consumers.bytes, 0));
}

static kf_err check_commit(const char *id, int32_t epoch, const struct kf__topic *topic,
                           int32_t partition)
{
    const struct kf__consumer_member *found = NULL;
    struct kf__member_claim who = {
        .group = kf__text("g"), .member_id = kf__text(id), .generation = epoch};
    kf_err err = kf__consumer_check_commit(group(), &who, 9, &found);
    return err || !found ? err : kf__consumer_check_partition(found, epoch, topic->id, partition);
}

Test(consumer_coordinator, lets_an_old_epoch_commit_what_it_has_had_since)
{
    const struct kf__topic *topic = make_topic("t", 4);
    join("a", "t");
    join("b", "t");
    beat("a", 2);
    beat_owning("a", 2, topic, "01");
    cr_assert(eq(i32, member("a")->epoch, 3));
    cr_assert(eq(int, check_commit("a", 3, topic, 0), KF_OK));
    cr_assert(eq(int, check_commit("a", 2, topic, 0), KF_OK));
    cr_assert(eq(int, check_commit("a", 1, topic, 0), KF_ERR_STALE_MEMBER_EPOCH));
    cr_assert(eq(int, check_commit("a", 2, topic, 3), KF_ERR_STALE_MEMBER_EPOCH));
    cr_assert(eq(int, check_commit("a", 4, topic, 0), KF_ERR_STALE_MEMBER_EPOCH));
    cr_assert(eq(int, check_commit("z", 3, topic, 0), KF_ERR_UNKNOWN_MEMBER_ID));
    cr_assert(
        eq(int, kf__consumer_check_fetch(group(), kf__text("a"), 2), KF_ERR_STALE_MEMBER_EPOCH));
    cr_assert(eq(int, kf__consumer_check_fetch(group(), kf__text(NULL), -1), KF_OK));
}

Test(consumer_coordinator, prefers_what_most_members_prefer)
{
    make_topic("t", 4);
    join("b", "t");
    struct kf__beat it = a_beat("b", 2);
    it.assignor = kf__text("range");
    cr_assert(eq(int, send(T0, &it), KF_OK));
    cr_assert(eq(i32, answer.member_epoch, 3), "another assignor, another assignment");
    it.assignor = kf__text("sticky");
    cr_assert(eq(int, send(T0, &it), KF_ERR_UNSUPPORTED_ASSIGNOR));
    join("a", "t");
    cr_assert(eq(int, kf__holding_find(&member("a")->target, topics.items[0]->id, 0) != NULL, 1),
              "range goes by ids: a is first");
}
