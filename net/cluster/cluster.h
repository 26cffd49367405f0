/*
 * cluster: the brokers, who leads what, and a way to call any of them.
 *
 *   bootstrap ──▶ metadata ──▶ leaders, coordinators, connections on demand
 *
 * Keeps metadata fresh (metadata.max.age.ms, or when asked), by topic id and
 * leader epoch: an older epoch is ignored (KIP-320; epochs of Metadata below
 * v9 are unreliable and count as unknown). Bootstraps again when every known
 * broker is gone or says REBOOTSTRAP_REQUIRED (KIP-899, KIP-1102). Pins the
 * cluster id. Topics are interned: a dense index for each name.
 *
 * Belongs to the loop's thread.
 */
#ifndef KF_NET_CLUSTER_H
#define KF_NET_CLUSTER_H

#include "net/conn/call.h"
#include "net/conn/security.h"
#include "net/loop/loop.h"
#include <kafiber/log.h>

struct kf__cluster;

enum {
    KF__NODE_ANY = -1,
    KF__NODE_CONTROLLER = -2
};

/*
 * Connections by purpose, each opened on demand: a broker answers one
 * connection's requests in order, so what may wait long gets its own.
 */
enum kf__lane {
    KF__LANE_CONTROL,   /* metadata, offsets, commits, heartbeats, produce, admin */
    KF__LANE_BACKLOG,   /* fetches of partitions that lag */
    KF__LANE_LONG_POLL, /* fetches of partitions that are caught up */
    KF__LANE_JOIN,      /* JoinGroup and SyncGroup, which wait for everybody */
    KF__LANES,
};

struct kf__host {
    const char *name;
    uint16_t port;
};

struct kf__cluster_settings {
    const struct kf__host *bootstrap; /* copied */
    size_t bootstrap_count;
    const char *client_id;
    kf_time request_timeout; /* all in nanoseconds */
    kf_time setup_timeout;   /* TCP, TLS, ApiVersions, SASL together */
    kf_time setup_timeout_max;
    kf_time reconnect_backoff;
    kf_time reconnect_backoff_max;
    kf_time retry_backoff;
    kf_time retry_backoff_max;
    kf_time metadata_max_age;
    kf_time max_idle;              /* connections.max.idle.ms */
    kf_time rebootstrap_after;     /* metadata.recovery.rebootstrap.trigger.ms; KF_FOREVER: never */
    bool allow_auto_create;        /* ask brokers to create unknown topics */
    size_t receive_max;            /* receive.message.max.bytes */
    size_t slab_keep;              /* bytes of free slabs kept */
    struct kf__security *security; /* NULL: plaintext; the cluster keeps a reference */
};

/* One partition as metadata has it. */
struct kf__partition_info {
    int32_t leader;       /* node id; -1: none now */
    int32_t leader_epoch; /* -1: unknown */
    kf_err error;         /* of the partition, as metadata says */
    const int32_t *replicas;
    int32_t replica_count;
};

struct kf__topic_info {
    const char *name; /* NUL-terminated; lives as long as the cluster */
    kf_uuid id;       /* zero: the brokers have no ids */
    kf_err error;     /* UNKNOWN_TOPIC_OR_PARTITION, TOPIC_AUTHORIZATION_FAILED, …; KF_OK */
    bool known;       /* metadata has answered for it at least once */
    bool internal;
    int32_t partition_count;
    const struct kf__partition_info *partitions;
};

struct kf__cluster_events {
    void *owner;
    /* Metadata was refreshed; `changed`: leaders, partitions, topics or brokers differ from before.
     */
    void (*metadata)(void *owner, bool changed);
    /* An error that no retry cures: another cluster's id, TLS expected, not Kafka from all brokers.
     */
    void (*fatal)(void *owner, kf_err err, const char *text);
    void (*log)(void *owner, const kf_log_event *event);
};

/* Opens nothing yet. */
kf_err kf__cluster_open(struct kf__loop *loop, const struct kf__cluster_settings *settings,
                        const struct kf__cluster_events *events, struct kf__cluster **cluster);
