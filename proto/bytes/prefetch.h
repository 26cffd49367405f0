/*
 * prefetch: asks for memory that is about to be written, so that the stores
 * find it in the cache. It matters where a fence or an atomic exchange waits
 * for them. A hint: any address will do.
 */
#ifndef KF_PROTO_PREFETCH_H
#define KF_PROTO_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

/* The cache line `ahead` bytes behind `at`. */
static inline void kf__prefetch_for_write(const void *at, size_t ahead)
{
    uintptr_t line = (uintptr_t)at + ahead;
#if defined(__GNUC__) && defined(__x86_64__) /* __builtin_prefetch would only ask to read it */
    __asm__ volatile("prefetchw (%0)" : : "r"(line));
#elif defined(__GNUC__)
    __builtin_prefetch((const void *)line, 1);
#else
    (void)line;
#endif
}

#endif
