/* What a Fetch or ListOffsets answer means, by answers that no broker gives on demand. */
#include "proto/batch/batch.h"
#include "runtime/fetch/fetch_inside.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <string.h>

enum {
    PRODUCER = 7,
    OTHER_PRODUCER = 8,
};

static struct kf__loop *loop;
static struct kf__cluster *cluster;
static struct kf__credit *credit;
static struct kf__fetcher *fetcher;
static struct kf__slab_pool *pool;
static struct kf__slab *slab;
static size_t slab_used;
static struct kf__fetch_node node;
static struct kf__fetching fetching;
static struct kf_fetch_response_partition_data row;
static int32_t topic;

/* What the owner was told, as one line: "3" a batch ending there, "(3)" a skipped one. */
static char told[256];

static void note(const char *format, long long value)
{
    size_t size = strlen(told);
    snprintf(told + size, sizeof told - size, format, value);
}

static void positioned(struct kf__fetching *of, int64_t offset)
{
    (void)of;
    note("at %lld ", (long long)offset);
}

static void arrived(struct kf__fetching *of, struct kf_batch *batch)
{
    (void)of;
    note(batch->skip ? "(%lld) " : "%lld ", (long long)batch->header.last_offset);
    kf__held_release(batch);
}

static void settled(struct kf__fetching *of) { (void)of; }

static void out_of_range(struct kf__fetching *of, kf_err err, int64_t offset)
{
    (void)of;
    note(err == KF_ERR_TRUNCATION_DETECTED ? "cut at %lld " : "no %lld ", (long long)offset);
}

static void troubled(struct kf__fetching *of, kf_err err)
{
    (void)of;
    note("trouble %lld ", err);
}

static const struct kf__fetching_owner owner = {positioned, arrived, settled, out_of_range,
                                                troubled};

static void metadata(void *context, bool changed)
{
    (void)context;
    (void)changed;
}

static void fatal(void *context, kf_err err, const char *text)
{
    (void)context;
    (void)err;
    (void)text;
}

static void ignore_log(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

static void open_all(void)
{
    static const struct kf__fetch_settings settings = {
        .max_partition_bytes = 1000,
        .max_bytes = 10000,
        .min_bytes = 1,
        .max_wait_ms = 500,
        .read_committed = true,
        .retry_backoff = KF_SECOND,
        .retry_backoff_max = KF_SECOND,
        .request_timeout = KF_SECOND,
        .replica_lease = 300 * KF_SECOND,
    };
    struct kf__host host = {"127.0.0.1", 9};
    struct kf__cluster_settings cluster_settings = {
        .bootstrap = &host, .bootstrap_count = 1, .client_id = "test", .receive_max = 1000000};
    struct kf__cluster_events events = {.metadata = metadata, .fatal = fatal, .log = ignore_log};
    kf__loop_open(&kf_default_allocator, &kf__real_world, KF__BACKEND_AUTO, &loop);
    kf__cluster_open(loop, &cluster_settings, &events, &cluster);
    credit = kf__credit_new(&kf_default_allocator, loop, 100000, 100000, NULL);
    kf__fetcher_open(cluster, loop, credit, &settings, &fetcher);
    kf__cluster_add_topic(cluster, "t", &topic);
    pool = kf__slab_pool_new(&kf_default_allocator, 0);
    slab = kf__slab_take(pool, 16384);
    slab_used = 0;

    kf__fetching_open(&fetching, fetcher, topic, 0, &owner, NULL);
    kf__link_remove(&fetching.in_lane); /* out of those without a leader, into a lane of ours */
    kf__timer_cancel(loop, &fetching.retry);
    kf__lane_init(&node.backlog, fetcher, 1, KF__LANE_BACKLOG);
    kf__lane_init(&node.long_poll, fetcher, 1, KF__LANE_LONG_POLL);
    fetching.state = KF__FETCHING_READY;
    fetching.wanted = true;
    fetching.node = 1;
    fetching.offset = 0;
    kf__lane_add(&node.backlog, &fetching);
    row = (struct kf_fetch_response_partition_data){.high_watermark = 1000,
                                                    .last_stable_offset = 1000,
                                                    .log_start_offset = -1,
                                                    .preferred_read_replica = -1};
    row.diverging_epoch.epoch = -1;
    row.diverging_epoch.end_offset = -1;
    row.current_leader.leader_id = -1;
    row.records.data = slab->bytes;
    told[0] = '\0';
}

static void close_all(void)
{
    kf__slab_release(slab);
    kf__fetching_close(&fetching);
    kf__lane_close(&node.backlog);
    kf__lane_close(&node.long_poll);
    kf__fetcher_close(fetcher);
    kf__cluster_close(cluster);
    cr_expect(eq(i64, atomic_load(&credit->reserved), 0));
    cr_expect(eq(i64, atomic_load(&credit->held), 0));
    kf__credit_drop(credit);
    kf__slab_pool_drop(pool);
    kf__loop_close(loop);
}

TestSuite(fetch_answers, .init = open_all, .fini = close_all);

/* ---- the answer ---- */

static void add_batch(int64_t base, int records, int64_t producer, bool transactional,
                      const uint8_t *control_type)
{
    struct kf__batch_builder builder;
    struct kf__buffer bytes;
    kf__buffer_init(&bytes, &kf_default_allocator);
    kf__batch_builder_init(&builder, &kf_default_allocator, base);
    kf_bytes key = {control_type, control_type ? 4 : 0};
    kf_bytes value = {(const uint8_t *)"\0\0\0\0\0\0", 6};
    for (int i = 0; i < records; i++)
        kf__batch_builder_add(&builder, 0, key, value, NULL, 0);
    struct kf__batch_options options = {.producer_id = producer,
                                        .base_sequence = -1,
                                        .leader_epoch = 3,
                                        .transactional = transactional,
                                        .control = control_type != NULL};
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &options, NULL, &bytes), KF_OK));
    kf__batch_builder_free(&builder);
    memcpy(slab->bytes + slab_used, bytes.bytes, bytes.used);
    slab_used += bytes.used;
    kf__buffer_free(&bytes);
}

