/*
 * topics: from metadata to the group: which topics the member subscribes to,
 * and what the leader's assignor must know about everybody's.
 */
#ifndef KF_RUNTIME_TOPICS_H
#define KF_RUNTIME_TOPICS_H

#include "group/member.h"

struct kf__consumer;

struct kf__topics {
    char **subscribed; /* sorted names; what the member was told last */
    size_t subscribed_count;
    bool told;
    int32_t *described; /* the cluster's indexes of topics that the leader asked about */
    size_t described_count;
    bool answered; /* the member has had an answer for these */
};

/* Makes the topics of all routes known to the cluster. */
kf_err kf__topics_open(struct kf__consumer *consumer);
void kf__topics_close(struct kf__consumer *consumer);
/* After each metadata: subscribes anew where that changed, answers the leader. */
void kf__topics_metadata(struct kf__consumer *consumer, bool changed);
/* The member's effect: it leads and must know these. */
void kf__topics_describe(void *owner, const kf_string *topics, size_t count);

#endif
