/*
 * text: owned copies of the strings and bytes that requests lend us, and the
 * comparison of the two. Null stays null.
 */
#ifndef KF_BROKER_TEXT_H
#define KF_BROKER_TEXT_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <string.h>

static inline kf_string kf__text(const char *text)
{
    return (kf_string){.data = text, .size = text ? strlen(text) : 0};
}

static inline bool kf__text_equal(kf_string a, kf_string b)
{
    return a.size == b.size && (!a.data) == (!b.data) &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Bytewise; what is a prefix comes first. */
static inline int kf__text_compare(kf_string a, kf_string b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared > 0 ? memcmp(a.data, b.data, shared) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* NUL-terminated for printing; *copy.data is owned. Null stays null. */
static inline kf_err kf__text_copy(const kf_allocator *alloc, kf_string from, kf_string *copy)
{
    *copy = (kf_string){0};
    if (!from.data)
        return KF_OK;
    char *data = kf_alloc(alloc, from.size + 1);
    if (!data)
        return KF_ERR_NO_MEMORY;
    if (from.size > 0)
        memcpy(data, from.data, from.size);
    data[from.size] = 0;
    *copy = (kf_string){.data = data, .size = from.size};
    return KF_OK;
}

static inline void kf__text_free(const kf_allocator *alloc, kf_string *text)
{
    kf_free(alloc, (void *)(uintptr_t)text->data);
    *text = (kf_string){0};
}

static inline kf_err kf__bytes_copy(const kf_allocator *alloc, kf_bytes from, kf_bytes *copy)
{
    *copy = (kf_bytes){0};
    if (!from.data)
        return KF_OK;
    uint8_t *data = kf_alloc(alloc, from.size + 1);
    if (!data)
        return KF_ERR_NO_MEMORY;
    if (from.size > 0)
        memcpy(data, from.data, from.size);
    *copy = (kf_bytes){.data = data, .size = from.size};
    return KF_OK;
}

static inline void kf__bytes_free(const kf_allocator *alloc, kf_bytes *bytes)
{
    kf_free(alloc, (void *)(uintptr_t)bytes->data);
    *bytes = (kf_bytes){0};
}

#endif