static void add_plain(int64_t base, int records) { add_batch(base, records, -1, false, NULL); }

static void add_transactional(int64_t base, int records, int64_t producer)
{
    add_batch(base, records, producer, true, NULL);
}

static void add_marker(int64_t base, int64_t producer, bool commit)
{
    static const uint8_t abort_type[] = {0, 0, 0, 0};
    static const uint8_t commit_type[] = {0, 0, 0, 1};
    add_batch(base, 1, producer, true, commit ? commit_type : abort_type);
}

static void take(void)
{
    row.records.size = slab_used;
    struct kf_fetch_response_fetchable_topic_response of_topic = {
        .topic = {"t", 1}, .partitions = {.items = &row, .count = 1}};
    struct kf_fetch_response response = {.responses = {.items = &of_topic, .count = 1}};
    struct kf__answer answer = {.message = &response, .version = 12, .node = 1, .slab = slab};
    fetching.in_session = true;
    fetching.sent_offset = fetching.offset;
    node.backlog.requested_bytes = 1000;
    kf__fetch_take(&node.backlog, &answer);
}

Test(fetch_answers, s18_aborted_records_are_skipped_however_their_list_is_sorted)
{
    struct kf_fetch_response_aborted_transaction aborted[] = {
        {.producer_id = OTHER_PRODUCER, .first_offset = 6},
        {.producer_id = PRODUCER, .first_offset = 0}};
    row.aborted_transactions.items = aborted;
    row.aborted_transactions.count = 2;
    add_transactional(0, 2, PRODUCER);       /* aborted */
    add_transactional(2, 1, OTHER_PRODUCER); /* committed at 3 */
    add_marker(3, OTHER_PRODUCER, true);
    add_marker(4, PRODUCER, false);
    add_transactional(5, 1, PRODUCER);       /* the next one, still committed */
    add_transactional(6, 1, OTHER_PRODUCER); /* aborted */
    add_plain(7, 1);
    add_marker(8, OTHER_PRODUCER, false);
    take();
    cr_assert(eq(str, told, "(1) 2 (3) (4) 5 (6) 7 (8) "));
    cr_assert(eq(i64, fetching.offset, 9));
}

Test(fetch_answers, s19_two_abort_markers_are_no_trouble)
{
    struct kf_fetch_response_aborted_transaction aborted[] = {
        {.producer_id = PRODUCER, .first_offset = 0}};
    row.aborted_transactions.items = aborted;
    row.aborted_transactions.count = 1;
    add_transactional(0, 1, PRODUCER);
    add_marker(1, PRODUCER, false);
    add_marker(2, PRODUCER, false);
    add_transactional(3, 1, PRODUCER);
    take();
    cr_assert(eq(str, told, "(0) (1) (2) 3 "));
}

Test(fetch_answers, s19_a_batch_of_impossible_size_is_an_error_and_moves_nothing)
{
    add_plain(0, 1);
    memset(slab->bytes + 8, 0xff, 4); /* its length: -1 */
    take();
    cr_assert(eq(i64, fetching.offset, 0));
    cr_assert(eq(int, fetching.state, KF__FETCHING_WAITING));
    cr_assert(ne(int, fetching.failure, KF_OK));
}

Test(fetch_answers, s22_a_log_cut_below_is_told_once_with_the_place)
{
    row.diverging_epoch.epoch = 2;
    row.diverging_epoch.end_offset = 40;
    fetching.offset = 50;
    take();
    take(); /* late: the owner has not said yet where to go on */
    cr_assert(eq(str, told, "cut at 40 "));
    cr_assert(eq(int, fetching.state, KF__FETCHING_IDLE));
}

