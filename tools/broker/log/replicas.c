#include "tools/broker/log/replicas.h"

#include "tools/broker/log/topics.h"

#include <string.h>

void kf__replicas_free(struct kf__replicas *replicas, const kf_allocator *alloc)
{
    kf_free(alloc, replicas->lagging);
    kf_free(alloc, replicas->target);
    kf_free(alloc, replicas->adding);
    *replicas = (struct kf__replicas){0};
}

static bool contains(const int32_t *nodes, int32_t count, int32_t node)
{
    for (int32_t i = 0; i < count; i++)
        if (nodes[i] == node)
            return true;
    return false;
}

bool kf__is_replica(const struct kf__partition *partition, int32_t node)
{
    return contains(partition->replicas, partition->replica_count, node);
}

static struct kf__lagging *find_lagging(const struct kf__partition *partition, int32_t node)
{
    for (size_t i = 0; i < partition->sync.lagging_count; i++)
        if (partition->sync.lagging[i].node == node)
            return &partition->sync.lagging[i];
    return NULL;
}

bool kf__is_in_sync(const struct kf__partition *partition, int32_t node)
{
    return kf__is_replica(partition, node) && !find_lagging(partition, node);
}

int64_t kf__end_of_replica(const struct kf__partition *partition, int32_t node)
{
    const struct kf__lagging *lagging = find_lagging(partition, node);
    int64_t end = partition->log.end_offset;
    return lagging && lagging->end_offset < end ? lagging->end_offset : end;
}

int32_t kf__in_sync_count(const struct kf__partition *partition)
{
    int32_t count = 0;
    for (int32_t i = 0; i < partition->replica_count; i++)
        count += kf__is_in_sync(partition, partition->replicas[i]);
    return count;
}

/* ---- falling behind, and catching up ---- */

static kf_err fall_behind(const struct kf__topics *topics, struct kf__partition *partition,
                          int32_t node, int64_t end_offset)
{
    struct kf__replicas *sync = &partition->sync;
    struct kf__lagging *grown =
        kf_realloc(topics->alloc, sync->lagging, (sync->lagging_count + 1) * sizeof *grown);
    if (!grown)
        return KF_ERR_NO_MEMORY;
    sync->lagging = grown;
    grown[sync->lagging_count++] = (struct kf__lagging){.node = node, .end_offset = end_offset};
    return KF_OK;
}

void kf__bring_in_sync(struct kf__partition *partition, int32_t node)
{
    struct kf__lagging *lagging = find_lagging(partition, node);
    if (lagging)
        *lagging = partition->sync.lagging[--partition->sync.lagging_count];
}

void kf__replicas_settle(const struct kf__topics *topics, struct kf__partition *partition)
{
    for (int32_t i = 0; i < partition->replica_count; i++)
        if (!topics->runs[partition->replicas[i]] && kf__in_sync_count(partition) > 1)
            (void)fall_behind(topics, partition, partition->replicas[i], 0);
}

static void set_leader(struct kf__partition *partition, int32_t node)
{
    if (partition->leader == node)
        return;
    partition->leader = node;
    partition->leader_epoch++;
}

/* The first replica that runs, of those in sync or of all. */
static int32_t first_able(const struct kf__topics *topics, const struct kf__partition *partition,
                          bool in_sync)
{
    for (int32_t i = 0; i < partition->replica_count; i++) {
        int32_t node = partition->replicas[i];
        if (topics->runs[node] && (!in_sync || kf__is_in_sync(partition, node)))
            return node;
    }
    return -1;
}

/* ---- reassignment ---- */

static int32_t count_in_sync(const struct kf__partition *partition, const int32_t *nodes,
                             int32_t count)
{
    int32_t in_sync = 0;
    for (int32_t i = 0; i < count; i++)
        in_sync += kf__is_in_sync(partition, nodes[i]);
    return in_sync;
}

static void forget_strangers(struct kf__partition *partition)
{
    for (size_t i = partition->sync.lagging_count; i-- > 0;)
        if (!kf__is_replica(partition, partition->sync.lagging[i].node))
            kf__bring_in_sync(partition, partition->sync.lagging[i].node);
}

