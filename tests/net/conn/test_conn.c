#include "net/conn/conn.h"

#include "proto/codec/frame.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <string.h>

/* A connection without a socket: the test is the network and the clock. */
static struct kf__conn conn;
static struct kf__conn_settings settings;
static struct kf__world world;
static kf_time now;
static int opened, failed, failed_ready;

static uint64_t no_random(void *context)
{
    (void)context;
    return 0; /* the shortest of all back-offs: four fifths */
}

static void on_opened(void *owner)
{
    (void)owner;
    opened++;
}

static void on_failed(void *owner, bool was_ready)
{
    (void)owner;
    failed++;
    failed_ready += was_ready;
}

static void make_conn(void)
{
    world.random = no_random;
    settings =
        (struct kf__conn_settings){.alloc = &kf_default_allocator,
                                   .world = &world,
                                   .slabs = kf__slab_pool_new(&kf_default_allocator, 1 << 20),
                                   .client_id = "me",
                                   .request_timeout = 30 * KF_SECOND,
                                   .setup_timeout = 10 * KF_SECOND,
                                   .setup_timeout_max = 30 * KF_SECOND,
                                   .reconnect_backoff = 50 * KF_MILLISECOND,
                                   .reconnect_backoff_max = KF_SECOND,
                                   .max_idle = 540 * KF_SECOND,
                                   .receive_max = 8 << 20};
    struct kf__conn_events events = {.opened = on_opened, .failed = on_failed};
    now = 1000 * KF_SECOND;
    kf__conn_init(&conn, &settings, &events, "broker:9092", "broker", 7);
}

static void free_conn(void)
{
    kf__conn_free(&conn, KF_ERR_CLOSED);
    kf__slab_pool_drop(settings.slabs);
}

TestSuite(conn, .init = make_conn, .fini = free_conn, .timeout = 60);

/* ---- calls ---- */

struct test_call {
    struct kf__call call;
    int ends;
    kf_err err;
    int16_t version;
    int16_t error_code; /* of the Heartbeat's answer */
    struct kf__call *then_cancel;
    struct test_call *then_send;
};

static struct kf_heartbeat_request heartbeat;

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)arena;
    ((struct test_call *)call->owner)->version = version;
    kf_reset(&kf_schema_of_heartbeat_request, &heartbeat);
    *message = &heartbeat;
    return KF_OK;
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct test_call *it = call->owner;
    it->ends++;
    it->err = err;
    if (answer && call->api_key == KF_API_HEARTBEAT)
        it->error_code = ((const struct kf_heartbeat_response *)answer->message)->error_code;
    if (it->then_cancel)
        kf__call_cancel(it->then_cancel);
    if (it->then_send)
        kf__conn_send(&conn, &it->then_send->call);
}

static void send_call(struct test_call *it)
{
    it->call.api_key = KF_API_HEARTBEAT;
    it->call.deadline = it->call.deadline ? it->call.deadline : now + 60 * KF_SECOND;
    it->call.build = build;
    it->call.done = done;
    it->call.owner = it;
    kf__conn_send(&conn, &it->call);
    kf__conn_pump(&conn, now);
}

/* ---- the network ---- */

static uint8_t wire[1 << 16];

/* Takes all that waits to be sent; returns how many bytes that were. */
static size_t take_output(void)
{
    size_t total = 0;
    while (kf__conn_has_output(&conn)) {
        struct iovec parts[4];
        size_t count = kf__conn_output(&conn, parts, 4), size = 0;
        for (size_t i = 0; i < count; i++) {
            if (total + size + parts[i].iov_len <= sizeof wire)
                memcpy(wire + total + size, parts[i].iov_base, parts[i].iov_len);
            size += parts[i].iov_len;
        }
        kf__conn_sent(&conn, now, size);
        kf__conn_pump(&conn, now);
        total += size;
    }
    return total;
}

