#include "tools/broker/txn/txn_markers.h"

#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_log.h"
#include "tools/broker/txn/txn_topic.h"

struct kf__txn_now kf__txn_now(const struct kf_broker *broker, kf_time now)
{
    return (struct kf__txn_now){.time = now, .wall_ms = kf__broker_wall_ms(broker)};
}

kf_err kf__txn_mark(struct kf_broker *broker, const struct kf__txn_mark *mark, kf_string topic,
                    int32_t partition)
{
    broker->changes++;
    struct kf__partition *to =
        kf__topic_partition(kf__broker_topics_find(&broker->topics, topic), partition);
    if (!to)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (to->leader < 0)
        return KF_ERR_LEADER_NOT_AVAILABLE;
    kf_err err = kf__check_marker(to, mark);
    if (!err && kf__text_equal(topic, kf__text(KF__OFFSETS_TOPIC)))
        err = kf__pending_end(&broker->pending, &broker->committed, partition, mark->producer_id,
                              mark->commit);
    if (err)
        return err;
    return kf__write_marker(&broker->topics, &broker->codecs, to, mark, kf__broker_wall_ms(broker));
}

/* What is gone or fenced has no need of the marker any more. */
static bool mark_partition(void *context, const struct kf__txn_mark *mark,
                           const struct kf__txn_partition *partition)
{
    kf_err err = kf__txn_mark(context, mark, partition->topic, partition->partition);
    return err != KF_ERR_LEADER_NOT_AVAILABLE && err != KF_ERR_NO_MEMORY;
}

static int64_t new_producer_id(void *context)
{
    struct kf_broker *broker = context;
    return broker->next_producer_id++;
}

static int32_t epoch_of(void *context, kf_string id)
{
    const struct kf__partition *partition = kf__internal_partition(context, KF__TRANSACTIONS, id);
    return partition ? partition->leader_epoch : 0;
}

struct kf__txn_sink kf__txn_sink_of(struct kf_broker *broker)
{
    return (struct kf__txn_sink){.context = broker,
                                 .new_producer_id = new_producer_id,
                                 .epoch = epoch_of,
                                 .write = kf__txn_topic_write,
                                 .forget = kf__txn_topic_forget,
                                 .mark = mark_partition};
}

kf_err kf__txn_admit(struct kf__exchange *exchange, const struct kf__txn_claim *claim,
                     kf_string topic, int32_t partition, bool add, bool generic)
{
    struct kf__txns *txns = &exchange->broker->txns;
    struct kf__txn_partition one = {.topic = topic, .partition = partition};
    struct kf__txn_addition what = {.partitions = &one, .count = 1, .v2 = true};
    struct kf__txn_now now = kf__txn_now(exchange->broker, exchange->now);
    kf_err err = add ? kf__txns_add(txns, now, claim, &what)
                     : kf__txns_verify(txns, claim, topic, partition);
    if (err == KF_ERR_PRODUCER_FENCED)
        return KF_ERR_INVALID_PRODUCER_EPOCH;
    if (err == KF_ERR_TRANSACTION_ABORTABLE && !generic)
        return KF_ERR_INVALID_TXN_STATE;
    return err;
}