/* Closes all connections; calls under way end with KF_ERR_CLOSED (their `done` is called). */
void kf__cluster_close(struct kf__cluster *cluster);

/*
 * Sends a call to a node on a lane, connecting first where needed. A node
 * that is not (or no longer) in the metadata ends it with KF_ERR_NO_BROKER. While the
 * node can't be reached it waits, with back-off, until the deadline, and then
 * ends with the last cause (CONNECT_FAILED, TIMED_OUT, DISCONNECTED). A
 * request that was written when the connection broke ends at once with
 * KF_ERR_DISCONNECTED: the caller knows whether it may be sent again.
 */
void kf__cluster_send(struct kf__cluster *cluster, int32_t node, enum kf__lane lane,
                      struct kf__call *call);

/* Topics whose metadata is wanted. Interned; indexes are dense from 0 and never change. */
kf_err kf__cluster_add_topic(struct kf__cluster *cluster, const char *name, int32_t *index);
void kf__cluster_remove_topic(struct kf__cluster *cluster, int32_t index);
/* Metadata of all topics, for pattern subscriptions; all of them become interned. */
void kf__cluster_want_all_topics(struct kf__cluster *cluster, bool all);
/* Asks for fresh metadata soon: at once, or after retry_backoff since the last time it was asked.
 */
void kf__cluster_refresh(struct kf__cluster *cluster);

int32_t kf__cluster_topic_count(const struct kf__cluster *cluster); /* interned ones */
const struct kf__topic_info *kf__cluster_topic(const struct kf__cluster *cluster, int32_t index);
/* -1 where the name or id is not interned or not known. */
int32_t kf__cluster_find_topic(const struct kf__cluster *cluster, const char *name, size_t size);
int32_t kf__cluster_find_topic_id(const struct kf__cluster *cluster, const kf_uuid *id);
/* A node's rack, NULL where it has none or isn't known. */
const char *kf__cluster_rack(const struct kf__cluster *cluster, int32_t node);
bool kf__cluster_has_node(const struct kf__cluster *cluster, int32_t node);
/* "host:port", for messages; "unknown broker 7" where not known. */
const char *kf__cluster_node_name(struct kf__cluster *cluster, int32_t node);
const char *kf__cluster_id(const struct kf__cluster *cluster); /* NULL before the first metadata */
int32_t kf__cluster_node_count(const struct kf__cluster *cluster);
int32_t kf__cluster_node_at(const struct kf__cluster *cluster, int32_t place);
int32_t kf__cluster_controller(const struct kf__cluster *cluster); /* -1: not known */

/*
 * A newer leader learned elsewhere (Fetch and Produce answers carry it:
 * KIP-951); ignored unless its epoch is newer.
 */
void kf__cluster_learn_leader(struct kf__cluster *cluster, int32_t topic, int32_t partition,
                              int32_t leader, int32_t leader_epoch);

/* A broker that such an answer names (its node_endpoints), before metadata does. */
void kf__cluster_learn_node(struct kf__cluster *cluster, int32_t node, kf_string host, int32_t port,
                            kf_string rack);

/*
 * Finds the coordinator of a group (KF__KEY_GROUP) or transactional id
 * (FindCoordinator v0–v6), retrying until the deadline.
 */
enum {
    KF__KEY_GROUP = 0,
    KF__KEY_TRANSACTION = 1
};
struct kf__coordinator_search {
    struct kf__call call;
    struct kf__timer retry;
    struct kf__cluster *cluster;
    const char *key; /* borrowed until done */
    int8_t key_type;
    kf_time deadline;
    int attempts;
    kf_err heard; /* the last of them that was told why it failed */
    void (*done)(struct kf__coordinator_search *search, kf_err err, int32_t node);
    void *owner;
};
void kf__cluster_find_coordinator(struct kf__cluster *cluster,
                                  struct kf__coordinator_search *search);
void kf__coordinator_search_cancel(struct kf__coordinator_search *search);

/*
 * Versions that a node advertised for an API; false before a connection to it
 * was ready.
 */
bool kf__cluster_api_versions(const struct kf__cluster *cluster, int32_t node, int16_t api_key,
                              int16_t *min_version, int16_t *max_version);

#endif
