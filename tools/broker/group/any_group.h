/*
 * any_group: a group of either kind, for those who want to know what both have:
 * a state, members and what they subscribe to. Called by the API files, by
 * expiry.c and by the questions of tests.
 */
#ifndef KF_BROKER_ANY_GROUP_H
#define KF_BROKER_ANY_GROUP_H

#include "tools/broker/group/consumer_coordinator.h"
#include <kafiber/codec.h>

/* One of the two, or none. */
struct kf__any_group {
    const struct kf__classic_group *classic;
    const struct kf__consumer_group *consumer;
};

/* Borrowed from the group. */
struct kf__any_member {
    kf_string id;
    kf_string instance_id;
    kf_string client_id;
    kf_string client_host;
};

struct kf__any_group kf__any_group(const struct kf__consumers *consumers, kf_string id);
static inline bool kf__any_group_is(struct kf__any_group group)
{
    return group.classic || group.consumer;
}
/* "Dead" where there is none. */
const char *kf__any_group_state(struct kf__any_group group);
int32_t kf__any_group_members(struct kf__any_group group);
/*
 * Does some member subscribe to the topic? A classic one whose words can't be read subscribes to
 * everything. The arena may be reset afterwards.
 */
bool kf__any_group_subscribes(struct kf__any_group group, kf_string topic, kf_arena *arena);
struct kf__any_member kf__any_group_member(struct kf__any_group group, int32_t index);

#endif
