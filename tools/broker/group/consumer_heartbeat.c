/*
 * consumer_heartbeat: a ConsumerGroupHeartbeat from end to end. First all that
 * can be refused is looked at, then the group changes: so a refusal leaves
 * everything as it was. The picture is in consumer_coordinator.h.
 */
#include "tools/broker/group/consumer_coordinator.h"
#include "tools/broker/group/consumer_migration.h"
#include "tools/broker/group/consumer_regexes.h"
#include "tools/broker/group/reconcile.h"
#include "tools/broker/text.h"

#include <stdarg.h>
#include <stdio.h>

/* One on its way. */
struct turn {
    struct kf__consumers *consumers;
    const struct kf__beat *beat;
    struct kf__beat_answer *answer;
    struct kf__consumer_settings settings;
    struct kf__consumer_group *group;
    struct kf__consumer_member *member;
    struct kf__holding before; /* what the member had */
    bool names_changed;
    bool regex_changed;
    bool regex_known; /* the new one is resolved already */
    bool regex_fresh; /* nobody had it before */
    kf_time now;
};

/* How much of an id a sentence shows. */
static int shown(kf_string text) { return (int)(text.size < 200 ? text.size : 200); }

KF_PRINTF(3, 4)
static kf_err refuse(struct kf__beat_answer *answer, kf_err error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(answer->why, sizeof answer->why, format, args);
    va_end(args);
    return error;
}

static bool is_blank(kf_string text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] > ' ')
            return false;
    return text.data != NULL;
}

static kf_err check_join(const struct kf__beat *beat, struct kf__beat_answer *answer)
{
    if (beat->rebalance_timeout_ms == -1)
        return refuse(answer, KF_ERR_INVALID_REQUEST,
                      "RebalanceTimeoutMs must be provided in first request.");
    if (beat->owned_topics != 0)
        return refuse(answer, KF_ERR_INVALID_REQUEST,
                      "TopicPartitions must be empty when (re-)joining.");
    if (beat->topic_count < 0 && !beat->regex.data)
        return refuse(answer, KF_ERR_INVALID_REQUEST,
                      "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when "
                      "(re-)joining.");
    return KF_OK;
}

/* null: none is preferred */
static kf_err check_assignor(const struct kf__consumer_settings *settings, kf_string assignor,
                             struct kf__beat_answer *answer)
{
    bool uniform = !settings->no_uniform, range = !settings->no_range;
    if (!assignor.data || (uniform && kf__text_equal(assignor, kf__text("uniform"))) ||
        (range && kf__text_equal(assignor, kf__text("range"))))
        return KF_OK;
    return refuse(answer, KF_ERR_UNSUPPORTED_ASSIGNOR,
                  "ServerAssignor %.*s is not supported. Supported assignors: %s%s%s.",
                  shown(assignor), assignor.data, uniform ? "uniform" : "",
                  uniform && range ? ", " : "", range ? "range" : "");
}

static kf_err check_request(const struct kf__consumer_settings *settings,
                            const struct kf__beat *beat, struct kf__beat_answer *answer)
{
    int32_t epoch = beat->member_epoch;
    bool names_itself = beat->version >= 1 || epoch > 0 || epoch == KF__EPOCH_LEAVES;
    if (names_itself && is_blank(beat->member_id))
        return refuse(answer, KF_ERR_INVALID_REQUEST, "MemberId can't be empty.");
    if (is_blank(beat->group))
        return refuse(answer, KF_ERR_INVALID_REQUEST, "GroupId can't be empty.");
    if (is_blank(beat->instance_id))
        return refuse(answer, KF_ERR_INVALID_REQUEST, "InstanceId can't be empty.");
    if (is_blank(beat->rack_id))
        return refuse(answer, KF_ERR_INVALID_REQUEST, "RackId can't be empty.");
    kf_err err = epoch == 0 ? check_join(beat, answer) : KF_OK;
    if (err)
        return err;
    if (epoch == KF__EPOCH_LEAVES_FOR_A_WHILE && !beat->instance_id.data)
        return refuse(answer, KF_ERR_INVALID_REQUEST, "InstanceId can't be null.");
    if (epoch < KF__EPOCH_LEAVES_FOR_A_WHILE)
        return refuse(answer, KF_ERR_INVALID_REQUEST, "MemberEpoch is invalid.");
    return check_assignor(settings, beat->assignor, answer);
}