static void feed(const void *bytes, size_t size)
{
    size_t done_bytes = 0;
    while (done_bytes < size && kf__conn_is_open(&conn)) {
        uint8_t *room;
        size_t space;
        cr_assert(eq(int, kf__conn_space(&conn, &room, &space), KF_OK));
        size_t part = size - done_bytes < space ? size - done_bytes : space;
        memcpy(room, (const uint8_t *)bytes + done_bytes, part);
        kf__conn_received(&conn, now, part);
        done_bytes += part;
    }
}

static void answer(const kf_schema *schema, int16_t version, int32_t id, const void *message)
{
    kf_writer writer;
    kf_writer_init(&writer, &kf_default_allocator);
    cr_assert(eq(int, kf__encode_response(&writer, schema, version, id, message), KF_OK));
    feed(writer.bytes, writer.used);
    kf_writer_free(&writer);
}

static void answer_heartbeat(int32_t id, int16_t error_code)
{
    struct kf_heartbeat_response response;
    kf_reset(&kf_schema_of_heartbeat_response, &response);
    response.error_code = error_code;
    answer(&kf_schema_of_heartbeat_response, 4, id, &response);
}

static struct kf_api_versions_response_api_version apis[] = {
    {.api_key = KF_API_API_VERSIONS, .min_version = 0, .max_version = 2},
    {.api_key = KF_API_HEARTBEAT, .min_version = 0, .max_version = 4},
    {.api_key = KF_API_FETCH, .min_version = 4, .max_version = 11},
    {.api_key = KF_API_PRODUCE, .min_version = 0, .max_version = 8},
};

static void answer_versions(int16_t version, int32_t id, int16_t error_code)
{
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_response, &response);
    response.error_code = error_code;
    response.api_keys.items = apis;
    response.api_keys.count = sizeof apis / sizeof *apis;
    answer(&kf_schema_of_api_versions_response, version, id, &response);
}

static int16_t asked_version(void) { return (int16_t)(wire[6] << 8 | wire[7]); }
static int32_t asked_id(void) { return wire[8] << 24 | wire[9] << 16 | wire[10] << 8 | wire[11]; }
static int16_t asked_key(void) { return (int16_t)(wire[4] << 8 | wire[5]); }

static void connect_to(size_t addresses)
{
    cr_assert(eq(int, conn.state, KF__CONN_RESOLVING));
    kf__conn_resolved(&conn, now, KF_OK, addresses);
    cr_assert(eq(int, conn.state, KF__CONN_CONNECTING));
}

static void become_ready(void)
{
    connect_to(1);
    kf__conn_connected(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_VERSIONS));
    take_output();
    answer_versions(asked_version(), asked_id(), 0);
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    kf__conn_pump(&conn, now);
}

/* ---- the states ---- */

Test(conn, does_nothing_until_somebody_calls)
{
    kf__conn_pump(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_IDLE));
    cr_assert(eq(i64, kf__conn_deadline(&conn), KF_FOREVER));
}

Test(conn, sets_up_sends_and_hands_out_the_answer)
{
    static struct test_call one;
    send_call(&one);
    become_ready();
    cr_assert(eq(int, opened, 1));
    cr_assert(lt(sz, 0, take_output()));
    cr_assert(eq(int, asked_key(), KF_API_HEARTBEAT));
    cr_assert(eq(int, one.version, 4));
    cr_assert(eq(int, one.ends, 0));
    answer_heartbeat(asked_id(), KF_ERR_REBALANCE_IN_PROGRESS);
    cr_assert(eq(int, one.ends, 1));
    cr_assert(eq(int, one.err, KF_OK));
    cr_assert(eq(int, one.error_code, KF_ERR_REBALANCE_IN_PROGRESS));
    cr_assert(not(kf__call_is_under_way(&one.call)));
}

Test(conn, keeps_the_order_of_calls_that_waited_for_the_set_up)
{
    static struct test_call calls[3];
    for (int i = 0; i < 3; i++)
        send_call(&calls[i]);
    become_ready();
    take_output();
    int32_t id = asked_id();
    for (int i = 0; i < 3; i++) {
        answer_heartbeat(id + i, 0);
        for (int j = 0; j < 3; j++)
            cr_assert(eq(int, calls[j].ends, j <= i));
    }
}

