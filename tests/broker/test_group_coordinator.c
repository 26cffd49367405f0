#include "tools/broker/group/group_coordinator.h"

#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* What an asker was told; `count` 0: nothing yet. */
struct told {
    int count;
    kf_err error;
    int32_t generation;
    char leader[80];
    char member[80];
    char protocol[32];
    int members;
    bool skip;
    char assignment[80];
};

static struct kf__coordinator coordinator;
static const kf_time T0 = 1000 * KF_SECOND;

static void copy_text(char *to, size_t size, const void *from, size_t length)
{
    snprintf(to, size, "%.*s", (int)length, from ? (const char *)from : "");
}

static void on_joined(void *context, void *token, const struct kf__joined *joined)
{
    (void)context;
    struct told *told = token;
    told->count++;
    told->error = joined->error;
    told->generation = joined->generation;
    told->members = joined->group ? joined->group->member_count : 0;
    told->skip = joined->skip_assignment;
    copy_text(told->leader, sizeof told->leader, joined->leader.data, joined->leader.size);
    copy_text(told->member, sizeof told->member, joined->member_id.data, joined->member_id.size);
    copy_text(told->protocol, sizeof told->protocol, joined->protocol_name.data,
              joined->protocol_name.size);
}

static void on_synced(void *context, void *token, const struct kf__synced *synced)
{
    (void)context;
    struct told *told = token;
    told->count++;
    told->error = synced->error;
    copy_text(told->assignment, sizeof told->assignment, synced->assignment.data,
              synced->assignment.size);
}

static void open_coordinator(void)
{
    struct kf__group_sink sink = {.joined = on_joined, .synced = on_synced};
    kf__coordinator_init(&coordinator, &kf_default_allocator, sink);
}

static void close_coordinator(void) { kf__coordinator_free(&coordinator); }

TestSuite(coordinator, .init = open_coordinator, .fini = close_coordinator);

static const struct kf__group_protocol range[] = {
    {.name = {"range", 5}, .metadata = {(const uint8_t *)"t", 1}}};
static const struct kf__group_protocol both[] = {
    {.name = {"sticky", 6}, .metadata = {(const uint8_t *)"t", 1}},
    {.name = {"range", 5}, .metadata = {(const uint8_t *)"t", 1}}};

static struct kf__join new_join(const char *member, const char *instance)
{
    return (struct kf__join){
        .group = kf__text("g"),
        .member_id = kf__text(member),
        .instance_id = kf__text(instance),
        .client_id = kf__text("c"),
        .client_host = kf__text("/127.0.0.1"),
        .protocol_type = kf__text("consumer"),
        .protocols = range,
        .protocol_count = 1,
        .session_timeout = 10 * KF_SECOND,
        .rebalance_timeout = 60 * KF_SECOND,
        .can_skip_assignment = true,
    };
}

static void join(kf_time now, const char *member, const char *instance, struct told *told)
{
    struct kf__join asked = new_join(member, instance);
    kf__coordinator_join(&coordinator, now, &asked, told);
}

static struct kf__member_claim claim(const struct told *who)
{
    return (struct kf__member_claim){
        .group = kf__text("g"), .member_id = kf__text(who->member), .generation = who->generation};
}

/* The leader gives each member its own name as assignment. */
static void sync_as(kf_time now, const struct told *who, bool leads, struct told *told)
{
    struct kf__member_assignment assignments[8];
    int32_t count = 0;
    const struct kf__classic_group *group = kf__coordinator_find(&coordinator, kf__text("g"));
    for (; leads && count < group->member_count; count++) {
        kf_string id = group->members[count]->id;
        assignments[count] = (struct kf__member_assignment){
            .member_id = id, .assignment = {(const uint8_t *)id.data, id.size}};
    }
    struct kf__sync sync = {
        .who = claim(who), .assignments = assignments, .assignment_count = count};
    kf__coordinator_sync(&coordinator, now, &sync, told);
}

static kf_err heartbeat(kf_time now, const struct told *who)
{
    struct kf__member_claim it = claim(who);
    return kf__coordinator_heartbeat(&coordinator, now, &it);
}

