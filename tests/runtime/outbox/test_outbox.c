/* The outbox against the embedded broker, with rows in memory instead of a database. */
#include <kafiber/broker.h>
#include <kafiber/outbox.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    MAX_ROWS = 4096,
    MAX_AGGREGATES = 64,
};

static kf_broker *broker;
static kf_producer *producer;
static kf_error error;

/* ---- a table in memory, which several publishers share ---- */

static struct {
    pthread_mutex_t lock;
    kf_outbox_row rows[MAX_ROWS];
    bool marked[MAX_ROWS];
    int marked_count;
    int count;
    char ids[MAX_AGGREGATES][8];
    const void *owner[MAX_AGGREGATES]; /* the publisher that has claimed it */
    int double_claims;
    int claims_to_fail;
    int marks_to_fail;
    int troubles;
    kf_err last_trouble;
    int left_out; /* most aggregates that a claim was to leave out */
    char numbers[MAX_ROWS][8];
} table;

struct publisher {
    kf_outbox *outbox;
    int64_t stop_at; /* rows marked in all */
    pthread_t thread;
    kf_err result;
};

static int number_in(kf_bytes bytes)
{
    char text[16] = {0};
    memcpy(text, bytes.data, bytes.size < 15 ? bytes.size : 15);
    return atoi(text);
}

static int aggregate_of(const kf_outbox_aggregate *name)
{
    return number_in((kf_bytes){(const uint8_t *)name->id.data + 1, name->id.size - 1});
}

static void add_row(int aggregate, kf_bytes payload)
{
    int at = table.count++;
    snprintf(table.ids[aggregate], sizeof table.ids[aggregate], "a%d", aggregate);
    int digits = snprintf(table.numbers[at], sizeof table.numbers[at], "%d", at);
    kf_string number = {table.numbers[at], (size_t)digits};
    table.rows[at] = (kf_outbox_row){
        .position = at,
        .aggregate = {{"order", 5}, {table.ids[aggregate], strlen(table.ids[aggregate])}},
        .event_id = number,
        .event_type = {"placed", 6},
        .payload = payload,
    };
    if (!payload.data)
        table.rows[at].payload = (kf_bytes){(const uint8_t *)number.data, number.size};
}

static void add_rows(int aggregates, int each)
{
    for (int i = 0; i < each; i++)
        for (int a = 0; a < aggregates; a++)
            add_row(a, (kf_bytes){NULL, 0});
}

static bool is_left_out(const kf_outbox_claim *claim, int aggregate)
{
    size_t count;
    const kf_outbox_aggregate *without = kf_outbox_claim_without(claim, &count);
    if ((int)count > table.left_out)
        table.left_out = (int)count;
    for (size_t i = 0; i < count; i++)
        if (aggregate_of(&without[i]) == aggregate)
            return true;
    return false;
}

static kf_err claim_from_table(void *context, kf_outbox_claim *claim, kf_error *why)
{
    pthread_mutex_lock(&table.lock);
    kf_err err = table.claims_to_fail > 0 ? KF_ERR_TIMED_OUT : KF_OK;
    table.claims_to_fail--;
    for (int i = 0; i < table.count && !err && kf_outbox_claim_rows(claim); i++) {
        int aggregate = aggregate_of(&table.rows[i].aggregate);
        if (table.marked[i] || is_left_out(claim, aggregate))
            continue;
        if (table.owner[aggregate] && table.owner[aggregate] != context)
            continue;
        table.owner[aggregate] = context;
        err = kf_outbox_claim_add(claim, &table.rows[i]);
    }
    pthread_mutex_unlock(&table.lock);
    return err ? kf_error_set(why, err, "the table can't be read") : KF_OK;
}