Test(conn, reads_answers_that_come_byte_by_byte)
{
    static struct test_call calls[2];
    send_call(&calls[0]);
    send_call(&calls[1]);
    become_ready();
    take_output();
    kf_writer writer;
    kf_writer_init(&writer, &kf_default_allocator);
    struct kf_heartbeat_response response;
    kf_reset(&kf_schema_of_heartbeat_response, &response);
    for (int i = 0; i < 2; i++)
        kf__encode_response(&writer, &kf_schema_of_heartbeat_response, 4, asked_id() + i,
                            &response);
    for (size_t i = 0; i < writer.used; i++)
        feed(writer.bytes + i, 1);
    kf_writer_free(&writer);
    cr_assert(eq(int, calls[0].ends, 1));
    cr_assert(eq(int, calls[1].ends, 1));
}

Test(conn, tries_every_address_before_it_rests)
{
    static struct test_call one;
    send_call(&one);
    connect_to(3);
    for (size_t i = 0; i < 2; i++) {
        cr_assert(eq(sz, conn.address, i));
        kf__conn_refused(&conn, now, "Connection refused");
        cr_assert(eq(int, conn.state, KF__CONN_CONNECTING));
    }
    kf__conn_refused(&conn, now, "Connection refused");
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, conn.err, KF_ERR_CONNECT_FAILED));
    cr_assert(eq(str, conn.text, "broker:9092: no connection could be made (Connection refused)"));
    cr_assert(eq(int, one.ends, 0));
}

Test(conn, gives_an_address_that_never_answers_its_time_and_takes_the_next)
{
    static struct test_call one;
    one.call.deadline = now + 100 * KF_SECOND;
    send_call(&one);
    connect_to(2);
    cr_assert(eq(i64, kf__conn_deadline(&conn), now + 10 * KF_SECOND));
    now += 10 * KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_CONNECTING));
    cr_assert(eq(sz, conn.address, 1));
    now += 10 * KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, conn.err, KF_ERR_TIMED_OUT));
}

Test(conn, backs_off_longer_after_each_failure_up_to_the_maximum)
{
    const int64_t expected[] = {40, 80, 160, 320, 640, 800, 800};
    static struct test_call one;
    one.call.deadline = now + 1000 * KF_SECOND;
    send_call(&one);
    for (int i = 0; i < 7; i++) {
        connect_to(1);
        kf__conn_refused(&conn, now, "no");
        cr_assert(eq(i64, conn.retry_at - now, expected[i] * KF_MILLISECOND));
        cr_assert(eq(i64, kf__conn_deadline(&conn), conn.retry_at));
        now = conn.retry_at;
        kf__conn_tick(&conn, now);
        kf__conn_pump(&conn, now);
    }
    become_ready();
    cr_assert(eq(int, conn.failures, 0));
}

Test(conn, the_set_up_timeout_covers_a_broker_that_accepts_and_never_speaks)
{
    static struct test_call one;
    one.call.deadline = now + 100 * KF_SECOND;
    send_call(&one);
    connect_to(1);
    kf__conn_connected(&conn, now);
    take_output();
    now += 10 * KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, conn.err, KF_ERR_TIMED_OUT));
}