static enum kf__group_state state_of(const char *group)
{
    return kf__coordinator_find(&coordinator, kf__text(group))->state;
}

/* A member that is alone joins, and its join ends when the initial delay of 0 does. */
static struct told first_member(kf_time now, const char *instance)
{
    struct told joined = {0}, synced = {0};
    join(now, "", instance, &joined);
    cr_assert(eq(int, joined.count, 1));
    cr_assert(eq(int, joined.error, KF_OK));
    sync_as(now, &joined, true, &synced);
    cr_assert(eq(int, synced.error, KF_OK));
    return joined;
}

Test(coordinator, answers_a_lone_member_at_once_as_leader_of_generation_1)
{
    struct told joined = {0}, synced = {0};
    join(T0, "", NULL, &joined);
    cr_assert(eq(int, joined.count, 1));
    cr_assert(eq(i32, joined.generation, 1));
    cr_assert(eq(str, joined.leader, joined.member));
    cr_assert(eq(str, joined.protocol, "range"));
    cr_assert(eq(int, joined.members, 1));
    cr_assert(eq(int, state_of("g"), KF__GROUP_COMPLETING));

    sync_as(T0, &joined, true, &synced);
    cr_assert(eq(str, synced.assignment, joined.member));
    cr_assert(eq(int, state_of("g"), KF__GROUP_STABLE));
}

/* KIP-394: a client that never comes back must not hold up the group. */
Test(coordinator, wants_a_new_member_to_come_back_with_its_id)
{
    struct kf__join asked = new_join("", NULL);
    struct told refused = {0}, joined = {0};
    asked.require_member_id = true;
    kf__coordinator_join(&coordinator, T0, &asked, &refused);
    cr_assert(eq(int, refused.error, KF_ERR_MEMBER_ID_REQUIRED));
    cr_assert(eq(int, strncmp(refused.member, "c-", 2), 0));

    join(T0, refused.member, NULL, &joined);
    cr_assert(eq(int, joined.error, KF_OK));
    cr_assert(eq(str, joined.member, refused.member));
}

Test(coordinator, forgets_a_member_id_that_nobody_came_back_with)
{
    struct kf__join asked = new_join("", NULL);
    struct told refused = {0}, late = {0};
    asked.require_member_id = true;
    kf__coordinator_join(&coordinator, T0, &asked, &refused);
    cr_assert(eq(i64, kf__coordinator_deadline(&coordinator), T0 + 10 * KF_SECOND));
    kf__coordinator_tick(&coordinator, T0 + 10 * KF_SECOND);
    join(T0 + 11 * KF_SECOND, refused.member, NULL, &late);
    cr_assert(eq(int, late.error, KF_ERR_UNKNOWN_MEMBER_ID));
}

Test(coordinator, waits_for_all_members_when_one_comes)
{
    struct told first = first_member(T0, NULL), again = {0}, second = {0};
    join(T0, "", NULL, &second);
    cr_assert(eq(int, second.count, 0));
    cr_assert(eq(int, heartbeat(T0, &first), KF_ERR_REBALANCE_IN_PROGRESS));

    join(T0 + KF_SECOND, first.member, NULL, &again);
    cr_assert(eq(int, again.count, 1));
    cr_assert(eq(int, second.count, 1));
    cr_assert(eq(i32, again.generation, 2));
    cr_assert(eq(i32, second.generation, 2));
    cr_assert(eq(int, again.members, 2), "the leader gets the list");
    cr_assert(eq(int, second.members, 0));
    cr_assert(eq(str, second.leader, first.member));

    struct told synced_second = {0}, synced_first = {0};
    sync_as(T0 + KF_SECOND, &second, false, &synced_second);
    cr_assert(eq(int, synced_second.count, 0), "until the leader has spoken");
    sync_as(T0 + KF_SECOND, &again, true, &synced_first);
    cr_assert(eq(int, synced_second.count, 1));
    cr_assert(eq(str, synced_second.assignment, second.member));
    cr_assert(eq(int, heartbeat(T0 + KF_SECOND, &second), KF_OK));
}

