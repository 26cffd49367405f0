/* Whose a partition is, from the callback that tells of it to the one that takes it away. */
#include "help_virtual.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <string.h>

enum {
    SECOND = 1000, /* milliseconds */
};

static kf_broker *broker;
static kf_runtime *member;
static int handled;
static int begun;
static int64_t work_ms; /* of a handler */

static kf_verdict work(const kf_message *message, void *context)
{
    (void)message;
    (void)context;
    begun++;
    if (work_ms && kf_sleep(work_ms * KF_MILLISECOND))
        return KF_FAILED;
    handled++;
    return KF_HANDLED;
}

static void begin(int32_t partitions)
{
    broker = virtual_broker(NULL);
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", partitions, 1), KF_OK));
    handled = begun = 0;
    work_ms = 0;
}

TestSuite(ownership, .timeout = 60);

/* ---- the callback ---- */

static int64_t tell_ms; /* of the callback */
static int told[KF_LOST + 1];

static void tell(void *context, kf_rebalance_event event, const kf_topic_partition *partitions,
                 size_t count)
{
    (void)context;
    (void)partitions;
    if (tell_ms)
        kf_sleep(tell_ms * KF_MILLISECOND);
    told[event] += (int)count;
}

static kf_verdict after_the_callback(const kf_message *message, void *context)
{
    (void)message;
    (void)context;
    cr_assert(lt(int, 0, told[KF_ASSIGNED]), "handled before the callback had returned");
    handled++;
    return KF_HANDLED;
}

/* The second assignment adds nothing, so that nobody is told of it; the first is being told. */
Test(ownership, no_handler_runs_before_the_callback_whatever_is_assigned_meanwhile)
{
    begin(1);
    virtual_produce("t", 0, 5);
    tell_ms = 20 * SECOND;
    member = virtual_member(NULL, NULL);
    kf_runtime_on_rebalance(member, tell, NULL);
    kf_runtime_handle(member, "t", KF_AT_LEAST_ONCE, after_the_callback, NULL);
    virtual_start(member);
    virtual_play(2 * SECOND);
    int32_t fault = virtual_fault(virtual_error(KF_API_HEARTBEAT, KF_ERR_REBALANCE_IN_PROGRESS, 1));
    virtual_play(10 * SECOND);
    cr_assert(eq(i64, kf_broker_fault_hits(broker, fault), 1));
    cr_assert(eq(i64, kf_broker_requests(broker, KF_API_SYNC_GROUP), 2));
    cr_assert(eq(int, handled, 0));
    virtual_play(20 * SECOND);
    cr_assert(eq(int, handled, 5));
    tell_ms = 0;
    virtual_end();
}

/* ---- the end ---- */

Test(ownership, a_stop_waits_for_handlers_that_a_rebalance_was_waiting_for)
{
    begin(1);
    virtual_produce("t", 0, 1);
    work_ms = 25 * SECOND;
    member = virtual_member("partition.assignment.strategy=range", "shutdown.timeout.ms=30000",
                            "rebalance.timeout.ms=60000", NULL);
    kf_runtime_handle(member, "t", KF_AT_LEAST_ONCE, work, NULL);
    virtual_start(member);
    virtual_play(2 * SECOND);
    cr_assert(eq(int, begun, 1));
    virtual_fault(virtual_error(KF_API_HEARTBEAT, KF_ERR_REBALANCE_IN_PROGRESS, 1));
    virtual_play(4 * SECOND);
    kf_runtime_stop(member);
    virtual_play(40 * SECOND);
    cr_assert(eq(int, kf_runtime_wait(member, NULL), KF_OK));
    cr_assert(eq(int, handled, 1));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 1));
    cr_assert(eq(int, virtual_close(member), KF_OK));
    virtual_end();
}

