/* What shows only from inside: the I/O thread's lists and timers, answers that no broker of ours
 * gives, sequences near their end. */
#include "runtime/producer/producer_inside.h"
#include "tests/runtime/producer/help_producer.h"

#include "net/conn/calls.h"
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <string.h>

static kf_broker *broker;
static kf_error error;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 2, .strict = true}, 3);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_inside, .init = start_broker, .fini = stop_broker, .timeout = 60);

static kf_producer *open_with(const char *const *settings)
{
    kf_producer *producer =
        help_open_producer(help_configure(broker, NULL, &error), settings, &error);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    return producer;
}

static atomic_int told;
static kf_fate fate;
static int64_t last_offset;

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    fate = delivery->fate;
    last_offset = delivery->offset;
    atomic_fetch_add(&told, 1);
}

static void produce(kf_producer *producer, int32_t partition, const char *value)
{
    kf_record record = {.topic = "orders",
                        .partition = partition,
                        .value = {(const uint8_t *)value, strlen(value)}};
    kf_err err = kf_produce(producer, &record, take_verdict, NULL, in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
}

static void wait_until_told(int count)
{
    for (int tries = 0; tries < 20000 && atomic_load(&told) < count; tries++)
        kf_sleep(KF_MILLISECOND);
    cr_assert(eq(int, atomic_load(&told), count));
}

static struct kf__out_partition *partition_at(kf_producer *producer, int32_t index)
{
    return atomic_load(&kf__producer_topic(producer, "orders")->partitions)->items[index];
}

/* ---- on the I/O thread ---- */

struct errand {
    struct kf__task task;
    kf_producer *producer;
    void (*run)(kf_producer *producer);
    atomic_bool over;
};

static void run_errand(struct kf__task *task)
{
    struct errand *errand = KF__OWNER(task, struct errand, task);
    errand->run(errand->producer);
    atomic_store(&errand->over, true);
}

static void begin_errand(struct errand *errand, kf_producer *producer, void (*run)(kf_producer *))
{
    errand->task.run = run_errand;
    errand->producer = producer;
    errand->run = run;
    atomic_init(&errand->over, false);
    kf__loop_post(producer->io.loop, &errand->task);
}

static void on_io_thread(kf_producer *producer, void (*run)(kf_producer *))
{
    struct errand errand = {0};
    begin_errand(&errand, producer, run);
    while (!atomic_load(&errand.over))
        kf_sleep(KF_MILLISECOND);
}

/* ---- a leader of yesterday ---- */

static bool backs_off;

/* The broker under way to answers NOT_LEADER_OR_FOLLOWER, and names a leader of an older epoch. */
static void answer_stale(kf_producer *producer)
{
    struct kf__out_request *request =
        KF__OWNER(producer->requests.next, struct kf__out_request, link);
    struct kf__out_partition *partition = request->batches[0]->partition;
    struct kf_produce_response_partition_produce_response row = {
        .error_code = KF_ERR_NOT_LEADER_OR_FOLLOWER,
        .log_append_time_ms = -1,
        .current_leader = {.leader_id = 3 - request->node->id, .leader_epoch = 0},
    };
    struct kf_produce_response_topic_produce_response topic = {
        .topic_id = kf__out_topic_info(producer, partition->topic)->id,
        .partition_responses = {.items = &row, .count = 1},
    };
    struct kf_produce_response response = {.responses = {.items = &topic, .count = 1}};
    struct kf__answer answer = {.message = &response, .version = 13, .node = request->node->id};
    row.index = partition->index;
    kf__call_cancel(&request->call);
    request->call.done(&request->call, KF_OK, &answer);
    backs_off = partition->backs_off;
}

/* Else it would be sent again as fast as answers come. */
Test(producer_inside, backs_off_where_an_answer_names_a_leader_of_an_older_epoch)
{
    kf_producer *producer = open_with(NULL);
    int32_t leader, epoch;
    kf_broker_leader(broker, "orders", 0, &leader, &epoch);
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 0, 3 - leader), KF_OK));
    produce(producer, 0, "before");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_broker_pause(broker);
    produce(producer, 0, "v");
    cr_assert(eq(int, kf_flush(producer, 0), KF_ERR_TIMED_OUT));
    struct errand errand = {0};
    do {
        backs_off = false;
        kf_sleep(20 * KF_MILLISECOND);
    } while (kf__link_is_alone(&producer->requests));
    begin_errand(&errand, producer, answer_stale);
    while (!atomic_load(&errand.over))
        kf_sleep(KF_MILLISECOND);
    cr_assert(backs_off);
    kf_broker_resume(broker);
    wait_until_told(2);
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- lingering ---- */

