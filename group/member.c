/*
 * member: the states of a classic group member and what each event does in
 * them. See member.h for the picture; here is its whole order:
 *
 *            ┌────────── answer: retry, rebalance ◀──────┐
 *            ▼                                           │
 *  UNJOINED ─▶ JOINING ──answer──▶ SYNCING ──answer──▶ STABLE ──────────┐
 *               ▲  ▲                  │                  │  rebalance,  │
 *               │  └── error ─────────┘   gives some up  │  new wishes  │ leave
 *               │                                        ▼              │
 *               └── drained, or the bound passed ──── DRAINING          │
 *                                                        │ leave        │
 *      GONE ◀── LEAVING ◀── drained ── LEAVE_DRAINING ◀──┴──────────────┘
 *
 *  Lost (from anywhere): JOINING again with nothing. Fatal: GONE.
 *
 * Events only change what is remembered; `proceed` then does whatever is due
 * in the state reached. So a callback may call back in.
 */
#include "group/member.h"

#include "group/member_state.h"
#include "group/subscription.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* What goes on by itself in a state. */
static const struct {
    bool beats;    /* heartbeats */
    bool watched;  /* the session may run out on our own clock */
    bool drains;   /* until drain_deadline */
    bool requests; /* a request of its own is under way or will be */
    enum kf__member_request request;
} states[KF__MEMBER_STATES] = {
    [KF__MEMBER_JOINING] = {.watched = true, .requests = true, .request = KF__MEMBER_JOIN},
    [KF__MEMBER_SYNCING] = {.beats = true,
                            .watched = true,
                            .requests = true,
                            .request = KF__MEMBER_SYNC},
    [KF__MEMBER_STABLE] = {.beats = true, .watched = true},
    [KF__MEMBER_DRAINING] = {.beats = true, .watched = true, .drains = true},
    [KF__MEMBER_LEAVE_DRAINING] = {.beats = true, .watched = true, .drains = true},
    [KF__MEMBER_LEAVING] = {.requests = true, .request = KF__MEMBER_LEAVE},
};

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

static void check_invariants(const struct kf__member *member)
{
    assert(!member->draining.count || states[member->state].drains);
    assert(!member->owned.count || member->owned_generation >= 0);
    assert(!member->pending[KF__MEMBER_JOIN] || member->state == KF__MEMBER_JOINING);
    assert(!member->pending[KF__MEMBER_SYNC] || member->state == KF__MEMBER_SYNCING);
    assert(!member->pending[KF__MEMBER_LEAVE] || member->state == KF__MEMBER_LEAVING);
    (void)member;
}

/* Times */

static kf_time earlier(kf_time a, kf_time b) { return a < b ? a : b; }
static kf_time later(kf_time a, kf_time b) { return a > b ? a : b; }

static kf_time after(kf_time now, kf_time delay)
{
    return delay > KF_FOREVER - now ? KF_FOREVER : now + delay;
}

/* Exponential, between 0.8 and 1.2 times the step, so that members don't march in line. */
static kf_time back_off(struct kf__member *member)
{
    const struct kf__member_settings *settings = &member->settings;
    unsigned shift = member->attempts < 20 ? member->attempts : 20;
    kf_time step = earlier(settings->retry_backoff << shift, settings->retry_backoff_max);
    uint64_t random = settings->random ? settings->random(settings->random_context) : 1U << 15;
    if (member->attempts < 1000)
        member->attempts++;
    return step / 5 * 4 + step / 5 * 2 * (kf_time)(random & 0xFFFF) / 0x10000;
}

/*
 * The coordinator waits a rebalance timeout for us, from when the rebalance
 * began: we may learn of it one heartbeat later, and the answer has a way to
 * go.
 */
static kf_time drain_bound(const struct kf__member *member, kf_time now)
{
    kf_time timeout = member->settings.rebalance_timeout;
    kf_time reserve = earlier(later(timeout / 10, KF_SECOND), 3 * KF_SECOND);
    reserve = earlier(reserve + member->settings.heartbeat_interval, timeout / 2);
    return after(now, timeout - reserve);
}

