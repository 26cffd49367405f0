#include "tools/broker/group/group_coordinator.h"

#include "tools/broker/group/group_rebalance.h"
#include "tools/broker/text.h"

#include <inttypes.h>
#include <stdio.h>

void kf__coordinator_init(struct kf__coordinator *coordinator, const kf_allocator *alloc,
                          struct kf__group_sink sink)
{
    *coordinator = (struct kf__coordinator){
        .alloc = alloc,
        .sink = sink,
        .min_session_timeout = 6 * KF_SECOND,
        .max_session_timeout = 1800 * KF_SECOND,
        .max_size = INT32_MAX,
    };
}

void kf__coordinator_free(struct kf__coordinator *coordinator)
{
    for (size_t i = 0; i < coordinator->group_count; i++)
        kf__group_free(coordinator->alloc, coordinator->groups[i]);
    kf_free(coordinator->alloc, coordinator->groups);
    coordinator->groups = NULL;
    coordinator->group_count = 0;
}

struct kf__classic_group *kf__coordinator_find(const struct kf__coordinator *coordinator,
                                               kf_string group)
{
    for (size_t i = 0; i < coordinator->group_count; i++)
        if (kf__text_equal(coordinator->groups[i]->id, group))
            return coordinator->groups[i];
    return NULL;
}

struct kf__classic_group *kf__coordinator_group(struct kf__coordinator *coordinator,
                                                kf_string group)
{
    struct kf__classic_group *found = kf__coordinator_find(coordinator, group);
    if (found)
        return found;
    struct kf__classic_group **groups = kf_realloc(
        coordinator->alloc, coordinator->groups, (coordinator->group_count + 1) * sizeof(*groups));
    if (!groups)
        return NULL;
    coordinator->groups = groups;
    if (kf__group_new(coordinator->alloc, group, &found))
        return NULL;
    groups[coordinator->group_count++] = found;
    return found;
}

static void take_out(struct kf__coordinator *coordinator, struct kf__classic_group *group)
{
    size_t kept = 0;
    for (size_t i = 0; i < coordinator->group_count; i++)
        if (coordinator->groups[i] != group)
            coordinator->groups[kept++] = coordinator->groups[i];
    coordinator->group_count = kept;
    kf__group_free(coordinator->alloc, group);
}

kf_err kf__coordinator_delete(struct kf__coordinator *coordinator, kf_string group)
{
    struct kf__classic_group *found = kf__coordinator_find(coordinator, group);
    if (!found)
        return KF_ERR_GROUP_ID_NOT_FOUND;
    if (found->state != KF__GROUP_EMPTY)
        return KF_ERR_NON_EMPTY_GROUP;
    take_out(coordinator, found);
    return KF_OK;
}

void kf__coordinator_give_up(struct kf__coordinator *coordinator, kf_string group)
{
    struct kf__classic_group *found = kf__coordinator_find(coordinator, group);
    if (!found || found->state != KF__GROUP_EMPTY)
        return;
    kf__forget_group(coordinator, found);
    take_out(coordinator, found);
}

/* ---- join ---- */

static void refuse_join(const struct kf__coordinator *coordinator, void *token, kf_err error,
                        kf_string member_id)
{
    struct kf__joined answer = {.error = error, .generation = -1, .member_id = member_id};
    answer.leader = kf__text("");
    coordinator->sink.joined(coordinator->sink.context, token, &answer);
}

/* CLIENT-UUID, as Kafka names members. */
static kf_err make_member_id(struct kf__coordinator *coordinator, const struct kf__join *join,
                             char *text, size_t size)
{
    kf_string prefix = join->instance_id.data ? join->instance_id : join->client_id;
    uint64_t x = (coordinator->seed += UINT64_C(0x9E3779B97F4A7C15));
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    uint64_t y = (x ^ (x >> 31)) * UINT64_C(0xD6E8FEB86659FD93);
    int length = snprintf(text, size, "%.*s-%08" PRIx32 "-%04x-4%03x-%04x-%012" PRIx64,
                          (int)prefix.size, prefix.data ? prefix.data : "", (uint32_t)(x >> 32),
                          (unsigned)(x >> 16 & 0xFFFF), (unsigned)(x & 0xFFF),
                          (unsigned)(0x8000 | (y >> 48 & 0x3FFF)), y & UINT64_C(0xFFFFFFFFFFFF));
    return length < 0 || (size_t)length >= size ? KF_ERR_INVALID_REQUEST : KF_OK;
}

