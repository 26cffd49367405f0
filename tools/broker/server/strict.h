/*
 * strict: refuses requests that are legal but not canonical: padded lengths,
 * booleans above 1, tagged fields at their default or that nobody knows, bytes
 * behind the message. Decoded and encoded again they come out different; the
 * field in which they do is named. Pure. Called by dispatch.c with --strict.
 */
#ifndef KF_BROKER_STRICT_H
#define KF_BROKER_STRICT_H

#include "tools/broker/server/exchange.h"

/*
 * `frame` is the request with its size in front, `size` counts that too. False
 * with `why` filled where it isn't canonical.
 */
bool kf__strict_check(const struct kf__exchange *exchange, const uint8_t *frame, size_t size,
                      kf_error *why);

#endif
