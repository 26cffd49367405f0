/*
 * partitioner: which partition a record's key names.
 *
 *   key ──hash of the partitioner's name──▶ partition    as in Java, librdkafka
 *   no key, or keys don't count ──────────▶ none: sticky.h decides
 *
 * Pure: no clock, no lock, no cluster. Called by the producing thread.
 */
#ifndef KF_RUNTIME_PARTITIONER_H
#define KF_RUNTIME_PARTITIONER_H

#include "runtime/config/config.h"
#include <kafiber/types.h>

/* org.apache.kafka.common.utils.Utils.murmur2: MurmurHash 2 of 32 bits with Kafka's seed. */
uint32_t kf__murmur2(const uint8_t *bytes, size_t size);
/* FNV-1a of 32 bits; the absolute value, as librdkafka and Sarama take it. */
uint32_t kf__fnv1a(const uint8_t *bytes, size_t size);

/* BuiltInPartitioner.partitionForKey; `partitions` > 0. */
int32_t kf__partition_of_key(kf_bytes key, int32_t partitions);

/*
 * The partition that the key decides, or -1: the record may go anywhere. The
 * families without _random put null keys where they put empty ones. With
 * KF__PARTITIONER_RANDOM, a key's record goes where `random` says.
 */
int32_t kf__partition_by(enum kf__partitioner partitioner, kf_bytes key, int32_t partitions,
                         uint64_t random);

#endif
