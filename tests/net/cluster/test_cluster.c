#include "tests/net/fake_world.h"

static struct kf__world world;
static struct kf__loop *loop;
static struct kf__cluster *cluster;
static struct kf__cluster_settings settings;
static struct {
    int refreshes;
    int changes;
    int fatals;
    kf_err fatal;
    char fatal_text[512];
    int warnings;
    char warning[512];
} told;

static void on_metadata(void *owner, bool changed)
{
    (void)owner;
    told.refreshes++;
    told.changes += changed;
}

static void on_fatal(void *owner, kf_err err, const char *text)
{
    (void)owner;
    told.fatals++;
    told.fatal = err;
    snprintf(told.fatal_text, sizeof told.fatal_text, "%s", text);
}

static void on_log(void *owner, const kf_log_event *event)
{
    (void)owner;
    if (event->level > KF_LOG_WARNING)
        return;
    told.warnings++;
    snprintf(told.warning, sizeof told.warning, "%s", event->text);
}

static const struct kf__host one_seed[] = {{"b1", FAKE_PORT + 1}};

static void prepare(void)
{
    fake_begin();
    memset(&told, 0, sizeof told);
    settings = (struct kf__cluster_settings){.bootstrap = one_seed,
                                             .bootstrap_count = 1,
                                             .client_id = "test",
                                             .request_timeout = 30 * KF_SECOND,
                                             .setup_timeout = 10 * KF_SECOND,
                                             .setup_timeout_max = 30 * KF_SECOND,
                                             .reconnect_backoff = 50 * KF_MILLISECOND,
                                             .reconnect_backoff_max = KF_SECOND,
                                             .retry_backoff = 100 * KF_MILLISECOND,
                                             .retry_backoff_max = KF_SECOND,
                                             .metadata_max_age = 300 * KF_SECOND,
                                             .max_idle = 540 * KF_SECOND,
                                             .rebootstrap_after = 300 * KF_SECOND,
                                             .receive_max = 1 << 20,
                                             .slab_keep = 1 << 20};
}

static void open_cluster(void)
{
    world = fake_world_with_sockets();
    struct kf__cluster_events events = {.metadata = on_metadata, .fatal = on_fatal, .log = on_log};
    cr_assert(
        eq(int, kf__loop_open(&kf_default_allocator, &world, KF__BACKEND_AUTO, &loop), KF_OK));
    cr_assert(eq(int, kf__cluster_open(loop, &settings, &events, &cluster), KF_OK));
}

static void finish(void)
{
    kf__cluster_close(cluster);
    kf__loop_close(loop);
    fake_end();
}

TestSuite(cluster, .init = prepare, .fini = finish, .timeout = 60);

static void run(kf_time duration) { fake_run(loop, duration); }

/* A cluster that knows "orders" at index 0. */
static const struct kf__topic_info *know_orders(void)
{
    int32_t index = -1;
    open_cluster();
    cr_assert(eq(int, kf__cluster_add_topic(cluster, "orders", &index), KF_OK));
    cr_assert(eq(int, index, 0));
    run(KF_SECOND);
    cr_assert(eq(int, told.refreshes, 1));
    return kf__cluster_topic(cluster, 0);
}

static void refresh(void)
{
    run(2 * KF_SECOND);
    kf__cluster_refresh(cluster);
    run(2 * KF_SECOND);
}

/* ---- metadata ---- */

