/*
 * ListGroups (16), versions 0–5: the groups that this node coordinates.
 *
 * 3  flexible. 4 filter by state (KIP-518). 5 filter by type (KIP-848).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/log/internal_topics.h"
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

/* What is told of a group. */
struct row {
    kf_string id;
    kf_string protocol_type;
    const char *state;
    const char *type;
};

static void tell(struct kf__exchange *exchange, bool all, const struct row *row)
{
    const struct kf_list_groups_request *request = exchange->request;
    struct kf_list_groups_response *response = exchange->response;
    if (kf__coordinator_of(exchange->broker, KF__OFFSETS, row->id) != exchange->node ||
        !is_named(request->states_filter.items, request->states_filter.count, row->state) ||
        !is_named(request->types_filter.items, request->types_filter.count, row->type) ||
        (!all && kf__may_key(exchange, row->id)))
        return;
    struct kf_list_groups_response_listed_group *answer =
        &response->groups.items[response->groups.count++];
    answer->group_id = kf__answer_text(exchange, row->id);
    if (row->protocol_type.data)
        answer->protocol_type = kf__answer_text(exchange, row->protocol_type);
    answer->group_state = kf__text(row->state);
    answer->group_type = kf__text(row->type);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    struct kf_list_groups_response *response = exchange->response;
    const struct kf__coordinator *classic = &exchange->broker->coordinator;
    const struct kf__consumers *consumers = &exchange->broker->consumers;
    response->error_code = kf__wire_error(kf__forced_all(exchange));
    if (response->error_code)
        return KF__ANSWERED;
    if (!KF__FILL(exchange, "groups", response->groups,
                  (int32_t)(classic->group_count + consumers->group_count)))
        return KF__REFUSED;
    bool all = !kf__may_all(exchange);
    response->groups.count = 0;
    for (size_t i = 0; i < classic->group_count; i++) {
        const struct kf__classic_group *group = classic->groups[i];
        struct row row = {group->id, group->protocol_type, kf__group_state_name(group->state),
                          "classic"};
        tell(exchange, all, &row);
    }
    for (size_t i = 0; i < consumers->group_count; i++) {
        const struct kf__consumer_group *group = consumers->groups[i];
        struct row row = {group->id, kf__text("consumer"), kf__consumer_group_state(group),
                          "consumer"};
        tell(exchange, all, &row);
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_list_groups = {
    .key = KF_API_LIST_GROUPS, .max_version = 5, .handle = handle};
