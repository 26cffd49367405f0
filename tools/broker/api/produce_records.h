/*
 * produce_records: what single records of a batch are refused for (KIP-467):
 * no key where the log is compacted, a timestamp out of range. The answer
 * names each of them, so that the client can send the others again.
 *
 * Looks into a batch only where one of the topic's rules may refuse a record.
 * Called by produce.c with a batch whose checksum is right.
 */
#ifndef KF_BROKER_PRODUCE_RECORDS_H
#define KF_BROKER_PRODUCE_RECORDS_H

#include "proto/batch.h"
#include "tools/broker/log/topics.h"
#include "tools/broker/server/exchange.h"

/*
 * INVALID_RECORD; INVALID_TIMESTAMP where that befell any of them, as Kafka has it: then *answer
 * has its record_errors and error_message. CORRUPT_MESSAGE, KF_ERR_NO_MEMORY.
 */
kf_err kf__check_each_record(struct kf__exchange *exchange, const struct kf__topic *topic,
                             const struct kf__batch *batch,
                             struct kf_produce_response_partition_produce_response *answer);

#endif