static kf_time next_tick(const struct kf__member *member)
{
    enum kf__member_state state = member->state;
    kf_time at = KF_FOREVER;
    if (member->coordinator_known) {
        if (states[state].requests && state != KF__MEMBER_SYNCING &&
            !member->pending[states[state].request])
            at = earlier(at, member->retry_at);
        if (states[state].beats && member->generation >= 0 &&
            !member->pending[KF__MEMBER_HEARTBEAT])
            at = earlier(at, member->heartbeat_at);
    }
    if (states[state].watched && member->generation >= 0 && !member->pending[KF__MEMBER_JOIN])
        at = earlier(at, member->session_deadline);
    if (states[state].drains)
        at = earlier(at, member->drain_deadline);
    if (state == KF__MEMBER_LEAVING || state == KF__MEMBER_LEAVE_DRAINING)
        at = earlier(at, member->leave_deadline);
    return at;
}

/* Requests */

static void cancel(struct kf__member *member, enum kf__member_request request)
{
    if (!member->pending[request])
        return;
    member->pending[request] = false;
    member->effects.cancel(member->effects.owner, request);
}

static void cancel_all(struct kf__member *member)
{
    for (int request = 0; request < KF__MEMBER_REQUESTS; request++)
        cancel(member, (enum kf__member_request)request);
}

static void send(struct kf__member *member, enum kf__member_request request, kf_time now)
{
    member->pending[request] = true;
    if (request == KF__MEMBER_HEARTBEAT)
        member->heartbeat_sent_at = now;
    member->effects.send(member->effects.owner, request);
}

static void send_what_is_due(struct kf__member *member, kf_time now)
{
    enum kf__member_state state = member->state;
    if (member->coordinator_known && states[state].requests &&
        !member->pending[states[state].request] && now >= member->retry_at &&
        !(state == KF__MEMBER_SYNCING && member->lead.awaits_topics))
        send(member, states[state].request, now);
    if (member->coordinator_known && states[member->state].beats && member->generation >= 0 &&
        !member->pending[KF__MEMBER_HEARTBEAT] && now >= member->heartbeat_at)
        send(member, KF__MEMBER_HEARTBEAT, now);
}

static void lose_coordinator(struct kf__member *member, kf_err why)
{
    member->coordinator_known = false;
    if (member->coordinator_asked)
        return;
    member->coordinator_asked = true;
    member->effects.coordinator_lost(member->effects.owner, why);
}

static void start_rejoin(struct kf__member *member, kf_time now);

/* Does what is due in the present state, and says when the next thing will be. */
static void proceed(struct kf__member *member, kf_time now)
{
    check_invariants(member);
    if (member->rejoin && member->state == KF__MEMBER_STABLE)
        start_rejoin(member, now);
    if (member->state != KF__MEMBER_UNJOINED && member->state != KF__MEMBER_GONE &&
        !member->coordinator_known)
        lose_coordinator(member, KF_ERR_COORDINATOR_NOT_AVAILABLE);
    send_what_is_due(member, now);

    kf_time tick = next_tick(member);
    if (tick != member->told_tick) {
        member->told_tick = tick;
        member->effects.tick_at(member->effects.owner, tick);
    }
    check_invariants(member);
}

/* Joining */

static void join(struct kf__member *member)
{
    cancel(member, KF__MEMBER_HEARTBEAT);
    cancel(member, KF__MEMBER_SYNC);
    kf__member_lead_end(member);
    member->rejoin = false;
    member->state = KF__MEMBER_JOINING;
}

static void join_later(struct kf__member *member, kf_time now)
{
    join(member);
    member->retry_at = after(now, back_off(member));
}

/* Moves to `draining` what can't be kept over the next join. */
static void set_aside(struct kf__member *member)
{
    assert(member->draining.count == 0);
    struct kf__partition_list *owned = &member->owned;
    struct kf__partition_list *draining = &member->draining;
    if (!member->cooperative || kf__partitions_copy(member->alloc, owned, NULL, draining)) {
        *draining = *owned; /* without memory, giving up all needs none */
        *owned = (struct kf__partition_list){0};
        return;
    }
    size_t kept = 0;
    size_t aside = 0;
    for (size_t i = 0; i < owned->count; i++) {
        if (kf__names_contain(&member->topics, owned->items[i].topic))
            owned->items[kept++] = owned->items[i];
        else
            draining->items[aside++] = draining->items[i];
    }
    owned->count = kept;
    draining->count = aside;
    if (aside == 0)
        kf__partitions_free(member->alloc, draining);
}