/* ---- who it is ---- */

static kf_err refuse_epoch(struct kf__beat_answer *answer, const char *how, int32_t said,
                           int32_t known)
{
    return refuse(answer, KF_ERR_FENCED_MEMBER_EPOCH,
                  "The consumer group member has a %s member epoch (%d) than the one known by the "
                  "group coordinator (%d). The member must abandon all its partitions and rejoin.",
                  how, (int)said, (int)known);
}

static bool owns_no_more(const struct kf__beat *beat, const struct kf__consumer_member *member)
{
    for (size_t i = 0; i < beat->owned_count; i++)
        if (!kf__holding_find(&member->assigned, beat->owned[i].topic, beat->owned[i].partition))
            return false;
    return beat->owned_topics >= 0;
}

/* The answer to the last one may have been lost: then the epoch before is good, too. */
static kf_err check_epoch(const struct kf__beat *beat, const struct kf__consumer_member *member,
                          struct kf__beat_answer *answer)
{
    int32_t said = beat->member_epoch;
    if (said == 0 || said == member->epoch)
        return KF_OK;
    if (said > member->epoch)
        return refuse_epoch(answer, "greater", said, member->epoch);
    if (said == member->previous_epoch && owns_no_more(beat, member))
        return KF_OK;
    return refuse_epoch(answer, "smaller", said, member->epoch);
}

static kf_err find_static(struct turn *turn, kf_string id)
{
    const struct kf__beat *beat = turn->beat;
    struct kf__consumer_member *found = kf__consumer_static_member(turn->group, beat->instance_id);
    turn->member = found;
    if (beat->member_epoch == 0) {
        if (!found)
            turn->member = kf__consumer_member(turn->group, id);
        else if (!found->classic && found->epoch != KF__EPOCH_LEAVES_FOR_A_WHILE)
            return refuse(turn->answer, KF_ERR_UNRELEASED_INSTANCE_ID,
                          "Static member %.*s with instance id %.*s cannot join the group because "
                          "the instance id is owned by %.*s member.",
                          shown(id), id.data, shown(beat->instance_id), beat->instance_id.data,
                          shown(found->id), found->id.data);
        return KF_OK;
    }
    if (!found)
        return refuse(turn->answer, KF_ERR_UNKNOWN_MEMBER_ID, "Instance id %.*s is unknown.",
                      shown(beat->instance_id), beat->instance_id.data);
    if (!kf__text_equal(found->id, id))
        return refuse(turn->answer, KF_ERR_FENCED_INSTANCE_ID,
                      "Static member %.*s with instance id %.*s was fenced by member %.*s.",
                      shown(id), id.data, shown(beat->instance_id), beat->instance_id.data,
                      shown(found->id), found->id.data);
    return KF_OK;
}

static kf_err refuse_unknown(const struct turn *turn, kf_string id)
{
    return refuse(turn->answer, KF_ERR_UNKNOWN_MEMBER_ID,
                  "Member %.*s is not a member of group %.*s.", shown(id), id.data,
                  shown(turn->group->id), turn->group->id.data);
}

/* turn->member NULL afterwards: a new one. */
static kf_err find_member(struct turn *turn, kf_string id)
{
    const struct kf__beat *beat = turn->beat;
    if (beat->instance_id.data) {
        kf_err err = find_static(turn, id);
        if (err || beat->member_epoch == 0)
            return err;
        return check_epoch(beat, turn->member, turn->answer);
    }
    turn->member = kf__consumer_member(turn->group, id);
    if (!turn->member && beat->member_epoch != 0)
        return refuse_unknown(turn, id);
    return turn->member ? check_epoch(beat, turn->member, turn->answer) : KF_OK;
}

