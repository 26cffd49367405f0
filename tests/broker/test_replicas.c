/* Who keeps up, who may lead, what an unclean election costs. */
#include "tools/broker/log/topics.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__topics topics;
static struct kf__partition *partition; /* of three replicas: 1, 2, 3 */

static void open_topics(void)
{
    struct kf__topic *topic = NULL;
    kf__broker_topics_init(&topics, &kf_default_allocator, 5, 1);
    cr_assert(eq(int, kf__topics_create(&topics, kf__text("t"), 1, 3, &topic), KF_OK));
    partition = &topic->partitions[0];
    cr_assert(eq(i32, partition->leader, 1));
}

static void close_topics(void) { kf__broker_topics_free(&topics); }

TestSuite(replicas, .init = open_topics, .fini = close_topics);

/* One batch of one record, of an idempotent producer or none. */
static void append(int64_t producer, int32_t sequence)
{
    struct kf__codecs codecs;
    struct kf__buffer wire;
    struct kf__batch_builder builder;
    struct kf__batch_options options = {.producer_id = producer,
                                        .producer_epoch = (int16_t)(producer < 0 ? -1 : 0),
                                        .base_sequence = sequence,
                                        .transactional = producer >= 0};
    struct kf__batch batch;
    int64_t offset;
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&wire, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf__batch_builder_add(&builder, 1, (kf_bytes){0}, (kf_bytes){0}, NULL, 0);
    kf__batch_builder_finish(&builder, &options, &codecs, &wire);
    cr_assert(eq(int, kf__batch_peek(wire.bytes, wire.used, &batch), KF_OK));
    cr_assert(eq(int, kf__topics_append(&topics, partition, &batch, SIZE_MAX, &offset), KF_OK));
    if (producer >= 0) {
        cr_assert(
            eq(int, kf__producers_reserve(&partition->producers, &kf_default_allocator), KF_OK));
        kf__producers_note(&partition->producers, &batch, offset);
    }
    kf__batch_builder_free(&builder);
    kf__buffer_free(&wire);
    kf__codecs_free(&codecs);
}

static void stop(int32_t node) { kf__topics_set_running(&topics, node, false); }

static void start(int32_t node) { kf__topics_set_running(&topics, node, true); }

Test(replicas, elects_the_next_in_sync_where_the_leader_stops)
{
    stop(1);
    cr_assert(eq(i32, partition->leader, 2));
    cr_assert(eq(i32, partition->leader_epoch, 1));
    cr_assert(eq(i32, kf__in_sync_count(partition), 2));
    cr_assert(not(kf__is_in_sync(partition, 1)));
    start(1);
    cr_assert(eq(i32, partition->leader, 2), "it comes back as a follower");
    cr_assert(eq(i32, partition->leader_epoch, 1));
    cr_assert(kf__is_in_sync(partition, 1));
}

Test(replicas, waits_for_the_last_that_was_in_sync)
{
    stop(2);
    stop(3);
    stop(1);
    cr_assert(eq(i32, partition->leader, -1));
    cr_assert(kf__is_in_sync(partition, 1), "the last one stays in sync");
    start(2);
    cr_assert(eq(i32, partition->leader, -1));
    start(1);
    cr_assert(eq(i32, partition->leader, 1));
    cr_assert(eq(i32, partition->leader_epoch, 2));
    cr_assert(eq(i32, kf__in_sync_count(partition), 2));
    start(3);
    cr_assert(eq(i32, kf__in_sync_count(partition), 3));
}

Test(replicas, truncates_where_the_election_is_unclean)
{
    append(-1, -1);
    stop(2);
    append(-1, -1);
    stop(3);
    append(-1, -1);
    stop(1);
    start(3);
    cr_assert(
        eq(int, kf__elect_preferred(&topics, partition), KF_ERR_PREFERRED_LEADER_NOT_AVAILABLE));
    cr_assert(eq(int, kf__elect_unclean(&topics, partition), KF_OK));
    cr_assert(eq(i32, partition->leader, 3));
    cr_assert(eq(i64, partition->log.end_offset, 2));
    cr_assert(eq(i32, kf__in_sync_count(partition), 1));
    cr_assert(eq(int, kf__elect_unclean(&topics, partition), KF_ERR_ELECTION_NOT_NEEDED));
    append(-1, -1);
    int32_t epoch;
    int64_t end;
    kf__plog_epoch_end(&partition->log, 0, partition->leader_epoch, &epoch, &end);
    cr_assert(eq(i32, epoch, 0));
    cr_assert(eq(i64, end, 2), "where epoch 0 ended");
    start(1);
    start(2);
    cr_assert(eq(i32, kf__in_sync_count(partition), 3));
    cr_assert(eq(i64, partition->log.end_offset, 3));
    cr_assert(eq(int, kf__elect_preferred(&topics, partition), KF_OK));
    cr_assert(eq(i32, partition->leader, 1));
}