static int32_t lingering[3];
static int lingering_count;

static void place_anew(kf_producer *producer)
{
    kf__producer_place_all(producer); /* as metadata does */
    lingering_count = 0;
    for (struct kf__link *at = producer->lingering.next; at != &producer->lingering; at = at->next)
        lingering[lingering_count++] = KF__OWNER(at, struct kf__out_partition, place)->index;
}

/* end_lingering looks at the first only: one behind it that was due earlier would wait for it. */
Test(producer_inside, keeps_those_that_linger_in_the_order_in_which_they_are_due)
{
    kf_producer *producer = open_with((const char *[]){"linger.ms", "30000", NULL});
    int32_t order[] = {2, 0, 1};
    for (int i = 0; i < 3; i++) {
        produce(producer, order[i], "v");
        kf_sleep(30 * KF_MILLISECOND);
    }
    on_io_thread(producer, place_anew);
    cr_assert(eq(int, lingering_count, 3));
    for (int i = 0; i < 3; i++)
        cr_assert(eq(i32, lingering[i], order[i]));
    kf_producer_close(producer, in(5 * KF_SECOND));
}

static atomic_bool held, let_go;

static void hold(kf_producer *producer)
{
    (void)producer;
    atomic_store(&held, true);
    while (!atomic_load(&let_go))
        kf_sleep(KF_MILLISECOND);
}

