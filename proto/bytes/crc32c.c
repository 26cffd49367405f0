/*
 * crc32c: the portable table-driven sums, and the choice of the fastest path.
 * The paths that need special instructions live in crc32c_x86.c and
 * crc32c_arm.c.
 */
#include "proto/bytes/crc32c.h"

#include "proto/bytes/crc32c_paths.h"
#include <stdatomic.h>

/*
 * A table entry is linear in its index's bits, so that eight numbers describe
 * a table of 256 and the compiler fills it in: nothing to initialise at run
 * time, nothing for two threads to race on.
 */
#define BIT(n, bit, value) (((n) >> (bit) & 1) ? (value) : 0u)
#define E1(n, a, b, c, d, e, f, g, h)                                                              \
    (BIT(n, 0, a) ^ BIT(n, 1, b) ^ BIT(n, 2, c) ^ BIT(n, 3, d) ^ BIT(n, 4, e) ^ BIT(n, 5, f) ^     \
     BIT(n, 6, g) ^ BIT(n, 7, h))
#define E4(n, ...)                                                                                 \
    E1(n, __VA_ARGS__), E1((n) + 1, __VA_ARGS__), E1((n) + 2, __VA_ARGS__), E1((n) + 3, __VA_ARGS__)
#define E16(n, ...)                                                                                \
    E4(n, __VA_ARGS__), E4((n) + 4, __VA_ARGS__), E4((n) + 8, __VA_ARGS__),                        \
        E4((n) + 12, __VA_ARGS__)
#define E64(n, ...)                                                                                \
    E16(n, __VA_ARGS__), E16((n) + 16, __VA_ARGS__), E16((n) + 32, __VA_ARGS__),                   \
        E16((n) + 48, __VA_ARGS__)
/* clang-format off */
#define SLICE(...) \
    {E64(0u, __VA_ARGS__), E64(64u, __VA_ARGS__), E64(128u, __VA_ARGS__), E64(192u, __VA_ARGS__)}
/* clang-format on */

/* castagnoli[k][n]: byte n followed by k zero bytes; polynomial 0x82f63b78, reflected. */
static const uint32_t castagnoli[8][256] = {
    SLICE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
          0x82f63b78),
    SLICE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
          0xfbc3faf9),
    SLICE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
          0x8b277743),
    SLICE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
          0x52a0c93f),
    SLICE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
          0x6ea2d55c),
    SLICE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
          0x1c08b7d6),
    SLICE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
          0xf56e0ef4),
    SLICE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
          0x34019664),
};

/* The same for CRC-32, polynomial 0xedb88320. */
static const uint32_t ieee[4][256] = {
    SLICE(0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832, 0x1db71064, 0x3b6e20c8, 0x76dc4190,
          0xedb88320),
    SLICE(0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08, 0x4ac21251, 0x958424a2, 0xf0794f05,
          0x3b83984b),
    SLICE(0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8, 0x1c26a370, 0x384d46e0, 0x709a8dc0,
          0xe1351b80),
    SLICE(0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef, 0x5019579f, 0xa032af3e, 0x9b14583d,
          0xed59b63b),
};

static uint32_t little_endian_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t slice_by_8(uint32_t state, const uint8_t *at, size_t size)
{
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t low = state ^ little_endian_u32(at);
        uint32_t high = little_endian_u32(at + 4);
        state = castagnoli[7][low & 255] ^ castagnoli[6][low >> 8 & 255] ^
                castagnoli[5][low >> 16 & 255] ^ castagnoli[4][low >> 24] ^
                castagnoli[3][high & 255] ^ castagnoli[2][high >> 8 & 255] ^
                castagnoli[1][high >> 16 & 255] ^ castagnoli[0][high >> 24];
    }
    for (; size; at++, size--)
        state = state >> 8 ^ castagnoli[0][(state ^ *at) & 255];
    return state;
}

static bool always(void) { return true; }

const struct kf__crc32c_path kf__crc32c_paths[] = {
#ifdef KF__CRC32C_X86
    {"vpclmulqdq-512", kf__crc32c_avx512, kf__crc32c_has_avx512},
    {"vpclmulqdq-256", kf__crc32c_avx2, kf__crc32c_has_avx2},
    {"sse4.2 three-way", kf__crc32c_sse42, kf__crc32c_has_sse42},
#endif
#ifdef KF__CRC32C_ARM
    {"armv8", kf__crc32c_armv8, kf__crc32c_has_armv8},
#endif
    {"slice-by-8", slice_by_8, always},
};
const size_t kf__crc32c_path_count = sizeof kf__crc32c_paths / sizeof *kf__crc32c_paths;

static uint32_t choose_and_run(uint32_t state, const uint8_t *bytes, size_t size);

/* Relaxed is enough: whichever value a thread sees, it computes the same sum. */
static _Atomic(kf__crc32c_fn *) chosen = choose_and_run;

static uint32_t choose_and_run(uint32_t state, const uint8_t *bytes, size_t size)
{
    size_t best = 0;
    while (!kf__crc32c_paths[best].usable())
        best++;
    atomic_store_explicit(&chosen, kf__crc32c_paths[best].run, memory_order_relaxed);
    return kf__crc32c_paths[best].run(state, bytes, size);
}

uint32_t kf__crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return ~atomic_load_explicit(&chosen, memory_order_relaxed)(~crc, bytes, size);
}

/* ---- joining ---- */

/* Of two polynomials, modulo Castagnoli's; bit-reflected as sums are: the highest bit is x^0. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a; a <<= 1) {
        product ^= a >> 31 ? b : 0;
        b = b >> 1 ^ (b & 1 ? 0x82f63b78 : 0);
    }
    return product;
}

/* The first sum is moved over the second piece: times x^(8 size), by the powers x^(8 * 2^k). The
 * polynomial has a factor x+1 and one of degree 31: after 31 of them they begin again. */
uint32_t kf__crc32c_join(uint32_t first, uint32_t second, size_t size)
{
    enum {
        PERIOD = 31,
    };
    static const uint32_t powers[PERIOD] = {
        0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955,
        0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564,
        0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
        0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42,
        0x40000000, 0x20000000, 0x08000000};
    for (unsigned k = 0; size; size >>= 1, k = k + 1 == PERIOD ? 0 : k + 1)
        if (size & 1)
            first = multiply(powers[k], first);
    return first ^ second;
}

uint32_t kf__crc32(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint32_t state = ~crc;
    for (; size >= 4; at += 4, size -= 4) {
        uint32_t word = state ^ little_endian_u32(at);
        state = ieee[3][word & 255] ^ ieee[2][word >> 8 & 255] ^ ieee[1][word >> 16 & 255] ^
                ieee[0][word >> 24];
    }
    for (; size; at++, size--)
        state = state >> 8 ^ ieee[0][(state ^ *at) & 255];
    return ~state;
}
