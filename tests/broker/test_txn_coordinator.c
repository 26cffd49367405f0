#include "tools/broker/text.h"
#include "tools/broker/txn/txn_coordinator.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* What the coordinator has asked of the log. */
static struct kf__txns txns;
static struct kf__txn_mark marks[16];
static int mark_count;
static bool no_leader;
static int no_room; /* 1: but for what must be, 2: for nothing */
static int record_count;
static struct kf__txn last_record;
static int64_t next_id;
static struct kf__txn_now now;

static bool take_mark(void *context, const struct kf__txn_mark *mark,
                      const struct kf__txn_partition *partition)
{
    (void)context;
    (void)partition;
    if (!no_leader)
        marks[mark_count++] = *mark;
    return !no_leader;
}

static int64_t give_id(void *context)
{
    (void)context;
    return next_id++;
}

static int32_t tell_epoch(void *context, kf_string id)
{
    (void)context;
    (void)id;
    return 4;
}

static kf_err take_record(void *context, const struct kf__txn *next, int64_t before, bool must)
{
    (void)context;
    (void)before;
    if (no_room)
        return must && no_room < 2 ? KF_OK : KF_ERR_POLICY_VIOLATION;
    record_count++;
    last_record = *next;
    return KF_OK;
}

static kf_err take_tombstone(void *context, kf_string id)
{
    (void)context;
    (void)id;
    return no_room > 1 ? KF_ERR_NO_MEMORY : KF_OK;
}

static void open_txns(void)
{
    kf__txns_init(&txns, &kf_default_allocator,
                  (struct kf__txn_sink){.new_producer_id = give_id,
                                        .epoch = tell_epoch,
                                        .write = take_record,
                                        .forget = take_tombstone,
                                        .mark = take_mark});
    next_id = 7;
    now = (struct kf__txn_now){.time = KF_SECOND, .wall_ms = 1700000000000};
    kf__txns_tick(&txns, now);
}

static void close_txns(void) { kf__txns_free(&txns); }

TestSuite(txn_coordinator, .init = open_txns, .fini = close_txns);

static struct kf__txn_claim claim_of(int64_t id, int16_t epoch)
{
    return (struct kf__txn_claim){.id = kf__text("tx"), .producer_id = id, .epoch = epoch};
}

/* InitProducerId; the epoch, or minus the error. */
static int begin(int64_t id, int16_t epoch)
{
    struct kf__txn_claim claim = claim_of(id, epoch);
    kf_err err = kf__txns_begin(&txns, now, &claim, 60000);
    return err ? -(int)err : claim.epoch;
}

static kf_err add(int64_t id, int16_t epoch, int32_t partition)
{
    struct kf__txn_claim claim = claim_of(id, epoch);
    struct kf__txn_partition one = {.topic = kf__text("t"), .partition = partition};
    struct kf__txn_addition what = {.partitions = &one, .count = 1};
    return kf__txns_add(&txns, now, &claim, &what);
}

/* EndTxn of v2: the epoch to go on with, or minus the error. */
static int end_v2(int64_t id, int16_t epoch, bool commit)
{
    struct kf__txn_claim claim = claim_of(id, epoch);
    kf_err err = kf__txns_end(&txns, now, &claim, commit, true);
    return err ? -(int)err : claim.epoch;
}

static kf_err end_v1(int64_t id, int16_t epoch, bool commit)
{
    struct kf__txn_claim claim = claim_of(id, epoch);
    return kf__txns_end(&txns, now, &claim, commit, false);
}

static struct kf__txn *txn(void) { return kf__txns_find(&txns, kf__text("tx")); }

static const char *state(void) { return kf__txn_state_name(txn()->state); }

Test(txn_coordinator, begins_at_epoch_0_and_rises_with_every_newcomer)
{
    cr_assert(eq(int, begin(-1, -1), 0));
    cr_assert(eq(i64, txn()->producer_id, 7));
    cr_assert(eq(int, begin(-1, -1), 1));
    cr_assert(eq(i64, txn()->producer_id, 7));
    cr_assert(eq(str, (char *)state(), "Empty"));
}

Test(txn_coordinator, refuses_names_and_timeouts_that_kafka_refuses)
{
    struct kf__txn_claim nameless = {.id = kf__text(""), .producer_id = -1, .epoch = -1};
    struct kf__txn_claim claim = claim_of(-1, -1);
    cr_assert(eq(int, kf__txns_begin(&txns, now, &nameless, 1), KF_ERR_INVALID_REQUEST));
    cr_assert(eq(int, kf__txns_begin(&txns, now, &claim, 0), KF_ERR_INVALID_TRANSACTION_TIMEOUT));
    cr_assert(
        eq(int, kf__txns_begin(&txns, now, &claim, 900001), KF_ERR_INVALID_TRANSACTION_TIMEOUT));
    cr_assert(eq(int, kf__txns_begin(&txns, now, &claim, 900000), KF_OK));
}

