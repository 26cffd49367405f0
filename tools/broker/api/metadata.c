/*
 * Metadata (3), versions 0–13.
 *
 * 0    an empty list of topics means all; from 1 on null does.
 * 4    auto-creation is the client's choice.
 * 7    leader epochs. 8 authorized operations.
 * 10   topic ids; 12 topics asked for by id. 13 an error for the whole answer.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/log/nearest_replica.h"
#include "tools/broker/state.h"

static bool fill_brokers(struct kf__exchange *exchange, struct kf_metadata_response *response)
{
    const struct kf__topics *topics = &exchange->broker->topics;
    if (!KF__FILL(exchange, "brokers", response->brokers, topics->node_count))
        return false;
    int32_t running = 0;
    for (int32_t node = 1; node <= topics->node_count; node++) {
        if (!topics->runs[node])
            continue;
        struct kf_metadata_response_broker *broker = &response->brokers.items[running++];
        broker->node_id = node;
        broker->host = kf__node_host(exchange);
        broker->port = kf__node_port(exchange, node);
        broker->rack = kf__rack_of(exchange->broker, node);
    }
    response->brokers.count = running;
    return true;
}

/* KIP-966: where nobody leads nobody is in sync; who may lead again is another list. */
static int32_t list_in_sync(const struct kf__partition *partition, int32_t *into)
{
    int32_t count = 0;
    for (int32_t i = 0; i < partition->replica_count && partition->leader >= 0; i++)
        if (kf__is_in_sync(partition, partition->replicas[i]))
            into[count++] = partition->replicas[i];
    return count;
}

static int32_t list_offline(const struct kf__topics *topics, const struct kf__partition *partition,
                            int32_t *into)
{
    int32_t count = 0;
    for (int32_t i = 0; i < partition->replica_count; i++)
        if (!topics->runs[partition->replicas[i]])
            into[count++] = partition->replicas[i];
    return count;
}

static bool fill_partition(struct kf__exchange *exchange, const struct kf__topic *topic,
                           int32_t index, struct kf_metadata_response_partition *answer)
{
    const struct kf__partition *partition = &topic->partitions[index];
    const struct kf__topics *topics = &exchange->broker->topics;
    int32_t *ids = kf__answer_ints(exchange, partition->replica_count * 3);
    if (!ids)
        return false;
    kf_err err = kf__forced(exchange, topic->name, index);
    if (!err && partition->leader < 0)
        err = KF_ERR_LEADER_NOT_AVAILABLE;
    answer->error_code = kf__wire_error(err);
    answer->partition_index = index;
    answer->leader_id = err == KF_ERR_LEADER_NOT_AVAILABLE ? -1 : partition->leader;
    answer->leader_epoch = partition->leader_epoch;
    for (int32_t i = 0; i < partition->replica_count; i++)
        ids[i] = partition->replicas[i];
    answer->replica_nodes.items = ids;
    answer->replica_nodes.count = partition->replica_count;
    answer->isr_nodes.items = ids + partition->replica_count;
    answer->isr_nodes.count = list_in_sync(partition, answer->isr_nodes.items);
    answer->offline_replicas.items = ids + 2 * (size_t)partition->replica_count;
    answer->offline_replicas.count =
        list_offline(topics, partition, answer->offline_replicas.items);
    return true;
}

static bool fill_topic(struct kf__exchange *exchange, const struct kf__topic *topic,
                       struct kf_metadata_response_topic *answer)
{
    kf_err forced = kf__forced(exchange, topic->name, -1);
    answer->error_code = kf__wire_error(forced);
    answer->name = kf__answer_text(exchange, topic->name);
    answer->topic_id = topic->id;
    answer->is_internal = kf__topic_is_internal(topic->name);
    const struct kf_metadata_request *request = exchange->request;
    if (forced)
        return true;
    if (request->include_topic_authorized_operations)
        answer->topic_authorized_operations =
            kf__allowed_operations(exchange, KF__ACL_TOPIC, topic->name);
    if (!KF__FILL(exchange, "topics/partitions", answer->partitions, topic->partition_count))
        return false;
    for (int32_t i = 0; i < topic->partition_count; i++)
        if (!fill_partition(exchange, topic, i, &answer->partitions.items[i]))
            return false;
    return true;
}

static bool fill_all_topics(struct kf__exchange *exchange, struct kf_metadata_response *response)
{
    const struct kf__topics *topics = &exchange->broker->topics;
    if (!KF__FILL(exchange, "topics", response->topics, (int32_t)topics->count))
        return false;
    response->topics.count = 0;
    for (size_t i = 0; i < topics->count; i++) {
        if (kf__may_topic(exchange, topics->items[i]->name))
            continue; /* what one may not see isn't there */
        if (!fill_topic(exchange, topics->items[i],
                        &response->topics.items[response->topics.count++]))
            return false;
    }
    return true;
}

static bool is_zero(kf_uuid id)
{
    static const kf_uuid zero;
    return memcmp(id.bytes, zero.bytes, sizeof zero.bytes) == 0;
}

