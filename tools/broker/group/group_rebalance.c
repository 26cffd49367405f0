#include "tools/broker/group/group_rebalance.h"

#include "tools/broker/text.h"

static void answer_join(const struct kf__coordinator *coordinator, struct kf__group_member *member,
                        const struct kf__joined *answer)
{
    void *token = member->join_token;
    member->joining = false;
    member->join_token = NULL;
    if (token)
        coordinator->sink.joined(coordinator->sink.context, token, answer);
}

kf_err kf__store_group(const struct kf__coordinator *coordinator,
                       const struct kf__classic_group *group)
{
    const struct kf__group_sink *sink = &coordinator->sink;
    return sink->store ? sink->store(sink->context, group) : KF_OK;
}

void kf__forget_group(const struct kf__coordinator *coordinator,
                      const struct kf__classic_group *group)
{
    if (coordinator->sink.forget)
        coordinator->sink.forget(coordinator->sink.context, group);
}

void kf__answer_sync(const struct kf__coordinator *coordinator,
                     const struct kf__classic_group *group, struct kf__group_member *member,
                     kf_err error)
{
    static const uint8_t nothing[1];
    void *token = member->sync_token;
    member->syncing = false;
    member->sync_token = NULL;
    if (!token)
        return;
    struct kf__synced answer = {.error = error};
    if (!error) {
        answer.protocol_type = group->protocol_type;
        answer.protocol_name = group->protocol_name;
        answer.assignment = member->assignment;
    }
    if (!answer.assignment.data)
        answer.assignment = (kf_bytes){.data = nothing, .size = 0};
    coordinator->sink.synced(coordinator->sink.context, token, &answer);
}

static kf_time longest_rebalance_timeout(const struct kf__classic_group *group)
{
    kf_time longest = 0;
    for (int32_t i = 0; i < group->member_count; i++)
        if (group->members[i]->rebalance_timeout > longest)
            longest = group->members[i]->rebalance_timeout;
    return longest;
}

static void start_rebalance(struct kf__coordinator *coordinator, kf_time now,
                            struct kf__classic_group *group)
{
    kf_time timeout = longest_rebalance_timeout(group);
    if (group->state == KF__GROUP_COMPLETING || group->state == KF__GROUP_STABLE)
        for (int32_t i = 0; i < group->member_count; i++) {
            group->members[i]->owes_sync = false;
            if (group->state == KF__GROUP_COMPLETING) /* nobody has heard of it */
                kf__bytes_free(coordinator->alloc, &group->members[i]->assignment);
            if (group->members[i]->syncing)
                kf__answer_sync(coordinator, group, group->members[i],
                                KF_ERR_REBALANCE_IN_PROGRESS);
        }
    bool first = group->state == KF__GROUP_EMPTY;
    group->state = KF__GROUP_PREPARING;
    group->sync_deadline = KF_FOREVER;
    group->initial_limit = 0;
    group->rebalance_deadline = now + timeout;
    if (!first)
        return;
    kf_time delay = coordinator->initial_delay < timeout ? coordinator->initial_delay : timeout;
    group->initial_limit = now + timeout;
    group->rebalance_deadline = now + delay;
    group->grew = false;
}

/* The leader, if it is among those who joined; else the first who did. */
static bool elect_joined_leader(struct kf__classic_group *group)
{
    if (group->leader && group->leader->joining)
        return true;
    for (int32_t i = 0; i < group->member_count; i++)
        if (group->members[i]->joining) {
            group->leader = group->members[i];
            return true;
        }
    return false;
}

static void drop_unjoined(const struct kf__coordinator *coordinator,
                          struct kf__classic_group *group)
{
    for (int32_t i = group->member_count - 1; i >= 0; i--) {
        struct kf__group_member *member = group->members[i];
        if (!member->joining && !member->instance_id.data)
            kf__group_remove(coordinator->alloc, group, member);
    }
}

static void answer_all_joins(struct kf__coordinator *coordinator, kf_time now,
                             struct kf__classic_group *group)
{
    for (int32_t i = 0; i < group->member_count; i++) {
        struct kf__group_member *member = group->members[i];
        member->session_deadline = now + member->session_timeout;
        member->is_new = false;
        member->owes_sync = true;
        struct kf__joined answer = {
            .generation = group->generation,
            .protocol_type = group->protocol_type,
            .protocol_name = group->protocol_name,
            .leader = group->leader->id,
            .member_id = member->id,
            .group = member == group->leader ? group : NULL,
        };
        answer_join(coordinator, member, &answer);
    }
}

static void complete_join(struct kf__coordinator *coordinator, kf_time now,
                          struct kf__classic_group *group)
{
    drop_unjoined(coordinator, group);
    if (group->member_count > 0 && !elect_joined_leader(group)) {
        /* Only static members, and none has come back: give them another round. */
        kf_time timeout = longest_rebalance_timeout(group);
        group->rebalance_deadline = now + (timeout > 0 ? timeout : KF_MILLISECOND);
        return;
    }
    kf__text_free(coordinator->alloc, &group->protocol_name);
    group->generation++;
    group->initial_limit = 0;
    group->rebalance_deadline = KF_FOREVER;
    if (group->member_count == 0) {
        group->state = KF__GROUP_EMPTY;
        group->empty_since_ms = coordinator->zero_ms + now / KF_MILLISECOND;
        (void)kf__store_group(coordinator, group); /* nobody is told: Kafka goes on as well */
        return;
    }
    /* Out of memory leaves no protocol: the members find out and join again. */
    (void)kf__text_copy(coordinator->alloc, kf__group_vote(group), &group->protocol_name);
    group->state = KF__GROUP_COMPLETING;
    group->sync_deadline = now + longest_rebalance_timeout(group);
    answer_all_joins(coordinator, now, group);
}

