/*
 * Against a real broker: KAFIBER_TEST_BOOTSTRAP=host:port, else skipped.
 * KAFIBER_TEST_STOP is a command that stops it, for the test of what a
 * disconnect looks like.
 */
#include "net/cluster/cluster.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

static struct kf__loop *loop;
static struct kf__cluster *cluster;
static int refreshed, failures;
static char host[128];

TestSuite(broker, .timeout = 60);

static void on_metadata(void *owner, bool changed)
{
    (void)owner;
    (void)changed;
    refreshed++;
}

static void on_fatal(void *owner, kf_err err, const char *text)
{
    (void)owner;
    (void)err;
    cr_log_error("fatal: %s", text);
}

static void on_log(void *owner, const kf_log_event *event)
{
    (void)owner;
    failures += event->level <= KF_LOG_WARNING;
    cr_log_info("%s: %s", event->name, event->text);
}

/* False where there is no broker; cr_skip_test would do, but Criterion leaks its message. */
static bool open_cluster(void)
{
    const char *bootstrap = getenv("KAFIBER_TEST_BOOTSTRAP");
    if (!bootstrap)
        return false;
    snprintf(host, sizeof host, "%s", bootstrap);
    char *colon = strrchr(host, ':');
    cr_assert(ne(ptr, colon, NULL));
    *colon = 0;
    struct kf__host seed = {host, (uint16_t)atoi(colon + 1)};
    struct kf__cluster_settings settings = {.bootstrap = &seed,
                                            .bootstrap_count = 1,
                                            .client_id = "test",
                                            .request_timeout = 10 * KF_SECOND,
                                            .setup_timeout = 5 * KF_SECOND,
                                            .setup_timeout_max = 10 * KF_SECOND,
                                            .reconnect_backoff = 50 * KF_MILLISECOND,
                                            .reconnect_backoff_max = KF_SECOND,
                                            .retry_backoff = 100 * KF_MILLISECOND,
                                            .retry_backoff_max = KF_SECOND,
                                            .metadata_max_age = 300 * KF_SECOND,
                                            .max_idle = 60 * KF_SECOND,
                                            .rebootstrap_after = 300 * KF_SECOND,
                                            .allow_auto_create = true,
                                            .receive_max = 100000000,
                                            .slab_keep = 1 << 24};
    struct kf__cluster_events events = {.metadata = on_metadata, .fatal = on_fatal, .log = on_log};
    cr_assert(eq(int,
                 kf__loop_open(&kf_default_allocator, &kf__real_world, KF__BACKEND_AUTO, &loop),
                 KF_OK));
    cr_assert(eq(int, kf__cluster_open(loop, &settings, &events, &cluster), KF_OK));
    return true;
}

static void close_cluster(void)
{
    kf__cluster_close(cluster);
    kf__loop_close(loop);
}

#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        kf_time end = kf__real_world.now(NULL) + 30 * KF_SECOND;                                   \
        while (!(condition) && kf__real_world.now(NULL) < end)                                     \
            kf__loop_turn(loop, end);                                                              \
        cr_assert(condition);                                                                      \
    } while (0)

static struct {
    bool ended;
    kf_err err;
    int32_t node;
} found;

static void on_coordinator(struct kf__coordinator_search *search, kf_err err, int32_t node)
{
    (void)search;
    found.ended = true;
    found.err = err;
    found.node = node;
}

Test(broker, gives_metadata_versions_and_a_coordinator_and_its_end_is_noticed)
{
    if (!open_cluster())
        return;
    int32_t index;
    cr_assert(eq(int, kf__cluster_add_topic(cluster, "net-test", &index), KF_OK));
    TURN_UNTIL(kf__cluster_topic(cluster, index)->partition_count > 0 &&
               kf__cluster_topic(cluster, index)->partitions[0].leader >= 0);
    const struct kf__topic_info *topic = kf__cluster_topic(cluster, index);
    cr_assert(eq(int, topic->error, KF_OK));
    cr_assert(ge(int, topic->partitions[0].leader_epoch, 0));
    cr_assert(eq(int, kf__cluster_find_topic_id(cluster, &topic->id), index));
    cr_assert(ne(ptr, (void *)kf__cluster_id(cluster), NULL));

    int32_t node = kf__cluster_node_at(cluster, 0);
    struct kf__coordinator_search search = {.key = "some-group",
                                            .key_type = KF__KEY_GROUP,
                                            .deadline = kf__loop_now(loop) + 30 * KF_SECOND,
                                            .done = on_coordinator};
    kf__cluster_find_coordinator(cluster, &search);
    TURN_UNTIL(found.ended);
    cr_assert(eq(int, found.err, KF_OK));
    cr_assert(eq(int, found.node, node));
    int16_t min, max;
    cr_assert(kf__cluster_api_versions(cluster, node, KF_API_FETCH, &min, &max));
    cr_assert(ge(int, max, 11));

    const char *stop = getenv("KAFIBER_TEST_STOP");
    if (stop) {
        failures = 0;
        cr_assert(eq(int, system(stop), 0));
        TURN_UNTIL(failures > 0);
    }
    close_cluster();
}