/* The replicas are now those of `nodes`, which are some of them. */
static void keep_only(const struct kf__topics *topics, struct kf__partition *partition,
                      const int32_t *nodes, int32_t count)
{
    memmove(partition->replicas, nodes, (size_t)count * sizeof *nodes);
    partition->replica_count = count;
    forget_strangers(partition);
    if (!contains(nodes, count, partition->leader))
        set_leader(partition, first_able(topics, partition, true));
    else
        partition->leader_epoch++; /* KRaft: whenever a replica goes */
}

static void end_reassignment(const struct kf__topics *topics, struct kf__replicas *sync)
{
    kf_free(topics->alloc, sync->target);
    kf_free(topics->alloc, sync->adding);
    sync->target = sync->adding = NULL;
    sync->target_count = sync->adding_count = 0;
}

/* As in KRaft: those that are new must have caught up, and someone must be able to lead. */
static void complete_reassignment(const struct kf__topics *topics, struct kf__partition *partition)
{
    struct kf__replicas *sync = &partition->sync;
    if (!sync->target ||
        count_in_sync(partition, sync->adding, sync->adding_count) < sync->adding_count ||
        count_in_sync(partition, sync->target, sync->target_count) == 0)
        return;
    bool removes = partition->replica_count > sync->target_count;
    if (removes)
        keep_only(topics, partition, sync->target, sync->target_count);
    end_reassignment(topics, sync);
}

/* Everybody who runs, and isn't held, has what the leader has. */
static void copy(const struct kf__topics *topics, struct kf__partition *partition)
{
    if (partition->leader < 0)
        return;
    for (size_t i = partition->sync.lagging_count; i-- > 0;) {
        const struct kf__lagging *lagging = &partition->sync.lagging[i];
        if (topics->runs[lagging->node] && !lagging->held)
            kf__bring_in_sync(partition, lagging->node);
    }
    complete_reassignment(topics, partition);
}

/* Those of `a` that are not in `b`; at most KF__MAX_NODES. */
static int32_t without(const int32_t *a, int32_t count, const int32_t *b, int32_t b_count,
                       int32_t *into)
{
    int32_t left = 0;
    for (int32_t i = 0; i < count; i++)
        if (!contains(b, b_count, a[i]))
            into[left++] = a[i];
    return left;
}

static int32_t *copy_ids(const kf_allocator *alloc, const int32_t *ids, int32_t count)
{
    int32_t *made = kf_alloc_array(alloc, (size_t)(count > 0 ? count : 1), sizeof *made);
    if (made && count > 0)
        memcpy(made, ids, (size_t)count * sizeof *made);
    return made;
}

kf_err kf__reassign(struct kf__topics *topics, struct kf__partition *partition,
                    const int32_t *nodes, int32_t count)
{
    int32_t adding[KF__MAX_NODES], all[2 * KF__MAX_NODES];
    if (partition->sync.target)
        kf__cancel_reassignment(topics, partition);
    int32_t added = without(nodes, count, partition->replicas, partition->replica_count, adding);
    memcpy(all, nodes, (size_t)count * sizeof *nodes);
    int32_t kept =
        without(partition->replicas, partition->replica_count, nodes, count, all + count);

    struct kf__replicas *sync = &partition->sync;
    int32_t *replicas = copy_ids(topics->alloc, all, count + kept);
    sync->target = copy_ids(topics->alloc, nodes, count);
    sync->adding = copy_ids(topics->alloc, adding, added);
    kf_err err = replicas && sync->target && sync->adding ? KF_OK : KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < added && !err; i++)
        err = fall_behind(topics, partition, adding[i], 0);
    if (err) {
        kf_free(topics->alloc, replicas);
        end_reassignment(topics, sync);
        forget_strangers(partition);
        return err;
    }
    sync->target_count = count;
    sync->adding_count = added;
    kf_free(topics->alloc, partition->replicas);
    partition->replicas = replicas;
    partition->replica_count = count + kept;
    copy(topics, partition);
    return KF_OK;
}

kf_err kf__cancel_reassignment(struct kf__topics *topics, struct kf__partition *partition)
{
    struct kf__replicas *sync = &partition->sync;
    int32_t before[2 * KF__MAX_NODES];
    if (!sync->target)
        return KF_ERR_NO_REASSIGNMENT_IN_PROGRESS;
    int32_t count = without(partition->replicas, partition->replica_count, sync->adding,
                            sync->adding_count, before);
    if (sync->adding_count > 0)
        keep_only(topics, partition, before, count);
    end_reassignment(topics, sync);
    return KF_OK;
}

