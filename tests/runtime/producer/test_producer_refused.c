/* What a broker refuses for good, against the embedded broker: too large, and single records. */
#include "tests/runtime/producer/help_producer.h"
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <string.h>

enum {
    RECORDS = 8
};

static kf_broker *broker;
static kf_error error;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 1}, 1);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_refused, .init = start_broker, .fini = stop_broker, .timeout = 30);

static kf_producer *open_with(const char *const *settings)
{
    kf_producer *producer =
        help_open_producer(help_configure(broker, NULL, &error), settings, &error);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    return producer;
}

static void set(const char *key, const char *value)
{
    cr_assert(eq(int, kf_broker_set_config(broker, KF_BROKER_TOPIC, "orders", key, value), KF_OK));
}

/* ---- too large ---- */

static int32_t add_fault(kf_broker_fault_kind kind, int16_t api_key, kf_err err)
{
    kf_broker_fault fault = {.size = sizeof fault, .kind = kind, .api_key = api_key, .error = err};
    int32_t id = kf_broker_fault_add(broker, &fault);
    cr_assert(lt(i32, 0, id));
    return id;
}

static kf_err send_one(kf_producer *producer, size_t size)
{
    static uint8_t value[10000];
    kf_record record = {.topic = "orders", .partition = 0, .value = {value, size}};
    error = (kf_error)KF_ERROR_INIT;
    return kf_produce_wait(producer, &record, in(10 * KF_SECOND), NULL, &error);
}

static void says(const char *words)
{
    cr_assert(ne(ptr, strstr(error.text, words), NULL), "%s", error.text);
}

Test(producer_refused, names_the_topics_own_limit_and_asks_for_it_once)
{
    set("max.message.bytes", "1000");
    kf_producer *producer = open_with(NULL);
    int32_t asked = add_fault(KF_BROKER_DELAY, KF_API_DESCRIBE_CONFIGS, KF_OK);
    cr_assert(eq(int, send_one(producer, 2000), KF_ERR_MESSAGE_TOO_LARGE));
    says("max.message.bytes is 1000");
    cr_assert(eq(int, send_one(producer, 900), KF_OK));
    cr_assert(eq(int, send_one(producer, 3000), KF_ERR_MESSAGE_TOO_LARGE));
    says("max.message.bytes is 1000");
    cr_assert(eq(i64, kf_broker_fault_hits(broker, asked), 1));
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_refused, says_why_the_topics_limit_could_not_be_asked)
{
    set("max.message.bytes", "1000");
    kf_producer *producer = open_with(NULL);
    add_fault(KF_BROKER_ANSWER_ERROR, KF_API_DESCRIBE_CONFIGS, KF_ERR_TOPIC_AUTHORIZATION_FAILED);
    cr_assert(eq(int, send_one(producer, 2000), KF_ERR_MESSAGE_TOO_LARGE));
    says("could not be asked");
    says(kf_err_text(KF_ERR_TOPIC_AUTHORIZATION_FAILED));
    kf_producer_close(producer, in(KF_SECOND));
}

static atomic_int told;
static struct {
    kf_err err;
    kf_fate fate;
    int64_t offset;
    char reason[200];
} verdicts[RECORDS];

static void take_verdict(void *context, const kf_delivery *delivery)
{
    size_t number = (size_t)(uintptr_t)context;
    verdicts[number].err = delivery->err;
    verdicts[number].fate = delivery->fate;
    verdicts[number].offset = delivery->offset;
    snprintf(verdicts[number].reason, sizeof verdicts[number].reason, "%s",
             delivery->reason ? delivery->reason : "");
    atomic_fetch_add(&told, 1);
}

static void produce(kf_producer *producer, size_t number, kf_record record)
{
    record.topic = "orders";
    record.value = (kf_bytes){(const uint8_t *)"0123456789" + number, 1};
    kf_err err = kf_produce(producer, &record, take_verdict, (void *)(uintptr_t)number,
                            in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
}

/* The question is never answered; the records behind it are stored meanwhile. */
Test(producer_refused, holds_up_nobody_while_it_asks_for_the_limit)
{
    set("max.message.bytes", "1000");
    kf_producer *producer = open_with(NULL);
    add_fault(KF_BROKER_DROP_REQUEST, KF_API_DESCRIBE_CONFIGS, KF_OK);
    static uint8_t value[2000];
    kf_record record = {.topic = "orders", .value = {value, sizeof value}};
    kf_err err = kf_produce(producer, &record, take_verdict, NULL, in(5 * KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK));
    cr_assert(eq(int, send_one(producer, 10), KF_OK), "%s", error.text);
    kf_producer_close(producer, in(10 * KF_SECOND));
    cr_assert(eq(int, atomic_load(&told), 1));
    cr_assert(eq(int, verdicts[0].err, KF_ERR_MESSAGE_TOO_LARGE));
}

/* ---- single records (KIP-467) ---- */

static void check(size_t number, kf_err err, int64_t offset, const char *words)
{
    cr_assert(eq(int, verdicts[number].err, err), "record %zu", number);
    cr_assert(eq(int, (int)verdicts[number].fate, err ? KF_NOT_STORED : KF_STORED));
    cr_assert(eq(i64, verdicts[number].offset, offset), "record %zu", number);
    cr_assert(ne(ptr, strstr(verdicts[number].reason, words), NULL), "%s", verdicts[number].reason);
}

Test(producer_refused, fails_records_without_a_key_in_a_compacted_topic_and_stores_the_others)
{
    set("cleanup.policy", "compact");
    kf_producer *producer = open_with((const char *[]){"linger.ms", "20000", NULL});
    kf_bytes key = {(const uint8_t *)"k", 1};
    for (size_t i = 0; i < RECORDS; i++)
        produce(producer, i, (kf_record){.key = i % 3 == 1 ? (kf_bytes){NULL, 0} : key});
    kf_producer_close(producer, in(10 * KF_SECOND));
    int64_t next = 0;
    for (size_t i = 0; i < RECORDS; i++)
        if (i % 3 == 1)
            check(i, KF_ERR_INVALID_RECORD, -1, "without key");
        else
            check(i, KF_OK, next++, "");
    cr_assert(eq(int, atomic_load(&told), RECORDS));
}

Test(producer_refused, fails_records_of_another_time_and_stores_the_others)
{
    set("message.timestamp.before.max.ms", "3600000");
    kf_producer *producer =
        open_with((const char *[]){"linger.ms", "20000", "compression.type", "lz4", NULL});
    for (size_t i = 0; i < RECORDS; i++)
        produce(producer, i, (kf_record){.timestamp = i == 5 ? 1000 : 0});
    kf_producer_close(producer, in(10 * KF_SECOND));
    for (size_t i = 0; i < RECORDS; i++)
        if (i == 5)
            check(i, KF_ERR_INVALID_TIMESTAMP, -1, "1000");
        else
            check(i, KF_OK, (int64_t)i - (i > 5), "");
}

Test(producer_refused, fails_all_where_each_record_is_named)
{
    set("cleanup.policy", "compact");
    kf_producer *producer = open_with((const char *[]){"linger.ms", "20000", NULL});
    for (size_t i = 0; i < RECORDS; i++)
        produce(producer, i, (kf_record){.partition = 0});
    kf_producer_close(producer, in(10 * KF_SECOND));
    for (size_t i = 0; i < RECORDS; i++)
        check(i, KF_ERR_INVALID_RECORD, -1, "due to 8 record errors");
}
