/*
 * bytes: CPU time of the broker for a gigabyte in and a gigabyte out: 1 KiB
 * records in batches of 16 KB, one for each of ten partitions in a request,
 * five requests on the way; fetched by up to 1 MB a partition. A topic is
 * written, read and deleted, again and again.
 */
#include "proto/batch/batch.h"
#include "tools/bench/broker/rows.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PARTITIONS = 10,
    RECORDS_A_BATCH = 15, /* 15.5 KB: what fits 16 KB */
    IN_FLIGHT = 5,
    REQUESTS_A_ROUND = 800, /* about 125 MB */
    ROUNDS = 8,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12,
};

static const char topic_name[] = "bytes";

static void take_produced(struct wire *wire)
{
    struct kf_produce_response response;
    wire_receive(wire, KF_API_PRODUCE, PRODUCE_VERSION, &response);
    for (int32_t p = 0; p < PARTITIONS; p++)
        must_be_good(response.responses.items[0].partition_responses.items[p].error_code,
                     "Produce");
}

static double produce_all(struct wire *wire, kf_bytes batch)
{
    struct kf_produce_request_partition_produce_data partitions[PARTITIONS];
    struct kf_produce_request_topic_produce_data topic = {.name = string_of(topic_name)};
    struct kf_produce_request request;
    for (int32_t p = 0; p < PARTITIONS; p++)
        partitions[p] =
            (struct kf_produce_request_partition_produce_data){.index = p, .records = batch};
    kf_reset(&kf_schema_of_produce_request, &request);
    topic.partition_data.items = partitions;
    topic.partition_data.count = PARTITIONS;
    request.acks = -1;
    request.timeout_ms = 30000;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    for (int sent = 0; sent < REQUESTS_A_ROUND; sent++) {
        if (sent >= IN_FLIGHT)
            take_produced(wire);
        wire_send(wire, KF_API_PRODUCE, PRODUCE_VERSION, &request);
    }
    for (int i = 0; i < IN_FLIGHT; i++)
        take_produced(wire);
    return (double)(REQUESTS_A_ROUND * PARTITIONS) * (double)batch.size;
}

/* How many bytes of whole batches, and the offset behind the last of them. */
static double take_batches(kf_bytes records, int64_t *next)
{
    struct kf__batch batch;
    size_t at = 0;
    while (at < records.size && !kf__batch_peek(records.data + at, records.size - at, &batch)) {
        at += batch.size;
        *next = batch.last_offset + 1;
    }
    return (double)at;
}

static double fetch_once(struct wire *wire, int64_t *next)
{
    struct kf_fetch_request_fetch_partition partitions[PARTITIONS];
    struct kf_fetch_request_fetch_topic topic = {.topic = string_of(topic_name)};
    struct kf_fetch_request request;
    struct kf_fetch_response response;
    for (int32_t p = 0; p < PARTITIONS; p++)
        partitions[p] = fetch_from(p, next[p]);
    kf_reset(&kf_schema_of_fetch_request, &request);
    topic.partitions.items = partitions;
    topic.partitions.count = PARTITIONS;
    request.max_wait_ms = 500;
    request.min_bytes = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    wire_call(wire, KF_API_FETCH, FETCH_VERSION, &request, &response);
    must_be_good(response.error_code, "Fetch");
    double got = 0;
    for (int32_t i = 0;
         response.responses.count && i < response.responses.items[0].partitions.count; i++) {
        const struct kf_fetch_response_partition_data *data =
            &response.responses.items[0].partitions.items[i];
        must_be_good(data->error_code, "Fetch");
        got += take_batches(data->records, &next[data->partition_index]);
    }
    return got;
}

void measure_bytes(const struct target *target)
{
    struct wire wire;
    double in = 0, out = 0, cpu_in = 0, cpu_out = 0;
    kf_bytes batch = make_batch(RECORDS_A_BATCH);
    wire_open(&wire, target);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t next[PARTITIONS] = {0};
        create_topic(&wire, topic_name, PARTITIONS);
        double before = target_cpu_s(target);
        double wrote = produce_all(&wire, batch);
        double between = target_cpu_s(target);
        double got = 0;
        while (got < wrote)
            got += fetch_once(&wire, next);
        cpu_in += between - before;
        cpu_out += target_cpu_s(target) - between;
        in += wrote;
        out += got;
        delete_topic(&wire, topic_name);
    }
    wire_close(&wire);
    free((void *)batch.data);
    printf("in_cpu_s_per_gb %.3f\nout_cpu_s_per_gb %.3f\n", cpu_in / in * 1e9, cpu_out / out * 1e9);
    printf("in_and_out_cpu_s_per_gb %.3f\n", cpu_in / in * 1e9 + cpu_out / out * 1e9);
}
