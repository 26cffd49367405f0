/*
 * CreateTopics (19), versions 2–7.
 *
 * 4  -1 partitions or replicas: the broker's default (KIP-464). 5 flexible;
 *    what was made is told back (KIP-525). 7 topic ids.
 */
#include "tools/broker/admin/alter_configs.h"
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"

typedef struct kf_create_topics_request_creatable_topic asked_topic;
typedef struct kf_create_topics_response_creatable_topic_result topic_answer;

enum {
    MOST_AT_ONCE = 10000, /* partitions */
};

/* ---- what is asked for ---- */

static kf_err say(kf_err err, char *why, const char *text)
{
    snprintf(why, KF__MAX_WHY_BYTES, "%s", text);
    return err;
}

static kf_err check_counts(const struct kf_broker *broker, int32_t partitions, int32_t replicas,
                           char *why)
{
    int32_t nodes = broker->topics.node_count;
    if (partitions <= 0)
        return say(KF_ERR_INVALID_PARTITIONS, why,
                   "Number of partitions was set to an invalid non-positive value.");
    if (partitions > KF__MAX_PARTITIONS)
        return say(KF_ERR_INVALID_PARTITIONS, why, "Number of partitions is too large.");
    if (replicas <= 0)
        return say(KF_ERR_INVALID_REPLICATION_FACTOR, why,
                   "Replication factor must be larger than 0, or -1 to use the default value.");
    if (replicas <= nodes)
        return KF_OK;
    snprintf(why, KF__MAX_WHY_BYTES,
             "Unable to replicate the partition %d time(s): The target replication factor of %d "
             "cannot be reached because only %d broker(s) are registered or some brokers have all "
             "their log directories cordoned.",
             (int)replicas, (int)replicas, (int)nodes);
    return KF_ERR_INVALID_REPLICATION_FACTOR;
}

/* Partitions 0, 1, 2 … in any order, each once. */
static kf_err check_indexes(struct kf__exchange *exchange, const asked_topic *asked, char *why)
{
    int32_t count = asked->assignments.count;
    bool *seen = kf_arena_alloc(&exchange->arena, (size_t)count * sizeof *seen);
    if (!seen)
        return KF_ERR_NO_MEMORY;
    memset(seen, 0, (size_t)count * sizeof *seen);
    for (int32_t i = 0; i < count; i++) {
        int32_t index = asked->assignments.items[i].partition_index;
        if (index < 0 || index >= count)
            return say(KF_ERR_INVALID_REPLICA_ASSIGNMENT, why,
                       "partitions should be a consecutive 0-based integer sequence");
        if (seen[index]) {
            snprintf(why, KF__MAX_WHY_BYTES,
                     "Found multiple manual partition assignments for partition %d", (int)index);
            return KF_ERR_INVALID_REPLICA_ASSIGNMENT;
        }
        seen[index] = true;
    }
    return KF_OK;
}

static kf_err check_assignments(struct kf__exchange *exchange, const asked_topic *asked, char *why)
{
    if (asked->replication_factor != -1)
        return say(KF_ERR_INVALID_REQUEST, why,
                   "A manual partition assignment was specified, but replication factor was not "
                   "set to -1.");
    if (asked->num_partitions != -1)
        return say(KF_ERR_INVALID_REQUEST, why,
                   "A manual partition assignment was specified, but numPartitions was not set to "
                   "-1.");
    if (asked->assignments.count > KF__MAX_PARTITIONS)
        return say(KF_ERR_INVALID_PARTITIONS, why, "Number of partitions is too large.");
    kf_err err = KF_OK;
    for (int32_t i = 0; !err && i < asked->assignments.count; i++)
        err = kf__topics_check_replicas(
            &exchange->broker->topics, asked->assignments.items[i].broker_ids.items,
            asked->assignments.items[i].broker_ids.count, why, KF__MAX_WHY_BYTES);
    return err ? err : check_indexes(exchange, asked, why);
}

