/*
 * crc32c_x86: CRC-32C by carry-less multiplication and by the crc32
 * instruction.
 *
 * Long inputs are folded: 64 or 32 bytes at a time are multiplied by the
 * power of x that moves them over the bytes that follow, until 16 bytes are
 * left, which two crc32 instructions reduce. Middle lengths run as three
 * independent crc32 chains (the instruction takes three cycles, and one may
 * start in each), which a multiplication joins. The numbers are powers of x
 * modulo the polynomial, bit-reflected; shift_crc and fold say which.
 */
#include "proto/bytes/crc32c_paths.h"

#ifdef KF__CRC32C_X86

#include <immintrin.h>
#include <string.h>

#define TARGET(features) __attribute__((target(features)))

bool kf__crc32c_has_sse42(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

bool kf__crc32c_has_avx2(void)
{
    return kf__crc32c_has_sse42() && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("vpclmulqdq");
}

bool kf__crc32c_has_avx512(void)
{
    return kf__crc32c_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512vl");
}

/* ---- three chains of crc32 ---- */

static uint64_t load_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* What `state` contributes after n more bytes, before reduction; power: x^(8n-33). */
TARGET("sse4.2,pclmul") static uint64_t shift_crc(uint64_t state, uint32_t power)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state),
                                           _mm_cvtsi64_si128((long long)power), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* 3 × n bytes; `once` and `twice` move a sum over n and 2n bytes. */
TARGET("sse4.2,pclmul")
static uint64_t three_chains(uint64_t state, const uint8_t *at, size_t n, uint32_t once,
                             uint32_t twice)
{
    uint64_t first = state, second = 0, third = 0;
    for (size_t i = 0; i + 8 < n; i += 8) {
        first = _mm_crc32_u64(first, load_u64(at + i));
        second = _mm_crc32_u64(second, load_u64(at + n + i));
        third = _mm_crc32_u64(third, load_u64(at + 2 * n + i));
    }
    first = _mm_crc32_u64(first, load_u64(at + n - 8));
    second = _mm_crc32_u64(second, load_u64(at + 2 * n - 8));
    uint64_t joined = shift_crc(first, twice) ^ shift_crc(second, once);
    /* Sums are linear: one reduction serves both. */
    return _mm_crc32_u64(third, load_u64(at + 3 * n - 8)) ^ _mm_crc32_u64(0, joined);
}

enum {
    LONG_CHAIN = 1024,
    SHORT_CHAIN = 128
};

TARGET("sse4.2,pclmul")
uint32_t kf__crc32c_sse42(uint32_t start, const uint8_t *at, size_t size)
{
    uint64_t state = start;
    for (; size >= 3 * LONG_CHAIN; at += 3 * LONG_CHAIN, size -= 3 * LONG_CHAIN)
        state = three_chains(state, at, LONG_CHAIN, 0x170076fa, 0xa51b6135);
    for (; size >= 3 * SHORT_CHAIN; at += 3 * SHORT_CHAIN, size -= 3 * SHORT_CHAIN)
        state = three_chains(state, at, SHORT_CHAIN, 0x0d3b6092, 0xb9e02b86);
    for (; size >= 8; at += 8, size -= 8)
        state = _mm_crc32_u64(state, load_u64(at));
    uint32_t last = (uint32_t)state;
    for (; size; at++, size--)
        last = _mm_crc32_u8(last, *at);
    return last;
}

/* ---- folding ---- */

/* The two factors that move 16 bytes over `bits` more: x^(bits+31) and x^(bits-33). */
#define FOLD_2048 0xdcb17aa4, 0xb9e02b86
#define FOLD_1536 0xa87ab8a8, 0xab7aff2a
#define FOLD_1024 0x6992cea2, 0x0d3b6092
#define FOLD_768  0xc49f4f67, 0x0715ce53
#define FOLD_512  0x740eef02, 0x9e4addf8
#define FOLD_256  0x3da6d0cb, 0xba4fc28e
#define FOLD_128  0xf20c0dfe, 0x493c7d27

TARGET("avx2,sse4.2,pclmul") static __m128i factors(uint32_t low, uint32_t high)
{
    return _mm_set_epi64x((long long)high, (long long)low);
}

TARGET("avx2,sse4.2,pclmul") static __m128i fold_16(__m128i from, __m128i by, __m128i onto)
{
    return _mm_xor_si128(onto, _mm_xor_si128(_mm_clmulepi64_si128(from, by, 0x00),
                                             _mm_clmulepi64_si128(from, by, 0x11)));
}

TARGET("avx2,sse4.2,pclmul") static uint32_t reduce_16(__m128i rest)
{
    uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(rest));
    return (uint32_t)_mm_crc32_u64(state, (uint64_t)_mm_extract_epi64(rest, 1));
}