static kf_err mark_in_table(void *context, const kf_outbox_row *const *rows, size_t count,
                            kf_error *why)
{
    struct publisher *publisher = context;
    pthread_mutex_lock(&table.lock);
    bool fails = table.marks_to_fail-- > 0;
    for (size_t i = 0; i < count && !fails; i++) {
        table.double_claims += table.marked[rows[i]->position];
        table.double_claims += table.owner[aggregate_of(&rows[i]->aggregate)] != context;
        table.marked[rows[i]->position] = true;
        table.marked_count++;
    }
    bool stop = table.marked_count >= publisher->stop_at;
    pthread_mutex_unlock(&table.lock);
    if (stop)
        kf_outbox_stop(publisher->outbox);
    return fails ? kf_error_set(why, KF_ERR_TIMED_OUT, "the table can't be written") : KF_OK;
}

static void release_in_table(void *context, const kf_outbox_aggregate *aggregates, size_t count)
{
    pthread_mutex_lock(&table.lock);
    for (size_t i = 0; i < count; i++) {
        table.double_claims += table.owner[aggregate_of(&aggregates[i])] != context;
        table.owner[aggregate_of(&aggregates[i])] = NULL;
    }
    pthread_mutex_unlock(&table.lock);
}

static void note_trouble(void *context, const kf_outbox_row *row, const kf_error *why)
{
    (void)context;
    (void)row;
    table.troubles++;
    table.last_trouble = why->code;
}

/* ---- a publisher ---- */

static void open_publisher_from(const kf_allocator *alloc, struct publisher *publisher,
                                int64_t stop_at)
{
    *publisher = (struct publisher){.stop_at = stop_at};
    kf_outbox_source source = {sizeof source, publisher,        claim_from_table,
                               mark_in_table, release_in_table, note_trouble};
    kf_outbox_options options = {.size = sizeof options,
                                 .topic = "orders",
                                 .max_rows = 100,
                                 .idle_ms = 5,
                                 .backoff_ms = 20,
                                 .allocator = alloc};
    publisher->outbox = kf_outbox_new(producer, &source, &options, &error);
}

static void open_publisher(struct publisher *publisher, int64_t stop_at)
{
    open_publisher_from(NULL, publisher, stop_at);
    cr_assert(ne(ptr, (void *)publisher->outbox, NULL), "%s", error.text);
}

/* So many rows more than are marked. */
static void publish_all(int64_t rows)
{
    struct publisher publisher;
    open_publisher(&publisher, table.marked_count + rows);
    cr_assert(eq(int, kf_outbox_run(publisher.outbox, &error), KF_OK), "%s", error.text);
    cr_assert(eq(i64, kf_outbox_published(publisher.outbox), rows));
    kf_outbox_free(publisher.outbox);
}

static void hush(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

static void open_all(void)
{
    kf_broker_options options = {.size = sizeof options, .nodes = 1, .thread = true};
    memset(&table, 0, sizeof table);
    pthread_mutex_init(&table.lock, NULL);
    error = (kf_error)KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, (void *)broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 3, 1), KF_OK));
    kf_config *config = kf_config_new(NULL);
    kf_config_log(config, KF_LOG_ERROR, hush, NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    kf_config_set(config, "max.request.size", "20000", &error);
    producer = kf_producer_new(config, &error);
    kf_config_free(config);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
}

static void close_all(void)
{
    kf_producer_close(producer, kf_now() + KF_SECOND);
    kf_broker_stop(broker);
    pthread_mutex_destroy(&table.lock);
}

TestSuite(outbox, .init = open_all, .fini = close_all, .timeout = 60);

/* ---- what stands in the topic ---- */

static int64_t end_of(int32_t partition)
{
    int64_t start, end;
    cr_assert(eq(int, kf_broker_offsets(broker, "orders", partition, &start, &end), KF_OK));
    return end;
}

/* Each event once, those of an aggregate in the table's order; how many there are. */
static int count_in_order(void)
{
    int last[MAX_AGGREGATES];
    int count = 0;
    for (int a = 0; a < MAX_AGGREGATES; a++)
        last[a] = -1;
    for (int32_t p = 0; p < 3; p++)
        for (int64_t offset = 0; offset < end_of(p); offset++, count++) {
            kf_message message;
            kf_header header;
            cr_assert(eq(int, kf_broker_read(broker, "orders", p, offset, &message), KF_OK));
            cr_assert(kf_message_header(&message, KF_OUTBOX_EVENT_ID, &header));
            int aggregate = number_in((kf_bytes){message.key.data + 1, message.key.size - 1});
            int number = number_in(header.value);
            cr_assert(lt(int, last[aggregate], number));
            last[aggregate] = number;
        }
    return count;
}

