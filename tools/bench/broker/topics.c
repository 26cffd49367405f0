/* topics: 10,000 topics of one partition: making them, asking for all, the memory. */
#include "tools/bench/broker/rows.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TOPICS = 10000,
    AT_ONCE = 500,
    NAME_BYTES = 16,
    ASKED = 20, /* times */
};

static char names[TOPICS][NAME_BYTES];

static void create_some(struct wire *wire, int32_t from)
{
    struct kf_create_topics_request_creatable_topic topics[AT_ONCE] = {0};
    struct kf_create_topics_request request;
    struct kf_create_topics_response response;
    for (int32_t i = 0; i < AT_ONCE; i++) {
        snprintf(names[from + i], NAME_BYTES, "topic-%d", from + i);
        topics[i].name = string_of(names[from + i]);
        topics[i].num_partitions = 1;
        topics[i].replication_factor = 1;
    }
    kf_reset(&kf_schema_of_create_topics_request, &request);
    request.topics.items = topics;
    request.topics.count = AT_ONCE;
    wire_call(wire, KF_API_CREATE_TOPICS, 7, &request, &response);
    for (int32_t i = 0; i < AT_ONCE; i++)
        must_be_good(response.topics.items[i].error_code, "CreateTopics");
}

static void ask_for_all(struct wire *wire)
{
    struct kf_metadata_request request;
    struct kf_metadata_response response;
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.count = -1; /* null: all */
    wire_call(wire, KF_API_METADATA, 12, &request, &response);
    if (response.topics.count != TOPICS)
        die("Metadata does not list all topics");
}

void measure_topics(const struct target *target)
{
    struct wire wire;
    wire_open(&wire, target);
    double memory = target_memory_mb(target), cpu = target_cpu_s(target), time = now_s();
    for (int32_t from = 0; from < TOPICS; from += AT_ONCE)
        create_some(&wire, from);
    printf("topics_create_cpu_s %.2f\ntopics_create_s %.2f\n", target_cpu_s(target) - cpu,
           now_s() - time);
    printf("topics_memory_mb %.1f\n", target_memory_mb(target) - memory);
    cpu = target_cpu_s(target);
    time = now_s();
    for (int i = 0; i < ASKED; i++)
        ask_for_all(&wire);
    printf("topics_metadata_cpu_ms %.1f\ntopics_metadata_ms %.1f\n",
           (target_cpu_s(target) - cpu) / (double)ASKED * 1e3,
           (now_s() - time) / (double)ASKED * 1e3);
    wire_close(&wire);
}
