/* The fetcher against the embedded broker, and what answers mean that no broker gives on demand. */
#include "runtime/fetch/fetch_inside.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/broker.h>
#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTITIONS = 6,
    PATIENCE_MS = 10000
};

/* One partition and what its owner was told. */
struct reading {
    struct kf__fetching fetching;
    int64_t offsets[2000]; /* last offsets of batches that arrived and are not skipped */
    int count;
    int skipped;
    int settled;
    kf_err out_of_range;
    int64_t out_of_range_at;
    int troubled;
    kf_err trouble;
    int64_t positioned;
    struct kf_batch *kept[2000];
    int kept_count;
    bool keep;
};

static kf_broker *broker;
static struct kf__loop *loop;
static struct kf__cluster *cluster;
static struct kf__credit *credit;
static struct kf__fetcher *fetcher;
static struct kf__task credit_returned;
static struct reading readings[PARTITIONS];
static int32_t topic;

static struct kf__fetch_settings settings = {
    .max_partition_bytes = 1024 * 1024,
    .max_bytes = 50 * 1024 * 1024,
    .min_bytes = 1,
    .max_wait_ms = 100,
    .retry_backoff = 5 * KF_MILLISECOND,
    .retry_backoff_max = 50 * KF_MILLISECOND,
    .request_timeout = 5 * KF_SECOND,
    .replica_lease = 300 * KF_SECOND,
};
static int64_t fetch_max = 50 * 1024 * 1024;

/* ---- the owner ---- */

static void positioned(struct kf__fetching *fetching, int64_t offset)
{
    ((struct reading *)fetching->context)->positioned = offset;
}

static void arrived(struct kf__fetching *fetching, struct kf_batch *batch)
{
    struct reading *reading = fetching->context;
    reading->skipped += batch->skip;
    if (!batch->skip)
        reading->offsets[reading->count++] = batch->header.last_offset;
    if (reading->keep)
        reading->kept[reading->kept_count++] = batch;
    else
        kf__held_release(batch);
}

static void settled(struct kf__fetching *fetching)
{
    ((struct reading *)fetching->context)->settled++;
}

static void out_of_range(struct kf__fetching *fetching, kf_err err, int64_t offset)
{
    struct reading *reading = fetching->context;
    reading->out_of_range = err;
    reading->out_of_range_at = offset;
}

static void troubled(struct kf__fetching *fetching, kf_err err)
{
    struct reading *reading = fetching->context;
    reading->troubled++;
    reading->trouble = err;
}

static const struct kf__fetching_owner owner = {positioned, arrived, settled, out_of_range,
                                                troubled};

/* ---- scenery ---- */

static void metadata(void *context, bool changed)
{
    (void)context;
    if (changed && fetcher)
        kf__fetcher_metadata(fetcher);
}

static void fatal(void *context, kf_err err, const char *text)
{
    (void)context;
    cr_assert(false, "%d: %s", (int)err, text);
}

static void ignore_log(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

static void pump(struct kf__task *task)
{
    (void)task;
    kf__fetcher_pump(fetcher);
}

static void open_client(const char *bootstrap)
{
    struct kf__host host = {"127.0.0.1", (uint16_t)atoi(strchr(bootstrap, ':') + 1)};
    struct kf__cluster_settings cluster_settings = {
        .bootstrap = &host,
        .bootstrap_count = 1,
        .client_id = "test",
        .request_timeout = 5 * KF_SECOND,
        .setup_timeout = 5 * KF_SECOND,
        .setup_timeout_max = 5 * KF_SECOND,
        .reconnect_backoff = 5 * KF_MILLISECOND,
        .reconnect_backoff_max = 50 * KF_MILLISECOND,
        .retry_backoff = 5 * KF_MILLISECOND,
        .retry_backoff_max = 50 * KF_MILLISECOND,
        .metadata_max_age = 300 * KF_SECOND,
        .max_idle = 300 * KF_SECOND,
        .rebootstrap_after = 300 * KF_SECOND,
        .receive_max = 100000000,
    };
    struct kf__cluster_events events = {.metadata = metadata, .fatal = fatal, .log = ignore_log};
    cr_assert(eq(int,
                 kf__loop_open(&kf_default_allocator, &kf__real_world, KF__BACKEND_AUTO, &loop),
                 KF_OK));
    cr_assert(eq(int, kf__cluster_open(loop, &cluster_settings, &events, &cluster), KF_OK));
    credit_returned.run = pump;
    credit = kf__credit_new(&kf_default_allocator, loop, fetch_max, 256 << 20, &credit_returned);
    cr_assert(eq(int, kf__fetcher_open(cluster, loop, credit, &settings, &fetcher), KF_OK));
    cr_assert(eq(int, kf__cluster_add_topic(cluster, "t", &topic), KF_OK));
}

static void open_readings(int32_t count)
{
    for (int32_t p = 0; p < count; p++) {
        readings[p].positioned = -1;
        kf_err err =
            kf__fetching_open(&readings[p].fetching, fetcher, topic, p, &owner, &readings[p]);
        cr_assert(eq(int, err, KF_OK));
        kf__fetching_want(&readings[p].fetching, true);
    }
}

static void open_all(int32_t nodes, int32_t partitions)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .nodes = nodes, .thread = true};
    broker = kf_broker_start(&options, &error);
    cr_assert(broker != NULL, "%s", error.text);
    kf_broker_create_topic(broker, "t", partitions, nodes);
    open_client(kf_broker_bootstrap(broker));
    kf__cluster_refresh(cluster);
    open_readings(partitions);
}