Test(coordinator, goes_on_without_who_did_not_join_in_time)
{
    struct told first = first_member(T0, NULL), second = {0};
    join(T0, "", NULL, &second);
    for (int s = 5; s < 60; s += 5) /* alive, but never joins */
        cr_assert(eq(int, heartbeat(T0 + s * KF_SECOND, &first), KF_ERR_REBALANCE_IN_PROGRESS));
    kf__coordinator_tick(&coordinator, T0 + 59 * KF_SECOND);
    cr_assert(eq(int, second.count, 0));
    kf__coordinator_tick(&coordinator, T0 + 60 * KF_SECOND);
    cr_assert(eq(int, second.count, 1));
    cr_assert(eq(i32, second.generation, 2));
    cr_assert(eq(str, second.leader, second.member));
    cr_assert(eq(int, heartbeat(T0 + 60 * KF_SECOND, &first), KF_ERR_UNKNOWN_MEMBER_ID));
}

Test(coordinator, expels_a_member_whose_session_ends)
{
    struct told first = first_member(T0, NULL);
    cr_assert(eq(int, heartbeat(T0 + 9 * KF_SECOND, &first), KF_OK));
    cr_assert(eq(i64, kf__coordinator_deadline(&coordinator), T0 + 19 * KF_SECOND));
    kf__coordinator_tick(&coordinator, T0 + 19 * KF_SECOND);
    cr_assert(eq(int, heartbeat(T0 + 19 * KF_SECOND, &first), KF_ERR_UNKNOWN_MEMBER_ID));
    cr_assert(eq(int, state_of("g"), KF__GROUP_EMPTY));
}

Test(coordinator, does_not_expel_who_waits_in_a_join)
{
    struct told first = first_member(T0, NULL), second = {0}, again = {0};
    join(T0, "", NULL, &second);
    join(T0, first.member, NULL, &again); /* completes generation 2 */
    struct told third = {0}, waiting = {0};
    join(T0, "", NULL, &third);
    join(T0, second.member, NULL, &waiting);
    kf__coordinator_tick(&coordinator, T0 + 11 * KF_SECOND); /* the first one's session ends */
    cr_assert(eq(int, waiting.count, 1));
    cr_assert(eq(int, third.count, 1));
    cr_assert(eq(i32, third.generation, 3));
}

Test(coordinator, removes_who_joined_and_never_syncs)
{
    struct told first = first_member(T0, NULL), again = {0}, second = {0}, synced = {0};
    join(T0, "", NULL, &second);
    join(T0, first.member, NULL, &again);
    sync_as(T0, &again, true, &synced);
    for (int s = 5; s <= 60; s += 5) {
        kf__coordinator_tick(&coordinator, T0 + s * KF_SECOND);
        heartbeat(T0 + s * KF_SECOND, &again);
        if (s < 60)
            cr_assert(eq(int, heartbeat(T0 + s * KF_SECOND, &second), KF_OK));
    }
    cr_assert(eq(int, heartbeat(T0 + 60 * KF_SECOND, &second), KF_ERR_UNKNOWN_MEMBER_ID));
    cr_assert(eq(int, heartbeat(T0 + 60 * KF_SECOND, &again), KF_ERR_REBALANCE_IN_PROGRESS));
}

Test(coordinator, rebalances_when_a_member_leaves)
{
    struct told first = first_member(T0, NULL), again = {0}, second = {0}, synced = {0};
    join(T0, "", NULL, &second);
    join(T0, first.member, NULL, &again);
    sync_as(T0, &again, true, &synced);
    struct kf__member_claim leaver = claim(&second);
    cr_assert(eq(int, kf__coordinator_leave(&coordinator, T0, &leaver), KF_OK));
    cr_assert(eq(int, kf__coordinator_leave(&coordinator, T0, &leaver), KF_ERR_UNKNOWN_MEMBER_ID));
    cr_assert(eq(int, heartbeat(T0, &again), KF_ERR_REBALANCE_IN_PROGRESS));
    struct told alone = {0};
    join(T0, first.member, NULL, &alone);
    cr_assert(eq(i32, alone.generation, 3));
    cr_assert(eq(int, alone.members, 1));
}

