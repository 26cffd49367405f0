/* What docs/semantics.md promises, and what a user may do meanwhile. */
#include "help_member.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <string.h>

TestSuite(member_delivery, .timeout = 60);

static struct member member;

static void begin(int32_t partitions, int records)
{
    member_broker(&member, NULL);
    kf_broker_create_topic(member.broker, "t", partitions, 1);
    for (int32_t p = 0; p < partitions; p++)
        produce(&member, "t", p, records);
}

static void run(kf_semantics semantics)
{
    member_handle(&member, "t", semantics);
    member_start(&member);
}

/* ---- failures ---- */

static kf_verdict fail_twice_at_five(struct member *of, const kf_message *message)
{
    (void)of;
    return message->offset == 5 && message->attempt < 2 ? kf_fail(message, "not yet") : KF_HANDLED;
}

Test(member_delivery, a_failed_record_is_tried_again_in_place)
{
    begin(1, 10);
    atomic_store(&member.decide, fail_twice_at_five);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 10);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    static const int64_t offsets[] = {0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9};
    cr_assert(eq(sz, member.count, 12));
    for (size_t i = 0; i < 12; i++)
        cr_assert(eq(i64, member.entries[i].offset, offsets[i]));
    cr_assert(eq(i32, member.entries[6].attempt, 1));
    cr_assert(eq(i32, member.entries[7].attempt, 2));
    cr_assert(eq(i32, member.entries[8].attempt, 0));
    cr_assert(eq(sz, member_events(&member, "handler.failed"), 2));
    cr_assert(eq(i64, member_committed(&member, "t", 0), 10));
    member_close(&member);
}

static kf_verdict fail_at_five(struct member *of, const kf_message *message)
{
    (void)of;
    return message->partition == 0 && message->offset == 5 ? KF_FAILED : KF_HANDLED;
}

Test(member_delivery, a_failing_record_is_never_committed_and_delays_no_other_partition)
{
    begin(2, 10);
    atomic_store(&member.decide, fail_at_five);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 15 && member_committed(&member, "t", 1) == 10);
    WAIT_FOR(member_committed(&member, "t", 0) == 5);
    kf_snapshot *snapshot = kf_runtime_snapshot(member.runtime);
    cr_assert(lt(i64, 0, snapshot->partitions[0].stuck_since_ms));
    cr_assert(eq(i64, snapshot->partitions[1].stuck_since_ms, -1));
    kf_snapshot_free(snapshot);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(eq(i64, member_committed(&member, "t", 0), 5));
    member_close(&member);
}

static int64_t bytes_buffered(void)
{
    kf_snapshot *snapshot = kf_runtime_snapshot(member.runtime);
    int64_t bytes = snapshot->bytes_buffered;
    kf_snapshot_free(snapshot);
    return bytes;
}

Test(member_delivery, a_long_retry_gives_its_batches_back_and_loses_none)
{
    begin(1, 50);
    atomic_store(&member.decide, fail_twice_at_five);
    member_open(&member, "handler.retry.backoff.ms=1300", "handler.retry.backoff.max.ms=1300",
                NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_events(&member, "handler.failed") >= 1);
    WAIT_FOR(bytes_buffered() == 0);
    cr_assert(lt(sz, member_handled(&member), 50), "while it waited");
    WAIT_FOR(member_handled(&member) == 50);
    cr_assert(eq(i64, span_of(&member, "t", 0, 50).missing, 0));
    cr_assert(eq(i64, span_of(&member, "t", 0, 50).repeated, 0));
    member_close(&member);
}

Test(member_delivery, batches_given_back_while_fetching_fails_are_not_lost)
{
    begin(1, 20);
    atomic_store(&member.decide, fail_twice_at_five);
    /* The first Fetch brings all; then the partition waits with an error, beyond what is dropped.
     */
    add_fault(&member, (kf_broker_fault){.kind = KF_BROKER_ANSWER_ERROR,
                                         .api_key = KF_API_FETCH,
                                         .topic = "t",
                                         .first = 2,
                                         .times = 12,
                                         .error = KF_ERR_KAFKA_STORAGE_ERROR});
    member_open(&member, "handler.retry.backoff.ms=1300", "handler.retry.backoff.max.ms=1300",
                "retry.backoff.ms=100", "retry.backoff.max.ms=200", NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 20);
    cr_assert(eq(i64, span_of(&member, "t", 0, 20).missing, 0));
    member_close(&member);
}

/* ---- at most once ---- */

