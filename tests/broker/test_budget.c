#include "tools/broker/server/budget.h"

#include "broker/help_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(budget, counts_what_is_held_and_forgets_what_is_freed)
{
    struct kf__budget budget;
    kf__budget_init(&budget, &kf_default_allocator, 10000);
    void *one = kf_alloc(&budget.work, 1000);
    void *other = kf_alloc(&budget.state, 2000);
    size_t both = budget.held;
    cr_assert(le(sz, 3000, both));
    cr_assert(le(sz, both, 3064), "and little on top");
    other = kf_realloc(&budget.state, other, 500);
    cr_assert(eq(sz, budget.held, both - 1500));
    kf_free(&budget.work, other); /* either takes what the other gave */
    kf_free(&budget.work, one);
    cr_assert(eq(sz, budget.held, 0));
}

Test(budget, keeps_an_eighth_for_what_does_not_stay)
{
    struct kf__budget budget;
    kf__budget_init(&budget, &kf_default_allocator, 8000);
    cr_assert(eq(ptr, kf_alloc(&budget.state, 7000), NULL), "with its head it is more than 7/8");
    void *state = kf_alloc(&budget.state, 6900);
    cr_assert(ne(ptr, state, NULL));
    cr_assert(eq(ptr, kf_realloc(&budget.state, state, 7100), NULL));
    void *work = kf_alloc(&budget.work, 1000);
    cr_assert(ne(ptr, work, NULL));
    cr_assert(eq(ptr, kf_alloc(&budget.work, 1000), NULL));
    state = kf_realloc(&budget.state, state, 100); /* less is always granted */
    cr_assert(ne(ptr, state, NULL));
    kf_free(&budget.state, state);
    kf_free(&budget.work, work);
    cr_assert(eq(sz, budget.held, 0));
}

Test(budget, is_not_fooled_by_sizes_that_wrap)
{
    struct kf__budget budget;
    kf__budget_init(&budget, &kf_default_allocator, SIZE_MAX);
    cr_assert(eq(ptr, kf_alloc(&budget.work, SIZE_MAX), NULL));
    cr_assert(eq(ptr, kf_alloc(&budget.work, SIZE_MAX - 7), NULL));
    cr_assert(eq(sz, budget.held, 0));
}

/* ---- a broker at its cap ---- */

enum {
    CAP = 8 << 20,
    LARGE = 64 << 10,
    TRIES = 300
};

static kf_broker *broker;
static struct client client;

static void open_broker(void)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options, .thread = true, .memory_max = CAP};
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 1, 1), KF_OK));
    client_open(&client, kf_broker_bootstrap(broker), 1);
}

static void close_broker(void)
{
    client_close(&client);
    kf_broker_stop(broker);
}

TestSuite(broker_cap, .init = open_broker, .fini = close_broker);

static kf_string text(const char *of) { return (kf_string){of, strlen(of)}; }

/* 0, an error, or -100: the connection was closed in place of an answer. */
static int ask(int16_t api, int16_t version, const void *request, void *response)
{
    client_send(&client, api, version, request);
    bool got = client_receive(&client);
    cr_assert(le(sz, kf_broker_memory(broker), CAP));
    if (!got) {
        client_close(&client);
        client_open(&client, kf_broker_bootstrap(broker), 1);
        return -100;
    }
    cr_assert(eq(int, client_decode(&client, api, version, response), KF_OK));
    return 0;
}

