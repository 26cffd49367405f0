/* A reader against the embedded broker: assign, seek, read, and what it says when it can't. */
#include <kafiber/broker.h>
#include <kafiber/messages.h>
#include <kafiber/producer.h>
#include <kafiber/reader.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

enum {
    RECORDS = 100
};

static kf_broker *broker;
static kf_reader *reader;
static kf_error error;

static void hush(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

static kf_config *configure(void)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_log(config, KF_LOG_ERROR, hush, NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    kf_config_set(config, "fetch.max.wait.ms", "50", &error);
    return config;
}

static void append(const char *topic, int32_t partition, int count)
{
    for (int i = 0; i < count; i++) {
        char text[16];
        int size = snprintf(text, sizeof text, "v%d", i);
        kf_bytes value = {(const uint8_t *)text, (size_t)size};
        cr_assert(eq(
            int,
            kf_broker_produce(broker, topic, partition, (kf_bytes){NULL, 0}, value, 1000 + i, NULL),
            KF_OK));
    }
}

static void set_up(void)
{
    kf_broker_options options = {
        .size = sizeof options, .nodes = 2, .thread = true, .no_auto_create = true};
    error = (kf_error)KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, (void *)broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 3, 2), KF_OK));
    append("orders", 0, RECORDS);
    kf_config *config = configure();
    reader = kf_reader_new(config, &error);
    kf_config_free(config);
    cr_assert(ne(ptr, (void *)reader, NULL), "%s", error.text);
}

static void tear_down(void)
{
    kf_reader_close(reader);
    kf_broker_stop(broker);
}

TestSuite(reader, .init = set_up, .fini = tear_down, .timeout = 30);

static kf_time in_ms(int64_t ms) { return kf_now() + ms * KF_MILLISECOND; }

static void assign(int32_t partition, kf_seek seek, int64_t value)
{
    cr_assert(eq(int, kf_reader_assign(reader, "orders", partition, seek, value, &error), KF_OK),
              "%s", error.text);
}

static kf_message next(void)
{
    kf_message message = {0};
    cr_assert(eq(int, kf_reader_read(reader, in_ms(20000), &message, &error), KF_OK), "%s",
              error.text);
    return message;
}

static kf_err fail_to_read(int64_t ms)
{
    kf_message message;
    error = (kf_error)KF_ERROR_INIT;
    return kf_reader_read(reader, in_ms(ms), &message, &error);
}

Test(reader, reads_a_partition_in_order)
{
    assign(0, KF_SEEK_EARLIEST, 0);
    for (int i = 0; i < RECORDS; i++) {
        char text[16];
        snprintf(text, sizeof text, "v%d", i);
        kf_message message = next();
        cr_assert(eq(i64, message.offset, i));
        cr_assert(eq(i64, message.timestamp, 1000 + i));
        cr_assert(eq(str, (char *)message.topic, "orders"));
        cr_assert(zero(ptr, (void *)message.key.data));
        cr_assert(eq(sz, message.value.size, strlen(text)));
        cr_assert(eq(int, memcmp(message.value.data, text, strlen(text)), 0));
    }
    cr_assert(eq(int, fail_to_read(100), KF_ERR_TIMED_OUT));
    cr_assert(eq(i64, kf_reader_position(reader, "orders", 0), RECORDS));
}

Test(reader, begins_where_it_is_told)
{
    assign(0, KF_SEEK_OFFSET, 42);
    cr_assert(eq(i64, next().offset, 42));
    assign(0, KF_SEEK_TIME, 1050);
    cr_assert(eq(i64, next().offset, 50));
    assign(0, KF_SEEK_LATEST, 3);
    cr_assert(eq(i64, next().offset, 97));
    assign(0, KF_SEEK_LATEST, 1000);
    cr_assert(eq(i64, next().offset, 0));
    assign(0, KF_SEEK_LATEST, 0);
    while (kf_reader_position(reader, "orders", 0) != RECORDS) /* else the next is the end, too */
        cr_assert(eq(int, fail_to_read(20), KF_ERR_TIMED_OUT));
    append("orders", 0, 1);
    cr_assert(eq(i64, next().offset, RECORDS));
}