Test(coordinator, is_empty_in_a_new_generation_after_the_last_one_left)
{
    struct told first = first_member(T0, NULL);
    struct kf__member_claim leaver = claim(&first);
    kf__coordinator_leave(&coordinator, T0, &leaver);
    cr_assert(eq(int, state_of("g"), KF__GROUP_EMPTY));
    struct told next = {0};
    join(T0, "", NULL, &next);
    cr_assert(eq(i32, next.generation, 3));
}

Test(coordinator, takes_an_unchanged_follower_back_without_a_rebalance)
{
    struct told first = first_member(T0, NULL), again = {0}, second = {0}, synced = {0};
    join(T0, "", NULL, &second);
    join(T0, first.member, NULL, &again);
    sync_as(T0, &again, true, &synced);
    struct told back = {0};
    join(T0, second.member, NULL, &back);
    cr_assert(eq(int, back.count, 1));
    cr_assert(eq(i32, back.generation, 2));
    cr_assert(eq(int, state_of("g"), KF__GROUP_STABLE));
    join(T0, first.member, NULL, &back); /* the leader's join always is a wish to rebalance */
    cr_assert(eq(int, state_of("g"), KF__GROUP_PREPARING));
}

Test(coordinator, chooses_a_protocol_that_all_have)
{
    struct kf__join picky = new_join("", NULL);
    struct told first = first_member(T0, NULL), second = {0}, again = {0}, refused = {0};
    picky.protocols = both;
    picky.protocol_count = 2;
    kf__coordinator_join(&coordinator, T0, &picky, &second);
    join(T0, first.member, NULL, &again);
    cr_assert(eq(str, second.protocol, "range"));

    picky.protocol_count = 1; /* sticky alone: nothing in common */
    kf__coordinator_join(&coordinator, T0, &picky, &refused);
    cr_assert(eq(int, refused.error, KF_ERR_INCONSISTENT_GROUP_PROTOCOL));
}

/* Quickly: what grows with the cube of the members would take minutes. */
Test(coordinator, counts_the_votes_of_thousands, .timeout = 30)
{
    enum {
        MEMBERS = 5000
    };
    static struct told told[MEMBERS];
    coordinator.initial_delay = 3 * KF_SECOND;
    for (int i = 0; i < MEMBERS; i++) {
        struct kf__join asked = new_join("", NULL);
        asked.protocols = i % 3 == 0 ? range : both;
        asked.protocol_count = i % 3 == 0 ? 1 : 2;
        asked.rebalance_timeout = 3 * KF_SECOND;
        kf__coordinator_join(&coordinator, T0, &asked, &told[i]);
    }
    kf__coordinator_tick(&coordinator, T0 + 3 * KF_SECOND);
    cr_assert(eq(int, told[MEMBERS - 1].error, KF_OK));
    cr_assert(eq(i32, told[0].members, MEMBERS));
    cr_assert(eq(str, told[0].protocol, (char *)"range"));
}

/* KIP-345: a restart within the session timeout costs no rebalance. */
Test(coordinator, gives_a_static_member_its_place_back_under_a_new_id)
{
    struct told first = first_member(T0, "i1"), back = {0};
    join(T0 + KF_SECOND, "", "i1", &back);
    cr_assert(eq(int, back.count, 1));
    cr_assert(eq(i32, back.generation, 1));
    cr_assert(ne(str, back.member, first.member));
    cr_assert(back.skip, "the leader keeps the assignment (KIP-814)");
    cr_assert(eq(int, back.members, 1));
    cr_assert(eq(int, state_of("g"), KF__GROUP_STABLE));

    struct kf__member_claim old = claim(&first);
    old.instance_id = kf__text("i1");
    cr_assert(eq(int, kf__coordinator_heartbeat(&coordinator, T0 + KF_SECOND, &old),
                 KF_ERR_FENCED_INSTANCE_ID));
    struct told synced = {0};
    sync_as(T0 + KF_SECOND, &back, false, &synced);
    cr_assert(eq(str, synced.assignment, first.member));
}

