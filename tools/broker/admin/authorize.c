#include "tools/broker/admin/authorize.h"

#include "tools/broker/state.h"

/*
 * What an API does with the topics that it names, with the group or
 * transactional id that it is about, and as a whole with the cluster; 0: nothing that is asked for.
 * As Kafka's KafkaApis and ControllerApis ask; what needs more than a row is asked for in the API's
 * file.
 */
struct need {
    int16_t api;
    int8_t topic;
    int8_t group;
    int8_t txn;
    int8_t cluster;
};

static const struct need needs[] = {
    {.api = KF_API_PRODUCE, .topic = KF__ACL_WRITE},
    {.api = KF_API_FETCH, .topic = KF__ACL_READ},
    {.api = KF_API_LIST_OFFSETS, .topic = KF__ACL_DESCRIBE},
    {.api = KF_API_METADATA, .topic = KF__ACL_DESCRIBE},
    {.api = KF_API_OFFSET_COMMIT, .topic = KF__ACL_READ, .group = KF__ACL_READ},
    {.api = KF_API_OFFSET_FETCH, .topic = KF__ACL_DESCRIBE, .group = KF__ACL_DESCRIBE},
    {.api = KF_API_FIND_COORDINATOR, .group = KF__ACL_DESCRIBE},
    {.api = KF_API_JOIN_GROUP, .group = KF__ACL_READ},
    {.api = KF_API_HEARTBEAT, .group = KF__ACL_READ},
    {.api = KF_API_LEAVE_GROUP, .group = KF__ACL_READ},
    {.api = KF_API_SYNC_GROUP, .group = KF__ACL_READ},
    {.api = KF_API_DESCRIBE_GROUPS, .group = KF__ACL_DESCRIBE},
    {.api = KF_API_LIST_GROUPS, .group = KF__ACL_DESCRIBE, .cluster = KF__ACL_DESCRIBE},
    {.api = KF_API_CREATE_TOPICS, .topic = KF__ACL_CREATE, .cluster = KF__ACL_CREATE},
    {.api = KF_API_DELETE_TOPICS, .topic = KF__ACL_DELETE},
    {.api = KF_API_DELETE_RECORDS, .topic = KF__ACL_DELETE},
    {.api = KF_API_OFFSET_FOR_LEADER_EPOCH, .topic = KF__ACL_DESCRIBE},
    {.api = KF_API_INIT_PRODUCER_ID, .txn = KF__ACL_WRITE},
    {.api = KF_API_ADD_PARTITIONS_TO_TXN,
     .topic = KF__ACL_WRITE,
     .txn = KF__ACL_WRITE,
     .cluster = KF__ACL_CLUSTER_ACTION}, /* from version 4 on: between brokers */
    {.api = KF_API_ADD_OFFSETS_TO_TXN, .txn = KF__ACL_WRITE},
    {.api = KF_API_END_TXN, .txn = KF__ACL_WRITE},
    {.api = KF_API_DESCRIBE_TRANSACTIONS, .txn = KF__ACL_DESCRIBE},
    {.api = KF_API_WRITE_TXN_MARKERS, .cluster = KF__ACL_CLUSTER_ACTION},
    {.api = KF_API_TXN_OFFSET_COMMIT, .topic = KF__ACL_READ, .group = KF__ACL_READ},
    {.api = KF_API_DESCRIBE_ACLS, .cluster = KF__ACL_DESCRIBE},
    {.api = KF_API_CREATE_ACLS, .cluster = KF__ACL_ALTER},
    {.api = KF_API_DELETE_ACLS, .cluster = KF__ACL_ALTER},
    {.api = KF_API_ALTER_REPLICA_LOG_DIRS, .cluster = KF__ACL_ALTER},
    {.api = KF_API_DESCRIBE_LOG_DIRS, .cluster = KF__ACL_DESCRIBE},
    {.api = KF_API_CREATE_PARTITIONS, .topic = KF__ACL_ALTER},
    {.api = KF_API_DELETE_GROUPS, .group = KF__ACL_DELETE},
    {.api = KF_API_ELECT_LEADERS, .cluster = KF__ACL_ALTER},
    {.api = KF_API_ALTER_PARTITION_REASSIGNMENTS, .cluster = KF__ACL_ALTER},
    {.api = KF_API_LIST_PARTITION_REASSIGNMENTS, .cluster = KF__ACL_DESCRIBE},
    {.api = KF_API_OFFSET_DELETE, .topic = KF__ACL_READ, .group = KF__ACL_DELETE},
    {.api = KF_API_DESCRIBE_CLIENT_QUOTAS, .cluster = KF__ACL_DESCRIBE_CONFIGS},
    {.api = KF_API_ALTER_CLIENT_QUOTAS, .cluster = KF__ACL_ALTER_CONFIGS},
    {.api = KF_API_DESCRIBE_USER_SCRAM_CREDENTIALS, .cluster = KF__ACL_DESCRIBE},
    {.api = KF_API_ALTER_USER_SCRAM_CREDENTIALS, .cluster = KF__ACL_ALTER},
    {.api = KF_API_DESCRIBE_QUORUM, .cluster = KF__ACL_DESCRIBE},
    {.api = KF_API_UPDATE_FEATURES, .cluster = KF__ACL_ALTER},
    {.api = KF_API_DESCRIBE_PRODUCERS, .topic = KF__ACL_READ},
    {.api = KF_API_UNREGISTER_BROKER, .cluster = KF__ACL_ALTER},
    {.api = KF_API_CONSUMER_GROUP_HEARTBEAT, .group = KF__ACL_READ, .topic = KF__ACL_DESCRIBE},
    {.api = KF_API_CONSUMER_GROUP_DESCRIBE, .group = KF__ACL_DESCRIBE, .topic = KF__ACL_DESCRIBE},
    {.api = KF_API_LIST_CONFIG_RESOURCES, .cluster = KF__ACL_DESCRIBE_CONFIGS},
    {.api = KF_API_DESCRIBE_TOPIC_PARTITIONS, .topic = KF__ACL_DESCRIBE},
};