Test(cluster, learns_brokers_topics_and_leaders_from_a_bootstrap_host)
{
    fake.brokers[2].rack = "west";
    const struct kf__topic_info *orders = know_orders();
    cr_assert(eq(int, told.changes, 1));
    cr_assert(eq(int, kf__cluster_node_count(cluster), 3));
    cr_assert(eq(int, kf__cluster_node_at(cluster, 2), 3));
    cr_assert(eq(int, kf__cluster_controller(cluster), 2));
    cr_assert(eq(str, (char *)kf__cluster_id(cluster), "C1"));
    cr_assert(eq(str, (char *)kf__cluster_rack(cluster, 2), "west"));
    cr_assert(zero(ptr, (void *)kf__cluster_rack(cluster, 1)));
    cr_assert(eq(str, (char *)kf__cluster_node_name(cluster, 3), "b3:9003"));
    cr_assert(eq(str, (char *)kf__cluster_node_name(cluster, 7), "unknown broker 7"));
    cr_assert(eq(int, orders->partition_count, 2));
    cr_assert(eq(int, orders->partitions[1].leader, 2));
    cr_assert(eq(int, orders->partitions[1].leader_epoch, 7));
    cr_assert(eq(int, orders->partitions[1].replica_count, 2));
    cr_assert(eq(int, orders->partitions[1].replicas[1], 2));
    cr_assert(eq(int, kf__cluster_find_topic(cluster, "orders", 6), 0));
    cr_assert(eq(int, kf__cluster_find_topic_id(cluster, &(kf_uuid){{1}}), 0));
    cr_assert(eq(int, kf__cluster_find_topic_id(cluster, &(kf_uuid){{2}}), -1));
    cr_assert(eq(int, fake.last_topics, 1));
    cr_assert(eq(int, fake.last_version, 13));
    cr_assert(eq(int, fake.open, 0)); /* the bootstrap connection has done its work */
    cr_assert(eq(int, told.warnings, 0));
}

Test(cluster, asks_again_when_it_is_too_old_or_when_asked_but_not_too_often)
{
    know_orders();
    run(298 * KF_SECOND);
    cr_assert(eq(int, told.refreshes, 1));
    run(2 * KF_SECOND);
    cr_assert(eq(int, told.refreshes, 2));
    cr_assert(eq(int, told.changes, 1));
    for (int i = 0; i < 1000; i++) {
        kf__cluster_refresh(cluster);
        run(KF_MILLISECOND);
    }
    run(KF_SECOND);
    cr_assert(le(int, told.refreshes, 2 + 1000 / 80 + 1));
    cr_assert(ge(int, told.refreshes, 2 + 1000 / 120));
}

Test(cluster, ignores_an_older_leader_epoch_of_the_same_topic)
{
    const struct kf__topic_info *orders = know_orders();
    fake.topics[0].partitions[0].leader = 3;
    fake.topics[0].partitions[0].epoch = 4;
    refresh();
    cr_assert(eq(int, orders->partitions[0].leader, 1));
    cr_assert(eq(int, orders->partitions[0].leader_epoch, 5));
    cr_assert(eq(int, told.changes, 1));
    fake.topics[0].partitions[0].epoch = 6;
    refresh();
    cr_assert(eq(int, orders->partitions[0].leader, 3));
    cr_assert(eq(int, told.changes, 2));
}

/* KAFKA-12257: a topic of the same name, created again, begins at epoch 0. */
Test(cluster, takes_the_epochs_of_a_topic_that_was_created_again)
{
    const struct kf__topic_info *orders = know_orders();
    fake.topics[0] =
        (struct fake_topic){.name = "orders", .id = {{9}}, .count = 1, .partitions = {{3, 0, 0}}};
    refresh();
    cr_assert(eq(int, orders->partition_count, 1));
    cr_assert(eq(int, orders->partitions[0].leader, 3));
    cr_assert(eq(int, orders->partitions[0].leader_epoch, 0));
    cr_assert(eq(int, kf__cluster_find_topic_id(cluster, &(kf_uuid){{9}}), 0));
    cr_assert(eq(int, kf__cluster_find_topic_id(cluster, &(kf_uuid){{1}}), -1));
}

Test(cluster, without_topic_ids_believes_an_older_epoch_the_second_time)
{
    fake.max_version[KF_API_METADATA] = 9;
    const struct kf__topic_info *orders = know_orders();
    cr_assert(eq(int, orders->partitions[0].leader_epoch, 5));
    fake.topics[0].partitions[0].leader = 3;
    fake.topics[0].partitions[0].epoch = 0;
    refresh();
    cr_assert(eq(int, orders->partitions[0].leader, 1));
    refresh();
    cr_assert(eq(int, orders->partitions[0].leader, 3));
    cr_assert(eq(int, orders->partitions[0].leader_epoch, 0));
}

