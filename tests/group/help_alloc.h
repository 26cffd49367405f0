/* help_alloc: an allocator that fails once, at the allocation asked for. */
#ifndef KF_TESTS_GROUP_HELP_ALLOC_H
#define KF_TESTS_GROUP_HELP_ALLOC_H

#include <kafiber/alloc.h>
#include <stdbool.h>

struct failing_allocator {
    kf_allocator alloc;
    long countdown; /* allocations until the one that fails; below 0: none does */
    bool failed;    /* it came to that */
};

void failing_allocator_init(struct failing_allocator *failing, long countdown);

#endif