/* ---- the tests ---- */

static bool header_is(const kf_message *message, size_t *at, const char *name, const char *value)
{
    kf_header header;
    return kf_message_headers_next(message, at, &header) && header.name.size == strlen(name) &&
           !memcmp(header.name.data, name, strlen(name)) && header.value.size == strlen(value) &&
           !memcmp(header.value.data, value, strlen(value));
}

Test(outbox, publishes_a_row_with_its_aggregate_as_key_and_four_headers_before_its_own)
{
    kf_header own = {{"trace", 5}, {(const uint8_t *)"t1", 2}};
    add_row(7, (kf_bytes){(const uint8_t *)"payload", 7});
    table.rows[0].headers = &own;
    table.rows[0].header_count = 1;
    table.rows[0].timestamp = 1700000000123;
    publish_all(1);

    int32_t partition = 0;
    while (end_of(partition) == 0)
        partition++;
    kf_message message;
    size_t at = 0;
    cr_assert(eq(int, kf_broker_read(broker, "orders", partition, 0, &message), KF_OK));
    cr_assert(zero(int, memcmp(message.key.data, "a7", message.key.size)));
    cr_assert(zero(int, memcmp(message.value.data, "payload", message.value.size)));
    cr_assert(eq(i64, message.timestamp, 1700000000123));
    cr_assert(header_is(&message, &at, "event-id", "0"));
    cr_assert(header_is(&message, &at, "event-type", "placed"));
    cr_assert(header_is(&message, &at, "aggregate-id", "a7"));
    cr_assert(header_is(&message, &at, "aggregate-type", "order"));
    cr_assert(header_is(&message, &at, "trace", "t1"));
    cr_assert(eq(i32, message.header_count, 5));
}

Test(outbox, publishes_every_row_once_and_in_order_within_its_aggregate)
{
    add_rows(20, 50);
    publish_all(1000);
    cr_assert(eq(int, count_in_order(), 1000));
    cr_assert(zero(int, table.troubles));
}

Test(outbox, keeps_an_aggregate_back_whose_event_fails_while_others_go_on)
{
    static const uint8_t large[30000];
    add_rows(5, 10);
    table.rows[12].payload = (kf_bytes){large, sizeof large}; /* the third one of aggregate 2 */
    publish_all(42);
    cr_assert(eq(int, count_in_order(), 42));
    for (int i = 0; i < table.count; i++)
        cr_assert(eq(int, table.marked[i], i % 5 != 2 || i < 12), "row %d", i);
    cr_assert(ge(int, table.troubles, 1));
    cr_assert(eq(int, table.last_trouble, KF_ERR_MESSAGE_TOO_LARGE));
    cr_assert(ge(int, table.left_out, 1));
    for (int a = 0; a < 5; a++)
        cr_assert(zero(ptr, (void *)(uintptr_t)table.owner[a]));

    table.rows[12].payload = (kf_bytes){large, 10};
    publish_all(8);
    cr_assert(eq(int, count_in_order(), 50));
}

Test(outbox, marks_again_what_could_not_be_marked_without_publishing_it_again)
{
    add_rows(4, 5);
    table.marks_to_fail = 3;
    publish_all(20);
    cr_assert(eq(int, count_in_order(), 20));
    cr_assert(eq(int, table.troubles, 3));
}

Test(outbox, claims_again_after_a_failure)
{
    add_rows(4, 5);
    table.claims_to_fail = 3;
    publish_all(20);
    cr_assert(eq(int, count_in_order(), 20));
    cr_assert(eq(int, table.troubles, 3));
}