static const struct need *need_of(const struct kf__exchange *exchange)
{
    static const struct need nothing;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (needs[i].api == exchange->api->key)
            return &needs[i];
    return &nothing;
}

static struct kf__acl_caller caller_of(const struct kf__exchange *exchange)
{
    return (struct kf__acl_caller){.principal = exchange->principal, .host = exchange->client_host};
}

static kf_err refusal(int8_t resource)
{
    switch (resource) {
    case KF__ACL_TOPIC:
        return KF_ERR_TOPIC_AUTHORIZATION_FAILED;
    case KF__ACL_GROUP:
        return KF_ERR_GROUP_AUTHORIZATION_FAILED;
    case KF__ACL_TRANSACTIONAL_ID:
        return KF_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    case KF__ACL_DELEGATION_TOKEN:
        return KF_ERR_DELEGATION_TOKEN_AUTHORIZATION_FAILED;
    default:
        return KF_ERR_CLUSTER_AUTHORIZATION_FAILED;
    }
}

kf_err kf__may(const struct kf__exchange *exchange, int8_t operation, int8_t resource,
               kf_string name)
{
    const struct kf__acls *acls = &exchange->broker->acls;
    if (operation == 0 || kf__acls_allow(acls, caller_of(exchange), operation, resource, name))
        return KF_OK;
    return refusal(resource);
}

kf_err kf__may_topic(const struct kf__exchange *exchange, kf_string topic)
{
    if (!exchange->broker->acls.enforced)
        return KF_OK;
    return kf__may(exchange, need_of(exchange)->topic, KF__ACL_TOPIC, topic);
}

kf_err kf__may_key(const struct kf__exchange *exchange, kf_string key)
{
    if (!exchange->broker->acls.enforced)
        return KF_OK;
    const struct need *need = need_of(exchange);
    if (need->txn)
        return kf__may(exchange, need->txn, KF__ACL_TRANSACTIONAL_ID, key);
    return kf__may(exchange, need->group, KF__ACL_GROUP, key);
}

kf_err kf__may_all(const struct kf__exchange *exchange)
{
    return kf__may(exchange, need_of(exchange)->cluster, KF__ACL_CLUSTER, kf__cluster_name());
}

kf_err kf__may_configure(const struct kf__exchange *exchange, int8_t operation, int8_t type,
                         kf_string name)
{
    if (type == KF__RESOURCE_TOPIC)
        return kf__may(exchange, operation, KF__ACL_TOPIC, name);
    if (type == KF__RESOURCE_GROUP)
        return kf__may(exchange, operation, KF__ACL_GROUP, name);
    return kf__may(exchange, operation, KF__ACL_CLUSTER, kf__cluster_name());
}

bool kf__may_some(const struct kf__exchange *exchange, int8_t operation, int8_t resource)
{
    return kf__acls_allow_some(&exchange->broker->acls, caller_of(exchange), operation, resource);
}

/* ---- KIP-430 ---- */

/* The operations that a kind of resource knows. */
static uint32_t operations_of(int8_t resource)
{
    switch (resource) {
    case KF__ACL_TOPIC:
        return 1u << KF__ACL_READ | 1u << KF__ACL_WRITE | 1u << KF__ACL_CREATE |
               1u << KF__ACL_DESCRIBE | 1u << KF__ACL_DELETE | 1u << KF__ACL_ALTER |
               1u << KF__ACL_DESCRIBE_CONFIGS | 1u << KF__ACL_ALTER_CONFIGS;
    case KF__ACL_GROUP:
        return 1u << KF__ACL_READ | 1u << KF__ACL_DESCRIBE | 1u << KF__ACL_DELETE |
               1u << KF__ACL_DESCRIBE_CONFIGS | 1u << KF__ACL_ALTER_CONFIGS;
    default:
        return 1u << KF__ACL_CREATE | 1u << KF__ACL_ALTER | 1u << KF__ACL_DESCRIBE |
               1u << KF__ACL_CLUSTER_ACTION | 1u << KF__ACL_DESCRIBE_CONFIGS |
               1u << KF__ACL_ALTER_CONFIGS | 1u << KF__ACL_IDEMPOTENT_WRITE;
    }
}

int32_t kf__allowed_operations(const struct kf__exchange *exchange, int8_t resource, kf_string name)
{
    uint32_t wanted = operations_of(resource), allowed = 0;
    for (int8_t operation = KF__ACL_READ; operation <= KF__ACL_IDEMPOTENT_WRITE; operation++)
        if ((wanted & 1u << operation) && !kf__may(exchange, operation, resource, name))
            allowed |= 1u << operation;
    return (int32_t)allowed;
}
