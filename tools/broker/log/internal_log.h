/*
 * internal_log: how a coordinator writes into its internal topic: records by
 * the rows of schema/, a batch at a time, into the ordinary log, where readers
 * find them as they find all records. What they say is the callers' matter:
 * group/offsets_topic.c, txn/txn_topic.c. A partition that has become large is
 * compacted by itself, as no other is: coordinators write as long as they run.
 */
#ifndef KF_BROKER_INTERNAL_LOG_H
#define KF_BROKER_INTERNAL_LOG_H

#include "proto/batch/batch.h"
#include "tools/broker/log/internal_topics.h"
#include <kafiber/codec.h>

/* What a key says that it is: the number in front of it, and its rows. */
struct kf__internal_record {
    int16_t type;
    const kf_schema *key;
    const kf_schema *value;
};

/* A batch in the making. */
struct kf__internal_batch {
    struct kf_broker *broker;
    struct kf__batch_builder builder;
    kf_writer key;
    kf_writer value;
    int64_t wall_ms;
    int32_t count;
    kf_err err; /* the first one; nothing is written then */
};

void kf__internal_begin(struct kf__internal_batch *batch, struct kf_broker *broker);
/* `version` is the value's. value NULL: a tombstone. */
void kf__internal_put(struct kf__internal_batch *batch, const struct kf__internal_record *record,
                      const void *key, int16_t version, const void *value);

/* How it is written. */
struct kf__internal_way {
    int64_t producer_id; /* with `transactional` */
    int16_t epoch;
    bool transactional;
    bool must; /* the cap on all logs doesn't count: what ends or deletes something can't wait */
    int32_t base_sequence;
};
/*
 * To the partition of `key`, all or nothing; without records it does nothing. Frees the batch.
 * COORDINATOR_NOT_AVAILABLE, POLICY_VIOLATION, KF_ERR_NO_MEMORY.
 */
kf_err kf__internal_write(struct kf__internal_batch *batch, enum kf__internal which, kf_string key,
                          const struct kf__internal_way *way);

#endif
