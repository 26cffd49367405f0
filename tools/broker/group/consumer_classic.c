#include "tools/broker/group/consumer_classic.h"

#include "proto/schema.h"
#include "tools/broker/group/group_rebalance.h"
#include "tools/broker/group/java_order.h"
#include "tools/broker/group/reconcile.h"
#include "tools/broker/text.h"

#include <kafiber/messages.h>
#include <stdio.h>

enum {
    MAX_SUBSCRIPTION_BYTES = 64 << 20, /* decoded */
    NEWEST_PROTOCOL = 3,               /* version of the consumer protocol's messages */
};

/* What a classic member says with a protocol, decoded; lives in the arena. */
struct said {
    kf_arena arena;
    int16_t version;
    struct kf_consumer_protocol_subscription subscription;
    struct kf__holding owned;
};

static bool take_version(kf_bytes bytes, int16_t *version)
{
    if (bytes.size < 2)
        return false;
    int16_t said = (int16_t)(bytes.data[0] << 8 | bytes.data[1]);
    *version = said > NEWEST_PROTOCOL ? NEWEST_PROTOCOL : said;
    return said >= 0;
}

static void close_said(const struct kf__consumers *consumers, struct said *said)
{
    kf_arena_free(&said->arena);
    kf__holding_free(consumers->alloc, &said->owned);
}

static kf_err add_owned(const struct kf__consumers *consumers, struct kf__holding *owned,
                        kf_string name, const int32_t *partitions, int32_t count, int32_t epoch)
{
    const struct kf__topic *topic = kf__broker_topics_find(consumers->topics, name);
    kf_err err = KF_OK;
    for (int32_t p = 0; p < count && topic && !err; p++)
        err = kf__holding_add(consumers->alloc, owned, topic->id, partitions[p], epoch);
    return err;
}

/* INCONSISTENT_GROUP_PROTOCOL: these bytes are no subscription. To be closed in any case. */
static kf_err open_said(const struct kf__consumers *consumers, kf_bytes metadata, struct said *said)
{
    const kf_schema *schema = &kf_schema_of_consumer_protocol_subscription;
    size_t used = 0;
    *said = (struct said){0};
    kf_arena_init(&said->arena, consumers->alloc, MAX_SUBSCRIPTION_BYTES);
    if (!take_version(metadata, &said->version) ||
        kf_decode_prefix(schema, said->version, metadata.data + 2, metadata.size - 2, &said->arena,
                         &said->subscription, &used))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    kf_err err = KF_OK;
    for (int32_t i = 0; i < said->subscription.owned_partitions.count && !err; i++) {
        const struct kf_consumer_protocol_subscription_topic_partition *one =
            &said->subscription.owned_partitions.items[i];
        err = add_owned(consumers, &said->owned, one->topic, one->partitions.items,
                        one->partitions.count, 0);
    }
    return err;
}

/* ---- assignments ---- */

/* What the classic leader gave the member. UNSUPPORTED_VERSION: an assignor said more with it. */
static kf_err read_assignment(const struct kf__consumers *consumers, kf_bytes bytes, int32_t epoch,
                              struct kf__holding *assigned)
{
    struct kf_consumer_protocol_assignment assignment;
    kf_arena arena;
    int16_t version;
    size_t used = 0;
    if (bytes.size == 0)
        return KF_OK;
    if (!take_version(bytes, &version))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    kf_arena_init(&arena, consumers->alloc, MAX_SUBSCRIPTION_BYTES);
    kf_err err = KF_OK;
    if (kf_decode_prefix(&kf_schema_of_consumer_protocol_assignment, version, bytes.data + 2,
                         bytes.size - 2, &arena, &assignment, &used))
        err = KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    else if (assignment.user_data.size > 0)
        err = KF_ERR_UNSUPPORTED_VERSION;
    for (int32_t i = 0; !err && i < assignment.assigned_partitions.count; i++) {
        const struct kf_consumer_protocol_assignment_topic_partition *one =
            &assignment.assigned_partitions.items[i];
        err = add_owned(consumers, assigned, one->topic, one->partitions.items,
                        one->partitions.count, epoch);
    }
    kf__holding_sort(assigned);
    kf_arena_free(&arena);
    return err;
}

