/*
 * crc32c_paths: the ways to compute CRC-32C, for the choice in crc32c.c and
 * for the test that compares them. Nobody else includes this.
 */
#ifndef KF_PROTO_CRC32C_PATHS_H
#define KF_PROTO_CRC32C_PATHS_H

#include <kafiber/types.h>
#include <stdbool.h>

/* `state` is the register: the caller inverts it before and after. */
typedef uint32_t kf__crc32c_fn(uint32_t state, const uint8_t *bytes, size_t size);

struct kf__crc32c_path {
    const char *name;
    kf__crc32c_fn *run;
    bool (*usable)(void); /* on this machine */
};

/* Fastest first; the last one is always usable. */
extern const struct kf__crc32c_path kf__crc32c_paths[];
extern const size_t kf__crc32c_path_count;

#if defined(__x86_64__) && defined(__GNUC__)
#define KF__CRC32C_X86 1
kf__crc32c_fn kf__crc32c_avx512;
kf__crc32c_fn kf__crc32c_avx2;
kf__crc32c_fn kf__crc32c_sse42;
bool kf__crc32c_has_avx512(void);
bool kf__crc32c_has_avx2(void);
bool kf__crc32c_has_sse42(void);
#endif

#if defined(__aarch64__) && defined(__GNUC__) && (defined(__linux__) || defined(__APPLE__))
#define KF__CRC32C_ARM 1
kf__crc32c_fn kf__crc32c_armv8;
bool kf__crc32c_has_armv8(void);
#endif

#endif