Test(coordinator, holds_the_first_join_open_for_the_initial_delay)
{
    coordinator.initial_delay = 3 * KF_SECOND;
    struct told first = {0}, second = {0};
    join(T0, "", NULL, &first);
    join(T0 + KF_SECOND, "", NULL, &second);
    kf__coordinator_tick(&coordinator, T0 + 3 * KF_SECOND); /* the second one prolongs it */
    cr_assert(eq(int, first.count, 0));
    kf__coordinator_tick(&coordinator, T0 + 6 * KF_SECOND);
    cr_assert(eq(int, first.count, 1));
    cr_assert(eq(i32, second.generation, 1));
}

Test(coordinator, lets_commit_only_whose_generation_is_current)
{
    struct kf__member_claim outside = {.group = kf__text("g"), .generation = -1};
    cr_assert(eq(int, kf__coordinator_check_commit(&coordinator, T0, &outside), KF_OK));
    struct told first = first_member(T0, NULL), second = {0}, again = {0};
    struct kf__member_claim who = claim(&first);
    cr_assert(eq(int, kf__coordinator_check_commit(&coordinator, T0, &who), KF_OK));
    outside.member_id = kf__text("");
    cr_assert(eq(int, kf__coordinator_check_commit(&coordinator, T0, &outside),
                 KF_ERR_UNKNOWN_MEMBER_ID));

    join(T0, "", NULL, &second);
    cr_assert(eq(int, kf__coordinator_check_commit(&coordinator, T0, &who), KF_OK),
              "while the others join, the last commit still counts");
    join(T0, first.member, NULL, &again);
    cr_assert(
        eq(int, kf__coordinator_check_commit(&coordinator, T0, &who), KF_ERR_ILLEGAL_GENERATION));
    who = claim(&again);
    cr_assert(eq(int, kf__coordinator_check_commit(&coordinator, T0, &who),
                 KF_ERR_REBALANCE_IN_PROGRESS));
}

Test(coordinator, forgets_an_asker_that_hung_up_but_not_its_member)
{
    struct told first = first_member(T0, NULL), gone = {0}, again = {0};
    join(T0, "", NULL, &gone);
    kf__coordinator_forget(&coordinator, &gone);
    join(T0, first.member, NULL, &again);
    cr_assert(eq(int, gone.count, 0));
    cr_assert(eq(int, again.members, 2));
}

Test(coordinator, deletes_only_empty_groups)
{
    struct told first = first_member(T0, NULL);
    cr_assert(eq(int, kf__coordinator_delete(&coordinator, kf__text("g")), KF_ERR_NON_EMPTY_GROUP));
    struct kf__member_claim leaver = claim(&first);
    kf__coordinator_leave(&coordinator, T0, &leaver);
    cr_assert(eq(int, kf__coordinator_delete(&coordinator, kf__text("g")), KF_OK));
    cr_assert(
        eq(int, kf__coordinator_delete(&coordinator, kf__text("g")), KF_ERR_GROUP_ID_NOT_FOUND));
}

Test(coordinator, refuses_session_timeouts_outside_the_brokers_bounds)
{
    struct kf__join asked = new_join("", NULL);
    struct told told = {0};
    asked.session_timeout = 5999 * KF_MILLISECOND;
    kf__coordinator_join(&coordinator, T0, &asked, &told);
    cr_assert(eq(int, told.error, KF_ERR_INVALID_SESSION_TIMEOUT));
}

/* Whom the leader leaves out has nothing: not what it had in the generation before. */
Test(coordinator, takes_no_more_members_than_a_group_may_have)
{
    coordinator.max_size = 2;
    struct told first = first_member(T0, NULL), second = {0}, third = {0}, again = {0};
    join(T0, "", NULL, &second); /* a rebalance, which one has joined */
    join(T0, "", NULL, &third);
    join(T0, first.member, NULL, &again); /* too late: two have */
    cr_assert(eq(int, again.error, KF_ERR_GROUP_MAX_SIZE_REACHED));
    cr_assert(eq(str, again.member, (char *)""));
    cr_assert(eq(i32, kf__coordinator_find(&coordinator, kf__text("g"))->member_count, 2));
    kf__coordinator_tick(&coordinator, T0 + 61 * KF_SECOND);
    cr_assert(eq(int, second.error, KF_OK));
    cr_assert(eq(i32, second.generation, 2));
    again.count = 0;
    join(T0 + 61 * KF_SECOND, "", NULL, &again);
    cr_assert(eq(int, again.error, KF_ERR_GROUP_MAX_SIZE_REACHED));
}

