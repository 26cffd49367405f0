/*
 * error_answers: the answer to a request as a whole that fails, typed right
 * for its API: every topic, partition, group or resource that was asked for
 * comes back with the error in the field that a broker uses. Made from the
 * two descriptors, so that it holds for every API. Called by dispatch.c for
 * faults, where the API's own handler doesn't place them.
 */
#ifndef KF_BROKER_ERROR_ANSWERS_H
#define KF_BROKER_ERROR_ANSWERS_H

#include "tools/broker/server/exchange.h"

/* False: no memory. */
bool kf__error_answer(struct kf__exchange *exchange, kf_err error);
/* Does the API's handler ask for the verdict's error itself, part by part? */
bool kf__places_errors(int16_t api_key);

#endif