/* The other way: bytes in `out`. Topics that are gone are left out. */
static kf_err write_assignment(const struct kf__consumers *consumers,
                               const struct kf__holding *holding, int16_t version, kf_writer *out)
{
    struct kf_consumer_protocol_assignment assignment = {0};
    size_t topics = (size_t)kf__holding_topics(holding);
    struct kf_consumer_protocol_assignment_topic_partition *items =
        kf_alloc_zero(consumers->alloc, (topics + 1) * sizeof *items);
    int32_t *partitions = kf_alloc(consumers->alloc, (holding->count + 1) * sizeof *partitions);
    kf_err err = items && partitions ? KF_OK : KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < holding->count && !err; i += kf__holding_run(holding, i)) {
        const struct kf__topic *topic =
            kf__broker_topics_find_id(consumers->topics, holding->items[i].topic);
        size_t run = kf__holding_run(holding, i);
        for (size_t p = i; p < i + run; p++)
            partitions[p] = holding->items[p].partition;
        if (!topic)
            continue;
        items[assignment.assigned_partitions.count].topic = topic->name;
        items[assignment.assigned_partitions.count].partitions.items = partitions + i;
        items[assignment.assigned_partitions.count++].partitions.count = (int32_t)run;
    }
    assignment.assigned_partitions.items = items;
    uint8_t head[2] = {(uint8_t)((uint16_t)version >> 8), (uint8_t)version};
    kf_writer_put(out, head, sizeof head);
    if (!err)
        err = kf_encode(&kf_schema_of_consumer_protocol_assignment, version, &assignment, out);
    if (!err)
        err = out->err;
    kf_free(consumers->alloc, items);
    kf_free(consumers->alloc, partitions);
    return err;
}

/* ---- up: a classic group becomes a consumer group ---- */

static kf_err upgrade_member(struct kf__consumers *consumers, kf_time now,
                             const struct kf__classic_group *classic,
                             const struct kf__group_member *from, struct kf__consumer_group *group)
{
    const kf_allocator *alloc = consumers->alloc;
    struct kf__consumer_member *member = kf__consumer_group_add(alloc, group, from->id);
    struct kf__classic_face face = {.protocols = from->protocols,
                                    .protocol_count = from->protocol_count,
                                    .session_timeout = from->session_timeout,
                                    .join_deadline = KF_FOREVER,
                                    .sync_deadline = KF_FOREVER};
    struct said said;
    bool changed = false;
    if (!member)
        return KF_ERR_NO_MEMORY;
    kf_err err = open_said(consumers, kf__group_metadata(from, classic->protocol_name), &said);
    member->epoch = member->previous_epoch = classic->generation;
    member->rebalance_timeout_ms = (int32_t)(from->rebalance_timeout / KF_MILLISECOND);
    member->session_deadline = now + from->session_timeout;
    if (!err)
        err = kf__member_take_text(alloc, from->instance_id, &member->instance_id, &changed);
    if (!err)
        err = kf__member_take_text(alloc, said.subscription.rack_id, &member->rack_id, &changed);
    if (!err)
        err = kf__member_take_text(alloc, from->client_id, &member->client_id, &changed);
    if (!err)
        err = kf__member_take_text(alloc, from->client_host, &member->client_host, &changed);
    if (!err)
        err = kf__member_take_topics(alloc, member, said.subscription.topics.items,
                                     said.subscription.topics.count, &changed);
    if (!err)
        err = kf__member_take_face(alloc, member, &face);
    if (!err)
        err = read_assignment(consumers, from->assignment, classic->generation, &member->assigned);
    if (!err)
        err = kf__holding_copy(alloc, &member->assigned, &member->target);
    for (size_t i = 0; i < member->target.count && !err; i += kf__holding_run(&member->target, i))
        err =
            kf__java_rank(alloc, &member->target.items[i], kf__holding_run(&member->target, i), -1);
    close_said(consumers, &said);
    return err;
}