/* Two partitions that linger on behind a flush once made the I/O thread look for ever. */
Test(producer_inside, lets_linger_what_came_after_a_flush)
{
    kf_producer *producer = open_with((const char *[]){"linger.ms", "300", NULL});
    produce(producer, 2, "first");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    struct errand errand = {0};
    begin_errand(&errand, producer, hold);
    while (!atomic_load(&held))
        kf_sleep(KF_MILLISECOND);
    produce(producer, 2, "flushed");
    cr_assert(eq(int, kf_flush(producer, 0), KF_ERR_TIMED_OUT));
    produce(producer, 0, "later");
    produce(producer, 1, "later");
    atomic_store(&let_go, true);
    wait_until_told(4);
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- out of order behind what is stored ---- */

/* Ends the oldest request under way as if its broker had answered. */
static void answer_oldest(kf_producer *producer, kf_err err, int64_t base_offset)
{
    struct kf__out_request *request =
        KF__OWNER(producer->requests.next, struct kf__out_request, link);
    struct kf__out_partition *partition = request->batches[0]->partition;
    struct kf_produce_response_partition_produce_response row = {.error_code = (int16_t)err,
                                                                 .index = partition->index,
                                                                 .base_offset = base_offset,
                                                                 .log_append_time_ms = -1,
                                                                 .log_start_offset = 0};
    row.current_leader.leader_id = -1;
    struct kf_produce_response_topic_produce_response topic = {
        .topic_id = kf__out_topic_info(producer, partition->topic)->id,
        .partition_responses = {.items = &row, .count = 1},
    };
    struct kf_produce_response response = {.responses = {.items = &topic, .count = 1}};
    struct kf__answer answer = {.message = &response, .version = 13, .node = request->node->id};
    kf__call_cancel(&request->call);
    request->call.done(&request->call, KF_OK, &answer);
}

static int requests_under_way;

static void count_requests(kf_producer *producer)
{
    requests_under_way = 0;
    for (struct kf__link *at = producer->requests.next; at != &producer->requests; at = at->next)
        requests_under_way++;
}

static void wait_for_requests(kf_producer *producer, int count)
{
    do {
        kf_sleep(5 * KF_MILLISECOND);
        on_io_thread(producer, count_requests);
    } while (requests_under_way != count);
}

static void time_out_the_first_and_store_the_second(kf_producer *producer)
{
    answer_oldest(producer, KF_ERR_REQUEST_TIMED_OUT, -1);
    answer_oldest(producer, KF_OK, 6);
}

static void refuse_the_first(kf_producer *producer)
{
    answer_oldest(producer, KF_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
}

/* Kafka remembers the last batch alone across a restart: of one before it it can't say "duplicate".
 */
Test(producer_inside, counts_as_stored_what_is_out_of_order_for_what_came_behind_it_is_stored)
{
    kf_producer *producer = open_with(NULL);
    produce(producer, 0, "known");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_broker_pause(broker);
    produce(producer, 0, "first");
    cr_assert(eq(int, kf_flush(producer, 0), KF_ERR_TIMED_OUT));
    wait_for_requests(producer, 1);
    produce(producer, 0, "second");
    cr_assert(eq(int, kf_flush(producer, 0), KF_ERR_TIMED_OUT));
    wait_for_requests(producer, 2);
    on_io_thread(producer, time_out_the_first_and_store_the_second);
    wait_until_told(2);
    wait_for_requests(producer, 1);
    on_io_thread(producer, refuse_the_first);
    wait_until_told(3);
    cr_assert(eq(int, (int)fate, KF_STORED));
    cr_assert(eq(i64, last_offset, -1));
    cr_assert(eq(i32, partition_at(producer, 0)->last_acked, 2));
    kf_broker_resume(broker);
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- sent again ---- */

static struct {
    uint8_t bytes[4096];
    size_t size;
    bool differs;
} sent;

static const struct kf__out_batch *batch_under_way(kf_producer *producer)
{
    return KF__OWNER(producer->requests.next, struct kf__out_request, link)->batches[0];
}

static void keep_and_time_out(kf_producer *producer)
{
    const struct kf__out_batch *batch = batch_under_way(producer);
    sent.size = batch->size;
    memcpy(sent.bytes, batch->bytes, batch->size);
    answer_oldest(producer, KF_ERR_REQUEST_TIMED_OUT, -1);
}

static void compare(kf_producer *producer)
{
    const struct kf__out_batch *batch = batch_under_way(producer);
    sent.differs = batch->size != sent.size || memcmp(batch->bytes, sent.bytes, sent.size) != 0;
}

/* A broker knows it again by its sequence and count alone: other bytes would be lost or doubled. */
Test(producer_inside, sends_the_same_bytes_again)
{
    kf_producer *producer =
        open_with((const char *[]){"linger.ms", "20000", "compression.type", "snappy", NULL});
    produce(producer, 0, "known");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_broker_pause(broker);
    for (int i = 0; i < 20; i++)
        produce(producer, 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    cr_assert(eq(int, kf_flush(producer, 0), KF_ERR_TIMED_OUT));
    wait_for_requests(producer, 1);
    on_io_thread(producer, keep_and_time_out);
    produce(producer, 0, "one more, which must not join them");
    wait_for_requests(producer, 1);
    on_io_thread(producer, compare);
    cr_assert(not(sent.differs));
    kf_broker_resume(broker);
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
    wait_until_told(22);
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- between a helper's last word in a batch and its report ---- */

static struct {
    bool held;
    bool left;
    int32_t told_early;
} between;

/* A helper has sealed it; its report stands behind this errand, however fast it was. */
static struct kf__out_batch *let_a_helper_seal(kf_producer *producer)
{
    atomic_store(&producer->flush_to, producer->last_number);
    kf__producer_look(producer);
    struct kf__out_batch *batch =
        KF__OWNER(producer->unfinished.next, struct kf__out_batch, unfinished);
    between.held = batch->sealing && producer->aside == 1;
    while (between.held && !atomic_load(&batch->sealed))
        kf_sleep(KF_MILLISECOND);
    return batch;
}

static void look_between(kf_producer *producer)
{
    struct kf__out_batch *batch = let_a_helper_seal(producer);
    kf__out_partition_place(producer, batch->partition);
    kf__producer_look(producer);
    between.left = batch->flying;
}

static void expire_between(kf_producer *producer)
{
    struct kf__out_batch *batch = let_a_helper_seal(producer);
    struct kf__out_partition *partition = batch->partition;
    batch->deadline = 1;
    kf__producer_look(producer);
    between.told_early = partition->told_early;
}

/* One for the id and the metadata; one that is large enough for a helper, and lingers. */
static kf_producer *open_with_large_batch(void)
{
    static const uint8_t large[8000];
    kf_producer *producer =
        open_with((const char *[]){"linger.ms", "20000", "compression.type", "gzip", NULL});
    produce(producer, 0, "first");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_record record = {.topic = "orders", .partition = 0, .value = {large, sizeof large}};
    kf_err err = kf_produce(producer, &record, take_verdict, NULL, in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    return producer;
}

/* It would be acknowledged and freed before the report, which looks at it. */
Test(producer_inside, sends_no_batch_before_the_helper_that_compressed_it_has_reported)
{
    kf_producer *producer = open_with_large_batch();
    on_io_thread(producer, look_between);
    cr_assert(between.held);
    cr_assert(not(between.left));
    wait_until_told(2);
    cr_assert(eq(int, (int)fate, KF_STORED));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_inside, frees_no_batch_before_the_helper_that_compressed_it_has_reported)
{
    kf_producer *producer = open_with_large_batch();
    on_io_thread(producer, expire_between);
    cr_assert(between.held);
    cr_assert(eq(i32, between.told_early, 1));
    wait_until_told(2);
    cr_assert(eq(int, (int)fate, KF_NOT_STORED));
    produce(producer, 0, "behind it");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(i32, atomic_load(&partition_at(producer, 0)->batches), 0));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- memory is short ---- */

static kf_producer *short_of_memory;

/* By the partition: what became of it. */
static void *produce_large(void *partition)
{
    static const uint8_t large[3000];
    kf_record record = {.topic = "orders",
                        .partition = (int32_t)(intptr_t)partition,
                        .value = {large, sizeof large}};
    kf_err err = kf_produce(short_of_memory, &record, NULL, NULL, in(20 * KF_SECOND), NULL);
    return (void *)(intptr_t)err;
}

/* All that is left, in steps of the least block; how much that was. */
static size_t take_all_memory(struct kf__out_memory *memory)
{
    size_t all = 0, none = 0;
    while (kf__out_memory_count(memory, KF__BLOCK_LEAST, &none) == KF_OK)
        all += KF__BLOCK_LEAST;
    return all;
}

/* A thread that waits for memory, behind others. */
static pthread_t begin_to_wait(int32_t partition)
{
    pthread_t thread;
    int before = atomic_load(&short_of_memory->memory.waiting);
    pthread_create(&thread, NULL, produce_large, (void *)(intptr_t)partition);
    while (atomic_load(&short_of_memory->memory.waiting) == before)
        kf_sleep(KF_MILLISECOND);
    return thread;
}

static kf_err end_of(pthread_t thread)
{
    void *result;
    pthread_join(thread, &result);
    return (kf_err)(intptr_t)result;
}

static size_t need_of_first(kf_producer *producer)
{
    pthread_mutex_lock(&producer->lock);
    size_t need = KF__OWNER(producer->memory.waiters.next, struct kf__waiter, link)->need;
    pthread_mutex_unlock(&producer->lock);
    return need;
}

static struct kf__out_batch *exchange_open(struct kf__out_partition *partition,
                                           struct kf__out_batch *open)
{
    struct kf__out_batch *before = partition->open;
    partition->open = open;
    return before;
}

/*
 * One that waited finds a batch that was opened meanwhile, and can't make room in it by what it
 * was promised. Were it to wait again, behind all others, it might do so for ever.
 */
Test(producer_inside, uses_the_memory_it_was_promised_where_a_batch_was_opened_meanwhile)
{
    kf_producer *producer = short_of_memory =
        open_with((const char *[]){"linger.ms", "60000", "buffer.memory", "100000", NULL});
    struct kf__out_memory *memory = &producer->memory;
    produce(producer, 0, "first");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_broker_pause(broker);
    cr_assert(zero(ptr, produce_large((void *)0)));
    struct kf__out_partition *partition = partition_at(producer, 0);
    kf__brief_lock(&partition->lock);
    struct kf__out_batch *meanwhile = exchange_open(partition, NULL);
    kf__brief_unlock(&partition->lock);

    size_t taken = take_all_memory(memory);
    pthread_t first = begin_to_wait(0), second = begin_to_wait(1);
    size_t need = need_of_first(producer);
    kf__brief_lock(&partition->lock);
    kf__out_memory_discount(memory, need);
    exchange_open(partition, meanwhile);
    kf__brief_unlock(&partition->lock);
    cr_assert(eq(int, end_of(first), KF_OK));
    cr_assert(ne(ptr, (void *)partition->open, (void *)meanwhile));

    kf__out_memory_discount(memory, taken - need);
    kf_broker_resume(broker);
    (void)end_of(second); /* maybe too late: that is the machine's */
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- one that is told before its request is written ---- */

static bool was_waiting;

static void tell_one_before_it_is_written(kf_producer *producer)
{
    atomic_store(&producer->flush_to, producer->last_number);
    kf__producer_look(producer);
    struct kf__out_request *request =
        KF__OWNER(producer->requests.next, struct kf__out_request, link);
    was_waiting = request->count == 2 && request->call.state == KF__CALL_WAITING;
    KF__OWNER(producer->unfinished.next, struct kf__out_batch, unfinished)->deadline = 1;
    kf__producer_expire(producer);
}

/* A request once kept room for the batch that had left it, and took the healthy ones down. */
Test(producer_inside, leaves_a_batch_whose_time_is_up_out_of_a_request_that_others_are_in)
{
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 2, 1), KF_OK));
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 0, 1), KF_OK));
    kf_producer *producer = open_with((const char *[]){"linger.ms", "60000", NULL});
    for (int32_t i = 0; i < 3; i += 2)
        produce(producer, i, "known");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    produce(producer, 0, "too late");
    produce(producer, 2, "in time");
    on_io_thread(producer, tell_one_before_it_is_written);
    cr_assert(was_waiting);
    wait_until_told(4);
    int64_t start, ends[2];
    kf_broker_offsets(broker, "orders", 0, &start, &ends[0]);
    kf_broker_offsets(broker, "orders", 2, &start, &ends[1]);
    cr_assert(eq(i64, ends[0], 1));
    cr_assert(eq(i64, ends[1], 2));
    cr_assert(eq(i64, kf_broker_refusals(broker, NULL), 0));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- a fresh epoch ---- */

static void renew_the_first(kf_producer *producer) { partition_at(producer, 0)->renew = true; }

Test(producer_inside, begins_at_zero_under_a_fresh_epoch_in_a_partition_that_was_idle)
{
    kf_producer *producer = open_with(NULL);
    for (int32_t i = 0; i < 2; i++)
        for (int n = 0; n < 5; n++) {
            produce(producer, i, "v");
            cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
        }
    on_io_thread(producer, renew_the_first);
    produce(producer, 0, "v");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, producer->id.epoch, 1));
    cr_assert(eq(i32, partition_at(producer, 1)->last_acked, 4));
    produce(producer, 1, "v");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, (int)fate, KF_STORED));
    cr_assert(eq(i32, partition_at(producer, 1)->last_acked, 0));
    kf_producer_close(producer, in(KF_SECOND));
}

