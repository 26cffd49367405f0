/*
 * One member against a script: the test plays the coordinator and the driver.
 * What the member asks for is written into a journal, in order:
 *
 *   find            coordinator_lost          +t:0,t:1/2   assigned; all in all 2
 *   join sync …     send                      -t:0         revoked
 *   !join …         cancel                    lost t:0 ERR lost
 *   describe t,u    describe_topics           left ERR, fatal ERR
 */
#include "group/help_cases.h"
#include "group/member.h"
#include "group/partitions.h"
#include "group/subscription.h"
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdarg.h>
#include <string.h>

static struct kf__member *member;
static struct kf__member_settings settings;
static kf_arena arena;
static kf_time now;
static kf_time tick;
static kf_time revoke_deadline;
static bool drain_at_once; /* inside the callback */
static char journal[4096];
static char rebalance_log[1024];

static void note(const char *format, ...) KF_PRINTF(1, 2);
static void note(const char *format, ...)
{
    size_t used = strlen(journal);
    if (used)
        used += (size_t)snprintf(journal + used, sizeof journal - used, " ");
    va_list args;
    va_start(args, format);
    vsnprintf(journal + used, sizeof journal - used, format, args);
    va_end(args);
}

/* What was noted since the last call. */
static const char *noted(void)
{
    static char taken[sizeof journal];
    memcpy(taken, journal, sizeof journal);
    journal[0] = '\0';
    return taken;
}

static const char *spell(const struct kf__partition_list *list)
{
    static char text[1024];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < list->count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s:%d", i ? "," : "",
                                 (int)list->items[i].topic.size, list->items[i].topic.data,
                                 (int)list->items[i].partition);
    return text;
}

static const char *const request_names[] = {"join", "sync", "heartbeat", "leave"};

static void on_send(void *owner, enum kf__member_request request)
{
    (void)owner;
    note("%s", request_names[request]);
}
static void on_cancel(void *owner, enum kf__member_request request)
{
    (void)owner;
    note("!%s", request_names[request]);
}
static void on_tick_at(void *owner, kf_time at)
{
    (void)owner;
    tick = at;
}
static void on_coordinator_lost(void *owner, kf_err why)
{
    (void)owner;
    (void)why;
    note("find");
}
static void on_describe(void *owner, const kf_string *topics, size_t count)
{
    (void)owner;
    char text[256] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s", i ? "," : "",
                 (int)topics[i].size, topics[i].data);
    note("describe %s", text);
}
static void on_assigned(void *owner, const struct kf__partition_list *added,
                        const struct kf__partition_list *all)
{
    (void)owner;
    note("+%s/%zu", spell(added), all->count);
}
static void on_revoked(void *owner, const struct kf__partition_list *list, kf_time deadline)
{
    (void)owner;
    revoke_deadline = deadline;
    note("-%s", spell(list));
    if (drain_at_once)
        kf__member_drained(member, now);
    note("%s", list->count ? "." : "empty!"); /* the list outlives a drain from within */
}
static void on_lost(void *owner, const struct kf__partition_list *list, kf_err why)
{
    (void)owner;
    note("lost %s %s", spell(list), kf_err_name(why));
}
static void on_left(void *owner, kf_err err)
{
    (void)owner;
    note("left %s", kf_err_name(err));
}
static void on_fatal(void *owner, kf_err err, const char *text)
{
    (void)owner;
    cr_assert(ne(ptr, strstr(text, settings.group_id), NULL));
    note("fatal %s", kf_err_name(err));
}
static void on_log(void *owner, const kf_log_event *event)
{
    (void)owner;
    if (!strcmp(event->name, "rebalance"))
        snprintf(rebalance_log, sizeof rebalance_log, "%s", event->text);
}

static const struct kf__member_effects effects = {
    .send = on_send,
    .cancel = on_cancel,
    .tick_at = on_tick_at,
    .coordinator_lost = on_coordinator_lost,
    .describe_topics = on_describe,
    .assigned = on_assigned,
    .revoked = on_revoked,
    .lost = on_lost,
    .left = on_left,
    .fatal = on_fatal,
    .log = on_log,
};

static uint64_t half(void *context)
{
    (void)context;
    return 0x8000; /* the middle: a back-off is exactly its step */
}

static void open_script(void)
{
    now = 1000 * KF_SECOND;
    tick = KF_FOREVER;
    journal[0] = rebalance_log[0] = '\0';
    drain_at_once = false;
    kf_arena_init(&arena, &kf_default_allocator, 0);
    settings = (struct kf__member_settings){
        .group_id = "g",
        .client_id = "c",
        .session_timeout = 45 * KF_SECOND,
        .rebalance_timeout = 30 * KF_SECOND,
        .heartbeat_interval = 3 * KF_SECOND,
        .retry_backoff = 100 * KF_MILLISECOND,
        .retry_backoff_max = KF_SECOND,
        .assignors = {KF__ASSIGNOR_COOPERATIVE_STICKY},
        .assignor_count = 1,
        .random = half,
    };
}

static void close_script(void)
{
    kf__member_free(member);
    member = NULL;
    kf_arena_free(&arena);
}

