/*
 * connections: 1,000 at once: opening them, the memory they take, and Produce
 * on each in turn: one request at a time, and all of them together.
 */
#include "tools/bench/broker/rows.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CONNECTIONS = 1000,
    TURNS = 20,
};

static struct wire wires[CONNECTIONS];

static void introduce(struct wire *wire)
{
    struct kf_api_versions_request request;
    struct kf_api_versions_response response;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    request.client_software_name = string_of("bench");
    request.client_software_version = string_of("1");
    wire_call(wire, KF_API_API_VERSIONS, 3, &request, &response);
    must_be_good(response.error_code, "ApiVersions");
}

static void send_one(struct wire *wire, kf_bytes batch)
{
    struct kf_produce_request_partition_produce_data partition = {.index = 0, .records = batch};
    struct kf_produce_request_topic_produce_data topic = {.name = string_of("connections")};
    struct kf_produce_request request;
    kf_reset(&kf_schema_of_produce_request, &request);
    topic.partition_data.items = &partition;
    topic.partition_data.count = 1;
    request.acks = -1;
    request.timeout_ms = 30000;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    wire_send(wire, KF_API_PRODUCE, 9, &request);
}

static void take_one(struct wire *wire)
{
    struct kf_produce_response response;
    wire_receive(wire, KF_API_PRODUCE, 9, &response);
    must_be_good(response.responses.items[0].partition_responses.items[0].error_code, "Produce");
}

static void one_at_a_time(kf_bytes batch)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        send_one(&wires[i], batch);
        take_one(&wires[i]);
    }
}

static void all_together(kf_bytes batch)
{
    for (int i = 0; i < CONNECTIONS; i++)
        send_one(&wires[i], batch);
    for (int i = 0; i < CONNECTIONS; i++)
        take_one(&wires[i]);
}

/* CPU time of the broker for one Produce, in microseconds. */
static double cost_of(const struct target *target, void (*turn)(kf_bytes batch), kf_bytes batch)
{
    double cpu = target_cpu_s(target);
    for (int i = 0; i < TURNS; i++)
        turn(batch);
    return (target_cpu_s(target) - cpu) / (double)(TURNS * CONNECTIONS) * 1e6;
}

void measure_connections(const struct target *target)
{
    kf_bytes batch = make_batch(1);
    struct wire first;
    wire_open(&first, target);
    create_topic(&first, "connections", 1);
    double memory = target_memory_mb(target), cpu = target_cpu_s(target);
    for (int i = 0; i < CONNECTIONS; i++) {
        wire_open(&wires[i], target);
        introduce(&wires[i]);
    }
    printf("connections_open_cpu_s %.2f\n", target_cpu_s(target) - cpu);
    printf("connections_memory_mb %.1f\n", target_memory_mb(target) - memory);
    printf("connections_single_cpu_us %.1f\n", cost_of(target, one_at_a_time, batch));
    printf("connections_together_cpu_us %.1f\n", cost_of(target, all_together, batch));
    for (int i = 0; i < CONNECTIONS; i++)
        wire_close(&wires[i]);
    wire_close(&first);
    free((void *)batch.data);
}
