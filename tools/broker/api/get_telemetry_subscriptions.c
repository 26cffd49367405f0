/*
 * GetTelemetrySubscriptions (71), version 0: which metrics a client shall push
 * (KIP-714). Answered only with client_telemetry, as Kafka does only where a
 * plug-in takes them.
 *
 * A subscription's `match` may look at client_instance_id, client_id and
 * client_source_address here; one that looks at anything else matches nobody.
 */
#include "tools/broker/admin/telemetry.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    static int8_t compressions[] = {KF_CODEC_ZSTD, KF_CODEC_LZ4, KF_CODEC_GZIP, KF_CODEC_SNAPPY};
    const struct kf_get_telemetry_subscriptions_request *request = exchange->request;
    struct kf_get_telemetry_subscriptions_response *response = exchange->response;
    kf_err err = kf__forced_all(exchange);
    response->error_code = kf__wire_error(err);
    if (err)
        return KF__ANSWERED;
    response->client_instance_id = request->client_instance_id;
    if (kf__telemetry_is_nobody(request->client_instance_id))
        response->client_instance_id = kf__topics_new_id(&exchange->broker->topics);
    struct kf__telemetry_wish wish;
    if (kf__telemetry_wish(exchange, response->client_instance_id, &wish))
        return KF__REFUSED;
    response->subscription_id = wish.id;
    response->push_interval_ms = wish.interval_ms;
    response->telemetry_max_bytes = (int32_t)kf__broker_limits(exchange->broker)->telemetry_bytes;
    response->delta_temporality = true;
    response->accepted_compression_types.items = compressions;
    response->accepted_compression_types.count = sizeof compressions;
    response->requested_metrics.items = wish.metrics;
    response->requested_metrics.count = wish.metric_count;
    return KF__ANSWERED;
}

const struct kf__api kf__api_get_telemetry_subscriptions = {
    .key = KF_API_GET_TELEMETRY_SUBSCRIPTIONS, .max_version = 0, .handle = handle};