static kf_err refuse_upgrade(kf_string id, struct kf__beat_answer *answer, const char *why)
{
    snprintf(answer->why, sizeof answer->why,
             "Cannot upgrade classic group %.*s to consumer group because %s.",
             (int)(id.size < 200 ? id.size : 200), id.data, why);
    return KF_ERR_GROUP_ID_NOT_FOUND;
}

static kf_err fill_upgraded(struct kf__consumers *consumers, kf_time now,
                            const struct kf__classic_group *classic,
                            struct kf__consumer_group *group)
{
    kf_err err = KF_OK;
    for (int32_t i = 0; i < classic->member_count && !err; i++)
        err = upgrade_member(consumers, now, classic, classic->members[i], group);
    group->epoch = group->assignment_epoch = classic->generation;
    group->resubscribed = true;
    if (!err)
        err = kf__consumers_look_at_topics(consumers, group, false);
    group->epoch = classic->generation; /* this was no change */
    kf__consumers_count(consumers, group);
    return err;
}

kf_err kf__consumers_upgrade(struct kf__consumers *consumers, kf_time now, kf_string id,
                             const struct kf__consumer_settings *settings,
                             struct kf__consumer_group **group, struct kf__beat_answer *answer)
{
    struct kf__classic_group *classic = kf__coordinator_find(consumers->classic, id);
    *group = NULL;
    if (!(settings->migration & KF__MIGRATE_UP))
        return refuse_upgrade(id, answer, "online upgrade is disabled");
    if (!kf__text_equal(classic->protocol_type, kf__text("consumer")))
        return refuse_upgrade(id, answer, "the group does not use the consumer embedded protocol");
    if (classic->member_count > settings->max_size)
        return refuse_upgrade(id, answer, "the group size exceeds the consumer group maximum size");
    struct kf__consumer_group *made = kf__consumers_put(consumers, id);
    if (!made)
        return KF_ERR_NO_MEMORY;
    kf_err err = fill_upgraded(consumers, now, classic, made);
    if (err) {
        kf__consumers_take_out(consumers, made);
        if (err == KF_ERR_INCONSISTENT_GROUP_PROTOCOL)
            return refuse_upgrade(id, answer, "the embedded consumer protocol is malformed");
        if (err == KF_ERR_UNSUPPORTED_VERSION)
            return refuse_upgrade(id, answer,
                                  "an unsupported custom assignor is in use. Please refer to the "
                                  "documentation or switch to a default assignor before "
                                  "re-attempting the upgrade");
        return err;
    }
    kf__coordinator_dissolve(consumers->classic, classic, KF_ERR_REBALANCE_IN_PROGRESS);
    *group = made;
    return KF_OK;
}

/* ---- down: and back ---- */

static kf_err downgrade_member(const struct kf__consumers *consumers, kf_time now,
                               const struct kf__consumer_member *from,
                               struct kf__classic_group *classic)
{
    const kf_allocator *alloc = consumers->alloc;
    struct kf__group_member *member = NULL;
    kf_err err = kf__group_member_new(alloc, from->id, from->instance_id, from->client_id,
                                      from->client_host, &member);
    if (!err)
        err = kf__group_set_protocols(alloc, member, from->classic->protocols,
                                      from->classic->protocol_count);
    if (err) {
        kf__group_member_free(alloc, member);
        return err;
    }
    member->session_timeout = from->classic->session_timeout;
    member->rebalance_timeout = from->rebalance_timeout_ms * KF_MILLISECOND;
    member->session_deadline = now + member->session_timeout;
    err = kf__group_add(alloc, classic, member);
    if (err)
        kf__group_member_free(alloc, member);
    return err;
}