TestSuite(member, .init = open_script, .fini = close_script);

static void start(const char *topics)
{
    cr_assert(eq(int, kf__member_new(&kf_default_allocator, &settings, &effects, &member), KF_OK));
    kf_string name = parse_string(&arena, topics);
    cr_assert(eq(int, kf__member_subscribe(member, &name, 1, now), KF_OK));
    cr_assert(eq(str, (char *)noted(), "find"));
    kf__member_coordinator_found(member, now);
}

static void pass(kf_time time)
{
    kf_time until = now + time;
    while (tick <= until) {
        now = tick > now ? tick : now;
        kf__member_tick(member, now);
    }
    now = until;
}

static void fail_request(enum kf__member_request request, kf_err err)
{
    kf__member_answer(member, request, err, 0, NULL, now);
}

static void answer_join(kf_err err, int32_t generation, const char *id, const char *leader,
                        const char *assignor)
{
    struct kf_join_group_response response;
    kf_reset(&kf_schema_of_join_group_response, &response);
    response.error_code = (int16_t)err;
    response.generation_id = generation;
    response.member_id = parse_string(&arena, id);
    response.leader = parse_string(&arena, leader);
    response.protocol_name = parse_string(&arena, assignor);
    kf__member_answer(member, KF__MEMBER_JOIN, KF_OK, 9, &response, now);
}

static void answer_sync(kf_err err, const char *partitions)
{
    struct kf_sync_group_response response;
    kf_reset(&kf_schema_of_sync_group_response, &response);
    response.error_code = (int16_t)err;
    struct kf__partition_list list = parse_partitions(&arena, partitions);
    cr_assert(eq(int, kf__assignment_encode(&list, 3, &arena, &response.assignment), KF_OK));
    kf__member_answer(member, KF__MEMBER_SYNC, KF_OK, 5, &response, now);
}

static void answer_heartbeat(kf_err err)
{
    struct kf_heartbeat_response response;
    kf_reset(&kf_schema_of_heartbeat_response, &response);
    response.error_code = (int16_t)err;
    kf__member_answer(member, KF__MEMBER_HEARTBEAT, KF_OK, 4, &response, now);
}

static void answer_leave(kf_err err)
{
    struct kf_leave_group_response response;
    kf_reset(&kf_schema_of_leave_group_response, &response);
    response.error_code = (int16_t)err;
    kf__member_answer(member, KF__MEMBER_LEAVE, KF_OK, 5, &response, now);
}

/* Up to STABLE in `generation` as a follower. */
static void follow(int32_t generation, const char *assignor, const char *partitions)
{
    answer_join(KF_OK, generation, "m1", "other", assignor);
    cr_assert(eq(str, (char *)noted(), "sync"));
    answer_sync(KF_OK, partitions);
}

static void become_stable(const char *assignor, const char *partitions)
{
    start("t");
    cr_assert(eq(str, (char *)noted(), "join"));
    follow(1, assignor, partitions);
    noted();
    cr_assert(kf__member_is_stable(member));
}

static const void *build(enum kf__member_request request, int16_t version)
{
    const void *message = NULL;
    cr_assert(eq(int, kf__member_build(member, request, version, &arena, &message), KF_OK));
    return message;
}

static bool is(kf_string text, const char *expected)
{
    return text.data && text.size == strlen(expected) &&
           memcmp(text.data, expected, text.size) == 0;
}

/* A life without trouble */

Test(member, joins_syncs_and_beats)
{
    start("t");
    cr_assert(eq(str, (char *)noted(), "join"));
    cr_assert(eq(i32, kf__member_generation(member), -1));
    cr_assert(eq(str, (char *)kf__member_id(member), ""));
    answer_join(KF_OK, 5, "m1", "other", "cooperative-sticky");
    cr_assert(eq(str, (char *)noted(), "sync"));
    answer_sync(KF_OK, "t:0,t:1");
    cr_assert(eq(str, (char *)noted(), "+t:0,t:1/2"));
    cr_assert(eq(i32, kf__member_generation(member), 5));
    cr_assert(eq(str, (char *)kf__member_id(member), "m1"));
    cr_assert(eq(str, rebalance_log,
                 "generation 5: joined because it starts; gained 2 (t 0 1), gave up 0, keeps 0"));

    pass(2999 * KF_MILLISECOND);
    cr_assert(eq(str, (char *)noted(), ""));
    pass(KF_MILLISECOND);
    cr_assert(eq(str, (char *)noted(), "heartbeat"));
    pass(10 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "")); /* one at a time */
    answer_heartbeat(KF_OK);
    pass(3 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "heartbeat"));
}

Test(member, rejoins_at_once_with_the_id_that_it_is_given)
{
    start("t");
    noted();
    answer_join(KF_ERR_MEMBER_ID_REQUIRED, -1, "m7", "-", "-");
    cr_assert(eq(str, (char *)noted(), "join"));
    const struct kf_join_group_request *join = build(KF__MEMBER_JOIN, 4);
    cr_assert(is(join->member_id, "m7"));
}

