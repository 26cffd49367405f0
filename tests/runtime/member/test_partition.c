/* A partition's two sides on one thread, without a network: batches and commits come by hand. */
#include "runtime/member/partition.h"

#include "proto/batch/batch.h"
#include "runtime/fetch/fetch_inside.h"
#include "runtime/member/consumer.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/fiber.h>
#include <string.h>

static struct kf__loop *loop;
static struct kf__sched *sched;
static struct kf__events *events;
static struct kf__consumer consumer;
static struct kf__settings settings;
static struct kf__route route;
static struct kf__slab_pool *pool;
static kf_config *config;
static struct kf__partition *partition;
static int64_t handled[1000];
static int handled_count;
static int64_t fails_at;

static kf_verdict handle(const kf_message *message, void *context)
{
    (void)context;
    if (message->offset == fails_at)
        return KF_FAILED;
    handled[handled_count++] = message->offset;
    return KF_HANDLED;
}

static void quiet(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

static void ended(void *context) { (void)context; }

static kf_err open_consumer(const kf_allocator *alloc)
{
    memset(&consumer, 0, sizeof consumer);
    struct kf__consumer_parts parts = {.alloc = alloc,
                                       .settings = &settings,
                                       .routes = &route,
                                       .loop = loop,
                                       .sched = sched,
                                       .events = events,
                                       .on_end = ended};
    return kf__consumer_open(&consumer, &parts, NULL);
}

static void open_all(void)
{
    config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", "127.0.0.1:9", NULL);
    kf_config_set(config, "group.id", "g", NULL);
    cr_assert(eq(int, kf__config_settings(config, &settings, NULL), KF_OK));
    kf__loop_open(&kf_default_allocator, &kf__real_world, KF__BACKEND_AUTO, &loop);
    struct kf__sched_settings of_sched = {.workers = 0};
    kf__sched_open(loop, &of_sched, &sched);
    kf__events_open(&kf_default_allocator, loop, sched, KF_LOG_ERROR, quiet, NULL, &events);
    pool = kf__slab_pool_new(&kf_default_allocator, 0);
    static char name[] = "t";
    route = (struct kf__route){.topic = name,
                               .semantics = KF_AT_LEAST_ONCE,
                               .handler = handle,
                               .retry_backoff = 2 * KF_SECOND,
                               .retry_backoff_max = 2 * KF_SECOND,
                               .chunk_records = 5,
                               .chunk_bytes = 1000000};
    fails_at = -1;
    handled_count = 0;
}

static void close_all(void)
{
    kf__consumer_close(&consumer);
    kf__sched_close(sched, kf_now() + KF_SECOND);
    kf__events_close(events);
    kf__slab_pool_drop(pool);
    kf__loop_close(loop);
    kf_config_free(config);
}

TestSuite(partition, .init = open_all, .fini = close_all);

/* RUNNING from offset 0, as after an OffsetFetch. */
static void begin(kf_semantics semantics)
{
    route.semantics = semantics;
    cr_assert(eq(int, open_consumer(&kf_default_allocator), KF_OK));
    partition = kf__partition_new(&consumer, &route, "t", 0, 0);
    kf__link_append(&consumer.partitions, &partition->link);
    consumer.partition_count++;
    partition->user_told = true;
    kf__offset_open(&partition->account, 0, partition);
    kf__partition_start_at(partition, 0, -1);
    kf__partition_begin(partition);
    cr_assert(eq(int, partition->state, KF__PARTITION_RUNNING));
}

/* As the fetcher would hand it out: `skip` for a control batch or an aborted one. */
static void arrive(int64_t base, int records, bool skip)
{
    struct kf__batch_builder builder;
    struct kf__buffer bytes;
    kf__buffer_init(&bytes, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, base);
    for (int i = 0; i < records; i++)
        kf__batch_builder_add(&builder, 0, (kf_bytes){NULL, 0}, (kf_bytes){NULL, 0}, NULL, 0);
    struct kf__batch_options options = {.producer_id = -1, .base_sequence = -1};
    kf__batch_builder_finish(&builder, &options, NULL, &bytes);
    kf__batch_builder_free(&builder);
    struct kf__slab *slab = kf__slab_take(pool, bytes.used);
    memcpy(slab->bytes, bytes.bytes, bytes.used);
    struct kf__batch header;
    kf__batch_peek(slab->bytes, bytes.used, &header);
    kf__buffer_free(&bytes);
    kf__credit_hold(consumer.credit, slab, 1);
    partition->fetching.offset = header.last_offset + 1;
    kf__partition_fetching.arrived(&partition->fetching,
                                   kf__held_new(&kf_default_allocator, slab, &header, skip, "t"));
    kf__slab_release(slab);
    kf__partition_fetching.settled(&partition->fetching);
}

/* Runs what is ready; the number of activations is bounded, so that a spin shows. */
static int turn(void)
{
    int rounds = 0;
    for (; rounds < 50; rounds++) {
        if (!kf__sched_has_ready(sched))
            kf__loop_turn(loop, 0);
        if (!kf__sched_has_ready(sched))
            break;
        kf__sched_run_ready(sched, 1);
        kf__loop_turn(loop, 0);
    }
    return rounds;
}

/* The broker acknowledges what is to be committed; -1: nothing is. */
static int64_t commit(void)
{
    struct kf__offset *offset = kf__offsets_take(&consumer.committer.offsets);
    if (!offset)
        return -1;
    int64_t committed = offset->in_flight;
    kf__offset_settled(&consumer.committer.offsets, offset, KF_OK, kf_now());
    kf__partition_committed(partition, KF_OK);
    return committed;
}

Test(partition, handles_what_arrives_and_notes_it)
{
    begin(KF_AT_LEAST_ONCE);
    arrive(0, 3, false);
    arrive(3, 2, true);
    arrive(5, 2, false);
    turn();
    cr_assert(eq(int, handled_count, 5));
    cr_assert(eq(i64, kf__partition_position(partition), 7));
    cr_assert(eq(i64, commit(), 7));
    cr_assert(eq(i64, atomic_load(&partition->buffered), 0));
    cr_assert(eq(i64, atomic_load(&consumer.credit->reserved), 0));
    cr_assert(eq(i64, atomic_load(&consumer.credit->held), 0));
}

Test(partition, a_long_retry_sends_the_fetcher_back_to_the_failed_record)
{
    begin(KF_AT_LEAST_ONCE);
    fails_at = 2;
    arrive(0, 5, false);
    arrive(5, 5, false);
    turn();
    cr_assert(eq(i64, kf__partition_position(partition), 2));
    cr_assert(eq(i64, atomic_load(&partition->buffered), 0));
    cr_assert(eq(i64, partition->fetching.offset, 2));
    cr_assert(eq(i64, commit(), 2));
}

Test(partition, a_long_retry_sends_back_a_fetcher_that_waits_too)
{
    begin(KF_AT_LEAST_ONCE);
    fails_at = 2;
    arrive(0, 5, false);
    kf__fetching_trouble(&partition->fetching, KF_ERR_NOT_LEADER_OR_FOLLOWER, false);
    turn();
    cr_assert(eq(i64, partition->fetching.offset, 2));
}

Test(partition, an_end_out_of_range_is_no_reason_to_skip_what_was_dropped)
{
    begin(KF_AT_LEAST_ONCE);
    fails_at = 2;
    arrive(0, 5, false);
    kf__partition_fetching.out_of_range(&partition->fetching, KF_ERR_OFFSET_OUT_OF_RANGE, 5);
    turn();
    cr_assert(eq(i64, partition->fetching.offset, 2));
    cr_assert(eq(int, partition->reset_why, KF_OK));
    cr_assert(eq(i64, kf__partition_position(partition), 2));
}

Test(partition, a_cut_log_goes_on_where_it_parts_once_the_queue_is_empty)
{
    begin(KF_AT_LEAST_ONCE);
    arrive(0, 5, false);
    kf__partition_fetching.out_of_range(&partition->fetching, KF_ERR_TRUNCATION_DETECTED, 3);
    turn();
    cr_assert(eq(int, handled_count, 5));
    cr_assert(eq(i64, kf__partition_position(partition), 3));
    cr_assert(eq(i64, partition->fetching.offset, 3));
}

Test(partition, memory_comes_back_from_one_that_stands_still)
{
    begin(KF_AT_LEAST_ONCE);
    kf__partition_pause(partition, true);
    arrive(0, 5, false);
    arrive(5, 5, false);
    kf__partition_give_back(partition); /* it may have moved since the last look */
    kf__partition_give_back(partition);
    cr_assert(eq(i64, atomic_load(&partition->buffered), 0));
    cr_assert(eq(i64, partition->fetching.offset, 0));
    cr_assert(eq(i64, atomic_load(&consumer.credit->reserved), 0));
}

Test(partition, at_most_once_handles_a_chunk_once_it_is_committed)
{
    begin(KF_AT_MOST_ONCE);
    arrive(0, 12, false);
    turn();
    cr_assert(eq(int, handled_count, 0));
    cr_assert(eq(i64, commit(), 5));
    turn();
    cr_assert(eq(int, handled_count, 5));
    cr_assert(eq(i64, commit(), 10));
    turn();
    cr_assert(eq(i64, commit(), 12));
    turn();
    cr_assert(eq(int, handled_count, 12));
    cr_assert(eq(i64, commit(), -1));
}

Test(partition, at_most_once_passes_a_skipped_batch_longer_than_its_chunks)
{
    begin(KF_AT_MOST_ONCE);
    arrive(0, 3, false);
    arrive(3, 30, true);
    arrive(33, 2, false);
    for (int i = 0; i < 12 && handled_count < 5; i++) {
        commit();
        cr_assert(lt(int, turn(), 5), "it spins while nothing is committed");
    }
    cr_assert(eq(int, handled_count, 5));
    cr_assert(eq(i64, kf__partition_position(partition), 35));
}

Test(partition, at_most_once_keeps_what_is_committed_when_memory_is_short)
{
    begin(KF_AT_MOST_ONCE);
    for (int i = 0; i < 10; i++)
        arrive(i * 2, 2, false);
    kf__partition_give_back(partition);
    kf__partition_give_back(partition);
    /* The chunk was asked for when only the first batch was there. */
    cr_assert(eq(i64, partition->fetching.offset, 2));
    cr_assert(eq(i64, commit(), 2));
    turn();
    cr_assert(eq(int, handled_count, 2));
}

Test(partition, at_most_once_is_drained_when_its_chunk_is_handled)
{
    begin(KF_AT_MOST_ONCE);
    arrive(0, 12, false);
    kf__partition_drain(partition);
    cr_assert(eq(int, partition->state, KF__PARTITION_DRAINING), "a chunk is being committed");
    commit();
    turn();
    cr_assert(eq(int, partition->state, KF__PARTITION_DRAINED));
    cr_assert(eq(int, handled_count, 5));
    cr_assert(eq(i64, partition->account.committed, 5));
}

Test(partition, at_least_once_is_drained_at_once_where_it_rests)
{
    begin(KF_AT_LEAST_ONCE);
    fails_at = 2;
    arrive(0, 5, false);
    turn();
    kf__partition_drain(partition);
    cr_assert(eq(int, partition->state, KF__PARTITION_DRAINED));
    cr_assert(eq(i64, commit(), 2));
}

Test(partition, a_pause_before_it_begins_is_kept)
{
    begin(KF_AT_LEAST_ONCE);
    partition->state = KF__PARTITION_STARTING;
    kf__partition_pause(partition, true);
    kf__partition_begin(partition);
    arrive(0, 5, false);
    turn();
    cr_assert(eq(int, handled_count, 0));
    kf__partition_pause(partition, false);
    turn();
    cr_assert(eq(int, handled_count, 5));
}

Test(partition, condemned_at_work_it_is_freed_when_its_handler_returns)
{
    begin(KF_AT_LEAST_ONCE);
    arrive(0, 5, false);
    cr_assert(partition->scheduled);
    kf__consumer_condemn_all(&consumer);
    cr_assert(not(kf__link_is_alone(&consumer.old)));
    cr_assert(eq(sz, consumer.partition_count, 0));
    turn();
    cr_assert(kf__link_is_alone(&consumer.old));
    cr_assert(eq(int, handled_count, 0));
    cr_assert(eq(i64, atomic_load(&consumer.credit->held), 0));
}

/* ---- memory that ends ---- */

static int allocations_left;

static void *resize(void *context, void *memory, size_t size)
{
    (void)context;
    if (size > 0 && allocations_left-- <= 0)
        return NULL;
    return kf_default_allocator.resize(kf_default_allocator.context, memory, size);
}

Test(partition, opening_a_consumer_survives_each_allocation_that_fails)
{
    static const kf_allocator failing = {.resize = resize};
    kf_err err = KF_ERR_NO_MEMORY;
    int most = 0;
    for (; err && most < 1000; most++) {
        allocations_left = most;
        err = open_consumer(&failing);
        allocations_left = 1000;
        kf__consumer_close(&consumer);
        consumer.alloc = NULL;
    }
    cr_assert(eq(int, err, KF_OK));
    cr_assert(lt(int, 3, most));
}