Test(reader, begins_at_the_first_record_left_where_fewer_are_left_than_asked_for)
{
    cr_assert(eq(int, kf_broker_delete_records(broker, "orders", 0, 90), KF_OK));
    assign(0, KF_SEEK_LATEST, 50);
    cr_assert(eq(i64, next().offset, 90));
}

Test(reader, names_the_offset_and_the_range_it_lies_outside_of_again_and_again)
{
    cr_assert(eq(int, kf_broker_delete_records(broker, "orders", 0, 10), KF_OK));
    assign(0, KF_SEEK_OFFSET, 500);
    for (int i = 0; i < 2; i++) {
        cr_assert(eq(int, fail_to_read(20000), KF_ERR_OFFSET_OUT_OF_RANGE));
        cr_assert(eq(str, error.text,
                     "topic orders partition 0 has no offset 500: its first is 10, its end 100"));
    }
    assign(0, KF_SEEK_OFFSET, 10);
    cr_assert(eq(i64, next().offset, 10));
}

Test(reader, tells_a_batch_whose_checksum_is_wrong)
{
    kf_broker_fault fault = {
        .size = sizeof fault, .kind = KF_BROKER_CORRUPT_CRC, .api_key = KF_API_FETCH};
    cr_assert(ne(int, kf_broker_fault_add(broker, &fault), 0));
    assign(0, KF_SEEK_EARLIEST, 0);
    cr_assert(eq(int, fail_to_read(20000), KF_ERR_BAD_CRC));
    cr_assert(
        eq(int, memcmp(error.text, "topic orders partition 0, the batch at offsets 0 to ", 51), 0),
        "%s", error.text);
    kf_broker_fault_clear(broker, 0);
    assign(0, KF_SEEK_EARLIEST, 0);
    cr_assert(eq(i64, next().offset, 0));
}

Test(reader, hands_out_nothing_behind_a_batch_that_cant_be_read)
{
    kf_broker_fault fault = {
        .size = sizeof fault, .kind = KF_BROKER_CORRUPT_CRC, .api_key = KF_API_FETCH, .times = 1};
    cr_assert(ne(int, kf_broker_fault_add(broker, &fault), 0));
    assign(0, KF_SEEK_EARLIEST, 0);
    for (int i = 0; i < 3; i++)
        cr_assert(eq(int, fail_to_read(5000), KF_ERR_BAD_CRC));
    cr_assert(eq(i64, kf_reader_position(reader, "orders", 0), 0));
    append("orders", 0, 1);
    cr_assert(eq(int, fail_to_read(300), KF_ERR_BAD_CRC));
    assign(0, KF_SEEK_EARLIEST, 0);
    for (int i = 0; i <= RECORDS; i++)
        cr_assert(eq(i64, next().offset, i));
}

Test(reader, tells_of_records_that_went_before_it_came_to_them)
{
    assign(0, KF_SEEK_LATEST, 3);
    for (int i = 0; i < 3; i++)
        cr_assert(eq(i64, next().offset, 97 + i));
    kf_broker_pause(broker);
    append("orders", 0, 10);
    cr_assert(eq(int, kf_broker_delete_records(broker, "orders", 0, 105), KF_OK));
    kf_broker_resume(broker);
    cr_assert(eq(int, fail_to_read(5000), KF_ERR_OFFSET_OUT_OF_RANGE));
}

Test(reader, reads_on_after_its_brokers_closed_every_connection)
{
    assign(0, KF_SEEK_EARLIEST, 0);
    cr_assert(eq(i64, next().offset, 0));
    kf_broker_close_connections(broker);
    for (int i = 1; i < RECORDS; i++)
        cr_assert(eq(i64, next().offset, i));
    append("orders", 0, 1);
    cr_assert(eq(i64, next().offset, RECORDS));
}

