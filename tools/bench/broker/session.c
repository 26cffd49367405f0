/*
 * session: 10,000 partitions in one fetch session (KIP-227): opening it,
 * asking when there is nothing, and hearing of one partition among them.
 */
#include "tools/bench/broker/rows.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PARTITIONS = 10000,
    EMPTY = 500,
    NEWS = 500,
};

static const char topic_name[] = "session";
static struct kf_fetch_request_fetch_partition partitions[PARTITIONS];

struct session {
    struct wire wire;
    int32_t id;
    int32_t epoch; /* of the next request */
};

/* With news of partitions [from, from + count). */
static void fetch(struct session *session, int32_t from, int32_t count, int32_t wait_ms,
                  struct kf_fetch_response *response)
{
    struct kf_fetch_request_fetch_topic topic = {.topic = string_of(topic_name)};
    struct kf_fetch_request request;
    kf_reset(&kf_schema_of_fetch_request, &request);
    topic.partitions.items = partitions + from;
    topic.partitions.count = count;
    request.max_wait_ms = wait_ms;
    request.min_bytes = 1;
    request.session_id = session->id;
    request.session_epoch = session->epoch++;
    request.topics.items = &topic;
    request.topics.count = count > 0;
    wire_call(&session->wire, KF_API_FETCH, 12, &request, response);
    must_be_good(response->error_code, "Fetch");
}

static void open_session(struct session *session)
{
    struct kf_fetch_response response;
    for (int32_t p = 0; p < PARTITIONS; p++)
        partitions[p] = fetch_from(p, 0);
    fetch(session, 0, PARTITIONS, 0, &response);
    if (response.responses.count != 1 || response.responses.items[0].partitions.count != PARTITIONS)
        die("the first answer of a session lacks partitions");
    session->id = response.session_id;
    if (!session->id)
        die("the broker opens no session");
}

static void produce_to(struct wire *wire, int32_t index, kf_bytes batch)
{
    struct kf_produce_request_partition_produce_data partition = {.index = index, .records = batch};
    struct kf_produce_request_topic_produce_data topic = {.name = string_of(topic_name)};
    struct kf_produce_request request;
    struct kf_produce_response response;
    kf_reset(&kf_schema_of_produce_request, &request);
    topic.partition_data.items = &partition;
    topic.partition_data.count = 1;
    request.acks = -1;
    request.timeout_ms = 30000;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    wire_call(wire, KF_API_PRODUCE, 9, &request, &response);
    must_be_good(response.responses.items[0].partition_responses.items[0].error_code, "Produce");
}

/* Writes to one partition and asks: exactly that one is in the answer. */
static void hear_of(struct session *session, int32_t index, int32_t previous, kf_bytes batch)
{
    struct kf_fetch_response response;
    produce_to(&session->wire, index, batch);
    fetch(session, previous < 0 ? 0 : previous, previous >= 0, 500, &response);
    if (response.responses.count != 1 || response.responses.items[0].partitions.count != 1)
        die("not one partition in the answer");
    const struct kf_fetch_response_partition_data *data =
        &response.responses.items[0].partitions.items[0];
    must_be_good(data->error_code, "Fetch");
    if (data->partition_index != index || data->records.size != batch.size)
        die("another partition in the answer");
    partitions[index].fetch_offset = 1;
}

void measure_session(const struct target *target)
{
    struct session session = {0};
    struct kf_fetch_response response;
    kf_bytes batch = make_batch(1);
    wire_open(&session.wire, target);
    create_topic(&session.wire, topic_name, PARTITIONS);
    double memory = target_memory_mb(target), cpu = target_cpu_s(target);
    open_session(&session);
    printf("session_open_cpu_ms %.0f\n", (target_cpu_s(target) - cpu) * 1e3);
    printf("session_memory_mb %.1f\n", target_memory_mb(target) - memory);
    cpu = target_cpu_s(target);
    for (int i = 0; i < EMPTY; i++) {
        fetch(&session, 0, 0, 0, &response);
        if (response.responses.count)
            die("news where there are none");
    }
    printf("session_empty_cpu_us %.0f\n", (target_cpu_s(target) - cpu) / (double)EMPTY * 1e6);
    cpu = target_cpu_s(target);
    for (int32_t i = 0; i < NEWS; i++)
        hear_of(&session, i * (PARTITIONS / NEWS), (i - 1) * (PARTITIONS / NEWS), batch);
    printf("session_news_cpu_us %.0f\n", (target_cpu_s(target) - cpu) / (double)NEWS * 1e6);
    wire_close(&session.wire);
    free((void *)batch.data);
}
