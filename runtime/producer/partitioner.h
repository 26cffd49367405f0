/*
 * partitioner: which partition a record goes to.
 *
 *   key ──murmur2──▶ partition        the same as Java's, for ever
 *   no key ────────▶ sticky           one partition until it has its share of bytes
 *
 * Pure: no clock, no lock, no cluster. Called by the producing thread.
 */
#ifndef KF_RUNTIME_PARTITIONER_H
#define KF_RUNTIME_PARTITIONER_H

#include <kafiber/types.h>
#include <stdbool.h>

/* org.apache.kafka.common.utils.Utils.murmur2: MurmurHash 2 of 32 bits with Kafka's seed. */
uint32_t kf__murmur2(const uint8_t *bytes, size_t size);

/* BuiltInPartitioner.partitionForKey; `partitions` > 0. */
int32_t kf__partition_of_key(kf_bytes key, int32_t partitions);

/*
 * KIP-794: records without a key stay on one partition until it has got
 * `share` bytes, so that batches fill, and then move to another at random,
 * so that all get the same number of bytes.
 */
struct kf__sticky {
    int32_t partition; /* -1: none yet */
    size_t bytes;      /* given to it so far */
};

/*
 * Where a record of `size` bytes goes. `available[i]`: partition i has a
 * leader; those without one are passed over unless none has. `random` decides
 * where a move goes.
 */
int32_t kf__sticky_next(struct kf__sticky *sticky, size_t size, size_t share, const bool *available,
                        int32_t partitions, uint64_t random);

#endif
