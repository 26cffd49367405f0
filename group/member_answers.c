/*
 * member_answers: what the coordinator's answers mean: the verdict on an
 * error, and what each answer leads to. The moves between states are
 * member.c's.
 */
#include "group/member_state.h"

#include "group/subscription.h"
#include <string.h>

/* What an error asks for, whichever request met it. */
enum verdict {
    RETRY, /* the same again, later */
    COORDINATOR_MOVED,
    REBALANCE,
    LOST,         /* expelled from the generation, the member id still counts */
    LOST_WITH_ID, /* the coordinator does not know us at all */
    FATAL,
};

static enum verdict judge(kf_err err)
{
    switch (err) {
    case KF_ERR_NOT_COORDINATOR:
    case KF_ERR_COORDINATOR_NOT_AVAILABLE:
    case KF_ERR_NETWORK_EXCEPTION:
    case KF_ERR_REQUEST_TIMED_OUT:
    case KF_ERR_DISCONNECTED:
    case KF_ERR_CONNECT_FAILED:
    case KF_ERR_NAME_NOT_RESOLVED:
    case KF_ERR_NO_BROKER:
    case KF_ERR_TIMED_OUT:
        return COORDINATOR_MOVED;
    case KF_ERR_REBALANCE_IN_PROGRESS:
        return REBALANCE;
    case KF_ERR_ILLEGAL_GENERATION:
        return LOST;
    case KF_ERR_UNKNOWN_MEMBER_ID:
        return LOST_WITH_ID;
    case KF_ERR_FENCED_INSTANCE_ID:
    case KF_ERR_UNRELEASED_INSTANCE_ID:
    case KF_ERR_INCONSISTENT_GROUP_PROTOCOL:
    case KF_ERR_INVALID_GROUP_ID:
    case KF_ERR_INVALID_SESSION_TIMEOUT:
    case KF_ERR_GROUP_MAX_SIZE_REACHED:
    case KF_ERR_GROUP_AUTHORIZATION_FAILED:
    case KF_ERR_TOPIC_AUTHORIZATION_FAILED:
    case KF_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case KF_ERR_UNSUPPORTED_VERSION:
    case KF_ERR_API_NOT_SUPPORTED:
        return FATAL;
    default:
        return RETRY;
    }
}

static void heartbeat_failed(struct kf__member *member, enum verdict verdict, kf_time now)
{
    if (verdict != REBALANCE) {
        member->heartbeat_at = kf__member_after(now, kf__member_back_off(member));
        return;
    }
    /* The coordinator knows us. While draining or leaving we do what we can already. */
    member->session_deadline =
        kf__member_after(member->heartbeat_sent_at, member->settings.session_timeout);
    member->heartbeat_at = kf__member_after(now, member->settings.heartbeat_interval);
    if (member->state == KF__MEMBER_STABLE) {
        kf__member_because(member, "the group rebalances");
        member->rejoin = true;
    }
}

static void leave_failed(struct kf__member *member, kf_err err, kf_time now)
{
    enum verdict verdict = judge(err);
    if (verdict == LOST || verdict == LOST_WITH_ID || err == KF_ERR_FENCED_INSTANCE_ID) {
        kf__member_gone(member, KF_OK); /* nobody there to leave */
    } else if (verdict == FATAL) {
        kf__member_gone(member, err);
    } else {
        member->retry_at = kf__member_after(now, kf__member_back_off(member));
        if (verdict == COORDINATOR_MOVED)
            kf__member_lose_coordinator(member, err);
    }
}