Test(conn, a_reset_in_any_state_ends_what_was_sent_and_keeps_what_waits)
{
    static struct test_call one, two;
    send_call(&one);
    kf__conn_lost(&conn, now, "Connection reset by peer"); /* RESOLVING: no socket, but still */
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    for (int state = KF__CONN_CONNECTING; state <= KF__CONN_READY; state++) {
        now = conn.retry_at;
        kf__conn_tick(&conn, now);
        kf__conn_pump(&conn, now);
        connect_to(1);
        if (state == KF__CONN_VERSIONS)
            kf__conn_connected(&conn, now);
        if (state == KF__CONN_READY)
            break;
        kf__conn_lost(&conn, now, "Connection reset by peer");
        cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
        cr_assert(eq(int, one.ends, 0));
    }
    kf__conn_connected(&conn, now);
    take_output();
    answer_versions(asked_version(), asked_id(), 0);
    kf__conn_pump(&conn, now);
    take_output();
    failed_ready = 0;
    one.then_send = &two;
    two.call = (struct kf__call){.api_key = KF_API_HEARTBEAT,
                                 .deadline = now + KF_SECOND,
                                 .build = build,
                                 .done = done,
                                 .owner = &two};
    kf__conn_lost(&conn, now, NULL);
    cr_assert(eq(int, one.ends, 1));
    cr_assert(eq(int, one.err, KF_ERR_DISCONNECTED));
    cr_assert(eq(int, failed_ready, 1));
    cr_assert(eq(int, two.ends, 0));
    now += KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, two.ends, 1));
    cr_assert(eq(int, two.err, KF_ERR_DISCONNECTED));
}

/* ---- versions ---- */

Test(conn, asks_again_in_the_version_that_an_old_broker_offers)
{
    static struct test_call one;
    send_call(&one);
    connect_to(1);
    kf__conn_connected(&conn, now);
    take_output();
    cr_assert(eq(int, asked_version(), kf_schema_max_version(&kf_schema_of_api_versions_request)));
    answer_versions(0, asked_id(), KF_ERR_UNSUPPORTED_VERSION);
    cr_assert(eq(int, conn.state, KF__CONN_VERSIONS));
    take_output();
    cr_assert(eq(int, asked_version(), 2));
    answer_versions(2, asked_id(), 0);
    cr_assert(eq(int, conn.state, KF__CONN_READY));
}

Test(conn, asks_in_version_zero_when_the_offer_is_refused_too_and_then_gives_up)
{
    static struct test_call one;
    send_call(&one);
    connect_to(1);
    kf__conn_connected(&conn, now);
    const int expected[] = {2, 0};
    for (int i = 0; i < 2; i++) {
        take_output();
        answer_versions(0, asked_id(), KF_ERR_UNSUPPORTED_VERSION);
        take_output();
        cr_assert(eq(int, asked_version(), expected[i]));
    }
    answer_versions(0, asked_id(), KF_ERR_UNSUPPORTED_VERSION);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, conn.err, KF_ERR_UNSUPPORTED_VERSION));
}

/* Some answer an unknown version by closing the connection. */
Test(conn, asks_lower_after_each_reset_while_versions_were_asked_for)
{
    static struct test_call one;
    one.call.deadline = now + 1000 * KF_SECOND;
    send_call(&one);
    const int expected[] = {5, 3, 0, 5};
    for (int i = 0; i < 4; i++) {
        connect_to(1);
        kf__conn_connected(&conn, now);
        take_output();
        cr_assert(eq(int, asked_version(), expected[i]));
        kf__conn_lost(&conn, now, NULL);
        cr_assert(ne(ptr, strstr(conn.text, "check security.protocol"), NULL));
        now = conn.retry_at;
        kf__conn_tick(&conn, now);
        kf__conn_pump(&conn, now);
    }
}

Test(conn, an_api_that_the_broker_lacks_ends_its_call_alone)
{
    static struct test_call one, two;
    send_call(&one);
    become_ready();
    take_output();
    two.call = (struct kf__call){.api_key = KF_API_METADATA,
                                 .deadline = now + KF_SECOND,
                                 .build = build,
                                 .done = done,
                                 .owner = &two};
    kf__conn_send(&conn, &two.call);
    cr_assert(eq(int, two.ends, 0));
    kf__conn_pump(&conn, now);
    cr_assert(eq(int, two.err, KF_ERR_API_NOT_SUPPORTED));
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    cr_assert(eq(int, one.ends, 0));
}

/* ---- who is there? ---- */

static void expect_hint(const char *bytes, size_t size, kf_err err, const char *words)
{
    static struct test_call one;
    send_call(&one);
    connect_to(1);
    kf__conn_connected(&conn, now);
    take_output();
    feed(bytes, size);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, conn.err, err));
    cr_assert(ne(ptr, strstr(conn.text, words), NULL), "%s", conn.text);
    kf__call_cancel(&one.call);
}

