/* wipe: secrets must not stay in freed memory, nor the compiler leave the writes out. */
#ifndef KF_PROTO_WIPE_H
#define KF_PROTO_WIPE_H

#include <stddef.h>

static inline void kf__wipe(void *bytes, size_t size)
{
    for (volatile unsigned char *at = bytes; size; size--)
        *at++ = 0;
}

#endif
