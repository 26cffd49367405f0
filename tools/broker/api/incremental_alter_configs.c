/*
 * IncrementalAlterConfigs (44), versions 0–1: 1 flexible. Each change says
 * what it does: set, delete, append to a list, subtract from it (KIP-339).
 */
#include "tools/broker/admin/alter_configs.h"
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_incremental_alter_configs_request_alter_configs_resource asked_resource;

static bool is_named_twice(const struct kf_incremental_alter_configs_request *request,
                           int32_t index)
{
    const asked_resource *asked = &request->resources.items[index];
    for (int32_t i = 0; i < request->resources.count; i++)
        if (i != index && request->resources.items[i].resource_type == asked->resource_type &&
            kf__text_equal(request->resources.items[i].resource_name, asked->resource_name))
            return true;
    return false;
}

static kf_err alter(struct kf__exchange *exchange, const asked_resource *asked, char *why)
{
    const struct kf_incremental_alter_configs_request *request = exchange->request;
    int32_t count = asked->configs.count;
    struct kf__config_change *items =
        kf_arena_alloc(&exchange->arena, sizeof *items * (size_t)(count > 0 ? count : 1));
    if (!items)
        return KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < count; i++)
        items[i] =
            (struct kf__config_change){.name = asked->configs.items[i].name,
                                       .value = asked->configs.items[i].value,
                                       .operation = asked->configs.items[i].config_operation};
    struct kf__config_changes changes = {.resource = asked->resource_type,
                                         .name = asked->resource_name,
                                         .items = items,
                                         .count = (size_t)count,
                                         .validate_only = request->validate_only,
                                         .node = exchange->node};
    return kf__alter_configs(exchange->broker, &changes, why);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_incremental_alter_configs_request *request = exchange->request;
    struct kf_incremental_alter_configs_response *response = exchange->response;
    if (!KF__FILL(exchange, "responses", response->responses, request->resources.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->resources.count; i++) {
        const asked_resource *asked = &request->resources.items[i];
        char why[KF__MAX_WHY_BYTES] = "";
        kf_err err = kf__forced_all(exchange);
        if (!err)
            err = kf__may_configure(exchange, KF__ACL_ALTER_CONFIGS, asked->resource_type,
                                    asked->resource_name);
        if (!err && is_named_twice(request, i)) {
            err = KF_ERR_INVALID_REQUEST;
            snprintf(why, sizeof why, "Each resource must appear at most once.");
        }
        if (!err)
            err = alter(exchange, asked, why);
        response->responses.items[i].error_code = kf__wire_error(err);
        if (why[0])
            response->responses.items[i].error_message = kf__answer_text(exchange, kf__text(why));
        response->responses.items[i].resource_type = asked->resource_type;
        response->responses.items[i].resource_name = asked->resource_name;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_incremental_alter_configs = {
    .key = KF_API_INCREMENTAL_ALTER_CONFIGS, .max_version = 1, .handle = handle};
