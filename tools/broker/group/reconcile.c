#include "tools/broker/group/reconcile.h"

#include "tools/broker/text.h"

/* What a turn leads to. */
struct next {
    struct kf__holding keep;
    struct kf__holding revoke;
    struct kf__holding add;
    bool unreleased; /* others still have some of it */
};

bool kf__member_subscribes(const struct kf__topics *topics, const struct kf__consumer_group *group,
                           const struct kf__consumer_member *member, kf_uuid topic)
{
    const struct kf__topic *found = kf__broker_topics_find_id(topics, topic);
    if (!found)
        return false;
    if (kf__texts_find(member->topics, member->topic_count, found->name) >= 0)
        return true;
    const struct kf__group_regex *regex = kf__consumer_group_regex(group, member->regex);
    return regex && kf__texts_find(regex->topics, regex->topic_count, found->name) >= 0;
}

static bool subscribes(const struct kf__reconcile *turn, kf_uuid topic)
{
    return kf__member_subscribes(turn->topics, turn->group, turn->member, topic);
}

/* Who doesn't say what it has may have anything. */
static bool still_has_some(const struct kf__reconcile *turn, const struct kf__holding *revoking)
{
    for (size_t i = 0; i < turn->owned_count && turn->says_owned; i++)
        if (kf__holding_find(revoking, turn->owned[i].topic, turn->owned[i].partition))
            return true;
    return !turn->says_owned;
}

/* What the others have or have not given back, sorted. */
static kf_err gather_others(const kf_allocator *alloc, const struct kf__consumer_group *group,
                            const struct kf__consumer_member *member, struct kf__holding *others)
{
    kf_err err = KF_OK;
    for (int32_t m = 0; m < group->member_count; m++) {
        const struct kf__consumer_member *other = group->members[m];
        const struct kf__holding *both[] = {&other->assigned, &other->revoking};
        for (int k = 0; k < 2 && other != member; k++)
            for (size_t i = 0; i < both[k]->count && !err; i++)
                err = kf__holding_add(alloc, others, both[k]->items[i].topic,
                                      both[k]->items[i].partition, 0);
    }
    kf__holding_sort(others);
    return err;
}

static void free_next(const kf_allocator *alloc, struct next *next)
{
    kf__holding_free(alloc, &next->keep);
    kf__holding_free(alloc, &next->revoke);
    kf__holding_free(alloc, &next->add);
}

/* Partitions that the member has: kept or to be given back. */
static kf_err sort_assigned(const struct kf__reconcile *turn, struct next *next)
{
    const struct kf__consumer_member *member = turn->member;
    kf_err err = KF_OK;
    for (size_t i = 0; i < member->assigned.count && !err; i++) {
        const struct kf__held *one = &member->assigned.items[i];
        bool stays = kf__holding_find(&member->target, one->topic, one->partition) &&
                     subscribes(turn, one->topic);
        err = kf__holding_add(turn->alloc, stays ? &next->keep : &next->revoke, one->topic,
                              one->partition, one->epoch);
    }
    return err;
}

/* Partitions that it is to have and hasn't: free ones can be added. */
static kf_err sort_missing(const struct kf__reconcile *turn, struct next *next)
{
    const struct kf__consumer_member *member = turn->member;
    struct kf__holding others = {0};
    bool gathered = false;
    kf_err err = KF_OK;
    for (size_t i = 0; i < member->target.count && !err; i++) {
        const struct kf__held *one = &member->target.items[i];
        if (kf__holding_find(&member->assigned, one->topic, one->partition) ||
            !subscribes(turn, one->topic))
            continue;
        if (!gathered)
            err = gather_others(turn->alloc, turn->group, member, &others);
        gathered = true;
        bool own = kf__holding_find(&member->revoking, one->topic, one->partition) != NULL;
        if (!err && !own && kf__holding_find(&others, one->topic, one->partition))
            next->unreleased = true;
        else if (!err)
            err = kf__holding_add(turn->alloc, &next->add, one->topic, one->partition,
                                  turn->group->assignment_epoch);
    }
    kf__holding_free(turn->alloc, &others);
    return err;
}

static void put(const kf_allocator *alloc, struct kf__holding *to, struct kf__holding *from)
{
    kf__holding_free(alloc, to);
    *to = *from;
    *from = (struct kf__holding){0};
}

static void move_to(struct kf__consumer_member *member, int32_t epoch, enum kf__member_state state)
{
    member->previous_epoch = member->epoch;
    member->epoch = epoch;
    member->state = state;
}