static kf_err claim_unfiltered(void *context, kf_outbox_claim *claim, kf_error *why)
{
    (void)why;
    kf_err err = KF_OK;
    for (int i = 0; i < table.count && !err && kf_outbox_claim_rows(claim); i++) {
        if (table.marked[i])
            continue;
        table.owner[aggregate_of(&table.rows[i].aggregate)] = context;
        err = kf_outbox_claim_add(claim, &table.rows[i]);
    }
    return err;
}

/* With at most four rows in hand. */
static void publish_few_at_once(kf_err (*claim)(void *, kf_outbox_claim *, kf_error *),
                                int64_t rows)
{
    struct publisher publisher = {.stop_at = table.marked_count + rows};
    kf_outbox_source source = {sizeof source, &publisher,       claim,
                               mark_in_table, release_in_table, note_trouble};
    kf_outbox_options options = {.size = sizeof options,
                                 .topic = "orders",
                                 .max_rows = 4,
                                 .idle_ms = 5,
                                 .backoff_ms = 1000,
                                 .backoff_max_ms = 1000};
    publisher.outbox = kf_outbox_new(producer, &source, &options, &error);
    cr_assert(eq(int, kf_outbox_run(publisher.outbox, &error), KF_OK), "%s", error.text);
    kf_outbox_free(publisher.outbox);
}

/* As where a topic was missing for a while: each fails until as many have as may wait. */
static kf_err claim_with_trouble(void *context, kf_outbox_claim *claim, kf_error *why)
{
    static const uint8_t large[30000];
    for (int i = 0; i < table.count; i++)
        table.rows[i].payload = (kf_bytes){large, table.troubles < 8 ? sizeof large : 1};
    return claim_from_table(context, claim, why);
}

Test(outbox, goes_on_once_as_many_aggregates_have_failed_as_may_wait)
{
    add_rows(12, 1);
    publish_few_at_once(claim_with_trouble, 12);
    cr_assert(eq(int, table.marked_count, 12));
    cr_assert(eq(int, table.troubles, 8));
}

Test(outbox, wants_as_many_rows_more_as_it_passes_over)
{
    static const uint8_t large[30000];
    for (int i = 0; i < 5; i++)
        add_row(0, (kf_bytes){large, sizeof large});
    add_row(1, (kf_bytes){NULL, 0});
    publish_few_at_once(claim_unfiltered, 1);
    cr_assert(table.marked[5]);
}

static void *run(void *argument)
{
    struct publisher *publisher = argument;
    publisher->result = kf_outbox_run(publisher->outbox, NULL);
    return NULL;
}

Test(outbox, shares_aggregates_among_publishers_without_claiming_one_twice)
{
    struct publisher publishers[3];
    add_rows(40, 50);
    for (int i = 0; i < 3; i++) {
        open_publisher(&publishers[i], 2000);
        cr_assert(zero(int, pthread_create(&publishers[i].thread, NULL, run, &publishers[i])));
    }
    for (int i = 0; i < 3; i++) {
        for (int tries = 0; tries < 3000 && kf_outbox_published(publishers[i].outbox) == 0; tries++)
            kf_sleep(KF_MILLISECOND);
    }
    int marked = 0;
    while (marked < 2000) {
        kf_sleep(KF_MILLISECOND);
        pthread_mutex_lock(&table.lock);
        marked = table.marked_count;
        pthread_mutex_unlock(&table.lock);
    }
    for (int i = 0; i < 3; i++) {
        kf_outbox_stop(publishers[i].outbox);
        pthread_join(publishers[i].thread, NULL);
        cr_assert(eq(int, publishers[i].result, KF_OK));
        kf_outbox_free(publishers[i].outbox);
    }
    cr_assert(eq(int, count_in_order(), 2000));
    cr_assert(zero(int, table.double_claims));
}

