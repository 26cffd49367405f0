/*
 * IncrementalAlterConfigs (44), versions 0–1: 1 flexible. Each change says
 * what it does: set, delete, append to a list, subtract from it (KIP-339).
 */
#include "tools/broker/admin/alter_configs.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_incremental_alter_configs_request_alter_configs_resource asked_resource;

static kf_err read_changes(struct kf__exchange *exchange, const asked_resource *asked,
                           struct kf__config_changes *changes)
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
    *changes = (struct kf__config_changes){.resource = asked->resource_type,
                                           .name = asked->resource_name,
                                           .items = items,
                                           .count = (size_t)count,
                                           .validate_only = request->validate_only,
                                           .node = exchange->node};
    return KF_OK;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_incremental_alter_configs_request *request = exchange->request;
    struct kf_incremental_alter_configs_response *response = exchange->response;
    int32_t count = request->resources.count;
    struct kf__config_changes *all =
        kf_arena_alloc(&exchange->arena, sizeof *all * (size_t)(count > 0 ? count : 1));
    if (!all || !KF__FILL(exchange, "responses", response->responses, count))
        return KF__REFUSED;
    for (int32_t i = 0; i < count; i++)
        if (read_changes(exchange, &request->resources.items[i], &all[i]))
            return KF__REFUSED;
    if (kf__alter_find_twins(&exchange->arena, all, count))
        return KF__REFUSED;
    for (int32_t i = 0; i < count; i++) {
        char why[KF__MAX_WHY_BYTES];
        kf_err err = kf__alter_asked(exchange, &all[i], why);
        response->responses.items[i].error_code = kf__wire_error(err);
        response->responses.items[i].error_message =
            kf__answer_text(exchange, kf__text(why[0] ? why : NULL));
        response->responses.items[i].resource_type = all[i].resource;
        response->responses.items[i].resource_name = all[i].name;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_incremental_alter_configs = {
    .key = KF_API_INCREMENTAL_ALTER_CONFIGS, .max_version = 1, .handle = handle};
