/*
 * registry: every API that the broker answers, in order of keys. ApiVersions
 * is derived from it. A new API is a file api_NAME.c and a row here.
 */
#include "tools/broker/apis.h"

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
    &kf__api_describe_configs,
    &kf__api_sasl_authenticate,
    &kf__api_create_partitions,
    &kf__api_delete_groups,
    &kf__api_describe_cluster,
    &kf__api_describe_producers,
    &kf__api_describe_transactions,
    &kf__api_list_transactions,
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
