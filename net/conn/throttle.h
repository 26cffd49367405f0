/*
 * throttle: how long a broker asks to be left alone (KIP-219).
 *
 * Since Kafka 2.0 a broker answers at once and then mutes the connection for
 * throttle_time_ms; whoever sends on only fills its socket. Before that the
 * broker held the answer back itself, so each API has a version from which
 * on the field is a wish to obey.
 */
#ifndef KF_NET_THROTTLE_H
#define KF_NET_THROTTLE_H

#include <kafiber/types.h>

/* 0: not throttled. `message` is the decoded response. */
kf_time kf__throttle_of(int16_t api_key, int16_t version, const void *message);

#endif