Test(conn, knows_a_tls_alert)
{
    expect_hint("\x15\x03\x03\x00\x02\x02\x46", 7, KF_ERR_TLS_EXPECTED, "its port expects TLS");
}

Test(conn, knows_a_web_server)
{
    expect_hint("HTTP/1.1 400 Bad Request\r\n", 26, KF_ERR_NOT_KAFKA, "HTTP server");
}

Test(conn, shows_what_it_got_from_somebody_else)
{
    expect_hint("SSH-2.0-OpenSSH_9.2\r\n", 21, KF_ERR_NOT_KAFKA, "(53 53 48 2d 32");
}

Test(conn, takes_a_small_frame_of_garbage_for_what_it_is)
{
    expect_hint("\0\0\0\4\x7f\x7f\x7f\x7f", 8, KF_ERR_NOT_KAFKA, "not Kafka's protocol");
}

Test(conn, refuses_more_than_512_kib_before_it_is_ready)
{
    expect_hint("\x00\x08\x00\x01", 4, KF_ERR_NOT_KAFKA, "not Kafka's protocol");
}

/* ---- frames ---- */

Test(conn, names_the_settings_when_an_answer_is_too_large)
{
    static struct test_call one;
    send_call(&one);
    become_ready();
    take_output();
    feed("\x7f\xff\xff\xff", 4);
    cr_assert(eq(int, conn.err, KF_ERR_FRAME_TOO_LARGE));
    cr_assert(ne(ptr, strstr(conn.text, "receive.message.max.bytes"), NULL));
    cr_assert(ne(ptr, strstr(conn.text, "fetch.max.bytes"), NULL));
    cr_assert(eq(int, one.err, KF_ERR_DISCONNECTED));
}

Test(conn, closes_on_a_negative_size)
{
    static struct test_call one;
    send_call(&one);
    become_ready();
    take_output();
    feed("\xff\xff\xff\xff", 4);
    cr_assert(eq(int, conn.err, KF_ERR_FRAME_NEGATIVE));
}

Test(conn, closes_when_an_answer_belongs_to_no_request)
{
    static struct test_call one;
    send_call(&one);
    become_ready();
    take_output();
    answer_heartbeat(asked_id() + 1, 0);
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
    cr_assert(eq(int, one.err, KF_ERR_DISCONNECTED));
}

Test(conn, a_malformed_answer_ends_its_call_with_what_is_wrong_and_closes)
{
    static struct test_call one, two;
    send_call(&one);
    send_call(&two);
    become_ready();
    take_output();
    uint8_t frame[] = {0, 0, 0, 7, 0, 0, 0, (uint8_t)asked_id(), 0, 0, 0};
    feed(frame, sizeof frame);
    cr_assert(eq(int, one.err, KF_ERR_TRUNCATED));
    cr_assert(eq(int, two.err, KF_ERR_DISCONNECTED));
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
}

struct fetch_call {
    struct kf__call call;
    int ends;
    struct kf__slab *slab;
    kf_bytes records;
};

static struct kf_fetch_request fetch;

static kf_err build_fetch(struct kf__call *call, int16_t version, kf_arena *arena,
                          const void **message)
{
    (void)call;
    (void)version;
    (void)arena;
    kf_reset(&kf_schema_of_fetch_request, &fetch);
    *message = &fetch;
    return KF_OK;
}

static void done_fetch(struct kf__call *call, kf_err err, const struct kf__answer *got)
{
    struct fetch_call *it = call->owner;
    cr_assert(eq(int, err, KF_OK));
    const struct kf_fetch_response *response = got->message;
    it->ends++;
    it->slab = got->slab;
    kf__slab_retain(got->slab);
    it->records = response->responses.items[0].partitions.items[0].records;
}

static void send_fetch(struct fetch_call *it)
{
    it->call = (struct kf__call){.api_key = KF_API_FETCH,
                                 .deadline = now + 60 * KF_SECOND,
                                 .build = build_fetch,
                                 .done = done_fetch,
                                 .owner = it};
    kf__conn_send(&conn, &it->call);
    kf__conn_pump(&conn, now);
}