/* Once all members are there: the protocol that all of them speak, and what each has in it. */
static kf_err fill_downgraded(const struct kf__consumers *consumers,
                              const struct kf__consumer_group *group,
                              struct kf__classic_group *classic)
{
    const kf_allocator *alloc = consumers->alloc;
    kf_err err = kf__text_copy(alloc, kf__group_vote(classic), &classic->protocol_name);
    for (int32_t i = 0; i < classic->member_count && !err; i++) {
        struct kf__group_member *member = classic->members[i];
        int16_t version;
        kf_writer out;
        kf_writer_init(&out, alloc);
        if (!take_version(kf__group_metadata(member, classic->protocol_name), &version))
            version = 0;
        err = write_assignment(consumers, &group->members[i]->target, version, &out);
        if (!err)
            err = kf__bytes_copy(alloc, (kf_bytes){out.bytes, out.used}, &member->assignment);
        kf_writer_free(&out);
    }
    return err;
}

static kf_err downgrade(struct kf__consumers *consumers, kf_time now,
                        struct kf__consumer_group *group, bool rebalance)
{
    struct kf__classic_group *classic = kf__coordinator_group(consumers->classic, group->id);
    kf_err err = classic ? KF_OK : KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < group->member_count && !err; i++)
        err = downgrade_member(consumers, now, group->members[i], classic);
    if (!err)
        err = kf__text_copy(consumers->alloc, kf__text("consumer"), &classic->protocol_type);
    if (!err)
        err = fill_downgraded(consumers, group, classic);
    if (err) {
        if (classic)
            kf__coordinator_dissolve(consumers->classic, classic, err);
        return err;
    }
    classic->generation = group->epoch;
    classic->state = KF__GROUP_STABLE;
    kf__consumers_take_out(consumers, group);
    if (rebalance)
        kf__rebalance(consumers->classic, now, classic);
    return KF_OK;
}

static bool may_downgrade(const struct kf__consumer_group *group,
                          const struct kf__consumer_settings *settings)
{
    return group->member_count > 0 && kf__consumer_group_classic(group) == group->member_count &&
           (settings->migration & KF__MIGRATE_DOWN) &&
           group->member_count <= settings->classic_max_size;
}

kf_err kf__consumers_fence(struct kf__consumers *consumers, kf_time now,
                           struct kf__consumer_group *group, struct kf__consumer_member *member,
                           const struct kf__consumer_settings *settings)
{
    int32_t epoch = group->epoch;
    kf_err err = kf__consumers_remove(consumers, group, member);
    if (err || !may_downgrade(group, settings))
        return err;
    group->epoch = epoch; /* as a classic group it counts on in its own way */
    return downgrade(consumers, now, group, true);
}

/* ---- classic members in a consumer group ---- */

static void refuse_join(const struct kf__consumers *consumers, void *token, kf_err error,
                        kf_string member_id)
{
    struct kf__joined answer = {.error = error, .generation = -1, .member_id = member_id};
    answer.leader = kf__text("");
    consumers->classic->sink.joined(consumers->classic->sink.context, token, &answer);
}

static bool speaks_with_all(const struct kf__consumer_group *group, const struct kf__join *join)
{
    int32_t classic = kf__consumer_group_classic(group);
    if (!kf__text_equal(join->protocol_type, kf__text("consumer")))
        return false;
    for (int32_t p = 0; p < join->protocol_count; p++) {
        int32_t speakers = 0;
        for (int32_t i = 0; i < group->member_count; i++) {
            const struct kf__classic_face *face = group->members[i]->classic;
            for (int32_t k = 0; face && k < face->protocol_count; k++)
                speakers += kf__text_equal(face->protocols[k].name, join->protocols[p].name);
        }
        if (speakers == classic)
            return true;
    }
    return false;
}

