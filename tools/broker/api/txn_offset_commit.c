/*
 * TxnOffsetCommit (28), versions 0–6: a group's offsets as part of a
 * transaction; nobody sees them before it is committed.
 *
 * 2  leader epoch. 3 flexible; the member's place in its group (KIP-447).
 * 4  TRANSACTION_ABORTABLE. 5 becomes part of the transaction by itself
 *    (KIP-890). 6 topic ids, STALE_MEMBER_EPOCH, GROUP_ID_NOT_FOUND.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/group/offsets_topic.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

enum {
    FIRST_VERSION_WITH_ABORTABLE = 4,
    FIRST_VERSION_THAT_ADDS = 5,
    FIRST_VERSION_WITH_IDS = 6,
    FIRST_VERSION_WITH_STALE_EPOCHS = 6,
};

typedef struct kf_txn_offset_commit_request_partition asked_partition;

static const struct kf__topic *find_topic(const struct kf__exchange *exchange,
                                          const struct kf_txn_offset_commit_request_topic *asked)
{
    const struct kf__topics *topics = &exchange->broker->topics;
    return exchange->version >= FIRST_VERSION_WITH_IDS
               ? kf__broker_topics_find_id(topics, asked->topic_id)
               : kf__broker_topics_find(topics, asked->name);
}

/* In a group of the new protocol; an old member epoch commits what it has had since. */
static kf_err check_consumer(const struct kf__exchange *exchange,
                             const struct kf__consumer_group *group,
                             const struct kf__member_claim *who)
{
    const struct kf_txn_offset_commit_request *request = exchange->request;
    const struct kf__consumer_member *member = NULL;
    kf_err err = kf__consumer_check_commit(group, who, exchange->version, &member);
    for (int32_t t = 0; t < request->topics.count && member; t++) {
        const struct kf_txn_offset_commit_request_topic *asked = &request->topics.items[t];
        const struct kf__topic *topic = find_topic(exchange, asked);
        for (int32_t p = 0; p < asked->partitions.count && topic && !err; p++)
            if (asked->partitions.items[p].partition_index < topic->partition_count)
                err = kf__consumer_check_partition(member, who->generation, topic->id,
                                                   asked->partitions.items[p].partition_index);
    }
    return err;
}

static kf_err check_member(struct kf__exchange *exchange)
{
    const struct kf_txn_offset_commit_request *request = exchange->request;
    struct kf__member_claim who = {.group = request->group_id,
                                   .member_id = request->member_id,
                                   .instance_id = request->group_instance_id,
                                   .generation = request->generation_id_or_member_epoch,
                                   .transactional = true};
    struct kf_broker *broker = exchange->broker;
    const struct kf__consumer_group *group = kf__consumers_find(&broker->consumers, who.group);
    bool known = group || kf__coordinator_find(&broker->coordinator, who.group);
    if (!known && who.generation >= 0)
        return exchange->version >= FIRST_VERSION_WITH_STALE_EPOCHS ? KF_ERR_GROUP_ID_NOT_FOUND
                                                                    : KF_ERR_ILLEGAL_GENERATION;
    if (!group)
        return kf__coordinator_check_commit(&broker->coordinator, exchange->now, &who);
    kf_err err = check_consumer(exchange, group, &who);
    bool tells = exchange->version >= FIRST_VERSION_WITH_STALE_EPOCHS;
    return err == KF_ERR_STALE_MEMBER_EPOCH && !tells ? KF_ERR_ILLEGAL_GENERATION : err;
}

/* A producer that has committed to this group in this epoch already is not asked again. */
static kf_err admit(struct kf__exchange *exchange)
{
    const struct kf_txn_offset_commit_request *request = exchange->request;
    int32_t partition = kf__internal_place(exchange->broker, KF__OFFSETS, request->group_id);
    struct kf__txn_claim claim = {.id = request->transactional_id,
                                  .producer_id = request->producer_id,
                                  .epoch = request->producer_epoch};
    if (kf__pending_has_producer(&exchange->broker->pending, partition, claim.producer_id,
                                 claim.epoch))
        return KF_OK;
    return kf__txn_admit(exchange, &claim, kf__text(KF__OFFSETS_TOPIC), partition,
                         exchange->version >= FIRST_VERSION_THAT_ADDS,
                         exchange->version >= FIRST_VERSION_WITH_ABORTABLE);
}

/* What stands against the request as a whole, as far as its topics exist. */
static kf_err check(struct kf__exchange *exchange)
{
    const struct kf_txn_offset_commit_request *request = exchange->request;
    kf_err err =
        kf__may(exchange, KF__ACL_WRITE, KF__ACL_TRANSACTIONAL_ID, request->transactional_id);
    if (!err)
        err = kf__check_coordinator(exchange, request->group_id);
    if (!err && request->group_id.size == 0)
        err = KF_ERR_INVALID_GROUP_ID;
    if (!err)
        err = admit(exchange);
    return err ? err : check_member(exchange);
}

