/* Faults that real clients shipped: the numbers are those of docs/scenarios, where it has them. */
#include "help_member.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <string.h>

TestSuite(member_scenarios, .timeout = 60);

static struct member member;
static struct member other;

static void begin(int32_t nodes, int32_t partitions)
{
    kf_broker_options options = {.nodes = nodes};
    member_broker(&member, &options);
    kf_broker_create_topic(member.broker, "t", partitions, nodes);
}

static void run(struct member *of, kf_semantics semantics)
{
    member_handle(of, "t", semantics);
    member_start(of);
}

static kf_broker_fault error_of(int16_t api, kf_err error, int64_t times)
{
    return (kf_broker_fault){
        .kind = KF_BROKER_ANSWER_ERROR, .api_key = api, .error = error, .times = times};
}

/* Nothing missing, nothing twice, all committed. */
static void assert_exactly(int32_t partitions, int64_t end)
{
    for (int32_t p = 0; p < partitions; p++) {
        struct span span = span_of(&member, "t", p, end);
        cr_assert(eq(i64, span.missing, 0), "partition %d", (int)p);
        cr_assert(eq(i64, span.repeated, 0), "partition %d", (int)p);
        cr_assert(eq(i64, member_committed(&member, "t", p), end), "partition %d", (int)p);
    }
}

Test(member_scenarios, handles_every_record_once_and_commits_it)
{
    begin(1, 3);
    for (int32_t p = 0; p < 3; p++)
        produce(&member, "t", p, 50);
    member_open(&member, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) >= 150);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    assert_exactly(3, 50);
    cr_assert(eq(i32, kf_broker_group_members(member.broker, "g", NULL), 0));
    member_close(&member);
}

static atomic_int of_first, of_other; /* records */

/* The other one may be late: the first one is slow until it has had its share. */
static kf_verdict leave_some_to_the_other(struct member *of, const kf_message *message)
{
    (void)message;
    bool first = of == &member;
    bool waits = first && atomic_load(&of_first) > 50 && atomic_load(&of_other) <= 50;
    kf_sleep((waits ? 40 : 1) * KF_MILLISECOND);
    atomic_fetch_add(first ? &of_first : &of_other, 1);
    return KF_HANDLED;
}

static void hand_over(const char *strategy)
{
    begin(1, 4);
    for (int32_t p = 0; p < 4; p++)
        produce(&member, "t", p, 300);
    atomic_store(&of_first, 0);
    atomic_store(&of_other, 0);
    atomic_store(&member.decide, leave_some_to_the_other);
    member_open(&member, strategy, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) > 50);

    member_join(&other, &member);
    atomic_store(&other.decide, leave_some_to_the_other);
    member_open(&other, strategy, NULL);
    run(&other, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&other) > 50);
    cr_assert(eq(int, member_stop(&other), KF_OK));
    WAIT_FOR(member_handled(&member) + member_handled(&other) >= 1200);
    cr_assert(eq(int, member_stop(&member), KF_OK));

    cr_assert(eq(sz, member_handled(&member) + member_handled(&other), 1200));
    for (int32_t p = 0; p < 4; p++)
        cr_assert(eq(i64, member_committed(&member, "t", p), 300));
    cr_assert(eq(sz, member.handled_after, 0));
    cr_assert(eq(sz, other.handled_after, 0));
    cr_assert(eq(sz, member.lost + other.lost, 0));
    member_close(&other);
    member_close(&member);
}

Test(member_scenarios, s2_s13_an_eager_handover_repeats_nothing)
{
    hand_over("partition.assignment.strategy=range");
}

Test(member_scenarios, s2_s13_a_cooperative_handover_repeats_nothing)
{
    hand_over("partition.assignment.strategy=cooperative-sticky");
}

