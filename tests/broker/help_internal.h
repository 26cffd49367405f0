/*
 * help_internal: what coordinators have written into an internal topic, as text: a line for each
 * record, "Key{…} Value v4{…}" in Kafka's JSON, or "Key{…} -" for a tombstone. Times are "T",
 * made-up ids "ID".
 */
#ifndef KF_TESTS_HELP_INTERNAL_H
#define KF_TESTS_HELP_INTERNAL_H

#include <kafiber/broker.h>

/* From `*offset` on, which moves to the end; valid until the next call. */
const char *internal_records(kf_broker *broker, const char *topic, int32_t partition,
                             int64_t *offset);

#endif