static kf_err check_join(const struct kf__consumers *consumers,
                         const struct kf__consumer_group *group,
                         const struct kf__consumer_settings *settings, const struct kf__join *join)
{
    bool known = kf__consumer_static_member(group, join->instance_id) ||
                 (join->member_id.size > 0 && kf__consumer_member(group, join->member_id));
    if (join->session_timeout < consumers->classic->min_session_timeout ||
        join->session_timeout > consumers->classic->max_session_timeout)
        return KF_ERR_INVALID_SESSION_TIMEOUT;
    if (settings->migration == KF__MIGRATE_NEVER)
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (!known &&
        (group->member_count >= settings->max_size || consumers->bytes > KF__MAX_GROUP_BYTES))
        return KF_ERR_GROUP_MAX_SIZE_REACHED;
    return speaks_with_all(group, join) ? KF_OK : KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
}

/* The member that joins, new, replaced or known. */
static kf_err open_member(struct kf__consumers *consumers, struct kf__consumer_group *group,
                          const struct kf__join *join, kf_string id,
                          struct kf__consumer_member **member)
{
    bool changed = false;
    *member = join->instance_id.data ? kf__consumer_static_member(group, join->instance_id)
                                     : kf__consumer_member(group, id);
    if (join->instance_id.data && join->member_id.size > 0) {
        if (!*member)
            return KF_ERR_UNKNOWN_MEMBER_ID;
        return kf__text_equal((*member)->id, id) ? KF_OK : KF_ERR_FENCED_INSTANCE_ID;
    }
    if (*member && join->instance_id.data) {
        (*member)->epoch = (*member)->previous_epoch = 0;
        (*member)->revoke_deadline = KF_FOREVER;
        return kf__member_take_text(consumers->alloc, id, &(*member)->id, &changed);
    }
    if (!*member)
        *member = kf__consumer_group_add(consumers->alloc, group, id);
    return *member ? KF_OK : KF_ERR_NO_MEMORY;
}

static kf_err take_join(struct kf__consumers *consumers, kf_time now,
                        struct kf__consumer_group *group, struct kf__consumer_member *member,
                        const struct kf__join *join, const struct said *said, bool *changed)
{
    const kf_allocator *alloc = consumers->alloc;
    const struct kf_consumer_protocol_subscription *wants = &said->subscription;
    struct kf__classic_face face = {.protocols =
                                        (struct kf__group_protocol *)(uintptr_t)join->protocols,
                                    .protocol_count = join->protocol_count,
                                    .session_timeout = join->session_timeout,
                                    .join_deadline = KF_FOREVER,
                                    .sync_deadline = now + join->rebalance_timeout};
    bool ignored = false;
    kf_err err = KF_OK;
    if (join->instance_id.data)
        err = kf__member_take_text(alloc, join->instance_id, &member->instance_id, &ignored);
    if (!err && wants->rack_id.data)
        err = kf__member_take_text(alloc, wants->rack_id, &member->rack_id, &ignored);
    if (!err)
        err = kf__member_take_text(alloc, join->client_id, &member->client_id, &ignored);
    if (!err)
        err = kf__member_take_text(alloc, join->client_host, &member->client_host, &ignored);
    if (!err)
        err = kf__member_take_topics(alloc, member, wants->topics.items, wants->topics.count,
                                     changed);
    if (!err)
        err = kf__member_take_text(alloc, kf__text(""), &member->regex, changed);
    if (!err)
        err = kf__member_take_face(alloc, member, &face);
    if (err)
        return err;
    member->rebalance_timeout_ms = (int32_t)(join->rebalance_timeout / KF_MILLISECOND);
    member->session_deadline = now + join->session_timeout;
    member->revoke_deadline = KF_FOREVER;
    kf__consumer_group_drop_regexes(alloc, group);
    return KF_OK;
}

static kf_err settle(struct kf__consumers *consumers, kf_time now, struct kf__consumer_group *group,
                     struct kf__consumer_member *member, const struct said *said, bool changed,
                     bool retarget, const struct kf__consumer_settings *settings)
{
    struct kf__reconcile step = {
        .alloc = consumers->alloc,
        .topics = consumers->topics,
        .group = group,
        .member = member,
        .resubscribed = changed,
        .says_owned = true,
        .owned = said->owned.items,
        .owned_count = said->owned.count,
        .now = now,
    };
    kf_err err = KF_OK;
    if (retarget)
        err = kf__consumers_retarget(consumers, now, group, settings->assignment_interval);
    if (!err)
        err = kf__reconcile(&step);
    kf__consumers_count(consumers, group);
    return err;
}

