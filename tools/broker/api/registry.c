/*
 * registry: every API that the broker answers, in order of keys. ApiVersions
 * is derived from it, cut down to what the Kafka release advertises that the
 * broker plays. A new API is a file api_NAME.c and a row here.
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

static const struct kf__api *const apis[] = {
    &kf__api_produce,
    &kf__api_fetch,
    &kf__api_list_offsets,
    &kf__api_metadata,
    &kf__api_offset_commit,
    &kf__api_offset_fetch,
    &kf__api_find_coordinator,
    &kf__api_join_group,
    &kf__api_heartbeat,
    &kf__api_leave_group,
    &kf__api_sync_group,
    &kf__api_describe_groups,
    &kf__api_list_groups,
    &kf__api_sasl_handshake,
    &kf__api_api_versions,
    &kf__api_create_topics,
    &kf__api_delete_topics,
    &kf__api_delete_records,
    &kf__api_init_producer_id,
    &kf__api_offset_for_leader_epoch,
    &kf__api_add_partitions_to_txn,
    &kf__api_add_offsets_to_txn,
    &kf__api_end_txn,
    &kf__api_write_txn_markers,
    &kf__api_txn_offset_commit,
    &kf__api_describe_acls,
    &kf__api_create_acls,
    &kf__api_delete_acls,
    &kf__api_describe_configs,
    &kf__api_alter_configs,
    &kf__api_alter_replica_log_dirs,
    &kf__api_describe_log_dirs,
    &kf__api_sasl_authenticate,
    &kf__api_create_partitions,
    &kf__api_create_delegation_token,
    &kf__api_renew_delegation_token,
    &kf__api_expire_delegation_token,
    &kf__api_describe_delegation_token,
    &kf__api_delete_groups,
    &kf__api_elect_leaders,
    &kf__api_incremental_alter_configs,
    &kf__api_alter_partition_reassignments,
    &kf__api_list_partition_reassignments,
    &kf__api_offset_delete,
    &kf__api_describe_client_quotas,
    &kf__api_alter_client_quotas,
    &kf__api_describe_user_scram_credentials,
    &kf__api_alter_user_scram_credentials,
    &kf__api_describe_quorum,
    &kf__api_update_features,
    &kf__api_describe_cluster,
    &kf__api_describe_producers,
    &kf__api_unregister_broker,
    &kf__api_describe_transactions,
    &kf__api_list_transactions,
    &kf__api_consumer_group_heartbeat,
    &kf__api_consumer_group_describe,
    &kf__api_get_telemetry_subscriptions,
    &kf__api_push_telemetry,
    &kf__api_list_config_resources,
    &kf__api_describe_topic_partitions,
};

const struct kf__api *kf__api_at(size_t index)
{
    return index < sizeof apis / sizeof *apis ? apis[index] : NULL;
}

const struct kf__api *kf__api_find(int16_t key)
{
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++)
        if (apis[i]->key == key)
            return apis[i];
    return NULL;
}

struct kf__api_range kf__api_versions(const struct kf_broker *broker, const struct kf__api *api)
{
    struct kf__range spoken = kf__spoken(broker->release, api->key);
    bool telemetry =
        api->key == KF_API_GET_TELEMETRY_SUBSCRIPTIONS || api->key == KF_API_PUSH_TELEMETRY;
    if (telemetry && broker->options.client_telemetry && broker->release >= KF__KAFKA_3_9)
        spoken = (struct kf__range){.min = 0, .max = 0}; /* KIP-714: only with a receiver */
    struct kf__api_range range = {
        .min = api->min_version > spoken.min ? api->min_version : spoken.min,
        .max = api->max_version < spoken.max ? api->max_version : spoken.max,
    };
    range.advertised_min = api->advertised_min > spoken.min ? api->advertised_min : spoken.min;
    return range;
}
