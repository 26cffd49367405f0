/*
 * DeleteGroups (42), versions 0–3: 2 flexible, 3 an error message.
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/group/offsets_topic.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"

static kf_err delete_group(struct kf__exchange *exchange, kf_string group)
{
    kf_err err = kf__check_coordinator(exchange, group);
    return err ? err : kf__group_delete(exchange->broker, group);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_delete_groups_request *request = exchange->request;
    struct kf_delete_groups_response *response = exchange->response;
    int32_t count = request->groups_names.count;
    struct kf__named *names = kf_arena_alloc(&exchange->arena, ((size_t)count + 1) * sizeof *names);
    for (int32_t i = 0; names && i < count; i++)
        names[i] = (struct kf__named){.text = request->groups_names.items[i]};
    const char *marks = names ? kf__mark_twins(&exchange->arena, names, count) : NULL;
    if (!marks || !KF__FILL(exchange, "results", response->results, count))
        return KF__REFUSED;
    response->results.count = 0;
    for (int32_t i = 0; i < count; i++) {
        if (marks[i] == KF__TWIN_AGAIN)
            continue;
        kf_err err = delete_group(exchange, request->groups_names.items[i]);
        response->results.items[response->results.count].group_id = request->groups_names.items[i];
        response->results.items[response->results.count++].error_code = kf__wire_error(err);
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_delete_groups = {
    .key = KF_API_DELETE_GROUPS, .max_version = 3, .handle = handle};