static void tell_joined(const struct kf__consumers *consumers,
                        const struct kf__consumer_member *member, void *token)
{
    struct kf__joined answer = {
        .generation = member->epoch,
        .protocol_type = kf__text("consumer"),
        .protocol_name = member->classic->protocols[0].name,
        .leader = kf__text(""),
        .member_id = member->id,
    };
    consumers->classic->sink.joined(consumers->classic->sink.context, token, &answer);
}

static kf_err join(struct kf__consumers *consumers, kf_time now, struct kf__consumer_group *group,
                   const struct kf__consumer_settings *settings, const struct kf__join *join,
                   kf_string id, const struct said *said, void *token)
{
    struct kf__consumer_member *member = NULL;
    const struct kf__consumer_member *placed =
        join->member_id.size == 0 ? kf__consumer_static_member(group, join->instance_id) : NULL;
    bool replaces = placed && !placed->classic, changed = false;
    kf_err err = open_member(consumers, group, join, id, &member);
    if (!err)
        err = take_join(consumers, now, group, member, join, said, &changed);
    if (err)
        return err;
    group->resubscribed |= changed;
    err = kf__consumers_look_at_topics(consumers, group, changed);
    bool down = replaces && may_downgrade(group, settings);
    bool stale = group->assignment_epoch < group->epoch;
    if (!err && !(down && stale))
        err = settle(consumers, now, group, member, said, changed, !down, settings);
    if (err)
        return err;
    tell_joined(consumers, member, token);
    if (down)
        (void)downgrade(consumers, now, group, stale); /* out of memory: it stays as it is */
    return KF_OK;
}

bool kf__consumers_join(struct kf__consumers *consumers, kf_time now, const struct kf__join *asked,
                        void *token)
{
    struct kf__consumer_group *group = kf__consumers_find(consumers, asked->group);
    struct kf__consumer_settings settings;
    struct said said;
    char made[24];
    if (!group || kf__consumers_drop_empty(consumers, asked->group))
        return false;
    consumers->settings(consumers->context, group->id, &settings);
    kf_err err = check_join(consumers, group, &settings, asked);
    kf_string id = asked->member_id;
    if (!err && id.size == 0) {
        kf__consumers_make_id(consumers, made);
        id = kf__text(made);
    }
    if (!err && asked->require_member_id && asked->member_id.size == 0 && !asked->instance_id.data)
        err = KF_ERR_MEMBER_ID_REQUIRED;
    if (err) {
        refuse_join(consumers, token, err, id);
        return true;
    }
    err = open_said(consumers, asked->protocols[0].metadata, &said);
    if (!err)
        err = join(consumers, now, group, &settings, asked, id, &said, token);
    close_said(consumers, &said);
    if (err)
        refuse_join(consumers, token, err, asked->member_id);
    return true;
}

/* ---- sync, heartbeat, leave ---- */

/* The group, where it is this kind's matter. */
static struct kf__consumer_group *peopled(const struct kf__consumers *consumers, kf_string id)
{
    struct kf__consumer_group *group = kf__consumers_find(consumers, id);
    return group && group->member_count > 0 ? group : NULL;
}

static kf_err claimed(const struct kf__consumer_group *group, const struct kf__member_claim *who,
                      struct kf__consumer_member **member)
{
    *member = who->instance_id.data ? kf__consumer_static_member(group, who->instance_id)
                                    : kf__consumer_member(group, who->member_id);
    if (!*member)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    return kf__text_equal((*member)->id, who->member_id) ? KF_OK : KF_ERR_FENCED_INSTANCE_ID;
}