Test(member_scenarios, s6_a_member_that_was_expelled_joins_again)
{
    begin(1, 2);
    member_open(&member, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_assigned(&member) == 2);
    add_fault(&member, error_of(KF_API_HEARTBEAT, KF_ERR_ILLEGAL_GENERATION, 1));
    WAIT_FOR(member_assigned(&member) == 4);
    for (int32_t p = 0; p < 2; p++)
        produce(&member, "t", p, 20);
    WAIT_FOR(member_handled(&member) == 40);
    cr_assert(eq(sz, member.lost, 2));
    cr_assert(eq(int, member_stop(&member), KF_OK));
    assert_exactly(2, 20);
    member_close(&member);
}

Test(member_scenarios, s8_a_commit_that_meets_a_rebalance_keeps_the_assignment)
{
    begin(1, 2);
    add_fault(&member, error_of(KF_API_OFFSET_COMMIT, KF_ERR_REBALANCE_IN_PROGRESS, 3));
    for (int32_t p = 0; p < 2; p++)
        produce(&member, "t", p, 20);
    member_open(&member, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_committed(&member, "t", 0) == 20 && member_committed(&member, "t", 1) == 20);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(eq(sz, member.lost, 0));
    assert_exactly(2, 20);
    member_close(&member);
}

Test(member_scenarios, s11_leaving_is_tried_again_where_the_coordinator_moved)
{
    begin(1, 1);
    member_open(&member, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_assigned(&member) == 1);
    int32_t fault = add_fault(&member, error_of(KF_API_LEAVE_GROUP, KF_ERR_NOT_COORDINATOR, 2));
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(eq(i64, kf_broker_fault_hits(member.broker, fault), 2));
    cr_assert(eq(i32, kf_broker_group_members(member.broker, "g", NULL), 0));
    member_close(&member);
}

Test(member_scenarios, s12_latest_is_pinned_when_it_was_assigned)
{
    begin(1, 1);
    produce(&member, "t", 0, 5);
    member_open(&member, "auto.offset.reset=latest", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_committed(&member, "t", 0) == 5);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    produce(&member, "t", 0, 3);
    member_open(&member, "auto.offset.reset=latest", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 3);
    cr_assert(eq(i64, member.entries[0].offset, 5));
    member_close(&member);
}

Test(member_scenarios, s14_unstable_offsets_are_asked_for_again)
{
    begin(1, 1);
    produce(&member, "t", 0, 10);
    member_open(&member, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_committed(&member, "t", 0) == 10);
    member_stop(&member);
    produce(&member, "t", 0, 5);
    int32_t fault =
        add_fault(&member, error_of(KF_API_OFFSET_FETCH, KF_ERR_UNSTABLE_OFFSET_COMMIT, 3));
    member_open(&member, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 15);
    cr_assert(eq(i64, kf_broker_fault_hits(member.broker, fault), 3));
    cr_assert(eq(i64, member.entries[10].offset, 10));
    member_stop(&member);
    assert_exactly(1, 15);
    member_close(&member);
}

Test(member_scenarios, s15_one_partitions_commit_error_is_told_and_hurts_no_other)
{
    begin(1, 2);
    kf_broker_fault fault = error_of(KF_API_OFFSET_COMMIT, KF_ERR_TOPIC_AUTHORIZATION_FAILED, 0);
    fault.topic = "t";
    fault.one_partition = true;
    fault.partition = 1;
    add_fault(&member, fault);
    for (int32_t p = 0; p < 2; p++)
        produce(&member, "t", p, 10);
    member_open(&member, "shutdown.timeout.ms=60000", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_committed(&member, "t", 0) == 10 && member_has_event(&member, "commit.failed"));
    cr_assert(eq(i64, member_committed(&member, "t", 1), -1));
    for (size_t i = 0; i < member.event_count; i++)
        if (strcmp(member.events[i].name, "commit.failed") == 0)
            cr_assert(eq(i32, member.events[i].partition, 1));
    kf_time before = kf_now();
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(lt(i64, kf_now() - before, 30 * KF_SECOND), "a hopeless commit held up the end");
    member_close(&member);
}