void kf__member_request_failed(struct kf__member *member, enum kf__member_request request,
                               kf_err err, kf_time now)
{
    enum verdict verdict = judge(err);
    if (request == KF__MEMBER_LEAVE) {
        leave_failed(member, err, now);
        return;
    }
    if (verdict == FATAL) {
        kf__member_fail(member, err);
        return;
    }
    if (verdict == LOST || verdict == LOST_WITH_ID) {
        kf__member_lose(member, err, verdict == LOST_WITH_ID, now);
        return;
    }
    if (request == KF__MEMBER_HEARTBEAT) {
        heartbeat_failed(member, verdict, now);
    } else {
        kf__member_because(member, "a request ended with %s", kf_err_name(err));
        if (request == KF__MEMBER_SYNC && verdict == REBALANCE)
            kf__member_join(member);
        else
            kf__member_join_later(member, now);
    }
    if (verdict == COORDINATOR_MOVED)
        kf__member_lose_coordinator(member, err);
}

static kf_err accept_join(struct kf__member *member, const struct kf_join_group_response *response,
                          kf_time now)
{
    if (response->protocol_type.data &&
        kf__string_compare(response->protocol_type, (kf_string){"consumer", 8}))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (!kf__assignor_by_name(response->protocol_name, &member->assignor))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    kf_err err = kf__member_set_id(member, response->member_id);
    if (err)
        return err;

    member->generation = response->generation_id;
    member->session_deadline = kf__member_after(now, member->settings.session_timeout);
    member->heartbeat_at = kf__member_after(now, member->settings.heartbeat_interval);
    member->retry_at = now;
    member->state = KF__MEMBER_SYNCING;
    if (kf__string_compare(response->leader, response->member_id) == 0)
        return kf__member_lead_begin(member, response);
    return KF_OK;
}

static void join_answered(struct kf__member *member, const struct kf_join_group_response *response,
                          kf_time now)
{
    kf_err err = response->error_code;
    if (err == KF_ERR_MEMBER_ID_REQUIRED) {
        err = kf__member_set_id(member, response->member_id);
        if (!err) {
            member->retry_at = now;
            return;
        }
    }
    if (!err)
        err = accept_join(member, response, now);
    if (err)
        kf__member_request_failed(member, KF__MEMBER_JOIN, err, now);
}

/* Topics that we did not ask for, or not any more, are not taken. */
static void drop_unwanted(const struct kf__member *member, struct kf__partition_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (kf__names_contain(&member->topics, list->items[i].topic))
            list->items[kept++] = list->items[i];
    list->count = kept;
}

/* The lists that an assignment leads to; all of them, or none and an error. */
struct moves {
    struct kf__partition_list owned;
    struct kf__partition_list last;
    struct kf__partition_list added;
    struct kf__partition_list given_up;
};

static kf_err plan_moves(const struct kf__member *member, kf_bytes assignment, struct moves *moves)
{
    const kf_allocator *alloc = member->alloc;
    struct kf__partition_list list;
    kf_arena arena;
    kf_arena_init(&arena, alloc, 0);
    *moves = (struct moves){0};
    kf_err err = kf__assignment_decode(assignment, &arena, &list);
    if (!err) {
        drop_unwanted(member, &list);
        err = kf__partitions_copy(alloc, &list, NULL, &moves->owned);
    }
    if (!err)
        err = kf__partitions_copy(alloc, &list, NULL, &moves->last);
    if (!err)
        err = kf__partitions_copy(alloc, &list, &member->owned, &moves->added);
    if (!err)
        err = kf__partitions_copy(alloc, &member->owned, &list, &moves->given_up);
    kf_arena_free(&arena);
    if (err) {
        kf__partitions_free(alloc, &moves->owned);
        kf__partitions_free(alloc, &moves->last);
        kf__partitions_free(alloc, &moves->added);
        kf__partitions_free(alloc, &moves->given_up);
    }
    return err;
}

static void apply_moves(struct kf__member *member, struct moves *moves, kf_time now)
{
    kf__member_report_rebalance(member, &member->last, &moves->last);
    kf__partitions_free(member->alloc, &member->owned);
    kf__partitions_free(member->alloc, &member->last);
    member->owned = moves->owned;
    member->last = moves->last;
    member->owned_generation = member->last_generation = member->generation;
    member->attempts = 0;
    member->state = KF__MEMBER_STABLE;
    member->effects.assigned(member->effects.owner, &moves->added, &member->owned);
    kf__partitions_free(member->alloc, &moves->added);

    if (member->state != KF__MEMBER_STABLE || moves->given_up.count == 0) {
        kf__partitions_free(member->alloc, &moves->given_up);
        return;
    }
    kf__member_because(member, "it gave up %zu partitions that others wait for",
                       moves->given_up.count);
    member->draining = moves->given_up;
    kf__member_give_up(member, now);
}