static void finish_drain(struct kf__member *member, kf_time now);

/* Hands `draining` to the driver; kf__member_drained may come from within. */
static void drain(struct kf__member *member, enum kf__member_state state, kf_time deadline,
                  kf_time now)
{
    member->state = state;
    member->drain_deadline = deadline;
    member->in_revoked = true;
    member->drained_inside = false;
    member->effects.revoked(member->effects.owner, &member->draining, deadline);
    member->in_revoked = false;
    if (member->drained_inside && states[member->state].drains)
        finish_drain(member, now);
}

static void start_rejoin(struct kf__member *member, kf_time now)
{
    set_aside(member);
    if (member->draining.count)
        drain(member, KF__MEMBER_DRAINING, drain_bound(member, now), now);
    else
        join(member);
}

/* Leaving */

static void gone(struct kf__member *member, kf_err err)
{
    cancel_all(member);
    member->generation = -1;
    member->state = KF__MEMBER_GONE;
    member->effects.left(member->effects.owner, err);
}

/* Static members stay in the group: who comes back with their name gets their partitions. */
static void leave_or_stay(struct kf__member *member, kf_time now)
{
    bool stays = member->settings.instance_id && !member->settings.leave_on_close;
    if (stays || !member->id[0]) {
        gone(member, KF_OK);
        return;
    }
    cancel_all(member);
    member->state = KF__MEMBER_LEAVING;
    member->attempts = 0;
    member->retry_at = now;
}

static void start_leave(struct kf__member *member, kf_time now)
{
    cancel(member, KF__MEMBER_JOIN);
    cancel(member, KF__MEMBER_SYNC);
    kf__member_lead_end(member);
    member->draining = member->owned;
    member->owned = (struct kf__partition_list){0};
    if (member->draining.count == 0) {
        leave_or_stay(member, now);
        return;
    }
    kf_time left = member->leave_deadline - now;
    kf_time reserve = earlier(later(left / 4, 0), KF_SECOND);
    drain(member, KF__MEMBER_LEAVE_DRAINING, member->leave_deadline - reserve, now);
}

static void finish_drain(struct kf__member *member, kf_time now)
{
    enum kf__member_state state = member->state;
    kf__partitions_free(member->alloc, &member->draining);
    if (state == KF__MEMBER_LEAVE_DRAINING) {
        leave_or_stay(member, now);
    } else if (member->leaving) {
        start_leave(member, now);
    } else {
        member->state = KF__MEMBER_STABLE;
        start_rejoin(member, now);
    }
}

/* Losing */

static void tell_lost(struct kf__member *member, struct kf__partition_list *list, kf_err why)
{
    if (list->count)
        member->effects.lost(member->effects.owner, list, why);
    kf__partitions_free(member->alloc, list);
}

/* Whatever was ours is somebody else's; the caller has set the next state. */
static void drop_all(struct kf__member *member, kf_err why)
{
    struct kf__partition_list owned = member->owned;
    struct kf__partition_list draining = member->draining;
    member->owned = member->draining = (struct kf__partition_list){0};
    member->generation = member->owned_generation = -1;
    kf__member_lead_end(member);
    tell_lost(member, &owned, why);
    tell_lost(member, &draining, why);
}

static void forget_id(struct kf__member *member) { member->id[0] = '\0'; }

static void lose(struct kf__member *member, kf_err why, bool with_id, kf_time now)
{
    cancel_all(member);
    if (member->owned.count || member->draining.count)
        kf__member_report(member, KF_LOG_WARNING, "group.lost", why,
                          "lost %zu partitions of generation %d: %s",
                          member->owned.count + member->draining.count, (int)member->generation,
                          kf_err_text(why));
    if (with_id)
        forget_id(member);
    if (member->leaving) {
        member->state = KF__MEMBER_LEAVING;
        member->retry_at = now;
        drop_all(member, why);
        if (!member->id[0])
            gone(member, KF_OK);
        return;
    }
    member->reason[0] = '\0';
    kf__member_because(member, "it lost its membership (%s)", kf_err_name(why));
    member->rejoin = false;
    member->state = KF__MEMBER_JOINING;
    member->retry_at = member->attempts ? after(now, back_off(member)) : now;
    member->attempts += member->attempts == 0;
    drop_all(member, why);
}

