/* partitioner: see partitioner.h. Called by producer_partition.c. */
#include "runtime/producer/partitioner.h"

#include "proto/bytes/crc32c.h"
#include <assert.h>
#include <stdbool.h>

enum {
    MURMUR_SHIFT = 24
};
static const uint32_t murmur_seed = 0x9747b28cu;
static const uint32_t murmur_factor = 0x5bd1e995u;

static uint32_t read_little_endian(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t mix(uint32_t word)
{
    word *= murmur_factor;
    word ^= word >> MURMUR_SHIFT;
    return word * murmur_factor;
}

uint32_t kf__murmur2(const uint8_t *bytes, size_t size)
{
    uint32_t hash = murmur_seed ^ (uint32_t)size;
    size_t at = 0;
    for (; size - at >= 4; at += 4)
        hash = hash * murmur_factor ^ mix(read_little_endian(bytes + at));

    uint32_t rest = 0;
    for (size_t i = size - at; i > 0; i--)
        rest = rest << 8 | bytes[at + i - 1];
    if (size > at)
        hash = (hash ^ rest) * murmur_factor;

    hash ^= hash >> 13;
    hash *= murmur_factor;
    return hash ^ hash >> 15;
}

int32_t kf__partition_of_key(kf_bytes key, int32_t partitions)
{
    assert(partitions > 0);
    /* Java masks the sign (Utils.toPositive); it does not take the absolute value. */
    uint32_t positive = kf__murmur2(key.data, key.size) & 0x7fffffffu;
    return (int32_t)(positive % (uint32_t)partitions);
}

uint32_t kf__fnv1a(const uint8_t *bytes, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash > INT32_MAX ? 0u - hash : hash;
}

static int32_t fold(uint32_t hash, int32_t partitions)
{
    return (int32_t)(hash % (uint32_t)partitions);
}

int32_t kf__partition_by(enum kf__partitioner partitioner, kf_bytes key, int32_t partitions,
                         uint64_t random)
{
    assert(partitions > 0);
    bool is_null = !key.data;
    switch (partitioner) {
    case KF__PARTITIONER_MURMUR2_RANDOM:
        return is_null ? -1 : kf__partition_of_key(key, partitions);
    case KF__PARTITIONER_MURMUR2:
        return kf__partition_of_key(key, partitions);
    case KF__PARTITIONER_CONSISTENT_RANDOM:
        return key.size == 0 ? -1 : fold(kf__crc32(0, key.data, key.size), partitions);
    case KF__PARTITIONER_CONSISTENT:
        return fold(kf__crc32(0, key.data, key.size), partitions);
    case KF__PARTITIONER_FNV1A_RANDOM:
        return is_null ? -1 : fold(kf__fnv1a(key.data, key.size), partitions);
    case KF__PARTITIONER_FNV1A:
        return fold(kf__fnv1a(key.data, key.size), partitions);
    case KF__PARTITIONER_RANDOM:
        return is_null ? -1 : (int32_t)(random % (uint64_t)partitions);
    }
    return -1;
}
