/*
 * arena: the quick way to an arena's memory, for the decoder, which sets
 * every byte that it takes. The public half is in codec.h.
 */
#ifndef KF_PROTO_ARENA_H
#define KF_PROTO_ARENA_H

#include <kafiber/codec.h>
#include <stddef.h>

struct kf_arena_chunk {
    struct kf_arena_chunk *next; /* older */
    size_t size;                 /* of bytes */
    size_t used;
    max_align_t bytes[];
};

/* Memory in a new chunk; NULL where there is none, or beyond the limit. */
void *kf__arena_grow(kf_arena *arena, size_t size);

/* Overwrites all that was taken since the last reset: secrets, before it is freed. */
void kf__arena_wipe(kf_arena *arena);

/* As kf_arena_alloc, but with whatever lies there instead of zeros. */
static inline void *kf__arena_take(kf_arena *arena, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    struct kf_arena_chunk *chunk = arena->chunks;
    size_t room = (size + align - 1) & ~(align - 1);
    if (size > SIZE_MAX / 2 || !chunk || chunk->size - chunk->used < room)
        return kf__arena_grow(arena, size);
    void *memory = (char *)chunk->bytes + chunk->used;
    chunk->used += room;
    return memory;
}

#endif