Test(replicas, elects_cleanly_where_it_can_even_if_asked_for_unclean)
{
    append(-1, -1);
    stop(2);
    stop(3);
    append(-1, -1);
    stop(1);
    cr_assert(
        eq(int, kf__elect_unclean(&topics, partition), KF_ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE));
    topics.runs[1] = true;
    cr_assert(eq(int, kf__elect_unclean(&topics, partition), KF_OK));
    cr_assert(eq(i32, partition->leader, 1));
    cr_assert(eq(i64, partition->log.end_offset, 2));
}

Test(replicas, holds_a_follower_back)
{
    cr_assert(eq(int, kf__replicas_hold(&topics, partition, 1, true), KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(int, kf__replicas_hold(&topics, partition, 4, true), KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(int, kf__replicas_hold(&topics, partition, 2, true), KF_OK));
    append(-1, -1);
    stop(1);
    cr_assert(eq(i32, partition->leader, 3));
    cr_assert(not(kf__is_in_sync(partition, 2)));
    cr_assert(eq(int, kf__replicas_hold(&topics, partition, 2, false), KF_OK));
    cr_assert(kf__is_in_sync(partition, 2));
}

/* What producers and transactions had written beyond the truncation never was. */
Test(replicas, forgets_what_producers_wrote_beyond_a_truncation)
{
    append(7, 0);
    stop(2);
    stop(3);
    append(7, 1);
    append(8, 0);
    stop(1);
    start(2);
    cr_assert(eq(int, kf__elect_unclean(&topics, partition), KF_OK));
    cr_assert(eq(sz, partition->producers.count, 1));
    const struct kf__producer *producer = kf__producers_find(&partition->producers, 7);
    cr_assert(eq(i32, kf__producer_last_sequence(producer), 0));
    cr_assert(eq(i64, kf__producers_first_open(&partition->producers), 0));
}

Test(replicas, exchanges_replicas_at_once_where_all_run)
{
    static const int32_t wanted[] = {4, 2};
    cr_assert(eq(int, kf__reassign(&topics, partition, wanted, 2), KF_OK));
    cr_assert(eq(i32, partition->replica_count, 2));
    cr_assert(eq(i32, partition->replicas[0], 4));
    cr_assert(eq(i32, partition->leader, 4));
    cr_assert(eq(i32, partition->leader_epoch, 1));
    cr_assert(eq(ptr, partition->sync.target, NULL));
    cr_assert(
        eq(int, kf__cancel_reassignment(&topics, partition), KF_ERR_NO_REASSIGNMENT_IN_PROGRESS));
}

Test(replicas, exchanges_them_when_the_last_one_has_caught_up)
{
    static const int32_t wanted[] = {5, 1};
    stop(5);
    cr_assert(eq(int, kf__reassign(&topics, partition, wanted, 2), KF_OK));
    cr_assert(eq(i32, partition->replica_count, 4));
    cr_assert(eq(i32, partition->sync.adding[0], 5));
    cr_assert(eq(i32, kf__in_sync_count(partition), 3));
    start(5);
    cr_assert(eq(i32, partition->replica_count, 2));
    cr_assert(eq(i32, partition->leader, 1));
    cr_assert(eq(i32, kf__in_sync_count(partition), 2));
}

Test(replicas, goes_back_where_an_exchange_is_called_off)
{
    static const int32_t wanted[] = {5, 3};
    stop(5);
    cr_assert(eq(int, kf__reassign(&topics, partition, wanted, 2), KF_OK));
    cr_assert(eq(int, kf__cancel_reassignment(&topics, partition), KF_OK));
    cr_assert(eq(i32, partition->replica_count, 3));
    cr_assert(eq(i32, partition->leader, 1));
    cr_assert(eq(sz, partition->sync.lagging_count, 0));
}