static kf_err claimed_classic(const struct kf__consumer_group *group,
                              const struct kf__member_claim *who,
                              struct kf__consumer_member **member)
{
    kf_err err = claimed(group, who, member);
    if (err)
        return err;
    if (!(*member)->classic)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    return who->generation == (*member)->epoch ? KF_OK : KF_ERR_ILLEGAL_GENERATION;
}

/* It has to join again, within its rebalance timeout. */
static kf_err call_to_join(struct kf__consumer_member *member, kf_time now)
{
    if (member->classic->join_deadline == KF_FOREVER)
        member->classic->join_deadline = now + member->rebalance_timeout_ms * KF_MILLISECOND;
    return KF_ERR_REBALANCE_IN_PROGRESS;
}

static kf_err check_sync(const struct kf__consumer_group *group, const struct kf__sync *sync,
                         kf_time now, struct kf__consumer_member **member)
{
    kf_err err = claimed_classic(group, &sync->who, member);
    if (err)
        return err;
    if (sync->protocol_type.data && !kf__text_equal(sync->protocol_type, kf__text("consumer")))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (sync->protocol_name.data &&
        !kf__text_equal(sync->protocol_name, (*member)->classic->protocols[0].name))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (group->assignment_epoch > (*member)->epoch && (*member)->state != KF__MEMBER_UNREVOKED)
        return call_to_join(*member, now);
    return KF_OK;
}

bool kf__consumers_sync(struct kf__consumers *consumers, kf_time now, const struct kf__sync *sync,
                        void *token)
{
    struct kf__consumer_group *group = peopled(consumers, sync->who.group);
    struct kf__consumer_member *member = NULL;
    struct kf__synced answer = {0};
    kf_writer out;
    int16_t version;
    if (!group)
        return false;
    kf_writer_init(&out, consumers->alloc);
    answer.error = check_sync(group, sync, now, &member);
    if (!answer.error) {
        if (!take_version(member->classic->protocols[0].metadata, &version))
            version = 0;
        answer.error = write_assignment(consumers, &member->assigned, version, &out);
    }
    if (!answer.error) {
        member->classic->sync_deadline = KF_FOREVER;
        member->session_deadline = now + member->classic->session_timeout;
        answer.protocol_type = sync->protocol_type;
        answer.protocol_name = sync->protocol_name;
        answer.assignment = (kf_bytes){out.bytes, out.used};
    }
    consumers->classic->sink.synced(consumers->classic->sink.context, token, &answer);
    kf_writer_free(&out);
    return true;
}

bool kf__consumers_heartbeat(struct kf__consumers *consumers, kf_time now,
                             const struct kf__member_claim *who, kf_err *err)
{
    struct kf__consumer_group *group = peopled(consumers, who->group);
    struct kf__consumer_member *member = NULL;
    bool waits = false;
    if (!group)
        return false;
    *err = claimed_classic(group, who, &member);
    if (*err)
        return true;
    member->session_deadline = now + member->classic->session_timeout;
    *err = kf__member_waits(consumers->alloc, group, member, &waits);
    if (!*err &&
        (member->epoch < group->assignment_epoch || member->state == KF__MEMBER_UNREVOKED ||
         (member->state == KF__MEMBER_UNRELEASED && !waits)))
        *err = call_to_join(member, now);
    return true;
}

bool kf__consumers_leave(struct kf__consumers *consumers, kf_time now,
                         const struct kf__member_claim *who, kf_err *err)
{
    struct kf__consumer_group *group = peopled(consumers, who->group);
    struct kf__consumer_member *member = NULL;
    struct kf__consumer_settings settings;
    if (!group)
        return false;
    if (who->instance_id.data && who->member_id.size == 0) { /* an administrator's removal */
        member = kf__consumer_static_member(group, who->instance_id);
        *err = member ? KF_OK : KF_ERR_UNKNOWN_MEMBER_ID;
    } else {
        *err = claimed(group, who, &member);
    }
    if (*err)
        return true;
    consumers->settings(consumers->context, group->id, &settings);
    *err = kf__consumers_fence(consumers, now, group, member, &settings);
    return true;
}
