/*
 * PushTelemetry (72), version 0: a client's metrics (KIP-714). They are checked
 * and thrown away; how many came tells kf_broker_requests.
 */
#include "tools/broker/admin/telemetry.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_push_telemetry_request *request = exchange->request;
    struct kf_push_telemetry_response *response = exchange->response;
    struct kf__telemetry_wish wish;
    kf_err err = kf__forced_all(exchange);
    if (kf__telemetry_wish(exchange, request->client_instance_id, &wish))
        return KF__REFUSED;
    if (!err && kf__telemetry_is_nobody(request->client_instance_id))
        err = KF_ERR_INVALID_REQUEST;
    if (!err && request->subscription_id != wish.id)
        err = KF_ERR_UNKNOWN_SUBSCRIPTION_ID;
    if (!err && (request->compression_type < 0 || request->compression_type > KF_CODEC_ZSTD))
        err = KF_ERR_UNSUPPORTED_COMPRESSION_TYPE;
    if (!err &&
        (int64_t)request->metrics.size > kf__broker_limits(exchange->broker)->telemetry_bytes)
        err = KF_ERR_TELEMETRY_TOO_LARGE;
    response->error_code = kf__wire_error(err);
    return KF__ANSWERED;
}

const struct kf__api kf__api_push_telemetry = {
    .key = KF_API_PUSH_TELEMETRY, .max_version = 0, .handle = handle};