static kf_err check_room(const struct turn *turn, bool is_new)
{
    const struct kf__consumer_group *group = turn->group;
    const struct kf__beat *beat = turn->beat;
    if (kf__consumer_static_member(group, beat->instance_id))
        return KF_OK;
    bool known = beat->member_id.size > 0 && kf__consumer_member(group, beat->member_id);
    if (!known && group->member_count >= turn->settings.max_size)
        return refuse(turn->answer, KF_ERR_GROUP_MAX_SIZE_REACHED,
                      "The consumer group has reached its maximum capacity of %d members.",
                      (int)turn->settings.max_size);
    if (is_new && !known && turn->consumers->bytes > KF__MAX_GROUP_BYTES)
        return refuse(turn->answer, KF_ERR_GROUP_MAX_SIZE_REACHED,
                      "The consumer groups take more than %d bytes.", KF__MAX_GROUP_BYTES);
    return KF_OK;
}

/* A static member that is back takes its old place under its new id. */
static kf_err take_place(struct turn *turn, kf_string id)
{
    const kf_allocator *alloc = turn->consumers->alloc;
    struct kf__consumer_member *member = turn->member;
    bool changed = false;
    bool replaces = member && turn->beat->member_epoch == 0 && turn->beat->instance_id.data &&
                    kf__text_equal(member->instance_id, turn->beat->instance_id);
    if (!member) {
        turn->member = kf__consumer_group_add(alloc, turn->group, id);
        return turn->member ? KF_OK : KF_ERR_NO_MEMORY;
    }
    if (!replaces)
        return KF_OK;
    member->epoch = member->previous_epoch = 0;
    member->revoke_deadline = KF_FOREVER;
    return kf__member_take_text(alloc, id, &member->id, &changed);
}

/* ---- what it wants ---- */

static kf_err take_regex(struct turn *turn)
{
    const struct kf__beat *beat = turn->beat;
    struct kf__consumer_member *member = turn->member;
    if (!beat->regex.data)
        return KF_OK;
    bool had = member->regex.size > 0;
    bool others =
        beat->regex.size > 0 && kf__consumer_group_subscribers(turn->group, beat->regex) > 0;
    kf_err err = kf__member_take_text(turn->consumers->alloc, beat->regex, &member->regex,
                                      &turn->regex_changed);
    if (err || !turn->regex_changed)
        return err;
    kf__consumer_group_drop_regexes(turn->consumers->alloc, turn->group);
    const struct kf__group_regex *known = kf__consumer_group_regex(turn->group, beat->regex);
    turn->regex_fresh = beat->regex.size > 0 && !others;
    turn->regex_known = beat->regex.size > 0 ? others && known && known->resolved : had;
    return KF_OK;
}

static kf_err take_subscription(struct turn *turn)
{
    const kf_allocator *alloc = turn->consumers->alloc;
    const struct kf__beat *beat = turn->beat;
    struct kf__consumer_member *member = turn->member;
    bool ignored = false;
    kf_err err = KF_OK;
    if (beat->instance_id.data)
        err = kf__member_take_text(alloc, beat->instance_id, &member->instance_id, &ignored);
    if (!err && beat->rack_id.data)
        err = kf__member_take_text(alloc, beat->rack_id, &member->rack_id, &ignored);
    if (!err)
        err = kf__member_take_text(alloc, beat->client_id, &member->client_id, &ignored);
    if (!err)
        err = kf__member_take_text(alloc, beat->client_host, &member->client_host, &ignored);
    if (!err && beat->assignor.data)
        err = kf__member_take_text(alloc, beat->assignor, &member->assignor, &ignored);
    if (!err && beat->topic_count >= 0)
        err = kf__member_take_topics(alloc, member, beat->topics, beat->topic_count,
                                     &turn->names_changed);
    if (!err)
        err = take_regex(turn);
    if (!err && member->classic)
        err = kf__member_take_face(alloc, member, NULL);
    if (beat->rebalance_timeout_ms != -1)
        member->rebalance_timeout_ms = beat->rebalance_timeout_ms;
    return err;
}

