/* alloc: the default allocator, and the helpers that every room uses. */
#include <kafiber/alloc.h>

#include <stdlib.h>
#include <string.h>

static void *resize_by_libc(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size)
        return realloc(pointer, size);
    free(pointer);
    return NULL;
}

const kf_allocator kf_default_allocator = {resize_by_libc, NULL};

void *kf_alloc(const kf_allocator *alloc, size_t size)
{
    return alloc->resize(alloc->context, NULL, size ? size : 1);
}

void *kf_alloc_zero(const kf_allocator *alloc, size_t size)
{
    void *memory = kf_alloc(alloc, size);
    return memory ? memset(memory, 0, size) : NULL;
}

void *kf_alloc_array(const kf_allocator *alloc, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    return kf_alloc_zero(alloc, count * size);
}

void *kf_realloc(const kf_allocator *alloc, void *pointer, size_t size)
{
    return alloc->resize(alloc->context, pointer, size ? size : 1);
}

void kf_free(const kf_allocator *alloc, void *pointer)
{
    if (pointer)
        alloc->resize(alloc->context, pointer, 0);
}