static void release_kept(void)
{
    for (int p = 0; p < PARTITIONS; p++) {
        for (int i = 0; i < readings[p].kept_count; i++)
            kf__held_release(readings[p].kept[i]);
        readings[p].kept_count = 0;
    }
}

static void close_all(void)
{
    release_kept();
    for (int32_t p = 0; p < PARTITIONS; p++)
        kf__fetching_close(&readings[p].fetching);
    kf__fetcher_close(fetcher);
    fetcher = NULL;
    kf__cluster_close(cluster);
    cr_expect(eq(i64, atomic_load(&credit->held), 0));
    kf__credit_drop(credit);
    kf__loop_close(loop);
    if (broker)
        kf_broker_stop(broker);
}

TestSuite(fetch, .timeout = 30);

static void produce(int32_t partition, int count)
{
    for (int i = 0; i < count; i++)
        kf_broker_produce(broker, "t", partition, (kf_bytes){NULL, 0},
                          (kf_bytes){(const uint8_t *)"value", 5}, -1, NULL);
}

#define TURN_UNTIL(expression)                                                                     \
    do {                                                                                           \
        kf_time end_ = kf__real_world.now(NULL) + PATIENCE_MS * KF_MILLISECOND;                    \
        while (!(expression) && kf__real_world.now(NULL) < end_)                                   \
            kf__loop_turn(loop, kf__real_world.now(NULL) + 5 * KF_MILLISECOND);                    \
        cr_assert(expression, "waited too long for " #expression);                                 \
    } while (0)

static void turn_for(int ms)
{
    kf_time end = kf__real_world.now(NULL) + ms * KF_MILLISECOND;
    while (kf__real_world.now(NULL) < end)
        kf__loop_turn(loop, kf__real_world.now(NULL) + 5 * KF_MILLISECOND);
}

static void assert_in_order(const struct reading *reading, int64_t from, int count)
{
    cr_assert(eq(int, reading->count, count));
    for (int i = 0; i < count; i++)
        cr_assert(eq(i64, reading->offsets[i], from + i));
}

/* ---- against the broker ---- */

Test(fetch, brings_all_batches_in_order_and_goes_on)
{
    open_all(1, 3);
    for (int32_t p = 0; p < 3; p++) {
        produce(p, 20);
        kf__fetching_seek(&readings[p].fetching, KF__START_AT, p, -1);
    }
    TURN_UNTIL(readings[0].count == 20 && readings[1].count == 19 && readings[2].count == 18);
    produce(1, 5);
    TURN_UNTIL(readings[1].count == 24);
    for (int32_t p = 0; p < 3; p++)
        assert_in_order(&readings[p], p, p == 1 ? 24 : 20 - (int)p);
    close_all();
}

Test(fetch, an_idle_fetcher_owes_only_what_is_under_way)
{
    open_all(1, 2);
    for (int32_t p = 0; p < 2; p++) {
        produce(p, 50);
        kf__fetching_seek(&readings[p].fetching, KF__START_AT, 0, -1);
    }
    TURN_UNTIL(readings[0].count == 50 && readings[1].count == 50);
    for (int32_t p = 0; p < 2; p++)
        kf__fetching_want(&readings[p].fetching, false);
    TURN_UNTIL(fetcher->under_way == 0);
    turn_for(50);
    cr_assert(eq(i64, atomic_load(&credit->reserved), 0));
    cr_assert(eq(i64, atomic_load(&credit->held), 0));
    close_all();
}

Test(fetch, errors_and_broken_connections_leak_no_credit)
{
    open_all(1, 2);
    kf_broker_fault faults[] = {
        {.kind = KF_BROKER_CLOSE, .every = 3, .times = 10},
        {.kind = KF_BROKER_ANSWER_ERROR,
         .every = 4,
         .times = 5,
         .error = KF_ERR_UNKNOWN_SERVER_ERROR},
        {.kind = KF_BROKER_CUT, .every = 5, .times = 5, .bytes = 40},
    };
    for (int i = 0; i < 3; i++) {
        faults[i].size = sizeof faults[i];
        faults[i].api_key = KF_API_FETCH;
        kf_broker_fault_add(broker, &faults[i]);
    }
    for (int32_t p = 0; p < 2; p++)
        kf__fetching_seek(&readings[p].fetching, KF__START_AT, 0, -1);
    for (int i = 0; i < 30; i++) {
        produce(0, 2);
        produce(1, 2);
        turn_for(10);
    }
    TURN_UNTIL(readings[0].count == 60 && readings[1].count == 60);
    assert_in_order(&readings[0], 0, 60);
    assert_in_order(&readings[1], 0, 60);
    for (int32_t p = 0; p < 2; p++)
        kf__fetching_want(&readings[p].fetching, false);
    TURN_UNTIL(fetcher->under_way == 0);
    cr_assert(eq(i64, atomic_load(&credit->reserved), 0));
    close_all();
}

Test(fetch, without_credit_it_waits_and_is_told)
{
    fetch_max = 100000;
    open_all(1, 1);
    produce(0, 10);
    readings[0].keep = true;
    kf__fetching_seek(&readings[0].fetching, KF__START_AT, 0, -1);
    TURN_UNTIL(readings[0].count == 10);
    kf__fetching_want(&readings[0].fetching, false);
    TURN_UNTIL(fetcher->under_way == 0);
    /* Somebody else takes all that is left. */
    int64_t taken = kf__credit_reserve(credit, 1, INT64_MAX);
    kf__fetching_want(&readings[0].fetching, true);
    produce(0, 10);
    turn_for(150);
    cr_assert(eq(int, readings[0].count, 10));
    kf__credit_unreserve(credit, taken);
    release_kept();
    TURN_UNTIL(readings[0].count == 20);
    close_all();
}

Test(fetch, seeks_to_the_ends_and_to_a_time)
{
    open_all(1, 3);
    for (int32_t p = 0; p < 3; p++)
        produce(p, 10);
    kf_broker_delete_records(broker, "t", 0, 4);
    kf__fetching_seek(&readings[0].fetching, KF__START_EARLIEST, 0, -1);
    kf__fetching_seek(&readings[1].fetching, KF__START_LATEST, 0, -1);
    kf__fetching_seek(&readings[2].fetching, KF__START_TIME, kf__real_world.wall_ms(NULL) + 3600000,
                      -1);
    TURN_UNTIL(readings[0].positioned == 4 && readings[1].positioned == 10 &&
               readings[2].positioned == 10);
    TURN_UNTIL(readings[0].count == 6);
    assert_in_order(&readings[0], 4, 6);
    close_all();
}

Test(fetch, a_seek_while_a_long_poll_is_out_does_not_wait_for_it)
{
    settings.max_wait_ms = 60000; /* whoever waited for it would fail */
    open_all(1, 2);
    produce(0, 10);
    for (int32_t p = 0; p < 2; p++)
        kf__fetching_seek(&readings[p].fetching, KF__START_AT, p == 0 ? 10 : 0, -1);
    turn_for(200);
    kf__fetching_seek(&readings[0].fetching, KF__START_AT, 2, -1);
    TURN_UNTIL(readings[0].count == 8);
    assert_in_order(&readings[0], 2, 8);
    close_all();
}

Test(fetch, a_partition_that_falls_behind_leaves_the_long_poll)
{
    settings.max_wait_ms = 60000;
    settings.max_partition_bytes = 200; /* one batch or two */
    open_all(1, 2);
    for (int32_t p = 0; p < 2; p++)
        kf__fetching_seek(&readings[p].fetching, KF__START_AT, 0, -1);
    turn_for(200);
    produce(0, 40);
    TURN_UNTIL(readings[0].count >= 1);
    /* As an owner whose queue is full for a moment. */
    kf__fetching_want(&readings[0].fetching, false);
    turn_for(100);
    kf__fetching_want(&readings[0].fetching, true);
    TURN_UNTIL(readings[0].count == 40);
    close_all();
}

Test(fetch, one_fetch_at_a_time_serves_all_brokers)
{
    settings.max_concurrent = 1;
    settings.max_wait_ms = 20;
    open_all(3, 6);
    for (int32_t p = 0; p < 6; p++) {
        kf_broker_move_leader(broker, "t", p, p % 3 + 1);
        kf__fetching_seek(&readings[p].fetching, KF__START_AT, 0, -1);
    }
    for (int i = 0; i < 20; i++) {
        for (int32_t p = 0; p < 6; p++)
            produce(p, 2);
        turn_for(5);
    }
    TURN_UNTIL(readings[0].count == 40 && readings[1].count == 40 && readings[2].count == 40 &&
               readings[3].count == 40 && readings[4].count == 40 && readings[5].count == 40);
    close_all();
}

Test(fetch, follows_a_leader_that_moves_and_one_that_is_gone)
{
    open_all(3, 1);
    kf__fetching_seek(&readings[0].fetching, KF__START_AT, 0, -1);
    for (int i = 0; i < 9; i++) {
        produce(0, 4);
        kf_broker_move_leader(broker, "t", 0, i % 3 + 1);
        turn_for(20);
    }
    TURN_UNTIL(readings[0].count == 36);
    int32_t leader;
    int32_t epoch;
    kf_broker_leader(broker, "t", 0, &leader, &epoch);
    kf_broker_stop_node(broker, leader);
    produce(0, 4);
    TURN_UNTIL(readings[0].count == 40);
    assert_in_order(&readings[0], 0, 40);
    close_all();
}

Test(fetch, a_lost_session_is_begun_again)
{
    open_all(1, 2);
    for (int32_t p = 0; p < 2; p++)
        kf__fetching_seek(&readings[p].fetching, KF__START_AT, 0, -1);
    produce(0, 5);
    TURN_UNTIL(readings[0].count == 5);
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_ANSWER_ERROR,
                             .api_key = KF_API_FETCH,
                             .times = 2,
                             .error = KF_ERR_FETCH_SESSION_ID_NOT_FOUND};
    int32_t id = kf_broker_fault_add(broker, &fault);
    TURN_UNTIL(kf_broker_fault_hits(broker, id) == 2);
    produce(0, 5);
    produce(1, 5);
    TURN_UNTIL(readings[0].count == 10 && readings[1].count == 5);
    close_all();
}

