/*
 * OffsetFetch (9), versions 1–10.
 *
 * 2  no topics: all. 5 leader epoch. 6 flexible. 7 require_stable:
 *    what a transaction may still change is UNSTABLE_OFFSET_COMMIT. 8 many groups at once
 * (KIP-709). 9  member id and epoch (KIP-848; classic groups don't look). 10 topic ids.
 *
 * Versions 1–7 and 8–10 have structs of their own for the same facts.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

/* One partition's answer, whichever struct it goes into. */
struct fact {
    int64_t offset;
    int32_t leader_epoch;
    kf_string metadata;
    kf_err error;
};

static struct fact look_up(const struct kf__exchange *exchange, kf_string group, kf_string topic,
                           int32_t partition)
{
    const struct kf__committed_offset *found =
        kf__committed_find(&exchange->broker->committed, group, topic, partition);
    struct fact fact = {.offset = -1, .leader_epoch = -1, .metadata = kf__text("")};
    fact.error = kf__forced(exchange, topic, partition);
    if (!fact.error)
        fact.error = kf__may_topic(exchange, topic);
    const struct kf_offset_fetch_request *request = exchange->request;
    if (!fact.error && request->require_stable &&
        kf__pending_holds(&exchange->broker->pending, group, topic, partition))
        fact.error = KF_ERR_UNSTABLE_OFFSET_COMMIT;
    if (!found || fact.error)
        return fact;
    fact.offset = found->offset;
    fact.leader_epoch = found->leader_epoch;
    fact.metadata = found->metadata;
    return fact;
}

/* ---- versions 1–7 ---- */

static void put_old(struct kf_offset_fetch_response_partition *answer, int32_t partition,
                    struct fact fact)
{
    answer->partition_index = partition;
    answer->committed_offset = fact.offset;
    answer->committed_leader_epoch = fact.leader_epoch;
    answer->metadata = fact.metadata;
    answer->error_code = kf__wire_error(fact.error);
}

static bool old_asked(struct kf__exchange *exchange)
{
    const struct kf_offset_fetch_request *request = exchange->request;
    struct kf_offset_fetch_response *response = exchange->response;
    if (!KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return false;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_offset_fetch_request_topic *asked = &request->topics.items[t];
        struct kf_offset_fetch_response_topic *answer = &response->topics.items[t];
        answer->name = asked->name;
        if (!KF__FILL(exchange, "topics/partitions", answer->partitions,
                      asked->partition_indexes.count))
            return false;
        for (int32_t p = 0; p < asked->partition_indexes.count; p++) {
            int32_t partition = asked->partition_indexes.items[p];
            put_old(&answer->partitions.items[p], partition,
                    look_up(exchange, request->group_id, asked->name, partition));
        }
    }
    return true;
}

static bool same_as_before(const struct kf__committed_group *group, size_t i)
{
    return i > 0 && kf__text_equal(group->items[i - 1].topic, group->items[i].topic);
}

static int32_t count_topics(const struct kf__committed_group *group)
{
    int32_t topics = 0;
    for (size_t i = 0; i < group->count; i++)
        topics += !same_as_before(group, i);
    return topics;
}

/* How many partitions the topic at `first` has. */
static int32_t count_partitions(const struct kf__committed_group *group, size_t first)
{
    size_t end = first + 1;
    while (end < group->count && same_as_before(group, end))
        end++;
    return (int32_t)(end - first);
}

static bool old_all(struct kf__exchange *exchange)
{
    const struct kf_offset_fetch_request *request = exchange->request;
    struct kf_offset_fetch_response *response = exchange->response;
    const struct kf__committed_group *group =
        kf__committed_group(&exchange->broker->committed, request->group_id);
    if (!group)
        return true;
    if (!KF__FILL(exchange, "topics", response->topics, count_topics(group)))
        return false;
    size_t at = 0;
    for (int32_t t = 0; t < response->topics.count; t++) {
        struct kf_offset_fetch_response_topic *answer = &response->topics.items[t];
        int32_t count = count_partitions(group, at);
        answer->name = group->items[at].topic;
        if (!KF__FILL(exchange, "topics/partitions", answer->partitions, count))
            return false;
        for (int32_t p = 0; p < count; p++, at++)
            put_old(&answer->partitions.items[p], group->items[at].partition,
                    look_up(exchange, group->group, group->items[at].topic,
                            group->items[at].partition));
    }
    return true;
}

