/*
 * rotation: authority, broker's and client's certificates are replaced again
 * and again while records are produced and consumed; every connection is
 * closed each time, so that the new ones are really used. No record is lost,
 * none is handled twice, and nobody is restarted.
 *
 *     life_rotation [ROTATIONS]    8 unless said otherwise
 */
#include "tests/check.h"

#include <kafiber/broker.h>
#include <kafiber/kafiber.h>
#include <kafiber/producer.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PARTITIONS = 3,
    MOST_RECORDS = 1 << 20,
    PATIENCE_S = 60,
    STEP_MS = 100, /* between two rotations */
    PATH_BYTES = 300,
};

static char base[128];
static _Atomic unsigned char handled[PARTITIONS][MOST_RECORDS];
static atomic_int count, repeated, reloads, failures;
static atomic_int stored;

static void path_of(char *path, const char *folder, const char *name)
{
    snprintf(path, PATH_BYTES, "%s/%s/%s", base, folder, name);
}

/* ---- files: as a tool replaces them, by renaming ---- */

static void append_file(FILE *to, const char *folder, const char *name)
{
    char path[PATH_BYTES];
    path_of(path, folder, name);
    FILE *from = fopen(path, "r");
    CHECK(from);
    for (int byte; (byte = fgetc(from)) != EOF;)
        fputc(byte, to);
    fclose(from);
}

/* `name` of one folder, and of another where that is not NULL, becomes live. */
static void replace(const char *name, const char *folder, const char *also)
{
    char part[PATH_BYTES], whole[PATH_BYTES];
    path_of(part, "live", "part");
    path_of(whole, "live", name);
    FILE *file = fopen(part, "w");
    CHECK(file);
    append_file(file, folder, name);
    if (also)
        append_file(file, also, name);
    CHECK(fclose(file) == 0 && rename(part, whole) == 0);
}

/* A new authority with new certificates; the old one is still trusted until the next rotation. */
static void rotate(kf_broker *broker, int number)
{
    char folder[32], before[32], path[PATH_BYTES];
    snprintf(folder, sizeof folder, "%d", number);
    snprintf(before, sizeof before, "%d", number - 1);
    snprintf(path, sizeof path, "%s/%s", base, folder);
    CHECK(kf_broker_make_certificates(path, NULL) == KF_OK);
    replace("ca.pem", folder, number ? before : NULL);
    replace("broker.pem", folder, NULL);
    replace("client.pem", folder, NULL);
    if (broker)
        kf_broker_close_connections(broker);
}

/* ---- both ends ---- */

static kf_verdict handle(const kf_message *message, void *context)
{
    (void)context;
    CHECK(message->offset < MOST_RECORDS);
    if (atomic_fetch_add(&handled[message->partition][message->offset], 1))
        atomic_fetch_add(&repeated, 1);
    atomic_fetch_add(&count, 1);
    return KF_HANDLED;
}

static void count_events(void *context, const kf_log_event *event)
{
    (void)context;
    if (strcmp(event->name, "tls.reloaded") == 0)
        atomic_fetch_add(&reloads, 1);
    if (strcmp(event->name, "tls.reload.failed") == 0) {
        fprintf(stderr, "%s\n", event->text);
        atomic_fetch_add(&failures, 1);
    }
}

static kf_config *configure(const kf_broker *broker)
{
    char path[PATH_BYTES];
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), NULL);
    kf_config_set(config, "security.protocol", "SSL", NULL);
    path_of(path, "live", "ca.pem");
    kf_config_set(config, "ssl.truststore.location", path, NULL);
    path_of(path, "live", "client.pem");
    kf_config_set(config, "ssl.keystore.location", path, NULL);
    kf_config_set(config, "group.id", "rotation", NULL);
    kf_config_set(config, "reconnect.backoff.ms", "5", NULL);
    kf_config_set(config, "reconnect.backoff.max.ms", "50", NULL);
    kf_config_log(config, KF_LOG_INFO, count_events, NULL);
    return config;
}