static kf_err update_member(const struct kf__coordinator *coordinator,
                            struct kf__group_member *member, const struct kf__join *join,
                            void *token)
{
    kf_err err =
        kf__group_set_protocols(coordinator->alloc, member, join->protocols, join->protocol_count);
    if (err)
        return err;
    if (member->join_token)
        refuse_join(coordinator, member->join_token, KF_ERR_REBALANCE_IN_PROGRESS, member->id);
    member->session_timeout = join->session_timeout;
    member->rebalance_timeout = join->rebalance_timeout;
    member->joining = true;
    member->join_token = token;
    return KF_OK;
}

static void rejoin(struct kf__coordinator *coordinator, kf_time now,
                   struct kf__classic_group *group, struct kf__group_member *member,
                   const struct kf__join *join, void *token)
{
    kf_err err = update_member(coordinator, member, join, token);
    if (err) {
        refuse_join(coordinator, token, err, join->member_id);
        return;
    }
    kf__rebalance(coordinator, now, group);
}

static void add_member(struct kf__coordinator *coordinator, kf_time now,
                       struct kf__classic_group *group, kf_string id, const struct kf__join *join,
                       void *token)
{
    const kf_allocator *alloc = coordinator->alloc;
    struct kf__group_member *member = NULL;
    kf_err err = kf__group_member_new(alloc, id, join->instance_id, join->client_id,
                                      join->client_host, &member);
    if (!err)
        err = update_member(coordinator, member, join, token);
    if (!err && group->member_count == 0) {
        kf__text_free(alloc, &group->protocol_type);
        err = kf__text_copy(alloc, join->protocol_type, &group->protocol_type);
    }
    if (!err)
        err = kf__group_add(alloc, group, member);
    if (err) {
        kf__group_member_free(alloc, member);
        refuse_join(coordinator, token, err, join->member_id);
        return;
    }
    member->is_new = true;
    member->session_deadline = now + KF__NEW_MEMBER_TIMEOUT;
    kf__group_remove_pending(alloc, group, member->id);
    group->grew = true;
    kf__rebalance(coordinator, now, group);
}

/* Tells where the group stands, without a rebalance. */
static void answer_current(const struct kf__coordinator *coordinator,
                           const struct kf__classic_group *group,
                           const struct kf__group_member *member, bool skip_assignment,
                           kf_string leader, void *token)
{
    bool lists =
        member == group->leader && (skip_assignment || group->state == KF__GROUP_COMPLETING);
    struct kf__joined answer = {
        .generation = group->generation,
        .protocol_type = group->protocol_type,
        .protocol_name = group->protocol_name,
        .leader = leader,
        .member_id = member->id,
        .group = lists ? group : NULL,
        .skip_assignment = skip_assignment,
    };
    coordinator->sink.joined(coordinator->sink.context, token, &answer);
}

/* Whoever still waits in the old incarnation's name is fenced. */
static void fence_waiters(const struct kf__coordinator *coordinator,
                          struct kf__group_member *member, kf_string old_id)
{
    if (member->join_token)
        refuse_join(coordinator, member->join_token, KF_ERR_FENCED_INSTANCE_ID, old_id);
    if (member->sync_token)
        kf__answer_sync(coordinator, NULL, member, KF_ERR_FENCED_INSTANCE_ID);
    member->joining = member->syncing = false;
    member->join_token = member->sync_token = NULL;
}

/* A static member came back without its id: it takes its old place under a new one (KIP-345). */
static void replace_static(struct kf__coordinator *coordinator, kf_time now,
                           struct kf__classic_group *group, struct kf__group_member *member,
                           const char *new_id, const struct kf__join *join, void *token)
{
    const kf_allocator *alloc = coordinator->alloc;
    kf_string old_id = member->id, id;
    kf_err err = kf__text_copy(alloc, kf__text(new_id), &id);
    if (err) {
        refuse_join(coordinator, token, err, join->member_id);
        return;
    }
    member->id = id;

    kf_string chosen = group->protocol_name;
    bool was_stable = group->state == KF__GROUP_STABLE;
    if (was_stable) {
        err = kf__group_set_protocols(alloc, member, join->protocols, join->protocol_count);
        member->session_timeout = join->session_timeout;
        member->rebalance_timeout = join->rebalance_timeout;
        member->session_deadline = now + member->session_timeout;
    }
    bool stays = !err && was_stable && kf__text_equal(kf__group_vote(group), chosen);
    if (stays)
        err = kf__store_group(coordinator, group);
    if (err) { /* the old one stays, and nobody has heard of the new one */
        refuse_join(coordinator, token, err, join->member_id);
        member->id = old_id;
        old_id = id;
    } else {
        fence_waiters(coordinator, member, old_id);
    }
    if (stays && !err) {
        bool leads = group->leader == member;
        bool skip = leads && join->can_skip_assignment;
        /* A leader that can't be told to skip learns its old name: so it thinks another leads. */
        kf_string leader = leads && !skip ? old_id : group->leader->id;
        answer_current(coordinator, group, member, skip, leader, token);
    } else if (!err) {
        rejoin(coordinator, now, group, member, join, token);
    }
    kf__text_free(alloc, &old_id);
}

