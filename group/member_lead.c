/*
 * member_lead: what a member does while it leads its generation: it reads
 * everybody's subscription, has the assignor decide, writes the assignments,
 * and watches the topics, because a change in them wants a new assignment.
 */
#include "group/member_state.h"

#include "group/subscription.h"
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LEAD_BYTES = 256 * 1024 * 1024, /* of subscriptions and assignments, decoded */
};

void kf__member_lead_init(struct kf__member *member)
{
    kf_arena_init(&member->lead.arena, member->alloc, MAX_LEAD_BYTES);
}

void kf__member_lead_free(struct kf__member *member) { kf_arena_free(&member->lead.arena); }

void kf__member_lead_end(struct kf__member *member)
{
    kf_arena arena = member->lead.arena;
    kf_arena_reset(&arena);
    member->lead = (struct kf__member_lead){.arena = arena};
}

static void *keep(kf_arena *arena, const void *data, size_t size)
{
    void *copy = kf_arena_alloc(arena, size + 1);
    if (copy && size)
        memcpy(copy, data, size);
    return copy;
}

static kf_err keep_string(kf_arena *arena, kf_string text, kf_string *copy)
{
    *copy = (kf_string){0};
    if (!text.data)
        return KF_OK;
    *copy = (kf_string){keep(arena, text.data, text.size), text.size};
    return copy->data ? KF_OK : KF_ERR_NO_MEMORY;
}

/*
 * What the assignor takes as owned: the sticky assignor's own account, which
 * survives eager revoking, else the subscription's.
 */
static kf_err take_owned(enum kf__assignor assignor, const struct kf__subscription *subscription,
                         kf_arena *arena, struct kf__assignor_member *to)
{
    to->owned = subscription->owned;
    to->generation = subscription->generation;
    if (assignor == KF__ASSIGNOR_STICKY) {
        kf_err err =
            kf__sticky_data_decode(subscription->user_data, arena, &to->owned, &to->generation);
        return err == KF_ERR_NO_MEMORY ? err : KF_OK; /* unreadable: nothing owned, as in Java */
    }
    if (assignor == KF__ASSIGNOR_COOPERATIVE_STICKY && to->generation < 0)
        to->generation = kf__cooperative_data_generation(subscription->user_data);
    return KF_OK;
}

static kf_err take_member(struct kf__member *member,
                          const struct kf_join_group_response_member *from,
                          struct kf__assignor_member *to)
{
    kf_arena *arena = &member->lead.arena;
    kf_bytes metadata = {keep(arena, from->metadata.data, from->metadata.size),
                         from->metadata.size};
    if (!metadata.data)
        return KF_ERR_NO_MEMORY;
    kf_err err = keep_string(arena, from->member_id, &to->id);
    if (!err)
        err = keep_string(arena, from->group_instance_id, &to->instance_id);
    if (err)
        return err;

    struct kf__subscription subscription;
    err = kf__subscription_decode(metadata, arena, &subscription);
    if (err == KF_ERR_BAD_ASSIGNMENT) {
        /* One member's bad bytes must not stop the group: it gets nothing. */
        kf__member_report(member, KF_LOG_WARNING, "group.subscription", err,
                          "the subscription of member %.*s can't be read: it gets no partitions",
                          (int)to->id.size, to->id.data);
        return KF_OK;
    }
    if (err)
        return err;
    to->topics = subscription.topics;
    to->topic_count = subscription.topic_count;
    to->rack = subscription.rack;
    to->user_data = subscription.user_data;
    if (to->rack.size)
        member->lead.rack_aware = true;
    return take_owned(member->lead.assignor, &subscription, arena, to);
}

static int compare_names(const void *a, const void *b)
{
    return kf__string_compare(*(const kf_string *)a, *(const kf_string *)b);
}

static kf_err gather_topics(struct kf__member_lead *lead)
{
    size_t count = 0;
    for (size_t i = 0; i < lead->member_count; i++)
        count += lead->members[i].topic_count;
    kf_string *all = kf_arena_alloc(&lead->arena, count * sizeof *all + 1);
    if (!all)
        return KF_ERR_NO_MEMORY;
    count = 0;
    for (size_t i = 0; i < lead->member_count; i++)
        for (size_t k = 0; k < lead->members[i].topic_count; k++)
            all[count++] = lead->members[i].topics[k];
    qsort(all, count, sizeof *all, compare_names);

    lead->topics = (struct kf__names){all, 0};
    for (size_t i = 0; i < count; i++)
        if (i == 0 || kf__string_compare(all[i], all[lead->topics.count - 1]))
            all[lead->topics.count++] = all[i];
    lead->shapes = kf_arena_alloc(&lead->arena, lead->topics.count * sizeof *lead->shapes + 1);
    return lead->shapes ? KF_OK : KF_ERR_NO_MEMORY;
}

