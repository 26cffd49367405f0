#include "tools/broker/group/any_group.h"

struct kf__any_group kf__any_group(const struct kf__consumers *consumers, kf_string id)
{
    struct kf__any_group group = {.consumer = kf__consumers_find(consumers, id)};
    if (!group.consumer)
        group.classic = kf__coordinator_find(consumers->classic, id);
    return group;
}

const char *kf__any_group_state(struct kf__any_group group)
{
    if (group.consumer)
        return kf__consumer_group_state(group.consumer);
    return group.classic ? kf__group_state_name(group.classic->state) : "Dead";
}

int32_t kf__any_group_members(struct kf__any_group group)
{
    if (group.consumer)
        return group.consumer->member_count;
    return group.classic ? group.classic->member_count : 0;
}

struct kf__any_member kf__any_group_member(struct kf__any_group group, int32_t index)
{
    if (group.consumer) {
        const struct kf__consumer_member *one = group.consumer->members[index];
        return (struct kf__any_member){one->id, one->instance_id, one->client_id, one->client_host};
    }
    const struct kf__group_member *one = group.classic->members[index];
    return (struct kf__any_member){one->id, one->instance_id, one->client_id, one->client_host};
}