static void fail(struct kf__member *member, kf_err err)
{
    char text[KF_ERROR_TEXT_BYTES];
    snprintf(text, sizeof text, "group %s: the coordinator refuses this member: %s",
             member->settings.group_id, kf_err_text(err));
    bool leaving = member->leaving;
    cancel_all(member);
    member->state = KF__MEMBER_GONE;
    drop_all(member, err);
    if (leaving)
        member->effects.left(member->effects.owner, err);
    else
        member->effects.fatal(member->effects.owner, err, text);
}

/* Answers */

static void heartbeat_failed(struct kf__member *member, enum verdict verdict, kf_time now)
{
    if (verdict != REBALANCE) {
        member->heartbeat_at = after(now, back_off(member));
        return;
    }
    /* The coordinator knows us. While draining or leaving we do what we can already. */
    member->session_deadline = after(member->heartbeat_sent_at, member->settings.session_timeout);
    member->heartbeat_at = after(now, member->settings.heartbeat_interval);
    if (member->state == KF__MEMBER_STABLE) {
        kf__member_because(member, "the group rebalances");
        member->rejoin = true;
    }
}

static void leave_failed(struct kf__member *member, kf_err err, kf_time now)
{
    enum verdict verdict = judge(err);
    if (verdict == LOST || verdict == LOST_WITH_ID || err == KF_ERR_FENCED_INSTANCE_ID) {
        gone(member, KF_OK); /* nobody there to leave */
    } else if (verdict == FATAL) {
        gone(member, err);
    } else {
        member->retry_at = after(now, back_off(member));
        if (verdict == COORDINATOR_MOVED)
            lose_coordinator(member, err);
    }
}

static void request_failed(struct kf__member *member, enum kf__member_request request, kf_err err,
                           kf_time now)
{
    enum verdict verdict = judge(err);
    if (request == KF__MEMBER_LEAVE) {
        leave_failed(member, err, now);
        return;
    }
    if (verdict == FATAL) {
        fail(member, err);
        return;
    }
    if (verdict == LOST || verdict == LOST_WITH_ID) {
        lose(member, err, verdict == LOST_WITH_ID, now);
        return;
    }
    if (request == KF__MEMBER_HEARTBEAT) {
        heartbeat_failed(member, verdict, now);
    } else {
        kf__member_because(member, "a request ended with %s", kf_err_name(err));
        if (request == KF__MEMBER_SYNC && verdict == REBALANCE)
            join(member);
        else
            join_later(member, now);
    }
    if (verdict == COORDINATOR_MOVED)
        lose_coordinator(member, err);
}

static kf_err set_id(struct kf__member *member, kf_string id)
{
    char *copy = kf_alloc(member->alloc, id.size + 1);
    if (!copy)
        return KF_ERR_NO_MEMORY;
    if (id.size)
        memcpy(copy, id.data, id.size);
    copy[id.size] = '\0';
    kf_free(member->alloc, member->id);
    member->id = copy;
    return KF_OK;
}

static kf_err accept_join(struct kf__member *member, const struct kf_join_group_response *response,
                          kf_time now)
{
    if (response->protocol_type.data &&
        kf__string_compare(response->protocol_type, (kf_string){"consumer", 8}))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (!kf__assignor_by_name(response->protocol_name, &member->assignor))
        return KF_ERR_INCONSISTENT_GROUP_PROTOCOL;
    kf_err err = set_id(member, response->member_id);
    if (err)
        return err;

    member->generation = response->generation_id;
    member->session_deadline = after(now, member->settings.session_timeout);
    member->heartbeat_at = after(now, member->settings.heartbeat_interval);
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
        err = set_id(member, response->member_id);
        if (!err) {
            member->retry_at = now;
            return;
        }
    }
    if (!err)
        err = accept_join(member, response, now);
    if (err)
        request_failed(member, KF__MEMBER_JOIN, err, now);
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
    drain(member, KF__MEMBER_DRAINING, drain_bound(member, now), now);
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
        request_failed(member, KF__MEMBER_SYNC, err, now);
    else
        apply_moves(member, &moves, now);
}

