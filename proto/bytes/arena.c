/*
 * arena: the memory of decoded messages. Chunks that double in size, each
 * used from its front; nothing is freed before all of it is.
 */
#include "proto/bytes/arena.h"

#include "proto/bytes/wipe.h"

#include <string.h>

enum {
    FIRST_CHUNK = 2048,
    LARGEST_GROWN_CHUNK = 256 * 1024,
};

void kf_arena_init(kf_arena *arena, const kf_allocator *alloc, size_t limit)
{
    *arena = (kf_arena){.alloc = alloc, .limit = limit};
}

static struct kf_arena_chunk *add_chunk(kf_arena *arena, size_t least)
{
    const size_t head = sizeof(struct kf_arena_chunk);
    size_t room = arena->limit ? arena->limit - arena->held : SIZE_MAX;
    if (room < head || least > room - head)
        return NULL;

    size_t size = arena->chunks ? arena->chunks->size * 2 : FIRST_CHUNK;
    if (size > LARGEST_GROWN_CHUNK)
        size = LARGEST_GROWN_CHUNK;
    if (size < least)
        size = least;
    if (size > room - head)
        size = room - head;

    struct kf_arena_chunk *chunk = kf_alloc(arena->alloc, head + size);
    if (!chunk)
        return NULL;
    chunk->next = arena->chunks;
    chunk->size = size;
    chunk->used = 0;
    arena->chunks = chunk;
    arena->held += head + size;
    return chunk;
}

void *kf__arena_grow(kf_arena *arena, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + align - 1) & ~(align - 1);
    struct kf_arena_chunk *chunk = add_chunk(arena, size);
    if (!chunk)
        return NULL;
    chunk->used = size;
    return chunk->bytes;
}

void *kf_arena_alloc(kf_arena *arena, size_t size)
{
    void *memory = kf__arena_take(arena, size);
    return memory ? memset(memory, 0, size) : NULL;
}

static void free_chunks(kf_arena *arena, struct kf_arena_chunk *chunk)
{
    while (chunk) {
        struct kf_arena_chunk *next = chunk->next;
        arena->held -= sizeof *chunk + chunk->size;
        kf_free(arena->alloc, chunk);
        chunk = next;
    }
}

void kf_arena_reset(kf_arena *arena)
{
    struct kf_arena_chunk *newest = arena->chunks;
    if (!newest)
        return;
    free_chunks(arena, newest->next);
    newest->next = NULL;
    newest->used = 0;
    if (newest->size > LARGEST_GROWN_CHUNK) {
        free_chunks(arena, newest);
        arena->chunks = NULL;
    }
}

void kf__arena_wipe(kf_arena *arena)
{
    for (struct kf_arena_chunk *chunk = arena->chunks; chunk; chunk = chunk->next)
        kf__wipe(chunk->bytes, chunk->used);
}

void kf_arena_free(kf_arena *arena)
{
    free_chunks(arena, arena->chunks);
    arena->chunks = NULL;
}
