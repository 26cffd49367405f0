/*
 * consumer_regexes: which topics the regular expressions of a consumer group
 * mean. As in Kafka they are looked up behind the heartbeat that brings them,
 * so its member hears of them with the next one; and looked up again when
 * topics were made, but not within ten seconds of the last time.
 */
#ifndef KF_BROKER_CONSUMER_REGEXES_H
#define KF_BROKER_CONSUMER_REGEXES_H

#include "tools/broker/group/consumer_coordinator.h"

#define KF__REGEX_INTERVAL (10 * KF_SECOND)

enum {
    KF__REGEX_STEPS = 50000000 /* all expressions of a group together may take at once */
};

/* INVALID_REGULAR_EXPRESSION with Kafka's sentence, unless members subscribe to it already. */
kf_err kf__consumer_check_regex(const kf_allocator *alloc, const struct kf__consumer_group *group,
                                kf_string regex, char *why, size_t size);

/* `fresh`: an expression has just come that wasn't there. */
bool kf__consumer_regexes_due(const struct kf__consumers *consumers,
                              const struct kf__consumer_group *group, kf_time now, bool fresh);
/* As the one who sends the heartbeat may know of topics. */
kf_err kf__consumer_resolve(struct kf__consumers *consumers, kf_time now,
                            struct kf__consumer_group *group, const struct kf__beat *beat);

#endif