/* What the group prefers, told apart. */
static bool prefers_range(const struct kf__consumer_group *group)
{
    return kf__text_equal(kf__consumer_group_assignor(group), kf__text("range"));
}

static kf_err reconcile(const struct turn *turn)
{
    struct kf__reconcile step = {
        .alloc = turn->consumers->alloc,
        .topics = turn->consumers->topics,
        .group = turn->group,
        .member = turn->member,
        .resubscribed = turn->names_changed || turn->regex_changed,
        .says_owned = turn->beat->owned_topics >= 0,
        .owned = turn->beat->owned,
        .owned_count = turn->beat->owned_count,
        .now = turn->now,
    };
    return kf__reconcile(&step);
}

static void tell(const struct turn *turn)
{
    const struct kf__beat *beat = turn->beat;
    struct kf__beat_answer *answer = turn->answer;
    bool full = beat->rebalance_timeout_ms != -1 && (beat->topic_count >= 0 || beat->regex.data) &&
                beat->owned_topics >= 0;
    bool changed = !kf__holding_equal(&turn->before, &turn->member->assigned);
    answer->member_id = turn->member->id;
    answer->member_epoch = turn->member->epoch;
    answer->heartbeat_ms = turn->settings.heartbeat_ms;
    answer->assignment =
        beat->member_epoch == 0 || full || changed ? &turn->member->assigned : NULL;
}

/* From here on nothing is refused any more. */
static kf_err live(struct turn *turn, kf_string id)
{
    struct kf__consumers *consumers = turn->consumers;
    struct kf__consumer_group *group = turn->group;
    bool range = prefers_range(group);
    kf_err err = take_place(turn, id);
    if (!err)
        err = kf__holding_copy(consumers->alloc, &turn->member->assigned, &turn->before);
    if (!err)
        err = take_subscription(turn);
    if (err)
        return err;
    bool bump = turn->names_changed || (turn->regex_changed && turn->regex_known) ||
                range != prefers_range(group);
    group->resubscribed |= turn->names_changed || turn->regex_changed;
    err = kf__consumers_look_at_topics(consumers, group, bump);
    if (!err)
        err =
            kf__consumers_retarget(consumers, turn->now, group, turn->settings.assignment_interval);
    if (!err)
        err = reconcile(turn);
    if (err)
        return err;
    turn->member->session_deadline = turn->now + turn->settings.session_timeout;
    tell(turn);
    if (kf__consumer_regexes_due(consumers, group, turn->now, turn->regex_fresh))
        err = kf__consumer_resolve(consumers, turn->now, group, turn->beat);
    kf__consumers_count(consumers, group);
    return err;
}

static kf_err check_new_regex(const struct turn *turn)
{
    kf_string regex = turn->beat->regex;
    if (!regex.data || (turn->member && kf__text_equal(turn->member->regex, regex)))
        return KF_OK;
    return kf__consumer_check_regex(turn->consumers->alloc, turn->group, regex, turn->answer->why,
                                    sizeof turn->answer->why);
}

static kf_err beat_group(struct turn *turn)
{
    kf_string id = turn->beat->member_id;
    kf_err err = check_room(turn, turn->beat->member_epoch == 0);
    if (!err && id.size == 0) {
        kf__consumers_make_id(turn->consumers, turn->answer->made_id);
        id = kf__text(turn->answer->made_id);
    }
    if (!err)
        err = find_member(turn, id);
    if (!err)
        err = check_new_regex(turn);
    if (!err)
        err = live(turn, id);
    kf__holding_free(turn->consumers->alloc, &turn->before);
    return err;
}