static enum kf__outcome handle_old(struct kf__exchange *exchange)
{
    const struct kf_offset_fetch_request *request = exchange->request;
    struct kf_offset_fetch_response *response = exchange->response;
    kf_err err = kf__check_coordinator(exchange, request->group_id);
    response->error_code = kf__wire_error(err);
    bool filled = request->topics.count < 0 ? err || old_all(exchange) : old_asked(exchange);
    if (!filled)
        return KF__REFUSED;
    for (int32_t t = 0; t < response->topics.count && err; t++)
        for (int32_t p = 0; p < response->topics.items[t].partitions.count; p++)
            put_old(&response->topics.items[t].partitions.items[p],
                    response->topics.items[t].partitions.items[p].partition_index,
                    (struct fact){
                        .offset = -1, .leader_epoch = -1, .metadata = kf__text(""), .error = err});
    return KF__ANSWERED;
}

/* ---- versions 8–10 ---- */

static void put_new(struct kf_offset_fetch_response_partitions *answer, int32_t partition,
                    struct fact fact)
{
    answer->partition_index = partition;
    answer->committed_offset = fact.offset;
    answer->committed_leader_epoch = fact.leader_epoch;
    answer->metadata = fact.metadata;
    answer->error_code = kf__wire_error(fact.error);
}

static bool new_asked(struct kf__exchange *exchange,
                      const struct kf_offset_fetch_request_group *asked,
                      struct kf_offset_fetch_response_group *answer)
{
    const struct kf__topics *topics = &exchange->broker->topics;
    bool by_id = exchange->version >= 10;
    if (!KF__FILL(exchange, "groups/topics", answer->topics, asked->topics.count))
        return false;
    for (int32_t t = 0; t < asked->topics.count; t++) {
        const struct kf_offset_fetch_request_topics *topic = &asked->topics.items[t];
        struct kf_offset_fetch_response_topics *told = &answer->topics.items[t];
        const struct kf__topic *known =
            by_id ? kf__broker_topics_find_id(topics, topic->topic_id) : NULL;
        kf_string name = known ? known->name : topic->name;
        told->name = topic->name;
        told->topic_id = topic->topic_id;
        if (!KF__FILL(exchange, "groups/topics/partitions", told->partitions,
                      topic->partition_indexes.count))
            return false;
        for (int32_t p = 0; p < topic->partition_indexes.count; p++) {
            int32_t partition = topic->partition_indexes.items[p];
            struct fact fact = look_up(exchange, asked->group_id, name, partition);
            if (by_id && !known)
                fact.error = KF_ERR_UNKNOWN_TOPIC_ID;
            put_new(&told->partitions.items[p], partition, fact);
        }
    }
    return true;
}

static bool new_all(struct kf__exchange *exchange, struct kf_offset_fetch_response_group *answer)
{
    const struct kf__committed_group *group =
        kf__committed_group(&exchange->broker->committed, answer->group_id);
    if (!group)
        return true;
    if (!KF__FILL(exchange, "groups/topics", answer->topics, count_topics(group)))
        return false;
    size_t at = 0;
    for (int32_t t = 0; t < answer->topics.count; t++) {
        struct kf_offset_fetch_response_topics *told = &answer->topics.items[t];
        const struct kf__topic *topic =
            kf__broker_topics_find(&exchange->broker->topics, group->items[at].topic);
        int32_t count = count_partitions(group, at);
        told->name = group->items[at].topic;
        if (topic)
            told->topic_id = topic->id;
        if (!KF__FILL(exchange, "groups/topics/partitions", told->partitions, count))
            return false;
        for (int32_t p = 0; p < count; p++, at++)
            put_new(&told->partitions.items[p], group->items[at].partition,
                    look_up(exchange, group->group, group->items[at].topic,
                            group->items[at].partition));
    }
    return true;
}

static enum kf__outcome handle_new(struct kf__exchange *exchange)
{
    const struct kf_offset_fetch_request *request = exchange->request;
    struct kf_offset_fetch_response *response = exchange->response;
    if (!KF__FILL(exchange, "groups", response->groups, request->groups.count))
        return KF__REFUSED;
    for (int32_t g = 0; g < request->groups.count; g++) {
        const struct kf_offset_fetch_request_group *asked = &request->groups.items[g];
        struct kf_offset_fetch_response_group *answer = &response->groups.items[g];
        answer->group_id = asked->group_id;
        kf_err err = kf__check_coordinator(exchange, asked->group_id);
        const struct kf__consumer_group *group =
            kf__consumers_find(&exchange->broker->consumers, asked->group_id);
        if (!err && group)
            err = kf__consumer_check_fetch(group, asked->member_id, asked->member_epoch);
        answer->error_code = kf__wire_error(err);
        if (err)
            continue;
        if (!(asked->topics.count < 0 ? new_all(exchange, answer)
                                      : new_asked(exchange, asked, answer)))
            return KF__REFUSED;
    }
    return KF__ANSWERED;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    return exchange->version < 8 ? handle_old(exchange) : handle_new(exchange);
}

const struct kf__api kf__api_offset_fetch = {.key = KF_API_OFFSET_FETCH,
                                             .min_version = 1,
                                             .max_version = 10,
                                             .advertised_min = 1,
                                             .handle = handle};
