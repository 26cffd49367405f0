#include "tools/broker/log/internal_topics.h"

#include "tools/broker/admin/alter_configs.h"
#include "tools/broker/group/java_order.h"
#include "tools/broker/state.h"
#include "tools/broker/text.h"

enum {
    MAX_CONFIGS = 5,
};

/* What is configured for it: the value, or the broker's config that says it. */
struct config {
    const char *key;
    const char *value;
    const char *from;
};

struct row {
    const char *name;
    const char *partitions; /* the broker's configs */
    const char *replicas;
    struct config configs[MAX_CONFIGS];
};

static const struct row rows[] = {
    [KF__OFFSETS] = {.name = KF__OFFSETS_TOPIC,
                     .partitions = "offsets.topic.num.partitions",
                     .replicas = "offsets.topic.replication.factor",
                     .configs = {{"cleanup.policy", "compact", NULL},
                                 {"compression.type", "producer", NULL},
                                 {"segment.bytes", NULL, "offsets.topic.segment.bytes"}}},
    [KF__TRANSACTIONS] =
        {.name = KF__TRANSACTIONS_TOPIC,
         .partitions = "transaction.state.log.num.partitions",
         .replicas = "transaction.state.log.replication.factor",
         .configs = {{"cleanup.policy", "compact", NULL},
                     {"compression.type", "uncompressed", NULL},
                     {"min.insync.replicas", NULL, "transaction.state.log.min.isr"},
                     {"segment.bytes", NULL, "transaction.state.log.segment.bytes"},
                     {"unclean.leader.election.enable", "false", NULL}}},
};

bool kf__internal_by_name(kf_string name, enum kf__internal *which)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (kf__text_equal(name, kf__text(rows[i].name))) {
            *which = (enum kf__internal)i;
            return true;
        }
    return false;
}

bool kf__topic_is_internal(kf_string name)
{
    enum kf__internal which;
    return kf__internal_by_name(name, &which) ||
           kf__text_equal(name, kf__text("__share_group_state"));
}

/* ---- making them ---- */

static kf_err configure(struct kf_broker *broker, const struct row *row)
{
    kf_err err = KF_OK;
    for (int i = 0; !err && i < MAX_CONFIGS && row->configs[i].key; i++) {
        const struct config *config = &row->configs[i];
        char digits[24];
        if (config->from)
            snprintf(digits, sizeof digits, "%lld",
                     (long long)kf__broker_config(broker, config->from));
        err =
            kf__configs_set(&broker->configs, KF__RESOURCE_TOPIC, kf__text(row->name),
                            kf__text(config->key), kf__text(config->from ? digits : config->value));
    }
    return err;
}

/* Its first partition is led by the first node, and where other topics go does not change. */
static struct kf__topic *make(struct kf_broker *broker, const struct row *row)
{
    struct kf__topics *topics = &broker->topics;
    int32_t replicas = (int32_t)kf__broker_config(broker, row->replicas);
    int32_t next = topics->next_leader;
    struct kf__topic *topic = NULL;
    topics->next_leader = 0;
    kf_err err = kf__broker_create(
        broker, kf__text(row->name), (int32_t)kf__broker_config(broker, row->partitions),
        replicas < topics->node_count ? replicas : topics->node_count, &topic);
    topics->next_leader = next;
    if (!err)
        err = configure(broker, row);
    if (err && topic)
        kf__broker_delete(broker, topic);
    if (err)
        return NULL;
    kf__apply_configs(broker, topic);
    return topic;
}

struct kf__topic *kf__internal_topic_of(struct kf_broker *broker, enum kf__internal which)
{
    const struct row *row = &rows[which];
    struct kf__topic *topic = kf__broker_topics_find(&broker->topics, kf__text(row->name));
    return topic ? topic : make(broker, row);
}

/* ---- who coordinates what ---- */

