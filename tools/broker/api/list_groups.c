/*
 * ListGroups (16), versions 0–5: the groups that this node coordinates.
 *
 * 3  flexible. 4 filter by state (KIP-518). 5 filter by type (KIP-848).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

#include <strings.h>

static bool is_named(const kf_string *names, int32_t count, const char *name)
{
    if (count <= 0)
        return true;
    for (int32_t i = 0; i < count; i++)
        if (names[i].size == strlen(name) && strncasecmp(names[i].data, name, names[i].size) == 0)
            return true;
    return false;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_list_groups_request *request = exchange->request;
    struct kf_list_groups_response *response = exchange->response;
    const struct kf_broker *broker = exchange->broker;
    const struct kf__coordinator *coordinator = &broker->coordinator;
    response->error_code = kf__wire_error(kf__forced_all(exchange));
    if (response->error_code)
        return KF__ANSWERED;
    if (!KF__FILL(exchange, "groups", response->groups, (int32_t)coordinator->group_count))
        return KF__REFUSED;
    bool all = !kf__may_all(exchange);
    int32_t told = 0;
    for (size_t i = 0; i < coordinator->group_count; i++) {
        const struct kf__classic_group *group = coordinator->groups[i];
        const char *state = kf__group_state_name(group->state);
        if (kf__topics_coordinator(&broker->topics, group->id) != exchange->node ||
            !is_named(request->states_filter.items, request->states_filter.count, state) ||
            !is_named(request->types_filter.items, request->types_filter.count, "classic") ||
            (!all && kf__may_key(exchange, group->id)))
            continue;
        struct kf_list_groups_response_listed_group *answer = &response->groups.items[told++];
        answer->group_id = kf__answer_text(exchange, group->id);
        if (group->protocol_type.data)
            answer->protocol_type = kf__answer_text(exchange, group->protocol_type);
        answer->group_state = kf__text(state);
        answer->group_type = kf__text("classic");
    }
    response->groups.count = told;
    return KF__ANSWERED;
}

const struct kf__api kf__api_list_groups = {
    .key = KF_API_LIST_GROUPS, .max_version = 5, .handle = handle};
