/*
 * alloc: memory comes from a value that is handed down, never from a hidden
 * global. A failed allocation is an error code (KF_ERR_NO_MEMORY) like any
 * other: nothing aborts.
 */
#ifndef KAFIBER_ALLOC_H
#define KAFIBER_ALLOC_H

#include <kafiber/types.h>

KF_BEGIN_DECLS

/*
 * One function, in the manner of realloc: size 0 frees (and returns NULL),
 * pointer NULL allocates. Contents are kept up to the smaller size. Called
 * from any of the library's threads, the I/O thread included: it must be
 * thread-safe and must not block.
 */
typedef struct kf_allocator {
    void *(*resize)(void *context, void *pointer, size_t size);
    void *context;
} kf_allocator;

/* malloc, realloc and free of the C library. */
extern KF_API const kf_allocator kf_default_allocator;

KF_API void *kf_alloc(const kf_allocator *alloc, size_t size);
KF_API void *kf_alloc_zero(const kf_allocator *alloc, size_t size);
/* An array of count elements, zeroed; NULL where the product overflows. */
KF_API void *kf_alloc_array(const kf_allocator *alloc, size_t count, size_t size);
KF_API void *kf_realloc(const kf_allocator *alloc, void *pointer, size_t size);
KF_API void kf_free(const kf_allocator *alloc, void *pointer);

KF_END_DECLS

#endif