static void join_new(struct kf__coordinator *coordinator, kf_time now,
                     struct kf__classic_group *group, const struct kf__join *join, void *token)
{
    char id[KF__MEMBER_ID_BYTES];
    kf_err err = make_member_id(coordinator, join, id, sizeof id);
    if (err) {
        refuse_join(coordinator, token, err, join->member_id);
        return;
    }
    struct kf__group_member *known = kf__group_static_member(group, join->instance_id);
    if (known) {
        replace_static(coordinator, now, group, known, id, join, token);
    } else if (join->require_member_id && !join->instance_id.data) {
        err = kf__group_add_pending(coordinator->alloc, group, kf__text(id),
                                    now + join->session_timeout);
        refuse_join(coordinator, token, err ? err : KF_ERR_MEMBER_ID_REQUIRED, kf__text(id));
    } else {
        add_member(coordinator, now, group, kf__text(id), join, token);
    }
}

/* The member behind a claim; UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID. */
static kf_err claimed_member(const struct kf__classic_group *group, kf_string member_id,
                             kf_string instance_id, struct kf__group_member **member)
{
    if (instance_id.data) {
        *member = kf__group_static_member(group, instance_id);
        if (!*member)
            return KF_ERR_UNKNOWN_MEMBER_ID;
        return kf__text_equal((*member)->id, member_id) ? KF_OK : KF_ERR_FENCED_INSTANCE_ID;
    }
    *member = kf__group_member(group, member_id);
    return *member ? KF_OK : KF_ERR_UNKNOWN_MEMBER_ID;
}

static void join_known(struct kf__coordinator *coordinator, kf_time now,
                       struct kf__classic_group *group, const struct kf__join *join, void *token)
{
    if (!join->instance_id.data && kf__group_is_pending(group, join->member_id)) {
        add_member(coordinator, now, group, join->member_id, join, token);
        return;
    }
    struct kf__group_member *member = NULL;
    kf_err err = claimed_member(group, join->member_id, join->instance_id, &member);
    if (!err && group->state == KF__GROUP_EMPTY)
        err = KF_ERR_UNKNOWN_MEMBER_ID;
    if (err) {
        refuse_join(coordinator, token, err, join->member_id);
        return;
    }
    bool same = kf__group_same_protocols(member, join->protocols, join->protocol_count);
    bool settled = group->state == KF__GROUP_COMPLETING ||
                   (group->state == KF__GROUP_STABLE && member != group->leader);
    if (settled && same)
        answer_current(coordinator, group, member, false, group->leader->id, token);
    else
        rejoin(coordinator, now, group, member, join, token);
}

/* In a rebalance those count who have joined it, so that a group that is too large sheds the last
 * ones. */
static bool has_room(const struct kf__coordinator *coordinator,
                     const struct kf__classic_group *group, kf_string id)
{
    const struct kf__group_member *known = kf__group_member(group, id);
    int32_t joined = 0;
    if (group->state == KF__GROUP_EMPTY)
        return true;
    if (group->state != KF__GROUP_PREPARING)
        return known || group->member_count < coordinator->max_size;
    for (int32_t i = 0; i < group->member_count; i++)
        joined += group->members[i]->joining;
    return (known && known->joining) || joined < coordinator->max_size;
}

static void turn_away(struct kf__coordinator *coordinator, struct kf__classic_group *group,
                      const struct kf__join *join, void *token)
{
    struct kf__group_member *known = kf__group_member(group, join->member_id);
    kf__group_remove_pending(coordinator->alloc, group, join->member_id);
    if (known)
        kf__group_remove(coordinator->alloc, group, known);
    refuse_join(coordinator, token, KF_ERR_GROUP_MAX_SIZE_REACHED, kf__text(""));
}

