/*
 * watching_alloc: an allocator that looks into every block it is given back,
 * and moves a block whenever it grows: what a secret leaves behind is found.
 */
#ifndef KF_TESTS_NET_WATCHING_ALLOC_H
#define KF_TESTS_NET_WATCHING_ALLOC_H

#include <kafiber/alloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct watching_alloc {
    const char *secret; /* three pieces of it are looked for: beginning, middle, end */
    int seen;           /* blocks that were given back with one of them */
};

struct watched_block {
    size_t size;
    max_align_t bytes[];
};

enum {
    WATCHED_PIECE = 12
};

static inline int watching_has(const void *bytes, size_t size, const char *secret)
{
    size_t length = strlen(secret);
    size_t starts[] = {0, length / 2, length - WATCHED_PIECE};
    for (int i = 0; i < 3; i++)
        for (size_t at = 0; at + WATCHED_PIECE <= size; at++)
            if (memcmp((const char *)bytes + at, secret + starts[i], WATCHED_PIECE) == 0)
                return 1;
    return 0;
}

static inline void *watching_resize(void *context, void *pointer, size_t size)
{
    struct watching_alloc *watch = context;
    struct watched_block *old =
        pointer ? (void *)((char *)pointer - offsetof(struct watched_block, bytes)) : NULL;
    struct watched_block *block = size ? malloc(sizeof *block + size) : NULL;
    if (block) {
        block->size = size;
        if (old)
            memcpy(block->bytes, old->bytes, old->size < size ? old->size : size);
    }
    if (old && (block || !size)) {
        watch->seen += watching_has(old->bytes, old->size, watch->secret);
        free(old);
    }
    return block ? block->bytes : NULL;
}

static inline kf_allocator watching_alloc(struct watching_alloc *watch, const char *secret)
{
    *watch = (struct watching_alloc){.secret = secret};
    return (kf_allocator){watching_resize, watch};
}

#endif
