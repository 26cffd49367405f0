/*
 * assignor_range: each topic's partitions in runs of consecutive numbers, one
 * run for each member that wants it; the first members get one more where the
 * division leaves a rest.
 *
 * Where members say in which rack they stand (KIP-881), a first round gives
 * only partitions with a replica there, never more than a member's share, and
 * topics with the same members and as many partitions move together, so that
 * equal numbers stay with one member. The rest goes out as runs.
 */
#include "group/assign.h"

struct share {
    size_t topic;
    size_t *members; /* that want it, by name */
    size_t count;
    size_t *given; /* to each of them */
    size_t quota;
    size_t extra; /* how many may still have quota + 1 */
    bool racks;   /* matter */
    bool done;    /* with the rounds by rack */
};

static size_t partitions_of(const struct kf__assign *assign, const struct share *share)
{
    return assign->first[share->topic + 1] - assign->first[share->topic];
}

static kf_err open_share(const struct kf__assign *assign, size_t topic, struct share *share)
{
    *share = (struct share){.topic = topic};
    for (size_t i = 0; i < assign->member_count; i++)
        share->count += kf__assign_wants(assign, i, topic);
    share->members = kf_arena_alloc(assign->arena, share->count * sizeof *share->members + 1);
    share->given = kf_arena_alloc(assign->arena, share->count * sizeof *share->given + 1);
    if (!share->members || !share->given)
        return KF_ERR_NO_MEMORY;
    size_t used = 0;
    for (size_t i = 0; i < assign->member_count; i++)
        if (kf__assign_wants(assign, assign->by_name[i], topic))
            share->members[used++] = assign->by_name[i];
    share->quota = partitions_of(assign, share) / share->count;
    share->extra = partitions_of(assign, share) % share->count;
    share->racks = kf__assign_racks_matter(assign, share->members, share->count,
                                           assign->first[topic], assign->first[topic + 1]);
    return KF_OK;
}

static size_t room_of(const struct share *share, size_t index)
{
    size_t most = share->quota + (share->extra > 0);
    return most > share->given[index] ? most - share->given[index] : 0;
}

static void give(struct kf__assign *assign, struct share *share, size_t partition, size_t index,
                 size_t *given)
{
    kf__assign_give(assign, partition, share->members[index]);
    (*given)++;
}

/* Members' counts change by whole runs: only then is it seen who has one more. */
static void end_run(struct share *share, size_t index, size_t given)
{
    share->given[index] += given;
    if (given && share->given[index] > share->quota)
        share->extra--;
}

static bool rack_fits(const struct kf__assign *assign, size_t member, size_t partition)
{
    return !kf__assign_has_rack(assign, member) || kf__assign_same_rack(assign, member, partition);
}

static void give_runs(struct kf__assign *assign, struct share *share, bool by_rack)
{
    for (size_t i = 0; i < share->count; i++) {
        size_t room = room_of(share, i);
        size_t given = 0;
        for (size_t p = assign->first[share->topic];
             p < assign->first[share->topic + 1] && given < room; p++)
            if (assign->owner[p] == KF__NOBODY &&
                (!by_rack || rack_fits(assign, share->members[i], p)))
                give(assign, share, p, i, &given);
        end_run(share, i, given);
    }
}

static bool move_together(const struct kf__assign *assign, const struct share *a,
                          const struct share *b)
{
    if (a->count != b->count || partitions_of(assign, a) != partitions_of(assign, b))
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->members[i] != b->members[i])
            return false;
    return true;
}

static bool all_fit(const struct kf__assign *assign, struct share *const *group, size_t count,
                    size_t index, size_t number)
{
    for (size_t i = 0; i < count; i++)
        if (!room_of(group[i], index) ||
            !rack_fits(assign, group[i]->members[index], assign->first[group[i]->topic] + number))
            return false;
    return true;
}

/* Number by number: to the first member whose rack has a replica of it in every topic. */
static void give_together(struct kf__assign *assign, struct share *const *group, size_t count)
{
    size_t partitions = partitions_of(assign, group[0]);
    for (size_t number = 0; number < partitions; number++) {
        size_t index = 0;
        while (index < group[0]->count && !all_fit(assign, group, count, index, number))
            index++;
        for (size_t i = 0; index < group[0]->count && i < count; i++) {
            size_t given = 0;
            give(assign, group[i], assign->first[group[i]->topic] + number, index, &given);
            end_run(group[i], index, given);
        }
    }
}

static kf_err give_by_rack(struct kf__assign *assign, struct share *shares)
{
    struct share **group = kf_arena_alloc(assign->arena, assign->topic_count * sizeof *group + 1);
    if (!group)
        return KF_ERR_NO_MEMORY;
    for (size_t t = 0; t < assign->topic_count; t++) {
        if (shares[t].done)
            continue;
        size_t count = 0;
        for (size_t other = t; other < assign->topic_count; other++)
            if (!shares[other].done && move_together(assign, &shares[t], &shares[other])) {
                shares[other].done = true;
                group[count++] = &shares[other];
            }
        if (count > 1)
            give_together(assign, group, count);
        else if (shares[t].racks)
            give_runs(assign, &shares[t], true);
    }
    return KF_OK;
}

kf_err kf__assign_range(struct kf__assign *assign)
{
    struct share *shares = kf_arena_alloc(assign->arena, assign->topic_count * sizeof *shares + 1);
    if (!shares)
        return KF_ERR_NO_MEMORY;
    bool racks = false;
    for (size_t t = 0; t < assign->topic_count; t++) {
        kf_err err = open_share(assign, t, &shares[t]);
        if (err)
            return err;
        racks = racks || shares[t].racks;
    }
    kf_err err = racks ? give_by_rack(assign, shares) : KF_OK;
    for (size_t t = 0; !err && t < assign->topic_count; t++)
        give_runs(assign, &shares[t], false);
    return err;
}
