#include "tools/broker/group/expiry.h"

#include "tools/broker/group/any_group.h"
#include "tools/broker/text.h"

/* One group's turn. */
struct turn {
    const struct kf__expiry *expiry;
    struct kf__any_group group;
    kf_string id;
    int64_t empty_since_ms; /* that counts; -1: the time of the commit does */
    bool *goes;             /* of the group's offsets */
    size_t at;
};

static bool may_expire(struct turn *turn)
{
    const struct kf__classic_group *classic = turn->group.classic;
    turn->empty_since_ms = -1;
    if (!classic || !classic->protocol_type.data)
        return true;
    if (classic->state == KF__GROUP_EMPTY) {
        turn->empty_since_ms = classic->empty_since_ms;
        return true;
    }
    return classic->state == KF__GROUP_STABLE &&
           kf__text_equal(classic->protocol_type, kf__text("consumer"));
}

static bool is_old(const struct turn *turn, const struct kf__committed_offset *offset)
{
    const struct kf__expiry *expiry = turn->expiry;
    int64_t since = turn->empty_since_ms != -1 ? turn->empty_since_ms : offset->commit_ms;
    if (offset->expire_ms != -1)
        return offset->expire_ms <= expiry->now_ms;
    return since <= expiry->now_ms - expiry->retention_ms;
}

static bool goes(const struct turn *turn, const struct kf__committed_offset *offset)
{
    const struct kf__expiry *expiry = turn->expiry;
    if (!is_old(turn, offset) ||
        kf__pending_holds(expiry->pending, turn->id, offset->topic, offset->partition))
        return false;
    bool wanted = kf__any_group_subscribes(turn->group, offset->topic, expiry->arena);
    kf_arena_reset(expiry->arena);
    return !wanted;
}

static bool went(void *context, const struct kf__committed_offset *offset)
{
    struct turn *turn = context;
    (void)offset;
    return turn->goes[turn->at++];
}

/* Marks those that go; how many stay. */
static size_t mark(struct turn *turn, const struct kf__committed_group *offsets, size_t count)
{
    size_t stay = 0;
    for (size_t i = 0; i < count; i++) {
        turn->goes[i] = goes(turn, &offsets->items[i]);
        stay += !turn->goes[i];
    }
    return stay;
}

static void drop_group(const struct turn *turn)
{
    const struct kf__expiry *expiry = turn->expiry;
    kf__committed_drop_group(expiry->committed, turn->id);
    if (turn->group.consumer)
        kf__consumers_drop_empty(expiry->consumers, turn->id);
    else
        kf__coordinator_delete(expiry->consumers->classic, turn->id);
}

static void forget(struct turn *turn, const struct kf__committed_group *offsets, size_t count)
{
    const struct kf__expiry *expiry = turn->expiry;
    size_t stay = mark(turn, offsets, count);
    bool last = stay == 0 && kf__any_group_members(turn->group) == 0 &&
                !kf__pending_holds_group(expiry->pending, turn->id) &&
                (!turn->group.classic || turn->group.classic->state == KF__GROUP_EMPTY);
    if (stay == count && !last)
        return;
    if (expiry->forget && expiry->forget(expiry->context, turn->id, offsets, turn->goes, last))
        return;
    kf__committed_drop_those(expiry->committed, turn->id, went, turn);
    if (last)
        drop_group(turn);
}

static void expire_group(const struct kf__expiry *expiry, struct kf__any_group group, kf_string id)
{
    const kf_allocator *alloc = expiry->committed->alloc;
    const struct kf__committed_group *offsets = kf__committed_group(expiry->committed, id);
    size_t count = offsets ? offsets->count : 0;
    struct turn turn = {.expiry = expiry, .group = group, .id = id};
    if (!may_expire(&turn))
        return;
    turn.goes = kf_alloc_array(alloc, count + 1, sizeof *turn.goes);
    if (turn.goes) /* else the next time */
        forget(&turn, offsets, count);
    kf_free(alloc, turn.goes);
}

void kf__offsets_expire(const struct kf__expiry *expiry)
{
    const struct kf__coordinator *classic = expiry->consumers->classic;
    const struct kf__consumers *consumers = expiry->consumers;
    for (size_t i = classic->group_count; i-- > 0;)
        expire_group(expiry, (struct kf__any_group){.classic = classic->groups[i]},
                     classic->groups[i]->id);
    for (size_t i = consumers->group_count; i-- > 0;)
        expire_group(expiry, (struct kf__any_group){.consumer = consumers->groups[i]},
                     consumers->groups[i]->id);
}
