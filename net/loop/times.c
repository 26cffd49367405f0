#include "net/loop/times.h"

kf_time kf__after(kf_time now, kf_time delta)
{
    return delta >= KF_FOREVER - now ? KF_FOREVER : now + delta;
}

kf_time kf__back_off(kf_time base, kf_time max, int failures, uint64_t random)
{
    kf_time wait = base;
    for (int i = 0; i < failures && wait > 0 && wait < max; i++)
        wait = wait > max / 2 ? max : wait * 2;
    if (wait > max)
        wait = max;
    if (wait < 5)
        return wait;
    /* Four fifths, and a random part of two fifths. */
    return wait - wait / 5 + (kf_time)(random % (uint64_t)(wait / 5 * 2 + 1));
}