/* KIP-360, as a 4.4 broker answered the same requests. */
Test(txn_coordinator, bumps_the_epoch_of_a_producer_that_goes_on)
{
    begin(-1, -1);
    cr_assert(eq(int, begin(7, 0), 1));
    cr_assert(eq(int, begin(7, 0), 1), "the answer was lost: the same again");
    cr_assert(eq(int, begin(7, 1), 2));
    cr_assert(eq(int, begin(7, 0), -KF_ERR_PRODUCER_FENCED));
    cr_assert(eq(int, begin(8, 2), -KF_ERR_PRODUCER_FENCED));
    cr_assert(eq(int, begin(-1, -1), 3));
    cr_assert(eq(int, begin(7, 2), -KF_ERR_PRODUCER_FENCED), "a newcomer has the id");
}

Test(txn_coordinator, aborts_what_a_newcomer_finds_open)
{
    begin(-1, -1);
    cr_assert(eq(int, add(7, 0, 3), KF_OK));
    cr_assert(eq(str, (char *)state(), "Ongoing"));
    cr_assert(eq(int, begin(-1, -1), -KF_ERR_CONCURRENT_TRANSACTIONS));
    cr_assert(eq(str, (char *)state(), "CompleteAbort"));
    cr_assert(eq(int, mark_count, 1));
    cr_assert(not(marks[0].commit));
    cr_assert(eq(i16, marks[0].epoch, 1));
    cr_assert(eq(int, begin(-1, -1), 2));
    cr_assert(eq(int, add(7, 0, 3), KF_ERR_PRODUCER_FENCED));
}

Test(txn_coordinator, commits_v1_in_the_same_epoch)
{
    begin(-1, -1);
    cr_assert(eq(int, end_v1(7, 0, true), KF_ERR_INVALID_TXN_STATE));
    add(7, 0, 0);
    add(7, 0, 1);
    add(7, 0, 1);
    cr_assert(eq(int, end_v1(7, 1, true), KF_ERR_PRODUCER_FENCED));
    cr_assert(eq(int, end_v1(8, 0, true), KF_ERR_INVALID_PRODUCER_ID_MAPPING));
    cr_assert(eq(int, end_v1(7, 0, true), KF_OK));
    cr_assert(eq(int, mark_count, 2));
    cr_assert(marks[0].commit);
    cr_assert(eq(i16, marks[0].epoch, 0));
    cr_assert(eq(str, (char *)state(), "CompleteCommit"));
    cr_assert(eq(int, end_v1(7, 0, true), KF_OK), "a repeated request");
    cr_assert(eq(int, end_v1(7, 0, false), KF_ERR_INVALID_TXN_STATE));
    cr_assert(eq(int, mark_count, 2));
}

/* KIP-890, as a 4.4 broker answered the same requests. */
Test(txn_coordinator, bumps_the_epoch_at_every_end_of_v2)
{
    begin(-1, -1);
    add(7, 0, 0);
    cr_assert(eq(int, end_v2(7, 0, true), 1));
    cr_assert(eq(i16, marks[0].epoch, 1));
    cr_assert(eq(int, end_v2(7, 0, true), 1), "a repeated request");
    cr_assert(eq(int, end_v2(7, 0, false), -KF_ERR_INVALID_TXN_STATE));
    cr_assert(eq(int, end_v2(7, 1, true), -KF_ERR_INVALID_TXN_STATE));
    cr_assert(eq(int, mark_count, 1));
    add(7, 1, 0);
    cr_assert(eq(int, end_v2(7, 0, true), -KF_ERR_PRODUCER_FENCED), "the next one is open");
    cr_assert(eq(int, end_v2(7, 1, false), 2));
}

Test(txn_coordinator, aborts_v2_without_a_partition)
{
    begin(-1, -1);
    cr_assert(eq(int, end_v2(7, 0, true), -KF_ERR_INVALID_TXN_STATE));
    cr_assert(eq(int, end_v2(7, 0, false), 1));
    cr_assert(eq(str, (char *)state(), "CompleteAbort"));
    cr_assert(eq(int, end_v2(7, 0, false), 1));
    cr_assert(eq(int, end_v2(7, 1, false), 2));
    cr_assert(eq(int, begin(7, 2), 3));
    cr_assert(eq(int, end_v2(7, 2, false), -KF_ERR_PRODUCER_FENCED));
}