static kf_err check(struct kf__exchange *exchange, const asked_topic *asked, int32_t partitions,
                    int32_t replicas, char *why)
{
    const struct kf_broker *broker = exchange->broker;
    kf_err err = kf__forced(exchange, asked->name, -1);
    if (!err && kf__may_all(exchange)) /* one of the two is enough */
        err = kf__may_topic(exchange, asked->name);
    if (err)
        return say(err, why, kf__kafka_words(err));
    if (kf__text_equal(asked->name, kf__text("__cluster_metadata")))
        return say(KF_ERR_INVALID_REQUEST, why,
                   "Creation of internal topic __cluster_metadata is prohibited.");
    if (!kf__topic_name_is_valid(asked->name)) {
        kf__explain_topic_name(asked->name, why, KF__MAX_WHY_BYTES);
        return KF_ERR_INVALID_TOPIC_EXCEPTION;
    }
    if (kf__broker_topics_find(&broker->topics, asked->name)) {
        snprintf(why, KF__MAX_WHY_BYTES, "Topic '%.*s' already exists.", (int)asked->name.size,
                 asked->name.data);
        return KF_ERR_TOPIC_ALREADY_EXISTS;
    }
    const struct kf__topic *other = kf__topics_lookalike(&broker->topics, asked->name);
    if (other) {
        snprintf(why, KF__MAX_WHY_BYTES, "Topic '%.*s' collides with existing topic: %.*s",
                 (int)asked->name.size, asked->name.data, (int)other->name.size, other->name.data);
        return KF_ERR_INVALID_TOPIC_EXCEPTION;
    }
    err = asked->assignments.count > 0 ? check_assignments(exchange, asked, why)
                                       : check_counts(broker, partitions, replicas, why);
    for (int32_t i = 0; !err && i < asked->configs.count; i++)
        err = kf__check_topic_config(asked->configs.items[i].name, asked->configs.items[i].value,
                                     why);
    return err;
}

/* ---- making it ---- */

static kf_err assign(struct kf_broker *broker, const asked_topic *asked, struct kf__topic *topic)
{
    kf_err err = KF_OK;
    for (int32_t i = 0; !err && i < asked->assignments.count; i++) {
        int32_t index = asked->assignments.items[i].partition_index;
        err = kf__topics_assign(&broker->topics, &topic->partitions[index],
                                asked->assignments.items[i].broker_ids.items,
                                asked->assignments.items[i].broker_ids.count);
    }
    return err;
}

static kf_err create(struct kf_broker *broker, const asked_topic *asked, int32_t partitions,
                     int32_t replicas, struct kf__topic **topic)
{
    kf_err err = kf__broker_create(broker, asked->name, partitions, replicas, topic);
    if (!err)
        err = assign(broker, asked, *topic);
    for (int32_t i = 0; !err && i < asked->configs.count; i++) {
        char room[KF__MAX_LIST_BYTES];
        kf_string key = asked->configs.items[i].name;
        kf_string value = kf__setting_canon(kf__setting_find(KF__RESOURCE_TOPIC, key),
                                            asked->configs.items[i].value, room, sizeof room);
        err = kf__configs_set(&broker->configs, KF__RESOURCE_TOPIC, asked->name, key, value);
    }
    if (!err && asked->configs.count > 0)
        kf__apply_configs(broker, *topic);
    else if (err && *topic)
        kf__broker_delete(broker, *topic);
    return err;
}

/* The whole list, as the topic has it, or would have it. */
static bool list_configs(struct kf__exchange *exchange, const asked_topic *asked,
                         topic_answer *answer)
{
    size_t count;
    struct kf__config_layer layers[KF__MAX_CONFIG_LAYERS];
    const struct kf__setting *rows = kf__settings_of(KF__RESOURCE_TOPIC, &count);
    if (!KF__FILL(exchange, "topics/configs", answer->configs, (int32_t)count))
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t found = kf__configs_layers(&exchange->broker->configs, KF__RESOURCE_TOPIC,
                                          asked->name, exchange->node, &rows[i], layers);
        kf_string fallback = kf__configs_fallback(&exchange->broker->configs, &rows[i]);
        bool is_age = fallback.data != rows[i].value;
        struct kf__config_layer first = {.value = fallback,
                                         .source = is_age ? KF__SOURCE_STATIC : KF__SOURCE_DEFAULT};
        if (found > 0)
            first = layers[0];
        for (int32_t j = 0; j < asked->configs.count; j++)
            if (kf__text_equal(asked->configs.items[j].name, kf__text(rows[i].name))) {
                first.value = asked->configs.items[j].value;
                first.source = KF__SOURCE_TOPIC;
            }
        answer->configs.items[i].name = kf__text(rows[i].name);
        answer->configs.items[i].value = kf__answer_text(exchange, first.value);
        answer->configs.items[i].config_source = (int8_t)first.source;
    }
    return true;
}

/* Topics that ask for none of their own share one list. */
static bool tell_configs(struct kf__exchange *exchange, const asked_topic *asked,
                         topic_answer *answer, topic_answer *plain)
{
    if (asked->configs.count > 0)
        return list_configs(exchange, asked, answer);
    if (!plain->configs.items && !list_configs(exchange, asked, plain))
        return false;
    answer->configs = plain->configs;
    return true;
}