Test(member_delivery, at_most_once_handles_only_what_is_committed)
{
    begin(2, 60);
    atomic_store(&member.ask_committed, true);
    member_open(&member, NULL);
    kf_topic_options options = {.size = sizeof options, .chunk_max_records = 7};
    member_handle_with(&member, "t", KF_AT_MOST_ONCE, &options);
    member_start(&member);
    WAIT_FOR(member_handled(&member) == 120);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    for (size_t i = 0; i < member.count; i++) {
        cr_assert(lt(i64, member.entries[i].offset, member.entries[i].committed));
        cr_assert(le(i64, member.entries[i].committed, member.entries[i].offset + 14));
    }
    for (int32_t p = 0; p < 2; p++) {
        cr_assert(eq(i64, span_of(&member, "t", p, 60).missing, 0));
        cr_assert(eq(i64, span_of(&member, "t", p, 60).repeated, 0));
    }
    member_close(&member);
}

/* So slow from some record on that whoever looks on late doesn't find all of them handled. */
static kf_verdict slow_down(struct member *of, const kf_message *message)
{
    (void)of;
    if (message->offset >= 10)
        kf_sleep(20 * KF_MILLISECOND);
    return KF_HANDLED;
}

Test(member_delivery, at_most_once_ends_a_stop_exactly_where_it_is_committed)
{
    begin(1, 500);
    atomic_store(&member.decide, slow_down);
    member_open(&member, NULL);
    kf_topic_options options = {.size = sizeof options, .chunk_max_records = 20};
    member_handle_with(&member, "t", KF_AT_MOST_ONCE, &options);
    member_start(&member);
    WAIT_FOR(member_handled(&member) >= 30);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(lt(sz, member.count, 500));
    cr_assert(eq(i64, member_committed(&member, "t", 0), (int64_t)member.count));
    member_close(&member);
}

Test(member_delivery, at_most_once_ends_a_paused_partition_where_it_is_committed)
{
    begin(1, 500);
    atomic_store(&member.decide, slow_down);
    member_open(&member, NULL);
    kf_topic_options options = {.size = sizeof options, .chunk_max_records = 20};
    member_handle_with(&member, "t", KF_AT_MOST_ONCE, &options);
    member_start(&member);
    WAIT_FOR(member_handled(&member) >= 10);
    cr_assert(eq(int, kf_pause(member.runtime, "t", 0), KF_OK));
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(lt(sz, member.count, 400));
    cr_assert(eq(i64, member_committed(&member, "t", 0), (int64_t)member.count));
    member_close(&member);
}

Test(member_delivery, at_most_once_counts_a_failure_and_goes_on)
{
    begin(1, 10);
    atomic_store(&member.decide, fail_at_five);
    member_open(&member, NULL);
    run(KF_AT_MOST_ONCE);
    WAIT_FOR(member_count(&member) == 10);
    kf_snapshot *snapshot = kf_runtime_snapshot(member.runtime);
    cr_assert(eq(i64, snapshot->partitions[0].failed, 1));
    cr_assert(eq(i64, snapshot->partitions[0].processed, 9));
    cr_assert(eq(i64, snapshot->partitions[0].retried, 0));
    kf_snapshot_free(snapshot);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(eq(sz, member_events(&member, "handler.failed"), 1));
    member_close(&member);
}

Test(member_delivery, at_most_once_waits_for_a_commit_that_fails)
{
    begin(1, 10);
    int32_t fault = add_fault(&member, (kf_broker_fault){.kind = KF_BROKER_ANSWER_ERROR,
                                                         .api_key = KF_API_OFFSET_COMMIT,
                                                         .error = KF_ERR_NOT_COORDINATOR});
    member_open(&member, NULL);
    run(KF_AT_MOST_ONCE);
    WAIT_FOR(kf_broker_fault_hits(member.broker, fault) >= 3);
    cr_assert(eq(sz, member_count(&member), 0));
    kf_broker_fault_clear(member.broker, fault);
    WAIT_FOR(member_handled(&member) == 10);
    member_close(&member);
}

/* ---- random trouble, the same in every run ---- */

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 33;
}

static void add_trouble(uint64_t *seed)
{
    static const int16_t apis[] = {KF_API_FETCH, KF_API_OFFSET_COMMIT, KF_API_METADATA,
                                   KF_API_FIND_COORDINATOR, KF_API_HEARTBEAT};
    for (int i = 0; i < 5; i++) {
        kf_broker_fault fault = {.api_key = apis[i],
                                 .first = 3 + (int64_t)(next_random(seed) % 3),
                                 .every = 2 + (int64_t)(next_random(seed) % 4),
                                 .times = 8};
        fault.kind = next_random(seed) % 2 ? KF_BROKER_CLOSE : KF_BROKER_CLOSE_ANSWER;
        add_fault(&member, fault);
    }
}