Test(txn_coordinator, verifies_without_adding)
{
    struct kf__txn_claim claim = claim_of(7, 0);
    cr_assert(eq(int, kf__txns_verify(&txns, &claim, kf__text("t"), 0),
                 KF_ERR_INVALID_PRODUCER_ID_MAPPING));
    begin(-1, -1);
    cr_assert(
        eq(int, kf__txns_verify(&txns, &claim, kf__text("t"), 0), KF_ERR_TRANSACTION_ABORTABLE));
    add(7, 0, 0);
    cr_assert(eq(int, kf__txns_verify(&txns, &claim, kf__text("t"), 0), KF_OK));
    cr_assert(
        eq(int, kf__txns_verify(&txns, &claim, kf__text("t"), 1), KF_ERR_TRANSACTION_ABORTABLE));
}

Test(txn_coordinator, waits_for_a_leader_to_write_the_marker)
{
    begin(-1, -1);
    add(7, 0, 0);
    no_leader = true;
    cr_assert(eq(int, end_v2(7, 0, true), 1), "the outcome is settled all the same");
    cr_assert(eq(str, (char *)state(), "PrepareCommit"));
    cr_assert(eq(int, begin(-1, -1), -KF_ERR_CONCURRENT_TRANSACTIONS));
    cr_assert(eq(int, add(7, 1, 0), KF_ERR_CONCURRENT_TRANSACTIONS));
    cr_assert(eq(int, end_v2(7, 0, true), -KF_ERR_CONCURRENT_TRANSACTIONS));
    kf__txns_tick(&txns, now);
    cr_assert(eq(str, (char *)state(), "PrepareCommit"));
    no_leader = false;
    kf__txns_tick(&txns, now);
    cr_assert(eq(str, (char *)state(), "CompleteCommit"));
    cr_assert(eq(int, mark_count, 1));
}

Test(txn_coordinator, aborts_what_takes_too_long_and_lets_its_producer_go_on)
{
    begin(-1, -1);
    cr_assert(eq(i64, kf__txns_deadline(&txns), KF_FOREVER));
    add(7, 0, 0);
    cr_assert(eq(i64, kf__txns_deadline(&txns), 61 * KF_SECOND));
    now.time = 61 * KF_SECOND - 1;
    kf__txns_tick(&txns, now);
    cr_assert(eq(int, mark_count, 0));
    now.time = 61 * KF_SECOND;
    kf__txns_tick(&txns, now);
    cr_assert(eq(str, (char *)state(), "CompleteAbort"));
    cr_assert(eq(i16, marks[0].epoch, 1));
    cr_assert(eq(int, end_v1(7, 0, true), KF_ERR_PRODUCER_FENCED));
    cr_assert(eq(i64, kf__txns_deadline(&txns), KF_FOREVER));
}

Test(txn_coordinator, forgets_an_id_that_nobody_has_used_for_a_week)
{
    begin(-1, -1);
    now.time += 3600 * KF_SECOND;
    now.wall_ms += 604800000 - 1;
    kf__txns_tick(&txns, now);
    cr_assert(eq(int, begin(-1, -1), 1));
    now.time += 3600 * KF_SECOND;
    now.wall_ms += 604800000;
    kf__txns_tick(&txns, now);
    cr_assert(eq(ptr, txn(), NULL));
    cr_assert(eq(int, end_v1(7, 1, true), KF_ERR_INVALID_PRODUCER_ID_MAPPING));
}

Test(txn_coordinator, forgets_an_id_after_what_is_configured)
{
    begin(-1, -1);
    txns.expiration_ms = 1000;
    now.time += 61 * KF_SECOND;
    now.wall_ms += 999;
    kf__txns_tick(&txns, now);
    cr_assert(ne(ptr, txn(), NULL));
    now.time += 61 * KF_SECOND;
    now.wall_ms++;
    kf__txns_tick(&txns, now);
    cr_assert(eq(ptr, txn(), NULL));
}

Test(txn_coordinator, gives_another_id_where_epochs_end)
{
    begin(-1, -1);
    txn()->epoch = INT16_MAX - 2;
    cr_assert(eq(int, begin(7, INT16_MAX - 2), INT16_MAX - 1));
    cr_assert(eq(int, begin(7, INT16_MAX - 1), 0));
    cr_assert(eq(i64, txn()->producer_id, 8));
    cr_assert(eq(int, begin(7, INT16_MAX - 1), 0), "the answer was lost");
    cr_assert(eq(i64, txn()->producer_id, 8));
}

