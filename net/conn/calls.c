/* calls: lists, ends and waiting times. See calls.h. */
#include "net/conn/calls.h"
#include "net/loop/times.h"

#include <assert.h>

void kf__calls_append(struct kf__call_list *list, struct kf__call *call)
{
    assert(call->state == KF__CALL_IDLE);
    call->state = KF__CALL_WAITING;
    call->list = list;
    call->next = NULL;
    call->previous = list->last;
    if (list->last)
        list->last->next = call;
    else
        list->first = call;
    list->last = call;
}

void kf__calls_remove(struct kf__call *call)
{
    assert(call->state == KF__CALL_WAITING);
    struct kf__call_list *list = call->list;
    if (call->previous)
        call->previous->next = call->next;
    else
        list->first = call->next;
    if (call->next)
        call->next->previous = call->previous;
    else
        list->last = call->previous;
    call->next = call->previous = NULL;
    call->list = NULL;
    call->state = KF__CALL_IDLE;
}

struct kf__call *kf__calls_take(struct kf__call_list *list)
{
    struct kf__call *call = list->first;
    if (call)
        kf__calls_remove(call);
    return call;
}

void kf__call_end(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    assert(call->state != KF__CALL_WAITING);
    call->state = KF__CALL_IDLE;
    call->conn = NULL;
    call->done(call, err, answer);
}

kf_time kf__call_patience(const struct kf__call *call, kf_time now, kf_time timeout)
{
    return kf__after(now, call->patience ? call->patience : timeout);
}