static bool open_commits(struct kf__exchange *exchange, struct kf__all_or_none *commits)
{
    const struct kf_txn_offset_commit_request *request = exchange->request;
    size_t most = 0;
    for (int32_t t = 0; t < request->topics.count; t++)
        most += (size_t)request->topics.items[t].partitions.count;
    return kf__all_or_none_open(exchange, commits, most, sizeof(struct kf__pending_offset));
}

static void commit(struct kf__exchange *exchange, const struct kf__all_or_none *commits)
{
    if (commits->count == 0)
        return;
    kf_err err = kf__offsets_commit_pending(exchange->broker, commits->items, commits->count);
    kf__all_or_none_tell(commits, kf__wire_error(err));
}

static void add(struct kf__exchange *exchange, const struct kf__topic *topic,
                const asked_partition *partition, int16_t *answer, struct kf__all_or_none *commits)
{
    const struct kf_txn_offset_commit_request *request = exchange->request;
    struct kf_broker *broker = exchange->broker;
    struct kf__pending_offset *offsets = commits->items;
    offsets[commits->count] = (struct kf__pending_offset){
        .producer_id = request->producer_id,
        .epoch = request->producer_epoch,
        .group = request->group_id,
        .place = kf__internal_place(broker, KF__OFFSETS, request->group_id),
        .offset = {.topic = topic->name,
                   .partition = partition->partition_index,
                   .leader_epoch = partition->committed_leader_epoch,
                   .offset = partition->committed_offset,
                   .metadata = partition->committed_metadata,
                   .commit_ms = kf__broker_wall_ms(broker),
                   .expire_ms = -1},
    };
    commits->answers[commits->count++] = answer;
}

/* UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, or what a fault wants. */
static kf_err check_partition(const struct kf__exchange *exchange, const struct kf__topic *topic,
                              int32_t partition)
{
    if (!topic && exchange->version >= FIRST_VERSION_WITH_IDS)
        return KF_ERR_UNKNOWN_TOPIC_ID;
    if (!topic || partition < 0 || partition >= topic->partition_count)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    kf_err err = kf__forced(exchange, topic->name, partition);
    return err ? err : kf__may_topic(exchange, topic->name);
}

static bool any_partition_exists(const struct kf__exchange *exchange)
{
    const struct kf_txn_offset_commit_request *request = exchange->request;
    for (int32_t t = 0; t < request->topics.count; t++)
        for (int32_t p = 0; p < request->topics.items[t].partitions.count; p++)
            if (!check_partition(exchange, find_topic(exchange, &request->topics.items[t]),
                                 request->topics.items[t].partitions.items[p].partition_index))
                return true;
    return false;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_txn_offset_commit_request *request = exchange->request;
    struct kf_txn_offset_commit_response *response = exchange->response;
    kf_err refused = any_partition_exists(exchange) ? check(exchange) : KF_OK;
    struct kf__all_or_none commits;
    if (!open_commits(exchange, &commits) ||
        !KF__FILL(exchange, "topics", response->topics, request->topics.count))
        return KF__REFUSED;
    for (int32_t t = 0; t < request->topics.count; t++) {
        const struct kf_txn_offset_commit_request_topic *asked = &request->topics.items[t];
        struct kf_txn_offset_commit_response_topic *answer = &response->topics.items[t];
        const struct kf__topic *topic = find_topic(exchange, asked);
        kf_err denied = exchange->version >= FIRST_VERSION_WITH_IDS
                            ? KF_OK
                            : kf__may_unknown(exchange, topic, asked->name);
        answer->name = asked->name;
        answer->topic_id = asked->topic_id;
        if (!KF__FILL(exchange, "topics/partitions", answer->partitions, asked->partitions.count))
            return KF__REFUSED;
        for (int32_t p = 0; p < asked->partitions.count; p++) {
            const asked_partition *partition = &asked->partitions.items[p];
            kf_err err = check_partition(exchange, topic, partition->partition_index);
            if (denied)
                err = denied;
            if (!err)
                err = refused;
            if (!err && kf__is_too_much_metadata(exchange->broker, partition->committed_metadata))
                err = KF_ERR_OFFSET_METADATA_TOO_LARGE;
            answer->partitions.items[p].partition_index = partition->partition_index;
            answer->partitions.items[p].error_code = kf__wire_error(err);
            if (!err)
                add(exchange, topic, partition, &answer->partitions.items[p].error_code, &commits);
        }
    }
    commit(exchange, &commits);
    return KF__ANSWERED;
}

const struct kf__api kf__api_txn_offset_commit = {
    .key = KF_API_TXN_OFFSET_COMMIT, .max_version = 6, .handle = handle};
