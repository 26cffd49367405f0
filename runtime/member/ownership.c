/*
 * ownership: assigned, revoked, lost: three different things.
 *
 *   assigned ─▶ user told ─▶ offset known ─▶ RUNNING
 *   revoked  ─▶ DRAINING ─▶ all at rest, offsets committed ─▶ user told ─▶ member drained
 *                  └── deadline: what still runs is condemned, the member goes on
 *   lost     ─▶ condemned at once; nothing committed; user told
 */
#include "runtime/member/consumer.h"

#include <string.h>

/* One rebalance on its way through the user's callback. */
struct telling {
    struct kf__task done;
    struct kf__consumer *consumer;
    kf_rebalance_event event;
    uint64_t revoke;    /* KF_REVOKED: which one */
    int64_t rebalances; /* KF_ASSIGNED: how many there had been */
};

/* Those assigned just then: the callback for others may not have returned yet. */
static void start_told(struct kf__consumer *consumer, int64_t rebalances)
{
    struct kf__link *at = consumer->partitions.next;
    while (at != &consumer->partitions) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        at = at->next;
        if (partition->assigned_in != rebalances)
            continue;
        partition->user_told = true;
        kf__partition_begin(partition);
    }
}

static void finish_revoke(struct kf__consumer *consumer);

static void told(struct kf__task *task)
{
    struct telling *telling = KF__OWNER(task, struct telling, done);
    struct kf__consumer *consumer = telling->consumer;
    kf_rebalance_event event = telling->event;
    bool is_present = telling->revoke == consumer->revoke;
    int64_t rebalances = telling->rebalances;
    kf_free(consumer->alloc, telling);
    consumer->tellings--;
    if (event == KF_ASSIGNED)
        start_told(consumer, rebalances);
    else if (event == KF_REVOKED && is_present)
        finish_revoke(consumer);
    kf__consumer_check_end(consumer);
}

/* True where the user's callback was queued; `told` goes on from there. */
static bool tell(struct kf__consumer *consumer, kf_rebalance_event event,
                 const struct kf__partition_list *list)
{
    if (!consumer->on_rebalance || list->count == 0)
        return false;
    struct telling *telling = kf_alloc_zero(consumer->alloc, sizeof *telling);
    kf_topic_partition *rows = kf_alloc_array(consumer->alloc, list->count, sizeof *rows);
    size_t count = 0;
    for (size_t i = 0; rows && i < list->count; i++) {
        int32_t topic = kf__cluster_find_topic(consumer->cluster, list->items[i].topic.data,
                                               list->items[i].topic.size);
        if (topic >= 0)
            rows[count++] = (kf_topic_partition){kf__cluster_topic(consumer->cluster, topic)->name,
                                                 list->items[i].partition};
    }
    kf_err err = KF_ERR_NO_MEMORY;
    if (telling && rows) {
        *telling = (struct telling){
            {.run = told}, consumer, event, consumer->revoke, consumer->rebalances};
        err = kf__events_rebalance(consumer->events, consumer->on_rebalance,
                                   consumer->rebalance_context, event, rows, count, &telling->done);
    }
    kf_free(consumer->alloc, rows);
    if (err)
        kf_free(consumer->alloc, telling);
    else
        consumer->tellings++;
    return !err;
}

/* ---- assigned ---- */

static struct kf__partition *find_old(struct kf__consumer *consumer, int32_t topic, int32_t number)
{
    for (struct kf__link *at = consumer->old.next; at != &consumer->old; at = at->next) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        if (partition->topic == topic && partition->number == number)
            return partition;
    }
    return NULL;
}