static kf_err refuse_missing(const struct turn *turn, const char *before, const char *after)
{
    return refuse(turn->answer, KF_ERR_GROUP_ID_NOT_FOUND, "%s %.*s %s", before,
                  shown(turn->beat->group), turn->beat->group.data, after);
}

/* The group of a heartbeat that isn't the last one: found, made, or made of a classic one. */
static kf_err open_group(struct turn *turn)
{
    struct kf__consumers *consumers = turn->consumers;
    kf_string id = turn->beat->group;
    bool joins = turn->beat->member_epoch == 0;
    turn->group = kf__consumers_find(consumers, id);
    if (turn->group)
        return KF_OK;
    const struct kf__classic_group *classic = kf__coordinator_find(consumers->classic, id);
    if (!joins)
        return classic ? refuse_missing(turn, "Group", "is not a consumer group.")
                       : refuse_missing(turn, "Consumer group", "not found.");
    if (consumers->bytes > KF__MAX_GROUP_BYTES)
        return refuse(turn->answer, KF_ERR_GROUP_MAX_SIZE_REACHED,
                      "The consumer groups take more than %d bytes.", KF__MAX_GROUP_BYTES);
    kf_err err = kf__consumer_check_regex(consumers->alloc, NULL, turn->beat->regex,
                                          turn->answer->why, sizeof turn->answer->why);
    if (err)
        return err;
    if (classic && classic->state != KF__GROUP_EMPTY)
        return kf__consumers_upgrade(consumers, turn->now, id, &turn->settings, &turn->group,
                                     turn->answer);
    turn->group = kf__consumers_put(consumers, id);
    if (turn->group && classic)
        kf__coordinator_give_up(consumers->classic, id);
    return turn->group ? KF_OK : KF_ERR_NO_MEMORY;
}

/* ---- leaving ---- */

static kf_err leave_for_a_while(struct turn *turn)
{
    struct kf__consumer_member *member = turn->member;
    member->epoch = KF__EPOCH_LEAVES_FOR_A_WHILE;
    kf__holding_free(turn->consumers->alloc, &member->revoking);
    for (size_t i = 0; i < member->assigned.count; i++)
        member->assigned.items[i].epoch = 0;
    return KF_OK;
}

static kf_err leave(struct turn *turn)
{
    const struct kf__beat *beat = turn->beat;
    struct kf__consumers *consumers = turn->consumers;
    turn->group = kf__consumers_find(consumers, beat->group);
    if (!turn->group)
        return kf__coordinator_find(consumers->classic, beat->group)
                   ? refuse_missing(turn, "Group", "is not a consumer group.")
                   : refuse_missing(turn, "Group", "not found.");
    kf_err err = KF_OK;
    if (beat->instance_id.data)
        err = find_static(turn, beat->member_id);
    else if (!(turn->member = kf__consumer_member(turn->group, beat->member_id)))
        err = refuse_unknown(turn, beat->member_id);
    if (err)
        return err;
    turn->answer->member_id = beat->member_id;
    turn->answer->member_epoch = beat->member_epoch;
    if (beat->instance_id.data && beat->member_epoch == KF__EPOCH_LEAVES_FOR_A_WHILE)
        return leave_for_a_while(turn);
    turn->member->leaves = true;
    return kf__consumers_fence(consumers, turn->now, turn->group, &turn->settings);
}

void kf__consumers_beat(struct kf__consumers *consumers, kf_time now, const struct kf__beat *beat,
                        struct kf__beat_answer *answer)
{
    struct turn turn = {.consumers = consumers, .beat = beat, .answer = answer, .now = now};
    *answer = (struct kf__beat_answer){0};
    consumers->settings(consumers->context, beat->group, &turn.settings);
    kf_err err = check_request(&turn.settings, beat, answer);
    if (!err && beat->member_epoch < 0) {
        err = leave(&turn);
    } else if (!err) {
        err = open_group(&turn);
        if (!err) {
            turn.group->range_first = turn.settings.range_first;
            err = beat_group(&turn);
        }
    }
    answer->error = err;
}