Test(member, says_in_its_join_who_it_is_and_what_it_owns)
{
    settings.instance_id = "static-1";
    settings.rack = "r1";
    become_stable("cooperative-sticky", "t:0,t:2");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    cr_assert(eq(str, (char *)noted(), "heartbeat join"));

    const struct kf_join_group_request *join = build(KF__MEMBER_JOIN, 9);
    cr_assert(is(join->group_id, "g"));
    cr_assert(is(join->member_id, "m1"));
    cr_assert(is(join->group_instance_id, "static-1"));
    cr_assert(is(join->protocol_type, "consumer"));
    cr_assert(is(join->reason, "the group rebalances"));
    cr_assert(eq(i32, join->session_timeout_ms, 45000));
    cr_assert(eq(i32, join->rebalance_timeout_ms, 30000));
    cr_assert(eq(i32, join->protocols.count, 1));
    cr_assert(is(join->protocols.items[0].name, "cooperative-sticky"));

    struct kf__subscription subscription;
    cr_assert(eq(int,
                 kf__subscription_decode(join->protocols.items[0].metadata, &arena, &subscription),
                 KF_OK));
    cr_assert(eq(sz, subscription.topic_count, 1));
    cr_assert(is(subscription.topics[0], "t"));
    cr_assert(eq(str, (char *)spell(&subscription.owned), "t:0,t:2"));
    cr_assert(eq(i32, subscription.generation, 1));
    cr_assert(is(subscription.rack, "r1"));
    cr_assert(eq(i32, kf__cooperative_data_generation(subscription.user_data), 1));
}

/* Every version must accept what we fill: a field that it lacks stays at its default. */
Test(member, builds_requests_that_every_version_can_carry)
{
    static const struct {
        enum kf__member_request request;
        const kf_schema *schema;
        int16_t last;
    } kinds[] = {
        {KF__MEMBER_JOIN, &kf_schema_of_join_group_request, 9},
        {KF__MEMBER_SYNC, &kf_schema_of_sync_group_request, 5},
        {KF__MEMBER_HEARTBEAT, &kf_schema_of_heartbeat_request, 4},
        {KF__MEMBER_LEAVE, &kf_schema_of_leave_group_request, 5},
    };
    settings.instance_id = "static-1";
    become_stable("cooperative-sticky", "t:0");
    for (size_t i = 0; i < 4; i++)
        for (int16_t version = 0; version <= kinds[i].last; version++) {
            kf_writer writer;
            kf_writer_init(&writer, &kf_default_allocator);
            const void *message = build(kinds[i].request, version);
            cr_assert(eq(int, kf_encode(kinds[i].schema, version, message, &writer), KF_OK),
                      "%s v%d", kf_schema_name(kinds[i].schema), version);
            kf_writer_free(&writer);
        }
}

/* Leading */

static void answer_join_as_leader(int32_t generation, bool skip, const char *assignor,
                                  const char *second_owns, int32_t second_generation)
{
    struct kf_join_group_response_member members[2] = {
        {.member_id = {"m1", 2}},
        {.member_id = {"m2", 2}},
    };
    kf_string topics[] = {{"t", 1}};
    struct kf__subscription subscription = {.topics = topics, .topic_count = 1, .generation = 1};
    subscription.owned = *kf__member_owned(member);
    subscription.generation = kf__member_generation(member);
    kf__subscription_encode(&subscription, 3, &arena, &members[0].metadata);
    subscription.owned = parse_partitions(&arena, second_owns);
    subscription.generation = second_generation;
    kf__subscription_encode(&subscription, 3, &arena, &members[1].metadata);

    struct kf_join_group_response response;
    kf_reset(&kf_schema_of_join_group_response, &response);
    response.generation_id = generation;
    response.member_id = response.leader = (kf_string){"m1", 2};
    response.protocol_name = parse_string(&arena, assignor);
    response.skip_assignment = skip;
    response.members.items = members;
    response.members.count = 2;
    kf__member_answer(member, KF__MEMBER_JOIN, KF_OK, 9, &response, now);
}

static void tell_topics(int32_t partitions)
{
    struct kf__topic_shape shape = {{"t", 1}, partitions, NULL};
    cr_assert(eq(int, kf__member_topics(member, &shape, 1, now), KF_OK));
}

static const char *assignment_in_sync(const char *id)
{
    const struct kf_sync_group_request *sync = build(KF__MEMBER_SYNC, 5);
    struct kf__partition_list list;
    for (int32_t i = 0; i < sync->assignments.count; i++)
        if (is(sync->assignments.items[i].member_id, id)) {
            cr_assert(
                eq(int, kf__assignment_decode(sync->assignments.items[i].assignment, &arena, &list),
                   KF_OK));
            return spell(&list);
        }
    return "none";
}

Test(member, leads_by_describing_the_topics_and_assigning_them)
{
    start("t");
    noted();
    answer_join_as_leader(1, false, "cooperative-sticky", "-", -1);
    cr_assert(eq(str, (char *)noted(), "describe t"));
    tell_topics(3);
    cr_assert(eq(str, (char *)noted(), "sync"));
    cr_assert(eq(str, (char *)assignment_in_sync("m1"), "t:0,t:2"));
    cr_assert(eq(str, (char *)assignment_in_sync("m2"), "t:1"));
    const struct kf_sync_group_request *sync = build(KF__MEMBER_SYNC, 5);
    cr_assert(is(sync->protocol_type, "consumer"));
    cr_assert(is(sync->protocol_name, "cooperative-sticky"));
}

