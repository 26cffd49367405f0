#include "runtime/config/config.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static kf_config *config;
static kf_error error;
static struct kf__settings settings;

static void open_config(void)
{
    config = kf_config_new(NULL);
    error = (kf_error)KF_ERROR_INIT;
}

static void close_config(void) { kf_config_free(config); }

TestSuite(config_settings, .init = open_config, .fini = close_config);

static void set(const char *key, const char *value)
{
    cr_assert(eq(int, kf_config_set(config, key, value, &error), KF_OK), "%s", error.text);
}

static void settle(void)
{
    cr_assert(eq(int, kf__config_settings(config, &settings, &error), KF_OK), "%s", error.text);
}

static void contradicts(const char *sentence)
{
    error = (kf_error)KF_ERROR_INIT;
    cr_expect(eq(int, kf__config_settings(config, &settings, &error), KF_ERR_CONFIG));
    cr_expect(eq(str, error.text, (char *)sentence));
}

static void refuses_servers(const char *list, const char *sentence)
{
    error = (kf_error)KF_ERROR_INIT;
    cr_expect(eq(int, kf_config_set(config, "bootstrap.servers", list, &error), KF_ERR_CONFIG));
    cr_expect(eq(str, error.text, (char *)sentence));
}

Test(config_settings, defaults_are_the_secure_ones)
{
    settle();
    cr_expect(eq(sz, settings.server_count, 1));
    cr_expect(eq(str, (char *)settings.servers[0].name, "127.0.0.1"));
    cr_expect(eq(int, settings.servers[0].port, 9092));
    cr_expect(eq(str, (char *)settings.client_id, "kafiber"));
    cr_expect(eq(ptr, (void *)settings.group_id, NULL));
    cr_expect(eq(ptr, (void *)settings.group_instance_id, NULL));
    cr_expect(eq(ptr, (void *)settings.client_rack, NULL));
    cr_expect(eq(int, settings.session_timeout_ms, 45000));
    cr_expect(eq(int, settings.heartbeat_interval_ms, 3000));
    cr_expect(eq(int, settings.rebalance_timeout_ms, 30000));
    cr_expect(eq(int, settings.commit_interval_ms, 1000));
    cr_expect(eq(int, settings.fetch_max_bytes, 52428800));
    cr_expect(eq(i64, settings.memory_budget_bytes, 268435456));
    cr_expect(eq(int, settings.receive_message_max_bytes, 100000000));
    cr_expect(eq(int, settings.decompressed_batch_max_bytes, 134217728));
    cr_expect(eq(int, (int)settings.isolation_level, KF__READ_COMMITTED));
    cr_expect(settings.check_crcs);
    cr_expect(not(settings.allow_auto_create_topics));
    cr_expect(settings.handle_signals);
    cr_expect(eq(int, (int)settings.acks, KF__ACKS_ALL));
    cr_expect(eq(int, (int)settings.metadata_recovery_strategy, KF__RECOVERY_REBOOTSTRAP));
    cr_expect(eq(int, (int)settings.reset, KF__RESET_EARLIEST));
    cr_expect(eq(sz, settings.assignor_count, 1));
    cr_expect(eq(int, (int)settings.assignors[0], KF__ASSIGNOR_COOPERATIVE_STICKY));
    cr_expect(eq(int, settings.worker_threads, -1));
    cr_expect(eq(int, settings.worker_threads_max, 512));
    cr_expect(eq(int, settings.fiber_stack_bytes, 65536));
    cr_expect(eq(i64, settings.connections_max_idle_ms, 540000));
}

Test(config_settings, words_are_read_in_any_case)
{
    set("isolation.level", "READ_UNCOMMITTED");
    set("metadata.recovery.strategy", "None");
    set("compression.type", "zstd");
    set("acks", "-1");
    set("loop.backend", "poll");
    set("check.crcs", "False");
    settle();
    cr_expect(eq(int, (int)settings.isolation_level, KF__READ_UNCOMMITTED));
    cr_expect(eq(int, (int)settings.metadata_recovery_strategy, KF__RECOVERY_NONE));
    cr_expect(eq(int, (int)settings.compression_type, KF__COMPRESSION_ZSTD));
    cr_expect(eq(int, (int)settings.acks, KF__ACKS_ALL));
    cr_expect(eq(int, (int)settings.loop_backend, KF__LOOP_POLL));
    cr_expect(not(settings.check_crcs));
}