static void heartbeat_answered(struct kf__member *member,
                               const struct kf_heartbeat_response *response, kf_time now)
{
    if (response->error_code) {
        request_failed(member, KF__MEMBER_HEARTBEAT, response->error_code, now);
        return;
    }
    member->session_deadline = after(member->heartbeat_sent_at, member->settings.session_timeout);
    member->heartbeat_at = after(now, member->settings.heartbeat_interval);
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
        gone(member, KF_OK);
}

void kf__member_answer(struct kf__member *member, enum kf__member_request request, kf_err err,
                       int16_t version, const void *message, kf_time now)
{
    (void)version;
    if (!member->pending[request])
        return;
    member->pending[request] = false;
    if (err) {
        request_failed(member, request, err, now);
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
    proceed(member, now);
}

/* Wishes and time */

kf_err kf__member_subscribe(struct kf__member *member, const kf_string *topics, size_t count,
                            kf_time now)
{
    if (member->state == KF__MEMBER_GONE || member->leaving)
        return KF_ERR_STATE;
    struct kf__names names;
    kf_err err = kf__names_copy(member->alloc, topics, count, &names);
    if (err)
        return err;
    if (member->state != KF__MEMBER_UNJOINED && kf__names_equal(&names, &member->topics)) {
        kf__names_free(member->alloc, &names);
        return KF_OK;
    }
    kf__names_free(member->alloc, &member->topics);
    member->topics = names;
    if (member->state == KF__MEMBER_UNJOINED) {
        kf__member_because(member, "it starts");
        member->state = KF__MEMBER_JOINING;
        member->retry_at = now;
    } else {
        kf__member_because(member, "its subscription changed to %zu topics", count);
        member->rejoin = true;
    }
    proceed(member, now);
    return KF_OK;
}

void kf__member_coordinator_found(struct kf__member *member, kf_time now)
{
    member->coordinator_known = true;
    member->coordinator_asked = false;
    proceed(member, now);
}

void kf__member_tick(struct kf__member *member, kf_time now)
{
    member->told_tick = -1; /* a tick that came must be asked for again */
    enum kf__member_state state = member->state;
    if ((state == KF__MEMBER_LEAVING || state == KF__MEMBER_LEAVE_DRAINING) &&
        now >= member->leave_deadline) {
        kf__partitions_free(member->alloc, &member->draining);
        gone(member, KF_ERR_TIMED_OUT);
    } else if (states[state].watched && member->generation >= 0 &&
               !member->pending[KF__MEMBER_JOIN] && now >= member->session_deadline) {
        lose(member, KF_ERR_TIMED_OUT, false, now);
    } else if (states[state].drains && now >= member->drain_deadline) {
        kf__member_report(member, KF_LOG_WARNING, "group.drain", KF_ERR_TIMED_OUT,
                          "%zu partitions are not drained within the rebalance timeout: going on "
                          "without them",
                          member->draining.count);
        finish_drain(member, now);
    }
    proceed(member, now);
}

kf_err kf__member_topics(struct kf__member *member, const struct kf__topic_shape *topics,
                         size_t count, kf_time now)
{
    struct kf__member_lead *lead = &member->lead;
    kf_err err = KF_OK;
    if (lead->awaits_topics) {
        err = kf__member_lead_assign(member, topics, count);
        if (err)
            request_failed(member, KF__MEMBER_SYNC, err, now);
    } else if (lead->leads && !lead->watching) {
        err = kf__member_lead_watch(member, topics, count);
    } else if (lead->leads && kf__member_lead_changed(member, topics, count)) {
        member->rejoin = true;
    }
    proceed(member, now);
    return err;
}

void kf__member_drained(struct kf__member *member, kf_time now)
{
    if (!states[member->state].drains)
        return;
    if (member->in_revoked) {
        member->drained_inside = true;
        return;
    }
    finish_drain(member, now);
    proceed(member, now);
}

void kf__member_leave(struct kf__member *member, kf_time deadline, kf_time now)
{
    if (member->leaving)
        return;
    member->leaving = true;
    member->leave_deadline = deadline;
    if (member->state == KF__MEMBER_DRAINING) {
        /* What is being given up is waited for first, but not beyond the bound of leaving. */
        member->drain_deadline = earlier(member->drain_deadline, now + (deadline - now) / 2);
    } else if (member->state == KF__MEMBER_UNJOINED || member->state == KF__MEMBER_GONE) {
        gone(member, KF_OK);
    } else {
        start_leave(member, now);
    }
    proceed(member, now);
}

void kf__member_commit_error(struct kf__member *member, kf_err err, int32_t generation, kf_time now)
{
    /*
     * While we join, the group may already be in its next generation: that
     * the commit came too late says nothing about what we own (librdkafka
     * #4059). The join's own answer tells.
     */
    bool joining = member->state == KF__MEMBER_JOINING || member->state == KF__MEMBER_SYNCING;
    if (generation != member->generation || generation < 0 || !states[member->state].watched ||
        (joining && err != KF_ERR_FENCED_INSTANCE_ID))
        return;
    enum verdict verdict = judge(err);
    if (verdict == FATAL && err == KF_ERR_FENCED_INSTANCE_ID) {
        fail(member, err);
    } else if (verdict == LOST || verdict == LOST_WITH_ID) {
        lose(member, err, verdict == LOST_WITH_ID, now);
    } else if (verdict == REBALANCE && member->state == KF__MEMBER_STABLE) {
        kf__member_because(member, "the group rebalances");
        member->rejoin = true;
    }
    proceed(member, now);
}

/* Life */

/* Copies the settings' strings into one block and points the settings at them. */
static kf_err copy_texts(struct kf__member *member)
{
    const char **texts[] = {&member->settings.group_id, &member->settings.instance_id,
                            &member->settings.rack, &member->settings.client_id};
    size_t size = 1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        size += *texts[i] ? strlen(*texts[i]) + 1 : 0;
    char *at = member->text = kf_alloc(member->alloc, size);
    if (!at)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!*texts[i])
            continue;
        size_t length = strlen(*texts[i]) + 1;
        *texts[i] = memcpy(at, *texts[i], length);
        at += length;
    }
    return KF_OK;
}