Test(reader, follows_a_partition_to_its_new_leader)
{
    int32_t leader, epoch;
    assign(0, KF_SEEK_LATEST, 1);
    cr_assert(eq(i64, next().offset, RECORDS - 1));
    kf_broker_leader(broker, "orders", 0, &leader, &epoch);
    cr_assert(eq(int, kf_broker_move_leader(broker, "orders", 0, 3 - leader), KF_OK));
    append("orders", 0, 1);
    cr_assert(eq(i64, next().offset, RECORDS));
}

Test(reader, waits_for_a_topic_that_comes_later)
{
    cr_assert(eq(int, kf_reader_assign(reader, "later", 0, KF_SEEK_EARLIEST, 0, &error), KF_OK));
    cr_assert(eq(int, fail_to_read(100), KF_ERR_TIMED_OUT));
    cr_assert(eq(i64, kf_reader_position(reader, "later", 0), -1));
    kf_broker_create_topic(broker, "later", 1, 1);
    append("later", 0, 1);
    kf_message message = next();
    cr_assert(eq(str, (char *)message.topic, "later"));
}

Test(reader, takes_turns_between_partitions)
{
    append("orders", 1, RECORDS);
    append("orders", 2, RECORDS);
    for (int32_t i = 0; i < 3; i++)
        assign(i, KF_SEEK_EARLIEST, 0);
    int64_t expected[3] = {0, 0, 0};
    for (int i = 0; i < 3 * RECORDS; i++) {
        kf_message message = next();
        cr_assert(eq(i64, message.offset, expected[message.partition]));
        expected[message.partition]++;
    }
}

Test(reader, reads_nothing_of_a_partition_taken_away)
{
    append("orders", 1, 1);
    assign(0, KF_SEEK_EARLIEST, 0);
    cr_assert(eq(i64, next().offset, 0));
    cr_assert(eq(int, kf_reader_unassign(reader, "orders", 0), KF_OK));
    assign(1, KF_SEEK_EARLIEST, 0);
    cr_assert(eq(int, next().partition, 1));
    cr_assert(eq(int, fail_to_read(100), KF_ERR_TIMED_OUT));
    cr_assert(eq(int, kf_reader_unassign(reader, "orders", 0), KF_ERR_STATE));
    cr_assert(eq(i64, kf_reader_position(reader, "orders", 0), -1));
}

Test(reader, hands_out_messages_that_can_be_kept)
{
    kf_message kept;
    assign(0, KF_SEEK_EARLIEST, 0);
    kf_message message = next();
    kf_message_retain(&message, &kept);
    for (int i = 1; i < RECORDS; i++)
        next();
    kf_reader_close(reader);
    reader = NULL;
    cr_assert(eq(int, memcmp(kept.value.data, "v0", 2), 0));
    kf_message_release(&kept);
}

Test(reader, knows_the_bounds_of_a_partition)
{
    int64_t begin = -1, end = -1;
    cr_assert(eq(int, kf_broker_delete_records(broker, "orders", 0, 7), KF_OK));
    cr_assert(
        eq(int, kf_reader_bounds(reader, "orders", 0, in_ms(5000), &begin, &end, &error), KF_OK));
    cr_assert(eq(i64, begin, 7));
    cr_assert(eq(i64, end, RECORDS));
}

Test(reader, asks_for_the_bounds_again_where_the_leader_has_moved)
{
    int64_t begin = -1, end = -1;
    cr_assert(eq(int,
                 kf_broker_script(broker,
                                  "on ListOffsets #1 topic=orders partition=0 "
                                  "answer NOT_LEADER_OR_FOLLOWER\n"
                                  "on ListOffsets #2 close\n",
                                  &error),
                 KF_OK),
              "%s", error.text);
    cr_assert(
        eq(int, kf_reader_bounds(reader, "orders", 0, in_ms(10000), &begin, &end, &error), KF_OK),
        "%s", error.text);
    cr_assert(eq(i64, begin, 0));
    cr_assert(eq(i64, end, RECORDS));
}

