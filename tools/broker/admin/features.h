/*
 * features: the cluster's feature levels (KIP-584), by Kafka release: what a
 * fresh cluster of it supports and has agreed on. Levels can be changed by
 * UpdateFeatures. Pure. Read by ApiVersions.
 *
 * share.version and streams.version are left out: their groups aren't here.
 */
#ifndef KF_BROKER_FEATURES_H
#define KF_BROKER_FEATURES_H

#include "tools/broker/admin/versions.h"
#include <kafiber/error.h>
#include <kafiber/types.h>
#include <stddef.h>

enum {
    KF__FEATURES = 5
};

struct kf__feature {
    const char *name;
    int16_t min;
    int16_t max;
    int16_t level; /* agreed on; 0: off, and not told */
};

struct kf__features {
    struct kf__feature items[KF__FEATURES]; /* by name */
    size_t count;
    int64_t epoch;
};

void kf__features_init(struct kf__features *features, enum kf__release release);

enum kf__feature_change {
    KF__FEATURE_UPGRADE = 1,
    KF__FEATURE_SAFE_DOWNGRADE = 2,
    KF__FEATURE_UNSAFE_DOWNGRADE = 3,
};

/* OK, or INVALID_UPDATE_VERSION and Kafka's sentence; `node` is named in it. */
kf_err kf__feature_check(const struct kf__features *features, kf_string name, int16_t level,
                         int8_t change, int32_t node, char *why, size_t size);
/* Is it agreed on, at level 1 or above? */
bool kf__feature_is_on(const struct kf__features *features, const char *name);
/* After a check. */
void kf__feature_set(struct kf__features *features, kf_string name, int16_t level);

#endif
