/* crc32c_arm: CRC-32C by the instruction of ARMv8, where the processor has it. */
#include "proto/bytes/crc32c_paths.h"

#ifdef KF__CRC32C_ARM

#include <string.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif

bool kf__crc32c_has_armv8(void)
{
#ifdef __linux__
    enum {
        HWCAP_HAS_CRC32 = 1 << 7
    };
    return getauxval(AT_HWCAP) & HWCAP_HAS_CRC32;
#else
    return true; /* every Apple processor of this architecture */
#endif
}

#ifdef __clang__
#define TARGET_CRC __attribute__((target("crc")))
#define CRC_U64    __builtin_arm_crc32cd
#define CRC_U8     __builtin_arm_crc32cb
#else
#define TARGET_CRC __attribute__((target("+crc")))
#define CRC_U64    __builtin_aarch64_crc32cx
#define CRC_U8     __builtin_aarch64_crc32cb
#endif

TARGET_CRC uint32_t kf__crc32c_armv8(uint32_t state, const uint8_t *at, size_t size)
{
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        state = CRC_U64(state, word);
    }
    for (; size; at++, size--)
        state = CRC_U8(state, *at);
    return state;
}

#else
typedef int kf__crc32c_arm_is_not_for_this_machine; /* a translation unit may not be empty */
#endif
