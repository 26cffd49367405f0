/* partitioner: see partitioner.h. Called by producer_queue.c. */
#include "runtime/producer/partitioner.h"

#include <assert.h>

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

static int32_t count_available(const bool *available, int32_t partitions)
{
    int32_t count = 0;
    for (int32_t i = 0; i < partitions; i++)
        count += available[i];
    return count;
}

/* The nth available one. */
static int32_t pick(const bool *available, int32_t partitions, int32_t nth)
{
    for (int32_t i = 0; i < partitions; i++)
        if (available[i] && nth-- == 0)
            return i;
    return 0;
}

static int32_t choose(int32_t before, const bool *available, int32_t partitions, uint64_t random)
{
    int32_t count = count_available(available, partitions);
    if (count == 0)
        return (int32_t)(random % (uint64_t)partitions);
    int32_t chosen = pick(available, partitions, (int32_t)(random % (uint64_t)count));
    if (chosen != before || count == 1)
        return chosen;
    /* Not the same twice: the next of those available. */
    do
        chosen = (chosen + 1) % partitions;
    while (!available[chosen]);
    return chosen;
}

int32_t kf__sticky_next(struct kf__sticky *sticky, size_t size, size_t share, const bool *available,
                        int32_t partitions, uint64_t random)
{
    assert(partitions > 0);
    int32_t now = sticky->partition;
    if (now < 0 || now >= partitions || sticky->bytes >= share || !available[now]) {
        sticky->partition = choose(now, available, partitions, random);
        sticky->bytes = 0;
    }
    sticky->bytes += size;
    return sticky->partition;
}
