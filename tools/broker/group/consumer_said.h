/*
 * consumer_said: the bytes that classic consumers exchange through their group
 * (KIP-429): what a member subscribes to and has, and what it is given. Used
 * where classic members meet groups of the new protocol: consumer_classic.c
 * and consumer_migration.c.
 */
#ifndef KF_BROKER_CONSUMER_SAID_H
#define KF_BROKER_CONSUMER_SAID_H

#include "tools/broker/group/consumer_coordinator.h"
#include <kafiber/messages.h>

/* What a classic member says with a protocol, decoded; lives in the arena. */
struct kf__said {
    kf_arena arena;
    int16_t version;
    struct kf_consumer_protocol_subscription subscription;
    struct kf__holding owned;
};

/* The version that stands in front, no higher than ours; false: there is none. */
bool kf__said_version(kf_bytes bytes, int16_t *version);
/* INCONSISTENT_GROUP_PROTOCOL: these bytes are no subscription. To be closed in any case. */
kf_err kf__said_open(const struct kf__consumers *consumers, kf_bytes metadata,
                     struct kf__said *said);
void kf__said_close(const struct kf__consumers *consumers, struct kf__said *said);
/* What a classic leader gave a member. UNSUPPORTED_VERSION: its assignor said more with it. */
kf_err kf__said_assignment(const struct kf__consumers *consumers, kf_bytes bytes, int32_t epoch,
                           struct kf__holding *assigned);
/* The other way: bytes in `out`. Topics that are gone are left out. */
kf_err kf__write_assignment(const struct kf__consumers *consumers,
                            const struct kf__holding *holding, int16_t version, kf_writer *out);

#endif
