/*
 * mentions: does a request name a topic, or one of its partitions? Found by
 * the message's descriptor, so that it holds for every API. Called by
 * dispatch.c for the conditions topic= and partition=.
 */
#ifndef KF_BROKER_MENTIONS_H
#define KF_BROKER_MENTIONS_H

#include "tools/broker/server/exchange.h"

/* partition -1: any. A list that asks for all topics names each; so does an incremental Fetch what
 * its session holds. */
bool kf__mentions(const struct kf__exchange *exchange, kf_string topic, int32_t partition);

#endif
