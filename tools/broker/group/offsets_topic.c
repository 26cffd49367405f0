#include "tools/broker/group/offsets_topic.h"

#include "tools/broker/log/internal_log.h"
#include "tools/broker/state.h"
#include "tools/broker/text.h"

enum {
    VALUE_WITH_EXPIRY = 1,
    VALUE_WITH_TOPIC_ID = 4,
    GROUP_VALUE = 3,
};

static const struct kf__internal_record offset_commit = {
    .type = 1,
    .key = &kf_schema_of_offset_commit_key,
    .value = &kf_schema_of_offset_commit_value,
};
static const struct kf__internal_record group_metadata = {
    .type = 2,
    .key = &kf_schema_of_group_metadata_key,
    .value = &kf_schema_of_group_metadata_value,
};

/* ---- records ---- */

static void put_offset(struct kf__internal_batch *batch, kf_string group,
                       const struct kf__committed_offset *offset)
{
    const struct kf__topic *topic = kf__broker_topics_find(&batch->broker->topics, offset->topic);
    struct kf_offset_commit_key key;
    struct kf_offset_commit_value value;
    kf_reset(&kf_schema_of_offset_commit_key, &key);
    kf_reset(&kf_schema_of_offset_commit_value, &value);
    key.group = group;
    key.topic = offset->topic;
    key.partition = offset->partition;
    value.offset = offset->offset;
    value.leader_epoch = offset->leader_epoch;
    value.metadata = offset->metadata.data ? offset->metadata : kf__text("");
    value.commit_timestamp = offset->commit_ms;
    value.expire_timestamp = offset->expire_ms;
    if (topic)
        value.topic_id = topic->id;
    kf__internal_put(batch, &offset_commit, &key,
                     offset->expire_ms != -1 ? VALUE_WITH_EXPIRY : VALUE_WITH_TOPIC_ID, &value);
}

static void put_tombstone(struct kf__internal_batch *batch, kf_string group, kf_string topic,
                          int32_t partition)
{
    struct kf_offset_commit_key key;
    kf_reset(&kf_schema_of_offset_commit_key, &key);
    key.group = group;
    key.topic = topic;
    key.partition = partition;
    kf__internal_put(batch, &offset_commit, &key, 0, NULL);
}

static void put_group_tombstone(struct kf__internal_batch *batch, kf_string group)
{
    struct kf_group_metadata_key key;
    if (kf__consumers_find(&batch->broker->consumers, group))
        return;
    kf_reset(&kf_schema_of_group_metadata_key, &key);
    key.group = group;
    kf__internal_put(batch, &group_metadata, &key, 0, NULL);
}

/* What goes must be able to go. */
static kf_err write_tombstones(struct kf__internal_batch *batch, kf_string group)
{
    static const struct kf__internal_way way = {.must = true};
    return kf__internal_write(batch, KF__OFFSETS, group, &way);
}

void kf__offsets_forget_group(void *context, const struct kf__classic_group *group)
{
    struct kf__internal_batch batch;
    struct kf_group_metadata_key key;
    kf_reset(&kf_schema_of_group_metadata_key, &key);
    key.group = group->id;
    kf__internal_begin(&batch, context);
    kf__internal_put(&batch, &group_metadata, &key, 0, NULL);
    (void)write_tombstones(&batch, group->id);
}

/* ---- commits ---- */

static kf_err write_offsets(struct kf_broker *broker, kf_string group,
                            const struct kf__committed_offset *offsets, size_t count)
{
    static const struct kf__internal_way plain = {.must = false};
    struct kf__internal_batch batch;
    kf__internal_begin(&batch, broker);
    for (size_t i = 0; i < count; i++)
        put_offset(&batch, group, &offsets[i]);
    return kf__internal_write(&batch, KF__OFFSETS, group, &plain);
}

kf_err kf__offsets_commit(struct kf_broker *broker, kf_string group,
                          const struct kf__committed_offset *offsets, size_t count)
{
    struct kf__committed *committed = &broker->committed;
    struct kf__committed_offset *copies = kf_alloc_array(broker->alloc, count + 1, sizeof *copies);
    size_t copied = 0;
    kf_err err = copies ? kf__committed_reserve(committed, group, count) : KF_ERR_NO_MEMORY;
    for (; !err && copied < count; copied += !err)
        err = kf__committed_copy(committed, &offsets[copied], &copies[copied]);
    if (!err)
        err = write_offsets(broker, group, offsets, count);
    for (size_t i = 0; i < copied; i++) {
        if (err)
            kf__committed_copy_free(committed, &copies[i]);
        else
            kf__committed_take(committed, group, &copies[i]);
    }
    kf_free(broker->alloc, copies);
    return err;
}

static kf_err write_pending(struct kf_broker *broker, const struct kf__pending_offset *offsets,
                            size_t count)
{
    struct kf__internal_way way = {
        .transactional = true, .producer_id = offsets[0].producer_id, .epoch = offsets[0].epoch};
    struct kf__internal_batch batch;
    kf__internal_begin(&batch, broker);
    for (size_t i = 0; i < count; i++)
        put_offset(&batch, offsets[i].group, &offsets[i].offset);
    return kf__internal_write(&batch, KF__OFFSETS, offsets[0].group, &way);
}

kf_err kf__offsets_commit_pending(struct kf_broker *broker,
                                  const struct kf__pending_offset *offsets, size_t count)
{
    struct kf__pending_offsets *pending = &broker->pending;
    struct kf__pending_offset *copies = kf_alloc_array(broker->alloc, count + 1, sizeof *copies);
    size_t copied = 0;
    kf_err err = copies ? kf__pending_reserve(pending, count) : KF_ERR_NO_MEMORY;
    for (; !err && copied < count; copied += !err)
        err = kf__pending_copy(pending, &offsets[copied], &copies[copied]);
    if (!err && count > 0)
        err = write_pending(broker, offsets, count);
    for (size_t i = 0; i < copied; i++) {
        if (err)
            kf__pending_copy_free(pending, &copies[i]);
        else
            kf__pending_take(pending, &copies[i], ++broker->committed.writes);
    }
    kf_free(broker->alloc, copies);
    return err;
}