static kf_err own(struct kf__consumer *consumer, const struct kf__topic_partition *added)
{
    if (kf__consumer_find(consumer, added->topic.data, added->topic.size, added->partition))
        return KF_OK;
    if (added->partition < 0 || added->partition > KF__FETCH_MOST_PARTITIONS) {
        kf__consumer_log(consumer, KF_LOG_ERROR, "assigned.impossible", NULL, -1,
                         KF_ERR_INVALID_PARTITIONS,
                         "the group's leader assigned partition %d of %.*s, which can't exist",
                         (int)added->partition, (int)added->topic.size, added->topic.data);
        return KF_OK;
    }
    char name[256];
    size_t size = added->topic.size < sizeof name ? added->topic.size : sizeof name - 1;
    memcpy(name, added->topic.data, size);
    name[size] = '\0';
    int32_t topic;
    kf_err err = kf__cluster_add_topic(consumer->cluster, name, &topic);
    if (err)
        return err;
    const struct kf__route *route = kf__route_find(consumer->routes, name);
    if (!route) {
        kf__consumer_log(consumer, KF_LOG_ERROR, "assigned.unwanted", NULL, -1, KF_ERR_NO_HANDLER,
                         "was assigned a partition of %s, which has no handler", name);
        return KF_OK;
    }
    struct kf__partition *partition =
        kf__partition_new(consumer, route, kf__cluster_topic(consumer->cluster, topic)->name, topic,
                          added->partition);
    if (!partition)
        return KF_ERR_NO_MEMORY;
    partition->needs_offset = true;
    partition->assigned_in = consumer->rebalances;
    partition->waits_for = find_old(consumer, topic, added->partition);
    kf__link_append(&consumer->partitions, &partition->link);
    consumer->partition_count++;
    return KF_OK;
}

void kf__consumer_assigned(void *owner, const struct kf__partition_list *added,
                           const struct kf__partition_list *all)
{
    struct kf__consumer *consumer = owner;
    (void)all;
    consumer->rebalances++;
    for (size_t i = 0; i < added->count; i++)
        if (own(consumer, &added->items[i]))
            kf__consumer_fail(consumer, KF_ERR_NO_MEMORY, "no memory for an assigned partition");
    if (!tell(consumer, KF_ASSIGNED, added))
        start_told(consumer, consumer->rebalances);
    kf__positions_ask(consumer);
    kf__committer_pump(consumer);
}

/* ---- revoked ---- */

static bool is_being_revoked(const struct kf__partition *partition)
{
    return partition->state == KF__PARTITION_DRAINING || partition->state == KF__PARTITION_DRAINED;
}

static void disown(struct kf__consumer *consumer, struct kf__partition *partition)
{
    kf__link_remove(&partition->link);
    consumer->partition_count--;
    consumer->records_before += atomic_load(&partition->processed);
}

static void finish_revoke(struct kf__consumer *consumer)
{
    if (!consumer->draining)
        return;
    consumer->draining = false;
    kf__timer_cancel(consumer->loop, &consumer->drain);
    struct kf__link *at = consumer->partitions.next;
    while (at != &consumer->partitions) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        at = at->next;
        if (!is_being_revoked(partition))
            continue;
        disown(consumer, partition);
        kf__partition_free(partition);
    }
    kf__member_drained(consumer->member, kf__loop_now(consumer->loop));
}

/* The list of what is being revoked, for the user. */
static void tell_revoked(struct kf__consumer *consumer)
{
    struct kf__partition_list list = {
        kf_alloc_array(consumer->alloc, consumer->partition_count + 1, sizeof *list.items), 0};
    for (struct kf__link *at = consumer->partitions.next; list.items && at != &consumer->partitions;
         at = at->next) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        if (is_being_revoked(partition))
            list.items[list.count++] = (struct kf__topic_partition){
                {partition->topic_name, strlen(partition->topic_name)}, partition->number};
    }
    consumer->telling = true;
    if (!tell(consumer, KF_REVOKED, &list))
        finish_revoke(consumer);
    kf_free(consumer->alloc, list.items);
}

void kf__consumer_check_drained(struct kf__consumer *consumer)
{
    if (!consumer->draining || consumer->telling)
        return;
    for (struct kf__link *at = consumer->partitions.next; at != &consumer->partitions;
         at = at->next) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        if (partition->state == KF__PARTITION_DRAINING ||
            (partition->state == KF__PARTITION_DRAINED && !kf__committer_is_settled(partition)))
            return;
    }
    tell_revoked(consumer);
}

static void condemn(struct kf__consumer *consumer, struct kf__partition *partition)
{
    disown(consumer, partition);
    kf__link_append(&consumer->old, &partition->link);
    kf__partition_condemn(partition);
}