Test(outbox, stops_with_nothing_unmarked_that_was_acknowledged)
{
    add_rows(40, 50);
    struct publisher publisher;
    open_publisher(&publisher, 300);
    cr_assert(eq(int, kf_outbox_run(publisher.outbox, &error), KF_OK), "%s", error.text);
    cr_assert(eq(int, count_in_order(), table.marked_count));
    cr_assert(eq(i64, kf_outbox_published(publisher.outbox), table.marked_count));
    for (int a = 0; a < 40; a++)
        cr_assert(zero(ptr, (void *)(uintptr_t)table.owner[a]));
    kf_outbox_free(publisher.outbox);
}

Test(outbox, refuses_a_source_or_options_of_another_size)
{
    struct publisher publisher = {0};
    kf_outbox_source source = {sizeof source, &publisher, claim_from_table,
                               mark_in_table, NULL,       NULL};
    kf_outbox_options options = {.size = 1};
    cr_assert(zero(ptr, (void *)kf_outbox_new(producer, &source, &options, &error)));
    cr_assert(eq(int, error.code, KF_ERR_INVALID_ARGUMENT));
    source.size = 1;
    cr_assert(zero(ptr, (void *)kf_outbox_new(producer, &source, NULL, &error)));
}

/* ---- bad sources, bad times ---- */

static size_t wanted_after;

static kf_err claim_too_many(void *context, kf_outbox_claim *claim, kf_error *why)
{
    (void)context;
    (void)why;
    size_t wanted = kf_outbox_claim_rows(claim);
    for (int i = 0; i < table.count && !table.marked_count; i++)
        cr_assert(eq(int, kf_outbox_claim_add(claim, &table.rows[i]), KF_OK));
    if (wanted < (size_t)table.count && !table.marked_count)
        wanted_after = kf_outbox_claim_rows(claim);
    return KF_OK;
}

/* Less than none would be more than all. */
Test(outbox, wants_no_more_rows_of_a_source_that_brings_too_many)
{
    wanted_after = 7;
    add_rows(40, 5);
    struct publisher publisher = {.stop_at = 200};
    kf_outbox_source source = {sizeof source, &publisher,       claim_too_many,
                               mark_in_table, release_in_table, note_trouble};
    kf_outbox_options options = {.size = sizeof options, .topic = "orders", .max_rows = 100};
    publisher.outbox = kf_outbox_new(producer, &source, &options, &error);
    for (int a = 0; a < 40; a++)
        table.owner[a] = &publisher;
    cr_assert(eq(int, kf_outbox_run(publisher.outbox, &error), KF_OK), "%s", error.text);
    cr_assert(eq(sz, wanted_after, 0));
    cr_assert(eq(int, count_in_order(), 200));
    kf_outbox_free(publisher.outbox);
}

static struct {
    int left; /* allocations until one fails; below 0: it has */
    int live;
} memory;

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size && memory.left-- == 0)
        return NULL;
    memory.live += (size && !pointer) - (!size && pointer);
    return kf_default_allocator.resize(NULL, pointer, size);
}

/* True where the allocation that was to fail was asked for. */
static bool publish_without(int allocation, int64_t *stop_at)
{
    static const kf_allocator alloc = {resize, NULL};
    struct publisher publisher;
    memory.left = allocation;
    memory.live = 0;
    open_publisher_from(&alloc, &publisher, *stop_at);
    if (publisher.outbox) {
        add_rows(4, 2);
        *stop_at += 8;
        publisher.stop_at = *stop_at;
        cr_assert(eq(int, kf_outbox_run(publisher.outbox, &error), KF_OK), "%s", error.text);
        kf_outbox_free(publisher.outbox);
    } else {
        cr_assert(eq(int, error.code, KF_ERR_NO_MEMORY));
        error = (kf_error)KF_ERROR_INIT;
    }
    cr_assert(eq(int, memory.live, 0), "allocation %d", allocation);
    return memory.left < 0;
}

Test(outbox, publishes_all_whichever_allocation_fails_once)
{
    int64_t stop_at = 0;
    int allocation = 0;
    while (publish_without(allocation, &stop_at))
        allocation++;
    cr_assert(lt(int, 10, allocation));
    cr_assert(eq(i64, count_in_order(), stop_at));
}