static void answer_fetch(int32_t id, const uint8_t *records, size_t size)
{
    struct kf_fetch_response_partition_data partition;
    memset(&partition, 0, sizeof partition);
    partition.diverging_epoch.epoch = partition.current_leader.leader_id = -1;
    partition.diverging_epoch.end_offset = partition.snapshot_id.end_offset = -1;
    partition.current_leader.leader_epoch = partition.snapshot_id.epoch = -1;
    partition.records = (kf_bytes){records, size};
    struct kf_fetch_response_fetchable_topic_response topic;
    memset(&topic, 0, sizeof topic);
    topic.topic = (kf_string){"t", 1};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    struct kf_fetch_response response;
    kf_reset(&kf_schema_of_fetch_response, &response);
    response.responses.items = &topic;
    response.responses.count = 1;
    kf_writer writer;
    kf_writer_init(&writer, &kf_default_allocator);
    cr_assert(eq(int, kf__encode_response(&writer, &kf_schema_of_fetch_response, 11, id, &response),
                 KF_OK));
    cr_assert(eq(int, kf_writer_flatten(&writer), KF_OK));
    feed(writer.bytes, writer.used);
    kf_writer_free(&writer);
}

/* 5 MB in a slab of its own, of whatever class; its bytes outlive the connection. */
Test(conn, a_large_fetch_answer_borrows_from_one_slab_that_may_be_retained)
{
    enum {
        SIZE = 5000000
    };
    uint8_t *records = kf_alloc(&kf_default_allocator, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        records[i] = (uint8_t)(i * 7 + i / 1000);
    static struct fetch_call one, two;
    send_fetch(&one);
    become_ready();
    send_fetch(&two);
    take_output();
    answer_fetch(asked_id(), records, SIZE);
    cr_assert(eq(int, one.ends, 1));
    answer_fetch(asked_id() + 1, records, 10);
    cr_assert(eq(int, two.ends, 1));
    kf__conn_lost(&conn, now, NULL);

    cr_assert(eq(sz, one.records.size, SIZE));
    cr_assert(zero(int, memcmp(one.records.data, records, SIZE)));
    cr_assert(ge(ptr, (void *)one.records.data, (void *)one.slab->bytes));
    cr_assert(zero(int, memcmp(two.records.data, records, 10)));
    cr_assert(ne(ptr, one.slab, two.slab));
    cr_assert(eq(uint, atomic_load(&two.slab->references), 1));
    kf__slab_release(one.slab);
    kf__slab_release(two.slab);
    kf_free(&kf_default_allocator, records);
}

/* ---- time ---- */

Test(conn, a_silent_broker_costs_the_connection)
{
    static struct test_call one;
    one.call.deadline = now + 100 * KF_SECOND;
    static struct test_call two;
    two.call.deadline = now + 100 * KF_SECOND;
    two.call.patience = 50 * KF_SECOND;
    send_call(&one);
    send_call(&two);
    become_ready();
    take_output();
    cr_assert(eq(i64, kf__conn_deadline(&conn), now + 30 * KF_SECOND));
    now += 30 * KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, one.err, KF_ERR_TIMED_OUT));
    cr_assert(eq(int, two.err, KF_ERR_DISCONNECTED));
    cr_assert(eq(int, conn.state, KF__CONN_BACKOFF));
}

Test(conn, a_calls_own_deadline_ends_it_alone_and_its_answer_is_dropped)
{
    static struct test_call one, two;
    one.call.deadline = now + KF_SECOND;
    send_call(&one);
    send_call(&two);
    become_ready();
    take_output();
    int32_t id = asked_id();
    now += KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, one.err, KF_ERR_TIMED_OUT));
    cr_assert(eq(int, conn.state, KF__CONN_READY));
    answer_heartbeat(id, 0);
    answer_heartbeat(id + 1, 0);
    cr_assert(eq(int, one.ends, 1));
    cr_assert(eq(int, two.ends, 1));
    cr_assert(eq(int, two.err, KF_OK));
}