Test(txn_coordinator, rotates_the_id_at_the_end_of_v2)
{
    begin(-1, -1);
    txn()->epoch = INT16_MAX - 1;
    add(7, INT16_MAX - 1, 0);
    struct kf__txn_claim claim = claim_of(7, INT16_MAX - 1);
    cr_assert(eq(int, kf__txns_end(&txns, now, &claim, true, true), KF_OK));
    cr_assert(eq(i64, claim.producer_id, 8));
    cr_assert(eq(i16, claim.epoch, 0));
    cr_assert(eq(i64, marks[0].producer_id, 7));
    cr_assert(eq(i16, marks[0].epoch, INT16_MAX));
    claim = claim_of(7, INT16_MAX - 1);
    cr_assert(eq(int, kf__txns_end(&txns, now, &claim, true, true), KF_OK), "a repeated request");
    cr_assert(eq(i64, claim.producer_id, 8));
}

/* Fencing takes the last epoch, the next producer a new id. */
Test(txn_coordinator, fences_the_last_epoch_too)
{
    begin(-1, -1);
    txn()->epoch = INT16_MAX - 1;
    add(7, INT16_MAX - 1, 0);
    cr_assert(eq(int, begin(-1, -1), -KF_ERR_CONCURRENT_TRANSACTIONS));
    cr_assert(eq(i16, marks[0].epoch, INT16_MAX));
    cr_assert(eq(int, begin(-1, -1), 0));
    cr_assert(eq(i64, txn()->producer_id, 8));
}

/* Whoever claims the epoch that fences would make the next one negative. */
Test(txn_coordinator, lets_nobody_go_on_in_the_epoch_that_only_fences)
{
    begin(-1, -1);
    txn()->epoch = INT16_MAX - 1;
    add(7, INT16_MAX - 1, 0);
    cr_assert(eq(int, begin(-1, -1), -KF_ERR_CONCURRENT_TRANSACTIONS));
    cr_assert(eq(i16, txn()->epoch, INT16_MAX));
    cr_assert(eq(int, add(7, INT16_MAX, 0), KF_ERR_PRODUCER_FENCED));
    cr_assert(eq(int, end_v2(7, INT16_MAX, false), -KF_ERR_PRODUCER_FENCED));
    cr_assert(eq(i16, txn()->epoch, INT16_MAX));
    cr_assert(eq(int, begin(-1, -1), 0));
    cr_assert(eq(i64, txn()->producer_id, 8));
}

/* ---- what cannot be written ---- */

Test(txn_coordinator, writes_a_record_for_each_change_and_none_for_what_stays)
{
    begin(-1, -1);
    cr_assert(eq(int, record_count, 1));
    add(7, 0, 0);
    add(7, 0, 0);
    cr_assert(eq(int, record_count, 2));
    end_v2(7, 0, true);
    cr_assert(eq(int, record_count, 4));
    cr_assert(eq(int, last_record.state, KF__TXN_COMPLETE_COMMIT));
}

Test(txn_coordinator, stays_what_it_is_where_a_change_has_no_room)
{
    no_room = 1;
    cr_assert(eq(int, begin(-1, -1), -KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(ptr, txn(), NULL));
    no_room = 0;
    cr_assert(eq(int, begin(-1, -1), 0));
    int64_t id = txn()->producer_id;
    no_room = 1;
    cr_assert(eq(int, begin(-1, -1), -KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(i16, txn()->epoch, 0));
    cr_assert(eq(int, add(id, 0, 0), KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(str, (char *)state(), "Empty"));
    cr_assert(eq(sz, txn()->partition_count, 0));
    no_room = 0;
    cr_assert(eq(int, add(id, 0, 0), KF_OK));
    no_room = 1;
    cr_assert(eq(int, add(id, 0, 1), KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(sz, txn()->partition_count, 1));
    cr_assert(eq(int, end_v2(id, 0, true), 1)); /* what ends has room */
}

Test(txn_coordinator, tries_again_what_could_not_be_ended)
{
    begin(-1, -1);
    add(7, 0, 0);
    no_room = 2;
    cr_assert(eq(int, end_v2(7, 0, true), -KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(i16, txn()->epoch, 0));
    now.time += 60 * KF_SECOND;
    kf__txns_tick(&txns, now);
    cr_assert(eq(str, (char *)state(), "Ongoing"));
    cr_assert(eq(i64, kf__txns_deadline(&txns), now.time + KF_SECOND));
    no_room = 0;
    now.time += KF_SECOND;
    kf__txns_tick(&txns, now);
    cr_assert(eq(str, (char *)state(), "CompleteAbort"));
}