static int create(const char *name, int32_t partitions)
{
    struct kf_create_topics_request request;
    struct kf_create_topics_response response;
    struct kf_create_topics_request_creatable_topic topic = {
        .name = text(name), .num_partitions = partitions, .replication_factor = 1};
    kf_reset(&kf_schema_of_create_topics_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    int err = ask(KF_API_CREATE_TOPICS, 4, &request, &response);
    return err ? err : response.topics.items[0].error_code;
}

static int commit(const char *group, const char *metadata)
{
    struct kf_offset_commit_request request;
    struct kf_offset_commit_response response;
    struct kf_offset_commit_request_partition partition = {
        .committed_leader_epoch = -1, .commit_timestamp = -1, .committed_metadata = text(metadata)};
    struct kf_offset_commit_request_topic topic = {.name = text("orders")};
    topic.partitions.items = &partition;
    topic.partitions.count = 1;
    kf_reset(&kf_schema_of_offset_commit_request, &request);
    request.group_id = text(group);
    request.topics.items = &topic;
    request.topics.count = 1;
    int err = ask(KF_API_OFFSET_COMMIT, 8, &request, &response);
    return err ? err : response.topics.items[0].partitions.items[0].error_code;
}

/* Others are served, and what was refused fits again when room is made. */
static void is_well(void)
{
    struct kf_api_versions_request request;
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    cr_assert(eq(int, ask(KF_API_API_VERSIONS, 0, &request, &response), 0));
    cr_assert(eq(int, response.error_code, 0));
}

Test(broker_cap, topics_beyond_it_are_refused_until_others_go)
{
    char name[16];
    int made = 0, err = 0;
    for (; !err && made < TRIES; made++) {
        snprintf(name, sizeof name, "t%d", made);
        err = create(name, 1000);
    }
    cr_assert(eq(int, err, KF_ERR_POLICY_VIOLATION));
    is_well();
    cr_assert(eq(int, create("another", 1000), KF_ERR_POLICY_VIOLATION));
    for (int i = 0; i < made - 1; i++) {
        snprintf(name, sizeof name, "t%d", i);
        cr_assert(eq(int, kf_broker_delete_topic(broker, name), KF_OK));
    }
    cr_assert(eq(int, create("another", 1000), 0));
}

/* Kafka's own bound on one request. */
Test(broker_cap, no_count_of_partitions_takes_more)
{
    cr_assert(eq(int, create("huge", INT32_MAX), KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(int, create("large", 10001), KF_ERR_POLICY_VIOLATION));
    cr_assert(eq(int, create("as much as may be", 10000), KF_ERR_INVALID_TOPIC_EXCEPTION));
    cr_assert(eq(int, create("most", 10000), 0));
    is_well();
}

Test(broker_cap, offsets_beyond_it_are_refused)
{
    static char metadata[4000];
    char group[16];
    int err = 0;
    memset(metadata, 'm', sizeof metadata - 1);
    for (int i = 0; !err && i < 10 * TRIES; i++) {
        snprintf(group, sizeof group, "g%d", i);
        err = commit(group, metadata);
    }
    cr_assert(eq(int, err, KF_ERR_POLICY_VIOLATION));
    is_well();
}

static int fetch(int32_t partitions)
{
    struct kf_fetch_request request;
    struct kf_fetch_response response;
    struct kf_fetch_request_fetch_topic topic = {.topic = text("orders")};
    kf_reset(&kf_schema_of_fetch_request, &request);
    topic.partitions.items = calloc((size_t)partitions, sizeof *topic.partitions.items);
    topic.partitions.count = partitions;
    for (int32_t i = 0; i < partitions; i++) {
        topic.partitions.items[i].partition = i;
        topic.partitions.items[i].current_leader_epoch = -1;
        topic.partitions.items[i].last_fetched_epoch = -1;
        topic.partitions.items[i].log_start_offset = -1;
        topic.partitions.items[i].high_watermark = INT64_MAX;
    }
    request.session_epoch = 0;
    request.topics.items = &topic;
    request.topics.count = 1;
    int err = ask(KF_API_FETCH, 11, &request, &response);
    free(topic.partitions.items);
    return err ? err : response.session_id;
}

/* A session that doesn't fit isn't opened: fetching goes on without. */
Test(broker_cap, fetch_sessions_stay_within_it)
{
    int without = 0;
    for (int i = 0; i < TRIES; i++)
        without += fetch(2000) <= 0;
    cr_assert(lt(int, 0, without));
    is_well();
}

/* What comes slowly and never ends. */
Test(broker_cap, half_requests_close_when_they_are_too_many)
{
    enum {
        CLIENTS = 200
    };
    static struct client others[CLIENTS];
    static uint8_t noise[LARGE] = "\0\x7F\xFF\xFF";
    for (int i = 0; i < CLIENTS; i++) {
        client_open(&others[i], kf_broker_bootstrap(broker), 1);
        client_send_bytes(&others[i], noise, sizeof noise);
        cr_assert(le(sz, kf_broker_memory(broker), CAP));
    }
    for (int i = 0; i < CLIENTS; i++)
        client_close(&others[i]);
    for (int i = 0; i < TRIES && kf_broker_connections(broker) > 1; i++)
        kf_broker_wake(broker);
    client_close(&client);
    client_open(&client, kf_broker_bootstrap(broker), 1);
    is_well();
}
