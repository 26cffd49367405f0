/*
 * coordinator: the member's requests on the wire: finds the group's
 * coordinator, sends, and hands answers back to the pure state machine.
 */
#include "runtime/member/consumer.h"

#include <kafiber/messages.h>

static kf_time now_of(const struct kf__consumer *consumer) { return kf__loop_now(consumer->loop); }

bool kf__coordinator_is_lost_by(kf_err err)
{
    switch (err) {
    case KF_ERR_NOT_COORDINATOR:
    case KF_ERR_COORDINATOR_NOT_AVAILABLE:
    case KF_ERR_DISCONNECTED:
    case KF_ERR_CONNECT_FAILED:
    case KF_ERR_NO_BROKER:
    case KF_ERR_TIMED_OUT:
        return true;
    default:
        return false;
    }
}

/* ---- looking it up ---- */

static void search(struct kf__consumer *consumer);

static void fire_search(struct kf__timer *timer, void *owner)
{
    (void)timer;
    search(owner);
}

/* What waits to be sent has failed: the member minds its own clock, and asks again. */
static void fail_wanted(struct kf__consumer *consumer)
{
    for (int kind = 0; kind < KF__MEMBER_REQUESTS; kind++) {
        if (!consumer->calls[kind].wanted)
            continue;
        consumer->calls[kind].wanted = false;
        kf__member_answer(consumer->member, (enum kf__member_request)kind,
                          KF_ERR_COORDINATOR_NOT_AVAILABLE, 0, NULL, now_of(consumer));
    }
}

static void search_done(struct kf__coordinator_search *found, kf_err err, int32_t node)
{
    struct kf__consumer *consumer = found->owner;
    consumer->searching = false;
    if (err == KF_ERR_GROUP_AUTHORIZATION_FAILED) {
        kf__consumer_fail(consumer, err, "not allowed to use the group");
        return;
    }
    if (err) {
        kf__consumer_log(consumer, KF_LOG_WARNING, "coordinator.unknown", NULL, -1, err,
                         "the group's coordinator can't be found: %s", kf_err_text(err));
        kf__timer_set(consumer->loop, &consumer->search_again,
                      now_of(consumer) + consumer->settings->retry_backoff_ms * KF_MILLISECOND);
        fail_wanted(consumer);
        return;
    }
    consumer->coordinator = node;
    kf__member_coordinator_found(consumer->member, now_of(consumer));
    for (int kind = 0; kind < KF__MEMBER_REQUESTS; kind++)
        if (consumer->calls[kind].wanted)
            kf__coordinator_send(consumer, (enum kf__member_request)kind);
    kf__positions_ask(consumer);
    kf__committer_pump(consumer);
}

static void search(struct kf__consumer *consumer)
{
    if (consumer->searching || consumer->ended)
        return;
    consumer->searching = true;
    consumer->search.key = consumer->settings->group_id;
    consumer->search.key_type = KF__KEY_GROUP;
    consumer->search.deadline =
        now_of(consumer) + consumer->settings->request_timeout_ms * KF_MILLISECOND;
    consumer->search.done = search_done;
    consumer->search.owner = consumer;
    kf__cluster_find_coordinator(consumer->cluster, &consumer->search);
}

void kf__coordinator_lost(void *owner, kf_err why)
{
    struct kf__consumer *consumer = owner;
    if (consumer->coordinator >= 0 && why)
        kf__consumer_log(consumer, KF_LOG_INFO, "coordinator.lost", NULL, -1, why,
                         "looking for the group's coordinator again: %s", kf_err_text(why));
    consumer->coordinator = -1;
    search(consumer);
}

/* ---- requests ---- */

static int16_t api_of(enum kf__member_request kind)
{
    static const int16_t apis[KF__MEMBER_REQUESTS] = {
        [KF__MEMBER_JOIN] = KF_API_JOIN_GROUP,
        [KF__MEMBER_SYNC] = KF_API_SYNC_GROUP,
        [KF__MEMBER_HEARTBEAT] = KF_API_HEARTBEAT,
        [KF__MEMBER_LEAVE] = KF_API_LEAVE_GROUP,
    };
    return apis[kind];
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    struct kf__member_call *request = call->owner;
    return kf__member_build(request->consumer->member, request->kind, version, arena, message);
}

static void take_answer(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__member_call *request = call->owner;
    struct kf__consumer *consumer = request->consumer;
    kf__member_answer(consumer->member, request->kind, err, answer ? answer->version : 0,
                      answer ? answer->message : NULL, now_of(consumer));
}

void kf__coordinator_send(void *owner, enum kf__member_request kind)
{
    struct kf__consumer *consumer = owner;
    struct kf__member_call *request = &consumer->calls[kind];
    if (consumer->coordinator < 0) {
        request->wanted = true;
        search(consumer);
        return;
    }
    request->wanted = false;
    kf_time patience = kf__member_patience(consumer->member, kind);
    if (patience == 0)
        patience = consumer->settings->request_timeout_ms * KF_MILLISECOND;
    bool joins = kind == KF__MEMBER_JOIN || kind == KF__MEMBER_SYNC;
    request->call.patience = patience;
    request->call.deadline = now_of(consumer) + patience;
    kf__cluster_send(consumer->cluster, consumer->coordinator,
                     joins ? KF__LANE_JOIN : KF__LANE_CONTROL, &request->call);
}

void kf__coordinator_cancel(void *owner, enum kf__member_request kind)
{
    struct kf__consumer *consumer = owner;
    consumer->calls[kind].wanted = false;
    kf__call_cancel(&consumer->calls[kind].call);
}

void kf__coordinator_open(struct kf__consumer *consumer)
{
    consumer->coordinator = -1;
    kf__timer_init(&consumer->search_again, fire_search, consumer);
    for (int kind = 0; kind < KF__MEMBER_REQUESTS; kind++) {
        struct kf__member_call *request = &consumer->calls[kind];
        int16_t api = api_of((enum kf__member_request)kind);
        request->consumer = consumer;
        request->kind = (enum kf__member_request)kind;
        request->call = (struct kf__call){
            .api_key = api,
            .max_version = kf_schema_max_version(kf_schema_request(api)),
            .build = build,
            .done = take_answer,
            .owner = request,
        };
    }
}

void kf__coordinator_close(struct kf__consumer *consumer)
{
    if (consumer->searching)
        kf__coordinator_search_cancel(&consumer->search);
    consumer->searching = false;
    kf__timer_cancel(consumer->loop, &consumer->search_again);
    for (int kind = 0; kind < KF__MEMBER_REQUESTS; kind++)
        if (consumer->calls[kind].consumer)
            kf__call_cancel(&consumer->calls[kind].call);
}