Test(fetch_answers, s27_only_aborted_records_are_progress)
{
    struct kf_fetch_response_aborted_transaction aborted[] = {
        {.producer_id = PRODUCER, .first_offset = 0}};
    row.aborted_transactions.items = aborted;
    row.aborted_transactions.count = 1;
    add_transactional(0, 5, PRODUCER);
    take();
    cr_assert(eq(str, told, "(4) "));
    cr_assert(eq(i64, fetching.offset, 5));
    cr_assert(not(fetching.caught_up));
    cr_assert(eq(int, fetching.state, KF__FETCHING_READY));
    cr_assert(not(kf__timer_is_set(&node.backlog.retry)));
}

Test(fetch_answers, s27_a_tail_cut_off_is_left_for_the_next_time)
{
    add_plain(0, 2);
    size_t whole = slab_used;
    add_plain(2, 2);
    slab_used = whole + 20;
    take();
    cr_assert(eq(str, told, "1 "));
    cr_assert(eq(i64, fetching.offset, 2));
    cr_assert(eq(int, fetching.state, KF__FETCHING_READY));
    cr_assert(eq(i32, fetching.max_bytes, 1000));
}

Test(fetch_answers, a_first_batch_cut_off_asks_for_more_bytes)
{
    add_plain(0, 2);
    slab_used -= 3;
    take();
    cr_assert(eq(str, told, ""));
    cr_assert(eq(i32, fetching.max_bytes, 2000));
    cr_assert(eq(int, fetching.state, KF__FETCHING_READY));
}

Test(fetch_answers, s29_out_of_range_on_a_follower_asks_the_leader)
{
    fetching.replica = 2;
    row.error_code = KF_ERR_OFFSET_OUT_OF_RANGE;
    take();
    cr_assert(eq(str, told, ""));
    cr_assert(eq(i32, fetching.replica, -1));
    cr_assert(eq(int, fetching.state, KF__FETCHING_READY));
}

Test(fetch_answers, batches_before_the_position_are_left_out)
{
    fetching.offset = 3;
    add_plain(0, 2);
    add_plain(2, 2);
    add_plain(4, 1);
    take();
    cr_assert(eq(str, told, "3 4 "));
}

Test(fetch_answers, an_answer_for_another_offset_is_dropped)
{
    add_plain(0, 2);
    fetching.in_session = true;
    fetching.offset = 10;
    row.records.size = slab_used;
    struct kf_fetch_response_fetchable_topic_response of_topic = {
        .topic = {"t", 1}, .partitions = {.items = &row, .count = 1}};
    struct kf_fetch_response response = {.responses = {.items = &of_topic, .count = 1}};
    struct kf__answer answer = {.message = &response, .version = 12, .node = 1, .slab = slab};
    fetching.sent_offset = 0;
    kf__fetch_take(&node.backlog, &answer);
    cr_assert(eq(str, told, ""));
    cr_assert(eq(i64, fetching.offset, 10));
}

Test(fetch_answers, an_unknown_topic_id_begins_a_new_session)
{
    struct kf_fetch_response_partition_data strange = row;
    strange.error_code = KF_ERR_UNKNOWN_TOPIC_ID;
    struct kf_fetch_response_fetchable_topic_response of_topic = {
        .topic_id = {{1, 2, 3}}, .partitions = {.items = &strange, .count = 1}};
    struct kf_fetch_response response = {.session_id = 5,
                                         .responses = {.items = &of_topic, .count = 1}};
    struct kf__answer answer = {.message = &response, .version = 13, .node = 1, .slab = slab};
    node.backlog.session_id = 5;
    node.backlog.session_epoch = 3;
    node.backlog.incremental = true;
    kf__fetch_take(&node.backlog, &answer);
    cr_assert(eq(i32, node.backlog.session_epoch, 0));
}

Test(fetch_answers, s25_a_negative_offset_is_an_error_and_no_beginning)
{
    kf__fetching_seek(&fetching, KF__START_EARLIEST, 0, -1);
    /* As if its leader were known. */
    kf__timer_cancel(loop, &fetching.retry);
    kf__link_remove(&fetching.in_lane);
    fetching.node = 1;
    kf__link_append(&fetcher->seeking, &fetching.in_lane);
    kf__seeks_send(fetcher);
    struct kf__call *call = (struct kf__call *)(void *)fetcher->seeks; /* its first member */
    struct kf_list_offsets_response_list_offsets_partition_response answered = {
        .partition_index = 0, .offset = -1, .timestamp = -1};
    struct kf_list_offsets_response_list_offsets_topic_response of_topic = {
        .name = {"t", 1}, .partitions = {.items = &answered, .count = 1}};
    struct kf_list_offsets_response response = {.topics = {.items = &of_topic, .count = 1}};
    struct kf__answer answer = {.message = &response, .version = 6, .node = 1, .slab = slab};
    kf__call_cancel(call);
    call->done(call, KF_OK, &answer);
    cr_assert(eq(str, told, ""));
    cr_assert(eq(i64, fetching.offset, -1));
    cr_assert(eq(int, fetching.failure, KF_ERR_OFFSET_RESET_FAILED));
    cr_assert(eq(int, fetching.state, KF__FETCHING_WAITING));
}