Test(member_scenarios, s21_a_leader_that_keeps_moving_repeats_and_loses_nothing)
{
    begin(3, 2);
    atomic_store(&member.sleep_ms, 1);
    member_open(&member, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    for (int i = 0; i < 12; i++) {
        for (int32_t p = 0; p < 2; p++) {
            produce(&member, "t", p, 20);
            kf_broker_move_leader(member.broker, "t", p, i % 3 + 1);
        }
        kf_sleep(20 * KF_MILLISECOND);
    }
    WAIT_FOR(member_handled(&member) >= 480);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    assert_exactly(2, 240);
    member_close(&member);
}

Test(member_scenarios, s26_a_corrupt_batch_is_fetched_again_and_never_skipped)
{
    begin(1, 1);
    produce(&member, "t", 0, 10);
    add_fault(&member, (kf_broker_fault){
                           .kind = KF_BROKER_CORRUPT_CRC, .api_key = KF_API_FETCH, .times = 3});
    member_open(&member, NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 10);
    cr_assert(ge(sz, member_events(&member, "batch.broken"), 1));
    for (size_t i = 0; i < 10; i++)
        cr_assert(eq(i64, member.entries[i].offset, (int64_t)i));
    member_stop(&member);
    assert_exactly(1, 10);
    member_close(&member);
}

Test(member_scenarios, s28_a_topic_created_anew_is_read_from_its_beginning)
{
    begin(1, 1);
    produce(&member, "t", 0, 10);
    member_open(&member, "metadata.max.age.ms=1000", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_committed(&member, "t", 0) == 10);
    kf_broker_delete_topic(member.broker, "t");
    kf_broker_create_topic(member.broker, "t", 1, 1);
    produce(&member, "t", 0, 5);
    WAIT_FOR(member_handled(&member) == 15);
    cr_assert(eq(i64, member.entries[10].offset, 0));
    cr_assert(eq(int, member_stop(&member), KF_OK));
    member_close(&member);
}

Test(member_scenarios, s31_all_brokers_gone_for_a_while_is_survived)
{
    begin(3, 3);
    member_open(&member, "session.timeout.ms=6000", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    for (int32_t p = 0; p < 3; p++)
        produce(&member, "t", p, 10);
    WAIT_FOR(member_handled(&member) == 30);
    for (int32_t node = 1; node <= 3; node++)
        kf_broker_stop_node(member.broker, node);
    kf_sleep(500 * KF_MILLISECOND);
    for (int32_t node = 1; node <= 3; node++)
        kf_broker_start_node(member.broker, node);
    for (int32_t p = 0; p < 3; p++)
        produce(&member, "t", p, 10);
    WAIT_FOR(member_handled(&member) >= 60);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    assert_exactly(3, 20);
    member_close(&member);
}

Test(member_scenarios, commits_find_the_coordinator_again_while_partitions_are_given_up)
{
    begin(1, 2);
    for (int32_t p = 0; p < 2; p++)
        produce(&member, "t", p, 20);
    member_open(&member, "commit.interval.ms=60000", NULL);
    add_fault(&member, error_of(KF_API_OFFSET_COMMIT, KF_ERR_NOT_COORDINATOR, 4));
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 40);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    assert_exactly(2, 20);
    member_close(&member);
}

Test(member_scenarios, a_silent_broker_and_cut_answers_are_survived)
{
    begin(1, 2);
    add_fault(
        &member,
        (kf_broker_fault){
            .kind = KF_BROKER_CUT, .api_key = KF_API_FETCH, .every = 3, .times = 5, .bytes = 50});
    add_fault(&member, (kf_broker_fault){.kind = KF_BROKER_CLOSE_ANSWER,
                                         .api_key = KF_API_OFFSET_COMMIT,
                                         .every = 2,
                                         .times = 3});
    add_fault(&member, (kf_broker_fault){.kind = KF_BROKER_GARBAGE,
                                         .api_key = KF_API_METADATA,
                                         .first = 3,
                                         .times = 1,
                                         .bytes = 100});
    member_open(&member, "request.timeout.ms=1000", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    for (int i = 0; i < 10; i++) {
        for (int32_t p = 0; p < 2; p++)
            produce(&member, "t", p, 10);
        kf_sleep(30 * KF_MILLISECOND);
    }
    WAIT_FOR(member_handled(&member) >= 200);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    assert_exactly(2, 100);
    member_close(&member);
}

/* ---- commits ---- */

Test(member_scenarios, an_old_owners_commit_under_way_is_not_booked_to_the_new_one)
{
    begin(1, 1);
    atomic_store(&member.sleep_ms, 2);
    add_fault(&member, (kf_broker_fault){
                           .kind = KF_BROKER_DELAY, .api_key = KF_API_OFFSET_COMMIT, .ms = 150});
    member_open(&member, "commit.interval.ms=20", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    for (int i = 0; i < 4; i++) {
        produce(&member, "t", 0, 50);
        WAIT_FOR(member_handled(&member) >= 40 * (size_t)(i + 1));
        add_fault(&member, error_of(KF_API_HEARTBEAT, KF_ERR_ILLEGAL_GENERATION, 1));
        WAIT_FOR(member_assigned(&member) == (size_t)i + 2);
    }
    WAIT_FOR(member_committed(&member, "t", 0) == 200);
    cr_assert(eq(i64, span_of(&member, "t", 0, 200).missing, 0));
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(eq(i64, member_committed(&member, "t", 0), 200));
    member_close(&member);
}

Test(member_scenarios, a_busy_partition_is_committed_once_an_interval)
{
    begin(1, 1);
    produce(&member, "t", 0, 600);
    atomic_store(&member.sleep_ms, 2);
    kf_time begun = kf_now();
    member_open(&member, "commit.interval.ms=400", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) >= 550);
    int64_t commits = kf_broker_requests(member.broker, KF_API_OFFSET_COMMIT);
    int64_t intervals = (kf_now() - begun) / (400 * KF_MILLISECOND);
    cr_assert(ge(i64, commits, 2));
    cr_assert(le(i64, commits, intervals + 2)); /* one for the start, one that is under way */
    member_close(&member);
}

Test(member_scenarios, a_deleted_topic_does_not_hold_up_the_end)
{
    begin(1, 1);
    produce(&member, "t", 0, 10);
    member_open(&member, "commit.interval.ms=60000", "shutdown.timeout.ms=60000", NULL);
    int32_t fault =
        add_fault(&member, error_of(KF_API_OFFSET_COMMIT, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION, 0));
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 10);
    kf_time before = kf_now();
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(lt(i64, kf_now() - before, 30 * KF_SECOND));
    cr_assert(ge(i64, kf_broker_fault_hits(member.broker, fault), 1));
    member_close(&member);
}

/* ---- memory ---- */

Test(member_scenarios, a_stuck_partition_gives_its_memory_to_the_others)
{
    begin(1, 4);
    char text[500];
    memset(text, 'x', sizeof text);
    for (int32_t p = 0; p < 4; p++)
        for (int i = 0; i < 200; i++)
            kf_broker_produce(member.broker, "t", p, (kf_bytes){NULL, 0},
                              (kf_bytes){(const uint8_t *)text, sizeof text}, -1, NULL);
    atomic_store(&member.stuck_on_partition, 0);
    member_open(&member, "fetch.max.bytes=30000", "max.partition.fetch.bytes=20000", NULL);
    run(&member, KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 600);
    atomic_store(&member.let_go, true);
    WAIT_FOR(member_handled(&member) == 800);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    assert_exactly(4, 200);
    member_close(&member);
}
