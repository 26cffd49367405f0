#include "tools/broker/group/group.h"

#include "tools/broker/text.h"

#include <stdlib.h>

const char *kf__group_state_name(enum kf__group_state state)
{
    static const char *const names[] = {
        [KF__GROUP_EMPTY] = "Empty",
        [KF__GROUP_PREPARING] = "PreparingRebalance",
        [KF__GROUP_COMPLETING] = "CompletingRebalance",
        [KF__GROUP_STABLE] = "Stable",
    };
    return names[state];
}

kf_err kf__group_new(const kf_allocator *alloc, kf_string id, struct kf__classic_group **group)
{
    struct kf__classic_group *created = kf_alloc_zero(alloc, sizeof *created);
    if (!created)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf__text_copy(alloc, id, &created->id);
    if (err) {
        kf_free(alloc, created);
        return err;
    }
    created->empty_since_ms = -1;
    *group = created;
    return KF_OK;
}

static void free_protocols(const kf_allocator *alloc, struct kf__group_protocol *protocols,
                           int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        kf__text_free(alloc, &protocols[i].name);
        kf__bytes_free(alloc, &protocols[i].metadata);
    }
    kf_free(alloc, protocols);
}

void kf__group_member_free(const kf_allocator *alloc, struct kf__group_member *member)
{
    if (!member)
        return;
    kf__text_free(alloc, &member->id);
    kf__text_free(alloc, &member->instance_id);
    kf__text_free(alloc, &member->client_id);
    kf__text_free(alloc, &member->client_host);
    kf__bytes_free(alloc, &member->assignment);
    free_protocols(alloc, member->protocols, member->protocol_count);
    kf_free(alloc, member->by_name);
    kf_free(alloc, member);
}

void kf__group_free(const kf_allocator *alloc, struct kf__classic_group *group)
{
    for (int32_t i = 0; i < group->member_count; i++)
        kf__group_member_free(alloc, group->members[i]);
    for (int32_t i = 0; i < group->pending_count; i++)
        kf__text_free(alloc, &group->pending[i].id);
    kf_free(alloc, group->members);
    kf_free(alloc, group->pending);
    kf__text_free(alloc, &group->id);
    kf__text_free(alloc, &group->protocol_type);
    kf__text_free(alloc, &group->protocol_name);
    kf_free(alloc, group);
}

struct kf__group_member *kf__group_member(const struct kf__classic_group *group, kf_string id)
{
    for (int32_t i = 0; i < group->member_count; i++)
        if (kf__text_equal(group->members[i]->id, id))
            return group->members[i];
    return NULL;
}

struct kf__group_member *kf__group_static_member(const struct kf__classic_group *group,
                                                 kf_string instance_id)
{
    for (int32_t i = 0; i < group->member_count && instance_id.data; i++)
        if (kf__text_equal(group->members[i]->instance_id, instance_id))
            return group->members[i];
    return NULL;
}

kf_err kf__group_member_new(const kf_allocator *alloc, kf_string id, kf_string instance_id,
                            kf_string client_id, kf_string client_host,
                            struct kf__group_member **member)
{
    struct kf__group_member *created = kf_alloc_zero(alloc, sizeof *created);
    if (!created)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf__text_copy(alloc, id, &created->id);
    if (!err)
        err = kf__text_copy(alloc, instance_id, &created->instance_id);
    if (!err)
        err = kf__text_copy(alloc, client_id, &created->client_id);
    if (!err)
        err = kf__text_copy(alloc, client_host, &created->client_host);
    if (err) {
        kf__group_member_free(alloc, created);
        return err;
    }
    *member = created;
    return KF_OK;
}

kf_err kf__group_add(const kf_allocator *alloc, struct kf__classic_group *group,
                     struct kf__group_member *member)
{
    struct kf__group_member **members =
        kf_realloc(alloc, group->members, ((size_t)group->member_count + 1) * sizeof(*members));
    if (!members)
        return KF_ERR_NO_MEMORY;
    group->members = members;
    members[group->member_count++] = member;
    if (!group->leader)
        group->leader = member;
    return KF_OK;
}

void kf__group_remove(const kf_allocator *alloc, struct kf__classic_group *group,
                      struct kf__group_member *member)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < group->member_count; i++)
        if (group->members[i] != member)
            group->members[kept++] = group->members[i];
    group->member_count = kept;
    if (group->leader == member)
        group->leader = kept > 0 ? group->members[0] : NULL;
    kf__group_member_free(alloc, member);
}

/* Of two with one name the first counts. */
static int by_name(const void *a, const void *b)
{
    const struct kf__group_protocol *one = *(struct kf__group_protocol *const *)a;
    const struct kf__group_protocol *other = *(struct kf__group_protocol *const *)b;
    int order = kf__text_compare(one->name, other->name);
    return order != 0 ? order : (one > other) - (one < other);
}

static struct kf__group_protocol **sort_names(const kf_allocator *alloc,
                                              struct kf__group_protocol *protocols, int32_t count)
{
    struct kf__group_protocol **sorted =
        kf_alloc(alloc, ((size_t)count + 1) * sizeof(struct kf__group_protocol *));
    for (int32_t i = 0; i < count && sorted; i++)
        sorted[i] = &protocols[i];
    if (sorted && count > 1)
        qsort(sorted, (size_t)count, sizeof(struct kf__group_protocol *), by_name);
    return sorted;
}