/* The protocol is the one that all listed assignors support, as in Java. */
static bool all_cooperative(const struct kf__member_settings *settings)
{
    for (size_t i = 0; i < settings->assignor_count; i++)
        if (!kf__assignor_is_cooperative(settings->assignors[i]))
            return false;
    return true;
}

kf_err kf__member_new(const kf_allocator *alloc, const struct kf__member_settings *settings,
                      const struct kf__member_effects *effects, struct kf__member **member)
{
    *member = NULL;
    if (!settings->group_id || settings->assignor_count == 0)
        return KF_ERR_INVALID_ARGUMENT;
    struct kf__member *made = kf_alloc_zero(alloc, sizeof *made);
    if (!made)
        return KF_ERR_NO_MEMORY;
    made->alloc = alloc;
    made->settings = *settings;
    made->effects = *effects;
    made->cooperative = all_cooperative(settings);
    made->generation = made->owned_generation = made->last_generation = -1;
    made->told_tick = KF_FOREVER;
    kf__member_lead_init(made);
    kf_err err = copy_texts(made);
    if (!err)
        err = set_id(made, (kf_string){"", 0});
    if (err)
        kf__member_free(made);
    else
        *member = made;
    return err;
}

void kf__member_free(struct kf__member *member)
{
    if (!member)
        return;
    const kf_allocator *alloc = member->alloc;
    kf__partitions_free(alloc, &member->owned);
    kf__partitions_free(alloc, &member->draining);
    kf__partitions_free(alloc, &member->last);
    kf__names_free(alloc, &member->topics);
    kf__member_lead_free(member);
    kf_free(alloc, member->id);
    kf_free(alloc, member->text);
    kf_free(alloc, member);
}

int32_t kf__member_generation(const struct kf__member *member) { return member->generation; }
const char *kf__member_id(const struct kf__member *member) { return member->id; }
bool kf__member_is_stable(const struct kf__member *member)
{
    return member->state == KF__MEMBER_STABLE && !member->rejoin;
}
const struct kf__partition_list *kf__member_owned(const struct kf__member *member)
{
    return &member->owned;
}

kf_time kf__member_patience(const struct kf__member *member, enum kf__member_request request)
{
    const struct kf__member_settings *settings = &member->settings;
    if (request == KF__MEMBER_JOIN || request == KF__MEMBER_SYNC)
        return after(settings->rebalance_timeout, 5 * KF_SECOND);
    /* Three tries fit into a session. */
    return later(settings->session_timeout / 3, settings->heartbeat_interval);
}
