/*
 * twins: which names a request says more than once: most APIs refuse those.
 * In n log n: a hostile request is long. Pure. Called by API files.
 */
#ifndef KF_BROKER_TWINS_H
#define KF_BROKER_TWINS_H

#include <kafiber/codec.h>

struct kf__named {
    int32_t kind; /* names of different kinds are different */
    kf_string text;
    int32_t index; /* set by kf__mark_twins */
};

enum {
    KF__ONCE,
    KF__FIRST_OF_TWINS,
    KF__TWIN_AGAIN,
};

/* One of the three for each name, in the arena; `names` are sorted. NULL when out of memory. */
char *kf__mark_twins(kf_arena *arena, struct kf__named *names, int32_t count);

#endif