kf_err kf__group_set_protocols(const kf_allocator *alloc, struct kf__group_member *member,
                               const struct kf__group_protocol *protocols, int32_t count)
{
    struct kf__group_protocol *copies = kf_alloc_array(alloc, (size_t)count + 1, sizeof *copies);
    kf_err err = copies ? KF_OK : KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < count && !err; i++) {
        err = kf__text_copy(alloc, protocols[i].name, &copies[i].name);
        if (!err)
            err = kf__bytes_copy(alloc, protocols[i].metadata, &copies[i].metadata);
    }
    struct kf__group_protocol **sorted = err ? NULL : sort_names(alloc, copies, count);
    if (!sorted) {
        if (copies)
            free_protocols(alloc, copies, count);
        return KF_ERR_NO_MEMORY;
    }
    free_protocols(alloc, member->protocols, member->protocol_count);
    kf_free(alloc, member->by_name);
    member->protocols = copies;
    member->by_name = sorted;
    member->protocol_count = count;
    return KF_OK;
}

static bool bytes_equal(kf_bytes a, kf_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool kf__group_same_protocols(const struct kf__group_member *member,
                              const struct kf__group_protocol *protocols, int32_t count)
{
    if (member->protocol_count != count)
        return false;
    for (int32_t i = 0; i < count; i++)
        if (!kf__text_equal(member->protocols[i].name, protocols[i].name) ||
            !bytes_equal(member->protocols[i].metadata, protocols[i].metadata))
            return false;
    return true;
}

static struct kf__group_protocol *offer(const struct kf__group_member *member, kf_string name)
{
    int32_t low = 0, high = member->protocol_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = kf__text_compare(member->by_name[middle]->name, name);
        if (order == 0)
            return member->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

kf_bytes kf__group_metadata(const struct kf__group_member *member, kf_string protocol)
{
    static const uint8_t nothing[1];
    const struct kf__group_protocol *offered = offer(member, protocol);
    return offered ? offered->metadata : (kf_bytes){.data = nothing, .size = 0};
}

static bool all_offer(const struct kf__classic_group *group, kf_string name)
{
    for (int32_t i = 0; i < group->member_count; i++)
        if (!offer(group->members[i], name))
            return false;
    return true;
}

bool kf__group_accepts(const struct kf__classic_group *group, kf_string type,
                       const struct kf__group_protocol *protocols, int32_t count)
{
    if (group->state == KF__GROUP_EMPTY || group->member_count == 0)
        return type.size > 0 && count > 0;
    if (!kf__text_equal(group->protocol_type, type))
        return false;
    for (int32_t i = 0; i < count; i++)
        if (all_offer(group, protocols[i].name))
            return true;
    return false;
}

/* The first of its protocols that all offer, as the group's first member has it. */
static struct kf__group_protocol *favourite(const struct kf__classic_group *group,
                                            const struct kf__group_member *member)
{
    for (int32_t i = 0; i < member->protocol_count; i++) {
        struct kf__group_protocol *common = offer(group->members[0], member->protocols[i].name);
        if (common && common->votes >= 0)
            return common;
    }
    return NULL;
}

/* Linear in the members: there may be thousands. Votes are noted at the first one's protocols. */
kf_string kf__group_vote(const struct kf__classic_group *group)
{
    kf_string winner = {0};
    int32_t most = 0;
    for (int32_t i = 0; group->member_count > 0 && i < group->members[0]->protocol_count; i++) {
        struct kf__group_protocol *candidate = &group->members[0]->protocols[i];
        candidate->votes = all_offer(group, candidate->name) ? 0 : -1;
    }
    for (int32_t i = 0; i < group->member_count; i++) {
        struct kf__group_protocol *candidate = favourite(group, group->members[i]);
        if (candidate)
            candidate->votes++;
    }
    for (int32_t i = 0; i < group->member_count; i++) {
        const struct kf__group_protocol *candidate = favourite(group, group->members[i]);
        if (candidate && candidate->votes > most) {
            most = candidate->votes;
            winner = candidate->name;
        }
    }
    return winner;
}

bool kf__group_is_pending(const struct kf__classic_group *group, kf_string id)
{
    for (int32_t i = 0; i < group->pending_count; i++)
        if (kf__text_equal(group->pending[i].id, id))
            return true;
    return false;
}

kf_err kf__group_add_pending(const kf_allocator *alloc, struct kf__classic_group *group,
                             kf_string id, kf_time deadline)
{
    struct kf__pending_member *pending =
        kf_realloc(alloc, group->pending, ((size_t)group->pending_count + 1) * sizeof *pending);
    if (!pending)
        return KF_ERR_NO_MEMORY;
    group->pending = pending;
    kf_err err = kf__text_copy(alloc, id, &pending[group->pending_count].id);
    if (err)
        return err;
    pending[group->pending_count++].deadline = deadline;
    return KF_OK;
}

void kf__group_remove_pending(const kf_allocator *alloc, struct kf__classic_group *group,
                              kf_string id)
{
    for (int32_t i = 0; i < group->pending_count; i++) {
        if (!kf__text_equal(group->pending[i].id, id))
            continue;
        kf__text_free(alloc, &group->pending[i].id);
        group->pending_count--;
        memmove(group->pending + i, group->pending + i + 1,
                (size_t)(group->pending_count - i) * sizeof *group->pending);
        return;
    }
}
