/*
 * ConsumerGroupDescribe (69), versions 0–1: groups of the new protocol
 * (KIP-848); of classic ones DescribeGroups tells.
 *
 * 1  member_type: members of the classic protocol among them (KIP-1099).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_consumer_group_describe_response_described_group group_answer;
typedef struct kf_consumer_group_describe_response_member member_answer;
typedef struct kf_consumer_group_describe_response_assignment assignment_answer;

enum {
    CLASSIC_MEMBER = 0,
    CONSUMER_MEMBER = 1,
};

static void refuse(struct kf__exchange *exchange, group_answer *answer, kf_err err,
                   const char *format)
{
    char message[300];
    int shown = (int)(answer->group_id.size < 200 ? answer->group_id.size : 200);
    answer->error_code = kf__wire_error(err);
    if (!format)
        return;
    snprintf(message, sizeof message, "Group %.*s %s", shown, answer->group_id.data, format);
    answer->error_message = kf__answer_text(exchange, kf__text(message));
}

/* Topics that are gone are left out. */
static bool tell_partitions(struct kf__exchange *exchange, const char *path,
                            const struct kf__holding *holding, assignment_answer *answer)
{
    const struct kf__topics *topics = &exchange->broker->topics;
    int32_t told = 0;
    if (!KF__FILL(exchange, path, answer->topic_partitions, kf__holding_topics(holding)))
        return false;
    for (size_t i = 0; i < holding->count; i += kf__holding_run(holding, i)) {
        const struct kf__topic *topic = kf__broker_topics_find_id(topics, holding->items[i].topic);
        size_t run = kf__holding_run(holding, i);
        if (!topic)
            continue;
        struct kf_consumer_group_describe_response_topic_partitions *one =
            &answer->topic_partitions.items[told++];
        one->topic_id = topic->id;
        one->topic_name = kf__answer_text(exchange, topic->name);
        one->partitions.items = kf__answer_ints(exchange, (int32_t)run);
        if (!one->partitions.items)
            return false;
        one->partitions.count = (int32_t)run;
        for (size_t p = 0; p < run; p++)
            one->partitions.items[p] = holding->items[i + p].partition;
    }
    answer->topic_partitions.count = told;
    return true;
}

/* What a member has: with what it has still to give back. */
static bool tell_assigned(struct kf__exchange *exchange, const struct kf__consumer_member *member,
                          assignment_answer *answer)
{
    const kf_allocator *alloc = exchange->broker->alloc;
    struct kf__holding all = {0};
    kf_err err = kf__holding_copy(alloc, &member->assigned, &all);
    for (size_t i = 0; i < member->revoking.count && !err; i++)
        err = kf__holding_add(alloc, &all, member->revoking.items[i].topic,
                              member->revoking.items[i].partition, 0);
    kf__holding_sort(&all);
    bool told = !err && tell_partitions(exchange, "groups/members/assignment/topic_partitions",
                                        &all, answer);
    kf__holding_free(alloc, &all);
    return told;
}

static bool tell_member(struct kf__exchange *exchange, const struct kf__consumer_member *member,
                        member_answer *answer)
{
    answer->member_id = kf__answer_text(exchange, member->id);
    answer->instance_id = kf__answer_text(exchange, member->instance_id);
    answer->rack_id = kf__answer_text(exchange, member->rack_id);
    answer->member_epoch = member->epoch;
    answer->client_id = kf__answer_text(exchange, member->client_id);
    answer->client_host = kf__answer_text(exchange, member->client_host);
    answer->member_type = member->classic ? CLASSIC_MEMBER : CONSUMER_MEMBER;
    answer->subscribed_topic_regex = kf__answer_text(exchange, member->regex);
    size_t size = ((size_t)member->topic_count + 1) * sizeof(kf_string);
    answer->subscribed_topic_names.items = kf_arena_alloc(&exchange->arena, size);
    if (!answer->subscribed_topic_names.items)
        return false;
    answer->subscribed_topic_names.count = member->topic_count;
    for (int32_t i = 0; i < member->topic_count; i++)
        answer->subscribed_topic_names.items[i] = kf__answer_text(exchange, member->topics[i]);
    return tell_assigned(exchange, member, &answer->assignment) &&
           tell_partitions(exchange, "groups/members/target_assignment/topic_partitions",
                           &member->target, &answer->target_assignment);
}

static bool may_know(const struct kf__exchange *exchange, const assignment_answer *assignment)
{
    for (int32_t i = 0; i < assignment->topic_partitions.count; i++)
        if (kf__may_topic(exchange, assignment->topic_partitions.items[i].topic_name))
            return false;
    return true;
}

/* Members are not told of where one of them has a topic that the client may not know of. */
static void hide_topics(struct kf__exchange *exchange, group_answer *answer)
{
    for (int32_t i = 0; i < answer->members.count; i++) {
        const member_answer *member = &answer->members.items[i];
        if (may_know(exchange, &member->assignment) &&
            may_know(exchange, &member->target_assignment))
            continue;
        answer->error_code = KF_ERR_TOPIC_AUTHORIZATION_FAILED;
        answer->error_message = kf__text(
            "The group has described topic(s) that the client is not authorized to describe.");
        answer->members.count = 0;
    }
}

static bool tell_group(struct kf__exchange *exchange, const struct kf__consumer_group *group,
                       group_answer *answer)
{
    const struct kf_consumer_group_describe_request *request = exchange->request;
    answer->group_state = kf__text(kf__consumer_group_state(group));
    answer->group_epoch = group->epoch;
    answer->assignment_epoch = group->assignment_epoch;
    answer->assignor_name = kf__consumer_group_assignor(group);
    if (request->include_authorized_operations)
        answer->authorized_operations =
            kf__allowed_operations(exchange, KF__ACL_GROUP, answer->group_id);
    if (!KF__FILL(exchange, "groups/members", answer->members, group->member_count))
        return false;
    for (int32_t i = 0; i < group->member_count; i++)
        if (!tell_member(exchange, group->members[i], &answer->members.items[i]))
            return false;
    hide_topics(exchange, answer);
    return true;
}

static bool describe(struct kf__exchange *exchange, group_answer *answer)
{
    const struct kf_broker *broker = exchange->broker;
    const struct kf__consumer_group *group =
        kf__consumers_find(&broker->consumers, answer->group_id);
    kf_err err = KF_OK;
    if (!kf__consumer_groups_are_on(broker))
        err = KF_ERR_UNSUPPORTED_VERSION;
    if (!err)
        err = kf__check_coordinator(exchange, answer->group_id);
    if (!err && answer->group_id.size == 0)
        err = KF_ERR_INVALID_GROUP_ID;
    if (err)
        refuse(exchange, answer, err, NULL);
    else if (!group)
        refuse(exchange, answer, KF_ERR_GROUP_ID_NOT_FOUND,
               kf__coordinator_find(&broker->coordinator, answer->group_id)
                   ? "is not a consumer group."
                   : "not found.");
    return err || !group || tell_group(exchange, group, answer);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_consumer_group_describe_request *request = exchange->request;
    struct kf_consumer_group_describe_response *response = exchange->response;
    if (!KF__FILL(exchange, "groups", response->groups, request->group_ids.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->group_ids.count; i++) {
        response->groups.items[i].group_id = request->group_ids.items[i];
        if (!describe(exchange, &response->groups.items[i]))
            return KF__REFUSED;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_consumer_group_describe = {
    .key = KF_API_CONSUMER_GROUP_DESCRIBE, .max_version = 1, .handle = handle};
