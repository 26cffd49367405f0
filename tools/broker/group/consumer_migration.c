#include "tools/broker/group/consumer_migration.h"

#include "tools/broker/group/consumer_said.h"
#include "tools/broker/group/group_rebalance.h"
#include "tools/broker/group/java_order.h"
#include "tools/broker/text.h"

#include <stdio.h>

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
    struct kf__said said;
    bool changed = false;
    if (!member)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf__said_open(consumers, kf__group_metadata(from, classic->protocol_name), &said);
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
        err = kf__said_assignment(consumers, from->assignment, classic->generation,
                                  &member->assigned);
    if (!err)
        err = kf__holding_copy(alloc, &member->assigned, &member->target);
    for (size_t i = 0; i < member->target.count && !err; i += kf__holding_run(&member->target, i))
        err =
            kf__java_rank(alloc, &member->target.items[i], kf__holding_run(&member->target, i), -1);
    kf__said_close(consumers, &said);
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
    kf__forget_group(consumers->classic, classic);
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
        if (!kf__said_version(kf__group_metadata(member, classic->protocol_name), &version))
            version = 0;
        err = kf__write_assignment(consumers, &group->members[i]->target, version, &out);
        if (!err)
            err = kf__bytes_copy(alloc, (kf_bytes){out.bytes, out.used}, &member->assignment);
        kf_writer_free(&out);
    }
    return err;
}

kf_err kf__consumers_downgrade(struct kf__consumers *consumers, kf_time now,
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
    (void)kf__store_group(consumers->classic, classic); /* nobody could be told */
    if (rebalance)
        kf__rebalance(consumers->classic, now, classic);
    return KF_OK;
}

bool kf__consumers_may_downgrade(const struct kf__consumer_group *group,
                                 const struct kf__consumer_settings *settings)
{
    return group->member_count > 0 && kf__consumer_group_classic(group) == group->member_count &&
           (settings->migration & KF__MIGRATE_DOWN) &&
           group->member_count <= settings->classic_max_size;
}

kf_err kf__consumers_fence(struct kf__consumers *consumers, kf_time now,
                           struct kf__consumer_group *group,
                           const struct kf__consumer_settings *settings)
{
    int32_t epoch = group->epoch;
    kf_err err = kf__consumers_remove(consumers, group);
    if (err || !kf__consumers_may_downgrade(group, settings))
        return err;
    group->epoch = epoch; /* as a classic group it counts on in its own way */
    return kf__consumers_downgrade(consumers, now, group, true);
}