Test(member, rejoins_as_leader_when_partitions_appear)
{
    start("t");
    noted();
    answer_join_as_leader(1, false, "cooperative-sticky", "-", -1);
    tell_topics(3);
    answer_sync(KF_OK, "t:0,t:2");
    noted();
    tell_topics(3);
    cr_assert(eq(str, (char *)noted(), ""));
    tell_topics(4);
    cr_assert(eq(str, (char *)noted(), "join"));
    const struct kf_join_group_request *join = build(KF__MEMBER_JOIN, 8);
    cr_assert(is(join->reason, "partitions of t changed from 3 to 4"));

    answer_join_as_leader(2, false, "cooperative-sticky", "t:1", 1);
    tell_topics(4);
    answer_sync(KF_OK, "t:0,t:2");
    cr_assert(eq(str, rebalance_log,
                 "generation 2 (leader): rejoined because partitions of t changed from 3 to 4; "
                 "gained 0, gave up 0, keeps 2"));
}

Test(member, as_follower_does_not_care_for_metadata)
{
    become_stable("cooperative-sticky", "t:0");
    tell_topics(3);
    tell_topics(9);
    cr_assert(eq(str, (char *)noted(), ""));
}

/* KIP-814: a static leader came back; the coordinator gave it its old assignment. */
Test(member, skips_the_assignment_but_watches_the_topics_when_told_so)
{
    start("t");
    noted();
    answer_join_as_leader(4, true, "cooperative-sticky", "t:1", 3);
    cr_assert(eq(str, (char *)noted(), "describe t sync"));
    const struct kf_sync_group_request *sync = build(KF__MEMBER_SYNC, 5);
    cr_assert(eq(i32, sync->assignments.count, 0));
    answer_sync(KF_OK, "t:0");
    noted();
    tell_topics(2);
    cr_assert(eq(str, (char *)noted(), ""));
    tell_topics(3);
    cr_assert(eq(str, (char *)noted(), "join"));
}

/* KAFKA-7026, KAFKA-12984: who slept through a generation still claims what it had. */
Test(member, ignores_a_claim_of_an_older_generation)
{
    become_stable("cooperative-sticky", "t:0,t:1");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    answer_join_as_leader(7, false, "cooperative-sticky", "t:0", 0);
    tell_topics(2);
    /* m1's claim of generation 1 stands against m2's of generation 0; t:1 goes over later. */
    cr_assert(eq(str, (char *)assignment_in_sync("m1"), "t:0"));
    cr_assert(eq(str, (char *)assignment_in_sync("m2"), ""));
}

Test(member, gives_nothing_to_a_member_whose_subscription_cant_be_read)
{
    start("t");
    noted();
    struct kf_join_group_response_member members[2] = {
        {.member_id = {"m1", 2}},
        {.member_id = {"m2", 2}, .metadata = {(const uint8_t *)"\0\3\x7f", 3}},
    };
    kf_string topic = {"t", 1};
    struct kf__subscription subscription = {.topics = &topic, .topic_count = 1, .generation = -1};
    kf__subscription_encode(&subscription, 3, &arena, &members[0].metadata);
    struct kf_join_group_response response;
    kf_reset(&kf_schema_of_join_group_response, &response);
    response.generation_id = 1;
    response.member_id = response.leader = (kf_string){"m1", 2};
    response.protocol_name = parse_string(&arena, "cooperative-sticky");
    response.members.items = members;
    response.members.count = 2;
    kf__member_answer(member, KF__MEMBER_JOIN, KF_OK, 9, &response, now);
    tell_topics(2);
    cr_assert(eq(str, (char *)assignment_in_sync("m1"), "t:0,t:1"));
    cr_assert(eq(str, (char *)assignment_in_sync("m2"), ""));
}

/* Rebalances */

Test(member, cooperative_keeps_its_partitions_while_it_rejoins)
{
    become_stable("cooperative-sticky", "t:0,t:1");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    cr_assert(eq(str, (char *)noted(), "heartbeat join"));
    cr_assert(eq(sz, kf__member_owned(member)->count, 2));
    follow(2, "cooperative-sticky", "t:0,t:1,t:2");
    cr_assert(eq(str, (char *)noted(), "+t:2/3"));
}

Test(member, cooperative_gives_up_what_the_new_assignment_lacks_and_joins_again)
{
    become_stable("cooperative-sticky", "t:0,t:1,t:2");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    noted();
    follow(2, "cooperative-sticky", "t:0,t:5");
    cr_assert(eq(str, (char *)noted(), "+t:5/2 -t:1,t:2 ."));
    cr_assert(eq(str, rebalance_log,
                 "generation 2: rejoined because the group rebalances; gained 1 (t 5), "
                 "gave up 2 (t 1 2), keeps 1"));
    cr_assert(not(kf__member_is_stable(member)));

    pass(3 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "heartbeat")); /* the join waits, heartbeats don't */
    answer_heartbeat(KF_OK);
    kf__member_drained(member, now);
    cr_assert(eq(str, (char *)noted(), "join"));
    const struct kf_join_group_request *join = build(KF__MEMBER_JOIN, 9);
    struct kf__subscription subscription;
    kf__subscription_decode(join->protocols.items[0].metadata, &arena, &subscription);
    cr_assert(eq(str, (char *)spell(&subscription.owned), "t:0,t:5"));
    cr_assert(eq(i32, subscription.generation, 2));
}

