/*
 * OffsetCommit (8), versions 2–10.
 *
 * 6  leader epoch. 7 static members. 8 flexible. 9 member epochs, GROUP_ID_NOT_FOUND (KIP-848).
 * 10 topic ids.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/group/offsets_topic.h"
#include "tools/broker/state.h"

enum {
    FIRST_VERSION_WITH_EPOCHS = 9,
    FIRST_VERSION_WITH_IDS = 10,
};

/* When it goes, where its commit says so (before version 5); Java's sum, which may wrap. */
static int64_t expiry_of(int64_t now_ms, int64_t retention_ms)
{
    return retention_ms == -1 ? -1 : (int64_t)((uint64_t)now_ms + (uint64_t)retention_ms);
}

static bool open_commits(struct kf__exchange *exchange, struct kf__all_or_none *commits)
{
    const struct kf_offset_commit_request *request = exchange->request;
    size_t most = 0;
    for (int32_t t = 0; t < request->topics.count; t++)
        most += (size_t)request->topics.items[t].partitions.count;
    return kf__all_or_none_open(exchange, commits, most, sizeof(struct kf__committed_offset));
}

/* `late` is what the group says: what is unknown isn't asked. */
static kf_err check_commit(struct kf__exchange *exchange, const struct kf__topic *topic,
                           kf_err refused, kf_err late,
                           const struct kf_offset_commit_request_partition *partition)
{
    if (refused)
        return refused;
    if (!topic)
        return exchange->version >= FIRST_VERSION_WITH_IDS ? KF_ERR_UNKNOWN_TOPIC_ID
                                                           : KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    kf_err forced = kf__forced(exchange, topic->name, partition->partition_index);
    if (!forced)
        forced = kf__may_topic(exchange, topic->name);
    if (forced)
        return forced;
    if (partition->partition_index < 0 || partition->partition_index >= topic->partition_count)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (late)
        return late;
    if (kf__is_too_much_metadata(exchange->broker, partition->committed_metadata))
        return KF_ERR_OFFSET_METADATA_TOO_LARGE;
    return KF_OK;
}

static void add(struct kf__exchange *exchange, const struct kf__topic *topic,
                const struct kf_offset_commit_request_partition *partition, int16_t *answer,
                struct kf__all_or_none *commits)
{
    const struct kf_offset_commit_request *request = exchange->request;
    int64_t now_ms = kf__broker_wall_ms(exchange->broker);
    struct kf__committed_offset *offsets = commits->items;
    offsets[commits->count] = (struct kf__committed_offset){
        .topic = topic->name,
        .partition = partition->partition_index,
        .leader_epoch = partition->committed_leader_epoch,
        .offset = partition->committed_offset,
        .metadata = partition->committed_metadata,
        .commit_ms = now_ms,
        .expire_ms = expiry_of(now_ms, request->retention_time_ms),
    };
    commits->answers[commits->count++] = answer;
}

static void commit(struct kf__exchange *exchange, const struct kf__all_or_none *commits)
{
    const struct kf_offset_commit_request *request = exchange->request;
    if (commits->count == 0)
        return;
    kf_err err =
        kf__offsets_commit(exchange->broker, request->group_id, commits->items, commits->count);
    kf__all_or_none_tell(commits, kf__wire_error(err));
}

static const struct kf__topic *find_topic(const struct kf__exchange *exchange,
                                          const struct kf_offset_commit_request_topic *asked)
{
    const struct kf__topics *topics = &exchange->broker->topics;
    return exchange->version >= FIRST_VERSION_WITH_IDS
               ? kf__broker_topics_find_id(topics, asked->topic_id)
               : kf__broker_topics_find(topics, asked->name);
}

/* One partition that an old member epoch may not commit any more, and none is committed. */
static kf_err check_partitions(const struct kf__exchange *exchange,
                               const struct kf__consumer_member *member)
{
    const struct kf_offset_commit_request *request = exchange->request;
    kf_err err = KF_OK;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_offset_commit_request_topic *asked = &request->topics.items[t];
        const struct kf__topic *topic = find_topic(exchange, asked);
        for (int32_t p = 0; p < asked->partitions.count && topic && !err; p++)
            if (asked->partitions.items[p].partition_index < topic->partition_count)
                err = kf__consumer_check_partition(member, request->generation_id_or_member_epoch,
                                                   topic->id,
                                                   asked->partitions.items[p].partition_index);
    }
    return err;
}

/* May the one who says he is `who` commit? Without the group only from outside it. */
static kf_err check_member(const struct kf__exchange *exchange, const struct kf__member_claim *who)
{
    struct kf_broker *broker = exchange->broker;
    const struct kf__consumer_group *group = kf__consumers_find(&broker->consumers, who->group);
    const struct kf__consumer_member *member = NULL;
    bool known = group || kf__coordinator_find(&broker->coordinator, who->group);
    if (!known && who->generation >= 0)
        return exchange->version >= FIRST_VERSION_WITH_EPOCHS ? KF_ERR_GROUP_ID_NOT_FOUND
                                                              : KF_ERR_ILLEGAL_GENERATION;
    if (!group)
        return kf__coordinator_check_commit(&broker->coordinator, exchange->now, who);
    kf_err err = kf__consumer_check_commit(group, who, exchange->version, &member);
    return err || !member ? err : check_partitions(exchange, member);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_offset_commit_request *request = exchange->request;
    struct kf_offset_commit_response *response = exchange->response;
    kf_err err = kf__check_coordinator(exchange, request->group_id);
    struct kf__member_claim who = {.group = request->group_id,
                                   .member_id = request->member_id,
                                   .instance_id = request->group_instance_id,
                                   .generation = request->generation_id_or_member_epoch};
    kf_err late = err ? KF_OK : check_member(exchange, &who);
    struct kf__all_or_none commits;
    if (!open_commits(exchange, &commits) ||
        !KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_offset_commit_request_topic *asked = &request->topics.items[t];
        struct kf_offset_commit_response_topic *answer = &response->topics.items[t];
        const struct kf__topic *topic = find_topic(exchange, asked);
        kf_err denied = err;
        if (!err && exchange->version < FIRST_VERSION_WITH_IDS)
            denied = kf__may_unknown(exchange, topic, asked->name);
        answer->name = asked->name;
        answer->topic_id = asked->topic_id;
        if (!KF__FILL(exchange, "topics/partitions", answer->partitions, asked->partitions.count))
            return KF__REFUSED;
        for (int32_t p = 0; p < asked->partitions.count; p++) {
            const struct kf_offset_commit_request_partition *partition =
                &asked->partitions.items[p];
            answer->partitions.items[p].partition_index = partition->partition_index;
            kf_err refused = check_commit(exchange, topic, denied, late, partition);
            int16_t *code = &answer->partitions.items[p].error_code;
            *code = kf__wire_error(refused);
            if (!refused)
                add(exchange, topic, partition, code, &commits);
        }
    }
    commit(exchange, &commits);
    return KF__ANSWERED;
}

const struct kf__api kf__api_offset_commit = {.key = KF_API_OFFSET_COMMIT,
                                              .min_version = 2,
                                              .max_version = 10,
                                              .advertised_min = 2,
                                              .handle = handle};
