/*
 * utf8: one step through text that may not be UTF-8 at all.
 */
#ifndef KF_PROTO_UTF8_H
#define KF_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Length of the character at `at`, which has `left` > 0 bytes. Where it is
 * malformed, *valid is false and the length that of what Java replaces by one
 * U+FFFD: the longest beginning of a character, or a whole surrogate.
 */
static inline size_t kf__utf8_step(const uint8_t *at, size_t left, bool *valid)
{
    uint8_t first = at[0];
    *valid = first < 0x80;
    if (first < 0xC2 || first > 0xF4)
        return 1;

    size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    /* The second byte's range shuts out overlong forms and what is beyond U+10FFFF. */
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < length; i++) {
        if (i == left || at[i] < low || at[i] > high)
            return i;
        low = 0x80;
        high = 0xBF;
    }
    *valid = first != 0xED || at[1] < 0xA0;
    return length;
}

#endif
