/*
 * storm: a hundred TLS connections begin at once on one loop, each with a
 * client certificate, while a timer stands for the heartbeats. The loop's
 * thread works on no turn for long: private keys and chains are the helpers'.
 *
 *     life_storm [CONNECTIONS [DIR]]    with the certificates of DIR, where it has some
 */
#include "tests/check.h"

#include "net/conn/link.h"
#include "proto/codec/frame.h"
#include <kafiber/broker.h>
#include <kafiber/fiber.h>
#include <kafiber/messages.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_CONNECTIONS = 1000,
    PATIENCE_S = 60,
    MOST_TURN_MS = 50, /* of processor time: the limit that a heartbeat bears */
};

static struct kf__loop *loop;
static struct kf__world world;
static struct kf__link *links[MOST_CONNECTIONS];
static int opened, failed;
static kf_time worst_beat, last_beat;

static void on_opened(void *owner)
{
    (void)owner;
    opened++;
}

static void on_failed(void *owner, bool was_ready)
{
    (void)was_ready;
    if (failed++ == 0)
        fprintf(stderr, "%s\n", (*(struct kf__link **)owner)->conn.text);
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    static struct kf_metadata_request request;
    (void)call, (void)version, (void)arena;
    kf_reset(&kf_schema_of_metadata_request, &request);
    *message = &request;
    return KF_OK;
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    (void)answer;
    CHECK(err == KF_OK);
    ++*(int *)call->owner;
}

static void beat(struct kf__timer *timer, void *owner)
{
    (void)owner;
    kf_time now = kf_now();
    kf_time late = last_beat ? now - last_beat - KF_MILLISECOND : 0;
    worst_beat = late > worst_beat ? late : worst_beat;
    last_beat = now;
    kf__timer_set(loop, timer, now + KF_MILLISECOND);
}

static double cpu_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* The largest processor time of one turn, in milliseconds. */
static double storm(const struct kf__conn_settings *settings, const char *host, uint16_t port,
                    int connections)
{
    static struct kf__call calls[MOST_CONNECTIONS];
    int answers = 0;
    double worst = 0;
    struct kf__conn_events events = {.opened = on_opened, .failed = on_failed};
    struct kf__timer timer;
    kf_time began = kf_now();
    opened = failed = 0;
    worst_beat = last_beat = 0;
    kf__timer_init(&timer, beat, NULL);
    kf__timer_set(loop, &timer, kf_now());
    for (int i = 0; i < connections; i++) {
        events.owner = &links[i];
        links[i] = kf__link_new(loop, settings, &events, "broker", host, port, i);
        calls[i] = (struct kf__call){.api_key = KF_API_METADATA,
                                     .deadline = kf_now() + PATIENCE_S * KF_SECOND,
                                     .build = build,
                                     .done = done,
                                     .owner = &answers};
        kf__link_send(links[i], &calls[i]);
    }
    while (answers < connections && kf_now() < began + PATIENCE_S * KF_SECOND) {
        double before = cpu_ms();
        CHECK(kf__loop_turn(loop, kf_now() + KF_SECOND) == KF_OK);
        double took = cpu_ms() - before;
        worst = took > worst ? took : worst;
    }
    CHECK(answers == connections && failed == 0);
    printf("%d connections in %.0f ms; longest turn %.2f ms of processor time, a beat at most %.1f "
           "ms late%s\n",
           connections, (double)(kf_now() - began) / 1e6, worst, (double)worst_beat / 1e6,
           world.start_thread ? "" : " (without helper threads)");
    for (int i = 0; i < connections; i++)
        kf__link_free(links[i], KF_ERR_CLOSED);
    kf__timer_cancel(loop, &timer);
    return worst;
}

static kf_broker *start_broker(const char *folder)
{
    static const char *const listener[] = {"SSL://127.0.0.1:0"};
    static char keystore[200], truststore[200];
    snprintf(keystore, sizeof keystore, "%s/broker.pem", folder);
    snprintf(truststore, sizeof truststore, "%s/ca.pem", folder);
    kf_broker_options options = {.size = sizeof options,
                                 .listeners = listener,
                                 .listener_count = 1,
                                 .thread = true,
                                 .tls_keystore = keystore,
                                 .tls_truststore = truststore,
                                 .tls_client_auth = "required"};
    kf_broker *broker = kf_broker_start(&options, NULL);
    CHECK(broker);
    return broker;
}

static void run(const char *folder, int connections, bool helpers)
{
    char trust[200], key[200];
    snprintf(trust, sizeof trust, "%s/ca.pem", folder);
    snprintf(key, sizeof key, "%s/client.pem", folder);
    kf_broker *broker = start_broker(folder);
    struct kf__security_settings wanted = {
        .protocol = KF__SSL, .tls = {.truststore_location = trust, .keystore_location = key}};
    struct kf__conn_settings settings = {.alloc = &kf_default_allocator,
                                         .world = &world,
                                         .slabs = kf__slab_pool_new(&kf_default_allocator, 1 << 20),
                                         .client_id = "storm",
                                         .request_timeout = PATIENCE_S * KF_SECOND,
                                         .setup_timeout = PATIENCE_S * KF_SECOND,
                                         .setup_timeout_max = PATIENCE_S * KF_SECOND,
                                         .max_idle = KF_FOREVER,
                                         .receive_max = 1 << 20};
    world = kf__real_world;
    if (!helpers)
        world.start_thread = NULL;
    CHECK(kf__security_open(&kf_default_allocator, &wanted, &settings.security, NULL) == KF_OK);
    CHECK(kf__loop_open(&kf_default_allocator, &world, KF__BACKEND_AUTO, &loop) == KF_OK);
    const char *colon = strrchr(kf_broker_bootstrap(broker), ':');
    double worst = storm(&settings, "127.0.0.1", (uint16_t)atoi(colon + 1), connections);
    CHECK(!helpers || worst < (double)MOST_TURN_MS);
    kf__loop_close(loop);
    kf__security_release(settings.security);
    kf__slab_pool_drop(settings.slabs);
    kf_broker_stop(broker);
}

int main(int argc, char **argv)
{
    char folder[64], line[128];
    int connections = argc > 1 ? atoi(argv[1]) : 100;
    CHECK(connections > 0 && connections <= MOST_CONNECTIONS);
    if (argc > 2)
        snprintf(folder, sizeof folder, "%s", argv[2]);
    else
        snprintf(folder, sizeof folder, "/tmp/kafiber-storm-%d", (int)getpid());
    if (kf_broker_make_certificates(folder, NULL) == KF_ERR_NOT_BUILT) {
        puts("skipped: no TLS in this build");
        return 0;
    }
    run(folder, connections, true);
    run(folder, connections, false);
    snprintf(line, sizeof line, "rm -rf %s", folder);
    return argc > 2 ? 0 : system(line);
}