/* The topic is gone for good: its last chunk can never be acknowledged. */
Test(ownership, a_hopeless_commit_of_at_most_once_does_not_hold_up_the_end)
{
    begin(1);
    virtual_produce("t", 0, 5);
    virtual_fault(virtual_error(KF_API_OFFSET_COMMIT, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION, 0));
    member = virtual_member(NULL, NULL);
    kf_runtime_handle(member, "t", KF_AT_MOST_ONCE, work, NULL);
    virtual_start(member);
    virtual_play(5 * SECOND);
    cr_assert(eq(i32, kf_broker_group_members(broker, "g", NULL), 1));
    kf_runtime_stop(member);
    virtual_play(3 * SECOND);
    cr_assert(eq(i32, kf_broker_group_members(broker, "g", NULL), 0));
    cr_assert(eq(int, kf_runtime_wait(member, NULL), KF_OK));
    cr_assert(eq(int, begun, 0));
    virtual_end();
}

/* ---- the bound of a revoke ---- */

Test(ownership, what_could_not_be_committed_in_time_is_told_as_lost)
{
    begin(2);
    virtual_produce("t", 0, 1);
    memset(told, 0, sizeof told);
    member =
        virtual_member("partition.assignment.strategy=range", "rebalance.timeout.ms=20000", NULL);
    kf_runtime_on_rebalance(member, tell, NULL);
    kf_runtime_handle(member, "t", KF_AT_LEAST_ONCE, work, NULL);
    virtual_start(member);
    virtual_play(5 * SECOND);
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 1));
    virtual_fault(virtual_error(KF_API_OFFSET_COMMIT, KF_ERR_COORDINATOR_LOAD_IN_PROGRESS, 0));
    virtual_produce("t", 0, 1);
    virtual_play(2 * SECOND);
    cr_assert(eq(int, handled, 2));
    virtual_fault(virtual_error(KF_API_HEARTBEAT, KF_ERR_REBALANCE_IN_PROGRESS, 1));
    virtual_play(30 * SECOND);
    cr_assert(eq(int, told[KF_LOST], 1));
    cr_assert(eq(int, told[KF_REVOKED], 1));
    cr_assert(eq(int, told[KF_ASSIGNED], 4));
    kf_broker_fault_clear(broker, 0);
    virtual_end();
}

/* ---- no coordinator ---- */

/* Whoever waits for a coordinator to join at may have been given up by the one there was. */
Test(ownership, is_lost_with_the_session_while_no_coordinator_can_be_found_for_the_join)
{
    begin(1);
    virtual_produce("t", 0, 1);
    memset(told, 0, sizeof told);
    member = virtual_member("session.timeout.ms=20000", "metadata.max.age.ms=1000", NULL);
    kf_topic_options options = {.size = sizeof options, .pattern = true};
    kf_runtime_on_rebalance(member, tell, NULL);
    kf_runtime_handle(member, "t", KF_AT_LEAST_ONCE, work, NULL);
    kf_runtime_handle_with(member, "later.*", KF_AT_LEAST_ONCE, work, NULL, &options);
    virtual_start(member);
    virtual_play(5 * SECOND);
    cr_assert(eq(int, told[KF_ASSIGNED], 1));
    virtual_fault(virtual_error(KF_API_FIND_COORDINATOR, KF_ERR_COORDINATOR_NOT_AVAILABLE, 0));
    virtual_fault(virtual_error(KF_API_OFFSET_COMMIT, KF_ERR_NOT_COORDINATOR, 1));
    virtual_produce("t", 0, 1);
    virtual_play(1 * SECOND);
    cr_assert(eq(int, kf_broker_create_topic(broker, "later1", 1, 1), KF_OK));
    virtual_play(60 * SECOND);
    cr_assert(eq(int, told[KF_LOST], 1));
    kf_broker_fault_clear(broker, 0);
    virtual_play(60 * SECOND);
    cr_assert(eq(int, told[KF_ASSIGNED], 3));
    virtual_end();
}