Test(config_settings, servers_keep_their_order_and_lose_repeats_and_gaps)
{
    set("bootstrap.servers", "b1:9092 ,[::1]:19092,, B1:9092, PLAINTEXT://10.0.0.7:1,b1:9093,");
    settle();
    cr_assert(eq(sz, settings.server_count, 4));
    cr_expect(eq(str, (char *)settings.servers[0].name, "b1"));
    cr_expect(eq(int, settings.servers[0].port, 9092));
    cr_expect(eq(str, (char *)settings.servers[1].name, "::1"));
    cr_expect(eq(int, settings.servers[1].port, 19092));
    cr_expect(eq(str, (char *)settings.servers[2].name, "10.0.0.7"));
    cr_expect(eq(int, settings.servers[2].port, 1));
    cr_expect(eq(int, settings.servers[3].port, 9093));
}

Test(config_settings, bad_servers_are_named_with_what_is_wrong)
{
    refuses_servers("a:1,broker2", "bootstrap.servers: \"broker2\" has no port: write host:port, "
                                   "such as broker1:9092");
    refuses_servers("::1:9092", "bootstrap.servers: \"::1:9092\" has more than one colon: write an "
                                "IPv6 address as [::1]:9092");
    refuses_servers("[::1]", "bootstrap.servers: \"[::1]\" has no port: write host:port, such as "
                             "broker1:9092");
    refuses_servers("[::1:9", "bootstrap.servers: \"[::1:9\" has no closing bracket");
    refuses_servers("a:0", "bootstrap.servers: \"a:0\" has a port that is not a number from 1 to "
                           "65535");
    refuses_servers("a:65536", "bootstrap.servers: \"a:65536\" has a port that is not a number "
                               "from 1 to 65535");
    refuses_servers(":9092", "bootstrap.servers: \":9092\" has no host in front of the port");
    refuses_servers("http://a:1", "bootstrap.servers: \"http://a:1\" names a protocol that is not "
                                  "supported: write host:port");
    refuses_servers("a b:1", "bootstrap.servers: \"a b:1\" is not a host name or address and a "
                             "port");
    refuses_servers(",", "bootstrap.servers is empty: name at least one host:port");
}

Test(config_settings, assignors_go_by_short_name_or_java_class)
{
    set("partition.assignment.strategy",
        "org.apache.kafka.clients.consumer.RangeAssignor, cooperative-sticky,range,RoundRobin,"
        "org.apache.kafka.clients.consumer.StickyAssignor");
    settle();
    cr_assert(eq(sz, settings.assignor_count, 4));
    cr_expect(eq(int, (int)settings.assignors[0], KF__ASSIGNOR_RANGE));
    cr_expect(eq(int, (int)settings.assignors[1], KF__ASSIGNOR_COOPERATIVE_STICKY));
    cr_expect(eq(int, (int)settings.assignors[2], KF__ASSIGNOR_ROUND_ROBIN));
    cr_expect(eq(int, (int)settings.assignors[3], KF__ASSIGNOR_STICKY));
}

static void goes_back(const char *duration, int64_t ms)
{
    set("auto.offset.reset", duration);
    settle();
    cr_expect(eq(int, (int)settings.reset, KF__RESET_BY_DURATION));
    cr_expect(eq(i64, settings.reset_back_ms, ms), "%s", duration);
}

/* Accepted and refused as java.time.Duration.parse does. */
Test(config_settings, reset_by_duration_reads_iso_8601)
{
    static const char *const wrong[] = {"",
                                        "P",
                                        "PT",
                                        "P1DT",
                                        "P1H",
                                        "PT1D",
                                        "PT1",
                                        "1H",
                                        "PT1M1H",
                                        "P1Y",
                                        "-PT1S",
                                        "PT1.5H",
                                        "PT1.0H",
                                        "PT1S1S",
                                        "PT1.1234567890S",
                                        "PT9999999999999999H"};
    goes_back("by_duration:PT1H", 3600000);
    goes_back("by_duration:P2DT3H4M5.006S", 183845006);
    goes_back("by_duration:p1d", 86400000);
    goes_back("by_duration:PT0.25S", 250);
    goes_back("by_duration:PT0S", 0);
    goes_back("by_duration:-PT-30S", 30000);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[64];
        snprintf(text, sizeof text, "by_duration:%s", wrong[i]);
        cr_expect(eq(int, kf_config_set(config, "auto.offset.reset", text, NULL), KF_ERR_CONFIG),
                  "%s", text);
    }
}

Test(config_settings, reset_words)
{
    set("auto.offset.reset", "none");
    settle();
    cr_expect(eq(int, (int)settings.reset, KF__RESET_NONE));
    set("auto.offset.reset", "latest");
    settle();
    cr_expect(eq(int, (int)settings.reset, KF__RESET_LATEST));
}

