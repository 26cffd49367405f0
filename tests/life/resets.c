/*
 * resets: in every state of a member's life the broker closes the connection,
 * cuts its answer short, answers noise or falls silent. The member recovers:
 * every record is handled, the end is committed, the run ends well.
 *
 *     life_resets [API-KEY]    only faults of this API
 */
#include <kafiber/broker.h>
#include <kafiber/kafiber.h>
#include <kafiber/messages.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    PARTITIONS = 2,
    RECORDS = 40, /* of each partition */
    HITS = 2,
    PATIENCE_S = 60,
    CUT_BYTES = 6
};

static const struct fault {
    const char *name;
    kf_broker_fault_kind kind;
} faults[] = {
    {"closed before", KF_BROKER_CLOSE}, {"closed after", KF_BROKER_CLOSE_ANSWER},
    {"cut short", KF_BROKER_CUT},       {"noise", KF_BROKER_GARBAGE},
    {"silence", KF_BROKER_DROP_ANSWER},
};

static const struct state {
    const char *name;
    int16_t api;
} states[] = {
    {"ApiVersions", KF_API_API_VERSIONS},
    {"Metadata", KF_API_METADATA},
    {"FindCoordinator", KF_API_FIND_COORDINATOR},
    {"JoinGroup", KF_API_JOIN_GROUP},
    {"SyncGroup", KF_API_SYNC_GROUP},
    {"OffsetFetch", KF_API_OFFSET_FETCH},
    {"ListOffsets", KF_API_LIST_OFFSETS},
    {"Fetch", KF_API_FETCH},
    {"Heartbeat", KF_API_HEARTBEAT},
    {"OffsetCommit", KF_API_OFFSET_COMMIT},
    {"LeaveGroup", KF_API_LEAVE_GROUP},
};

static _Atomic int done[PARTITIONS][RECORDS]; /* how often each record was handled */
static _Atomic int distinct;

static kf_verdict handle(const kf_message *message, void *context)
{
    (void)context;
    if (atomic_fetch_add(&done[message->partition][message->offset], 1) == 0)
        atomic_fetch_add(&distinct, 1);
    return KF_HANDLED;
}

static void hush(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

static void produce(kf_broker *broker, int from, int to)
{
    for (int32_t p = 0; p < PARTITIONS; p++)
        for (int i = from; i < to; i++)
            kf_broker_produce(broker, "orders", p, (kf_bytes){NULL, 0},
                              (kf_bytes){(const uint8_t *)"x", 1}, -1, NULL);
}

static bool handled(int wanted)
{
    const struct timespec step = {.tv_nsec = 5 * 1000 * 1000};
    for (kf_time end = kf_now() + PATIENCE_S * KF_SECOND; atomic_load(&distinct) < wanted;) {
        if (kf_now() > end)
            return false;
        nanosleep(&step, NULL);
    }
    return true;
}

static kf_runtime *start(const kf_broker *broker, kf_error *error)
{
    static const char *const settings[][2] = {
        {"group.id", "reset"},
        {"request.timeout.ms", "1000"},
        {"session.timeout.ms", "10000"},
        {"heartbeat.interval.ms", "50"},
        {"retry.backoff.ms", "10"},
        {"reconnect.backoff.ms", "10"},
        {"rebalance.timeout.ms", "2000"},
        {"socket.connection.setup.timeout.ms", "1000"},
        {"fetch.max.wait.ms", "50"},
        {"auto.commit.interval.ms", "20"},
    };
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), error);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        kf_config_set(config, settings[i][0], settings[i][1], error);
    kf_config_log(config, KF_LOG_ERROR, hush, NULL);
    kf_runtime *runtime = kf_runtime_new(config, error);
    kf_config_free(config);
    kf_runtime_handle(runtime, "orders", KF_AT_LEAST_ONCE, handle, NULL);
    kf_runtime_start(runtime, error);
    return runtime;
}

/* A heartbeat comes by itself, but later than the records. */
static void wait_for_heartbeats(kf_broker *broker, int32_t fault)
{
    const struct timespec step = {.tv_nsec = 5 * 1000 * 1000};
    kf_time end = kf_now() + PATIENCE_S * KF_SECOND;
    while (kf_broker_fault_hits(broker, fault) == 0 && kf_now() < end)
        nanosleep(&step, NULL);
}

/* "" where all went well. */
static const char *live(kf_broker *broker, kf_runtime *runtime, int16_t api, int32_t fault,
                        kf_error *error)
{
    if (!handled(PARTITIONS * RECORDS / 2))
        return "the first half is not handled";
    if (api == KF_API_HEARTBEAT)
        wait_for_heartbeats(broker, fault);
    produce(broker, RECORDS / 2, RECORDS);
    if (!handled(PARTITIONS * RECORDS))
        return "the second half is not handled";
    kf_runtime_stop(runtime);
    if (kf_runtime_wait(runtime, error) != KF_OK)
        return error->text;
    for (int32_t p = 0; p < PARTITIONS; p++)
        if (kf_broker_committed(broker, "reset", "orders", p) != RECORDS)
            return "the end is not committed";
    if (kf_broker_fault_hits(broker, fault) == 0)
        return "the fault was never met";
    return "";
}

static bool survives(const struct state *state, const struct fault *fault)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options options = {
        .size = sizeof options, .thread = true, .group_min_session_timeout_ms = 100};
    kf_broker *broker = kf_broker_start(&options, &error);
    if (!broker || kf_broker_create_topic(broker, "orders", PARTITIONS, 1))
        return false;
    for (int32_t p = 0; p < PARTITIONS; p++)
        for (int i = 0; i < RECORDS; i++)
            atomic_store(&done[p][i], 0);
    atomic_store(&distinct, 0);
    produce(broker, 0, RECORDS / 2);
    const kf_broker_fault rule = {.size = sizeof rule,
                                  .kind = fault->kind,
                                  .api_key = state->api,
                                  .times = fault->kind == KF_BROKER_DROP_ANSWER ? 1 : HITS,
                                  .bytes = CUT_BYTES};
    int32_t id = kf_broker_fault_add(broker, &rule);

    kf_time began = kf_now();
    kf_runtime *runtime = start(broker, &error);
    const char *wrong = live(broker, runtime, state->api, id, &error);
    kf_runtime_close(runtime);
    if (*wrong)
        printf("FAILED: %s %s: %s\n", state->name, fault->name, wrong);
    else
        printf("%s %s: %lld ms\n", state->name, fault->name,
               (long long)((kf_now() - began) / KF_MILLISECOND));
    fflush(stdout);
    kf_broker_stop(broker);
    return *wrong == '\0';
}

/* Noise in answer to the very first request: no broker, see bad_peer. */
static bool ends(const struct state *state, const struct fault *fault)
{
    return state->api == KF_API_API_VERSIONS && fault->kind == KF_BROKER_GARBAGE;
}

int main(int argc, char **argv)
{
    bool fine = true;
    for (size_t s = 0; s < sizeof states / sizeof *states; s++)
        for (size_t f = 0; f < sizeof faults / sizeof *faults; f++)
            if ((argc < 2 || atoi(argv[1]) == states[s].api) && !ends(&states[s], &faults[f]))
                fine = survives(&states[s], &faults[f]) && fine;
    puts(fine ? "ok" : "FAILED");
    return fine ? 0 : 1;
}
