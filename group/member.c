/*
 * member: the states of a classic group member and the moves between them. See member.h for the
 * picture; here is its whole order:
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

/* Exponential, between 0.8 and 1.2 times the step, so that members don't march in line. */
kf_time kf__member_back_off(struct kf__member *member)
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
    return kf__member_after(now, timeout - reserve);
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

void kf__member_lose_coordinator(struct kf__member *member, kf_err why)
{
    member->coordinator_known = false;
    if (member->coordinator_asked)
        return;
    member->coordinator_asked = true;
    member->effects.coordinator_lost(member->effects.owner, why);
}

static void start_rejoin(struct kf__member *member, kf_time now);

/* Does what is due in the present state, and says when the next thing will be. */
void kf__member_proceed(struct kf__member *member, kf_time now)
{
    check_invariants(member);
    if (member->rejoin && member->state == KF__MEMBER_STABLE)
        start_rejoin(member, now);
    if (member->state != KF__MEMBER_UNJOINED && member->state != KF__MEMBER_GONE &&
        !member->coordinator_known)
        kf__member_lose_coordinator(member, KF_ERR_COORDINATOR_NOT_AVAILABLE);
    send_what_is_due(member, now);

    kf_time tick = next_tick(member);
    if (tick != member->told_tick) {
        member->told_tick = tick;
        member->effects.tick_at(member->effects.owner, tick);
    }
    check_invariants(member);
}

/* Joining */

void kf__member_join(struct kf__member *member)
{
    cancel(member, KF__MEMBER_HEARTBEAT);
    cancel(member, KF__MEMBER_SYNC);
    kf__member_lead_end(member);
    member->rejoin = false;
    member->state = KF__MEMBER_JOINING;
}

void kf__member_join_later(struct kf__member *member, kf_time now)
{
    kf__member_join(member);
    member->retry_at = kf__member_after(now, kf__member_back_off(member));
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

void kf__member_give_up(struct kf__member *member, kf_time now)
{
    drain(member, KF__MEMBER_DRAINING, drain_bound(member, now), now);
}

static void start_rejoin(struct kf__member *member, kf_time now)
{
    set_aside(member);
    if (member->draining.count)
        kf__member_give_up(member, now);
    else
        kf__member_join(member);
}

/* Leaving */

void kf__member_gone(struct kf__member *member, kf_err err)
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
        kf__member_gone(member, KF_OK);
        return;
    }
    cancel_all(member);
    member->state = KF__MEMBER_LEAVING;
    member->attempts = 0;
    member->retry_at = now;
}

/* What drains before a leave has to be drained by then: LeaveGroup needs some time, too. */
static kf_time leave_bound(const struct kf__member *member, kf_time now)
{
    kf_time left = member->leave_deadline - now;
    return member->leave_deadline - earlier(later(left / 4, 0), KF_SECOND);
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
    drain(member, KF__MEMBER_LEAVE_DRAINING, leave_bound(member, now), now);
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

void kf__member_lose(struct kf__member *member, kf_err why, bool with_id, kf_time now)
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
        drop_all(member, why);
        leave_or_stay(member, now);
        return;
    }
    member->reason[0] = '\0';
    kf__member_because(member, "it lost its membership (%s)", kf_err_name(why));
    member->rejoin = false;
    member->state = KF__MEMBER_JOINING;
    member->retry_at = member->attempts ? kf__member_after(now, kf__member_back_off(member)) : now;
    member->attempts += member->attempts == 0;
    drop_all(member, why);
}

void kf__member_fail(struct kf__member *member, kf_err err)
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
    kf__member_proceed(member, now);
    return KF_OK;
}

void kf__member_coordinator_found(struct kf__member *member, kf_time now)
{
    member->coordinator_known = true;
    member->coordinator_asked = false;
    kf__member_proceed(member, now);
}

void kf__member_tick(struct kf__member *member, kf_time now)
{
    member->told_tick = -1; /* a tick that came must be asked for again */
    enum kf__member_state state = member->state;
    if ((state == KF__MEMBER_LEAVING || state == KF__MEMBER_LEAVE_DRAINING) &&
        now >= member->leave_deadline) {
        kf__partitions_free(member->alloc, &member->draining);
        kf__member_gone(member, KF_ERR_TIMED_OUT);
    } else if (states[state].watched && member->generation >= 0 &&
               !member->pending[KF__MEMBER_JOIN] && now >= member->session_deadline) {
        kf__member_lose(member, KF_ERR_TIMED_OUT, false, now);
    } else if (states[state].drains && now >= member->drain_deadline) {
        kf__member_report(member, KF_LOG_WARNING, "group.drain", KF_ERR_TIMED_OUT,
                          "%zu partitions are not drained within the rebalance timeout: going on "
                          "without them",
                          member->draining.count);
        finish_drain(member, now);
    }
    kf__member_proceed(member, now);
}

kf_err kf__member_topics(struct kf__member *member, const struct kf__topic_shape *topics,
                         size_t count, kf_time now)
{
    struct kf__member_lead *lead = &member->lead;
    kf_err err = KF_OK;
    if (lead->awaits_topics) {
        err = kf__member_lead_assign(member, topics, count);
        if (err)
            kf__member_request_failed(member, KF__MEMBER_SYNC, err, now);
    } else if (lead->leads && !lead->watching) {
        err = kf__member_lead_watch(member, topics, count);
    } else if (lead->leads && kf__member_lead_changed(member, topics, count)) {
        member->rejoin = true;
    }
    kf__member_proceed(member, now);
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
    kf__member_proceed(member, now);
}

void kf__member_leave(struct kf__member *member, kf_time deadline, kf_time now)
{
    if (member->leaving)
        return;
    member->leaving = true;
    member->leave_deadline = deadline;
    if (member->state == KF__MEMBER_DRAINING) {
        /* What is being given up is waited for first, but not beyond the bound of leaving; what
         * else is owned needs its part of that time. */
        kf_time bound = member->owned.count ? now + (deadline - now) / 2 : leave_bound(member, now);
        member->drain_deadline = earlier(member->drain_deadline, bound);
    } else if (member->state == KF__MEMBER_UNJOINED || member->state == KF__MEMBER_GONE) {
        kf__member_gone(member, KF_OK);
    } else {
        start_leave(member, now);
    }
    kf__member_proceed(member, now);
}

kf_time kf__member_drain_deadline(const struct kf__member *member)
{
    return states[member->state].drains ? member->drain_deadline : KF_FOREVER;
}

bool kf__member_is_watched(const struct kf__member *member)
{
    return states[member->state].watched;
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
        return kf__member_after(settings->rebalance_timeout, 5 * KF_SECOND);
    /* Three tries fit into a session. */
    return later(settings->session_timeout / 3, settings->heartbeat_interval);
}