static bool may_create(const struct kf__exchange *exchange)
{
    const struct kf_metadata_request *request = exchange->request;
    bool asked = exchange->version < 4 || request->allow_auto_topic_creation;
    return asked && kf__broker_config(exchange->broker, "auto.create.topics.enable");
}

/* By name, made where it is missing and may be: who asks again finds it (KRaft says so, because
 * its controllers make topics while the answer is on its way). */
static kf_err topic_by_name(struct kf__exchange *exchange, kf_string name, struct kf__topic **topic)
{
    struct kf_broker *broker = exchange->broker;
    *topic = kf__broker_topics_find(&broker->topics, name);
    kf_err refused = kf__may_topic(exchange, name);
    if (*topic || refused)
        return refused;
    if (!kf__topic_name_is_valid(name))
        return KF_ERR_INVALID_TOPIC_EXCEPTION;
    if (!may_create(exchange))
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (kf__may(exchange, KF__ACL_CREATE, KF__ACL_CLUSTER, kf__cluster_name()) &&
        kf__may(exchange, KF__ACL_CREATE, KF__ACL_TOPIC, name))
        return KF_ERR_TOPIC_AUTHORIZATION_FAILED;
    enum kf__internal which;
    struct kf__topic *made;
    kf_err err = KF_OK;
    if (kf__internal_by_name(name, &which))
        kf__internal_topic_of(broker, which);
    else
        err = kf__broker_create(broker, name, -1, -1, &made);
    return err == KF_ERR_NO_MEMORY ? err : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool fill_asked(struct kf__exchange *exchange, const struct kf_metadata_request_topic *asked,
                       struct kf_metadata_response_topic *answer)
{
    struct kf__topic *topic = NULL;
    kf_err err = KF_OK;
    bool by_name = is_zero(asked->topic_id); /* Java's clients send an id and an empty name */
    if (by_name) {
        err = topic_by_name(exchange, asked->name, &topic);
    } else {
        topic = kf__broker_topics_find_id(&exchange->broker->topics, asked->topic_id);
        err = topic ? kf__may_topic(exchange, topic->name) : KF_ERR_UNKNOWN_TOPIC_ID;
    }
    if (topic && !err)
        return fill_topic(exchange, topic, answer);
    answer->error_code = kf__wire_error(err);
    answer->is_internal =
        err == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION && kf__topic_is_internal(asked->name);
    answer->name = by_name ? asked->name : (kf_string){0};
    answer->topic_id = asked->topic_id;
    return true;
}

/*
 * What makes Kafka refuse the whole request: ids, or no name, before it knows
 * ids (INVALID_REQUEST); later on neither name nor id, which it stumbles over.
 */
static kf_err check_asked(const struct kf__exchange *exchange)
{
    const struct kf_metadata_request *request = exchange->request;
    for (int32_t i = 0; i < request->topics.count; i++) {
        const struct kf_metadata_request_topic *asked = &request->topics.items[i];
        if (exchange->version < 12 && (!asked->name.data || !is_zero(asked->topic_id)))
            return KF_ERR_INVALID_REQUEST;
        if (!asked->name.data && is_zero(asked->topic_id))
            return KF_ERR_UNKNOWN_SERVER_ERROR;
    }
    return KF_OK;
}

/* No brokers, and the error for each topic. */
static enum kf__outcome refuse_all(struct kf__exchange *exchange, kf_err err)
{
    const struct kf_metadata_request *request = exchange->request;
    struct kf_metadata_response *response = exchange->response;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->topics.count; i++) {
        kf_string name = request->topics.items[i].name;
        response->topics.items[i].error_code = kf__wire_error(err);
        response->topics.items[i].name = name.data ? name : kf__text("");
        response->topics.items[i].topic_id = request->topics.items[i].topic_id;
    }
    response->error_code = kf__wire_error(err);
    return KF__ANSWERED;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_metadata_request *request = exchange->request;
    struct kf_metadata_response *response = exchange->response;
    const struct kf__topics *topics = &exchange->broker->topics;
    kf_err refused = check_asked(exchange);
    if (refused)
        return refuse_all(exchange, refused);
    if (!fill_brokers(exchange, response))
        return KF__REFUSED;
    response->cluster_id = kf__text(exchange->broker->cluster_id);
    response->controller_id = kf__topics_controller(topics);
    if (request->include_cluster_authorized_operations)
        response->cluster_authorized_operations =
            kf__allowed_operations(exchange, KF__ACL_CLUSTER, kf__cluster_name());

    kf_err forced = kf__forced_all(exchange);
    if (forced && exchange->version >= 13) {
        response->error_code = kf__wire_error(forced);
        return KF__ANSWERED;
    }
    bool all = request->topics.count < 0 || (exchange->version == 0 && request->topics.count == 0);
    if (all)
        return fill_all_topics(exchange, response) ? KF__ANSWERED : KF__REFUSED;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->topics.count; i++)
        if (!fill_asked(exchange, &request->topics.items[i], &response->topics.items[i]))
            return KF__REFUSED;
    return KF__ANSWERED;
}

const struct kf__api kf__api_metadata = {
    .key = KF_API_METADATA, .max_version = 13, .handle = handle};
