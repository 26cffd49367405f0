/* failing_alloc: an allocator that ends after so many allocations, and counts what lives. */
#ifndef KF_TESTS_NET_FAILING_ALLOC_H
#define KF_TESTS_NET_FAILING_ALLOC_H

#include <kafiber/alloc.h>
#include <stdlib.h>

struct failing_alloc {
    int left; /* allocations that still succeed */
    int live;
};

static inline void *failing_resize(void *context, void *pointer, size_t size)
{
    struct failing_alloc *memory = context;
    if (!size) {
        memory->live -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    if (memory->left-- <= 0)
        return NULL;
    memory->live += pointer == NULL;
    return realloc(pointer, size);
}

static inline kf_allocator failing_alloc(struct failing_alloc *memory, int allowed)
{
    *memory = (struct failing_alloc){.left = allowed};
    return (kf_allocator){failing_resize, memory};
}

#endif