Test(conn, calls_that_wait_too_long_end_with_the_last_cause)
{
    static struct test_call one;
    one.call.deadline = now + KF_SECOND;
    send_call(&one);
    connect_to(1);
    kf__conn_refused(&conn, now, "no");
    now += KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, one.ends, 1));
    cr_assert(eq(int, one.err, KF_ERR_CONNECT_FAILED));
}

Test(conn, closes_when_nobody_has_used_it_for_long_and_comes_back_when_wanted)
{
    static struct test_call one;
    send_call(&one);
    become_ready();
    take_output();
    answer_heartbeat(asked_id(), 0);
    cr_assert(eq(i64, kf__conn_deadline(&conn), now + 540 * KF_SECOND));
    now += 540 * KF_SECOND;
    kf__conn_tick(&conn, now);
    cr_assert(eq(int, conn.state, KF__CONN_IDLE));
    cr_assert(eq(int, failed, 0));
    static struct test_call two;
    send_call(&two);
    become_ready();
}

Test(conn, sends_nothing_while_the_broker_asks_to_be_left_alone)
{
    static struct test_call one, two;
    send_call(&one);
    become_ready();
    take_output();
    struct kf_heartbeat_response response;
    kf_reset(&kf_schema_of_heartbeat_response, &response);
    response.throttle_time_ms = 700;
    answer(&kf_schema_of_heartbeat_response, 4, asked_id(), &response);
    cr_assert(eq(int, one.ends, 1));
    send_call(&two);
    cr_assert(eq(sz, take_output(), 0));
    cr_assert(eq(i64, kf__conn_deadline(&conn), now + 700 * KF_MILLISECOND));
    now += 700 * KF_MILLISECOND;
    kf__conn_tick(&conn, now);
    kf__conn_pump(&conn, now);
    cr_assert(lt(sz, 0, take_output()));
}

/* ---- cancelling ---- */

Test(conn, a_call_may_cancel_its_neighbours_from_within_its_end)
{
    static struct test_call calls[4];
    for (int i = 0; i < 4; i++)
        send_call(&calls[i]);
    become_ready();
    take_output();
    calls[0].then_cancel = &calls[1].call;
    calls[2].then_cancel = &calls[3].call;
    answer_heartbeat(asked_id(), 0);
    kf__conn_lost(&conn, now, NULL);
    const int expected[] = {1, 0, 1, 0};
    for (int i = 0; i < 4; i++)
        cr_assert(eq(int, calls[i].ends, expected[i]));
}

/* KAFKA-6366: each end sends the next; depth must not grow with their number. */
Test(conn, a_hundred_thousand_calls_end_without_recursion)
{
    enum {
        COUNT = 100000
    };
    struct test_call *calls = kf_alloc_array(&kf_default_allocator, COUNT, sizeof *calls);
    for (int i = 0; i < COUNT; i++)
        send_call(&calls[i]);
    become_ready();
    while (kf__conn_has_output(&conn))
        take_output();
    cr_assert(eq(uint, conn.flight.count, COUNT));
    for (int i = 0; i < COUNT / 2; i++)
        kf__call_cancel(&calls[i].call);
    kf__conn_lost(&conn, now, NULL);
    for (int i = 0; i < COUNT; i++)
        cr_assert(eq(int, calls[i].ends, i >= COUNT / 2));
    kf_free(&kf_default_allocator, calls);
}

Test(conn, a_hundred_thousand_waiting_calls_are_cancelled_or_ended_in_order)
{
    enum {
        COUNT = 100000
    };
    struct test_call *calls = kf_alloc_array(&kf_default_allocator, COUNT, sizeof *calls);
    for (int i = 0; i < COUNT; i++)
        send_call(&calls[i]);
    for (int i = 0; i < COUNT; i += 2)
        kf__call_cancel(&calls[i].call);
    now += 60 * KF_SECOND;
    kf__conn_tick(&conn, now);
    for (int i = 0; i < COUNT; i++)
        cr_assert(eq(int, calls[i].ends, i % 2));
    kf_free(&kf_default_allocator, calls);
}

