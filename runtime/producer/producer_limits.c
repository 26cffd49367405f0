/*
 * producer_limits: a record that is too large for its topic is told how large
 * one may be: the topic's max.message.bytes, by DescribeConfigs.
 *
 *   refused ──number known──▶ told with it
 *      └──▶ waits here ──one question for the topic──▶ told, with it or with why not
 *
 * Only what was refused for good waits, for some seconds at most; nothing else
 * does. The number is kept; it is asked for anew where a record below it was
 * refused, or the last question had no answer, but not more often than once a
 * minute. Builds without DescribeConfigs tell the error alone.
 */
#include "runtime/producer/producer_inside.h"

#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOPIC = 2, /* a resource's type: DescribeConfigs.json */
};

#define ANSWER_WITHIN (5 * KF_SECOND)
#define ASK_EVERY     (60 * KF_SECOND)

static const char limit_name[] = "max.message.bytes";

/* ---- telling ---- */

static void explain(const struct kf__out_limit *limit, const struct kf__out_batch *batch,
                    char *words, size_t size)
{
    if (limit->bytes >= 0)
        snprintf(words, size, "its batch takes %zu bytes, and the topic's %s is %lld", batch->size,
                 limit_name, (long long)limit->bytes);
    else
        snprintf(words, size,
                 "its batch takes %zu bytes; what the topic's %s is could not be asked: %s",
                 batch->size, limit_name, kf_err_text(limit->err));
}

static void tell(struct kf_producer *producer, struct kf__out_batch *batch)
{
    char words[KF_ERROR_TEXT_BYTES];
    struct kf__out_answer answer = {
        .err = KF_ERR_MESSAGE_TOO_LARGE,
        .base_offset = -1,
        .append_time = -1,
        .reason = words,
    };
    explain(&batch->partition->topic->limit, batch, words, sizeof words);
    kf__out_batch_end(producer, batch, KF_ERR_MESSAGE_TOO_LARGE, &answer);
}

static void tell_all(struct kf_producer *producer, struct kf__out_topic *topic)
{
    while (!kf__link_is_alone(&topic->limit.waiting))
        tell(producer, KF__OWNER(topic->limit.waiting.next, struct kf__out_batch, link));
}

/* ---- asking ---- */

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)version;
    const struct kf__out_topic *topic = call->owner;
    struct kf_describe_configs_request *request = kf_arena_alloc(arena, sizeof *request);
    struct kf_describe_configs_request_describe_configs_resource *resource =
        kf_arena_alloc(arena, sizeof *resource);
    kf_string *key = kf_arena_alloc(arena, sizeof *key);
    if (!request || !resource || !key)
        return KF_ERR_NO_MEMORY;
    kf_reset(kf_schema_request(KF_API_DESCRIBE_CONFIGS), request);
    *key = (kf_string){limit_name, sizeof limit_name - 1};
    *resource = (struct kf_describe_configs_request_describe_configs_resource){
        .resource_type = TOPIC,
        .resource_name = {topic->name, strlen(topic->name)},
    };
    resource->configuration_keys.items = key;
    resource->configuration_keys.count = 1;
    request->resources.items = resource;
    request->resources.count = 1;
    *message = request;
    return KF_OK;
}

/* -1: not there. */
static int64_t number_of(const struct kf_describe_configs_response_describe_configs_result *result)
{
    for (int32_t i = 0; i < result->configs.count; i++) {
        const struct kf_describe_configs_response_describe_configs_resource_result *row =
            &result->configs.items[i];
        char digits[24] = {0};
        if (row->name.size != sizeof limit_name - 1 || !row->value.data ||
            row->value.size >= sizeof digits ||
            memcmp(row->name.data, limit_name, row->name.size) != 0)
            continue;
        memcpy(digits, row->value.data, row->value.size);
        return strtoll(digits, NULL, 10);
    }
    return -1;
}

static void take_answer(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__out_topic *topic = call->owner;
    struct kf_producer *producer = topic->limit.producer;
    const struct kf_describe_configs_response *response = answer ? answer->message : NULL;
    if (err == KF_ERR_CLOSED) /* what waited here has been told */
        return;
    topic->limit.bytes = -1;
    topic->limit.err = err;
    if (response && response->results.count == 1) {
        topic->limit.err = response->results.items[0].error_code;
        topic->limit.bytes = number_of(&response->results.items[0]);
    }
    if (topic->limit.bytes < 0 && !topic->limit.err)
        topic->limit.err = KF_ERR_UNKNOWN_SERVER_ERROR;
    tell_all(producer, topic);
    kf__producer_look(producer);
}

static void ask(struct kf_producer *producer, struct kf__out_topic *topic, int32_t node)
{
    struct kf__out_limit *limit = &topic->limit;
    kf_time now = kf__loop_now(producer->io.loop);
    limit->producer = producer;
    limit->asked_at = now;
    limit->call = (struct kf__call){
        .api_key = KF_API_DESCRIBE_CONFIGS,
        .max_version = kf_schema_max_version(kf_schema_request(KF_API_DESCRIBE_CONFIGS)),
        .deadline = now + ANSWER_WITHIN,
        .build = build,
        .done = take_answer,
        .owner = topic,
    };
    /* Answers come in order: on the lane of records, a slow one would hold those up. */
    kf__cluster_send(producer->io.cluster, node, KF__LANE_JOIN, &limit->call);
}

/* ---- what the rest asks ---- */

void kf__out_limit_init(struct kf__out_limit *limit)
{
    kf__link_init(&limit->waiting);
    limit->bytes = -1;
}

/* Whether what is known explains the refusal, or had better be believed for a while. */
static bool is_fresh(const struct kf_producer *producer, const struct kf__out_limit *limit,
                     const struct kf__out_batch *batch)
{
    if (!limit->asked_at)
        return false;
    return (limit->bytes >= 0 && (size_t)limit->bytes < batch->size) ||
           kf__loop_now(producer->io.loop) - limit->asked_at < ASK_EVERY;
}

bool kf__out_batch_too_large(struct kf_producer *producer, struct kf__out_batch *batch)
{
    struct kf__out_topic *topic = batch->partition->topic;
    struct kf__out_limit *limit = &topic->limit;
    if (atomic_load(&producer->closing) || !kf_schema_request(KF_API_DESCRIBE_CONFIGS))
        return false;
    batch->cause = KF_ERR_MESSAGE_TOO_LARGE; /* were its time to end meanwhile */
    batch->sequence = -1;
    kf__link_append(&limit->waiting, &batch->link);
    if (kf__call_is_under_way(&limit->call))
        return true;
    if (is_fresh(producer, limit, batch))
        tell_all(producer, topic);
    else
        ask(producer, topic, batch->node->id);
    return true;
}