kf_err kf__member_lead_begin(struct kf__member *member,
                             const struct kf_join_group_response *response)
{
    struct kf__member_lead *lead = &member->lead;
    kf__member_lead_end(member);
    lead->leads = true;
    lead->assignor = member->assignor;
    lead->member_count = response->members.count > 0 ? (size_t)response->members.count : 0;
    lead->members = kf_arena_alloc(&lead->arena, lead->member_count * sizeof *lead->members + 1);
    kf_err err = lead->members ? KF_OK : KF_ERR_NO_MEMORY;
    for (size_t i = 0; !err && i < lead->member_count; i++)
        err = take_member(member, &response->members.items[i], &lead->members[i]);
    if (!err)
        err = gather_topics(lead);
    if (err) {
        kf__member_lead_end(member);
        return err;
    }
    /* A static leader that came back keeps the old assignment, and only watches (KIP-814). */
    lead->awaits_topics = !response->skip_assignment;
    member->effects.describe_topics(member->effects.owner, lead->topics.items, lead->topics.count);
    return KF_OK;
}

/* FNV-1a. */
static uint64_t digest(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static const uint64_t digest_start = UINT64_C(0xcbf29ce484222325);

static bool named_before(const struct kf__rack_list *racks, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (!kf__string_compare(racks->items[i], racks->items[index]))
            return true;
    return false;
}

/* Each partition's racks as a set: a new order of replicas changes nothing. */
static uint64_t digest_racks(const struct kf__topic_shape *topic)
{
    uint64_t all = digest_start;
    for (int32_t p = 0; topic->racks && p < topic->partition_count; p++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < topic->racks[p].count; i++)
            if (!named_before(&topic->racks[p], i))
                sum += digest(digest_start, topic->racks[p].items[i].data,
                              topic->racks[p].items[i].size);
        all = digest(all, &sum, sizeof sum);
    }
    return all;
}

static const struct kf__topic_shape *find_shape(const struct kf__topic_shape *topics, size_t count,
                                                kf_string name)
{
    for (size_t i = 0; i < count; i++)
        if (!kf__string_compare(topics[i].name, name))
            return &topics[i];
    return NULL;
}

static struct kf__watched watch(const struct kf__member_lead *lead,
                                const struct kf__topic_shape *shape)
{
    if (!shape)
        return (struct kf__watched){0};
    return (struct kf__watched){shape->partition_count, lead->rack_aware ? digest_racks(shape) : 0};
}

kf_err kf__member_lead_watch(struct kf__member *member, const struct kf__topic_shape *topics,
                             size_t count)
{
    struct kf__member_lead *lead = &member->lead;
    for (size_t i = 0; i < lead->topics.count; i++)
        lead->shapes[i] = watch(lead, find_shape(topics, count, lead->topics.items[i]));
    lead->watching = true;
    return KF_OK;
}

bool kf__member_lead_changed(struct kf__member *member, const struct kf__topic_shape *topics,
                             size_t count)
{
    const struct kf__member_lead *lead = &member->lead;
    for (size_t i = 0; i < lead->topics.count; i++) {
        kf_string name = lead->topics.items[i];
        struct kf__watched before = lead->shapes[i];
        struct kf__watched now = watch(lead, find_shape(topics, count, name));
        if (before.partition_count != now.partition_count) {
            kf__member_because(member, "partitions of %.*s changed from %d to %d", (int)name.size,
                               name.data, (int)before.partition_count, (int)now.partition_count);
            return true;
        }
        if (before.racks != now.racks) {
            kf__member_because(member, "replicas of %.*s moved to other racks", (int)name.size,
                               name.data);
            return true;
        }
    }
    return false;
}

kf_err kf__member_lead_assign(struct kf__member *member, const struct kf__topic_shape *topics,
                              size_t count)
{
    struct kf__member_lead *lead = &member->lead;
    kf_arena *arena = &lead->arena;
    struct kf__partition_list *lists =
        kf_arena_alloc(arena, lead->member_count * sizeof *lists + 1);
    lead->assignments = kf_arena_alloc(arena, lead->member_count * sizeof *lead->assignments + 1);
    if (!lists || !lead->assignments)
        return KF_ERR_NO_MEMORY;
    kf_err err =
        kf__assign(lead->assignor, topics, count, lead->members, lead->member_count, arena, lists);
    for (size_t i = 0; !err && i < lead->member_count; i++) {
        lead->assignments[i].member_id = lead->members[i].id;
        err = kf__assignment_encode(&lists[i], KF__ASSIGNMENT_VERSION, arena,
                                    &lead->assignments[i].assignment);
    }
    if (err)
        return err;
    lead->assignment_count = lead->member_count;
    lead->awaits_topics = false;
    return kf__member_lead_watch(member, topics, count);
}
