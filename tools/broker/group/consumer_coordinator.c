#include "tools/broker/group/consumer_coordinator.h"

#include "tools/broker/group/consumer_migration.h"
#include "tools/broker/group/consumer_target.h"
#include "tools/broker/text.h"

void kf__consumers_init(struct kf__consumers *consumers, const kf_allocator *alloc,
                        const struct kf__topics *topics, struct kf__coordinator *classic)
{
    *consumers = (struct kf__consumers){.alloc = alloc, .topics = topics, .classic = classic};
}

void kf__consumers_free(struct kf__consumers *consumers)
{
    for (size_t i = 0; i < consumers->group_count; i++)
        kf__consumer_group_free(consumers->alloc, consumers->groups[i]);
    kf_free(consumers->alloc, consumers->groups);
    consumers->groups = NULL;
    consumers->group_count = 0;
    consumers->bytes = 0;
}

/* ---- groups ---- */

struct kf__consumer_group *kf__consumers_find(const struct kf__consumers *consumers,
                                              kf_string group)
{
    for (size_t i = 0; i < consumers->group_count; i++)
        if (kf__text_equal(consumers->groups[i]->id, group))
            return consumers->groups[i];
    return NULL;
}

struct kf__consumer_group *kf__consumers_put(struct kf__consumers *consumers, kf_string group)
{
    struct kf__consumer_group *made = NULL;
    struct kf__consumer_group **groups = kf_realloc(consumers->alloc, consumers->groups,
                                                    (consumers->group_count + 1) * sizeof(*groups));
    if (!groups)
        return NULL;
    consumers->groups = groups;
    if (kf__consumer_group_new(consumers->alloc, group, &made))
        return NULL;
    groups[consumers->group_count++] = made;
    kf__consumers_count(consumers, made);
    return made;
}

void kf__consumers_take_out(struct kf__consumers *consumers, struct kf__consumer_group *group)
{
    size_t kept = 0;
    for (size_t i = 0; i < consumers->group_count; i++)
        if (consumers->groups[i] != group)
            consumers->groups[kept++] = consumers->groups[i];
    consumers->group_count = kept;
    consumers->bytes -= group->bytes;
    kf__consumer_group_free(consumers->alloc, group);
}

bool kf__consumers_drop_empty(struct kf__consumers *consumers, kf_string group)
{
    struct kf__consumer_group *found = kf__consumers_find(consumers, group);
    if (found && found->member_count > 0)
        return false;
    if (found)
        kf__consumers_take_out(consumers, found);
    return true;
}

void kf__consumers_count(struct kf__consumers *consumers, struct kf__consumer_group *group)
{
    size_t bytes = sizeof *group + group->id.size;
    for (int32_t i = 0; i < group->member_count; i++)
        bytes += kf__consumer_member_bytes(group->members[i]);
    for (int32_t i = 0; i < group->regex_count; i++)
        bytes += kf__group_regex_bytes(&group->regexes[i]);
    consumers->bytes += bytes - group->bytes;
    group->bytes = bytes;
}

void kf__consumers_make_id(struct kf__consumers *consumers, char id[24])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int i = 0; i < 22; i++) {
        consumers->seed =
            consumers->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        id[i] = letters[consumers->seed >> 58];
    }
    id[22] = 0;
}

/* ---- epochs and targets ---- */

kf_err kf__consumers_look_at_topics(struct kf__consumers *consumers,
                                    struct kf__consumer_group *group, bool must)
{
    uint64_t hash = group->topics_hash;
    kf_err err = KF_OK;
    if (group->resubscribed || must || group->seen_topics != consumers->topics->changes)
        err = kf__consumer_topics_hash(consumers->alloc, consumers->topics, group, &hash);
    if (err)
        return err;
    group->epoch += must || hash != group->topics_hash;
    group->topics_hash = hash;
    group->resubscribed = false;
    group->seen_topics = consumers->topics->changes;
    return KF_OK;
}

kf_err kf__consumers_retarget(struct kf__consumers *consumers, kf_time now,
                              struct kf__consumer_group *group, kf_time interval)
{
    bool waits =
        group->assigned_at != KF_FOREVER && interval > 0 && now < group->assigned_at + interval;
    if (group->assignment_epoch >= group->epoch || waits)
        return KF_OK;
    kf_err err = kf__consumer_retarget(consumers->alloc, consumers->topics, group);
    if (err)
        return err;
    group->assignment_epoch = group->epoch;
    group->assigned_at = now;
    return KF_OK;
}

kf_err kf__consumers_remove(struct kf__consumers *consumers, struct kf__consumer_group *group)
{
    for (int32_t i = group->member_count - 1; i >= 0; i--)
        if (group->members[i]->leaves)
            kf__consumer_group_remove(consumers->alloc, group, group->members[i]);
    kf__consumer_group_drop_regexes(consumers->alloc, group);
    group->resubscribed = true;
    kf_err err = kf__consumers_look_at_topics(consumers, group, true);
    if (group->member_count == 0) {
        group->assignment_epoch = group->epoch;
        group->assigned_at = KF_FOREVER;
    }
    kf__consumers_count(consumers, group);
    return err;
}

/* ---- time ---- */

static kf_time deadline_of(const struct kf__consumer_member *member)
{
    kf_time deadline = member->session_deadline;
    if (member->revoke_deadline < deadline)
        deadline = member->revoke_deadline;
    if (member->classic && member->classic->join_deadline < deadline)
        deadline = member->classic->join_deadline;
    if (member->classic && member->classic->sync_deadline < deadline)
        deadline = member->classic->sync_deadline;
    return deadline;
}

/* Who gave back what it had to, or went to another epoch, may stay. */
static bool is_late(struct kf__consumer_member *member, kf_time now)
{
    if (member->revoke_deadline <= now && member->revoke_epoch != member->epoch)
        member->revoke_deadline = KF_FOREVER;
    return deadline_of(member) <= now;
}

static struct kf__consumer_member *late_member(const struct kf__consumer_group *group, kf_time now)
{
    for (int32_t i = 0; i < group->member_count; i++)
        if (is_late(group->members[i], now))
            return group->members[i];
    return NULL;
}

void kf__consumers_tick(struct kf__consumers *consumers, kf_time now)
{
    for (size_t g = 0; g < consumers->group_count;) {
        struct kf__consumer_group *group = consumers->groups[g];
        struct kf__consumer_member *late = late_member(group, now);
        struct kf__consumer_settings settings;
        if (!late) {
            g++;
            continue;
        }
        consumers->settings(consumers->context, group->id, &settings);
        late->leaves = true;
        if (kf__consumers_fence(consumers, now, group, &settings))
            g++; /* out of memory: with the next tick */
    }
}

kf_time kf__consumers_deadline(const struct kf__consumers *consumers)
{
    kf_time deadline = KF_FOREVER;
    for (size_t g = 0; g < consumers->group_count; g++)
        for (int32_t i = 0; i < consumers->groups[g]->member_count; i++)
            if (deadline_of(consumers->groups[g]->members[i]) < deadline)
                deadline = deadline_of(consumers->groups[g]->members[i]);
    return deadline;
}
