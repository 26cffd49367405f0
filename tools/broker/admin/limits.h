/*
 * limits: how much all brokers are configured to take and give at once, kept
 * as numbers: requests ask for them all the time, and they rarely change.
 * Called by broker.c; who looks at a limit asks kf__broker_limits (state.h).
 */
#ifndef KF_BROKER_LIMITS_H
#define KF_BROKER_LIMITS_H

#include "tools/broker/admin/configs.h"

struct kf__limits {
    int64_t fetch_bytes;          /* fetch.max.bytes: of a Fetch answer's records */
    int64_t request_bytes;        /* socket.request.max.bytes */
    int64_t stranger_bytes;       /* sasl.server.max.receive.size: before he says who he is */
    int64_t partitions_of_answer; /* max.request.partition.size.limit */
    int64_t telemetry_bytes;      /* telemetry.max.bytes */
    int64_t connections_of_ip;    /* max.connections.per.ip */
    int64_t idle_ms;              /* connections.max.idle.ms; negative: for ever */
    uint64_t as_of;               /* configs.changes */
};

/* Reads them anew where a config has changed since. */
void kf__limits_follow(struct kf__limits *limits, const struct kf__configs *configs);

#endif