/* ---- requests without answer ---- */

static struct kf_produce_request produce;

static kf_err build_produce(struct kf__call *call, int16_t version, kf_arena *arena,
                            const void **message)
{
    (void)call;
    (void)version;
    (void)arena;
    kf_reset(&kf_schema_of_produce_request, &produce);
    *message = &produce;
    return KF_OK;
}

Test(conn, a_request_without_answer_is_done_once_its_last_byte_is_written)
{
    static struct test_call silent, loud;
    send_call(&loud);
    become_ready();
    take_output();
    int32_t id = asked_id();
    silent.call = (struct kf__call){.api_key = KF_API_PRODUCE,
                                    .deadline = now + KF_SECOND,
                                    .no_answer = true,
                                    .build = build_produce,
                                    .done = done,
                                    .owner = &silent};
    kf__conn_send(&conn, &silent.call);
    kf__conn_pump(&conn, now);
    struct iovec part;
    cr_assert(eq(sz, kf__conn_output(&conn, &part, 1), 1));
    kf__conn_sent(&conn, now, part.iov_len - 1);
    cr_assert(eq(int, silent.ends, 0));
    kf__conn_sent(&conn, now, 1);
    cr_assert(eq(int, silent.ends, 1));
    cr_assert(eq(int, silent.err, KF_OK));
    static struct test_call last;
    send_call(&last);
    take_output();
    answer_heartbeat(id, 0);
    answer_heartbeat(id + 2, 0);
    cr_assert(eq(int, loud.ends, 1));
    cr_assert(eq(int, last.ends, 1));
    cr_assert(eq(uint, conn.flight.count, 0));
}

static uint8_t *borrowed;
static struct kf_produce_request_topic_produce_data topic_data;
static struct kf_produce_request_partition_produce_data partition_data;

static kf_err build_records(struct kf__call *call, int16_t version, kf_arena *arena,
                            const void **message)
{
    build_produce(call, version, arena, message);
    partition_data.records = (kf_bytes){borrowed, 20000};
    topic_data.name = (kf_string){"t", 1};
    topic_data.partition_data.items = &partition_data;
    topic_data.partition_data.count = 1;
    produce.topic_data.items = &topic_data;
    produce.topic_data.count = 1;
    return KF_OK;
}

/* Records are sent from where they are; a call that ends early takes them away. */
Test(conn, a_cancelled_call_leaves_its_request_whole)
{
    static struct test_call one, two;
    send_call(&two);
    become_ready();
    take_output();
    int32_t id = asked_id();
    borrowed = kf_alloc(&kf_default_allocator, 20000);
    memset(borrowed, 'r', 20000);
    one.call = (struct kf__call){.api_key = KF_API_PRODUCE,
                                 .deadline = now + KF_SECOND,
                                 .build = build_records,
                                 .done = done,
                                 .owner = &one};
    kf__conn_send(&conn, &one.call);
    kf__conn_pump(&conn, now);
    kf__conn_sent(&conn, now, 10);
    kf__call_cancel(&one.call);
    kf_free(&kf_default_allocator, borrowed);
    size_t size = take_output();
    cr_assert(eq(int, wire[size - 1], 'r'));
    cr_assert(eq(int, wire[size - 20000], 'r'));
    answer_heartbeat(id, 0);
    cr_assert(eq(int, two.ends, 1));
    cr_assert(eq(int, conn.state, KF__CONN_READY));
}

Test(conn, freeing_it_ends_every_call)
{
    static struct test_call one, two;
    send_call(&one);
    become_ready();
    take_output();
    two.call.deadline = now + KF_SECOND;
    two.call.done = done;
    two.call.owner = &two;
    kf__conn_send(&conn, &two.call);
    kf__conn_free(&conn, KF_ERR_CLOSED);
    cr_assert(eq(int, one.err, KF_ERR_CLOSED));
    cr_assert(eq(int, two.err, KF_ERR_CLOSED));
}
