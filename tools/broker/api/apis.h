/*
 * apis: the rows of the registry, each defined in the file of its name.
 */
#ifndef KF_BROKER_APIS_H
#define KF_BROKER_APIS_H

#include "tools/broker/server/exchange.h"

extern const struct kf__api kf__api_produce;
extern const struct kf__api kf__api_fetch;
extern const struct kf__api kf__api_list_offsets;
extern const struct kf__api kf__api_metadata;
extern const struct kf__api kf__api_offset_commit;
extern const struct kf__api kf__api_offset_fetch;
extern const struct kf__api kf__api_find_coordinator;
extern const struct kf__api kf__api_join_group;
extern const struct kf__api kf__api_heartbeat;
extern const struct kf__api kf__api_leave_group;
extern const struct kf__api kf__api_sync_group;
extern const struct kf__api kf__api_describe_groups;
extern const struct kf__api kf__api_list_groups;
extern const struct kf__api kf__api_sasl_handshake;
extern const struct kf__api kf__api_api_versions;
extern const struct kf__api kf__api_create_topics;
extern const struct kf__api kf__api_delete_topics;
extern const struct kf__api kf__api_delete_records;
extern const struct kf__api kf__api_init_producer_id;
extern const struct kf__api kf__api_offset_for_leader_epoch;
extern const struct kf__api kf__api_add_partitions_to_txn;
extern const struct kf__api kf__api_add_offsets_to_txn;
extern const struct kf__api kf__api_end_txn;
extern const struct kf__api kf__api_write_txn_markers;
extern const struct kf__api kf__api_txn_offset_commit;
extern const struct kf__api kf__api_describe_acls;
extern const struct kf__api kf__api_create_acls;
extern const struct kf__api kf__api_delete_acls;
extern const struct kf__api kf__api_describe_configs;
extern const struct kf__api kf__api_alter_configs;
extern const struct kf__api kf__api_alter_replica_log_dirs;
extern const struct kf__api kf__api_describe_log_dirs;
extern const struct kf__api kf__api_sasl_authenticate;
extern const struct kf__api kf__api_create_partitions;
extern const struct kf__api kf__api_create_delegation_token;
extern const struct kf__api kf__api_renew_delegation_token;
extern const struct kf__api kf__api_expire_delegation_token;
extern const struct kf__api kf__api_describe_delegation_token;
extern const struct kf__api kf__api_delete_groups;
extern const struct kf__api kf__api_elect_leaders;
extern const struct kf__api kf__api_incremental_alter_configs;
extern const struct kf__api kf__api_alter_partition_reassignments;
extern const struct kf__api kf__api_list_partition_reassignments;
extern const struct kf__api kf__api_offset_delete;
extern const struct kf__api kf__api_describe_client_quotas;
extern const struct kf__api kf__api_alter_client_quotas;
extern const struct kf__api kf__api_describe_user_scram_credentials;
extern const struct kf__api kf__api_alter_user_scram_credentials;
extern const struct kf__api kf__api_describe_quorum;
extern const struct kf__api kf__api_update_features;
extern const struct kf__api kf__api_describe_cluster;
extern const struct kf__api kf__api_describe_producers;
extern const struct kf__api kf__api_unregister_broker;
extern const struct kf__api kf__api_describe_transactions;
extern const struct kf__api kf__api_list_transactions;
extern const struct kf__api kf__api_consumer_group_heartbeat;
extern const struct kf__api kf__api_consumer_group_describe;
extern const struct kf__api kf__api_get_telemetry_subscriptions;
extern const struct kf__api kf__api_push_telemetry;
extern const struct kf__api kf__api_list_config_resources;
extern const struct kf__api kf__api_describe_topic_partitions;

/* KF_BROKER_CORRUPT_CRC: one bit of the answer's first batch is wrong; the log stays whole. */
void kf__fetch_corrupt(struct kf__exchange *exchange);

#endif