/* ---- classic groups ---- */

typedef struct kf_group_metadata_value_member_metadata member_row;

static kf_bytes or_empty(kf_bytes bytes)
{
    static const uint8_t nothing[1];
    return bytes.data ? bytes : (kf_bytes){.data = nothing, .size = 0};
}

static void tell_member(const struct kf__classic_group *group,
                        const struct kf__group_member *member, member_row *row)
{
    *row = (member_row){
        .member_id = member->id,
        .group_instance_id = member->instance_id,
        .client_id = member->client_id.data ? member->client_id : kf__text(""),
        .client_host = member->client_host.data ? member->client_host : kf__text(""),
        .rebalance_timeout = (int32_t)(member->rebalance_timeout / KF_MILLISECOND),
        .session_timeout = (int32_t)(member->session_timeout / KF_MILLISECOND),
        .subscription = or_empty(kf__group_metadata(member, group->protocol_name)),
        .assignment = or_empty(member->assignment),
    };
}

kf_err kf__offsets_store_group(void *context, const struct kf__classic_group *group)
{
    static const struct kf__internal_way way = {.must = false};
    struct kf_broker *broker = context;
    struct kf_group_metadata_key key;
    struct kf_group_metadata_value value;
    struct kf__internal_batch batch;
    member_row *rows = kf_alloc_array(broker->alloc, (size_t)group->member_count + 1, sizeof *rows);
    if (!rows)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_group_metadata_key, &key);
    kf_reset(&kf_schema_of_group_metadata_value, &value);
    kf__internal_begin(&batch, broker);
    key.group = group->id;
    value.protocol_type = group->protocol_type.data ? group->protocol_type : kf__text("");
    value.generation = group->generation;
    value.protocol = group->protocol_name;
    value.current_state_timestamp = batch.wall_ms;
    value.leader = group->leader ? group->leader->id : (kf_string){0};
    value.members.items = rows;
    value.members.count = group->member_count;
    for (int32_t i = 0; i < group->member_count; i++)
        tell_member(group, group->members[i], &rows[i]);
    kf__internal_put(&batch, &group_metadata, &key, GROUP_VALUE, &value);
    kf_err err = kf__internal_write(&batch, KF__OFFSETS, group->id, &way);
    kf_free(broker->alloc, rows);
    return err;
}

/* ---- what goes ---- */

kf_err kf__offsets_delete(struct kf_broker *broker, kf_string group,
                          const struct kf__offset_place *places, size_t count)
{
    struct kf__internal_batch batch;
    kf__internal_begin(&batch, broker);
    for (size_t i = 0; i < count; i++)
        if (kf__committed_find(&broker->committed, group, places[i].topic, places[i].partition))
            put_tombstone(&batch, group, places[i].topic, places[i].partition);
    kf_err err = write_tombstones(&batch, group);
    for (size_t i = 0; !err && i < count; i++)
        kf__committed_remove(&broker->committed, group, places[i].topic, places[i].partition);
    return err;
}

kf_err kf__offsets_forget(void *context, kf_string group, const struct kf__committed_group *offsets,
                          const bool *goes, bool last)
{
    struct kf__internal_batch batch;
    kf__internal_begin(&batch, context);
    for (size_t i = 0; offsets && i < offsets->count; i++)
        if (!goes || goes[i])
            put_tombstone(&batch, group, offsets->items[i].topic, offsets->items[i].partition);
    if (last)
        put_group_tombstone(&batch, group);
    return write_tombstones(&batch, group);
}

static kf_err check_empty(const struct kf_broker *broker, kf_string group)
{
    const struct kf__consumer_group *consumer = kf__consumers_find(&broker->consumers, group);
    const struct kf__classic_group *classic = kf__coordinator_find(&broker->coordinator, group);
    if (consumer)
        return consumer->member_count > 0 ? KF_ERR_NON_EMPTY_GROUP : KF_OK;
    if (!classic)
        return KF_ERR_GROUP_ID_NOT_FOUND;
    return classic->state == KF__GROUP_EMPTY ? KF_OK : KF_ERR_NON_EMPTY_GROUP;
}

kf_err kf__group_delete(struct kf_broker *broker, kf_string group)
{
    kf_err err = check_empty(broker, group);
    if (!err)
        err = kf__offsets_forget(broker, group, kf__committed_group(&broker->committed, group),
                                 NULL, true);
    if (err)
        return err;
    if (kf__consumers_find(&broker->consumers, group))
        kf__consumers_drop_empty(&broker->consumers, group);
    else
        kf__coordinator_delete(&broker->coordinator, group);
    kf__committed_drop_group(&broker->committed, group);
    kf__pending_drop_group(&broker->pending, group);
    return KF_OK;
}

void kf__offsets_drop_topic(struct kf_broker *broker, kf_string topic)
{
    for (size_t g = 0; g < broker->committed.group_count; g++) {
        const struct kf__committed_group *group = &broker->committed.groups[g];
        struct kf__internal_batch batch;
        kf__internal_begin(&batch, broker);
        for (size_t i = 0; i < group->count; i++)
            if (kf__text_equal(group->items[i].topic, topic))
                put_tombstone(&batch, group->group, topic, group->items[i].partition);
        (void)write_tombstones(&batch, group->group);
    }
    kf__committed_drop_topic(&broker->committed, topic);
    kf__pending_drop_topic(&broker->pending, topic);
}
