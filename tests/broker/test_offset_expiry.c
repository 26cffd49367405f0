/* Offsets expire by a call, by a script, and after a restore; which ones: test_expiry.c. */
#include "net/loop/world.h"
#include "proto/codec/frame.h"
#include <kafiber/broker.h>
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MINUTE_MS = 60 * 1000,
    ANSWER_BYTES = 4096,
};

static kf_broker *broker;
static const struct kf__world *world;
static kf_arena arena;
static int fd;
static uint8_t answer[ANSWER_BYTES];
static char journal[64];

static void dial(void)
{
    struct kf__address address = {.size = sizeof(struct sockaddr_in)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9092)};
    int error = 0;
    memcpy(&address.storage, &to, sizeof to);
    fd = world->connect(world->context, &address, &error);
    cr_assert(le(int, 0, fd));
}

static void open_broker(void)
{
    snprintf(journal, sizeof journal, "/tmp/kafiber-journal-XXXXXX");
    close(mkstemp(journal));
    kf_broker_options options = {
        .size = sizeof options, .virtual_time = true, .seed = 1, .journal = journal};
    broker = kf_broker_start(&options, NULL);
    cr_assert(ne(ptr, broker, NULL));
    world = kf_broker_world(broker);
    kf_arena_init(&arena, &kf_default_allocator, 0);
    cr_assert(eq(int, kf_broker_create_topic(broker, "t", 1, 1), KF_OK));
    cr_assert(eq(
        int, kf_broker_set_config(broker, KF_BROKER_BROKER, NULL, "offsets.retention.minutes", "1"),
        KF_OK));
    cr_assert(eq(
        int, kf_broker_set_config(broker, KF_BROKER_BROKER, NULL, "connections.max.idle.ms", "-1"),
        KF_OK));
    dial();
}

static void close_broker(void)
{
    kf_arena_free(&arena);
    kf_broker_stop(broker);
    unlink(journal);
}

TestSuite(offset_expiry, .init = open_broker, .fini = close_broker, .timeout = 60);

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

static void ask(int16_t api, int16_t version, const void *request, void *response)
{
    kf_writer out;
    int error = 0;
    int32_t correlation;
    size_t used;
    kf_writer_init(&out, &kf_default_allocator);
    cr_assert(eq(int,
                 kf__encode_request(&out, kf_schema_request(api), version, 7, text("c"), request),
                 KF_OK));
    struct iovec part = {out.bytes, out.used};
    cr_assert(eq(i64, world->send(world->context, fd, &part, 1, &error), (int64_t)out.used));
    kf_writer_free(&out);
    ssize_t got = -1;
    for (int turn = 0; turn < 10 && got <= 0; turn++) {
        kf_broker_step(broker, 0);
        got = world->receive(world->context, fd, answer, sizeof answer, &error);
    }
    cr_assert(lt(i64, 4, got));
    size_t size = (size_t)got - 4;
    kf_arena_reset(&arena);
    cr_assert(eq(int,
                 kf__decode_response_header(kf_schema_response(api), version, answer + 4, size,
                                            &correlation, &used),
                 KF_OK));
    cr_assert(eq(int,
                 kf_decode(kf_schema_response(api), version, answer + 4 + used, size - used, &arena,
                           response),
                 KF_OK));
}

/* Retention -1: the broker's. */
static void commit(const char *group, int16_t version, int64_t retention_ms)
{
    struct kf_offset_commit_request request;
    struct kf_offset_commit_response response;
    struct kf_offset_commit_request_topic topic = {.name = text("t")};
    struct kf_offset_commit_request_partition partition = {
        .committed_offset = 5, .committed_leader_epoch = -1, .commit_timestamp = -1};
    kf_reset(&kf_schema_of_offset_commit_request, &request);
    request.group_id = text(group);
    request.retention_time_ms = retention_ms;
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    ask(KF_API_OFFSET_COMMIT, version, &request, &response);
    cr_assert(eq(i16, response.topics.items[0].partitions.items[0].error_code, 0));
}

/* Its member id. */
static const char *join(const char *group)
{
    static char member[80];
    struct kf_join_group_request request;
    struct kf_join_group_response response;
    struct kf_join_group_request_protocol range = {.name = text("range"),
                                                   .metadata = {(const uint8_t *)"", 0}};
    kf_reset(&kf_schema_of_join_group_request, &request);
    request.group_id = text(group);
    request.session_timeout_ms = request.rebalance_timeout_ms = 1800 * 1000;
    request.protocol_type = text("consumer");
    request.protocols.items = &range;
    request.protocols.count = 1;
    ask(KF_API_JOIN_GROUP, 3, &request, &response);
    cr_assert(eq(i16, response.error_code, 0));
    snprintf(member, sizeof member, "%.*s", (int)response.member_id.size, response.member_id.data);
    return member;
}

/* A member comes and, `stays_ms` later, leaves. */
static void live_in(const char *group, int64_t stays_ms)
{
    struct kf_leave_group_request leave;
    struct kf_leave_group_response left;
    kf_reset(&kf_schema_of_leave_group_request, &leave);
    leave.group_id = text(group);
    leave.member_id = text(join(group));
    kf_broker_advance(broker, stays_ms);
    ask(KF_API_LEAVE_GROUP, 2, &leave, &left);
    cr_assert(eq(i16, left.error_code, 0));
}