/* KAFKA-14196: records handled on after an eager revoke were handled twice. */
Test(member, eager_gives_up_everything_before_it_joins)
{
    settings.assignors[0] = KF__ASSIGNOR_RANGE;
    become_stable("range", "t:0,t:1");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    cr_assert(eq(str, (char *)noted(), "heartbeat -t:0,t:1 ."));
    cr_assert(eq(sz, kf__member_owned(member)->count, 0));
    pass(3 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "heartbeat"));
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS); /* tolerated: we are on our way */
    cr_assert(eq(str, (char *)noted(), ""));
    kf__member_drained(member, now);
    cr_assert(eq(str, (char *)noted(), "join"));
    follow(2, "range", "t:1");
    cr_assert(eq(str, (char *)noted(), "+t:1/1"));
    cr_assert(eq(str, rebalance_log,
                 "generation 2: rejoined because the group rebalances; gained 0, "
                 "gave up 1 (t 0), keeps 1"));
}

Test(member, speaks_eager_where_one_of_its_assignors_cant_cooperate)
{
    settings.assignors[0] = KF__ASSIGNOR_RANGE;
    settings.assignors[1] = KF__ASSIGNOR_COOPERATIVE_STICKY;
    settings.assignor_count = 2;
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    cr_assert(eq(str, (char *)noted(), "heartbeat -t:0 ."));
}

Test(member, may_be_told_that_all_is_drained_from_within_the_callback)
{
    settings.assignors[0] = KF__ASSIGNOR_RANGE;
    drain_at_once = true;
    become_stable("range", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    cr_assert(eq(str, (char *)noted(), "heartbeat -t:0 . join"));
}

/* A handler that does not return must not cost the member its place. */
Test(member, joins_undrained_when_the_coordinator_would_wait_no_longer)
{
    settings.assignors[0] = KF__ASSIGNOR_RANGE;
    become_stable("range", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    noted();
    cr_assert(eq(i64, revoke_deadline, now + 24 * KF_SECOND)); /* 30 − 3 − one heartbeat */
    for (int i = 0; i < 7; i++) {
        pass(3 * KF_SECOND);
        cr_assert(eq(str, (char *)noted(), "heartbeat"));
        answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    }
    pass(2999 * KF_MILLISECOND);
    cr_assert(eq(str, (char *)noted(), ""));
    pass(KF_MILLISECOND);
    cr_assert(eq(str, (char *)noted(), "join"));
    kf__member_drained(member, now); /* too late: says nothing */
    cr_assert(eq(str, (char *)noted(), ""));
    follow(2, "range", "t:0");
    cr_assert(eq(str, (char *)noted(), "+t:0/1"));
}

Test(member, gives_up_a_topic_that_is_no_longer_wanted_before_it_rejoins)
{
    start("t");
    kf_string both[] = {{"t", 1}, {"u", 1}};
    noted();
    kf__member_subscribe(member, both, 2, now);
    follow(1, "cooperative-sticky", "t:0,u:0"); /* the wish came too late for this join */
    cr_assert(eq(str, (char *)noted(), "+t:0,u:0/2 join"));
    follow(2, "cooperative-sticky", "t:0,u:0");
    noted();
    kf__member_subscribe(member, both, 1, now);
    cr_assert(eq(str, (char *)noted(), "-u:0 ."));
    kf__member_drained(member, now);
    cr_assert(eq(str, (char *)noted(), "join"));
    kf__member_subscribe(member, both, 1, now); /* the same again */
    follow(3, "cooperative-sticky", "t:0");
    cr_assert(eq(str, (char *)noted(), "+/1"));
}

Test(member, does_not_take_partitions_of_topics_that_it_does_not_want)
{
    start("t");
    noted();
    follow(1, "cooperative-sticky", "other:0,t:0");
    cr_assert(eq(str, (char *)noted(), "+t:0/1"));
}

Test(member, joins_again_when_a_sync_meets_the_next_rebalance)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    answer_join(KF_OK, 2, "m1", "other", "cooperative-sticky");
    noted();
    answer_sync(KF_ERR_REBALANCE_IN_PROGRESS, "-");
    cr_assert(eq(str, (char *)noted(), "join"));
    /* What it owns is from generation 1, whatever the coordinator counts by now. */
    const struct kf_join_group_request *join = build(KF__MEMBER_JOIN, 9);
    struct kf__subscription subscription;
    kf__subscription_decode(join->protocols.items[0].metadata, &arena, &subscription);
    cr_assert(eq(i32, subscription.generation, 1));
    cr_assert(eq(sz, subscription.owned.count, 1));
}

Test(member, keeps_its_partitions_when_an_assignment_cant_be_read)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    answer_join(KF_OK, 2, "m1", "other", "cooperative-sticky");
    noted();
    struct kf_sync_group_response response;
    kf_reset(&kf_schema_of_sync_group_response, &response);
    response.assignment = (kf_bytes){(const uint8_t *)"\0\1\x7f\xff\xff\xff", 6};
    kf__member_answer(member, KF__MEMBER_SYNC, KF_OK, 5, &response, now);
    cr_assert(eq(str, (char *)noted(), ""));
    cr_assert(eq(sz, kf__member_owned(member)->count, 1));
    pass(100 * KF_MILLISECOND);
    cr_assert(eq(str, (char *)noted(), "join"));
}