/* The question that time runs out on says nothing: what the one before it heard does. */
static void assert_bounds_fail(const char *script, kf_err expected, const char *text)
{
    int64_t begin = -1, end = -1;
    cr_assert(eq(int, kf_broker_script(broker, script, &error), KF_OK), "%s", error.text);
    cr_assert(
        eq(int, kf_reader_bounds(reader, "orders", 0, in_ms(2000), &begin, &end, &error), expected),
        "%s", error.text);
    cr_assert(eq(i64, begin, -1));
    cr_assert(eq(str, error.text, (char *)text));
}

Test(reader, says_in_time_what_keeps_the_bounds_from_being_known)
{
    assert_bounds_fail("on ListOffsets #1 answer NOT_LEADER_OR_FOLLOWER\n"
                       "on ListOffsets #2 delay 60s\n",
                       KF_ERR_NOT_LEADER_OR_FOLLOWER,
                       "the offsets of topic orders partition 0: the broker no longer serves this "
                       "partition: the metadata must be fetched again");
}

Test(reader, says_in_time_what_keeps_the_leader_from_being_known)
{
    assert_bounds_fail(
        "on Metadata #1 topic=orders answer LEADER_NOT_AVAILABLE\n"
        "on Metadata #2 topic=orders delay 60s\n",
        KF_ERR_LEADER_NOT_AVAILABLE,
        "topic \"orders\": the partition has no leader at the moment: one is being elected");
}

Test(reader, refuses_what_is_no_place_to_read_from)
{
    cr_assert(eq(int, kf_reader_assign(reader, "orders", -1, KF_SEEK_EARLIEST, 0, &error),
                 KF_ERR_INVALID_ARGUMENT));
    error = (kf_error)KF_ERROR_INIT;
    cr_assert(eq(int, kf_reader_assign(reader, "orders", INT32_MAX, KF_SEEK_EARLIEST, 0, &error),
                 KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(str, error.text, "there is no partition 2147483647"));
    error = (kf_error)KF_ERROR_INIT;
    cr_assert(eq(int, kf_reader_assign(reader, "orders", 0, (kf_seek)7, 0, &error),
                 KF_ERR_INVALID_ARGUMENT));
    error = (kf_error)KF_ERROR_INIT;
    cr_assert(eq(int, kf_reader_assign(reader, "orders", 0, KF_SEEK_OFFSET, -5, &error),
                 KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(str, error.text, "-5 is no place to read topic orders partition 0 from"));
}

/* The producer closes a compressed batch; the reader opens it. */
Test(reader, reads_compressed_batches_with_their_headers)
{
    const kf_header headers[] = {{{"h", 1}, {(const uint8_t *)"1", 1}}, {{"h", 1}, {NULL, 0}}};
    kf_config *config = configure();
    kf_config_set(config, "compression.type", "gzip", &error);
    kf_producer *producer = kf_producer_new(config, &error);
    kf_config_free(config);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    char text[2000];
    memset(text, 'x', sizeof text);
    kf_record record = {.topic = "orders",
                        .partition = 1,
                        .value = {(const uint8_t *)text, sizeof text},
                        .headers = headers,
                        .header_count = 2};
    kf_err err = kf_produce_wait(producer, &record, in_ms(5000), NULL, &error);
    kf_producer_close(producer, in_ms(1000));
    if (err == KF_ERR_CODEC_NOT_BUILT)
        cr_skip_test("built without zlib");
    cr_assert(eq(int, err, KF_OK), "%s", error.text);

    assign(1, KF_SEEK_EARLIEST, 0);
    kf_message message = next();
    cr_assert(eq(sz, message.value.size, sizeof text));
    cr_assert(eq(int, memcmp(message.value.data, text, sizeof text), 0));
    kf_header header;
    size_t at = 0;
    cr_assert(kf_message_headers_next(&message, &at, &header));
    cr_assert(eq(sz, header.value.size, 1));
    cr_assert(kf_message_headers_next(&message, &at, &header));
    cr_assert(zero(ptr, (void *)header.value.data));
    cr_assert(not(kf_message_headers_next(&message, &at, &header)));
}
