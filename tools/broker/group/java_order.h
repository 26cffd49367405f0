/*
 * java_order: the order in which Java's HashMap walks its keys. Kafka's
 * uniform assignor gives partitions to members in that order; who wants the
 * same assignment has to walk alike. Keys that share a bucket come in the order
 * in which they were put (Java's trees for crowded buckets are not played).
 * Used by assign_uniform.c and assign_mixed.c.
 */
#ifndef KF_BROKER_JAVA_ORDER_H
#define KF_BROKER_JAVA_ORDER_H

#include "tools/broker/group/holding.h"

/* hashCode() of a String (from UTF-8: of its UTF-16 units) and of Kafka's Uuid. */
uint32_t kf__java_hash_text(kf_string text);
uint32_t kf__java_hash_uuid(kf_uuid id);

/* Buckets of a map that grew to `count` keys one by one, and of a HashSet copied from `count`. */
uint32_t kf__java_grown(size_t count);
uint32_t kf__java_copied(size_t count);

/* order[0…count-1]: the indexes of `hashes` as a table of so many buckets shows them. */
kf_err kf__java_order(const kf_allocator *alloc, const uint32_t *hashes, size_t count,
                      uint32_t buckets, int32_t *order);

/*
 * A member's partitions of one topic, as Java keeps them: a set that held `had` of them before and
 * changed, written down as a list, and read back into a set. The epochs say in which order they
 * came into the first set, and afterwards in which order the second one shows them. `had` -1:
 * there was only a list.
 */
kf_err kf__java_rank(const kf_allocator *alloc, struct kf__held *items, size_t count, int64_t had);

#endif