static void go_through_trouble(kf_semantics semantics, uint64_t seed)
{
    begin(3, 0);
    add_trouble(&seed);
    member_open(&member, "request.timeout.ms=2000", NULL);
    run(semantics);
    for (int round = 0; round < 15; round++) {
        for (int32_t p = 0; p < 3; p++)
            produce(&member, "t", p, 20);
        kf_sleep(20 * KF_MILLISECOND);
    }
    WAIT_FOR(member_handled(&member) >= 900);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    for (int32_t p = 0; p < 3; p++) {
        struct span span = span_of(&member, "t", p, 300);
        cr_assert(eq(i64, span.missing, 0));
        cr_assert(eq(i64, span.repeated, 0));
        cr_assert(eq(i64, member_committed(&member, "t", p), 300));
    }
    member_close(&member);
}

Test(member_delivery, at_least_once_under_trouble_loses_and_repeats_nothing)
{
    go_through_trouble(KF_AT_LEAST_ONCE, 1);
}

Test(member_delivery, at_most_once_under_trouble_repeats_nothing)
{
    go_through_trouble(KF_AT_MOST_ONCE, 2);
}

/* ---- pause ---- */

Test(member_delivery, a_paused_partition_rests_until_it_is_resumed)
{
    begin(2, 5);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 10);
    cr_assert(eq(int, kf_pause(member.runtime, "t", 0), KF_OK));
    produce(&member, "t", 0, 5);
    produce(&member, "t", 1, 5);
    WAIT_FOR(member_handled(&member) == 15);
    kf_sleep(100 * KF_MILLISECOND);
    cr_assert(eq(sz, member_count(&member), 15));
    cr_assert(eq(int, kf_resume(member.runtime, "t", -1), KF_OK));
    WAIT_FOR(member_handled(&member) == 20);
    member_close(&member);
}

Test(member_delivery, pausing_while_a_record_is_retried_is_no_reason_to_skip_it)
{
    begin(1, 10);
    atomic_store(&member.decide, fail_at_five);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    for (int i = 0; i < 20; i++) {
        WAIT_FOR(member_events(&member, "handler.failed") > (size_t)i);
        kf_pause(member.runtime, "t", 0);
        kf_resume(member.runtime, "t", 0);
    }
    atomic_store(&member.decide, NULL);
    WAIT_FOR(member_handled(&member) == 10);
    cr_assert(eq(i64, span_of(&member, "t", 0, 10).missing, 0));
    member_close(&member);
}

/* ---- where it begins ---- */

Test(member_delivery, without_an_offset_and_a_rule_the_run_ends)
{
    begin(1, 5);
    member_open(&member, "auto.offset.reset=none", NULL);
    run(KF_AT_LEAST_ONCE);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_wait(member.runtime, &error), KF_ERR_NO_OFFSET));
    cr_assert(strstr(error.text, "auto.offset.reset") != NULL);
    cr_assert(eq(sz, member_count(&member), 0));
    member_close(&member);
}

Test(member_delivery, by_duration_begins_at_the_first_record_that_late)
{
    begin(1, 0);
    kf_bytes value = {(const uint8_t *)"x", 1};
    kf_broker_produce(member.broker, "t", 0, (kf_bytes){NULL, 0}, value, 1000, NULL);
    kf_broker_produce(member.broker, "t", 0, (kf_bytes){NULL, 0}, value, -1, NULL);
    kf_broker_produce(member.broker, "t", 0, (kf_bytes){NULL, 0}, value, -1, NULL);
    member_open(&member, "auto.offset.reset=by_duration:PT1H", NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 2);
    cr_assert(eq(i64, member.entries[0].offset, 1));
    member_close(&member);
}

Test(member_delivery, an_offset_out_of_range_is_told_and_reset)
{
    begin(1, 10);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_committed(&member, "t", 0) == 10);
    member_stop(&member);
    produce(&member, "t", 0, 10);
    kf_broker_delete_records(member.broker, "t", 0, 15);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 15);
    cr_assert(member_has_event(&member, "offset.out_of_range"));
    cr_assert(eq(i64, member.entries[10].offset, 15));
    member_close(&member);
}

Test(member_delivery, a_pattern_takes_topics_as_they_come)
{
    member_broker(&member, NULL);
    kf_broker_create_topic(member.broker, "logs.a", 1, 1);
    kf_broker_create_topic(member.broker, "other", 1, 1);
    produce(&member, "logs.a", 0, 3);
    produce(&member, "other", 0, 3);
    member_open(&member, "metadata.max.age.ms=200", NULL);
    kf_topic_options options = {.size = sizeof options, .pattern = true};
    member_handle_with(&member, "^logs\\.", KF_AT_LEAST_ONCE, &options);
    member_start(&member);
    WAIT_FOR(member_handled(&member) == 3);
    kf_broker_create_topic(member.broker, "logs.b", 1, 1);
    produce(&member, "logs.b", 0, 4);
    WAIT_FOR(member_handled(&member) == 7);
    cr_assert(eq(i64, span_of(&member, "logs.b", 0, 4).missing, 0));
    cr_assert(eq(i64, span_of(&member, "other", 0, 3).missing, 3));
    member_close(&member);
}