/* What flies elsewhere keeps its epoch and its sequences: under others it would be stored twice. */
Test(producer_inside, ends_what_is_under_way_in_other_partitions_before_their_epoch_changes)
{
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 0, 1), KF_OK));
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 1, 2), KF_OK));
    kf_producer *producer = open_with((const char *[]){"request.timeout.ms", "1000", NULL});
    for (int32_t i = 0; i < 2; i++)
        produce(producer, i, "known");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_DROP_ANSWER,
                             .api_key = KF_API_PRODUCE,
                             .node = 2,
                             .times = 1};
    cr_assert(lt(i32, 0, kf_broker_fault_add(broker, &fault)));
    produce(producer, 1, "its answer is lost");
    cr_assert(eq(int, kf_flush(producer, 0), KF_ERR_TIMED_OUT));
    wait_for_requests(producer, 1);
    on_io_thread(producer, renew_the_first);
    produce(producer, 0, "raises the epoch");
    wait_until_told(3);
    cr_assert(eq(int, producer->id.epoch, 1));
    cr_assert(eq(int, partition_at(producer, 1)->id.epoch, 0));
    produce(producer, 1, "behind it");
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
    int64_t start, end;
    kf_broker_offsets(broker, "orders", 1, &start, &end);
    cr_assert(eq(i64, end, 3), "each once");
    produce(producer, 1, "with nothing under way");
    cr_assert(eq(int, kf_flush(producer, in(20 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, partition_at(producer, 1)->id.epoch, 1));
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- the end of the sequences ---- */

static void near_the_end(kf_producer *producer)
{
    struct kf__out_partition *partition = partition_at(producer, 0);
    partition->id = producer->id;
    partition->next_sequence = INT32_MAX - 20;
    partition->last_acked = INT32_MAX - 21;
}

static void check_log(int32_t count)
{
    int64_t start, end;
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", 0, &start, &end), KF_OK));
    cr_assert(eq(i64, end - start, count));
    for (int32_t i = 0; i < count; i++) {
        kf_message message;
        char text[16] = {0};
        cr_assert(eq(int, kf_broker_read(broker, "orders", 0, i, &message), KF_OK));
        memcpy(text, message.value.data, message.value.size);
        cr_assert(eq(int, atoi(text), i));
    }
}

static void produce_over_the_end(kf_producer *producer)
{
    produce(producer, 1, "gets the producer its id");
    cr_assert(eq(int, kf_flush(producer, in(5 * KF_SECOND)), KF_OK));
    on_io_thread(producer, near_the_end);
    for (int i = 0; i < 300; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        produce(producer, 0, value);
    }
    cr_assert(eq(int, kf_flush(producer, in(30 * KF_SECOND)), KF_OK));
    cr_assert(eq(int, (int)fate, KF_STORED));
    check_log(300);
}

static const char *const small_batches[] = {
    "batch.size", "100", "retry.backoff.ms", "5", "reconnect.backoff.ms", "5", NULL};

Test(producer_inside, counts_sequences_on_from_zero_behind_their_largest)
{
    kf_producer *producer = open_with(small_batches);
    produce_over_the_end(producer);
    const struct kf__out_partition *partition = partition_at(producer, 0);
    cr_assert(eq(i32, partition->last_acked, 300 - 21 - 1));
    cr_assert(eq(int, partition->id.epoch, 0), "no fresh epoch was needed");
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_inside, repeats_and_loses_nothing_where_answers_are_lost_at_the_end_of_the_sequences)
{
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_CLOSE_ANSWER,
                             .api_key = KF_API_PRODUCE,
                             .first = 3,
                             .every = 4,
                             .times = 10};
    kf_producer *producer = open_with(small_batches);
    cr_assert(lt(i32, 0, kf_broker_fault_add(broker, &fault)));
    produce_over_the_end(producer);
    kf_producer_close(producer, in(KF_SECOND));
}
