/*
 * journal: one JSON line for each request that was handled, with its answer.
 * Called by dispatch.c.
 */
#ifndef KF_BROKER_JOURNAL_H
#define KF_BROKER_JOURNAL_H

#include "tools/broker/exchange.h"

void kf__journal_write(struct kf_broker *broker, const struct kf__exchange *exchange);

#endif
