#include "group/help_alloc.h"

static void *resize(void *context, void *pointer, size_t size)
{
    struct failing_allocator *failing = context;
    if (size && failing->countdown >= 0 && failing->countdown-- == 0) {
        failing->failed = true;
        return NULL;
    }
    return kf_default_allocator.resize(NULL, pointer, size);
}

void failing_allocator_init(struct failing_allocator *failing, long countdown)
{
    *failing = (struct failing_allocator){.countdown = countdown};
    failing->alloc = (kf_allocator){resize, failing};
}