/* Losing */

Test(member, loses_everything_at_once_when_it_is_not_known_any_more)
{
    become_stable("cooperative-sticky", "t:0,t:1");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_UNKNOWN_MEMBER_ID);
    cr_assert(eq(str, (char *)noted(), "heartbeat lost t:0,t:1 UNKNOWN_MEMBER_ID join"));
    cr_assert(eq(i32, kf__member_generation(member), -1));
    const struct kf_join_group_request *join = build(KF__MEMBER_JOIN, 9);
    cr_assert(is(join->member_id, ""));
    struct kf__subscription subscription;
    kf__subscription_decode(join->protocols.items[0].metadata, &arena, &subscription);
    cr_assert(eq(sz, subscription.owned.count, 0));
    cr_assert(eq(i32, subscription.generation, -1));
}

Test(member, keeps_its_id_when_only_the_generation_is_wrong)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_ILLEGAL_GENERATION);
    cr_assert(eq(str, (char *)noted(), "heartbeat lost t:0 ILLEGAL_GENERATION join"));
    cr_assert(eq(str, (char *)kf__member_id(member), "m1"));
}

Test(member, loses_by_its_own_clock_when_no_heartbeat_succeeds)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_OK); /* sent 3 s after the join */
    pass(3 * KF_SECOND);
    noted();
    pass(42 * KF_SECOND - 1);
    cr_assert(eq(str, (char *)noted(), ""));
    pass(1);
    cr_assert(eq(str, (char *)noted(), "!heartbeat lost t:0 TIMED_OUT join"));
}

Test(member, loses_what_is_draining_too)
{
    become_stable("cooperative-sticky", "t:0,t:1");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    noted();
    follow(2, "cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    noted();
    answer_heartbeat(KF_ERR_UNKNOWN_MEMBER_ID);
    cr_assert(
        eq(str, (char *)noted(), "lost t:0 UNKNOWN_MEMBER_ID lost t:1 UNKNOWN_MEMBER_ID join"));
    kf__member_drained(member, now); /* of a revoke that is void */
    cr_assert(eq(str, (char *)noted(), ""));
}

Test(member, is_done_when_another_took_its_instance_id)
{
    settings.instance_id = "static-1";
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_FENCED_INSTANCE_ID);
    cr_assert(
        eq(str, (char *)noted(), "heartbeat lost t:0 FENCED_INSTANCE_ID fatal FENCED_INSTANCE_ID"));
    pass(100 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), ""));
}

Test(member, is_done_when_it_may_not_use_the_group)
{
    start("t");
    noted();
    answer_join(KF_ERR_GROUP_AUTHORIZATION_FAILED, -1, "", "", "-");
    cr_assert(eq(str, (char *)noted(), "fatal GROUP_AUTHORIZATION_FAILED"));
}

Test(member, is_done_when_the_group_speaks_another_protocol)
{
    start("t");
    noted();
    answer_join(KF_OK, 1, "m1", "other", "an-assignor-of-somebody");
    cr_assert(eq(str, (char *)noted(), "fatal INCONSISTENT_GROUP_PROTOCOL"));
}

/* KAFKA-8104: a late heartbeat's error in the middle of a join ended the member's life. */
Test(member, a_heartbeat_from_before_the_join_says_nothing_during_it)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    noted();
    kf_string both[] = {{"t", 1}, {"u", 1}};
    kf__member_subscribe(member, both, 2, now);
    cr_assert(eq(str, (char *)noted(), "!heartbeat join"));
    answer_heartbeat(KF_ERR_UNKNOWN_MEMBER_ID); /* late, and cancelled */
    cr_assert(eq(str, (char *)noted(), ""));
    follow(2, "cooperative-sticky", "t:0");
    cr_assert(eq(str, (char *)noted(), "+/1"));
    pass(3 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "heartbeat"));
}

Test(member, joins_anew_when_it_is_expelled_between_join_and_sync)
{
    start("t");
    noted();
    answer_join(KF_OK, 1, "m1", "other", "cooperative-sticky");
    pass(3 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "sync heartbeat"));
    answer_heartbeat(KF_ERR_UNKNOWN_MEMBER_ID);
    cr_assert(eq(str, (char *)noted(), "!sync join"));
}

/* Commits */

