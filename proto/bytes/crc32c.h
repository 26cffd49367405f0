/*
 * crc32c: the Castagnoli checksum of record batches, at the speed of the
 * hardware: the fastest of VPCLMULQDQ, three-way SSE4.2, ARMv8 CRC and
 * slice-by-8 that this machine has is chosen once at run time.
 */
#ifndef KF_PROTO_CRC32C_H
#define KF_PROTO_CRC32C_H

#include <kafiber/types.h>

/* Continues `crc` (0 at first). */
uint32_t kf__crc32c(uint32_t crc, const void *bytes, size_t size);
/* The sum of bytes in two pieces, from the pieces' own; `size`: of the second. */
uint32_t kf__crc32c_join(uint32_t first, uint32_t second, size_t size);
/* CRC-32 (IEEE) of the old message formats; table-driven, without zlib. */
uint32_t kf__crc32(uint32_t crc, const void *bytes, size_t size);

#endif