/* The bound has passed: what runs is left behind, what is not committed stays so. */
static void give_up(struct kf__consumer *consumer, struct kf__partition *partition)
{
    if (partition->state == KF__PARTITION_DRAINING && partition->scheduled)
        kf__consumer_log(consumer, KF_LOG_ERROR, "handler.stuck", partition,
                         kf__partition_position(partition), KF_ERR_HANDLER_STUCK,
                         "the handler did not return in time; the partition is given up and the "
                         "record stays uncommitted, another member may handle it meanwhile");
    else if (!kf__committer_is_settled(partition))
        kf__consumer_log(consumer, KF_LOG_ERROR, "commit.late", partition, partition->account.done,
                         partition->account.last_error,
                         "offset %lld was not acknowledged in time; the partition is given up, its "
                         "next owner begins at %lld",
                         (long long)partition->account.done,
                         (long long)partition->account.committed);
    if (partition->state == KF__PARTITION_DRAINED && kf__committer_is_settled(partition))
        return;
    struct kf__topic_partition row = {{partition->topic_name, strlen(partition->topic_name)},
                                      partition->number};
    tell(consumer, KF_LOST, &(struct kf__partition_list){&row, 1});
    condemn(consumer, partition);
}

static void fire_drain(struct kf__timer *timer, void *owner)
{
    (void)timer;
    struct kf__consumer *consumer = owner;
    if (!consumer->draining)
        return;
    struct kf__link *at = consumer->partitions.next;
    while (at != &consumer->partitions) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        at = at->next;
        if (is_being_revoked(partition))
            give_up(consumer, partition);
    }
    if (!consumer->telling)
        tell_revoked(consumer);
    /* The member goes on now, and may be given the same partitions: the callback's end is void. */
    consumer->revoke++;
    finish_revoke(consumer);
}

void kf__ownership_open(struct kf__consumer *consumer)
{
    kf__link_init(&consumer->partitions);
    kf__link_init(&consumer->old);
    kf__timer_init(&consumer->drain, fire_drain, consumer);
}

void kf__consumer_revoked(void *owner, const struct kf__partition_list *partitions,
                          kf_time deadline)
{
    struct kf__consumer *consumer = owner;
    consumer->rebalances++;
    kf__timer_set(consumer->loop, &consumer->drain, deadline);
    for (size_t i = 0; i < partitions->count; i++) {
        const struct kf__topic_partition *row = &partitions->items[i];
        struct kf__partition *partition =
            kf__consumer_find(consumer, row->topic.data, row->topic.size, row->partition);
        if (partition)
            kf__partition_drain(partition);
    }
    /* Only now: a partition that is at rest must not end the revoke before the others began it. */
    consumer->draining = true;
    consumer->telling = false;
    consumer->revoke++;
    kf__committer_pump(consumer);
    kf__consumer_check_drained(consumer);
}

/* ---- lost ---- */

void kf__consumer_lost(void *owner, const struct kf__partition_list *partitions, kf_err why)
{
    struct kf__consumer *consumer = owner;
    (void)why;
    consumer->rebalances++;
    tell(consumer, KF_LOST, partitions);
    for (size_t i = 0; i < partitions->count; i++) {
        const struct kf__topic_partition *row = &partitions->items[i];
        struct kf__partition *partition =
            kf__consumer_find(consumer, row->topic.data, row->topic.size, row->partition);
        if (partition)
            condemn(consumer, partition);
    }
    kf__consumer_check_drained(consumer);
}

void kf__consumer_condemn_all(struct kf__consumer *consumer)
{
    while (!kf__link_is_alone(&consumer->partitions))
        condemn(consumer, KF__OWNER(consumer->partitions.next, struct kf__partition, link));
}

void kf__consumer_bury(struct kf__consumer *consumer, struct kf__partition *old)
{
    for (struct kf__link *at = consumer->partitions.next; at != &consumer->partitions;
         at = at->next) {
        struct kf__partition *partition = KF__OWNER(at, struct kf__partition, link);
        if (partition->waits_for != old)
            continue;
        partition->waits_for = NULL;
        kf__partition_begin(partition);
    }
    kf__link_remove(&old->link);
    kf__partition_free(old);
    kf__consumer_check_end(consumer);
}