static int32_t partitions_of(const struct kf__exchange *exchange, const asked_topic *asked)
{
    if (asked->assignments.count > 0)
        return asked->assignments.count;
    return asked->num_partitions == -1
               ? (int32_t)kf__broker_config(exchange->broker, "num.partitions")
               : asked->num_partitions;
}

/* Kafka's bound on what one request may do to its metadata. */
static bool asks_too_much(const struct kf__exchange *exchange, const char *marks)
{
    const struct kf_create_topics_request *request = exchange->request;
    int64_t total = 0;
    for (int32_t i = 0; i < request->topics.count; i++) {
        int32_t partitions = partitions_of(exchange, &request->topics.items[i]);
        total += partitions > 0 && marks[i] == KF__ONCE ? partitions : 0;
    }
    return total > MOST_AT_ONCE;
}

/* `plain` lends its list of configs to those that have none of their own. */
static bool answer_one(struct kf__exchange *exchange, const asked_topic *asked,
                       topic_answer *answer, topic_answer *plain)
{
    const struct kf_create_topics_request *request = exchange->request;
    struct kf_broker *broker = exchange->broker;
    bool assigned = asked->assignments.count > 0;
    int32_t partitions = partitions_of(exchange, asked);
    int32_t replicas = asked->replication_factor;
    if (assigned)
        replicas = asked->assignments.items[0].broker_ids.count;
    else if (replicas == -1)
        replicas = (int32_t)kf__broker_config(broker, "default.replication.factor");
    char why[KF__MAX_WHY_BYTES] = "";
    struct kf__topic *topic = NULL;
    kf_err err = check(exchange, asked, partitions, replicas, why);
    if (!err && !request->validate_only)
        err = create(broker, asked, partitions, replicas, &topic);
    answer->error_code = kf__wire_error(err);
    if (err) {
        answer->error_message = kf__answer_text(exchange, kf__text(why));
        return true;
    }
    answer->error_message = (kf_string){0};
    answer->topic_id = topic ? topic->id : kf__topics_new_id(&broker->topics);
    if (kf__may(exchange, KF__ACL_DESCRIBE_CONFIGS, KF__ACL_TOPIC, asked->name)) {
        answer->topic_config_error_code = KF_ERR_TOPIC_AUTHORIZATION_FAILED;
        answer->configs.count = -1;
        return true;
    }
    answer->num_partitions = partitions;
    answer->replication_factor = (int16_t)replicas;
    return exchange->version < 5 || tell_configs(exchange, asked, answer, plain);
}

/* What is named twice is answered once, with an error. */
static const char *mark_twins(struct kf__exchange *exchange)
{
    const struct kf_create_topics_request *request = exchange->request;
    int32_t count = request->topics.count;
    struct kf__named *names = kf_arena_alloc(&exchange->arena, ((size_t)count + 1) * sizeof *names);
    for (int32_t i = 0; names && i < count; i++)
        names[i] = (struct kf__named){.text = request->topics.items[i].name};
    return names ? kf__mark_twins(&exchange->arena, names, count) : NULL;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_create_topics_request *request = exchange->request;
    struct kf_create_topics_response *response = exchange->response;
    const char *marks = mark_twins(exchange);
    if (!marks || !KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    bool too_much = asks_too_much(exchange, marks);
    topic_answer plain = {0};
    int32_t told = 0;
    for (int32_t i = 0; i < request->topics.count; i++) {
        const asked_topic *asked = &request->topics.items[i];
        if (marks[i] == KF__TWIN_AGAIN)
            continue;
        topic_answer *answer = &response->topics.items[told++];
        answer->name = asked->name;
        answer->num_partitions = -1;
        answer->replication_factor = -1;
        if (marks[i] == KF__FIRST_OF_TWINS) {
            answer->error_code = KF_ERR_INVALID_REQUEST;
            answer->error_message = kf__text("Duplicate topic name.");
        } else if (request->timeout_ms <= 0 && !exchange->verdict.error) {
            answer->error_code = KF_ERR_REQUEST_TIMED_OUT; /* before a controller looks at it */
            answer->error_message = (kf_string){0};
        } else if (too_much) {
            answer->error_code = KF_ERR_POLICY_VIOLATION;
            answer->error_message = kf__text("Excessively large number of partitions per request.");
        } else if (!answer_one(exchange, asked, answer, &plain)) {
            return KF__REFUSED;
        }
    }
    response->topics.count = told;
    return KF__ANSWERED;
}

const struct kf__api kf__api_create_topics = {.key = KF_API_CREATE_TOPICS,
                                              .min_version = 2,
                                              .max_version = 7,
                                              .advertised_min = 2,
                                              .handle = handle};
