/*
 * calls: lists of calls that wait, and what a call's state means.
 *
 *   not under way ──send──▶ WAITING ──encoded──▶ IN_FLIGHT ──answer, error──▶ not under way
 *                              └──────────cancel─────┴──▶ not under way, quietly
 *
 * A waiting call is linked into its list; one in flight stands in its
 * connection's ring (flight.h). No list here owns a call.
 */
#ifndef KF_NET_CALLS_H
#define KF_NET_CALLS_H

#include "net/conn/call.h"

enum kf__call_state {
    KF__CALL_IDLE,
    KF__CALL_WAITING,
    KF__CALL_IN_FLIGHT,
};

struct kf__call_list {
    struct kf__call *first;
    struct kf__call *last;
};

static inline bool kf__calls_empty(const struct kf__call_list *list) { return !list->first; }
void kf__calls_append(struct kf__call_list *list, struct kf__call *call);
void kf__calls_remove(
    struct kf__call *call); /* from the list that it waits in; then not under way */
struct kf__call *kf__calls_take(struct kf__call_list *list); /* the first; NULL: empty */

/* No longer under way, then its done(). */
void kf__call_end(struct kf__call *call, kf_err err, const struct kf__answer *answer);

/* When it would end, were it sent at `now`: after its patience, or by default `timeout`. */
kf_time kf__call_patience(const struct kf__call *call, kf_time now, kf_time timeout);

#endif