static void sync_answered(struct kf__member *member, const struct kf_sync_group_response *response,
                          kf_time now)
{
    kf_err err = response->error_code;
    struct moves moves;
    if (!err && response->protocol_type.data &&
        kf__string_compare(response->protocol_type, (kf_string){"consumer", 8}))
        err = KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (!err) {
        err = plan_moves(member, response->assignment, &moves);
        if (err)
            kf__member_report(member, KF_LOG_ERROR, "group.assignment", err,
                              "the assignment of generation %d can't be used: %s",
                              (int)member->generation, kf_err_text(err));
    }
    if (err)
        kf__member_request_failed(member, KF__MEMBER_SYNC, err, now);
    else
        apply_moves(member, &moves, now);
}

static void heartbeat_answered(struct kf__member *member,
                               const struct kf_heartbeat_response *response, kf_time now)
{
    if (response->error_code) {
        kf__member_request_failed(member, KF__MEMBER_HEARTBEAT, response->error_code, now);
        return;
    }
    member->session_deadline =
        kf__member_after(member->heartbeat_sent_at, member->settings.session_timeout);
    member->heartbeat_at = kf__member_after(now, member->settings.heartbeat_interval);
    if (member->state == KF__MEMBER_STABLE)
        member->attempts = 0;
}

static void leave_answered(struct kf__member *member,
                           const struct kf_leave_group_response *response, kf_time now)
{
    kf_err err = response->error_code;
    if (!err && response->members.count > 0)
        err = response->members.items[0].error_code;
    if (err)
        leave_failed(member, err, now);
    else
        kf__member_gone(member, KF_OK);
}

void kf__member_answer(struct kf__member *member, enum kf__member_request request, kf_err err,
                       int16_t version, const void *message, kf_time now)
{
    (void)version;
    if (!member->pending[request])
        return;
    member->pending[request] = false;
    if (err) {
        kf__member_request_failed(member, request, err, now);
    } else {
        switch (request) {
        case KF__MEMBER_JOIN:
            join_answered(member, message, now);
            break;
        case KF__MEMBER_SYNC:
            sync_answered(member, message, now);
            break;
        case KF__MEMBER_HEARTBEAT:
            heartbeat_answered(member, message, now);
            break;
        case KF__MEMBER_LEAVE:
            leave_answered(member, message, now);
            break;
        case KF__MEMBER_REQUESTS:
            break;
        }
    }
    kf__member_proceed(member, now);
}

void kf__member_commit_error(struct kf__member *member, kf_err err, int32_t generation, kf_time now)
{
    /*
     * While we join, the group may already be in its next generation: that
     * the commit came too late says nothing about what we own (librdkafka
     * #4059). The join's own answer tells.
     */
    bool joining = member->state == KF__MEMBER_JOINING || member->state == KF__MEMBER_SYNCING;
    if (generation != member->generation || generation < 0 || !kf__member_is_watched(member) ||
        (joining && err != KF_ERR_FENCED_INSTANCE_ID))
        return;
    enum verdict verdict = judge(err);
    if (verdict == FATAL && err == KF_ERR_FENCED_INSTANCE_ID) {
        kf__member_fail(member, err);
    } else if (verdict == LOST || verdict == LOST_WITH_ID) {
        kf__member_lose(member, err, verdict == LOST_WITH_ID, now);
    } else if (verdict == REBALANCE && member->state == KF__MEMBER_STABLE) {
        kf__member_because(member, "the group rebalances");
        member->rejoin = true;
    }
    kf__member_proceed(member, now);
}
