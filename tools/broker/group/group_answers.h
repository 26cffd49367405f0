/*
 * group_answers: the coordinator's sink: its answers become those of the
 * exchanges that wait. Defined in api/join_group.c and api/sync_group.c,
 * handed to the coordinator by broker.c.
 */
#ifndef KF_BROKER_GROUP_ANSWERS_H
#define KF_BROKER_GROUP_ANSWERS_H

#include "tools/broker/group/group_coordinator.h"

void kf__answer_joined(void *context, void *token, const struct kf__joined *joined);
void kf__answer_synced(void *context, void *token, const struct kf__synced *synced);

#endif
