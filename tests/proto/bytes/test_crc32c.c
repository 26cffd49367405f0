#include "proto/bytes/crc32c.h"

#include "proto/bytes/crc32c_paths.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

/* The plain definition, bit by bit. */
static uint32_t bit_by_bit(uint32_t polynomial, const uint8_t *bytes, size_t size)
{
    uint32_t state = ~0u;
    for (size_t i = 0; i < size; i++) {
        state ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            state = state >> 1 ^ (state & 1 ? polynomial : 0);
    }
    return ~state;
}

static uint8_t *noise(size_t size)
{
    uint8_t *bytes = malloc(size);
    uint32_t seed = 7;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    return bytes;
}

Test(crc32c, matches_the_published_vectors)
{
    /* RFC 3720, B.4 */
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    cr_assert(eq(u32, kf__crc32c(0, bytes, 32), 0x8a9136aa));
    memset(bytes, 0xff, sizeof bytes);
    cr_assert(eq(u32, kf__crc32c(0, bytes, 32), 0x62a8ab43));
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    cr_assert(eq(u32, kf__crc32c(0, bytes, 32), 0x46dd794e));
    cr_assert(eq(u32, kf__crc32c(0, "123456789", 9), 0xe3069283));
    cr_assert(eq(u32, kf__crc32c(0, "", 0), 0));
    cr_assert(eq(u32, kf__crc32(0, "123456789", 9), 0xcbf43926));
}

Test(crc32c, every_path_of_this_machine_gives_the_same_sum_at_every_length)
{
    uint8_t *bytes = noise(20000);
    for (size_t p = 0; p < kf__crc32c_path_count; p++) {
        const struct kf__crc32c_path *path = &kf__crc32c_paths[p];
        if (!path->usable())
            continue;
        for (size_t size = 0; size < 5000; size += 1 + size / 64)
            for (size_t offset = 0; offset < 3; offset++)
                cr_assert(eq(u32, ~path->run(~0u, bytes + offset, size),
                             bit_by_bit(0x82f63b78, bytes + offset, size)),
                          "%s at %zu bytes", path->name, size);
        cr_assert(eq(u32, ~path->run(~0u, bytes, 20000), bit_by_bit(0x82f63b78, bytes, 20000)));
    }
    free(bytes);
}

Test(crc32c, continues_a_sum_over_two_pieces)
{
    uint8_t *bytes = noise(10000);
    for (size_t cut = 0; cut <= 10000; cut += 397) {
        cr_assert(eq(u32, kf__crc32c(kf__crc32c(0, bytes, cut), bytes + cut, 10000 - cut),
                     kf__crc32c(0, bytes, 10000)));
        cr_assert(eq(u32, kf__crc32(kf__crc32(0, bytes, cut), bytes + cut, 10000 - cut),
                     bit_by_bit(0xedb88320, bytes, 10000)));
    }
    free(bytes);
}

Test(crc32c, joins_the_sums_of_two_pieces)
{
    enum {
        ALL = 70001
    };
    uint8_t *bytes = noise(ALL);
    uint32_t whole = kf__crc32c(0, bytes, ALL);
    for (size_t cut = 0; cut <= ALL; cut += cut < 300 ? 1 : 997) {
        uint32_t first = kf__crc32c(0, bytes, cut);
        uint32_t second = kf__crc32c(0, bytes + cut, ALL - cut);
        cr_assert(eq(u32, kf__crc32c_join(first, second, ALL - cut), whole), "cut at %zu", cut);
    }
    free(bytes);
}

/* Moving a sum over n bytes and then over m is to move it over n + m, also where no test has so
 * many bytes. */
Test(crc32c, joins_over_pieces_of_any_size)
{
#if SIZE_MAX > UINT32_MAX
    size_t n = 0x123456789abcdef, m = 0x7fedcba98765432;
#else
    size_t n = 0x12345678, m = 0x7fedcba9;
#endif
    uint32_t in_two = kf__crc32c_join(kf__crc32c_join(0xe3069283, 0, n), 0, m);
    cr_assert(eq(u32, kf__crc32c_join(0xe3069283, 0, n + m), in_two));
    cr_assert(eq(u32, kf__crc32c_join(0xe3069283, 0x1234, 0), 0xe3069283 ^ 0x1234));
}
