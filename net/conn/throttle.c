/* throttle: where each response keeps its throttle_time_ms. See throttle.h. */
#include "net/conn/throttle.h"

#include <kafiber/messages.h>

struct row {
    int16_t api_key;
    int16_t since; /* the version from which on the client is to wait */
    size_t at;     /* of throttle_time_ms in the struct */
};

#define ROW(NAME, name, version)                                                                   \
    {KF_API_##NAME, version, offsetof(struct kf_##name##_response, throttle_time_ms)}

static const struct row rows[] = {
    ROW(PRODUCE, produce, 6),
    ROW(FETCH, fetch, 8),
    ROW(LIST_OFFSETS, list_offsets, 3),
    ROW(METADATA, metadata, 6),
    ROW(OFFSET_COMMIT, offset_commit, 4),
    ROW(OFFSET_FETCH, offset_fetch, 4),
    ROW(FIND_COORDINATOR, find_coordinator, 2),
    ROW(JOIN_GROUP, join_group, 3),
    ROW(HEARTBEAT, heartbeat, 2),
    ROW(LEAVE_GROUP, leave_group, 2),
    ROW(SYNC_GROUP, sync_group, 2),
    ROW(DESCRIBE_GROUPS, describe_groups, 2),
    ROW(LIST_GROUPS, list_groups, 2),
    ROW(CREATE_TOPICS, create_topics, 3),
    ROW(DELETE_TOPICS, delete_topics, 2),
    ROW(DELETE_RECORDS, delete_records, 1),
    ROW(INIT_PRODUCER_ID, init_producer_id, 1),
    ROW(OFFSET_FOR_LEADER_EPOCH, offset_for_leader_epoch, 2),
    ROW(ADD_PARTITIONS_TO_TXN, add_partitions_to_txn, 1),
    ROW(ADD_OFFSETS_TO_TXN, add_offsets_to_txn, 1),
    ROW(END_TXN, end_txn, 1),
    ROW(TXN_OFFSET_COMMIT, txn_offset_commit, 1),
    ROW(DESCRIBE_CONFIGS, describe_configs, 2),
    ROW(ALTER_CONFIGS, alter_configs, 1),
    ROW(INCREMENTAL_ALTER_CONFIGS, incremental_alter_configs, 0),
    ROW(CREATE_PARTITIONS, create_partitions, 1),
    ROW(DELETE_GROUPS, delete_groups, 1),
    ROW(OFFSET_DELETE, offset_delete, 0),
    ROW(DESCRIBE_CLUSTER, describe_cluster, 0),
    ROW(CONSUMER_GROUP_HEARTBEAT, consumer_group_heartbeat, 0),
    ROW(CONSUMER_GROUP_DESCRIBE, consumer_group_describe, 0),
    ROW(SHARE_GROUP_HEARTBEAT, share_group_heartbeat, 0),
    ROW(SHARE_FETCH, share_fetch, 0),
    ROW(SHARE_ACKNOWLEDGE, share_acknowledge, 0),
    ROW(PUSH_TELEMETRY, push_telemetry, 0),
    ROW(GET_TELEMETRY_SUBSCRIPTIONS, get_telemetry_subscriptions, 0),
};

kf_time kf__throttle_of(int16_t api_key, int16_t version, const void *message)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].api_key != api_key)
            continue;
        int32_t ms = *(const int32_t *)(const void *)((const char *)message + rows[i].at);
        return version >= rows[i].since && ms > 0 ? ms * KF_MILLISECOND : 0;
    }
    return 0;
}