int32_t kf__place_of_key(kf_string key, int32_t partitions)
{
    int64_t hash = (int32_t)kf__java_hash_text(key);
    if (hash == INT32_MIN) /* it has no opposite in Java */
        hash = 0;
    return (int32_t)((hash < 0 ? -hash : hash) % partitions);
}

int32_t kf__internal_place(struct kf_broker *broker, enum kf__internal which, kf_string key)
{
    const struct kf__topic *topic = kf__internal_topic_of(broker, which);
    return topic ? kf__place_of_key(key, topic->partition_count) : -1;
}

struct kf__partition *kf__internal_partition(struct kf_broker *broker, enum kf__internal which,
                                             kf_string key)
{
    struct kf__topic *topic = kf__internal_topic_of(broker, which);
    return topic ? &topic->partitions[kf__place_of_key(key, topic->partition_count)] : NULL;
}

int32_t kf__coordinator_of(struct kf_broker *broker, enum kf__internal which, kf_string key)
{
    const struct kf__partition *partition = kf__internal_partition(broker, which, key);
    return partition ? partition->leader : -1;
}

static bool is_group(const struct kf_broker *broker, kf_string name)
{
    return kf__coordinator_find(&broker->coordinator, name) ||
           kf__consumers_find(&broker->consumers, name);
}

int32_t kf__coordinator_of_name(struct kf_broker *broker, kf_string name)
{
    bool of_transaction = kf__txns_find(&broker->txns, name) && !is_group(broker, name);
    return kf__coordinator_of(broker, of_transaction ? KF__TRANSACTIONS : KF__OFFSETS, name);
}

static kf_err move(struct kf_broker *broker, enum kf__internal which, kf_string key, int32_t node)
{
    const struct kf__topic *topic = kf__internal_topic_of(broker, which);
    struct kf__partition *partition = kf__internal_partition(broker, which, key);
    if (!partition)
        return KF_ERR_COORDINATOR_NOT_AVAILABLE;
    if (partition->leader == node)
        return KF_OK;
    kf_err err = kf__topics_move_leader(&broker->topics, partition, node);
    if (!err)
        kf__internal_leader_moved(broker, topic, (int32_t)(partition - topic->partitions));
    return err;
}

kf_err kf__move_coordinator(struct kf_broker *broker, kf_string name, int32_t node)
{
    bool group = is_group(broker, name), txn = kf__txns_find(&broker->txns, name) != NULL;
    kf_err err = KF_OK;
    if (group || !txn)
        err = move(broker, KF__OFFSETS, name, node);
    if (!err && (txn || !group))
        err = move(broker, KF__TRANSACTIONS, name, node);
    return err;
}

/* ---- what coordinators hear of it ---- */

static bool is(const struct kf__topic *topic, enum kf__internal which)
{
    return kf__text_equal(topic->name, kf__text(rows[which].name));
}

void kf__internal_leader_moved(struct kf_broker *broker, const struct kf__topic *topic,
                               int32_t index)
{
    struct kf__coordinator *classic = &broker->coordinator;
    if (!is(topic, KF__OFFSETS))
        return;
    for (size_t i = 0; i < classic->group_count; i++)
        if (kf__place_of_key(classic->groups[i]->id, topic->partition_count) == index)
            kf__coordinator_move(classic, classic->groups[i]->id);
}

static void forget_groups(struct kf_broker *broker)
{
    struct kf__coordinator *classic = &broker->coordinator;
    struct kf__consumers *consumers = &broker->consumers;
    while (classic->group_count > 0)
        kf__coordinator_dissolve(classic, classic->groups[0], KF_ERR_NOT_COORDINATOR);
    while (consumers->group_count > 0)
        kf__consumers_take_out(consumers, consumers->groups[0]);
    kf__committed_free(&broker->committed);
    kf__pending_free(&broker->pending);
}

void kf__internal_topic_goes(struct kf_broker *broker, const struct kf__topic *topic)
{
    if (is(topic, KF__OFFSETS))
        forget_groups(broker);
    else if (is(topic, KF__TRANSACTIONS))
        kf__txns_forget_all(&broker->txns);
}
