/*
 * authorize: what each API asks the authorizer for: which operation on which
 * resource, and the error where it is refused. The table is in authorize.c.
 * Called by the API files; decisions are made by acl.c, for the principal of
 * the exchange's connection.
 */
#ifndef KF_BROKER_AUTHORIZE_H
#define KF_BROKER_AUTHORIZE_H

#include "tools/broker/admin/acl.h"
#include "tools/broker/server/exchange.h"

/* OK, or the error that Kafka gives: TOPIC_AUTHORIZATION_FAILED, GROUP_…, CLUSTER_…, … */
kf_err kf__may(const struct kf__exchange *exchange, int8_t operation, int8_t resource,
               kf_string name);
/* On the topic, what the API does with its topics: READ for Fetch, WRITE for Produce, … */
kf_err kf__may_topic(const struct kf__exchange *exchange, kf_string topic);
/* On the group or transactional id that the API is about, what it does with it. */
kf_err kf__may_key(const struct kf__exchange *exchange, kf_string key);
/* On a topic that isn't there: who may not know of it doesn't learn that. */
static inline kf_err kf__may_unknown(const struct kf__exchange *exchange,
                                     const struct kf__topic *topic, kf_string name)
{
    return topic ? KF_OK : kf__may_topic(exchange, name);
}
/* On the cluster, what the API as a whole does: CLUSTER_AUTHORIZATION_FAILED. */
kf_err kf__may_all(const struct kf__exchange *exchange);
/* On a config resource. */
kf_err kf__may_configure(const struct kf__exchange *exchange, int8_t operation, int8_t type,
                         kf_string name);
/* Is there any resource of the kind where it is allowed? */
bool kf__may_some(const struct kf__exchange *exchange, int8_t operation, int8_t resource);

/* The bits of authorized_operations (KIP-430). */
int32_t kf__allowed_operations(const struct kf__exchange *exchange, int8_t resource,
                               kf_string name);

/* The cluster's name as a resource. */
static inline kf_string kf__cluster_name(void) { return kf__text("kafka-cluster"); }

#endif
