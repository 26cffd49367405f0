/* versions: ApiVersions answers; see versions.h. */
#include "net/conn/versions.h"

#include <kafiber/messages.h>
#include <string.h>

void kf__versions_clear(struct kf__versions *versions)
{
    versions->known = false;
    for (int i = 0; i < KF__API_KEYS; i++) {
        versions->ranges[i].min = 0;
        versions->ranges[i].max = -1;
    }
}

static void keep(struct kf__versions *versions, const struct kf_api_versions_response *response)
{
    kf__versions_clear(versions);
    versions->known = true;
    for (int32_t i = 0; i < response->api_keys.count; i++) {
        const struct kf_api_versions_response_api_version *api = &response->api_keys.items[i];
        if (api->api_key < 0 || api->api_key >= KF__API_KEYS)
            continue;
        versions->ranges[api->api_key].min = api->min_version;
        versions->ranges[api->api_key].max = api->max_version;
    }
}

/* The answer to a version that is too new offers ours; version 0 where it says nothing useful. */
static int16_t offered(const struct kf_api_versions_response *response, int16_t refused)
{
    for (int32_t i = 0; i < response->api_keys.count; i++) {
        const struct kf_api_versions_response_api_version *api = &response->api_keys.items[i];
        if (api->api_key == KF_API_API_VERSIONS)
            return api->max_version >= 0 && api->max_version < refused ? api->max_version : 0;
    }
    return 0;
}

static int16_t error_of(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    return (int16_t)(size < 2 ? 0 : at[0] << 8 | at[1]);
}

kf_err kf__versions_take(struct kf__versions *versions, int16_t version, const void *bytes,
                         size_t size, kf_arena *arena, int16_t *retry)
{
    struct kf_api_versions_response response;
    bool refused = version > 0 && error_of(bytes, size) == KF_ERR_UNSUPPORTED_VERSION;
    kf_err err = kf_decode(&kf_schema_of_api_versions_response, refused ? 0 : version, bytes, size,
                           arena, &response);
    if (refused) {
        /* A refusal cut short is still a refusal. */
        *retry = err ? 0 : offered(&response, version);
        return KF_ERR_UNSUPPORTED_VERSION;
    }
    if (err)
        return err;
    if (response.error_code)
        return response.error_code;
    keep(versions, &response);
    return KF_OK;
}

bool kf__versions_range(const struct kf__versions *versions, int16_t api_key, int16_t *min,
                        int16_t *max)
{
    if (!versions->known || api_key < 0 || api_key >= KF__API_KEYS)
        return false;
    *min = versions->ranges[api_key].min;
    *max = versions->ranges[api_key].max;
    return *max >= *min;
}

int16_t kf__versions_choose(const struct kf__versions *versions, int16_t api_key, int16_t min,
                            int16_t max)
{
    const kf_schema *schema = kf_schema_request(api_key);
    int16_t broker_min, broker_max;
    if (!schema || !kf__versions_range(versions, api_key, &broker_min, &broker_max))
        return -1;
    if (min == 0 && max == 0)
        max = INT16_MAX;

    int16_t low = kf_schema_min_version(schema);
    int16_t high = kf_schema_max_version(schema);
    low = broker_min > low ? broker_min : low;
    low = min > low ? min : low;
    high = broker_max < high ? broker_max : high;
    high = max < high ? max : high;
    return low <= high ? high : -1;
}