/* The group, made for a member without an id. */
static kf_err joined_group(struct kf__coordinator *coordinator, const struct kf__join *join,
                           struct kf__classic_group **group)
{
    *group = kf__coordinator_find(coordinator, join->group);
    if (*group || join->member_id.size > 0)
        return *group ? KF_OK : KF_ERR_UNKNOWN_MEMBER_ID;
    *group = kf__coordinator_group(coordinator, join->group);
    kf_err err = *group ? kf__store_group(coordinator, *group) : KF_ERR_NO_MEMORY;
    if (err && *group)
        take_out(coordinator, *group);
    return err;
}

void kf__coordinator_join(struct kf__coordinator *coordinator, kf_time now,
                          const struct kf__join *join, void *token)
{
    kf_err err = KF_OK;
    struct kf__classic_group *group = NULL;
    bool is_new = join->member_id.size == 0;
    if (join->group.size == 0)
        err = KF_ERR_INVALID_GROUP_ID;
    else if (join->session_timeout < coordinator->min_session_timeout ||
             join->session_timeout > coordinator->max_session_timeout)
        err = KF_ERR_INVALID_SESSION_TIMEOUT;
    if (!err)
        err = joined_group(coordinator, join, &group);
    if (!err) {
        if (!has_room(coordinator, group, join->member_id)) {
            turn_away(coordinator, group, join, token);
            return;
        } else if (!kf__group_accepts(group, join->protocol_type, join->protocols,
                                      join->protocol_count))
            err = KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    }
    if (err)
        refuse_join(coordinator, token, err, join->member_id);
    else if (is_new)
        join_new(coordinator, now, group, join, token);
    else
        join_known(coordinator, now, group, join, token);
}

void kf__coordinator_dissolve(struct kf__coordinator *coordinator, struct kf__classic_group *group,
                              kf_err error)
{
    for (int32_t i = 0; i < group->member_count; i++) {
        struct kf__group_member *member = group->members[i];
        if (member->join_token)
            refuse_join(coordinator, member->join_token, error, member->id);
        if (member->sync_token)
            kf__answer_sync(coordinator, group, member, error);
    }
    take_out(coordinator, group);
}

/* ---- sync, heartbeat, leave, commit ---- */

static kf_err check_claim(const struct kf__coordinator *coordinator,
                          const struct kf__member_claim *who, struct kf__classic_group **group,
                          struct kf__group_member **member)
{
    if (who->group.size == 0)
        return KF_ERR_INVALID_GROUP_ID;
    *group = kf__coordinator_find(coordinator, who->group);
    if (!*group)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    kf_err err = claimed_member(*group, who->member_id, who->instance_id, member);
    if (err)
        return err;
    return who->generation == (*group)->generation ? KF_OK : KF_ERR_ILLEGAL_GENERATION;
}

/* Whom the leader leaves out has nothing, as in Kafka. */
static void take_assignments(const struct kf__coordinator *coordinator,
                             struct kf__classic_group *group, const struct kf__sync *sync)
{
    for (int32_t i = 0; i < group->member_count; i++)
        kf__bytes_free(coordinator->alloc, &group->members[i]->assignment);
    for (int32_t i = 0; i < sync->assignment_count; i++) {
        struct kf__group_member *member = kf__group_member(group, sync->assignments[i].member_id);
        kf_bytes copy;
        if (!member || kf__bytes_copy(coordinator->alloc, sync->assignments[i].assignment, &copy))
            continue;
        kf__bytes_free(coordinator->alloc, &member->assignment);
        member->assignment = copy;
    }
}

static void answer_all_syncs(struct kf__coordinator *coordinator, kf_time now,
                             struct kf__classic_group *group)
{
    for (int32_t i = 0; i < group->member_count; i++) {
        struct kf__group_member *member = group->members[i];
        if (!member->syncing)
            continue;
        member->session_deadline = now + member->session_timeout;
        kf__answer_sync(coordinator, group, member, KF_OK);
    }
}

/* They could not be stored: all who wait hear it, and the group tries again. */
static void drop_assignments(struct kf__coordinator *coordinator, kf_time now,
                             struct kf__classic_group *group, kf_err error)
{
    for (int32_t i = 0; i < group->member_count; i++) {
        kf__bytes_free(coordinator->alloc, &group->members[i]->assignment);
        kf__answer_sync(coordinator, group, group->members[i], error);
    }
    kf__rebalance(coordinator, now, group);
}