void kf__maybe_complete_join(struct kf__coordinator *coordinator, kf_time now,
                             struct kf__classic_group *group)
{
    if (group->state != KF__GROUP_PREPARING)
        return;
    if (group->initial_limit > 0) { /* the first join ends by time alone */
        if (group->rebalance_deadline <= now)
            complete_join(coordinator, now, group);
        return;
    }
    if (group->pending_count > 0)
        return;
    for (int32_t i = 0; i < group->member_count; i++)
        if (!group->members[i]->joining)
            return;
    complete_join(coordinator, now, group);
}

void kf__rebalance(struct kf__coordinator *coordinator, kf_time now,
                   struct kf__classic_group *group)
{
    if (group->state != KF__GROUP_PREPARING)
        start_rebalance(coordinator, now, group);
    kf__maybe_complete_join(coordinator, now, group);
}

void kf__remove_and_rebalance(struct kf__coordinator *coordinator, kf_time now,
                              struct kf__classic_group *group, struct kf__group_member *member,
                              kf_err error)
{
    struct kf__joined refusal = {.error = error, .generation = -1, .member_id = member->id};
    refusal.leader = kf__text("");
    answer_join(coordinator, member, &refusal);
    kf__answer_sync(coordinator, group, member, error);
    kf__group_remove(coordinator->alloc, group, member);
    kf__rebalance(coordinator, now, group);
}

void kf__coordinator_move(struct kf__coordinator *coordinator, kf_string id)
{
    struct kf__classic_group *group = kf__coordinator_find(coordinator, id);
    for (int32_t i = 0; group && i < group->member_count; i++) {
        struct kf__group_member *member = group->members[i];
        struct kf__joined refusal = {
            .error = KF_ERR_NOT_COORDINATOR, .generation = -1, .member_id = member->id};
        refusal.leader = kf__text("");
        if (member->join_token)
            answer_join(coordinator, member, &refusal);
        if (member->sync_token)
            kf__answer_sync(coordinator, group, member, KF_ERR_NOT_COORDINATOR);
    }
}

void kf__coordinator_forget(struct kf__coordinator *coordinator, void *token)
{
    for (size_t g = 0; g < coordinator->group_count; g++)
        for (int32_t i = 0; i < coordinator->groups[g]->member_count; i++) {
            struct kf__group_member *member = coordinator->groups[g]->members[i];
            if (member->join_token == token)
                member->join_token = NULL;
            if (member->sync_token == token)
                member->sync_token = NULL;
        }
}

/* ---- time ---- */

/* Waiting for others in a join or a sync is no sign of death. */
static kf_time member_deadline(const struct kf__group_member *member)
{
    bool waits = (member->joining && !member->is_new) || member->syncing;
    return waits ? KF_FOREVER : member->session_deadline;
}

static kf_time group_deadline(const struct kf__classic_group *group)
{
    kf_time deadline = KF_FOREVER;
    if (group->state == KF__GROUP_PREPARING)
        deadline = group->rebalance_deadline;
    for (int32_t i = 0; i < group->pending_count; i++)
        if (group->pending[i].deadline < deadline)
            deadline = group->pending[i].deadline;
    for (int32_t i = 0; i < group->member_count; i++) {
        const struct kf__group_member *member = group->members[i];
        if (member_deadline(member) < deadline)
            deadline = member_deadline(member);
        if (member->owes_sync && group->sync_deadline < deadline)
            deadline = group->sync_deadline;
    }
    return deadline;
}

static bool is_expired(const struct kf__classic_group *group, const struct kf__group_member *member,
                       kf_time now)
{
    return member_deadline(member) <= now || (member->owes_sync && group->sync_deadline <= now);
}

static void expire_members(struct kf__coordinator *coordinator, kf_time now,
                           struct kf__classic_group *group)
{
    for (int32_t i = 0; i < group->member_count;) {
        if (!is_expired(group, group->members[i], now)) {
            i++;
            continue;
        }
        kf__remove_and_rebalance(coordinator, now, group, group->members[i],
                                 KF_ERR_UNKNOWN_MEMBER_ID);
        i = 0;
    }
    for (int32_t i = 0; i < group->pending_count;) {
        if (group->pending[i].deadline > now) {
            i++;
            continue;
        }
        kf__group_remove_pending(coordinator->alloc, group, group->pending[i].id);
        kf__maybe_complete_join(coordinator, now, group);
    }
}

static void end_join_by_time(struct kf__coordinator *coordinator, kf_time now,
                             struct kf__classic_group *group)
{
    if (group->state != KF__GROUP_PREPARING || group->rebalance_deadline > now)
        return;
    kf_time left = group->initial_limit - now;
    if (group->initial_limit > 0 && group->grew && left > 0) {
        kf_time delay = coordinator->initial_delay < left ? coordinator->initial_delay : left;
        group->grew = false;
        group->rebalance_deadline = now + delay;
        return;
    }
    complete_join(coordinator, now, group);
}

void kf__coordinator_tick(struct kf__coordinator *coordinator, kf_time now)
{
    for (size_t g = 0; g < coordinator->group_count; g++) {
        struct kf__classic_group *group = coordinator->groups[g];
        if (group_deadline(group) > now)
            continue;
        expire_members(coordinator, now, group);
        end_join_by_time(coordinator, now, group);
    }
}

kf_time kf__coordinator_deadline(const struct kf__coordinator *coordinator)
{
    kf_time deadline = KF_FOREVER;
    for (size_t g = 0; g < coordinator->group_count; g++) {
        kf_time at = group_deadline(coordinator->groups[g]);
        if (at < deadline)
            deadline = at;
    }
    return deadline;
}
