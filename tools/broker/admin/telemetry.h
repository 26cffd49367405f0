/*
 * telemetry: what a client shall push of its metrics: the sum of all
 * subscriptions that match it (KIP-714). Called by GetTelemetrySubscriptions
 * and PushTelemetry.
 */
#ifndef KF_BROKER_TELEMETRY_H
#define KF_BROKER_TELEMETRY_H

#include "tools/broker/server/exchange.h"

struct kf__telemetry_wish {
    int32_t id; /* follows from what is wished for */
    int32_t interval_ms;
    kf_string *metrics; /* prefixes; one empty: all of them. In the exchange's arena */
    int32_t metric_count;
};

kf_err kf__telemetry_wish(struct kf__exchange *exchange, kf_uuid client,
                          struct kf__telemetry_wish *wish);
/* Is it the zero id? */
bool kf__telemetry_is_nobody(kf_uuid client);

#endif