TARGET("avx2,vpclmulqdq,sse4.2,pclmul")
static __m256i fold_32(__m256i from, __m256i by, __m256i onto)
{
    return _mm256_xor_si256(onto, _mm256_xor_si256(_mm256_clmulepi64_epi128(from, by, 0x00),
                                                   _mm256_clmulepi64_epi128(from, by, 0x11)));
}

TARGET("avx2,vpclmulqdq,sse4.2,pclmul") static __m256i load_32(const uint8_t *at)
{
    return _mm256_loadu_si256((const void *)at);
}

TARGET("avx2,vpclmulqdq,sse4.2,pclmul")
static __m256i factors_32(uint32_t low, uint32_t high)
{
    return _mm256_broadcastsi128_si256(factors(low, high));
}

/*
 * The bytes that are left over. The upper halves of the registers are cleared
 * first: compilers leave that out before a tail call, and all SSE code that
 * follows, our caller's included, would run slowly.
 */
TARGET("avx2,sse4.2,pclmul")
static uint32_t finish(uint32_t state, const uint8_t *at, size_t size)
{
    _mm256_zeroupper();
    return kf__crc32c_sse42(state, at, size);
}

TARGET("avx2,vpclmulqdq,sse4.2,pclmul")
uint32_t kf__crc32c_avx2(uint32_t state, const uint8_t *at, size_t size)
{
    if (size < 256)
        return kf__crc32c_sse42(state, at, size);

    __m256i start = _mm256_zextsi128_si256(_mm_cvtsi32_si128((int)state));
    __m256i a = _mm256_xor_si256(load_32(at), start);
    __m256i b = load_32(at + 32), c = load_32(at + 64), d = load_32(at + 96);
    __m256i by = factors_32(FOLD_1024);
    for (at += 128, size -= 128; size >= 128; at += 128, size -= 128) {
        a = fold_32(a, by, load_32(at));
        b = fold_32(b, by, load_32(at + 32));
        c = fold_32(c, by, load_32(at + 64));
        d = fold_32(d, by, load_32(at + 96));
    }
    d = fold_32(a, factors_32(FOLD_768), d);
    d = fold_32(b, factors_32(FOLD_512), d);
    d = fold_32(c, factors_32(FOLD_256), d);
    __m128i rest =
        fold_16(_mm256_castsi256_si128(d), factors(FOLD_128), _mm256_extracti128_si256(d, 1));
    return finish(reduce_16(rest), at, size);
}

#define AVX512 TARGET("avx512f,avx512vl,avx2,vpclmulqdq,sse4.2,pclmul")

AVX512 static __m512i fold_64(__m512i from, __m512i by, __m512i onto)
{
    enum {
        XOR_OF_THREE = 0x96
    };
    return _mm512_ternarylogic_epi64(onto, _mm512_clmulepi64_epi128(from, by, 0x00),
                                     _mm512_clmulepi64_epi128(from, by, 0x11), XOR_OF_THREE);
}

AVX512 static __m512i load_64(const uint8_t *at) { return _mm512_loadu_si512(at); }

AVX512 static __m512i factors_64(uint32_t low, uint32_t high)
{
    return _mm512_broadcast_i32x4(factors(low, high));
}

AVX512 uint32_t kf__crc32c_avx512(uint32_t state, const uint8_t *at, size_t size)
{
    if (size < 512)
        return kf__crc32c_avx2(state, at, size);

    __m512i start = _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state));
    __m512i a = _mm512_xor_si512(load_64(at), start);
    __m512i b = load_64(at + 64), c = load_64(at + 128), d = load_64(at + 192);
    __m512i by = factors_64(FOLD_2048);
    for (at += 256, size -= 256; size >= 256; at += 256, size -= 256) {
        a = fold_64(a, by, load_64(at));
        b = fold_64(b, by, load_64(at + 64));
        c = fold_64(c, by, load_64(at + 128));
        d = fold_64(d, by, load_64(at + 192));
    }
    d = fold_64(a, factors_64(FOLD_1536), d);
    d = fold_64(b, factors_64(FOLD_1024), d);
    d = fold_64(c, factors_64(FOLD_512), d);
    __m256i half =
        fold_32(_mm512_castsi512_si256(d), factors_32(FOLD_256), _mm512_extracti64x4_epi64(d, 1));
    __m128i rest =
        fold_16(_mm256_castsi256_si128(half), factors(FOLD_128), _mm256_extracti128_si256(half, 1));
    return finish(reduce_16(rest), at, size);
}

#else
typedef int kf__crc32c_x86_is_not_for_this_machine; /* a translation unit may not be empty */
#endif
