/* cluster_inner: what cluster.c, metadata.c, coordinator.c and nodes.c share. */
#ifndef KF_NET_CLUSTER_INNER_H
#define KF_NET_CLUSTER_INNER_H

#include "net/cluster/nodes.h"
#include "net/cluster/topics.h"

/* metadata.c's: when it was asked for, and how often in vain. */
struct kf__metadata {
    struct kf__call call;
    struct kf__timer timer;
    bool wanted;           /* before it is too old */
    int attempts;          /* in a row that brought nothing, or not all */
    kf_time asked_at;      /* the last time; 0: never */
    kf_time answered_at;   /* the last good answer; 0: none */
    kf_time failing_since; /* 0: not failing */
};

struct kf__cluster {
    struct kf__loop *loop;
    const kf_allocator *alloc;
    struct kf__cluster_settings settings; /* its texts are owned here */
    struct kf__cluster_events events;
    struct kf__conn_settings conns;
    struct kf__slab_pool *slabs;

    struct kf__nodes seeds; /* the bootstrap hosts */
    struct kf__nodes nodes;
    struct kf__topics topics;
    char *id;           /* pinned once known */
    int32_t controller; /* -1: not known */
    bool bootstrapped;  /* metadata's brokers are used; else the seeds beside them */
    bool want_all;
    bool told_fatal;
    bool closing;

    struct kf__metadata metadata;
    struct kf__call_list ended; /* to be ended with their err at the end of the turn */
    struct kf__task tidy;
    char text[64]; /* kf__cluster_node_name of an unknown one */
};

struct kf__link *kf__cluster_make_link(struct kf__cluster *cluster, struct kf__lane_slot *slot);
void kf__cluster_break_later(struct kf__cluster *cluster, struct kf__lane_slot *slot);
/* Ends the call with err at the end of the turn. */
void kf__cluster_end_later(struct kf__cluster *cluster, struct kf__call *call, kf_err err);
/* Tidies up at the end of the turn: breaks what moved, closes seeds that are no longer needed. */
void kf__cluster_tidy_later(struct kf__cluster *cluster);
void kf__cluster_fatal(struct kf__cluster *cluster, kf_err err, const char *format, ...)
    KF_PRINTF(3, 4);
void kf__cluster_log(struct kf__cluster *cluster, kf_log_level level, const char *name,
                     int32_t node, kf_err err, const char *format, ...) KF_PRINTF(6, 7);

void kf__metadata_open(struct kf__cluster *cluster);
void kf__metadata_close(struct kf__cluster *cluster);
/* Forgets which brokers work and asks the bootstrap hosts. */
void kf__metadata_rebootstrap(struct kf__cluster *cluster, const char *why);
/* A connection failed: whether that was the last broker that could be asked. */
void kf__metadata_lost_broker(struct kf__cluster *cluster);

#endif