/* What is committed for the group after expiry now; -1: nothing, and there is no such group. */
static int64_t left_of(const char *group)
{
    const char *state;
    kf_broker_expire_offsets(broker);
    int64_t offset = kf_broker_committed(broker, group, "t", 0);
    kf_broker_group_members(broker, group, &state);
    cr_assert(eq(str, (char *)(uintptr_t)state, offset < 0 ? "Dead" : "Empty"));
    return offset;
}

Test(offset_expiry, comes_on_demand_after_the_retention)
{
    commit("g", 8, -1);
    kf_broker_advance(broker, MINUTE_MS - 1);
    cr_assert(eq(i64, left_of("g"), 5));
    kf_broker_advance(broker, 7 * 24 * 60 * (int64_t)MINUTE_MS);
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 5), "it went by itself");
    cr_assert(eq(i64, left_of("g"), -1));
}

Test(offset_expiry, is_after_seven_days_where_nothing_is_said)
{
    kf_broker_set_config(broker, KF_BROKER_BROKER, NULL, "offsets.retention.minutes", NULL);
    commit("g", 8, -1);
    kf_broker_advance(broker, 7 * 24 * 60 * (int64_t)MINUTE_MS - 1);
    cr_assert(eq(i64, left_of("g"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("g"), -1));
}

Test(offset_expiry, obeys_the_retention_time_of_an_old_commit)
{
    commit("none", 4, -1);
    commit("short", 2, 1000);
    commit("long", 4, 2 * MINUTE_MS);
    commit("wrapped", 3, INT64_MAX);
    cr_assert(eq(i64, left_of("wrapped"), -1), "Java's sum is negative");
    kf_broker_advance(broker, 999);
    cr_assert(eq(i64, left_of("short"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("short"), -1));
    kf_broker_advance(broker, MINUTE_MS - 1000);
    cr_assert(eq(i64, left_of("none"), -1));
    kf_broker_advance(broker, MINUTE_MS - 1);
    cr_assert(eq(i64, left_of("long"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("long"), -1));
}

Test(offset_expiry, begins_anew_with_each_commit)
{
    commit("g", 8, -1);
    kf_broker_advance(broker, MINUTE_MS - 1);
    commit("g", 8, -1);
    kf_broker_advance(broker, MINUTE_MS - 1);
    cr_assert(eq(i64, left_of("g"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("g"), -1));
}

Test(offset_expiry, counts_from_when_the_group_became_empty)
{
    commit("g", 8, -1);
    live_in("g", 10 * MINUTE_MS);
    kf_broker_advance(broker, MINUTE_MS - 1);
    cr_assert(eq(i64, left_of("g"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("g"), -1));
}

static void restore(void *bytes, size_t size)
{
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_broker_restore(broker, bytes, size, &error), KF_OK), "%s", error.text);
    kf_broker_snapshot_free(broker, bytes);
    dial();
}

Test(offset_expiry, goes_on_counting_after_a_restore)
{
    size_t size;
    commit("alone", 8, -1);
    commit("own", 2, 30000);
    commit("left", 8, -1);
    live_in("left", 10000);
    kf_broker_advance(broker, 10000);
    void *bytes = kf_broker_snapshot(broker, &size);
    kf_broker_advance(broker, 9999);
    restore(bytes, size);
    cr_assert(eq(i64, left_of("own"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("own"), -1));
    kf_broker_advance(broker, 29999);
    cr_assert(eq(i64, left_of("alone"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("alone"), -1));
    kf_broker_advance(broker, 9999);
    cr_assert(eq(i64, left_of("left"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("left"), -1));
}

/* Who was in it is not in the snapshot. */
Test(offset_expiry, a_group_with_members_is_empty_since_the_restore)
{
    size_t size;
    commit("g", 8, -1);
    join("g");
    void *bytes = kf_broker_snapshot(broker, &size);
    kf_broker_advance(broker, 10 * MINUTE_MS);
    restore(bytes, size);
    kf_broker_advance(broker, MINUTE_MS - 1);
    cr_assert(eq(i64, left_of("g"), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, left_of("g"), -1));
}

static bool journal_has(const char *line)
{
    static char bytes[1 << 16];
    FILE *file = fopen(journal, "r");
    bytes[fread(bytes, 1, sizeof bytes - 1, file)] = 0;
    fclose(file);
    return strstr(bytes, line) != NULL;
}

Test(offset_expiry, comes_by_itself_where_a_script_says_so)
{
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_broker_script(broker, "every 50s expire offsets", &error), KF_OK), "%s",
              error.text);
    commit("g", 8, -1);
    kf_broker_advance(broker, 99999);
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), 5));
    kf_broker_advance(broker, 1);
    cr_assert(eq(i64, kf_broker_committed(broker, "g", "t", 0), -1));
    cr_assert(journal_has("{\"time_ms\":1767225700000,\"event\":\"expire offsets\",\"node\":0,"
                          "\"partition\":0,\"number\":0,\"result\":\"OK\",\"name\":null}\n"));
}