static kf_err check_sync(const struct kf__coordinator *coordinator, const struct kf__sync *sync,
                         struct kf__classic_group **group, struct kf__group_member **member)
{
    kf_err err = check_claim(coordinator, &sync->who, group, member);
    if (err)
        return err;
    if (sync->protocol_type.data && !kf__text_equal(sync->protocol_type, (*group)->protocol_type))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (sync->protocol_name.data && !kf__text_equal(sync->protocol_name, (*group)->protocol_name))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if ((*group)->state == KF__GROUP_EMPTY)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    return (*group)->state == KF__GROUP_PREPARING ? KF_ERR_REBALANCE_IN_PROGRESS : KF_OK;
}

void kf__coordinator_sync(struct kf__coordinator *coordinator, kf_time now,
                          const struct kf__sync *sync, void *token)
{
    struct kf__classic_group *group = NULL;
    struct kf__group_member *member = NULL;
    kf_err err = check_sync(coordinator, sync, &group, &member);
    if (err) {
        struct kf__synced answer = {.error = err};
        coordinator->sink.synced(coordinator->sink.context, token, &answer);
        return;
    }
    if (member->sync_token)
        kf__answer_sync(coordinator, group, member, KF_ERR_REBALANCE_IN_PROGRESS);
    member->syncing = true;
    member->sync_token = token;
    member->owes_sync = false;
    if (group->state == KF__GROUP_COMPLETING && member == group->leader) {
        take_assignments(coordinator, group, sync);
        err = kf__store_group(coordinator, group);
        if (err)
            drop_assignments(coordinator, now, group, err);
        else
            group->state = KF__GROUP_STABLE;
    }
    if (group->state == KF__GROUP_STABLE)
        answer_all_syncs(coordinator, now, group);
}

kf_err kf__coordinator_heartbeat(struct kf__coordinator *coordinator, kf_time now,
                                 const struct kf__member_claim *who)
{
    struct kf__classic_group *group = NULL;
    struct kf__group_member *member = NULL;
    kf_err err = check_claim(coordinator, who, &group, &member);
    if (err)
        return err;
    if (group->state == KF__GROUP_EMPTY)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    member->session_deadline = now + member->session_timeout;
    return group->state == KF__GROUP_PREPARING ? KF_ERR_REBALANCE_IN_PROGRESS : KF_OK;
}

kf_err kf__coordinator_leave(struct kf__coordinator *coordinator, kf_time now,
                             const struct kf__member_claim *who)
{
    struct kf__classic_group *group = kf__coordinator_find(coordinator, who->group);
    if (!group)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    if (!who->instance_id.data && kf__group_is_pending(group, who->member_id)) {
        kf__group_remove_pending(coordinator->alloc, group, who->member_id);
        kf__maybe_complete_join(coordinator, now, group);
        return KF_OK;
    }
    struct kf__group_member *member = NULL;
    kf_err err;
    if (who->instance_id.data && who->member_id.size == 0) { /* an administrator's removal */
        member = kf__group_static_member(group, who->instance_id);
        err = member ? KF_OK : KF_ERR_UNKNOWN_MEMBER_ID;
    } else {
        err = claimed_member(group, who->member_id, who->instance_id, &member);
    }
    if (!err)
        kf__remove_and_rebalance(coordinator, now, group, member, KF_ERR_UNKNOWN_MEMBER_ID);
    return err;
}

kf_err kf__coordinator_check_commit(struct kf__coordinator *coordinator, kf_time now,
                                    const struct kf__member_claim *who)
{
    struct kf__classic_group *group = kf__coordinator_find(coordinator, who->group);
    if (!group) {
        if (who->generation >= 0)
            return KF_ERR_ILLEGAL_GENERATION;
        return kf__coordinator_group(coordinator, who->group) ? KF_OK : KF_ERR_NO_MEMORY;
    }
    if (who->generation < 0 && group->state == KF__GROUP_EMPTY)
        return KF_OK;

    struct kf__group_member *member = NULL;
    bool outside = who->generation < 0 && who->member_id.size == 0 && !who->instance_id.data;
    if (outside)
        return who->transactional ? KF_OK : KF_ERR_UNKNOWN_MEMBER_ID;
    kf_err err = claimed_member(group, who->member_id, who->instance_id, &member);
    if (err)
        return err;
    if (who->generation != group->generation)
        return KF_ERR_ILLEGAL_GENERATION;
    if (group->state == KF__GROUP_COMPLETING && !who->transactional)
        return KF_ERR_REBALANCE_IN_PROGRESS;
    if (member)
        member->session_deadline = now + member->session_timeout;
    return KF_OK;
}
