#include "tools/broker/group/consumer_classic.h"

#include "tools/broker/group/consumer_migration.h"
#include "tools/broker/group/consumer_said.h"
#include "tools/broker/group/reconcile.h"
#include "tools/broker/text.h"

/* ---- join ---- */

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
                        const struct kf__join *join, const struct kf__said *said, bool *changed)
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
                     struct kf__consumer_member *member, const struct kf__said *said, bool changed,
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
                   kf_string id, const struct kf__said *said, void *token)
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
    bool down = replaces && kf__consumers_may_downgrade(group, settings);
    bool stale = group->assignment_epoch < group->epoch;
    if (!err && !(down && stale))
        err = settle(consumers, now, group, member, said, changed, !down, settings);
    if (err)
        return err;
    tell_joined(consumers, member, token);
    if (down)
        (void)kf__consumers_downgrade(consumers, now, group,
                                      stale); /* out of memory: it stays as it is */
    return KF_OK;
}

bool kf__consumers_join(struct kf__consumers *consumers, kf_time now, const struct kf__join *asked,
                        void *token)
{
    struct kf__consumer_group *group = kf__consumers_find(consumers, asked->group);
    struct kf__consumer_settings settings;
    struct kf__said said;
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
    err = kf__said_open(consumers, asked->protocols[0].metadata, &said);
    if (!err)
        err = join(consumers, now, group, &settings, asked, id, &said, token);
    kf__said_close(consumers, &said);
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
        if (!kf__said_version(member->classic->protocols[0].metadata, &version))
            version = 0;
        answer.error = kf__write_assignment(consumers, &member->assigned, version, &out);
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

static kf_err mark_leaving(const struct kf__consumer_group *group,
                           const struct kf__member_claim *who)
{
    struct kf__consumer_member *member = NULL;
    kf_err err = KF_OK;
    if (who->instance_id.data && who->member_id.size == 0) { /* an administrator's removal */
        member = kf__consumer_static_member(group, who->instance_id);
        err = member ? KF_OK : KF_ERR_UNKNOWN_MEMBER_ID;
    } else {
        err = claimed(group, who, &member);
    }
    if (!err)
        member->leaves = true;
    return err;
}

bool kf__consumers_leave(struct kf__consumers *consumers, kf_time now,
                         const struct kf__member_claim *who, int32_t count, kf_err *errors)
{
    struct kf__consumer_group *group = count > 0 ? peopled(consumers, who[0].group) : NULL;
    struct kf__consumer_settings settings;
    bool any = false;
    if (!group)
        return false;
    for (int32_t i = 0; i < count; i++) {
        errors[i] = mark_leaving(group, &who[i]);
        any |= !errors[i];
    }
    consumers->settings(consumers->context, group->id, &settings);
    kf_err err = any ? kf__consumers_fence(consumers, now, group, &settings) : KF_OK;
    for (int32_t i = 0; i < count && err; i++)
        errors[i] = errors[i] ? errors[i] : err;
    return true;
}
