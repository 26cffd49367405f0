/*
 * ApiVersions (18), versions 0–5: what the registry holds.
 *
 * 3+ flexible body, but the header of its answer stays version 0 (KIP-511);
 *    checks the client's software name and version.
 * 3  features, as a 4.4 broker tells them: what it could speak, and what its
 *    cluster has agreed on. 4 tells also those whose range begins at 0
 *    (KIP-1022), which older clients take for an error.
 * 5  the client may say whom it means to speak to (KIP-1242).
 * A version that we don't know is answered in version 0 with
 * UNSUPPORTED_VERSION and the one row that the client needs to try again.
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

enum {
    FIRST_VERSION_WITH_ZERO = 4
};

static void fill_row(const struct kf__exchange *exchange,
                     struct kf_api_versions_response_api_version *row, const struct kf__api *api)
{
    struct kf__api_range range = kf__api_versions(exchange->broker, api);
    row->api_key = api->key;
    row->min_version = range.advertised_min;
    row->max_version = range.max;
}

static bool fill_all(struct kf__exchange *exchange, struct kf_api_versions_response *response)
{
    int32_t count = 0;
    while (kf__api_at((size_t)count))
        count++;
    if (!KF__FILL(exchange, "api_keys", response->api_keys, count))
        return false;
    response->api_keys.count = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct kf__api *api = kf__api_at((size_t)i);
        struct kf__api_range range = kf__api_versions(exchange->broker, api);
        if (range.min <= range.max)
            fill_row(exchange, &response->api_keys.items[response->api_keys.count++], api);
    }
    return true;
}

static bool fill_features(struct kf__exchange *exchange, struct kf_api_versions_response *response)
{
    const struct kf__features *features = &exchange->broker->features;
    int32_t count = (int32_t)features->count, told = 0, agreed = 0;
    if (!KF__FILL(exchange, "supported_features", response->supported_features, count) ||
        !KF__FILL(exchange, "finalized_features", response->finalized_features, count))
        return false;
    for (int32_t i = 0; i < count; i++) {
        const struct kf__feature *feature = &features->items[i];
        kf_string name = kf__text(feature->name);
        if (feature->min > 0 || exchange->version >= FIRST_VERSION_WITH_ZERO)
            response->supported_features.items[told++] =
                (struct kf_api_versions_response_supported_feature_key){
                    .name = name, .min_version = feature->min, .max_version = feature->max};
        if (feature->level > 0)
            response->finalized_features.items[agreed++] =
                (struct kf_api_versions_response_finalized_feature_key){
                    .name = name,
                    .max_version_level = feature->level,
                    .min_version_level = feature->level};
    }
    response->supported_features.count = told;
    response->finalized_features.count = agreed;
    response->finalized_features_epoch = count > 0 ? features->epoch : -1;
    return true;
}

/* KIP-511: letters, digits, '.' and '-', beginning and ending with a letter or digit. */
static bool is_software_name(kf_string name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool inner = i > 0 && i + 1 < name.size && (c == '.' || c == '-');
        if (!letter && !inner)
            return false;
    }
    return name.size > 0;
}

static bool is_meant_for_us(const struct kf__exchange *exchange,
                            const struct kf_api_versions_request *request)
{
    bool cluster = !request->cluster_id.data ||
                   kf__text_equal(request->cluster_id, kf__text(exchange->broker->cluster_id));
    return cluster && (request->node_id == -1 || request->node_id == exchange->node);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_api_versions_request *request = exchange->request;
    struct kf_api_versions_response *response = exchange->response;
    kf_err err = kf__forced_all(exchange);
    int16_t newest = kf__api_versions(exchange->broker, exchange->api).max;
    if (exchange->version > newest) {
        response->error_code = KF_ERR_UNSUPPORTED_VERSION;
        if (newest < 3) /* before KIP-511 */
            return KF__ANSWERED;
        if (!KF__FILL(exchange, "api_keys", response->api_keys, 1))
            return KF__REFUSED;
        fill_row(exchange, &response->api_keys.items[0], exchange->api);
        return KF__ANSWERED;
    }
    if (!err && exchange->version >= 3 &&
        (!is_software_name(request->client_software_name) ||
         !is_software_name(request->client_software_version)))
        err = KF_ERR_INVALID_REQUEST;
    if (!err && exchange->version >= 5 && !request->cluster_id.data && request->node_id != -1)
        err = KF_ERR_INVALID_REQUEST; /* KIP-1242: a node of which cluster? */
    if (!err && exchange->version >= 5 && !is_meant_for_us(exchange, request))
        err = KF_ERR_REBOOTSTRAP_REQUIRED;
    response->error_code = kf__wire_error(err);
    if (err)
        return KF__ANSWERED;
    return fill_all(exchange, response) && fill_features(exchange, response) ? KF__ANSWERED
                                                                             : KF__REFUSED;
}

const struct kf__api kf__api_api_versions = {
    .key = KF_API_API_VERSIONS, .max_version = 5, .handle = handle};