Test(config_settings, heartbeats_must_fit_the_session)
{
    set("session.timeout.ms", "3000");
    contradicts("heartbeat.interval.ms (3000) must be smaller than session.timeout.ms (3000), "
                "best a third of it or less");
}

Test(config_settings, a_fetch_must_not_outwait_its_request)
{
    set("fetch.max.wait.ms", "5000");
    set("request.timeout.ms", "5000");
    contradicts("fetch.max.wait.ms (5000) must be smaller than request.timeout.ms (5000), or "
                "every idle fetch times out");
}

Test(config_settings, a_bound_that_was_not_set_gives_way)
{
    set("retry.backoff.ms", "5000");
    set("reconnect.backoff.max.ms", "10");
    set("memory.budget.bytes", "1048576");
    set("worker.threads.max", "4");
    settle();
    cr_expect(eq(i64, settings.retry_backoff_max_ms, 5000));
    cr_expect(eq(i64, settings.reconnect_backoff_ms, 10));
    cr_expect(eq(int, settings.fetch_max_bytes, 1048576));
    cr_expect(eq(int, settings.worker_threads, -1));
}

Test(config_settings, bounds_that_were_both_set_must_agree)
{
    set("handler.retry.backoff.ms", "500");
    set("handler.retry.backoff.max.ms", "499");
    contradicts("handler.retry.backoff.ms (500) must not be larger than "
                "handler.retry.backoff.max.ms (499)");
}

/* A frame limit below a fetch's size would stop a partition for ever. */
Test(config_settings, an_answer_must_hold_what_was_fetched)
{
    set("receive.message.max.bytes", "1000000");
    settle();
    cr_expect(eq(int, settings.fetch_max_bytes, 934464));
    set("fetch.max.bytes", "1000000");
    contradicts("receive.message.max.bytes (1000000) must exceed fetch.max.bytes (1000000) by "
                "65536 or more");
}

Test(config_settings, the_longest_duration_of_java_can_be_added_to_a_clock)
{
    set("connections.max.idle.ms", "9223372036854775807");
    set("metadata.max.age.ms", "9223372036854775807");
    settle();
    cr_expect(eq(i64, settings.connections_max_idle_ms, 4611686018427));
    cr_expect(eq(i64, settings.metadata_max_age_ms, 4611686018427));
}

Test(config_settings, the_cluster_gets_nanoseconds)
{
    struct kf__cluster_settings cluster = {.slab_keep = 7};
    set("metadata.recovery.strategy", "none");
    set("connections.max.idle.ms", "-1");
    settle();
    kf__settings_for_cluster(&settings, &cluster);
    cr_expect(eq(sz, cluster.bootstrap_count, 1));
    cr_expect(eq(i64, cluster.request_timeout, 30 * KF_SECOND));
    cr_expect(eq(i64, cluster.setup_timeout, 10 * KF_SECOND));
    cr_expect(eq(i64, cluster.setup_timeout_max, 30 * KF_SECOND));
    cr_expect(eq(i64, cluster.reconnect_backoff, 50 * KF_MILLISECOND));
    cr_expect(eq(i64, cluster.reconnect_backoff_max, KF_SECOND));
    cr_expect(eq(i64, cluster.retry_backoff, 100 * KF_MILLISECOND));
    cr_expect(eq(i64, cluster.retry_backoff_max, KF_SECOND));
    cr_expect(eq(i64, cluster.metadata_max_age, 300 * KF_SECOND));
    cr_expect(eq(i64, cluster.max_idle, KF_FOREVER));
    cr_expect(eq(i64, cluster.rebootstrap_after, KF_FOREVER));
    cr_expect(eq(sz, cluster.receive_max, 100000000));
    cr_expect(eq(sz, cluster.slab_keep, 7));
}

Test(config_settings, without_a_configuration_there_was_no_memory)
{
    cr_expect(eq(int, kf__config_settings(NULL, &settings, &error), KF_ERR_NO_MEMORY));
}

static void ignore_event(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

Test(config_settings, the_log_goes_where_it_was_sent)
{
    settle();
    cr_expect(eq(int, (int)settings.log_level, KF_LOG_WARNING));
    cr_expect(settings.log == NULL);
    kf_config_log(config, KF_LOG_DEBUG, ignore_event, &error);
    settle();
    cr_expect(eq(int, (int)settings.log_level, KF_LOG_DEBUG));
    cr_expect(settings.log == ignore_event);
    cr_expect(eq(ptr, settings.log_context, &error));
}