/* ---- handlers that take their time ---- */

Test(member_delivery, a_stuck_handler_is_named_and_what_it_had_stays_uncommitted)
{
    begin(2, 5);
    atomic_store(&member.stuck_on_partition, 1);
    member_open(&member, "shutdown.timeout.ms=600", NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 5 && atomic_load(&member.is_stuck));
    WAIT_FOR(member_committed(&member, "t", 0) == 5);
    kf_runtime_stop(member.runtime);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_wait(member.runtime, &error), KF_ERR_HANDLER_STUCK));
    cr_assert(strstr(error.text, "topic t partition 1") != NULL, "%s", error.text);
    cr_assert(strstr(error.text, "offset 0") != NULL, "%s", error.text);
    cr_assert(eq(int, kf_runtime_close(member.runtime), KF_ERR_HANDLER_STUCK));
    cr_assert(eq(i64, member_committed(&member, "t", 0), 5));
    /* The position found is committed, not the record. */
    cr_assert(le(i64, member_committed(&member, "t", 1), 0));
    atomic_store(&member.let_go, true);
    kf_sleep(50 * KF_MILLISECOND);
    kf_config_free(member.config);
    kf_broker_stop(member.broker);
}

Test(member_delivery, a_slow_partition_delays_no_other)
{
    begin(4, 20);
    atomic_store(&member.stuck_on_partition, 2);
    member_open(&member, "worker.threads=1", NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 60);
    atomic_store(&member.let_go, true);
    WAIT_FOR(member_handled(&member) == 80);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    member_close(&member);
}

static kf_message kept[3];
static atomic_int kept_count;

static kf_verdict keep(struct member *of, const kf_message *message)
{
    (void)of;
    kf_message_retain(message, &kept[atomic_fetch_add(&kept_count, 1)]);
    return KF_HANDLED;
}

Test(member_delivery, a_retained_message_outlives_the_runtime)
{
    begin(1, 3);
    atomic_store(&member.decide, keep);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 3);
    member_close(&member);
    for (int i = 0; i < 3; i++) {
        cr_assert(eq(str, (char *)kept[i].topic, "t"));
        cr_assert(eq(i64, kept[i].offset, i));
        cr_assert(eq(sz, kept[i].value.size, 1));
        cr_assert(eq(int, kept[i].value.data[0], '0' + i));
        kf_message_release(&kept[i]);
    }
}

/* ---- the snapshot ---- */

/* The member has heard of its commits, too, which the broker knows before. */
static bool knows_its_commits(int64_t offset)
{
    kf_snapshot *snapshot = kf_runtime_snapshot(member.runtime);
    bool knows = snapshot->bytes_buffered == 0;
    for (size_t i = 0; i < snapshot->partition_count; i++)
        knows = knows && snapshot->partitions[i].committed == offset;
    kf_snapshot_free(snapshot);
    return knows;
}

Test(member_delivery, a_snapshot_says_what_was_done)
{
    begin(2, 10);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_committed(&member, "t", 0) == 10 && member_committed(&member, "t", 1) == 10);
    WAIT_FOR(knows_its_commits(10));
    kf_snapshot *snapshot = kf_runtime_snapshot(member.runtime);
    cr_assert(eq(str, (char *)snapshot->group, "g"));
    cr_assert(lt(sz, 0, strlen(snapshot->member_id)));
    cr_assert(eq(i32, snapshot->generation, 1));
    cr_assert(eq(i64, snapshot->rebalances, 1));
    cr_assert(eq(i64, snapshot->records_processed, 20));
    cr_assert(eq(i64, snapshot->bytes_buffered, 0));
    cr_assert(ge(i32, snapshot->workers, 1));
    cr_assert(eq(sz, snapshot->partition_count, 2));
    for (int32_t p = 0; p < 2; p++) {
        const kf_partition_snapshot *row = &snapshot->partitions[p];
        cr_assert(eq(str, (char *)row->topic, "t"));
        cr_assert(eq(i64, row->processed, 10));
        cr_assert(eq(i64, row->failed, 0));
        cr_assert(eq(i64, row->position, 10));
        cr_assert(eq(i64, row->committed, 10));
        cr_assert(eq(i64, row->high_watermark, 10));
        cr_assert(eq(i64, row->lag, 0));
        cr_assert(not(row->paused));
    }
    kf_snapshot_free(snapshot);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    member_close(&member);
}