Test(fetch, an_offset_out_of_range_waits_for_its_owner)
{
    open_all(1, 1);
    produce(0, 5);
    kf__fetching_seek(&readings[0].fetching, KF__START_AT, 100, -1);
    TURN_UNTIL(readings[0].out_of_range);
    cr_assert(eq(int, readings[0].out_of_range, KF_ERR_OFFSET_OUT_OF_RANGE));
    cr_assert(eq(i64, readings[0].out_of_range_at, 100));
    turn_for(100);
    cr_assert(eq(int, readings[0].count, 0));
    kf__fetching_seek(&readings[0].fetching, KF__START_AT, 3, -1);
    TURN_UNTIL(readings[0].count == 2);
    close_all();
}

Test(fetch, a_closed_partition_gets_nothing_any_more_and_may_come_back)
{
    open_all(1, 2);
    for (int32_t p = 0; p < 2; p++)
        kf__fetching_seek(&readings[p].fetching, KF__START_AT, 0, -1);
    produce(0, 5);
    produce(1, 5);
    TURN_UNTIL(readings[0].count == 5 && readings[1].count == 5);
    kf__fetching_close(&readings[0].fetching);
    produce(0, 5);
    produce(1, 5);
    TURN_UNTIL(readings[1].count == 10);
    cr_assert(eq(int, readings[0].count, 5));
    cr_assert(eq(int,
                 kf__fetching_open(&readings[0].fetching, fetcher, topic, 0, &owner, &readings[0]),
                 KF_OK));
    kf__fetching_want(&readings[0].fetching, true);
    kf__fetching_seek(&readings[0].fetching, KF__START_AT, 5, -1);
    TURN_UNTIL(readings[0].count == 10);
    assert_in_order(&readings[0], 0, 10);
    close_all();
}
