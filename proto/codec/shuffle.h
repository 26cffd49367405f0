/*
 * shuffle: 16 bytes in another order, in one instruction, where the machine
 * has it: numbers of a struct to the wire (encode.c).
 */
#ifndef KF_PROTO_SHUFFLE_H
#define KF_PROTO_SHUFFLE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    KF__SHUFFLED = 16 /* bytes */
};

#if defined(__x86_64__) && defined(__GNUC__)
#include <emmintrin.h>

static inline bool kf__can_shuffle(void) { return __builtin_cpu_supports("ssse3"); }

/* order[i]: which of the bytes becomes the i-th. */
static inline void kf__shuffle(uint8_t *to, const void *from, const uint8_t *order)
{
    __m128i bytes = _mm_loadu_si128(from);
    __m128i by = _mm_loadu_si128((const void *)order);
    /* Not by its intrinsic, which wants the whole file compiled for such machines. */
    __asm__("pshufb %1, %0" : "+x"(bytes) : "x"(by));
    _mm_storeu_si128((void *)to, bytes);
}

#elif defined(__aarch64__) && defined(__GNUC__) && defined(__ORDER_LITTLE_ENDIAN__) &&             \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include <arm_neon.h>

static inline bool kf__can_shuffle(void) { return true; }

static inline void kf__shuffle(uint8_t *to, const void *from, const uint8_t *order)
{
    vst1q_u8(to, vqtbl1q_u8(vld1q_u8(from), vld1q_u8(order)));
}

#else

static inline bool kf__can_shuffle(void) { return false; }

static inline void kf__shuffle(uint8_t *to, const void *from, const uint8_t *order)
{
    (void)to, (void)from, (void)order;
}

#endif

#endif
