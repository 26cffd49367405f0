/* Fetching, by a clock that the test moves: nearest replicas, cut logs, batches that can't be read.
 */
#include "help_virtual.h"

#include "tools/broker/state.h"
#include "tools/broker/text.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>

enum {
    SECOND = 1000, /* milliseconds */
};

static kf_broker *broker;
static kf_runtime *member;
static int handled;

static kf_verdict count(const kf_message *message, void *context)
{
    (void)message;
    (void)context;
    handled++;
    return KF_HANDLED;
}

static void begin(const char *racks)
{
    handled = 0;
    broker = virtual_broker(&(kf_broker_options){.nodes = 2, .racks = racks});
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 1, 2), KF_OK));
    int32_t leader;
    int32_t epoch;
    kf_broker_leader(broker, "t", 0, &leader, &epoch);
    if (leader != 1)
        cr_assert(eq(int, kf_broker_move_leader(broker, "t", 0, 1), KF_OK));
    kf_broker_move_coordinator(broker, "g", 1);
}

static void run(const char *setting)
{
    member = virtual_member(setting, NULL);
    kf_runtime_handle(member, "t", KF_AT_LEAST_ONCE, count, NULL);
    virtual_start(member);
}

TestSuite(member_fetch, .timeout = 60);

/* ---- nearest replicas (KIP-392) ---- */

Test(member_fetch, reads_from_the_leader_again_where_the_nearest_replica_does_not_answer)
{
    begin("a,b");
    run("client.rack=b");
    virtual_produce("t", 0, 5);
    virtual_play(5 * SECOND);
    cr_assert(eq(int, handled, 5));
    int32_t cut = virtual_fault(
        (kf_broker_fault){.kind = KF_BROKER_CLOSE, .api_key = KF_API_FETCH, .node = 2});
    cr_assert(eq(int, kf_broker_hold_replica(broker, "t", 0, 2, true), KF_OK));
    virtual_play(40 * SECOND); /* it falls out of sync: the leader names it no more */
    virtual_produce("t", 0, 5);
    virtual_play(20 * SECOND);
    cr_assert(lt(i64, 0, kf_broker_fault_hits(broker, cut)));
    cr_assert(eq(int, handled, 10));
    virtual_end();
}

Test(member_fetch, learns_of_a_nearest_replica_that_metadata_did_not_know)
{
    begin("a,b");
    kf_broker_stop_node(broker, 2);
    run("client.rack=b");
    virtual_produce("t", 0, 5);
    virtual_play(5 * SECOND);
    cr_assert(eq(int, handled, 5));
    cr_assert(eq(int, kf_broker_start_node(broker, 2), KF_OK));
    virtual_play(5 * SECOND);
    virtual_produce("t", 0, 5);
    virtual_play(5 * SECOND);
    cr_assert(eq(int, handled, 10));
    virtual_end();
}

/* ---- a log that was cut ---- */

Test(member_fetch, commits_where_a_cut_log_diverges)
{
    begin(NULL);
    run(NULL);
    virtual_produce("t", 0, 5);
    virtual_play(5 * SECOND);
    cr_assert(eq(int, kf_broker_hold_replica(broker, "t", 0, 2, true), KF_OK));
    virtual_play(40 * SECOND);
    virtual_produce("t", 0, 5);
    virtual_play(5 * SECOND);
    cr_assert(eq(int, handled, 10));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 10));
    kf_broker_stop_node(broker, 1);
    cr_assert(eq(int, kf_broker_elect_leader(broker, "t", 0, true), KF_OK));
    virtual_play(20 * SECOND);
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 5));
    virtual_end();
}

/* ---- batches that can't be read ---- */

/* The byte of the batch at `offset` that says which format it has. */
static uint8_t *magic_at(int64_t offset)
{
    struct kf__topic *topic = kf__broker_topics_find(&broker->topics, kf__text("t"));
    const struct kf__partition_log *log = &kf__topic_partition(topic, 0)->log;
    return log->batches[kf__plog_find(log, offset)].bytes + 16;
}

Test(member_fetch, handles_what_comes_before_a_header_that_cant_be_read)
{
    begin(NULL);
    virtual_produce("t", 0, 3);
    run(NULL);
    virtual_play(5 * SECOND);
    cr_assert(eq(int, handled, 3));
    virtual_produce("t", 0, 7);
    *magic_at(6) = 9;
    virtual_play(5 * SECOND);
    cr_assert(eq(int, handled, 6));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 6));
    *magic_at(6) = 2;
    virtual_play(5 * SECOND);
    cr_assert(eq(int, handled, 10));
    virtual_end();
}

/* ---- compaction ---- */

/* Nobody can handle what is not there: a chunk of at most once begins behind the gap. */
Test(member_fetch, at_most_once_commits_a_gap_of_compaction_as_a_whole)
{
    begin(NULL);
    kf_broker_set_config(broker, KF_BROKER_TOPIC, "t", "cleanup.policy", "compact");
    const kf_bytes same = {(const uint8_t *)"k", 1};
    for (int i = 0; i < 20000; i++)
        kf_broker_produce(broker, "t", 0, same, same, -1, NULL);
    cr_assert(eq(int, kf_broker_clean(broker, "t"), KF_OK));
    member = virtual_member(NULL, NULL);
    kf_runtime_handle(member, "t", KF_AT_MOST_ONCE, count, NULL);
    virtual_start(member);
    virtual_play(10 * SECOND);
    cr_assert(eq(int, handled, 1));
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 20000));
    cr_assert(lt(i64, kf_broker_requests(broker, KF_API_OFFSET_COMMIT), 5));
    virtual_end();
}