Test(coordinator, a_member_that_the_leader_leaves_out_is_assigned_nothing)
{
    struct told first = first_member(T0, NULL), second = {0}, again = {0}, synced[2] = {{0}};
    join(T0, "", NULL, &second);
    join(T0, first.member, NULL, &again);
    sync_as(T0, &second, again.members == 0, &synced[1]);
    cr_assert(eq(int, synced[1].count, 0));
    sync_as(T0, &again, true, &synced[0]);
    cr_assert(eq(str, synced[1].assignment, second.member));

    join(T0, first.member, NULL, &first);
    join(T0, second.member, NULL, &second);
    cr_assert(eq(i32, first.generation, 3));
    cr_assert(eq(i32, second.generation, 3));
    struct kf__sync nobody = {.who = claim(&first)};
    kf__coordinator_sync(&coordinator, T0, &nobody, &synced[0]);
    sync_as(T0, &second, false, &synced[1]);
    cr_assert(eq(int, synced[1].error, KF_OK));
    cr_assert(eq(str, synced[0].assignment, ""));
    cr_assert(eq(str, synced[1].assignment, ""));
}

/* A due time that doesn't move on would stop a clock that waits for it. */
Test(coordinator, waits_a_while_for_static_members_that_give_no_time_to_rejoin)
{
    struct told one = {0}, two_joined = {0}, synced[2] = {{0}};
    struct kf__join asked = new_join("", "one");
    asked.rebalance_timeout = 0;
    kf__coordinator_join(&coordinator, T0, &asked, &one);
    sync_as(T0, &one, true, &synced[0]);
    asked.instance_id = kf__text("two");
    kf__coordinator_join(&coordinator, T0, &asked, &two_joined);
    asked.instance_id = kf__text("one");
    asked.member_id = kf__text(one.member);
    kf__coordinator_join(&coordinator, T0, &asked, &one);
    sync_as(T0, &one, true, &synced[0]);
    sync_as(T0, &two_joined, false, &synced[1]);
    cr_assert(eq(int, state_of("g"), KF__GROUP_STABLE));
    struct kf__member_claim two = {
        .group = kf__text("g"), .member_id = kf__text(""), .instance_id = kf__text("two")};
    cr_assert(eq(int, kf__coordinator_leave(&coordinator, T0, &two), KF_OK));
    kf__coordinator_tick(&coordinator, T0);
    cr_assert(eq(int, state_of("g"), KF__GROUP_PREPARING));
    cr_assert(eq(i64, kf__coordinator_deadline(&coordinator), T0 + KF_MILLISECOND));
}

/* They would wait for a node that nobody else asks any more. */
Test(coordinator, sends_those_who_wait_to_the_next_node)
{
    struct told first = first_member(T0, NULL), second = {0}, again = {0};
    join(T0, "", NULL, &second);
    cr_assert(eq(int, second.count, 0));
    kf__coordinator_move(&coordinator, kf__text("g"));
    cr_assert(eq(int, second.count, 1));
    cr_assert(eq(int, second.error, KF_ERR_NOT_COORDINATOR));
    kf__coordinator_move(&coordinator, kf__text("g"));
    kf__coordinator_move(&coordinator, kf__text("no such group"));
    cr_assert(eq(int, second.count, 1), "once");
    join(T0 + KF_SECOND, first.member, NULL, &again);
    second.count = 0;
    join(T0 + KF_SECOND, second.member, NULL, &second);
    cr_assert(eq(int, second.count, 1));
    cr_assert(eq(int, second.error, KF_OK));
    cr_assert(eq(i32, second.generation, again.generation));
}
