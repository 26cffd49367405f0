/*
 * versions: which APIs, in which versions, Kafka's own brokers of a release
 * advertise. The rows are in versions.def. What this broker advertises is
 * what its handlers can (registry.c), cut down to this. Pure.
 */
#ifndef KF_BROKER_VERSIONS_H
#define KF_BROKER_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

enum kf__release {
    KF__KAFKA_2_1,
    KF__KAFKA_2_8,
    KF__KAFKA_3_9,
    KF__KAFKA_4_0,
    KF__KAFKA_4_1,
    KF__KAFKA_4_2,
    KF__KAFKA_4_3,
    KF__KAFKA_4_4,
    KF__RELEASES,
};

struct kf__range {
    int16_t min;
    int16_t max; /* below min: not at all */
};

/* "2.8" or "2.8.2"; false where the release isn't known. */
bool kf__release_by_name(const char *name, enum kf__release *release);
struct kf__range kf__spoken(enum kf__release release, int16_t api);

#endif