/* ---- elections ---- */

/* What the new leader doesn't have, nobody has any more. */
static bool truncate_to(struct kf__topics *topics, struct kf__partition *partition, int64_t end)
{
    if (end >= partition->log.end_offset)
        return false;
    kf__topics_truncate(topics, partition, end);
    for (size_t i = 0; i < partition->sync.lagging_count; i++)
        if (partition->sync.lagging[i].end_offset > end)
            partition->sync.lagging[i].end_offset = end;
    return true;
}

/* Everybody else is behind a leader that was not in sync; it alone is now. */
static bool lead_uncleanly(struct kf__topics *topics, struct kf__partition *partition, int32_t node)
{
    int64_t end = find_lagging(partition, node)->end_offset;
    for (int32_t i = 0; i < partition->replica_count; i++) {
        int32_t other = partition->replicas[i];
        if (other != node && !find_lagging(partition, other))
            (void)fall_behind(topics, partition, other, end); /* no memory: it keeps up */
    }
    kf__bring_in_sync(partition, node);
    set_leader(partition, node);
    bool truncated = truncate_to(topics, partition, end);
    copy(topics, partition);
    return truncated;
}

kf_err kf__elect_preferred(struct kf__topics *topics, struct kf__partition *partition)
{
    int32_t preferred = partition->replicas[0];
    if (partition->leader == preferred)
        return KF_ERR_ELECTION_NOT_NEEDED;
    if (!topics->runs[preferred] || !kf__is_in_sync(partition, preferred))
        return KF_ERR_PREFERRED_LEADER_NOT_AVAILABLE;
    set_leader(partition, preferred);
    copy(topics, partition);
    return KF_OK;
}

kf_err kf__elect_unclean(struct kf__topics *topics, struct kf__partition *partition)
{
    if (partition->leader >= 0)
        return KF_ERR_ELECTION_NOT_NEEDED;
    int32_t clean = first_able(topics, partition, true);
    int32_t any = first_able(topics, partition, false);
    if (any < 0)
        return KF_ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE;
    if (clean < 0)
        lead_uncleanly(topics, partition, any);
    else
        set_leader(partition, clean);
    copy(topics, partition);
    return KF_OK;
}

bool kf__replicas_stopped(struct kf__topics *topics, struct kf__partition *partition, int32_t node,
                          bool unclean)
{
    if (!kf__is_replica(partition, node))
        return false;
    struct kf__lagging *lagging = find_lagging(partition, node);
    if (lagging)
        lagging->held = false; /* it will catch up when it comes back */
    else if (kf__in_sync_count(partition) > 1)
        (void)fall_behind(topics, partition, node, partition->log.end_offset);
    if (partition->leader != node)
        return false;
    int32_t next = first_able(topics, partition, true);
    int32_t any = first_able(topics, partition, false);
    if (next < 0 && unclean && any >= 0)
        return lead_uncleanly(topics, partition, any);
    set_leader(partition, next);
    return false;
}

bool kf__replicas_started(struct kf__topics *topics, struct kf__partition *partition, int32_t node,
                          bool unclean)
{
    if (!kf__is_replica(partition, node))
        return false;
    if (partition->leader < 0) {
        if (kf__is_in_sync(partition, node))
            set_leader(partition, node);
        else if (unclean)
            return lead_uncleanly(topics, partition, node);
    }
    copy(topics, partition);
    return false;
}

kf_err kf__replicas_hold(struct kf__topics *topics, struct kf__partition *partition, int32_t node,
                         bool held)
{
    if (!kf__is_replica(partition, node) || partition->leader == node)
        return KF_ERR_INVALID_ARGUMENT;
    struct kf__lagging *lagging = find_lagging(partition, node);
    if (held && !lagging) {
        kf_err err = fall_behind(topics, partition, node, partition->log.end_offset);
        if (err)
            return err;
        lagging = find_lagging(partition, node);
    }
    if (lagging)
        lagging->held = held;
    copy(topics, partition);
    return KF_OK;
}