static kf_broker *start_broker(void)
{
    static const char *const listener[] = {"SSL://127.0.0.1:0"};
    static char keystore[PATH_BYTES], truststore[PATH_BYTES];
    path_of(keystore, "live", "broker.pem");
    path_of(truststore, "live", "ca.pem");
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {.size = sizeof options,
                                 .listeners = listener,
                                 .listener_count = 1,
                                 .thread = true,
                                 .tls_keystore = keystore,
                                 .tls_truststore = truststore,
                                 .tls_client_auth = "required"};
    kf_broker *broker = kf_broker_start(&options, &error);
    kf_error_print(&error, stderr);
    CHECK(broker && kf_broker_create_topic(broker, "t", PARTITIONS, 1) == KF_OK);
    return broker;
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    CHECK(delivery->fate == KF_STORED);
    atomic_fetch_add(&stored, 1);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, (ms % 1000) * 1000000}, NULL);
}

static void produce_some(kf_producer *producer, int records)
{
    for (int i = 0; i < records; i++) {
        kf_record record = {
            .topic = "t", .partition = i % PARTITIONS, .value = {(const uint8_t *)"value", 5}};
        CHECK(kf_produce(producer, &record, take_verdict, NULL, kf_now() + PATIENCE_S * KF_SECOND,
                         NULL) == KF_OK);
    }
}

static int64_t in_the_log(kf_broker *broker)
{
    int64_t all = 0, start, end;
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        CHECK(kf_broker_offsets(broker, "t", partition, &start, &end) == KF_OK);
        all += end - start;
    }
    return all;
}

static void run(int rotations)
{
    char live[PATH_BYTES];
    path_of(live, "live", "");
    CHECK(kf_broker_make_certificates(live, NULL) == KF_OK); /* makes the folder */
    rotate(NULL, 0);
    kf_broker *broker = start_broker();
    kf_config *config = configure(broker);
    kf_runtime *runtime = kf_runtime_new(config, NULL);
    kf_producer *producer = kf_producer_new(config, NULL);
    CHECK(producer && kf_runtime_handle(runtime, "t", KF_AT_LEAST_ONCE, handle, NULL) == KF_OK);
    CHECK(kf_runtime_start(runtime, NULL) == KF_OK);
    int produced = 0;
    for (int i = 1; i <= rotations; i++) {
        for (int part = 0; part < 10; part++, produced += 50) {
            produce_some(producer, 50);
            pause_ms(STEP_MS / 10);
        }
        rotate(broker, i);
    }
    CHECK(kf_producer_close(producer, kf_now() + PATIENCE_S * KF_SECOND) == KF_OK);
    for (int i = 0; i < PATIENCE_S * 100 && atomic_load(&count) < in_the_log(broker); i++)
        pause_ms(10);
    printf("%d rotations: %d records produced, %lld in the log, %d handled, %d twice; %d reloads\n",
           rotations, produced, (long long)in_the_log(broker), atomic_load(&count),
           atomic_load(&repeated), atomic_load(&reloads));
    CHECK(atomic_load(&stored) == produced && in_the_log(broker) >= produced);
    CHECK(atomic_load(&count) == in_the_log(broker) && atomic_load(&repeated) == 0);
    CHECK(atomic_load(&failures) == 0 && atomic_load(&reloads) >= rotations);
    CHECK(kf_runtime_close(runtime) == KF_OK);
    kf_config_free(config);
    kf_broker_stop(broker);
}

int main(int argc, char **argv)
{
    char line[PATH_BYTES];
    kf_error error = KF_ERROR_INIT;
    snprintf(base, sizeof base, "/tmp/kafiber-rotation-%d", (int)getpid());
    snprintf(line, sizeof line, "mkdir -p %s", base);
    CHECK(system(line) == 0);
    if (kf_broker_make_certificates(base, &error) == KF_ERR_NOT_BUILT) {
        puts("skipped: no TLS in this build");
        return 0;
    }
    run(argc > 1 ? atoi(argv[1]) : 8);
    snprintf(line, sizeof line, "rm -rf %s", base);
    return system(line);
}
