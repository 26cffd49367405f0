/*
 * events: what happens to the cluster by a call, a script or the clock: nodes
 * that stop and start, leaders and coordinators that move. Called with the
 * broker's lock, by broker.c and, for rules, by the server's turn.
 */
#ifndef KF_BROKER_EVENTS_H
#define KF_BROKER_EVENTS_H

#include "tools/broker/faults/rules.h"

/* What the event's API would answer: STATE, INVALID_ARGUMENT, UNKNOWN_TOPIC_OR_PARTITION, … */
kf_err kf__event_do(struct kf_broker *broker, const struct kf__event *event);
/* Those of the rules that are due; what they came to goes to the journal. */
void kf__events_run(struct kf_broker *broker, kf_time now);

#endif