/* librdkafka #4059: ILLEGAL_GENERATION of a commit in a cooperative rebalance. */
Test(member, keeps_its_assignment_when_a_commit_is_overtaken_by_the_rebalance)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    noted();
    kf__member_commit_error(member, KF_ERR_ILLEGAL_GENERATION, 1, now);
    kf__member_commit_error(member, KF_ERR_REBALANCE_IN_PROGRESS, 1, now);
    cr_assert(eq(str, (char *)noted(), ""));
    follow(2, "cooperative-sticky", "t:0");
    noted();
    kf__member_commit_error(member, KF_ERR_ILLEGAL_GENERATION, 1, now); /* sent before */
    cr_assert(eq(str, (char *)noted(), ""));
    cr_assert(eq(sz, kf__member_owned(member)->count, 1));
}

Test(member, learns_from_a_commit_what_a_heartbeat_would_tell_later)
{
    become_stable("cooperative-sticky", "t:0");
    kf__member_commit_error(member, KF_ERR_REBALANCE_IN_PROGRESS, 1, now);
    cr_assert(eq(str, (char *)noted(), "join"));
    follow(2, "cooperative-sticky", "t:0");
    noted();
    kf__member_commit_error(member, KF_ERR_UNKNOWN_MEMBER_ID, 2, now);
    cr_assert(eq(str, (char *)noted(), "lost t:0 UNKNOWN_MEMBER_ID join"));
}

/* The coordinator */

Test(member, keeps_generation_and_partitions_while_the_coordinator_moves)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    noted();
    answer_heartbeat(KF_ERR_NOT_COORDINATOR);
    cr_assert(eq(str, (char *)noted(), "find"));
    pass(20 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "")); /* asked once, no heartbeat to nobody */
    kf__member_coordinator_found(member, now);
    cr_assert(eq(str, (char *)noted(), "heartbeat"));
    answer_heartbeat(KF_OK);
    cr_assert(eq(i32, kf__member_generation(member), 1));
    cr_assert(kf__member_is_stable(member));
}

/* KAFKA-10793, 13563: a failed look-up was kept, and nothing was ever tried again. */
Test(member, asks_for_the_coordinator_again_after_each_failure)
{
    start("t");
    noted();
    for (int i = 0; i < 3; i++) {
        fail_request(KF__MEMBER_JOIN, KF_ERR_DISCONNECTED);
        cr_assert(eq(str, (char *)noted(), "find"));
        kf__member_coordinator_found(member, now);
        cr_assert(eq(str, (char *)noted(), "")); /* backs off */
        pass(KF_SECOND);
        cr_assert(eq(str, (char *)noted(), "join"));
    }
}

Test(member, backs_off_longer_with_every_failure)
{
    start("t");
    noted();
    static const kf_time steps[] = {100, 200, 400, 800, 1000, 1000};
    for (size_t i = 0; i < 6; i++) {
        answer_join(KF_ERR_COORDINATOR_LOAD_IN_PROGRESS, -1, "", "", "-");
        pass(steps[i] * KF_MILLISECOND - 1);
        cr_assert(eq(str, (char *)noted(), ""), "step %zu", i);
        pass(1);
        cr_assert(eq(str, (char *)noted(), "join"), "step %zu", i);
    }
}

/* franz-go 1.15.4: a cancelled request was taken for the end of the heartbeats. */
Test(member, goes_on_beating_after_a_cancelled_heartbeat)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    noted();
    fail_request(KF__MEMBER_HEARTBEAT, KF_ERR_CANCELLED);
    pass(100 * KF_MILLISECOND);
    cr_assert(eq(str, (char *)noted(), "heartbeat"));
    answer_heartbeat(KF_OK);
    cr_assert(kf__member_is_stable(member));
}

/* Leaving */

Test(member, leaves_after_everything_is_drained)
{
    become_stable("cooperative-sticky", "t:0");
    kf__member_leave(member, now + 10 * KF_SECOND, now);
    cr_assert(eq(str, (char *)noted(), "-t:0 ."));
    cr_assert(eq(i64, revoke_deadline, now + 9 * KF_SECOND));
    pass(3 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "heartbeat"));
    answer_heartbeat(KF_OK);
    kf__member_drained(member, now);
    cr_assert(eq(str, (char *)noted(), "leave"));
    const struct kf_leave_group_request *leave = build(KF__MEMBER_LEAVE, 5);
    cr_assert(is(leave->members.items[0].member_id, "m1"));
    answer_leave(KF_OK);
    cr_assert(eq(str, (char *)noted(), "left NONE"));
    pass(100 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), ""));
}

/* franz-go kfake F3: LeaveGroup met NOT_COORDINATOR, and a ghost stayed in the group. */
Test(member, leaves_at_the_new_coordinator_when_the_old_one_moved)
{
    become_stable("cooperative-sticky", "-");
    kf__member_leave(member, now + 10 * KF_SECOND, now);
    cr_assert(eq(str, (char *)noted(), "leave"));
    answer_leave(KF_ERR_NOT_COORDINATOR);
    cr_assert(eq(str, (char *)noted(), "find"));
    pass(KF_SECOND);
    kf__member_coordinator_found(member, now);
    cr_assert(eq(str, (char *)noted(), "leave"));
    answer_leave(KF_OK);
    cr_assert(eq(str, (char *)noted(), "left NONE"));
}

