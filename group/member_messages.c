/* member_messages: the member's requests, filled at the version that the driver chose. */
#include "group/member_state.h"

#include "group/subscription.h"
#include <string.h>

static kf_string view(const char *text)
{
    return text ? (kf_string){text, strlen(text)} : (kf_string){0};
}

static int32_t milliseconds(kf_time time)
{
    kf_time value = time / KF_MILLISECOND;
    return value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

/* The sticky assignors tell the leader what they had, and since when. */
static kf_err user_data(const struct kf__member *member, enum kf__assignor assignor,
                        kf_arena *arena, kf_bytes *data)
{
    *data = (kf_bytes){0};
    if (assignor == KF__ASSIGNOR_COOPERATIVE_STICKY)
        return kf__cooperative_data_encode(member->last_generation, arena, data);
    if (assignor == KF__ASSIGNOR_STICKY && member->last_generation >= 0)
        return kf__sticky_data_encode(&member->last, member->last_generation, arena, data);
    return KF_OK;
}

static kf_err build_join(const struct kf__member *member, int16_t version, kf_arena *arena,
                         const void **message)
{
    const struct kf__member_settings *settings = &member->settings;
    struct kf_join_group_request *join = kf_arena_alloc(arena, sizeof *join);
    if (!join)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_join_group_request, join);
    join->group_id = view(settings->group_id);
    join->session_timeout_ms = milliseconds(settings->session_timeout);
    join->rebalance_timeout_ms = milliseconds(settings->rebalance_timeout);
    join->member_id = view(member->id);
    if (version >= 5)
        join->group_instance_id = view(settings->instance_id);
    join->protocol_type = view("consumer");
    if (version >= 8)
        join->reason = view(member->reason);

    size_t count = settings->assignor_count;
    join->protocols.items = kf_arena_alloc(arena, count * sizeof *join->protocols.items);
    if (!join->protocols.items)
        return KF_ERR_NO_MEMORY;
    join->protocols.count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct kf__subscription subscription = {
            .topics = member->topics.items,
            .topic_count = member->topics.count,
            .owned = member->owned,
            .generation = member->owned_generation,
            .rack = view(settings->rack),
        };
        kf_err err = user_data(member, settings->assignors[i], arena, &subscription.user_data);
        if (!err)
            err = kf__subscription_encode(&subscription, KF__SUBSCRIPTION_VERSION, arena,
                                          &join->protocols.items[i].metadata);
        if (err)
            return err;
        join->protocols.items[i].name = view(kf__assignor_name(settings->assignors[i]));
    }
    *message = join;
    return KF_OK;
}

static kf_err build_sync(const struct kf__member *member, int16_t version, kf_arena *arena,
                         const void **message)
{
    struct kf_sync_group_request *sync = kf_arena_alloc(arena, sizeof *sync);
    if (!sync)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_sync_group_request, sync);
    sync->group_id = view(member->settings.group_id);
    sync->generation_id = member->generation;
    sync->member_id = view(member->id);
    if (version >= 3)
        sync->group_instance_id = view(member->settings.instance_id);
    if (version >= 5) {
        sync->protocol_type = view("consumer");
        sync->protocol_name = view(kf__assignor_name(member->assignor));
    }
    sync->assignments.items = member->lead.assignments;
    sync->assignments.count = (int32_t)member->lead.assignment_count;
    *message = sync;
    return KF_OK;
}

static kf_err build_heartbeat(const struct kf__member *member, int16_t version, kf_arena *arena,
                              const void **message)
{
    struct kf_heartbeat_request *heartbeat = kf_arena_alloc(arena, sizeof *heartbeat);
    if (!heartbeat)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_heartbeat_request, heartbeat);
    heartbeat->group_id = view(member->settings.group_id);
    heartbeat->generation_id = member->generation;
    heartbeat->member_id = view(member->id);
    if (version >= 3)
        heartbeat->group_instance_id = view(member->settings.instance_id);
    *message = heartbeat;
    return KF_OK;
}

static kf_err build_leave(const struct kf__member *member, int16_t version, kf_arena *arena,
                          const void **message)
{
    struct kf_leave_group_request *leave = kf_arena_alloc(arena, sizeof *leave);
    if (!leave)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_leave_group_request, leave);
    leave->group_id = view(member->settings.group_id);
    *message = leave;
    if (version < 3) {
        leave->member_id = view(member->id);
        return KF_OK;
    }
    leave->members.items = kf_arena_alloc(arena, sizeof *leave->members.items);
    if (!leave->members.items)
        return KF_ERR_NO_MEMORY;
    leave->members.count = 1;
    leave->members.items[0].member_id = view(member->id);
    leave->members.items[0].group_instance_id = view(member->settings.instance_id);
    if (version >= 5)
        leave->members.items[0].reason = view("the consumer is being closed");
    return KF_OK;
}

kf_err kf__member_build(struct kf__member *member, enum kf__member_request request, int16_t version,
                        kf_arena *arena, const void **message)
{
    *message = NULL;
    switch (request) {
    case KF__MEMBER_JOIN:
        return build_join(member, version, arena, message);
    case KF__MEMBER_SYNC:
        return build_sync(member, version, arena, message);
    case KF__MEMBER_HEARTBEAT:
        return build_heartbeat(member, version, arena, message);
    case KF__MEMBER_LEAVE:
        return build_leave(member, version, arena, message);
    case KF__MEMBER_REQUESTS:
        break;
    }
    return KF_ERR_INVALID_ARGUMENT;
}
