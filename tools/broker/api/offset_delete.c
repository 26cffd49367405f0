/*
 * OffsetDelete (47), version 0: a group forgets offsets (KIP-496), but not of
 * topics that its members are subscribed to.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/group/any_group.h"
#include "tools/broker/group/offsets_topic.h"
#include "tools/broker/state.h"

static kf_err check_group(const struct kf__exchange *exchange, kf_string id,
                          struct kf__any_group any)
{
    const struct kf__classic_group *group = any.classic;
    if (id.size == 0)
        return KF_ERR_INVALID_GROUP_ID;
    kf_err err = kf__check_coordinator(exchange, id);
    if (err)
        return err;
    if (!kf__any_group_is(any) && !kf__committed_group(&exchange->broker->committed, id))
        return KF_ERR_GROUP_ID_NOT_FOUND;
    bool consumers = group && kf__text_equal(group->protocol_type, kf__text("consumer"));
    return group && group->member_count > 0 && !consumers ? KF_ERR_NON_EMPTY_GROUP : KF_OK;
}

/* `in_use`: the topic is: this is looked at once for all its partitions. */
static kf_err check_offset(const struct kf__exchange *exchange, bool in_use, kf_string name,
                           int32_t partition)
{
    struct kf_broker *broker = exchange->broker;
    kf_err err = kf__forced(exchange, name, partition);
    if (!err)
        err = kf__may_topic(exchange, name);
    if (!err && !kf__topic_partition(kf__broker_topics_find(&broker->topics, name), partition))
        err = KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    return !err && in_use ? KF_ERR_GROUP_SUBSCRIBED_TO_TOPIC : err;
}

static bool open_going(struct kf__exchange *exchange, struct kf__all_or_none *going)
{
    const struct kf_offset_delete_request *request = exchange->request;
    size_t most = 0;
    for (int32_t t = 0; t < request->topics.count; t++)
        most += (size_t)request->topics.items[t].partitions.count;
    return kf__all_or_none_open(exchange, going, most, sizeof(struct kf__offset_place));
}

static void let_go(struct kf__exchange *exchange, const struct kf__all_or_none *going)
{
    const struct kf_offset_delete_request *request = exchange->request;
    kf_err err =
        kf__offsets_delete(exchange->broker, request->group_id, going->items, going->count);
    kf__all_or_none_tell(going, kf__wire_error(err));
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_offset_delete_request *request = exchange->request;
    struct kf_offset_delete_response *response = exchange->response;
    struct kf__any_group group = kf__any_group(&exchange->broker->consumers, request->group_id);
    kf_err err = check_group(exchange, request->group_id, group);
    response->error_code = kf__wire_error(err);
    if (err)
        return KF__ANSWERED;
    struct kf__all_or_none going;
    if (!open_going(exchange, &going) ||
        !KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_offset_delete_request_topic *asked = &request->topics.items[t];
        struct kf_offset_delete_response_topic *answer = &response->topics.items[t];
        bool in_use = kf__any_group_subscribes(group, asked->name, &exchange->arena);
        answer->name = asked->name;
        if (!KF__FILL(exchange, "topics/partitions", answer->partitions, asked->partitions.count))
            return KF__REFUSED;
        for (int32_t p = 0; p < asked->partitions.count; p++) {
            int32_t partition = asked->partitions.items[p].partition_index;
            answer->partitions.items[p].partition_index = partition;
            err = check_offset(exchange, in_use, asked->name, partition);
            answer->partitions.items[p].error_code = kf__wire_error(err);
            if (err)
                continue;
            struct kf__offset_place *places = going.items;
            places[going.count] =
                (struct kf__offset_place){.topic = asked->name, .partition = partition};
            going.answers[going.count++] = &answer->partitions.items[p].error_code;
        }
    }
    let_go(exchange, &going);
    return KF__ANSWERED;
}

const struct kf__api kf__api_offset_delete = {
    .key = KF_API_OFFSET_DELETE, .max_version = 0, .handle = handle};