Test(member, gives_up_leaving_at_the_deadline)
{
    become_stable("cooperative-sticky", "-");
    kf__member_leave(member, now + 2 * KF_SECOND, now);
    noted();
    pass(2 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), "!leave left TIMED_OUT"));
}

Test(member, leaves_undrained_when_the_deadline_comes_near)
{
    become_stable("cooperative-sticky", "t:0");
    kf__member_leave(member, now + 2 * KF_SECOND, now);
    noted();
    pass(1500 * KF_MILLISECOND);
    cr_assert(eq(str, (char *)noted(), "leave"));
}

Test(member, stays_in_the_group_as_a_static_member)
{
    settings.instance_id = "static-1";
    become_stable("cooperative-sticky", "t:0");
    kf__member_leave(member, now + 2 * KF_SECOND, now);
    kf__member_drained(member, now);
    cr_assert(eq(str, (char *)noted(), "-t:0 . left NONE"));
}

Test(member, leaves_as_a_static_member_where_asked_to)
{
    settings.instance_id = "static-1";
    settings.leave_on_close = true;
    become_stable("cooperative-sticky", "-");
    kf__member_leave(member, now + 2 * KF_SECOND, now);
    cr_assert(eq(str, (char *)noted(), "leave"));
    const struct kf_leave_group_request *leave = build(KF__MEMBER_LEAVE, 3);
    cr_assert(is(leave->members.items[0].group_instance_id, "static-1"));
}

Test(member, leaves_in_the_middle_of_a_join)
{
    become_stable("cooperative-sticky", "t:0");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    noted();
    kf__member_leave(member, now + 2 * KF_SECOND, now);
    cr_assert(eq(str, (char *)noted(), "!join -t:0 ."));
    kf__member_drained(member, now);
    cr_assert(eq(str, (char *)noted(), "leave"));
}

Test(member, leaves_after_a_drain_that_was_under_way)
{
    become_stable("cooperative-sticky", "t:0,t:1");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    noted();
    follow(2, "cooperative-sticky", "t:0");
    noted();
    kf__member_leave(member, now + 4 * KF_SECOND, now);
    cr_assert(eq(str, (char *)noted(), ""));
    kf__member_drained(member, now);
    cr_assert(eq(str, (char *)noted(), "-t:0 ."));
    kf__member_drained(member, now);
    cr_assert(eq(str, (char *)noted(), "leave"));
}

Test(member, is_lost_while_leaving_and_has_nothing_left_to_leave)
{
    become_stable("cooperative-sticky", "t:0");
    kf__member_leave(member, now + 10 * KF_SECOND, now);
    pass(3 * KF_SECOND);
    noted();
    answer_heartbeat(KF_ERR_UNKNOWN_MEMBER_ID);
    cr_assert(eq(str, (char *)noted(), "lost t:0 UNKNOWN_MEMBER_ID left NONE"));
}

Test(member, stays_as_a_static_member_that_is_lost_while_leaving)
{
    settings.instance_id = "static-1";
    become_stable("cooperative-sticky", "t:0");
    kf__member_leave(member, now + 10 * KF_SECOND, now);
    pass(3 * KF_SECOND);
    noted();
    answer_heartbeat(KF_ERR_ILLEGAL_GENERATION);
    cr_assert(eq(str, (char *)noted(), "lost t:0 ILLEGAL_GENERATION left NONE"));
    pass(100 * KF_SECOND);
    cr_assert(eq(str, (char *)noted(), ""));
}

Test(member, leaves_no_drain_under_way_before_its_time_where_nothing_else_is_owned)
{
    settings.assignors[0] = KF__ASSIGNOR_RANGE;
    become_stable("range", "t:0,t:1");
    pass(3 * KF_SECOND);
    answer_heartbeat(KF_ERR_REBALANCE_IN_PROGRESS);
    noted();
    kf__member_leave(member, now + 10 * KF_SECOND, now);
    cr_assert(eq(i64, kf__member_drain_deadline(member), now + 9 * KF_SECOND));
    pass(8500 * KF_MILLISECOND);
    cr_assert(eq(ptr, strstr(noted(), "leave"), NULL));
    pass(500 * KF_MILLISECOND);
    cr_assert(ne(ptr, strstr(noted(), "leave"), NULL));
}

Test(member, leaves_before_it_ever_joined)
{
    start("t");
    noted();
    kf__member_leave(member, now + KF_SECOND, now);
    cr_assert(eq(str, (char *)noted(), "!join left NONE"));
    kf_string topic = {"u", 1};
    cr_assert(eq(int, kf__member_subscribe(member, &topic, 1, now), KF_ERR_STATE));
}

Test(member, waits_for_a_join_as_long_as_the_rebalance_may_last)
{
    become_stable("cooperative-sticky", "-");
    cr_assert(eq(i64, kf__member_patience(member, KF__MEMBER_JOIN), 35 * KF_SECOND));
    cr_assert(eq(i64, kf__member_patience(member, KF__MEMBER_SYNC), 35 * KF_SECOND));
    cr_assert(eq(i64, kf__member_patience(member, KF__MEMBER_HEARTBEAT), 15 * KF_SECOND));
}
