/*
 * nodes: the brokers that are known, each with its connections.
 *
 * Sorted by id; a node's struct lives as long as the cluster, so that its
 * connections and calls may outlast its disappearance from metadata. The
 * bootstrap hosts ("seeds") are nodes too, with ids of their own below
 * KF__SEED_ID, in a list of their own.
 */
#ifndef KF_NET_NODES_H
#define KF_NET_NODES_H

#include "net/cluster/cluster.h"
#include "net/conn/link.h"

enum {
    KF__SEED_ID = -1000, /* the first seed's; the next has one less */
};

struct kf__node;

struct kf__lane_slot {
    struct kf__node *node;
    struct kf__link *link; /* NULL: never used */
    bool moved;            /* to be broken at the end of the turn: the broker has another address */
};

struct kf__node {
    struct kf__cluster *cluster;
    int32_t id;
    uint16_t port;
    bool known_before; /* while an answer is taken in */
    bool known;        /* in the latest metadata, or learned since */
    char *host;        /* owned, as are the next two */
    char *name;        /* "host:port" */
    char *rack;        /* NULL: none */
    struct kf__lane_slot lanes[KF__LANES];
    kf_time logged_at; /* its last line in the log about a failure */
    kf_err logged_err;
};

struct kf__nodes {
    const kf_allocator *alloc;
    struct kf__node **items; /* by id */
    int32_t count;
    int32_t capacity;
};

void kf__nodes_init(struct kf__nodes *nodes, const kf_allocator *alloc);
/* Closes all connections; their calls end with `err`. */
void kf__nodes_free(struct kf__nodes *nodes, kf_err err);

struct kf__node *kf__nodes_find(const struct kf__nodes *nodes, int32_t id);
/*
 * Adds a node or takes its new address and rack; then it is known. A node
 * that moved breaks its connections. *changed is set where address or rack differ.
 */
kf_err kf__nodes_put(struct kf__nodes *nodes, struct kf__cluster *cluster, int32_t id,
                     kf_string host, int32_t port, kf_string rack, bool *changed);

/* The link of a lane, made where there was none; NULL: no memory. */
struct kf__link *kf__node_link(struct kf__node *node, enum kf__lane lane);

#endif
