/*
 * java_order: the orders that Kafka's Java classes fall into. Members of one
 * group must decide alike whichever language the leader is written in, and
 * Java's assignors visit members in the order of a HashMap.
 */
#ifndef KF_GROUP_JAVA_ORDER_H
#define KF_GROUP_JAVA_ORDER_H

#include <kafiber/codec.h>

/* String.compareTo: by UTF-16 unit, which differs from bytes beyond U+FFFF. */
int kf__java_compare(kf_string a, kf_string b);
/* String.hashCode. */
int32_t kf__java_hash(kf_string text);
/*
 * order[i] = index of the name that a HashMap<String, …>, filled in the order
 * of `names` (all different), visits as its i-th.
 */
kf_err kf__java_map_order(const kf_string *names, size_t count, kf_arena *arena, size_t *order);

#endif
