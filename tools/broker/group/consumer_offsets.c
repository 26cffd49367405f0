/* consumer_offsets: whose offsets a consumer group takes and tells: those of its member's epoch. */
#include "tools/broker/group/consumer_coordinator.h"
#include "tools/broker/text.h"

static kf_err stale(const struct kf__consumer_member *member)
{
    return member->classic ? KF_ERR_ILLEGAL_GENERATION : KF_ERR_STALE_MEMBER_EPOCH;
}

kf_err kf__consumer_check_commit(const struct kf__consumer_group *group,
                                 const struct kf__member_claim *who, int16_t version,
                                 const struct kf__consumer_member **member)
{
    *member = NULL;
    if (who->generation < 0 && group->member_count == 0)
        return KF_OK;
    bool outside = who->generation == -1 && who->member_id.size == 0 && !who->instance_id.data;
    if (who->transactional && outside)
        return KF_OK;
    const struct kf__consumer_member *found = kf__consumer_member(group, who->member_id);
    if (!found)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    if (!who->transactional && !found->classic && version < 9)
        return KF_ERR_UNSUPPORTED_VERSION;
    if (who->generation > found->epoch)
        return stale(found);
    if (who->generation < found->epoch)
        *member = found;
    return KF_OK;
}

/* An old epoch may commit what it has had since. */
kf_err kf__consumer_check_partition(const struct kf__consumer_member *member, int32_t epoch,
                                    kf_uuid topic, int32_t partition)
{
    const struct kf__held *held = kf__holding_find(&member->assigned, topic, partition);
    if (!held)
        held = kf__holding_find(&member->revoking, topic, partition);
    return held && epoch >= held->epoch ? KF_OK : stale(member);
}

kf_err kf__consumer_check_fetch(const struct kf__consumer_group *group, kf_string member_id,
                                int32_t epoch)
{
    if (!member_id.data && epoch < 0)
        return KF_OK;
    const struct kf__consumer_member *member = kf__consumer_member(group, member_id);
    if (!member)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    return epoch == member->epoch ? KF_OK : stale(member);
}