Test(cluster, discards_leader_epochs_of_metadata_below_version_nine)
{
    fake.max_version[KF_API_METADATA] = 8;
    const struct kf__topic_info *orders = know_orders();
    cr_assert(eq(int, orders->partitions[0].leader, 1));
    cr_assert(eq(int, orders->partitions[0].leader_epoch, -1));
}

Test(cluster, works_with_brokers_that_know_only_version_zero)
{
    for (int i = 0; i < FAKE_APIS; i++)
        if (fake.max_version[i] > 0)
            fake.max_version[i] = 0;
    const struct kf__topic_info *orders = know_orders();
    cr_assert(eq(int, orders->partition_count, 2));
    cr_assert(zero(ptr, (void *)kf__cluster_id(cluster)));
    cr_assert(eq(int, kf__cluster_controller(cluster), -1));
    cr_assert(eq(int, fake.last_version, 0));
}

Test(cluster, lists_all_topics_and_notices_when_one_goes)
{
    fake.topics[1] =
        (struct fake_topic){.name = "refunds", .id = {{2}}, .count = 1, .partitions = {{1, 0, 0}}};
    open_cluster();
    kf__cluster_want_all_topics(cluster, true);
    run(KF_SECOND);
    cr_assert(eq(int, fake.last_topics, -1));
    cr_assert(eq(int, kf__cluster_topic_count(cluster), 2));
    int32_t refunds = kf__cluster_find_topic(cluster, "refunds", 7);
    cr_assert(eq(int, kf__cluster_topic(cluster, refunds)->error, KF_OK));
    fake.topics[1].name = NULL;
    refresh();
    cr_assert(
        eq(int, kf__cluster_topic(cluster, refunds)->error, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(eq(int, told.changes, 2));
}

Test(cluster, asks_soon_again_for_a_topic_that_is_not_there_yet)
{
    fake.topics[0].error = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    fake.topics[0].count = 0;
    open_cluster();
    int32_t index;
    kf__cluster_add_topic(cluster, "orders", &index);
    run(5 * KF_SECOND);
    cr_assert(ge(int, told.refreshes, 5));
    cr_assert(le(int, told.refreshes, 12));
    cr_assert(eq(int, kf__cluster_topic(cluster, index)->error, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    fake.topics[0].error = 0;
    fake.topics[0].count = 2;
    run(2 * KF_SECOND);
    cr_assert(eq(int, kf__cluster_topic(cluster, index)->partition_count, 2));
    int before = told.refreshes;
    run(100 * KF_SECOND);
    cr_assert(eq(int, told.refreshes, before));
}

Test(cluster, takes_a_newer_leader_from_an_answer_and_ignores_an_older_one)
{
    const struct kf__topic_info *orders = know_orders();
    kf__cluster_learn_leader(cluster, 0, 0, 3, 5);
    cr_assert(eq(int, orders->partitions[0].leader, 1));
    kf__cluster_learn_leader(cluster, 0, 0, 3, 6);
    cr_assert(eq(int, orders->partitions[0].leader, 3));
    kf__cluster_learn_leader(cluster, 0, 99, 3, 6);
    kf__cluster_learn_leader(cluster, 5, 0, 3, 6);
    kf__cluster_learn_node(cluster, 7, (kf_string){"b7", 2}, FAKE_PORT + 7, (kf_string){0});
    cr_assert(kf__cluster_has_node(cluster, 7));
}

Test(cluster, refuses_metadata_of_another_cluster)
{
    know_orders();
    fake.cluster_id = "C2";
    fake.brokers[3].listed = false;
    refresh();
    cr_assert(eq(int, told.fatals, 1));
    cr_assert(eq(int, told.fatal, KF_ERR_CLUSTER_CHANGED));
    cr_assert(ne(ptr, strstr(told.fatal_text, "belongs to cluster C2, not to C1"), NULL));
    cr_assert(kf__cluster_has_node(cluster, 3));
    cr_assert(eq(int, told.refreshes, 1));
}

/* ---- bootstrap ---- */

static const struct kf__host many_seed[] = {{"many", 1}};

Test(cluster, tries_all_addresses_of_a_bootstrap_host_at_once)
{
    settings.bootstrap = many_seed;
    fake.many_count = 3;
    fake.many[0] = 6;
    fake.many[1] = 7;
    fake.many[2] = 2;
    know_orders();
    cr_assert(eq(int, fake.brokers[6].connects, 1));
    cr_assert(eq(int, fake.brokers[7].connects, 1));
}

static const struct kf__host three_seeds[] = {{"nowhere", 1}, {"b7", 1}, {"b3", 1}};

Test(cluster, tries_all_bootstrap_hosts)
{
    settings.bootstrap = three_seeds;
    settings.bootstrap_count = 3;
    know_orders();
}

Test(cluster, spreads_over_the_bootstrap_hosts)
{
    static const struct kf__host seeds[] = {{"b1", 1}, {"b2", 1}, {"b3", 1}};
    settings.bootstrap = seeds;
    settings.bootstrap_count = 3;
    int first[4] = {0};
    open_cluster();
    for (int i = 0; i < 60; i++) {
        if (i) {
            kf__cluster_close(cluster);
            kf__loop_close(loop);
            open_cluster();
        }
        int before[4];
        for (int j = 1; j <= 3; j++)
            before[j] = fake.brokers[j].requests[KF_API_METADATA];
        kf__cluster_refresh(cluster);
        run(KF_SECOND);
        for (int j = 1; j <= 3; j++)
            first[j] += fake.brokers[j].requests[KF_API_METADATA] - before[j];
    }
    for (int j = 1; j <= 3; j++)
        cr_assert(lt(int, 5, first[j]));
}

Test(cluster, waits_for_bootstrap_hosts_that_come_up_later)
{
    for (int i = 0; i < FAKE_BROKERS; i++)
        fake.brokers[i].up = false;
    open_cluster();
    int32_t index;
    kf__cluster_add_topic(cluster, "orders", &index);
    run(120 * KF_SECOND);
    cr_assert(eq(int, told.refreshes, 0));
    cr_assert(le(int, told.warnings, 5));
    cr_assert(ne(ptr, strstr(told.warning, "b1:9001: no connection could be made"), NULL));
    for (int i = 1; i <= 3; i++)
        fake.brokers[i].up = true;
    run(3 * KF_SECOND);
    cr_assert(eq(int, told.refreshes, 1));
}

/* Every broker is replaced, addresses and ids; only the bootstrap name still leads somewhere. */
Test(cluster, bootstraps_again_when_every_known_broker_is_gone)
{
    settings.bootstrap = many_seed;
    fake.many_count = 1;
    fake.many[0] = 1;
    know_orders();
    for (int i = 1; i <= 3; i++)
        fake.brokers[i].up = fake.brokers[i].listed = false;
    for (int i = 4; i <= 6; i++)
        fake.brokers[i].up = fake.brokers[i].listed = true;
    fake.topics[0].partitions[0].leader = 4;
    fake.topics[0].partitions[0].epoch = 8;
    fake.many[0] = 5;
    kf__cluster_refresh(cluster);
    run(30 * KF_SECOND);
    cr_assert(not(kf__cluster_has_node(cluster, 1)));
    cr_assert(kf__cluster_has_node(cluster, 4));
    cr_assert(eq(int, kf__cluster_topic(cluster, 0)->partitions[0].leader, 4));
}

Test(cluster, bootstraps_again_when_a_broker_says_so)
{
    settings.bootstrap = many_seed;
    fake.many_count = 1;
    fake.many[0] = 1;
    know_orders();
    fake.many[0] = 7;
    fake.brokers[7].up = true;
    fake.metadata_error = KF_ERR_REBOOTSTRAP_REQUIRED;
    kf__cluster_refresh(cluster);
    run(KF_SECOND);
    cr_assert(ne(ptr, strstr(told.warning, "the bootstrap servers are asked again"), NULL));
    fake.metadata_error = 0;
    run(3 * KF_SECOND);
    cr_assert(eq(int, told.refreshes, 2));
}

Test(cluster, is_told_when_every_bootstrap_host_speaks_something_else)
{
    fake.brokers[1].greets = "HTTP/1.1 400 Bad Request\r\n";
    open_cluster();
    kf__cluster_refresh(cluster);
    run(10 * KF_SECOND);
    cr_assert(eq(int, told.fatals, 1));
    cr_assert(eq(int, told.fatal, KF_ERR_NOT_KAFKA));
    cr_assert(ne(ptr, strstr(told.fatal_text, "b1:9001 answered as an HTTP server"), NULL));
}

Test(cluster, one_wrong_bootstrap_host_is_not_fatal)
{
    static const struct kf__host seeds[] = {{"b1", 1}, {"b4", 1}};
    settings.bootstrap = seeds;
    settings.bootstrap_count = 2;
    fake.brokers[4].up = true;
    fake.brokers[4].greets = "HTTP/1.1 400 Bad Request\r\n";
    fake.brokers[1].up = false;
    open_cluster();
    kf__cluster_refresh(cluster);
    run(10 * KF_SECOND);
    cr_assert(eq(int, told.fatals, 0));
    fake.brokers[1].up = true;
    run(10 * KF_SECOND);
    cr_assert(eq(int, told.refreshes, 1));
}

/* ---- calls ---- */

struct test_call {
    struct kf__call call;
    int ends;
    kf_err err;
    int32_t node;
};

static struct kf_heartbeat_request heartbeat;

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)call;
    (void)version;
    (void)arena;
    kf_reset(&kf_schema_of_heartbeat_request, &heartbeat);
    *message = &heartbeat;
    return KF_OK;
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct test_call *it = call->owner;
    it->ends++;
    it->err = err;
    it->node = answer ? answer->node : -1;
}

static void send_to(struct test_call *it, int32_t node, enum kf__lane lane, kf_time patience)
{
    it->call = (struct kf__call){.api_key = KF_API_HEARTBEAT,
                                 .deadline = fake.now + patience,
                                 .build = build,
                                 .done = done,
                                 .owner = it};
    it->ends = 0;
    kf__cluster_send(cluster, node, lane, &it->call);
    cr_assert(eq(int, it->ends, 0)); /* never from within */
}

Test(cluster, connects_on_demand_with_one_connection_for_each_lane)
{
    static struct test_call calls[6];
    know_orders();
    send_to(&calls[0], 2, KF__LANE_CONTROL, KF_SECOND);
    send_to(&calls[1], 2, KF__LANE_CONTROL, KF_SECOND);
    send_to(&calls[2], 2, KF__LANE_BACKLOG, KF_SECOND);
    send_to(&calls[3], 2, KF__LANE_LONG_POLL, KF_SECOND);
    send_to(&calls[4], 2, KF__LANE_JOIN, KF_SECOND);
    send_to(&calls[5], 3, KF__LANE_CONTROL, KF_SECOND);
    run(KF_MILLISECOND);
    for (int i = 0; i < 6; i++) {
        cr_assert(eq(int, calls[i].ends, 1));
        cr_assert(eq(int, calls[i].err, KF_OK));
        cr_assert(eq(int, calls[i].node, i < 5 ? 2 : 3));
    }
    cr_assert(eq(int, fake.open, 5));
    int16_t min = -1, max = -1;
    cr_assert(kf__cluster_api_versions(cluster, 2, KF_API_METADATA, &min, &max));
    cr_assert(eq(int, max, 13));
    cr_assert(not(kf__cluster_api_versions(cluster, 1, KF_API_METADATA, &min, &max)));
    cr_assert(not(kf__cluster_api_versions(cluster, 2, KF_API_FETCH, &min, &max)));
    run(541 * KF_SECOND);
    cr_assert(le(int, fake.open, 1)); /* the one that metadata is refreshed on */
}

Test(cluster, an_unknown_broker_ends_the_call_at_the_end_of_the_turn)
{
    static struct test_call one;
    know_orders();
    send_to(&one, 77, KF__LANE_CONTROL, KF_SECOND);
    run(0);
    cr_assert(eq(int, one.err, KF_ERR_NO_BROKER));
}

Test(cluster, a_call_waits_while_its_broker_is_down_and_goes_when_it_is_back)
{
    static struct test_call one;
    know_orders();
    fake.brokers[2].up = false;
    send_to(&one, 2, KF__LANE_CONTROL, 60 * KF_SECOND);
    run(20 * KF_SECOND);
    cr_assert(eq(int, one.ends, 0));
    cr_assert(ge(int, fake.brokers[2].connects, 10));
    cr_assert(le(int, fake.brokers[2].connects, 40));
    fake.brokers[2].up = true;
    run(2 * KF_SECOND);
    cr_assert(eq(int, one.err, KF_OK));
    fake.brokers[2].up = false;
    run(KF_SECOND);
    send_to(&one, 2, KF__LANE_CONTROL, 5 * KF_SECOND);
    run(5 * KF_SECOND);
    cr_assert(eq(int, one.ends, 1));
    cr_assert(eq(int, one.err, KF_ERR_CONNECT_FAILED));
}

Test(cluster, a_broker_that_goes_silent_costs_its_connection_after_the_request_timeout)
{
    static struct test_call one, two;
    know_orders();
    send_to(&one, 2, KF__LANE_CONTROL, KF_SECOND);
    run(KF_MILLISECOND);
    fake.brokers[2].mute = true;
    send_to(&one, 2, KF__LANE_CONTROL, 100 * KF_SECOND);
    run(10 * KF_SECOND);
    send_to(&two, 2, KF__LANE_CONTROL, 100 * KF_SECOND);
    run(20 * KF_SECOND);
    cr_assert(eq(int, one.err, KF_ERR_TIMED_OUT));
    cr_assert(eq(int, two.err, KF_ERR_DISCONNECTED));
}

Test(cluster, a_call_for_any_broker_does_not_wait_for_one_that_is_dead)
{
    static struct test_call one;
    know_orders();
    fake.brokers[1].up = fake.brokers[3].up = false;
    for (int i = 0; i < 20; i++) {
        send_to(&one, KF__NODE_ANY, KF__LANE_CONTROL, KF_SECOND);
        run(10 * KF_MILLISECOND);
        cr_assert(eq(int, one.err, KF_OK));
        cr_assert(eq(int, one.node, 2));
    }
    send_to(&one, KF__NODE_CONTROLLER, KF__LANE_CONTROL, KF_SECOND);
    run(10 * KF_MILLISECOND);
    cr_assert(eq(int, one.node, 2));
}

Test(cluster, a_broker_that_moved_is_called_at_its_new_address)
{
    static struct test_call one, two;
    know_orders();
    fake.brokers[2].mute = true;
    send_to(&one, 2, KF__LANE_CONTROL, 20 * KF_SECOND);
    send_to(&two, 2, KF__LANE_BACKLOG, 20 * KF_SECOND);
    run(KF_MILLISECOND);
    fake.brokers[2].listed = false;
    fake.brokers[5].up = fake.brokers[5].listed = true;
    fake.brokers[5].id = 2;
    refresh();
    cr_assert(eq(str, (char *)kf__cluster_node_name(cluster, 2), "b5:9005"));
    cr_assert(eq(int, one.err, KF_ERR_DISCONNECTED));
    cr_assert(eq(int, two.err, KF_ERR_DISCONNECTED));
    send_to(&one, 2, KF__LANE_CONTROL, 20 * KF_SECOND);
    run(2 * KF_SECOND);
    cr_assert(eq(int, one.err, KF_OK));
    cr_assert(eq(int, fake.brokers[5].requests[KF_API_HEARTBEAT], 1));
}

Test(cluster, calls_that_wait_for_a_broker_that_left_are_ended)
{
    static struct test_call one;
    know_orders();
    fake.brokers[3].up = fake.brokers[3].listed = false;
    fake.topics[0].partitions[1].leader = 2;
    send_to(&one, 3, KF__LANE_CONTROL, 60 * KF_SECOND);
    run(10 * KF_SECOND);
    cr_assert(eq(int, one.ends, 1));
    cr_assert(eq(int, one.err, KF_ERR_NO_BROKER));
    cr_assert(not(kf__cluster_has_node(cluster, 3)));
}

Test(cluster, closing_ends_calls_in_every_state)
{
    static struct test_call sent, waiting, unknown, cancelled;
    know_orders();
    fake.brokers[2].mute = true;
    send_to(&sent, 2, KF__LANE_CONTROL, 60 * KF_SECOND);
    run(KF_MILLISECOND);
    send_to(&waiting, 3, KF__LANE_CONTROL, 60 * KF_SECOND);
    send_to(&unknown, 77, KF__LANE_CONTROL, 60 * KF_SECOND);
    send_to(&cancelled, 3, KF__LANE_CONTROL, 60 * KF_SECOND);
    kf__call_cancel(&cancelled.call);
    kf__cluster_close(cluster);
    cluster = NULL;
    cr_assert(eq(int, sent.err, KF_ERR_CLOSED));
    cr_assert(eq(int, waiting.err, KF_ERR_CLOSED));
    cr_assert(eq(int, unknown.ends, 1));
    cr_assert(eq(int, cancelled.ends, 0));
}

/* librdkafka#1170: each failed set-up left descriptors behind. */
Test(cluster, ten_thousand_failed_set_ups_leave_no_descriptor)
{
    static struct test_call one;
    know_orders();
    fake.brokers[2].greets = "garbage that is no answer at all";
    send_to(&one, 2, KF__LANE_CONTROL, KF_FOREVER - fake.now);
    while (fake.brokers[2].connects < 10000) {
        run(100 * KF_SECOND);
        cr_assert(le(int, fake.open, 3));
    }
    cr_assert(eq(int, one.ends, 0));
    kf__call_cancel(&one.call);
}

/* ---- coordinators ---- */

static struct {
    int ends;
    kf_err err;
    int32_t node;
} found;

static void on_found(struct kf__coordinator_search *search, kf_err err, int32_t node)
{
    (void)search;
    found.ends++;
    found.err = err;
    found.node = node;
}

static struct kf__coordinator_search search;

static void find(int8_t type)
{
    memset(&found, 0, sizeof found);
    search = (struct kf__coordinator_search){
        .key = "group", .key_type = type, .deadline = fake.now + 10 * KF_SECOND, .done = on_found};
    kf__cluster_find_coordinator(cluster, &search);
}

Test(cluster, finds_a_coordinator_in_every_version)
{
    know_orders();
    for (int16_t version = 0; version <= 6; version++) {
        kf__cluster_close(cluster);
        kf__loop_close(loop);
        fake.max_version[KF_API_FIND_COORDINATOR] = version;
        open_cluster();
        find(KF__KEY_GROUP);
        run(KF_SECOND);
        cr_assert(eq(int, found.ends, 1));
        cr_assert(eq(int, found.err, KF_OK));
        cr_assert(eq(int, found.node, 3));
    }
}

Test(cluster, version_zero_knows_no_transaction_coordinators)
{
    fake.max_version[KF_API_FIND_COORDINATOR] = 0;
    open_cluster();
    find(KF__KEY_TRANSACTION);
    run(KF_SECOND);
    cr_assert(eq(int, found.err, KF_ERR_API_NOT_SUPPORTED));
}

Test(cluster, asks_again_while_the_coordinator_is_not_available_and_follows_where_it_moves)
{
    know_orders();
    fake.coordinator_errors[0] = fake.coordinator_errors[1] = KF_ERR_COORDINATOR_NOT_AVAILABLE;
    fake.coordinator_error_count = 2;
    find(KF__KEY_GROUP);
    run(10 * KF_MILLISECOND);
    cr_assert(eq(int, found.ends, 0));
    run(2 * KF_SECOND);
    cr_assert(eq(int, found.node, 3));
    fake.coordinator = 6; /* not in metadata yet */
    fake.brokers[6].up = true;
    find(KF__KEY_GROUP);
    run(KF_SECOND);
    cr_assert(eq(int, found.node, 6));
    static struct test_call one;
    send_to(&one, 6, KF__LANE_JOIN, KF_SECOND);
    run(KF_SECOND);
    cr_assert(eq(int, one.err, KF_OK));
}

Test(cluster, a_coordinator_search_ends_at_its_deadline_or_by_a_final_error)
{
    know_orders();
    fake.coordinator_errors[0] = KF_ERR_GROUP_AUTHORIZATION_FAILED;
    fake.coordinator_error_count = 1;
    find(KF__KEY_GROUP);
    run(KF_SECOND);
    cr_assert(eq(int, found.err, KF_ERR_GROUP_AUTHORIZATION_FAILED));
    for (int i = 0; i < FAKE_BROKERS; i++)
        fake.brokers[i].up = false;
    find(KF__KEY_GROUP);
    run(11 * KF_SECOND);
    cr_assert(eq(int, found.ends, 1));
    cr_assert(ne(int, found.err, KF_OK));
    find(KF__KEY_GROUP);
    run(KF_SECOND);
    kf__coordinator_search_cancel(&search);
    run(20 * KF_SECOND);
    cr_assert(eq(int, found.ends, 0));
}

/* The question that time runs out on says nothing: what the one before it heard does. */
Test(cluster, a_coordinator_search_ends_with_what_it_heard_last)
{
    know_orders();
    fake.coordinator_errors[0] = KF_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    fake.coordinator_error_count = 1;
    find(KF__KEY_GROUP);
    while (fake.coordinator_error_count)
        run(KF_MILLISECOND);
    for (int i = 0; i < FAKE_BROKERS; i++)
        fake.brokers[i].mute = true;
    run(11 * KF_SECOND);
    cr_assert(eq(int, found.ends, 1));
    cr_assert(eq(int, found.err, KF_ERR_COORDINATOR_LOAD_IN_PROGRESS));
}

/* ---- memory ---- */

static int allocations_left;

static void *fail_one(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size && allocations_left-- == 0)
        return NULL;
    return kf_default_allocator.resize(kf_default_allocator.context, pointer, size);
}

static const kf_allocator failing = {fail_one, NULL};

static void live_with(int allocations)
{
    static struct test_call one;
    struct kf__cluster_events events = {.metadata = on_metadata};
    int32_t index;
    allocations_left = allocations;
    loop = NULL;
    cluster = NULL;
    if (kf__loop_open(&failing, &world, KF__BACKEND_AUTO, &loop) ||
        kf__cluster_open(loop, &settings, &events, &cluster) ||
        kf__cluster_add_topic(cluster, "orders", &index))
        return;
    kf__cluster_want_all_topics(cluster, true);
    run(KF_SECOND);
    send_to(&one, 2, KF__LANE_CONTROL, 20 * KF_SECOND);
    find(KF__KEY_GROUP);
    run(30 * KF_SECOND);
    cr_assert(eq(int, one.ends, 1), "allocation %d", allocations);
    cr_assert(eq(int, found.ends, 1), "allocation %d", allocations);
    cr_assert(ge(int, told.refreshes, 1), "allocation %d", allocations);
}

/* Whichever allocation fails, nothing leaks, crashes or stands still for good. */
Test(cluster, survives_the_failure_of_any_one_allocation)
{
    world = fake_world_with_sockets();
    for (int i = 0; i < 150; i++) {
        memset(&told, 0, sizeof told);
        live_with(i);
        kf__cluster_close(cluster);
        kf__loop_close(loop);
        fake_end();
        prepare();
    }
    cluster = NULL;
    loop = NULL;
}