/* Towards the target. */
static kf_err step(const struct kf__reconcile *turn, int32_t epoch)
{
    struct kf__consumer_member *member = turn->member;
    struct next next = {0};
    kf_err err = sort_assigned(turn, &next);
    if (!err)
        err = sort_missing(turn, &next);
    bool first_revokes = !err && next.revoke.count > 0 && still_has_some(turn, &next.revoke);
    for (size_t i = 0; i < next.add.count && !err && !first_revokes; i++)
        err = kf__holding_add(turn->alloc, &next.keep, next.add.items[i].topic,
                              next.add.items[i].partition, next.add.items[i].epoch);
    if (!err && first_revokes) {
        move_to(member, epoch, KF__MEMBER_UNREVOKED);
        put(turn->alloc, &member->revoking, &next.revoke);
    } else if (!err) {
        kf__holding_sort(&next.keep);
        move_to(member, turn->group->assignment_epoch,
                next.unreleased ? KF__MEMBER_UNRELEASED : KF__MEMBER_STABLE);
        kf__holding_free(turn->alloc, &member->revoking);
    }
    if (!err)
        put(turn->alloc, &member->assigned, &next.keep);
    free_next(turn->alloc, &next);
    return err;
}

/* What it doesn't want any more goes at once, before there is a new target. */
static kf_err shed(const struct kf__reconcile *turn)
{
    struct kf__consumer_member *member = turn->member;
    struct kf__holding keep = {0}, revoke = {0};
    kf_err err = kf__holding_copy(turn->alloc, &member->revoking, &revoke);
    for (size_t i = 0; i < member->assigned.count && !err; i++) {
        const struct kf__held *one = &member->assigned.items[i];
        err = kf__holding_add(turn->alloc, subscribes(turn, one->topic) ? &keep : &revoke,
                              one->topic, one->partition, one->epoch);
    }
    if (!err && keep.count < member->assigned.count) {
        kf__holding_sort(&revoke);
        bool waits = still_has_some(turn, &revoke);
        move_to(member, member->epoch, waits ? KF__MEMBER_UNREVOKED : member->state);
        put(turn->alloc, &member->assigned, &keep);
        if (waits)
            put(turn->alloc, &member->revoking, &revoke);
    }
    kf__holding_free(turn->alloc, &keep);
    kf__holding_free(turn->alloc, &revoke);
    return err;
}

static kf_err go_on(const struct kf__reconcile *turn)
{
    struct kf__consumer_member *member = turn->member;
    bool moves = true;
    if (member->state == KF__MEMBER_STABLE)
        moves = member->epoch != turn->group->assignment_epoch;
    else if (member->state == KF__MEMBER_UNREVOKED)
        moves = !still_has_some(turn, &member->revoking);
    if (moves)
        return step(turn, member->epoch);
    return turn->resubscribed ? shed(turn) : KF_OK;
}

/* Where it stands, to see whether it has moved. */
struct stand {
    int32_t epoch, previous_epoch;
    enum kf__member_state state;
    struct kf__holding assigned, revoking;
};

static kf_err note(const kf_allocator *alloc, const struct kf__consumer_member *member,
                   struct stand *stand)
{
    *stand = (struct stand){
        .epoch = member->epoch, .previous_epoch = member->previous_epoch, .state = member->state};
    kf_err err = kf__holding_copy(alloc, &member->assigned, &stand->assigned);
    return err ? err : kf__holding_copy(alloc, &member->revoking, &stand->revoking);
}

static bool has_moved(const struct kf__consumer_member *member, const struct stand *stand)
{
    return member->epoch != stand->epoch || member->previous_epoch != stand->previous_epoch ||
           member->state != stand->state ||
           !kf__holding_equal(&member->assigned, &stand->assigned) ||
           !kf__holding_equal(&member->revoking, &stand->revoking);
}

static void set_revoke_deadline(const struct kf__reconcile *turn)
{
    struct kf__consumer_member *member = turn->member;
    if (member->classic)
        return;
    bool must = member->state == KF__MEMBER_UNREVOKED;
    member->revoke_epoch = member->epoch;
    member->revoke_deadline =
        must ? turn->now + member->rebalance_timeout_ms * KF_MILLISECOND : KF_FOREVER;
}

kf_err kf__reconcile(const struct kf__reconcile *turn)
{
    struct stand stand;
    if (!turn->resubscribed && kf__member_is_reconciled(turn->group, turn->member))
        return KF_OK;
    kf_err err = note(turn->alloc, turn->member, &stand);
    if (!err)
        err = go_on(turn);
    if (!err && has_moved(turn->member, &stand))
        set_revoke_deadline(turn);
    kf__holding_free(turn->alloc, &stand.assigned);
    kf__holding_free(turn->alloc, &stand.revoking);
    return err;
}

kf_err kf__member_waits(const kf_allocator *alloc, const struct kf__consumer_group *group,
                        const struct kf__consumer_member *member, bool *waits)
{
    struct kf__holding others = {0};
    *waits = false;
    if (member->state != KF__MEMBER_UNRELEASED)
        return KF_OK;
    kf_err err = gather_others(alloc, group, member, &others);
    for (size_t i = 0; i < member->target.count && !err && !*waits; i++) {
        const struct kf__held *one = &member->target.items[i];
        *waits = !kf__holding_find(&member->assigned, one->topic, one->partition) &&
                 kf__holding_find(&others, one->topic, one->partition);
    }
    kf__holding_free(alloc, &others);
    return err;
}
