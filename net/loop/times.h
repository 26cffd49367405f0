/*
 * times: a point of time from another one. Knows no clock.
 */
#ifndef KF_NET_TIMES_H
#define KF_NET_TIMES_H

#include <kafiber/types.h>

/* now + delta, and never past KF_FOREVER. */
kf_time kf__after(kf_time now, kf_time delta);
/* base × 2^failures, at most max, ±20 % by `random`. */
kf_time kf__back_off(kf_time base, kf_time max, int failures, uint64_t random);

#endif
